// SPDX-License-Identifier: Apache-2.0
//! Entries of a Rekor v1 log (sigstore/rekor, `pkg/types`): what their bodies say, and what their signed entry timestamp signs.
//!
//! In scope: `hashedrekord` 0.0.1, `dsse` 0.0.1, `intoto` 0.0.2, read into typed digests, signatures and verifiers. Out of
//! scope: whether they are those of a bundle, and whether the log has them (`verify`); making entries of Rekor v1.
//! Invariants: total; a body has one kind, the one that its entry names, and one meaning (no member twice, none unknown).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::{Digest, DigestError, HashAlgorithm, digest};

use super::{EntryKind, Verifier};
use crate::wire::WireError;
use crate::wire::rekor_v1 as wire;
use crate::x509::pem;

pub use crate::wire::rekor_v1::BODY_BYTES_MAX;

/// The most signatures in one entry. Envelopes with more than one are rare, and bundles have none.
pub const SIGNATURES_MAX: usize = 16;
/// The most certificates of one verifier; the log takes a chain where a client sends one.
pub const VERIFIER_CERTIFICATES_MAX: usize = 8;

/// What an entry says was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyV1 {
    HashedRekord {
        /// Of the artifact.
        digest: Digest,
        signature: Vec<u8>,
        verifier: Verifier,
    },
    Dsse {
        payload_hash: Digest,
        /// Of the envelope's JSON as it was sent to the log: nobody can compute it again.
        envelope_hash: Digest,
        signatures: Vec<SignatureV1>,
    },
    Intoto {
        payload_hash: Digest,
        payload_type: String,
        /// Of the envelope's JSON as it was sent to the log: nobody can compute it again.
        envelope_hash: Digest,
        signatures: Vec<SignatureV1>,
    },
}

