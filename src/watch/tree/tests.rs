use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use super::*;

/// All but what is called `ignored`.
struct AllBut;

impl Interest for AllBut {
    fn enters(&self, directory: &Path) -> bool {
        self.wants(directory)
    }

    fn wants(&self, path: &Path) -> bool {
        !path.components().any(|part| part.as_os_str() == "ignored")
    }
}

#[derive(Clone)]
struct Registered {
    directories: Arc<Mutex<BTreeSet<PathBuf>>>,
    most: usize,
}

impl Register for Registered {
    fn add(&mut self, directory: &Path) -> Result<(), Refused> {
        let mut directories = self.directories.lock().unwrap();
        if directories.len() >= self.most {
            return Err(Refused::Limit(Limit::watches()));
        }
        if !directory.is_dir() {
            return Err(Refused::Unreadable);
        }
        directories.insert(directory.to_owned());
        Ok(())
    }

    fn remove(&mut self, directory: &Path) {
        self.directories.lock().unwrap().remove(directory);
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    tree: Tree,
    registered: Registered,
}

/// A tree with these files below the root `src`; nothing is there when there are none.
fn fixture(files: &[&str], most: usize) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        write(&dir.path().join(file), "");
    }
    let registered = Registered {
        directories: Arc::default(),
        most,
    };
    let tree = Tree::new(
        vec![dir.path().join("src")],
        Box::new(AllBut),
        Ok(Box::new(registered.clone())),
    );
    Fixture {
        dir,
        tree,
        registered,
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

impl Fixture {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        write(&self.path(path), text);
    }

    fn note(&mut self, path: &str, hint: Hint) -> Noted {
        self.tree.note(&self.dir.path().join(path), hint)
    }

    fn shown(&self, changes: &Changes) -> Vec<String> {
        let line = |(path, change): (&Path, Change)| {
            let path = path.strip_prefix(self.dir.path()).unwrap().display();
            let sign = match change {
                Change::Created => '+',
                Change::Changed => '*',
                Change::Removed => '-',
            };
            format!("{sign}{path}")
        };
        changes.iter().map(line).collect()
    }

    fn take(&mut self) -> Vec<String> {
        let changes = self.tree.take();
        self.shown(&changes)
    }

    fn registered(&self) -> Vec<String> {
        let directories = self.registered.directories.lock().unwrap();
        let below = directories.iter().map(|path| {
            let path = path.strip_prefix(self.dir.path()).unwrap();
            path.display().to_string()
        });
        below.collect()
    }
}

#[test]
fn only_directories_that_matter_are_registered_and_the_one_above() {
    let files = ["src/a/b/file", "src/ignored/x/file", "other/file"];
    let mut fixture = fixture(&files, 99);
    assert_eq!(fixture.registered(), ["", "src", "src/a", "src/a/b"]);
    assert_eq!(fixture.note("other", Hint::Name), Noted::Nothing);
    assert_eq!(fixture.note("src/ignored", Hint::Name), Noted::Nothing);
    assert_eq!(fixture.take(), [""; 0]);
}

#[test]
fn what_is_written_has_changed_and_what_is_read_has_not() {
    let mut fixture = fixture(&["src/a", "src/b", "src/c"], 99);
    fixture.write("src/a", "");
    assert_eq!(fixture.note("src/a", Hint::Name), Noted::Fresh);
    assert_eq!(fixture.note("src/a", Hint::Written), Noted::Again);
    fixture.note("src/b", Hint::Attributes);
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(fixture.path("src/c"), mode).unwrap();
    fixture.note("src/c", Hint::Attributes);
    assert_eq!(fixture.take(), ["*src/a", "*src/c"]);
}

#[test]
fn what_an_editor_makes_and_removes_while_it_saves_is_not_told() {
    let mut fixture = fixture(&["src/file"], 99);
    // vim: a probe, a backup, a new file under the old name.
    for probe in ["src/4913", "src/file~"] {
        fixture.note(probe, Hint::Name);
        fixture.note(probe, Hint::Written);
    }
    fs::remove_file(fixture.path("src/file")).unwrap();
    fixture.write("src/file", "new");
    fixture.note("src/file", Hint::Name);
    // VS Code, JetBrains: another file takes the name.
    fixture.write("src/.file.tmp", "newer");
    fixture.note("src/.file.tmp", Hint::Name);
    fs::rename(fixture.path("src/.file.tmp"), fixture.path("src/file")).unwrap();
    assert_eq!(fixture.take(), ["*src/file"]);
}

#[test]
fn what_is_in_a_new_directory_is_found_and_registered_at_once() {
    let mut fixture = fixture(&["src/a"], 99);
    fixture.write("src/new/deep/file", "");
    fixture.write("src/new/ignored/file", "");
    fixture.note("src/new", Hint::Name);
    assert_eq!(fixture.registered(), ["", "src", "src/new", "src/new/deep"]);
    let expected = ["+src/new", "+src/new/deep", "+src/new/deep/file"];
    assert_eq!(fixture.take(), expected);
    assert_eq!(fixture.take(), [""; 0]);
}

