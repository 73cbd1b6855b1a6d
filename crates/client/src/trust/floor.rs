// SPDX-License-Identifier: Apache-2.0
//! The snapshot that was seen last is the floor of the next one, also where a walk was cut off between timestamp and snapshot.
//!
//! Spec: TUF 1.0.34 §5.5.5 (no role of the trusted snapshot goes back or disappears), §5.3.11 (a rotated key forgets it).
//! The walk (crate `sigstore-tuf`) compares with a cached snapshot only if the cached timestamp pins that very one. A mirror that gives a
//! new timestamp and withholds its snapshot would make it forget the floor, and whoever holds the online key could then take targets back.
//! In scope: that comparison, whatever the cached timestamp pins. Out of scope: whether the new snapshot is signed and fresh: the walk.
//! Invariants: a floor is metadata that the walk's present root verifies. One that it does not verify is none.

use std::sync::{Arc, Mutex, PoisonError};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Metadata, MetadataStore, Repository, Role, Root, Snapshot, Timestamp};

/// The memory of a walk, which also says what the floor is.
#[derive(Clone)]
pub(super) struct Floor<S> {
    memory: S,
    /// The newest root that the walk has verified: it writes each to its memory.
    root: Arc<Mutex<Option<Vec<u8>>>>,
}

/// A repository whose snapshots are compared with the floor before the walk sees them.
pub(super) struct AboveFloor<R, S> {
    repository: R,
    floor: Floor<S>,
}

impl<S: MetadataStore + Clone> Floor<S> {
    pub(super) fn of(memory: S) -> Self {
        Self { memory, root: Arc::default() }
    }

    pub(super) fn below<R>(&self, repository: R) -> AboveFloor<R, S> {
        AboveFloor { repository, floor: self.clone() }
    }

    /// What cannot be read is left to the walk, which refuses it.
    fn admit(&self, snapshot: Vec<u8>) -> Result<Vec<u8>, Error> {
        let (Some(seen), Ok(new)) = (self.seen(), Metadata::<Snapshot>::from_slice(&snapshot)) else {
            return Ok(snapshot);
        };
        for (file, pin) in &seen.signed().meta {
            match new.signed().meta.get(file) {
                Some(new) if new.version >= pin.version => {}
                Some(new) => {
                    let role = format!("{file} (via snapshot)");
                    return Err(Error::Rollback { role, trusted: pin.version, new: new.version });
                }
                None => {
                    let what = format!("snapshot removes {file}, which the trusted snapshot pins");
                    return Err(Error::IntegrityMismatch(what));
                }
            }
        }
        Ok(snapshot)
    }

    /// The last snapshot, if the present root verifies it and the timestamp beside it.
    fn seen(&self) -> Option<Metadata<Snapshot>> {
        let root = self.root.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let root = Metadata::<Root>::from_slice(&root).ok()?;
        self.verified::<Timestamp>(root.signed())?;
        self.verified::<Snapshot>(root.signed())
    }

    fn verified<T: Role>(&self, root: &Root) -> Option<Metadata<T>> {
        let bytes = self.memory.load(&format!("{}.json", T::TYPE)).ok()??;
        let metadata = Metadata::<T>::from_slice(&bytes).ok()?;
        metadata.verify_threshold(&root.keys, root.role(T::TYPE)?, T::TYPE).ok()?;
        Some(metadata)
    }
}

impl<S: MetadataStore> MetadataStore for Floor<S> {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.memory.load(name)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        if name == "root.json" {
            *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.to_vec());
        }
        self.memory.store(name, bytes)
    }
}

impl<R: Repository, S: MetadataStore + Clone> Repository for AboveFloor<R, S> {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move {
            let found = self.repository.fetch_metadata(name, max_length).await?;
            match found {
                Some(bytes) if is_snapshot(name) => self.floor.admit(bytes).map(Some),
                other => Ok(other),
            }
        })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        self.repository.fetch_target(path, max_length)
    }
}

/// `snapshot.json`, or with its version where the repository keeps consistent snapshots.
fn is_snapshot(name: &str) -> bool {
    let version = name.strip_suffix("snapshot.json").map(|version| version.strip_suffix('.').unwrap_or(version));
    version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
}
