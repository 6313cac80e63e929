//! `stack top`: the processes of containers, as `ps -ef` shows them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::containers::{self, Listed, cgroup};
use super::context::Context;
use super::error::Result;
use super::project::Project;
use crate::runtime::init::INIT_PATH;
use crate::ui::{Spacing, Table};

const HEAD: [&str; 10] = [
    "SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD",
];

/// Flags of `top`.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Services whose processes are shown; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Top {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let services = project.known(&self.services)?;
        let mut list = containers::list(context, &project.name, &services)?;
        list.retain(|listed| listed.container.is_up());
        let mut table = Table::new(&HEAD).spaced(Spacing::NARROW);
        let host = Host::look();
        let mut found = false;
        for listed in &list {
            for row in rows(listed, &host)? {
                table.row(row);
                found = true;
            }
        }
        let mut out = std::io::stdout().lock();
        if found {
            table.write(&mut out)?;
        }
        Ok(out.flush()?)
    }
}

/// The processes of one container, as `docker top` shows them.
pub(crate) fn write_one(listed: &Listed, out: &mut dyn Write) -> Result<()> {
    // The service and its number go without saying.
    let own = HEAD.len() - 2;
    let mut table = Table::new(&HEAD[2..]).spaced(Spacing::NARROW);
    for row in rows(listed, &Host::look())? {
        table.row(row.into_iter().rev().take(own).rev().collect());
    }
    Ok(table.write(out)?)
}

fn rows(listed: &Listed, host: &Host) -> Result<Vec<Vec<String>>> {
    let record = listed.record();
    let mut pids: Vec<i32> = cgroup(record)
        .and_then(|cgroup| cgroup.processes())
        .unwrap_or_default()
        .iter()
        .filter_map(|pid| pid.parse().ok())
        .collect();
    pids.sort_unstable();
    let rows = pids.into_iter().filter_map(|pid| {
        let mut process = Process::read(pid)?;
        if record.template.init && listed.container.pid() == Some(pid) {
            process.command = init_command(&record.command);
        }
        let mut row = vec![record.service.to_string(), record.number.to_string()];
        row.extend(process.cells(host));
        Some(row)
    });
    Ok(rows.collect())
}

/// What the built-in init is called with: it shows only as much of it as it has room for.
fn init_command(program: &[String]) -> String {
    format!("{INIT_PATH} -- {}", program.join(" "))
}

/// What the cells of all processes are reckoned with.
struct Host {
    now: Timestamp,
    zone: TimeZone,
    ticks: f64,
    /// Seconds since the machine was started.
    uptime: f64,
    users: BTreeMap<u32, String>,
}

impl Host {
    fn look() -> Self {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "it is 100")]
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Self {
            now: Timestamp::now(),
            zone: TimeZone::system(),
            ticks,
            uptime: uptime
                .split(' ')
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0.0),
            users: users_of(&users),
        }
    }
}

/// `/etc/passwd`: ids and names.
fn users_of(text: &str) -> BTreeMap<u32, String> {
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    let mut users = BTreeMap::new();
    for (id, name) in text.lines().filter_map(user) {
        users.entry(id).or_insert(name);
    }
    users
}

/// What `/proc` says of a process.
#[derive(Debug, Clone, PartialEq)]
struct Process {
    pid: i32,
    uid: u32,
    stat: Stat,
    command: String,
}

/// Fields of `/proc/<pid>/stat` (proc(5)).
#[derive(Debug, Clone, PartialEq)]
struct Stat {
    name: String,
    parent: i32,
    terminal: u64,
    /// Processor time in clock ticks.
    used: u64,
    /// Start in clock ticks after that of the machine.
    started: u64,
}

impl Process {
    /// `None` for one that has just gone.
    fn read(pid: i32) -> Option<Self> {
        let dir = format!("/proc/{pid}");
        let uid = fs::metadata(&dir).ok()?.uid();
        let stat = Stat::parse(&fs::read_to_string(format!("{dir}/stat")).ok()?)?;
        let line = fs::read(format!("{dir}/cmdline")).unwrap_or_default();
        Some(Self {
            pid,
            uid,
            command: command(&line, &stat.name),
            stat,
        })
    }

