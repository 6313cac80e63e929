//! Values that several commands take.

use std::collections::BTreeMap;
use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::error::{Error, Result};
use crate::engine::native::parse_signal;
use crate::ui::{Table, Template, TemplateError};

/// `--format` of listings.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
    /// A line for each row, made by a Go template.
    Template(Template),
    /// A table whose columns a Go template makes (`table {{.ID}}\t{{.Name}}`).
    TableOf(Template),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "table" | "pretty" => return Ok(Self::Table),
            "json" => return Ok(Self::Json),
            _ => {}
        }
        // Docker takes `\t` and `\n` as a shell passes them.
        let plain = text.replace("\\t", "\t").replace("\\n", "\n");
        let parse = |text: &str| Template::parse(text).map_err(|error| error.to_string());
        match plain
            .strip_prefix("table ")
            .or(plain.strip_prefix("table\t"))
        {
            Some(columns) => parse(columns.trim_start()).map(Self::TableOf),
            None if !plain.contains("{{") => Err(format!(
                "`{text}` is no format: there are `table`, `json`, and Go templates as `{{{{.Name}}}}`"
            )),
            None => parse(&plain).map(Self::Template),
        }
    }
}

impl Format {
    /// Writes rows, when it is the form for programs or a template; a table is the command's own.
    /// `heads` are the columns whose head is not the field's name in capitals.
    pub(crate) fn write_rows(
        &self,
        rows: &[impl Serialize],
        heads: &[(&str, &str)],
        out: &mut dyn Write,
    ) -> Result<Written> {
        self.write_labelled(rows, (heads, &|_| None), out)
    }

    /// The same of rows with labels, which a template gets one by one: `{{.Label "name"}}`.
    pub(crate) fn write_labelled<'a>(
        &self,
        rows: &[impl Serialize],
        (heads, labels): (&[(&str, &str)], LabelsOf<'a, '_>),
        out: &mut dyn Write,
    ) -> Result<Written> {
        let template = match self {
            Self::Table => return Ok(Written::No),
            Self::Template(template) if template.is_whole() => {
                return Self::Json.write_labelled(rows, (heads, labels), out);
            }
            Self::Json => {
                for row in rows {
                    writeln!(out, "{}", escaped(&json_line(row)?))?;
                }
                return Ok(Written::Yes);
            }
            Self::Template(template) | Self::TableOf(template) => template,
        };
        let mut table: Option<Table> = None;
        for (index, row) in rows.iter().enumerate() {
            let mut row = to_value(row)?;
            if let Some(labels) = labels(index) {
                row["Label"] = to_value(labels)?;
            }
            let text = render(template, &row)?;
            if matches!(self, Self::Template(_)) {
                writeln!(out, "{text}")?;
                continue;
            }
            let cells = text.split('\t').map(str::to_owned).collect();
            let table = table.get_or_insert_with(|| {
                let head = template.heads(&row, heads);
                Table::new(&head.split('\t').collect::<Vec<_>>())
            });
            table.row(cells);
        }
        if let Some(table) = table {
            table.write(out)?;
        }
        Ok(Written::Yes)
    }
}

/// JSON as Docker's listings have it: fit to stand in HTML (Go's `json.Marshal`).
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => out.push(char),
        }
    }
    out
}

/// The labels of the row with this index.
pub(crate) type LabelsOf<'a, 'f> = &'f dyn Fn(usize) -> Option<&'a BTreeMap<String, String>>;

/// Whether rows were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    No,
}

/// Documents as `inspect` prints them: a list, or a line each where there is a template.
pub(crate) fn write_documents(
    documents: Vec<Value>,
    format: Option<&Format>,
    out: &mut dyn Write,
) -> Result<()> {
    let template = match format {
        Some(Format::Template(template) | Format::TableOf(template)) => template,
        Some(Format::Json) => {
            writeln!(out, "{}", json_line(&documents)?)?;
            return Ok(());
        }
        Some(Format::Table) | None => {
            return write_indented(&Value::Array(documents), out);
        }
    };
    for document in &documents {
        writeln!(out, "{}", render(template, document)?)?;
    }
    Ok(())
}

/// A document over several lines, with Docker's four blanks.
fn write_indented(document: &Value, out: &mut dyn Write) -> Result<()> {
    let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut text = Vec::new();
    document
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, form))
        .map_err(|error| Error::new("cannot write JSON").because(error))?;
    text.push(b'\n');
    Ok(out.write_all(&text)?)
}

/// A row as a template sees it.
pub(crate) fn to_value(row: &impl Serialize) -> Result<Value> {
    serde_json::to_value(row).map_err(|error| Error::new("cannot write JSON").because(error))
}

