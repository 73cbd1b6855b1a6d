// SPDX-License-Identifier: Apache-2.0
//! The end of a file: what the next line follows, and what a crash left behind it.
//!
//! In scope: telling a torn end, which a crash can leave, from a chain that is broken and from a file that is something else, which none can.
//! Out of scope: the lines before ([`super::verify`]).
//! Invariants: only bytes after the last line feed are torn, and only if what is before them is whole lines of a chain or, in an empty place, they begin
//! as a first line does; whatever else is found is an error and no bytes are torn. A group is one write, so a crash can tear it at any byte; blocks
//! that the disk did not get read as zeros. Zeros up to the end are part of the torn bytes, since no line holds one; zeros before a later line
//! feed are an error, because whole lines may follow them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use jiff::Timestamp;
use touchmark_keys::sha256;

use super::GROUP_BYTES_MAX;
use super::line::{self, FIRST_PREVIOUS, LINE_BYTES_MAX, Link};
use super::verify::AuditProblem;
use super::{AuditKind, Entry};

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

/// Why the end of a file is none of a chain.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// There is no line of an audit log in it, nor the beginning of one: it is something else.
    NoAuditLog,
    /// It is that of another authority.
    OtherAuthority(AuditKind),
    Broken(AuditProblem),
}

/// Reads the end of a file and checks the chain there.
pub(super) fn read(file: &mut File, kind: AuditKind) -> io::Result<Result<Tail, Unfit>> {
    let length = file.seek(SeekFrom::End(0))?;
    let start = file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(of_bytes(start, &bytes, kind))
}

/// `start` is where in the file the bytes begin.
pub(super) fn of_bytes(start: u64, bytes: &[u8], kind: AuditKind) -> Result<Tail, Unfit> {
    let (lines, torn) = bytes.split_at(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    // The first line that is there as a whole.
    let begin = if start == 0 { 0 } else { lines.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1) };
    let mut expect = (start == 0).then_some((FIRST_PREVIOUS, 0));
    for line in lines[begin..].split_inclusive(|byte| *byte == b'\n') {
        match check(&line[..line.len() - 1], expect.as_ref(), kind) {
            Ok(next) => expect = Some(next),
            Err(AuditProblem::OtherAuthority { found, .. }) => return Err(Unfit::OtherAuthority(found)),
            Err(_) if !lines.split(|byte| *byte == b'\n').any(|line| Link::parse(line).is_some()) => {
                return Err(Unfit::NoAuditLog);
            }
            Err(problem) => return Err(Unfit::Broken(problem)),
        }
    }
    // Without a line that was checked there is nothing to go on from.
    let (previous, sequence) = expect.ok_or(Unfit::NoAuditLog)?;
    if lines.is_empty() && !begins_first_line(torn) {
        return Err(Unfit::NoAuditLog);
    }
    Ok(Tail { previous, sequence, whole_bytes: start + lines.len() as u64, torn_bytes: torn.len() as u64 })
}

/// Whether a crash can have left this of the first write to a file, or nothing was written.
fn begins_first_line(torn: &[u8]) -> bool {
    let written = torn.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let (written, beginning) = (&torn[..written], line::first_beginning());
    let as_ours = written.starts_with(&beginning) || beginning.starts_with(written);
    as_ours && written.len() <= LINE_BYTES_MAX && written.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// The link that the next line has, if this one, without its line feed, has that of the line before.
fn check(line: &[u8], expect: Option<&([u8; 32], u64)>, kind: AuditKind) -> Result<([u8; 32], u64), AuditProblem> {
    let number = expect.map_or(1, |(_, sequence)| sequence + 1);
    let link = super::verify::link(line, number, kind)?;
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
