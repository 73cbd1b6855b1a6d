// SPDX-License-Identifier: Apache-2.0
//! The embedded driver of [`Ledger`]: the LSM store fjall in one directory, chosen by measurement (docs/benchmarks.md,
//! `benches/ledger_store.rs`).
//!
//! ```text
//! DIR/lock       held by the one process that has the ledger open
//! DIR/store/…    fjall; keyspaces:
//!   rows         index (u64 BE) → time, dedup key, leaf hash, entry, meta
//!   dedup        dedup key      → index, time
//!   leaves       leaf hash      → index, where the leaf hash is not the dedup key
//!   meta         "schema" → version; "state" → size, root, time, publishing cursor, time of the freeze if there was one
//! ```
//!
//! Durability: a commit is one atomic fjall batch with [`PersistMode::SyncData`]. Its journal record is written and fdatasync'ed before the
//! batch becomes visible and `commit` returns; a record that was cut off is dropped whole when the store is opened again (each has a length and a
//! checksum). Memtables are flushed and tables compacted by fjall's own thread; a commit waits for it only when it falls far behind.
//!
//! Whether an entry is there already, the commit path asks a filter in memory first (`filter`), so that the answer costs the same however large the log is.
//!
//! What a power cut leaves of the last record is cut off when the store is opened; other damage of a journal, and a keyspace that is gone, are refused
//! (`journal`).
//!
//! In scope: the schema, the lock. Out of scope: what the rows mean.
//!
//! Invariants: after a failed write nothing more is written or read under this handle, because what memory shows and what the disk
//! will show may differ.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode};
use touchmark_tlog::{Hash, LeafIndex};

use self::filter::KeyFilter;
use crate::entry::{DedupKey, Sequenced};
use crate::fs_objects::durable;
use crate::ledger::{Batch, Commit, Ledger, LedgerError, LedgerState, Row, TreeHead};

pub(crate) mod audit;
mod filter;
mod journal;
mod record;

/// How long a ledger that another holds is waited for. A program that was being started when the ledger was closed has the lock, too, until it
/// runs; so has a server that is about to end.
const LOCK_WITHIN: Duration = Duration::from_millis(500);
const LOCK_RETRY: Duration = Duration::from_millis(5);
/// The schema that this code reads and writes.
const SCHEMA: u32 = 1;
const SCHEMA_KEY: &str = "schema";
const STATE_KEY: &str = "state";
/// Blocks of tables that are kept in memory.
const CACHE_BYTES: u64 = 64 << 20;
/// How much a keyspace keeps in memory before it is written as a table: what has become a table is not replayed at the next start. The tables of
/// rows stay as they were first written, and each costs a start some time.
const MEMTABLE_BYTES: u64 = 24 << 20;
/// How many full memtables of a keyspace may wait to be written; meanwhile the next one grows. At four, fjall has writers wait, and for ever if its
/// thread has died of a write that failed; one more it may come to by itself, when it wants to be rid of a journal.
const SEALED_MAX: usize = 2;
/// What is read at once for a row.
const ROWS_BLOCK_BYTES: u32 = 32 << 10;
/// Tables of hashes that wait to be merged into the level below, all of which that rewrites. Each costs a look at its filter where `filter` cannot tell;
/// fjall slows writes down at 20.
const HASHED_RUNS: u8 = 8;
/// The size of a merged table of hashes. The first level has [`HASHED_RUNS`] of them, two million entries: what one step rewrites. Below it, a step takes a
/// table and its neighbours, so that no step is much longer, however large the log.
const HASHED_TABLE_BYTES: u64 = 16 << 20;
/// The threads that write tables and merge them. Of two, fjall keeps one free for writing by having it spin while the other merges; with one, what is to be
/// written waits in memory for one step of merging.
const WORKERS: usize = 1;
/// Journal that may wait for its tables, the least that fjall takes: a start replays at most about this much, whatever the log's size.
const JOURNAL_BYTES: u64 = 64 << 20;

/// A ledger in a directory.
pub struct FjallLedger {
    /// Before the store, which it reads, so that it is dropped first.
    filter: KeyFilter,
    store: Store,
    memtable_bytes: u64,
    /// The state that is durable. Changed by `commit` alone.
    state: Mutex<LedgerState>,
    broken: AtomicBool,
    /// Dropped last, when the store is closed.
    _lock: File,
}

