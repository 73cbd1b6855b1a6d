// SPDX-License-Identifier: Apache-2.0
//! `POST /api/v2/log/entries`: from bytes to an entry with its proof.
//!
//! In scope: the order of steps, the reply, the public error texts. Out of scope: the checks of the request themselves.
//! Invariant: 201 is said only when a signed checkpoint covers the entry and the proof in the reply verifies against it. So it is with 200, which only
//! a caller gets who prefers the entry that is there (`Prefer: return=representation`, RFC 7240 §4.2) to a conflict.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use touchmark_sequencer::{AddError, Added, Logged, Pending, ReadError, Rendered, WaitFor};
use touchmark_sigstore::rekor::{API_VERSION, EntryError, HashedRekord, KIND, RequestError, parse_request};
use touchmark_sigstore::wire::rekor::{Checkpoint, InclusionProof, KindVersion, LogId, TransparencyLogEntry};
use touchmark_sigstore::wire::{Nullable, REQUEST_BYTES_MAX, UnixSeconds};
use touchmark_tlog::proof::{Included, verify_inclusion};
use touchmark_tlog::{LeafIndex, leaf_hash};

use super::Rekor;
use crate::http::{ApiError, bytes_response, grpc, preferences, read_body};
use crate::metrics::outcome;
use crate::witness::{self, Wish};

pub(super) async fn create_entry(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    let (wish, repeated) = (Wish::of(request.headers()), Repeated::of(request.headers()));
    let body = read_body(request, REQUEST_BYTES_MAX).await?;
    if rekor.log.is_frozen() {
        rekor.submissions.count("frozen");
        return Err(frozen());
    }
    let entry = parse_request(&body).map_err(|error| rekor.refused(&error))?;
    Ok(rekor.enter(entry.record(), wish, repeated).await?.into_response())
}

/// What a caller wants to hear of an entry that the log has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeated {
    /// That it is there, and where: as the public log says it.
    Conflict,
    /// The entry itself, with a proof of now.
    Original,
}

const RETURN_REPRESENTATION: &str = "return=representation";

impl Repeated {
    /// Reads the preferences of a request (RFC 7240).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if preferences(headers).any(|preference| preference == RETURN_REPRESENTATION) {
            Repeated::Original
        } else {
            Repeated::Conflict
        }
    }
}

/// An entry that is in the log, with its evidence, which was verified.
pub(super) struct Entered {
    entry: TransparencyLogEntry,
    standing: Standing,
    /// Which preferences were met.
    preference_applied: Option<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    New,
    Original,
}

impl Entered {
    fn into_response(self) -> Response {
        let status = if self.standing == Standing::New { 201 } else { 200 };
        let mut response = bytes_response(status, "application/json", self.entry.to_json());
        response.headers_mut().extend(self.headers());
        response
    }

    /// What the reply says beside the entry.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers: HeaderMap = self.preference_applied.clone().into_iter().collect();
        if self.standing == Standing::Original {
            headers.append("preference-applied", HeaderValue::from_static(RETURN_REPRESENTATION));
            headers.insert("x-log-index", HeaderValue::from(self.entry.log_index));
        }
        headers
    }

    pub(super) fn into_entry(self) -> TransparencyLogEntry {
        self.entry
    }
}

impl Rekor {
    /// The public words; the reason is for our log and the metrics.
    pub(super) fn refused(&self, error: &RequestError) -> ApiError {
        tracing::info!(?error, "entry refused");
        self.submissions.count(reason(error));
        ApiError::invalid(error.to_string())
    }

    /// Puts an entry into the log and gives it back with its evidence.
    pub(super) async fn enter(
        &self,
        record: &HashedRekord,
        wish: Wish,
        repeated: Repeated,
    ) -> Result<Entered, ApiError> {
        let (logged, standing) = match (self.append(record.leaf_bytes()).await?, repeated) {
            (Appended::New(logged), _) => (logged, Standing::New),
            (Appended::Duplicate { index }, Repeated::Conflict) => return Err(duplicate(index)),
            (Appended::Duplicate { index }, Repeated::Original) => (self.original(index).await?, Standing::Original),
        };
        let shown = witness::evidence(&self.log, self.witnesses.as_ref(), wish, logged).await?;
        let preference_applied = shown.preference_applied();
        let logged = shown.value();
        let included = verify_reply(&logged)?;
        Ok(Entered { entry: self.reply(logged, &included), standing, preference_applied })
    }

