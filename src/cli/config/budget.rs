//! What `config -q` may cost: counts, which no load on the machine changes.

use crate::compose::LoadOptions;
use crate::compose::config::ConfigCommand;
use crate::compose::source::MemorySource;
use crate::sys::allocations::{Asked, counted};

/// A stack of services with what real ones have: anchors, variables, environment files, limits.
fn stack(services: usize) -> String {
    let mut text = "
name: bench
x-common: &common
  restart: unless-stopped
  env_file: [common.env]
  logging: {driver: json-file, options: {max-size: 10m, max-file: '3'}}
networks: {front: , back: {internal: true}}
volumes: {cache: }
services:
"
    .to_owned();
    for index in 0..services {
        let port = 10000 + index;
        text += &format!(
            "  s{index}:
    <<: *common
    image: registry.test/app:${{TAG:-latest}}
    command: [serve, --name, s{index}]
    environment: {{NAME: s{index}, HOST: 's{index}.${{DOMAIN}}', LIMIT: 10}}
    labels: [app.name=s{index}, 'app.url=https://s{index}.${{DOMAIN}}/']
    ports: ['127.0.0.1:{port}:80']
    volumes: ['./data/{index}:/data', 'cache:/cache']
    networks: [front, back]
    healthcheck: {{test: curl -f localhost, interval: 10s}}
    deploy: {{resources: {{limits: {{cpus: '0.5', memory: 256m}}}}}}
"
        );
    }
    text
}

/// What a check of so many services asks the allocator for.
fn check(services: usize) -> Asked {
    let source = MemorySource::new()
        .file("/srv/compose.yaml", stack(services))
        .file("/srv/.env", "DOMAIN=example.test\n")
        .file("/srv/common.env", "LEVEL=info\nURL=http://${DOMAIN}/\n");
    let command = ConfigCommand {
        quiet: true,
        options: LoadOptions {
            working_dir: "/srv".into(),
            ..LoadOptions::default()
        },
        ..ConfigCommand::default()
    };
    let (output, asked) = counted(|| command.run(&source));
    let output = output.unwrap();
    assert_eq!((output.stdout.as_str(), output.warnings.len()), ("", 0));
    asked
}

#[test]
fn ten_times_the_services_cost_ten_times_as_much_to_check() {
    let (few, many) = (check(100), check(1000));
    for (few, many) in [(few.times, many.times), (few.peak, many.peak)] {
        assert!(many <= few * 11, "{few} became {many}");
    }
}

#[test]
fn a_service_costs_so_many_allocations_and_so_much_memory_to_check() {
    let (few, many) = (check(100), check(200));
    let (times, bytes) = (many.times - few.times, many.peak - few.peak);
    let budget = (28_000, 1_200_000);
    assert!(
        times <= budget.0 && bytes <= budget.1,
        "a hundred services: {times} allocations, {bytes} bytes"
    );
}
