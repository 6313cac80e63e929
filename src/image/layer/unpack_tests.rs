//! What well-meant archives become.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::super::testing::{Tar, gzip, whole, zstd};
use super::{Blob, Chunked, Compression, Ingested, LayerError, Limits, Sink, ingest, inherit};

pub(super) struct Unpacked {
    pub(super) dir: tempfile::TempDir,
    pub(super) result: Result<Ingested, LayerError>,
}

impl Unpacked {
    pub(super) fn fs(&self) -> std::path::PathBuf {
        self.dir.path().join("fs")
    }

    pub(super) fn error(&self) -> String {
        whole(self.result.as_ref().expect_err("it was unpacked"))
    }
}

pub(super) fn unpack(archive: &[u8]) -> Unpacked {
    unpack_within(archive, Limits::default())
}

pub(super) fn unpack_within(archive: &[u8], limits: Limits) -> Unpacked {
    let dir = tempfile::tempdir().unwrap();
    let (blob, files) = (dir.path().join("blob"), dir.path().join("fs"));
    fs::create_dir(&files).unwrap();
    let sink = Sink::new(fs::File::create_new(&blob).unwrap(), &blob);
    let result = ingest(Chunked::new(archive), Blob::AsIs, (sink, &files), limits);
    Unpacked { dir, result }
}

fn unpacked(archive: Tar) -> Unpacked {
    let unpacked = unpack(&archive.finish());
    if let Err(error) = &unpacked.result {
        panic!("{}", whole(error));
    }
    unpacked
}

fn stat(path: &Path) -> fs::Metadata {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_whiteout(path: &Path) -> bool {
    let found = stat(path);
    found.file_type().is_char_device() && found.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 8];
    rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value)
        .is_ok_and(|n| value[..n] == *b"y")
}

