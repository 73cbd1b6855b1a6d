// SPDX-License-Identifier: Apache-2.0
//! Rekor v2 (`dev.sigstore.rekor.v2`): the request to log an entry, and the entry as it is logged, which bundles carry too.
//!
//! In scope: shapes. Out of scope: the checks of a request and the bytes of a leaf, which are in the module `rekor`.

use super::codec::{Dialect, Emit, document, message};
use super::field::{EnumName, Nullable, Presence, UnixSeconds};
use super::{REPLY_BYTES_MAX, REQUEST_BYTES_MAX};

message! {
    /// `POST /api/v2/log/entries`: a oneof of the entry kinds, of which the public server takes only the first.
    pub struct CreateEntryRequest {
        hashed_rekord_request_v002: Option<HashedRekordRequest> = "hashedRekordRequestV002",
        dsse_request_v002: Presence = "dsseRequestV002",
    }
}
document!(CreateEntryRequest, Dialect::RekorV2, REQUEST_BYTES_MAX, Emit::Populated);

message! {
    pub struct HashedRekordRequest {
        digest: Vec<u8> = "digest",
        signature: Option<Signature> = "signature",
    }
}

message! {
    pub struct Signature {
        content: Vec<u8> = "content",
        verifier: Option<Verifier> = "verifier",
    }
}

message! {
    /// A oneof of public key and certificate, and the algorithm.
    pub struct Verifier {
        public_key: Option<RawBytes> = "publicKey",
        x509_certificate: Option<RawBytes> = "x509Certificate",
        key_details: EnumName = "keyDetails",
    }
}

message! {
    pub struct RawBytes {
        raw_bytes: Vec<u8> = "rawBytes",
    }
}

message! {
    /// `dev.sigstore.rekor.v1.TransparencyLogEntry`: the reply to a request, and a member of every bundle.
    pub struct TransparencyLogEntry {
        log_index: i64 = "logIndex",
        log_id: Option<LogId> = "logId",
        kind_version: Option<KindVersion> = "kindVersion",
        integrated_time: UnixSeconds = "integratedTime",
        inclusion_promise: Nullable<InclusionPromise> = "inclusionPromise",
        inclusion_proof: Nullable<InclusionProof> = "inclusionProof",
        canonicalized_body: Vec<u8> = "canonicalizedBody",
    }
}
document!(TransparencyLogEntry, Dialect::RekorV2, REPLY_BYTES_MAX, Emit::All);

message! {
    pub struct LogId {
        key_id: Vec<u8> = "keyId",
    }
}

message! {
    pub struct KindVersion {
        kind: String = "kind",
        version: String = "version",
    }
}

message! {
    /// The signed entry timestamp of Rekor v1.
    pub struct InclusionPromise {
        signed_entry_timestamp: Vec<u8> = "signedEntryTimestamp",
    }
}

message! {
    pub struct InclusionProof {
        log_index: i64 = "logIndex",
        root_hash: Vec<u8> = "rootHash",
        tree_size: i64 = "treeSize",
        hashes: Vec<Vec<u8>> = "hashes",
        checkpoint: Option<Checkpoint> = "checkpoint",
    }
}

message! {
    pub struct Checkpoint {
        envelope: String = "envelope",
    }
}
