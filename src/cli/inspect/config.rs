//! `Config`: what is run, as service and image have come to it together.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::compose::model::{HealthCheck, HealthTest, Service};
use crate::image::{Healthcheck, Image};
use crate::state::records::ContainerRecord;

/// `spec` is the OCI configuration, which has what the program really gets.
pub(super) fn config(record: &ContainerRecord, image: Option<&Image>, spec: &Value) -> Value {
    let service = &record.template;
    let of_image = image.and_then(|image| image.config.config().as_ref());
    let user = service.user.clone();
    let user = user.or_else(|| of_image.and_then(|config| config.user().clone()));
    let mut config = json!({
        "Hostname": hostname(record, spec),
        "Domainname": service.domainname.as_deref().unwrap_or_default(),
        "User": user.unwrap_or_default(),
        "AttachStdin": false,
        "AttachStdout": true,
        "AttachStderr": true,
    });
    let exposed = exposed(record);
    if !exposed.is_empty() {
        config["ExposedPorts"] = Value::Object(exposed);
    }
    config["Tty"] = json!(service.tty);
    config["OpenStdin"] = json!(service.stdin_open);
    config["StdinOnce"] = json!(false);
    let env = environment(service, image);
    config["Env"] = json!((!env.is_empty()).then_some(env));
    config["Cmd"] = json!(command(service, image));
    if let Some(check) = healthcheck(record, image) {
        config["Healthcheck"] = check;
    }
    let volumes = of_image.and_then(|config| config.volumes().clone());
    config["Image"] = json!(record.image);
    config["Volumes"] = keys(volumes.unwrap_or_default());
    config["WorkingDir"] = json!(working_dir(service, image, spec));
    let entrypoint = service.entrypoint.clone();
    let entrypoint = entrypoint.or_else(|| of_image.and_then(|config| config.entrypoint().clone()));
    config["Entrypoint"] = json!(entrypoint);
    if let Some(mac) = record
        .networks
        .iter()
        .find_map(|network| network.mac.as_ref())
    {
        config["MacAddress"] = json!(mac);
    }
    config["OnBuild"] = Value::Null;
    config["Labels"] = json!(record.labels);
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

/// Docker has sets as maps to nothing, and an empty one as nothing.
pub(in crate::cli) fn keys(mut set: Vec<String>) -> Value {
    set.sort();
    let map: Map<String, Value> = set.into_iter().map(|key| (key, json!({}))).collect();
    match map.is_empty() {
        true => Value::Null,
        false => Value::Object(map),
    }
}

/// The host name that it has, or would get.
fn hostname(record: &ContainerRecord, spec: &Value) -> String {
    let of_spec = spec["hostname"].as_str().filter(|name| !name.is_empty());
    let own = of_spec.or(record.template.hostname.as_deref());
    let short = || record.id.get(..12).unwrap_or_default();
    own.unwrap_or_else(short).to_owned()
}

fn working_dir(service: &Service, image: Option<&Image>, spec: &Value) -> String {
    let of_image = image.and_then(|image| image.config.config().as_ref());
    let of_image = || of_image.and_then(|config| config.working_dir().clone());
    let asked = service.working_dir.clone().or_else(of_image);
    match asked.filter(|dir| !dir.is_empty()) {
        // Docker: where nobody has said anything there is nothing, and the program starts in `/`.
        None => String::new(),
        Some(asked) => match spec["process"]["cwd"].as_str() {
            Some(dir) => dir.to_owned(),
            None => asked,
        },
    }
}

/// An own entry point drops the image's command.
fn command(service: &Service, image: Option<&Image>) -> Option<Vec<String>> {
    let of_image = image.and_then(|image| image.config.config().as_ref());
    let given = service.command.as_ref();
    // One without a word is none, as for Docker's engine.
    match (
        given.filter(|command| !command.is_empty()),
        &service.entrypoint,
    ) {
        (Some(command), _) => Some(command.clone()),
        (None, Some(_)) => service.command.clone(),
        (None, None) => of_image.and_then(|config| config.cmd().clone()),
    }
}

/// The service's variables, then those of the image that it does not set. A name alone takes the
/// variable away.
fn environment(service: &Service, image: Option<&Image>) -> Vec<String> {
    let mut lines: Vec<String> = service
        .environment
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        })
        .collect();
    let of_image = image.and_then(|image| image.config.config().as_ref());
    let of_image = of_image.and_then(|config| config.env().clone());
    for line in of_image.unwrap_or_default() {
        let name = line.split('=').next().unwrap_or_default();
        if !service.environment.contains_key(name) {
            lines.push(line);
        }
    }
    lines
}

