// SPDX-License-Identifier: Apache-2.0
//! An entry as a log returned it, with the proof that it is in the log. Nothing in it is verified yet.
//!
//! In scope: entries of Rekor v2; others are named as unsupported. A member that says the same thing twice must say it
//! twice alike, and a member that has no meaning in v2 must be absent, so that no two readers see two entries.

use touchmark_tlog::{Hash, LeafIndex};

use super::{API_VERSION, KIND, LEAF_BYTES_MAX};
use crate::wire::rekor as wire;
use crate::wire::{Nullable, UnixSeconds};

/// The longest inclusion proof: a tree has at most 2^64 leaves.
pub const PROOF_HASHES_MAX: usize = 64;
/// The longest checkpoint, with the cosignatures of many witnesses.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 10;

/// Why an entry is not one that can be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogEntryError {
    #[error("entries of kind {kind:?}, version {version:?} are not supported yet, only {KIND} {API_VERSION}")]
    Unsupported { kind: String, version: String },
    #[error("the entry has no {member}")]
    Missing { member: &'static str },
    #[error("the log id has {bytes} bytes, expected 32")]
    LogIdLength { bytes: usize },
    #[error("{member} is negative: {value}")]
    Negative { member: &'static str, value: i64 },
    #[error("an entry of Rekor v2 has no {member}: nothing would sign it")]
    Unsigned { member: &'static str },
    #[error("a hash of the proof has {bytes} bytes, expected 32")]
    HashLength { bytes: usize },
    #[error("{member} is over the limit of {limit}: {found}")]
    TooLarge { member: &'static str, limit: usize, found: usize },
    #[error("the entry is at index {entry} and its proof at index {proof}")]
    IndexDisagrees { entry: i64, proof: i64 },
}

/// An entry of a Rekor v2 log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    log_id: [u8; 32],
    index: LeafIndex,
    proof: Vec<Hash>,
    root: Hash,
    tree_size: u64,
    checkpoint: String,
    body: Vec<u8>,
}

impl LogEntry {
    /// Reads an entry.
    ///
    /// # Errors
    /// If it is of another kind, or incomplete, or disagrees with itself.
    pub fn from_wire(entry: &wire::TransparencyLogEntry) -> Result<Self, LogEntryError> {
        let kind = entry.kind_version.clone().ok_or(LogEntryError::Missing { member: "kindVersion" })?;
        if kind.kind != KIND || kind.version != API_VERSION {
            return Err(LogEntryError::Unsupported { kind: kind.kind, version: kind.version });
        }
        if entry.integrated_time != UnixSeconds(0) {
            return Err(LogEntryError::Unsigned { member: "integratedTime" });
        }
        if entry.inclusion_promise.0.is_some() {
            return Err(LogEntryError::Unsigned { member: "inclusionPromise" });
        }
        let log_id = entry.log_id.as_ref().ok_or(LogEntryError::Missing { member: "logId" })?;
        let log_id = <[u8; 32]>::try_from(log_id.key_id.as_slice())
            .map_err(|_| LogEntryError::LogIdLength { bytes: log_id.key_id.len() })?;
        if entry.canonicalized_body.is_empty() {
            return Err(LogEntryError::Missing { member: "canonicalizedBody" });
        }
        within("canonicalizedBody", LEAF_BYTES_MAX, entry.canonicalized_body.len())?;

        let proof = entry.inclusion_proof.0.as_ref().ok_or(LogEntryError::Missing { member: "inclusionProof" })?;
        if proof.log_index != entry.log_index {
            return Err(LogEntryError::IndexDisagrees { entry: entry.log_index, proof: proof.log_index });
        }
        let checkpoint = proof.checkpoint.as_ref().ok_or(LogEntryError::Missing { member: "checkpoint" })?;
        if checkpoint.envelope.is_empty() {
            return Err(LogEntryError::Missing { member: "checkpoint" });
        }
        within("checkpoint", CHECKPOINT_BYTES_MAX, checkpoint.envelope.len())?;
        within("proof", PROOF_HASHES_MAX, proof.hashes.len())?;
        Ok(Self {
            log_id,
            index: LeafIndex(unsigned("logIndex", entry.log_index)?),
            proof: proof.hashes.iter().map(|bytes| hash(bytes)).collect::<Result<_, _>>()?,
            root: hash(&proof.root_hash)?,
            tree_size: unsigned("treeSize", proof.tree_size)?,
            checkpoint: checkpoint.envelope.clone(),
            body: entry.canonicalized_body.clone(),
        })
    }

    /// The entry as a log returns it and a bundle carries it.
    #[must_use]
    pub fn to_wire(&self) -> wire::TransparencyLogEntry {
        let log_index = i64::try_from(self.index.0).expect("the index was read from an i64");
        wire::TransparencyLogEntry {
            log_index,
            log_id: Some(wire::LogId { key_id: self.log_id.to_vec() }),
            kind_version: Some(wire::KindVersion { kind: KIND.to_owned(), version: API_VERSION.to_owned() }),
            integrated_time: UnixSeconds(0),
            inclusion_promise: Nullable(None),
            inclusion_proof: Nullable(Some(wire::InclusionProof {
                log_index,
                root_hash: self.root.0.to_vec(),
                tree_size: i64::try_from(self.tree_size).expect("the size was read from an i64"),
                hashes: self.proof.iter().map(|hash| hash.0.to_vec()).collect(),
                checkpoint: Some(wire::Checkpoint { envelope: self.checkpoint.clone() }),
            })),
            canonicalized_body: self.body.clone(),
        }
    }

    #[must_use]
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    #[must_use]
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    #[must_use]
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The root hash that the proof names; only the checkpoint's is signed.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The tree size that the proof names; only the checkpoint's is signed.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        self.tree_size
    }

    /// The checkpoint as a signed note.
    #[must_use]
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// The leaf as the log returned it.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

fn hash(bytes: &[u8]) -> Result<Hash, LogEntryError> {
    <[u8; 32]>::try_from(bytes).map(Hash).map_err(|_| LogEntryError::HashLength { bytes: bytes.len() })
}

fn unsigned(member: &'static str, value: i64) -> Result<u64, LogEntryError> {
    u64::try_from(value).map_err(|_| LogEntryError::Negative { member, value })
}

fn within(member: &'static str, limit: usize, found: usize) -> Result<(), LogEntryError> {
    if found > limit { Err(LogEntryError::TooLarge { member, limit, found }) } else { Ok(()) }
}
