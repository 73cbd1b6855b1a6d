// SPDX-License-Identifier: Apache-2.0
//! Keeps snapshot and timestamp fresh while the server runs.
//!
//! In scope: looking once in a while and signing what is due. Out of scope: root and targets, whose keys are not here; their
//! coming expiry is only announced.
//! Invariant: a failure is logged and tried again; it ends neither the task nor the server.

use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan;
use touchmark_sequencer::Clock;
use touchmark_signers::Signer;

use super::Repository;
use crate::deps::timestamp;
use crate::http::listener::Stop;

/// How often the metadata is looked at: a small part of the day after which the timestamp is due.
const CHECK_EVERY: Duration = Duration::from_secs(3600);
/// How long before the end of root or targets it is announced at each look.
const WARN_DAYS: i64 = 46;

/// Runs until `stop`.
pub(crate) async fn keep_fresh(
    mut repository: Repository,
    online: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    mut stop: Stop,
) {
    loop {
        let now = timestamp(clock.as_ref());
        if let Err(error) = repository.refresh(online.as_ref(), now).await {
            tracing::error!(%error, "the TUF timestamp was not signed; trying again");
        }
        let expiry = repository.offline_expiry();
        if now.checked_add((WARN_DAYS * 24).hours()).is_ok_and(|soon| soon >= expiry) {
            tracing::warn!(%expiry, "the root or targets role of the TUF repository needs its offline key soon");
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_EVERY) => {}
            () = stop.requested() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;
    use touchmark_signers::EphemeralSigner;

    use super::*;
    use crate::tuf::{OfflineKeys, Target, create};

    struct Fixed(u64);

    impl Clock for Fixed {
        fn now_ms(&self) -> u64 {
            self.0
        }
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
            let repository = Repository::open(directory.path()).unwrap();
            keep_fresh(repository, Arc::clone(&online) as Arc<dyn Signer>, clock, stop).await;
            let timestamp = std::fs::read_to_string(directory.path().join("timestamp.json")).unwrap();
            assert!(timestamp.contains(expect_expiry), "{timestamp}");
            assert_eq!(directory.path().join("2.snapshot.json").exists(), days == 50);
        }
    }
}
