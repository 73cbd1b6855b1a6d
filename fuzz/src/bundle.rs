// SPDX-License-Identifier: Apache-2.0
//! Bundles: what is read can be written, and is then the same.

use touchmark_sigstore::bundle::Bundle;

pub fn check(data: &[u8]) {
    let Ok(bundle) = Bundle::parse(data) else { return };
    // Nothing was accepted that another reader of JSON refuses.
    let _: serde_json::Value = serde_json::from_slice(data).expect("what is accepted is JSON");
    let written = bundle.to_json();
    let again = Bundle::parse(&written).expect("what was written is read");
    assert_eq!(again, bundle);
    assert_eq!(again.to_json(), written, "a second writing makes the same bytes");
}
