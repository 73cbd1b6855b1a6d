// SPDX-License-Identifier: Apache-2.0
//! HTTP plumbing that all services share.
//!
//! In scope: the error body of the grpc-gateway dialect (`{"code","message","details"}`), bounded body reading, the replies
//! to unknown paths and methods, the same for gRPC ([`grpc`]), replies that caches keep ([`immutable`]), how much of all bodies is held at once ([`budget`]) and of all replies ([`replies`]), the layers around every router
//! ([`layers`]), the accept loop ([`listener`]), its TLS ([`tls`]) and the front of a listener with health and readiness ([`site`]).
//! Out of scope: what a request means; each service parses its own.
//! Invariants: a body is never read past a stated limit; no text of an internal failure reaches a client.

mod budget;
pub(crate) mod grpc;
pub(crate) mod immutable;
pub(crate) mod layers;
pub(crate) mod listener;
pub(crate) mod page;
mod preface;
mod replies;
pub(crate) mod site;
mod stall;
pub(crate) mod tls;

use std::convert::Infallible;
use std::fmt;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tower::Service;

use budget::{BODY_BYTES_UNCOUNTED_MAX, BodyShare};

/// What answers requests, each with a reply: a router, or what is put around one.
pub(crate) trait Answers:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Answers for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// What a client prefers (RFC 7240), one preference after the other, in small letters.
pub(crate) fn preferences(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|preference| preference.trim().to_ascii_lowercase())
}

/// An error reply of the grpc-gateway dialect. Every text in it is public.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) grpc_code: u32,
    pub(crate) message: String,
    pub(crate) details: Vec<Reason>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// Why a request was refused, for machines (`google.rpc.ErrorInfo`): in JSON a member of `details`, in gRPC a part of the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason {
    /// In capital letters, as stable as a status.
    pub(crate) reason: &'static str,
    /// Whose reasons these are.
    pub(crate) domain: &'static str,
}

impl Reason {
    const TYPE_URL: &str = "type.googleapis.com/google.rpc.ErrorInfo";

    fn to_json(self) -> serde_json::Value {
        serde_json::json!({"@type": Self::TYPE_URL, "reason": self.reason, "domain": self.domain})
    }
}

impl ApiError {
    pub(crate) fn new(status: u16, grpc_code: u32, message: impl Into<String>) -> Self {
        ApiError { status, grpc_code, message: message.into(), details: Vec::new(), headers: Vec::new() }
    }

    /// 400 with code 3.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        ApiError::new(400, grpc::INVALID_ARGUMENT, message)
    }

    /// 404 with code 5, as for an unknown path.
    pub(crate) fn not_found() -> Self {
        ApiError::new(404, grpc::NOT_FOUND, "Not Found")
    }

    /// 500 with code 13. The cause goes to the log, never to the client.
    pub(crate) fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        ApiError::new(500, grpc::INTERNAL, "internal error")
    }

    pub(crate) fn with_reason(mut self, reason: Reason) -> Self {
        self.details.push(reason);
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let details: Vec<_> = self.details.iter().copied().map(Reason::to_json).collect();
        let body = serde_json::json!({"code": self.grpc_code, "message": self.message, "details": details});
        let mut response = json_response(self.status, &body);
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        // A caller of gRPC gets the same in other words: `grpc::refusal_as_status`.
        response.extensions_mut().insert(self);
        response
    }
}

/// A JSON reply with its status.
pub(crate) fn json_response(status: u16, body: &serde_json::Value) -> Response {
    bytes_response(status, "application/json", body.to_string().into_bytes())
}

/// A reply of the given media type.
pub(crate) fn bytes_response(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Why there is no body. The texts are public, in the words of the public services where they have some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("http: request body too large")]
    TooLarge,
    #[error("unexpected EOF")]
    Unfinished,
    /// The listener holds as many bytes as it may.
    #[error("too many large requests at once; retry")]
    OverBudget,
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => ApiError::invalid(error.to_string()).with_header(CONNECTION.as_str(), "close"),
            BodyError::Unfinished => ApiError::invalid(error.to_string()),
            BodyError::OverBudget => {
                ApiError::new(503, grpc::UNAVAILABLE, error.to_string()).with_header("retry-after", "1")
            }
        }
    }
}

