// SPDX-License-Identifier: Apache-2.0
//! The repository on disk: creating it, publishing new targets, signing snapshot and timestamp anew.
//!
//! In scope: the files of one directory with consistent snapshots: `N.root.json`, `N.targets.json`, `N.snapshot.json`,
//! `timestamp.json`, `targets/<sha256>.<name>`. Out of scope: HTTP ([`super::serve`]), when to renew ([`super::keeper`]).
//! Invariants: what was opened was verified from `1.root.json` on; files that no `timestamp.json` names are not yet
//! published, so that a crash leaves the old state, and the next publication writes the same names again.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use touchmark_keys::{PublicKey, sha256};
use touchmark_signers::Signer;

use super::TufError;
use super::keeper::Kept;
use super::metadata::{self, Document, Role, RoleKeys};
use super::overview::{Holder, Overview, RoleOverview};
use crate::durable::{self, Access};

/// The keys that stay away from the running server.
pub(crate) struct OfflineKeys<'a> {
    pub(crate) root: &'a dyn Signer,
    pub(crate) targets: &'a dyn Signer,
}

/// A file that clients fetch by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

impl Target {
    /// Its place under `targets/`.
    fn file_name(&self) -> String {
        format!("{}.{}", hex::encode(sha256(&self.bytes)), self.name)
    }
}

/// Targets that are signed and not yet published.
pub(crate) struct PreparedTargets {
    pub(crate) targets: Vec<Target>,
    /// The signed `N.targets.json`.
    pub(crate) metadata: Vec<u8>,
}

/// An opened repository; every file of it was verified.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    directory: PathBuf,
    keys: RoleKeys,
    root: Document,
    targets: Document,
    snapshot: Document,
    timestamp: Document,
}

/// Writes version 1 of everything into an empty directory.
pub(crate) async fn create(
    directory: &Path,
    offline: &OfflineKeys<'_>,
    online: &dyn Signer,
    targets: &[Target],
    now: Timestamp,
) -> Result<Repository, TufError> {
    durable::create_private_directory(&directory.join("targets"))?;
    let keys = RoleKeys {
        root: offline.root.public_key().clone(),
        targets: offline.targets.public_key().clone(),
        online: online.public_key().clone(),
    };
    let root = sign(Role::Root, &metadata::root(1, &keys, now)?, offline.root).await?;
    write_metadata(directory, "1.root.json", &root)?;
    let targets = new_targets(directory, 1, targets, offline.targets, now).await?;
    let snapshot = new_snapshot(directory, 1, &targets, online, now).await?;
    let end = timestamp_end(&root, &targets, now);
    let timestamp = new_timestamp(directory, 1, &snapshot, online, end).await?;
    Ok(Repository { directory: directory.to_owned(), keys, root, targets, snapshot, timestamp })
}

impl Repository {
    /// Opens a repository and verifies it as a client would, but for the expiry of what can be renewed.
    pub(crate) fn open(directory: &Path) -> Result<Self, TufError> {
        let (root, keys) = latest_root(directory)?;
        let timestamp = load(directory, "timestamp.json", Role::Timestamp, &keys)?;
        let name = format!("{}.snapshot.json", pinned(directory, &timestamp, "snapshot.json", Role::Timestamp)?);
        let snapshot = load(directory, &name, Role::Snapshot, &keys)?;
        if !timestamp.pins("snapshot.json", snapshot.version, &snapshot.bytes) {
            return Err(TufError::NotSigned { path: directory.join(name), role: Role::Timestamp.name() });
        }
        let name = format!("{}.targets.json", pinned(directory, &snapshot, "targets.json", Role::Snapshot)?);
        let targets = load(directory, &name, Role::Targets, &keys)?;
        if !snapshot.pins("targets.json", targets.version, &targets.bytes) {
            return Err(TufError::NotSigned { path: directory.join(name), role: Role::Snapshot.name() });
        }
        let repository = Repository { directory: directory.to_owned(), keys, root, targets, snapshot, timestamp };
        repository.check_target_files()?;
        Ok(repository)
    }

    /// The root of version 1, which clients are given out of band.
    pub(crate) fn first_root(&self) -> Result<Vec<u8>, TufError> {
        Ok(durable::read(&self.directory.join("1.root.json"))?)
    }

