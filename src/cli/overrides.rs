//! What flags of `run` change of a service.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use indexmap::IndexMap;

use super::error::{Error, Result};
use crate::compose::model::{
    Mount, MountSource, PortMapping, Protocol, Published, RestartPolicy, Service, Volume, VolumeKey,
};
use crate::compose::read_variables;

/// Flags of `run` that change the service.
#[derive(Debug, Args)]
pub(crate) struct Overrides {
    /// Entry point instead of the image's; its words are split as a shell does.
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Set a variable, or pass on the caller's.
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// File with variables.
    #[arg(long, value_name = "FILE")]
    env_from_file: Vec<PathBuf>,
    /// Run as this user.
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Directory to run in.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Mount a path or volume.
    #[arg(short, long, alias = "volumes", value_name = "SOURCE:TARGET")]
    volume: Vec<String>,
    /// Publish a port.
    #[arg(short, long, value_name = "[IP:][HOST:]PORT[/PROTOCOL]")]
    publish: Vec<String>,
    /// Publish the service's ports.
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// Set a label.
    #[arg(short, long, alias = "labels", value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Add a capability.
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Take a capability away.
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
}

impl Overrides {
    /// Changes the service, and adds volumes that only the command line names.
    pub(crate) fn apply(
        &self,
        service: &mut Service,
        volumes: &mut IndexMap<VolumeKey, Volume>,
        (command, variables): (&[String], &IndexMap<String, String>),
    ) -> Result<()> {
        if self.service_ports && !self.publish.is_empty() {
            return Err(Error::new("--service-ports and --publish are incompatible"));
        }
        if let Some(entrypoint) = &self.entrypoint {
            let words = shlex::split(entrypoint).ok_or_else(|| {
                Error::new(format!(
                    "`{entrypoint}` is no entry point: a quote is not closed"
                ))
            })?;
            service.entrypoint = Some(words);
            // An own entry point does without the old command.
            service.command = Some(Vec::new());
        }
        if !command.is_empty() {
            service.command = Some(command.to_vec());
        }
        self.environment(service, variables)?;
        if self.user.is_some() {
            service.user.clone_from(&self.user);
        }
        if self.workdir.is_some() {
            service.working_dir.clone_from(&self.workdir);
        }
        for label in &self.label {
            let (name, value) = label
                .split_once('=')
                .ok_or_else(|| Error::new("label must be set as KEY=VALUE"))?;
            service.labels.insert(name.to_owned(), value.to_owned());
        }
        service
            .cap_drop
            .retain(|dropped| !self.cap_add.contains(dropped));
        service
            .cap_add
            .retain(|added| !self.cap_drop.contains(added));
        service.cap_add.extend(self.cap_add.iter().cloned());
        service.cap_drop.extend(self.cap_drop.iter().cloned());
        if !self.service_ports {
            service.ports.clear();
        }
        for text in &self.publish {
            service.ports.extend(port(text)?);
        }
        for text in &self.volume {
            let mount = mount(text, volumes)?;
            service.volumes.retain(|other| other.target != mount.target);
            service.volumes.push(mount);
        }
        // One run is one run, and its container has a name of its own.
        service.restart = RestartPolicy::No;
        service.container_name = None;
        service.replicas = 1;
        Ok(())
    }

    fn environment(
        &self,
        service: &mut Service,
        variables: &IndexMap<String, String>,
    ) -> Result<()> {
        let caller = |name: &str| {
            let own = std::env::var(name).ok();
            own.or_else(|| variables.get(name).cloned())
        };
        for path in &self.env_from_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Error::new(format!("cannot read the variables in {}", path.display()))
                    .because(error)
            })?;
            let read = read_variables(&text, &caller).map_err(|reason| {
                Error::new(format!("cannot read the variables in {}", path.display()))
                    .because(reason)
            })?;
            for (name, value) in read {
                service.environment.insert(name, Some(value));
            }
        }
        self.env
            .iter()
            .for_each(|entry| set_variable(service, entry, variables));
        Ok(())
    }
}

