// SPDX-License-Identifier: Apache-2.0
//! Log entries and the bytes of them that are hashed and signed (RFC 6962 §3.2, §3.4; C2SP static-ct-api, SCT extension).
//!
//! In scope: entries for certificates and precertificates, MerkleTreeLeaf, what an SCT signs, the leaf index extension. Out of scope: tiles
//! (`tile`), hashing (`touchmark_tlog`).
//! Invariants: for one certificate the entry made of the precertificate and the entry made of the certificate with SCTs are equal, whichever of
//! the two keys that RFC 6962 §3.1 allows has signed the precertificate: that of the certificate's issuer, or one that it certified for this.

use touchmark_tlog::LeafIndex;

use super::CtError;
use super::submission::AcceptedChain;
use super::tls::{self, Reader, Width};
use crate::asn1;
use crate::x509::Certificate;
use crate::x509::extension::oid;

/// What a log holds of one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEntry {
    X509 { cert_der: Vec<u8> },
    Precert { issuer_key_hash: [u8; 32], tbs: Vec<u8> },
}

impl LogEntry {
    /// The entry of a certificate submitted as it is (add-chain).
    pub fn from_certificate(certificate: &Certificate) -> Result<Self, CtError> {
        if certificate.extension_by(oid::CT_POISON).is_some() {
            return Err(CtError::Poisoned);
        }
        Ok(Self::X509 { cert_der: certificate.der().to_vec() })
    }

    /// The entry of a precertificate that the issuer of the certificate signed itself: its signed part without the poison, and its issuer's key.
    pub fn from_precertificate(precertificate: &Certificate, issuer: &Certificate) -> Result<Self, CtError> {
        let _poisoned = check_poison(precertificate)?;
        if signs_precertificates(issuer) {
            return Err(CtError::PrecertificateSigningCertificate);
        }
        Self::precert(precertificate, issuer, precertificate.tbs_without(oid::CT_POISON))
    }

    /// The entry of the precertificate at the beginning of a submission, in both forms of RFC 6962 §3.1.
    ///
    /// Where a precertificate signing certificate signed it, the entry is about the authority above that, which will issue the certificate (§3.2).
    pub fn from_submitted_precertificate(chain: &AcceptedChain) -> Result<Self, CtError> {
        let (precertificate, signer) = (chain.leaf(), chain.issuer());
        if !signs_precertificates(signer) {
            return Self::from_precertificate(precertificate, signer);
        }
        let _poisoned = check_poison(precertificate)?;
        let issuer = chain.issuers().get(1).filter(|issuer| !signs_precertificates(issuer));
        let issuer = issuer.ok_or(CtError::NoFinalIssuer)?;
        let tbs = precertificate.tbs_without_from_issuer_of(oid::CT_POISON, signer);
        Ok(Self::Precert {
            issuer_key_hash: touchmark_keys::sha256(issuer.spki_der()),
            tbs: tbs.ok_or(CtError::NoAuthorityKeyId)?,
        })
    }

    /// The entry that the SCTs of a final certificate were given for. `issuer` must be the direct issuer of the verified path.
    pub fn from_certificate_with_scts(certificate: &Certificate, issuer: &Certificate) -> Result<Self, CtError> {
        if certificate.extension_by(oid::CT_POISON).is_some() {
            return Err(CtError::Poisoned);
        }
        if certificate.extension_by(oid::CT_SCT_LIST).is_none() {
            return Err(CtError::NoSct);
        }
        Self::precert(certificate, issuer, certificate.tbs_without(oid::CT_SCT_LIST))
    }

    fn precert(certificate: &Certificate, issuer: &Certificate, tbs: Vec<u8>) -> Result<Self, CtError> {
        if certificate.issuer_der() != issuer.subject_der() {
            return Err(CtError::WrongIssuer);
        }
        Ok(Self::Precert { issuer_key_hash: touchmark_keys::sha256(issuer.spki_der()), tbs })
    }

    /// `entry_type` and the signed entry, the common part of every structure.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::X509 { cert_der } => {
                out.extend_from_slice(&[0, 0]);
                tls::write_vector(out, Width::U24, cert_der);
            }
            Self::Precert { issuer_key_hash, tbs } => {
                out.extend_from_slice(&[0, 1]);
                out.extend_from_slice(issuer_key_hash);
                tls::write_vector(out, Width::U24, tbs);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CtError> {
        match reader.u16()? {
            0 => Ok(Self::X509 { cert_der: reader.vector(Width::U24)?.to_vec() }),
            1 => {
                let issuer_key_hash = reader.array()?;
                Ok(Self::Precert { issuer_key_hash, tbs: reader.vector(Width::U24)?.to_vec() })
            }
            found => Err(CtError::EntryType { found }),
        }
    }

    /// What makes two submissions the same to a log: everything but time and extensions.
    pub fn identity(&self) -> [u8; 32] {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        touchmark_keys::sha256(&bytes)
    }
}

