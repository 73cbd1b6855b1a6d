// SPDX-License-Identifier: Apache-2.0
//! The plan of a batch: the right edge of the tree and the pending entries in; rows, the new edge, completed tiles and the material for
//! proofs out (RFC 6962 §2.1, C2SP tlog-tiles).
//!
//! This is all that sequencing decides, and it is pure: nothing here waits, fails, reads a clock or knows of storage. The rest of the
//! engine makes a plan true: it commits the rows, signs the head, answers the waiting callers and publishes the tiles.
//!
//! In scope: indices, times, leaf hashes, tiles, proofs. Out of scope: which entries are duplicates (decided before, `sequence`),
//! whether the plan may be signed (`extension`).
//!
//! Invariants: indices are consecutive from the edge's size; no time is earlier than the one before it; the edge handed in is left as
//! it was, so a plan whose commit failed is simply dropped.

use std::collections::HashMap;

use bytes::Bytes;
use touchmark_tlog::proof::{NodeId, ProofPlan, consistency_plan, inclusion_plan};
use touchmark_tlog::{Hash, LeafIndex, TreeSize, leaf_hash};

use crate::config::ENTRY_BYTES_MAX;
use crate::edge::Edge;
use crate::entry::{Blob, Pending};
use crate::ledger::{Row, TreeHead};

/// What a batch does to the tree.
pub(crate) struct Plan {
    /// What the ledger is to commit, in order.
    pub(crate) rows: Vec<Row>,
    /// The place of each entry, in the order in which they were handed in.
    pub(crate) placements: Vec<Placement>,
    /// The edge after the batch.
    pub(crate) edge: Edge,
    /// The tiles and entry tiles that the batch fills.
    pub(crate) completed: Vec<Blob>,
    /// Enough of the tree to prove the batch's entries in any tree between the edge and the plan, and that the one extends the other.
    pub(crate) nodes: Nodes,
}

/// Where an entry goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    At {
        index: LeafIndex,
        time_ms: u64,
        leaf_input: Bytes,
    },
    /// It takes no index; the entries after it move up.
    TooLarge {
        bytes: usize,
        max: usize,
    },
}

impl Plan {
    pub(crate) fn head(&self) -> TreeHead {
        self.edge.head()
    }
}

/// Plans a batch. `entries` are new and all different; `now_ms` is what the clock says.
pub(crate) fn plan<'a>(edge: &Edge, entries: impl IntoIterator<Item = &'a Pending>, now_ms: u64) -> Plan {
    // A clock that was put back stands still here until it has caught up with the log.
    let time_ms = now_ms.max(edge.time_ms());
    let mut plan = Plan {
        rows: Vec::new(),
        placements: Vec::new(),
        edge: edge.clone(),
        completed: Vec::new(),
        nodes: Nodes::of_edge(edge),
    };
    for entry in entries {
        let index = LeafIndex(plan.edge.size().0);
        let rendered = (entry.render)(index, time_ms);
        let bytes = rendered.bundle_bytes.len();
        if bytes > ENTRY_BYTES_MAX {
            plan.placements.push(Placement::TooLarge { bytes, max: ENTRY_BYTES_MAX });
            continue;
        }

        let leaf_hash = leaf_hash(&rendered.leaf_input);
        let appended = plan.edge.append(&leaf_hash, rendered.bundle_bytes.clone(), time_ms);
        plan.nodes.extend(appended.nodes);
        plan.completed.extend(appended.completed);
        plan.placements.push(Placement::At { index, time_ms, leaf_input: rendered.leaf_input });
        plan.rows.push(Row {
            index,
            time_ms,
            dedup_key: entry.dedup_key,
            leaf_hash,
            bundle_bytes: rendered.bundle_bytes,
            meta: entry.meta.clone(),
        });
    }
    plan
}

/// Some perfect subtrees of a tree, by place.
///
/// The nodes of a plan are the frontier of the edge it started from, and all that its entries complete. Every inclusion proof of one of
/// its entries, and the consistency proof from its edge, is made of these alone: a subtree on such a proof either was complete at the
/// edge, without its parent being so (then it is in the frontier), or is completed by the batch.
///
/// The nodes of consecutive plans can be joined. So proofs are cut only when a checkpoint is signed, for the size that it has: however
/// many batches a slow signer is behind, one signature answers them all.
#[derive(Default)]
pub(crate) struct Nodes(HashMap<NodeId, Hash>);

impl Nodes {
    pub(crate) fn of_edge(edge: &Edge) -> Self {
        Self(edge.frontier_nodes().into_iter().collect())
    }

    fn extend(&mut self, nodes: impl IntoIterator<Item = (NodeId, Hash)>) {
        self.0.extend(nodes);
    }

    pub(crate) fn join(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// The inclusion proof of an entry of these plans in the tree of `size`, which is an edge of theirs.
    pub(crate) fn inclusion_proof(&self, index: LeafIndex, size: TreeSize) -> Option<Vec<Hash>> {
        self.assemble(&inclusion_plan(index, size).ok()?)
    }

    /// The consistency proof between two edges of these plans.
    pub(crate) fn consistency_proof(&self, old: TreeSize, new: TreeSize) -> Option<Vec<Hash>> {
        self.assemble(&consistency_plan(old, new).ok()?)
    }

    fn assemble(&self, plan: &ProofPlan) -> Option<Vec<Hash>> {
        let hashes: Option<Vec<Hash>> = plan.nodes().iter().map(|node| self.0.get(node).copied()).collect();
        Some(plan.assemble(&hashes?))
    }
}

#[cfg(test)]
mod tests;
