//! `stack logs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::containers::{State, list, log_dir, strip_project};
use super::context::Context;
use super::drive::warn;
use super::error::{Error, Result};
use super::follow::FollowedLogs;
use super::pick::Index;
use super::project::Project;
use super::time;
use crate::compose::model::ServiceName;
use crate::runtime::log::{Line, LogError, Range, Stream, read};
use crate::state::records::ContainerRecord;
use crate::ui::{LogOptions, LogView, Paint};

/// Time between two looks for new and ended containers while following.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Flags about the times of lines.
#[derive(Debug, Args)]
pub(crate) struct Times {
    /// Show the time of each line.
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Only what was written since this time (2026-01-02T15:04:05Z) or so long ago (42m).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only what was written before this time or so long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// Flags of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Services whose output is shown; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Go on as more comes, until all containers have ended.
    #[arg(short, long)]
    follow: bool,
    /// Lines from the end of each container's output; `all` for all.
    #[arg(
        short = 'n',
        long,
        value_name = "LINES",
        default_value = "all",
        allow_hyphen_values = true
    )]
    tail: String,
    #[command(flatten)]
    times: Times,
    /// Show the names without colours.
    #[arg(long)]
    no_color: bool,
    /// Do not show the names.
    #[arg(long)]
    no_log_prefix: bool,
    #[command(flatten)]
    which: Index,
}

impl Logs {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let range = self.range(Timestamp::now())?;
        let project = Project::find(context)?;
        if self.which.index > 0 && self.services.len() != 1 {
            return Err(Error::new("--index requires one service to be selected"));
        }
        let Some(services) = project.concerned(&self.services)? else {
            return Ok(());
        };
        let options = LogOptions {
            prefix: !self.no_log_prefix,
            timestamps: self.times.timestamps,
            paint: match self.no_color {
                true => Paint::Off,
                false => context.terminal.stdout,
            },
        };
        let replicas = Replicas {
            context,
            project: &project.name,
            services: &services,
            which: Which::Number(self.which.index),
        };
        let found = replicas.find()?;
        if let (Some(service), 1.., true) = (services.first(), self.which.index, found.is_empty()) {
            let index = self.which.index;
            return Err(Error::new(format!(
                "service \"{service}\" is not running container #{index}"
            )));
        }
        for name in &found.silent {
            let message = format!(
                "Can't retrieve logs for \"{name}\": configured logging driver does not support reading"
            );
            warn(&message, context.terminal.stderr);
        }
        match self.follow {
            true => follow(&replicas, FollowedLogs::joined(options)?, range),
            false => print(&found, LogView::joined(options), range),
        }
    }

    fn range(&self, now: Timestamp) -> Result<Range> {
        self.times.range(&self.tail, now)
    }
}

impl Times {
    /// These times, and so many lines from the end.
    pub(crate) fn range(&self, tail: &str, now: Timestamp) -> Result<Range> {
        let point = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(|text| time::point(text, now)).transpose()
        };
        let tail = match tail {
            "all" | "" => None,
            // Docker takes a negative number as "all".
            text => match text.parse::<i64>() {
                Ok(lines) => u64::try_from(lines).ok(),
                Err(_) => {
                    return Err(Error::new(format!("`{text}` is no number of lines"))
                        .hint("give a number, or `all`"));
                }
            },
        };
        Ok(Range {
            tail,
            since: point(&self.since)?,
            until: point(&self.until)?,
        })
    }
}

/// The output of one container, each stream on the caller's own of that name.
pub(crate) fn of_container(
    context: &Context,
    record: &ContainerRecord,
    (followed, timestamps, range): (bool, bool, Range),
) -> Result<()> {
    let options = LogOptions {
        prefix: false,
        timestamps,
        paint: Paint::Off,
    };
    let replicas = Replicas {
        context,
        project: &record.project,
        services: std::slice::from_ref(&record.service),
        which: Which::Container(&record.id),
    };
    // The log is the replica's: what a container before it wrote is not this one's.
    let range = Range {
        since: range.since.max(Some(record.created)),
        ..range
    };
    let found = replicas.find()?;
    if !found.silent.is_empty() {
        let message = "configured logging driver does not support reading";
        return Err(Error::new(message));
    }
    match followed {
        true => follow(&replicas, FollowedLogs::new(options)?, range),
        false => print(&found, LogView::new(options), range),
    }
}

