// SPDX-License-Identifier: Apache-2.0
//! The files that other clients of Sigstore take, out of a repository that was verified.
//!
//! Out of scope: where they are written, and with which flags the clients take them, which is the command line's.
//! Invariant: documents that are targets are handed on byte for byte.

use touchmark_sigstore::trust::{ClientTrustConfig, SigningConfig, TrustedRoot};

use super::documents::{SIGNING_CONFIG_TARGET, TRUSTED_ROOT_TARGET, parse_signing_config, parse_trusted_root};
use super::{TrustError, VerifiedRepository};

/// The documents of one instance.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    /// The newest TUF root, to pin.
    pub root: Vec<u8>,
    /// `trusted_root.json`.
    pub trusted_root: Vec<u8>,
    /// What there is only where the instance signs.
    pub signing: Option<SigningFiles>,
}

/// Documents for signing.
#[derive(Debug, Clone)]
pub struct SigningFiles {
    /// `signing_config.json`, version 0.2.
    pub signing_config: Vec<u8>,
    /// Trusted root and signing config in one (`ClientTrustConfig`).
    pub client_trust_config: Vec<u8>,
}

impl VerifiedRepository {
    /// Every document that some client takes; each was read by our own parser, too.
    pub async fn client_files(&mut self) -> Result<ClientFiles, TrustError> {
        let trusted_root = self.target(TRUSTED_ROOT_TARGET).await?;
        let parsed_root: TrustedRoot = parse_trusted_root(TRUSTED_ROOT_TARGET, &trusted_root)?;
        let signing = match self.target(SIGNING_CONFIG_TARGET).await {
            Ok(signing_config) => {
                let parsed: SigningConfig = parse_signing_config(SIGNING_CONFIG_TARGET, &signing_config)?;
                let client_trust_config = ClientTrustConfig::new(parsed_root, parsed).to_json().into_bytes();
                Some(SigningFiles { signing_config, client_trust_config })
            }
            Err(TrustError::TargetMissing { .. }) => None,
            Err(error) => return Err(error),
        };
        let root = self.updater.trusted().root_bytes().to_vec();
        Ok(ClientFiles { root, trusted_root, signing })
    }
}
