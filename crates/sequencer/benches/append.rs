// SPDX-License-Identifier: Apache-2.0
//! How fast does the engine append? Callers at once, each waiting for a checkpoint with its proof before it adds the next entry.
//!
//! The whole engine on its embedded drivers (fjall with a durable commit for each batch, files), with an Ed25519 signer; no HTTP, no
//! signature of an entry to verify. Beside it stands the ceiling of the same run: 4 KiB appends with fdatasync, one after the other.
//!
//! ```text
//! cargo bench -p touchmark-sequencer --bench append -- [--entries 20000] [--dir DIR]
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a measurement reports on standard output and stops at the first surprise"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use touchmark_keys::KeyType;
use touchmark_sequencer::{
    Added, CheckpointSigner, EntryTiles, FjallLedger, FsObjects, Log, LogConfig, Pending, Rendered, SystemClock,
    WaitFor,
};
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_tlog::leaf_hash;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};

const ORIGIN: &str = "bench2026-1.00000000.touchmark.localhost";
const ENTRY_BYTES: usize = 700;

fn entry(id: u64) -> Pending {
    let key = leaf_hash(&id.to_be_bytes()).0;
    let bytes: Vec<u8> = key.iter().copied().cycle().take(ENTRY_BYTES).collect();
    let rendered = Rendered::alike(bytes);
    let render = move |_, _| rendered.clone();
    Pending { dedup_key: key, render: Box::new(render), blobs: [].into(), meta: Vec::new() }
}

async fn open(dir: &Path) -> Log {
    let signer = EphemeralSigner::generate(KeyType::Ed25519).unwrap();
    let note_key = NoteKey::new(ORIGIN, NoteAlgorithm::Ed25519, signer.public_key().clone()).unwrap();
    let signers = vec![CheckpointSigner { note_key, signer: Arc::new(signer) }];
    let config = LogConfig::new(ORIGIN, signers, EntryTiles::Entries);
    let ledger = Arc::new(FjallLedger::open(dir.join("ledger")).unwrap());
    let objects = Arc::new(FsObjects::open(dir.join("objects")).unwrap());
    Log::open(config, ledger, objects, Arc::new(SystemClock)).await.unwrap()
}

/// One line of the table: this many callers, sharing the entries.
async fn run(log: &Log, callers: u64, entries: u64, first: u64) {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for id in (first + caller..first + entries).step_by(callers as usize) {
                    let begun = Instant::now();
                    let added = log.add(entry(id), WaitFor::Checkpointed).await.unwrap();
                    assert!(matches!(added, Added::Checkpointed(_)));
                    times.push(begun.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let rate = entries as f64 / begun.elapsed().as_secs_f64();
    println!("| {callers} | {entries} | {rate:.0} | {} |", quantiles(&mut times));
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
    format!("{:.2} / {:.2} / {:.2}", at(500), at(990), at(1000))
}

fn fdatasync_ceiling(dir: &Path) {
    let mut file = std::fs::File::create(dir.join("ceiling")).unwrap();
    let mut times: Vec<Duration> = (0..500)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[0; 4096]).unwrap();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    println!("4 KiB append + fdatasync: {} ms (p50 / p99 / max)", quantiles(&mut times));
}

#[tokio::main]
async fn main() {
    let mut entries = 2_000;
    let mut dir: PathBuf = std::env::temp_dir().join(format!("append-{}", std::process::id()));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--entries" => {
                entries = arguments.next().and_then(|value| value.parse().ok()).expect("--entries is a number")
            }
            "--dir" => dir = arguments.next().expect("--dir is a path").into(),
            "--bench" | "--test" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    std::fs::create_dir_all(&dir).unwrap();
    fdatasync_ceiling(&dir);
    let log = open(&dir).await;
    println!("| callers | entries | entries/s | add to proof p50 / p99 / max ms |");
    println!("| --- | --- | --- | --- |");
    let mut first = 0;
    for callers in [1, 16, 256, 2048] {
        let entries = if callers == 1 { entries / 10 } else { entries };
        run(&log, callers, entries, first).await;
        first += entries;
    }
    log.shutdown().await;
    std::fs::remove_dir_all(&dir).unwrap();
}
