// SPDX-License-Identifier: Apache-2.0
//! Lines of roots: whether a root that a user names is of the line that is known under a name, and walking into the memory of that line.
//!
//! TUF specification 1.0.34, section 5.3: each root is signed by a threshold of the one before, so two roots are of one line if the chain
//! from one of them leads to the other.
//!
//! Invariants: what is known under a name is changed only by metadata of its line, from the root that was pinned first; a root of another
//! line is refused, or gets a name of its own. A mirror that does not show the roots between two proves nothing about them.

use jiff::Timestamp;
use sigstore_tuf::{Repository, TrustedMetadataSet};
use touchmark_keys::sha256;
use url::Url;

use super::cache::VersionedRoot;
use super::instances::{INSTANCES_MAX, InstanceName, read_if_there};
use super::lock::JOIN_WAIT_MAX;
use super::walk::{Source, Writing};
use super::{Instance, ROOT_BYTES_MAX, TrustError, TrustStore, VerifiedRepository};

/// Roots of one repository, as in python-tuf; the public one has fifteen after five years.
pub(super) const ROOTS_MAX: u32 = 256;
/// The oldest root that a repository still has may be as late as this.
const FIRST_ROOT_MAX: u32 = 32;

impl TrustStore {
    /// Walks into what is known under the name, if `root` is of the same line, and remembers the instance.
    pub(super) async fn join(
        &self,
        mirror: &Url,
        root: &[u8],
        source: Source<'_>,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        let root = VersionedRoot::parse(root)?;
        if let Some(name) = &self.chosen {
            return self.join_as(name, mirror, root, source, now).await;
        }
        let of_mirror = InstanceName::of_mirror(mirror);
        // The built-in instance's memory is its own, too.
        let is_built_in = self.built_in.mirror().is_ok_and(|built_in| built_in == *mirror);
        let first = if is_built_in && !self.cache(&of_mirror).pinned_path().exists() { 2 } else { 1 };
        for number in first..=INSTANCES_MAX {
            match self.join_as(&of_mirror.numbered(number), mirror, root, source, now).await {
                Err(TrustError::OtherRoot { .. }) => {}
                other => return other,
            }
        }
        Err(TrustError::TooManyInstances { count_max: INSTANCES_MAX })
    }

    async fn join_as(
        &self,
        name: &InstanceName,
        mirror: &Url,
        root: VersionedRoot<'_>,
        source: Source<'_>,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        if name.is_built_in() {
            return Err(TrustError::InstanceNameUnusable { text: name.to_string() });
        }
        let cache = self.cache(name);
        let _held = cache.lock(JOIN_WAIT_MAX).await?.expect_held(&self.dir.join(name.as_str()), JOIN_WAIT_MAX)?;
        let pinned = match read_if_there(&cache.pinned_path())? {
            None => root.bytes.to_vec(),
            Some(pinned) => {
                let known = VersionedRoot::parse(&pinned)?;
                let repository = self.repository(source, mirror)?;
                let is_same = cache.is_known(root, known)
                    || leads_to(known, root, repository.as_ref(), mirror).await?
                    || leads_to(root, known, repository.as_ref(), mirror).await?;
                if !is_same {
                    let (pinned, given) = (sha256(known.bytes), sha256(root.bytes));
                    return Err(TrustError::OtherRoot { name: name.clone(), pinned, given });
                }
                pinned
            }
        };
        let before = self.read_instance(name)?;
        let repository = self.walk_into(name, mirror, &pinned, source, Writing::Demanded, now).await?;
        cache.pin(&pinned)?;
        let refreshed_at = match source {
            Source::Mirror(_) => now,
            Source::Carried(_) => before.map_or(Timestamp::UNIX_EPOCH, |instance| instance.refreshed_at),
        };
        self.remember(name, &Instance { mirror: mirror.clone(), refreshed_at })?;
        Ok(repository)
    }
}

/// The root of a repository that has this hash: the chain is looked through from its first root on.
pub(super) async fn find_root(
    repository: &dyn Repository,
    hash: [u8; 32],
    mirror: &Url,
) -> Result<Vec<u8>, TrustError> {
    let mut versions = 0;
    for version in 1..=ROOTS_MAX {
        let fetched = repository.fetch_metadata(&format!("{version}.root.json"), ROOT_BYTES_MAX).await;
        match fetched.map_err(|source| TrustError::from_tuf(source, mirror))? {
            Some(root) if sha256(&root) == hash => return Ok(root),
            Some(_) => versions = version,
            // A repository may have put its oldest roots away; a chain that has begun has no gaps.
            None if versions == 0 && version < FIRST_ROOT_MAX => {}
            None => break,
        }
    }
    Err(TrustError::RootNotFound { sha256: hash, last: versions })
}

