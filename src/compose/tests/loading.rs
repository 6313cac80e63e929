//! The project around its services: its name, profiles, files, and where they are.

use super::{loaded, options, service};
use crate::compose::load::{LoadOptions, load};
use crate::compose::model::{ServiceName, Stack};
use crate::compose::source::MemorySource;

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
        let loaded = load(&source, &options);
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
        load(&source, &options).unwrap().stack
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
    let selected = stack.select(&[ServiceName::new("b")]).unwrap();
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
    let stack = load(&source(), &options()).unwrap().stack;
    assert_eq!(stack.services["a"].image.as_deref(), Some("two5"));
    assert_eq!(stack.working_dir.to_str(), Some("/p/a"));
    assert_eq!(stack.name.as_str(), "a");
    let from_stdin = LoadOptions {
        files: vec!["-".into()],
        stdin: Some(b"services: {z: {image: z}}".to_vec()),
        ..options()
    };
    let stack = load(&source(), &from_stdin).unwrap().stack;
    assert!(stack.services.contains_key("z"));
    let without = LoadOptions {
        stdin: None,
        ..from_stdin
    };
    assert!(load(&source(), &without).is_err());
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
        let stack = load(&source(), options).unwrap().stack;
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
    assert!(load(&source(), &missing).is_err());
}

#[test]
fn positions_are_those_of_the_keys() {
    let source = MemorySource::new()
        .file(
            "/p/stack.yaml",
            "services:\n  a.b:\n    image: a\n    ports: [80, \"81\"]\n",
        )
        .file("/p/stack.override.yaml", "services:\n  a.b:\n    user: u\n");
    let positions = load(&source, &options()).unwrap().positions;
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
    assert_eq!(serde_json::from_str::<Stack>(&text).unwrap(), stack);
}
