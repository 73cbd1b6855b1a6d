// SPDX-License-Identifier: Apache-2.0
//! Evidence of a log's time: at an interval the newest checkpoint, cosigned if it can be, is stamped by RFC 3161 authorities and kept.
//!
//! In scope: the task that stamps, the authorities (the one of this process, and others over HTTP), serving what is kept. Out of scope: the
//! format and its verification (`touchmark_sigstore::evidence`), the files (`archive`).
//! Invariants: beside the commit path; a token is kept only after it was verified under its authority's chain, for our request; nothing is stamped
//! for a log that has stopped.

mod archive;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use axum::routing::get;
use touchmark_keys::{HashAlgorithm, digest};
use touchmark_outbound::{Limits, Outbound};
use touchmark_sequencer::{Log, SignedCheckpoint};
use touchmark_sigstore::evidence::{Evidence, STAMP_BYTES_MAX, STAMPS_MAX, Stamp};
use touchmark_sigstore::tsp::{self, TimestampRequest};
use touchmark_sigstore::x509::Certificate;
use touchmark_tlog::TreeSize;
use touchmark_tlog::note::SignedNote;
use url::Url;

use self::archive::Archive;
use crate::durable::FileError;
use crate::http::listener::Stop;
use crate::http::{ApiError, bytes_response};
use crate::tsa::Tsa;
use crate::witness::{self, Wish, Witnesses};

/// The most foreign authorities of a log; the own one comes on top.
pub(crate) const FOREIGN_MAX: usize = STAMPS_MAX - 1;
/// The shortest interval: evidence is kept for years.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The pause after a round that kept nothing.
const RETRY: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { response_bytes_max: STAMP_BYTES_MAX, timeout: Duration::from_secs(10) };

/// How a log's checkpoints are stamped, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EvidencePlace {
    pub(crate) interval: Duration,
    /// Beside the authority of this process, if it has one.
    pub(crate) foreign: Vec<ForeignPlace>,
}

/// An authority elsewhere: where it is asked, and the chain (PEM, its signing certificate first if known, root last) that its tokens must lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignPlace {
    pub(crate) url: Url,
    pub(crate) chain: PathBuf,
}

/// An authority elsewhere, with its chain read.
pub(crate) struct Foreign {
    pub(crate) url: Url,
    pub(crate) chain: Vec<Certificate>,
}

impl Foreign {
    /// How the authority is named in public: its address without a query, which may hold a secret.
    fn name(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.into()
    }
}

/// Nobody could stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no timestamp authority: add [tsa] to this process, or name one with `evidence_tsa`")]
pub(crate) struct NoAuthority;

/// The task of one log.
pub(crate) struct Stamping {
    log: Log,
    witnesses: Option<Witnesses>,
    archive: Archive,
    own: OwnTsa,
    foreign: Vec<Foreign>,
    outbound: Outbound,
    interval: Duration,
    /// The newest tree at the round before: a cosigned one that is older is not stamped in its place.
    round_before: TreeSize,
}

/// The authority of this process, which starts after the logs; empty if it has none.
pub(crate) type OwnTsa = Arc<OnceLock<Arc<Tsa>>>;

/// Who is asked.
pub(crate) struct Authorities {
    pub(crate) own: OwnTsa,
    pub(crate) foreign: Vec<Foreign>,
    pub(crate) outbound: Outbound,
}

impl Stamping {
    /// Effect: the directory of the archive.
    pub(crate) fn new(
        log: Log,
        witnesses: Option<Witnesses>,
        directory: &Path,
        authorities: Authorities,
        interval: Duration,
    ) -> Result<Self, FileError> {
        let Authorities { own, foreign, outbound } = authorities;
        let (archive, round_before) = (Archive::open(directory)?, log.checkpoint().size);
        Ok(Self { log, witnesses, archive, own, foreign, outbound, interval, round_before })
    }

