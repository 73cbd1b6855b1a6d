// SPDX-License-Identifier: Apache-2.0
//! The newest cosigned checkpoint on disk: `<log directory>/witness/cosigned`, a signed note (C2SP signed-note) and nothing else.
//!
//! It is what makes reads monotonic across a restart, and it is evidence: it has the log's own signature, so a ledger that holds less, or
//! something else, was rolled back. It is not believed before that is checked.
//!
//! In scope: the file, and comparing it with the log. Out of scope: when it is written (`lane`).
//! Invariant: a checkpoint is loaded only if this log signed it and its tree is a beginning of the one that the log holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use touchmark_sequencer::{Log, SignedCheckpoint};
use touchmark_sigstore::policy::WitnessPolicy;
use touchmark_tlog::TreeSize;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteKey, SignedNote};
use touchmark_tlog::proof::verify_consistency;

use super::{Cosigned, WitnessStartError};
use crate::durable::{self, Access, FileError};

/// The directory below a log's.
const DIRECTORY: &str = "witness";
const FILE: &str = "cosigned";

pub(super) struct Store {
    path: PathBuf,
}

/// What was found.
pub(super) struct Stored {
    /// Signed by the log, whatever witnesses have signed it; and the size that it names.
    pub(super) note: Option<(SignedNote, TreeSize)>,
    /// The same if the quorum of today's policy has cosigned it.
    pub(super) cosigned: Option<Cosigned>,
}

impl Store {
    /// Effect: the directory. A crash after it leaves it empty.
    pub(super) fn open(log_directory: &Path) -> Result<Self, FileError> {
        let directory = log_directory.join(DIRECTORY);
        durable::create_private_directory(&directory)?;
        durable::sync_directory(log_directory)?;
        Ok(Self { path: directory.join(FILE) })
    }

    pub(super) async fn load(
        &self,
        log: &Log,
        note_key: &NoteKey,
        policy: &WitnessPolicy,
    ) -> Result<Stored, WitnessStartError> {
        if !self.path.exists() {
            return Ok(Stored { note: None, cosigned: None });
        }
        let unreadable = || WitnessStartError::StoreUnreadable(self.path.clone());
        let note = SignedNote::parse(&durable::read(&self.path)?).map_err(|_| unreadable())?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|_| unreadable())?;
        if checkpoint.origin != log.origin() || note_key.verify(&note).is_err() {
            return Err(unreadable());
        }
        let (held, cosigned) = (log.checkpoint(), checkpoint.size);
        if cosigned > held.size {
            return Err(WitnessStartError::RolledBack { path: self.path.clone(), cosigned, held: held.size });
        }
        let proof = log.consistency_proof(cosigned, held.size).await?;
        verify_consistency(cosigned, &checkpoint.root, held.size, &held.root, &proof)
            .map_err(|_| WitnessStartError::Forked { path: self.path.clone(), cosigned })?;
        let reached = policy.cosigned(&note).ok().map(|_| {
            let is_log = |name: &str| name == note_key.name();
            let lines = note.signatures().iter().filter(|line| !is_log(line.name())).cloned().collect();
            let shown = SignedCheckpoint { note: Arc::from(note.to_string()), size: cosigned, root: checkpoint.root };
            Cosigned { checkpoint: shown, text: note.text().to_owned(), lines }
        });
        Ok(Stored { note: Some((note, cosigned)), cosigned: reached })
    }

    pub(super) async fn save(&self, note: &SignedNote) -> Result<(), FileError> {
        let (path, bytes) = (self.path.clone(), note.to_bytes());
        let write = move || durable::write(&path, &bytes, Access::Public);
        tokio::task::spawn_blocking(write).await.expect("writing a file does not panic and is never aborted")
    }
}
