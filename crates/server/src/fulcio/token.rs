// SPDX-License-Identifier: Apache-2.0
//! An OpenID Connect identity token: its shape, its header, its claims and the rules about time and audience.
//!
//! RFC 7515 (JWS compact form), RFC 7519 §4.1 (claims), OpenID Connect Core 1.0 §3.1.3.7; Fulcio's own reading of them.
//!
//! In scope: bytes of a token to [`Token`], and the check of its claims against one issuer's audience and `now`.
//! Out of scope: keys and signatures (`issuer_keys`), who the claims name (`identity`).
//! Invariants: the work done on a token is linear in [`TOKEN_BYTES_MAX`]; nothing in here trusts a claim, a [`Token`] is a
//! claim until `issuer_keys` has verified its signature; no member name occurs twice in header or claims.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use touchmark_sigstore::wire;

/// The largest token that is looked at. Tokens of the public issuers are 1 to 4 KiB; RFC 7519 names no limit.
pub(super) const TOKEN_BYTES_MAX: usize = 32 * 1024;
/// The longest `iss`, `sub`, `kid` or e-mail claim (OpenID Connect Core §2 limits `sub` to 255; CI systems exceed it).
pub(super) const CLAIM_BYTES_MAX: usize = 1024;
/// How far an issuer's clock may run ahead of ours (`nbf`, `iat`), in seconds. `exp` has no leeway.
pub(super) const NOT_BEFORE_LEEWAY_S: f64 = 300.0;

/// Why a token was refused. The public text is the same for all; [`TokenError::reason`] tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("no token in the request")]
    Missing,
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("the token is not a JWS of three base64url parts with JSON objects inside")]
    Malformed,
    #[error("the token's algorithm is not one that is accepted")]
    AlgorithmRefused,
    #[error("the token's header asks for something that is not supported (crit, or not a JWT)")]
    HeaderRefused,
    #[error("the token's issuer is not configured")]
    IssuerUnknown,
    #[error("the issuer's discovery document or keys could not be read")]
    IssuerUnreachable,
    #[error("the issuer's discovery document names another issuer or a key set that may not be fetched")]
    IssuerMisconfigured,
    #[error("no key of the issuer fits the token")]
    KeyUnknown,
    #[error("the token's signature does not verify")]
    SignatureInvalid,
    #[error("the token is for another audience")]
    AudienceMismatch,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("a required claim is missing or of the wrong type")]
    ClaimMissing,
    #[error("the e-mail address is not verified by the issuer")]
    EmailUnverified,
    #[error("the claim does not make a subject alternative name of its issuer's type")]
    SubjectRefused,
}

impl TokenError {
    /// A stable code for machines. It says what to repair and nothing about the inside of this service.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "TOKEN_MISSING",
            Self::TooLong => "TOKEN_TOO_LONG",
            Self::Malformed => "TOKEN_MALFORMED",
            Self::AlgorithmRefused => "TOKEN_ALGORITHM_REFUSED",
            Self::HeaderRefused => "TOKEN_HEADER_REFUSED",
            Self::IssuerUnknown => "TOKEN_ISSUER_UNKNOWN",
            Self::IssuerUnreachable => "ISSUER_UNREACHABLE",
            Self::IssuerMisconfigured => "ISSUER_MISCONFIGURED",
            Self::KeyUnknown => "TOKEN_KEY_UNKNOWN",
            Self::SignatureInvalid => "TOKEN_SIGNATURE_INVALID",
            Self::AudienceMismatch => "TOKEN_AUDIENCE_MISMATCH",
            Self::Expired => "TOKEN_EXPIRED",
            Self::NotYetValid => "TOKEN_NOT_YET_VALID",
            Self::ClaimMissing => "TOKEN_CLAIM_MISSING",
            Self::EmailUnverified => "TOKEN_EMAIL_UNVERIFIED",
            Self::SubjectRefused => "TOKEN_SUBJECT_REFUSED",
        }
    }
}

/// A token whose shape is right and whose contents nobody has vouched for yet.
pub(super) struct Token<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Claims,
    /// `header "." payload`: what the signature covers.
    pub(super) signing_input: &'t str,
    /// base64url, as received.
    pub(super) signature: &'t str,
}

