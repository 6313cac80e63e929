//! `stack image inspect`: all that is known of images, in Docker's shape.

use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::no_such_image;
use crate::cli::choice::{Format, write_documents};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::image::{Image, Reference};

/// Flags of `image inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names of images, ids, or the first digits of ids.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// `json`, or a Go template for a line about each.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Inspect {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let store = context.images()?;
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for text in &self.images {
            match store.find(text)? {
                Some(image) => found.push(document(&image)),
                None => missing.push(text),
            }
        }
        let mut out = std::io::stdout().lock();
        write_documents(found, self.format.as_ref(), &mut out)?;
        out.flush()?;
        match missing[..] {
            [] => Ok(()),
            [one] => Err(no_such_image(one)),
            _ => Err(Error::several(
                missing
                    .iter()
                    .map(|text| format!("no such image: {text}"))
                    .collect(),
            )),
        }
    }
}

/// The document about one image.
pub(in crate::cli) fn document(image: &Image) -> Value {
    let config = &image.config;
    let names: Vec<String> = image.references.iter().map(Reference::familiar).collect();
    let digests: std::collections::BTreeSet<String> = image
        .references
        .iter()
        .map(|reference| format!("{}@{}", reference.familiar_name(), image.manifest))
        .collect();
    // The part that says what to run is in Docker's field names already.
    let mut run = serde_json::to_value(config.config()).unwrap_or_default();
    // Labels and ports come in no order.
    run.sort_all_objects();
    if let (Some(check), Value::Object(run)) = (&image.healthcheck, &mut run) {
        run.insert("Healthcheck".to_owned(), json!(check));
    }
    json!({
        "Id": image.id,
        "RepoTags": names,
        "RepoDigests": digests,
        "Created": image.created,
        "Author": config.author().as_deref().unwrap_or_default(),
        "Config": run,
        "Architecture": config.architecture(),
        "Variant": config.variant().as_deref().unwrap_or_default(),
        "Os": config.os(),
        "Size": image.size,
        "RootFS": {
            "Type": "layers",
            "Layers": config.rootfs().diff_ids(),
        },
    })
}
