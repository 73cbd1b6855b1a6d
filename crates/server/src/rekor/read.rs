// SPDX-License-Identifier: Apache-2.0
//! Checkpoint, tiles and entry bundles of a log (C2SP tlog-tiles), rendered on read where they are partial.
//!
//! In scope: paths, media types, cache headers, entity tags, gzip of entry bundles. Out of scope: proofs, which readers compute from tiles.
//! Invariant: nothing past the latest signed checkpoint is shown.

use axum::extract::{Path, State};
use axum::http::header::VARY;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use touchmark_tlog::tile::{TilePath, parse_tile_path};

use super::Rekor;
use crate::http::ApiError;
use crate::http::immutable::{Encoding, Reader};
use crate::witness::{self, Wish};

pub(super) const CHECKPOINT_TYPE: &str = "text/plain; charset=utf-8";
pub(super) const TILE_TYPE: &str = "application/octet-stream";

/// A full tile never changes.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A partial tile does not change either, but is soon of no use to anyone.
const MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");
const NEVER: HeaderValue = HeaderValue::from_static("no-cache");

pub(super) async fn checkpoint(State(rekor): State<Rekor>, headers: HeaderMap) -> Result<Response, ApiError> {
    let shown = witness::checkpoint(&rekor.log, rekor.witnesses.as_ref(), Wish::of(&headers))?;
    let preference = shown.preference_applied();
    let note = shown.value().note.as_bytes().to_vec();
    let mut response = Reader::of(&headers).reply(CHECKPOINT_TYPE, note, Encoding::Identity, NEVER).await;
    response.headers_mut().extend(preference);
    response.headers_mut().insert(VARY, HeaderValue::from_static("prefer"));
    Ok(response)
}

pub(super) async fn tile(
    State(rekor): State<Rekor>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (path, bytes) = tile_bytes(&rekor, &path).await?;
    let caching = if path.is_partial() { MINUTES } else { FOREVER };
    let encoding = match path {
        TilePath::Entries { .. } => Encoding::GzipIfAsked,
        TilePath::Hashes(_) | TilePath::Data { .. } => Encoding::Identity,
    };
    Ok(Reader::of(&headers).reply(TILE_TYPE, bytes, encoding, caching).await)
}

/// A tile or entry bundle by what follows `tile/` in its path.
pub(super) async fn tile_bytes(rekor: &Rekor, path: &str) -> Result<(TilePath, Vec<u8>), ApiError> {
    let path = parse_tile_path(&format!("tile/{path}")).map_err(|_| ApiError::not_found())?;
    let bytes = rekor.log.tile(path).await.map_err(|error| ApiError::internal(&error))?;
    Ok((path, bytes.ok_or_else(ApiError::not_found)?))
}
