//! `configs`, `secrets`, and their uses in services.

use super::x_stack::FILE_X_STACK;
use super::{Keys, Shape, UNIQUE_LABELS, f};
use Shape::*;

/// Long form of an item of `services.*.secrets` and `services.*.configs`.
pub(in crate::compose) static FILE_USE: Keys = Keys::of(&[
    f("source", Text, "Name of the file at the top of the stack."),
    f(
        "target",
        Text,
        "Path in the container; `/NAME` for a config, `/run/secrets/NAME` for a secret.",
    ),
    f("uid", Text, "Number of the owner; 0 by default."),
    f("gid", Text, "Number of the group; 0 by default."),
    f(
        "mode",
        FileMode,
        "Permission bits, octal; `0444` by default.",
    ),
]);

pub(super) static SECRET: Keys = Keys::of(&[
    f("name", Text, "Full name; `PROJECT_NAME` by default."),
    f("file", Text, "File with the secret."),
    f(
        "environment",
        Text,
        "Variable of the environment with the secret.",
    ),
    f(
        "external",
        External,
        "The secret is kept elsewhere and is neither made nor removed.",
    ),
    f("labels", UNIQUE_LABELS, "Labels of the secret."),
    f("driver", Text, "Driver that keeps the secret."),
    f(
        "driver_opts",
        Shape::Names(&Shape::TextOrInt),
        "Options of the driver.",
    ),
    f(
        "template_driver",
        Text,
        "Driver that fills the secret in as a template.",
    ),
    f("x-stack", Keys(&FILE_X_STACK), "Keys of this program."),
]);

pub(super) static CONFIG: Keys = Keys::of(&[
    f("name", Text, "Full name; `PROJECT_NAME` by default."),
    f("file", Text, "File with the content."),
    f(
        "environment",
        Text,
        "Variable of the environment with the content.",
    ),
    f("content", Text, "The content itself."),
    f(
        "external",
        External,
        "The config is kept elsewhere and is neither made nor removed.",
    ),
    f("labels", UNIQUE_LABELS, "Labels of the config."),
    f(
        "template_driver",
        Text,
        "Driver that fills the content in as a template.",
    ),
    f("x-stack", Keys(&FILE_X_STACK), "Keys of this program."),
]);
