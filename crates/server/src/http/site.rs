// SPDX-License-Identifier: Apache-2.0
//! The front of a listener: health, readiness, and the way to a log by the name in the `Host` header.
//!
//! In scope: `/healthz` (the process answers), `/readyz` (every role is up), the reply while the process is still starting,
//! and the rule that a request to host `<log name>` means `/log/<log name>/…`.
//! Out of scope: the routes of the services, which are put behind this once they are up.
//! Invariant: `/readyz` is 200 only when every role of the listener's process is up.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::{PathAndQuery, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use axum::routing::get;
use futures_util::future::{BoxFuture, Either, join_all};
use tower::Service;

use crate::metrics::Metrics;

use super::grpc::about::{self, About};
use super::listener::Stop;
use super::{ApiError, grpc, json_response, unknown_path, wrong_method};

/// How far a role is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleState {
    Starting,
    Up,
    Stopped,
}

impl RoleState {
    fn name(self) -> &'static str {
        match self {
            RoleState::Starting => "starting",
            RoleState::Up => "up",
            RoleState::Stopped => "stopped",
        }
    }
}

type Probe = Box<dyn Fn() -> RoleState + Send>;
type Trial = Box<dyn Fn() -> BoxFuture<'static, RoleState> + Send>;

/// The state of every role of the process; shared by all its listeners.
#[derive(Clone, Default)]
pub(crate) struct Readiness(Arc<Mutex<BTreeMap<String, Role>>>);

enum Role {
    /// As it was last told.
    Told(RoleState),
    /// As it is when asked.
    Probed(Probe),
    /// The same, where finding out takes its time.
    Tried(Trial),
}

impl Readiness {
    pub(crate) fn set(&self, role: &str, state: RoleState) {
        self.roles().insert(role.to_owned(), Role::Told(state));
    }

    /// Adds a role that is asked each time, because it may stop by itself.
    pub(crate) fn probe(&self, role: String, probe: impl Fn() -> RoleState + Send + 'static) {
        self.roles().insert(role, Role::Probed(Box::new(probe)));
    }

    /// The same for what has to be tried to be known. The trial bounds its own time and cost.
    pub(crate) fn trial<F>(&self, role: String, trial: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = RoleState> + Send + 'static,
    {
        self.roles().insert(role, Role::Tried(Box::new(move || Box::pin(trial()))));
    }

    /// Sets every role that is not asked.
    pub(crate) fn set_all(&self, state: RoleState) {
        for role in self.roles().values_mut() {
            if let Role::Told(told) = role {
                *told = state;
            }
        }
    }

    fn roles(&self) -> MutexGuard<'_, BTreeMap<String, Role>> {
        // A probe that panicked has changed nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn response(&self) -> Response {
        let state = |role: &Role| match role {
            Role::Told(state) => Either::Left(ready(*state)),
            Role::Probed(probe) => Either::Left(ready(probe())),
            Role::Tried(trial) => Either::Right(trial()),
        };
        let (names, states): (Vec<_>, Vec<_>) =
            self.roles().iter().map(|(name, role)| (name.clone(), state(role))).unzip();
        let roles: BTreeMap<String, RoleState> = names.into_iter().zip(join_all(states).await).collect();
        let ready = !roles.is_empty() && roles.values().all(|state| *state == RoleState::Up);
        let roles: serde_json::Map<_, _> = roles.into_iter().map(|(name, state)| (name, state.name().into())).collect();
        let (status, text) = if ready { (200, "READY") } else { (503, "NOT_READY") };
        json_response(status, &serde_json::json!({"status": text, "roles": roles}))
    }
}

/// What stands behind the front once the services are up.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) router: Router,
    /// Names under which a log is reached by `Host`.
    pub(crate) log_names: Vec<String>,
    /// The gRPC services of the bare paths, for health and reflection there.
    pub(crate) about: Vec<About>,
}

/// Where the process says how it is, beside the services.
const HEALTH: &str = "/healthz";
const READINESS: &str = "/readyz";

/// The front of one listener; cheap to clone.
#[derive(Clone)]
pub(crate) struct Site(Arc<Front>);

struct Front {
    probes: Router,
    /// Where the requests to services are counted.
    metrics: Metrics,
    /// `None` while the process is starting; replaced as a whole when a log comes.
    services: RwLock<Option<Arc<Services>>>,
}

impl Site {
    pub(crate) fn new(readiness: Readiness, metrics: Metrics) -> Self {
        let probes = Router::new()
            .route(HEALTH, get(|| async { json_response(200, &serde_json::json!({"status": "SERVING"})) }))
            .route(READINESS, get(|State(readiness): State<Readiness>| async move { readiness.response().await }))
            .method_not_allowed_fallback(wrong_method)
            .with_state(readiness);
        Site(Arc::new(Front { probes, metrics, services: RwLock::default() }))
    }

