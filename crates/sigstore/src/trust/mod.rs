// SPDX-License-Identifier: Apache-2.0
//! What a client trusts and where it signs: trusted root, signing config v0.2 and client trust config
//! (sigstore/protobuf-specs, `sigstore_trustroot.proto`).
//!
//! In scope: reading, building and writing the three documents, validity windows, the choice of services. An entry that this
//! version cannot use (an algorithm of tomorrow, a window without start) is set aside with its reason and never costs the
//! rest of the document. Out of scope: how the documents are fetched and authenticated (TUF), and what is verified with
//! them (`verify`).
//! Invariants: a window has a start and both its ends are inclusive; a log has a key that fits its algorithm; an authority
//! has at least one certificate; two logs of one list with one id have one key.

mod root;
mod signing_config;
mod window;

use touchmark_keys::KeyError;

use crate::wire::{Tolerated, WireError, trust as wire};
use crate::x509::{CHAIN_LENGTH_MAX, CertificateError};

pub use root::{CertificateAuthority, Subject, TransparencyLog, TrustedRoot};
pub use signing_config::{SelectError, Selector, Service, ServiceKind, ServiceLists, Services, SigningConfig};
pub use window::{ValidFor, WindowError};

/// The one media type of a trusted root that every public client reads.
pub const TRUSTED_ROOT_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
/// The newer spelling, which is read here too.
const TRUSTED_ROOT_MEDIA_TYPES_READ: [&str; 3] = [
    TRUSTED_ROOT_MEDIA_TYPE,
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];
/// The media type of a signing config.
pub const SIGNING_CONFIG_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
/// The media type of a client trust config.
pub const CLIENT_TRUST_CONFIG_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

/// Most entries in one list of a document. The public instances have two or three, in years a handful more.
pub const ENTRIES_MAX: usize = 256;

/// Why a document of trust was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("media type is {found:?}, expected {expected}")]
    MediaType { expected: &'static str, found: String },
    #[error("the client trust config has no {member}")]
    Missing { member: &'static str },
    #[error("the list {section:?} has {found} entries, over the limit of {ENTRIES_MAX}")]
    TooManyEntries { section: Section, found: usize },
}

/// Which list of a document an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    TransparencyLogs,
    CertificateAuthorities,
    CtLogs,
    TimestampAuthorities,
    CaUrls,
    OidcUrls,
    RekorUrls,
    TsaUrls,
}

/// An entry that was set aside, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    pub section: Section,
    pub index: usize,
    pub reason: UnusableReason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableReason {
    #[error("it is malformed: {0}")]
    Malformed(WireError),
    #[error("it has no public key")]
    NoKey,
    #[error("its algorithm {key_details:?} is unknown")]
    UnknownAlgorithm { key_details: String },
    #[error("its hash algorithm {hash:?} is not SHA2_256")]
    UnknownHash { hash: String },
    #[error("its key is malformed: {0}")]
    Key(KeyError),
    #[error("its key does not fit its algorithm {key_details:?}")]
    KeyOfOtherType { key_details: String },
    #[error("its log id has {bytes} bytes, expected 32")]
    LogIdLength { bytes: usize },
    /// One of them may be right, and nothing says which.
    #[error("another log of the list has the same id and another key")]
    LogIdOfTwoKeys,
    #[error("its checkpoint key id has {bytes} bytes, expected 4 to 32")]
    CheckpointKeyIdLength { bytes: usize },
    #[error(transparent)]
    Window(#[from] WindowError),
    #[error("it has no certificate")]
    NoCertificate,
    #[error("it has {certificates} certificates, over the limit of {CHAIN_LENGTH_MAX}")]
    ChainTooLong { certificates: usize },
    #[error("one of its certificates is malformed: {0}")]
    Certificate(CertificateError),
    #[error("its URL is empty")]
    NoUrl,
}

/// Trusted root and signing config in one file, for clients that are set up without TUF.
#[derive(Debug, Clone)]
pub struct ClientTrustConfig {
    trusted_root: TrustedRoot,
    signing_config: SigningConfig,
}

impl ClientTrustConfig {
    #[must_use]
    pub fn new(trusted_root: TrustedRoot, signing_config: SigningConfig) -> Self {
        Self { trusted_root, signing_config }
    }

    /// Reads the document.
    ///
    /// # Errors
    /// If it is not JSON of this shape, or either part is missing or of another media type.
    pub fn from_json(text: &[u8]) -> Result<Self, TrustError> {
        let config = wire::ClientTrustConfig::from_json(text)?;
        expect_media_type(&config.media_type, CLIENT_TRUST_CONFIG_MEDIA_TYPE, &[CLIENT_TRUST_CONFIG_MEDIA_TYPE])?;
        let root = config.trusted_root.ok_or(TrustError::Missing { member: "trustedRoot" })?;
        let signing = config.signing_config.ok_or(TrustError::Missing { member: "signingConfig" })?;
        Ok(Self { trusted_root: TrustedRoot::from_wire(root)?, signing_config: SigningConfig::from_wire(signing)? })
    }

    /// The document for people and clients, with a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        wire::ClientTrustConfig {
            media_type: CLIENT_TRUST_CONFIG_MEDIA_TYPE.to_owned(),
            trusted_root: Some(self.trusted_root.to_wire()),
            signing_config: Some(self.signing_config.to_wire()),
        }
        .to_json_pretty()
    }

    #[must_use]
    pub fn trusted_root(&self) -> &TrustedRoot {
        &self.trusted_root
    }

    #[must_use]
    pub fn signing_config(&self) -> &SigningConfig {
        &self.signing_config
    }
}

fn expect_media_type(found: &str, expected: &'static str, accepted: &[&str]) -> Result<(), TrustError> {
    if accepted.contains(&found) { Ok(()) } else { Err(TrustError::MediaType { expected, found: found.to_owned() }) }
}

/// Sorts entries into those that can be used, each with its place in the list, and those that are set aside.
fn sort_entries<W, T>(
    entries: Vec<Tolerated<W>>,
    section: Section,
    unusable: &mut Vec<Unusable>,
    convert: impl Fn(W) -> Result<T, UnusableReason>,
) -> Result<Vec<(usize, T)>, TrustError> {
    if entries.len() > ENTRIES_MAX {
        return Err(TrustError::TooManyEntries { section, found: entries.len() });
    }
    let mut usable = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        match entry.0.map_err(UnusableReason::Malformed).and_then(&convert) {
            Ok(entry) => usable.push((index, entry)),
            Err(reason) => unusable.push(Unusable { section, index, reason }),
        }
    }
    Ok(usable)
}

/// The usable entries without their places.
fn without_places<T>(entries: Vec<(usize, T)>) -> Vec<T> {
    entries.into_iter().map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests;
