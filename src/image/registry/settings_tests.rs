//! Own certificates, proxies, mirrors, logins: the whole way, with real programs where there are some.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::pull::{PullOptions, pull, remote_digest};
use super::super::push::{PushOptions, push};
use super::super::testing::{Tar, store, whole};
use super::super::{Phase, Progress, no_progress};
use super::testing::{Registry, Reply, Request, Server, environment, import, ok, status};
use super::*;

fn options(registries: Registries) -> PullOptions {
    PullOptions {
        registries,
        ..Default::default()
    }
}

/// A configuration directory with these settings; its variables.
fn configured(text: &str) -> (tempfile::TempDir, Vec<(&'static str, String)>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("stack")).unwrap();
    std::fs::write(dir.path().join("stack/registries.json"), text).unwrap();
    let variables = vec![
        ("XDG_CONFIG_HOME", dir.path().display().to_string()),
        (
            "DOCKER_CONFIG",
            dir.path().join("docker").display().to_string(),
        ),
    ];
    (dir, variables)
}

#[tokio::test]
async fn a_certificate_of_our_own_is_trusted_where_it_is_named_and_only_there() {
    let Some(registry) = Registry::start_with_tls() else {
        return;
    };
    let (_root, source) = store();
    let name = "registry.test/web:1".parse().unwrap();
    let made = import(
        &source,
        "registry.test/web:1",
        &Tar::new().file("a", "1").finish(),
        None,
    );
    // `registry.test` has no address: the proxy knows the way. It wants a password, too.
    let proxy = Server::tunnel(registry.address, Some("Basic bWU6cHc="));
    let proxy = (
        "HTTPS_PROXY",
        format!("http://me:pw@{}", proxy.address),
        proxy,
    );
    let by_proxy = (proxy.0, proxy.1.clone());

    let registries = environment(std::slice::from_ref(&by_proxy));
    let push_options = |registries| PushOptions {
        registries,
        ..Default::default()
    };
    let error = push(&source, &name, &push_options(registries), &no_progress)
        .await
        .unwrap_err();
    assert!(
        whole(&error).contains("no secure connection"),
        "{}",
        whole(&error)
    );

    let ca = registry.authority();
    let text = format!(
        r#"{{"registries": {{"registry.test": {{"ca": "{}"}}}}}}"#,
        ca.display()
    );
    let (_dir, mut by_settings) = configured(&text);
    by_settings.push(by_proxy.clone());
    let (dir, mut by_directory) = configured("{}");
    let certs = dir.path().join("containers/certs.d/registry.test");
    std::fs::create_dir_all(&certs).unwrap();
    std::fs::copy(&ca, certs.join("ca.crt")).unwrap();
    by_directory.push(by_proxy.clone());
    let by_variable = vec![
        by_proxy.clone(),
        ("SSL_CERT_FILE", ca.display().to_string()),
    ];
    let (_dir2, mut by_trust) =
        configured(r#"{"registries": {"registry.test": {"insecure": true}}}"#);
    by_trust.push(by_proxy);
    let first = environment(&by_settings);
    push(&source, &name, &push_options(first), &no_progress)
        .await
        .unwrap();
    for variables in [by_settings, by_directory, by_variable, by_trust] {
        let (_root, target) = store();
        let image = pull(
            &target,
            &name,
            &options(environment(&variables)),
            &no_progress,
        )
        .await;
        assert_eq!(image.unwrap().id, made.id);
    }

    let wrong = ("https_proxy", proxy.1.replace("pw", "no"));
    let (_root, target) = store();
    let error = pull(
        &target,
        &name,
        &options(environment(&[wrong])),
        &no_progress,
    )
    .await
    .unwrap_err();
    let text = whole(&error);
    assert!(
        text.contains("through the proxy") && text.contains("wants a user"),
        "{text}"
    );
    assert!(!text.contains("me:no"), "{text}");
}

/// A configuration directory with what docker has in `certs.d/registry.test`; its variables.
fn with_certificates(files: &[(&Path, &str)]) -> (tempfile::TempDir, Vec<(&'static str, String)>) {
    let (dir, variables) = configured("{}");
    let certs = dir.path().join("containers/certs.d/registry.test");
    std::fs::create_dir_all(&certs).unwrap();
    for (file, name) in files {
        std::fs::copy(file, certs.join(name)).unwrap();
    }
    (dir, variables)
}

#[tokio::test]
async fn a_registry_that_wants_to_know_who_asks_is_shown_our_certificate() {
    let Some(registry) = Registry::start_with_mutual_tls() else {
        return;
    };
    let (_root, source) = store();
    let name = "registry.test/web:1".parse().unwrap();
    let layer = Tar::new().file("a", "1").finish();
    let made = import(&source, "registry.test/web:1", &layer, None);
    let proxy = Server::tunnel(registry.address, None);
    let proxy = ("HTTPS_PROXY", format!("http://{}", proxy.address), proxy);
    let by_proxy = || (proxy.0, proxy.1.clone());

    let (ca, (cert, key)) = (registry.authority(), registry.client());
    let (_known_dir, mut known) = with_certificates(&[
        (&ca, "ca.crt"),
        (&cert, "client.cert"),
        (&key, "client.key"),
    ]);
    known.push(by_proxy());
    let (cert, key) = (cert.display(), key.display());
    let named = format!(
        r#"{{"registries": {{"registry.test": {{"ca": "{}", "cert": "{cert}", "key": "{key}"}}}}}}"#,
        ca.display()
    );
    let (_named_dir, mut named) = configured(&named);
    named.push(by_proxy());
    let push_options = PushOptions {
        registries: environment(&known),
        ..Default::default()
    };
    push(&source, &name, &push_options, &no_progress)
        .await
        .unwrap();
    for variables in [known, named] {
        let (_root, target) = store();
        let options = options(environment(&variables));
        let image = pull(&target, &name, &options, &no_progress).await;
        assert_eq!(image.unwrap().id, made.id);
    }

    let (_nobody_dir, mut nobody) = with_certificates(&[(&ca, "ca.crt")]);
    nobody.push(by_proxy());
    let (cert, key) = registry.stranger();
    let (_stranger_dir, mut stranger) = with_certificates(&[
        (&ca, "ca.crt"),
        (&cert, "client.cert"),
        (&key, "client.key"),
    ]);
    stranger.push(by_proxy());
    for variables in [nobody, stranger] {
        let (_root, target) = store();
        let options = options(environment(&variables));
        let error = pull(&target, &name, &options, &no_progress).await;
        let text = whole(&error.unwrap_err());
        assert!(
            text.contains("wants a certificate of yours") && text.contains("certs.d"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_when_it_fails() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (root, source) = store();
    let made = import(&source, "web", &Tar::new().file("a", "1").finish(), None);
    registry.push(root.path(), "web", "library/web:latest");
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    let broken = Server::start(move |_| {
        asked.fetch_add(1, Ordering::SeqCst);
        status(503)
    });
    let text = format!(
        r#"{{"registries": {{"docker.io": {{"mirrors": ["http://{}", "{}"]}}}}}}"#,
        broken.address, registry.address
    );
    let (_dir, variables) = configured(&text);
    let (_root, target) = store();
    let name = "web".parse().unwrap();
    let options = options(environment(&variables));
    let image = pull(&target, &name, &options, &no_progress).await.unwrap();
    assert_eq!(image.id, made.id);
    assert_eq!(
        count.load(Ordering::SeqCst),
        1,
        "a mirror is not waited for"
    );
    assert_eq!(remote_digest(&name, &options).await.unwrap(), made.manifest);
    assert!(image.pulled.is_some());
}

#[tokio::test]
async fn a_mirror_that_breaks_off_within_a_layer_is_replaced() {
    let Some(registry) = Registry::start(None) else {
        return;
    };
    let (root, source) = store();
    let noise: String = (0..400_000)
        .map(|_| char::from(fastrand::u8(32..127)))
        .collect();
    let made = import(&source, "web", &Tar::new().file("n", &noise).finish(), None);
    registry.push(root.path(), "web", "web:latest");
    // Enough for the documents, never for the layer, and then nothing at all.
    let cutter = Server::cutting(registry.address, |count| {
        Some(if count < 3 { 90_000 } else { 0 })
    });
    let text = format!(
        r#"{{"registries": {{"{}": {{"mirrors": ["http://{}"]}}}}}}"#,
        registry.address, cutter.address
    );
    let (_dir, variables) = configured(&text);
    let (_root, target) = store();
    let options = options(environment(&variables));
    let image = pull(&target, &registry.name("web"), &options, &no_progress)
        .await
        .unwrap();
    assert_eq!(image.id, made.id);
}

#[tokio::test]
async fn a_login_is_tried_kept_used_and_forgotten() {
    let Some(registry) = Registry::start(Some("me:U*U")) else {
        return;
    };
    let (root, source) = store();
    let made = import(&source, "web", &Tar::new().file("a", "1").finish(), None);
    registry.push(root.path(), "web", "web:latest");
    let (dir, variables) = configured("{}");
    let registries = environment(&variables);
    let server = registry.address.to_string();
    let (_root, target) = store();
    let name = registry.name("web");
    let known = options(registries.clone());
    let pull_it = || pull(&target, &name, &known, &no_progress);

    let error = log_in(&registries, &server, ("me", "wrong-secret"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::WrongLogin { .. }),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("wrong-secret"));
    assert!(
        !dir.path().join("docker").exists(),
        "a wrong login is not kept"
    );
    assert!(pull_it().await.is_err());
    let stored = log_in(&registries, &format!("https://{server}/v2/"), ("me", "U*U"))
        .await
        .unwrap();
    assert_eq!(stored, Stored::File(dir.path().join("docker/config.json")));
    assert_eq!(pull_it().await.unwrap().id, made.id);
    assert!(log_out(&registries, &server).await.unwrap().removed);
    assert!(!log_out(&registries, &server).await.unwrap().removed);
    assert!(pull_it().await.is_err());
}

/// A registry whose token server gives identity tokens for the password `pw`, and access for them.
fn identity(realm: &Mutex<String>, request: &Request) -> Reply {
    let authorization = request.headers.get("authorization").map(String::as_str);
    let body = String::from_utf8_lossy(&request.body);
    match (
        request.method.as_str(),
        request.path.split('?').next().unwrap(),
    ) {
        ("GET", "/token") if authorization == Some("Basic bWU6cHc=") => {
            assert!(
                request.path.contains("offline_token=true"),
                "{}",
                request.path
            );
            ok(br#"{"token": "short", "refresh_token": "long-secret"}"#)
        }
        ("POST", "/token") if body.contains("refresh_token=long-secret") => {
            ok(br#"{"access_token": "short"}"#)
        }
        (_, "/token") => status(401),
        _ if authorization == Some("Bearer short") => ok(b"{}"),
        _ => Reply {
            headers: vec![(
                "WWW-Authenticate",
                format!(
                    "Bearer realm=\"http://{}/token\",service=\"s\"",
                    realm.lock().unwrap()
                ),
            )],
            ..status(401)
        },
    }
}

#[tokio::test]
async fn an_identity_token_is_kept_instead_of_the_password() {
    let realm = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&realm);
    let server = Server::start(move |request| identity(&known, request));
    *realm.lock().unwrap() = server.address.to_string();
    let (dir, variables) = configured("{}");
    let registries = environment(&variables);
    let name = server.address.to_string();
    assert!(log_in(&registries, &name, ("me", "no")).await.is_err());
    log_in(&registries, &name, ("me", "pw")).await.unwrap();
    let text = std::fs::read_to_string(dir.path().join("docker/config.json")).unwrap();
    // bWU6cHc= is me:pw
    assert!(
        text.contains("long-secret") && !text.contains("bWU6cHc="),
        "{text}"
    );
    // The token alone is enough now: the registry answers, if not with a manifest.
    let (_root, target) = store();
    let error = pull(
        &target,
        &server.name("web"),
        &options(registries),
        &no_progress,
    )
    .await
    .unwrap_err();
    assert!(whole(&error).contains("kind ``"), "{}", whole(&error));
    assert!(!whole(&error).contains("long-secret"));
}

/// A credential helper that keeps one login in a file beside it.
fn helper(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let script = "#!/bin/sh\nkept=\"${0%/*}/kept\"\ncase $1 in\nstore) cat >\"$kept\" ;;\n\
                  get) if [ -s \"$kept\" ]; then cat \"$kept\"; else echo 'credentials not found in native keychain'; exit 1; fi ;;\n\
                  erase) rm \"$kept\" ;;\nesac\n";
    let path = dir.join("docker-credential-testkeeper");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_helper_keeps_what_the_file_does_not_see() {
    let (dir, variables) = configured("{}");
    helper(dir.path());
    let path = dir.path().join("docker-credential-testkeeper");
    // The name of a helper is looked up in PATH, which belongs to the whole process.
    let installed = Path::new("/usr/local/bin/docker-credential-testkeeper");
    if std::fs::copy(&path, installed).is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "/usr/local/bin cannot be written"
        );
        eprintln!("SKIPPED: /usr/local/bin cannot be written");
        return;
    }
    let _gone = Gone(vec![installed.to_owned(), installed.with_file_name("kept")]);
    std::fs::create_dir(dir.path().join("docker")).unwrap();
    let config = dir.path().join("docker/config.json");
    std::fs::write(&config, r#"{"credsStore": "testkeeper"}"#).unwrap();
    let registries = environment(&variables);
    let server = Server::start(|request| {
        // me:pw
        match request.headers.get("authorization").map(String::as_str) {
            Some("Basic bWU6cHc=") => ok(b"{}"),
            _ => Reply {
                headers: vec![("WWW-Authenticate", "Basic realm=x".into())],
                ..status(401)
            },
        }
    });
    let name = server.address.to_string();
    let stored = log_in(&registries, &name, ("me", "pw")).await.unwrap();
    assert_eq!(stored, Stored::Helper("testkeeper".into()));
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(&name) && !text.contains("bWU6cHc="), "{text}");
    let (_root, target) = store();
    let error = pull(
        &target,
        &server.name("web"),
        &options(registries.clone()),
        &no_progress,
    )
    .await;
    assert!(
        whole(&error.unwrap_err()).contains("kind ``"),
        "the helper's login was taken"
    );
    assert!(log_out(&registries, &name).await.unwrap().removed);
    assert!(!log_out(&registries, &name).await.unwrap().removed);
}

struct Gone(Vec<std::path::PathBuf>);

impl Drop for Gone {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[tokio::test]
async fn silence_and_retry_after_are_respected() {
    let server = Server::start(|_| Reply {
        silence: Duration::from_secs(3),
        ..ok(b"{}")
    });
    let registries = environment(&[]).with_patience(Duration::from_millis(300));
    let (_root, target) = store();
    let start = Instant::now();
    let last = Mutex::new(None);
    let note = |progress: Progress| {
        if let Phase::Retrying { attempt } = progress.phase {
            *last.lock().unwrap() = Some(attempt);
        }
    };
    let error = pull(&target, &server.name("web"), &options(registries), &note)
        .await
        .unwrap_err();
    assert!(whole(&error).contains("breaks off"), "{}", whole(&error));
    assert_eq!(*last.lock().unwrap(), Some(5));
    assert!(start.elapsed() < Duration::from_secs(20));

    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let server = Server::start(move |_| {
        noted.lock().unwrap().push(Instant::now());
        Reply {
            headers: vec![("Retry-After", "1".into())],
            ..status(if noted.lock().unwrap().len() > 1 {
                404
            } else {
                429
            })
        }
    });
    let registries = environment(&[]);
    pull(
        &target,
        &server.name("web"),
        &options(registries.clone()),
        &no_progress,
    )
    .await
    .unwrap_err();
    let times = asked.lock().unwrap().clone();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= Duration::from_secs(1));

    let server = Server::start(|_| Reply {
        headers: vec![("Retry-After", "7200".into())],
        ..status(429)
    });
    let start = Instant::now();
    let error = pull(
        &target,
        &server.name("web"),
        &options(registries),
        &no_progress,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("in 7200 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}
