// SPDX-License-Identifier: Apache-2.0
//! Public keys: parsing, and verification of signatures.
//!
//! Spec: RFC 5280 §4.1.2.7 with RFC 3279 (RSA), RFC 5480 (ECDSA) and RFC 8410 (Ed25519); signatures as in RFC 8017 §8.2
//! (PKCS#1 v1.5), RFC 3279 §2.2.3 (ECDSA in DER) and RFC 8032.
//! In scope: the key types of [`KeyType`]. Out of scope: the policy for keys that others bring ([`PublicKey::check_strength`],
//! module `strength`), certificate paths (crate `sigstore`).
//! Invariants: a [`PublicKey`] has a supported type and size and, for ECDSA, its point is on the curve; it keeps the bytes
//! that it was read from. A [`SignatureValid`] exists only after a verification that succeeded.

use std::fmt;
use std::sync::Arc;

use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use pkcs8::ObjectIdentifier;
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use thiserror::Error;

use crate::backend::{Failed, VerifyingKey};
use crate::{Digest, HashAlgorithm, KeyType, Scheme, Weakness, digest, pem, sha256};

/// Why a key was not accepted, made or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("not a PEM block")]
    Pem,
    #[error("the PEM block is not a key of the expected kind")]
    PemLabel,
    #[error("malformed key encoding")]
    Malformed,
    #[error("key algorithm {oid} is not supported")]
    UnsupportedAlgorithm { oid: ObjectIdentifier },
    #[error("elliptic curve {oid} is not supported: use P-256, P-384 or P-521")]
    UnsupportedCurve { oid: ObjectIdentifier },
    #[error("an RSA modulus of {bits} bits is not supported: use 2048, 3072 or 4096")]
    UnsupportedRsaSize { bits: usize },
    #[error("the public key is not a point on its curve")]
    NotOnCurve,
    #[error("weak key: {0}")]
    Weak(Weakness),
    #[error("the key is encrypted and no passphrase was given")]
    PassphraseRequired,
    #[error("a passphrase was given and the key is not encrypted")]
    NotEncrypted,
    #[error("wrong passphrase")]
    WrongPassphrase,
    #[error("the key's passphrase encryption is not supported")]
    UnsupportedEncryption,
    #[error("the key's passphrase encryption asks for too much memory or time")]
    EncryptionTooCostly,
    #[error("scheme {scheme} does not belong to a key of type {key}")]
    WrongScheme { key: KeyType, scheme: Scheme },
    #[error("the scheme hashes with {}, the digest is {}", expected.name(), found.name())]
    WrongHash { expected: HashAlgorithm, found: HashAlgorithm },
    #[error("scheme {scheme} signs messages, not digests")]
    NeedsMessage { scheme: Scheme },
    #[error("the cryptographic library failed")]
    Backend,
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    #[error("the signature does not match")]
    Invalid,
    #[error("scheme {scheme} does not belong to a key of type {key}")]
    WrongScheme { key: KeyType, scheme: Scheme },
    #[error("a key of type {key} does not make such signatures")]
    WrongKeyType { key: KeyType },
    #[error("the scheme hashes with {}, the digest is {}", expected.name(), found.name())]
    WrongHash { expected: HashAlgorithm, found: HashAlgorithm },
    #[error("scheme {scheme} verifies messages, not digests")]
    NeedsMessage { scheme: Scheme },
}

/// Proof that a signature was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureValid(());

/// A public key of a supported type.
#[derive(Clone)]
pub struct PublicKey {
    inner: Arc<Inner>,
}

