// SPDX-License-Identifier: Apache-2.0
//! Bodies of Rekor v1: those of the public log, and all that is malformed in them.

use proptest::prelude::*;
use serde_json::{Value, json};
use touchmark_keys::{PublicKey, Scheme};

use super::render::{render_dsse, render_hashedrekord, render_intoto};
use super::*;
use crate::vectors;

/// The entries of Rekor v1 in the conformance bundles whose bodies are whole: their case, kind, body and JSON.
fn entries() -> Vec<(String, EntryKind, Vec<u8>, Value)> {
    // The bodies of these cases are incomplete or damaged.
    let damaged = [
        "bundle-empty-certificate-chain_fail",
        "bundle-invalid-base64-signature_fail",
        "bundle-negative-log-index_fail",
        "bundle-unknown-version_fail",
        "intoto-log-entry-mismatch_fail",
    ];
    let mut entries = Vec::new();
    for (name, bundle) in vectors::bundles() {
        for entry in bundle["verificationMaterial"]["tlogEntries"].as_array().into_iter().flatten() {
            let text = |member: &str| entry["kindVersion"][member].as_str().unwrap_or_default();
            let Some(kind) = EntryKind::from_wire(text("kind"), text("version")) else { continue };
            if kind != EntryKind::HashedRekordV2 && !damaged.contains(&name.as_str()) {
                let body = vectors::base64(&entry["canonicalizedBody"]).unwrap();
                entries.push((name.clone(), kind, body, entry.clone()));
            }
        }
    }
    assert!(entries.len() > 30, "the suite has shrunk to {} entries of Rekor v1", entries.len());
    entries
}

/// One body of each kind.
fn samples() -> [(EntryKind, Vec<u8>); 3] {
    let sample = |kind| {
        let found = entries().into_iter().find(|entry| entry.1 == kind);
        (kind, found.expect("the suite has an entry of every kind").2)
    };
    [sample(EntryKind::HashedRekordV1), sample(EntryKind::DsseV1), sample(EntryKind::IntotoV2)]
}

fn rendered(body: &BodyV1) -> Vec<u8> {
    match body {
        BodyV1::HashedRekord { digest, signature, verifier } => {
            let signature = SignatureV1 { signature: signature.clone(), verifier: verifier.clone() };
            render_hashedrekord(digest, &signature)
        }
        BodyV1::Dsse { payload_hash, envelope_hash, signatures } => {
            render_dsse(envelope_hash, payload_hash, signatures)
        }
        BodyV1::Intoto { payload_hash, payload_type, envelope_hash, signatures } => {
            render_intoto(payload_type, envelope_hash, payload_hash, signatures)
        }
    }
}

#[test]
fn public_bodies_are_read_and_rendered_to_the_same_bytes() {
    for (name, kind, body, _) in entries() {
        let read = parse_body(kind, &body).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = rendered(&read);
        assert_eq!(parse_body(kind, &again).unwrap(), read, "{name}");
        // The one entry that no log made carries its payload.
        if !body.windows(10).any(|window| window == br#""payload":"#) {
            assert_eq!(String::from_utf8(again), String::from_utf8(body), "{name}");
        }
    }
}

#[test]
fn the_set_of_the_public_log_signs_our_payload() {
    let root = vectors::public_good();
    let log = &root["tlogs"][0];
    let key = PublicKey::from_spki_der(&vectors::base64(&log["publicKey"]["rawBytes"]).unwrap()).unwrap();
    let log_id: [u8; 32] = vectors::base64(&log["logId"]["keyId"]).unwrap().try_into().unwrap();
    let mut kinds = Vec::new();
    for (name, kind, body, entry) in entries() {
        let Some(set) = vectors::base64(&entry["inclusionPromise"]["signedEntryTimestamp"]) else { continue };
        if vectors::base64(&entry["logId"]["keyId"]) != Some(log_id.to_vec()) || name.ends_with("_fail") {
            continue;
        }
        let integer = |member: &str| entry[member].as_str().unwrap().parse::<i64>().unwrap();
        let index = u64::try_from(integer("logIndex")).unwrap();
        let verify = |payload: &[u8]| key.verify(Scheme::EcdsaP256Sha256, payload, &set);
        let time = integer("integratedTime");
        assert!(verify(&set_payload(&body, time, &log_id, index)).is_ok(), "{name}");
        assert!(verify(&set_payload(&body, time + 1, &log_id, index)).is_err(), "{name}");
        assert!(verify(&set_payload(&body, time, &log_id, index + 1)).is_err(), "{name}");
        assert!(verify(&set_payload(&body, time, &[0; 32], index)).is_err(), "{name}");
        kinds.push(kind);
    }
    assert!(kinds.contains(&EntryKind::HashedRekordV1) && kinds.contains(&EntryKind::DsseV1), "{kinds:?}");
}

