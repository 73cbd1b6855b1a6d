// SPDX-License-Identifier: Apache-2.0
//! The Sigstore bundle (sigstore/protobuf-specs, `sigstore_bundle.proto`): versions 0.1 to 0.3 are read, 0.3 is written.
//!
//! In scope: reading, building and writing; the limits on what a bundle may hold. Out of scope: what it proves (`verify`), other
//! shapes in which signatures are handed around (`convert`).
//! Nothing signs the version. So each is held to its own rules, and no label takes a demand of the verifier away: version 0.3
//! names one certificate or a key, 0.1 and 0.2 hold a chain, of which the first certificate counts; 0.1 has the promise of the log,
//! 0.2 and 0.3 the inclusion proof with its checkpoint.
//! Invariants: a bundle has one signature that is not empty, over a message or an envelope; a leaf certificate or the hint of a
//! key; entries and timestamps within their caps, none of them twice.

pub mod convert;

use touchmark_keys::{Digest, DigestError, HashAlgorithm};
use touchmark_tlog::LeafIndex;

use crate::dsse::{Envelope, EnvelopeError};
use crate::rekor::{LogEntry, LogEntryError};
use crate::wire::bundle as wire;
use crate::wire::rekor::{RawBytes, TransparencyLogEntry};
use crate::wire::{BUNDLE_BYTES_MAX, EnumName, WireError};
use crate::x509::{Certificate, CertificateError};

/// The media type that is written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The same version in its older spelling, and the versions before, which are read too.
const MEDIA_TYPES_READ: [(&str, Version); 4] = [
    (MEDIA_TYPE, Version::V0_3),
    ("application/vnd.dev.sigstore.bundle+json;version=0.3", Version::V0_3),
    ("application/vnd.dev.sigstore.bundle+json;version=0.2", Version::V0_2),
    ("application/vnd.dev.sigstore.bundle+json;version=0.1", Version::V0_1),
];

/// The most certificates in the chain of an older bundle; public chains have three.
pub const CHAIN_MAX: usize = 8;
/// The most log entries in one bundle, as the public verifiers have it (GHSA-cq38-jh5f-37mq).
pub const ENTRIES_MAX: usize = 32;
/// The most timestamps in one bundle.
pub const TIMESTAMPS_MAX: usize = 32;
/// The largest timestamp; one with its whole chain is below 8 KiB.
pub const TIMESTAMP_BYTES_MAX: usize = 64 << 10;
/// The largest signature; ML-DSA-87 makes 4627 bytes.
pub const SIGNATURE_BYTES_MAX: usize = 8 << 10;
/// The longest hint of a managed key; a fingerprint has some hundred characters.
pub const HINT_BYTES_MAX: usize = 4 << 10;
/// The most bundles in one file of JSON lines.
pub const LINES_MAX: usize = 10_000;

/// Why a bundle was not read or built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("unknown media type {found:?}, expected {MEDIA_TYPE} or an older version")]
    MediaType { found: String },
    #[error("the bundle has no {member}")]
    Missing { member: &'static str },
    #[error("the bundle has {first} and {second}, expected one of them")]
    Both { first: &'static str, second: &'static str },
    #[error("the bundle has {found} {member}, the limit is {limit}")]
    TooMany { member: &'static str, limit: usize, found: usize },
    #[error("{member} has {found} bytes, the limit is {limit}")]
    TooLarge { member: &'static str, limit: usize, found: usize },
    #[error("the certificate is malformed: {0}")]
    Certificate(CertificateError),
    #[error("the certificate is that of a certificate authority, expected that of a signer")]
    NotALeaf,
    #[error("the chain holds a root certificate; roots come from the trusted root alone")]
    RootInChain,
    #[error("unknown digest algorithm {found:?}")]
    DigestAlgorithm { found: String },
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("log entry {index}: {error}")]
    Entry { index: usize, error: LogEntryError },
    #[error("log entry {index} occurs twice")]
    DuplicateEntry { index: usize },
    #[error("timestamp {index} occurs twice")]
    DuplicateTimestamp { index: usize },
}

impl BundleError {
    /// A code that does not change between versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Wire(_) => "bundle_malformed",
            Self::MediaType { .. } => "bundle_media_type",
            Self::Missing { .. } | Self::Both { .. } => "bundle_incomplete",
            Self::TooMany { .. } | Self::TooLarge { .. } => "bundle_too_large",
            Self::Certificate(_) | Self::NotALeaf | Self::RootInChain => "bundle_certificate",
            Self::DigestAlgorithm { .. } | Self::Digest(_) => "bundle_digest",
            Self::Envelope(_) => "bundle_envelope",
            Self::DuplicateTimestamp { .. } => "bundle_timestamp",
            Self::Entry { .. } | Self::DuplicateEntry { .. } => "bundle_log_entry",
        }
    }
}

