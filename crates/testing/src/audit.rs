// SPDX-License-Identifier: Apache-2.0
//! An independent audit of a log: every leaf is downloaded, the tree is computed again, and whatever the log ever answered is compared with it.
//!
//! It trusts the log's public key and nothing else. Used after crashes, so it must not share state with the server: it reads through HTTP, like a monitor.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use touchmark_outbound::{Limits, Outbound};
use touchmark_sigstore::ct;
use touchmark_sigstore::x509::Certificate;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteKey, SignedNote};
use touchmark_tlog::proof::{NodeId, inclusion_plan, root_plan, verify_inclusion};
use touchmark_tlog::{Frontier, Hash, LeafIndex, TreeSize, leaf_hash, tile};
use url::Url;

/// What an audit found wrong. The text is for the developer who reads a failed test.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Finding(String);

fn finding(what: impl std::fmt::Display) -> Finding {
    Finding(what.to_string())
}

/// How a log's leaves are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    /// Rekor: the entry bundles are the leaves.
    EntryBundles,
    /// Certificate transparency: `get-entries`, because data tiles hold other bytes than the hashed ones.
    GetEntries,
}

/// A whole log, downloaded and computed again.
pub struct LogCopy {
    key: NoteKey,
    size: TreeSize,
    leaves: Vec<Vec<u8>>,
    nodes: HashMap<NodeId, Hash>,
}

impl LogCopy {
    /// Downloads the log under `base` (with a final slash) up to its present checkpoint and demands that the leaves have that checkpoint's root.
    pub async fn read(outbound: &Outbound, base: &Url, key: NoteKey, kind: Leaves) -> Result<Self, Finding> {
        let note = get(outbound, base, "checkpoint").await?;
        let checkpoint = signed_by(&key, &note)?;
        let leaves = match kind {
            Leaves::EntryBundles => entry_bundles(outbound, base, checkpoint.size).await?,
            Leaves::GetEntries => get_entries(outbound, base, checkpoint.size).await?,
        };
        let mut frontier = Frontier::new();
        let mut nodes = HashMap::new();
        for leaf in &leaves {
            frontier.append(&leaf_hash(leaf), |node, hash| {
                nodes.insert(node, hash);
            });
        }
        let copy = Self { key, size: checkpoint.size, leaves, nodes };
        copy.holds(&checkpoint)?;
        Ok(copy)
    }

    /// The size of the log's final checkpoint.
    pub fn size(&self) -> TreeSize {
        self.size
    }

    /// How often a leaf stands in the log.
    pub fn count_of(&self, leaf: &[u8]) -> usize {
        self.leaves.iter().filter(|candidate| candidate.as_slice() == leaf).count()
    }

    /// Every leaf that stands more than once.
    pub fn duplicates(&self) -> usize {
        let mut seen = std::collections::HashSet::new();
        self.leaves.iter().filter(|leaf| !seen.insert(leaf.as_slice())).count()
    }

    /// The tree of the first `size` leaves has this root: so a checkpoint that was returned once is consistent with the final one.
    pub fn holds(&self, checkpoint: &Checkpoint) -> Result<(), Finding> {
        let root = self.root_at(checkpoint.size)?;
        if root != checkpoint.root {
            return Err(finding(format!(
                "forked: at size {} the log has root {root}, the checkpoint {}",
                checkpoint.size, checkpoint.root
            )));
        }
        Ok(())
    }

    /// An acknowledged log entry (the JSON of a 201 reply): its leaf stands at its index, its own proof and checkpoint verify, its checkpoint is
    /// consistent with the final one, and a proof under the final checkpoint exists and verifies.
    pub fn holds_entry(&self, reply: &Value) -> Result<(), Finding> {
        let index = LeafIndex(number(reply, "/logIndex")?);
        let leaf = decode(text(reply, "/canonicalizedBody")?)?;
        self.holds_leaf(index, &leaf)?;
        self.holds(&proves_itself(&self.key, reply)?)
    }

    /// An issued certificate (PEM chain, leaf first): the leaf that its SCT promises stands at the index that its SCT names.
    pub fn holds_certificate(&self, chain_pem: &[String]) -> Result<(), Finding> {
        let [leaf, issuer, ..] = chain_pem else { return Err(finding("a chain of fewer than two certificates")) };
        let leaf = Certificate::from_pem(leaf).map_err(finding)?;
        let issuer = Certificate::from_pem(issuer).map_err(finding)?;
        let entry = ct::LogEntry::from_certificate_with_scts(&leaf, &issuer).map_err(finding)?;
        let scts = ct::embedded_scts(&leaf).map_err(finding)?;
        let [sct] = scts.as_slice() else { return Err(finding(format!("{} SCTs instead of one", scts.len()))) };
        let index = ct::parse_leaf_index_extension(&sct.extensions).map_err(finding)?;
        let bytes = ct::merkle_tree_leaf(&entry, sct.timestamp_ms, &sct.extensions);
        self.holds_leaf(index, &bytes)
    }

