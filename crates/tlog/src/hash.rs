// SPDX-License-Identifier: Apache-2.0
//! The Merkle tree hash of RFC 6962 §2.1 and the words for places in a tree.
//!
//! In scope: the hash value, leaf and node hashing, [`LeafIndex`] and [`TreeSize`] as distinct types.
//! Out of scope: trees of hashes (`frontier`, [`crate::proof`], [`crate::tile`]).
//! Invariants: SHA-256 only; leaves and nodes are told apart by their prefix bytes 00 and 01.

use std::fmt;

use touchmark_keys::{sha256, sha256_parts};

/// Length of a [`Hash`]: SHA-256.
pub const HASH_BYTES: usize = 32;

/// A Merkle tree hash. Shown as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// Reads exactly [`HASH_BYTES`] bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Hash, HashLengthError> {
        bytes.try_into().map(Hash).map_err(|_| HashLengthError { found: bytes.len() })
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A hash was expected, and something of another length came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has {HASH_BYTES} bytes, found {found}")]
pub struct HashLengthError {
    /// Number of bytes that came.
    pub found: usize,
}

/// Position of a leaf in its log, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(pub u64);

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of leaves of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeSize(pub u64);

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// RFC 6962 §2.1: the hash of a leaf, SHA-256(00 ‖ bytes).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash(sha256_parts(&[&[0x00], leaf]))
}

/// RFC 6962 §2.1: the hash of an inner node, SHA-256(01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(sha256_parts(&[&[0x01], &left.0, &right.0]))
}

/// RFC 6962 §2.1: the root of the tree without leaves, SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(sha256(&[]))
}
