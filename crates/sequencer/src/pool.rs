// SPDX-License-Identifier: Apache-2.0
//! The pool: entries that wait for the next batch.
//!
//! In scope: the queue, its limit, its end. Out of scope: what a batch does (`sequence`).
//!
//! Invariant: every entry that was let in is handed out by [`Pool::take`] or answered by [`Pool::fail_all`]; after the end none gets in.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::entry::{Added, Pending, WaitFor};
use crate::error::AddError;

pub(crate) type Reply = oneshot::Sender<Result<Added, AddError>>;

/// An entry and the caller who waits for it.
pub(crate) struct Waiting {
    pub(crate) pending: Pending,
    pub(crate) wait_for: WaitFor,
    pub(crate) reply: Reply,
}

impl Waiting {
    pub(crate) fn answer(self, answer: Result<Added, AddError>) {
        // A caller who has gone away does not want the answer; its entry stays in the log.
        let _ = self.reply.send(answer);
    }
}

pub(crate) struct Pool {
    /// Guarded by a lock that is never held over an await.
    queue: Mutex<Queue>,
    /// Wakes the sequencing thread, the only one that takes.
    arrived: Notify,
    max: usize,
}

struct Queue {
    waiting: VecDeque<Waiting>,
    /// Why no more are let in.
    closed: Option<AddError>,
}

impl Pool {
    pub(crate) fn new(max: usize) -> Self {
        Self { queue: Mutex::new(Queue { waiting: VecDeque::new(), closed: None }), arrived: Notify::new(), max }
    }

    pub(crate) fn push(&self, waiting: Waiting) -> Result<(), AddError> {
        let mut queue = self.lock();
        if let Some(reason) = &queue.closed {
            return Err(reason.clone());
        }
        if queue.waiting.len() >= self.max {
            return Err(AddError::PoolFull);
        }
        queue.waiting.push_back(waiting);
        drop(queue);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits until something is pending and takes up to `count` of it; `None` when the pool is closed and empty.
    pub(crate) async fn take(&self, count: usize) -> Option<Vec<Waiting>> {
        loop {
            {
                let mut queue = self.lock();
                if !queue.waiting.is_empty() {
                    let count = count.clamp(1, queue.waiting.len());
                    return Some(queue.waiting.drain(..count).collect());
                }
                if queue.closed.is_some() {
                    return None;
                }
            }
            // A push between the look and this line has left a permit behind.
            self.arrived.notified().await;
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Lets no more in. What is waiting will still be taken.
    pub(crate) fn close(&self, reason: AddError) {
        self.lock().closed.get_or_insert(reason);
        self.arrived.notify_one();
    }

    /// Why no more are let in, if so.
    pub(crate) fn closed_by(&self) -> Option<AddError> {
        self.lock().closed.clone()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed.is_some()
    }

    /// Lets no more in and answers all that wait.
    pub(crate) fn fail_all(&self, reason: &AddError) {
        self.close(reason.clone());
        let waiting = std::mem::take(&mut self.lock().waiting);
        for waiting in waiting {
            waiting.answer(Err(reason.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics while it holds the lock; if it did, the queue would still be whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
