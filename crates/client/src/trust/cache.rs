// SPDX-License-Identifier: Apache-2.0
//! What is kept of one instance: the root that was pinned, and what earlier walks verified.
//!
//! ```text
//! pinned.root.json                 the root that the user named
//! metadata/root_history/N.root.json  the chain from it
//! metadata/{timestamp,snapshot,targets}.json, metadata/<role>.json, metadata/targets/…
//! metadata/seen/…                  what walks verified that came to no end since
//! refresh.lock, commit.lock        see `lock`
//! ```
//!
//! In scope: reading it as a repository of its own, and collecting in memory what a walk has verified until all of it can be written.
//! Out of scope: the walk, which believes nothing that it reads here.
//!
//! Invariants: only who holds `refresh.lock` writes, and what he writes was verified against what he read under the lock, so versions
//! only grow. A walk that fails writes the roots that it verified, and the rest aside, where the next walk over a network finds it: older
//! metadata are refused from then on, and a timestamp without its snapshot does not take the cache away from who reads offline. Readers take no lock: a set of files that verifies is good wherever it
//! comes from, and one that does not is read again between two writes. A crash while writing leaves a mix that does not verify; the
//! next refresh replaces it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error as TufError, FileStore, MetadataStore, Repository, TrustedMetadataSet};

use super::lock::{self, Held, Sharing, Waited};
use super::{PINNED_ROOT_FILE, TrustError, read, write};

/// No role's file is called so: those end in `.json`.
const SEEN_DIR: &str = "seen";

/// The directory of one instance.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    dir: PathBuf,
}

/// The cache as one walk sees it: each file is read once, and what the walk verified stands before what is on disk.
pub(super) struct Staged {
    disk: FileStore,
    /// Stands before `disk` where it is to be seen.
    seen: Option<FileStore>,
    files: Mutex<BTreeMap<String, StagedFile>>,
}

struct StagedFile {
    bytes: Option<Vec<u8>>,
    is_new: bool,
}

impl Cache {
    pub(super) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn pinned_path(&self) -> PathBuf {
        self.dir.join(PINNED_ROOT_FILE)
    }

    pub(super) fn pinned(&self) -> Result<Vec<u8>, TrustError> {
        read(&self.pinned_path())
    }

    pub(super) fn pin(&self, root: &[u8]) -> Result<(), TrustError> {
        write(&self.pinned_path(), root)
    }

    /// Whether anything was ever seen of the instance.
    pub(super) fn has_metadata(&self) -> bool {
        self.dir.join("metadata").exists()
    }

    /// What the last walk left that came to its end.
    pub(super) fn stage(&self) -> Arc<Staged> {
        Arc::new(Staged { disk: FileStore::new(self.dir.join("metadata")), seen: None, files: Mutex::default() })
    }

    /// The newest that any walk left: what a mirror must not go below.
    pub(super) fn stage_to_refresh(&self) -> Arc<Staged> {
        let (disk, seen) = (FileStore::new(self.dir.join("metadata")), FileStore::new(self.seen_dir()));
        Arc::new(Staged { disk, seen: Some(seen), files: Mutex::default() })
    }

    /// Waits until nobody else asks the mirror or imports.
    pub(super) async fn lock(&self, wait_max: Duration) -> Result<Waited, TrustError> {
        lock::alone(&self.refresh_lock(), wait_max).await
    }

    /// Waits until nobody is writing. Who waits in vain reads all the same: what is read is verified.
    pub(super) fn between_writes(&self) -> Option<Held> {
        lock::briefly(&self.dir.join("commit.lock"), Sharing::WithOthers).ok().flatten()
    }

    /// Writes all that a walk verified, the timestamp last.
    pub(super) fn commit(&self, staged: &Staged) -> Result<(), TrustError> {
        self.commit_roots(staged)?;
        let mut files = staged.news(|name| !is_root(name));
        files.sort_by_key(|(name, _)| (name == "timestamp.json", name == "snapshot.json"));
        let _held = lock::briefly(&self.dir.join("commit.lock"), Sharing::Alone)?;
        files.iter().try_for_each(|(name, bytes)| self.put(&staged.disk, name, bytes))?;
        self.forget_seen()
    }

    /// Writes the verified roots of a walk, whatever became of it.
    fn commit_roots(&self, staged: &Staged) -> Result<(), TrustError> {
        staged.news(is_root).iter().try_for_each(|(name, bytes)| self.put(&staged.disk, name, bytes))
    }

