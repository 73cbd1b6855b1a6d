// SPDX-License-Identifier: Apache-2.0
//! The never-fork rule, as types: only a [`SignableTree`] can be signed, and only a proof makes one.
//!
//! [`LastSigned`] is what this log is known to have signed: nothing, a checkpoint that was found and verified when the log was opened,
//! or the outcome of [`sign`]. A [`SignableTree`] comes from it alone: the same tree again, or a larger one together with a consistency
//! proof (RFC 6962 §2.1.2) that verifies. [`sign`] consumes the tree and is the only function in the engine that asks a signer.
//!
//! In scope: the proof, the note (C2SP signed-note, tlog-checkpoint), the signatures. Out of scope: when to sign, and what to do when it
//! fails (`sign`).
//!
//! Invariants: all fields private; no other constructor; each signature is later than the one before (RFC 6962 §3.5).

use std::sync::Arc;

use touchmark_signers::{SIGN_DEADLINE, sign_within};
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteError, NoteKey, SignedNote};
use touchmark_tlog::proof::verify_consistency;
use touchmark_tlog::{Hash, TreeSize, empty_root};

use crate::config::{CheckpointSigner, LogConfig};
use crate::entry::SignedCheckpoint;
use crate::error::{FatalCause, SignFailure};
use crate::ledger::TreeHead;

/// The newest tree that this log is known to have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastSigned {
    size: TreeSize,
    root: Hash,
    time_ms: u64,
    /// It said of itself that it is the last one.
    is_final: bool,
}

/// A tree that may be signed: it was proven to extend the last signed one.
pub(crate) struct SignableTree {
    size: TreeSize,
    root: Hash,
    /// Every signature on this tree is later.
    after_ms: u64,
}

impl LastSigned {
    /// Nothing was ever signed: any tree extends the empty one.
    pub(crate) fn nothing() -> Self {
        Self { size: TreeSize(0), root: empty_root(), time_ms: 0, is_final: false }
    }

    /// What a checkpoint that was found says, if it has this log's origin and verifies under one of its keys. (One is enough: a key may
    /// have been added since.)
    pub(crate) fn from_note(config: &LogConfig, note: &[u8]) -> Result<Self, Unreadable> {
        let note = SignedNote::parse(note).map_err(|_| Unreadable::NotThisLogs)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|_| Unreadable::NotThisLogs)?;
        if checkpoint.origin != config.origin {
            return Err(Unreadable::OtherOrigin(checkpoint.origin));
        }
        let verified: Vec<_> = config.signers.iter().filter_map(|signer| signer.note_key.verify(&note).ok()).collect();
        if verified.is_empty() {
            return Err(Unreadable::NotThisLogs);
        }
        let time_ms = verified.iter().filter_map(|signature| signature.timestamp_ms()).max().unwrap_or(0);
        // This log writes an extension line into its final checkpoint and into no other.
        let is_final = config.final_line.is_some() && !checkpoint.extensions.is_empty();
        Ok(Self { size: checkpoint.size, root: checkpoint.root, time_ms, is_final })
    }

    /// A note that is the final checkpoint of the log that was frozen with this head at this time. Where no extension line tells a final
    /// checkpoint from an earlier one of the same tree, the time of its signature does.
    pub(crate) fn of_final_note(
        config: &LogConfig,
        note: &[u8],
        head: &TreeHead,
        frozen_ms: u64,
    ) -> Option<(SignedCheckpoint, Self)> {
        let last = Self::from_note(config, note).ok()?;
        let (size, root, extensions) = (head.size, head.root, final_lines(config, frozen_ms));
        let is_told = !extensions.is_empty() || last.time_ms >= frozen_ms;
        let text = Checkpoint { origin: config.origin.clone(), size, root, extensions }.to_text();
        let is_final = is_told && SignedNote::parse(note).is_ok_and(|note| note.text() == text);
        let note = std::str::from_utf8(note).ok().filter(|_| is_final)?;
        Some((SignedCheckpoint { note: Arc::from(note), size, root }, last))
    }

    pub(crate) fn size(&self) -> TreeSize {
        self.size
    }

    /// The latest time of its signatures; 0 if they have none.
    pub(crate) fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Whether it is known to be the final checkpoint of a frozen log.
    pub(crate) fn is_final(&self) -> bool {
        self.is_final
    }

    /// Of several things that were signed, all proven to be extended by one tree, the newest.
    pub(crate) fn newer(self, other: Self) -> Self {
        let newer = if other.size > self.size { other } else { self };
        Self { time_ms: self.time_ms.max(other.time_ms), ..newer }
    }
}

