// SPDX-License-Identifier: Apache-2.0
//! The trust of an instance as one file: what is read is written as the same again.

use touchmark_client::trust::TrustExport;

pub fn check(data: &[u8]) {
    let Ok(export) = TrustExport::from_json(data) else { return };
    let written = export.to_json();
    let again = TrustExport::from_json(&written).expect("what was written is read");
    assert_eq!(again.mirror(), export.mirror());
    assert!(again.names().eq(export.names()));
    assert_eq!(again.to_json(), written, "a second writing makes the same bytes");
}
