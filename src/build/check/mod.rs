//! Build checks: what is allowed in a Dockerfile and is most likely not meant. Rules and names are BuildKit's.
//!
//! `# check=skip=RULE,…;error=true;experimental=RULE,…` at the top of a file, or the caller, says which
//! are skipped and whether a finding is an error.

mod names;
mod options;

use crate::build::dockerfile::Source;
use crate::compose::Diagnostics;
use crate::compose::diagnostic::{Problems, Span};

pub(super) use names::{is_secret, named};
pub use options::{CheckOptions, OptionsError};

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Names of stages are in lower case.
    StageNameCasing,
    /// `AS` is written as `FROM` is.
    FromAsCasing,
    /// No empty line between continued ones.
    NoEmptyContinuation,
    /// All keywords in upper case, or all in lower case.
    ConsistentInstructionCasing,
    /// No two stages of one name.
    DuplicateStageName,
    /// No stage is named `scratch` or `context`.
    ReservedStageName,
    /// `CMD` and `ENTRYPOINT` in exec form, so that signals reach the program.
    JsonArgsRecommended,
    /// No `MAINTAINER`.
    MaintainerDeprecated,
    /// `FROM` uses only arguments that are declared.
    UndefinedArgInFrom,
    /// The first `WORKDIR` is absolute.
    WorkdirRelativePath,
    /// Variables have a value before they are used.
    UndefinedVar,
    /// Only one `CMD`, `ENTRYPOINT`, `HEALTHCHECK` in a stage.
    MultipleInstructionsDisallowed,
    /// No `ENV name value`.
    LegacyKeyValueFormat,
    /// A base image fits the platform.
    InvalidBaseImagePlatform,
    /// No `--platform=$TARGETPLATFORM`: that is the default.
    RedundantTargetPlatform,
    /// No secrets in `ARG` and `ENV`.
    SecretsUsedInArgOrEnv,
    /// The defaults of arguments make names of images.
    InvalidDefaultArgInFrom,
    /// No constant `--platform`.
    FromPlatformFlagConstDisallowed,
    /// No file is copied that `.dockerignore` leaves out.
    CopyIgnoredFile,
    /// Protocols of `EXPOSE` are in lower case.
    ExposeProtoCasing,
    /// `EXPOSE` has no address and no port of the host.
    ExposeInvalidFormat,
}

/// Every rule with its name; whether it must be asked for.
const RULES: [(Rule, &str, bool); 21] = [
    (Rule::StageNameCasing, "StageNameCasing", false),
    (Rule::FromAsCasing, "FromAsCasing", false),
    (Rule::NoEmptyContinuation, "NoEmptyContinuation", false),
    (
        Rule::ConsistentInstructionCasing,
        "ConsistentInstructionCasing",
        false,
    ),
    (Rule::DuplicateStageName, "DuplicateStageName", false),
    (Rule::ReservedStageName, "ReservedStageName", false),
    (Rule::JsonArgsRecommended, "JSONArgsRecommended", false),
    (Rule::MaintainerDeprecated, "MaintainerDeprecated", false),
    (Rule::UndefinedArgInFrom, "UndefinedArgInFrom", false),
    (Rule::WorkdirRelativePath, "WorkdirRelativePath", false),
    (Rule::UndefinedVar, "UndefinedVar", false),
    (
        Rule::MultipleInstructionsDisallowed,
        "MultipleInstructionsDisallowed",
        false,
    ),
    (Rule::LegacyKeyValueFormat, "LegacyKeyValueFormat", false),
    (
        Rule::InvalidBaseImagePlatform,
        "InvalidBaseImagePlatform",
        false,
    ),
    (
        Rule::RedundantTargetPlatform,
        "RedundantTargetPlatform",
        false,
    ),
    (Rule::SecretsUsedInArgOrEnv, "SecretsUsedInArgOrEnv", false),
    (
        Rule::InvalidDefaultArgInFrom,
        "InvalidDefaultArgInFrom",
        false,
    ),
    (
        Rule::FromPlatformFlagConstDisallowed,
        "FromPlatformFlagConstDisallowed",
        false,
    ),
    (Rule::CopyIgnoredFile, "CopyIgnoredFile", true),
    (Rule::ExposeProtoCasing, "ExposeProtoCasing", false),
    (Rule::ExposeInvalidFormat, "ExposeInvalidFormat", false),
];

impl Rule {
    /// The name by which it is skipped.
    pub fn name(self) -> &'static str {
        let entry = RULES.iter().find(|(rule, ..)| *rule == self);
        entry.map_or("", |(_, name, _)| *name)
    }

    fn is_experimental(self) -> bool {
        RULES.iter().any(|(rule, _, asked)| *rule == self && *asked)
    }
}

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Collects what rules find.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, rule: Rule, span: Span, message: impl Into<String>) {
        self.add_with_help(rule, span, message, None);
    }

    pub(super) fn add_with_help(
        &mut self,
        rule: Rule,
        span: Span,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let message = message.into();
        let finding = Finding {
            rule,
            span,
            message,
            help,
        };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// The findings that count, as problems of the file: warnings, or errors when the options say so.
    pub(super) fn report(self, options: &CheckOptions, problems: &mut Problems) {
        for finding in self.0 {
            if !options.runs(finding.rule) {
                continue;
            }
            let message = format!("{}: {}", finding.rule.name(), finding.message);
            let problem = if options.error {
                problems.error(finding.span, message)
            } else {
                problems.warn(finding.span, message)
            };
            if let Some(help) = finding.help {
                problem.help(help);
            }
        }
    }
}

/// What the options at the top of a file say; the caller's own count instead when there are any.
pub(super) fn options(
    source: &Source,
    own: Option<&CheckOptions>,
    problems: &mut Problems,
) -> CheckOptions {
    if let Some(own) = own {
        return own.clone();
    }
    let Some(word) = &source.dockerfile.directives.check else {
        return CheckOptions::default();
    };
    match CheckOptions::parse(&word.value) {
        Ok(options) => options,
        Err(error) => {
            let problem = problems.error(word.span, error.to_string());
            if let Some(likely) = error.likely() {
                problem.help(format!("did you mean `{likely}`?"));
            }
            CheckOptions::default()
        }
    }
}

/// Checks a Dockerfile without building it: every stage, with base images that are not known taken as empty.
///
/// `ignore` is the context's `.dockerignore`.
pub fn check(
    source: &Source,
    request: &crate::build::plan::Request,
    bases: &crate::build::plan::Bases,
    ignore: Option<&crate::build::ignore::Matcher>,
) -> Diagnostics {
    crate::build::plan::check(source, request, bases, ignore)
}

#[cfg(test)]
mod tests;
