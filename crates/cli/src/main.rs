// SPDX-License-Identifier: Apache-2.0
//! `touchmark`: a whole Sigstore in one binary.
//!
//! In scope: arguments, output, exit codes, hints. Each command is one file of [`commands`]; everything that it does is in
//! the libraries. Out of scope: every decision about trust.
//!
//! Invariants: output goes through [`printer::Printer`]; a command ends in an [`exit::ExitStatus`]; environment variables
//! are named in [`env_vars`] alone; a run time is started, and an HTTP client made, only by a command that needs it.

mod bundle_file;
mod commands;
mod completions;
mod env_vars;
mod exit;
mod failure;
mod hashing;
mod lines;
mod paths;
mod printer;
mod signing;
mod trust;
mod verifying;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are not errors; clap knows, and writes each to where it belongs.
        Err(answer) => {
            let _ = answer.print();
            return if answer.use_stderr() { exit::ExitStatus::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let printer = printer::Printer::new(cli.quiet);
    match commands::run(cli, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer.failure(&failure);
            failure.status().into()
        }
    }
}
