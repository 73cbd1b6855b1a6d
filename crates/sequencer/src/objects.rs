// SPDX-License-Identifier: Apache-2.0
//! The seam to the store of what everybody may read: tiles, entry tiles, issuers, the published checkpoint.
//!
//! In scope: what an implementer owes. Out of scope: the file system driver (`fs_objects`); S3 and its kin (their issue).

use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use crate::entry::Blob;

/// The one object that changes.
pub const CHECKPOINT_NAME: &str = "checkpoint";

/// Objects by name. All but `checkpoint` are immutable.
///
/// What an implementer owes: an object is durable when [`create`](Objects::create) or [`replace`](Objects::replace) returns `Ok`, and
/// a reader sees either all of it or nothing (for `replace`: all of the old or all of the new). After an error the outcome is open.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Stores an immutable object. If it exists with the same bytes, that is success (and the object is durable then, too); with other
    /// bytes it is [`ObjectError::Differs`] and nothing is changed.
    async fn create(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError>;

    /// Stores immutable objects, each as by [`create`](Objects::create). All are durable when it returns `Ok`; until then any of them may be.
    async fn create_all(&self, objects: &[Arc<Blob>]) -> Result<(), ObjectError> {
        for object in objects {
            self.create(&object.name, &object.bytes).await?;
        }
        Ok(())
    }

    /// Stores an object in the place of an older one.
    async fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ObjectError>;

    /// The bytes of an object, or `None` if there is none.
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ObjectError>;
}

/// Why an object was not stored or read. The details are in the trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// It may work the next time.
    #[error("{name}: input or output failed: {kind}")]
    Io { name: String, kind: io::ErrorKind },
    /// The name exists with other bytes.
    #[error("{name} exists with other bytes")]
    Differs { name: String },
    /// The name is not one that an object can have.
    #[error("{name:?} is no object name")]
    Name { name: String },
}
