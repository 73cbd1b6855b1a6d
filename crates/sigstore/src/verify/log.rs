// SPDX-License-Identifier: Apache-2.0
//! Is the signature public: the entry that a Rekor v2 log makes of it is in a log of the trusted root.
//!
//! The leaf is rebuilt from the artifact and the bundle by the function with which the server renders it, so an entry for
//! something else cannot pass (CVE-2026-22703). The checkpoint must be signed by the key of the very log that the entry
//! names, under the log's name.

use jiff::Timestamp;
use touchmark_tlog::checkpoint::{Checkpoint, CheckpointError};
use touchmark_tlog::note::{NoteError, NoteKey, NoteKeyError, SignedNote};
use touchmark_tlog::proof::{Included, ProofError, verify_inclusion};
use touchmark_tlog::{Hash, LeafIndex, TreeSize, leaf_hash};

use crate::rekor::{HashedRekord, LogEntry};
use crate::trust::{TransparencyLog, TrustedRoot, ValidFor};

/// An entry that is in a log of the trusted root. Made by [`logged`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEntry {
    log_id: [u8; 32],
    origin: String,
    index: LeafIndex,
    tree_size: TreeSize,
    included: Included,
}

impl LoggedEntry {
    #[must_use]
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    /// The name of the log, as its checkpoint has it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    #[must_use]
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// The size of the tree in which the entry was proved to be.
    #[must_use]
    pub fn tree_size(&self) -> TreeSize {
        self.tree_size
    }

    #[must_use]
    pub fn included(&self) -> &Included {
        &self.included
    }
}

/// Why the entry is not proved to be in a log of the trusted root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFailure {
    Missing,
    UnknownLog {
        log_id: [u8; 32],
    },
    OutsideWindow {
        time: Timestamp,
        window: ValidFor,
    },
    /// The base URL of the log in the trusted root has no hostname.
    NoName {
        base_url: String,
    },
    /// The log in the trusted root has another id than its name and key make.
    Key(NoteKeyError),
    Note(NoteError),
    Checkpoint(CheckpointError),
    Origin {
        expected: String,
        found: String,
    },
    TreeSize {
        checkpoint: TreeSize,
        entry: u64,
    },
    RootHash {
        checkpoint: Hash,
        entry: Hash,
    },
    /// The entry is for another artifact, signature or certificate; the hashes are those of the leaves.
    OtherEntry {
        expected: Hash,
        found: Hash,
    },
    Inclusion(ProofError),
}

impl LogFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Missing => "log_entry_missing",
            Self::UnknownLog { .. } => "log_unknown",
            Self::OutsideWindow { .. } => "log_outside_window",
            Self::NoName { .. } | Self::Key(_) => "log_misconfigured",
            Self::Note(_) => "checkpoint_signature_invalid",
            Self::Checkpoint(_) => "checkpoint_malformed",
            Self::Origin { .. } => "checkpoint_origin_mismatch",
            Self::TreeSize { .. } | Self::RootHash { .. } => "log_entry_inconsistent",
            Self::OtherEntry { .. } => "log_entry_mismatch",
            Self::Inclusion(_) => "inclusion_proof_invalid",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::Missing => "a log entry".to_owned(),
            Self::UnknownLog { .. } => "an entry of a log of the trusted root".to_owned(),
            Self::OutsideWindow { window, .. } => format!("a time in the log's window, {window}"),
            Self::NoName { .. } => "a hostname in the log's base URL".to_owned(),
            Self::Key(_) => "a log whose id is that of its name and key".to_owned(),
            Self::Note(_) => "a checkpoint signed by the log that the entry names".to_owned(),
            Self::Checkpoint(_) => "a checkpoint".to_owned(),
            Self::Origin { expected, .. } => format!("a checkpoint of {expected}"),
            Self::TreeSize { checkpoint, .. } => format!("the tree size of the checkpoint, {checkpoint}"),
            Self::RootHash { checkpoint, .. } => format!("the root hash of the checkpoint, {checkpoint}"),
            Self::OtherEntry { expected, .. } => {
                format!("the entry of this artifact, signature and certificate, with leaf hash {expected}")
            }
            Self::Inclusion(_) => "a proof that leads from the entry to the checkpoint".to_owned(),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::Missing => "none".to_owned(),
            Self::UnknownLog { log_id } => format!("one of log {}", hex::encode(log_id)),
            Self::OutsideWindow { time, .. } => time.to_string(),
            Self::NoName { base_url } => format!("{base_url:?}"),
            Self::Key(error) => error.to_string(),
            Self::Note(error) => error.to_string(),
            Self::Checkpoint(error) => error.to_string(),
            Self::Origin { found, .. } => found.clone(),
            Self::TreeSize { entry, .. } => entry.to_string(),
            Self::RootHash { entry, .. } => entry.to_string(),
            Self::OtherEntry { found, .. } => format!("leaf hash {found}"),
            Self::Inclusion(error) => error.to_string(),
        }
    }
}

