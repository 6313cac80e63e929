//! `stack config`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::context::Context;
use super::digests;
use super::error::{Error, Result};
use crate::compose::config::{Asked, ConfigCommand, ConfigError, Digests, Format};
use crate::compose::{LoadOptions, Skip};

#[cfg(test)]
mod budget;

/// Flags of `config`.
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// Services to print, with all that they need; none = all.
    #[arg(value_name = "SERVICE")]
    names: Vec<String>,
    /// Form of the output.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Form>,
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
    /// Print the variables that the stack file is filled with.
    #[arg(long)]
    environment: bool,
    /// Print the variables that the stack file names, with their defaults.
    #[arg(long)]
    variables: bool,
    /// Print the names of models.
    #[arg(long)]
    models: bool,
    /// Leave variables as they are written.
    #[arg(long)]
    no_interpolate: bool,
    /// Leave `env_file` as it is, without reading the files.
    #[arg(long)]
    no_env_resolution: bool,
    /// Leave out what is only implied: networks, full names, dependencies.
    #[arg(long)]
    no_normalize: bool,
    /// Leave paths as they are written.
    #[arg(long)]
    no_path_resolution: bool,
    /// Do not check what refers to what.
    #[arg(long)]
    no_consistency: bool,
    /// Name images by their digests, which the registries are asked for.
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print a file to merge onto the others, with the digests of images and nothing else.
    #[arg(long)]
    lock_image_digests: bool,
    /// Show where the value at this path comes from, and what it took the place of:
    /// `services.web.environment.DEBUG`, `services.web.ports[0]`, `services.web`.
    #[arg(long, value_name = "PATH")]
    explain: Option<String>,
}

/// `--format` of `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// YAML; what the model is printed in unless told otherwise.
    Yaml,
    /// JSON.
    Json,
    /// A table, of variables only; what they are printed in unless told otherwise.
    #[value(alias = "pretty")]
    Table,
}

impl Config {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let command = self.command(context.load_options()?, context.global.all_resources);
        let source = &context.source;
        let pinned = digests::pinned(&command.unpinned(source)?, &context.registries())?;
        let output = command.run_pinned(source, &pinned)?;
        context.warn(&output.warnings);
        for (path, text) in &output.files {
            std::fs::write(path, text).map_err(|error| {
                Error::new(format!("cannot write {}", path.display())).because(error)
            })?;
        }
        let mut out = std::io::stdout().lock();
        out.write_all(output.stdout.as_bytes())?;
        out.flush()?;
        std::mem::forget(output);
        Ok(())
    }

    fn command(self, mut options: LoadOptions, all_resources: bool) -> ConfigCommand {
        options.skip = Skip {
            interpolation: self.no_interpolate,
            normalization: self.no_normalize,
            paths: self.no_path_resolution,
            consistency: self.no_consistency,
            environment: self.no_env_resolution,
            ..Skip::default()
        };
        let asked = Asked {
            services: self.services,
            volumes: self.volumes,
            networks: self.networks,
            models: self.models,
            hash: self.hash,
            profiles: self.profiles,
            images: self.images,
            variables: self.variables,
            environment: self.environment,
            explain: self.explain,
        };
        let digests = match (self.lock_image_digests, self.resolve_image_digests) {
            (true, _) => Digests::Locked,
            (false, true) => Digests::Resolved,
            (false, false) => Digests::AsWritten,
        };
        ConfigCommand {
            options,
            names: self.names,
            subject: asked.subject(),
            format: self.format.map(|form| match form {
                Form::Yaml => Format::Yaml,
                Form::Json => Format::Json,
                Form::Table => Format::Table,
            }),
            quiet: self.quiet,
            output: self.output,
            all_resources,
            digests,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Invalid(problems) => problems.into(),
            ConfigError::NoSuchService {
                suggestion: Some(ref meant),
                ..
            } => Self::new(error.to_string()).hint(format!("did you mean `{meant}`?")),
            ConfigError::Explain(error) => error.into(),
            ConfigError::NoTable => Self::new(error.to_string())
                .hint("use `--format yaml` or `--format json`; only `--variables` is a table"),
            error => Self::new(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::compose::config::parse;

    fn by_command_line(args: &[&str]) -> ConfigCommand {
        let cli = Cli::try_parse_from([&["stack"], args].concat()).unwrap();
        let options = cli.global.load_options("/x".into());
        match cli.command {
            Command::Config(config) => config.command(options, cli.global.all_resources),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cases_of_the_corpus_mean_what_the_command_line_means() {
        for args in [
            "config",
            "convert",
            "-f a -f b --profile p --env-file e -p n --project-directory d --all-resources config",
            "config --no-interpolate --no-normalize --no-path-resolution --no-consistency",
            "config --no-env-resolution -q -o out web db",
            "config --services",
            "config --volumes --hash=web",
            "config --networks --hash web,db",
            "config --models --format=json",
            "config --profiles --format yaml",
            "config --images --quiet --output=out",
            "config --variables --format table",
            "config --variables --format pretty",
            "config --resolve-image-digests",
            "config --lock-image-digests --resolve-image-digests",
            "config --explain services.web --format json",
            "config --environment",
            "config --variables --environment",
        ] {
            let args: Vec<&str> = args.split(' ').collect();
            assert_eq!(
                by_command_line(&args),
                parse(&args, "/x").unwrap(),
                "{args:?}"
            );
        }
    }
}
