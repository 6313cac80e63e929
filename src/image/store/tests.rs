//! The store as a whole: import, names, removal, what a killed process leaves.

use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use super::super::testing::{Tar, gzip, store, whole};
use super::super::{ConfigChange, ImportOptions, Reference, no_progress};
use super::*;

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn options(changes: &[&str]) -> ImportOptions {
    let changes = changes
        .iter()
        .flat_map(|line| ConfigChange::parse(line).unwrap())
        .collect();
    ImportOptions {
        changes,
        created: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        ..Default::default()
    }
}

fn import(store: &ImageStore, text: &str, archive: Tar) -> Image {
    store
        .import_rootfs(
            &archive.finish()[..],
            &name(text),
            &options(&[]),
            &no_progress,
        )
        .unwrap()
}

fn prune(store: &ImageStore, in_use: &InUse) -> Removed {
    let cleaning = store.clean(Duration::ZERO).unwrap();
    cleaning.prune(&PruneRules::default(), in_use).unwrap()
}

fn count(path: &Path) -> usize {
    fs::read_dir(path)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name() != "x")
        .count()
}

#[test]
fn an_imported_image_is_found_by_name_and_id() {
    let (_root, store) = store();
    let archive = gzip(&Tar::new().file("bin/sh", "#!").finish());
    let options = options(&[
        "CMD [\"sh\"]",
        "HEALTHCHECK --interval=2s CMD true",
        "EXPOSE 80",
    ]);
    let made = store
        .import_rootfs(&archive[..], &name("a:1"), &options, &no_progress)
        .unwrap();
    let image = store.get(&name("a:1")).unwrap().unwrap();
    assert_eq!(image.id, made.id);
    assert_eq!(image.references, [name("a:1")]);
    assert_eq!(image.size, 2);
    assert_eq!(image.created, options.created);
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.cmd().as_deref(), Some(&["sh".to_owned()][..]));
    assert_eq!(
        config.exposed_ports().as_deref(),
        Some(&["80/tcp".to_owned()][..])
    );
    assert_eq!(image.healthcheck.as_ref().unwrap().interval, 2_000_000_000);
    assert_eq!(
        fs::read_to_string(image.layers[0].join("bin/sh")).unwrap(),
        "#!"
    );
    assert_eq!(store.get(&name("a:2")).unwrap().map(|image| image.id), None);
    assert_eq!(
        store.get_by_id(&image.id).unwrap().unwrap().manifest,
        image.manifest
    );
    for text in [
        "a:1",
        &image.id.to_string(),
        &image.id.short(),
        &image.id.hex(),
    ] {
        assert_eq!(
            store.find(text).unwrap().map(|image| image.id),
            Some(image.id),
            "{text}"
        );
    }
    assert!(store.get(&name("a").at(image.manifest)).unwrap().is_some());
}

#[test]
fn an_image_on_a_base_has_both_layers_and_the_inherited_configuration() {
    let (_root, store) = store();
    let sticky = |header: &mut tar::Header| header.set_mode(0o1777);
    let archive = Tar::new()
        .entry(b'5', "tmp", sticky, b"")
        .file("etc/base", "1")
        .finish();
    let base = store
        .import_rootfs(
            &archive[..],
            &name("base"),
            &options(&["ENV A=1", "CMD old", "USER 5"]),
            &no_progress,
        )
        .unwrap();
    let on_top = ImportOptions {
        base: Some(name("base")),
        ..options(&["ENV B=2", "ENTRYPOINT [\"x\"]"])
    };
    let archive = Tar::new().file("tmp/top", "2").finish();
    let image = store
        .import_rootfs(&archive[..], &name("top"), &on_top, &no_progress)
        .unwrap();
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.layers[0], base.layers[0]);
    assert_eq!(image.size, 2);
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.env().as_ref().unwrap()[..], ["A=1", "B=2"]);
    assert_eq!(config.user().as_deref(), Some("5"));
    assert_eq!(*config.cmd(), None);
    let mode = fs::metadata(image.layers[1].join("tmp"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o1777);
    let missing = ImportOptions {
        base: Some(name("nobody")),
        ..options(&[])
    };
    let error = store
        .import_rootfs(&archive[..], &name("x"), &missing, &no_progress)
        .unwrap_err();
    assert!(error.to_string().contains("nobody:latest"), "{error}");
}

