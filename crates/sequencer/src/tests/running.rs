// SPDX-License-Identifier: Apache-2.0
//! Claims of a log that runs: duplicates, limits, times, blobs, freshness, the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use touchmark_tlog::note::SignedNote;
use touchmark_tlog::tile::{Tile, TilePath};
use touchmark_tlog::{Hash, LeafIndex, TreeSize};

use super::audit::{Told, audit};
use super::drivers::{Disk, Fault, Faults, Memory, Operation, Then, When, clock, config, entry, note_key, open};
use crate::ledger::{Batch, Commit, Ledger, LedgerError, LedgerState, Row, TreeHead};
use crate::{
    AddError, Added, Blob, DedupKey, EntryTiles, FatalCause, Log, Objects, Pending, ReadError, Sequenced, WaitFor,
};

/// A ledger whose commits wait for a permit, so that a test decides what a batch is.
struct Gated {
    memory: Arc<Memory>,
    permits: Semaphore,
    commits: AtomicUsize,
}

#[async_trait]
impl Ledger for Gated {
    async fn state(&self) -> Result<LedgerState, LedgerError> {
        self.memory.state().await
    }

    async fn find_duplicates(&self, keys: &[DedupKey]) -> Result<Vec<Option<Sequenced>>, LedgerError> {
        self.memory.find_duplicates(keys).await
    }

    async fn commit(&self, expected: &TreeHead, batch: &Batch) -> Result<Commit, LedgerError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        self.memory.commit(expected, batch).await
    }

    async fn rows(&self, start: LeafIndex, count: usize) -> Result<Vec<Row>, LedgerError> {
        self.memory.rows(start, count).await
    }

    async fn find_leaf(&self, leaf_hash: &Hash) -> Result<Option<LeafIndex>, LedgerError> {
        self.memory.find_leaf(leaf_hash).await
    }
}

async fn gated(pool_max: usize) -> (Log, Arc<Gated>) {
    let faults = Faults::new(None);
    let memory = Arc::new(Memory { disk: Disk::new(), faults: Arc::clone(&faults) });
    let gated =
        Arc::new(Gated { memory: Arc::clone(&memory), permits: Semaphore::new(0), commits: AtomicUsize::new(0) });
    let mut config = config(&faults);
    config.pool_max = pool_max;
    let log = Log::open(config, Arc::clone(&gated) as Arc<dyn Ledger>, memory, clock(0)).await.unwrap();
    (log, gated)
}

/// Lets the tasks go on until the first commit has begun and this many entries wait behind it.
async fn until_waiting(log: &Log, gated: &Gated, waiting: usize) {
    while gated.commits.load(Ordering::SeqCst) == 0 || log.shared.pool.len() < waiting {
        tokio::task::yield_now().await;
    }
}

/// Adds entries in a task of its own.
fn spawn_adds(log: &Log, ids: std::ops::Range<u64>, wait_for: WaitFor) -> JoinHandle<Vec<Result<Added, AddError>>> {
    let log = log.clone();
    tokio::spawn(async move { join_all(ids.map(|id| log.add(entry(id), wait_for))).await })
}

#[tokio::test]
async fn entries_that_come_during_a_commit_make_one_batch() {
    let (log, gated) = gated(1000).await;
    let first = spawn_adds(&log, 0..1, WaitFor::Checkpointed);
    until_waiting(&log, &gated, 0).await;
    let others = spawn_adds(&log, 1..100, WaitFor::Checkpointed);
    until_waiting(&log, &gated, 99).await;
    gated.permits.add_permits(2);
    let answers: Vec<_> = first.await.unwrap().into_iter().chain(others.await.unwrap()).collect();
    assert_eq!(gated.commits.load(Ordering::SeqCst), 2, "one durable commit for all that waited");
    let told = Told { added: (0..).zip(answers.into_iter().map(Result::unwrap)).collect(), ..Told::default() };
    audit(&log, &told).await;
    log.shutdown().await;
}

