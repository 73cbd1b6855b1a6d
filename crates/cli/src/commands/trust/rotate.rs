// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust rotate` and `touchmark trust revoke`: events about the keys of services.
//!
//! Both only make the event; who signs and publishes it does so as for any other.

use std::path::PathBuf;

use jiff::{Timestamp, ToSpan as _};
use touchmark_trust::ceremony::{self, Ceremony, CeremonyError, Change, Documents, read_file};

use super::{StepArgs, event, failure};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

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
    begin(&ceremony, next, change, now, printer)?;
    printer.note(format_args!(
        "no service may use a new key before {sign_from}, a CT log that clients do not choose included"
    ));
    Ok(())
}

pub(super) fn revoke(args: &RevokeArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    let key: Option<[u8; 32]> = hex::decode(&args.key).ok().and_then(|bytes| bytes.try_into().ok());
    let key = key.ok_or_else(|| Failure::new(ExitStatus::Usage, format!("{} is not 64 hex digits", args.key)))?;
    let next = ceremony::revoke(&published(&ceremony)?, key, &args.url, args.since).map_err(failure)?;
    begin(&ceremony, next, Change::none(args.note.clone()), now, printer)
}

fn published(ceremony: &Ceremony) -> Result<Documents, Failure> {
    let published = ceremony.published().map_err(failure)?;
    Ok(published.ok_or_else(|| failure(CeremonyError::NothingPublished))?.1.files)
}

fn begin(
    ceremony: &Ceremony,
    next: Documents,
    change: Change,
    now: Timestamp,
    printer: Printer,
) -> Result<(), Failure> {
    let change = Change { set_targets: next.keys().cloned().collect(), ..change };
    event::begin(ceremony, change, next, now, printer)
}
