// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust doctor`: how a ceremony stands, and what to do next.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_trust::ceremony::{Ceremony, Event, ONLINE, Standing, collect, read_file};
use touchmark_trust::document::RoleType;
use touchmark_trust::lint::{Finding, Severity, lint, without_holders};
use touchmark_trust::role::Root;
use touchmark_trust::walk::{Memory, Walked};

use super::report::{print_findings, print_standing, print_walked, standing_json, walked_json};
use super::rotate::{print_switches, switch_worries, switches_json};
use super::{DirArgs, failure};
use crate::commands::version::Output;
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
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What was found.
struct Report {
    name: String,
    now: Timestamp,
    log_lines: usize,
    log_hash: [u8; 32],
    published: Option<(Walked, Vec<Finding>)>,
    pending: Option<(Event, Vec<Standing>)>,
    /// What is to be done.
    worries: Vec<String>,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let (ceremony, now) = (args.place.open()?, args.at.unwrap_or_else(Timestamp::now));
    if let Some(path) = &args.recorded_log {
        ceremony.expect_log_begins_with(&read_file(path).map_err(failure)?).map_err(failure)?;
    }
    let report = examine(&ceremony, &args.without, now)?;
    match args.output {
        Output::Text => report.print(args.recorded_log.as_ref(), printer),
        Output::Json => printer.result(report.json()),
    }
    match report.worries.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(ExitStatus::TrustRoot, "the ceremony needs somebody").reported()),
    }
}

fn examine(ceremony: &Ceremony, without: &[String], now: Timestamp) -> Result<Report, Failure> {
    let (log_lines, log_hash) = ceremony.check_log().map_err(failure)?;
    let name = ceremony.policy().name().to_owned();
    let mut report = Report { name, now, log_lines, log_hash, published: None, pending: None, worries: Vec::new() };
    match ceremony.torn_log_bytes().map_err(failure)? {
        0 => {}
        torn => report.worries.push(format!(
            "the ceremony log ends with {torn} bytes of a line that was never whole: do the step again at which the machine stopped"
        )),
    }
    // What was interrupted is not recorded yet.
    let published = match ceremony.expect_no_publication() {
        Ok(()) => ceremony.published_as_recorded().map_err(failure)?,
        Err(pending) => {
            report.worries.push(pending.to_string());
            ceremony.published().map_err(failure)?
        }
    };
    let Some((roots, walked)) = published else {
        expect_holders(without, |name| ceremony.policy().holders().iter().any(|holder| holder == name))?;
        report.pending = pending(ceremony, &mut report.worries)?;
        if report.pending.is_none() {
            report.worries.push(first_step(ceremony));
        }
        return Ok(report);
    };
    expect_holders(without, |name| {
        walked.root.view().keys_of(RoleType::Root).any(|(_, key)| key.owner() == Some(name))
    })?;
    let mut findings = lint(&walked, now);
    if !without.is_empty() {
        findings.extend(without_holders(&walked, without));
    }
    report.worries.extend(worries(ceremony, &roots, &walked, &findings, now));
    report.worries.extend(switch_worries(&walked.files, now));
    report.published = Some((walked, findings));
    report.pending = pending(ceremony, &mut report.worries)?;
    Ok(report)
}

fn expect_holders(names: &[String], is_holder: impl Fn(&str) -> bool) -> Result<(), Failure> {
    match names.iter().find(|name| !is_holder(name)) {
        Some(name) => Err(Failure::new(ExitStatus::Usage, format!("{name} is no holder"))),
        None => Ok(()),
    }
}

fn first_step(ceremony: &Ceremony) -> String {
    let missing: Vec<&str> = ceremony.policy().holders().iter().map(String::as_str).chain([ONLINE]).collect();
    let missing: Vec<&str> = missing.into_iter().filter(|holder| ceremony.enrolment(holder).is_err()).collect();
    match missing.is_empty() {
        false => format!(
            "nothing is published yet, and no key was accepted of {}: `touchmark trust key enrol`",
            missing.join(", ")
        ),
        true => "nothing is published yet: `touchmark trust event new`, sign, `touchmark trust publish`".to_owned(),
    }
}

/// The pending event, and who has to sign it.
fn pending(ceremony: &Ceremony, worries: &mut Vec<String>) -> Result<Option<(Event, Vec<Standing>)>, Failure> {
    let Some(event) = ceremony.event().map_err(failure)? else { return Ok(None) };
    let collected = collect(&event, &ceremony.signatures().map_err(failure)?);
    let standings = collected.standing(&event).map_err(failure)?;
    worries.push(match standings.iter().all(Standing::is_met) {
        true => format!("event {} has all signatures: `touchmark trust publish`", event.id()),
        false => format!("event {} waits for signatures: `touchmark trust event status`", event.id()),
    });
    Ok(Some((event, standings)))
}

impl Report {
    fn print(&self, recorded_log: Option<&PathBuf>, printer: Printer) {
        let (lines, hash) = (self.log_lines, hex::encode(self.log_hash));
        printer.result(format_args!("ceremony {}: log of {lines} lines, sha256 {hash}", self.name));
        if let Some(path) = recorded_log {
            printer.result(format_args!("the log begins with {}", path.display()));
        }
        if let Some((walked, findings)) = &self.published {
            print_walked(walked, self.now, printer);
            print_switches(&walked.files, self.now, printer);
            print_findings(findings, printer);
        }
        if let Some((event, standings)) = &self.pending {
            printer.result(format_args!("event {} is pending since {}", event.id(), event.created()));
            standings.iter().for_each(|standing| print_standing(standing, printer));
        }
        if self.worries.is_empty() {
            printer.result("all is well");
        }
        self.worries.iter().for_each(|worry| printer.result(printable(format!("to do: {worry}"))));
    }

    fn json(&self) -> Value {
        let event = |(event, standings): &(Event, Vec<Standing>)| {
            json!({
                "event": event.id(),
                "created": event.created().to_string(),
                "standings": standings.iter().map(standing_json).collect::<Vec<_>>(),
            })
        };
        json!({
            "version": 1,
            "ceremony": self.name,
            "log": { "lines": self.log_lines, "sha256": hex::encode(self.log_hash) },
            "switches": self.published.as_ref().map(|(walked, _)| switches_json(&walked.files, self.now)),
            "published": self.published.as_ref().map(|(walked, findings)| walked_json(walked, findings, self.now)),
            "pending": self.pending.as_ref().map(event),
            "toDo": self.worries,
        })
    }
}

/// Walks as clients do, and says what is to be done.
fn worries(ceremony: &Ceremony, roots: &[Root], walked: &Walked, findings: &[Finding], now: Timestamp) -> Vec<String> {
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
            Finding::NoTrustedRoot => "publish one: `touchmark trust event new --target trusted_root.json=FILE`",
            Finding::DelegationEndsSoon { .. } | Finding::DelegationUnpublished { .. } => {
                "its holders make and sign targets: `touchmark trust delegate make`"
            }
            _ => "hold an event that mends it",
        };
        worries.push(format!("{finding}: {advice}"));
    }
    worries
}
