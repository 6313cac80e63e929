//! A template and an environment file: the input's first line is the template, the rest is `.env`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stack_fuzz::Project;

fuzz_target!(|input: &str| {
    let (template, variables) = input.split_once('\n').unwrap_or((input, ""));
    // In single quotes everything but the quote is text.
    let template = template.replace('\'', "''");
    let variables = variables.replace("#=", "# ");
    let project = format!(
        "services:\n  a:\n    image: a\n    env_file: .env\n    labels:\n      l: '{template}'\n#=.env\n{variables}"
    );
    Project::from_input(&project).check();
});
