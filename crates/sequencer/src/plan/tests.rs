// SPDX-License-Identifier: Apache-2.0
//! Plans against a naive tree: RFC 6962 §2.1 read aloud.

use proptest::collection::vec;
use proptest::prelude::*;
use touchmark_tlog::proof::{verify_consistency, verify_inclusion};
use touchmark_tlog::{empty_root, node_hash};

use super::*;
use crate::config::EntryTiles;
use crate::entry::Rendered;

/// MTH(D[n]).
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let middle = leaves.len().next_power_of_two() / 2;
            node_hash(&naive_root(&leaves[..middle]), &naive_root(&leaves[middle..]))
        }
    }
}

/// Every full tile and entry tile of a tree, by name.
fn naive_tiles(leaves: &[Hash], entries: &[Vec<u8>], entry_tiles: EntryTiles) -> Vec<(String, Vec<u8>)> {
    let mut tiles = Vec::new();
    for (index, entries) in (0_u64..).zip(entries.chunks_exact(256)) {
        tiles.push((entry_tiles.path(index, 256), entry_tiles.encode(entries.iter().map(Vec::as_slice))));
    }
    let mut row = leaves.to_vec();
    for level in 0.. {
        if row.len() < 256 {
            break;
        }
        for (index, hashes) in (0_u64..).zip(row.chunks_exact(256)) {
            tiles.push((format!("tile/{level}/{index:03}"), hashes.iter().flat_map(|hash| hash.0).collect()));
        }
        row = row.chunks_exact(256).map(naive_root).collect();
    }
    tiles.sort();
    tiles
}

fn pending(id: u64) -> Pending {
    Pending {
        dedup_key: [0; 32],
        render: Box::new(move |index, time_ms| Rendered {
            leaf_input: format!("leaf {id} {index} {time_ms}").into(),
            bundle_bytes: format!("entry {id} {index}").into(),
        }),
        blobs: [].into(),
        meta: id.to_be_bytes().to_vec(),
    }
}

/// Plans batches of these sizes one after the other and checks each plan, and the joined nodes of all, against the naive tree.
fn check_batches(batches: &[usize], entry_tiles: EntryTiles) {
    let mut edge = Edge::empty(entry_tiles);
    let (mut leaves, mut entries, mut completed) = (Vec::new(), Vec::new(), Vec::new());
    let mut joined = Nodes::default();
    for batch in batches {
        let first = leaves.len() as u64;
        let batch: Vec<Pending> = (first..).take(*batch).map(pending).collect();
        let plan = plan(&edge, &batch, 1_000 + first);
        assert_eq!(edge.size(), TreeSize(first), "the edge that was handed in is left as it was");
        for (row, placement) in plan.rows.iter().zip(&plan.placements) {
            let leaf_input = Bytes::from(format!("leaf {0} {0} {1}", row.index, row.time_ms));
            assert_eq!(row.leaf_hash, leaf_hash(&leaf_input));
            let (index, time_ms) = (row.index, row.time_ms);
            assert_eq!(placement, &Placement::At { index, time_ms, leaf_input });
            assert_eq!(row.index.0, leaves.len() as u64);
            leaves.push(row.leaf_hash);
            entries.push(row.bundle_bytes.to_vec());
        }
        let (head, root) = (plan.head(), naive_root(&leaves));
        assert_eq!((head.size, head.root), (TreeSize(leaves.len() as u64), root));
        check_proofs(&plan.nodes, &leaves, usize::try_from(first).unwrap(), &root);
        completed.extend(plan.completed.into_iter().map(|blob| (blob.name, blob.bytes)));
        joined.join(plan.nodes);
        edge = plan.edge;
    }
    check_proofs(&joined, &leaves, 0, &naive_root(&leaves));
    completed.sort();
    assert_eq!(completed, naive_tiles(&leaves, &entries, entry_tiles));
}