/// What tests make small.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// How much a keyspace keeps in memory before it is written as a table.
    pub(crate) memtable_bytes: u64,
    /// The entries of a ledger that is worth a filter.
    pub(crate) filtered_from: u64,
}

#[derive(Clone)]
struct Store {
    database: Database,
    rows: Keyspace,
    dedup: Keyspace,
    leaves: Keyspace,
    meta: Keyspace,
}

impl FjallLedger {
    /// Opens the ledger of a directory, or makes a new one there.
    ///
    /// Effects: a new store is made under another name, completely, and then renamed. A crash before the rename leaves a directory that the next
    /// start removes.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, LedgerError> {
        Self::open_sized(dir.as_ref(), Sizes { memtable_bytes: MEMTABLE_BYTES, filtered_from: filter::KEYS_MIN })
    }

    /// As [`FjallLedger::open`], with other sizes.
    pub(crate) fn open_sized(dir: &Path, sizes: Sizes) -> Result<Self, LedgerError> {
        let path = dir.join("store");
        durable::create_dirs(dir).map_err(|error| io_failed(&error))?;
        let lock = lock(&dir.join("lock"))?;
        if !path.try_exists().map_err(|error| io_failed(&error))? {
            create(&dir.join("store.new"), &path)?;
        }
        durable::sync_names(&path).map_err(|error| io_failed(&error))?;
        let store = Store::replay(&path)?;
        let schema = store.meta.get(SCHEMA_KEY).map_err(failed)?;
        let schema = schema.and_then(|bytes| Some(u32::from_be_bytes(bytes.as_ref().try_into().ok()?)));
        match schema {
            Some(SCHEMA) => {}
            Some(found) => return Err(LedgerError::Schema { found, supported: SCHEMA }),
            None => return Err(LedgerError::Damaged { what: "schema version" }),
        }
        let state = store.meta.get(STATE_KEY).map_err(failed)?.and_then(|bytes| record::decode_state(&bytes));
        let state = state.ok_or(LedgerError::Damaged { what: "state" })?;
        let filter = KeyFilter::from(sizes.filtered_from);
        let memtable_bytes = sizes.memtable_bytes;
        Ok(Self {
            filter,
            store,
            memtable_bytes,
            state: Mutex::new(state),
            broken: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// Runs a read off the caller's thread.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.usable()?;
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or(Err(LedgerError::Io(io::ErrorKind::Interrupted)))
    }

    fn usable(&self) -> Result<(), LedgerError> {
        if self.broken.load(Ordering::Acquire) { Err(LedgerError::Broken) } else { Ok(()) }
    }

    fn lock_state(&self) -> Result<std::sync::MutexGuard<'_, LedgerState>, LedgerError> {
        // A panic within `commit` leaves it open what became of the batch.
        self.state.lock().map_err(|_| LedgerError::Broken)
    }
}

#[async_trait]
impl Ledger for FjallLedger {
    async fn state(&self) -> Result<LedgerState, LedgerError> {
        self.usable()?;
        Ok(*self.lock_state()?)
    }

    async fn find_duplicates(&self, keys: &[DedupKey]) -> Result<Vec<Option<Sequenced>>, LedgerError> {
        self.usable()?;
        let find = |(key, may_be_there): (&DedupKey, bool)| {
            if !may_be_there {
                return Ok(None);
            }
            let Some(bytes) = self.store.dedup.get(key).map_err(failed)? else { return Ok(None) };
            record::decode_place(&bytes).map(Some).ok_or(LedgerError::Damaged { what: "dedup" })
        };
        keys.iter().zip(self.filter.may_have(keys)).map(find).collect()
    }

