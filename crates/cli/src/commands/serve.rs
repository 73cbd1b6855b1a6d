// SPDX-License-Identifier: Apache-2.0
//! `touchmark serve`: the roles that a configuration file names. SIGHUP reads the file again (docs/ca.md).

use std::path::PathBuf;

use touchmark_server::Config;

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

use super::up::{OnHangup, serve_until_stopped};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(|error| Failure::new(ExitStatus::Unreadable, error.to_string()))?;
    super::block_on_all_cores(serve_until_stopped(
        touchmark_server::serve(config),
        |running| {
            printer.note(format_args!("serving at {}", running.url()));
            for (role, url) in running.listening() {
                printer.note(format_args!("  {role} listens at {url}"));
            }
        },
        OnHangup::Reload(&args.config),
        printer,
    ))
}
