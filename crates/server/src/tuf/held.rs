// SPDX-License-Identifier: Apache-2.0
//! A repository that several hold: made and changed in ceremonies (docs/ceremony.md), served and kept fresh here.
//!
//! In scope: snapshot and timestamp. Out of scope: root and targets, whose keys nobody here has; a ceremony publishes into the directory while
//! this process runs.
//! Invariant: what is signed here was read and verified from the first root on just before, so that a publication is taken up by itself.

use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use touchmark_signers::Signer;
use touchmark_trust::ceremony::{CeremonyError, Repository};
use touchmark_trust::document::RoleType;
use touchmark_trust::walk::Walked;

use super::TufError;
use super::keeper::Kept;

/// The repository as it was last read.
pub(crate) struct HeldRepository {
    repository: Repository,
    walked: Walked,
}

impl HeldRepository {
    /// Opens the repository; `None` if a single key holds its root, as in the one that `up` makes.
    pub(crate) fn open(directory: &Path) -> Result<Option<Self>, TufError> {
        let repository = Repository::at(directory);
        let is_held = match repository.roots() {
            Ok(roots) => roots.last().is_some_and(|root| root.view().role(RoleType::Root).key_ids().len() > 1),
            // The other kind of repository has its own words for what is wrong.
            Err(_) => return Ok(None),
        };
        if !is_held {
            return Ok(None);
        }
        let walked = read(&repository)?;
        Ok(Some(Self { repository, walked }))
    }

    /// Whether root and targets are good now: clients would refuse them otherwise.
    pub(crate) fn check_live(&self, now: Timestamp) -> Result<(), TufError> {
        for (role, expired_at) in self.expiries().into_iter().take(2) {
            if expired_at <= now {
                return Err(TufError::Expired { role, expired_at });
            }
        }
        Ok(())
    }

    /// A target, if there is one of that name.
    pub(crate) fn target(&self, name: &str) -> Option<&[u8]> {
        self.walked.files.get(name).map(Vec::as_slice)
    }
}

#[async_trait]
impl Kept for HeldRepository {
    async fn refresh(&mut self, online: &dyn Signer, now: Timestamp) -> Result<(), TufError> {
        // The files are few and small, and are read once a minute: not worth a thread.
        let refreshed = self.repository.refresh(online, now).await;
        // What was published meanwhile is shown even if nothing can be signed over it.
        self.walked = read(&self.repository)?;
        if refreshed?.is_some() {
            let (version, expires) = (self.walked.timestamp.version(), self.walked.timestamp.expires());
            tracing::info!(version, %expires, "TUF timestamp signed");
        }
        Ok(())
    }

    fn expiries(&self) -> [(&'static str, Timestamp); 4] {
        let Walked { root, targets, snapshot, timestamp, .. } = &self.walked;
        [root.document(), targets, snapshot, timestamp].map(|document| (document.role_type().name(), document.expires()))
    }
}

fn read(repository: &Repository) -> Result<Walked, TufError> {
    let (_, walked) = repository.published()?.ok_or(CeremonyError::NothingPublished)?;
    Ok(walked)
}
