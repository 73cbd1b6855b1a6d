// SPDX-License-Identifier: Apache-2.0
//! The check of a log that does not run: its ledger, its objects, its published checkpoint, its anchor.
//!
//! One pass over the rows derives the tree; at each row its own fields and indices are compared, at each tile that it completes the object of that
//! name, at each size that a checkpoint states its root. What is left over at the end (rows, keys, objects, checkpoints of larger trees) is
//! found last.
//!
//! Out of scope: locks. The caller holds the directory, so that nothing changes meanwhile.
//!
//! Invariant: an object may be missing only where the next start publishes it: beyond the publishing cursor and the published checkpoint.

use std::collections::HashSet;
use std::path::Path;

use touchmark_tlog::note::NoteKey;
use touchmark_tlog::tile::{TilePath, parse_tile_path};
use touchmark_tlog::{Hash, LeafIndex, TreeSize};

use super::note::SignedHead;
use super::{EntryFacts, EntryFormat, FindingKind, Findings, Rederived, in_full_tiles};
use crate::config::EntryTiles;
use crate::entry::Blob;
use crate::fjall_ledger::audit::{Indexed, RowIndexed};
use crate::ledger::{Ledger, LedgerError, LedgerState, Row};
use crate::objects::{CHECKPOINT_NAME, ObjectError, Objects};
use crate::read::ROWS_MAX;
use crate::{FjallLedger, FsObjects};

/// Names of blobs that were compared; a CT log has a handful of issuers.
const KNOWN_BLOBS_MAX: usize = 4096;
/// Keys without an entry that are named; more are counted.
const STRAY_KEYS_MAX: usize = 16;

/// A log that does not run.
pub struct StoredLog<'a> {
    pub origin: &'a str,
    /// A checkpoint counts with a signature by one of them.
    pub keys: &'a [NoteKey],
    pub format: &'a dyn EntryFormat,
    pub ledger: &'a FjallLedger,
    pub objects: &'a FsObjects,
    pub anchor: Option<&'a Path>,
}

/// What was checked, and what was found.
#[derive(Clone, Debug)]
pub struct StoredReport {
    /// Entries that were read, and the root that they make.
    pub size: TreeSize,
    pub root: Hash,
    /// The tree of the published checkpoint, if that is this log's.
    pub published: Option<TreeSize>,
    /// Objects that are not there yet and that the next start publishes.
    pub unpublished: u64,
    pub findings: Findings,
}

/// Why a check could not be finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FsckError {
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    #[error("the objects: {0}")]
    Objects(#[from] ObjectError),
}

/// Checks a log whole. `progress` hears now and then how many entries are done, and of how many.
///
/// # Errors
/// Input and output failed. What is wrong with the log is no error but a finding.
pub async fn check_stored(
    log: StoredLog<'_>,
    progress: &mut (dyn FnMut(TreeSize, TreeSize) + Send),
) -> Result<StoredReport, FsckError> {
    let state = log.ledger.state().await?;
    let mut check = Check::new(log, state);
    check.read_checkpoints().await;
    let whole = check.rows(progress).await?;
    check.state(whole);
    check.indices(whole).await?;
    for head in std::mem::take(&mut check.heads) {
        head.compare_end(check.tree.size(), &mut check.findings);
    }
    check.stray_objects().await?;
    Ok(StoredReport {
        size: check.tree.size(),
        root: check.tree.root(),
        published: check.published,
        unpublished: check.unpublished,
        findings: check.findings,
    })
}

/// Whether every row of the ledger's state was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Whole,
    Broken,
}

struct Check<'a> {
    log: StoredLog<'a>,
    state: LedgerState,
    tree: Rederived,
    heads: Vec<SignedHead>,
    published: Option<TreeSize>,
    /// Every tile that is full at this size must be among the objects.
    demanded: TreeSize,
    unpublished: u64,
    time_ms: u64,
    /// Leaf hashes that have a record of their own.
    leaf_records: u64,
    known_blobs: HashSet<String>,
    findings: Findings,
}

impl<'a> Check<'a> {
    fn new(log: StoredLog<'a>, state: LedgerState) -> Self {
        let tree = Rederived::new(log.format.entry_tiles());
        Self {
            log,
            state,
            tree,
            heads: Vec::new(),
            published: None,
            demanded: in_full_tiles(state.published),
            unpublished: 0,
            time_ms: 0,
            leaf_records: 0,
            known_blobs: HashSet::new(),
            findings: Findings::default(),
        }
    }

