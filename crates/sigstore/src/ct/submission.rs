// SPDX-License-Identifier: Apache-2.0
//! What a log asks of a submitted chain (RFC 6962 §3.1): each certificate issued by the next, up to an accepted root.
//!
//! In scope: names, authority, signatures, the accepted roots. Out of scope: validity times and critical extensions, which a log does not
//! judge: its work is to make certificates visible, bad ones first of all.
//! Invariant: the last certificate of an accepted chain is one of the log's roots.

use crate::x509::path::PathError;
use crate::x509::{CHAIN_LENGTH_MAX, Certificate};

/// Why a submission is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    #[error("the chain holds more than {CHAIN_LENGTH_MAX} certificates")]
    TooLong,
    #[error("the chain does not end at an accepted root")]
    UnknownRoot,
    #[error("certificate {position} of the chain was not issued by the next one: {error}")]
    Broken { position: usize, error: PathError },
}

/// A chain that leads to one of the log's roots. Made by `accept_chain` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedChain {
    certificates: Vec<Certificate>,
}

impl AcceptedChain {
    /// The submitted certificate.
    pub fn leaf(&self) -> &Certificate {
        self.certificates.first().expect("an accepted chain has a leaf and a root")
    }

    /// Its direct issuer.
    pub fn issuer(&self) -> &Certificate {
        self.certificates.get(1).expect("an accepted chain has a leaf and a root")
    }

    /// Everything above the leaf, issuer first, root last; the root is added if it was not submitted.
    pub fn issuers(&self) -> &[Certificate] {
        self.certificates.get(1..).unwrap_or_default()
    }
}

/// Checks that `leaf` and `chain` (its issuer first) lead to one of `roots`, which may itself be submitted or left out.
pub fn accept_chain(
    leaf: &Certificate,
    chain: &[Certificate],
    roots: &[Certificate],
) -> Result<AcceptedChain, SubmissionError> {
    if chain.len() >= CHAIN_LENGTH_MAX {
        return Err(SubmissionError::TooLong);
    }
    let mut certificates = vec![leaf.clone()];
    certificates.extend_from_slice(chain);
    for (position, pair) in certificates.windows(2).enumerate() {
        if let [certificate, issuer] = pair {
            certificate.verify_issued_by(issuer).map_err(|error| SubmissionError::Broken { position, error })?;
        }
    }
    let last = certificates.last().expect("the leaf was put there");
    if certificates.len() > 1 && roots.contains(last) {
        return Ok(AcceptedChain { certificates });
    }
    let root = roots.iter().find(|root| last != *root && last.verify_issued_by(root).is_ok());
    let root = root.ok_or(SubmissionError::UnknownRoot)?.clone();
    certificates.push(root);
    Ok(AcceptedChain { certificates })
}
