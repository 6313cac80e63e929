//! Pushes to Debian's `docker-registry`, read back by `skopeo` and by ourselves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::no_progress;
use super::super::oci::{DOCKER_MANIFEST, INDEX, MANIFEST};
use super::super::pull::{PullOptions, pull};
use super::super::registry::testing::{
    Registry, Reply, Request, Server, environment, import, status,
};
use super::super::testing::{Tar, gzip, store, whole, zstd};
use super::*;

fn noise(length: usize) -> String {
    (0..length)
        .map(|_| char::from(fastrand::u8(32..127)))
        .collect()
}

fn anonymous() -> PushOptions {
    PushOptions {
        registries: environment(&[]),
        credentials: Credentials::Anonymous,
        ..Default::default()
    }
}

/// The phases that ended each blob.
async fn phases(store: &ImageStore, name: &Reference, options: &PushOptions) -> Vec<Phase> {
    let seen = Mutex::new(Vec::new());
    let note = |step: Progress| {
        if matches!(step.phase, Phase::Present | Phase::Mounted | Phase::Sent) {
            seen.lock().unwrap().push(step.phase);
        }
    };
    push(store, name, options, &note).await.unwrap();
    seen.into_inner().unwrap()
}

#[tokio::test]
async fn what_we_push_is_read_by_others_and_by_ourselves() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (_root, source) = store();
    let below = gzip(&Tar::new().file("big", &noise(3_000_000)).finish());
    import(&source, "base", &below, None);
    let above = zstd(&Tar::new().file("small", "2").finish());
    let made = import(&source, "web:1", &above, Some("base"));
    let name = registry.name("team/web:1");
    source.tag(&"web:1".parse().unwrap(), &name).unwrap();

    let options = anonymous();
    assert_eq!(phases(&source, &name, &options).await, [Phase::Sent; 3]);
    assert_eq!(registry.inspect("team/web:1")["mediaType"], MANIFEST);
    let dir = tempfile::tempdir().unwrap();
    registry.fetch("team/web:1", &dir.path().join("layout"));
    let blob = dir
        .path()
        .join("layout/blobs/sha256")
        .join(made.manifest.hex());
    assert!(blob.exists(), "skopeo has the same manifest");

    let (_root, target) = store();
    let image = pull(&target, &name, &PullOptions::default(), &no_progress)
        .await
        .unwrap();
    assert_eq!((image.id, image.manifest), (made.id, made.manifest));

    // What is there is not sent again; another repository takes it from this one.
    assert_eq!(phases(&source, &name, &options).await, [Phase::Present; 3]);
    let other = registry.name("other:2");
    source.tag(&name, &other).unwrap();
    let ended = phases(&source, &other, &options).await;
    assert_eq!(
        ended
            .iter()
            .filter(|phase| **phase == Phase::Mounted)
            .count(),
        2,
        "{ended:?}"
    );
}

#[tokio::test]
async fn the_media_types_of_docker_are_kept() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (_root, first) = store();
    let made = import(&first, "web", &Tar::new().file("a", "1").finish(), None);
    let manifest = String::from_utf8(first.read_blob(&made.manifest).unwrap()).unwrap();
    let docker = manifest
        .replace(MANIFEST, DOCKER_MANIFEST)
        .replace(
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.docker.container.image.v1+json",
        )
        .replace(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        );
    let name = registry.name("web");
    first.tag(&"web".parse().unwrap(), &name).unwrap();
    push(&first, &name, &anonymous(), &no_progress)
        .await
        .unwrap();
    registry.put_manifest("web/manifests/docker", DOCKER_MANIFEST, docker.as_bytes());

    let (_root, second) = store();
    let from = registry.name("web:docker");
    pull(&second, &from, &PullOptions::default(), &no_progress)
        .await
        .unwrap();
    let to = registry.name("copy:docker");
    second.tag(&from, &to).unwrap();
    let pushed = push(&second, &to, &anonymous(), &no_progress)
        .await
        .unwrap();
    assert_eq!(pushed.digest, Digest::of(docker.as_bytes()));
    assert_eq!(
        registry.inspect("copy:docker")["mediaType"],
        DOCKER_MANIFEST
    );
}

