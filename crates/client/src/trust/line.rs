// SPDX-License-Identifier: Apache-2.0
//! Lines of roots: whether a root that a user names is of the line that is known under a name, and walking into the memory of that line.
//!
//! TUF specification 1.0.34, section 5.3: each root is signed by a threshold of the one before, so two roots are of one line if the chain
//! from one of them leads to the other.
//!
//! Invariants: what is known under a name is changed only by metadata of its line, from the root that was pinned first; a root of another
//! line is refused, or gets a name of its own. That a root is of another line is shown by roots that are known or verified, never by a
//! mirror that keeps some to itself or shows other ones: it would give a known instance a new name, and an empty memory with it.

use std::fmt;

use jiff::Timestamp;
use sigstore_tuf::{Repository, TrustedMetadataSet};
use touchmark_keys::sha256;
use url::Url;

use super::cache::{KnownChain, VersionedRoot};
use super::instances::{AsDefault, INSTANCES_MAX, InstanceName, read_if_there};
use super::lock::JOIN_WAIT_MAX;
use super::walk::{Source, Writing};
use super::{Instance, ROOT_BYTES_MAX, TrustError, TrustStore, VerifiedRepository};

/// Roots of one repository, as in python-tuf; the public one has fifteen after five years.
pub(super) const ROOTS_MAX: u32 = 256;
/// The oldest root that a repository still has may be as late as this.
const FIRST_ROOT_MAX: u32 = 32;

impl TrustStore {
    /// Walks into what is known under the name, if `root` is of the same line, and remembers the instance. What fails leaves no instance that was
    /// not there, and the default as it was.
    pub(super) async fn join(
        &self,
        mirror: &Url,
        root: &[u8],
        as_default: AsDefault,
        source: Source<'_>,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        let root = VersionedRoot::parse(root)?;
        if let Some(name) = &self.chosen {
            return self.join_as(name, mirror, root, as_default, source, now).await;
        }
        let of_mirror = InstanceName::of_mirror(mirror);
        // The built-in instance's memory is its own, too.
        let is_built_in = self.built_in.mirror().is_ok_and(|built_in| built_in == *mirror);
        let first = if is_built_in && !self.cache(&of_mirror).pinned_path().exists() { 2 } else { 1 };
        let mut undecided = None;
        for number in first..=INSTANCES_MAX {
            let name = of_mirror.numbered(number);
            // A name that nothing is known of is taken only if the root is of none that something is known of.
            if let Some(error) = undecided.take_if(|_| !self.cache(&name).pinned_path().exists()) {
                return Err(error);
            }
            match self.join_as(&name, mirror, root, as_default, source, now).await {
                Err(TrustError::OtherRoot { .. }) => {}
                Err(error @ TrustError::LineUnknown { .. }) => undecided = undecided.or(Some(error)),
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
        as_default: AsDefault,
        source: Source<'_>,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        if name.is_built_in() {
            return Err(TrustError::InstanceNameUnusable { text: name.to_string() });
        }
        let cache = self.cache(name);
        let _held = cache.lock(JOIN_WAIT_MAX).await?.expect_held(&self.dir.join(name.as_str()), JOIN_WAIT_MAX)?;
        let before = self.before(name)?;
        let pinned = match read_if_there(&cache.pinned_path())? {
            None => root.bytes.to_vec(),
            Some(pinned) => {
                let known = VersionedRoot::parse(&pinned)?;
                let repository = self.repository(source, mirror)?;
                expect_one_line(name, &cache.chain(known)?, root, repository.as_ref(), mirror).await?;
                pinned
            }
        };
        let refreshed_at = match (source, &before.instance) {
            (Source::Mirror(_), _) => now,
            (Source::Carried(_), Some(instance)) => instance.refreshed_at,
            (Source::Carried(_), None) => Timestamp::UNIX_EPOCH,
        };
        let walked = self.walk_into(name, mirror, &pinned, source, Writing::Demanded, now).await;
        let joined = walked.and_then(|repository| {
            cache.pin(&pinned)?;
            self.remember(name, &Instance { mirror: mirror.clone(), refreshed_at })?;
            self.make_default(name, as_default)?;
            Ok(repository)
        });
        if joined.is_err() {
            self.put_back(name, before);
        }
        joined
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

/// That `given` is of the line whose roots are known from the pinned one to the newest. The mirror is asked only for roots that nobody here
/// has seen.
async fn expect_one_line(
    name: &InstanceName,
    known: &KnownChain,
    given: VersionedRoot<'_>,
    repository: &dyn Repository,
    mirror: &Url,
) -> Result<(), TrustError> {
    let (pinned, newest) = (known.pinned(), known.newest());
    let outcome = if given.version > newest.version {
        lead(newest, given, repository, mirror).await?
    } else if given.version < pinned.version {
        lead(given, pinned, repository, mirror).await?
    } else if known.at(given.version).is_some_and(|root| root.bytes == given.bytes) {
        Lead::There
    } else {
        match known.at(given.version.saturating_sub(1)).is_some_and(|before| before.is_followed_by(given)) {
            true => return Err(TrustError::LineForked { name: name.clone(), version: given.version }),
            false => Lead::Elsewhere,
        }
    };
    let name = name.clone();
    match outcome {
        Lead::There => Ok(()),
        Lead::Elsewhere => {
            Err(TrustError::OtherRoot { name, pinned: sha256(pinned.bytes), given: sha256(given.bytes) })
        }
        Lead::Unseen { version, why } => {
            Err(TrustError::LineUnknown { name, given: given.version, newest: newest.version, version, why })
        }
    }
}

/// Where the chain of roots goes that begins with one.
#[derive(Debug, PartialEq, Eq)]
enum Lead {
    There,
    /// Every root on the way was verified, and the last does not accept the one in question.
    Elsewhere,
    /// It cannot be followed: which root is wanting.
    Unseen {
        version: u64,
        why: Unseen,
    },
}

/// Why a root between two others tells nothing about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// The mirror says that there is none.
    Withheld,
    /// The root before has not signed what the mirror shows.
    Unsigned,
    /// More roots lie between than a walk follows.
    TooFar,
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Withheld => f.write_str("is not there"),
            Self::Unsigned => f.write_str("is not signed by the holders of the one before"),
            Self::TooFar => write!(f, "is more than {ROOTS_MAX} versions away"),
        }
    }
}

