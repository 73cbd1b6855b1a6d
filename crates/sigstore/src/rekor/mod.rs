// SPDX-License-Identifier: Apache-2.0
//! Entries of Rekor logs: hashedrekord 0.0.2 of Rekor v2 (sigstore/rekor-tiles, `api/proto`), and what v1 logged.
//!
//! In scope: the entry of v2 (`HashedRekord`), the one function that renders its leaf, the checks of a request in the order of the
//! public service (`request`), and an entry of any kind as a log returned it (`entry`).
//! Out of scope: proofs and checkpoints, which `verify` checks with the crate `tlog`.
//! Invariants: a `HashedRekord` is a digest, a signature and a key that belong together by their algorithm, so every one of
//! them has exactly one leaf; the log writes that leaf and the verifier rebuilds it with the same function.

mod entry;
mod kind;
mod request;
pub mod v1;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::{
    Digest, DigestError, HashAlgorithm, KeyError, KeyType, PublicKey, Scheme, SchemeFamily, SignatureError,
    SignatureValid, Standing,
};

use crate::wire::EnumName;
use crate::wire::rekor as wire;
use crate::x509::{Certificate, CertificateError};

pub use entry::{
    BODY_V1_BYTES_MAX, CHECKPOINT_BYTES_MAX, Inclusion, LogEntry, LogEntryError, PROMISE_BYTES_MAX, PROOF_HASHES_MAX,
    Promise,
};
pub use kind::EntryKind;
pub use request::{KEY_DETAILS, RequestError, VerifiedHashedRekord, check_request, parse_request};

/// The kind of the entries of a Rekor v2 log.
pub const KIND: &str = "hashedrekord";
/// The version of that kind.
pub const API_VERSION: &str = "0.0.2";

/// A leaf is stored behind a length of two bytes (C2SP tlog-tiles, entry bundles).
pub const LEAF_BYTES_MAX: usize = 65_535;

/// Who made the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verifier {
    PublicKey { spki_der: Vec<u8> },
    Certificate { der: Vec<u8> },
}

impl Verifier {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::PublicKey { spki_der } => spki_der,
            Self::Certificate { der } => der,
        }
    }

    /// The key: no chain, no validity and no CA is looked at, a log records what it is given.
    fn public_key(&self) -> Result<PublicKey, EntryError> {
        match self {
            Self::PublicKey { spki_der } => PublicKey::from_spki_der(spki_der).map_err(EntryError::Key),
            Self::Certificate { der } => {
                let certificate = Certificate::from_der(der).map_err(EntryError::Certificate)?;
                certificate.public_key().map_err(EntryError::Certificate)
            }
        }
    }
}

/// A signature over a digest, and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedRekord {
    digest: Digest,
    signature: Vec<u8>,
    verifier: Verifier,
    public_key: PublicKey,
    scheme: Scheme,
}

/// Why parts do not make an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("the signature is empty")]
    NoSignature,
    #[error("there is no verifier")]
    NoVerifier,
    #[error("there is both a public key and a certificate")]
    TwoVerifiers,
    #[error("the digest is empty")]
    NoDigest,
    #[error("the key is malformed: {0}")]
    Key(KeyError),
    #[error("the certificate is malformed: {0}")]
    Certificate(CertificateError),
    #[error("a log of digests takes no signatures of algorithm {key_details}")]
    AlgorithmRefused { key_details: String },
    #[error("algorithm {} is for keys of type {}, the key is of type {found}", scheme.key_details(), scheme.key_type())]
    KeyType { scheme: Scheme, found: KeyType },
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("algorithm {} signs {} digests, the digest is {}", scheme.key_details(), expected.prefix(), found.prefix())]
    DigestAlgorithm { scheme: Scheme, expected: HashAlgorithm, found: HashAlgorithm },
    #[error("the leaf has {bytes} bytes, a log takes {LEAF_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("the signature does not verify: {0}")]
    Signature(SignatureError),
}

/// The algorithm under which a log of digests records signatures of a key: the key's own, except that Ed25519 signs the
/// digest (Ed25519ph).
#[must_use]
pub fn scheme_for(key: &PublicKey) -> Scheme {
    match key.default_scheme() {
        Scheme::Ed25519 => Scheme::Ed25519ph,
        scheme => scheme,
    }
}