#[tokio::test]
async fn a_full_pool_pushes_back_and_loses_nobody() {
    let (log, gated) = gated(10).await;
    let first = spawn_adds(&log, 0..1, WaitFor::Sequenced);
    until_waiting(&log, &gated, 0).await;
    let others = spawn_adds(&log, 1..16, WaitFor::Sequenced);
    until_waiting(&log, &gated, 10).await;
    assert!(matches!(log.add(entry(99), WaitFor::Sequenced).await, Err(AddError::PoolFull)));
    gated.permits.add_permits(2);
    first.await.unwrap()[0].clone().unwrap();
    let others = others.await.unwrap();
    assert!(others.iter().take(10).all(Result::is_ok));
    assert!(others.iter().skip(10).all(|answer| matches!(answer, Err(AddError::PoolFull))));
    log.shutdown().await;
}

#[tokio::test]
async fn a_duplicate_within_a_batch_hears_of_its_original_only_when_that_is_durable() {
    let (log, gated) = gated(10).await;
    let answers: Vec<_> = [WaitFor::Checkpointed, WaitFor::Sequenced, WaitFor::Checkpointed]
        .map(|wait_for| {
            let log = log.clone();
            tokio::spawn(async move { log.add(entry(7), wait_for).await })
        })
        .into_iter()
        .collect();
    until_waiting(&log, &gated, 0).await;
    assert!(answers.iter().all(|answer| !answer.is_finished()));
    gated.permits.add_permits(1);
    let answers: Vec<Added> = join_all(answers).await.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    let originals = answers.iter().filter(|added| !matches!(added, Added::Duplicate { .. })).count();
    assert_eq!(originals, 1);
    audit(&log, &Told { added: answers.into_iter().map(|added| (7, added)).collect(), ..Told::default() }).await;
    log.shutdown().await;
}

#[tokio::test]
async fn an_entry_whose_commit_failed_for_a_moment_can_be_added_again() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |_| {}).await.unwrap();
    for (id, when) in [(0, When::BeforeEffect), (1, When::AfterEffect)] {
        faults.set(Fault::next(Operation::Commit, when, Then::Recovers));
        let first = log.add(entry(id), WaitFor::Checkpointed).await;
        match when {
            When::BeforeEffect => assert!(matches!(first, Err(AddError::Storage))),
            // The ledger's state told that the commit had succeeded.
            When::AfterEffect => assert!(matches!(first, Ok(Added::Checkpointed(_)))),
        }
        let again = log.add(entry(id), WaitFor::Checkpointed).await.unwrap();
        assert_eq!(matches!(again, Added::Duplicate { .. }), first.is_ok());
    }
    log.shutdown().await;
}

#[tokio::test]
async fn a_commit_in_doubt_is_settled_before_anything_else_is_done() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |_| {}).await.unwrap();
    log.add(entry(0), WaitFor::Checkpointed).await.unwrap();
    // The commit has its effect and fails, and after it nothing works for a while.
    faults.set(Fault::next(Operation::Commit, When::AfterEffect, Then::Dead));
    assert!(matches!(log.add(entry(1), WaitFor::Checkpointed).await, Err(AddError::Storage)));
    faults.set(None);
    let again = log.add(entry(1), WaitFor::Checkpointed).await.unwrap();
    assert!(matches!(again, Added::Duplicate { index: LeafIndex(1), .. }), "{again:?}");
    assert_eq!(log.checkpoint().size, TreeSize(2), "the duplicate's original is under a checkpoint");
    audit(&log, &Told { added: vec![(1, again)], ..Told::default() }).await;
    log.shutdown().await;
}

