//! `stack ps`.

use std::collections::BTreeSet;
use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::choice::Format;
use super::containers::{self, Listed, State, ports_text, publishers, short_id};
use super::context::Context;
use super::docker_config::DockerConfig;
use super::error::{Error, Result};
use super::filter::Filters;
use super::project::Project;
use super::reload;
use crate::engine::native::HOOK_LABEL;
use crate::ui::{Table, words};

/// Flags of `ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Services whose containers are listed; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// List stopped containers and those of `run`, too.
    #[arg(short, long)]
    all: bool,
    /// Print ids only.
    #[arg(short, long)]
    quiet: bool,
    /// Print the names of services only.
    #[arg(long = "services")]
    only_services: bool,
    /// List containers in this state only (created, running, paused, restarting, exited, dead).
    #[arg(long, value_name = "STATE")]
    status: Vec<String>,
    /// List containers only that are so: `status=STATE`, `name=PART`, `label=KEY` or
    /// `label=KEY=VALUE`.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Do not shorten ids and commands.
    #[arg(long)]
    no_trunc: bool,
    /// List containers of services that the stack file does not have.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    orphans: bool,
}

impl Ps {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let filters = self.filters()?;
        let states = self.states(&filters)?;
        let project = Project::find(context)?;
        let services = project.named(&self.services)?;
        let mut list = containers::list(context, &project.name, &services)?;
        list.retain(|listed| {
            let record = listed.record();
            let by_state = match &states {
                None => self.all || listed.state.is_active(),
                Some(states) => states.contains(&listed.state),
            };
            by_state
                && filters.any("name", |part| record.name.contains(part))
                && filters.labels(&record.labels)
                // Those of steps before a start are no containers of the service (Docker Compose).
                && !record.labels.contains_key(HOOK_LABEL)
                // Who asks for a state asks for all that are in it (Docker Compose).
                && (self.all || states.is_some() || !record.one_off)
                && (self.orphans || project.has(&record.service))
        });
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let format = match &self.format {
            Some(format) => format.clone(),
            None => DockerConfig::read(context).ps_format().unwrap_or_default(),
        };
        self.print(&list, (&format, Timestamp::now()), &mut out)?;
        out.flush()?;
        if format == Format::Table && !self.quiet && !self.only_services {
            reload::note_trouble(context, &project.name);
        }
        Ok(())
    }

    fn filters(&self) -> Result<Filters> {
        for filter in &self.filter {
            let error = match filter.split_once('=') {
                Some((key, _)) if FILTERS.contains(&key) => continue,
                Some((key, _)) => Error::new(format!("unknown filter {key}")),
                None => Error::new("arguments to --filter should be in form KEY=VAL"),
            };
            return Err(error.hint(format!("there are {}", FILTERS.join(", "))));
        }
        Filters::parse(&self.filter, &FILTERS)
    }

    /// The states asked for; `None` = what `--all` says.
    fn states(&self, filters: &Filters) -> Result<Option<Vec<State>>> {
        let mut texts = self.status.clone();
        texts.extend(filters.values("status").iter().cloned());
        if texts.is_empty() {
            return Ok(None);
        }
        let mut states = Vec::new();
        for text in texts.iter().filter(|text| *text != REMOVING) {
            let state = State::ALL.into_iter().find(|state| state.word() == text);
            states.push(state.ok_or_else(|| {
                let words = State::ALL.map(State::word).join(", ");
                Error::new(format!("`{text}` is no state of a container"))
                    .hint(format!("the states are {words}"))
            })?);
        }
        Ok(Some(states))
    }

    fn print(
        &self,
        list: &[Listed],
        (format, now): (&Format, Timestamp),
        out: &mut dyn Write,
    ) -> Result<()> {
        if self.quiet {
            for listed in list {
                writeln!(out, "{}", listed.record().id)?;
            }
        } else if self.only_services {
            let names: BTreeSet<&str> = list
                .iter()
                .map(|listed| listed.record().service.as_str())
                .collect();
            for name in names {
                writeln!(out, "{name}")?;
            }
        } else if *format != Format::Table {
            let rows: Vec<Row> = list.iter().map(|listed| self.row(listed, now)).collect();
            let labels = |index: usize| list.get(index).map(|one: &Listed| &one.record().labels);
            format.write_labelled(&rows, (&HEADS, &labels), out)?;
        } else {
            let head = [
                "NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS",
            ];
            let mut table = Table::new(&head);
            for listed in list {
                let record = listed.record();
                table.row(vec![
                    record.name.clone(),
                    record.image.clone(),
                    command_text(&record.command, self.no_trunc),
                    record.service.to_string(),
                    words::ago(record.created, now),
                    listed.status(now),
                    ports_text(listed),
                ]);
            }
            table.write(out)?;
        }
        Ok(())
    }

    fn row(&self, listed: &Listed, now: Timestamp) -> Row {
        let record = listed.record();
        let labels: Vec<String> = record
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let mounts: Vec<String> = record.mounts.iter().map(mount_text).collect();
        let local = record
            .mounts
            .iter()
            .filter(|mount| mount.kind == "volume")
            .count();
        let networks: Vec<&str> = record
            .networks
            .iter()
            .map(|network| network.network.as_str())
            .collect();
        let id = match self.no_trunc {
            true => record.id.clone(),
            false => short_id(&record.id).to_owned(),
        };
        Row {
            command: command_text(&record.command, self.no_trunc),
            created_at: words::time(record.created),
            engine: "",
            exit_code: listed.exit_code(),
            health: listed.health(),
            id,
            image: record.image.clone(),
            labels: labels.join(","),
            local_volumes: local.to_string(),
            mounts: mounts.join(","),
            name: record.name.clone(),
            names: record.name.clone(),
            networks: networks.join(","),
            ports: ports_text(listed),
            project: record.project.clone(),
            publishers: publishers(listed)
                .into_iter()
                .map(|publisher| PublisherRow {
                    url: publisher.url,
                    target_port: publisher.target,
                    published_port: publisher.published,
                    protocol: publisher.protocol,
                })
                .collect(),
            running_for: words::ago(record.created, now),
            service: record.service.to_string(),
            size: "0B",
            state: listed.state.word(),
            status: listed.status(now),
        }
    }
}

