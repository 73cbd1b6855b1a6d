// SPDX-License-Identifier: Apache-2.0
//! Bundles: what is read can be written, and is then the same.

use touchmark_sigstore::bundle::{Bundle, Version};

pub fn check(data: &[u8]) {
    if let Ok(lines) = Bundle::parse_lines(data) {
        let alone: Vec<&[u8]> =
            data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
        assert_eq!(lines.len(), alone.len());
        for (read, line) in lines.iter().zip(alone) {
            assert_eq!(*read, Bundle::parse(line), "a line is read as it is alone");
        }
    }
    let Ok(bundle) = Bundle::parse(data) else { return };
    // Nothing was accepted that another reader of JSON refuses.
    let _: serde_json::Value = serde_json::from_slice(data).expect("what is accepted is JSON");
    let written = bundle.to_json();
    let again = match (Bundle::parse(&written), bundle.version()) {
        (Ok(again), _) => again,
        // What is written is of version 0.3, which demands proofs that older bundles need not have.
        (Err(_), Version::V0_1 | Version::V0_2) => return,
        (Err(error), Version::V0_3) => panic!("what was written is read: {error}"),
    };
    assert_eq!(again.version(), Version::V0_3);
    assert_eq!(again.key_material(), bundle.key_material());
    assert_eq!(again.content(), bundle.content());
    assert_eq!(again.timestamps(), bundle.timestamps());
    assert_eq!(again.entries(), bundle.entries());
    assert_eq!(again.to_json(), written, "a second writing makes the same bytes");
}
