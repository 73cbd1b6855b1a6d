// SPDX-License-Identifier: Apache-2.0
//! The pool: entries that wait for the next batch.
//!
//! A batch costs a sync and a signature however small it is. So a batch waits for the callers who were here a moment ago and may come back, but never
//! longer than [`GATHER_MAX`] after the batch before it: whoever is alone, or comes seldom, waits for nobody. On a disk that takes that long for
//! a sync nothing waits: the next batch has gathered meanwhile.
//!
//! In scope: the queue, its limit, when a batch begins, its end. Out of scope: what a batch does (`sequence`).
//!
//! Invariant: every entry that was let in is handed out by [`Pool::take`] or answered by [`Pool::fail_all`]; after the end none gets in.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::entry::{Added, Pending, WaitFor};
use crate::error::AddError;

/// After the beginning of a batch, how long the next one may wait for more callers.
const GATHER_MAX: Duration = Duration::from_millis(4);
/// Of how many batches it is remembered how many callers there were.
const REMEMBERED: usize = 16;

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
    /// Callers whose entries wait, are committed or signed.
    callers: AtomicUsize,
    max: usize,
}

struct Queue {
    waiting: VecDeque<Waiting>,
    /// With how many entries the sequencing thread wants to be woken.
    wanted: usize,
    /// Why no more are let in.
    closed: Option<AddError>,
    rhythm: Rhythm,
}

/// When the last batches began, and among how many callers.
struct Rhythm {
    last: Option<Instant>,
    callers: VecDeque<usize>,
}

/// A caller who is counted until this is dropped.
pub(crate) struct Present<'a>(&'a AtomicUsize);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(max: usize) -> Self {
        let rhythm = Rhythm { last: None, callers: VecDeque::with_capacity(REMEMBERED) };
        let queue = Queue { waiting: VecDeque::new(), wanted: 1, closed: None, rhythm };
        Self { queue: Mutex::new(queue), arrived: Notify::new(), callers: AtomicUsize::new(0), max }
    }

    /// Counts a caller who waits for an answer.
    pub(crate) fn present(&self) -> Present<'_> {
        self.callers.fetch_add(1, Ordering::Relaxed);
        Present(&self.callers)
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
        let is_enough = queue.waiting.len() >= queue.wanted;
        drop(queue);
        if is_enough {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until something is pending, and for who may join, and takes up to `count`; `None` when the pool is closed and empty.
    pub(crate) async fn take(&self, count: usize) -> Option<Vec<Waiting>> {
        self.arrival_of(1).await;
        let (expected, until) = self.lock().rhythm.next();
        // Who comes later comes into the next batch.
        let _ = timeout_at(until, self.arrival_of(expected.min(count))).await;

        let mut queue = self.lock();
        if queue.waiting.is_empty() {
            return None;
        }
        queue.rhythm.batch(self.callers.load(Ordering::Relaxed));
        let count = count.clamp(1, queue.waiting.len());
        Some(queue.waiting.drain(..count).collect())
    }

    /// Waits until so many are pending, or the pool is closed.
    async fn arrival_of(&self, wanted: usize) {
        loop {
            {
                let mut queue = self.lock();
                if queue.waiting.len() >= wanted || queue.closed.is_some() {
                    return;
                }
                queue.wanted = wanted;
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

impl Rhythm {
    /// For how many entries the next batch waits, and until when.
    fn next(&self) -> (usize, Instant) {
        let expected = self.callers.iter().copied().max().unwrap_or(1);
        (expected, self.last.map_or_else(Instant::now, |last| last + GATHER_MAX))
    }

    /// A batch begins among so many callers.
    fn batch(&mut self, callers: usize) {
        self.last = Some(Instant::now());
        if self.callers.len() == REMEMBERED {
            self.callers.pop_front();
        }
        self.callers.push_back(callers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Rendered;

    fn waiting(id: u8) -> (Waiting, oneshot::Receiver<Result<Added, AddError>>) {
        let (reply, answer) = oneshot::channel();
        let render = Box::new(|_, _| Rendered::alike("entry"));
        let pending = Pending { dedup_key: [id; 32], render, blobs: [].into(), meta: Vec::new() };
        (Waiting { pending, wait_for: WaitFor::Sequenced, reply }, answer)
    }

    /// A pool whose last batches began among so many callers, the last of them at this time.
    fn pool(callers: &[usize], last: Instant) -> Pool {
        let pool = Pool::new(8);
        let rhythm = Rhythm { last: Some(last), callers: callers.iter().copied().collect() };
        pool.lock().rhythm = rhythm;
        pool
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn who_is_alone_waits_for_nobody() {
        let pool = pool(&[1, 1], Instant::now() + HOUR);
        let (entry, _answer) = waiting(1);
        pool.push(entry).unwrap();
        assert_eq!(pool.take(8).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_batch_waits_for_as_many_as_there_were_but_no_longer_than_its_time() {
        let pool = pool(&[1, 2, 1], Instant::now() + HOUR);
        let (first, _one) = waiting(1);
        let (second, _two) = waiting(2);
        pool.push(first).unwrap();
        let (batch, pushed) = tokio::join!(pool.take(8), async { pool.push(second) });
        assert_eq!((batch.unwrap().len(), pushed), (2, Ok(())));

        let (third, _three) = waiting(3);
        pool.push(third).unwrap();
        // The last batch began now: the next one waits, and then goes without the other caller.
        assert_eq!(pool.take(8).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_pool_that_closes_lets_the_last_batch_go_at_once() {
        let pool = pool(&[5], Instant::now() + HOUR);
        let (entry, _answer) = waiting(1);
        pool.push(entry).unwrap();
        let (batch, ()) = tokio::join!(pool.take(8), async { pool.close(AddError::ShuttingDown) });
        assert_eq!(batch.unwrap().len(), 1);
        assert!(pool.take(8).await.is_none());
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut rhythm = Rhythm { last: None, callers: VecDeque::new() };
        assert_eq!(rhythm.next().0, 1);
        rhythm.batch(300);
        for _ in 1..REMEMBERED {
            rhythm.batch(1);
            assert_eq!(rhythm.next().0, 300);
        }
        rhythm.batch(1);
        assert_eq!(rhythm.next().0, 1);
    }

    #[test]
    fn callers_are_counted_while_they_wait() {
        let pool = Pool::new(8);
        let (one, two) = (pool.present(), pool.present());
        assert_eq!(pool.callers.load(Ordering::Relaxed), 2);
        drop((one, two));
        assert_eq!(pool.callers.load(Ordering::Relaxed), 0);
    }
}
