// SPDX-License-Identifier: Apache-2.0
//! Checkpoint, tiles and entry bundles of a log (C2SP tlog-tiles), rendered on read where they are partial.
//!
//! In scope: paths, media types, cache headers. Out of scope: proofs, which readers compute from tiles.
//! Invariant: nothing past the latest signed checkpoint is shown.

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use touchmark_tlog::tile::{TilePath, parse_tile_path};

use super::Rekor;
use crate::http::{ApiError, bytes_response};
use crate::witness::{self, Wish};

/// A full tile never changes.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A partial tile does not change either, but is soon of no use to anyone.
const MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");
const NEVER: HeaderValue = HeaderValue::from_static("no-cache");

pub(super) async fn checkpoint(State(rekor): State<Rekor>, headers: HeaderMap) -> Result<Response, ApiError> {
    let shown = witness::checkpoint(&rekor.log, rekor.witnesses.as_ref(), Wish::of(&headers))?;
    let mut response = bytes_response(200, "text/plain; charset=utf-8", Vec::new());
    shown.mark(&mut response);
    *response.body_mut() = shown.value().note.as_bytes().to_vec().into();
    response.headers_mut().insert(VARY, HeaderValue::from_static("prefer"));
    Ok(cached(response, NEVER))
}

pub(super) async fn tile(State(rekor): State<Rekor>, Path(path): Path<String>) -> Result<Response, ApiError> {
    let path = parse_tile_path(&format!("tile/{path}")).map_err(|_| ApiError::not_found())?;
    let caching = if is_full(&path) { FOREVER } else { MINUTES };
    match rekor.log.tile(path).await {
        Ok(Some(bytes)) => Ok(cached(bytes_response(200, "application/octet-stream", bytes), caching)),
        Ok(None) => Err(ApiError::not_found()),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

fn is_full(path: &TilePath) -> bool {
    !path.path().contains(".p/")
}

fn cached(mut response: Response, value: HeaderValue) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, value);
    response
}
