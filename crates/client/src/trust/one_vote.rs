// SPDX-License-Identifier: Apache-2.0
//! One key has one vote: a role that lists one key under two ids is refused.
//!
//! Spec: TUF 1.0.34 §5.3.4 (a threshold counts keys). Key ids are names that whoever wrote the metadata chose, and the walk (crate
//! `sigstore-tuf`) counts by them: who holds one key under two ids would meet a threshold of two alone.
//! In scope: every root, pinned, fetched or cached, and every delegation. Out of scope: signatures, versions, expiry: the walk.
//! Invariants: keys are compared by what the walk verifies with. A root that says one key twice ends the walk; a delegation that does
//! ends the search that goes through it, and hides no target that others state. Nothing is concluded from metadata that are not verified.

use std::collections::{BTreeMap, BTreeSet};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Key, Metadata, MetadataStore, Repository, Root, TrustedMetadataSet};

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

/// Whoever brings roots to the walk, watched.
#[derive(Clone)]
pub(super) struct OneVote<T>(pub(super) T);

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

/// What a search for `path` came through, as far as the walk knows it: each delegation on the way to it, and only those, has to list its keys
/// once. A role is judged for each who delegates to it: what one says of its keys is nothing to another.
pub(super) fn expect_of_delegations(trusted: &TrustedMetadataSet, path: &str) -> Result<(), KeyTwice> {
    let mut ways = vec!["targets"];
    let mut seen: BTreeSet<&str> = ways.iter().copied().collect();
    while let Some(by) = ways.pop() {
        let Some(delegations) = trusted.targets_role(by).and_then(|targets| targets.delegations.as_ref()) else {
            continue;
        };
        // A role that nobody came to was not counted, and one that is called like a top-level one is ignored.
        let followed = delegations.roles.iter().filter(|role| {
            !TOP_LEVEL.contains(&role.name.as_str())
                && trusted.targets_role(&role.name).is_some()
                && role.matches_path(path).unwrap_or(false)
        });
        for role in followed {
            expect_once(&format!("{by}.json"), &role.name, &role.keyids, &delegations.keys)?;
            if seen.insert(&role.name) {
                ways.push(&role.name);
            }
        }
    }
    Ok(())
}

const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

fn watch(file: &str, found: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Error> {
    if let Some(bytes) = &found
        && file.ends_with("root.json")
    {
        expect_of_root(bytes).map_err(|twice| refusal(file, twice))?;
    }
    Ok(found)
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
        Box::pin(async move { watch(name, self.0.fetch_metadata(name, max_length).await?) })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.0.fetch_target(path, max_length)
    }
}

/// A cached root that says one key twice is as good as none: the walk asks the repository for it, and is refused there.
impl<T: MetadataStore> MetadataStore for OneVote<T> {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        watch(name, self.0.load(name)?)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.0.store(name, bytes)
    }
}
