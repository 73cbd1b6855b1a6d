// SPDX-License-Identifier: Apache-2.0
//! The ceremony log: who did what when, one line of JSON each, every line bound to the one before.
//!
//! In scope: writing and checking it, what it says of keys and publications. Out of scope: keeping somebody who owns the file from writing it
//! anew as a whole; putting its last hash where others see it does that.
//! Invariants: a line that is changed, taken out or put in between breaks the chain. What a crash left of a last line is no line: the next one
//! says how long it was and takes its place.

use std::collections::BTreeMap;
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

/// The log as it was read.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Vec<Line>,
    last: [u8; 32],
    /// The length of the whole lines, in bytes.
    whole: usize,
    /// How many bytes follow that are no whole line.
    torn: usize,
}

impl Log {
    /// Reads the log and checks its chain.
    ///
    /// # Errors
    /// If a line does not follow the one before.
    pub(crate) fn read(path: &Path) -> Result<Self, CeremonyError> {
        let bytes = files::read_if_there(path, files::FILE_BYTES_MAX)?.unwrap_or_default();
        let mut log = Self { lines: Vec::new(), last: [0; 32], whole: 0, torn: 0 };
        for text in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = text.strip_suffix(b"\n");
            match log.next(line.unwrap_or(text)) {
                Some(parsed) if line.is_some() => log.lines.push(parsed),
                None if line.is_some() => return Err(CeremonyError::LogBroken { line: log.lines.len() + 1 }),
                // Without its line feed it was never acknowledged.
                _ => {
                    log.torn = text.len();
                    return Ok(log);
                }
            }
            log.last = sha256(line.unwrap_or(text));
            log.whole += text.len();
        }
        Ok(log)
    }

    fn next(&self, line: &[u8]) -> Option<Line> {
        serde_json::from_slice(line).ok().filter(|parsed: &Line| parsed.previous == hex::encode(self.last))
    }

    /// How many lines there are, and the hash of the last, which commits to all of them.
    pub(crate) fn head(&self) -> (usize, [u8; 32]) {
        (self.lines.len(), self.last)
    }

    /// How many bytes of a last line a crash left.
    pub(crate) fn torn(&self) -> usize {
        self.torn
    }

    /// The key of a holder that was accepted last, as the log calls it.
    pub(crate) fn accepted_key(&self, holder: &str) -> Option<&str> {
        let of_holder =
            |line: &&Line| line.action == "enrol" && line.details.get("holder").and_then(Value::as_str) == Some(holder);
        self.lines.iter().rev().filter(of_holder).find_map(|line| line.details.get("key")?.as_str())
    }

    /// Every file that was published, with its SHA-256 in hexadecimal. What the online machine signs later is in no line with its hash.
    pub(crate) fn published(&self) -> BTreeMap<&str, &str> {
        let files = self.lines.iter().filter_map(|line| line.details.get("files")?.as_object()).flatten();
        files.filter_map(|(name, hash)| Some((name.as_str(), hash.as_str()?))).collect()
    }
}

/// Adds a line.
pub(crate) fn record(
    path: &Path,
    at: Timestamp,
    action: &str,
    mut details: Map<String, Value>,
) -> Result<(), CeremonyError> {
    let log = Log::read(path)?;
    if log.torn > 0 {
        details.insert("tornBytes".to_owned(), log.torn.into());
    }
    let program = concat!("touchmark ", env!("CARGO_PKG_VERSION")).to_owned();
    let line = Line { previous: hex::encode(log.last), at, program, action: action.to_owned(), details };
    let text = serde_json::to_string(&line).expect("a line of the ceremony log always serialises");
    files::append(path, log.whole, &format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_lines(path: &Path) -> String {
        for action in ["init", "enrol", "publish"] {
            record(path, Timestamp::UNIX_EPOCH, action, Map::new()).unwrap();
        }
        std::fs::read_to_string(path).unwrap()
    }

    fn head(path: &Path) -> Result<(usize, [u8; 32]), CeremonyError> {
        Log::read(path).map(|log| log.head())
    }

    proptest::proptest! {
        // Each case syncs a file several times.
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_a_log_or_an_error(bytes: Vec<u8>, position: proptest::sample::Index, byte: u8) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("log.jsonl");
            std::fs::write(&path, &bytes).unwrap();
            // Without a line feed it is what a crash left of a first line.
            let is_log = !bytes.contains(&b'\n');
            proptest::prop_assert_eq!(Log::read(&path).is_ok(), is_log);
            // A log of two lines with one byte exchanged: whatever is still a log commits to other bytes.
            std::fs::remove_file(&path).unwrap();
            for action in ["init", "enrol"] {
                record(&path, Timestamp::UNIX_EPOCH, action, Map::new()).unwrap();
            }
            let (good, mut bytes) = (head(&path).unwrap(), std::fs::read(&path).unwrap());
            let position = position.index(bytes.len() - 1);
            let is_same = bytes[position] == byte;
            bytes[position] = byte;
            std::fs::write(&path, bytes).unwrap();
            proptest::prop_assert_eq!(head(&path).ok() == Some(good), is_same);
        }
    }

    #[test]
    fn a_line_that_is_changed_taken_out_or_moved_breaks_the_chain() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.jsonl");
        let text = three_lines(&path);
        assert_eq!(Log::read(&path).unwrap().head().0, 3);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for (twin, line) in [
            (text.replace("enrol", "unrol"), 3),
            ([lines[0], lines[2]].concat(), 2),
            ([lines[1], lines[0], lines[2]].concat(), 1),
            (text.replace("\"details\"", "\"detail\""), 1),
            (text.replace("publish", "publisher\n"), 3),
        ] {
            std::fs::write(&path, twin).unwrap();
            assert!(matches!(Log::read(&path), Err(CeremonyError::LogBroken { line: found }) if found == line));
        }
    }

    #[test]
    fn what_a_crash_left_of_a_last_line_is_counted_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.jsonl");
        let text = three_lines(&path);
        let whole = text[..text.len() - 1].rfind('\n').unwrap() + 1;
        for length in whole + 1..text.len() {
            std::fs::write(&path, &text[..length]).unwrap();
            let log = Log::read(&path).unwrap();
            assert_eq!((log.head().0, log.torn()), (2, length - whole));
            record(&path, Timestamp::UNIX_EPOCH, "publish", Map::new()).unwrap();
            let after = std::fs::read_to_string(&path).unwrap();
            assert!(after.starts_with(&text[..whole]), "{after}");
            assert!(after.ends_with(&format!("{{\"tornBytes\":{}}}}}\n", length - whole)), "{after}");
            assert_eq!((Log::read(&path).unwrap().head().0, Log::read(&path).unwrap().torn()), (3, 0));
        }
    }
}
