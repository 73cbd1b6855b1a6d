// SPDX-License-Identifier: Apache-2.0
//! The handle of a log, and what its thread and tasks share.
//!
//! ```text
//! who                      owns                                        in
//! callers of `add`         their entry until it is in the pool         this file
//! sequencing thread        the edge of the committed tree              sequence.rs
//! signing task             what was last signed, and what was not yet  sign.rs
//! publishing task          the published checkpoint object             publish.rs
//! anchoring task           the anchor file                             anchor.rs
//! ```

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::LogConfig;
use crate::edge::Edge;
use crate::entry::{Added, Blob, Pending, SignedCheckpoint, WaitFor};
use crate::error::{AddError, FatalCause};
use crate::freeze::Freezing;
use crate::ledger::Ledger;
use crate::objects::Objects;
use crate::pool::{Pool, Waiting};
use crate::publish::Backlog;
use crate::stats::Meters;

/// Names of blobs that are known to be durable; a CT log has a handful of issuers.
const KNOWN_BLOBS_MAX: usize = 4096;

/// One append-only log. Cheap to clone; all clones are the same log.
///
/// When the last handle is dropped the log ends by itself as with [`Log::shutdown`], but nobody waits for it.
#[derive(Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    running: Arc<Running>,
}

/// What the thread and the tasks of a log share.
pub(crate) struct Shared {
    pub(crate) config: LogConfig,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Callers push, the sequencing thread takes.
    pub(crate) pool: Pool,
    /// The sequencing thread pushes, the publishing task takes, readers look.
    pub(crate) backlog: Backlog,
    /// The latest signed tree. Written by the signing task alone.
    pub(crate) signed: watch::Sender<Arc<SignedTree>>,
    /// How far the end of the log is. Written by the sequencing thread until the freeze is durable, then by the signing task.
    pub(crate) freezing: watch::Sender<Freezing>,
    /// The thread and the tasks count, whoever asks reads.
    pub(crate) meters: Meters,
    /// Set once, by whoever finds the cause.
    fatal: OnceLock<FatalCause>,
    /// Blobs that this process has made durable: a cache, lost at every start.
    known_blobs: Mutex<HashSet<String>>,
}

/// A signed checkpoint and the right edge of its tree, from which partial tiles are rendered.
pub(crate) struct SignedTree {
    pub(crate) checkpoint: SignedCheckpoint,
    pub(crate) edge: Edge,
}

/// The thread and the tasks, each ending when what feeds it has ended.
pub(crate) struct Running {
    shared: Arc<Shared>,
    tasks: Mutex<Option<Tasks>>,
    /// Tells the publishing and the anchoring task that nothing more will be signed.
    finish: watch::Sender<bool>,
}

pub(crate) struct Tasks {
    pub(crate) sequencing: thread::JoinHandle<()>,
    pub(crate) signing: JoinHandle<()>,
    pub(crate) publishing: JoinHandle<()>,
    pub(crate) anchoring: JoinHandle<()>,
}

impl Shared {
    pub(crate) fn new(
        config: LogConfig,
        ledger: Arc<dyn Ledger>,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        backlog: Backlog,
        signed: SignedTree,
    ) -> Self {
        Self {
            pool: Pool::new(config.pool_max),
            backlog,
            signed: watch::Sender::new(Arc::new(signed)),
            freezing: watch::Sender::new(Freezing::Live),
            meters: Meters::new(clock.now_ms()),
            fatal: OnceLock::new(),
            known_blobs: Mutex::new(HashSet::new()),
            config,
            ledger,
            objects,
            clock,
        }
    }

    /// Stops the log for good. The first cause is the one that is reported.
    pub(crate) fn stop(&self, cause: FatalCause) {
        let cause = self.fatal.get_or_init(|| {
            tracing::error!(origin = self.config.origin, %cause, "the log has stopped");
            cause
        });
        self.pool.fail_all(&AddError::Fatal(cause.clone()));
        self.backlog.lift_limit();
        // Wakes who waits for a freeze.
        self.freezing.send_modify(|_| {});
    }

