//! Progress as lines, for files and other programs.

use serde::Serialize;

use crate::control::{Kind, Progress, ProgressState};
use crate::ui::text::one_line;

/// ` Container shop-web-1 Started `, and what went wrong when something did: byte for byte as Docker
/// Compose writes it, blanks at both ends.
pub(super) fn line(change: &Progress) -> String {
    let (kind, name, state) = (change.kind, one_line(&change.name), change.state);
    match (&change.detail, state) {
        (Some(detail), ProgressState::Skipped) if kind == Kind::Image => {
            format!(" {kind} {name} {state} {}", one_line(detail))
        }
        (Some(detail), ProgressState::Error) => {
            format!(" {kind} {name} {state} {}", one_line(detail))
        }
        (Some(detail), ProgressState::Skipped) => {
            format!(" {kind} {name} {state}: {} ", one_line(detail))
        }
        // Scripts look for these lines as Docker Compose has them: no reason is added.
        _ => format!(" {kind} {name} {state} "),
    }
}

/// The same for what would happen, with the reason: for a person who reads a terminal. Docker Compose
/// marks its lines no other way than those of what does happen, and scripts get just these.
pub(super) fn rehearsed(change: &Progress) -> String {
    let reason = match (&change.detail, change.state.is_final()) {
        (Some(detail), false) => format!("({})", one_line(detail)),
        _ => String::new(),
    };
    format!(" DRY-RUN MODE - {}{reason}", line(change))
}

/// All is being stopped, and why.
pub(super) fn stopping(why: &str) -> String {
    format!(" Compose Stopping {why}")
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "dry-run", skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    id: String,
    status: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a str>,
}

/// The same as Docker Compose's `--progress json` has it.
pub(super) fn json(change: &Progress, dry_run: bool) -> String {
    to_text(&Message {
        dry_run,
        id: format!("{} {}", change.kind, change.name),
        status: match change.state {
            ProgressState::Error => "Error",
            ProgressState::InUse => "Warning",
            state if state.is_final() => "Done",
            _ => "Working",
        },
        text: change.state.to_string(),
        details: change.detail.as_deref(),
    })
}

/// The same for the stop of all.
pub(super) fn json_stopping(why: &str) -> String {
    to_text(&Message {
        dry_run: false,
        id: "Compose".to_owned(),
        status: "Working",
        text: ProgressState::Stopping.to_string(),
        details: Some(why),
    })
}

fn to_text(message: &Message<'_>) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Kind;

    fn change(state: ProgressState, detail: Option<&str>) -> Progress {
        Progress {
            kind: Kind::Container,
            name: "shop-web-1".to_owned(),
            state,
            detail: detail.map(str::to_owned),
        }
    }

    #[test]
    fn lines_are_those_of_docker_compose() {
        assert_eq!(
            line(&change(ProgressState::Started, None)),
            " Container shop-web-1 Started "
        );
        assert_eq!(
            line(&change(ProgressState::Starting, Some("it exited (3)"))),
            " Container shop-web-1 Starting "
        );
        assert_eq!(
            line(&change(
                ProgressState::Error,
                Some("port 80 is\x1b[2J held")
            )),
            " Container shop-web-1 Error port 80 is\\u{1b}[2J held"
        );
    }

    #[test]
    fn a_rehearsal_says_that_it_is_one_and_why() {
        assert_eq!(
            rehearsed(&change(ProgressState::Recreate, Some("its image changed"))),
            " DRY-RUN MODE -  Container shop-web-1 Recreate (its image changed)"
        );
    }

    #[test]
    fn json_says_whether_something_follows() {
        assert_eq!(
            json(&change(ProgressState::Waiting, Some("db")), false),
            r#"{"id":"Container shop-web-1","status":"Working","text":"Waiting","details":"db"}"#
        );
        assert_eq!(
            json(&change(ProgressState::Started, None), true),
            r#"{"dry-run":true,"id":"Container shop-web-1","status":"Done","text":"Started"}"#
        );
    }
}
