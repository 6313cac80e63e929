//! `services.<name>`.

use super::build::BUILD;
use super::deploy::{DEPLOY, GPU};
use super::develop::DEVELOP;
use super::hooks::{HOOK, PRE_START};
use super::models::MODEL_USE;
use super::networks::ATTACHMENT;
use super::x_stack::X_STACK;
use super::{
    ANY_INT, COUNT, Field, Form, Keys, LABELS, ListItem, Others, Pattern, Print, SIZE, Shape,
    TEXT_OR_LIST, TEXTS, UNIQUE_TEXTS, VARIABLES, WHOLE_SIZE, f,
};
use Shape::*;

pub(super) const ULIMITS: Shape = Names(&Ulimit);

/// One service.
pub(in crate::compose) static SERVICE: Keys = Keys::of(&[
    f(
        "extends",
        Any,
        "Service of this or another file whose settings are taken over.",
    )
    .print(Print::Never),
    f(
        "profiles",
        TEXTS,
        "Profiles that switch the service on; without one it is always on.",
    ),
    f(
        "deploy",
        Optional(&Keys(&DEPLOY)),
        "How many containers, with what, and how they are replaced.",
    ),
    f(
        "develop",
        Optional(&Keys(&DEVELOP)),
        "What happens to the containers when sources change.",
    ),
    f(
        "restart",
        Text,
        "When a container that ended is started again: `no` (the default), `always`, `on-failure[:N]` or `unless-stopped`.",
    ),
    f("scale", COUNT, "Number of containers; 1 by default.").print(Print::Given),
    f(
        "attach",
        Bool,
        "Show its output in the foreground; true by default.",
    )
    .print(Print::Given),
    f(
        "container_name",
        Matching(Pattern::ContainerName),
        "Name of the container, of which there can be one then.",
    ),
    f(
        "provider",
        Keys(&PROVIDER),
        "Program that provides the service instead of a container.",
    ),
    f(
        "external_links",
        UNIQUE_TEXTS,
        "Containers of other projects to reach by name, each `NAME[:ALIAS]`.",
    ),
    f(
        "links",
        TEXTS,
        "Services to reach under another name, each `SERVICE[:ALIAS]`.",
    ),
    f(
        "pre_start",
        PreStart(&PRE_START),
        "Steps that must succeed, each in a container of its own, before the service starts.",
    ),
    f(
        "post_start",
        List(&Keys(&HOOK)),
        "Commands that run in a container after it has started.",
    ),
    f(
        "pre_stop",
        List(&Keys(&HOOK)),
        "Commands that run in a container before it is stopped.",
    ),
    f(
        "annotations",
        LABELS,
        "Annotations of the container, for the runtime.",
    ),
    f(
        "blkio_config",
        Keys(&BLKIO),
        "Share of and limits on input and output of block devices.",
    ),
    f(
        "cap_add",
        TEXTS,
        "Capabilities that the container has besides the usual ones, such as `NET_ADMIN`.",
    ),
    f(
        "cap_drop",
        TEXTS,
        "Capabilities that are taken away, such as `CHOWN` or `ALL`.",
    ),
    f(
        "cgroup_parent",
        Text,
        "Control group above that of the container.",
    ),
    f(
        "cgroup",
        Word(&["host", "private"]),
        "Control group namespace: `private` (the default) or `host`.",
    ),
    f("cpu_count", COUNT, "Number of CPUs, on Windows."),
    f(
        "cpu_percent",
        Int(0, 100),
        "Share of all CPUs in percent, on Windows.",
    ),
    f(
        "cpu_period",
        Whole,
        "Period of the CPU quota, in microseconds; 100000 by default.",
    ),
    f(
        "cpu_quota",
        Whole,
        "CPU time in each period, in microseconds; -1 = no limit.",
    ),
    f(
        "cpu_rt_period",
        Whole,
        "Period of real-time scheduling, in microseconds.",
    ),
    f(
        "cpu_rt_runtime",
        Whole,
        "Real-time CPU time in each period, in microseconds.",
    ),
    f(
        "cpus",
        Number,
        "Share of CPU time, in CPUs: 0.5 is half of one.",
    ),
    f("cpuset", Text, "CPUs that may be used, such as `0-2,4`."),
    f(
        "cpu_shares",
        Whole,
        "Weight against other containers when CPU time is short; 1024 by default.",
    ),
    f(
        "command",
        Words,
        "Program and arguments; what the image says by default.",
    )
    .print(Print::Always),
    f(
        "configs",
        Forms(Form::File),
        "Configuration files to give to the container.",
    ),
    f(
        "credential_spec",
        Keys(&CREDENTIAL_SPEC),
        "Account of the service, on Windows.",
    ),
    f(
        "device_cgroup_rules",
        UNIQUE_TEXTS,
        "Rules for devices that may be used, such as `c 1:3 mr`.",
    ),
    f(
        "devices",
        Forms(Form::Device),
        "Devices of the host to make available, each `SOURCE[:TARGET[:rwm]]`.",
    ),
    f("dns", TEXT_OR_LIST, "Name servers instead of the host's."),
    f("dns_opt", TEXTS, "Options of name resolution."),
    f(
        "dns_search",
        TEXT_OR_LIST,
        "Domains in which names are looked up.",
    ),
    f("domainname", Text, "Domain name of the container."),
    f(
        "entrypoint",
        Words,
        "Program that gets the command as arguments; what the image says by default.",
    )
    .print(Print::Always),
    f(
        "environment",
        VARIABLES,
        "Variables; one without a value comes from the environment of the command.",
    ),
    f(
        "env_file",
        Forms(Form::EnvFile),
        "Files with variables; `environment` wins over them.",
    ),
    f(
        "extra_hosts",
        Hosts,
        "Extra names in the container, each `NAME=ADDRESS`.",
    ),
    f(
        "group_add",
        Unique(&TextOrInt),
        "More groups of the user, names or numbers.",
    ),
    f(
        "gpus",
        Gpus(&GPU),
        "Graphics processors to make available: `all`, or a list of requests.",
    ),
    f(
        "hostname",
        Text,
        "Host name in the container; its id by default.",
    ),
    f("image", Text, "Image that containers are made from."),
    f(
        "init",
        Bool,
        "Run a small init as first process, which reaps others and passes signals on.",
    )
    .print(Print::Given),
    f(
        "ipc",
        Text,
        "Shared memory: `private`, `shareable`, `host`, `none`, `service:NAME` or `container:NAME`.",
    ),
    f(
        "isolation",
        Text,
        "Technology that keeps containers apart, on Windows.",
    ),
    f("labels", LABELS, "Labels of the container."),
    f("label_file", TEXT_OR_LIST, "Files with labels."),
    f(
        "logging",
        Keys(&LOGGING),
        "Where the output goes and how much of it is kept.",
    ),
    f("mem_limit", SIZE, "Memory at the most, such as `512m`."),
    f(
        "mem_reservation",
        WHOLE_SIZE,
        "Memory that is left to the container when it is short, such as `256m`.",
    ),
    f(
        "memswap_limit",
        SIZE,
        "Memory and swap together at the most; -1 = no limit on swap.",
    ),
    f(
        "mem_swappiness",
        WHOLE_SIZE,
        "How readily memory is swapped out, from 0 to 100.",
    ),
    f(
        "mac_address",
        Text,
        "Hardware address on the first network, such as `02:42:ac:11:00:02`.",
    ),
    f(
        "models",
        NamesOrList(&Optional(&Keys(&MODEL_USE)), ListItem::Nothing),
        "Language models that the service uses.",
    ),
    f(
        "networks",
        NamesOrList(&Optional(&Keys(&ATTACHMENT)), ListItem::Nothing),
        "Networks that the service is on; `default` without any.",
    ),
    f(
        "network_mode",
        Text,
        "`none`, `host`, `bridge`, `service:NAME` or `container:NAME`, instead of networks.",
    ),
    f(
        "oom_kill_disable",
        Bool,
        "Never end it for want of memory; false by default.",
    ),
    f(
        "oom_score_adj",
        Int(-1000, 1000),
        "How readily it is ended for want of memory, from -1000 (never) to 1000.",
    ),
    f(
        "pid",
        Optional(&Text),
        "Processes that are seen: the container's own by default, `host`, `service:NAME` or `container:NAME`.",
    ),
    f(
        "pids_limit",
        Whole,
        "Processes and threads at the most; -1 = no limit.",
    ),
    f(
        "platform",
        Text,
        "Platform of the image, such as `linux/arm64`; that of the machine by default.",
    ),
    f(
        "privileged",
        Bool,
        "All capabilities and all devices; false by default.",
    ),
    f(
        "pull_policy",
        Matching(Pattern::PullPolicy),
        "When the image is fetched: `missing` (the default), `always`, `never`, `build`, `daily`, `weekly` or `every_DURATION`.",
    ),
    f(
        "pull_refresh_after",
        Text,
        "Age from which the image is fetched again.",
    ),
    f(
        "read_only",
        Bool,
        "Forbid writing to the container's file system; false by default.",
    ),
    f("runtime", Text, "Program that runs the container."),
    f(
        "secrets",
        Forms(Form::Secret),
        "Files with secrets to give to the container.",
    ),
    f(
        "security_opt",
        UNIQUE_TEXTS,
        "Security options, such as `no-new-privileges:true` and `seccomp:FILE`.",
    ),
    f("shm_size", SIZE, "Size of `/dev/shm`; `64m` by default."),
    f(
        "stop_grace_period",
        Duration,
        "Time to stop in before the container is killed; `10s` by default.",
    )
    .print(Print::Given),
    f(
        "stop_signal",
        Text,
        "Signal that asks it to stop; `SIGTERM` or what the image says by default.",
    ),
    f(
        "storage_opt",
        Names(&Scalar),
        "Options of the container's file system, such as `size`.",
    ),
    f(
        "sysctls",
        LABELS,
        "Kernel parameters of the container, such as `net.core.somaxconn`.",
    ),
    f(
        "tmpfs",
        TEXT_OR_LIST,
        "File systems in memory, each `TARGET[:OPTIONS]`.",
    ),
    f(
        "ulimits",
        ULIMITS,
        "Limits of processes by name, such as `nofile`: one number, or soft and hard.",
    ),
    f(
        "use_api_socket",
        TrueOrFalse,
        "Give the container access to the engine; false by default.",
    ),
    f(
        "user",
        Text,
        "User and group, names or numbers: `USER[:GROUP]`; what the image says by default.",
    ),
    f(
        "userns_mode",
        Text,
        "User namespace; `host` = that of the host.",
    ),
    f(
        "uts",
        Text,
        "Namespace of the host name; `host` = that of the host.",
    ),
    f(
        "volumes",
        Forms(Form::Mount),
        "What is mounted, each `[SOURCE:]TARGET[:OPTIONS]`.",
    ),
    f(
        "volumes_from",
        UNIQUE_TEXTS,
        "Services or containers whose mounts are taken over, each `NAME[:ro]`.",
    ),
    f(
        "working_dir",
        Text,
        "Directory in the container; what the image says by default.",
    ),
    f(
        "build",
        Shorthand("context", &BUILD),
        "How the image is built: a directory, or more.",
    ),
    f(
        "depends_on",
        NamesOrList(&Keys(&DEPENDENCY), ListItem::Dependency),
        "Services that must be there first.",
    ),
    f(
        "expose",
        List(&TextOrInt),
        "Ports that are told to others, but not published.",
    ),
    f(
        "healthcheck",
        Keys(&HEALTHCHECK),
        "How it is found out whether a container works.",
    ),
    f(
        "ports",
        Forms(Form::Port),
        "Ports to publish on the host, each `[ADDRESS:][HOST:]CONTAINER[/PROTOCOL]`.",
    ),
    f(
        "stdin_open",
        Bool,
        "Keep standard input open; false by default.",
    ),
    f(
        "tty",
        Bool,
        "Give the program a terminal; false by default.",
    ),
    f(
        "x-stack",
        Keys(&X_STACK),
        "What this program does beyond other Compose tools, which leave this key alone.",
    )
    .print(Print::Never),
]);

