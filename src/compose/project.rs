//! Which files make the project, where it lies, what it is called, and its variables.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::diagnostic::Problems;
use super::dotenv::{self, Scope};
use super::load::LoadOptions;
use super::reader;
use super::source::Source;

/// Names that are searched for, best first.
const FILE_NAMES: [&str; 6] = [
    "stack.yaml",
    "stack.yml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// Names of the files that are merged onto a file that was found by its name.
const OVERRIDE_NAMES: [&str; 6] = [
    "stack.override.yaml",
    "stack.override.yml",
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// Nothing can be loaded; why was recorded.
#[derive(Debug)]
pub(super) struct NoProject;

/// The files of a project.
#[derive(Debug)]
pub(super) struct Files {
    /// Absolute paths, `-` for standard input, in the order of merging.
    pub(super) paths: Vec<PathBuf>,
    /// Absolute; relative paths of the files start here.
    pub(super) directory: PathBuf,
}

/// Finds the files: given by options, by `COMPOSE_FILE`, or by a search that climbs up.
pub(super) fn find_files(
    source: &dyn Source,
    options: &LoadOptions,
    problems: &mut Problems,
) -> Result<Files, NoProject> {
    let mut given = options.files.clone();
    let variables = options_variables(source, options);
    let env = |name: &str| variable(source, &variables, name);
    if given.is_empty()
        && let Some(list) = env("COMPOSE_FILE").filter(|list| !list.is_empty())
    {
        let separator = env("COMPOSE_PATH_SEPARATOR")
            .filter(|separator| !separator.is_empty())
            .unwrap_or_else(|| ":".to_owned());
        given = list.split(separator.as_str()).map(PathBuf::from).collect();
    }
    let paths = if given.is_empty() {
        let start = match &options.project_directory {
            Some(directory) => absolute(&options.working_dir, directory),
            None => options.working_dir.clone(),
        };
        search(source, &start).ok_or_else(|| {
            problems
                .error(
                    None,
                    format!("there is no stack file in {} or above", start.display()),
                )
                .help("write a `stack.yaml` or `compose.yaml`, or name a file with `-f FILE`");
            NoProject
        })?
    } else {
        given
            .iter()
            .map(|path| match path.as_os_str() == "-" {
                true => path.clone(),
                false => absolute(&options.working_dir, path),
            })
            .collect()
    };
    let first = paths.iter().find(|path| path.as_os_str() != "-");
    let directory = match (
        &options.project_directory,
        first.and_then(|path| path.parent()),
    ) {
        (Some(directory), _) => absolute(&options.working_dir, directory),
        (None, Some(parent)) => parent.to_path_buf(),
        (None, None) => options.working_dir.clone(),
    };
    Ok(Files { paths, directory })
}

/// `.env` beside the caller may set `COMPOSE_FILE`; only what can be read without complaint counts
/// here, since the real reading comes when the project directory is known.
fn options_variables(source: &dyn Source, options: &LoadOptions) -> Variables {
    let directory = options
        .project_directory
        .as_ref()
        .map_or(options.working_dir.clone(), |directory| {
            absolute(&options.working_dir, directory)
        });
    let files = match options.env_files.as_slice() {
        [] => vec![directory.join(".env")],
        given => given
            .iter()
            .map(|path| absolute(&options.working_dir, path))
            .collect(),
    };
    let mut variables = Variables::new();
    for path in files {
        let Ok(bytes) = source.read(&path) else {
            continue;
        };
        if let Ok(text) = reader::decode(&bytes)
            && let Ok(read) = dotenv::parse(
                text,
                &Scope {
                    first: &|name| source.env(name),
                    last: &|_| None,
                },
            )
        {
            variables.extend(given_values(read.variables));
        }
    }
    variables
}

fn given_values(variables: dotenv::Variables) -> impl Iterator<Item = (String, String)> {
    variables
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}

fn search(source: &dyn Source, start: &Path) -> Option<Vec<PathBuf>> {
    start.ancestors().find_map(|directory| {
        let here = |name: &&str| source.is_file(&directory.join(name));
        let found = FILE_NAMES.iter().find(|name| here(name))?;
        let mut paths = vec![directory.join(found)];
        let is_ours = |name: &&&str| name.starts_with("stack") == found.starts_with("stack");
        paths.extend(
            OVERRIDE_NAMES
                .iter()
                .filter(is_ours)
                .find(|name| here(name))
                .map(|name| directory.join(name)),
        );
        Some(paths)
    })
}

/// Variables from files, for interpolation.
pub(super) type Variables = IndexMap<String, String>;

/// The value of a variable: the caller's environment wins over the files.
pub(super) fn variable(source: &dyn Source, files: &Variables, name: &str) -> Option<String> {
    source.env(name).or_else(|| files.get(name).cloned())
}

/// Reads `--env-file`, `COMPOSE_ENV_FILES` or the project directory's `.env`.
pub(super) fn read_variables(
    source: &dyn Source,
    options: &LoadOptions,
    directory: &Path,
    problems: &mut Problems,
) -> Variables {
    let mut given = options.env_files.clone();
    if given.is_empty()
        && let Some(list) = source
            .env("COMPOSE_ENV_FILES")
            .filter(|list| !list.is_empty())
    {
        given = list.split(',').map(PathBuf::from).collect();
    }
    let optional = given.is_empty();
    let paths = match optional {
        true => vec![directory.join(".env")],
        false => given
            .iter()
            .map(|path| absolute(&options.working_dir, path))
            .collect(),
    };
    let mut variables = Variables::new();
    for path in paths {
        let bytes = match source.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if optional && is_absent(&error) => continue,
            Err(error) => {
                problems.error(
                    None,
                    format!(
                        "the environment file {} cannot be read: {error}",
                        path.display()
                    ),
                );
                continue;
            }
        };
        let lookup = |name: &str| variable(source, &variables, name);
        let shown = display_path(&path, &options.working_dir);
        if let Some(read) = read_env_file(
            &bytes,
            shown,
            &Scope {
                first: &lookup,
                last: &|_| None,
            },
            problems,
        ) {
            variables.extend(given_values(read));
        }
    }
    variables
}

/// An optional file that is not there; a directory called `.env` (a Python habit) is none either.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
    )
}

