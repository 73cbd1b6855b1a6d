// SPDX-License-Identifier: Apache-2.0
//! Evidence of a log's time: a checkpoint, with whatever cosignatures it has, and RFC 3161 tokens over all of it.
//!
//! ```text
//! touchmark.dev/log-evidence@v1
//! timestamp <authority> <base64 of the reply, DER>     one line for each authority
//!
//! <the checkpoint, a signed note>
//! ```
//!
//! If the log's clock, or its honesty about time, is in doubt: an entry below the size of the checkpoint was there at the time of the
//! tokens, for the log had signed its tree; what is signed after them and is not in that tree came later or was withheld.
//!
//! In scope: writing, parsing, verifying one piece and a series. Out of scope: stamping and keeping (crate `server`).
//! Invariants: parsing accepts exactly what writing gives; the tokens are over the bytes of the note as they stand; a [`VerifiedEvidence`] has
//! the log's signature and at least one token of an authority of the trusted root.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use touchmark_tlog::checkpoint::{Checkpoint, CheckpointError};
use touchmark_tlog::note::{NoteError, NoteKey, SignedNote};

use crate::trust::TrustedRoot;
use crate::tsp::TimestampError;
use crate::verify::{TimestampFailure, VerifiedTimestamp, signed_at};

/// The most tokens of one piece: its own authority and some foreign ones.
pub const STAMPS_MAX: usize = 8;
/// The longest reply of an authority that is kept; usual ones have 1 to 6 KiB.
pub const STAMP_BYTES_MAX: usize = 64 << 10;
/// The longest checkpoint that is stamped, with the cosignatures of many witnesses.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
/// The longest piece.
pub const EVIDENCE_BYTES_MAX: usize = STAMPS_MAX * (STAMP_BYTES_MAX * 2 + AUTHORITY_BYTES_MAX) + NOTE_BYTES_MAX + 256;
/// The longest name of an authority.
const AUTHORITY_BYTES_MAX: usize = 2048;

const FIRST_LINE: &str = "touchmark.dev/log-evidence@v1";

/// A stamped checkpoint. Nothing in it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    stamps: Vec<Stamp>,
    note: SignedNote,
}

/// The reply of a timestamp authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Where it was asked, for people; one word.
    pub authority: String,
    /// RFC 3161 `TimeStampResp`.
    pub reply: Vec<u8>,
}

/// Why a text is not evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    #[error("expected at most {EVIDENCE_BYTES_MAX} bytes, found {found}")]
    TooLong { found: usize },
    #[error("expected lines of text, an empty line and a checkpoint")]
    Form,
    #[error("line 1: expected {FIRST_LINE}")]
    FirstLine,
    #[error("line {line}: expected `timestamp`, an authority and the base64 of its reply")]
    Stamp { line: usize },
    #[error("expected 1 to {STAMPS_MAX} timestamps, found {found}")]
    Count { found: usize },
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
}

/// Why evidence proves no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFailure {
    #[error("expected a checkpoint signed by the log: {0}")]
    Note(NoteError),
    #[error("the log has signed something else than a checkpoint: {0}")]
    Checkpoint(CheckpointError),
    #[error("expected a checkpoint of {expected}, found one of {found}")]
    Origin { expected: String, found: String },
    #[error("the timestamp of {authority} is not good: {problem}")]
    Stamp { authority: String, problem: String },
    #[error("expected a timestamp of an authority of the trusted root, found those of {}", .found.join(", "))]
    NoAuthority { found: Vec<String> },
}

/// A checkpoint of a log that existed at proved times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEvidence {
    checkpoint: Checkpoint,
    times: Vec<VerifiedTimestamp>,
    unknown: Vec<String>,
}

impl VerifiedEvidence {
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The times of the authorities of the trusted root; at least one.
    #[must_use]
    pub fn times(&self) -> &[VerifiedTimestamp] {
        &self.times
    }

    /// Authorities that the trusted root does not know; their tokens prove nothing to who trusts it.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// The earliest of the proved times: by then the tree was there.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.times.iter().map(VerifiedTimestamp::time).min().unwrap_or(Timestamp::MAX)
    }
}

impl Evidence {
    /// # Errors
    /// If it could not be read again.
    pub fn new(note: SignedNote, stamps: Vec<Stamp>) -> Result<Self, EvidenceError> {
        let evidence = Self { stamps, note };
        Self::parse(evidence.to_text().as_bytes())
    }

