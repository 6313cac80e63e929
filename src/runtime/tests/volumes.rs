use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::harness::{Container, alone};

#[test]
fn mounts_are_read_only_where_asked() {
    alone(mounts_are_read_only_where_asked, || {
        let volume = tempfile::tempdir().unwrap();
        fs::write(volume.path().join("file"), "text").unwrap();
        let script =
            "cat /data/file; echo x > /data/new || echo read-only; cat /etc/one; echo y > /etc/one";
        let container = Container::sh(script)
            .mount(volume.path(), "/data", &["rbind", "ro"])
            .mount(&volume.path().join("file"), "/etc/one", &["rbind"]);
        let out = container.run();
        assert_eq!(out.stdout, "textread-only\ntext", "{}", out.stderr);
        assert_eq!(
            fs::read_to_string(volume.path().join("file")).unwrap(),
            "y\n"
        );
        assert!(!volume.path().join("new").exists());
    });
}

#[test]
fn a_read_only_root_leaves_its_mounts_writable() {
    alone(a_read_only_root_leaves_its_mounts_writable, || {
        let script =
            "touch /x 2>/dev/null || echo root; touch /data/x && touch /dev/shm/x && echo others";
        let volume = tempfile::tempdir().unwrap();
        let container = Container::sh(script)
            .mount(volume.path(), "/data", &["rbind"])
            .with(|c| c.settings.readonly = true);
        assert_eq!(container.run().stdout, "root\nothers\n");
    });
}

#[test]
fn recursively_read_only_reaches_what_is_mounted_below() {
    alone(recursively_read_only_reaches_what_is_mounted_below, || {
        // /dev of the host has other mounts below it.
        let run = |option: &str| {
            Container::sh(
                "touch /data/shm/stack-test-rro && rm /data/shm/stack-test-rro && echo written",
            )
            .mount(Path::new("/dev"), "/data", &["rbind", option])
            .run()
            .stdout
        };
        assert_eq!(run("rro"), "");
        assert_eq!(run("ro"), "written\n");
    });
}

#[test]
fn missing_targets_are_made_inside_the_root() {
    alone(missing_targets_are_made_inside_the_root, || {
        let volume = tempfile::tempdir().unwrap();
        fs::write(volume.path().join("f"), "hello").unwrap();
        let outside = tempfile::tempdir().unwrap();
        let container = Container::sh("cat /a/b/c/f; cat /var/link/conf")
            .mount(volume.path(), "/a/b/c", &["rbind"])
            .mount(&volume.path().join("f"), "/var/link/conf", &["rbind"])
            .with(|c| {
                fs::create_dir(c.layer().join("var")).unwrap();
                symlink(outside.path(), c.layer().join("var/link")).unwrap();
            });
        assert_eq!(container.run().stdout, "hellohello");
        assert_eq!(
            fs::read_dir(outside.path()).unwrap().count(),
            0,
            "made outside of the root"
        );
    });
}

#[test]
fn an_empty_volume_is_filled_from_the_image() {
    alone(an_empty_volume_is_filled_from_the_image, || {
        let volume = tempfile::tempdir().unwrap();
        let image = |c: &mut Container| {
            c.file("data/sub/file", "text");
            c.file("data/plain", "1");
            let data = c.layer().join("data");
            symlink("sub/file", data.join("link")).unwrap();
            fs::hard_link(data.join("plain"), data.join("second")).unwrap();
            fs::set_permissions(data.join("plain"), PermissionsExt::from_mode(0o4751)).unwrap();
            fs::set_permissions(&data, PermissionsExt::from_mode(0o750)).unwrap();
            std::os::unix::fs::chown(&data, Some(33), Some(34)).unwrap();
            std::os::unix::fs::chown(data.join("plain"), Some(33), Some(34)).unwrap();
            fs::set_permissions(data.join("plain"), PermissionsExt::from_mode(0o4751)).unwrap();
            rustix::fs::setxattr(
                data.join("sub"),
                "user.note",
                b"n",
                rustix::fs::XattrFlags::empty(),
            )
            .unwrap();
        };
        let run = |script: &str| {
            Container::sh(script)
                .copy_up("/data", volume.path())
                .mount(volume.path(), "/data", &["rbind"])
                .with(image)
                .run()
        };
        let out = run(
            "cat /data/sub/file; stat -c '%a %u %g' /data /data/plain; rm /data/plain; echo > /data/mine",
        );
        assert_eq!(out.stdout, "text750 33 34\n4751 33 34\n", "{}", out.stderr);
        let second = fs::metadata(volume.path().join("second")).unwrap();
        assert_eq!(
            (second.nlink(), second.mode() & 0o7777),
            (1, 0o4751),
            "was a hard link until one name went"
        );
        assert_eq!(
            fs::read_link(volume.path().join("link")).unwrap(),
            Path::new("sub/file")
        );
        let mut value = [0u8; 8];
        assert_eq!(
            rustix::fs::getxattr(volume.path().join("sub"), "user.note", &mut value),
            Ok(1)
        );
        // The second time it is not empty: nothing comes back.
        run("true");
        assert!(!volume.path().join("plain").exists());
        assert!(volume.path().join("mine").exists());
    });
}

#[test]
fn a_fill_that_was_interrupted_goes_on_and_overwrites_nothing() {
    alone(
        a_fill_that_was_interrupted_goes_on_and_overwrites_nothing,
        || {
            let volume = tempfile::tempdir().unwrap();
            fs::write(volume.path().join("a"), "changed").unwrap();
            let none = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(volume.path(), "trusted.stack.filling", b"1", none).unwrap();
            let run = || {
                let container = Container::sh("true")
                    .copy_up("/data", volume.path())
                    .with(|c| {
                        c.file("data/a", "original");
                        c.file("data/b", "missing");
                    });
                assert_eq!(container.run().code, 0);
            };
            run();
            assert_eq!(
                fs::read_to_string(volume.path().join("a")).unwrap(),
                "changed"
            );
            assert_eq!(
                fs::read_to_string(volume.path().join("b")).unwrap(),
                "missing"
            );
            fs::remove_file(volume.path().join("b")).unwrap();
            run();
            assert!(!volume.path().join("b").exists(), "the mark is gone");
        },
    );
}

#[test]
fn a_link_in_the_image_does_not_fill_a_volume_from_the_host() {
    alone(
        a_link_in_the_image_does_not_fill_a_volume_from_the_host,
        || {
            let volume = tempfile::tempdir().unwrap();
            let secret = tempfile::tempdir().unwrap();
            fs::write(secret.path().join("key"), "secret").unwrap();
            let container = Container::sh("true")
                .copy_up("/data/link", volume.path())
                .with(|c| {
                    symlink(secret.path(), c.layer().join("data/link")).unwrap();
                });
            assert_eq!(container.run().code, 0);
            assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 0);
        },
    );
}
