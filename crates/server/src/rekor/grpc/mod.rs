// SPDX-License-Identifier: Apache-2.0
//! The same API as gRPC: `dev.sigstore.rekor.v2.Rekor` (sigstore/rekor-tiles, `api/proto`) on the port of the services, beside HTTP.
//!
//! In scope: the methods, health of the log (`grpc.health.v1`), reflection (`grpc.reflection.v1` and `v1alpha`), and how many streams are open at
//! once. Out of scope: what a request means ([`super::append`], [`super::read`]); frames and statuses ([`crate::http::grpc`]); `CreateIdentityEntry`, which is
//! still in motion and answered as unimplemented, as over HTTP.
//! Invariants: each call does what its HTTP twin does, with the same checks, limits and counts; a refusal has the twin's code and text, and its headers as
//! metadata; no stream outlives the order to stop, and so none holds up the shutdown.

mod describe;
mod messages;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::post;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use touchmark_sigstore::rekor::check_request;

use self::messages::{CreateEntryRequest, Empty, EntryBundleRequest, HttpBody, TileRequest, TransparencyLogEntry};
use super::append::{Repeated, frozen};
use super::{Rekor, read};
use crate::http::ApiError;
use crate::http::grpc::{UNAVAILABLE, calls_only, unary};
use crate::http::listener::Stop;
use crate::witness::{self, Wish};

pub(crate) const SERVICE: &str = "dev.sigstore.rekor.v2.Rekor";
/// Health and reflection read names only.
const NAME_BYTES_MAX: usize = 4 << 10;
/// Open streams of one log, of each of both kinds (watched health, reflection); more are told to come back.
const STREAMS_MAX: usize = 256;
/// How long one caller may watch; who goes on asks again, and who has gone leaves his place.
const WATCH_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a conversation about descriptions may take: tools ask some questions and hang up.
const REFLECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// How soon who watches the health of a log hears that it has stopped.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The paths of the log that `state` has, as a listener's root or that of a log has them.
pub(super) fn router<S>(state: S, stop: Stop) -> Router
where
    S: Clone + Send + Sync + 'static,
    Rekor: FromRef<S>,
{
    let streams = || Streams { permits: Arc::new(Semaphore::new(STREAMS_MAX)), stop: stop.clone() };
    let health = HealthServer::new(LogHealth { state: state.clone(), streams: streams() });
    Router::new()
        .route("/dev.sigstore.rekor.v2.Rekor/CreateEntry", post(create_entry))
        .route("/dev.sigstore.rekor.v2.Rekor/GetTile", post(get_tile))
        .route("/dev.sigstore.rekor.v2.Rekor/GetEntryBundle", post(get_entry_bundle))
        .route("/dev.sigstore.rekor.v2.Rekor/GetCheckpoint", post(get_checkpoint))
        .with_state(state)
        .route_service("/grpc.health.v1.Health/{method}", health.max_decoding_message_size(NAME_BYTES_MAX))
        .merge(reflection(streams()))
        .route_layer(middleware::from_fn(calls_only))
}

async fn create_entry(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    let (wish, repeated) = (Wish::of(request.headers()), Repeated::of(request.headers()));
    let answer = async |message: Result<CreateEntryRequest, _>| {
        if rekor.log.is_frozen() {
            rekor.submissions.count("frozen");
            return Err(frozen());
        }
        let message = message.inspect_err(|_| rekor.submissions.count("malformed"))?;
        let entry = check_request(message.into_wire()).map_err(|error| rekor.refused(&error))?;
        let entered = rekor.enter(entry.record(), wish, repeated).await?;
        let metadata = entered.headers();
        Ok((TransparencyLogEntry::from_wire(entered.into_entry()), metadata))
    };
    unary(request, answer).await
}

async fn get_tile(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    unary(request, async |message: Result<TileRequest, _>| {
        let TileRequest { level, index } = message?;
        tile(&rekor, &format!("{level}/{index}")).await
    })
    .await
}

async fn get_entry_bundle(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    unary(request, async |message: Result<EntryBundleRequest, _>| {
        let EntryBundleRequest { index } = message?;
        tile(&rekor, &format!("entries/{index}")).await
    })
    .await
}

async fn tile(rekor: &Rekor, path: &str) -> Result<(HttpBody, HeaderMap), ApiError> {
    let (_path, data) = read::tile_bytes(rekor, path).await?;
    Ok((HttpBody { content_type: read::TILE_TYPE.to_owned(), data }, HeaderMap::new()))
}

