// SPDX-License-Identifier: Apache-2.0
//! Bodies of log entries, v1 and v2. The first byte says of which kind the entry claims to be.

use touchmark_sigstore::rekor::EntryKind;
use touchmark_sigstore::rekor::parse_request;
use touchmark_sigstore::rekor::v1::{parse_body, set_payload};

pub fn check(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let kind = EntryKind::ALL[usize::from(*kind) % EntryKind::ALL.len()];
    if let Ok(parsed) = parse_body(kind, body) {
        let _: serde_json::Value = serde_json::from_slice(body).expect("what is accepted is JSON");
        for other in EntryKind::ALL.into_iter().filter(|other| *other != kind) {
            assert!(parse_body(other, body).is_err(), "{parsed:?} is of one kind");
        }
    }
    let payload = set_payload(body, -1, &[0xab; 32], u64::MAX);
    let _: serde_json::Value = serde_json::from_slice(&payload).expect("what a log signs is JSON");
    if let Ok(verified) = parse_request(body) {
        let record = verified.into_record();
        assert_eq!(record.leaf_bytes(), record.leaf_bytes());
        let _: serde_json::Value = serde_json::from_slice(&record.leaf_bytes()).expect("a leaf is JSON");
    }
}
