// SPDX-License-Identifier: Apache-2.0
//! Trust of a process that runs long: asked for again at an interval, by one task at a time, and kept until it expires.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use touchmark_client::trust::{BuiltIn, FreshTrust, Freshness, Origin, TrustError, TrustStore};

use crate::instances::{outbound, root};
use crate::support::{Instance, serve_files};

const INTERVAL: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn trust_is_asked_for_once_in_an_interval_and_by_one_of_many() {
    let (instance, dir, served) = (Instance::start().await, tempfile::tempdir().unwrap(), serve_files().await);
    served.replace(&instance.data("tuf"));
    let (store, start) = (TrustStore::at(dir.path()), Timestamp::now());
    store.initialize(&served.url(), &root(&instance), &outbound(), start).await.unwrap();
    let fresh = Arc::new(FreshTrust::new(store, outbound(), INTERVAL));
    let before = served.asked();
    let many = (0..16).map(|_| {
        let fresh = fresh.clone();
        tokio::spawn(async move { fresh.trusted_root(start).await.unwrap() })
    });
    for task in many.collect::<Vec<_>>() {
        let current = task.await.unwrap();
        assert!(current.failure.is_none());
        assert_eq!(current.root.trusted_root.to_json(), instance.trusted_root.to_json());
    }
    // One refresh without news: the next root, which is not there, and the timestamp.
    assert_eq!(served.asked() - before, 2);
    fresh.trusted_root(start + SignedDuration::from_secs(3599)).await.unwrap();
    assert_eq!(served.asked() - before, 2);
    fresh.trusted_root(start + SignedDuration::from_secs(3600)).await.unwrap();
    assert_eq!(served.asked() - before, 4);
}

#[tokio::test]
async fn what_was_verified_serves_until_it_expires_and_no_longer() {
    let (instance, dir, served) = (Instance::start().await, tempfile::tempdir().unwrap(), serve_files().await);
    let files = served.files_of(&instance.data("tuf"));
    served.set(files.clone());
    let (store, start) = (TrustStore::at(dir.path()), Timestamp::now());
    store.initialize(&served.url(), &root(&instance), &outbound(), start).await.unwrap();
    let fresh = FreshTrust::new(store, outbound(), INTERVAL);
    let expires = fresh.trusted_root(start).await.unwrap().root.expires;
    // A mirror that lies, and one that is away.
    let mut lying = files.clone();
    lying.get_mut("timestamp.json").unwrap().clear();
    for (hour, files) in [(2, lying), (4, std::collections::BTreeMap::new())] {
        served.set(files);
        let now = start + SignedDuration::from_hours(hour);
        let current = fresh.trusted_root(now).await.unwrap();
        assert!(current.failure.is_some(), "{hour}");
        assert_eq!(current.root.trusted_root.to_json(), instance.trusted_root.to_json());
        // It is not asked again for a while.
        let asked = served.asked();
        fresh.trusted_root(now + SignedDuration::from_secs(59)).await.unwrap();
        assert_eq!(served.asked(), asked);
    }
    served.set(files);
    assert!(fresh.trusted_root(start + SignedDuration::from_hours(6)).await.unwrap().failure.is_none());
    served.set(std::collections::BTreeMap::new());
    assert!(fresh.trusted_root(expires - SignedDuration::from_secs(1)).await.is_ok());
    let refused = fresh.trusted_root(expires + SignedDuration::from_secs(1)).await.err();
    assert!(matches!(refused, Some(TrustError::MirrorUnreachable { .. })), "{refused:?}");
}

/// A single verification may fall back to the root that the program carries; a process that runs long would never leave it again.
#[tokio::test]
async fn what_the_program_carries_serves_no_process_that_runs_long() {
    let (instance, dir, served) = (Instance::start().await, tempfile::tempdir().unwrap(), serve_files().await);
    let carried = BuiltIn::new(&served.url(), root(&instance), instance.trusted_root.to_json().into_bytes());
    let store = TrustStore::at(dir.path()).with_built_in(carried);
    let start = Timestamp::now();
    assert_eq!(store.trusted_root(Freshness::Refresh(&outbound()), start).await.unwrap().origin, Origin::Embedded);
    let fresh = FreshTrust::new(store.clone(), outbound(), INTERVAL);
    assert!(matches!(fresh.trusted_root(start).await.err(), Some(TrustError::MirrorUnreachable { .. })));
    // Nor does what the mirror said once, when it has expired.
    served.replace(&instance.data("tuf"));
    let expires = fresh.trusted_root(start).await.unwrap().root.expires;
    served.set(std::collections::BTreeMap::new());
    let later = expires + SignedDuration::from_secs(1);
    let known = store.trusted_root(Freshness::Refresh(&outbound()), later).await.unwrap();
    assert!(matches!(known.origin, Origin::BuiltInAsOf { .. }));
    assert!(fresh.trusted_root(later).await.is_err());
}
