// SPDX-License-Identifier: Apache-2.0
//! What is submitted to the log, and whether it is accepted.
//!
//! RFC 6962 §3.1 (the chain must lead to an accepted root; precertificates are poisoned), §4.1 and §4.2 (requests).
//!
//! In scope: `add-chain`, `add-pre-chain` and the rules of acceptance, one of our own among them: code signing only.
//! Out of scope: times (`validity`); name constraints, path lengths, purposes of authorities and critical extensions, which a log does not judge,
//! because its work is to make certificates visible, bad ones first of all.
//! Invariants: each certificate of a [`Submission`] is issued by the next and the last is an accepted root; what is logged is
//! bytes as received.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use touchmark_sigstore::ct::{self, AcceptedChain, LogEntry};
use touchmark_sigstore::wire::ct::AddChainRequest;
use touchmark_sigstore::x509::Certificate;

use super::append::reply;
use super::issuers::Issuers;
use super::validity::Untimely;
use super::{CtLog, Refusal};
use crate::deps;
use crate::http::read_body;

/// All certificates of a submission together, in DER; the public logs' limit.
const CHAIN_BYTES_MAX: usize = 512 * 1024;
/// The same in base64, with room for the JSON around it.
const BODY_BYTES_MAX: usize = CHAIN_BYTES_MAX / 3 * 4 + 4 * 1024;
/// Certificates of a submission, the leaf included.
const CHAIN_LENGTH_MAX: usize = 10;

/// RFC 5280 §4.2.1.12.
const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Certificate,
    Precertificate,
}

/// An accepted entry, with what the log keeps beside it.
pub(super) struct Submission {
    pub(super) entry: LogEntry,
    /// The certificate as submitted (for a precertificate the entry holds less than that) and all above it.
    pub(super) chain: AcceptedChain,
    pub(super) issuers: Arc<Issuers>,
}

/// Why a chain is not logged. The text is public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SubmissionError {
    #[error("the request is not JSON with a list of base64 certificates named \"chain\"")]
    Json,
    #[error("the chain is empty")]
    Empty,
    #[error("the chain has more than {CHAIN_LENGTH_MAX} certificates or {CHAIN_BYTES_MAX} bytes")]
    TooLarge,
    #[error("certificate {position} of the chain could not be parsed")]
    Unreadable { position: usize },
    #[error(transparent)]
    Chain(#[from] ct::SubmissionError),
    #[error("the leaf is itself a certificate authority")]
    LeafIsCa,
    #[error("the leaf is not for code signing")]
    ExtendedKeyUsage,
    #[error(transparent)]
    Validity(#[from] Untimely),
    #[error("the leaf makes no log entry of this kind: {0}")]
    Entry(#[from] ct::CtError),
}

impl SubmissionError {
    /// The name under which refusals are counted.
    fn reason(&self) -> &'static str {
        match self {
            Self::Json => "malformed",
            Self::Empty | Self::TooLarge => "chain_length",
            Self::Unreadable { .. } => "certificate_unreadable",
            Self::Chain(_) => "chain_refused",
            Self::LeafIsCa => "leaf_is_ca",
            Self::ExtendedKeyUsage => "extended_key_usage",
            Self::Validity(_) => "validity",
            Self::Entry(_) => "wrong_kind",
        }
    }
}

pub(super) async fn add_chain(State(log): State<CtLog>, request: Request) -> Result<Response, Refusal> {
    add(log, Kind::Certificate, request).await
}

pub(super) async fn add_pre_chain(State(log): State<CtLog>, request: Request) -> Result<Response, Refusal> {
    add(log, Kind::Precertificate, request).await
}

async fn add(log: CtLog, kind: Kind, request: Request) -> Result<Response, Refusal> {
    let refused = |error: SubmissionError| {
        log.0.submissions.count(error.reason());
        Refusal::bad_request(error.to_string())
    };
    let body = read_body(request, BODY_BYTES_MAX).await?;
    if log.0.log.is_frozen() {
        log.0.submissions.count("frozen");
        return Err(Refusal::frozen());
    }
    let chain = parse(&body).map_err(refused)?;
    let (leaf, above) = chain.split_first().ok_or(SubmissionError::Empty).map_err(refused)?;
    let submission = Submission::accept(kind, leaf, above, &log).map_err(refused)?;
    let sct = log.append(submission).await?;
    Ok(reply(&sct))
}

fn parse(body: &[u8]) -> Result<Vec<Certificate>, SubmissionError> {
    let request = AddChainRequest::from_json(body).map_err(|_| SubmissionError::Json)?;
    let bytes: usize = request.chain.iter().map(Vec::len).sum();
    if request.chain.len() > CHAIN_LENGTH_MAX || bytes > CHAIN_BYTES_MAX {
        return Err(SubmissionError::TooLarge);
    }
    let read = |(position, der): (usize, &Vec<u8>)| {
        Certificate::from_der(der).map_err(|_| SubmissionError::Unreadable { position })
    };
    request.chain.iter().enumerate().map(read).collect()
}

impl Submission {
    /// `above` begins with the leaf's issuer; the root may be left out, as RFC 6962 §3.1 allows.
    pub(super) fn accept(
        kind: Kind,
        leaf: &Certificate,
        above: &[Certificate],
        log: &CtLog,
    ) -> Result<Self, SubmissionError> {
        let (chain, issuers) = log.roots().accept(leaf, above)?;
        if leaf.is_ca() {
            return Err(SubmissionError::LeafIsCa);
        }
        let purposes = leaf.extended_key_usages();
        if !purposes.is_some_and(|all| CODE_SIGNING.parse().is_ok_and(|purpose| all.contains(purpose))) {
            return Err(SubmissionError::ExtendedKeyUsage);
        }
        let _timely = log.0.validity.admit(leaf, deps::timestamp(log.0.clock.as_ref()))?;
        let entry = match kind {
            Kind::Certificate => LogEntry::from_certificate(leaf)?,
            Kind::Precertificate => LogEntry::from_submitted_precertificate(&chain)?,
        };
        Ok(Self { entry, chain, issuers })
    }
}
