//! The top of a stack file.

use super::configs::{CONFIG, SECRET};
use super::models::MODEL;
use super::networks::NETWORK;
use super::service::SERVICE;
use super::volumes::VOLUME;
use super::{Keys, Print, Shape, f};
use Shape::*;

/// The whole file.
pub(in crate::compose) static TOP: Keys = Keys::of(&[
    f(
        "configs",
        Names(&Keys(&CONFIG)),
        "Configuration files that services can be given, by name.",
    ),
    f(
        "include",
        Any,
        "Other stack files whose services, networks and volumes become part of this one.",
    )
    .print(Print::Never),
    f(
        "models",
        Names(&Keys(&MODEL)),
        "Language models that services can use, by name.",
    ),
    f(
        "name",
        Text,
        "Name of the project; without it, the name of the directory.",
    ),
    f(
        "networks",
        Names(&Optional(&Keys(&NETWORK))),
        "Networks that services can be on, by name.",
    ),
    f(
        "secrets",
        Names(&Keys(&SECRET)),
        "Files with secrets that services can be given, by name.",
    ),
    f(
        "services",
        Names(&Keys(&SERVICE)),
        "The programs of the project, by name.",
    )
    .print(Print::Given),
    f("version", Text, "Obsolete and without effect; take it out.").print(Print::Never),
    f(
        "volumes",
        Names(&Optional(&Keys(&VOLUME))),
        "Volumes that services can mount, by name.",
    ),
]);
