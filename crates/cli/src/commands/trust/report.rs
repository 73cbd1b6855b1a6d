// SPDX-License-Identifier: Apache-2.0
//! What is said of events and repositories, to people and to programs.

use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_keys::sha256;
use touchmark_trust::ceremony::{Event, Standing};
use touchmark_trust::diff::Difference;
use touchmark_trust::document::Document;
use touchmark_trust::lint::Finding;
use touchmark_trust::walk::Walked;

use crate::printer::{Printer, printable};

pub(super) fn print_event(event: &Event, changes: &[Difference], printer: Printer) {
    let made = format_args!("event {} of {}, made {}", event.id(), event.ceremony(), event.created());
    printer.result(printable(made));
    if !event.change().note.is_empty() {
        printer.result(format_args!("  why: {}", printable(&event.change().note)));
    }
    for document in event.base().map(|base| [base.root().document(), &base.targets]).into_iter().flatten() {
        let hash = hex::encode(sha256(document.bytes()));
        printer.result(format_args!("  on {} {}, sha256 {hash}", document.role_type(), document.version()));
    }
    printer.result(format_args!("  signed is sha256 {}", hex::encode(event.digest())));
    print_changes(changes, printer);
}

pub(super) fn print_changes(changes: &[Difference], printer: Printer) {
    for change in changes {
        let subject = printable(&change.subject);
        match (&change.before, &change.after) {
            (None, Some(after)) => printer.result(format_args!("  + {subject}: {}", printable(after))),
            (Some(before), None) => printer.result(format_args!("  - {subject}: {}", printable(before))),
            (Some(before), Some(after)) => {
                printer.result(format_args!("  ~ {subject}: {}", printable(before)));
                printer.result(format_args!("    becomes {}", printable(after)));
            }
            (None, None) => {}
        }
    }
}

pub(super) fn event_json(event: &Event, changes: &[Difference]) -> Value {
    json!({
        "version": 1,
        "event": event.id(),
        "sha256": hex::encode(event.digest()),
        "ceremony": event.ceremony(),
        "base": event.base().map(|base| [base.root().document(), &base.targets].map(base_json)),
        "created": event.created().to_string(),
        "note": event.change().note,
        "changes": changes_json(changes),
    })
}

fn base_json(document: &Document) -> Value {
    json!({
        "role": document.role_type().name(),
        "version": document.version(),
        "sha256": hex::encode(sha256(document.bytes())),
    })
}

pub(super) fn changes_json(changes: &[Difference]) -> Value {
    let change =
        |change: &Difference| json!({ "subject": change.subject, "before": change.before, "after": change.after });
    changes.iter().map(change).collect()
}

pub(super) fn print_standing(standing: &Standing, printer: Printer) {
    let have = standing.signed.len();
    let text =
        format!("{} by the keys of root {}: {have} of {} needed", standing.role, standing.by_root, standing.needed);
    let signed = if standing.signed.is_empty() { "nobody yet".to_owned() } else { standing.signed.join(", ") };
    let missing =
        if standing.missing.is_empty() { String::new() } else { format!("; not yet: {}", standing.missing.join(", ")) };
    printer.result(printable(format!("  {text}; signed by {signed}{missing}")));
}

pub(super) fn standing_json(standing: &Standing) -> Value {
    json!({
        "role": standing.role,
        "byRoot": standing.by_root,
        "needed": standing.needed,
        "signed": standing.signed,
        "missing": standing.missing,
        "met": standing.is_met(),
    })
}

/// Whole days until then; negative once it is over.
pub(super) fn days_left(at: Timestamp, now: Timestamp) -> i64 {
    at.duration_since(now).as_secs().div_euclid(24 * 60 * 60)
}

pub(super) fn print_walked(walked: &Walked, now: Timestamp, printer: Printer) {
    for document in [walked.root.document(), &walked.targets, &walked.snapshot, &walked.timestamp] {
        printer.result(format_args!(
            "{:<9} version {:<4} until {} ({} days)",
            document.role_type().name(),
            document.version(),
            document.expires(),
            days_left(document.expires(), now)
        ));
    }
    for (name, role) in &walked.delegated {
        let (version, expires) = (role.document.version(), role.document.expires());
        let days = days_left(expires, now);
        printer.result(format_args!("delegated {} version {version} until {expires} ({days} days)", printable(name)));
    }
    let delegated = walked.delegated.values().flat_map(|role| &role.files);
    for (name, bytes) in walked.files.iter().chain(delegated) {
        printer.result(format_args!("target    {} ({} bytes)", printable(name), bytes.len()));
    }
}

pub(super) fn walked_json(walked: &Walked, findings: &[Finding], now: Timestamp) -> Value {
    let named = |name: &str, document: &Document| {
        json!({
            "role": name,
            "version": document.version(),
            "expires": document.expires().to_string(),
            "daysLeft": days_left(document.expires(), now),
        })
    };
    let document = |document: &touchmark_trust::document::Document| named(document.role_type().name(), document);
    let roles = [walked.root.document(), &walked.targets, &walked.snapshot, &walked.timestamp];
    let delegated = walked.delegated.iter().map(|(name, role)| named(name, &role.document));
    let files = walked.files.keys().chain(walked.delegated.values().flat_map(|role| role.files.keys()));
    let finding =
        |finding: &Finding| json!({ "severity": finding.severity().to_string(), "text": finding.to_string() });
    json!({
        "version": 1,
        "roles": roles.map(document),
        "delegated": delegated.collect::<Vec<_>>(),
        "targets": files.collect::<Vec<_>>(),
        "unsound": walked.unsound.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

pub(super) fn print_findings(findings: &[Finding], printer: Printer) {
    for finding in findings {
        printer.result(printable(format!("{}: {finding}", finding.severity())));
    }
}
