// SPDX-License-Identifier: Apache-2.0
//! `touchmark log fsck`: the files of logs that do not run, or what a monitoring prefix serves.

use std::path::PathBuf;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use touchmark_sequencer::{
    FindingKind, Findings, FjallLedger, FsObjects, HashTiles, Hears, LedgerError, Served, StoredLog, Tiles,
    check_served, check_stored,
};
use touchmark_server::{LogFiles, LogKind};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey, SignedNote};
use touchmark_tlog::{Hash, TreeSize};
use url::Url;

use super::places::{self, PlaceArgs};
use super::tiles::{Directory, Prefix};
use crate::commands::block_on;
use crate::commands::up::server_failure;
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};
use crate::trust::TrustArgs;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Check this log alone; may be given several times [default: all]
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    log: Vec<String>,
    /// The anchor of the log, if the configuration does not name it
    #[arg(long, value_name = "FILE", requires = "log")]
    anchor: Option<PathBuf>,
    /// Check what is served here: the monitoring prefix of a log, such as http://127.0.0.1:7700/log/NAME
    #[arg(long, value_name = "URL", group = "served", conflicts_with_all = ["data_dir", "config"])]
    url: Option<Url>,
    /// Check a directory that has the files of a monitoring prefix, such as a backup
    #[arg(long, value_name = "DIR", group = "served", conflicts_with_all = ["data_dir", "config", "log"])]
    copy: Option<PathBuf>,
    /// Verifier key of the log behind --url or --copy (C2SP signed-note), in place of a trusted root
    #[arg(long, value_name = "VKEY", requires = "served", conflicts_with = "trusted_root")]
    vkey: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What became of one log.
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) kind: LogKind,
    /// Directory or URL.
    pub(super) place: String,
    pub(super) size: TreeSize,
    pub(super) root: Hash,
    /// Objects that the next start publishes.
    pub(super) unpublished: u64,
    pub(super) findings: Findings,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let verdicts = match (&args.url, &args.copy) {
        (Some(url), _) => {
            let prefix = Prefix::new(args.trust.store.outbound()?, url);
            vec![served(args, &prefix, url.to_string(), printer)?]
        }
        (None, Some(copy)) => vec![served(args, &Directory(copy.clone()), copy.display().to_string(), printer)?],
        (None, None) => offline(args, printer)?,
    };
    report(&verdicts, args.output, printer)
}

fn offline(args: &Args, printer: Printer) -> Result<Vec<Verdict>, Failure> {
    let inventory = args.place.inventory()?;
    let logs = places::chosen(&inventory, &args.log)?;
    if args.anchor.is_some() && logs.len() != 1 {
        return Err(Failure::new(ExitStatus::Usage, "--anchor is of one log").hint("name that log alone with --log"));
    }
    let root = places::trusted_root(&inventory, args.trust.trusted_root.as_ref())?;
    let _held = inventory.hold(&logs).map_err(|error| {
        server_failure(&error).hint("to check a log while its server runs, name its address with --url")
    })?;
    let check = |log: &&LogFiles| {
        let anchor = args.anchor.clone().or_else(|| log.anchor.clone());
        stored(&LogFiles { anchor, ..(*log).clone() }, &root, printer)
    };
    logs.iter().map(check).collect()
}

/// Checks the files of a log that the caller holds.
pub(super) fn stored(log: &LogFiles, root: &TrustedRoot, printer: Printer) -> Result<Verdict, Failure> {
    let keys = places::note_keys(log, root)?;
    let mut verdict = Verdict {
        name: log.name.clone(),
        kind: log.kind,
        place: log.directory.display().to_string(),
        size: TreeSize(0),
        root: touchmark_tlog::empty_root(),
        unpublished: 0,
        findings: Findings::default(),
    };
    let ledger_directory = log.directory.join("ledger");
    // Opening would make a new one, and an empty log under an old name is a fork.
    if !ledger_directory.join("store").is_dir() {
        verdict.findings.add(FindingKind::LedgerUnreadable, ledger_directory.display(), "a ledger", "none");
        return Ok(verdict);
    }
    let ledger = match FjallLedger::open(&ledger_directory) {
        Ok(ledger) => ledger,
        Err(error @ (LedgerError::Damaged { .. } | LedgerError::Schema { .. })) => {
            verdict.findings.add(FindingKind::LedgerUnreadable, ledger_directory.display(), "a ledger", error);
            return Ok(verdict);
        }
        Err(error) => return Err(unreadable(log, &error)),
    };
    let objects = FsObjects::open(log.directory.join("objects")).map_err(|error| unreadable(log, &error))?;
    let stored = StoredLog {
        origin: &log.name,
        keys: &keys,
        format: log.kind.entry_format(),
        ledger: &ledger,
        objects: &objects,
        anchor: log.anchor.as_deref(),
    };
    let bar = printer.counter(0, "checking entries");
    let report = block_on(async {
        check_stored(stored, &mut |done, of| advance(&bar, done, of)).await.map_err(|error| unreadable(log, &error))
    });
    bar.finish_and_clear();
    let report = report?;
    (verdict.size, verdict.root) = (report.size, report.root);
    (verdict.unpublished, verdict.findings) = (report.unpublished, report.findings);
    Ok(verdict)
}

fn unreadable(log: &LogFiles, error: &dyn std::error::Error) -> Failure {
    Failure::from_error(ExitStatus::Unreadable, error).about(&log.name)
}

