// SPDX-License-Identifier: Apache-2.0
//! Inclusion and consistency proofs of RFC 6962 §2.1.1 and §2.1.2, verified as in RFC 9162 §2.1.3.2 and §2.1.4.2.
//!
//! In scope: verification ([`verify_inclusion`], [`verify_consistency`]), and the plans by which a log makes proofs from the
//! nodes that it keeps ([`inclusion_plan`], [`consistency_plan`], [`root_plan`]).
//! Out of scope: fetching nodes (crate `sequencer`, [`crate::tile`]); whether a root is signed ([`crate::note`]).
//! Invariants: a proof has exactly the length that index and sizes demand, or it is refused before any hashing; what was
//! proven is returned as a value that only the check can make.

mod plan;

pub use plan::{NodeId, ProofPlan, consistency_plan, inclusion_plan, root_plan};

use crate::hash::{Hash, LeafIndex, TreeSize, empty_root, node_hash};

/// Longest proof of either kind in trees of up to 2^63 leaves, which is as far as the int64 sizes of every wire format go.
/// For parsers of proofs, so that they refuse more; the checks here demand the exact length anyway.
pub const PROOF_HASHES_MAX: usize = 64;

/// Proof that a leaf stands at an index of the tree with a given root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Included {
    index: LeafIndex,
    size: TreeSize,
    root: Hash,
}

impl Included {
    /// Where the leaf stands.
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// Size of the tree.
    pub fn size(&self) -> TreeSize {
        self.size
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        self.root
    }
}

/// Proof that one tree begins with all leaves of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extends {
    old: TreeSize,
    new: TreeSize,
}

impl Extends {
    /// Size of the tree that was extended.
    pub fn old_size(&self) -> TreeSize {
        self.old
    }

    /// Size of the tree that extends it.
    pub fn new_size(&self) -> TreeSize {
        self.new
    }
}

/// Why a proof does not prove, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not one of the tree.
    #[error("leaf index {index} is not in a tree of size {size}")]
    IndexOutOfRange {
        /// The index.
        index: LeafIndex,
        /// Size of the tree.
        size: TreeSize,
    },
    /// The tree that should extend the other is smaller.
    #[error("a tree of size {new} cannot extend one of size {old}")]
    SizesReversed {
        /// Size of the tree to be extended.
        old: TreeSize,
        /// Size of the other.
        new: TreeSize,
    },
    /// Too many or too few hashes.
    #[error("the proof must have {expected} hashes, found {found}")]
    WrongLength {
        /// Number that index and sizes demand.
        expected: usize,
        /// Number that came.
        found: usize,
    },
    /// Leaf and inclusion proof lead to another root; or the proof of consistency leads to another root of the newer tree.
    #[error("the proof leads to root {computed}, expected {expected}")]
    RootMismatch {
        /// The root that should be reached.
        expected: Hash,
        /// The root that was reached.
        computed: Hash,
    },
    /// The consistency proof leads to another root of the older tree.
    #[error("the proof leads to old root {computed}, expected {expected}")]
    OldRootMismatch {
        /// The root that should be reached.
        expected: Hash,
        /// The root that was reached.
        computed: Hash,
    },
}

/// Proves that the leaf with hash `leaf` is number `index` of the tree with `size` leaves and the given root.
///
/// `size` and `root` must come from one signed checkpoint: a root alone does not fix the size of its tree.
pub fn verify_inclusion(
    leaf: &Hash,
    index: LeafIndex,
    size: TreeSize,
    proof: &[Hash],
    root: &Hash,
) -> Result<Included, ProofError> {
    let computed = root_from_inclusion(leaf, index, size, proof)?;
    require_root(&computed, root)?;
    Ok(Included { index, size, root: computed })
}

