// SPDX-License-Identifier: Apache-2.0
//! The trust store against a served TUF repository: initialise, refresh, offline, expired, tampered.

use std::path::Path;
use std::time::Duration;

use crate::support::Instance;
use jiff::{SignedDuration, Timestamp};
use touchmark_client::trust::{
    BuiltIn, Freshness, Origin, TrustError, TrustStore, public_good_root, public_good_root_json,
};
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

/// A program into which this instance is built; the embedded trusted root is another one, so that the two can be told apart.
fn built_into(client: &Client, instance: &Instance) -> TrustStore {
    let mirror = Url::parse(&format!("{}/tuf", instance.url())).unwrap();
    let tuf_root = std::fs::read(instance.data("client/root.json")).unwrap();
    client.store().with_built_in(BuiltIn::new(&mirror, tuf_root, public_good_root_json().to_vec()))
}

fn is_embedded(found: &touchmark_client::trust::TrustedRootOf) -> bool {
    found.origin == Origin::Embedded && found.trusted_root.to_json() == public_good_root().to_json()
}

#[tokio::test]
async fn without_initialize_the_built_in_instance_is_asked_cached_and_embedded() {
    let (instance, client) = (Instance::start().await, Client::new());
    let store = built_into(&client, &instance);
    let now = Timestamp::now();
    // Never asked, and not to be asked: the embedded root, and nothing is written.
    assert!(is_embedded(&store.trusted_root_offline(now).unwrap()));
    assert_eq!(std::fs::read_dir(client.directory.path()).unwrap().count(), 0);
    // Asked, then as it was cached, each verified.
    let outbound = &client.outbound;
    let cached = Freshness::CachedWithin { max_age: Duration::from_secs(60), outbound };
    for freshness in [Freshness::Refresh(outbound), cached, Freshness::Offline] {
        let found = store.trusted_root(freshness, now).await.unwrap();
        assert!(matches!(found.origin, Origin::BuiltIn { .. }) && found.stale.is_none(), "{:?}", found.origin);
        assert_eq!(found.trusted_root.to_json(), instance.trusted_root.to_json());
    }
    // It serves to verify and never to sign.
    assert!(matches!(store.open(Freshness::Offline, now).await.err(), Some(TrustError::NotInitialised { .. })));
    // Out of reach: what it said last, with a warning; never asked before: the embedded root, with a warning.
    let elsewhere = Client::new();
    let never_asked = built_into(&elsewhere, &instance);
    drop(instance);
    let found = store.trusted_root(Freshness::Refresh(outbound), now).await.unwrap();
    assert!(matches!(found.origin, Origin::BuiltIn { .. }) && found.stale.is_some());
    let found = never_asked.trusted_root(Freshness::Refresh(outbound), now).await.unwrap();
    assert!(is_embedded(&found) && found.stale.is_some());
    // Expired since: as of the last time, said aloud. The time that a file claims is no later than now.
    let later = now + SignedDuration::from_hours(24 * 365 * 100);
    let found = store.trusted_root_offline(later).unwrap();
    assert!(matches!(found.origin, Origin::BuiltInAsOf { at, .. } if at == now), "{:?}", found.origin);
}

#[tokio::test]
async fn what_the_built_in_mirror_cannot_prove_is_an_error_and_never_the_embedded_root() {
    let (instance, stranger, client) = (Instance::start().await, Instance::start().await, Client::new());
    let mirror = Url::parse(&format!("{}/tuf", instance.url())).unwrap();
    let tuf_root = std::fs::read(stranger.data("client/root.json")).unwrap();
    let store = client.store().with_built_in(BuiltIn::new(&mirror, tuf_root, public_good_root_json().to_vec()));
    let now = Timestamp::now();
    let refused = store.trusted_root(Freshness::Refresh(&client.outbound), now).await;
    assert!(matches!(refused, Err(TrustError::Tuf { .. })), "{refused:?}");

    let client = Client::new();
    let store = built_into(&client, &instance);
    store.trusted_root(Freshness::Refresh(&client.outbound), now).await.unwrap();
    for name in ["targets/trusted_root.json", "targets.json", "snapshot.json", "timestamp.json"] {
        let path = find(client.directory.path(), name);
        let whole = std::fs::read(&path).unwrap();
        let mut tampered = whole.clone();
        let place = tampered.iter().position(u8::is_ascii_digit).unwrap();
        tampered[place] ^= 1;
        std::fs::write(&path, tampered).unwrap();
        assert!(store.trusted_root_offline(now).is_err(), "{name}");
        std::fs::write(&path, whole).unwrap();
        store.trusted_root_offline(now).unwrap();
    }
}

#[tokio::test]
async fn an_initialised_instance_is_never_replaced_by_the_built_in_one() {
    let (private, public, client) = (Instance::start().await, Instance::start().await, Client::new());
    client.initialize(&private, &private.data("client/root.json")).await.unwrap();
    let store = built_into(&client, &public);
    let now = Timestamp::now();
    for freshness in [Freshness::Refresh(&client.outbound), Freshness::Offline] {
        let found = store.trusted_root(freshness, now).await.unwrap();
        assert!(matches!(found.origin, Origin::Initialised { .. }));
        assert_eq!(found.trusted_root.to_json(), private.trusted_root.to_json());
    }
    let instance_file = client.directory.path().join("instance.json");
    let whole = std::fs::read(&instance_file).unwrap();
    std::fs::write(&instance_file, "{}").unwrap();
    assert!(matches!(store.trusted_root_offline(now), Err(TrustError::InstanceUnreadable { .. })));
    std::fs::remove_file(&instance_file).unwrap();
    assert!(matches!(store.trusted_root_offline(now), Err(TrustError::NoneChosen { .. })));
    // With the instance's own file gone, too, what was pinned still tells that there was one.
    let own_file = find_file(client.directory.path(), "instance.json");
    let own = std::fs::read(&own_file).unwrap();
    std::fs::remove_file(&own_file).unwrap();
    assert!(matches!(store.trusted_root_offline(now), Err(TrustError::InstanceForgotten { .. })));
    std::fs::write(&own_file, own).unwrap();
    std::fs::write(&instance_file, whole).unwrap();
    store.trusted_root_offline(now).unwrap();

    // The directory of cosign, which `TUF_ROOT` names for both: another mirror is another instance.
    let client = Client::new();
    let store = built_into(&client, &public);
    let write = |text: String| std::fs::write(client.directory.path().join("remote.json"), text).unwrap();
    for text in [format!(r#"{{"mirror":"{}/tuf"}}"#, private.url()), "{}".into()] {
        write(text);
        assert!(matches!(store.trusted_root_offline(now), Err(TrustError::InstanceForgotten { .. })));
    }
    write(format!(r#"{{"mirror":"{}/tuf"}}"#, public.url()));
    assert!(is_embedded(&store.trusted_root_offline(now).unwrap()));
}

/// The one file of this name among what is cached of the instances.
fn find(directory: &Path, name: &str) -> std::path::PathBuf {
    find_file(directory, &format!("metadata/{name}"))
}

/// The one file of this name below the instances' directories.
fn find_file(directory: &Path, name: &str) -> std::path::PathBuf {
    let instances = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    instances.map(|instance| instance.join(name)).find(|path| path.exists()).unwrap()
}
