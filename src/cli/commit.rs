//! `stack commit`: an image of a container.

use clap::Args;

use super::containers::cgroup;
use super::context::Context;
use super::error::{Error, Result};
use super::pick::{Among, Target};
use crate::compose::model::Service;
use crate::image::{ConfigChange, Digest, ImportOptions, Reference};
use crate::plan::{ObservedContainer, Phase};
use crate::runtime::cgroup::Cgroup;
use crate::ui::Progress;

/// Flags of `commit`.
#[derive(Debug, Args)]
pub(crate) struct Commit {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    made: Made,
}

/// What is made of a container.
#[derive(Debug, Args)]
pub(crate) struct Made {
    /// Name of the image; without one it is known by its id alone.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Who made it.
    #[arg(short, long, value_name = "TEXT")]
    author: Option<String>,
    /// Change the configuration, in a Dockerfile's words: `CMD ["nginx"]`, `ENV A=1`.
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A line for the history of the image.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Freeze the container meanwhile.
    #[arg(
        short,
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true,
        action = clap::ArgAction::Set
    )]
    pause: bool,
}

impl Commit {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.require_root()?;
        let find = || self.target.find(context, Among::All);
        let mut progress = context.progress("commit");
        self.made.make(context, find, &mut progress).map(drop)
    }
}

impl Made {
    /// Makes an image of the container that `find` finds, and says so: its id.
    pub(crate) fn make(
        self,
        context: &Context,
        find: impl FnOnce() -> Result<ObservedContainer>,
        progress: &mut Progress,
    ) -> Result<Option<Digest>> {
        let reference = match &self.name {
            Some(name) => Some(name.parse::<Reference>().map_err(|error| {
                Error::new(format!("invalid reference format: {name}")).because(error)
            })?),
            None => None,
        };
        let mut changes = Vec::new();
        for line in &self.change {
            changes.extend(ConfigChange::parse(line)?);
        }
        let container = find()?;
        let record = &container.record;
        progress.note(&format!("{} Committing", record.name));
        if context.global.dry_run {
            return Ok(None);
        }
        let store = context.images()?;
        let gone = || Error::new(format!("image {} is not here any more", record.image));
        let id = record.image_id.parse().map_err(|_| gone())?;
        let base = store.get_by_id(&id)?.ok_or_else(gone)?;
        let options = ImportOptions {
            changes: all_changes(&record.template, changes),
            message: Some(self.message.unwrap_or_default()),
            author: self.author,
            created_by: Some(record.command.join(" ")),
            ..ImportOptions::default()
        };
        let upper = context.paths.container(&record.id).join("upper");
        let frozen = match self.pause {
            true => Frozen::of(&container)?,
            false => None,
        };
        let image = store.commit_container((&base, &upper), reference.as_ref(), &options);
        drop(frozen);
        let image = image?;
        super::image_phase::settle_later(context, &store);
        progress.note(&format!("{} Committed as {}", record.name, image.id));
        Ok(Some(image.id))
    }
}

/// A container whose processes are frozen until this is dropped.
struct Frozen(Cgroup);

impl Frozen {
    /// `None` when nothing runs, or somebody has frozen it already.
    fn of(container: &ObservedContainer) -> Result<Option<Self>> {
        if !matches!(container.phase, Phase::Running { .. }) {
            return Ok(None);
        }
        let failed = |error| {
            let message = format!("cannot freeze container {}", container.record.name);
            Error::new(message).because(error)
        };
        let cgroup = cgroup(&container.record).map_err(failed)?;
        cgroup.freeze().map_err(failed)?;
        Ok(Some(Self(cgroup)))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Err(error) = self.0.thaw() {
            tracing::warn!(%error, "cannot thaw a container");
        }
    }
}

/// What the container has other than its image, and then what the command line says: later ones win.
fn all_changes(model: &Service, asked: Vec<ConfigChange>) -> Vec<ConfigChange> {
    let mut changes = Vec::new();
    changes.extend(model.entrypoint.clone().map(ConfigChange::Entrypoint));
    changes.extend(model.command.clone().map(ConfigChange::Cmd));
    for (name, value) in &model.environment {
        if let Some(value) = value {
            changes.push(ConfigChange::Env {
                name: name.clone(),
                value: value.clone(),
            });
        }
    }
    changes.extend(model.user.clone().map(ConfigChange::User));
    changes.extend(model.working_dir.clone().map(ConfigChange::Workdir));
    changes.extend(model.stop_signal.clone().map(ConfigChange::StopSignal));
    for (name, value) in &model.labels {
        changes.push(ConfigChange::Label {
            name: name.clone(),
            value: value.clone(),
        });
    }
    changes.extend(asked);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_container() {
        let mut model = Service {
            command: Some(vec!["serve".to_owned()]),
            user: Some("1000".to_owned()),
            ..Service::default()
        };
        model
            .environment
            .insert("A".to_owned(), Some("1".to_owned()));
        model.environment.insert("UNSET".to_owned(), None);
        let asked = ConfigChange::parse("ENV A=2").unwrap();
        let changes = all_changes(&model, asked);
        let env = |value: &str| ConfigChange::Env {
            name: "A".to_owned(),
            value: value.to_owned(),
        };
        let expected = [
            ConfigChange::Cmd(vec!["serve".to_owned()]),
            env("1"),
            ConfigChange::User("1000".to_owned()),
            env("2"),
        ];
        assert_eq!(changes, expected);
    }
}
