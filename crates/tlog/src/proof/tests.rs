// SPDX-License-Identifier: Apache-2.0
//! Proofs against the recursive definitions, against public vectors, and against their tampered twins.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::frontier::Frontier;
use crate::hash::leaf_hash;
use crate::reference::Reference;

/// All pairs of sizes and indices up to here are tried.
const EXHAUSTIVE_SIZE: usize = 300;
/// Sampled sizes go up to here.
const SAMPLED_SIZE: usize = 5000;

/// A log as the sequencer keeps it: every complete node by its id.
struct Stored {
    nodes: BTreeMap<NodeId, Hash>,
}

impl Stored {
    fn of(reference: &Reference, size: usize) -> Stored {
        let mut nodes = BTreeMap::new();
        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier.append(&reference.leaf(index), |node, hash| {
                nodes.insert(node, hash);
            });
        }
        Stored { nodes }
    }

    fn assemble(&self, plan: &ProofPlan) -> Vec<Hash> {
        let hashes: Vec<Hash> = plan.nodes().iter().map(|node| self.nodes[node]).collect();
        plan.assemble(&hashes)
    }
}

fn index(index: usize) -> LeafIndex {
    LeafIndex(index as u64)
}

fn size(size: usize) -> TreeSize {
    TreeSize(size as u64)
}

fn check_inclusion(reference: &Reference, stored: &Stored, m: usize, n: usize) {
    let plan = inclusion_plan(index(m), size(n)).unwrap();
    assert!(plan.nodes().iter().all(|node| node.is_complete_in(size(n))), "{m} in {n}");
    let proof = stored.assemble(&plan);
    assert_eq!(proof, reference.path(m, n), "{m} in {n}");
    let root = reference.root(n);
    let included = verify_inclusion(&reference.leaf(m), index(m), size(n), &proof, &root).unwrap();
    assert_eq!((included.index(), included.size(), included.root()), (index(m), size(n), root));
}

fn check_consistency(reference: &Reference, stored: &Stored, m: usize, n: usize) {
    let plan = consistency_plan(size(m), size(n)).unwrap();
    assert!(plan.nodes().iter().all(|node| node.is_complete_in(size(n))), "{m} to {n}");
    let proof = stored.assemble(&plan);
    let expected = if m == 0 { Vec::new() } else { reference.proof(m, n) };
    assert_eq!(proof, expected, "{m} to {n}");
    let extends = verify_consistency(size(m), &reference.root(m), size(n), &reference.root(n), &proof).unwrap();
    assert_eq!((extends.old_size(), extends.new_size()), (size(m), size(n)));
}

#[test]
fn proofs_are_those_of_the_recursive_definition_for_all_small_trees() {
    let reference = Reference::of_size(EXHAUSTIVE_SIZE);
    let stored = Stored::of(&reference, EXHAUSTIVE_SIZE);
    for n in 0..=EXHAUSTIVE_SIZE {
        assert_eq!(stored.assemble(&root_plan(size(n))), [reference.root(n)]);
        for m in 0..n {
            check_inclusion(&reference, &stored, m, n);
            check_consistency(&reference, &stored, m, n);
        }
        check_consistency(&reference, &stored, n, n);
    }
}

#[test]
fn proofs_are_those_of_the_recursive_definition_for_samples_of_large_trees() {
    let reference = Reference::of_size(SAMPLED_SIZE);
    let stored = Stored::of(&reference, SAMPLED_SIZE);
    let edges = [256, 257, 511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, SAMPLED_SIZE];
    for n in edges.into_iter().chain((EXHAUSTIVE_SIZE..SAMPLED_SIZE).step_by(61)) {
        for m in (0..n).step_by(n / 16).chain([0, 1, n / 2, n - 2, n - 1]) {
            check_inclusion(&reference, &stored, m, n);
            check_consistency(&reference, &stored, m, n);
        }
    }
}

