// SPDX-License-Identifier: Apache-2.0
//! Timestamp authority: the JSON form of a request (`Content-Type: application/json`). The DER form and the reply are in `tsp`.

use super::codec::{Dialect, Emit, document, message};

/// The largest timestamp request in JSON.
pub const TIMESTAMP_REQUEST_BYTES_MAX: usize = 64 << 10;

message! {
    /// `POST /api/v1/timestamp`.
    pub struct TimestampRequest {
        artifact_hash: Vec<u8> = "artifactHash",
        certificates: bool = "certificates",
        /// `sha256`, `sha384` or `sha512`.
        hash_algorithm: String = "hashAlgorithm",
        nonce: Option<u64> = "nonce",
        tsa_policy_oid: String = "tsaPolicyOID",
    }
}
document!(TimestampRequest, Dialect::Plain, TIMESTAMP_REQUEST_BYTES_MAX, Emit::Populated);
