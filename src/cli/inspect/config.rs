//! `Config`: what is run, as service and image have come to it together.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::compose::model::HealthTest;
use crate::image::Image;
use crate::state::records::{ContainerRecord, HealthRecord};

/// `spec` is the OCI configuration, which has what the program really gets.
pub(super) fn config(record: &ContainerRecord, image: Option<&Image>, spec: &Value) -> Value {
    let service = &record.template;
    let of_image = image.and_then(|image| image.config.config().as_ref());
    let process = &spec["process"];
    let user = service.user.clone();
    let user = user.or_else(|| of_image.and_then(|config| config.user().clone()));
    // An own entry point drops the image's command.
    let command = match (&service.command, &service.entrypoint) {
        (Some(command), _) => Some(command.clone()),
        (None, Some(_)) => None,
        (None, None) => of_image.and_then(|config| config.cmd().clone()),
    };
    let entrypoint = service.entrypoint.clone();
    let entrypoint = entrypoint.or_else(|| of_image.and_then(|config| config.entrypoint().clone()));
    let mut config = json!({
        "Hostname": spec["hostname"].as_str().or(service.hostname.as_deref()).unwrap_or_default(),
        "Domainname": service.domainname.as_deref().unwrap_or_default(),
        "User": user.unwrap_or_default(),
        "AttachStdin": false,
        "AttachStdout": service.attach,
        "AttachStderr": service.attach,
        "ExposedPorts": exposed(record),
        "Tty": service.tty,
        "OpenStdin": service.stdin_open,
        "StdinOnce": false,
        "Env": environment(record, process),
        "Cmd": command,
    });
    // What `x-stack.ready` asks for is no program.
    let check = record.health.as_ref();
    if let Some(health) = check.filter(|health| !health.command.is_empty()) {
        config["Healthcheck"] = healthcheck(record, health);
    }
    let volumes: Map<String, Value> = of_image
        .and_then(|config| config.volumes().clone())
        .unwrap_or_default()
        .into_iter()
        .map(|path| (path, json!({})))
        .collect();
    let rest = json!({
        "Image": record.image,
        "Volumes": (!volumes.is_empty()).then_some(volumes),
        "WorkingDir": process["cwd"].as_str().or(service.working_dir.as_deref()).unwrap_or("/"),
        "Entrypoint": entrypoint,
        "OnBuild": null,
        "Labels": record.labels,
    });
    if let (Value::Object(config), Value::Object(rest)) = (&mut config, rest) {
        config.extend(rest);
    }
    let signal = service.stop_signal.clone();
    let signal = signal.or_else(|| of_image.and_then(|config| config.stop_signal().clone()));
    if let Some(signal) = signal {
        config["StopSignal"] = json!(signal);
    }
    if let Some(grace) = service.stop_grace_period {
        config["StopTimeout"] = json!(grace.as_secs());
    }
    config
}

/// What the program gets, or would, by what the service says.
fn environment(record: &ContainerRecord, process: &Value) -> Value {
    if let Value::Array(env) = &process["env"] {
        return json!(env);
    }
    let own: Vec<String> = record
        .template
        .environment
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
        .collect();
    json!(own)
}

fn exposed(record: &ContainerRecord) -> Value {
    let service = &record.template;
    let with_protocol = |port: &String| match port.contains('/') {
        true => port.clone(),
        false => format!("{port}/tcp"),
    };
    let mut ports: Vec<String> = service.expose.iter().map(with_protocol).collect();
    ports.extend(record.exposed.iter().map(with_protocol));
    ports.extend(
        service
            .ports
            .iter()
            .map(|port| format!("{}/{}", port.target, port.protocol)),
    );
    ports.sort();
    let ports: Map<String, Value> = ports.into_iter().map(|port| (port, json!({}))).collect();
    json!(ports)
}

fn healthcheck(record: &ContainerRecord, health: &HealthRecord) -> Value {
    let asked = record.template.healthcheck.as_ref();
    let test = match asked.and_then(|check| check.test.as_ref()) {
        Some(HealthTest::Shell(line)) => vec!["CMD-SHELL", line],
        _ => std::iter::once("CMD")
            .chain(health.command.iter().map(String::as_str))
            .collect(),
    };
    // Docker has durations in nanoseconds.
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    json!({
        "Test": test,
        "Interval": nanoseconds(health.interval),
        "Timeout": nanoseconds(health.timeout),
        "StartPeriod": nanoseconds(health.start_period),
        "StartInterval": nanoseconds(health.start_interval),
        "Retries": health.retries,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{container, running};

    #[test]
    fn what_service_and_spec_say_comes_together() {
        let mut container = container("web", 1, running());
        let record = std::sync::Arc::make_mut(&mut container.record);
        record.exposed = vec!["443/tcp".to_owned()];
        record.template.command = Some(vec!["nginx".to_owned()]);
        record.template.stop_signal = Some("SIGQUIT".to_owned());
        let spec = json!({"hostname": "h", "process": {"cwd": "/srv", "env": ["A=1"]}});
        let found = config(record, None, &spec);
        assert_eq!(found["Hostname"], "h");
        assert_eq!(found["Env"], json!(["A=1"]));
        assert_eq!(found["WorkingDir"], "/srv");
        assert_eq!(found["Cmd"], json!(["nginx"]));
        assert_eq!(found["StopSignal"], "SIGQUIT");
        let ports: Vec<&String> = found["ExposedPorts"].as_object().unwrap().keys().collect();
        assert_eq!(ports, ["443/tcp", "80/tcp", "9000/tcp"]);
    }
}
