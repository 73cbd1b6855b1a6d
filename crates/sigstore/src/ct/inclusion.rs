// SPDX-License-Identifier: Apache-2.0
//! Did the log keep its promise: an SCT says that a certificate will be in the log; here is the proof that it is.
//!
//! RFC 6962 §2.1.1 (audit paths), §3.4 (leaf), §3.5 and §4.3 (tree head), §4.5 (proof by hash); C2SP static-ct-api (checkpoint, leaf index)
//! and tlog-tiles (tiles).
//! In scope: the leaf that was promised, the tree head, what must be fetched for the proof, the proof. Out of scope: fetching (crate
//! `client`); whether the SCT is one of a trusted log (`verify::sct`); whether the log shows everybody the same tree (witnesses).
//!
//! Invariants: the leaf is rebuilt from the certificate and the signed parts of the SCT, never taken from the log; a tree head counts
//! only with a signature by the key that the trusted root gives the log, whatever address it came from; a [`CtIncluded`] is made here
//! alone, and leaf and head in it belong together. The window of the log was checked against the SCT; the tree head of a log that is
//! retired may be younger than its window.

mod failure;

use jiff::{SignedDuration, Timestamp};
use touchmark_keys::SignatureValid;
use touchmark_tlog::checkpoint::{Checkpoint, tree_head_signed_bytes};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey, SignedNote};
use touchmark_tlog::proof::{NodeId, PROOF_HASHES_MAX, ProofError, ProofPlan, inclusion_plan, verify_inclusion};
use touchmark_tlog::tile::{TILE_WIDTH, Tile};
use touchmark_tlog::{HASH_BYTES, Hash, LeafIndex, TreeSize, leaf_hash};

pub use failure::{CtInclusionFailure, Due};

use super::{CtError, LogEntry, SctScheme, SctVerified, merkle_tree_leaf, parse_digitally_signed, verify_signature};
use crate::trust::{TransparencyLog, TrustedRoot};
use crate::verify::CLOCK_TOLERANCE;
use crate::wire::ct::{ProofByHash, SignedTreeHead};
use crate::x509::Certificate;

/// The longest maximum merge delay that a log may promise; public logs have 24 hours or less. The trusted root does not say a log's own.
pub const MERGE_DELAY_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Most tiles of one proof: on each of eight levels the one with the path, and the one at the right edge of the tree.
pub const TILES_MAX: usize = 16;
/// Bytes of a full tile, the longest that a log may send.
pub const TILE_BYTES_MAX: usize = TILE_WIDTH as usize * HASH_BYTES;

/// The leaf that a log of the trusted root promised to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromisedLeaf<'root> {
    log: &'root TransparencyLog,
    hash: Hash,
    promised_at: Timestamp,
    index: Option<LeafIndex>,
}

/// The leaves that logs of `root` promised for a certificate, one for each log. Promises of other logs are passed over.
///
/// # Errors
/// If the certificates are none that an SCT can be for.
pub fn promised_leaves<'root>(
    certificate: &Certificate,
    issuer: &Certificate,
    promises: &[SctVerified],
    root: &'root TrustedRoot,
) -> Result<Vec<PromisedLeaf<'root>>, CtError> {
    let entry = LogEntry::from_certificate_with_scts(certificate, issuer)?;
    let mut leaves: Vec<PromisedLeaf<'root>> = Vec::new();
    for promise in promises {
        let Some((log, promised_at)) = log_of(promise, root) else { continue };
        if leaves.iter().any(|leaf| leaf.log_id() == promise.log_id()) {
            continue;
        }
        let bytes = merkle_tree_leaf(&entry, promise.timestamp_ms(), promise.extensions());
        // RFC 6962 leaves the extensions open: what is no leaf index is not ours to refuse.
        let index = super::parse_leaf_index_extension(promise.extensions()).ok();
        leaves.push(PromisedLeaf { log, hash: leaf_hash(&bytes), promised_at, index });
    }
    Ok(leaves)
}

