// SPDX-License-Identifier: Apache-2.0
//! `touchmark token`: an identity token of the try-out issuer, made with its key in the data directory.
//!
//! Whoever can read that directory can be anybody for this instance: it is for trying out, on one machine.

use std::path::PathBuf;

use touchmark_server::StartError;

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;
use crate::printer::Printer;

use super::up::{PassphraseArgs, server_failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Data directory of `up` [default: $XDG_DATA_HOME/touchmark]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The e-mail address to be
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let data_dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => paths::server_data_dir()?,
    };
    let passphrase = args.passphrase.read()?;
    let token = super::block_on(async {
        let token = touchmark_server::try_out_token(&data_dir, &args.email, passphrase).await;
        token.map_err(|error| match error {
            // The issuer is not started here: what it refuses is the address.
            StartError::Role { source, .. } => Failure::new(ExitStatus::Usage, source.to_string())
                .hint("--email takes an address such as alice@example.com"),
            error => server_failure(&error),
        })
    })?;
    // The token is what was asked for: printing it here is the purpose.
    printer.result(token);
    Ok(())
}
