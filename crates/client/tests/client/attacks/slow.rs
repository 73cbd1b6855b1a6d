// SPDX-License-Identifier: Apache-2.0
//! Slow retrieval through the whole store: a mirror that never comes to an end ends what is asked of it, and nothing else.

use std::time::{Duration, Instant};

use touchmark_client::trust::{AsDefault, Freshness, NamedRoot, Patience, TrustError, TrustStore};
use touchmark_keys::sha256;

use crate::hostile::{Answer, Client, Repository, TARGET, now};

const SHORT: Patience = Patience { file: Duration::from_millis(400), walk: Duration::from_millis(900) };
/// Far above what is waited, far below what a mirror would like.
const IN_TIME: Duration = Duration::from_secs(8);

/// The client's store, which keeps the one target and does not wait long.
fn hasty(client: &Client) -> TrustStore {
    client.store().keeping(vec![TARGET.to_owned()]).with_patience(SHORT)
}

async fn initialize(store: &TrustStore, repository: &Repository, client: &Client) -> Result<(), TrustError> {
    store.initialize(&repository.url, &repository.file("1.root.json"), &client.outbound, now()).await.map(drop)
}

fn is_unreachable<T>(outcome: &Result<T, TrustError>) -> bool {
    matches!(outcome, Err(TrustError::MirrorUnreachable { .. }))
}

#[tokio::test]
async fn slow_retrieval_of_any_file_leaves_the_cache_and_no_new_instance() {
    let target = format!("targets/{}.{TARGET}", hex::encode(sha256(b"two")));
    for slow in ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", &target] {
        let mut repository = Repository::start().await;
        let client = Client::new();
        let store = hasty(&client);
        initialize(&store, &repository, &client).await.unwrap();
        repository.add_target(TARGET, b"two");
        repository.publish().await;
        let whole = (slow != "2.root.json").then(|| repository.file(slow));
        repository.serve(slow, Answer::Drip);
        let begun = Instant::now();
        let mut cached = store.open(Freshness::Refresh(&client.outbound), now()).await.unwrap();
        assert!(cached.stale().is_some(), "{slow}");
        assert_eq!(cached.target(TARGET).await.unwrap(), b"one", "{slow}");
        let newcomer = Client::new();
        assert!(is_unreachable(&initialize(&hasty(&newcomer), &repository, &newcomer).await), "{slow}");
        assert!(newcomer.store().instances().unwrap().is_empty(), "{slow}");
        assert!(begun.elapsed() < IN_TIME, "{slow}: {:?}", begun.elapsed());
        // Nobody has to wait for a lock afterwards, and the honest mirror is believed.
        match whole {
            Some(bytes) => repository.serve(slow, Answer::Bytes(bytes)),
            None => repository.withdraw(slow),
        }
        let mut fresh = store.open(Freshness::Refresh(&client.outbound), now()).await.unwrap();
        assert!(fresh.stale().is_none(), "{slow}");
        assert_eq!(fresh.target(TARGET).await.unwrap(), b"two");
    }
}

#[tokio::test]
async fn slow_retrieval_of_the_roots_ends_looking_for_one_and_for_those_between() {
    let mut repository = Repository::start().await;
    let client = Client::new();
    let store = hasty(&client);
    let root = repository.file("1.root.json");
    let begun = Instant::now();
    repository.serve("1.root.json", Answer::Drip);
    let by_hash = NamedRoot::Sha256(sha256(&root));
    assert!(is_unreachable(&store.add(&repository.url, &by_hash, AsDefault::Always, &client.outbound, now()).await));
    repository.serve("1.root.json", Answer::Bytes(root));
    initialize(&store, &repository, &client).await.unwrap();
    repository.root["version"] = 3.into();
    repository.put_root().await;
    repository.serve("2.root.json", Answer::Drip);
    let third = repository.file("3.root.json");
    assert!(is_unreachable(&store.initialize(&repository.url, &third, &client.outbound, now()).await));
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    assert_eq!(store.instances().unwrap().len(), 1);
}

#[tokio::test]
async fn slow_retrieval_by_a_mirror_that_takes_its_time_with_each_file_ends_with_the_walk() {
    let mut repository = Repository::start().await;
    let client = Client::new();
    let store = hasty(&client);
    initialize(&store, &repository, &client).await.unwrap();
    // Each is in time, and so many are not.
    for version in 2..=12 {
        repository.root["version"] = version.into();
        repository.put_root().await;
        let name = format!("{version}.root.json");
        repository.serve(&name, Answer::Late(repository.file(&name)));
    }
    let begun = Instant::now();
    let cached = store.open(Freshness::Refresh(&client.outbound), now()).await.unwrap();
    let cause = cached.stale().unwrap().cause.to_string();
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    // What was verified of the roots is kept: who asks again and again comes to the end.
    let known = cached.root_version();
    assert!((2..12).contains(&known), "root {known}: {cause}");
}
