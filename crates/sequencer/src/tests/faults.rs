// SPDX-License-Identifier: Apache-2.0
//! Every operation of ledger, objects and signer fails in turn, before and after its effect, for a moment or for good; the whole log is
//! audited after each, and again after it was opened anew.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;

use super::audit::{Told, audit};
use super::drivers::{Disk, Fault, Faults, Then, When, entry, open};
use crate::{AddError, Added, Log, LogConfig, WaitFor};

/// Enough to fill two tiles, in several batches.
const ENTRIES: u64 = 600;
const AT_ONCE: u64 = 150;
/// Runs at the same time; a run waits for the engine's pauses most of the time.
const RUNS: u64 = 16;

fn configure(config: &mut LogConfig) {
    config.batch_max = 50;
}

/// Adds entries, some of them twice or thrice, by waves of callers who wait for different things.
async fn work(log: &Log, told: &mut Told) -> Vec<AddError> {
    let mut errors = Vec::new();
    for wave in (0..ENTRIES).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let callers = (wave..wave + AT_ONCE).map(|id| async move {
            // Every seventh number is also that of an earlier entry, perhaps of the same batch.
            let id = if id % 7 == 6 { id - 6 } else { id };
            let wait_for = if id % 3 == 0 { WaitFor::Sequenced } else { WaitFor::Checkpointed };
            (id, log.add(entry(id), wait_for).await)
        });
        for (id, answer) in join_all(callers).await {
            match answer {
                Ok(added) => told.added.push((id, added)),
                Err(error) => errors.push(error),
            }
        }
        told.checkpoints.push(log.checkpoint());
    }
    errors
}

/// One life of a log with a fault, and the next without. Whether the fault happened.
async fn survive(fault: Fault) -> bool {
    let disk = Disk::new();
    let faults = Faults::new(Some(fault));
    let mut told = Told::default();
    if let Ok(log) = open(&disk, &faults, configure).await {
        told.checkpoints.push(log.checkpoint());
        let errors = work(&log, &mut told).await;
        assert!(fault.then == Then::Dead || fault.then == Then::LedgerBroken || log.stopped().is_none(), "{fault:?}");
        for error in errors {
            assert_ne!(error, AddError::PoolFull, "{fault:?}");
        }
        log.shutdown().await;
        let happened = faults.happened();
        if fault.then == Then::Recovers {
            faults.set(None);
            audit(&log, &told).await;
        }
        reopen_and_audit(&disk, told, fault).await;
        return happened;
    }
    reopen_and_audit(&disk, told, fault).await;
    true
}

/// Opens the log again without a fault: it goes on, and every entry can be added, or is known.
async fn reopen_and_audit(disk: &Arc<Mutex<Disk>>, mut told: Told, fault: Fault) {
    let faults = Faults::new(None);
    let log = open(disk, &faults, configure).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    audit(&log, &told).await;
    let errors = work(&log, &mut told).await;
    assert_eq!(errors, [], "{fault:?}");
    audit(&log, &told).await;
    log.shutdown().await;
    audit(&log, &told).await;

    let disk = disk.lock().unwrap();
    let distinct = (0..ENTRIES).filter(|id| id % 7 != 6).count();
    assert_eq!(disk.rows.len(), distinct, "{fault:?}: every entry is in the log once");
    for name in ["tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"] {
        assert!(disk.objects.contains_key(name), "{fault:?}: {name} is published");
    }
    let published = std::str::from_utf8(&disk.objects["checkpoint"]).unwrap();
    assert_eq!(published, &*log.checkpoint().note, "{fault:?}: the latest checkpoint is published");
    assert!(!disk.objects.keys().any(|name| name.contains(".p/")), "partial tiles are never stored");
}

/// How many operations there are depends on how entries fall into batches: goes on until no run is long enough for its fault.
async fn survive_all(when: When, then: Then) {
    for first in (0..).step_by(usize::try_from(RUNS).unwrap()) {
        let runs = (first..first + RUNS).map(|at| survive(Fault { at, only: None, when, then }));
        let happened = join_all(runs).await.into_iter().filter(|happened| *happened).count();
        assert!(first > 0 || happened > 0, "no fault ever happened");
        if happened == 0 {
            break;
        }
    }
}

#[tokio::test]
async fn a_run_without_a_fault_gives_every_kind_of_answer() {
    let disk = Disk::new();
    let log = open(&disk, &Faults::new(None), configure).await.unwrap();
    let mut told = Told::default();
    assert_eq!(work(&log, &mut told).await, []);
    log.shutdown().await;
    let count = |is: fn(&Added) -> bool| told.added.iter().filter(|(_, added)| is(added)).count();
    assert!(count(|added| matches!(added, Added::Duplicate { .. })) > 50);
    assert!(count(|added| matches!(added, Added::Sequenced(_))) > 100);
    assert!(count(|added| matches!(added, Added::Checkpointed(_))) > 200);
    audit(&log, &told).await;
}

#[tokio::test]
async fn a_moment_of_failure_before_an_effect_loses_nothing() {
    survive_all(When::BeforeEffect, Then::Recovers).await;
}

#[tokio::test]
async fn a_moment_of_failure_after_an_effect_loses_nothing() {
    survive_all(When::AfterEffect, Then::Recovers).await;
}

#[tokio::test]
async fn a_ledger_that_breaks_before_an_effect_stops_the_log_and_loses_nothing() {
    survive_all(When::BeforeEffect, Then::LedgerBroken).await;
}

#[tokio::test]
async fn a_ledger_that_breaks_after_an_effect_stops_the_log_and_loses_nothing() {
    survive_all(When::AfterEffect, Then::LedgerBroken).await;
}

#[tokio::test]
async fn a_kill_before_an_effect_loses_nothing() {
    survive_all(When::BeforeEffect, Then::Dead).await;
}

#[tokio::test]
async fn a_kill_after_an_effect_loses_nothing() {
    survive_all(When::AfterEffect, Then::Dead).await;
}