#[test]
fn names_move_and_the_image_they_leave_stays_until_it_is_pruned() {
    let (root, store) = store();
    let old = import(&store, "a", Tar::new().file("f", "old"));
    store.tag(&name("a"), &name("b")).unwrap();
    let new = import(&store, "a", Tar::new().file("f", "new"));
    assert_eq!(store.get(&name("b")).unwrap().unwrap().id, old.id);
    import(&store, "b", Tar::new().file("f", "new"));
    let list = store.list().unwrap();
    assert_eq!(list.len(), 2);
    let by_id = |id| list.iter().find(|image| image.id == id).unwrap();
    assert_eq!(by_id(old.id).references, []);
    assert_eq!(by_id(new.id).references, [name("a"), name("b")]);
    let layers_only = InUse {
        layers: HashSet::from_iter(old.layers.clone()),
        ..InUse::default()
    };
    assert_eq!(prune(&store, &layers_only).images, [old.id]);
    assert!(old.layers[0].join("f").exists(), "a container stands on it");
    prune(&store, &InUse::default());
    assert!(!old.layers[0].exists());
    assert!(new.layers[0].join("f").exists());
    assert_eq!(count(&root.path().join("images/blobs/sha256")), 3);
}

#[test]
fn the_last_name_takes_blobs_and_layers_with_it() {
    let (root, store) = store();
    import(&store, "a", Tar::new().file("f", "1"));
    store.tag(&name("a"), &name("b")).unwrap();
    assert_eq!(store.untag(&name("a")).unwrap(), [name("a")]);
    let image = store.get(&name("b")).unwrap().unwrap();
    let kept = InUse {
        images: HashSet::from([image.id]),
        ..InUse::default()
    };
    assert_eq!(store.untag(&name("b")).unwrap(), [name("b")]);
    assert_eq!(prune(&store, &kept), Removed::default());
    assert!(store.get_by_id(&image.id).unwrap().is_some());
    let removed = prune(&store, &InUse::default());
    assert_eq!(removed.images, [image.id]);
    assert!(removed.bytes > 0);
    assert_eq!(count(&root.path().join("images/blobs/sha256")), 0);
    let layers = fs::read_dir(root.path().join("layers"))
        .unwrap()
        .map(|e| e.unwrap().file_name());
    let mut names = layers.collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["index.lock", "ingest.lock"]);
    assert!(matches!(
        store.untag(&name("b")),
        Err(Error::NoSuchImage { .. })
    ));
}

#[test]
fn nothing_is_deleted_while_something_comes_in() {
    let (root, store) = store();
    let coming = store.begin().unwrap();
    let unfinished = Temporary::new(&store.layers()).unwrap();
    store.put_blob(b"not named yet").unwrap();
    store.sweep().unwrap();
    assert!(matches!(store.clean(Duration::ZERO), Err(Error::Busy)));
    assert!(unfinished.path().exists());
    assert_eq!(count(&root.path().join("images/blobs/sha256")), 1);
    drop(coming);
    prune(&store, &InUse::default());
    assert!(!unfinished.path().exists());
    assert_eq!(count(&root.path().join("images/blobs/sha256")), 0);
}

#[test]
fn what_a_killed_process_left_is_swept_by_the_next() {
    let (root, store) = store();
    for left in [
        "layers/tmp-1-a",
        "images/index.tmp-1-a",
        "images/blobs/sha256/0.tmp-1-a",
    ] {
        fs::create_dir(root.path().join(left)).unwrap();
        fs::write(root.path().join(left).join("half"), "").unwrap();
    }
    import(&store, "a", Tar::new().file("f", "1"));
    for (directory, count_of) in [("layers", 3), ("images", 4), ("images/blobs/sha256", 3)] {
        assert_eq!(count(&root.path().join(directory)), count_of, "{directory}");
    }
}

