// SPDX-License-Identifier: Apache-2.0
//! The DSSE envelope (`io.intoto.Envelope`, and the same shape in plain JSON): a member of bundles and of log entries.
//!
//! In scope: shapes. Out of scope: how many signatures there must be and what they cover, which is in the module `dsse`.

use super::BUNDLE_BYTES_MAX;
use super::codec::{Dialect, Emit, document, message};

message! {
    pub struct Envelope {
        payload: Vec<u8> = "payload",
        payload_type: String = "payloadType",
        signatures: Vec<Signature> = "signatures",
    }
}
document!(Envelope, Dialect::Bundle, BUNDLE_BYTES_MAX, Emit::All);

message! {
    pub struct Signature {
        sig: Vec<u8> = "sig",
        keyid: String = "keyid",
    }
}
