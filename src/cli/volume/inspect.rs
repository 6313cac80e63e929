//! `stack volume inspect`: all that is known of volumes, in Docker's shape.

use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::no_such_volume;
use crate::cli::choice::{Format, write_documents};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::objects::all_of;
use crate::engine::native::objects::{mountpoint, volumes};
use crate::state::records::VolumeRecord;

/// Flags of `volume inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names of volumes.
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<String>,
    /// `json`, or a Go template for a line about each.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Inspect {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let all = volumes(&context.paths)?;
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for text in &self.volumes {
            match all.iter().find(|record| record.name == *text) {
                Some(record) => found.push(document(context, record)),
                None => failures.push(no_such_volume(text)),
            }
        }
        let mut out = std::io::stdout().lock();
        write_documents(found, self.format.as_ref(), &mut out)?;
        out.flush()?;
        all_of(failures)
    }
}

/// The document about one volume.
pub(in crate::cli) fn document(context: &Context, record: &VolumeRecord) -> Value {
    let options = match record.options.is_empty() {
        true => Value::Null,
        false => json!(record.options),
    };
    json!({
        "CreatedAt": record.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "Driver": "local",
        "Labels": record.labels,
        "Mountpoint": mountpoint(&context.paths, &record.name),
        "Name": record.name,
        "Options": options,
        "Scope": "local",
    })
}
