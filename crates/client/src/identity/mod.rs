// SPDX-License-Identifier: Apache-2.0
//! Who signs: an OpenID Connect identity token, and the ways to get one.
//!
//! A token is read here without checking its signature: the certificate authority does that, with the issuer's keys. We
//! read it to fail early (expired, not a token at all), to bind the certificate that comes back to it ([`TokenClaims`]),
//! and to tell the user who they are about to be.
//!
//! In scope: parsing (RFC 7519, OpenID Connect Core 1.0 section 2) and the browser flow ([`browser`]).
//! Out of scope: ambient providers of CI systems.
//!
//! Invariant: the token is a secret for as long as it is valid. It is zeroized on drop, its `Debug` shows nothing, and no
//! error quotes it.

pub mod browser;

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::service::{ServerText, ServiceError};

/// Real tokens are 1 to 4 kB; Fulcio takes no request over 4 MiB.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the identity token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("this is not an identity token: a signed JWT has three parts with two dots between them")]
    NotThreeParts,
    #[error("the claims of the identity token are not base64url JSON")]
    ClaimsUnreadable,
    #[error("the identity token has no usable claim {claim:?}")]
    ClaimMissing { claim: &'static str },
    #[error("the identity token expired at {at}")]
    Expired { at: Timestamp },
    #[error("the identity token is for audience {found:?}; expected {expected:?}")]
    WrongAudience { expected: String, found: Vec<String> },
    #[error("neither a token nor a readable file with one")]
    NeitherTokenNorFile { source: std::io::Error },
    #[error("the identity provider's {what} is {found:?}; expected {expected:?}")]
    ProviderMismatch { what: &'static str, expected: String, found: String },
    #[error("the identity provider's {what} address {url:?} is neither https nor on this machine")]
    ProviderInsecure { what: &'static str, url: String },
    #[error("the identity provider does not offer PKCE with S256")]
    ProviderWithoutPkce,
    #[error("the identity provider refused the login: {message}")]
    LoginRefused { message: ServerText },
    #[error("no login came back within {seconds} seconds")]
    LoginTimeout { seconds: u64 },
    #[error("{count} requests that do not belong to this login came back; gave up")]
    LoginDisturbed { count: u32 },
    #[error("listening on loopback for the login failed")]
    Listener { source: std::io::Error },
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A token and what it claims. The claims are the token's own words, verified by nobody yet.
pub struct IdentityToken {
    raw: Zeroizing<String>,
    claims: TokenClaims,
}

/// The claims that we use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaims {
    pub issuer: String,
    pub subject: String,
    pub email: Option<String>,
    /// Whether the issuer says that it verified the address.
    pub email_verified: bool,
    /// For an issuer that federates (Dex): the issuer that a certificate names instead.
    pub federated_issuer: Option<String>,
    pub audience: Vec<String>,
    pub expires: Timestamp,
    pub nonce: Option<String>,
}

impl TokenClaims {
    /// The name that people know this identity by.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.email.as_deref().filter(|_| self.email_verified).unwrap_or(&self.subject)
    }
}

impl IdentityToken {
    /// Reads the claims of a raw JWT.
    pub fn parse(raw: &str) -> Result<Self, IdentityError> {
        let raw = raw.trim();
        if raw.len() > TOKEN_BYTES_MAX {
            return Err(IdentityError::TooLong);
        }
        // `splitn` stops after three dots: a megabyte of dots costs nothing (Fulcio's CVE-2025-66506).
        let mut parts = raw.splitn(4, '.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IdentityError::NotThreeParts);
        };
        if header.is_empty() || signature.is_empty() {
            return Err(IdentityError::NotThreeParts);
        }
        let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).map_err(|_| IdentityError::ClaimsUnreadable)?);
        let wire: WireClaims = serde_json::from_slice(&payload).map_err(|_| IdentityError::ClaimsUnreadable)?;
        Ok(Self { raw: Zeroizing::new(raw.to_owned()), claims: TokenClaims::try_from(wire)? })
    }

    /// A raw token, or the path of a file with one (cosign's `--identity-token`).
    pub fn from_argument(argument: &str) -> Result<Self, IdentityError> {
        match Self::parse(argument) {
            Err(IdentityError::NotThreeParts | IdentityError::ClaimsUnreadable) => {
                let text = read_small_file(Path::new(argument.trim()))
                    .map_err(|source| IdentityError::NeitherTokenNorFile { source })?;
                Self::parse(&text)
            }
            parsed => parsed,
        }
    }

    #[must_use]
    pub fn claims(&self) -> &TokenClaims {
        &self.claims
    }

    /// Refuses an expired token before it is sent anywhere.
    pub fn check_time(&self, now: Timestamp) -> Result<(), IdentityError> {
        if self.claims.expires <= now {
            return Err(IdentityError::Expired { at: self.claims.expires });
        }
        Ok(())
    }

    /// The token itself, for a request to the certificate authority and for nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.raw
    }
}

impl fmt::Debug for IdentityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityToken").field("issuer", &self.claims.issuer).finish_non_exhaustive()
    }
}

fn read_small_file(path: &Path) -> std::io::Result<Zeroizing<String>> {
    use std::io::Read as _;
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)?.take(TOKEN_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[derive(Deserialize)]
struct WireClaims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<OneOrMany>,
    exp: Option<f64>,
    email: Option<String>,
    email_verified: Option<Truth>,
    nonce: Option<String>,
    federated_claims: Option<FederatedClaims>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Some issuers send the words instead of the value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Truth {
    Value(bool),
    Word(String),
}

#[derive(Deserialize)]
struct FederatedClaims {
    connector_id: Option<String>,
}

impl TryFrom<WireClaims> for TokenClaims {
    type Error = IdentityError;

    fn try_from(wire: WireClaims) -> Result<Self, IdentityError> {
        let required = |claim: &'static str, value: Option<String>| {
            value.filter(|text| !text.is_empty()).ok_or(IdentityError::ClaimMissing { claim })
        };
        let verified = match &wire.email_verified {
            Some(Truth::Value(value)) => *value,
            Some(Truth::Word(word)) => word.eq_ignore_ascii_case("true"),
            None => false,
        };
        let expires = wire.exp.ok_or(IdentityError::ClaimMissing { claim: "exp" })?;
        Ok(Self {
            issuer: required("iss", wire.iss)?,
            subject: required("sub", wire.sub)?,
            email: wire.email.filter(|email| !email.is_empty()),
            email_verified: verified,
            federated_issuer: wire.federated_claims.and_then(|claims| claims.connector_id),
            audience: match wire.aud {
                None => Vec::new(),
                Some(OneOrMany::One(one)) => vec![one],
                Some(OneOrMany::Many(many)) => many,
            },
            expires: whole_seconds(expires).ok_or(IdentityError::ClaimMissing { claim: "exp" })?,
            nonce: wire.nonce,
        })
    }
}

/// RFC 7519 NumericDate: seconds, perhaps with a fraction, which is dropped.
fn whole_seconds(seconds: f64) -> Option<Timestamp> {
    let limit = 253_402_207_200.0; // the last second that jiff can hold
    if !(0.0..limit).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked above")]
    let whole = seconds as i64;
    Timestamp::from_second(whole).ok()
}

#[cfg(test)]
mod tests;
