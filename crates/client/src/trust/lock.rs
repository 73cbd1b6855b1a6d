// SPDX-License-Identifier: Apache-2.0
//! Advisory file locks between the processes that share a directory of trust, each with a bounded wait.
//!
//! In scope: `refresh.lock` of an instance, held by whoever asks the mirror or imports, over all of it; `commit.lock`, held for the
//! milliseconds in which the files of the cache are replaced; `instances.lock`, held while it is written which instance is the default.
//! Out of scope: what is done under them (`cache`, `instances`).
//!
//! Invariants: a lock ends with the process that holds it, however that ends, because the system drops it with the open file. No wait is
//! without end. The files stay, empty: a lock on a file that somebody deletes locks nobody out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::TrustError;

/// How long a refresh waits for another process's: a mirror that answers is done much sooner, and who waited longer has the cache.
pub(super) const REFRESH_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long initialising and importing wait, which have no cache to fall back to.
pub(super) const JOIN_WAIT_MAX: Duration = Duration::from_secs(30);
/// Locks that are held while some small files are written.
const BRIEF_WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two tries: far below what a refresh takes.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A lock that is held; it ends with this value.
pub(super) struct Held {
    _file: File,
}

/// What came of waiting.
pub(super) enum Waited {
    Held(Held),
    /// The directory cannot be written to: nobody here writes what the lock protects, and neither may the caller.
    Unwritable,
    /// Another process has held it all the time.
    Busy,
}

impl Waited {
    /// For what has to be remembered, and so needs the lock.
    pub(super) fn expect_held(self, dir: &Path, waited: Duration) -> Result<Held, TrustError> {
        match self {
            Self::Held(held) => Ok(held),
            Self::Busy => Err(TrustError::Busy { path: dir.to_owned(), waited }),
            Self::Unwritable => {
                let source = io::Error::from(io::ErrorKind::PermissionDenied);
                Err(TrustError::File { path: dir.to_owned(), doing: "written", source })
            }
        }
    }
}

/// How a lock is held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sharing {
    Alone,
    WithOthers,
}

/// Waits without stopping other tasks.
pub(super) async fn alone(path: &Path, wait_max: Duration) -> Result<Waited, TrustError> {
    let Some(file) = open(path)? else { return Ok(Waited::Unwritable) };
    let begun = Instant::now();
    while !held(&file, Sharing::Alone, path)? {
        if begun.elapsed() >= wait_max {
            return Ok(Waited::Busy);
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
    Ok(Waited::Held(Held { _file: file }))
}

/// Waits on the thread, for what others hold for milliseconds only; needs no run time. `None` where the directory cannot be written to.
pub(super) fn briefly(path: &Path, sharing: Sharing) -> Result<Option<Held>, TrustError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let begun = Instant::now();
    while !held(&file, sharing, path)? {
        if begun.elapsed() >= BRIEF_WAIT_MAX {
            return Err(TrustError::Busy { path: path.to_owned(), waited: BRIEF_WAIT_MAX });
        }
        std::thread::sleep(TRY_AGAIN_AFTER);
    }
    Ok(Some(Held { _file: file }))
}

fn open(path: &Path) -> Result<Option<File>, TrustError> {
    if let Some(parent) = path.parent() {
        // Whether it worked is seen when the file is opened.
        let _ = std::fs::create_dir_all(parent);
    }
    match OpenOptions::new().create(true).truncate(false).write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            Ok(None)
        }
        Err(source) => Err(TrustError::File { path: path.to_owned(), doing: "opened", source }),
    }
}

fn held(file: &File, sharing: Sharing, path: &Path) -> Result<bool, TrustError> {
    let tried = match sharing {
        Sharing::Alone => file.try_lock(),
        Sharing::WithOthers => file.try_lock_shared(),
    };
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(TrustError::File { path: path.to_owned(), doing: "locked", source }),
    }
}
