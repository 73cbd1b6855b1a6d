// SPDX-License-Identifier: Apache-2.0
//! RFC 3161 timestamps, both sides: requests, tokens (CMS SignedData, RFC 5652 and RFC 5816), replies, and their verification.
//!
//! In scope: SHA-256, SHA-384 and SHA-512; one signer; the signer's certificate bound by SigningCertificateV2, or by the trusted root
//! where a token has the SHA-1 SigningCertificate alone. Out of scope: HTTP and the JSON request (`wire::tsa`), signing, the clock, BER,
//! SHA-1, and the window in which an authority is trusted (`trust`).
//! Invariants: signed attributes are verified over the bytes as received; every check on the signer is done on the certificate whose
//! key verified the signature; the chain is judged at the token's own time.

mod cms;
mod info;
mod request;
mod token;
mod verify;

use der::asn1::ObjectIdentifier;

use crate::asn1::{self, DerError};

pub use self::info::TstInfo;
pub use self::request::{NONCE_BYTES_MAX, RequestError, TimestampRequest};
pub use self::token::{TemplateError, TokenTemplate, UnsignedToken};
pub use self::verify::{Attribute, SignedAt, TimestampError, verify_reply, verify_token};

/// Sigstore's timestamp policy.
pub const POLICY: &str = "1.3.6.1.4.1.57264.2";
/// Whether a text can name a policy: a dotted object identifier.
pub fn is_policy(text: &str) -> bool {
    ObjectIdentifier::new(text).is_ok()
}

/// Largest timestamp reply. A token with a chain of RSA-4096 certificates takes about 10 KiB.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// Why an authority gives no token (PKIFailureInfo, RFC 3161 §2.4.2). The number is the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureInfo {
    BadAlgorithm = 0,
    BadRequest = 2,
    BadDataFormat = 5,
    TimeNotAvailable = 14,
    UnacceptedPolicy = 15,
    UnacceptedExtension = 16,
    AdditionalInformationNotAvailable = 17,
    SystemFailure = 25,
}

impl FailureInfo {
    const ALL: [Self; 8] = [
        Self::BadAlgorithm,
        Self::BadRequest,
        Self::BadDataFormat,
        Self::TimeNotAvailable,
        Self::UnacceptedPolicy,
        Self::UnacceptedExtension,
        Self::AdditionalInformationNotAvailable,
        Self::SystemFailure,
    ];

    /// The byte of the bit string and the bit in it.
    fn place(self) -> (usize, u8) {
        let bit = self as u8;
        (usize::from(bit / 8), 0x80 >> (bit % 8))
    }
}

/// A reply that says why there is no token.
pub fn failure_response(failure: FailureInfo, text: &str) -> Vec<u8> {
    const REJECTION: u8 = 2;
    let (byte, mask) = failure.place();
    let mut bits = vec![0_u8; byte + 1];
    bits[byte] = mask;
    let unused = u8::try_from(mask.trailing_zeros()).expect("a byte has at most eight zeros");
    let status = asn1::sequence(&[
        &asn1::unsigned(&[REJECTION]),
        &asn1::sequence(&[&asn1::utf8_string(text)]),
        &asn1::element(asn1::BIT_STRING, &[&[unused], &bits]),
    ]);
    asn1::sequence(&[&status])
}

/// What a timestamp authority replied: a token, or a refusal with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampResponse {
    /// The whole CMS token.
    Granted {
        token: Vec<u8>,
    },
    Rejected {
        status: u32,
        failure: Option<FailureInfo>,
    },
}

impl TimestampResponse {
    /// Parses a TimeStampResp; status granted or grantedWithMods must come with a token.
    pub fn from_der(der: &[u8]) -> Result<Self, TimestampError> {
        if der.len() > RESPONSE_BYTES_MAX {
            return Err(TimestampError::TooLarge { bytes: der.len() });
        }
        let mut fields = asn1::single(der, asn1::SEQUENCE)?.reader();
        let mut info = fields.enter(asn1::SEQUENCE)?;
        let status = info.small()?;
        info.optional(asn1::SEQUENCE)?; // Texts for people.
        let failure = info.optional(asn1::BIT_STRING)?;
        info.finish()?;
        let token = fields.optional(asn1::SEQUENCE)?;
        fields.finish()?;
        match (status, token) {
            (0 | 1, Some(token)) => Ok(Self::Granted { token: token.raw.to_vec() }),
            (0 | 1, None) => Err(TimestampError::Der(DerError::Truncated)),
            _ => Ok(Self::Rejected { status, failure: failure.and_then(|bits| first_failure(bits.value)) }),
        }
    }
}

fn first_failure(bit_string: &[u8]) -> Option<FailureInfo> {
    let (_unused, bits) = bit_string.split_first()?;
    let set = |failure: &FailureInfo| {
        let (byte, mask) = failure.place();
        bits.get(byte).is_some_and(|bits| bits & mask != 0)
    };
    FailureInfo::ALL.into_iter().find(set)
}

#[cfg(test)]
mod tests;
