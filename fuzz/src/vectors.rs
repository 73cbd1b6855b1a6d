// SPDX-License-Identifier: Apache-2.0
//! The public conformance cases, read from the vectors beside the workspace, without the code under test where that is easy.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use touchmark_keys::PublicKey;
use touchmark_sigstore::policy::{IdentityMatcher, KeyRule, Matcher, Policy};
use touchmark_sigstore::trust::TrustedRoot;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// One conformance case.
pub struct Case {
    pub name: String,
    pub bundle: Vec<u8>,
    pub root: Vec<u8>,
    pub artifact: Vec<u8>,
    identity: String,
    issuer: String,
    /// The PEM of a managed key, where the case is of one.
    pub key: Option<String>,
}

impl Case {
    pub fn must_fail(&self) -> bool {
        self.name.ends_with("_fail")
    }

    /// # Panics
    /// If the vectors are not there.
    pub fn trusted_root(&self) -> TrustedRoot {
        TrustedRoot::from_json(&self.root).expect("a vector's trusted root")
    }

    /// Of the key, or of the identity. None where the case names a key that is none.
    ///
    /// # Panics
    /// If the case names nobody.
    pub fn policy(&self) -> Option<Policy> {
        if let Some(pem) = &self.key {
            return Some(Policy::managed_key(KeyRule { key: PublicKey::from_pem(pem).ok()?, valid_for: None }));
        }
        let identity = IdentityMatcher::exact(&self.identity).expect("an identity");
        Some(Policy::keyless(identity, Matcher::exact(&self.issuer).expect("an issuer")))
    }

    /// The bundle as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bundle).unwrap_or(Value::Null)
    }

    /// What the timestamps are over.
    pub fn signature(&self) -> Vec<u8> {
        let bundle = self.json();
        let signature = bundle.pointer("/messageSignature/signature");
        signature.or_else(|| bundle.pointer("/dsseEnvelope/signatures/0/sig")).and_then(decoded).unwrap_or_default()
    }

    pub fn timestamps(&self) -> Vec<Vec<u8>> {
        let tokens = &self.json()["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
        tokens.as_array().into_iter().flatten().filter_map(|token| decoded(&token["signedTimestamp"])).collect()
    }
}

/// # Panics
/// If the vectors do not lie beside the workspace.
pub fn case(name: &str) -> Case {
    let folder = Path::new(VECTORS).join("sigstore-conformance/bundle-verify");
    let file = |file: &str| std::fs::read(folder.join(name).join(file)).ok();
    let text = |name: &str, default: &str| {
        let text = file(name).and_then(|bytes| String::from_utf8(bytes).ok());
        text.map_or_else(|| default.to_owned(), |text| text.trim().to_owned())
    };
    Case {
        name: name.to_owned(),
        bundle: file("bundle.sigstore.json").expect("the vectors lie beside the workspace"),
        root: file("trusted_root.json").unwrap_or_else(public_root),
        artifact: file("artifact")
            .unwrap_or_else(|| std::fs::read(folder.join("a.txt")).expect("the default artifact")),
        identity: text("identity", IDENTITY),
        issuer: text("issuer", ISSUER),
        key: file("key.pub").and_then(|bytes| String::from_utf8(bytes).ok()),
    }
}

/// Every case, by name.
///
/// # Panics
/// If the vectors do not lie beside the workspace.
pub fn cases() -> Vec<Case> {
    let folders = files(&Path::new(VECTORS).join("sigstore-conformance/bundle-verify"));
    let folders = folders.into_iter().filter(|path| path.is_dir());
    folders.filter_map(|path| Some(case(path.file_name()?.to_str()?))).collect()
}

/// Every file of the TUF repository's targets.
pub fn tuf_targets() -> Vec<Vec<u8>> {
    let targets = files(&Path::new(VECTORS).join("sigstore-tuf-repository/targets"));
    targets.into_iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// The project's own test data under `crates/`.
pub fn own_files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(folder);
    files(&folder).into_iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// Bytes out of a text of base64.
pub fn decoded(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

fn public_root() -> Vec<u8> {
    let path = Path::new(VECTORS).join("sigstore-tuf-repository/targets/trusted_root.json");
    std::fs::read(path).expect("the public trusted root")
}

/// The roots of the public instance.
#[must_use]
pub fn tuf_roots() -> Vec<Vec<u8>> {
    let folder = Path::new(VECTORS).join("sigstore-tuf-repository/metadata");
    let all = [files(&folder), files(&folder.join("root_history"))].concat();
    all.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}
