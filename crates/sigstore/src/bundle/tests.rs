// SPDX-License-Identifier: Apache-2.0
//! Bundles: what is read, what is refused and why, and that what is written is read back.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::verify::vectors::{case, cases};

fn happy() -> Value {
    serde_json::from_slice(&case("rekor2-happy-path").bundle).unwrap()
}

fn parse(bundle: &Value) -> Result<Bundle, BundleError> {
    Bundle::parse(bundle.to_string().as_bytes())
}

/// The happy bundle with one place changed, and why it is refused.
fn check(place: &str, value: Value, expect: BundleError) {
    let mut bundle = happy();
    let (parent, member) = place.rsplit_once('/').unwrap();
    bundle.pointer_mut(parent).unwrap()[member] = value;
    assert_eq!(parse(&bundle), Err(expect), "{place}");
}

const ENTRY: &str = "/verificationMaterial/tlogEntries/0";

#[test]
fn what_is_written_is_read_back() {
    let mut read = 0;
    for case in cases() {
        let Ok(bundle) = Bundle::parse(&case.bundle) else { continue };
        let written = bundle.to_json();
        // An older bundle is written in the present version.
        let bundle = Bundle { version: Version::V0_3, ..bundle };
        assert_eq!(Bundle::parse(&written).as_ref(), Ok(&bundle), "{}", case.name);
        read += 1;
    }
    assert!(read > 20, "{read}");
}

#[test]
fn the_public_form_is_written() {
    let bundle = parse(&happy()).unwrap();
    let written: Value = serde_json::from_slice(&bundle.to_json()).unwrap();
    assert_eq!(written, happy());
}

#[test]
fn the_first_entry_of_a_log_is_written_whole() {
    let mut bundle = happy();
    let entry = bundle.pointer_mut(ENTRY).unwrap();
    entry["logIndex"] = json!("0");
    entry["inclusionProof"]["logIndex"] = json!("0");
    entry["inclusionProof"]["hashes"] = json!([]);
    let written: Value = serde_json::from_slice(&parse(&bundle).unwrap().to_json()).unwrap();
    assert_eq!(written, bundle);
}

#[test]
fn both_spellings_of_version_0_3_are_read() {
    let mut bundle = happy();
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.3");
    assert_eq!(parse(&bundle), parse(&happy()));
    for found in ["", "application/vnd.dev.sigstore.bundle.v0.4+json", "application/vnd.dev.sigstore.bundle.v0.3+JSON"]
    {
        check("/mediaType", json!(found), BundleError::MediaType { found: found.into() });
    }
}

/// The happy bundle as version 0.2, with these certificates in its chain.
fn with_chain(certificates: &[Value]) -> Value {
    let mut bundle = happy();
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    material.remove("certificate");
    material.insert("x509CertificateChain".into(), json!({ "certificates": certificates }));
    bundle
}

