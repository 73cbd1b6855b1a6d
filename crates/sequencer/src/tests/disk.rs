// SPDX-License-Identifier: Apache-2.0
//! The store that ships on a disk that fails: it loses what was not synced, tears and reorders it, fills up, and returns errors at the n-th
//! operation, by a seed.
//!
//! A life of the log runs as a process of its own on its real drivers (fjall and files), under a shim that records every change and makes the
//! faults (`disk/shim.c`; it needs a C compiler, as the product does). When it has ended, or was cut off, the test works out from that record what
//! the disk may hold after a power cut (`disk/replay.rs`), opens the log there, and audits the whole tree against everything that any life
//! before was told: every acknowledged entry at its index, none twice, every signed checkpoint consistent, every tile and bundle right, every
//! entry still addable. Then the next life begins on the same state.
//!
//! `cargo xtask faults` runs it for longer, or one seed with its trace.

mod journal;
mod life;
mod random;
mod replay;
mod told;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::journal::Record;
use self::life::Shape;
use self::random::Random;
use self::replay::{Disk, Names};
use super::audit::{Told, audit};
use super::drivers::{directory_in_memory, entry};
use crate::{Added, WaitFor};

/// How long `cargo test` looks for failures, unless `TOUCHMARK_FAULTS_SECONDS` says otherwise.
const SECONDS: u64 = 20;
/// Syncs that the opening of a new log takes.
const NEW_LOG_SYNCS: u64 = 130;
/// Lives of a log under one seed.
const LIVES: u64 = 4;

/// What goes wrong in a life, for the shim.
fn fault_of(random: &mut Random) -> String {
    // Small numbers hit the opening of the log, large ones the work.
    let spread = *random.pick(&[20, 150, 600, 2_500]);
    let at = 1 + random.below(spread);
    let count = *random.pick(&[1, 1, 3, 40, 0]);
    match random.below(12) {
        0..=2 => format!("cut-before wsdt {at} 0"),
        3..=4 => format!("cut-after wsdt {at} 0"),
        // A cut around a sync is where most can be lost.
        5..=6 => format!("cut-before s {} 0", 1 + at / 3),
        7 => format!("eio {} {at} {count}", *random.pick(&["w", "s", "d", "t", "wsdt"])),
        // A sync that fails once, while the process, or the next one, sees the pages as if nothing had been.
        8 => format!("eio s {} 1", 1 + at / 3),
        9 => format!("eio r {} {count}", 1 + at / 4),
        10 => format!("enospc wd {at} {count}"),
        _ => String::new(),
    }
}

/// What became of a seed's lives, for the summary.
#[derive(Default)]
struct Tally {
    lives: u64,
    power_cuts: u64,
    failed_operations: u64,
    stopped: u64,
    not_opened: u64,
    acknowledged: u64,
}

struct Run {
    seed: u64,
    shape: Shape,
    dir: PathBuf,
    disk: Disk,
    tally: Tally,
    trace: bool,
}

impl Run {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// One life, what it leaves, and the audit of that.
    fn life(&mut self, shim: &Path, number: u64) {
        let mut random = Random::part(self.seed, 2_000_000 + number);
        let fault = fault_of(&mut random);
        let ended = self.live(shim, number, &fault, &mut random);
        // A process that ended by itself may be started again on a machine that goes on.
        if !ended || random.chance(60) {
            self.cut_power(&mut random);
        }
        self.audit(number);
    }

    /// One life, applied to the model of the disk. Whether it ended by itself.
    fn live(&mut self, shim: &Path, number: u64, fault: &str, random: &mut Random) -> bool {
        self.say(&format!("life {number}: {}", if fault.is_empty() { "no fault" } else { fault }));
        let (root, journal) = (self.path("disk"), self.path(&format!("journal{number}")));
        let told = self.path(&format!("told{number}"));
        life::start(shim, &root, &journal, &told, fault, self.seed, number);
        let records = journal::read(&journal);
        for record in &records {
            self.say(&format!("  {record}"));
        }
        let heard = told::hear(&told);
        for remark in &heard.remarks {
            self.say(&format!("  said: {remark}"));
        }
        self.count(&records, &heard);
        assert!(heard.ended || fault.starts_with("cut"), "the life ended without a word");
        self.disk.apply(&records, random);
        self.disk.demand_equal(&root);
        heard.ended
    }

