// SPDX-License-Identifier: Apache-2.0
//! An audit log: one line of JSON for each thing that an authority did, each line bound to the one before by its SHA-256.
//!
//! What is in a line, what a crash can lose and what a chain proves: docs/fulcio-operations.md, docs/tsa.md.
//!
//! In scope: the lines, their order, and when they are durable ([`AuditLog`]); what a start finds at the end of a file ([`tail`]); proving a whole
//! file ([`verify`]). Out of scope: what is written down, and when (`crate::fulcio`, `crate::tsa`).
//! Invariants: a line is never changed or removed, but for a torn one at the end, and a line then says so; a file that is no audit log is left as it
//! is; one process and one thread write, and only while the path leads to the file that is open; every line is bounded and printable ASCII; what [`AuditLog::record`] returned for is durable.

pub(crate) mod line;
mod tail;
pub(crate) mod verify;

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use touchmark_sequencer::Clock;

use self::tail::{Tail, Unfit};
use self::verify::AuditProblem;
use crate::deps::timestamp;
use crate::durable::{self, FileError};

pub(crate) use self::line::bounded;

/// Which authority writes an audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditKind {
    /// The certificate authority: every decision about a request.
    Certificates,
    /// The timestamp authority: every timestamp.
    Timestamps,
}

impl AuditKind {
    /// The command that proves a file of these.
    #[must_use]
    pub fn verified_by(self) -> &'static str {
        match self {
            Self::Certificates => "touchmark fulcio audit verify",
            Self::Timestamps => "touchmark tsa audit verify",
        }
    }
}

impl std::fmt::Display for AuditKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificates => "certificate authority",
            Self::Timestamps => "timestamp authority",
        })
    }
}

/// What one line says. An implementer owes: the members are a JSON object of a fixed set of names, none of which is `sequence`, `previous`
/// or `time`; each text from outside in it went through [`bounded`], and there are at most four of them.
pub(crate) trait Entry: Send + 'static {
    /// What cannot be done any more once the file cannot be written, for the process' own log.
    const WITHOUT: &'static str;
    /// Whose lines they are; a file holds those of one authority alone.
    const KIND: AuditKind;

    /// When it happened.
    fn time(&self) -> Timestamp;

    /// What stands in the line after its link and its time, in this order.
    fn members(&self) -> impl Serialize;
}

/// Entries that wait to be written; more wait for their place. As many requests as a few syncs serve.
const QUEUE_MAX: usize = 1024;
/// Bytes that one sync makes durable: some thousand lines, and all that a crash can tear.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// A file that is open for writing. Clones are the same.
pub(crate) struct AuditLog<E> {
    queue: mpsc::Sender<Message<E>>,
    stopped: Arc<AtomicBool>,
}

impl<E> Clone for AuditLog<E> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), stopped: Arc::clone(&self.stopped) }
    }
}

enum Message<E> {
    Line {
        entry: Box<E>,
        durable: Option<oneshot::Sender<()>>,
    },
    /// Nothing comes after this.
    Close {
        closed: oneshot::Sender<()>,
    },
}

/// The entry may be lost: nothing may be done that it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub(crate) struct AuditUnavailable;

/// Why no line can be added to a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditStartError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("another process writes the audit log {}: give each server a file of its own", .0.display())]
    InUse(PathBuf),
    #[error("the audit log {} is no regular file: give the audit log a path of its own", .0.display())]
    NotAFile(PathBuf),
    #[error(
        "the audit log {} may be read by others than its owner (mode {mode:03o}), and it says who asked for what: chmod 600 it", path.display()
    )]
    LoosePermissions { path: PathBuf, mode: u32 },
    #[error(
        "{} is no audit log: it has {bytes} bytes, and no line that an audit log has at its end; nothing was changed: give the audit log a path of its own", path.display()
    )]
    NoAuditLog { path: PathBuf, bytes: u64 },
    #[error("{} is the audit log of a {found}; nothing was changed: give each authority a file of its own", path.display())]
    OtherAuthority { path: PathBuf, found: AuditKind },
    #[error(
        "the audit log {} is not a whole chain: {problem}; keep the file, find out more with `{verified_by}`, and move it away to begin another", path.display()
    )]
    Broken { path: PathBuf, problem: AuditProblem, verified_by: &'static str },
}