/// A signature of an envelope, and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureV1 {
    pub signature: Vec<u8>,
    pub verifier: Verifier,
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is malformed: {0}")]
    Wire(#[from] WireError),
    #[error("{kind} is not a kind of Rekor v1")]
    NotV1 { kind: EntryKind },
    #[error("the entry is of kind {expected}, its body of kind {kind:?}, version {version:?}")]
    Kind { expected: EntryKind, kind: String, version: String },
    #[error("the body has no {member}")]
    Missing { member: &'static str },
    #[error("the body has {found} signatures, the limit is {SIGNATURES_MAX}")]
    TooManySignatures { found: usize },
    #[error("unknown hash algorithm {found:?}")]
    HashAlgorithm { found: String },
    #[error("a hash of the body is not hexadecimal")]
    HashText,
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("{member} of the body is not base64 of base64")]
    InnerBase64 { member: &'static str },
    #[error("the payload in the body is not the one of its hash")]
    PayloadDisagrees,
    #[error("the verifier in the body is neither one public key nor a chain of certificates in PEM")]
    Verifier,
}

/// Reads the body of an entry that says it is of kind `kind`.
///
/// # Errors
/// If the body is of another kind, incomplete, or not of the one form in which it is written.
pub fn parse_body(kind: EntryKind, body: &[u8]) -> Result<BodyV1, BodyError> {
    if kind == EntryKind::HashedRekordV2 {
        return Err(BodyError::NotV1 { kind });
    }
    let body = wire::Body::from_json(body)?;
    if body.kind != kind.name() || body.api_version != kind.version() {
        return Err(BodyError::Kind { expected: kind, kind: body.kind, version: body.api_version });
    }
    let missing = BodyError::Missing { member: "spec" };
    match kind {
        EntryKind::HashedRekordV1 => hashed_rekord(body.into_spec()?.ok_or(missing)?),
        EntryKind::DsseV1 => dsse(body.into_spec()?.ok_or(missing)?),
        EntryKind::IntotoV2 => intoto(body.into_spec()?.ok_or(missing)?),
        EntryKind::HashedRekordV2 => Err(BodyError::NotV1 { kind }),
    }
}

/// What a signed entry timestamp signs: canonical JSON (RFC 8785) of the entry, its place and its time.
///
/// Every string in it is base64 or hexadecimal, so none needs escaping.
#[must_use]
pub fn set_payload(body: &[u8], integrated_time: i64, log_id: &[u8; 32], log_index: u64) -> Vec<u8> {
    format!(
        r#"{{"body":"{body}","integratedTime":{integrated_time},"logID":"{log_id}","logIndex":{log_index}}}"#,
        body = STANDARD.encode(body),
        log_id = hex::encode(log_id),
    )
    .into_bytes()
}

fn hashed_rekord(spec: wire::HashedRekord) -> Result<BodyV1, BodyError> {
    let hash = spec.data.ok_or(BodyError::Missing { member: "data" })?.hash;
    let signature = spec.signature.ok_or(BodyError::Missing { member: "signature" })?;
    let key = signature.public_key.ok_or(BodyError::Missing { member: "publicKey" })?;
    let SignatureV1 { signature, verifier } = signature_of(signature.content, &key.content)?;
    Ok(BodyV1::HashedRekord { digest: digest_of(hash, "hash")?, signature, verifier })
}

fn dsse(spec: wire::Dsse) -> Result<BodyV1, BodyError> {
    expect_signatures(spec.signatures.len())?;
    let signatures =
        spec.signatures.into_iter().map(|signature| signature_of(signature.signature, &signature.verifier));
    Ok(BodyV1::Dsse {
        payload_hash: digest_of(spec.payload_hash, "payloadHash")?,
        envelope_hash: digest_of(spec.envelope_hash, "envelopeHash")?,
        signatures: signatures.collect::<Result<_, _>>()?,
    })
}

fn intoto(spec: wire::Intoto) -> Result<BodyV1, BodyError> {
    let content = spec.content.ok_or(BodyError::Missing { member: "content" })?;
    let envelope = content.envelope.ok_or(BodyError::Missing { member: "envelope" })?;
    if envelope.payload_type.is_empty() {
        return Err(BodyError::Missing { member: "payloadType" });
    }
    let payload_hash = digest_of(content.payload_hash, "payloadHash")?;
    if !envelope.payload.is_empty() {
        let payload = inner_base64("payload", &envelope.payload)?;
        if digest(payload_hash.algorithm(), &payload) != payload_hash {
            return Err(BodyError::PayloadDisagrees);
        }
    }
    expect_signatures(envelope.signatures.len())?;
    let signatures = envelope
        .signatures
        .into_iter()
        .map(|signature| signature_of(inner_base64("sig", &signature.sig)?, &signature.public_key));
    Ok(BodyV1::Intoto {
        payload_hash,
        payload_type: envelope.payload_type,
        envelope_hash: digest_of(content.hash, "hash")?,
        signatures: signatures.collect::<Result<_, _>>()?,
    })
}

fn expect_signatures(found: usize) -> Result<(), BodyError> {
    match found {
        0 => Err(BodyError::Missing { member: "signatures" }),
        1..=SIGNATURES_MAX => Ok(()),
        found => Err(BodyError::TooManySignatures { found }),
    }
}

fn signature_of(signature: Vec<u8>, verifier: &[u8]) -> Result<SignatureV1, BodyError> {
    if signature.is_empty() {
        return Err(BodyError::Missing { member: "signature" });
    }
    Ok(SignatureV1 { signature, verifier: verifier_of(verifier)? })
}

/// The base64 in a member that is base64 itself.
fn inner_base64(member: &'static str, text: &[u8]) -> Result<Vec<u8>, BodyError> {
    STANDARD.decode(text).map_err(|_| BodyError::InnerBase64 { member })
}

fn digest_of(hash: Option<wire::Hash>, member: &'static str) -> Result<Digest, BodyError> {
    let hash = hash.ok_or(BodyError::Missing { member })?;
    let Some(algorithm) = HashAlgorithm::from_prefix(&hash.algorithm) else {
        return Err(BodyError::HashAlgorithm { found: hash.algorithm });
    };
    let bytes = hex::decode(&hash.value).map_err(|_| BodyError::HashText)?;
    Ok(Digest::new(algorithm, bytes)?)
}

/// One public key, or certificates of which the first is the signer's: the log checks the chain and keeps all of it.
fn verifier_of(pem: &[u8]) -> Result<Verifier, BodyError> {
    let text = std::str::from_utf8(pem).map_err(|_| BodyError::Verifier)?;
    let blocks = pem::decode_all(text, VERIFIER_CERTIFICATES_MAX).map_err(|_| BodyError::Verifier)?;
    let certificates_only = blocks.iter().all(|block| block.label == "CERTIFICATE");
    let single = blocks.len() == 1;
    match blocks.into_iter().next() {
        Some(leaf) if certificates_only => Ok(Verifier::Certificate { der: leaf.der }),
        Some(key) if single && key.label == "PUBLIC KEY" => Ok(Verifier::PublicKey { spki_der: key.der }),
        _ => Err(BodyError::Verifier),
    }
}

#[cfg(test)]
pub(crate) mod render;

#[cfg(test)]
mod tests;