/// Why a checkpoint that was found is not one of this log.
pub(crate) enum Unreadable {
    NotThisLogs,
    OtherOrigin(String),
}

impl SignableTree {
    /// The tree that was signed last, to be signed again with a new time.
    pub(crate) fn unchanged(last: &LastSigned) -> Self {
        Self { size: last.size, root: last.root, after_ms: last.time_ms }
    }

    /// The tree of `size` with `root`, if `proof` proves that it extends the last signed one.
    pub(crate) fn extending(
        last: &LastSigned,
        size: TreeSize,
        root: &Hash,
        proof: &[Hash],
    ) -> Result<Self, FatalCause> {
        verify_consistency(last.size, &last.root, size, root, proof)
            .map_err(|_| FatalCause::NotAnExtension { signed: last.size, new: size })?;
        Ok(Self { size, root: *root, after_ms: last.time_ms })
    }
}

/// Signs a checkpoint with every signer of the log. `now_ms` is not earlier than the tree's newest entry.
///
/// Effect: none on storage. A crash after it leaves a signature that nobody has seen, on a tree that the ledger holds: the next start
/// signs that tree or one that extends it.
pub(crate) async fn sign(
    config: &LogConfig,
    tree: SignableTree,
    now_ms: u64,
) -> Result<(SignedCheckpoint, LastSigned), SignFailure> {
    sign_with(config, tree, now_ms, Vec::new()).await
}

/// Signs the final checkpoint of a log that was durably frozen at this time.
///
/// Effect: as [`sign`]. The next start signs the same text again.
pub(crate) async fn sign_final(
    config: &LogConfig,
    tree: SignableTree,
    frozen_ms: u64,
) -> Result<(SignedCheckpoint, LastSigned), SignFailure> {
    sign_with(config, tree, frozen_ms, final_lines(config, frozen_ms)).await
}

fn final_lines(config: &LogConfig, frozen_ms: u64) -> Vec<String> {
    config.final_line.iter().map(|line| line(frozen_ms)).collect()
}

async fn sign_with(
    config: &LogConfig,
    tree: SignableTree,
    now_ms: u64,
    extensions: Vec<String>,
) -> Result<(SignedCheckpoint, LastSigned), SignFailure> {
    let SignableTree { size, root, after_ms } = tree;
    // Two signatures within a millisecond, or a clock that was put back: the log's time goes on all the same.
    let time_ms = now_ms.max(after_ms.saturating_add(1));
    let is_final = !extensions.is_empty();
    let text = Checkpoint { origin: config.origin.clone(), size, root, extensions }.to_text();
    let mut signatures = Vec::with_capacity(config.signers.len());
    for CheckpointSigner { note_key, signer } in &config.signers {
        let message = note_key.signed_message(&text, Some(time_ms)).map_err(|error| malformed(note_key, &error))?;
        let signature = sign_within(signer.as_ref(), &message, SIGN_DEADLINE).await.map_err(|error| {
            tracing::warn!(origin = config.origin, name = note_key.name(), %error, "signing a checkpoint failed");
            SignFailure::Signer { name: note_key.name().to_owned() }
        })?;
        signatures.push(note_key.wrap(signature, Some(time_ms)).map_err(|error| malformed(note_key, &error))?);
    }
    let note = SignedNote::new(text, signatures).map_err(|error| malformed(&config.signers[0].note_key, &error))?;
    for CheckpointSigner { note_key, .. } in &config.signers {
        note_key.verify(&note).map_err(|error| malformed(note_key, &error))?;
    }
    let note: Arc<str> = Arc::from(note.to_string());
    Ok((SignedCheckpoint { note, size, root }, LastSigned { size, root, time_ms, is_final }))
}

/// What was signed, or is to be, would not be read as a checkpoint of this log.
fn malformed(note_key: &NoteKey, error: &NoteError) -> SignFailure {
    tracing::error!(name = note_key.name(), %error, "a checkpoint would not verify");
    SignFailure::BadSignature { name: note_key.name().to_owned() }
}
