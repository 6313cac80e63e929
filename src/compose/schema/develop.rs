//! `services.<name>.develop`: what happens when sources change.

use super::hooks::HOOK;
use super::{Keys, Print, Shape, TEXT_OR_UNIQUE, f};
use Shape::*;

pub(super) static DEVELOP: Keys = Keys::of(&[f(
    "watch",
    List(&Keys(&WATCH)),
    "Paths to watch, and what follows a change.",
)]);

static WATCH: Keys = Keys::of(&[
    f("path", Text, "File or directory to watch.").print(Print::Given),
    f(
        "action",
        Word(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]),
        "What follows a change: build the image again, copy files, restart, or run a command.",
    )
    .print(Print::Given),
    f(
        "target",
        Text,
        "Path in the container that files are copied to.",
    ),
    f(
        "exec",
        Keys(&HOOK),
        "Command that runs in the container after files were copied.",
    )
    .print(Print::WithParent),
    f(
        "include",
        TEXT_OR_UNIQUE,
        "Patterns of files to look at; all by default.",
    ),
    f("ignore", TEXT_OR_UNIQUE, "Patterns of files to leave out."),
    f(
        "initial_sync",
        TrueOrFalse,
        "Copy all files when watching begins; false by default.",
    ),
])
.required(&["path", "action"]);
