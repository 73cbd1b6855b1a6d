// SPDX-License-Identifier: Apache-2.0
//! Timestamp authority (RFC 3161 over HTTP, with the API of sigstore/timestamp-authority).
//!
//! In scope: `POST /api/v1/timestamp` with DER and JSON requests ([`request`]), `GET /api/v1/timestamp/certchain`, the times
//! and serial numbers of tokens. Out of scope: the formats (`touchmark_sigstore::tsp`), disciplining the system's clock.
//! Invariants: the time of a token is never before that of an earlier one of this process, nor ahead of the clock by more than
//! the stated accuracy; no token is signed outside the validity of the whole chain.

mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, RETRY_AFTER};
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use touchmark_sequencer::Clock;
use touchmark_signers::{SIGN_DEADLINE, Signer, SignerError, sign_within};
use touchmark_sigstore::tsp::{POLICY, TimestampRequest, TokenTemplate};
use touchmark_sigstore::x509::Certificate;
use touchmark_sigstore::x509::path::{ExtendedKeyUsage, PathError, verify_path};

use crate::deps::timestamp;
use crate::http::{BodyError, bytes_response, json_response};

/// The accuracy that every token states: how far behind the last token the clock may be found.
const ACCURACY_SECONDS: i64 = 1;

/// The public text for every failure without a better one.
const FAILED: &str = "Error generating timestamp response";

/// An authority with its key and chain.
pub(crate) struct Tsa {
    signer: Arc<dyn Signer>,
    chain: Vec<Certificate>,
    chain_pem: String,
    clock: Arc<dyn Clock>,
    last_second: AtomicI64,
}

/// Why a timestamp authority does not start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TsaStartError {
    /// A chain needs at least the signing certificate and a root.
    #[error("the chain of the timestamp authority must hold its signing certificate and a root")]
    ChainTooShort,
    /// Key and certificate do not belong together.
    #[error("the first certificate of the timestamp authority's chain does not hold the key")]
    ForeignKey,
    /// Verifiers would refuse the chain.
    #[error("the chain of the timestamp authority does not verify: {0}")]
    Path(PathError),
}

impl Tsa {
    /// An authority whose chain begins with its signing certificate and ends with the root.
    pub(crate) fn new(
        signer: Arc<dyn Signer>,
        chain: Vec<Certificate>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TsaStartError> {
        let [leaf, authorities @ ..] = chain.as_slice() else { return Err(TsaStartError::ChainTooShort) };
        if authorities.is_empty() {
            return Err(TsaStartError::ChainTooShort);
        }
        if leaf.public_key().ok().as_ref() != Some(signer.public_key()) {
            return Err(TsaStartError::ForeignKey);
        }
        let now = timestamp(clock.as_ref());
        verify_path(leaf, authorities, ExtendedKeyUsage::TimeStamping, now).map_err(TsaStartError::Path)?;
        let chain_pem = chain.iter().map(Certificate::to_pem).collect();
        Ok(Tsa { signer, chain, chain_pem, clock, last_second: AtomicI64::new(i64::MIN) })
    }

    /// A token for a request of this process; the text of a failure.
    pub(crate) async fn stamp(&self, request: &TimestampRequest) -> Result<Vec<u8>, String> {
        self.token(request).await.map_err(|error| error.message)
    }

    /// The chain, its signing certificate first.
    pub(crate) fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    async fn token(&self, request: &TimestampRequest) -> Result<Vec<u8>, TsaError> {
        let leaf = self.chain.first().ok_or_else(|| TsaError::internal(&"the chain is empty"))?;
        let token = TokenTemplate {
            imprint: &request.imprint,
            nonce: request.nonce.as_deref(),
            policy: POLICY,
            serial: random_serial(),
            gen_time: self.next_time()?,
            signer: leaf,
            embedded: if request.cert_req { std::slice::from_ref(leaf) } else { &[] },
            scheme: self.signer.scheme(),
        }
        .prepare()
        .map_err(|error| TsaError::internal(&error))?;
        let signature = sign_within(self.signer.as_ref(), token.signed_bytes(), SIGN_DEADLINE).await?;
        Ok(token.into_response(&signature))
    }

    /// The time of the next token, in whole seconds.
    fn next_time(&self) -> Result<Timestamp, TsaError> {
        let now = timestamp(self.clock.as_ref());
        let second = now.as_second();
        let last = self.last_second.fetch_max(second, Ordering::Relaxed);
        if last > second.saturating_add(ACCURACY_SECONDS) {
            return Err(TsaError::internal(&"the clock went back; no token until it has caught up with the last one"));
        }
        if self.chain.iter().any(|certificate| now < certificate.not_before() || certificate.not_after() < now) {
            return Err(TsaError::internal(&"a certificate of the chain is not valid now"));
        }
        Timestamp::from_second(second.max(last)).map_err(|error| TsaError::internal(&error))
    }
}

/// The paths of the authority.
pub(crate) fn router(tsa: Arc<Tsa>) -> Router {
    Router::new()
        .route("/api/v1/timestamp", post(create_token).fallback(only_post))
        .route("/api/v1/timestamp/certchain", get(certificate_chain).fallback(only_get))
        .with_state(tsa)
}

async fn create_token(State(tsa): State<Arc<Tsa>>, request: Request) -> Result<Response, TsaError> {
    let request = request::read(request).await?;
    let token = tsa.token(&request).await?;
    Ok(cached(bytes_response(200, "application/timestamp-reply", token), HeaderValue::from_static("no-store")))
}

async fn certificate_chain(State(tsa): State<Arc<Tsa>>) -> Response {
    let pem = tsa.chain_pem.clone().into_bytes();
    cached(bytes_response(200, "application/pem-certificate-chain", pem), HeaderValue::from_static("max-age=86400"))
}

fn cached(mut response: Response, value: HeaderValue) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, value);
    response
}