    fn cut_power(&mut self, random: &mut Random) {
        self.tally.power_cuts += 1;
        self.disk = self.disk.after_power_cut(random);
        let root = self.path("disk");
        std::fs::remove_dir_all(&root).unwrap();
        self.disk.write_to(&root);
        self.say("  power cut");
    }

    /// Opens the log on a copy of what is there, without faults, and compares it with everything that was said in all lives.
    fn audit(&self, last_life: u64) {
        let mut all = Told::default();
        for life in 0..=last_life {
            let told = told::hear(&self.path(&format!("told{life}"))).told;
            all.added.extend(told.added);
            all.checkpoints.extend(told.checkpoints);
        }
        let copy = self.path("audit");
        self.disk.write_to(&copy);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let log = life::open(&copy, &self.shape).await.unwrap_or_else(|error| panic!("not opened: {error}"));
            audit(&log, &all).await;
            let again = all.added.first().map(|(id, _)| *id);
            for id in [Some(u64::MAX), again].into_iter().flatten() {
                let added = log.add(entry(id), WaitFor::Checkpointed).await.unwrap();
                assert!(id == u64::MAX || matches!(added, Added::Duplicate { .. }), "{id} was admitted twice");
                all.added.push((id, added));
            }
            audit(&log, &all).await;
            log.shutdown().await;
        });
        std::fs::remove_dir_all(&copy).unwrap();
    }

    fn count(&mut self, records: &[Record], heard: &told::Heard) {
        let tally = &mut self.tally;
        tally.lives += 1;
        tally.acknowledged += heard.told.added.len() as u64;
        let is_failure = |record: &&Record| matches!(record, Record::Fault { what, .. } if !what.starts_with("cut"));
        tally.failed_operations += records.iter().filter(is_failure).count() as u64;
        tally.stopped += heard.remarks.iter().filter(|remark| remark.starts_with("stopped")).count() as u64;
        tally.not_opened += heard.remarks.iter().filter(|remark| remark.starts_with("not opened")).count() as u64;
    }

    fn say(&self, what: &str) {
        if self.trace {
            println!("{what}");
        }
    }
}

impl Run {
    fn new(seed: u64, base: &Path, names: Names, trace: bool) -> Self {
        let dir = base.join(seed.to_string());
        std::fs::create_dir_all(dir.join("disk")).unwrap();
        let (shape, disk) = (Shape::of(seed), Disk::new(names));
        let run = Self { seed, shape, dir, disk, tally: Tally::default(), trace };
        run.say(&format!("seed {seed}: {shape:?}, names {names:?}"));
        run
    }

    fn end(self) -> Tally {
        std::fs::remove_dir_all(&self.dir).unwrap();
        self.tally
    }
}

fn run(seed: u64, shim: &Path, base: &Path, trace: bool) -> Tally {
    let names = if Random::part(seed, 3).chance(50) { Names::Journalled } else { Names::Loose };
    let mut run = Run::new(seed, base, names, trace);
    for number in 0..LIVES {
        run.life(shim, number);
    }
    run.end()
}

/// "fsyncgate": a commit's fsync fails once. The process that starts next, on the same machine, reads the batch from memory and goes on after it;
/// then the power is cut, and what the failed fsync left behind is gone unless somebody has written it again.
#[test]
fn a_batch_whose_sync_failed_is_written_again_by_the_next_start() {
    let base = directory_in_memory("touchmark-faults-");
    let shim = build_shim(base.path());
    let seeds = (1..).filter(|seed| Shape::of(*seed).has_long_batches());
    // Those after the opening are the commits, until tiles are published.
    let mut stopped = 0;
    for (seed, sync) in seeds.zip(NEW_LOG_SYNCS + 1..).take(12) {
        let mut run = Run::new(seed, base.path(), Names::Journalled, false);
        let mut random = Random::part(seed, 4);
        run.live(&shim, 0, &format!("eio s {sync} 1"), &mut random);
        run.live(&shim, 1, "", &mut random);
        run.cut_power(&mut random);
        run.audit(1);
        stopped += run.end().stopped;
    }
    assert!(stopped > 2, "the sync that failed was hardly ever that of a commit: {stopped}");
}

