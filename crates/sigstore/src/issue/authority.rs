// SPDX-License-Identifier: Apache-2.0
//! Making the certificates of authorities: roots, intermediates, and the leaf of a timestamp authority (RFC 3161 §2.3).
//!
//! In scope: the four profiles. Out of scope: signing, keeping keys, Fulcio's leaves (`issue`).
//! Invariants: an authority's key usage is certSign and cRLSign and nothing else; an intermediate issues leaves alone (path length 0);
//! the timestamp leaf has timeStamping as its sole and critical purpose.

use der::asn1::ObjectIdentifier;
use jiff::Timestamp;
use touchmark_keys::{PublicKey, Scheme};

use super::IssueError;
use super::encode::{self, Criticality, Fields, extension};
use crate::asn1;
use crate::x509::Certificate;
use crate::x509::extension::oid;

/// The name of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityName {
    pub organization: String,
    pub common_name: String,
}

/// What the certificate is for, and who issues it.
#[derive(Debug, Clone)]
pub enum CaProfile<'a> {
    /// Self-issued, for any purpose.
    Root,
    /// Issues code signing leaves.
    CodeSigningIntermediate { issuer: &'a Certificate },
    /// Issues timestamp authorities.
    TimeStampingIntermediate { issuer: &'a Certificate },
    /// Signs timestamps; no authority itself.
    TimeStampingLeaf { issuer: &'a Certificate },
}

impl<'a> CaProfile<'a> {
    /// Who issues it; none if it issues itself.
    #[must_use]
    pub fn issuer(&self) -> Option<&'a Certificate> {
        match self {
            Self::Root => None,
            Self::CodeSigningIntermediate { issuer }
            | Self::TimeStampingIntermediate { issuer }
            | Self::TimeStampingLeaf { issuer } => Some(issuer),
        }
    }
}

/// A certificate of an authority to be made. `signature_scheme` is the issuer's, or the root's own.
#[derive(Debug, Clone)]
pub struct CaTemplate<'a> {
    pub serial: [u8; 20],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub name: AuthorityName,
    pub public_key: PublicKey,
    pub profile: CaProfile<'a>,
    pub signature_scheme: Scheme,
}

impl CaTemplate<'_> {
    /// The signed part; `issue::assemble` makes the certificate of it.
    pub fn tbs(&self) -> Result<Vec<u8>, IssueError> {
        let subject = self.name.to_der();
        let (issuer, extensions) = match self.profile {
            CaProfile::Root => (None, self.authority(None, None)),
            CaProfile::CodeSigningIntermediate { issuer } => {
                (Some(issuer), self.authority(Some(issuer), Some(oid::KP_CODE_SIGNING)))
            }
            CaProfile::TimeStampingIntermediate { issuer } => {
                (Some(issuer), self.authority(Some(issuer), Some(oid::KP_TIME_STAMPING)))
            }
            CaProfile::TimeStampingLeaf { issuer } => (Some(issuer), self.time_stamping_leaf(issuer)),
        };
        if let Some(issuer) = issuer {
            encode::check_issuer(issuer, self.not_before, self.not_after)?;
        }
        Fields {
            serial: &self.serial,
            scheme: self.signature_scheme,
            issuer: issuer.map_or(&subject, Certificate::subject_der),
            not_before: self.not_before,
            not_after: self.not_after,
            subject: &subject,
            public_key: &self.public_key,
            extensions,
        }
        .to_tbs()
    }

    fn authority(&self, issuer: Option<&Certificate>, purpose: Option<ObjectIdentifier>) -> Vec<Vec<u8>> {
        let mut extensions = authority_extensions(&self.public_key, purpose);
        extensions.extend(issuer.and_then(encode::authority_key_id));
        extensions
    }

    fn time_stamping_leaf(&self, issuer: &Certificate) -> Vec<Vec<u8>> {
        let mut extensions = vec![
            encode::key_usage(encode::KEY_USAGE_DIGITAL_SIGNATURE),
            encode::extended_key_usage(oid::KP_TIME_STAMPING, Criticality::Critical),
            encode::subject_key_id(&self.public_key),
        ];
        extensions.extend(encode::authority_key_id(issuer));
        extensions
    }
}

/// The extensions of an intermediate that issues code signing leaves, but for those that its issuer knows.
pub(super) fn intermediate_extensions(key: &PublicKey) -> Vec<Vec<u8>> {
    authority_extensions(key, Some(oid::KP_CODE_SIGNING))
}

/// An intermediate has a purpose and path length 0; a root sets no limit of its own.
fn authority_extensions(key: &PublicKey, purpose: Option<ObjectIdentifier>) -> Vec<Vec<u8>> {
    let path_length = if purpose.is_some() { asn1::unsigned(&[0]) } else { Vec::new() };
    let mut extensions = vec![encode::key_usage(encode::KEY_USAGE_AUTHORITY)];
    extensions.extend(purpose.map(|purpose| encode::extended_key_usage(purpose, Criticality::Plain)));
    let constraints = asn1::sequence(&[&[asn1::BOOLEAN, 1, 0xff], &path_length]);
    extensions.push(extension(oid::BASIC_CONSTRAINTS, Criticality::Critical, &constraints));
    extensions.push(encode::subject_key_id(key));
    extensions
}

const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

impl AuthorityName {
    /// Reads a name of one O and one CN, in either order and nothing else.
    pub fn from_der(name: &[u8]) -> Option<Self> {
        let mut parts = asn1::single(name, asn1::SEQUENCE).ok()?.reader();
        let (mut organization, mut common_name) = (None, None);
        while !parts.is_empty() {
            let mut attributes = parts.enter(asn1::SET).ok()?;
            let mut attribute = attributes.enter(asn1::SEQUENCE).ok()?;
            attributes.finish().ok()?;
            let place = match attribute.object_identifier().ok()? {
                ORGANIZATION => &mut organization,
                COMMON_NAME => &mut common_name,
                _ => return None,
            };
            let value = attribute.any().ok()?;
            attribute.finish().ok()?;
            if place.is_some() || !matches!(value.tag, asn1::UTF8_STRING | asn1::PRINTABLE_STRING) {
                return None;
            }
            *place = Some(asn1::utf8_value(value.value).ok()?.to_owned());
        }
        Some(Self { organization: organization?, common_name: common_name? })
    }

    /// O, then CN.
    pub(super) fn to_der(&self) -> Vec<u8> {
        let attribute = |oid, text: &str| {
            let value = asn1::element(
                if is_printable(text) { asn1::PRINTABLE_STRING } else { asn1::UTF8_STRING },
                &[text.as_bytes()],
            );
            asn1::set_of(vec![asn1::sequence(&[&asn1::object_identifier(oid), &value])])
        };
        asn1::sequence(&[&attribute(ORGANIZATION, &self.organization), &attribute(COMMON_NAME, &self.common_name)])
    }
}

/// The alphabet of PrintableString (X.680 §41.4).
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte))
}
