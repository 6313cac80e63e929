use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use oci_spec::runtime::UserBuilder;
use rustix::fs::{Mode, OFlags};

use super::*;
use crate::runtime::Root;

struct Fixture {
    dir: tempfile::TempDir,
    inside: Inside,
}

/// A directory `host`, and a directory `root` that is a container's, whose user is we ourselves.
fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(dir.path().join("host")).unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let root = Root::new(rustix::fs::open(&root, flags, Mode::empty()).unwrap());
    let own = dir.path().metadata().unwrap();
    let numbers = UserBuilder::default().uid(own.uid()).gid(own.gid());
    let inside = Inside::at(root, None, &numbers.build().unwrap()).unwrap();
    Fixture { dir, inside }
}

impl Fixture {
    fn host(&self, path: &str) -> PathBuf {
        self.dir.path().join("host").join(path)
    }

    fn root(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root(path)).unwrap()
    }

    #[track_caller]
    fn apply(&mut self, source: &str, target: &str) -> Outcome {
        let mapping = Mapping {
            source: self.host(source),
            target: target.to_owned(),
            top: false,
        };
        self.inside.apply(&mapping, Unchanged::Written).unwrap()
    }

    #[track_caller]
    fn top(&mut self, source: &str, target: &str) -> Outcome {
        let mapping = Mapping {
            source: self.host(source),
            target: target.to_owned(),
            top: true,
        };
        self.inside.apply(&mapping, Unchanged::Written).unwrap()
    }

    /// All names in the container, with no temporary one among them.
    fn names(&self) -> Vec<String> {
        fn walk(top: &Path, dir: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(top).unwrap();
                names.push(name.display().to_string());
                if path.is_dir() && !path.is_symlink() {
                    walk(top, &path, names);
                }
            }
        }
        let mut names = Vec::new();
        walk(&self.root(""), &self.root(""), &mut names);
        names.sort();
        names
    }
}

#[test]
fn a_file_takes_content_mode_and_time_and_its_directories_are_made() {
    let mut fixture = fixture();
    fixture.write("host/run", "one");
    let mode = fs::Permissions::from_mode(0o750);
    fs::set_permissions(fixture.host("run"), mode).unwrap();
    assert_eq!(fixture.apply("run", "/app/bin/run"), Outcome::Written);
    assert_eq!(fixture.read("app/bin/run"), "one");
    let [there, here] = [fixture.root("app/bin/run"), fixture.host("run")];
    let (there, here) = (there.metadata().unwrap(), here.metadata().unwrap());
    assert_eq!(there.mode(), here.mode());
    assert_eq!(there.modified().unwrap(), here.modified().unwrap());
    fixture.write("host/run", "two, longer");
    fixture.apply("run", "/app/bin/run");
    assert_eq!(fixture.read("app/bin/run"), "two, longer");
    assert_eq!(fixture.names(), ["app", "app/bin", "app/bin/run"]);
}

#[test]
fn what_is_the_same_is_left_alone_when_asked() {
    let mut fixture = fixture();
    fixture.write("host/file", "one");
    let mapping = Mapping {
        source: fixture.host("file"),
        target: "/file".to_owned(),
        top: false,
    };
    let mut apply = |unchanged| fixture.inside.apply(&mapping, unchanged).unwrap();
    assert_eq!(apply(Unchanged::LeftAlone), Outcome::Written);
    assert_eq!(apply(Unchanged::LeftAlone), Outcome::Same);
    assert_eq!(apply(Unchanged::Written), Outcome::Written);
}

#[test]
fn what_is_gone_is_removed_with_all_that_is_in_it() {
    let mut fixture = fixture();
    fixture
        .write("root/app/d/e/file", "")
        .write("root/app/f", "");
    assert_eq!(fixture.apply("d", "/app/d"), Outcome::Removed);
    assert_eq!(fixture.apply("f", "/app/f"), Outcome::Removed);
    assert_eq!(fixture.apply("never", "/no/where"), Outcome::Removed);
    assert_eq!(fixture.names(), ["app"]);
    // The directory that a rule names has more in it than the rule put there.
    fixture.write("root/app/of-the-image", "");
    assert_eq!(fixture.top("gone", "/app"), Outcome::Same);
    assert_eq!(fixture.top("gone", "/app/of-the-image"), Outcome::Removed);
    assert_eq!(fixture.names(), ["app"]);
}

