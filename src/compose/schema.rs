//! Every key of a stack file: where it may stand, what it takes, how far it is done.
//!
//! This table is the one place that knows the keys. The order of the fields is the order in which
//! Docker Compose prints them, so `render` follows it too.

/// What a place of the tree takes, and the form it is brought to.
#[derive(Debug)]
pub(super) enum Shape {
    /// Text; anything else is a mistake.
    Text,
    /// Text or a number, kept as text.
    TextOrNumber,
    /// Any scalar, kept as text; nothing becomes empty text.
    Scalar,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A boolean, or text that says one.
    Bool,
    /// A whole number within bounds, or text that says one.
    Int(i64, i64),
    /// Permission bits: a number (`0755` is octal in YAML already), or text with octal digits.
    Mode,
    /// A number that is not negative, or text that says one.
    Number,
    /// A size in bytes, brought to decimal digits.
    Size(Unlimited),
    /// A duration, brought to Go's notation.
    Duration,
    /// A command: nothing, a line that is split as a shell would, or a list of words.
    Words,
    /// A health test: a line for the shell or a list that starts with `NONE`, `CMD`, `CMD-SHELL`.
    HealthTest,
    /// A list.
    List(&'static Shape),
    /// A single value or a list of them.
    OneOrMore(&'static Shape),
    /// Names to values.
    Names(&'static Shape),
    /// Known keys.
    Keys(&'static Keys),
    /// The shape, or nothing.
    Optional(&'static Shape),
    /// `KEY: value` or `- KEY=value`, brought to a mapping.
    Pairs(NoValue),
    /// A list of names, or a mapping from them; brought to a mapping with the given shape.
    NamesOrList(&'static Shape, ListItem),
    /// A list of short or long forms, brought to long ones.
    Forms(Form),
    /// `external`: a boolean, or the old `{name: x}`.
    External,
    /// One limit, or soft and hard.
    Ulimit,
    /// Host names and addresses, brought to `name=address`.
    Hosts,
    /// Text, or the keys with the text under this one (`build: .`).
    Shorthand(&'static str, &'static Keys),
    /// Anything.
    Any,
}

/// Whether -1 stands for "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlimited {
    Minus1,
    No,
}

/// What a key without a value means in [`Shape::Pairs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoValue {
    /// The caller's value, else the variable is unset.
    Inherit,
    /// Empty text.
    Empty,
}

/// What a name in a list stands for in [`Shape::NamesOrList`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListItem {
    /// Nothing more is known of it.
    Nothing,
    /// `{condition: service_started}`.
    Dependency,
}

/// The short and long forms of list items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Port,
    Mount,
    Device,
    EnvFile,
    Secret,
}

/// The keys of a mapping.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) fields: &'static [Field],
    /// Whether `x-…` is allowed.
    pub(super) extensions: bool,
}

/// One key.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) shape: Shape,
    pub(super) status: Status,
    pub(super) print: Print,
}

/// How far a key is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It does what it says.
    Done,
    /// A warning: nothing is done with it yet.
    Later,
    /// A warning with the reason why nothing is done with it.
    Ignored(&'static str),
    /// An error with the reason: without it the stack would mean something else.
    Refused(&'static str),
}

/// When `config` prints a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Print {
    /// Unless it is false, zero or empty.
    NotEmpty,
    /// Whenever it is given.
    Given,
    /// In JSON also when it is not given, as null.
    Always,
    /// Unless it is true.
    NotTrue,
    /// Whenever it is given or, as `{}`, when its parent is.
    WithParent,
}

impl Field {
    const fn new(key: &'static str, shape: Shape) -> Self {
        Self {
            key,
            shape,
            status: Status::Done,
            print: Print::NotEmpty,
        }
    }

    const fn print(mut self, print: Print) -> Self {
        self.print = print;
        self
    }

    const fn later(mut self) -> Self {
        self.status = Status::Later;
        self
    }

    const fn ignored(mut self, why: &'static str) -> Self {
        self.status = Status::Ignored(why);
        self
    }

    const fn refused(mut self, why: &'static str) -> Self {
        self.status = Status::Refused(why);
        self
    }
}

impl Keys {
    /// The field of a key.
    pub(super) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    const fn of(fields: &'static [Field]) -> Self {
        Self {
            fields,
            extensions: true,
        }
    }
}

use Form::*;
use Shape::*;

