//! TLS: whom we trust, and who we are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::connect::Endpoint;
use super::error::RegistryError;
use super::settings::Machine;

impl Machine {
    /// The configuration for one host.
    pub(super) fn tls(&self, endpoint: &Endpoint) -> Result<Arc<ClientConfig>, RegistryError> {
        let (settings, certificates) = self.certificates(endpoint)?;
        // ring is named explicitly: a process-wide default may be another one, or none.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let wrong = |error: rustls::Error| RegistryError::Tls {
            registry: endpoint.name(),
            source: io::Error::other(error),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let builder = if settings.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            let mut roots = self.trusted.get_or_init(|| self.system_roots()).clone();
            for path in &certificates.authorities {
                let found = read_certificates(path)?;
                roots.add_parsable_certificates(found);
            }
            builder.with_root_certificates(roots)
        };
        let config = match &certificates.own {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = read_certificates(cert)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(certificate(key))?;
                builder.with_client_auth_cert(chain, key).map_err(wrong)?
            }
        };
        Ok(Arc::new(config))
    }

    fn system_roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let (file, directory) = &self.roots;
        let found = match (file, directory) {
            (None, None) => rustls_native_certs::load_native_certs(),
            (file, directory) => {
                rustls_native_certs::load_certs_from_paths(file.as_deref(), directory.as_deref())
            }
        };
        for error in &found.errors {
            tracing::debug!(%error, "a certificate of the system cannot be read");
        }
        // One broken certificate in the system's directory is no reason to distrust all others.
        roots.add_parsable_certificates(found.certs);
        roots
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(certificate(path))?;
    match found.is_empty() {
        true => Err(RegistryError::Certificate {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, "there is no certificate in it"),
        }),
        false => Ok(found),
    }
}

fn certificate(path: &Path) -> impl FnOnce(rustls::pki_types::pem::Error) -> RegistryError {
    let path: PathBuf = path.to_owned();
    move |error| RegistryError::Certificate {
        path,
        source: io::Error::other(error),
    }
}

/// Takes every certificate: for registries that the user has named as insecure. The handshake's
/// signatures are still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
