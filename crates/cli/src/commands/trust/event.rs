// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust event …`: the one pending change.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::json;
use touchmark_trust::ceremony::{Ceremony, CeremonyError, Change, Collected, Event, ONLINE, Solo, collect, read_file};
use touchmark_trust::diff::differences;

use super::report::{event_json, print_event, print_standing, standing_json};
use super::{DirArgs, StepArgs, failure};
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the pending change; the first one makes the first root, of all who have enrolled
    New(Box<NewArgs>),
    /// Say who has signed and who is missing
    Status(ShowArgs),
    /// Say what it changes
    Diff(ShowArgs),
    /// Put it away, with its signatures
    Abort(StepArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct NewArgs {
    #[command(flatten)]
    step: StepArgs,
    /// Why, for those who are asked to sign
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Publish FILE as the target NAME; may be given several times
    #[arg(long = "target", value_name = "NAME=FILE", value_parser = target)]
    targets: Vec<(String, PathBuf)>,
    /// Take a target out
    #[arg(long, value_name = "NAME")]
    remove_target: Vec<String>,
    /// Add a holder who has enrolled
    #[arg(long, value_name = "NAME")]
    add_holder: Vec<String>,
    /// Remove a holder
    #[arg(long, value_name = "NAME")]
    remove_holder: Vec<String>,
    /// Exchange the key of a holder by the one that he has enrolled now
    #[arg(long, value_name = "NAME")]
    replace_key: Vec<String>,
    /// How many holders must sign from now on
    #[arg(long, value_name = "NUMBER")]
    threshold: Option<u32>,
    /// Let one holder alone be the trust root
    #[arg(long)]
    solo: bool,
    /// Exchange the key of snapshot and timestamp by the one that was enrolled as `online`
    #[arg(long)]
    replace_online_key: bool,
    /// Sign root and targets anew although nothing else changes
    #[arg(long)]
    renew: bool,
    /// Let clients sign with a new service before every verifier knows its key: some will refuse what is signed meanwhile
    #[arg(long)]
    sign_before_verifiers_know: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    place: DirArgs,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// `NAME=FILE`.
pub(super) fn target(text: &str) -> Result<(String, PathBuf), &'static str> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), file.into())),
        _ => Err("a name, an equals sign and a file are needed, such as trusted_root.json=new/trusted_root.json"),
    }
}

pub(super) fn run(command: &Command, printer: Printer) -> Result<(), Failure> {
    match command {
        Command::New(args) => new(args, printer),
        Command::Status(args) => status(args, printer),
        Command::Diff(args) => diff(args, printer),
        Command::Abort(step) => {
            let (ceremony, now) = step.open(printer)?;
            ceremony.abort(now).map_err(failure)?;
            printer.note("put away; signatures that were made for it count for nothing else");
            Ok(())
        }
    }
}

fn new(args: &NewArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    let published = ceremony.published().map_err(failure)?;
    let mut change = match &published {
        None => ceremony.first_change(args.note.clone()).map_err(failure)?,
        Some(_) => Change::none(args.note.clone()),
    };
    let enrolment = |holder: &String| ceremony.enrolment(holder).map_err(failure);
    for holder in args.add_holder.iter().chain(&args.replace_key) {
        change.add_holders.push(enrolment(holder)?);
    }
    change.remove_holders.extend(args.remove_holder.iter().chain(&args.replace_key).cloned());
    change.threshold = args.threshold.or(change.threshold);
    if args.solo {
        change.solo = Solo::Allowed;
    }
    if args.replace_online_key {
        change.online_key = Some(enrolment(&ONLINE.to_owned())?);
    }
    change.renew = args.renew;
    change.sign_before_verifiers_know = args.sign_before_verifiers_know;
    change.remove_targets = args.remove_target.clone();
    let mut files = BTreeMap::new();
    for (name, path) in &args.targets {
        files.insert(name.clone(), read_file(path).map_err(failure)?);
        change.set_targets.push(name.clone());
    }
    begin(&ceremony, change, files, now, printer)
}

/// Makes the event and says what it changes.
pub(super) fn begin(
    ceremony: &Ceremony,
    change: Change,
    files: BTreeMap<String, Vec<u8>>,
    now: Timestamp,
    printer: Printer,
) -> Result<(), Failure> {
    let event = ceremony.begin(change, files, now).map_err(failure)?;
    print_event(&event, &differences(&event), printer);
    printer.note(format_args!("carry {} to the holders:", ceremony.event_path().display()));
    printer.command(match event.base() {
        None => "touchmark trust sign event.json --holder NAME --key KEY",
        Some(_) => "touchmark trust sign event.json --holder NAME --key KEY --known-root ROOT --known-targets TARGETS",
    });
    Ok(())
}

fn status(args: &ShowArgs, printer: Printer) -> Result<(), Failure> {
    let ceremony = args.place.open()?;
    let event = pending(&ceremony)?;
    let collected = collect(&event, &ceremony.signatures().map_err(failure)?);
    let standings = collected.standing(&event).map_err(failure)?;
    let is_met = standings.iter().all(touchmark_trust::ceremony::Standing::is_met);
    match args.output {
        Output::Text => {
            printer.result(format_args!("event {}, made {}", event.id(), event.created()));
            standings.iter().for_each(|standing| print_standing(standing, printer));
            print_refused(&collected, printer);
            printer.result(if is_met { "enough have signed: it can be published" } else { "signatures are missing" });
        }
        Output::Json => {
            let refused = collected.refused.iter().map(|(file, reason)| json!({ "file": file, "reason": reason }));
            printer.result(json!({
                "version": 1,
                "event": event.id(),
                "standings": standings.iter().map(standing_json).collect::<Vec<_>>(),
                "refused": refused.collect::<Vec<_>>(),
                "complete": is_met,
            }));
        }
    }
    if is_met { Ok(()) } else { Err(Failure::new(ExitStatus::NotSigned, "signatures are missing").reported()) }
}

fn print_refused(collected: &Collected, printer: Printer) {
    for (file, reason) in &collected.refused {
        printer.result(printable(format!("  {file} does not count: {reason}")));
    }
}

fn diff(args: &ShowArgs, printer: Printer) -> Result<(), Failure> {
    let ceremony = args.place.open()?;
    let event = pending(&ceremony)?;
    let changes = differences(&event);
    match args.output {
        Output::Text => print_event(&event, &changes, printer),
        Output::Json => printer.result(event_json(&event, &changes)),
    }
    Ok(())
}

fn pending(ceremony: &Ceremony) -> Result<Event, Failure> {
    ceremony.event().map_err(failure)?.ok_or_else(|| failure(CeremonyError::NoEvent))
}
