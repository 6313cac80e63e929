//! `services.<name>.x-stack`: keys of this program.

use super::{COUNT, Keys, ListItem, Others, Print, Shape, f};
use Shape::*;

const WHEN: &str = "Time between probes, such as `10s`; 30s by default.";

pub(super) static X_STACK: Keys = Keys::of(&[
    f(
        "ready",
        Keys(&READY),
        "How readiness is found without a program in the image; takes the place of `healthcheck`.",
    ),
    f(
        "on_unhealthy",
        Word(&["restart", "none", "exec"]),
        "What happens when a container turns unhealthy: `none` (the default), `restart` or `exec`.",
    ),
    f(
        "exec",
        Words,
        "Program that runs in a container when it turns unhealthy, with `on_unhealthy: exec`.",
    ),
    f(
        "follow",
        NamesOrList(&Optional(&Unique(&Word(&EVENTS))), ListItem::Nothing),
        "Dependencies that restart this service when they are `replaced`, `restarted` or `unhealthy`.",
    ),
    f(
        "reload",
        Shorthand("action", &RELOAD),
        "How programs are told of another content of a config or secret, instead of being replaced.",
    ),
])
.others(Others::None);

/// `x-stack` of a config or a secret.
pub(super) static FILE_X_STACK: Keys = Keys::of(&[f(
    "reload",
    Shorthand("action", &RELOAD),
    "How programs that have it are told of another content, instead of being replaced.",
)])
.others(Others::None);

static RELOAD: Keys = Keys::of(&[
    f(
        "action",
        Word(&["restart"]),
        "`restart`: the container is stopped and started.",
    ),
    f("signal", TextOrInt, "Signal that is sent, such as `HUP`."),
    f("exec", Words, "Program that runs in the container."),
])
.others(Others::None);

const EVENTS: [&str; 3] = ["replaced", "restarted", "unhealthy"];

const PORT: Shape = Int(1, 65_535);

static READY: Keys = Keys::of(&[
    f(
        "tcp",
        PORT,
        "Port that it is ready on when it accepts connections.",
    ),
    f(
        "http",
        Keys(&HTTP),
        "Request that it answers well when it is ready.",
    ),
    f(
        "log",
        Text,
        "Regular expression that a line of its output matches when it is ready.",
    ),
    f("interval", Duration, WHEN),
    f(
        "timeout",
        Duration,
        "Time a probe may take; 30s by default.",
    ),
    f(
        "retries",
        COUNT,
        "Failures in a row that make a container unhealthy; 3 by default.",
    )
    .print(Print::Given),
    f(
        "start_period",
        Duration,
        "Time at the start in which failures do not count; 0s by default.",
    ),
    f(
        "start_interval",
        Duration,
        "Time between probes within the start period; 5s by default.",
    ),
])
.others(Others::None);

static HTTP: Keys = Keys::of(&[
    f("port", PORT, "Port in the container."),
    f("path", Text, "Path of the request; `/` by default."),
])
.required(&["port"])
.others(Others::None);
