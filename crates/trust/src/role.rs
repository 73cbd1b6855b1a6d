// SPDX-License-Identifier: Apache-2.0
//! Which keys sign for which role, and the root that says it.
//!
//! Spec: TUF 1.0.34 §4.3 (root), §5.3.4 (one vote for one key), §5.3.5 (the next root).
//! In scope: key lists of roles, signatures against a threshold, the step from one root to the next. Out of scope: expiry, which is no
//! property of a link of the chain.
//! Invariants: a [`Root`] is signed by its own keys; a threshold is at least one; signatures are counted by what the keys are, not by what
//! they are called, so that one key under two ids is one vote.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::MetadataError;
use crate::document::{Document, RoleType};
use crate::key::{Fingerprint, Key, KeyId};

/// Most keys in one map of keys: a hundred times those of the public instance.
const KEYS_MAX: usize = 1024;

/// The keys that metadata names, by their ids.
pub type Keys = BTreeMap<KeyId, Key>;

/// Reads a `keys` member.
pub(crate) fn keys(value: Option<&Value>) -> Result<Keys, MetadataError> {
    let objects = value.and_then(Value::as_object);
    let objects = objects.ok_or(MetadataError::Member { member: "keys", expected: "an object" })?;
    if objects.len() > KEYS_MAX {
        return Err(MetadataError::TooMany { member: "keys", max: KEYS_MAX, found: objects.len() });
    }
    objects.iter().map(|(id, object)| Ok((KeyId::read(id)?, Key::from_object(object.clone())?))).collect()
}

/// Who signs for a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    name: String,
    key_ids: Vec<KeyId>,
    threshold: u32,
}

impl RoleKeys {
    pub(crate) fn read(name: &str, value: &Value) -> Result<Self, MetadataError> {
        let listed = value.get("keyids").and_then(Value::as_array);
        let listed = listed.ok_or(MetadataError::Member { member: "keyids", expected: "a list" })?;
        if listed.len() > KEYS_MAX {
            return Err(MetadataError::TooMany { member: "keyids", max: KEYS_MAX, found: listed.len() });
        }
        let mut key_ids = Vec::with_capacity(listed.len());
        for id in listed {
            let key_id = KeyId::read(id.as_str().unwrap_or_default())?;
            if key_ids.contains(&key_id) {
                return Err(MetadataError::ListedTwice { role: name.to_owned(), key_id });
            }
            key_ids.push(key_id);
        }
        let threshold = value.get("threshold").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        match threshold {
            None => Err(MetadataError::Member { member: "threshold", expected: "a number" }),
            Some(0) => Err(MetadataError::ThresholdZero { role: name.to_owned() }),
            Some(threshold) => Ok(Self { name: name.to_owned(), key_ids, threshold }),
        }
    }

    #[must_use]
    pub fn key_ids(&self) -> &[KeyId] {
        &self.key_ids
    }

    #[must_use]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Who of the role has signed a document; each key once, whatever it is called.
    #[must_use]
    pub fn signers(&self, keys: &Keys, document: &Document) -> Signers {
        let mut signers = Signers { key_ids: Vec::new(), votes: BTreeSet::new() };
        for entry in document.signatures().iter().filter(|entry| self.key_ids.contains(&entry.key_id)) {
            let signed = keys.get(&entry.key_id).and_then(|key| key.signed(document.canonical(), &entry.signature));
            if let Some(vote) = signed
                && signers.votes.insert(vote)
            {
                signers.key_ids.push(entry.key_id.clone());
            }
        }
        signers
    }

    /// Enough of the role have signed the document.
    ///
    /// # Errors
    /// If they are below the threshold.
    pub fn verify(&self, keys: &Keys, document: &Document) -> Result<Signers, MetadataError> {
        let signers = self.signers(keys, document);
        if signers.votes.len() >= usize::try_from(self.threshold).unwrap_or(usize::MAX) {
            return Ok(signers);
        }
        Err(MetadataError::Threshold { role: self.name.clone(), needed: self.threshold, signed: signers.key_ids })
    }
}

