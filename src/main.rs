//! The `stack` program.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Before anything else is set up: a shim is on the way of every container's start.
    if arguments.next().is_some_and(|first| first == "shim") {
        return match (arguments.next(), arguments.next()) {
            (Some(bundle), None) => stack::runtime::shim::main(Path::new(&bundle)),
            _ => {
                eprintln!("usage: stack shim <bundle>");
                ExitCode::from(2)
            }
        };
    }
    stack::cli::main()
}
