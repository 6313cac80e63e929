//! `RUN --mount`: what its options mean, once variables have values.

use super::evaluate::Evaluator;
use super::scope::clean;
use super::step::{Access, AgentMount, CacheMount, Mount, Origin, SecretMount, Sharing};
use crate::build::dockerfile::instruction::{MountText, Word};
use crate::compose::diagnostic::{Problems, Span, suggestion};

/// The options of one mount, expanded.
struct Options {
    items: Vec<(Word, Option<Word>)>,
    kind: Kind,
    span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

const KINDS: [(&str, Kind); 5] = [
    ("bind", Kind::Bind),
    ("cache", Kind::Cache),
    ("tmpfs", Kind::Tmpfs),
    ("secret", Kind::Secret),
    ("ssh", Kind::Ssh),
];

impl Kind {
    fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| *name)
    }

    /// The options that it takes, besides `type`.
    fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Bind => &["from", "source", "target", "readonly", "readwrite"],
            Self::Cache => &[
                "id",
                "from",
                "source",
                "target",
                "readonly",
                "readwrite",
                "sharing",
                "mode",
                "uid",
                "gid",
            ],
            Self::Tmpfs => &["target", "size", "readonly", "readwrite"],
            Self::Secret => &[
                "id",
                "source",
                "target",
                "env",
                "required",
                "mode",
                "uid",
                "gid",
                "readonly",
                "readwrite",
            ],
            Self::Ssh => &[
                "id",
                "target",
                "required",
                "mode",
                "uid",
                "gid",
                "readonly",
                "readwrite",
            ],
        }
    }
}

/// All mounts of a `RUN`; `None`: one is wrong, which is recorded.
pub(super) fn all(evaluator: &mut Evaluator<'_, '_>, mounts: &[MountText]) -> Option<Vec<Mount>> {
    let found: Vec<Option<Mount>> = mounts.iter().map(|mount| one(evaluator, mount)).collect();
    found.into_iter().collect()
}

fn one(evaluator: &mut Evaluator<'_, '_>, mount: &MountText) -> Option<Mount> {
    let mut items = Vec::new();
    for (key, value) in &mount.options {
        let value = match value {
            Some(value) if key.value == "from" => Some(value.clone()),
            Some(value) => {
                let text = evaluator.expander.word(value, &evaluator.scope)?;
                Some(Word::new(text, value.span))
            }
            None => None,
        };
        let name = match key.value.as_str() {
            "src" => "source",
            "dst" | "destination" => "target",
            "ro" => "readonly",
            "rw" => "readwrite",
            other => other,
        };
        items.push((Word::new(name.to_owned(), key.span), value));
    }
    let kind = kind(&items, evaluator.expander.problems)?;
    let options = Options {
        items,
        kind,
        span: mount.span,
    };
    options.check(evaluator.expander.problems)?;
    let from = match options.word("from") {
        Some(from) => Some(evaluator.origin(from)?),
        None => None,
    };
    let target = options
        .word("target")
        .filter(|target| !target.value.is_empty())
        .map(|target| clean(&evaluator.scope.config.workdir, &target.value));
    options.mount(from, target, evaluator.expander.problems)
}

fn kind(items: &[(Word, Option<Word>)], problems: &mut Problems) -> Option<Kind> {
    let given = items.iter().rev().find(|(key, _)| key.value == "type");
    let Some((_, Some(word))) = given else {
        return Some(Kind::Bind);
    };
    let lower = word.value.to_ascii_lowercase();
    if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == lower) {
        return Some(*kind);
    }
    let names = KINDS.map(|(name, _)| name);
    let message = format!("`{}` is no type of mount", word.value);
    let error = problems.error(word.span, message);
    match suggestion(&lower, names) {
        Some(name) => error.help(format!("did you mean `{name}`?")),
        None => error.help(format!("there are {}", names.join(", "))),
    };
    None
}

impl Options {
    /// The last value of an option.
    fn word(&self, name: &str) -> Option<&Word> {
        let found = self.items.iter().rev().find(|(key, _)| key.value == name);
        found.and_then(|(_, value)| value.as_ref())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.word(name)
            .map(|word| word.value.clone())
            .filter(|text| !text.is_empty())
    }

    /// Records options that this type does not take.
    fn check(&self, problems: &mut Problems) -> Option<()> {
        let mut right = true;
        for (key, _) in &self.items {
            let name = key.value.as_str();
            if name != "type" && !self.kind.takes().contains(&name) {
                right = false;
                let message = format!("a `{}` mount has no option `{name}`", self.kind.name());
                problems
                    .error(key.span, message)
                    .help(format!("it takes {}", self.kind.takes().join(", ")));
            }
        }
        right.then_some(())
    }

