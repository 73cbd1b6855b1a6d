// SPDX-License-Identifier: Apache-2.0
//! For tests: the certificates, timestamps and trusted roots of the public conformance bundles, read without the code under test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use touchmark_keys::PublicKey;

use crate::x509::Certificate;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-conformance/bundle-verify");
const PUBLIC_GOOD: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository/targets/trusted_root.json");

/// One conformance case.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The signing certificate, where the bundle has one.
    pub(crate) leaf: Option<Vec<u8>>,
    pub(crate) timestamps: Vec<Vec<u8>>,
    /// What the timestamps are over.
    pub(crate) signature: Vec<u8>,
    pub(crate) root: Root,
}

impl Case {
    pub(crate) fn must_fail(&self) -> bool {
        self.name.ends_with("_fail")
    }
}

/// What a trusted root says of authorities and logs.
pub(crate) struct Root {
    pub(crate) certificate_authorities: Vec<Vec<Certificate>>,
    pub(crate) timestamp_authorities: Vec<Vec<Certificate>>,
    pub(crate) ct_keys: Vec<PublicKey>,
}

/// Every case whose bundle is JSON.
pub(crate) fn cases() -> Vec<Case> {
    names().into_iter().filter_map(|name| case(&name)).collect()
}

pub(crate) fn case(name: &str) -> Option<Case> {
    let bundle: Value = serde_json::from_slice(&read(&format!("{CASES}/{name}/bundle.sigstore.json"))?).ok()?;
    let root_path = format!("{CASES}/{name}/trusted_root.json");
    let root = read(&root_path).unwrap_or_else(|| read(PUBLIC_GOOD).expect("the vectors lie beside the workspace"));
    let material = &bundle["verificationMaterial"];
    let leaf = material
        .pointer("/certificate/rawBytes")
        .or_else(|| material.pointer("/x509CertificateChain/certificates/0/rawBytes"))
        .and_then(base64);
    let timestamps = list(&material["timestampVerificationData"]["rfc3161Timestamps"])
        .iter()
        .filter_map(|timestamp| base64(&timestamp["signedTimestamp"]))
        .collect();
    let signature = bundle
        .pointer("/messageSignature/signature")
        .or_else(|| bundle.pointer("/dsseEnvelope/signatures/0/sig"))
        .and_then(base64)
        .unwrap_or_default();
    Some(Case { name: name.to_owned(), leaf, timestamps, signature, root: trusted_root(&root) })
}

/// Every bundle that is JSON, by its case.
pub(crate) fn bundles() -> Vec<(String, Value)> {
    let bundle = |name: String| {
        let text = read(&format!("{CASES}/{name}/bundle.sigstore.json"))?;
        Some((name, serde_json::from_slice(&text).ok()?))
    };
    names().into_iter().filter_map(bundle).collect()
}

/// The trusted root of the public-good instance.
pub(crate) fn public_good() -> Value {
    serde_json::from_slice(&read(PUBLIC_GOOD).expect("the vectors lie beside the workspace")).unwrap()
}

fn trusted_root(json: &[u8]) -> Root {
    let root: Value = serde_json::from_slice(json).expect("a trusted root is JSON");
    let chains = |member: &str| {
        let chain = |authority: &Value| {
            list(&authority["certChain"]["certificates"])
                .iter()
                .map(|entry| Certificate::from_der(&base64(&entry["rawBytes"]).unwrap()).unwrap())
                .collect()
        };
        list(&root[member]).iter().map(chain).collect()
    };
    let ct_keys = list(&root["ctlogs"])
        .iter()
        // The staging instance also names a log by a bare RSA key, which is no SPKI; no vector is signed by it.
        .filter_map(|log| PublicKey::from_spki_der(&base64(&log["publicKey"]["rawBytes"])?).ok())
        .collect();
    Root {
        certificate_authorities: chains("certificateAuthorities"),
        timestamp_authorities: chains("timestampAuthorities"),
        ct_keys,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn base64(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

#[expect(clippy::disallowed_methods, reason = "tests read vector files")]
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(CASES).expect("the vectors lie beside the workspace");
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[expect(clippy::disallowed_methods, reason = "tests read vector files")]
fn read(path: &str) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}
