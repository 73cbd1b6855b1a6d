// SPDX-License-Identifier: Apache-2.0
//! Signature and digest algorithms as X.509 and CMS name them (RFC 4055, 5754, 5758, 8410, 9881, 9882).
//!
//! In scope: the algorithms that certificates, requests and timestamps of a Sigstore may be signed with. Out of scope: SHA-1, DSA,
//! RSA-PSS with another mask or another salt length than the hash gives: never accepted.
//! Invariant: a signature is verified with the hash that its own algorithm identifier names and the key that the certificate holds.

use der::asn1::ObjectIdentifier;
use touchmark_keys::{HashAlgorithm, PublicKey, Scheme, SchemeFamily, SignatureError, SignatureValid};

use crate::asn1::{self, Reader};

const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
pub(crate) const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// How a certificate, request or timestamp is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    Ecdsa(HashAlgorithm),
    RsaPkcs1(HashAlgorithm),
    /// MGF1 over the same hash, and a salt as long as the digest.
    RsaPss(HashAlgorithm),
    Ed25519,
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

impl SignatureAlgorithm {
    /// The algorithm of an AlgorithmIdentifier, if it is one of ours and its parameters are as its RFC demands.
    pub(crate) fn from_der(identifier: &[u8]) -> Option<Self> {
        let (oid, parameters) = identifier_parts(identifier)?;
        let absent = parameters.is_none();
        let null_or_absent = absent || parameters == Some(&[asn1::NULL, 0][..]);
        match oid {
            ECDSA_SHA256 if absent => Some(Self::Ecdsa(HashAlgorithm::Sha256)),
            ECDSA_SHA384 if absent => Some(Self::Ecdsa(HashAlgorithm::Sha384)),
            ECDSA_SHA512 if absent => Some(Self::Ecdsa(HashAlgorithm::Sha512)),
            ED25519 if absent => Some(Self::Ed25519),
            ML_DSA_44 if absent => Some(Self::MlDsa44),
            ML_DSA_65 if absent => Some(Self::MlDsa65),
            ML_DSA_87 if absent => Some(Self::MlDsa87),
            RSASSA_PSS => pss_hash(parameters?).map(Self::RsaPss),
            RSA_SHA256 if null_or_absent => Some(Self::RsaPkcs1(HashAlgorithm::Sha256)),
            RSA_SHA384 if null_or_absent => Some(Self::RsaPkcs1(HashAlgorithm::Sha384)),
            RSA_SHA512 if null_or_absent => Some(Self::RsaPkcs1(HashAlgorithm::Sha512)),
            _ => None,
        }
    }

    /// The algorithm of a CMS SignerInfo, where RSA signers (and a few ECDSA ones) name the key alone and the hash apart.
    pub(crate) fn from_cms(identifier: &[u8], digest: HashAlgorithm) -> Option<Self> {
        let (oid, _) = identifier_parts(identifier)?;
        match oid {
            RSA_ENCRYPTION => Some(Self::RsaPkcs1(digest)),
            EC_PUBLIC_KEY => Some(Self::Ecdsa(digest)),
            _ => Self::from_der(identifier),
        }
    }

    /// The algorithm of one of our signing schemes; none for Ed25519ph, which X.509 does not know.
    pub fn of_scheme(scheme: Scheme) -> Option<Self> {
        match scheme.family() {
            SchemeFamily::Ecdsa => scheme.hash().map(Self::Ecdsa),
            SchemeFamily::RsaPkcs1 => scheme.hash().map(Self::RsaPkcs1),
            SchemeFamily::RsaPss => scheme.hash().map(Self::RsaPss),
            SchemeFamily::Ed25519 => Some(Self::Ed25519),
            SchemeFamily::Ed25519ph => None,
            SchemeFamily::MlDsa => match scheme {
                Scheme::MlDsa44 => Some(Self::MlDsa44),
                Scheme::MlDsa65 => Some(Self::MlDsa65),
                Scheme::MlDsa87 => Some(Self::MlDsa87),
                _ => None,
            },
        }
    }

    /// The AlgorithmIdentifier: no parameters for ECDSA, Ed25519 and ML-DSA, NULL for RSA PKCS#1 v1.5.
    pub(crate) fn to_der(self) -> Vec<u8> {
        match self {
            Self::Ecdsa(HashAlgorithm::Sha256) => asn1::sequence(&[&asn1::object_identifier(ECDSA_SHA256)]),
            Self::Ecdsa(HashAlgorithm::Sha384) => asn1::sequence(&[&asn1::object_identifier(ECDSA_SHA384)]),
            Self::Ecdsa(HashAlgorithm::Sha512) => asn1::sequence(&[&asn1::object_identifier(ECDSA_SHA512)]),
            Self::Ed25519 => asn1::sequence(&[&asn1::object_identifier(ED25519)]),
            Self::MlDsa44 => asn1::sequence(&[&asn1::object_identifier(ML_DSA_44)]),
            Self::MlDsa65 => asn1::sequence(&[&asn1::object_identifier(ML_DSA_65)]),
            Self::MlDsa87 => asn1::sequence(&[&asn1::object_identifier(ML_DSA_87)]),
            Self::RsaPss(hash) => asn1::sequence(&[&asn1::object_identifier(RSASSA_PSS), &pss_parameters(hash)]),
            Self::RsaPkcs1(HashAlgorithm::Sha256) => with_null(RSA_SHA256),
            Self::RsaPkcs1(HashAlgorithm::Sha384) => with_null(RSA_SHA384),
            Self::RsaPkcs1(HashAlgorithm::Sha512) => with_null(RSA_SHA512),
        }
    }

