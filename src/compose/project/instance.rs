//! Which copy of the project this is: several can be up side by side, each under a name of its own.
//!
//! An instance of project `shop` is the project `shop-<instance>`. All that is named after the project
//! (containers, networks, volumes, built images) is so the instance's own; what has a name of its own
//! in the file gets the instance's name too ([`own_name`]).

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::compose::diagnostic::Problems;
use crate::compose::source::Source;

/// The variable that names the instance, and that has its name in the stack file.
pub(in crate::compose) const VARIABLE: &str = "STACK_INSTANCE";
/// What asks for a name made from the directory.
const AUTO: &str = "auto";
/// Longest name that is made here: host names and sockets have little room.
const LONGEST: usize = 32;
/// Letters of a directory's hash.
const HASH: usize = 6;

/// One of several copies of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name: `[a-z0-9][a-z0-9_-]*`.
    pub name: String,
    /// The project that it is a copy of.
    pub of: String,
}

impl Instance {
    /// The name of the copy as a project.
    pub fn project(&self) -> String {
        format!("{}-{}", self.of, self.name)
    }
}

/// Why a text names no instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not the name of an instance")]
pub struct BadInstance {
    /// What was given.
    pub given: String,
    /// The nearest good name; empty when there is none.
    pub near: String,
}

/// The instance that a text names; `auto` is named after the directory of the files. An empty text
/// names none.
pub fn instance(
    source: &dyn Source,
    text: &str,
    (project, directory): (&str, &Path),
) -> Result<Option<Instance>, BadInstance> {
    let name = match text {
        "" => return Ok(None),
        AUTO => automatic(&place(source, directory), project),
        _ if normal(text) == text => text.to_owned(),
        _ => {
            return Err(BadInstance {
                given: text.to_owned(),
                near: normal(text),
            });
        }
    };
    let of = project.to_owned();
    Ok(Some(Instance { name, of }))
}

/// The instance of the project that is loaded; what is wrong with its name is recorded.
pub(in crate::compose) fn found(
    source: &dyn Source,
    text: &str,
    place: (&str, &Path),
    problems: &mut Problems,
) -> Result<Option<Instance>, ()> {
    instance(source, text, place).map_err(|bad| {
        let diagnostic = problems.error(None, bad.to_string());
        let rule = "it has lower case letters, digits, `-` and `_`, and starts with a letter or \
                    digit; `auto` makes one from the directory";
        match bad.near.is_empty() {
            true => diagnostic.help(rule),
            false => diagnostic.help(format!("{rule}: `{}`", bad.near)),
        };
    })
}

/// What tells two copies of a project apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A linked working tree of git: its name is its own within the repository.
    WorkTree(String),
    /// A directory: the top of a repository, else where the files are.
    Directory(PathBuf),
}

/// A linked working tree has, in place of the directory `.git`, a file that says
/// `gitdir: …/.git/worktrees/<name>` (gitrepository-layout(5)). The branch is no help: it can change
/// while the containers run.
fn place(source: &dyn Source, directory: &Path) -> Place {
    let directory = source.canonical(directory);
    for top in directory.ancestors() {
        let git = top.join(".git");
        if source.is_dir(&git) {
            return Place::Directory(top.to_path_buf());
        }
        let Ok(bytes) = source.read(&git) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        return match work_tree(&text) {
            Some(name) => Place::WorkTree(name),
            None => Place::Directory(top.to_path_buf()),
        };
    }
    Place::Directory(directory)
}

fn work_tree(git_file: &str) -> Option<String> {
    let path = Path::new(git_file.trim().strip_prefix("gitdir:")?.trim());
    let is_linked = path.parent()?.file_name()? == "worktrees";
    let name = path.file_name()?.to_str()?;
    is_linked.then(|| name.to_owned())
}

