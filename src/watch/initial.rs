//! What is copied when watching begins.

use std::fs;
use std::path::Path;

use super::rules::Rule;
use super::sync::Mapping;

/// Files that say how to build and run: they are no part of what runs. The list is that of Docker
/// Compose, with the names that this program looks for.
const DESCRIPTIONS: [&str; 11] = [
    "Dockerfile",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
    "stack.yaml",
    "stack.yml",
];

/// All that a rule copies, parents before what is in them. `dockerfile` is the name of the service's
/// own.
pub fn everything(rule: &Rule, dockerfile: Option<&str>) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut rest = vec![rule.path.clone()];
    while let Some(path) = rest.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if rule.matches(&path) && !is_description(&path, dockerfile) {
            found.extend(rule.mapping(&path));
        }
        if metadata.is_dir() && rule.enters(&path) {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            rest.extend(entries.map(|entry| entry.path()));
        }
    }
    // What a rule names is the container's own when it is a directory.
    found.retain(|mapping| !(mapping.top && mapping.source.is_dir()));
    found.sort();
    found
}

fn is_description(path: &Path, dockerfile: Option<&str>) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| DESCRIPTIONS.contains(&name) || dockerfile == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{ServiceName, WatchAction, WatchRule};

    #[test]
    fn all_files_of_a_rule_but_those_that_say_how_to_build_are_copied() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        for path in [
            "a.txt",
            "sub/b.txt",
            "sub/ignored/c",
            ".git/HEAD",
            "Dockerfile",
            "sub/My.dockerfile",
            "compose.yaml",
        ] {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), "").unwrap();
        }
        let rule = |path: &str| {
            let model = WatchRule {
                path: dir.join(path),
                action: WatchAction::Sync,
                target: Some("/app".to_owned()),
                exec: None,
                include: Vec::new(),
                ignore: vec!["sub/ignored".to_owned()],
                initial_sync: true,
            };
            Rule::new(&ServiceName::new("web"), &model, None).unwrap()
        };
        let targets = |path: &str| -> Vec<String> {
            let found = everything(&rule(path), Some("My.dockerfile"));
            found.into_iter().map(|mapping| mapping.target).collect()
        };
        assert_eq!(targets("."), ["/app/a.txt", "/app/sub", "/app/sub/b.txt"]);
        assert_eq!(targets("a.txt"), ["/app"]);
        assert_eq!(targets("missing"), [""; 0]);
    }
}