    /// What the timestamps are over.
    #[must_use]
    pub fn stamped_bytes(note: &SignedNote) -> Vec<u8> {
        note.to_bytes()
    }

    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    #[must_use]
    pub fn to_text(&self) -> String {
        let stamp = |stamp: &Stamp| format!("timestamp {} {}\n", stamp.authority, STANDARD.encode(&stamp.reply));
        let stamps: String = self.stamps.iter().map(stamp).collect();
        format!("{FIRST_LINE}\n{stamps}\n{}", self.note)
    }

    /// # Errors
    /// What was expected, and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return Err(EvidenceError::TooLong { found: bytes.len() });
        }
        let text = str::from_utf8(bytes).map_err(|_| EvidenceError::Form)?;
        let (head, note) = text.split_once("\n\n").ok_or(EvidenceError::Form)?;
        let mut lines = head.split('\n').zip(1..);
        if lines.next().is_none_or(|(line, _)| line != FIRST_LINE) {
            return Err(EvidenceError::FirstLine);
        }
        let stamps: Vec<Stamp> = lines
            .map(|(text, line)| parse_stamp(text).ok_or(EvidenceError::Stamp { line }))
            .collect::<Result<_, _>>()?;
        if !(1..=STAMPS_MAX).contains(&stamps.len()) {
            return Err(EvidenceError::Count { found: stamps.len() });
        }
        if note.len() > NOTE_BYTES_MAX {
            return Err(EvidenceError::Note(NoteError::TooLong { found: note.len() }));
        }
        Ok(Self { stamps, note: SignedNote::parse(note.as_bytes())? })
    }

    /// Proves when the checkpoint of the log with one of these keys was there. Authorities outside the trusted root are passed over; a wrong
    /// token of one inside it is not outweighed by a right one.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(
        &self,
        log: &NoteKey,
        root: &TrustedRoot,
        now: Timestamp,
    ) -> Result<VerifiedEvidence, EvidenceFailure> {
        log.verify(&self.note).map_err(EvidenceFailure::Note)?;
        let checkpoint = Checkpoint::parse(self.note.text()).map_err(EvidenceFailure::Checkpoint)?;
        if checkpoint.origin != log.name() {
            return Err(EvidenceFailure::Origin { expected: log.name().to_owned(), found: checkpoint.origin });
        }
        let message = Self::stamped_bytes(&self.note);
        let (mut times, mut unknown) = (Vec::new(), Vec::new());
        for Stamp { authority, reply } in &self.stamps {
            match signed_at(reply, &message, root, now) {
                Ok(time) => times.push(time),
                Err(
                    TimestampFailure::NoAuthority
                    | TimestampFailure::Token(TimestampError::SignerNotFound | TimestampError::SignerNotTrusted),
                ) => unknown.push(authority.clone()),
                Err(failure) => {
                    let problem = failure.found();
                    return Err(EvidenceFailure::Stamp { authority: authority.clone(), problem });
                }
            }
        }
        if times.is_empty() {
            return Err(EvidenceFailure::NoAuthority { found: unknown });
        }
        Ok(VerifiedEvidence { checkpoint, times, unknown })
    }
}

fn parse_stamp(line: &str) -> Option<Stamp> {
    let (authority, reply) = line.strip_prefix("timestamp ")?.split_once(' ')?;
    let is_word = !authority.is_empty() && authority.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_word || authority.len() > AUTHORITY_BYTES_MAX || reply.len() > STAMP_BYTES_MAX * 2 {
        return None;
    }
    let reply = STANDARD.decode(reply).ok()?;
    (1..=STAMP_BYTES_MAX).contains(&reply.len()).then(|| Stamp { authority: authority.to_owned(), reply })
}

/// Two pieces of one log whose trees have the same size must have the same root. (A token says that a tree was there by its time, and an old tree
/// may be stamped late by anybody: so a smaller tree with a later time contradicts nothing.)
///
/// # Errors
/// What contradicts.
pub fn agree<'a>(one: &VerifiedEvidence, other: &'a VerifiedEvidence) -> Result<&'a VerifiedEvidence, Forked> {
    let (first, second) = (&one.checkpoint, &other.checkpoint);
    if first.size == second.size && first.root != second.root {
        return Err(Forked { size: first.size.0 });
    }
    Ok(other)
}

/// A log has signed two histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two trees of {size} entries have different roots: the log forked")]
pub struct Forked {
    pub size: u64,
}

#[cfg(test)]
mod tests;
