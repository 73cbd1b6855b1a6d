// SPDX-License-Identifier: Apache-2.0
//! Whether the clock is right, by time servers that the operator named.
//!
//! In scope: asking them again and again, what their answers mean together, the doubt that comes with time and with a clock that is moved.
//! Out of scope: one question to one server (`touchmark_outbound`); that times do not run backwards ([`super::times`]); setting the clock.
//! Invariants: without as many servers as have to agree, no token is issued: not before they have, not once they contradict, not when they have long been
//! silent, not after the clock was moved; each of them counts only while the clock, by its answer and with the error that it may have, is within
//! the accuracy of tokens. All that ends by itself when they agree again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Notify;
use touchmark_outbound::{ClockSample, NtpServer, TimeError, TimeRoots, TimeSource};
use touchmark_sequencer::Clock;

use super::times::ACCURACY;
use crate::http::listener::Stop;
use crate::metrics::{Trusted, TsaMetrics};

/// The most servers: each is asked in each round, all at once.
pub(crate) const SERVERS_MAX: usize = 16;
/// How often a server may be asked (RFC 5905: the shortest interval of a client is 16 s).
pub(crate) const POLL_MIN: Duration = Duration::from_secs(16);
/// A clock that runs as wrong as [`DRIFT_PPM`] says loses half the accuracy in this time.
pub(crate) const POLL_MAX: Duration = Duration::from_secs(1024);
/// How wrong a clock may run between two agreements, in parts of a million: what the kernels' clock discipline corrects at most.
const DRIFT_PPM: u128 = 500;
/// The interval of who says nothing: that of a NTP client that has just started.
pub(crate) const POLL_DEFAULT: Duration = Duration::from_secs(64);
/// How long an answer may take: one that took longer could not say the time to the accuracy.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How soon servers are asked again when they did not agree.
const RETRY: Duration = Duration::from_secs(16);
/// However often the clock is moved, servers are not asked more often than this.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// Intervals for which an agreement is believed while servers are silent.
const BELIEVED_POLLS: u32 = 4;
/// For how long a server is left alone that says so (RFC 5905 §7.4: DENY and RSTR mean for good; here, until the operator has had a day).
const DENIED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Intervals for which a server is left alone that was asked too often.
const RATED_POLLS: u32 = 4;

/// Whom to ask, and how many of them have to agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClockPlace {
    pub(crate) servers: Vec<NtpServer>,
    pub(crate) agreeing: usize,
    pub(crate) poll: Duration,
    /// CA certificates of the servers with NTS, in place of the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// The servers, and whose certificates name those among them that authenticate their answers.
pub(crate) struct TimeServers {
    pub(crate) place: ClockPlace,
    pub(crate) roots: TimeRoots,
}

/// Why the clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Distrust {
    #[error("no time server has confirmed the clock yet")]
    Unknown,
    #[error(
        "the clock is wrong, or time servers are: {contradicting} of {asked} contradict it, {confirming} confirm it and {needed} have to"
    )]
    Contradicted { contradicting: usize, confirming: usize, asked: usize, needed: usize },
    #[error("too few time servers have answered for {} s", since.as_secs())]
    Silence { since: Duration },
    #[error("the clock was moved by {by_ms} ms since time servers confirmed it")]
    Moved { by_ms: i64 },
}

/// The clock as the configured servers see it; shared by all who ask.
pub(super) struct ClockWatch {
    place: ClockPlace,
    roots: TimeRoots,
    clock: Arc<dyn Clock>,
    metrics: TsaMetrics,
    standing: Mutex<Standing>,
    /// Servers are to be asked now.
    doubt: Notify,
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    Distrusted(Distrust),
    Confirmed(Confirmation),
}

/// A server, and until when it wants to be left alone.
struct Askable {
    source: TimeSource,
    not_before: Option<Instant>,
}

