// SPDX-License-Identifier: Apache-2.0
//! `touchmark version`.

use clap::ValueEnum;
use serde_json::json;

use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
}

pub(super) fn run(args: Args, printer: Printer) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match args.output {
        Output::Text => printer.result(format_args!("touchmark {version}")),
        Output::Json => printer.result(json!({ "name": "touchmark", "version": version })),
    }
    Ok(())
}