    async fn read_checkpoints(&mut self) {
        let object = "checkpoint object";
        match self.log.objects.read(CHECKPOINT_NAME).await {
            Ok(Some(note)) => self.published = self.read_checkpoint(object, &note),
            Ok(None) if self.state.head.size.0 == 0 => {}
            Ok(None) => self.findings.add(FindingKind::CheckpointMissing, object, "a signed checkpoint", "no object"),
            Err(error) => {
                self.findings.add(FindingKind::ObjectUnreadable, object, "a signed checkpoint", error);
            }
        }
        if let Some(size) = self.published {
            self.demanded = self.demanded.max(in_full_tiles(size));
        }
        let Some(path) = self.log.anchor else { return };
        let object = format!("anchor {}", path.display());
        match crate::anchor::read(path).await {
            Ok(Some(note)) if note.is_empty() => {}
            Ok(Some(note)) => drop(self.read_checkpoint(&object, &note)),
            Ok(None) if self.state.head.size.0 == 0 => {}
            Ok(None) => self.findings.add(FindingKind::AnchorMissing, object, "the last signed checkpoint", "no file"),
            Err(error) => self.findings.add(FindingKind::AnchorMissing, object, "the last signed checkpoint", error),
        }
    }

    fn read_checkpoint(&mut self, object: &str, note: &[u8]) -> Option<TreeSize> {
        let head = SignedHead::read(object, note, self.log.origin, self.log.keys, &mut self.findings)?;
        let size = head.size;
        self.heads.push(head);
        Some(size)
    }

    /// Every row of the ledger's state, in order, until one is missing or cannot be read.
    async fn rows(&mut self, progress: &mut (dyn FnMut(TreeSize, TreeSize) + Send)) -> Result<Rows, FsckError> {
        let size = self.state.head.size;
        self.compare_heads();
        while self.tree.size() < size {
            let next = self.tree.size();
            let left = usize::try_from(size.0 - next.0).unwrap_or(usize::MAX);
            let Some(rows) = self.read_rows(next, left.min(ROWS_MAX)).await? else { return Ok(Rows::Broken) };
            if rows.first().map(|row| row.index.0) != Some(next.0) {
                let found = rows.first().map_or("no row".to_owned(), |row| format!("row {} as the next", row.index));
                self.findings.add(FindingKind::RowMissing, format_args!("row {next}"), "an entry", found);
                return Ok(Rows::Broken);
            }
            let (rows, indexed) = self.log.ledger.indexed(rows).await?;
            for (row, indexed) in rows.iter().zip(indexed) {
                if row.index.0 != self.tree.size().0 {
                    // Found again, and named, as the first of the next batch.
                    break;
                }
                self.row(row, indexed).await;
            }
            progress(self.tree.size(), size);
        }
        Ok(Rows::Whole)
    }

