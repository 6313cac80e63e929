//! `stack prune`: everything that nobody needs, as `docker system prune` takes it away.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::choice::json_line;
use super::cleaning::{
    Cleaned, Ended, Only, Volumes, doomed_builds, ended, prune_builds, remove_ended, remove_images,
    remove_networks, remove_volumes, unused_networks, unused_volumes, users_besides,
};
use super::context::Context;
use super::error::{Error, Result};
use super::filter::Filters;
use super::images::in_use_besides;
use super::prompt::confirm_removal;
use crate::build::CacheRules;
use crate::image::{PruneRules, Reference};
use crate::ui::words;

/// Flags of `prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// All images that no container was made of, not only those without a name, and all that builds
    /// have left.
    #[arg(short, long)]
    all: bool,
    /// Volumes without a name, too.
    #[arg(long)]
    volumes: bool,
    /// Only those that fit: `until=24h` or `until=TIME` (made before), `label=KEY[=VALUE]`, `label!=…`.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short, long)]
    force: bool,
    /// Form of the report.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Report,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Report {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Which things are meant.
#[derive(Debug)]
struct Rules {
    only: Only,
    images: PruneRules,
    /// `None` = what builds have left has no labels to go by.
    builds: Option<CacheRules>,
    volumes: Option<Volumes>,
}

