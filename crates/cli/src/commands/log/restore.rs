// SPDX-License-Identifier: Apache-2.0
//! `touchmark log restore`: the files of a log out of a backup, if the log may go on from there.
//!
//! A log that goes on from an older state signs another history than it has signed before: a fork, which nobody forgives a log. So a backup is
//! put in place only if something proves that nothing newer was signed: an anchor or the newest checkpoint, of the very tree that the backup has,
//! or the log's own final checkpoint. Something that shows a newer tree forbids it, whatever flags are given.
//!
//! The log is written beside its place, checked as `fsck` does, and then renamed. A crash before that leaves a directory that nobody looks for
//! and that the next restore removes.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_sequencer::{FjallLedger, FsObjects, HashTiles, Restored, RestoredAs, Served, restore};
use touchmark_server::{LogFiles, LogState};
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NOTE_BYTES_MAX, NoteKey, SignedNote};
use touchmark_tlog::{Hash, TreeSize};

use super::backup::{SEAL, sealed};
use super::fsck::{advance, report, stored};
use super::places::{self, PlaceArgs};
use super::tiles::Directory;
use crate::commands::block_on;
use crate::commands::up::server_failure;
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;
use crate::printer::{Printer, printable};

/// How the final checkpoint of a frozen log begins its line about that; a date follows as Go's `time.UnixDate` writes it.
const FINAL_LINE: &str = "Log frozen — ";
const FINAL_DATE: &str = "%a %b %e %H:%M:%S UTC %Y";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// The backup of one log: the directory that holds its backup.json
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The newest checkpoint of this log that anybody has, from a witness, a monitor or the directory that was lost
    #[arg(long, value_name = "FILE")]
    newest_checkpoint: Option<PathBuf>,
    /// The anchor of the log, if the configuration does not name it
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Go on although the log may have signed more than the backup holds: readers who saw that will call the log forked
    #[arg(long)]
    risk_forking_the_log: bool,
    /// Trusted root with the keys of the logs [default: the one that the data directory hands out]
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A signed tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    size: TreeSize,
    root: Hash,
    /// The time of the freeze, if this is the final checkpoint of a log.
    frozen_ms: Option<u64>,
    /// The time of the signature, if it has one.
    signed_ms: Option<u64>,
}

/// Why a log may go on from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grounds {
    /// The newest signed tree is the backup's.
    NothingNewer,
    /// The backup has the log's final checkpoint.
    Final,
    /// Nothing but the operator's word.
    Risked,
}

/// Why it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refused {
    /// A larger tree was signed.
    Newer { what: String, size: TreeSize },
    /// Another tree of the same size was signed.
    Other { what: String },
    /// It is not known.
    NoProof,
}

/// What the operator accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Risk {
    None,
    Fork,
}

