// SPDX-License-Identifier: Apache-2.0
//! One way to call a service: bounded retries, bounded replies, errors that name the service.
//!
//! Retried are only answers by which a server says "later": 429 and 500, 502, 503, 504, at most [`ATTEMPTS_MAX`] times
//! in all, waiting what `Retry-After` asks for within [`WAIT_MAX`]. A connection that fails is not retried: the caller
//! (or a person) knows better. Resending is safe for each of our requests: a certificate, a timestamp and a log entry
//! more do no harm, and a log answers a duplicate with its index.
//!
//! Out of scope: limits on addresses, redirects and reply sizes, which `touchmark_outbound` holds.

use std::fmt;
use std::time::Duration;

use touchmark_outbound::{Limits, Outbound, OutboundError, Response};
use url::Url;

/// First call and retries together.
pub const ATTEMPTS_MAX: u32 = 4;
/// The longest wait before one retry, whatever `Retry-After` says.
pub const WAIT_MAX: Duration = Duration::from_secs(20);
/// The wait before the first retry where the server names none; it doubles.
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// A server's own words in our error: enough to help, too short to flood a terminal.
const SERVER_TEXT_CHARS_MAX: usize = 300;
const REASON_BYTES_MAX: usize = 63;

/// Which service was called: errors and progress name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    CertificateAuthority,
    TimestampAuthority,
    TransparencyLog,
    CertificateLog,
    IdentityProvider,
    TrustRepository,
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CertificateAuthority => "certificate authority",
            Self::TimestampAuthority => "timestamp authority",
            Self::TransparencyLog => "transparency log",
            Self::CertificateLog => "certificate transparency log",
            Self::IdentityProvider => "identity provider",
            Self::TrustRepository => "trust repository",
        })
    }
}

/// A call that brought no reply that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("the {service} at {url} could not be reached")]
    Unreachable { service: ServiceKind, url: Url, source: OutboundError },
    /// The server answered with an error. `message` is its own text, made printable.
    #[error("the {service} at {url} answered {status}: {message}")]
    Refused { service: ServiceKind, url: Url, status: u16, message: ServerText },
    /// A success whose body is not what the protocol says. `expected` says what that is.
    #[error("the {service} at {url} sent a reply that is not {expected}")]
    NotUnderstood { service: ServiceKind, url: Url, expected: &'static str },
    #[error("{text:?} in the signing config is not a URL of a {service}")]
    BadUrl { service: ServiceKind, text: String },
    /// The token would travel readable, and whoever reads it can sign in its owner's name.
    #[error("the {service} at {url} is sent the identity token, which needs https, or an address of this machine")]
    Insecure { service: ServiceKind, url: Url },
}

/// Text that a server sent, without control characters and cut to a length: safe on a terminal. With it the machine-readable reason
/// (`google.rpc.ErrorInfo` in `details`), where the server gave one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerText(Box<Said>);

/// Behind a pointer: errors are returned more often than they happen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    text: String,
    reason: Option<String>,
}

impl ServerText {
    /// The `message` of an error body if there is one, else the body's own text.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        let error = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        let message = error.get("message").and_then(serde_json::Value::as_str);
        let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
        let mut said = Self::from_text(&text);
        said.0.reason = reason_of(&error).map(str::to_owned);
        said
    }

    /// Why, in the server's word for machines.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Any text from outside, made printable.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        // A server that echoes the request must not put a token into a build log.
        let words: Vec<&str> =
            text.split(' ').map(|word| if holds_a_token(word) { "(a token)" } else { word }).collect();
        let text = words.join(" ");
        let printable: String =
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SERVER_TEXT_CHARS_MAX).collect();
        let trimmed = printable.trim();
        let text = if trimmed.is_empty() { "(no text)".to_owned() } else { trimmed.to_owned() };
        Self(Box::new(Said { text, reason: None }))
    }
}

