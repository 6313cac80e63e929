//! Images for the tests: made once by the program that is tested, then linked into each test's store.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tar::{Builder, EntryType, Header};

use super::root::applets;

/// Makes the images that every test has and puts them into the store below `root`:
///
/// - `busybox`: a shell and the usual programs; users `root` and `user` (1000).
/// - `seeded`: with files in `/data`, which belongs to `user`, and a link.
/// - `anonymous`: `seeded` with `VOLUME /data`.
/// - `configured`: sets what an image can set.
pub(crate) fn install(root: &Path) {
    link_store(&kept("images", make), root);
}

/// Puts the images of `examples/images` into the store below `root`, instead of what is there.
///
/// They are made of Debian packages and kept: `build.sh` makes and imports only what has changed.
pub(crate) fn install_examples(root: &Path) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(dir).expect("a directory");
    let lock = File::create(dir.join("examples.lock")).expect("a lock");
    lock.lock().expect("the lock");
    let kept = dir.join("examples");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images/build.sh");
    let output = Command::new(script)
        .env("STACK", env!("CARGO_BIN_EXE_stack"))
        .env("STACK_ROOT", &kept)
        .output()
        .expect("bash");
    assert!(
        output.status.success(),
        "the example images: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::remove_dir_all(root.join("images")).expect("a store");
    fs::remove_dir_all(root.join("layers")).expect("a store");
    link_store(&kept, root);
}

pub(super) fn link_store(kept: &Path, root: &Path) {
    link_tree(&kept.join("images"), &root.join("images"));
    // The layers themselves are only read: one link each.
    let layers = root.join("layers");
    fs::create_dir_all(&layers).expect("a directory");
    for entry in fs::read_dir(kept.join("layers")).expect("layers").flatten() {
        symlink(entry.path(), layers.join(entry.file_name())).expect("a link");
    }
}

/// The store that images were made in by this very program.
pub(super) fn kept(what: &str, make: impl Fn(&Path)) -> PathBuf {
    let program = fs::metadata(env!("CARGO_BIN_EXE_stack")).expect("the program");
    let own = fs::metadata(std::env::current_exe().expect("its path")).expect("this program");
    let key = [&program, &own].map(|file| format!("{:x}.{:x}", file.mtime(), file.mtime_nsec()));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let kept = dir.join(format!("{what}-{}", key.join("-")));
    if kept.exists() {
        return kept;
    }
    fs::create_dir_all(dir).expect("a directory");
    let lock = File::create(dir.join(format!("{what}.lock"))).expect("a lock");
    lock.lock().expect("the lock");
    if !kept.exists() {
        for entry in fs::read_dir(dir).expect("a directory").flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("{what}-"))
            {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let making = dir.join(format!("{what}-new"));
        make(&making);
        fs::rename(&making, &kept).expect("a new name");
    }
    kept
}

fn make(root: &Path) {
    import(root, &busybox(), &["busybox"]);
    import(root, &seed(), &["--base", "busybox", "seeded"]);
    let volume = ["--base", "busybox", "--change", "VOLUME /data", "anonymous"];
    import(root, &seed(), &volume);
    let changes = [
        "ENV FROM_IMAGE=yes OVERRIDDEN=image",
        "WORKDIR /data",
        "USER user",
        "ENTRYPOINT [\"/bin/echo\", \"entry\"]",
        "CMD [\"from\", \"image\"]",
        "EXPOSE 80/tcp",
        "STOPSIGNAL SIGUSR1",
        "LABEL of-image=yes",
    ];
    let mut arguments = vec!["--base", "busybox"];
    for change in changes {
        arguments.extend(["--change", change]);
    }
    arguments.push("configured");
    import(root, &seed(), &arguments);
}

/// Runs `stack image import` with an archive.
pub(super) fn import(root: &Path, archive: &[u8], arguments: &[&str]) {
    let (name, flags) = arguments.split_last().expect("a name");
    let mut child = Command::new(env!("CARGO_BIN_EXE_stack"))
        .env("STACK_ROOT", root)
        .args(["image", "import"])
        .args(flags)
        .args(["-", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that fails closes its end: its exit code says so below.
    let _ = io::Write::write_all(&mut stdin, archive);
    drop(stdin);
    assert!(child.wait().expect("it ends").success(), "import of {name}");
}

/// A root file system of busybox, as an archive.
pub(crate) fn busybox() -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (dir, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("root", 0o700),
        ("tmp", 0o1777),
        ("var", 0o755),
        ("proc", 0o755),
        ("sys", 0o755),
        ("dev", 0o755),
    ] {
        append(&mut archive, (dir, EntryType::Directory), (mode, 0), b"");
    }
    let program = fs::read("/bin/busybox").expect("/bin/busybox of the package busybox-static");
    append(
        &mut archive,
        ("bin/busybox", EntryType::Regular),
        (0o755, 0),
        &program,
    );
    for applet in applets() {
        link(&mut archive, &format!("bin/{applet}"), "busybox");
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n";
    let groups = "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n";
    append(
        &mut archive,
        ("etc/passwd", EntryType::Regular),
        (0o644, 0),
        users.as_bytes(),
    );
    append(
        &mut archive,
        ("etc/group", EntryType::Regular),
        (0o644, 0),
        groups.as_bytes(),
    );
    archive.into_inner().expect("memory")
}

/// Files in `/data`.
pub(super) fn seed() -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    append(
        &mut archive,
        ("data", EntryType::Directory),
        (0o750, 1000),
        b"",
    );
    append(
        &mut archive,
        ("data/seed", EntryType::Regular),
        (0o640, 1000),
        b"from the image\n",
    );
    link(&mut archive, "data/link", "seed");
    archive.into_inner().expect("memory")
}

pub(super) fn append(
    archive: &mut Builder<Vec<u8>>,
    (path, kind): (&str, EntryType),
    (mode, owner): (u32, u64),
    content: &[u8],
) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_size(content.len() as u64);
    archive
        .append_data(&mut header, path, content)
        .expect("memory");
}

fn link(archive: &mut Builder<Vec<u8>>, path: &str, target: &str) {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_mode(0o777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    archive
        .append_link(&mut header, path, target)
        .expect("memory");
}

/// The same tree with the same files, where the file system can do that.
fn link_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            link_tree(&from, &to);
        } else if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).expect("a copy");
        }
    }
}
