//! One directory of `tests/compose`: what it holds and what we make of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compose::config::{self, ConfigCommand, ConfigError, Format, Output};
use crate::compose::load::{Loaded, load};
use crate::compose::source::MemorySource;

/// Where a case lies when it is loaded, here as for Docker Compose.
const PLACE: &str = "/srv/case";

/// A case, read into memory.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// `KEY=value`.
    env: Vec<String>,
    arguments: Vec<String>,
    /// A directory of the case.
    cwd: PathBuf,
}

impl Case {
    fn read(directory: &Path) -> Self {
        let mut files = BTreeMap::new();
        read_files(directory, Path::new(""), &mut files);
        let mut lines = |name: &str| -> Vec<String> {
            let text = files.remove(Path::new(name)).unwrap_or_default();
            let text = String::from_utf8(text).unwrap();
            text.lines().map(str::to_owned).collect()
        };
        let (env, arguments) = (lines("env"), lines("args"));
        let cwd = lines("cwd").first().map(PathBuf::from).unwrap_or_default();
        files.retain(|path, _| !path.to_string_lossy().starts_with("expected."));
        Self {
            name: directory
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned(),
            directory: directory.to_owned(),
            files,
            env,
            arguments,
            cwd,
        }
    }

    /// A golden file, if the case has it.
    pub(super) fn golden(&self, name: &str) -> Option<String> {
        let path = self.directory.join(name);
        path.exists().then(|| {
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        })
    }

    /// The text of its stack files, and of other YAML.
    pub(super) fn yaml_files(&self) -> impl Iterator<Item = &str> {
        let is_yaml = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        self.files
            .iter()
            .filter(move |(path, _)| is_yaml(path))
            .filter_map(|(_, content)| str::from_utf8(content).ok())
    }

    /// Files and environment as Docker Compose had them.
    pub(super) fn source(&self) -> MemorySource {
        let cwd = Path::new(PLACE).join(&self.cwd);
        let source = MemorySource::new()
            .var("HOME", "/home/me")
            .var("PWD", cwd.to_string_lossy().trim_end_matches('/'));
        let source = self.files.iter().fold(source, |source, (path, content)| {
            source.file(Path::new(PLACE).join(path), content.clone())
        });
        self.env.iter().fold(source, |source, line| {
            let (name, value) = line.split_once('=').expect("`env` has lines KEY=value");
            source.var(name, value)
        })
    }

    /// The command that the case's arguments say, or what is wrong with them.
    pub(super) fn command(&self) -> Result<ConfigCommand, String> {
        let directory = Path::new(PLACE).join(&self.cwd);
        let mut command = config::parse(&self.arguments, &directory.to_string_lossy())?;
        command.options.stdin = self.files.get(Path::new("stdin")).cloned();
        Ok(command)
    }

    /// What `config` says to it.
    pub(super) fn run(&self, format: Option<Format>) -> Result<Output, ConfigError> {
        let mut command = self.command().unwrap();
        command.format = command.format.or(format);
        command.run(&self.source())
    }

    /// Its model, when it loads without arguments that change what is printed.
    pub(super) fn load(&self) -> Option<Loaded> {
        let command = self.command().ok()?;
        let whole = ConfigCommand {
            options: command.options.clone(),
            ..ConfigCommand::default()
        };
        (command == whole && command.options.skip == Default::default())
            .then(|| load(&self.source(), &command.options).ok())?
    }
}

fn read_files(root: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        match root.join(&path).is_dir() {
            true => read_files(root, &path, files),
            false => {
                files.insert(path.clone(), fs::read(root.join(&path)).unwrap());
            }
        }
    }
}

/// `tests/compose`.
pub(super) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose")
}

/// All cases, by name.
pub(super) fn cases() -> Vec<Case> {
    let mut directories: Vec<PathBuf> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    directories.iter().map(|path| Case::read(path)).collect()
}
