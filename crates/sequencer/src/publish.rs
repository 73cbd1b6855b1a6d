// SPDX-License-Identifier: Apache-2.0
//! The publishing task: tiles, entry tiles and the public checkpoint into the objects, off the commit path.
//!
//! What is complete but not yet published waits in the [`Backlog`], where readers find it. What a crash loses of the backlog is rebuilt
//! from the ledger's rows when the log is opened, by the code that made it in the first place (`edge`), and published by this task.
//!
//! In scope: the order of publishing, trying again, the cursor. Out of scope: what is in a tile (`edge`), the anchor (`anchor`).
//!
//! Invariants: the cursor never passes an object that is not durable; the checkpoint object never shows a tree whose full tiles are missing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use touchmark_tlog::TreeSize;
use touchmark_tlog::tile::TILE_WIDTH;

use crate::entry::Blob;
use crate::error::FatalCause;
use crate::log::Shared;
use crate::objects::{CHECKPOINT_NAME, ObjectError};
use crate::sequence::StopIfPanicked;

/// Objects that may wait to be published before no more entries are sequenced. At 700 bytes an entry these are about 50 MB.
const BACKLOG_MAX: usize = 512;
/// Objects that are published in one step, whose cost is hardly that of one. A reader finds them in the backlog until then.
const STEP_MAX: usize = 32;
/// The checkpoint object is written at once after a quiet time, and then at most so often.
const CHECKPOINT_PERIOD: Duration = Duration::from_secs(1);
/// The pause before an object is tried again.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Complete objects that are not yet published, oldest first.
pub(crate) struct Backlog {
    queue: Mutex<Queue>,
    /// Wakes the publishing task.
    arrived: Notify,
    /// Wakes the sequencing thread.
    freed: Notify,
}

struct Queue {
    waiting: VecDeque<Item>,
    published: TreeSize,
    limited: bool,
}

/// An object, and how much of the tree is published with it.
struct Item {
    object: Arc<Blob>,
    published_after: Option<TreeSize>,
}

impl Backlog {
    pub(crate) fn new(published: TreeSize) -> Self {
        let queue = Queue { waiting: VecDeque::new(), published, limited: true };
        Self { queue: Mutex::new(queue), arrived: Notify::new(), freed: Notify::new() }
    }

    /// Takes the objects that a tree grown to `size` has completed. When the last of them is durable, so is everything complete at `size`.
    pub(crate) fn push(&self, completed: Vec<Blob>, size: TreeSize) {
        let complete = TreeSize(size.0 - size.0 % u64::from(TILE_WIDTH));
        let mut completed = completed.into_iter().map(Arc::new).peekable();
        let mut queue = self.lock();
        while let Some(object) = completed.next() {
            let published_after = completed.peek().is_none().then_some(complete);
            queue.waiting.push_back(Item { object, published_after });
        }
        drop(queue);
        self.arrived.notify_one();
    }

    /// The publishing cursor.
    pub(crate) fn published(&self) -> TreeSize {
        self.lock().published
    }

