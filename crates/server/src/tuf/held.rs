// SPDX-License-Identifier: Apache-2.0
//! A repository that several hold: made and changed in ceremonies (docs/ceremony.md), served and kept fresh here.
//!
//! In scope: snapshot and timestamp. Out of scope: root and targets, whose keys nobody here has; a ceremony publishes into the directory while
//! this process runs.
//! Invariant: what is signed here was read and verified from the first root on just before, so that a publication is taken up by itself.

use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use touchmark_signers::Signer;
use touchmark_trust::ceremony::{CeremonyError, Repository};
use touchmark_trust::document::RoleType;
use touchmark_trust::walk::Walked;

use super::TufError;
use super::keeper::Kept;

/// The repository as it was last read.
pub(crate) struct HeldRepository {
    repository: Repository,
    walked: Walked,
}

impl HeldRepository {
    /// Opens the repository; `None` if a single key holds its root, as in the one that `up` makes.
    pub(crate) fn open(directory: &Path) -> Result<Option<Self>, TufError> {
        let repository = Repository::at(directory);
        let is_held = match repository.roots() {
            Ok(roots) => roots.last().is_some_and(|root| root.view().role(RoleType::Root).key_ids().len() > 1),
            // The other kind of repository has its own words for what is wrong.
            Err(_) => return Ok(None),
        };
        if !is_held {
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
        now: Timestamp,
    }

    impl Held {
        pub(in crate::tuf) async fn new() -> Self {
            let (directory, now) = (tempfile::tempdir().unwrap(), "2026-11-23T10:00:00Z".parse().unwrap());
            let policy = Policy::new("example", &HOLDERS.map(str::to_owned), 2, Solo::Refused).unwrap();
            let ceremony = Ceremony::init(directory.path(), &policy, Clock::Machine, now).unwrap();
            let mut keys = BTreeMap::new();
            for holder in [HOLDERS[0], HOLDERS[1], ONLINE] {
                let key = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
                ceremony.enrol(&Enrolment::make("example", holder, &key).await.unwrap(), now).unwrap();
                keys.insert(holder, Arc::new(key));
            }
            let held = Self { directory, ceremony, keys, now };
            held.publish(held.ceremony.first_change(String::new()).unwrap(), "one").await;
            held
        }

        async fn publish(&self, change: Change, content: &str) {
            let change = Change { set_targets: vec!["a.txt".to_owned()], ..change };
            let files = BTreeMap::from([("a.txt".to_owned(), content.as_bytes().to_vec())]);
            let event = self.ceremony.begin(change, files, self.now).unwrap();
            let known = event.base().map(|base| KnownRoot(touchmark_keys::sha256(base.root().document().bytes())));
            for holder in HOLDERS {
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
