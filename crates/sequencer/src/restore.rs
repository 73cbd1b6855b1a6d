// SPDX-License-Identifier: Apache-2.0
//! A log's files out of a copy of what it served, and what it would serve out of its files.
//!
//! A backup is a monitoring prefix in a directory (C2SP tlog-tiles, static-ct-api): any tool for such logs reads and verifies it. What a
//! ledger has beside that follows from the entries, but for the time at which an entry of a Rekor v2 log came in, which is in no evidence and
//! shown to nobody: a restored ledger has the time that the caller says.
//!
//! In scope: reading a stopped log as tiles, writing a new ledger and its objects. Out of scope: whether the log may go on from there (that is
//! the caller's to prove); where copies lie.
//!
//! Invariants: nothing is written before the whole copy was checked; the tree that was written is the one that was checked; the publishing
//! cursor never passes an object that is not durable.

use bytes::Bytes;
use touchmark_tlog::tile::{TILE_WIDTH, TilePath, parse_tile_path};
use touchmark_tlog::{LeafIndex, TreeSize};

use crate::config::EntryTiles;
use crate::edge::Edge;
use crate::entry::Blob;
use crate::fsck::{
    EntryFormat, Hears, Served, ServedError, ServedReport, Tiles, TilesError, check_served, in_full_tiles,
};
use crate::ledger::{Batch, Commit, Ledger, LedgerError, LedgerState, Row, TreeHead};
use crate::objects::{CHECKPOINT_NAME, ObjectError, Objects};
use crate::{FjallLedger, FsObjects};

/// Entry tiles in one durable commit.
const TILES_PER_COMMIT: u64 = 4;

/// What the ledger and the objects of a stopped log would serve: entry tiles out of the rows, blobs and the checkpoint out of the objects.
pub struct StoredTiles<'a> {
    pub ledger: &'a FjallLedger,
    pub objects: &'a FsObjects,
    pub format: &'a dyn EntryFormat,
}

impl Tiles for StoredTiles<'_> {
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TilesError> {
        let failed = |problem: String| TilesError { name: name.to_owned(), problem };
        match (parse_tile_path(name), self.format.entry_tiles()) {
            (Ok(TilePath::Entries { index, width }), EntryTiles::Entries)
            | (Ok(TilePath::Data { index, width }), EntryTiles::Data) => {
                let first = LeafIndex(index.saturating_mul(u64::from(TILE_WIDTH)));
                let rows =
                    self.ledger.rows(first, usize::from(width)).await.map_err(|error| failed(error.to_string()))?;
                let consecutive = (first.0..).zip(&rows).all(|(index, row)| row.index.0 == index);
                if rows.len() < usize::from(width) || !consecutive {
                    return Ok(None);
                }
                let entries = rows.iter().map(|row| row.bundle_bytes.as_ref());
                Ok(Some(self.format.entry_tiles().encode(entries)))
            }
            _ => self.objects.read(name).await.map_err(|error| failed(error.to_string())),
        }
    }
}

/// What a restored log is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredAs {
    /// The time of entries that state none.
    pub time_ms: u64,
    /// When the log was frozen, if it was: it takes nothing more.
    pub frozen_ms: Option<u64>,
}

/// What became of a restore.
#[derive(Clone, Debug)]
pub enum Restored {
    /// Ledger and objects are those of the copy, and durable.
    Whole(ServedReport),
    /// The copy has findings; nothing was written.
    Refused(ServedReport),
}

