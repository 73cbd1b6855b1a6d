// SPDX-License-Identifier: Apache-2.0
//! Rekor v2: the transparency log of signatures (sigstore/rekor-tiles, `dev.sigstore.rekor.v2.Rekor`).
//!
//! In scope: `POST /api/v2/log/entries` ([`append`]); checkpoint, tiles and entry bundles ([`read`]), which the public server
//! leaves to a bucket; the same as gRPC ([`grpc`]); the paths of one log and those of the active shard.
//! Out of scope: the leaf and the checks of a request (`touchmark_sigstore::rekor`), sequencing (`touchmark_sequencer`),
//! Rekor v1, search.
//! Invariants: the leaf is rendered by the one function that verifiers use; the reply carries a proof that this server has
//! verified itself.

mod append;
mod format;
mod grpc;
mod read;

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use touchmark_sequencer::Log;
use touchmark_tlog::note::NoteKey;

use crate::http::grpc::about::{self, About};
use crate::http::listener::Stop;
use crate::metrics::Submissions;
use crate::witness::Witnesses;

pub(crate) use format::RekorEntries;

/// One log.
#[derive(Clone)]
pub(crate) struct Rekor {
    log: Log,
    witnesses: Option<Witnesses>,
    log_id: [u8; 32],
    submissions: Submissions,
}

impl Rekor {
    /// A log whose id is the untruncated key id of the key that signs its checkpoints.
    pub(crate) fn new(log: Log, witnesses: Option<Witnesses>, note_key: &NoteKey, submissions: Submissions) -> Self {
        Rekor { log, witnesses, log_id: note_key.id(), submissions }
    }
}

/// The log that answers at the bare paths; clones are the same.
#[derive(Clone)]
pub(crate) struct ActiveRekor(Arc<RwLock<Rekor>>);

impl ActiveRekor {
    pub(crate) fn new(rekor: Rekor) -> Self {
        Self(Arc::new(RwLock::new(rekor)))
    }

    /// Lets another log answer from now on. Requests under way stay with the log that they began with.
    pub(crate) fn switch(&self, rekor: Rekor) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rekor;
    }
}

impl FromRef<ActiveRekor> for Rekor {
    fn from_ref(active: &ActiveRekor) -> Self {
        active.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The paths of one log, relative to `/log/<name>`: the API, and what generic tile-log tools expect at the base. Streams end at `stop`.
pub(crate) fn router(rekor: Rekor, stop: &Stop) -> Router {
    let base = Router::new()
        .route("/checkpoint", get(read::checkpoint))
        .route("/tile/{*path}", get(read::tile))
        .with_state(rekor.clone());
    api()
        .with_state(rekor.clone())
        .merge(base)
        .merge(grpc::router(rekor.clone()))
        .merge(about::router(&[grpc::about(rekor)], stop))
}

/// The bare paths, which belong to the active shard, and what health and reflection say of it there.
pub(crate) fn active_shard(active: ActiveRekor) -> (Router, About) {
    (api().with_state(active.clone()).merge(grpc::router(active.clone())), grpc::about(active))
}

fn api<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Rekor: FromRef<S>,
{
    Router::new()
        .route("/api/v2/log/entries", post(append::create_entry))
        .route("/api/v2/checkpoint", get(read::checkpoint))
        .route("/api/v2/tile/{*path}", get(read::tile))
}
