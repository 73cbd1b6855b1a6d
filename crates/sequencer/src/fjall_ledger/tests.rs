// SPDX-License-Identifier: Apache-2.0
//! Claims of the embedded ledger.

use touchmark_tlog::TreeSize;

use super::*;
use crate::tests::drivers::directory_in_memory;

fn row(index: u64) -> Row {
    Row {
        index: LeafIndex(index),
        time_ms: 100 + index,
        dedup_key: touchmark_tlog::leaf_hash(&index.to_be_bytes()).0,
        leaf_hash: touchmark_tlog::leaf_hash(&index.to_le_bytes()),
        bundle_bytes: vec![7; usize::try_from(index).unwrap() % 9].into(),
        meta: vec![9; usize::try_from(index).unwrap() % 5],
    }
}

fn batch(rows: std::ops::Range<u64>) -> Batch {
    let root = Hash([u8::try_from(rows.end % 251).unwrap(); 32]);
    let head = TreeHead { size: TreeSize(rows.end), root, time_ms: 100 + rows.end };
    Batch { rows: rows.map(row).collect(), state: LedgerState { head, published: TreeSize(0), frozen_ms: None } }
}

#[tokio::test]
async fn a_commit_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FjallLedger::open(dir.path()).unwrap();
    assert_eq!(ledger.state().await, Ok(LedgerState::empty()));
    let (first, second) = (batch(0..40), batch(40..50));
    assert_eq!(ledger.commit(&TreeHead::empty(), &first).await, Ok(Commit::Committed));
    assert_eq!(ledger.commit(&first.state.head, &second).await, Ok(Commit::Committed));
    drop(ledger);

    let ledger = FjallLedger::open(dir.path()).unwrap();
    assert_eq!(ledger.state().await, Ok(second.state));
    assert_eq!(ledger.rows(LeafIndex(35), 10).await, Ok((35..45).map(row).collect()));
    assert_eq!(ledger.rows(LeafIndex(45), 10).await, Ok((45..50).map(row).collect()));
    let keys = [row(3).dedup_key, [0; 32], row(49).dedup_key];
    let place = |index: u64| Some(Sequenced { index: LeafIndex(index), time_ms: 100 + index });
    assert_eq!(ledger.find_duplicates(&keys).await, Ok(vec![place(3), None, place(49)]));
    assert_eq!(ledger.find_leaf(&row(42).leaf_hash).await, Ok(Some(LeafIndex(42))));
    assert_eq!(ledger.find_leaf(&Hash([0; 32])).await, Ok(None));
}

#[tokio::test]
async fn a_leaf_is_found_where_its_hash_is_the_dedup_key_and_a_dedup_key_is_no_leaf() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FjallLedger::open(dir.path()).unwrap();
    let mut batch = batch(0..3);
    batch.rows[1].dedup_key = batch.rows[1].leaf_hash.0;
    ledger.commit(&TreeHead::empty(), &batch).await.unwrap();
    for row in &batch.rows {
        assert_eq!(ledger.find_leaf(&row.leaf_hash).await, Ok(Some(row.index)));
    }
    // Row 0 has the same in both by nature.
    assert_eq!(ledger.store.leaves.iter().count(), 1, "nothing is written twice");
    assert_eq!(ledger.find_leaf(&Hash(batch.rows[2].dedup_key)).await, Ok(None));
}

#[tokio::test]
async fn a_commit_that_expects_another_head_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FjallLedger::open(dir.path()).unwrap();
    let first = batch(0..4);
    ledger.commit(&TreeHead::empty(), &first).await.unwrap();
    let conflict = ledger.commit(&TreeHead::empty(), &batch(0..9)).await;
    assert_eq!(conflict, Ok(Commit::Conflict { actual: first.state.head }));
    assert_eq!(ledger.state().await, Ok(first.state));
    assert_eq!(ledger.rows(LeafIndex(0), 100).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_frozen_ledger_takes_nothing_more_and_says_so_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FjallLedger::open(dir.path()).unwrap();
    let first = batch(0..4);
    ledger.commit(&TreeHead::empty(), &first).await.unwrap();
    let state = LedgerState { frozen_ms: Some(1234), ..first.state };
    assert_eq!(ledger.commit(&first.state.head, &Batch { rows: Vec::new(), state }).await, Ok(Commit::Committed));
    drop(ledger);
    let ledger = FjallLedger::open(dir.path()).unwrap();
    assert_eq!(ledger.state().await, Ok(state));
    assert_eq!(ledger.commit(&first.state.head, &batch(4..5)).await, Err(LedgerError::Frozen));
    let thawed = Batch { rows: Vec::new(), state: first.state };
    assert_eq!(ledger.commit(&first.state.head, &thawed).await, Err(LedgerError::Frozen));
    assert_eq!(ledger.state().await, Ok(state));
}

