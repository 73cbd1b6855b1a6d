// SPDX-License-Identifier: Apache-2.0
//! The times of tokens, which never run backwards: not within this process, and not over its end.
//!
//! RFC 3161 §2.1 asks for a trustworthy source of time; that time goes forward is the part of it that one machine can see for itself.
//!
//! In scope: the time of the next token; the file that remembers, ahead, how late a token may be. Out of scope: whether the clock is right
//! ([`super::clock`]).
//! Invariants: no token is later than the file says, and the file says it durably before; no token is earlier than one before it, nor ahead of
//! the clock by more than [`ACCURACY`]; one process holds the file.
//!
//! The file is written once for [`BLOCK_S`] seconds in which tokens are wanted, however many. A crash leaves a time there that no token may have had
//! yet, at most that far ahead: the next start waits until the clock is there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, OwnedMutexGuard};
use touchmark_sequencer::Clock;

use super::error::TsaError;
use crate::durable::{self, Access, FileError, FileLock, LockError};

/// The accuracy that every token states.
pub(super) const ACCURACY: SignedDuration = SignedDuration::from_secs(1);
/// How far ahead the file is written: the longest that a start after a crash waits is this less [`ACCURACY`].
const BLOCK_S: i64 = 2;
/// What the file begins with.
const HEADING: &str = "touchmark: no timestamp was issued after";

/// Gives the times of the tokens of this process.
pub(super) struct TokenTimes {
    clock: Arc<dyn Clock>,
    /// Of the newest token, or of the newest that an earlier process may have issued. Seconds since 1970, as all here.
    last_s: AtomicI64,
    /// What the file says: the latest that a token may be.
    reserved_s: AtomicI64,
    /// Whoever holds it writes.
    file: Arc<Mutex<TimeFile>>,
    written: AtomicBool,
    closed: AtomicBool,
}

/// Why the file of times cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimeFileError {
    #[error("{0}; `tsa.time_file` says where it is kept how late the last timestamp was")]
    File(#[from] FileError),
    #[error("{0}; `tsa.time_file` says where it is kept how late the last timestamp was, for each server alone")]
    Lock(#[from] LockError),
    #[error(
        "{} does not say how late the last timestamp was: restore it; or, if you know that no timestamp of this authority is later than the clock, move it away",
        .0.display()
    )]
    Unreadable(PathBuf),
}

impl TokenTimes {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Self>, TimeFileError> {
        let file = TimeFile { path: path.to_owned(), lock: Some(FileLock::beside(path)?) };
        let until_s = file.read()?.unwrap_or(0);
        // A directory that cannot be written is noticed here, and not by the first client.
        file.write(until_s)?;
        Ok(Arc::new(Self {
            clock,
            last_s: AtomicI64::new(until_s),
            reserved_s: AtomicI64::new(until_s),
            file: Arc::new(Mutex::new(file)),
            written: AtomicBool::new(true),
            closed: AtomicBool::new(false),
        }))
    }

    /// Until when, by the clock, there is no token, because one that is later may have been issued. None if there is one now.
    pub(super) fn silent_until(&self) -> Option<Timestamp> {
        let begins_s = self.last_s.load(Ordering::Acquire).saturating_sub(ACCURACY.as_secs());
        let now_s = i64::try_from(self.clock.now_ms() / 1000).unwrap_or(i64::MAX);
        (begins_s > now_s).then(|| Timestamp::from_second(begins_s).unwrap_or(Timestamp::MAX))
    }