/// That enough servers agreed with the clock.
#[derive(Debug, Clone, Copy)]
struct Confirmation {
    at: Instant,
    /// What the clock said then.
    clock_ms: u64,
    /// How wrong it was at most.
    error_us: u64,
}

impl ClockWatch {
    pub(super) fn new(servers: TimeServers, clock: Arc<dyn Clock>, metrics: TsaMetrics) -> Arc<Self> {
        let TimeServers { place, roots } = servers;
        metrics.clock_trusted(Trusted::No);
        let standing = Mutex::new(Standing::Distrusted(Distrust::Unknown));
        Arc::new(Self { place, roots, clock, metrics, standing, doubt: Notify::new() })
    }

    /// Whether tokens may be issued by the clock now.
    pub(super) fn check(&self) -> Result<(), Distrust> {
        self.check_reading(self.clock.now_ms())
    }

    /// Whether they may be by what the clock has just said.
    pub(super) fn check_reading(&self, clock_ms: u64) -> Result<(), Distrust> {
        let standing = *self.lock();
        let trusted = match standing {
            Standing::Distrusted(distrust) => Err(distrust),
            Standing::Confirmed(confirmed) => {
                confirmed.doubt(clock_ms, Instant::now(), self.place.poll * BELIEVED_POLLS)
            }
        };
        if let Err(Distrust::Moved { .. }) = trusted {
            self.doubt.notify_one();
        }
        self.metrics.clock_trusted(if trusted.is_ok() { Trusted::Yes } else { Trusted::No });
        trusted
    }