fn decide(copy: &Head, evidence: &[(String, Head)], risk: Risk) -> Result<Grounds, Refused> {
    if let Some((what, head)) = evidence.iter().find(|(_, head)| head.size > copy.size) {
        return Err(Refused::Newer { what: what.clone(), size: head.size });
    }
    let mut same_size = evidence.iter().filter(|(_, head)| head.size == copy.size).peekable();
    let proven = same_size.peek().is_some();
    if let Some((what, _)) = same_size.find(|(_, head)| head.root != copy.root) {
        return Err(Refused::Other { what: what.clone() });
    }
    match (proven, copy.frozen_ms, risk) {
        (true, _, _) => Ok(Grounds::NothingNewer),
        (false, Some(_), _) => Ok(Grounds::Final),
        (false, None, Risk::Fork) => Ok(Grounds::Risked),
        (false, None, Risk::None) => Err(Refused::NoProof),
    }
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    // 1. What the backup is of, and where that belongs.
    let inventory = args.place.inventory()?;
    let seal = seal(&args.from)?;
    let name = seal["name"].as_str().unwrap_or_default().to_owned();
    let logs = places::chosen(&inventory, std::slice::from_ref(&name))?;
    let log = *logs.first().expect("a name that was chosen is one log");
    let root = places::trusted_root(&inventory, args.trusted_root.as_ref())?;
    let keys = places::note_keys(log, &root)?;
    let _held = inventory.hold(&logs).map_err(|error| server_failure(&error))?;
    refuse_occupied(log)?;
    // 2. Whether the log may go on from there.
    if let Some(newest) = &args.newest_checkpoint {
        refuse_own_checkpoint(newest, &args.from)?;
    }
    let copy = head(&args.from.join("checkpoint"), log, &keys)?;
    let anchor = args.anchor.clone().or_else(|| log.anchor.clone());
    let risk = if args.risk_forking_the_log { Risk::Fork } else { Risk::None };
    let evidence = evidence(log, &keys, anchor.as_deref(), args.newest_checkpoint.as_deref())?;
    let grounds = decide(&copy, &evidence, risk).map_err(|refused| failure(log, &copy, refused))?;
    // 3. Beside its place; checked; in its place.
    let staging = staging(log)?;
    let staged = LogFiles { directory: staging.clone(), anchor, ..log.clone() };
    write(args, &staged, &keys, restored_as(&seal, log, &copy), printer)?;
    let verdict = stored(&staged, &root, printer)?;
    if verdict.findings.count() > 0 {
        return report(&[verdict], args.output, printer);
    }
    put_in_place(&staging, &log.directory).map_err(|error| unwritten(&log.directory, error))?;
    if grounds == Grounds::Risked {
        printer.warning(format_args!(
            "{name}: nothing proves that the log signed nothing newer; readers may find it forked"
        ));
    }
    let (size, root) = (verdict.size, verdict.root);
    match args.output {
        Output::Text => {
            printer.result(printable(format_args!("{name}: restored, {size} entries, root {root}: no finding")))
        }
        Output::Json => {
            let proven = grounds != Grounds::Risked;
            let (size, root) = (size.0, root.to_string());
            printer.result(
                json!({ "version": 1, "name": name, "size": size, "root": root, "nothingNewerProven": proven }),
            );
        }
    }
    Ok(())
}

fn seal(from: &Path) -> Result<Value, Failure> {
    sealed(from).filter(|seal| seal["version"] == 1).ok_or_else(|| {
        let message =
            format!("{} holds no whole backup: there is no {SEAL}, or it is of another version", from.display());
        Failure::new(ExitStatus::Unreadable, message)
            .hint("name the directory of one log below that of `touchmark log backup --to`")
    })
}

/// That of the backup says nothing of what was signed later.
fn refuse_own_checkpoint(newest: &Path, from: &Path) -> Result<(), Failure> {
    let (Ok(newest), Ok(from)) = (fs::canonicalize(newest), fs::canonicalize(from)) else { return Ok(()) };
    if !newest.starts_with(&from) {
        return Ok(());
    }
    let message =
        format!("{} is the backup's own checkpoint: it says nothing of what the log signed later", newest.display());
    Err(Failure::new(ExitStatus::Usage, message)
        .hint("name the newest checkpoint that anybody else has: the log's old directory, a witness, a monitor, the last bundle"))
}

/// A directory that holds anything is somebody's evidence.
fn refuse_occupied(log: &LogFiles) -> Result<(), Failure> {
    let occupied = match fs::read_dir(&log.directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        entries => entries
            .map_err(|error| unwritten(&log.directory, error))?
            .any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lock")),
    };
    if !occupied {
        return Ok(());
    }
    let place = log.directory.display();
    Err(Failure::new(ExitStatus::Usage, format!("{place} holds a log; nothing is written over it"))
        .hint("move it away, and keep it: what it published last is in objects/tree/checkpoint there")
        .hint("then name that file with --newest-checkpoint; after a kill it signed more than that: let a server start and stop on it first, if one can")
)
}

