// SPDX-License-Identifier: Apache-2.0
//! One request for a certificate, from the limits that it meets first to the line that says what became of it.
//!
//! In scope: the steps around [`issue`], the same for every form in which a request comes: rate limits, the audit log, metrics, the id by which a client,
//! our log and the audit log speak of the same request. Out of scope: how a request comes (`api`, `grpc`); issuing.
//! Invariants: a certificate is released only when its line is durable; a refusal is answered only when its line has its place in the file. A request that
//! is over its address' limit has no line: nothing was decided about it, and whoever floods us is not to fill the disk.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::HeaderMap;
use touchmark_keys::{random, sha256};

use super::audit::{Decision, Known, Outcome, SctOf};
use super::error::IssueError;
use super::issue::{Fulcio, Issued, LoggedAt, issue};
use super::request::SigningRequest;
use super::self_check::IssuedChain;
use crate::audit::AuditUnavailable;
use crate::deps::timestamp;
use crate::http::ApiError;

/// The header, or the metadata, of a reply that names the request.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// The outcome in the metrics of a request that was granted.
const ISSUED: &str = "ISSUED";
/// The reason of a request that nobody waited for to the end.
const ABANDONED: &str = "ABANDONED";

/// A chain whose line is in the audit log.
pub(super) struct Released {
    pub(super) chain: IssuedChain,
    pub(super) request_id: String,
}

/// The address that a request counts for, if it came over a listener.
pub(super) fn client_of(fulcio: &Fulcio, request: &Request) -> Option<IpAddr> {
    fulcio.limits.address.client_of(request)
}

/// Decides. `parse` is called once the client's address is known to be within its limit.
pub(super) async fn decide(
    fulcio: &Fulcio,
    client: Option<IpAddr>,
    parse: impl FnOnce() -> Result<SigningRequest, IssueError>,
) -> Result<Released, ApiError> {
    let mut pending =
        Pending { fulcio, request_id: new_request_id(), known: Known::default(), stage: Stage::Unadmitted };
    let outcome = match admit(fulcio, client) {
        // 1. Before anything is done for it.
        Err(refused) => Err(refused),
        // 2. The request itself, and 3. the line that says what became of it.
        Ok(()) => {
            pending.stage = Stage::Undecided;
            let issued = match parse() {
                Ok(request) => issue(fulcio, &request, &mut pending.known).await,
                Err(error) => Err(error),
            };
            pending.write(issued).await
        }
    };
    // 4. Numbers and words for the operator.
    pending.stage = Stage::Decided;
    pending.count(outcome.as_ref().map_or_else(IssueError::reason, |_| ISSUED));
    let request_id = std::mem::take(&mut pending.request_id);
    match outcome {
        Ok(chain) => Ok(Released { chain, request_id }),
        Err(error) => {
            error.log(&request_id);
            Err(ApiError::from(error).with_header(REQUEST_ID, request_id))
        }
    }
}

/// A request on its way.
struct Pending<'f> {
    fulcio: &'f Fulcio,
    request_id: String,
    known: Known,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was done for it.
    Unadmitted,
    /// If it ends here, nobody waits for it any more.
    Undecided,
    Decided,
}

impl Pending<'_> {
    /// The outcome, once it may be told. A crash before that leaves a line about a certificate that nobody has.
    async fn write(&self, issued: Result<Issued, IssueError>) -> Result<IssuedChain, IssueError> {
        let Some(audit) = &self.fulcio.audit else { return issued.map(|issued| issued.chain) };
        match issued {
            Ok(issued) => {
                audit.record(self.decision(granted(&issued))).await?;
                Ok(issued.chain)
            }
            Err(refused) => {
                let reason = refused.reason();
                // A refusal stands, also when it cannot be written down any more.
                if audit.note(self.decision(Outcome::Refused { reason })).await.is_err() {
                    tracing::error!(request_id = self.request_id, reason, "a refusal is not in the audit log");
                }
                Err(refused)
            }
        }
    }

    fn decision(&self, outcome: Outcome) -> Decision {
        Decision {
            time: timestamp(self.fulcio.clock.as_ref()),
            request_id: self.request_id.clone(),
            known: self.known.clone(),
            outcome,
        }
    }

    fn count(&self, outcome: &'static str) {
        self.fulcio.metrics.count(issuer_label(&self.known), outcome);
    }
}

/// Whoever hangs up, or waits longer than a request may take, leaves a line as well: a precertificate may have been logged by then.
impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.stage != Stage::Undecided {
            return;
        }
        self.count(ABANDONED);
        let Some(audit) = &self.fulcio.audit else { return };
        if audit.note_now(self.decision(Outcome::Refused { reason: ABANDONED })).is_err() {
            tracing::error!(request_id = self.request_id, reason = ABANDONED, "a refusal is not in the audit log");
        }
    }
}

/// Random enough that no two requests share one, in hexadecimal.
fn new_request_id() -> String {
    let mut id = [0; 16];
    random(&mut id);
    hex::encode(id)
}

fn admit(fulcio: &Fulcio, client: Option<IpAddr>) -> Result<(), IssueError> {
    fulcio.limits.admit_address(client, fulcio.clock.now_ms())?;
    match &fulcio.audit {
        // What could not be released is not begun: no precertificate is logged for it.
        Some(audit) if !audit.works() => Err(AuditUnavailable.into()),
        _ => Ok(()),
    }
}

fn granted(issued: &Issued) -> Outcome {
    let leaf = issued.chain.leaf();
    Outcome::Issued {
        serial: hex::encode(leaf.serial()),
        certificate_sha256: hex::encode(sha256(leaf.der())),
        scts: issued.logged.iter().map(sct_of).collect(),
    }
}

fn sct_of(place: &LoggedAt) -> SctOf {
    SctOf { log_id: hex::encode(place.log_id), leaf_index: place.leaf_index }
}

/// Entries of the configuration alone: a label for each issuer that fits a pattern would have no bound.
fn issuer_label(known: &Known) -> &str {
    known.issuer_entry.as_deref().unwrap_or("none")
}

/// What names the request in the metadata of a reply that grants it.
pub(super) fn request_id_header(request_id: &str) -> HeaderMap {
    let value = request_id.try_into().ok();
    value.map(|value| (axum::http::HeaderName::from_static(REQUEST_ID), value)).into_iter().collect()
}
