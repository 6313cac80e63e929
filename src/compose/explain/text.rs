//! Explanations as text for people.

use std::fmt;

use super::{
    EnvVariable, Explanation, FromImage, Looked, Origin, Place, Shadowed, VariableOrigin,
    VariableUse,
};
use crate::compose::diagnostic::printable;
use crate::compose::render::yaml_scalar;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value alone: all that is known of it. A mapping or a list: one line for each value in it.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => {
                writeln!(f, "{} = {}", self.path, printable(value.clone()))?;
                self.origin.write(f)?;
                write_variables(f, &self.variables)?;
                write_shadowed(f, &self.shadowed)
            }
            None => {
                if !self.path.is_empty() {
                    let mut files = Vec::new();
                    self.files(&mut files);
                    match files.is_empty() {
                        true => writeln!(f, "{}: in none of the files", self.path)?,
                        false => writeln!(f, "{}: from {}", self.path, files.join(", "))?,
                    }
                }
                self.write_table(f)
            }
        }
    }
}

/// One row of the table of a mapping's values.
struct Row {
    name: String,
    value: String,
    origin: String,
}

fn write_rows(out: &mut impl fmt::Write, rows: &[Row], indent: &str) -> fmt::Result {
    // One long value must not push all the others to the right.
    let width = |cell: fn(&Row) -> &str, most: usize| {
        let widths = rows.iter().map(|row| cell(row).chars().count());
        widths.filter(|width| *width <= most).max().unwrap_or(0)
    };
    let (names, values) = (width(|row| &row.name, 40), width(|row| &row.value, 50));
    for row in rows {
        let (name, value, origin) = (&row.name, &row.value, &row.origin);
        writeln!(out, "{indent}{name:names$}  {value:values$}  {origin}")?;
    }
    Ok(())
}

impl Explanation {
    fn write_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = Vec::new();
        self.rows(&self.path, &mut rows);
        write_rows(f, &rows, "  ")
    }

    /// The files that say something of it, each once.
    fn files<'a>(&'a self, files: &mut Vec<&'a str>) {
        for part in &self.parts {
            part.files(files);
        }
        let file = match &self.origin {
            Origin::File(place) | Origin::EnvFile(place) | Origin::ShortForm(place) => &place.file,
            Origin::Anchor { place, .. } | Origin::Inherited { place, .. } => &place.file,
            Origin::Default | Origin::Project { .. } => return,
        };
        if self.parts.is_empty() && !files.contains(&file.as_str()) {
            files.push(file);
        }
    }

    fn rows(&self, top: &str, rows: &mut Vec<Row>) {
        for part in &self.parts {
            part.rows(top, rows);
        }
        if let Some(value) = &self.value {
            let name = self.path.strip_prefix(top).unwrap_or(&self.path);
            rows.push(Row {
                name: printable(name.trim_start_matches('.')),
                value: printable(value.clone()),
                origin: self.in_short(),
            });
        }
    }

    fn in_short(&self) -> String {
        let mut text = self.origin.in_short();
        let names: Vec<&str> = self.variables.iter().map(|v| v.name.as_str()).collect();
        if !names.is_empty() {
            text.push_str(&format!(", with {}", names.join(", ")));
        }
        if let Some(first) = self.shadowed.first() {
            text.push_str(&format!(", over {}", first.place));
        }
        text
    }
}

impl Origin {
    fn in_short(&self) -> String {
        match self {
            Self::File(place) | Self::EnvFile(place) | Self::ShortForm(place) => place.to_string(),
            Self::Anchor { place, .. } => format!("{place} (anchor)"),
            Self::Inherited { place, value_of } => {
                format!("{place}, value from {}", value_of.in_short())
            }
            Self::Default => "default of Compose".to_owned(),
            Self::Project { source } => source.clone(),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => write_place(f, place, ""),
            Self::EnvFile(place) => write_place(f, place, ""),
            Self::ShortForm(place) => write_place(f, place, "  (short form)"),
            Self::Anchor { place, used_at } => {
                write_place(f, place, "")?;
                writeln!(f, "    came to {used_at} by an anchor: {}", source(used_at))
            }
            Self::Inherited { place, value_of } => {
                write_place(f, place, "")?;
                writeln!(
                    f,
                    "    only named there; the value is from {}",
                    value_of.in_short()
                )
            }
            Self::Default => writeln!(f, "  default of Compose: no file says it"),
            Self::Project { source } => writeln!(f, "  from {source}"),
        }
    }
}

impl VariableOrigin {
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::Shell { shadowed: None } => "the environment of the caller".to_owned(),
            Self::Shell {
                shadowed: Some(place),
            } => format!(
                "the environment of the caller, over {}:{}",
                place.file, place.line
            ),
            Self::File(place) => format!("{}:{}", place.file, place.line),
            Self::Project => "the name of the project".to_owned(),
            Self::Unset => "nowhere: it is not set".to_owned(),
        }
    }
}

fn source(place: &Place) -> String {
    printable(place.source.clone())
}

