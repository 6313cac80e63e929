//! Makes the goldens with a Docker engine: needs `docker` with an engine that has BuildKit (20.10 or later).
//!
//! ```text
//! DOCKER_HOST=unix:///run/docker.sock cargo nextest run --test it --run-ignored only -E 'test(goldens_of_docker)'
//! ```
//!
//! `STACK_BUILD_CASES=a,b` makes only these. A case that starts with `# syntax=` is left alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Case, EXAMPLES, cases, context, import_base, import_examples, real, stack};
use crate::harness::Root;

fn docker(directory: &Path, arguments: &[&str]) -> Result<(), String> {
    let program = std::env::var("STACK_DOCKER").unwrap_or_else(|_| "docker".to_owned());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("DOCKER_BUILDKIT", "1")
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn built(case: &Case, root: &Path, context: &Path) -> Result<String, String> {
    let dockerfile = case.dockerfile.to_str().expect("it is UTF-8");
    let mut arguments = vec![
        "build",
        "--progress",
        "plain",
        "--no-cache",
        "--network",
        "none",
    ];
    arguments.extend(["-f", dockerfile, "-t", "built"]);
    arguments.extend(case.arguments.iter().map(String::as_str));
    let context = case.context.as_deref().unwrap_or(context);
    arguments.push(context.to_str().expect("it is UTF-8"));
    docker(context, &arguments)?;
    let archive = root.join("image.tar");
    let archive = archive.to_str().expect("it is UTF-8");
    docker(root, &["save", "-o", archive, "built"])?;
    stack(root, root, &["image", "load", "-i", archive])?;
    case.describe(root)
}

fn write(cases: &[Case], root: &Path, context: &Path) {
    let mut failed = Vec::new();
    for case in cases.iter().filter(|case| !case.is_newer()) {
        match built(case, root, context) {
            Ok(text) => {
                fs::create_dir_all(case.golden().parent().expect("a folder")).expect("a folder");
                let text = format!("by a Docker engine\n{text}");
                fs::write(case.golden(), text).expect("a golden");
            }
            Err(error) => failed.push(format!("{}: {error}", case.name)),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
#[ignore = "it needs a Docker engine and writes files of this repository"]
fn goldens_of_docker() {
    let root = Root::new();
    let store = root.path().join("stack");
    let context = root.path().join("context");
    context::make(&context);
    import_base(&store, root.path());
    let base = root.path().join("busybox.tar");
    let archive = base.to_str().expect("it is UTF-8");
    docker(root.path(), &["import", archive, "busybox"]).expect("an import");
    write(&cases(), &store, &context);
}

#[test]
#[ignore = "it needs a Docker engine and writes files of this repository"]
fn goldens_of_docker_for_real_files() {
    let root = Root::new();
    let store = root.path().join("stack");
    import_examples(&store);
    for name in EXAMPLES {
        let (base, layer) = archives(name);
        docker_image(root.path(), name, &base, layer.as_deref());
    }
    write(&real(), &store, root.path());
}

/// Where `build.sh` keeps an image's base and layer; without a base the one archive.
fn archives(name: &str) -> (String, Option<String>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images/build.sh");
    let output = Command::new(script).args(["--tars", name]).output();
    let text = String::from_utf8(output.expect("bash").stdout).expect("it is UTF-8");
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [_, "-", only] => (only.to_owned(), None),
        [_, base, layer] => (base.to_owned(), Some(layer.to_owned())),
        _ => panic!("{text}"),
    }
}

fn docker_image(directory: &Path, name: &str, base: &str, layer: Option<&str>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/images")
        .join(name);
    let changes = fs::read_to_string(folder.join("changes")).unwrap_or_default();
    let Some(layer) = layer else {
        let mut arguments = vec!["import"];
        for line in changes.lines().filter(|line| !line.starts_with('#')) {
            arguments.extend(["--change", line]);
        }
        arguments.extend([base, name]);
        return docker(directory, &arguments).expect("an import");
    };
    let context = directory.join("layer");
    fs::create_dir_all(&context).expect("a directory");
    fs::copy(layer, context.join("layer.tar")).expect("a copy");
    let below = fs::read_to_string(folder.join("base")).expect("the name of its base");
    let text = format!("FROM {}\nADD layer.tar /\n{changes}", below.trim());
    fs::write(context.join("Dockerfile"), text).expect("a file");
    docker(directory, &["build", "-t", name, "layer"]).expect("an image");
}
