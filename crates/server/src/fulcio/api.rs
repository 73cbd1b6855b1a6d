// SPDX-License-Identifier: Apache-2.0
//! The API over HTTP: v2 as its gateway has it, and the older v1.
//!
//! `fulcio.proto` (v2), `fulcio_legacy.proto` (v1); where `dev.sigstore.fulcio.v2.CA` has the same method, both call the same function.
//!
//! In scope: paths, statuses, media types, replies. Out of scope: what is decided (`decide`), the form of a refusal (`crate::http`).
//! Invariant: every reply that is not a success has the gateway's error body.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use axum::routing::{get, post};
use touchmark_sigstore::wire::REQUEST_BYTES_MAX;
use touchmark_sigstore::wire::fulcio::{
    CertificateChain, Configuration, OidcIssuer, SigningCertificate, SigningCertificateEmbeddedSct, TrustBundle,
};
use touchmark_sigstore::x509::Certificate;

use super::config::{EmailVerification, IssuerConfig, IssuerKind, IssuerUrl};
use super::decide::{Released, client_of, decide, request_id_header};
use super::issue::Fulcio;
use super::request::{SigningRequest, bearer};
use super::serving::Serving;
use crate::deps::timestamp;
use crate::http::{ApiError, bytes_response, read_body, wrong_method};

const JSON: &str = "application/json";
const PEM_CHAIN: &str = "application/pem-certificate-chain";

/// The paths. Unknown ones are the caller's.
pub(super) fn router(serving: Serving) -> Router {
    Router::new()
        .route("/api/v2/signingCert", post(signing_cert))
        .route(
            "/api/v2/trustBundle",
            get(async |State(fulcio): State<Arc<Fulcio>>| json(trust_bundle(&fulcio).to_json())),
        )
        .route(
            "/api/v2/configuration",
            get(async |State(fulcio): State<Arc<Fulcio>>| json(configuration(&fulcio).to_json())),
        )
        .route("/api/v1/signingCert", post(signing_cert_v1))
        .route("/api/v1/rootCert", get(root_cert))
        .method_not_allowed_fallback(wrong_method)
        .with_state(serving)
}

async fn signing_cert(State(fulcio): State<Arc<Fulcio>>, request: Request) -> Result<Response, ApiError> {
    let (client, token) = (client_of(&fulcio, &request), token_beside(request.headers()));
    let body = read_body(request, REQUEST_BYTES_MAX).await?;
    let released = decide(&fulcio, client, || SigningRequest::parse(&body, token)).await?;
    Ok(named(json(signing_certificate(&released).to_json()), &released))
}

async fn signing_cert_v1(State(fulcio): State<Arc<Fulcio>>, request: Request) -> Result<Response, ApiError> {
    let (client, token) = (client_of(&fulcio, &request), token_beside(request.headers()));
    let body = read_body(request, REQUEST_BYTES_MAX).await?;
    let released = decide(&fulcio, client, || SigningRequest::parse_v1(&body, token)).await?;
    let pem = released.chain.to_pems().join("\n");
    Ok(named(bytes_response(201, PEM_CHAIN, pem.into_bytes()), &released))
}

fn token_beside(headers: &HeaderMap) -> String {
    bearer(headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()))
}

fn named(mut response: Response, released: &Released) -> Response {
    response.headers_mut().extend(request_id_header(&released.request_id));
    response
}

/// The reply of v2, which has no final line ends.
pub(super) fn signing_certificate(released: &Released) -> SigningCertificate {
    SigningCertificate {
        signed_certificate_embedded_sct: Some(SigningCertificateEmbeddedSct {
            chain: Some(CertificateChain { certificates: released.chain.to_pems() }),
        }),
        signed_certificate_detached_sct: None,
    }
}

pub(super) fn trust_bundle(fulcio: &Fulcio) -> TrustBundle {
    let chain =
        |chain: &[Certificate]| CertificateChain { certificates: chain.iter().map(Certificate::to_pem).collect() };
    TrustBundle { chains: fulcio.ca.published(timestamp(fulcio.clock.as_ref())).map(chain).collect() }
}

async fn root_cert(State(fulcio): State<Arc<Fulcio>>) -> Response {
    let pem: String = fulcio.ca.chain().iter().map(Certificate::to_pem).collect();
    bytes_response(200, PEM_CHAIN, pem.into_bytes())
}

pub(super) fn configuration(fulcio: &Fulcio) -> Configuration {
    Configuration { issuers: fulcio.config.issuers.iter().map(|issuer| published(issuer)).collect() }
}

fn published(issuer: &IssuerConfig) -> OidcIssuer {
    let (issuer_type, challenge_claim) = issuer.kind.published();
    let (subject_domain, trust_domain) = match &issuer.kind {
        IssuerKind::Uri { subject_domain } | IssuerKind::Username { subject_domain } => (subject_domain.as_str(), ""),
        IssuerKind::Spiffe { trust_domain } => ("", trust_domain.as_str()),
        IssuerKind::Email { .. } | IssuerKind::Kubernetes | IssuerKind::Chainguard | IssuerKind::CiProvider(_) => {
            ("", "")
        }
    };
    let trusts_unverified =
        matches!(&issuer.kind, IssuerKind::Email { verification: EmailVerification::TrustedWithout, .. });
    let (issuer_url, wildcard_issuer_url) = match &issuer.url {
        IssuerUrl::Exact(url) => (Some(url.clone()), None),
        IssuerUrl::Pattern(pattern) => (None, Some(pattern.as_str().to_owned())),
    };
    OidcIssuer {
        issuer_url,
        wildcard_issuer_url,
        audience: issuer.client_id.clone(),
        challenge_claim: challenge_claim.to_owned(),
        spiffe_trust_domain: trust_domain.to_owned(),
        issuer_type: issuer_type.to_owned(),
        subject_domain: subject_domain.to_owned(),
        skip_email_verification: trusts_unverified,
    }
}

fn json(body: Vec<u8>) -> Response {
    bytes_response(200, JSON, body)
}
