//! `develop.watch`: what changes in the sources goes into the containers.

mod command;
mod rebuild;
mod seen;
mod sync;

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::harness::{Output, Running, Stack, eventually};

/// A watch that runs.
struct Watching<'a> {
    stack: &'a Stack,
    running: Running,
    out: PathBuf,
}

/// Starts `watch` or `up --watch`, and waits until changes are seen.
#[track_caller]
fn start<'a>(stack: &'a Stack, arguments: &[&str]) -> Watching<'a> {
    // Outside of what is watched.
    let out = stack.root().join(format!("{:08x}.out", fastrand::u32(..)));
    let running = stack.start_into(arguments, &out);
    let watching = Watching {
        stack,
        running,
        out,
    };
    watching.until("Watch enabled");
    watching
}

#[track_caller]
fn watch(stack: &Stack) -> Watching<'_> {
    start(stack, &["watch"])
}

impl Watching<'_> {
    /// What it has printed.
    fn printed(&self) -> String {
        fs::read_to_string(&self.out).expect("its output")
    }

    /// Waits until it has printed this.
    #[track_caller]
    fn until(&self, text: &str) {
        eventually(text, || self.printed().contains(text).then_some(()));
    }

    /// Waits until a command in a container prints this and nothing else.
    #[track_caller]
    fn until_says(&self, service: &str, script: &str, text: &str) {
        let mut last = String::new();
        let found = || {
            last = says(self.stack, service, script);
            (last.trim_end() == text).then_some(())
        };
        eventually(&format!("`{script}` says `{text}`"), found);
    }

    /// Waits until a file in a container has this content.
    #[track_caller]
    fn until_file(&self, service: &str, path: &str, text: &str) {
        self.until_says(service, &format!("cat {path}"), text);
    }

    /// Waits until everything that has changed so far was handled: later changes come later.
    #[track_caller]
    fn flush(&self, service: &str, (source, target): (&str, &str)) {
        let text = format!("{:016x}", fastrand::u64(..));
        self.stack.file(source, &text);
        self.until_file(service, target, &text);
    }

    /// Ctrl-C.
    #[track_caller]
    fn interrupt(self) -> Output {
        self.running.signal(Signal::INT);
        self.running.finish()
    }
}

/// What a command in a container prints on both streams, whether it succeeds or not.
fn says(stack: &Stack, service: &str, script: &str) -> String {
    let script = format!("({script}) 2>&1");
    let output = stack.stack(&["exec", "-T", service, "sh", "-c", &script]);
    output.stdout
}

const NOTHING: &str = "No such file or directory";

fn is_missing(stack: &Stack, service: &str, path: &str) -> bool {
    says(stack, service, &format!("stat {path}")).contains(NOTHING)
}
