// SPDX-License-Identifier: Apache-2.0
//! Timestamp authority (RFC 3161 and RFC 5816 over HTTP, with the API of sigstore/timestamp-authority).
//!
//! In scope: `POST /api/v1/timestamp` with DER and JSON requests ([`request`]), the chains, what a token goes through ([`serving`]), the key that signs
//! it ([`authority`]), its time ([`times`]) and whether the clock is right ([`clock`]), what an operator sees ([`audit`], [`health`]). Out of
//! scope: the formats (`touchmark_sigstore::tsp`), setting the system's clock.
//! Invariants: the time of a token is never before that of an earlier one, also of an earlier process, nor ahead of the clock by more than the stated
//! accuracy; no token is signed outside the validity of the whole chain, nor while the configured time servers do not confirm the clock; with
//! an audit log, none leaves without its line on disk.

mod audit;
mod authority;
mod clock;
mod error;
mod health;
mod policies;
mod request;
mod serving;
mod times;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use touchmark_sigstore::x509::Certificate;

use crate::http::{bytes_response, json_response};
use error::{Dialect, REPLY, TsaError};

pub(crate) use audit::AuditLog;
#[cfg(test)]
use authority::AuthorityError;
pub(crate) use authority::{Authority, Embedded};
pub(crate) use clock::{ClockPlace, POLL_DEFAULT, POLL_MAX, POLL_MIN, SERVERS_MAX, TimeServers};
pub(crate) use health::Condition;
pub(crate) use policies::Policies;
pub(crate) use serving::{Operations, Successor, Tsa};

/// The paths of the authority.
pub(crate) fn router(tsa: Arc<Tsa>) -> Router {
    Router::new()
        .route("/api/v1/timestamp", post(create_token).fallback(only_post))
        .route("/api/v1/timestamp/certchain", get(certificate_chain).fallback(only_get))
        .route("/api/v1/timestamp/trustBundle", get(trust_bundle).fallback(only_get))
        .route("/ping", get(|| async { "." }))
        .with_state(tsa)
}

async fn create_token(State(tsa): State<Arc<Tsa>>, request: Request) -> Response {
    let dialect = Dialect::of(request.headers());
    let mut counted = tsa.counted();
    let made = match tsa.admit(&request) {
        Ok(()) => match request::read(request, tsa.policies()).await {
            Ok(request) => tsa.issue(&request).await,
            Err(refused) => Err(refused),
        },
        Err(refused) => Err(refused),
    };
    counted.end(&made);
    match made {
        Ok(stamped) => cached(bytes_response(200, REPLY, stamped.reply), HeaderValue::from_static("no-store")),
        Err(error) => {
            error.log();
            error.into_reply(dialect)
        }
    }
}

async fn certificate_chain(State(tsa): State<Arc<Tsa>>) -> Response {
    let pem = tsa.inspect(|authority| authority.chain_pem().to_owned()).into_bytes();
    cached(bytes_response(200, "application/pem-certificate-chain", pem), HeaderValue::from_static("max-age=86400"))
}

/// The chains of this key and of earlier ones, in the form in which Fulcio shows its own.
async fn trust_bundle(State(tsa): State<Arc<Tsa>>) -> Response {
    let now = tsa.now();
    let pems = |chain: &[Certificate]| chain.iter().map(|certificate| certificate.to_pem()).collect::<Vec<_>>();
    let chains = tsa.inspect(|authority| {
        authority.published(now).map(|chain| serde_json::json!({"certificates": pems(chain)})).collect::<Vec<_>>()
    });
    let body = serde_json::json!({ "chains": chains });
    cached(json_response(200, &body), HeaderValue::from_static("max-age=3600"))
}

fn cached(mut response: Response, value: HeaderValue) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, value);
    response
}

async fn only_post(method: Method) -> Response {
    TsaError::Method { found: method, allowed: "POST" }.into_response()
}

async fn only_get(method: Method) -> Response {
    TsaError::Method { found: method, allowed: "GET" }.into_response()
}

#[cfg(test)]
mod tests;
