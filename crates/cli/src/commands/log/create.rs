// SPDX-License-Identifier: Apache-2.0
//! `touchmark log create`: the next log of a kind, known to verifiers before anybody writes to it.

use std::path::PathBuf;

use clap::ValueEnum;
use touchmark_server::{LogKind, LogOptions};

use super::super::up::{PassphraseArgs, server_failure};
use crate::failure::Failure;
use crate::paths;
use crate::printer::Printer;

/// Whose logs are changed.
#[derive(Debug, clap::Args)]
pub(super) struct InstanceArgs {
    /// Data directory of `touchmark up`, running or not [default: $XDG_DATA_HOME/touchmark]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl InstanceArgs {
    pub(super) fn options(&self) -> Result<LogOptions, Failure> {
        let data_dir = match &self.data_dir {
            Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.clone()),
            None => paths::server_data_dir()?,
        };
        Ok(LogOptions { data_dir, passphrase: self.passphrase.read()? })
    }
}

/// What a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Signatures
    Rekor,
    /// Certificates
    Ct,
}

impl From<Kind> for LogKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Rekor => LogKind::Rekor,
            Kind::Ct => LogKind::Ct,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Of which kind
    #[arg(long, value_enum)]
    kind: Kind,
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let options = args.instance.options()?;
    let name = crate::commands::block_on(async {
        touchmark_server::log_create(options, args.kind.into()).await.map_err(|error| server_failure(&error))
    })?;
    printer.result(&name);
    printer.note("Verifiers learn its key with their next look at the TUF repository: cosign looks once a day.");
    printer.note("Then send new entries to it with `touchmark log rotate`.");
    Ok(())
}
