//! `stack stats`: what containers use, from the kernel's own counters.

use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::choice::{Format, Written};
use super::containers::{self, Listed, cgroup, short_id};
use super::context::Context;
use super::error::Result;
use super::project::Project;
use crate::compose::model::ServiceNetwork;
use crate::ui::{Table, words};

/// Between the two samples that a share of the processor is reckoned from: far above what the
/// kernel accounts in, and not long to wait.
const FIRST: Duration = Duration::from_millis(250);
/// Between two pictures.
const EACH: Duration = Duration::from_secs(1);

/// Heads of columns that are not the field's name.
const HEADS: [(&str, &str); 8] = [
    ("ID", "CONTAINER ID"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
    ("Container", "CONTAINER"),
];

/// Flags of `stats`.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Service whose containers are shown; none = all.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

/// Flags about what is shown, and how.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// Show containers that do not run, too.
    #[arg(short, long)]
    all: bool,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Show it once.
    #[arg(long)]
    no_stream: bool,
    /// Do not shorten ids.
    #[arg(long)]
    no_trunc: bool,
}

/// A container as Docker's JSON has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "BlockIO")]
    block_io: String,
    #[serde(rename = "CPUPerc")]
    cpu: String,
    container: String,
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "MemPerc")]
    memory_share: String,
    #[serde(rename = "MemUsage")]
    memory: String,
    name: String,
    #[serde(rename = "NetIO")]
    net_io: String,
    #[serde(rename = "PIDs")]
    pids: String,
}

/// What a container had used at a point in time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    cpu_usec: u64,
    memory: u64,
    limit: u64,
    pids: u64,
    received: u64,
    sent: u64,
    block_read: u64,
    block_written: u64,
}

impl Stats {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let services = project.known(self.service.as_slice())?;
        self.shown
            .show(&|| containers::list(context, &project.name, &services))
    }
}

impl Shown {
    /// Shows what the containers use that `list` finds, again and again.
    pub(crate) fn show(&self, list: &dyn Fn() -> Result<Vec<Listed>>) -> Result<()> {
        let memory = total_memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
        let look = || -> Result<Vec<(Listed, Option<Sample>)>> {
            let mut list = list()?;
            list.retain(|listed| self.all || listed.state.is_active());
            let with_sample = |listed: Listed| {
                let sample = sample(&listed, memory);
                (listed, sample)
            };
            Ok(list.into_iter().map(with_sample).collect())
        };
        let redraws = !self.no_stream && std::io::stdout().is_terminal();
        let mut before = samples(&look()?);
        let mut pause = FIRST;
        loop {
            std::thread::sleep(pause);
            let now = look()?;
            let rows: Vec<Row> = now
                .iter()
                .map(|(listed, sample)| {
                    let earlier = before.get(&listed.record().id);
                    self.row(listed, earlier, sample.as_ref())
                })
                .collect();
            let mut picture = Vec::new();
            if redraws {
                // Home, and all below it is empty.
                picture.extend_from_slice(b"\x1b[H\x1b[J");
            }
            self.print(&rows, &mut picture)?;
            let mut out = std::io::stdout().lock();
            out.write_all(&picture)?;
            out.flush()?;
            if self.no_stream {
                return Ok(());
            }
            before = samples(&now);
            pause = EACH;
        }
    }

    fn row(&self, listed: &Listed, before: Option<&Sample>, now: Option<&Sample>) -> Row {
        let record = listed.record();
        let pair = |a: String, b: String| format!("{a} / {b}");
        let of = |field: fn(&Sample) -> u64| now.map_or(0, field);
        Row {
            block_io: pair(
                words::size(of(|sample| sample.block_read)),
                words::size(of(|sample| sample.block_written)),
            ),
            cpu: percent(before.zip(now).map_or(0.0, cpu_share)),
            container: record.id.clone(),
            id: match self.no_trunc {
                true => record.id.clone(),
                false => short_id(&record.id).to_owned(),
            },
            memory_share: percent(now.map_or(0.0, |now| share(now.memory, now.limit))),
            memory: pair(
                words::binary_size(of(|sample| sample.memory)),
                words::binary_size(of(|sample| sample.limit)),
            ),
            name: record.name.clone(),
            net_io: pair(
                words::size(of(|sample| sample.received)),
                words::size(of(|sample| sample.sent)),
            ),
            pids: of(|sample| sample.pids).to_string(),
        }
    }

    fn print(&self, rows: &[Row], out: &mut dyn Write) -> Result<()> {
        if self.format.write_rows(rows, &HEADS, out)? == Written::Yes {
            return Ok(());
        }
        let mut table = Table::new(&[
            "CONTAINER ID",
            "NAME",
            "CPU %",
            "MEM USAGE / LIMIT",
            "MEM %",
            "NET I/O",
            "BLOCK I/O",
            "PIDS",
        ]);
        for row in rows {
            let cells = [
                &row.id,
                &row.name,
                &row.cpu,
                &row.memory,
                &row.memory_share,
                &row.net_io,
                &row.block_io,
                &row.pids,
            ];
            table.row(cells.map(Clone::clone).to_vec());
        }
        Ok(table.write(out)?)
    }
}

