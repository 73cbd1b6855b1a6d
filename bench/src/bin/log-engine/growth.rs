// SPDX-License-Identifier: Apache-2.0
//! A log that grows: the engine in this process on its embedded drivers, without HTTP. For each entry a request is parsed and its P-256 signature
//! verified, as the service does; it is the same request each time, because making signatures would take longer than checking them.
//!
//! Speed of the last hundred thousand entries beside that of the first, resident memory on the way, size on disk, restart, and the proof of a random
//! entry. A shared machine is not as fast at the end as it was ten minutes before, and the first entries of a log take seconds: so those of several
//! logs are timed, before and after.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use touchmark_bench::disk;
use touchmark_bench::statistics::{median, quantile};
use touchmark_keys::{HashAlgorithm, KeyType, digest};
use touchmark_sequencer::{
    Added, CheckpointSigner, EntryTiles, FjallLedger, FsObjects, Log, LogConfig, Pending, Rendered, SystemClock,
    WaitFor,
};
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_sigstore::rekor::parse_request;
use touchmark_testing::load::{self, LoadKey};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};
use touchmark_tlog::proof::verify_inclusion;
use touchmark_tlog::{LeafIndex, leaf_hash};

const ORIGIN: &str = "growth2026-1.00000000.touchmark.localhost";
/// About a hashedrekord leaf with a managed key.
const ENTRY_BYTES: usize = 500;
const CALLERS: u64 = 1024;
/// What is compared: as many entries at the start and at the end.
const WINDOW: u64 = 100_000;
/// Logs whose first entries are timed before the one that grows, and as many after it.
const FRESH_LOGS: u64 = 3;
/// Windows at the end that are compared, too: as merging comes and goes, the last one says less than they.
const LAST_WINDOWS: usize = 10;
const PROOFS: u64 = 2_000;
const ENTRIES_MAX: u64 = 200_000_000;

pub(crate) async fn measure(dir: &Path, entries: u64) -> Result<()> {
    ensure!((2 * WINDOW..=ENTRIES_MAX).contains(&entries), "between {} and {ENTRIES_MAX} entries", 2 * WINDOW);
    let signer = Arc::new(EphemeralSigner::generate(KeyType::Ed25519).context("no key")?);
    let request: Arc<[u8]> = load::entry_request(&LoadKey::generate(), b"growth").body.into();
    let mut first_rates = first_windows(dir, &signer, &request).await?;
    let log = open(dir, &signer).await?;
    println!("| entries | per second | resident memory |\n| --- | --- | --- |");
    let (mut rates, mut resident) = (Vec::new(), Vec::new());
    for first in (0..entries).step_by(usize::try_from(WINDOW)?) {
        let rate = append(&log, &request, first, WINDOW.min(entries - first)).await?;
        rates.push(rate);
        resident.push(resident_mib()?);
        let windows = rates.len();
        if windows.is_power_of_two() || windows % 10 == 0 || first + WINDOW >= entries {
            println!("| {} | {rate:.0} | {:.0} MiB |", (first + WINDOW).min(entries), resident.last().unwrap_or(&0.0));
        }
    }
    println!("\nResident memory at most {:.0} MiB.", quantile(&resident, 1.0));
    log.shutdown().await;
    drop(log);
    first_rates.extend(rates.first());
    first_rates.extend(first_windows(dir, &signer, &request).await?);
    compare(&first_rates, &rates);
    let used = disk::used_bytes(dir)?;
    println!("On disk {:.0} bytes an entry ({ENTRY_BYTES} of them the entry).", used as f64 / entries as f64);
    let begun = Instant::now();
    let log = open(dir, &signer).await?;
    let opened = begun.elapsed();
    add(&log, entries).await?;
    println!("Restart: open after {opened:.2?}, the next entry proven after {:.2?}.", begun.elapsed());
    proofs(&log, entries).await?;
    log.shutdown().await;
    Ok(())
}