/// All proofs of the entries from `first` on, and the consistency proof from there.
fn check_proofs(nodes: &Nodes, leaves: &[Hash], first: usize, root: &Hash) {
    let size = TreeSize(leaves.len() as u64);
    for (index, leaf) in leaves.iter().enumerate().skip(first) {
        let index = LeafIndex(index as u64);
        let proof = nodes.inclusion_proof(index, size).expect("the plan has every node of the proof");
        verify_inclusion(leaf, index, size, &proof, root).unwrap();
    }
    let old = TreeSize(first as u64);
    let proof = nodes.consistency_proof(old, size).expect("the plan has every node of the proof");
    verify_consistency(old, &naive_root(&leaves[..first]), size, root, &proof).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn plans_agree_with_a_naive_tree(batches in vec(0_usize..200, 1..12)) {
        check_batches(&batches, EntryTiles::Entries);
    }

    #[test]
    fn plans_of_small_batches_agree_with_a_naive_tree(batches in vec(0_usize..5, 1..200)) {
        check_batches(&batches, EntryTiles::Data);
    }
}

#[test]
fn a_plan_that_crosses_a_tile_of_tiles_agrees_with_a_naive_tree() {
    check_batches(&[65_500, 100, 1], EntryTiles::Entries);
}

#[test]
fn an_edge_rebuilt_from_full_tiles_goes_on_as_the_first_one() {
    for tiles in [1_u64, 2, 3, 255, 256, 257] {
        let mut edge = Edge::empty(EntryTiles::Entries);
        let mut level0 = Vec::new();
        for leaf in 0..tiles * 256 {
            let hash = leaf_hash(&leaf.to_be_bytes());
            edge.append(&hash, Bytes::new(), 0);
            level0.push(hash);
        }
        let level1: Vec<Hash> = level0.chunks_exact(256).map(naive_root).collect();
        let level2: Vec<Hash> = level1.chunks_exact(256).map(naive_root).collect();
        let partial = |row: Vec<Hash>| row[row.len() / 256 * 256..].to_vec();
        let levels = vec![Vec::new(), partial(level1), partial(level2)];
        let mut rebuilt = Edge::at_boundary(EntryTiles::Entries, edge.size(), levels).unwrap();
        assert_eq!(rebuilt.head(), edge.head(), "{tiles} tiles");
        for leaf in 0..300_u64 {
            let hash = leaf_hash(&leaf.to_be_bytes());
            let (a, b) =
                (edge.append(&hash, Bytes::from_static(b"x"), 0), rebuilt.append(&hash, Bytes::from_static(b"x"), 0));
            assert_eq!(a.completed, b.completed);
            assert_eq!(a.nodes, b.nodes);
        }
        assert_eq!(rebuilt.head(), edge.head());
    }
}

#[test]
fn time_stands_still_while_the_clock_is_behind() {
    let entry_tiles = EntryTiles::Entries;
    let first = plan(&Edge::empty(entry_tiles), &[pending(0)], 5_000);
    let second = plan(&first.edge, &[pending(1)], 4_000);
    let third = plan(&second.edge, &[pending(2)], 6_000);
    let times: Vec<u64> = [&first, &second, &third].iter().map(|plan| plan.rows[0].time_ms).collect();
    assert_eq!(times, [5_000, 5_000, 6_000]);
    assert_eq!(third.head().time_ms, 6_000);
}

#[test]
fn an_entry_that_is_too_large_takes_no_index() {
    let large = |bytes: usize| Pending {
        render: Box::new(move |_, _| Rendered {
            leaf_input: Bytes::from_static(b"large"),
            bundle_bytes: vec![0; bytes].into(),
        }),
        ..pending(0)
    };
    for entry_tiles in [EntryTiles::Entries, EntryTiles::Data] {
        let batch = [pending(0), large(65_536), large(65_535), pending(3)];
        let plan = plan(&Edge::empty(entry_tiles), &batch, 0);
        assert_eq!(plan.rows.len(), 3);
        assert_eq!(plan.placements[1], Placement::TooLarge { bytes: 65_536, max: 65_535 });
        assert_eq!(plan.rows[2].bundle_bytes, "entry 3 2");
    }
}
