// SPDX-License-Identifier: Apache-2.0
//! A repository that several hold: made and changed in ceremonies (docs/ceremony.md), served and kept fresh here.
//!
//! In scope: snapshot and timestamp. Out of scope: root and targets, whose keys nobody here has; a ceremony publishes into the directory while
//! this process runs.
//! Invariant: what is signed here was read and verified from the first root on just before, so that a publication is taken up by itself.

use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use touchmark_keys::PublicKey;
use touchmark_signers::Signer;
use touchmark_trust::ceremony::{CeremonyError, ONLINE, Repository};
use touchmark_trust::document::RoleType;
use touchmark_trust::key::{Fingerprint, Key, KeyId};
use touchmark_trust::walk::Walked;

use super::TufError;
use super::keeper::Kept;
use super::metadata::{Document, Role, is_of_one_machine};
use super::overview::{Holder, Overview, RoleOverview};

/// The repository as it was last read.
pub(crate) struct HeldRepository {
    repository: Repository,
    walked: Walked,
}

impl HeldRepository {
    /// Opens the repository; `None` if it is one of those that `up` makes. One holder may hold it alone.
    pub(crate) fn open(directory: &Path) -> Result<Option<Self>, TufError> {
        let repository = Repository::at(directory);
        // The other kind of repository has its own words for what is wrong.
        let Ok(roots) = repository.roots() else { return Ok(None) };
        let Some(newest) = roots.last() else { return Ok(None) };
        if Document::parse(Role::Root, newest.document().bytes().to_vec()).is_some_and(|root| is_of_one_machine(&root))
        {
            return Ok(None);
        }
        let walked = read(&repository)?;
        Ok(Some(Self { repository, walked }))
    }

    /// Whether root and targets are good now: clients would refuse them otherwise.
    pub(crate) fn check_live(&self, now: Timestamp) -> Result<(), TufError> {
        for (role, expired_at) in self.expiries().into_iter().take(2) {
            if expired_at <= now {
                return Err(TufError::Expired { role, expired_at });
            }
        }
        Ok(())
    }

    /// Refuses a key that clients do not accept for snapshot and timestamp, before anything is signed with it.
    pub(crate) fn expect_online_key(&self, key: &PublicKey) -> Result<(), TufError> {
        let (root, fingerprint) = (self.walked.root.view(), Fingerprint::of(key));
        for role in [RoleType::Snapshot, RoleType::Timestamp] {
            if root.keys_of(role).all(|(_, known)| known.fingerprint() != Some(fingerprint)) {
                let expected: Vec<&str> = root.role(role).key_ids().iter().map(KeyId::as_str).collect();
                return Err(TufError::OnlineKey {
                    role: role.name(),
                    root: self.walked.root.version(),
                    expected: expected.join(", "),
                    found: self.id_of(key),
                });
            }
        }
        Ok(())
    }

    /// The id that a key has in the root, or would have there as the online one.
    fn id_of(&self, key: &PublicKey) -> String {
        let fingerprint = Fingerprint::of(key);
        let known = self.walked.root.view().keys().iter().find(|(_, known)| known.fingerprint() == Some(fingerprint));
        let online = || Key::of_owner(key, ONLINE).and_then(|key| key.computed_id().ok());
        let id = known.map(|(id, _)| id.clone()).or_else(online);
        // A key of another type has no place there at all.
        id.map_or_else(|| format!("none for a key of type {}", key.key_type()), |id| id.as_str().to_owned())
    }

    /// A target, if there is one of that name.
    pub(crate) fn target(&self, name: &str) -> Option<&[u8]> {
        self.walked.files.get(name).map(Vec::as_slice)
    }
}

#[async_trait]
impl Kept for HeldRepository {
    async fn refresh(&mut self, online: &dyn Signer, now: Timestamp) -> Result<(), TufError> {
        // The files are few and small, and are read once a minute: not worth a thread.
        let refreshed = self.repository.refresh(online, now).await;
        // What was published meanwhile is shown even if nothing can be signed over it.
        self.walked = read(&self.repository)?;
        if refreshed?.is_some() {
            let (version, expires) = (self.walked.timestamp.version(), self.walked.timestamp.expires());
            tracing::info!(version, %expires, "TUF timestamp signed");
        }
        Ok(())
    }

