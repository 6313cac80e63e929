//! Archives that mean harm: each is refused or kept inside, and the host stays as it was.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::testing::{Tar, gzip, zstd};
use super::Limits;
use super::unpack_tests::{unpack, unpack_within};

/// A directory of the host with a file in it that nobody may touch.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        Self { dir }
    }

    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    fn check(&self, what: &str) {
        let names = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["secret"], "{what}");
        let secret = self.dir.path().join("secret");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret", "{what}");
        assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1, "{what}");
    }
}

#[test]
fn names_that_lead_out_are_refused_by_name() {
    for (name, reason) in [
        ("../escape", "`..`"),
        ("a/../../escape", "`..`"),
        ("..", "`..`"),
        ("a/..", "`..`"),
        ("/../../escape", "`..`"),
        (".wh...", "nothing that can be deleted"),
        ("d/.wh..", "nothing that can be deleted"),
        (".wh.", "nothing that can be deleted"),
        ("../.wh.secret", "`..`"),
        (".wh..wh..opq", "hides the whole image"),
    ] {
        let layer = unpack(&Tar::new().file(name, "x").finish());
        let error = layer.error();
        assert!(
            error.contains(&format!("entry `{name}`")) && error.contains(reason),
            "{name}: {error}"
        );
        assert_eq!(
            fs::read_dir(layer.dir.path()).unwrap().count(),
            2,
            "{name}: only blob and fs"
        );
        assert!(
            !layer.dir.path().parent().unwrap().join("escape").exists(),
            "{name}"
        );
    }
}

#[test]
fn an_absolute_name_stays_inside() {
    let layer = unpack(&Tar::new().file("/stack-test-absolute", "x").finish());
    assert!(layer.fs().join("stack-test-absolute").exists());
    assert!(!Path::new("/stack-test-absolute").exists());
}

#[test]
fn links_do_not_lead_out() {
    let host = Host::new();
    let out = host.path();
    let secret = format!("{out}/secret");
    let up = format!("{}{out}", "../".repeat(40));
    for (what, archive) in [
        (
            "a file through a link",
            Tar::new().symlink("l", out).file("l/secret", "stolen"),
        ),
        (
            "a new file through a link",
            Tar::new().symlink("l", out).file("l/new", "x"),
        ),
        (
            "a file through a relative link",
            Tar::new().symlink("l", &up).file("l/secret", "stolen"),
        ),
        (
            "a file through two links",
            Tar::new()
                .symlink("a", out)
                .symlink("b", "a")
                .file("b/secret", "x"),
        ),
        (
            "a file over a link",
            Tar::new().symlink("l", &secret).file("l", "stolen"),
        ),
        (
            "a directory through a link",
            Tar::new().symlink("l", out).dir("l/new"),
        ),
        (
            "a directory over a link",
            Tar::new().symlink("l", out).dir("l").file("l/secret", "x"),
        ),
        (
            "a deletion through a link",
            Tar::new().symlink("l", out).file("l/.wh.secret", ""),
        ),
        (
            "an opaque mark through a link",
            Tar::new().symlink("l", out).file("l/.wh..wh..opq", ""),
        ),
        ("a hard link out", Tar::new().hardlink("h", &secret)),
        ("a hard link up", Tar::new().hardlink("h", "../secret")),
        (
            "a hard link through a link",
            Tar::new()
                .symlink("l", out)
                .hardlink("h", "l/secret")
                .file("h", "x"),
        ),
        (
            "a hard link to a link",
            Tar::new()
                .symlink("l", &secret)
                .hardlink("h", "l")
                .file("h", "stolen"),
        ),
        (
            "a device through a link",
            Tar::new().symlink("l", out).device(b'3', "l/null", 1, 3),
        ),
        (
            "a file below a file",
            Tar::new().file("f", "").file("f/x", ""),
        ),
        (
            "a link to itself",
            Tar::new().symlink("l", "l").file("l/x", ""),
        ),
        (
            "a root that is a link",
            Tar::new().symlink("./", out).file("secret", "stolen"),
        ),
        (
            "a magic link",
            Tar::new()
                .symlink("l", "/proc/self/root")
                .file(&format!("l{secret}"), "stolen"),
        ),
    ] {
        let layer = unpack(&archive.finish());
        host.check(what);
        if layer.result.is_err() {
            assert!(
                layer.error().contains("entry `"),
                "{what}: {}",
                layer.error()
            );
        }
    }
}