#[test]
fn a_body_of_another_kind_than_its_entry_is_called_by_its_name() {
    for (kind, body) in samples() {
        for other in EntryKind::ALL.into_iter().filter(|other| *other != kind) {
            let expect = match other {
                EntryKind::HashedRekordV2 => BodyError::NotV1 { kind: other },
                expected => {
                    BodyError::Kind { expected, kind: kind.name().to_owned(), version: kind.version().to_owned() }
                }
            };
            assert_eq!(parse_body(other, &body), Err(expect));
        }
        let mut newer: Value = serde_json::from_slice(&body).unwrap();
        newer["apiVersion"] = json!("0.0.9");
        let expect = BodyError::Kind { expected: kind, kind: kind.name().to_owned(), version: "0.0.9".to_owned() };
        assert_eq!(parse_body(kind, &serde_json::to_vec(&newer).unwrap()), Err(expect));
    }
}

fn check(kind: EntryKind, pointer: &str, value: &Value, expect: &BodyError) {
    let body = samples().into_iter().find(|sample| sample.0 == kind).unwrap().1;
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
    assert_eq!(parse_body(kind, &serde_json::to_vec(&body).unwrap()).as_ref(), Err(expect), "{pointer} = {value}");
}

#[test]
fn each_thing_that_a_body_must_have_is_demanded() {
    let missing = |member| BodyError::Missing { member };
    let hashed = |pointer, member| check(EntryKind::HashedRekordV1, pointer, &Value::Null, &missing(member));
    hashed("/spec", "spec");
    hashed("/spec/data", "data");
    hashed("/spec/data/hash", "hash");
    hashed("/spec/signature", "signature");
    hashed("/spec/signature/content", "signature");
    hashed("/spec/signature/publicKey", "publicKey");
    let dsse = |pointer, member| check(EntryKind::DsseV1, pointer, &Value::Null, &missing(member));
    dsse("/spec", "spec");
    dsse("/spec/payloadHash", "payloadHash");
    dsse("/spec/envelopeHash", "envelopeHash");
    dsse("/spec/signatures", "signatures");
    dsse("/spec/signatures/0/signature", "signature");
    check(EntryKind::DsseV1, "/spec/signatures/0/verifier", &Value::Null, &BodyError::Verifier);
    let intoto = |pointer, member| check(EntryKind::IntotoV2, pointer, &Value::Null, &missing(member));
    intoto("/spec", "spec");
    intoto("/spec/content", "content");
    intoto("/spec/content/hash", "hash");
    intoto("/spec/content/payloadHash", "payloadHash");
    intoto("/spec/content/envelope", "envelope");
    intoto("/spec/content/envelope/payloadType", "payloadType");
    intoto("/spec/content/envelope/signatures", "signatures");
    intoto("/spec/content/envelope/signatures/0/sig", "signature");
    check(EntryKind::IntotoV2, "/spec/content/envelope/signatures/0/publicKey", &Value::Null, &BodyError::Verifier);
}

#[test]
fn values_of_another_form_are_refused() {
    let hashed = |pointer: &str, value: Value, expect: BodyError| {
        check(EntryKind::HashedRekordV1, pointer, &value, &expect);
    };
    let (algorithm, value) = ("/spec/data/hash/algorithm", "/spec/data/hash/value");
    for found in ["", "sha1", "md5", "SHA2_256", "SHA256"] {
        hashed(algorithm, json!(found), BodyError::HashAlgorithm { found: found.to_owned() });
    }
    hashed(value, json!("zz"), BodyError::HashText);
    hashed(value, json!("abc"), BodyError::HashText);
    hashed(value, json!("ab"), Digest::new(HashAlgorithm::Sha256, vec![0xab]).unwrap_err().into());
    let key = "/spec/signature/publicKey/content";
    for text in [
        "",
        "no PEM",
        "-----BEGIN PUBLIC KEY-----\nAA==\n",
        "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----",
    ] {
        hashed(key, json!(STANDARD.encode(text)), BodyError::Verifier);
    }
    let sig = "/spec/content/envelope/signatures/0/sig";
    check(EntryKind::IntotoV2, sig, &json!(STANDARD.encode([0xff])), &BodyError::InnerBase64 { member: "sig" });
    let payload = "/spec/content/envelope/payload";
    let other = json!(STANDARD.encode(STANDARD.encode("{}")));
    check(EntryKind::IntotoV2, payload, &other, &BodyError::PayloadDisagrees);
    let many = json!(vec![json!({"signature": "AA=="}); SIGNATURES_MAX + 1]);
    let expect = BodyError::TooManySignatures { found: SIGNATURES_MAX + 1 };
    check(EntryKind::DsseV1, "/spec/signatures", &many, &expect);
}