/// `NAME=value` sets; `NAME` passes on the caller's or, when it has none, that of `.env`; else nothing
/// changes.
fn set_variable(service: &mut Service, entry: &str, variables: &IndexMap<String, String>) {
    let (name, value) = match entry.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => {
            let own = std::env::var(entry).ok();
            (entry, own.or_else(|| variables.get(entry).cloned()))
        }
    };
    if let Some(value) = value {
        service.environment.insert(name.to_owned(), Some(value));
    }
}

/// `[ip:][host[-range]:]container[-range][/protocol]`.
fn port(text: &str) -> Result<Vec<PortMapping>> {
    let wrong = || {
        Error::new(format!("`{text}` is no port to publish"))
            .hint("write it as 8080:80, 127.0.0.1:8080:80, 8080:80/udp or 80")
    };
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some(_) => return Err(wrong()),
        None => (text, Protocol::Tcp),
    };
    let (rest, target) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (host_ip, published) = match rest.rsplit_once(':') {
        Some((ip, published)) => {
            let ip = ip.trim_start_matches('[').trim_end_matches(']');
            (Some(ip.parse::<IpAddr>().map_err(|_| wrong())?), published)
        }
        None => (None, rest),
    };
    let target = ports(target).ok_or_else(wrong)?;
    let published = match published {
        "" => None,
        text => Some(ports(text).ok_or_else(wrong)?),
    };
    let mapping = |target, published| PortMapping {
        target,
        published,
        host_ip,
        protocol,
    };
    match published {
        None => Ok(target
            .map(|target| mapping(target, Published::Any))
            .collect()),
        Some(published) if published.len() == target.len() => Ok(target
            .zip(published)
            .map(|(target, published)| mapping(target, Published::Port(published)))
            .collect()),
        Some(published) if target.len() == 1 => {
            let range = Published::Range(*published.start(), *published.end());
            Ok(vec![mapping(*target.start(), range)])
        }
        Some(_) => Err(wrong()),
    }
}

/// A port or an inclusive range of ports, none of them 0.
fn ports(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

/// `source:target[:options]`, or a target alone.
fn mount(text: &str, volumes: &mut IndexMap<VolumeKey, Volume>) -> Result<Mount> {
    let wrong = || {
        Error::new(format!("`{text}` is no mount"))
            .hint("write it as ./directory:/target, name:/target or /target, with :ro at the end for read-only")
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err(wrong()),
    };
    if !target.starts_with('/') {
        return Err(wrong());
    }
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" | "z" | "Z" => read_only &= option != "rw",
            _ => return Err(wrong()),
        }
    }
    let source = match source {
        None => MountSource::Anonymous,
        Some("") => return Err(wrong()),
        Some(path) if path.starts_with(['.', '/', '~']) => bind(path)?,
        Some(name) => {
            let key = VolumeKey::new(name);
            // One that the stack file does not have is not the project's.
            volumes.entry(key.clone()).or_insert_with(|| Volume {
                name: name.to_owned(),
                external: true,
                ..Volume::default()
            });
            MountSource::Volume {
                volume: key,
                nocopy: false,
                subpath: None,
            }
        }
    };
    Ok(Mount {
        target: target.to_owned(),
        read_only,
        source,
    })
}

