//! The arguments of `COPY` and `ADD`.

use super::arguments::{list, missing};
use super::flags::Flags;
use super::heredoc;
use super::instruction::{Add, Copy, Heredoc, Transfer, TransferSource, Word};
use super::parse::{Raw, Reader};
use crate::compose::diagnostic::Problems;

/// The here-documents among the sources.
pub(super) fn inline(transfer: &Transfer) -> impl Iterator<Item = &Heredoc> {
    transfer.sources.iter().filter_map(|source| match source {
        TransferSource::Inline(heredoc) => Some(heredoc),
        TransferSource::Path(_) => None,
    })
}

/// `COPY`.
pub(super) fn copy(reader: &mut Reader<'_, '_>, mut raw: Raw<'_>) -> Option<Copy> {
    let problems = &mut *reader.problems;
    let mut flags = Flags::new(raw.name, std::mem::take(&mut raw.flags), problems);
    let from = flags.text("from", problems);
    let parents = flags.switch("parents", problems).unwrap_or(false);
    let fixed = from.as_ref().is_none_or(|from| no_variable(from, problems));
    let transfer = transfer(raw, flags, problems)?;
    fixed.then_some(Copy {
        transfer,
        from,
        parents,
    })
}

/// `ADD`.
pub(super) fn add(reader: &mut Reader<'_, '_>, mut raw: Raw<'_>) -> Option<Add> {
    let problems = &mut *reader.problems;
    let mut flags = Flags::new(raw.name, std::mem::take(&mut raw.flags), problems);
    let checksum = flags.text("checksum", problems);
    let keep_git_dir = flags.switch("keep-git-dir", problems);
    let unpack = flags.switch("unpack", problems);
    let transfer = transfer(raw, flags, problems)?;
    Some(Add {
        transfer,
        checksum,
        keep_git_dir,
        unpack,
    })
}

/// Stages are put in order before any variable has a value, so their names cannot hold one.
pub(super) fn no_variable(from: &Word, problems: &mut Problems) -> bool {
    let at = from.value.find('$');
    if at.is_none_or(|at| at + 1 == from.value.len()) {
        return true;
    }
    problems
        .error(from.span, "`from` cannot hold a variable")
        .help("give the image a name first: `FROM $image AS name`, then `from=name`");
    false
}

fn transfer(raw: Raw<'_>, mut flags: Flags, problems: &mut Problems) -> Option<Transfer> {
    let (name, span) = (raw.name, raw.span());
    let chown = flags.text("chown", problems);
    let chmod = flags.text("chmod", problems);
    let link = flags.switch("link", problems).unwrap_or(false);
    let exclude = flags.texts("exclude", problems);
    let right = flags.finish();
    let is_json = raw.rest.json().is_some();
    let mut words = list(raw.rest, problems)?;
    let Some(destination) = words.pop() else {
        missing(name, span, problems);
        return None;
    };
    if words.is_empty() {
        let message = format!("`{name}` needs a source and a destination");
        let error = problems.error(destination.span, message);
        error.label("this is all there is");
        error.help(format!("write `{name} {} destination`", destination.value));
        return None;
    }
    if !is_json && heredoc::opening(&destination.value).is_some() {
        problems.error(
            destination.span,
            "a here-document is a source, not a destination",
        );
        return None;
    }
    let mut heredocs = raw.heredocs.into_iter();
    let sources = words
        .into_iter()
        .map(|word| match heredoc::opening(&word.value) {
            Some(_) if !is_json => heredocs.next().map(TransferSource::Inline),
            _ => Some(TransferSource::Path(word)),
        })
        .collect::<Option<Vec<_>>>()?;
    right.then_some(Transfer {
        sources,
        destination,
        chown,
        chmod,
        link,
        exclude,
    })
}
