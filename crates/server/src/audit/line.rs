// SPDX-License-Identifier: Apache-2.0
//! One line: in which bytes, and the link to the line before.
//!
//! In scope: rendering, and the part that readers of a chain need. Out of scope: files; what the lines of one authority say ([`Entry`]).
//! Invariants: a line is a JSON object in printable ASCII, ends with a line feed and has at most [`LINE_BYTES_MAX`] bytes; texts from outside have at most
//! [`TEXT_BYTES_MAX`] before they are escaped.

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{AuditKind, Entry};

/// What stands as the hash of the line before in the first line of a file.
pub(crate) const FIRST_PREVIOUS: [u8; 32] = [0; 32];
/// The longest text that is written whole: above every claim that is accepted.
const TEXT_BYTES_MAX: usize = 2048;
/// The longest line: four texts, each byte of which may be escaped by six, and what is around them.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;

/// In the order in which it is written.
#[derive(Serialize)]
struct Line<M> {
    sequence: u64,
    previous: String,
    time: Timestamp,
    #[serde(flatten)]
    members: M,
}

/// So many bytes after the line before were no whole line.
#[derive(Serialize)]
struct Recovery {
    outcome: &'static str,
    torn_bytes: u64,
}

/// The members of a line by which it is part of a chain.
#[derive(Deserialize)]
pub(crate) struct Link {
    pub(super) sequence: u64,
    previous: String,
    pub(super) time: Timestamp,
    /// In each line of a certificate authority.
    request_id: Option<IgnoredAny>,
    /// In each line of a timestamp authority.
    gen_time: Option<IgnoredAny>,
}

impl Link {
    /// Reads a line without its line feed; `None` if it is none.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        if line.len() > LINE_BYTES_MAX {
            return None;
        }
        serde_json::from_slice(line).ok()
    }

    /// Whose line it is. One that says what a start found can be anybody's.
    pub(super) fn kind(&self) -> Option<AuditKind> {
        let certificates = self.request_id.is_some().then_some(AuditKind::Certificates);
        certificates.or(self.gen_time.is_some().then_some(AuditKind::Timestamps))
    }

    pub(crate) fn follows(&self, previous: &[u8; 32]) -> bool {
        self.previous == hex::encode(previous)
    }
}

/// How the first line of a file begins, whatever it says.
pub(super) fn first_beginning() -> Vec<u8> {
    format!(r#"{{"sequence":0,"previous":"{}","time":""#, hex::encode(FIRST_PREVIOUS)).into_bytes()
}

/// The line of an entry, without its line feed.
pub(crate) fn of_entry<E: Entry>(sequence: u64, previous: &[u8; 32], entry: &E) -> Vec<u8> {
    render(&Line { sequence, previous: hex::encode(previous), time: entry.time(), members: entry.members() })
}

/// The line that says that so many bytes after the line before were no whole line.
pub(super) fn of_recovery(sequence: u64, previous: &[u8; 32], time: Timestamp, torn_bytes: u64) -> Vec<u8> {
    let members = Recovery { outcome: "recovered", torn_bytes };
    render(&Line { sequence, previous: hex::encode(previous), time, members })
}

/// The text, or as much of its beginning as there is room for and a mark.
pub(crate) fn bounded(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}[cut]", &text[..end])
}

/// JSON has escapes for every character, and what is not ASCII stands in texts alone: so a terminal shows what is there.
fn render<M: Serialize>(line: &Line<M>) -> Vec<u8> {
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
