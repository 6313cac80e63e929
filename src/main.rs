//! The `stack` program.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Before anything else is set up: a shim is on the way of every container's start.
    match arguments.split_first() {
        Some((first, rest)) if first == "shim" => match rest {
            [bundle] => stack::runtime::shim::main(Path::new(bundle)),
            _ => {
                eprintln!("usage: stack shim BUNDLE (started by a supervisor)");
                ExitCode::from(2)
            }
        },
        Some((first, rest)) if first == "supervise" => stack::control::supervisor::main(rest),
        _ => ExitCode::SUCCESS,
    }
}
