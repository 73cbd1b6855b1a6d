// SPDX-License-Identifier: Apache-2.0
//! The TUF repository that hands the trust root to clients (TUF specification 1.0.34).
//!
//! In scope: writing signed metadata ([`metadata`]), the repository on disk ([`repository`]), serving it
//! ([`serve`]) with a page for people ([`overview`]), keeping snapshot and timestamp fresh while the server runs ([`keeper`]), also of a repository that several hold ([`held`]).
//! Out of scope: walking a repository as a client does, and ceremonies with several holders (crate `trust`).
//! Invariants: root and targets are signed only inside [`repository::Repository::publish`] and [`repository::create`], whose
//! callers hold the offline keys no longer than that; `timestamp.json` is written last, so that a client never sees a half.

mod held;
mod keeper;
mod metadata;
mod overview;
mod repository;
mod serve;

pub(crate) use held::HeldRepository;
pub(crate) use keeper::{Kept, keep_fresh};
pub(crate) use overview::{Shown, router as overview_router};
pub(crate) use repository::{OfflineKeys, PreparedTargets, Repository, Target, create};
pub(crate) use serve::router;

use std::path::PathBuf;

use touchmark_signers::SignerError;

use crate::durable::FileError;

/// Why the repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TufError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not metadata of the role that its name says.
    #[error("{} is not TUF metadata of role {role}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The role that its name says.
        role: &'static str,
    },
    /// A file is not signed by the key that the root names for its role.
    #[error("{} is not signed by the {role} key that the root names", path.display())]
    NotSigned {
        /// The file.
        path: PathBuf,
        /// The role whose key has not signed.
        role: &'static str,
    },
    /// A target is not what the targets role says.
    #[error("{} does not have the length and SHA-256 that the targets role states", path.display())]
    TargetChanged {
        /// The file.
        path: PathBuf,
    },
    /// The targets role does not know a file that it must.
    #[error("the TUF repository has no target {name}")]
    NoTarget {
        /// The file.
        name: &'static str,
    },
    /// The directory holds no root.
    #[error("{} holds no 1.root.json", path.display())]
    NoRoot {
        /// The repository.
        path: PathBuf,
    },
    /// Targets that were signed elsewhere do not follow the published ones, or name other files than those that came with them.
    #[error(
        "the targets of version {found} do not follow the published ones as version {expected}; something else was published: try again"
    )]
    NotTheNext {
        /// The version that can be published.
        expected: u64,
        /// The version that came.
        found: u64,
    },
    /// Metadata that only the offline keys can renew has expired.
    #[error("the {role} role of the TUF repository expired at {expired_at}; only its offline key can renew it")]
    Expired {
        /// The role.
        role: &'static str,
        /// When it expired.
        expired_at: jiff::Timestamp,
    },
    /// The key at hand is not the one that the root names for a role.
    #[error("the key given for the {role} role is not the one that the root names")]
    ForeignKey {
        /// The role.
        role: &'static str,
    },
    /// The key that is to sign snapshot and timestamp is not one that clients accept for them.
    #[error(
        "`online_key` is not the key that the root (version {root}) names for the {role} role: expected key id {expected}, found {found}; give the key that the root names, or have a root published that names this one"
    )]
    OnlineKey {
        /// The role.
        role: &'static str,
        /// The version of the root.
        root: u64,
        /// The ids that the root names for the role.
        expected: String,
        /// The id of the key at hand.
        found: String,
    },
    /// Metadata cannot be written in its canonical form.
    #[error(transparent)]
    Canonical(#[from] touchmark_trust::MetadataError),
    /// A repository that several hold does not verify, or its online roles could not be signed.
    #[error(transparent)]
    Held(#[from] touchmark_trust::ceremony::CeremonyError),
    /// A key did not sign.
    #[error("a TUF key did not sign: {0}")]
    Signer(#[from] SignerError),
}

impl TufError {
    /// Whether only the holders of root and targets can mend it.
    pub(crate) fn is_for_the_holders(&self) -> bool {
        matches!(self, Self::Held(touchmark_trust::ceremony::CeremonyError::Ended { .. }))
    }
}

#[cfg(test)]
mod tests;