fn write_place(f: &mut fmt::Formatter<'_>, place: &Place, note: &str) -> fmt::Result {
    writeln!(f, "  {place}  {}{note}", source(place))
}

fn write_variables(f: &mut fmt::Formatter<'_>, variables: &[VariableUse]) -> fmt::Result {
    for variable in variables {
        let name = &variable.name;
        match &variable.value {
            Some(value) => writeln!(
                f,
                "    {name} = {} from {}",
                printable(yaml_scalar(value)),
                variable.origin.in_short()
            )?,
            None => match variable.fallback.as_deref() {
                Some(fallback) if fallback.starts_with('-') => writeln!(
                    f,
                    "    {name} is not set: the text after the `-` counts, `{}`",
                    printable(&fallback[1..])
                )?,
                _ => writeln!(f, "    {name} is not set")?,
            },
        }
    }
    Ok(())
}

pub(super) fn write_shadowed(f: &mut fmt::Formatter<'_>, shadowed: &[Shadowed]) -> fmt::Result {
    if !shadowed.is_empty() {
        writeln!(f, "  instead of, the nearest first:")?;
    }
    for Shadowed { layer, place } in shadowed {
        let what = match *layer {
            "file" => "",
            "extends" => "  (in the service that is extended)",
            "include" => "  (in an included file)",
            "list" => "  (further up in the list)",
            "env_file" => "  (environment file)",
            _ => "  (by a merge key)",
        };
        writeln!(f, "    {place}  {}{what}", source(place))?;
    }
    Ok(())
}

/// All that is known of a variable.
impl fmt::Display for EnvVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, name, .. } = self;
        match &self.value {
            Some(value) => writeln!(f, "{service}: {name} = {}", printable(yaml_scalar(value)))?,
            None => writeln!(f, "{service}: {name} is not set")?,
        }
        let image = self.image.as_ref();
        if let Some(Explanation {
            origin,
            variables,
            shadowed,
            ..
        }) = &self.explanation
        {
            origin.write(f)?;
            if self.value.is_none() {
                writeln!(
                    f,
                    "    only named there, and the caller has no value: it is not set"
                )?;
            }
            write_variables(f, variables)?;
            write_shadowed(f, shadowed)?;
            if let Some(value) = image.and_then(|image| image.value.as_ref()) {
                if shadowed.is_empty() {
                    writeln!(f, "  instead of:")?;
                }
                let name = image.map_or("", |image| image.name.as_str());
                let value = printable(yaml_scalar(value));
                writeln!(f, "    {value}, the default of the image {name}")?;
            }
        } else if let (Some(image), Some(_)) = (image, &self.value) {
            writeln!(f, "  default of the image {}", image.name)?;
        }
        match &self.looked {
            Some(looked) => looked.write(f, name, image),
            None => Ok(()),
        }
    }
}

impl Looked {
    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        image: Option<&FromImage>,
    ) -> fmt::Result {
        writeln!(f, "  looked for in, the nearest first:")?;
        match &self.environment {
            Some(place) => writeln!(f, "    environment, at {place}")?,
            None => writeln!(f, "    environment, which the service does not have")?,
        }
        for place in &self.env_files {
            writeln!(f, "    the environment file of {place}  {}", source(place))?;
        }
        match image {
            Some(image) if image.is_here => writeln!(f, "    the image {}", image.name)?,
            Some(image) => writeln!(
                f,
                "    the image {}: it is not here, so it may set it nevertheless",
                image.name
            )?,
            None => {}
        }
        let holder = match &self.not_passed_on {
            VariableOrigin::Shell { .. } => Some("the environment of the caller".to_owned()),
            VariableOrigin::File(place) => Some(format!("{}:{}", place.file, place.line)),
            VariableOrigin::Project | VariableOrigin::Unset => None,
        };
        if let Some(holder) = holder {
            writeln!(
                f,
                "  {holder} has a {name}, but a container only gets what `environment` names:\n    \
                 write `- {name}` there to pass it on"
            )?;
        }
        if let Some(meant) = &self.suggestion {
            writeln!(f, "  did you mean `{meant}`?")?;
        }
        Ok(())
    }
}

/// One line for each variable: name, value, where it comes from.
pub fn table(variables: &[EnvVariable]) -> String {
    let head = Row {
        name: "NAME".to_owned(),
        value: "VALUE".to_owned(),
        origin: "FROM".to_owned(),
    };
    let rows = variables.iter().map(|variable| Row {
        name: printable(variable.name.clone()),
        value: match &variable.value {
            Some(value) => printable(yaml_scalar(value)),
            None => "(not set)".to_owned(),
        },
        origin: match (&variable.explanation, &variable.image) {
            (Some(explanation), _) => explanation.in_short(),
            (None, Some(image)) => format!("image {}", image.name),
            (None, None) => String::new(),
        },
    });
    let rows: Vec<Row> = std::iter::once(head).chain(rows).collect();
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = write_rows(&mut text, &rows, "");
    text
}
