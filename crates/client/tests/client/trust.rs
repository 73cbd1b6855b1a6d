// SPDX-License-Identifier: Apache-2.0
//! The trust store against a served TUF repository: initialise, refresh, offline, expired, tampered.

use std::path::Path;
use std::time::Duration;

use crate::support::Instance;
use jiff::{SignedDuration, Timestamp};
use touchmark_client::trust::{Freshness, TrustError, TrustStore};
use touchmark_outbound::{Outbound, Reach};
use url::Url;

struct Client {
    directory: tempfile::TempDir,
    outbound: Outbound,
}

impl Client {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            outbound: Outbound::new("touchmark-test", Reach::Private, None),
        }
    }

    fn store(&self) -> TrustStore {
        TrustStore::at(self.directory.path())
    }

    async fn initialize(&self, instance: &Instance, root: &Path) -> Result<(), TrustError> {
        let mirror = Url::parse(&format!("{}/tuf", instance.url())).unwrap();
        let root = std::fs::read(root).unwrap();
        let mut repository = self.store().initialize(&mirror, &root, &self.outbound, Timestamp::now()).await?;
        repository.trusted_root().await?;
        repository.signing_config().await?;
        Ok(())
    }

    async fn open_offline(&self, now: Timestamp) -> Result<(), TrustError> {
        let mut repository = self.store().open(Freshness::Offline, now).await?;
        repository.trusted_root().await.map(drop)
    }
}

#[tokio::test]
async fn what_was_initialised_serves_online_cached_and_offline() {
    let (instance, client) = (Instance::start().await, Client::new());
    client.initialize(&instance, &instance.data("client/root.json")).await.unwrap();
    let outbound = &client.outbound;
    let cached = Freshness::CachedWithin { max_age: Duration::from_secs(60), outbound };
    for freshness in [Freshness::Refresh(outbound), cached, Freshness::Offline] {
        let mut repository = client.store().open(freshness, Timestamp::now()).await.unwrap();
        assert!(repository.stale().is_none());
        assert_eq!(repository.trusted_root().await.unwrap().to_json(), instance.trusted_root.to_json());
    }
}

#[tokio::test]
async fn an_unreachable_mirror_leaves_the_cache_and_a_warning() {
    let (instance, client) = (Instance::start().await, Client::new());
    client.initialize(&instance, &instance.data("client/root.json")).await.unwrap();
    drop(instance);
    let mut repository = client.store().open(Freshness::Refresh(&client.outbound), Timestamp::now()).await.unwrap();
    assert!(repository.stale().is_some());
    repository.trusted_root().await.unwrap();
}

#[tokio::test]
async fn expired_metadata_are_refused_by_role() {
    let (instance, client) = (Instance::start().await, Client::new());
    client.initialize(&instance, &instance.data("client/root.json")).await.unwrap();
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 365 * 100);
    assert!(matches!(client.open_offline(later).await, Err(TrustError::Expired { .. })));
}

#[tokio::test]
async fn a_root_of_another_instance_is_refused_and_not_remembered() {
    let (instance, stranger, client) = (Instance::start().await, Instance::start().await, Client::new());
    let refused = client.initialize(&instance, &stranger.data("client/root.json")).await;
    assert!(matches!(refused, Err(TrustError::Tuf { .. })), "{refused:?}");
    assert!(matches!(client.open_offline(Timestamp::now()).await, Err(TrustError::NotInitialised { .. })));
}

#[tokio::test]
async fn a_tampered_cache_is_never_believed() {
    let (instance, client) = (Instance::start().await, Client::new());
    client.initialize(&instance, &instance.data("client/root.json")).await.unwrap();
    for name in ["targets/trusted_root.json", "targets.json", "snapshot.json", "timestamp.json"] {
        let path = find(client.directory.path(), name);
        let whole = std::fs::read(&path).unwrap();
        let mut tampered = whole.clone();
        let place = tampered.iter().position(u8::is_ascii_digit).unwrap();
        tampered[place] ^= 1;
        std::fs::write(&path, tampered).unwrap();
        assert!(client.open_offline(Timestamp::now()).await.is_err(), "{name}");
        std::fs::write(&path, whole).unwrap();
        client.open_offline(Timestamp::now()).await.unwrap();
    }
    // A line more, which no parser of JSON minds: it is the hash that notices.
    let path = find(client.directory.path(), "targets/trusted_root.json");
    let longer = [std::fs::read(&path).unwrap(), b"\n".to_vec()].concat();
    std::fs::write(&path, longer).unwrap();
    assert!(client.open_offline(Timestamp::now()).await.is_err());
}

/// The one file of this name below the mirrors' directories.
fn find(directory: &Path, name: &str) -> std::path::PathBuf {
    let mirrors = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    mirrors.map(|mirror| mirror.join("metadata").join(name)).find(|path| path.exists()).unwrap()
}
