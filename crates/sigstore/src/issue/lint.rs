// SPDX-License-Identifier: Apache-2.0
//! The last look before a signature: a TBSCertificate read again by another decoder than the encoder's own, against the profile and against what
//! was asked for.
//!
//! Fulcio docs/certificate-specification.md, RFC 5280 §4.1 and §4.2, RFC 6962 §3.1 and §3.3.
//!
//! In scope: leaves, as precertificate and as certificate. Out of scope: authorities (`authority`), signing (the caller).
//! Invariant: a [`LintedTbs`] is the only thing that an authority signs for a leaf, and it has exactly the fields and extensions of its template: each
//! once, in the order of the profile, with the criticality of the profile, and none besides.

use std::ops::Deref;

use der::asn1::{ObjectIdentifier, OctetStringRef, Utf8StringRef};
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName as GeneralNames;
use x509_cert::ext::pkix::name::GeneralName;

use super::LeafTemplate;
use crate::asn1;
use crate::principal::SubjectAltName;
use crate::x509::algorithm::SignatureAlgorithm;
use crate::x509::extension::{is_raw_arc, oid};

/// The bytes of a TBSCertificate that were found to be what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintedTbs(Vec<u8>);

impl Deref for LintedTbs {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// What is wrong with a TBSCertificate that was made here. Always our fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LintError {
    #[error("it is not DER of a certificate")]
    NotDer,
    #[error("its {0} is not the template's")]
    Field(&'static str),
    #[error("extension {0} is not what the profile and the template say")]
    Extension(ObjectIdentifier),
    #[error("extension {0} is missing, twice or not in its place")]
    Order(ObjectIdentifier),
    #[error("extension {0} does not belong into a leaf")]
    Foreign(ObjectIdentifier),
}

/// Which of the two certificates of one leaf it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Precertificate,
    Certificate,
}

pub(super) fn lint(template: &LeafTemplate<'_>, tbs: Vec<u8>, stage: Stage) -> Result<LintedTbs, LintError> {
    let read = TbsCertificate::from_der(&tbs).map_err(|_| LintError::NotDer)?;
    fields(template, &read)?;
    let extensions = read.extensions().map_or(&[][..], |extensions| extensions.as_slice());
    let expected = expected(template, stage);
    for (position, expect) in expected.iter().enumerate() {
        let Some(found) = extensions.get(position).filter(|found| found.extn_id == expect.oid) else {
            return Err(LintError::Order(expect.oid));
        };
        if found.critical != expect.critical || !expect.value.fits(found) {
            return Err(LintError::Extension(expect.oid));
        }
    }
    match extensions.get(expected.len()) {
        None => Ok(LintedTbs(tbs)),
        Some(more) => Err(LintError::Foreign(more.extn_id)),
    }
}

fn fields(template: &LeafTemplate<'_>, read: &TbsCertificate) -> Result<(), LintError> {
    let der = |value: der::Result<Vec<u8>>| value.map_err(|_| LintError::NotDer);
    let mut serial = template.serial;
    serial[0] &= 0x7f;
    let digits = |bytes: &[u8]| bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
    let algorithm = SignatureAlgorithm::of_scheme(template.signature_scheme).map(|algorithm| algorithm.to_der());
    let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).ok();
    let at = |time: Timestamp| Some(time.as_second());
    let lifetime = template.not_after.duration_since(template.not_before);
    let checks = [
        ("version", read.version() == Version::V3),
        ("serial number", digits(read.serial_number().as_bytes()) == digits(&serial)),
        ("signature algorithm", Some(der(read.signature().to_der())?) == algorithm),
        ("issuer", der(read.issuer().to_der())? == template.issuer.subject_der()),
        ("beginning", seconds(read.validity().not_before) == at(template.not_before)),
        ("end", seconds(read.validity().not_after) == at(template.not_after)),
        (
            "lifetime",
            !lifetime.is_negative() && !lifetime.is_zero() && template.not_after <= template.issuer.not_after(),
        ),
        ("subject", read.subject().is_empty()),
        ("public key", der(read.subject_public_key_info().to_der())? == template.public_key.spki_der()),
        ("unique identifier", read.issuer_unique_id().is_none() && read.subject_unique_id().is_none()),
    ];
    match checks.into_iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((field, _)) => Err(LintError::Field(field)),
    }
}

struct Expected<'a> {
    oid: ObjectIdentifier,
    critical: bool,
    value: Value<'a>,
}