/// Whose output is shown.
struct Replicas<'a> {
    context: &'a Context,
    project: &'a str,
    services: &'a [ServiceName],
    which: Which<'a>,
}

/// Which containers of the services.
#[derive(Clone, Copy)]
enum Which<'a> {
    /// The replica with this number; 0 = all replicas.
    Number(u32),
    /// The one with this id, a replica or not.
    Container(&'a str),
}

/// Logs of the project and whether something still writes to them.
struct Found {
    /// Name → directory.
    logs: BTreeMap<String, PathBuf>,
    /// Full names of containers that keep none (`logging: {driver: none}`).
    silent: Vec<String>,
    /// Containers that run, or are about to.
    active: BTreeSet<String>,
    /// Exit codes of those that have ended.
    ended: BTreeMap<String, i32>,
}

impl Found {
    /// There is no container and no log.
    fn is_empty(&self) -> bool {
        self.logs.is_empty() && self.silent.is_empty()
    }
}

impl Replicas<'_> {
    /// The logs that there are: of the containers, and what replicas that are gone have left.
    fn find(&self) -> Result<Found> {
        let (mut logs, mut silent) = (BTreeMap::new(), Vec::new());
        let (mut active, mut ended) = (BTreeSet::new(), BTreeMap::new());
        for listed in list(self.context, self.project, self.services)? {
            let record = listed.record();
            let wanted = match self.which {
                Which::Container(id) => record.id == id,
                Which::Number(_) => !record.one_off && self.wants(&record.service, record.number),
            };
            if !wanted {
                continue;
            }
            let name = strip_project(&record.name, self.project).to_owned();
            match listed.state {
                State::Exited => drop(ended.insert(name.clone(), listed.exit_code())),
                state if state.is_active() => drop(active.insert(name.clone())),
                _ => {}
            }
            match log_dir(self.context, record) {
                Some(dir) => drop(logs.insert(name, dir)),
                None => silent.push(record.name.clone()),
            }
        }
        self.add_left_behind(&mut logs);
        Ok(Found {
            logs,
            silent,
            active,
            ended,
        })
    }

    /// Logs belong to a replica and stay when its container is replaced or removed.
    fn add_left_behind(&self, logs: &mut BTreeMap<String, PathBuf>) {
        let all = self.context.paths.project(self.project).join("logs");
        let Ok(entries) = std::fs::read_dir(&all) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((service, number)) = name.rsplit_once('.') else {
                continue;
            };
            let Ok(number) = number.parse::<u32>() else {
                continue;
            };
            let known = logs.values().any(|dir| *dir == entry.path());
            if !known && self.wants(&ServiceName::new(service), number) {
                logs.insert(format!("{service}-{number}"), entry.path());
            }
        }
    }

    fn wants(&self, service: &ServiceName, number: u32) -> bool {
        let of_number = match self.which {
            Which::Number(0) => true,
            Which::Number(wanted) => wanted == number,
            Which::Container(_) => false,
        };
        of_number && (self.services.is_empty() || self.services.contains(service))
    }
}

