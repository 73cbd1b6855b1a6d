// SPDX-License-Identifier: Apache-2.0
//! The right edge of a tree: all of it that the next entry needs.
//!
//! It holds the tree's frontier, the tiles that are not full yet (C2SP tlog-tiles) and the entries of the last, partial entry tile. Sequencing new
//! entries and rebuilding after a restart both go through [`Edge::append`], so that recovery has no code of its own.
//!
//! Pure. Invariant: `levels[l]` has as many hashes as the tree has subtrees of `256^l` leaves, modulo 256.

use bytes::Bytes;
use touchmark_tlog::proof::NodeId;
use touchmark_tlog::tile::{TILE_HEIGHT, TILE_WIDTH, Tile};
use touchmark_tlog::{Frontier, Hash, TreeSize, node_hash};

use crate::config::EntryTiles;
use crate::entry::Blob;
use crate::ledger::TreeHead;

#[derive(Clone)]
pub(crate) struct Edge {
    entry_tiles: EntryTiles,
    frontier: Frontier,
    /// For each tile level the hashes of its partial tile, possibly none.
    levels: Vec<Vec<Hash>>,
    /// The entries after the last full entry tile. Shared, because an edge is cloned for each batch.
    entries: Vec<Bytes>,
    time_ms: u64,
}

/// What one more entry completes.
pub(crate) struct Appended {
    /// Every perfect subtree that it completes, its own leaf included.
    pub(crate) nodes: Vec<(NodeId, Hash)>,
    /// Every tile and entry tile that it fills, entries first.
    pub(crate) completed: Vec<Blob>,
}

impl Edge {
    #[cfg(test)]
    pub(crate) fn empty(entry_tiles: EntryTiles) -> Self {
        Self { entry_tiles, frontier: Frontier::new(), levels: Vec::new(), entries: Vec::new(), time_ms: 0 }
    }

    /// The edge of a tree whose size is a multiple of 256, from its partial tiles of all levels above 0.
    pub(crate) fn at_boundary(entry_tiles: EntryTiles, size: TreeSize, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let frontier = Frontier::from_nodes(size, frontier_hashes(&levels)).ok()?;
        Some(Self { entry_tiles, frontier, levels, entries: Vec::new(), time_ms: 0 })
    }

    pub(crate) fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    /// From now on no entry is older than this.
    pub(crate) fn not_before(&mut self, time_ms: u64) {
        self.time_ms = self.time_ms.max(time_ms);
    }

    pub(crate) fn time_ms(&self) -> u64 {
        self.time_ms
    }

    pub(crate) fn head(&self) -> TreeHead {
        TreeHead { size: self.size(), root: self.frontier.root(), time_ms: self.time_ms }
    }

    /// The roots of the perfect subtrees of which the tree is made.
    pub(crate) fn frontier_nodes(&self) -> Vec<(NodeId, Hash)> {
        self.frontier.nodes()
    }

    /// The hashes of the partial tile at `level`.
    pub(crate) fn partial_hashes(&self, level: u8) -> &[Hash] {
        self.levels.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// The entries of the partial entry tile.
    pub(crate) fn partial_entries(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(AsRef::as_ref)
    }

    pub(crate) fn append(&mut self, leaf_hash: &Hash, bundle_bytes: Bytes, time_ms: u64) -> Appended {
        let mut completed = Vec::new();
        self.not_before(time_ms);
        self.entries.push(bundle_bytes);
        if self.entries.len() == usize::from(TILE_WIDTH) {
            let name = self.entry_tiles.path(self.size().0 / u64::from(TILE_WIDTH), TILE_WIDTH);
            completed.push(Blob { name, bytes: self.entry_tiles.encode(self.partial_entries()) });
            self.entries.clear();
        }

        let mut nodes = Vec::new();
        self.frontier.append(leaf_hash, |node, hash| nodes.push((node, hash)));
        for (node, hash) in &nodes {
            if node.level % TILE_HEIGHT == 0 {
                completed.extend(self.push_hash(node.level / TILE_HEIGHT, node.index, *hash));
            }
        }
        Appended { nodes, completed }
    }

    /// Puts a hash into the partial tile at its level; a full tile leaves the edge.
    fn push_hash(&mut self, level: u8, index: u64, hash: Hash) -> Option<Blob> {
        if self.levels.len() == usize::from(level) {
            self.levels.push(Vec::new());
        }
        let hashes = &mut self.levels[usize::from(level)];
        hashes.push(hash);
        (hashes.len() == usize::from(TILE_WIDTH)).then(|| {
            let tile = Tile { level, index: index / u64::from(TILE_WIDTH), width: TILE_WIDTH };
            Blob { name: tile.path(), bytes: tile_bytes(&std::mem::take(hashes)) }
        })
    }
}

/// The bytes of a tile of hashes.
pub(crate) fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The root over a power of two of hashes.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&perfect_root(left), &perfect_root(right))
        }
    }
}

/// The frontier of the tree with these partial tiles, the largest subtree first: as the binary digits of a partial tile's width fall, so
/// do the sizes of the subtrees into which it splits.
fn frontier_hashes(levels: &[Vec<Hash>]) -> Vec<Hash> {
    let mut frontier = Vec::new();
    for hashes in levels.iter().rev() {
        let mut rest = hashes.as_slice();
        for bit in (0..TILE_HEIGHT).rev() {
            let width = 1_usize << bit;
            if hashes.len() & width != 0 {
                let (subtree, after) = rest.split_at(width);
                frontier.push(perfect_root(subtree));
                rest = after;
            }
        }
    }
    frontier
}
