//! Which project it is: its name, and which copy of it.

use std::path::Path;

use super::LoadOptions;
use crate::compose::diagnostic::Problems;
use crate::compose::layers::{Documents, Loader};
use crate::compose::project::Files;
use crate::compose::project::instance::{self, Instance};
use crate::compose::project::{self, Variables};
use crate::compose::source::Source;

/// The project that files and caller mean.
pub(super) struct Identity {
    /// Its name, that of the copy when it is one.
    pub(super) name: String,
    pub(super) instance: Option<Instance>,
}

impl Identity {
    /// Works it out from options, variables and what the files say.
    pub(super) fn find(
        (source, options): (&dyn Source, &LoadOptions),
        files: &Files,
        variables: &Variables,
        loader: &mut Loader<'_>,
    ) -> Option<Self> {
        let documents = loader.documents(&files.paths);
        let name = project_name(
            source,
            options,
            &documents,
            (&files.directory, variables),
            loader.problems,
        )?;
        drop(documents);
        let place = (name.as_str(), files.directory.as_path());
        let instance = which_instance(source, options, place, (variables, loader.problems))?;
        let name = instance.as_ref().map_or(name, Instance::project);
        Some(Self { name, instance })
    }

    /// Makes variables of it, and of what the program sets.
    pub(super) fn declare(&self, variables: &mut Variables, options: &LoadOptions) {
        variables.insert("COMPOSE_PROJECT_NAME".to_owned(), self.name.clone());
        if let Some(instance) = &self.instance {
            variables.insert(instance::VARIABLE.to_owned(), instance.name.clone());
        }
        for (variable, value) in &options.variables {
            let new = || value.clone();
            variables.entry(variable.clone()).or_insert_with(new);
        }
    }
}

/// The copy of the project that the caller asks for: by the option, or by the variable where the
/// project's name is not given.
fn which_instance(
    source: &dyn Source,
    options: &LoadOptions,
    place: (&str, &Path),
    (variables, problems): (&Variables, &mut Problems),
) -> Option<Option<Instance>> {
    let text = match (&options.instance, &options.project_name) {
        (Some(given), _) => given.clone(),
        (None, Some(_)) => return Some(None),
        (None, None) => {
            project::variable(source, variables, instance::VARIABLE).unwrap_or_default()
        }
    };
    instance::found(source, &text, place, problems).ok()
}

fn project_name(
    source: &dyn Source,
    options: &LoadOptions,
    documents: &[Documents],
    (directory, variables): (&Path, &Variables),
    problems: &mut Problems,
) -> Option<String> {
    let lookup = |name: &str| project::variable(source, variables, name);
    let given = [options.project_name.clone(), lookup("COMPOSE_PROJECT_NAME")];
    match project::chosen(&given, problems) {
        Some(name) => name.ok(),
        None => project::written(documents, directory, &lookup, problems),
    }
}
