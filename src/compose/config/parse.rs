//! The arguments of `config` as a case of the corpus writes them.

use super::{Asked, ConfigCommand, Digests, Format};

/// Parses flags as the command line does: those that stand before `config` and those after it, in any
/// order, with or without the word itself. The error names what is wrong with them.
pub(crate) fn parse(args: &[impl AsRef<str>], working_dir: &str) -> Result<ConfigCommand, String> {
    let mut command = ConfigCommand::default();
    command.options.working_dir = working_dir.into();
    let mut asked = Asked::default();
    let mut rest = args.iter().map(AsRef::as_ref);
    while let Some(arg) = rest.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (arg, None),
        };
        let mut value = || {
            let given = inline.clone().or_else(|| rest.next().map(str::to_owned));
            given.ok_or_else(|| format!("{name} needs a value"))
        };
        let options = &mut command.options;
        match name {
            "config" | "convert" => {}
            "-f" | "--file" => options.files.push(value()?.into()),
            "-p" | "--project-name" => options.project_name = Some(value()?),
            "--project-directory" => options.project_directory = Some(value()?.into()),
            "--profile" => options.profiles.push(value()?),
            "--env-file" => options.env_files.push(value()?.into()),
            "--all-resources" => command.all_resources = true,
            "--no-interpolate" => options.skip.interpolation = true,
            "--no-normalize" => options.skip.normalization = true,
            "--no-path-resolution" => options.skip.paths = true,
            "--no-consistency" => options.skip.consistency = true,
            "--no-env-resolution" => options.skip.environment = true,
            "-q" | "--quiet" => command.quiet = true,
            "-o" | "--output" => command.output = Some(value()?.into()),
            "--format" => command.format = Some(format(&value()?)?),
            "--hash" => asked.hash = Some(value()?),
            "--resolve-image-digests" if command.digests == Digests::Locked => {}
            "--resolve-image-digests" => command.digests = Digests::Resolved,
            "--lock-image-digests" => command.digests = Digests::Locked,
            "--explain" => asked.explain = Some(value()?),
            "--services" => asked.services = true,
            "--volumes" => asked.volumes = true,
            "--networks" => asked.networks = true,
            "--models" => asked.models = true,
            "--profiles" => asked.profiles = true,
            "--images" => asked.images = true,
            "--variables" => asked.variables = true,
            "--environment" => asked.environment = true,
            flag if flag.starts_with('-') => return Err(format!("there is no flag {flag}")),
            service => command.names.push(service.to_owned()),
        }
    }
    command.subject = asked.subject();
    Ok(command)
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "yaml" => Ok(Format::Yaml),
        "json" => Ok(Format::Json),
        "table" | "pretty" => Ok(Format::Table),
        other => Err(format!("there is no format {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::config::Subject;
    use crate::compose::source::MemorySource;

    const SHOP: &str = "
name: shop
services:
  web: {image: nginx, depends_on: [db]}
  db: {image: postgres, volumes: ['data:/d']}
  dev: {image: tools, profiles: [dev]}
volumes: {data: , spare: }
";

    fn config(args: &[&str]) -> String {
        let source = MemorySource::new().file("/srv/case/compose.yaml", SHOP);
        match parse(args, "/srv/case").unwrap().run(&source) {
            Ok(output) => output.stdout,
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn lists_are_printed_one_name_a_line() {
        for (args, expected) in [
            (&["--services"][..], "db\nweb\n"),
            (&["--services", "--profile", "dev"], "db\ndev\nweb\n"),
            (&["--volumes"], "data\n"),
            (&["--volumes", "--all-resources"], "data\nspare\n"),
            (&["--networks"], "default\n"),
            (&["--profiles"], "dev\n"),
            (&["--images"], "postgres\nnginx\n"),
            (&["--images", "db"], "postgres\n"),
            (&["--images", "dev"], "tools\n"),
            (&["--services", "db"], "db\nweb\n"),
            (&["--volumes", "--services", "--hash=*"], "db\nweb\n"),
            (&["nope"], "error: no such service: nope"),
            (&["--hash", "web,nope"], "error: no such service: nope"),
            (&["-q"], ""),
            (&["-q", "--services"], "db\nweb\n"),
        ] {
            assert_eq!(config(args), expected, "{args:?}");
        }
    }

    #[test]
    fn flags_may_stand_before_and_after_the_word_config() {
        let command = parse(&["-f", "a", "config", "--no-normalize", "web"], "/x").unwrap();
        assert_eq!(command.options.files, ["a"].map(std::path::PathBuf::from));
        assert!(command.options.skip.normalization);
        assert_eq!(
            (command.names, command.subject),
            (vec!["web".to_owned()], Subject::Model)
        );
        assert!(parse(&["--hash"], "/").is_err() && parse(&["--nope"], "/").is_err());
    }
}
