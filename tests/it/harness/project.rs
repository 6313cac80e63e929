//! The program in a `STACK_ROOT`, a project and a network of its own.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::output::Output;
use super::{Terminal, eventually, images, leaks, machine, scenario_images};

/// Longer than any command takes: a command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes a [`Stack`] from the text of its file, or leaves the test where it cannot run.
macro_rules! stack {
    ($text:expr) => {
        stack!($text, needs: [])
    };
    ($text:expr, needs: [$($program:expr),*]) => {
        match $crate::harness::Stack::new($text, &[$($program),*]) {
            Some(stack) => stack,
            None => return,
        }
    };
}
pub(crate) use stack;

/// A project on a machine of its own; at the end nothing of it may be left.
pub(crate) struct Stack {
    root: TempDir,
    dir: PathBuf,
    project: String,
    env: Vec<(String, String)>,
}

/// One line of `stack ps --format json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Row {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) state: String,
    pub(crate) status: String,
    pub(crate) health: String,
    pub(crate) exit_code: i32,
    pub(crate) image: String,
    pub(crate) publishers: Vec<Publisher>,
}

/// A published port in such a line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Publisher {
    #[serde(rename = "URL")]
    pub(crate) url: String,
    pub(crate) target_port: u16,
    pub(crate) published_port: u16,
    pub(crate) protocol: String,
}

impl Stack {
    /// A project with this stack file; nothing runs yet. `None` where it cannot run.
    pub(crate) fn new(text: impl AsRef<[u8]>, programs: &[&str]) -> Option<Self> {
        if !machine::is_able(programs) {
            return None;
        }
        let project = format!("t{:08x}", fastrand::u32(..));
        let stack = Self::in_directory("files", project);
        images::install(&stack.root());
        stack.file("stack.yaml", text);
        Some(stack)
    }

    /// A project that its directory names, with the images of the scenarios and no file yet.
    pub(crate) fn for_scenario(project: &str, programs: &[&str]) -> Option<Self> {
        if !machine::is_able(programs) {
            return None;
        }
        let stack = Self::in_directory(project, project.to_owned());
        scenario_images::install(&stack.root());
        Some(stack)
    }

    fn in_directory(dir: &str, project: String) -> Self {
        machine::enter_own_network();
        let root = tempfile::Builder::new().prefix("stk").tempdir();
        let root = root.expect("a temporary directory");
        let dir = root.path().join(dir);
        fs::create_dir(&dir).expect("a directory");
        Self {
            root,
            dir,
            project,
            env: Vec::new(),
        }
    }

    /// Replaces the images by those of `examples/images`.
    pub(crate) fn with_example_images(self) -> Self {
        images::install_examples(&self.root());
        self
    }

    /// Sets a variable of the environment of all commands.
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file of the project's directory.
    pub(crate) fn file(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs::write(path, text).expect("a file");
        self
    }

    /// The project's directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// `STACK_ROOT`.
    pub(crate) fn root(&self) -> PathBuf {
        self.root.path().join("root")
    }

    /// The name of the project.
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// The full name of a replica.
    pub(crate) fn name(&self, service: &str, number: u32) -> String {
        format!("{}-{service}-{number}", self.project)
    }

    /// The program with these arguments, in the project's directory; not started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command
            .args(arguments)
            .current_dir(&self.dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root.path())
            .env("STACK_ROOT", self.root())
            .env("COMPOSE_PROJECT_NAME", &self.project)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program.
    #[track_caller]
    pub(crate) fn stack(&self, arguments: &[&str]) -> Output {
        self.stack_with_input(arguments, b"")
    }

