// SPDX-License-Identifier: Apache-2.0
//! Publishing the targets of a delegated role: snapshot and timestamp over them, without root and targets.
//!
//! In scope: what is signed and in which order it is written. Out of scope: what holds of the delegated targets
//! ([`DelegatedVersion::expect_publishable`]).
//! Invariant: the same as of every publication: clients are sent through before anything is written.

use jiff::Timestamp;
use touchmark_signers::Signer;

use super::super::delegated::DelegatedVersion;
use super::{CeremonyError, Online, Publication, Repository, TIMESTAMP, expect_lasting, offline_end, pins};
use crate::document::{Document, RoleType};
use crate::role::Root;
use crate::walk::Walked;

/// Signs the snapshot that names the new targets of a delegated role, and the timestamp.
///
/// # Errors
/// If the targets do not hold, or a client would refuse the result.
pub(in crate::ceremony) async fn plan_delegated(
    version: &DelegatedVersion,
    published: &(Vec<Root>, Walked),
    repository: &Repository,
    online: &dyn Signer,
    now: Timestamp,
) -> Result<Publication, CeremonyError> {
    let (_, walked) = published;
    let view = walked.root.view();
    expect_lasting(view, &walked.targets, now)?;
    let online = Online { repository, signer: online, offline_end: offline_end(view, &walked.targets) };
    let end = online.end_of(RoleType::Timestamp, view, now);
    let versions = std::slice::from_ref(version);
    expect_publishable(versions, Some(walked), &walked.targets, end)?;
    let pinned = pins(&walked.targets, versions);
    let snapshot = online.next(RoleType::Snapshot, Some(&walked.snapshot), view, &pinned, now).await?;
    let before = Some(&walked.timestamp);
    let timestamp = online.next(RoleType::Timestamp, before, view, &pins(&snapshot, &[]), now).await?;
    let mut order = version.served()?;
    order.push((format!("{}.snapshot.json", snapshot.version()), snapshot.bytes().to_vec()));
    order.push((TIMESTAMP.to_owned(), timestamp.bytes().to_vec()));
    let publication = Publication { files: order };
    publication.expect_walkable(repository, Some(published), now)?;
    Ok(publication)
}

/// Every version may be published under these targets, beneath a timestamp that ends at `end`. A ceremony begins without delegated roles.
pub(super) fn expect_publishable(
    versions: &[DelegatedVersion],
    walked: Option<&Walked>,
    targets: &Document,
    end: Timestamp,
) -> Result<(), CeremonyError> {
    let Some(walked) = walked else {
        let first = versions.first();
        return first.map_or(Ok(()), |version| Err(CeremonyError::NoDelegation { role: version.role().to_owned() }));
    };
    versions.iter().try_for_each(|version| version.expect_publishable(walked, targets, end))
}