/// What is read and thrown away of a body that is refused, so that a client that is still sending sees the reply.
const DISCARDED_BYTES_MAX: usize = 16 << 20;

/// Reads the whole body, refusing more than `limit_bytes`, and what the listener has no room for.
pub(crate) async fn read_body(mut request: Request, limit_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let share = request.extensions_mut().remove::<BodyShare>();
    let mut body = request.into_body();
    let read = read_within(&mut body, limit_bytes, share.as_ref()).await;
    if read.is_err() {
        discard(body).await;
    }
    read
}

/// Without a share, which every listener gives its requests, only the limit holds.
async fn read_within(body: &mut Body, limit_bytes: usize, share: Option<&BodyShare>) -> Result<Vec<u8>, BodyError> {
    // The length as HTTP frames it: a body that says it is never longer.
    let announced_bytes = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let expected_bytes = announced_bytes.unwrap_or(limit_bytes);
    if expected_bytes > limit_bytes {
        return Err(BodyError::TooLarge);
    }
    let mut read = Vec::with_capacity(expected_bytes.min(BODY_BYTES_UNCOUNTED_MAX));
    let mut unasked = share;
    while let Some(data) = next_data(body).await? {
        let bytes = read.len() + data.len();
        if bytes > limit_bytes {
            return Err(BodyError::TooLarge);
        }
        // Room is taken when there is something to put there: whoever only says that he will send much takes none.
        if bytes > BODY_BYTES_UNCOUNTED_MAX
            && let Some(share) = unasked.take()
        {
            share.take(expected_bytes).await?;
            read.reserve_exact(expected_bytes.saturating_sub(read.len()));
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

async fn next_data(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    let Some(frame) = body.frame().await else { return Ok(None) };
    let frame = frame.map_err(|_| BodyError::Unfinished)?;
    // What is no data is a trailer, which nobody reads.
    Ok(Some(frame.into_data().unwrap_or_default()))
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Ok(Some(data)) = next_data(&mut body).await {
        discarded += data.len();
        if discarded > DISCARDED_BYTES_MAX {
            return;
        }
    }
}

/// The reply to a path that no service has.
pub(crate) async fn unknown_path(request: Request) -> ApiError {
    if grpc::is_call(request.method(), request.headers()) {
        return ApiError::new(404, grpc::UNIMPLEMENTED, "unknown service or method");
    }
    ApiError::not_found()
}

/// The reply to a method that a path does not take.
pub(crate) async fn wrong_method() -> ApiError {
    ApiError::new(501, grpc::UNIMPLEMENTED, "Method Not Allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body_of(response: Response) -> String {
        let bytes = response.into_body().collect().await.expect("a body in memory").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("JSON is UTF-8")
    }

    #[tokio::test]
    async fn error_has_code_message_and_empty_details() {
        let response = ApiError::invalid("no").into_response();
        assert_eq!(response.status(), 400);
        let body: serde_json::Value = serde_json::from_str(&body_of(response).await).unwrap();
        assert_eq!(body, serde_json::json!({"code": 3, "message": "no", "details": []}));
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_and_one_byte_more_is_refused() {
        let at = Request::new(Body::from(vec![0u8; 8]));
        assert_eq!(read_body(at, 8).await.unwrap().len(), 8);
        let over = Request::new(Body::from(vec![0u8; 9]));
        let error = read_body(over, 8).await.unwrap_err();
        assert_eq!(error.to_string(), "http: request body too large");
        assert_eq!(ApiError::from(error).into_response().headers()["connection"], "close");
        let unannounced = Body::from(vec![0u8; 9]).into_data_stream();
        assert_eq!(read_body(Request::new(Body::from_stream(unannounced)), 8).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn internal_cause_is_not_shown() {
        let response = ApiError::internal(&"the disk at /secret is full").into_response();
        assert_eq!(response.status(), 500);
        assert!(!body_of(response).await.contains("secret"));
    }
}