/// The name without what the project's name says already. The hash of the directory comes with it
/// where the name alone does not tell directories apart.
fn automatic(place: &Place, project: &str) -> String {
    let (written, unique) = match place {
        Place::WorkTree(name) => (name.clone(), name.clone()),
        Place::Directory(path) => (
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            path.to_string_lossy().into_owned(),
        ),
    };
    let whole = normal(&written);
    let rest = whole.strip_prefix(project).unwrap_or(&whole);
    let is_part = rest.is_empty() || rest.len() == whole.len() || rest.starts_with(['-', '_']);
    let name = if is_part { rest } else { &whole };
    let name = name.trim_matches(['-', '_']);
    let lossless = whole == written.to_lowercase();
    if lossless && !name.is_empty() && name.len() <= LONGEST {
        return name.to_owned();
    }
    let hash = hash(&unique);
    // The letters are ASCII: any index is one between two of them.
    let short = name[..name.len().min(LONGEST - HASH - 1)].trim_end_matches(['-', '_']);
    match short.is_empty() {
        true => hash,
        false => format!("{short}-{hash}"),
    }
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    text[..HASH].to_owned()
}

/// `[a-z0-9][a-z0-9_-]*`: lower case, `-` for anything else.
fn normal(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for char in text.to_lowercase().chars() {
        match char {
            'a'..='z' | '0'..='9' | '_' => name.push(char),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.trim_matches(['-', '_']).to_owned()
}

/// The instance's own form of a name that the file gives to something of its own. A file that takes
/// the instance's name from a variable has put it there itself.
pub(in crate::compose) fn own_name(name: &str, instance: &Instance, from_variable: bool) -> String {
    let own = &instance.name;
    let edge = |char: Option<char>| char.is_none_or(|char| !char.is_ascii_alphanumeric());
    let is_word = |(at, word): (usize, &str)| {
        edge(name[..at].chars().next_back()) && edge(name[at + word.len()..].chars().next())
    };
    let has_it = name.contains(&instance.project())
        || from_variable && name.match_indices(own.as_str()).any(is_word);
    match has_it {
        true => name.to_owned(),
        false => format!("{name}-{own}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::ServiceNetwork;
    use crate::compose::source::MemorySource;
    use crate::compose::{LoadOptions, load};

    fn named(source: &MemorySource, text: &str, directory: &str) -> String {
        match instance(source, text, ("shop", Path::new(directory))) {
            Ok(Some(instance)) => instance.name,
            Ok(None) => "-".to_owned(),
            Err(bad) => format!("bad, {}", bad.near),
        }
    }

    #[test]
    fn a_given_name_is_taken_as_it_is_or_not_at_all() {
        let none = MemorySource::new();
        for (text, expected) in [
            ("feature", "feature"),
            ("a_b-1", "a_b-1"),
            ("", "-"),
            ("Feature X", "bad, feature-x"),
            ("-x", "bad, x"),
            ("../x", "bad, x"),
            ("/", "bad, "),
        ] {
            assert_eq!(named(&none, text, "/a/shop"), expected, "{text}");
        }
    }

    #[test]
    fn auto_is_the_work_tree_or_the_directory_with_a_hash_where_that_is_not_enough() {
        let linked = |name: &str| format!("gitdir: /src/shop/.git/worktrees/{name}\n");
        let source = MemorySource::new()
            .file("/src/shop/.git/HEAD", "ref: refs/heads/main")
            .file("/wt/one/.git", linked("shop-feature-x"))
            .file("/wt/one/deploy/stack.yaml", "")
            .file("/wt/two/.git", linked("shopping"))
            .file("/wt/three/.git", linked("Fix.login"))
            .file("/wt/four/.git", linked(&"long".repeat(10)))
            .file("/wt/sub/.git", "gitdir: ../.git/modules/sub")
            .file("/wt/broken/.git", "nonsense");
        for (directory, expected) in [
            ("/wt/one", "feature-x"),
            ("/wt/one/deploy", "feature-x"),
            ("/wt/two", "shopping"),
            ("/wt/three", "fix-login-ddbb2d"),
            ("/wt/four", "longlonglonglonglonglongl-df9a6a"),
            ("/wt/sub", "sub"),
            ("/wt/broken", "broken"),
            ("/src/shop", "3cb8c7"),
            ("/src/shop/deploy", "3cb8c7"),
            ("/other/shop", "0de42e"),
            ("/other/Copy", "copy"),
            ("/", "8a5eda"),
        ] {
            assert_eq!(named(&source, "auto", directory), expected, "{directory}");
        }
    }

    #[test]
    fn names_of_the_file_get_the_instances_unless_they_have_it() {
        let instance = Instance {
            name: "fix-1".to_owned(),
            of: "shop".to_owned(),
        };
        for (name, from_variable, expected) in [
            ("web", false, "web-fix-1"),
            ("shop-fix-1-web", false, "shop-fix-1-web"),
            ("web-fix-1", true, "web-fix-1"),
            ("fix-1.web", true, "fix-1.web"),
            ("fix-1.web", false, "fix-1.web-fix-1"),
            ("prefix-10", true, "prefix-10-fix-1"),
        ] {
            let own = own_name(name, &instance, from_variable);
            assert_eq!(own, expected, "{name} {from_variable}");
        }
    }

    fn loaded(text: &str, options: LoadOptions) -> crate::compose::Loaded {
        let source = MemorySource::new()
            .file("/a/shop/stack.yaml", text)
            .var("STACK_INSTANCE", "env");
        let working_dir = "/a/shop".into();
        let options = LoadOptions {
            working_dir,
            ..options
        };
        load(&source, &options).unwrap()
    }

    #[test]
    fn what_an_instance_makes_is_its_own_and_what_is_external_is_not() {
        let text = "
services:
  web:
    image: i
    container_name: the-web
    environment: {ME: $STACK_INSTANCE, PORT: $STACK_PORT_WEB_80}
    networks: [default, named, outside]
networks: {named: {name: net}, outside: {external: true}}
volumes: {data: , named: {name: vol}, outside: {external: true, name: out}}
";
        let variables = [("STACK_PORT_WEB_80".to_owned(), "8081".to_owned())];
        let options = LoadOptions {
            instance: Some("b".to_owned()),
            variables: variables.into_iter().collect(),
            ..LoadOptions::default()
        };
        let stack = loaded(text, options).stack;
        assert_eq!(stack.name.as_str(), "shop-b");
        let networks = stack.networks.values().map(|network| network.name.as_str());
        assert_eq!(
            networks.collect::<Vec<_>>(),
            ["net-b", "outside", "shop-b_default"]
        );
        let volumes = stack.unused_volumes.values();
        let volumes: Vec<&str> = volumes.map(|volume| volume.name.as_str()).collect();
        assert_eq!(volumes, ["shop-b_data", "vol-b", "out"]);
        let web = &stack.services["web"];
        // It takes the name of the variable from somewhere: that it is in the name is looked for.
        assert_eq!(web.container_name.as_deref(), Some("the-web-b"));
        assert_eq!(web.environment["ME"].as_deref(), Some("b"));
        assert_eq!(web.environment["PORT"].as_deref(), Some("8081"));
        let ServiceNetwork::Networks(networks) = &web.network else {
            panic!("{:?}", web.network);
        };
        assert!(networks.values().all(|at| at.aliases == ["the-web"]));
    }

    #[test]
    fn the_flag_wins_over_the_variable_and_a_given_project_name_over_that() {
        let text = "services: {web: {image: i}}";
        let name = |flag: Option<&str>, project: Option<&str>| {
            let options = LoadOptions {
                instance: flag.map(str::to_owned),
                project_name: project.map(str::to_owned),
                ..LoadOptions::default()
            };
            loaded(text, options).stack.name.to_string()
        };
        assert_eq!(name(None, None), "shop-env");
        assert_eq!(name(Some("b"), None), "shop-b");
        assert_eq!(name(Some(""), None), "shop");
        assert_eq!(name(None, Some("mine")), "mine");
        assert_eq!(name(Some("b"), Some("mine")), "mine-b");
    }
}
