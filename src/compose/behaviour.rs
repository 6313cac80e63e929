//! What a loaded stack means: names, profiles, files, and the typed model.

use std::time::Duration;

use proptest::prelude::*;

use super::diagnostic::Diagnostics;
use super::load::{LoadOptions, Loaded, load};
use super::model::{
    HealthTest, MountSource, NetworkKey, Protocol, Published, PullPolicy, RestartPolicy, Service,
    ServiceNetwork,
};
use super::source::MemorySource;

fn options() -> LoadOptions {
    LoadOptions {
        working_dir: "/p".into(),
        ..LoadOptions::default()
    }
}

fn try_load(source: MemorySource, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    load(&source, options)
}

fn loaded(text: &str) -> Loaded {
    let source = MemorySource::new().file("/p/stack.yaml", text);
    try_load(source, &options()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The service `a`, given its keys in flow style.
fn service(keys: &str) -> Service {
    let text = format!(
        "services:\n  a: {{image: a, {keys}}}\n  b: {{image: b}}\nnetworks: {{n: {{}}, m: {{}}}}\nvolumes: {{vol: {{}}}}\n"
    );
    loaded(&text).stack.services.swap_remove("a").unwrap()
}

#[test]
fn the_projects_name_comes_from_the_nearest_source() {
    let named = "name: inner\nservices: {a: {image: a}}\n";
    let bare = "services: {a: {image: a}}\n";
    let name = |text: &str, variable: Option<&str>, option: Option<&str>| {
        let mut source = MemorySource::new().file("/p/stack.yaml", text);
        if let Some(variable) = variable {
            source = source.var("COMPOSE_PROJECT_NAME", variable);
        }
        let options = LoadOptions {
            project_name: option.map(str::to_owned),
            ..options()
        };
        let loaded = try_load(source, &options);
        loaded.map(|loaded| loaded.stack.name.to_string()).ok()
    };
    assert_eq!(name(bare, None, None).as_deref(), Some("p"));
    assert_eq!(name(named, None, None).as_deref(), Some("inner"));
    assert_eq!(name(named, Some("env"), None).as_deref(), Some("env"));
    assert_eq!(
        name(named, Some("env"), Some("flag")).as_deref(),
        Some("flag")
    );
    assert_eq!(name(named, None, Some("No Name")), None);
    let normal = name("name: ${X:-My Shop}\n", None, None);
    assert_eq!(normal.as_deref(), Some("myshop"));
}

#[test]
fn profiles_switch_services_on() {
    let text = "services:
  a: {image: a}
  b: {image: b, profiles: [one, two], networks: [n], volumes: [\"vol:/v\"]}
networks: {n: {}}
volumes: {vol: {}}
";
    let on = |profiles: &[&str], variable: &str| {
        let source = MemorySource::new()
            .file("/p/stack.yaml", text)
            .var("COMPOSE_PROFILES", variable);
        let options = LoadOptions {
            profiles: profiles
                .iter()
                .map(|profile| (*profile).to_owned())
                .collect(),
            ..options()
        };
        try_load(source, &options).unwrap().stack
    };
    for (profiles, variable) in [(&["two"][..], ""), (&["*"], ""), (&[], "x,one")] {
        let stack = on(profiles, variable);
        assert_eq!(stack.services.len(), 2, "{profiles:?} {variable}");
        assert!(stack.networks.contains_key("n"));
    }
    let stack = on(&["other"], "");
    assert_eq!(stack.services.len(), 1);
    assert!(stack.disabled_services.contains_key("b"));
    assert!(stack.unused_networks.contains_key("n") && stack.unused_volumes.contains_key("vol"));
    let selected = stack
        .select(&[super::model::ServiceName::new("b")])
        .unwrap();
    assert!(selected.networks.contains_key("n") && selected.volumes.contains_key("vol"));
    assert!(!selected.networks.contains_key("default"));
}

#[test]
fn files_come_from_options_variables_and_standard_input() {
    let source = || {
        MemorySource::new()
            .file(
                "/p/a/one.yaml",
                "services: {a: {image: one, env_file: x.env}}\n",
            )
            .file("/p/two.yaml", "services: {a: {image: \"two${N}\"}}\n")
            .file("/p/a/x.env", "A=1\n")
            .file("/p/a/.env", "N=5\n")
            .var("COMPOSE_PATH_SEPARATOR", ";")
            .var("COMPOSE_FILE", "a/one.yaml;two.yaml")
    };
    let stack = try_load(source(), &options()).unwrap().stack;
    assert_eq!(stack.services["a"].image.as_deref(), Some("two5"));
    assert_eq!(stack.working_dir.to_str(), Some("/p/a"));
    assert_eq!(stack.name.as_str(), "a");
    let from_stdin = LoadOptions {
        files: vec!["-".into()],
        stdin: Some(b"services: {z: {image: z}}".to_vec()),
        ..options()
    };
    let stack = try_load(source(), &from_stdin).unwrap().stack;
    assert!(stack.services.contains_key("z"));
    let without = LoadOptions {
        stdin: None,
        ..from_stdin
    };
    assert!(try_load(source(), &without).is_err());
}

#[test]
fn env_files_of_the_command_replace_the_projects_own() {
    let source = || {
        MemorySource::new()
            .file(
                "/p/stack.yaml",
                "services: {a: {image: \"${A}-${B}-${C}\"}}\n",
            )
            .file("/p/.env", "A=dot\nB=dot\nC=dot\n")
            .file("/p/x/one.env", "A=one\nB=one\n")
            .file("/p/x/two.env", "B=${A}two\nC=\n")
            .var("A", "shell")
    };
    let image = |options: &LoadOptions| {
        let stack = try_load(source(), options).unwrap().stack;
        stack.services["a"].image.clone().unwrap()
    };
    assert_eq!(image(&options()), "shell-dot-dot");
    let given = LoadOptions {
        env_files: vec!["x/one.env".into(), "x/two.env".into()],
        ..options()
    };
    assert_eq!(image(&given), "shell-shelltwo-");
    let missing = LoadOptions {
        env_files: vec!["none.env".into()],
        ..options()
    };
    assert!(try_load(source(), &missing).is_err());
}

#[test]
fn positions_are_those_of_the_keys() {
    let source = MemorySource::new()
        .file(
            "/p/stack.yaml",
            "services:\n  a.b:\n    image: a\n    ports: [80, \"81\"]\n",
        )
        .file("/p/stack.override.yaml", "services:\n  a.b:\n    user: u\n");
    let positions = try_load(source, &options()).unwrap().positions;
    let of = |path: &str| positions.of(path).map(|place| place.to_string());
    assert_eq!(of("services.a.b.image").as_deref(), Some("stack.yaml:3:5"));
    assert_eq!(
        of("services.a.b.ports[1]").as_deref(),
        Some("stack.yaml:4:17")
    );
    assert_eq!(
        of("services.a.b.user").as_deref(),
        Some("stack.override.yaml:3:5")
    );
    assert_eq!(
        of("services.a.b.nothing").as_deref(),
        Some("stack.override.yaml:2:3")
    );
    assert_eq!(of("nothing"), None);
    assert!(positions.has("services.a.b.ports[1]"));
    assert!(!positions.has("services.a.b.nothing") && !positions.has("nothing"));
}

#[test]
fn a_service_says_nothing_that_it_was_not_told() {
    let plain = service("");
    let expected = Service {
        image: Some("a".to_owned()),
        network: ServiceNetwork::Networks(
            [(NetworkKey::new("default"), Default::default())].into(),
        ),
        hash_input: plain.hash_input.clone(),
        ..Service::default()
    };
    assert_eq!(plain, expected);
}

#[test]
fn commands_tell_nothing_from_empty() {
    assert_eq!(service("command: null").command, None);
    assert_eq!(service("command: ''").command, Some(vec![]));
    assert_eq!(service("entrypoint: []").entrypoint, Some(vec![]));
    let words = service("command: \"sh -c 'a b'\"").command.unwrap();
    assert_eq!(words, ["sh", "-c", "a b"]);
}

#[test]
fn ports_are_typed() {
    let ports = service("ports: ['[::1]:53:53/udp', '8000-8010:80', 90]").ports;
    assert_eq!(ports[0].host_ip, Some("::1".parse().unwrap()));
    assert_eq!(ports[0].protocol, Protocol::Udp);
    assert_eq!(ports[1].published, Published::Range(8000, 8010));
    assert_eq!((ports[2].published, ports[2].target), (Published::Any, 90));
}

#[test]
fn mounts_are_typed() {
    let mounts = service(
        "volumes: ['./x:/x:ro', 'vol:/v:nocopy', /anon], tmpfs: ['/t/:size=1m,mode=700,noexec']",
    )
    .volumes;
    let shown: Vec<String> = mounts
        .iter()
        .map(|mount| format!("{} {} {:?}", mount.target, mount.read_only, mount.source))
        .collect();
    assert_eq!(
        shown,
        [
            "/x true Bind { path: \"/p/x\", create_host_path: true, propagation: None, recursive: true }",
            "/v false Volume { volume: VolumeKey(\"vol\"), nocopy: true, subpath: None }",
            "/anon false Anonymous",
            "/t false Tmpfs { size: Some(1048576), mode: Some(448), options: [\"noexec\"], written: Some(\"size=1m,mode=700,noexec\") }",
        ]
    );
    let long =
        service("volumes: [{type: bind, source: x, target: /x, bind: {create_host_path: false}}]");
    assert!(matches!(
        &long.volumes[0].source,
        MountSource::Bind {
            create_host_path: false,
            ..
        }
    ));
}

#[test]
fn permission_bits_are_octal_however_they_are_written() {
    for written in ["0755", "0o755", "493"] {
        let keys = format!("volumes: [{{type: tmpfs, target: /x, tmpfs: {{mode: {written}}}}}]");
        let mounts = service(&keys).volumes;
        assert!(
            matches!(
                mounts[0].source,
                MountSource::Tmpfs {
                    mode: Some(0o755),
                    ..
                }
            ),
            "{written}: {mounts:?}"
        );
    }
}

#[test]
fn networks_come_in_order_of_priority() {
    let service =
        service("networks: {n: {ipv4_address: 10.0.0.4}, m: {priority: 5, aliases: [x]}}");
    let ServiceNetwork::Networks(networks) = service.network else {
        panic!("not on networks");
    };
    let keys: Vec<&str> = networks.keys().map(NetworkKey::as_str).collect();
    assert_eq!(keys, ["m", "n"]);
    assert_eq!(
        networks["n"].ipv4_address,
        Some("10.0.0.4".parse().unwrap())
    );
}

#[test]
fn restart_policies_come_from_either_place() {
    let limited = |max_attempts, delay, window| RestartPolicy::OnFailure {
        max_attempts,
        delay,
        window,
    };
    let second = |seconds| Some(Duration::from_secs(seconds));
    let table = [
        ("restart: always", RestartPolicy::Always),
        ("restart: no", RestartPolicy::No),
        ("restart: unless-stopped", RestartPolicy::UnlessStopped),
        ("restart: 'on-failure:3'", limited(Some(3), None, None)),
        (
            "deploy: {restart_policy: {condition: none}}",
            RestartPolicy::No,
        ),
        (
            "deploy: {restart_policy: {window: 1s}}",
            RestartPolicy::Always,
        ),
        (
            "deploy: {restart_policy: {condition: unless-stopped}}",
            RestartPolicy::UnlessStopped,
        ),
        (
            "deploy: {restart_policy: {delay: 1s, max_attempts: 3, window: 1m}}",
            RestartPolicy::Any {
                max_attempts: Some(3),
                delay: second(1),
                window: second(60),
            },
        ),
        (
            "deploy: {restart_policy: {condition: on-failure, delay: 5s, max_attempts: 2, window: 1m}}",
            limited(Some(2), second(5), second(60)),
        ),
    ];
    for (keys, expected) in table {
        assert_eq!(service(keys).restart, expected, "{keys}");
    }
}

#[test]
fn limits_come_from_either_place() {
    let old = service("cpus: 1.5, mem_limit: 64m, pids_limit: 5, memswap_limit: -1").resources;
    assert_eq!(
        (old.nano_cpus, old.memory, old.pids, old.memory_swap),
        (Some(1_500_000_000), Some(64 << 20), Some(5), Some(-1))
    );
    let new = service(
        "deploy: {resources: {limits: {cpus: '0.5', memory: 1g, pids: 7}, reservations: {memory: 1m}}}",
    )
    .resources;
    assert_eq!(
        (new.nano_cpus, new.memory, new.pids, new.memory_reservation),
        (Some(500_000_000), Some(1 << 30), Some(7), Some(1 << 20))
    );
}

#[test]
fn health_checks_are_typed() {
    let test = |keys: &str| {
        service(&format!("healthcheck: {{{keys}}}"))
            .healthcheck
            .unwrap()
    };
    assert_eq!(
        test("test: curl x").test,
        Some(HealthTest::Shell("curl x".to_owned()))
    );
    assert_eq!(
        test("test: [CMD, a, b]").test,
        Some(HealthTest::Command(vec!["a".to_owned(), "b".to_owned()]))
    );
    assert_eq!(test("disable: true, test: a").test, Some(HealthTest::None));
    assert_eq!(test("test: [NONE]").test, Some(HealthTest::None));
    let times = test("interval: 1m30s, retries: 2");
    assert_eq!(
        (times.test, times.interval, times.retries),
        (None, Some(Duration::from_secs(90)), Some(2))
    );
}

#[test]
fn pull_policies_are_typed() {
    let hour = Duration::from_secs(3600);
    let table = [
        ("always", PullPolicy::Always),
        ("if_not_present", PullPolicy::Missing),
        ("never", PullPolicy::Never),
        ("daily", PullPolicy::Every(hour * 24)),
        ("every_2h", PullPolicy::Every(hour * 2)),
    ];
    for (written, expected) in table {
        let policy = service(&format!("pull_policy: {written}")).pull_policy;
        assert_eq!(policy, expected, "{written}");
    }
}

#[test]
fn the_hash_covers_what_changes_a_container_and_nothing_else() {
    let base = service("").hash_input;
    for same in [
        "depends_on: [b]",
        "pull_policy: always",
        "scale: 3",
        "deploy: null",
        "privileged: false",
    ] {
        assert_eq!(service(same).hash_input, base, "{same}");
    }
    for other in [
        "command: x",
        "environment: {A: 1}",
        "labels: {a: b}",
        "networks: [n]",
    ] {
        assert_ne!(service(other).hash_input, base, "{other}");
    }
    let scaled = service("deploy: {replicas: 2}").hash_input;
    assert_eq!(scaled, service("deploy: {replicas: 3}").hash_input);
}

#[test]
fn the_model_survives_a_journey_as_json() {
    let stack = loaded(
        "services: {a: {image: a, ports: [80], volumes: [/x], healthcheck: {test: a}, restart: always}}\n",
    )
    .stack;
    let text = serde_json::to_string(&stack).unwrap();
    assert_eq!(
        serde_json::from_str::<super::model::Stack>(&text).unwrap(),
        stack
    );
}

#[test]
fn words_that_mean_nothing_are_refused() {
    let refused = |keys: &str| {
        let text = format!("services: {{a: {{image: a, {keys}}}}}\nvolumes: {{v: {{}}}}\n");
        let source = MemorySource::new().file("/p/stack.yaml", text);
        match try_load(source, &options()) {
            Ok(loaded) => loaded.review(Vec::new(), &|_| true).to_string(),
            Err(problems) => problems.to_string(),
        }
    };
    let table = [
        (
            "stop_signal: SIGTREM",
            "no signal `SIGTREM` (did you mean `TERM`?)",
        ),
        (
            "cap_add: [NET_ADMN]",
            "no capability `NET_ADMN` (did you mean `NET_ADMIN`?)",
        ),
        (
            "ulimits: {nofiles: 1}",
            "no limit `nofiles` (did you mean `nofile`?)",
        ),
        ("sysctls: {net/../../x: 1}", "is not a kernel parameter"),
        ("hostname: \"a\\nb\"", "`a\\nb` is not a host name"),
        (
            "networks: {default: {aliases: [\"a b\"]}}",
            "`a b` is not a host name",
        ),
        (
            "networks: {default: {interface_name: ../x}}",
            "cannot be the name of an interface",
        ),
        (
            "mac_address: '01:02:03:04:05:06'",
            "is not an interface's hardware address",
        ),
        ("container_name: ../x", "cannot be `../x`"),
        ("container_name: ../xy", "is not a container's name"),
        (
            "ports: [{target: 70000}]",
            "a port is a number from 1 to 65535",
        ),
        ("extra_hosts: {a: b}", "`b` is not an IP address"),
        ("mem_limit: -5", "`services.a.mem_limit` must be 0 or more"),
        ("stop_grace_period: -5s", "must be 0 or more"),
        (
            "ulimits: {nofile: {soft: 5, hard: 3}}",
            "above the hard limit",
        ),
        ("restart: allways", "cannot be `allways`"),
        ("command: \"a\\0b\"", "text cannot hold a NUL character"),
        (
            "extra_hosts: {\"a\\n1.1.1.1 b\": 1.1.1.1}",
            "is not a host name",
        ),
    ];
    for (keys, expected) in table {
        let message = refused(keys);
        assert!(message.contains(expected), "{keys}: {message}");
    }
    for keys in [
        "stop_signal: SIGRTMIN+3",
        "stop_signal: '9'",
        "stop_signal: quit",
        "cap_add: [CAP_NET_ADMIN, all]",
        "mac_address: '02:42:ac:11:00:02'",
    ] {
        assert_eq!(refused(keys), "", "{keys}");
    }
    let top = "services: {a: {image: a}}\nvolumes: {v: {name: ../../etc}}\n";
    let source = MemorySource::new().file("/p/stack.yaml", top);
    let loaded = try_load(source, &options()).unwrap();
    let problems = loaded.review(Vec::new(), &|_| true).to_string();
    assert!(
        problems.contains("`../../etc` cannot be the name of a volume"),
        "{problems}"
    );
}

/// Names and values out of which a hostile or careless file is made.
fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("-1".to_owned()),
        Just("1e400".to_owned()),
        Just("'a:b:c'".to_owned()),
        Just("'/x:/y'".to_owned()),
        Just("service:a".to_owned()),
        Just("!reset x".to_owned()),
        Just("true".to_owned()),
        Just("'80-90:80-90'".to_owned()),
        Just("'${X:-y}'".to_owned()),
        "[a-z]{1,4}",
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::btree_map(any_key(), inner, 0..3).prop_map(|map| {
                let members: Vec<String> = map
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let known: Vec<&'static str> = super::schema::SERVICE
        .fields
        .iter()
        .map(|field| field.key)
        .chain([
            "resources",
            "limits",
            "test",
            "source",
            "target",
            "type",
            "bind",
            "soft",
        ])
        .collect();
    proptest::sample::select(known).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_service_makes_it_fail_badly(
        services in proptest::collection::vec(
            proptest::collection::btree_map(any_key(), any_value(), 0..5), 1..3),
    ) {
        let mut text = "services:\n".to_owned();
        for (index, keys) in services.iter().enumerate() {
            text += &format!("  s{index}:\n    x-a: 1\n");
            for (key, value) in keys {
                text += &format!("    {key}: {value}\n");
            }
        }
        let source = MemorySource::new().file("/p/stack.yaml", text);
        match try_load(source, &options()) {
            Ok(loaded) => {
                super::render::to_json(&loaded);
                super::render::to_yaml(&loaded);
            }
            Err(problems) => {
                problems.render(super::Color::Always, 80);
            }
        }
    }
}

#[test]
fn builds_are_told_apart_by_where_their_files_are() {
    use super::model::{BuildContext, Dockerfile};
    let text = "services:
  a: {build: {context: ./x, dockerfile: D, args: {A: 1, B: }, ssh: [\"k=./key\", default], additional_contexts: {i: \"docker-image://alpine\", s: \"service:b\", g: \"https://h/r.git\"}, secrets: [{source: t, mode: 0400}]}}
  b: {image: b, build: {dockerfile_inline: FROM x}}
secrets: {t: {environment: T}}
";
    let source = MemorySource::new()
        .file("/p/stack.yaml", text)
        .var("T", "hidden");
    let stack = try_load(source, &options()).unwrap().stack;
    let build = stack.services["a"].build.clone().unwrap();
    assert_eq!(build.context, BuildContext::Directory("/p/x".into()));
    assert_eq!(build.dockerfile, Dockerfile::File("D".to_owned()));
    assert_eq!(build.args.keys().collect::<Vec<_>>(), ["A"]);
    let others: Vec<&BuildContext> = build.additional_contexts.values().collect();
    assert!(
        matches!(
            others.as_slice(),
            [
                BuildContext::Image(_),
                BuildContext::Service(_),
                BuildContext::Remote(_)
            ]
        ),
        "{others:?}"
    );
    assert_eq!(build.ssh[0].path, Some("/p/key".into()));
    assert_eq!(
        (build.ssh[1].id.as_str(), &build.ssh[1].path),
        ("default", &None)
    );
    assert_eq!(
        (build.secrets[0].source.as_str(), build.secrets[0].mode),
        ("t", Some(0o400))
    );
    let inline = stack.services["b"].build.clone().unwrap();
    assert_eq!(inline.context, BuildContext::Directory("/p".into()));
    assert!(matches!(inline.dockerfile, Dockerfile::Inline(_)));
}

#[test]
fn files_have_their_source_and_their_place_and_keep_their_content_to_themselves() {
    use super::model::FileSource;
    let text = "services:
  a: {image: a, secrets: [s, {source: s, target: t}], configs: [c, {source: c, target: x/y}]}
secrets: {s: {environment: S}}
configs: {c: {content: hush}, f: {file: ./f}, e: {external: true}}
";
    let source = MemorySource::new()
        .file("/p/stack.yaml", text)
        .var("S", "hush");
    let stack = try_load(source, &options()).unwrap().stack;
    let service = &stack.services["a"];
    let targets = |uses: &[super::model::FileUse]| -> Vec<String> {
        uses.iter().map(|file| file.target.clone()).collect()
    };
    assert_eq!(
        targets(&service.secrets),
        ["/run/secrets/s", "/run/secrets/t"]
    );
    assert_eq!(targets(&service.configs), ["/c", "/x/y"]);
    assert_eq!(
        stack.secrets["s"].source,
        FileSource::Environment {
            variable: "S".to_owned(),
            value: Some("hush".to_owned())
        }
    );
    assert_eq!(stack.configs["f"].source, FileSource::File("/p/f".into()));
    assert_eq!(stack.configs["e"].source, FileSource::External);
    let shown = format!("{:?} {:?}", stack.secrets, stack.configs);
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn hooks_watch_rules_and_steps_are_read() {
    use super::model::WatchAction;
    let service = service(
        "environment: {A: s, B: s}, post_start: [{command: a b, user: u, environment: {X: }}], \
         pre_stop: [{command: [c]}], pre_start: [{image: i, command: d, environment: {B: own}, per_replica: true}, {}], command: [e], \
         develop: {watch: [{path: src, action: sync+exec, target: /t, exec: {command: e}, ignore: q}]}",
    );
    assert_eq!(service.post_start[0].command, ["a", "b"]);
    assert_eq!(service.post_start[0].environment["X"], None);
    assert_eq!(service.pre_stop[0].command, ["c"]);
    let step = &service.pre_start[0];
    assert_eq!((step.image.as_deref(), step.per_replica), (Some("i"), true));
    assert_eq!(step.environment["A"].as_deref(), Some("s"));
    assert_eq!(step.environment["B"].as_deref(), Some("own"));
    assert_eq!(
        service.pre_start[1].command.as_deref(),
        Some(&["e".to_owned()][..])
    );
    let rule = &service.watch[0];
    assert_eq!(rule.path, std::path::Path::new("/p/src"));
    assert_eq!(rule.action, WatchAction::SyncExec);
    assert_eq!(rule.ignore, ["q"]);
    assert_eq!(rule.exec.as_ref().unwrap().command, ["e"]);
}

#[test]
fn devices_are_asked_for_by_name_by_number_or_all() {
    use super::model::{DeviceChoice, UpdateOrder};
    let service = service(
        "gpus: all, devices: [vendor/class=x, \"/dev/a:/dev/b:r\"], deploy: {update_config: {parallelism: 0, order: start-first}, \
         resources: {reservations: {devices: [{capabilities: [tpu], count: 2}, {capabilities: [gpu], device_ids: [\"0\"]}]}}}",
    );
    let choices: Vec<&DeviceChoice> = service
        .device_requests
        .iter()
        .map(|request| &request.devices)
        .collect();
    assert_eq!(
        choices,
        [
            &DeviceChoice::Count(2),
            &DeviceChoice::Ids(vec!["0".to_owned()]),
            &DeviceChoice::All
        ]
    );
    assert_eq!(service.device_requests[2].capabilities, ["gpu"]);
    assert_eq!(service.cdi_devices, ["vendor/class=x"]);
    assert_eq!(service.devices[0].permissions, "r");
    let update = service.deploy.update.unwrap();
    assert_eq!(
        (update.parallelism, update.order),
        (None, UpdateOrder::StartFirst)
    );
}
