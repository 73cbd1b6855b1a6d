// SPDX-License-Identifier: Apache-2.0
//! The right edge of a growing tree: the roots of the perfect subtrees that it is made of, one for each bit of its size.
//!
//! In scope: appending leaf hashes, telling the caller each node that becomes complete, the root.
//! Out of scope: keeping nodes for proofs and tiles (crate `sequencer`).
//! Invariants: the number of nodes is the number of one bits of the size; a node that was reported never changes.

use crate::hash::{Hash, TreeSize, empty_root, node_hash};
use crate::proof::NodeId;

/// A compact range from leaf 0: all that is needed to append to a tree and to know its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Largest subtree first, as the bits of `size` from the top.
    nodes: Vec<Hash>,
}

impl Default for Frontier {
    fn default() -> Frontier {
        Frontier::new()
    }
}

impl Frontier {
    /// The edge of the empty tree.
    pub fn new() -> Frontier {
        Frontier { size: 0, nodes: Vec::new() }
    }

    /// Takes up a tree where it stopped: `nodes` as [`Frontier::nodes`] gave them, without their ids.
    pub fn from_nodes(size: TreeSize, nodes: Vec<Hash>) -> Result<Frontier, FrontierError> {
        let expected = size.0.count_ones();
        if usize::try_from(expected) != Ok(nodes.len()) {
            return Err(FrontierError { size, expected, found: nodes.len() });
        }
        Ok(Frontier { size: size.0, nodes })
    }

    /// Number of leaves so far.
    pub fn size(&self) -> TreeSize {
        TreeSize(self.size)
    }

    /// The subtrees of the edge, largest (leftmost) first.
    pub fn nodes(&self) -> Vec<(NodeId, Hash)> {
        NodeId::cover(0, self.size).into_iter().zip(self.nodes.iter().copied()).collect()
    }

    /// The root of the tree: the edge folded from the right (RFC 6962 §2.1).
    pub fn root(&self) -> Hash {
        fold_right(&self.nodes)
    }

    /// Appends one leaf. `on_node` sees each perfect subtree that this leaf completes, the leaf itself first, then upwards.
    ///
    /// # Panics
    /// When the tree already has 2^64 - 1 leaves.
    pub fn append(&mut self, leaf_hash: &Hash, mut on_node: impl FnMut(NodeId, Hash)) {
        let grown = self.size.checked_add(1).expect("a log never holds 2^64 leaves");
        let mut node = NodeId { level: 0, index: self.size };
        let mut hash = *leaf_hash;
        on_node(node, hash);
        // A right child completes its parent; its left sibling is the last node of the edge.
        while node.index % 2 == 1 {
            let left = self.nodes.pop().expect("each one bit of the size has its node");
            hash = node_hash(&left, &hash);
            node = NodeId { level: node.level + 1, index: node.index / 2 };
            on_node(node, hash);
        }
        self.nodes.push(hash);
        self.size = grown;
    }
}

/// The number of nodes does not fit the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the edge of a tree of size {size} has {expected} nodes, found {found}")]
pub struct FrontierError {
    /// Size of the tree.
    pub size: TreeSize,
    /// Nodes that its edge has.
    pub expected: u32,
    /// Nodes that came.
    pub found: usize,
}

/// The hash over neighbouring perfect subtrees, largest first: each is the left sibling of all that follow it.
pub(crate) fn fold_right(subtrees: &[Hash]) -> Hash {
    let right_to_left = subtrees.iter().rev().copied();
    right_to_left.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

#[cfg(test)]
mod tests;
