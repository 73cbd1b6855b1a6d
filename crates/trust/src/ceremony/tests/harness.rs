// SPDX-License-Identifier: Apache-2.0
//! A ceremony with holders whose keys live in memory, at any time of a made-up clock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use jiff::{Timestamp, ToSpan as _};
use touchmark_keys::KeyType;
use touchmark_signers::EphemeralSigner;

use super::super::*;
use crate::key::Fingerprint;
use crate::role::Root;
use crate::walk::{Memory, Walked};

/// 2026-11-23T10:00:00Z.
pub(in crate::ceremony) const NOW: Timestamp = Timestamp::constant(1795428000, 0);

pub(super) fn days_later(days: i64) -> Timestamp {
    NOW.checked_add((days * 24).hours()).unwrap()
}

pub(in crate::ceremony) struct Party {
    directory: tempfile::TempDir,
    ceremony: Ceremony,
    keys: RefCell<BTreeMap<String, Arc<EphemeralSigner>>>,
}

/// The public trusted root, with a member that nobody knows: another content for each note.
pub(in crate::ceremony) fn trusted_root(note: &str) -> Vec<u8> {
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository/targets");
    let text = std::fs::read_to_string(format!("{public}/trusted_root.json")).unwrap();
    let note = serde_json::to_string(note).unwrap();
    text.replacen('{', &format!("{{\"note\":{note},"), 1).into_bytes()
}

impl Party {
    /// Everybody has enrolled.
    pub(super) async fn of(holders: &[&str], threshold: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let names: Vec<String> = holders.iter().map(|name| (*name).to_owned()).collect();
        let solo = if threshold == 1 { Solo::Allowed } else { Solo::Refused };
        let policy = Policy::new("example", &names, threshold, solo).unwrap();
        let ceremony = Ceremony::init(directory.path(), &policy, Clock::Machine, NOW).unwrap();
        let party = Self { directory, ceremony, keys: RefCell::new(BTreeMap::new()) };
        for holder in holders.iter().chain([&ONLINE]) {
            party.enrol(holder).await;
        }
        party
    }

    /// The first root is published, with one target.
    pub(in crate::ceremony) async fn published(holders: &[&str], threshold: u32, now: Timestamp) -> Self {
        let party = Self::of(holders, threshold).await;
        let event = party.begin(party.first(), now);
        party.signed_by(&event, holders).await;
        party.publish(now).await.unwrap();
        party
    }

    pub(in crate::ceremony) fn ceremony(&self) -> &Ceremony {
        &self.ceremony
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new key for a holder, old or new.
    pub(super) async fn enrol(&self, holder: &str) {
        let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let enrolment = Enrolment::make("example", holder, &signer).await.unwrap();
        let _ = std::fs::remove_file(self.path(&format!("holders/{holder}.json")));
        self.ceremony.enrol(&enrolment, NOW).unwrap();
        self.keys.borrow_mut().insert(holder.to_owned(), Arc::new(signer));
    }

    pub(super) fn key(&self, holder: &str) -> Arc<EphemeralSigner> {
        Arc::clone(&self.keys.borrow()[holder])
    }

    pub(super) fn fingerprint(&self, holder: &str) -> Fingerprint {
        use touchmark_signers::Signer as _;
        Fingerprint::of(self.key(holder).public_key())
    }

    pub(super) fn files(&self, content: &str) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([(TRUSTED_ROOT.to_owned(), trusted_root(content))])
    }

    pub(super) fn first(&self) -> Change {
        let change = self.ceremony.first_change("the first root".to_owned()).unwrap();
        Change { set_targets: vec!["trusted_root.json".to_owned()], ..change }
    }

    pub(in crate::ceremony) fn change_targets(&self, note: &str) -> Change {
        Change { set_targets: vec!["trusted_root.json".to_owned()], ..Change::none(note.to_owned()) }
    }

    /// Begins an event; the content of the target is the note of the change, or `one` at the first.
    pub(in crate::ceremony) fn begin(&self, change: Change, now: Timestamp) -> Event {
        self.try_begin(change, now).unwrap()
    }

    pub(super) fn try_begin(&self, change: Change, now: Timestamp) -> Result<Event, CeremonyError> {
        let files = match (change.set_targets.is_empty(), change.online_key.is_some()) {
            (true, _) => BTreeMap::new(),
            (false, true) => self.files("one"),
            (false, false) => self.files(&change.note),
        };
        self.ceremony.begin(change, files, now)
    }

    pub(super) async fn signature(&self, event: &Event, holder: &str) -> Result<SignatureFile, CeremonyError> {
        let known = event.base().map(|base| KnownRoot(touchmark_keys::sha256(base.root().document().bytes())));
        sign(event.known_to(known)?, holder, &*self.key(holder)).await
    }

    pub(super) async fn sign(&self, event: &Event, holder: &str) {
        let signature = self.signature(event, holder).await.unwrap();
        let name = format!("event/signatures/{holder}-{:?}.json", self.fingerprint(holder));
        write_file(&self.path(&name), &signature.to_json()).unwrap();
    }

    pub(in crate::ceremony) async fn signed_by(&self, event: &Event, holders: &[&str]) {
        for holder in holders {
            self.sign(event, holder).await;
        }
    }

    pub(super) async fn plan(&self, now: Timestamp) -> Result<Publication, CeremonyError> {
        self.ceremony.plan(&*self.key(ONLINE), now).await
    }

    pub(in crate::ceremony) async fn publish(&self, now: Timestamp) -> Result<Published, CeremonyError> {
        let publication = self.plan(now).await?;
        self.ceremony.publish(&publication, now)
    }

    pub(super) async fn refresh(&self, now: Timestamp) -> Result<Option<Published>, CeremonyError> {
        self.ceremony.refresh(&*self.key(ONLINE), now).await
    }

    pub(super) async fn refresh_as_a_server_does(&self, now: Timestamp) -> Result<Option<Published>, CeremonyError> {
        self.ceremony.repository().refresh(&*self.key(ONLINE), now).await
    }

    /// The first root, which clients pin.
    pub(super) fn root(&self) -> Root {
        self.ceremony.repository().roots().unwrap().remove(0)
    }

    /// Walks as a client does that pinned the first root.
    pub(super) fn walk(&self, now: Timestamp, memory: Memory) -> Result<Walked, CeremonyError> {
        self.ceremony.repository().walk(self.root(), memory, now)
    }

    pub(super) fn base64(&self, bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }
}
