// SPDX-License-Identifier: Apache-2.0
//! One line: what it says, in which bytes, and the link to the line before.
//!
//! In scope: rendering, and the part that readers of a chain need. Out of scope: files.
//! Invariants: a line is a JSON object in printable ASCII, ends with a line feed and has at most [`LINE_BYTES_MAX`] bytes; texts from outside have at most
//! [`TEXT_BYTES_MAX`] before they are escaped.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchmark_sigstore::principal::{Principal, SubjectAltName};

/// What stands as the hash of the line before in the first line of a file.
pub(crate) const FIRST_PREVIOUS: [u8; 32] = [0; 32];
/// The longest text that is written whole: above every claim that is accepted.
const TEXT_BYTES_MAX: usize = 2048;
/// The longest line: four texts, each byte of which may be escaped by six, and what is around them.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;

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
#[derive(Serialize)]
struct Line<'l> {
    sequence: u64,
    previous: String,
    time: Timestamp,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    san: Option<San>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scts: Option<&'l [SctOf]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    torn_bytes: Option<u64>,
}

/// The members of a line by which it is part of a chain.
#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) sequence: u64,
    previous: String,
    pub(super) time: Timestamp,
}

impl Link {
    /// Reads a line without its line feed; `None` if it is none.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        if line.len() > LINE_BYTES_MAX {
            return None;
        }
        serde_json::from_slice(line).ok()
    }

    pub(super) fn follows(&self, previous: &[u8; 32]) -> bool {
        self.previous == hex::encode(previous)
    }
}

/// The line of a decision, without its line feed.
pub(super) fn of_decision(sequence: u64, previous: &[u8; 32], decision: &Decision) -> Vec<u8> {
    let principal = decision.known.principal.as_ref();
    let mut line = Line {
        request_id: Some(&decision.request_id),
        issuer: principal.map(|principal| bounded(&principal.issuer)),
        subject: principal.map(|principal| bounded(&principal.subject)),
        san: principal.map(|principal| San::of(&principal.san)),
        rule: decision.known.rule.as_deref().map(bounded),
        ..empty(sequence, previous, decision.time, "refused")
    };
    match &decision.outcome {
        Outcome::Refused { reason } => line.reason = Some(reason),
        Outcome::Issued { serial, certificate_sha256, scts } => {
            line.outcome = "issued";
            line.serial = Some(serial);
            line.certificate_sha256 = Some(certificate_sha256);
            line.scts = Some(scts);
        }
    }
    render(&line)
}

/// The line that says that so many bytes after the line before were no whole line.
pub(super) fn of_recovery(sequence: u64, previous: &[u8; 32], time: Timestamp, torn_bytes: u64) -> Vec<u8> {
    render(&Line { torn_bytes: Some(torn_bytes), ..empty(sequence, previous, time, "recovered") })
}

/// How the first line of a file begins, whatever it says.
pub(super) fn first_beginning() -> Vec<u8> {
    format!(r#"{{"sequence":0,"previous":"{}","time":""#, hex::encode(FIRST_PREVIOUS)).into_bytes()
}

fn empty<'l>(sequence: u64, previous: &[u8; 32], time: Timestamp, outcome: &'static str) -> Line<'l> {
    Line {
        sequence,
        previous: hex::encode(previous),
        time,
        outcome,
        reason: None,
        request_id: None,
        issuer: None,
        subject: None,
        san: None,
        rule: None,
        serial: None,
        certificate_sha256: None,
        scts: None,
        torn_bytes: None,
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

/// The text, or as much of its beginning as there is room for and a mark.
fn bounded(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}[cut]", &text[..end])
}

/// JSON has escapes for every character, and what is not ASCII stands in texts alone: so a terminal shows what is there.
fn render(line: &Line<'_>) -> Vec<u8> {
    let json = serde_json::to_string(line).expect("texts and numbers make JSON");
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let line = of_decision(7, &[0xab; 32], &decision("subject-1"));
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
            let line = of_decision(0, &FIRST_PREVIOUS, &decision(subject));
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
            let line = of_decision(u64::MAX, &FIRST_PREVIOUS, &decision);
            assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
            assert!(Link::parse(&line).unwrap().follows(&FIRST_PREVIOUS));
        }
    }
}
