// SPDX-License-Identifier: Apache-2.0
//! Why there is no token, and in which words the client hears it.
//!
//! RFC 3161 §2.4.2 (PKIFailureInfo); the status codes and texts are those of sigstore/timestamp-authority, because clients match on them.
//!
//! In scope: from error to status, public text, reason and failure info; the reply in JSON, or in DER for who asks for it. Out of scope: when to
//! refuse.
//! Invariant: what only the operator should know goes to the log alone.

use std::borrow::Cow;
use std::fmt::Display;

use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use touchmark_signers::SignerError;
use touchmark_sigstore::tsp::{FailureInfo, RequestError, failure_response};

use super::clock::Distrust;
use crate::audit::AuditUnavailable;
use crate::http::{BodyError, bytes_response, json_response};

/// The media type of a reply.
pub(super) const REPLY: &str = "application/timestamp-reply";

/// The public text for every failure without a better one.
pub(super) const FAILED: &str = "Error generating timestamp response";
const WEAK_HASH: &str = "Weak hash algorithm in timestamp request";
const DIGEST_LENGTH: &str = "Message digest has incorrect length for specified algorithm";
const UNACCEPTED_POLICY: &str = "unaccepted policy: requested TSA policy is not supported by the TSA";
const UNACCEPTED_EXTENSION: &str = "unaccepted extension: requested extensions are not supported by the TSA";
const LONG_OID: &str = "OID should be comprised of at most 128 components";
const RATE_LIMITED: &str = "too many requests: try again later";
const TOO_LARGE: &str = "timestamp request is too large";

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TsaError {
    /// Too many requests of one address in a minute; in so many seconds there is room for one.
    RateLimited {
        retry_after_s: u64,
    },
    /// The media type of the request is none of an application.
    NoApplication,
    /// It is one, but neither DER nor JSON.
    MediaType,
    Method {
        found: Method,
        allowed: &'static str,
    },
    Body(BodyError),
    JsonTooLarge,
    Malformed,
    WeakHash,
    DigestLength,
    LongPolicy,
    UnacceptedPolicy,
    UnacceptedExtension,
    /// The clock is behind the newest token.
    ClockBehind {
        behind_s: i64,
    },
    /// The configured time servers do not confirm the clock.
    ClockNotTrusted(Distrust),
    /// The time of the newest token cannot be kept.
    TimeFile {
        problem: String,
    },
    /// A certificate of the chain has not begun or has ended.
    ChainNotValid,
    Signer(SignerError),
    Audit,
    Internal {
        problem: String,
    },
}

/// What an error means to others.
struct Verdict {
    status: u16,
    /// For the metrics; it does not change.
    reason: &'static str,
    message: Cow<'static, str>,
    failure: FailureInfo,
}

impl TsaError {
    pub(super) fn internal(cause: &dyn Display) -> Self {
        TsaError::Internal { problem: cause.to_string() }
    }

