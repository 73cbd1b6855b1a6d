// SPDX-License-Identifier: Apache-2.0
//! Certification requests (PKCS#10, RFC 2986), as Fulcio takes them: for the public key and the proof that its holder signs.
//!
//! In scope: PEM and DER, the self-signature, the scheme that the key and the hash make, the subject as it stands. Out of scope: attributes, which
//! nobody here heeds; key strength and which schemes a server permits.
//! Invariant: the signature is verified over the request information as received.

use touchmark_keys::{
    HashAlgorithm, KeyError, KeyFamily, KeyType, PublicKey, Scheme, SignatureError, SignatureValid, Standing,
};

use super::algorithm::{self, SignatureAlgorithm};
use super::pem;
use crate::asn1::{self, DerError};

/// Largest certification request, in DER. An RSA-4096 request takes about 1 KiB.
pub const CSR_BYTES_MAX: usize = 64 * 1024;

/// Why a certification request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    #[error("the request is {bytes} bytes long, over the limit of {CSR_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("the request is not one PEM block labelled CERTIFICATE REQUEST")]
    Pem,
    #[error(transparent)]
    Der(#[from] DerError),
    #[error("the request version {version} is not 1")]
    Version { version: u32 },
    #[error("the public key of the request is not usable: {0}")]
    PublicKey(KeyError),
    #[error("the signature of the request does not verify")]
    Signature(Option<SignatureError>),
    /// The text is Fulcio's.
    #[error("unrecognized signature algorithm: {name}")]
    UnknownAlgorithm { name: &'static str },
    /// The text is Fulcio's, with Go's type names.
    #[error("signing algorithm not permitted: {key}, {hash}")]
    NotPermitted { key: &'static str, hash: &'static str },
}

/// A parsed certification request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    information: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Csr {
    /// Parses one PEM block labelled CERTIFICATE REQUEST or NEW CERTIFICATE REQUEST.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CsrError> {
        let text = std::str::from_utf8(pem).map_err(|_| CsrError::Pem)?;
        let blocks = pem::decode_all(text, 1).map_err(|_| CsrError::Pem)?;
        match blocks.as_slice() {
            [block] if block.label == "CERTIFICATE REQUEST" || block.label == "NEW CERTIFICATE REQUEST" => {
                Self::from_der(&block.der)
            }
            _ => Err(CsrError::Pem),
        }
    }

    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > CSR_BYTES_MAX {
            return Err(CsrError::TooLarge { bytes: der.len() });
        }
        let mut fields = asn1::single(der, asn1::SEQUENCE)?.reader();
        let information = fields.expect(asn1::SEQUENCE)?;
        let algorithm = fields.expect(asn1::SEQUENCE)?.raw.to_vec();
        let signature = fields.bit_string()?.value.to_vec();
        fields.finish()?;
        let mut inner = information.reader();
        let version = inner.small()?;
        if version != 0 {
            return Err(CsrError::Version { version: version.saturating_add(1) });
        }
        let subject = inner.expect(asn1::SEQUENCE)?.raw.to_vec();
        let spki = inner.expect(asn1::SEQUENCE)?.raw.to_vec();
        inner.optional(asn1::context_constructed(0))?; // Attributes: ignored.
        inner.finish()?;
        Ok(Self { information: information.raw.to_vec(), subject, spki, algorithm, signature })
    }

    /// The name that is asked for, in DER. Fulcio ignores it: there the token says who it is.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    pub fn public_key(&self) -> Result<PublicKey, CsrError> {
        PublicKey::from_spki_der(&self.spki).map_err(CsrError::PublicKey)
    }

    /// Verifies the request's signature with the key inside it: its holder has the private key.
    pub fn verify(&self) -> Result<SignatureValid, CsrError> {
        let algorithm = self.signature_algorithm()?;
        algorithm
            .verify(&self.public_key()?, &self.information, &self.signature)
            .map_err(|error| CsrError::Signature(Some(error)))
    }

    /// The scheme that the key and the signature's hash make, if it is one that Sigstore knows.
    pub fn scheme(&self) -> Result<Scheme, CsrError> {
        let algorithm = self.signature_algorithm()?;
        let key = self.public_key()?;
        let schemes = key.schemes().iter().copied();
        schemes
            .filter(|scheme| scheme.standing() == Standing::Current)
            .find(|scheme| SignatureAlgorithm::of_scheme(*scheme) == Some(algorithm))
            .ok_or(CsrError::NotPermitted { key: go_key_name(key.key_type()), hash: go_hash_name(algorithm.hash()) })
    }

    fn signature_algorithm(&self) -> Result<SignatureAlgorithm, CsrError> {
        match rsa_pss_name(&self.algorithm) {
            Some(name) => Err(CsrError::UnknownAlgorithm { name }),
            None => SignatureAlgorithm::from_der(&self.algorithm).ok_or(CsrError::Signature(None)),
        }
    }
}

/// Go's name of an RSA-PSS algorithm, which Fulcio verifies and then does not recognise.
fn rsa_pss_name(identifier: &[u8]) -> Option<&'static str> {
    let (oid, parameters) = algorithm::identifier_parts(identifier)?;
    if oid != algorithm::RSASSA_PSS {
        return None;
    }
    let mut fields = asn1::single(parameters?, asn1::SEQUENCE).ok()?.reader();
    let hash = fields.expect(asn1::context_constructed(0)).ok()?;
    match algorithm::digest_algorithm(hash.value)? {
        HashAlgorithm::Sha256 => Some("SHA256-RSAPSS"),
        HashAlgorithm::Sha384 => Some("SHA384-RSAPSS"),
        HashAlgorithm::Sha512 => Some("SHA512-RSAPSS"),
    }
}

fn go_key_name(key_type: KeyType) -> &'static str {
    match key_type.family() {
        KeyFamily::Ecdsa => "*ecdsa.PublicKey",
        KeyFamily::Rsa => "*rsa.PublicKey",
        KeyFamily::Ed25519 => "ed25519.PublicKey",
        KeyFamily::MlDsa => "*mldsa.PublicKey",
    }
}

fn go_hash_name(hash: Option<HashAlgorithm>) -> &'static str {
    match hash {
        Some(HashAlgorithm::Sha256) => "SHA-256",
        Some(HashAlgorithm::Sha384) => "SHA-384",
        Some(HashAlgorithm::Sha512) => "SHA-512",
        None => "unknown hash value 0",
    }
}