    fn mount(
        &self,
        from: Option<Origin>,
        target: Option<String>,
        problems: &mut Problems,
    ) -> Option<Mount> {
        let needs_target = matches!(self.kind, Kind::Bind | Kind::Cache | Kind::Tmpfs);
        if needs_target && target.is_none() {
            let message = format!("a `{}` mount needs a `target`", self.kind.name());
            problems.error(self.span, message);
            return None;
        }
        let place = target.clone().unwrap_or_default();
        if needs_target && place == "/" {
            problems.error(self.span, "a mount cannot take the place of `/`");
            return None;
        }
        let source = clean("/", &self.text("source").unwrap_or_default());
        Some(match self.kind {
            Kind::Bind => Mount::Bind {
                from: from.unwrap_or(Origin::Context),
                source,
                target: place,
                writable: self.writable(false, problems)?,
            },
            Kind::Cache => Mount::Cache(CacheMount {
                id: self.text("id").unwrap_or_else(|| place.clone()),
                sharing: self.sharing(problems)?,
                from,
                source,
                access: self.access(0o755, problems)?,
                writable: self.writable(true, problems)?,
                target: place,
            }),
            Kind::Tmpfs => Mount::Tmpfs {
                target: place,
                size: self.size(problems)?,
            },
            Kind::Secret => self.secret(target, problems)?,
            Kind::Ssh => Mount::Ssh(AgentMount {
                id: self.text("id").unwrap_or_else(|| "default".to_owned()),
                target,
                required: self.switch("required", problems)?.unwrap_or(false),
                access: self.access(0o600, problems)?,
            }),
        })
    }

    fn secret(&self, target: Option<String>, problems: &mut Problems) -> Option<Mount> {
        let (id, source) = (self.text("id"), self.text("source"));
        if id.is_some() && source.is_some() {
            problems.error(self.span, "a secret has an `id` or a `source`, not both");
            return None;
        }
        let env = self.text("env");
        let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let named = id.or(source).or_else(|| target.as_deref().map(base));
        let Some(id) = named.filter(|id| !id.is_empty()) else {
            problems
                .error(self.span, "a secret needs an `id`")
                .help("write `--mount=type=secret,id=NAME`");
            return None;
        };
        // With a variable, a file is made only where one is asked for.
        let target = match (&target, &env) {
            (Some(_), _) | (None, Some(_)) => target,
            (None, None) => Some(format!("/run/secrets/{}", base(&id))),
        };
        Some(Mount::Secret(SecretMount {
            target,
            env,
            required: self.switch("required", problems)?.unwrap_or(false),
            access: self.access(0o400, problems)?,
            id,
        }))
    }

    /// `mode`, `uid` and `gid`: root's, unless they say otherwise.
    fn access(&self, mode: u32, problems: &mut Problems) -> Option<Access> {
        Some(Access {
            mode: self.number("mode", 8, mode, problems)?,
            uid: self.number("uid", 10, 0, problems)?,
            gid: self.number("gid", 10, 0, problems)?,
        })
    }

    /// Whether it can be written: the last of `readonly` and `readwrite` counts.
    fn writable(&self, default: bool, problems: &mut Problems) -> Option<bool> {
        let mut writable = default;
        for (key, value) in &self.items {
            let invert = match key.value.as_str() {
                "readonly" => true,
                "readwrite" => false,
                _ => continue,
            };
            writable = boolean(value.as_ref(), problems)? != invert;
        }
        Some(writable)
    }

    fn switch(&self, name: &str, problems: &mut Problems) -> Option<Option<bool>> {
        let found = self.items.iter().rev().find(|(key, _)| key.value == name);
        match found {
            Some((_, value)) => boolean(value.as_ref(), problems).map(Some),
            None => Some(None),
        }
    }

    fn number(&self, name: &str, radix: u32, default: u32, problems: &mut Problems) -> Option<u32> {
        let Some(word) = self.word(name) else {
            return Some(default);
        };
        let number = u32::from_str_radix(&word.value, radix).ok();
        if number.is_none() {
            let kind = if radix == 8 {
                "an octal number"
            } else {
                "a number"
            };
            let message = format!("`{name}` is {kind}, not `{}`", word.value);
            problems.error(word.span, message);
        }
        number
    }

    fn sharing(&self, problems: &mut Problems) -> Option<Sharing> {
        const CHOICES: [(&str, Sharing); 3] = [
            ("shared", Sharing::Shared),
            ("private", Sharing::Private),
            ("locked", Sharing::Locked),
        ];
        let Some(word) = self.word("sharing") else {
            return Some(Sharing::Shared);
        };
        let lower = word.value.to_ascii_lowercase();
        if let Some((_, sharing)) = CHOICES.iter().find(|(name, _)| *name == lower) {
            return Some(*sharing);
        }
        let message = format!("`{}` is none of shared, private, locked", word.value);
        let error = problems.error(word.span, message);
        if let Some(name) = suggestion(&lower, CHOICES.map(|(name, _)| name)) {
            error.help(format!("did you mean `{name}`?"));
        }
        None
    }

    fn size(&self, problems: &mut Problems) -> Option<Option<u64>> {
        let Some(word) = self.word("size") else {
            return Some(None);
        };
        let size = bytes(&word.value);
        if size.is_none() {
            problems
                .error(word.span, format!("`{}` is no size", word.value))
                .help("write it as `64m` or `1g`");
        }
        size.map(Some)
    }
}

fn boolean(value: Option<&Word>, problems: &mut Problems) -> Option<bool> {
    let Some(word) = value else {
        return Some(true);
    };
    match word.value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        other => {
            let message = format!("`{other}` is neither `true` nor `false`");
            problems.error(word.span, message);
            None
        }
    }
}

/// Bytes of `64m`, `1.5GiB`, `1024`; units count in 1024s.
fn bytes(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let size = number * 1024f64.powi(power);
    (size < u64::MAX as f64).then_some(size as u64)
}
