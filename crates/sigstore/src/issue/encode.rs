// SPDX-License-Identifier: Apache-2.0
//! The fields and extensions that leaf and authority certificates share, as DER.
//!
//! In scope: encoding. Out of scope: which certificate carries what (`issue`, `issue::authority`).

use der::asn1::ObjectIdentifier;
use jiff::Timestamp;
use touchmark_keys::{PublicKey, Scheme};

use super::IssueError;
use crate::asn1;
use crate::x509::Certificate;
use crate::x509::algorithm::SignatureAlgorithm;
use crate::x509::extension::oid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Criticality {
    Critical,
    Plain,
}

/// The fields of a TBSCertificate (RFC 5280 §4.1), version 3.
pub(super) struct Fields<'a> {
    pub(super) serial: &'a [u8; 20],
    pub(super) scheme: Scheme,
    pub(super) issuer: &'a [u8],
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) subject: &'a [u8],
    pub(super) public_key: &'a PublicKey,
    pub(super) extensions: Vec<Vec<u8>>,
}

impl Fields<'_> {
    pub(super) fn to_tbs(&self) -> Result<Vec<u8>, IssueError> {
        if self.not_after <= self.not_before {
            return Err(IssueError::Validity { not_before: self.not_before, not_after: self.not_after });
        }
        let algorithm = SignatureAlgorithm::of_scheme(self.scheme).ok_or(IssueError::Scheme(self.scheme))?;
        let version = asn1::element(asn1::context_constructed(0), &[&asn1::unsigned(&[2])]);
        let validity = asn1::sequence(&[
            &asn1::encode_certificate_time(self.not_before),
            &asn1::encode_certificate_time(self.not_after),
        ]);
        let parts: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let extensions = asn1::element(asn1::context_constructed(3), &[&asn1::sequence(&parts)]);
        Ok(asn1::sequence(&[
            &version,
            &serial(self.serial)?,
            &algorithm.to_der(),
            self.issuer,
            &validity,
            self.subject,
            self.public_key.spki_der(),
            &extensions,
        ]))
    }
}

/// A positive INTEGER of at most 20 bytes (RFC 5280 §4.1.2.2).
fn serial(bytes: &[u8; 20]) -> Result<Vec<u8>, IssueError> {
    let mut bytes = *bytes;
    bytes[0] &= 0x7f;
    if bytes == [0; 20] { Err(IssueError::ZeroSerial) } else { Ok(asn1::unsigned(&bytes)) }
}

/// What every issued certificate owes to its issuer: it is an authority, and it is valid for the whole time.
pub(super) fn check_issuer(
    issuer: &Certificate,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<(), IssueError> {
    if !issuer.is_ca() {
        return Err(IssueError::IssuerIsNoAuthority);
    }
    if not_after > issuer.not_after() {
        return Err(IssueError::OutlivesIssuer { not_after, issuer: issuer.not_after() });
    }
    if not_before < issuer.not_before() {
        return Err(IssueError::PrecedesIssuer { not_before, issuer: issuer.not_before() });
    }
    Ok(())
}

pub(super) fn extension(oid: ObjectIdentifier, criticality: Criticality, value: &[u8]) -> Vec<u8> {
    let oid = asn1::object_identifier(oid);
    let value = asn1::octet_string(value);
    match criticality {
        Criticality::Critical => asn1::sequence(&[&oid, &[asn1::BOOLEAN, 1, 0xff], &value]),
        Criticality::Plain => asn1::sequence(&[&oid, &value]),
    }
}

/// The content of the BIT STRING: unused bits, then the bits (trailing zeros cut, X.690 §11.2.2).
pub(super) const KEY_USAGE_DIGITAL_SIGNATURE: [u8; 2] = [7, 0x80];
pub(super) const KEY_USAGE_AUTHORITY: [u8; 2] = [1, 0x06];

pub(super) fn key_usage(bits: [u8; 2]) -> Vec<u8> {
    extension(oid::KEY_USAGE, Criticality::Critical, &asn1::element(asn1::BIT_STRING, &[&bits]))
}

pub(super) fn extended_key_usage(purpose: ObjectIdentifier, criticality: Criticality) -> Vec<u8> {
    extension(oid::EXTENDED_KEY_USAGE, criticality, &asn1::sequence(&[&asn1::object_identifier(purpose)]))
}

/// The key identifier of RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the key's bits.
pub(super) fn subject_key_id(key: &PublicKey) -> Vec<u8> {
    let hash = touchmark_keys::sha256(key.raw());
    let (identifier, _) = hash.split_at(20);
    extension(oid::SUBJECT_KEY_ID, Criticality::Plain, &asn1::octet_string(identifier))
}

/// The issuer's key identifier, if it has one.
pub(super) fn authority_key_id(issuer: &Certificate) -> Option<Vec<u8>> {
    let identifier = asn1::element(asn1::context(0), &[issuer.subject_key_id()?]);
    Some(extension(oid::AUTHORITY_KEY_ID, Criticality::Plain, &asn1::sequence(&[&identifier])))
}
