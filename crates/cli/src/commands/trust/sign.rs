// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust sign`: a holder signs an event, once he has looked at what it changes.
//!
//! It reads the event alone: chain of roots, hashes of targets and metadata are checked again here, on the holder's machine.

use std::path::PathBuf;

use touchmark_trust::ceremony::{CeremonyError, sign, write_file};
use touchmark_trust::diff::differences;

use super::report::{event_json, print_event};
use super::{EventArgs, KeyArgs, failure};
use crate::commands::version::Output;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    event: EventArgs,
    /// Who signs
    #[arg(long, value_name = "NAME")]
    holder: String,
    #[command(flatten)]
    key: KeyArgs,
    /// Directory to write the signature to [default: `signatures` beside the event]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Sign; without it, it is only said what would be signed. With a SHA256, sign this event and no other: the one that was looked at
    #[arg(long, value_name = "SHA256", num_args = 0..=1, require_equals = true, value_parser = sha256_of)]
    #[expect(clippy::option_option, reason = "not given, given, given with a value")]
    yes: Option<Option<[u8; 32]>>,
    /// How to print what is signed
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Whether to sign what has this digest: asked for, and the very one if one was named.
#[expect(clippy::option_option, reason = "not given, given, given with a value")]
pub(super) fn is_wanted(yes: Option<Option<[u8; 32]>>, found: [u8; 32], printer: Printer) -> Result<bool, Failure> {
    match yes {
        None => {
            printer.note("nothing was signed; if this is what you want, sign this very content with:");
            printer.command(format_args!("--yes={}", hex::encode(found)));
            Ok(false)
        }
        Some(Some(expected)) if expected != found => Err(failure(CeremonyError::AnotherEvent { expected, found })),
        Some(_) => Ok(true),
    }
}

pub(super) fn sha256_of(text: &str) -> Result<[u8; 32], &'static str> {
    let hash = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    hash.ok_or("64 hexadecimal digits are needed: what `signed is sha256` says")
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let event = args.event.read()?;
    let known = args.event.tied(&event, printer)?;
    let changes = differences(&event);
    match args.output {
        Output::Text => print_event(&event, &changes, printer),
        Output::Json => printer.result(event_json(&event, &changes)),
    }
    if !is_wanted(args.yes, event.digest(), printer)? {
        return Ok(());
    }
    let signature = crate::commands::block_on(async {
        let signer = args.key.open().await?;
        sign(known, &args.holder, signer.as_ref()).await.map_err(failure)
    })?;
    let directory = match &args.out {
        Some(directory) => directory.clone(),
        None => args.event.event.with_file_name("signatures"),
    };
    let path = directory.join(signature.file_name());
    write_file(&path, &signature.to_json()).map_err(failure)?;
    printer.note(format_args!("wrote {}: bring it to event/signatures of the ceremony", path.display()));
    Ok(())
}
