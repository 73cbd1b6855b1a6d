// SPDX-License-Identifier: Apache-2.0
//! A signature, the certificate or key that made it, and what else lies beside it, each in a file of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::{Digest, PublicKey, sha256};

use super::entry::ReadEntry;
use super::{ConvertError, Converted, expect_bytes};
use crate::bundle::{
    CHAIN_MAX, Content, MEDIA_TYPE, SIGNATURE_BYTES_MAX, TIMESTAMP_BYTES_MAX, TIMESTAMPS_MAX, Version,
};
use crate::dsse::Envelope;
use crate::rekor::Verifier;
use crate::wire::rekor::RawBytes;
use crate::wire::{BUNDLE_BYTES_MAX, EnumName, bundle as wire, cosign, dsse};
use crate::x509::{Certificate, pem};

/// The largest certificate file; a public chain has less than 8 KiB.
const VERIFIER_BYTES_MAX: usize = 256 << 10;

/// The files of a detached signature.
#[derive(Debug, Clone, Copy)]
pub struct Detached<'a> {
    /// The signature, raw or in base64, or the JSON of a DSSE envelope.
    pub signature: &'a [u8],
    /// Certificates with that of the signer first, or a public key: PEM, or base64 of it. It may be left out if the entry
    /// names it.
    pub verifier: Option<&'a [u8]>,
    /// Replies of timestamp authorities, DER or as cosign wrote them.
    pub timestamps: &'a [&'a [u8]],
    /// A reply of the log.
    pub entry: Option<&'a [u8]>,
    /// The digest of the file, where it is known: the bundle then names it.
    pub digest: Option<&'a Digest>,
}

/// Makes a bundle of a detached signature.
///
/// # Errors
/// If a part is malformed, or the entry is not that of this signature and this verifier.
pub fn from_detached(files: &Detached<'_>) -> Result<Converted, ConvertError> {
    let content = content_of(files.signature)?;
    let verifier = files.verifier.map(verifier_of).transpose()?;
    super::expect_count("timestamps", TIMESTAMPS_MAX, files.timestamps.len())?;
    let timestamps = files.timestamps.iter().map(|timestamp| timestamp_of(timestamp)).collect::<Result<_, _>>()?;
    let entry = files.entry.map(ReadEntry::of_any_reply).transpose()?;
    assemble(content, verifier, timestamps, entry, files.digest.cloned())
}

/// Puts parts together that belong together.
pub(super) fn assemble(
    content: Content,
    verifier: Option<Verifier>,
    timestamps: Vec<Vec<u8>>,
    entry: Option<ReadEntry>,
    digest: Option<Digest>,
) -> Result<Converted, ConvertError> {
    let (verifier, logged_digest) = match &entry {
        Some(entry) => entry.belongs_to(&content, verifier)?,
        None => (verifier, None),
    };
    let verifier = verifier.ok_or(ConvertError::Missing { member: "certificate or public key" })?;
    if let (Some(given), Some(logged)) = (&digest, &logged_digest)
        && given.algorithm() == logged.algorithm()
        && given != logged
    {
        return Err(ConvertError::OtherEntry { member: "file" });
    }
    // A promise alone is what version 0.1 was for; the verifier takes it where it is told to.
    let version = if entry.as_ref().is_none_or(ReadEntry::has_proof) { Version::V0_3 } else { Version::V0_1 };
    let mut material = key_material(version, verifier);
    material.tlog_entries = entry.into_iter().map(|entry| entry.wire).collect();
    if !timestamps.is_empty() {
        let timestamps =
            timestamps.into_iter().map(|signed_timestamp| wire::Rfc3161SignedTimestamp { signed_timestamp });
        material.timestamp_verification_data =
            Some(wire::TimestampVerificationData { rfc3161_timestamps: timestamps.collect() });
    }
    let (message_signature, dsse_envelope) = match content {
        Content::Message { signature, .. } => {
            let message_digest = logged_digest.or(digest).map(|digest| wire::HashOutput {
                algorithm: EnumName(digest.algorithm().name().to_owned()),
                digest: digest.as_bytes().to_vec(),
            });
            (Some(wire::MessageSignature { message_digest, signature }), None)
        }
        Content::Envelope(envelope) => (None, Some(envelope.to_wire())),
    };
    Converted::of_wire(&wire::Bundle {
        media_type: if version == Version::V0_3 { MEDIA_TYPE } else { MEDIA_TYPE_V0_1 }.to_owned(),
        verification_material: Some(material),
        message_signature,
        dsse_envelope,
    })
}

