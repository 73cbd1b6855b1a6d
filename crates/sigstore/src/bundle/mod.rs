// SPDX-License-Identifier: Apache-2.0
//! The Sigstore bundle with the signature of a file (sigstore/protobuf-specs, `sigstore_bundle.proto`): version 0.3 is written,
//! 0.2 and 0.3 are read. They differ in that 0.2 may hold a chain: its first certificate counts, the others are not trusted.
//!
//! In scope: reading, building and writing; the limits on what a bundle may hold. Out of scope: what it proves (`verify`).
//! Version 0.1, DSSE envelopes, managed keys and entries of Rekor v1 are named as not supported yet.
//! Invariants: a bundle is a leaf certificate, a signature that is not empty, and entries and timestamps within their caps;
//! no entry and no timestamp occurs twice.

use touchmark_keys::{Digest, DigestError, HashAlgorithm};

use crate::rekor::{self, LogEntry, LogEntryError};
use crate::wire::bundle as wire;
use crate::wire::rekor::{RawBytes, TransparencyLogEntry};
use crate::wire::{EnumName, Presence, WireError};
use crate::x509::{Certificate, CertificateError};

/// The media type that is written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The same version in its older spelling, which is read too.
const MEDIA_TYPE_PARAMETER: &str = "application/vnd.dev.sigstore.bundle+json;version=0.3";
/// The version before: what sigstore-js writes for files.
const MEDIA_TYPE_V0_2: &str = "application/vnd.dev.sigstore.bundle+json;version=0.2";
const MEDIA_TYPE_UNSUPPORTED: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

/// The most certificates in the chain of a 0.2 bundle; public chains have three.
pub const CHAIN_MAX: usize = 8;
/// The most log entries in one bundle, as the public verifiers have it (GHSA-cq38-jh5f-37mq).
pub const ENTRIES_MAX: usize = 32;
/// The most timestamps in one bundle.
pub const TIMESTAMPS_MAX: usize = 32;
/// The largest timestamp; one with its whole chain is below 8 KiB.
pub const TIMESTAMP_BYTES_MAX: usize = 64 << 10;
/// The largest signature; RSA 4096 makes 512 bytes.
pub const SIGNATURE_BYTES_MAX: usize = 8 << 10;

/// Why a bundle was not read or built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("{0} is not supported yet")]
    Unsupported(Unsupported),
    #[error("unknown media type {found:?}, expected {MEDIA_TYPE}")]
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
            Self::Unsupported(_) => "bundle_unsupported",
            Self::MediaType { .. } => "bundle_media_type",
            Self::Missing { .. } | Self::Both { .. } => "bundle_incomplete",
            Self::TooMany { .. } | Self::TooLarge { .. } => "bundle_too_large",
            Self::Certificate(_) | Self::NotALeaf | Self::RootInChain => "bundle_certificate",
            Self::DigestAlgorithm { .. } | Self::Digest(_) => "bundle_digest",
            Self::DuplicateTimestamp { .. } => "bundle_timestamp",
            Self::Entry { .. } | Self::DuplicateEntry { .. } => "bundle_log_entry",
        }
    }
}

/// What this version cannot read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsupported {
    MediaType { found: String },
    DsseEnvelope,
    ManagedKey,
    LogEntry { kind: String, version: String },
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MediaType { found } => write!(f, "a bundle of media type {found:?}"),
            Self::DsseEnvelope => f.write_str("a bundle with a DSSE envelope"),
            Self::ManagedKey => f.write_str("a bundle that is signed with a managed key"),
            Self::LogEntry { kind, version } => write!(f, "a log entry of kind {kind:?}, version {version:?}"),
        }
    }
}

/// A bundle with the signature of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    certificate: Certificate,
    message_digest: Option<Digest>,
    signature: Vec<u8>,
    timestamps: Vec<Vec<u8>>,
    entries: Vec<LogEntry>,
}

