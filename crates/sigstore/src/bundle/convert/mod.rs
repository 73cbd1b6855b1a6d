// SPDX-License-Identifier: Apache-2.0
//! Other shapes in which signatures are handed around, made into bundles: cosign's old bundle, a detached signature with its
//! certificate, attestations of PyPI (PEP 740), replies of npm and of GitHub.
//!
//! In scope: shapes. Nothing is fetched and nothing is verified: a converted bundle proves as much as any other that was read.
//! But parts that do not belong together are refused here, where they can be named: an entry of another signature, a
//! certificate beside the entry of another, a label on a statement of another kind.
//! Invariants: what is returned was read again by [`Bundle::parse`]; a public key never becomes a certificate, nor a certificate
//! a key.

mod cosign;
mod detached;
mod entry;
mod registry;

use touchmark_keys::KeyError;

use super::{Bundle, BundleError, LINES_MAX};
use crate::dsse::EnvelopeError;
use crate::intoto::StatementError;
use crate::rekor::v1::BodyError;
use crate::wire::{BUNDLE_BYTES_MAX, WireError, bundle as wire, outline};
use crate::x509::CertificateError;

pub use cosign::from_cosign_bundle;
pub use detached::{Detached, from_detached};
pub use registry::{ATTESTATIONS_MAX, from_npm, from_pep740};

/// The largest input of any shape.
pub const INPUT_BYTES_MAX: usize = BUNDLE_BYTES_MAX;

/// Why something was not made into a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("{found} cannot be made into a bundle alone")]
    Format { found: InputFormat },
    #[error("the input has no {member}")]
    Missing { member: &'static str },
    #[error("{member} is larger than {limit} bytes")]
    TooLarge { member: &'static str, limit: usize },
    #[error("the input holds {found} {member}, the limit is {limit}")]
    TooMany { member: &'static str, limit: usize, found: usize },
    #[error("{member} is not hexadecimal of the right length")]
    Hex { member: &'static str },
    #[error("the input is of version {found}, expected 1")]
    Version { found: String },
    #[error("the verifier is neither one public key nor certificates in PEM")]
    Verifier,
    #[error("the certificate is malformed: {0}")]
    Certificate(CertificateError),
    #[error("the public key is malformed: {0}")]
    Key(KeyError),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error("the log entry: {0}")]
    Body(#[from] BodyError),
    #[error("log entries of kind {kind:?}, version {version:?} are not supported")]
    EntryKind { kind: String, version: String },
    #[error("the reply of the log holds {found} entries, expected one")]
    EntryCount { found: usize },
    #[error("the log entry is that of another {member}")]
    OtherEntry { member: &'static str },
    #[error("the reply of the log and the bundle disagree on {member}")]
    EntryDisagrees { member: &'static str },
    #[error("the log entry has neither a signed entry timestamp nor a proof with a checkpoint")]
    EntryUnsigned,
    #[error("the attestation is labelled {label:?} and says that it is {statement:?}")]
    PredicateDisagrees { label: String, statement: String },
}

/// What an input is, as far as the names of its members tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    Bundle,
    /// One bundle on each line.
    BundleLines,
    CosignBundle,
    Pep740Attestation,
    Pep740Provenance,
    /// The reply of npm or GitHub with the attestations of a package.
    Attestations,
    /// A bare DSSE envelope: a detached signature.
    Envelope,
    /// A reply of a log: part of a detached signature.
    LogEntry,
    /// Nothing of the above.
    Other,
}

impl std::fmt::Display for InputFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bundle => "a bundle",
            Self::BundleLines => "a file of bundles",
            Self::CosignBundle => "an old bundle of cosign",
            Self::Pep740Attestation => "an attestation of PyPI",
            Self::Pep740Provenance => "a provenance object of PyPI",
            Self::Attestations => "a reply with attestations",
            Self::Envelope => "a bare envelope",
            Self::LogEntry => "a log entry",
            Self::Other => "an input of unknown form",
        })
    }
}

/// A bundle and its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    json: Vec<u8>,
    bundle: Bundle,
}

impl Converted {
    /// The JSON, on one line. It is of version 0.3, or of 0.1 where the log entry has its promise alone and no proof.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    #[must_use]
    pub fn into_bundle(self) -> Bundle {
        self.bundle
    }

    fn of_json(json: Vec<u8>) -> Result<Self, ConvertError> {
        let bundle = Bundle::parse(&json)?;
        Ok(Self { json, bundle })
    }

    fn of_wire(bundle: &wire::Bundle) -> Result<Self, ConvertError> {
        Self::of_json(bundle.to_json())
    }
}

/// Tells what an input is by the names of its outermost members; whether it is whole is for its reader to say.
#[must_use]
pub fn detect(input: &[u8]) -> InputFormat {
    let Ok((members, rest)) = outline(input, INPUT_BYTES_MAX) else { return InputFormat::Other };
    let has = |name: &str| members.iter().any(|member| member == name);
    let hex_name = |name: &String| name.len() >= 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match rest {
        _ if has("mediaType") && rest.is_empty() => InputFormat::Bundle,
        _ if has("mediaType") => InputFormat::BundleLines,
        [_, ..] => InputFormat::Other,
        _ if has("base64Signature") => InputFormat::CosignBundle,
        _ if has("verification_material") => InputFormat::Pep740Attestation,
        _ if has("attestation_bundles") => InputFormat::Pep740Provenance,
        _ if has("attestations") => InputFormat::Attestations,
        _ if has("payloadType") => InputFormat::Envelope,
        _ if has("canonicalizedBody") => InputFormat::LogEntry,
        _ if members.len() == 1 && members.iter().all(hex_name) => InputFormat::LogEntry,
        _ => InputFormat::Other,
    }
}

/// The bundles of any input that needs nothing beside it. Each has a result of its own, because a registry's reply may
/// hold some that are not for us.
///
/// # Errors
/// If the input as a whole is malformed, over a limit, or not of a form that holds bundles.
pub fn bundles(input: &[u8]) -> Result<Vec<Result<Converted, ConvertError>>, ConvertError> {
    expect_bytes("the input", INPUT_BYTES_MAX, input.len())?;
    match detect(input) {
        InputFormat::Bundle => Converted::of_json(input.to_vec()).map(|bundle| vec![Ok(bundle)]),
        InputFormat::BundleLines => lines(input),
        InputFormat::CosignBundle => from_cosign_bundle(input, None).map(|bundle| vec![Ok(bundle)]),
        InputFormat::Pep740Attestation | InputFormat::Pep740Provenance => from_pep740(input),
        InputFormat::Attestations => from_npm(input),
        found @ (InputFormat::Envelope | InputFormat::LogEntry | InputFormat::Other) => {
            Err(ConvertError::Format { found })
        }
    }
}

fn lines(input: &[u8]) -> Result<Vec<Result<Converted, ConvertError>>, ConvertError> {
    let lines = input.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let mut converted = Vec::new();
    for line in lines {
        expect_count("lines", LINES_MAX, converted.len() + 1)?;
        converted.push(Converted::of_json(line.trim_ascii().to_vec()));
    }
    Ok(converted)
}

fn expect_bytes(member: &'static str, limit: usize, found: usize) -> Result<(), ConvertError> {
    if found > limit { Err(ConvertError::TooLarge { member, limit }) } else { Ok(()) }
}

fn expect_count(member: &'static str, limit: usize, found: usize) -> Result<(), ConvertError> {
    if found > limit { Err(ConvertError::TooMany { member, limit, found }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
