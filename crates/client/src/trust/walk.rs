// SPDX-License-Identifier: Apache-2.0
//! Which repository a walk goes through, and what becomes of what it found: refreshing, reading the cache, falling back to it.
//!
//! Out of scope: the walk itself (crate `sigstore-tuf`) and the files (`cache`).
//! Invariants: of the processes that share a directory, one asks the mirror at a time; who waited takes what it found if it asked later
//! than he was told to. A cache that serves in a mirror's place was verified as of now, and its user is told.

use std::sync::Arc;

use jiff::Timestamp;
use sigstore_tuf::{Error as TufError, Repository, UpdaterConfig};
use touchmark_outbound::Outbound;
use url::Url;

use super::cache::{FromCache, Staged};
use super::documents::{TRUSTED_ROOT_TARGET, expect_readable};
use super::export::TrustExport;
use super::instances::InstanceName;
use super::line::ROOTS_MAX;
use super::lock::{REFRESH_WAIT_MAX, Waited};
use super::mirror::HttpMirror;
use super::{Instance, Stale, TrustError, TrustStore, VerifiedRepository};

/// Where metadata and targets come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Mirror(&'a Outbound),
    Carried(&'a TrustExport),
}

/// What it means that a verified walk cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Nothing is remembered that is not on disk.
    Demanded,
    /// What was verified may be used all the same; what was known before stays the floor.
    Tried,
}

/// The library's limits, with room for an old pinned root: each root is bounded, and verified before the next is asked for.
pub(super) fn limits() -> UpdaterConfig {
    let mut limits = UpdaterConfig::default();
    limits.max_root_rotations = ROOTS_MAX;
    limits
}

impl TrustStore {
    pub(super) fn repository(&self, source: Source<'_>, mirror: &Url) -> Result<Box<dyn Repository>, TrustError> {
        Ok(match source {
            Source::Mirror(outbound) => Box::new(self.mirror(outbound, mirror)?),
            Source::Carried(export) => Box::new(export.repository()),
        })
    }

    pub(super) fn mirror(&self, outbound: &Outbound, mirror: &Url) -> Result<HttpMirror, TrustError> {
        let targets = match &self.targets {
            Some(targets) => targets.clone(),
            None => {
                let text = format!("{}/targets", mirror.as_str().trim_end_matches('/'));
                Url::parse(&text).map_err(|_| TrustError::MirrorUnusable { url: text })?
            }
        };
        Ok(HttpMirror::new(outbound.clone(), mirror.clone(), targets, self.patience))
    }

    /// Walks with the memory of `name`, which grows by what is verified. Its caller holds the lock.
    pub(super) async fn walk_into(
        &self,
        name: &InstanceName,
        mirror: &Url,
        root: &[u8],
        source: Source<'_>,
        writing: Writing,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        let cache = self.cache(name);
        let staged = cache.stage_to_refresh();
        let repository = self.repository(source, mirror)?;
        match self.walk_targets(name, mirror, root, repository, Some(staged.clone()), now).await {
            Ok(repository) => match cache.commit(&staged) {
                Err(unwritten) if writing == Writing::Demanded => Err(unwritten),
                Err(unwritten) => {
                    tracing::warn!(%unwritten, "what was fetched is not remembered");
                    Ok(repository)
                }
                Ok(()) => Ok(repository),
            },
            Err(error) => {
                if self.is_line_of(name, root)
                    && let Err(unwritten) = cache.commit_seen(&staged)
                {
                    tracing::debug!(%unwritten, "what was verified is not remembered");
                }
                Err(error)
            }
        }
    }

    /// Only the line of roots that belongs to a name is remembered there: what was never pinned is nobody's.
    fn is_line_of(&self, name: &InstanceName, root: &[u8]) -> bool {
        match self.cache(name).pinned() {
            Ok(pinned) => pinned == root,
            Err(_) => self.built_in.is_line_of(name, root),
        }
    }

