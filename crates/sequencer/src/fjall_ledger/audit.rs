// SPDX-License-Identifier: Apache-2.0
//! What only a check of a whole ledger asks: are the indices those of the rows, no key missing and none too many?

use touchmark_tlog::TreeSize;

use super::{FjallLedger, Store, failed, record};
use crate::entry::DedupKey;
use crate::ledger::{LedgerError, Row};

/// How an index answers for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indexed {
    Right,
    /// It has no record of its own: the dedup key is the same and leads to it.
    ByDedupKey,
    Missing,
    Wrong,
}

/// How an index of each kind answers for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowIndexed {
    pub(crate) dedup: Indexed,
    pub(crate) leaf: Indexed,
}

/// How many records a ledger has of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) dedup: u64,
    pub(crate) leaves: u64,
}

impl FjallLedger {
    /// For each row, whether its dedup key and its leaf hash lead to it.
    pub(crate) async fn indexed(&self, rows: Vec<Row>) -> Result<(Vec<Row>, Vec<RowIndexed>), LedgerError> {
        self.read(move |store| {
            let indexed = rows.iter().map(|row| row_indexed(store, row)).collect::<Result<Vec<_>, _>>()?;
            Ok((rows, indexed))
        })
        .await
    }

    /// Counts every record. Where every row's keys lead to it, equal numbers mean that no key is left over.
    pub(crate) async fn counts(&self) -> Result<Counts, LedgerError> {
        self.read(|store| {
            let mut counts = Counts { rows: 0, dedup: 0, leaves: 0 };
            for (keyspace, count) in [
                (&store.rows, &mut counts.rows),
                (&store.dedup, &mut counts.dedup),
                (&store.leaves, &mut counts.leaves),
            ] {
                for guard in keyspace.iter() {
                    guard.key().map_err(failed)?;
                    *count += 1;
                }
            }
            Ok(counts)
        })
        .await
    }

    /// Dedup keys that no row of the first `size` has, at most `count` of them.
    pub(crate) async fn stray_dedup_keys(&self, size: TreeSize, count: usize) -> Result<Vec<DedupKey>, LedgerError> {
        self.read(move |store| {
            let mut stray = Vec::new();
            for guard in store.dedup.iter() {
                let (key, value) = guard.into_inner().map_err(failed)?;
                let Ok(key) = DedupKey::try_from(key.as_ref()) else { continue };
                if !has_row(store, &key, &value, size)? {
                    stray.push(key);
                    if stray.len() == count {
                        break;
                    }
                }
            }
            Ok(stray)
        })
        .await
    }
}

fn row_indexed(store: &Store, row: &Row) -> Result<RowIndexed, LedgerError> {
    let answer = |found: Option<fjall::UserValue>, expected: &[u8]| match found {
        None => Indexed::Missing,
        Some(found) if found.as_ref() == expected => Indexed::Right,
        Some(_) => Indexed::Wrong,
    };
    let dedup = store.dedup.get(row.dedup_key).map_err(failed)?;
    let leaf = store.leaves.get(row.leaf_hash.0).map_err(failed)?;
    let by_dedup_key = leaf.is_none() && row.leaf_hash.0 == row.dedup_key;
    Ok(RowIndexed {
        dedup: answer(dedup, &record::encode_place(row.index, row.time_ms)),
        leaf: if by_dedup_key { Indexed::ByDedupKey } else { answer(leaf, &row.index.0.to_be_bytes()) },
    })
}

fn has_row(store: &Store, key: &DedupKey, place: &[u8], size: TreeSize) -> Result<bool, LedgerError> {
    let Some(place) = record::decode_place(place) else { return Ok(false) };
    if place.index.0 >= size.0 {
        return Ok(false);
    }
    let index = place.index.0.to_be_bytes();
    let row = store.rows.get(index).map_err(failed)?.and_then(|row| record::decode_row(&index, &row));
    Ok(row.is_some_and(|row| row.dedup_key == *key))
}

/// Changes that no engine makes, for tests of what finds them.
#[cfg(test)]
impl FjallLedger {
    pub(crate) fn tamper_row(&self, index: u64, change: impl FnOnce(&mut Row)) {
        let key = index.to_be_bytes();
        let mut row = record::decode_row(&key, &self.store.rows.get(key).unwrap().unwrap()).unwrap();
        change(&mut row);
        self.store.rows.insert(row.index.0.to_be_bytes(), record::encode_row(&row)).unwrap();
    }

    pub(crate) fn remove_row(&self, index: u64) {
        self.store.rows.remove(index.to_be_bytes()).unwrap();
    }

    pub(crate) fn remove_keys(&self, row: &Row) {
        self.store.dedup.remove(row.dedup_key).unwrap();
        self.store.leaves.remove(row.leaf_hash.0).unwrap();
    }

    pub(crate) fn insert_keys(&self, row: &Row) {
        self.store.dedup.insert(row.dedup_key, record::encode_place(row.index, row.time_ms)).unwrap();
        self.store.leaves.insert(row.leaf_hash.0, row.index.0.to_be_bytes()).unwrap();
    }

    /// Writes the rows that are in memory as a table.
    pub(crate) fn flush_rows(&self) {
        self.store.rows.rotate_memtable_and_wait().unwrap();
    }

    pub(crate) fn tamper_state(&self, change: impl FnOnce(&mut crate::LedgerState)) {
        change(&mut self.state.lock().unwrap());
    }
}
