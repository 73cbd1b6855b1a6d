// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust record`: what is published goes into a ceremony log that does not know it.
//!
//! The log is what keeps numbers from being given twice. Once it is lost, somebody has to say that what lies there is what was published last.

use super::{StepArgs, failure};
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    step: StepArgs,
    /// Record it: what lies in the repository is what was published last; nothing can check that
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    if !args.yes {
        printer.note(format_args!(
            "nothing was recorded: compare {} with what clients are served, and add --yes if it is what was published last",
            ceremony.repository().directory().display()
        ));
        return Ok(());
    }
    for name in ceremony.record_what_is_published(now).map_err(failure)? {
        printer.result(name);
    }
    Ok(())
}