    /// Writes what a walk verified that came to no end: the roots, and the rest aside.
    pub(super) fn commit_seen(&self, staged: &Staged) -> Result<(), TrustError> {
        self.commit_roots(staged)?;
        let aside = FileStore::new(self.seen_dir());
        let files = staged.news(|name| !is_root(name) && !name.starts_with("targets/"));
        files.iter().try_for_each(|(name, bytes)| self.put(&aside, name, bytes))
    }

    /// A walk that came to its end has seen all of it.
    fn forget_seen(&self) -> Result<(), TrustError> {
        let path = self.seen_dir();
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(TrustError::File { path, doing: "removed", source: error })
            }
            _ => Ok(()),
        }
    }

    fn seen_dir(&self) -> PathBuf {
        self.dir.join("metadata").join(SEEN_DIR)
    }

    /// The pinned root and those that are kept of the chain from it, each verified by the one before.
    pub(super) fn chain(&self, pinned: VersionedRoot<'_>) -> Result<KnownChain, TrustError> {
        let staged = self.stage();
        let failed = |source| TrustError::Tuf { source: Box::new(source) };
        let mut chain = TrustedMetadataSet::from_root(pinned.bytes).map_err(failed)?;
        let mut roots = vec![pinned.bytes.to_vec()];
        loop {
            let name = format!("root_history/{}.root.json", chain.root().version.saturating_add(1));
            match staged.load(&name) {
                Ok(Some(next)) if chain.update_root(&next).is_ok() => roots.push(next),
                _ => return Ok(KnownChain { first: pinned.version, roots }),
            }
        }
    }

    /// Deletes what an attacker would want forgotten. The locks stay.
    pub(super) fn forget_unsafe(&self) -> Result<(), TrustError> {
        let failed = |path: &Path, source| TrustError::File { path: path.to_owned(), doing: "removed", source };
        let metadata = self.dir.join("metadata");
        if metadata.exists() {
            std::fs::remove_dir_all(&metadata).map_err(|source| failed(&metadata, source))?;
        }
        let pinned = self.pinned_path();
        if pinned.exists() {
            std::fs::remove_file(&pinned).map_err(|source| failed(&pinned, source))?;
        }
        Ok(())
    }

    fn refresh_lock(&self) -> PathBuf {
        self.dir.join("refresh.lock")
    }

    fn put(&self, files: &FileStore, name: &str, bytes: &[u8]) -> Result<(), TrustError> {
        files.store(name, bytes).map_err(|error| {
            let source = std::io::Error::other(error);
            TrustError::File { path: self.dir.join("metadata").join(name), doing: "written", source }
        })
    }
}

/// A root that holds by itself, with its version.
#[derive(Clone, Copy)]
pub(super) struct VersionedRoot<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) version: u64,
}

impl<'a> VersionedRoot<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, TrustError> {
        let set =
            TrustedMetadataSet::from_root(bytes).map_err(|source| TrustError::Tuf { source: Box::new(source) })?;
        Ok(Self { bytes, version: set.root().version })
    }
}

impl VersionedRoot<'_> {
    /// Whether this root's holders, and its own, have signed `next`.
    pub(super) fn is_followed_by(self, next: VersionedRoot<'_>) -> bool {
        TrustedMetadataSet::from_root(self.bytes).is_ok_and(|mut chain| chain.update_root(next.bytes).is_ok())
    }
}

/// Roots of one line without a gap; there is always one.
pub(super) struct KnownChain {
    first: u64,
    roots: Vec<Vec<u8>>,
}

impl KnownChain {
    pub(super) fn pinned(&self) -> VersionedRoot<'_> {
        self.at(self.first).expect("the chain begins with the pinned root")
    }

    pub(super) fn newest(&self) -> VersionedRoot<'_> {
        self.at(self.first + (self.roots.len() as u64 - 1)).expect("the chain is not empty")
    }

    pub(super) fn at(&self, version: u64) -> Option<VersionedRoot<'_>> {
        let place = usize::try_from(version.checked_sub(self.first)?).ok()?;
        Some(VersionedRoot { bytes: self.roots.get(place)?, version })
    }
}

fn is_root(name: &str) -> bool {
    name == "root.json" || name.starts_with("root_history/")
}