/// A start gives the new store its name, cannot make that durable, and ends. The next one finds the name, goes on, and answers; then the power is cut.
#[test]
fn a_name_whose_sync_failed_is_made_durable_by_the_next_start() {
    let base = directory_in_memory("touchmark-faults-");
    let shim = build_shim(base.path());
    let mut not_opened = 0;
    // The store is named among the last of them; whether a power cut takes the name away is a matter of chance.
    for (seed, sync) in (1..).zip((NEW_LOG_SYNCS - 18..NEW_LOG_SYNCS - 8).flat_map(|sync| [sync; 5])) {
        let mut run = Run::new(seed, base.path(), Names::Loose, false);
        let mut random = Random::part(seed, 5);
        run.live(&shim, 0, &format!("eio s {sync} 1"), &mut random);
        run.live(&shim, 1, "", &mut random);
        run.cut_power(&mut random);
        run.audit(1);
        not_opened += run.end().not_opened;
    }
    assert!(not_opened > 20, "the sync that failed was hardly ever that of a start: {not_opened}");
}

/// fjall takes a read that fails for the end of its journal, and cuts the journal there.
#[test]
fn a_journal_that_cannot_be_read_at_a_start_is_not_cut() {
    let base = directory_in_memory("touchmark-faults-");
    let shim = build_shim(base.path());
    let (mut seeds, mut not_opened) = ((1..).filter(|seed| Shape::of(*seed).has_long_batches()), 0);
    let mut run = Run::new(seeds.next().unwrap(), base.path(), Names::Journalled, false);
    let mut random = Random::part(run.seed, 4);
    run.live(&shim, 0, "", &mut random);
    // A start reads some hundred times; the journal is replayed after its first look at the tables.
    for life in 1..150 {
        run.live(&shim, life, &format!("eio r {} 1", life + 20), &mut random);
        run.audit(life);
        let told = told::hear(&run.path(&format!("told{life}")));
        not_opened += u64::from(told.remarks.iter().any(|remark| remark.starts_with("not opened")));
    }
    assert!(not_opened > 20, "no read that failed kept the log from opening: {not_opened}");
    run.end();
}

fn build_shim(dir: &Path) -> PathBuf {
    let shim = dir.join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/disk/shim.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut build = Command::new(compiler);
    build.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&shim).arg(source);
    assert!(build.arg("-pthread").status().expect("a C compiler is installed").success(), "the shim does not compile");
    shim
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is {value:?}, not a number")))
}

#[test]
fn a_life_of_its_own() {
    life::live();
}

#[test]
fn nothing_acknowledged_is_lost_on_a_disk_that_fails() {
    let base = directory_in_memory("touchmark-faults-");
    let shim = build_shim(base.path());
    let first = number("TOUCHMARK_FAULTS_FIRST").unwrap_or(1);
    let only = number("TOUCHMARK_FAULTS_SEED");
    let end = Instant::now() + Duration::from_secs(number("TOUCHMARK_FAULTS_SECONDS").unwrap_or(SECONDS));
    let next = AtomicU64::new(only.unwrap_or(first));
    let failed: Mutex<Vec<u64>> = Mutex::default();
    let total: Mutex<Tally> = Mutex::default();
    let workers =
        if only.is_some() { 1 } else { std::thread::available_parallelism().map_or(2, |cores| cores.get() + 1) };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if only.is_some_and(|only| seed > only) || Instant::now() > end {
                        break;
                    }
                    match catch_unwind(AssertUnwindSafe(|| run(seed, &shim, base.path(), only.is_some()))) {
                        Ok(tally) => total.lock().unwrap().add(&tally),
                        Err(_) => failed.lock().unwrap().push(seed),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{}", total.into_inner().unwrap().line());
    if !failed.is_empty() {
        let kept = base.keep();
        panic!("failed seeds: {failed:?}; run `cargo xtask faults --seed N`; what they left is in {}", kept.display());
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.power_cuts += other.power_cuts;
        self.failed_operations += other.failed_operations;
        self.stopped += other.stopped;
        self.not_opened += other.not_opened;
        self.acknowledged += other.acknowledged;
    }

    fn line(&self) -> String {
        let Self { lives, power_cuts, failed_operations, stopped, not_opened, acknowledged } = self;
        format!(
            "{} seeds, {lives} lives, {power_cuts} power cuts, {failed_operations} operations failed, the log stopped {stopped} times and was not \
             opened {not_opened} times under a fault; {acknowledged} acknowledgements, none lost",
            lives / LIVES
        )
    }
}
