//! What the native engine cannot honour, as data.
//!
//! The loader takes everything; this table says which of it has no effect here, or none yet, and what
//! that means. A command that is going to run a part of a stack shows what concerns that part:
//! a warning where the stack still means the same without it, an error where it would not.

use crate::compose::Loaded;
use crate::compose::concerns::{Concern, Place};
use crate::runtime::cgroup::Cgroup;

/// What becomes of a value that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Support {
    /// A warning: nothing is done with it yet.
    Later,
    /// A warning: nothing is done with it, and why.
    Ignored(&'static str),
    /// A warning where the machine has no v1 hierarchies, and why.
    OldCgroups(&'static str),
    /// An error: without it, the stack would mean something else.
    Missing(&'static str),
}

/// Which values of a place are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// All that say something.
    Any,
    /// These words.
    Only(&'static [&'static str]),
    /// All but these words.
    Except(&'static [&'static str]),
    /// `false`.
    False,
    /// Text that is not a path.
    NoPath,
}

/// One thing that is not, or not quite, as it is written.
#[derive(Debug)]
struct Capability {
    place: &'static str,
    values: Values,
    support: Support,
}

use Support::{Ignored, Later, Missing, OldCgroups};

const fn any(place: &'static str, support: Support) -> Capability {
    Capability {
        place,
        values: Values::Any,
        support,
    }
}

const fn only(place: &'static str, words: &'static [&'static str], support: Support) -> Capability {
    Capability {
        place,
        values: Values::Only(words),
        support,
    }
}

const fn except(
    place: &'static str,
    words: &'static [&'static str],
    support: Support,
) -> Capability {
    Capability {
        place,
        values: Values::Except(words),
        support,
    }
}

const SWARM: Support = Ignored("it only means something to a cluster");
const OLD: Support = OldCgroups("cgroup v2, which this machine has, knows no such thing");
const WINDOWS: Support = Ignored("it only means something to Windows containers");

static TABLE: &[Capability] = &[
    any("services.*.cgroup_parent", Later),
    any("services.*.cpu_count", WINDOWS),
    any("services.*.cpu_percent", WINDOWS),
    any("services.*.cpu_rt_period", Later),
    any("services.*.cpu_rt_runtime", Later),
    any("services.*.credential_spec", WINDOWS),
    Capability {
        place: "services.*.devices[].source",
        values: Values::NoPath,
        support: Missing("only device nodes can be given"),
    },
    any("services.*.gpus", Later),
    any("services.*.isolation", WINDOWS),
    except(
        "services.*.logging.driver",
        &["json-file", "local", "none"],
        Ignored("output is kept in files here; `stack logs` shows it"),
    ),
    any("services.*.mem_swappiness", OLD),
    any(
        "services.*.models",
        Missing("the service would not find its model"),
    ),
    any("services.*.oom_kill_disable", OLD),
    any("services.*.pull_refresh_after", Later),
    except(
        "services.*.runtime",
        &[],
        Ignored("containers always run on the built-in runtime"),
    ),
    any("services.*.storage_opt", Later),
    any(
        "services.*.use_api_socket",
        Missing("there is no engine whose socket the service could use"),
    ),
    any("services.*.userns_mode", Later),
    only(
        "services.*.volumes[].type",
        &["cluster", "npipe", "image"],
        Missing("what is mounted would be missing"),
    ),
    any("services.*.volumes[].volume.labels", Later),
    any("services.*.networks.*.driver_opts", Later),
    any("services.*.networks.*.link_local_ips", Later),
    any("services.*.deploy.labels", SWARM),
    any("services.*.deploy.placement", SWARM),
    any("services.*.deploy.endpoint_mode", SWARM),
    any("services.*.deploy.resources.reservations.devices", Later),
    any(
        "services.*.deploy.resources.reservations.generic_resources",
        SWARM,
    ),
    only("services.*.deploy.mode", &["global"], SWARM),
    Capability {
        place: "networks.*.enable_ipv4",
        values: Values::False,
        support: Later,
    },
    any("networks.*.ipam.options", Later),
    except("networks.*.ipam.driver", &["default"], Later),
    except(
        "networks.*.driver",
        &["bridge", "default", "host", "none"],
        Missing("there is only `bridge`"),
    ),
    except(
        "volumes.*.driver",
        &["local"],
        Missing("there is only `local`"),
    ),
];

/// What the engine has to say about a stack, on this machine.
pub(crate) fn concerns(loaded: &Loaded) -> Vec<Concern> {
    concerns_on(loaded, Cgroup::has_old_memory)
}

fn concerns_on(loaded: &Loaded, has_old_cgroups: fn() -> bool) -> Vec<Concern> {
    let found = TABLE.iter().flat_map(|capability| {
        let places = loaded.places(capability.place).into_iter();
        places.filter_map(move |place| capability.concern(&place, has_old_cgroups))
    });
    found.collect()
}