    /// An object that is complete but perhaps not yet published.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Blob>> {
        self.lock().waiting.iter().find(|item| item.object.name == name).map(|item| Arc::clone(&item.object))
    }

    /// Waits until the backlog is below its limit.
    pub(crate) async fn room(&self) {
        loop {
            {
                let queue = self.lock();
                if !queue.limited || queue.waiting.len() < BACKLOG_MAX {
                    return;
                }
            }
            self.freed.notified().await;
        }
    }

    /// At the end of a log nobody waits for objects that cannot be stored.
    pub(crate) fn lift_limit(&self) {
        self.lock().limited = false;
        self.freed.notify_one();
    }

    /// The oldest objects, up to [`STEP_MAX`].
    fn first(&self) -> Vec<Arc<Blob>> {
        self.lock().waiting.iter().take(STEP_MAX).map(|item| Arc::clone(&item.object)).collect()
    }

    /// So many of the oldest objects are durable.
    fn first_are_durable(&self, count: usize) {
        let mut queue = self.lock();
        let published = queue.waiting.drain(..count).filter_map(|item| item.published_after).next_back();
        queue.published = published.unwrap_or(queue.published);
        drop(queue);
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of the publishing task, all of it owned by the task.
pub(crate) struct Publishing {
    shared: Arc<Shared>,
    finish: watch::Receiver<bool>,
    /// The note that the checkpoint object holds, as far as this process knows.
    written: Option<Arc<str>>,
    /// When the checkpoint object may be written again.
    due: Instant,
}

/// What became of trying to publish something.
enum Step {
    Done,
    /// It failed, and there is no time to try again.
    GaveUp,
}

impl Publishing {
    pub(crate) fn new(shared: Arc<Shared>, finish: watch::Receiver<bool>) -> Self {
        Self { shared, finish, written: None, due: Instant::now() }
    }

    /// The body of the task. It ends when it is told to finish and everything is published, or cannot be.
    pub(crate) async fn run(mut self) {
        let _guard = StopIfPanicked(Arc::clone(&self.shared));
        let mut signed = self.shared.signed.subscribe();
        loop {
            let finishing = *self.finish.borrow_and_update();
            let note = Arc::clone(&signed.borrow_and_update().checkpoint.note);
            if let Step::GaveUp = self.publish_backlog().await {
                return;
            }
            let unwritten = self.written.as_ref() != Some(&note);
            if unwritten && (finishing || Instant::now() >= self.due) {
                if let Step::GaveUp = self.publish_checkpoint(note).await {
                    return;
                }
                continue;
            }
            if finishing {
                return;
            }
            tokio::select! {
                () = self.shared.backlog.arrived.notified() => {}
                changed = signed.changed(), if !unwritten => if changed.is_err() { return },
                () = sleep_until(self.due), if unwritten => {}
                changed = self.finish.changed() => if changed.is_err() { self.finish_unasked() },
            }
        }
    }

    /// Effect: immutable objects, in steps. A crash within one leaves the cursor where the last commit saved it; the next start completes
    /// the same objects from the ledger again, finds those that exist to be equal, and stores the others.
    async fn publish_backlog(&mut self) -> Step {
        loop {
            let objects = self.shared.backlog.first();
            if objects.is_empty() {
                return Step::Done;
            }
            let mut pause = RETRY_MIN;
            while let Err(error) = self.shared.objects.create_all(&objects).await {
                if let ObjectError::Differs { name } = error {
                    self.shared.stop(FatalCause::ObjectDiffers { name });
                    return Step::GaveUp;
                }
                if let Step::GaveUp = self.wait_after(&error, &mut pause).await {
                    return Step::GaveUp;
                }
            }
            self.shared.backlog.first_are_durable(objects.len());
        }
    }

    /// Effect: the checkpoint object. A crash before it leaves an older checkpoint of the same log there; the next start signs and
    /// publishes a newer one.
    async fn publish_checkpoint(&mut self, note: Arc<str>) -> Step {
        let mut pause = RETRY_MIN;
        while let Err(error) = self.shared.objects.replace(CHECKPOINT_NAME, note.as_bytes()).await {
            if let Step::GaveUp = self.wait_after(&error, &mut pause).await {
                return Step::GaveUp;
            }
        }
        self.written = Some(note);
        self.due = Instant::now() + CHECKPOINT_PERIOD;
        Step::Done
    }

    /// Waits a little after a failure, or not at all when there is no time left.
    async fn wait_after(&mut self, error: &ObjectError, pause: &mut Duration) -> Step {
        tracing::warn!(origin = self.shared.config.origin, %error, "publishing failed");
        if *self.finish.borrow() {
            return Step::GaveUp;
        }
        tokio::select! {
            () = sleep(*pause) => *pause = pause.saturating_mul(2).min(RETRY_MAX),
            changed = self.finish.changed() => if changed.is_err() { self.finish_unasked() },
        }
        Step::Done
    }

    /// All handles were dropped without a shutdown: what is left is published as after one.
    fn finish_unasked(&mut self) {
        self.finish = watch::Sender::new(true).subscribe();
    }
}