#[test]
fn the_first_certificate_of_a_version_0_2_chain_is_the_signers() {
    let leaf = happy().pointer("/verificationMaterial/certificate").unwrap().clone();
    let root: Value = serde_json::from_slice(&case("rekor2-happy-path").root).unwrap();
    let authority = root.pointer("/certificateAuthorities/0/certChain/certificates").unwrap();
    let (intermediate, root) = (authority[0].clone(), authority[1].clone());
    for chain in [vec![leaf.clone()], vec![leaf.clone(), intermediate.clone()]] {
        let bundle = parse(&with_chain(&chain)).unwrap();
        assert_eq!(bundle.version(), Version::V0_2);
        assert_eq!(bundle.certificate(), parse(&happy()).unwrap().certificate());
    }
    assert_eq!(parse(&with_chain(&[])), Err(BundleError::Missing { member: "certificate" }));
    assert_eq!(parse(&with_chain(&[intermediate.clone(), leaf.clone()])), Err(BundleError::NotALeaf));
    assert_eq!(parse(&with_chain(&[leaf.clone(), intermediate.clone(), root])), Err(BundleError::RootInChain));
    let many = BundleError::TooMany { member: "certificates", limit: CHAIN_MAX, found: CHAIN_MAX + 1 };
    assert_eq!(parse(&with_chain(&vec![leaf.clone(); CHAIN_MAX + 1])), Err(many));
    // A chain is a matter of version 0.2 alone.
    let mut relabelled = with_chain(&[leaf]);
    relabelled["mediaType"] = json!(MEDIA_TYPE);
    assert_eq!(parse(&relabelled), Err(BundleError::Missing { member: "certificate" }));
    let mut relabelled = happy();
    relabelled["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
    assert_eq!(parse(&relabelled), Err(BundleError::Missing { member: "x509CertificateChain" }));
}

#[test]
fn what_is_missing_or_doubled_is_refused() {
    let missing = |member| BundleError::Missing { member };
    check("/verificationMaterial", Value::Null, missing("verificationMaterial"));
    check("/messageSignature", Value::Null, missing("messageSignature"));
    check("/messageSignature/signature", json!(""), missing("signature"));
    check("/verificationMaterial/certificate", Value::Null, missing("certificate"));
    check("/dsseEnvelope", json!({}), BundleError::Both { first: "messageSignature", second: "dsseEnvelope" });
    let both = |second| BundleError::Both { first: "certificate", second };
    check("/verificationMaterial/publicKey", json!({"hint": "x"}), both("publicKey"));
    check("/verificationMaterial/x509CertificateChain", json!({"certificates": []}), both("x509CertificateChain"));
}

#[test]
fn digests_are_of_a_known_algorithm_and_its_length() {
    let digest = "/messageSignature/messageDigest";
    let unknown = BundleError::DigestAlgorithm { found: "SHA1".into() };
    check(&format!("{digest}/algorithm"), json!("SHA1"), unknown);
    let short = DigestError { algorithm: HashAlgorithm::Sha256, found_bytes: 3 };
    check(&format!("{digest}/digest"), json!("AAAA"), BundleError::Digest(short));
}

#[test]
fn log_entries_are_whole_and_say_nothing_unsigned() {
    let entry = |member: &str, value, error| {
        check(&format!("{ENTRY}/{member}"), value, BundleError::Entry { index: 0, error });
    };
    let missing = |member| LogEntryError::Missing { member };
    entry("logId", Value::Null, missing("logId"));
    entry("logId/keyId", json!("AAAA"), LogEntryError::LogIdLength { bytes: 3 });
    entry("kindVersion", Value::Null, missing("kindVersion"));
    entry("canonicalizedBody", json!(""), missing("canonicalizedBody"));
    entry("inclusionProof", Value::Null, missing("inclusionProof"));
    entry("inclusionProof/checkpoint", Value::Null, missing("checkpoint"));
    entry("inclusionProof/checkpoint/envelope", json!(""), missing("checkpoint"));
    entry("inclusionProof/hashes", json!(["AAAA"]), LogEntryError::HashLength { bytes: 3 });
    entry("integratedTime", json!("-1"), LogEntryError::Negative { member: "integratedTime", value: -1 });
    let promise = json!({"signedEntryTimestamp": "AAAA"});
    entry("inclusionPromise", promise, LogEntryError::Unsigned { member: "inclusionPromise" });
    entry(
        "kindVersion/kind",
        json!("rekord"),
        LogEntryError::Unsupported { kind: "rekord".into(), version: "0.0.2".into() },
    );
}

#[test]
fn a_negative_index_is_refused() {
    let mut bundle = happy();
    let entry = bundle.pointer_mut(ENTRY).unwrap();
    entry["logIndex"] = json!("-1");
    entry["inclusionProof"]["logIndex"] = json!("-1");
    let error = LogEntryError::Negative { member: "logIndex", value: -1 };
    assert_eq!(parse(&bundle), Err(BundleError::Entry { index: 0, error }));
}

#[test]
fn caps_are_kept() {
    let root_hash = happy().pointer(&format!("{ENTRY}/inclusionProof/rootHash")).unwrap().clone();
    let too_large =
        |member, limit, found| BundleError::Entry { index: 0, error: LogEntryError::TooLarge { member, limit, found } };
    let hashes = vec![root_hash; crate::rekor::PROOF_HASHES_MAX + 1];
    let found = crate::rekor::PROOF_HASHES_MAX + 1;
    check(&format!("{ENTRY}/inclusionProof/hashes"), json!(hashes), too_large("proof", found - 1, found));
    let checkpoint = "x".repeat(crate::rekor::CHECKPOINT_BYTES_MAX + 1);
    let found = checkpoint.len();
    let place = format!("{ENTRY}/inclusionProof/checkpoint/envelope");
    check(&place, json!(checkpoint), too_large("checkpoint", found - 1, found));

    let entry = happy().pointer(ENTRY).unwrap().clone();
    check("/verificationMaterial/tlogEntries", json!([entry, entry]), BundleError::DuplicateEntry { index: 1 });
    let found = ENTRIES_MAX + 1;
    let many = BundleError::TooMany { member: "log entries", limit: ENTRIES_MAX, found };
    check("/verificationMaterial/tlogEntries", json!(vec![entry; found]), many);

    let place = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
    let token = happy().pointer(place).unwrap()[0].clone();
    check(place, json!([token, token]), BundleError::DuplicateTimestamp { index: 1 });
    let many = BundleError::TooMany { member: "timestamps", limit: TIMESTAMPS_MAX, found: TIMESTAMPS_MAX + 1 };
    check(place, json!(vec![token; TIMESTAMPS_MAX + 1]), many);
}

#[test]
fn the_certificate_of_an_authority_signs_no_files() {
    let root: Value = serde_json::from_slice(&case("rekor2-happy-path").root).unwrap();
    let authority = root.pointer("/certificateAuthorities/0/certChain/certificates/0/rawBytes").unwrap();
    check("/verificationMaterial/certificate/rawBytes", authority.clone(), BundleError::NotALeaf);
}

proptest! {
    #[test]
    fn parsing_is_total(place in 0_usize..20_000, byte in any::<u8>()) {
        let mut text = case("rekor2-happy-path").bundle;
        let place = place % text.len();
        text[place] = byte;
        if let Ok(bundle) = Bundle::parse(&text) {
            prop_assert_eq!(Bundle::parse(&bundle.to_json()), Ok(bundle));
        }
    }
}