async fn get_checkpoint(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    let wish = Wish::of(request.headers());
    unary(request, async |message: Result<Empty, _>| {
        let Empty {} = message?;
        let shown = witness::checkpoint(&rekor.log, rekor.witnesses.as_ref(), wish)?;
        let metadata = shown.preference_applied().into_iter().collect();
        let data = shown.value().note.as_bytes().to_vec();
        Ok((HttpBody { content_type: read::CHECKPOINT_TYPE.to_owned(), data }, metadata))
    })
    .await
}

/// The streams of one log and one kind: those who watch take no place from those who ask for descriptions.
#[derive(Clone)]
struct Streams {
    permits: Arc<Semaphore>,
    stop: Stop,
}

const TOO_MANY_STREAMS: &str = "too many streams at once; retry";

impl Streams {
    /// A place for one more.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

/// `grpc.health.v1`: whether the log goes on, under the empty name and under that of the service.
struct LogHealth<S> {
    state: S,
    streams: Streams,
}

impl<S> LogHealth<S>
where
    Rekor: FromRef<S>,
{
    fn status(state: &S, service: &str) -> Option<ServingStatus> {
        let stopped = || Rekor::from_ref(state).log.stopped().is_some();
        let known = service.is_empty() || service == SERVICE;
        known.then(|| if stopped() { ServingStatus::NotServing } else { ServingStatus::Serving })
    }
}

type Statuses = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl<S> Health for LogHealth<S>
where
    S: Clone + Send + Sync + 'static,
    Rekor: FromRef<S>,
{
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let status = Self::status(&self.state, &request.get_ref().service);
        let status = status.ok_or_else(|| Status::not_found("unknown service"))?;
        Ok(tonic::Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Statuses;

    /// The status now, and then each time that it is another one.
    async fn watch(&self, request: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<Statuses>, Status> {
        let place = self.streams.place().ok_or_else(|| Status::unavailable(TOO_MANY_STREAMS))?;
        let (state, service) = (self.state.clone(), request.into_inner().service);
        let changes = stream::unfold((place, state, service, None), |(place, state, service, told)| async move {
            let status = loop {
                let status = Self::status(&state, &service).unwrap_or(ServingStatus::ServiceUnknown);
                if told != Some(status) {
                    break status;
                }
                tokio::time::sleep(WATCH_INTERVAL).await;
            };
            Some((Ok(HealthCheckResponse { status: status.into() }), (place, state, service, Some(status))))
        });
        Ok(tonic::Response::new(ended(changes, self.streams.stop.clone(), WATCH_TIMEOUT)))
    }
}

/// The same statuses until the process is to stop or the time is over, and then a word to come back.
fn ended(
    statuses: impl Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static,
    mut stop: Stop,
    patience: Duration,
) -> Statuses {
    let end = Box::pin(async move {
        let _ = tokio::time::timeout(patience, stop.requested()).await;
    });
    let last = stream::once(async { Err(Status::unavailable("the watch is over; retry")) });
    Box::pin(statuses.take_until(end).chain(last))
}

/// `grpc.reflection`, in the version of today and the one that older tools ask for.
fn reflection(streams: Streams) -> Router {
    let invariant = "every file, message, field and service of a description has a name";
    let v1 = describe::reflection().build_v1().expect(invariant);
    let v1alpha = describe::reflection().build_v1alpha().expect(invariant);
    Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1.max_decoding_message_size(NAME_BYTES_MAX))
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
            v1alpha.max_decoding_message_size(NAME_BYTES_MAX),
        )
        .route_layer(middleware::from_fn_with_state(streams, bounded_conversation))
}

/// Ends the questions, and with them the answers, when their time is over or the process is to stop.
async fn bounded_conversation(
    State(streams): State<Streams>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let place = streams.place();
    let place =
        place.ok_or_else(|| ApiError::new(503, UNAVAILABLE, TOO_MANY_STREAMS).with_header("retry-after", "1"))?;
    let mut stop = streams.stop;
    let end = Box::pin(async move {
        let _ = tokio::time::timeout(REFLECTION_TIMEOUT, stop.requested()).await;
    });
    let request = request.map(|body| {
        let questions = body.into_data_stream().take_until(end);
        Body::from_stream(questions.inspect(move |_| {
            let _held = &place;
        }))
    });
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watch_ends_when_its_time_is_over_and_at_the_order_to_stop() {
        for stopped in [false, true] {
            let (switch, stop) = Stop::pair();
            let patience = if stopped { WATCH_TIMEOUT } else { Duration::from_millis(20) };
            let mut watched = ended(stream::pending(), stop, patience);
            switch.send(stopped).unwrap();
            let last = tokio::time::timeout(Duration::from_secs(5), watched.next()).await.expect("it ends");
            assert_eq!(last.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
            assert!(watched.next().await.is_none());
        }
    }
}