#[tokio::test]
async fn a_signer_that_fails_leaves_entries_durable_and_is_tried_again() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |_| {}).await.unwrap();
    faults.set(Fault::next(Operation::Sign, When::BeforeEffect, Then::Recovers));
    let mut signed = log.shared.signed.subscribe();
    assert!(matches!(log.add(entry(0), WaitFor::Checkpointed).await, Err(AddError::Unsigned)));
    signed.changed().await.unwrap();
    assert_eq!(log.checkpoint().size, TreeSize(1), "signed without anybody asking again");
    assert!(matches!(log.add(entry(0), WaitFor::Checkpointed).await, Ok(Added::Duplicate { .. })));
    log.shutdown().await;
}

#[tokio::test]
async fn another_writer_of_the_ledger_stops_the_log() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |_| {}).await.unwrap();
    let other = open(&disk, &faults, |_| {}).await.unwrap();
    other.add(entry(0), WaitFor::Checkpointed).await.unwrap();
    let answer = log.add(entry(1), WaitFor::Checkpointed).await;
    assert!(matches!(answer, Err(AddError::Fatal(FatalCause::Conflict { .. }))), "{answer:?}");
    assert!(matches!(log.add(entry(2), WaitFor::Sequenced).await, Err(AddError::Fatal(_))));
    assert!(matches!(log.stopped(), Some(FatalCause::Conflict { .. })));
    assert_eq!(log.checkpoint().size, TreeSize(0), "nothing more was signed");
    log.shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn a_published_tile_with_other_bytes_stops_the_log() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |_| {}).await.unwrap();
    disk.lock().unwrap().objects.insert("tile/0/000".to_owned(), vec![0; 8192]);
    join_all((0..256).map(|id| log.add(entry(id), WaitFor::Sequenced))).await;
    while log.stopped().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.stopped(), Some(FatalCause::ObjectDiffers { name: "tile/0/000".to_owned() }));
    log.shutdown().await;
}

#[tokio::test]
async fn a_render_function_that_panics_stops_the_log_and_nobody_waits_for_ever() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |_| {}).await.unwrap();
    let panics = Pending { render: Box::new(|_, _| panic!("a fault of the caller")), ..entry(0) };
    let answer = log.add(panics, WaitFor::Sequenced).await;
    assert!(matches!(answer, Err(AddError::Fatal(FatalCause::TaskEnded))), "{answer:?}");
    assert!(matches!(log.add(entry(1), WaitFor::Sequenced).await, Err(AddError::Fatal(FatalCause::TaskEnded))));
    log.shutdown().await;
}

#[tokio::test]
async fn blobs_are_durable_before_their_entry_and_shared_by_entries() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |_| {}).await.unwrap();
    let with_blob = |id: u64, name: &str, bytes: &[u8]| Pending {
        blobs: [Blob { name: name.to_owned(), bytes: bytes.to_vec() }].into(),
        ..entry(id)
    };
    faults.set(Fault::next(Operation::Create, When::BeforeEffect, Then::Recovers));
    let failed = log.add(with_blob(0, "issuer/00", b"one"), WaitFor::Sequenced).await;
    assert!(matches!(failed, Err(AddError::Storage)));
    assert!(disk.lock().unwrap().rows.is_empty());
    faults.set(None);
    for id in [0, 1] {
        log.add(with_blob(id, "issuer/00", b"one"), WaitFor::Sequenced).await.unwrap();
    }
    assert_eq!(log.object("issuer/00").await, Ok(Some(b"one".to_vec())));
    log.shutdown().await;
}

#[tokio::test]
async fn static_ct_data_tiles_are_a_plain_concatenation_under_their_own_name() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |config| config.entry_tiles = EntryTiles::Data).await.unwrap();
    join_all((0..300).map(|id| log.add(entry(id), WaitFor::Checkpointed))).await;
    let rows = log.rows(LeafIndex(0), 300).await.unwrap();
    let concat = |from: usize, to: usize| rows[from..to].iter().flat_map(|row| row.bundle_bytes.clone()).collect();
    for (index, width, from, to) in [(0, 256, 0, 256), (0, 3, 0, 3), (1, 44, 256, 300), (1, 1, 256, 257)] {
        let tile = log.tile(TilePath::Data { index, width }).await;
        assert_eq!(tile, Ok(Some(concat(from, to))), "{index} {width}");
    }
    assert_eq!(log.tile(TilePath::Entries { index: 0, width: 256 }).await, Ok(None));
    log.shutdown().await;
    let published: Vec<u8> = concat(0, 256);
    assert_eq!(disk.lock().unwrap().objects["tile/data/000"], published);
}

