use serde::{Deserialize, Serialize};

/// What stands between the parts of the names that a project gives to containers and to images that are
/// built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `shop-web-1`.
    #[default]
    Dash,
    /// `shop_web_1`, as version 1 of Docker Compose had it (`--compatibility`).
    Underscore,
}

impl Separator {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Dash, Self::Underscore];

    /// The name of these parts.
    pub fn join(self, parts: &[&str]) -> String {
        parts.join(match self {
            Self::Dash => "-",
            Self::Underscore => "_",
        })
    }
}