/// The log of a promise, in the window that holds the promise's time.
fn log_of<'root>(promise: &SctVerified, root: &'root TrustedRoot) -> Option<(&'root TransparencyLog, Timestamp)> {
    let time = time_of_ms(promise.timestamp_ms())?;
    let same = |log: &&TransparencyLog| {
        log.log_id() == promise.log_id()
            && log.public_key().spki_sha256() == *promise.log_id()
            && log.valid_for().contains(time)
    };
    root.ctlogs().iter().find(same).map(|log| (log, time))
}

impl<'root> PromisedLeaf<'root> {
    #[must_use]
    pub fn log_id(&self) -> &'root [u8; 32] {
        self.log.log_id()
    }

    /// The base URL of the log in the trusted root.
    #[must_use]
    pub fn base_url(&self) -> &'root str {
        self.log.base_url()
    }

    /// The name of the log: its base URL without scheme and without slash at the end (static-ct-api "Checkpoints").
    #[must_use]
    pub fn origin(&self) -> &'root str {
        let url = self.base_url();
        url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/')
    }

    /// Where the leaf stands, if the SCT says so: then the log is one that serves tiles.
    #[must_use]
    pub fn index(&self) -> Option<LeafIndex> {
        self.index
    }

    /// The hash by which an RFC 6962 log finds the leaf.
    #[must_use]
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Reads `checkpoint` of a static CT log: the tree head under which the leaf is to be found.
    ///
    /// # Errors
    /// If it is no tree head of this log, or one that cannot have the leaf.
    pub fn under_checkpoint(&self, checkpoint: &[u8], now: Timestamp) -> Result<SoughtLeaf<'root>, CtInclusionFailure> {
        let key = NoteKey::new(self.origin(), NoteAlgorithm::Rfc6962, self.log.public_key().clone())
            .map_err(CtInclusionFailure::Key)?;
        let note = SignedNote::parse(checkpoint).map_err(CtInclusionFailure::Note)?;
        // The signature does not cover the origin, so it is compared before anybody is accused of a wrong signature.
        let checkpoint = Checkpoint::parse(note.text()).map_err(CtInclusionFailure::Checkpoint)?;
        if checkpoint.origin != self.origin() {
            let expected = self.origin().to_owned();
            return Err(CtInclusionFailure::Origin { expected, found: checkpoint.origin });
        }
        let verified = key.verify(&note).map_err(CtInclusionFailure::Note)?;
        let timestamp_ms = verified.timestamp_ms().expect("a tree head is signed with its time");
        self.under(checkpoint.size, checkpoint.root, timestamp_ms, now)
    }

    /// Reads the reply to `get-sth` of an RFC 6962 log: the tree head under which the leaf is to be found.
    ///
    /// # Errors
    /// If it is no tree head of this log, or one that cannot have the leaf.
    pub fn under_tree_head(&self, reply: &[u8], now: Timestamp) -> Result<SoughtLeaf<'root>, CtInclusionFailure> {
        let head = SignedTreeHead::from_json(reply).map_err(CtInclusionFailure::TreeHead)?;
        let root = Hash::from_slice(&head.sha256_root_hash)
            .map_err(|error| CtInclusionFailure::HashLength { found: error.found })?;
        let (scheme, signature) =
            parse_digitally_signed(&head.tree_head_signature).map_err(CtInclusionFailure::TreeHeadSignature)?;
        let key = self.log.public_key();
        if SctScheme::of_key(key) != Ok(scheme) {
            return Err(CtInclusionFailure::TreeHeadScheme { found: scheme });
        }
        let size = TreeSize(head.tree_size);
        let signed = tree_head_signed_bytes(head.timestamp, size, &root);
        let _: SignatureValid =
            verify_signature(scheme, key, &signed, &signature).map_err(CtInclusionFailure::Signature)?;
        self.under(size, root, head.timestamp, now)
    }

    /// The leaf under a tree head whose signature is verified.
    fn under(
        &self,
        size: TreeSize,
        root: Hash,
        timestamp_ms: u64,
        now: Timestamp,
    ) -> Result<SoughtLeaf<'root>, CtInclusionFailure> {
        let time = time_of_ms(timestamp_ms).ok_or(CtInclusionFailure::HeadTime { timestamp_ms })?;
        if time.duration_since(now) > CLOCK_TOLERANCE {
            return Err(CtInclusionFailure::HeadInFuture { time, now });
        }
        let sought = SoughtLeaf { leaf: self.clone(), size, root, time };
        // §3.5: a tree head is at least as young as the youngest SCT of its tree.
        if self.promised_at.duration_since(time) > CLOCK_TOLERANCE {
            return Err(match sought.due(now) {
                Due::Pending => sought.not_merged(now),
                Due::Overdue => CtInclusionFailure::HeadStale { head: time, promised: self.promised_at },
            });
        }
        if size.0 == 0 || self.index.is_some_and(|index| index.0 >= size.0) {
            return Err(sought.not_merged(now));
        }
        Ok(sought)
    }
}