/// What can be asked for with `--filter`.
const FILTERS: [&str; 3] = ["status", "name", "label"];
/// A state of Docker's that nothing is seen in here: a container goes at once.
const REMOVING: &str = "removing";

/// Columns whose heads are not their names.
const HEADS: [(&str, &str); 3] = [
    ("ID", "CONTAINER ID"),
    ("RunningFor", "CREATED"),
    ("ExitCode", "EXIT CODE"),
];

/// A container as `docker compose ps --format json` has it: its fields in its order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    command: String,
    created_at: String,
    /// Which of several engines it is on; there is one.
    engine: &'static str,
    exit_code: i32,
    health: &'static str,
    #[serde(rename = "ID")]
    id: String,
    image: String,
    labels: String,
    local_volumes: String,
    mounts: String,
    name: String,
    names: String,
    networks: String,
    ports: String,
    project: String,
    publishers: Vec<PublisherRow>,
    running_for: String,
    service: String,
    size: &'static str,
    state: &'static str,
    status: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PublisherRow {
    #[serde(rename = "URL")]
    url: String,
    target_port: u16,
    published_port: u16,
    protocol: String,
}

/// A mount in a list: a volume by its name, others by their path on the host.
pub(super) fn mount_text(mount: &crate::state::records::MountRecord) -> String {
    match mount.name.is_empty() {
        true => mount.source.display().to_string(),
        false => mount.name.clone(),
    }
}

