// SPDX-License-Identifier: Apache-2.0
//! `touchmark token`: a token of the try-out issuer for whoever can read its key.
//!
//! In scope: finding key and issuer in a data directory, running or not. Out of scope: what a token says (`crate::oidc`).

use std::path::Path;
use std::sync::Arc;

use touchmark_sequencer::SystemClock;

use super::error::StartError;
use super::layout::{KeyFile, Layout};
use super::manifest::Manifest;
use super::up::check_passphrase;
use super::{Passphrase, open};
use crate::oidc::OidcIssuer;

/// Signs a token for an e-mail address with the key of an instance's try-out issuer.
///
/// # Errors
/// There is no instance, its keys cannot be opened, or the address is none.
pub async fn try_out_token(data_directory: &Path, email: &str, passphrase: Passphrase) -> Result<String, StartError> {
    let layout = Layout::new(data_directory);
    let no_instance = || StartError::NoInstance { directory: data_directory.to_owned() };
    let manifest = Manifest::load(&layout)?.ok_or_else(no_instance)?;
    check_passphrase(&manifest, &passphrase)?;
    let signer = open::key(&layout.key(KeyFile::Oidc), &passphrase).await?;
    let issuer =
        OidcIssuer::new(manifest.oidc_issuer, signer, Arc::new(SystemClock)).map_err(StartError::role("oidc"))?;
    issuer.token(email).await.map_err(StartError::role("oidc"))
}
