// SPDX-License-Identifier: Apache-2.0
//! What a timestamp authority says: TSTInfo (RFC 3161 §2.4.2).
//!
//! In scope: parsing any authority's, writing ours. Out of scope: the signature around it (`cms`, `token`).
//! Invariants: `gen_time` keeps fractions of a second as received; a critical extension that is not understood is refused.

use der::asn1::ObjectIdentifier;
use jiff::Timestamp;
use touchmark_keys::Digest;

use super::request::{self, RequestError};
use super::verify::TimestampError;
use crate::asn1::{self, DerError};

/// The content of a token, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TstInfo {
    pub policy: ObjectIdentifier,
    pub imprint: Digest,
    /// The content bytes of the serial number. Some authorities forget the sign octet, so it may be negative.
    pub serial: Vec<u8>,
    pub gen_time: Timestamp,
    /// The content bytes of the nonce; negative if the client's was.
    pub nonce: Option<Vec<u8>>,
}

impl TstInfo {
    pub(super) fn from_der(der: &[u8]) -> Result<Self, TimestampError> {
        let mut fields = asn1::single(der, asn1::SEQUENCE)?.reader();
        let version = fields.small()?;
        if version != 1 {
            return Err(TimestampError::Version { version });
        }
        let policy = fields.object_identifier()?;
        let imprint = request::read_imprint(&mut fields).map_err(content)?;
        let serial = fields.integer()?.to_vec();
        let gen_time = asn1::generalized_time(fields.expect(asn1::GENERALIZED_TIME)?.value)?;
        fields.optional(asn1::SEQUENCE)?; // Accuracy: no check of ours depends on it.
        fields.boolean()?; // Ordering.
        let nonce = match fields.clone().optional(asn1::INTEGER)? {
            Some(_) => Some(fields.integer()?.to_vec()),
            None => None,
        };
        fields.optional(asn1::context_constructed(0))?; // The authority's name: ESSCertIDv2 binds the certificate.
        if let Some(extensions) = fields.optional(asn1::context_constructed(1))? {
            check_extensions(extensions.reader())?;
        }
        fields.finish()?;
        Ok(Self { policy, imprint, serial, gen_time, nonce })
    }
}

fn check_extensions(mut list: asn1::Reader<'_>) -> Result<(), TimestampError> {
    while !list.is_empty() {
        let mut fields = list.enter(asn1::SEQUENCE)?;
        let oid = fields.object_identifier()?;
        if fields.boolean()?.unwrap_or(false) {
            return Err(TimestampError::CriticalExtension { oid });
        }
        fields.expect(asn1::OCTET_STRING)?;
        fields.finish()?;
    }
    Ok(())
}

/// The same malformation, met in a token.
fn content(error: RequestError) -> TimestampError {
    match error {
        RequestError::Der(error) => TimestampError::Der(error),
        RequestError::WeakHash => TimestampError::ImprintAlgorithm,
        RequestError::DigestLength(error) => TimestampError::ImprintLength(error),
        _ => TimestampError::Der(DerError::Value { kind: "MessageImprint" }),
    }
}

/// The fields that our authority writes.
pub(super) struct Statement<'a> {
    pub(super) policy: ObjectIdentifier,
    pub(super) imprint: &'a Digest,
    pub(super) serial: &'a [u8],
    pub(super) gen_time: Timestamp,
    pub(super) nonce: Option<&'a [u8]>,
    /// The subject of the authority's certificate.
    pub(super) authority: &'a [u8],
}

impl Statement<'_> {
    /// Version 1, accuracy one second, ordering false (left out: DER default).
    pub(super) fn to_der(&self) -> Vec<u8> {
        const ACCURACY_SECONDS: u8 = 1;
        let nonce = self.nonce.map(asn1::unsigned).unwrap_or_default();
        let directory_name = asn1::element(asn1::context_constructed(4), &[self.authority]);
        asn1::sequence(&[
            &asn1::unsigned(&[1]),
            &asn1::object_identifier(self.policy),
            &request::encode_imprint(self.imprint),
            &asn1::unsigned(self.serial),
            &asn1::encode_generalized_time(self.gen_time),
            &asn1::sequence(&[&asn1::unsigned(&[ACCURACY_SECONDS])]),
            &nonce,
            &asn1::element(asn1::context_constructed(0), &[&directory_name]),
        ])
    }
}
