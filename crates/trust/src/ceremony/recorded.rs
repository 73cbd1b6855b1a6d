// SPDX-License-Identifier: Apache-2.0
//! What is published, compared with what the ceremony log says was published.
//!
//! A repository that was put back from an older copy verifies, and so does one that lacks its newest root. Whoever went on from there would give
//! numbers a second time, and two contents under one number are a fork for clients.
//!
//! In scope: every file that a line of the log names; root, targets and files of targets that no line names. Out of scope: what the online
//! machine signs by itself; a ceremony directory that was put back as a whole, log and all, which an earlier copy of the log shows.
//! Invariant: no number of root and targets is given twice while the log is whole.

use std::collections::BTreeMap;

use touchmark_keys::sha256;

use super::CeremonyError;
use super::publication::{Repository, TIMESTAMP};
use crate::document::{Document, RoleType};
use crate::role::Root;
use crate::walk::{TARGET_BYTES_MAX, Walked, Wanted};

/// The repository has every recorded file, nothing that is published is older than recorded, and all that holders signed is recorded.
///
/// # Errors
/// What differs.
pub(super) fn compare(
    recorded: &BTreeMap<&str, &str>,
    repository: &Repository,
    published: Option<&(Vec<Root>, Walked)>,
) -> Result<(), CeremonyError> {
    for (name, hash) in recorded.iter().filter(|(name, _)| **name != TIMESTAMP) {
        let wanted = Wanted { name: (*name).to_owned(), bytes_max: TARGET_BYTES_MAX };
        let bytes = repository.file(&wanted)?.ok_or_else(|| CeremonyError::Lost { name: (*name).to_owned() })?;
        if hex::encode(sha256(&bytes)) != *hash {
            return Err(CeremonyError::NotAsRecorded { name: (*name).to_owned() });
        }
    }
    let Some((roots, walked)) = published else { return Ok(()) };
    for document in [walked.root.document(), &walked.targets, &walked.snapshot] {
        expect_newest(recorded, document)?;
    }
    let roots = roots.iter().map(|root| format!("{}.root.json", root.version()));
    let targets = format!("{}.{}.json", walked.targets.version(), RoleType::Targets);
    match roots.chain([targets]).find(|name| !recorded.contains_key(name.as_str())) {
        Some(name) => Err(CeremonyError::Unrecorded { name }),
        None => Ok(()),
    }
}

fn expect_newest(recorded: &BTreeMap<&str, &str>, document: &Document) -> Result<(), CeremonyError> {
    let role = document.role_type().name();
    let version = |name: &&str| name.strip_suffix(".json")?.strip_suffix(role)?.strip_suffix('.')?.parse::<u64>().ok();
    let newest = recorded.keys().filter_map(version).max().unwrap_or(0);
    let found = document.version();
    if newest <= found { Ok(()) } else { Err(CeremonyError::RolledBack { role, recorded: newest, found }) }
}