impl<E: Entry> AuditLog<E> {
    /// Opens the file, or makes it, for this process alone. A torn last line is cut off, and a line says so.
    ///
    /// A crash in here leaves the torn line, or a file without it and without the line that says so, or with a part of that: the next start then counts
    /// that part alone.
    pub(crate) fn open(path: &Path, clock: &dyn Clock) -> Result<Self, AuditStartError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(path).map_err(durable::failed("cannot open", path))?;
        let metadata = file.metadata().map_err(durable::failed("cannot look at", path))?;
        expect_private_file(path, &metadata)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditStartError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(durable::failed("cannot lock", path)(error).into()),
        }
        let tail = tail::read(&mut file, E::KIND).map_err(durable::failed("cannot read", path))?;
        let tail = tail.map_err(|unfit| match unfit {
            Unfit::OtherAuthority(found) => AuditStartError::OtherAuthority { path: path.to_owned(), found },
            Unfit::NoAuditLog => AuditStartError::NoAuditLog { path: path.to_owned(), bytes: metadata.len() },
            Unfit::Broken(problem) => {
                AuditStartError::Broken { path: path.to_owned(), problem, verified_by: E::KIND.verified_by() }
            }
        })?;
        let torn_bytes = tail.torn_bytes;
        if torn_bytes > 0 {
            tracing::warn!(path = %path.display(), torn_bytes, "the last line of the audit log was torn and is cut off");
            file.set_len(tail.whole_bytes).map_err(durable::failed("cannot cut", path))?;
        }
        let place = Place::of(&metadata);
        let mut writer = Writer { file, path: path.to_owned(), place, end: tail };
        if torn_bytes > 0 {
            let mut group = Vec::new();
            writer.end.add_recovery(timestamp(clock), torn_bytes, &mut group);
            writer.append(&group).map_err(durable::failed("cannot write", path))?;
        }
        writer.file.sync_all().map_err(durable::failed("cannot sync", path))?;
        durable::sync_directory(path.parent().unwrap_or(Path::new("")))?;
        writer.start().map_err(|source| durable::failed("cannot start the writer of", path)(source).into())
    }

    /// Returns when the line is durable.
    pub(crate) async fn record(&self, entry: E) -> Result<(), AuditUnavailable> {
        let (durable, written) = oneshot::channel();
        self.send(Message::Line { entry: Box::new(entry), durable: Some(durable) }).await?;
        written.await.map_err(|_| AuditUnavailable)
    }

    /// Returns when the line has its place among those that are written next.
    pub(crate) async fn note(&self, entry: E) -> Result<(), AuditUnavailable> {
        self.send(Message::Line { entry: Box::new(entry), durable: None }).await
    }

    /// As [`AuditLog::note`], where nothing can wait: fails, too, if there is no room.
    pub(crate) fn note_now(&self, entry: E) -> Result<(), AuditUnavailable> {
        let message = Message::Line { entry: Box::new(entry), durable: None };
        self.queue.try_send(message).map_err(|_| AuditUnavailable)
    }

    /// Whether lines are still written, as far as is known.
    pub(crate) fn works(&self) -> bool {
        !self.stopped.load(Ordering::Acquire)
    }

    /// Writes what waits and nothing more, and gives the file back.
    pub(crate) async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.send(Message::Close { closed }).await.is_ok() {
            let _ = done.await;
        }
    }

    async fn send(&self, message: Message<E>) -> Result<(), AuditUnavailable> {
        self.queue.send(message).await.map_err(|_| AuditUnavailable)
    }
}

/// As key files are: who asked for what is nobody else's business.
fn expect_private_file(path: &Path, metadata: &Metadata) -> Result<(), AuditStartError> {
    if !metadata.is_file() {
        return Err(AuditStartError::NotAFile(path.to_owned()));
    }
    match metadata.mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(AuditStartError::LoosePermissions { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

/// The one that writes, on a thread of its own.
struct Writer {
    file: File,
    path: PathBuf,
    place: Place,
    end: Tail,
}

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
}

impl Place {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Why lines are not in the file that the path leads to.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(
        "the file was moved or deleted under the running server: put it back, or leave it where it is, and start again; stop the server before you move it"
    )]
    Displaced,
}

/// Everything that one sync makes durable.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
    closed: Option<oneshot::Sender<()>>,
}

impl Writer {
    fn start<E: Entry>(self) -> std::io::Result<AuditLog<E>> {
        let (queue, entries) = mpsc::channel(QUEUE_MAX);
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        std::thread::Builder::new().name("audit-log".to_owned()).spawn(move || {
            self.run(entries);
            flag.store(true, Ordering::Release);
        })?;
        Ok(AuditLog { queue, stopped })
    }

    /// Groups form by themselves: what comes during one sync is made durable by the next.
    ///
    /// After a failure nothing is written any more, because what the file then holds is known at the next start only.
    fn run<E: Entry>(mut self, mut entries: mpsc::Receiver<Message<E>>) {
        while let Some(first) = entries.blocking_recv() {
            let mut group = Group::default();
            self.add(first, &mut group);
            while group.bytes.len() < GROUP_BYTES_MAX && group.closed.is_none() {
                let Ok(next) = entries.try_recv() else { break };
                self.add(next, &mut group);
            }
            if let Err(error) = self.write(&group.bytes) {
                // Who waits hears it by the channel that is dropped here.
                let without = E::WITHOUT;
                tracing::error!(path = %self.path.display(), %error, "the audit log cannot be written: {without} until a restart");
                return;
            }
            for durable in group.waiting {
                let _ = durable.send(());
            }
            if let Some(closed) = group.closed {
                // With the file its lock goes, before anybody hears that it has gone.
                drop(self);
                let _ = closed.send(());
                return;
            }
        }
    }

    fn add<E: Entry>(&mut self, message: Message<E>, group: &mut Group) {
        match message {
            Message::Line { entry, durable } => {
                self.end.add(entry.as_ref(), &mut group.bytes);
                group.waiting.extend(durable);
            }
            Message::Close { closed } => group.closed = Some(closed),
        }
    }

    /// Nothing is written to a file that nobody would find. Who moves it while a group is written has that group in what was moved, and the next
    /// one fails.
    fn write(&mut self, group: &[u8]) -> Result<(), WriteError> {
        if group.is_empty() {
            return Ok(());
        }
        self.expect_in_place()?;
        self.append(group)?;
        Ok(self.file.sync_data()?)
    }

    fn expect_in_place(&self) -> Result<(), WriteError> {
        match std::fs::metadata(&self.path) {
            Ok(found) if Place::of(&found) == self.place => Ok(()),
            Ok(_) => Err(WriteError::Displaced),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(WriteError::Displaced),
            Err(error) => Err(error.into()),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests;
