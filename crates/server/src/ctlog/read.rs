// SPDX-License-Identifier: Apache-2.0
//! The reading half of RFC 6962 §4, answered from the tiles and rows of the log engine.
//!
//! In scope: `get-roots`, `get-sth`, `get-sth-consistency`, `get-proof-by-hash`, `get-entries`, `get-entry-and-proof`.
//! Out of scope: static-ct reads (`tiles`), the proofs themselves (`touchmark_sequencer`, `touchmark_tlog`).
//! Invariants: nothing beyond the latest signed tree head is shown; the signature of `get-sth` is the one in the checkpoint, so
//! both ways of reading see the same signed statement.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use touchmark_sequencer::{ReadError, Row, SignedCheckpoint};
use touchmark_sigstore::ct::{DataTileEntry, LogEntry, extra_data_precert, extra_data_x509};
use touchmark_sigstore::wire::ct::{
    ConsistencyProof, Entries, Entry, EntryAndProof, ProofByHash, Roots, SignedTreeHead,
};
use touchmark_tlog::note::SignedNote;
use touchmark_tlog::{Hash, LeafIndex, TreeSize};

use super::append::issuer_name;
use super::{CtLog, Refusal, json};
use crate::witness::{self, Wish};

/// Entries of one reply; a client asks again for the rest (RFC 6962 §4.6).
const ENTRIES_MAX: u64 = 256;
/// After so many bytes no further entry is added to a reply, for a chain may be long and is sent with each entry again.
const ENTRIES_BYTES_MAX: usize = 4 << 20;

pub(super) async fn get_roots(State(log): State<CtLog>) -> Response {
    json(Roots { certificates: log.roots().certificates().iter().map(|root| root.der().to_vec()).collect() }.to_json())
}

pub(super) async fn get_sth(State(log): State<CtLog>) -> Result<Response, Refusal> {
    let checkpoint = witness::checkpoint(&log.0.log, log.0.witnesses.as_ref(), Wish::Newest)?.value();
    let (timestamp, tree_head_signature) = log.tree_head_signature(&checkpoint)?;
    let head = SignedTreeHead {
        tree_size: checkpoint.size.0,
        timestamp,
        sha256_root_hash: checkpoint.root.0.to_vec(),
        tree_head_signature,
    };
    Ok(json(head.to_json()))
}

impl CtLog {
    /// An RFC 6962 note signature is the timestamp and the tree head's signature, one after the other.
    fn tree_head_signature(&self, checkpoint: &SignedCheckpoint) -> Result<(u64, Vec<u8>), Refusal> {
        let note = SignedNote::parse(checkpoint.note.as_bytes()).map_err(|error| Refusal::internal(&error))?;
        let key = &self.0.note_key;
        let ours = note.signatures().iter().find(|line| line.name() == key.name() && line.key_hint() == key.hint());
        let blob = ours.map(|line| line.signature()).unwrap_or_default();
        match blob.split_first_chunk::<8>() {
            Some((timestamp, signature)) => Ok((u64::from_be_bytes(*timestamp), signature.to_vec())),
            None => Err(Refusal::internal(&"the checkpoint carries no RFC 6962 signature of this log")),
        }
    }

    fn size(&self) -> u64 {
        self.0.log.checkpoint().size.0
    }

