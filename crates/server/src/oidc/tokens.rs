// SPDX-License-Identifier: Apache-2.0
//! The tokens of the try-out issuer.
//!
//! RFC 7519, RFC 7518 §3.3 (RS256), OpenID Connect Core 1.0 §2 and §3.1.3.6 (`at_hash`), RFC 7517 (the public key).
//!
//! In scope: claims, signing, the JWK. Out of scope: who asked (`exchange`, the command line).
//! Invariant: a token says `email_verified` because clients and Fulcio demand it, not because anything was verified; the header's
//! type says what issuer this is to whoever looks.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};
use touchmark_keys::sha256;
use touchmark_signers::{SIGN_DEADLINE, Signer, SignerError, sign_within};

use super::CLIENT_ID;
use crate::fulcio::EmailAddress;

/// Long enough to sign a few files, and a certificate lives as long.
pub(super) const TOKEN_LIFETIME_S: u64 = 600;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("that is not an e-mail address of the form name@host.domain")]
    Email,
    #[error("the issuer's signer: {0}")]
    Signer(#[from] SignerError),
}

/// What a token says.
pub(super) struct Claims(serde_json::Map<String, Value>);

impl Claims {
    pub(super) fn new(issuer_url: &str, email: &str, now_ms: u64) -> Result<Self, TokenError> {
        let email = EmailAddress::parse(email).ok_or(TokenError::Email)?;
        let now_s = now_ms / 1000;
        let claims = json!({
            "iss": issuer_url,
            "sub": subject(&email),
            "aud": CLIENT_ID,
            "iat": now_s,
            "exp": now_s + TOKEN_LIFETIME_S,
            "email": email.as_str(),
            "email_verified": true,
        });
        match claims {
            Value::Object(members) => Ok(Self(members)),
            _ => Ok(Self(serde_json::Map::new())),
        }
    }

    /// The same, answered to one login: bound to its nonce and to the access token beside it.
    pub(super) fn for_login(&self, nonce: Option<&str>, access_token: &str) -> Self {
        let mut claims = self.0.clone();
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        claims.insert("at_hash".to_owned(), at_hash(access_token).into());
        Self(claims)
    }
}

/// The same address has the same subject, and the subject is not the address: clients must not mix them up.
fn subject(email: &EmailAddress) -> String {
    let digest = sha256(email.as_str().as_bytes());
    format!("try-out-{}", hex::encode(digest.get(..10).unwrap_or_default()))
}

/// OpenID Connect Core §3.1.3.6: the left half of the hash that the token's algorithm uses.
fn at_hash(access_token: &str) -> String {
    let digest = sha256(access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.get(..16).unwrap_or_default())
}

/// The signing key with its public face.
pub(super) struct TokenKey {
    signer: Arc<dyn Signer>,
    jwk: Value,
    key_id: String,
}

impl TokenKey {
    /// `None` if the key is no RSA key.
    pub(super) fn new(signer: Arc<dyn Signer>) -> Option<Self> {
        let public_key = signer.public_key();
        let key_id = URL_SAFE_NO_PAD.encode(public_key.spki_sha256());
        let decoding = DecodingKey::from_rsa_der(public_key.raw());
        let mut jwk = Jwk::from_decoding_key(&decoding, Some(Algorithm::RS256)).ok()?;
        jwk.common.key_id = Some(key_id.clone());
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        let jwk = serde_json::to_value(&jwk).ok()?;
        Some(Self { signer, jwk, key_id })
    }

    pub(super) fn jwk(&self) -> &Value {
        &self.jwk
    }

    pub(super) async fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let payload = Value::Object(claims.0.clone());
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signing_input = format!("{}.{}", encode(&header), encode(&payload));
        let signature = sign_within(self.signer.as_ref(), signing_input.as_bytes(), SIGN_DEADLINE).await?;
        Ok(format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