    /// Puts the services behind the front. Streams of health and reflection end at `stop`.
    pub(crate) fn open(&self, services: Services, stop: &Stop) {
        let router = match services.about.as_slice() {
            [] => services.router,
            about => services.router.merge(about::router(about, stop)),
        };
        let router = router.fallback(unknown_path).method_not_allowed_fallback(wrong_method);
        self.replace(Services { router: self.0.metrics.observing(router), ..services });
    }

    /// Adds a log to services that are open. Requests under way end with the services that they began with.
    pub(crate) fn add_log(&self, name: &str, router: Router) {
        let Some(open) = self.services() else { return };
        let log = Router::new().nest(&format!("/log/{name}"), router).method_not_allowed_fallback(wrong_method);
        let log_names = open.log_names.iter().cloned().chain([name.to_owned()]).collect();
        let router = open.router.clone().merge(self.0.metrics.observing(log));
        self.replace(Services { router, log_names, about: open.about.clone() });
    }

    fn replace(&self, services: Services) {
        *self.0.services.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(services));
    }

    fn services(&self) -> Option<Arc<Services>> {
        self.0.services.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The way of a request to its service.
impl Service<Request> for Site {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<RouteFuture<Infallible>, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if matches!(request.uri().path(), HEALTH | READINESS) {
            return Either::Left(self.0.probes.clone().call(request));
        }
        let Some(services) = self.services() else {
            let starting = ApiError::new(503, grpc::UNAVAILABLE, "the service is starting; retry");
            return Either::Right(ready(Ok(starting.with_header("retry-after", "1").into_response())));
        };
        let request = under_log_name(request, &services.log_names);
        Either::Left(services.router.clone().call(request))
    }
}

/// Rewrites a request whose host is the name of a log to that log's path.
fn under_log_name(mut request: Request, log_names: &[String]) -> Request {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).or_else(|| request.uri().host());
    let Some(name) =
        host.map(without_port).and_then(|host| log_names.iter().find(|name| name.eq_ignore_ascii_case(host)))
    else {
        return request;
    };
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    if path.starts_with("/log/") {
        return request;
    }
    if let Ok(uri) = format!("/log/{name}{path}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    fn request(host: &str, path: &str) -> Request {
        Request::builder().uri(path).header("host", host).body(Body::empty()).unwrap()
    }

    async fn check(site: &Site, host: &str, path: &str, status: u16, contains: &str) {
        let response = site.clone().oneshot(request(host, path)).await.unwrap();
        assert_eq!(response.status(), status, "{host} {path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(contains), "{host} {path}: {body}");
    }

    #[tokio::test]
    async fn readiness_follows_the_roles() {
        let readiness = Readiness::default();
        let site = Site::new(readiness.clone(), Metrics::new());
        check(&site, "x", "/readyz", 503, "NOT_READY").await;
        readiness.set("rekor", RoleState::Starting);
        readiness.set("tsa", RoleState::Up);
        check(&site, "x", "/readyz", 503, r#""rekor":"starting""#).await;
        check(&site, "x", "/healthz", 200, "SERVING").await;
        check(&site, "x", "/other", 503, "starting").await;
        readiness.set("rekor", RoleState::Up);
        check(&site, "x", "/readyz", 200, "READY").await;
        readiness.set_all(RoleState::Stopped);
        check(&site, "x", "/readyz", 503, "stopped").await;
    }

    #[tokio::test]
    async fn a_log_is_reached_by_host_and_by_path() {
        let site = Site::new(Readiness::default(), Metrics::new());
        let log = Router::new().route("/checkpoint", get(|| async { "note" }));
        let router = Router::new().nest("/log/log1.example", log);
        let (_switch, stop) = Stop::pair();
        site.open(Services { router, log_names: vec!["log1.example".to_owned()], about: Vec::new() }, &stop);
        check(&site, "log1.example", "/checkpoint", 200, "note").await;
        check(&site, "LOG1.example:7700", "/checkpoint", 200, "note").await;
        check(&site, "127.0.0.1:7700", "/log/log1.example/checkpoint", 200, "note").await;
        check(&site, "log1.example", "/log/log1.example/checkpoint", 200, "note").await;
        check(&site, "127.0.0.1", "/checkpoint", 404, r#"{"code":5,"details":[],"message":"Not Found"}"#).await;
        check(&site, "log1.example", "/healthz", 200, "SERVING").await;
        check(&site, "log2.example", "/checkpoint", 404, "Not Found").await;
        site.add_log("log2.example", Router::new().route("/checkpoint", get(|| async { "another" })));
        check(&site, "log2.example", "/checkpoint", 200, "another").await;
        check(&site, "log1.example", "/checkpoint", 200, "note").await;
        check(&site, "log1.example", "/nowhere", 404, "Not Found").await;
    }
}
