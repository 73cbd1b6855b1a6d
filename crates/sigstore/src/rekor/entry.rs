// SPDX-License-Identifier: Apache-2.0
//! An entry as a log returned it and a bundle carries it. Nothing in it is verified yet.
//!
//! In scope: entries of Rekor v1 and v2, with what is known of where they are in the log. A member that has no meaning for
//! the kind of entry is not read into anything that a check could trust: an entry of Rekor v2 has no promise, and a time
//! without a promise is no time.
//! Out of scope: bodies of Rekor v1 (`v1`), proofs and signatures (`verify`).
//! Invariants: indices are not negative, a proof comes with its checkpoint, everything is within its named limit.

use touchmark_tlog::{Hash, LeafIndex};

use super::{EntryKind, LEAF_BYTES_MAX};
use crate::wire::rekor as wire;
use crate::wire::{Nullable, UnixSeconds};

/// The longest inclusion proof: a tree has at most 2^64 leaves.
pub const PROOF_HASHES_MAX: usize = 64;
/// The longest checkpoint, with the cosignatures of many witnesses.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 10;
/// The longest body of an entry of Rekor v1: the server's limit for a whole attestation is 100 KiB, for other entries below.
pub const BODY_V1_BYTES_MAX: usize = 4 << 20;
/// The longest signed entry timestamp: an RSA 4096 signature has 512 bytes.
pub const PROMISE_BYTES_MAX: usize = 1 << 10;

/// Why an entry is not one that can be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogEntryError {
    #[error("entries of kind {kind:?}, version {version:?} are not known")]
    Unsupported { kind: String, version: String },
    #[error("the entry has no {member}")]
    Missing { member: &'static str },
    #[error("the log id has {bytes} bytes, expected 32")]
    LogIdLength { bytes: usize },
    #[error("{member} is negative: {value}")]
    Negative { member: &'static str, value: i64 },
    #[error("an entry of Rekor v2 has no {member}")]
    Unsigned { member: &'static str },
    #[error("a hash of the proof has {bytes} bytes, expected 32")]
    HashLength { bytes: usize },
    #[error("{member} is over the limit of {limit}: {found}")]
    TooLarge { member: &'static str, limit: usize, found: usize },
}

/// The signed entry timestamp of Rekor v1: the log's promise to include the entry, with the time at which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    set: Vec<u8>,
    integrated_time: i64,
}

impl Promise {
    /// The signature of the log.
    #[must_use]
    pub fn set(&self) -> &[u8] {
        &self.set
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn integrated_time(&self) -> i64 {
        self.integrated_time
    }
}

/// An inclusion proof with the checkpoint to which it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    index: i64,
    hashes: Vec<Hash>,
    root: Vec<u8>,
    tree_size: i64,
    checkpoint: String,
}

impl Inclusion {
    /// The index in the tree of the proof: for Rekor v1 that of the shard, which differs from the entry's.
    #[must_use]
    pub fn index(&self) -> LeafIndex {
        LeafIndex(u64::try_from(self.index).unwrap_or(u64::MAX))
    }

    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root hash that the proof names beside the checkpoint; only the checkpoint's is signed.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// The tree size that the proof names beside the checkpoint; only the checkpoint's is signed.
    #[must_use]
    pub fn tree_size(&self) -> i64 {
        self.tree_size
    }

    /// The checkpoint as a signed note.
    #[must_use]
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }
}

/// An entry of a Rekor log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    kind: EntryKind,
    log_id: [u8; 32],
    index: i64,
    integrated_time: i64,
    promise: Option<Promise>,
    inclusion: Option<Inclusion>,
    body: Vec<u8>,
}

impl LogEntry {
    /// Reads an entry.
    ///
    /// # Errors
    /// If it is of an unknown kind, or incomplete, or over a limit.
    pub fn from_wire(entry: wire::TransparencyLogEntry) -> Result<Self, LogEntryError> {
        let named = entry.kind_version.ok_or(LogEntryError::Missing { member: "kindVersion" })?;
        let Some(kind) = EntryKind::from_wire(&named.kind, &named.version) else {
            return Err(LogEntryError::Unsupported { kind: named.kind, version: named.version });
        };
        let log_id = entry.log_id.ok_or(LogEntryError::Missing { member: "logId" })?.key_id;
        let log_id = log_id.try_into().map_err(|id: Vec<u8>| LogEntryError::LogIdLength { bytes: id.len() })?;
        if entry.canonicalized_body.is_empty() {
            return Err(LogEntryError::Missing { member: "canonicalizedBody" });
        }
        let body_max = if kind.is_v2() { LEAF_BYTES_MAX } else { BODY_V1_BYTES_MAX };
        within("canonicalizedBody", body_max, entry.canonicalized_body.len())?;
        let UnixSeconds(integrated_time) = entry.integrated_time;
        Ok(Self {
            kind,
            log_id,
            index: not_negative("logIndex", entry.log_index)?,
            integrated_time: not_negative("integratedTime", integrated_time)?,
            promise: entry
                .inclusion_promise
                .0
                .map(|promise| read_promise(kind, promise, integrated_time))
                .transpose()?,
            inclusion: entry.inclusion_proof.0.map(|proof| read_inclusion(kind, proof)).transpose()?.flatten(),
            body: entry.canonicalized_body,
        })
    }

