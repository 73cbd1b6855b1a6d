// SPDX-License-Identifier: Apache-2.0
//! What an attestation says, before it is signed: an in-toto statement, byte for byte.
//!
//! In scope: a statement that was written elsewhere, and one made of a predicate and a file. Out of scope: signing it
//! ([`crate::sign`]); what predicates mean.
//! Invariant: our own verifier reads an [`Attestation`], and can bind it to a file: one of its subjects has a digest that can be
//! computed here.

use touchmark_keys::{Digest, HashAlgorithm, digest};
use touchmark_sigstore::dsse::{self, IN_TOTO_PAYLOAD_TYPE};
use touchmark_sigstore::intoto::{Statement, StatementError, Subject, statement_of};

/// The largest statement that is signed: a bundle carries it in base64 beside the evidence, and readers take 16 MiB.
pub const STATEMENT_BYTES_MAX: usize = 8 << 20;

/// A statement that can be signed and, afterwards, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    json: Vec<u8>,
    statement: Statement,
}

/// Why a statement is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    #[error("the statement has {found} bytes, the limit is {STATEMENT_BYTES_MAX}")]
    TooLarge { found: usize },
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error("no subject has a digest that verifiers compare (sha256, sha384, sha512)")]
    NothingToCompare,
}

impl Attestation {
    /// A statement that is there: it is signed as it stands.
    ///
    /// # Errors
    /// If it is none, or no verifier could tell what it is about.
    pub fn of_statement(json: Vec<u8>) -> Result<Self, AttestationError> {
        if json.len() > STATEMENT_BYTES_MAX {
            return Err(AttestationError::TooLarge { found: json.len() });
        }
        let statement = Statement::parse(&json)?;
        match comparable(&statement).is_empty() {
            true => Err(AttestationError::NothingToCompare),
            false => Ok(Self { json, statement }),
        }
    }

    /// A new statement that says `predicate`, a text in JSON, of one file.
    ///
    /// # Errors
    /// If the type of the predicate is empty, the predicate no JSON, or the statement too large.
    pub fn of_file(
        name: &str,
        digest: &Digest,
        predicate_type: &str,
        predicate: &str,
    ) -> Result<Self, AttestationError> {
        Self::of_statement(statement_of(name, digest, predicate_type, predicate)?)
    }

    #[must_use]
    pub fn statement_json(&self) -> &[u8] {
        &self.json
    }

    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The digests of one thing that it is about: enough for a verifier to tell that it is.
    #[must_use]
    pub fn subject_digests(&self) -> &[Digest] {
        comparable(&self.statement)
    }

    /// The digest of the encoded envelope: what a key signs and a log holds.
    pub(crate) fn signed_digest(&self, algorithm: HashAlgorithm) -> Digest {
        digest(algorithm, &dsse::pae(IN_TOTO_PAYLOAD_TYPE, &self.json))
    }
}

/// The digests of the first subject that has some which can be computed here.
fn comparable(statement: &Statement) -> &[Digest] {
    let digests = statement.subjects().iter().map(Subject::digests);
    digests.into_iter().find(|digests| !digests.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_statement_about_nothing_comparable_is_not_signed() {
        let check = |statement: Value, expect: Result<usize, AttestationError>| {
            let found = Attestation::of_statement(serde_json::to_vec(&statement).unwrap());
            assert_eq!(found.map(|attestation| attestation.subject_digests().len()), expect);
        };
        let statement = |digest: Value| {
            json!({
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{"name": "other", "digest": {"gitCommit": "a9cd"}}, {"name": "a", "digest": digest}],
                "predicateType": "https://example.com/x",
                "predicate": {},
            })
        };
        check(statement(json!({"sha256": "00".repeat(32), "md5": "00"})), Ok(1));
        check(statement(json!({"gitCommit": "b9cd"})), Err(AttestationError::NothingToCompare));
        let mut untyped = statement(json!({"sha256": "00".repeat(32)}));
        untyped["predicateType"] = json!("");
        check(untyped, Err(StatementError::NoPredicateType.into()));
        let large = Attestation::of_statement(vec![b' '; STATEMENT_BYTES_MAX + 1]);
        assert_eq!(large, Err(AttestationError::TooLarge { found: STATEMENT_BYTES_MAX + 1 }));
    }

    #[test]
    fn a_statement_of_a_file_says_the_predicate_of_it() {
        let file = digest(HashAlgorithm::Sha256, b"file");
        let attestation = Attestation::of_file("file", &file, "https://example.com/x", r#"{"a":1}"#).unwrap();
        let statement = Statement::parse(attestation.statement_json()).unwrap();
        assert_eq!(statement.predicate_json(), Some(r#"{"a":1}"#));
        assert_eq!(attestation.subject_digests(), [file]);
    }
}