/// A certificate whose poison is what RFC 6962 §3.1 demands. Made by `check_poison` alone; that there is one poison only, the parser sees to.
struct Poisoned;

fn check_poison(precertificate: &Certificate) -> Result<Poisoned, CtError> {
    let value = precertificate.extension_by(oid::CT_POISON);
    let poisoned = precertificate.is_critical(oid::CT_POISON) && value == Some(&asn1::null()[..]);
    if poisoned { Ok(Poisoned) } else { Err(CtError::NoPoison) }
}

/// Whether this is a precertificate signing certificate.
fn signs_precertificates(issuer: &Certificate) -> bool {
    issuer.extended_key_usages().is_some_and(|purposes| purposes.contains(oid::KP_PRECERTIFICATE_SIGNING))
}

/// The bytes of a MerkleTreeLeaf: what the tree hashes, and `leaf_input` of get-entries.
pub fn merkle_tree_leaf(entry: &LogEntry, timestamp_ms: u64, extensions: &[u8]) -> Vec<u8> {
    const VERSION: u8 = 0;
    const TIMESTAMPED_ENTRY: u8 = 0;
    with_header([VERSION, TIMESTAMPED_ENTRY], entry, timestamp_ms, extensions)
}

/// The bytes that an SCT signs.
pub fn sct_signed_bytes(entry: &LogEntry, timestamp_ms: u64, extensions: &[u8]) -> Vec<u8> {
    const VERSION: u8 = 0;
    const CERTIFICATE_TIMESTAMP: u8 = 0;
    with_header([VERSION, CERTIFICATE_TIMESTAMP], entry, timestamp_ms, extensions)
}

/// A parsed MerkleTreeLeaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleTreeLeaf {
    pub timestamp_ms: u64,
    pub entry: LogEntry,
    pub extensions: Vec<u8>,
}

/// The inverse of `merkle_tree_leaf`.
pub fn parse_merkle_tree_leaf(bytes: &[u8]) -> Result<MerkleTreeLeaf, CtError> {
    let mut reader = Reader::new(bytes);
    match (reader.u8()?, reader.u8()?) {
        (0, 0) => {}
        (0, found) => return Err(CtError::LeafType { found }),
        (found, _) => return Err(CtError::Version { found }),
    }
    let leaf = read_timestamped_entry(&mut reader)?;
    reader.finish()?;
    Ok(leaf)
}

/// The `CtExtensions` of a static CT log: one extension, leaf_index, with 40 bits. A larger index is an error.
pub fn leaf_index_extension(index: LeafIndex) -> Result<Vec<u8>, CtError> {
    let [0, 0, 0, bytes @ ..] = index.0.to_be_bytes() else { return Err(CtError::LeafIndexTooLarge) };
    let mut out = vec![LEAF_INDEX_TYPE, 0, 5];
    out.extend_from_slice(&bytes);
    Ok(out)
}

/// The leaf index among the extensions of an SCT or entry. Unknown extensions are passed over.
pub fn parse_leaf_index_extension(extensions: &[u8]) -> Result<LeafIndex, CtError> {
    let mut reader = Reader::new(extensions);
    let mut index = None;
    while !reader.is_empty() {
        let kind = reader.u8()?;
        let value = reader.vector(Width::U16)?;
        if kind != LEAF_INDEX_TYPE {
            continue;
        }
        match (value, index) {
            ([a, b, c, d, e], None) => index = Some(u64::from_be_bytes([0, 0, 0, *a, *b, *c, *d, *e])),
            _ => return Err(CtError::LeafIndexExtension),
        }
    }
    index.map(LeafIndex).ok_or(CtError::LeafIndexExtension)
}

const LEAF_INDEX_TYPE: u8 = 0;

pub(super) fn write_timestamped_entry(out: &mut Vec<u8>, entry: &LogEntry, timestamp_ms: u64, extensions: &[u8]) {
    out.extend_from_slice(&timestamp_ms.to_be_bytes());
    entry.write(out);
    tls::write_vector(out, Width::U16, extensions);
}

pub(super) fn read_timestamped_entry(reader: &mut Reader<'_>) -> Result<MerkleTreeLeaf, CtError> {
    let timestamp_ms = reader.u64()?;
    let entry = LogEntry::read(reader)?;
    let extensions = reader.vector(Width::U16)?.to_vec();
    Ok(MerkleTreeLeaf { timestamp_ms, entry, extensions })
}

fn with_header(header: [u8; 2], entry: &LogEntry, timestamp_ms: u64, extensions: &[u8]) -> Vec<u8> {
    let mut out = header.to_vec();
    write_timestamped_entry(&mut out, entry, timestamp_ms, extensions);
    out
}
