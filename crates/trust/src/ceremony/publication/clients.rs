// SPDX-License-Identifier: Apache-2.0
//! The clients that are sent through a publication before it is written.
//!
//! In scope: walks over what will be there, of clients old and new. Out of scope: making the publication, writing it.
//! Invariant: what one of them would refuse is not published.

use jiff::{SignedDuration, Timestamp};

use super::{Publication, Repository, TIMESTAMP};
use crate::MetadataError;
use crate::ceremony::CeremonyError;
use crate::document::RoleType;
use crate::lint::{Severity, lint};
use crate::role::Root;
use crate::walk::{Memory, WalkError, Walked, Wanted, walk};

impl Publication {
    /// Sends clients through what will be published.
    pub(super) fn expect_walkable(
        &self,
        repository: &Repository,
        published: Option<&(Vec<Root>, Walked)>,
        now: Timestamp,
    ) -> Result<(), CeremonyError> {
        let fetch = |wanted: &Wanted| self.file(repository, wanted);
        let mut roots: Vec<Root> = published.map_or_else(Vec::new, |(roots, _)| roots.clone());
        if roots.is_empty() {
            roots.push(self.first_root(repository)?);
        }
        let send = |client: String, root: &Root, memory: Memory, at: Timestamp| {
            let walked = walk(root.clone(), memory, at, fetch);
            match walked {
                Err(CeremonyError::Walk(problem)) => Err(CeremonyError::Unwalkable { client, problem }),
                Ok(walked) => match walked.unsound.iter().find(|problem| !self.may_stay(problem)) {
                    Some(problem) => Err(CeremonyError::Unwalkable { client, problem: problem.clone() }),
                    None => Ok(walked),
                },
                Err(error) => Err(error),
            }
        };
        let first = &roots[0];
        let fresh = send("a new client".to_owned(), first, Memory::default(), now)?;
        for root in &roots[1..] {
            send(format!("a client that knows root {}", root.version()), root, Memory::default(), now)?;
        }
        if let Some((_, walked)) = published {
            send("a client with the last cache".to_owned(), &walked.root, walked.memory(), now)?;
        }
        let end = fresh.timestamp.expires().checked_sub(SignedDuration::from_secs(1)).unwrap_or(now);
        send("a client at the end of the timestamp's life".to_owned(), first, Memory::default(), end)?;
        // What was published before goes on: signing the timestamp no more would end it for everybody.
        let is_offline =
            |(name, _): &(String, Vec<u8>)| name.ends_with(".root.json") || name.ends_with(".targets.json");
        if !self.files.iter().any(is_offline) {
            return Ok(());
        }
        match lint(&fresh, now).into_iter().find(|finding| finding.severity() == Severity::Danger) {
            Some(finding) => Err(CeremonyError::Unsound { finding: finding.to_string() }),
            None => Ok(()),
        }
    }

    /// A delegated role that is published already and has ended. What is published now has not.
    fn may_stay(&self, WalkError { file, problem }: &WalkError) -> bool {
        matches!(problem, MetadataError::Expired { .. }) && self.files.iter().all(|(name, _)| name != file)
    }

    /// A noted publication leads on from what is there: its timestamp is newer, or is there already, and a new client can walk all of it.
    pub(super) fn expect_to_continue(&self, repository: &Repository) -> Result<(), CeremonyError> {
        let timestamp = Wanted { name: TIMESTAMP.to_owned(), bytes_max: RoleType::Timestamp.bytes_max() };
        if repository.file(&timestamp)? != self.file(repository, &timestamp)? {
            self.expect_newest(repository)?;
        }
        let fetch = |wanted: &Wanted| self.file(repository, wanted);
        let walked = walk(self.first_root(repository)?, Memory::default(), Timestamp::MIN, fetch)?;
        walked.unsound.first().map_or(Ok(()), |problem| Err(problem.clone().into()))
    }
}