/// Whether the chain of roots from `start` has `end` in it. A mirror that does not show the roots between proves nothing.
async fn leads_to(
    start: VersionedRoot<'_>,
    end: VersionedRoot<'_>,
    repository: &dyn Repository,
    mirror: &Url,
) -> Result<bool, TrustError> {
    if start.version >= end.version || end.version - start.version > u64::from(ROOTS_MAX) {
        return Ok(start.bytes == end.bytes);
    }
    let mut chain =
        TrustedMetadataSet::from_root(start.bytes).map_err(|source| TrustError::Tuf { source: Box::new(source) })?;
    for version in start.version + 1..end.version {
        let fetched = repository.fetch_metadata(&format!("{version}.root.json"), ROOT_BYTES_MAX).await;
        let Some(root) = fetched.map_err(|source| TrustError::from_tuf(source, mirror))? else { return Ok(false) };
        if chain.update_root(&root).is_err() {
            return Ok(false);
        }
    }
    Ok(chain.update_root(end.bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sigstore_tuf::transport::FetchFuture;

    use super::*;
    use crate::trust::cache::Cache;

    /// Roots alone, under the names of a mirror.
    struct Roots(BTreeMap<String, Vec<u8>>);

    impl Repository for Roots {
        fn fetch_metadata<'a>(&'a self, name: &'a str, _max_length: u64) -> FetchFuture<'a> {
            let found = self.0.get(name).cloned();
            Box::pin(async move { Ok(found) })
        }

        fn fetch_target<'a>(&'a self, _path: &'a str, _max_length: u64) -> FetchFuture<'a> {
            Box::pin(async move { Ok(None) })
        }
    }

    /// A root of the public-good instance.
    fn public(version: u64) -> Vec<u8> {
        let history = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../shared/vectors/sigstore-tuf-repository/metadata/root_history"
        );
        std::fs::read(format!("{history}/{version}.root.json")).unwrap()
    }

    fn mirror() -> Url {
        Url::parse("https://tuf.example/").unwrap()
    }

    fn served(versions: impl Iterator<Item = u64>) -> Roots {
        Roots(versions.map(|version| (format!("{version}.root.json"), public(version))).collect())
    }

    async fn leads(from: &[u8], to: &[u8], roots: &Roots) -> bool {
        let (from, to) = (VersionedRoot::parse(from).unwrap(), VersionedRoot::parse(to).unwrap());
        leads_to(from, to, roots, &mirror()).await.unwrap()
    }

    #[tokio::test]
    async fn the_public_roots_are_one_line_and_a_changed_or_hidden_one_breaks_it() {
        let whole = served(5..=15);
        for (from, to, expected) in [(5, 15, true), (14, 15, true), (9, 9, true), (15, 5, false)] {
            assert_eq!(leads(&public(from), &public(to), &whole).await, expected, "{from} to {to}");
        }
        // The next one needs no mirror: both are at hand.
        assert!(leads(&public(14), &public(15), &served(0..0)).await);
        assert!(!leads(&public(5), &public(15), &served((5..=15).filter(|version| *version != 9))).await);
        for version in 6..=14 {
            let mut changed = served(5..=15);
            let root = changed.0.get_mut(&format!("{version}.root.json")).unwrap();
            let place = root.windows(9).position(|window| window == b"\"expires\"").unwrap() + 14;
            root[place] ^= 1;
            assert!(!leads(&public(5), &public(15), &changed).await, "{version}");
        }
    }

    #[tokio::test]
    async fn a_root_is_found_by_its_hash_also_where_the_oldest_are_put_away() {
        let roots = served(5..=15);
        assert_eq!(find_root(&roots, sha256(&public(12)), &mirror()).await.unwrap(), public(12));
        let refused = find_root(&roots, sha256(&public(4)), &mirror()).await;
        assert!(matches!(refused, Err(TrustError::RootNotFound { last: 15, .. })), "{refused:?}");
    }

    #[test]
    fn a_root_is_known_if_what_is_kept_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("a"));
        let history = dir.path().join("a/metadata/root_history");
        std::fs::create_dir_all(&history).unwrap();
        for version in [6, 7, 9] {
            std::fs::write(history.join(format!("{version}.root.json")), public(version)).unwrap();
        }
        let pinned = public(5);
        let pinned = VersionedRoot::parse(&pinned).unwrap();
        for (version, expected) in [(5, true), (7, true), (8, false), (9, false)] {
            let root = public(version);
            assert_eq!(cache.is_known(VersionedRoot::parse(&root).unwrap(), pinned), expected, "{version}");
        }
    }
}
