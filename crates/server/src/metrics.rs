// SPDX-License-Identifier: Apache-2.0
//! Metrics in the text format of Prometheus (OpenMetrics), on a listener of their own.
//!
//! In scope: what is counted and under which names (docs/log.md lists them; docs/fulcio-operations.md those of [`fulcio`], docs/tsa.md those of [`tsa`]), the page. Out of scope: what a log counts of itself
//! (`touchmark_sequencer::LogStats`).
//! Invariants: labels are names of logs, configured issuers and time servers, routes as they are declared, methods of a fixed list, statuses and named reasons: nothing that a request can make up; no address, identity or
//! digest appears; the page is never on the listener of a service.

mod chain_ends;
mod fulcio;
mod tls;
mod tsa;

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pin_project_lite::pin_project;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use touchmark_sequencer::{AddError, Added, Distribution, Log, LogStats};
use tower::Service;
use tower::layer::layer_fn;

pub(crate) use fulcio::{FulcioMetrics, Step};
pub(crate) use tls::{Handshake, TlsMetrics};
pub(crate) use tsa::{Trusted, TsaMetrics};

use crate::http::{Answers, ApiError, bytes_response, unknown_path, wrong_method};

/// The media type of the text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of request times in seconds: from a read out of memory to the deadline.
const REQUEST_BOUNDS_S: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5, 1.0, 4.0, 30.0];

/// All metrics of the process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    submissions: Family<SubmissionLabels, Counter>,
    logs: Logs,
    tuf_expires_seconds: Family<TufLabels, Gauge>,
    fulcio: FulcioMetrics,
    tls: TlsMetrics,
    tsa: TsaMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SubmissionLabels {
    log: Arc<String>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TufLabels {
    role: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("touchmark");
        let requests = Family::<RequestLabels, Counter>::default();
        let constructor: fn() -> Histogram = || Histogram::new(REQUEST_BOUNDS_S);
        let request_seconds = Family::new_with_constructor(constructor);
        let submissions = Family::<SubmissionLabels, Counter>::default();
        let logs = Logs::default();
        registry.register("http_requests", "Requests by route and status", requests.clone());
        registry.register("http_request_seconds", "Time to the head of the reply", request_seconds.clone());
        registry.register("log_submissions", "Entries sent to a log by what became of them", submissions.clone());
        registry.register_collector(Box::new(logs.clone()));
        let tuf_expires_seconds = Family::<TufLabels, Gauge>::default();
        let help = "Time until metadata of the TUF repository expires, as of the last look, once a minute";
        registry.register("tuf_expires_seconds", help, tuf_expires_seconds.clone());
        let fulcio = FulcioMetrics::register(&mut registry);
        let tls = TlsMetrics::register(&mut registry);
        let tsa = TsaMetrics::register(&mut registry);
        let inner =
            Inner { registry, requests, request_seconds, submissions, logs, tuf_expires_seconds, fulcio, tls, tsa };
        Self(Arc::new(inner))
    }

    /// Shows how long metadata of a role of the TUF repository is still good; negative once it is not.
    pub(crate) fn tuf_expires(&self, role: &'static str, seconds: i64) {
        self.0.tuf_expires_seconds.get_or_create(&TufLabels { role }).set(seconds);
    }

    /// Where the certificate authority counts.
    pub(crate) fn fulcio(&self) -> FulcioMetrics {
        self.0.fulcio.clone()
    }

    /// Where the timestamp authority counts.
    pub(crate) fn tsa(&self) -> TsaMetrics {
        self.0.tsa.clone()
    }

    /// Where the TLS of the listeners counts.
    pub(crate) fn tls(&self) -> TlsMetrics {
        self.0.tls.clone()
    }

    /// Shows a log from now on, and keeps it open.
    pub(crate) fn watch(&self, log: &Log) {
        self.0.logs.lock().push(log.clone());
    }

    /// Where is counted what becomes of the entries of a log.
    pub(crate) fn submissions(&self, log: &Log) -> Submissions {
        Submissions { counters: self.0.submissions.clone(), log: Arc::new(log.origin().to_owned()) }
    }

    /// The same router, whose requests are counted.
    pub(crate) fn observing(&self, router: Router) -> Router {
        let metrics = self.clone();
        router.layer(layer_fn(move |route| Observed { metrics: metrics.clone(), route }))
    }

    /// The listener's only page.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(page))
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .with_state(self)
    }
}

async fn page(State(metrics): State<Metrics>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &metrics.0.registry) {
        Ok(()) => bytes_response(200, OPEN_METRICS, text.into_bytes()),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

/// A route whose requests and replies are counted. No middleware of a function, which costs each request two boxes more.
#[derive(Clone)]
struct Observed<S> {
    metrics: Metrics,
    route: S,
}

impl<S: Answers> Service<Request> for Observed<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Observation<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let name = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
        let method = method(request.method());
        let begun = Instant::now();
        Observation { reply: self.route.call(request), metrics: self.metrics.clone(), name, method, begun }
    }
}

