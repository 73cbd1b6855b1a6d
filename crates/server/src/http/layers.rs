// SPDX-License-Identifier: Apache-2.0
//! The layers around what a listener serves.
//!
//! In scope: CORS as the public services answer it, refusals in the words of gRPC for its callers, the panic boundary, the request deadline, the number of requests at once,
//! and that each gets its share of the budget for bodies ([`super::budget`]) and that of replies ([`super::replies`]).
//! Out of scope: limits on connections ([`super::listener`]) and on one body (each handler states its own).
//! Invariant: a panic in a handler ends one request and says nothing about why.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderName, Method};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tower::util::option_layer;
use tower::{Layer, Service, ServiceExt};
use tower_http::cors::{AllowOrigin, Any as AnyOrigin, CorsLayer};

use super::budget::BodyBudget;
use super::replies::{Peer, ReplyBudget};
use super::{Answers, ApiError, grpc};

/// How long a request may take from its head to the head of its reply.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests handled at once on one listener; more are told to come back.
const REQUESTS_MAX: usize = 4096;

/// Whether scripts of foreign web origins may read the replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrossOrigin {
    /// As the public Sigstore services: any origin, no credentials.
    Any,
    /// No foreign origin: for pages that a person logs in on.
    Refused,
}

/// Puts panic boundary, deadline, admission and CORS around a service, the innermost first.
pub(crate) fn around(service: impl Answers, cross_origin: CrossOrigin) -> impl Answers {
    admitting(service, cross_origin, Admission::new())
}

pub(super) fn admitting(service: impl Answers, cross_origin: CrossOrigin, admission: Admission) -> impl Answers {
    let admitted = Admitted { admission: Arc::new(admission), service };
    option_layer((cross_origin == CrossOrigin::Any).then(cors)).layer(admitted)
}

/// What one listener admits.
pub(super) struct Admission {
    requests: Arc<Semaphore>,
    bodies: BodyBudget,
    pub(super) replies: ReplyBudget,
}

impl Admission {
    pub(super) fn new() -> Self {
        Admission {
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            bodies: BodyBudget::new(),
            replies: ReplyBudget::default(),
        }
    }
}

/// A service behind the admission of a listener. Not a middleware of the router, which costs each request some boxes more.
#[derive(Clone)]
struct Admitted<S> {
    admission: Arc<Admission>,
    service: S,
}

impl<S: Answers> Service<Request> for Admitted<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { admission, service } = self.clone();
        Box::pin(async move { Ok(admit(&admission, request, service).await) })
    }
}

async fn admit(admission: &Admission, mut request: Request, service: impl Answers) -> Response {
    let is_call = grpc::is_call(request.method(), request.headers());
    let replies = admission.replies.of(request.extensions_mut().remove::<Peer>());
    if is_call {
        // What it answers has no length that is seen from here.
        request.extensions_mut().insert(replies.clone());
    }
    let response = admitted(admission, request, service).await;
    let response = replies.count_body(response).await.unwrap_or_else(IntoResponse::into_response);
    if is_call { grpc::refusal_as_status(response) } else { response }
}

async fn admitted(admission: &Admission, mut request: Request, service: impl Answers) -> Response {
    let Ok(_permit) = admission.requests.try_acquire() else {
        return ApiError::new(503, grpc::UNAVAILABLE, "too many requests at once; retry")
            .with_header("retry-after", "1")
            .into_response();
    };
    // Held here until the reply is made: what a handler made of the body is gone by then, too.
    let share = admission.bodies.share();
    request.extensions_mut().insert(share.clone());
    // Nothing that a handler shares with others is left half-changed: what panics poisons its locks.
    let outcome = AssertUnwindSafe(service.oneshot(request)).catch_unwind();
    let outcome = tokio::time::timeout(REQUEST_TIMEOUT, outcome).await;
    drop(share);
    match outcome {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(payload)) => after_panic(payload),
        Err(_) => ApiError::new(504, grpc::DEADLINE_EXCEEDED, "deadline exceeded").into_response(),
    }
}

// The payload may hold anything the request held, so that it is not printed either: the panic hook has named the place.
fn after_panic(_payload: Box<dyn Any + Send>) -> Response {
    ApiError::internal(&"a request handler panicked").into_response()
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::from(AnyOrigin))
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        // No Authorization: a page sends its token in the body, as to the public services.
        .allow_headers([ACCEPT, CONTENT_TYPE, HeaderName::from_static("x-requested-with")])
        .expose_headers([HeaderName::from_static("x-log-index")])
        // The replies are the same for every origin and every wish of a preflight.
        .vary([])
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::{get, post};
    use http_body_util::BodyExt;

    async fn panics() -> &'static str {
        panic!("secret text of a panic")
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_that_says_nothing() {
        let router = around(Router::new().route("/", get(panics)), CrossOrigin::Any);
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"code":13,"details":[],"message":"internal error"}"#);
    }

    #[tokio::test]
    async fn a_caller_of_grpc_hears_of_a_panic_and_of_a_full_listener_in_its_own_words() {
        let call = || Request::post("/").header(CONTENT_TYPE, "application/grpc").body(Body::empty()).unwrap();
        let check = |response: Response, code: &str, message: &str| {
            let headers = response.headers();
            let media_type = headers["content-type"].to_str().unwrap();
            assert_eq!((response.status().as_u16(), media_type), (200, "application/grpc"));
            let found = ["grpc-status", "grpc-message"].map(|name| headers[name].to_str().unwrap());
            assert_eq!(found, [code, message]);
        };
        let router = around(Router::new().route("/", post(panics)), CrossOrigin::Any);
        check(router.oneshot(call()).await.unwrap(), "13", "internal%20error");
        let held = Admission { requests: Arc::new(Semaphore::new(0)), ..Admission::new() };
        let router = admitting(Router::new().route("/", post(panics)), CrossOrigin::Any, held);
        let response = router.oneshot(call()).await.unwrap();
        assert_eq!(response.headers()["retry-after"], "1");
        check(response, "14", "too%20many%20requests%20at%20once;%20retry");
    }

    #[tokio::test]
    async fn a_get_is_no_call_and_a_cache_sees_that_there_is_nothing() {
        for (method, status) in [(Method::GET, 404), (Method::HEAD, 404), (Method::POST, 200)] {
            let router = around(Router::new().fallback(crate::http::unknown_path), CrossOrigin::Any);
            let request = Request::builder().method(&method).uri("/x").header(CONTENT_TYPE, "application/grpc");
            let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status, "{method}");
            assert_eq!(response.headers().contains_key("grpc-status"), status == 200, "{method}");
        }
    }

    #[tokio::test]
    async fn any_origin_may_read_the_reply_of_a_service_but_not_of_the_login_page() {
        for (cross_origin, expect) in [(CrossOrigin::Any, Some("*")), (CrossOrigin::Refused, None)] {
            let router = around(Router::new().route("/", get(|| async { "ok" })), cross_origin);
            let request = Request::builder().header("origin", "https://example.com").body(Body::empty()).unwrap();
            let response = router.oneshot(request).await.unwrap();
            let allowed = response.headers().get("access-control-allow-origin");
            assert_eq!(allowed.map(|value| value.to_str().unwrap()), expect);
        }
    }
}
