//! `stack volume inspect`: all that is known of volumes, in Docker's shape.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::choice::Format;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::objects::Kind;
use crate::engine::native::objects::{mountpoint, volume};
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
        Kind::Volume.inspect(&self.volumes, self.format.as_ref(), |name| {
            let found = volume(&context.paths, name)?;
            Ok(found.map(|record| document(context, &record)))
        })
    }
}

/// The document about one volume.
pub(in crate::cli) fn document(context: &Context, record: &VolumeRecord) -> Value {
    // Docker has an empty set for a volume that was made by hand.
    let options = match record.options.is_empty() && !record.project.is_empty() {
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
