// SPDX-License-Identifier: Apache-2.0
//! What a client keeps of a Sigstore repository: nothing that is not what its name says, and nothing of an instance that could not be added.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use touchmark_client::trust::{AsDefault, FreshTrust, Freshness, NamedRoot, TrustError, TrustStore};
use touchmark_keys::sha256;

use crate::hostile::{Answer, Client, Repository, now};
use crate::instances::{name, outbound};

const TRUSTED_ROOT: &str = "trusted_root.json";
const SIGNING_CONFIG: &str = "signing_config.v0.2.json";

fn public(target: &str) -> Vec<u8> {
    let targets = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository/targets");
    std::fs::read(format!("{targets}/{target}")).unwrap()
}

/// One that publishes what the public-good instance does.
async fn sigstore() -> Repository {
    let mut repository = Repository::start().await;
    for target in [TRUSTED_ROOT, SIGNING_CONFIG] {
        repository.add_target(target, &public(target));
    }
    repository.publish().await;
    repository
}

async fn initialize(store: &TrustStore, repository: &Repository) -> Result<(), TrustError> {
    let root = repository.file("1.root.json");
    store.initialize(&repository.url, &root, &outbound(), now()).await.map(drop)
}

async fn refresh(store: &TrustStore) -> Result<(), TrustError> {
    store.open(Freshness::Refresh(&outbound()), now()).await.map(drop)
}

/// Every file below, but for those of the locks, which are empty and stay.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut directories) = (BTreeMap::new(), vec![directory.to_owned()]);
    while let Some(next) = directories.pop() {
        for path in std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => directories.push(path),
                false if path.extension().is_some_and(|extension| extension == "lock") => {}
                false => drop(files.insert(path.clone(), std::fs::read(path).unwrap())),
            }
        }
    }
    files
}

#[tokio::test]
async fn a_target_that_is_not_what_its_name_says_replaces_none_that_is() {
    let mut repository = sigstore().await;
    let client = Client::new();
    let store = TrustStore::at(client.directory.path());
    initialize(&store, &repository).await.unwrap();
    let fresh = Arc::new(FreshTrust::new(store.clone(), outbound(), Duration::ZERO).with_clock(now));
    fresh.trusted_root().await.unwrap();
    let kept = store.metadata_dir(&repository.url);
    let is_whole = async || {
        let mut offline = store.open(Freshness::Offline, now()).await.unwrap();
        for target in [TRUSTED_ROOT, SIGNING_CONFIG] {
            assert!(offline.target(target).await.unwrap() == public(target), "{target}");
            assert!(std::fs::read(kept.join("targets").join(target)).unwrap() == public(target), "{target}");
        }
        store.export(now()).unwrap();
    };
    for (target, bytes) in [
        (TRUSTED_ROOT, &b"{}"[..]),
        (TRUSTED_ROOT, b""),
        (TRUSTED_ROOT, &public(SIGNING_CONFIG)),
        (SIGNING_CONFIG, b"no JSON"),
        (SIGNING_CONFIG, &public(TRUSTED_ROOT)),
    ] {
        let before = repository.file("timestamp.json");
        repository.add_target(target, bytes);
        repository.publish().await;
        // As often as it is asked for.
        for _ in 0..2 {
            let refused = refresh(&store).await.err();
            assert!(
                matches!(&refused, Some(TrustError::TargetUnusable { name, .. }) if name == target),
                "{target}: {refused:?}"
            );
            is_whole().await;
        }
        let going_on = fresh.trusted_root().await.unwrap();
        assert!(matches!(going_on.failure.as_deref(), Some(TrustError::TargetUnusable { .. })));
        // What was seen is seen: the mirror does not get away with the version before.
        let newest = repository.file("timestamp.json");
        repository.serve("timestamp.json", Answer::Bytes(before));
        let refused = refresh(&store).await.err();
        assert!(matches!(refused, Some(TrustError::Tuf { .. })), "{refused:?}");
        repository.serve("timestamp.json", Answer::Bytes(newest));
        // A client that comes now knows nothing afterwards.
        let fresh = Client::new();
        let newcomer = TrustStore::at(fresh.directory.path());
        let refused = initialize(&newcomer, &repository).await.err();
        assert!(matches!(refused, Some(TrustError::TargetUnusable { .. })), "{refused:?}");
        assert_eq!(tree(fresh.directory.path()), BTreeMap::new());
        repository.add_target(target, &public(target));
        repository.publish().await;
        refresh(&store).await.unwrap();
        is_whole().await;
    }
}

