// SPDX-License-Identifier: Apache-2.0
//! Checks a whole log against everything that its callers were told, with nothing of the engine but its reads.

use std::collections::HashSet;

use touchmark_tlog::note::SignedNote;
use touchmark_tlog::proof::{verify_consistency, verify_inclusion};
use touchmark_tlog::tile::{TilePath, decode_entry_bundle};
use touchmark_tlog::{Frontier, Hash, LeafIndex, TreeSize, checkpoint::Checkpoint, leaf_hash, tile::Tile};

use super::drivers::{FINAL_LINE, ORIGIN, dedup_key, note_key, rendered};
use crate::{Added, Log, Row, SignedCheckpoint};

/// What callers were told.
#[derive(Default)]
pub(super) struct Told {
    /// Entry number and answer.
    pub(super) added: Vec<(u64, Added)>,
    /// Checkpoints that anybody ever saw.
    pub(super) checkpoints: Vec<SignedCheckpoint>,
}

/// Every claim that holds for a log at any moment.
pub(super) async fn audit(log: &Log, told: &Told) {
    let checkpoint = log.checkpoint();
    verify_note(&checkpoint);
    let rows = all_rows(log, checkpoint.size).await;
    let roots = check_rows(&rows);
    assert_eq!(roots.last(), Some(&checkpoint.root), "the checkpoint is of the rows");

    let mut notes = HashSet::new();
    for seen in told.checkpoints.iter().chain(told.added.iter().filter_map(|(_, added)| checkpoint_of(added))) {
        if !notes.insert(&seen.note) {
            continue;
        }
        verify_note(seen);
        assert!(seen.size <= checkpoint.size, "the log shrank");
        assert_eq!(roots[usize::try_from(seen.size.0).unwrap()], seen.root, "a checkpoint of another history");
        let proof = log.consistency_proof(seen.size, checkpoint.size).await.unwrap();
        verify_consistency(seen.size, &seen.root, checkpoint.size, &checkpoint.root, &proof).unwrap();
    }
    for (position, (id, added)) in told.added.iter().enumerate() {
        let row = check_added(&rows, *id, added);
        // The root was computed from all rows, so this says something about the engine's proofs alone: some of them will do.
        if position % 11 == 0 {
            let proof = log.inclusion_proof(row.index, checkpoint.size).await.unwrap();
            verify_inclusion(&row.leaf_hash, row.index, checkpoint.size, &proof, &checkpoint.root).unwrap();
            assert_eq!(log.find_leaf(&row.leaf_hash).await.unwrap(), Some(row.index));
        }
    }
    check_tiles(log, &rows, checkpoint.size).await;
}

fn verify_note(checkpoint: &SignedCheckpoint) {
    let note = SignedNote::parse(checkpoint.note.as_bytes()).unwrap();
    note_key().verify(&note).unwrap();
    let text = Checkpoint::parse(note.text()).unwrap();
    // The final checkpoint of a frozen log alone has an extension line.
    let is_final = text.extensions.iter().all(|line| line.starts_with(FINAL_LINE)) && text.extensions.len() < 2;
    assert!(is_final, "{text:?}");
    assert_eq!((text.origin.as_str(), text.size, text.root), (ORIGIN, checkpoint.size, checkpoint.root));
}

pub(super) async fn all_rows(log: &Log, size: TreeSize) -> Vec<Row> {
    let mut rows = Vec::new();
    while (rows.len() as u64) < size.0 {
        let more = log.rows(LeafIndex(rows.len() as u64), usize::MAX).await.unwrap();
        assert!(!more.is_empty(), "rows are missing");
        rows.extend(more);
    }
    rows
}

/// Rows are consecutive, rendered for their place, without duplicates, in the order of time. The root of every size.
fn check_rows(rows: &[Row]) -> Vec<Hash> {
    let mut keys = HashSet::new();
    let mut tree = Frontier::new();
    let mut roots = vec![tree.root()];
    let mut time_ms = 0;
    for (position, row) in rows.iter().enumerate() {
        assert_eq!(row.index.0, position as u64);
        assert!(keys.insert(row.dedup_key), "a duplicate was admitted at {position}");
        assert!(row.time_ms >= time_ms, "time ran backwards at {position}");
        time_ms = row.time_ms;
        let id = id_of(row);
        let rendered = rendered(id, row.index, row.time_ms);
        assert_eq!(row.dedup_key, dedup_key(id));
        assert_eq!(row.leaf_hash, leaf_hash(&rendered.leaf_input));
        assert_eq!(row.bundle_bytes, rendered.bundle_bytes);
        tree.append(&row.leaf_hash, |_, _| {});
        roots.push(tree.root());
    }
    roots
}

fn id_of(row: &Row) -> u64 {
    u64::from_be_bytes(row.meta.as_slice().try_into().unwrap())
}

fn checkpoint_of(added: &Added) -> Option<&SignedCheckpoint> {
    match added {
        Added::Checkpointed(logged) => Some(&logged.checkpoint),
        Added::Sequenced(_) | Added::Duplicate { .. } => None,
    }
}

/// An acknowledged entry is at its index and time, and the proof that came with it is valid.
fn check_added<'rows>(rows: &'rows [Row], id: u64, added: &Added) -> &'rows Row {
    let (index, time_ms) = match added {
        Added::Sequenced(place) => (place.index, place.time_ms),
        Added::Duplicate { index, time_ms } => (*index, *time_ms),
        Added::Checkpointed(logged) => {
            let own = &logged.checkpoint;
            let hash = leaf_hash(&logged.leaf_input);
            verify_inclusion(&hash, logged.index, own.size, &logged.proof, &own.root).unwrap();
            assert_eq!(logged.leaf_input, rendered(id, logged.index, logged.time_ms).leaf_input);
            (logged.index, logged.time_ms)
        }
    };
    let row = rows.get(usize::try_from(index.0).unwrap()).expect("an acknowledged entry is in the log");
    assert_eq!((id_of(row), row.time_ms), (id, time_ms), "an acknowledged entry is at its place");
    row
}

/// Every tile and entry tile of the tree, full or partial, is served and is right.
async fn check_tiles(log: &Log, rows: &[Row], size: TreeSize) {
    let mut levels: Vec<Vec<Hash>> = vec![Vec::new()];
    let mut tree = Frontier::new();
    for row in rows {
        tree.append(&row.leaf_hash, |node, hash| {
            if node.level % 8 == 0 {
                let level = usize::from(node.level / 8);
                levels.resize(levels.len().max(level + 1), Vec::new());
                levels[level].push(hash);
            }
        });
    }
    for tile in Tile::tiles_of_size(size) {
        let bytes = log.tile(TilePath::Hashes(tile)).await.unwrap().expect("the tree has the tile");
        let start = usize::try_from(tile.index).unwrap() * 256;
        let expected = &levels[usize::from(tile.level)][start..start + usize::from(tile.width)];
        assert_eq!(tile.hashes(&bytes).unwrap(), expected, "{}", tile.path());
        if tile.level == 0 {
            let (index, width) = (tile.index, tile.width);
            let bytes = log.tile(TilePath::Entries { index, width }).await.unwrap().expect("the entry tile");
            let entries = decode_entry_bundle(&bytes, width).unwrap();
            let expected: Vec<&[u8]> =
                rows[start..start + usize::from(width)].iter().map(|row| row.bundle_bytes.as_ref()).collect();
            assert_eq!(entries, expected, "entries {index}");
        }
    }
}
