// SPDX-License-Identifier: Apache-2.0
//! Leaves of static CT data tiles (C2SP static-ct-api, "Log Entries") and `extra_data` of RFC 6962 get-entries (§4.6).
//!
//! In scope: their bytes, both ways. Out of scope: which entries are in which tile (`touchmark_tlog`), compression.
//! Invariant: a tile leaf carries everything that the hashed leaf holds, and with the issuers' certificates all of `extra_data`.

use super::CtError;
use super::entry::{self, LogEntry};
use super::tls::{self, Reader, Width};

/// Most leaves in one data tile.
const TILE_WIDTH: usize = 256;
const FINGERPRINT_BYTES: usize = 32;

/// One leaf of a data tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataTileEntry {
    pub timestamp_ms: u64,
    pub entry: LogEntry,
    pub extensions: Vec<u8>,
    /// The precertificate as submitted; empty for a certificate.
    pub pre_certificate: Vec<u8>,
    /// SHA-256 of each certificate of the chain, the issuer first.
    pub fingerprints: Vec<[u8; FINGERPRINT_BYTES]>,
}

impl DataTileEntry {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        entry::write_timestamped_entry(&mut out, &self.entry, self.timestamp_ms, &self.extensions);
        if matches!(self.entry, LogEntry::Precert { .. }) {
            tls::write_vector(&mut out, Width::U24, &self.pre_certificate);
        }
        tls::write_vector(&mut out, Width::U16, &self.fingerprints.concat());
        out
    }

    /// Parses one leaf; nothing may follow it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CtError> {
        let mut reader = Reader::new(bytes);
        let entry = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(entry)
    }

    /// The hashed leaf of this tile leaf.
    pub fn merkle_tree_leaf(&self) -> Vec<u8> {
        entry::merkle_tree_leaf(&self.entry, self.timestamp_ms, &self.extensions)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CtError> {
        let leaf = entry::read_timestamped_entry(reader)?;
        let pre_certificate = match leaf.entry {
            LogEntry::X509 { .. } => Vec::new(),
            LogEntry::Precert { .. } => reader.vector(Width::U24)?.to_vec(),
        };
        let mut list = Reader::new(reader.vector(Width::U16)?);
        let mut fingerprints = Vec::new();
        while !list.is_empty() {
            fingerprints.push(list.array()?);
        }
        Ok(Self {
            timestamp_ms: leaf.timestamp_ms,
            entry: leaf.entry,
            extensions: leaf.extensions,
            pre_certificate,
            fingerprints,
        })
    }
}

/// The leaves of a whole or partial data tile.
pub fn parse_data_tile(bytes: &[u8]) -> Result<Vec<DataTileEntry>, CtError> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    while !reader.is_empty() {
        if entries.len() == TILE_WIDTH {
            return Err(CtError::Trailing);
        }
        entries.push(DataTileEntry::read(&mut reader)?);
    }
    Ok(entries)
}

/// `extra_data` of a certificate entry: the chain, issuer first.
pub fn extra_data_x509(chain: &[&[u8]]) -> Vec<u8> {
    let mut list = Vec::new();
    for certificate in chain {
        tls::write_vector(&mut list, Width::U24, certificate);
    }
    let mut out = Vec::new();
    tls::write_vector(&mut out, Width::U24, &list);
    out
}

/// `extra_data` of a precertificate entry: the precertificate as submitted, then its chain.
pub fn extra_data_precert(pre_certificate: &[u8], chain: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    tls::write_vector(&mut out, Width::U24, pre_certificate);
    out.extend_from_slice(&extra_data_x509(chain));
    out
}