/// RFC 6962 §2.1.3: the proofs of the tree with seven leaves.
#[test]
fn plans_are_those_of_the_example_of_the_rfc() {
    let node = |level, index| NodeId { level, index };
    let [a, b, c, d] = [0, 1, 2, 3].map(|leaf| node(0, leaf));
    let (j, g, h, i, k) = (node(0, 6), node(1, 0), node(1, 1), node(1, 2), node(2, 0));
    // The RFC's letters: leaves a b c d e f j, g = ab, h = cd, i = ef, k = gh, l = ij.
    let path = |leaf| inclusion_plan(LeafIndex(leaf), TreeSize(7)).unwrap();
    assert_eq!(path(0).nodes(), [b, h, i, j], "l is folded from i and j");
    assert_eq!(path(3).nodes(), [c, g, i, j]);
    assert_eq!(path(4).nodes(), [node(0, 5), j, k]);
    assert_eq!(path(6).nodes(), [i, k]);
    let proof = |old| consistency_plan(TreeSize(old), TreeSize(7)).unwrap();
    assert_eq!(proof(3).nodes(), [c, d, g, i, j]);
    assert_eq!(proof(4).nodes(), [i, j]);
    assert_eq!(proof(6).nodes(), [i, j, k]);
    assert_eq!(path(1).nodes().first(), Some(&a));
    assert_eq!(path(0).assemble(&[leaf_hash(b""); 4]).len(), 3);
}