/// A promised leaf, and the signed tree head under which it is to be found. Made by [`PromisedLeaf`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoughtLeaf<'root> {
    leaf: PromisedLeaf<'root>,
    size: TreeSize,
    root: Hash,
    time: Timestamp,
}

impl<'root> SoughtLeaf<'root> {
    /// The size of the tree, which a proof is asked for.
    #[must_use]
    pub fn tree_size(&self) -> TreeSize {
        self.size
    }

    /// The hash that a proof is asked for.
    #[must_use]
    pub fn hash(&self) -> &Hash {
        self.leaf.hash()
    }

    /// The tiles that make the proof, where the index is known.
    #[must_use]
    pub fn into_tiles(self) -> Option<SoughtInTiles<'root>> {
        let index = self.leaf.index?;
        let plan = inclusion_plan(index, self.size).expect("the index was compared with the size of the tree");
        // The tile of the leaf itself is not part of the proof: it tells what the log has instead.
        let leaf = NodeId { level: 0, index: index.0 };
        let mut tiles: Vec<Tile> =
            std::iter::once(&leaf).chain(plan.nodes()).map(|node| covering(*node, self.size)).collect();
        tiles.sort_unstable();
        tiles.dedup();
        Some(SoughtInTiles { sought: self, index, plan, tiles })
    }

    /// Verifies the reply to `get-proof-by-hash`.
    ///
    /// # Errors
    /// If it does not lead from the promised leaf to the tree head.
    pub fn proved_by(&self, reply: &[u8]) -> Result<CtIncluded, CtInclusionFailure> {
        let reply = ProofByHash::from_json(reply).map_err(CtInclusionFailure::Proof)?;
        let found = LeafIndex(reply.leaf_index);
        if let Some(expected) = self.leaf.index.filter(|expected| *expected != found) {
            return Err(CtInclusionFailure::Index { expected, found });
        }
        if reply.audit_path.len() > PROOF_HASHES_MAX {
            return Err(CtInclusionFailure::ProofTooLong { found: reply.audit_path.len() });
        }
        let hash = |bytes: &Vec<u8>| {
            Hash::from_slice(bytes).map_err(|error| CtInclusionFailure::HashLength { found: error.found })
        };
        let proof = reply.audit_path.iter().map(hash).collect::<Result<Vec<Hash>, _>>()?;
        self.included(found, &proof).map_err(CtInclusionFailure::Inclusion)
    }

    /// What it means that the log does not find the hash: a promise that is not due, or one that is broken.
    #[must_use]
    pub fn not_merged(&self, now: Timestamp) -> CtInclusionFailure {
        let Self { leaf, size: tree_size, time: head, .. } = self;
        CtInclusionFailure::NotMerged {
            promised: leaf.promised_at,
            index: leaf.index,
            head: *head,
            tree_size: *tree_size,
            due: self.due(now),
        }
    }

    fn due(&self, now: Timestamp) -> Due {
        if now.duration_since(self.leaf.promised_at) > MERGE_DELAY_MAX { Due::Overdue } else { Due::Pending }
    }

    fn included(&self, index: LeafIndex, proof: &[Hash]) -> Result<CtIncluded, ProofError> {
        let included = verify_inclusion(self.hash(), index, self.size, proof, &self.root)?;
        Ok(CtIncluded {
            log_id: *self.leaf.log_id(),
            origin: self.leaf.origin().to_owned(),
            index: included.index(),
            tree_size: included.size(),
            tree_head_time: self.time,
        })
    }
}

