// SPDX-License-Identifier: Apache-2.0
//! `touchmark log freeze`: the end of a log, with its final checkpoint.

use touchmark_server::Demand;

use super::super::up::server_failure;
use super::create::InstanceArgs;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The log, by its whole name; `touchmark log list` shows them
    #[arg(value_name = "NAME")]
    name: String,
    /// Also the log that new entries go to: nothing can be signed with this instance then before `touchmark log rotate`
    #[arg(long)]
    even_if_active: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let options = args.instance.options()?;
    let demand = if args.even_if_active { Demand::EvenIfActive } else { Demand::NotIfActive };
    let frozen = crate::commands::block_on(async {
        touchmark_server::log_freeze(options, &args.name, demand).await.map_err(|error| server_failure(&error))
    })?;
    printer.result(format_args!("{} is frozen\nsize {}\nroot {}", frozen.name, frozen.size, frozen.root));
    Ok(())
}
