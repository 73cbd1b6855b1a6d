// SPDX-License-Identifier: Apache-2.0
//! Making certificates: Fulcio's leaf profile (fulcio docs/certificate-specification.md), as precertificate and as certificate.
//!
//! In scope: the bytes to be signed, and the signed certificate around them. Out of scope: signing (the caller, through `signers`),
//! choosing serial and validity, authorities (`authority`), SCTs (`ct`).
//! Invariants: a precertificate and its certificate differ in the poison and the SCT list alone, byte for byte; there is exactly one
//! subject alternative name and it is critical; a certificate never outlives its issuer.

pub mod authority;
mod encode;
mod lint;
pub mod request;

use jiff::Timestamp;
use touchmark_keys::{PublicKey, Scheme};

use crate::asn1;
use crate::ct::{self, Sct};
use crate::principal::{Principal, SubjectAltName};
use crate::x509::Certificate;
use crate::x509::algorithm::SignatureAlgorithm;
use crate::x509::extension::{is_raw_arc, oid};

use self::encode::{Criticality, Fields, extension};
use self::lint::{Stage, lint};

pub use self::lint::{LintError, LintedTbs};

/// Why a template makes no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    #[error("the serial number is zero")]
    ZeroSerial,
    #[error("the certificate would end at {not_after}, not after its beginning at {not_before}")]
    Validity { not_before: Timestamp, not_after: Timestamp },
    #[error("the certificate would end at {not_after}, after its issuer at {issuer}")]
    OutlivesIssuer { not_after: Timestamp, issuer: Timestamp },
    #[error("the certificate would begin at {not_before}, before its issuer at {issuer}")]
    PrecedesIssuer { not_before: Timestamp, issuer: Timestamp },
    #[error("the issuer is not a certificate authority")]
    IssuerIsNoAuthority,
    #[error("the scheme {0:?} does not sign certificates")]
    Scheme(Scheme),
    #[error("the {kind} identity is empty")]
    EmptySubjectAltName { kind: &'static str },
    #[error("the {kind} identity has characters that an IA5String cannot hold")]
    NotIa5 { kind: &'static str },
    #[error("the {kind} identity has a control character")]
    ControlCharacter { kind: &'static str },
    #[error("the extension 1.3.6.1.4.1.57264.1.{arc} is not one that a principal may set, or stands twice")]
    ExtensionArc { arc: u32 },
    #[error("a certificate needs at least one SCT")]
    NoSct,
    #[error("the SCTs do not fit in a list of 64 KiB")]
    SctsTooLong,
    #[error("what was made is not what was asked for: {0}")]
    Lint(#[from] LintError),
}

/// A leaf certificate to be made. The top bit of the serial is cleared, so that it is positive.
#[derive(Debug, Clone)]
pub struct LeafTemplate<'a> {
    pub serial: [u8; 20],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub public_key: PublicKey,
    pub principal: &'a Principal,
    pub issuer: &'a Certificate,
    pub signature_scheme: Scheme,
}

impl LeafTemplate<'_> {
    /// The signed part of the precertificate: with the poison (RFC 6962 §3.1).
    pub fn precertificate_tbs(&self) -> Result<LintedTbs, IssueError> {
        let tbs = self.tbs(Some(extension(oid::CT_POISON, Criticality::Critical, &asn1::null())))?;
        Ok(lint(self, tbs, Stage::Precertificate)?)
    }

    /// What the CT log hashes: neither poison nor SCT list.
    pub fn ct_tbs(&self) -> Result<Vec<u8>, IssueError> {
        self.tbs(None)
    }

    /// The signed part of the certificate: with the SCTs in the poison's place.
    pub fn certificate_tbs(&self, scts: &[Sct]) -> Result<LintedTbs, IssueError> {
        if scts.is_empty() {
            return Err(IssueError::NoSct);
        }
        if !ct::fit_in_a_list(scts) {
            return Err(IssueError::SctsTooLong);
        }
        let list = asn1::octet_string(&ct::encode_sct_list(scts));
        let tbs = self.tbs(Some(extension(oid::CT_SCT_LIST, Criticality::Plain, &list)))?;
        Ok(lint(self, tbs, Stage::Certificate)?)
    }

    fn tbs(&self, last: Option<Vec<u8>>) -> Result<Vec<u8>, IssueError> {
        encode::check_issuer(self.issuer, self.not_before, self.not_after)?;
        let mut extensions = vec![
            encode::key_usage(encode::KEY_USAGE_DIGITAL_SIGNATURE),
            encode::extended_key_usage(oid::KP_CODE_SIGNING, Criticality::Plain),
            encode::subject_key_id(&self.public_key),
        ];
        extensions.extend(encode::authority_key_id(self.issuer));
        extensions.push(subject_alt_name(&self.principal.san)?);
        extensions.extend(fulcio_extensions(self.principal)?);
        extensions.extend(last);
        Fields {
            serial: &self.serial,
            scheme: self.signature_scheme,
            issuer: self.issuer.subject_der(),
            not_before: self.not_before,
            not_after: self.not_after,
            subject: &asn1::sequence(&[]),
            public_key: &self.public_key,
            extensions,
        }
        .to_tbs()
    }
}

/// The certificate around a signed part and its signature. The scheme must be the template's.
pub fn assemble(tbs: &[u8], scheme: Scheme, signature: &[u8]) -> Result<Vec<u8>, IssueError> {
    let algorithm = SignatureAlgorithm::of_scheme(scheme).ok_or(IssueError::Scheme(scheme))?;
    Ok(asn1::sequence(&[tbs, &algorithm.to_der(), &asn1::bit_string(signature)]))
}

fn subject_alt_name(san: &SubjectAltName) -> Result<Vec<u8>, IssueError> {
    let kind = san.kind();
    let text = san.value();
    if text.is_empty() {
        return Err(IssueError::EmptySubjectAltName { kind });
    }
    if text.chars().any(char::is_control) {
        return Err(IssueError::ControlCharacter { kind });
    }
    if !text.is_ascii() && !matches!(san, SubjectAltName::Username(_)) {
        return Err(IssueError::NotIa5 { kind });
    }
    let name = match san {
        SubjectAltName::Email(text) => asn1::element(asn1::context(1), &[text.as_bytes()]),
        SubjectAltName::Dns(text) => asn1::element(asn1::context(2), &[text.as_bytes()]),
        SubjectAltName::Uri(text) => asn1::element(asn1::context(6), &[text.as_bytes()]),
        SubjectAltName::Username(text) => {
            let value = asn1::element(asn1::context_constructed(0), &[&asn1::utf8_string(text)]);
            asn1::element(asn1::context_constructed(0), &[&asn1::object_identifier(oid::FULCIO_USERNAME), &value])
        }
    };
    Ok(extension(oid::SUBJECT_ALT_NAME, Criticality::Critical, &asn1::sequence(&[&name])))
}

/// Fulcio's extensions in ascending order: .1 to .6 as raw text, all others as UTF8String; empty ones are left out.
fn fulcio_extensions(principal: &Principal) -> Result<Vec<Vec<u8>>, IssueError> {
    const ISSUER: u32 = 1;
    const USERNAME: u32 = 7;
    const ISSUER_V2: u32 = 8;
    const TOKEN_SUBJECT: u32 = 24;
    const RESERVED: [u32; 4] = [ISSUER, USERNAME, ISSUER_V2, TOKEN_SUBJECT];

    let mut values: Vec<(u32, &str)> =
        vec![(ISSUER, &principal.issuer), (ISSUER_V2, &principal.issuer), (TOKEN_SUBJECT, &principal.subject)];
    for (arc, text) in &principal.extensions {
        if *arc == 0 || RESERVED.contains(arc) || values.iter().any(|(earlier, _)| earlier == arc) {
            return Err(IssueError::ExtensionArc { arc: *arc });
        }
        values.push((*arc, text));
    }
    values.retain(|(_, text)| !text.is_empty());
    values.sort_unstable_by_key(|(arc, _)| *arc);
    values
        .into_iter()
        .map(|(arc, text)| {
            let oid = oid::FULCIO.push_arc(arc).map_err(|_| IssueError::ExtensionArc { arc })?;
            let value = if is_raw_arc(arc) { text.as_bytes().to_vec() } else { asn1::utf8_string(text) };
            Ok(extension(oid, Criticality::Plain, &value))
        })
        .collect()
}

#[cfg(test)]
mod tests;
