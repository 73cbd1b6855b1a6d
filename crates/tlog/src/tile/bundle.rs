// SPDX-License-Identifier: Apache-2.0
//! Entry bundles (C2SP tlog-tiles "Log entries"): each entry after its length as a big-endian u16.
//!
//! In scope: writing and reading. Out of scope: what an entry is.
//! Invariants: reading gives exactly `width` entries or refuses; no byte is left over.

use super::TileError;

/// Longest entry: its length field has 16 bits.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// Writes the bundle of these entries.
pub fn encode_entry_bundle(entries: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, TileError> {
    let mut bundle = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        let entry = entry.as_ref();
        let length =
            u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong { position, bytes: entry.len() })?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Reads the `width` entries of a bundle.
pub fn decode_entry_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut rest = bytes;
    let mut entries = Vec::new();
    for position in 0..width {
        let (entry, after) = split_entry(rest).ok_or(TileError::BundleTruncated { position, width })?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(TileError::BundleTrailing { bytes: rest.len() }) }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
