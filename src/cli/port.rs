//! `stack port`.

use std::io::Write as _;

use clap::Args;

use super::containers::{self, Listed, Publisher, publishers};
use super::context::Context;
use super::error::{Error, Result};
use super::pick::Target;
use super::project::Project;
use crate::compose::model::ServiceName;

/// Flags of `port`.
#[derive(Debug, Args)]
pub(crate) struct Port {
    #[command(flatten)]
    target: Target,
    /// Port in the container; none = all of them.
    #[arg(value_name = "PRIVATE_PORT")]
    port: Option<u16>,
    /// `tcp` or `udp`; `tcp` for a port that is named.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
}

impl Port {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let services = [ServiceName::new(&self.target.service)];
        let list = containers::list(context, &project.name, &services)?;
        let text = self.answer(&list)?;
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    fn answer(&self, list: &[Listed]) -> Result<String> {
        let listed = self.container(list)?;
        let all = publishers(listed);
        let protocol = self.protocol.as_deref().map(str::to_lowercase);
        let Some(port) = self.port.filter(|port| *port != 0) else {
            let wanted = |publisher: &&Publisher| {
                let protocol = protocol.as_ref();
                protocol.is_none_or(|protocol| publisher.protocol == *protocol)
            };
            let lines = all.iter().filter(wanted).map(|publisher| {
                let Publisher {
                    target, protocol, ..
                } = publisher;
                format!("{target}/{protocol} -> {}\n", publisher.host_port())
            });
            return Ok(lines.collect());
        };
        let protocol = protocol.unwrap_or_else(|| "tcp".to_owned());
        let found = all
            .iter()
            .find(|publisher| publisher.target == port && publisher.protocol == protocol);
        match found {
            Some(publisher) => Ok(format!("{}\n", publisher.host_port())),
            None => Err(no_port(listed, (port, &protocol), &all)),
        }
    }

    fn container<'a>(&self, list: &'a [Listed]) -> Result<&'a Listed> {
        let of_service = || {
            list.iter().filter(|listed| {
                let record = listed.record();
                record.service.as_str() == self.target.service
                    && !record.one_off
                    && listed.container.is_up()
            })
        };
        let found = of_service()
            .filter(|listed| {
                self.target.which.index == 0 || listed.record().number == self.target.which.index
            })
            .min_by_key(|listed| listed.record().number);
        found.ok_or_else(|| {
            let service = &self.target.service;
            let which = match of_service().next() {
                Some(_) => format!(
                    "service {service:?} is not running container #{}",
                    self.target.which.index
                ),
                None => format!("service {service:?} is not running"),
            };
            Error::new(which).hint("`stack ps -a` shows what there is")
        })
    }
}

fn no_port(listed: &Listed, (port, protocol): (u16, &str), all: &[Publisher]) -> Error {
    let mut known: Vec<String> = all
        .iter()
        .map(|publisher| format!("{}/{}", publisher.target, publisher.protocol))
        .collect();
    known.dedup();
    let name = &listed.record().name;
    Error::new(format!(
        "no port {port}/{protocol} for container {name}: {}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::containers::State;
    use crate::cli::containers::tests::{container, exited, running};

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        port: Port,
    }

    fn answer(arguments: &[&str]) -> String {
        let list = [
            (container("web", 1, exited(0)), State::Exited),
            (container("web", 2, running()), State::Running),
            (container("web", 3, running()), State::Running),
            (container("job", 1, exited(0)), State::Exited),
        ]
        .map(|(container, state)| Listed { container, state });
        let port = Wrapper::try_parse_from([&["port"], arguments].concat());
        match port.unwrap().port.answer(&list) {
            Ok(text) => text,
            Err(error) => error.summary(),
        }
    }

    #[test]
    fn one_port_is_its_first_address_and_all_are_a_list() {
        assert_eq!(answer(&["web", "80"]), "0.0.0.0:8080\n");
        assert_eq!(answer(&["web", "9000"]), ":0\n");
        assert_eq!(answer(&["web", "80", "--index", "3"]), "0.0.0.0:8080\n");
        insta::assert_snapshot!(answer(&["web"]), @r"
        80/tcp -> 0.0.0.0:8080
        80/tcp -> [::]:8080
        9000/tcp -> :0
        ");
        assert_eq!(answer(&["web", "--protocol", "udp"]), "");
    }

    #[test]
    fn what_is_not_there_is_said_in_docker_compose_s_words() {
        for (arguments, said) in [
            (
                &["web", "81"][..],
                "no port 81/tcp for container shop-web-2: 80/tcp, 9000/tcp",
            ),
            (
                &["web", "80", "--protocol", "UDP"],
                "no port 80/udp for container shop-web-2: 80/tcp, 9000/tcp",
            ),
            (
                &["web", "80", "--index", "1"],
                "service \"web\" is not running container #1",
            ),
            (&["job", "80"], "service \"job\" is not running"),
            (&["nope", "80"], "service \"nope\" is not running"),
        ] {
            assert_eq!(answer(arguments), said);
        }
    }
}
