// SPDX-License-Identifier: Apache-2.0
//! Which embedded store should hold a ledger? The one that we chose (fjall) beside the one that we did not (SQLite).
//!
//! Each store gets the same rows: an index, a random 32-byte dedup key, a random 32-byte leaf hash, both indexed, and about 700 bytes of
//! entry; in batches, each durable before the next begins, with a look for duplicates before each as the engine does it. Then random
//! lookups by dedup key, present and absent. Results go to docs/benchmarks.md.
//!
//! ```text
//! cargo bench -p touchmark-sequencer --bench ledger_store -- --rows 10000000 [--batch 1000] [--store fjall|sqlite|both]
//!     [--dir DIR] [--seconds-max 1200]
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a measurement reports on standard output and stops at the first surprise"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use touchmark_sequencer::{Batch, Commit, DedupKey, FjallLedger, Ledger, LedgerState, Row, TreeHead};
use touchmark_tlog::{Hash, LeafIndex, TreeSize, leaf_hash};

const ENTRY_BYTES: usize = 700;
const LOOKUPS: u64 = 20_000;

struct Options {
    rows: u64,
    batch: u64,
    stores: Vec<String>,
    dir: PathBuf,
    limit: Duration,
}

/// What both stores can do, as the engine asks for it.
trait Store {
    fn find(&self, keys: &[DedupKey]) -> usize;
    fn commit(&mut self, batch: &Batch);
}

struct Fjall {
    ledger: FjallLedger,
    runtime: tokio::runtime::Runtime,
    head: TreeHead,
}

impl Store for Fjall {
    fn find(&self, keys: &[DedupKey]) -> usize {
        self.runtime.block_on(self.ledger.find_duplicates(keys)).unwrap().into_iter().flatten().count()
    }

    fn commit(&mut self, batch: &Batch) {
        let committed = self.runtime.block_on(self.ledger.commit(&self.head, batch)).unwrap();
        assert_eq!(committed, Commit::Committed);
        self.head = batch.state.head;
    }
}

struct Sqlite(Connection);

impl Sqlite {
    fn open(dir: &Path) -> Self {
        let connection = Connection::open(dir.join("ledger.sqlite")).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;
                 CREATE TABLE row (idx INTEGER PRIMARY KEY, time_ms INTEGER, dedup BLOB, leaf BLOB, entry BLOB, meta BLOB);
                 CREATE UNIQUE INDEX row_dedup ON row (dedup);
                 CREATE INDEX row_leaf ON row (leaf);
                 CREATE TABLE state (one INTEGER PRIMARY KEY, size INTEGER, root BLOB, time_ms INTEGER);",
            )
            .unwrap();
        Self(connection)
    }
}

