// SPDX-License-Identifier: Apache-2.0
//! Making a certification request (PKCS#10, RFC 2986) for the key of an intermediate authority whose root is somewhere else.
//!
//! In scope: subject, key, and the extensions of Fulcio's intermediate profile as an attribute (extensionRequest, RFC 2985 §5.4.2), for authorities
//! that copy them. Out of scope: signing (the caller), reading requests (`x509::csr`).
//! Invariant: what is asked for is what `CaTemplate` would make.

use der::asn1::ObjectIdentifier;
use touchmark_keys::{PublicKey, Scheme};

use super::IssueError;
use super::authority::{self, AuthorityName};
use crate::asn1;
use crate::x509::algorithm::SignatureAlgorithm;
use crate::x509::pem;

const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");

/// The signed part of a request for an intermediate that issues code signing leaves.
pub fn request_information(name: &AuthorityName, key: &PublicKey) -> Vec<u8> {
    let extensions = authority::intermediate_extensions(key);
    let parts: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
    let values = asn1::set_of(vec![asn1::sequence(&parts)]);
    let attribute = asn1::sequence(&[&asn1::object_identifier(EXTENSION_REQUEST), &values]);
    let attributes = asn1::element(asn1::context_constructed(0), &[&attribute]);
    asn1::sequence(&[&asn1::unsigned(&[0]), &name.to_der(), key.spki_der(), &attributes])
}

/// The request around its signed part and the signature of its own key, in PEM.
pub fn assemble_request(information: &[u8], scheme: Scheme, signature: &[u8]) -> Result<String, IssueError> {
    let algorithm = SignatureAlgorithm::of_scheme(scheme).ok_or(IssueError::Scheme(scheme))?;
    let der = asn1::sequence(&[information, &algorithm.to_der(), &asn1::bit_string(signature)]);
    Ok(pem::encode("CERTIFICATE REQUEST", &der))
}
