// SPDX-License-Identifier: Apache-2.0
//! The anchor: a file outside the data directory that remembers the last signed checkpoint.
//!
//! A data directory that is put back to an older state takes its own memory with it. The anchor does not go back with it, so that opening
//! the log can refuse. It is written at once after a quiet time and then at most once a second: what was signed in the last second before
//! a crash, together with a roll-back of the directory, is the window that cannot be detected.
//!
//! In scope: the file, and keeping it up to date. Out of scope: comparing it (`open`).
//!
//! Invariant: the file holds the whole of one checkpoint of this log, or nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::fs_objects::durable;
use crate::log::Shared;

/// The file is at most about this far behind what was signed.
const ANCHOR_PERIOD: Duration = Duration::from_secs(1);

/// The note in the anchor file; empty if an operator asked to start anchoring here; `None` without a file.
pub(crate) async fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match tokio::fs::read(path).await {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Effect: the anchor file, replaced as a whole. A crash before it leaves the older checkpoint there, and perhaps a temporary file beside it
/// that the next write replaces.
pub(crate) async fn write(path: PathBuf, note: Arc<str>) -> io::Result<()> {
    let write = move || {
        let mut temporary = path.clone().into_os_string();
        temporary.push(".tmp");
        durable::replace(Path::new(&temporary), &path, note.as_bytes())
    };
    tokio::task::spawn_blocking(write).await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
}

/// The body of the anchoring task. `written` is the note that the file holds.
pub(crate) async fn keep(shared: Arc<Shared>, mut written: Arc<str>, mut finish: watch::Receiver<bool>) {
    let Some(path) = shared.config.anchor.clone() else { return };
    let mut signed = shared.signed.subscribe();
    loop {
        let finishing = *finish.borrow_and_update() || finish.has_changed().is_err();
        let note = Arc::clone(&signed.borrow_and_update().checkpoint.note);
        if note != written {
            match write(path.clone(), Arc::clone(&note)).await {
                Ok(()) => written = note,
                Err(error) => {
                    tracing::error!(origin = shared.config.origin, path = %path.display(), %error, "writing the anchor failed");
                }
            }
            if finishing {
                return;
            }
            tokio::select! {
                () = sleep(ANCHOR_PERIOD) => {}
                _ = finish.changed() => {}
            }
        } else if finishing {
            return;
        } else {
            tokio::select! {
                changed = signed.changed() => if changed.is_err() { return },
                _ = finish.changed() => {}
            }
        }
    }
}
