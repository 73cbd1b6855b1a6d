// SPDX-License-Identifier: Apache-2.0
//! Why metadata is not believed.

use jiff::Timestamp;

use crate::document::RoleType;
use crate::key::KeyId;

/// Why a metadata file is not believed. Files are named as they are served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("metadata cannot hold a number that is not an integer of 64 bits")]
    NotAnInteger,
    #[error("the file has {found} bytes, over the limit of {max}")]
    TooLong { max: usize, found: usize },
    #[error("not JSON, or an object names a member twice: {message}")]
    NotJson { message: String },
    #[error("`{member}` is missing or not {expected}")]
    Member { member: &'static str, expected: &'static str },
    #[error("`_type` is {found:?}, expected {expected:?}")]
    Type { expected: &'static str, found: String },
    #[error("`{member}` has {found} entries, over the limit of {max}")]
    TooMany { member: &'static str, max: usize, found: usize },
    #[error("key id {key_id} signs twice")]
    SignedTwice { key_id: KeyId },
    #[error("role {role} lists key id {key_id} twice")]
    ListedTwice { role: String, key_id: KeyId },
    #[error("role {role} has threshold 0, so that nobody need sign it")]
    ThresholdZero { role: String },
    #[error("the root does not name the role {role}")]
    NoRole { role: &'static str },
    #[error("role {role} needs {needed} signatures of different keys; {} count: {}", signed.len(), list(signed))]
    Threshold { role: String, needed: u32, signed: Vec<KeyId> },
    #[error("version is {found}, expected {expected}")]
    Version { expected: u64, found: u64 },
    #[error(
        "version {found} of {role} is older than version {known}, which was seen before: the repository was rolled back"
    )]
    RolledBack { role: String, known: u64, found: u64 },
    #[error("{role} expired at {at}")]
    Expired { role: String, at: Timestamp },
    #[error("the file is missing")]
    Missing,
    #[error("the file does not have the length and hashes that {by} states")]
    Content { by: String },
    #[error("{by} does not name {name}, which it must")]
    NotNamed { by: &'static str, name: String },
    #[error("there are more than {max} {what}")]
    Limit { what: &'static str, max: usize },
}

impl MetadataError {
    pub(crate) fn expired(role: RoleType, at: Timestamp) -> Self {
        Self::Expired { role: role.name().to_owned(), at }
    }
}

fn list(key_ids: &[KeyId]) -> String {
    if key_ids.is_empty() {
        return "none".to_owned();
    }
    key_ids.iter().map(|id| id.short().to_owned()).collect::<Vec<_>>().join(", ")
}
