// SPDX-License-Identifier: Apache-2.0
//! `touchmark log list`: which logs are there, and how far are they? It reads published checkpoints alone, and so works beside a running
//! server, whose checkpoint object is at most about a second old.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_server::{LogFiles, LogState};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NOTE_BYTES_MAX, SignedNote};

use super::places::{self, PlaceArgs};
use crate::commands::version::Output;
use crate::failure::Failure;
use crate::paths;
use crate::printer::{Printer, printable};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
    /// Trusted root with the keys of the logs [default: the one that the data directory hands out]
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What the published checkpoint of a log says.
struct Published {
    checkpoint: Checkpoint,
    /// When it was signed, if the signature says so, else when it was written.
    at: Option<Timestamp>,
}

/// A log has no checkpoint before it was started for the first time.
type Found = Result<Option<Published>, String>;

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let inventory = args.place.inventory()?;
    let root = match (&args.trusted_root, inventory.trusted_root()) {
        (None, None) => None,
        (named, _) => Some(places::trusted_root(&inventory, named.as_ref())?),
    };
    let logs: Vec<(&LogFiles, Found)> =
        inventory.logs().iter().map(|log| (log, published(log, root.as_ref()))).collect();
    match args.output {
        Output::Json => {
            let logs: Vec<Value> = logs.iter().map(|(log, found)| to_json(log, found)).collect();
            printer.result(json!({ "version": 1, "logs": logs }));
        }
        Output::Text => {
            for (log, found) in &logs {
                printer.result(printable(line(log, found)));
            }
        }
    }
    Ok(())
}

fn published(log: &LogFiles, root: Option<&TrustedRoot>) -> Found {
    let path = log.directory.join("objects/tree/checkpoint");
    let bytes = match paths::read_limited(&path, NOTE_BYTES_MAX as u64) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let note = SignedNote::parse(&bytes).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    let mut signed_ms = None;
    if let Some(root) = root {
        let keys = log.kind.note_keys(&log.name, root);
        let verified = keys.iter().find_map(|key| key.verify(&note).ok());
        let verified = verified.ok_or("the checkpoint is not signed with the log's key; see touchmark log fsck")?;
        signed_ms = verified.timestamp_ms();
    }
    let signed = signed_ms.and_then(|ms| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
    let written =
        || Timestamp::try_from(path.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)).ok();
    Ok(Some(Published { checkpoint, at: signed.or_else(written) }))
}

/// A final checkpoint says of itself that it is one.
fn state(log: &LogFiles, found: &Found) -> &'static str {
    let said_so = matches!(found, Ok(Some(published))
        if published.checkpoint.extensions.iter().any(|line| line.starts_with("Log frozen")));
    match log.state {
        _ if said_so => "frozen",
        LogState::Frozen => "frozen",
        LogState::Next => "next",
        LogState::Active => "active",
        LogState::Retired => "retired",
    }
}

fn line(log: &LogFiles, found: &Found) -> String {
    let begin = format!("{:<6} {:<7} {}", log.kind.name(), state(log, found), log.name);
    match found {
        Ok(Some(Published { checkpoint, at })) => {
            let at = at.map_or_else(|| "unknown".to_owned(), |at| format!("{at:.0}"));
            format!("{begin}\nsize {}\nroot {}\ncheckpoint of {at}", checkpoint.size, checkpoint.root)
        }
        Ok(None) => format!("{begin}\nno checkpoint yet"),
        Err(problem) => format!("{begin}\ncheckpoint unreadable: {problem}"),
    }
}

fn to_json(log: &LogFiles, found: &Found) -> Value {
    let published = found.as_ref().ok().and_then(Option::as_ref);
    json!({
        "name": log.name,
        "kind": log.kind.name(),
        "state": state(log, found),
        "directory": log.directory,
        "size": published.map(|published| published.checkpoint.size.0),
        "root": published.map(|published| published.checkpoint.root.to_string()),
        "checkpointTime": published.and_then(|published| published.at).map(|at| at.to_string()),
        "error": found.as_ref().err(),
    })
}