impl Bundle {
    /// Puts a bundle together; `timestamps` are DER replies of timestamp authorities.
    ///
    /// # Errors
    /// If a part is malformed or over its limit.
    pub fn new(
        certificate: Certificate,
        message_digest: Digest,
        signature: Vec<u8>,
        timestamps: Vec<Vec<u8>>,
        entries: &[TransparencyLogEntry],
    ) -> Result<Self, BundleError> {
        Self::checked(certificate, Some(message_digest), signature, timestamps, entries)
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// If it is malformed, over a limit, or of a kind that is not supported yet.
    pub fn parse(text: &[u8]) -> Result<Self, BundleError> {
        Self::from_wire(wire::Bundle::from_json(text)?)
    }

    fn from_wire(bundle: wire::Bundle) -> Result<Self, BundleError> {
        let version = version(&bundle.media_type)?;
        let signature = match (bundle.message_signature, bundle.dsse_envelope) {
            (Some(signature), Presence::Absent) => signature,
            (None, Presence::Present) => return Err(BundleError::Unsupported(Unsupported::DsseEnvelope)),
            (Some(_), Presence::Present) => {
                return Err(BundleError::Both { first: "messageSignature", second: "dsseEnvelope" });
            }
            (None, Presence::Absent) => return Err(BundleError::Missing { member: "messageSignature" }),
        };
        let material = bundle.verification_material.ok_or(BundleError::Missing { member: "verificationMaterial" })?;
        let certificate = certificate(version, &material)?;
        let timestamps = material.timestamp_verification_data.unwrap_or_default().rfc3161_timestamps;
        let timestamps = timestamps.into_iter().map(|timestamp| timestamp.signed_timestamp).collect();
        let message_digest = signature.message_digest.map(digest).transpose()?;
        Self::checked(certificate, message_digest, signature.signature, timestamps, &material.tlog_entries)
    }

    fn checked(
        certificate: Certificate,
        message_digest: Option<Digest>,
        signature: Vec<u8>,
        timestamps: Vec<Vec<u8>>,
        entries: &[TransparencyLogEntry],
    ) -> Result<Self, BundleError> {
        if certificate.is_ca() {
            return Err(BundleError::NotALeaf);
        }
        if signature.is_empty() {
            return Err(BundleError::Missing { member: "signature" });
        }
        expect_bytes("signature", SIGNATURE_BYTES_MAX, signature.len())?;
        expect_count("timestamps", TIMESTAMPS_MAX, timestamps.len())?;
        for (index, timestamp) in timestamps.iter().enumerate() {
            expect_bytes("timestamp", TIMESTAMP_BYTES_MAX, timestamp.len())?;
            if timestamps.iter().take(index).any(|other| other == timestamp) {
                return Err(BundleError::DuplicateTimestamp { index });
            }
        }
        expect_count("log entries", ENTRIES_MAX, entries.len())?;
        let entries = read_entries(entries)?;
        Ok(Self { certificate, message_digest, signature, timestamps, entries })
    }

    /// The bundle on one line, as the public clients write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let timestamps = self.timestamps.iter();
        let timestamps = timestamps.map(|token| wire::Rfc3161SignedTimestamp { signed_timestamp: token.clone() });
        wire::Bundle {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Some(wire::VerificationMaterial {
                public_key: None,
                x509_certificate_chain: None,
                certificate: Some(RawBytes { raw_bytes: self.certificate.der().to_vec() }),
                tlog_entries: self.entries.iter().map(LogEntry::to_wire).collect(),
                timestamp_verification_data: (!self.timestamps.is_empty())
                    .then(|| wire::TimestampVerificationData { rfc3161_timestamps: timestamps.collect() }),
            }),
            message_signature: Some(wire::MessageSignature {
                message_digest: self.message_digest.as_ref().map(|digest| wire::HashOutput {
                    algorithm: EnumName(digest.algorithm().name().to_owned()),
                    digest: digest.as_bytes().to_vec(),
                }),
                signature: self.signature.clone(),
            }),
            dsse_envelope: Presence::Absent,
        }
        .to_json()
    }

    /// How the artifact has to be hashed: the signature covers a digest that the key's algorithm determines.
    ///
    /// # Errors
    /// If the certificate's key is of an unknown kind.
    pub fn hash_algorithm(&self) -> Result<HashAlgorithm, BundleError> {
        let key = self.certificate.public_key().map_err(BundleError::Certificate)?;
        Ok(rekor::scheme_for(&key).hash().expect("the scheme of a log of digests has a hash"))
    }

    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The digest that the bundle names. Nothing signs it: it is compared, never trusted.
    #[must_use]
    pub fn message_digest(&self) -> Option<&Digest> {
        self.message_digest.as_ref()
    }

    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V0_2,
    V0_3,
}

fn version(media_type: &str) -> Result<Version, BundleError> {
    match media_type {
        MEDIA_TYPE | MEDIA_TYPE_PARAMETER => Ok(Version::V0_3),
        MEDIA_TYPE_V0_2 => Ok(Version::V0_2),
        MEDIA_TYPE_UNSUPPORTED => {
            Err(BundleError::Unsupported(Unsupported::MediaType { found: media_type.to_owned() }))
        }
        _ => Err(BundleError::MediaType { found: media_type.to_owned() }),
    }
}

/// The signer's certificate out of the oneof `content`.
fn certificate(version: Version, material: &wire::VerificationMaterial) -> Result<Certificate, BundleError> {
    let chain = material.x509_certificate_chain.as_ref();
    match (&material.certificate, &material.public_key, chain) {
        (Some(certificate), None, None) if version == Version::V0_3 => {
            Certificate::from_der(&certificate.raw_bytes).map_err(BundleError::Certificate)
        }
        (None, Some(_), None) => Err(BundleError::Unsupported(Unsupported::ManagedKey)),
        (None, None, Some(chain)) if version == Version::V0_2 => leaf_of(&chain.certificates),
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

fn read_entries(entries: &[TransparencyLogEntry]) -> Result<Vec<LogEntry>, BundleError> {
    let mut read: Vec<LogEntry> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let entry = LogEntry::from_wire(entry).map_err(|error| match error {
            LogEntryError::Unsupported { kind, version } => {
                BundleError::Unsupported(Unsupported::LogEntry { kind, version })
            }
            error => BundleError::Entry { index, error },
        })?;
        // One entry must not count twice (GHSA-9vcr-p3rj-q5q6).
        if read.iter().any(|other| other.log_id() == entry.log_id() && other.index() == entry.index()) {
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
