//! Service + image → what a container is made of. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::compose::model::{HealthTest, Ready, Service};
use crate::engine::EngineError;
use crate::image::{Healthcheck, Image};
use crate::state::records::HealthRecord;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
const DEFAULT_PROBE: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: u32 = 3;

/// Program and arguments: an own entry point drops the image's command.
///
/// A command without words is none, and so is an entry point, which then takes away the image's (the
/// rule of Docker's engine, which cannot tell them apart).
pub(super) fn command(service: &Service, image: &Image) -> Vec<String> {
    let config = image.config.config().as_ref();
    let of_image = |words: Option<&Vec<String>>| words.cloned().unwrap_or_default();
    let image_entrypoint = of_image(config.and_then(|config| config.entrypoint().as_ref()));
    let image_command = of_image(config.and_then(|config| config.cmd().as_ref()));
    let mut words = service.entrypoint.clone().unwrap_or(image_entrypoint);
    let own = |words: &Option<Vec<String>>| words.clone().filter(|words| !words.is_empty());
    words.extend(match (own(&service.command), own(&service.entrypoint)) {
        (Some(command), _) => command,
        (None, Some(_)) => Vec::new(),
        (None, None) => image_command,
    });
    words
}

/// `NAME=value` for the program: the image's, then the service's; `None` takes a variable away.
pub(super) fn environment(service: &Service, image: &Image, hostname: &str) -> Vec<String> {
    let mut variables: indexmap::IndexMap<String, String> = indexmap::IndexMap::new();
    variables.insert("PATH".to_owned(), DEFAULT_PATH.to_owned());
    variables.insert("HOSTNAME".to_owned(), hostname.to_owned());
    if service.tty {
        variables.insert("TERM".to_owned(), "xterm".to_owned());
    }
    let of_image = image
        .config
        .config()
        .as_ref()
        .and_then(|config| config.env().as_ref());
    for line in of_image.into_iter().flatten() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        variables.insert(name.to_owned(), value.to_owned());
    }
    for (name, value) in &service.environment {
        match value {
            Some(value) => drop(variables.insert(name.clone(), value.clone())),
            None => drop(variables.shift_remove(name)),
        }
    }
    variables
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// Directory the program starts in.
pub(super) fn working_dir(service: &Service, image: &Image) -> String {
    let of_image = image
        .config
        .config()
        .as_ref()
        .and_then(|config| config.working_dir().clone());
    let dir = service.working_dir.clone().or(of_image).unwrap_or_default();
    match dir.as_str() {
        "" => "/".to_owned(),
        relative if !relative.starts_with('/') => format!("/{relative}"),
        _ => dir,
    }
}

/// `user[:group]`; `None` = root.
pub(super) fn user(service: &Service, image: &Image) -> Option<String> {
    let of_image = image
        .config
        .config()
        .as_ref()
        .and_then(|config| config.user().clone());
    service
        .user
        .clone()
        .or(of_image)
        .filter(|user| !user.is_empty())
}

/// Labels that the image brings.
pub(super) fn image_labels(image: &Image) -> BTreeMap<String, String> {
    let labels = image
        .config
        .config()
        .as_ref()
        .and_then(|config| config.labels().clone());
    labels.unwrap_or_default().into_iter().collect()
}

/// Paths that the image declares as volumes.
pub(super) fn image_volumes(image: &Image) -> Vec<String> {
    let volumes = image
        .config
        .config()
        .as_ref()
        .and_then(|config| config.volumes().clone());
    let mut volumes = volumes.unwrap_or_default();
    volumes.sort();
    volumes
}

/// Ports that the image announces, with their protocol.
pub(super) fn image_ports(image: &Image) -> Vec<String> {
    let config = image.config.config().as_ref();
    let ports = config.and_then(|config| config.exposed_ports().clone());
    let mut ports: Vec<String> = ports
        .unwrap_or_default()
        .into_iter()
        .map(|port| match port.contains('/') {
            true => port,
            false => format!("{port}/tcp"),
        })
        .collect();
    ports.sort();
    ports
}

/// The signal that asks the program to stop.
pub(super) fn stop_signal(service: &Service, image: &Image) -> Result<i32, EngineError> {
    let of_image = image
        .config
        .config()
        .as_ref()
        .and_then(|config| config.stop_signal().clone());
    match service
        .stop_signal
        .clone()
        .or(of_image)
        .filter(|text| !text.is_empty())
    {
        None => Ok(Signal::SIGTERM as i32),
        Some(text) => parse_signal(&text).ok_or_else(|| {
            EngineError::Value(format!(
                "`{text}` is not a signal; write `SIGTERM` or a number"
            ))
        }),
    }
}

/// A signal by number or name, with or without `SIG`, also `RTMIN+n` and `RTMAX-n`.
pub fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    // The two that the C library keeps for itself are not counted.
    let real_time = |rest: &str, from: i32, sign: i32| -> Option<i32> {
        let number = match rest.get(1..) {
            None => 0,
            Some(digits) => digits.parse::<i32>().ok()?,
        };
        let signal = from + sign * number;
        (34..=64).contains(&signal).then_some(signal)
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return real_time(rest, 34, 1);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return real_time(rest, 64, -1);
    }
    format!("SIG{name}")
        .parse::<Signal>()
        .ok()
        .map(|signal| signal as i32)
}

/// How long the program may take to stop.
pub(super) fn stop_grace(service: &Service) -> Duration {
    service.stop_grace_period.unwrap_or(DEFAULT_GRACE)
}

