// SPDX-License-Identifier: Apache-2.0
//! For tests: Rekor logs of both versions.

use jiff::Timestamp;
use touchmark_keys::KeyType;
use touchmark_tlog::checkpoint::Checkpoint;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey, NoteSignature, SignedNote};
use touchmark_tlog::{Hash, TreeSize, leaf_hash, node_hash};

use super::{minutes, window};
use crate::rekor::EntryKind;
use crate::rekor::v1::set_payload;
use crate::trust::{TransparencyLog, ValidFor};
use crate::wire::rekor as wire;
use crate::wire::{Nullable, UnixSeconds};
use crate::workshop::Key;

/// A Rekor log: a name and a key.
pub(crate) struct Log {
    pub(crate) name: String,
    pub(crate) key: Key,
    version: LogVersion,
}

enum LogVersion {
    /// The number of the shard's tree, and how many entries the shards before it have.
    V1 {
        tree: u64,
        earlier: i64,
    },
    V2,
}

impl Log {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), key: Key::new(KeyType::Ed25519), version: LogVersion::V2 }
    }

    /// A log of Rekor v1 in its second shard.
    pub(crate) fn v1(name: &str) -> Self {
        let version = LogVersion::V1 { tree: 2_605_736_670_972_794_746, earlier: 4_163_431 };
        Self { name: name.into(), key: Key::new(KeyType::EcdsaP256), version }
    }

    pub(crate) fn note_key(&self) -> NoteKey {
        let algorithm = match self.version {
            LogVersion::V1 { .. } => NoteAlgorithm::EcdsaRekor,
            LogVersion::V2 => NoteAlgorithm::Ed25519,
        };
        NoteKey::new(&self.name, algorithm, self.key.public()).unwrap()
    }

    /// The name that its checkpoints have inside.
    pub(crate) fn origin(&self) -> String {
        match self.version {
            LogVersion::V1 { tree, .. } => format!("{} - {tree}", self.name),
            LogVersion::V2 => self.name.clone(),
        }
    }

    pub(crate) fn trusted(&self) -> TransparencyLog {
        self.trusted_in(window())
    }

    pub(crate) fn trusted_in(&self, window: ValidFor) -> TransparencyLog {
        let base_url = format!("https://{}", self.name);
        TransparencyLog::new(base_url, self.note_key().id(), self.key.public(), self.key.scheme(), window)
    }

    pub(crate) fn note_signature(&self, text: &str) -> NoteSignature {
        let key = self.note_key();
        key.wrap(self.key.sign(&key.signed_message(text, None).unwrap()), None).unwrap()
    }

    /// The checkpoint of a tree, with the name that it has inside.
    pub(crate) fn checkpoint(&self, origin: &str, leaves: &[Hash]) -> String {
        self.cosigned(origin, leaves, |_| Vec::new())
    }

    /// The same with the lines of others over its text.
    pub(crate) fn cosigned(
        &self,
        origin: &str,
        leaves: &[Hash],
        others: impl FnOnce(&str) -> Vec<NoteSignature>,
    ) -> String {
        let size = TreeSize(leaves.len().try_into().unwrap());
        let text =
            Checkpoint { origin: origin.into(), size, root: tree_root(leaves), extensions: Vec::new() }.to_text();
        let mut signatures = vec![self.note_signature(&text)];
        signatures.extend(others(&text));
        String::from_utf8(SignedNote::new(text, signatures).unwrap().to_bytes()).unwrap()
    }

    /// The entry of one leaf among the leaves of a tree of Rekor v2.
    pub(crate) fn entry(&self, leaves: &[Vec<u8>], index: usize) -> wire::TransparencyLogEntry {
        self.entry_of(EntryKind::HashedRekordV2, leaves, index)
    }

    /// The entry of one leaf among the leaves of a tree, which is the log's shard in Rekor v1; without promise.
    pub(crate) fn entry_of(&self, kind: EntryKind, leaves: &[Vec<u8>], index: usize) -> wire::TransparencyLogEntry {
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let in_tree: i64 = index.try_into().unwrap();
        let earlier = match self.version {
            LogVersion::V1 { earlier, .. } => earlier,
            LogVersion::V2 => 0,
        };
        wire::TransparencyLogEntry {
            log_index: earlier + in_tree,
            log_id: Some(wire::LogId { key_id: self.note_key().id().to_vec() }),
            kind_version: Some(wire::KindVersion { kind: kind.name().into(), version: kind.version().into() }),
            integrated_time: UnixSeconds(0),
            inclusion_promise: Nullable(None),
            inclusion_proof: Nullable(Some(wire::InclusionProof {
                log_index: in_tree,
                root_hash: tree_root(&hashes).0.to_vec(),
                tree_size: hashes.len().try_into().unwrap(),
                hashes: tree_path(&hashes, index).iter().map(|hash| hash.0.to_vec()).collect(),
                checkpoint: Some(wire::Checkpoint { envelope: self.checkpoint(&self.origin(), &hashes) }),
            })),
            canonicalized_body: leaves[index].clone(),
        }
    }

    /// Puts this log's promise into an entry: body, index and log as they stand there, at this time.
    pub(crate) fn promise(&self, entry: &mut wire::TransparencyLogEntry, time: Timestamp) {
        let id: [u8; 32] = entry.log_id.as_ref().unwrap().key_id.as_slice().try_into().unwrap();
        let index = entry.log_index.try_into().unwrap();
        let payload = set_payload(&entry.canonicalized_body, time.as_second(), &id, index);
        entry.integrated_time = UnixSeconds(time.as_second());
        let signed_entry_timestamp = self.key.sign(&payload);
        entry.inclusion_promise = Nullable(Some(wire::InclusionPromise { signed_entry_timestamp }));
    }

    /// A body as the last of three entries of a shard, promised a minute after noon.
    pub(crate) fn promised(&self, kind: EntryKind, body: Vec<u8>) -> wire::TransparencyLogEntry {
        let leaves = [b"one".to_vec(), b"two".to_vec(), body];
        let mut entry = self.entry_of(kind, &leaves, 2);
        self.promise(&mut entry, minutes(1));
        entry
    }
}

/// RFC 6962 §2.1, word for word.
fn tree_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => touchmark_tlog::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&tree_root(left), &tree_root(right))
        }
    }
}

/// RFC 6962 §2.1.1.
fn tree_path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = match index.checked_sub(left.len()) {
        None => (tree_path(left, index), right),
        Some(index) => (tree_path(right, index), left),
    };
    path.push(tree_root(other));
    path
}

/// The largest power of two that is less than `length`.
fn split(length: usize) -> usize {
    length.next_power_of_two() / 2
}
