// SPDX-License-Identifier: Apache-2.0
//! The repository on disk, judged by its own checks and by the independent client of crate `sigstore-tuf`.

use super::*;
use sigstore_tuf::transport::{FetchFuture, Repository as Transport};
use sigstore_tuf::{Updater, UpdaterConfig};
use touchmark_keys::KeyType;
use touchmark_signers::EphemeralSigner;

struct Keys {
    root: EphemeralSigner,
    targets: EphemeralSigner,
    online: EphemeralSigner,
}

impl Keys {
    fn new() -> Self {
        let key = || EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        Keys { root: key(), targets: key(), online: key() }
    }

    fn offline(&self) -> OfflineKeys<'_> {
        OfflineKeys { root: &self.root, targets: &self.targets }
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const START: &str = "2026-11-22T10:00:00Z";

fn target(content: &str) -> Vec<Target> {
    vec![Target { name: "trusted_root.json", bytes: content.as_bytes().to_vec() }]
}

/// Reads the directory as a client reads a mirror.
struct Mirror(PathBuf);

impl Transport for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, _max: u64) -> FetchFuture<'a> {
        Box::pin(async move { Ok(std::fs::read(self.0.join(name)).ok()) })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, _max: u64) -> FetchFuture<'a> {
        Box::pin(async move { Ok(std::fs::read(self.0.join("targets").join(path)).ok()) })
    }
}

async fn fetched_by_client(directory: &Path, now: Timestamp) -> Result<String, sigstore_tuf::Error> {
    let root = std::fs::read(directory.join("1.root.json")).unwrap();
    let mut client = Updater::new(Mirror(directory.to_owned()), &root)?.with_config(UpdaterConfig::default());
    client.refresh(now).await?;
    let bytes = client.get_target("trusted_root.json", now).await?;
    Ok(String::from_utf8(bytes).unwrap())
}

#[tokio::test]
async fn an_independent_client_walks_every_generation() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let path = directory.path();
    let mut repository = create(path, &keys.offline(), &keys.online, &target("one"), at(START)).await.unwrap();
    assert_eq!(fetched_by_client(path, at(START)).await.unwrap(), "one");

    repository.publish(&keys.offline(), &keys.online, &target("two"), at(START)).await.unwrap();
    assert_eq!(fetched_by_client(path, at(START)).await.unwrap(), "two");

    let weeks_later = at("2027-01-20T00:00:00Z");
    assert!(fetched_by_client(path, weeks_later).await.is_err());
    repository.refresh(&keys.online, weeks_later).await.unwrap();
    assert_eq!(fetched_by_client(path, weeks_later).await.unwrap(), "two");

    let years_later = at("2028-10-01T00:00:00Z");
    assert!(repository.needs_offline_keys(&target("two"), years_later));
    repository.publish(&keys.offline(), &keys.online, &target("two"), years_later).await.unwrap();
    assert!(path.join("2.root.json").exists());
    assert_eq!(fetched_by_client(path, years_later).await.unwrap(), "two");
    Repository::open(path).unwrap().check_live(at("2029-12-01T00:00:00Z")).unwrap();
}

#[tokio::test]
async fn what_is_published_needs_no_offline_key_again() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    create(directory.path(), &keys.offline(), &keys.online, &target("one"), at(START)).await.unwrap();
    let repository = Repository::open(directory.path()).unwrap();
    assert!(!repository.needs_offline_keys(&target("one"), at(START)));
    assert!(repository.needs_offline_keys(&target("two"), at(START)));
    assert_eq!(repository.first_root().unwrap(), std::fs::read(directory.path().join("1.root.json")).unwrap());
}

#[tokio::test]
async fn an_interrupted_publication_leaves_the_old_state_and_can_be_repeated() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let path = directory.path();
    create(path, &keys.offline(), &keys.online, &target("one"), at(START)).await.unwrap();
    let timestamp = std::fs::read(path.join("timestamp.json")).unwrap();
    let mut repository = Repository::open(path).unwrap();
    repository.publish(&keys.offline(), &keys.online, &target("two"), at(START)).await.unwrap();
    std::fs::write(path.join("timestamp.json"), timestamp).unwrap();

    assert_eq!(fetched_by_client(path, at(START)).await.unwrap(), "one");
    let mut repository = Repository::open(path).unwrap();
    repository.publish(&keys.offline(), &keys.online, &target("three"), at(START)).await.unwrap();
    assert_eq!(fetched_by_client(path, at(START)).await.unwrap(), "three");
}