/// The version of a bundle's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V0_1,
    V0_2,
    V0_3,
}

/// Whose key made the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// The certificate of an ephemeral key.
    Certificate(Certificate),
    /// A key that the verifier has to know; the hint is free text that nothing signs.
    PublicKey { hint: String },
}

/// What the signature is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file. The digest that the bundle names is compared, never trusted.
    Message { digest: Option<Digest>, signature: Vec<u8> },
    /// An envelope, with a statement about files in it.
    Envelope(Envelope),
}

impl Content {
    /// The bytes of the signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        match self {
            Self::Message { signature, .. } => signature,
            Self::Envelope(envelope) => &envelope.signature,
        }
    }
}

/// A signature with everything that is needed to verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    version: Version,
    key_material: KeyMaterial,
    content: Content,
    timestamps: Vec<Vec<u8>>,
    entries: Vec<LogEntry>,
}

impl Bundle {
    /// Puts a bundle together; `timestamps` are DER replies of timestamp authorities.
    ///
    /// # Errors
    /// If a part is malformed or over its limit.
    pub fn new(
        key_material: KeyMaterial,
        content: Content,
        timestamps: Vec<Vec<u8>>,
        entries: Vec<TransparencyLogEntry>,
    ) -> Result<Self, BundleError> {
        Self::checked(Version::V0_3, key_material, content, timestamps, entries)
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// If it is malformed or over a limit.
    pub fn parse(text: &[u8]) -> Result<Self, BundleError> {
        Self::from_wire(wire::Bundle::from_json(text)?)
    }

    /// Reads bundles that stand one on each line, as registries hand them out. Empty lines are passed over.
    ///
    /// # Errors
    /// If the whole is over its limits; each line has a result of its own.
    pub fn parse_lines(text: &[u8]) -> Result<Vec<Result<Self, BundleError>>, BundleError> {
        expect_bytes("the file", BUNDLE_BYTES_MAX, text.len())?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let mut bundles = Vec::new();
        for line in lines {
            expect_count("lines", LINES_MAX, bundles.len() + 1)?;
            bundles.push(Self::parse(line));
        }
        Ok(bundles)
    }

    fn from_wire(bundle: wire::Bundle) -> Result<Self, BundleError> {
        let version = version(&bundle.media_type)?;
        let content = content(bundle.message_signature, bundle.dsse_envelope)?;
        let material = bundle.verification_material.ok_or(BundleError::Missing { member: "verificationMaterial" })?;
        let timestamps = material.timestamp_verification_data.unwrap_or_default().rfc3161_timestamps;
        let timestamps = timestamps.into_iter().map(|timestamp| timestamp.signed_timestamp).collect();
        let key_material =
            key_material(version, material.certificate, material.public_key, material.x509_certificate_chain)?;
        Self::checked(version, key_material, content, timestamps, material.tlog_entries)
    }

    fn checked(
        version: Version,
        key_material: KeyMaterial,
        content: Content,
        timestamps: Vec<Vec<u8>>,
        entries: Vec<TransparencyLogEntry>,
    ) -> Result<Self, BundleError> {
        match &key_material {
            KeyMaterial::Certificate(certificate) if certificate.is_ca() => return Err(BundleError::NotALeaf),
            KeyMaterial::Certificate(_) => {}
            KeyMaterial::PublicKey { hint } => expect_bytes("hint", HINT_BYTES_MAX, hint.len())?,
        }
        if content.signature().is_empty() {
            return Err(BundleError::Missing { member: "signature" });
        }
        expect_bytes("signature", SIGNATURE_BYTES_MAX, content.signature().len())?;
        expect_count("timestamps", TIMESTAMPS_MAX, timestamps.len())?;
        for (index, timestamp) in timestamps.iter().enumerate() {
            expect_bytes("timestamp", TIMESTAMP_BYTES_MAX, timestamp.len())?;
            if timestamps.iter().take(index).any(|other| other == timestamp) {
                return Err(BundleError::DuplicateTimestamp { index });
            }
        }
        expect_count("log entries", ENTRIES_MAX, entries.len())?;
        let entries = read_entries(version, entries)?;
        Ok(Self { version, key_material, content, timestamps, entries })
    }

    /// The bundle on one line and in version 0.3, as the public clients write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let timestamps = self.timestamps.iter();
        let timestamps = timestamps.map(|token| wire::Rfc3161SignedTimestamp { signed_timestamp: token.clone() });
        let (certificate, public_key) = match &self.key_material {
            KeyMaterial::Certificate(certificate) => (Some(RawBytes { raw_bytes: certificate.der().to_vec() }), None),
            KeyMaterial::PublicKey { hint } => (None, Some(wire::PublicKeyIdentifier { hint: hint.clone() })),
        };
        let (message_signature, dsse_envelope) = match &self.content {
            Content::Message { digest, signature } => (Some(message_signature(digest.as_ref(), signature)), None),
            Content::Envelope(envelope) => (None, Some(envelope.to_wire())),
        };
        wire::Bundle {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Some(wire::VerificationMaterial {
                public_key,
                x509_certificate_chain: None,
                certificate,
                tlog_entries: self.entries.iter().map(LogEntry::to_wire).collect(),
                timestamp_verification_data: (!self.timestamps.is_empty())
                    .then(|| wire::TimestampVerificationData { rfc3161_timestamps: timestamps.collect() }),
            }),
            message_signature,
            dsse_envelope,
        }
        .to_json()
    }

