// SPDX-License-Identifier: Apache-2.0
//! What the entries of a static CT log say of themselves, for whoever checks a whole log (C2SP static-ct-api "Log entries").
//!
//! In scope: the same answers as [`super::append`] gave when it wrote the entry. Out of scope: whether a chain is good.

use touchmark_sequencer::{EntryFacts, EntryFormat, EntryTiles, Sequenced};
use touchmark_sigstore::ct::{DataTileEntry, parse_data_tile, parse_leaf_index_extension};
use touchmark_tlog::leaf_hash;

use super::append::issuer_name;

/// Data tiles, whose entries hold their index, their time and the fingerprints of their issuers.
#[derive(Debug)]
pub(crate) struct CtEntries;

impl EntryFormat for CtEntries {
    fn entry_tiles(&self) -> EntryTiles {
        EntryTiles::Data
    }

    fn split(&self, tile: &[u8], width: u16) -> Result<Vec<Vec<u8>>, String> {
        let entries = parse_data_tile(tile).map_err(|error| error.to_string())?;
        if entries.len() != usize::from(width) {
            return Err(format!("{} entries", entries.len()));
        }
        let entries: Vec<Vec<u8>> = entries.iter().map(DataTileEntry::encode).collect();
        if entries.concat() == tile { Ok(entries) } else { Err("bytes that no log writes".to_owned()) }
    }

    fn facts(&self, entry: &[u8]) -> Result<EntryFacts, String> {
        let parsed = DataTileEntry::parse(entry).map_err(|error| error.to_string())?;
        if parsed.encode() != entry {
            return Err("bytes that no log writes".to_owned());
        }
        let index = parse_leaf_index_extension(&parsed.extensions).map_err(|error| error.to_string())?;
        Ok(EntryFacts {
            leaf_hash: leaf_hash(&parsed.merkle_tree_leaf()),
            dedup_key: parsed.entry.identity(),
            place: Some(Sequenced { index, time_ms: parsed.timestamp_ms }),
            blobs: parsed.fingerprints.iter().map(issuer_name).collect(),
        })
    }

    fn blob_name(&self, bytes: &[u8]) -> String {
        issuer_name(&touchmark_keys::sha256(bytes))
    }
}
