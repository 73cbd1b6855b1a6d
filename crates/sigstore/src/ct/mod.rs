// SPDX-License-Identifier: Apache-2.0
//! Certificate transparency: RFC 6962 structures and the static CT API's data tiles (C2SP static-ct-api).
//!
//! In scope: SCTs and lists of them, log entries and their leaves (`entry`), tile leaves (`tile`), the chain of a submission (`submission`),
//! whether a log kept its promise (`inclusion`).
//! Out of scope: the tree (`touchmark_tlog`), tree heads (`tlog::checkpoint`), HTTP and JSON (`wire`), signing.
//! Invariants: an SCT is verified over its own extensions; the issuer key hash is that of the certificate whose key verified the leaf;
//! what the log hashes is cut from the bytes as received.

mod entry;
pub mod inclusion;
mod submission;
mod tile;
mod tls;

use touchmark_keys::{HashAlgorithm, KeyFamily, PublicKey, SignatureError, SignatureValid};

use crate::asn1::{self, DerError};
use crate::x509::Certificate;
use crate::x509::extension::oid;

pub use self::entry::{
    LogEntry, MerkleTreeLeaf, leaf_index_extension, merkle_tree_leaf, parse_leaf_index_extension,
    parse_merkle_tree_leaf, sct_signed_bytes,
};
pub use self::submission::{AcceptedChain, AcceptedIssuers, SubmissionError, accept_chain};
pub use self::tile::{DataTileEntry, extra_data_precert, extra_data_x509, parse_data_tile};

use self::tls::{Reader, TlsError, Width};

/// Most SCTs in one certificate.
pub const SCTS_MAX: usize = 16;

/// Why bytes or certificates are not what certificate transparency defines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CtError {
    #[error("the structure ends early")]
    Truncated,
    #[error("bytes follow the structure")]
    Trailing,
    #[error("the version {found} of the structure is not 0")]
    Version { found: u8 },
    #[error("the leaf type {found} is not 0")]
    LeafType { found: u8 },
    #[error("the entry type {found} is neither 0 nor 1")]
    EntryType { found: u16 },
    #[error("the signature algorithm ({hash}, {signature}) is neither ECDSA nor RSA with SHA-256")]
    Algorithm { hash: u8, signature: u8 },
    #[error("the list holds more than {SCTS_MAX} SCTs")]
    TooManyScts,
    #[error("the certificate carries no SCT")]
    NoSct,
    #[error("the SCT extension of the certificate is malformed: {0}")]
    Extension(DerError),
    #[error("the certificate is no precertificate: its poison is missing, not critical or malformed")]
    NoPoison,
    #[error("the certificate is a precertificate")]
    Poisoned,
    #[error("the certificate was not issued by the certificate given as its issuer")]
    WrongIssuer,
    #[error(
        "the certificate given as the issuer only signs precertificates: the entry is about the authority above it"
    )]
    PrecertificateSigningCertificate,
    #[error("no authority that could issue the certificate stands above the precertificate signing certificate")]
    NoFinalIssuer,
    #[error(
        "the precertificate has an authority key identifier, and the precertificate signing certificate has none to replace it by"
    )]
    NoAuthorityKeyId,
    #[error("the leaf index extension is missing or malformed")]
    LeafIndexExtension,
    #[error("a leaf index over 40 bits")]
    LeafIndexTooLarge,
    #[error("the public key of the log does not sign SCTs")]
    LogKeyType,
}

impl From<TlsError> for CtError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Truncated => Self::Truncated,
            TlsError::Trailing => Self::Trailing,
        }
    }
}

/// How a log signs (RFC 6962 §2.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SctScheme {
    EcdsaSha256,
    RsaPkcs1Sha256,
}

impl SctScheme {
    /// How a log with this key signs.
    pub fn of_key(key: &PublicKey) -> Result<Self, CtError> {
        match key.key_type().family() {
            KeyFamily::Ecdsa => Ok(Self::EcdsaSha256),
            KeyFamily::Rsa => Ok(Self::RsaPkcs1Sha256),
            KeyFamily::Ed25519 | KeyFamily::MlDsa => Err(CtError::LogKeyType),
        }
    }
}

/// A signed certificate timestamp (RFC 6962 §3.2), version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sct {
    /// SHA-256 of the log's SPKI.
    pub log_id: [u8; 32],
    pub timestamp_ms: u64,
    pub extensions: Vec<u8>,
    pub scheme: SctScheme,
    /// The bare signature, without the TLS header.
    pub signature: Vec<u8>,
}

impl Sct {
    pub fn to_tls(&self) -> Vec<u8> {
        let mut out = vec![0];
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        tls::write_vector(&mut out, Width::U16, &self.extensions);
        out.extend_from_slice(&digitally_signed(self.scheme, &self.signature));
        out
    }

    pub fn from_tls(bytes: &[u8]) -> Result<Self, CtError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != 0 {
            return Err(CtError::Version { found: version });
        }
        let log_id = reader.array::<32>()?;
        let timestamp_ms = reader.u64()?;
        let extensions = reader.vector(Width::U16)?.to_vec();
        let (scheme, signature) = parse_digitally_signed(reader.rest())?;
        Ok(Self { log_id, timestamp_ms, extensions, scheme, signature })
    }

    /// The TLS DigitallySigned, as the `signature` of an add-chain reply holds it.
    pub fn digitally_signed(&self) -> Vec<u8> {
        digitally_signed(self.scheme, &self.signature)
    }
}

