// SPDX-License-Identifier: Apache-2.0
//! Tiles: the hashes of a tree and its entries as static resources (C2SP tlog-tiles, C2SP static-ct-api "Merkle Tree").
//!
//! In scope: which tiles a tree of some size has, their paths (written and parsed), the hashes of nodes out of tile bytes,
//! entry bundles.
//! Out of scope: serving and storing tiles (crates `sequencer`, `server`); the entries of CT data tiles (`sigstore::ct`).
//! Invariants: a path has one spelling, all others are refused; a parsed width is 1 to 256; bytes are used as a tile only when
//! their length is exactly that of the tile.

mod bundle;
mod path;

pub use bundle::{ENTRY_BYTES_MAX, decode_entry_bundle, encode_entry_bundle};
pub use path::{TilePath, data_path, entry_bundle_path, parse_tile_path};

use crate::hash::{HASH_BYTES, Hash, TreeSize, node_hash};
use crate::proof::NodeId;

/// Hashes of a full tile, entries of a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Levels of the tree from one level of tiles to the next: 2^8 is [`TILE_WIDTH`].
pub const TILE_HEIGHT: u8 = 8;
/// Highest level that a path can name.
pub const TILE_LEVEL_MAX: u8 = 63;
/// Levels of tiles that a tree of less than 2^64 leaves has: its hashes are 64 levels high.
const TREE_LEVELS: u8 = 64 / TILE_HEIGHT;

/// The hashes of `width` neighbouring nodes at tree level `8 * level`, from number `256 * index` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Level of tiles; 0 holds leaf hashes. At most [`TILE_LEVEL_MAX`].
    pub level: u8,
    /// Position in its level.
    pub index: u64,
    /// Number of hashes, 1 to [`TILE_WIDTH`].
    pub width: u16,
}

/// Why something is not a tile, a path of a tile or a bundle of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not the path of any tile.
    #[error("not the path of a tile")]
    Path,
    /// The bytes are no tile of this width.
    #[error("the tile must have {expected} bytes, found {found}")]
    WrongLength {
        /// Bytes that a tile of the width has.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// The node cannot be computed from this tile.
    #[error("{node} is not in the tile")]
    NodeOutside {
        /// The node.
        node: NodeId,
    },
    /// The tree is not large enough to have the node.
    #[error("{node} is not complete in a tree of size {size}")]
    NodeIncomplete {
        /// The node.
        node: NodeId,
        /// Size of the tree.
        size: TreeSize,
    },
    /// An entry is longer than its length field can say.
    #[error("entry {position} has {bytes} bytes, at most {ENTRY_BYTES_MAX} fit in a bundle")]
    EntryTooLong {
        /// Position of the entry in the bundle.
        position: usize,
        /// Its length.
        bytes: usize,
    },
    /// The bundle does not hold as many entries as its width says.
    #[error("the bundle ends within entry {position} of {width}")]
    BundleTruncated {
        /// Position of the entry that is not whole.
        position: u16,
        /// Number of entries that the bundle should hold.
        width: u16,
    },
    /// Bytes follow the last entry of the bundle.
    #[error("{bytes} bytes follow the last entry of the bundle")]
    BundleTrailing {
        /// How many.
        bytes: usize,
    },
}

impl Tile {
    /// The tile out of which a node's hash comes when the tree has `size` leaves; as wide as it is at that size.
    pub fn covering(node: NodeId, size: TreeSize) -> Result<Tile, TileError> {
        if !node.is_complete_in(size) {
            return Err(TileError::NodeIncomplete { node, size });
        }
        // A complete node has a level below 64 and all its leaves below 2^64, so that no shift here loses bits.
        let level = node.level / TILE_HEIGHT;
        let index = (node.index << (node.level % TILE_HEIGHT)) / u64::from(TILE_WIDTH);
        let width = Tile::width_in(level, index, size);
        Ok(Tile { level, index, width })
    }

