// SPDX-License-Identifier: Apache-2.0
//! Tiles, paths and bundles.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::hash::LeafIndex;
use crate::proof::{consistency_plan, inclusion_plan, root_plan};
use crate::reference::Reference;

fn check_path(tile: Tile, path: &str) {
    assert_eq!(tile.path(), path);
    assert_eq!(Tile::parse(path), Ok(tile));
}

#[test]
fn paths_are_those_of_the_specification() {
    check_path(Tile { level: 0, index: 1_234_067, width: 256 }, "tile/0/x001/x234/067");
    check_path(Tile { level: 0, index: 0, width: 256 }, "tile/0/000");
    check_path(Tile { level: 63, index: 999, width: 1 }, "tile/63/999.p/1");
    check_path(Tile { level: 1, index: 1000, width: 255 }, "tile/1/x001/000.p/255");
    check_path(Tile { level: 2, index: u64::MAX, width: 5 }, "tile/2/x018/x446/x744/x073/x709/x551/615.p/5");
    assert_eq!(entry_bundle_path(1_234_067, 256), "tile/entries/x001/x234/067");
    assert_eq!(data_path(273, 112), "tile/data/273.p/112");
    assert_eq!(parse_tile_path("tile/entries/x001/x234/067"), Ok(TilePath::Entries { index: 1_234_067, width: 256 }));
    assert_eq!(parse_tile_path("tile/data/273.p/112"), Ok(TilePath::Data { index: 273, width: 112 }));
    assert_eq!(Tile::parse("tile/data/273.p/112"), Err(TileError::Path));
}

#[test]
fn other_spellings_of_a_path_are_refused() {
    let bad = "\
        |/tile/0/000|tile/0|tile/0/|tile//000|tile/0/000/|tile/00/000|tile/01/000|tile/64/000|tile/-1/000|tile/+1/000\
        |tile/256/000|tile/x/000|tile/0/0|tile/0/00|tile/0/0000|tile/0/x001|tile/0/001/002|tile/0/x001/x002\
        |tile/0/x000/001|tile/0/x000/x001/001|tile/0/X001/001|tile/0/x1/001|tile/0/x0001/001|tile/0/+01|tile/0/-01\
        |tile/0/000.p|tile/0/000.p/|tile/0/000.p/0|tile/0/000.p/00|tile/0/000.p/01|tile/0/000.p/256|tile/0/000.p/+5\
        |tile/0/000.p/5/|tile/0/000.p/5.p/5|tile/0/000p/5|tile/0/.p/5|tile/0/000.P/5|Tile/0/000|tile/entry/000\
        |tile/0/x018/x446/x744/x073/x709/x551/616|tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999|checkpoint\
        |tile/0/000 |tile/0/٠٠٠|tile/entries|tile/data/";
    for path in bad.split('|') {
        assert_eq!(parse_tile_path(path), Err(TileError::Path), "{path:?}");
    }
}

