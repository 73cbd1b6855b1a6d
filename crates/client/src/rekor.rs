// SPDX-License-Identifier: Apache-2.0
//! The client of the transparency log: a signature in, a checked entry out.
//!
//! Rekor v2 (`POST /api/v2/log/entries`), kind hashedrekord 0.0.2. A log hands out its entry together with the proof and the
//! checkpoint that it will later be held to.
//!
//! Invariant: a [`Logged`] is our entry, byte for byte as we would render it, included under a checkpoint that a log of the
//! trusted root signed.

use std::time::Duration;

use touchmark_outbound::Limits;
use touchmark_sigstore::rekor::LogEntry;
use touchmark_sigstore::trust::Service;
use touchmark_sigstore::verify::{self, LoggedEntry};
use touchmark_sigstore::wire::rekor::TransparencyLogEntry;

use crate::service::{Endpoint, ServiceKind};
use crate::sign::{CertifiedSignature, ReplyError, SignError, Signing};

/// A public log answers only once a checkpoint covers the entry, which takes it up to ten seconds by design.
const APPEND_TIMEOUT: Duration = Duration::from_secs(60);

/// An entry that was checked.
pub struct Logged {
    entry: TransparencyLogEntry,
    proven: LoggedEntry,
}

impl Logged {
    /// For the bundle.
    #[must_use]
    pub fn into_entry(self) -> TransparencyLogEntry {
        self.entry
    }

    #[must_use]
    pub fn proven(&self) -> &LoggedEntry {
        &self.proven
    }
}

/// Has `signature` logged, and checks what comes back.
pub async fn append(
    signing: &Signing<'_>,
    service: &Service,
    signature: &CertifiedSignature<'_>,
) -> Result<Logged, SignError> {
    let endpoint = Endpoint::new(ServiceKind::TransparencyLog, service.url(), "api/v2/log/entries")?;
    let refused = |source: ReplyError| SignError::Reply {
        service: ServiceKind::TransparencyLog,
        url: endpoint.url().clone(),
        source,
    };
    let record = signature.to_entry().map_err(|error| refused(ReplyError::OwnEntry(error)))?;
    // An answer that was lost, or that came too late, is asked for again: the entry is there already then.
    let headers =
        [("content-type", "application/json"), ("accept", "application/json"), ("prefer", "return=representation")];
    let limits = Limits { timeout: APPEND_TIMEOUT, ..Limits::SERVICE };
    let body = record.to_request().to_json();
    let response = endpoint.post(signing.outbound, &headers, &body, &limits).await?;
    let reply = TransparencyLogEntry::from_json(&response.body)
        .map_err(|_| endpoint.not_understood("a transparency log entry"))?;
    let entry = LogEntry::from_wire(reply.clone()).map_err(|error| refused(ReplyError::Entry(error)))?;
    let proven = verify::logged(&entry, &record, signing.trusted_root, &[]).map_err(|error| refused(error.into()))?;
    Ok(Logged { entry: reply, proven })
}
