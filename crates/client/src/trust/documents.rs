// SPDX-License-Identifier: Apache-2.0
//! The documents that a Sigstore client takes: trusted root and signing config, as targets of a repository or as files that a user names.
//!
//! In scope: their names, and that one is what its name says. Out of scope: what is in them (`touchmark_sigstore::trust`), and that they come
//! from the instance: the walk.

use std::path::Path;

use touchmark_sigstore::trust::{SigningConfig, TrustedRoot};

use super::{TrustError, read};

/// The targets that a Sigstore client fetches (public deployment specification, section 4.1.1).
pub(super) const TRUSTED_ROOT_TARGET: &str = "trusted_root.json";
pub(super) const SIGNING_CONFIG_TARGET: &str = "signing_config.v0.2.json";
/// How every name of a signing config ends that has the form we read.
const SIGNING_CONFIG_FORM: &str = ".v0.2.json";

/// A trusted root from a file that the user names: trusted because the user says so.
pub fn read_trusted_root(path: &Path) -> Result<TrustedRoot, TrustError> {
    parse_trusted_root(&path.display().to_string(), &read(path)?)
}

/// A signing config from a file that the user names.
pub fn read_signing_config(path: &Path) -> Result<SigningConfig, TrustError> {
    parse_signing_config(&path.display().to_string(), &read(path)?)
}

pub(super) fn parse_trusted_root(what: &str, bytes: &[u8]) -> Result<TrustedRoot, TrustError> {
    TrustedRoot::from_json(bytes).map_err(|source| TrustError::Unusable { what: what.to_owned(), source })
}

pub(super) fn parse_signing_config(what: &str, bytes: &[u8]) -> Result<SigningConfig, TrustError> {
    SigningConfig::from_json(bytes).map_err(|source| TrustError::Unusable { what: what.to_owned(), source })
}

/// That a target of Sigstore is what its name says. Of other names nothing is known.
pub(super) fn expect_readable(name: &str, bytes: &[u8]) -> Result<(), TrustError> {
    let read = if name == TRUSTED_ROOT_TARGET {
        TrustedRoot::from_json(bytes).map(drop)
    } else if name.starts_with("signing_config") && name.ends_with(SIGNING_CONFIG_FORM) {
        SigningConfig::from_json(bytes).map(drop)
    } else {
        Ok(())
    };
    read.map_err(|source| TrustError::TargetUnusable { name: name.to_owned(), source })
}