    /// The time of the next token, in whole seconds: given once the file covers it. `trusted` is asked about each reading of the clock, in
    /// milliseconds, before anything is done with it: a clock that was moved a moment ago leaves no trace.
    pub(super) async fn next(
        self: &Arc<Self>,
        trusted: impl Fn(u64) -> Result<(), TsaError>,
    ) -> Result<Timestamp, TsaError> {
        loop {
            let now_ms = self.clock.now_ms();
            trusted(now_ms)?;
            let now_s = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
            let wanted_s = now_s.max(self.last_s.load(Ordering::Acquire));
            if wanted_s > now_s.saturating_add(ACCURACY.as_secs()) {
                return Err(TsaError::ClockBehind { behind_s: wanted_s.saturating_sub(now_s) });
            }
            if self.closed.load(Ordering::Acquire) {
                return Err(TsaError::internal(&"the process stops"));
            }
            let reserved_s = self.reserved_s.load(Ordering::Acquire);
            if wanted_s > reserved_s {
                self.reserve(wanted_s).await?;
                // The clock may have moved meanwhile.
                continue;
            }
            if wanted_s > reserved_s.saturating_sub(BLOCK_S) {
                self.reserve_ahead(wanted_s);
            }
            // Unless another request came to a later second.
            if self.last_s.fetch_max(wanted_s, Ordering::AcqRel) <= wanted_s {
                return Timestamp::from_second(wanted_s).map_err(|error| TsaError::internal(&error));
            }
        }
    }

