// SPDX-License-Identifier: Apache-2.0
//! Trust of a process that runs long: asked for again at an interval, by one task at a time, and kept until it expires.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use touchmark_client::trust::{BuiltIn, FreshTrust, Freshness, Origin, TrustError, TrustStore};
use touchmark_outbound::Limits;
use url::Url;

use crate::instances::{outbound, root};
use crate::support::{Instance, ServedFiles, serve_files};

const INTERVAL: Duration = Duration::from_secs(3600);

/// A clock that a test sets.
#[derive(Clone)]
struct Clock(Arc<Mutex<Timestamp>>);

impl Clock {
    fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap() = now;
    }

    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Trust by this clock.
fn fresh_by(clock: &Clock, store: TrustStore) -> FreshTrust {
    let clock = clock.clone();
    FreshTrust::new(store, outbound(), INTERVAL).with_clock(move || clock.now())
}

#[tokio::test]
async fn trust_is_asked_for_once_in_an_interval_and_by_one_of_many() {
    let (instance, dir, served) = (Instance::start().await, tempfile::tempdir().unwrap(), serve_files().await);
    served.replace(&instance.data("tuf"));
    let (store, start) = (TrustStore::at(dir.path()), Timestamp::now());
    store.initialize(&served.url(), &root(&instance), &outbound(), start).await.unwrap();
    let clock = Clock::at(start);
    let fresh = Arc::new(fresh_by(&clock, store));
    let before = served.asked();
    let many = (0..16).map(|_| {
        let fresh = fresh.clone();
        tokio::spawn(async move { fresh.trusted_root().await.unwrap() })
    });
    for task in many.collect::<Vec<_>>() {
        let current = task.await.unwrap();
        assert!(current.failure.is_none());
        assert_eq!(current.root.trusted_root.to_json(), instance.trusted_root.to_json());
    }
    // One refresh without news: the next root, which is not there, and the timestamp.
    assert_eq!(served.asked() - before, 2);
    clock.set(start + SignedDuration::from_secs(3599));
    fresh.trusted_root().await.unwrap();
    assert_eq!(served.asked() - before, 2);
    clock.set(start + SignedDuration::from_secs(3600));
    fresh.trusted_root().await.unwrap();
    assert_eq!(served.asked() - before, 4);
}

#[tokio::test]
async fn what_was_verified_serves_until_it_expires_and_no_longer() {
    let (instance, dir, served) = (Instance::start().await, tempfile::tempdir().unwrap(), serve_files().await);
    let files = served.files_of(&instance.data("tuf"));
    served.set(files.clone());
    let (store, start) = (TrustStore::at(dir.path()), Timestamp::now());
    store.initialize(&served.url(), &root(&instance), &outbound(), start).await.unwrap();
    let clock = Clock::at(start);
    let fresh = fresh_by(&clock, store);
    let expires = fresh.trusted_root().await.unwrap().root.expires;
    // A mirror that lies, and one that is away.
    let mut lying = files.clone();
    lying.get_mut("timestamp.json").unwrap().clear();
    for (hour, files) in [(2, lying), (4, BTreeMap::new())] {
        served.set(files);
        let now = start + SignedDuration::from_hours(hour);
        clock.set(now);
        let current = fresh.trusted_root().await.unwrap();
        assert!(current.failure.is_some(), "{hour}");
        assert_eq!(current.root.trusted_root.to_json(), instance.trusted_root.to_json());
        // It is not asked again for a while.
        let asked = served.asked();
        clock.set(now + SignedDuration::from_secs(59));
        fresh.trusted_root().await.unwrap();
        assert_eq!(served.asked(), asked);
    }
    served.set(files);
    clock.set(start + SignedDuration::from_hours(6));
    assert!(fresh.trusted_root().await.unwrap().failure.is_none());
    served.set(BTreeMap::new());
    clock.set(expires - SignedDuration::from_secs(1));
    assert!(fresh.trusted_root().await.is_ok());
    clock.set(expires + SignedDuration::from_secs(1));
    let refused = fresh.trusted_root().await.err();
    assert!(matches!(refused.as_deref(), Some(TrustError::MirrorUnreachable { .. })), "{refused:?}");
}

/// A single verification may fall back to the root that the program carries; a process that runs long would never leave it again.
#[tokio::test]
async fn what_the_program_carries_serves_no_process_that_runs_long() {
    let (instance, dir, served) = (Instance::start().await, tempfile::tempdir().unwrap(), serve_files().await);
    let carried = BuiltIn::new(&served.url(), root(&instance), instance.trusted_root.to_json().into_bytes());
    let store = TrustStore::at(dir.path()).with_built_in(carried);
    let start = Timestamp::now();
    assert_eq!(store.trusted_root(Freshness::Refresh(&outbound()), start).await.unwrap().origin, Origin::Embedded);
    let clock = Clock::at(start);
    let fresh = fresh_by(&clock, store.clone());
    let refused = fresh.trusted_root().await.err();
    assert!(matches!(refused.as_deref(), Some(TrustError::MirrorUnreachable { .. })), "{refused:?}");
    // Nor does what the mirror said once, when it has expired.
    served.replace(&instance.data("tuf"));
    let expires = fresh.trusted_root().await.unwrap().root.expires;
    served.set(BTreeMap::new());
    let later = expires + SignedDuration::from_secs(1);
    let known = store.trusted_root(Freshness::Refresh(&outbound()), later).await.unwrap();
    assert!(matches!(known.origin, Origin::BuiltInAsOf { .. }));
    clock.set(later);
    assert!(fresh.trusted_root().await.is_err());
}

