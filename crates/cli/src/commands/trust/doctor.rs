// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust doctor`: how a ceremony stands, and what to do next.

use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_trust::ceremony::{Ceremony, collect, read_file};
use touchmark_trust::lint::{Finding, Severity, lint, without_holders};
use touchmark_trust::role::Root;
use touchmark_trust::walk::{Memory, Walked};

use super::report::{print_findings, print_standing, print_walked};
use super::{DirArgs, failure};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: DirArgs,
    /// Look as at this time, such as 2027-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Earlier copy of the ceremony log: the log must begin with it
    #[arg(long, value_name = "FILE")]
    recorded_log: Option<PathBuf>,
    /// Holders who can no longer sign, separated by commas: what that would mean
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    without: Vec<String>,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = (args.place.open()?, args.at.unwrap_or_else(Timestamp::now));
    let (lines, hash) = ceremony.check_log().map_err(failure)?;
    printer.result(format_args!(
        "ceremony {}: log of {lines} lines, sha256 {}",
        ceremony.policy().name(),
        hex::encode(hash)
    ));
    if let Some(path) = &args.recorded_log {
        ceremony.expect_log_begins_with(&read_file(path).map_err(failure)?).map_err(failure)?;
        printer.result(format_args!("the log begins with {}", path.display()));
    }
    let mut worries = Vec::new();
    match ceremony.published().map_err(failure)? {
        None => printer.result("nothing is published yet"),
        Some((roots, walked)) => {
            super::rotate::print_switches(&walked.files, now, printer);
            let mut findings = lint(&walked, now);
            if !args.without.is_empty() {
                findings.extend(without_holders(&walked, &args.without));
            }
            worries.extend(look(&ceremony, &roots, &walked, &findings, now, printer));
        }
    }
    if let Some(event) = ceremony.event().map_err(failure)? {
        printer.result(format_args!("event {} is pending since {}", event.id(), event.created()));
        let collected = collect(&event, &ceremony.signatures().map_err(failure)?);
        let standings = collected.standing(&event).map_err(failure)?;
        standings.iter().for_each(|standing| print_standing(standing, printer));
    }
    if worries.is_empty() {
        printer.result("all is well");
        return Ok(());
    }
    worries.iter().for_each(|worry| printer.result(printable(format!("to do: {worry}"))));
    Err(Failure::new(ExitStatus::TrustRoot, "the ceremony needs somebody").reported())
}

/// Walks as clients do, and says what is to be done.
fn look(
    ceremony: &Ceremony,
    roots: &[Root],
    walked: &Walked,
    findings: &[Finding],
    now: Timestamp,
    printer: Printer,
) -> Vec<String> {
    print_walked(walked, now, printer);
    print_findings(findings, printer);
    let mut worries = Vec::new();
    for root in roots {
        if let Err(error) = ceremony.repository().walk(root.clone(), Memory::default(), now) {
            worries.push(format!("a client that knows root {} is refused: {error}", root.version()));
        }
    }
    if walked.timestamp.expires() <= now || walked.snapshot.expires() <= now {
        worries.push("the online machine has not signed in time: run `touchmark trust online` there".to_owned());
    }
    for finding in findings.iter().filter(|finding| finding.severity() >= Severity::Warning) {
        let advice = match finding {
            Finding::EndsSoon { .. } => "gather the holders: `touchmark trust event new --renew`",
            Finding::ThresholdOne { .. } => "add holders: `touchmark trust event new --add-holder NAME --threshold 2`",
            Finding::BelowThreshold { .. } => {
                "the metadata cannot be mended: begin a new ceremony and hand its root to every client anew"
            }
            Finding::DelegationEndsSoon { .. } | Finding::DelegationUnpublished { .. } => {
                "its holders make and sign targets: `touchmark trust delegate make`"
            }
            _ => "hold an event that mends it",
        };
        worries.push(format!("{finding}: {advice}"));
    }
    worries
}
