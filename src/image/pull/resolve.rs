//! From a name to the manifest and the configuration of an image.

use std::borrow::Cow;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::{Method, StatusCode};
use oci_spec::image::ImageConfiguration;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::super::digest::Digest;
use super::super::oci::{CONFIG, DOCKER_CONFIG, Descriptor, Index, Manifest};
use super::super::progress::{Phase, Progress, ProgressSink};
use super::super::reference::Reference;
use super::super::registry::{Client, Failures, RegistryError, Request, accept};
use super::platform::{Platform, choose};

/// Longest manifest or index that is read; registries take no longer ones.
pub(super) const MANIFEST_MAX: usize = 4 << 20;
/// Longest configuration.
const CONFIG_MAX: usize = 8 << 20;
/// An index may hold indexes, but not for ever.
const NESTING_MAX: usize = 4;

/// A manifest, verified.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
    /// What the name stands for at the registry: the manifest or an index.
    pub(super) repo_digest: Digest,
    /// Who gave it: the place in the list of sources.
    pub(super) source: usize,
}

/// What is looked for, and where.
pub(super) struct Resolve<'a> {
    /// Mirrors and, as the last, the registry.
    pub(super) sources: &'a [Client],
    pub(super) reference: &'a Reference,
    pub(super) platform: Option<&'a Platform>,
    pub(super) progress: ProgressSink<'a>,
}

