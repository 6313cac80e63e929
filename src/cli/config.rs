//! `stack config`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::refuse;
use super::context::{Context, Warnings};
use super::error::{Error, Result};
use super::image_phase::image_text;
use super::project::{Dependencies, select};
use crate::compose::Loaded;
use crate::compose::model::{Service, ServiceName};
use crate::compose::render::{to_json, to_yaml};
use crate::plan::config_hash;

/// Flags of `config`.
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// Services to print, with all that they need; none = all.
    #[arg(value_name = "SERVICE")]
    names: Vec<String>,
    /// Form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "yaml")]
    format: Form,
    /// Check only.
    #[arg(short, long)]
    quiet: bool,
    /// Write to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the names of services.
    #[arg(long)]
    services: bool,
    /// Print the names of volumes.
    #[arg(long)]
    volumes: bool,
    /// Print the names of networks.
    #[arg(long)]
    networks: bool,
    /// Print the names of images.
    #[arg(long)]
    images: bool,
    /// Print the names of profiles.
    #[arg(long)]
    profiles: bool,
    /// Print the hashes of services, separated by commas; `*` for all.
    #[arg(long, value_name = "SERVICES")]
    hash: Option<String>,
    /// Print the variables that the stack file is filled with (not supported yet).
    #[arg(long)]
    environment: bool,
    /// Print the variables that the stack file names (not supported yet).
    #[arg(long)]
    variables: bool,
    /// Print the names of models (not supported yet).
    #[arg(long)]
    models: bool,
    /// Do not fill in variables (not supported yet).
    #[arg(long)]
    no_interpolate: bool,
    /// Do not read files with variables (not supported yet).
    #[arg(long)]
    no_env_resolution: bool,
    /// Do not bring the model into its full form (not supported yet).
    #[arg(long)]
    no_normalize: bool,
    /// Do not make paths absolute (not supported yet).
    #[arg(long)]
    no_path_resolution: bool,
    /// Do not check the model (not supported yet).
    #[arg(long)]
    no_consistency: bool,
    /// Name images by their digests (not supported yet).
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print an override file with the digests of images (not supported yet).
    #[arg(long)]
    lock_image_digests: bool,
}

/// `--format` of `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

impl Config {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        refuse(&[
            ("--environment", self.environment),
            ("--variables", self.variables),
            ("--models", self.models),
            ("--no-interpolate", self.no_interpolate),
            ("--no-env-resolution", self.no_env_resolution),
            ("--no-normalize", self.no_normalize),
            ("--no-path-resolution", self.no_path_resolution),
            ("--no-consistency", self.no_consistency),
            ("--resolve-image-digests", self.resolve_image_digests),
            ("--lock-image-digests", self.lock_image_digests),
        ])?;
        let mut loaded = context.load(Warnings::Shown)?;
        if !self.names.is_empty() {
            loaded.stack = select(&loaded.stack, &self.names, Dependencies::Included)?.stack;
        }
        if self.quiet {
            return Ok(());
        }
        let text = self.text(&loaded)?;
        match &self.output {
            Some(path) => std::fs::write(path, text).map_err(|error| {
                Error::new(format!("cannot write {}", path.display())).because(error)
            }),
            None => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes())?;
                Ok(out.flush()?)
            }
        }
    }

    fn text(&self, loaded: &Loaded) -> Result<String> {
        let stack = &loaded.stack;
        if let Some(names) = &self.hash {
            return hashes(loaded, names);
        }
        Ok(if self.services {
            lines(stack.services.keys().map(ServiceName::as_str))
        } else if self.volumes {
            lines(stack.volumes.keys().map(|key| key.as_str()))
        } else if self.networks {
            lines(stack.networks.keys().map(|key| key.as_str()))
        } else if self.profiles {
            let all = stack
                .services
                .values()
                .chain(stack.disabled_services.values());
            let profiles: BTreeSet<&str> = all
                .flat_map(|service: &Service| &service.profiles)
                .map(String::as_str)
                .collect();
            lines(profiles.into_iter())
        } else if self.images {
            let project = stack.name.as_str();
            let images: Vec<String> = stack
                .services
                .iter()
                .map(|(name, service)| image_text(project, name, service))
                .collect();
            lines(images.iter().map(String::as_str))
        } else {
            match self.format {
                Form::Yaml => to_yaml(loaded),
                Form::Json => to_json(loaded),
            }
        })
    }
}

fn lines<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.flat_map(|item| [item, "\n"]).collect()
}

/// `name hash`, a line for each.
fn hashes(loaded: &Loaded, names: &str) -> Result<String> {
    let services = &loaded.stack.services;
    let mut text = String::new();
    let mut named: Vec<&str> = match names {
        "*" => services.keys().map(ServiceName::as_str).collect(),
        names => names.split(',').map(str::trim).collect(),
    };
    named.sort_unstable();
    for name in named {
        let service = services
            .get(name)
            .ok_or_else(|| Error::new(format!("no such service: {name}")))?;
        text.push_str(&format!("{name} {}\n", config_hash(service)));
    }
    Ok(text)
}
