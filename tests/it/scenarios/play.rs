//! Runs the commands of a scenario and writes down what they answer.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::normal;
use super::script::{How, Step};
use super::side::Stage;
use super::transcript::Answer;

/// Longer than any command takes.
const LIMIT: Duration = Duration::from_secs(40);
/// Said of a command that took longer, as `timeout` says it.
const TOO_LONG: i32 = 124;

/// Plays all steps.
pub(super) fn play(stage: &Stage, steps: &[Step]) -> Vec<Answer> {
    steps.iter().map(|step| answer(stage, step)).collect()
}

fn answer(stage: &Stage, step: &Step) -> Answer {
    match step.how {
        How::Until => return until(stage, step),
        How::State => return state(stage, step),
        How::Plain | How::Sorted | How::Code => {}
    }
    let run = stage.run();
    let ended = finish(stage.shell(&step.command));
    let mut answer = Answer {
        title: step.title(),
        code: ended.code,
        stdout: normal::stdout(&ended.stdout, &run),
        stderr: normal::stderr(&ended.stderr, &run),
    };
    if step.how == How::Sorted {
        answer.stdout.sort();
    }
    if step.how == How::Code {
        answer.stdout.clear();
        answer.stderr.clear();
    }
    answer
}

fn until(stage: &Stage, step: &Step) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(20);
    let code = loop {
        let code = finish(stage.shell(&step.command)).code;
        if code == 0 || Instant::now() > deadline {
            break code;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    Answer {
        title: step.title(),
        code,
        ..Answer::default()
    }
}

fn state(stage: &Stage, step: &Step) -> Answer {
    let project = stage.project();
    let command = format!("docker-compose -p {project} ps -a --format json");
    let ended = finish(stage.shell(&command));
    let rows = ended.stdout.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap_or_default();
        describe(&row)
    });
    let mut stdout: Vec<_> = rows.map(|line| normal::line(&line, &stage.run())).collect();
    stdout.sort();
    Answer {
        title: step.title(),
        code: ended.code,
        stdout,
        stderr: normal::stderr(&ended.stderr, &stage.run()),
    }
}

/// One container: what people look at.
fn describe(row: &Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or("?").to_owned();
    let mut line = format!("{} {} {}", text("Service"), text("Name"), text("State"));
    if row["State"] == "exited" {
        line += &format!(" {}", row["ExitCode"]);
    }
    if row["Health"] != "" {
        line += &format!(" {}", text("Health"));
    }
    let mut ports: Vec<_> = row["Publishers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let number = |key: &str| port[key].to_string();
            let url = port["URL"].as_str().unwrap_or("?");
            let (published, target) = (number("PublishedPort"), number("TargetPort"));
            format!(" {url}:{published}->{target}")
        })
        .collect();
    ports.sort();
    // Docker says `::` beside `0.0.0.0`, where a machine has IPv6.
    ports.retain(|port| !port.contains(":::"));
    line + &ports.concat()
}

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

fn finish(mut command: Command) -> Ended {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().expect("a shell");
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let code = wait(&mut child).unwrap_or_else(|| {
        let group = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = child.wait();
        TOO_LONG
    });
    // What it started in the background may hold its output open.
    let text = |receiver: mpsc::Receiver<Vec<u8>>| {
        let mut bytes = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(2);
        while let Ok(part) =
            receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            bytes.extend(part);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ended {
        code,
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        let Some(mut pipe) = pipe else { return };
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code().or(status.signal().map(|signal| 128 + signal));
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
