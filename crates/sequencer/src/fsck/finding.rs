// SPDX-License-Identifier: Apache-2.0
//! What a check found: which object, what was expected of it, what was found, what to do.

use std::fmt;

use crate::entry::Blob;

/// Findings that are kept; a log that lost its first tile has one for each tile above and beside it. The others are counted.
pub const FINDINGS_MAX: usize = 1000;

/// What is wrong, in one word that does not change between versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// The ledger cannot be read at this place.
    LedgerUnreadable,
    /// The ledger has no row at this index.
    RowMissing,
    /// The ledger has a row that its state does not know.
    RowStray,
    /// The entry of a row is none of this log.
    RowEntry,
    /// The leaf hash, the dedup key or the time of a row is not that of its entry, or times run backwards.
    RowFields,
    /// An entry's dedup key is not in the ledger, or leads elsewhere: a duplicate would be admitted.
    DedupKey,
    /// A dedup key without an entry: a new entry would be refused as a duplicate.
    DedupStray,
    /// An entry's leaf hash is not in the ledger, or leads elsewhere.
    LeafKey,
    /// A leaf hash without an entry.
    LeafStray,
    /// The state of the ledger is not that of its rows.
    LedgerState,
    /// An object is not there.
    ObjectMissing,
    /// An object has other bytes than the entries demand.
    ObjectDiffers,
    /// An object cannot be read.
    ObjectUnreadable,
    /// An object that the log's tree does not have.
    ObjectStray,
    /// An entry tile does not hold the entries that it should.
    EntryTile,
    /// There is no checkpoint.
    CheckpointMissing,
    /// A checkpoint cannot be read or is not signed with the log's key.
    CheckpointSignature,
    /// A checkpoint is another log's.
    CheckpointOrigin,
    /// A checkpoint is of a larger tree than the entries make.
    CheckpointBeyond,
    /// A checkpoint has another root than the entries make.
    CheckpointRoot,
    /// The log is frozen, but its checkpoint is not that of its whole tree.
    CheckpointNotFinal,
    /// A configured anchor is not there.
    AnchorMissing,
}

impl FindingKind {
    /// For scripts.
    pub fn code(self) -> &'static str {
        match self {
            Self::LedgerUnreadable => "ledger-unreadable",
            Self::RowMissing => "row-missing",
            Self::RowStray => "row-stray",
            Self::RowEntry => "row-entry",
            Self::RowFields => "row-fields",
            Self::DedupKey => "dedup-key",
            Self::DedupStray => "dedup-stray",
            Self::LeafKey => "leaf-key",
            Self::LeafStray => "leaf-stray",
            Self::LedgerState => "ledger-state",
            Self::ObjectMissing => "object-missing",
            Self::ObjectDiffers => "object-differs",
            Self::ObjectUnreadable => "object-unreadable",
            Self::ObjectStray => "object-stray",
            Self::EntryTile => "entry-tile",
            Self::CheckpointMissing => "checkpoint-missing",
            Self::CheckpointSignature => "checkpoint-signature",
            Self::CheckpointOrigin => "checkpoint-origin",
            Self::CheckpointBeyond => "checkpoint-beyond",
            Self::CheckpointRoot => "checkpoint-root",
            Self::CheckpointNotFinal => "checkpoint-not-final",
            Self::AnchorMissing => "anchor-missing",
        }
    }

    /// What to do, for an operator.
    pub fn advice(self) -> &'static str {
        match self {
            Self::LedgerUnreadable | Self::RowMissing | Self::RowEntry | Self::RowFields | Self::LedgerState => {
                "do not start the log: keep this directory as it is, and restore a backup that an anchor or the newest checkpoint \
                 proves to be complete (touchmark log restore)"
            }
            Self::RowStray => {
                "something else has written to the ledger: do not start the log, keep this directory, restore a backup"
            }
            Self::DedupKey | Self::DedupStray | Self::LeafKey | Self::LeafStray => {
                "the tree may be whole, its indices are not: take a backup, which leaves them out, and restore it"
            }
            Self::ObjectMissing => {
                "the ledger is the truth: take a backup, which renders every tile again, and restore it; if several are missing, look \
                 for a failing disk"
            }
            Self::ObjectDiffers | Self::ObjectUnreadable => {
                "readers get a wrong tile: stop serving it, keep it for analysis; if the ledger has no finding, a backup renders it again"
            }
            Self::ObjectStray => {
                "the tree was larger when this was published, or something else writes here: if the ledger was put back to an older \
                 state, do not start the log, for it would fork"
            }
            Self::EntryTile => {
                "the log serves other entries than it has signed: keep the tile and the checkpoint as evidence"
            }
            Self::CheckpointMissing | Self::CheckpointNotFinal => {
                "the next start signs and publishes one, if the ledger has no finding"
            }
            Self::CheckpointSignature => {
                "is this the log's key and its trusted root? If so, somebody else wrote this checkpoint: keep it as evidence"
            }
            Self::CheckpointOrigin => "the files of two logs were mixed up: put each where it belongs",
            Self::CheckpointBeyond => {
                "the log was rolled back: entries were signed that are not here; do not start it, restore a newer backup"
            }
            Self::CheckpointRoot => {
                "the log signed another history than it holds: do not start it, and keep everything as evidence of a fork"
            }
            Self::AnchorMissing => {
                "find out why the anchor is not there (is its disk mounted?); create it empty only if nothing newer was signed"
            }
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    /// A row, a key, the name of an object.
    pub object: String,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.object, self.expected, self.found)
    }
}

/// Everything that is wrong, in the order in which it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    list: Vec<Finding>,
    more: u64,
}

impl Findings {
    /// The first [`FINDINGS_MAX`].
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// How many there are beyond those of [`list`](Self::list).
    pub fn more(&self) -> u64 {
        self.more
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.more.saturating_add(self.list.len() as u64)
    }

    /// Adds one that was found elsewhere, such as a ledger that cannot be opened.
    pub fn add(
        &mut self,
        kind: FindingKind,
        object: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) {
        if self.list.len() < FINDINGS_MAX {
            let (object, expected, found) = (object.to_string(), expected.to_string(), found.to_string());
            self.list.push(Finding { kind, object, expected, found });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Compares the bytes of an object with what the entries demand.
    pub(super) fn compare(&mut self, kind: FindingKind, expected: &Blob, found: &[u8]) {
        if expected.bytes == found {
            return;
        }
        let equal = expected.bytes.iter().zip(found).take_while(|(expected, found)| expected == found).count();
        let length = expected.bytes.len();
        let found = match (equal == length, equal == found.len()) {
            (true, _) => format!("{} bytes: {} too many", found.len(), found.len() - length),
            (_, true) => format!("{} bytes: it was cut off", found.len()),
            _ => format!("{} bytes that differ from byte {equal} on", found.len()),
        };
        self.add(kind, &expected.name, format_args!("the {length} bytes that follow from the entries"), found);
    }
}
