//! Bad days of a log file.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::*;

/// A file system of 64 KiB, gone with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Some(c"size=64k");
        mount("none", dir.path(), "tmpfs", MountFlags::empty(), options).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_loses_whole_lines_and_says_so_later() {
    let disk = SmallDisk::new();
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 40 * 1024]).unwrap();
    let mut log = LogWriter::open(&LogConfig {
        dir: disk.path().to_path_buf(),
        max_size: 1 << 20,
        max_files: 3,
    })
    .unwrap();
    let text = format!("{}\n", "x".repeat(1000));
    for _ in 0..40 {
        log.write(Stream::Stdout, text.as_bytes());
    }
    let full = fs::read(disk.path().join("current.log")).unwrap();
    assert!(full.ends_with(b"\n"), "a torn line stayed");
    let kept = full.iter().filter(|byte| **byte == b'\n').count();
    assert!((1..40).contains(&kept));

    fs::remove_file(&ballast).unwrap();
    log.write(Stream::Stdout, b"room again\n");
    let text = fs::read_to_string(disk.path().join("current.log")).unwrap();
    let mut last = text.lines().rev();
    assert!(last.next().unwrap().ends_with(" stdout F room again"));
    let expected = format!(
        " stderr F stack: {} lines of output could not be logged here: No space left on device (os error 28)",
        40 - kept
    );
    assert!(last.next().unwrap().ends_with(&expected), "{text}");
}

#[test]
fn a_link_in_place_of_the_log_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, dir.path().join("current.log")).unwrap();
    let error = LogWriter::open(&LogConfig {
        dir: dir.path().to_path_buf(),
        max_size: 1 << 20,
        max_files: 3,
    })
    .unwrap_err();
    assert!(
        error.to_string().starts_with("cannot open the log /"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
}
