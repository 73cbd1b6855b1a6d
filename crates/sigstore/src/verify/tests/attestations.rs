// SPDX-License-Identifier: Apache-2.0
//! Envelopes and statements: what binds them to a file, to their log entry and to what was asked for.

use serde_json::{Value, json};
use touchmark_keys::{HashAlgorithm, KeyType, digest};

use super::{code, code_of, judge};
use crate::bundle::Content;
use crate::dsse::IN_TOTO_PAYLOAD_TYPE;
use crate::policy::{Matcher, Policy};
use crate::rekor::EntryKind;
use crate::verify::private::{ARTIFACT, Instance, PREDICATE, Signing, demanding, minutes, policy, statement};
use crate::verify::{Artifact, verify};
use crate::workshop::Key;

/// A payload of alice in every log.
fn everywhere(instance: &Instance, payload_type: &str, payload: &[u8]) -> Vec<Signing> {
    let key = Key::new(KeyType::EcdsaP256);
    let signing = || Signing::of_envelope(&key, instance.of_alice(&key), payload_type, payload);
    vec![
        signing().timestamped(&instance.tsa, minutes(1)).in_v2(&instance.rekor),
        signing().in_v1(&instance.rekor_v1, EntryKind::DsseV1),
        signing().in_v1(&instance.rekor_v1, EntryKind::IntotoV2),
    ]
}

fn check_payload(payload_type: &str, payload: &[u8], expect: Result<(), &'static str>) {
    let instance = Instance::new();
    for signing in everywhere(&instance, payload_type, payload) {
        let found = code(&signing, &instance.root(), &policy());
        assert_eq!(found, expect, "{payload_type} {}", String::from_utf8_lossy(payload));
    }
}

fn asking_for(predicate_type: &str) -> Policy {
    demanding(&policy(), |demands| demands.predicate_type = Some(Matcher::exact(predicate_type).unwrap()))
}

#[test]
fn a_statement_comes_out_as_it_was_signed() {
    let instance = Instance::new();
    for signing in everywhere(&instance, IN_TOTO_PAYLOAD_TYPE, &statement(ARTIFACT)) {
        let verified = judge(&signing, &instance.root(), &asking_for(PREDICATE)).unwrap();
        let stated = verified.statement().unwrap();
        assert_eq!((stated.predicate_type(), stated.subjects()[0].name()), (PREDICATE, "artifact"));
        assert_eq!(stated.predicate().unwrap(), json!({"said": true}));
    }
}

#[test]
fn only_the_predicate_that_was_asked_for_satisfies() {
    let instance = Instance::new();
    for signing in everywhere(&instance, IN_TOTO_PAYLOAD_TYPE, &statement(ARTIFACT)) {
        for other in
            ["https://example.com/predicate/v2", "https://example.com/predicate", "HTTPS://example.com/predicate/v1"]
        {
            assert_eq!(code(&signing, &instance.root(), &asking_for(other)), Err("predicate_type_mismatch"), "{other}");
        }
    }
    // The signature of a file states nothing.
    for signing in [instance.sign(), instance.sign_v1()] {
        assert_eq!(code(&signing, &instance.root(), &asking_for(PREDICATE)), Err("statement_missing"));
    }
}

#[test]
fn a_payload_of_another_type_binds_nothing() {
    let payload = statement(ARTIFACT);
    check_payload(IN_TOTO_PAYLOAD_TYPE, &payload, Ok(()));
    for other in [
        "application/json",
        "application/vnd.in-toto+json;v=1",
        "application/vnd.in-toto",
        "Application/vnd.in-toto+json",
        " ",
    ] {
        check_payload(other, &payload, Err("statement_payload_type"));
    }
}