const fn f(key: &'static str, shape: Shape) -> Field {
    Field::new(key, shape)
}

const TEXTS: Shape = List(&Text);
const TEXT_OR_LIST: Shape = OneOrMore(&Text);
const LABELS: Shape = Pairs(NoValue::Empty);
const OPTIONS: Shape = Names(&Scalar);
const COUNT: Shape = Int(0, i64::MAX);
const ANY_INT: Shape = Int(i64::MIN, i64::MAX);
const SWARM: &str = "it only means something to Docker Swarm";
const WINDOWS: &str = "it only means something to Windows containers";

/// The whole file.
pub(super) static TOP: Keys = Keys::of(&[
    f("configs", Names(&Keys(&CONFIG))),
    f("include", Any),
    f("models", Any).later(),
    f("name", Text),
    f("networks", Names(&Optional(&Keys(&NETWORK)))),
    f("secrets", Names(&Keys(&SECRET))),
    f("services", Names(&Keys(&SERVICE))).print(Print::Given),
    f("version", TextOrNumber).ignored("it is obsolete and can be removed"),
    f("volumes", Names(&Optional(&Keys(&VOLUME)))),
]);

/// `services.<name>`.
pub(super) static SERVICE: Keys = Keys::of(&[
    f("extends", Any),
    f("profiles", TEXTS),
    f("deploy", Optional(&Keys(&DEPLOY))),
    f("develop", Any).later(),
    f("restart", Text),
    f("scale", COUNT).print(Print::Given),
    f("attach", Bool).print(Print::Given),
    f("container_name", Text),
    f("external_links", TEXTS).later(),
    f("links", TEXTS),
    f("post_start", Any).later(),
    f("pre_start", Any).later(),
    f("pre_stop", Any).later(),
    f("provider", Any).refused("the service is not a container"),
    f("annotations", LABELS),
    f("blkio_config", Any).later(),
    f("cap_add", TEXTS),
    f("cap_drop", TEXTS),
    f("cgroup_parent", Text).later(),
    f("cgroup", Word(&["host", "private"])).later(),
    f("cpu_count", COUNT).ignored(WINDOWS),
    f("cpu_percent", Number).ignored(WINDOWS),
    f("cpu_period", ANY_INT),
    f("cpu_quota", ANY_INT),
    f("cpu_rt_period", ANY_INT).later(),
    f("cpu_rt_runtime", ANY_INT).later(),
    f("cpus", Number),
    f("cpuset", Text),
    f("cpu_shares", COUNT),
    f("command", Words).print(Print::Always),
    f("configs", Forms(Secret)),
    f("credential_spec", Any).ignored(WINDOWS),
    f("device_cgroup_rules", TEXTS).later(),
    f("devices", Forms(Device)),
    f("dns", TEXT_OR_LIST),
    f("dns_opt", TEXTS),
    f("dns_search", TEXT_OR_LIST),
    f("domainname", Text),
    f("entrypoint", Words).print(Print::Always),
    f("env_file", Forms(EnvFile)),
    f("environment", Pairs(NoValue::Inherit)),
    f("extra_hosts", Hosts),
    f("group_add", List(&TextOrNumber)),
    f("gpus", Any).later(),
    f("hostname", Text),
    f("image", Text),
    f("init", Bool).print(Print::Given),
    f("ipc", Text),
    f("isolation", Text).ignored(WINDOWS),
    f("labels", LABELS),
    f("label_file", TEXT_OR_LIST),
    f("logging", Keys(&LOGGING)),
    f("mem_limit", Size(Unlimited::No)),
    f("mem_reservation", Size(Unlimited::No)),
    f("memswap_limit", Size(Unlimited::Minus1)),
    f("mem_swappiness", Size(Unlimited::Minus1)).later(),
    f("mac_address", Text),
    f("models", Any).refused("the service would not find its model"),
    f(
        "networks",
        NamesOrList(&Optional(&Keys(&ATTACHMENT)), ListItem::Nothing),
    ),
    f("network_mode", Text),
    f("oom_kill_disable", Bool).later(),
    f("oom_score_adj", Int(-1000, 1000)),
    f("pid", Optional(&Text)),
    f("pids_limit", Int(-1, i64::MAX)),
    f("platform", Text),
    f("privileged", Bool),
    f("pull_policy", Text),
    f("pull_refresh_after", Text).later(),
    f("read_only", Bool),
    f("runtime", Text).ignored("containers always run on the built-in runtime"),
    f("secrets", Forms(Secret)),
    f("security_opt", TEXTS),
    f("shm_size", Size(Unlimited::No)),
    f("stop_grace_period", Duration).print(Print::Given),
    f("stop_signal", Text),
    f("storage_opt", OPTIONS).later(),
    f("sysctls", LABELS),
    f("tmpfs", TEXT_OR_LIST),
    f("ulimits", Names(&Ulimit)),
    f("use_api_socket", Bool).refused("there is no engine whose socket the service could use"),
    f("user", Text),
    f("userns_mode", Text).later(),
    f("uts", Text),
    f("volumes", Forms(Mount)),
    f("volumes_from", TEXTS).refused("the data of the other service would be missing"),
    f("working_dir", Text),
    f("build", Shorthand("context", &BUILD)),
    f(
        "depends_on",
        NamesOrList(&Keys(&DEPENDENCY), ListItem::Dependency),
    ),
    f("expose", List(&TextOrNumber)),
    f("healthcheck", Keys(&HEALTHCHECK)),
    f("ports", Forms(Port)),
    f("stdin_open", Bool),
    f("tty", Bool),
]);

