//! Pulls from Debian's `docker-registry`, filled by `skopeo` from layouts that this program wrote.

use std::sync::Mutex;

use super::super::no_progress;
use super::super::registry::RegistryError;
use super::super::registry::testing::{Registry, import};
use super::super::testing::{Tar, gzip, store, whole, zstd};
use super::*;

#[tokio::test]
async fn an_image_goes_to_a_registry_and_back() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (root, source) = store();
    let below = gzip(
        &Tar::new()
            .dir("etc")
            .file("etc/a", "1")
            .file("etc/b", "1")
            .finish(),
    );
    import(&source, "base", &below, None);
    let above = zstd(
        &Tar::new()
            .dir("etc")
            .file("etc/.wh.a", "")
            .file("etc/b", "2")
            .finish(),
    );
    let made = import(&source, "web:1", &above, Some("base"));
    registry.push(root.path(), "web:1", "team/web:1");

    let (_root, target) = store();
    let name = registry.name("team/web:1");
    let events = Mutex::new(Vec::new());
    let note = |progress: Progress| events.lock().unwrap().push(progress.phase);
    let image = pull(&target, &name, &PullOptions::default(), &note)
        .await
        .unwrap();
    assert_eq!((image.id, image.manifest), (made.id, made.manifest));
    assert_eq!(image.healthcheck, made.healthcheck);
    assert_eq!(
        std::fs::read_to_string(image.layers[1].join("etc/b")).unwrap(),
        "2"
    );
    let seen = events.into_inner().unwrap();
    for phase in [
        Phase::Resolving,
        Phase::Unpacked,
        Phase::Syncing,
        Phase::Done,
    ] {
        assert!(seen.contains(&phase), "{phase:?} is not in {seen:?}");
    }

    // What is there is not fetched again, under the same name or another one.
    registry.push(root.path(), "web:1", "team/other:2");
    for name in [
        name,
        registry.name("team/other:2"),
        registry.name("team/web").at(made.manifest),
    ] {
        let quiet = |progress: Progress| {
            assert!(
                !matches!(progress.phase, Phase::Transfer { .. }),
                "{progress:?}"
            );
        };
        assert_eq!(
            pull(&target, &name, &PullOptions::default(), &quiet)
                .await
                .unwrap()
                .id,
            made.id
        );
    }
    let error = pull(
        &target,
        &registry.name("team/web:9"),
        &PullOptions::default(),
        &no_progress,
    )
    .await;
    assert!(
        matches!(error, Err(Error::Registry(RegistryError::NotFound { .. }))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_registry_with_passwords_wants_the_right_one() {
    let Some(registry) = Registry::start(Some("me:U*U")) else {
        return;
    };
    let (root, source) = store();
    let made = import(&source, "web", &Tar::new().file("a", "1").finish(), None);
    registry.push(root.path(), "web", "web:latest");
    let (_root, target) = store();
    let user = |password: &str| Credentials::Basic {
        user: "me".into(),
        password: password.into(),
    };
    for (credentials, text) in [
        (Credentials::Anonymous, "anonymous users"),
        (user("wrong"), "the user `me`"),
    ] {
        let options = PullOptions {
            credentials,
            ..Default::default()
        };
        let error = pull(&target, &registry.name("web"), &options, &no_progress)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Registry(RegistryError::Unauthorised { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains(text), "{error}");
    }
    let options = PullOptions {
        credentials: user("U*U"),
        ..Default::default()
    };
    let image = pull(&target, &registry.name("web"), &options, &no_progress)
        .await
        .unwrap();
    assert_eq!(image.id, made.id);
}

#[tokio::test]
async fn of_an_image_for_many_machines_the_right_one_comes() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (root, source) = store();
    let mut entries = Vec::new();
    for (architecture, tag) in [("s390x", "one"), (&*Platform::this().architecture, "two")] {
        let made = import(
            &source,
            &format!("web:{tag}"),
            &Tar::new().file("a", tag).finish(),
            None,
        );
        registry.push(root.path(), &format!("web:{tag}"), &format!("web:{tag}"));
        let size = source.read_blob(&made.manifest).unwrap().len();
        entries.push(format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{size},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
            made.manifest
        ));
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{}]}}"#,
        entries.join(",")
    );
    registry.put_manifest("web/manifests/all", media_type, index.as_bytes());
    let (_root, target) = store();
    let image = pull(
        &target,
        &registry.name("web:all"),
        &PullOptions::default(),
        &no_progress,
    )
    .await
    .unwrap();
    assert_eq!(
        std::fs::read_to_string(image.layers[0].join("a")).unwrap(),
        "two"
    );
    // The digest of the whole index finds it as well.
    let by_digest = registry.name("web").at(Digest::of(index.as_bytes()));
    assert_eq!(target.get(&by_digest).unwrap().unwrap().id, image.id);
    let platform = Platform {
        os: "linux".into(),
        architecture: "riscv64".into(),
        variant: None,
    };
    let options = PullOptions {
        platform: Some(platform),
        ..Default::default()
    };
    let error = pull(&target, &registry.name("web:all"), &options, &no_progress)
        .await
        .unwrap_err();
    assert!(
        whole(&error).contains("linux/riscv64, only for linux/s390x, linux/"),
        "{error}"
    );
}

#[tokio::test]
async fn two_pulls_at_once_fetch_each_layer_once() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (root, source) = store();
    let noise: String = (0..200_000)
        .map(|_| char::from(fastrand::u8(32..127)))
        .collect();
    let made = import(
        &source,
        "web",
        &Tar::new().file("noise", &noise).finish(),
        None,
    );
    registry.push(root.path(), "web", "web:latest");
    let (_root, target) = store();
    let unpacked = Mutex::new(0);
    let count = |progress: Progress| {
        *unpacked.lock().unwrap() += u32::from(progress.phase == Phase::Unpacked)
    };
    let (name, options) = (registry.name("web"), PullOptions::default());
    let (one, two) = tokio::join!(
        pull(&target, &name, &options, &count),
        pull(&target, &name, &options, &count)
    );
    assert_eq!((one.unwrap().id, two.unwrap().id), (made.id, made.id));
    assert_eq!(unpacked.into_inner().unwrap(), 1);
}
