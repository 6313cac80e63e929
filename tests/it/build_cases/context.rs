//! The build context of all cases: files of every kind, made anew so that modes, owners and links are right.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, XattrFlags};

/// Makes it.
pub(super) fn make(root: &Path) {
    for (path, mode) in [
        ("", 0o755),
        ("dir", 0o755),
        ("dir/sub", 0o750),
        ("dir/sub/deep", 0o755),
        ("empty", 0o700),
        ("hard", 0o755),
        ("ignored", 0o755),
        ("links", 0o755),
        ("names", 0o755),
    ] {
        fs::create_dir_all(root.join(path)).expect("a directory");
        chmod(root, path, mode);
    }
    for (path, mode, content) in [
        ("a.txt", 0o644, "a\n"),
        ("b.txt", 0o600, "b\n"),
        ("secret.txt", 0o600, "very secret\n"),
        ("script.sh", 0o755, "#!/bin/sh\necho script\n"),
        ("setuid", 0o4755, "setuid\n"),
        ("sp ace.txt", 0o644, "space\n"),
        ("xattr.txt", 0o644, "xattr\n"),
        ("dir/one.txt", 0o644, "one\n"),
        ("dir/two.md", 0o640, "two\n"),
        ("dir/.hidden", 0o644, "hidden\n"),
        ("dir/sub/three.txt", 0o644, "three\n"),
        ("dir/sub/three.md", 0o644, "three.md\n"),
        ("dir/sub/deep/four.txt", 0o444, "four\n"),
        ("hard/one", 0o644, "hard\n"),
        ("ignored/keep.log", 0o644, "keep\n"),
        ("ignored/drop.log", 0o644, "drop\n"),
        ("ignored/plain", 0o644, "plain\n"),
        ("links/file", 0o644, "file\n"),
        ("names/é ü.txt", 0o644, "1\n"),
        ("names/[b]*?\\x", 0o644, "2\n"),
        ("names/$HOME", 0o644, "3\n"),
        ("names/-dash", 0o644, "4\n"),
        ("plain.tar.gz", 0o644, "this is no archive\n"),
        (
            ".dockerignore",
            0o644,
            "# what is left out\nignored/*.log\n!ignored/keep.log\n**/nothing\n",
        ),
    ] {
        fs::write(root.join(path), content).expect("a file");
        chmod(root, path, mode);
    }
    for (target, path) in [
        ("a.txt", "link"),
        ("dir", "dirlink"),
        ("file", "links/to-file"),
        ("../dir", "links/to-dir"),
        ("nowhere", "links/dangling"),
        ("/etc/passwd", "links/absolute"),
    ] {
        symlink(target, root.join(path)).expect("a link");
    }
    fs::hard_link(root.join("hard/one"), root.join("hard/two")).expect("a link");
    chown(root, "dir/one.txt", 1000, 1000);
    let value = b"of a file";
    let file = root.join("xattr.txt");
    rustix::fs::lsetxattr(&file, "user.stack", value, XattrFlags::empty()).expect("an attribute");
    archives(root);
}

fn chmod(root: &Path, path: &str, mode: u32) {
    let mode = fs::Permissions::from_mode(mode);
    fs::set_permissions(root.join(path), mode).expect("a mode");
}

fn chown(root: &Path, path: &str, uid: u32, gid: u32) {
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(uid),
        rustix::fs::Gid::from_raw(gid),
    );
    let flags = rustix::fs::AtFlags::empty();
    rustix::fs::chownat(CWD, root.join(path), Some(uid), Some(gid), flags).expect("an owner");
}

/// The same archive, packed in every way.
fn archives(root: &Path) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, content: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(11);
        header.set_gid(12);
        header.set_mtime(1_000_000_000);
        match kind {
            tar::EntryType::Symlink | tar::EntryType::Link => {
                header.set_size(0);
                archive.append_link(&mut header, path, content)
            }
            _ => {
                header.set_size(content.len() as u64);
                archive.append_data(&mut header, path, content.as_bytes())
            }
        }
        .expect("memory");
    };
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    add("packed", Directory, 0o750, "");
    add("packed/file", Regular, 0o640, "packed\n");
    add("packed/suid", Regular, 0o4755, "suid\n");
    add("packed/link", Symlink, 0o777, "file");
    add("packed/hard", Link, 0o640, "packed/file");
    add("top", Regular, 0o644, "top\n");
    let bytes = archive.into_inner().expect("memory");
    fs::write(root.join("archive.tar"), &bytes).expect("a file");
    for (program, name) in [
        ("gzip", "archive.tar.gz"),
        ("bzip2", "archive.tar.bz2"),
        ("xz", "archive.tar.xz"),
    ] {
        fs::write(root.join(name), packed(program, &bytes)).expect("a file");
    }
}

fn packed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect(program);
    let mut stdin = child.stdin.take().expect("it is piped");
    // The archive is smaller than a pipe, so nobody waits for anybody.
    stdin.write_all(bytes).expect("a pipe");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program}");
    output.stdout
}