    /// All tiles of a tree, level by level from the leaves, each from the left; the last of a level may be partial.
    pub fn tiles_of_size(size: TreeSize) -> impl Iterator<Item = Tile> {
        (0..TREE_LEVELS).flat_map(move |level| {
            let count = hashes_at(level, size).div_ceil(u64::from(TILE_WIDTH));
            (0..count).map(move |index| Tile { level, index, width: Tile::width_in(level, index, size) })
        })
    }

    /// The tiles of a tree of size `new` that a tree of size `old` does not have: those that became full or were begun, and the
    /// partial ones that grew.
    pub fn tiles_grown(old: TreeSize, new: TreeSize) -> impl Iterator<Item = Tile> {
        (0..TREE_LEVELS).flat_map(move |level| {
            let (from, to) = (hashes_at(level, old), hashes_at(level, new));
            // The tile in which the first new hash stands, up to the tile in which the last one stands.
            let width = u64::from(TILE_WIDTH);
            let changed = if from < to { from / width..to.div_ceil(width) } else { 0..0 };
            changed.map(move |index| Tile { level, index, width: Tile::width_in(level, index, new) })
        })
    }

    /// Whether a tree of this size has all hashes of the tile.
    pub fn is_in(&self, size: TreeSize) -> bool {
        self.width > 0 && self.width <= Tile::width_in(self.level, self.index, size)
    }

    /// Whether the tile holds fewer hashes than a full one.
    pub fn is_partial(&self) -> bool {
        self.width < TILE_WIDTH
    }

    /// The nodes whose hashes the tile is made of, in order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        let Tile { level, index, width } = *self;
        let level = level.saturating_mul(TILE_HEIGHT);
        let first = index.saturating_mul(u64::from(TILE_WIDTH));
        (0..u64::from(width)).map(move |offset| NodeId { level, index: first.saturating_add(offset) })
    }

    /// The hash of a node, computed from the bytes of the tile that covers it.
    pub fn node(&self, bytes: &[u8], node: NodeId) -> Result<Hash, TileError> {
        let hashes = self.hashes(bytes)?;
        let outside = TileError::NodeOutside { node };
        if node.level / TILE_HEIGHT != self.level {
            return Err(outside);
        }
        let height = node.level % TILE_HEIGHT;
        let per_tile = u64::from(TILE_WIDTH >> height);
        if node.index / per_tile != self.index {
            return Err(outside);
        }
        let width = 1_usize << height;
        let start = usize::try_from(node.index % per_tile).expect("below the width of a tile") * width;
        let leaves = hashes.get(start..start + width).ok_or(outside)?;
        Ok(perfect_root(leaves))
    }

    /// The hashes of the tile out of its bytes.
    pub fn hashes(&self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        let expected = usize::from(self.width) * HASH_BYTES;
        if bytes.len() != expected {
            return Err(TileError::WrongLength { expected, found: bytes.len() });
        }
        let (hashes, _) = bytes.as_chunks::<HASH_BYTES>();
        Ok(hashes.iter().copied().map(Hash).collect())
    }

    /// Where the tile is served: `tile/<level>/<index>[.p/<width>]`.
    pub fn path(&self) -> String {
        path::of_tile(self)
    }

    /// Reads a path of a tile of hashes, as [`Tile::path`] writes it.
    pub fn parse(path: &str) -> Result<Tile, TileError> {
        match parse_tile_path(path)? {
            TilePath::Hashes(tile) => Ok(tile),
            TilePath::Entries { .. } | TilePath::Data { .. } => Err(TileError::Path),
        }
    }

    /// How many hashes the tile has in a tree of this size: 0 if the tree has no such tile.
    fn width_in(level: u8, index: u64, size: TreeSize) -> u16 {
        let before = u128::from(index) * u128::from(TILE_WIDTH);
        let hashes = u128::from(hashes_at(level, size)).saturating_sub(before);
        u16::try_from(hashes).map_or(TILE_WIDTH, |hashes| hashes.min(TILE_WIDTH))
    }
}

/// How many hashes all tiles of a level hold together: the perfect subtrees of 256^level leaves.
fn hashes_at(level: u8, size: TreeSize) -> u64 {
    size.0.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0)
}

/// The root over a power of two of hashes.
fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().expect("a node covers at least one hash")
}

#[cfg(test)]
mod tests;