impl Store for Sqlite {
    fn find(&self, keys: &[DedupKey]) -> usize {
        let mut find = self.0.prepare_cached("SELECT idx, time_ms FROM row WHERE dedup = ?1").unwrap();
        let found = keys.iter().filter(|key| {
            find.query_row([key.as_slice()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
                .optional()
                .unwrap()
                .is_some()
        });
        found.count()
    }

    fn commit(&mut self, batch: &Batch) {
        let transaction = self.0.transaction().unwrap();
        {
            let mut insert = transaction.prepare_cached("INSERT INTO row VALUES (?1, ?2, ?3, ?4, ?5, ?6)").unwrap();
            for row in &batch.rows {
                let (index, time_ms) = (signed(row.index.0), signed(row.time_ms));
                let (dedup, leaf) = (row.dedup_key.as_slice(), row.leaf_hash.0.as_slice());
                insert.execute(params![index, time_ms, dedup, leaf, row.bundle_bytes.as_ref(), row.meta]).unwrap();
            }
            let head = &batch.state.head;
            let mut state = transaction.prepare_cached("INSERT OR REPLACE INTO state VALUES (1, ?1, ?2, ?3)").unwrap();
            state.execute(params![signed(head.size.0), head.root.0.as_slice(), signed(head.time_ms)]).unwrap();
        }
        transaction.commit().unwrap();
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap()
}

fn key(index: u64) -> DedupKey {
    leaf_hash(&index.to_be_bytes()).0
}

/// Entry bytes that compress about as badly as signatures and certificates in base64 do.
fn entry_bytes(index: u64) -> Vec<u8> {
    let mut state = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(state >> 58) as usize]
    };
    (0..ENTRY_BYTES).map(|_| next()).collect()
}

fn batch(first: u64, end: u64) -> Batch {
    let row = |index: u64| Row {
        index: LeafIndex(index),
        time_ms: index,
        dedup_key: key(index),
        leaf_hash: Hash(key(!index)),
        bundle_bytes: entry_bytes(index).into(),
        meta: Vec::new(),
    };
    let head = TreeHead { size: TreeSize(end), root: Hash(key(end)), time_ms: end };
    Batch {
        rows: (first..end).map(row).collect(),
        state: LedgerState { head, published: TreeSize(0), frozen_ms: None },
    }
}

/// Fills a store and prints a line at each tenth, then the lookups.
fn measure(name: &str, store: &mut dyn Store, options: &Options, dir: &Path) {
    let mut commits: Vec<Duration> = Vec::new();
    let (mut spent, mut spent_before) = (Duration::ZERO, Duration::ZERO);
    let (mut rows, mut rows_before) = (0, 0);
    let tenth = (options.rows / 10).max(options.batch);
    let started = Instant::now();
    while rows < options.rows {
        let end = (rows + options.batch).min(options.rows);
        let batch = batch(rows, end);
        let keys: Vec<DedupKey> = batch.rows.iter().map(|row| row.dedup_key).collect();
        let begun = Instant::now();
        assert_eq!(store.find(&keys), 0);
        store.commit(&batch);
        commits.push(begun.elapsed());
        spent += begun.elapsed();
        rows = end;
        if rows - rows_before >= tenth || rows == options.rows {
            let rate = per_second(rows - rows_before, spent - spent_before);
            println!("{name}: {rows} rows, {rate} rows/s in the last {}, {} MB", rows - rows_before, megabytes(dir));
            (spent_before, rows_before) = (spent, rows);
        }
        if started.elapsed() > options.limit {
            println!("{name}: stopped at the time limit");
            break;
        }
    }
    commits.sort();
    let quantile = |per_mille: usize| commits[(commits.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
    let stride = (rows / LOOKUPS).max(1);
    let present: Vec<DedupKey> =
        (0..rows).step_by(usize::try_from(stride).unwrap()).map(|i| key(i.wrapping_mul(7919) % rows)).collect();
    let absent: Vec<DedupKey> = (0..LOOKUPS).map(|i| key(u64::MAX / 2 + i)).collect();
    let begun = Instant::now();
    assert_eq!(store.find(&present), present.len());
    let present_rate = per_second(present.len() as u64, begun.elapsed());
    let begun = Instant::now();
    assert_eq!(store.find(&absent), 0);
    let absent_rate = per_second(absent.len() as u64, begun.elapsed());
    println!(
        "| {name} | {rows} | {} | {} | {:.1} / {:.1} / {:.1} | {present_rate} / {absent_rate} | {} |",
        options.batch,
        per_second(rows, spent),
        quantile(500),
        quantile(990),
        quantile(1000),
        megabytes(dir),
    );
}

fn per_second(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64().max(1e-9)) as u64
}

fn megabytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => megabytes(&entry.path()) << 20,
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum::<u64>() >> 20
}

fn options() -> Options {
    let mut options = Options {
        rows: 20_000,
        batch: 1_000,
        stores: vec!["fjall".to_owned(), "sqlite".to_owned()],
        dir: std::env::temp_dir().join(format!("ledger-store-{}", std::process::id())),
        limit: Duration::from_secs(1_200),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
        match argument.as_str() {
            "--rows" => options.rows = value().parse().expect("--rows is a number"),
            "--batch" => options.batch = value().parse().expect("--batch is a number"),
            "--dir" => options.dir = value().into(),
            "--seconds-max" => options.limit = Duration::from_secs(value().parse().expect("--seconds-max is a number")),
            "--store" => match value().as_str() {
                "both" => {}
                one => options.stores = vec![one.to_owned()],
            },
            // `cargo bench` and `cargo test --benches` say so.
            "--bench" | "--test" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    options
}

fn main() {
    let options = options();
    for name in &options.stores {
        let dir = options.dir.join(name);
        std::fs::create_dir_all(&dir).expect("the directory can be made");
        let mut store: Box<dyn Store> = match name.as_str() {
            "fjall" => {
                let ledger = FjallLedger::open(&dir).expect("a new ledger");
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a run time");
                Box::new(Fjall { ledger, runtime, head: TreeHead::empty() })
            }
            "sqlite" => Box::new(Sqlite::open(&dir)),
            other => panic!("unknown store {other}"),
        };
        println!("| store | rows | batch | rows/s | batch p50 / p99 / max ms | lookups/s present / absent | MB |");
        measure(name, store.as_mut(), &options, &dir);
        drop(store);
        std::fs::remove_dir_all(&dir).expect("the directory can be removed");
    }
    let _ = std::fs::remove_dir(&options.dir);
}
