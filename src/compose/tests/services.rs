//! What the keys of a service become in the model.

use std::time::Duration;

use super::{options, service};
use crate::compose::load::load;
use crate::compose::model::{
    BuildContext, DeviceChoice, Dockerfile, FileSource, FileUse, HealthTest, MountSource,
    NetworkKey, Protocol, Published, PullPolicy, RestartPolicy, Service, ServiceNetwork,
    UpdateOrder, WatchAction,
};
use crate::compose::source::MemorySource;

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
            "restart: always, deploy: {restart_policy: {condition: none}}",
            RestartPolicy::No,
        ),
        (
            "restart: always, deploy: {replicas: 1}",
            RestartPolicy::Always,
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
fn builds_are_told_apart_by_where_their_files_are() {
    let text = "services:
  a: {build: {context: ./x, dockerfile: D, args: {A: 1, B: }, ssh: [\"k=./key\", default], additional_contexts: {i: \"docker-image://alpine\", s: \"service:b\", g: \"https://h/r.git\"}, secrets: [{source: t, mode: 0400}]}}
  b: {image: b, build: {dockerfile_inline: FROM x}}
secrets: {t: {environment: T}}
";
    let source = MemorySource::new()
        .file("/p/stack.yaml", text)
        .var("T", "hidden");
    let stack = load(&source, &options()).unwrap().stack;
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
    let text = "services:
  a: {image: a, secrets: [s, {source: s, target: t}], configs: [c, {source: c, target: x/y}]}
secrets: {s: {environment: S}}
configs: {c: {content: hush}, f: {file: ./f}, e: {external: true}}
";
    let source = MemorySource::new()
        .file("/p/stack.yaml", text)
        .var("S", "hush");
    let stack = load(&source, &options()).unwrap().stack;
    let service = &stack.services["a"];
    let targets =
        |uses: &[FileUse]| -> Vec<String> { uses.iter().map(|file| file.target.clone()).collect() };
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