#[tokio::test]
async fn a_trusted_root_that_is_withdrawn_is_no_news() {
    let mut repository = sigstore().await;
    let client = Client::new();
    let store = TrustStore::at(client.directory.path());
    initialize(&store, &repository).await.unwrap();
    let targets = repository.targets["targets"].clone();
    repository.targets["targets"].as_object_mut().unwrap().remove(TRUSTED_ROOT);
    repository.publish().await;
    let refused = refresh(&store).await.err();
    assert!(matches!(&refused, Some(TrustError::TargetMissing { name }) if name == TRUSTED_ROOT), "{refused:?}");
    store.trusted_root_offline(now()).unwrap();
    // Without a signing config, an instance serves to verify.
    repository.targets["targets"] = targets;
    repository.targets["targets"].as_object_mut().unwrap().remove(SIGNING_CONFIG);
    repository.publish().await;
    refresh(&store).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_cannot_be_added_leaves_everything_as_it_was() {
    let (other, repository) = (sigstore().await, sigstore().await);
    let hashed = |target: &str| format!("targets/{}.{target}", hex::encode(sha256(&public(target))));
    let files = [
        "2.root.json".to_owned(),
        "timestamp.json".to_owned(),
        "2.snapshot.json".to_owned(),
        "2.targets.json".to_owned(),
        hashed(TRUSTED_ROOT),
        hashed(SIGNING_CONFIG),
    ];
    let root = repository.file("1.root.json");
    for has_another in [false, true] {
        let client = Client::new();
        let store = TrustStore::at(client.directory.path());
        if has_another {
            let root = NamedRoot::Bytes(other.file("1.root.json"));
            let first = store.clone().within(name("first"));
            first.add(&other.url, &root, AsDefault::IfNone, &outbound(), now()).await.unwrap();
        }
        let before = tree(client.directory.path());
        let lab = store.clone().within(name("lab"));
        let fails = async |root: NamedRoot, why: &str| {
            for as_default in [AsDefault::IfNone, AsDefault::Always] {
                let added = lab.add(&repository.url, &root, as_default, &outbound(), now()).await;
                assert!(added.is_err(), "{why}");
            }
        };
        fails(NamedRoot::Sha256([7; 32]), "no root has this hash").await;
        fails(NamedRoot::Bytes(b"{}".to_vec()), "no root").await;
        for file in &files {
            let good = (file != "2.root.json").then(|| repository.file(file));
            for answer in [Some(Answer::Status(500)), Some(Answer::Bytes(b"{}".to_vec())), None] {
                match answer {
                    Some(answer) => repository.serve(file, answer),
                    // That there is no next root is no failure.
                    None if good.is_none() => continue,
                    None => repository.withdraw(file),
                }
                fails(NamedRoot::Bytes(root.clone()), file).await;
                assert_eq!(tree(client.directory.path()), before, "{file}");
            }
            match good {
                Some(bytes) => repository.serve(file, Answer::Bytes(bytes)),
                None => repository.withdraw(file),
            }
        }
        // What stands where a file has to be written. The last is where the default is.
        for obstacle in ["lab/commit.lock", "lab/instance.json", "lab/pinned.root.json", "instances.lock"] {
            let path = client.directory.path().join(obstacle);
            let _ = std::fs::remove_file(&path);
            std::fs::create_dir_all(&path).unwrap();
            fails(NamedRoot::Bytes(root.clone()), obstacle).await;
            assert_eq!(tree(client.directory.path()), before, "{obstacle}");
            std::fs::remove_dir(&path).unwrap();
        }
        assert_eq!(store.instances().unwrap().len(), usize::from(has_another));
        lab.add(&repository.url, &NamedRoot::Bytes(root.clone()), AsDefault::Always, &outbound(), now()).await.unwrap();
        assert!(store.instances().unwrap().iter().all(|known| known.is_default == (known.name == name("lab"))));
    }
}

#[tokio::test]
async fn an_instance_that_was_removed_keeps_its_memory_when_it_cannot_be_added_again() {
    let mut repository = sigstore().await;
    let client = Client::new();
    let store = TrustStore::at(client.directory.path());
    initialize(&store, &repository).await.unwrap();
    let known = store.instances().unwrap().remove(0).name;
    store.remove(&known, touchmark_client::trust::Memory::Kept).await.unwrap();
    let before = tree(client.directory.path());
    let timestamp = repository.file("timestamp.json");
    repository.timestamp["version"] = json!(1);
    repository.put_timestamp().await;
    let refused = initialize(&store, &repository).await.err();
    assert!(matches!(refused, Some(TrustError::Tuf { .. })), "{refused:?}");
    assert_eq!(tree(client.directory.path()), before);
    repository.serve("timestamp.json", Answer::Bytes(timestamp));
    initialize(&store, &repository).await.unwrap();
}
