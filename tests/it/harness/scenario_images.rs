//! Images that both `stack` and Docker's engine get, under the names that people know.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tar::{Builder, EntryType};

use super::images::{append, busybox, import, kept, link_store, seed};

/// A program that ends when it is asked to, and a server on port 80.
const SERVER: &[u8] = b"#!/bin/sh
trap 'exit 0' TERM QUIT INT
httpd -f -p 80 -h /usr/share/nginx/html &
wait
";

/// Sleeps until it is told to end, and then ends at once.
const WAIT: &[u8] = b"#!/bin/sh
trap 'exit 0' TERM INT
sleep 1000 &
wait
";

struct Image {
    name: &'static str,
    files: Vec<u8>,
    changes: &'static [&'static str],
}

/// - `alpine`, `busybox`: a shell and the usual programs, and `/bin/wait-for-end`.
/// - `nginx:alpine`: answers on port 80.
/// - `seeded`: with files in `/data`, which belongs to `user`; `anonymous`: the same with `VOLUME /data`.
/// - `configured`: sets what an image can set. `other`: an `alpine` with another label.
fn images() -> Vec<Image> {
    let image = |name, more: &[u8], changes| Image {
        name,
        files: with(more),
        changes,
    };
    vec![
        image("alpine", b"", &["CMD [\"sh\"]"]),
        image("busybox", b"", &["CMD [\"sh\"]"]),
        image("other", b"", &["CMD [\"sh\"]", "LABEL kind=other"]),
        image("seeded", &seed(), &["CMD [\"sh\"]"]),
        image("anonymous", &seed(), &["CMD [\"sh\"]", "VOLUME /data"]),
        image(
            "configured",
            &seed(),
            &[
                "ENV FROM_IMAGE=yes OVERRIDDEN=image",
                "WORKDIR /data",
                "USER user",
                "ENTRYPOINT [\"/bin/echo\", \"entry\"]",
                "CMD [\"from\", \"image\"]",
                "EXPOSE 80/tcp",
                "LABEL of-image=yes",
            ],
        ),
        image(
            "nginx:alpine",
            &server(),
            &["CMD [\"/bin/serve\"]", "EXPOSE 80"],
        ),
    ]
}

fn server() -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    let page = "usr/share/nginx/html/index.html";
    append(
        &mut archive,
        ("bin/serve", EntryType::Regular),
        (0o755, 0),
        SERVER,
    );
    append(
        &mut archive,
        (page, EntryType::Regular),
        (0o644, 0),
        b"Welcome to nginx!\n",
    );
    archive.into_inner().expect("memory")
}

/// The files of busybox and these.
fn with(more: &[u8]) -> Vec<u8> {
    let mut files = busybox();
    let mut archive = Builder::new(Vec::new());
    append(
        &mut archive,
        ("bin/wait-for-end", EntryType::Regular),
        (0o755, 0),
        WAIT,
    );
    let mut wait = archive.into_inner().expect("memory");
    // An archive ends with two empty blocks: the next one begins in their place.
    for next in [wait.as_mut_slice(), &mut more.to_vec()] {
        if !next.is_empty() {
            let end = files
                .chunks(512)
                .rposition(|block| block.iter().any(|byte| *byte != 0));
            files.truncate(end.map_or(0, |end| (end + 1) * 512));
            files.extend_from_slice(next);
        }
    }
    files
}

/// Puts them into the store below `root`.
pub(crate) fn install(root: &Path) {
    let make = |root: &Path| {
        for image in images() {
            let changes = image.changes.iter().flat_map(|change| ["--change", change]);
            let arguments: Vec<_> = changes.chain([image.name]).collect();
            import(root, &image.files, &arguments);
        }
    };
    link_store(&kept("scenario-images", make), root);
}

/// Puts those that it does not have into Docker's engine.
pub(crate) fn load_into_docker() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    for image in images() {
        let docker = std::env::var_os("DOCKER").expect("DOCKER names the program");
        let known = Command::new(&docker)
            .args(["image", "inspect", image.name])
            .output();
        if known.is_ok_and(|known| known.status.success()) {
            continue;
        }
        let mut command = Command::new(docker);
        command.arg("import");
        for change in image.changes {
            command.args(["--change", change]);
        }
        let mut child = command
            .args(["-", image.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(&image.files).expect("docker reads it");
        drop(stdin);
        assert!(child.wait().expect("it ends").success(), "{}", image.name);
    }
}