fn follow(replicas: &Replicas<'_>, mut followed: FollowedLogs, range: Range) -> Result<()> {
    let mut range = range;
    let mut running: BTreeSet<String> = BTreeSet::new();
    loop {
        let found = replicas.find()?;
        found.logs.keys().for_each(|name| followed.announce(name));
        for (name, dir) in &found.logs {
            followed.follow_range(name, dir, range)?;
        }
        // A container that comes later is shown from its beginning.
        range.tail = None;
        let past = range.until.is_some_and(|until| Timestamp::now() >= until);
        followed.show_available()?;
        if found.active.is_empty() || running.iter().any(|name| found.ended.contains_key(name)) {
            // What it wrote last may have come after the look at it.
            followed.show_all()?;
        }
        let tells_ends = matches!(replicas.which, Which::Number(_));
        for name in running.iter().filter(|_| tells_ends) {
            if let Some(code) = found.ended.get(name) {
                followed.status(name, &format!("exited with code {code}"))?;
            }
        }
        if found.active.is_empty() || past {
            return followed.finish();
        }
        running = found.active;
        let look_again = std::time::Instant::now() + LOOK_AGAIN;
        while let Some(left) = look_again.checked_duration_since(std::time::Instant::now()) {
            followed.wait(left);
            followed.show_available()?;
        }
    }
}

/// Lines of one log, on their way to be merged with others: two pieces of memory for all of them.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    lines: Vec<Kept>,
}

/// A line of a batch.
#[derive(Clone, Copy)]
struct Kept {
    time: Time,
    stream: Stream,
    partial: bool,
    /// Where its text ends; it begins where that of the line before ends.
    end: usize,
}

/// A time stamp, which compares as its text does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Time([u8; TIME_LEN]);

/// Bytes of a time stamp: RFC 3339 in UTC with nine digits.
const TIME_LEN: usize = 30;

impl Time {
    fn new(text: &str) -> Self {
        let mut time = [0; TIME_LEN];
        let len = text.len().min(TIME_LEN);
        time[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self(time)
    }

    fn as_str(&self) -> &str {
        let len = self.0.iter().position(|byte| *byte == 0);
        std::str::from_utf8(&self.0[..len.unwrap_or(TIME_LEN)]).unwrap_or_default()
    }
}

impl Batch {
    fn push(&mut self, line: &Line<'_>) {
        self.text.extend_from_slice(line.text);
        self.lines.push(Kept {
            time: Time::new(line.time),
            stream: line.stream,
            partial: line.partial,
            end: self.text.len(),
        });
    }
}

/// Lines that one reader may be ahead of the merge, and bytes; with the queue's two batches that bounds
/// the memory, whatever the size of the logs.
const BATCH: usize = 4096;
const BATCH_BYTES: usize = 256 << 10;

/// Prints what there is, all containers merged by time.
fn print(found: &Found, mut view: LogView, range: Range) -> Result<()> {
    let sources: Vec<_> = found.logs.keys().map(|name| view.add(name)).collect();
    if let [source] = sources[..] {
        let mut failed = None;
        for dir in found.logs.values() {
            read(dir, range, &mut |line| match view.line(source, &line) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            })?;
        }
        return match failed {
            Some(error) => Err(error.into()),
            None => Ok(view.finish()?),
        };
    }
    std::thread::scope(|scope| {
        let mut logs: Vec<Queue> = found
            .logs
            .values()
            .map(|dir| {
                let (sender, receiver) = mpsc::sync_channel(2);
                scope.spawn(move || send_lines(dir, range, &sender));
                Queue::new(receiver)
            })
            .collect();
        merge(&mut logs, |index, line| {
            Ok(view.line(sources[index], &line)?)
        })?;
        Ok(view.finish()?)
    })
}