#[test]
fn a_directory_that_is_renamed_is_gone_there_and_new_here() {
    let mut fixture = fixture(&["src/a/deep/file"], 99);
    fs::rename(fixture.path("src/a"), fixture.path("src/b")).unwrap();
    fixture.note("src/a", Hint::Name);
    fixture.note("src/b", Hint::Name);
    assert_eq!(fixture.registered(), ["", "src", "src/b", "src/b/deep"]);
    assert_eq!(
        fixture.take(),
        [
            "-src/a",
            "-src/a/deep",
            "-src/a/deep/file",
            "+src/b",
            "+src/b/deep",
            "+src/b/deep/file"
        ]
    );
}

#[test]
fn a_file_becomes_a_directory_and_a_directory_a_link() {
    let mut fixture = fixture(&["src/file", "src/dir/inner"], 99);
    fs::remove_file(fixture.path("src/file")).unwrap();
    fixture.write("src/file/inner", "");
    fs::remove_dir_all(fixture.path("src/dir")).unwrap();
    std::os::unix::fs::symlink("file", fixture.path("src/dir")).unwrap();
    for path in ["src/file", "src/dir/inner", "src/dir"] {
        fixture.note(path, Hint::Name);
    }
    assert_eq!(fixture.registered(), ["", "src", "src/file"]);
    let expected = ["*src/dir", "-src/dir/inner", "*src/file", "+src/file/inner"];
    assert_eq!(fixture.take(), expected);
}

#[test]
fn a_directory_that_another_one_takes_the_place_of_is_compared() {
    let mut fixture = fixture(&["src/d/same", "src/d/gone"], 99);
    fixture.write("new/same", "");
    fixture.write("new/fresh", "");
    fs::remove_dir_all(fixture.path("src/d")).unwrap();
    fs::rename(fixture.path("new"), fixture.path("src/d")).unwrap();
    fixture.note("src/d", Hint::Name);
    let expected = ["*src/d", "+src/d/fresh", "-src/d/gone", "*src/d/same"];
    assert_eq!(fixture.take(), expected);
    assert_eq!(fixture.registered(), ["", "src", "src/d"]);
}

#[test]
fn a_root_comes_goes_and_comes_back_with_the_directories_above_it() {
    let dir = tempfile::tempdir().unwrap();
    let registered = Registered {
        directories: Arc::default(),
        most: 99,
    };
    let root = dir.path().join("a/b/src");
    let tree = Tree::new(
        vec![root],
        Box::new(AllBut),
        Ok(Box::new(registered.clone())),
    );
    let mut fixture = Fixture {
        dir,
        tree,
        registered,
    };
    assert_eq!(fixture.registered(), [""]);
    for _ in 0..2 {
        fixture.write("a/b/src/file", "");
        fixture.note("a", Hint::Name);
        assert_eq!(fixture.take(), ["+a/b/src", "+a/b/src/file"]);
        assert_eq!(fixture.registered(), ["", "a/b", "a/b/src"]);
        fs::remove_dir_all(fixture.path("a")).unwrap();
        fixture.note("a/b/src", Hint::Name);
        fixture.note("a/b", Hint::Name);
        assert_eq!(fixture.take(), ["-a/b/src", "-a/b/src/file"]);
        assert_eq!(fixture.registered(), [""]);
    }
}

#[test]
fn after_lost_events_all_is_compared() {
    let mut fixture = fixture(&["src/a", "src/b", "src/d/gone"], 99);
    fs::remove_dir_all(fixture.path("src/d")).unwrap();
    fixture.write("src/b", "longer");
    fixture.write("src/e/new", "");
    fixture.tree.note_lost();
    assert_eq!(
        fixture.take(),
        ["*src/b", "-src/d", "-src/d/gone", "+src/e", "+src/e/new"]
    );
    assert_eq!(fixture.registered(), ["", "src", "src/e"]);
}

#[test]
fn without_room_for_all_directories_there_are_no_events_and_looking_finds_the_same() {
    let mut fixture = fixture(&["src/a/file", "src/b/file"], 3);
    assert!(!fixture.tree.has_events());
    assert!(fixture.tree.take_limit().is_some());
    assert!(fixture.tree.take_limit().is_none());
    fixture.write("src/a/file", "longer");
    fs::remove_file(fixture.path("src/b/file")).unwrap();
    let changes = fixture.tree.compare();
    assert_eq!(fixture.shown(&changes), ["*src/a/file", "-src/b/file"]);
    assert!(fixture.tree.compare().is_empty());
}
