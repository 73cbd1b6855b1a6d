// SPDX-License-Identifier: Apache-2.0
//! Keeps snapshot and timestamp fresh while the server runs.
//!
//! In scope: looking once in a while and signing what is due. Out of scope: root and targets, whose keys are not here; their
//! coming expiry is only announced.
//! Invariant: a failure is logged and tried again; it ends neither the task nor the server.

use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan;
use touchmark_sequencer::Clock;
use touchmark_signers::Signer;

use super::Repository;
use crate::deps::timestamp;
use crate::http::listener::Stop;

/// How often the metadata is looked at: a small part of the day after which the timestamp is due.
const CHECK_EVERY: Duration = Duration::from_secs(3600);
/// How long before the end of root or targets it is announced at each look.
const WARN_DAYS: i64 = 46;

/// Runs until `stop`.
pub(crate) async fn keep_fresh(
    mut repository: Repository,
    online: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    mut stop: Stop,
) {
    loop {
        let now = timestamp(clock.as_ref());
        if let Err(error) = repository.refresh(online.as_ref(), now).await {
            tracing::error!(%error, "the TUF timestamp was not signed; trying again");
        }
        let expiry = repository.offline_expiry();
        if now.checked_add((WARN_DAYS * 24).hours()).is_ok_and(|soon| soon >= expiry) {
            tracing::warn!(%expiry, "the root or targets role of the TUF repository needs its offline key soon");
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_EVERY) => {}
            () = stop.requested() => return,
        }
    }
}
