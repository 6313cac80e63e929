//! What the project is called.

use std::path::Path;

use crate::compose::diagnostic::Problems;
use crate::compose::layers::Documents;
use crate::compose::template::{self, Lookup};

/// The variable that has the project's name, for all else that stands in the files.
const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// The name that the caller chose, by an option or a variable; it has to be right as it is.
pub(in crate::compose) fn chosen(
    given: &[Option<String>],
    problems: &mut Problems,
) -> Option<Result<String, ()>> {
    let name = given.iter().flatten().find(|name| !name.is_empty())?;
    if is_project_name(name) {
        return Some(Ok(name.clone()));
    }
    let normal = normalize(name);
    let diagnostic = problems.error(None, format!("`{name}` is not a project name"));
    let rule = "a project name has lower case letters, digits, `-` and `_`, \
                and starts with a letter or digit";
    match normal.is_empty() {
        true => diagnostic.help(rule),
        false => diagnostic.help(format!("{rule}: `{normal}`")),
    };
    Some(Err(()))
}

/// The name that the files give: that of the last one that has any, with variables and normalized;
/// else that of the project's directory.
pub(in crate::compose) fn written(
    documents: &[Documents],
    directory: &Path,
    lookup: &Lookup<'_>,
    problems: &mut Problems,
) -> Option<String> {
    let mut names = documents
        .iter()
        .rev()
        .flat_map(|file| file.iter().rev())
        .filter_map(|document| document.get("name"));
    let last = names.find(|node| node.as_text().is_some_and(|text| !text.is_empty()));
    let base = directory.file_name().unwrap_or_default().to_string_lossy();
    let name = match last {
        // What is wrong with the template is told when the whole file is interpolated.
        Some(node) => {
            let text = node.as_text().unwrap_or_default();
            let mut unset = Vec::new();
            let expanded = template::expand(text, lookup, &mut unset);
            // Of all others it is told then, too.
            if unset.iter().any(|unset| unset.name == PROJECT_NAME) {
                problems
                    .warn(
                        node.span,
                        format!("the variable `{PROJECT_NAME}` is not set"),
                    )
                    .label("it is set from this name");
            }
            normalize(&expanded.unwrap_or_default())
        }
        None => normalize(&base),
    };
    if name.is_empty() {
        problems
            .error(last.map(|node| node.span), "the project has no name")
            .help("name it with `-p NAME`, `COMPOSE_PROJECT_NAME`, or `name:` in the stack file");
        return None;
    }
    Some(name)
}

/// `[a-z0-9][a-z0-9_-]*`
fn is_project_name(name: &str) -> bool {
    !name.is_empty() && normalize(name) == name
}

/// Lower case; what may not be in a name is left out, as Docker Compose does.
fn normalize(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_only_when_nobody_chose_them() {
        let mut problems = Problems::default();
        let none = |_: &str| None;
        let directory =
            |path: &str, problems: &mut Problems| written(&[], Path::new(path), &none, problems);
        assert_eq!(
            directory("/x/My.App_1", &mut problems).as_deref(),
            Some("myapp_1")
        );
        let given = [None, Some("shop".to_owned())];
        assert_eq!(chosen(&given, &mut problems), Some(Ok("shop".to_owned())));
        assert_eq!(chosen(&[None], &mut problems), None);
        assert!(!problems.has_errors());
        let given = [Some("Shop".to_owned())];
        assert_eq!(chosen(&given, &mut problems), Some(Err(())));
        assert_eq!(directory("/", &mut problems), None);
    }
}
