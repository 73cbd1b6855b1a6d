// SPDX-License-Identifier: Apache-2.0
//! Leaves and requests: real ones, and one for each check.

use proptest::prelude::*;
use serde_json::{Value, json};
use touchmark_keys::{KeyFamily, sha256};

use super::*;
use crate::bundle::{Bundle, Content};
use crate::verify::vectors::{Case, case, cases};
use crate::wire::WireError;

/// The entry that a log makes of a bundle, put together by hand.
fn record(case: &Case) -> HashedRekord {
    let bundle = Bundle::parse(&case.bundle).unwrap();
    let digest = match bundle.content() {
        Content::Message { .. } => touchmark_keys::digest(HashAlgorithm::Sha256, &case.artifact),
        Content::Envelope(envelope) => touchmark_keys::digest(HashAlgorithm::Sha256, &envelope.pae()),
    };
    let verifier = Verifier::Certificate { der: bundle.certificate().unwrap().der().to_vec() };
    HashedRekord::new(digest, bundle.signature().to_vec(), verifier, Scheme::EcdsaP256Sha256).unwrap()
}

fn real_record() -> HashedRekord {
    record(&case("rekor2-happy-path"))
}

fn request() -> Value {
    serde_json::from_slice(&real_record().to_request().to_json()).unwrap()
}

fn parse(request: &Value) -> Result<VerifiedHashedRekord, RequestError> {
    parse_request(request.to_string().as_bytes())
}

#[test]
fn the_leaf_of_every_real_bundle_is_rebuilt_byte_for_byte() {
    let mut rebuilt = 0;
    for case in cases().iter().filter(|case| case.name.starts_with("rekor2-") && !case.must_fail()) {
        let Ok(bundle) = Bundle::parse(&case.bundle) else { continue };
        let record = record(case);
        let leaf = record.leaf_bytes();
        assert_eq!(
            String::from_utf8_lossy(&leaf),
            String::from_utf8_lossy(bundle.entries()[0].body()),
            "{}",
            case.name
        );
        rebuilt += 1;
    }
    assert!(rebuilt >= 10, "{rebuilt}");
}

#[test]
fn the_leaf_is_canonical_json() {
    let record = real_record();
    let key = Verifier::PublicKey { spki_der: record.public_key().spki_der().to_vec() };
    let keyed = HashedRekord::new(record.digest().clone(), vec![0xfb, 0xff, 0xfe], key, record.scheme()).unwrap();
    for record in [record, keyed] {
        let leaf = record.leaf_bytes();
        let value: Value = serde_json::from_slice(&leaf).unwrap();
        assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), leaf);
    }
}

#[test]
fn a_real_request_is_accepted_and_makes_the_real_leaf() {
    let accepted = parse(&request()).unwrap();
    assert_eq!(accepted.record(), &real_record());
}

#[test]
fn snake_case_and_enum_numbers_are_the_same_request() {
    let text = real_record().to_request().to_json();
    let text = String::from_utf8(text).unwrap();
    let snake = text
        .replace("hashedRekordRequestV002", "hashed_rekord_request_v002")
        .replace("x509Certificate", "x509_certificate")
        .replace("rawBytes", "raw_bytes")
        .replace("keyDetails", "key_details")
        .replace("\"PKIX_ECDSA_P256_SHA_256\"", "5");
    assert_ne!(snake, text);
    assert_eq!(parse_request(snake.as_bytes()), parse_request(text.as_bytes()));
    assert!(parse_request(snake.as_bytes()).is_ok());
}

/// Changes one place of the real request; `null` takes the member away.
fn changed(place: &str, value: Value) -> Value {
    let mut request = request();
    *request.pointer_mut(&format!("/hashedRekordRequestV002{place}")).unwrap() = value;
    request
}

#[test]
fn each_check_of_a_request_refuses_in_the_public_words() {
    use EntryError::{AlgorithmRefused, KeyType, NoDigest, NoSignature, NoVerifier};
    let refused = |name: &str| AlgorithmRefused { key_details: name.to_owned() };
    let invalid = |place: &str, value: Value, reason: EntryError| {
        let error = parse(&changed(place, value)).unwrap_err();
        assert_eq!(error, RequestError::Invalid(reason), "{place}");
        assert_eq!(error.to_string(), "invalid hashedrekord request");
    };
    invalid("/signature", Value::Null, NoSignature);
    invalid("/signature/content", json!(""), NoSignature);
    invalid("/signature/verifier", Value::Null, NoVerifier);
    invalid("/digest", json!(""), NoDigest);
    invalid("/signature/verifier/x509Certificate", Value::Null, NoVerifier);
    invalid("/signature/verifier/x509Certificate/rawBytes", json!(""), NoVerifier);
    invalid("/signature/verifier/keyDetails", Value::Null, refused("PUBLIC_KEY_DETAILS_UNSPECIFIED"));
    invalid("/signature/verifier/keyDetails", json!("PKIX_RSA_PSS"), refused("PKIX_RSA_PSS"));
    let scheme = Scheme::EcdsaP384Sha384;
    invalid(
        "/signature/verifier/keyDetails",
        json!("PKIX_ECDSA_P384_SHA_384"),
        KeyType { scheme, found: touchmark_keys::KeyType::EcdsaP256 },
    );
    let short = DigestError { algorithm: HashAlgorithm::Sha256, found_bytes: 3 };
    invalid("/digest", json!("AAAA"), EntryError::Digest(short));
    invalid("/signature/content", json!("AAAA"), EntryError::Signature(SignatureError::Invalid));
    let other = STANDARD.encode(sha256(b"another artifact"));
    invalid("/digest", json!(other), EntryError::Signature(SignatureError::Invalid));
    let certificate = parse(&changed("/signature/verifier/x509Certificate/rawBytes", json!("AAAA"))).unwrap_err();
    assert!(matches!(certificate, RequestError::Invalid(EntryError::Certificate(_))));
}