    /// Runs until `stop`. The first round is at once: the first piece is of the start.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        loop {
            let pause = match self.round().await {
                Some(Kept) => self.interval,
                None => self.interval.min(RETRY),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.requested() => return,
            }
        }
    }

    /// Stamps the newest checkpoint and keeps it.
    async fn round(&mut self) -> Option<Kept> {
        let nobody_yet = self.own.get().is_none() && self.foreign.is_empty();
        if nobody_yet || self.log.stopped().is_some() {
            return None;
        }
        let shown = self.newest()?;
        if shown.size.0 == 0 {
            return None;
        }
        let note =
            SignedNote::parse(shown.note.as_bytes()).expect("the log signs notes and reads each before it leaves");
        let stamps = self.stamps(&Evidence::stamped_bytes(&note)).await;
        let origin = self.log.origin();
        let evidence = match Evidence::new(note, stamps) {
            Ok(evidence) => evidence,
            Err(error) => {
                tracing::warn!(origin, %error, "no evidence of the log's time was kept; trying again");
                return None;
            }
        };
        match self.archive.keep(&evidence).await {
            Ok(number) => {
                tracing::debug!(origin, number, size = %shown.size, "kept evidence of the log's time");
                Some(Kept)
            }
            Err(error) => {
                tracing::error!(origin, %error, "evidence of the log's time could not be stored; trying again");
                None
            }
        }
    }

    /// The newest cosigned checkpoint, unless it is older than a round; else what readers are shown.
    fn newest(&mut self) -> Option<SignedCheckpoint> {
        let round_before = std::mem::replace(&mut self.round_before, self.log.checkpoint().size);
        let witnesses = self.witnesses.as_ref();
        let cosigned = witness::checkpoint(&self.log, witnesses, Wish::Cosigned { wait: Duration::ZERO });
        let fresh = cosigned.ok().map(|shown| shown.value()).filter(|cosigned| cosigned.size >= round_before);
        fresh.or_else(|| Some(witness::checkpoint(&self.log, witnesses, Wish::Newest).ok()?.value()))
    }

    /// The verified tokens of those authorities that answer.
    async fn stamps(&self, message: &[u8]) -> Vec<Stamp> {
        let mut stamps = Vec::new();
        if let Some(own) = self.own.get() {
            let request = request(message);
            let stamped = own.stamp(&request).await;
            let chain = stamped.as_ref().map(|stamped| stamped.chain().to_vec()).unwrap_or_default();
            let reply = stamped.map(|stamped| stamped.reply);
            self.add(&mut stamps, "own", reply, &request, message, &chain);
        }
        let asked = self.foreign.iter().map(async |foreign| {
            let request = request(message);
            let reply = ask(&self.outbound, &foreign.url, &request).await;
            (foreign, request, reply)
        });
        for (foreign, request, reply) in futures_util::future::join_all(asked).await {
            self.add(&mut stamps, &foreign.name(), reply, &request, message, &foreign.chain);
        }
        stamps
    }

    fn add(
        &self,
        stamps: &mut Vec<Stamp>,
        authority: &str,
        reply: Result<Vec<u8>, String>,
        request: &TimestampRequest,
        message: &[u8],
        chain: &[Certificate],
    ) {
        let verified = reply.and_then(|reply| match tsp::verify_reply(&reply, request, message, chain) {
            Ok(_) => Ok(reply),
            Err(error) => Err(error.to_string()),
        });
        match verified {
            Ok(reply) => stamps.push(Stamp { authority: authority.to_owned(), reply }),
            Err(error) => {
                tracing::warn!(origin = self.log.origin(), authority, error, "a timestamp authority did not stamp");
            }
        }
    }
}

/// A piece of evidence is durable.
struct Kept;

fn request(message: &[u8]) -> TimestampRequest {
    let mut nonce = [0; 8];
    touchmark_keys::random(&mut nonce);
    // A positive integer without leading zeros.
    nonce[0] = (nonce[0] & 0x7f) | 0x40;
    let imprint = digest(HashAlgorithm::Sha256, message);
    TimestampRequest { imprint, nonce: Some(nonce.to_vec()), cert_req: true, policy: None }
}

async fn ask(outbound: &Outbound, url: &Url, request: &TimestampRequest) -> Result<Vec<u8>, String> {
    let headers = [("content-type", "application/timestamp-query"), ("accept", "application/timestamp-reply")];
    let body = request.to_der().expect("a request of ours encodes");
    let answer = outbound.post(url, &headers, body, &LIMITS).await.map_err(|error| error.to_string())?;
    match answer.status {
        200 | 201 => Ok(answer.body),
        status => Err(format!("status {status}")),
    }
}

/// `evidence/` lists the numbers of what is kept, one a line; `evidence/<number>` is one piece, `evidence/latest` the newest.
pub(crate) fn router(log_directory: &Path) -> Router {
    Router::new()
        .route("/evidence/", get(list))
        .route("/evidence/{number}", get(piece))
        .with_state(Arc::new(archive::directory(log_directory)))
}

async fn list(State(directory): State<Arc<PathBuf>>) -> Result<Response, ApiError> {
    let numbers = reading(move || archive::numbers(&directory)).await?;
    let text: String = numbers.iter().map(|number| format!("{number}\n")).collect();
    Ok(no_cache(bytes_response(200, "text/plain; charset=utf-8", text.into_bytes())))
}

async fn piece(State(directory): State<Arc<PathBuf>>, UrlPath(number): UrlPath<String>) -> Result<Response, ApiError> {
    let read = move || match number.as_str() {
        "latest" => match archive::numbers(&directory)?.last() {
            Some(newest) => archive::read(&directory, *newest),
            None => Ok(None),
        },
        digits => match archive::parse_number(digits) {
            Some(number) => archive::read(&directory, number),
            None => Ok(None),
        },
    };
    let bytes = reading(read).await?.ok_or_else(ApiError::not_found)?;
    Ok(no_cache(bytes_response(200, "text/plain; charset=utf-8", bytes)))
}

async fn reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, ApiError> {
    let read = tokio::task::spawn_blocking(read).await.expect("reading a file does not panic and is never aborted");
    read.map_err(|error| ApiError::internal(&error))
}

fn no_cache(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