/// Reads an environment file; problems point into it.
pub(super) fn read_env_file(
    bytes: &[u8],
    shown: PathBuf,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<dotenv::Variables> {
    let text = match reader::decode(bytes) {
        Ok(text) => text,
        Err(why) => {
            problems.error(None, format!("{}: {why}", shown.display()));
            return None;
        }
    };
    let parsed = dotenv::parse(text, scope);
    let silent = matches!(&parsed, Ok(read) if read.unset.is_empty());
    let file = match silent {
        true => None,
        false => problems.sources.add(shown, Arc::from(text)),
    };
    let span = |range: std::ops::Range<usize>| {
        let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let whole = super::diagnostic::Span {
            file: file?,
            start: 0,
            end,
        };
        Some(whole.part(range))
    };
    match parsed {
        Ok(read) => {
            for unset in read.unset {
                let name = unset.name;
                problems
                    .warn(
                        span(unset.range),
                        format!("the variable `{name}` is not set"),
                    )
                    .label("becomes an empty text");
            }
            Some(read.variables)
        }
        Err(error) => {
            problems.error(span(error.range), error.kind.to_string());
            None
        }
    }
}

/// The project's name from the options, the variables or the file; else from its directory.
pub(super) fn name(
    given: &[Option<String>],
    directory: &Path,
    problems: &mut Problems,
) -> Option<String> {
    if let Some(name) = given.iter().flatten().find(|name| !name.is_empty()) {
        if is_project_name(name) {
            return Some(name.clone());
        }
        let normal = normalize(name);
        let diagnostic = problems.error(None, format!("`{name}` is not a project name"));
        let rule = "a project name has lower case letters, digits, `-` and `_`, \
                    and starts with a letter or digit";
        match normal.is_empty() {
            true => diagnostic.help(rule),
            false => diagnostic.help(format!("{rule}: `{normal}`")),
        };
        return None;
    }
    let base = directory.file_name().unwrap_or_default().to_string_lossy();
    let normal = normalize(&base);
    if normal.is_empty() {
        problems
            .error(None, "the project has no name")
            .help("name it with `-p NAME`, `COMPOSE_PROJECT_NAME`, or `name:` in the stack file");
        return None;
    }
    Some(normal)
}

/// `[a-z0-9][a-z0-9_-]*`
pub(super) fn is_project_name(name: &str) -> bool {
    !name.is_empty() && normalize(name) == name
}

/// Lower case; what may not be in a name is left out, as Docker Compose does.
pub(super) fn normalize(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

/// A path without `.` and `..`, from a base directory when it is relative.
pub(super) fn absolute(base: &Path, path: &Path) -> PathBuf {
    clean(&base.join(path))
}

/// Takes `.`, `..` and doubled slashes out, by the text alone.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if matches!(
                    cleaned.components().next_back(),
                    None | Some(Component::ParentDir)
                ) {
                    cleaned.push("..");
                } else {
                    cleaned.pop();
                }
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

/// How a path is shown: relative to the caller's directory when it lies below.
pub(super) fn display_path(path: &Path, working_dir: &Path) -> PathBuf {
    match path.strip_prefix(working_dir) {
        Ok(relative) if !relative.as_os_str().is_empty() => relative.to_path_buf(),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::source::MemorySource;

    fn found(files: &[&str], options: LoadOptions) -> Vec<String> {
        let source = files
            .iter()
            .fold(MemorySource::new(), |source, file| source.file(*file, ""));
        find_files(&source, &options, &mut Problems::default())
            .map(|files| {
                files
                    .paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect()
            })
            .unwrap_or_default()
    }

    fn from(directory: &str) -> LoadOptions {
        LoadOptions {
            working_dir: directory.into(),
            ..LoadOptions::default()
        }
    }

    #[test]
    fn files_are_searched_upwards_with_their_overrides() {
        let all = [
            "/a/compose.yaml",
            "/a/docker-compose.yml",
            "/a/compose.override.yml",
            "/a/stack.override.yml",
            "/a/b/c/x",
        ];
        assert_eq!(
            found(&all, from("/a/b/c")),
            ["/a/compose.yaml", "/a/compose.override.yml"]
        );
        let ours = ["/a/compose.yaml", "/a/stack.yml", "/a/stack.override.yml"];
        assert_eq!(
            found(&ours, from("/a")),
            ["/a/stack.yml", "/a/stack.override.yml"]
        );
        assert!(found(&["/b/compose.yaml"], from("/a")).is_empty());
    }

    #[test]
    fn named_files_are_taken_as_they_are() {
        let options = LoadOptions {
            files: vec!["x.yaml".into(), "../y.yaml".into(), "-".into()],
            ..from("/a/b")
        };
        assert_eq!(found(&[], options), ["/a/b/x.yaml", "/a/y.yaml", "-"]);
    }

    #[test]
    fn names_are_normalized_only_when_nobody_chose_them() {
        let mut problems = Problems::default();
        let name = |given: &[Option<String>], directory: &str, problems: &mut Problems| {
            name(given, Path::new(directory), problems)
        };
        assert_eq!(
            name(&[None], "/x/My.App_1", &mut problems).as_deref(),
            Some("myapp_1")
        );
        let chosen = Some("shop".to_owned());
        assert_eq!(
            name(&[None, chosen], "/x", &mut problems).as_deref(),
            Some("shop")
        );
        assert!(!problems.has_errors());
        assert_eq!(name(&[Some("Shop".to_owned())], "/x", &mut problems), None);
        assert_eq!(name(&[None], "/", &mut problems), None);
    }

    #[test]
    fn paths_are_cleaned_by_their_text() {
        for (path, expected) in [("/a/../b/./c//d/", "/b/c/d"), ("/..", "/"), ("a/..", "")] {
            assert_eq!(clean(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
