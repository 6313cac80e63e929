//! `services.<name>.deploy`: how many containers, with what, and how they are replaced.

use super::{ANY_INT, COUNT, Keys, LABELS, Others, Print, Shape, SizeFrom, TEXTS, UNIQUE_TEXTS, f};
use Shape::*;

pub(super) static DEPLOY: Keys = Keys::of(&[
    f(
        "mode",
        Text,
        "`replicated`: as many containers as asked for (the default); `global`: one on each machine.",
    ),
    f(
        "replicas",
        COUNT,
        "Number of containers of the service; 1 by default.",
    )
    .print(Print::Given),
    f(
        "labels",
        LABELS,
        "Labels of the service, not of its containers.",
    ),
    f(
        "update_config",
        Keys(&UPDATE),
        "How containers are replaced when the service has changed.",
    ),
    f(
        "rollback_config",
        Keys(&UPDATE),
        "How containers are replaced when an update is taken back.",
    ),
    f(
        "resources",
        Keys(&RESOURCES),
        "What a container may use, and what is kept for it.",
    )
    .print(Print::WithParent),
    f(
        "restart_policy",
        Keys(&RESTART_POLICY),
        "When a container that ended is started again; `restart` wins over it.",
    ),
    f(
        "placement",
        Keys(&PLACEMENT),
        "Machines of a cluster on which the service runs.",
    )
    .print(Print::WithParent),
    f(
        "endpoint_mode",
        Text,
        "How a cluster finds the service: `vip` or `dnsrr`.",
    ),
]);

static UPDATE: Keys = Keys::of(&[
    f(
        "parallelism",
        COUNT,
        "Number of containers replaced at a time; 0 = all at once.",
    )
    .print(Print::Given),
    f(
        "delay",
        Duration,
        "Time between one group of containers and the next, such as `10s`.",
    ),
    f(
        "failure_action",
        Text,
        "What follows when an update fails: `continue`, `rollback` or `pause`.",
    ),
    f(
        "monitor",
        Duration,
        "Time for which a new container is watched before it counts as good.",
    ),
    f(
        "max_failure_ratio",
        Number,
        "Part of the containers that may fail, from 0 to 1.",
    ),
    f(
        "order",
        Word(&["start-first", "stop-first"]),
        "Whether the new container starts before the old one stops.",
    ),
]);

static RESOURCES: Keys = Keys::of(&[
    f(
        "limits",
        Keys(&LIMITS),
        "What one container may use at the most.",
    )
    .print(Print::Given),
    f(
        "reservations",
        Keys(&RESERVATIONS),
        "What is kept for one container.",
    )
    .print(Print::Given),
]);

static LIMITS: Keys = Keys::of(&[
    f(
        "cpus",
        Number,
        "CPU time at the most, in CPUs: 0.5 is half of one.",
    ),
    f(
        "memory",
        Size(SizeFrom::Text),
        "Memory at the most, such as `512m`.",
    ),
    f(
        "pids",
        ANY_INT,
        "Processes and threads at the most; -1 = no limit.",
    ),
]);

static RESERVATIONS: Keys = Keys::of(&[
    f(
        "cpus",
        Number,
        "CPU time to keep, in CPUs: 0.5 is half of one.",
    ),
    f(
        "memory",
        Size(SizeFrom::Text),
        "Memory to keep, such as `256m`.",
    ),
    f(
        "devices",
        List(&Keys(&RESERVED_DEVICE)),
        "Devices to keep, by what they can do.",
    ),
    f(
        "generic_resources",
        List(&Keys(&GENERIC)),
        "Resources of a cluster that are counted.",
    ),
]);

const CAPABILITIES: &str = "What the device must be able to do, such as `gpu` and `compute`.";

static RESERVED_DEVICE: Keys = Keys::of(&[
    f("capabilities", UNIQUE_TEXTS, CAPABILITIES),
    f("driver", Text, "Driver of the devices, such as `nvidia`."),
    f(
        "count",
        DeviceCount,
        "How many devices, or `all`; not together with `device_ids`.",
    ),
    f("device_ids", UNIQUE_TEXTS, "Which devices."),
    f("options", LABELS, "Options of the driver."),
])
.required(&["capabilities"])
.others(Others::Dropped);

/// An item of `services.*.gpus`.
pub(super) static GPU: Keys = Keys::of(&[
    f("capabilities", UNIQUE_TEXTS, CAPABILITIES),
    f("driver", Text, "Driver of the devices, such as `nvidia`."),
    f(
        "count",
        DeviceCount,
        "How many devices, or `all`; not together with `device_ids`.",
    ),
    f("device_ids", UNIQUE_TEXTS, "Which devices."),
    f("options", LABELS, "Options of the driver."),
])
.others(Others::AllDropped);

static GENERIC: Keys = Keys::of(&[f(
    "discrete_resource_spec",
    Keys(&DISCRETE),
    "A resource that is counted.",
)]);

static DISCRETE: Keys = Keys::of(&[
    f("kind", Text, "Name of the resource.").print(Print::Given),
    f("value", Whole, "How many of it.").print(Print::Given),
]);

static RESTART_POLICY: Keys = Keys::of(&[
    f(
        "condition",
        Text,
        "When to start again: `none`, `on-failure` or `any` (the default).",
    ),
    f("delay", Duration, "Time before an attempt, such as `5s`.").print(Print::Given),
    f(
        "max_attempts",
        COUNT,
        "Attempts at the most; no limit by default.",
    )
    .print(Print::Given),
    f(
        "window",
        Duration,
        "Time a container must live for an attempt to count as successful.",
    )
    .print(Print::Given),
]);

static PLACEMENT: Keys = Keys::of(&[
    f(
        "constraints",
        TEXTS,
        "What must hold of a machine, such as `node.role==manager`.",
    ),
    f(
        "preferences",
        List(&Keys(&PREFERENCE)),
        "How containers are spread over machines.",
    ),
    f(
        "max_replicas_per_node",
        COUNT,
        "Containers on one machine at the most; no limit by default.",
    ),
]);

static PREFERENCE: Keys = Keys::of(&[f(
    "spread",
    Text,
    "Label of machines over whose values containers are spread.",
)]);