    fn expiries(&self) -> [(&'static str, Timestamp); 4] {
        let Walked { root, targets, snapshot, timestamp, .. } = &self.walked;
        [root.document(), targets, snapshot, timestamp]
            .map(|document| (document.role_type().name(), document.expires()))
    }

    fn overview(&self) -> Overview {
        let Walked { root, targets, snapshot, timestamp, .. } = &self.walked;
        let roles = [root.document(), targets, snapshot, timestamp].map(|document| {
            let role_type = document.role_type();
            let signer = |(id, key): (&KeyId, &Key)| Holder {
                name: key.owner().map(str::to_owned),
                key_id: id.as_str().to_owned(),
            };
            RoleOverview {
                role: role_type.name(),
                version: document.version(),
                expires: document.expires(),
                threshold: root.view().role(role_type).threshold(),
                holders: root.view().keys_of(role_type).map(signer).collect(),
            }
        });
        Overview { roles }
    }
}

fn read(repository: &Repository) -> Result<Walked, TufError> {
    let (_, walked) = repository.published()?.ok_or(CeremonyError::NothingPublished)?;
    Ok(walked)
}

#[cfg(test)]
pub(in crate::tuf) mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::Arc;

    use jiff::SignedDuration;
    use tempfile::TempDir;
    use touchmark_keys::KeyType;
    use touchmark_signers::EphemeralSigner;
    use touchmark_trust::ceremony::{
        Ceremony, Change, Clock, Enrolment, KnownRoot, ONLINE, Policy, Solo, sign, write_file,
    };

    use super::*;

    const HOLDERS: [&str; 2] = ["ann", "bob"];

