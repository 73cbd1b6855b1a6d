// SPDX-License-Identifier: Apache-2.0
//! `POST /api/v2/log/entries`: from bytes to an entry with its proof.
//!
//! In scope: the order of steps, the reply, the public error texts. Out of scope: the checks of the request themselves.
//! Invariant: 201 is said only when a signed checkpoint covers the entry and the proof in the reply verifies against it.

use axum::extract::{Request, State};
use axum::response::Response;
use touchmark_sequencer::{AddError, Added, Logged, Pending, Rendered, WaitFor};
use touchmark_sigstore::rekor::{API_VERSION, KIND, RequestError, parse_request};
use touchmark_sigstore::wire::rekor::{Checkpoint, InclusionProof, KindVersion, LogId, TransparencyLogEntry};
use touchmark_sigstore::wire::{Nullable, REQUEST_BYTES_MAX, UnixSeconds};
use touchmark_tlog::proof::{Included, verify_inclusion};
use touchmark_tlog::{LeafIndex, leaf_hash};

use super::Rekor;
use crate::http::{ApiError, bytes_response, grpc, read_body};
use crate::witness::{self, Wish};

pub(super) async fn create_entry(State(rekor): State<Rekor>, request: Request) -> Result<Response, ApiError> {
    let wish = Wish::of(request.headers());
    let body = read_body(request, REQUEST_BYTES_MAX).await?;
    if rekor.log.is_frozen() {
        return Err(frozen());
    }
    let entry = parse_request(&body).map_err(refused)?;
    let logged = rekor.append(entry.record().leaf_bytes()).await?;
    let shown = witness::evidence(&rekor.log, rekor.witnesses.as_ref(), wish, logged).await?;
    let mut response = bytes_response(201, "application/json", Vec::new());
    shown.mark(&mut response);
    let logged = shown.value();
    let included = verify_reply(&logged)?;
    *response.body_mut() = rekor.reply(logged, &included).to_json().into();
    Ok(response)
}

impl Rekor {
    async fn append(&self, leaf: Vec<u8>) -> Result<Logged, ApiError> {
        let pending = Pending {
            dedup_key: leaf_hash(&leaf).0,
            render: Box::new(move |_index, _time_ms| Rendered { leaf_input: leaf.clone(), bundle_bytes: leaf.clone() }),
            blobs: Vec::new(),
            meta: Vec::new(),
        };
        match self.log.add(pending, WaitFor::Checkpointed).await {
            Ok(Added::Checkpointed(logged)) => Ok(logged),
            Ok(Added::Duplicate { index, .. }) => Err(duplicate(index)),
            Ok(Added::Sequenced(_)) => Err(ApiError::internal(&"the log answered before its checkpoint")),
            Err(error) => Err(not_added(&error)),
        }
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
            canonicalized_body: logged.leaf_input,
        }
    }
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

fn refused(error: RequestError) -> ApiError {
    tracing::info!(?error, "entry refused");
    ApiError::invalid(error.to_string())
}

fn duplicate(index: LeafIndex) -> ApiError {
    let message = format!("an equivalent entry already exists in the transparency log with index {index}");
    ApiError::new(409, grpc::ALREADY_EXISTS, message).with_header("x-log-index", index.to_string())
}

/// The words of the public log, by which its clients know that they have to go elsewhere.
fn frozen() -> ApiError {
    ApiError::new(405, grpc::UNIMPLEMENTED, "This log has been frozen, please switch to the latest log.")
}

fn not_added(error: &AddError) -> ApiError {
    tracing::warn!(%error, "entry not added");
    match error {
        AddError::PoolFull => {
            ApiError::new(503, grpc::UNAVAILABLE, "reached max pushback; retry").with_header("retry-after", "1")
        }
        AddError::ShuttingDown => ApiError::new(503, grpc::UNAVAILABLE, "the log is shutting down; retry"),
        AddError::Frozen => frozen(),
        AddError::EntryTooLarge { .. } => ApiError::invalid("invalid hashedrekord request"),
        AddError::Storage | AddError::Unsigned | AddError::Fatal(_) => {
            ApiError::new(500, grpc::UNKNOWN, "failed to integrate entry")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[test]
    fn a_duplicate_names_its_index_in_text_and_header() {
        let error = duplicate(LeafIndex(7));
        assert_eq!(error.message, "an equivalent entry already exists in the transparency log with index 7");
        let response = error.into_response();
        assert_eq!((response.status().as_u16(), &response.headers()["X-Log-Index"]), (409, &"7".parse().unwrap()));
    }

    #[test]
    fn a_frozen_log_sends_to_the_latest() {
        let error = not_added(&AddError::Frozen);
        assert_eq!((error.status, error.grpc_code), (405, 12));
        assert_eq!(error.message, "This log has been frozen, please switch to the latest log.");
    }

    #[test]
    fn a_full_pool_asks_to_come_back() {
        let error = not_added(&AddError::PoolFull);
        assert_eq!((error.status, error.grpc_code), (503, 14));
        assert_eq!(error.message, "reached max pushback; retry");
    }
}
