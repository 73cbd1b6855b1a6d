// SPDX-License-Identifier: Apache-2.0
//! What a log asks of a submitted chain (RFC 6962 §3.1): each certificate issued by the next, up to an accepted root.
//!
//! In scope: names, authority, signatures, the accepted roots. Out of scope: validity times and critical extensions, which a log does not
//! judge: its work is to make certificates visible, bad ones first of all.
//! Invariant: the last certificate of an accepted chain is one of the log's roots. What was accepted above one leaf changes no verdict and no error
//! about another: it only spares the signatures that were verified already.

use std::sync::Arc;

use touchmark_keys::PublicKey;

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

/// A chain that leads to one of the log's roots. Made by `accept_chain` and `AcceptedIssuers::accept` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedChain {
    leaf: Certificate,
    issuers: Arc<AcceptedIssuers>,
}

/// What stood above the leaf of an accepted chain: good for every leaf, because a log judges no times. Part of an `AcceptedChain`.
#[derive(Debug, PartialEq, Eq)]
pub struct AcceptedIssuers {
    /// As submitted.
    submitted: Vec<Certificate>,
    /// Issuer first, root last; not empty.
    certificates: Vec<Certificate>,
    issuer_key: PublicKey,
}

impl AcceptedChain {
    /// The submitted certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// Its direct issuer.
    pub fn issuer(&self) -> &Certificate {
        self.issuers.issuer()
    }

    /// Everything above the leaf, issuer first, root last; the root is added if it was not submitted.
    pub fn issuers(&self) -> &[Certificate] {
        &self.issuers.certificates
    }

    /// The same, to accept further leaves with.
    pub fn accepted_issuers(&self) -> &Arc<AcceptedIssuers> {
        &self.issuers
    }
}

impl AcceptedIssuers {
    /// What was submitted above the leaf; empty if it came alone.
    pub fn submitted(&self) -> &[Certificate] {
        &self.submitted
    }

    fn issuer(&self) -> &Certificate {
        self.certificates.first().expect("an accepted chain has an issuer")
    }

    /// What `accept_chain` would say to another leaf under the very same chain, with the one signature verified that is new; `None` if `chain` is
    /// another. A leaf that was submitted alone says nothing of the next one, whose root may be another.
    pub fn accept(
        self: &Arc<Self>,
        leaf: &Certificate,
        chain: &[Certificate],
    ) -> Option<Result<AcceptedChain, SubmissionError>> {
        if chain.is_empty() || chain != self.submitted {
            return None;
        }
        let issued = leaf.verify_issued_by_key(self.issuer(), &self.issuer_key);
        let accepted = issued.map(|_| AcceptedChain { leaf: leaf.clone(), issuers: Arc::clone(self) });
        Some(accepted.map_err(|error| SubmissionError::Broken { position: 0, error }))
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
    for (position, issuer) in chain.iter().enumerate() {
        let certificate = if position == 0 { leaf } else { &chain[position - 1] };
        certificate.verify_issued_by(issuer).map_err(|error| SubmissionError::Broken { position, error })?;
    }
    let mut certificates = chain.to_vec();
    let last = chain.last().unwrap_or(leaf);
    if chain.is_empty() || !roots.contains(last) {
        let root = roots.iter().find(|root| last != *root && last.verify_issued_by(root).is_ok());
        certificates.push(root.ok_or(SubmissionError::UnknownRoot)?.clone());
    }
    let issuer = certificates.first().expect("a chain has an issuer, or else its root was put there");
    let issuer_key =
        issuer.public_key().map_err(|error| SubmissionError::Broken { position: 0, error: error.into() })?;
    let issuers = AcceptedIssuers { submitted: chain.to_vec(), certificates, issuer_key };
    Ok(AcceptedChain { leaf: leaf.clone(), issuers: Arc::new(issuers) })
}
