//! Variables from environment files, for the templates of stack files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::files::NoProject;
use super::{absolute, display_path};
use crate::compose::diagnostic::{Problems, Span};
use crate::compose::dotenv::{self, Scope};
use crate::compose::load::LoadOptions;
use crate::compose::reader;
use crate::compose::source::Source;

/// Variables from files, for interpolation.
pub(in crate::compose) type Variables = IndexMap<String, String>;

/// The value of a variable: the caller's environment wins over the files.
pub(in crate::compose) fn variable(
    source: &dyn Source,
    files: &Variables,
    name: &str,
) -> Option<String> {
    source.env(name).or_else(|| files.get(name).cloned())
}

/// The environment files that are named by options or by the caller's `COMPOSE_ENV_FILES`.
fn named(source: &dyn Source, options: &LoadOptions) -> Vec<PathBuf> {
    let mut given = options.env_files.clone();
    if given.is_empty()
        && let Some(list) = source.env("COMPOSE_ENV_FILES")
        && !list.is_empty()
    {
        given = list.split(',').map(PathBuf::from).collect();
    }
    let paths = given
        .iter()
        .map(|path| absolute(&options.working_dir, path));
    paths.collect()
}

/// Reads the environment files that are named, else the `.env` of a directory.
pub(super) fn read(
    source: &dyn Source,
    options: &LoadOptions,
    directory: &Path,
    problems: &mut Problems,
) -> Result<Variables, NoProject> {
    let mut variables = Variables::new();
    for path in named(source, options) {
        let bytes = match source.read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let path = path.display();
                let message = format!("the environment file {path} cannot be read: {error}");
                problems.error(None, message);
                continue;
            }
        };
        let shown = display_path(&path, &options.working_dir);
        let scope = Scope {
            first: &|name| source.env(name),
            last: &|name| variables.get(name).cloned(),
        };
        if let Some(read) = read_env_file(&bytes, shown, &scope, problems) {
            variables.extend(given_values(read));
        }
    }
    read_beside(source, options, directory, &mut variables, problems)?;
    Ok(variables)
}

/// Adds what a directory's `.env` has that is not known yet, unless other files are named.
pub(super) fn read_beside(
    source: &dyn Source,
    options: &LoadOptions,
    directory: &Path,
    variables: &mut Variables,
    problems: &mut Problems,
) -> Result<(), NoProject> {
    if !named(source, options).is_empty() || is_disabled(source, problems)? {
        return Ok(());
    }
    let path = directory.join(".env");
    let bytes = match source.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => {
            let path = path.display();
            let message = format!("the environment file {path} cannot be read: {error}");
            problems.error(None, message);
            return Ok(());
        }
    };
    let lookup = |name: &str| variable(source, variables, name);
    let scope = Scope {
        first: &lookup,
        last: &|_| None,
    };
    let shown = display_path(&path, &options.working_dir);
    if let Some(read) = read_env_file(&bytes, shown, &scope, problems) {
        for (name, value) in given_values(read) {
            variables.entry(name).or_insert(value);
        }
    }
    Ok(())
}

/// `COMPOSE_DISABLE_ENV_FILE`, in the notations of Go's `strconv.ParseBool`.
fn is_disabled(source: &dyn Source, problems: &mut Problems) -> Result<bool, NoProject> {
    const VARIABLE: &str = "COMPOSE_DISABLE_ENV_FILE";
    let Some(value) = source.env(VARIABLE) else {
        return Ok(false);
    };
    match value.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => {
            problems
                .error(None, format!("`{VARIABLE}` is no boolean: `{value}`"))
                .help("it is `true` or `false`");
            Err(NoProject)
        }
    }
}

pub(in crate::compose) fn given_values(
    variables: dotenv::Variables,
) -> impl Iterator<Item = (String, String)> {
    variables
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}

/// An optional file that is not there; a directory called `.env` (a Python habit) is none either.
pub(in crate::compose) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
    )
}

/// Reads an environment file; problems point into it.
pub(in crate::compose) fn read_env_file(
    bytes: &[u8],
    shown: PathBuf,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<dotenv::Variables> {
    let text = match reader::decode(bytes) {
        Ok(text) => text,
        Err(why) => {
            problems.error(None, format!("{}: {why}", shown.display()));
            return None;
        }
    };
    let parsed = dotenv::parse(text, scope);
    let silent = matches!(&parsed, Ok(read) if read.unset.is_empty());
    let file = match silent {
        true => None,
        false => problems.sources.add(shown, Arc::from(text)),
    };
    let span = |range: std::ops::Range<usize>| {
        let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let whole = Span {
            file: file?,
            start: 0,
            end,
        };
        Some(whole.part(range))
    };
    match parsed {
        Ok(read) => {
            for unset in read.unset {
                let name = unset.name;
                problems
                    .warn(
                        span(unset.range),
                        format!("the variable `{name}` is not set"),
                    )
                    .label("becomes an empty text");
            }
            Some(read.variables)
        }
        Err(error) => {
            problems.error(span(error.range), error.kind.to_string());
            None
        }
    }
}
