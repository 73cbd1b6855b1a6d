// SPDX-License-Identifier: Apache-2.0
//! What an envelope states: that the artifact is one of its subjects, and that it is of the kind that was asked for.

use std::borrow::Cow;

use touchmark_keys::{Digest, HashAlgorithm};

use super::Artifact;
use crate::bundle::Content;
use crate::dsse::IN_TOTO_PAYLOAD_TYPE;
use crate::intoto::{Statement, StatementError, Subject};
use crate::policy::{Policy, PolicyError};

/// Why the envelope says nothing about the artifact that the policy wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementFailure {
    /// A payload of another type binds to no artifact.
    PayloadType {
        found: String,
    },
    Statement(StatementError),
    /// The statement is of another kind than the policy asks for.
    Policy(PolicyError),
    /// The policy asks for an attestation, and a file was signed.
    NoStatement {
        expected: String,
    },
}

impl StatementFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::PayloadType { .. } => "statement_payload_type",
            Self::Statement(StatementError::OtherArtifact(_)) => "statement_other_artifact",
            Self::Statement(StatementError::NoCommonAlgorithm) => "artifact_digest_missing",
            Self::Statement(StatementError::Contradicts { .. }) => "statement_contradicts",
            Self::Statement(_) => "statement_malformed",
            Self::Policy(_) => "predicate_type_mismatch",
            Self::NoStatement { .. } => "statement_missing",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::PayloadType { .. } => format!("an envelope with payload of type {IN_TOTO_PAYLOAD_TYPE}"),
            Self::Statement(_) => "an in-toto statement about the artifact".to_owned(),
            Self::Policy(error) => error.expected(),
            Self::NoStatement { expected } => format!("an attestation of type {expected}"),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::PayloadType { found } => found.clone(),
            Self::Statement(error) => error.to_string(),
            Self::Policy(error) => error.found(),
            Self::NoStatement { .. } => "the signature of a file".to_owned(),
        }
    }
}

/// The statement of a verified envelope, about this artifact and of a type that the policy accepts; none for the signature of a
/// file, unless the policy asks for one (GHSA-w6c6-c85g-mmv6, GHSA-vjxv-45g9-9296).
pub(super) fn statement(
    content: &Content,
    artifact: &Artifact<'_>,
    policy: &Policy,
) -> Result<Option<Statement>, StatementFailure> {
    let Content::Envelope(envelope) = content else {
        return match &policy.demands().predicate_type {
            None => Ok(None),
            Some(expected) => Err(StatementFailure::NoStatement { expected: expected.to_string() }),
        };
    };
    if envelope.payload_type != IN_TOTO_PAYLOAD_TYPE {
        return Err(StatementFailure::PayloadType { found: envelope.payload_type.clone() });
    }
    let statement = Statement::parse(&envelope.payload).map_err(StatementFailure::Statement)?;
    policy.accepts_predicate(statement.predicate_type()).map_err(StatementFailure::Policy)?;
    statement.bind(&digests(&statement, artifact)).map_err(StatementFailure::Statement)?;
    Ok(Some(statement))
}

/// The artifact's digests under every algorithm that a subject names, as far as they can be had.
fn digests(statement: &Statement, artifact: &Artifact<'_>) -> Vec<Digest> {
    let named = |algorithm: &HashAlgorithm| {
        let mut digests = statement.subjects().iter().flat_map(Subject::digests);
        digests.any(|digest| digest.algorithm() == *algorithm)
    };
    let known = HashAlgorithm::ALL.into_iter().filter(named).filter_map(|algorithm| artifact.digest(algorithm));
    known.map(Cow::into_owned).collect()
}
