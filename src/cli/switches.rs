//! Flags that are on or off, with a value: `--detach=false`, `-T=true`.
//!
//! Programs that write command lines for Docker Compose give every such flag a value, as its parser
//! (Go's pflag) takes it. Help and the messages about mistakes are about the plain form.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};

/// Reads a command line; flags that are on or off may have values.
pub(super) fn parse<T: CommandFactory + FromArgMatches>(
    arguments: &[OsString],
) -> Result<T, clap::Error> {
    let plain = T::command().try_get_matches_from(arguments);
    let error = match plain.and_then(|mut matches| T::from_arg_matches_mut(&mut matches)) {
        Ok(parsed) => return Ok(parsed),
        // Help that was asked for.
        Err(error) if !error.use_stderr() => return Err(error),
        Err(error) => error,
    };
    let second = with_values(T::command()).try_get_matches_from(arguments);
    let second = second.and_then(|mut matches| T::from_arg_matches_mut(&mut matches));
    second.map_err(|_| error)
}

/// The same commands, whose switches take a value after `=`.
fn with_values(command: Command) -> Command {
    command.mut_args(with_value).mut_subcommands(with_values)
}

fn with_value(arg: Arg) -> Arg {
    let is_bool = arg.get_value_parser().type_id() == clap::builder::ValueParser::bool().type_id();
    match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .value_parser(ValueParser::new(go_bool)),
        ArgAction::Set if is_bool => arg.value_parser(ValueParser::new(go_bool)),
        _ => arg,
    }
}

/// Go's `strconv.ParseBool`.
pub(super) fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::args::{Cli, Command};

    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&arguments)
    }

    /// Whether these flags of `up` were given: `--detach`, `--wait`, `--menu`.
    fn up(line: &str) -> (bool, bool, Option<bool>) {
        let text = match parsed(line).map(|cli| cli.command) {
            Ok(Command::Up(up)) => format!("{up:?}"),
            other => panic!("{line}: {other:?}"),
        };
        let is = |words: &str| text.contains(words);
        let menu = match (is(" menu: Some(true)"), is(" menu: Some(false)")) {
            (false, false) => None,
            (on, _) => Some(on),
        };
        (is(" detach: true"), is(" wait: true"), menu)
    }

    #[test]
    fn switches_may_have_values() {
        for (line, expected) in [
            ("stack up -d", (true, false, None)),
            ("stack up --detach=true --wait=false", (true, false, None)),
            ("stack up -d=1 --wait=T", (true, true, None)),
            ("stack up --detach --detach=False", (false, false, None)),
            ("stack up -dt 3 --wait=0", (true, false, None)),
            ("stack up --menu=f -d=false", (false, false, Some(false))),
        ] {
            assert_eq!(up(line), expected, "{line}");
        }
    }

    #[test]
    fn the_last_of_repeated_flags_counts() {
        assert_eq!(up("stack -p a -p b up -d -d"), (true, false, None));
        let cli = parsed("stack -p a --ansi never -p b --ansi auto ps").unwrap();
        assert_eq!(cli.global.project_name.as_deref(), Some("b"));
    }

    #[test]
    fn what_follows_the_program_of_run_is_the_program_s() {
        match parsed("stack run --rm=true web sh --detach=true").map(|cli| cli.command) {
            Ok(Command::Run(run)) => assert!(format!("{run:?}").contains("\"--detach=true\"")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_are_told_of_the_plain_form() {
        for line in ["stack up --detach=maybe", "stack up --no-such=true"] {
            let error = parsed(line).unwrap_err();
            let plain = Cli::command().try_get_matches_from(line.split(' '));
            assert_eq!(error.to_string(), plain.unwrap_err().to_string(), "{line}");
        }
    }
}
