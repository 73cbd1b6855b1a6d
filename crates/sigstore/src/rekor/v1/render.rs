// SPDX-License-Identifier: Apache-2.0
//! For tests: bodies of Rekor v1 entries, byte for byte as the log renders them (canonical JSON, RFC 8785).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::Digest;

use super::SignatureV1;
use crate::rekor::Verifier;
use crate::x509::pem;

pub(crate) fn render_hashedrekord(digest: &Digest, signature: &SignatureV1) -> Vec<u8> {
    format!(
        concat!(
            r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{hash}}},"#,
            r#""signature":{{"content":"{content}","publicKey":{{"content":"{key}"}}}}}}}}"#,
        ),
        hash = hash(digest),
        content = STANDARD.encode(&signature.signature),
        key = key(&signature.verifier),
    )
    .into_bytes()
}

pub(crate) fn render_dsse(envelope_hash: &Digest, payload_hash: &Digest, signatures: &[SignatureV1]) -> Vec<u8> {
    let signatures = signatures.iter().map(|signature| {
        let content = STANDARD.encode(&signature.signature);
        format!(r#"{{"signature":"{content}","verifier":"{}"}}"#, key(&signature.verifier))
    });
    format!(
        concat!(
            r#"{{"apiVersion":"0.0.1","kind":"dsse","spec":{{"envelopeHash":{envelope_hash},"#,
            r#""payloadHash":{payload_hash},"signatures":[{signatures}]}}}}"#,
        ),
        envelope_hash = hash(envelope_hash),
        payload_hash = hash(payload_hash),
        signatures = signatures.collect::<Vec<_>>().join(","),
    )
    .into_bytes()
}

pub(crate) fn render_intoto(
    payload_type: &str,
    envelope_hash: &Digest,
    payload_hash: &Digest,
    signatures: &[SignatureV1],
) -> Vec<u8> {
    let signatures = signatures.iter().map(|signature| {
        let content = STANDARD.encode(STANDARD.encode(&signature.signature));
        format!(r#"{{"publicKey":"{}","sig":"{content}"}}"#, key(&signature.verifier))
    });
    format!(
        concat!(
            r#"{{"apiVersion":"0.0.2","kind":"intoto","spec":{{"content":{{"envelope":{{"#,
            r#""payloadType":"{payload_type}","signatures":[{signatures}]}},"#,
            r#""hash":{envelope_hash},"payloadHash":{payload_hash}}}}}}}"#,
        ),
        payload_type = payload_type,
        signatures = signatures.collect::<Vec<_>>().join(","),
        envelope_hash = hash(envelope_hash),
        payload_hash = hash(payload_hash),
    )
    .into_bytes()
}

fn hash(digest: &Digest) -> String {
    format!(r#"{{"algorithm":"{}","value":"{}"}}"#, digest.algorithm().prefix(), hex::encode(digest.as_bytes()))
}

fn key(verifier: &Verifier) -> String {
    STANDARD.encode(match verifier {
        Verifier::Certificate { der } => pem::encode("CERTIFICATE", der),
        Verifier::PublicKey { spki_der } => pem::encode("PUBLIC KEY", spki_der),
    })
}