#[test]
fn a_statement_is_about_the_artifact_by_every_digest_that_is_known() {
    let hex_of = |hash, file: &[u8]| hex::encode(digest(hash, file).as_bytes());
    let (sha256, sha512) = (HashAlgorithm::Sha256, HashAlgorithm::Sha512);
    let about = |subjects: Value| {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": PREDICATE, "predicate": {},
        });
        statement.to_string().into_bytes()
    };
    let ours = hex_of(sha256, ARTIFACT);
    let other = b"another artifact";
    for (subjects, expect) in [
        (json!([{"name": "a", "digest": {"sha256": ours}}]), Ok(())),
        (
            json!([{"name": "x", "digest": {"sha256": hex_of(sha256, other)}}, {"name": "a", "digest": {"sha256": ours}}]),
            Ok(()),
        ),
        (json!([{"name": "a", "digest": {"sha256": ours, "sha512": hex_of(sha512, ARTIFACT)}}]), Ok(())),
        (json!([{"name": "a", "digest": {"sha256": hex_of(sha256, other)}}]), Err("statement_other_artifact")),
        (
            json!([{"name": "a", "digest": {"sha256": ours, "sha512": hex_of(sha512, other)}}]),
            Err("statement_contradicts"),
        ),
        (json!([{"name": "a", "digest": {"gitCommit": ours}}]), Err("artifact_digest_missing")),
        (json!([{"name": "a", "digest": {"sha256": ""}}]), Err("statement_malformed")),
        (json!([{"name": "a", "digest": {"sha512": ours}}]), Err("statement_malformed")),
        (json!([{"name": "a", "digest": {}}]), Err("statement_malformed")),
        (json!([]), Err("statement_malformed")),
    ] {
        check_payload(IN_TOTO_PAYLOAD_TYPE, &about(subjects), expect);
    }
}

