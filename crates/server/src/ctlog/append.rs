// SPDX-License-Identifier: Apache-2.0
//! From an accepted submission to a durable entry and its SCT.
//!
//! RFC 6962 §3.2 (SCT) and §3.4 (leaf); static-ct-api "SCT extension" and "Log entries" (data tiles).
//!
//! In scope: the key that finds duplicates, the leaf rendered from index and time, the signature.
//! Out of scope: acceptance (`submission`), order and durability (`touchmark_sequencer`).
//! Invariants: one function renders the leaf, from (entry, index, time); the SCT is signed after the entry is durable, so a crash
//! between the two leaves an entry without SCT, and the client's next try finds it as a duplicate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use touchmark_sequencer::{AddError, Added, Pending, Rendered, Sequenced, WaitFor};
use touchmark_signers::{SIGN_DEADLINE, sign_within};
use touchmark_sigstore::ct::{self, DataTileEntry, LogEntry, Sct, SctScheme};
use touchmark_sigstore::wire::ct::AddChainResponse;
use touchmark_tlog::LeafIndex;

use super::submission::Submission;
use super::{CtLog, Refusal, json};
use crate::fulcio::CtError;
use crate::metrics::outcome;

impl CtLog {
    /// Waits until the entry is durable, which is what an SCT promises; the checkpoint follows within the second.
    pub(super) async fn append(&self, submission: Submission) -> Result<Sct, CtError> {
        let entry = submission.entry.clone();
        let added = self.0.log.add(pending(submission), WaitFor::Sequenced).await;
        self.0.submissions.count(outcome(&added));
        let (index, time_ms) = match added? {
            Added::Sequenced(Sequenced { index, time_ms }) | Added::Duplicate { index, time_ms } => (index, time_ms),
            Added::Checkpointed(logged) => (logged.index, logged.time_ms),
        };
        self.sign(&entry, index, time_ms).await
    }

    /// A second signature over the same entry says the same as the first: index and time are the entry's.
    async fn sign(&self, entry: &LogEntry, index: LeafIndex, time_ms: u64) -> Result<Sct, CtError> {
        let extensions = extensions(index);
        let signer = self.0.signer.as_ref();
        let signature = match self.0.promises.of(index) {
            Some(signature) => signature,
            None => {
                let message = ct::sct_signed_bytes(entry, time_ms, &extensions);
                let signature = sign_within(signer, &message, SIGN_DEADLINE).await.map_err(|failure| {
                    tracing::error!(%failure, "the log's signer failed");
                    CtError::Unavailable
                })?;
                self.0.promises.remember(index, signature)
            }
        };
        let scheme = SctScheme::of_key(signer.public_key()).map_err(|_| CtError::Internal)?;
        let log_id = signer.public_key().spki_sha256();
        Ok(Sct { log_id, timestamp_ms: time_ms, extensions, scheme, signature })
    }
}

/// SCTs whose signatures are remembered: as many as may wait in the log's pool, and half a mebibyte.
const PROMISES_MAX: usize = 4096;

/// The signatures of the newest SCTs by the index of their entry, so that who lost a reply and asks again is told the same bytes, although the
/// signatures of most keys are random. What is forgotten is signed again.
#[derive(Default)]
pub(super) struct Promises(Mutex<BTreeMap<LeafIndex, Vec<u8>>>);

impl Promises {
    fn of(&self, index: LeafIndex) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned()
    }

    /// The signature to give: of two that were made at the same time, the first.
    fn remember(&self, index: LeafIndex, signature: Vec<u8>) -> Vec<u8> {
        let mut promises = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = promises.entry(index).or_insert(signature).clone();
        if promises.len() > PROMISES_MAX {
            promises.pop_first();
        }
        signature
    }
}

fn pending(submission: Submission) -> Pending {
    let issuers = submission.issuers;
    let blobs = Arc::clone(&issuers.blobs);
    let pre_certificate = match submission.entry {
        LogEntry::Precert { .. } => submission.chain.leaf().der().to_vec(),
        LogEntry::X509 { .. } => Vec::new(),
    };
    let entry = submission.entry;
    // The same submission again differs in nothing but index and time, which the first one was given.
    let dedup_key = entry.identity();
    let render = move |index: LeafIndex, time_ms: u64| {
        let leaf = DataTileEntry {
            timestamp_ms: time_ms,
            entry: entry.clone(),
            extensions: extensions(index),
            pre_certificate: pre_certificate.clone(),
            fingerprints: issuers.fingerprints.clone(),
        };
        Rendered { leaf_input: leaf.merkle_tree_leaf().into(), bundle_bytes: leaf.encode().into() }
    };
    Pending { dedup_key, render: Box::new(render), blobs, meta: Vec::new() }
}

/// The leaf index, alone: static-ct-api knows no other extension.
fn extensions(index: LeafIndex) -> Vec<u8> {
    ct::leaf_index_extension(index).expect("a log with 2^40 entries, over 100 TiB, does not fit any disk")
}

/// Where an issuer's certificate lies, in the store and under the log's address alike.
pub(super) fn issuer_name(fingerprint: &[u8; 32]) -> String {
    format!("issuer/{}", hex::encode(fingerprint))
}

/// RFC 6962 §4.1.
pub(super) fn reply(sct: &Sct) -> Response {
    let reply = AddChainResponse {
        sct_version: 0,
        id: sct.log_id.to_vec(),
        timestamp: sct.timestamp_ms,
        extensions: sct.extensions.clone(),
        signature: sct.digitally_signed(),
    };
    json(reply.to_json())
}

impl From<AddError> for CtError {
    fn from(error: AddError) -> Self {
        tracing::warn!(%error, "an entry was not added to the certificate transparency log");
        match error {
            AddError::PoolFull | AddError::Storage | AddError::Unsigned | AddError::ShuttingDown => Self::Unavailable,
            AddError::Frozen => Self::Frozen,
            AddError::EntryTooLarge { .. } => Self::Refused { status: 400 },
            AddError::Fatal(_) => Self::Internal,
        }
    }
}

impl From<CtError> for Refusal {
    fn from(error: CtError) -> Self {
        match error {
            CtError::Unavailable | CtError::Deadline => Self::busy(),
            CtError::Frozen => Self::frozen(),
            CtError::Refused { .. } => Self::bad_request("the entry is too large"),
            CtError::Unreadable | CtError::SctInvalid | CtError::SctUnfit | CtError::Internal => {
                Self::internal(&error as &dyn fmt::Display)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_signatures_is_given_and_the_oldest_is_forgotten() {
        let promises = Promises::default();
        assert_eq!(promises.remember(LeafIndex(0), vec![1]), [1]);
        assert_eq!(promises.remember(LeafIndex(0), vec![2]), [1]);
        assert_eq!(promises.of(LeafIndex(0)), Some(vec![1]));
        for index in 1..=PROMISES_MAX as u64 {
            promises.remember(LeafIndex(index), vec![3]);
        }
        assert_eq!((promises.of(LeafIndex(0)), promises.of(LeafIndex(1))), (None, Some(vec![3])));
        // Of an old entry nothing is kept, and what is newer stays.
        assert_eq!(promises.remember(LeafIndex(0), vec![4]), [4]);
        assert_eq!((promises.of(LeafIndex(0)), promises.of(LeafIndex(1))), (None, Some(vec![3])));
    }
}