/// The proofs in the test suites of Certificate Transparency (merkle: `proof/verify_test.go`; the C++ original).
#[test]
fn public_vectors_verify() {
    let hash = |text: &str| Hash::from_slice(&hex::decode(text).unwrap()).unwrap();
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    .map(hash);
    let [leaf1, cd_ef_gh, efgh] = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    .map(hash);
    let leaf4 = hash("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
    let gh = hash("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0");
    let ef = hash("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a");
    let leaf6 = hash("b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f");

    let included = |leaf: &[u8], m: usize, n: usize, proof: &[Hash]| {
        verify_inclusion(&leaf_hash(leaf), index(m), size(n), proof, &roots[n - 1]).unwrap()
    };
    included(b"", 0, 8, &[leaf1, cd_ef_gh, efgh]);
    included(&[0x40, 0x41, 0x42, 0x43], 5, 8, &[leaf4, gh, roots[3]]);
    included(&[0x10], 2, 3, &[roots[1]]);
    included(&[0x00], 1, 5, &[roots[0], cd_ef_gh, leaf4]);

    let extends = |m: usize, n: usize, proof: &[Hash]| {
        verify_consistency(size(m), &roots[m - 1], size(n), &roots[n - 1], proof).unwrap()
    };
    extends(1, 1, &[]);
    extends(1, 8, &[leaf1, cd_ef_gh, efgh]);
    extends(6, 8, &[ef, gh, roots[3]]);
    extends(2, 5, &[cd_ef_gh, leaf4]);
    extends(6, 7, &[ef, leaf6, roots[3]]);
}

#[test]
fn index_outside_the_tree_is_refused() {
    let root = leaf_hash(b"");
    for (m, n) in [(0, 0), (1, 1), (2, 1), (u64::MAX, u64::MAX)] {
        let error = ProofError::IndexOutOfRange { index: LeafIndex(m), size: TreeSize(n) };
        assert_eq!(verify_inclusion(&root, LeafIndex(m), TreeSize(n), &[], &root), Err(error));
        assert_eq!(inclusion_plan(LeafIndex(m), TreeSize(n)), Err(error));
    }
}

#[test]
fn a_smaller_tree_does_not_extend_a_larger_one() {
    let root = leaf_hash(b"");
    let error = ProofError::SizesReversed { old: TreeSize(2), new: TreeSize(1) };
    assert_eq!(verify_consistency(TreeSize(2), &root, TreeSize(1), &root, &[]), Err(error));
    assert_eq!(consistency_plan(TreeSize(2), TreeSize(1)), Err(error));
}

#[test]
fn every_tree_extends_the_empty_one_and_itself_with_an_empty_proof() {
    let (root, other) = (leaf_hash(b"a"), leaf_hash(b"b"));
    let verify = |old, old_root: &Hash, new, new_root: &Hash, proof: &[Hash]| {
        verify_consistency(TreeSize(old), old_root, TreeSize(new), new_root, proof)
    };
    let too_long = ProofError::WrongLength { expected: 0, found: 1 };
    assert!(verify(0, &empty_root(), 0, &empty_root(), &[]).is_ok());
    assert!(verify(0, &empty_root(), 5, &root, &[]).is_ok());
    assert!(verify(5, &root, 5, &root, &[]).is_ok());
    assert_eq!(verify(0, &empty_root(), 5, &root, &[other]), Err(too_long));
    assert_eq!(verify(5, &root, 5, &root, &[other]), Err(too_long));
    assert!(matches!(verify(0, &other, 5, &root, &[]), Err(ProofError::OldRootMismatch { .. })));
    assert!(matches!(verify(0, &empty_root(), 0, &root, &[]), Err(ProofError::RootMismatch { .. })));
    assert!(matches!(verify(5, &root, 5, &other, &[]), Err(ProofError::RootMismatch { .. })));
}

/// Every way to spoil a list of hashes that leaves it different from what it was.
fn tampered(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let stranger = leaf_hash(b"a stranger");
    let mut twins = Vec::new();
    for position in 0..=proof.len() {
        for added in [stranger, *proof.first().unwrap_or(&stranger)] {
            let mut longer = proof.to_vec();
            longer.insert(position, added);
            twins.push(longer);
        }
    }
    for position in 0..proof.len() {
        for bit in [0, 100, 255] {
            let mut flipped = proof.to_vec();
            flipped[position].0[bit / 8] ^= 1 << (bit % 8);
            twins.push(flipped);
        }
        let mut shorter = proof.to_vec();
        shorter.remove(position);
        twins.push(shorter);
        for other in 0..position {
            let mut swapped = proof.to_vec();
            swapped.swap(position, other);
            twins.push(swapped);
        }
    }
    twins
}

#[test]
fn tampered_inclusion_proofs_are_refused() {
    let reference = Reference::of_size(40);
    let wrong = leaf_hash(b"wrong");
    for n in 1..=40 {
        for m in 0..n {
            let (leaf, root, path) = (reference.leaf(m), reference.root(n), reference.path(m, n));
            for twin in tampered(&path) {
                let refused = verify_inclusion(&leaf, index(m), size(n), &twin, &root).unwrap_err();
                let expected_length = twin.len() == path.len();
                assert_eq!(matches!(refused, ProofError::RootMismatch { .. }), expected_length, "{m} in {n}");
            }
            assert!(verify_inclusion(&wrong, index(m), size(n), &path, &root).is_err());
            assert!(verify_inclusion(&leaf, index(m), size(n), &path, &wrong).is_err());
        }
    }
}

#[test]
fn an_inclusion_proof_is_good_for_no_other_index_or_tree() {
    const SIZE: usize = 24;
    let reference = Reference::of_size(SIZE);
    for n in 1..=SIZE {
        for m in 0..n {
            let (leaf, path) = (reference.leaf(m), reference.path(m, n));
            for other_n in 1..=SIZE {
                for other_m in 0..other_n {
                    let root = reference.root(other_n);
                    let verified = verify_inclusion(&leaf, index(other_m), size(other_n), &path, &root);
                    assert_eq!(verified.is_ok(), (m, n) == (other_m, other_n), "{m} in {n} as {other_m} in {other_n}");
                }
            }
        }
    }
}

#[test]
fn tampered_consistency_proofs_are_refused() {
    let reference = Reference::of_size(40);
    let wrong = leaf_hash(b"wrong");
    for n in 2..=40 {
        for m in 1..n {
            let (old, new, proof) = (reference.root(m), reference.root(n), reference.proof(m, n));
            for twin in tampered(&proof) {
                let refused = verify_consistency(size(m), &old, size(n), &new, &twin).unwrap_err();
                let wrong_length = ProofError::WrongLength { expected: proof.len(), found: twin.len() };
                assert_eq!(refused == wrong_length, twin.len() != proof.len(), "{m} to {n}: {refused}");
            }
            assert!(verify_consistency(size(m), &wrong, size(n), &new, &proof).is_err());
            assert!(verify_consistency(size(m), &old, size(n), &wrong, &proof).is_err());
            assert!(verify_consistency(size(m), &new, size(n), &old, &proof).is_err());
        }
    }
}

#[test]
fn a_consistency_proof_is_good_for_no_other_trees() {
    const SIZE: usize = 20;
    let reference = Reference::of_size(SIZE);
    for n in 2..=SIZE {
        for m in 1..n {
            let proof = reference.proof(m, n);
            for other_n in 2..=SIZE {
                for other_m in 1..other_n {
                    let (old, new) = (reference.root(other_m), reference.root(other_n));
                    let verified = verify_consistency(size(other_m), &old, size(other_n), &new, &proof);
                    assert_eq!(verified.is_ok(), (m, n) == (other_m, other_n), "{m} to {n} as {other_m} to {other_n}");
                }
            }
        }
    }
}

/// A tree whose leaves are all the same can be of any size: a perfect subtree's hash depends on its level alone.
struct Uniform([Hash; 64]);

impl Uniform {
    fn new() -> Uniform {
        let mut levels = [leaf_hash(b"the same"); 64];
        for level in 1..64 {
            levels[level] = node_hash(&levels[level - 1], &levels[level - 1]);
        }
        Uniform(levels)
    }

    fn assemble(&self, plan: &ProofPlan) -> Vec<Hash> {
        let hashes: Vec<Hash> = plan.nodes().iter().map(|node| self.0[usize::from(node.level)]).collect();
        plan.assemble(&hashes)
    }

    fn root(&self, size: u64) -> Hash {
        self.assemble(&root_plan(TreeSize(size)))[0]
    }
}

/// Sizes near powers of two are the interesting ones, and random ones are nearly always of full length.
fn any_size() -> impl Strategy<Value = u64> {
    let near_power =
        (0_u32..64, 0_u64..5).prop_map(|(bit, offset)| (1_u64 << bit).wrapping_add(offset).wrapping_sub(2));
    prop_oneof![any::<u64>(), near_power, Just(u64::MAX), (0_u32..64, any::<u64>()).prop_map(|(bits, n)| n >> bits)]
}

proptest! {
    #[test]
    fn proofs_of_trees_of_any_size_verify(n in any_size(), m in any_size()) {
        let (m, n) = (m.min(n), m.max(n));
        let tree = Uniform::new();
        let longest = if n <= 1 << 63 { PROOF_HASHES_MAX } else { PROOF_HASHES_MAX + 1 };
        if m < n {
            let proof = tree.assemble(&inclusion_plan(LeafIndex(m), TreeSize(n)).unwrap());
            prop_assert!(proof.len() <= longest);
            verify_inclusion(&tree.0[0], LeafIndex(m), TreeSize(n), &proof, &tree.root(n)).unwrap();
        }
        let proof = tree.assemble(&consistency_plan(TreeSize(m), TreeSize(n)).unwrap());
        prop_assert!(proof.len() <= longest);
        verify_consistency(TreeSize(m), &tree.root(m), TreeSize(n), &tree.root(n), &proof).unwrap();
    }

    #[test]
    fn nothing_arbitrary_verifies_or_panics(
        m in any_size(),
        n in any_size(),
        proof in vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
        leaf in any::<[u8; 32]>().prop_map(Hash),
        root in any::<[u8; 32]>().prop_map(Hash),
    ) {
        prop_assert!(verify_inclusion(&leaf, LeafIndex(m), TreeSize(n), &proof, &root).is_err());
        if m > 0 {
            prop_assert!(verify_consistency(TreeSize(m), &leaf, TreeSize(n), &root, &proof).is_err());
        }
    }
}