#[test]
fn members_that_are_unknown_or_stand_twice_are_refused() {
    let refused = |text: &str| parse_body(EntryKind::HashedRekordV1, text.as_bytes()).unwrap_err();
    let unknown = refused(r#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{},"x":1}"#);
    assert!(matches!(unknown, BodyError::Wire(WireError::UnknownMember { .. })), "{unknown}");
    let unknown = refused(r#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"url":"https://x"}}}"#);
    assert!(matches!(unknown, BodyError::Wire(WireError::UnknownMember { .. })), "{unknown}");
    let twice = refused(r#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{},"spec":{}}"#);
    assert!(matches!(twice, BodyError::Wire(WireError::DuplicateMember { .. })), "{twice}");
    let large = " ".repeat(BODY_BYTES_MAX + 1);
    assert_eq!(refused(&large), BodyError::Wire(WireError::TooLarge { limit: BODY_BYTES_MAX }));
}

#[test]
fn a_verifier_is_one_key_or_a_chain_with_its_leaf_first() {
    let leaf = pem::encode("CERTIFICATE", b"leaf");
    let other = pem::encode("CERTIFICATE", b"other");
    let key = pem::encode("PUBLIC KEY", b"key");
    let check = |text: &str, expect: Result<Verifier, BodyError>| assert_eq!(verifier_of(text.as_bytes()), expect);
    check(&leaf, Ok(Verifier::Certificate { der: b"leaf".to_vec() }));
    check(&format!("{leaf}{other}"), Ok(Verifier::Certificate { der: b"leaf".to_vec() }));
    check(&key, Ok(Verifier::PublicKey { spki_der: b"key".to_vec() }));
    check(&format!("{key}{key}"), Err(BodyError::Verifier));
    check(&format!("{key}{leaf}"), Err(BodyError::Verifier));
    check(&format!("{leaf}{key}"), Err(BodyError::Verifier));
    check(&leaf.repeat(VERIFIER_CERTIFICATES_MAX + 1), Err(BodyError::Verifier));
    assert_eq!(verifier_of(&[0xff]), Err(BodyError::Verifier));
}

/// cosign#4648 to #4653, GHSA-frqx-jfcm-6jjr: servers and clients fell over bodies in which something was missing.
#[test]
fn cosign_4648_to_4653_and_ghsa_frqx_jfcm_6jjr_no_value_of_any_member_makes_the_reader_fall() {
    for (kind, body) in samples() {
        let whole: Value = serde_json::from_slice(&body).unwrap();
        for pointer in pointers(&whole) {
            for value in
                [json!(null), json!(true), json!(-1), json!(""), json!("AA=="), json!([]), json!({}), json!([null])]
            {
                let mut body = whole.clone();
                *body.pointer_mut(&pointer).unwrap() = value;
                let _ = parse_body(kind, &serde_json::to_vec(&body).unwrap());
            }
        }
    }
}

fn pointers(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        found.extend(pointers(child).into_iter().map(|rest| format!("/{name}{rest}")));
    }
    found
}

proptest! {
    #[test]
    fn is_total(bytes in proptest::collection::vec(any::<u8>(), 0..256), kind in 0_usize..4) {
        let _ = parse_body(EntryKind::ALL[kind], &bytes);
    }
}

#[test]
fn is_total_on_damaged_bodies() {
    let samples = samples();
    proptest!(|(at: prop::sample::Index, byte: u8, cut: bool, sample in 0_usize..3)| {
        let (kind, mut body) = samples[sample].clone();
        let at = at.index(body.len());
        if cut { body.truncate(at) } else { body[at] = byte }
        let _ = parse_body(kind, &body);
    });
}
