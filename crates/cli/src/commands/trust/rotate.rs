// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust rotate` and `touchmark trust revoke`: events about the keys of services.
//!
//! Both only make the event; who signs and publishes it does so as for any other.

use std::path::PathBuf;

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use touchmark_trust::ceremony::{
    self, Addresses, Ceremony, CeremonyError, Change, Documents, SWITCH_SHOWN_AHEAD, Switch, read_file,
};
use touchmark_trust::diff::differences;

use super::report::event_json;
use super::{StepArgs, event, failure};
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

/// A week until every verifier knows the new key, and a week to gather signatures.
const SIGN_AFTER_DAYS: u32 = 14;

#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    step: StepArgs,
    /// The trusted root that the services hand out now, with the new keys
    #[arg(long, value_name = "FILE")]
    trusted_root: PathBuf,
    /// The signing config that the services hand out now, with the new addresses
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,
    /// Clients sign with the new services from so many days on; at least as long as a timestamp lives, counted from the publication
    #[arg(long, value_name = "DAYS", default_value_t = SIGN_AFTER_DAYS)]
    sign_after: u32,
    /// Why, for those who are asked to sign
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Let clients sign with a new service before every verifier knows its key: some will refuse what is signed meanwhile
    #[arg(long)]
    sign_before_verifiers_know: bool,
    /// How to print the event and when the services change over
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    step: StepArgs,
    /// SHA-256 of the key (its SubjectPublicKeyInfo) or of a certificate, in hex
    #[arg(long, value_name = "SHA256")]
    key: String,
    /// The last moment at which signatures under it are believed, such as 2026-11-20T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Timestamp,
    /// Take this address out of the signing config; may be given several times
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// Go on sending clients to a service whose key is taken back, because it gets another one at once
    #[arg(long)]
    keep_url: bool,
    /// Why, for those who are asked to sign
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

pub(super) fn rotate(args: &RotateArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    let published = published(&ceremony)?;
    let trusted_root = read_file(&args.trusted_root).map_err(failure)?;
    let signing_config = args.signing_config.as_deref().map(read_file).transpose().map_err(failure)?;
    let whole = Timestamp::from_second(now.as_second()).unwrap_or(Timestamp::MIN);
    let sign_from = whole.checked_add((i64::from(args.sign_after) * 24).hours());
    let sign_from = sign_from.map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
    let next = ceremony::rotate(&published, &trusted_root, signing_config.as_deref(), sign_from).map_err(failure)?;
    let sign_before_verifiers_know = args.sign_before_verifiers_know;
    let change = Change { sign_before_verifiers_know, ..Change::none(args.note.clone()) };
    let mut switches = ceremony::ended_by(&published, &next, now);
    // Without a signing config nothing else says when the new keys may be used.
    for switch in &mut switches {
        switch.sign_from = switch.sign_from.map(|from| from.max(sign_from));
    }
    let change = Change { set_targets: next.keys().cloned().collect(), ..change };
    if args.output == Output::Json {
        let event = ceremony.begin(change, next, now).map_err(failure)?;
        let mut said = event_json(&event, &differences(&event));
        said["signFrom"] = sign_from.to_string().into();
        said["switches"] = switches.iter().map(switch_json).collect();
        printer.result(said);
        return Ok(());
    }
    event::begin(&ceremony, change, next, now, printer)?;
    printer.result(format_args!(
        "no service may use a new key before {sign_from}, a CT log that clients do not choose included"
    ));
    switches.iter().for_each(|switch| print_switch(switch, printer));
    Ok(())
}

/// Says which services have to change over soon, by what is published.
pub(super) fn print_switches(published: &Documents, now: Timestamp, printer: Printer) {
    soon(published, now).iter().for_each(|switch| print_switch(switch, printer));
}

pub(super) fn switches_json(published: &Documents, now: Timestamp) -> Vec<Value> {
    soon(published, now).iter().map(switch_json).collect()
}

/// What of it needs somebody.
pub(super) fn switch_worries(published: &Documents, now: Timestamp) -> Vec<String> {
    let closed = ceremony::out_of_service(published, now);
    let closed = closed.into_iter().map(|list| {
        format!("the signing config names no service that can be used now in `{list}`: nobody can sign; `touchmark trust rotate`")
    });
    let ending = soon(published, now).into_iter().filter(|switch| switch.sign_from.is_none());
    let ending = ending.map(|switch| {
        format!("{} ends at {} without a successor: `touchmark trust rotate`", switch.service, switch.not_after)
    });
    closed.chain(ending).collect()
}

fn soon(published: &Documents, now: Timestamp) -> Vec<Switch> {
    let soon = now.checked_add(SWITCH_SHOWN_AHEAD).unwrap_or(Timestamp::MAX);
    ceremony::switches(published, now).into_iter().filter(|switch| switch.not_after <= soon).collect()
}

fn print_switch(switch: &Switch, printer: Printer) {
    let Switch { service, sign_from, not_after } = switch;
    printer.result(printable(match sign_from {
        Some(from) => {
            format!("{service}: sign with the new key from {from} on, and not with the old one after {not_after}")
        }
        None => format!("{service}: its key ends at {not_after}, and no other of its kind is trusted after that"),
    }));
}

fn switch_json(switch: &Switch) -> Value {
    json!({
        "service": switch.service,
        "signFrom": switch.sign_from.map(|time| time.to_string()),
        "notAfter": switch.not_after.to_string(),
    })
}

pub(super) fn revoke(args: &RevokeArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    let key: Option<[u8; 32]> = hex::decode(&args.key).ok().and_then(|bytes| bytes.try_into().ok());
    let key = key.ok_or_else(|| Failure::new(ExitStatus::Usage, format!("{} is not 64 hex digits", args.key)))?;
    let addresses = (args.url.as_slice(), if args.keep_url { Addresses::Left } else { Addresses::Checked });
    let next = ceremony::revoke(&published(&ceremony)?, key, addresses, args.since, now).map_err(failure)?;
    let set_targets = next.keys().cloned().collect();
    event::begin(&ceremony, Change { set_targets, ..Change::none(args.note.clone()) }, next, now, printer)
}

fn published(ceremony: &Ceremony) -> Result<Documents, Failure> {
    let published = ceremony.published().map_err(failure)?;
    Ok(published.ok_or_else(|| failure(CeremonyError::NothingPublished))?.1.files)
}
