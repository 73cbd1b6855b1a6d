// SPDX-License-Identifier: Apache-2.0
//! A certificate transparency log for code signing certificates: RFC 6962's API and static-ct tiles over one tree.
//!
//! RFC 6962 §3 (structures) and §4 (messages); c2sp.org/static-ct-api (leaf index extension, data tiles, issuers).
//!
//! In scope: what is accepted (`submission`, `validity`), the SCT (`append`), reading in both ways (`read`, `tiles`).
//! Out of scope: order, durability, proofs and checkpoints (`touchmark_sequencer`); TLS structures (`sigstore::ct`).
//! Invariants: an SCT is signed only for an entry that is durable at the index and time that it names; the same entry sent again
//! gets the same index and time, and while the process remembers it the same signature; an issuer's certificate is durable before any entry refers to it.

mod append;
mod format;
mod issuers;
mod read;
mod submission;
mod tiles;
mod validity;

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use touchmark_keys::PublicKey;
use touchmark_sequencer::{Clock, Log};
use touchmark_signers::Signer;
use touchmark_sigstore::ct::Sct;
use touchmark_sigstore::x509::Certificate;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};

use crate::fulcio::{CtError, CtSubmit};
use crate::http::{BodyError, bytes_response};
use crate::metrics::Submissions;
use crate::witness::{NotCosigned, Witnesses};
use append::Promises;
pub(crate) use format::CtEntries;
pub(crate) use issuers::AcceptedRoots;
use submission::{Kind, Submission};
pub(crate) use tiles::MAXIMUM_MERGE_DELAY_S;
pub(crate) use validity::{Expired, Interval, Validity};

/// One log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CtLog(Arc<Inner>);

struct Inner {
    log: Log,
    witnesses: Option<Witnesses>,
    signer: Arc<dyn Signer>,
    /// The log's name in its checkpoints, with the key; also its identity in SCTs.
    note_key: NoteKey,
    /// Replaced as one by [`CtLog::accept_roots`]; a submission takes it once and stays with it.
    roots: RwLock<Arc<AcceptedRoots>>,
    validity: Validity,
    clock: Arc<dyn Clock>,
    promises: Promises,
    submissions: Submissions,
}

/// What a log takes.
pub(crate) struct Acceptance {
    /// Chains must lead to one of them.
    pub(crate) roots: Vec<Certificate>,
    pub(crate) validity: Validity,
    /// The log's own time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// Why a log does not start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CtStartError {
    #[error("no root certificate is accepted: nothing could ever be logged")]
    NoRoot,
    #[error("the log's origin or key is not fit for RFC 6962 note signatures")]
    NoteKey,
}

impl CtLog {
    /// `signer` holds the key that also signs the log's checkpoints.
    pub(crate) fn new(
        log: Log,
        witnesses: Option<Witnesses>,
        signer: Arc<dyn Signer>,
        acceptance: Acceptance,
        submissions: Submissions,
    ) -> Result<Self, CtStartError> {
        let Acceptance { roots, validity, clock } = acceptance;
        let roots = RwLock::new(Arc::new(AcceptedRoots::new(roots)?));
        let note_key = NoteKey::new(log.origin(), NoteAlgorithm::Rfc6962, signer.public_key().clone());
        let note_key = note_key.map_err(|_| CtStartError::NoteKey)?;
        Ok(Self(Arc::new(Inner {
            log,
            witnesses,
            signer,
            note_key,
            roots,
            validity,
            clock,
            promises: Promises::default(),
            submissions,
        })))
    }

    fn roots(&self) -> Arc<AcceptedRoots> {
        // Nothing panics while the lock is held.
        Arc::clone(&self.0.roots.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Accepts chains to these roots from now on, and to no others.
    pub(crate) fn accept_roots(&self, roots: AcceptedRoots) {
        *self.0.roots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roots);
    }
}

#[async_trait::async_trait]
impl CtSubmit for CtLog {
    fn public_key(&self) -> &PublicKey {
        self.0.signer.public_key()
    }

    fn ended(&self) -> Option<CtError> {
        let log = &self.0.log;
        log.is_frozen().then_some(CtError::Frozen).or_else(|| log.stopped().map(|_| CtError::Internal))
    }

    /// In process, by the same way as over HTTP: the authority gets no favours.
    async fn submit(&self, precertificate: &Certificate, chain: &[Certificate]) -> Result<Sct, CtError> {
        let submission = Submission::accept(Kind::Precertificate, precertificate, chain, self).map_err(|error| {
            tracing::error!(%error, "our own log refuses our own precertificate");
            CtError::Refused { status: 400 }
        })?;
        self.append(submission).await
    }
}

/// The log behind paths relative to wherever it is mounted.
pub(crate) fn router(log: CtLog) -> Router {
    Router::new()
        .route("/ct/v1/add-chain", post(submission::add_chain))
        .route("/ct/v1/add-pre-chain", post(submission::add_pre_chain))
        .route("/ct/v1/get-roots", get(read::get_roots))
        .route("/ct/v1/get-sth", get(read::get_sth))
        .route("/ct/v1/get-sth-consistency", get(read::get_sth_consistency))
        .route("/ct/v1/get-proof-by-hash", get(read::get_proof_by_hash))
        .route("/ct/v1/get-entries", get(read::get_entries))
        .route("/ct/v1/get-entry-and-proof", get(read::get_entry_and_proof))
        .route("/checkpoint", get(tiles::checkpoint))
        .route("/tile/{*path}", get(tiles::tile))
        .route("/issuer/{fingerprint}", get(tiles::issuer))
        .route("/log.v3.json", get(tiles::metadata))
        .with_state(log)
}

/// A refusal in the plain text of RFC 6962 logs. Every text is public.
#[derive(Debug)]
struct Refusal {
    status: u16,
    text: String,
}

impl Refusal {
    fn bad_request(text: impl Into<String>) -> Self {
        Self { status: 400, text: text.into() }
    }

    fn not_found() -> Self {
        Self { status: 404, text: "not found".to_owned() }
    }

    fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a certificate transparency log could not be read");
        Self { status: 500, text: "internal error".to_owned() }
    }

    /// As the signature log says it.
    fn frozen() -> Self {
        Self { status: 405, text: "This log has been frozen, please switch to the latest log.".to_owned() }
    }

    fn busy() -> Self {
        Self { status: 503, text: "the log is busy, try again".to_owned() }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge | BodyError::Unfinished => Self::bad_request(error.to_string()),
            BodyError::OverBudget => Self::busy(),
        }
    }
}

impl From<NotCosigned> for Refusal {
    fn from(error: NotCosigned) -> Self {
        Self { status: 503, text: error.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = bytes_response(status, "text/plain; charset=utf-8", format!("{}\n", self.text).into_bytes());
        if status == 503 {
            response.headers_mut().insert(HeaderName::from_static("retry-after"), HeaderValue::from_static("1"));
        }
        response
    }
}

fn json(body: Vec<u8>) -> Response {
    bytes_response(200, "application/json", body)
}

#[cfg(test)]
mod tests;
