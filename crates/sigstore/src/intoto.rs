// SPDX-License-Identifier: Apache-2.0
//! In-toto statements (in-toto/attestation, Statement v1 and v0.1): which files an attestation speaks of, and what it says.
//!
//! In scope: reading a statement, binding it to a file by its digests, writing one for signing. Out of scope: what predicates
//! mean; who signed (`verify`).
//! Invariants: a statement is of a known type, has a type of predicate and at least one subject, and each subject has a digest.
//! A file is bound to one subject, and every digest of that subject that is at hand must be the file's: two files cannot share
//! a subject by an algorithm each.

use std::collections::BTreeMap;

use touchmark_keys::{Digest, DigestError, HashAlgorithm};

use crate::wire::intoto as wire;
use crate::wire::{WireError, parse_value};

/// The type of statements that is written.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The one before, which is read too.
const STATEMENT_TYPE_V0_1: &str = "https://in-toto.io/Statement/v0.1";

/// The most subjects of one statement, as the public verifiers have it (GHSA-cq38-jh5f-37mq).
pub const SUBJECTS_MAX: usize = 1024;
/// The most digests of one subject.
pub const SUBJECT_DIGESTS_MAX: usize = 32;

/// Names from outside are shown up to this many characters.
const SHOWN_CHARACTERS_MAX: usize = 64;

/// What an attestation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    subjects: Vec<Subject>,
    predicate_type: String,
    predicate: Option<String>,
}

/// A file, or another thing that has a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: String,
    digests: Vec<Digest>,
    other_digests: Vec<(String, String)>,
}

/// Why a payload is not a statement, or not one about the file at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    #[error("the statement is malformed: {0}")]
    Wire(#[from] WireError),
    #[error("the statement is of type {found:?}, expected {STATEMENT_TYPE}")]
    Type { found: String },
    #[error("the statement has no predicateType")]
    NoPredicateType,
    #[error("the predicate is no JSON, at line {line}, column {column}")]
    Predicate { line: usize, column: usize },
    #[error("the statement has no subject")]
    NoSubject,
    #[error("the statement has {found} subjects, the limit is {SUBJECTS_MAX}")]
    TooManySubjects { found: usize },
    #[error("subject {index} has no digest")]
    NoDigest { index: usize },
    #[error("subject {index} has {found} digests, the limit is {SUBJECT_DIGESTS_MAX}")]
    TooManyDigests { index: usize, found: usize },
    #[error("the {} digest of subject {index} is not hexadecimal", algorithm.prefix())]
    DigestText { index: usize, algorithm: HashAlgorithm },
    #[error("subject {index}: {error}")]
    Digest { index: usize, error: DigestError },
    #[error("no subject has a digest of an algorithm that the artifact's is known of")]
    NoCommonAlgorithm,
    #[error(transparent)]
    OtherArtifact(Box<OtherArtifact>),
    #[error("subject {name:?} has one digest of the artifact and another that is not, {}", algorithm.prefix())]
    Contradicts { name: String, algorithm: HashAlgorithm },
}

/// A statement about other files, with the one of them that comes first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("none of {subjects} subjects is the artifact {artifact}; the first is {name:?}, {found}")]
pub struct OtherArtifact {
    pub artifact: Digest,
    pub subjects: usize,
    pub name: String,
    pub found: Digest,
}