#[test]
fn a_request_of_another_type_is_refused_in_the_public_words() {
    for body in ["{}", r#"{"dsseRequestV002":{"envelope":{},"verifiers":[]}}"#, r#"{"hashedRekordRequestV002":null}"#] {
        let error = parse_request(body.as_bytes()).unwrap_err();
        assert_eq!(error, RequestError::NotHashedRekord);
        assert_eq!(error.to_string(), "invalid type, must be hashedrekord");
    }
    let unknown = parse(&changed("/signature/verifier/keyDetails", json!("PKIX_NEW"))).unwrap_err();
    assert_eq!(unknown.to_string(), r#"proto: invalid value for enum field keyDetails: "PKIX_NEW""#);
    let mut member = request();
    member["x"] = json!(1);
    assert!(matches!(parse(&member), Err(RequestError::Wire(WireError::UnknownMember { .. }))));
    assert_eq!(parse_request(b"{").unwrap_err().to_string(), "unexpected EOF");
}

#[test]
fn a_log_takes_the_schemes_of_digests_that_are_current_and_no_pss() {
    use touchmark_keys::Scheme::*;
    let taken = [
        EcdsaP256Sha256,
        EcdsaP384Sha384,
        EcdsaP521Sha512,
        Ed25519ph,
        RsaPkcs1v15Sha256_2048,
        RsaPkcs1v15Sha256_3072,
        RsaPkcs1v15Sha256_4096,
    ];
    for scheme in Scheme::ALL.into_iter().filter(|scheme| scheme.key_type().family() != KeyFamily::Rsa) {
        let key = crate::workshop::Key::new(scheme.key_type()).public();
        let verifier = Verifier::PublicKey { spki_der: key.spki_der().to_vec() };
        let digest = touchmark_keys::digest(scheme.hash().unwrap_or(HashAlgorithm::Sha512), b"x");
        let refused = EntryError::AlgorithmRefused { key_details: scheme.key_details().to_owned() };
        let record = HashedRekord::new(digest, vec![1; 64], verifier, scheme);
        assert_eq!(record.err(), (!taken.contains(&scheme)).then_some(refused), "{scheme}");
    }
    let rsa = crate::workshop::Key::new(touchmark_keys::KeyType::Rsa2048).public();
    for scheme in rsa.schemes() {
        let taken = digest_algorithm(*scheme, &rsa).is_ok();
        assert_eq!(taken, *scheme == RsaPkcs1v15Sha256_2048, "{scheme}");
    }
}

#[test]
fn a_pure_ed25519_key_is_refused_and_a_prehashed_one_is_an_entry() {
    use crate::workshop::Key;
    let key = Key::new(touchmark_keys::KeyType::Ed25519).public();
    assert_eq!(scheme_for(&key), Scheme::Ed25519ph);
    let verifier = Verifier::PublicKey { spki_der: key.spki_der().to_vec() };
    let digest = touchmark_keys::digest(HashAlgorithm::Sha512, b"x");
    let record = |scheme| HashedRekord::new(digest.clone(), vec![1; 64], verifier.clone(), scheme);
    assert!(record(Scheme::Ed25519ph).is_ok());
    let refused = EntryError::AlgorithmRefused { key_details: "PKIX_ED25519".into() };
    assert_eq!(record(Scheme::Ed25519), Err(refused));
}

#[test]
fn an_entry_has_the_digest_of_its_algorithm() {
    let record = real_record();
    let digest = touchmark_keys::digest(HashAlgorithm::Sha512, b"x");
    let wrong = HashedRekord::new(digest, vec![1], record.verifier().clone(), record.scheme());
    let (scheme, expected, found) = (Scheme::EcdsaP256Sha256, HashAlgorithm::Sha256, HashAlgorithm::Sha512);
    assert_eq!(wrong, Err(EntryError::DigestAlgorithm { scheme, expected, found }));
}

#[test]
fn a_leaf_that_no_tile_can_hold_is_refused() {
    let record = real_record();
    let long = HashedRekord::new(record.digest().clone(), vec![1; 60_000], record.verifier().clone(), record.scheme());
    assert!(matches!(long, Err(EntryError::TooLarge { bytes }) if bytes > LEAF_BYTES_MAX));
}

#[test]
fn log_entries_are_written_as_they_were_read() {
    let case = case("rekor2-happy-path");
    let bundle = crate::wire::bundle::Bundle::from_json(&case.bundle).unwrap();
    let entry = &bundle.verification_material.unwrap().tlog_entries[0];
    assert_eq!(&LogEntry::from_wire(entry.clone()).unwrap().to_wire(), entry);
}

proptest! {
    #[test]
    fn requests_are_read_totally(place in 0_usize..4000, byte in any::<u8>()) {
        let mut text = real_record().to_request().to_json();
        let place = place % text.len();
        text[place] = byte;
        let _ = parse_request(&text);
    }
}
