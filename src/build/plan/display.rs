//! A plan as text.

use std::fmt;

use super::step::{
    Access, Action, Config, Mount, Origin, Plan, Program, Run, Source, Stage, Step, Transfer,
};
use crate::build::dockerfile::instruction::{Network, Security};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, stage) in self.stages.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            stage.fmt(f)?;
        }
        if !self.unused_args.is_empty() {
            writeln!(f, "\nunused arguments: {}", self.unused_args.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {}", self.id.0)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        writeln!(f, " from {} on {}", self.base, self.platform)?;
        for step in &self.steps {
            step.fmt(f)?;
        }
        self.config.fmt(f)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scratch => f.write_str("scratch"),
            Self::Stage(id) => write!(f, "stage {}", id.0),
            Self::Image {
                reference,
                platform,
            } => write!(f, "image {reference} ({platform})"),
            Self::Context => f.write_str("the context"),
            Self::Named(name) => write!(f, "the context {name}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trigger = if self.trigger { " (trigger)" } else { "" };
        match &self.action {
            Action::Configure => Ok(()),
            Action::Workdir { path, user } => {
                write!(f, "  make {path}")?;
                if !user.is_empty() {
                    write!(f, " for {user}")?;
                }
                writeln!(f, "{trigger}")
            }
            Action::Run(run) => {
                write!(f, "  run {}{trigger}", run.program)?;
                run.details(f)
            }
            Action::Copy(copy) => {
                write!(f, "  copy{trigger} from {}:", copy.from)?;
                copy.transfer.fmt(f)?;
                writeln!(f, "{}", if copy.parents { " parents" } else { "" })
            }
            Action::Add(add) => {
                write!(f, "  add{trigger}:")?;
                add.transfer.fmt(f)?;
                if let Some(checksum) = &add.checksum {
                    write!(f, " checksum={checksum}")?;
                }
                if add.keep_git_dir {
                    f.write_str(" keep-git-dir")?;
                }
                if let Some(unpack) = add.unpack {
                    write!(f, " unpack={unpack}")?;
                }
                f.write_str("\n")
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(arguments) => write!(f, "{arguments:?}"),
            Self::Script { name, content } => write!(f, "script {name} {content:?}"),
        }
    }
}

impl Run {
    fn details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " in {}", self.workdir)?;
        if !self.user.is_empty() {
            write!(f, " as {}", self.user)?;
        }
        match self.network {
            Network::Default => {}
            Network::None => f.write_str(" network=none")?,
            Network::Host => f.write_str(" network=host")?,
        }
        if self.security == Security::Insecure {
            f.write_str(" insecure")?;
        }
        f.write_str("\n")?;
        for (name, value) in self.env.iter().filter(|(name, _)| *name != "PATH") {
            writeln!(f, "    env {name}={value}")?;
        }
        for (name, value) in &self.proxies {
            writeln!(f, "    proxy {name}={value}")?;
        }
        self.mounts
            .iter()
            .try_for_each(|mount| writeln!(f, "    {mount}"))
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write_mode = |writable: bool| if writable { "rw" } else { "ro" };
        match self {
            Self::Bind {
                from,
                source,
                target,
                writable,
            } => write!(
                f,
                "bind {source} of {from} at {target} {}",
                write_mode(*writable)
            ),
            Self::Cache(cache) => {
                let (id, target, access) = (&cache.id, &cache.target, cache.access);
                let writable = write_mode(cache.writable);
                let sharing = cache.sharing;
                write!(f, "cache {id} at {target} {writable} {sharing:?} {access}")?;
                match &cache.from {
                    Some(from) => write!(f, " from {} of {from}", cache.source),
                    None => Ok(()),
                }
            }
            Self::Tmpfs { target, size } => {
                write!(f, "tmpfs at {target}")?;
                size.iter()
                    .try_for_each(|size| write!(f, " of {size} bytes"))
            }
            Self::Secret(secret) => {
                write!(f, "secret {}", secret.id)?;
                if let Some(target) = &secret.target {
                    write!(f, " at {target} {}", secret.access)?;
                }
                if let Some(env) = &secret.env {
                    write!(f, " as ${env}")?;
                }
                f.write_str(if secret.required { " required" } else { "" })
            }
            Self::Ssh(agent) => {
                let target = agent.target.as_deref().unwrap_or("its place");
                write!(f, "ssh {} at {target} {}", agent.id, agent.access)?;
                f.write_str(if agent.required { " required" } else { "" })
            }
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o} {}:{}", self.mode, self.uid, self.gid)
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for source in &self.sources {
            match source {
                Source::Path(path) => write!(f, " {path}")?,
                Source::Inline { name, content } => write!(f, " {name}={content:?}")?,
            }
        }
        write!(f, " to {}", self.destination)?;
        if let Some(chown) = &self.chown {
            write!(f, " owner={chown}")?;
        }
        if let Some(chmod) = &self.chmod {
            write!(f, " mode={chmod}")?;
        }
        if self.link {
            f.write_str(" link")?;
        }
        self.exclude
            .iter()
            .try_for_each(|pattern| write!(f, " without {pattern}"))
    }
}

/// One setting a line; what is not set is left out, `PATH` too when it is the usual one.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let own = |(name, value): &(&String, &String)| *name != "PATH" || *value != usual;
        for (name, value) in self.env.iter().filter(own) {
            writeln!(f, "  ENV {name}={value}")?;
        }
        for (name, value) in &self.labels {
            writeln!(f, "  LABEL {name}={value}")?;
        }
        let lists = [
            ("ENTRYPOINT", self.entrypoint.as_ref()),
            ("CMD", self.cmd.as_ref()),
            ("SHELL", self.shell.as_ref()),
        ];
        for (name, list) in lists {
            if let Some(list) = list {
                writeln!(f, "  {name} {list:?}")?;
            }
        }
        let texts = [
            ("USER", Some(&self.user)),
            ("WORKDIR", Some(&self.workdir)),
            ("STOPSIGNAL", self.stop_signal.as_ref()),
            ("MAINTAINER", self.author.as_ref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                writeln!(f, "  {name} {text}")?;
            }
        }
        for (name, items) in [
            ("EXPOSE", &self.exposed_ports),
            ("VOLUME", &self.volumes),
            ("ONBUILD", &self.onbuild),
        ] {
            for item in items {
                writeln!(f, "  {name} {item}")?;
            }
        }
        if let Some(check) = &self.healthcheck {
            writeln!(f, "  HEALTHCHECK {check:?}")?;
        }
        Ok(())
    }
}
