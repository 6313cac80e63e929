//! Images that are made here, sent to Debian's `docker-registry` with compressed layers.

use std::sync::Mutex;

use serde_json::json;

use super::super::layer::Packing;
use super::super::no_progress;
use super::super::oci::{Manifest, gzip_type};
use super::super::pull::{PullOptions, pull};
use super::super::registry::testing::{Registry, environment};
use super::super::store::{Image, InUse};
use super::super::testing::store;
use super::*;

fn anonymous() -> PushOptions {
    PushOptions {
        registries: environment(&[]),
        credentials: Credentials::Anonymous,
        ..Default::default()
    }
}

/// Builds an image of a layer for each of these contents.
fn built(store: &ImageStore, name: &Reference, contents: &[&str]) -> Image {
    let layers = contents.iter().map(|content| {
        let snapshot = store.snapshot(None).unwrap();
        std::fs::write(snapshot.upper().join("file"), content.repeat(50_000)).unwrap();
        let packing = Packing {
            latest: Some(1),
            ..Packing::default()
        };
        store.keep(snapshot, packing).unwrap()
    });
    let layers = layers.collect::<Vec<_>>();
    let ids = layers.iter().map(|layer| layer.diff_id);
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids.collect::<Vec<_>>()},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let names = std::slice::from_ref(name);
    store.name_image(&config, &layers, names).unwrap()
}

/// Sends an image; what became of its blobs, in the order of the alphabet.
async fn sent(store: &ImageStore, name: &Reference) -> (Pushed, Vec<String>) {
    let seen = Mutex::new(Vec::new());
    let note = |step: Progress| match step.phase {
        Phase::Present | Phase::Mounted | Phase::Sent => {
            seen.lock().unwrap().push(format!("{:?}", step.phase));
        }
        Phase::Compressing { done, total } if done == total => {
            seen.lock().unwrap().push("compressed".to_owned());
        }
        _ => {}
    };
    let pushed = push(store, name, &anonymous(), &note).await.unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    (pushed, seen)
}

fn manifest(registry: &Registry, name: &str) -> Manifest {
    serde_json::from_value(registry.inspect(name)).unwrap()
}

#[tokio::test]
async fn what_is_made_here_goes_compressed_and_is_the_same_image_everywhere() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (_root, here) = store();
    let name = registry.name("team/app:1");
    let made = built(&here, &name, &["one ", "two "]);
    let (pushed, ways) = sent(&here, &name).await;
    assert_eq!(
        ways,
        ["Sent", "Sent", "Sent", "compressed", "compressed"],
        "two layers and the configuration"
    );
    let at_registry = manifest(&registry, "team/app:1");
    assert_eq!(at_registry.config.digest, made.id);
    for layer in &at_registry.layers {
        assert_eq!(
            layer.media_type,
            "application/vnd.oci.image.layer.v1.tar+gzip"
        );
        assert!(layer.size < 2000, "{}", layer.size);
    }
    let dir = tempfile::tempdir().unwrap();
    registry.fetch("team/app:1", &dir.path().join("layout"));
    let blob = dir.path().join("layout/blobs/sha256");
    assert!(blob.join(pushed.digest.hex()).exists(), "the digest is its");

    let (_root, there) = store();
    let options = PullOptions {
        registries: environment(&[]),
        ..Default::default()
    };
    let pulled = pull(&there, &name, &options, &no_progress).await.unwrap();
    assert_eq!((pulled.id, pulled.manifest), (made.id, pushed.digest));
    assert_eq!(pulled.repo_digests, [name.at(pushed.digest)]);
    let file = std::fs::read_to_string(pulled.layers[1].join("file")).unwrap();
    assert_eq!(file, "two ".repeat(50_000));
    // It goes on from there as it came.
    let other = registry.name("other/app:1");
    there.tag(&name, &other).unwrap();
    let (again, ways) = sent(&there, &other).await;
    assert_eq!(again, pushed);
    assert_eq!(ways, ["Mounted", "Mounted", "Sent"]);
}

#[tokio::test]
async fn a_second_push_sends_and_compresses_nothing_and_a_pull_fetches_nothing() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (_root, store) = store();
    let name = registry.name("app:1");
    built(&store, &name, &["one "]);
    assert!(store.get(&name).unwrap().unwrap().repo_digests.is_empty());
    let (pushed, _) = sent(&store, &name).await;
    let known = store.get(&name).unwrap().unwrap().repo_digests;
    assert_eq!(known, [name.at(pushed.digest)]);
    assert!(
        store.get(&name.at(pushed.digest)).unwrap().is_some(),
        "it is found under what the registry calls it"
    );
    let (again, ways) = sent(&store, &name).await;
    assert_eq!(again, pushed);
    assert_eq!(ways, ["Present", "Present"]);

    let fetched = |step: Progress| assert!(step.layer.is_none(), "{step:?}");
    pull(&store, &name, &PullOptions::default(), &fetched)
        .await
        .unwrap();
    assert!(store.get(&name).unwrap().unwrap().pulled.is_some());

    // Another repository takes the layer from the first one, under the name that it has there.
    let other = registry.name("other:1");
    store.tag(&name, &other).unwrap();
    let ours = &store.get(&other).unwrap().unwrap().repo_digests;
    assert_eq!(*ours, [name.at(pushed.digest)], "the other has none yet");
    let (_, ways) = sent(&store, &other).await;
    assert_eq!(ways, ["Mounted", "Sent"]);
}

