// SPDX-License-Identifier: Apache-2.0
//! Making timestamp tokens (RFC 3161 §2.4.2, RFC 5652 §5, RFC 5816): the attributes to be signed, and the reply around them.
//!
//! In scope: a granted reply with one signer. Out of scope: signing, choosing time and serial, refusals (`tsp::failure_response`).
//! Invariants: the serial is positive; the time has whole seconds; the attributes are sorted as a DER SET, so that the signed bytes
//! are the bytes sent but for the tag.

use der::asn1::ObjectIdentifier;
use jiff::Timestamp;
use touchmark_keys::{Digest, HashAlgorithm, Scheme};

use super::cms;
use super::info::Statement;
use super::request::NONCE_BYTES_MAX;
use crate::asn1;
use crate::x509::Certificate;
use crate::x509::algorithm::{self, SignatureAlgorithm};

/// Why a template makes no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the policy is not an object identifier")]
    Policy,
    #[error("the nonce is over {NONCE_BYTES_MAX} bytes")]
    Nonce,
    #[error("the scheme {0:?} does not sign timestamps")]
    Scheme(Scheme),
}

/// A token to be made. The top bit of the serial is cleared, so that it is positive.
#[derive(Debug, Clone)]
pub struct TokenTemplate<'a> {
    pub imprint: &'a Digest,
    pub nonce: Option<&'a [u8]>,
    /// A dotted object identifier.
    pub policy: &'a str,
    pub serial: [u8; 20],
    pub gen_time: Timestamp,
    /// The certificate of the key that signs.
    pub signer: &'a Certificate,
    /// The certificates that the token shall carry: none unless the request asked for them.
    pub embedded: &'a [Certificate],
    pub scheme: Scheme,
}

impl TokenTemplate<'_> {
    /// Renders everything but the signature.
    pub fn prepare(&self) -> Result<UnsignedToken, TemplateError> {
        let algorithm = SignatureAlgorithm::of_scheme(self.scheme).ok_or(TemplateError::Scheme(self.scheme))?;
        // Ed25519 in CMS goes with SHA-512 (RFC 8419 §3.1).
        let digest = algorithm.hash().unwrap_or(HashAlgorithm::Sha512);
        let content = self.content()?;
        let attributes = asn1::set_of(vec![
            attribute(cms::CONTENT_TYPE, &asn1::object_identifier(cms::TST_INFO)),
            attribute(cms::SIGNING_TIME, &asn1::encode_certificate_time(self.gen_time)),
            attribute(cms::MESSAGE_DIGEST, &asn1::octet_string(touchmark_keys::digest(digest, &content).as_bytes())),
            attribute(cms::SIGNING_CERTIFICATE_V2, &signing_certificate(self.signer)),
        ]);
        let mut embedded: Vec<&[u8]> = self.embedded.iter().map(Certificate::der).collect();
        embedded.sort_unstable();
        let certificates =
            if embedded.is_empty() { Vec::new() } else { asn1::element(asn1::context_constructed(0), &embedded) };
        Ok(UnsignedToken {
            content,
            certificates,
            signer_id: asn1::sequence(&[
                self.signer.issuer_der(),
                &asn1::element(asn1::INTEGER, &[self.signer.serial()]),
            ]),
            digest: algorithm::digest_identifier(digest),
            algorithm: algorithm.to_der(),
            attributes,
        })
    }

    fn content(&self) -> Result<Vec<u8>, TemplateError> {
        if self.nonce.is_some_and(|nonce| nonce.len() > NONCE_BYTES_MAX) {
            return Err(TemplateError::Nonce);
        }
        let mut serial = self.serial;
        serial[0] &= 0x7f;
        let statement = Statement {
            policy: ObjectIdentifier::new(self.policy).map_err(|_| TemplateError::Policy)?,
            imprint: self.imprint,
            serial: &serial,
            gen_time: self.gen_time,
            nonce: self.nonce,
            authority: self.signer.subject_der(),
        };
        Ok(statement.to_der())
    }
}

/// A token that lacks its signature alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedToken {
    content: Vec<u8>,
    certificates: Vec<u8>,
    signer_id: Vec<u8>,
    digest: Vec<u8>,
    algorithm: Vec<u8>,
    /// With the tag of a SET.
    pub(super) attributes: Vec<u8>,
}

impl UnsignedToken {
    /// The bytes to be signed with the template's scheme.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.attributes
    }

    /// The whole reply (TimeStampResp, status granted).
    pub fn into_response(self, signature: &[u8]) -> Vec<u8> {
        const GRANTED: u8 = 0;
        let mut attributes = self.attributes;
        attributes[0] = asn1::context_constructed(0);
        let signer = asn1::sequence(&[
            &asn1::unsigned(&[1]),
            &self.signer_id,
            &self.digest,
            &attributes,
            &self.algorithm,
            &asn1::octet_string(signature),
        ]);
        let content = asn1::sequence(&[
            &asn1::object_identifier(cms::TST_INFO),
            &asn1::element(asn1::context_constructed(0), &[&asn1::octet_string(&self.content)]),
        ]);
        let signed_data = asn1::sequence(&[
            &asn1::unsigned(&[3]),
            &asn1::element(asn1::SET, &[&self.digest]),
            &content,
            &self.certificates,
            &asn1::element(asn1::SET, &[&signer]),
        ]);
        let token = asn1::sequence(&[
            &asn1::object_identifier(cms::SIGNED_DATA),
            &asn1::element(asn1::context_constructed(0), &[&signed_data]),
        ]);
        asn1::sequence(&[&asn1::sequence(&[&asn1::unsigned(&[GRANTED])]), &token])
    }
}

pub(super) fn attribute(oid: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::object_identifier(oid), &asn1::element(asn1::SET, &[value])])
}

/// SigningCertificateV2 with one ESSCertIDv2: SHA-256 (the default, so it is not named), issuer and serial.
fn signing_certificate(signer: &Certificate) -> Vec<u8> {
    let issuer = asn1::element(asn1::context_constructed(4), &[signer.issuer_der()]);
    let issuer_serial =
        asn1::sequence(&[&asn1::sequence(&[&issuer]), &asn1::element(asn1::INTEGER, &[signer.serial()])]);
    let hash = asn1::octet_string(&touchmark_keys::sha256(signer.der()));
    asn1::sequence(&[&asn1::sequence(&[&asn1::sequence(&[&hash, &issuer_serial])])])
}
