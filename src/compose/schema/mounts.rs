//! What is mounted into containers.

use super::{Keys, Print, Shape, SizeFrom, UNIQUE_LABELS, f};
use Shape::*;

/// Long form of an item of `services.*.volumes`.
pub(in crate::compose) static MOUNT: Keys = Keys::of(&[
    f(
        "type",
        Word(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]),
        "What is mounted: a path of the host (`bind`), a volume, memory (`tmpfs`), an image.",
    ),
    f(
        "source",
        Text,
        "Path of the host, or name of the volume or image; without it, a volume of its own.",
    ),
    f("target", Text, "Path in the container."),
    f("read_only", Bool, "Forbid writing; false by default."),
    f(
        "consistency",
        Text,
        "How exact a copy must be on machines that copy; without effect here.",
    ),
    f("bind", Keys(&BIND), "Options of a path of the host.").print(Print::Given),
    f("volume", Keys(&VOLUME), "Options of a volume.").print(Print::Given),
    f("tmpfs", Keys(&TMPFS), "Options of a file system in memory.").print(Print::Given),
    f("image", Keys(&IMAGE), "Options of an image.").print(Print::Given),
])
.required(&["type"]);

static BIND: Keys = Keys::of(&[
    f(
        "selinux",
        Word(&["z", "Z"]),
        "Label for SELinux: `z` shared between containers, `Z` for this one alone.",
    ),
    f(
        "propagation",
        Text,
        "Whether later mounts below the path are passed on: `rprivate` (the default), `rslave`, `rshared`.",
    ),
    f(
        "create_host_path",
        Bool,
        "Make a directory when the path is missing; true by default.",
    )
    .print(Print::NotTrue),
    f(
        "recursive",
        Word(&["enabled", "disabled", "writable", "readonly"]),
        "Whether mounts below the path come along; `enabled` by default.",
    ),
]);

static VOLUME: Keys = Keys::of(&[
    f(
        "labels",
        UNIQUE_LABELS,
        "Labels of the volume, when it is made.",
    ),
    f(
        "nocopy",
        Bool,
        "Leave a new volume empty instead of filling it from the image; false by default.",
    ),
    f("subpath", Text, "Directory of the volume to mount."),
]);

static TMPFS: Keys = Keys::of(&[
    f(
        "size",
        Size(SizeFrom::Natural),
        "Size at the most, such as `64m`; half of the memory by default.",
    ),
    f(
        "mode",
        Integer,
        "Permission bits, octal; `01777` by default.",
    ),
]);

static IMAGE: Keys = Keys::of(&[f("subpath", Text, "Directory of the image to mount.")]);
