// SPDX-License-Identifier: Apache-2.0
//! What a policy would accept, in sentences.
//!
//! In scope: every part of a policy; what is not said here is not demanded. Out of scope: what may be wrong with it (`lint`).

use std::fmt::Write as _;

use super::demands::Demands;
use super::identity::IdentityRule;
use super::{KeyRule, Policy};

impl Policy {
    /// What it would accept, one sentence or item a line.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.key() {
            Some(key) => lines.push(format!("Accepted is a signature by {}.", key_text(key))),
            None => {
                lines.push("Accepted is a signature with a certificate of any of these identities:".to_owned());
                lines.extend(self.rules().iter().enumerate().map(|(index, rule)| rule_text(index, rule)));
            }
        }
        lines.extend(self.demands().explain(self.key().is_none()));
        lines
    }
}

fn key_text(rule: &KeyRule) -> String {
    let digest: String = rule.key.spki_sha256().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String never fails.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let window = rule.valid_for.map_or(String::new(), |window| format!(", valid from {window}"));
    format!("the {:?} key with the SHA-256 digest {digest}{window}, without a certificate", rule.key.key_type())
}

fn rule_text(index: usize, rule: &IdentityRule) -> String {
    let mut text = match &rule.name {
        Some(name) => format!("{}. {name}: {}", index + 1, rule.san),
        None => format!("{}. {}", index + 1, rule.san),
    };
    if rule.san.san_type().is_none() {
        text.push_str(" as a name of any type");
    }
    let _ = write!(text, ", issued by {}", rule.issuer);
    for (extension, value) in &rule.extensions {
        let _ = write!(text, ", with {extension} {value}");
    }
    text.push('.');
    text
}

impl Demands {
    fn explain(&self, of_certificate: bool) -> Vec<String> {
        let mut lines = Vec::new();
        match self.log_entries {
            0 => lines.push("The signature need not be in a log.".to_owned()),
            logs => lines.push(format!("The signature is in {}.", count(logs, "log"))),
        }
        if self.log_operators > 0 {
            lines.push(format!("These logs are of {}.", count(self.log_operators, "operator")));
        }
        if of_certificate {
            lines.push(match self.scts {
                0 => "The certificate need not be in a certificate transparency log.".to_owned(),
                scts => format!("The certificate was promised to {}.", count(scts, "certificate transparency log")),
            });
        }
        if self.timestamps > 0 {
            lines.push(format!("The signature was timestamped by {}.", count(self.timestamps, "authority")));
        }
        match (self.times, of_certificate) {
            (0, false) => lines.push("The time of the signature need not be known.".to_owned()),
            (0, true) if self.timestamps > 0 => {}
            (0, true) => lines.push("The certificate must be valid when it is verified.".to_owned()),
            (times, _) => {
                lines.push(format!("The time of the signature is vouched for by {}.", count(times, "source")))
            }
        }
        if let Some(witnesses) = &self.witnesses {
            lines.push(format!("The log's checkpoint is cosigned by {}.", witnesses.describe()));
        }
        lines.push(match &self.predicate_type {
            Some(predicate_type) => format!("If it is over a statement, its type is {predicate_type}."),
            None => "If it is over a statement, the statement may be of any type.".to_owned(),
        });
        if self.legacy_entries_without_proof {
            lines.push("A log entry that was only promised counts (legacy-entries-without-proof).".to_owned());
        }
        lines
    }
}

fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("at least 1 {noun}"),
        (_, Some(stem)) => format!("at least {number} different {stem}ies"),
        (_, None) => format!("at least {number} different {noun}s"),
    }
}