impl Staged {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, StagedFile>> {
        // A panic while it is held leaves no file half there.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self, of: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
        let files = self.files();
        let news = files.iter().filter(|(name, file)| file.is_new && of(name));
        news.filter_map(|(name, file)| Some((name.clone(), file.bytes.clone()?))).collect()
    }
}

impl MetadataStore for Staged {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, TufError> {
        if let Some(file) = self.files().get(name) {
            return Ok(file.bytes.clone());
        }
        let (mut bytes, mut is_new) = (self.disk.load(name)?, false);
        if let Some(seen) = &self.seen
            && !is_root(name)
            && let Some(aside) = seen.load(name)?
            // A crash while a commit was under way may have left older ones.
            && version(&aside) > bytes.as_deref().and_then(version)
        {
            // If the walk comes to its end with it, it is a part of the whole.
            (bytes, is_new) = (Some(aside), true);
        }
        self.files().insert(name.to_owned(), StagedFile { bytes: bytes.clone(), is_new });
        Ok(bytes)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        // The library keeps a copy of each snapshot under its version; one is enough.
        if unversioned(name) == Some("snapshot.json") || self.load(name)?.as_deref() == Some(bytes) {
            return Ok(());
        }
        self.files().insert(name.to_owned(), StagedFile { bytes: Some(bytes.to_vec()), is_new: true });
        Ok(())
    }
}

/// The cache as a repository: the files have other names there than a mirror gives them.
pub(super) struct FromCache(pub(super) Arc<Staged>);

impl FromCache {
    fn find(&self, names: &[Option<String>], bytes_max: u64) -> Result<Option<Vec<u8>>, TufError> {
        for name in names.iter().flatten() {
            match self.0.load(name)? {
                Some(bytes) if bytes.len() as u64 > bytes_max => {
                    return Err(TufError::transport(format!("cached {name} has more than {bytes_max} bytes")));
                }
                Some(bytes) => return Ok(Some(bytes)),
                None => {}
            }
        }
        Ok(None)
    }
}

impl Repository for FromCache {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let plain = unversioned(name);
        let found = match plain {
            Some("root.json") => self.find(&[Some(format!("root_history/{name}"))], max_length),
            _ => self.find(&[Some(name.to_owned()), plain.map(str::to_owned)], max_length),
        };
        Box::pin(async move { found })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let names = [Some(format!("targets/{path}")), unhashed(path).map(|path| format!("targets/{path}"))];
        let found = self.find(&names, max_length);
        Box::pin(async move { found })
    }
}

/// The version that metadata claim. The walk verifies what it makes use of.
fn version(metadata: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(metadata).ok()?;
    value.pointer("/signed/version")?.as_u64()
}

