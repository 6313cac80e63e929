//! Registries that lie, break off, or want our password.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::no_progress;
use super::super::registry::RegistryError;
use super::super::registry::testing::{Reply, Request, Server, ok, status};
use super::super::testing::{Tar, gzip, store, whole};
use super::resolve::MANIFEST_MAX;
use super::*;

/// An image as a registry holds it.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) manifest: Vec<u8>,
    config: Vec<u8>,
    pub(super) layer: Vec<u8>,
    pub(super) layer_digest: Digest,
}

impl Served {
    pub(super) fn new(archive: Tar) -> Self {
        let archive = archive.finish();
        let layer = gzip(&archive);
        Self::of(
            &layer,
            Digest::of(&archive),
            Digest::of(&layer),
            layer.len(),
        )
    }

    pub(super) fn of(layer: &[u8], diff_id: Digest, digest: Digest, size: usize) -> Self {
        let config = json!({
            "architecture": Platform::this().architecture, "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let config = serde_json::to_vec(&config).unwrap();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": Digest::of(&config), "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": digest, "size": size,
            }],
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        Self {
            manifest,
            config,
            layer: layer.to_vec(),
            layer_digest: digest,
        }
    }

    pub(super) fn answer(&self, request: &Request) -> Reply {
        let is = |digest: Digest| request.path.ends_with(&digest.to_string());
        match request.path.as_str() {
            path if path.contains("/manifests/") => ok(&*self.manifest),
            _ if is(Digest::of(&self.config)) => ok(&*self.config),
            _ if is(self.layer_digest) => ok(&*self.layer),
            _ => status(404),
        }
    }
}

pub(super) fn random(length: usize) -> String {
    (0..length)
        .map(|_| char::from(fastrand::u8(32..127)))
        .collect()
}

pub(super) async fn refused(server: &Server) -> String {
    refused_with(server, &PullOptions::default()).await
}