fn exposed(record: &ContainerRecord) -> Map<String, Value> {
    let service = &record.template;
    let with_protocol = |port: &String| match port.contains('/') {
        true => port.clone(),
        false => format!("{port}/tcp"),
    };
    let mut ports: Vec<String> = service.expose.iter().map(with_protocol).collect();
    ports.extend(record.exposed.iter().map(with_protocol));
    let published = service.ports.iter();
    ports.extend(published.map(|port| format!("{}/{}", port.target, port.protocol)));
    ports.sort();
    ports.into_iter().map(|port| (port, json!({}))).collect()
}

/// What service and image say about it, without the defaults that the rest has; the service's words win
/// one by one. What `x-stack.ready` asks for is no program and none here.
fn healthcheck(record: &ContainerRecord, image: Option<&Image>) -> Option<Value> {
    let service = &record.template;
    if service.x_stack.ready.is_some() {
        return None;
    }
    let of_image = image.and_then(|image| image.healthcheck.clone());
    let merged = match &service.healthcheck {
        None => of_image?,
        Some(own) => merged(own, of_image.unwrap_or_default()),
    };
    Some(json!(merged))
}

fn merged(own: &HealthCheck, image: Healthcheck) -> Healthcheck {
    let words = |kind: &str, rest: &[String]| {
        let first = std::iter::once(kind.to_owned());
        first.chain(rest.iter().cloned()).collect()
    };
    // Docker has durations in nanoseconds.
    let time = |own: Option<Duration>, image: i64| {
        let own = own.filter(|duration| !duration.is_zero());
        own.map_or(image, |duration| {
            i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
        })
    };
    Healthcheck {
        test: match &own.test {
            None => image.test,
            Some(HealthTest::None) => words("NONE", &[]),
            Some(HealthTest::Command(command)) => words("CMD", command),
            Some(HealthTest::Shell(line)) => words("CMD-SHELL", std::slice::from_ref(line)),
        },
        interval: time(own.interval, image.interval),
        timeout: time(own.timeout, image.timeout),
        start_period: time(own.start_period, image.start_period),
        start_interval: time(own.start_interval, image.start_interval),
        retries: own.retries.map_or(image.retries, i64::from),
    }
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
        record.template.working_dir = Some("srv".to_owned());
        let variables = [("A", Some("1")), ("GONE", None)]
            .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        record.template.environment.extend(variables);
        let spec = json!({"hostname": "h", "process": {"cwd": "/srv"}});
        let found = config(record, None, &spec);
        assert_eq!(found["Hostname"], "h");
        assert_eq!(found["Env"], json!(["A=1", "GONE"]));
        assert_eq!(found["WorkingDir"], "/srv");
        assert_eq!(found["Cmd"], json!(["nginx"]));
        assert_eq!(found["StopSignal"], "SIGQUIT");
        let ports: Vec<&String> = found["ExposedPorts"].as_object().unwrap().keys().collect();
        assert_eq!(ports, ["443/tcp", "80/tcp", "9000/tcp"]);
        let unstarted = config(record, None, &Value::Null);
        assert_eq!(unstarted["Hostname"], "000000000000");
    }

    #[test]
    fn a_health_check_has_what_was_said_and_no_defaults() {
        let image = Healthcheck {
            test: ["CMD-SHELL", "of image"].map(str::to_owned).to_vec(),
            interval: 7,
            retries: 5,
            ..Healthcheck::default()
        };
        let said = |own: HealthCheck| json!(merged(&own, image.clone())).to_string();
        let own = HealthCheck {
            timeout: Some(Duration::from_secs(2)),
            ..HealthCheck::default()
        };
        insta::assert_snapshot!(said(own), @r#"{"Test":["CMD-SHELL","of image"],"Interval":7,"Timeout":2000000000,"Retries":5}"#);
        let off = HealthCheck {
            test: Some(HealthTest::None),
            ..HealthCheck::default()
        };
        let alone = json!(merged(&off, Healthcheck::default()));
        assert_eq!(alone.to_string(), r#"{"Test":["NONE"]}"#);
    }
}