#[test]
fn a_statement_in_which_a_member_stands_twice_is_refused() {
    let text = String::from_utf8(statement(ARTIFACT)).unwrap();
    let other = String::from_utf8(statement(b"another artifact")).unwrap();
    let subject = &other[other.find(r#""subject":"#).unwrap()..other.find(r#","predicateType""#).unwrap()];
    for twice in [
        text.replacen('{', &format!("{{{subject},"), 1),
        text.replacen(r#""predicateType""#, r#""predicateType":"x","predicateType""#, 1),
        text.replacen(r#""sha256""#, &format!(r#""sha256":"{}","sha256""#, "0".repeat(64)), 1),
        text.replacen(r#""said":true"#, r#""said":false,"said":true"#, 1),
        text.replacen('{', r#"{"Subject":[],"#, 1),
    ] {
        assert_ne!(twice, text);
        check_payload(IN_TOTO_PAYLOAD_TYPE, twice.as_bytes(), Err("statement_malformed"));
    }
}

#[test]
fn payloads_that_are_no_statements_are_refused() {
    for payload in ["", "{}", "null", "[]", "not JSON", "{\"_type\":\"https://in-toto.io/Statement/v1\"}"] {
        check_payload(IN_TOTO_PAYLOAD_TYPE, payload.as_bytes(), Err("statement_malformed"));
    }
}

#[test]
fn who_gives_a_digest_gives_one_that_the_statement_has() {
    let instance = Instance::new();
    for signing in everywhere(&instance, IN_TOTO_PAYLOAD_TYPE, &statement(ARTIFACT)) {
        let with = |hash| {
            let artifact = Artifact::from(digest(hash, ARTIFACT));
            verify(&artifact, &signing.bundle(), &instance.root(), &policy(), minutes(60))
                .map(|_| ())
                .map_err(|error| error.code())
        };
        assert_eq!(with(HashAlgorithm::Sha256), Ok(()));
        assert_eq!(with(HashAlgorithm::Sha512), Err("artifact_digest_missing"));
    }
}

#[test]
fn an_envelope_has_one_signature() {
    let instance = Instance::new();
    let signings = everywhere(&instance, IN_TOTO_PAYLOAD_TYPE, &statement(ARTIFACT));
    let mut bundle = signings[0].json();
    let good = bundle["dsseEnvelope"]["signatures"][0].clone();
    let foreign = instance.attested().json()["dsseEnvelope"]["signatures"][0].clone();
    for signatures in [json!([good, foreign]), json!([foreign, good]), json!([good, good]), json!([])] {
        bundle["dsseEnvelope"]["signatures"] = signatures;
        assert_eq!(code_of(&bundle, &instance.root(), &policy()), Err("bundle_envelope"));
    }
}

#[test]
fn envelope_and_entry_belong_together() {
    let instance = Instance::new();
    // Two statements of one key: each in the log, and neither the other's.
    let key = Key::new(KeyType::EcdsaP256);
    let material = instance.of_alice(&key);
    for kind in [EntryKind::DsseV1, EntryKind::IntotoV2, EntryKind::HashedRekordV2] {
        let signed = |payload: &[u8]| {
            let signing = Signing::of_envelope(&key, material.clone(), IN_TOTO_PAYLOAD_TYPE, payload);
            let signing = signing.timestamped(&instance.tsa, minutes(1));
            if kind == EntryKind::HashedRekordV2 {
                signing.in_v2(&instance.rekor)
            } else {
                signing.in_v1(&instance.rekor_v1, kind)
            }
        };
        let (one, other) = (signed(&statement(ARTIFACT)), signed(&statement(b"another artifact")));
        assert_eq!(code(&one, &instance.root(), &policy()), Ok(()));
        let swapped = Signing { entries: other.entries.clone(), ..one.clone() };
        assert_eq!(code(&swapped, &instance.root(), &policy()), Err("log_entry_mismatch"), "{kind}");
        // A payload under the signature of another.
        let (Content::Envelope(mut envelope), Content::Envelope(payload)) = (one.content.clone(), other.content) else {
            unreachable!()
        };
        envelope.payload = payload.payload;
        let mixed = Signing { content: Content::Envelope(envelope), ..one };
        assert_eq!(code(&mixed, &instance.root(), &policy()), Err("log_entry_mismatch"), "{kind}");
    }
}

#[test]
fn a_log_that_records_a_bad_envelope_does_not_make_it_good() {
    let instance = Instance::new();
    let forged = |payload: &[u8]| {
        let mut signing = instance.attested();
        let Content::Envelope(envelope) = &mut signing.content else { unreachable!() };
        envelope.payload = payload.to_vec();
        signing.timestamped(&instance.tsa, minutes(1))
    };
    let payload = String::from_utf8(statement(ARTIFACT)).unwrap().replace("true", "false");
    let forged = forged(payload.as_bytes());
    for logged in [
        forged.clone().in_v1(&instance.rekor_v1, EntryKind::DsseV1),
        forged.clone().in_v1(&instance.rekor_v1, EntryKind::IntotoV2),
        forged.in_v2(&instance.rekor),
    ] {
        assert_eq!(code(&logged, &instance.root(), &policy()), Err("signature_invalid"));
    }
}

/// Rekor v2 logs digests, which pure Ed25519 does not sign; of Rekor v1 the entry holds the digest of the payload alone.
#[test]
fn pure_ed25519_signs_envelopes_that_rekor_v1_logs() {
    let instance = Instance::new();
    let key = Key::new(KeyType::Ed25519);
    let signing = || {
        Signing::of_envelope(&key, instance.of_alice(&key), IN_TOTO_PAYLOAD_TYPE, &statement(ARTIFACT))
            .timestamped(&instance.tsa, minutes(1))
    };
    for kind in [EntryKind::DsseV1, EntryKind::IntotoV2] {
        assert_eq!(code(&signing().in_v1(&instance.rekor_v1, kind), &instance.root(), &policy()), Ok(()), "{kind}");
    }
    assert_eq!(code(&signing().in_v2(&instance.rekor), &instance.root(), &policy()), Err("signature_invalid"));
}
