// SPDX-License-Identifier: Apache-2.0
//! The tree of RFC 6962 §2.1 as the text defines it: recursive, over all leaves. What the crate does cleverly is tested
//! against this; only the two hash functions are shared, and those have vectors of their own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::hash::{Hash, empty_root, leaf_hash, node_hash};

pub(crate) struct Reference {
    leaves: Vec<Hash>,
    /// MTH of each range that was asked for; a range is always of the same leaves.
    known: RefCell<BTreeMap<(usize, usize), Hash>>,
}

impl Reference {
    /// A list of so many different leaves; trees are made of its first leaves.
    pub(crate) fn of_size(size: usize) -> Reference {
        Reference::of_leaves((0..size).map(|index| leaf_hash(format!("leaf {index}").as_bytes())).collect())
    }

    pub(crate) fn of_leaves(leaves: Vec<Hash>) -> Reference {
        Reference { leaves, known: RefCell::default() }
    }

    pub(crate) fn leaf(&self, index: usize) -> Hash {
        self.leaves[index]
    }

    pub(crate) fn root(&self, size: usize) -> Hash {
        self.mth(0..size)
    }

    /// §2.1: MTH(D[range]).
    pub(crate) fn mth(&self, range: Range<usize>) -> Hash {
        let key = (range.start, range.end);
        if let Some(hash) = self.known.borrow().get(&key) {
            return *hash;
        }
        let hash = match range.len() {
            0 => empty_root(),
            1 => self.leaves[range.start],
            n => {
                let k = largest_power_of_two_below(n);
                node_hash(&self.mth(range.start..range.start + k), &self.mth(range.start + k..range.end))
            }
        };
        self.known.borrow_mut().insert(key, hash);
        hash
    }

    /// §2.1.1: PATH(m, D[n]).
    pub(crate) fn path(&self, m: usize, n: usize) -> Vec<Hash> {
        self.path_in(m, 0..n)
    }

    fn path_in(&self, m: usize, range: Range<usize>) -> Vec<Hash> {
        let n = range.len();
        if n == 1 {
            return Vec::new();
        }
        let k = largest_power_of_two_below(n);
        let middle = range.start + k;
        if m < k {
            let mut path = self.path_in(m, range.start..middle);
            path.push(self.mth(middle..range.end));
            path
        } else {
            let mut path = self.path_in(m - k, middle..range.end);
            path.push(self.mth(range.start..middle));
            path
        }
    }

    /// §2.1.2: PROOF(m, D[n]), for 0 < m <= n.
    pub(crate) fn proof(&self, m: usize, n: usize) -> Vec<Hash> {
        self.subproof(m, 0..n, true)
    }

    fn subproof(&self, m: usize, range: Range<usize>, is_known: bool) -> Vec<Hash> {
        let n = range.len();
        if m == n {
            return if is_known { Vec::new() } else { vec![self.mth(range)] };
        }
        let k = largest_power_of_two_below(n);
        let middle = range.start + k;
        if m <= k {
            let mut proof = self.subproof(m, range.start..middle, is_known);
            proof.push(self.mth(middle..range.end));
            proof
        } else {
            let mut proof = self.subproof(m - k, middle..range.end, false);
            proof.push(self.mth(range.start..middle));
            proof
        }
    }
}

fn largest_power_of_two_below(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// RFC 6962 §2.1 with the leaves of the Certificate Transparency test suites: all roots that it gives.
#[test]
fn reference_gives_the_roots_of_the_public_test_suites() {
    let leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let reference = Reference::of_leaves(leaves.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect());
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(reference.root(size).to_string(), *root, "size {size}");
    }
}