    async fn append(&self, leaf: Vec<u8>) -> Result<Appended, ApiError> {
        let dedup_key = leaf_hash(&leaf).0;
        let rendered = Rendered::alike(leaf);
        let pending = Pending {
            dedup_key,
            render: Box::new(move |_index, _time_ms| rendered.clone()),
            blobs: [].into(),
            meta: Vec::new(),
        };
        let added = self.log.add(pending, WaitFor::Checkpointed).await;
        self.submissions.count(outcome(&added));
        match added {
            Ok(Added::Checkpointed(logged)) => Ok(Appended::New(logged)),
            Ok(Added::Duplicate { index, .. }) => Ok(Appended::Duplicate { index }),
            Ok(Added::Sequenced(_)) => Err(ApiError::internal(&"the log answered before its checkpoint")),
            Err(error) => Err(not_added(&error)),
        }
    }

    /// An entry that the latest checkpoint covers, with a proof under that checkpoint.
    async fn original(&self, index: LeafIndex) -> Result<Logged, ApiError> {
        let internal = |error: ReadError| ApiError::internal(&error);
        let checkpoint = self.log.checkpoint();
        let proof = self.log.inclusion_proof(index, checkpoint.size).await.map_err(internal)?;
        let row = self.log.rows(index, 1).await.map_err(internal)?.pop();
        let row = row.ok_or_else(|| ApiError::internal(&"the row of a duplicate is missing"))?;
        Ok(Logged { index, time_ms: row.time_ms, leaf_input: row.bundle_bytes, proof, checkpoint })
    }

    fn reply(&self, logged: Logged, included: &Included) -> TransparencyLogEntry {
        TransparencyLogEntry {
            log_index: signed(included.index().0),
            log_id: Some(LogId { key_id: self.log_id.to_vec() }),
            kind_version: Some(KindVersion { kind: KIND.to_owned(), version: API_VERSION.to_owned() }),
            integrated_time: UnixSeconds(0),
            inclusion_promise: Nullable(None),
            inclusion_proof: Nullable(Some(InclusionProof {
                log_index: signed(included.index().0),
                root_hash: included.root().as_bytes().to_vec(),
                tree_size: signed(included.size().0),
                hashes: logged.proof.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
                checkpoint: Some(Checkpoint { envelope: logged.checkpoint.note.as_ref().to_owned() }),
            })),
            canonicalized_body: logged.leaf_input.into(),
        }
    }
}

/// What became of an entry.
enum Appended {
    New(Logged),
    /// It was there before, and a signed checkpoint covers it.
    Duplicate {
        index: LeafIndex,
    },
}

fn verify_reply(logged: &Logged) -> Result<Included, ApiError> {
    let leaf = leaf_hash(&logged.leaf_input);
    let checkpoint = &logged.checkpoint;
    verify_inclusion(&leaf, logged.index, checkpoint.size, &logged.proof, &checkpoint.root).map_err(|error| {
        tracing::error!(%error, index = %logged.index, "the proof of a new entry does not verify");
        ApiError::new(500, grpc::UNKNOWN, "failed to integrate entry")
    })
}

// An index is below 2^63: the log would need centuries at a million entries a second.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The name under which a refusal is counted.
fn reason(error: &RequestError) -> &'static str {
    match error {
        RequestError::Wire(_) => "malformed",
        RequestError::UnknownKeyDetails { .. } => "unknown_algorithm",
        RequestError::NotHashedRekord => "not_hashedrekord",
        RequestError::Invalid(error) => match error {
            EntryError::NoSignature | EntryError::NoVerifier | EntryError::TwoVerifiers | EntryError::NoDigest => {
                "incomplete"
            }
            EntryError::Key(_) | EntryError::Certificate(_) => "key_unreadable",
            EntryError::AlgorithmRefused { .. } | EntryError::KeyType { .. } => "algorithm_refused",
            EntryError::Digest(_) | EntryError::DigestAlgorithm { .. } => "digest_length",
            EntryError::TooLarge { .. } => "too_large",
            EntryError::Signature(_) => "signature_wrong",
        },
    }
}

