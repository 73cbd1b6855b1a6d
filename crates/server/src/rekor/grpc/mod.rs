// SPDX-License-Identifier: Apache-2.0
//! The same API as gRPC: `dev.sigstore.rekor.v2.Rekor` (sigstore/rekor-tiles, `api/proto`) on the port of the services, beside HTTP.
//!
//! In scope: the methods, and what health and reflection say of the log. Out of scope: what a request means ([`super::append`], [`super::read`]); frames and
//! statuses ([`crate::http::grpc`]); health and reflection themselves ([`crate::http::grpc::about`]); `CreateIdentityEntry`, which is still in motion and answered as
//! unimplemented, as over HTTP.
//! Invariants: each call does what its HTTP twin does, with the same checks, limits and counts; a refusal has the twin's code and text, and its headers as
//! metadata.

mod describe;
mod messages;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::http::HeaderMap;
use axum::middleware;
use axum::response::Response;
use axum::routing::post;
use tonic_health::pb::health_check_response::ServingStatus;
use touchmark_sigstore::rekor::check_request;

use self::messages::{CreateEntryRequest, Empty, EntryBundleRequest, HttpBody, TileRequest, TransparencyLogEntry};
use super::append::{Repeated, frozen};
use super::{Rekor, read};
use crate::http::ApiError;
use crate::http::grpc::about::About;
use crate::http::grpc::{calls_only, unary};
use crate::witness::{self, Wish};

pub(crate) const SERVICE: &str = "dev.sigstore.rekor.v2.Rekor";

/// The methods of the log that `state` has, as a listener's root or that of a log has them.
pub(super) fn router<S>(state: S) -> Router
where
    S: Clone + Send + Sync + 'static,
    Rekor: FromRef<S>,
{
    Router::new()
        .route("/dev.sigstore.rekor.v2.Rekor/CreateEntry", post(create_entry))
        .route("/dev.sigstore.rekor.v2.Rekor/GetTile", post(get_tile))
        .route("/dev.sigstore.rekor.v2.Rekor/GetEntryBundle", post(get_entry_bundle))
        .route("/dev.sigstore.rekor.v2.Rekor/GetCheckpoint", post(get_checkpoint))
        .with_state(state)
        .route_layer(middleware::from_fn(calls_only))
}

/// What health and reflection say: whether the log goes on, and what it takes and gives.
pub(super) fn about<S>(state: S) -> About
where
    S: Send + Sync + 'static,
    Rekor: FromRef<S>,
{
    let status = move || match Rekor::from_ref(&state).log.stopped() {
        Some(_) => ServingStatus::NotServing,
        None => ServingStatus::Serving,
    };
    About { service: SERVICE, status: Arc::new(status), files: &describe::FILES }
}

async fn create_entry(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    let (wish, repeated) = (Wish::of(request.headers()), Repeated::of(request.headers()));
    let answer = async |message: Result<CreateEntryRequest, _>| {
        if rekor.log.is_frozen() {
            rekor.submissions.count("frozen");
            return Err(frozen());
        }
        let message = message.inspect_err(|_| rekor.submissions.count("malformed"))?;
        let entry = check_request(message.into_wire()).map_err(|error| rekor.refused(&error))?;
        let entered = rekor.enter(entry.record(), wish, repeated).await?;
        let metadata = entered.headers();
        Ok((TransparencyLogEntry::from_wire(entered.into_entry()), metadata))
    };
    unary(request, answer).await
}

async fn get_tile(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    unary(request, async |message: Result<TileRequest, _>| {
        let TileRequest { level, index } = message?;
        tile(&rekor, &format!("{level}/{index}")).await
    })
    .await
}

async fn get_entry_bundle(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    unary(request, async |message: Result<EntryBundleRequest, _>| {
        let EntryBundleRequest { index } = message?;
        tile(&rekor, &format!("entries/{index}")).await
    })
    .await
}

async fn tile(rekor: &Rekor, path: &str) -> Result<(HttpBody, HeaderMap), ApiError> {
    let (_path, data) = read::tile_bytes(rekor, path).await?;
    Ok((HttpBody { content_type: read::TILE_TYPE.to_owned(), data }, HeaderMap::new()))
}

async fn get_checkpoint(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    let wish = Wish::of(request.headers());
    unary(request, async |message: Result<Empty, _>| {
        let Empty {} = message?;
        let shown = witness::checkpoint(&rekor.log, rekor.witnesses.as_ref(), wish)?;
        let metadata = shown.preference_applied().into_iter().collect();
        let data = shown.value().note.as_bytes().to_vec();
        Ok((HttpBody { content_type: read::CHECKPOINT_TYPE.to_owned(), data }, metadata))
    })
    .await
}
