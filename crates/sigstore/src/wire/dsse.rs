// SPDX-License-Identifier: Apache-2.0
//! The DSSE envelope (`io.intoto.Envelope`, and the same shape in plain JSON): a member of bundles and of log entries.
//!
//! In scope: shapes. Out of scope: how many signatures there must be and what they cover, which is in the module `dsse`.

use super::codec::message;

message! {
    pub struct Envelope {
        payload: Vec<u8> = "payload",
        payload_type: String = "payloadType",
        signatures: Vec<Signature> = "signatures",
    }
}

message! {
    pub struct Signature {
        sig: Vec<u8> = "sig",
        keyid: String = "keyid",
    }
}
