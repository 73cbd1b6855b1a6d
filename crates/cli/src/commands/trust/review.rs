// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust review`: somebody who does not sign checks an event.
//!
//! Reading an event makes its metadata again from its inputs and compares every byte; what is left is to compare the inputs with what the
//! reviewer has himself.

use std::path::PathBuf;

use touchmark_trust::ceremony::read_file;
use touchmark_trust::diff::differences;

use super::event::target;
use super::report::{event_json, print_event};
use super::{EventArgs, failure};
use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    event: EventArgs,
    /// The target NAME must be this FILE; may be given several times
    #[arg(long = "target", value_name = "NAME=FILE", value_parser = target)]
    targets: Vec<(String, PathBuf)>,
    /// How to print what it changes
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let event = args.event.read()?;
    args.event.tied(&event, printer)?;
    for (name, path) in &args.targets {
        let own = read_file(path).map_err(failure)?;
        if event.files().get(name) != Some(&own) {
            let message = format!("the target {name} of the event is not {}", path.display());
            return Err(Failure::new(ExitStatus::Tampered, message));
        }
    }
    let changes = differences(&event);
    match args.output {
        Output::Text => print_event(&event, &changes, printer),
        Output::Json => printer.result(event_json(&event, &changes)),
    }
    printer.note("made again from its inputs, the metadata of the event is the same, byte for byte");
    Ok(())
}