static DEPLOY: Keys = Keys::of(&[
    f("mode", Text),
    f("replicas", COUNT).print(Print::Given),
    f("labels", LABELS).ignored(SWARM),
    f("update_config", Any).later(),
    f("rollback_config", Any).later(),
    f("resources", Keys(&RESOURCES)).print(Print::WithParent),
    f("restart_policy", Keys(&RESTART_POLICY)),
    f("placement", Any).print(Print::WithParent).ignored(SWARM),
    f("endpoint_mode", Text).ignored(SWARM),
]);

static RESOURCES: Keys = Keys::of(&[
    f("limits", Keys(&LIMITS)).print(Print::Given),
    f("reservations", Keys(&RESERVATIONS)).print(Print::Given),
]);

static LIMITS: Keys = Keys::of(&[
    f("cpus", Number),
    f("memory", Size(Unlimited::No)),
    f("pids", Int(-1, i64::MAX)),
]);

static RESERVATIONS: Keys = Keys::of(&[
    f("cpus", Number),
    f("memory", Size(Unlimited::No)),
    f("devices", Any).later(),
    f("generic_resources", Any).ignored(SWARM),
]);

static RESTART_POLICY: Keys = Keys::of(&[
    f("condition", Text),
    f("delay", Duration).print(Print::Given),
    f("max_attempts", COUNT).print(Print::Given),
    f("window", Duration).print(Print::Given),
]);

static LOGGING: Keys = Keys::of(&[f("driver", Text), f("options", OPTIONS)]);

static HEALTHCHECK: Keys = Keys::of(&[
    f("test", HealthTest),
    f("timeout", Duration).print(Print::Given),
    f("interval", Duration).print(Print::Given),
    f("retries", Int(0, u32::MAX as i64)).print(Print::Given),
    f("start_period", Duration).print(Print::Given),
    f("start_interval", Duration).print(Print::Given),
    f("disable", Bool),
]);

static DEPENDENCY: Keys = Keys::of(&[
    f(
        "condition",
        Word(&[
            "service_started",
            "service_healthy",
            "service_completed_successfully",
        ]),
    ),
    f("restart", Bool),
    f("required", Bool).print(Print::Given),
]);

static ATTACHMENT: Keys = Keys::of(&[
    f("aliases", TEXTS),
    f("driver_opts", OPTIONS).later(),
    f("gw_priority", ANY_INT),
    f("interface_name", Text),
    f("ipv4_address", Text),
    f("ipv6_address", Text),
    f("link_local_ips", TEXTS).later(),
    f("mac_address", Text),
    f("priority", ANY_INT),
]);

static BUILD: Keys = Keys::of(&[
    f("context", Text),
    f("dockerfile", Text),
    f("dockerfile_inline", Text),
    f("entitlements", TEXTS),
    f("args", Pairs(NoValue::Inherit)),
    f("provenance", Any),
    f("sbom", Any),
    f("ssh", Any),
    f("labels", LABELS),
    f("cache_from", TEXTS),
    f("cache_to", TEXTS),
    f("no_cache", Bool),
    f("no_cache_filter", TEXT_OR_LIST),
    f("additional_contexts", LABELS),
    f("pull", Bool),
    f("extra_hosts", Hosts),
    f("isolation", Text),
    f("network", Text),
    f("target", Text),
    f("secrets", Forms(Secret)),
    f("shm_size", Size(Unlimited::No)),
    f("tags", TEXTS),
    f("ulimits", Names(&Ulimit)),
    f("platforms", TEXTS),
    f("privileged", Bool),
]);

