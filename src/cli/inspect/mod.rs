//! `stack inspect`: all that is known of containers, images, networks and volumes, in Docker's shape.
//!
//! One file for each part of a container's document. Fields are in Docker's order: scripts cut
//! pieces out of the text.

mod config;
mod container;
mod host;
mod mounts;
mod network;

use std::io::Write as _;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::choice::{Format, write_documents};
use super::containers::{Listed, listed};
use super::context::Context;
use super::error::{Error, Result};
use super::{image, network as networks_of, volume};
use crate::engine::native::objects::volumes;
use crate::engine::native::{networks, observe};
use crate::plan::Observed;
use crate::state::records::{ContainerRecord, NetworkRecord, VolumeRecord};

pub(super) use config::keys as set_of;
pub(super) use container::{DRIVER, NO_TIME, Sizes, find, size_of};
pub(super) use network::endpoint_id;

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names, ids, or the first digits of ids, of containers, images, networks, volumes.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// `json`, or a Go template for a line about each.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
    /// What the names are of; any of them, in this order, unless given.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<Kind>,
    /// Say how much containers take on the disk.
    #[arg(short, long)]
    size: bool,
}

/// What can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// What a container is among.
struct Surroundings<'a> {
    containers: &'a [Listed],
    networks: &'a [NetworkRecord],
}

impl Surroundings<'_> {
    /// A namespace's mode as Docker has it: `service:x` and `container:name` lead to an id.
    fn resolved(&self, record: &ContainerRecord, mode: &str) -> String {
        let Some((kind, name)) = mode.split_once(':') else {
            return mode.to_owned();
        };
        let is_meant = |other: &ContainerRecord| match kind {
            "service" => {
                let same = other.project == record.project && other.service.as_str() == name;
                same && !other.one_off
            }
            _ => other.name == name || (name.len() >= 12 && other.id.starts_with(name)),
        };
        let all = self.containers.iter().map(Listed::record);
        match all
            .filter(|other| is_meant(other))
            .min_by_key(|other| other.number)
        {
            Some(owner) => format!("container:{}", owner.id),
            None => mode.to_owned(),
        }
    }
}

/// Everything of the machine that has a name.
struct Machine<'a> {
    context: &'a Context,
    observed: Observed,
    containers: Vec<Listed>,
    networks: Vec<NetworkRecord>,
    volumes: Vec<VolumeRecord>,
    sizes: Sizes,
}

impl Inspect {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let sizes = match self.size {
            true => Sizes::Reckoned,
            false => Sizes::LeftOut,
        };
        inspect(
            context,
            (&self.names, self.kind, sizes),
            self.format.as_ref(),
        )
    }
}

/// `stack container inspect`.
pub(super) fn inspect_containers(
    context: &Context,
    (names, sizes): (&[String], Sizes),
    format: Option<&Format>,
) -> Result<()> {
    inspect(context, (names, Some(Kind::Container), sizes), format)
}

fn inspect(
    context: &Context,
    (names, kind, sizes): (&[String], Option<Kind>, Sizes),
    format: Option<&Format>,
) -> Result<()> {
    let observed = observe(&context.paths, None)?;
    let machine = Machine {
        context,
        containers: listed(&observed, None),
        networks: networks(&context.paths)?,
        volumes: volumes(&context.paths)?,
        observed,
        sizes,
    };
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in names {
        match machine.document(name, kind)? {
            Ok(mut document) => {
                if matches!(format, Some(Format::Template(_) | Format::TableOf(_))) {
                    for_templates(&mut document);
                }
                found.push(document);
            }
            Err(error) => errors.push(error),
        }
    }
    let mut out = std::io::stdout().lock();
    write_documents(found, format, &mut out)?;
    out.flush()?;
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Error::several(errors)),
    }
}

/// Templates name the fields of Go, where JSON has names of its own.
fn for_templates(document: &mut Value) {
    if let Some(descriptor) = document.get_mut("ImageManifestDescriptor") {
        let (os, architecture) = {
            let platform = &descriptor["platform"];
            (&platform["os"], &platform["architecture"])
        };
        descriptor["Platform"] = json!({"OS": os, "Architecture": architecture});
    }
}

impl Machine<'_> {
    /// The document about what this name stands for, or why there is none.
    fn document(&self, name: &str, kind: Option<Kind>) -> Result<Result<Value, String>> {
        let kinds = match &kind {
            Some(kind) => std::slice::from_ref(kind),
            None => &[Kind::Container, Kind::Image, Kind::Network, Kind::Volume],
        };
        for kind in kinds {
            match self.of_kind(name, *kind) {
                Ok(Some(document)) => return Ok(Ok(document)),
                Ok(None) => {}
                Err(error) => return Ok(Err(error.summary())),
            }
        }
        let what = kind.map_or("object", Kind::word);
        Ok(Err(format!("no such {what}: {name}")))
    }

    fn of_kind(&self, name: &str, kind: Kind) -> Result<Option<Value>> {
        match kind {
            Kind::Container => match find(&self.containers, name).map_err(Error::new)? {
                Some(one) => {
                    let around = Surroundings {
                        containers: &self.containers,
                        networks: &self.networks,
                    };
                    container::document(self.context, one, (&around, self.sizes)).map(Some)
                }
                None => Ok(None),
            },
            Kind::Image => {
                let found = self.context.images()?.find(name)?;
                Ok(found.as_ref().map(image::document))
            }
            Kind::Network => {
                let found = networks_of::find(&self.networks, name)?;
                Ok(found.map(|record| networks_of::document(record, &self.observed)))
            }
            Kind::Volume => {
                let found = self.volumes.iter().find(|record| record.name == name);
                Ok(found.map(|record| volume::document(self.context, record)))
            }
        }
    }
}
