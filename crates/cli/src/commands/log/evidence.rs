// SPDX-License-Identifier: Apache-2.0
//! `touchmark log evidence verify`: when did the trees of a log exist? Offline, from stamped checkpoints.
//!
//! The pieces are verified one by one, then as a series in the order of their times: a log that shrank or forked contradicts itself.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_sigstore::evidence::{EVIDENCE_BYTES_MAX, Evidence, EvidenceFailure, VerifiedEvidence, agree};
use touchmark_sigstore::trust::TrustedRoot;

use super::super::version::Output;
use super::proof::{by_name, by_vkey};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;
use crate::printer::Printer;
use crate::trust::TrustArgs;

/// The most pieces of one call; an archive has 4096.
const PIECES_MAX: usize = 16_384;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify stamped checkpoints, offline: the log's signature, the timestamps, and that the pieces agree
    Verify(Box<VerifyArgs>),
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// Pieces of evidence, or directories of them (`evidence` in a log's directory)
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Verifier key of the log (C2SP signed-note), in place of the trusted root's; authorities stay those of the trusted root
    #[arg(long, value_name = "VKEY")]
    vkey: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let Command::Verify(args) = &args.command;
    let files = files(&args.paths)?;
    let root = args.trust.for_verifying(printer)?.prepared();
    let now = Timestamp::now();
    let judged = files.iter().map(|path| Ok((path, judge(args, path, &root, now)?)));
    let mut pieces: Vec<(&PathBuf, VerifiedEvidence)> = judged.collect::<Result<_, Failure>>()?;
    pieces.sort_by_key(|(_, piece)| (piece.checkpoint().origin.clone(), piece.checkpoint().size, piece.time()));
    for pair in pieces.windows(2) {
        let [(_, earlier), (path, later)] = pair else { continue };
        if earlier.checkpoint().origin == later.checkpoint().origin {
            agree(earlier, later).map_err(|error| {
                Failure::new(ExitStatus::Tampered, format!("{} contradicts the piece before it", path.display()))
                    .because(error)
            })?;
        }
    }
    report(args.output, &pieces, printer);
    Ok(())
}

fn judge(args: &VerifyArgs, path: &Path, root: &TrustedRoot, now: Timestamp) -> Result<VerifiedEvidence, Failure> {
    let unusable = |status, error: &dyn std::fmt::Display| {
        Failure::new(status, format!("{} proves nothing", path.display())).because(error)
    };
    let bytes = paths::read_limited(path, EVIDENCE_BYTES_MAX as u64);
    let bytes = bytes.map_err(|error| unusable(ExitStatus::Unreadable, &error))?;
    let evidence = Evidence::parse(&bytes).map_err(|error| unusable(ExitStatus::Unreadable, &error))?;
    let keys = match &args.vkey {
        Some(vkey) => by_vkey(vkey)?,
        None => by_name(evidence.note(), root)?,
    };
    let mut failure = None;
    for key in &keys {
        match evidence.verify(key, root, now) {
            Ok(verified) => return Ok(verified),
            Err(found @ EvidenceFailure::Note(_)) => {
                failure.get_or_insert(found);
            }
            Err(found) => failure = Some(found),
        }
    }
    match failure {
        Some(failure) => Err(unusable(ExitStatus::Untrusted, &failure)),
        None => Err(unusable(ExitStatus::Untrusted, &"no key of the log")),
    }
}

/// The files themselves, and the numbered ones of a directory.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error: std::io::Error| {
            Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
        };
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
                files.push(entry.path());
            }
        }
    }
    if files.is_empty() || files.len() > PIECES_MAX {
        let message = format!("expected 1 to {PIECES_MAX} pieces of evidence, found {}", files.len());
        return Err(Failure::new(ExitStatus::Usage, message));
    }
    Ok(files)
}

fn report(output: Output, pieces: &[(&PathBuf, VerifiedEvidence)], printer: Printer) {
    match output {
        Output::Text => {
            for (path, piece) in pieces {
                let (time, checkpoint) = (piece.time(), piece.checkpoint());
                let text = format_args!("by {time} {} had a tree of {} entries", checkpoint.origin, checkpoint.size);
                printer.passed(path.display(), text);
                for authority in piece.unknown() {
                    printer.note(format_args!("  not counted: {authority}, which the trusted root does not know"));
                }
            }
        }
        Output::Json => {
            let pieces: Vec<Value> = pieces.iter().map(|(path, piece)| to_json(path, piece)).collect();
            printer.result(json!({ "version": 1, "evidence": pieces }));
        }
    }
}

fn to_json(path: &Path, piece: &VerifiedEvidence) -> Value {
    let checkpoint = piece.checkpoint();
    json!({
        "file": path.display().to_string(),
        "origin": checkpoint.origin,
        "treeSize": checkpoint.size.0,
        "rootHash": hex::encode(checkpoint.root.0),
        "time": piece.time().to_string(),
        "timestamps": piece.times().iter().map(|time| json!({ "authority": time.authority(), "time": time.time().to_string() })).collect::<Vec<_>>(),
        "unknownAuthorities": piece.unknown(),
    })
}