    /// The version in which the bundle was written.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    #[must_use]
    pub fn key_material(&self) -> &KeyMaterial {
        &self.key_material
    }

    /// The signer's certificate, unless a managed key signed.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.key_material {
            KeyMaterial::Certificate(certificate) => Some(certificate),
            KeyMaterial::PublicKey { .. } => None,
        }
    }

    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The bytes of the signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.content.signature()
    }

    /// DER replies of timestamp authorities.
    #[must_use]
    pub fn timestamps(&self) -> &[Vec<u8>] {
        &self.timestamps
    }

    #[must_use]
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }
}

fn version(media_type: &str) -> Result<Version, BundleError> {
    let known = MEDIA_TYPES_READ.into_iter().find(|(known, _)| *known == media_type);
    known.map(|(_, version)| version).ok_or_else(|| BundleError::MediaType { found: media_type.to_owned() })
}

/// The oneof `content` of a bundle.
fn content(
    message: Option<wire::MessageSignature>,
    envelope: Option<crate::wire::dsse::Envelope>,
) -> Result<Content, BundleError> {
    match (message, envelope) {
        (Some(message), None) => {
            let digest = message.message_digest.map(digest).transpose()?;
            Ok(Content::Message { digest, signature: message.signature })
        }
        (None, Some(envelope)) => Ok(Content::Envelope(Envelope::from_wire(envelope)?)),
        (Some(_), Some(_)) => Err(BundleError::Both { first: "messageSignature", second: "dsseEnvelope" }),
        (None, None) => Err(BundleError::Missing { member: "messageSignature" }),
    }
}