/// How health is probed: the service's words win one by one over the image's.
pub(super) fn health(service: &Service, image: &Image) -> Option<HealthRecord> {
    if let Some(ready) = &service.x_stack.ready {
        return Some(ready_check(ready));
    }
    let own = service.healthcheck.clone().unwrap_or_default();
    let of_image = image.healthcheck.clone().unwrap_or_default();
    let command = match &own.test {
        Some(HealthTest::None) => return None,
        Some(HealthTest::Command(words)) => words.clone(),
        Some(HealthTest::Shell(line)) => shell(line),
        None => image_test(&of_image)?,
    };
    let pick = |own: Option<Duration>, image: i64, default: Duration| {
        let image = u64::try_from(image)
            .ok()
            .filter(|nanos| *nanos > 0)
            .map(Duration::from_nanos);
        own.filter(|duration| !duration.is_zero())
            .or(image)
            .unwrap_or(default)
    };
    let retries = u32::try_from(of_image.retries).ok();
    Some(HealthRecord {
        command,
        interval: pick(own.interval, of_image.interval, DEFAULT_PROBE),
        timeout: pick(own.timeout, of_image.timeout, DEFAULT_PROBE),
        retries: own
            .retries
            .or(retries)
            .filter(|retries| *retries > 0)
            .unwrap_or(DEFAULT_RETRIES),
        start_period: pick(own.start_period, of_image.start_period, Duration::ZERO),
        start_interval: pick(
            own.start_interval,
            of_image.start_interval,
            DEFAULT_START_INTERVAL,
        ),
    })
}

/// `x-stack.ready` as a health check: there is no program to run.
fn ready_check(ready: &Ready) -> HealthRecord {
    let pick = |given: Option<Duration>, default: Duration| {
        given
            .filter(|duration| !duration.is_zero())
            .unwrap_or(default)
    };
    HealthRecord {
        command: Vec::new(),
        interval: pick(ready.interval, DEFAULT_PROBE),
        timeout: pick(ready.timeout, DEFAULT_PROBE),
        retries: ready
            .retries
            .filter(|retries| *retries > 0)
            .unwrap_or(DEFAULT_RETRIES),
        start_period: ready.start_period.unwrap_or_default(),
        start_interval: pick(ready.start_interval, DEFAULT_START_INTERVAL),
    }
}

fn image_test(of_image: &Healthcheck) -> Option<Vec<String>> {
    match of_image.test.split_first()? {
        (kind, words) if kind == "CMD" && !words.is_empty() => Some(words.to_vec()),
        (kind, [line]) if kind == "CMD-SHELL" => Some(shell(line)),
        _ => None,
    }
}

fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::HealthCheck;

    fn image(config: &str) -> Image {
        Image {
            id: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
            manifest: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
            references: Vec::new(),
            repo_digests: Vec::new(),
            config: serde_json::from_str(&format!(
                r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"config":{config}}}"#
            ))
            .unwrap(),
            healthcheck: None,
            layers: Vec::new(),
            size: 0,
            created: None,
            pulled: None,
        }
    }

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn an_own_entrypoint_drops_the_images_command() {
        let image = image(r#"{"Entrypoint":["/entry"],"Cmd":["serve","-v"]}"#);
        let table = [
            (None, None, "/entry serve -v"),
            (None, words("other"), "/entry other"),
            (words("/own"), None, "/own"),
            (words("/own"), words("x"), "/own x"),
            (words(""), words("x"), "x"),
            (None, words(""), "/entry serve -v"),
            (words(""), None, "serve -v"),
            (words(""), words(""), "serve -v"),
            (words("/own"), words(""), "/own"),
        ];
        for (entrypoint, given, expected) in table {
            let service = Service {
                entrypoint,
                command: given,
                ..Service::default()
            };
            assert_eq!(command(&service, &image).join(" "), expected);
        }
    }

    #[test]
    fn the_services_environment_wins_and_can_take_away() {
        let image = image(r#"{"Env":["PATH=/bin","A=1","B=2"]}"#);
        let mut service = Service::default();
        service
            .environment
            .insert("A".to_owned(), Some("x=y".to_owned()));
        service.environment.insert("B".to_owned(), None);
        assert_eq!(
            environment(&service, &image, "h"),
            ["PATH=/bin", "HOSTNAME=h", "A=x=y"]
        );
    }

    #[test]
    fn signals_have_many_names() {
        let table = [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("RTMAX-99", None),
            ("0", None),
            ("65", None),
            ("SIGNOTHING", None),
            ("RTMIN+é", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_signal(text), expected, "{text}");
        }
    }

    #[test]
    fn health_words_win_one_by_one() {
        let mut image = image("{}");
        image.healthcheck = Some(Healthcheck {
            test: ["CMD-SHELL", "check me"].map(str::to_owned).to_vec(),
            interval: 7_000_000_000,
            retries: 5,
            ..Healthcheck::default()
        });
        let mut service = Service {
            healthcheck: Some(HealthCheck {
                timeout: Some(Duration::from_secs(2)),
                ..HealthCheck::default()
            }),
            ..Service::default()
        };
        let found = health(&service, &image).unwrap();
        assert_eq!(found.command, ["/bin/sh", "-c", "check me"]);
        assert_eq!(found.interval, Duration::from_secs(7));
        assert_eq!(found.timeout, Duration::from_secs(2));
        assert_eq!(found.retries, 5);
        assert_eq!(found.start_interval, Duration::from_secs(5));
        service.healthcheck = Some(HealthCheck {
            test: Some(HealthTest::None),
            ..HealthCheck::default()
        });
        assert_eq!(health(&service, &image), None);
    }
}
