//! Finding the files of the project, and the variables beside them.

use std::path::{Path, PathBuf};

use super::variables::{Variables, read, read_beside};
use super::{absolute, display_path, variable};
use crate::compose::diagnostic::Problems;
use crate::compose::load::LoadOptions;
use crate::compose::source::Source;

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
pub(in crate::compose) struct NoProject;

/// The files of a project.
#[derive(Debug)]
pub(in crate::compose) struct Files {
    /// Absolute paths, `-` for standard input, in the order of merging.
    pub(in crate::compose) paths: Vec<PathBuf>,
    /// Absolute; relative paths of the files start here.
    pub(in crate::compose) directory: PathBuf,
}

/// Finds the files: given by options, by `COMPOSE_FILE`, or by a search that climbs up.
///
/// The variables come from the environment files that are named, else from `.env`: first from the one
/// beside the files that are named to us (where we are called, when none is), for it may say which
/// the files are; then from that of the project directory, which has only what is left. A named file
/// counts whatever `.env` may say, since Docker Compose looks for it before it has read any.
pub(in crate::compose) fn find(
    source: &dyn Source,
    options: &LoadOptions,
    problems: &mut Problems,
) -> Result<(Files, Variables), NoProject> {
    let start = directory_of(options, &options.files);
    let mut variables = read(source, options, &start, problems)?;
    let paths = paths(source, options, &variables, problems)?;
    let directory = directory_of(options, &paths);
    if directory != start {
        read_beside(source, options, &directory, &mut variables, problems)?;
    }
    Ok((Files { paths, directory }, variables))
}

/// The project directory: as given, else that of the first file, else where we are called.
fn directory_of(options: &LoadOptions, files: &[PathBuf]) -> PathBuf {
    if let Some(directory) = &options.project_directory {
        return absolute(&options.working_dir, directory);
    }
    let first = files.iter().find(|path| path.as_os_str() != "-");
    let first = first.map(|path| absolute(&options.working_dir, path));
    match first.as_deref().and_then(Path::parent) {
        Some(parent) => parent.to_path_buf(),
        None => options.working_dir.clone(),
    }
}

fn paths(
    source: &dyn Source,
    options: &LoadOptions,
    variables: &Variables,
    problems: &mut Problems,
) -> Result<Vec<PathBuf>, NoProject> {
    let env = |name: &str| variable(source, variables, name);
    let mut given = options.files.clone();
    if given.is_empty()
        && let Some(list) = env("COMPOSE_FILE")
    {
        let separator = env("COMPOSE_PATH_SEPARATOR")
            .filter(|separator| !separator.is_empty())
            .unwrap_or_else(|| ":".to_owned());
        if list.is_empty() {
            problems
                .error(None, "`COMPOSE_FILE` is set, but names no file")
                .help("take it away, or write the name of a stack file");
            return Err(NoProject);
        }
        given = list.split(separator.as_str()).map(PathBuf::from).collect();
    }
    if given.is_empty() {
        return search_from(source, options, problems);
    }
    let named = given.iter().map(|path| match path.as_os_str() == "-" {
        true => path.clone(),
        false => absolute(&options.working_dir, path),
    });
    Ok(named.collect())
}

fn search_from(
    source: &dyn Source,
    options: &LoadOptions,
    problems: &mut Problems,
) -> Result<Vec<PathBuf>, NoProject> {
    let start = directory_of(options, &[]);
    let Some(found) = search(source, &start) else {
        problems
            .error(
                None,
                format!(
                    "no configuration file provided: not found in {} or above",
                    start.display()
                ),
            )
            .help("write a `stack.yaml` or `compose.yaml`, or name a file with `-f FILE`");
        return Err(NoProject);
    };
    warn_of_others(source, options, &found, problems);
    Ok(found)
}

/// Says which of several files was taken.
fn warn_of_others(
    source: &dyn Source,
    options: &LoadOptions,
    found: &[PathBuf],
    problems: &mut Problems,
) {
    let kinds: [&[&str]; 2] = [&FILE_NAMES, &OVERRIDE_NAMES];
    for (taken, names) in found.iter().zip(kinds) {
        let Some(directory) = taken.parent() else {
            continue;
        };
        let others: Vec<String> = names
            .iter()
            .map(|name| directory.join(name))
            .filter(|path| path != taken && source.is_file(path))
            .filter(|path| !found.contains(path))
            .map(|path| shown(&path, options))
            .collect();
        if !others.is_empty() {
            let taken = shown(taken, options);
            let others = others.join(", ");
            problems.warn(None, format!("{taken} is used, not {others}"));
        }
    }
}

fn shown(path: &Path, options: &LoadOptions) -> String {
    display_path(path, &options.working_dir)
        .display()
        .to_string()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::source::MemorySource;

    fn found(files: &[&str], options: LoadOptions) -> Vec<String> {
        let source = files
            .iter()
            .fold(MemorySource::new(), |source, file| source.file(*file, ""));
        find(&source, &options, &mut Problems::default())
            .map(|(files, _)| {
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
}
