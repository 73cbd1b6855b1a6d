// SPDX-License-Identifier: Apache-2.0
//! `touchmark ca sign`: an offline root signs a request, once somebody has looked at what it will sign.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;
use touchmark_server::ceremony::{self, INTERMEDIATE_DAYS, Proposal};

use super::report::{print_ceremony, warn_of_cut};
use super::{NameArgs, RootArgs, failure};
use crate::commands::version::Output;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The request (PEM)
    request: PathBuf,
    #[command(flatten)]
    root: RootArgs,
    /// File to write the chain to: the new certificate, then the root's; nothing is overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Lifetime in days; never longer than the root's
    #[arg(long, value_name = "DAYS", default_value_t = INTERMEDIATE_DAYS)]
    days: u32,
    #[command(flatten)]
    name: NameArgs,
    /// Sign; without it, it is only said what would be signed
    #[arg(long)]
    yes: bool,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let now = Timestamp::now();
    let proposal = ceremony::propose(&args.request, args.name.name(), args.root.place()?, args.days, now)
        .map_err(|error| failure(&error))?;
    if args.output == Output::Text {
        print_proposal(&proposal, printer);
    }
    if !args.yes {
        if args.output == Output::Json {
            printer.result(proposal_json(&proposal));
        }
        if proposal.is_cut_short() {
            warn_of_cut(proposal.root(), printer);
        }
        printer.note("nothing was signed: compare the key's sha256 with what its owner says, then add --yes");
        return Ok(());
    }
    let signed = crate::commands::block_on(async { Ok(ceremony::sign(&proposal, &args.out, now).await) })?;
    print_ceremony(&signed.map_err(|error| failure(&error))?, now, args.output, printer);
    Ok(())
}

fn print_proposal(proposal: &Proposal, printer: Printer) {
    let line = |label: &str, text: String| printer.note(format_args!("  {label:<13} {}", printable(text)));
    printer.note("to be signed: an intermediate authority for code signing, path length 0");
    line("organisation", proposal.name().organization.clone());
    line("common name", proposal.name().common_name.clone());
    line("by", proposal.root().subject_text());
    line("valid", format!("{} to {}", proposal.not_before(), proposal.not_after()));
    line("key", proposal.key().key_type().to_string());
    line("key sha256", hex::encode(proposal.key().spki_sha256()));
}

fn proposal_json(proposal: &Proposal) -> serde_json::Value {
    json!({
        "version": 1,
        "signed": false,
        "organization": proposal.name().organization,
        "commonName": proposal.name().common_name,
        "issuer": proposal.root().subject_text(),
        "notBefore": proposal.not_before().to_string(),
        "notAfter": proposal.not_after().to_string(),
        "keyType": proposal.key().key_type().to_string(),
        "keySha256": hex::encode(proposal.key().spki_sha256()),
    })
}