    /// Asks until `stop`.
    pub(super) async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut askable = self.askable();
        loop {
            let pause = tokio::select! {
                pause = self.round(&mut askable) => pause,
                () = stop.requested() => return,
            };
            let doubted = async {
                tokio::time::sleep(PAUSE_MIN.min(pause)).await;
                self.doubt.notified().await;
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = doubted => {}
                () = stop.requested() => return,
            }
        }
    }

    fn askable(&self) -> Vec<Askable> {
        let source = |server: &NtpServer| TimeSource::new(server.clone(), &self.roots);
        self.place.servers.iter().map(|server| Askable { source: source(server), not_before: None }).collect()
    }

    /// Asks every server once. Returns when to ask again.
    async fn round(&self, askable: &mut [Askable]) -> Duration {
        // What the answers are about: a clock that is moved before the last of them is noticed.
        let before = (Instant::now(), self.clock.now_ms());
        let (now, _) = before;
        let answers = join_all(askable.iter_mut().map(|askable| self.ask(askable, now))).await;
        let samples: Vec<ClockSample> = answers.into_iter().flatten().collect();
        self.judge(&samples, before)
    }

    async fn ask(&self, askable: &mut Askable, now: Instant) -> Option<ClockSample> {
        let Askable { source, not_before } = askable;
        if not_before.is_some_and(|until| now < until) {
            return None;
        }
        let answer = source.ask(&|| self.clock.now_ms(), ANSWER_WITHIN).await;
        self.metrics.clock_answer(source.server(), &answer);
        *not_before = left_alone(&answer, self.place.poll).map(|length| now + length);
        if let Err(error) = &answer {
            tracing::debug!(server = %source.server(), %error, "a time server did not say the time");
        }
        answer.ok()
    }

    fn judge(&self, samples: &[ClockSample], (at, clock_ms): (Instant, u64)) -> Duration {
        let pause = match Verdict::of(samples, &self.place) {
            Verdict::Agreed { error_us } => {
                self.stand(Standing::Confirmed(Confirmation { at, clock_ms, error_us }));
                self.place.poll
            }
            Verdict::Contradicted(distrust) => {
                self.stand(Standing::Distrusted(distrust));
                RETRY.min(self.place.poll)
            }
            // What is known of the clock grows old by itself.
            Verdict::Unheard => RETRY.min(self.place.poll),
        };
        if let Err(distrust) = self.check() {
            self.stand(Standing::Distrusted(distrust));
        }
        pause
    }

    /// Changes what is known, and says so where it changes what is done.
    fn stand(&self, standing: Standing) {
        let before = std::mem::replace(&mut *self.lock(), standing);
        match (before, standing) {
            (Standing::Distrusted(before), Standing::Confirmed(_)) => {
                tracing::info!(%before, "time servers confirm the clock: timestamps are issued");
            }
            (Standing::Confirmed(_), Standing::Distrusted(distrust)) => {
                tracing::error!(%distrust, "no timestamp is issued until time servers confirm the clock");
            }
            (Standing::Distrusted(before), Standing::Distrusted(distrust)) if before != distrust => {
                tracing::error!(%distrust, "still no timestamp is issued");
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        // Nothing panics while the lock is held.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Confirmation {
    /// What has become of it: time that has passed, and time that the clock says has passed.
    fn doubt(&self, clock_ms: u64, now: Instant, believed: Duration) -> Result<(), Distrust> {
        let elapsed = now.saturating_duration_since(self.at);
        let error_us = u128::from(self.error_us) + elapsed.as_micros() * DRIFT_PPM / 1_000_000;
        if elapsed > believed || error_us > accuracy_us() {
            return Err(Distrust::Silence { since: elapsed });
        }
        let expected_ms = i128::from(self.clock_ms) + i128::try_from(elapsed.as_millis()).unwrap_or(i128::MAX / 2);
        let moved_ms = i128::from(clock_ms) - expected_ms;
        if moved_ms.unsigned_abs() * 1000 + error_us > accuracy_us() {
            let by_ms = i64::try_from(moved_ms).unwrap_or(i64::MAX);
            return Err(Distrust::Moved { by_ms });
        }
        Ok(())
    }
}

/// What the answers of one round mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// With the error that the best of those that have to agree leave.
    Agreed { error_us: u64 },
    /// So many contradict that those that have to agree cannot be found among the others.
    Contradicted(Distrust),
    /// Too few answered.
    Unheard,
}

impl Verdict {
    fn of(samples: &[ClockSample], place: &ClockPlace) -> Self {
        let (asked, needed) = (place.servers.len(), place.agreeing);
        let worst = |sample: &ClockSample| u128::from(sample.offset_us.unsigned_abs()) + u128::from(sample.error_us);
        // Two names that lead to one server have one vote, and that is the worse one.
        let mut votes = BTreeMap::new();
        for sample in samples.iter().filter(|sample| worst(sample) <= accuracy_us()) {
            let vote = votes.entry(sample.server).or_insert(0);
            *vote = worst(sample).max(*vote);
        }
        let mut confirming: Vec<u128> = votes.into_values().collect();
        confirming.sort_unstable();
        if let Some(error_us) = needed.checked_sub(1).and_then(|last| confirming.get(last)) {
            return Self::Agreed { error_us: u64::try_from(*error_us).unwrap_or(u64::MAX) };
        }
        // An answer that came late says little: the clock may be right or wrong by it.
        let wrong = |sample: &&ClockSample| {
            u128::from(sample.offset_us.unsigned_abs()) > accuracy_us() + u128::from(sample.error_us)
        };
        let contradicting = samples.iter().filter(wrong).count();
        if asked - contradicting.min(asked) < needed {
            let confirming = confirming.len();
            return Self::Contradicted(Distrust::Contradicted { contradicting, confirming, asked, needed });
        }
        Self::Unheard
    }
}

fn accuracy_us() -> u128 {
    ACCURACY.as_micros().unsigned_abs()
}

/// For how long a server is not asked after what it said.
fn left_alone(answer: &Result<ClockSample, TimeError>, poll: Duration) -> Option<Duration> {
    match answer {
        Err(TimeError::KissOfDeath { code: [b'R', b'A', b'T', b'E'] }) => Some(poll * RATED_POLLS),
        Err(TimeError::KissOfDeath { code: [b'D', b'E', b'N', b'Y'] | [b'R', b'S', b'T', b'R'] }) => Some(DENIED_FOR),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
