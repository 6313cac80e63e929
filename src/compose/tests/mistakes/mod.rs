//! The most common mistakes of people, as they are shown on a terminal of 80 columns.
//!
//! Each was written as somebody would write it; each message was read as somebody would read it.

mod keys;
mod names;
mod values;
mod yaml;

use super::try_load;
use crate::compose::diagnostic::Color;

/// What is said of each of these stack files.
fn show(texts: &[&str], width: usize) -> String {
    let shown = texts
        .iter()
        .map(|text| match try_load(&[("compose.yaml", text)]) {
            Ok(loaded) => loaded.warnings.render(Color::Never, width),
            Err(problems) => problems.render(Color::Never, width),
        });
    shown.collect::<Vec<String>>().join("\n")
}

/// On a narrow terminal text is broken between words, and source lines are shown around the mistake.
#[test]
fn forty_columns_are_enough() {
    let texts = [r#"services:
  web:
    image: nginx:${TAG}
    user: ${USR:?who runs it}
    environment: {A: "a long line of text that does not fit", B: [b]}
    depends_on: [nobody]
"#];
    insta::assert_snapshot!(show(&texts, 40), @r#"
    warning: The "TAG" variable is not set.
             Defaulting to a blank string.
     --> compose.yaml:3:18
      |
    3 |     image: nginx:${TAG}
      |                  ^^^^^^ becomes an empty text
      |
      = help: set it in the environment or
              in `.env`, or give a default:
              `${TAG:-value}`

    error: the variable `USR` is required:
           who runs it
     --> compose.yaml:4:11
      |
    4 |     user: ${USR:?who runs it}
      |           ^^^^^^^^^^^^^^^^^^^
      |
      = help: set it in the environment or
              in `.env`

    error: `services.web.environment.B`
           must be text, a number or a
           boolean, not a list
     --> compose.yaml:5:66
      |
    5 | ...not fit", B: [b]}
      |                 ^^^

    error: `web` depends on `nobody`, but
           there is no such service
     --> compose.yaml:6:18
      |
    6 |     depends_on: [nobody]
      |                  ^^^^^^
      |
      = help: add a service `nobody`, or
              take it out here
    "#);
}
