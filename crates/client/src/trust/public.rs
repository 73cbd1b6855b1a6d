// SPDX-License-Identifier: Apache-2.0
//! The public instances of Sigstore, as the program carries them (crate `sigstore-trust-root`): for tests of conformance, whose protocol
//! names an instance and no files.
//!
//! Out of scope: fetching what is newer (`built_in`, for the public-good instance).

use sigstore_trust_root::{
    SIGSTORE_PRODUCTION_SIGNING_CONFIG, SIGSTORE_STAGING_SIGNING_CONFIG, SIGSTORE_STAGING_TRUSTED_ROOT,
};
use touchmark_sigstore::trust::{SigningConfig, TrustedRoot};

use super::public_good_root;

/// An instance that the Sigstore project runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicInstance {
    PublicGood,
    Staging,
}

impl PublicInstance {
    /// Its trusted root when this program was made. Reading it touches no file and no network.
    #[must_use]
    pub fn trusted_root(self) -> TrustedRoot {
        match self {
            Self::PublicGood => public_good_root(),
            Self::Staging => TrustedRoot::from_json(SIGSTORE_STAGING_TRUSTED_ROOT.as_bytes())
                .expect("a test reads the embedded trusted root"),
        }
    }

    /// Its services when this program was made.
    #[must_use]
    pub fn signing_config(self) -> SigningConfig {
        let json = match self {
            Self::PublicGood => SIGSTORE_PRODUCTION_SIGNING_CONFIG,
            Self::Staging => SIGSTORE_STAGING_SIGNING_CONFIG,
        };
        SigningConfig::from_json(json.as_bytes()).expect("a test reads the embedded signing config")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_carries_can_be_read() {
        for instance in [PublicInstance::PublicGood, PublicInstance::Staging] {
            assert!(!instance.trusted_root().tlogs().is_empty());
            let _ = instance.signing_config();
        }
    }
}
