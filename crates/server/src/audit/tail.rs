// SPDX-License-Identifier: Apache-2.0
//! The end of a file: what the next line follows, and what a crash left behind it.
//!
//! In scope: telling a torn end, which a crash can leave, from a chain that is broken, which none can. Out of scope: the lines before
//! ([`super::verify`]).
//! Invariant: only bytes that hold no whole line after the last good one are torn: a line that can be read is never cut off.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use jiff::Timestamp;
use touchmark_keys::sha256;

use super::Entry;
use super::GROUP_BYTES_MAX;
use super::line::{self, FIRST_PREVIOUS, LINE_BYTES_MAX, Link};
use super::verify::AuditProblem;

/// What is read of a file at a start: the group that a crash may have torn, which is longer than its limit by a line at most, and a line before.
const TAIL_BYTES: u64 = (GROUP_BYTES_MAX + 3 * LINE_BYTES_MAX) as u64;

/// What the next line follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) previous: [u8; 32],
    pub(super) sequence: u64,
    /// The length of the file up to the end of its last whole line.
    pub(super) whole_bytes: u64,
    /// What follows that.
    pub(super) torn_bytes: u64,
}

impl Tail {
    /// Appends the line of an entry to `group`; the next one follows it.
    pub(super) fn add<E: Entry>(&mut self, entry: &E, group: &mut Vec<u8>) {
        let line = line::of_entry(self.sequence, &self.previous, entry);
        self.push(&line, group);
    }

    pub(super) fn add_recovery(&mut self, time: Timestamp, torn_bytes: u64, group: &mut Vec<u8>) {
        let line = line::of_recovery(self.sequence, &self.previous, time, torn_bytes);
        self.push(&line, group);
    }

    fn push(&mut self, line: &[u8], group: &mut Vec<u8>) {
        group.extend_from_slice(line);
        group.push(b'\n');
        self.previous = sha256(line);
        self.sequence += 1;
    }
}

/// Reads the end of a file and checks the chain there.
pub(super) fn read(file: &mut File) -> io::Result<Result<Tail, AuditProblem>> {
    let length = file.seek(SeekFrom::End(0))?;
    let start = file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(of_bytes(start, &bytes))
}

/// `start` is where in the file the bytes begin.
pub(super) fn of_bytes(start: u64, bytes: &[u8]) -> Result<Tail, AuditProblem> {
    let mut expect = (start == 0).then_some((FIRST_PREVIOUS, 0));
    // The first line that is there as a whole; without one there is nothing to go on from.
    let begin = if start == 0 { Some(0) } else { bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1) };
    let begin = begin.ok_or(AuditProblem::NoLine { line: 1 })?;
    let (mut end, mut problem) = (begin, None);
    for line in bytes[begin..].split_inclusive(|byte| *byte == b'\n') {
        match check(line, expect.as_ref()) {
            Ok(next) => expect = Some(next),
            Err(found) => {
                problem = Some(found);
                break;
            }
        }
        end += line.len();
    }
    let rest = &bytes[end..];
    let (previous, sequence) = expect.ok_or(AuditProblem::NoLine { line: 1 })?;
    let holds_a_line = |line: &[u8]| line.strip_suffix(b"\n").and_then(Link::parse).is_some();
    match problem {
        Some(problem) if rest.split_inclusive(|byte| *byte == b'\n').any(holds_a_line) => Err(problem),
        _ => Ok(Tail { previous, sequence, whole_bytes: start + end as u64, torn_bytes: rest.len() as u64 }),
    }
}

/// The link that the next line has, if this one has that of the line before.
fn check(line: &[u8], expect: Option<&([u8; 32], u64)>) -> Result<([u8; 32], u64), AuditProblem> {
    let number = expect.map_or(1, |(_, sequence)| sequence + 1);
    let Some(line) = line.strip_suffix(b"\n") else {
        return Err(AuditProblem::Torn { line: number, bytes: line.len() as u64 });
    };
    let link = Link::parse(line).ok_or(AuditProblem::NoLine { line: number })?;
    if let Some((previous, sequence)) = expect {
        if link.sequence != *sequence {
            return Err(AuditProblem::Sequence { line: number, expected: *sequence, found: link.sequence });
        }
        if !link.follows(previous) {
            return Err(AuditProblem::Link { line: number });
        }
    }
    Ok((sha256(line), link.sequence.saturating_add(1)))
}
