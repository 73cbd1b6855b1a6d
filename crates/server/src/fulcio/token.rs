// SPDX-License-Identifier: Apache-2.0
//! An OpenID Connect identity token: its shape, its header, its claims and the rules about time and audience.
//!
//! RFC 7515 (JWS compact form), RFC 7519 §4.1 (claims), OpenID Connect Core 1.0 §3.1.3.7; Fulcio's own reading of them.
//!
//! In scope: bytes of a token to [`Token`]. Out of scope: what its claims say (`claims`), keys and signatures (`issuer_keys`), who the claims
//! name (`identity`).
//! Invariants: the work done on a token is linear in [`TOKEN_BYTES_MAX`]; nothing in here trusts a claim, a [`Token`] is a
//! claim until `issuer_keys` has verified its signature; no member name occurs twice in header or claims.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use touchmark_sigstore::wire;

use super::claims::{CLAIM_BYTES_MAX, Claims};
use super::provider::MappingError;

/// The largest token that is looked at. Tokens of the public issuers are 1 to 4 KiB; RFC 7519 names no limit.
pub(super) const TOKEN_BYTES_MAX: usize = 32 * 1024;
/// Why a token was refused. The public text is the same for all; [`TokenError::reason`] tells them apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    #[error("the token was made longer ago than its issuer's tokens may be used")]
    TooOld,
    #[error("the token was used before, and its issuer's tokens may be used once")]
    Replayed,
    #[error("too many tokens that may be used once are remembered")]
    MemoryFull,
    #[error("a required claim is missing or of the wrong type")]
    ClaimMissing,
    #[error("the e-mail address is not verified by the issuer")]
    EmailUnverified,
    #[error("the claim does not make a subject alternative name of its issuer's type")]
    SubjectRefused,
    #[error("the claims of the workflow: {0}")]
    Mapping(#[from] MappingError),
}

impl TokenError {
    /// A stable code for machines. It says what to repair and nothing about the inside of this service.
    pub(super) fn reason(&self) -> &'static str {
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
            Self::TooOld => "TOKEN_TOO_OLD",
            Self::Replayed => "TOKEN_REPLAYED",
            Self::MemoryFull => "TOKEN_MEMORY_FULL",
            Self::ClaimMissing => "TOKEN_CLAIM_MISSING",
            Self::EmailUnverified => "TOKEN_EMAIL_UNVERIFIED",
            Self::SubjectRefused => "TOKEN_SUBJECT_REFUSED",
            Self::Mapping(_) => "TOKEN_CLAIMS_UNFIT",
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
            claims: Claims::new(object(payload)?),
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
    // RFC 8725 §3.11: tokens of other kinds (access, logout) say so. SPIFFE's say JWT or JOSE.
    let is_plain =
        |typ: &Value| typ.as_str().is_some_and(|typ| ["JWT", "JOSE"].iter().any(|one| typ.eq_ignore_ascii_case(one)));
    if !header.get("typ").is_none_or(is_plain) {
        return Err(TokenError::HeaderRefused);
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Malformed)?;
    algorithm_by_name(name).ok_or(TokenError::AlgorithmRefused)
}

/// The algorithms that are accepted at all: public-key ones with a digest that is not broken.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// By the name of RFC 7518 §3.1 and RFC 8037 §3.1.
pub(super) fn algorithm_by_name(name: &str) -> Option<Algorithm> {
    name.parse().ok().filter(|algorithm| ALGORITHMS.contains(algorithm))
}

fn key_id(header: &Map<String, Value>) -> Result<Option<String>, TokenError> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= CLAIM_BYTES_MAX => Ok(Some(kid.clone())),
        Some(_) => Err(TokenError::Malformed),
    }
}

#[cfg(test)]
mod tests;
