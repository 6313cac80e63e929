//! Dockerfile → image, natively: no other builder, no daemon; the steps run in our own runtime.
//!
//! The way: [`dockerfile`] reads text into instructions with spans; [`plan`](mod@plan) makes of them, of the build
//! arguments and of what is known of the base images the stages that are needed, with every variable
//! expanded and every step's environment settled. Both are pure: text and data in, data and
//! diagnostics out; no disk, no clock, no environment, no network.
//!
//! Invariant: a [`Plan`](plan::Plan) has nothing left to decide. Whoever carries it out never looks at the
//! Dockerfile again, except to show the line that failed.

mod cache;
mod cancel;
pub mod check;
mod copy;
pub mod dockerfile;
mod error;
mod event;
mod execute;
mod expand;
mod export;
mod files;
pub mod ignore;
mod image;
pub mod plan;
mod remote;
mod request;
mod run;
mod shared;

pub use cache::{Cache, CacheRules, Entry, EntryKind};
pub use cancel::Cancel;
pub use copy::CopyError;
pub(crate) use copy::matches_path;
pub use error::{Error, StepError};
pub use event::{End, Event, Sink, StepNumber, Stream};
pub use execute::Builder;
pub use export::{Output, unpack_context};
pub use remote::{Remote, Repository};
pub use request::{
    AgentSource, DockerfileText, NamedContext, NoCache, Request, Scratch, Secret, SecretText,
};
pub use run::{AgentError, KeyError, NetworkChoice};
pub use shared::{CachePlace, CacheSource, CacheTarget, SpecError};

/// What the checks say about a request's Dockerfile; nothing is built and no image is looked at.
pub fn check_request(request: &Request) -> crate::compose::Diagnostics {
    let text = &request.dockerfile;
    let source = match dockerfile::Source::parse(&text.path, &text.bytes) {
        Ok(source) => source,
        Err(report) => return report,
    };
    let ignore = ignore::Matcher::parse(&text.ignore).ok();
    let asked = execute::asked(request);
    check::check(&source, &asked, &plan::Bases::new(), ignore.as_ref())
}
