//! Which process a pid means: pids are used again, a pid with its start time is not.

use std::fs;
use std::io;

/// When a process was started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`, proc(5)).
pub fn start_ticks(pid: i32) -> io::Result<u64> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse_start(&text).ok_or_else(|| {
        let message = format!("/proc/{pid}/stat has no start time");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Whether that very process still runs (a zombie does not).
pub fn is_running(pid: i32, start: u64) -> bool {
    fs::read(format!("/proc/{pid}/stat")).is_ok_and(|text| {
        let state = after_name(&text).and_then(|mut fields| fields.next());
        parse_start(&text) == Some(start) && !matches!(state, Some(b"Z" | b"X" | b"x") | None)
    })
}

fn parse_start(stat: &[u8]) -> Option<u64> {
    // The state is field 3.
    let field = after_name(stat)?.nth(22 - 3)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The fields from the third on. The second is the process's name in parentheses, which may contain
/// anything: the last closing one ends it.
fn after_name(stat: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let end = memchr::memrchr(b')', stat)?;
    Some(
        stat[end + 1..]
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|field| !field.is_empty()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_fake_the_start_time() {
        let rest = "S 1 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        for name in [
            "sh",
            "a b",
            "x) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 666 (",
            "((",
        ] {
            let stat = format!("5 ({name}) {rest}\n");
            assert_eq!(parse_start(stat.as_bytes()), Some(4242), "{stat}");
        }
    }

    #[test]
    fn what_is_too_short_has_none() {
        for text in ["", "5", "5 (sh)", "5 (sh) S 1 2 3"] {
            assert_eq!(parse_start(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn this_process_runs_and_its_dead_child_does_not() {
        let pid = std::process::id() as i32;
        let start = start_ticks(pid).unwrap();
        assert!(is_running(pid, start));
        assert!(!is_running(pid, start + 1));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        let start = start_ticks(pid).unwrap();
        child.wait().unwrap();
        assert!(!is_running(pid, start));
    }
}
