//! Commands at turning points of a container's life.

use super::{Keys, Print, Shape, VARIABLES, f};
use Shape::*;

/// An item of `post_start` and `pre_stop`, and `develop.watch[].exec`.
pub(super) static HOOK: Keys = Keys::of(&[
    f(
        "command",
        Words,
        "Program and arguments, as a line or as a list of words.",
    )
    .print(Print::Always),
    f(
        "user",
        Text,
        "User that runs it; the container's by default.",
    ),
    f(
        "privileged",
        Bool,
        "Run it with all rights; false by default.",
    ),
    f(
        "working_dir",
        Text,
        "Directory it runs in; the container's by default.",
    ),
    f(
        "environment",
        VARIABLES,
        "Variables besides those of the container.",
    ),
])
.required(&["command"]);

/// An item of `pre_start`.
pub(super) static PRE_START: Keys = Keys::of(&[
    f(
        "command",
        Words,
        "Program and arguments; what the image runs by default.",
    )
    .print(Print::Always),
    f(
        "environment",
        VARIABLES,
        "Variables besides those of the service.",
    ),
    f(
        "image",
        Text,
        "Image of the step; that of the service by default.",
    ),
    f(
        "privileged",
        Bool,
        "Run it with all rights; false by default.",
    ),
    f("user", Text, "User that runs it."),
    f(
        "working_dir",
        Text,
        "Directory it runs in; that of the service by default.",
    ),
    f(
        "per_replica",
        Bool,
        "Run once for each container, not once for the service; false by default.",
    ),
]);