    /// The hash that is signed; none for pure Ed25519 and ML-DSA.
    pub fn hash(self) -> Option<HashAlgorithm> {
        match self {
            Self::Ecdsa(hash) | Self::RsaPkcs1(hash) | Self::RsaPss(hash) => Some(hash),
            Self::Ed25519 | Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => None,
        }
    }

    pub(crate) fn verify(
        self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureValid, SignatureError> {
        match self {
            Self::Ecdsa(hash) => key.verify_ecdsa(hash, message, signature),
            Self::RsaPkcs1(hash) => key.verify_rsa_pkcs1(hash, message, signature),
            Self::RsaPss(hash) => key.verify_rsa_pss(hash, message, signature),
            Self::Ed25519 => key.verify(Scheme::Ed25519, message, signature),
            Self::MlDsa44 => key.verify(Scheme::MlDsa44, message, signature),
            Self::MlDsa65 => key.verify(Scheme::MlDsa65, message, signature),
            Self::MlDsa87 => key.verify(Scheme::MlDsa87, message, signature),
        }
    }
}

/// The hash that an AlgorithmIdentifier names, parameters NULL or absent; none if it is not SHA-256, SHA-384 or SHA-512.
pub(crate) fn digest_algorithm(identifier: &[u8]) -> Option<HashAlgorithm> {
    let (oid, parameters) = identifier_parts(identifier)?;
    if parameters.is_some_and(|parameters| parameters != [asn1::NULL, 0]) {
        return None;
    }
    match oid {
        SHA256 => Some(HashAlgorithm::Sha256),
        SHA384 => Some(HashAlgorithm::Sha384),
        SHA512 => Some(HashAlgorithm::Sha512),
        _ => None,
    }
}

/// The digest AlgorithmIdentifier without parameters, as CMS demands (RFC 5754 §2).
pub(crate) fn digest_identifier(hash: HashAlgorithm) -> Vec<u8> {
    asn1::sequence(&[&asn1::object_identifier(digest_oid(hash))])
}

/// The digest AlgorithmIdentifier with NULL parameters, as message imprints carry it.
pub(crate) fn digest_identifier_with_null(hash: HashAlgorithm) -> Vec<u8> {
    with_null(digest_oid(hash))
}

/// The hash of RSASSA-PSS parameters (RFC 4055 §3.1) that name one of ours, MGF1 over the same and a salt of its length. What is
/// absent means SHA-1, which is refused; a trailer may be named if it is the default.
fn pss_hash(parameters: &[u8]) -> Option<HashAlgorithm> {
    let mut fields = asn1::single(parameters, asn1::SEQUENCE).ok()?.reader();
    let hash = digest_algorithm(fields.expect(asn1::context_constructed(0)).ok()?.value)?;
    let (mask, mask_parameters) = identifier_parts(fields.expect(asn1::context_constructed(1)).ok()?.value)?;
    let mut salt = fields.enter(asn1::context_constructed(2)).ok()?;
    let salt_bytes = usize::try_from(salt.small().ok()?).ok()?;
    salt.finish().ok()?;
    if let Some(trailer) = fields.optional(asn1::context_constructed(3)).ok()? {
        let mut trailer = trailer.reader();
        let is_default = trailer.small() == Ok(1) && trailer.is_empty();
        is_default.then_some(())?;
    }
    fields.finish().ok()?;
    let same_hash = mask == MGF1 && digest_algorithm(mask_parameters?) == Some(hash);
    (same_hash && salt_bytes == hash.output_bytes()).then_some(hash)
}

fn pss_parameters(hash: HashAlgorithm) -> Vec<u8> {
    let digest = digest_identifier_with_null(hash);
    let mask = asn1::sequence(&[&asn1::object_identifier(MGF1), &digest]);
    let salt = asn1::unsigned(&[u8::try_from(hash.output_bytes()).expect("a digest has at most 64 bytes")]);
    asn1::sequence(&[
        &asn1::element(asn1::context_constructed(0), &[&digest]),
        &asn1::element(asn1::context_constructed(1), &[&mask]),
        &asn1::element(asn1::context_constructed(2), &[&salt]),
    ])
}

/// The object identifier and the raw parameters of an AlgorithmIdentifier.
pub(crate) fn identifier_parts(identifier: &[u8]) -> Option<(ObjectIdentifier, Option<&[u8]>)> {
    let mut fields: Reader<'_> = asn1::single(identifier, asn1::SEQUENCE).ok()?.reader();
    let oid = fields.object_identifier().ok()?;
    if fields.is_empty() {
        return Some((oid, None));
    }
    let parameters = fields.any().ok()?.raw;
    fields.finish().ok()?;
    Some((oid, Some(parameters)))
}

fn digest_oid(hash: HashAlgorithm) -> ObjectIdentifier {
    match hash {
        HashAlgorithm::Sha256 => SHA256,
        HashAlgorithm::Sha384 => SHA384,
        HashAlgorithm::Sha512 => SHA512,
    }
}

fn with_null(oid: ObjectIdentifier) -> Vec<u8> {
    asn1::sequence(&[&asn1::object_identifier(oid), &asn1::null()])
}

#[cfg(test)]
mod tests;