pin_project! {
    struct Observation<F> {
        #[pin]
        reply: F,
        metrics: Metrics,
        name: String,
        method: &'static str,
        begun: Instant,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Observation<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.reply.poll(context));
        let by_route = RouteLabels { route: std::mem::take(this.name) };
        let Inner { request_seconds, requests, .. } = &*this.metrics.0;
        request_seconds.get_or_create(&by_route).observe(this.begun.elapsed().as_secs_f64());
        let status = response.status().as_u16();
        requests.get_or_create(&RequestLabels { method: this.method, route: by_route.route, status }).inc();
        Poll::Ready(Ok(response))
    }
}

/// A client may make up methods.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Counts what becomes of the entries of one log.
#[derive(Clone)]
pub(crate) struct Submissions {
    counters: Family<SubmissionLabels, Counter>,
    log: Arc<String>,
}

impl Submissions {
    /// `outcome` is `new`, `duplicate`, or the reason of a refusal.
    pub(crate) fn count(&self, outcome: &'static str) {
        self.counters.get_or_create(&SubmissionLabels { log: Arc::clone(&self.log), outcome }).inc();
    }
}

/// What became of an entry that was good enough for the pool.
pub(crate) fn outcome(added: &Result<Added, AddError>) -> &'static str {
    match added {
        Ok(Added::Sequenced(_) | Added::Checkpointed(_)) => "new",
        Ok(Added::Duplicate { .. }) => "duplicate",
        Err(AddError::PoolFull) => "pool_full",
        Err(AddError::ShuttingDown) => "shutting_down",
        Err(AddError::Frozen) => "frozen",
        Err(AddError::EntryTooLarge { .. }) => "too_large",
        Err(AddError::Storage) => "storage_failed",
        Err(AddError::Unsigned) => "not_signed",
        Err(AddError::Fatal(_)) => "stopped",
    }
}

/// The logs of the process, asked when the page is.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<Log>>>);

impl Logs {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Log>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter()).finish()
    }
}

/// One number of a log: its name, its help, how it is read.
type Reading = (&'static str, &'static str, fn(&LogStats) -> f64);
/// One distribution of a log, and the unit of its bounds in the unit of the metric.
type Spread = (&'static str, &'static str, fn(&LogStats) -> &Distribution, f64);

const READINGS: [Reading; 5] = [
    ("log_entries", "Entries under the latest signed checkpoint", |stats| float(stats.signed.0)),
    ("log_unpublished_entries", "Entries under the latest checkpoint that are in no published full tile", |stats| {
        float(stats.signed.0.saturating_sub(stats.published.0))
    }),
    ("log_pool_entries", "Entries that wait to be sequenced", |stats| float(stats.waiting as u64)),
    ("log_checkpoint_age_seconds", "Time since the latest checkpoint was signed", |stats| {
        float(stats.checkpoint_age_ms) / 1e3
    }),
    ("log_batches", "Durable commits since the start", |stats| float(stats.commit_us.counts.iter().sum())),
];

const SPREADS: [Spread; 2] = [
    ("log_batch_entries", "Entries of each durable commit", |stats| &stats.batch_entries, 1.0),
    ("log_commit_seconds", "Time of each durable commit", |stats| &stats.commit_us, 1e-6),
];

impl Collector for Logs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let logs: Vec<(String, LogStats, bool)> =
            self.lock().iter().map(|log| (log.origin().to_owned(), log.stats(), log.stopped().is_some())).collect();
        for (name, help, read) in READINGS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (log, stats, _) in &logs {
                ConstGauge::new(read(stats)).encode(metric.encode_family(&[("log", log.as_str())])?)?;
            }
        }
        let mut metric =
            encoder.encode_descriptor("log_stopped", "Whether a log has stopped for good", None, MetricType::Gauge)?;
        for (log, _, stopped) in &logs {
            ConstGauge::new(i64::from(*stopped)).encode(metric.encode_family(&[("log", log.as_str())])?)?;
        }
        for (name, help, read, unit) in SPREADS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (log, stats, _) in &logs {
                spread(metric.encode_family(&[("log", log.as_str())])?, read(stats), unit)?;
            }
        }
        Ok(())
    }
}

fn spread(mut metric: MetricEncoder<'_>, distribution: &Distribution, unit: f64) -> Result<(), fmt::Error> {
    let bounds = distribution.bounds.iter().map(|bound| float(*bound) * unit).chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(distribution.counts.iter().copied()).collect();
    let count = distribution.counts.iter().sum();
    metric.encode_histogram::<NoLabelSet>(float(distribution.sum) * unit, count, &buckets, None)
}

/// Metrics are floating point; above 2^53 nobody misses the last digit.
#[expect(clippy::cast_precision_loss, reason = "said above")]
fn float(number: u64) -> f64 {
    number as f64
}
