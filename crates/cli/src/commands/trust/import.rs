// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust import`: takes up what `trust export` wrote, verified as from a mirror. Nothing is asked of the network.

use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_client::trust::{EXPORT_BYTES_MAX, InstanceName, TrustExport};

use super::instances::{as_default, named_root, say};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;
use crate::printer::Printer;
use crate::trust::{TrustDirArgs, as_of};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The export
    file: PathBuf,
    /// Name to keep it under [default: that of the instance with its mirror, or else one made of the address]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Root to pin, from another source than the export: its file, or sha256:HEX of it; not needed where the instance is known
    #[arg(long, value_name = "FILE|sha256:HEX")]
    root: Option<String>,
    /// Use it where none is named, as `trust use` does
    #[arg(long = "use")]
    chosen: bool,
    /// Verify it as at TIME, such as the day of the export, though it has expired since. What was revoked after TIME is not known
    #[arg(long, value_name = "TIME")]
    insecure_accept_expired_trust: Option<Timestamp>,
    #[command(flatten)]
    place: TrustDirArgs,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let unusable = || format!("{} is no trust export that can be used", args.file.display());
    let bytes = paths::read_limited(&args.file, EXPORT_BYTES_MAX)
        .map_err(|error| Failure::new(ExitStatus::Unreadable, unusable()).because(error))?;
    let export = TrustExport::from_json(&bytes)
        .map_err(|error| Failure::new(ExitStatus::Unreadable, unusable()).because(error))?;
    let root = args.root.as_deref().map(named_root).transpose()?;
    let mut store = args.place.store()?;
    if let Some(name) = &args.name {
        store = store.within(InstanceName::parse(name)?);
    }
    let now = args.insecure_accept_expired_trust.unwrap_or_else(Timestamp::now);
    if args.insecure_accept_expired_trust.is_some() {
        printer.warning(as_of(now));
    }
    crate::commands::block_on(async {
        let mut repository = store.import(&export, root.as_ref(), as_default(args.chosen), now).await?;
        say(&mut repository, "Imported", printer).await?;
        printer.note("Its address is what the export says; --offline never asks it");
        Ok(())
    })
}
