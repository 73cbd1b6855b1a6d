// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust publish` and `touchmark trust online`: what clients see.

use touchmark_trust::ceremony::{Ceremony, Publication, Published};

use super::{KeyArgs, StepArgs, failure};
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct PublishArgs {
    #[command(flatten)]
    pub(super) step: StepArgs,
    #[command(flatten)]
    pub(super) online: KeyArgs,
    /// Sign snapshot and timestamp and send the clients through, but publish nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct OnlineArgs {
    #[command(flatten)]
    step: StepArgs,
    #[command(flatten)]
    online: KeyArgs,
}

pub(super) fn publish(args: &PublishArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    if let Some(published) = ceremony.resume(now).map_err(failure)? {
        printer.note("a publication had been interrupted; it is whole now");
        return say(&ceremony, &published, printer);
    }
    let publication = crate::commands::block_on(async {
        let online = args.online.open().await?;
        ceremony.plan(online.as_ref(), now).await.map_err(failure)
    })?;
    if args.dry_run {
        say_planned(&publication, printer);
        return Ok(());
    }
    let published = ceremony.publish(&publication, now).map_err(failure)?;
    say(&ceremony, &published, printer)
}

/// What would be published.
pub(super) fn say_planned(publication: &Publication, printer: Printer) {
    for (name, bytes) in publication.files() {
        printer.result(format_args!("{name} ({} bytes)", bytes.len()));
    }
    printer.note("every client would accept it; nothing was published");
}

pub(super) fn online(args: &OnlineArgs, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = args.step.open(printer)?;
    let refreshed = crate::commands::block_on(async {
        let online = args.online.open().await?;
        ceremony.refresh(online.as_ref(), now).await.map_err(failure)
    })?;
    match refreshed {
        Some(published) => say(&ceremony, &published, printer),
        None => {
            printer.note("nothing is due yet");
            Ok(())
        }
    }
}

pub(super) fn say(ceremony: &Ceremony, published: &Published, printer: Printer) -> Result<(), Failure> {
    for name in &published.files {
        printer.result(name);
    }
    let (lines, hash) = ceremony.check_log().map_err(failure)?;
    printer.note(format_args!("published in {}", ceremony.repository().directory().display()));
    printer.note(format_args!("the ceremony log has {lines} lines, sha256 of the last {}", hex::encode(hash)));
    Ok(())
}