/// The root of the tree in which an inclusion proof would be valid. Proves nothing until the root is known from elsewhere.
pub fn root_from_inclusion(leaf: &Hash, index: LeafIndex, size: TreeSize, proof: &[Hash]) -> Result<Hash, ProofError> {
    if index.0 >= size.0 {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let shape = PathShape::of(index.0, size.0);
    let (inner, border) = shape.split(proof)?;
    let mut hash = *leaf;
    for (level, sibling) in inner.iter().enumerate() {
        hash = match Side::at(index.0, level) {
            Side::Left => node_hash(&hash, sibling),
            Side::Right => node_hash(sibling, &hash),
        };
    }
    Ok(border.iter().fold(hash, |hash, left| node_hash(left, &hash)))
}

/// Proves that the tree of size `new` and root `new_root` begins with the tree of size `old` and root `old_root`.
///
/// The empty tree is extended by every tree, with an empty proof; RFC 6962 leaves this case open.
pub fn verify_consistency(
    old: TreeSize,
    old_root: &Hash,
    new: TreeSize,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<Extends, ProofError> {
    if old.0 > new.0 {
        return Err(ProofError::SizesReversed { old, new });
    }
    if old.0 == 0 || old == new {
        require_length(0, proof)?;
        if old.0 == 0 {
            require_old_root(&empty_root(), old_root)?;
        }
        if old == new {
            require_root(old_root, new_root)?;
        }
        return Ok(Extends { old, new });
    }

    // The proof is the path of a subtree: the largest that ends with the old tree's last leaf. Its hash is the proof's first;
    // when that subtree is the whole old tree, the verifier knows the hash and the proof leaves it out.
    let level = old.0.trailing_zeros();
    let (seed, path) = if old.0.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::WrongLength { expected: consistency_length(old, new), found: 0 })?
    };
    let index = (old.0 - 1) >> level;
    let shape = PathShape::of_subtree(old.0 - 1, new.0, level);
    let (inner, border) = shape
        .split(path)
        .map_err(|_| ProofError::WrongLength { expected: consistency_length(old, new), found: proof.len() })?;

    let (mut old_hash, mut new_hash) = (*seed, *seed);
    for (above, sibling) in inner.iter().enumerate() {
        match Side::at(index, above) {
            // A right sibling is newer than the old tree.
            Side::Left => new_hash = node_hash(&new_hash, sibling),
            Side::Right => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
        }
    }
    for left in border {
        old_hash = node_hash(left, &old_hash);
        new_hash = node_hash(left, &new_hash);
    }
    require_old_root(&old_hash, old_root)?;
    require_root(&new_hash, new_root)?;
    Ok(Extends { old, new })
}

/// Which child a node is.
enum Side {
    Left,
    Right,
}

impl Side {
    /// The side of the ancestor, `level` levels up, of the node with this index.
    fn at(index: u64, level: usize) -> Side {
        if (index >> level) & 1 == 0 { Side::Left } else { Side::Right }
    }
}

/// How a path from a node to the root divides: below the point where it joins the right edge of the tree, siblings stand on
/// either side; above, only on the left, and only at the one bits of the index.
struct PathShape {
    inner: usize,
    border: usize,
}

impl PathShape {
    /// The path of a leaf. `index` is below `size`.
    fn of(index: u64, size: u64) -> PathShape {
        PathShape::of_subtree(index, size, 0)
    }

    /// The path of the perfect subtree at `level` whose last leaf is `last_leaf`; the tree of this size goes on after it, or
    /// `level` is 0.
    fn of_subtree(last_leaf: u64, size: u64, level: u32) -> PathShape {
        let join = u64::BITS - (last_leaf ^ (size - 1)).leading_zeros();
        let border = last_leaf.checked_shr(join).unwrap_or(0).count_ones();
        PathShape { inner: (join - level) as usize, border: border as usize }
    }

    fn split<'proof>(&self, proof: &'proof [Hash]) -> Result<(&'proof [Hash], &'proof [Hash]), ProofError> {
        require_length(self.inner + self.border, proof)?;
        Ok(proof.split_at(self.inner))
    }
}

/// Number of hashes that a consistency proof of two different, non-empty trees has.
fn consistency_length(old: TreeSize, new: TreeSize) -> usize {
    let shape = PathShape::of_subtree(old.0 - 1, new.0, old.0.trailing_zeros());
    usize::from(!old.0.is_power_of_two()) + shape.inner + shape.border
}

fn require_length(expected: usize, proof: &[Hash]) -> Result<(), ProofError> {
    if proof.len() == expected { Ok(()) } else { Err(ProofError::WrongLength { expected, found: proof.len() }) }
}

fn require_root(computed: &Hash, expected: &Hash) -> Result<(), ProofError> {
    if computed == expected {
        Ok(())
    } else {
        Err(ProofError::RootMismatch { expected: *expected, computed: *computed })
    }
}

fn require_old_root(computed: &Hash, expected: &Hash) -> Result<(), ProofError> {
    if computed == expected {
        Ok(())
    } else {
        Err(ProofError::OldRootMismatch { expected: *expected, computed: *computed })
    }
}

#[cfg(test)]
mod tests;
