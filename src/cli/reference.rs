//! `docs/cli.md`: the reference of all commands, written from the commands themselves.

use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use super::args::Cli;

const HEAD: &str = "# Commands of `stack`

Flags are those of Docker Compose where it has the command. This page is written from the program;
after a change of flags, write it anew with `STACK_UPDATE_DOCS=1 cargo test --lib cli::reference`.
";

/// The whole page.
fn page() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut page = HEAD.to_owned();
    section(&cli, "stack", &mut page);
    page
}

fn section(command: &Command, name: &str, page: &mut String) {
    page.push_str(&format!("\n## `{name}`\n"));
    if let Some(about) = command.get_about() {
        page.push_str(&format!("\n{about}.\n"));
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim_end();
    page.push_str(&format!("\n```text\n{usage}\n```\n"));
    // The flag of every command that is about a project is described once.
    let repeated = |arg: &Arg| arg.get_id() == "instance" && name != "stack";
    let shown = |arg: &&Arg| !arg.is_hide_set() && arg.get_id() != "help" && !repeated(arg);
    let args: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if !args.is_empty() {
        page.push_str("\n| Argument | Meaning |\n| --- | --- |\n");
        for arg in args {
            page.push_str(&row(arg));
        }
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        section(sub, &format!("{name} {}", sub.get_name()), page);
    }
}

fn row(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values())
        .and_then(<[_]>::first)
        .map(|name| name.to_string());
    let mut forms = Vec::new();
    forms.extend(arg.get_short().map(|short| format!("-{short}")));
    forms.extend(arg.get_long().map(|long| format!("--{long}")));
    let mut left = forms.join(", ");
    if let Some(value) = value {
        if !left.is_empty() {
            left.push(' ');
        }
        left.push_str(&value);
    }
    let mut right = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if !right.ends_with('.') {
        right.push('.');
    }
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() && !arg.is_hide_possible_values_set() && arg.get_action().takes_values() {
        right.push_str(&format!(" One of {}.", values.join(", ")));
    }
    let default = arg.get_default_values().first();
    if let Some(default) =
        default.filter(|_| arg.get_action().takes_values() && !arg.is_hide_default_value_set())
    {
        right.push_str(&format!(" Default: `{}`.", default.to_string_lossy()));
    }
    let escape = |text: &str| text.replace('|', "\\|");
    format!("| `{}` | {} |\n", escape(&left), escape(&right))
}

#[test]
fn the_definitions_of_all_flags_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let page = page();
    if std::env::var_os("STACK_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page
        .lines()
        .zip(written.lines())
        .find(|(new, old)| new != old);
    assert!(
        written == page,
        "docs/cli.md is not what the program says, first at {differs:?}; write it anew with STACK_UPDATE_DOCS=1"
    );
}
