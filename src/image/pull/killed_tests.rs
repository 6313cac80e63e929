//! Pulls that are killed at any moment, and several at once: processes of their own, for a killed
//! process gives nothing back by itself.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::no_progress;
use super::super::registry::testing::{Reply, Request, Server};
use super::super::testing::{Tar, store};
use super::hostile_tests::{Served, random};
use super::*;

const STORE: &str = "STACK_TEST_PULL_STORE";
const NAME: &str = "STACK_TEST_PULL_NAME";

/// Not a test of its own: what the processes below do.
#[test]
fn a_process_that_pulls() {
    let (Some(root), Ok(name)) = (std::env::var_os(STORE), std::env::var(NAME)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = ImageStore::open(Path::new(&root)).unwrap();
    let waited = AtomicUsize::new(0);
    let note = |step: Progress| {
        if let Phase::Elsewhere { .. } = step.phase {
            waited.store(1, Ordering::SeqCst);
        }
    };
    let name = name.parse().unwrap();
    let options = PullOptions::default();
    runtime
        .block_on(pull(&store, &name, &options, &note))
        .unwrap();
    eprintln!("WAITED {}", waited.load(Ordering::SeqCst));
}

fn process(root: &Path, name: &Reference) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "image::pull::killed_tests::a_process_that_pulls",
            "--nocapture",
        ])
        .env(STORE, root)
        .env(NAME, name.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Serves an image and counts the bytes of its layer; knows ranges; sends piece by piece.
fn counting(
    served: Served,
    sent: Arc<AtomicUsize>,
    pace: Duration,
) -> impl Fn(&Request) -> Reply + Send + Sync {
    move |request| {
        let mut reply = served.answer(request);
        if !request.path.ends_with(&served.layer_digest.to_string()) {
            return reply;
        }
        if let Some(range) = request.headers.get("range") {
            let from: usize = range["bytes=".len()..range.len() - 1].parse().unwrap();
            let whole = reply.body.len();
            reply.headers.push((
                "Content-Range",
                format!("bytes {from}-{}/{whole}", whole - 1),
            ));
            reply.body.drain(..from);
            reply.status = 206;
        }
        reply.pace = Some((pace, Arc::clone(&sent)));
        reply
    }
}

/// Everything below `images/` and `layers/` is whole, and nothing is there that is nobody's.
fn check(root: &Path, image: &Image) {
    let store = ImageStore::open(root).unwrap();
    store.sweep().unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
    for entry in std::fs::read_dir(root.join("images/blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        assert_eq!(
            entry.file_name().to_str().unwrap(),
            Digest::of(&bytes).hex()
        );
    }
    for entry in std::fs::read_dir(root.join("layers")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.len() == 64 || name.ends_with(".lock"),
            "{name} is left behind"
        );
    }
    assert!(image.layers[0].join("last").exists());
}

#[test]
fn a_pull_that_is_killed_at_any_moment_goes_on_from_its_bytes() {
    for round in 0..6 {
        let served = Served::new(
            Tar::new()
                .file("noise", &random(3_000_000))
                .file("last", "1"),
        );
        let (length, digest) = (served.layer.len(), served.layer_digest);
        let sent = Arc::new(AtomicUsize::new(0));
        let pace = Duration::from_millis(2);
        let server = Server::start(counting(served, Arc::clone(&sent), pace));
        let (root, store) = store();
        let name = server.name("web");
        let (mut kills, mut most) = (0, 0);
        loop {
            let mut child = process(root.path(), &name);
            let after = sent.load(Ordering::SeqCst) + fastrand::usize(1..length / 2);
            // Killed when so many more bytes have left, or a bit later: within the end of it all.
            while child.try_wait().unwrap().is_none() && sent.load(Ordering::SeqCst) < after {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..5)));
            let _ = child.kill();
            let ended = child.wait_with_output().unwrap();
            let kept = store.partial_length(&digest);
            assert!(
                kept >= most || kept == 0,
                "round {round}: {kept} after {most}"
            );
            most = kept;
            if ended.status.success() {
                break;
            }
            kills += 1;
            let blobs = std::fs::read_dir(root.path().join("images/blobs/sha256")).unwrap();
            let whole = store.get(&name).unwrap();
            assert!(
                whole.is_none() || blobs.count() == 3,
                "named before it was complete"
            );
            assert!(kills < 100, "round {round} never ends");
        }
        let image = store.get(&name).unwrap().unwrap();
        check(root.path(), &image);
        let sent = sent.load(Ordering::SeqCst);
        // What was on its way when a process was killed comes again, and no more than that.
        let lost = kills * (2 << 20);
        assert!(
            sent <= length + lost.min(length * kills / 2 + 1),
            "{sent} of {length} after {kills} kills"
        );
    }
}

