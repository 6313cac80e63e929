//! Language models, and their uses in services.

use super::{Keys, Shape, TEXTS, f};
use Shape::*;

pub(super) static MODEL: Keys = Keys::of(&[
    f("name", Text, "Full name of the model."),
    f("model", Text, "The model, as its registry calls it."),
    f("context_size", Integer, "Size of its context, in tokens."),
    f(
        "runtime_flags",
        TEXTS,
        "Flags for the program that runs it.",
    ),
])
.required(&["model"]);

/// A member of `services.*.models`.
pub(super) static MODEL_USE: Keys = Keys::of(&[
    f(
        "endpoint_var",
        Text,
        "Variable that gets the model's address.",
    ),
    f("model_var", Text, "Variable that gets the model's name."),
]);
