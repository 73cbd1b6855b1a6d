// SPDX-License-Identifier: Apache-2.0
//! X.509 certificates as Sigstore uses them: RFC 5280, Fulcio's certificate profile and its extensions (1.3.6.1.4.1.57264.1).
//!
//! In scope: parsing a certificate once into a value whose parts are slices of the bytes as received; its identity (SAN and issuer
//! extensions); certification paths (`path`); certification requests (`csr`). Out of scope: making certificates (`issue`),
//! SCTs (`ct`), key strength (`touchmark_keys`).
//! Invariants: a `Certificate` is strict DER, has one signature algorithm inside and outside, and no extension twice; nothing that
//! was signed is re-encoded.

pub mod algorithm;
pub mod chain;
pub mod csr;
pub mod extension;
mod parse;
pub mod path;
pub(crate) mod pem;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use der::asn1::ObjectIdentifier;
use jiff::Timestamp;
use touchmark_keys::{KeyError, PublicKey};

use crate::asn1::{self, DerError};
use crate::principal::SubjectAltName;

use self::algorithm::SignatureAlgorithm;
use self::extension::{BasicConstraints, ExtendedKeyUsages, KeyUsage, oid};

/// Largest certificate that is parsed. Webpki reads no SEQUENCE over 64 KiB; Fulcio's leaves are under 4 KiB.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;
/// Most extensions in one certificate. Fulcio's fullest leaf has about 30.
pub const EXTENSIONS_MAX: usize = 64;
/// Most certificates in one PEM chain.
pub const CHAIN_LENGTH_MAX: usize = 16;

/// Why bytes are not a certificate that this crate accepts, or why a certificate lacks what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate is {bytes} bytes long, over the limit of {CERTIFICATE_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error(transparent)]
    Der(#[from] DerError),
    #[error("the PEM is malformed or is not labelled CERTIFICATE")]
    Pem,
    #[error("the PEM holds no certificate")]
    NoCertificate,
    #[error("the PEM holds more than {CHAIN_LENGTH_MAX} certificates")]
    TooManyCertificates,
    #[error("the certificate version {version} is not 1, 2 or 3")]
    Version { version: u32 },
    #[error("the signature algorithms inside and outside the signed part differ")]
    AlgorithmMismatch,
    #[error("the certificate has more than {EXTENSIONS_MAX} extensions")]
    TooManyExtensions,
    #[error("the extension {oid} stands twice in the certificate")]
    DuplicateExtension { oid: ObjectIdentifier },
    #[error("the extension {oid} is malformed: {error}")]
    Extension { oid: ObjectIdentifier, error: DerError },
    #[error("the certificate has no extension {oid}")]
    MissingExtension { oid: ObjectIdentifier },
    #[error("the certificate holds {found} subject alternative names, expected exactly one")]
    SubjectAltNameCount { found: usize },
    #[error("the subject alternative name is of a kind that carries no Sigstore identity")]
    SubjectAltNameKind,
    #[error("the two issuer extensions of the certificate disagree: {current:?} and {legacy:?}")]
    IssuerDisagrees { current: Box<str>, legacy: Box<str> },
    #[error("the public key of the certificate is not usable: {0}")]
    PublicKey(KeyError),
    #[error("the certificate is signed with an algorithm that is not supported")]
    UnknownAlgorithm,
}

/// One extension, its value a slice of the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) oid: ObjectIdentifier,
    pub(crate) critical: bool,
    pub(crate) value: Range<usize>,
    pub(crate) raw: Range<usize>,
}

/// A parsed certificate. Cheap to clone.
#[derive(Clone)]
pub struct Certificate {
    der: Arc<[u8]>,
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    tbs: Range<usize>,
    /// The fields of the signed part before the extensions.
    tbs_head: Range<usize>,
    algorithm: Range<usize>,
    signature: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
    not_before: Timestamp,
    not_after: Timestamp,
    extensions: Vec<Extension>,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usages: Option<ExtendedKeyUsages>,
    subject_key_id: Option<Range<usize>>,
}

