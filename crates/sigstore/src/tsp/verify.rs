// SPDX-License-Identifier: Apache-2.0
//! Verifying a timestamp reply (RFC 3161 §2.2, RFC 5652 §5.6, RFC 5816 §2.2): what an authority of the trusted root said, and when.
//!
//! In scope: everything between the reply's bytes and a proven time. Out of scope: whether the authority was trusted at that time (`trust`),
//! counting several timestamps (`verify`).
//! Invariants: a `SignedAt` exists only for a token whose signer is a timestamp leaf under the given chain, valid at the token's time; with
//! the authority's own leaf in the chain no other signer is accepted. A token that names its signer's certificate by SHA-1 alone is
//! accepted only of such a leaf: then the trusted root says which certificate it is, and issuer and serial must agree.

use der::asn1::ObjectIdentifier;
use jiff::Timestamp;
use touchmark_keys::{Digest, DigestError, PublicKey, SignatureError, SignatureValid};

use super::cms::{self, SignedData, SignerInfo};
use super::info::TstInfo;
use super::request::TimestampRequest;
use super::{FailureInfo, RESPONSE_BYTES_MAX, TimestampResponse};
use crate::asn1::{self, DerError};
use crate::x509::chain::Chain;
use crate::x509::path::{ExtendedKeyUsage, PathError, VerifiedPath, verify_path};
use crate::x509::{Certificate, CertificateError};

/// A signed attribute that a token must carry exactly once, with one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    ContentType,
    MessageDigest,
    SigningCertificateV2,
}

/// Why a timestamp proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    #[error("the timestamp is {bytes} bytes long, over the limit of {RESPONSE_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error(transparent)]
    Der(#[from] DerError),
    #[error("the authority refused with status {status} ({failure:?})")]
    Rejected { status: u32, failure: Option<FailureInfo> },
    #[error("an unknown version {version} of a structure of the token")]
    Version { version: u32 },
    #[error("the token does not hold a TSTInfo in a CMS SignedData")]
    ContentType,
    #[error("the token has more than one signer")]
    SeveralSigners,
    #[error("the token carries too many certificates")]
    TooManyCertificates,
    #[error("the token carries too many attributes")]
    TooManyAttributes,
    #[error("the token's digest algorithm is not SHA-256, SHA-384 or SHA-512")]
    DigestAlgorithm,
    #[error("the token's signature algorithm is not supported")]
    SignatureAlgorithm,
    #[error("the signed attribute {attribute:?} does not stand exactly once with one value")]
    Attribute { attribute: Attribute },
    #[error("the token's message digest is not that of its content")]
    MessageDigest,
    #[error("the timestamp is over a digest that is not SHA-256, SHA-384 or SHA-512")]
    ImprintAlgorithm,
    #[error("the digest in the timestamp has the wrong length")]
    ImprintLength(DigestError),
    #[error("the timestamp is over another message: expected digest {}, found {}", hex::encode(expected.as_bytes()), hex::encode(found.as_bytes()))]
    Imprint { expected: Digest, found: Digest },
    #[error("the signer's certificate is neither in the token nor in the trusted chain")]
    SignerNotFound,
    #[error("the signer's certificate is not the one that the trusted root names for the authority")]
    SignerNotTrusted,
    /// Or by SHA-1 alone, where the trusted root does not name the authority's leaf.
    #[error("the certificate identifier in the signed attributes does not name the signer's certificate")]
    CertificateId,
    #[error("the critical extension {oid} of the token is not understood")]
    CriticalExtension { oid: ObjectIdentifier },
    #[error("the token's signature does not verify with the signer's key: {0}")]
    Signature(SignatureError),
    #[error("a certificate of the token cannot be used: {0}")]
    Certificate(CertificateError),
    #[error("the authority's certificate is not accepted: {0}")]
    Path(PathError),
    #[error("the reply's nonce is not the request's")]
    Nonce,
    #[error("the reply's policy is {found}, not the one asked for")]
    Policy { found: ObjectIdentifier },
}

/// A message existed at this time, as an authority of the given chain says. Made by `verify_token` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAt {
    info: TstInfo,
    path: VerifiedPath,
}

impl SignedAt {
    pub fn time(&self) -> Timestamp {
        self.info.gen_time
    }

    /// The content bytes of the token's serial number.
    pub fn serial(&self) -> &[u8] {
        &self.info.serial
    }

    pub fn policy(&self) -> ObjectIdentifier {
        self.info.policy
    }

    /// The authority's certificates, the signer's first.
    pub fn path(&self) -> &VerifiedPath {
        &self.path
    }
}

