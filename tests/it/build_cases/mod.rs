//! Dockerfiles built, and the images held against those that the Docker engine makes of them.
//!
//! `tests/build/cases/` has one Dockerfile for each feature, `tests/build/goldens/` what comes of it: the
//! image's configuration, and its files as far as they differ from the base image's. Goldens are made by a
//! Docker engine (see `docker.rs`), so that this test needs none; those of features that are younger than
//! the engine at hand say so in their first line, and were read by a person.

mod context;
mod docker;
mod tree;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Root, busybox_archive, install, install_examples};
use tree::Image;

/// The folder of cases and goldens.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/build")
}

/// One Dockerfile with the arguments of its build.
struct Case {
    name: String,
    dockerfile: PathBuf,
    /// The files beside it; `None`: those of `context.rs`.
    context: Option<PathBuf>,
    arguments: Vec<String>,
}

impl Case {
    fn golden(&self) -> PathBuf {
        folder().join("goldens").join(format!("{}.txt", self.name))
    }

    /// Whether the engine that goldens are made with is too old for it.
    fn is_newer(&self) -> bool {
        self.text().starts_with("# syntax=")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.dockerfile).expect("a Dockerfile")
    }

    /// What its image is held against: the image that its last stage starts from.
    fn base(&self, root: &Path) -> Result<Image, String> {
        let text = self.text();
        let lines = text.lines().map(str::split_whitespace);
        let mut froms = lines.filter_map(|mut words| {
            let is_from = words.next()?.eq_ignore_ascii_case("from");
            is_from.then(|| words.next().unwrap_or_default())
        });
        match froms.next_back() {
            Some("scratch") => Ok(Image::default()),
            Some(name) if EXAMPLES.contains(&name) => Image::read(root, name),
            Some("${BASE}") => Image::read(root, "debian"),
            _ => Image::read(root, "busybox"),
        }
    }

    /// Its image as text.
    fn describe(&self, root: &Path) -> Result<String, String> {
        let text = Image::read(root, "built")?.describe(&self.base(root)?);
        Ok(match self.context {
            None => text,
            Some(_) => comparable(&text),
        })
    }
}

/// The images of `examples/images` that the real files are built on.
const EXAMPLES: [&str; 6] = ["busybox", "debian", "nginx", "python", "redis", "toolchain"];

/// What is compared of a real file's image. What a compiler makes differs from release to release, so only what
/// can be read; and the base images came into the two engines on different ways.
fn comparable(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("History "));
    let lines = lines.filter_map(|line| {
        if let Some(at) = line.find(" sha256:") {
            return Some(format!(
                "{} …{}\n",
                &line[..at],
                &line[(at + 24).min(line.len())..]
            ));
        }
        let Some(labels) = line.strip_prefix("Labels ") else {
            return Some(format!("{line}\n"));
        };
        let mut labels: serde_json::Map<_, _> = serde_json::from_str(labels).expect("it is JSON");
        labels.remove("stack.example.recipe");
        let labels = serde_json::Value::from(labels);
        (labels != serde_json::json!({})).then(|| format!("Labels {labels}\n"))
    });
    lines.collect()
}

/// The arguments that the table of options has for a case.
fn arguments(name: &str) -> Vec<String> {
    let options = fs::read_to_string(folder().join("options")).expect("the table of options");
    let lines = options.lines().filter(|line| !line.starts_with('#'));
    let mut lines = lines.map(str::split_whitespace);
    let found = lines.find_map(|mut words| (words.next() == Some(name)).then_some(words));
    found.into_iter().flatten().map(str::to_owned).collect()
}

