// SPDX-License-Identifier: Apache-2.0
//! Claims of a log on its embedded drivers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::audit::{Told, audit};
use super::drivers::{Faults, clock, config, entry};
use crate::{Added, FjallLedger, FsObjects, LedgerError, Log, LogConfig, WaitFor};

async fn open(dir: &Path) -> Log {
    try_open(dir, |_| {}).await.unwrap()
}

async fn try_open(dir: &Path, configure: impl FnOnce(&mut LogConfig)) -> Result<Log, LedgerError> {
    let ledger = FjallLedger::open(dir.join("ledger"))?;
    let objects = FsObjects::open(dir.join("objects")).unwrap();
    let mut config = config(&Faults::new(None));
    configure(&mut config);
    Ok(Log::open(config, Arc::new(ledger), Arc::new(objects), clock(1_000)).await.unwrap())
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            // A temporary file may be gone by now.
            let failed = std::fs::copy(from, to).is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound);
            assert!(!failed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_goes_on_where_it_was_shut_down() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::default();
    for life in 0..3 {
        let log = open(dir.path()).await;
        let ids = life * 300..life * 300 + 400;
        let added = join_all(ids.clone().map(|id| log.add(entry(id), WaitFor::Checkpointed))).await;
        told.added.extend(ids.zip(added.into_iter().map(Result::unwrap)));
        audit(&log, &told).await;
        log.shutdown().await;
    }
    let duplicates = told.added.iter().filter(|(_, added)| matches!(added, Added::Duplicate { .. })).count();
    assert_eq!(duplicates, 200, "dedup holds over restarts");
}

/// Entries of one writer at most, lest a fast disk make the audits long.
const ENTRIES_MAX: u64 = 500;

/// A copy of the files of a running log is what a kill leaves: nothing is flushed or closed for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_killed_at_any_moment_has_everything_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let (log, stop, told) = (log.clone(), Arc::clone(&stop), Arc::clone(&told));
            tokio::spawn(async move {
                for number in 0..ENTRIES_MAX {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let id = number * 8 + writer;
                    let added = log.add(entry(id), WaitFor::Checkpointed).await.unwrap();
                    told.lock().unwrap().push((id, added));
                }
            })
        })
        .collect();
    for kill in 0..6 {
        while told.lock().unwrap().len() < kill * 150 {
            tokio::task::yield_now().await;
        }
        let acknowledged = Told { added: told.lock().unwrap().clone(), ..Told::default() };
        audit_as_if_killed(dir.path(), &acknowledged).await;
    }
    stop.store(true, Ordering::SeqCst);
    join_all(writers).await;
    // Now nothing comes after the last entry that could have taken it along to the disk.
    let told = Told { added: told.lock().unwrap().clone(), ..Told::default() };
    audit_as_if_killed(dir.path(), &told).await;
    audit(&log, &told).await;
    log.shutdown().await;
}

/// Opens a copy of the files of a running log, and checks what its callers had been told before the copy was made.
async fn audit_as_if_killed(dir: &Path, acknowledged: &Told) {
    let killed = tempfile::tempdir().unwrap();
    let (from, to) = (dir.to_owned(), killed.path().to_owned());
    // Copying takes a while, in which the log goes on. A kill leaves neither a checkpoint object that is newer than the ledger nor a
    // cursor in the ledger that is newer than the tiles; tiles that are newer than both it may leave.
    tokio::task::spawn_blocking(move || {
        let checkpoint = std::fs::read(from.join("objects/tree/checkpoint")).ok();
        copy(&from.join("ledger"), &to.join("ledger"));
        copy(&from.join("objects"), &to.join("objects"));
        match checkpoint {
            Some(checkpoint) => std::fs::write(to.join("objects/tree/checkpoint"), checkpoint).unwrap(),
            None => drop(std::fs::remove_file(to.join("objects/tree/checkpoint"))),
        }
    })
    .await
    .unwrap();
    let after = open(killed.path()).await;
    audit(&after, acknowledged).await;
    after.add(entry(u64::MAX), WaitFor::Checkpointed).await.unwrap();
    audit(&after, acknowledged).await;
    after.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_handles_are_dropped_ends_by_itself_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    let added = join_all((0..300).map(|id| log.add(entry(id), WaitFor::Checkpointed))).await;
    let told = Told { added: (0..).zip(added.into_iter().map(Result::unwrap)).collect(), ..Told::default() };
    drop(log);
    let log = loop {
        match try_open(dir.path(), |_| {}).await {
            Ok(log) => break log,
            Err(LedgerError::Locked) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    audit(&log, &told).await;
    log.shutdown().await;
}

#[tokio::test]
async fn a_ledger_is_open_in_one_place_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    assert!(matches!(try_open(dir.path(), |_| {}).await, Err(LedgerError::Locked)));
    log.shutdown().await;
    drop(log);
    open(dir.path()).await.shutdown().await;
}