    /// Effect: one durable batch. A crash before the journal record is whole leaves nothing of it; after that, all of it.
    async fn commit(&self, expected: &TreeHead, batch: &Batch) -> Result<Commit, LedgerError> {
        self.usable()?;
        let mut state = self.lock_state()?;
        if state.head != *expected {
            return Ok(Commit::Conflict { actual: state.head });
        }
        if state.frozen_ms.is_some() {
            return Err(LedgerError::Frozen);
        }
        self.store.seal_full(self.memtable_bytes).inspect_err(|_| self.broken.store(true, Ordering::Release))?;
        self.filter.begin(&self.store.dedup, state.head.size.0);
        self.filter.add(batch.rows.iter().map(|row| &row.dedup_key));
        let mut writes = self.store.database.batch().durability(Some(PersistMode::SyncData));
        for row in &batch.rows {
            let index = row.index.0.to_be_bytes();
            writes.insert(&self.store.rows, index, record::encode_row(row));
            // A third of what a log of signatures would write, if its dedup keys, which are the leaf hashes, stood here again.
            if row.leaf_hash.0 != row.dedup_key {
                writes.insert(&self.store.leaves, row.leaf_hash.0, index);
            }
        }
        // In the order of their keys, one leads to the place of the next in the memtable.
        let mut by_key: Vec<&Row> = batch.rows.iter().collect();
        by_key.sort_unstable_by_key(|row| row.dedup_key);
        for row in by_key {
            writes.insert(&self.store.dedup, row.dedup_key, record::encode_place(row.index, row.time_ms));
        }
        writes.insert(&self.store.meta, STATE_KEY, record::encode_state(&batch.state));
        writes.commit().map_err(|error| {
            self.broken.store(true, Ordering::Release);
            tracing::error!(%error, "a write to the ledger failed");
            LedgerError::Broken
        })?;
        *state = batch.state;
        Ok(Commit::Committed)
    }

    async fn rows(&self, start: LeafIndex, count: usize) -> Result<Vec<Row>, LedgerError> {
        self.read(move |store| {
            let mut rows = Vec::with_capacity(count);
            for guard in store.rows.range(start.0.to_be_bytes()..).take(count) {
                let (key, value) = guard.into_inner().map_err(failed)?;
                let row = record::decode_row(&key, &value).ok_or(LedgerError::Damaged { what: "row" })?;
                rows.push(row);
            }
            Ok(rows)
        })
        .await
    }

    async fn find_leaf(&self, leaf_hash: &Hash) -> Result<Option<LeafIndex>, LedgerError> {
        let key = leaf_hash.0;
        self.read(move |store| {
            let Some(bytes) = store.leaves.get(key).map_err(failed)? else { return store.leaf_by_dedup_key(key) };
            let index = bytes.as_ref().try_into().map(u64::from_be_bytes);
            index.map(|index| Some(LeafIndex(index))).map_err(|_| LedgerError::Damaged { what: "leaf" })
        })
        .await
    }
}

/// Whether keyspaces that are not there are made. fjall would make them without a word, and an empty one in the place of one that was lost would
/// admit duplicates.
#[derive(Clone, Copy)]
enum MayCreate {
    No,
    Keyspaces,
}

impl Store {
    fn open(path: &Path, may_create: MayCreate) -> Result<Self, LedgerError> {
        let builder =
            Database::builder(path).cache_size(CACHE_BYTES).max_journaling_size(JOURNAL_BYTES).worker_threads(WORKERS);
        let database = builder.open().map_err(failed)?;
        let keyspace = |name, shaped: fn(KeyspaceCreateOptions) -> KeyspaceCreateOptions| {
            let options = || match may_create {
                MayCreate::No => KeyspaceCreateOptions::default(),
                // What is full, `seal_full` says.
                MayCreate::Keyspaces => shaped(KeyspaceCreateOptions::default().max_memtable_size(u64::MAX)),
            };
            match may_create {
                MayCreate::No if !database.keyspace_exists(name) => Err(LedgerError::Damaged { what: "keyspace" }),
                _ => database.keyspace(name, options).map_err(failed),
            }
        };
        let rows = keyspace("rows", in_order)?;
        let [dedup, leaves] = ["dedup", "leaves"].map(|name| keyspace(name, by_hash));
        let meta = keyspace("meta", |options| options);
        Ok(Self { rows, dedup: dedup?, leaves: leaves?, meta: meta?, database })
    }
}

