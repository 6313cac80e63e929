//! Variables from environment files, for the templates of stack files.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::files::NoProject;
use super::{absolute, clean, display_path};
use crate::compose::decode::decode;
use crate::compose::diagnostic::{Problems, Span};
use crate::compose::dotenv::{self, Scope};
use crate::compose::load::LoadOptions;
use crate::compose::source::Source;

/// Variables from files, for interpolation.
pub(in crate::compose) type Variables = IndexMap<String, String>;

/// The value of a variable: the caller's environment wins over the files.
pub(in crate::compose) fn variable(
    source: &dyn Source,
    files: &Variables,
    name: &str,
) -> Option<String> {
    source.env(name).or_else(|| files.get(name).cloned())
}

/// The variables that there are without any file: where we are called, if the caller does not say.
/// (Docker Compose sets it, for a caller that is no shell.)
fn given(source: &dyn Source, options: &LoadOptions) -> Variables {
    let mut variables = Variables::new();
    if source.env("PWD").is_none() {
        let here = clean(&options.working_dir).to_string_lossy().into_owned();
        variables.insert("PWD".to_owned(), here);
    }
    variables
}

/// The environment files that are named by options or by the caller's `COMPOSE_ENV_FILES`.
fn named(source: &dyn Source, options: &LoadOptions) -> Vec<PathBuf> {
    let mut given = options.env_files.clone();
    if given.is_empty()
        && let Some(list) = source.env("COMPOSE_ENV_FILES")
        && !list.is_empty()
    {
        given = list.split(',').map(PathBuf::from).collect();
    }
    let paths = given
        .iter()
        .map(|path| absolute(&options.working_dir, path));
    paths.collect()
}

/// Reads the environment files that are named, else the `.env` of a directory.
pub(super) fn read(
    source: &dyn Source,
    options: &LoadOptions,
    directory: &Path,
    problems: &mut Problems,
) -> Result<Variables, NoProject> {
    let given = given(source, options);
    let files = named(source, options);
    if !files.is_empty() {
        let shown = files.iter().map(|path| {
            let path = display_path(path, &options.working_dir);
            format!("`{}`", path.display())
        });
        problems.variable_files = Some(shown.collect::<Vec<_>>().join(", "));
    }
    let mut variables = Variables::new();
    for path in files {
        let bytes = match source.read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let path = path.display();
                let message = format!("the environment file {path} cannot be read: {error}");
                problems.error(None, message);
                continue;
            }
        };
        let shown = display_path(&path, &options.working_dir);
        let scope = Scope {
            first: &|name| variable(source, &given, name),
            last: &|name| variables.get(name).cloned(),
        };
        if let Some(read) = read_env_file(&bytes, shown, &scope, problems) {
            problems.variable_places.extend(read.places);
            variables.extend(given_values(read.variables));
        }
    }
    variables.extend(given);
    read_beside(source, options, directory, &mut variables, problems)?;
    Ok(variables)
}

/// Adds what a directory's `.env` has that is not known yet, unless other files are named.
pub(super) fn read_beside(
    source: &dyn Source,
    options: &LoadOptions,
    directory: &Path,
    variables: &mut Variables,
    problems: &mut Problems,
) -> Result<(), NoProject> {
    if !named(source, options).is_empty() || is_disabled(source, problems)? {
        return Ok(());
    }
    let path = directory.join(".env");
    let bytes = match source.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => {
            let path = path.display();
            let message = format!("the environment file {path} cannot be read: {error}");
            problems.error(None, message);
            return Ok(());
        }
    };
    let lookup = |name: &str| variable(source, variables, name);
    let scope = Scope {
        first: &lookup,
        last: &|_| None,
    };
    let shown = display_path(&path, &options.working_dir);
    if let Some(read) = read_env_file(&bytes, shown, &scope, problems) {
        for (name, place) in read.places {
            problems.variable_places.entry(name).or_insert(place);
        }
        for (name, value) in given_values(read.variables) {
            variables.entry(name).or_insert(value);
        }
    }
    Ok(())
}

/// `COMPOSE_DISABLE_ENV_FILE`, in the notations of Go's `strconv.ParseBool`.
fn is_disabled(source: &dyn Source, problems: &mut Problems) -> Result<bool, NoProject> {
    const VARIABLE: &str = "COMPOSE_DISABLE_ENV_FILE";
    let Some(value) = source.env(VARIABLE) else {
        return Ok(false);
    };
    match value.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => {
            problems
                .error(None, format!("`{VARIABLE}` is no boolean: `{value}`"))
                .help("it is `true` or `false`");
            Err(NoProject)
        }
    }
}

pub(in crate::compose) fn given_values(
    variables: dotenv::Variables,
) -> impl Iterator<Item = (String, String)> {
    variables
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}

/// An optional file that is not there; a directory called `.env` (a Python habit) is none either.
pub(in crate::compose) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
    )
}

/// What a file of variables says.
#[derive(Debug, Default)]
pub(in crate::compose) struct EnvFile {
    pub(in crate::compose) variables: dotenv::Variables,
    /// Where each of them is written; empty unless the load is traced.
    pub(in crate::compose) places: HashMap<String, Span>,
}

/// Reads an environment file; problems point into it.
pub(in crate::compose) fn read_env_file(
    bytes: &[u8],
    shown: PathBuf,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<EnvFile> {
    let text = match decode(bytes) {
        Ok(text) => text,
        Err(why) => {
            problems.error(None, format!("{}: {why}", shown.display()));
            return None;
        }
    };
    EnvFile::read(dotenv::parse(&text, scope), &text, shown, problems)
}

impl EnvFile {
    /// Records what is wrong with a file, and which variables it uses that have no value.
    pub(in crate::compose) fn read(
        read: Result<dotenv::Dotenv, dotenv::DotenvError>,
        text: &str,
        shown: PathBuf,
        problems: &mut Problems,
    ) -> Option<Self> {
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                let whole = whole(text, shown, problems);
                let span = whole.map(|whole| whole.part(error.range));
                problems.error(span, error.kind.to_string());
                return None;
            }
        };
        let whole = match problems.trace || !read.unset.is_empty() {
            true => whole(text, shown, problems),
            false => None,
        };
        for unset in read.unset {
            let name = unset.name;
            problems
                .warn(
                    whole.map(|whole| whole.part(unset.range)),
                    format!("the variable `{name}` is not set"),
                )
                .label("becomes an empty text");
        }
        let places = match whole.filter(|_| problems.trace) {
            Some(whole) => read
                .places
                .into_iter()
                .map(|(name, range)| (name, whole.part(range)))
                .collect(),
            None => HashMap::new(),
        };
        Some(Self {
            variables: read.variables,
            places,
        })
    }
}

/// Keeps the text of a file; the span covers all of it.
fn whole(text: &str, shown: PathBuf, problems: &mut Problems) -> Option<Span> {
    Some(Span {
        file: problems.sources.add_env_file(shown, Arc::from(text))?,
        start: 0,
        end: u32::try_from(text.len()).unwrap_or(u32::MAX),
    })
}
