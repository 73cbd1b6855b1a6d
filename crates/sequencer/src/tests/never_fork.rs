// SPDX-License-Identifier: Apache-2.0
//! A log that was rolled back or changed is refused when it is opened, and signs nothing.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use touchmark_tlog::{Hash, TreeSize};

use super::audit::{Told, audit};
use super::drivers::{Disk, Faults, Memory, clock, config, entry, open};
use crate::{CheckpointSource, Ledger, Log, LogConfig, OpenError, WaitFor};

/// A log with this many entries, shut down.
async fn grow(disk: &Arc<Mutex<Disk>>, ids: std::ops::Range<u64>, configure: impl FnOnce(&mut LogConfig)) {
    let log = open(disk, &Faults::new(None), configure).await.unwrap();
    for answer in join_all(ids.map(|id| log.add(entry(id), WaitFor::Checkpointed))).await {
        answer.unwrap();
    }
    log.shutdown().await;
}

async fn refusal(disk: &Arc<Mutex<Disk>>, configure: impl FnOnce(&mut LogConfig)) -> OpenError {
    let faults = Faults::new(None);
    match open(disk, &faults, configure).await {
        Ok(_) => panic!("the log was opened"),
        Err(error) => error,
    }
}

fn anchored(path: &Path) -> impl FnOnce(&mut LogConfig) + use<> {
    let path = path.to_owned();
    move |config| config.anchor = Some(path)
}

#[tokio::test]
async fn a_ledger_older_than_the_published_checkpoint_is_refused() {
    let disk = Disk::new();
    grow(&disk, 0..300, |_| {}).await;
    let old = disk.lock().unwrap().clone();
    grow(&disk, 300..310, |_| {}).await;
    let objects = disk.lock().unwrap().objects.clone();
    *disk.lock().unwrap() = Disk { objects, ..old };
    let expected =
        OpenError::RolledBack { from: CheckpointSource::Published, ledger: TreeSize(300), signed: TreeSize(310) };
    assert_eq!(refusal(&disk, |_| {}).await, expected);
}

#[tokio::test]
async fn a_data_directory_rolled_back_as_a_whole_is_refused_by_the_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let anchor = dir.path().join("anchor");
    let disk = Disk::new();
    grow(&disk, 0..300, anchored(&anchor)).await;
    let old = disk.lock().unwrap().clone();
    grow(&disk, 300..310, anchored(&anchor)).await;
    *disk.lock().unwrap() = old;
    let expected =
        OpenError::RolledBack { from: CheckpointSource::Anchor, ledger: TreeSize(300), signed: TreeSize(310) };
    assert_eq!(refusal(&disk, anchored(&anchor)).await, expected);
}

#[tokio::test]
async fn another_history_of_the_same_or_a_greater_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let anchor = dir.path().join("anchor");
    for (ids, ledger) in [(1000..1310, 310), (1000..1700, 700)] {
        let (disk, other) = (Disk::new(), Disk::new());
        let _ = std::fs::remove_file(&anchor);
        grow(&disk, 0..310, anchored(&anchor)).await;
        grow(&other, ids, |_| {}).await;
        let (ledger, signed) = (TreeSize(ledger), TreeSize(310));
        let expected = OpenError::Forked { from: CheckpointSource::Anchor, ledger, signed };
        assert_eq!(refusal(&other, anchored(&anchor)).await, expected);

        let published = disk.lock().unwrap().objects["checkpoint"].clone();
        other.lock().unwrap().objects.insert("checkpoint".to_owned(), published);
        let expected = OpenError::Forked { from: CheckpointSource::Published, ledger, signed };
        assert_eq!(refusal(&other, |_| {}).await, expected);
    }
}

#[tokio::test]
async fn an_older_anchor_of_the_same_history_is_accepted_and_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let anchor = dir.path().join("anchor");
    let disk = Disk::new();
    grow(&disk, 0..10, anchored(&anchor)).await;
    let old = std::fs::read(&anchor).unwrap();
    grow(&disk, 10..700, anchored(&anchor)).await;
    std::fs::write(&anchor, old).unwrap();
    let log = open(&disk, &Faults::new(None), anchored(&anchor)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&anchor).unwrap(), *log.checkpoint().note);
    audit(&log, &Told::default()).await;
    log.shutdown().await;
}

#[tokio::test]
async fn an_anchor_that_is_gone_is_refused_until_it_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("anchor");
    let disk = Disk::new();
    grow(&disk, 0..10, anchored(&path)).await;
    std::fs::remove_file(&path).unwrap();
    let expected = OpenError::AnchorMissing { path: path.clone(), size: TreeSize(10) };
    assert_eq!(refusal(&disk, anchored(&path)).await, expected);
    std::fs::write(&path, "").unwrap();
    grow(&disk, 10..20, anchored(&path)).await;
    assert!(std::fs::read_to_string(&path).unwrap().contains("\n20\n"));
}