#[test]
fn kinds_replace_each_other() {
    let mut fixture = fixture();
    fixture
        .write("host/a/inner", "x")
        .write("host/b", "file")
        .write("root/a", "was a file")
        .write("root/b/was/a/directory", "");
    fixture.apply("a", "/a");
    fixture.apply("a/inner", "/a/inner");
    fixture.apply("b", "/b");
    assert_eq!(fixture.read("a/inner"), "x");
    assert_eq!(fixture.read("b"), "file");
    assert_eq!(fixture.names(), ["a", "a/inner", "b"]);
}

#[test]
fn a_directory_takes_its_mode() {
    let mut fixture = fixture();
    fs::create_dir(fixture.host("d")).unwrap();
    let mode = |path: PathBuf| path.metadata().unwrap().mode() & 0o7777;
    for wanted in [0o700, 0o1777] {
        let permissions = fs::Permissions::from_mode(wanted);
        fs::set_permissions(fixture.host("d"), permissions).unwrap();
        fixture.apply("d", "/d");
        assert_eq!(mode(fixture.root("d")), wanted);
    }
}

#[test]
fn a_single_file_goes_into_a_directory_or_to_its_place() {
    let mut fixture = fixture();
    fixture.write("host/file", "x");
    fs::create_dir(fixture.root("dir")).unwrap();
    for (target, place) in [
        ("/new", "new"),
        ("/dir", "dir/file"),
        ("/made/", "made/file"),
    ] {
        fixture.top("file", target);
        assert_eq!(fixture.read(place), "x");
    }
}

#[test]
fn links_are_links_and_a_link_to_a_directory_is_what_is_in_it() {
    let mut fixture = fixture();
    fixture.write("host/dir/sub/file", "x");
    symlink("../file", fixture.host("dir/inner")).unwrap();
    symlink("dir", fixture.host("to-dir")).unwrap();
    symlink("dir/sub/file", fixture.host("to-file")).unwrap();
    symlink("nowhere", fixture.host("dangling")).unwrap();
    fixture.write("root/to-file", "was a file");
    for name in ["to-dir", "to-file", "dangling"] {
        fixture.apply(name, &format!("/{name}"));
    }
    let target = |path: &str| fs::read_link(fixture.root(path)).unwrap();
    assert_eq!(target("to-file"), Path::new("dir/sub/file"));
    assert_eq!(target("dangling"), Path::new("nowhere"));
    assert_eq!(fixture.read("to-dir/sub/file"), "x");
    assert_eq!(target("to-dir/inner"), Path::new("../file"));
}

#[test]
fn links_in_the_container_lead_nowhere_else() {
    let mut fixture = fixture();
    let outside = fixture.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "untouched").unwrap();
    let victim = outside.join("victim");
    symlink(&outside, fixture.root("absolute")).unwrap();
    symlink("../outside", fixture.root("climbing")).unwrap();
    symlink(&victim, fixture.root("direct")).unwrap();
    symlink("/var/real", fixture.root("link")).unwrap();
    fs::create_dir_all(fixture.root("var/real")).unwrap();
    fixture.write("host/file", "from the host");
    for target in [
        "/absolute/victim",
        "/climbing/victim",
        "/../outside/victim",
        "/direct",
    ] {
        fixture.apply("file", target);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(fixture.read("direct"), "from the host");
    // A link to a directory of the container is followed: files go where programs see them.
    fixture.apply("file", "/link/file");
    assert_eq!(fixture.read("var/real/file"), "from the host");
    // Nor is anything removed out there.
    fixture.write("root/d/x", "");
    symlink(&outside, fixture.root("d/link")).unwrap();
    fixture.apply("gone", "/d");
    fixture.apply("gone", "/absolute/victim");
    fixture.apply("gone", "/climbing/victim");
    assert!(victim.exists());
    assert!(!fixture.root("d").exists());
}

#[test]
fn devices_and_pipes_are_not_copied_and_do_not_hold_anyone() {
    let mut fixture = fixture();
    let pipe = fixture.host("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        Mode::RWXU,
        0,
    )
    .unwrap();
    assert_eq!(fixture.apply("pipe", "/pipe"), Outcome::Same);
    assert_eq!(fixture.names(), Vec::<String>::new());
}

#[test]
fn a_process_that_has_ended_has_no_files() {
    let gone = Running { pid: 1, start: 0 };
    let numbers = UserBuilder::default().build().unwrap();
    let error = Inside::open(&gone, None, &numbers).unwrap_err();
    assert!(matches!(error, SyncError::Ended), "{error}");
}
