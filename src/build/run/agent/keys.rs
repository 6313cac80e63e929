//! Private keys from files, and what they sign.
//!
//! Read are the files that `ssh-keygen` writes (`openssh-key-v1`), and PKCS #1 and PKCS #8 in PEM; Ed25519, RSA of
//! 2048 to 4096 bits, ECDSA on P-256 and P-384. Nothing of a key leaves this process but signatures.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use num_bigint::BigUint;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    RsaEncoding, RsaKeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use ssh_key::PrivateKey;
use ssh_key::private::{EcdsaKeypair, KeypairData, RsaKeypair};

use super::wire::Writer;

/// No key is longer; what is, is something else.
const SIZE_MAX: u64 = 64 << 10;

/// Why a file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("cannot read the key {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is protected.
    #[error("the key {} is protected by a passphrase: `ssh-add` it to an agent and give that one", path.display())]
    Protected {
        /// The file.
        path: PathBuf,
    },
    /// It is no key that can be used.
    #[error(
        "{} is no private key that can be used ({why}); Ed25519, RSA from 2048 bits and ECDSA are, as `ssh-keygen` writes them",
        path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// A private key, ready to sign.
#[derive(Debug)]
pub(super) enum Key {
    Ed25519(Ed25519KeyPair),
    Ecdsa(&'static Curve, EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A curve of ECDSA.
#[derive(Debug)]
pub(super) struct Curve {
    /// As in the names of RFC 5656.
    name: &'static str,
    algorithm: &'static EcdsaSigningAlgorithm,
}

static P256: Curve = Curve {
    name: "nistp256",
    algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
};
static P384: Curve = Curve {
    name: "nistp384",
    algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
};

impl Key {
    /// The key in a file.
    pub(super) fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(SIZE_MAX).read_to_end(&mut text).map_err(failed)?;
        let text = String::from_utf8_lossy(&text);
        let protected = ["ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
        if protected.iter().any(|mark| text.contains(mark)) {
            return Err(KeyError::Protected {
                path: path.to_owned(),
            });
        }
        let found = match () {
            () if text.contains("BEGIN OPENSSH PRIVATE KEY") => Self::openssh(&text),
            () if text.contains("BEGIN RSA PRIVATE KEY") => Self::pkcs1(&text),
            () if text.contains("BEGIN PRIVATE KEY") => Self::pkcs8(&text),
            () => Err(Some("it does not begin like one".to_owned())),
        };
        found.map_err(|why| match why {
            Some(why) => KeyError::Unusable {
                path: path.to_owned(),
                why,
            },
            None => KeyError::Protected {
                path: path.to_owned(),
            },
        })
    }

    /// `Err(None)`: protected by a passphrase.
    fn openssh(text: &str) -> Result<Self, Option<String>> {
        let said = |error: &dyn std::fmt::Display| Some(error.to_string());
        let key = PrivateKey::from_openssh(text).map_err(|error| said(&error))?;
        match key.key_data() {
            KeypairData::Encrypted(_) => Err(None),
            KeypairData::Ed25519(pair) => {
                let (seed, public) = (pair.private.to_bytes(), pair.public.0);
                Ed25519KeyPair::from_seed_and_public_key(&seed, &public)
                    .map(Self::Ed25519)
                    .map_err(|error| said(&error))
            }
            KeypairData::Ecdsa(pair) => {
                let (curve, secret) = match pair {
                    EcdsaKeypair::NistP256 { private, .. } => (&P256, private.as_slice()),
                    EcdsaKeypair::NistP384 { private, .. } => (&P384, private.as_slice()),
                    EcdsaKeypair::NistP521 { .. } => return Err(Some("P-521".to_owned())),
                };
                let public = ssh_key::public::EcdsaPublicKey::from(pair);
                let public = public.as_sec1_bytes();
                let random = SystemRandom::new();
                EcdsaKeyPair::from_private_key_and_public_key(
                    curve.algorithm,
                    secret,
                    public,
                    &random,
                )
                .map(|pair| Self::Ecdsa(curve, pair))
                .map_err(|error| said(&error))
            }
            KeypairData::Rsa(pair) => Self::rsa(pair).map_err(Some),
            other => {
                let name = other.algorithm().map(|name| name.to_string());
                Err(Some(
                    name.unwrap_or_else(|_| "of an unknown kind".to_owned()),
                ))
            }
        }
    }

    /// OpenSSH leaves out the exponents of the Chinese remainder theorem.
    fn rsa(pair: &RsaKeypair) -> Result<Self, String> {
        let bytes = |number: &ssh_key::Mpint| {
            let bytes = number.as_positive_bytes().unwrap_or_default();
            BigUint::from_bytes_be(bytes)
        };
        let (public, private) = (&pair.public, &pair.private);
        let (d, p, q) = (bytes(&private.d), bytes(&private.p), bytes(&private.q));
        let one = BigUint::from(1_u8);
        if p <= one || q <= one {
            return Err("its numbers are none of RSA".to_owned());
        }
        let big = |number: &BigUint| number.to_bytes_be();
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: big(&bytes(&public.n)),
                e: big(&bytes(&public.e)),
            },
            dP: big(&(&d % (&p - &one))),
            dQ: big(&(&d % (&q - &one))),
            qInv: big(&bytes(&private.iqmp)),
            d: big(&d),
            p: big(&p),
            q: big(&q),
        };
        let pair = RsaKeyPair::from_components(&components);
        pair.map(|pair| Self::Rsa(Box::new(pair)))
            .map_err(|error| error.to_string())
    }

