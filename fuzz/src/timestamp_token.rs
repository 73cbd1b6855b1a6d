// SPDX-License-Identifier: Apache-2.0
//! Timestamps: a reply that verifies says what its authority said, and requests are read as they are written.

use std::sync::OnceLock;

use touchmark_sigstore::tsp::{SignedAt, TimestampRequest, TimestampResponse, verify_token};
use touchmark_sigstore::x509::Certificate;

use crate::vectors;

/// The case whose authority and signature everything is verified against.
pub const CASE: &str = "rekor2-happy-path";

struct Known {
    chain: Vec<Certificate>,
    message: Vec<u8>,
    signed_at: SignedAt,
}

pub fn check(data: &[u8]) {
    let known = known();
    if let Ok(signed_at) = verify_token(data, &known.message, &known.chain[..]) {
        // The reply has parts that nobody signs; they say nothing.
        let facts = |signed_at: &SignedAt| (signed_at.time(), signed_at.serial().to_vec(), signed_at.policy());
        assert_eq!(facts(&signed_at), facts(&known.signed_at), "the authority made one timestamp of this message");
    }
    let _ = TimestampResponse::from_der(data);
    if let Ok(request) = TimestampRequest::from_der(data) {
        let written = request.to_der().expect("what was read can be written");
        assert_eq!(TimestampRequest::from_der(&written), Ok(request));
    }
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let case = vectors::case(CASE);
        let root = case.trusted_root();
        let chain = root.timestamp_authorities()[0].chain().to_vec();
        let message = case.signature();
        let token = case.timestamps().remove(0);
        let signed_at = verify_token(&token, &message, &chain[..]).expect("the vector's own timestamp");
        Known { chain, message, signed_at }
    })
}
