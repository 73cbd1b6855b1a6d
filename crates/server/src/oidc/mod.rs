// SPDX-License-Identifier: Apache-2.0
//! An OpenID Connect issuer for trying touchmark out. It believes whatever e-mail address it is told.
//!
//! OpenID Connect Core 1.0 §3.1 (authorization code flow), Discovery 1.0 §4, RFC 6749 §4.1, RFC 7636 (PKCE, S256 only), RFC 8252
//! §7.3 (loopback redirects).
//!
//! In scope: discovery, JWKS, a login page (`login`), codes (`codes`), the token endpoint (`exchange`), tokens (`tokens`).
//! Out of scope: passwords, refresh tokens, user info, sessions, device flow; anything that would make it look fit for use.
//! Invariants: it answers only to a loopback name in `Host`, so no foreign page reaches it by rebinding a name; a code goes only to
//! a loopback address, works once, within [`codes::CODE_LIFETIME_MS`], and only with the PKCE verifier; every page and the
//! discovery document say that it proves nothing.

mod codes;
mod exchange;
mod login;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use touchmark_keys::KeyFamily;
use touchmark_sequencer::Clock;
use touchmark_signers::Signer;
use url::Url;

use crate::http::{bytes_response, json_response};
use codes::Codes;
use tokens::TokenKey;

pub(crate) use tokens::TokenError;

/// The one client there is: every Sigstore client says this of itself.
const CLIENT_ID: &str = "sigstore";
/// Forms of this issuer are below 4 KiB.
const FORM_BYTES_MAX: usize = 16 * 1024;
const NOTICE: &str = "TRY-OUT ISSUER: anyone who can reach it gets a token for any e-mail address. It proves nothing. Never trust it outside this machine.";

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct OidcIssuer(Arc<Inner>);

struct Inner {
    /// Letter for letter what tokens and discovery say.
    url: String,
    /// The path of that URL, under which everything lies.
    path: String,
    key: TokenKey,
    codes: Codes,
    clock: Arc<dyn Clock>,
}

/// Why the issuer does not start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OidcStartError {
    #[error("the try-out issuer's URL {url} is not plain http to a loopback address with a path")]
    NotLoopback { url: String },
    #[error("the try-out issuer's key is not an RSA key")]
    KeyType,
}

impl OidcIssuer {
    /// `signer` holds an RSA key: RS256 is what every client reads.
    pub(crate) fn new(issuer_url: Url, signer: Arc<dyn Signer>, clock: Arc<dyn Clock>) -> Result<Self, OidcStartError> {
        let url = issuer_url.as_str().trim_end_matches('/').to_owned();
        let path = issuer_url.path().trim_end_matches('/').to_owned();
        let plain = issuer_url.scheme() == "http" && issuer_url.query().is_none() && issuer_url.fragment().is_none();
        if !plain || path.is_empty() || !issuer_url.host_str().is_some_and(is_loopback_name) {
            return Err(OidcStartError::NotLoopback { url });
        }
        if signer.public_key().key_type().family() != KeyFamily::Rsa {
            return Err(OidcStartError::KeyType);
        }
        let key = TokenKey::new(signer).ok_or(OidcStartError::KeyType)?;
        Ok(Self(Arc::new(Inner { url, path, key, codes: Codes::default(), clock })))
    }

    pub(crate) fn issuer_url(&self) -> &str {
        &self.0.url
    }

    /// A token for this address, with nobody asked.
    pub(crate) async fn token(&self, email: &str) -> Result<String, TokenError> {
        let claims = tokens::Claims::new(&self.0.url, email, self.0.clock.now_ms())?;
        self.0.key.sign(&claims).await
    }
}

/// The issuer behind its paths, the issuer URL's own path included.
pub(crate) fn router(issuer: OidcIssuer) -> Router {
    let path = issuer.0.path.clone();
    let endpoints = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
        .route("/auth", get(login::page).post(login::submit))
        .route("/token", post(exchange::exchange))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(issuer);
    Router::new().nest(&path, endpoints).layer(middleware::from_fn(only_loopback_names))
}

async fn discovery(State(issuer): State<OidcIssuer>) -> Response {
    let url = issuer.issuer_url();
    let document = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/auth"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "email", "email_verified", "nonce", "at_hash"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "touchmark_notice": NOTICE,
    });
    json_response(200, &document)
}

async fn keys(State(issuer): State<OidcIssuer>) -> Response {
    json_response(200, &json!({ "keys": [issuer.0.key.jwk()] }))
}

/// A page of a foreign origin can point its own name at 127.0.0.1 and then read from here; its name gives it away.
async fn only_loopback_names(request: Request, next: Next) -> Response {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority =
        header.and_then(|host| host.parse::<Authority>().ok()).or_else(|| request.uri().authority().cloned());
    if authority.is_some_and(|authority| is_loopback_name(authority.host())) {
        return next.run(request).await;
    }
    let text = "this issuer answers only to a loopback address\n";
    bytes_response(421, "text/plain; charset=utf-8", text.as_bytes().to_vec()).into_response()
}

fn is_loopback_name(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests;
