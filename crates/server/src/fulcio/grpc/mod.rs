// SPDX-License-Identifier: Apache-2.0
//! The same API as gRPC: `dev.sigstore.fulcio.v2.CA` (sigstore/fulcio, `fulcio.proto`) on the port of the services, beside HTTP.
//!
//! In scope: the methods, where a call has its token, what health and reflection say. Out of scope: what is decided (`decide`); frames and statuses
//! ([`crate::http::grpc`]); v1, which the public service does not offer as gRPC either.
//! Invariants: each call does what its HTTP twin does, with the same checks, limits and lines; a refusal has the twin's code, text and reason, and its headers
//! as metadata.

mod describe;
mod messages;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware;
use axum::response::Response;
use axum::routing::post;
use tonic_health::pb::health_check_response::ServingStatus;

use self::messages::{Configuration, CreateSigningCertificateRequest, Empty, SigningCertificate, TrustBundle};
use super::api;
use super::decide::{client_of, decide, request_id_header};
use super::health::Health;
use super::issue::Fulcio;
use super::request::SigningRequest;
use super::serving::Serving;
use crate::http::ApiError;
use crate::http::grpc::about::About;
use crate::http::grpc::{calls_only, unary};

const SERVICE: &str = "dev.sigstore.fulcio.v2.CA";
/// The metadata that may hold the token.
const TOKEN: &str = "oidcidentitytoken";

pub(super) fn router(serving: Serving) -> Router {
    Router::new()
        .route("/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate", post(create_signing_certificate))
        .route("/dev.sigstore.fulcio.v2.CA/GetTrustBundle", post(get_trust_bundle))
        .route("/dev.sigstore.fulcio.v2.CA/GetConfiguration", post(get_configuration))
        .with_state(serving)
        .route_layer(middleware::from_fn(calls_only))
}

/// What health and reflection say: whether a certificate could be issued, and what the methods take and give.
pub(super) fn about(health: Health) -> About {
    let status = move || if health.is_well() { ServingStatus::Serving } else { ServingStatus::NotServing };
    About { service: SERVICE, status: Arc::new(status), files: &describe::FILES }
}

async fn create_signing_certificate(State(fulcio): State<Arc<Fulcio>>, request: Request) -> Result<Response, ApiError> {
    let (client, token) = (client_of(&fulcio, &request), token_beside(request.headers()));
    unary(request, async |message: Result<CreateSigningCertificateRequest, _>| {
        let parse = || Ok(SigningRequest::from_message(message?.into_wire(), token));
        let released = decide(&fulcio, client, parse).await?;
        let reply = SigningCertificate::from_wire(api::signing_certificate(&released));
        Ok((reply, request_id_header(&released.request_id)))
    })
    .await
}

/// As the public service: of several values none counts.
fn token_beside(metadata: &HeaderMap) -> String {
    let mut values = metadata.get_all(TOKEN).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

async fn get_trust_bundle(State(fulcio): State<Arc<Fulcio>>, request: Request) -> Result<Response, ApiError> {
    unary(request, async |message: Result<Empty, _>| {
        let Empty {} = message?;
        Ok((TrustBundle::from_wire(api::trust_bundle(&fulcio)), HeaderMap::new()))
    })
    .await
}

async fn get_configuration(State(fulcio): State<Arc<Fulcio>>, request: Request) -> Result<Response, ApiError> {
    unary(request, async |message: Result<Empty, _>| {
        let Empty {} = message?;
        Ok((Configuration::from_wire(api::configuration(&fulcio)), HeaderMap::new()))
    })
    .await
}