pub(super) fn advance(bar: &ProgressBar, done: TreeSize, of: TreeSize) {
    bar.set_length(of.0);
    bar.set_position(done.0);
}

fn served<T: Tiles>(args: &Args, tiles: &T, place: String, printer: Printer) -> Result<Verdict, Failure> {
    let note = block_on(async { tiles.read("checkpoint").await.map_err(|error| unreachable(&error)) })?;
    let note = note.ok_or_else(|| {
        Failure::new(ExitStatus::Network, format!("there is no checkpoint at {place}"))
            .hint("name the monitoring prefix of a log, such as http://127.0.0.1:7700/log/NAME")
    })?;
    let (origin, kind, keys) = match &args.vkey {
        Some(vkey) => by_vkey(vkey)?,
        None => by_origin(&note, &args.trust.for_verifying(printer)?)?,
    };
    let bar = printer.counter(0, "checking entries");
    let served = Served {
        origin: &origin,
        keys: &keys,
        format: kind.entry_format(),
        tiles,
        hash_tiles: HashTiles::Compared,
        earlier: None,
    };
    let mut progress = |done, of| advance(&bar, done, of);
    let hears = Hears { take: &mut |_| Ok(()), progress: &mut progress };
    let report = block_on(async { check_served(served, hears).await.map_err(|error| unreachable(&error)) });
    bar.finish_and_clear();
    let report = report?;
    Ok(Verdict {
        name: origin,
        kind,
        place,
        size: report.size,
        root: report.root,
        unpublished: 0,
        findings: report.findings,
    })
}

pub(super) fn unreachable(error: &dyn std::error::Error) -> Failure {
    Failure::from_error(ExitStatus::Network, error)
        .hint("what was checked so far says nothing about the rest: try again")
}

/// A verifier key names its log and says how it signs, and so what kind of log it is.
fn by_vkey(vkey: &str) -> Result<(String, LogKind, Vec<NoteKey>), Failure> {
    let key =
        NoteKey::parse_vkey(vkey).map_err(|error| Failure::from_error(ExitStatus::Usage, &error).about("--vkey"))?;
    let kind = if key.algorithm() == NoteAlgorithm::Rfc6962 { LogKind::Ct } else { LogKind::Rekor };
    Ok((key.name().to_owned(), kind, vec![key]))
}

/// The log that the checkpoint says it is of, if the trusted root has its keys.
fn by_origin(note: &[u8], root: &TrustedRoot) -> Result<(String, LogKind, Vec<NoteKey>), Failure> {
    let checkpoint = SignedNote::parse(note).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
    let origin = checkpoint.map(|checkpoint| checkpoint.origin).ok_or_else(|| {
        Failure::new(ExitStatus::Unreadable, "what is served as checkpoint is none")
            .hint("name the monitoring prefix of a log, such as http://127.0.0.1:7700/log/NAME")
    })?;
    for kind in [LogKind::Rekor, LogKind::Ct] {
        let keys = kind.note_keys(&origin, root);
        if !keys.is_empty() {
            return Ok((origin, kind, keys));
        }
    }
    Err(Failure::new(ExitStatus::TrustRoot, format!("the trusted root has no key of a log {origin}"))
        .hint("name another one with --trusted-root FILE, or the log's key with --vkey"))
}

pub(super) fn report(verdicts: &[Verdict], output: Output, printer: Printer) -> Result<(), Failure> {
    match output {
        Output::Json => {
            let good = verdicts.iter().all(|verdict| verdict.findings.count() == 0);
            let logs: Vec<Value> = verdicts.iter().map(to_json).collect();
            printer.result(json!({ "version": 1, "good": good, "logs": logs }));
        }
        Output::Text => verdicts.iter().for_each(|verdict| print(verdict, printer)),
    }
    let count: u64 = verdicts.iter().map(|verdict| verdict.findings.count()).sum();
    if count == 0 {
        return Ok(());
    }
    let failure = Failure::new(ExitStatus::Tampered, format!("{count} findings in {} logs", verdicts.len()));
    Err(if output == Output::Json { failure.reported() } else { failure })
}

fn print(verdict: &Verdict, printer: Printer) {
    let Verdict { name, size, root, unpublished, findings, .. } = verdict;
    let outcome = match findings.count() {
        0 => "no finding".to_owned(),
        count => format!("{count} findings"),
    };
    printer.result(printable(format_args!("{name}: {size} entries, root {root}: {outcome}")));
    if *unpublished > 0 {
        printer.result(format_args!("    {unpublished} objects are not published yet; the next start does it"));
    }
    for finding in findings.list() {
        printer.result(printable(format_args!("  [{}] {finding}\n{}", finding.kind.code(), finding.kind.advice())));
    }
    if findings.more() > 0 {
        printer.result(format_args!("  and {} more", findings.more()));
    }
}

fn to_json(verdict: &Verdict) -> Value {
    let finding = |finding: &touchmark_sequencer::Finding| {
        json!({
            "code": finding.kind.code(),
            "object": finding.object,
            "expected": finding.expected,
            "found": finding.found,
            "advice": finding.kind.advice(),
        })
    };
    json!({
        "name": verdict.name,
        "kind": verdict.kind.name(),
        "place": verdict.place,
        "size": verdict.size.0,
        "root": verdict.root.to_string(),
        "unpublishedObjects": verdict.unpublished,
        "findings": verdict.findings.list().iter().map(finding).collect::<Vec<_>>(),
        "moreFindings": verdict.findings.more(),
    })
}
