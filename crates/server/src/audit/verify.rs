// SPDX-License-Identifier: Apache-2.0
//! Proving that a file is one chain from its first line to its last.
//!
//! In scope: the links, the numbers, a hash that must be among the lines. Out of scope: whether what the lines say is true; whether lines are missing at the
//! end, which only somebody can tell who remembers a later hash.
//! Invariant: memory is bounded by one line, whatever the file holds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;
use touchmark_keys::sha256;
use touchmark_signers::InWords;

use super::AuditKind;
use super::line::{FIRST_PREVIOUS, LINE_BYTES_MAX, Link};

/// A whole chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditChain {
    lines: u64,
    last: [u8; 32],
    span: Option<(Timestamp, Timestamp)>,
}

impl AuditChain {
    /// How many lines it has.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The SHA-256 of its last line without the line feed, which stands for all of them; zeros if there is none.
    #[must_use]
    pub fn last_hash(&self) -> [u8; 32] {
        self.last
    }

    /// The times of the first line and of the last.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.span
    }
}

/// Why a file is no chain. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditProblem {
    /// It cannot be read.
    #[error("it cannot be read: {}", InWords(*kind))]
    Unreadable {
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// There is something else in place of a line, or a line is longer than any that is written.
    #[error("line {line} is not a line of an audit log")]
    NoLine {
        /// Which.
        line: u64,
    },
    /// It is a line of another authority.
    #[error("line {line} is one of a {found}'s audit log, which is verified by `{}`", found.verified_by())]
    OtherAuthority {
        /// Which.
        line: u64,
        /// Whose it is.
        found: AuditKind,
    },
    /// It is not the line that was written after the one before.
    #[error(
        "line {line} does not hold the SHA-256 of the line before it: one of the two was changed, or lines between them removed"
    )]
    Link {
        /// Which.
        line: u64,
    },
    /// A line is missing or there twice.
    #[error("line {line} has the sequence number {found} and should have {expected}")]
    Sequence {
        /// Which.
        line: u64,
        /// What it should have.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// The last line has no end: a server is writing it, or was cut off while it did.
    #[error("line {line}, the last one, has no end: {bytes} bytes were torn off or are still being written")]
    Torn {
        /// Which.
        line: u64,
        /// How much of it is there.
        bytes: u64,
    },
    /// A line that was there is not.
    #[error(
        "no line has the SHA-256 {}: the line, and all before it, were changed, or it was removed with all after it",
        hex::encode(hash)
    )]
    Missing {
        /// The hash that was asked for.
        hash: [u8; 32],
    },
}

/// Proves a file of one authority. With `holds`, one of its lines must have this hash: so it goes on from what somebody saw before.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_audit_log(path: &Path, kind: AuditKind, holds: Option<[u8; 32]>) -> Result<AuditChain, AuditProblem> {
    let file = File::open(path).map_err(|error| AuditProblem::Unreadable { kind: error.kind() })?;
    let mut file = BufReader::new(file);
    let mut chain = AuditChain { lines: 0, last: FIRST_PREVIOUS, span: None };
    let mut seen = holds.is_none();
    while let Some(line) = next_line(&mut file, chain.lines + 1)? {
        chain = follow(&chain, &line, kind)?;
        seen |= holds == Some(chain.last);
    }
    match holds {
        Some(hash) if !seen => Err(AuditProblem::Missing { hash }),
        _ => Ok(chain),
    }
}

fn follow(chain: &AuditChain, line: &[u8], kind: AuditKind) -> Result<AuditChain, AuditProblem> {
    let number = chain.lines + 1;
    let link = link(line, number, kind)?;
    if link.sequence != chain.lines {
        return Err(AuditProblem::Sequence { line: number, expected: chain.lines, found: link.sequence });
    }
    if !link.follows(&chain.last) {
        return Err(AuditProblem::Link { line: number });
    }
    let first = chain.span.map_or(link.time, |(first, _)| first);
    Ok(AuditChain { lines: number, last: sha256(line), span: Some((first, link.time)) })
}

/// The link of a line that this authority can have written.
pub(super) fn link(line: &[u8], number: u64, kind: AuditKind) -> Result<Link, AuditProblem> {
    let link = Link::parse(line).ok_or(AuditProblem::NoLine { line: number })?;
    match link.kind() {
        Some(found) if found != kind => Err(AuditProblem::OtherAuthority { line: number, found }),
        _ => Ok(link),
    }
}

/// The next line without its line feed.
fn next_line(file: &mut BufReader<File>, number: u64) -> Result<Option<Vec<u8>>, AuditProblem> {
    let mut line = Vec::new();
    let limited = file.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
    limited.map_err(|error| AuditProblem::Unreadable { kind: error.kind() })?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        // The last line is longer than any that is written only if it is what a power cut left.
        Some(last) if line.len() >= LINE_BYTES_MAX => {
            line.push(last);
            Err(torn_by_a_power_cut(file, &line, number)?)
        }
        Some(_) => Err(AuditProblem::Torn { line: number, bytes: line.len() as u64 + 1 }),
    }
}

/// Zeros up to the end of the file are blocks that the disk did not get, as many as a group has; a start cuts them off with what is before them.
fn torn_by_a_power_cut(file: &mut BufReader<File>, begun: &[u8], number: u64) -> Result<AuditProblem, AuditProblem> {
    let no_line = AuditProblem::NoLine { line: number };
    if begun.last() != Some(&0) {
        return Ok(no_line);
    }
    let mut bytes = begun.len() as u64;
    loop {
        let chunk = file.fill_buf().map_err(|error| AuditProblem::Unreadable { kind: error.kind() })?;
        if chunk.is_empty() {
            return Ok(AuditProblem::Torn { line: number, bytes });
        }
        if chunk.iter().any(|byte| *byte != 0) {
            return Ok(no_line);
        }
        let read = chunk.len();
        bytes += read as u64;
        file.consume(read);
    }
}