/// What is said when the registry's image is refused; the store is as it was.
pub(super) async fn refused_with(server: &Server, options: &PullOptions) -> String {
    let (root, store) = store();
    let error = pull(&store, &server.name("web"), options, &no_progress)
        .await
        .unwrap_err();
    assert_eq!(store.list().unwrap(), []);
    let left = std::fs::read_dir(root.path().join("layers")).unwrap();
    for entry in left {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.ends_with(".lock") || name.contains("lock-"),
            "{name} is left behind"
        );
    }
    assert_eq!(
        std::fs::read_dir(root.path().join("images/blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
    whole(&error)
}

#[tokio::test]
async fn damaged_layers_and_lies_about_them_are_refused_and_leave_nothing() {
    let archive = Tar::new().file("a", "1").finish();
    let (layer, other) = (gzip(&archive), Digest::of(b"other"));
    let (digest, diff_id) = (Digest::of(&layer), Digest::of(&archive));
    let hostile = gzip(&Tar::new().file("../escape", "x").finish());
    let size = layer.len();
    for (served, reason) in [
        (
            Served::of(&layer, diff_id, other, size),
            "the blob has the digest",
        ),
        (
            Served::of(&layer, other, digest, size),
            "the archive in it has the digest",
        ),
        (Served::of(&layer, diff_id, digest, size - 1), "cannot be"),
        (
            Served::of(&hostile, diff_id, Digest::of(&hostile), hostile.len()),
            "entry `../escape`",
        ),
        (
            Served::of(b"no archive", diff_id, Digest::of(b"no archive"), 10),
            "incomplete",
        ),
    ] {
        let server = Server::start(move |request| served.answer(request));
        let error = refused(&server).await;
        assert!(error.contains(reason), "{reason}: {error}");
        assert!(error.contains("the layer sha256:"), "{error}");
    }
}

#[tokio::test]
async fn documents_that_are_not_what_they_should_be_are_refused() {
    let good = Served::new(Tar::new().file("a", "1"));
    let config = Digest::of(&good.config).to_string();
    let schema1 = br#"{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+json"}"#;
    let windows = json!({"schemaVersion": 2, "mediaType": super::super::oci::INDEX, "manifests": [{
        "mediaType": super::super::oci::MANIFEST, "digest": Digest::of(b"x"), "size": 1,
        "platform": {"os": "windows", "architecture": "amd64"}}]});
    for (part, reply, reason) in [
        (
            "/manifests/",
            schema1.to_vec(),
            "manifest.v1+json`, which is not supported",
        ),
        (
            "/manifests/",
            b"<html>".to_vec(),
            "a manifest that cannot be understood",
        ),
        (
            "/manifests/",
            vec![b' '; MANIFEST_MAX + 1],
            "longer than any such document",
        ),
        (
            "/manifests/",
            serde_json::to_vec(&windows).unwrap(),
            "only for windows/amd64",
        ),
        (config.as_str(), b"{}".to_vec(), "damaged or tampered"),
    ] {
        let (good, part) = (good.clone(), part.to_owned());
        let server = Server::start(move |request| match request.path.contains(&part) {
            true => ok(&*reply),
            false => good.answer(request),
        });
        let error = refused(&server).await;
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_the_digest_asked_for_is_refused() {
    let served = Served::new(Tar::new().file("a", "1"));
    let server = Server::start(move |request| served.answer(request));
    let (_root, store) = store();
    let name = server.name("web").at(Digest::of(b"another"));
    let error = pull(&store, &name, &PullOptions::default(), &no_progress)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Registry(RegistryError::Mismatch { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let served = Served::new(Tar::new().file("noise", &random(400_000)));
    let (length, digest) = (served.layer.len(), served.layer_digest.to_string());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&ranges);
    let server = Server::start(move |request| {
        if !request.path.ends_with(&digest) {
            return served.answer(request);
        }
        let range = request.headers.get("range").cloned();
        noted.lock().unwrap().push(range.clone());
        let from = range.map_or(0, |range| {
            range["bytes=".len()..range.len() - 1].parse().unwrap()
        });
        // Broken twice; the second time by a server that knows no ranges.
        match noted.lock().unwrap().len() {
            1 => Reply {
                cut: Some(length / 3),
                ..ok(&*served.layer)
            },
            2 => Reply {
                cut: Some(length / 2),
                ..ok(&*served.layer)
            },
            _ => Reply {
                status: 206,
                ..ok(&served.layer[from..])
            },
        }
    });
    let (_root, store) = store();
    let image = pull(
        &store,
        &server.name("web"),
        &PullOptions::default(),
        &no_progress,
    )
    .await
    .unwrap();
    assert_eq!(
        std::fs::metadata(image.layers[0].join("noise"))
            .unwrap()
            .len(),
        400_000
    );
    let ranges = ranges.lock().unwrap();
    assert_eq!(ranges.len(), 3);
    assert_eq!(ranges[0], None);
    assert!(ranges[1] < ranges[2], "{ranges:?}");
}

#[tokio::test]
async fn a_bad_moment_of_the_registry_is_waited_for() {
    let served = Served::new(Tar::new().file("a", "1"));
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        0 => status(503),
        1 => status(429),
        _ => served.answer(request),
    });
    let (_root, store) = store();
    pull(
        &store,
        &server.name("web"),
        &PullOptions::default(),
        &no_progress,
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (_root, store) = store();
    let name = format!("{gone}/web").parse().unwrap();
    let error = pull(&store, &name, &PullOptions::default(), &no_progress)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Registry(RegistryError::Unreachable { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains(&gone.to_string()), "{error}");
}

/// The part of a registry that hands out tokens, and one that wants them.
fn bearer(served: Served, realm: String) -> impl Fn(&Request) -> Reply + Send + 'static {
    move |request| match request.headers.get("authorization").map(String::as_str) {
        Some("Bearer right") => served.answer(request),
        _ => {
            let challenge = format!("Bearer realm=\"{realm}\",service=\"test, me\",scope=\"x\"");
            Reply {
                headers: vec![("WWW-Authenticate", challenge)],
                ..status(401)
            }
        }
    }
}

#[tokio::test]
async fn a_token_is_fetched_with_the_login_and_the_scope() {
    let tokens = Server::start(|request| {
        let scope = "scope=repository%3Ateam%2Fweb%3Apull&service=test%2C%20me";
        // me:pw
        let login =
            request.headers.get("authorization").map(String::as_str) == Some("Basic bWU6cHc=");
        match login && request.path == format!("/token?x=1&{scope}") {
            true => ok(br#"{"access_token":"right"}"#),
            false => status(401),
        }
    });
    let served = Served::new(Tar::new().file("a", "1"));
    let server = Server::start(bearer(
        served,
        format!("http://{}/token?x=1", tokens.address),
    ));
    let (_root, store) = store();
    let pull_as = |password: &str| {
        let credentials = Credentials::Basic {
            user: "me".into(),
            password: password.into(),
        };
        PullOptions {
            credentials,
            ..Default::default()
        }
    };
    let name = server.name("team/web");
    let error = pull(&store, &name, &pull_as("no"), &no_progress)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Registry(RegistryError::Unauthorised { .. })),
        "{error:?}"
    );
    pull(&store, &name, &pull_as("pw"), &no_progress)
        .await
        .unwrap();
}

#[tokio::test]
async fn our_login_does_not_go_to_the_host_of_a_redirect() {
    let served = Served::new(Tar::new().file("a", "1"));
    let (layer, digest) = (served.layer.clone(), served.layer_digest.to_string());
    let leaked = Arc::new(AtomicBool::new(false));
    let leak = Arc::clone(&leaked);
    let elsewhere = Server::start(move |request| {
        leak.fetch_or(
            request.headers.contains_key("authorization"),
            Ordering::SeqCst,
        );
        ok(&*layer)
    });
    let target = format!("http://{}/blob", elsewhere.address);
    let server = Server::start(move |request| {
        if !request.headers.contains_key("authorization") {
            return Reply {
                headers: vec![("WWW-Authenticate", "Basic realm=x".into())],
                ..status(401)
            };
        }
        match request.path.ends_with(&digest) {
            true => Reply {
                headers: vec![("Location", target.clone())],
                ..status(307)
            },
            false => served.answer(request),
        }
    });
    let (_root, store) = store();
    let credentials = Credentials::Basic {
        user: "me".into(),
        password: "pw".into(),
    };
    let options = PullOptions {
        credentials,
        ..Default::default()
    };
    pull(&store, &server.name("web"), &options, &no_progress)
        .await
        .unwrap();
    assert!(!leaked.load(Ordering::SeqCst));
}

#[tokio::test]
async fn redirects_in_circles_end() {
    let server = Server::start(|request| Reply {
        headers: vec![("Location", request.path.clone())],
        ..status(302)
    });
    let error = refused(&server).await;
    assert!(error.contains("in circles"), "{error}");
}

#[tokio::test]
async fn a_pull_that_is_given_up_leaves_nothing_unfinished() {
    let served = Served::new(Tar::new().file("noise", &random(400_000)));
    let (length, digest) = (served.layer.len(), served.layer_digest.to_string());
    let server = Server::start(move |request| match request.path.ends_with(&digest) {
        true => Reply {
            cut: Some(length / 2),
            ..ok(&*served.layer)
        },
        false => served.answer(request),
    });
    let (root, store) = store();
    let started = tokio::sync::Notify::new();
    let note = |progress: Progress| {
        if let Phase::Transfer { .. } = progress.phase {
            started.notify_one();
        }
    };
    let (name, options) = (server.name("web"), PullOptions::default());
    tokio::select! {
        result = pull(&store, &name, &options, &note) => panic!("{result:?}"),
        () = started.notified() => {}
    }
    // The thread that unpacks learns of it, and takes its directory away before it lets go.
    drop(super::super::store::Lock::exclusive(&root.path().join("layers/ingest.lock")).unwrap());
    let left = std::fs::read_dir(root.path().join("layers")).unwrap();
    let unfinished = left.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir());
    assert_eq!(unfinished.count(), 0);
}

#[test]
fn a_pull_can_be_handed_to_another_thread() {
    fn is_send<T: Send>(_: T) {}
    let (_root, store) = store();
    let (name, options) = ("web".parse().unwrap(), PullOptions::default());
    is_send(pull(&store, &name, &options, &no_progress));
}