#[tokio::test]
async fn an_unknown_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FjallLedger::open(dir.path()).unwrap();
    ledger.store.meta.insert(SCHEMA_KEY, 2_u32.to_be_bytes()).unwrap();
    drop(ledger);
    let error = FjallLedger::open(dir.path()).err();
    assert_eq!(error, Some(LedgerError::Schema { found: 2, supported: 1 }));
}

#[tokio::test]
async fn a_store_whose_making_was_cut_off_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("store.new/keyspaces")).unwrap();
    std::fs::write(dir.path().join("store.new/0.jnl"), b"cut off").unwrap();
    let ledger = FjallLedger::open(dir.path()).unwrap();
    assert_eq!(ledger.state().await, Ok(LedgerState::empty()));
}

/// Every write to a keyspace that has enough for a table asks fjall's threads to write one, through a queue that they, too, put messages in. Of a single
/// thread that finds it full, nobody takes anything any more: what is written then stays in memory, for good.
#[tokio::test]
async fn tables_are_written_though_the_store_is_asked_for_them_faster_than_it_can() {
    let dir = directory_in_memory("touchmark-ledger-");
    let sizes = Sizes { memtable_bytes: 64 << 10, filtered_from: u64::MAX };
    let ledger = FjallLedger::open_sized(dir.path(), sizes).unwrap();
    let mut head = TreeHead::empty();
    for index in 0..20_000 {
        let batch = batch(index..index + 1);
        ledger.commit(&head, &batch).await.unwrap();
        head = batch.state.head;
    }
    let begun = Instant::now();
    while ledger.store.database.outstanding_flushes() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the threads of the store wait for each other");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Where four memtables wait, fjall has writers wait, too, and does not see that its thread has died of a table that could not be written.
#[test]
fn a_ledger_whose_tables_cannot_be_written_stops() {
    for _ in 0..20 {
        let dir = directory_in_memory("touchmark-ledger-");
        let ledger = FjallLedger::open_sized(dir.path(), Sizes { memtable_bytes: 1, filtered_from: u64::MAX }).unwrap();
        std::fs::rename(dir.path().join("store/keyspaces"), dir.path().join("gone")).unwrap();
        let (stopped, has_stopped) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut head = TreeHead::empty();
            for index in 0..100_000 {
                let batch = batch(index..index + 1);
                match runtime.block_on(ledger.commit(&head, &batch)) {
                    Ok(_) => head = batch.state.head,
                    Err(error) => return stopped.send(error).unwrap(),
                }
            }
        });
        let error = has_stopped.recv_timeout(Duration::from_secs(30)).expect("a commit fails, and none waits for ever");
        assert_eq!(error, LedgerError::Broken);
    }
}

/// Each cut of the journal within the last batch's record loses that batch, whole, and nothing before it.
#[tokio::test]
async fn a_batch_whose_journal_record_was_cut_off_is_dropped_whole() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FjallLedger::open(dir.path()).unwrap();
    drop(ledger);
    // Opened again, the journal is appended to without preallocation, so that its length tells where a record ends.
    let ledger = FjallLedger::open(dir.path()).unwrap();
    let journal = journal_of(&dir.path().join("store"));
    let (first, second) = (batch(0..3), batch(3..6));
    ledger.commit(&TreeHead::empty(), &first).await.unwrap();
    let whole = written(&journal);
    ledger.commit(&first.state.head, &second).await.unwrap();
    let bytes = std::fs::read(&journal).unwrap();
    let end = written(&journal);
    assert!(end > whole);
    for cut in (whole..end).step_by(17).chain([end - 1]) {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), copy.path());
        let name = journal.file_name().unwrap();
        std::fs::write(copy.path().join("store").join(name), &bytes[..cut]).unwrap();
        let ledger = FjallLedger::open(copy.path()).unwrap();
        assert_eq!(ledger.state().await, Ok(first.state), "cut at {cut} of {end}");
        assert_eq!(ledger.rows(LeafIndex(0), 10).await.unwrap().len(), 3, "cut at {cut} of {end}");
        assert_eq!(ledger.commit(&first.state.head, &second).await, Ok(Commit::Committed));
    }
}

#[tokio::test]
async fn a_journal_record_that_fails_its_checksum_is_never_dropped_silently() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FjallLedger::open(dir.path()).unwrap();
    ledger.commit(&TreeHead::empty(), &batch(0..30)).await.unwrap();
    drop(ledger);
    let journal = journal_of(&dir.path().join("store"));
    let mut bytes = std::fs::read(&journal).unwrap();
    let position = bytes.windows(8).rposition(|bytes| bytes == 28_u64.to_be_bytes()).unwrap();
    bytes[position] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    assert_eq!(FjallLedger::open(dir.path()).err(), Some(LedgerError::Damaged { what: "journal" }));
}

fn journal_of(store: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).max().unwrap()
}

/// Where the written part of a journal ends.
fn written(journal: &Path) -> usize {
    let bytes = std::fs::read(journal).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |position| position + 1)
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to)
        } else {
            drop(std::fs::copy(entry.path(), to))
        }
    }
}
