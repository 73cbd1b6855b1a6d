// SPDX-License-Identifier: Apache-2.0
//! Which checkpoint a reader is shown, and which one a writer waits for.
//!
//! A caller asks with `Prefer: cosigned`, and may say how long it waits with `wait=<seconds>` (RFC 7240; servers that know neither ignore
//! both). The answer says `Preference-Applied: cosigned` if its checkpoint has the quorum.
//!
//! | | fail-open | fail-closed |
//! | --- | --- | --- |
//! | reader | the newest signed checkpoint, with the cosignatures if its tree has the quorum | the newest cosigned one, or 503 |
//! | reader who prefers cosigned | the newest cosigned one, or 503 | the same |
//! | writer | the log's own checkpoint, at once | waits for the quorum, or 503: the entry is durable |
//! | writer who prefers cosigned | waits; after its time the log's own checkpoint | the same as above |
//!
//! Each of these is monotonic for itself: signed sizes never fall, and neither do cosigned ones.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use touchmark_sequencer::{Log, Logged, SignedCheckpoint};
use touchmark_tlog::LeafIndex;

use super::{WitnessMode, Witnesses};
use crate::http::{ApiError, grpc, preferences};

/// How long a writer waits who does not say how long: two rounds and their answers.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// The longest wait of a writer; a request has a deadline of its own.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What a caller prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The newest checkpoint.
    Newest,
    /// One that the quorum has cosigned, within this time.
    Cosigned { wait: Duration },
}

/// A checkpoint or what stands under one, and whether the quorum has cosigned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown<T> {
    Plain(T),
    Cosigned(T),
}

impl<T> Shown<T> {
    pub(crate) fn value(self) -> T {
        match self {
            Shown::Plain(value) | Shown::Cosigned(value) => value,
        }
    }

    /// The header that says so, if the preference for a cosigned checkpoint was applied.
    pub(crate) fn preference_applied(&self) -> Option<(HeaderName, HeaderValue)> {
        let applied = (HeaderName::from_static("preference-applied"), HeaderValue::from_static("cosigned"));
        matches!(self, Shown::Cosigned(_)).then_some(applied)
    }
}

impl Wish {
    /// Reads the preferences of a request. What is not understood is passed over, as RFC 7240 §2 says.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut cosigned, mut wait) = (false, WAIT_DEFAULT);
        for preference in preferences(headers) {
            match preference.split_once('=') {
                None if preference == "cosigned" => cosigned = true,
                Some(("wait", seconds)) => {
                    wait =
                        seconds.parse().map_or(wait, |seconds: u16| Duration::from_secs(seconds.into()).min(WAIT_MAX));
                }
                _ => {}
            }
        }
        if cosigned { Wish::Cosigned { wait } } else { Wish::Newest }
    }
}

/// The checkpoint that a reader of `log` is shown.
///
/// # Errors
/// 503 if only a cosigned one would do, and there is none yet.
pub(crate) fn checkpoint(
    log: &Log,
    witnesses: Option<&Witnesses>,
    wish: Wish,
) -> Result<Shown<SignedCheckpoint>, NotCosigned> {
    let newest = log.checkpoint();
    let Some(Witnesses(shared)) = witnesses else {
        // A preference that cannot be met is passed over (RFC 7240 §2); the answer does not say that it was applied.
        return Ok(Shown::Plain(newest));
    };
    let cosigned = shared.cosigned.borrow();
    let wants_cosigned = shared.mode == WitnessMode::FailClosed || matches!(wish, Wish::Cosigned { .. });
    match cosigned.as_ref() {
        // The log has signed the same tree again: the cosignatures are over the text, so they are good under its newest signature too.
        Some(cosigned) if newest.note.starts_with(&cosigned.text) => {
            let lines: String = cosigned.lines.iter().map(|line| format!("{line}\n")).collect();
            let note = format!("{}{lines}", newest.note);
            Ok(Shown::Cosigned(SignedCheckpoint { note: note.into(), ..newest }))
        }
        Some(cosigned) if wants_cosigned => Ok(Shown::Cosigned(cosigned.checkpoint.clone())),
        None if wants_cosigned => Err(NotCosigned),
        Some(_) | None => Ok(Shown::Plain(newest)),
    }
}