async fn only_post(method: Method) -> Response {
    wrong_method(&method, "POST")
}

async fn only_get(method: Method) -> Response {
    wrong_method(&method, "GET")
}

fn wrong_method(method: &Method, allowed: &'static str) -> Response {
    let error = TsaError { status: 405, message: format!("method {method} is not allowed, but [{allowed}] are") };
    let mut response = error.into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Twenty random bytes as a positive number of full length.
fn random_serial() -> [u8; 20] {
    let mut serial = [0u8; 20];
    touchmark_keys::random(&mut serial);
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// An error reply in the dialect of the timestamp authority: the code is the HTTP status.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TsaError {
    status: u16,
    message: String,
}

impl TsaError {
    fn invalid(message: impl Into<String>) -> Self {
        TsaError { status: 400, message: message.into() }
    }

    fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "no timestamp was made");
        TsaError { status: 500, message: FAILED.to_owned() }
    }
}

/// A signer may be back in a moment: a token that was pulled, a key management service that was away.
impl From<SignerError> for TsaError {
    fn from(error: SignerError) -> Self {
        tracing::error!(%error, "no timestamp was made: the signer");
        TsaError { status: 503, message: FAILED.to_owned() }
    }
}

impl From<BodyError> for TsaError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge | BodyError::Unfinished => TsaError::invalid(FAILED),
            BodyError::OverBudget => TsaError { status: 503, message: error.to_string() },
        }
    }
}

impl IntoResponse for TsaError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"code": self.status, "message": self.message});
        let mut response = json_response(self.status, &body);
        if self.status == 503 {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use touchmark_keys::KeyType;
    use touchmark_signers::EphemeralSigner;

    struct SetClock(AtomicU64);

    impl Clock for SetClock {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn times_never_run_backwards_and_a_clock_set_back_stops_the_authority() {
        let clock = Arc::new(SetClock(AtomicU64::new(1_800_000_000_500)));
        let tsa = Tsa {
            signer: Arc::new(EphemeralSigner::generate(KeyType::EcdsaP256).unwrap()),
            chain: Vec::new(),
            chain_pem: String::new(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            last_second: AtomicI64::new(i64::MIN),
        };
        assert_eq!(tsa.next_time().unwrap().as_second(), 1_800_000_000);
        clock.0.store(1_799_999_999_500, Ordering::Relaxed);
        assert_eq!(tsa.next_time().unwrap().as_second(), 1_800_000_000);
        clock.0.store(1_799_999_998_999, Ordering::Relaxed);
        assert_eq!(tsa.next_time().unwrap_err().status, 500);
        clock.0.store(1_800_000_001_000, Ordering::Relaxed);
        assert_eq!(tsa.next_time().unwrap().as_second(), 1_800_000_001);
    }

    #[test]
    fn a_signer_that_is_away_is_no_error_of_the_request_and_says_nothing_of_itself() {
        let error = SignerError::Deadline { deadline: SIGN_DEADLINE };
        let response = TsaError::from(error.clone()).into_response();
        assert_eq!((response.status().as_u16(), response.headers()[RETRY_AFTER].as_bytes()), (503, b"1".as_slice()));
        assert_eq!(TsaError::from(error).message, FAILED);
    }

    #[test]
    fn serials_are_positive_and_of_full_length() {
        for _ in 0..32 {
            assert!((0x40..0x80).contains(&random_serial()[0]));
        }
    }
}