/// Reads a log and sends its lines; ends early when nobody takes them.
fn send_lines(dir: &Path, range: Range, sender: &mpsc::SyncSender<Result<Batch, LogError>>) {
    let mut batch = Batch::default();
    let result = read(dir, range, &mut |line| {
        batch.push(&line);
        if batch.lines.len() < BATCH && batch.text.len() < BATCH_BYTES {
            return ControlFlow::Continue(());
        }
        match sender.send(Ok(std::mem::take(&mut batch))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let last = result.map(|()| batch);
    // The merge may have ended because its output is closed.
    let _ = sender.send(last);
}

/// The lines of one log, as they come.
struct Queue {
    receiver: mpsc::Receiver<Result<Batch, LogError>>,
    batch: Batch,
    /// The next line of the batch, and where its text begins.
    next: (usize, usize),
}

impl Queue {
    fn new(receiver: mpsc::Receiver<Result<Batch, LogError>>) -> Self {
        Self {
            receiver,
            batch: Batch::default(),
            next: (0, 0),
        }
    }

    /// The time of the next line; `None` at the end.
    fn peek(&mut self) -> Result<Option<Time>> {
        while self.next.0 == self.batch.lines.len() {
            match self.receiver.recv() {
                Ok(batch) => self.batch = batch?,
                Err(_) => return Ok(None),
            }
            self.next = (0, 0);
        }
        Ok(Some(self.batch.lines[self.next.0].time))
    }

    /// Hands over the next line, which [`Queue::peek`] has seen.
    fn take(&mut self, sink: impl FnOnce(Line<'_>) -> Result<()>) -> Result<()> {
        let (index, begin) = self.next;
        let Some(kept) = self.batch.lines.get(index) else {
            return Ok(());
        };
        self.next = (index + 1, kept.end);
        sink(Line {
            time: kept.time.as_str(),
            stream: kept.stream,
            partial: kept.partial,
            text: &self.batch.text[begin..kept.end],
        })
    }
}

/// Hands over the lines of all logs by time; time stamps of one log are trusted to be in order.
fn merge(logs: &mut [Queue], mut sink: impl FnMut(usize, Line<'_>) -> Result<()>) -> Result<()> {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    let mut heap = BinaryHeap::new();
    for (index, log) in logs.iter_mut().enumerate() {
        if let Some(time) = log.peek()? {
            heap.push(Reverse((time, index)));
        }
    }
    while let Some(Reverse((_, index))) = heap.pop() {
        // As long as this log is behind all others its lines go out one after the other.
        let others = heap.peek().map(|Reverse(next)| *next);
        let log = &mut logs[index];
        loop {
            log.take(|line| sink(index, line))?;
            match log.peek()? {
                None => break,
                Some(time) if others.is_none_or(|next| (time, index) < next) => {}
                Some(time) => {
                    heap.push(Reverse((time, index)));
                    break;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        logs: Logs,
    }

    fn logs(flags: &[&str]) -> Logs {
        Wrapper::try_parse_from([&["logs"], flags].concat())
            .unwrap()
            .logs
    }

    #[test]
    fn a_range_is_a_number_of_lines_and_two_points_in_time() {
        let now = Timestamp::from_second(1000).unwrap();
        let range = logs(&["-n", "5", "--since", "10m"]).range(now).unwrap();
        let expected = Range {
            tail: Some(5),
            since: Some(Timestamp::from_second(400).unwrap()),
            until: None,
        };
        assert_eq!(range, expected);
        assert_eq!(logs(&[]).range(now).unwrap(), Range::default());
        assert_eq!(logs(&["--tail=-1"]).range(now).unwrap().tail, None);
        assert!(logs(&["-n", "few"]).range(now).is_err());
        assert!(logs(&["--until", "soon"]).range(now).is_err());
    }

    #[test]
    fn several_logs_are_merged_by_time() {
        let queue = |lines: &[(&str, &str)], size: usize| {
            let (sender, receiver) = mpsc::sync_channel(16);
            for chunk in lines.chunks(size) {
                let mut batch = Batch::default();
                for (time, text) in chunk {
                    batch.push(&Line {
                        time,
                        stream: Stream::Stdout,
                        partial: false,
                        text: text.as_bytes(),
                    });
                }
                assert!(sender.send(Ok(batch)).is_ok());
            }
            Queue::new(receiver)
        };
        let mut logs = [
            queue(&[("1", "a"), ("4", "d"), ("5", "e")], 1),
            queue(&[], 1),
            queue(&[("2", "b"), ("3", "c"), ("5", "f")], 2),
        ];
        let mut seen = String::new();
        merge(&mut logs, |_, line| {
            seen.push_str(line.time);
            seen.push_str(&String::from_utf8_lossy(line.text));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, "1a2b3c4d5e5f");
    }
}