#[tokio::test]
async fn an_index_goes_with_all_that_it_names_or_not_at_all() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (root, store) = store();
    let mut entries = Vec::new();
    for (architecture, tag) in [("amd64", "one"), ("arm64", "two")] {
        let made = import(
            &store,
            &format!("web:{tag}"),
            &Tar::new().file("a", tag).finish(),
            None,
        );
        let size = store.read_blob(&made.manifest).unwrap().len();
        entries.push(
            json!({"mediaType": MANIFEST, "digest": made.manifest, "size": size,
            "platform": {"os": "linux", "architecture": architecture}}),
        );
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let bytes = serde_json::to_vec(&index).unwrap();
    let digest = store.put_blob(&bytes).unwrap();
    // As another tool would put it into the layout.
    let name = registry.name("web:all");
    let path = root.path().join("images/index.json");
    let mut document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    document["manifests"].as_array_mut().unwrap().push(json!({
        "mediaType": INDEX, "digest": digest, "size": bytes.len(),
        "annotations": {"io.containerd.image.name": name.to_string()}}));
    std::fs::write(&path, serde_json::to_vec(&document).unwrap()).unwrap();
    push(&store, &name, &anonymous(), &no_progress)
        .await
        .unwrap();
    assert_eq!(registry.inspect("web:all"), index);

    let layer = store
        .get(&"web:two".parse().unwrap())
        .unwrap()
        .unwrap()
        .manifest;
    std::fs::remove_file(store.blob(&layer)).unwrap();
    let error = push(&store, &name, &anonymous(), &no_progress)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::BlobMissing { .. }), "{error:?}");
}

#[tokio::test]
async fn a_registry_with_passwords_takes_images_of_its_users_only() {
    let Some(registry) = Registry::start(Some("me:U*U")) else {
        return;
    };
    let (_root, store) = store();
    let name = registry.name("web");
    import(
        &store,
        &name.to_string(),
        &Tar::new().file("a", "1").finish(),
        None,
    );
    let error = push(&store, &name, &anonymous(), &no_progress)
        .await
        .unwrap_err();
    assert!(whole(&error).contains("stack login"), "{error}");
    let options = PushOptions {
        credentials: Credentials::Basic {
            user: "me".into(),
            password: "U*U".into(),
        },
        ..anonymous()
    };
    push(&store, &name, &options, &no_progress).await.unwrap();
    assert_eq!(registry.inspect("web:latest")["schemaVersion"], 2);
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_made_good() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (_root, store) = store();
    // The first connections break within the layer, later and later.
    let cuts = |count: usize| (count < 6).then_some(900_000 * (count + 1));
    let cutter = Server::cutting(registry.address, cuts);
    let name = cutter.name("web");
    let made = import(
        &store,
        &name.to_string(),
        &Tar::new().file("n", &noise(6_000_000)).finish(),
        None,
    );
    push(&store, &name, &anonymous(), &no_progress)
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    registry.fetch("web:latest", &dir.path().join("layout"));
    let blob = dir
        .path()
        .join("layout/blobs/sha256")
        .join(made.manifest.hex());
    assert!(blob.exists());
}

