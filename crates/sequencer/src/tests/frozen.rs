// SPDX-License-Identifier: Apache-2.0
//! A frozen log: what was in the pool is logged, nothing comes after it, and it stays so over restarts, crashes and roll-backs.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use touchmark_tlog::TreeSize;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::SignedNote;

use super::audit::{Told, audit};
use super::drivers::{Disk, FINAL_LINE, Fault, Faults, Operation, Then, When, entry, open};
use crate::{
    AddError, Added, CheckpointSource, FreezeError, Frozen, Log, LogConfig, OpenError, SignedCheckpoint, WaitFor,
};

/// Runs at the same time.
const RUNS: u64 = 16;

fn configure(config: &mut LogConfig) {
    config.batch_max = 50;
    config.resign_after_ms = 20;
}

/// A log that is frozen while callers add to it. What they were told, and the end.
async fn freeze_under_load(log: &Log, told: &mut Told) -> (usize, Result<Frozen, FreezeError>) {
    let callers = (0..400_u64).map(|id| {
        let log = log.clone();
        tokio::spawn(async move { (id, log.add(entry(id), WaitFor::Checkpointed).await) })
    });
    let callers: Vec<_> = callers.collect();
    // Some are in the pool by then, and some come after the end.
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    let frozen = log.freeze().await;
    let mut refused = 0;
    for answer in join_all(callers).await {
        match answer.unwrap() {
            (id, Ok(added)) => told.added.push((id, added)),
            (_, Err(AddError::Frozen)) => refused += 1,
            (_, Err(_)) => {}
        }
    }
    (refused, frozen)
}

fn line_of(checkpoint: &SignedCheckpoint) -> Vec<String> {
    let note = SignedNote::parse(checkpoint.note.as_bytes()).unwrap();
    Checkpoint::parse(note.text()).unwrap().extensions
}

/// A signer that is asked kills the log: opening works only if it is not.
fn nothing_may_be_signed() -> Arc<Faults> {
    Faults::new(Fault::next(Operation::Sign, When::BeforeEffect, Then::Dead))
}

#[tokio::test]
async fn everything_accepted_before_the_end_is_in_the_final_tree_and_nothing_after_it() {
    let disk = Disk::new();
    let mut told = Told::default();
    let log = open(&disk, &Faults::new(None), configure).await.unwrap();
    log.add(entry(1000), WaitFor::Checkpointed).await.unwrap();
    let (refused, frozen) = freeze_under_load(&log, &mut told).await;
    let frozen = frozen.unwrap();
    assert_eq!(told.added.len() + refused, 400, "every caller is told one or the other");
    assert_eq!(frozen.checkpoint.size, TreeSize(1 + told.added.len() as u64));
    assert_eq!(line_of(&frozen.checkpoint), [format!("{FINAL_LINE}{}", frozen.at_ms)]);
    for (_, added) in &told.added {
        let Added::Checkpointed(logged) = added else { panic!("{added:?}") };
        assert_eq!(line_of(&logged.checkpoint), [""; 0], "no bundle carries the final checkpoint");
    }
    assert_eq!(log.add(entry(2000), WaitFor::Sequenced).await.unwrap_err(), AddError::Frozen);
    assert_eq!(log.add(entry(1000), WaitFor::Sequenced).await.unwrap_err(), AddError::Frozen);
    assert_eq!(log.freeze().await, Ok(frozen.clone()), "asking again changes nothing");
    assert_eq!((log.checkpoint(), log.frozen()), (frozen.checkpoint.clone(), Some(frozen)));
    audit(&log, &told).await;
    log.shutdown().await;
}

#[tokio::test]
async fn a_frozen_log_is_opened_again_without_a_signature() {
    let disk = Disk::new();
    let mut told = Told::default();
    let log = open(&disk, &Faults::new(None), configure).await.unwrap();
    let frozen = freeze_under_load(&log, &mut told).await.1.unwrap();
    log.shutdown().await;
    for _ in 0..2 {
        let log = open(&disk, &nothing_may_be_signed(), configure).await.unwrap();
        assert_eq!(log.frozen(), Some(frozen.clone()));
        assert_eq!(log.add(entry(2000), WaitFor::Sequenced).await.unwrap_err(), AddError::Frozen);
        assert_eq!(log.freeze().await, Ok(frozen.clone()));
        // Longer than an idle log waits before it signs again.
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        assert_eq!((log.checkpoint(), log.stopped()), (frozen.checkpoint.clone(), None));
        audit(&log, &told).await;
        log.shutdown().await;
    }
}

