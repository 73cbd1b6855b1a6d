// SPDX-License-Identifier: Apache-2.0
//! The claims of a token, read by name and type.
//!
//! RFC 7519 §4.1 (registered claims), OpenID Connect Core 1.0 §3.1.3.7.
//!
//! In scope: single claims, audience and times. Out of scope: where the claims come from (`token`), who they name (`identity`).
//! Invariants: what is read from a claim is bounded and of the type that is asked for; a number becomes text only exactly; nothing in here
//! trusts a claim.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::token::TokenError;

/// The longest claim that becomes text. OpenID Connect Core §2 limits `sub` to 255, and CI systems exceed it; a SPIFFE ID may have 2048
/// (SPIFFE-ID §2.3).
pub(super) const CLAIM_BYTES_MAX: usize = 2048;
/// How far an issuer's clock may run ahead of ours (`nbf`, `iat`), in seconds. `exp` has no leeway.
pub(super) const NOT_BEFORE_LEEWAY_S: f64 = 300.0;
/// From here on a double no longer counts every whole number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// How deep a path may lead, and how many bytes it may have.
const PATH_PARTS_MAX: usize = 8;
const PATH_BYTES_MAX: usize = 512;

/// The claims as received, read by name and type.
pub(super) struct Claims(Map<String, Value>);

/// Why a claim is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScalarError {
    Missing,
    /// Null, a list, an object, a number that is not whole or not exact, too long, or with control characters.
    Unusable,
}

impl Claims {
    pub(super) fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// A claim that must be a string, not empty and of bounded length.
    pub(super) fn text(&self, name: &str) -> Result<&str, TokenError> {
        match self.0.get(name).and_then(Value::as_str) {
            Some(text) if !text.is_empty() && text.len() <= CLAIM_BYTES_MAX => Ok(text),
            Some(_) | None => Err(TokenError::ClaimMissing),
        }
    }

    /// A claim as text: a string, a whole number in decimal digits, `true` or `false`.
    pub(super) fn scalar(&self, name: &str) -> Result<Cow<'_, str>, ScalarError> {
        scalar_text(self.0.get(name).ok_or(ScalarError::Missing)?).ok_or(ScalarError::Unusable)
    }

    /// What lies at a path.
    pub(super) fn at(&self, path: &ClaimPath) -> Option<&Value> {
        let (first, rest) = path.0.split_first()?;
        rest.iter().try_fold(self.0.get(first)?, |value, part| value.as_object()?.get(part))
    }

    /// A text at a path, not empty and of bounded length.
    pub(super) fn text_at(&self, path: &ClaimPath) -> Result<&str, TokenError> {
        match self.at(path).and_then(Value::as_str) {
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

    /// That the token was made at most so long ago.
    pub(super) fn check_age(&self, age_max: Duration, now_s: f64) -> Result<(), TokenError> {
        let made_s = self.seconds("iat")?.ok_or(TokenError::ClaimMissing)?;
        if now_s - made_s > age_max.as_secs_f64() { Err(TokenError::TooOld) } else { Ok(()) }
    }

    /// When the token ends, in seconds.
    pub(super) fn expires_at_s(&self) -> Result<f64, TokenError> {
        self.seconds("exp")?.ok_or(TokenError::ClaimMissing)
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
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if (0.0..=EXACT_MAX).contains(&seconds) => Ok(Some(seconds)),
                Some(_) | None => Err(TokenError::ClaimMissing),
            },
        }
    }
}