    /// The walk, with every target that is kept, so that the cache is whole or is not written. A target that is not what its name says is
    /// kept by nobody: it would replace one that is.
    pub(super) async fn walk_targets(
        &self,
        name: &InstanceName,
        mirror: &Url,
        root: &[u8],
        repository: Box<dyn Repository>,
        memory: Option<Arc<Staged>>,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        let mut repository = self.walk(name, mirror, root, repository, memory, now).await?;
        for target in &self.kept {
            match repository.target(target).await {
                Ok(bytes) => expect_readable(target, &bytes)?,
                // Without a signing config an instance serves to verify; without a trusted root, to nothing.
                Err(TrustError::TargetMissing { name }) if name != TRUSTED_ROOT_TARGET => {}
                Err(error) => return Err(error),
            }
        }
        Ok(repository)
    }

    /// The walk over what earlier walks left, without a lock. A refresh may be replacing the files meanwhile: what does not verify is read
    /// once more, between two writes.
    pub(super) async fn walk_cached(
        &self,
        name: &InstanceName,
        mirror: &Url,
        root: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        if let Ok(repository) = self.walk_once_cached(name, mirror, root, now).await {
            return Ok(repository);
        }
        let _between_writes = self.cache(name).between_writes();
        self.walk_once_cached(name, mirror, root, now).await.map_err(in_cache)
    }

    async fn walk_once_cached(
        &self,
        name: &InstanceName,
        mirror: &Url,
        root: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        let files = FromCache(self.cache(name).stage());
        let mut repository = self.walk(name, mirror, root, Box::new(files), None, now).await?;
        match repository.target(TRUSTED_ROOT_TARGET).await {
            Ok(_) | Err(TrustError::TargetMissing { .. }) => Ok(repository),
            Err(error) => Err(error),
        }
    }

    /// Asks the mirror, as far as the lock lets us.
    pub(super) async fn ask(
        &self,
        name: &InstanceName,
        mirror: &Url,
        root: &[u8],
        outbound: &Outbound,
        waited: &Waited,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        let source = Source::Mirror(outbound);
        match waited {
            Waited::Held(_) => self.walk_into(name, mirror, root, source, Writing::Tried, now).await,
            Waited::Unwritable => {
                let (repository, memory) = (self.repository(source, mirror)?, self.cache(name).stage_to_refresh());
                self.walk_targets(name, mirror, root, repository, Some(memory), now).await
            }
            Waited::Busy => Err(TrustError::MirrorUnreachable { mirror: mirror.clone(), source: Box::new(busy()) }),
        }
    }

    /// Asks the mirror of a known instance; where it cannot be reached, or another process is asking and asking, the cache serves.
    pub(super) async fn refresh(
        &self,
        name: &InstanceName,
        known: &Instance,
        root: &[u8],
        outbound: &Outbound,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        let cache = self.cache(name);
        let waited = cache.lock(REFRESH_WAIT_MAX).await?;
        let mut mirror = known.mirror.clone();
        if matches!(waited, Waited::Held(_)) {
            let Some(latest) = self.read_instance(name)? else {
                return Err(TrustError::InstanceUnknown { name: name.clone(), known: Vec::new() });
            };
            if latest.refreshed_at != known.refreshed_at
                && latest.refreshed_at >= now
                && let Ok(fresh) = self.walk_cached(name, &latest.mirror, root, now).await
            {
                return Ok(fresh);
            }
            mirror = latest.mirror;
        }
        match self.ask(name, &mirror, root, outbound, &waited, now).await {
            Ok(fresh) => {
                if matches!(waited, Waited::Held(_)) {
                    self.remember(name, &Instance { mirror, refreshed_at: now })?;
                }
                Ok(fresh)
            }
            Err(TrustError::MirrorUnreachable { mirror, source }) => {
                match self.walk_cached(name, &mirror, root, now).await {
                    Ok(repository) => {
                        Ok(VerifiedRepository { stale: Some(Stale { mirror, cause: source }), ..repository })
                    }
                    Err(_) => Err(TrustError::MirrorUnreachable { mirror, source }),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// A file that the cache lacks is no mirror that is away.
pub(super) fn in_cache(error: TrustError) -> TrustError {
    match error {
        TrustError::MirrorUnreachable { mirror, source } => TrustError::CacheIncomplete { mirror, source },
        other => other,
    }
}

/// Why the mirror was not asked.
fn busy() -> TufError {
    TufError::transport(format!("another process has been refreshing for {} seconds", REFRESH_WAIT_MAX.as_secs()))
}