impl HashedRekord {
    /// Puts an entry together. The signature is not verified here: see [`HashedRekord::verify_signature`].
    ///
    /// # Errors
    /// If a part is empty or malformed, or the parts do not belong together.
    pub fn new(digest: Digest, signature: Vec<u8>, verifier: Verifier, scheme: Scheme) -> Result<Self, EntryError> {
        if signature.is_empty() {
            return Err(EntryError::NoSignature);
        }
        let public_key = verifier.public_key()?;
        let expected = digest_algorithm(scheme, &public_key)?;
        if digest.algorithm() != expected {
            return Err(EntryError::DigestAlgorithm { scheme, expected, found: digest.algorithm() });
        }
        let record = Self { digest, signature, verifier, public_key, scheme };
        match record.leaf_bytes().len() {
            bytes if bytes > LEAF_BYTES_MAX => Err(EntryError::TooLarge { bytes }),
            _ => Ok(record),
        }
    }

    /// The same of parts that were parsed and found to belong together already, for a leaf that exists.
    pub(crate) fn of_parsed(
        digest: Digest,
        signature: Vec<u8>,
        verifier: Verifier,
        public_key: PublicKey,
        scheme: Scheme,
    ) -> Self {
        Self { digest, signature, verifier, public_key, scheme }
    }

    /// The bytes of the leaf: canonical JSON (RFC 8785) of `dev.sigstore.rekor.v2.Entry`. The only function that renders them.
    ///
    /// Every string in it is base64 or the name of an enum, so none needs escaping, and no member is empty; what is left of
    /// the canonical form is the order of the members.
    #[must_use]
    pub fn leaf_bytes(&self) -> Vec<u8> {
        let verifier = match &self.verifier {
            Verifier::PublicKey { .. } => "publicKey",
            Verifier::Certificate { .. } => "x509Certificate",
        };
        format!(
            concat!(
                r#"{{"apiVersion":"{api_version}","kind":"{kind}","spec":{{"hashedRekordV002":{{"#,
                r#""data":{{"algorithm":"{algorithm}","digest":"{digest}"}},"#,
                r#""signature":{{"content":"{content}","#,
                r#""verifier":{{"keyDetails":"{key_details}","{verifier}":{{"rawBytes":"{raw_bytes}"}}}}}}}}}}}}"#,
            ),
            api_version = API_VERSION,
            kind = KIND,
            algorithm = self.digest.algorithm().name(),
            digest = STANDARD.encode(self.digest.as_bytes()),
            content = STANDARD.encode(&self.signature),
            key_details = self.scheme.key_details(),
            verifier = verifier,
            raw_bytes = STANDARD.encode(self.verifier.as_bytes()),
        )
        .into_bytes()
    }

    /// Verifies the signature over the digest.
    ///
    /// # Errors
    /// If it does not match.
    pub fn verify_signature(&self) -> Result<SignatureValid, EntryError> {
        self.public_key.verify_digest(self.scheme, &self.digest, &self.signature).map_err(EntryError::Signature)
    }

    /// The request that asks a log for this entry.
    #[must_use]
    pub fn to_request(&self) -> wire::CreateEntryRequest {
        let raw_bytes = Some(wire::RawBytes { raw_bytes: self.verifier.as_bytes().to_vec() });
        let (public_key, x509_certificate) = match &self.verifier {
            Verifier::PublicKey { .. } => (raw_bytes, None),
            Verifier::Certificate { .. } => (None, raw_bytes),
        };
        let key_details = EnumName(self.scheme.key_details().to_owned());
        let verifier = wire::Verifier { public_key, x509_certificate, key_details };
        wire::CreateEntryRequest {
            hashed_rekord_request_v002: Some(wire::HashedRekordRequest {
                digest: self.digest.as_bytes().to_vec(),
                signature: Some(wire::Signature { content: self.signature.clone(), verifier: Some(verifier) }),
            }),
            ..wire::CreateEntryRequest::default()
        }
    }

    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}

/// The hash of the digests that `scheme` signs, if it fits the key and is one that Rekor v2 takes.
fn digest_algorithm(scheme: Scheme, key: &PublicKey) -> Result<HashAlgorithm, EntryError> {
    if key.key_type() != scheme.key_type() {
        return Err(EntryError::KeyType { scheme, found: key.key_type() });
    }
    let taken = match scheme.family() {
        SchemeFamily::Ecdsa | SchemeFamily::Ed25519ph | SchemeFamily::RsaPkcs1 => {
            scheme.standing() == Standing::Current
        }
        SchemeFamily::Ed25519 | SchemeFamily::RsaPss | SchemeFamily::MlDsa => false,
    };
    let hash = scheme.hash().filter(|_| taken);
    hash.ok_or_else(|| EntryError::AlgorithmRefused { key_details: scheme.key_details().to_owned() })
}

#[cfg(test)]
mod tests;
