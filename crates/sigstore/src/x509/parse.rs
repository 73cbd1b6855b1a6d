// SPDX-License-Identifier: Apache-2.0
//! Taking a certificate apart (RFC 5280 §4.1): one pass over the bytes, into ranges of them.
//!
//! In scope: structure, and the extensions whose meaning every caller relies on. Out of scope: judging them (`path`).

use der::asn1::ObjectIdentifier;

use super::extension::{BasicConstraints, ExtendedKeyUsages, KeyUsage, oid};
use super::{CertificateError, EXTENSIONS_MAX, Extension, Parts};
use crate::asn1::{self, DerError, Element, Reader};

pub(super) fn certificate(der: &[u8]) -> Result<Parts, CertificateError> {
    let outer = asn1::single(der, asn1::SEQUENCE)?;
    let mut fields = outer.reader();
    let tbs = fields.expect(asn1::SEQUENCE)?;
    let algorithm = fields.expect(asn1::SEQUENCE)?;
    let signature = fields.bit_string()?;
    fields.finish()?;

    let mut reader = tbs.reader();
    let version = version(&mut reader)?;
    let serial = reader.clone().expect(asn1::INTEGER)?;
    reader.integer()?;
    if reader.expect(asn1::SEQUENCE)?.raw != algorithm.raw {
        return Err(CertificateError::AlgorithmMismatch);
    }
    let issuer = reader.expect(asn1::SEQUENCE)?;
    let mut validity = reader.enter(asn1::SEQUENCE)?;
    let not_before = asn1::certificate_time(&validity.any()?)?;
    let not_after = asn1::certificate_time(&validity.any()?)?;
    validity.finish()?;
    let subject = reader.expect(asn1::SEQUENCE)?;
    let spki = reader.expect(asn1::SEQUENCE)?;
    reader.optional(asn1::context(1))?;
    reader.optional(asn1::context(2))?;
    let tagged = if version == 3 { reader.optional(asn1::context_constructed(3))? } else { None };
    reader.finish()?;

    let head_end = tagged.map_or(tbs.value_range().end, |tagged| tagged.raw_range().start);
    let extensions = tagged.map(extensions).transpose()?.unwrap_or_default();
    let find = |oid: ObjectIdentifier| {
        let found = extensions.iter().find(|extension| extension.oid == oid)?;
        Some((found.value.clone(), der.get(found.value.clone())?))
    };
    let value = |oid: ObjectIdentifier| find(oid).map(|(_, value)| value);
    let basic_constraints = value(oid::BASIC_CONSTRAINTS).map(BasicConstraints::from_der).transpose();
    let key_usage = value(oid::KEY_USAGE).map(KeyUsage::from_der).transpose();
    let extended_key_usages = value(oid::EXTENDED_KEY_USAGE).map(ExtendedKeyUsages::from_der).transpose();
    let subject_key_id = find(oid::SUBJECT_KEY_ID).map(|(place, value)| {
        asn1::single(value, asn1::OCTET_STRING).map(|inner| place.end - inner.value.len()..place.end)
    });
    Ok(Parts {
        tbs: tbs.raw_range(),
        tbs_head: tbs.value_range().start..head_end,
        algorithm: algorithm.raw_range(),
        signature: signature.value_range(),
        serial: serial.value_range(),
        issuer: issuer.raw_range(),
        subject: subject.raw_range(),
        spki: spki.raw_range(),
        not_before,
        not_after,
        basic_constraints: basic_constraints.map_err(|error| malformed(oid::BASIC_CONSTRAINTS, error))?,
        key_usage: key_usage.map_err(|error| malformed(oid::KEY_USAGE, error))?,
        extended_key_usages: extended_key_usages.map_err(|error| malformed(oid::EXTENDED_KEY_USAGE, error))?,
        subject_key_id: subject_key_id.transpose().map_err(|error| malformed(oid::SUBJECT_KEY_ID, error))?,
        extensions,
    })
}

fn version(tbs: &mut Reader<'_>) -> Result<u32, CertificateError> {
    let Some(tagged) = tbs.optional(asn1::context_constructed(0))? else { return Ok(1) };
    let mut inner = tagged.reader();
    let version = inner.small()?.saturating_add(1);
    inner.finish()?;
    if version > 3 { Err(CertificateError::Version { version }) } else { Ok(version) }
}

fn extensions(tagged: Element<'_>) -> Result<Vec<Extension>, CertificateError> {
    let mut outer = tagged.reader();
    let mut list = outer.enter(asn1::SEQUENCE)?;
    outer.finish()?;
    let mut extensions: Vec<Extension> = Vec::new();
    while !list.is_empty() {
        if extensions.len() == EXTENSIONS_MAX {
            return Err(CertificateError::TooManyExtensions);
        }
        let element = list.expect(asn1::SEQUENCE)?;
        let mut fields = element.reader();
        let oid = fields.object_identifier()?;
        let critical = fields.boolean()?.unwrap_or(false);
        let value = fields.expect(asn1::OCTET_STRING)?;
        fields.finish()?;
        if extensions.iter().any(|earlier| earlier.oid == oid) {
            return Err(CertificateError::DuplicateExtension { oid });
        }
        extensions.push(Extension { oid, critical, value: value.value_range(), raw: element.raw_range() });
    }
    Ok(extensions)
}

pub(super) fn malformed(oid: ObjectIdentifier, error: DerError) -> CertificateError {
    CertificateError::Extension { oid, error }
}
