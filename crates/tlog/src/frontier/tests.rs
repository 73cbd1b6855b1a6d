// SPDX-License-Identifier: Apache-2.0
//! The growing edge against the recursive tree.

use std::collections::BTreeMap;

use super::{Frontier, FrontierError};
use crate::hash::{Hash, TreeSize, empty_root, leaf_hash};
use crate::proof::NodeId;
use crate::reference::Reference;

const SIZE: usize = 3000;

/// Leaves of a node, as indices into the reference's list.
fn leaves(node: NodeId) -> std::ops::Range<usize> {
    let start = usize::try_from(node.index << node.level).unwrap();
    start..start + (1 << node.level)
}

#[test]
fn empty_edge_has_the_empty_root() {
    assert_eq!(Frontier::new().root(), empty_root());
    assert_eq!(Frontier::new().nodes(), Vec::new());
    assert_eq!(Frontier::from_nodes(TreeSize(0), Vec::new()), Ok(Frontier::default()));
}

#[test]
fn root_is_that_of_the_recursive_tree_at_every_size() {
    let reference = Reference::of_size(SIZE);
    let mut frontier = Frontier::new();
    for index in 0..SIZE {
        frontier.append(&reference.leaf(index), |_, _| ());
        assert_eq!(frontier.size(), TreeSize(index as u64 + 1));
        assert_eq!(frontier.root(), reference.root(index + 1), "size {}", index + 1);
    }
}

#[test]
fn each_perfect_subtree_is_reported_once_when_its_last_leaf_comes() {
    let reference = Reference::of_size(SIZE);
    let mut seen = BTreeMap::new();
    let mut frontier = Frontier::new();
    for index in 0..SIZE {
        frontier.append(&reference.leaf(index), |node, hash| {
            assert_eq!(leaves(node).end, index + 1, "{node:?}");
            assert_eq!(hash, reference.mth(leaves(node)), "{node:?}");
            assert_eq!(seen.insert(node, hash), None, "{node:?}");
        });
    }
    let expected: usize = (0..12).map(|level| SIZE >> level).sum();
    assert_eq!(seen.len(), expected);
}

#[test]
fn an_edge_taken_up_again_goes_on_as_if_it_had_never_stopped() {
    let reference = Reference::of_size(600);
    let mut frontier = Frontier::new();
    for index in 0..600 {
        let nodes = frontier.nodes();
        for (node, hash) in &nodes {
            assert_eq!(*hash, reference.mth(leaves(*node)));
        }
        let hashes = nodes.into_iter().map(|(_, hash)| hash).collect();
        let mut resumed = Frontier::from_nodes(frontier.size(), hashes).unwrap();
        assert_eq!(resumed, frontier);
        frontier.append(&reference.leaf(index), |_, _| ());
        resumed.append(&reference.leaf(index), |_, _| ());
        assert_eq!(resumed.root(), frontier.root());
    }
}

#[test]
fn an_edge_with_a_wrong_number_of_nodes_is_refused() {
    let hash = leaf_hash(b"");
    for (size, found, expected) in [(0, 1, 0), (1, 0, 1), (7, 2, 3), (8, 3, 1), (u64::MAX, 63, 64)] {
        let error = FrontierError { size: TreeSize(size), expected, found };
        assert_eq!(Frontier::from_nodes(TreeSize(size), vec![hash; found]), Err(error));
    }
}

#[test]
fn the_largest_edge_can_be_filled() {
    let nodes: Vec<Hash> = vec![leaf_hash(b""); 63];
    let mut frontier = Frontier::from_nodes(TreeSize(u64::MAX - 1), nodes).unwrap();
    frontier.append(&leaf_hash(b""), |_, _| ());
    assert_eq!(frontier.size(), TreeSize(u64::MAX));
    assert_eq!(frontier.nodes().len(), 64);
}