/// Keys whose signatures of one document hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signers {
    key_ids: Vec<KeyId>,
    votes: BTreeSet<Fingerprint>,
}

impl Signers {
    #[must_use]
    pub fn key_ids(&self) -> &[KeyId] {
        &self.key_ids
    }

    /// How many different keys they are.
    #[must_use]
    pub fn votes(&self) -> usize {
        self.votes.len()
    }
}

/// What a root says; its signatures may still be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootView {
    document: Document,
    keys: Keys,
    /// In the order of [`RoleType::ALL`].
    roles: [RoleKeys; 4],
}

impl RootView {
    /// Reads what a root says.
    ///
    /// # Errors
    /// If a top-level role or a key of it cannot be read.
    pub fn read(document: Document) -> Result<Self, MetadataError> {
        let signed = document.signed();
        let keys = keys(signed.get("keys"))?;
        let role = |role_type: RoleType| {
            let role = signed.get("roles").and_then(|roles| roles.get(role_type.name()));
            RoleKeys::read(role_type.name(), role.ok_or(MetadataError::NoRole { role: role_type.name() })?)
        };
        let [root, targets, snapshot, timestamp] = RoleType::ALL.map(role);
        let roles = [root?, targets?, snapshot?, timestamp?];
        Ok(Self { keys, roles, document })
    }

    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    #[must_use]
    pub fn role(&self, role_type: RoleType) -> &RoleKeys {
        let [root, targets, snapshot, timestamp] = &self.roles;
        match role_type {
            RoleType::Root => root,
            RoleType::Targets => targets,
            RoleType::Snapshot => snapshot,
            RoleType::Timestamp => timestamp,
        }
    }

    /// The keys of a role that the root holds, with their ids.
    pub fn keys_of(&self, role_type: RoleType) -> impl Iterator<Item = (&KeyId, &Key)> {
        self.role(role_type).key_ids().iter().filter_map(|id| self.keys.get_key_value(id))
    }

    /// Whether files are named by their versions and targets by their hashes.
    #[must_use]
    pub fn has_consistent_snapshots(&self) -> bool {
        self.document.signed().get("consistent_snapshot").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Enough of a top-level role have signed the document.
    ///
    /// # Errors
    /// If they are below the threshold.
    pub fn verify(&self, document: &Document) -> Result<Signers, MetadataError> {
        self.role(document.role_type()).verify(&self.keys, document)
    }
}

/// A root that its own keys have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(RootView);

impl Root {
    /// Reads a root that is trusted for another reason than a chain: it was pinned.
    ///
    /// # Errors
    /// If it is not a root that its own keys have signed.
    pub fn pinned(bytes: Vec<u8>) -> Result<Self, MetadataError> {
        let view = RootView::read(Document::parse(RoleType::Root, bytes)?)?;
        view.verify(view.document())?;
        Ok(Self(view))
    }

    /// The next root: the next version, signed by enough of this root's keys and by enough of its own (§5.3.4, §5.3.5).
    ///
    /// # Errors
    /// Which of that is not so.
    pub fn next(&self, bytes: Vec<u8>) -> Result<Self, MetadataError> {
        let document = Document::parse(RoleType::Root, bytes)?;
        let expected = self.version() + 1;
        if document.version() != expected {
            return Err(MetadataError::Version { expected, found: document.version() });
        }
        self.0.verify(&document)?;
        let view = RootView::read(document)?;
        view.verify(view.document())?;
        Ok(Self(view))
    }

    #[must_use]
    pub fn view(&self) -> &RootView {
        &self.0
    }

    #[must_use]
    pub fn document(&self) -> &Document {
        self.0.document()
    }

    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.document().version()
    }
}

#[cfg(test)]
mod tests;