proptest! {
    #[test]
    fn a_written_path_is_read_back(level in 0..=TILE_LEVEL_MAX, index: u64, small in 0_u64..5000, width in 1..=TILE_WIDTH) {
        for index in [index, small] {
            let paths = [
                TilePath::Hashes(Tile { level, index, width }),
                TilePath::Entries { index, width },
                TilePath::Data { index, width },
            ];
            for path in paths {
                prop_assert_eq!(parse_tile_path(&path.path()), Ok(path));
            }
        }
    }

    #[test]
    fn whatever_is_read_is_written_the_same(path in "(tile/)?(0|[0-9]{1,3}|data|entries)(/x?[0-9]{1,4}){0,8}(\\.p/[0-9]{0,4})?|.*") {
        if let Ok(parsed) = parse_tile_path(&path) {
            prop_assert_eq!(parsed.path(), path);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_tile_and_do_not_panic(
        bytes in vec(any::<u8>(), 0..600), width in 0..20_u16, level: u8, index: u64, node_level: u8, node_index: u64, n: u64,
    ) {
        let tile = Tile { level, index, width };
        let node = NodeId { level: node_level, index: node_index };
        prop_assert_eq!(tile.hashes(&bytes).is_ok(), bytes.len() == usize::from(width) * HASH_BYTES);
        let _: Result<Hash, TileError> = tile.node(&bytes, node);
        prop_assert_eq!(tile.nodes().count(), usize::from(width));
        let _: bool = tile.is_in(TreeSize(n));
        if let Ok(covering) = Tile::covering(node, TreeSize(n)) {
            prop_assert!(covering.is_in(TreeSize(n)));
        }
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written(entries in vec(vec(any::<u8>(), 0..40), 0..20)) {
        let width = u16::try_from(entries.len()).unwrap();
        let bundle = encode_entry_bundle(&entries).unwrap();
        prop_assert_eq!(decode_entry_bundle(&bundle, width).unwrap(), entries);
    }

    #[test]
    fn a_bundle_of_arbitrary_bytes_is_refused_or_written_the_same(bytes in vec(0..4_u8, 0..60), width in 0..10_u16) {
        if let Ok(entries) = decode_entry_bundle(&bytes, width) {
            prop_assert_eq!(entries.len(), usize::from(width));
            prop_assert_eq!(encode_entry_bundle(&entries).unwrap(), bytes);
        }
    }
}

#[test]
fn bundles_hold_exactly_their_entries() {
    let bundle = encode_entry_bundle(&[b"ab".as_slice(), b"", b"c"]).unwrap();
    assert_eq!(bundle, b"\x00\x02ab\x00\x00\x00\x01c");
    assert_eq!(decode_entry_bundle(&bundle, 4), Err(TileError::BundleTruncated { position: 3, width: 4 }));
    assert_eq!(decode_entry_bundle(&bundle, 2), Err(TileError::BundleTrailing { bytes: 3 }));
    assert_eq!(decode_entry_bundle(b"\x00\x02a", 1), Err(TileError::BundleTruncated { position: 0, width: 1 }));
    assert_eq!(decode_entry_bundle(b"", 0), Ok(Vec::new()));
    let longest = vec![0; ENTRY_BYTES_MAX];
    assert_eq!(decode_entry_bundle(&encode_entry_bundle(&[&longest]).unwrap(), 1), Ok(vec![longest.as_slice()]));
    let longer = vec![0; ENTRY_BYTES_MAX + 1];
    assert_eq!(
        encode_entry_bundle(&[[].as_slice(), &longer]),
        Err(TileError::EntryTooLong { position: 1, bytes: ENTRY_BYTES_MAX + 1 })
    );
}

/// tlog-tiles, "Partial Tiles": the two examples.
#[test]
fn a_tree_has_the_tiles_of_the_specification() {
    let count = |size, level, partial| {
        let tiles = Tile::tiles_of_size(TreeSize(size));
        let widths: Vec<u16> =
            tiles.filter(|tile| tile.level == level && tile.is_partial() == partial).map(|tile| tile.width).collect();
        (widths.len(), widths.first().copied())
    };
    assert_eq!(count(70_000, 0, false), (273, Some(256)));
    assert_eq!(count(70_000, 0, true), (1, Some(112)));
    assert_eq!(count(70_000, 1, false), (1, Some(256)));
    assert_eq!(count(70_000, 1, true), (1, Some(17)));
    assert_eq!(count(70_000, 2, true), (1, Some(1)));
    assert_eq!(Tile::tiles_of_size(TreeSize(70_000)).count(), 277);
    let full_and_one = [Tile { level: 0, index: 0, width: 256 }, Tile { level: 1, index: 0, width: 1 }];
    assert_eq!(Tile::tiles_of_size(TreeSize(256)).collect::<Vec<_>>(), full_and_one);
    assert_eq!(Tile::tiles_of_size(TreeSize(0)).count(), 0);
}

#[test]
fn a_tree_has_its_own_tiles_and_narrower_ones_and_no_others() {
    let size = TreeSize(70_000);
    for tile in Tile::tiles_of_size(size) {
        assert!(tile.is_in(size));
        assert!(Tile { width: 1, ..tile }.is_in(size));
        assert!(!Tile { width: 0, ..tile }.is_in(size));
        if tile.is_partial() {
            assert!(!Tile { width: tile.width + 1, ..tile }.is_in(size));
            assert!(!Tile { index: tile.index + 1, width: 1, ..tile }.is_in(size));
        }
    }
    assert!(!Tile { level: 3, index: 0, width: 1 }.is_in(size));
    assert!(!Tile { level: 63, index: 0, width: 1 }.is_in(TreeSize(u64::MAX)));
    assert!(!Tile { level: 0, index: u64::MAX, width: 1 }.is_in(TreeSize(u64::MAX)));
    assert!(Tile { level: 7, index: 0, width: 255 }.is_in(TreeSize(u64::MAX)));
    assert!(TilePath::Entries { index: 273, width: 112 }.is_in(size));
    assert!(!TilePath::Data { index: 273, width: 113 }.is_in(size));
}

#[test]
fn grown_tiles_are_the_difference_of_the_two_trees() {
    let tiles = |size| Tile::tiles_of_size(TreeSize(size)).collect::<BTreeSet<Tile>>();
    let sizes = [0, 1, 2, 255, 256, 257, 511, 512, 513, 700, 65_535, 65_536, 65_537, 66_000, 70_000];
    for new in sizes {
        for old in sizes {
            let expected: Vec<Tile> = tiles(new).difference(&tiles(old)).copied().collect();
            let grown: Vec<Tile> = Tile::tiles_grown(TreeSize(old), TreeSize(new)).collect();
            if old <= new {
                assert_eq!(grown, expected, "{old} to {new}");
            } else {
                assert_eq!(grown, [], "{old} to {new}");
            }
        }
    }
}

/// The bytes of a tile, straight from its definition.
fn render(reference: &Reference, tile: &Tile) -> Vec<u8> {
    let subtree = 256_usize.pow(u32::from(tile.level));
    let first = usize::try_from(tile.index).unwrap() * 256;
    let hashes = (first..first + usize::from(tile.width)).map(|n| reference.mth(n * subtree..(n + 1) * subtree));
    hashes.flat_map(|hash| hash.0).collect()
}

#[test]
fn every_proof_can_be_made_from_tiles() {
    const SIZE: u64 = 70_000;
    let reference = Reference::of_size(70_000);
    let sizes = [1, 2, 255, 256, 257, 300, 511, 512, 1000, 65_536, 65_537, SIZE];
    let mut plans = Vec::new();
    for size in sizes {
        let steps = (0..size).step_by(usize::try_from(size / 7 + 1).unwrap()).chain([0, size - 1]);
        for index in steps {
            plans.push((size, inclusion_plan(LeafIndex(index), TreeSize(size)).unwrap()));
            plans.push((size, consistency_plan(TreeSize(index), TreeSize(size)).unwrap()));
        }
        plans.push((size, root_plan(TreeSize(size))));
    }
    for (size, plan) in plans {
        for node in plan.nodes() {
            let leaves = usize::try_from(node.index << node.level).unwrap();
            let expected = reference.mth(leaves..leaves + (1 << node.level));
            // Out of the tile as it was at that size, and out of a later one.
            for size in [size, SIZE] {
                let tile = Tile::covering(*node, TreeSize(size)).unwrap();
                assert!(tile.is_in(TreeSize(size)));
                assert_eq!(tile.node(&render(&reference, &tile), *node), Ok(expected), "{node:?} at {size}");
            }
        }
    }
}

#[test]
fn a_tile_names_the_nodes_of_its_hashes() {
    let reference = Reference::of_size(66_000);
    for tile in Tile::tiles_of_size(TreeSize(66_000)).filter(|tile| tile.level > 0 || tile.index > 255) {
        let bytes = render(&reference, &tile);
        let hashes = tile.hashes(&bytes).unwrap();
        assert_eq!(tile.nodes().count(), hashes.len());
        for (node, hash) in tile.nodes().zip(hashes) {
            assert_eq!(tile.node(&bytes, node), Ok(hash));
        }
    }
}

#[test]
fn a_node_comes_only_from_its_own_tile() {
    let tile = Tile { level: 1, index: 2, width: 6 };
    let bytes = vec![7; 6 * HASH_BYTES];
    let node = |level, index| tile.node(&bytes, NodeId { level, index });
    assert!(node(8, 512).is_ok());
    assert!(node(8, 517).is_ok());
    assert!(node(9, 258).is_ok());
    for (level, index) in [(8, 511), (8, 518), (9, 259), (10, 129), (7, 512), (16, 2), (0, 0), (8, 0), (255, 0)] {
        assert_eq!(node(level, index), Err(TileError::NodeOutside { node: NodeId { level, index } }));
    }
    let error = TileError::WrongLength { expected: 192, found: 191 };
    assert_eq!(tile.node(&bytes[1..], NodeId { level: 8, index: 512 }), Err(error));
    let node = NodeId { level: 8, index: 1 };
    let incomplete = TileError::NodeIncomplete { node, size: TreeSize(511) };
    assert_eq!(Tile::covering(node, TreeSize(511)), Err(incomplete));
    assert_eq!(incomplete.to_string(), "node 1 of level 8 is not complete in a tree of size 511");
}
