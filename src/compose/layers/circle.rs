//! A chain that comes back to where it was, drawn for a message.

use crate::compose::diagnostic::{Problems, Span};

/// A step of a chain: where it is written, and what it leads to.
pub(super) struct Step {
    pub(super) span: Span,
    pub(super) to: String,
}

/// Records one message for a circle; each step is shown at its place.
pub(super) fn report(message: &str, steps: &[Step], problems: &mut Problems) {
    let Some((last, before)) = steps.split_last() else {
        return;
    };
    let mut names: Vec<String> = vec![last.to.clone()];
    for step in steps {
        let place = problems.sources.locate(step.span);
        let place = place.map_or_else(String::new, |place| {
            format!(" ({}:{})", place.file.display(), place.line)
        });
        names.push(format!("{}{place}", step.to));
    }
    let diagnostic = problems
        .error(last.span, format!("{message}: {}", names.join(" -> ")))
        .label("closes the circle");
    for step in before {
        diagnostic.related(step.span, format!("leads to `{}`", step.to));
    }
}