#[test]
fn a_failed_import_leaves_nothing_and_the_old_image() {
    let (root, store) = store();
    let old = import(&store, "a", Tar::new().file("f", "1"));
    let layers = count(&root.path().join("layers"));
    let archive = Tar::new().file("g", "1").file("../x", "").finish();
    let error = store
        .import_rootfs(&archive[..], &name("a"), &options(&[]), &no_progress)
        .unwrap_err();
    let text = whole(&error);
    assert!(
        text.contains("layer of a:latest") && text.contains("entry `../x`"),
        "{text}"
    );
    assert_eq!(store.get(&name("a")).unwrap().unwrap().id, old.id);
    assert_eq!(count(&root.path().join("layers")), layers);
}

#[test]
fn an_archive_without_an_entry_makes_no_image() {
    let (root, store) = store();
    for archive in [&b""[..], &[0; 1024], &gzip(&[0; 1024])] {
        let imported = store.import_rootfs(archive, &name("a"), &options(&[]), &no_progress);
        assert!(matches!(imported, Err(Error::EmptyArchive)), "{imported:?}");
    }
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(count(&root.path().join("layers")), 2, "the locks only");
}

#[test]
fn a_layer_that_a_power_cut_may_have_hurt_is_unpacked_anew() {
    let (root, store) = store();
    let image = import(&store, "a", Tar::new().file("f", "1"));
    let layer = image.layers[0].parent().unwrap().to_owned();
    let diff_id = diff_ids(&image.config).unwrap()[0];
    fs::remove_file(layer.join("synced")).unwrap();
    assert!(
        store.has_layer(&diff_id).unwrap(),
        "this start of the machine"
    );
    let record = fs::read_to_string(layer.join("layer.json")).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(
        layer.join("layer.json"),
        record.replace(boot.trim(), "another"),
    )
    .unwrap();
    fs::write(image.layers[0].join("f"), "").unwrap();
    assert!(!store.has_layer(&diff_id).unwrap());
    import(&store, "a", Tar::new().file("f", "1"));
    assert_eq!(fs::read_to_string(image.layers[0].join("f")).unwrap(), "1");
    assert!(store.has_layer(&diff_id).unwrap());
    drop(root);
}

#[test]
fn imports_at_the_same_time_all_arrive() {
    let (_root, store) = store();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let store = &store;
            scope.spawn(move || {
                import(store, &format!("a:{number}"), Tar::new().file("f", "same"));
                import(
                    store,
                    &format!("b:{number}"),
                    Tar::new().file("f", &number.to_string()),
                );
            });
        }
    });
    assert_eq!(
        store
            .list()
            .unwrap()
            .iter()
            .map(|image| image.references.len())
            .sum::<usize>(),
        8
    );
}

#[test]
fn a_damaged_or_incomplete_store_is_named() {
    let (root, store) = store();
    let image = import(&store, "a", Tar::new().file("f", "1"));
    fs::rename(&image.layers[0], root.path().join("elsewhere")).unwrap();
    let error = store.get(&name("a")).unwrap_err().to_string();
    assert!(
        error.contains("a:latest") && error.contains("again"),
        "{error}"
    );
    fs::write(root.path().join("images/index.json"), "{").unwrap();
    let error = store.get(&name("a")).unwrap_err().to_string();
    assert!(error.contains("index.json"), "{error}");
}

#[test]
fn other_tools_read_the_layout() {
    let (root, store) = store();
    let image = import(&store, "nginx:1", Tar::new().dir("etc").file("etc/f", "1"));
    let layout = format!(
        "oci:{}:docker.io/library/nginx:1",
        root.path().join("images").display()
    );
    let Ok(output) = Command::new("skopeo")
        .args(["inspect", "--config", &layout])
        .output()
    else {
        assert!(std::env::var_os("CI").is_none(), "skopeo is not installed");
        eprintln!("SKIPPED: skopeo is not installed");
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"],
        serde_json::json!(diff_ids(&image.config).unwrap())
    );
}
