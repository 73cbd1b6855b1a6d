// SPDX-License-Identifier: Apache-2.0
//! `touchmark fulcio …`: looking after a certificate authority.
//!
//! One file for each subcommand.

mod check_config;

use clap::Subcommand;
use touchmark_server::AuditKind;

use super::audit;
use crate::failure::Failure;
use crate::printer::Printer;

const IF_CHANGED: &str = "keep the file as it is and compare it with a backup; the certificates themselves are in the certificate transparency log";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check whose tokens become certificates, and which certificates: nothing is started, asked or issued
    CheckConfig(check_config::Args),
    /// Work on the audit log: every decision about a request for a certificate
    Audit(audit::Args),
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    match &args.command {
        Command::CheckConfig(args) => check_config::run(args, printer),
        Command::Audit(args) => audit::run(args, AuditKind::Certificates, IF_CHANGED, printer),
    }
}