#[tokio::test]
async fn a_registry_that_has_nothing_gets_the_same_bytes_again() {
    let (Some(first), Some(second)) = (Registry::start(None), Registry::start(None)) else {
        return;
    };
    let (_root, store) = store();
    let (name, other) = (first.name("app:1"), second.name("app:1"));
    built(&store, &name, &["one "]);
    let (pushed, _) = sent(&store, &name).await;
    store.tag(&name, &other).unwrap();
    let (again, ways) = sent(&store, &other).await;
    assert_eq!(again, pushed);
    assert_eq!(ways, ["Sent", "Sent", "compressed"]);
    let known = store.get(&name).unwrap().unwrap().repo_digests;
    assert_eq!(known, [name.at(pushed.digest), other.at(pushed.digest)]);
}

#[tokio::test]
async fn a_layer_that_was_fetched_goes_back_as_it_came_though_it_was_made_here_again() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (_root, here) = store();
    let name = registry.name("app:1");
    built(&here, &name, &["one "]);
    let layer = here.read_blob(&here.get(&name).unwrap().unwrap().manifest);
    let layer: Manifest = serde_json::from_slice(&layer.unwrap()).unwrap();
    let plain = layer.layers[0].digest;
    // As another tool compresses it.
    let bytes = super::super::testing::gzip(&here.read_blob(&plain).unwrap());
    let theirs = Descriptor::new(
        gzip_type(&layer.layers[0].media_type).unwrap(),
        here.put_blob(&bytes).unwrap(),
        bytes.len() as u64,
    );
    here.note_compressed(&plain, &theirs).unwrap();
    assert_eq!(sent(&here, &name).await.1, ["Sent", "Sent"]);
    assert_eq!(
        manifest(&registry, "app:1").layers,
        std::slice::from_ref(&theirs)
    );

    let (_root, there) = store();
    let pulled = pull(&there, &name, &PullOptions::default(), &no_progress).await;
    assert!(pulled.is_ok());
    let other = registry.name("app:2");
    built(&there, &other, &["one "]);
    assert_eq!(sent(&there, &other).await.1, ["Present", "Present"]);
    assert_eq!(manifest(&registry, "app:2").layers, [theirs]);
}

#[tokio::test]
async fn nothing_of_a_push_stays_in_the_store_and_a_damaged_layer_is_not_sent() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (root, store) = store();
    let name = registry.name("app:1");
    let made = built(&store, &name, &["one "]);
    let names = |what: &str| {
        let entries = std::fs::read_dir(root.path().join(what)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.filter(|name| name != "ingest.lock").collect();
        names.sort();
        names
    };
    let before = (names("layers"), names("images/blobs/sha256"));
    sent(&store, &name).await;
    assert_eq!((names("layers"), names("images/blobs/sha256")), before);

    let manifest: Manifest =
        serde_json::from_slice(&store.read_blob(&made.manifest).unwrap()).unwrap();
    let path = store.blob(&manifest.layers[0].digest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[700] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let other = Registry::start(None).unwrap();
    let elsewhere = other.name("app:1");
    store.tag(&name, &elsewhere).unwrap();
    let error = push(&store, &elsewhere, &anonymous(), &no_progress).await;
    assert!(matches!(error, Err(Error::BlobMissing { .. })), "{error:?}");
}

#[tokio::test]
async fn a_fetched_layer_that_the_build_cache_needs_keeps_its_archive() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (_root, here) = store();
    let name = registry.name("app:1");
    let made = built(&here, &name, &["one "]);
    let plain = here.layers_of(&made).unwrap()[0].diff_id;
    sent(&here, &name).await;
    let (root, there) = store();
    let pulled = pull(&there, &name, &PullOptions::default(), &no_progress).await;
    let marks = root.path().join("build-cache/layers");
    std::fs::create_dir_all(&marks).unwrap();
    std::fs::write(marks.join(plain.hex()), "").unwrap();
    there.forget(&[pulled.unwrap().id]).unwrap();
    let cleaning = there.clean(std::time::Duration::ZERO).unwrap();
    cleaning.collect(&InUse::default()).unwrap();
    drop(cleaning);
    // An image that is built of it now can be sent, saved and unpacked again.
    let layer = there.kept(&plain).unwrap().expect("it is still there");
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [plain]}});
    let config = serde_json::to_vec(&config).unwrap();
    let again = registry.name("app:2");
    let names = std::slice::from_ref(&again);
    there.name_image(&config, &[layer], names).unwrap();
    assert_eq!(sent(&there, &again).await.1, ["Present", "Present"]);
}