const MEDIA_TYPE_V0_1: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

fn key_material(version: Version, verifier: Verifier) -> wire::VerificationMaterial {
    let mut material = wire::VerificationMaterial::default();
    match verifier {
        Verifier::PublicKey { spki_der } => {
            // The hint that the public clients write.
            material.public_key = Some(wire::PublicKeyIdentifier { hint: STANDARD.encode(sha256(&spki_der)) });
        }
        Verifier::Certificate { der } if version == Version::V0_3 => {
            material.certificate = Some(RawBytes { raw_bytes: der });
        }
        Verifier::Certificate { der } => {
            let certificates = vec![RawBytes { raw_bytes: der }];
            material.x509_certificate_chain = Some(wire::X509CertificateChain { certificates });
        }
    }
    material
}

/// A signature, raw or in base64, or an envelope, as JSON or in base64.
///
/// The two cannot be taken for each other: a signature of any scheme that is text from end to end and of the length of
/// padded base64 does not occur.
pub(super) fn content_of(signature: &[u8]) -> Result<Content, ConvertError> {
    expect_bytes("the signature", BUNDLE_BYTES_MAX, signature.len())?;
    let text: Vec<u8> = signature.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(&text).ok().filter(|decoded| !decoded.is_empty());
    let signature = decoded.as_deref().unwrap_or(signature);
    if signature.trim_ascii().starts_with(b"{") {
        let envelope = dsse::Envelope::from_json(signature)?;
        return Ok(Content::Envelope(Envelope::from_wire(envelope)?));
    }
    expect_bytes("the signature", SIGNATURE_BYTES_MAX, signature.len())?;
    Ok(Content::Message { digest: None, signature: signature.to_vec() })
}

/// A public key or a certificate, and never one for the other (GHSA-fx35-mq7g-6g98): a key must be one by its label and by
/// its content, and so must a certificate.
pub(super) fn verifier_of(input: &[u8]) -> Result<Verifier, ConvertError> {
    expect_bytes("the verifier", VERIFIER_BYTES_MAX, input.len())?;
    let text: Vec<u8> = input.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(&text).ok();
    let text = std::str::from_utf8(decoded.as_deref().unwrap_or(input)).map_err(|_| ConvertError::Verifier)?;
    let blocks = pem::decode_all(text, CHAIN_MAX).map_err(|_| ConvertError::Verifier)?;
    match blocks.as_slice() {
        [key] if key.label == "PUBLIC KEY" => {
            let key = PublicKey::from_spki_der(&key.der).map_err(ConvertError::Key)?;
            Ok(Verifier::PublicKey { spki_der: key.spki_der().to_vec() })
        }
        [leaf, ..] if blocks.iter().all(|block| block.label == "CERTIFICATE") => {
            let certificate = Certificate::from_der(&leaf.der).map_err(ConvertError::Certificate)?;
            Ok(Verifier::Certificate { der: certificate.der().to_vec() })
        }
        _ => Err(ConvertError::Verifier),
    }
}

/// A reply of a timestamp authority, DER or in the JSON of cosign.
fn timestamp_of(input: &[u8]) -> Result<Vec<u8>, ConvertError> {
    if !input.trim_ascii().starts_with(b"{") {
        expect_bytes("the timestamp", TIMESTAMP_BYTES_MAX, input.len())?;
        return Ok(input.to_vec());
    }
    match cosign::Timestamp::from_json(input)?.signed_rfc3161_timestamp {
        timestamp if timestamp.is_empty() => Err(ConvertError::Missing { member: "SignedRFC3161Timestamp" }),
        timestamp => Ok(timestamp),
    }
}
