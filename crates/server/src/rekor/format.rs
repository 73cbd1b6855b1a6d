// SPDX-License-Identifier: Apache-2.0
//! What the entries of a Rekor log say of themselves, for whoever checks a whole log.
//!
//! In scope: the same answers as [`super::append`] gave when it wrote the entry. Out of scope: whether a signature in an entry is good.

use touchmark_sequencer::{EntryFacts, EntryFormat, EntryTiles};
use touchmark_tlog::leaf_hash;
use touchmark_tlog::tile::decode_entry_bundle;

/// Entry bundles whose entries are the leaves.
#[derive(Debug)]
pub(crate) struct RekorEntries;

impl EntryFormat for RekorEntries {
    fn entry_tiles(&self) -> EntryTiles {
        EntryTiles::Entries
    }

    fn split(&self, tile: &[u8], width: u16) -> Result<Vec<Vec<u8>>, String> {
        let entries = decode_entry_bundle(tile, width).map_err(|error| error.to_string())?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    fn facts(&self, entry: &[u8]) -> Result<EntryFacts, String> {
        let leaf_hash = leaf_hash(entry);
        Ok(EntryFacts { leaf_hash, dedup_key: leaf_hash.0, place: None, blobs: Vec::new() })
    }

    fn blob_name(&self, _bytes: &[u8]) -> String {
        String::new()
    }
}
