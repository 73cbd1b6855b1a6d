// SPDX-License-Identifier: Apache-2.0
//! What a log and a witness say to each other (C2SP tlog-witness, `add-checkpoint`).
//!
//! In scope: the request, written and parsed; the answers 200 (lines of cosignatures) and 409 (a size).
//! Out of scope: HTTP, which witness is asked when (crate `server`), quorums (crate `sigstore`).
//! Invariants: parsing accepts exactly what writing gives; a cosignature leaves this module only after the witness's key has verified it
//! over the very text that was sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::{Hash, TreeSize};
use crate::note::{NOTE_BYTES_MAX, NoteError, NoteKey, NoteSignature, SignedNote};

/// Path of the call under a witness's submission prefix.
pub const ADD_CHECKPOINT: &str = "add-checkpoint";
/// Media type of the answer 409.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";
/// The most lines of a consistency proof: "The client MUST NOT send more than 63".
pub const PROOF_LINES_MAX: usize = 63;
/// The longest request: a note, and each proof line of 44 characters.
pub const REQUEST_BYTES_MAX: usize = NOTE_BYTES_MAX + 64 * 64;

/// A request for a cosignature: the checkpoint extends the tree of size `old`, which the witness cosigned last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Zero if the witness never cosigned a checkpoint of this log.
    pub old: TreeSize,
    /// From `old` to the checkpoint's tree; empty if `old` is zero.
    pub proof: Vec<Hash>,
    /// The checkpoint as the log signed it.
    pub note: SignedNote,
}

/// Why bytes are not a request, or an answer not one to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddCheckpointError {
    /// Longer than any request.
    #[error("expected at most {REQUEST_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// No text, or no empty line before the checkpoint.
    #[error("expected lines of text, an empty line and a checkpoint")]
    Form,
    /// The first line.
    #[error("line 1: expected `old` and a size without leading zeroes")]
    OldSize,
    /// A line of the proof.
    #[error("line {line}: expected the base64 of a hash of 32 bytes")]
    ProofLine {
        /// Number of the line, from 1.
        line: usize,
    },
    /// Too many lines of the proof.
    #[error("more than {PROOF_LINES_MAX} lines of a consistency proof")]
    TooManyHashes,
    /// The checkpoint is no signed note.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
}

impl AddCheckpoint {
    /// The body of the request.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&STANDARD.encode(hash.0));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.note.to_string());
        text.into_bytes()
    }

    /// Reads the body of a request.
    pub fn parse(bytes: &[u8]) -> Result<AddCheckpoint, AddCheckpointError> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(AddCheckpointError::TooLong { found: bytes.len() });
        }
        let text = str::from_utf8(bytes).map_err(|_| AddCheckpointError::Form)?;
        let (head, note) = text.split_once("\n\n").ok_or(AddCheckpointError::Form)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or(AddCheckpointError::OldSize)?;
        let mut proof = Vec::new();
        for (position, line) in lines.enumerate() {
            if position == PROOF_LINES_MAX {
                return Err(AddCheckpointError::TooManyHashes);
            }
            proof.push(hash(line).ok_or(AddCheckpointError::ProofLine { line: position + 2 })?);
        }
        Ok(AddCheckpoint { old, proof, note: SignedNote::parse(note.as_bytes())? })
    }

    /// Takes the cosignature by `key` out of the body of an answer 200. Lines of other keys are passed over, as the specification demands; of
    /// several by this key the last counts.
    pub fn cosignature(&self, answer: &[u8], key: &NoteKey) -> Result<NoteSignature, NoteError> {
        let lines = NoteSignature::parse_lines(answer)?;
        let is_ours = |line: &&NoteSignature| line.name() == key.name() && line.key_hint() == key.hint();
        let not_signed = || NoteError::NotSignedBy { name: key.name().to_owned(), hint: key.hint() };
        let line = lines.iter().rfind(is_ours).ok_or_else(not_signed)?;
        key.verify(&SignedNote::new(self.note.text().to_owned(), vec![line.clone()])?)?;
        Ok(line.clone())
    }
}

