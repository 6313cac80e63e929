use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct All;

impl Interest for All {
    fn enters(&self, _: &Path) -> bool {
        true
    }

    fn wants(&self, _: &Path) -> bool {
        true
    }
}

fn dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    (dir, path)
}

fn tree(root: &Path) -> Watcher {
    Watcher::start(Watch::Trees(vec![root.to_owned()], Box::new(All))).unwrap()
}

fn files<const N: usize>(paths: [&Path; N]) -> Watcher {
    let paths = paths.map(Path::to_owned).to_vec();
    Watcher::start(Watch::Files(paths)).unwrap()
}

/// Collects changes until this path is among them.
#[track_caller]
fn until(watcher: &mut Watcher, path: &Path) -> Changes {
    let mut all = Changes::default();
    while !all.paths().any(|found| found == path) {
        match watcher.wait(PATIENCE) {
            Some(Told::Changes(changes)) => all.merge(changes),
            other => panic!("{other:?}, after {all:?}"),
        }
    }
    all
}

#[track_caller]
fn changes(watcher: &mut Watcher) -> Vec<(PathBuf, Change)> {
    match watcher.wait(PATIENCE) {
        Some(Told::Changes(changes)) => changes
            .iter()
            .map(|(path, change)| (path.to_owned(), change))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_saved_file_is_told_once_and_soon() {
    let (_dir, path) = dir();
    let mut watcher = tree(&path);
    let file = path.join("file");
    let began = Instant::now();
    fs::write(&file, "x").unwrap();
    assert_eq!(changes(&mut watcher), [(file.clone(), Change::Created)]);
    assert!(began.elapsed() < Duration::from_secs(5));
    fs::read(&file).unwrap();
    assert_eq!(watcher.wait(Duration::from_millis(100)), None);
    fs::remove_file(&file).unwrap();
    assert_eq!(changes(&mut watcher), [(file, Change::Removed)]);
}

#[test]
fn nothing_is_lost_in_directories_that_grow_while_they_are_found() {
    let (_dir, path) = dir();
    let mut watcher = tree(&path);
    let mut made = Vec::new();
    for number in 0..200 {
        let deep = path.join(format!("d{number}/a/b"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
        made.push(deep.join("file"));
    }
    let last = path.join("last");
    fs::write(&last, "").unwrap();
    made.push(last.clone());
    let mut all = until(&mut watcher, &last);
    while let Some(Told::Changes(more)) = watcher.wait(Duration::from_millis(300)) {
        all.merge(more);
    }
    let found: BTreeSet<&Path> = all.paths().collect();
    let missing: Vec<_> = made
        .iter()
        .filter(|m| !found.contains(m.as_path()))
        .collect();
    assert_eq!(missing, Vec::<&PathBuf>::new());
    // Later changes deep inside are seen too.
    let deep = path.join("d7/a/b/file");
    fs::write(&deep, "y").unwrap();
    assert_eq!(changes(&mut watcher), [(deep, Change::Changed)]);
}

#[test]
fn five_thousand_files_at_once_are_one_set() {
    let (_dir, path) = dir();
    for number in 0..50 {
        fs::create_dir(path.join(number.to_string())).unwrap();
    }
    let mut watcher = tree(&path);
    let began = Instant::now();
    for number in 0..5000 {
        fs::write(path.join(format!("{}/{number}", number % 50)), "x").unwrap();
    }
    // One set; on a machine that takes long for it, one for each time that a burst may last.
    let most = 1 + began.elapsed().as_secs() / 2;
    let (mut found, mut sets) = (Changes::default(), 0);
    while found.len() < 5000 {
        match watcher.wait(PATIENCE) {
            Some(Told::Changes(changes)) => found.merge(changes),
            other => panic!("{other:?}, after {}", found.len()),
        }
        sets += 1;
    }
    assert!(sets <= most, "{sets} sets, not {most}");
    assert_eq!(watcher.wait(Duration::from_millis(200)), None);
}

#[test]
fn a_directory_that_is_moved_away_is_not_watched_any_more_and_is_when_it_is_back() {
    let (_dir, path) = dir();
    let (root, other) = (path.join("root"), path.join("other"));
    fs::create_dir_all(root.join("d")).unwrap();
    let mut watcher = tree(&root);
    fs::rename(root.join("d"), &other).unwrap();
    assert_eq!(changes(&mut watcher), [(root.join("d"), Change::Removed)]);
    fs::write(other.join("file"), "x").unwrap();
    assert_eq!(watcher.wait(Duration::from_millis(100)), None);
    fs::rename(&other, root.join("e")).unwrap();
    until(&mut watcher, &root.join("e/file"));
    fs::write(root.join("e/file"), "y").unwrap();
    let expected = [(root.join("e/file"), Change::Changed)];
    assert_eq!(changes(&mut watcher), expected);
}

#[test]
fn a_tree_that_is_not_there_yet_and_one_that_is_made_again() {
    let (_dir, path) = dir();
    let root = path.join("not/yet");
    let mut watcher = tree(&root);
    for _ in 0..2 {
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("file"), "").unwrap();
        until(&mut watcher, &root.join("file"));
        fs::remove_dir_all(path.join("not")).unwrap();
        while root.exists() {}
        loop {
            let found = changes(&mut watcher);
            if found.contains(&(root.clone(), Change::Removed)) {
                break;
            }
        }
    }
}

#[test]
fn single_files_are_watched_wherever_they_are_and_their_neighbours_are_not() {
    let (_dir, path) = dir();
    let (one, two) = (path.join("one"), path.join("not/yet/two"));
    fs::write(&one, "").unwrap();
    let mut watcher = files([&one, &two]);
    fs::write(path.join("neighbour"), "").unwrap();
    assert_eq!(watcher.wait(Duration::from_millis(100)), None);
    fs::write(path.join("new"), "x").unwrap();
    fs::rename(path.join("new"), &one).unwrap();
    assert_eq!(changes(&mut watcher), [(one.clone(), Change::Changed)]);
    fs::create_dir_all(two.parent().unwrap()).unwrap();
    fs::write(&two, "").unwrap();
    assert_eq!(changes(&mut watcher), [(two.clone(), Change::Created)]);
    fs::remove_dir_all(path.join("not")).unwrap();
    assert_eq!(changes(&mut watcher), [(two, Change::Removed)]);
    fs::remove_file(&one).unwrap();
    assert_eq!(changes(&mut watcher), [(one, Change::Removed)]);
}

#[test]
fn a_file_behind_links_changes_with_them() {
    let (_dir, path) = dir();
    for version in ["v1", "v2"] {
        fs::create_dir(path.join(version)).unwrap();
        fs::write(path.join(version).join("file"), version).unwrap();
    }
    symlink("v1", path.join("current")).unwrap();
    symlink("current/file", path.join("file")).unwrap();
    let file = path.join("file");
    let mut watcher = files([&file]);
    let changed = [(file.clone(), Change::Changed)];
    fs::write(path.join("v1/file"), "new").unwrap();
    assert_eq!(changes(&mut watcher), changed);
    symlink("v2", path.join("next")).unwrap();
    fs::rename(path.join("next"), path.join("current")).unwrap();
    assert_eq!(changes(&mut watcher), changed);
    fs::write(path.join("v2/file"), "newer").unwrap();
    assert_eq!(changes(&mut watcher), changed);
    fs::write(path.join("v1/file"), "of no interest").unwrap();
    assert_eq!(watcher.wait(Duration::from_millis(100)), None);
    fs::remove_file(path.join("current")).unwrap();
    assert_eq!(changes(&mut watcher), [(file, Change::Removed)]);
}

#[test]
fn changes_that_nobody_has_fetched_are_one_set() {
    let (_dir, path) = dir();
    let mut watcher = tree(&path);
    let (a, b) = (path.join("a"), path.join("b"));
    fs::write(&a, "").unwrap();
    while watcher.shared.slot().changes.is_empty() {
        std::thread::yield_now();
    }
    fs::write(&b, "").unwrap();
    while watcher.shared.slot().changes.len() < 2 {
        std::thread::yield_now();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let told = runtime.block_on(watcher.next());
    let mut expected = Changes::default();
    expected.add(a, Change::Created);
    expected.add(b, Change::Created);
    assert_eq!(told, Told::Changes(expected));
}

#[test]
fn without_events_changes_are_found_by_looking() {
    let (_dir, path) = dir();
    fs::create_dir(path.join("d")).unwrap();
    let watch = Watch::Trees(vec![path.clone()], Box::new(All));
    let mut watcher = Watcher::start_with(watch, |_| Err(Limit::instances())).unwrap();
    let Some(Told::Polling(limit)) = watcher.wait(PATIENCE) else {
        panic!("it is not told");
    };
    assert!(limit.hint().contains("fs.inotify.max_user_instances"));
    fs::write(path.join("d/file"), "").unwrap();
    let file = path.join("d/file");
    assert_eq!(changes(&mut watcher), [(file.clone(), Change::Created)]);
    fs::remove_dir_all(path.join("d")).unwrap();
    let expected = [(path.join("d"), Change::Removed), (file, Change::Removed)];
    assert_eq!(changes(&mut watcher), expected);
}

#[test]
fn a_path_from_nowhere_is_refused() {
    let error = Watcher::start(Watch::Files(vec!["a".into()])).unwrap_err();
    assert_eq!(error.to_string(), "a is not an absolute path");
}

/// The limit of the kernel itself, in a user namespace where it can be set for this process alone.
#[test]
fn the_kernels_limit_is_told_and_changes_are_found_all_the_same() {
    const INSIDE: &str = "STACK_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_none() {
        let name = std::thread::current().name().unwrap().to_owned();
        let script =
            "echo 4 > /proc/sys/user/max_inotify_watches && exec \"$0\" --exact \"$1\" --nocapture";
        let output = std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "sh", "-c", script])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    let (_dir, path) = dir();
    for number in 0..10 {
        fs::create_dir(path.join(number.to_string())).unwrap();
    }
    let mut watcher = tree(&path);
    let Some(Told::Polling(limit)) = watcher.wait(PATIENCE) else {
        panic!("it is not told");
    };
    assert!(limit.to_string().contains("fs.inotify.max_user_watches"));
    let file = path.join("7/file");
    fs::write(&file, "").unwrap();
    assert_eq!(changes(&mut watcher), [(file, Change::Created)]);
}
