//! `stack scale`: so many containers of a service.

use clap::Args;

use super::context::{Context, Warnings};
use super::drive::drive;
use super::error::{Error, Result};
use super::image_phase::Pull;
use super::up::{Shared, Traits};

/// Flags of `scale`.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// Services, each with the number of its containers.
    #[arg(value_name = "SERVICE=NUM", required = true)]
    replicas: Vec<String>,
    /// Do not start the services that these need.
    #[arg(long)]
    no_deps: bool,
}

impl Scale {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let services = services(&self.replicas)?;
        let shared = Shared {
            services,
            scale: self.replicas,
            force_recreate: false,
            no_recreate: false,
            remove_orphans: false,
            pull: Pull::Policy,
            quiet_pull: false,
            build: false,
            no_build: false,
            quiet_build: false,
            yes: false,
        };
        let loaded = context.load(Warnings::Shown)?;
        let traits = Traits {
            no_deps: self.no_deps,
            dry_run: context.global.dry_run,
            ..Traits::default()
        };
        let prepared = shared.prepare(context, &loaded, traits)?;
        drive(context, &prepared.project, &prepared.command, "scale")
    }
}

/// The services of `SERVICE=NUM`, each once.
fn services(replicas: &[String]) -> Result<Vec<String>> {
    let mut services: Vec<String> = Vec::new();
    for text in replicas {
        let wrong = || {
            Error::new(format!("invalid scale specifier: {text}"))
                .hint("write it as SERVICE=NUMBER, for example `web=3`")
        };
        let (service, number) = text.split_once('=').ok_or_else(wrong)?;
        if service.is_empty() {
            return Err(wrong());
        }
        if number.parse::<u32>().is_err() {
            let message =
                format!("invalid scale specifier: can't parse replica value as int: {text}");
            return Err(Error::new(message).hint("the number is 0 or more, for example `web=3`"));
        }
        if !services.iter().any(|known| known == service) {
            services.push(service.to_owned());
        }
    }
    Ok(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_a_service_and_a_number() {
        let of = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            services(&texts).map_err(|error| error.summary())
        };
        assert_eq!(of(&["web=3", "db=0", "web=1"]).unwrap(), ["web", "db"]);
        for text in ["web", "=1", "web=", "web=x", "web=-1", "web=1=2"] {
            let error = of(&[text]).unwrap_err();
            assert!(error.starts_with("invalid scale specifier: "), "{error}");
            assert!(error.ends_with(text), "{error}");
        }
    }
}