/// Verifies a reply over `message` against one authority: its chain as the trusted root gives it, with or without the leaf, root last.
/// Under a prepared chain that begins with the authority's leaf this costs one signature, the token's.
pub fn verify_token<'a>(
    response_der: &[u8],
    message: &[u8],
    tsa_chain: impl Into<Chain<'a>>,
) -> Result<SignedAt, TimestampError> {
    let tsa_chain = tsa_chain.into();
    let token = match TimestampResponse::from_der(response_der)? {
        TimestampResponse::Granted { token } => token,
        TimestampResponse::Rejected { status, failure } => return Err(TimestampError::Rejected { status, failure }),
    };
    let signed = SignedData::from_der(&token)?;
    check_attributes(&signed)?;
    let signer = find_signer(&signed, tsa_chain.certificates())?;
    let key = tsa_chain.key_of(&signer).map_err(TimestampError::Certificate)?;
    let _: SignatureValid = check_signature(&signed.signer, &key)?;
    let info = TstInfo::from_der(signed.content)?;
    check_imprint(&info, message)?;
    let path =
        verify_path(&signer, tsa_chain, ExtendedKeyUsage::TimeStamping, info.gen_time).map_err(TimestampError::Path)?;
    Ok(SignedAt { info, path })
}

/// Verifies a reply to our own request: the nonce, and the policy where one was asked for, besides all that `verify_token` does.
pub fn verify_reply<'a>(
    response_der: &[u8],
    request: &TimestampRequest,
    message: &[u8],
    tsa_chain: impl Into<Chain<'a>>,
) -> Result<SignedAt, TimestampError> {
    let signed_at = verify_token(response_der, message, tsa_chain)?;
    if signed_at.info.imprint != request.imprint {
        return Err(TimestampError::Imprint { expected: request.imprint.clone(), found: signed_at.info.imprint });
    }
    if request.nonce.as_deref().map(integer_content) != signed_at.info.nonce {
        return Err(TimestampError::Nonce);
    }
    if request.policy.as_ref().is_some_and(|asked| *asked != signed_at.policy().to_string()) {
        return Err(TimestampError::Policy { found: signed_at.policy() });
    }
    Ok(signed_at)
}

/// The content bytes of a request's nonce as an INTEGER.
fn integer_content(unsigned: &[u8]) -> Vec<u8> {
    let encoded = asn1::unsigned(unsigned);
    let content = asn1::Reader::new(&encoded).integer().map(<[u8]>::to_vec);
    content.expect("our writer writes INTEGERs that our reader reads")
}

fn check_attributes(signed: &SignedData<'_>) -> Result<(), TimestampError> {
    if signed.signer.content_type != cms::TST_INFO {
        return Err(TimestampError::ContentType);
    }
    let digest = touchmark_keys::digest(signed.signer.digest, signed.content);
    if digest.as_bytes() == signed.signer.message_digest { Ok(()) } else { Err(TimestampError::MessageDigest) }
}

/// The certificate that the SignerInfo names and that the signed attributes identify. Where the trusted root gives the authority's leaf, no
/// other certificate by that name may stand in the token, not even one that nothing would use: other clients read the token's first.
fn find_signer(signed: &SignedData<'_>, tsa_chain: &[Certificate]) -> Result<Certificate, TimestampError> {
    let named = |list: &[Certificate]| -> Vec<Certificate> {
        list.iter().filter(|found| signed.signer.id.names(found)).cloned().collect()
    };
    let embedded = named(&signed.certificates);
    let trusted_leaf = tsa_chain.first().filter(|first| !first.is_ca());
    if let Some(leaf) = trusted_leaf
        && embedded.iter().any(|found| found != leaf)
    {
        return Err(TimestampError::SignerNotTrusted);
    }
    let candidates = [embedded, named(tsa_chain)].concat();
    if candidates.is_empty() {
        return Err(TimestampError::SignerNotFound);
    }
    let signer = candidates.into_iter().find(|found| signed.signer.certificate_id.names(found, trusted_leaf));
    let signer = signer.ok_or(TimestampError::CertificateId)?;
    match trusted_leaf {
        Some(leaf) if *leaf != signer => Err(TimestampError::SignerNotTrusted),
        _ => Ok(signer),
    }
}

fn check_signature(signer_info: &SignerInfo<'_>, key: &PublicKey) -> Result<SignatureValid, TimestampError> {
    signer_info
        .algorithm
        .verify(key, &signer_info.signed_bytes, signer_info.signature)
        .map_err(TimestampError::Signature)
}

fn check_imprint(info: &TstInfo, message: &[u8]) -> Result<(), TimestampError> {
    let expected = touchmark_keys::digest(info.imprint.algorithm(), message);
    if info.imprint == expected {
        Ok(())
    } else {
        Err(TimestampError::Imprint { expected, found: info.imprint.clone() })
    }
}
