// SPDX-License-Identifier: Apache-2.0
//! What a caller hands to a log, and what it gets back.
//!
//! A leaf may contain its own index and time (static CT: the leaf index extension and the timestamp are inside the hashed leaf; its data
//! tile holds other bytes than the hashed ones; its dedup key is not its leaf hash). So a pending entry is a function of both.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use touchmark_tlog::{Hash, LeafIndex, TreeSize};

/// What makes two submissions the same entry, chosen by the caller: a full 256-bit hash.
pub type DedupKey = [u8; 32];

/// The bytes of one entry, once its index and time are known; the two may share their memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// What the Merkle tree hashes (RFC 6962: the leaf input).
    pub leaf_input: Bytes,
    /// What the entry tile holds.
    pub bundle_bytes: Bytes,
}

impl Rendered {
    /// An entry whose tile holds the very bytes that the tree hashes.
    pub fn alike(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { leaf_input: bytes.clone(), bundle_bytes: bytes }
    }
}

/// The one function that renders an entry from its index and its time in milliseconds. It must be pure and must not panic: it may be
/// called again for the same entry with another index, when a commit had to be tried again.
pub type Render = Box<dyn Fn(LeafIndex, u64) -> Rendered + Send + Sync>;

/// An entry that wants to be logged.
pub struct Pending {
    pub dedup_key: DedupKey,
    pub render: Render,
    /// Objects that must be durable before the entry is (issuer certificates of a static CT log). The name of each says what its bytes
    /// are: it holds their hash.
    pub blobs: Arc<[Blob]>,
    /// Opaque to the engine, kept with the row.
    pub meta: Vec<u8>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("dedup_key", &self.dedup_key).finish_non_exhaustive()
    }
}

/// An immutable object and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a caller of [`Log::add`](crate::Log::add) waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The entry is durable at its index. Enough for an SCT or an SET.
    Sequenced,
    /// A signed checkpoint covers the entry.
    Checkpointed,
}

/// The place of a durable entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequenced {
    pub index: LeafIndex,
    pub time_ms: u64,
}

/// A durable entry with its evidence.
#[derive(Clone, Debug)]
pub struct Logged {
    pub index: LeafIndex,
    pub time_ms: u64,
    pub leaf_input: Bytes,
    /// The inclusion proof of the entry in the tree of `checkpoint`.
    pub proof: Vec<Hash>,
    pub checkpoint: SignedCheckpoint,
}

/// The good outcomes of [`Log::add`](crate::Log::add).
#[derive(Clone, Debug)]
pub enum Added {
    Sequenced(Sequenced),
    Checkpointed(Logged),
    /// An entry with the same dedup key is in the log already, durable at this place. A caller that waited for
    /// [`WaitFor::Checkpointed`] hears of it only when a signed checkpoint covers that place.
    Duplicate {
        index: LeafIndex,
        time_ms: u64,
    },
}

/// A checkpoint as the log signed it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The whole signed note (C2SP signed-note, tlog-checkpoint).
    pub note: Arc<str>,
    pub size: TreeSize,
    pub root: Hash,
}
