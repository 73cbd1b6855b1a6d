// SPDX-License-Identifier: Apache-2.0
//! Signed notes (C2SP signed-note): a text and lines of signatures under it.
//!
//! In scope: the format ([`SignedNote`], [`NoteSignature`]) and the keys that sign notes ([`NoteKey`]).
//! Out of scope: what the text means ([`crate::checkpoint`]), private keys (crate `signers`), quorums of witnesses.
//! Invariants: parsing accepts exactly what writing gives; signatures of unknown keys are kept and never make a note invalid;
//! a text says nothing until a key of the reader's choice has verified it.

mod key;
mod vkey;

pub use key::{NoteAlgorithm, NoteKey, NoteKeyError, NoteVerified};
pub use vkey::{VKEY_BYTES_MAX, VkeyError};

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest note that is accepted, as in golang.org/x/mod/sumdb/note; holds 100 post-quantum signatures.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// Most signatures that a note may carry, as in golang.org/x/mod/sumdb/note; the specification demands 16 at least.
pub const SIGNATURE_LINES_MAX: usize = 100;
/// Length of the hint that says which key made a signature.
pub const KEY_HINT_BYTES: usize = 4;

/// How a signature line begins: em dash, space.
const SIGNATURE_LINE_START: &str = "\u{2014} ";

/// A text with at least one signature line. That it parsed says nothing about the signatures: see [`NoteKey::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line: `— <name> base64(<key hint> ‖ <signature>)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_hint: [u8; KEY_HINT_BYTES],
    signature: Vec<u8>,
}

/// Why bytes are not a signed note, or why a key does not vouch for one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("the note has {found} bytes, at most {NOTE_BYTES_MAX} are accepted")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// Not UTF-8.
    #[error("the note is not UTF-8")]
    NotUtf8,
    /// A control character other than newline.
    #[error("the note has a control character")]
    ControlCharacter,
    /// No empty line with at least one signature line after it, or no newline at the end.
    #[error("the note has no signatures under an empty line")]
    NoSignatures,
    /// More than [`SIGNATURE_LINES_MAX`] signatures.
    #[error("the note has more than {SIGNATURE_LINES_MAX} signatures")]
    TooManySignatures,
    /// A line under the text that is no signature line.
    #[error("signature line {line} of the note is malformed")]
    SignatureLine {
        /// Number of the line, from 1, under the empty line.
        line: usize,
    },
    /// A text to be signed must end with a newline.
    #[error("the text of a note must end with a newline")]
    TextWithoutNewline,
    /// No signature has the name and hint of the key.
    #[error("the note has no signature by {name} with key hint {}", hex::encode(.hint))]
    NotSignedBy {
        /// Name of the key.
        name: String,
        /// Its hint.
        hint: [u8; KEY_HINT_BYTES],
    },
    /// A signature that claims to be by the key is not.
    #[error("the signature of the note by {name} is not valid")]
    SignatureInvalid {
        /// Name of the key.
        name: String,
    },
    /// What stands in a signature is not what the algorithm writes: time, or the structure around the signature.
    #[error("the signature of the note by {name} is malformed")]
    SignatureMalformed {
        /// Name of the key.
        name: String,
    },
    /// The algorithm signs a time, and none was given, or one that it cannot say.
    #[error("signing this note needs a time")]
    TimeMissing,
    /// The algorithm signs tree heads, and the text is not a checkpoint without extension lines.
    #[error("only a checkpoint without extension lines can be signed as an RFC 6962 tree head")]
    NotATreeHead,
}

impl SignedNote {
    /// A note of this text, which ends with a newline, and these signatures.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<SignedNote, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::TextWithoutNewline);
        }
        if signatures.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        let note = SignedNote { text, signatures };
        // What is written must be readable under the same limits.
        SignedNote::parse(&note.to_bytes())
    }

    /// Reads a note.
    pub fn parse(bytes: &[u8]) -> Result<SignedNote, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { found: bytes.len() });
        }
        let note = str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::ControlCharacter);
        }
        // The text keeps the first newline of the last empty line; the text itself may hold empty lines.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let signatures = parse_signature_lines(lines)?;
        Ok(SignedNote { text: format!("{text}\n"), signatures })
    }

    /// The text, with its final newline. Unverified.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, of known and unknown keys, in the order of the note.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The same text with further signatures. Those that the note has already are not repeated.
    pub fn with_signatures(&self, more: &[NoteSignature]) -> Result<SignedNote, NoteError> {
        let mut signatures = self.signatures.clone();
        signatures.extend(more.iter().filter(|line| !self.signatures.contains(line)).cloned());
        SignedNote::new(self.text.clone(), signatures)
    }

    /// The note as it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

fn parse_signature_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let mut signatures = Vec::new();
    for (position, line) in lines.split('\n').enumerate() {
        if position == SIGNATURE_LINES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        signatures.push(NoteSignature::parse(line).ok_or(NoteError::SignatureLine { line: position + 1 })?);
    }
    Ok(signatures)
}

impl NoteSignature {
    /// Name of the key that claims to have signed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hint of the key that claims to have signed.
    pub fn key_hint(&self) -> [u8; KEY_HINT_BYTES] {
        self.key_hint
    }

    /// What the key wrote: the signature, with a time before it in some algorithms.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Reads signature lines alone, each with its newline, as a witness answers them: one at least, [`SIGNATURE_LINES_MAX`] at most.
    pub fn parse_lines(bytes: &[u8]) -> Result<Vec<NoteSignature>, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { found: bytes.len() });
        }
        let text = str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        parse_signature_lines(text.strip_suffix('\n').ok_or(NoteError::NoSignatures)?)
    }

    /// Reads one line, without its newline.
    fn parse(line: &str) -> Option<NoteSignature> {
        let (name, blob) = line.strip_prefix(SIGNATURE_LINE_START)?.split_once(' ')?;
        let blob = STANDARD.decode(blob).ok()?;
        let (key_hint, signature) = blob.split_first_chunk()?;
        if !is_key_name(name) || signature.is_empty() {
            return None;
        }
        Some(NoteSignature { name: name.to_owned(), key_hint: *key_hint, signature: signature.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.key_hint.as_slice(), &self.signature].concat();
        write!(f, "{SIGNATURE_LINE_START}{} {}", self.name, STANDARD.encode(blob))
    }
}

/// Whether a key may have this name: not empty, no Unicode space, no plus, and no ASCII control character, as in all of a note.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c < ' ' || c == '+')
}

#[cfg(test)]
mod tests;