    /// A batch of rows; if the store cannot give it, as much of it as comes before the damage, and then `None`.
    async fn read_rows(&mut self, next: TreeSize, count: usize) -> Result<Option<Vec<Row>>, FsckError> {
        let ledger = self.log.ledger;
        match ledger.rows(LeafIndex(next.0), count).await {
            Ok(rows) => return Ok(Some(rows)),
            Err(LedgerError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let mut rows = Vec::new();
        for index in next.0..next.0.saturating_add(count as u64) {
            match ledger.rows(LeafIndex(index), 1).await {
                Ok(row) => rows.extend(row),
                Err(error @ LedgerError::Damaged { .. }) if rows.is_empty() => {
                    let object = format_args!("row {index}");
                    self.findings.add(FindingKind::LedgerUnreadable, object, "a record of the ledger", error);
                    return Ok(None);
                }
                Err(LedgerError::Damaged { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(rows))
    }

    async fn row(&mut self, row: &Row, indexed: RowIndexed) {
        let facts = self.row_facts(row);
        self.row_indices(row, indexed);
        let leaf_hash = facts.as_ref().map_or(row.leaf_hash, |facts| facts.leaf_hash);
        for object in self.tree.append(&leaf_hash, row.bundle_bytes.clone()) {
            self.object(&object).await;
        }
        for name in facts.into_iter().flat_map(|facts| facts.blobs) {
            self.blob(name).await;
        }
        self.compare_heads();
    }

    /// The fields of a row follow from its entry; what it says of its place and time is true.
    fn row_facts(&mut self, row: &Row) -> Option<EntryFacts> {
        let object = format!("row {}", row.index);
        let facts = match self.log.format.facts(&row.bundle_bytes) {
            Ok(facts) => facts,
            Err(error) => {
                self.findings.add(FindingKind::RowEntry, object, "an entry of this kind of log", error);
                return None;
            }
        };
        let mut differs = |expected: String, found: String| {
            self.findings.add(FindingKind::RowFields, &object, expected, found);
        };
        if facts.leaf_hash != row.leaf_hash {
            differs(format!("leaf hash {} of its entry", facts.leaf_hash), format!("leaf hash {}", row.leaf_hash));
        }
        if facts.dedup_key != row.dedup_key {
            let [expected, found] = [facts.dedup_key, row.dedup_key].map(Hash);
            differs(format!("dedup key {expected} of its entry"), format!("dedup key {found}"));
        }
        if let Some(place) = facts.place
            && (place.index, place.time_ms) != (row.index, row.time_ms)
        {
            let expected = format!("an entry for index {} and time {} ms", row.index, row.time_ms);
            differs(expected, format!("one for index {} and time {} ms", place.index, place.time_ms));
        }
        if row.time_ms < self.time_ms {
            differs(format!("a time not before {} ms", self.time_ms), format!("{} ms", row.time_ms));
        }
        self.time_ms = self.time_ms.max(row.time_ms);
        Some(facts)
    }

    fn row_indices(&mut self, row: &Row, indexed: RowIndexed) {
        self.leaf_records += u64::from(indexed.leaf != Indexed::ByDedupKey);
        let expected = format!("index {}", row.index);
        let key = Hash(row.dedup_key);
        for (kind, object, indexed) in [
            (FindingKind::DedupKey, format!("dedup key {key}"), indexed.dedup),
            (FindingKind::LeafKey, format!("leaf hash {}", row.leaf_hash), indexed.leaf),
        ] {
            match indexed {
                Indexed::Right | Indexed::ByDedupKey => {}
                Indexed::Missing => self.findings.add(kind, object, &expected, "no record"),
                Indexed::Wrong => self.findings.add(kind, object, &expected, "another place"),
            }
        }
    }

    fn compare_heads(&mut self) {
        let (size, tree) = (self.tree.size(), &self.tree);
        for head in &mut self.heads {
            head.compare_at(size, || tree.root(), &mut self.findings);
        }
    }

    /// A tile or entry tile that the tree has completed at its present size.
    async fn object(&mut self, expected: &Blob) {
        match self.log.objects.read(&expected.name).await {
            Ok(Some(found)) => self.findings.compare(FindingKind::ObjectDiffers, expected, &found),
            Ok(None) if self.tree_has_demanded_tiles() => {
                let length = format!("the {} bytes that follow from the entries", expected.bytes.len());
                self.findings.add(FindingKind::ObjectMissing, &expected.name, length, "no object");
            }
            Ok(None) => self.unpublished += 1,
            Err(error) => self.findings.add(FindingKind::ObjectUnreadable, &expected.name, "an object", error),
        }
    }

    /// The object was completed by the entry that is being taken, whose index is below the tree's size by one.
    fn tree_has_demanded_tiles(&self) -> bool {
        self.tree.size() <= self.demanded
    }

    async fn blob(&mut self, name: String) {
        if self.known_blobs.contains(&name) {
            return;
        }
        match self.log.objects.read(&name).await {
            Ok(Some(bytes)) => {
                let found = self.log.format.blob_name(&bytes);
                if found != name {
                    let bytes = format_args!("the bytes of {found}");
                    self.findings.add(FindingKind::ObjectDiffers, &name, "the bytes that its name says", bytes);
                }
            }
            Ok(None) => {
                let expected = format!("an object that entry {} needs", self.tree.size().0 - 1);
                self.findings.add(FindingKind::ObjectMissing, &name, expected, "no object");
            }
            Err(error) => self.findings.add(FindingKind::ObjectUnreadable, &name, "an object", error),
        }
        if self.known_blobs.len() >= KNOWN_BLOBS_MAX {
            self.known_blobs.clear();
        }
        self.known_blobs.insert(name);
    }

    /// The ledger's own state, against its rows.
    fn state(&mut self, rows: Rows) {
        let head = self.state.head;
        let object = "state of the ledger";
        let kind = FindingKind::LedgerState;
        if rows == Rows::Whole && head.root != self.tree.root() {
            let expected = format!("root {}, as the entries make it", self.tree.root());
            self.findings.add(kind, object, expected, format_args!("root {} at size {}", head.root, head.size));
        }
        if head.time_ms < self.time_ms {
            let expected = format!("a time not before {} ms, that of the newest entry", self.time_ms);
            self.findings.add(kind, object, expected, format_args!("{} ms", head.time_ms));
        }
        if let (Some(_), Some(signed)) = (self.state.frozen_ms, self.published)
            && signed < head.size
        {
            let expected = format!("the final checkpoint, of {} entries", head.size);
            self.findings.add(
                FindingKind::CheckpointNotFinal,
                "checkpoint object",
                expected,
                format_args!("one of {signed}"),
            );
        }
        let published = self.state.published;
        if published != in_full_tiles(published) || published > head.size {
            let expected = format!("a publishing cursor of full tiles within {}", head.size);
            self.findings.add(kind, object, expected, published);
        }
    }

    /// Rows beyond the state, keys without a row.
    async fn indices(&mut self, rows: Rows) -> Result<(), FsckError> {
        let size = self.state.head.size;
        match self.log.ledger.rows(LeafIndex(size.0), 1).await {
            Ok(beyond) => {
                for row in beyond {
                    let expected = format!("no row at or after {size}, the size of the ledger's state");
                    self.findings.add(FindingKind::RowStray, format_args!("row {}", row.index), expected, "an entry");
                }
            }
            Err(error @ LedgerError::Damaged { .. }) => {
                let object = format_args!("row {size}");
                self.findings.add(FindingKind::LedgerUnreadable, object, "no row", error);
            }
            Err(error) => return Err(error.into()),
        }
        if rows == Rows::Broken {
            // What the missing rows should have cannot be counted.
            return Ok(());
        }
        let counts = match self.log.ledger.counts().await {
            Ok(counts) => counts,
            Err(error @ LedgerError::Damaged { .. }) => {
                self.findings.add(FindingKind::LedgerUnreadable, "indices of the ledger", "records", error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let expected = format!("{size}, one for each entry");
        if counts.dedup > size.0 {
            let stray = self.log.ledger.stray_dedup_keys(size, STRAY_KEYS_MAX).await?;
            let stray: Vec<String> = stray.into_iter().map(|key| Hash(key).to_string()).collect();
            let found = format!("{}; without an entry: {}", counts.dedup, stray.join(", "));
            self.findings.add(FindingKind::DedupStray, "number of dedup keys", &expected, found);
        }
        if counts.leaves > self.leaf_records {
            let expected = format!("{}, one for each entry whose dedup key is another", self.leaf_records);
            self.findings.add(FindingKind::LeafStray, "number of leaf hashes", expected, counts.leaves);
        }
        Ok(())
    }

    /// Tiles among the objects that the tree does not have.
    async fn stray_objects(&mut self) -> Result<(), FsckError> {
        let (size, entry_tiles) = (self.state.head.size, self.log.format.entry_tiles());
        for name in self.log.objects.names_below("tile", &move |name| is_tile_of(name, size, entry_tiles)).await? {
            let expected = format!("no such object: the log has {size} entries and stores full tiles alone");
            self.findings.add(FindingKind::ObjectStray, name, expected, "an object");
        }
        Ok(())
    }
}

fn is_tile_of(name: &str, size: TreeSize, entry_tiles: EntryTiles) -> bool {
    let Ok(path) = parse_tile_path(name) else { return false };
    let is_of_this_log = match (path, entry_tiles) {
        (TilePath::Hashes(_), _)
        | (TilePath::Entries { .. }, EntryTiles::Entries)
        | (TilePath::Data { .. }, EntryTiles::Data) => true,
        (TilePath::Entries { .. }, EntryTiles::Data) | (TilePath::Data { .. }, EntryTiles::Entries) => false,
    };
    is_of_this_log && !path.is_partial() && path.is_in(size)
}