/// The oneof `content` of the verification material, of which each version has its own two members.
fn key_material(
    version: Version,
    certificate: Option<RawBytes>,
    public_key: Option<wire::PublicKeyIdentifier>,
    chain: Option<wire::X509CertificateChain>,
) -> Result<KeyMaterial, BundleError> {
    match (certificate, public_key, chain) {
        (Some(certificate), None, None) if version == Version::V0_3 => {
            let certificate = Certificate::from_der(&certificate.raw_bytes).map_err(BundleError::Certificate)?;
            Ok(KeyMaterial::Certificate(certificate))
        }
        (None, Some(key), None) => Ok(KeyMaterial::PublicKey { hint: key.hint }),
        (None, None, Some(chain)) if version < Version::V0_3 => {
            leaf_of(&chain.certificates).map(KeyMaterial::Certificate)
        }
        // The single certificate came with version 0.3: a label that somebody changed shows.
        (Some(_), None, None) => Err(BundleError::Missing { member: "x509CertificateChain" }),
        // Version 0.3 has no chains: they come from the trusted root.
        (None, None, _) => Err(BundleError::Missing { member: "certificate" }),
        (Some(_), Some(_), _) => Err(BundleError::Both { first: "certificate", second: "publicKey" }),
        (Some(_), None, Some(_)) => Err(BundleError::Both { first: "certificate", second: "x509CertificateChain" }),
        (None, Some(_), Some(_)) => Err(BundleError::Both { first: "publicKey", second: "x509CertificateChain" }),
    }
}

/// The first certificate of a chain. The others are dropped: the path is built from the trusted root alone.
fn leaf_of(chain: &[RawBytes]) -> Result<Certificate, BundleError> {
    expect_count("certificates", CHAIN_MAX, chain.len())?;
    let parsed = chain.iter().map(|certificate| Certificate::from_der(&certificate.raw_bytes));
    let mut parsed = parsed.collect::<Result<Vec<_>, _>>().map_err(BundleError::Certificate)?.into_iter();
    let leaf = parsed.next().ok_or(BundleError::Missing { member: "certificate" })?;
    if parsed.any(|certificate| certificate.subject_der() == certificate.issuer_der()) {
        return Err(BundleError::RootInChain);
    }
    Ok(leaf)
}

fn digest(output: wire::HashOutput) -> Result<Digest, BundleError> {
    let algorithm = HashAlgorithm::from_name(&output.algorithm.0)
        .ok_or(BundleError::DigestAlgorithm { found: output.algorithm.0 })?;
    Ok(Digest::new(algorithm, output.digest)?)
}

fn message_signature(digest: Option<&Digest>, signature: &[u8]) -> wire::MessageSignature {
    wire::MessageSignature {
        message_digest: digest.map(|digest| wire::HashOutput {
            algorithm: EnumName(digest.algorithm().name().to_owned()),
            digest: digest.as_bytes().to_vec(),
        }),
        signature: signature.to_vec(),
    }
}

fn read_entries(version: Version, entries: Vec<TransparencyLogEntry>) -> Result<Vec<LogEntry>, BundleError> {
    let mut read: Vec<LogEntry> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let entry = LogEntry::from_wire(entry).map_err(|error| BundleError::Entry { index, error })?;
        let missing = |member| BundleError::Entry { index, error: LogEntryError::Missing { member } };
        match version {
            Version::V0_1 if entry.promise().is_none() => return Err(missing("inclusionPromise")),
            Version::V0_2 | Version::V0_3 if entry.inclusion().is_none() => return Err(missing("inclusionProof")),
            _ => {}
        }
        // One entry must not count twice (GHSA-9vcr-p3rj-q5q6).
        let place = |entry: &LogEntry| -> ([u8; 32], LeafIndex) { (*entry.log_id(), entry.index()) };
        if read.iter().any(|other| place(other) == place(&entry)) {
            return Err(BundleError::DuplicateEntry { index });
        }
        read.push(entry);
    }
    Ok(read)
}

fn expect_count(member: &'static str, limit: usize, found: usize) -> Result<(), BundleError> {
    if found > limit { Err(BundleError::TooMany { member, limit, found }) } else { Ok(()) }
}

fn expect_bytes(member: &'static str, limit: usize, found: usize) -> Result<(), BundleError> {
    if found > limit { Err(BundleError::TooLarge { member, limit, found }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
