// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust init`: a directory for a ceremony.

use jiff::Timestamp;
use touchmark_trust::ceremony::{Ceremony, Clock, HOLDERS_DEFAULT, Policy, Solo, THRESHOLD_DEFAULT};

use super::{DirArgs, failure};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: DirArgs,
    /// Name of the ceremony, such as the organisation's: lower-case letters, digits, dots, hyphens
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Names of the holders, separated by commas; three are a good number for a small team, five for a large one
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    holders: Vec<String>,
    /// How many of them must sign
    #[arg(long, value_name = "NUMBER", default_value_t = THRESHOLD_DEFAULT)]
    threshold: u32,
    /// Let one holder alone be the trust root: one lost key is its end, one stolen key its compromise
    #[arg(long)]
    solo: bool,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let solo = if args.solo { Solo::Allowed } else { Solo::Refused };
    if args.holders.len() < HOLDERS_DEFAULT && !args.solo {
        return Err(Failure::new(
            ExitStatus::Usage,
            format!("{} holders leave no room for a lost key", args.holders.len()),
        )
        .hint(format!("name at least {HOLDERS_DEFAULT}, or say --solo if fewer are meant")));
    }
    let threshold = if args.solo && args.holders.len() == 1 { 1 } else { args.threshold };
    let policy = Policy::new(&args.name, &args.holders, threshold, solo).map_err(failure)?;
    Ceremony::init(&args.place.dir, &policy, Clock::Machine, Timestamp::now()).map_err(failure)?;
    printer.note(format_args!(
        "{} of {} holders will sign for {}: now each enrols a key, and so does the online machine",
        policy.threshold(),
        policy.holders().len(),
        policy.name()
    ));
    for holder in policy.holders() {
        printer.command(format_args!(
            "touchmark trust key enrol --ceremony {} --holder {holder} --key KEY --out {holder}.json",
            policy.name()
        ));
    }
    printer.command(format_args!(
        "touchmark trust key enrol --ceremony {} --holder online --key KEY --out online.json",
        policy.name()
    ));
    Ok(())
}
