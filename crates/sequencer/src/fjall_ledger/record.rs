// SPDX-License-Identifier: Apache-2.0
//! The records of the embedded ledger, schema 1: fixed fields big-endian, then the entry with its length, then the meta bytes to the end.
//!
//! The state of a frozen log has the time of the freeze at its end. A version that knows no freeze refuses such a state, which is what it
//! should do.
//!
//! Pure. Invariant: decoding accepts exactly what encoding writes.

use bytes::Bytes;
use touchmark_tlog::{Hash, LeafIndex, TreeSize};

use crate::entry::Sequenced;
use crate::ledger::{LedgerState, Row, TreeHead};

pub(super) fn encode_row(row: &Row) -> Vec<u8> {
    let entry_length = u32::try_from(row.bundle_bytes.len()).expect("an entry is shorter than its limit of 64 KiB");
    let mut bytes = Vec::with_capacity(76 + row.bundle_bytes.len() + row.meta.len());
    bytes.extend_from_slice(&row.time_ms.to_be_bytes());
    bytes.extend_from_slice(&row.dedup_key);
    bytes.extend_from_slice(&row.leaf_hash.0);
    bytes.extend_from_slice(&entry_length.to_be_bytes());
    bytes.extend_from_slice(&row.bundle_bytes);
    bytes.extend_from_slice(&row.meta);
    bytes
}

pub(super) fn decode_row(key: &[u8], bytes: &[u8]) -> Option<Row> {
    let index = LeafIndex(u64::from_be_bytes(key.try_into().ok()?));
    let mut bytes = bytes;
    let time_ms = u64::from_be_bytes(take(&mut bytes)?);
    let dedup_key = take(&mut bytes)?;
    let leaf_hash = Hash(take(&mut bytes)?);
    let entry_length = usize::try_from(u32::from_be_bytes(take(&mut bytes)?)).ok()?;
    let (bundle_bytes, meta) = bytes.split_at_checked(entry_length)?;
    Some(Row {
        index,
        time_ms,
        dedup_key,
        leaf_hash,
        bundle_bytes: Bytes::copy_from_slice(bundle_bytes),
        meta: meta.to_vec(),
    })
}

pub(super) fn encode_place(index: LeafIndex, time_ms: u64) -> Vec<u8> {
    [index.0.to_be_bytes(), time_ms.to_be_bytes()].concat()
}

pub(super) fn decode_place(bytes: &[u8]) -> Option<Sequenced> {
    let mut bytes = bytes;
    let index = LeafIndex(u64::from_be_bytes(take(&mut bytes)?));
    let time_ms = u64::from_be_bytes(take(&mut bytes)?);
    bytes.is_empty().then_some(Sequenced { index, time_ms })
}

pub(super) fn encode_state(state: &LedgerState) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&state.head.size.0.to_be_bytes());
    bytes.extend_from_slice(&state.head.root.0);
    bytes.extend_from_slice(&state.head.time_ms.to_be_bytes());
    bytes.extend_from_slice(&state.published.0.to_be_bytes());
    bytes.extend(state.frozen_ms.into_iter().flat_map(u64::to_be_bytes));
    bytes
}

pub(super) fn decode_state(bytes: &[u8]) -> Option<LedgerState> {
    let mut bytes = bytes;
    let size = TreeSize(u64::from_be_bytes(take(&mut bytes)?));
    let root = Hash(take(&mut bytes)?);
    let time_ms = u64::from_be_bytes(take(&mut bytes)?);
    let published = TreeSize(u64::from_be_bytes(take(&mut bytes)?));
    let frozen_ms = if bytes.is_empty() { None } else { Some(u64::from_be_bytes(take(&mut bytes)?)) };
    bytes.is_empty().then_some(LedgerState { head: TreeHead { size, root, time_ms }, published, frozen_ms })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*field)
}