/// The keys that describe a container, which the steps before the start take over.
pub(in crate::compose) fn container_fields() -> &'static [Field] {
    let at = |key: &str| SERVICE.fields.iter().position(|field| field.key == key);
    match (at("annotations"), at("working_dir")) {
        (Some(first), Some(last)) => SERVICE.fields.get(first..=last).unwrap_or_default(),
        _ => &[],
    }
}

static PROVIDER: Keys = Keys::of(&[
    f("type", Text, "Name of the program."),
    f("options", Names(&OneOrMore(&Scalar)), "Options for it."),
])
.required(&["type"]);

static BLKIO: Keys = Keys::of(&[
    f(
        "weight",
        Short,
        "Weight against other containers, from 10 to 1000.",
    ),
    f(
        "weight_device",
        List(&Keys(&DEVICE_WEIGHT)),
        "Weights for single devices.",
    ),
    f(
        "device_read_bps",
        List(&Keys(&DEVICE_RATE)),
        "Limits on reading, in bytes a second.",
    ),
    f(
        "device_read_iops",
        List(&Keys(&DEVICE_RATE)),
        "Limits on reading, in operations a second.",
    ),
    f(
        "device_write_bps",
        List(&Keys(&DEVICE_RATE)),
        "Limits on writing, in bytes a second.",
    ),
    f(
        "device_write_iops",
        List(&Keys(&DEVICE_RATE)),
        "Limits on writing, in operations a second.",
    ),
])
.others(Others::None);

