//! `services.<name>.build`.

use super::service::ULIMITS;
use super::{Form, Keys, LABELS, Shape, TEXT_OR_UNIQUE, TEXTS, VARIABLES, WHOLE_SIZE, f};
use Shape::*;

pub(super) static BUILD: Keys = Keys::of(&[
    f(
        "context",
        Text,
        "Directory or Git URL that the image is built from.",
    ),
    f(
        "dockerfile",
        Text,
        "Path of the Dockerfile, from the context; `Dockerfile` by default.",
    ),
    f(
        "dockerfile_inline",
        Text,
        "The Dockerfile itself, instead of a file.",
    ),
    f(
        "entitlements",
        TEXTS,
        "Extra rights of the build, such as `network.host` and `security.insecure`.",
    ),
    f(
        "args",
        VARIABLES,
        "Values for `ARG` of the Dockerfile; one without a value comes from the environment.",
    ),
    f(
        "provenance",
        TextOrBool,
        "Whether, and with which parameters, a provenance attestation is added to the image.",
    ),
    f(
        "sbom",
        TextOrBool,
        "Whether, and by which generator, a list of the image's software is added to it.",
    ),
    f(
        "ssh",
        SshKeys,
        "SSH agents or keys for `RUN --mount=type=ssh`: `default`, or `ID=PATH`.",
    ),
    f("labels", LABELS, "Labels of the image."),
    f(
        "cache_from",
        TEXTS,
        "Where to look for finished build steps.",
    ),
    f("cache_to", TEXTS, "Where to keep finished build steps."),
    f(
        "no_cache",
        Bool,
        "Do every step again, also those that are cached; false by default.",
    ),
    f(
        "no_cache_filter",
        TEXT_OR_UNIQUE,
        "Stages of the Dockerfile that are done again, also when they are cached.",
    ),
    f(
        "additional_contexts",
        LABELS,
        "More contexts by name: a directory, a URL, `docker-image://IMAGE` or `service:NAME`.",
    ),
    f(
        "pull",
        Bool,
        "Ask the registry for base images, also for those that are there; false by default.",
    ),
    f(
        "extra_hosts",
        Hosts,
        "Extra names for `RUN`, each `NAME=ADDRESS`.",
    ),
    f(
        "isolation",
        Text,
        "Technology that keeps the build apart, on Windows.",
    ),
    f(
        "network",
        Text,
        "Network of `RUN`: `host`, `none`, or a name.",
    ),
    f(
        "target",
        Text,
        "Stage of the Dockerfile that becomes the image; the last by default.",
    ),
    f(
        "secrets",
        Forms(Form::File),
        "Secrets for `RUN --mount=type=secret`, by their names at the top.",
    ),
    f(
        "shm_size",
        WHOLE_SIZE,
        "Size of `/dev/shm` for `RUN`, in bytes.",
    ),
    f("tags", TEXTS, "More names for the image."),
    f("ulimits", ULIMITS, "Limits of the processes of `RUN`."),
    f(
        "platforms",
        TEXTS,
        "Platforms to build for, such as `linux/arm64`.",
    ),
    f(
        "privileged",
        Bool,
        "Run the build with all rights; false by default.",
    ),
]);
