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

use jiff::Timestamp;
use serde_json::json;
use touchmark_keys::sha256;

use super::publication::{CONTINUED_MAX, Repository, TIMESTAMP};
use super::record::Log;
use super::{Ceremony, CeremonyError, files, hashes};
use crate::document::{Document, RoleType};
use crate::role::Root;
use crate::walk::{TARGET_BYTES_MAX, Walked, Wanted, numbered};

impl Ceremony {
    /// What is published, if that is what the ceremony log says was published: nothing lost, nothing older, nothing else; `None` where nothing is.
    ///
    /// # Errors
    /// What differs.
    pub fn published_as_recorded(&self) -> Result<Option<(Vec<Root>, Walked)>, CeremonyError> {
        let published = self.published()?;
        compare(&self.log()?.published(), &self.repository(), published.as_ref())?;
        Ok(published)
    }

    /// Writes into the ceremony log what is published, after the log was lost: from then on it is what was published. The names of the files.
    ///
    /// # Errors
    /// If what is published does not verify, or something is lost that the log knows.
    pub fn record_what_is_published(&self, now: Timestamp) -> Result<Vec<String>, CeremonyError> {
        self.expect_no_publication()?;
        let published = self.published()?.ok_or(CeremonyError::NothingPublished)?;
        let mut files = Repository::offline_files(&published.1)?;
        files.extend(published.0.iter().map(|root| {
            let document = root.document();
            (format!("{}.root.json", document.version()), document.bytes().to_vec())
        }));
        let hashes = hashes(&files);
        let log = self.log()?;
        let mut recorded = log.published();
        recorded.extend(hashes.iter().filter_map(|(name, hash)| Some((name.as_str(), hash.as_str()?))));
        compare(&recorded, &self.repository(), Some(&published))?;
        self.record(now, "found", json!({ "files": hashes }))?;
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }

    pub(super) fn log(&self) -> Result<Log, CeremonyError> {
        Log::read(&self.log_path())
    }

    /// Checks the ceremony log: how many lines there are, and the hash that commits to all of them.
    ///
    /// # Errors
    /// If a line was changed.
    pub fn check_log(&self) -> Result<(usize, [u8; 32]), CeremonyError> {
        self.log().map(|log| log.head())
    }

    /// How many bytes of a last line a crash left in the ceremony log; the next line takes their place.
    ///
    /// # Errors
    /// If a line was changed.
    pub fn torn_log_bytes(&self) -> Result<usize, CeremonyError> {
        self.log().map(|log| log.torn())
    }

    /// Checks that the ceremony log begins with an earlier copy of itself, which is kept where nobody can write it anew.
    ///
    /// # Errors
    /// If it does not.
    pub fn expect_log_begins_with(&self, earlier: &[u8]) -> Result<(), CeremonyError> {
        let log = files::read_if_there(&self.log_path(), files::FILE_BYTES_MAX)?.unwrap_or_default();
        // What a crash left of a last line is no line, neither then nor now.
        let whole = earlier.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole > 0 && log.starts_with(&earlier[..whole]) { Ok(()) } else { Err(CeremonyError::LogRewritten) }
    }
}

impl Repository {
    /// Where the ceremony's log lies beside the repository: nothing is signed over one that lacks what was published. What no line knows yet may be a
    /// publication that is being recorded.
    pub(super) fn expect_not_rolled_back(&self, published: &(Vec<Root>, Walked)) -> Result<(), CeremonyError> {
        let ceremony = self.directory().parent().filter(|directory| directory.join("ceremony.json").exists());
        let Some(ceremony) = ceremony.filter(|_| self.directory().ends_with("repository")) else { return Ok(()) };
        match compare(&Log::read(&ceremony.join("log.jsonl"))?.published(), self, Some(published)) {
            Err(CeremonyError::Unrecorded { .. }) => Ok(()),
            compared => compared,
        }
    }
}

/// The repository has every recorded file, nothing that is published is older than recorded, and all that holders signed is recorded.
///
/// # Errors
/// What differs.
fn compare(
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
    let delegated = walked.delegated.iter();
    let delegated = delegated.map(|(role, found)| numbered(found.document.version(), role));
    match roots.chain([targets]).chain(delegated).find(|name| !recorded.contains_key(name.as_str())) {
        Some(name) => Err(CeremonyError::Unrecorded { name }),
        None => Ok(()),
    }
}

fn expect_newest(recorded: &BTreeMap<&str, &str>, document: &Document) -> Result<(), CeremonyError> {
    let role = document.role_type().name();
    let version = |name: &&str| name.strip_suffix(".json")?.strip_suffix(role)?.strip_suffix('.')?.parse::<u64>().ok();
    // Numbers that a thief of the online key used up are not gone on from.
    let counts = |version: &u64| role != RoleType::Snapshot.name() || *version <= CONTINUED_MAX;
    let newest = recorded.keys().filter_map(version).filter(counts).max().unwrap_or(0);
    let found = document.version();
    if newest <= found { Ok(()) } else { Err(CeremonyError::RolledBack { role, recorded: newest, found }) }
}