#[tokio::test]
async fn a_checkpoint_of_somebody_else_is_refused() {
    let disk = Disk::new();
    grow(&disk, 0..10, |_| {}).await;
    let published = disk.lock().unwrap().objects["checkpoint"].clone();
    let from = CheckpointSource::Published;
    let set = |bytes: Vec<u8>| disk.lock().unwrap().objects.insert("checkpoint".to_owned(), bytes);

    let text = String::from_utf8(published.clone()).unwrap();
    set(text.replacen("rekor2026", "rekor2027", 1).into_bytes());
    let origin_found = "rekor2027-1.00000000.touchmark.localhost".to_owned();
    assert_eq!(refusal(&disk, |_| {}).await, OpenError::OtherOrigin { from, origin_found });

    for tampered in [text.replacen("\n10\n", "\n9\n", 1).into_bytes(), b"garbage".to_vec(), Vec::new()] {
        set(tampered);
        assert_eq!(refusal(&disk, |_| {}).await, OpenError::CheckpointUnreadable { from });
    }
    set(published);
    grow(&disk, 10..11, |_| {}).await;
}

#[tokio::test]
async fn rows_tiles_and_state_that_do_not_belong_together_are_refused() {
    let disk = Disk::new();
    grow(&disk, 0..600, |_| {}).await;
    // One more entry, after the tiles, saves the cursor.
    let log = open(&disk, &Faults::new(None), |_| {}).await.unwrap();
    while log.shared.backlog.published() < TreeSize(512) {
        tokio::task::yield_now().await;
    }
    log.add(entry(600), WaitFor::Checkpointed).await.unwrap();
    log.shutdown().await;
    let good = disk.lock().unwrap().clone();
    assert_eq!(good.state.published, TreeSize(512));

    disk.lock().unwrap().rows[550].leaf_hash = Hash([0; 32]);
    assert!(matches!(refusal(&disk, |_| {}).await, OpenError::RootMismatch { size: TreeSize(601), .. }));

    *disk.lock().unwrap() = good.clone();
    disk.lock().unwrap().rows.truncate(600);
    let size = TreeSize(601);
    assert_eq!(refusal(&disk, |_| {}).await, OpenError::RowsMissing { found: TreeSize(600), size });

    *disk.lock().unwrap() = good.clone();
    disk.lock().unwrap().objects.get_mut("tile/0/001").unwrap()[7] ^= 1;
    assert!(matches!(refusal(&disk, |_| {}).await, OpenError::RootMismatch { .. }));

    disk.lock().unwrap().objects.remove("tile/0/001");
    let name = "tile/0/001".to_owned();
    assert_eq!(refusal(&disk, |_| {}).await, OpenError::TileUnreadable { name });
    *disk.lock().unwrap() = good;
    grow(&disk, 601..602, |_| {}).await;
}

#[tokio::test]
async fn time_never_runs_backwards_over_a_restart() {
    let disk = Disk::new();
    let faults = Faults::new(None);
    for (id, now_ms) in [(0, 9_000), (1, 2_000), (2, 10_000)] {
        let memory = Arc::new(Memory { disk: Arc::clone(&disk), faults: Arc::clone(&faults) });
        let ledger = Arc::clone(&memory) as Arc<dyn Ledger>;
        let log = Log::open(config(&faults), ledger, memory, clock(now_ms)).await.unwrap();
        log.add(entry(id), WaitFor::Checkpointed).await.unwrap();
        log.shutdown().await;
    }
    let times: Vec<u64> = disk.lock().unwrap().rows.iter().map(|row| row.time_ms).collect();
    assert_eq!(times, [9_000, 9_000, 10_000]);
}

#[tokio::test]
async fn a_signer_with_another_key_than_its_note_key_is_refused() {
    let disk = Disk::new();
    let other = touchmark_signers::EphemeralSigner::generate(touchmark_keys::KeyType::Ed25519).unwrap();
    let error = refusal(&disk, |config| config.signers[0].signer = Arc::new(other)).await;
    assert!(matches!(error, OpenError::SignerKey { .. }));
    assert_eq!(refusal(&disk, |config| config.signers.clear()).await, OpenError::NoSigner);
}

#[tokio::test]
async fn a_clock_far_behind_is_refused_and_a_small_step_is_bridged() {
    const NEWEST_MS: u64 = 1_000_000_000;
    let disk = Disk::new();
    let open_at = async |now_ms: u64| {
        let faults = Faults::new(None);
        let memory = Arc::new(Memory { disk: Arc::clone(&disk), faults: Arc::clone(&faults) });
        Log::open(config(&faults), Arc::clone(&memory) as Arc<dyn Ledger>, memory, clock(now_ms)).await
    };
    let log = open_at(NEWEST_MS).await.unwrap();
    log.add(entry(1), WaitFor::Checkpointed).await.unwrap();
    log.shutdown().await;

    let before = disk.lock().unwrap().objects.clone();
    let refused = open_at(NEWEST_MS - 601_000).await.err();
    assert_eq!(refused, Some(OpenError::ClockBehind { behind_s: 601, max_s: 600 }));
    assert_eq!(disk.lock().unwrap().objects, before, "nothing was signed");

    let log = open_at(NEWEST_MS - 600_000).await.unwrap();
    let added = log.add(entry(2), WaitFor::Sequenced).await.unwrap();
    assert!(matches!(added, crate::Added::Sequenced(place) if place.time_ms == NEWEST_MS), "{added:?}");
    log.shutdown().await;
}
