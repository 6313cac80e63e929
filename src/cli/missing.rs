//! Commands of Docker Compose that are not there, and what does much the same.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::error::Error;

/// The error for a command line that asks for such a command.
pub(super) fn of(error: &clap::Error) -> Option<Error> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    // `image`, `env` and others have commands of their own.
    let usage = error.get(ContextKind::Usage)?.to_string();
    if !usage.contains("stack [OPTIONS]") {
        return None;
    }
    let instead = instead_of(name)?;
    let found = Error::new(format!("`{name}` is not supported yet"));
    Some(match instead.is_empty() {
        true => found,
        false => found.hint(instead),
    })
}

/// What to type for a command of Docker Compose 5 that is not there; empty where nothing else does it.
fn instead_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "bridge" | "publish" => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;

    fn said(arguments: &[&str]) -> Option<String> {
        let error = Cli::try_parse_from(arguments).expect_err("no such command");
        Some(of(&error)?.render(crate::ui::Paint::Off, 100))
    }

    #[test]
    fn commands_of_compose_that_are_not_there_say_what_to_type() {
        let text = said(&["stack", "publish", "x"]);
        assert_eq!(
            text.as_deref(),
            Some("error: `publish` is not supported yet")
        );
        assert!(said(&["stack", "bridge"]).is_some());
        assert_eq!(said(&["stack", "bulid"]), None);
        assert_eq!(said(&["stack", "image", "cp"]), None);
    }

    #[test]
    fn what_is_there_is_not_said_to_be_missing() {
        use clap::CommandFactory;
        for command in Cli::command().get_subcommands() {
            assert_eq!(instead_of(command.get_name()), None);
        }
    }
}
