//! A cgroup for what outlives the command that starts it.
//!
//! Whoever ends a unit or a session of systemd ends every process of its cgroup (systemd.kill(5)):
//! the supervisor, its shims and their containers would go with whatever their command happened
//! to be run by. So they leave it, as an engine's daemon is a unit of its own.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::layout::Layout;
use super::{v2_path, write};
use crate::sys::clone::{self, Cloned};

/// Below the mount point of v2. No project has this name: theirs begin with a letter or a digit.
const PLACE: &str = "stack/_supervisors";

/// Which of two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// The one that goes on: in the cgroup for it, or where it was, when there can be none.
    Goes,
    /// The one that was called; it is to end.
    Stays,
}

/// Goes on in a process that is born in a cgroup of its own, unless this one is well where it is.
///
/// The caller has one thread. Being born there costs nothing; moving there would be a wait for the
/// kernel's thread-group lock.
pub(crate) fn go_on_apart() -> Half {
    // Another one, on its way out, may remove the directory in between.
    for _ in 0..10 {
        let Some(place) = place() else { break };
        match clone::clone(0, Some(place.as_fd())) {
            Ok(Cloned::Child) => return Half::Goes,
            Ok(Cloned::Parent { .. }) => return Half::Stays,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(_) => break,
        }
    }
    Half::Goes
}

/// The last one takes the place away: a process at its end, which holds nothing any more.
pub(crate) fn leave() {
    let Some((mount, own)) = own_place() else {
        return;
    };
    let directory = mount.join(PLACE);
    let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    if own != PLACE || processes.lines().count() > 1 {
        return;
    }
    // The root is the only cgroup that has both processes and children. Where it is none, as in
    // a container, the next one to come finds an empty directory.
    if write(&mount.join("cgroup.procs"), "0").is_ok() {
        let _ = fs::remove_dir(&directory);
        let _ = fs::remove_dir(mount.join("stack"));
    }
}

/// The directory to be born in; `None` = stay.
fn place() -> Option<OwnedFd> {
    let (mount, own) = own_place()?;
    if !is_to_be_left(&own) {
        return None;
    }
    let directory = mount.join(PLACE);
    fs::create_dir_all(&directory).ok()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&directory, flags, Mode::empty()).ok()
}

/// The mount point of v2, and where this process is below it.
fn own_place() -> Option<(PathBuf, String)> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = v2_path(&text)?.to_owned();
    Some((Layout::detect().ok()?.v2?.mount, own))
}

/// Nobody ends the root of the hierarchy, nor what is ours.
fn is_to_be_left(own: &str) -> bool {
    let own = Path::new(own);
    !own.as_os_str().is_empty() && !own.starts_with("stack")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_end_is_left() {
        for (text, expected) in [
            ("0::/\n", Some(false)),
            ("0::/user.slice/user-0.slice/session-3.scope\n", Some(true)),
            ("0::/system.slice/cron.service\n", Some(true)),
            ("0::/stack/_supervisors\n", Some(false)),
            ("0::/stack/shop/0123\n", Some(false)),
            ("0::/stacker\n", Some(true)),
            ("4:memory:/x\n0::/init.scope\n", Some(true)),
            // Outside this process's cgroup namespace; v1 alone.
            ("0::/../other\n", None),
            ("4:memory:/x\n", None),
            ("", None),
        ] {
            assert_eq!(v2_path(text).map(is_to_be_left), expected, "{text:?}");
        }
    }
}
