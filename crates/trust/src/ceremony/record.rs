// SPDX-License-Identifier: Apache-2.0
//! The ceremony log: who did what when, one line of JSON each, every line bound to the one before.
//!
//! In scope: writing and checking it. Out of scope: keeping somebody who owns the file from writing it anew as a whole; putting its last
//! hash where others see it does that.
//! Invariant: a line that is changed, taken out or put in between breaks the chain.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use touchmark_keys::sha256;

use super::{CeremonyError, files};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    /// SHA-256 of the line before without its line feed; 64 zeros at the beginning.
    previous: String,
    at: Timestamp,
    program: String,
    action: String,
    details: Map<String, Value>,
}

/// Adds a line.
pub(crate) fn record(
    path: &Path,
    at: Timestamp,
    action: &str,
    details: Map<String, Value>,
) -> Result<(), CeremonyError> {
    let (_, previous) = check(path)?;
    let program = concat!("touchmark ", env!("CARGO_PKG_VERSION")).to_owned();
    let line = Line { previous: hex::encode(previous), at, program, action: action.to_owned(), details };
    let text = serde_json::to_string(&line).expect("a line of the ceremony log always serialises");
    files::append(path, &format!("{text}\n"))
}

/// Checks the chain; how many lines there are and the hash of the last, which commits to all of them.
pub(crate) fn check(path: &Path) -> Result<(usize, [u8; 32]), CeremonyError> {
    read(path).map(|(lines, last)| (lines.len(), last))
}

/// The lines, each of which follows the one before, and the hash of the last.
fn read(path: &Path) -> Result<(Vec<Line>, [u8; 32]), CeremonyError> {
    let bytes = files::read_if_there(path, files::FILE_BYTES_MAX)?.unwrap_or_default();
    let (mut lines, mut last) = (Vec::new(), [0; 32]);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let parsed = serde_json::from_slice(line).ok().filter(|parsed: &Line| parsed.previous == hex::encode(last));
        lines.push(parsed.ok_or(CeremonyError::LogBroken { line: lines.len() + 1 })?);
        last = sha256(line);
    }
    Ok((lines, last))
}

/// The key of a holder that was accepted last, as the log calls it.
pub(crate) fn accepted_key(path: &Path, holder: &str) -> Result<Option<String>, CeremonyError> {
    let (lines, _) = read(path)?;
    let text = |line: &Line, member: &str| line.details.get(member).and_then(Value::as_str).map(str::to_owned);
    let of_holder = |line: &Line| line.action == "enrol" && text(line, "holder").as_deref() == Some(holder);
    Ok(lines.iter().rev().filter(|line| of_holder(line)).find_map(|line| text(line, "key")))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        // Each case syncs a file several times.
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_a_log_or_an_error(bytes: Vec<u8>, position: proptest::sample::Index, byte: u8) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("log.jsonl");
            std::fs::write(&path, &bytes).unwrap();
            let is_empty = bytes.iter().all(|byte| *byte == b'\n');
            proptest::prop_assert_eq!(check(&path).is_ok(), is_empty);
            // A log of two lines with one byte exchanged: whatever is still a log commits to other bytes.
            std::fs::remove_file(&path).unwrap();
            for action in ["init", "enrol"] {
                record(&path, Timestamp::UNIX_EPOCH, action, Map::new()).unwrap();
            }
            let (good, mut bytes) = (check(&path).unwrap(), std::fs::read(&path).unwrap());
            let position = position.index(bytes.len() - 1);
            let is_same = bytes[position] == byte;
            bytes[position] = byte;
            std::fs::write(&path, bytes).unwrap();
            proptest::prop_assert_eq!(check(&path).ok() == Some(good), is_same);
        }
    }

    #[test]
    fn a_line_that_is_changed_taken_out_or_moved_breaks_the_chain() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.jsonl");
        for action in ["init", "enrol", "publish"] {
            record(&path, Timestamp::UNIX_EPOCH, action, Map::new()).unwrap();
        }
        assert_eq!(check(&path).unwrap().0, 3);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (twin, line) in [
            (text.replace("enrol", "unrol"), 3),
            ([lines[0], lines[2]].join("\n"), 2),
            ([lines[1], lines[0], lines[2]].join("\n"), 1),
            (text.replace("\"details\"", "\"detail\""), 1),
        ] {
            std::fs::write(&path, twin).unwrap();
            assert!(matches!(check(&path), Err(CeremonyError::LogBroken { line: found }) if found == line));
        }
    }
}
