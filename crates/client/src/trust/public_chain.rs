// SPDX-License-Identifier: Apache-2.0
//! The roots of the public-good instance, walked by the client: as they were published, and with one byte changed.
//!
//! The other half, over HTTP and with the public targets, is `tests/client/public_repository.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sigstore_tuf::transport::FetchFuture;

use super::*;

/// Roots 1 to 4 have hexadecimal keys and times of another form.
const FIRST: u64 = 5;
const LAST: u64 = 15;
/// Every n-th byte is changed, in each root others: a walk takes milliseconds. Each byte of each root is changed in crate `trust`
/// (`role::tests`), where it takes less.
const STEP: usize = 64;
const STEP_OF_LAST: usize = 8;

fn public_root(version: u64) -> Vec<u8> {
    let history =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository/metadata/root_history");
    std::fs::read(format!("{history}/{version}.root.json")).unwrap()
}

/// Roots and nothing else.
struct Roots(BTreeMap<String, Vec<u8>>, Arc<Mutex<Vec<String>>>);

impl Repository for Roots {
    fn fetch_metadata<'a>(&'a self, name: &'a str, _: u64) -> FetchFuture<'a> {
        self.1.lock().unwrap().push(name.to_owned());
        Box::pin(async move { Ok(self.0.get(name).cloned()) })
    }

    fn fetch_target<'a>(&'a self, _: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(async { Ok(None) })
    }
}

/// Whether the walk takes `bytes` for the root after `version`; it says what it asked for.
async fn is_taken(version: u64, bytes: Vec<u8>) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let asked = Arc::default();
    let roots = Roots(BTreeMap::from([(format!("{}.root.json", version + 1), bytes)]), Arc::clone(&asked));
    let mirror = Url::parse("http://roots.invalid/").unwrap();
    let now = "2026-08-26T00:00:00Z".parse().unwrap();
    let (store, name) = (TrustStore::at(dir.path()), InstanceName::of_mirror(&mirror));
    let outcome = store.walk(&name, &mirror, &public_root(version), Box::new(roots), None, now).await;
    let is_taken = asked.lock().unwrap().contains(&format!("{}.root.json", version + 2));
    // A root that is taken leads on: to the next, and then to its expiry or to the timestamp, which is not there.
    assert_eq!(
        is_taken,
        matches!(outcome.err(), Some(TrustError::Expired { .. } | TrustError::MirrorUnreachable { .. }))
    );
    is_taken
}

/// The root with no more signatures than it needs, so that each byte of it matters.
async fn with_needed_signatures(version: u64) -> Vec<u8> {
    let mut root: Value = serde_json::from_slice(&public_root(version)).unwrap();
    let mut position = 0;
    while position < root["signatures"].as_array().unwrap().len() {
        let mut without = root.clone();
        without["signatures"].as_array_mut().unwrap().remove(position);
        if is_taken(version - 1, serde_json::to_vec(&without).unwrap()).await {
            root = without;
        } else {
            position += 1;
        }
    }
    serde_json::to_vec(&root).unwrap()
}

#[tokio::test]
async fn a_public_root_with_one_byte_changed_is_refused() {
    for version in FIRST + 1..=LAST {
        let needed = with_needed_signatures(version).await;
        assert!(is_taken(version - 1, needed.clone()).await, "root {version}");
        let parsed: Value = serde_json::from_slice(&needed).unwrap();
        assert!(parsed["signatures"].as_array().unwrap().len() >= 3, "root {version}");
        let step = if version == LAST { STEP_OF_LAST } else { STEP };
        for position in (usize::try_from(version).unwrap() % step..needed.len()).step_by(step) {
            let mut twin = needed.clone();
            twin[position] ^= 1;
            assert!(!is_taken(version - 1, twin).await, "root {version}, byte {position}");
        }
    }
}
