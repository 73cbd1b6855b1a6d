// SPDX-License-Identifier: Apache-2.0
//! Claims of the filter over the dedup keys.

use std::path::Path;

use proptest::prelude::*;
use touchmark_tlog::{Hash, LeafIndex, TreeSize};

use super::*;
use crate::fjall_ledger::{FjallLedger, Sizes};
use crate::ledger::{Batch, Ledger as _, LedgerState, Row, TreeHead};

fn key(number: u64) -> DedupKey {
    touchmark_tlog::leaf_hash(&number.to_be_bytes()).0
}

fn batch(rows: std::ops::Range<u64>) -> Batch {
    let head = TreeHead { size: TreeSize(rows.end), root: Hash([0; 32]), time_ms: rows.end };
    let row = |index| Row {
        index: LeafIndex(index),
        time_ms: index,
        dedup_key: key(index),
        leaf_hash: Hash(key(index)),
        bundle_bytes: Vec::new().into(),
        meta: Vec::new(),
    };
    Batch { rows: rows.map(row).collect(), state: LedgerState { head, published: TreeSize(0), frozen_ms: None } }
}

fn open(dir: &Path, filtered_from: u64) -> FjallLedger {
    FjallLedger::open_sized(dir, Sizes { memtable_bytes: 64 << 10, filtered_from }).unwrap()
}

async fn commit(ledger: &FjallLedger, rows: std::ops::Range<u64>) {
    let head = ledger.state().await.unwrap().head;
    assert_eq!(head.size.0, rows.start);
    ledger.commit(&head, &batch(rows)).await.unwrap();
}

/// Every key is found at its index, and a stranger is not.
async fn demand_keys(ledger: &FjallLedger, size: u64) {
    let keys: Vec<_> = (0..size + 100).map(key).collect();
    let found = ledger.find_duplicates(&keys).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|place| place.map(|place| place.index.0)).collect();
    assert_eq!(found, (0..size).map(Some).chain([None; 100]).collect::<Vec<_>>());
}

fn wait(ledger: &mut FjallLedger) {
    let Reading { thread, .. } = ledger.filter.reading.take().expect("the keys are being read");
    thread.join().unwrap();
}

fn is_complete(ledger: &FjallLedger) -> bool {
    matches!(*lock(&ledger.filter.state), State::Complete(_))
}

proptest! {
    #[test]
    fn a_key_that_was_added_may_be_there(added: Vec<DedupKey>, first_part in 1_u64..50) {
        let mut bits = Bits { secret: RandomState::new(), parts: vec![Part::for_keys(first_part)], keys: 0 };
        for (number, key) in added.iter().enumerate() {
            bits.add(key);
            prop_assert!(added[..=number].iter().all(|key| bits.may_have(key)));
        }
    }
}

#[test]
fn of_a_hundred_keys_fewer_than_one_is_taken_to_be_there_though_it_is_not() {
    let mut bits = Bits::for_keys(1);
    (0..PART_KEYS_MIN).for_each(|number| bits.add(&key(number)));
    assert_eq!((bits.parts.len(), bits.parts[0].room), (1, 0));
    let strangers = 50_000;
    let wrong = (0..strangers).filter(|number| bits.may_have(&key(PART_KEYS_MIN + number))).count() as u64;
    assert!((1..strangers / 100).contains(&wrong), "{wrong} of {strangers}");
}

#[test]
fn a_filter_takes_twelve_bits_a_key_and_grows_by_as_many_as_it_has() {
    let bytes = |bits: &Bits| bits.parts.iter().map(|part| part.blocks.len() as u64 * BLOCK_BITS / 8).sum::<u64>();
    let mut bits = Bits::for_keys(PART_KEYS_MIN + 64);
    assert_eq!(bytes(&bits), (PART_KEYS_MIN + 64) * 3 / 2);
    let fill = |bits: &mut Bits, keys| {
        bits.keys = keys;
        bits.parts.iter_mut().for_each(|part| part.room = 0);
        bits.add(&key(0));
    };
    fill(&mut bits, PART_KEYS_MIN * 4);
    assert_eq!(bits.parts[1].room, PART_KEYS_MIN * 4 - 1);
    fill(&mut bits, KEYS_MAX - PART_KEYS_MIN * 2);
    assert_eq!(bits.parts[2].room, PART_KEYS_MIN * 2 - 1, "there is none for more keys than it may have");
}

#[tokio::test]
async fn a_small_ledger_has_no_filter() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), 1_000);
    commit(&ledger, 0..999).await;
    commit(&ledger, 999..1_000).await;
    assert!(matches!(*lock(&ledger.filter.state), State::NotYet));
    commit(&ledger, 1_000..1_001).await;
    assert!(!matches!(*lock(&ledger.filter.state), State::NotYet));
}

#[tokio::test]
async fn duplicates_are_found_before_the_keys_are_read_meanwhile_and_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut size = 3_000;
    commit(&open(dir.path(), u64::MAX), 0..size).await;
    let mut ledger = open(dir.path(), 1);
    demand_keys(&ledger, size).await;
    for _ in 0..20 {
        commit(&ledger, size..size + 50).await;
        size += 50;
        demand_keys(&ledger, size).await;
    }
    wait(&mut ledger);
    assert!(is_complete(&ledger));
    demand_keys(&ledger, size).await;
    commit(&ledger, size..size + 50).await;
    demand_keys(&ledger, size + 50).await;
    let strangers: Vec<_> = (1_000_000..1_001_000).map(key).collect();
    let asked = ledger.filter.may_have(&strangers).into_iter().filter(|may| *may).count();
    assert_eq!(asked, 0, "the store is not asked for what it does not have");
}

#[tokio::test]
async fn who_reads_the_keys_has_gone_when_the_ledger_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut size, mut unfinished) = (20_000, 0);
    commit(&open(dir.path(), u64::MAX), 0..size).await;
    for _ in 0..5 {
        let ledger = open(dir.path(), 1);
        commit(&ledger, size..size + 1).await;
        size += 1;
        let state = Arc::clone(&ledger.filter.state);
        drop(ledger);
        assert_eq!(Arc::strong_count(&state), 1);
        unfinished += u32::from(matches!(*lock(&state), State::GivenUp));
    }
    assert!(unfinished > 0, "no reader was interrupted");
    demand_keys(&open(dir.path(), 1), size).await;
}

#[tokio::test]
async fn of_a_store_that_lacks_keys_the_filter_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path(), 1_000);
    commit(&ledger, 0..1_000).await;
    ledger.store.dedup.remove(key(17)).unwrap();
    commit(&ledger, 1_000..1_001).await;
    wait(&mut ledger);
    assert!(matches!(*lock(&ledger.filter.state), State::GivenUp));
    assert_eq!(ledger.filter.may_have(&[key(1 << 40)]), [true]);
}

#[test]
fn too_many_keys_are_not_kept() {
    let filter = KeyFilter::from(1);
    let mut bits = Bits::for_keys(1);
    bits.keys = KEYS_MAX - 1;
    *lock(&filter.state) = State::Complete(bits);
    filter.add(&[key(1)]);
    assert_eq!(filter.may_have(&[key(1), key(2)]), [true, false]);
    filter.add(&[key(3)]);
    assert_eq!(filter.may_have(&[key(1), key(2)]), [true, true]);
}
