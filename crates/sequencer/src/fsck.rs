// SPDX-License-Identifier: Apache-2.0
//! Checking a whole log: the tree is derived again from its entries, and everything that is stored or served is compared with that
//! (RFC 6962 §2.1, C2SP tlog-tiles, tlog-checkpoint).
//!
//! - [`check_stored`] checks the files of a log that does not run: ledger, objects, published checkpoint, anchor.
//! - [`check_served`] checks what a monitoring prefix serves, or a copy of it, under its signed checkpoint.
//!
//! Both read entries in order and hold the right edge of the tree and one batch: memory does not grow with the log. Nothing is
//! repaired, and nothing that opening a log does is called: a mistake there must not hide itself here. (What both share is
//! [`Edge`], which renders tiles; the hashes under it come from the entries alone.)
//!
//! In scope: the comparison, what a finding says. Out of scope: what an entry means ([`EntryFormat`] tells), HTTP, printing.
//!
//! Invariants: a check that could not be made is a finding or an error, never silence; findings are bounded by [`FINDINGS_MAX`],
//! and what exceeds them is counted.

mod finding;
mod note;
mod served;
mod stored;

use bytes::Bytes;
use touchmark_tlog::tile::{TILE_HEIGHT, TILE_WIDTH, Tile};
use touchmark_tlog::{Hash, TreeSize};

pub use finding::{FINDINGS_MAX, Finding, FindingKind, Findings};
pub use served::{HashTiles, Hears, Served, ServedError, ServedReport, Tiles, TilesError, check_served};
pub use stored::{FsckError, StoredLog, StoredReport, check_stored};

use crate::config::EntryTiles;
use crate::edge::{Edge, tile_bytes};
use crate::entry::{Blob, DedupKey, Sequenced};

/// What the entries of a kind of log look like.
///
/// What an implementer owes: it is pure, accepts any bytes without a panic, and says of an entry what the log's writer would have said.
pub trait EntryFormat: Send + Sync {
    fn entry_tiles(&self) -> EntryTiles;

    /// The entries of an entry tile that has `width` of them, or why the bytes are no such tile. Put together again they are the same bytes.
    fn split(&self, tile: &[u8], width: u16) -> Result<Vec<Vec<u8>>, String>;

    /// What an entry, as the entry tile holds it, says of itself.
    fn facts(&self, entry: &[u8]) -> Result<EntryFacts, String>;

    /// The name that an object with these bytes has, for the objects that entries need.
    fn blob_name(&self, bytes: &[u8]) -> String;
}

/// What follows from the bytes of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFacts {
    pub leaf_hash: Hash,
    pub dedup_key: DedupKey,
    /// Its place, if it states it (static CT).
    pub place: Option<Sequenced>,
    /// Names of the objects that it needs (issuers of a static CT log).
    pub blobs: Vec<String>,
}

/// A tree in the making, from its entries alone.
pub(crate) struct Rederived {
    entry_tiles: EntryTiles,
    edge: Edge,
}

impl Rederived {
    pub(crate) fn new(entry_tiles: EntryTiles) -> Self {
        let edge = Edge::at_boundary(entry_tiles, TreeSize(0), Vec::new()).expect("the empty tree has no nodes");
        Self { entry_tiles, edge }
    }

    /// Takes the next entry; the full tiles and entry tiles that it completes.
    pub(crate) fn append(&mut self, leaf_hash: &Hash, bundle_bytes: Bytes) -> Vec<Blob> {
        self.edge.append(leaf_hash, bundle_bytes, 0).completed
    }

    pub(crate) fn size(&self) -> TreeSize {
        self.edge.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.edge.head().root
    }

    /// The partial tile of each level, and the partial entry tile, of the tree as it is now.
    pub(crate) fn partial(&self) -> Vec<Blob> {
        let width = |count: usize| u16::try_from(count).expect("a partial tile has fewer than 256 hashes");
        let mut partial = Vec::new();
        let entries = width(self.edge.partial_entries().count());
        if entries > 0 {
            let name = self.entry_tiles.path(self.size().0 / u64::from(TILE_WIDTH), entries);
            partial.push(Blob { name, bytes: self.entry_tiles.encode(self.edge.partial_entries()) });
        }
        for level in 0..64 / TILE_HEIGHT {
            let hashes = self.edge.partial_hashes(level);
            if hashes.is_empty() {
                continue;
            }
            let index = (self.size().0 >> (level * TILE_HEIGHT)) / u64::from(TILE_WIDTH);
            let tile = Tile { level, index, width: width(hashes.len()) };
            partial.push(Blob { name: tile.path(), bytes: tile_bytes(hashes) });
        }
        partial
    }
}

/// How many entries of a tree of `size` are in full entry tiles.
pub(crate) fn in_full_tiles(size: TreeSize) -> TreeSize {
    TreeSize(size.0 - size.0 % u64::from(TILE_WIDTH))
}