/// Every entry of a bundle; at least one. Logs outside the root are passed over; an entry of one inside it must not be wrong.
pub(super) fn logged_all(
    entries: &[LogEntry],
    record: &HashedRekord,
    root: &TrustedRoot,
    times: &[Timestamp],
) -> Result<Vec<LoggedEntry>, LogFailure> {
    let mut proved = Vec::with_capacity(entries.len());
    let mut failure = LogFailure::Missing;
    for entry in entries {
        match logged(entry, record, root, times) {
            Ok(entry) => proved.push(entry),
            Err(unknown @ LogFailure::UnknownLog { .. }) => failure = unknown,
            Err(wrong) => return Err(wrong),
        }
    }
    if proved.is_empty() { Err(failure) } else { Ok(proved) }
}

/// Proves that `record` is the entry, and that it is in the log of the root that the entry names.
///
/// # Errors
/// The first step that fails.
pub fn logged(
    entry: &LogEntry,
    record: &HashedRekord,
    root: &TrustedRoot,
    times: &[Timestamp],
) -> Result<LoggedEntry, LogFailure> {
    // 1. The log is one of the root's, and trusted at every time.
    let log = log_at(entry, root, times)?;
    // 2. The checkpoint is signed by that log's key under that log's name.
    let base_url = || log.base_url().to_owned();
    let name = log.hostname().ok_or_else(|| LogFailure::NoName { base_url: base_url() })?;
    let key = NoteKey::of_log(&name, log.public_key(), log.log_id()).map_err(LogFailure::Key)?;
    let note = SignedNote::parse(entry.checkpoint().as_bytes()).map_err(LogFailure::Note)?;
    key.verify(&note).map_err(LogFailure::Note)?;
    // 3. It is a checkpoint of that log, and the proof says the same of the tree.
    let checkpoint = Checkpoint::parse(note.text()).map_err(LogFailure::Checkpoint)?;
    if checkpoint.origin != name {
        return Err(LogFailure::Origin { expected: name, found: checkpoint.origin });
    }
    if checkpoint.size.0 != entry.tree_size() {
        return Err(LogFailure::TreeSize { checkpoint: checkpoint.size, entry: entry.tree_size() });
    }
    if checkpoint.root != *entry.root() {
        return Err(LogFailure::RootHash { checkpoint: checkpoint.root, entry: *entry.root() });
    }
    // 4. The entry is the one that the log makes of this artifact, signature and certificate.
    let leaf = record.leaf_bytes();
    if leaf != entry.body() {
        return Err(LogFailure::OtherEntry { expected: leaf_hash(&leaf), found: leaf_hash(entry.body()) });
    }
    // 5. It is in the tree.
    let included = verify_inclusion(&leaf_hash(&leaf), entry.index(), checkpoint.size, entry.proof(), &checkpoint.root)
        .map_err(LogFailure::Inclusion)?;
    Ok(LoggedEntry {
        log_id: *log.log_id(),
        origin: checkpoint.origin,
        index: entry.index(),
        tree_size: checkpoint.size,
        included,
    })
}

/// The log of the entry, in a window that holds all times; a log can stand in a root several times.
fn log_at<'a>(entry: &LogEntry, root: &'a TrustedRoot, times: &[Timestamp]) -> Result<&'a TransparencyLog, LogFailure> {
    let mut failure = LogFailure::UnknownLog { log_id: *entry.log_id() };
    for log in root.tlogs().iter().filter(|log| log.log_id() == entry.log_id()) {
        match times.iter().find(|time| !log.valid_for().contains(**time)) {
            None => return Ok(log),
            Some(time) => failure = LogFailure::OutsideWindow { time: *time, window: log.valid_for() },
        }
    }
    Err(failure)
}
