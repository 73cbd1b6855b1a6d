// SPDX-License-Identifier: Apache-2.0
//! Timestamp requests, in DER and in JSON: what is read is written as the same again.

use touchmark_sigstore::tsp::TimestampRequest;
use touchmark_sigstore::wire;

pub fn check(data: &[u8]) {
    if let Ok(request) = TimestampRequest::from_der(data) {
        let written = request.to_der().expect("what was read can be written");
        assert_eq!(TimestampRequest::from_der(&written), Ok(request));
    }
    if let Ok(request) = wire::tsa::TimestampRequest::from_json(data) {
        let _: serde_json::Value = serde_json::from_slice(data).expect("what is accepted is JSON");
        let written = request.to_json();
        assert_eq!(wire::tsa::TimestampRequest::from_json(&written).expect("what was written is read"), request);
    }
}
