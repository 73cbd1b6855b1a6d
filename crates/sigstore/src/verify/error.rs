// SPDX-License-Identifier: Apache-2.0
//! Why a bundle was refused: which check, what it expected, what it found, and a code that scripts may rely on.

use super::{ArtifactFailure, ChainFailure, LogFailure, SctFailure, TimestampFailure};
use crate::policy::PolicyError;

/// The checks, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    Timestamp,
    Chain,
    Sct,
    Identity,
    Log,
    Signature,
}

impl Check {
    pub const ALL: [Self; 6] = [Self::Timestamp, Self::Chain, Self::Sct, Self::Identity, Self::Log, Self::Signature];

    /// The name of the check, for people and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Chain => "chain",
            Self::Sct => "sct",
            Self::Identity => "identity",
            Self::Log => "log",
            Self::Signature => "signature",
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a bundle was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: expected {}, found {}", self.check(), self.expected(), self.found())]
pub enum VerifyError {
    Timestamp(#[from] TimestampFailure),
    Chain(#[from] ChainFailure),
    Sct(#[from] SctFailure),
    Identity(#[from] IdentityFailure),
    Log(#[from] LogFailure),
    Signature(#[from] ArtifactFailure),
}

impl VerifyError {
    /// The check that failed.
    #[must_use]
    pub fn check(&self) -> Check {
        match self {
            Self::Timestamp(_) => Check::Timestamp,
            Self::Chain(_) => Check::Chain,
            Self::Sct(_) => Check::Sct,
            Self::Identity(_) => Check::Identity,
            Self::Log(_) => Check::Log,
            Self::Signature(_) => Check::Signature,
        }
    }

    /// A code that does not change between versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timestamp(failure) => failure.code(),
            Self::Chain(failure) => failure.code(),
            Self::Sct(failure) => failure.code(),
            Self::Identity(failure) => failure.code(),
            Self::Log(failure) => failure.code(),
            Self::Signature(failure) => failure.code(),
        }
    }

    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Timestamp(failure) => failure.expected(),
            Self::Chain(failure) => failure.expected(),
            Self::Sct(failure) => failure.expected(),
            Self::Identity(failure) => failure.expected(),
            Self::Log(failure) => failure.expected(),
            Self::Signature(failure) => failure.expected(),
        }
    }

    #[must_use]
    pub fn found(&self) -> String {
        match self {
            Self::Timestamp(failure) => failure.found(),
            Self::Chain(failure) => failure.found(),
            Self::Sct(failure) => failure.found(),
            Self::Identity(failure) => failure.found(),
            Self::Log(failure) => failure.found(),
            Self::Signature(failure) => failure.found(),
        }
    }
}

/// Why the signer is not one whom the policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFailure(pub PolicyError);

impl IdentityFailure {
    fn code(&self) -> &'static str {
        self.0.code()
    }

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn found(&self) -> String {
        self.0.found()
    }
}

/// The failures are errors of their own for callers of single checks.
macro_rules! impl_error {
    ($($failure:ty),*) => {$(
        impl std::fmt::Display for $failure {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "expected {}, found {}", self.expected(), self.found())
            }
        }

        impl std::error::Error for $failure {}
    )*};
}
impl_error!(TimestampFailure, ChainFailure, SctFailure, IdentityFailure, LogFailure, ArtifactFailure);
