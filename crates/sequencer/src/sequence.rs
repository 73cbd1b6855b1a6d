// SPDX-License-Identifier: Apache-2.0
//! The sequencing thread: pool → duplicates → plan → commit, one batch after the other.
//!
//! It runs on an operating system thread of its own, so that an embedded ledger may block in place: no hop to another thread lies
//! between an entry and its durable write, and a fsync never holds up a worker of the run time.
//!
//! In scope: which entries are new, the durable commit, and what to do when its outcome is open. Out of scope: the contents of a batch
//! (`plan`), signing (`sign`), tiles (`publish`).
//!
//! Invariants: this thread alone writes the ledger; the edge is the edge of the ledger's durable state, or a commit is in doubt and
//! nothing else is done before that is settled; a caller hears of a place only after it is durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::edge::Edge;
use crate::entry::{Added, DedupKey, Sequenced, WaitFor};
use crate::error::{AddError, FatalCause};
use crate::freeze::Freezing;
use crate::ledger::{Batch, Commit, LedgerError, LedgerState, TreeHead};
use crate::log::Shared;
use crate::plan::{Nodes, Placement, Plan, plan};
use crate::pool::{Reply, Waiting};

/// What the sequencing thread hands to the signing task: a committed tree, or none if all callers have duplicates.
pub(crate) struct ToSign {
    pub(crate) tree: Option<(Edge, Nodes)>,
    pub(crate) callers: Vec<Caller>,
}

/// A caller whose entry is durable and who waits for a signed checkpoint that covers it.
pub(crate) struct Caller {
    pub(crate) reply: Reply,
    pub(crate) place: Sequenced,
    pub(crate) answer: Answer,
}

pub(crate) enum Answer {
    Logged { leaf_input: Bytes },
    Duplicate,
}

pub(crate) struct Sequencer {
    shared: Arc<Shared>,
    /// The edge of the durable tree. Owned by this thread.
    edge: Edge,
    /// A plan whose commit failed with an open outcome. Its callers were told so.
    in_doubt: Option<Plan>,
    to_sign: mpsc::Sender<ToSign>,
}

/// A batch, sorted by what is known of each entry.
#[derive(Default)]
struct Sorted {
    fresh: Vec<Waiting>,
    /// In the ledger already.
    known: Vec<(Waiting, Sequenced)>,
    /// The same as an entry of `fresh`, by position.
    twins: Vec<(Waiting, usize)>,
}

/// Why a batch came to nothing.
enum BatchError {
    /// Its callers may try again; the log goes on.
    Storage,
    /// The log stops.
    Fatal(FatalCause),
}

impl From<LedgerError> for BatchError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Io(_) => Self::Storage,
            LedgerError::Broken
            | LedgerError::Locked
            | LedgerError::Frozen
            | LedgerError::Schema { .. }
            | LedgerError::Damaged { .. } => Self::Fatal(FatalCause::Ledger(error)),
        }
    }
}

impl Sequencer {
    pub(crate) fn new(shared: Arc<Shared>, edge: Edge, to_sign: mpsc::Sender<ToSign>) -> Self {
        Self { shared, edge, in_doubt: None, to_sign }
    }

    /// The body of the thread. It ends when the pool is closed and empty, or the log has stopped.
    pub(crate) fn run(mut self, runtime: &Handle) {
        let _guard = StopIfPanicked(Arc::clone(&self.shared));
        runtime.block_on(async {
            loop {
                self.shared.backlog.room().await;
                let Some(waiting) = self.shared.pool.take(self.shared.config.batch_max).await else { break };
                self.batch(waiting).await;
            }
            self.freeze().await;
        });
    }

    async fn batch(&mut self, waiting: Vec<Waiting>) {
        let sorted = match self.settle_and_sort(waiting).await {
            Ok(sorted) => sorted,
            Err((waiting, error)) => return self.fail(waiting, error),
        };
        let now_ms = self.shared.clock.now_ms();
        let entries = sorted.fresh.iter().map(|waiting| &waiting.pending);
        let mut plan = plan(&self.edge, entries, now_ms);

        let placements = std::mem::take(&mut plan.placements);
        let committed = match self.commit(plan).await {
            Ok(committed) => committed,
            Err(error) => return self.fail(sorted.into_waiting(), error),
        };
        let callers = self.answer(sorted, placements);
        if let Err(cause) = self.hand_on(committed, callers).await {
            self.shared.stop(cause);
        }
    }

