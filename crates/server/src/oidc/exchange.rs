// SPDX-License-Identifier: Apache-2.0
//! The token endpoint: a code for tokens.
//!
//! RFC 6749 §4.1.3 to §5.2, OpenID Connect Core 1.0 §3.1.3.
//!
//! In scope: the form, its errors, the reply. Out of scope: codes (`codes`), tokens (`tokens`).
//! Invariants: a public client has no secret, so one that is sent is not looked at; the access token is a JWT with the claims of
//! the identity token, because sigstore-python sends that one to Fulcio.

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::tokens::{Claims, TOKEN_LIFETIME_S, TokenError};
use super::{CLIENT_ID, OidcIssuer};
use crate::http::json_response;

#[derive(Deserialize)]
pub(super) struct TokenForm {
    grant_type: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    client_id: Option<String>,
    code_verifier: Option<String>,
}

/// RFC 6749 §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnsupportedGrantType,
    ServerError,
}

impl Refusal {
    fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::ServerError => "server_error",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::ServerError => 500,
            Self::InvalidRequest | Self::InvalidGrant | Self::UnsupportedGrantType => 400,
        }
    }
}

pub(super) async fn exchange(
    State(issuer): State<OidcIssuer>,
    headers: HeaderMap,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Response {
    let outcome = match form {
        Ok(Form(form)) => tokens(&issuer, &headers, form).await,
        Err(_) => Err(Refusal::InvalidRequest),
    };
    let mut response = match outcome {
        Ok(body) => json_response(200, &body),
        Err(refusal) => json_response(refusal.status(), &json!({ "error": refusal.code() })),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn tokens(issuer: &OidcIssuer, headers: &HeaderMap, form: TokenForm) -> Result<serde_json::Value, Refusal> {
    let (Some(grant_type), Some(code), Some(redirect_uri)) = (form.grant_type, form.code, form.redirect_uri) else {
        return Err(Refusal::InvalidRequest);
    };
    if grant_type != "authorization_code" {
        return Err(Refusal::UnsupportedGrantType);
    }
    let client_id = form.client_id.or_else(|| basic_user(headers));
    if client_id.as_deref() != Some(CLIENT_ID) {
        return Err(Refusal::InvalidClient);
    }
    let verifier = form.code_verifier.unwrap_or_default();
    let now_ms = issuer.0.clock.now_ms();
    let grant = issuer.0.codes.redeem(&code, &redirect_uri, &verifier, now_ms).ok_or(Refusal::InvalidGrant)?;

    let claims = Claims::new(issuer.issuer_url(), &grant.email, now_ms).map_err(failed)?;
    let access_token = issuer.0.key.sign(&claims).await.map_err(failed)?;
    let id_claims = claims.for_login(grant.nonce.as_deref(), &access_token);
    let id_token = issuer.0.key.sign(&id_claims).await.map_err(failed)?;
    Ok(json!({
        "access_token": access_token,
        "id_token": id_token,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME_S,
        "scope": "openid email",
    }))
}

/// RFC 6749 §2.3.1: some libraries name the client there, with an empty secret.
fn basic_user(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.split(':').next().unwrap_or_default().to_owned())
}

fn failed(error: TokenError) -> Refusal {
    tracing::error!(%error, "the try-out issuer could not make a token");
    Refusal::ServerError
}
