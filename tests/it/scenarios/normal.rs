//! Takes out of an answer what is another one at every run: identifiers, times, paths of the run.

use std::sync::LazyLock;

use regex::Regex;

/// What belongs to one run of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// The directory that the commands are run in.
    pub(super) dir: String,
    /// The home directory.
    pub(super) home: String,
    /// The end of the project's name.
    pub(super) suffix: String,
}

/// Stands for the end of the project's name: of the same width, so that columns stay where they are.
const SUFFIX: &str = "xxxxx";

macro_rules! rules {
    ($(($pattern:literal, $instead:literal)),* $(,)?) => {
        static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| vec![
            $((Regex::new($pattern).expect("a pattern"), $instead)),*
        ]);
    };
}

rules! {
    // Colours and cursor movement.
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    (r"\r", ""),
    // Docker Compose logs what our program says like everything else.
    (r#"^time="[^"]*" level=(warning|error|fatal) msg="(.*)"$"#, "$1: $2"),
    (r#"\\""#, "\""),
    (r"\(pid \d+\)", "(pid <number>)"),
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b[0-9a-f]{12}_", "<short id>_"),
    (r"\b[0-9a-f]{12}\b", "<short id>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d))?( [A-Z]{3,4})?", "<time>"),
    (r"\bLess than a second( ago)?", "<while>"),
    (r"\bAbout (a|an) (minute|hour)( ago)?", "<while>"),
    (r"\b\d+ (second|minute|hour|day|week|month)s?( ago)?", "<while>"),
    (r"<while>(\s*\((?:healthy|unhealthy|health: starting)\))", "<while>$1"),
    // Colums are as wide as what stands in them.
    (r"\t| {2,}", "  "),
    (r"\s+$", ""),
}

/// A line as it is compared.
pub(super) fn line(text: &str, run: &Run) -> String {
    let mut text = text
        .replace(&run.dir, "<dir>")
        .replace(&run.home, "<home>")
        .replace(&run.suffix, SUFFIX);
    for (pattern, instead) in RULES.iter() {
        if pattern.is_match(&text) {
            text = pattern.replace_all(&text, *instead).into_owned();
        }
    }
    text
}

/// Standard output, line by line.
pub(super) fn stdout(text: &str, run: &Run) -> Vec<String> {
    text.lines().map(|text| line(text, run)).collect()
}

/// Standard error: what is said there has no order, since much is done at the same time.
pub(super) fn stderr(text: &str, run: &Run) -> Vec<String> {
    let mut lines: Vec<_> = text
        .lines()
        .map(|text| line(text, run))
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty() && !is_decoration(text))
        .map(|text| {
            // Before a message of ours, and before one of Docker's command line.
            let rest = ["error: ", "Error: "]
                .iter()
                .find_map(|head| text.strip_prefix(head));
            rest.map(str::to_owned).unwrap_or(text)
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

/// What stands around the words of an error of ours: the place in the file, help, usage.
fn is_decoration(line: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "help: ",
        "= help: ",
        "--> ",
        "::: ",
        "|",
        "For more information",
        "Usage: ",
        "tip: ",
        "[possible values: ",
    ];
    let is_source = || {
        let number = line.split_once(" |").map(|(number, _)| number);
        number.is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    BEGINNINGS
        .iter()
        .any(|beginning| line.starts_with(beginning))
        || is_source()
}
