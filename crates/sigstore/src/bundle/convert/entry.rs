// SPDX-License-Identifier: Apache-2.0
//! The log entry of a detached signature: read from what the log or cosign wrote, and compared with the signature.
//!
//! Both comparisons are made by the verifier too (GHSA-whqx-f9j3-ch6m); made here, they say which file is the wrong one.

use touchmark_keys::{Digest, digest};

use super::{ConvertError, expect_bytes};
use crate::bundle::Content;
use crate::rekor::v1::{self, BodyV1};
use crate::rekor::{EntryKind, Verifier};
use crate::wire::rekor::{Checkpoint, InclusionPromise, InclusionProof, KindVersion, LogId, TransparencyLogEntry};
use crate::wire::{Nullable, REPLY_BYTES_MAX, UnixSeconds, cosign, outline, rekor_v1};

/// An entry of Rekor v1 before it has the shape of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryV1 {
    body: Vec<u8>,
    integrated_time: i64,
    log_id: Vec<u8>,
    log_index: i64,
    set: Vec<u8>,
    proof: Option<InclusionProof>,
}

/// An entry with what it says was logged, where that is for us to read.
pub(super) struct ReadEntry {
    pub(super) wire: TransparencyLogEntry,
    pub(super) body: Option<BodyV1>,
}

impl EntryV1 {
    /// The entry of cosign's old bundle: a promise without proof.
    pub(super) fn of_cosign(bundle: cosign::RekorBundle) -> Result<Self, ConvertError> {
        let payload = bundle.payload.ok_or(ConvertError::Missing { member: "Payload" })?;
        Ok(Self {
            body: payload.body,
            integrated_time: payload.integrated_time,
            log_id: hex_bytes("logID", &payload.log_id)?,
            log_index: payload.log_index,
            set: bundle.signed_entry_timestamp,
            proof: None,
        })
    }

    /// The one entry of a reply of the log.
    pub(super) fn of_reply(reply: &[u8]) -> Result<Self, ConvertError> {
        expect_bytes("the log entry", REPLY_BYTES_MAX, reply.len())?;
        let mut entries = rekor_v1::LogEntries::from_json(reply)?.0;
        let found = entries.len();
        let (Some(entry), true) = (entries.pop(), entries.is_empty()) else {
            return Err(ConvertError::EntryCount { found });
        };
        let verification = entry.verification.unwrap_or_default();
        Ok(Self {
            body: entry.body,
            integrated_time: entry.integrated_time,
            log_id: hex_bytes("logID", &entry.log_id)?,
            log_index: entry.log_index,
            set: verification.signed_entry_timestamp,
            proof: verification.inclusion_proof.map(proof).transpose()?.flatten(),
        })
    }

    /// This entry with the proof out of a reply of the log, which must be about the same entry.
    ///
    /// The log signs its promise anew for each reply: the one at hand stays.
    pub(super) fn completed(self, reply: Self) -> Result<Self, ConvertError> {
        let agree = |member, same: bool| if same { Ok(()) } else { Err(ConvertError::EntryDisagrees { member }) };
        agree("body", self.body == reply.body)?;
        agree("integratedTime", self.integrated_time == reply.integrated_time)?;
        agree("logID", self.log_id == reply.log_id)?;
        agree("logIndex", self.log_index == reply.log_index)?;
        Ok(Self { proof: reply.proof, ..self })
    }

    pub(super) fn read(self) -> Result<ReadEntry, ConvertError> {
        if self.set.is_empty() && self.proof.is_none() {
            return Err(ConvertError::EntryUnsigned);
        }
        let named = rekor_v1::Body::from_json(&self.body)?;
        let Some(kind) = EntryKind::from_wire(&named.kind, &named.api_version) else {
            return Err(ConvertError::EntryKind { kind: named.kind, version: named.api_version });
        };
        let body = v1::parse_body(kind, &self.body)?;
        let promise = (!self.set.is_empty()).then_some(InclusionPromise { signed_entry_timestamp: self.set });
        let wire = TransparencyLogEntry {
            log_index: self.log_index,
            log_id: Some(LogId { key_id: self.log_id }),
            kind_version: Some(KindVersion { kind: named.kind, version: named.api_version }),
            integrated_time: UnixSeconds(self.integrated_time),
            inclusion_promise: Nullable(promise),
            inclusion_proof: Nullable(self.proof),
            canonicalized_body: self.body,
        };
        Ok(ReadEntry { wire, body: Some(body) })
    }
}

impl ReadEntry {
    /// An entry as a log handed it out: Rekor v1 by its identifier, v2 as bundles carry it.
    pub(super) fn of_any_reply(reply: &[u8]) -> Result<Self, ConvertError> {
        expect_bytes("the log entry", REPLY_BYTES_MAX, reply.len())?;
        let (members, _) = outline(reply, REPLY_BYTES_MAX)?;
        if members.iter().any(|member| member == "canonicalizedBody") {
            return Ok(Self { wire: TransparencyLogEntry::from_json(reply)?, body: None });
        }
        EntryV1::of_reply(reply)?.read()
    }

    /// Whether the log shows the entry in its tree, and not only promises it.
    pub(super) fn has_proof(&self) -> bool {
        self.wire.inclusion_proof.0.is_some()
    }

    /// Compares the entry with the signature; returns whose it is, and the digest of the file.
    pub(super) fn belongs_to(
        &self,
        content: &Content,
        verifier: Option<Verifier>,
    ) -> Result<(Option<Verifier>, Option<Digest>), ConvertError> {
        let (logged, digest) = match (&self.body, content) {
            (None, _) => return Ok((verifier, None)),
            (Some(BodyV1::HashedRekord { digest, signature, verifier }), Content::Message { signature: ours, .. }) => {
                ((signature == ours).then_some(verifier), Some(digest.clone()))
            }
            (
                Some(BodyV1::Dsse { payload_hash, signatures, .. } | BodyV1::Intoto { payload_hash, signatures, .. }),
                Content::Envelope(envelope),
            ) => {
                if digest(payload_hash.algorithm(), &envelope.payload) != *payload_hash {
                    return Err(ConvertError::OtherEntry { member: "payload" });
                }
                let ours = signatures.iter().find(|logged| logged.signature == envelope.signature);
                (ours.map(|logged| &logged.verifier), None)
            }
            _ => (None, None),
        };
        let logged = logged.ok_or(ConvertError::OtherEntry { member: "signature" })?;
        match verifier {
            Some(verifier) if verifier != *logged => Err(ConvertError::OtherEntry { member: "verifier" }),
            _ => Ok((Some(logged.clone()), digest)),
        }
    }
}

/// A proof, if it leads to a checkpoint: without one nothing of it is signed.
fn proof(proof: rekor_v1::InclusionProof) -> Result<Option<InclusionProof>, ConvertError> {
    if proof.checkpoint.is_empty() {
        return Ok(None);
    }
    let hashes = proof.hashes.iter().map(|hash| hex_bytes("a hash of the proof", hash)).collect::<Result<_, _>>()?;
    Ok(Some(InclusionProof {
        log_index: proof.log_index,
        root_hash: hex_bytes("rootHash", &proof.root_hash)?,
        tree_size: proof.tree_size,
        hashes,
        checkpoint: Some(Checkpoint { envelope: proof.checkpoint }),
    }))
}

/// A hash in hexadecimal.
fn hex_bytes(member: &'static str, text: &str) -> Result<Vec<u8>, ConvertError> {
    let bytes = hex::decode(text).map_err(|_| ConvertError::Hex { member })?;
    if bytes.len() == 32 { Ok(bytes) } else { Err(ConvertError::Hex { member }) }
}