impl Certificate {
    /// Parses one DER certificate; nothing may follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge { bytes: der.len() });
        }
        let parts = parse::certificate(der)?;
        Ok(Self { der: der.into(), parts: Arc::new(parts) })
    }

    /// Parses a PEM text that holds exactly one certificate.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        let mut chain = chain_from_pem(pem)?;
        match (chain.pop(), chain.is_empty()) {
            (Some(certificate), true) => Ok(certificate),
            _ => Err(CertificateError::TooManyCertificates),
        }
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM with LF line ends and a final newline.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// The signed part, as received.
    pub fn tbs_der(&self) -> &[u8] {
        self.slice(&self.parts.tbs)
    }

    pub fn public_key(&self) -> Result<PublicKey, CertificateError> {
        PublicKey::from_spki_der(self.spki_der()).map_err(CertificateError::PublicKey)
    }

    pub fn spki_der(&self) -> &[u8] {
        self.slice(&self.parts.spki)
    }

    pub fn not_before(&self) -> Timestamp {
        self.parts.not_before
    }

    pub fn not_after(&self) -> Timestamp {
        self.parts.not_after
    }

    /// The content bytes of the serial number, sign octet included.
    pub fn serial(&self) -> &[u8] {
        self.slice(&self.parts.serial)
    }

    pub fn subject_der(&self) -> &[u8] {
        self.slice(&self.parts.subject)
    }

    pub fn issuer_der(&self) -> &[u8] {
        self.slice(&self.parts.issuer)
    }

    /// The subject in the notation of RFC 4514; empty for an empty name.
    pub fn subject_text(&self) -> String {
        name_text(self.subject_der())
    }

    /// The issuer in the notation of RFC 4514.
    pub fn issuer_text(&self) -> String {
        name_text(self.issuer_der())
    }

    /// Whether the basic constraints say CA:TRUE.
    pub fn is_ca(&self) -> bool {
        self.parts.basic_constraints.is_some_and(|constraints| constraints.ca)
    }

    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.parts.basic_constraints
    }

    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.parts.key_usage
    }

    pub fn extended_key_usages(&self) -> Option<&ExtendedKeyUsages> {
        self.parts.extended_key_usages.as_ref()
    }

    /// Whether TLS clients may take it for a server's: it says so, or says nothing of what it is for (RFC 5280 §4.2.1.12).
    pub fn is_for_servers(&self) -> bool {
        self.extended_key_usages().is_none_or(|purposes| purposes.contains(oid::KP_SERVER_AUTH))
    }

    /// The value of an extension, by its dotted object identifier.
    pub fn extension(&self, oid: &str) -> Option<&[u8]> {
        self.extension_by(ObjectIdentifier::new(oid).ok()?)
    }

    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.parts.subject_key_id.as_ref().map(|range| self.slice(range))
    }

    /// The one identity that the certificate binds.
    pub fn san(&self) -> Result<SubjectAltName, CertificateError> {
        let value = self
            .extension_by(oid::SUBJECT_ALT_NAME)
            .ok_or(CertificateError::MissingExtension { oid: oid::SUBJECT_ALT_NAME })?;
        extension::subject_alt_name(value)
    }

    /// The OIDC issuer: extension .1.8, else the legacy .1.1; where both stand they must agree.
    pub fn issuer_claim(&self) -> Result<String, CertificateError> {
        let current = self
            .extension_by(oid::FULCIO_ISSUER_V2)
            .map(|value| extension::utf8_string(value).map_err(|error| parse::malformed(oid::FULCIO_ISSUER_V2, error)));
        let legacy = self
            .extension_by(oid::FULCIO_ISSUER)
            .map(|value| asn1::utf8_value(value).map_err(|error| parse::malformed(oid::FULCIO_ISSUER, error)));
        match (current.transpose()?, legacy.transpose()?) {
            (Some(current), Some(legacy)) if current != legacy => {
                Err(CertificateError::IssuerDisagrees { current: current.into(), legacy: legacy.into() })
            }
            (Some(issuer), _) | (None, Some(issuer)) => Ok(issuer.to_owned()),
            (None, None) => Err(CertificateError::MissingExtension { oid: oid::FULCIO_ISSUER_V2 }),
        }
    }

    /// Fulcio's extensions with their texts, in the order of the certificate. One whose value is not the text that the profile
    /// demands is left out, so that no policy can match it.
    pub fn fulcio_extensions(&self) -> Vec<(ObjectIdentifier, String)> {
        let text = |extension: &Extension| {
            let arc = extension::fulcio_arc(extension.oid)?;
            let value = self.slice(&extension.value);
            let text = if extension::is_raw_arc(arc) { asn1::utf8_value(value) } else { extension::utf8_string(value) };
            Some((extension.oid, text.ok()?.to_owned()))
        };
        self.parts.extensions.iter().filter_map(text).collect()
    }

    /// The algorithm and the bits of the signature over `tbs_der`.
    pub(crate) fn signature(&self) -> Result<(SignatureAlgorithm, &[u8]), CertificateError> {
        let algorithm = SignatureAlgorithm::from_der(self.slice(&self.parts.algorithm))
            .ok_or(CertificateError::UnknownAlgorithm)?;
        Ok((algorithm, self.slice(&self.parts.signature)))
    }

    /// The AlgorithmIdentifier of the signature, as received.
    pub(crate) fn algorithm_der(&self) -> &[u8] {
        self.slice(&self.parts.algorithm)
    }

    pub(crate) fn extension_by(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        let found = self.parts.extensions.iter().find(|extension| extension.oid == oid)?;
        Some(self.slice(&found.value))
    }

    pub(crate) fn is_critical(&self, oid: ObjectIdentifier) -> bool {
        self.parts.extensions.iter().any(|extension| extension.oid == oid && extension.critical)
    }

    /// The signed part without one extension, every other byte as received.
    pub(crate) fn tbs_without(&self, oid: ObjectIdentifier) -> Vec<u8> {
        let kept = self.parts.extensions.iter().filter(|extension| extension.oid != oid);
        tbs_of(&[self.slice(&self.parts.tbs_head)], kept.map(|extension| self.slice(&extension.raw)))
    }

    /// The same as the issuer of `signer`, which signed this certificate in its place, would have it: with that issuer's name, and with its key
    /// identifier where this certificate has one of `signer` (RFC 6962 §3.2). `None` if `signer` has none to put there.
    pub(crate) fn tbs_without_from_issuer_of(&self, oid: ObjectIdentifier, signer: &Certificate) -> Option<Vec<u8>> {
        let (head, name) = (&self.parts.tbs_head, &self.parts.issuer);
        let head = [self.slice(&(head.start..name.start)), signer.issuer_der(), self.slice(&(name.end..head.end))];
        let mut extensions = Vec::new();
        for extension in self.parts.extensions.iter().filter(|extension| extension.oid != oid) {
            extensions.push(if extension.oid == oid::AUTHORITY_KEY_ID {
                signer.raw_extension(oid::AUTHORITY_KEY_ID)?
            } else {
                self.slice(&extension.raw)
            });
        }
        Some(tbs_of(&head, extensions.into_iter()))
    }

    fn raw_extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        let found = self.parts.extensions.iter().find(|extension| extension.oid == oid)?;
        Some(self.slice(&found.raw))
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.der.get(range.clone()).expect("every range was cut from this certificate by the parser")
    }
}