#[test]
fn links_to_what_is_not_in_the_layer_are_refused_by_name() {
    for (archive, reason) in [
        (
            Tar::new().hardlink("h", "etc/passwd"),
            "hard link to `etc/passwd`, which is not in this layer",
        ),
        (Tar::new().hardlink("h", "../x"), "`..`"),
        (
            Tar::new().dir("d").hardlink("h", "d"),
            "directory or a deletion mark",
        ),
        (
            Tar::new().file(".wh.w", "").hardlink("h", "w"),
            "directory or a deletion mark",
        ),
        (
            Tar::new().file("f", "").file("f/x", ""),
            "`f` in its name is no directory",
        ),
        (
            Tar::new().symlink("l", "nowhere").file("l/x", ""),
            "`l` in its name is no directory",
        ),
        (
            Tar::new().symlink("./", "/etc"),
            "replace the root directory",
        ),
    ] {
        let error = unpack(&archive.finish()).error();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_device_that_looks_like_a_deletion_is_refused() {
    let error = unpack(&Tar::new().device(b'3', "etc/shadow", 0, 0).finish()).error();
    assert!(
        error.contains("entry `etc/shadow`") && error.contains("0:0"),
        "{error}"
    );
    // Block device 0:0 means nothing to overlayfs.
    assert!(
        unpack(&Tar::new().device(b'4', "b", 0, 0).finish())
            .result
            .is_ok()
    );
}

#[test]
fn kinds_and_owners_that_no_layer_has_are_refused() {
    let huge = |header: &mut tar::Header| header.set_uid(u64::from(u32::MAX));
    for (archive, reason) in [
        (Tar::new().entry(b'V', "label", |_| {}, b""), "kind `V`"),
        (Tar::new().entry(b'M', "part", |_| {}, b""), "kind `M`"),
        (Tar::new().entry(b'0', "f", huge, b""), "owner 4294967295"),
        (Tar::new().pax(&[("path", b"a\0b")]).file("x", ""), "NUL"),
        (
            Tar::new().file(&"d/".repeat(300), ""),
            "more than 256 parts",
        ),
    ] {
        let error = unpack(&archive.finish()).error();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn numbers_that_are_left_empty_are_zero_as_for_docker() {
    let fields = [100..108, 108..116, 116..124, 136..148, 329..337, 337..345];
    for blank in [0, b' '] {
        let empty = |header: &mut tar::Header| {
            for field in fields.clone() {
                header.as_mut_bytes()[field].fill(blank);
            }
        };
        let layer = unpack(&Tar::new().entry(b'0', "f", empty, b"text").finish());
        let found = fs::metadata(layer.fs().join("f")).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mtime()), (0, 0, 0));
        assert_eq!(found.mode() & 0o7777, 0);
        assert_eq!(found.len(), 4);
        let all = |header: &mut tar::Header| {
            empty(header);
            header.as_mut_bytes()[124..136].fill(blank);
        };
        let layer = unpack(&Tar::new().entry(b'5', "d", all, b"").finish());
        assert!(layer.fs().join("d").is_dir());
        // An empty size is no leave to take what follows for a file.
        let layer = unpack(
            &Tar::new()
                .entry(b'0', "f", all, b"")
                .file("g", "g")
                .finish(),
        );
        assert_eq!(fs::metadata(layer.fs().join("f")).unwrap().len(), 0);
        assert_eq!(fs::read(layer.fs().join("g")).unwrap(), b"g");
    }
}

#[test]
fn numbers_that_are_none_are_refused_with_their_field() {
    for (field, name, text) in [
        (100..108, "mode", &b"9999999\0"[..]),
        (108..116, "uid", b"-1\0\0\0\0\0\0"),
        (116..124, "gid", b"0x10\0\0\0\0"),
        (124..136, "size", b"12 34\0\0\0\0\0\0\0"),
    ] {
        let bad = |header: &mut tar::Header| header.as_mut_bytes()[field].copy_from_slice(text);
        let error = unpack(&Tar::new().entry(b'0', "f", bad, b"").finish()).error();
        assert!(error.contains(&format!("`{name}`")), "{name}: {error}");
    }
    // A size below zero, in the binary form of GNU tar.
    let negative = |header: &mut tar::Header| header.as_mut_bytes()[124..136].fill(0xff);
    let archive = Tar::new().entry(b'0', "f", negative, b"x").finish();
    assert!(unpack(&archive).result.is_err());
}

#[test]
fn bombs_stop_at_the_limit() {
    let small = Limits {
        bytes: 1 << 20,
        entries: 10,
    };
    let zeros = vec![0; 2 << 20];
    let big = Tar::new().entry(b'0', "big", |_| {}, &zeros).finish();
    let many = (0..20)
        .fold(Tar::new(), |tar, n| tar.file(&n.to_string(), ""))
        .finish();
    let hole = Tar::new()
        .pax(&[
            ("GNU.sparse.size", b"9000000000000000000"),
            ("GNU.sparse.map", b"0,0"),
        ])
        .file("hole", "")
        .finish();
    let lie = Tar::new()
        .entry(b'0', "lie", |header| header.set_size(1 << 60), b"x")
        .finish();
    for (archive, reason) in [
        (gzip(&big), "more than 1048576 bytes"),
        (zstd(&big), "more than 1048576 bytes"),
        (big, "more than 1048576 bytes"),
        (many, "more than 10 entries"),
        (hole, "more than 1048576 bytes"),
        (lie, "more than 1048576 bytes"),
    ] {
        let error = unpack_within(&archive, small).error();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn long_headers_are_not_read_into_memory() {
    for kind in [b'L', b'K', b'x', b'g'] {
        let lie = Tar::new()
            .entry(kind, "x", |header| header.set_size(1 << 40), b"x")
            .finish();
        let error = unpack(&lie).error();
        assert!(error.contains("at most 1048576 are read"), "{error}");
    }
}

#[test]
fn broken_archives_are_refused_with_the_reason() {
    let good = Tar::new().file("a", &"x".repeat(2000)).finish();
    let mut flipped = good.clone();
    flipped[3] ^= 1;
    let mut cut_gzip = gzip(&good);
    cut_gzip.truncate(cut_gzip.len() / 2);
    let sparse = |records: &[(&str, &[u8])]| Tar::new().pax(records).file("s", "abc").finish();
    for (archive, reason) in [
        (good[..1000].to_vec(), "incomplete"),
        (good[..300].to_vec(), "incomplete"),
        (flipped, "checksum"),
        (
            b"just some text, which is no archive at all".repeat(20),
            "checksum",
        ),
        (cut_gzip, "cannot be read"),
        (b"\xfd7zXZ\0rest".to_vec(), "xz"),
        (b"BZh91AY".to_vec(), "bzip2"),
        (
            Tar::new().pax(&[("size", b"x")]).file("a", "").finish(),
            "`size`",
        ),
        (
            sparse(&[("GNU.sparse.map", b"0,3,1,3"), ("GNU.sparse.size", b"9")]),
            "sparse",
        ),
        (sparse(&[("GNU.sparse.map", b"0,3")]), "sparse"),
        (
            sparse(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9")]),
            "sparse",
        ),
    ] {
        let error = unpack(&archive).error();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn names_in_messages_cannot_steer_the_terminal() {
    let error = unpack(&Tar::new().file("../\x1b[2J", "").finish()).error();
    assert!(!error.contains('\x1b'), "{error:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Any sequence of entries over a few names and links: nothing outside is touched, no panic.
    #[test]
    fn no_sequence_of_entries_gets_out(steps in proptest::collection::vec((0..7_u8, 0..5_usize, 0..6_usize), 1..24)) {
        let host = Host::new();
        let names = ["a", "a/b", "a/b/c", "l", "l/x"];
        let targets = ["a", "..", "/", host.path(), "../../../..", "l"];
        let mut tar = Tar::new();
        for (kind, name, target) in steps {
            let (name, target) = (names[name], targets[target]);
            tar = match kind {
                0 => tar.file(name, "x"),
                1 => tar.dir(name),
                2 | 3 => tar.symlink(name, target),
                4 => tar.hardlink(name, target),
                5 => tar.file(&name.replace('/', "/.wh."), "x"),
                _ => tar.file(&format!("{name}/secret"), "stolen"),
            };
        }
        let layer = unpack(&tar.finish());
        host.check("a random archive");
        let inside = fs::read_dir(layer.dir.path()).unwrap().count();
        proptest::prop_assert_eq!(inside, 2);
    }
}