/// Program and arguments in quotes, twenty characters of them unless asked for all.
pub(super) fn command_text(command: &[String], whole: bool) -> String {
    const SHOWN: usize = 20;
    // As Docker's engine writes it: what is behind the program stands in quotes where it has a blank.
    let word = |(index, word): (usize, &String)| match index > 0 && word.contains(' ') {
        true => format!("'{word}'"),
        false => word.clone(),
    };
    let words: Vec<String> = command.iter().enumerate().map(word).collect();
    let text = words.join(" ");
    let text = match whole || text.chars().count() <= SHOWN {
        true => text,
        false => text.chars().take(SHOWN - 1).chain(['…']).collect(),
    };
    // As Go quotes: a line stays one.
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    let quoted = quoted.replace('\n', "\\n").replace('\t', "\\t");
    format!("\"{quoted}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{at, container, exited, running};
    use clap::Parser;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        ps: Ps,
    }

    fn ps(flags: &[&str]) -> Ps {
        Wrapper::try_parse_from([&["ps"], flags].concat())
            .unwrap()
            .ps
    }

    fn printed(flags: &[&str]) -> String {
        let list = [
            Listed {
                container: container("web", 1, running()),
                state: State::Running,
            },
            Listed {
                container: container("job", 1, exited(3)),
                state: State::Exited,
            },
        ];
        let mut out = Vec::new();
        let ps = ps(flags);
        let format = ps.format.clone().unwrap_or_default();
        ps.print(&list, (&format, at(65)), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_has_docker_compose_s_columns() {
        insta::assert_snapshot!(printed(&[]), @r#"
        NAME         IMAGE     COMMAND                  SERVICE   CREATED              STATUS                      PORTS
        shop-web-1   nginx:1   "nginx -g 'daemon of…"   web       About a minute ago   Up About a minute           9000/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp
        shop-job-1   nginx:1   "nginx -g 'daemon of…"   job       About a minute ago   Exited (3) 55 seconds ago  
        "#);
        assert_eq!(printed(&["--services"]), "job\nweb\n");
        let ids = format!("{:0>64}\n", 1).repeat(2);
        assert_eq!(printed(&["-q"]), ids);
    }

    #[test]
    fn json_has_docker_compose_s_fields() {
        let text = printed(&["--format", "json"]);
        let first = text.lines().next().unwrap();
        insta::assert_snapshot!(first, @r#"{"Command":"\"nginx -g 'daemon of…\"","CreatedAt":"2023-11-14 22:13:20 +0000 UTC","Engine":"","ExitCode":0,"Health":"","ID":"000000000000","Image":"nginx:1","Labels":"","LocalVolumes":"0","Mounts":"","Name":"shop-web-1","Names":"shop-web-1","Networks":"","Ports":"9000/tcp, 0.0.0.0:8080-\u003e80/tcp, [::]:8080-\u003e80/tcp","Project":"shop","Publishers":[{"URL":"0.0.0.0","TargetPort":80,"PublishedPort":8080,"Protocol":"tcp"},{"URL":"::","TargetPort":80,"PublishedPort":8080,"Protocol":"tcp"},{"URL":"","TargetPort":9000,"PublishedPort":0,"Protocol":"tcp"}],"RunningFor":"About a minute ago","Service":"web","Size":"0B","State":"running","Status":"Up About a minute"}"#);
        let second: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert_eq!(second["ExitCode"], 3);
        assert_eq!(second["State"], "exited");
    }

    #[test]
    fn states_are_checked() {
        let states = |flags: &[&str]| {
            let ps = ps(flags);
            let states = ps.filters().and_then(|filters| ps.states(&filters));
            states.map_err(|error| error.summary())
        };
        assert_eq!(
            states(&["--status", "exited", "--filter", "status=running"]),
            Ok(Some(vec![State::Exited, State::Running]))
        );
        assert_eq!(states(&["-a", "--filter", "name=x"]), Ok(None));
        assert_eq!(states(&["--status", "removing"]), Ok(Some(Vec::new())));
        for (flags, said) in [
            (["--status", "gone"], "`gone` is no state of a container"),
            (["--filter", "size=x"], "unknown filter size"),
            (
                ["--filter", "name"],
                "arguments to --filter should be in form KEY=VAL",
            ),
        ] {
            assert_eq!(states(&flags), Err(said.to_owned()));
        }
    }

    #[test]
    fn long_commands_are_shortened_and_quoted() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let long = words("docker-entrypoint.sh postgres");
        assert_eq!(command_text(&long, false), "\"docker-entrypoint.s…\"");
        assert_eq!(
            command_text(&long, true),
            "\"docker-entrypoint.sh postgres\""
        );
        assert_eq!(
            command_text(&words("echo \"a\""), false),
            "\"echo \\\"a\\\"\""
        );
    }
}