/// Why a log was not restored. What was written is to be thrown away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("the copy: {0}")]
    Copy(#[from] ServedError),
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    #[error("the objects: {0}")]
    Objects(#[from] ObjectError),
    /// The directory is not that of a new log.
    #[error("the ledger is not empty: it holds {0}")]
    NotEmpty(TreeHead),
    /// The copy was changed after it was checked.
    #[error("the copy was changed while it was read: {0}")]
    Changed(String),
}

/// Writes the log that a copy holds into a new ledger and new objects.
///
/// Effect: rows, objects, last the checkpoint. A crash in between leaves a ledger of fewer entries without a checkpoint: the caller writes to
/// a place where no log is looked for, and puts it in place only when this has ended well.
pub async fn restore<'a, T: Tiles>(
    served: Served<'a, T>,
    into: (&FjallLedger, &FsObjects),
    restored_as: RestoredAs,
    progress: &'a mut (dyn FnMut(TreeSize, TreeSize) + Send),
) -> Result<Restored, RestoreError> {
    let (ledger, objects) = into;
    let state = ledger.state().await?;
    if state != LedgerState::empty() {
        return Err(RestoreError::NotEmpty(state.head));
    }
    let (format, tiles) = (served.format, served.tiles);
    let mut blobs = Vec::new();
    let mut take = |object: &Blob| {
        // Tiles are rendered again; what else there is, a handful of issuers, is kept.
        if !object.name.starts_with("tile/") {
            blobs.push(object.clone());
        }
        Ok(())
    };
    let hears = Hears { take: &mut take, progress };
    let report = check_served(served, hears).await?;
    if report.findings.count() > 0 {
        return Ok(Restored::Refused(report));
    }
    for blob in &blobs {
        objects.create(&blob.name, &blob.bytes).await?;
    }
    let mut writing = Writing { format, ledger, objects, restored_as, state, edge: empty_edge(format.entry_tiles()) };
    writing.entries(tiles, report.size).await?;
    if writing.state.head.root != report.root {
        return Err(RestoreError::Changed(format!("root {} became {}", report.root, writing.state.head.root)));
    }
    writing.commit(Vec::new(), restored_as.frozen_ms).await?;
    objects.replace(CHECKPOINT_NAME, &report.checkpoint).await?;
    Ok(Restored::Whole(report))
}

fn empty_edge(entry_tiles: EntryTiles) -> Edge {
    Edge::at_boundary(entry_tiles, TreeSize(0), Vec::new()).expect("the empty tree has no nodes")
}

/// A log that is being written.
struct Writing<'a> {
    format: &'a dyn EntryFormat,
    ledger: &'a FjallLedger,
    objects: &'a FsObjects,
    restored_as: RestoredAs,
    /// What is durable.
    state: LedgerState,
    edge: Edge,
}

impl Writing<'_> {
    async fn entries<T: Tiles>(&mut self, tiles: &T, size: TreeSize) -> Result<(), RestoreError> {
        let width = u64::from(TILE_WIDTH);
        let mut rows = Vec::new();
        for index in 0..size.0.div_ceil(width) {
            let held = (size.0 - index * width).min(width);
            let held = u16::try_from(held).expect("an entry tile has at most 256 entries");
            let name = self.format.entry_tiles().path(index, held);
            let changed = |problem: String| RestoreError::Changed(format!("{name}: {problem}"));
            let read = tiles.read(&name).await.map_err(ServedError::from)?;
            let bytes = read.ok_or_else(|| changed("it is gone".to_owned()))?;
            for entry in self.format.split(&bytes, held).map_err(changed)? {
                rows.push(self.row(entry).await?);
            }
            if index % TILES_PER_COMMIT == TILES_PER_COMMIT - 1 {
                self.commit(std::mem::take(&mut rows), None).await?;
            }
        }
        self.commit(rows, None).await
    }

    /// The next row; the tiles that it completes are durable before it is.
    async fn row(&mut self, entry: Vec<u8>) -> Result<Row, RestoreError> {
        let entry = Bytes::from(entry);
        let facts = self.format.facts(&entry).map_err(RestoreError::Changed)?;
        let index = LeafIndex(self.edge.size().0);
        let time_ms = facts.place.map_or(self.restored_as.time_ms, |place| place.time_ms);
        for object in self.edge.append(&facts.leaf_hash, entry.clone(), time_ms).completed {
            self.objects.create(&object.name, &object.bytes).await?;
        }
        let (dedup_key, leaf_hash) = (facts.dedup_key, facts.leaf_hash);
        Ok(Row { index, time_ms, dedup_key, leaf_hash, bundle_bytes: entry, meta: Vec::new() })
    }

    async fn commit(&mut self, rows: Vec<Row>, frozen_ms: Option<u64>) -> Result<(), RestoreError> {
        let head = self.edge.head();
        let state = LedgerState { head, published: in_full_tiles(head.size), frozen_ms };
        if state == self.state {
            return Ok(());
        }
        match self.ledger.commit(&self.state.head, &Batch { rows, state }).await? {
            Commit::Committed => {
                self.state = state;
                Ok(())
            }
            Commit::Conflict { actual } => Err(RestoreError::NotEmpty(actual)),
        }
    }
}
