//! Writing instructions: what is written reads as the same instruction again.

use std::fmt::Write;

use super::arguments::heredocs;
use super::instruction::{
    Command, Healthcheck, Instruction, Kind, PairForm, Pairs, Run, Security, Transfer,
    TransferSource, Word,
};
use super::instruction::{MountText, Network};

impl Instruction {
    /// The instruction as text: one line, and its here-documents below it.
    pub fn render(&self) -> String {
        let mut out = self.line();
        for heredoc in heredocs(self) {
            out.push('\n');
            out.push_str(&heredoc.content.value);
            out.push_str(&heredoc.name.value);
        }
        out
    }

    /// The instruction's line, without here-documents.
    pub(crate) fn line(&self) -> String {
        let mut out = self.keyword.value.clone();
        let words = match &self.kind {
            Kind::From(from) => {
                flag(&mut out, "platform", from.platform.as_ref());
                let mut words = vec![from.image.value.clone()];
                if let Some((keyword, name)) = &from.name {
                    words.extend([keyword.value.clone(), name.value.clone()]);
                }
                words
            }
            Kind::Arg(args) => args
                .iter()
                .map(|arg| match &arg.default {
                    Some(default) => format!("{}={}", arg.name.value, default.value),
                    None => arg.name.value.clone(),
                })
                .collect(),
            Kind::Env(pairs) | Kind::Label(pairs) => pair_words(pairs),
            Kind::Run(run) => {
                run_flags(&mut out, run);
                vec![command(&run.command)]
            }
            Kind::Copy(copy) => {
                flag(&mut out, "from", copy.from.as_ref());
                switch(&mut out, "parents", copy.parents.then_some(true));
                vec![transfer(&mut out, &copy.transfer)]
            }
            Kind::Add(add) => {
                flag(&mut out, "checksum", add.checksum.as_ref());
                switch(&mut out, "keep-git-dir", add.keep_git_dir);
                switch(&mut out, "unpack", add.unpack);
                vec![transfer(&mut out, &add.transfer)]
            }
            Kind::Workdir(word)
            | Kind::User(word)
            | Kind::StopSignal(word)
            | Kind::Maintainer(word) => vec![word.value.clone()],
            Kind::Expose(words) => words.iter().map(|word| word.value.clone()).collect(),
            Kind::Volume(words) => vec![list(words)],
            Kind::Entrypoint(line) | Kind::Cmd(line) => vec![command(line)],
            Kind::Healthcheck(check) => healthcheck(&mut out, check),
            Kind::Shell(words) => vec![json(words)],
            Kind::Onbuild(onbuild) => {
                // What the image keeps is the text; its here-documents follow anyway.
                vec![onbuild.text.lines().next().unwrap_or_default().to_owned()]
            }
        };
        for word in words {
            out.push(' ');
            out.push_str(&word);
        }
        out
    }
}

/// Writes ` --name=value`; what has a meaning in flags is escaped.
fn flag(out: &mut String, name: &str, value: Option<&Word>) {
    let Some(value) = value else {
        return;
    };
    let _ = write!(out, " --{name}=");
    for c in value.value.chars() {
        if c.is_whitespace() || matches!(c, '"' | '\'' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
}

fn switch(out: &mut String, name: &str, value: Option<bool>) {
    let _ = match value {
        Some(true) => write!(out, " --{name}"),
        Some(false) => write!(out, " --{name}=false"),
        None => Ok(()),
    };
}

fn json(words: &[Word]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.value.as_str()).collect();
    serde_json::Value::from(words).to_string()
}

/// Words where they can be read again as such, else a JSON list.
fn list(words: &[Word]) -> String {
    let plain = words.iter().all(|word| {
        !word.value.is_empty()
            && !word.value.contains(char::is_whitespace)
            && !word.value.ends_with(['\\', '`'])
    });
    let first = words.first().map_or("", |word| word.value.as_str());
    if plain && !words.is_empty() && !first.starts_with('[') && !first.starts_with("--") {
        let words: Vec<&str> = words.iter().map(|word| word.value.as_str()).collect();
        return words.join(" ");
    }
    json(words)
}

fn command(command: &Command) -> String {
    match command {
        Command::Shell(line) => line.value.clone(),
        Command::Exec(words) => json(words),
    }
}

fn pair_words(pairs: &Pairs) -> Vec<String> {
    let join = match pairs.form {
        PairForm::Equals => '=',
        PairForm::Legacy => ' ',
    };
    pairs
        .items
        .iter()
        .map(|(name, value)| format!("{}{join}{}", name.value, value.value))
        .collect()
}

fn run_flags(out: &mut String, run: &Run) {
    for mount in &run.mounts {
        let word = Word::new(mount_text(mount), mount.span);
        flag(out, "mount", Some(&word));
    }
    if let Some(network) = &run.network {
        let name = match network.value {
            Network::Default => "default",
            Network::None => "none",
            Network::Host => "host",
        };
        let _ = write!(out, " --network={name}");
    }
    if let Some(security) = &run.security {
        let name = match security.value {
            Security::Sandbox => "sandbox",
            Security::Insecure => "insecure",
        };
        let _ = write!(out, " --security={name}");
    }
}

fn mount_text(mount: &MountText) -> String {
    let fields = mount.options.iter().map(|(key, value)| {
        let field = match value {
            Some(value) => format!("{}={}", key.value, value.value),
            None => key.value.clone(),
        };
        if field.contains([',', '"']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field
        }
    });
    fields.collect::<Vec<_>>().join(",")
}

/// Writes the flags; returns sources and destination.
fn transfer(out: &mut String, transfer: &Transfer) -> String {
    flag(out, "chown", transfer.chown.as_ref());
    flag(out, "chmod", transfer.chmod.as_ref());
    switch(out, "link", transfer.link.then_some(true));
    for pattern in &transfer.exclude {
        flag(out, "exclude", Some(pattern));
    }
    let mut words = Vec::new();
    for source in &transfer.sources {
        words.push(match source {
            TransferSource::Path(word) => word.clone(),
            TransferSource::Inline(heredoc) => {
                let strip = if heredoc.strip_tabs { "-" } else { "" };
                let descriptor = heredoc.descriptor.map_or(String::new(), |d| d.to_string());
                let quote = if heredoc.expand { "" } else { "'" };
                let name = &heredoc.name.value;
                let text = format!("{descriptor}<<{strip}{quote}{name}{quote}");
                Word::new(text, heredoc.name.span)
            }
        });
    }
    words.push(transfer.destination.clone());
    list(&words)
}

fn healthcheck(out: &mut String, check: &Healthcheck) -> Vec<String> {
    let Healthcheck::Cmd {
        command: line,
        timing,
    } = check
    else {
        return vec!["NONE".to_owned()];
    };
    let times = [
        ("interval", timing.interval),
        ("timeout", timing.timeout),
        ("start-period", timing.start_period),
        ("start-interval", timing.start_interval),
    ];
    for (name, time) in times {
        if time != 0 {
            let _ = write!(out, " --{name}={time}ns");
        }
    }
    if timing.retries != 0 {
        let _ = write!(out, " --retries={}", timing.retries);
    }
    vec!["CMD".to_owned(), command(line)]
}
