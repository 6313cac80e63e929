//! A `STACK_ROOT` for one test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::leaks;

/// A directory that a test does everything in; at its end nothing of it may be left anywhere.
pub(crate) struct Root {
    dir: TempDir,
}

impl Root {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("stack-it-").tempdir();
        Self {
            dir: dir.expect("a temporary directory"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A name that only this test uses.
    pub(crate) fn name(&self) -> String {
        let name = self.path().file_name().expect("it has a name");
        name.to_str().expect("it is ASCII").to_owned()
    }

    /// A layer with a shell and the usual programs.
    pub(crate) fn busybox(&self) -> PathBuf {
        let layer = self.path().join("layer");
        if !layer.exists() {
            make_busybox(&layer);
        }
        layer
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let found = leaks::find(self.path(), &self.name());
        leaks::remove(&self.name());
        if !std::thread::panicking() {
            assert!(found.is_empty(), "left behind: {found:#?}");
        }
    }
}

fn make_busybox(layer: &Path) {
    for dir in ["bin", "etc", "tmp", "root", "proc", "sys", "dev"] {
        fs::create_dir_all(layer.join(dir)).expect("a directory");
    }
    fs::set_permissions(layer.join("tmp"), PermissionsExt::from_mode(0o1777)).expect("a mode");
    fs::copy("/bin/busybox", layer.join("bin/busybox"))
        .expect("/bin/busybox of the package busybox-static");
    for applet in applets() {
        symlink("busybox", layer.join("bin").join(applet)).expect("a link");
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n";
    fs::write(layer.join("etc/passwd"), users).expect("a file");
    fs::write(layer.join("etc/group"), "root:x:0:\nuser:x:1000:\n").expect("a file");
}

pub(super) fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let output = Command::new("/bin/busybox").arg("--list").output();
        let text = String::from_utf8(output.expect("it runs").stdout).expect("it is ASCII");
        let names = text.lines().filter(|name| *name != "busybox");
        names.map(str::to_owned).collect()
    })
}
