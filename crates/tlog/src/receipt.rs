// SPDX-License-Identifier: Apache-2.0
//! Receipts: the proof that a leaf is in a log, as one text that is verified offline (C2SP tlog-proof, version 1).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>            may be left out; nobody signs it
//! index <decimal>
//! <base64 of a hash>        the inclusion proof, from the leaf's sibling up
//!
//! <the checkpoint, a signed note>
//! ```
//!
//! In scope: writing, parsing, verifying under the key of a log. Out of scope: quorums of witnesses (crate `sigstore`), fetching.
//! Invariants: parsing accepts exactly what writing gives; extra data are handed out as what they are, unsigned; a [`ProvenLeaf`] is made by
//! [`Receipt::verify`] alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::{Hash, LeafIndex};
use crate::note::{NOTE_BYTES_MAX, NoteError, NoteKey, SignedNote};
use crate::proof::{Included, PROOF_HASHES_MAX, ProofError, verify_inclusion};

/// The longest extra data; the leaf of a Rekor log, which has 64 KiB at most, has room.
pub const EXTRA_BYTES_MAX: usize = 1 << 17;
/// The longest receipt: its note, its extra data in base64, its lines.
pub const RECEIPT_BYTES_MAX: usize = NOTE_BYTES_MAX + EXTRA_BYTES_MAX * 2 + 64 * 64;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A receipt. That it parsed says nothing: see [`Receipt::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What the application wants to carry along, if anything; not empty.
    pub extra: Option<Vec<u8>>,
    /// Where the leaf stands.
    pub index: LeafIndex,
    /// The inclusion proof.
    pub proof: Vec<Hash>,
    /// The checkpoint as the log signed it, with cosignatures or without.
    pub note: SignedNote,
}

/// Why a text is not a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Longer than any receipt.
    #[error("expected at most {RECEIPT_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// No text, or no empty line before the checkpoint.
    #[error("expected lines of text, an empty line and a checkpoint")]
    Form,
    /// Another format, or another version.
    #[error("line 1: expected {FIRST_LINE}")]
    FirstLine,
    /// Malformed, empty or too long extra data.
    #[error("line 2: expected `extra` and the base64 of 1 to {EXTRA_BYTES_MAX} bytes")]
    Extra,
    /// No index in its one spelling.
    #[error("line {line}: expected `index` and a number without leading zeroes")]
    Index {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A line of the proof.
    #[error("line {line}: expected the base64 of a hash of 32 bytes")]
    ProofLine {
        /// Number of the line, from 1.
        line: usize,
    },
    /// More hashes than any proof has.
    #[error("the inclusion proof has more than {PROOF_HASHES_MAX} hashes")]
    TooManyHashes,
    /// The checkpoint is no signed note.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
}

/// Why a receipt does not prove that a leaf is in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFailure {
    /// The log has not signed it.
    #[error("expected a checkpoint signed by the log: {0}")]
    Note(NoteError),
    /// What was signed is no checkpoint.
    #[error("the log has signed something else than a checkpoint: {0}")]
    Checkpoint(CheckpointError),
    /// The log's key signs for another log as well.
    #[error("expected a checkpoint of {expected}, found one of {found}")]
    Origin {
        /// The name of the log's key.
        expected: String,
        /// What the checkpoint says.
        found: String,
    },
    /// The leaf is not the one at that place.
    #[error("the leaf is not proved: {0}")]
    Inclusion(ProofError),
}

/// That a leaf is in the tree of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenLeaf {
    origin: String,
    included: Included,
}

impl ProvenLeaf {
    /// The log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The place in the tree, and the tree.
    pub fn included(&self) -> Included {
        self.included
    }
}

impl Receipt {
    /// The text; its file ends in `.tlog-proof`.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.proof {
            text.push_str(&format!("{}\n", STANDARD.encode(hash.0)));
        }
        format!("{text}\n{}", self.note)
    }

    /// Reads a receipt.
    pub fn parse(bytes: &[u8]) -> Result<Receipt, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLong { found: bytes.len() });
        }
        let text = str::from_utf8(bytes).map_err(|_| ReceiptError::Form)?;
        let (head, note) = text.split_once("\n\n").ok_or(ReceiptError::Form)?;
        let mut lines = head.split('\n').enumerate().map(|(position, line)| (position + 1, line)).peekable();
        if lines.next().is_none_or(|(_, line)| line != FIRST_LINE) {
            return Err(ReceiptError::FirstLine);
        }
        let extra = lines.next_if(|(_, line)| line.starts_with("extra"));
        let extra = extra.map(|(_, line)| parse_extra(line).ok_or(ReceiptError::Extra)).transpose()?;
        let (line, index) = lines.next().unwrap_or((2, ""));
        let index = parse_index(index).ok_or(ReceiptError::Index { line })?;
        let mut proof = Vec::new();
        for (line, hash) in lines {
            if proof.len() == PROOF_HASHES_MAX {
                return Err(ReceiptError::TooManyHashes);
            }
            proof.push(parse_hash(hash).ok_or(ReceiptError::ProofLine { line })?);
        }
        Ok(Receipt { extra, index, proof, note: SignedNote::parse(note.as_bytes())? })
    }

    /// Proves that the leaf with this hash is in the log of this key. Whether witnesses saw the tree is another question, about
    /// [`Receipt::note`].
    pub fn verify(&self, leaf: &Hash, log: &NoteKey) -> Result<ProvenLeaf, ReceiptFailure> {
        log.verify(&self.note).map_err(ReceiptFailure::Note)?;
        let checkpoint = Checkpoint::parse(self.note.text()).map_err(ReceiptFailure::Checkpoint)?;
        if checkpoint.origin != log.name() {
            return Err(ReceiptFailure::Origin { expected: log.name().to_owned(), found: checkpoint.origin });
        }
        let included = verify_inclusion(leaf, self.index, checkpoint.size, &self.proof, &checkpoint.root)
            .map_err(ReceiptFailure::Inclusion)?;
        Ok(ProvenLeaf { origin: checkpoint.origin, included })
    }
}

fn parse_extra(line: &str) -> Option<Vec<u8>> {
    let encoded = line.strip_prefix("extra ")?;
    if encoded.len() > EXTRA_BYTES_MAX * 2 {
        return None;
    }
    let extra = STANDARD.decode(encoded).ok()?;
    (1..=EXTRA_BYTES_MAX).contains(&extra.len()).then_some(extra)
}

fn parse_index(line: &str) -> Option<LeafIndex> {
    let digits = line.strip_prefix("index ")?;
    let index = LeafIndex(digits.parse().ok()?);
    (index.to_string() == digits).then_some(index)
}

fn parse_hash(line: &str) -> Option<Hash> {
    Hash::from_slice(&STANDARD.decode(line).ok()?).ok()
}

#[cfg(test)]
mod tests;