impl Capability {
    /// The machine is only looked at where something depends on it.
    fn concern(&self, place: &Place<'_>, has_old_cgroups: fn() -> bool) -> Option<Concern> {
        let text = place.text.as_deref().unwrap_or_default();
        let is_meant = match self.values {
            Values::Any => place.says_something(),
            Values::Only(words) => words.contains(&text),
            Values::Except(words) => !text.is_empty() && !words.contains(&text),
            Values::False => text == "false",
            Values::NoPath => !text.starts_with('/'),
        };
        if !is_meant {
            return None;
        }
        let path = &place.path;
        Some(match self.support {
            Later => place
                .warning(format!("`{path}` is not supported yet"))
                .label("ignored"),
            OldCgroups(_) if has_old_cgroups() => return None,
            Ignored(why) | OldCgroups(why) => place
                .warning(format!("`{path}` is ignored: {why}"))
                .label("ignored"),
            Missing(why) => place
                .error(format!("`{path}` is not supported yet: {why}"))
                .label("not supported yet"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::concerns::Part;
    use crate::compose::diagnostic::Color;
    use crate::compose::model::ServiceName;
    use crate::compose::source::MemorySource;
    use crate::compose::{LoadOptions, load};

    fn loaded(text: &str) -> Loaded {
        let source = MemorySource::new().file("/p/stack.yaml", text);
        let options = LoadOptions {
            working_dir: "/p".into(),
            ..LoadOptions::default()
        };
        load(&source, &options).unwrap()
    }

    const TEXT: &str = "services:
  web:
    image: nginx
    gpus: all
    runtime: runc
    build: .
    use_api_socket: false
  other:
    image: nginx
    use_api_socket: true
    secrets: [s]
    volumes: [{type: image, source: busybox, target: /b}]
networks:
  default: {driver: macvlan}
secrets: {s: {file: x}}
";

    #[test]
    fn what_is_not_honoured_is_told_with_its_place() {
        let loaded = loaded(TEXT);
        let shown = loaded.review(concerns(&loaded), &|_| true);
        let shown = shown.render(Color::Never, 100);
        insta::assert_snapshot!(shown, @r"
    warning: `services.web.gpus` is not supported yet
     --> stack.yaml:4:5
      |
    4 |     gpus: all
      |     ^^^^ ignored

    warning: `services.web.runtime` is ignored: containers always run on the built-in runtime
     --> stack.yaml:5:5
      |
    5 |     runtime: runc
      |     ^^^^^^^ ignored

    error: `services.other.use_api_socket` is not supported yet: there is no engine whose socket the service could use
      --> stack.yaml:10:5
       |
    10 |     use_api_socket: true
       |     ^^^^^^^^^^^^^^ not supported yet

    error: `services.other.volumes[0].type` is not supported yet: what is mounted would be missing
      --> stack.yaml:12:16
       |
    12 |     volumes: [{type: image, source: busybox, target: /b}]
       |                ^^^^ not supported yet

    error: `networks.default.driver` is not supported yet: there is only `bridge`
      --> stack.yaml:14:13
       |
    14 |   default: {driver: macvlan}
       |             ^^^^^^ not supported yet
    ");
    }

    #[test]
    fn what_cgroup_v2_has_no_more_is_told_where_there_is_no_v1() {
        let text = "services:\n  web:\n    image: nginx\n    mem_swappiness: 10\n    oom_kill_disable: true\n";
        let loaded = loaded(text);
        assert!(concerns_on(&loaded, || true).is_empty());
        let shown = loaded.review(concerns_on(&loaded, || false), &|_| true);
        let shown = shown.render(Color::Never, 100);
        insta::assert_snapshot!(shown, @r"
    warning: `services.web.mem_swappiness` is ignored: cgroup v2, which this machine has, knows no such thing
     --> stack.yaml:4:5
      |
    4 |     mem_swappiness: 10
      |     ^^^^^^^^^^^^^^ ignored

    warning: `services.web.oom_kill_disable` is ignored: cgroup v2, which this machine has, knows no such thing
     --> stack.yaml:5:5
      |
    5 |     oom_kill_disable: true
      |     ^^^^^^^^^^^^^^^^ ignored
    ");
    }

    #[test]
    fn only_what_is_run_is_told() {
        let loaded = loaded(TEXT);
        let web = Part::Service(ServiceName::new("web"));
        let shown = loaded.review(concerns(&loaded), &|part| *part == web);
        assert!(!shown.has_errors(), "{shown}");
        assert_eq!(shown.len(), 2, "{shown}");
    }

    #[test]
    fn every_place_of_the_table_can_be_written() {
        // A place that no stack can have would never be told.
        for capability in TABLE {
            let known = crate::compose::concerns::is_known(capability.place);
            assert!(known, "{}", capability.place);
        }
    }
}
