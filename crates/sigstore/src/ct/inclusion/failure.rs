// SPDX-License-Identifier: Apache-2.0
//! Why a certificate is not proved to be in a log: what was expected, what was found, and a code that scripts may rely on.

use jiff::Timestamp;
use touchmark_keys::SignatureError;
use touchmark_tlog::checkpoint::CheckpointError;
use touchmark_tlog::note::{NoteError, NoteKeyError};
use touchmark_tlog::proof::{PROOF_HASHES_MAX, ProofError};
use touchmark_tlog::tile::{Tile, TileError};
use touchmark_tlog::{HASH_BYTES, Hash, LeafIndex, TreeSize};

use crate::ct::{CtError, SctScheme};
use crate::wire::WireError;

/// Whether the log may still take its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The promise is younger than [`MERGE_DELAY_MAX`](super::MERGE_DELAY_MAX).
    Pending,
    Overdue,
}

/// Why the certificate is not proved to be in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CtInclusionFailure {
    /// The log in the trusted root has a name or key that signs no tree heads.
    Key(NoteKeyError),
    Note(NoteError),
    Checkpoint(CheckpointError),
    Origin {
        expected: String,
        found: String,
    },
    TreeHead(WireError),
    TreeHeadSignature(CtError),
    TreeHeadScheme {
        found: SctScheme,
    },
    Signature(SignatureError),
    /// The time of the tree head is none that a calendar has.
    HeadTime {
        timestamp_ms: u64,
    },
    HeadInFuture {
        time: Timestamp,
        now: Timestamp,
    },
    /// The tree head is older than the promise, and the log has had its time.
    HeadStale {
        head: Timestamp,
        promised: Timestamp,
    },
    /// The tree does not have the leaf.
    NotMerged {
        promised: Timestamp,
        index: Option<LeafIndex>,
        head: Timestamp,
        tree_size: TreeSize,
        due: Due,
    },
    Proof(WireError),
    /// A hash in a reply has another length.
    HashLength {
        found: usize,
    },
    ProofTooLong {
        found: usize,
    },
    Tile {
        tile: Tile,
        error: TileError,
    },
    /// The log proves the leaf elsewhere than the SCT says.
    Index {
        expected: LeafIndex,
        found: LeafIndex,
    },
    /// The tree has another leaf where the SCT promised this one.
    OtherLeaf {
        index: LeafIndex,
        expected: Hash,
        found: Hash,
    },
    Inclusion(ProofError),
}

impl CtInclusionFailure {
    /// A code that does not change between versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key(_) => "ct_log_misconfigured",
            Self::Note(NoteError::NotSignedBy { .. } | NoteError::SignatureInvalid { .. })
            | Self::TreeHeadScheme { .. }
            | Self::Signature(_) => "ct_tree_head_signature_invalid",
            Self::Note(_)
            | Self::Checkpoint(_)
            | Self::TreeHead(_)
            | Self::TreeHeadSignature(_)
            | Self::HeadTime { .. } => "ct_tree_head_malformed",
            Self::Origin { .. } => "ct_origin_mismatch",
            Self::HeadInFuture { .. } => "ct_tree_head_in_future",
            Self::HeadStale { .. } => "ct_tree_head_stale",
            Self::NotMerged { due: Due::Pending, .. } => "ct_not_merged_yet",
            Self::NotMerged { due: Due::Overdue, .. } | Self::OtherLeaf { .. } => "ct_promise_broken",
            Self::Proof(_) | Self::HashLength { .. } | Self::ProofTooLong { .. } | Self::Tile { .. } => {
                "ct_proof_malformed"
            }
            Self::Index { .. } => "ct_index_mismatch",
            Self::Inclusion(_) => "ct_inclusion_invalid",
        }
    }

    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Key(_) => "a CT log whose name and key can sign tree heads".to_owned(),
            Self::Note(_) => "a checkpoint signed by the CT log".to_owned(),
            Self::Checkpoint(_) => "a checkpoint".to_owned(),
            Self::Origin { expected, .. } => format!("a checkpoint of {expected}"),
            Self::TreeHead(_) | Self::HeadTime { .. } => "a tree head".to_owned(),
            Self::TreeHeadSignature(_) | Self::TreeHeadScheme { .. } | Self::Signature(_) => {
                "a tree head signed by the CT log".to_owned()
            }
            Self::HeadInFuture { now, .. } => format!("a tree head not later than {now}"),
            Self::HeadStale { promised, .. } => format!("a tree head not older than the promise of {promised}"),
            Self::NotMerged { promised, index, .. } => {
                format!("the certificate that was promised at {promised}{}", At(*index))
            }
            Self::Proof(_) => "an inclusion proof".to_owned(),
            Self::HashLength { .. } => format!("a hash of {HASH_BYTES} bytes"),
            Self::ProofTooLong { .. } => format!("an inclusion proof of at most {PROOF_HASHES_MAX} hashes"),
            Self::Tile { tile, .. } => format!("the tile {}", tile.path()),
            Self::Index { expected, .. } => format!("the certificate at index {expected}, which the SCT names"),
            Self::OtherLeaf { index, expected, .. } => format!("leaf hash {expected} at index {index}"),
            Self::Inclusion(_) => "a proof that leads from the certificate to the tree head".to_owned(),
        }
    }

    #[must_use]
    pub fn found(&self) -> String {
        match self {
            Self::Key(error) => error.to_string(),
            Self::Note(error) => error.to_string(),
            Self::Checkpoint(error) => error.to_string(),
            Self::Origin { found, .. } => format!("{found:?}"),
            Self::TreeHead(error) | Self::Proof(error) => error.to_string(),
            Self::TreeHeadSignature(error) => error.to_string(),
            Self::TreeHeadScheme { found } => format!("a signature by {found:?}, which does not fit the log's key"),
            Self::Signature(error) => error.to_string(),
            Self::HeadTime { timestamp_ms } => format!("one of {timestamp_ms} ms"),
            Self::HeadInFuture { time, .. } => format!("one of {time}"),
            Self::HeadStale { head, .. } => format!("one of {head}"),
            Self::NotMerged { head, tree_size, .. } => {
                format!("a tree of {tree_size} entries, signed at {head}, without it")
            }
            Self::HashLength { found } => format!("one of {found}"),
            Self::ProofTooLong { found } => format!("{found}"),
            Self::Tile { error, .. } => error.to_string(),
            Self::Index { found, .. } => format!("index {found}"),
            Self::OtherLeaf { found, .. } => format!("leaf hash {found}"),
            Self::Inclusion(error) => error.to_string(),
        }
    }
}

impl std::fmt::Display for CtInclusionFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {}, found {}", self.expected(), self.found())
    }
}

impl std::error::Error for CtInclusionFailure {}

/// Where, if that is known.
struct At(Option<LeafIndex>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |index| write!(f, " for index {index}"))
    }
}
