// SPDX-License-Identifier: Apache-2.0
//! Which stored nodes make a proof, and how they become its hashes (RFC 6962 §2.1.1 PATH and §2.1.2 PROOF).
//!
//! In scope: the walk down the tree, the division of each sibling into perfect subtrees, folding them together again.
//! Out of scope: where nodes are kept.
//! Invariants: a plan names only perfect subtrees, complete in the tree that it was made for; it names at most
//! [`PROOF_HASHES_MAX`] siblings, of which only the rightmost ones consist of several nodes.
//!
//! [`PROOF_HASHES_MAX`]: super::PROOF_HASHES_MAX

use std::fmt;

use super::ProofError;
use crate::frontier::fold_right;
use crate::hash::{Hash, LeafIndex, TreeSize};

/// A perfect subtree: the leaves from `index << level` up to, not including, `(index + 1) << level`. Level 0 is the leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Height above the leaves; 63 at most in trees of less than 2^64 leaves.
    pub level: u8,
    /// Position in its level.
    pub index: u64,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of level {}", self.index, self.level)
    }
}

impl NodeId {
    /// Whether all leaves of the subtree are in a tree of this size, so that its hash never changes any more.
    pub fn is_complete_in(&self, size: TreeSize) -> bool {
        self.index < size.0.checked_shr(u32::from(self.level)).unwrap_or(0)
    }

    /// The fewest perfect subtrees that cover the leaves `start..end`, from the left. `start` is 0 or a multiple of the largest
    /// power of two below `end - start`, as each range of RFC 6962 is; so they come largest first.
    pub(crate) fn cover(start: u64, end: u64) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        Self::extend_with_cover(&mut nodes, start, end);
        nodes
    }

    fn extend_with_cover(nodes: &mut Vec<NodeId>, mut start: u64, end: u64) {
        while start < end {
            let fits = (end - start).ilog2();
            let level = start.trailing_zeros().min(fits);
            nodes.push(NodeId { level: u8::try_from(level).expect("a level is below 64"), index: start >> level });
            start += 1 << level;
        }
    }
}

/// The stored nodes that a proof needs, and how to make it from their hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofPlan {
    nodes: Vec<NodeId>,
    /// For each hash of the proof the number of nodes that it is folded from, in the order of `nodes`.
    group_lengths: Vec<usize>,
}

impl ProofPlan {
    /// The nodes to look up.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Makes the proof from the hashes of [`ProofPlan::nodes`], in the same order.
    ///
    /// # Panics
    /// When the number of hashes is not the number of nodes.
    pub fn assemble(&self, hashes: &[Hash]) -> Vec<Hash> {
        assert_eq!(hashes.len(), self.nodes.len(), "a plan is assembled from the hash of each of its nodes");
        let mut rest = hashes;
        let fold_next = |length: &usize| {
            let (group, after) = rest.split_at(*length);
            rest = after;
            fold_right(group)
        };
        self.group_lengths.iter().map(fold_next).collect()
    }

    /// `ranges` of leaves, one for each hash of the proof.
    fn of_ranges(ranges: impl Iterator<Item = (u64, u64)>) -> ProofPlan {
        let count = ranges.size_hint().0;
        // All but the ranges at the tree's right edge are one node each.
        let mut plan = ProofPlan { nodes: Vec::with_capacity(2 * count), group_lengths: Vec::with_capacity(count) };
        for (start, end) in ranges {
            let before = plan.nodes.len();
            NodeId::extend_with_cover(&mut plan.nodes, start, end);
            plan.group_lengths.push(plan.nodes.len() - before);
        }
        plan
    }
}

/// The inclusion proof of one leaf: PATH(m, D[n]).
pub fn inclusion_plan(index: LeafIndex, size: TreeSize) -> Result<ProofPlan, ProofError> {
    if index.0 >= size.0 {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let (mut start, mut end) = (0, size.0);
    let mut siblings = Vec::with_capacity(size.0.ilog2() as usize + 1);
    while end - start > 1 {
        let middle = start + left_width(end - start);
        if index.0 < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((start, middle));
            start = middle;
        }
    }
    Ok(ProofPlan::of_ranges(siblings.into_iter().rev()))
}

/// The consistency proof between two sizes: PROOF(m, D[n]). It is empty from the empty tree and between equal sizes.
pub fn consistency_plan(old: TreeSize, new: TreeSize) -> Result<ProofPlan, ProofError> {
    if old.0 > new.0 {
        return Err(ProofError::SizesReversed { old, new });
    }
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, new.0);
    if old.0 > 0 {
        while end != old.0 {
            let middle = start + left_width(end - start);
            if old.0 <= middle {
                ranges.push((middle, end));
                end = middle;
            } else {
                ranges.push((start, middle));
                start = middle;
            }
        }
        // What is left ends where the old tree ends. If it is the old tree, the verifier has its hash.
        if start != 0 {
            ranges.push((start, end));
        }
    }
    Ok(ProofPlan::of_ranges(ranges.into_iter().rev()))
}

/// The root of a tree: one hash.
pub fn root_plan(size: TreeSize) -> ProofPlan {
    ProofPlan::of_ranges(std::iter::once((0, size.0)))
}

/// RFC 6962 §2.1: the largest power of two smaller than `width`, which is at least 2.
fn left_width(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}