    pub(crate) fn stopped(&self) -> Option<&FatalCause> {
        self.fatal.get()
    }

    /// Makes the blobs of an entry durable before the entry can be.
    ///
    /// Effect: objects. A crash after it leaves objects that no entry needs; they are immutable, and the next entry that needs them finds them.
    async fn store_blobs(&self, blobs: &[Blob]) -> Result<(), AddError> {
        for blob in blobs {
            if self.known_blobs().contains(&blob.name) {
                continue;
            }
            self.objects.create(&blob.name, &blob.bytes).await.map_err(|error| {
                tracing::warn!(origin = self.config.origin, %error, "storing a blob failed");
                AddError::Storage
            })?;
            let mut known = self.known_blobs();
            if known.len() >= KNOWN_BLOBS_MAX {
                known.clear();
            }
            known.insert(blob.name.clone());
        }
        Ok(())
    }

    fn known_blobs(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.known_blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Tasks, finish: watch::Sender<bool>) -> Self {
        let running = Arc::new(Running { shared: Arc::clone(&shared), tasks: Mutex::new(Some(tasks)), finish });
        Self { shared, running }
    }

    /// Adds an entry and waits for what `wait_for` says. If the caller goes away before, the entry may be added all the same.
    pub async fn add(&self, pending: Pending, wait_for: WaitFor) -> Result<Added, AddError> {
        self.shared.store_blobs(&pending.blobs).await?;
        let _present = self.shared.pool.present();
        let (reply, answer) = oneshot::channel();
        self.shared.pool.push(Waiting { pending, wait_for, reply })?;
        answer.await.unwrap_or_else(|_| Err(AddError::Fatal(self.stopped().unwrap_or(FatalCause::TaskEnded))))
    }

    /// The latest signed checkpoint.
    pub fn checkpoint(&self) -> SignedCheckpoint {
        self.signed().checkpoint.clone()
    }

    /// The first line of this log's checkpoints.
    pub fn origin(&self) -> &str {
        &self.shared.config.origin
    }

    /// Why the log stopped, if it did. Reads go on; nothing can be added.
    pub fn stopped(&self) -> Option<FatalCause> {
        self.shared.stopped().cloned()
    }

    /// Stops the log for good, because somebody outside the engine knows that signing on would be wrong. The first cause is kept.
    pub fn stop(&self, cause: FatalCause) {
        self.shared.stop(cause);
    }

    /// The checkpoints that are signed from now on.
    pub fn signings(&self) -> Signings {
        Signings(self.shared.signed.subscribe())
    }

    /// Ends the log: lets no more entries in, sequences those in the pool, signs, publishes, and returns when all is done. What could not be
    /// published because the objects failed is published at the next start.
    pub async fn shutdown(&self) {
        let Some(tasks) = self.running.close() else { return };
        // The order of the data: each ends when what feeds it has ended.
        let sequencing = tokio::task::spawn_blocking(|| tasks.sequencing.join());
        let _ = sequencing.await;
        let _ = tasks.signing.await;
        self.running.finish.send_replace(true);
        let _ = tasks.publishing.await;
        let _ = tasks.anchoring.await;
    }

    pub(crate) fn signed(&self) -> Arc<SignedTree> {
        Arc::clone(&self.shared.signed.borrow())
    }
}

/// Hears of newly signed checkpoints; of several since the last look, the newest.
pub struct Signings(watch::Receiver<Arc<SignedTree>>);

impl Signings {
    /// Waits for a checkpoint that was not seen here before; `None` when the log is gone.
    pub async fn next(&mut self) -> Option<SignedCheckpoint> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().checkpoint.clone())
    }
}

impl Running {
    fn close(&self) -> Option<Tasks> {
        self.shared.pool.close(AddError::ShuttingDown);
        self.shared.backlog.lift_limit();
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a shutdown this does nothing. Without one the tasks end in the background: `finish` is closed with this value.
        self.close();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("origin", &self.origin()).finish_non_exhaustive()
    }
}