/// A mirror that answers when a test lets it, with the files of another one.
struct Gate {
    url: Url,
    asked: Arc<AtomicUsize>,
    open: tokio::sync::watch::Sender<bool>,
}

impl Gate {
    async fn before(served: &ServedFiles) -> Self {
        let asked = Arc::<AtomicUsize>::default();
        let (open, opened) = tokio::sync::watch::channel(false);
        let (counted, upstream) = (asked.clone(), served.url());
        let router = axum::Router::new().fallback(move |uri: axum::http::Uri| {
            counted.fetch_add(1, Ordering::SeqCst);
            let (mut opened, url) = (opened.clone(), upstream.join(uri.path()).unwrap());
            async move {
                opened.wait_for(|open| *open).await.unwrap();
                let reply = outbound().get(&url, &Limits::SERVICE).await.unwrap();
                (axum::http::StatusCode::from_u16(reply.status).unwrap(), reply.body)
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked, open }
    }

    /// Every task that there is has come to where it waits, and the mirror was asked.
    async fn is_asked(&self) {
        while self.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn many_who_wait_for_a_slow_mirror_share_its_answer_good_or_bad() {
    let (instance, served) = (Instance::start().await, serve_files().await);
    let good = served.files_of(&instance.data("tuf"));
    for (files, requests) in [(good.clone(), None), (BTreeMap::new(), Some(2))] {
        served.set(files);
        let (gate, dir) = (Gate::before(&served).await, tempfile::tempdir().unwrap());
        let store = TrustStore::at(dir.path());
        store.pin(&gate.url, &root(&instance)).await.unwrap();
        let (start, waiting) = (Timestamp::now(), Arc::<AtomicUsize>::default());
        let clock = Clock::at(start);
        let fresh = Arc::new(fresh_by(&clock, store));
        let many = (0..16).map(|_| {
            let (fresh, waiting) = (fresh.clone(), waiting.clone());
            tokio::spawn(async move {
                waiting.fetch_add(1, Ordering::SeqCst);
                fresh.trusted_root().await
            })
        });
        let many = many.collect::<Vec<_>>();
        gate.is_asked().await;
        assert_eq!(waiting.load(Ordering::SeqCst), 16);
        gate.open.send(true).unwrap();
        let mut refusals = Vec::new();
        for task in many {
            match task.await.unwrap() {
                Ok(current) => assert!(current.failure.is_none() && requests.is_none()),
                Err(refusal) => refusals.push(refusal),
            }
        }
        if let Some(requests) = requests {
            // The next root, which is not there, and the timestamp: one walk, and one error for all.
            assert_eq!((refusals.len(), gate.asked.load(Ordering::SeqCst)), (16, requests));
            assert!(refusals.iter().all(|refusal| Arc::ptr_eq(refusal, &refusals[0])));
            // Who comes later asks anew.
            served.set(good.clone());
            assert!(fresh.trusted_root().await.unwrap().failure.is_none());
        }
    }
}

#[tokio::test]
async fn what_expires_while_a_mirror_is_slow_is_not_given_out() {
    let (instance, served, dir) = (Instance::start().await, serve_files().await, tempfile::tempdir().unwrap());
    served.replace(&instance.data("tuf"));
    let gate = Gate::before(&served).await;
    gate.open.send(true).unwrap();
    let (store, start) = (TrustStore::at(dir.path()), Timestamp::now());
    store.initialize(&gate.url, &root(&instance), &outbound(), start).await.unwrap();
    let clock = Clock::at(start);
    let fresh = Arc::new(fresh_by(&clock, store));
    let expires = fresh.trusted_root().await.unwrap().root.expires;
    gate.open.send(false).unwrap();
    gate.asked.store(0, Ordering::SeqCst);
    clock.set(expires - SignedDuration::from_secs(1));
    let slow = tokio::spawn({
        let fresh = fresh.clone();
        async move { fresh.trusted_root().await }
    });
    gate.is_asked().await;
    clock.set(expires + SignedDuration::from_secs(1));
    // Who comes while the one waits has nothing that serves, waits, and gets its answer.
    let later = tokio::spawn({
        let fresh = fresh.clone();
        async move { fresh.trusted_root().await }
    });
    tokio::task::yield_now().await;
    gate.open.send(true).unwrap();
    for task in [slow, later] {
        let refused = task.await.unwrap().err();
        assert!(matches!(refused.as_deref(), Some(TrustError::Expired { .. })), "{refused:?}");
    }
}
