// SPDX-License-Identifier: Apache-2.0
//! Handing a published repository on: to another directory, or to whatever keeps objects by name.
//!
//! In scope: what clients need of it, in the order that no client ever sees a half. Out of scope: how objects are stored (the implementer).
//! Invariants: what is handed on was verified from the first root on just before; a file that others name comes before them, the timestamp
//! last; a name that stands for one content is never given another; nothing is led back to an older timestamp. A crash leaves files that
//! nothing names yet; the next run finishes.

use async_trait::async_trait;
use jiff::Timestamp;

use super::publication::{CONTINUED_MAX, Repository, TIMESTAMP};
use super::{CeremonyError, files};
use crate::document::{Document, RoleType};
use crate::role::Root;
use crate::stated::TargetFile;
use crate::walk::{Memory, TARGET_BYTES_MAX};

/// Where files are kept under names with slashes.
///
/// An implementer owes: after `create` or `replace` has answered, every reader gets these bytes.
#[async_trait]
pub trait Objects: Send + Sync {
    /// What is there under a name, of at most so many bytes; `None` if nothing is.
    async fn read(&self, name: &str, bytes_max: usize) -> Result<Option<Object>, CeremonyError>;

    /// Writes what will never change. If something is there by now, an error.
    async fn create(&self, name: &str, bytes: &[u8]) -> Result<(), CeremonyError>;

    /// Writes what readers must ask for each time. If there is something else by now than was `seen`, an error.
    async fn replace(&self, name: &str, bytes: &[u8], seen: Option<&Object>) -> Result<(), CeremonyError>;
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bytes: Vec<u8>,
    /// What the store calls this state of it, where it has a name.
    pub tag: Option<String>,
}

/// Files with their names, those first that others name.
type InOrder = Vec<(String, Vec<u8>)>;

impl Repository {
    /// Hands on what is published; the names of the files that were not there yet.
    ///
    /// # Errors
    /// If what is published does not verify or clients would refuse it now, if a name stands for another content there, or its timestamp is
    /// newer; what came before stays, and nothing names it.
    pub async fn push(&self, to: &dyn Objects, now: Timestamp) -> Result<Vec<String>, CeremonyError> {
        let (newest, files) = self.in_order(now)?;
        let mut written = Vec::new();
        for (name, bytes) in files {
            let max = if name.starts_with("targets/") { TARGET_BYTES_MAX } else { RoleType::Targets.bytes_max() };
            let present = to.read(&name, max).await?;
            match present {
                Some(present) if present.bytes == bytes => continue,
                present if name == TIMESTAMP => {
                    expect_newer(&name, present.as_ref(), &bytes, &newest)?;
                    to.replace(&name, &bytes, present.as_ref()).await?;
                }
                Some(_) => return Err(CeremonyError::OtherContent { name }),
                None => to.create(&name, &bytes).await?,
            }
            written.push(name);
        }
        Ok(written)
    }

    /// The newest root, and every file that a client needs who knows any.
    fn in_order(&self, now: Timestamp) -> Result<(Root, InOrder), CeremonyError> {
        if self.note_path().exists() {
            return Err(CeremonyError::PublicationPending);
        }
        let (roots, walked) = self.published()?.ok_or(CeremonyError::NothingPublished)?;
        let newest = roots.last().cloned().ok_or(CeremonyError::NothingPublished)?;
        // A delegated role that has ended is handed on: clients refuse it alone.
        self.walk(newest.clone(), Memory::default(), now)?;
        let mut order = Vec::new();
        let delegated = walked.delegated.values().map(|role| (&role.document, &role.files));
        for (document, files) in [(&walked.targets, &walked.files)].into_iter().chain(delegated) {
            for file in TargetFile::all(document).map_err(CeremonyError::metadata("targets"))? {
                if let Some(bytes) = files.get(file.path()) {
                    order.push((file.served_as(), bytes.clone()));
                }
            }
        }
        let numbered = |name: &str, document: &Document| {
            (crate::walk::numbered(document.version(), name), document.bytes().to_vec())
        };
        order.extend(walked.delegated.iter().map(|(name, role)| numbered(name, &role.document)));
        order.push(numbered("targets", &walked.targets));
        order.push(numbered("snapshot", &walked.snapshot));
        order.extend(roots.iter().map(|root| numbered("root", root.document())));
        order.push((TIMESTAMP.to_owned(), walked.timestamp.bytes().to_vec()));
        Ok((newest, order))
    }
}

/// The timestamp is newer than the present one; or that one has a number that only a thief of an exchanged key gives.
fn expect_newer(name: &str, present: Option<&Object>, bytes: &[u8], newest: &Root) -> Result<(), CeremonyError> {
    let Some(present) = present else { return Ok(()) };
    let parse = |bytes: &[u8]| Document::parse(RoleType::Timestamp, bytes.to_vec());
    let present = parse(&present.bytes).map_err(CeremonyError::metadata(format!("the present {name}")))?;
    let (own, found) = (parse(bytes).map_err(CeremonyError::metadata(name))?.version(), present.version());
    let is_forgotten = found > CONTINUED_MAX && newest.view().verify(&present).is_err();
    if found < own || is_forgotten { Ok(()) } else { Err(CeremonyError::NewerThere { own, found }) }
}

#[async_trait]
impl Objects for Repository {
    async fn read(&self, name: &str, bytes_max: usize) -> Result<Option<Object>, CeremonyError> {
        let bytes = files::read_if_there(&self.directory().join(name), bytes_max)?;
        Ok(bytes.map(|bytes| Object { bytes, tag: None }))
    }

    async fn create(&self, name: &str, bytes: &[u8]) -> Result<(), CeremonyError> {
        self.put(name, bytes)
    }

    async fn replace(&self, name: &str, bytes: &[u8], _seen: Option<&Object>) -> Result<(), CeremonyError> {
        self.put(name, bytes)
    }
}

#[cfg(test)]
mod tests;