/// A signature with its TLS header (RFC 5246 §4.7): of SCTs and tree heads.
pub fn digitally_signed(scheme: SctScheme, signature: &[u8]) -> Vec<u8> {
    let mut out = match scheme {
        SctScheme::EcdsaSha256 => vec![4, 3],
        SctScheme::RsaPkcs1Sha256 => vec![4, 1],
    };
    tls::write_vector(&mut out, Width::U16, signature);
    out
}

/// The inverse of `digitally_signed`.
pub fn parse_digitally_signed(bytes: &[u8]) -> Result<(SctScheme, Vec<u8>), CtError> {
    let mut reader = Reader::new(bytes);
    let scheme = match (reader.u8()?, reader.u8()?) {
        (4, 3) => SctScheme::EcdsaSha256,
        (4, 1) => SctScheme::RsaPkcs1Sha256,
        (hash, signature) => return Err(CtError::Algorithm { hash, signature }),
    };
    let signature = reader.vector(Width::U16)?.to_vec();
    reader.finish()?;
    Ok((scheme, signature))
}

/// Whether the SCTs, of which a foreign log may have chosen extensions and signature, fit the lengths of a list.
pub(crate) fn fit_in_a_list(scts: &[Sct]) -> bool {
    const LIST_BYTES_MAX: usize = 0xffff;
    const FIXED_BYTES: usize = 2 + 1 + 32 + 8 + 2 + 4;
    let bytes: usize = scts.iter().map(|sct| FIXED_BYTES + sct.extensions.len() + sct.signature.len()).sum();
    bytes <= LIST_BYTES_MAX && scts.len() <= SCTS_MAX
}

/// A SignedCertificateTimestampList (RFC 6962 §3.3).
pub fn encode_sct_list(scts: &[Sct]) -> Vec<u8> {
    let mut list = Vec::new();
    for sct in scts {
        tls::write_vector(&mut list, Width::U16, &sct.to_tls());
    }
    let mut out = Vec::new();
    tls::write_vector(&mut out, Width::U16, &list);
    out
}

/// The SCTs of a SignedCertificateTimestampList; at least one.
pub fn parse_sct_list(bytes: &[u8]) -> Result<Vec<Sct>, CtError> {
    let mut outer = Reader::new(bytes);
    let mut list = Reader::new(outer.vector(Width::U16)?);
    outer.finish()?;
    let mut scts = Vec::new();
    while !list.is_empty() {
        if scts.len() == SCTS_MAX {
            return Err(CtError::TooManyScts);
        }
        scts.push(Sct::from_tls(list.vector(Width::U16)?)?);
    }
    if scts.is_empty() { Err(CtError::NoSct) } else { Ok(scts) }
}

/// The SCTs embedded in a certificate; at least one.
pub fn embedded_scts(certificate: &Certificate) -> Result<Vec<Sct>, CtError> {
    let value = certificate.extension_by(oid::CT_SCT_LIST).ok_or(CtError::NoSct)?;
    let list = asn1::single(value, asn1::OCTET_STRING).map_err(CtError::Extension)?;
    parse_sct_list(list.value)
}

/// Why an SCT does not prove what it claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SctError {
    #[error("the SCT is of log {}, expected {}", hex::encode(found), hex::encode(expected))]
    LogId { expected: [u8; 32], found: [u8; 32] },
    #[error("the SCT is longer than a list of SCTs can hold")]
    TooLong,
    #[error("the SCT's signature algorithm {found:?} does not fit the log's key")]
    Scheme { found: SctScheme },
    #[error("the SCT's signature does not verify with the log's key: {0}")]
    Signature(SignatureError),
}

/// A log promised to hold an entry since this time. Made by `verify_sct` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SctVerified {
    log_id: [u8; 32],
    timestamp_ms: u64,
    extensions: Vec<u8>,
}

impl SctVerified {
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// The extensions, which the signature covers. A static CT log puts the leaf index there.
    pub fn extensions(&self) -> &[u8] {
        &self.extensions
    }
}

/// Verifies that the log with this key signed this SCT for this entry.
pub fn verify_sct(sct: &Sct, entry: &LogEntry, log_key: &PublicKey) -> Result<SctVerified, SctError> {
    let expected = log_key.spki_sha256();
    if sct.log_id != expected {
        return Err(SctError::LogId { expected, found: sct.log_id });
    }
    if !fit_in_a_list(std::slice::from_ref(sct)) {
        return Err(SctError::TooLong);
    }
    if SctScheme::of_key(log_key) != Ok(sct.scheme) {
        return Err(SctError::Scheme { found: sct.scheme });
    }
    let message = sct_signed_bytes(entry, sct.timestamp_ms, &sct.extensions);
    let _: SignatureValid =
        verify_signature(sct.scheme, log_key, &message, &sct.signature).map_err(SctError::Signature)?;
    Ok(SctVerified { log_id: sct.log_id, timestamp_ms: sct.timestamp_ms, extensions: sct.extensions.clone() })
}

/// What stands in a `DigitallySigned`, over `message`.
fn verify_signature(
    scheme: SctScheme,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<SignatureValid, SignatureError> {
    match scheme {
        SctScheme::EcdsaSha256 => key.verify_ecdsa(HashAlgorithm::Sha256, message, signature),
        SctScheme::RsaPkcs1Sha256 => key.verify_rsa_pkcs1(HashAlgorithm::Sha256, message, signature),
    }
}

#[cfg(test)]
mod tests;