#[tokio::test]
async fn a_changed_byte_of_any_file_is_refused_and_named() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let path = directory.path();
    create(path, &keys.offline(), &keys.online, &target("one"), at(START)).await.unwrap();
    let target_file = format!("targets/{}", target("one")[0].file_name());
    for name in ["1.root.json", "1.targets.json", "1.snapshot.json", "timestamp.json", &target_file] {
        let file = path.join(name);
        let good = std::fs::read(&file).unwrap();
        let bad = match name {
            name if name.starts_with("targets/") => b"two".to_vec(),
            _ => String::from_utf8(good.clone()).unwrap().replacen("202", "203", 1).into_bytes(),
        };
        assert_ne!(good, bad);
        std::fs::write(&file, bad).unwrap();
        let error = Repository::open(path).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
        std::fs::write(&file, good).unwrap();
    }
    Repository::open(path).unwrap();
}

#[tokio::test]
async fn an_expired_root_and_a_foreign_key_are_refused() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let path = directory.path();
    let mut repository = create(path, &keys.offline(), &keys.online, &target("one"), at(START)).await.unwrap();
    let error = repository.check_live(at("2028-11-22T00:00:00Z")).unwrap_err();
    assert!(matches!(error, TufError::Expired { role: "root", .. }), "{error}");
    let stranger = Keys::new();
    let error = repository.refresh(&stranger.online, at(START)).await.unwrap_err();
    assert!(matches!(error, TufError::ForeignKey { role: "timestamp" }), "{error}");
    let error = repository.publish(&stranger.offline(), &keys.online, &target("x"), at(START)).await.unwrap_err();
    assert!(matches!(error, TufError::ForeignKey { role: "root" }), "{error}");
}

#[tokio::test]
async fn targets_that_were_signed_elsewhere_are_adopted_only_as_the_next() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let path = directory.path();
    let mut repository = create(path, &keys.offline(), &keys.online, &target("one"), at(START)).await.unwrap();
    let elsewhere = Repository::open(path).unwrap();
    let prepare = async |repository: &Repository, content: &str| {
        repository.prepare(&keys.targets, target(content), at(START)).await.unwrap()
    };
    // Other bytes than those that were signed; a key of another role; garbage.
    let swapped = PreparedTargets { targets: target("evil"), ..prepare(&elsewhere, "two").await };
    let signed = metadata::targets(2, contents(&target("two")), at(START));
    let foreign = sign(Role::Targets, &signed, &keys.online).await.unwrap().bytes;
    let foreign = PreparedTargets { targets: target("two"), metadata: foreign };
    let garbage = PreparedTargets { targets: target("two"), metadata: b"{}".to_vec() };
    for wrong in [swapped, foreign, garbage] {
        assert!(repository.adopt(wrong, &keys.online, at(START)).await.is_err());
        assert_eq!(fetched_by_client(path, at(START)).await.unwrap(), "one");
    }
    assert!(elsewhere.prepare(&keys.root, target("two"), at(START)).await.is_err());

    let (two, late) = (prepare(&elsewhere, "two").await, prepare(&elsewhere, "late").await);
    repository.adopt(two, &keys.online, at(START)).await.unwrap();
    assert_eq!(fetched_by_client(path, at(START)).await.unwrap(), "two");
    let refused = repository.adopt(late, &keys.online, at(START)).await;
    assert!(matches!(refused, Err(TufError::NotTheNext { expected: 3, found: 2 })), "{refused:?}");
    let three = prepare(&Repository::open(path).unwrap(), "three").await;
    repository.adopt(three, &keys.online, at(START)).await.unwrap();
    assert_eq!(fetched_by_client(path, at(START)).await.unwrap(), "three");
}

#[tokio::test]
async fn a_key_that_is_not_the_online_one_is_refused_with_both_ids() {
    let (directory, keys) = (tempfile::tempdir().unwrap(), Keys::new());
    let repository = create(directory.path(), &keys.offline(), &keys.online, &target("one"), at(START)).await.unwrap();
    repository.expect_online_key(keys.online.public_key()).unwrap();
    let id = |key: &EphemeralSigner| metadata::key_object(key.public_key()).unwrap().0;
    let refused = repository.expect_online_key(keys.targets.public_key()).unwrap_err();
    let TufError::OnlineKey { role: "timestamp", root: 1, expected, found } = refused else { panic!("{refused}") };
    assert_eq!((expected, found), (id(&keys.online), id(&keys.targets)));
}
