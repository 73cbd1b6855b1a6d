// SPDX-License-Identifier: Apache-2.0
//! A checkpoint that was found, against the log that it should be of: signature, origin, then size and root once the tree is known.

use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteKey, SignedNote};
use touchmark_tlog::{Hash, TreeSize};

use super::{FindingKind, Findings};

/// A checkpoint that is signed with the log's key and has its origin.
pub(super) struct SignedHead {
    /// Where it was found, for findings.
    pub(super) object: String,
    pub(super) size: TreeSize,
    root: Hash,
    compared: bool,
}

impl SignedHead {
    /// Reads a checkpoint, or says in a finding why it is none of this log.
    pub(super) fn read(
        object: &str,
        bytes: &[u8],
        origin: &str,
        keys: &[NoteKey],
        findings: &mut Findings,
    ) -> Option<Self> {
        let signed_by_us = "a checkpoint that is signed with the log's key";
        let note = match SignedNote::parse(bytes) {
            Ok(note) => note,
            Err(error) => {
                findings.add(FindingKind::CheckpointSignature, object, signed_by_us, format_args!("no note: {error}"));
                return None;
            }
        };
        if !keys.iter().any(|key| key.verify(&note).is_ok()) {
            let found = match keys.first().map(|key| key.verify(&note)) {
                Some(Err(error)) => error.to_string(),
                Some(Ok(_)) | None => "no key to verify with".to_owned(),
            };
            findings.add(FindingKind::CheckpointSignature, object, signed_by_us, found);
            return None;
        }
        let checkpoint = match Checkpoint::parse(note.text()) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                findings.add(FindingKind::CheckpointSignature, object, signed_by_us, error);
                return None;
            }
        };
        if checkpoint.origin != origin {
            let found = format!("{:?}", checkpoint.origin);
            findings.add(FindingKind::CheckpointOrigin, object, format_args!("the origin {origin:?}"), found);
            return None;
        }
        Some(Self { object: object.to_owned(), size: checkpoint.size, root: checkpoint.root, compared: false })
    }

    /// To be called at every size of the tree.
    pub(super) fn compare_at(&mut self, size: TreeSize, root: impl FnOnce() -> Hash, findings: &mut Findings) {
        if size != self.size || self.compared {
            return;
        }
        self.compared = true;
        let root = root();
        if root != self.root {
            let expected = format!("root {root} at size {size}, as the entries make it");
            findings.add(FindingKind::CheckpointRoot, &self.object, expected, format_args!("root {}", self.root));
        }
    }

    /// To be called when the tree ends at `size`.
    pub(super) fn compare_end(&self, size: TreeSize, findings: &mut Findings) {
        if !self.compared {
            let expected = format!("a tree of at most the {size} entries that are here");
            let found = format!("a tree of {} entries", self.size);
            findings.add(FindingKind::CheckpointBeyond, &self.object, expected, found);
        }
    }
}
