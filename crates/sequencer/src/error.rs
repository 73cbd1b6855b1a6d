// SPDX-License-Identifier: Apache-2.0
//! Why the engine says no, sorted by who must act. Details of input and output errors go to the trace where they happen.

use std::io;
use std::path::PathBuf;

use touchmark_tlog::{Hash, LeafIndex, TreeSize};

use crate::ledger::{LedgerError, TreeHead};
use crate::objects::ObjectError;

/// Why an entry was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The caller may try again later: more entries are waiting than the log is configured to hold.
    #[error("too many entries are waiting to be sequenced")]
    PoolFull,
    /// The caller may try again later, elsewhere.
    #[error("the log is shutting down")]
    ShuttingDown,
    /// The caller must go to another log: this one has ended for good.
    #[error("the log is frozen")]
    Frozen,
    /// The caller must send a smaller entry.
    #[error("the entry takes {bytes} bytes, more than {max}")]
    EntryTooLarge { bytes: usize, max: usize },
    /// The caller may try again: the storage failed, and if the entry became durable all the same, it will be told so as a duplicate.
    #[error("the storage failed")]
    Storage,
    /// The caller may try again: the entry is durable, but no checkpoint that covers it could be signed.
    #[error("the entry is durable, but the checkpoint could not be signed")]
    Unsigned,
    /// The operator must act: the log has stopped. See [`FatalCause`].
    #[error("the log has stopped: {0}")]
    Fatal(FatalCause),
}

/// Why a log was not frozen, or not wholly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FreezeError {
    #[error("the log is shutting down; nothing was frozen")]
    ShuttingDown,
    /// The log takes no more entries and will not after a restart. Opening it again tries to sign again.
    #[error("the log is frozen for good, but its final checkpoint could not be signed; the next start signs it")]
    Unsigned,
    /// Whether it is frozen is known when it is opened again.
    #[error("the log has stopped: {0}")]
    Fatal(FatalCause),
}

/// Why a log stopped for good; it must be opened again, and somebody should look first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FatalCause {
    /// Something else wrote to the ledger.
    #[error("the ledger holds {actual}, not {expected}: something else writes to it")]
    Conflict { expected: TreeHead, actual: TreeHead },
    /// The next tree does not extend the last signed one. Nothing was signed.
    #[error("the tree of size {new} was not proven to extend the signed tree of size {signed}")]
    NotAnExtension { signed: TreeSize, new: TreeSize },
    /// An immutable object exists with other bytes.
    #[error("the object {name} exists with other bytes")]
    ObjectDiffers { name: String },
    /// The ledger refuses further work until it is opened again.
    #[error("the ledger: {0}")]
    Ledger(LedgerError),
    /// A witness has cosigned a larger tree of this log than this log holds.
    #[error(
        "the witness {witness} has cosigned a tree of {witnessed} entries of this log, but the log holds {signed}: its data were \
         rolled back, or something else signs with its key. Nothing more is signed. Restore the newest data and start again; if they are lost, \
         end this log and open a new shard. If the witness is wrong, take it out of the policy (docs/log.md, Witnesses)"
    )]
    WitnessAhead { witness: String, witnessed: TreeSize, signed: TreeSize },
    /// A witness has cosigned another tree of this log than this log holds.
    #[error(
        "the witness {witness} has cosigned another tree of {witnessed} entries of this log than the log holds: its data were rolled \
         back and written to since, or something else signs with its key. Nothing more is signed. Restore the data that the witness has seen; if \
         they are lost, end this log and open a new shard. If the witness is wrong, take it out of the policy (docs/log.md, Witnesses)"
    )]
    WitnessForked { witness: String, witnessed: TreeSize },
    /// A task of the engine ended before its time.
    #[error("a task of the engine ended")]
    TaskEnded,
}

/// Where a checkpoint was found when a log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointSource {
    /// The object `checkpoint`.
    Published,
    /// The anchor file.
    Anchor,
}

impl std::fmt::Display for CheckpointSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Published => "published checkpoint",
            Self::Anchor => "anchor",
        })
    }
}

/// Why a log was not opened. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    #[error("the objects: {0}")]
    Objects(#[from] ObjectError),
    #[error("the anchor file {path}: {kind}")]
    AnchorFile { path: PathBuf, kind: io::ErrorKind },
    #[error(
        "the log has {size} entries but the anchor file {path} does not exist; create it empty to start anchoring now"
    )]
    AnchorMissing { path: PathBuf, size: TreeSize },
    #[error("a log needs at least one signer")]
    NoSigner,
    #[error("the signer of {name} holds another key than its note key")]
    SignerKey { name: String },
    #[error("signing the first checkpoint: {0}")]
    Signing(#[from] SignFailure),
    #[error("the {origin_found:?} of the {from} is not this log's origin")]
    OtherOrigin { from: CheckpointSource, origin_found: String },
    #[error("the {from} cannot be read as a checkpoint of this log")]
    CheckpointUnreadable { from: CheckpointSource },
    /// The data directory was put back to an older state: a checkpoint of a larger tree was signed before.
    #[error(
        "the ledger holds {ledger} entries, but the {from} shows that a tree of {signed} was signed: it was rolled back"
    )]
    RolledBack { from: CheckpointSource, ledger: TreeSize, signed: TreeSize },
    /// The data directory was put back to the time before the log was frozen.
    #[error(
        "the {from} is the final checkpoint of a frozen log of {size} entries, but the ledger is not frozen: it was rolled back; restore the newer ledger"
    )]
    FrozenBefore { from: CheckpointSource, size: TreeSize },
    /// The ledger holds another history than the one that was signed.
    #[error("the ledger's tree of {ledger} entries does not extend the tree of {signed} of the {from}")]
    Forked { from: CheckpointSource, ledger: TreeSize, signed: TreeSize },
    /// Going on, the log would give every entry the time of its newest one until the clock has caught up.
    #[error(
        "the clock is {behind_s} s behind the log's newest time, more than the {max_s} s that are bridged: set the clock, then start again"
    )]
    ClockBehind { behind_s: u64, max_s: u64 },
    /// Rows, tiles and the state of the ledger do not belong together.
    #[error("the rows and tiles of {size} entries hash to {computed}, but the ledger's state says {recorded}")]
    RootMismatch { size: TreeSize, recorded: Hash, computed: Hash },
    #[error("the ledger's rows stop at {found} of {size}")]
    RowsMissing { found: TreeSize, size: TreeSize },
    #[error("the published tile {name} is missing or damaged")]
    TileUnreadable { name: String },
}

/// Why a checkpoint was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignFailure {
    #[error("the signer of {name} failed")]
    Signer { name: String },
    #[error("the signer of {name} made a signature that does not verify")]
    BadSignature { name: String },
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the tree of size {size} is larger than the signed one of {signed}")]
    SizeBeyondSigned { size: TreeSize, signed: TreeSize },
    #[error("index {index} is not in the tree of size {size}")]
    IndexBeyondSize { index: LeafIndex, size: TreeSize },
    #[error("the tree of size {old} is larger than the one of {new}")]
    SizesReversed { old: TreeSize, new: TreeSize },
    #[error("the published tile {name} is missing or damaged")]
    TileUnreadable { name: String },
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    #[error("the objects: {0}")]
    Objects(#[from] ObjectError),
}
