// SPDX-License-Identifier: Apache-2.0
//! Documents of trust: trusted root, signing config, client trust config.

use touchmark_sigstore::trust::{ClientTrustConfig, SigningConfig, TrustedRoot};

pub fn check(data: &[u8]) {
    if let Ok(root) = TrustedRoot::from_json(data) {
        root.tlogs().iter().chain(root.ctlogs()).for_each(|log| drop(log.hostname()));
        let written = root.to_json();
        let again = TrustedRoot::from_json(written.as_bytes()).expect("what was written is read");
        assert!(again.unusable().is_empty(), "what was written can be used");
        assert_eq!(again.to_json(), written);
        assert_eq!(root.prepared().to_json(), written, "preparing changes nothing");
    }
    if let Ok(config) = SigningConfig::from_json(data) {
        let written = config.to_json();
        let again = SigningConfig::from_json(written.as_bytes()).expect("what was written is read");
        assert_eq!(again.to_json(), written);
    }
    if let Ok(config) = ClientTrustConfig::from_json(data) {
        let written = config.to_json();
        let again = ClientTrustConfig::from_json(written.as_bytes()).expect("what was written is read");
        assert_eq!(again.to_json(), written);
    }
}