/// A promised leaf whose proof is made of tiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoughtInTiles<'root> {
    sought: SoughtLeaf<'root>,
    index: LeafIndex,
    plan: ProofPlan,
    tiles: Vec<Tile>,
}

impl SoughtInTiles<'_> {
    /// The tiles to fetch; at most [`TILES_MAX`]. In place of a partial one the full one will do, for logs need not keep partial tiles
    /// (tlog-tiles "Partial Tiles").
    #[must_use]
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// Verifies the proof that the bytes of [`SoughtInTiles::tiles`] make, in the same order.
    ///
    /// # Errors
    /// If they do not lead from the promised leaf to the tree head.
    pub fn proved_by(&self, tiles: &[Vec<u8>]) -> Result<CtIncluded, CtInclusionFailure> {
        let hashes = self.plan.nodes().iter().map(|node| self.node(*node, tiles)).collect::<Result<Vec<_>, _>>()?;
        let proof = self.plan.assemble(&hashes);
        self.sought.included(self.index, &proof).map_err(|error| self.explain(error, &proof, tiles))
    }

    /// If the tiles prove another leaf in the place of ours, the log has broken its promise; else the tiles are not those of the tree.
    fn explain(&self, error: ProofError, proof: &[Hash], tiles: &[Vec<u8>]) -> CtInclusionFailure {
        let Self { sought, index, .. } = self;
        let other = self.node(NodeId { level: 0, index: index.0 }, tiles).ok();
        let proved = other.filter(|leaf| verify_inclusion(leaf, *index, sought.size, proof, &sought.root).is_ok());
        match proved {
            Some(found) => CtInclusionFailure::OtherLeaf { index: *index, expected: *sought.hash(), found },
            None => CtInclusionFailure::Inclusion(error),
        }
    }

    fn node(&self, node: NodeId, tiles: &[Vec<u8>]) -> Result<Hash, CtInclusionFailure> {
        let tile = covering(node, self.sought.size);
        let position = self.tiles.iter().position(|planned| *planned == tile);
        let bytes = position.and_then(|position| tiles.get(position)).map_or(&[][..], Vec::as_slice);
        let bytes = match bytes.len() {
            TILE_BYTES_MAX => &bytes[..usize::from(tile.width) * HASH_BYTES],
            _ => bytes,
        };
        tile.node(bytes, node).map_err(|error| CtInclusionFailure::Tile { tile, error })
    }
}

fn covering(node: NodeId, size: TreeSize) -> Tile {
    Tile::covering(node, size).expect("a plan names nodes that are complete in its tree")
}

/// The certificate is in the log, under a tree head that the log signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtIncluded {
    log_id: [u8; 32],
    origin: String,
    index: LeafIndex,
    tree_size: TreeSize,
    tree_head_time: Timestamp,
}

impl CtIncluded {
    #[must_use]
    pub fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    #[must_use]
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    #[must_use]
    pub fn tree_size(&self) -> TreeSize {
        self.tree_size
    }

    /// When the log signed the tree head.
    #[must_use]
    pub fn tree_head_time(&self) -> Timestamp {
        self.tree_head_time
    }
}

fn time_of_ms(timestamp_ms: u64) -> Option<Timestamp> {
    i64::try_from(timestamp_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

#[cfg(test)]
mod tests;