#[test]
fn every_kind_of_entry_is_made_with_its_attributes() {
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let owner = |header: &mut tar::Header| {
        header.set_uid(1000);
        header.set_gid(1001);
        header.set_mode(0o4755);
    };
    let layer = unpacked(
        Tar::new()
            .dir("./")
            .dir("etc/")
            .entry(b'0', "etc/suid", owner, b"x")
            .symlink("etc/link", "/nowhere")
            .hardlink("etc/hard", "etc/suid")
            .entry(b'6', "fifo", |_| {}, b"")
            .device(b'3', "null", 1, 3)
            .file(&long, "long"),
    );
    let fs = layer.fs();
    let suid = stat(&fs.join("etc/suid"));
    assert_eq!(
        (suid.uid(), suid.gid(), suid.mode() & 0o7777),
        (1000, 1001, 0o4755)
    );
    assert_eq!((suid.mtime(), suid.nlink()), (1_000_000_000, 2));
    assert_eq!(
        fs::read_link(fs.join("etc/link")).unwrap(),
        Path::new("/nowhere")
    );
    assert_eq!(stat(&fs.join("etc/link")).mtime(), 1_000_000_000);
    assert_eq!(stat(&fs.join("etc")).mtime(), 1_000_000_000);
    assert_eq!(stat(&fs).mtime(), 1_000_000_000);
    assert!(stat(&fs.join("fifo")).file_type().is_fifo());
    assert_eq!(stat(&fs.join("null")).rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(fs::read_to_string(fs.join(&long)).unwrap(), "long");
}

#[test]
fn the_same_archive_has_the_same_contents_however_it_is_packed() {
    let plain = Tar::new().file("a", "1").finish();
    let mut two = gzip(&plain[..700]);
    two.extend(gzip(&plain[700..]));
    let diff_id = unpack(&plain).result.unwrap().diff_id;
    assert_eq!(diff_id, super::super::Digest::of(&plain));
    for (packed, compression) in [
        (gzip(&plain), Compression::Gzip),
        (zstd(&plain), Compression::Zstd),
        (two, Compression::Gzip),
    ] {
        let layer = unpack(&packed);
        let ingested = layer.result.as_ref().unwrap();
        assert_eq!(
            (ingested.compression, ingested.diff_id),
            (compression, diff_id)
        );
        assert_eq!(ingested.digest, super::super::Digest::of(&packed));
        assert_eq!(ingested.size, packed.len() as u64);
        assert_eq!(fs::read(layer.dir.path().join("blob")).unwrap(), packed);
        assert_eq!(fs::read_to_string(layer.fs().join("a")).unwrap(), "1");
    }
}

#[test]
fn deletions_become_those_of_overlayfs() {
    let layer = unpacked(
        Tar::new()
            .dir("d")
            .file("d/.wh.gone", "")
            .dir("o")
            .file("o/.wh..wh..opq", "")
            .file("p/q/.wh.x", ""),
    );
    let fs = layer.fs();
    assert!(is_whiteout(&fs.join("d/gone")));
    assert!(is_opaque(&fs.join("o")));
    assert!(!is_opaque(&fs.join("d")));
    assert!(is_whiteout(&fs.join("p/q/x")));
    assert!(!fs.join("d/.wh.gone").exists());
    assert_eq!(
        layer.result.unwrap().implied,
        [b"p".to_vec(), b"p/q".to_vec()]
    );
}

#[test]
fn a_deletion_does_not_touch_what_the_same_layer_brings() {
    let before = unpacked(
        Tar::new()
            .file(".wh.f", "")
            .file("f", "new")
            .file(".wh.d", "")
            .file("d/x", "new"),
    );
    let after = unpacked(
        Tar::new()
            .file("f", "new")
            .file(".wh.f", "")
            .file("d/x", "new")
            .file(".wh.d", ""),
    );
    for layer in [before, after] {
        assert_eq!(fs::read_to_string(layer.fs().join("f")).unwrap(), "new");
        assert_eq!(fs::read_to_string(layer.fs().join("d/x")).unwrap(), "new");
        assert!(is_opaque(&layer.fs().join("d")));
    }
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one() {
    let layer = unpacked(
        Tar::new()
            .dir("d")
            .file("d/x", "1")
            .file("d", "file")
            .file("f", "1")
            .dir("f")
            .file("f/y", "2")
            .symlink("s", "f")
            .dir("s")
            .file("h", "3")
            .hardlink("h", "h"),
    );
    let fs = layer.fs();
    assert_eq!(fs::read_to_string(fs.join("d")).unwrap(), "file");
    assert_eq!(fs::read_to_string(fs.join("f/y")).unwrap(), "2");
    assert!(stat(&fs.join("s")).is_dir());
    assert_eq!(fs::read_to_string(fs.join("h")).unwrap(), "3");
}

#[test]
fn capabilities_and_user_attributes_are_set_and_overlay_ones_are_not() {
    // cap_net_raw+ep, revision 2: the third byte of the set happens to be a newline's neighbour.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let layer = unpacked(
        Tar::new()
            .pax(&[
                ("SCHILY.xattr.security.capability", &capability),
                ("SCHILY.xattr.user.note", b"a\nb=c"),
                ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                ("mtime", b"5.25"),
                ("path", "grüße".as_bytes()),
            ])
            .file("x", ""),
    );
    let path = layer.fs().join("grüße");
    let mut value = [0; 64];
    let count = rustix::fs::lgetxattr(&path, "security.capability", &mut value).unwrap();
    assert_eq!(value[..count], capability);
    let count = rustix::fs::lgetxattr(&path, "user.note", &mut value).unwrap();
    assert_eq!(&value[..count], b"a\nb=c");
    assert!(rustix::fs::lgetxattr(&path, "trusted.overlay.redirect", &mut value).is_err());
    assert_eq!(
        (stat(&path).mtime(), stat(&path).mtime_nsec()),
        (5, 250_000_000)
    );
}

#[test]
fn sparse_files_of_every_format_are_restored() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("sparse");
    let file = fs::File::create(&source).unwrap();
    for piece in 0..9_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[b'a'; 4096], piece << 20).unwrap();
    }
    file.set_len(20 << 20).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let archive = dir.path().join("archive.tar");
        let mut tar = std::process::Command::new("tar");
        tar.args(format)
            .arg("--sparse")
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(dir.path())
            .arg("sparse");
        assert!(tar.status().unwrap().success(), "{format:?}");
        let layer = unpack(&fs::read(&archive).unwrap());
        if let Err(error) = &layer.result {
            panic!("{format:?}: {}", whole(error));
        }
        let restored = layer.fs().join("sparse");
        assert!(
            fs::read(&restored).unwrap() == fs::read(&source).unwrap(),
            "{format:?}"
        );
        assert!(
            stat(&restored).blocks() * 512 < 1 << 20,
            "{format:?} filled the holes"
        );
    }
}

#[test]
fn directories_that_no_entry_describes_look_as_they_do_below() {
    let sticky = |header: &mut tar::Header| header.set_mode(0o1777);
    let below = unpacked(Tar::new().entry(b'5', "tmp", sticky, b""));
    let above = unpacked(Tar::new().file("tmp/x", "").file("new/x", ""));
    let implied = above.result.as_ref().unwrap().implied.clone();
    inherit(&above.fs(), &implied, &[&below.fs()]).unwrap();
    assert_eq!(stat(&above.fs().join("tmp")).mode() & 0o7777, 0o1777);
    assert_eq!(stat(&above.fs().join("tmp")).mtime(), 1_000_000_000);
    assert_eq!(stat(&above.fs().join("new")).mode() & 0o7777, 0o755);
}