/// The reason of the first detail that has one, as google/rpc/error_details.proto limits it: `[A-Z][A-Z0-9_]+[A-Z0-9]`, at most 63 characters.
fn reason_of(error: &serde_json::Value) -> Option<&str> {
    let details = error.get("details")?.as_array()?;
    let reason = details.iter().find_map(|detail| detail.get("reason"))?.as_str()?;
    let fits = |byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    ((1..=REASON_BYTES_MAX).contains(&reason.len()) && reason.bytes().all(fits)).then_some(reason)
}

/// Three base64url parts with dots between, of which the first is a JSON object: a JWT, alone or within quotes.
fn holds_a_token(word: &str) -> bool {
    word.find("eyJ").is_some_and(|start| word.get(start..).is_some_and(|rest| rest.matches('.').count() >= 2))
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.reason {
            Some(reason) => write!(f, "{} ({reason})", self.0.text),
            None => f.write_str(&self.0.text),
        }
    }
}

/// A service at its address.
#[derive(Debug, Clone)]
pub struct Endpoint {
    kind: ServiceKind,
    url: Url,
}

impl Endpoint {
    /// `base` is the URL as the signing config has it, `path` what the protocol appends (empty: the URL is whole).
    pub fn new(kind: ServiceKind, base: &str, path: &str) -> Result<Self, ServiceError> {
        let bad = || ServiceError::BadUrl { service: kind, text: base.to_owned() };
        let mut url = Url::parse(base).map_err(|_| bad())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad());
        }
        if kind == ServiceKind::CertificateAuthority && !keeps_secrets(&url) {
            return Err(ServiceError::Insecure { service: kind, url });
        }
        if !path.is_empty() {
            let whole = format!("{}/{path}", url.path().trim_end_matches('/'));
            url.set_path(&whole);
        }
        Ok(Self { kind, url })
    }

    /// With these parameters in the query.
    #[must_use]
    pub fn with_query(mut self, parameters: &[(&str, String)]) -> Self {
        if !parameters.is_empty() {
            self.url.query_pairs_mut().clear().extend_pairs(parameters);
        }
        self
    }

    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// POSTs and returns the first answer that is not "later". Any status outside `200..300` is an error.
    pub async fn post(
        &self,
        outbound: &Outbound,
        headers: &[(&str, &str)],
        body: &[u8],
        limits: &Limits,
    ) -> Result<Response, ServiceError> {
        let mut wait = WAIT_FIRST;
        let mut attempt = 1;
        loop {
            let response = outbound
                .post(&self.url, headers, body.to_vec(), limits)
                .await
                .map_err(|source| self.unreachable(source))?;
            if !says_later(response.status) || attempt == ATTEMPTS_MAX {
                return self.success(response);
            }
            let pause = retry_after(response.header("retry-after")).unwrap_or(wait).min(WAIT_MAX);
            tracing::debug!(service = %self.kind, status = response.status, ?pause, "asked to come back later");
            tokio::time::sleep(pause).await;
            wait = wait.saturating_mul(2);
            attempt += 1;
        }
    }

    /// GETs once.
    pub async fn get(&self, outbound: &Outbound, limits: &Limits) -> Result<Response, ServiceError> {
        let response = outbound.get(&self.url, limits).await.map_err(|source| self.unreachable(source))?;
        self.success(response)
    }

    /// The error for a success that is not `expected`.
    #[must_use]
    pub fn not_understood(&self, expected: &'static str) -> ServiceError {
        ServiceError::NotUnderstood { service: self.kind, url: self.url.clone(), expected }
    }

    fn unreachable(&self, source: OutboundError) -> ServiceError {
        ServiceError::Unreachable { service: self.kind, url: self.url.clone(), source }
    }

    fn success(&self, response: Response) -> Result<Response, ServiceError> {
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        Err(ServiceError::Refused {
            service: self.kind,
            url: self.url.clone(),
            status: response.status,
            message: ServerText::from_body(&response.body),
        })
    }
}

/// Whether what is sent to this address stays between the two ends: TLS, or it never leaves this machine.
pub(crate) fn keeps_secrets(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

fn says_later(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// Only the form in seconds: the date form would need a clock that agrees with the server's.
fn retry_after(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse::<u64>().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
