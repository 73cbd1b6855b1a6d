// SPDX-License-Identifier: Apache-2.0
//! How many bytes of request bodies one listener holds at once.
//!
//! In scope: admission of bodies by their size, the wait for it. Out of scope: the size of one body, which each handler states, and
//! the number of requests ([`super::layers`]); a form of the try-out issuer, which is smaller than what is counted here.
//! Invariants: all bodies of one listener together hold at most [`BODY_BYTES_IN_FLIGHT_MAX`] and, for each request,
//! [`BODY_BYTES_UNCOUNTED_MAX`]; a body that small never waits, whatever the large ones do; what a request was given comes back
//! when its reply is made, or when nobody waits for that any more.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::BodyError;

/// Bytes of large bodies held at once: 64 of the largest, a small part of the memory of any server.
const BODY_BYTES_IN_FLIGHT_MAX: usize = 256 << 20;
/// What each request may hold without asking: all ordinary ones. As many as a listener takes at once, 4096, hold 128 MiB.
pub(super) const BODY_BYTES_UNCOUNTED_MAX: usize = 32 << 10;
/// How long a large body waits for room: longer than such a request takes, shorter than a client's patience.
const ADMISSION_TIMEOUT: Duration = Duration::from_millis(500);
/// A permit of the semaphore stands for this many bytes: it counts permits of one call in 32 bits.
const PERMIT_BYTES: usize = 1 << 10;

/// The budget of one listener; cheap to clone.
#[derive(Clone)]
pub(super) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    pub(super) fn new() -> Self {
        BodyBudget(Arc::new(Semaphore::new(BODY_BYTES_IN_FLIGHT_MAX / PERMIT_BYTES)))
    }

    /// What one request may take of it: nothing so far.
    pub(super) fn share(&self) -> BodyShare {
        BodyShare(Arc::new(Share { budget: Arc::clone(&self.0), taken: OnceLock::new() }))
    }
}

/// What one request has of the budget, given back with the last clone.
#[derive(Clone)]
pub(super) struct BodyShare(Arc<Share>);

struct Share {
    budget: Arc<Semaphore>,
    taken: OnceLock<OwnedSemaphorePermit>,
}

impl BodyShare {
    /// Takes room for a body of this size, waiting [`ADMISSION_TIMEOUT`] at most. A request has one body and asks once.
    pub(super) async fn take(&self, bytes: usize) -> Result<(), BodyError> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).map_err(|_| BodyError::OverBudget)?;
        let admission = Arc::clone(&self.0.budget).acquire_many_owned(permits);
        match tokio::time::timeout(ADMISSION_TIMEOUT, admission).await {
            Ok(Ok(permit)) => self.0.taken.set(permit).map_err(|_| BodyError::OverBudget),
            // The semaphore is never closed; without room in time there is none.
            Ok(Err(_)) | Err(_) => Err(BodyError::OverBudget),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::{Request, State};
    use axum::response::Response;
    use axum::routing::post;
    use futures_util::stream;
    use http_body_util::BodyExt;
    use tokio::sync::{Semaphore, mpsc};
    use tower::ServiceExt;

    use super::*;
    use crate::http::layers::{CrossOrigin, around};
    use crate::http::{Answers, ApiError, read_body};

    const BODY_BYTES_MAX: usize = 4 << 20;
    const LARGE: usize = BODY_BYTES_UNCOUNTED_MAX + 1;

    /// Says that the body is there, and replies when told.
    #[derive(Clone)]
    struct Held {
        read: mpsc::UnboundedSender<usize>,
        reply: Arc<Semaphore>,
    }

    async fn hold(State(held): State<Held>, request: Request) -> Result<(), ApiError> {
        let bytes = read_body(request, BODY_BYTES_MAX).await?.len();
        held.read.send(bytes).unwrap();
        held.reply.acquire().await.unwrap().forget();
        Ok(())
    }

    async fn reply(request: Request) -> Result<(), ApiError> {
        read_body(request, BODY_BYTES_MAX).await.map(|_| ()).map_err(ApiError::from)
    }

    /// A body that does not say how long it is, so that it counts as the longest that the route takes.
    fn unannounced(bytes: usize) -> Body {
        Body::from_stream(stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; bytes]))]))
    }

    async fn send(service: &impl Answers, path: &str, body: Body) -> Response {
        service.clone().oneshot(Request::post(path).body(body).unwrap()).await.unwrap()
    }

    async fn check(service: &impl Answers, body: Body, status: u16) {
        assert_eq!(send(service, "/", body).await.status(), status);
    }

    #[tokio::test]
    async fn large_bodies_beyond_the_budget_are_told_to_come_back_and_small_ones_pass() {
        let (read, mut bodies) = mpsc::unbounded_channel();
        let held = Held { read, reply: Arc::new(Semaphore::new(0)) };
        let router = Router::new().route("/hold", post(hold)).with_state(held.clone()).route("/", post(reply));
        let router = around(router, CrossOrigin::Any);
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..BODY_BYTES_IN_FLIGHT_MAX / BODY_BYTES_MAX {
            let reply = router.clone().oneshot(Request::post("/hold").body(unannounced(LARGE)).unwrap());
            requests.spawn(async move { reply.await.unwrap().status() });
        }
        for _ in 0..requests.len() {
            assert_eq!(bodies.recv().await, Some(LARGE));
        }

        let refused = send(&router, "/", unannounced(LARGE)).await;
        assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
        let body = refused.into_body().collect().await.unwrap().to_bytes();
        let expect = r#"{"code":14,"details":[],"message":"too many large requests at once; retry"}"#;
        assert_eq!(String::from_utf8_lossy(&body), expect);
        check(&router, Body::from(vec![b' '; LARGE]), 503).await;
        check(&router, Body::from(vec![b' '; BODY_BYTES_UNCOUNTED_MAX]), 200).await;
        check(&router, unannounced(BODY_BYTES_UNCOUNTED_MAX), 200).await;

        // One reply makes room for one of the longest; so does a client that hangs up.
        held.reply.add_permits(1);
        assert_eq!(requests.join_next().await.unwrap().unwrap(), 200);
        check(&router, unannounced(LARGE), 200).await;
        requests.shutdown().await;
        check(&router, Body::from(vec![b' '; BODY_BYTES_MAX]), 200).await;
    }

    #[tokio::test]
    async fn a_body_that_says_its_length_counts_with_that() {
        let budget = BodyBudget::new();
        let mut shares = Vec::new();
        for _ in 0..BODY_BYTES_IN_FLIGHT_MAX / (64 << 10) {
            let mut request = Request::new(Body::from(vec![b' '; 64 << 10]));
            shares.push(budget.share());
            request.extensions_mut().insert(shares.last().unwrap().clone());
            read_body(request, BODY_BYTES_MAX).await.unwrap();
        }
        assert_eq!(budget.0.available_permits(), 0);
        drop(shares);
        assert_eq!(budget.0.available_permits(), BODY_BYTES_IN_FLIGHT_MAX / PERMIT_BYTES);
    }
}