    /// Runs the program with this as its standard input.
    #[track_caller]
    pub(crate) fn stack_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        finish(start(self.command(arguments)), arguments, input)
    }

    /// Starts the program and does not wait for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let text = arguments.join(" ");
        Running {
            child: Some(start(self.command(arguments))),
            text,
        }
    }

    /// Starts the program with its standard output going into a file.
    pub(crate) fn start_into(&self, arguments: &[&str], path: &Path) -> Running {
        let file = fs::File::create(path).expect("a file");
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(Stdio::piped());
        Running {
            child: Some(command.spawn().expect("the program starts")),
            text: arguments.join(" "),
        }
    }

    /// Starts the program in a terminal.
    pub(crate) fn in_terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::start(&self.command(arguments))
    }

    /// `up -d` that succeeds.
    #[track_caller]
    pub(crate) fn up(&self) -> Output {
        self.stack(&["up", "-d"]).succeeds()
    }

    /// `down` that succeeds.
    #[track_caller]
    pub(crate) fn down(&self) -> Output {
        self.stack(&["down"]).succeeds()
    }

    /// All containers of the project, those that do not run too.
    #[track_caller]
    pub(crate) fn ps(&self) -> Vec<Row> {
        let arguments = [
            "-p",
            &self.project,
            "ps",
            "-a",
            "--no-trunc",
            "--format",
            "json",
        ];
        let output = self.stack(&arguments).succeeds();
        let rows = output.stdout.lines();
        rows.map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        })
        .collect()
    }

    /// The containers of a service.
    #[track_caller]
    pub(crate) fn replicas(&self, service: &str) -> Vec<Row> {
        let mut rows = self.ps();
        rows.retain(|row| row.service == service);
        rows
    }

    /// The only container of a service.
    #[track_caller]
    pub(crate) fn container(&self, service: &str) -> Row {
        let rows = self.replicas(service);
        match <[Row; 1]>::try_from(rows) {
            Ok([row]) => row,
            Err(rows) => panic!("not one container of {service}: {rows:#?}"),
        }
    }

    /// Waits until the only container of a service is as wanted.
    #[track_caller]
    pub(crate) fn wait_for(&self, service: &str, wanted: impl Fn(&Row) -> bool) -> Row {
        let mut last = None;
        let found = super::look(|| {
            let row = self.replicas(service).pop();
            last.clone_from(&row);
            row.filter(&wanted)
        });
        found.unwrap_or_else(|| panic!("{service} never was as wanted; at last: {last:#?}"))
    }

    /// Waits until the only container of a service is in this state.
    #[track_caller]
    pub(crate) fn wait_for_state(&self, service: &str, state: &str) -> Row {
        self.wait_for(service, |row| row.state == state)
    }

    /// What `inspect` says of a container.
    #[track_caller]
    pub(crate) fn inspect(&self, name: &str) -> Value {
        let output = self.stack(&["inspect", name]).succeeds();
        let mut all: Vec<Value> = serde_json::from_str(&output.stdout).expect("a JSON array");
        assert_eq!(all.len(), 1, "{output}");
        all.remove(0)
    }

    /// The process id of the program of a service's only container.
    #[track_caller]
    pub(crate) fn pid(&self, service: &str) -> i32 {
        let pid = self.inspect(&self.container(service).name)["State"]["Pid"].as_i64();
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        pid.filter(|pid| *pid > 0).expect("it runs")
    }

    /// The process id of the program of a service's only container, when it runs.
    pub(crate) fn running_pid(&self, service: &str) -> Option<i32> {
        let output = self.stack(&["inspect", &self.name(service, 1)]);
        let found: Value = serde_json::from_str(&output.stdout).ok()?;
        let pid = found[0]["State"]["Pid"].as_i64()?;
        i32::try_from(pid).ok().filter(|pid| *pid > 0)
    }

    /// Runs a shell script in a running container; its standard output.
    #[track_caller]
    pub(crate) fn exec(&self, service: &str, script: &str) -> String {
        let arguments = ["exec", "-T", service, "sh", "-c", script];
        self.stack(&arguments).succeeds().stdout
    }

    /// What a service has written to its standard output.
    #[track_caller]
    pub(crate) fn logs(&self, service: &str) -> String {
        let arguments = ["logs", "--no-log-prefix", "--no-color", service];
        self.stack(&arguments).succeeds().stdout
    }

    /// Waits until a service has written a line, in full.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, service: &str, line: &str) {
        let mut last = String::new();
        let found = super::look(|| {
            last = self.logs(service);
            last.lines()
                .any(|found| found.trim_end() == line)
                .then_some(())
        });
        assert!(
            found.is_some(),
            "{service} never wrote `{line}`, but:\n{last}"
        );
    }

    /// The process id of the project's supervisor.
    pub(crate) fn supervisor(&self) -> Option<i32> {
        let run = self.root().join("run");
        let wanted = [run.to_str(), Some(self.project())];
        leaks::processes(|arguments| {
            arguments.get(1).is_some_and(|word| word == "supervise")
                && wanted
                    .iter()
                    .flatten()
                    .all(|word| arguments.iter().any(|found| found == word))
        })
        .pop()
    }

    /// The process id of the shim of a service's only container.
    #[track_caller]
    pub(crate) fn shim(&self, service: &str) -> i32 {
        let id = self.container(service).id;
        // For a moment a program that it starts looks like it.
        eventually(&format!("there is one shim of {service}"), || {
            let found = leaks::processes(|arguments| {
                arguments.get(1).is_some_and(|word| word == "shim")
                    && arguments.iter().any(|word| word.contains(&id))
            });
            match found[..] {
                [pid] => Some(pid),
                _ => None,
            }
        })
    }

    /// All processes of the project: supervisor, shims, and what runs inside.
    pub(crate) fn processes(&self) -> Vec<i32> {
        leaks::pids_of(&self.root(), &self.projects())
    }

    /// Puts the whole root onto a disk of this many MiB, before anything was made in it. The
    /// path of the disk.
    pub(crate) fn small_disk(&self, size: u32) -> PathBuf {
        let root = self.root();
        // A mount namespace of the test's thread: nobody else sees it, and it goes with the test.
        machine::enter_own_mounts();
        let text = root.to_str().expect("UTF-8");
        machine::run(
            "mount",
            ["-t", "tmpfs", "-o", &format!("size={size}m"), "disk", text],
        );
        images::install(&root);
        root
    }

    /// Waits until the project has no supervisor.
    #[track_caller]
    pub(crate) fn wait_for_quiet(&self) {
        eventually("the supervisor ends", || {
            self.supervisor().is_none().then_some(())
        });
    }

    /// The body of what a published port answers to an HTTP request; waits until it does.
    #[track_caller]
    pub(crate) fn http(&self, port: u16) -> String {
        self.http_path(port, "/")
    }

    /// The same for one path.
    #[track_caller]
    pub(crate) fn http_path(&self, port: u16, path: &str) -> String {
        eventually(&format!("an answer at port {port} to {path}"), || {
            super::http::get(("127.0.0.1", port), path).ok()
        })
    }

    /// Ends everything at once and removes what lives in memory, as a power cut does.
    pub(crate) fn lose_power(&self) {
        leaks::remove_of(&self.root(), &self.projects());
        for link in machine::links() {
            // The other end of a pair may have gone with it.
            let _ = Command::new("ip").args(["link", "delete", &link]).output();
        }
        machine::run("nft", ["flush", "ruleset"]);
        let _ = fs::remove_dir_all(self.root().join("run"));
    }

    /// What this test would leave behind if it ended now.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        // The kernel takes network namespaces down behind us, and slowly when it has many to do.
        let deadline = Instant::now() + super::PATIENCE;
        loop {
            let found = self.found();
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn found(&self) -> Vec<String> {
        leaks::find_of(&self.root(), &self.projects())
    }

    /// What the project's supervisor has to say.
    pub(crate) fn supervisor_log(&self) -> String {
        let dir = self.root().join("run/projects").join(&self.project);
        fs::read_to_string(dir.join("supervisor.log")).unwrap_or_default()
    }

    /// The names of all projects that the root has, this one first.
    fn projects(&self) -> Vec<String> {
        let mut names = vec![self.project.clone()];
        for entry in fs::read_dir(self.root().join("projects"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if let Ok(name) = entry.file_name().into_string()
                && name != self.project
                && !name.starts_with('.')
            {
                names.push(name);
            }
        }
        names
    }

    /// Brings everything down; what could not be done.
    fn end(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for project in self.projects() {
            let arguments = ["-p", &project, "down", "-v", "-t", "0", "--remove-orphans"];
            let mut child = start(self.command(&arguments));
            match wait(&mut child, Duration::from_secs(20)) {
                Some(0) => {}
                code => {
                    let _ = child.kill();
                    let mut text = String::new();
                    let stderr = child
                        .stderr
                        .take()
                        .map(|mut pipe| pipe.read_to_string(&mut text));
                    failures.push(format!("down of {project} ended with {code:?}: {text}"));
                    drop(stderr);
                }
            }
        }
        failures
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let projects = self.projects();
        let log = self.supervisor_log();
        let failures = self.end();
        // The supervisor ends by itself, when it has nothing left to do.
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut found = leaks::find_of(&self.root(), &projects);
        while !found.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            found = leaks::find_of(&self.root(), &projects);
        }
        if !found.is_empty() {
            leaks::remove_of(&self.root(), &projects);
        }
        if std::thread::panicking() {
            eprintln!("--- log of the supervisor\n{log}\n---");
            return;
        }
        assert!(failures.is_empty(), "{failures:#?}");
        assert!(found.is_empty(), "left behind: {found:#?}");
    }
}

