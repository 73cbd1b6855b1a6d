// SPDX-License-Identifier: Apache-2.0
//! `touchmark tsa …`: looking after a timestamp authority.

use clap::Subcommand;
use touchmark_server::AuditKind;

use super::audit;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work on the audit log: every timestamp that was issued
    Audit(audit::Args),
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let Command::Audit(args) = &args.command;
    audit::run(args, AuditKind::Timestamps, "keep the file as it is and compare it with a backup", printer)
}