    fn holds_leaf(&self, index: LeafIndex, leaf: &[u8]) -> Result<(), Finding> {
        let position = usize::try_from(index.0).map_err(finding)?;
        let found = self.leaves.get(position);
        let found =
            found.ok_or_else(|| finding(format!("lost: index {index} was acknowledged, the log has {}", self.size)))?;
        if found != leaf {
            return Err(finding(format!("lost: another leaf stands at the acknowledged index {index}")));
        }
        let plan = inclusion_plan(index, self.size).map_err(finding)?;
        let proof = plan.assemble(&self.nodes_of(plan.nodes())?);
        verify_inclusion(&leaf_hash(leaf), index, self.size, &proof, &self.root_at(self.size)?).map_err(finding)?;
        Ok(())
    }

    fn root_at(&self, size: TreeSize) -> Result<Hash, Finding> {
        if size > self.size {
            return Err(finding(format!(
                "shrunk: a checkpoint of size {size} was returned, the log has {}",
                self.size
            )));
        }
        if size.0 == 0 {
            return Ok(touchmark_tlog::empty_root());
        }
        let plan = root_plan(size);
        let roots = plan.assemble(&self.nodes_of(plan.nodes())?);
        roots.first().copied().ok_or_else(|| finding("a root plan without a root"))
    }

    fn nodes_of(&self, ids: &[NodeId]) -> Result<Vec<Hash>, Finding> {
        ids.iter().map(|id| self.nodes.get(id).copied().ok_or_else(|| finding(format!("no node {id:?}")))).collect()
    }
}

/// The JSON of a 201 reply proves what it says: its leaf stands under its checkpoint, which the log's key signed. Returns that checkpoint.
pub fn proves_itself(key: &NoteKey, reply: &Value) -> Result<Checkpoint, Finding> {
    let index = LeafIndex(number(reply, "/logIndex")?);
    let leaf = decode(text(reply, "/canonicalizedBody")?)?;
    let checkpoint = signed_by(key, text(reply, "/inclusionProof/checkpoint/envelope")?.as_bytes())?;
    let hashes =
        reply.pointer("/inclusionProof/hashes").and_then(Value::as_array).ok_or_else(|| finding("no hashes"))?;
    let proof = hashes.iter().map(|hash| hash_of(hash.as_str().unwrap_or_default())).collect::<Result<Vec<_>, _>>()?;
    verify_inclusion(&leaf_hash(&leaf), index, checkpoint.size, &proof, &checkpoint.root)
        .map_err(|error| finding(format!("the proof returned for index {index} does not verify: {error}")))?;
    Ok(checkpoint)
}

/// Parses a checkpoint whose signature by the log's key verifies.
pub fn signed_by(key: &NoteKey, note: &[u8]) -> Result<Checkpoint, Finding> {
    let note = SignedNote::parse(note).map_err(finding)?;
    key.verify(&note).map_err(finding)?;
    Checkpoint::parse(note.text()).map_err(finding)
}

async fn entry_bundles(outbound: &Outbound, base: &Url, size: TreeSize) -> Result<Vec<Vec<u8>>, Finding> {
    let mut leaves = Vec::new();
    let width = u64::from(tile::TILE_WIDTH);
    for index in 0..size.0.div_ceil(width) {
        let held = (size.0 - index * width).min(width);
        let held = u16::try_from(held).map_err(finding)?;
        let bytes = get(outbound, base, &tile::entry_bundle_path(index, held)).await?;
        let entries = tile::decode_entry_bundle(&bytes, held).map_err(finding)?;
        leaves.extend(entries.iter().map(|entry| entry.to_vec()));
    }
    Ok(leaves)
}

async fn get_entries(outbound: &Outbound, base: &Url, size: TreeSize) -> Result<Vec<Vec<u8>>, Finding> {
    let mut leaves: Vec<Vec<u8>> = Vec::new();
    while (leaves.len() as u64) < size.0 {
        let path = format!("ct/v1/get-entries?start={}&end={}", leaves.len(), size.0 - 1);
        let reply: Value = serde_json::from_slice(&get(outbound, base, &path).await?).map_err(finding)?;
        let entries = reply.pointer("/entries").and_then(Value::as_array).ok_or_else(|| finding("no entries"))?;
        if entries.is_empty() {
            return Err(finding(format!("get-entries answers nothing from {} on", leaves.len())));
        }
        for entry in entries {
            leaves.push(decode(text(entry, "/leaf_input")?)?);
        }
    }
    Ok(leaves)
}

async fn get(outbound: &Outbound, base: &Url, path: &str) -> Result<Vec<u8>, Finding> {
    let url = base.join(path).map_err(finding)?;
    let limits = Limits { response_bytes_max: 32 << 20, ..Limits::SERVICE };
    let reply = outbound.get(&url, &limits).await.map_err(|error| finding(format!("GET {url}: {error}")))?;
    match reply.status {
        200 => Ok(reply.body),
        status => Err(finding(format!("GET {url}: status {status}: {}", String::from_utf8_lossy(&reply.body)))),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, Finding> {
    value.pointer(pointer).and_then(Value::as_str).ok_or_else(|| finding(format!("no text at {pointer}")))
}

fn number(value: &Value, pointer: &str) -> Result<u64, Finding> {
    text(value, pointer)?.parse().map_err(finding)
}

fn decode(base64: &str) -> Result<Vec<u8>, Finding> {
    STANDARD.decode(base64).map_err(finding)
}

fn hash_of(base64: &str) -> Result<Hash, Finding> {
    Hash::from_slice(&decode(base64)?).map_err(finding)
}
