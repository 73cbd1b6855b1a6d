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
    Err(TrustError::RootNotFound { mirror: mirror.clone(), sha256: hash, last: versions })
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