fn bind(path: &str) -> Result<MountSource> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let path = match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    };
    let absolute = std::path::absolute(Path::new(&path)).map_err(|error| {
        Error::new(format!("cannot find the way to {}", path.display())).because(error)
    })?;
    Ok(MountSource::Bind {
        path: absolute,
        create_host_path: true,
        propagation: None,
        recursive: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        overrides: Overrides,
    }

    fn applied(flags: &[&str], command: &[&str]) -> (Service, IndexMap<VolumeKey, Volume>) {
        let overrides = Wrapper::try_parse_from([&["run"], flags].concat())
            .unwrap()
            .overrides;
        let mut service = Service {
            command: Some(vec!["serve".to_owned()]),
            ports: port("80:80").unwrap(),
            restart: RestartPolicy::Always,
            container_name: Some("the-web".to_owned()),
            cap_drop: vec!["NET_RAW".to_owned()],
            ..Service::default()
        };
        service
            .environment
            .insert("A".to_owned(), Some("old".to_owned()));
        let mut volumes = IndexMap::new();
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        overrides
            .apply(&mut service, &mut volumes, (&command, &IndexMap::new()))
            .unwrap();
        (service, volumes)
    }

    #[test]
    fn a_run_publishes_nothing_and_is_not_started_again() {
        let (service, _) = applied(&[], &[]);
        assert_eq!(service.command, Some(vec!["serve".to_owned()]));
        assert!(service.ports.is_empty());
        assert_eq!(service.restart, RestartPolicy::No);
        assert_eq!(service.container_name, None);
        assert_eq!(applied(&["-P"], &[]).0.ports.len(), 1);
        assert_eq!(applied(&["-p", "81:81"], &[]).0.ports.len(), 1);
    }

    #[test]
    fn the_command_line_wins_over_the_service() {
        let flags = [
            "--entrypoint",
            "sh -c",
            "-e",
            "A=new",
            "-e",
            "B=2",
            "-e",
            "NOBODY_HAS_THIS",
            "-u",
            "nobody",
            "-w",
            "/tmp",
            "-l",
            "x=y",
            "--cap-add",
            "NET_RAW",
        ];
        let (service, _) = applied(&flags, &["echo hi"]);
        assert_eq!(
            service.entrypoint,
            Some(vec!["sh".to_owned(), "-c".to_owned()])
        );
        assert_eq!(service.command, Some(vec!["echo hi".to_owned()]));
        assert_eq!(service.environment["A"].as_deref(), Some("new"));
        assert_eq!(service.environment["B"].as_deref(), Some("2"));
        assert!(!service.environment.contains_key("NOBODY_HAS_THIS"));
        assert_eq!(service.user.as_deref(), Some("nobody"));
        assert_eq!(service.working_dir.as_deref(), Some("/tmp"));
        assert_eq!(service.labels["x"], "y");
        assert!(service.cap_drop.is_empty());
        assert_eq!(service.cap_add, ["NET_RAW"]);
        let (service, _) = applied(&["--entrypoint", "sh"], &[]);
        assert_eq!(service.command, Some(Vec::new()));
    }

    #[test]
    fn mounts_are_paths_or_volumes() {
        let (service, volumes) =
            applied(&["-v", "/a:/b:ro", "-v", "data:/data", "-v", "/anon"], &[]);
        assert!(service.volumes[0].read_only);
        assert!(matches!(
            &service.volumes[0].source,
            MountSource::Bind { path, .. } if path == Path::new("/a")
        ));
        assert!(matches!(
            &service.volumes[1].source,
            MountSource::Volume { .. }
        ));
        assert_eq!(service.volumes[2].source, MountSource::Anonymous);
        assert_eq!(volumes[&VolumeKey::new("data")].name, "data");
        for text in ["a:b", ":/x", "a:/b:huge", "a:/b:ro:x", ""] {
            assert!(mount(text, &mut IndexMap::new()).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_have_addresses_ranges_and_protocols() {
        let read = |text: &str| {
            let mappings = port(text).unwrap();
            let texts = mappings.iter().map(|mapping| {
                let ip = mapping
                    .host_ip
                    .map(|ip| format!("{ip} "))
                    .unwrap_or_default();
                format!(
                    "{ip}{:?}->{}/{}",
                    mapping.published, mapping.target, mapping.protocol
                )
            });
            texts.collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            ("80", "Any->80/tcp"),
            ("8080:80", "Port(8080)->80/tcp"),
            ("127.0.0.1:8080:80/udp", "127.0.0.1 Port(8080)->80/udp"),
            ("[::1]:8080:80", "::1 Port(8080)->80/tcp"),
            ("127.0.0.1::80", "127.0.0.1 Any->80/tcp"),
            ("8000-8001:80-81", "Port(8000)->80/tcp Port(8001)->81/tcp"),
            ("8000-8010:80", "Range(8000, 8010)->80/tcp"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        for text in [
            "",
            "0",
            "x",
            "80/sctp",
            "8000-8001:80-82",
            "70000:80",
            "a:1:2",
            "9-1",
        ] {
            assert!(port(text).is_err(), "{text}");
        }
    }
}
