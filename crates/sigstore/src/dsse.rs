// SPDX-License-Identifier: Apache-2.0
//! DSSE envelopes (secure-systems-lab/dsse, protocol and envelope v1): a payload with its type, and what is signed of them.
//!
//! In scope: the pre-authentication encoding, the limits on an envelope, its wire form. Out of scope: what a payload says
//! (`intoto`), verification of the signature (`verify`).
//! Invariants: an [`Envelope`] that was read has exactly one signature, which is not empty, and a payload type that is not
//! empty. The specification allows several signatures; with more than one, two verifiers could each be content with another.

use touchmark_keys::{Digest, HashAlgorithm, Hasher};

use crate::wire::dsse as wire;

/// The payload type of in-toto statements, the only payloads that speak of an artifact.
pub const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The longest payload type. Media types are far shorter.
pub const PAYLOAD_TYPE_BYTES_MAX: usize = 1024;
/// The longest key id: it is a hint that nothing signs.
pub const KEYID_BYTES_MAX: usize = 1024;
/// The largest signature; ML-DSA-87 makes 4627 bytes.
pub const SIGNATURE_BYTES_MAX: usize = 8 << 10;

/// A payload, its type, and one signature over both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub payload_type: String,
    pub payload: Vec<u8>,
    pub signature: Vec<u8>,
    /// A hint which key signed. Nothing signs it, and nothing here looks at it.
    pub keyid: String,
}

/// Why an envelope was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the envelope has {found} signatures, expected exactly one")]
    SignatureCount { found: usize },
    #[error("the envelope has no {member}")]
    Missing { member: &'static str },
    #[error("{member} of the envelope has {found} bytes, the limit is {limit}")]
    TooLarge { member: &'static str, limit: usize, found: usize },
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// If it has not exactly one signature, or a part is empty that must not be, or over its limit. The payload may be empty;
    /// its size is bounded by that of the document.
    pub fn from_wire(envelope: wire::Envelope) -> Result<Self, EnvelopeError> {
        let found = envelope.signatures.len();
        let mut signatures = envelope.signatures.into_iter();
        let (Some(signature), None) = (signatures.next(), signatures.next()) else {
            return Err(EnvelopeError::SignatureCount { found });
        };
        within("payloadType", 1, PAYLOAD_TYPE_BYTES_MAX, envelope.payload_type.len())?;
        within("sig", 1, SIGNATURE_BYTES_MAX, signature.sig.len())?;
        within("keyid", 0, KEYID_BYTES_MAX, signature.keyid.len())?;
        Ok(Self {
            payload_type: envelope.payload_type,
            payload: envelope.payload,
            signature: signature.sig,
            keyid: signature.keyid,
        })
    }

    /// The envelope as a bundle carries it.
    #[must_use]
    pub fn to_wire(&self) -> wire::Envelope {
        wire::Envelope {
            payload: self.payload.clone(),
            payload_type: self.payload_type.clone(),
            signatures: vec![wire::Signature { sig: self.signature.clone(), keyid: self.keyid.clone() }],
        }
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// The digest of the bytes that are signed, without a copy of the payload.
    #[must_use]
    pub fn pae_digest(&self, algorithm: HashAlgorithm) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(pae_head(&self.payload_type, self.payload.len()).as_bytes());
        hasher.update(&self.payload);
        hasher.finish()
    }
}

/// The pre-authentication encoding: what is signed of a payload and its type. Both lengths are in bytes.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = pae_head(payload_type, payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

fn pae_head(payload_type: &str, payload_bytes: usize) -> String {
    format!("DSSEv1 {} {payload_type} {payload_bytes} ", payload_type.len())
}

fn within(member: &'static str, least: usize, limit: usize, found: usize) -> Result<(), EnvelopeError> {
    match found {
        found if found < least => Err(EnvelopeError::Missing { member }),
        found if found > limit => Err(EnvelopeError::TooLarge { member, limit, found }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use touchmark_keys::digest;

    use super::*;

    /// The example of the DSSE protocol, and one whose lengths differ in characters and in bytes.
    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let check = |payload_type: &str, payload: &str, expect: &str| {
            assert_eq!(String::from_utf8(pae(payload_type, payload.as_bytes())).unwrap(), expect);
        };
        check("http://example.com/HelloWorld", "hello world", "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        check("t", "", "DSSEv1 1 t 0 ");
        check("tü", "€", "DSSEv1 3 tü 3 €");
    }

    #[test]
    fn the_digest_is_that_of_the_encoding() {
        let envelope = Envelope::from_wire(wire()).unwrap();
        for algorithm in HashAlgorithm::ALL {
            assert_eq!(envelope.pae_digest(algorithm), digest(algorithm, &envelope.pae()));
        }
    }

    #[test]
    fn an_envelope_has_exactly_one_signature() {
        let read = Envelope::from_wire(wire()).unwrap();
        assert_eq!(read.to_wire(), wire());
        let check = |edit: fn(&mut wire::Envelope), expect: EnvelopeError| {
            let mut envelope = wire();
            edit(&mut envelope);
            assert_eq!(Envelope::from_wire(envelope), Err(expect));
        };
        check(|envelope| envelope.signatures.clear(), EnvelopeError::SignatureCount { found: 0 });
        check(
            |envelope| envelope.signatures.push(envelope.signatures[0].clone()),
            EnvelopeError::SignatureCount { found: 2 },
        );
        check(|envelope| envelope.signatures[0].sig.clear(), EnvelopeError::Missing { member: "sig" });
        check(|envelope| envelope.payload_type.clear(), EnvelopeError::Missing { member: "payloadType" });
        let too_large = |member, limit| EnvelopeError::TooLarge { member, limit, found: limit + 1 };
        check(|envelope| envelope.signatures[0].sig = vec![1; 8193], too_large("sig", SIGNATURE_BYTES_MAX));
        check(|envelope| envelope.signatures[0].keyid = "k".repeat(1025), too_large("keyid", KEYID_BYTES_MAX));
        check(|envelope| envelope.payload_type = "t".repeat(1025), too_large("payloadType", PAYLOAD_TYPE_BYTES_MAX));
    }

    fn wire() -> wire::Envelope {
        wire::Envelope {
            payload: b"{}".to_vec(),
            payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
            signatures: vec![wire::Signature { sig: vec![1, 2, 3], keyid: "hint".to_owned() }],
        }
    }
}