    fn cells(&self, host: &Host) -> [String; 8] {
        let stat = &self.stat;
        #[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
        let (used, started) = (
            stat.used as f64 / host.ticks,
            stat.started as f64 / host.ticks,
        );
        let alive = (host.uptime - started).max(0.0);
        let user = host.users.get(&self.uid);
        [
            user.cloned().unwrap_or_else(|| self.uid.to_string()),
            self.pid.to_string(),
            stat.parent.to_string(),
            share(used, alive),
            start_time(alive, host),
            terminal(stat.terminal),
            cpu_time(used),
            self.command.clone(),
        ]
    }
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses and may contain anything: count from the last one.
        let (head, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at)?.trim().parse::<u64>().ok();
        Some(Self {
            name: head.split_once('(')?.1.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            terminal: number(4)?,
            used: number(11)? + number(12)?,
            started: number(19)?,
        })
    }
}

/// The arguments, or the name in brackets where there are none.
fn command(line: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\0').replace('\0', " ");
    match text.is_empty() {
        true => format!("[{name}]"),
        false => text,
    }
}

/// Percent of one processor since the start, whole.
fn share(used: f64, alive: f64) -> String {
    match alive > 0.0 {
        true => format!("{}", (used * 100.0 / alive).floor().min(999.0)),
        false => "0".to_owned(),
    }
}

/// The time of day for one of today, else the date.
fn start_time(alive: f64, host: &Host) -> String {
    let before = jiff::SignedDuration::try_from_secs_f64(alive).unwrap_or_default();
    let started = host.now.checked_sub(before).unwrap_or(host.now);
    let (started, now) = (
        started.to_zoned(host.zone.clone()),
        host.now.to_zoned(host.zone.clone()),
    );
    let form = if started.date() == now.date() {
        "%H:%M"
    } else if started.year() == now.year() {
        "%b%d"
    } else {
        "%Y"
    };
    started.strftime(form).to_string()
}

/// A device number as `ps` names it: `pts/0`, `tty1`, or `?`.
fn terminal(device: u64) -> String {
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xfff00),
    );
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

/// `00:01:40`, with days in front when there are any.
fn cpu_time(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "processor time is positive and far below the limit"
    )]
    let seconds = seconds as u64;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        days => format!("{days}-{clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_move_the_fields() {
        let text = "42 (a) b (c) S 7 42 42 34816 42 4194304 1 0 0 0 150 50 0 0 20 0 1 0 9000 1 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            stat,
            Stat {
                name: "a) b (c".to_owned(),
                parent: 7,
                terminal: 34816,
                used: 200,
                started: 9000,
            }
        );
        assert_eq!(Stat::parse("42 (x) S"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn cells_are_those_of_ps() {
        let host = Host {
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            zone: TimeZone::UTC,
            ticks: 100.0,
            uptime: 1090.0,
            users: users_of("root:x:0:0:root:/root:/bin/sh\nother:x:0:0::/:/bin/sh\nbad\n"),
        };
        let process = |uid, started| Process {
            pid: 42,
            uid,
            stat: Stat {
                name: "sh".to_owned(),
                parent: 7,
                terminal: 34817,
                used: 10_000,
                started,
            },
            command: command(b"sh\0-c\0exit 1\0", "sh"),
        };
        let cells = process(0, 9_000).cells(&host);
        insta::assert_snapshot!(cells.join("|"), @"root|42|7|10|21:56|pts/1|00:01:40|sh -c exit 1");
        assert_eq!(process(12, 9_000).cells(&host)[0], "12");
    }

    #[test]
    fn times_grow_to_days_and_dates() {
        assert_eq!(cpu_time(90_061.5), "1-01:01:01");
        let host = Host {
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            zone: TimeZone::UTC,
            ticks: 100.0,
            uptime: 0.0,
            users: BTreeMap::new(),
        };
        assert_eq!(start_time(86_400.0, &host), "Nov13");
        assert_eq!(start_time(400.0 * 86_400.0, &host), "2022");
        assert_eq!(terminal(0), "?");
        assert_eq!(command(b"", "kworker"), "[kworker]");
        assert_eq!(share(1.0, 0.0), "0");
    }
}
