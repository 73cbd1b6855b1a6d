// SPDX-License-Identifier: Apache-2.0
//! The signing task: signs the newest committed tree and answers those who wait for a checkpoint.
//!
//! It never waits for time while something is unsigned, except after a failure. While one signature is made, further batches are
//! committed; the next signature covers them all. An idle log is signed again now and then, so that readers see that it lives.
//!
//! In scope: when to sign, proofs for the callers, trying again. Out of scope: whether a tree may be signed, and how (`extension`).
//!
//! Invariants: trees are taken in the order in which they were committed; the latest signed tree never shrinks; a caller hears of
//! a checkpoint only after readers can have it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::edge::Edge;
use crate::entry::{Added, Logged, SignedCheckpoint};
use crate::error::{AddError, FatalCause, SignFailure};
use crate::extension::{LastSigned, SignableTree, sign, sign_final};
use crate::freeze::{Freezing, Frozen};
use crate::log::{Shared, SignedTree};
use crate::plan::Nodes;
use crate::sequence::{Answer, Caller, StopIfPanicked, ToSign};

/// Batches that may wait for the signing task. When it is full the sequencing thread waits, and then the pool fills.
pub(crate) const TO_SIGN_MAX: usize = 16;
/// Entries that may be committed and unsigned before no more batches are taken: each costs about 150 bytes.
const UNSIGNED_MAX: u64 = 1 << 18;
/// The first pause after a failure; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often the final checkpoint of a frozen log is tried; with the pauses about three seconds.
const FREEZE_TRIES_MAX: u32 = 5;

/// The state of the signing task, all of it owned by the task.
pub(crate) struct Signing {
    shared: Arc<Shared>,
    committed: mpsc::Receiver<ToSign>,
    last: LastSigned,
    /// The newest committed tree.
    edge: Edge,
    /// Of the trees from the last signed one to `edge`.
    nodes: Nodes,
    callers: Vec<Caller>,
    failures: u32,
    /// When to sign although nothing happens: after a failure, or because the log is idle.
    due: Instant,
}

impl Signing {
    pub(crate) fn new(shared: Arc<Shared>, committed: mpsc::Receiver<ToSign>, last: LastSigned, edge: Edge) -> Self {
        let due = Instant::now() + Duration::from_millis(shared.config.resign_after_ms);
        Self { shared, committed, last, edge, nodes: Nodes::default(), callers: Vec::new(), failures: 0, due }
    }

    /// The body of the task. It ends when the sequencing thread has ended and all is signed (or cannot be), or when the log has stopped.
    pub(crate) async fn run(mut self) {
        let _guard = StopIfPanicked(Arc::clone(&self.shared));
        loop {
            // At the end everything is taken, for the sequencing thread must not wait for a signer that fails.
            let has_room = self.unsigned() < UNSIGNED_MAX || self.shared.pool.is_closed();
            let mut ended = false;
            tokio::select! {
                biased;
                message = self.committed.recv(), if has_room => match message {
                    Some(message) => self.take(message),
                    None => ended = true,
                },
                () = sleep_until(self.due) => {}
            }
            let nothing_left = self.unsigned() == 0 && self.callers.is_empty();
            if ended && nothing_left {
                break;
            }
            if let Err(cause) = self.sign_newest().await {
                self.shared.stop(cause.clone());
                self.fail_callers(&AddError::Fatal(cause));
                break;
            }
            if ended {
                break;
            }
        }
        self.finish_freeze().await;
    }

    /// The last signature of a log whose freeze is durable.
    async fn finish_freeze(&mut self) {
        let Freezing::Committed { at_ms } = *self.shared.freezing.borrow() else { return };
        for _ in 0..FREEZE_TRIES_MAX {
            let tree = match self.signable() {
                Ok(tree) => tree,
                Err(cause) => return self.shared.stop(cause),
            };
            if let Ok((checkpoint, last)) = sign_final(&self.shared.config, tree, at_ms).await {
                self.last = last;
                let signed = SignedTree { checkpoint: checkpoint.clone(), edge: self.edge.clone() };
                self.shared.signed.send_replace(Arc::new(signed));
                self.shared.freezing.send_replace(Freezing::Done(Frozen { at_ms, checkpoint }));
                return;
            }
            self.failures += 1;
            tokio::time::sleep(self.pause()).await;
        }
        self.shared.freezing.send_replace(Freezing::Unsigned);
    }

