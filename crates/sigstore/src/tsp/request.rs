// SPDX-License-Identifier: Apache-2.0
//! Timestamp requests (TimeStampReq, RFC 3161 §2.4.1).
//!
//! In scope: parsing strictly, writing. Out of scope: which policies a server accepts.
//! Invariants: a parsed request holds a digest of the right length and no extension; parsing takes time linear in the input.

use der::asn1::ObjectIdentifier;
use touchmark_keys::{Digest, DigestError, HashAlgorithm};

use super::FailureInfo;
use crate::asn1::{self, DerError, Reader};
use crate::x509::algorithm;

/// Longest nonce, in bytes without the sign octet. RFC 3161 names none; real ones have 8 to 20.
pub const NONCE_BYTES_MAX: usize = 64;
/// Largest request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Why a request gets no timestamp. The texts of weak hash and wrong length are those of the public authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("Error parsing timestamp request: {bytes} bytes are over the limit")]
    TooLarge { bytes: usize },
    #[error("Error parsing timestamp request: {0}")]
    Der(#[from] DerError),
    #[error("Error parsing timestamp request: version {version} is not 1")]
    Version { version: u32 },
    #[error("Weak hash algorithm in timestamp request")]
    WeakHash,
    #[error("Message digest has incorrect length for specified algorithm")]
    DigestLength(DigestError),
    #[error("Error parsing timestamp request: the nonce is negative or over {NONCE_BYTES_MAX} bytes")]
    Nonce,
    #[error("Error parsing timestamp request: extensions are not accepted")]
    Extensions,
    #[error("Error parsing timestamp request: the policy is not an object identifier")]
    Policy,
}

impl RequestError {
    /// The reason in the words of RFC 3161.
    pub fn failure_info(&self) -> FailureInfo {
        match self {
            Self::WeakHash => FailureInfo::BadAlgorithm,
            Self::DigestLength(_) => FailureInfo::BadDataFormat,
            Self::Extensions => FailureInfo::UnacceptedExtension,
            Self::Policy => FailureInfo::UnacceptedPolicy,
            Self::TooLarge { .. } | Self::Der(_) | Self::Version { .. } | Self::Nonce => FailureInfo::BadRequest,
        }
    }
}

/// A request for a timestamp over a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRequest {
    pub imprint: Digest,
    /// The big-endian bytes of an unsigned number.
    pub nonce: Option<Vec<u8>>,
    /// Whether the token shall hold the signer's certificate.
    pub cert_req: bool,
    /// A dotted object identifier.
    pub policy: Option<String>,
}

impl TimestampRequest {
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLarge { bytes: der.len() });
        }
        let mut fields = asn1::single(der, asn1::SEQUENCE)?.reader();
        let version = fields.small()?;
        if version != 1 {
            return Err(RequestError::Version { version });
        }
        let imprint = read_imprint(&mut fields)?;
        let policy = match fields.clone().optional(asn1::OBJECT_IDENTIFIER)? {
            Some(_) => Some(fields.object_identifier()?.to_string()),
            None => None,
        };
        let nonce = match fields.clone().optional(asn1::INTEGER)? {
            Some(_) => Some(read_nonce(&mut fields)?),
            None => None,
        };
        let cert_req = fields.boolean()?.unwrap_or(false);
        if fields.optional(asn1::context_constructed(0))?.is_some() {
            return Err(RequestError::Extensions);
        }
        fields.finish()?;
        Ok(Self { imprint, nonce, cert_req, policy })
    }

    /// The request's DER. Fails if the policy is no object identifier or the nonce is over its limit.
    pub fn to_der(&self) -> Result<Vec<u8>, RequestError> {
        let policy = match &self.policy {
            Some(policy) => asn1::object_identifier(ObjectIdentifier::new(policy).map_err(|_| RequestError::Policy)?),
            None => Vec::new(),
        };
        let nonce = match &self.nonce {
            Some(nonce) if nonce.len() > NONCE_BYTES_MAX => return Err(RequestError::Nonce),
            Some(nonce) => asn1::unsigned(nonce),
            None => Vec::new(),
        };
        let cert_req: &[u8] = if self.cert_req { &[asn1::BOOLEAN, 1, 0xff] } else { &[] };
        Ok(asn1::sequence(&[&asn1::unsigned(&[1]), &encode_imprint(&self.imprint), &policy, &nonce, cert_req]))
    }
}

/// Reads a MessageImprint.
pub(super) fn read_imprint(fields: &mut Reader<'_>) -> Result<Digest, RequestError> {
    let mut imprint = fields.enter(asn1::SEQUENCE)?;
    let identifier = imprint.expect(asn1::SEQUENCE)?;
    let bytes = imprint.expect(asn1::OCTET_STRING)?.value.to_vec();
    imprint.finish()?;
    let hash: HashAlgorithm = algorithm::digest_algorithm(identifier.raw).ok_or(RequestError::WeakHash)?;
    Digest::new(hash, bytes).map_err(RequestError::DigestLength)
}

pub(super) fn encode_imprint(imprint: &Digest) -> Vec<u8> {
    asn1::sequence(&[
        &algorithm::digest_identifier_with_null(imprint.algorithm()),
        &asn1::octet_string(imprint.as_bytes()),
    ])
}

/// Reads a nonce: unsigned, at most `NONCE_BYTES_MAX` bytes.
fn read_nonce(fields: &mut Reader<'_>) -> Result<Vec<u8>, RequestError> {
    let bytes = fields.integer()?;
    let unsigned = match bytes {
        [first, ..] if first & 0x80 != 0 => return Err(RequestError::Nonce),
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => bytes,
    };
    if unsigned.len() > NONCE_BYTES_MAX { Err(RequestError::Nonce) } else { Ok(unsigned.to_vec()) }
}