impl Resolve<'_> {
    /// From the name to the manifest for the machine.
    pub(super) async fn manifest(&self) -> Result<Found, RegistryError> {
        let last = self.sources.len().saturating_sub(1);
        for source in 0..last {
            match self.manifest_of(source).await {
                Ok(found) => return Ok(found),
                Err(error) => self.passed_over(source, &error),
            }
        }
        self.manifest_of(last).await
    }

    fn passed_over(&self, source: usize, error: &RegistryError) {
        let mirror = self.sources[source].registry();
        tracing::debug!(mirror, %error, "a mirror does not give the image");
    }

    /// What the name stands for. A question without an answer's body counts for nothing at registries
    /// that count pulls.
    pub(super) async fn digest(&self) -> Result<Digest, RegistryError> {
        let path = format!("manifests/{}", self.reference.version());
        let name = HeaderName::from_static("docker-content-digest");
        for (at, client) in self.sources.iter().enumerate() {
            let mut request = Request::new(Method::HEAD);
            request.headers.push(accept());
            let answer = client.ask(&path, &request).await;
            if let Ok(answer) = answer
                && answer.status == StatusCode::OK
                && let Some(Ok(digest)) = answer.header(name.clone()).map(str::parse)
            {
                client.done(answer);
                return Ok(digest);
            }
            match self.document(at, &path, MANIFEST_MAX).await {
                Ok((bytes, _)) => return Ok(Digest::of(&bytes)),
                Err(error) if at + 1 == self.sources.len() => return Err(error),
                Err(error) => self.passed_over(at, &error),
            }
        }
        Err(RegistryError::NotFound {
            reference: Box::new(self.reference.clone()),
        })
    }

    async fn manifest_of(&self, source: usize) -> Result<Found, RegistryError> {
        let mut version = self.reference.version();
        let mut expected = self.reference.digest().copied();
        let mut repo_digest = None;
        for _ in 0..=NESTING_MAX {
            let (bytes, media_type) = self.typed(source, &version).await?;
            let digest = Digest::of(&bytes);
            if let Some(expected) = expected.filter(|expected| *expected != digest) {
                return Err(RegistryError::Mismatch {
                    expected,
                    actual: digest,
                });
            }
            let repo_digest = *repo_digest.get_or_insert(digest);
            let kind = Descriptor::new(&media_type, digest, bytes.len() as u64);
            if kind.is_manifest() {
                let manifest = parse("a manifest", &bytes)?;
                self.check_kinds(&manifest)?;
                return Ok(Found {
                    bytes,
                    media_type,
                    digest,
                    manifest,
                    repo_digest,
                    source,
                });
            }
            if !kind.is_index() {
                return Err(RegistryError::MediaType {
                    reference: Box::new(self.reference.clone()),
                    media_type,
                });
            }
            let next = self.choose(&parse::<Index>("an index", &bytes)?)?;
            (version, expected) = (next.to_string(), Some(next));
        }
        Err(self.sources[source].protocol("its indexes hold indexes without end"))
    }

    /// Registries keep many things: charts, signatures, layers that may not be handed out.
    fn check_kinds(&self, manifest: &Manifest) -> Result<(), RegistryError> {
        let reference = || Box::new(self.reference.clone());
        let kind = &manifest.config.media_type;
        // Builders of old days wrote what they liked, but never these.
        let other =
            kind.starts_with("application/vnd.") && ![CONFIG, DOCKER_CONFIG].contains(&&**kind);
        if other && !kind.contains("image.config") && !kind.contains("container.image") {
            return Err(RegistryError::Artifact {
                reference: reference(),
                media_type: kind.clone(),
            });
        }
        for layer in &manifest.layers {
            let kind = &layer.media_type;
            if kind.contains("foreign") || kind.contains("nondistributable") {
                return Err(RegistryError::Foreign {
                    reference: reference(),
                    layer: layer.digest,
                    media_type: kind.clone(),
                });
            }
        }
        Ok(())
    }

    fn wanted(&self) -> Cow<'_, Platform> {
        self.platform
            .map_or_else(|| Cow::Owned(Platform::this()), Cow::Borrowed)
    }

    fn choose(&self, index: &Index) -> Result<Digest, RegistryError> {
        let wanted = self.wanted();
        let found = choose(&index.manifests, &wanted).map(|found| found.digest);
        found.ok_or_else(|| RegistryError::Platform {
            reference: Box::new(self.reference.clone()),
            wanted: wanted.to_string(),
            offered: offered(index),
        })
    }

    /// An image that comes alone does not say what it is for before its configuration is read.
    pub(super) fn check_platform(&self, config: &ImageConfiguration) -> Result<(), RegistryError> {
        let wanted = self.wanted();
        let offered = Platform::of_config(config);
        if wanted.runs(&offered) {
            return Ok(());
        }
        Err(RegistryError::Platform {
            reference: Box::new(self.reference.clone()),
            wanted: wanted.to_string(),
            offered: vec![offered.to_string()],
        })
    }

    async fn typed(
        &self,
        source: usize,
        version: &str,
    ) -> Result<(Vec<u8>, String), RegistryError> {
        let path = format!("manifests/{version}");
        let (bytes, headers) = self.document(source, &path, MANIFEST_MAX).await?;
        let said = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let said = said.map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        });
        // Servers of plain files do not know what they serve; the document itself mostly does.
        let known = said.filter(|said| Descriptor::new(said, Digest::of(b""), 0).is_known());
        let media_type = match known {
            Some(known) => known,
            None => parse::<Kind>("a manifest", &bytes)?.media_type,
        };
        Ok((bytes, media_type))
    }

    /// The configuration that a manifest names.
    pub(super) async fn config(&self, found: &Found) -> Result<Vec<u8>, RegistryError> {
        let expected = found.manifest.config.digest;
        let most = usize::try_from(found.manifest.config.size)
            .unwrap_or(CONFIG_MAX)
            .min(CONFIG_MAX);
        let path = format!("blobs/{expected}");
        let mut source = found.source;
        loop {
            let fetched = self.document(source, &path, most).await;
            let checked = fetched.and_then(|(bytes, _)| match Digest::of(&bytes) {
                actual if actual == expected => Ok(bytes),
                actual => Err(RegistryError::Mismatch { expected, actual }),
            });
            match checked {
                Err(error) if source + 1 < self.sources.len() => self.passed_over(source, &error),
                other => return other,
            }
            source += 1;
        }
    }

    /// A small document, tried again if the network or the registry has a bad moment. A mirror is not
    /// waited for: there is somebody else to ask.
    async fn document(
        &self,
        source: usize,
        path: &str,
        most: usize,
    ) -> Result<(Vec<u8>, HeaderMap), RegistryError> {
        let client = &self.sources[source];
        let mut failures = Failures::default();
        loop {
            let tried = async {
                let answer = client.get(path, &[accept()]).await?;
                let headers = answer.headers.clone();
                Ok((client.read(answer, most).await?, headers))
            };
            match tried.await {
                Err(error) if source + 1 == self.sources.len() => {
                    let pause = failures.pause(error)?;
                    (self.progress)(Progress {
                        layer: None,
                        phase: Phase::Retrying {
                            attempt: failures.attempt(),
                        },
                    });
                    sleep(pause).await;
                }
                other => return other,
            }
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    media_type: String,
}

fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|source| RegistryError::Document { what, source })
}

fn offered(index: &Index) -> Vec<String> {
    let platforms = index
        .manifests
        .iter()
        .filter_map(|image| image.platform.as_ref());
    let known = platforms.filter(|platform| platform.os != "unknown");
    let mut names = known.map(Platform::to_string).collect::<Vec<_>>();
    names.dedup();
    if names.is_empty() {
        names.push("no machine at all".to_owned());
    }
    names
}
