// SPDX-License-Identifier: Apache-2.0
//! `touchmark log …`: looking after transparency logs.
//!
//! One file for each subcommand; [`places`] says which logs are meant.

mod backup;
mod create;
mod evidence;
mod freeze;
mod fsck;
mod list;
mod places;
mod proof;
mod restore;
mod rotate;
mod tiles;

use clap::Subcommand;

use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the logs of a data directory, also while a server runs on it
    List(list::Args),
    /// Make the next log of a kind and tell verifiers of its key, ahead of `rotate`
    Create(create::Args),
    /// Send new entries to the next log; the present one is frozen when the overlap is over
    Rotate(rotate::Args),
    /// End a log for good, with its final checkpoint
    Freeze(freeze::Args),
    /// Check whole logs: derive the tree again from the entries, and compare everything with it
    Fsck(Box<fsck::Args>),
    /// Work on receipts: proofs that an entry is in a log, verified offline (C2SP tlog-proof)
    Proof(proof::Args),
    /// Copy logs, also while a server runs on them, and verify the copies
    Backup(backup::Args),
    /// Put a log back from a backup, if it may go on from there
    Restore(restore::Args),
    /// Work on the evidence of a log's time: checkpoints that timestamp authorities have stamped
    Evidence(evidence::Args),
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list::run(args, printer),
        Command::Create(args) => create::run(args, printer),
        Command::Rotate(args) => rotate::run(args, printer),
        Command::Freeze(args) => freeze::run(args, printer),
        Command::Fsck(args) => fsck::run(args, printer),
        Command::Proof(args) => proof::run(args, printer),
        Command::Backup(args) => backup::run(args, printer),
        Command::Restore(args) => restore::run(args, printer),
        Command::Evidence(args) => evidence::run(args, printer),
    }
}