/// Follows the chain from `start` to the version of `end`, over roots that the mirror shows.
async fn lead(
    start: VersionedRoot<'_>,
    end: VersionedRoot<'_>,
    repository: &dyn Repository,
    mirror: &Url,
) -> Result<Lead, TrustError> {
    if end.version - start.version > u64::from(ROOTS_MAX) {
        return Ok(Lead::Unseen { version: end.version, why: Unseen::TooFar });
    }
    let mut chain =
        TrustedMetadataSet::from_root(start.bytes).map_err(|source| TrustError::Tuf { source: Box::new(source) })?;
    for version in start.version + 1..end.version {
        let fetched = repository.fetch_metadata(&format!("{version}.root.json"), ROOT_BYTES_MAX).await;
        let Some(root) = fetched.map_err(|source| TrustError::from_tuf(source, mirror))? else {
            return Ok(Lead::Unseen { version, why: Unseen::Withheld });
        };
        if chain.update_root(&root).is_err() {
            return Ok(Lead::Unseen { version, why: Unseen::Unsigned });
        }
    }
    Ok(if chain.update_root(end.bytes).is_ok() { Lead::There } else { Lead::Elsewhere })
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

    async fn leads(from: u64, to: &[u8], roots: &Roots) -> Lead {
        let from = public(from);
        let (from, to) = (VersionedRoot::parse(&from).unwrap(), VersionedRoot::parse(to).unwrap());
        lead(from, to, roots, &mirror()).await.unwrap()
    }

    /// The same root with another day of its end, which nobody has signed.
    fn changed(root: &[u8]) -> Vec<u8> {
        let mut root = root.to_vec();
        let place = root.windows(9).position(|window| window == b"\"expires\"").unwrap() + 14;
        root[place] ^= 1;
        root
    }

    #[tokio::test]
    async fn the_public_roots_are_one_line_and_a_changed_or_hidden_one_proves_nothing() {
        let whole = served(5..=15);
        for (from, to) in [(5, 15), (9, 11), (14, 15)] {
            assert_eq!(leads(from, &public(to), &whole).await, Lead::There, "{from} to {to}");
        }
        // The next one needs no mirror: both are at hand.
        assert_eq!(leads(14, &public(15), &served(0..0)).await, Lead::There);
        for version in 6..=14 {
            let hidden = served((5..=15).filter(|other| *other != version));
            let expected = Lead::Unseen { version, why: Unseen::Withheld };
            assert_eq!(leads(5, &public(15), &hidden).await, expected, "{version}");
            let mut lying = served(5..=15);
            lying.0.insert(format!("{version}.root.json"), changed(&public(version)));
            let expected = Lead::Unseen { version, why: Unseen::Unsigned };
            assert_eq!(leads(5, &public(15), &lying).await, expected, "{version}");
        }
    }

    #[tokio::test]
    async fn a_root_is_found_by_its_hash_also_where_the_oldest_are_put_away() {
        let roots = served(5..=15);
        assert_eq!(find_root(&roots, sha256(&public(12)), &mirror()).await.unwrap(), public(12));
        let refused = find_root(&roots, sha256(&public(4)), &mirror()).await;
        assert!(matches!(refused, Err(TrustError::RootNotFound { last: 15, .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn the_mirror_is_asked_for_no_root_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("a"));
        let history = dir.path().join("a/metadata/root_history");
        std::fs::create_dir_all(&history).unwrap();
        for version in [6, 7, 8, 10] {
            std::fs::write(history.join(format!("{version}.root.json")), public(version)).unwrap();
        }
        let (name, pinned) = (InstanceName::parse("a").unwrap(), public(5));
        let known = cache.chain(VersionedRoot::parse(&pinned).unwrap()).unwrap();
        // A gap ends what is known; nothing but what the roots before accept is.
        assert_eq!((known.pinned().version, known.newest().version), (5, 8));
        let check = async |root: Vec<u8>, roots: &Roots| {
            let root = VersionedRoot::parse(&root).unwrap();
            expect_one_line(&name, &known, root, roots, &mirror()).await
        };
        let nothing = served(0..0);
        for version in 5..=9 {
            check(public(version), &nothing).await.unwrap();
        }
        check(public(11), &served([9, 10].into_iter())).await.unwrap();
        let hidden = check(public(11), &served(5..=9)).await;
        assert!(
            matches!(
                hidden,
                Err(TrustError::LineUnknown { given: 11, newest: 8, version: 10, why: Unseen::Withheld, .. })
            ),
            "{hidden:?}"
        );
    }
}