    /// The entry as a log returns it and a bundle carries it.
    #[must_use]
    pub fn to_wire(&self) -> wire::TransparencyLogEntry {
        let promise = self.promise.as_ref();
        wire::TransparencyLogEntry {
            log_index: self.index,
            log_id: Some(wire::LogId { key_id: self.log_id.to_vec() }),
            kind_version: Some(wire::KindVersion {
                kind: self.kind.name().to_owned(),
                version: self.kind.version().to_owned(),
            }),
            integrated_time: UnixSeconds(self.integrated_time),
            inclusion_promise: Nullable(
                promise.map(|promise| wire::InclusionPromise { signed_entry_timestamp: promise.set.clone() }),
            ),
            inclusion_proof: Nullable(self.inclusion.as_ref().map(|inclusion| wire::InclusionProof {
                log_index: inclusion.index,
                root_hash: inclusion.root.clone(),
                tree_size: inclusion.tree_size,
                hashes: inclusion.hashes.iter().map(|hash| hash.0.to_vec()).collect(),
                checkpoint: Some(wire::Checkpoint { envelope: inclusion.checkpoint.clone() }),
            })),
            canonicalized_body: self.body.clone(),
        }
    }

    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    #[must_use]
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    /// The index of the entry in the log; for Rekor v1 counted over all its shards.
    #[must_use]
    pub fn index(&self) -> LeafIndex {
        LeafIndex(u64::try_from(self.index).unwrap_or(u64::MAX))
    }

    /// The index at which a proof has to show the entry: that of the shard for Rekor v1, the entry's own for v2.
    #[must_use]
    pub fn index_in_tree(&self, inclusion: &Inclusion) -> LeafIndex {
        if self.kind.is_v2() { self.index() } else { inclusion.index() }
    }

    #[must_use]
    pub fn promise(&self) -> Option<&Promise> {
        self.promise.as_ref()
    }

    #[must_use]
    pub fn inclusion(&self) -> Option<&Inclusion> {
        self.inclusion.as_ref()
    }

    /// The leaf as the log returned it.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

fn read_promise(
    kind: EntryKind,
    promise: wire::InclusionPromise,
    integrated_time: i64,
) -> Result<Promise, LogEntryError> {
    if kind.is_v2() {
        return Err(LogEntryError::Unsigned { member: "inclusionPromise" });
    }
    let set = promise.signed_entry_timestamp;
    if set.is_empty() {
        return Err(LogEntryError::Missing { member: "signedEntryTimestamp" });
    }
    within("signedEntryTimestamp", PROMISE_BYTES_MAX, set.len())?;
    Ok(Promise { set, integrated_time })
}

/// A proof without checkpoint, as the first clients wrote it, leads to nothing that is signed: there is none.
fn read_inclusion(kind: EntryKind, proof: wire::InclusionProof) -> Result<Option<Inclusion>, LogEntryError> {
    let checkpoint = proof.checkpoint.map(|checkpoint| checkpoint.envelope).unwrap_or_default();
    if checkpoint.is_empty() {
        return if kind.is_v2() { Err(LogEntryError::Missing { member: "checkpoint" }) } else { Ok(None) };
    }
    within("checkpoint", CHECKPOINT_BYTES_MAX, checkpoint.len())?;
    within("proof", PROOF_HASHES_MAX, proof.hashes.len())?;
    within("rootHash", ROOT_BYTES_MAX, proof.root_hash.len())?;
    let hashes = proof.hashes.iter().map(|bytes| hash(bytes)).collect::<Result<_, _>>()?;
    let (root, tree_size) = (proof.root_hash, proof.tree_size);
    // For v2 nothing reads the three members that say again what the checkpoint and the entry say.
    let index = if kind.is_v2() { proof.log_index } else { not_negative("logIndex", proof.log_index)? };
    Ok(Some(Inclusion { index, hashes, root, tree_size, checkpoint }))
}

/// The longest root hash that a proof may name; only 32 bytes can be right.
const ROOT_BYTES_MAX: usize = 64;

fn hash(bytes: &[u8]) -> Result<Hash, LogEntryError> {
    <[u8; 32]>::try_from(bytes).map(Hash).map_err(|_| LogEntryError::HashLength { bytes: bytes.len() })
}

fn not_negative(member: &'static str, value: i64) -> Result<i64, LogEntryError> {
    if value < 0 { Err(LogEntryError::Negative { member, value }) } else { Ok(value) }
}

fn within(member: &'static str, limit: usize, found: usize) -> Result<(), LogEntryError> {
    if found > limit { Err(LogEntryError::TooLarge { member, limit, found }) } else { Ok(()) }
}