fn samples(list: &[(Listed, Option<Sample>)]) -> BTreeMap<String, Sample> {
    list.iter()
        .filter_map(|(listed, sample)| Some((listed.record().id.clone(), (*sample)?)))
        .collect()
}

/// What a container has used; `None` for one that does not run, or no more.
fn sample(listed: &Listed, machine: u64) -> Option<Sample> {
    let pid = listed.container.pid()?;
    let stats = cgroup(listed.record()).ok()?.stats().ok()?;
    // The host's own traffic is not the container's.
    let counters = match listed.record().template.network {
        ServiceNetwork::Host => String::new(),
        _ => fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default(),
    };
    let (received, sent) = traffic(&counters);
    Some(Sample {
        at: Instant::now(),
        cpu_usec: stats.cpu_usec,
        memory: stats.memory,
        limit: stats
            .memory_limit
            .map_or(machine, |limit| limit.min(machine)),
        pids: stats.pids,
        received,
        sent,
        block_read: stats.block_read,
        block_written: stats.block_written,
    })
}

/// `/proc/<pid>/net/dev`: bytes received and sent by all interfaces but the loopback.
fn traffic(text: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in text.lines() {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let counters: Vec<u64> = counters
            .split_ascii_whitespace()
            .map(|counter| counter.parse().unwrap_or(0))
            .collect();
        sum.0 += counters.first().unwrap_or(&0);
        sum.1 += counters.get(8).unwrap_or(&0);
    }
    sum
}

/// Bytes of memory that the machine has, by `/proc/meminfo`.
fn total_memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Percent of one processor between two samples.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn cpu_share((before, now): (&Sample, &Sample)) -> f64 {
    let wall = now.at.duration_since(before.at).as_micros() as f64;
    match wall > 0.0 {
        true => now.cpu_usec.saturating_sub(before.cpu_usec) as f64 * 100.0 / wall,
        false => 0.0,
    }
}

/// Percent that a part is of a whole.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 * 100.0 / whole as f64,
    }
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::containers::State;
    use crate::cli::containers::tests::{container, exited, running};

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        stats: Stats,
    }

    fn printed(flags: &[&str]) -> String {
        let stats = Wrapper::try_parse_from([&["stats"], flags].concat());
        let stats = stats.unwrap().stats.shown;
        let at = Instant::now();
        let sample = |cpu_usec, at| Sample {
            at,
            cpu_usec,
            memory: 3 << 19,
            limit: 512 << 20,
            pids: 2,
            received: 1110,
            sent: 0,
            block_read: 0,
            block_written: 4_200_000,
        };
        let listed = |service, phase, state| Listed {
            container: container(service, 1, phase),
            state,
        };
        let rows = [
            stats.row(
                &listed("web", running(), State::Running),
                Some(&sample(1_000_000, at)),
                Some(&sample(1_500_000, at + Duration::from_secs(2))),
            ),
            stats.row(&listed("job", exited(0), State::Exited), None, None),
        ];
        let mut out = Vec::new();
        stats.print(&rows, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_columns_are_docker_s() {
        insta::assert_snapshot!(printed(&[]), @r"
        CONTAINER ID   NAME         CPU %     MEM USAGE / LIMIT   MEM %     NET I/O       BLOCK I/O    PIDS
        000000000000   shop-web-1   25.00%    1.5MiB / 512MiB     0.29%     1.11kB / 0B   0B / 4.2MB   2
        000000000000   shop-job-1   0.00%     0B / 0B             0.00%     0B / 0B       0B / 0B      0
        ");
        insta::assert_snapshot!(printed(&["--format", "json"]).lines().next().unwrap(), @r#"{"BlockIO":"0B / 4.2MB","CPUPerc":"25.00%","Container":"0000000000000000000000000000000000000000000000000000000000000001","ID":"000000000000","MemPerc":"0.29%","MemUsage":"1.5MiB / 512MiB","Name":"shop-web-1","NetIO":"1.11kB / 0B","PIDs":"2"}"#);
        let table = printed(&["--format", "table {{.Name}}\\t{{.CPUPerc}}"]);
        assert_eq!(table.lines().next(), Some("NAME         CPU %"));
        let id = printed(&["--no-trunc", "--format", "{{.ID}}"]);
        assert_eq!(id.lines().next().map(str::len), Some(64));
    }

    #[test]
    fn counters_of_the_kernel_are_read() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0:100 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n eth1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(text), (101, 22));
        assert_eq!(traffic(""), (0, 0));
        assert_eq!(
            total_memory("MemTotal:       2048 kB\nMemFree: 1 kB\n"),
            2 << 20
        );
        assert_eq!(total_memory(""), 0);
    }
}
