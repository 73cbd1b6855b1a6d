// SPDX-License-Identifier: Apache-2.0
//! Fulcio: a certificate authority that binds a key to an OpenID Connect identity for ten minutes, in public.
//!
//! Fulcio's API v2 through its HTTP gateway (`fulcio.proto`), with the public service's texts and codes.
//!
//! In scope: the endpoints `signingCert`, `trustBundle`, `configuration` of v2, and `rootCert` of v1. Read `issue` first.
//! Out of scope: `signingCert` of v1; gRPC; the CT log (`crate::ctlog`); where keys and chain come from (`crate::instance`).
//! Invariants: those of `issue`; every reply that is not a success has the gateway's error body.

mod authenticate;
mod authorize;
mod ca;
mod claims;
mod config;
mod ct;
mod error;
mod explain;
mod identity;
mod issue;
mod issuer_keys;
mod issuers;
mod pattern;
mod possession;
mod provider;
mod replay;
mod request;
mod self_check;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use axum::routing::{get, post};
use touchmark_sigstore::wire::REQUEST_BYTES_MAX;
use touchmark_sigstore::wire::fulcio::{
    CertificateChain, Configuration, OidcIssuer, SigningCertificate, SigningCertificateEmbeddedSct, TrustBundle,
};
use touchmark_sigstore::x509::Certificate;

pub(crate) use authorize::RuleMode;
pub(crate) use ca::CertificateAuthority;
pub(crate) use config::{
    ClaimPatterns, DEFAULT_ALGORITHMS, Effect, EmailVerification, FulcioConfig, FulcioConfigPlace, FulcioStartError,
    Identities, IdentityType, IssuerConfig, IssuerKind, IssuerPlace, IssuerText, IssuerTransport, IssuerUrl, Reuse,
    RuleText,
};
pub(crate) use ct::{CtError, CtSubmit, CtTarget, HttpCtLog};
pub use explain::{ExplainError, Explanation, IdentityConfig, IssuerReport};
pub(crate) use identity::EmailAddress;
pub(crate) use provider::ProviderText;

use crate::deps::Deps;
use crate::http::{ApiError, bytes_response, read_body, wrong_method};
use issue::Fulcio;
use issuers::Issuers;

const JSON: &str = "application/json";
const PEM_CHAIN: &str = "application/pem-certificate-chain";

/// The authority behind its addresses. Unknown paths are the caller's.
pub(crate) fn router(
    config: FulcioConfig,
    ca: CertificateAuthority,
    ct: CtTarget,
    deps: &Deps,
) -> Result<Router, FulcioStartError> {
    config::check(&config)?;
    let issuers = Issuers::new(&config.issuers, &deps.ways_out, &deps.clock);
    let clock = Arc::clone(&deps.clock);
    Ok(routes(Fulcio { config, issuers, ca, ct, ct_deadline: ct::SUBMIT_DEADLINE, clock }))
}

fn routes(fulcio: Fulcio) -> Router {
    Router::new()
        .route("/api/v2/signingCert", post(signing_cert))
        .route("/api/v2/trustBundle", get(trust_bundle))
        .route("/api/v2/configuration", get(configuration))
        .route("/api/v1/rootCert", get(root_cert))
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::new(fulcio))
}

async fn signing_cert(State(fulcio): State<Arc<Fulcio>>, request: Request) -> Result<Response, ApiError> {
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = read_body(request, REQUEST_BYTES_MAX).await?;
    let issued = issue::issue(&fulcio, &body, authorization.as_deref()).await.inspect_err(error::IssueError::log)?;
    let chain = CertificateChain { certificates: issued.to_pems() };
    let reply = SigningCertificate {
        signed_certificate_embedded_sct: Some(SigningCertificateEmbeddedSct { chain: Some(chain) }),
        signed_certificate_detached_sct: None,
    };
    Ok(bytes_response(200, JSON, reply.to_json()))
}

async fn trust_bundle(State(fulcio): State<Arc<Fulcio>>) -> Response {
    let certificates = fulcio.ca.chain().iter().map(Certificate::to_pem).collect();
    bytes_response(200, JSON, TrustBundle { chains: vec![CertificateChain { certificates }] }.to_json())
}

async fn root_cert(State(fulcio): State<Arc<Fulcio>>) -> Response {
    let pem: String = fulcio.ca.chain().iter().map(Certificate::to_pem).collect();
    bytes_response(200, PEM_CHAIN, pem.into_bytes())
}

async fn configuration(State(fulcio): State<Arc<Fulcio>>) -> Response {
    let issuers = fulcio.config.issuers.iter().map(|issuer| published(issuer)).collect();
    bytes_response(200, JSON, Configuration { issuers }.to_json())
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

#[cfg(test)]
pub(crate) mod tests;
