// SPDX-License-Identifier: Apache-2.0
//! The seam to the store of authority: rows, dedup keys, leaf hashes and the state of the tree, one ledger per log.
//!
//! In scope: what an implementer owes. Out of scope: the embedded driver (`fjall_ledger`); a PostgreSQL driver (its issue).

use std::fmt;
use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use touchmark_tlog::{Hash, LeafIndex, TreeSize, empty_root};

use crate::entry::{DedupKey, Sequenced};

/// A durable, ordered store with one writer.
///
/// What an implementer owes:
/// - [`commit`](Ledger::commit) is atomic and durable when it returns [`Commit::Committed`]: rows, dedup keys, leaf hashes and state
///   together, or nothing. It changes nothing unless the state still is the one expected. As every commit changes the state, what
///   [`find_duplicates`](Ledger::find_duplicates) said under that state is still true when the commit succeeds: so no duplicate is
///   admitted, over crashes too.
/// - A state that is frozen is the last one: every later commit is refused with [`LedgerError::Frozen`], for good.
/// - After an error of `commit` its outcome is open; [`state`](Ledger::state) then tells what a later opening will find, or fails.
/// - A store of an unknown schema version is refused when it is opened, and so is one that another process holds.
///
/// The engine calls `state`, `find_duplicates` and `commit` from one dedicated thread (`state` also once when the log is opened), where
/// an embedded driver may block. All other methods are called from asynchronous tasks and must not.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The durable state.
    async fn state(&self) -> Result<LedgerState, LedgerError>;

    /// For each key the place of the row that has it.
    async fn find_duplicates(&self, keys: &[DedupKey]) -> Result<Vec<Option<Sequenced>>, LedgerError>;

    /// Appends a batch if the ledger's head still is `expected`. One durable write, however many rows.
    async fn commit(&self, expected: &TreeHead, batch: &Batch) -> Result<Commit, LedgerError>;

    /// At most `count` rows from `start` on, in order, without a gap.
    async fn rows(&self, start: LeafIndex, count: usize) -> Result<Vec<Row>, LedgerError>;

    /// The index of an entry with this leaf hash.
    async fn find_leaf(&self, leaf_hash: &Hash) -> Result<Option<LeafIndex>, LedgerError>;
}

/// The head of a tree: what a checkpoint says, and the time of the newest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    pub size: TreeSize,
    pub root: Hash,
    pub time_ms: u64,
}

impl TreeHead {
    pub fn empty() -> Self {
        Self { size: TreeSize(0), root: empty_root(), time_ms: 0 }
    }
}

impl fmt::Display for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tree of size {} with root {} at {} ms", self.size, self.root, self.time_ms)
    }
}

/// What a ledger knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerState {
    pub head: TreeHead,
    /// The publishing cursor: every tile and entry tile that the first `published` entries complete is durable in the objects. A
    /// multiple of 256, saved along with each commit, so it may lag; publishing again is harmless.
    pub published: TreeSize,
    /// When the log was frozen, in milliseconds: from then on the ledger takes nothing more.
    pub frozen_ms: Option<u64>,
}

impl LedgerState {
    /// The state of a ledger to which nothing was ever committed.
    pub fn empty() -> Self {
        Self { head: TreeHead::empty(), published: TreeSize(0), frozen_ms: None }
    }
}

/// One entry as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub index: LeafIndex,
    pub time_ms: u64,
    pub dedup_key: DedupKey,
    pub leaf_hash: Hash,
    pub bundle_bytes: Bytes,
    pub meta: Vec<u8>,
}

/// What one commit makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Consecutive, the first at the expected size.
    pub rows: Vec<Row>,
    /// The state after the batch.
    pub state: LedgerState,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Committed,
    /// Nothing was changed: the head is not the expected one.
    Conflict {
        actual: TreeHead,
    },
}

/// Why a ledger failed. The details are in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It may work the next time.
    #[error("input or output failed: {0}")]
    Io(io::ErrorKind),
    /// It will not work again before the ledger is opened again: a write failed half-way.
    #[error("a write failed; see that the disk has space and is sound, then start the service again")]
    Broken,
    /// Another process has it open.
    #[error("another process has this ledger open")]
    Locked,
    /// The log was ended; nothing can be written any more.
    #[error("the log is frozen: its ledger takes nothing more")]
    Frozen,
    #[error("schema version {found} is not {supported}")]
    Schema { found: u32, supported: u32 },
    #[error("a record cannot be read: {what}")]
    Damaged { what: &'static str },
}
