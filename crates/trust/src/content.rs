// SPDX-License-Identifier: Apache-2.0
//! Targets whose names say what they are, and whether they are it.
//!
//! In scope: the documents by which public clients verify and sign. Out of scope: targets of other names, which may hold anything.
//! Invariant: a document is read here as clients read it; one that they cannot use never replaces one that they can.

use touchmark_sigstore::trust::{SigningConfig, TrustedRoot};

/// The target by which clients verify.
pub const TRUSTED_ROOT: &str = "trusted_root.json";
/// The target that says where they sign.
pub const SIGNING_CONFIG: &str = "signing_config.v0.2.json";

/// Why a target is not what its name says; `None` if it is, or its name says nothing.
pub(crate) fn problem(name: &str, bytes: &[u8]) -> Option<String> {
    match name {
        TRUSTED_ROOT => match TrustedRoot::from_json(bytes) {
            Ok(root) if trusts_nothing(&root) => Some("it trusts no log and no authority".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        },
        SIGNING_CONFIG => SigningConfig::from_json(bytes).err().map(|error| error.to_string()),
        _ => None,
    }
}

fn trusts_nothing(root: &TrustedRoot) -> bool {
    let authorities = root.certificate_authorities().len() + root.timestamp_authorities().len();
    authorities + root.tlogs().len() + root.ctlogs().len() == 0
}
