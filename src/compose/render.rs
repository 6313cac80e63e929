//! `stack config`: the loaded stack as Docker Compose prints it.

use super::load::Loaded;

/// The stack as JSON, indented, with a final line break.
pub fn to_json(_loaded: &Loaded) -> String {
    todo!()
}

/// The stack as YAML that readers of YAML 1.1 and 1.2 take for the same.
pub fn to_yaml(_loaded: &Loaded) -> String {
    todo!()
}