#[tokio::test]
async fn a_final_checkpoint_that_was_lost_is_signed_again_with_the_same_text() {
    let disk = Disk::new();
    let log = open(&disk, &Faults::new(None), configure).await.unwrap();
    log.add(entry(0), WaitFor::Checkpointed).await.unwrap();
    let before = log.checkpoint().note.to_string().into_bytes();
    let frozen = log.freeze().await.unwrap();
    log.shutdown().await;
    // A crash before the final checkpoint was published; then the loss of what was published.
    for published in [Some(before), None] {
        match published {
            Some(note) => drop(disk.lock().unwrap().objects.insert("checkpoint".to_owned(), note)),
            None => drop(disk.lock().unwrap().objects.remove("checkpoint")),
        }
        let log = open(&disk, &Faults::new(None), configure).await.unwrap();
        assert_eq!(log.frozen(), Some(frozen.clone()));
        log.shutdown().await;
        assert_eq!(disk.lock().unwrap().objects["checkpoint"], frozen.checkpoint.note.as_bytes());
    }
}

/// One freeze with a fault, and the next life without: the log is frozen for good, or goes on as if nobody had asked.
async fn freeze_with(fault: Fault) -> bool {
    let disk = Disk::new();
    let log = open(&disk, &Faults::new(None), configure).await.unwrap();
    log.add(entry(0), WaitFor::Checkpointed).await.unwrap();
    log.shutdown().await;
    let faults = Faults::new(None);
    let log = open(&disk, &faults, configure).await.unwrap();
    let mut told = Told::default();
    faults.set(Some(fault));
    let frozen = freeze_under_load(&log, &mut told).await.1;
    told.checkpoints.push(log.checkpoint());
    let happened = faults.happened();
    log.shutdown().await;
    reopened(&disk, &mut told, frozen.ok(), fault).await;
    happened
}

async fn reopened(disk: &Arc<Mutex<Disk>>, told: &mut Told, frozen: Option<Frozen>, fault: Fault) {
    let log = open(disk, &Faults::new(None), configure).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    audit(&log, told).await;
    match (frozen, log.frozen()) {
        (Some(told), found) => assert_eq!(found, Some(told), "{fault:?}: who was told of the end has the end"),
        (None, Some(found)) => assert_eq!(line_of(&found.checkpoint).len(), 1, "{fault:?}"),
        (None, None) => {
            log.add(entry(5000), WaitFor::Checkpointed).await.unwrap();
        }
    }
    log.shutdown().await;
}

#[tokio::test]
async fn a_fault_at_any_operation_leaves_the_log_frozen_or_as_it_was() {
    for then in [Then::Recovers, Then::LedgerBroken, Then::Dead] {
        for when in [When::BeforeEffect, When::AfterEffect] {
            let mut reached = 0;
            // A run waits for the engine's pauses most of the time.
            while reached % RUNS == 0 {
                let faults = (reached..reached + RUNS).map(|at| freeze_with(Fault { at, only: None, when, then }));
                reached += join_all(faults).await.into_iter().filter(|happened| *happened).count() as u64;
            }
            assert!(reached > 2, "commit, signature and publication of the freeze were reached");
        }
    }
}

#[tokio::test]
async fn a_ledger_rolled_back_to_before_the_freeze_is_refused() {
    let disk = Disk::new();
    let log = open(&disk, &Faults::new(None), configure).await.unwrap();
    log.add(entry(0), WaitFor::Checkpointed).await.unwrap();
    log.freeze().await.unwrap();
    log.shutdown().await;
    disk.lock().unwrap().state.frozen_ms = None;
    let refused = open(&disk, &Faults::new(None), configure).await.map(|_| ()).unwrap_err();
    assert_eq!(refused, OpenError::FrozenBefore { from: CheckpointSource::Published, size: TreeSize(1) });
}

#[tokio::test]
async fn a_log_that_shuts_down_is_not_frozen() {
    let disk = Disk::new();
    let log = open(&disk, &Faults::new(None), configure).await.unwrap();
    log.shutdown().await;
    assert_eq!(log.freeze().await, Err(FreezeError::ShuttingDown));
    assert_eq!(open(&disk, &Faults::new(None), configure).await.unwrap().frozen(), None);
}
