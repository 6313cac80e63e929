//! A program's standard streams: descriptors it is given, or a terminal of its own devpts.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, Uid, fstatfs};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::mounts::{clone_tree, put};
use super::root::Root;
use crate::runtime::channel;
use crate::runtime::container::{Stdio, StdioSetup};
use crate::runtime::failure::{Attempt, Context, StartError, Step};
use crate::sys::mount_attr::Reach;

const STEP: Step = Step::Terminal;
/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS_MAGIC: u64 = 0x1cd1;

/// The streams, open.
#[derive(Debug)]
pub(crate) enum Streams {
    Given(Stdio),
    /// The slave of the terminal.
    Terminal(OwnedFd),
}

/// Opens the terminal, if there is one, and sends its master away.
pub(crate) fn open(root: &Root, setup: StdioSetup) -> Attempt<Streams> {
    let (console, size) = match setup {
        StdioSetup::Pipes(stdio) => return Ok(Streams::Given(stdio)),
        StdioSetup::Terminal { console, size } => (console, size),
    };
    let path = Path::new("/dev/pts/ptmx");
    let master = root
        .open_plain(path, OFlags::RDWR | OFlags::NOCTTY)
        .at(STEP, path)?;
    check_devpts(&master, path)?;
    rustix::pty::unlockpt(&master).at(STEP, path)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).at(STEP, path)?;
    check_devpts(&slave, path)?;
    if size != (0, 0) {
        let size = Winsize {
            ws_row: size.0,
            ws_col: size.1,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&slave, size).at(STEP, path)?;
    }
    channel::send_with(console.as_fd(), b"t", &[master.as_fd()]).at(STEP, "console socket")?;
    Ok(Streams::Terminal(slave))
}

/// A terminal that the image made up would let it read what is typed, or have the host's terminal
/// bound over its console (CVE-2025-52565).
fn check_devpts(fd: &OwnedFd, path: &Path) -> Attempt<()> {
    let magic = fstatfs(fd).at(STEP, path)?.f_type as u64;
    if magic == DEVPTS_MAGIC {
        Ok(())
    } else {
        Err(StartError::because(
            STEP,
            path.display().to_string(),
            "does not lie on a devpts file system",
        ))
    }
}

/// `/dev/console` is the container's terminal.
pub(crate) fn bind_console(root: &Root, streams: &Streams) -> Attempt<()> {
    let Streams::Terminal(slave) = streams else {
        return Ok(());
    };
    let path = Path::new("/dev/console");
    let place = match root.open_plain(path, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(place) => place,
        // Only a /dev of our own has a place for it.
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(StartError::refused(STEP, "/dev/console", error)),
    };
    let tree = clone_tree(slave, Path::new(""), Reach::One).at(STEP, path)?;
    put(&tree, &place).at(STEP, path)
}

/// Puts the streams on 0, 1 and 2, for this user; a terminal becomes the controlling one.
pub(crate) fn install(streams: &Streams, uid: u32) -> Attempt<()> {
    match streams {
        Streams::Given(stdio) => {
            for fd in [&stdio.stdin, &stdio.stdout, &stdio.stderr] {
                give(fd, uid)?;
            }
            above_standard(stdio).at(STEP, "")?;
        }
        Streams::Terminal(slave) => {
            rustix::process::ioctl_tiocsctty(slave).at(STEP, "controlling terminal")?;
            give(slave, uid)?;
            rustix::stdio::dup2_stdin(slave).at(STEP, "standard input")?;
            rustix::stdio::dup2_stdout(slave).at(STEP, "standard output")?;
            rustix::stdio::dup2_stderr(slave).at(STEP, "standard error")?;
        }
    }
    Ok(())
}

/// `dup2` in any order, also when one of the descriptors is itself 0, 1 or 2.
fn above_standard(stdio: &Stdio) -> rustix::io::Result<()> {
    let stdin = rustix::io::fcntl_dupfd_cloexec(&stdio.stdin, 3)?;
    let stdout = rustix::io::fcntl_dupfd_cloexec(&stdio.stdout, 3)?;
    let stderr = rustix::io::fcntl_dupfd_cloexec(&stdio.stderr, 3)?;
    rustix::stdio::dup2_stdin(&stdin)?;
    rustix::stdio::dup2_stdout(&stdout)?;
    rustix::stdio::dup2_stderr(&stderr)
}

/// Makes the user the owner of a pipe or terminal, so that it can open `/dev/stdout` again, as
/// nginx's and many other images do. Files and devices of the host are left as they are.
fn give(fd: &OwnedFd, uid: u32) -> Attempt<()> {
    let stat = rustix::fs::fstat(fd).at(STEP, "standard stream")?;
    let ours = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => true,
        FileType::CharacterDevice => fstatfs(fd).is_ok_and(|fs| fs.f_type as u64 == DEVPTS_MAGIC),
        _ => false,
    };
    if !ours || stat.st_uid == uid {
        return Ok(());
    }
    match rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None) {
        // A socket, or a file system that has no owners: the program can still write to it.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM | rustix::io::Errno::ROFS) => Ok(()),
        other => other.at(STEP, "standard stream"),
    }
}