    /// The published content of a target.
    pub(crate) fn target(&self, name: &'static str) -> Result<Vec<u8>, TufError> {
        let missing = || TufError::NoTarget { name };
        let file = self.targets.signed.get("targets").and_then(|files| files.get(name)).ok_or_else(missing)?;
        let digest = file.get("hashes").and_then(|hashes| hashes.get("sha256")).and_then(serde_json::Value::as_str);
        let path = self.directory.join("targets").join(format!("{}.{name}", digest.ok_or_else(missing)?));
        Ok(durable::read(&path)?)
    }

    /// Refuses a repository whose offline roles have expired: clients would refuse it too.
    pub(crate) fn check_live(&self, now: Timestamp) -> Result<(), TufError> {
        for (role, document) in [(Role::Root, &self.root), (Role::Targets, &self.targets)] {
            if document.expires <= now {
                return Err(TufError::Expired { role: role.name(), expired_at: document.expires });
            }
        }
        Ok(())
    }

    /// Refuses a key that clients do not accept for snapshot and timestamp, before anything is signed with it.
    pub(crate) fn expect_online_key(&self, key: &PublicKey) -> Result<(), TufError> {
        if self.keys.online == *key {
            return Ok(());
        }
        let ((expected, _), (found, _)) = (metadata::key_object(&self.keys.online)?, metadata::key_object(key)?);
        Err(TufError::OnlineKey { role: Role::Timestamp.name(), root: self.root.version, expected, found })
    }

    /// Whether the offline keys have something to sign: other targets than the published ones, or a role in the second
    /// half of its life.
    pub(crate) fn needs_offline_keys(&self, targets: &[Target], now: Timestamp) -> bool {
        self.needs_targets(targets, now) || Role::Root.is_due(self.root.expires, now)
    }

    /// Publishes `targets`, and a new root if it is due.
    pub(crate) async fn publish(
        &mut self,
        offline: &OfflineKeys<'_>,
        online: &dyn Signer,
        targets: &[Target],
        now: Timestamp,
    ) -> Result<(), TufError> {
        self.expect_key(Role::Root, offline.root.public_key())?;
        self.expect_key(Role::Targets, offline.targets.public_key())?;
        self.expect_key(Role::Timestamp, online.public_key())?;
        // 1. A root stands for itself: clients find it by asking for the next number.
        if Role::Root.is_due(self.root.expires, now) {
            let version = self.root.version + 1;
            let root = sign(Role::Root, &metadata::root(version, &self.keys, now)?, offline.root).await?;
            write_metadata(&self.directory, &format!("{version}.root.json"), &root)?;
            self.root = root;
        }
        // 2. Targets, then what pins them, the timestamp last: a crash in between leaves the old timestamp, which names
        //    the old files, and these are never removed.
        if self.needs_targets(targets, now) {
            let version = self.targets.version + 1;
            let published = new_targets(&self.directory, version, targets, offline.targets, now).await?;
            let snapshot = new_snapshot(&self.directory, self.snapshot.version + 1, &published, online, now).await?;
            let end = timestamp_end(&self.root, &published, now);
            let timestamp = new_timestamp(&self.directory, self.timestamp.version + 1, &snapshot, online, end).await?;
            (self.targets, self.snapshot, self.timestamp) = (published, snapshot, timestamp);
        }
        Ok(())
    }

    /// Signs the next targets for another process to publish, which holds the online key and not the offline one. Nothing is written.
    pub(crate) async fn prepare(
        &self,
        targets_key: &dyn Signer,
        targets: Vec<Target>,
        now: Timestamp,
    ) -> Result<PreparedTargets, TufError> {
        self.expect_key(Role::Targets, targets_key.public_key())?;
        let signed = metadata::targets(self.targets.version + 1, contents(&targets), now);
        let document = sign(Role::Targets, &signed, targets_key).await?;
        Ok(PreparedTargets { targets, metadata: document.bytes })
    }