/// The size in the body of an answer 409: that of the newest checkpoint which the witness cosigned. `None` if it is not one number and a
/// line end.
pub fn parse_size(body: &[u8]) -> Option<TreeSize> {
    decimal(str::from_utf8(body).ok()?.strip_suffix('\n')?)
}

/// A size in its one spelling.
fn decimal(text: &str) -> Option<TreeSize> {
    let size = TreeSize(text.parse().ok()?);
    (size.to_string() == text).then_some(size)
}

fn hash(line: &str) -> Option<Hash> {
    Hash::from_slice(&STANDARD.decode(line).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The request of the specification, with its lines.
    const EXAMPLE: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        \n\
        example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written_again() {
        let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((request.old, request.proof.len()), (TreeSize(20_852_014), 2));
        assert!(request.note.text().starts_with("example.com/behind-the-sofa\n20852163\n"));
        assert_eq!(String::from_utf8(request.to_bytes()).unwrap(), EXAMPLE);
    }

    fn check_refused(from: &str, to: &str, expect: AddCheckpointError) {
        let twin = EXAMPLE.replacen(from, to, 1);
        assert_ne!(twin, EXAMPLE, "{from}");
        assert_eq!(AddCheckpoint::parse(twin.as_bytes()).unwrap_err(), expect, "{from} → {to}");
    }

    #[test]
    fn each_malformed_twin_is_refused_with_its_place() {
        check_refused("old 2", "old 02", AddCheckpointError::OldSize);
        check_refused("old 2", "old +2", AddCheckpointError::OldSize);
        check_refused("old 2", "old  2", AddCheckpointError::OldSize);
        check_refused("old ", "size ", AddCheckpointError::OldSize);
        check_refused("PlRN", "!lRN", AddCheckpointError::ProofLine { line: 2 });
        check_refused("jrJZDmY8", "", AddCheckpointError::ProofLine { line: 3 });
        check_refused("\n\n\u{2014}", "\n\u{2014}", AddCheckpointError::Note(NoteError::NoSignatures));
        let lines = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
        AddCheckpoint::parse(EXAMPLE.replacen(lines, &lines.repeat(62), 1).as_bytes()).unwrap();
        check_refused(lines, &lines.repeat(63), AddCheckpointError::TooManyHashes);
        assert_eq!(AddCheckpoint::parse(b"old 0\n").unwrap_err(), AddCheckpointError::Form);
    }

    #[test]
    fn a_size_has_one_spelling() {
        assert_eq!(parse_size(b"0\n"), Some(TreeSize(0)));
        assert_eq!(parse_size(b"20852014\n"), Some(TreeSize(20_852_014)));
        for twin in ["", "\n", "1", "01\n", "+1\n", "1\n\n", " 1\n", "18446744073709551616\n"] {
            assert_eq!(parse_size(twin.as_bytes()), None, "{twin:?}");
        }
    }

    #[test]
    fn lines_of_strangers_are_passed_over_and_a_claim_that_is_false_is_not() {
        // Cosignature and key of the specification's own example do not come together, so the key is made up and the line must fail.
        let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
        let key = NoteKey::parse_vkey("witness.example+82bca4dd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea").unwrap();
        let stranger = "\u{2014} witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==\n";
        let hint = key.hint();
        let not_signed = NoteError::NotSignedBy { name: "witness.example".into(), hint };
        assert_eq!(request.cosignature(stranger.as_bytes(), &key).unwrap_err(), not_signed);
        let forged = format!("\u{2014} witness.example {}\n", STANDARD.encode([&hint[..], &[0; 72]].concat()));
        let invalid = NoteError::SignatureInvalid { name: "witness.example".into() };
        assert_eq!(request.cosignature(format!("{stranger}{forged}").as_bytes(), &key).unwrap_err(), invalid);
        assert!(matches!(request.cosignature(b"", &key), Err(NoteError::NoSignatures)));
        assert!(matches!(request.cosignature(b"nonsense\n", &key), Err(NoteError::SignatureLine { line: 1 })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes: Vec<u8>) {
            let _ = (AddCheckpoint::parse(&bytes), parse_size(&bytes), NoteSignature::parse_lines(&bytes));
        }
    }
}