    /// `extra_data` of §4.6 for each row, for fewer rows if they are long, and for one at least; each issuer is read once.
    async fn entries(&self, rows: Vec<Row>) -> Result<Vec<Entry>, Refusal> {
        let mut issuers: HashMap<[u8; 32], Vec<u8>> = HashMap::new();
        let mut entries = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in rows {
            if bytes >= ENTRIES_BYTES_MAX {
                break;
            }
            let leaf = DataTileEntry::parse(&row.bundle_bytes).map_err(|error| Refusal::internal(&error))?;
            for fingerprint in &leaf.fingerprints {
                if !issuers.contains_key(fingerprint) {
                    let der = self.0.log.object(&issuer_name(fingerprint)).await.map_err(failed)?;
                    let der = der.ok_or_else(|| Refusal::internal(&"an issuer's certificate is missing"))?;
                    issuers.insert(*fingerprint, der);
                }
            }
            let chain: Vec<&[u8]> =
                leaf.fingerprints.iter().filter_map(|of| issuers.get(of)).map(Vec::as_slice).collect();
            let extra_data = match leaf.entry {
                LogEntry::X509 { .. } => extra_data_x509(&chain),
                LogEntry::Precert { .. } => extra_data_precert(&leaf.pre_certificate, &chain),
            };
            let entry = Entry { leaf_input: leaf.merkle_tree_leaf(), extra_data };
            bytes += entry.leaf_input.len() + entry.extra_data.len();
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[derive(Deserialize)]
pub(super) struct ConsistencyQuery {
    first: Option<String>,
    second: Option<String>,
}

pub(super) async fn get_sth_consistency(
    State(log): State<CtLog>,
    Query(query): Query<ConsistencyQuery>,
) -> Result<Response, Refusal> {
    let (first, second) = (number("first", query.first)?, number("second", query.second)?);
    if first > second || second > log.size() {
        return Err(Refusal::bad_request("first must not exceed second, nor second the tree size"));
    }
    // §2.1.2: from nothing, and from a tree to itself, there is nothing to prove.
    let proof = if first == 0 || first == second {
        Vec::new()
    } else {
        log.0.log.consistency_proof(TreeSize(first), TreeSize(second)).await.map_err(failed)?
    };
    Ok(json(ConsistencyProof { consistency: bytes(&proof) }.to_json()))
}

#[derive(Deserialize)]
pub(super) struct ProofQuery {
    hash: Option<String>,
    tree_size: Option<String>,
}

pub(super) async fn get_proof_by_hash(
    State(log): State<CtLog>,
    Query(query): Query<ProofQuery>,
) -> Result<Response, Refusal> {
    let size = tree_size(&log, query.tree_size)?;
    // A plus sign that was not escaped arrives as a space.
    let text = query.hash.ok_or_else(|| Refusal::bad_request("hash is missing"))?.replace(' ', "+");
    let hash = STANDARD.decode(text).ok().and_then(|hash| <[u8; 32]>::try_from(hash).ok());
    let hash = Hash(hash.ok_or_else(|| Refusal::bad_request("hash is not 32 bytes in base64"))?);
    let index = log.0.log.find_leaf(&hash).await.map_err(failed)?;
    let index = index.filter(|index| index.0 < size.0).ok_or_else(Refusal::not_found)?;
    let proof = log.0.log.inclusion_proof(index, size).await.map_err(failed)?;
    Ok(json(ProofByHash { leaf_index: index.0, audit_path: bytes(&proof) }.to_json()))
}

#[derive(Deserialize)]
pub(super) struct EntriesQuery {
    start: Option<String>,
    end: Option<String>,
}

pub(super) async fn get_entries(
    State(log): State<CtLog>,
    Query(query): Query<EntriesQuery>,
) -> Result<Response, Refusal> {
    let (start, end) = (number("start", query.start)?, number("end", query.end)?);
    let size = log.size();
    if start > end || start >= size {
        return Err(Refusal::bad_request("start must not exceed end and must lie below the tree size"));
    }
    let count = (end.min(size - 1) - start).saturating_add(1).min(ENTRIES_MAX);
    let rows = log.rows(start, count).await?;
    Ok(json(Entries { entries: log.entries(rows).await? }.to_json()))
}

#[derive(Deserialize)]
pub(super) struct EntryQuery {
    leaf_index: Option<String>,
    tree_size: Option<String>,
}

pub(super) async fn get_entry_and_proof(
    State(log): State<CtLog>,
    Query(query): Query<EntryQuery>,
) -> Result<Response, Refusal> {
    let size = tree_size(&log, query.tree_size)?;
    let index = LeafIndex(number("leaf_index", query.leaf_index)?);
    if index.0 >= size.0 {
        return Err(Refusal::bad_request("leaf_index must lie below tree_size"));
    }
    let rows = log.rows(index.0, 1).await?;
    let entry = log.entries(rows).await?.pop().ok_or_else(|| Refusal::internal(&"a row is missing"))?;
    let proof = log.0.log.inclusion_proof(index, size).await.map_err(failed)?;
    let Entry { leaf_input, extra_data } = entry;
    Ok(json(EntryAndProof { leaf_input, extra_data, audit_path: bytes(&proof) }.to_json()))
}

impl CtLog {
    async fn rows(&self, start: u64, count: u64) -> Result<Vec<Row>, Refusal> {
        let count = usize::try_from(count).map_err(|error| Refusal::internal(&error))?;
        self.0.log.rows(LeafIndex(start), count).await.map_err(failed)
    }
}

fn tree_size(log: &CtLog, text: Option<String>) -> Result<TreeSize, Refusal> {
    let size = number("tree_size", text)?;
    if size == 0 || size > log.size() {
        return Err(Refusal::bad_request("tree_size must be positive and not exceed the tree's"));
    }
    Ok(TreeSize(size))
}

fn number(name: &str, text: Option<String>) -> Result<u64, Refusal> {
    let text = text.ok_or_else(|| Refusal::bad_request(format!("{name} is missing")))?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = if digits { text.parse().ok() } else { None };
    value.ok_or_else(|| Refusal::bad_request(format!("{name} is not a number")))
}

fn bytes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.0.to_vec()).collect()
}

fn failed(error: ReadError) -> Refusal {
    Refusal::internal(&error)
}