fn duplicate(index: LeafIndex) -> ApiError {
    let message = format!("an equivalent entry already exists in the transparency log with index {index}");
    ApiError::new(409, grpc::ALREADY_EXISTS, message).with_header("x-log-index", index.to_string())
}

/// The words of the public log, by which its clients know that they have to go elsewhere.
pub(super) fn frozen() -> ApiError {
    ApiError::new(405, grpc::UNIMPLEMENTED, "This log has been frozen, please switch to the latest log.")
}

fn not_added(error: &AddError) -> ApiError {
    tracing::warn!(%error, "entry not added");
    match error {
        AddError::PoolFull => try_again("reached max pushback; retry"),
        AddError::ShuttingDown => try_again("the log is shutting down; retry"),
        // What comes again is an entry, or the duplicate of one that became durable all the same.
        AddError::Storage | AddError::Unsigned => try_again("failed to integrate entry; retry"),
        AddError::Frozen => frozen(),
        AddError::EntryTooLarge { .. } => ApiError::invalid("invalid hashedrekord request"),
        AddError::Fatal(_) => ApiError::new(500, grpc::UNKNOWN, "failed to integrate entry"),
    }
}

/// Later the same request may be answered otherwise.
fn try_again(message: &'static str) -> ApiError {
    ApiError::new(503, grpc::UNAVAILABLE, message).with_header("retry-after", "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use touchmark_sequencer::FatalCause;

    #[test]
    fn a_duplicate_names_its_index_in_text_and_header() {
        let error = duplicate(LeafIndex(7));
        assert_eq!(error.message, "an equivalent entry already exists in the transparency log with index 7");
        let response = error.into_response();
        assert_eq!((response.status().as_u16(), &response.headers()["X-Log-Index"]), (409, &"7".parse().unwrap()));
    }

    #[test]
    fn who_prefers_the_entry_itself_says_so_in_the_words_of_rfc_7240() {
        let repeated = |value: &str| {
            Repeated::of(&[(HeaderName::from_static("prefer"), value.parse().unwrap())].into_iter().collect())
        };
        assert_eq!(Repeated::of(&HeaderMap::new()), Repeated::Conflict);
        assert_eq!(repeated("return=minimal"), Repeated::Conflict);
        assert_eq!(repeated("return"), Repeated::Conflict);
        assert_eq!(repeated("cosigned, Return=Representation"), Repeated::Original);
    }

    #[test]
    fn a_frozen_log_sends_to_the_latest() {
        let error = not_added(&AddError::Frozen);
        assert_eq!((error.status, error.grpc_code), (405, 12));
        assert_eq!(error.message, "This log has been frozen, please switch to the latest log.");
    }

    #[test]
    fn what_may_pass_asks_to_come_back_and_what_does_not_pass_does_not() {
        for (error, message) in [
            (AddError::PoolFull, "reached max pushback; retry"),
            (AddError::ShuttingDown, "the log is shutting down; retry"),
            (AddError::Storage, "failed to integrate entry; retry"),
            (AddError::Unsigned, "failed to integrate entry; retry"),
        ] {
            let answer = not_added(&error);
            assert_eq!((answer.grpc_code, answer.message.as_str()), (14, message), "{error}");
            let response = answer.into_response();
            assert_eq!(response.status().as_u16(), 503, "{error}");
            assert_eq!(response.headers()["retry-after"], "1", "{error}");
        }
        let response =
            not_added(&AddError::Fatal(FatalCause::ObjectDiffers { name: "tile/0/000".to_owned() })).into_response();
        assert_eq!((response.status().as_u16(), response.headers().get("retry-after")), (500, None));
    }
}
