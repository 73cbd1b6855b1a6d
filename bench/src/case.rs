// SPDX-License-Identifier: Apache-2.0
//! The bundles that are compared: public conformance cases, read from the vectors beside the workspace.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Where the vectors lie, relative to this crate.
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
pub const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
pub const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Which cases are compared, and what each stands for.
pub const CASES: [(&str, &str); 4] = [
    ("happy-path-v0.3", "Rekor v1, file"),
    ("happy-path-intoto-in-dsse-v3", "Rekor v1, DSSE"),
    ("rekor2-happy-path", "Rekor v2, file"),
    ("rekor2-dsse-happy-path", "Rekor v2, DSSE"),
];

/// One conformance case: where its files are, and what is in them.
pub struct Case {
    pub name: String,
    pub bundle_path: PathBuf,
    pub root_path: PathBuf,
    pub artifact_path: PathBuf,
    pub bundle: Vec<u8>,
    pub root: Vec<u8>,
    pub artifact: Vec<u8>,
}

impl Case {
    /// # Errors
    /// If a file of the case cannot be read.
    pub fn read(name: &str) -> Result<Self> {
        let vectors = PathBuf::from(VECTORS);
        let cases = vectors.join("sigstore-conformance/bundle-verify");
        let own = |file: &str| Some(cases.join(name).join(file)).filter(|path| path.exists());
        let bundle_path = cases.join(name).join("bundle.sigstore.json");
        let public_root = vectors.join("sigstore-tuf-repository/targets/trusted_root.json");
        let root_path = own("trusted_root.json").unwrap_or(public_root);
        let artifact_path = own("artifact").unwrap_or_else(|| cases.join("a.txt"));
        Ok(Self {
            name: name.to_owned(),
            bundle: read(&bundle_path)?,
            root: read(&root_path)?,
            artifact: read(&artifact_path)?,
            bundle_path,
            root_path,
            artifact_path,
        })
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