/// Long form of an item of `services.*.ports`.
pub(super) static PORT: Keys = Keys::of(&[
    f("name", Text),
    f("mode", Text),
    f("host_ip", Text),
    f("target", Int(1, 65535)),
    f("published", TextOrNumber),
    f("protocol", Text),
    f("app_protocol", Text),
]);

/// Long form of an item of `services.*.volumes`.
pub(super) static MOUNT: Keys = Keys::of(&[
    f(
        "type",
        Word(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]),
    ),
    f("source", Text),
    f("target", Text),
    f("read_only", Bool),
    f("consistency", Text),
    f("bind", Keys(&MOUNT_BIND)).print(Print::Given),
    f("volume", Keys(&MOUNT_VOLUME)).print(Print::Given),
    f("tmpfs", Keys(&MOUNT_TMPFS)).print(Print::Given),
    f("image", Any).later(),
]);

static MOUNT_BIND: Keys = Keys::of(&[
    f("selinux", Word(&["z", "Z"])),
    f("propagation", Text),
    f("create_host_path", Bool).print(Print::NotTrue),
    f(
        "recursive",
        Word(&["enabled", "disabled", "writable", "readonly"]),
    ),
]);

static MOUNT_VOLUME: Keys = Keys::of(&[
    f("labels", LABELS).later(),
    f("nocopy", Bool),
    f("subpath", Text),
]);

static MOUNT_TMPFS: Keys = Keys::of(&[f("size", Size(Unlimited::No)), f("mode", Mode)]);

/// Long form of an item of `services.*.devices`.
pub(super) static DEVICE: Keys =
    Keys::of(&[f("source", Text), f("target", Text), f("permissions", Text)]);

/// Long form of an item of `services.*.env_file`.
pub(super) static ENV_FILE: Keys = Keys::of(&[
    f("path", Text),
    f("required", Bool),
    f("format", Word(&["raw"])),
]);

/// Long form of an item of `services.*.secrets` and `services.*.configs`.
pub(super) static SECRET_USE: Keys = Keys::of(&[
    f("source", Text),
    f("target", Text),
    f("uid", TextOrNumber),
    f("gid", TextOrNumber),
    f("mode", Any),
]);

/// `ulimits.<name>` with both limits.
pub(super) static ULIMIT: Keys = Keys::of(&[
    f("soft", Int(-1, i64::MAX)).print(Print::Given),
    f("hard", Int(-1, i64::MAX)).print(Print::Given),
]);

static NETWORK: Keys = Keys::of(&[
    f("name", Text),
    f("driver", Text),
    f("driver_opts", OPTIONS),
    f("ipam", Keys(&IPAM)).print(Print::WithParent),
    f("external", External),
    f("internal", Bool),
    f("attachable", Bool),
    f("labels", LABELS),
    f("enable_ipv4", Bool).print(Print::Given),
    f("enable_ipv6", Bool).print(Print::Given),
]);

static IPAM: Keys = Keys::of(&[
    f("driver", Text),
    f("config", List(&Keys(&IPAM_POOL))),
    f("options", OPTIONS),
]);

static IPAM_POOL: Keys = Keys::of(&[
    f("subnet", Text),
    f("gateway", Text),
    f("ip_range", Text),
    f("aux_addresses", Names(&Text)),
]);

static VOLUME: Keys = Keys::of(&[
    f("name", Text),
    f("driver", Text),
    f("driver_opts", OPTIONS),
    f("external", External),
    f("labels", LABELS),
]);

static SECRET: Keys = Keys::of(&[
    f("name", Text),
    f("file", Text),
    f("environment", Text),
    f("external", External),
    f("labels", LABELS),
    f("driver", Text),
    f("driver_opts", OPTIONS),
    f("template_driver", Text),
]);

static CONFIG: Keys = Keys::of(&[
    f("name", Text),
    f("file", Text),
    f("environment", Text),
    f("content", Text),
    f("external", External),
    f("labels", LABELS),
    f("template_driver", Text),
]);
