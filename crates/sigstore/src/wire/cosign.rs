// SPDX-License-Identifier: Apache-2.0
//! What cosign wrote before it had bundles (sigstore/cosign, `LocalSignedPayload`, `RekorBundle`, `RFC3161Timestamp`): shapes.

use super::codec::{Dialect, Emit, document, message};
use super::{BUNDLE_BYTES_MAX, REPLY_BYTES_MAX};

message! {
    /// `cosign sign-blob --bundle`, without `--new-bundle-format`.
    pub struct SignedPayload {
        /// Of a signature, or of the JSON of an envelope.
        base64_signature: Vec<u8> = "base64Signature",
        /// PEM, or base64 of it.
        cert: String = "cert",
        rekor_bundle: Option<RekorBundle> = "rekorBundle",
    }
}
document!(SignedPayload, Dialect::Bundle, BUNDLE_BYTES_MAX, Emit::Populated);

message! {
    pub struct RekorBundle {
        signed_entry_timestamp: Vec<u8> = "SignedEntryTimestamp",
        payload: Option<RekorPayload> = "Payload",
    }
}

message! {
    /// What the signed entry timestamp signs.
    pub struct RekorPayload {
        body: Vec<u8> = "body",
        integrated_time: i64 = "integratedTime",
        log_index: i64 = "logIndex",
        /// Hexadecimal.
        log_id: String = "logID",
    }
}

message! {
    /// `--rfc3161-timestamp-bundle`.
    pub struct Timestamp {
        signed_rfc3161_timestamp: Vec<u8> = "SignedRFC3161Timestamp",
    }
}
document!(Timestamp, Dialect::Bundle, REPLY_BYTES_MAX, Emit::Populated);
