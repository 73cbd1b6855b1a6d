// SPDX-License-Identifier: Apache-2.0
//! One life of a log on a faulty disk: a process of its own, which opens the log, adds entries, tells what it was answered, and ends or is cut off.
//!
//! The workload follows from the seed. How its threads interleave does not: a fault may hit another operation when a seed is run again. The
//! journal of the disk, which is kept when a seed fails, holds what happened.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::random::Random;
use super::told::Teller;
use crate::fjall_ledger::Sizes;
use crate::tests::drivers::{Faults, LONG, LONGER, TestKey, config, entry};
use crate::{AddError, FjallLedger, FsObjects, Log, LogConfig, OpenError, SystemClock, WaitFor};

/// The name of the test that is a life when the environment says so.
pub(super) const LIFE: &str = "tests::disk::a_life_of_its_own";
const SEED: &str = "DISK_LIFE_SEED";
const NUMBER: &str = "DISK_LIFE_NUMBER";
const DIRECTORY: &str = "DISK_ROOT";
const TOLD: &str = "DISK_LIFE_TOLD";
/// A life takes a second or two; one that hangs is a finding.
const LIFE_MAX: Duration = Duration::from_secs(60);

/// What of a seed concerns all its lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) anchored: bool,
    /// When fjall writes its tables; small, so that flushes and compactions are under the faults too.
    pub(super) memtable_bytes: u64,
    /// When the ledger begins to read its dedup keys: with the first commit, on the way, or never.
    filtered_from: u64,
    batch_max: usize,
    entries: u64,
    size_class: u64,
}

impl Shape {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Random::part(seed, 1);
        let anchored = random.chance(50);
        let memtable_bytes = *random.pick(&[16 << 10, 128 << 10, 8 << 20]);
        let batch_max = *random.pick(&[1, 7, 40, 1024]);
        let (entries, size_class) = match random.below(40) {
            // Enough for fjall to change from one journal file to the next, which it does at 64 MB.
            0 => (1_300, LONGER),
            1..=4 => (60, LONGER),
            5..=20 => (400, LONG),
            _ => (700, 0),
        };
        let filtered_from = *random.pick(&[0, 300, u64::MAX]);
        Self { anchored, memtable_bytes, filtered_from, batch_max, entries, size_class }
    }

    /// Batches of many pages, and few syncs but those of commits.
    pub(super) fn has_long_batches(&self) -> bool {
        self.size_class == LONG && self.batch_max >= 40 && self.memtable_bytes > 1 << 20
    }

    pub(super) fn configure(&self, dir: &Path, config: &mut LogConfig) {
        config.batch_max = self.batch_max;
        config.anchor = self.anchored.then(|| dir.join("anchor"));
    }
}

/// Opens the log in a directory.
pub(super) async fn open(dir: &Path, shape: &Shape) -> Result<Log, OpenError> {
    let sizes = Sizes { memtable_bytes: shape.memtable_bytes, filtered_from: shape.filtered_from };
    let ledger = FjallLedger::open_sized(&dir.join("ledger"), sizes)?;
    let objects = FsObjects::open(dir.join("objects"))?;
    let mut config = config(&Faults::new(None));
    shape.configure(dir, &mut config);
    Log::open(config, Arc::new(ledger), Arc::new(objects), Arc::new(SystemClock)).await
}

/// Starts a life and waits for its end.
pub(super) fn start(shim: &Path, disk: &Path, journal: &Path, told: &Path, fault: &str, seed: u64, number: u64) {
    let key = told.with_extension("key");
    TestKey::get().write_to(&key);
    let output = told.with_extension("out");
    let out = std::fs::File::options().create(true).append(true).open(&output).unwrap();
    let mut life = Command::new(std::env::current_exe().unwrap())
        .args([LIFE, "--exact", "--nocapture", "--test-threads=1"])
        .env("LD_PRELOAD", shim)
        .env(DIRECTORY, disk)
        .env("DISK_LOG", journal)
        .env("DISK_FAULT", fault)
        .env(SEED, seed.to_string())
        .env(NUMBER, number.to_string())
        .env(TOLD, told)
        .env(TestKey::VARIABLE, &key)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    let end = Instant::now() + LIFE_MAX;
    let status = loop {
        if let Some(status) = life.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            life.kill().unwrap();
            life.wait().unwrap();
            panic!("a life did not come to its end within {LIFE_MAX:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let cut = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    assert!(status.success() || cut, "the life ended with {status}: {}", output.display());
}

/// The body of a life. Does nothing in a process that is none.
pub(super) fn live() {
    let Some(seed) = std::env::var_os(SEED) else { return };
    let number = |value: std::ffi::OsString| value.into_string().unwrap().parse::<u64>().unwrap();
    let life = number(std::env::var_os(NUMBER).unwrap());
    let dir = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
    let teller = Teller::new(Path::new(&std::env::var_os(TOLD).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work(&dir, number(seed), life, &teller));
}

async fn work(dir: &Path, seed: u64, life: u64, teller: &Teller) {
    let shape = Shape::of(seed);
    let mut random = Random::part(seed, 1_000 + life);
    let log = match open(dir, &shape).await {
        Ok(log) => log,
        Err(error) => {
            teller.remark(&format!("not opened: {error}"));
            return teller.end();
        }
    };
    teller.checkpoint(&log.checkpoint());
    let mut next = life << 20;
    let last = next + 1 + random.below(shape.entries);
    while next < last && log.stopped().is_none() {
        let callers: Vec<_> = (0..1 + random.below(60))
            .map(|_| {
                let id = match random.below(10) {
                    // One that this life has added, perhaps in the same wave.
                    0 => (life << 20) + random.below(next - (life << 20) + 1),
                    // One of an earlier life, of which nobody may have heard.
                    1 => (random.below(life + 1) << 20) + random.below(100),
                    _ => {
                        next += 1;
                        next
                    }
                };
                let wait_for = if random.chance(40) { WaitFor::Sequenced } else { WaitFor::Checkpointed };
                (id | shape.size_class, wait_for)
            })
            .collect();
        join_all(callers.into_iter().map(|(id, wait_for)| add(&log, teller, id, wait_for))).await;
        teller.checkpoint(&log.checkpoint());
    }
    if let Some(cause) = log.stopped() {
        teller.remark(&format!("stopped: {cause}"));
    }
    if random.chance(70) {
        log.shutdown().await;
        teller.checkpoint(&log.checkpoint());
    }
    teller.end();
}

/// Adds an entry and tells the answer as soon as it is there.
async fn add(log: &Log, teller: &Teller, id: u64, wait_for: WaitFor) {
    match log.add(entry(id), wait_for).await {
        Ok(added) => teller.added(id, &added),
        Err(error @ (AddError::Storage | AddError::Unsigned | AddError::Fatal(_))) => {
            teller.remark(&format!("{id} not added: {error}"));
        }
        Err(error) => panic!("an answer that no disk can cause: {error}"),
    }
}