/// A registry that keeps what came of a request that broke off, as the specification has it.
fn keeping(stored: Arc<Mutex<Vec<u8>>>) -> impl Fn(&Request) -> Reply + Send + Sync {
    move |request| {
        let mut stored = stored.lock().unwrap();
        let upload = |code, length: usize| {
            let mut headers = vec![("Location", "/up/1".to_owned())];
            if length > 0 {
                headers.push(("Range", format!("0-{}", length - 1)));
            }
            Reply {
                headers,
                ..status(code)
            }
        };
        match request.method.as_str() {
            "HEAD" => status(404),
            "POST" => upload(202, 0),
            "GET" => upload(204, stored.len()),
            "PATCH" => {
                if let Some(range) = request.headers.get("content-range") {
                    assert!(range.starts_with(&format!("{}-", stored.len())), "{range}");
                }
                stored.extend_from_slice(&request.body);
                upload(202, stored.len())
            }
            _ => status(201),
        }
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_was() {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let registry = Server::start(keeping(Arc::clone(&stored)));
    // The fourth connection and the three after it break within the layer.
    let cuts = |count: usize| (3..7).contains(&count).then_some(1_500_000);
    let cutter = Server::cutting(registry.address, cuts);
    let (_root, store) = store();
    let name = cutter.name("web");
    let archive = gzip(&Tar::new().file("n", &noise(6_000_000)).finish());
    import(&store, &name.to_string(), &archive, None);
    push(&store, &name, &anonymous(), &no_progress)
        .await
        .unwrap();
    assert!(*stored.lock().unwrap() == archive);
}

/// A registry that takes uploads, but never more than so many bytes at once.
fn narrow(
    limit: usize,
    stored: Arc<Mutex<Vec<u8>>>,
    refused: Arc<AtomicUsize>,
) -> impl Fn(&Request) -> Reply + Send + Sync {
    let created = |location: String, range: Option<String>, code| {
        let mut headers = vec![("Location", location)];
        headers.extend(range.map(|range| ("Range", range)));
        Reply {
            headers,
            ..status(code)
        }
    };
    move |request| {
        let put = |reply| reply;
        match request.method.as_str() {
            "HEAD" => status(404),
            "POST" => {
                // The configuration goes in one piece beside it.
                created("/up/1".into(), None, 202)
            }
            "PATCH" if request.body.len() > limit => {
                refused.fetch_add(1, Ordering::SeqCst);
                status(413)
            }
            "PATCH" => {
                let mut stored = stored.lock().unwrap();
                let range = &request.headers["content-range"];
                assert!(range.starts_with(&format!("{}-", stored.len())), "{range}");
                stored.extend_from_slice(&request.body);
                let range = format!("0-{}", stored.len() - 1);
                created("/up/1".into(), Some(range), 202)
            }
            "PUT" => put(status(201)),
            _ => status(404),
        }
    }
}

#[tokio::test]
async fn a_registry_that_takes_no_long_requests_gets_shorter_ones() {
    let (_root, store) = store();
    let (stored, refused) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(AtomicUsize::new(0)),
    );
    let server = Server::start(narrow(10 << 20, Arc::clone(&stored), Arc::clone(&refused)));
    let name = server.name("web");
    let archive = gzip(&Tar::new().file("n", &noise(25_000_000)).finish());
    import(&store, &name.to_string(), &archive, None);
    push(&store, &name, &anonymous(), &no_progress)
        .await
        .unwrap();
    assert_eq!(Digest::of(&stored.lock().unwrap()), Digest::of(&archive));
    assert!(refused.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn what_we_send_does_not_go_to_the_host_of_a_redirect() {
    let (_root, store) = store();
    let got = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&got);
    let elsewhere = Server::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        status(201)
    });
    let target = format!("http://{}/x", elsewhere.address);
    let server = Server::start(move |request| match request.method.as_str() {
        "HEAD" => status(404),
        _ => Reply {
            headers: vec![("Location", target.clone())],
            ..status(307)
        },
    });
    let name = server.name("web");
    import(
        &store,
        &name.to_string(),
        &Tar::new().file("a", "1").finish(),
        None,
    );
    let error = push(&store, &name, &anonymous(), &no_progress)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("to another host"), "{error}");
    assert_eq!(got.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_image_that_is_not_here_is_not_pushed() {
    let (_root, store) = store();
    let name = "127.0.0.1:1/web".parse().unwrap();
    let error = push(&store, &name, &anonymous(), &no_progress)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoSuchImage { .. }), "{error:?}");
}
