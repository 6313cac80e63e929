//! Commands that show what containers have, use and do.

mod events;
mod listings;
mod usage;

use serde_json::Value;

use crate::harness::stack;

const SHOP: &str = "
services:
  web:
    image: configured
    entrypoint: sleep
    command: '1000'
    user: root
    ports: ['127.0.0.1:8001:8000', '9000:9000/udp']
    expose: ['7000-7001']
    volumes: ['data:/data', '/anon', './files:/files:ro']
    labels: {mine: 'yes'}
    stop_grace_period: 1s
  job:
    image: busybox
    command: sh -c 'exit 3'
volumes:
  data: {labels: {kind: precious}}
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

#[test]
fn version_has_compose_s_forms() {
    let stack = stack!(SHOP);
    let version = env!("CARGO_PKG_VERSION");
    for format in ["-f", "--format"] {
        let found = stack.stack(&["version", format, "json"]).succeeds();
        found.stdout_is(&format!("{{\"version\":\"{version}\"}}\n"));
    }
    let pretty = stack.stack(&["version", "-f", "pretty"]).succeeds();
    pretty.stdout_contains(version);
}

#[test]
fn convert_is_config() {
    let stack = stack!(SHOP);
    let config = stack.stack(&["config"]).succeeds().stdout;
    stack.stack(&["convert"]).succeeds().stdout_is(&config);
}
