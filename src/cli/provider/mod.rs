//! Services that a program provides instead of a container (`provider:`).
//!
//! The program is started by the command, in the caller's environment, before the containers of those
//! that need the service; the variables that it answers with become theirs. Nothing of it is kept: the
//! supervisor never hears of such a service, and the program must be able to do a thing twice.

mod protocol;

use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::context::Context;
use super::drive::warn;
use super::error::{Error, Result};
use super::project::Selection;
use crate::compose::Loaded;
use crate::compose::model::{Provider, Service, ServiceName, Stack};
use crate::compose::render::to_json;
use crate::ui::Progress;
use protocol::{Message, Metadata, Said, Verb, arguments};

/// A service with a provider.
#[derive(Debug)]
pub(super) struct Provided {
    service: ServiceName,
    provider: Provider,
    /// The services that get its variables.
    dependents: Vec<ServiceName>,
}

/// Takes the services with a provider out of a selection, each after those that it needs: what is left
/// are containers.
pub(super) fn take(selection: &mut Selection) -> Vec<Provided> {
    let mut found = Vec::new();
    for name in &selection.services {
        collect(&selection.stack, name, &mut found);
    }
    let is_found = |name: &ServiceName| found.iter().any(|one: &Provided| one.service == *name);
    selection.services.retain(|name| !is_found(name));
    let services = &mut selection.stack.services;
    let all = services.extract_if(.., |_, service| service.provider.is_some());
    let gone: Vec<ServiceName> = all.map(|(name, _)| name).collect();
    for service in services.values_mut() {
        service.depends_on.retain(|name, _| !gone.contains(name));
    }
    found
}

fn collect(stack: &Stack, name: &ServiceName, found: &mut Vec<Provided>) {
    let Some(service) = stack.services.get(name) else {
        return;
    };
    let Some(provider) = &service.provider else {
        return;
    };
    if found.iter().any(|one| one.service == *name) {
        return;
    }
    // The loader has seen to it that this is no circle.
    for needed in service.depends_on.keys() {
        collect(stack, needed, found);
    }
    let needs_it = |other: &Service| other.depends_on.contains_key(name);
    let dependents = stack.services.iter().filter(|(_, other)| needs_it(other));
    found.push(Provided {
        service: name.clone(),
        provider: provider.clone(),
        dependents: dependents.map(|(name, _)| name.clone()).collect(),
    });
}

/// Has the services provided, and gives what their programs answer to those that need them.
pub(super) fn bring_up(
    context: &Context,
    loaded: &Loaded,
    provided: &[Provided],
    stack: &mut Stack,
) -> Result<()> {
    if provided.is_empty() {
        return Ok(());
    }
    let mut progress = context.progress("up");
    for one in provided {
        let variables = one.run(Verb::Up, loaded, &mut progress)?;
        for dependent in &one.dependents {
            let Some(service) = stack.services.get_mut(dependent) else {
                continue;
            };
            for (name, value, is_raw) in &variables {
                let name = match is_raw {
                    true => name.clone(),
                    false => format!("{}_{name}", one.service.as_str().to_uppercase()),
                };
                let value = Some(value.clone());
                let before = service.environment.insert(name.clone(), value.clone());
                if *is_raw && before.is_some_and(|before| before != value) {
                    let provider = &one.service;
                    let message = format!(
                        "provider \"{provider}\" overrides environment variable \"{name}\" in service \"{dependent}\""
                    );
                    progress.above(|| warn(&message, context.terminal.stderr));
                }
            }
        }
    }
    Ok(())
}

/// Tells the providers that their services are stopped.
pub(super) fn stop(
    context: &Context,
    loaded: Option<&Loaded>,
    named: &[ServiceName],
) -> Result<()> {
    each(context, (loaded, named), Verb::Stop)
}

/// Tells the providers that their services are not needed any more.
pub(super) fn take_down(
    context: &Context,
    loaded: Option<&Loaded>,
    named: &[ServiceName],
) -> Result<()> {
    each(context, (loaded, named), Verb::Down)
}

/// Goes on after a failure; tells all of them.
fn each(
    context: &Context,
    (loaded, named): (Option<&Loaded>, &[ServiceName]),
    verb: Verb,
) -> Result<()> {
    let Some(loaded) = loaded.filter(|_| !context.global.dry_run) else {
        return Ok(());
    };
    let mut provided = Vec::new();
    for name in loaded.stack.services.keys() {
        if named.is_empty() || named.contains(name) {
            collect(&loaded.stack, name, &mut provided);
        }
    }
    if provided.is_empty() {
        return Ok(());
    }
    let mut progress = context.progress(verb.word());
    let failed: Vec<Error> = provided
        .iter()
        .rev()
        .filter_map(|one| one.run(verb, loaded, &mut progress).err())
        .collect();
    match failed.len() {
        0 => Ok(()),
        _ => Err(Error::several(failed.iter().map(Error::summary).collect())),
    }
}

/// A variable of a provider: name, value, and whether the name stays as it is.
type Variable = (String, String, bool);