    /// Publishes targets that were signed elsewhere: the next version, signed by the targets key, naming exactly these files.
    ///
    /// Effect: as in [`Repository::publish`].
    pub(crate) async fn adopt(
        &mut self,
        prepared: PreparedTargets,
        online: &dyn Signer,
        now: Timestamp,
    ) -> Result<(), TufError> {
        self.expect_key(Role::Timestamp, online.public_key())?;
        let name = format!("{}.targets.json", self.targets.version + 1);
        let path = self.directory.join(&name);
        let not_signed = || TufError::NotSigned { path: path.clone(), role: Role::Targets.name() };
        let document = Document::parse(Role::Targets, prepared.metadata)
            .ok_or_else(|| TufError::Malformed { path: path.clone(), role: Role::Targets.name() })?;
        let _signed = document.signed_by(&self.keys.targets).ok_or_else(not_signed)?;
        let stated = metadata::targets(document.version, contents(&prepared.targets), now);
        if document.version != self.targets.version + 1 || stated.get("targets") != document.signed.get("targets") {
            return Err(TufError::NotTheNext { expected: self.targets.version + 1, found: document.version });
        }
        for target in &prepared.targets {
            durable::write(&self.directory.join("targets").join(target.file_name()), &target.bytes, Access::Public)?;
        }
        write_metadata(&self.directory, &name, &document)?;
        let snapshot = new_snapshot(&self.directory, self.snapshot.version + 1, &document, online, now).await?;
        let end = timestamp_end(&self.root, &document, now);
        let timestamp = new_timestamp(&self.directory, self.timestamp.version + 1, &snapshot, online, end).await?;
        (self.targets, self.snapshot, self.timestamp) = (document, snapshot, timestamp);
        Ok(())
    }

    /// Signs snapshot and timestamp anew if they are due; needs the online key alone. Over a root or targets that have ended nothing is signed.
    pub(crate) async fn refresh(&mut self, online: &dyn Signer, now: Timestamp) -> Result<(), TufError> {
        self.expect_key(Role::Timestamp, online.public_key())?;
        self.check_live(now)?;
        let snapshot_due = Role::Snapshot.is_due(self.snapshot.expires, now);
        if snapshot_due {
            let version = self.snapshot.version + 1;
            self.snapshot = new_snapshot(&self.directory, version, &self.targets, online, now).await?;
        }
        let end = timestamp_end(&self.root, &self.targets, now);
        // One that ends with the root cannot be made to last longer.
        let lasts_longer = end > self.timestamp.expires;
        if snapshot_due || (lasts_longer && Role::Timestamp.is_due(self.timestamp.expires, now)) {
            let version = self.timestamp.version + 1;
            self.timestamp = new_timestamp(&self.directory, version, &self.snapshot, online, end).await?;
            tracing::info!(version, expires = %self.timestamp.expires, "TUF timestamp signed");
        }
        Ok(())
    }

    fn needs_targets(&self, targets: &[Target], now: Timestamp) -> bool {
        let wanted = metadata::targets(self.targets.version, contents(targets), now);
        wanted.get("targets") != self.targets.signed.get("targets") || Role::Targets.is_due(self.targets.expires, now)
    }

    fn expect_key(&self, role: Role, key: &PublicKey) -> Result<(), TufError> {
        if self.keys.of(role) == key { Ok(()) } else { Err(TufError::ForeignKey { role: role.name() }) }
    }