    /// A ceremony of two, with their keys and the online one.
    pub(in crate::tuf) struct Held {
        directory: TempDir,
        ceremony: Ceremony,
        keys: BTreeMap<&'static str, Arc<EphemeralSigner>>,
        holders: &'static [&'static str],
        now: Timestamp,
    }

    impl Held {
        pub(in crate::tuf) async fn new() -> Self {
            Self::by(&HOLDERS, Solo::Refused).await
        }

        /// All of them have to sign.
        async fn by(holders: &'static [&'static str], solo: Solo) -> Self {
            let (directory, now) = (tempfile::tempdir().unwrap(), "2026-11-23T10:00:00Z".parse().unwrap());
            let names: Vec<String> = holders.iter().map(|&name| name.to_owned()).collect();
            let policy = Policy::new("example", &names, u32::try_from(holders.len()).unwrap(), solo).unwrap();
            let ceremony = Ceremony::init(directory.path(), &policy, Clock::Machine, now).unwrap();
            let mut keys = BTreeMap::new();
            for &holder in holders.iter().chain([&ONLINE]) {
                let key = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
                ceremony.enrol(&Enrolment::make("example", holder, &key).await.unwrap(), now).unwrap();
                keys.insert(holder, Arc::new(key));
            }
            let held = Self { directory, ceremony, keys, holders, now };
            held.publish(held.ceremony.first_change(String::new()).unwrap(), "one").await;
            held
        }

        async fn publish(&self, change: Change, content: &str) {
            let change = Change { set_targets: vec!["a.txt".to_owned()], ..change };
            let files = BTreeMap::from([("a.txt".to_owned(), content.as_bytes().to_vec())]);
            let event = self.ceremony.begin(change, files, self.now).unwrap();
            let known = event.base().map(|base| KnownRoot(touchmark_keys::sha256(base.root().document().bytes())));
            for &holder in self.holders {
                let signature = sign(event.known_to(known).unwrap(), holder, self.keys[holder].as_ref()).await.unwrap();
                let path = self.directory.path().join(format!("event/signatures/{holder}.json"));
                write_file(&path, &signature.to_json()).unwrap();
            }
            let planned = self.ceremony.plan(self.keys[ONLINE].as_ref(), self.now).await.unwrap();
            self.ceremony.publish(&planned, self.now).unwrap();
        }

        pub(in crate::tuf) fn open(&self) -> HeldRepository {
            HeldRepository::open(&self.path()).unwrap().unwrap()
        }

        pub(in crate::tuf) fn path(&self) -> PathBuf {
            self.ceremony.repository().directory().to_owned()
        }

        pub(in crate::tuf) fn online_key(&self) -> Arc<EphemeralSigner> {
            Arc::clone(&self.keys[ONLINE])
        }
    }

    #[tokio::test]
    async fn a_publication_is_taken_up_and_kept_fresh() {
        let held = Held::new().await;
        let mut repository = held.open();
        assert_eq!(repository.target("a.txt"), Some(b"one".as_slice()));
        held.publish(Change::none(String::new()), "two").await;
        let later = held.now + SignedDuration::from_hours(48);
        repository.refresh(held.keys[ONLINE].as_ref(), later).await.unwrap();
        assert_eq!(repository.target("a.txt"), Some(b"two".as_slice()));
        let [_, _, _, (role, expires)] = repository.expiries();
        assert_eq!((role, expires), ("timestamp", later + SignedDuration::from_hours(7 * 24)));
    }

    #[tokio::test]
    async fn no_timestamp_outlives_the_root_and_over_one_that_ended_nothing_is_signed() {
        let held = Held::new().await;
        let mut repository = held.open();
        let late = held.now + SignedDuration::from_hours(360 * 24);
        repository.check_live(late).unwrap();
        repository.refresh(held.keys[ONLINE].as_ref(), late).await.unwrap();
        let [(_, root), _, _, (_, timestamp)] = repository.expiries();
        assert_eq!(root, timestamp);
        let over = held.now + SignedDuration::from_hours(365 * 24);
        let refused = repository.refresh(held.keys[ONLINE].as_ref(), over).await.unwrap_err();
        assert!(refused.is_for_the_holders());
        assert_eq!(repository.target("a.txt"), Some(b"one".as_slice()));
        assert!(matches!(repository.check_live(over), Err(TufError::Expired { role: "root", .. })));
    }

    #[tokio::test]
    async fn what_one_holder_holds_alone_is_of_this_kind() {
        let held = Held::by(&["ann"], Solo::Allowed).await;
        let mut repository = held.open();
        repository.expect_online_key(held.keys[ONLINE].public_key()).unwrap();
        let later = held.now + SignedDuration::from_hours(48);
        repository.refresh(held.keys[ONLINE].as_ref(), later).await.unwrap();
        let [_, _, _, (_, expires)] = repository.expiries();
        assert_eq!(expires, later + SignedDuration::from_hours(7 * 24));
    }

    #[tokio::test]
    async fn another_key_than_the_online_one_is_refused_with_the_ids_of_both() {
        let held = Held::new().await;
        let repository = held.open();
        repository.expect_online_key(held.keys[ONLINE].public_key()).unwrap();
        let id = |owner: &str, key: &EphemeralSigner| {
            Key::of_owner(key.public_key(), owner).unwrap().computed_id().unwrap().as_str().to_owned()
        };
        let (stranger, online) =
            (EphemeralSigner::generate(KeyType::EcdsaP256).unwrap(), id(ONLINE, &held.keys[ONLINE]));
        for (key, found) in [(&*held.keys["ann"], id("ann", &held.keys["ann"])), (&stranger, id(ONLINE, &stranger))] {
            let Err(TufError::OnlineKey { role: "snapshot", root: 1, expected, found: said }) =
                repository.expect_online_key(key.public_key())
            else {
                panic!("{found}")
            };
            assert_eq!((expected, said), (online.clone(), found));
        }
        let other_type = EphemeralSigner::generate(KeyType::EcdsaP384).unwrap();
        let refused = repository.expect_online_key(other_type.public_key()).unwrap_err().to_string();
        assert!(refused.contains("none for a key of type"), "{refused}");
    }

    #[tokio::test]
    async fn the_repository_of_one_machine_is_not_of_this_kind() {
        let directory = tempfile::tempdir().unwrap();
        let key = || EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let (root, targets, online) = (key(), key(), key());
        let offline = crate::tuf::OfflineKeys { root: &root, targets: &targets };
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        crate::tuf::create(directory.path(), &offline, &online, &[], now).await.unwrap();
        assert!(HeldRepository::open(directory.path()).unwrap().is_none());
        assert!(HeldRepository::open(&directory.path().join("nothing")).unwrap().is_none());
    }
}