/// A checkpoint of the log.
fn head(path: &Path, log: &LogFiles, keys: &[NoteKey]) -> Result<Head, Failure> {
    let shown = path.display();
    let bytes = paths::read_limited(path, NOTE_BYTES_MAX as u64)
        .map_err(|error| Failure::new(ExitStatus::Unreadable, format!("{shown} could not be read")).because(error))?;
    let not_ours = |because: &dyn std::fmt::Display| {
        Failure::new(ExitStatus::Tampered, format!("{shown} is no checkpoint of {}", log.name)).because(because)
    };
    let note = SignedNote::parse(&bytes).map_err(|error| not_ours(&error))?;
    let verified = keys.iter().find_map(|key| key.verify(&note).ok());
    let verified = verified.ok_or_else(|| not_ours(&"it is not signed with the log's key"))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| not_ours(&error))?;
    if checkpoint.origin != log.name {
        return Err(not_ours(&format_args!("its origin is {:?}", checkpoint.origin)));
    }
    let frozen = checkpoint.extensions.iter().find_map(|line| line.strip_prefix(FINAL_LINE));
    let undated = || not_ours(&"it says that the log was frozen, but not when");
    let frozen_ms = frozen.map(|date| date_ms(date).ok_or_else(undated)).transpose()?;
    Ok(Head { size: checkpoint.size, root: checkpoint.root, frozen_ms, signed_ms: verified.timestamp_ms() })
}

fn date_ms(date: &str) -> Option<u64> {
    let date = jiff::fmt::strtime::parse(FINAL_DATE, date).ok()?.to_datetime().ok()?;
    let date = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    u64::try_from(date.timestamp().as_millisecond()).ok()
}

fn evidence(
    log: &LogFiles,
    keys: &[NoteKey],
    anchor: Option<&Path>,
    newest: Option<&Path>,
) -> Result<Vec<(String, Head)>, Failure> {
    let mut evidence = Vec::new();
    for (what, path) in [("the anchor", anchor), ("the newest checkpoint", newest)] {
        let Some(path) = path else { continue };
        // An anchor that was made by hand says nothing yet.
        if what == "the anchor" && path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            continue;
        }
        evidence.push((format!("{what} {}", path.display()), head(path, log, keys)?));
    }
    Ok(evidence)
}

fn failure(log: &LogFiles, copy: &Head, refused: Refused) -> Failure {
    let (name, size) = (&log.name, copy.size);
    match refused {
        Refused::Newer { what, size: newer } => {
            let message = format!("{name}: the backup has {size} entries, but {what} shows that {newer} were signed");
            Failure::new(ExitStatus::Refused, message)
                .hint("restore a newer backup; without one this log has ended, and a new one takes its place (touchmark log rotate)")
                .hint("no flag overrides this: the log would be forked for certain")
        }
        Refused::Other { what } => {
            let message = format!("{name}: {what} is of another tree of {size} entries than the backup");
            Failure::new(ExitStatus::Tampered, message)
                .hint("the log has signed two histories: keep the backup and the checkpoint as evidence")
        }
        Refused::NoProof => {
            let message =
                format!("{name}: nothing proves that the log signed nothing after the {size} entries of this backup");
            Failure::new(ExitStatus::Refused, message)
                .hint(
                    "name the newest checkpoint that anybody has with --newest-checkpoint, or the anchor with --anchor",
                )
                .hint("without either, a new log takes its place: `touchmark log rotate` announces and opens it")
                .hint(
                    "--risk-forking-the-log goes on all the same; who saw a newer checkpoint will call the log forked",
                )
        }
    }
}

/// Entries of a Rekor log have the time of the backup; a log that has ended stays so.
fn restored_as(seal: &Value, log: &LogFiles, copy: &Head) -> RestoredAs {
    let taken = seal["taken"].as_str().and_then(|taken| taken.parse::<Timestamp>().ok()).unwrap_or_else(Timestamp::now);
    let taken_ms = u64::try_from(taken.as_millisecond()).unwrap_or(0);
    let ended = (log.state == LogState::Frozen).then(|| copy.signed_ms.unwrap_or(taken_ms));
    RestoredAs { time_ms: taken_ms, frozen_ms: copy.frozen_ms.or(ended) }
}

fn staging(log: &LogFiles) -> Result<PathBuf, Failure> {
    let mut staging = log.directory.clone().into_os_string();
    staging.push(".restoring");
    let staging = PathBuf::from(staging);
    match fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritten(&staging, error)),
        _ => {}
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&staging);
    made.map_err(|error| unwritten(&staging, error))?;
    Ok(staging)
}

