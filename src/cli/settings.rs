//! `COMPOSE_` variables of the project's `.env`, which say how commands talk. They are wanted before
//! anything of the project is loaded; what is wrong with the file is told when it is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::args::Global;
use crate::compose::read_variables;
use crate::ui::terminal::says_yes;

/// Reads them from the files that the flags and the environment name, else from the `.env` of the
/// project's directory. What the environment has is not asked for here.
pub(super) fn read(
    global: &Global,
    working_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> HashMap<String, String> {
    let mut settings = HashMap::new();
    for file in files(global, working_dir, env) {
        let Ok(text) = std::fs::read_to_string(file) else {
            continue;
        };
        // Most files have none.
        if text.contains("COMPOSE_") {
            let found = read_variables(&text, env).unwrap_or_default();
            settings.extend(
                found
                    .into_iter()
                    .filter(|(name, _)| name.starts_with("COMPOSE_")),
            );
        }
    }
    settings
}

fn files(
    global: &Global,
    working_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<PathBuf> {
    let named = env("COMPOSE_ENV_FILES").unwrap_or_default();
    let named = named.split(',').filter(|name| !name.is_empty());
    let mut files: Vec<PathBuf> = match global.env_files.is_empty() {
        true => named.map(PathBuf::from).collect(),
        false => global.env_files.clone(),
    };
    if files.is_empty() && !env("COMPOSE_DISABLE_ENV_FILE").is_some_and(|value| says_yes(&value)) {
        let first = global.files.first().filter(|file| file.as_os_str() != "-");
        let dir = global.project_directory.as_deref();
        let dir = dir.or_else(|| first?.parent()).unwrap_or(Path::new(""));
        files.push(dir.join(".env"));
    }
    files.iter().map(|file| working_dir.join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_those_that_the_project_has_its_variables_from() {
        let found = |change: &dyn Fn(&mut Global), variables: &[(&str, &str)]| {
            let mut global = Global::default();
            change(&mut global);
            let env = |name: &str| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let files = files(&global, Path::new("/at"), &env);
            let files = files.iter().map(|file| file.display().to_string());
            files.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&|_| {}, &[]), "/at/.env");
        let in_sub = |global: &mut Global| global.files = vec!["sub/compose.yaml".into()];
        assert_eq!(found(&in_sub, &[]), "/at/sub/.env");
        let elsewhere = |global: &mut Global| {
            in_sub(global);
            global.project_directory = Some("/else".into());
        };
        assert_eq!(found(&elsewhere, &[]), "/else/.env");
        let named = ("COMPOSE_ENV_FILES", "a,b");
        assert_eq!(found(&in_sub, &[named]), "/at/a /at/b");
        let given = |global: &mut Global| global.env_files = vec!["c".into()];
        assert_eq!(found(&given, &[named]), "/at/c");
        assert_eq!(found(&|_| {}, &[("COMPOSE_DISABLE_ENV_FILE", "1")]), "");
    }

    #[test]
    fn only_variables_of_compose_are_settings() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".env"), "A=1\nCOMPOSE_ANSI=never\n").unwrap();
        let settings = read(&Global::default(), dir.path(), &|_| None);
        assert_eq!(
            settings,
            [("COMPOSE_ANSI".to_owned(), "never".to_owned())].into()
        );
    }
}