impl Store {
    /// Opens a store whose journals are in order, or are put in order, and sees that all of them was replayed.
    fn replay(path: &Path) -> Result<Self, LedgerError> {
        let settled = journal::settle(path)?;
        let opened = Self::open(path, MayCreate::No);
        if settled.is_whole().map_err(|error| io_failed(&error))? {
            return opened;
        }
        drop(opened);
        settled.give_back().map_err(|error| io_failed(&error))?;
        Err(LedgerError::Io(io::ErrorKind::InvalidData))
    }

    /// Has what is enough for a table written as one, by fjall's thread.
    ///
    /// fjall would see to that by itself: each write to a keyspace that has enough asks for it, through a queue in which its threads, too, put
    /// messages. While they merge, a thousand writes fill it; then they wait for each other, and nothing leaves the memory any more. Here, what comes
    /// in while fjall's thread is busy with one step of merging waits in memory, and no writer waits for it.
    fn seal_full(&self, memtable_bytes: u64) -> Result<(), LedgerError> {
        for keyspace in [&self.rows, &self.dedup, &self.leaves, &self.meta] {
            let is_full = keyspace.tree.active_memtable().size() > memtable_bytes;
            if is_full && keyspace.tree.sealed_memtable_count() < SEALED_MAX {
                keyspace.rotate_memtable().map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The entry whose dedup key this is, if its leaf hash is the same.
    fn leaf_by_dedup_key(&self, key: [u8; 32]) -> Result<Option<LeafIndex>, LedgerError> {
        let Some(bytes) = self.dedup.get(key).map_err(failed)? else { return Ok(None) };
        let place = record::decode_place(&bytes).ok_or(LedgerError::Damaged { what: "dedup" })?;
        let index = place.index.0.to_be_bytes();
        let row = self.rows.get(index).map_err(failed)?;
        let row = row.and_then(|row| record::decode_row(&index, &row)).ok_or(LedgerError::Damaged { what: "row" })?;
        Ok((row.leaf_hash.0 == key).then_some(place.index))
    }
}

/// For rows, which come in the order of their keys, stay in the tables that they were first written to, and are asked for only where they are: no
/// filters, and few blocks, because both are in memory as long as a table is.
fn in_order(options: KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    options.filter_policy(FilterPolicy::disabled()).data_block_size_policy(BlockSizePolicy::all(ROWS_BLOCK_BYTES))
}

/// For keys that are hashes: they come in no order and do not compress, and almost all that are asked for are not there, which filters answer.
/// Merging is what costs, so it is done seldom.
fn by_hash(options: KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    let seldom = Leveled::default().with_l0_threshold(HASHED_RUNS).with_table_target_size(HASHED_TABLE_BYTES);
    options.data_block_compression_policy(CompressionPolicy::disabled()).compaction_strategy(Arc::new(seldom))
}

fn create(temporary: &Path, path: &Path) -> Result<(), LedgerError> {
    match std::fs::remove_dir_all(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_failed(&error)),
        _ => {}
    }
    let store = Store::open(temporary, MayCreate::Keyspaces)?;
    let mut writes = store.database.batch().durability(Some(PersistMode::SyncAll));
    writes.insert(&store.meta, SCHEMA_KEY, SCHEMA.to_be_bytes());
    writes.insert(&store.meta, STATE_KEY, record::encode_state(&LedgerState::empty()));
    writes.commit().map_err(failed)?;
    drop(store);
    // fjall does not sync the directory in which it makes those of the keyspaces.
    durable::sync_tree(temporary).map_err(|error| io_failed(&error))?;
    durable::rename(temporary, path).map_err(|error| io_failed(&error))
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let lock =
        File::options().create(true).truncate(false).write(true).open(path).map_err(|error| io_failed(&error))?;
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WITHIN => std::thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Locked),
            Err(TryLockError::Error(error)) => return Err(io_failed(&error)),
        }
    }
}

fn io_failed(error: &io::Error) -> LedgerError {
    tracing::error!(%error, "the ledger's directory cannot be used");
    LedgerError::Io(error.kind())
}

fn failed(error: fjall::Error) -> LedgerError {
    tracing::error!(%error, "the ledger's store failed");
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => LedgerError::Io(error.kind()),
        fjall::Error::Poisoned => LedgerError::Broken,
        fjall::Error::Locked => LedgerError::Locked,
        _ => LedgerError::Damaged { what: "store" },
    }
}

#[cfg(test)]
mod tests;