/// A string of bounded length, a whole number that is exact, or a truth value.
pub(super) fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if text.len() <= CLAIM_BYTES_MAX && !text.chars().any(char::is_control) => {
            Some(Cow::Borrowed(text))
        }
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(Cow::Owned(number.to_string())),
        Value::Number(number) => {
            let value = number.as_f64()?;
            (value.fract() == 0.0 && value.abs() < EXACT_MAX).then(|| Cow::Owned(format!("{value:.0}")))
        }
        Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The way to a claim: member names from the outside in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// The part of JSONPath (RFC 9535) that names one member: `$.a.b`, `$['a']["b"]`.
    pub(crate) fn from_json_path(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('$').filter(|_| text.len() <= PATH_BYTES_MAX)?;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (part, after) = if let Some(name) = rest.strip_prefix('.') {
                name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
            } else {
                let quoted = rest.strip_prefix('[')?;
                let quote = quoted.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
                let (name, after) = quoted.get(1..)?.split_once(quote)?;
                (name, after.strip_prefix(']')?)
            };
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./: ".contains(&byte);
            if part.is_empty() || !part.bytes().all(is_name) || parts.len() == PATH_PARTS_MAX {
                return None;
            }
            parts.push(part.to_owned());
            rest = after;
        }
        (!parts.is_empty()).then_some(Self(parts))
    }

    /// The name of a claim, or with a leading slash a JSON pointer (RFC 6901) to one inside another.
    pub(crate) fn from_name_or_pointer(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > PATH_BYTES_MAX {
            return None;
        }
        let Some(pointer) = text.strip_prefix('/') else { return Some(Self(vec![text.to_owned()])) };
        let parts: Vec<_> = pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        (parts.len() <= PATH_PARTS_MAX && parts.iter().all(|part| !part.is_empty())).then_some(Self(parts))
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [name] => formatter.write_str(name),
            parts => {
                parts.iter().try_for_each(|part| write!(formatter, "/{}", part.replace('~', "~0").replace('/', "~1")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_stay_exact_and_what_is_no_scalar_becomes_no_text() {
        for (value, expect) in [
            (json!("text"), Some("text")),
            (json!(""), Some("")),
            (json!(true), Some("true")),
            (json!(false), Some("false")),
            (json!(12_345_678), Some("12345678")),
            (json!(1_234_567_890_123_456_789_u64), Some("1234567890123456789")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (json!(-7), Some("-7")),
            (json!(1.0), Some("1")),
            (json!(12_345_678.0), Some("12345678")),
            (json!(1e15), Some("1000000000000000")),
            (serde_json::from_str("18446744073709551616").unwrap(), None),
            (json!(9_007_199_254_740_992.0), None),
            (json!(1.5), None),
            (json!(null), None),
            (json!([]), None),
            (json!(["a"]), None),
            (json!({}), None),
            (json!("a\nb"), None),
            (json!("a\u{0}"), None),
            (json!("a\u{85}"), None),
            (json!("x".repeat(CLAIM_BYTES_MAX + 1)), None),
        ] {
            assert_eq!(scalar_text(&value).as_deref(), expect, "{value}");
        }
    }

    #[test]
    fn a_path_names_one_member() {
        let claims = json!({
            "federated_claims": { "connector_id": "https://github.com/login/oauth" },
            "kubernetes.io": { "namespace": "prod", "a/b": "slash" },
            "/odd": "odd",
        });
        let Value::Object(members) = claims else { unreachable!() };
        let claims = Claims::new(members);
        for (path, expect) in [
            ("$.federated_claims.connector_id", Some("https://github.com/login/oauth")),
            ("$['kubernetes.io'].namespace", Some("prod")),
            ("$[\"kubernetes.io\"]['namespace']", Some("prod")),
            ("$.kubernetes.io.namespace", None),
            ("$.federated_claims", None),
            ("$.missing", None),
        ] {
            let path = ClaimPath::from_json_path(path).unwrap();
            assert_eq!(claims.text_at(&path).ok(), expect, "{path}");
        }
        for (path, expect) in [
            ("/kubernetes.io/namespace", Some("prod")),
            ("/kubernetes.io/a~1b", Some("slash")),
            ("kubernetes.io/namespace", None),
        ] {
            let parsed = ClaimPath::from_name_or_pointer(path).unwrap();
            assert_eq!(claims.text_at(&parsed).ok(), expect, "{path}");
            assert_eq!(parsed.to_string(), path);
        }
    }

    #[test]
    fn paths_that_name_no_member_are_refused() {
        for path in [
            "",
            "$",
            "a.b",
            "$a",
            "$.",
            "$..a",
            "$.a.",
            "$.*",
            "$[0]",
            "$['a",
            "$['a'",
            "$['']",
            "$.a[?(@.b)]",
            "$.a\n",
        ] {
            assert_eq!(ClaimPath::from_json_path(path), None, "{path:?}");
        }
        for path in ["", "/", "/a//b", "/a/", "/1/2/3/4/5/6/7/8/9"] {
            assert_eq!(ClaimPath::from_name_or_pointer(path), None, "{path:?}");
        }
    }
}