    fn pkcs1(text: &str) -> Result<Self, Option<String>> {
        let der = PrivatePkcs1KeyDer::from_pem_slice(text.as_bytes());
        let der = der.map_err(|error| Some(error.to_string()))?;
        let pair = RsaKeyPair::from_der(der.secret_pkcs1_der());
        pair.map(|pair| Self::Rsa(Box::new(pair)))
            .map_err(|error| Some(error.to_string()))
    }

    fn pkcs8(text: &str) -> Result<Self, Option<String>> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes());
        let der = der.map_err(|error| Some(error.to_string()))?;
        let der = der.secret_pkcs8_der();
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::Ed25519(pair));
        }
        let random = SystemRandom::new();
        for curve in [&P256, &P384] {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve.algorithm, der, &random) {
                return Ok(Self::Ecdsa(curve, pair));
            }
        }
        let pair = RsaKeyPair::from_pkcs8(der);
        pair.map(|pair| Self::Rsa(Box::new(pair)))
            .map_err(|error| Some(error.to_string()))
    }

    /// The public key as it is sent (RFC 4253, 6.6; RFC 5656, 3.1; RFC 8709, 4).
    pub(super) fn public(&self) -> Vec<u8> {
        let mut blob = Writer::default();
        match self {
            Self::Ed25519(pair) => {
                blob.string(b"ssh-ed25519");
                blob.string(pair.public_key().as_ref());
            }
            Self::Ecdsa(curve, pair) => {
                blob.string(format!("ecdsa-sha2-{}", curve.name).as_bytes());
                blob.string(curve.name.as_bytes());
                blob.string(pair.public_key().as_ref());
            }
            Self::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                blob.string(b"ssh-rsa");
                blob.positive(&public.e);
                blob.positive(&public.n);
            }
        }
        blob.into_bytes()
    }

    /// A signature as it is sent. `None`: not of this kind (`ssh-rsa` with SHA-1 is not made any more).
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        const RSA_SHA2_256: u32 = 2;
        const RSA_SHA2_512: u32 = 4;
        let random = SystemRandom::new();
        let mut blob = Writer::default();
        match self {
            Self::Ed25519(pair) => {
                blob.string(b"ssh-ed25519");
                blob.string(pair.sign(data).as_ref());
            }
            Self::Ecdsa(curve, pair) => {
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                let mut numbers = Writer::default();
                numbers.positive(r);
                numbers.positive(s);
                blob.string(format!("ecdsa-sha2-{}", curve.name).as_bytes());
                blob.string(&numbers.into_bytes());
            }
            Self::Rsa(pair) => {
                let (name, padding): (_, &'static dyn RsaEncoding) = match flags {
                    flags if flags & RSA_SHA2_512 != 0 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    flags if flags & RSA_SHA2_256 != 0 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    _ => return None,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, data, &mut signature).ok()?;
                blob.string(name.as_bytes());
                blob.string(&signature);
            }
        }
        Some(blob.into_bytes())
    }
}
