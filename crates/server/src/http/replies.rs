// SPDX-License-Identifier: Apache-2.0
//! How many bytes of replies one listener holds at once, and for how long a peer may let them wait.
//!
//! A reply is whole in memory before its head is sent, and stays there until the peer has taken it. The window of a stream in HTTP/2 (RFC 9113, section 5.2)
//! is the peer's to open: one that never does, and answers pings, would hold 128 replies on each connection for ever, with no write that waits.
//! In scope: admission of replies by their size, the count of what a connection has not taken. Out of scope: a write that waits
//! ([`super::stall`]); replies that are not there as a whole when they begin (the streams of gRPC), which hold next to nothing; the work of making a
//! reply, which the number of requests bounds ([`super::layers`]).
//! Invariants: the replies of one listener hold at most [`HELD_BYTES_MAX`], large ones at most [`LARGE_BYTES_IN_FLIGHT_MAX`] of it, besides those of
//! [`REPLY_BYTES_UNCOUNTED_MAX`] and less; a reply counts until the last reference to its bytes is gone, wherever HTTP keeps one; a connection that has counted
//! replies to take and takes less than [`TAKEN_BYTES_MIN`] in the time it has is found, whatever else it sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::response::Response;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};

use super::{ApiError, grpc};

/// What every reply may have without being counted: a tile of hashes and less, so that the hot path has nothing to do here.
pub(super) const REPLY_BYTES_UNCOUNTED_MAX: usize = 8 << 10;
/// Larger replies (entry bundles) leave room for the others.
const LARGE_BYTES: usize = 64 << 10;
/// Bytes that replies above [`LARGE_BYTES`] find taken at most: 16 of the largest bundles.
const LARGE_BYTES_IN_FLIGHT_MAX: usize = 256 << 20;
/// Bytes of all counted replies.
const HELD_BYTES_MAX: usize = 512 << 20;
/// What a connection must take in the time it has for that: half a kilobyte in a second, while answers to pings are some bytes.
const TAKEN_BYTES_MIN: u64 = 16 << 10;

/// The budget of one listener; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct ReplyBudget(Arc<AtomicUsize>);

impl ReplyBudget {
    /// What the replies of one request take from, and the connection that has to take them, if a listener said which.
    pub(super) fn of(&self, peer: Option<Peer>) -> Replies {
        Replies { budget: self.clone(), peer }
    }

    fn try_take(&self, bytes: usize) -> Result<(), OverBudget> {
        let ceiling = if bytes > LARGE_BYTES { LARGE_BYTES_IN_FLIGHT_MAX } else { HELD_BYTES_MAX };
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= ceiling);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).map(drop).map_err(|_| OverBudget)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// The listener holds as many bytes of replies as it may. The text is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many large replies at once; retry")]
pub(super) struct OverBudget;

impl From<OverBudget> for ApiError {
    fn from(error: OverBudget) -> Self {
        ApiError::new(503, grpc::UNAVAILABLE, error.to_string()).with_header("retry-after", "1")
    }
}

/// Where the reply to one request is counted.
#[derive(Clone)]
pub(super) struct Replies {
    budget: ReplyBudget,
    peer: Option<Peer>,
}

impl Replies {
    /// The same bytes; if they are many, counted from here on.
    pub(super) fn count(&self, bytes: Bytes) -> Result<Bytes, OverBudget> {
        let length = bytes.len();
        if length <= REPLY_BYTES_UNCOUNTED_MAX {
            return Ok(bytes);
        }
        self.budget.try_take(length)?;
        if let Some(peer) = &self.peer {
            peer.owe(length);
        }
        let place = Place { length, replies: self.clone() };
        Ok(Bytes::from_owner(Counted { bytes, _place: place }))
    }

    /// The same reply with its bytes counted, if they are many and known; others pass as they are.
    pub(super) async fn count_body(&self, response: Response) -> Result<Response, ApiError> {
        let length = response.body().size_hint().exact().unwrap_or(0);
        if length <= REPLY_BYTES_UNCOUNTED_MAX as u64 {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        // It lies in memory, so that this waits for nothing.
        let bytes = body.collect().await.map_err(|error| ApiError::internal(&error))?.to_bytes();
        Ok(Response::from_parts(parts, Body::from(self.count(bytes)?)))
    }

    /// The whole reply to a call of gRPC, with what comes after the message.
    pub(super) async fn count_call(&self, body: tonic::body::Body) -> Result<Body, ApiError> {
        let collected = body.collect().await.map_err(|error| ApiError::internal(&error))?;
        let trailers = collected.trailers().cloned().unwrap_or_else(HeaderMap::new);
        let message = Full::new(self.count(collected.to_bytes())?);
        let framed = message.with_trailers(std::future::ready(Some(Ok(trailers))));
        // As a stream it does not say its length: gRPC has its own, and no content-length.
        Ok(Body::new(StreamBody::new(BodyStream::new(framed))))
    }
}

/// Bytes that count as long as anything refers to them; the place is given back after them.
struct Counted {
    bytes: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

struct Place {
    length: usize,
    replies: Replies,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.replies.budget.0.fetch_sub(self.length, Ordering::AcqRel);
        if let Some(peer) = &self.replies.peer {
            peer.settle(self.length);
        }
    }
}

/// What one connection has to take and what it took; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Peer(Arc<Counts>);

#[derive(Default)]
struct Counts {
    /// Bytes of counted replies that it has not taken.
    owed: AtomicUsize,
    /// How often that came to nothing.
    settled: AtomicU64,
    /// Bytes that its socket took, of whatever kind.
    written: AtomicU64,
}

impl Peer {
    fn owe(&self, bytes: usize) {
        self.0.owed.fetch_add(bytes, Ordering::AcqRel);
    }

    fn settle(&self, bytes: usize) {
        if self.0.owed.fetch_sub(bytes, Ordering::AcqRel) == bytes {
            self.0.settled.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The socket took bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns once replies have waited longer than `patience` while the peer took next to nothing: at the latest after twice as long.
    pub(super) async fn stalled(&self, patience: Duration) {
        let seen = || {
            let Counts { owed, settled, written } = &*self.0;
            (owed.load(Ordering::Acquire), settled.load(Ordering::Acquire), written.load(Ordering::Relaxed))
        };
        loop {
            let (owed, settled, written) = seen();
            tokio::time::sleep(patience).await;
            let (_, settled_since, written_since) = seen();
            if owed > 0 && settled == settled_since && written_since.wrapping_sub(written) < TAKEN_BYTES_MIN {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