    /// Finds out what of a batch is new. No commit may be in doubt then.
    async fn settle_and_sort(&mut self, waiting: Vec<Waiting>) -> Result<Sorted, (Vec<Waiting>, BatchError)> {
        if let Err(error) = self.settle_doubt().await {
            return Err((waiting, error));
        }
        let keys: Vec<DedupKey> = waiting.iter().map(|waiting| waiting.pending.dedup_key).collect();
        let known = match self.shared.ledger.find_duplicates(&keys).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(origin = self.shared.config.origin, %error, "looking for duplicates failed");
                return Err((waiting, error.into()));
            }
        };
        let mut sorted = Sorted::default();
        let mut positions: HashMap<DedupKey, usize> = HashMap::with_capacity(waiting.len());
        for (waiting, known) in waiting.into_iter().zip(known) {
            if let Some(place) = known {
                sorted.known.push((waiting, place));
            } else if let Some(position) = positions.get(&waiting.pending.dedup_key) {
                sorted.twins.push((waiting, *position));
            } else {
                positions.insert(waiting.pending.dedup_key, sorted.fresh.len());
                sorted.fresh.push(waiting);
            }
        }
        Ok(sorted)
    }

    /// Makes a plan durable and adopts its edge. `None` if it is empty.
    ///
    /// Effect: one durable write of rows, keys and state together. A crash before it leaves nothing of the batch, and nobody was told of a
    /// place. A crash after it leaves entries that are durable, unsigned, unpublished and unacknowledged: the next start signs and publishes them,
    /// and callers who try again hear of duplicates.
    async fn commit(&mut self, mut plan: Plan) -> Result<Option<(Edge, Nodes)>, BatchError> {
        if plan.rows.is_empty() {
            return Ok(None);
        }
        let expected = self.edge.head();
        let published = self.shared.backlog.published();
        let state = LedgerState { head: plan.head(), published, frozen_ms: None };
        let batch = Batch { rows: std::mem::take(&mut plan.rows), state };
        let begun = Instant::now();
        match self.shared.ledger.commit(&expected, &batch).await {
            Ok(Commit::Committed) => {
                self.shared.meters.committed(batch.rows.len(), begun.elapsed());
                Ok(Some(self.adopt(plan)))
            }
            Ok(Commit::Conflict { actual }) => Err(BatchError::Fatal(FatalCause::Conflict { expected, actual })),
            Err(error) => {
                tracing::warn!(origin = self.shared.config.origin, %error, "a commit failed");
                match self.outcome(&plan.head()).await {
                    Ok(Outcome::Committed) => Ok(Some(self.adopt(plan))),
                    Ok(Outcome::NotCommitted) => Err(BatchError::Storage),
                    Err(error) => {
                        self.in_doubt = Some(plan);
                        Err(error)
                    }
                }
            }
        }
    }

    /// The plan is durable: its edge is the log's.
    fn adopt(&mut self, plan: Plan) -> (Edge, Nodes) {
        self.edge = plan.edge.clone();
        self.shared.backlog.push(plan.completed, plan.edge.size());
        (plan.edge, plan.nodes)
    }

    /// Settles a commit whose outcome was left open. If it was committed, its tree goes on to be signed, though its callers have gone.
    async fn settle_doubt(&mut self) -> Result<(), BatchError> {
        let Some(plan) = self.in_doubt.take() else { return Ok(()) };
        match self.outcome(&plan.head()).await {
            Ok(Outcome::Committed) => {
                let tree = self.adopt(plan);
                self.hand_on(Some(tree), Vec::new()).await.map_err(BatchError::Fatal)
            }
            Ok(Outcome::NotCommitted) => Ok(()),
            Err(error) => {
                self.in_doubt = Some(plan);
                Err(error)
            }
        }
    }

    /// What became of a commit after an error: the ledger's state tells.
    async fn outcome(&self, planned: &TreeHead) -> Result<Outcome, BatchError> {
        let expected = self.edge.head();
        let actual = self.shared.ledger.state().await?.head;
        if actual == *planned {
            Ok(Outcome::Committed)
        } else if actual == expected {
            Ok(Outcome::NotCommitted)
        } else {
            Err(BatchError::Fatal(FatalCause::Conflict { expected, actual }))
        }
    }

    /// The last thing that the thread does, if the pool was closed by a freeze.
    async fn freeze(&mut self) {
        let live = matches!(*self.shared.freezing.borrow(), Freezing::Live);
        if !live || self.shared.pool.closed_by() != Some(AddError::Frozen) || self.shared.stopped().is_some() {
            return;
        }
        match self.commit_freeze().await {
            Ok(at_ms) => {
                self.shared.freezing.send_replace(Freezing::Committed { at_ms });
            }
            // The pool is closed and the outcome perhaps open: the next start knows.
            Err(BatchError::Storage) => self.shared.stop(FatalCause::Ledger(LedgerError::Broken)),
            Err(BatchError::Fatal(cause)) => self.shared.stop(cause),
        }
    }

    /// Effect: a state that says frozen. A crash before it leaves a log that goes on; a crash after it leaves one that is frozen and whose
    /// final checkpoint the next start signs.
    async fn commit_freeze(&mut self) -> Result<u64, BatchError> {
        self.settle_doubt().await?;
        let head = self.edge.head();
        let at_ms = self.shared.clock.now_ms().max(head.time_ms);
        let state = LedgerState { head, published: self.shared.backlog.published(), frozen_ms: Some(at_ms) };
        match self.shared.ledger.commit(&head, &Batch { rows: Vec::new(), state }).await {
            Ok(Commit::Committed) => Ok(at_ms),
            Ok(Commit::Conflict { actual }) => Err(BatchError::Fatal(FatalCause::Conflict { expected: head, actual })),
            Err(error) => match self.shared.ledger.state().await {
                Ok(LedgerState { frozen_ms: Some(found_ms), .. }) if found_ms == at_ms => Ok(at_ms),
                _ => Err(error.into()),
            },
        }
    }

    /// Answers who waits for durability, and gives back who waits for a checkpoint.
    fn answer(&self, sorted: Sorted, placements: Vec<Placement>) -> Vec<Caller> {
        let mut callers = Vec::new();
        // Where each fresh entry stands, for its twins.
        let mut places: Vec<Result<Sequenced, AddError>> = Vec::with_capacity(placements.len());
        for (waiting, placement) in sorted.fresh.into_iter().zip(placements) {
            match placement {
                Placement::TooLarge { bytes, max } => {
                    let error = AddError::EntryTooLarge { bytes, max };
                    places.push(Err(error.clone()));
                    waiting.answer(Err(error));
                }
                Placement::At { index, time_ms, leaf_input } => {
                    let place = Sequenced { index, time_ms };
                    places.push(Ok(place));
                    match waiting.wait_for {
                        WaitFor::Sequenced => waiting.answer(Ok(Added::Sequenced(place))),
                        WaitFor::Checkpointed => {
                            callers.push(Caller { reply: waiting.reply, place, answer: Answer::Logged { leaf_input } });
                        }
                    }
                }
            }
        }
        let known = sorted.known.into_iter().map(|(waiting, place)| (waiting, Ok(place)));
        let twins = sorted.twins.into_iter().map(|(waiting, position)| (waiting, places[position].clone()));
        for (waiting, place) in known.chain(twins) {
            match (place, waiting.wait_for) {
                (Err(error), _) => waiting.answer(Err(error)),
                (Ok(Sequenced { index, time_ms }), WaitFor::Sequenced) => {
                    waiting.answer(Ok(Added::Duplicate { index, time_ms }));
                }
                (Ok(place), WaitFor::Checkpointed) => {
                    callers.push(Caller { reply: waiting.reply, place, answer: Answer::Duplicate });
                }
            }
        }
        callers
    }

    async fn hand_on(&self, tree: Option<(Edge, Nodes)>, callers: Vec<Caller>) -> Result<(), FatalCause> {
        if tree.is_none() && callers.is_empty() {
            return Ok(());
        }
        self.to_sign.send(ToSign { tree, callers }).await.map_err(|_| FatalCause::TaskEnded)
    }

    fn fail(&self, waiting: Vec<Waiting>, error: BatchError) {
        let answer = match error {
            BatchError::Storage => AddError::Storage,
            BatchError::Fatal(cause) => {
                self.shared.stop(cause.clone());
                AddError::Fatal(self.shared.stopped().cloned().unwrap_or(cause))
            }
        };
        for waiting in waiting {
            waiting.answer(Err(answer.clone()));
        }
    }
}

enum Outcome {
    Committed,
    NotCommitted,
}

impl Sorted {
    fn into_waiting(self) -> Vec<Waiting> {
        let known = self.known.into_iter().map(|(waiting, _)| waiting);
        let twins = self.twins.into_iter().map(|(waiting, _)| waiting);
        self.fresh.into_iter().chain(known).chain(twins).collect()
    }
}

/// Stops the log if its thread or task ends in a panic: otherwise callers would wait for ever.
pub(crate) struct StopIfPanicked(pub(crate) Arc<Shared>);

impl Drop for StopIfPanicked {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(FatalCause::TaskEnded);
        }
    }
}
