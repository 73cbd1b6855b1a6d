// SPDX-License-Identifier: Apache-2.0
//! Public keys: parsing, and verification of signatures.
//!
//! Spec: RFC 5280 §4.1.2.7 with RFC 3279 (RSA), RFC 5480 (ECDSA), RFC 8410 (Ed25519) and RFC 9881 (ML-DSA); signatures as in
//! RFC 8017 §8.1 (PSS) and §8.2 (PKCS#1 v1.5), RFC 3279 §2.2.3 (ECDSA in DER), RFC 8032 and FIPS 204.
//! In scope: the key types of [`KeyType`]. Out of scope: the policy for keys that others bring ([`PublicKey::check_strength`],
//! module `strength`), certificate paths (crate `sigstore`).
//! Invariants: a [`PublicKey`] has a supported type and size; for ECDSA its point is on the curve, for Ed25519 it has the
//! canonical form and no small order. It keeps the bytes that it was read from. A [`SignatureValid`] exists only after a verification that succeeded.

use std::fmt;
use std::sync::Arc;

use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use pkcs8::ObjectIdentifier;
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use thiserror::Error;

use crate::backend::{self, Failed, VerifyingKey};
use crate::scheme::{self, KeyEncoding};
use crate::{Digest, HashAlgorithm, KeyFamily, KeyType, Scheme, SchemeFamily, Weakness, pem, sha256};

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
    #[error("the key details name no algorithm of the registry that can be verified")]
    UnknownKeyDetails,
    #[error("the key details are not for a key of type {key}")]
    KeyDetailsOfAnotherType { key: KeyType },
    #[error(
        "the key is encrypted, and no passphrase was given: name a file that holds it (--passphrase-file, or `passphrase_file`)"
    )]
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
    #[error("the scheme hashes with {}, the digest is {}", expected.prefix(), found.prefix())]
    WrongHash { expected: HashAlgorithm, found: HashAlgorithm },
    #[error("scheme {scheme} signs messages, not digests")]
    NeedsMessage { scheme: Scheme },
    #[error("scheme {scheme} is deprecated: its signatures are verified, none is made")]
    VerifyOnly { scheme: Scheme },
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
    #[error("the scheme hashes with {}, the digest is {}", expected.prefix(), found.prefix())]
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
    raw_bytes: usize,
    verifying: VerifyingKey,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`.
    pub fn from_spki_der(spki_der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| KeyError::Malformed)?;
        let raw = spki.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        let key_type = key_type(&spki.algorithm, raw)?;
        let verifying = VerifyingKey::new(key_type, spki_der).map_err(|_| match key_type.family() {
            KeyFamily::Ecdsa => KeyError::NotOnCurve,
            _ => KeyError::Malformed,
        })?;
        Ok(Self { inner: Arc::new(Inner { key_type, raw_bytes: raw.len(), verifying }) })
    }

    /// Reads a key as a trusted root carries it: the name of its algorithm in the registry, and DER in the encoding that the
    /// name says. Of a deprecated name that leaves the size open, the key's size decides the scheme.
    pub fn from_key_details(key_details: &str, raw: &[u8]) -> Result<(Self, Scheme), KeyError> {
        let (encoding, schemes) = scheme::key_details(key_details).ok_or(KeyError::UnknownKeyDetails)?;
        let key = match encoding {
            KeyEncoding::Spki => Self::from_spki_der(raw)?,
            KeyEncoding::Pkcs1 => Self::from_spki_der(&rsa_spki(raw)?)?,
        };
        let scheme = schemes.iter().copied().find(|scheme| scheme.key_type() == key.key_type());
        let scheme = scheme.ok_or(KeyError::KeyDetailsOfAnotherType { key: key.key_type() })?;
        Ok((key, scheme))
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
        self.inner.verifying.spki_der()
    }

    /// PEM with label `PUBLIC KEY`, line feeds and a final newline.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", self.spki_der()).to_string()
    }

    /// The content of the `subjectPublicKey` bit string: point, Ed25519 or ML-DSA key, or PKCS#1 structure.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        // The bit string ends the structure, and DER allows nothing behind it.
        let start = self.spki_der().len() - self.inner.raw_bytes;
        &self.spki_der()[start..]
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

    /// Every scheme of the registry for such a key, the default first.
    #[must_use]
    pub fn schemes(&self) -> &'static [Scheme] {
        self.key_type().schemes()
    }

    /// Verifies `signature` over `message`.
    pub fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<SignatureValid, SignatureError> {
        self.expect_scheme(scheme)?;
        proven(self.inner.verifying.verify(scheme.family(), scheme.hash(), message, signature))
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
        proven(self.inner.verifying.verify_digest(scheme.family(), expected, digest.as_bytes(), signature))
    }

    /// Verifies an ECDSA signature with any hash, as certificates and certificate requests combine them.
    pub fn verify_ecdsa(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        self.verify_combined(KeyFamily::Ecdsa, SchemeFamily::Ecdsa, hash, message, signature)
    }

    /// Verifies an RSA PKCS#1 v1.5 signature with any hash, as certificates and certificate requests combine them.
    pub fn verify_rsa_pkcs1(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        self.verify_combined(KeyFamily::Rsa, SchemeFamily::RsaPkcs1, hash, message, signature)
    }

    /// Verifies an RSASSA-PSS signature with any hash, as certificates combine them: MGF1 over the same hash, and a salt as
    /// long as the digest.
    pub fn verify_rsa_pss(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        self.verify_combined(KeyFamily::Rsa, SchemeFamily::RsaPss, hash, message, signature)
    }

    fn verify_combined(
        &self,
        keys: KeyFamily,
        family: SchemeFamily,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        if self.key_type().family() != keys {
            return Err(SignatureError::WrongKeyType { key: self.key_type() });
        }
        proven(self.inner.verifying.verify(family, Some(hash), message, signature))
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
const OID_ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const OID_ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const OID_ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

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
        OID_RSA => Err(KeyError::Malformed),
        OID_ED25519 => {
            let point = raw.try_into().map_err(|_| KeyError::Malformed)?;
            backend::check_ed25519_encoding(point)?;
            without_parameters(algorithm, KeyType::Ed25519)
        }
        oid => {
            let key_type = ml_dsa(oid).ok_or(KeyError::UnsupportedAlgorithm { oid })?;
            without_parameters(algorithm, key_type)
        }
    }
}

fn without_parameters(algorithm: &AlgorithmIdentifierRef<'_>, key_type: KeyType) -> Result<KeyType, KeyError> {
    if algorithm.parameters.is_none() { Ok(key_type) } else { Err(KeyError::Malformed) }
}

/// The key type of an ML-DSA identifier (RFC 9881 §2). The library checks the length.
pub(crate) fn ml_dsa(oid: ObjectIdentifier) -> Option<KeyType> {
    match oid {
        OID_ML_DSA_44 => Some(KeyType::MlDsa44),
        OID_ML_DSA_65 => Some(KeyType::MlDsa65),
        OID_ML_DSA_87 => Some(KeyType::MlDsa87),
        _ => None,
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

pub(crate) fn rsa_spki(pkcs1_der: &[u8]) -> Result<Vec<u8>, KeyError> {
    let spki = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid: OID_RSA, parameters: Some(AnyRef::NULL) },
        subject_public_key: BitStringRef::from_bytes(pkcs1_der).map_err(|_| KeyError::Malformed)?,
    };
    spki.to_der().map_err(|_| KeyError::Malformed)
}

#[cfg(test)]
mod tests;