/// A command that runs beside the test.
pub(crate) struct Running {
    child: Option<Child>,
    text: String,
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        let child = self.child.as_ref().expect("it was not waited for");
        i32::try_from(child.id()).expect("a process id")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        signal_to(self.pid(), signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Output {
        let child = self.child.take().expect("it was not waited for");
        finish(child, &[&self.text], b"")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a signal to a process of the test; one that has ended is no failure.
pub(crate) fn signal_to(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    let _ = rustix::process::kill_process(pid, signal);
}

fn start(mut command: Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

#[track_caller]
fn finish(mut child: Child, arguments: &[&str], input: &[u8]) -> Output {
    let began = Instant::now();
    let mut stdin = child.stdin.take().expect("it is piped");
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    // A program that does not read it closes its end.
    let _ = stdin.write_all(input);
    drop(stdin);
    let code = wait(&mut child, LIMIT);
    let took = began.elapsed();
    if code.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let output = Output {
        command: format!("stack {}", arguments.join(" ")),
        code: code.unwrap_or(-1),
        took,
        stdout: stdout.text(),
        stderr: stderr.text(),
    };
    assert!(code.is_some(), "it did not end: {output}");
    output
}

/// What comes out of a pipe.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    done: mpsc::Receiver<()>,
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let (sender, done) = mpsc::channel();
    let kept = Arc::clone(&bytes);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        let Some(mut pipe) = pipe else { return };
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            kept.lock()
                .expect("no panic")
                .extend_from_slice(&buffer[..count]);
        }
        drop(sender);
    });
    Collected { bytes, done }
}

impl Collected {
    /// All of it; what there is when the pipe stays open although the program has ended.
    fn text(self) -> String {
        let _ = self.done.recv_timeout(Duration::from_secs(2));
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned()
    }
}

/// The exit code, as a shell would say it; `None` when it takes longer.
fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code().or(status.signal().map(|signal| 128 + signal));
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