impl Statement {
    /// Reads the payload of an envelope of type [`crate::dsse::IN_TOTO_PAYLOAD_TYPE`].
    ///
    /// # Errors
    /// If it is no statement, a member stands twice at any depth, or it is over a limit.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        let statement = wire::Statement::from_json(payload)?;
        if statement.statement_type != STATEMENT_TYPE && statement.statement_type != STATEMENT_TYPE_V0_1 {
            return Err(StatementError::Type { found: clip(&statement.statement_type) });
        }
        if statement.predicate_type.is_empty() {
            return Err(StatementError::NoPredicateType);
        }
        match statement.subject.len() {
            0 => return Err(StatementError::NoSubject),
            1..=SUBJECTS_MAX => {}
            found => return Err(StatementError::TooManySubjects { found }),
        }
        let subjects = statement.subject.into_iter().enumerate();
        Ok(Self {
            subjects: subjects.map(|(index, subject)| Subject::from_wire(index, subject)).collect::<Result<_, _>>()?,
            predicate_type: statement.predicate_type,
            predicate: statement.predicate,
        })
    }

    /// The subject that is the artifact with these digests: at least one digest is the artifact's, and none of those whose
    /// algorithm is at hand is another's.
    ///
    /// # Errors
    /// If there is none.
    pub fn bind(&self, artifact: &[Digest]) -> Result<&Subject, StatementError> {
        let mut nearest = None;
        for subject in &self.subjects {
            match subject.compare(artifact) {
                Comparison::Same => return Ok(subject),
                Comparison::NothingInCommon => {}
                Comparison::Other { expected, found } => {
                    nearest.get_or_insert_with(|| {
                        StatementError::OtherArtifact(Box::new(OtherArtifact {
                            artifact: expected.clone(),
                            subjects: self.subjects.len(),
                            name: clip(&subject.name),
                            found: found.clone(),
                        }))
                    });
                }
                Comparison::Contradicts { algorithm } => {
                    nearest = Some(StatementError::Contradicts { name: clip(&subject.name), algorithm });
                }
            }
        }
        Err(nearest.unwrap_or(StatementError::NoCommonAlgorithm))
    }

    /// What kind of thing it says.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The JSON of what it says, as it was signed.
    #[must_use]
    pub fn predicate_json(&self) -> Option<&str> {
        self.predicate.as_deref()
    }

    /// What it says; `null` if nothing.
    ///
    /// # Errors
    /// If it holds more values than documents here may, or a number that has no value.
    pub fn predicate(&self) -> Result<serde_json::Value, WireError> {
        parse_value(self.predicate_json().unwrap_or("null").as_bytes(), wire::STATEMENT_BYTES_MAX)
    }
}

/// How a subject and an artifact compare.
enum Comparison<'a> {
    Same,
    NothingInCommon,
    Other { expected: &'a Digest, found: &'a Digest },
    Contradicts { algorithm: HashAlgorithm },
}

impl Subject {
    fn from_wire(index: usize, subject: wire::Subject) -> Result<Self, StatementError> {
        let found = subject.digest.0.len();
        match found {
            0 => return Err(StatementError::NoDigest { index }),
            1..=SUBJECT_DIGESTS_MAX => {}
            _ => return Err(StatementError::TooManyDigests { index, found }),
        }
        let mut read = Self { name: subject.name, digests: Vec::new(), other_digests: Vec::new() };
        for (name, value) in subject.digest.0 {
            let Some(algorithm) = HashAlgorithm::from_prefix(&name) else {
                read.other_digests.push((name, value));
                continue;
            };
            let bytes = hex::decode(&value).map_err(|_| StatementError::DigestText { index, algorithm })?;
            let digest = Digest::new(algorithm, bytes).map_err(|error| StatementError::Digest { index, error })?;
            read.digests.push(digest);
        }
        Ok(read)
    }

    fn compare<'a>(&'a self, artifact: &'a [Digest]) -> Comparison<'a> {
        let pairs = self.digests.iter().flat_map(|found| {
            let known = artifact.iter().filter(|known| known.algorithm() == found.algorithm());
            known.map(move |known| (known, found))
        });
        let (same, other): (Vec<_>, Vec<_>) = pairs.partition(|(expected, found)| expected == found);
        match (same.is_empty(), other.first()) {
            (true, None) => Comparison::NothingInCommon,
            (true, Some((expected, found))) => Comparison::Other { expected, found },
            (false, None) => Comparison::Same,
            (false, Some((_, found))) => Comparison::Contradicts { algorithm: found.algorithm() },
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digests of algorithms that can be computed here.
    #[must_use]
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// The others, by name and in text: they bind nothing.
    #[must_use]
    pub fn other_digests(&self) -> &[(String, String)] {
        &self.other_digests
    }
}

/// The payload of an envelope that says `predicate` of one file. The predicate is the text of a JSON value, and is taken as it stands:
/// numbers keep all their digits, and it may be as large as a bill of materials.
///
/// # Errors
/// If the type of the predicate is empty, or the predicate no JSON.
pub fn statement_of(
    subject_name: &str,
    digest: &Digest,
    predicate_type: &str,
    predicate: &str,
) -> Result<Vec<u8>, StatementError> {
    if predicate_type.is_empty() {
        return Err(StatementError::NoPredicateType);
    }
    let malformed = |error: serde_json::Error| StatementError::Predicate { line: error.line(), column: error.column() };
    serde_json::from_str::<serde::de::IgnoredAny>(predicate).map_err(malformed)?;
    let digest = BTreeMap::from([(digest.algorithm().prefix(), hex::encode(digest.as_bytes()))]);
    let subject = [wire::SubjectOfFile { name: subject_name, digest }];
    Ok(wire::StatementOfFile { statement_type: STATEMENT_TYPE, subject, predicate_type }.to_json(predicate))
}

fn clip(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
