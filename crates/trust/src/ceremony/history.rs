// SPDX-License-Identifier: Apache-2.0
//! What clients may still know: trust that was published before, read from the files that stay in the repository.
//!
//! In scope: which trusted root a client may have that asked some time ago. Out of scope: what follows from it (`rotation`).
//! Invariant: when something was published is read from the snapshot that was signed then, not from the event that was made before.

use jiff::{Timestamp, ToSpan as _};

use super::policy::Period;
use super::publication::Repository;
use super::{CeremonyError, files};
use crate::content::TRUSTED_ROOT;
use crate::document::{Document, RoleType};
use crate::role::Root;
use crate::stated::{Pin, TargetFile};
use crate::walk::{TARGET_BYTES_MAX, Walked, Wanted};

/// Most snapshots that are looked at: one comes with each publication, and the life of a timestamp is some days.
const SNAPSHOTS_MAX: u64 = 1024;

/// The oldest trusted root that a client may still go by.
pub(super) struct Earlier {
    pub(super) trusted_root: Vec<u8>,
    /// When what is published now was published.
    pub(super) published_at: Timestamp,
}

/// What a client may go by that came at `since`; `None` if that is what is published now.
pub(super) fn earlier(
    repository: &Repository,
    (roots, walked): &(Vec<Root>, Walked),
    since: Timestamp,
) -> Result<Option<Earlier>, CeremonyError> {
    let current = walked.targets.version();
    let (mut oldest, mut published_at) = (current, made_at(&walked.snapshot, roots));
    let newest = walked.snapshot.version();
    for version in (newest.saturating_sub(SNAPSHOTS_MAX).max(1)..=newest).rev() {
        let Some(snapshot) = read(repository, RoleType::Snapshot, version)? else { continue };
        // What was left by a crash is signed as well; what no root of ours knows is none of ours.
        if !roots.iter().any(|root| root.view().verify(&snapshot).is_ok()) {
            continue;
        }
        oldest = Pin::read(&snapshot, "targets.json").map_err(CeremonyError::metadata("a snapshot"))?.version;
        let made_at = made_at(&snapshot, roots);
        if oldest == current {
            published_at = made_at;
        }
        if made_at <= since {
            break;
        }
    }
    for version in oldest..current {
        if let Some(trusted_root) = trusted_root_of(repository, version)? {
            return Ok(Some(Earlier { trusted_root, published_at }));
        }
    }
    Ok(None)
}

fn made_at(snapshot: &Document, roots: &[Root]) -> Timestamp {
    let root = roots.last().map(|root| root.view().document());
    let period =
        root.map_or(Period::default_of(RoleType::Snapshot), |root| Period::of_online(root, RoleType::Snapshot));
    snapshot.expires().checked_sub((i64::from(period.expiry_days) * 24).hours()).unwrap_or(Timestamp::MIN)
}

fn trusted_root_of(repository: &Repository, version: u64) -> Result<Option<Vec<u8>>, CeremonyError> {
    let Some(targets) = read(repository, RoleType::Targets, version)? else { return Ok(None) };
    let all = TargetFile::all(&targets).map_err(CeremonyError::metadata("earlier targets"))?;
    let Some(file) = all.into_iter().find(|file| file.path() == TRUSTED_ROOT) else { return Ok(None) };
    repository.file(&Wanted { name: file.served_as(), bytes_max: TARGET_BYTES_MAX })
}

/// Metadata of that number, if it is there.
fn read(repository: &Repository, role_type: RoleType, version: u64) -> Result<Option<Document>, CeremonyError> {
    let name = format!("{version}.{role_type}.json");
    let bytes = files::read_if_there(&repository.directory().join(&name), role_type.bytes_max())?;
    bytes.map(|bytes| Document::parse(role_type, bytes)).transpose().map_err(CeremonyError::metadata(name))
}