fn write(
    args: &Args,
    staged: &LogFiles,
    keys: &[NoteKey],
    restored_as: RestoredAs,
    printer: Printer,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(ExitStatus::Unreadable, error).about(&staged.name);
    let ledger = FjallLedger::open(staged.directory.join("ledger")).map_err(|error| failed(&error))?;
    let objects = FsObjects::open(staged.directory.join("objects")).map_err(|error| failed(&error))?;
    let tiles = Directory(args.from.clone());
    let format = staged.kind.entry_format();
    let served =
        Served { origin: &staged.name, keys, format, tiles: &tiles, hash_tiles: HashTiles::Compared, earlier: None };
    let bar = printer.counter(0, "checking the backup");
    let mut progress = |done, of| advance(&bar, done, of);
    let restored = block_on(async {
        restore(served, (&ledger, &objects), restored_as, &mut progress).await.map_err(|error| failed(&error))
    });
    bar.finish_and_clear();
    match restored? {
        Restored::Whole(_) => Ok(()),
        Restored::Refused(report) => {
            let count = report.findings.count();
            let failure =
                Failure::new(ExitStatus::Tampered, format!("the backup has {count} findings; nothing was restored"));
            Err(match report.findings.list().first() {
                Some(first) => failure.detail("first", first),
                None => failure,
            })
        }
    }
}

fn put_in_place(staging: &Path, place: &Path) -> io::Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(staging, place)?;
    match place.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn unwritten(path: &Path, error: io::Error) -> Failure {
    Failure::new(ExitStatus::Unreadable, format!("{} could not be read or written", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64, root: u8) -> Head {
        Head { size: TreeSize(size), root: Hash([root; 32]), frozen_ms: None, signed_ms: None }
    }

    #[track_caller]
    fn check(evidence: &[(u64, u8)], risk: Risk, expected: Result<Grounds, &str>) {
        let evidence: Vec<_> =
            evidence.iter().map(|(size, root)| ("evidence".to_owned(), head(*size, *root))).collect();
        let decided = decide(&head(10, 1), &evidence, risk).map_err(|refused| match refused {
            Refused::Newer { .. } => "newer",
            Refused::Other { .. } => "other",
            Refused::NoProof => "no proof",
        });
        assert_eq!(decided, expected, "{evidence:?} {risk:?}");
    }

    #[test]
    fn only_the_very_tree_proves_that_nothing_newer_was_signed() {
        check(&[], Risk::None, Err("no proof"));
        check(&[(9, 1)], Risk::None, Err("no proof"));
        check(&[(10, 1)], Risk::None, Ok(Grounds::NothingNewer));
        check(&[(9, 1), (10, 1)], Risk::None, Ok(Grounds::NothingNewer));
        check(&[], Risk::Fork, Ok(Grounds::Risked));
        check(&[(9, 1)], Risk::Fork, Ok(Grounds::Risked));
    }

    #[test]
    fn a_newer_or_another_tree_forbids_it_whatever_is_risked() {
        for risk in [Risk::None, Risk::Fork] {
            check(&[(11, 1)], risk, Err("newer"));
            check(&[(10, 1), (11, 1)], risk, Err("newer"));
            check(&[(10, 2)], risk, Err("other"));
            check(&[(10, 1), (10, 2)], risk, Err("other"));
        }
    }

    #[test]
    fn the_date_of_a_freeze_is_read_as_the_log_writes_it() {
        assert_eq!(date_ms("Sun Nov 22 10:00:00 UTC 2026"), Some(1_795_341_600_000));
        assert_eq!(date_ms("Sun Nov  1 01:02:01 UTC 2026"), Some(1_793_494_921_000));
        assert_eq!(date_ms("1795341600"), None);
    }

    #[test]
    fn a_final_checkpoint_proves_it_by_itself() {
        let frozen = Head { frozen_ms: Some(1), ..head(10, 1) };
        assert_eq!(decide(&frozen, &[], Risk::None), Ok(Grounds::Final));
        let newer = [("evidence".to_owned(), head(11, 1))];
        assert!(decide(&frozen, &newer, Risk::None).is_err());
    }
}
