// SPDX-License-Identifier: Apache-2.0
//! For tests: the files of the public conformance suite.

use touchmark_keys::{HashAlgorithm, KeyError, PublicKey, digest};

use super::Artifact;
use crate::policy::{IdentityMatcher, KeyRule, Matcher, Policy};
use crate::trust::TrustedRoot;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");
const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// One case of the suite.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bundle: Vec<u8>,
    pub(crate) root: Vec<u8>,
    pub(crate) artifact: Vec<u8>,
    identity: String,
    issuer: String,
    key: Option<String>,
}

impl Case {
    pub(crate) fn must_fail(&self) -> bool {
        self.name.ends_with("_fail")
    }

    pub(crate) fn root(&self) -> TrustedRoot {
        TrustedRoot::from_json(&self.root).unwrap()
    }

    pub(crate) fn policy(&self) -> Policy {
        self.checked_policy().unwrap()
    }

    /// One case names a key that is none.
    pub(crate) fn checked_policy(&self) -> Result<Policy, KeyError> {
        if let Some(pem) = &self.key {
            return Ok(Policy::managed_key(KeyRule { key: PublicKey::from_pem(pem)?, valid_for: None }));
        }
        let identity = IdentityMatcher::exact(&self.identity).unwrap();
        Ok(Policy::keyless(identity, Matcher::exact(&self.issuer).unwrap()))
    }

    pub(crate) fn artifact(&self) -> Artifact<'_> {
        Artifact::of_bytes(&self.artifact)
    }

    /// What a caller has who was given `sha256:…` alone.
    pub(crate) fn sha256(&self) -> Artifact<'static> {
        digest(HashAlgorithm::Sha256, &self.artifact).into()
    }
}

pub(crate) fn case(name: &str) -> Case {
    let folder = format!("{VECTORS}/sigstore-conformance/bundle-verify");
    let file = |file: &str| read(&format!("{folder}/{name}/{file}"));
    let text = |file_name: &str, default: &str| {
        file(file_name).map_or(default.to_owned(), |text| String::from_utf8(text).unwrap().trim().to_owned())
    };
    Case {
        name: name.to_owned(),
        bundle: file("bundle.sigstore.json").expect("each case has a bundle"),
        root: file("trusted_root.json").unwrap_or_else(|| {
            read(&format!("{VECTORS}/sigstore-tuf-repository/targets/trusted_root.json")).expect("the public root")
        }),
        artifact: file("artifact").unwrap_or_else(|| read(&format!("{folder}/a.txt")).expect("the default artifact")),
        identity: text("identity", IDENTITY),
        issuer: text("issuer", ISSUER),
        key: file("key.pub").map(|text| String::from_utf8(text).unwrap()),
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let cases: Vec<Case> = names().iter().map(|name| case(name)).collect();
    assert!(cases.len() > 60, "the suite has shrunk to {}", cases.len());
    cases
}

/// Every trusted root of the suite, by its case.
pub(crate) fn trusted_roots() -> Vec<(String, Vec<u8>)> {
    cases().into_iter().map(|case| (case.name, case.root)).collect()
}

#[expect(clippy::disallowed_methods, reason = "tests read vector files")]
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(format!("{VECTORS}/sigstore-conformance/bundle-verify")).expect("the vectors");
    let entries = entries.map(|entry| entry.unwrap()).filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[expect(clippy::disallowed_methods, reason = "tests read vector files")]
fn read(path: &str) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}
