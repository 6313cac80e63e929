//! Commands that run in containers after files were copied.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;

use tokio::sync::mpsc::UnboundedSender;

use super::session::Said;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::exec::{all_capabilities, process_of};
use crate::compose::model::Hook;
use crate::plan::ObservedContainer;
use crate::runtime::client::{ExecStdio, exec};
use crate::runtime::protocol::ExecRequest;

/// Runs a command in a container, line by line of its output; its exit code.
pub(super) async fn run(
    context: &Context,
    container: &ObservedContainer,
    hook: &Hook,
    said: &UnboundedSender<Said>,
) -> Result<i32> {
    let request = request(context, container, hook)?;
    let socket = context.paths.shim_socket(&container.record.id);
    let said = said.clone();
    let ended = tokio::task::spawn_blocking(move || -> Result<i32> {
        let null = File::open("/dev/null").map_err(broken)?;
        let (out, out_writer) = io::pipe().map_err(broken)?;
        let (err, err_writer) = io::pipe().map_err(broken)?;
        let stdio = ExecStdio {
            stdin: null.as_fd(),
            stdout: out_writer.as_fd(),
            stderr: err_writer.as_fd(),
        };
        let program = exec(&socket, request, stdio)?;
        // The program's copies are the last ones: the pipes end with it.
        drop((out_writer, err_writer));
        std::thread::scope(|scope| {
            scope.spawn(|| pass_on(err, |line| said.send(Said::Complaint(line)).is_ok()));
            pass_on(out, |line| said.send(Said::Output(line)).is_ok());
        });
        Ok(program.wait()?)
    });
    ended
        .await
        .map_err(|error| Error::new("the command broke off").because(error))?
}

fn broken(error: io::Error) -> Error {
    Error::new("cannot set up the command's output").because(error)
}

/// Passes on lines until there are no more, or nobody wants them.
fn pass_on(from: impl io::Read, mut to: impl FnMut(Vec<u8>) -> bool) {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        match from.read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return,
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        if !to(line) {
            return;
        }
    }
}

fn request(context: &Context, container: &ObservedContainer, hook: &Hook) -> Result<ExecRequest> {
    let (mut process, user) = process_of(context, container)?;
    process.set_args(Some(hook.command.clone()));
    process.set_terminal(Some(false));
    let mut env = process.env().clone().unwrap_or_default();
    for (name, value) in &hook.environment {
        env.retain(|entry| entry.split('=').next() != Some(name));
        env.extend(value.as_ref().map(|value| format!("{name}={value}")));
    }
    process.set_env(Some(env));
    if let Some(directory) = &hook.working_dir {
        process.set_cwd(directory.into());
    }
    if hook.privileged {
        process.set_capabilities(all_capabilities()?);
    }
    Ok(ExecRequest {
        process,
        user: hook.user.clone().or(user),
        terminal: None,
    })
}