enum Value<'a> {
    Exactly(Vec<u8>),
    /// An OCTET STRING of 20 bytes: RFC 7093 §2.
    KeyIdentifier,
    Name(&'a SubjectAltName),
    /// Raw text, in the deprecated extensions.
    Raw(&'a str),
    Utf8(&'a str),
    /// An OCTET STRING that is not empty; what is in it was verified before.
    SctList,
}

/// The extensions of a leaf in their order.
fn expected<'a>(template: &'a LeafTemplate<'_>, stage: Stage) -> Vec<Expected<'a>> {
    let plain = |oid, value| Expected { oid, critical: false, value };
    let critical = |oid, value| Expected { oid, critical: true, value };
    // BIT STRING { digitalSignature }, SEQUENCE { id-kp-codeSigning }: RFC 5280 §4.2.1.3 and §4.2.1.12.
    let digital_signature = vec![0x03, 0x02, 0x07, 0x80];
    let code_signing = vec![0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
    let mut expected = vec![
        critical(oid::KEY_USAGE, Value::Exactly(digital_signature)),
        plain(oid::EXTENDED_KEY_USAGE, Value::Exactly(code_signing)),
        plain(oid::SUBJECT_KEY_ID, Value::KeyIdentifier),
    ];
    expected.extend(template.issuer.subject_key_id().map(|identifier| {
        let value = asn1::sequence(&[&asn1::element(asn1::context(0), &[identifier])]);
        plain(oid::AUTHORITY_KEY_ID, Value::Exactly(value))
    }));
    let principal = template.principal;
    expected.push(critical(oid::SUBJECT_ALT_NAME, Value::Name(&principal.san)));
    let own = [(1, &principal.issuer), (8, &principal.issuer), (24, &principal.subject)];
    let mapped = principal.extensions.iter().map(|(arc, text)| (*arc, text));
    let mut texts: Vec<_> = own.into_iter().chain(mapped).filter(|(_, text)| !text.is_empty()).collect();
    texts.sort_by_key(|(arc, _)| *arc);
    expected.extend(texts.into_iter().filter_map(|(arc, text)| {
        let value = if is_raw_arc(arc) { Value::Raw(text) } else { Value::Utf8(text) };
        Some(plain(oid::FULCIO.push_arc(arc).ok()?, value))
    }));
    expected.push(match stage {
        Stage::Precertificate => critical(oid::CT_POISON, Value::Exactly(asn1::null())),
        Stage::Certificate => plain(oid::CT_SCT_LIST, Value::SctList),
    });
    expected
}

impl Value<'_> {
    fn fits(&self, found: &Extension) -> bool {
        let value = found.extn_value.as_bytes();
        match self {
            Self::Exactly(bytes) => value == bytes.as_slice(),
            Self::KeyIdentifier => <&OctetStringRef>::from_der(value).is_ok_and(|inner| inner.as_bytes().len() == 20),
            Self::Name(name) => GeneralNames::from_der(value).is_ok_and(|found| names(&found.0, name)),
            Self::Raw(text) => value == text.as_bytes(),
            Self::Utf8(text) => Utf8StringRef::from_der(value).is_ok_and(|found| found.as_str() == *text),
            Self::SctList => <&OctetStringRef>::from_der(value).is_ok_and(|inner| !inner.as_bytes().is_empty()),
        }
    }
}

/// Exactly one name, of the right kind, letter for letter.
fn names(found: &[GeneralName], expected: &SubjectAltName) -> bool {
    match (found, expected) {
        ([GeneralName::Rfc822Name(found)], SubjectAltName::Email(text)) => found.as_str() == text,
        ([GeneralName::UniformResourceIdentifier(found)], SubjectAltName::Uri(text)) => found.as_str() == text,
        ([GeneralName::DnsName(found)], SubjectAltName::Dns(text)) => found.as_str() == text,
        ([GeneralName::OtherName(found)], SubjectAltName::Username(text)) => {
            let value = found.value.decode_as::<Utf8StringRef<'_>>();
            found.type_id == oid::FULCIO_USERNAME && value.is_ok_and(|found| found.as_str() == text)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;

    use super::*;
    use crate::issue::authority::CaProfile;
    use crate::workshop::{Holder, Key, alice, below, leaf_template, root};

    fn intermediate() -> Holder {
        let root = root(KeyType::EcdsaP384, "root");
        below(&root, KeyType::EcdsaP256, "intermediate", |issuer| CaProfile::CodeSigningIntermediate { issuer })
    }

    #[test]
    fn every_kind_of_name_and_every_extension_is_read_back() {
        let (issuer, key) = (intermediate(), Key::new(KeyType::EcdsaP256));
        let text = |text: &str| text.to_owned();
        for san in [
            SubjectAltName::Email(text("alice@example.com")),
            SubjectAltName::Uri(text("https://example.com/a%20b")),
            SubjectAltName::Uri(text("spiffe://example.org/a")),
            SubjectAltName::Username(text("alice!example.com")),
        ] {
            let mut principal = alice();
            principal.san = san;
            principal.extensions = (2..=6).chain(9..=23).map(|arc| (arc, format!("value {arc} \u{fc}"))).collect();
            let template = leaf_template(&issuer, &key, &principal);
            let tbs = template.precertificate_tbs().unwrap();
            assert_eq!(lint(&template, tbs.to_vec(), Stage::Precertificate), Ok(tbs.clone()));
            // The poison is not the list of SCTs.
            let wrong = lint(&template, tbs.to_vec(), Stage::Certificate);
            assert_eq!(wrong, Err(LintError::Order(oid::CT_SCT_LIST)));
        }
    }

    /// Templates of the workshop each have a serial number of their own.
    fn with_serial(serial: [u8; 20], template: LeafTemplate<'_>) -> LeafTemplate<'_> {
        LeafTemplate { serial, ..template }
    }

    #[test]
    fn what_differs_from_the_template_is_named() {
        let (issuer, key) = (intermediate(), Key::new(KeyType::EcdsaP256));
        let other_issuer = intermediate();
        let other_key = Key::new(KeyType::EcdsaP256);
        let principal = alice();
        let template = leaf_template(&issuer, &key, &principal);
        let tbs = template.precertificate_tbs().unwrap().to_vec();
        let against = |template: &LeafTemplate<'_>| lint(template, tbs.clone(), Stage::Precertificate).unwrap_err();

        let mut changed = template.clone();
        changed.serial[19] ^= 1;
        assert_eq!(against(&changed), LintError::Field("serial number"));
        let mut changed = template.clone();
        changed.not_after -= jiff::SignedDuration::from_secs(1);
        assert_eq!(against(&changed), LintError::Field("end"));
        let mut changed = template.clone();
        changed.not_before -= jiff::SignedDuration::from_secs(1);
        assert_eq!(against(&changed), LintError::Field("beginning"));
        let mut changed = template.clone();
        changed.public_key = other_key.public();
        assert_eq!(against(&changed), LintError::Field("public key"));
        let mut changed = template.clone();
        changed.issuer = &other_issuer.certificate;
        assert_eq!(against(&changed), LintError::Extension(oid::AUTHORITY_KEY_ID));

        let mut other = alice();
        other.san = SubjectAltName::Email("eve@example.com".to_owned());
        assert_eq!(
            against(&with_serial(template.serial, leaf_template(&issuer, &key, &other))),
            LintError::Extension(oid::SUBJECT_ALT_NAME)
        );
        other.san = SubjectAltName::Uri(principal.san.value().to_owned());
        assert_eq!(
            against(&with_serial(template.serial, leaf_template(&issuer, &key, &other))),
            LintError::Extension(oid::SUBJECT_ALT_NAME)
        );
        let mut other = alice();
        other.issuer = "https://other.example".to_owned();
        assert_eq!(
            against(&with_serial(template.serial, leaf_template(&issuer, &key, &other))),
            LintError::Extension(oid::FULCIO_ISSUER)
        );
        let mut other = alice();
        other.extensions.push((20, "push".to_owned()));
        let arc = oid::FULCIO.push_arc(20).unwrap();
        assert_eq!(against(&with_serial(template.serial, leaf_template(&issuer, &key, &other))), LintError::Order(arc));
        let with = with_serial(template.serial, leaf_template(&issuer, &key, &other)).precertificate_tbs().unwrap();
        assert_eq!(
            lint(&template, with.to_vec(), Stage::Precertificate),
            Err(LintError::Order(oid::FULCIO.push_arc(24).unwrap()))
        );
    }

    #[test]
    fn no_changed_byte_passes() {
        let (issuer, key) = (intermediate(), Key::new(KeyType::EcdsaP256));
        let mut principal = alice();
        principal.extensions = vec![(20, "push".to_owned())];
        let template = leaf_template(&issuer, &key, &principal);
        let tbs = template.precertificate_tbs().unwrap().to_vec();
        // The identifier of the key is a hash by a method of the encoder's choice: its 20 bytes alone may be others.
        let identifier = touchmark_keys::sha256(key.public().raw());
        let start = tbs.windows(20).position(|window| *window == identifier[..20]).unwrap();
        for position in (0..tbs.len()).filter(|position| !(start..start + 20).contains(position)) {
            for bit in 0..8 {
                let mut changed = tbs.clone();
                changed[position] ^= 1 << bit;
                assert!(lint(&template, changed, Stage::Precertificate).is_err(), "byte {position}, bit {bit}");
            }
        }
    }
}