impl<'t> Token<'t> {
    /// Reads the compact form: exactly two dots, bounded size.
    pub(super) fn parse(text: &'t str) -> Result<Self, TokenError> {
        if text.is_empty() {
            return Err(TokenError::Missing);
        }
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenError::Malformed)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(TokenError::Malformed);
        }
        let header = object(header)?;
        Ok(Self {
            algorithm: algorithm(&header)?,
            key_id: key_id(&header)?,
            claims: Claims(object(payload)?),
            signing_input,
            signature,
        })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    match wire::parse_value(&bytes, TOKEN_BYTES_MAX) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) | Err(_) => Err(TokenError::Malformed),
    }
}

/// `none` and the HMAC family are not in this table, so no token can choose them.
fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, TokenError> {
    // RFC 7515 §4.1.11: a critical extension that is not understood refuses the token; RFC 7516 tokens carry `enc`.
    if header.contains_key("crit") || header.contains_key("enc") || header.contains_key("b64") {
        return Err(TokenError::HeaderRefused);
    }
    // RFC 7519 §5.2: `cty` "JWT" is a nested token.
    if header.get("cty").is_some_and(|cty| cty.as_str().is_none_or(|text| text.eq_ignore_ascii_case("jwt"))) {
        return Err(TokenError::HeaderRefused);
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Malformed)?;
    algorithm_by_name(name).ok_or(TokenError::AlgorithmRefused)
}

/// The algorithms that are accepted at all: public-key ones with a digest that is not broken.
pub(super) fn algorithm_by_name(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "RS384" => Some(Algorithm::RS384),
        "RS512" => Some(Algorithm::RS512),
        "PS256" => Some(Algorithm::PS256),
        "PS384" => Some(Algorithm::PS384),
        "PS512" => Some(Algorithm::PS512),
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

fn key_id(header: &Map<String, Value>) -> Result<Option<String>, TokenError> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= CLAIM_BYTES_MAX => Ok(Some(kid.clone())),
        Some(_) => Err(TokenError::Malformed),
    }
}

/// The claims as received, read by name and type.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// A claim that must be a string, not empty and of bounded length.
    pub(super) fn text(&self, name: &str) -> Result<&str, TokenError> {
        match self.0.get(name).and_then(Value::as_str) {
            Some(text) if !text.is_empty() && text.len() <= CLAIM_BYTES_MAX => Ok(text),
            Some(_) | None => Err(TokenError::ClaimMissing),
        }
    }

    /// `email_verified` must be true; some issuers send it as text.
    pub(super) fn email_is_verified(&self) -> Result<(), TokenError> {
        match self.0.get("email_verified") {
            Some(Value::Bool(true)) => Ok(()),
            Some(Value::String(text)) if text == "true" || text == "True" => Ok(()),
            Some(_) | None => Err(TokenError::EmailUnverified),
        }
    }

    /// Audience and times, in the order in which a user can do something about them.
    pub(super) fn check_audience_and_time(&self, client_id: &str, now_s: f64) -> Result<(), TokenError> {
        self.audience_contains(client_id)?;
        if self.seconds("exp")?.ok_or(TokenError::ClaimMissing)? <= now_s {
            return Err(TokenError::Expired);
        }
        let issued_at = self.seconds("iat")?.ok_or(TokenError::ClaimMissing)?;
        let not_before = self.seconds("nbf")?.unwrap_or(issued_at).max(issued_at);
        if not_before > now_s + NOT_BEFORE_LEEWAY_S {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }

    /// RFC 7519 §4.1.3: a string or a list of strings; equal to one of them, never a part of one.
    fn audience_contains(&self, client_id: &str) -> Result<(), TokenError> {
        let contains = match self.0.get("aud") {
            Some(Value::String(audience)) => audience == client_id,
            Some(Value::Array(audiences)) => {
                if !audiences.iter().all(Value::is_string) {
                    return Err(TokenError::ClaimMissing);
                }
                audiences.iter().any(|audience| audience == client_id)
            }
            Some(_) | None => return Err(TokenError::ClaimMissing),
        };
        if contains { Ok(()) } else { Err(TokenError::AudienceMismatch) }
    }

    /// RFC 7519 §2 NumericDate: seconds, perhaps with a fraction. Beyond 2^53 a double no longer counts seconds.
    fn seconds(&self, name: &str) -> Result<Option<f64>, TokenError> {
        const SECONDS_MAX: f64 = 9_007_199_254_740_992.0;
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(Some(seconds)),
                Some(_) | None => Err(TokenError::ClaimMissing),
            },
        }
    }
}

#[cfg(test)]
mod tests;
