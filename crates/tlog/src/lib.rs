// SPDX-License-Identifier: Apache-2.0
//! Transparency logs as mathematics and text: bytes in, values out.
//!
//! - RFC 6962 §2.1 hashing ([`leaf_hash`], [`node_hash`]), inclusion and consistency proofs, planned from stored nodes and
//!   verified ([`proof`]), and the right edge of a growing tree ([`Frontier`]);
//! - C2SP tlog-tiles: tiles, their paths, partial tiles and entry bundles ([`tile`]);
//! - C2SP signed-note with every kind of key that Sigstore and CT logs use ([`note`]);
//! - C2SP tlog-checkpoint and the RFC 6962 §3.5 tree head ([`checkpoint`]);
//! - C2SP tlog-witness: how a log asks for cosignatures ([`witness`]); C2SP tlog-proof: receipts ([`receipt`]).
//!
//! Out of scope: storing and growing a log (crate `sequencer`), private keys (crate `signers`), which key and origin belong to
//! a log of the trust root (crate `sigstore`), entries and their meaning.
//!
//! Invariants: no clock, file, socket, environment, global or async; no input from outside makes a function here panic;
//! each parser has a named limit; a check returns what it proved.
//!
//! ```
//! use std::collections::BTreeMap;
//! use touchmark_tlog::proof::{inclusion_plan, verify_inclusion};
//! use touchmark_tlog::{Frontier, Hash, LeafIndex, leaf_hash};
//!
//! // A log grows, keeps the nodes of its tree, and makes a proof from them.
//! let (mut tree, mut nodes) = (Frontier::new(), BTreeMap::new());
//! for leaf in ["first", "second", "third"] {
//!     tree.append(&leaf_hash(leaf.as_bytes()), |node, hash| { nodes.insert(node, hash); });
//! }
//! let plan = inclusion_plan(LeafIndex(1), tree.size())?;
//! let hashes: Vec<Hash> = plan.nodes().iter().map(|node| nodes[node]).collect();
//! let proof = plan.assemble(&hashes);
//!
//! // Who has the leaf, the proof, and size and root out of a signed checkpoint, verifies.
//! verify_inclusion(&leaf_hash(b"second"), LeafIndex(1), tree.size(), &proof, &tree.root())?;
//! # Ok::<(), touchmark_tlog::proof::ProofError>(())
//! ```

pub mod checkpoint;
mod frontier;
mod hash;
pub mod note;
pub mod proof;
pub mod receipt;
#[cfg(test)]
mod reference;
pub mod tile;
pub mod witness;

pub use frontier::{Frontier, FrontierError};
pub use hash::{HASH_BYTES, Hash, HashLengthError, LeafIndex, TreeSize, empty_root, leaf_hash, node_hash};