/// The evidence of a new entry: that of the log at once, or with a cosigned checkpoint, as configuration and wish demand.
///
/// # Errors
/// 503 if the log is fail-closed and the quorum is not reached in time; the entry is durable then.
pub(crate) async fn evidence(
    log: &Log,
    witnesses: Option<&Witnesses>,
    wish: Wish,
    logged: Logged,
) -> Result<Shown<Logged>, ApiError> {
    let Some(witnesses) = witnesses else { return Ok(Shown::Plain(logged)) };
    let mode = witnesses.0.mode;
    let wait = match (wish, mode) {
        (Wish::Newest, WitnessMode::FailOpen) => return Ok(Shown::Plain(logged)),
        (Wish::Newest, WitnessMode::FailClosed) => WAIT_DEFAULT,
        (Wish::Cosigned { wait }, _) => wait,
    };
    match (witnesses.covering(logged.index, wait).await, mode) {
        (Some(checkpoint), _) => {
            let proof = log.inclusion_proof(logged.index, checkpoint.size).await;
            let proof = proof.map_err(|error| ApiError::internal(&error))?;
            Ok(Shown::Cosigned(Logged { proof, checkpoint, ..logged }))
        }
        (None, WitnessMode::FailOpen) => Ok(Shown::Plain(logged)),
        (None, WitnessMode::FailClosed) => Err(not_cosigned_in_time(logged.index)),
    }
}

fn not_cosigned_in_time(index: LeafIndex) -> ApiError {
    let message =
        format!("the entry is in the log at index {index}, but its witnesses have not cosigned it yet; retry");
    ApiError::new(503, grpc::UNAVAILABLE, message)
        .with_header("retry-after", "5")
        .with_header("x-log-index", index.to_string())
}

impl Witnesses {
    /// The first cosigned checkpoint that covers an entry, if there is one in time.
    async fn covering(&self, index: LeafIndex, wait: Duration) -> Option<SignedCheckpoint> {
        let mut changes = self.0.cosigned.subscribe();
        let covers = |cosigned: &Option<super::Cosigned>| {
            cosigned.as_ref().is_some_and(|cosigned| cosigned.checkpoint.size.0 > index.0)
        };
        let found = tokio::time::timeout(wait, changes.wait_for(covers)).await.ok()?.ok()?;
        found.as_ref().map(|cosigned| cosigned.checkpoint.clone())
    }
}

/// Why a reader is shown nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the witnesses of this log have not cosigned a checkpoint yet; retry")]
pub(crate) struct NotCosigned;

impl From<NotCosigned> for ApiError {
    fn from(error: NotCosigned) -> Self {
        ApiError::new(503, grpc::UNAVAILABLE, error.to_string()).with_header("retry-after", "1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expect: Wish) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", value.parse().unwrap());
        }
        assert_eq!(Wish::of(&headers), expect, "{values:?}");
    }

    #[test]
    fn preferences_are_read_as_rfc_7240_writes_them() {
        let cosigned = |seconds| Wish::Cosigned { wait: Duration::from_secs(seconds) };
        check(&[], Wish::Newest);
        check(&["wait=3"], Wish::Newest);
        check(&["respond-async"], Wish::Newest);
        check(&["cosigned"], cosigned(10));
        check(&["Cosigned, wait=3"], cosigned(3));
        check(&["wait=3", "return=minimal,cosigned"], cosigned(3));
        check(&["cosigned, wait=100000"], cosigned(10));
        check(&["cosigned, wait=600"], cosigned(20));
        check(&["cosigned, wait=-1"], cosigned(10));
    }
}
