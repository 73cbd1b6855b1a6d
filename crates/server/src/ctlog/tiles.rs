// SPDX-License-Identifier: Apache-2.0
//! The reading half of c2sp.org/static-ct-api: checkpoint, tiles, issuers.
//!
//! In scope: paths to objects, content types, how long each may be cached, entity tags, gzip of data tiles. Out of scope: rendering (`touchmark_sequencer`).
//! Invariant: no tile and no issuer ever changes under its name; a partial tile is soon of no use, and the checkpoint may not be kept.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_tlog::tile::{TilePath, parse_tile_path};

use super::append::issuer_name;
use super::{CtLog, Refusal};
use crate::http::immutable::{Encoding, Reader};
use crate::witness::{self, Wish};

const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=604800, immutable");
const MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");
const NOT_AT_ALL: HeaderValue = HeaderValue::from_static("no-store");

pub(super) async fn checkpoint(State(log): State<CtLog>, headers: HeaderMap) -> Result<Response, Refusal> {
    let shown = witness::checkpoint(&log.0.log, log.0.witnesses.as_ref(), Wish::of(&headers))?;
    let preference = shown.preference_applied();
    let note = shown.value().note.as_bytes().to_vec();
    let reader = Reader::of(&headers);
    let mut response = reader.reply("text/plain; charset=utf-8", note, Encoding::Identity, NOT_AT_ALL).await;
    response.headers_mut().extend(preference);
    Ok(response)
}

pub(super) async fn tile(
    State(log): State<CtLog>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let path = parse_tile_path(&format!("tile/{path}")).map_err(|_| Refusal::not_found())?;
    let encoding = match path {
        TilePath::Hashes(_) => Encoding::Identity,
        TilePath::Data { .. } => Encoding::GzipIfAsked,
        // Entry bundles are another kind of log's.
        TilePath::Entries { .. } => return Err(Refusal::not_found()),
    };
    let caching = if path.is_partial() { MINUTES } else { FOREVER };
    let bytes = log.0.log.tile(path).await.map_err(|error| Refusal::internal(&error))?;
    let bytes = bytes.ok_or_else(Refusal::not_found)?;
    Ok(Reader::of(&headers).reply("application/octet-stream", bytes, encoding, caching).await)
}

/// The longest time from an SCT to a checkpoint that covers it, in seconds: what is asked of static logs. It takes about a second. No tree head that is
/// shown may be older (RFC 6962 §3.5), so an idle log signs its tree again before.
pub(crate) const MAXIMUM_MERGE_DELAY_S: u32 = 60;

/// The log as a member of a log list (schema 3) describes it. The URLs are those of the trusted root: the log's name, whatever address it is reached at.
pub(super) async fn metadata(State(log): State<CtLog>, headers: HeaderMap) -> Response {
    let key = log.0.signer.public_key();
    let url = format!("http://{}/", log.0.note_key.name());
    let mut description = serde_json::json!({
        "description": log.0.note_key.name(),
        "log_id": STANDARD.encode(key.spki_sha256()),
        "key": STANDARD.encode(key.spki_der()),
        "mmd": MAXIMUM_MERGE_DELAY_S,
        "submission_url": url,
        "monitoring_url": url,
    });
    if let Some(interval) = log.0.validity.interval {
        description["temporal_interval"] = serde_json::json!({
            "start_inclusive": interval.start().to_string(),
            "end_exclusive": interval.limit().to_string(),
        });
    }
    let bytes = description.to_string().into_bytes();
    Reader::of(&headers).reply("application/json", bytes, Encoding::Identity, MINUTES).await
}

pub(super) async fn issuer(
    State(log): State<CtLog>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let lower = name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let fingerprint = hex::decode(&name).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let fingerprint = fingerprint.filter(|_| lower).ok_or_else(Refusal::not_found)?;
    let der = log.0.log.object(&issuer_name(&fingerprint)).await.map_err(|error| Refusal::internal(&error))?;
    let der = der.ok_or_else(Refusal::not_found)?;
    Ok(Reader::of(&headers).reply("application/pkix-cert", der, Encoding::Identity, FOREVER).await)
}
