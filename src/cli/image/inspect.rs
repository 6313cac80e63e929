//! `stack image inspect`: all that is known of images, in Docker's shape.

use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::no_such_image;
use crate::cli::choice::{Format, write_documents};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::inspect::{DRIVER, NO_TIME, set_of};
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
    let tagged = image
        .references
        .iter()
        .filter(|name| name.digest().is_none());
    let names: Vec<String> = tagged.map(Reference::familiar).collect();
    let digests = image.repo_digests.iter().map(Reference::familiar);
    let digests: std::collections::BTreeSet<String> = digests.collect();
    let history = config.history().iter().flatten().last();
    let comment = history.and_then(|last| last.comment().clone());
    let mut document = json!({
        "Id": image.id,
        "RepoTags": names,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": comment.unwrap_or_default(),
        "Created": image.created,
        "Container": "",
        "DockerVersion": "",
        "Author": config.author().as_deref().unwrap_or_default(),
        "Config": run(image),
        "Architecture": config.architecture(),
    });
    if let Some(variant) = config.variant() {
        document["Variant"] = json!(variant);
    }
    document["Os"] = json!(config.os());
    if let Some(version) = config.os_version() {
        document["OsVersion"] = json!(version);
    }
    document["Size"] = json!(image.size);
    document["VirtualSize"] = json!(image.size);
    document["GraphDriver"] = graph_driver(image);
    document["RootFS"] = json!({
        "Type": "layers",
        "Layers": config.rootfs().diff_ids(),
    });
    let fetched = image.pulled.map(|time| time.to_string());
    let fetched = fetched.unwrap_or_else(|| NO_TIME.to_owned());
    document["Metadata"] = json!({"LastTagTime": fetched});
    document
}

/// What to run: all fields that Docker has, in its order.
fn run(image: &Image) -> Value {
    let none = oci_spec::image::Config::default();
    let config = image.config.config().as_ref().unwrap_or(&none);
    let mut run = json!({
        "Hostname": "",
        "Domainname": "",
        "User": config.user().as_deref().unwrap_or_default(),
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
    });
    let ports = set_of(config.exposed_ports().clone().unwrap_or_default());
    if !ports.is_null() {
        run["ExposedPorts"] = ports;
    }
    let rest = json!({
        "Tty": false,
        "OpenStdin": false,
        "StdinOnce": false,
        "Env": config.env(),
        "Cmd": config.cmd(),
    });
    extend(&mut run, rest);
    if let Some(check) = &image.healthcheck {
        run["Healthcheck"] = json!(check);
    }
    let labels: Option<std::collections::BTreeMap<_, _>> = config
        .labels()
        .clone()
        .map(|labels| labels.into_iter().collect());
    let rest = json!({
        "Image": "",
        "Volumes": set_of(config.volumes().clone().unwrap_or_default()),
        "WorkingDir": config.working_dir().as_deref().unwrap_or_default(),
        "Entrypoint": config.entrypoint(),
        "OnBuild": null,
        "Labels": labels,
    });
    extend(&mut run, rest);
    if let Some(signal) = config.stop_signal() {
        run["StopSignal"] = json!(signal);
    }
    run
}

fn extend(document: &mut Value, rest: Value) {
    if let (Value::Object(document), Value::Object(rest)) = (document, rest) {
        document.extend(rest);
    }
}

/// The layers, the top one apart, as Docker has them.
fn graph_driver(image: &Image) -> Value {
    let mut data = serde_json::Map::new();
    if let Some((top, below)) = image.layers.split_last() {
        let below: Vec<String> = below
            .iter()
            .rev()
            .map(|layer| layer.display().to_string())
            .collect();
        if !below.is_empty() {
            data.insert("LowerDir".to_owned(), json!(below.join(":")));
        }
        data.insert("UpperDir".to_owned(), json!(top));
    }
    json!({"Data": data, "Name": DRIVER})
}