    /// Whether the file could be written when it was last tried.
    pub(super) fn are_kept(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    /// Writes what the newest token has, so that the next start waits for nothing. Whoever stops has answered all requests before.
    pub(super) async fn close(self: &Arc<Self>) {
        self.closed.store(true, Ordering::Release);
        let file = Arc::clone(&self.file).lock_owned().await;
        let last_s = self.last_s.load(Ordering::Acquire);
        // If this fails, the file says something later.
        let _ = self.write(file, last_s).await;
        // Only after this may another process open it, whoever still holds this value.
        self.file.lock().await.lock = None;
    }

    async fn reserve(self: &Arc<Self>, wanted_s: i64) -> Result<(), TsaError> {
        let file = Arc::clone(&self.file).lock_owned().await;
        if self.reserved_s.load(Ordering::Acquire) >= wanted_s {
            return Ok(());
        }
        if self.closed.load(Ordering::Acquire) {
            // The file is not ours any more.
            return Err(TsaError::internal(&"the process stops"));
        }
        self.write(file, wanted_s.saturating_add(BLOCK_S)).await
    }

    /// Writes the file before anybody waits for it. If that fails, somebody will wait, and hear it.
    fn reserve_ahead(self: &Arc<Self>, from_s: i64) {
        let Ok(file) = Arc::clone(&self.file).try_lock_owned() else { return };
        let until_s = from_s.saturating_add(BLOCK_S);
        // Somebody may have written a later time since.
        if self.closed.load(Ordering::Acquire) || until_s <= self.reserved_s.load(Ordering::Acquire) {
            return;
        }
        let times = Arc::clone(self);
        tokio::spawn(async move { times.write(file, until_s).await });
    }

    /// A crash in here leaves the old time or the new one; no token has either's beyond what was reserved before.
    async fn write(self: &Arc<Self>, file: OwnedMutexGuard<TimeFile>, until_s: i64) -> Result<(), TsaError> {
        let times = Arc::clone(self);
        // Who waits may be gone before it is written: what is known of the file changes with it.
        let writing = tokio::task::spawn_blocking(move || {
            let outcome = file.write(until_s);
            if outcome.is_ok() {
                times.reserved_s.store(until_s, Ordering::Release);
            }
            times.written.store(outcome.is_ok(), Ordering::Release);
            outcome
        });
        let outcome = writing.await.expect("writing a file does not panic and is never aborted");
        outcome.map_err(|error| TsaError::TimeFile { problem: error.to_string() })
    }
}

/// The file, held by this process.
struct TimeFile {
    path: PathBuf,
    /// Until it is closed.
    lock: Option<FileLock>,
}

impl TimeFile {
    fn read(&self) -> Result<Option<i64>, TimeFileError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(TimeFileError::Unreadable(self.path.clone()));
            }
            Err(error) => return Err(durable::failed("cannot read", &self.path)(error).into()),
        };
        let time =
            text.strip_prefix(HEADING).and_then(|time| time.strip_suffix('\n')?.trim().parse::<Timestamp>().ok());
        time.map(|time| Some(time.as_second())).ok_or_else(|| TimeFileError::Unreadable(self.path.clone()))
    }

    fn write(&self, until_s: i64) -> Result<(), FileError> {
        let until = Timestamp::from_second(until_s).unwrap_or(Timestamp::MAX);
        durable::write(&self.path, format!("{HEADING} {until}\n").as_bytes(), Access::Owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fulcio::tests::harness::{NOW_S, TestClock};
    use tempfile::TempDir;

    struct Place {
        directory: TempDir,
        clock: Arc<TestClock>,
    }

    impl Place {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), clock: TestClock::new() }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("last-time")
        }

        fn open(&self) -> Result<Arc<TokenTimes>, TimeFileError> {
            TokenTimes::open(&self.path(), Arc::clone(&self.clock) as Arc<dyn Clock>)
        }

        /// Once what a process before wrote ahead has come to its end.
        async fn reopen(&self) -> Arc<TokenTimes> {
            loop {
                match self.open() {
                    Err(TimeFileError::Lock(_)) => tokio::task::yield_now().await,
                    opened => return opened.unwrap(),
                }
            }
        }

        fn kept_s(&self) -> i64 {
            let text = std::fs::read_to_string(self.path()).unwrap();
            let time: Timestamp = text.trim().rsplit(' ').next().unwrap().parse().unwrap();
            time.as_second()
        }
    }

    const START_S: i64 = NOW_S as i64;

    async fn next_s(times: &Arc<TokenTimes>) -> Result<i64, TsaError> {
        times.next(|_| Ok(())).await.map(Timestamp::as_second)
    }

    #[tokio::test]
    async fn times_never_run_backwards_and_a_clock_set_back_stops_the_authority() {
        let place = Place::new();
        let times = place.open().unwrap();
        assert_eq!(next_s(&times).await, Ok(START_S));
        place.clock.set_back_ms(1000);
        assert_eq!(next_s(&times).await, Ok(START_S));
        place.clock.set_back_ms(1);
        assert_eq!(next_s(&times).await, Err(TsaError::ClockBehind { behind_s: 2 }));
        place.clock.advance_ms(2001);
        assert_eq!(next_s(&times).await, Ok(START_S + 1));
    }

    #[tokio::test]
    async fn no_token_is_later_than_the_file_says_and_few_writes_serve_many() {
        let place = Place::new();
        let times = place.open().unwrap();
        assert_eq!(place.kept_s(), 0);
        for _ in 0..50 {
            let token_s = next_s(&times).await.unwrap();
            assert!(token_s <= place.kept_s());
            assert_eq!(place.kept_s(), START_S + BLOCK_S, "one write for all of the second");
        }
        for _ in 0..20 {
            place.clock.advance_ms(500);
            let token_s = next_s(&times).await.unwrap();
            assert!(token_s <= place.kept_s());
        }
    }

    #[tokio::test]
    async fn after_a_crash_no_token_is_earlier_than_any_before_it() {
        let place = Place::new();
        let before_s = next_s(&place.open().unwrap()).await.unwrap();
        let reserved_s = place.kept_s();
        // At once: the process before may have issued up to what is in the file.
        let times = place.open().unwrap();
        assert_eq!(next_s(&times).await, Err(TsaError::ClockBehind { behind_s: BLOCK_S }));
        place.clock.advance_ms(1000 * u64::try_from(BLOCK_S - ACCURACY.as_secs()).unwrap());
        let after_s = next_s(&times).await.unwrap();
        assert!(before_s <= after_s && after_s == reserved_s);
        drop(times);
        // The clock of the machine was set back while it was down.
        place.clock.set_back_ms(3_600_000);
        let times = place.reopen().await;
        assert!(matches!(next_s(&times).await, Err(TsaError::ClockBehind { behind_s: 3600.. })));
    }

    #[tokio::test]
    async fn a_start_says_until_when_there_is_nothing() {
        let place = Place::new();
        assert_eq!(place.open().unwrap().silent_until(), None);
        let _token = next_s(&place.open().unwrap()).await.unwrap();
        place.clock.set_back_ms(3_600_000);
        let times = place.reopen().await;
        let until = times.silent_until().unwrap();
        let wait_ms = u64::try_from(until.as_millisecond()).unwrap() - times.clock.now_ms();
        place.clock.advance_ms(wait_ms - 1);
        assert!(times.silent_until().is_some() && next_s(&times).await.is_err());
        place.clock.advance_ms(1);
        assert_eq!((times.silent_until(), next_s(&times).await.is_ok()), (None, true));
    }

    #[tokio::test]
    async fn after_a_stop_nothing_is_waited_for() {
        let place = Place::new();
        let times = place.open().unwrap();
        assert_eq!(next_s(&times).await, Ok(START_S));
        times.close().await;
        assert_eq!(place.kept_s(), START_S);
        assert!(next_s(&times).await.is_err(), "nothing is issued after the end");
        place.clock.advance_ms(1000);
        assert!(next_s(&times).await.is_err(), "nothing is reserved after the end");
        assert_eq!(place.kept_s(), START_S);
        drop(times);
        assert_eq!(next_s(&place.open().unwrap()).await, Ok(START_S + 1));
    }

    #[tokio::test]
    async fn a_reading_that_is_not_trusted_leaves_no_trace() {
        let place = Place::new();
        let times = place.open().unwrap();
        next_s(&times).await.unwrap();
        let kept_s = place.kept_s();
        place.clock.advance_ms(3_600_000);
        let refused =
            times.next(|now_ms| if now_ms > NOW_S * 1000 { Err(TsaError::ChainNotValid) } else { Ok(()) }).await;
        assert_eq!(refused, Err(TsaError::ChainNotValid));
        place.clock.set_back_ms(3_600_000);
        assert_eq!((next_s(&times).await, place.kept_s()), (Ok(START_S), kept_s));
    }

    #[tokio::test]
    async fn without_the_file_there_is_no_later_token_and_it_goes_on_by_itself() {
        let place = Place::new();
        let times = place.open().unwrap();
        next_s(&times).await.unwrap();
        // In the way of what is written first.
        let staged = place.directory.path().join("last-time.new");
        std::fs::create_dir(&staged).unwrap();
        place.clock.advance_ms(10_000);
        assert!(matches!(next_s(&times).await, Err(TsaError::TimeFile { .. })));
        assert!(!times.are_kept());
        std::fs::remove_dir(&staged).unwrap();
        assert_eq!(next_s(&times).await, Ok(START_S + 10));
        assert!(times.are_kept());
    }

    #[tokio::test]
    async fn a_file_that_says_nothing_or_is_held_is_refused() {
        let place = Place::new();
        for text in ["", "0", "touchmark: no timestamp was issued after 2027-01-15T08:00:00Z", "\u{e9}\n"] {
            std::fs::write(place.path(), text).unwrap();
            assert!(matches!(place.open(), Err(TimeFileError::Unreadable(_))), "{text}");
        }
        std::fs::write(place.path(), [0xff]).unwrap();
        assert!(matches!(place.open(), Err(TimeFileError::Unreadable(_))));
        std::fs::write(place.path(), format!("{HEADING} 2027-01-15T08:00:00Z\n")).unwrap();
        let held = place.open().unwrap();
        assert!(matches!(place.open(), Err(TimeFileError::Lock(_))));
        held.close().await;
        place.open().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_at_once_get_times_in_order() {
        let place = Place::new();
        let times = place.open().unwrap();
        let askers: Vec<_> = (0..4)
            .map(|_| {
                let (times, clock) = (Arc::clone(&times), Arc::clone(&place.clock));
                tokio::spawn(async move {
                    let mut last_s = 0;
                    for _ in 0..100 {
                        clock.advance_ms(20);
                        let token_s = times.next(|_| Ok(())).await.unwrap().as_second();
                        assert!(last_s <= token_s);
                        last_s = token_s;
                    }
                })
            })
            .collect();
        for asker in askers {
            asker.await.unwrap();
        }
        assert!(next_s(&times).await.unwrap() <= place.kept_s());
    }
}
