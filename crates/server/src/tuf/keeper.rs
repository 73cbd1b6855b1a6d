// SPDX-License-Identifier: Apache-2.0
//! Keeps snapshot and timestamp fresh while the server runs.
//!
//! In scope: looking once in a while and signing what is due. Out of scope: root and targets, whose keys are not here; their
//! coming expiry is only announced.
//! Invariant: a failure is logged and tried again; it ends neither the task nor the server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use touchmark_sequencer::Clock;
use touchmark_signers::Signer;
use touchmark_trust::lint::ends_soon;

use super::TufError;
use super::overview::{Overview, Shown};
use crate::deps::timestamp;
use crate::http::listener::Stop;
use crate::metrics::Metrics;

/// How often the metadata is looked at. The wait does not count the time that a machine sleeps, so that it is short: this long after
/// waking, what fell due meanwhile is signed.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How often it is announced, by the clock: the looks are too many.
const WARN_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// A repository whose snapshot and timestamp this process signs.
///
/// An implementer owes: [`Kept::refresh`] signs over nothing that does not verify; the ends are those of what was last read.
#[async_trait]
pub(crate) trait Kept: Send {
    /// Signs snapshot and timestamp anew if they are due.
    async fn refresh(&mut self, online: &dyn Signer, now: Timestamp) -> Result<(), TufError>;

    /// When each top-level role ends: root, targets, snapshot, timestamp.
    fn expiries(&self) -> [(&'static str, Timestamp); 4];

    /// What anybody may know of the repository as it was last read.
    fn overview(&self) -> Overview;
}

/// Runs until `stop`.
pub(crate) async fn keep_fresh<K: Kept>(
    repository: Arc<Mutex<K>>,
    online: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    shown: Shown,
    mut stop: Stop,
) {
    let mut warning = Warning::default();
    loop {
        let now = timestamp(clock.as_ref());
        let ends_first = {
            let mut repository = repository.lock().await;
            if let Err(error) = repository.refresh(online.as_ref(), now).await {
                tracing::error!(%error, "the TUF timestamp was not signed; trying again");
            }
            shown.show(repository.overview());
            let expiries = repository.expiries();
            for (role, expires) in expiries {
                metrics.tuf_expires(role, expires.duration_since(now).as_secs());
            }
            let [root, targets, ..] = expiries;
            if targets.1 < root.1 { targets } else { root }
        };
        let (role, expiry) = ends_first;
        if warning.is_due(expiry, now) {
            tracing::warn!(role, %expiry, "the TUF repository needs its offline keys soon: clients refuse everything from then on");
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_EVERY) => {}
            () = stop.requested() => return,
        }
    }
}

/// When the coming end of root or targets was last announced.
#[derive(Default)]
struct Warning(Option<Timestamp>);

impl Warning {
    /// Whether to announce it now; if so, that is remembered.
    fn is_due(&mut self, expiry: Timestamp, now: Timestamp) -> bool {
        let is_near = ends_soon(expiry, now);
        // A clock that was set back is no reason for silence.
        let is_time = self.0.is_none_or(|last| now.duration_since(last).abs() >= WARN_EVERY);
        let is_due = is_near && is_time;
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use touchmark_keys::KeyType;
    use touchmark_signers::EphemeralSigner;

    use super::*;
    use crate::tuf::{OfflineKeys, Repository, Target, create};

    struct Fixed(u64);

    impl Clock for Fixed {
        fn now_ms(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn the_warning_is_given_once_an_hour_however_often_is_looked() {
        let start: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let looks = |warning: &mut Warning, expiry: Timestamp| {
            let look = SignedDuration::try_from(CHECK_EVERY).unwrap();
            (0..120).filter(|count| warning.is_due(expiry, start + look * *count)).collect::<Vec<_>>()
        };
        let near = start + SignedDuration::from_hours(46 * 24 - 1);
        assert_eq!(looks(&mut Warning::default(), near), [0, 60]);
        assert!(looks(&mut Warning::default(), near + SignedDuration::from_hours(24)).is_empty());
        let mut ahead = Warning(Some(start + SignedDuration::from_hours(48)));
        assert_eq!(looks(&mut ahead, near), [0, 60]);
    }

    #[tokio::test]
    async fn what_is_due_is_signed_without_the_offline_keys() {
        let directory = tempfile::tempdir().unwrap();
        let key = || EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let (root, targets, online) = (key(), key(), Arc::new(key()));
        let offline = OfflineKeys { root: &root, targets: &targets };
        let target = [Target { name: "trusted_root.json", bytes: b"{}".to_vec() }];
        let start = "2026-11-22T10:00:00Z".parse().unwrap();
        create(directory.path(), &offline, online.as_ref(), &target, start).await.unwrap();
        drop((root, targets));
        for (days, expect_expiry) in
            [(0, "2026-11-29T10:00:00Z"), (2, "2026-12-01T10:00:00Z"), (50, "2027-01-18T10:00:00Z")]
        {
            let now = start.checked_add((days * 24).hours()).unwrap();
            let clock = Arc::new(Fixed(u64::try_from(now.as_millisecond()).unwrap()));
            let (switch, stop) = Stop::pair();
            switch.send(true).unwrap();
            let repository = Arc::new(Mutex::new(Repository::open(directory.path()).unwrap()));
            let (online, shown) =
                (Arc::clone(&online) as Arc<dyn Signer>, Shown::new(repository.lock().await.overview()));
            keep_fresh(repository, online, clock, Metrics::new(), shown, stop).await;
            let timestamp = std::fs::read_to_string(directory.path().join("timestamp.json")).unwrap();
            assert!(timestamp.contains(expect_expiry), "{timestamp}");
            assert_eq!(directory.path().join("2.snapshot.json").exists(), days == 50);
        }
    }
}