/// What a template makes of a document.
pub(crate) fn render(template: &Template, document: &Value) -> Result<String> {
    let failed = |error: TemplateError| {
        Error::new("the template of --format does not fit what it is to show").because(error)
    };
    template.render(document).map_err(failed)
}

/// A `--timeout` in seconds; Docker Compose takes a negative one as "no limit".
pub(crate) fn timeout(seconds: Option<i64>) -> Option<Duration> {
    // A century is what a timer can count and nobody waits for.
    const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    seconds.map(|seconds| {
        u64::try_from(seconds)
            .map_or(FOREVER, Duration::from_secs)
            .min(FOREVER)
    })
}

/// One line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::new("cannot write JSON").because(error))
}

/// The name that looks most like this one, if any does.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// A signal by name (`SIGHUP`, `hup`, `RTMIN+3`) or number.
pub(crate) fn signal(text: &str) -> Result<i32> {
    parse_signal(text).ok_or_else(|| {
        Error::new(format!("`{text}` is no signal"))
            .hint("give a name as `SIGHUP` or a number from 1 to 64")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("SIGKILL", 9),
            ("hup", 1),
            ("15", 15),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("SIGRTMIN", 34),
        ] {
            assert_eq!(signal(text).unwrap(), number, "{text}");
        }
        for text in ["", "SIG", "0", "65", "-9", "NOPE", "RTMIN+99"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Row {
        #[serde(rename = "ID")]
        id: u32,
        service_name: &'static str,
    }

    fn written(format: &str) -> std::result::Result<String, String> {
        let rows =
            [(1, "web"), (22, "a-long-name")].map(|(id, service_name)| Row { id, service_name });
        let mut out = Vec::new();
        format
            .parse::<Format>()?
            .write_rows(&rows, &[("ID", "CONTAINER ID")], &mut out)
            .map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn rows_are_written_as_templates_say() {
        assert_eq!(written("{{.ID}}").unwrap(), "1\n22\n");
        assert_eq!(
            written("json").unwrap(),
            "{\"ID\":1,\"ServiceName\":\"web\"}\n{\"ID\":22,\"ServiceName\":\"a-long-name\"}\n"
        );
        insta::assert_snapshot!(written("table {{.ServiceName}}\\t{{.ID}}").unwrap(), @r"
        SERVICE NAME   CONTAINER ID
        web            1
        a-long-name    22
        ");
        assert!(written("yaml").unwrap_err().contains("is no format"));
        assert!(written("{{.ID").unwrap_err().contains("column 1"));
        let error = written("{{.Id}}").unwrap_err();
        assert!(
            error.contains("there is no field `Id`; there are ID, ServiceName"),
            "{error}"
        );
    }

    #[test]
    fn templates_get_labels_one_by_one() {
        let rows = [Row {
            id: 1,
            service_name: "web",
        }];
        let labels = [("my.own-label".to_owned(), "yes".to_owned())].into();
        let written = |format: &str| {
            let format: Format = format.parse().unwrap();
            let mut out = Vec::new();
            let of = |_| Some(&labels);
            let written = format.write_labelled(&rows, (&[], &of), &mut out);
            written.map_err(|error| error.to_string()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written("{{.ID}} {{.Label \"my.own-label\"}}"), "1 yes\n");
        assert_eq!(written("json"), "{\"ID\":1,\"ServiceName\":\"web\"}\n");
        insta::assert_snapshot!(written("table {{.ID}}\\t{{.Label \"my.own-label\"}}"), @r"
        ID        OWN LABEL
        1         yes
        ");
    }

    #[test]
    fn json_of_listings_is_fit_for_html() {
        let text = escaped(r#"{"Ports":"0.0.0.0:80->80/tcp","é":"a&<b>"}"#);
        let expected = r#"{"Ports":"0.0.0.0:80-\u003e80/tcp","é":"a\u0026\u003cb\u003e"}"#;
        assert_eq!(text, expected);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["é"], "a&<b>");
    }

    #[test]
    fn a_negative_timeout_is_no_limit() {
        assert_eq!(timeout(None), None);
        assert_eq!(timeout(Some(0)), Some(Duration::ZERO));
        assert_eq!(timeout(Some(7)), Some(Duration::from_secs(7)));
        assert!(timeout(Some(-1)) > Some(Duration::from_secs(1 << 30)));
    }

    #[test]
    fn only_a_name_that_is_alike_is_suggested() {
        let known = ["web", "worker", "database"];
        assert_eq!(nearest("wroker", known.into_iter()), Some("worker"));
        assert_eq!(nearest("zzz", known.into_iter()), None);
    }
}