    /// The word by which it is counted.
    pub(super) fn reason(&self) -> &'static str {
        self.verdict().reason
    }

    fn verdict(&self) -> Verdict {
        let refused =
            |reason, message, failure| Verdict { status: 400, reason, message: Cow::Borrowed(message), failure };
        let failed = |status, reason, failure| Verdict { status, reason, message: Cow::Borrowed(FAILED), failure };
        match self {
            TsaError::RateLimited { .. } => Verdict {
                message: Cow::Borrowed(RATE_LIMITED),
                ..failed(429, "RATE_LIMITED_ADDRESS", FailureInfo::SystemFailure)
            },
            TsaError::NoApplication => failed(415, "MEDIA_TYPE_REFUSED", FailureInfo::BadDataFormat),
            TsaError::MediaType => refused("MEDIA_TYPE_REFUSED", FAILED, FailureInfo::BadDataFormat),
            TsaError::Method { found, allowed } => Verdict {
                message: Cow::Owned(format!("method {found} is not allowed, but [{allowed}] are")),
                ..failed(405, "METHOD_REFUSED", FailureInfo::BadRequest)
            },
            TsaError::Body(BodyError::TooLarge | BodyError::Unfinished) => {
                refused("REQUEST_UNREADABLE", FAILED, FailureInfo::BadDataFormat)
            }
            TsaError::Body(BodyError::OverBudget) => Verdict {
                message: Cow::Owned(BodyError::OverBudget.to_string()),
                ..failed(503, "OVERLOADED", FailureInfo::SystemFailure)
            },
            TsaError::JsonTooLarge => refused("REQUEST_UNREADABLE", TOO_LARGE, FailureInfo::BadDataFormat),
            TsaError::Malformed => refused("REQUEST_UNREADABLE", FAILED, FailureInfo::BadRequest),
            TsaError::WeakHash => refused("HASH_REFUSED", WEAK_HASH, FailureInfo::BadAlgorithm),
            TsaError::DigestLength => refused("DIGEST_LENGTH", DIGEST_LENGTH, FailureInfo::BadDataFormat),
            TsaError::LongPolicy => refused("POLICY_REFUSED", LONG_OID, FailureInfo::UnacceptedPolicy),
            TsaError::UnacceptedPolicy => refused("POLICY_REFUSED", UNACCEPTED_POLICY, FailureInfo::UnacceptedPolicy),
            TsaError::UnacceptedExtension => {
                refused("EXTENSION_REFUSED", UNACCEPTED_EXTENSION, FailureInfo::UnacceptedExtension)
            }
            TsaError::ClockBehind { .. } => failed(503, "CLOCK_BEHIND", FailureInfo::TimeNotAvailable),
            TsaError::ClockNotTrusted(_) => failed(503, "CLOCK_NOT_TRUSTED", FailureInfo::TimeNotAvailable),
            TsaError::TimeFile { .. } => failed(503, "TIME_NOT_KEPT", FailureInfo::TimeNotAvailable),
            TsaError::ChainNotValid => failed(500, "CHAIN_NOT_VALID", FailureInfo::SystemFailure),
            TsaError::Signer(_) => failed(503, "SIGNER_UNAVAILABLE", FailureInfo::SystemFailure),
            TsaError::Audit => failed(503, "AUDIT_LOG_UNAVAILABLE", FailureInfo::SystemFailure),
            TsaError::Internal { .. } => failed(500, "FAILED", FailureInfo::SystemFailure),
        }
    }

    /// What the operator should know of it; none where the client alone can do something.
    fn cause(&self) -> Option<String> {
        match self {
            TsaError::ClockBehind { behind_s } => {
                Some(format!("the clock is {behind_s} s behind the newest timestamp: none until it has caught up"))
            }
            TsaError::ClockNotTrusted(distrust) => Some(distrust.to_string()),
            TsaError::TimeFile { problem } | TsaError::Internal { problem } => Some(problem.clone()),
            TsaError::ChainNotValid => Some("a certificate of the chain is not valid now".to_owned()),
            TsaError::Signer(error) => Some(error.to_string()),
            TsaError::Audit => Some(AuditUnavailable.to_string()),
            TsaError::RateLimited { .. }
            | TsaError::NoApplication
            | TsaError::MediaType
            | TsaError::Method { .. }
            | TsaError::Body(_)
            | TsaError::JsonTooLarge
            | TsaError::Malformed
            | TsaError::WeakHash
            | TsaError::DigestLength
            | TsaError::LongPolicy
            | TsaError::UnacceptedPolicy
            | TsaError::UnacceptedExtension => None,
        }
    }

    /// Tells the operator.
    pub(super) fn log(&self) {
        let reason = self.reason();
        match self.cause() {
            Some(cause) => tracing::error!(reason, %cause, "no timestamp was made"),
            None => tracing::info!(reason, "timestamp request refused"),
        }
    }

    /// The reply. A request that is none of a timestamp is refused in the words of HTTP, whatever its client asked for.
    pub(super) fn into_reply(self, dialect: Dialect) -> Response {
        match (dialect, &self) {
            (Dialect::Json, _) | (_, TsaError::NoApplication | TsaError::MediaType | TsaError::Method { .. }) => {
                self.into_response()
            }
            (Dialect::Der, _) => self.into_rejection(),
        }
    }

    /// What is wrong with the request is said in a reply that succeeds as HTTP, as clients of RFC 3161 expect; what is wrong with the service, or with
    /// how often it is asked, keeps its status, for balancers and retries.
    fn into_rejection(self) -> Response {
        let verdict = self.verdict();
        let status = if verdict.status < 500 && verdict.status != 429 { 200 } else { verdict.status };
        let body = failure_response(verdict.failure, &verdict.message);
        with_headers(bytes_response(status, REPLY, body), &self)
    }
}

