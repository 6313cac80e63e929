//! The `stack` program.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Before anything else is set up: these are on the way of every start.
    match arguments.next() {
        Some(first) if first == "shim" => match (arguments.next(), arguments.next()) {
            (Some(bundle), None) => stack::runtime::shim::main(Path::new(&bundle)),
            _ => {
                eprintln!("usage: stack shim BUNDLE (started by a supervisor)");
                ExitCode::from(2)
            }
        },
        Some(first) if first == "supervise" => {
            let rest: Vec<_> = arguments.collect();
            stack::control::supervisor::main(&rest)
        }
        Some(first) if first == "reload" => {
            let rest: Vec<_> = arguments.collect();
            stack::cli::reload::main(&rest)
        }
        _ => stack::cli::main(),
    }
}