    fn check_target_files(&self) -> Result<(), TufError> {
        let files = self.targets.signed.get("targets").and_then(serde_json::Value::as_object);
        for (name, file) in files.into_iter().flatten() {
            let stated = file.get("hashes").and_then(|hashes| hashes.get("sha256")).and_then(serde_json::Value::as_str);
            let stated = stated.unwrap_or_default();
            let path = self.directory.join("targets").join(format!("{stated}.{name}"));
            if hex::encode(sha256(&durable::read(&path)?)) != stated {
                return Err(TufError::TargetChanged { path });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Kept for Repository {
    async fn refresh(&mut self, online: &dyn Signer, now: Timestamp) -> Result<(), TufError> {
        Repository::refresh(self, online, now).await
    }

    fn expiries(&self) -> [(&'static str, Timestamp); 4] {
        let (root, targets) = (self.root.expires, self.targets.expires);
        let (snapshot, timestamp) = (self.snapshot.expires, self.timestamp.expires);
        [("root", root), ("targets", targets), ("snapshot", snapshot), ("timestamp", timestamp)]
    }

    fn overview(&self) -> Overview {
        let documents = [
            (Role::Root, &self.root),
            (Role::Targets, &self.targets),
            (Role::Snapshot, &self.snapshot),
            (Role::Timestamp, &self.timestamp),
        ];
        Overview {
            roles: documents.map(|(role, document)| RoleOverview {
                role: role.name(),
                version: document.version,
                expires: document.expires,
                threshold: 1,
                holders: metadata::key_object(self.keys.of(role))
                    .map(|(key_id, _)| vec![Holder { name: None, key_id }])
                    .unwrap_or_default(),
            }),
        }
    }
}

/// Walks the roots from version 1: each is signed by its own root key and by the one before.
fn latest_root(directory: &Path) -> Result<(Document, RoleKeys), TufError> {
    let mut latest: Option<(Document, RoleKeys)> = None;
    loop {
        let version = latest.as_ref().map_or(1, |(root, _)| root.version + 1);
        let path = directory.join(format!("{version}.root.json"));
        if !path.exists() {
            return latest.ok_or_else(|| TufError::NoRoot { path: directory.to_owned() });
        }
        let malformed = || TufError::Malformed { path: path.clone(), role: Role::Root.name() };
        let root = Document::parse(Role::Root, durable::read(&path)?).ok_or_else(malformed)?;
        let keys = RoleKeys::from_root(&root.signed).ok_or_else(malformed)?;
        let before = latest.as_ref().map_or(&keys.root, |(_, keys)| &keys.root);
        if root.version != version || root.signed_by(&keys.root).is_none() || root.signed_by(before).is_none() {
            return Err(TufError::NotSigned { path, role: Role::Root.name() });
        }
        latest = Some((root, keys));
    }
}

fn load(directory: &Path, name: &str, role: Role, keys: &RoleKeys) -> Result<Document, TufError> {
    let path = directory.join(name);
    let Some(document) = Document::parse(role, durable::read(&path)?) else {
        return Err(TufError::Malformed { path, role: role.name() });
    };
    match document.signed_by(keys.of(role)) {
        Some(_signed) => Ok(document),
        None => Err(TufError::NotSigned { path, role: role.name() }),
    }
}

fn pinned(directory: &Path, document: &Document, name: &str, role: Role) -> Result<u64, TufError> {
    let malformed = || TufError::Malformed { path: directory.join(format!("{}.json", role.name())), role: role.name() };
    document.pinned_version(name).ok_or_else(malformed)
}

fn contents(targets: &[Target]) -> impl Iterator<Item = (&str, &[u8])> {
    targets.iter().map(|target| (target.name, target.bytes.as_slice()))
}

async fn new_targets(
    directory: &Path,
    version: u64,
    targets: &[Target],
    signer: &dyn Signer,
    now: Timestamp,
) -> Result<Document, TufError> {
    for target in targets {
        durable::write(&directory.join("targets").join(target.file_name()), &target.bytes, Access::Public)?;
    }
    let document = sign(Role::Targets, &metadata::targets(version, contents(targets), now), signer).await?;
    write_metadata(directory, &format!("{version}.targets.json"), &document)?;
    Ok(document)
}

async fn new_snapshot(
    directory: &Path,
    version: u64,
    targets: &Document,
    signer: &dyn Signer,
    now: Timestamp,
) -> Result<Document, TufError> {
    let signed = metadata::snapshot(version, targets.version, &targets.bytes, now);
    let document = sign(Role::Snapshot, &signed, signer).await?;
    write_metadata(directory, &format!("{version}.snapshot.json"), &document)?;
    Ok(document)
}

/// The end of a timestamp that is signed now. It says that what the offline keys signed is good, so that it ends with that at the latest.
fn timestamp_end(root: &Document, targets: &Document, now: Timestamp) -> Timestamp {
    Role::Timestamp.expires(now).min(root.expires).min(targets.expires)
}

async fn new_timestamp(
    directory: &Path,
    version: u64,
    snapshot: &Document,
    signer: &dyn Signer,
    end: Timestamp,
) -> Result<Document, TufError> {
    let signed = metadata::timestamp(version, snapshot.version, &snapshot.bytes, end);
    let document = sign(Role::Timestamp, &signed, signer).await?;
    write_metadata(directory, "timestamp.json", &document)?;
    Ok(document)
}

async fn sign(role: Role, signed: &serde_json::Value, signer: &dyn Signer) -> Result<Document, TufError> {
    let bytes = metadata::sign(signed, signer).await?;
    Ok(Document::parse(role, bytes).expect("what was just written is metadata of its role"))
}

// A file of this size is written in well under a millisecond, at start or about once a day, so that it is not worth a thread.
fn write_metadata(directory: &Path, name: &str, document: &Document) -> Result<(), TufError> {
    Ok(durable::write(&directory.join(name), &document.bytes, Access::Public)?)
}

#[cfg(test)]
mod tests;
