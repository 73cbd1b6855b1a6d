// SPDX-License-Identifier: Apache-2.0
//! The messages of the service as protocol buffers (sigstore/rekor-tiles `api/proto`, sigstore/protobuf-specs `protos`, `google.api.HttpBody`).
//!
//! In scope: numbers and types of fields, conversion from and to the types that HTTP has (`touchmark_sigstore::wire`). Out of scope: what a request may
//! hold; names, which are not sent ([`super::describe`] has them, and its tests compare the two).
//! Invariant: every message that can be read converts; the one function that checks requests decides about it.

use prost::Message;
use touchmark_sigstore::wire::rekor as wire;
use touchmark_sigstore::wire::{EnumName, Presence};

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateEntryRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) hashed_rekord_request_v002: Option<HashedRekordRequest>,
    /// What the log refuses; nothing of it is read.
    #[prost(message, optional, tag = "2")]
    pub(super) dsse_request_v002: Option<Empty>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HashedRekordRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) digest: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) signature: Option<Signature>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Signature {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) content: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) verifier: Option<Verifier>,
}

/// Key and certificate are one of two; here they are read both, so that both are refused as in JSON.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Verifier {
    #[prost(message, optional, tag = "1")]
    pub(super) public_key: Option<RawBytes>,
    #[prost(message, optional, tag = "2")]
    pub(super) x509_certificate: Option<RawBytes>,
    #[prost(int32, tag = "3")]
    pub(super) key_details: i32,
}

/// `PublicKey`, `X509Certificate` and `LogId`, which are alike on the wire.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RawBytes {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) raw_bytes: Vec<u8>,
}

impl CreateEntryRequest {
    pub(super) fn into_wire(self) -> wire::CreateEntryRequest {
        wire::CreateEntryRequest {
            hashed_rekord_request_v002: self.hashed_rekord_request_v002.map(HashedRekordRequest::into_wire),
            dsse_request_v002: self.dsse_request_v002.map_or(Presence::Absent, |Empty {}| Presence::Present),
        }
    }
}

impl HashedRekordRequest {
    fn into_wire(self) -> wire::HashedRekordRequest {
        let raw_bytes = |RawBytes { raw_bytes }| wire::RawBytes { raw_bytes };
        let verifier = |verifier: Verifier| wire::Verifier {
            public_key: verifier.public_key.map(raw_bytes),
            x509_certificate: verifier.x509_certificate.map(raw_bytes),
            // As JSON may write an enum, too.
            key_details: EnumName(verifier.key_details.to_string()),
        };
        let signature =
            |Signature { content, verifier: of }: Signature| wire::Signature { content, verifier: of.map(verifier) };
        wire::HashedRekordRequest { digest: self.digest, signature: self.signature.map(signature) }
    }
}

/// `dev.sigstore.rekor.v1.TransparencyLogEntry`, without the promise (number 5), which this log does not give.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TransparencyLogEntry {
    #[prost(int64, tag = "1")]
    pub(super) log_index: i64,
    #[prost(message, optional, tag = "2")]
    pub(super) log_id: Option<RawBytes>,
    #[prost(message, optional, tag = "3")]
    pub(super) kind_version: Option<KindVersion>,
    #[prost(int64, tag = "4")]
    pub(super) integrated_time: i64,
    #[prost(message, optional, tag = "6")]
    pub(super) inclusion_proof: Option<InclusionProof>,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) canonicalized_body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KindVersion {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InclusionProof {
    #[prost(int64, tag = "1")]
    pub(super) log_index: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) root_hash: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(super) tree_size: i64,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(super) hashes: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub(super) checkpoint: Option<Checkpoint>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Checkpoint {
    #[prost(string, tag = "1")]
    pub(super) envelope: String,
}

impl TransparencyLogEntry {
    pub(super) fn from_wire(entry: wire::TransparencyLogEntry) -> Self {
        Self {
            log_index: entry.log_index,
            log_id: entry.log_id.map(|wire::LogId { key_id }| RawBytes { raw_bytes: key_id }),
            kind_version: entry.kind_version.map(|wire::KindVersion { kind, version }| KindVersion { kind, version }),
            integrated_time: entry.integrated_time.0,
            inclusion_proof: entry.inclusion_proof.0.map(|proof| InclusionProof {
                log_index: proof.log_index,
                root_hash: proof.root_hash,
                tree_size: proof.tree_size,
                hashes: proof.hashes,
                checkpoint: proof.checkpoint.map(|wire::Checkpoint { envelope }| Checkpoint { envelope }),
            }),
            canonicalized_body: entry.canonicalized_body,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TileRequest {
    #[prost(uint32, tag = "1")]
    pub(super) level: u32,
    /// As in a path: `x123/x456/789`, and `.p/<width>` after it.
    #[prost(string, tag = "2")]
    pub(super) index: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryBundleRequest {
    #[prost(string, tag = "1")]
    pub(super) index: String,
}

/// `google.api.HttpBody`, without its extensions (number 3).
#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpBody {
    #[prost(string, tag = "1")]
    pub(super) content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) data: Vec<u8>,
}

/// `google.protobuf.Empty`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Empty {}
