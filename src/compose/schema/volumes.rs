//! Named volumes.

use super::{Keys, OPTIONS, Shape, UNIQUE_LABELS, f};
use Shape::*;

pub(super) static VOLUME: Keys = Keys::of(&[
    f("name", Text, "Full name; `PROJECT_NAME` by default."),
    f("driver", Text, "What keeps the data; `local` by default."),
    f(
        "driver_opts",
        OPTIONS,
        "Options of the driver: `type`, `device` and `o` of a mount for `local`.",
    ),
    f(
        "external",
        External,
        "The volume exists already and is neither made nor removed.",
    ),
    f("labels", UNIQUE_LABELS, "Labels of the volume."),
]);
