// SPDX-License-Identifier: Apache-2.0
//! Signed notes, checkpoints and the keys of notes: each has one spelling.

use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteKey, SignedNote};

pub fn check(data: &[u8]) {
    if let Ok(note) = SignedNote::parse(data) {
        assert_eq!(note.to_bytes(), data, "a note has one spelling");
        for signature in note.signatures() {
            assert!(!signature.name().is_empty() && !signature.signature().is_empty());
            let _ = signature.key_hint();
        }
        checkpoint(note.text());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        checkpoint(text);
        if let Ok(key) = NoteKey::parse_vkey(text) {
            let written = key.to_vkey().expect("what was read can be written");
            let again = NoteKey::parse_vkey(&written).expect("what was written is read");
            assert_eq!((again.name(), again.id(), again.hint()), (key.name(), key.id(), key.hint()));
        }
    }
}

fn checkpoint(text: &str) {
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_text(), text, "a checkpoint has one spelling");
    }
}