static DEVICE_WEIGHT: Keys = Keys::of(&[
    f("path", Text, "The device, such as `/dev/sda`.")
        .print(Print::Given)
        .json_key("Path"),
    f(
        "weight",
        Short,
        "Weight against other containers, from 10 to 1000.",
    )
    .print(Print::Given)
    .json_key("Weight"),
])
.others(Others::None);

static DEVICE_RATE: Keys = Keys::of(&[
    f("path", Text, "The device, such as `/dev/sda`.")
        .print(Print::Given)
        .json_key("Path"),
    f("rate", WHOLE_SIZE, "Bytes or operations a second.")
        .print(Print::Given)
        .json_key("Rate"),
])
.others(Others::None);

static CREDENTIAL_SPEC: Keys = Keys::of(&[
    f("config", Text, "Config with the account."),
    f("file", Text, "File with the account."),
    f("registry", Text, "Value of the registry with the account."),
]);

static LOGGING: Keys = Keys::of(&[
    f(
        "driver",
        Text,
        "What keeps the output: `local`, `json-file` or `none`.",
    ),
    f(
        "options",
        Names(&TextNumberOrNothing),
        "Options of it, such as `max-size` and `max-file`.",
    ),
]);

static HEALTHCHECK: Keys = Keys::of(&[
    f(
        "test",
        HealthTest,
        "A line for the shell, or a list that starts with `CMD`, `CMD-SHELL` or `NONE`.",
    ),
    f(
        "timeout",
        Duration,
        "Time a probe may take; `30s` by default.",
    )
    .print(Print::Given),
    f(
        "interval",
        Duration,
        "Time between probes; `30s` by default.",
    )
    .print(Print::Given),
    f(
        "retries",
        Whole,
        "Failures in a row that make it unhealthy; 3 by default.",
    )
    .print(Print::Given),
    f(
        "start_period",
        Duration,
        "Time at the start in which failures do not count; `0s` by default.",
    )
    .print(Print::Given),
    f(
        "start_interval",
        Duration,
        "Time between probes at the start; `5s` by default.",
    )
    .print(Print::Given),
    f(
        "disable",
        Bool,
        "No probe, also not that of the image; false by default.",
    ),
]);