    /// Takes a batch, and all that came after it while a signature was made.
    fn take(&mut self, first: ToSign) {
        let mut next = Some(first);
        while let Some(ToSign { tree, callers }) = next {
            if let Some((edge, nodes)) = tree {
                self.edge = edge;
                self.nodes.join(nodes);
            }
            self.callers.extend(callers);
            next = if self.unsigned() < UNSIGNED_MAX { self.committed.try_recv().ok() } else { None };
        }
    }

    fn unsigned(&self) -> u64 {
        self.edge.size().0 - self.last.size().0
    }

    fn pause(&self) -> Duration {
        match self.failures {
            0 => Duration::from_millis(self.shared.config.resign_after_ms),
            failures => RETRY_MIN.saturating_mul(1 << (failures - 1).min(16)).min(RETRY_MAX),
        }
    }

    /// Signs the newest tree, shows it to the readers, then answers the callers.
    async fn sign_newest(&mut self) -> Result<(), FatalCause> {
        if let Some(cause) = self.shared.stopped() {
            return Err(cause.clone());
        }
        if self.unsigned() == 0 && self.answer_from_signed() {
            return Ok(());
        }
        let tree = self.signable()?;
        let now_ms = self.shared.clock.now_ms().max(self.edge.time_ms());
        let outcome = sign(&self.shared.config, tree, now_ms).await;
        self.failures = if outcome.is_ok() { 0 } else { self.failures + 1 };
        self.due = Instant::now() + self.pause();
        match outcome {
            Ok((checkpoint, last)) => {
                self.last = last;
                let nodes = std::mem::take(&mut self.nodes);
                let signed = SignedTree { checkpoint: checkpoint.clone(), edge: self.edge.clone() };
                self.shared.signed.send_replace(Arc::new(signed));
                self.shared.meters.signed(now_ms);
                self.answer(&checkpoint, &nodes);
            }
            Err(SignFailure::Signer { .. } | SignFailure::BadSignature { .. }) => {
                self.fail_callers(&AddError::Unsigned);
            }
        }
        Ok(())
    }

    /// Callers whose entries are all covered need no new signature. True if that was all there was to do.
    fn answer_from_signed(&mut self) -> bool {
        if self.callers.is_empty() {
            return false;
        }
        // With nothing unsigned each of them has a duplicate below the signed size.
        let checkpoint = self.shared.signed.borrow().checkpoint.clone();
        self.answer(&checkpoint, &Nodes::default());
        true
    }

    /// The newest tree, proven to extend the last signed one.
    fn signable(&self) -> Result<SignableTree, FatalCause> {
        if self.unsigned() == 0 {
            return Ok(SignableTree::unchanged(&self.last));
        }
        let head = self.edge.head();
        // Nodes that are missing fail the proof as wrong ones do.
        let proof = self.nodes.consistency_proof(self.last.size(), head.size).unwrap_or_default();
        SignableTree::extending(&self.last, head.size, &head.root, &proof)
    }

    fn answer(&mut self, checkpoint: &SignedCheckpoint, nodes: &Nodes) {
        for Caller { reply, place, answer } in std::mem::take(&mut self.callers) {
            let (index, time_ms) = (place.index, place.time_ms);
            let answer = match answer {
                Answer::Duplicate => Ok(Added::Duplicate { index, time_ms }),
                Answer::Logged { leaf_input } => match nodes.inclusion_proof(index, checkpoint.size) {
                    Some(proof) => {
                        let checkpoint = checkpoint.clone();
                        Ok(Added::Checkpointed(Logged { index, time_ms, leaf_input, proof, checkpoint }))
                    }
                    // Cannot happen (see `Nodes`); the entry is durable and signed, and trying again tells so.
                    None => Err(AddError::Unsigned),
                },
            };
            let _ = reply.send(answer);
        }
    }

    fn fail_callers(&mut self, error: &AddError) {
        for caller in self.callers.drain(..) {
            let _ = caller.reply.send(Err(error.clone()));
        }
    }
}