/// What would go, kind by kind: the name of the kind, and what there is of it.
#[derive(Debug, Default)]
struct Preview(Vec<(&'static str, Vec<String>)>);

impl Prune {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("prune")?;
        context.require_root()?;
        let rules = self.rules(Timestamp::now())?;
        if !self.force {
            let preview = Preview::look(context, &rules)?;
            confirm_removal(false, &preview.text(&self.filter), "system prune")?;
        }
        let mut cleaned = Cleaned::default();
        // What has been done by then is told all the same.
        let result = clean(context, &rules, &mut cleaned);
        let mut out = std::io::stdout().lock();
        match self.format {
            Report::Text => cleaned.write(&mut out)?,
            Report::Json => writeln!(out, "{}", json_line(&cleaned)?)?,
        }
        result
    }

    fn rules(&self, now: Timestamp) -> Result<Rules> {
        let filters = Filters::parse(&self.filter, &["until", "label", "label!"])?;
        let only = Only::of(&filters, now)?;
        if self.volumes && only.before.is_some() {
            // Docker's words: a volume's age says nothing of its use.
            let message = "The \"until\" filter is not supported with \"--volumes\"";
            return Err(Error::new(message));
        }
        Ok(Rules {
            images: PruneRules {
                all: self.all,
                before: only.before,
                labels: only.labels.clone(),
            },
            builds: only.labels.is_empty().then_some(CacheRules {
                all: self.all,
                before: only.before,
                keep: None,
            }),
            volumes: self.volumes.then_some(Volumes::Anonymous),
            only,
        })
    }
}

/// Takes everything away: what uses something before what it uses.
fn clean(context: &Context, rules: &Rules, cleaned: &mut Cleaned) -> Result<()> {
    remove_ended(context, ended(context, &rules.only)?, cleaned)?;
    let users = users_besides(context, &[])?;
    let names = unused_networks(context, &users, &rules.only)?;
    remove_networks(context, names, cleaned)?;
    if let Some(which) = rules.volumes {
        let names = unused_volumes(context, &users, (which, &rules.only))?;
        remove_volumes(context, names, cleaned)?;
    }
    remove_images(context, &rules.images, cleaned)?;
    match &rules.builds {
        Some(builds) => prune_builds(context, builds, cleaned),
        None => Ok(()),
    }
}

impl Preview {
    fn look(context: &Context, rules: &Rules) -> Result<Self> {
        let ended = ended(context, &rules.only)?;
        let users = users_besides(context, &ended)?;
        let names = ended.iter().flat_map(|project| project.names.clone());
        let mut kinds = vec![("all stopped containers", names.collect())];
        let networks = unused_networks(context, &users, &rules.only)?;
        kinds.push(("all networks not used by at least one container", networks));
        if let Some(which) = rules.volumes {
            let volumes = unused_volumes(context, &users, (which, &rules.only))?;
            let kind = "all anonymous volumes not used by at least one container";
            kinds.push((kind, volumes));
        }
        let kind = match rules.images.all {
            true => "all images without at least one container associated to them",
            false => "all dangling images",
        };
        kinds.push((kind, doomed_images(context, &rules.images, &ended)?));
        if let Some(builds) = &rules.builds {
            let doomed = doomed_builds(context, builds)?;
            let bytes: u64 = doomed.iter().map(|entry| entry.bytes).sum();
            let several = format!("{} entries, {}", doomed.len(), words::size(bytes));
            let lines = (!doomed.is_empty()).then_some(several);
            let kind = match builds.all {
                true => "all build cache",
                false => "unused build cache",
            };
            kinds.push((kind, lines.into_iter().collect()));
        }
        Ok(Self(kinds))
    }

    fn text(&self, filters: &[String]) -> String {
        let mut text = "This will remove:\n".to_owned();
        for (kind, names) in &self.0 {
            text.push_str(&format!("  - {kind}\n"));
            for name in names {
                text.push_str(&format!("      {name}\n"));
            }
        }
        if !filters.is_empty() {
            text.push_str("\n  Items to be pruned will be filtered with:\n");
            for filter in filters {
                text.push_str(&format!("  - {filter}\n"));
            }
        }
        text
    }
}

/// Names of the images that would go without these containers, ids of those that have none.
fn doomed_images(context: &Context, rules: &PruneRules, ended: &[Ended]) -> Result<Vec<String>> {
    let gone = ended.iter().flat_map(|project| &project.removal.containers);
    let gone: BTreeSet<&String> = gone.collect();
    let store = context.images()?;
    let in_use = in_use_besides(context, &store, &gone)?;
    let names: HashMap<_, Vec<Reference>> = store
        .list()?
        .into_iter()
        .map(|image| (image.id, image.references))
        .collect();
    let mut lines = Vec::new();
    for id in store.doomed(rules, &in_use)? {
        match names.get(&id).map(Vec::as_slice) {
            None | Some([]) => lines.push(id.short()),
            Some(names) => lines.extend(names.iter().map(Reference::familiar)),
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        prune: Prune,
    }

    fn rules(flags: &[&str]) -> Result<Rules> {
        let prune = Wrapper::try_parse_from([&["prune"], flags].concat());
        prune.unwrap().prune.rules(Timestamp::now())
    }

    #[test]
    fn flags_say_what_is_meant() {
        let plain = rules(&[]).unwrap();
        assert!(!plain.images.all && plain.volumes.is_none());
        assert!(plain.builds.is_some_and(|builds| !builds.all));
        let all = rules(&["-a", "--volumes", "-f"]).unwrap();
        assert!(all.images.all && all.builds.is_some_and(|builds| builds.all));
        assert_eq!(all.volumes, Some(Volumes::Anonymous));
        let labelled = rules(&["--filter", "label=a"]).unwrap();
        assert!(labelled.builds.is_none() && !labelled.images.labels.is_empty());
        let error = rules(&["--volumes", "--filter", "until=1h"]).unwrap_err();
        assert!(error.summary().contains("not supported with"));
        assert!(rules(&["--filter", "dangling=true"]).is_err());
    }

    #[test]
    fn what_goes_is_listed_before_the_question_in_docker_s_words() {
        let preview = Preview(vec![
            ("all stopped containers", vec!["shop-job-1".to_owned()]),
            ("all dangling images", Vec::new()),
        ]);
        insta::assert_snapshot!(preview.text(&["label=a".to_owned()]), @"
        This will remove:
          - all stopped containers
              shop-job-1
          - all dangling images

          Items to be pruned will be filtered with:
          - label=a
        ");
    }
}