/// How a client wants to hear that there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// As the public authority says it.
    Json,
    /// As RFC 3161 says it.
    Der,
}

impl Dialect {
    /// Only who names the media type gets DER: a range such as `*/*` is what every client sends.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types =
            accepted.flat_map(|value| value.split(',')).map(|part| part.split(';').next().unwrap_or_default());
        if types.any(|media_type| media_type.trim().eq_ignore_ascii_case(REPLY)) { Self::Der } else { Self::Json }
    }
}

impl IntoResponse for TsaError {
    fn into_response(self) -> Response {
        let verdict = self.verdict();
        let body = serde_json::json!({"code": verdict.status, "message": verdict.message});
        with_headers(json_response(verdict.status, &body), &self)
    }
}

fn with_headers(mut response: Response, error: &TsaError) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let TsaError::Method { allowed, .. } = error {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if let TsaError::RateLimited { retry_after_s } = error {
        headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
    }
    if error.verdict().status == 503 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A signer may be back in a moment: a token that was pulled, a key management service that was away.
impl From<SignerError> for TsaError {
    fn from(error: SignerError) -> Self {
        TsaError::Signer(error)
    }
}

impl From<BodyError> for TsaError {
    fn from(error: BodyError) -> Self {
        TsaError::Body(error)
    }
}

impl From<AuditUnavailable> for TsaError {
    fn from(_: AuditUnavailable) -> Self {
        TsaError::Audit
    }
}

impl From<RequestError> for TsaError {
    fn from(error: RequestError) -> Self {
        tracing::debug!(%error, "a timestamp request that cannot be read");
        match error {
            RequestError::WeakHash => TsaError::WeakHash,
            RequestError::DigestLength(_) => TsaError::DigestLength,
            RequestError::Extensions => TsaError::UnacceptedExtension,
            RequestError::TooLarge { .. }
            | RequestError::Der(_)
            | RequestError::Version { .. }
            | RequestError::Nonce
            | RequestError::Policy => TsaError::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use touchmark_signers::SIGN_DEADLINE;
    use touchmark_sigstore::tsp::TimestampResponse;

    #[tokio::test]
    async fn a_signer_that_is_away_is_no_error_of_the_request_and_says_nothing_of_itself() {
        let error = TsaError::from(SignerError::Deadline { deadline: SIGN_DEADLINE });
        for response in [error.clone().into_response(), error.into_rejection()] {
            assert_eq!(
                (response.status().as_u16(), response.headers()[RETRY_AFTER].as_bytes()),
                (503, b"1".as_slice())
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let shown = String::from_utf8_lossy(&body);
            assert!(shown.contains(FAILED) && !shown.contains("10"), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_rejection_says_what_is_wrong_in_the_words_of_rfc_3161() {
        for (error, status, failure) in [
            (TsaError::WeakHash, 200, FailureInfo::BadAlgorithm),
            (TsaError::Malformed, 200, FailureInfo::BadRequest),
            (TsaError::UnacceptedPolicy, 200, FailureInfo::UnacceptedPolicy),
            (TsaError::UnacceptedExtension, 200, FailureInfo::UnacceptedExtension),
            (TsaError::RateLimited { retry_after_s: 9 }, 429, FailureInfo::SystemFailure),
            (TsaError::ClockBehind { behind_s: 9 }, 503, FailureInfo::TimeNotAvailable),
            (TsaError::ChainNotValid, 500, FailureInfo::SystemFailure),
        ] {
            let response = error.into_rejection();
            assert_eq!(
                (response.status().as_u16(), response.headers()["content-type"].as_bytes()),
                (status, REPLY.as_bytes())
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let expect = TimestampResponse::Rejected { status: 2, failure: Some(failure) };
            assert_eq!(TimestampResponse::from_der(&body), Ok(expect));
        }
    }

    #[test]
    fn only_who_names_the_media_type_gets_der() {
        for (accept, expect) in [
            (None, Dialect::Json),
            (Some("*/*"), Dialect::Json),
            (Some("application/*"), Dialect::Json),
            (Some("application/json"), Dialect::Json),
            (Some("application/timestamp-reply"), Dialect::Der),
            (Some("application/timestamp-reply,application/timestamp-response"), Dialect::Der),
            (Some("text/html, Application/Timestamp-Reply;q=0.5"), Dialect::Der),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
            assert_eq!(Dialect::of(&headers), expect, "{accept:?}");
        }
    }
}
