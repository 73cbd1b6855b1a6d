// SPDX-License-Identifier: Apache-2.0
//! Why a bundle was refused: which check, what it expected, what it found, and a code that scripts may rely on.

use super::{
    ArtifactFailure, ChainFailure, IdentityFailure, KeyFailure, LogFailure, PromiseFailure, SctFailure,
    SignatureFailure, StatementFailure, TimeFailure, TimestampFailure,
};
use crate::intoto::StatementError;

/// The checks, in their order. Not every bundle needs each of them: see [`super::checks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    Time,
    Chain,
    Sct,
    Identity,
    Key,
    Artifact,
    Log,
    Signature,
    Statement,
}

impl Check {
    pub const ALL: [Self; 9] = [
        Self::Time,
        Self::Chain,
        Self::Sct,
        Self::Identity,
        Self::Key,
        Self::Artifact,
        Self::Log,
        Self::Signature,
        Self::Statement,
    ];

    /// The name of the check, for people and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Chain => "chain",
            Self::Sct => "sct",
            Self::Identity => "identity",
            Self::Key => "key",
            Self::Artifact => "artifact",
            Self::Log => "log",
            Self::Signature => "signature",
            Self::Statement => "statement",
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a refusal means for whoever trusted the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// Good evidence, of somebody else or of something else than was asked for.
    WrongSigner,
    /// The artifact, the signature or the record of them was changed.
    Tampered,
    /// The evidence does not come from the trust root, or there is not enough of it.
    Untrusted,
    /// The caller has not given what the check needs.
    Incomplete,
}

/// Why a bundle was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: expected {}, found {}", self.check(), self.expected(), self.found())]
pub enum VerifyError {
    Time(#[from] TimeFailure),
    Chain(#[from] ChainFailure),
    Sct(#[from] SctFailure),
    Identity(#[from] IdentityFailure),
    Key(#[from] KeyFailure),
    Artifact(#[from] ArtifactFailure),
    Log(#[from] LogFailure),
    Signature(#[from] SignatureFailure),
    Statement(#[from] StatementFailure),
}

impl VerifyError {
    /// The check that failed.
    #[must_use]
    pub fn check(&self) -> Check {
        match self {
            Self::Time(_) => Check::Time,
            Self::Chain(_) => Check::Chain,
            Self::Sct(_) => Check::Sct,
            Self::Identity(_) => Check::Identity,
            Self::Key(_) => Check::Key,
            Self::Artifact(_) => Check::Artifact,
            Self::Log(_) => Check::Log,
            Self::Signature(_) => Check::Signature,
            Self::Statement(_) => Check::Statement,
        }
    }

    /// A code that does not change between versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Time(failure) => failure.code(),
            Self::Chain(failure) => failure.code(),
            Self::Sct(failure) => failure.code(),
            Self::Identity(failure) => failure.code(),
            Self::Key(failure) => failure.code(),
            Self::Artifact(failure) => failure.code(),
            Self::Log(failure) => failure.code(),
            Self::Signature(failure) => failure.code(),
            Self::Statement(failure) => failure.code(),
        }
    }

    /// What the refusal means.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Identity(_) | Self::Key(_) => FailureClass::WrongSigner,
            Self::Statement(StatementFailure::Policy(_) | StatementFailure::NoStatement { .. }) => {
                FailureClass::WrongSigner
            }
            Self::Statement(StatementFailure::Statement(StatementError::NoCommonAlgorithm))
            | Self::Artifact(ArtifactFailure::NoDigest { .. })
            | Self::Signature(SignatureFailure::NoDigest { .. } | SignatureFailure::NeedsMessage { .. }) => {
                FailureClass::Incomplete
            }
            Self::Artifact(_) | Self::Signature(_) | Self::Statement(_) => FailureClass::Tampered,
            Self::Log(LogFailure::OtherEntry { .. } | LogFailure::OtherPart { .. } | LogFailure::Body(_)) => {
                FailureClass::Tampered
            }
            Self::Time(_) | Self::Chain(_) | Self::Sct(_) | Self::Log(_) => FailureClass::Untrusted,
        }
    }

    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Time(failure) => failure.expected(),
            Self::Chain(failure) => failure.expected(),
            Self::Sct(failure) => failure.expected(),
            Self::Identity(failure) => failure.expected(),
            Self::Key(failure) => failure.expected(),
            Self::Artifact(failure) => failure.expected(),
            Self::Log(failure) => failure.expected(),
            Self::Signature(failure) => failure.expected(),
            Self::Statement(failure) => failure.expected(),
        }
    }

    #[must_use]
    pub fn found(&self) -> String {
        match self {
            Self::Time(failure) => failure.found(),
            Self::Chain(failure) => failure.found(),
            Self::Sct(failure) => failure.found(),
            Self::Identity(failure) => failure.found(),
            Self::Key(failure) => failure.found(),
            Self::Artifact(failure) => failure.found(),
            Self::Log(failure) => failure.found(),
            Self::Signature(failure) => failure.found(),
            Self::Statement(failure) => failure.found(),
        }
    }
}

impl From<TimestampFailure> for TimeFailure {
    fn from(failure: TimestampFailure) -> Self {
        Self::Timestamp(failure)
    }
}

impl From<TimestampFailure> for VerifyError {
    fn from(failure: TimestampFailure) -> Self {
        Self::Time(failure.into())
    }
}

impl From<PromiseFailure> for VerifyError {
    fn from(failure: PromiseFailure) -> Self {
        Self::Time(TimeFailure::Promise(failure))
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
impl_error!(
    TimeFailure,
    TimestampFailure,
    PromiseFailure,
    ChainFailure,
    SctFailure,
    IdentityFailure,
    KeyFailure,
    ArtifactFailure,
    LogFailure,
    SignatureFailure,
    StatementFailure
);