impl Provided {
    /// Runs the program to its end.
    fn run(&self, verb: Verb, loaded: &Loaded, progress: &mut Progress) -> Result<Vec<Variable>> {
        let program = self.program(loaded)?;
        let metadata = metadata(&program, loaded);
        let names = (loaded.stack.name.as_str(), self.service.as_str());
        let Some(arguments) = arguments(names, verb, &self.provider, &metadata)? else {
            return Ok(Vec::new());
        };
        let (doing, done, to_do) = verb.said();
        let service = &self.service;
        progress.note(&format!("{service} {doing}"));
        let mut child = Command::new(&program)
            .args(arguments)
            .envs(&loaded.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| self.failed(to_do).because(error))?;
        let variables = self.converse(&mut child, loaded, progress);
        if variables.is_err() {
            // It may wait for something that does not come.
            let _ = child.kill();
        }
        let status = child
            .wait()
            .map_err(|error| self.failed(to_do).because(error))?;
        let variables = variables?;
        if !status.success() {
            let why = match status.code() {
                Some(code) => format!("exit status {code}"),
                None => status.to_string(),
            };
            progress.note(&format!("{service} Error {why}"));
            return Err(Error::new(format!(
                "failed to {to_do} service provider: {why}"
            )));
        }
        progress.note(&format!("{service} {done}"));
        Ok(variables)
    }

    fn failed(&self, to_do: &str) -> Error {
        Error::new(format!(
            "service {}: cannot {to_do} it by its provider `{}`",
            self.service, self.provider.kind
        ))
    }

    /// Reads what the program says until it says no more.
    fn converse(
        &self,
        child: &mut Child,
        loaded: &Loaded,
        progress: &mut Progress,
    ) -> Result<Vec<Variable>> {
        let service = &self.service;
        let (Some(output), Some(mut input)) = (child.stdout.take(), child.stdin.take()) else {
            return Ok(Vec::new());
        };
        // Written apart: a program may write much before it reads.
        let (questions, asked) = mpsc::channel::<String>();
        std::thread::spawn(move || {
            for answer in asked {
                if input.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let mut variables = Vec::new();
        let messages = serde_json::Deserializer::from_reader(BufReader::new(output));
        for message in messages.into_iter::<Message>() {
            let message = message.map_err(|error| {
                Error::new(format!("service {service}: bad answer of its provider")).because(error)
            })?;
            match message.read()? {
                Said::Note(text) => {
                    progress.note(&format!("{service} {}", first_line(&text)));
                }
                Said::Detail(text) => tracing::debug!(%service, text, "a provider says"),
                Said::Failure(text) => {
                    progress.note(&format!("{service} {}", first_line(&text)));
                    return Err(Error::new(text));
                }
                Said::Variable(name, value) => variables.push((name, value, false)),
                Said::RawVariable(name, value) => variables.push((name, value, true)),
                Said::Question => drop(questions.send(answer(loaded, service))),
            }
        }
        Ok(variables)
    }

    /// Where the program is: beside Docker's plugins, or where the caller's programs are.
    fn program(&self, loaded: &Loaded) -> Result<PathBuf> {
        let kind = &self.provider.kind;
        if kind == "compose" {
            return Err(Error::new("'compose' is not a valid provider type"));
        }
        if kind.contains('/') {
            return Ok(loaded.stack.working_dir.join(kind));
        }
        let plugins = std::env::var_os("HOME").map(|home| {
            let plugins = PathBuf::from(home).join(".docker/cli-plugins");
            plugins.join(format!("docker-{kind}"))
        });
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).map(|directory| directory.join(kind));
        let mut all = plugins.into_iter().chain(places);
        all.find(|path| path.is_file()).ok_or_else(|| {
            Error::new(format!(
                "service {}: there is no program `{kind}`, which is to provide it",
                self.service
            ))
            .hint("install it, or put its directory into PATH")
        })
    }
}

/// What a program says of itself; nothing when it does not understand the question.
fn metadata(program: &PathBuf, loaded: &Loaded) -> Metadata {
    let output = Command::new(program)
        .args(["compose", "metadata"])
        .envs(&loaded.variables)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            serde_json::from_slice(&output.stdout).unwrap_or_default()
        }
        _ => Metadata::default(),
    }
}

/// A service as `config` shows it, on one line.
fn answer(loaded: &Loaded, service: &ServiceName) -> String {
    let all: serde_json::Value = serde_json::from_str(&to_json(loaded)).unwrap_or_default();
    format!("{}\n", all["services"][service.as_str()])
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::project::{Dependencies, select};
    use crate::compose::source::MemorySource;
    use crate::compose::{LoadOptions, load};

    #[test]
    fn what_is_provided_leaves_the_selection_with_all_that_names_it() {
        let text = "
services:
  web: {image: a, depends_on: [db, cache]}
  db: {provider: {type: maker}, depends_on: [network]}
  network: {provider: {type: maker}}
  cache: {image: b}
";
        let source = MemorySource::new().file("/shop/stack.yaml", text);
        let options = LoadOptions {
            working_dir: "/shop".into(),
            ..LoadOptions::default()
        };
        let stack = load(&source, &options).unwrap().stack;
        let mut selection = select(&stack, &["web".to_owned()], Dependencies::Included).unwrap();
        let taken = take(&mut selection);
        let names: Vec<_> = taken.iter().map(|one| one.service.as_str()).collect();
        assert_eq!(names, ["network", "db"]);
        assert_eq!(taken[1].dependents, [ServiceName::new("web")]);
        let mut left: Vec<_> = selection.services.iter().map(ServiceName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cache", "web"]);
        let web = &selection.stack.services[&ServiceName::new("web")];
        let needed: Vec<_> = web.depends_on.keys().map(ServiceName::as_str).collect();
        assert_eq!(needed, ["cache"]);
    }
}
