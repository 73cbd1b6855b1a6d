// SPDX-License-Identifier: Apache-2.0
//! Cosign's old bundle: a signature, its certificate, and the log's promise, without the proof that the promise was kept.

use super::detached::{assemble, content_of, verifier_of};
use super::entry::EntryV1;
use super::{ConvertError, Converted, INPUT_BYTES_MAX, expect_bytes};
use crate::wire::cosign::SignedPayload;

/// Makes a bundle of what `cosign sign-blob --bundle` wrote. `entry` is a reply of the log that brings the proof which is
/// missing; without it the bundle is of version 0.1 and has a promise alone, which a verifier does not take unless told to.
///
/// # Errors
/// If a part is malformed, or the entry is that of another signature, certificate or key.
pub fn from_cosign_bundle(input: &[u8], entry: Option<&[u8]>) -> Result<Converted, ConvertError> {
    expect_bytes("the input", INPUT_BYTES_MAX, input.len())?;
    let payload = SignedPayload::from_json(input)?;
    if payload.base64_signature.is_empty() {
        return Err(ConvertError::Missing { member: "base64Signature" });
    }
    let content = content_of(&payload.base64_signature)?;
    // Signatures of managed keys have no certificate; their entry names the key.
    let verifier = match payload.cert.as_str() {
        "" => None,
        cert => Some(verifier_of(cert.as_bytes())?),
    };
    let logged = payload.rekor_bundle.map(EntryV1::of_cosign).transpose()?;
    let reply = entry.map(EntryV1::of_reply).transpose()?;
    let entry = match (logged, reply) {
        (Some(logged), Some(reply)) => Some(logged.completed(reply)?),
        (logged, reply) => logged.or(reply),
    };
    assemble(content, verifier, Vec::new(), entry.map(EntryV1::read).transpose()?, None)
}