/// The rates of the first entries of fresh logs.
async fn first_windows(dir: &Path, signer: &Arc<EphemeralSigner>, request: &Arc<[u8]>) -> Result<Vec<f64>> {
    let dir = dir.join("fresh");
    let mut rates = Vec::new();
    for _ in 0..FRESH_LOGS {
        let log = open(&dir, signer).await?;
        rates.push(append(&log, request, 0, WINDOW).await?);
        log.shutdown().await;
        drop(log);
        std::fs::remove_dir_all(&dir).context("the directory of a fresh log")?;
    }
    Ok(rates)
}

fn compare(first: &[f64], rates: &[f64]) {
    let listed = first.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(", ");
    println!("The first {WINDOW} entries of {} logs went in at {listed} per second.", first.len());
    let first = median(first);
    let end = &rates[rates.len().saturating_sub(LAST_WINDOWS)..];
    let last = rates.last().copied().unwrap_or(f64::NAN);
    println!("The last {WINDOW} went in at {:.2} of the median of these rates;", last / first);
    println!("the last {} times {WINDOW} at {:.2} of it (median).", end.len(), median(end) / first);
}

async fn proofs(log: &Log, entries: u64) -> Result<()> {
    let checkpoint = log.checkpoint();
    let mut times = Vec::new();
    for number in 0..PROOFS {
        // Any order that looks like none.
        let index = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % entries;
        let begun = Instant::now();
        let proof = log.inclusion_proof(LeafIndex(index), checkpoint.size).await.context("a proof")?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        let leaf = log.rows(LeafIndex(index), 1).await.context("a row")?;
        let leaf = leaf.first().context("no row")?.leaf_hash;
        verify_inclusion(&leaf, LeafIndex(index), checkpoint.size, &proof, &checkpoint.root)?;
    }
    println!("Proof of a random entry: {:.3} ms (p50), {:.3} ms (p99).", median(&times), quantile(&times, 0.99));
    Ok(())
}

async fn append(log: &Log, request: &Arc<[u8]>, first: u64, count: u64) -> Result<f64> {
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (log, request) = (log.clone(), Arc::clone(request));
            tokio::spawn(async move {
                for id in (first + caller..first + count).step_by(usize::try_from(CALLERS)?) {
                    parse_request(&request).context("a request")?;
                    add(&log, id).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await.context("a caller panicked")??;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

async fn add(log: &Log, id: u64) -> Result<()> {
    let seed = digest(HashAlgorithm::Sha256, &id.to_be_bytes());
    // Bytes that do not compress, as signatures do not.
    let mut bytes = Vec::with_capacity(ENTRY_BYTES + seed.as_bytes().len());
    let mut block = seed;
    while bytes.len() < ENTRY_BYTES {
        bytes.extend_from_slice(block.as_bytes());
        block = digest(HashAlgorithm::Sha256, block.as_bytes());
    }
    bytes.truncate(ENTRY_BYTES);
    let dedup_key = leaf_hash(&bytes).0;
    let rendered = Rendered::alike(bytes);
    let render = move |_, _| rendered.clone();
    let pending = Pending { dedup_key, render: Box::new(render), blobs: [].into(), meta: Vec::new() };
    match log.add(pending, WaitFor::Checkpointed).await {
        Ok(Added::Checkpointed(_)) => Ok(()),
        other => anyhow::bail!("entry {id} was not added: {other:?}"),
    }
}

async fn open(dir: &Path, signer: &Arc<EphemeralSigner>) -> Result<Log> {
    let note_key = NoteKey::new(ORIGIN, NoteAlgorithm::Ed25519, signer.public_key().clone())?;
    let signers = vec![CheckpointSigner { note_key, signer: Arc::<EphemeralSigner>::clone(signer) }];
    let config = LogConfig::new(ORIGIN, signers, EntryTiles::Entries);
    let ledger = Arc::new(FjallLedger::open(dir.join("ledger"))?);
    let objects = Arc::new(FsObjects::open(dir.join("objects"))?);
    Ok(Log::open(config, ledger, objects, Arc::new(SystemClock)).await?)
}

fn resident_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>().context("VmRSS")? / 1024.0)
}