#[test]
fn two_processes_fetch_a_layer_once_and_the_second_waits() {
    let served = Served::new(
        Tar::new()
            .file("noise", &random(2_000_000))
            .file("last", "1"),
    );
    let length = served.layer.len();
    let sent = Arc::new(AtomicUsize::new(0));
    let server = Server::start(counting(
        served,
        Arc::clone(&sent),
        Duration::from_millis(20),
    ));
    let (root, store) = store();
    let name = server.name("web");
    let children = [process(root.path(), &name), process(root.path(), &name)];
    let mut waited = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        waited += usize::from(text.contains("WAITED 1"));
    }
    assert_eq!((sent.load(Ordering::SeqCst), waited), (length, 1));
    check(root.path(), &store.get(&name).unwrap().unwrap());
}

#[test]
fn who_waits_takes_over_when_the_other_is_killed() {
    let served = Served::new(
        Tar::new()
            .file("noise", &random(2_000_000))
            .file("last", "1"),
    );
    let sent = Arc::new(AtomicUsize::new(0));
    let server = Server::start(counting(
        served,
        Arc::clone(&sent),
        Duration::from_millis(20),
    ));
    let (root, store) = store();
    let name = server.name("web");
    let mut first = process(root.path(), &name);
    while sent.load(Ordering::SeqCst) < 200_000 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = process(root.path(), &name);
    std::thread::sleep(Duration::from_millis(200));
    first.kill().unwrap();
    first.wait().unwrap();
    let output = second.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    check(root.path(), &store.get(&name).unwrap().unwrap());
}

#[tokio::test]
async fn a_part_that_was_damaged_is_fetched_anew() {
    let served = Served::new(Tar::new().file("noise", &random(400_000)).file("last", "1"));
    let digest = served.layer_digest;
    let sent = Arc::new(AtomicUsize::new(0));
    let server = Server::start(counting(served, sent, Duration::ZERO));
    let (root, store) = store();
    let part = root.path().join(format!("layers/part-{}", digest.hex()));
    for damaged in [vec![0; 1000], vec![b'x'; 1 << 20], b"\x1f\x8b".to_vec()] {
        std::fs::write(&part, damaged).unwrap();
        let image = pull(
            &store,
            &server.name("web"),
            &PullOptions::default(),
            &no_progress,
        )
        .await
        .unwrap();
        check(root.path(), &image);
        assert!(!part.exists());
        store.forget(&[image.id]).unwrap();
        let cleaning = store.clean(std::time::Duration::ZERO).unwrap();
        cleaning.collect(&Default::default()).unwrap();
    }
}

#[test]
fn parts_go_with_the_garbage() {
    let (root, store) = store();
    let part = root.path().join("layers/part-0");
    std::fs::write(&part, "x").unwrap();
    store.sweep().unwrap();
    assert!(part.exists(), "a pull may go on");
    assert_eq!(
        store
            .clean(std::time::Duration::ZERO)
            .unwrap()
            .collect(&Default::default())
            .unwrap()
            > 0,
        !part.exists()
    );
    assert!(!part.exists());
}
