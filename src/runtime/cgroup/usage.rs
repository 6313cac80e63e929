//! What a cgroup uses, and what the kernel did to it.

use std::fs;
use std::path::Path;

use super::layout::Controller;
use super::{Cgroup, CgroupError, children, read};

/// What a container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of memory; page cache that can be dropped does not count.
    pub memory: u64,
    /// The memory limit, if there is one.
    pub memory_limit: Option<u64>,
    /// Processor time in microseconds.
    pub cpu_usec: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes read from block devices.
    pub block_read: u64,
    /// Bytes written to block devices.
    pub block_written: u64,
}

/// v1 writes "no limit" as the largest number of whole pages.
const NO_LIMIT: u64 = 1 << 62;

impl Cgroup {
    /// How many processes the kernel has killed in it for memory. Without a memory controller
    /// of its own, which containers without a memory limit lack on hybrid machines, it is 0.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        let text = match (
            self.unified(Controller::Memory),
            self.v1_directory(Controller::Memory),
        ) {
            (Some(dir), _) => read(&dir.join("memory.events"))?,
            (None, Some(dir)) => read(&dir.join("memory.oom_control"))?,
            (None, None) => return Ok(0),
        };
        Ok(keyed(&text, "oom_kill").unwrap_or(0))
    }

    /// What its processes use now.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        let (memory, memory_limit) = self.memory()?;
        let (block_read, block_written) = self.block()?;
        Ok(Stats {
            block_read,
            block_written,
            memory,
            memory_limit,
            cpu_usec: self.cpu_usec()?,
            pids: self.pids()?,
        })
    }

    fn unified(&self, controller: Controller) -> Option<&Path> {
        self.v2
            .as_deref()
            .filter(|_| self.v2_controllers.contains(&controller))
    }

    fn memory(&self) -> Result<(u64, Option<u64>), CgroupError> {
        if let Some(dir) = self.unified(Controller::Memory) {
            let cache = keyed(&read(&dir.join("memory.stat"))?, "inactive_file").unwrap_or(0);
            let limit = number(&read(&dir.join("memory.max"))?);
            return Ok((
                number(&read(&dir.join("memory.current"))?)
                    .unwrap_or(0)
                    .saturating_sub(cache),
                limit,
            ));
        }
        if let Some(dir) = self.v1_directory(Controller::Memory) {
            let cache = keyed(&read(&dir.join("memory.stat"))?, "total_inactive_file").unwrap_or(0);
            let used = number(&read(&dir.join("memory.usage_in_bytes"))?).unwrap_or(0);
            let limit =
                number(&read(&dir.join("memory.limit_in_bytes"))?).filter(|l| *l < NO_LIMIT);
            return Ok((used.saturating_sub(cache), limit));
        }
        // No controller: what the processes have in memory that they share with no file.
        let page = rustix::param::page_size() as u64;
        let pages = self
            .processes()?
            .iter()
            .map(|pid| anonymous_pages(pid))
            .sum::<u64>();
        Ok((pages * page, None))
    }

    fn cpu_usec(&self) -> Result<u64, CgroupError> {
        // The v2 core counts processor time in every cgroup, with or without the controller.
        if let Some(dir) = &self.v2 {
            return Ok(keyed(&read(&dir.join("cpu.stat"))?, "usage_usec").unwrap_or(0));
        }
        match self.v1_directory(Controller::Cpuacct) {
            Some(dir) => Ok(number(&read(&dir.join("cpuacct.usage"))?).unwrap_or(0) / 1000),
            None => Ok(0),
        }
    }

    fn pids(&self) -> Result<u64, CgroupError> {
        match self
            .unified(Controller::Pids)
            .or(self.v1_directory(Controller::Pids))
        {
            Some(dir) => Ok(number(&read(&dir.join("pids.current"))?).unwrap_or(0)),
            None => Ok(self.processes()?.iter().map(|pid| threads(pid)).sum()),
        }
    }

    /// Bytes that went from and to block devices.
    fn block(&self) -> Result<(u64, u64), CgroupError> {
        if let Some(dir) = self.unified(Controller::Io) {
            return Ok(io_stat(&read(&dir.join("io.stat"))?));
        }
        if let Some(dir) = self.v1_directory(Controller::Io) {
            return Ok(io_service_bytes(&read(
                &dir.join("blkio.throttle.io_service_bytes"),
            )?));
        }
        // No controller: what the processes that are there now have moved.
        let moved = self.processes()?.into_iter().map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            let bytes = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key));
                line.and_then(number).unwrap_or(0)
            };
            (bytes("read_bytes:"), bytes("write_bytes:"))
        });
        Ok(moved.fold((0, 0), |sum, pid| (sum.0 + pid.0, sum.1 + pid.1)))
    }

    /// Ids of its processes as the host sees them, as text; those in cgroups that they have made
    /// below their own too.
    pub fn processes(&self) -> Result<Vec<String>, CgroupError> {
        let Some(dir) = self.v2.as_deref().or_else(|| self.v1_directories().next()) else {
            return Ok(Vec::new());
        };
        let mut found = lines_of(&dir.join("cgroup.procs"))?;
        let mut below = children(dir);
        while let Some(dir) = below.pop() {
            // One that has just been removed has none.
            found.extend(lines_of(&dir.join("cgroup.procs")).unwrap_or_default());
            below.extend(children(&dir));
        }
        Ok(found)
    }
}

fn lines_of(file: &Path) -> Result<Vec<String>, CgroupError> {
    Ok(read(file)?.lines().map(str::to_owned).collect())
}

/// The number after a key, in the "flat keyed" files.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `io.stat` of v2: a line for each device, `8:0 rbytes=4096 wbytes=0 …`.
fn io_stat(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        let fields = text.split_ascii_whitespace();
        fields
            .filter_map(|field| field.strip_prefix(key).and_then(number))
            .sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

/// `blkio.throttle.io_service_bytes` of v1: lines as `8:0 Read 4096`.
fn io_service_bytes(text: &str) -> (u64, u64) {
    let sum = |what: &str| {
        let bytes = text.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let is_meant = fields.next() == Some(what);
            fields.next().filter(|_| is_meant).and_then(number)
        });
        bytes.sum()
    };
    (sum("Read"), sum("Write"))
}

/// Resident minus shared pages of `/proc/<pid>/statm`; a process that has just ended has none.
fn anonymous_pages(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut fields = text
        .split(' ')
        .skip(1)
        .map(|f| f.parse::<u64>().unwrap_or(0));
    let resident = fields.next().unwrap_or(0);
    resident.saturating_sub(fields.next().unwrap_or(0))
}

fn threads(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_whole_words() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 7\n";
        assert_eq!(keyed(events, "oom_kill"), Some(2));
        assert_eq!(keyed(events, "oom"), Some(3));
        assert_eq!(keyed(events, "kill"), None);
    }

    #[test]
    fn bytes_of_all_devices_count() {
        let v2 = "8:0 rbytes=4096 wbytes=10 rios=1 wios=1\n8:16 rbytes=4 wbytes=0 rios=1\n";
        assert_eq!(io_stat(v2), (4100, 10));
        let v1 =
            "8:0 Read 4096\n8:0 Write 10\n8:0 Sync 0\n8:0 Total 4106\n8:16 Read 4\nTotal 4110\n";
        assert_eq!(io_service_bytes(v1), (4100, 10));
    }

    #[test]
    fn no_limit_is_not_a_number() {
        assert_eq!((number("max\n"), number("4096\n")), (None, Some(4096)));
    }
}