struct Inner {
    key_type: KeyType,
    spki_der: Vec<u8>,
    raw_bytes: usize,
    verifying: VerifyingKey,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`.
    pub fn from_spki_der(spki_der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| KeyError::Malformed)?;
        let raw = spki.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        let key_type = key_type(&spki.algorithm, raw)?;
        let verifying = VerifyingKey::new(key_type, raw).map_err(|_| match key_type {
            KeyType::EcdsaP256 | KeyType::EcdsaP384 | KeyType::EcdsaP521 => KeyError::NotOnCurve,
            _ => KeyError::Malformed,
        })?;
        Ok(Self { inner: Arc::new(Inner { key_type, spki_der: spki_der.to_vec(), raw_bytes: raw.len(), verifying }) })
    }

    /// Reads the first PEM block, of label `PUBLIC KEY` or `RSA PUBLIC KEY` (PKCS#1).
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, content) = pem::decode(text)?;
        match label {
            "PUBLIC KEY" => Self::from_spki_der(&content),
            "RSA PUBLIC KEY" => Self::from_spki_der(&rsa_spki(&content)?),
            _ => Err(KeyError::PemLabel),
        }
    }

    /// The DER `SubjectPublicKeyInfo`, as it was read.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.inner.spki_der
    }

    /// PEM with label `PUBLIC KEY`, line feeds and a final newline.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", self.spki_der()).to_string()
    }

    /// The content of the `subjectPublicKey` bit string: point, Ed25519 key, or PKCS#1 structure.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        // The bit string ends the structure, and DER allows nothing behind it.
        let start = self.inner.spki_der.len() - self.inner.raw_bytes;
        &self.inner.spki_der[start..]
    }

    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.inner.key_type
    }

    /// SHA-256 of the DER `SubjectPublicKeyInfo`: the id of a CT log and of a Rekor v1 log.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        sha256(self.spki_der())
    }

    #[must_use]
    pub fn default_scheme(&self) -> Scheme {
        self.key_type().default_scheme()
    }

    /// Verifies `signature` over `message`.
    pub fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<SignatureValid, SignatureError> {
        self.expect_scheme(scheme)?;
        let verifying = &self.inner.verifying;
        let verified = match (scheme, scheme.hash()) {
            (Scheme::Ed25519ph, Some(hash)) => verifying.verify_ed25519ph(digest(hash, message).as_bytes(), signature),
            (_, Some(hash)) => verifying.verify(hash, message, signature),
            (_, None) => verifying.verify_ed25519(message, signature),
        };
        proven(verified)
    }

    /// Verifies `signature` over the message that has this digest.
    pub fn verify_digest(
        &self,
        scheme: Scheme,
        digest: &Digest,
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        self.expect_scheme(scheme)?;
        let expected = scheme.hash().ok_or(SignatureError::NeedsMessage { scheme })?;
        if digest.algorithm() != expected {
            return Err(SignatureError::WrongHash { expected, found: digest.algorithm() });
        }
        let verifying = &self.inner.verifying;
        proven(match scheme {
            Scheme::Ed25519ph => verifying.verify_ed25519ph(digest.as_bytes(), signature),
            _ => verifying.verify_digest(expected, digest.as_bytes(), signature),
        })
    }

    /// Verifies an ECDSA signature with any hash, as certificates and certificate requests combine them.
    pub fn verify_ecdsa(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        match self.key_type() {
            KeyType::EcdsaP256 | KeyType::EcdsaP384 | KeyType::EcdsaP521 => {
                proven(self.inner.verifying.verify(hash, message, signature))
            }
            key => Err(SignatureError::WrongKeyType { key }),
        }
    }

    /// Verifies an RSA PKCS#1 v1.5 signature with any hash, as certificates and certificate requests combine them.
    pub fn verify_rsa_pkcs1(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        match self.key_type() {
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
                proven(self.inner.verifying.verify(hash, message, signature))
            }
            key => Err(SignatureError::WrongKeyType { key }),
        }
    }

    fn expect_scheme(&self, scheme: Scheme) -> Result<(), SignatureError> {
        let key = self.key_type();
        if scheme.key_type() == key { Ok(()) } else { Err(SignatureError::WrongScheme { key, scheme }) }
    }
}

fn proven(verified: Result<(), Failed>) -> Result<SignatureValid, SignatureError> {
    verified.map(|()| SignatureValid(())).map_err(|_| SignatureError::Invalid)
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki_der() == other.spki_der()
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, SHA-256 of SPKI ", self.key_type())?;
        self.spki_sha256().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

pub(crate) const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(crate) const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(crate) const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const OID_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const OID_P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

fn key_type(algorithm: &AlgorithmIdentifierRef<'_>, raw: &[u8]) -> Result<KeyType, KeyError> {
    match algorithm.oid {
        OID_EC => {
            let key_type = curve(algorithm.parameters)?;
            let coordinate_bytes = match key_type {
                KeyType::EcdsaP256 => 32,
                KeyType::EcdsaP384 => 48,
                _ => 66,
            };
            // Only uncompressed points, as Go's crypto/x509 demands.
            match raw.first() {
                Some(4) if raw.len() == 1 + 2 * coordinate_bytes => Ok(key_type),
                _ => Err(KeyError::Malformed),
            }
        }
        OID_RSA if algorithm.parameters == Some(AnyRef::NULL) => {
            let modulus_bits = RsaPublicKey::parse(raw)?.modulus_bits();
            match modulus_bits {
                2048 => Ok(KeyType::Rsa2048),
                3072 => Ok(KeyType::Rsa3072),
                4096 => Ok(KeyType::Rsa4096),
                bits => Err(KeyError::UnsupportedRsaSize { bits }),
            }
        }
        OID_ED25519 if algorithm.parameters.is_none() && raw.len() == 32 => Ok(KeyType::Ed25519),
        OID_RSA | OID_ED25519 => Err(KeyError::Malformed),
        oid => Err(KeyError::UnsupportedAlgorithm { oid }),
    }
}

/// The key type of an `ECParameters` with a named curve (RFC 5480 §2.1.1).
pub(crate) fn curve(parameters: Option<AnyRef<'_>>) -> Result<KeyType, KeyError> {
    let oid: ObjectIdentifier = parameters.ok_or(KeyError::Malformed)?.decode_as().map_err(|_| KeyError::Malformed)?;
    match oid {
        OID_P256 => Ok(KeyType::EcdsaP256),
        OID_P384 => Ok(KeyType::EcdsaP384),
        OID_P521 => Ok(KeyType::EcdsaP521),
        oid => Err(KeyError::UnsupportedCurve { oid }),
    }
}

/// PKCS#1 `RSAPublicKey` (RFC 8017 §A.1.1).
#[derive(Sequence)]
pub(crate) struct RsaPublicKey<'a> {
    pub(crate) modulus: UintRef<'a>,
    pub(crate) exponent: UintRef<'a>,
}

impl<'a> RsaPublicKey<'a> {
    pub(crate) fn parse(pkcs1_der: &'a [u8]) -> Result<Self, KeyError> {
        Self::from_der(pkcs1_der).map_err(|_| KeyError::Malformed)
    }

    fn modulus_bits(&self) -> usize {
        let bytes = self.modulus.as_bytes();
        let unused = bytes.first().map_or(0, |first| first.leading_zeros() as usize);
        bytes.len() * 8 - unused
    }
}

fn rsa_spki(pkcs1_der: &[u8]) -> Result<Vec<u8>, KeyError> {
    let spki = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid: OID_RSA, parameters: Some(AnyRef::NULL) },
        subject_public_key: BitStringRef::from_bytes(pkcs1_der).map_err(|_| KeyError::Malformed)?,
    };
    spki.to_der().map_err(|_| KeyError::Malformed)
}

#[cfg(test)]
mod tests;
