// SPDX-License-Identifier: Apache-2.0
//! The certificate extensions that this crate reads: RFC 5280 §4.2 and Fulcio's own (1.3.6.1.4.1.57264.1, fulcio docs/oid-info.md).
//!
//! In scope: parsing values. Out of scope: what a path or a policy demands of them (`path`, `policy`), writing them (`issue`).

use der::asn1::ObjectIdentifier;

use super::CertificateError;
use crate::asn1::{self, DerError};
use crate::principal::SubjectAltName;

/// Object identifiers of extensions, key purposes and names.
pub(crate) mod oid {
    use der::asn1::ObjectIdentifier;

    pub(crate) const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
    pub(crate) const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
    pub(crate) const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
    pub(crate) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
    pub(crate) const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
    pub(crate) const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
    pub(crate) const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
    pub(crate) const CT_POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");
    pub(crate) const CT_SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
    pub(crate) const KP_CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
    pub(crate) const KP_TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
    pub(crate) const KP_SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
    /// The content bytes of the two key purposes, as webpki takes them.
    pub(crate) const KP_CODE_SIGNING_DER: &[u8] = KP_CODE_SIGNING.as_bytes();
    pub(crate) const KP_TIME_STAMPING_DER: &[u8] = KP_TIME_STAMPING.as_bytes();
    pub(crate) const KP_PRECERTIFICATE_SIGNING: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.4");
    pub(crate) const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");
    pub(crate) const FULCIO_ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");
    pub(crate) const FULCIO_USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
    pub(crate) const FULCIO_ISSUER_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
}

/// Basic constraints (RFC 5280 §4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    pub ca: bool,
    pub path_length: Option<u32>,
}

impl BasicConstraints {
    pub(crate) fn from_der(value: &[u8]) -> Result<Self, DerError> {
        let mut fields = asn1::single(value, asn1::SEQUENCE)?.reader();
        let ca = fields.boolean()?.unwrap_or(false);
        let path_length = if fields.is_empty() { None } else { Some(fields.small()?) };
        fields.finish()?;
        Ok(Self { ca, path_length })
    }
}

/// Key usage (RFC 5280 §4.2.1.3): the first nine named bits, digitalSignature the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    pub const DIGITAL_SIGNATURE: Self = Self(0x8000);
    pub const CERTIFICATE_SIGN: Self = Self(0x0400);
    pub const CRL_SIGN: Self = Self(0x0200);

    /// Whether every bit of `other` is set here.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn from_der(value: &[u8]) -> Result<Self, DerError> {
        let bits = asn1::single(value, asn1::BIT_STRING)?.value;
        match bits {
            [unused @ 0..=7, first] => Ok(Self(u16::from_be_bytes([masked(*first, *unused), 0]))),
            [unused @ 0..=7, first, second] => Ok(Self(u16::from_be_bytes([*first, masked(*second, *unused)]))),
            _ => Err(DerError::Value { kind: "KeyUsage" }),
        }
    }
}

fn masked(byte: u8, unused: u8) -> u8 {
    byte & (0xff_u8 << unused)
}

/// The key purposes of an extended key usage extension, in order (RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedKeyUsages(Vec<ObjectIdentifier>);

/// Most key purposes in one certificate.
const KEY_PURPOSES_MAX: usize = 32;

impl ExtendedKeyUsages {
    pub fn contains(&self, purpose: ObjectIdentifier) -> bool {
        self.0.contains(&purpose)
    }

    /// Whether this is the one and only purpose.
    pub fn is_only(&self, purpose: ObjectIdentifier) -> bool {
        self.0 == [purpose]
    }

    pub(crate) fn from_der(value: &[u8]) -> Result<Self, DerError> {
        let mut list = asn1::single(value, asn1::SEQUENCE)?.reader();
        let mut purposes = Vec::new();
        while !list.is_empty() {
            if purposes.len() == KEY_PURPOSES_MAX {
                return Err(DerError::Value { kind: "ExtKeyUsageSyntax" });
            }
            purposes.push(list.object_identifier()?);
        }
        if purposes.is_empty() { Err(DerError::Value { kind: "ExtKeyUsageSyntax" }) } else { Ok(Self(purposes)) }
    }
}

/// The one identity of a subject alternative name extension.
pub(crate) fn subject_alt_name(value: &[u8]) -> Result<SubjectAltName, CertificateError> {
    let malformed = |error| CertificateError::Extension { oid: oid::SUBJECT_ALT_NAME, error };
    let mut names = asn1::single(value, asn1::SEQUENCE).map_err(malformed)?.reader();
    let mut found = 0_usize;
    let mut only = None;
    while !names.is_empty() {
        only = Some(names.any().map_err(malformed)?);
        found += 1;
    }
    let Some(name) = only.filter(|_| found == 1) else {
        return Err(CertificateError::SubjectAltNameCount { found });
    };
    const RFC822_NAME: u8 = asn1::context(1);
    const DNS_NAME: u8 = asn1::context(2);
    const URI: u8 = asn1::context(6);
    const OTHER_NAME: u8 = asn1::context_constructed(0);
    match name.tag {
        RFC822_NAME => Ok(SubjectAltName::Email(asn1::ia5_value(name.value).map_err(malformed)?.to_owned())),
        DNS_NAME => Ok(SubjectAltName::Dns(asn1::ia5_value(name.value).map_err(malformed)?.to_owned())),
        URI => Ok(SubjectAltName::Uri(asn1::ia5_value(name.value).map_err(malformed)?.to_owned())),
        OTHER_NAME => {
            let mut fields = name.reader();
            if fields.object_identifier().map_err(malformed)? != oid::FULCIO_USERNAME {
                return Err(CertificateError::SubjectAltNameKind);
            }
            let inner = fields.expect(asn1::context_constructed(0)).map_err(malformed)?;
            fields.finish().map_err(malformed)?;
            Ok(SubjectAltName::Username(utf8_string(inner.value).map_err(malformed)?.to_owned()))
        }
        _ => Err(CertificateError::SubjectAltNameKind),
    }
}

/// The text of a value that is one DER UTF8String.
pub(crate) fn utf8_string(value: &[u8]) -> Result<&str, DerError> {
    asn1::utf8_value(asn1::single(value, asn1::UTF8_STRING)?.value)
}

/// The last arc of an extension under Fulcio's base.
pub(crate) fn fulcio_arc(extension: ObjectIdentifier) -> Option<u32> {
    // All arcs that there are fit into the last byte; a longer one is none of Fulcio's.
    match extension.as_bytes().strip_prefix(oid::FULCIO.as_bytes())? {
        [arc @ 0..=0x7f] => Some(u32::from(*arc)),
        _ => None,
    }
}

/// Whether the value of Fulcio's extension is raw text and no UTF8String: the deprecated .1 to .6.
pub(crate) fn is_raw_arc(arc: u32) -> bool {
    (1..=6).contains(&arc)
}
