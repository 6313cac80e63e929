//! The loader alone, compiled from the program's own sources: with all of the program, each change
//! would take minutes to build, and the fuzzer would count edges that no stack file reaches.

#[allow(dead_code, unreachable_pub, reason = "only the loader's entry is called here")]
#[path = "../../src/compose/mod.rs"]
pub mod compose;
#[allow(dead_code, unreachable_pub, reason = "only the loader's entry is called here")]
#[path = "../../src/graph.rs"]
pub mod graph;

use compose::source::MemorySource;
use compose::{Color, LoadOptions, Loaded, load, render};

/// What one input says: files below `/p`, variables, profiles.
pub struct Project {
    source: MemorySource,
    options: LoadOptions,
}

/// Why Docker Compose refuses some of what it prints itself; ours is equal to it to the byte.
const REFUSED_BY_BOTH: [&str; 5] = [
    "has a key without a name",
    "there is no key `",
    "the SSH key `",
    "` twice",
    ", but there is no such service",
];

/// A line that starts with this parts the input; what follows it names the part.
const MARK: &str = "#=";

impl Project {
    /// Reads an input: parts that each start with a line `#=name`. `#=@env` has lines `NAME=value` for
    /// the caller's environment, `#=@profiles` names; all else are files. What stands before the first
    /// such line is `compose.yaml`.
    pub fn from_input(input: &str) -> Self {
        let mut source = MemorySource::new().var("HOME", "/home/me");
        let mut options = LoadOptions {
            working_dir: "/p".into(),
            ..LoadOptions::default()
        };
        let mut name = "compose.yaml";
        let mut start = 0;
        let mut parts = Vec::new();
        for (at, line) in lines(input) {
            if let Some(next) = line.strip_prefix(MARK) {
                parts.push((name, &input[start..at]));
                name = next.trim();
                start = at + line.len();
            }
        }
        parts.push((name, &input[start..]));
        for (name, text) in parts {
            match name {
                "@env" => {
                    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
                        if !text.contains('\0') {
                            source = source.var(name, value);
                        }
                    }
                }
                "@profiles" => options.profiles.extend(text.lines().map(str::to_owned)),
                _ => source = source.file(format!("/p/{name}"), text),
            }
        }
        Self { source, options }
    }

    /// Loads it and checks what always holds.
    pub fn check(&self) {
        let problems = match load(&self.source, &self.options) {
            Ok(loaded) => {
                self.check_output(&loaded);
                loaded.warnings
            }
            Err(problems) => {
                assert!(problems.has_errors(), "refused without a reason: {problems}");
                problems
            }
        };
        for width in [0, 40, 200] {
            let shown = problems.render(Color::Never, width);
            let obeyed = |c: char| c.is_control() && c != '\n';
            assert!(!shown.contains(obeyed), "a terminal would obey it: {shown:?}");
        }
        assert!(!problems.to_string().contains(|c: char| c.is_control() && c != '\n'));
        for problem in problems.iter() {
            let placed = problem.span.is_none() || problems.location(problem).is_some();
            assert!(placed, "a place that is none: {problem:?}");
        }
    }

    /// What is printed is JSON, and printing what was printed changes nothing.
    fn check_output(&self, loaded: &Loaded) {
        let json = render::to_json(loaded);
        let read: Result<serde_json::Value, _> = serde_json::from_str(&json);
        read.unwrap_or_else(|error| panic!("{error}: {json}"));
        let yaml = render::to_yaml(loaded);
        // A dollar sign in a key is doubled, though keys are not interpolated: Docker Compose does so.
        if json.lines().any(dollar_in_key) {
            return;
        }
        let (first_json, first_yaml) = match self.again(&yaml) {
            Ok(outputs) => outputs,
            Err(problems) if is_refused_by_both(&problems) => return,
            Err(problems) => panic!("what was printed is refused: {problems}\n{yaml}"),
        };
        let (second_json, second_yaml) = match self.again(&first_yaml) {
            Ok(outputs) => outputs,
            Err(problems) => panic!("what was printed is refused: {problems}\n{first_yaml}"),
        };
        assert_eq!(first_yaml, second_yaml);
        assert_eq!(first_json, second_json);
    }

    /// The JSON and YAML of a text, loaded in the place of the files it came from.
    fn again(&self, yaml: &str) -> Result<(String, String), compose::Diagnostics> {
        let source = self.source.clone().file("/p/again.yaml", yaml);
        let options = LoadOptions {
            files: vec!["/p/again.yaml".into()],
            ..self.options.clone()
        };
        let loaded = load(&source, &options)?;
        Ok((render::to_json(&loaded), render::to_yaml(&loaded)))
    }
}

fn is_refused_by_both(problems: &compose::Diagnostics) -> bool {
    let mut errors = problems
        .iter()
        .filter(|problem| problem.level == compose::Level::Error);
    errors.all(|error| {
        REFUSED_BY_BOTH
            .iter()
            .any(|why| error.message.contains(why))
    })
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    })
}

fn dollar_in_key(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('"') && line.contains('$') && line.contains("\":")
}
