// SPDX-License-Identifier: Apache-2.0
//! Reading a log: tiles (C2SP tlog-tiles), proofs (RFC 6962 §2.1), rows.
//!
//! Nothing is shown beyond the latest signed tree. Full tiles come from the objects, or from the backlog while they wait to be published;
//! partial ones are rendered on read and never stored.
//!
//! In scope: reads of one log. Out of scope: paths of HTTP, caching headers (crate `server`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use touchmark_tlog::proof::{ProofPlan, consistency_plan, inclusion_plan};
use touchmark_tlog::tile::{TILE_WIDTH, Tile, TilePath};
use touchmark_tlog::{HASH_BYTES, Hash, LeafIndex, TreeSize};

use crate::config::EntryTiles;
use crate::edge::{Edge, tile_bytes};
use crate::error::ReadError;
use crate::ledger::Row;
use crate::log::{Log, SignedTree};
use crate::objects::Objects;
use crate::publish::Backlog;

/// Rows that one call of [`Log::rows`] gives at most.
pub const ROWS_MAX: usize = 1024;

impl Log {
    /// A tile or entry tile, full or partial, or `None` if the latest signed tree does not have it.
    pub async fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, ReadError> {
        let signed = self.signed();
        if !path.is_in(signed.checkpoint.size) {
            return Ok(None);
        }
        match (path, self.shared.config.entry_tiles) {
            (TilePath::Hashes(tile), _) => self.reader(&signed).tile(tile).await.map(Some),
            (TilePath::Entries { index, width }, EntryTiles::Entries)
            | (TilePath::Data { index, width }, EntryTiles::Data) => {
                self.entry_tile(&signed, index, width).await.map(Some)
            }
            (TilePath::Entries { .. }, EntryTiles::Data) | (TilePath::Data { .. }, EntryTiles::Entries) => Ok(None),
        }
    }

    /// The inclusion proof of an entry in the tree of `size`, signed or smaller.
    pub async fn inclusion_proof(&self, index: LeafIndex, size: TreeSize) -> Result<Vec<Hash>, ReadError> {
        let signed = self.signed_at_least(size)?;
        let plan = inclusion_plan(index, size).map_err(|_| ReadError::IndexBeyondSize { index, size })?;
        self.reader(&signed).prove(&plan).await
    }

    /// The consistency proof between two trees, signed or smaller.
    pub async fn consistency_proof(&self, old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, ReadError> {
        let signed = self.signed_at_least(new)?;
        let plan = consistency_plan(old, new).map_err(|_| ReadError::SizesReversed { old, new })?;
        self.reader(&signed).prove(&plan).await
    }

    /// The index of an entry with this leaf hash in the latest signed tree.
    pub async fn find_leaf(&self, leaf_hash: &Hash) -> Result<Option<LeafIndex>, ReadError> {
        let size = self.signed().checkpoint.size;
        let index = self.shared.ledger.find_leaf(leaf_hash).await?;
        Ok(index.filter(|index| index.0 < size.0))
    }

    /// Entries of the latest signed tree from `start` on, at most [`ROWS_MAX`].
    pub async fn rows(&self, start: LeafIndex, count: usize) -> Result<Vec<Row>, ReadError> {
        let left = self.signed().checkpoint.size.0.saturating_sub(start.0);
        let count = count.min(ROWS_MAX).min(usize::try_from(left).unwrap_or(ROWS_MAX));
        if count == 0 {
            return Ok(Vec::new());
        }
        Ok(self.shared.ledger.rows(start, count).await?)
    }

    /// An object by name, such as a blob that came with an entry.
    pub async fn object(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.shared.objects.read(name).await?)
    }

    async fn entry_tile(&self, signed: &SignedTree, index: u64, width: u16) -> Result<Vec<u8>, ReadError> {
        let entry_tiles = self.shared.config.entry_tiles;
        let first = index * u64::from(TILE_WIDTH);
        if width == TILE_WIDTH {
            let name = entry_tiles.path(index, width);
            if let Some(bytes) = self.reader(signed).object(&name).await? {
                return Ok(bytes);
            }
            return Err(ReadError::TileUnreadable { name });
        }
        if signed.checkpoint.size.0 - first < u64::from(TILE_WIDTH) {
            return Ok(entry_tiles.encode(signed.edge.partial_entries().take(usize::from(width))));
        }
        // A partial form of a tile that is full by now: somebody still reads under an older checkpoint.
        let rows = self.shared.ledger.rows(LeafIndex(first), usize::from(width)).await?;
        Ok(entry_tiles.encode(rows.iter().map(|row| row.bundle_bytes.as_ref())))
    }

    fn reader<'log>(&'log self, signed: &'log SignedTree) -> TreeReader<'log> {
        TreeReader { objects: self.shared.objects.as_ref(), backlog: &self.shared.backlog, edge: &signed.edge }
    }

    fn signed_at_least(&self, size: TreeSize) -> Result<std::sync::Arc<SignedTree>, ReadError> {
        let signed = self.signed();
        let signed_size = signed.checkpoint.size;
        if size > signed_size {
            return Err(ReadError::SizeBeyondSigned { size, signed: signed_size });
        }
        Ok(signed)
    }
}

/// The hashes of one tree: its edge, and the full tiles to the left of it.
pub(crate) struct TreeReader<'log> {
    pub(crate) objects: &'log dyn Objects,
    pub(crate) backlog: &'log Backlog,
    pub(crate) edge: &'log Edge,
}

impl TreeReader<'_> {
    /// The hashes that a proof plan asks for. Its nodes are complete in the tree.
    pub(crate) async fn prove(&self, plan: &ProofPlan) -> Result<Vec<Hash>, ReadError> {
        let mut tiles: HashMap<Tile, Vec<u8>> = HashMap::new();
        let mut hashes = Vec::with_capacity(plan.nodes().len());
        for node in plan.nodes() {
            let tile = Tile::covering(*node, self.edge.size()).expect("a plan for this tree names complete nodes");
            let bytes = match tiles.entry(tile) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(unread) => unread.insert(self.tile(tile).await?),
            };
            hashes.push(tile.node(bytes, *node).map_err(|_| damaged(&tile))?);
        }
        Ok(plan.assemble(&hashes))
    }

    /// The bytes of a tile of hashes that the tree has.
    pub(crate) async fn tile(&self, tile: Tile) -> Result<Vec<u8>, ReadError> {
        let full = Tile { width: TILE_WIDTH, ..tile };
        if full.is_in(self.edge.size()) {
            let bytes = self.object(&full.path()).await?.filter(|bytes| bytes.len() == byte_length(&full));
            let mut bytes = bytes.ok_or_else(|| damaged(&full))?;
            bytes.truncate(byte_length(&tile));
            return Ok(bytes);
        }
        let hashes = self.edge.partial_hashes(tile.level).get(..usize::from(tile.width));
        hashes.map(tile_bytes).ok_or_else(|| damaged(&tile))
    }

    async fn object(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        if let Some(object) = self.backlog.find(name) {
            return Ok(Some(object.bytes.clone()));
        }
        Ok(self.objects.read(name).await?)
    }
}

fn byte_length(tile: &Tile) -> usize {
    usize::from(tile.width) * HASH_BYTES
}

fn damaged(tile: &Tile) -> ReadError {
    ReadError::TileUnreadable { name: tile.path() }
}