static DEPENDENCY: Keys = Keys::of(&[
    f(
        "condition",
        Word(&[
            "service_started",
            "service_healthy",
            "service_completed_successfully",
        ]),
        "What must hold of it: started, healthy, or ended with success.",
    ),
    f(
        "restart",
        Bool,
        "Restart with it, when a command restarts or replaces it; false by default.",
    ),
    f(
        "required",
        Bool,
        "Fail when it is not there; true by default.",
    )
    .print(Print::Given),
])
.required(&["condition"]);

/// Long form of an item of `services.*.devices`.
pub(in crate::compose) static DEVICE: Keys = Keys::of(&[
    f(
        "source",
        Text,
        "Path on the host, or the name of a device (`vendor/class=name`).",
    ),
    f(
        "target",
        Text,
        "Path in the container; the same by default.",
    ),
    f(
        "permissions",
        Text,
        "Any of `r` read, `w` write, `m` make nodes; `rwm` by default.",
    ),
])
.required(&["source"]);

/// Long form of an item of `services.*.env_file`.
pub(in crate::compose) static ENV_FILE: Keys = Keys::of(&[
    f("path", Text, "File with variables."),
    f(
        "required",
        Bool,
        "Fail when the file is not there; true by default.",
    )
    .print(Print::NotTrue),
    f(
        "format",
        Word(&["raw"]),
        "`raw`: values are taken as they are written.",
    ),
])
.required(&["path"])
.others(Others::None);

/// `ulimits.<name>` with both limits.
pub(in crate::compose) static ULIMIT: Keys = Keys::of(&[
    f(
        "soft",
        ANY_INT,
        "Limit that a process may raise up to the hard one; -1 = none.",
    )
    .print(Print::GivenInYaml),
    f(
        "hard",
        ANY_INT,
        "Limit that only a privileged process may raise; -1 = none.",
    )
    .print(Print::GivenInYaml),
])
.required(&["soft", "hard"])
.others(Others::Dropped);
