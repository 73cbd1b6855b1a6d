// SPDX-License-Identifier: Apache-2.0
//! Several instances in one directory of trust: side by side, added by hash, moved, removed and added again; and the memory of each.

use jiff::Timestamp;
use touchmark_client::trust::{
    AsDefault, Freshness, InstanceName, Memory, NamedRoot, TrustError, TrustStore, VerifiedRepository,
};
use touchmark_keys::sha256;
use touchmark_outbound::{Outbound, Reach};
use url::Url;

use crate::support::{Instance, serve_files};

pub(crate) fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

pub(crate) fn mirror(instance: &Instance) -> Url {
    Url::parse(&format!("{}/tuf", instance.url())).unwrap()
}

pub(crate) fn root(instance: &Instance) -> Vec<u8> {
    std::fs::read(instance.data("client/root.json")).unwrap()
}

pub(crate) fn outbound() -> Outbound {
    Outbound::new("touchmark-test", Reach::Private, None)
}

/// Adds an instance by the bytes of its root.
pub(crate) async fn add(
    store: &TrustStore,
    named: &str,
    instance: &Instance,
) -> Result<VerifiedRepository, TrustError> {
    let root = NamedRoot::Bytes(root(instance));
    let store = store.clone().within(name(named));
    store.add(&mirror(instance), &root, AsDefault::IfNone, &outbound(), Timestamp::now()).await
}

fn trusted(store: &TrustStore) -> Result<String, TrustError> {
    Ok(store.trusted_root_offline(Timestamp::now())?.trusted_root.to_json())
}

#[tokio::test]
async fn two_instances_stand_side_by_side_and_the_first_is_the_default() {
    let (one, two, dir) = (Instance::start().await, Instance::start().await, tempfile::tempdir().unwrap());
    let store = TrustStore::at(dir.path());
    add(&store, "one", &one).await.unwrap();
    // By the hash of a root, which is looked for in the repository.
    let hash = NamedRoot::Sha256(sha256(&root(&two)));
    let second = store.clone().within(name("two"));
    second.add(&mirror(&two), &hash, AsDefault::IfNone, &outbound(), Timestamp::now()).await.unwrap();
    let check = |store: &TrustStore, instance: &Instance| {
        assert_eq!(trusted(store).unwrap(), instance.trusted_root.to_json());
    };
    check(&store, &one);
    check(&store.clone().within(name("two")), &two);
    store.choose(&name("two")).unwrap();
    check(&store, &two);
    check(&store.clone().within(name("one")), &one);
    let names: Vec<_> = store.instances().unwrap().into_iter().map(|known| (known.name, known.is_default)).collect();
    assert_eq!(names, [(name("one"), false), (name("two"), true)]);
}

#[tokio::test]
async fn a_hash_that_no_root_has_and_a_root_of_another_line_are_refused() {
    let (one, two, dir) = (Instance::start().await, Instance::start().await, tempfile::tempdir().unwrap());
    let store = TrustStore::at(dir.path()).within(name("one"));
    let nobodys = NamedRoot::Sha256([7; 32]);
    let refused = store.add(&mirror(&one), &nobodys, AsDefault::IfNone, &outbound(), Timestamp::now()).await;
    assert!(matches!(refused.err(), Some(TrustError::RootNotFound { last: 1, .. })));
    assert!(store.instances().unwrap().is_empty());
    add(&store, "one", &one).await.unwrap();
    // The name is taken by another line of roots, whichever mirror is named.
    let refused = add(&store, "one", &two).await.err();
    assert!(matches!(refused, Some(TrustError::OtherRoot { .. })), "{refused:?}");
    assert_eq!(trusted(&store).unwrap(), one.trusted_root.to_json());
}

#[tokio::test]
async fn two_lines_of_roots_at_one_mirror_get_names_of_their_own() {
    let (one, two, dir) = (Instance::start().await, Instance::start().await, tempfile::tempdir().unwrap());
    let store = TrustStore::at(dir.path());
    let served = serve_files().await;
    served.replace(&one.data("tuf"));
    let first = store.initialize(&served.url(), &root(&one), &outbound(), Timestamp::now()).await.unwrap();
    // The operator has set the instance up anew, at the same address.
    served.replace(&two.data("tuf"));
    let second = store.initialize(&served.url(), &root(&two), &outbound(), Timestamp::now()).await.unwrap();
    assert_eq!(second.name().as_str(), format!("{}-2", first.name()));
    assert_eq!(trusted(&store).unwrap(), two.trusted_root.to_json());
    // What was known of the first is whole, and no word of the second counts there.
    let of_first = store.clone().within(first.name().clone());
    assert_eq!(trusted(&of_first).unwrap(), one.trusted_root.to_json());
    let refused = of_first.open(Freshness::Refresh(&outbound()), Timestamp::now()).await.err();
    assert!(matches!(refused, Some(TrustError::Tuf { .. })), "{refused:?}");
    assert_eq!(trusted(&of_first).unwrap(), one.trusted_root.to_json());
    // And each is found again by its root.
    let again = store.initialize(&served.url(), &root(&two), &outbound(), Timestamp::now()).await.unwrap();
    assert_eq!(again.name(), second.name());
}