/// `7.snapshot.json` is `snapshot.json` of version 7.
fn unversioned(name: &str) -> Option<&str> {
    let (version, rest) = name.split_once('.')?;
    (!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

/// `a/<hash>.b` is target `a/b`.
fn unhashed(path: &str) -> Option<String> {
    let (directory, file) = path.rsplit_once('/').map_or(("", path), |(directory, file)| (directory, file));
    let (hash, name) = file.split_once('.')?;
    let is_hash = matches!(hash.len(), 64 | 128) && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let join = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
    is_hash.then_some(join)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("instance"));
        (dir, cache)
    }

    #[test]
    fn names_of_a_mirror_are_found_under_those_of_the_cache() {
        assert_eq!(unversioned("7.snapshot.json"), Some("snapshot.json"));
        assert_eq!(unversioned("timestamp.json"), None);
        assert_eq!(unversioned(".snapshot.json"), None);
        let hash = "ab".repeat(32);
        assert_eq!(unhashed(&format!("a/b/{hash}.c.json")).as_deref(), Some("a/b/c.json"));
        assert_eq!(unhashed(&format!("{hash}.c.json")).as_deref(), Some("c.json"));
        assert_eq!(unhashed("abcd.c.json"), None);
    }

    #[test]
    fn nothing_is_written_before_the_commit_and_a_failed_walk_writes_roots_and_the_rest_aside() {
        let (_dir, cache) = cache();
        let staged = cache.stage();
        for name in ["root_history/1.root.json", "root.json", "timestamp.json", "3.snapshot.json", "snapshot.json"] {
            staged.store(name, name.as_bytes()).unwrap();
        }
        let on_disk = |name: &str| cache.stage().load(name).unwrap();
        assert_eq!(on_disk("root.json"), None);
        cache.commit_seen(&staged).unwrap();
        assert!(on_disk("root.json").is_some() && on_disk("root_history/1.root.json").is_some());
        assert_eq!(on_disk("timestamp.json"), None);
        cache.commit(&staged).unwrap();
        assert_eq!(on_disk("timestamp.json").as_deref(), Some(&b"timestamp.json"[..]));
        assert!(on_disk("snapshot.json").is_some() && on_disk("3.snapshot.json").is_none());
        // What is the same is not written again.
        let again = cache.stage();
        again.store("timestamp.json", b"timestamp.json").unwrap();
        assert!(again.news(|_| true).is_empty());
    }

    #[test]
    fn what_was_put_aside_is_seen_by_the_next_refresh_and_is_a_part_of_what_that_writes() {
        let (_dir, cache) = cache();
        let of = |version: u32| format!(r#"{{"signed":{{"version":{version}}}}}"#).into_bytes();
        let failed = cache.stage_to_refresh();
        failed.store("timestamp.json", &of(2)).unwrap();
        cache.commit_seen(&failed).unwrap();
        assert_eq!(cache.stage().load("timestamp.json").unwrap(), None);
        let next = cache.stage_to_refresh();
        assert_eq!(next.load("timestamp.json").unwrap(), Some(of(2)));
        next.store("snapshot.json", &of(2)).unwrap();
        cache.commit(&next).unwrap();
        for name in ["timestamp.json", "snapshot.json"] {
            assert_eq!(cache.stage().load(name).unwrap(), Some(of(2)), "{name}");
        }
        assert!(!cache.seen_dir().exists());
        // Older ones, which a crash left, are not seen.
        let crashed = cache.stage_to_refresh();
        crashed.store("timestamp.json", &of(1)).unwrap();
        cache.commit_seen(&crashed).unwrap();
        assert_eq!(cache.stage_to_refresh().load("timestamp.json").unwrap(), Some(of(2)));
    }

    #[test]
    fn a_walk_sees_each_file_as_it_first_read_it() {
        let (_dir, cache) = cache();
        let writer = cache.stage();
        writer.store("timestamp.json", b"old").unwrap();
        cache.commit(&writer).unwrap();
        let reader = cache.stage();
        assert_eq!(reader.load("timestamp.json").unwrap().as_deref(), Some(&b"old"[..]));
        let writer = cache.stage();
        writer.store("timestamp.json", b"new").unwrap();
        cache.commit(&writer).unwrap();
        assert_eq!(reader.load("timestamp.json").unwrap().as_deref(), Some(&b"old"[..]));
        assert_eq!(cache.stage().load("timestamp.json").unwrap().as_deref(), Some(&b"new"[..]));
    }

    #[tokio::test]
    async fn the_cache_is_a_repository_with_delegated_roles_and_targets() {
        let (_dir, cache) = cache();
        let writer = cache.stage();
        let hash = "ab".repeat(32);
        let files = ["root_history/2.root.json", "targets.json", "team%2Fa.json", "targets/a/b.json"];
        files.iter().for_each(|name| writer.store(name, name.as_bytes()).unwrap());
        cache.commit(&writer).unwrap();
        let reader = FromCache(cache.stage());
        for (asked, file) in [
            ("2.root.json", files[0]),
            ("7.targets.json", files[1]),
            ("targets.json", files[1]),
            ("3.team%2Fa.json", files[2]),
        ] {
            assert_eq!(reader.fetch_metadata(asked, 64).await.unwrap().as_deref(), Some(file.as_bytes()), "{asked}");
        }
        assert_eq!(reader.fetch_metadata("3.root.json", 64).await.unwrap(), None);
        assert!(reader.fetch_metadata("targets.json", 3).await.is_err());
        let target = reader.fetch_target(&format!("a/{hash}.b.json"), 64).await.unwrap();
        assert_eq!(target.as_deref(), Some(files[3].as_bytes()));
    }

    #[tokio::test]
    async fn who_waits_for_a_lock_waits_for_a_time_and_is_told() {
        let (_dir, cache) = cache();
        let first = cache.lock(Duration::ZERO).await.unwrap();
        assert!(matches!(first, Waited::Held(_)));
        assert!(matches!(cache.lock(Duration::from_millis(50)).await.unwrap(), Waited::Busy));
        drop(first);
        assert!(matches!(cache.lock(Duration::ZERO).await.unwrap(), Waited::Held(_)));
    }
}
