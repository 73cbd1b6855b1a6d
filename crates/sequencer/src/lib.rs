// SPDX-License-Identifier: Apache-2.0
//! The log engine: one append-only Merkle log per [`Log`] handle, many logs in a process.
//!
//! It knows bytes and indices, not Sigstore. Entries flow one way:
//!
//! ```text
//! add → pool → plan → commit → sign → the waiting callers
//!                        └──→ publish (tiles, checkpoint, anchor)
//! ```
//!
//! - [`plan`] is pure: the right edge of the tree and some pending entries in; hashes, rows, completed tiles and proofs out.
//! - One durable commit makes a whole batch durable, however many entries it has. There is no tick and no delay timer: a batch starts
//!   as soon as the previous commit is done and something is pending, so batches grow by themselves under load.
//! - The checkpoint is signed after the commit, and only through a value that proves the new tree to extend the last one that was
//!   signed (`extension`).
//! - A log ends for good by being frozen: a last durable state, then a final checkpoint (`freeze`).
//! - What is not yet published can always be rebuilt from the ledger; opening a log runs the normal path again from where it stopped.
//!
//! In scope: sequencing, deduplication, durability, checkpoints, tiles, proofs, recovery; the storage seams [`Ledger`] and [`Objects`]
//! with their embedded drivers. Out of scope: what an entry means (crate `server`), witnesses and search (later), HTTP.
//!
//! Invariants: no acknowledged entry that is not durable; no duplicate admitted; no checkpoint that does not extend the last one; times
//! never run backwards within a log.

mod anchor;
mod clock;
mod config;
mod edge;
mod entry;
mod error;
mod extension;
mod fjall_ledger;
mod freeze;
mod fs_objects;
mod fsck;
mod ledger;
mod log;
mod objects;
mod open;
mod plan;
mod pool;
mod publish;
mod read;
mod restore;
mod sequence;
mod sign;
mod stats;

#[cfg(test)]
mod tests;

// The whole public surface, by hand.
pub use clock::{Clock, SystemClock};
pub use config::{CheckpointSigner, EntryTiles, LogConfig};
pub use entry::{Added, Blob, DedupKey, Logged, Pending, Render, Rendered, Sequenced, SignedCheckpoint, WaitFor};
pub use error::{AddError, CheckpointSource, FatalCause, FreezeError, OpenError, ReadError, SignFailure};
pub use fjall_ledger::FjallLedger;
pub use freeze::Frozen;
pub use fs_objects::FsObjects;
pub use fsck::{
    EntryFacts, EntryFormat, FINDINGS_MAX, Finding, FindingKind, Findings, FsckError, HashTiles, Hears, Served,
    ServedError, ServedReport, StoredLog, StoredReport, Tiles, TilesError, check_served, check_stored,
};
pub use ledger::{Batch, Commit, Ledger, LedgerError, LedgerState, Row, TreeHead};
pub use log::{Log, Signings};
pub use objects::{CHECKPOINT_NAME, ObjectError, Objects};
pub use read::ROWS_MAX;
pub use restore::{RestoreError, Restored, RestoredAs, StoredTiles, restore};
pub use stats::{Distribution, LogStats};