/// A signed part: its fields, and its extensions if there are any.
fn tbs_of<'a>(head: &[&'a [u8]], extensions: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let extensions: Vec<&[u8]> = extensions.collect();
    if extensions.is_empty() {
        return asn1::sequence(head);
    }
    let extensions = asn1::element(asn1::context_constructed(3), &[&asn1::sequence(&extensions)]);
    asn1::sequence(&[head, &[extensions.as_slice()]].concat())
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Certificate")
            .field("subject", &self.subject_text())
            .field("issuer", &self.issuer_text())
            .field("serial", &hex::encode(self.serial()))
            .finish_non_exhaustive()
    }
}

/// All certificates of a PEM text, in order; at least one, and nothing else in it.
pub fn chain_from_pem(pem: &str) -> Result<Vec<Certificate>, CertificateError> {
    let blocks = pem::decode_all(pem, CHAIN_LENGTH_MAX).map_err(|error| match error {
        pem::PemError::TooMany => CertificateError::TooManyCertificates,
        pem::PemError::Malformed => CertificateError::Pem,
    })?;
    if blocks.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    blocks
        .into_iter()
        .map(
            |block| {
                if block.label == "CERTIFICATE" {
                    Certificate::from_der(&block.der)
                } else {
                    Err(CertificateError::Pem)
                }
            },
        )
        .collect()
}

fn name_text(der: &[u8]) -> String {
    use der::Decode as _;
    match x509_cert::name::RdnSequence::from_der(der) {
        Ok(name) => name.to_string(),
        Err(_) => format!("#{}", hex::encode(der)),
    }
}

#[cfg(test)]
mod tests;