/// Whether `STACK_BUILD_CASES` asks for it.
fn is_wanted(case: &Case) -> bool {
    let only = std::env::var("STACK_BUILD_CASES").unwrap_or_default();
    only.is_empty() || only.split(',').any(|name| name == case.name)
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the cases");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// One Dockerfile for each feature.
fn cases() -> Vec<Case> {
    let paths = sorted(&folder().join("cases")).into_iter();
    let cases = paths.filter_map(|dockerfile| {
        let name = dockerfile.file_name()?.to_str()?;
        let name = name.strip_suffix(".Dockerfile")?.to_owned();
        Some(Case {
            arguments: arguments(&name),
            name,
            dockerfile,
            context: None,
        })
    });
    cases.filter(is_wanted).collect()
}

/// Dockerfiles as people write them, each with its files.
fn real() -> Vec<Case> {
    let paths = sorted(&folder().join("real")).into_iter();
    let cases = paths.filter_map(|path| {
        let name = format!("real/{}", path.file_name()?.to_str()?);
        Some(Case {
            arguments: arguments(&name),
            name,
            dockerfile: path.join("Dockerfile"),
            context: Some(path),
        })
    });
    cases.filter(is_wanted).collect()
}

/// Runs this program; says what it printed when it fails.
fn stack(root: &Path, directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(arguments)
        .current_dir(directory)
        .env("STACK_ROOT", root)
        .output()
        .expect("the program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

fn import_base(root: &Path, directory: &Path) {
    let archive = directory.join("busybox.tar");
    fs::write(&archive, busybox_archive()).expect("a file");
    let archive = archive.to_str().expect("it is UTF-8");
    stack(root, directory, &["image", "import", archive, "busybox"]).expect("an import");
}

/// Imports the images of `examples/images`, which are made when they are not kept from an earlier time.
fn import_examples(root: &Path) {
    install(root);
    install_examples(root);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images/build.sh");
    let output = Command::new(script)
        .arg("toolchain")
        .env("STACK", env!("CARGO_BIN_EXE_stack"))
        .env("STACK_ROOT", root)
        .output()
        .expect("bash");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the example images: {told}");
}

/// Builds a case and describes its image.
fn built(case: &Case, root: &Path, context: &Path) -> Result<String, String> {
    let dockerfile = case.dockerfile.to_str().expect("it is UTF-8");
    let mut arguments = vec!["image", "build", "--progress", "plain"];
    arguments.extend(["-f", dockerfile, "-t", "built"]);
    arguments.extend(case.arguments.iter().map(String::as_str));
    let context = case.context.as_deref().unwrap_or(context);
    arguments.push(context.to_str().expect("it is UTF-8"));
    stack(root, context, &arguments)?;
    case.describe(root)
}

/// Builds every case and holds it against its golden.
fn compare(cases: &[Case], root: &Path, context: &Path) {
    let chosen = std::env::var_os("STACK_BUILD_CASES").is_some();
    assert!(chosen || !cases.is_empty(), "there are no cases");
    let mut wrong = String::new();
    for case in cases {
        let found = match built(case, root, context) {
            Ok(found) => found,
            Err(error) => format!("it cannot be built: {error}"),
        };
        if std::env::var_os("STACK_UPDATE_NEWER").is_some() && case.is_newer() {
            let text = format!("by hand: newer than the engine\n{found}");
            fs::write(case.golden(), text).expect("a golden");
        }
        let golden = fs::read_to_string(case.golden()).unwrap_or_default();
        let (_, expected) = golden.split_once('\n').unwrap_or_default();
        if found != expected {
            let _ = writeln!(wrong, "--- {}\n{}", case.name, difference(expected, &found));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Compares the cases whose names start with one of some words.
fn compare_group(words: &[&str]) {
    let root = Root::new();
    let store = root.path().join("stack");
    let context = root.path().join("context");
    context::make(&context);
    import_base(&store, root.path());
    let mut cases = cases();
    cases.retain(|case| words.contains(&group(&case.name)));
    compare(&cases, &store, &context);
}

/// The first word of a case's name.
fn group(name: &str) -> &str {
    name.split('-').next().unwrap_or_default()
}

const COPIES: [&str; 2] = ["copy", "add"];
const STEPS: [&str; 4] = ["run", "onbuild", "directive", "workdir"];
const VALUES: [&str; 6] = ["arg", "env", "expand", "label", "from", "target"];

#[test]
fn copies_make_the_files_that_docker_makes() {
    compare_group(&COPIES);
}

#[test]
fn steps_leave_the_files_that_docker_leaves() {
    compare_group(&STEPS);
}

#[test]
fn stages_arguments_and_variables_mean_what_they_mean_to_docker() {
    compare_group(&VALUES);
}

#[test]
fn settings_make_the_configuration_that_docker_makes() {
    let all = cases();
    let taken = [&COPIES[..], &STEPS, &VALUES].concat();
    let rest: Vec<&str> = all
        .iter()
        .map(|case| group(&case.name))
        .filter(|group| !taken.contains(group))
        .collect();
    compare_group(&rest);
}

#[test]
fn real_dockerfiles_make_the_images_that_docker_makes() {
    let root = Root::new();
    let store = root.path().join("stack");
    import_examples(&store);
    compare(&real(), &store, root.path());
}

/// Lines that only one of two texts has.
fn difference(expected: &str, found: &str) -> String {
    let lines = |text: &str, other: &str, sign: &str| {
        let other: Vec<&str> = other.lines().collect();
        text.lines()
            .filter(|line| !other.contains(line))
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    lines(expected, found, "docker") + &lines(found, expected, "ours  ")
}
