// SPDX-License-Identifier: Apache-2.0
//! What a listener says of its gRPC services: how they are (`grpc.health.v1`) and what they take (`grpc.reflection.v1` and `v1alpha`).
//!
//! In scope: one health and one reflection for all services under one address, and how many streams are open at once. Out of scope: when a service is
//! well, which each says by [`About`]; its methods.
//! Invariant: no stream outlives the order to stop, and so none holds up the shutdown.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use prost_types::FileDescriptorSet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::describe::{File, file};
use super::{UNAVAILABLE, calls_only};
use crate::http::ApiError;
use crate::http::listener::Stop;

/// Health and reflection read names only.
const NAME_BYTES_MAX: usize = 4 << 10;
/// Open streams of one address, of each of both kinds (watched health, reflection); more are told to come back.
const STREAMS_MAX: usize = 256;
/// How long one caller may watch; who goes on asks again, and who has gone leaves his place.
const WATCH_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a conversation about descriptions may take: tools ask some questions and hang up.
const REFLECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// How soon who watches the health of a service hears that it has changed.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// One service of an address, as it is shown.
#[derive(Clone)]
pub(crate) struct About {
    /// Its full name, such as `dev.sigstore.rekor.v2.Rekor`.
    pub(crate) service: &'static str,
    /// Asked each time.
    pub(crate) status: Arc<dyn Fn() -> ServingStatus + Send + Sync>,
    /// Its schema, each file after what it imports.
    pub(crate) files: &'static [File],
}

/// The paths of health and reflection for these services.
pub(crate) fn router(services: &[About], stop: &Stop) -> Router {
    let streams = || Streams { permits: Arc::new(Semaphore::new(STREAMS_MAX)), stop: stop.clone() };
    let health = HealthServer::new(ServicesHealth { services: Arc::from(services), streams: streams() });
    Router::new()
        .route_service("/grpc.health.v1.Health/{method}", health.max_decoding_message_size(NAME_BYTES_MAX))
        .merge(reflection(services, streams()))
        .route_layer(middleware::from_fn(calls_only))
}

/// The streams of one address and one kind: those who watch take no place from those who ask for descriptions.
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

/// `grpc.health.v1`: each service under its name, and under the empty name whether all go on.
struct ServicesHealth {
    services: Arc<[About]>,
    streams: Streams,
}

fn status(services: &[About], name: &str) -> Option<ServingStatus> {
    let mut statuses = services
        .iter()
        .filter(|about| name.is_empty() || about.service == name)
        .map(|about| (about.status)())
        .peekable();
    statuses.peek()?;
    let failing = statuses.find(|status| *status != ServingStatus::Serving);
    Some(failing.unwrap_or(ServingStatus::Serving))
}

type Statuses = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for ServicesHealth {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let status = status(&self.services, &request.get_ref().service);
        let status = status.ok_or_else(|| Status::not_found("unknown service"))?;
        Ok(tonic::Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Statuses;

    /// The status now, and then each time that it is another one.
    async fn watch(&self, request: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<Statuses>, Status> {
        let place = self.streams.place().ok_or_else(|| Status::unavailable(TOO_MANY_STREAMS))?;
        let (services, service) = (Arc::clone(&self.services), request.into_inner().service);
        let changes = stream::unfold((place, services, service, None), |(place, services, service, told)| async move {
            let now = loop {
                let now = status(&services, &service).unwrap_or(ServingStatus::ServiceUnknown);
                if told != Some(now) {
                    break now;
                }
                tokio::time::sleep(WATCH_INTERVAL).await;
            };
            Some((Ok(HealthCheckResponse { status: now.into() }), (place, services, service, Some(now))))
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
fn reflection(services: &[About], streams: Streams) -> Router {
    let invariant = "every file, message, field and service of a description has a name";
    let v1 = described(services).build_v1().expect(invariant);
    let v1alpha = described(services).build_v1alpha().expect(invariant);
    Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1.max_decoding_message_size(NAME_BYTES_MAX))
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
            v1alpha.max_decoding_message_size(NAME_BYTES_MAX),
        )
        .route_layer(middleware::from_fn_with_state(streams, bounded_conversation))
}

/// A reflection service that knows these services and health, and adds itself.
fn described(services: &[About]) -> tonic_reflection::server::Builder<'static> {
    let health = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    services.iter().fold(health, |builder, about| {
        builder.register_file_descriptor_set(FileDescriptorSet { file: about.files.iter().map(file).collect() })
    })
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

    #[test]
    fn the_empty_name_is_as_well_as_the_worst_of_the_services() {
        let service = |service, status: ServingStatus| About { service, status: Arc::new(move || status), files: &[] };
        let (well, ill) = (service("well", ServingStatus::Serving), service("ill", ServingStatus::NotServing));
        assert_eq!(status(std::slice::from_ref(&well), ""), Some(ServingStatus::Serving));
        let both = [well, ill];
        for (name, expect) in [
            ("", Some(ServingStatus::NotServing)),
            ("well", Some(ServingStatus::Serving)),
            ("ill", Some(ServingStatus::NotServing)),
            ("other", None),
        ] {
            assert_eq!(status(&both, name), expect, "{name}");
        }
    }
}
