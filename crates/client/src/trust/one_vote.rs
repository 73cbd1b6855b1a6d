// SPDX-License-Identifier: Apache-2.0
//! One key has one vote: a role that lists one key under two ids is refused.
//!
//! Spec: TUF 1.0.34 §5.3.4 (a threshold counts keys). Key ids are names that whoever wrote the metadata chose, and the walk (crate
//! `sigstore-tuf`) counts by them: who holds one key under two ids would meet a threshold of two alone.
//! In scope: every root, pinned, fetched or cached, and every delegation. Out of scope: signatures, versions, expiry: the walk.
//! Invariants: keys are compared by what the walk verifies with. A root that says one key twice ends the walk; a delegation that does
//! ends the search that comes to it, and hides no target that others state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Key, Metadata, MetadataStore, Repository, Root, Targets};

/// A role that lists one key under two ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{by} lists one key for the role {role} under two ids, {one} and {other}: its holder would be counted twice")]
pub struct KeyTwice {
    /// Which metadata says so: `root 7`, or the name of a targets file.
    pub by: String,
    pub role: String,
    pub one: String,
    pub other: String,
}

/// Whoever brings metadata to the walk, watched.
#[derive(Clone)]
pub(super) struct OneVote<T> {
    inner: T,
    delegations: Delegations,
}

/// What is known of delegations that say one key twice, by the file name of the role. One walk shares it.
#[derive(Clone, Default)]
pub(super) struct Delegations(Arc<Mutex<BTreeMap<String, KeyTwice>>>);

impl<T> OneVote<T> {
    pub(super) fn over(inner: T, delegations: &Delegations) -> Self {
        Self { inner, delegations: delegations.clone() }
    }
}

/// A root of which no role lists one key twice. What cannot be read is left to the walk, which refuses it.
pub(super) fn expect_of_root(bytes: &[u8]) -> Result<(), KeyTwice> {
    let Ok(metadata) = Metadata::<Root>::from_slice(bytes) else { return Ok(()) };
    let root = metadata.signed();
    for (role, listed) in &root.roles {
        expect_once(&format!("root {}", root.version), role, &listed.keyids, &root.keys)?;
    }
    Ok(())
}

fn expect_once(by: &str, role: &str, key_ids: &[String], keys: &BTreeMap<String, Key>) -> Result<(), KeyTwice> {
    let mut seen: BTreeMap<Vec<u8>, &String> = BTreeMap::new();
    for id in key_ids {
        let Some(content) = keys.get(id).and_then(content) else { continue };
        if let Some(one) = seen.insert(content, id).filter(|one| *one != id) {
            let (one, other) = (one.clone(), id.clone());
            return Err(KeyTwice { by: by.to_owned(), role: role.to_owned(), one, other });
        }
    }
    Ok(())
}

/// What makes a key this key, however its metadata write it; `None` for one that the walk cannot verify with, which never counts.
fn content(key: &Key) -> Option<Vec<u8>> {
    let verifying = key.verification_key().ok()?;
    let bytes = verifying.as_bytes();
    // SEC 1 §2.3.3: a point has two encodings, which share its first coordinate.
    let content = match bytes.first() {
        Some(4) if key.scheme.starts_with("ecdsa-") => &bytes[1..=bytes.len() / 2],
        Some(2 | 3) if key.scheme.starts_with("ecdsa-") => &bytes[1..],
        _ => bytes,
    };
    Some(content.to_vec())
}

impl Delegations {
    /// Notes what a targets role says of others.
    fn note(&self, file: &str, bytes: &[u8]) {
        let Ok(metadata) = Metadata::<Targets>::from_slice(bytes) else { return };
        let Some(delegations) = &metadata.signed().delegations else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for role in &delegations.roles {
            if let Err(twice) = expect_once(file, &role.name, &role.keyids, &delegations.keys) {
                known.insert(quoted(&role.name), twice);
            }
        }
    }

    /// What a repository calls a role's file begins with its version, where it keeps consistent snapshots.
    fn expect_fit(&self, file: &str) -> Result<(), KeyTwice> {
        let stem = file.strip_suffix(".json").unwrap_or(file);
        let unversioned = stem.split_once('.').map_or(stem, |(_, role)| role);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(stem).or_else(|| known.get(unversioned)) {
            Some(twice) => Err(twice.clone()),
            None => Ok(()),
        }
    }

    fn watch(&self, file: &str, found: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Error> {
        if let Some(bytes) = &found
            && !matches!(file, "timestamp.json" | "snapshot.json")
        {
            expect_of_root(bytes).map_err(|twice| refusal(file, twice))?;
            self.note(file, bytes);
        }
        Ok(found)
    }
}

/// Percent-encoded as the walk does it, so that the names are equal (RFC 3986 §2.3).
fn quoted(role: &str) -> String {
    let mut name = String::with_capacity(role.len());
    for byte in role.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

/// The walk passes on what its transport says; [`KeyTwice::within`] finds it again.
fn refusal(file: &str, twice: KeyTwice) -> Error {
    Error::transport_with_source(format!("refusing {file}"), twice)
}

impl KeyTwice {
    pub(super) fn within(error: &Error) -> Option<&Self> {
        match error {
            Error::Transport { source: Some(source), .. } => source.downcast_ref(),
            _ => None,
        }
    }
}

impl<T: Repository> Repository for OneVote<T> {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            self.delegations.expect_fit(name).map_err(|twice| refusal(name, twice))?;
            self.delegations.watch(name, self.inner.fetch_metadata(name, max_length).await?)
        })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.inner.fetch_target(path, max_length)
    }
}

/// A cached root that says one key twice is as good as none: the walk asks the repository for it, and is refused there.
impl<T: MetadataStore> MetadataStore for OneVote<T> {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let found = self.inner.load(name)?;
        if name.starts_with("targets/") { Ok(found) } else { self.delegations.watch(name, found) }
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.inner.store(name, bytes)
    }
}