#[tokio::test]
async fn nothing_is_shown_beyond_the_signed_tree() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |_| {}).await.unwrap();
    log.add(entry(0), WaitFor::Checkpointed).await.unwrap();
    let signed = TreeSize(1);
    for width in [2, 256] {
        assert_eq!(log.tile(TilePath::Hashes(Tile { level: 0, index: 0, width })).await, Ok(None));
        assert_eq!(log.tile(TilePath::Entries { index: 0, width }).await, Ok(None));
    }
    assert_eq!(log.tile(TilePath::Hashes(Tile { level: 1, index: 0, width: 1 })).await, Ok(None));
    assert_eq!(log.rows(LeafIndex(1), 10).await, Ok(Vec::new()));
    let beyond = Err(ReadError::SizeBeyondSigned { size: TreeSize(2), signed });
    assert_eq!(log.inclusion_proof(LeafIndex(0), TreeSize(2)).await, beyond);
    assert_eq!(log.consistency_proof(TreeSize(1), TreeSize(2)).await, beyond);
    let index = LeafIndex(1);
    assert_eq!(log.inclusion_proof(index, signed).await, Err(ReadError::IndexBeyondSize { index, size: signed }));
    let reversed = Err(ReadError::SizesReversed { old: signed, new: TreeSize(0) });
    assert_eq!(log.consistency_proof(signed, TreeSize(0)).await, reversed);
    log.shutdown().await;
}

#[tokio::test]
async fn an_idle_log_is_signed_again() {
    let (disk, faults) = (Disk::new(), Faults::new(None));
    let log = open(&disk, &faults, |config| config.resign_after_ms = 1).await.unwrap();
    let mut signed = log.shared.signed.subscribe();
    signed.changed().await.unwrap();
    assert_eq!(log.checkpoint().size, TreeSize(0));
    log.add(entry(0), WaitFor::Checkpointed).await.unwrap();
    signed.borrow_and_update();
    signed.changed().await.unwrap();
    let checkpoint = log.checkpoint();
    assert_eq!(checkpoint.size, TreeSize(1));
    note_key().verify(&SignedNote::parse(checkpoint.note.as_bytes()).unwrap()).unwrap();
    log.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_sequences_the_pool_and_then_lets_nobody_in() {
    let (log, gated) = gated(1000).await;
    let first = spawn_adds(&log, 0..1, WaitFor::Checkpointed);
    until_waiting(&log, &gated, 0).await;
    let others = spawn_adds(&log, 1..300, WaitFor::Checkpointed);
    until_waiting(&log, &gated, 299).await;
    gated.permits.add_permits(2);
    log.shutdown().await;
    assert!(first.await.unwrap().iter().chain(&others.await.unwrap()).all(Result::is_ok));
    assert!(matches!(log.add(entry(300), WaitFor::Sequenced).await, Err(AddError::ShuttingDown)));
    let disk = gated.memory.disk.lock().unwrap();
    assert_eq!(disk.rows.len(), 300);
    assert_eq!(disk.objects["checkpoint"], log.checkpoint().note.as_bytes());
    assert!(disk.objects.contains_key("tile/0/000"));
}

#[tokio::test]
async fn a_memory_driver_keeps_the_seams_promise_about_existing_objects() {
    let memory = Memory { disk: Disk::new(), faults: Faults::new(None) };
    memory.create("a", b"one").await.unwrap();
    memory.create("a", b"one").await.unwrap();
    assert!(memory.create("a", b"two").await.is_err());
}
