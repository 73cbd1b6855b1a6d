// SPDX-License-Identifier: Apache-2.0
//! What the audit log says of a request for a certificate.
//!
//! The members of a line: docs/fulcio-operations.md.
//!
//! In scope: a decision, and what was known when it was made. Out of scope: when something is decided (`decide`); the file (`crate::audit`).
//! Invariant: no token, key or signature is in it.

use jiff::Timestamp;
use serde::Serialize;
use touchmark_sigstore::principal::{Principal, SubjectAltName};

use crate::audit::{self, AuditKind, Entry, bounded};

/// The file of the certificate authority.
pub(crate) type AuditLog = audit::AuditLog<Decision>;

/// What was decided about one request.
pub(crate) struct Decision {
    pub(crate) time: Timestamp,
    pub(crate) request_id: String,
    pub(crate) known: Known,
    pub(crate) outcome: Outcome,
}

/// What had been proven about a request when it was decided.
#[derive(Clone, Default)]
pub(crate) struct Known {
    /// Issuer, subject and name, of a token that was verified.
    pub(crate) principal: Option<Principal>,
    /// The entry of the configuration that is about its issuer: a URL or a pattern.
    pub(crate) issuer_entry: Option<String>,
    /// What the rules of that entry said of its subject.
    pub(crate) rule: Option<String>,
}

pub(crate) enum Outcome {
    Issued {
        /// In hexadecimal, as is the hash.
        serial: String,
        certificate_sha256: String,
        scts: Vec<SctOf>,
    },
    Refused {
        reason: &'static str,
    },
}

/// A log that promised to show the certificate.
#[derive(Serialize)]
pub(crate) struct SctOf {
    /// In hexadecimal.
    pub(crate) log_id: String,
    /// Only static CT logs say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leaf_index: Option<u64>,
}

/// The name that the certificate has or would have had.
#[derive(Serialize)]
struct San {
    r#type: &'static str,
    value: String,
}

/// In the order in which it is written.
#[derive(Default, Serialize)]
struct Members<'d> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    request_id: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    san: Option<San>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scts: Option<&'d [SctOf]>,
}

impl Entry for Decision {
    const WITHOUT: &'static str = "no certificate is issued";
    const KIND: AuditKind = AuditKind::Certificates;

    fn time(&self) -> Timestamp {
        self.time
    }

    fn members(&self) -> impl Serialize {
        let principal = self.known.principal.as_ref();
        let mut members = Members {
            outcome: "refused",
            request_id: &self.request_id,
            issuer: principal.map(|principal| bounded(&principal.issuer)),
            subject: principal.map(|principal| bounded(&principal.subject)),
            san: principal.map(|principal| San::of(&principal.san)),
            rule: self.known.rule.as_deref().map(bounded),
            ..Members::default()
        };
        match &self.outcome {
            Outcome::Refused { reason } => members.reason = Some(reason),
            Outcome::Issued { serial, certificate_sha256, scts } => {
                members.outcome = "issued";
                members.serial = Some(serial);
                members.certificate_sha256 = Some(certificate_sha256);
                members.scts = Some(scts);
            }
        }
        members
    }
}

impl San {
    fn of(name: &SubjectAltName) -> Self {
        let (r#type, value) = match name {
            SubjectAltName::Email(value) => ("email", value),
            SubjectAltName::Uri(value) => ("uri", value),
            SubjectAltName::Username(value) => ("username", value),
            SubjectAltName::Dns(value) => ("dns", value),
        };
        Self { r#type, value: bounded(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::line::{FIRST_PREVIOUS, LINE_BYTES_MAX, Link, of_entry};

    fn decision(subject: &str) -> Decision {
        let principal = Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: subject.to_owned(),
            san: SubjectAltName::Email("alice@example.com".to_owned()),
            proof_subject: "alice@example.com".to_owned(),
            extensions: Vec::new(),
        };
        Decision {
            time: Timestamp::from_second(1_800_000_000).unwrap(),
            request_id: "00ff".to_owned(),
            known: Known { principal: Some(principal), issuer_entry: None, rule: Some("any-subject".to_owned()) },
            outcome: Outcome::Refused { reason: "SUBJECT_NOT_ALLOWED" },
        }
    }

    #[test]
    fn a_line_says_who_asked_and_what_was_decided() {
        let line = of_entry(7, &[0xab; 32], &decision("subject-1"));
        let expect = format!(
            r#"{{"sequence":7,"previous":"{}","time":"2027-01-15T08:00:00Z","outcome":"refused","reason":"SUBJECT_NOT_ALLOWED","request_id":"00ff","issuer":"https://issuer.example","subject":"subject-1","san":{{"type":"email","value":"alice@example.com"}},"rule":"any-subject"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(String::from_utf8(line).unwrap(), expect);
    }

    #[test]
    fn whatever_a_claim_holds_a_line_is_one_line_of_printable_ascii_that_says_the_same() {
        for subject in [
            "a\nb",
            "\u{1b}[2J\u{7f}",
            "\u{202e}\u{85}\u{2028}",
            "\u{e9}\u{1f600}",
            "\"\\\u{0}",
            "\",\"outcome\":\"issued",
        ] {
            let line = of_entry(0, &FIRST_PREVIOUS, &decision(subject));
            assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)), "{subject:?}");
            let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!((read["subject"].as_str(), read["outcome"].as_str()), (Some(subject), Some("refused")));
        }
    }

    #[test]
    fn the_longest_texts_fit_into_the_longest_line() {
        for character in ["\u{0}", "\u{e9}", "\u{1f600}", "\u{20ac}"] {
            let mut decision = decision(&character.repeat(3000));
            let principal = decision.known.principal.as_mut().unwrap();
            principal.issuer = principal.subject.clone();
            principal.san = SubjectAltName::Uri(principal.subject.clone());
            decision.known.rule = Some(principal.subject.clone());
            let sct = || SctOf { log_id: "a".repeat(64), leaf_index: Some(u64::MAX) };
            decision.outcome = Outcome::Issued {
                serial: "f".repeat(40),
                certificate_sha256: "f".repeat(64),
                scts: (0..8).map(|_| sct()).collect(),
            };
            let line = of_entry(u64::MAX, &FIRST_PREVIOUS, &decision);
            assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
            assert!(Link::parse(&line).unwrap().follows(&FIRST_PREVIOUS));
        }
    }
}
