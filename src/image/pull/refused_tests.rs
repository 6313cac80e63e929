//! Registries that want too much: our memory, our disk, our login, our network.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::no_progress;
use super::super::registry::testing::{Reply, Request, Server, environment, ok, status};
use super::super::testing::{Tar, gzip, store, whole, zstd};
use super::hostile_tests::{Served, refused, refused_with};
use super::*;

fn redirect(to: &str) -> Reply {
    Reply {
        headers: vec![("Location", to.to_owned())],
        ..status(307)
    }
}

#[tokio::test]
async fn bombs_are_refused_with_the_name_of_their_layer() {
    let zeros = "\0".repeat(20 << 20);
    let archive = Tar::new().file("zeros", &zeros).finish();
    let behind = [Tar::new().file("a", "1").finish(), vec![0; 20 << 20]].concat();
    for (archive, packed, counted) in [
        (&archive, gzip(&archive), true),
        (&archive, zstd(&archive), true),
        // Nothing of it is written: it costs time, and ends where every archive has to.
        (&behind, gzip(&behind), false),
    ] {
        let served = Served::of(
            &packed,
            Digest::of(archive),
            Digest::of(&packed),
            packed.len(),
        );
        let digest = served.layer_digest.to_string();
        let server = Server::start(move |request| served.answer(request));
        let options = PullOptions {
            layer_max: 1 << 20,
            ..Default::default()
        };
        if !counted {
            let (_root, store) = store();
            pull(&store, &server.name("web"), &options, &no_progress)
                .await
                .unwrap();
            continue;
        }
        let error = refused_with(&server, &options).await;
        assert!(
            error.contains(&digest) && error.contains("fill the disk"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn documents_and_headers_without_end_are_given_up() {
    let start = Instant::now();
    let endless = |body: &[u8]| Reply {
        endless: true,
        ..ok(body)
    };
    let server = Server::start(move |_| endless(&[b' '; 1 << 16]));
    let error = refused(&server).await;
    assert!(error.contains("longer than any such document"), "{error}");

    let served = Served::new(Tar::new().file("a", "1"));
    let layer = served.layer_digest.to_string();
    let server = Server::start(move |request| match request.path.ends_with(&layer) {
        true => endless(&[0; 1 << 16]),
        false => served.answer(request),
    });
    let error = refused(&server).await;
    assert!(error.contains("the layer sha256:"), "{error}");

    let quick = PullOptions {
        registries: environment(&[]).with_patience(Duration::from_secs(2)),
        ..Default::default()
    };
    for (name, count, length) in [("X-Long", 1, 1 << 20), ("X-Many", 5000, 10)] {
        let server = Server::start(move |_| Reply {
            headers: vec![(name, "x".repeat(length)); count],
            ..ok(b"{}")
        });
        let error = refused_with(&server, &quick).await;
        assert!(error.contains("cannot reach"), "{name}: {error}");
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn redirects_to_where_nobody_may_look_are_refused() {
    for (target, reason) in [
        ("file:///etc/passwd", "an address that is none"),
        ("gopher://x/", "neither http nor https"),
        ("http://169.254.169.254/latest/meta-data/", "this very link"),
        ("http://[fe80::1]/", "this very link"),
        ("http://0.0.0.0:1/", "this very link"),
    ] {
        let served = Served::new(Tar::new().file("a", "1"));
        let layer = served.layer_digest.to_string();
        let server = Server::start(move |request| match request.path.ends_with(&layer) {
            true => redirect(target),
            false => served.answer(request),
        });
        let error = refused(&server).await;
        assert!(error.contains(reason), "{target}: {error}");
    }
}

/// Wants a token of `realm` for everything.
fn challenge(realm: &str) -> Reply {
    Reply {
        headers: vec![(
            "WWW-Authenticate",
            format!("Bearer realm=\"{realm}\",service=\"s\""),
        )],
        ..status(401)
    }
}

#[tokio::test]
async fn tokens_that_are_too_long_or_steer_the_connection_are_refused() {
    for token in [
        "x".repeat(200 << 10),
        "a\r\nX-Evil: 1".to_owned(),
        "y".repeat(2 << 20),
    ] {
        let body = serde_json::to_vec(&json!({ "token": token })).unwrap();
        let tokens = Server::start(move |_| ok(&*body));
        let realm = format!("http://{}/token", tokens.address);
        let server = Server::start(move |_| challenge(&realm));
        let error = refused(&server).await;
        assert!(error.contains("does not follow the protocol"), "{error}");
        assert!(!error.contains("X-Evil") && error.len() < 1000, "{error}");
    }
    let server = Server::start(|_| challenge("file:///etc/passwd"));
    assert!(
        refused(&server)
            .await
            .contains("does not follow the protocol")
    );
}

#[tokio::test]
async fn a_token_server_that_redirects_does_not_spread_our_login() {
    let leaked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&leaked);
    let elsewhere = Server::start(move |request: &Request| {
        let body = String::from_utf8_lossy(&request.body);
        if request.headers.contains_key("authorization") || body.contains("long-secret") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        ok(br#"{"token": "right"}"#)
    });
    let target = format!("http://{}/", elsewhere.address);
    let tokens = Server::start(move |_| redirect(&target));
    let realm = format!("http://{}/token", tokens.address);
    let server = Server::start(move |_| challenge(&realm));
    let dir = tempfile::tempdir().unwrap();
    // me:pw, and an identity token.
    for entry in [
        json!({"auth": "bWU6cHc="}),
        json!({"identitytoken": "long-secret"}),
    ] {
        let document = json!({"auths": { server.address.to_string(): entry }});
        std::fs::write(dir.path().join("config.json"), document.to_string()).unwrap();
        let options = PullOptions {
            registries: environment(&[("DOCKER_CONFIG", dir.path().display().to_string())]),
            ..Default::default()
        };
        let error = refused_with(&server, &options).await;
        assert!(
            !error.contains("secret") && !error.contains("bWU6"),
            "{error}"
        );
    }
    assert_eq!(leaked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_no_image_of_a_container_is_told_apart() {
    let manifest = |config: &str, layer: &str| {
        let digest = Digest::of(b"x");
        json!({"schemaVersion": 2, "mediaType": super::super::oci::MANIFEST,
            "config": {"mediaType": config, "digest": digest, "size": 1},
            "layers": [{"mediaType": layer, "digest": digest, "size": 1}]})
    };
    let (config, layer) = (
        super::super::oci::CONFIG,
        "application/vnd.oci.image.layer.v1.tar+gzip",
    );
    for (config, layer, reason) in [
        (
            "application/vnd.cncf.helm.config.v1+json",
            layer,
            "is no image of a container but holds",
        ),
        (
            "application/vnd.oci.empty.v1+json",
            layer,
            "is no image of a container but holds",
        ),
        (
            config,
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "let registries hand it out",
        ),
        (
            config,
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "let registries hand it out",
        ),
    ] {
        let body = serde_json::to_vec(&manifest(config, layer)).unwrap();
        let server = Server::start(move |_| ok(&*body));
        let error = refused(&server).await;
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_layer_by_another_way_of_packing_is_refused_with_its_name() {
    let layer = b"\xfd7zXZ\0 and so on";
    let served = Served::of(layer, Digest::of(b""), Digest::of(layer), layer.len());
    let server = Server::start(move |request| served.answer(request));
    let error = refused(&server).await;
    assert!(
        error.contains("the layer sha256:") && error.contains("xz"),
        "{error}"
    );
    let (_root, store) = store();
    let error = pull(
        &store,
        &server.name("web"),
        &PullOptions::default(),
        &no_progress,
    )
    .await;
    assert!(whole(&error.unwrap_err()).contains("xz"));
}