#[tokio::test]
async fn memory_outlasts_removing_and_adding_again_unless_it_is_forgotten_by_name() {
    let (instance, dir) = (Instance::start().await, tempfile::tempdir().unwrap());
    let store = TrustStore::at(dir.path());
    let (served, old, now) = (serve_files().await, tempfile::tempdir().unwrap(), Timestamp::now());
    copy(&instance.data("tuf"), old.path());
    let instance = instance.restart().await;
    let named = NamedRoot::Bytes(root(&instance));
    let again = store.clone().within(name("one"));
    let add = || async { again.add(&served.url(), &named, AsDefault::IfNone, &outbound(), now).await };
    served.replace(&instance.data("tuf"));
    add().await.unwrap();
    served.replace(old.path());
    let rolled_back = |error: Option<TrustError>| assert!(matches!(error, Some(TrustError::Tuf { .. })), "{error:?}");
    rolled_back(store.open(Freshness::Refresh(&outbound()), now).await.err());
    rolled_back(add().await.err());
    rolled_back(again.initialize(&served.url(), &root(&instance), &outbound(), now).await.err());
    store.remove(&name("one"), Memory::Kept).await.unwrap();
    rolled_back(add().await.err());
    store.remove(&name("one"), Memory::ForgottenUnsafe).await.unwrap();
    add().await.unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_refresh_that_ends_half_way_leaves_the_cache_as_it_was() {
    let (instance, dir) = (Instance::start().await, tempfile::tempdir().unwrap());
    let (store, served, now) = (TrustStore::at(dir.path()), serve_files().await, Timestamp::now());
    served.replace(&instance.data("tuf"));
    store.initialize(&served.url(), &root(&instance), &outbound(), now).await.unwrap();
    let before = instance.trusted_root.to_json();
    let instance = instance.restart().await;
    // A new timestamp, and nothing of what it leads to.
    let files = served.files_of(&instance.data("tuf"));
    served.set(
        files
            .iter()
            .filter(|(name, _)| name.as_str() == "timestamp.json")
            .map(|(n, b)| (n.clone(), b.clone()))
            .collect(),
    );
    let mut cached = store.open(Freshness::Refresh(&outbound()), now).await.unwrap();
    assert!(cached.stale().is_some());
    assert_eq!(cached.trusted_root().await.unwrap().to_json(), before);
    assert_eq!(trusted(&store).unwrap(), before);
    served.replace(&instance.data("tuf"));
    assert!(store.open(Freshness::Refresh(&outbound()), now).await.unwrap().stale().is_none());
}

#[tokio::test]
async fn a_directory_of_an_older_program_goes_on_with_its_memory() {
    let (instance, dir) = (Instance::start().await, tempfile::tempdir().unwrap());
    let (served, old, now) = (serve_files().await, tempfile::tempdir().unwrap(), Timestamp::now());
    copy(&instance.data("tuf"), old.path());
    let instance = instance.restart().await;
    served.replace(&instance.data("tuf"));
    let store = TrustStore::at(dir.path());
    let named = store.initialize(&served.url(), &root(&instance), &outbound(), now).await.unwrap().name().clone();
    // One file named the instance then, and the instance had none of its own.
    let text = format!(r#"{{"version":1,"mirror":"{}","refreshedAt":"2026-01-01T00:00:00Z"}}"#, served.url());
    std::fs::write(dir.path().join("instance.json"), text).unwrap();
    std::fs::remove_file(dir.path().join(named.as_str()).join("instance.json")).unwrap();
    assert_eq!(trusted(&store).unwrap(), instance.trusted_root.to_json());
    served.replace(old.path());
    let refused = store.open(Freshness::Refresh(&outbound()), now).await.err();
    assert!(matches!(refused, Some(TrustError::Tuf { .. })), "{refused:?}");
    served.replace(&instance.data("tuf"));
    store.open(Freshness::Refresh(&outbound()), now).await.unwrap();
    assert!(dir.path().join(named.as_str()).join("instance.json").exists(), "it has the form of today now");
    assert!(store.instances().unwrap().remove(0).is_default);
}

#[tokio::test]
async fn who_reads_the_cache_waits_for_no_refresh() {
    let (instance, dir) = (Instance::start().await, tempfile::tempdir().unwrap());
    let store = TrustStore::at(dir.path());
    add(&store, "one", &instance).await.unwrap();
    let lock = std::fs::OpenOptions::new().write(true).open(dir.path().join("one/refresh.lock")).unwrap();
    lock.try_lock().unwrap();
    let begun = std::time::Instant::now();
    let (outbound, max_age) = (outbound(), std::time::Duration::from_secs(3600));
    for freshness in [Freshness::Offline, Freshness::CachedWithin { max_age, outbound: &outbound }] {
        assert!(store.open(freshness, Timestamp::now()).await.unwrap().stale().is_none());
    }
    store.export(Timestamp::now()).unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    // Who has to ask gets what is cached in the end, and is told why.
    let waited = store.open(Freshness::Refresh(&outbound), Timestamp::now()).await.unwrap();
    assert!(waited.stale().unwrap().cause.to_string().contains("another process"));
    lock.unlock().unwrap();
    assert!(store.open(Freshness::Refresh(&outbound), Timestamp::now()).await.unwrap().stale().is_none());
}
