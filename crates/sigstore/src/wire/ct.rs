// SPDX-License-Identifier: Apache-2.0
//! Certificate transparency, RFC 6962 §4: the JSON of `/ct/v1`. Numbers are plain numbers and byte strings standard base64.
//!
//! In scope: shapes. Out of scope: the TLS structures inside the byte strings, which are in the module `ct`.

use super::codec::{Dialect, Emit, document, message};
use super::{REPLY_BYTES_MAX, REQUEST_BYTES_MAX};

/// The largest reply of `get-entries` or `get-roots` that a client reads.
pub const ENTRIES_BYTES_MAX: usize = 64 << 20;

message! {
    /// `POST add-chain` and `add-pre-chain`, §4.1 and §4.2: DER certificates, the leaf first.
    pub struct AddChainRequest {
        chain: Vec<Vec<u8>> = "chain",
    }
}
document!(AddChainRequest, Dialect::Plain, REQUEST_BYTES_MAX, Emit::All);

message! {
    pub struct AddChainResponse {
        sct_version: u64 = "sct_version",
        id: Vec<u8> = "id",
        timestamp: u64 = "timestamp",
        extensions: Vec<u8> = "extensions",
        /// TLS `DigitallySigned`.
        signature: Vec<u8> = "signature",
    }
}
document!(AddChainResponse, Dialect::Plain, REPLY_BYTES_MAX, Emit::All);

message! {
    /// `GET get-sth`, §4.3.
    pub struct SignedTreeHead {
        tree_size: u64 = "tree_size",
        timestamp: u64 = "timestamp",
        sha256_root_hash: Vec<u8> = "sha256_root_hash",
        /// TLS `DigitallySigned` over `TreeHeadSignature`.
        tree_head_signature: Vec<u8> = "tree_head_signature",
    }
}
document!(SignedTreeHead, Dialect::Plain, REPLY_BYTES_MAX, Emit::All);

message! {
    /// `GET get-sth-consistency`, §4.4.
    pub struct ConsistencyProof {
        consistency: Vec<Vec<u8>> = "consistency",
    }
}
document!(ConsistencyProof, Dialect::Plain, REPLY_BYTES_MAX, Emit::All);

message! {
    /// `GET get-proof-by-hash`, §4.5.
    pub struct ProofByHash {
        leaf_index: u64 = "leaf_index",
        audit_path: Vec<Vec<u8>> = "audit_path",
    }
}
document!(ProofByHash, Dialect::Plain, REPLY_BYTES_MAX, Emit::All);

message! {
    /// `GET get-entries`, §4.6.
    pub struct Entries {
        entries: Vec<Entry> = "entries",
    }
}
document!(Entries, Dialect::Plain, ENTRIES_BYTES_MAX, Emit::All);

message! {
    pub struct Entry {
        /// TLS `MerkleTreeLeaf`.
        leaf_input: Vec<u8> = "leaf_input",
        extra_data: Vec<u8> = "extra_data",
    }
}

message! {
    /// `GET get-roots`, §4.7.
    pub struct Roots {
        certificates: Vec<Vec<u8>> = "certificates",
    }
}
document!(Roots, Dialect::Plain, ENTRIES_BYTES_MAX, Emit::All);

message! {
    /// `GET get-entry-and-proof`, §4.8.
    pub struct EntryAndProof {
        leaf_input: Vec<u8> = "leaf_input",
        extra_data: Vec<u8> = "extra_data",
        audit_path: Vec<Vec<u8>> = "audit_path",
    }
}
document!(EntryAndProof, Dialect::Plain, REPLY_BYTES_MAX, Emit::All);
