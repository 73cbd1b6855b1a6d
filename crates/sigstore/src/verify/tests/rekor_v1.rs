// SPDX-License-Identifier: Apache-2.0
//! Entries of Rekor v1: their two indices, their promise, their checkpoint, and bodies that a lying log signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use serde_json::{Value, json};
use touchmark_keys::{HashAlgorithm, KeyType, digest};
use touchmark_tlog::leaf_hash;

use super::{code, code_of, judge, signings, twins};
use crate::bundle::Content;
use crate::rekor::v1::SignatureV1;
use crate::rekor::v1::render::{render_dsse, render_hashedrekord};
use crate::rekor::{EntryKind, Verifier};
use crate::trust::{TransparencyLog, TrustedRoot, ValidFor};
use crate::verify::TimeSource;
use crate::verify::private::{ARTIFACT, Instance, Log, Promise, Signing, minutes, policy, window};
use crate::wire::rekor::{InclusionProof, TransparencyLogEntry};
use crate::workshop::{Key, alice, noon};

fn proof(signing: &mut Signing) -> &mut InclusionProof {
    signing.entries[0].inclusion_proof.0.as_mut().unwrap()
}

#[test]
fn every_way_of_signing_is_accepted() {
    let instance = Instance::new();
    for (name, signing) in signings(&instance) {
        assert_eq!(code(&signing, &instance.root(), &policy()), Ok(()), "{name}");
    }
}

#[test]
fn an_entry_has_one_index_in_the_log_and_another_in_the_shard() {
    let instance = Instance::new();
    let (good, root) = (instance.sign_v1(), instance.root());
    let verified = judge(&good, &root, &policy()).unwrap();
    let entry = &verified.entries()[0];
    assert_eq!((entry.index().0, entry.inclusion().unwrap().tree_size().0), (4_163_433, 3));
    // The promise covers the index in the log, the proof the one in the shard: neither is taken for the other.
    let mut global_in_proof = good.clone();
    proof(&mut global_in_proof).log_index = good.entries[0].log_index;
    assert_eq!(code(&global_in_proof, &root, &policy()), Err("inclusion_proof_invalid"));
    let mut local_in_entry = good.clone();
    local_in_entry.entries[0].log_index = 2;
    assert_eq!(code(&local_in_entry, &root, &policy()), Err("promise_invalid"));
    for other in [0, 1, 3, 4] {
        let mut moved = good.clone();
        proof(&mut moved).log_index = other;
        assert_eq!(code(&moved, &root, &policy()), Err("inclusion_proof_invalid"), "{other}");
    }
}

/// Only the promise signs the index of the entry: without one the proof's is what is known.
#[test]
fn without_a_promise_the_index_is_that_of_the_proof() {
    let instance = Instance::new();
    let mut signing = instance.sign_v1().timestamped(&instance.tsa, minutes(1));
    signing.entries[0].inclusion_promise.0 = None;
    signing.entries[0].log_index = 1;
    let proved = proof(&mut signing).log_index;
    let verified = judge(&signing, &instance.root(), &policy()).unwrap();
    assert_eq!(i64::try_from(verified.entries()[0].index().0), Ok(proved));
}

#[test]
fn a_promise_covers_body_time_log_and_index() {
    let instance = Instance::new();
    let (good, root) = (instance.sign_v1(), instance.root());
    let verified = judge(&good, &root, &policy()).unwrap();
    assert!(matches!(verified.times()[0].source(), TimeSource::Promise(_)));
    assert_eq!(verified.times()[0].time(), minutes(1));
    let with = |edit: &dyn Fn(&mut TransparencyLogEntry)| {
        let mut signing = good.clone();
        edit(&mut signing.entries[0]);
        code(&signing, &root, &policy())
    };
    let invalid = Err("promise_invalid");
    assert_eq!(with(&|entry| entry.integrated_time.0 += 1), invalid);
    assert_eq!(with(&|entry| entry.integrated_time.0 = 0), Err("promise_outside_log_window"));
    assert_eq!(with(&|entry| entry.log_index += 1), invalid);
    assert_eq!(with(&|entry| entry.canonicalized_body.push(b' ')), invalid);
    // By another key, and of another entry of the same log.
    let stranger = Log::v1("rekor-v1.example");
    assert_eq!(with(&|entry| stranger.promise(entry, minutes(1))), invalid);
    let other = instance.sign_v1().entries.remove(0);
    assert_eq!(with(&|entry| entry.inclusion_promise = other.inclusion_promise.clone()), invalid);
    // A time without promise is none.
    assert_eq!(with(&|entry| entry.inclusion_promise.0 = None), Err("time_missing"));
}

#[test]
fn a_promise_is_held_to_the_windows_of_certificate_log_and_clock() {
    let instance = Instance::new();
    let at = |time, window| {
        let mut signing = instance.sign_v1();
        instance.rekor_v1.promise(&mut signing.entries[0], time);
        let mut trust = instance.trust();
        trust.logs = vec![instance.rekor_v1.trusted_in(window)];
        code(&signing, &trust.root(), &policy())
    };
    let until = |end| ValidFor::new(noon() - SignedDuration::from_hours(1), Some(end)).unwrap();
    assert_eq!(at(minutes(10), window()), Ok(()));
    assert_eq!(at(minutes(11), window()), Err("chain_outside_validity"));
    assert_eq!(at(minutes(-1), window()), Err("chain_outside_validity"));
    assert_eq!(at(minutes(24 * 60 + 6), window()), Err("promise_in_future"));
    assert_eq!(at(minutes(1), until(minutes(1))), Ok(()));
    assert_eq!(at(minutes(2), until(minutes(1))), Err("promise_outside_log_window"));
    assert_eq!(at(minutes(1), ValidFor::since(minutes(2))), Err("promise_outside_log_window"));
}

#[test]
fn a_good_timestamp_does_not_outweigh_a_promise_at_another_time() {
    let instance = Instance::new();
    let mut signing = instance.sign_v1().timestamped(&instance.tsa, minutes(1));
    assert_eq!(code(&signing, &instance.root(), &policy()), Ok(()));
    instance.rekor_v1.promise(&mut signing.entries[0], minutes(11));
    assert_eq!(code(&signing, &instance.root(), &policy()), Err("chain_outside_validity"));
    signing.entries[0].integrated_time.0 -= 1;
    assert_eq!(code(&signing, &instance.root(), &policy()), Err("promise_invalid"));
}

#[test]
fn what_a_proof_says_twice_must_be_the_same() {
    let instance = Instance::new();
    let with = |edit: &dyn Fn(&mut InclusionProof)| {
        let mut signing = instance.sign_v1();
        edit(proof(&mut signing));
        code(&signing, &instance.root(), &policy())
    };
    let inconsistent = Err("log_entry_inconsistent");
    assert_eq!(with(&|proof| proof.tree_size = 4), inconsistent);
    assert_eq!(with(&|proof| proof.root_hash[0] ^= 1), inconsistent);
    assert_eq!(with(&|proof| proof.root_hash.clear()), inconsistent);
    assert_eq!(with(&|proof| proof.hashes[0][0] ^= 1), Err("inclusion_proof_invalid"));
    assert_eq!(with(&|proof| drop(proof.hashes.pop())), Err("inclusion_proof_invalid"));
    assert_eq!(with(&|proof| proof.hashes.push(vec![0; 32])), Err("inclusion_proof_invalid"));
}

#[test]
fn a_checkpoint_is_of_a_shard_of_the_log_that_the_entry_names() {
    let instance = Instance::new();
    let (v1, other) = (&instance.rekor_v1, Log::v1("other.example"));
    let mut trust = instance.trust();
    trust.logs.push(other.trusted());
    let root = trust.root();
    let good = instance.sign_v1();
    let hashes =
        [b"one".to_vec(), b"two".to_vec(), good.entries[0].canonicalized_body.clone()].map(|leaf| leaf_hash(&leaf));
    let with = |checkpoint: String| {
        let mut signing = good.clone();
        proof(&mut signing).checkpoint.as_mut().unwrap().envelope = checkpoint;
        code(&signing, &root, &policy())
    };
    for number in ["1", "2605736670972794746"] {
        assert_eq!(with(v1.checkpoint(&format!("rekor-v1.example - {number}"), &hashes)), Ok(()));
    }
    for origin in [
        "rekor-v1.example",
        "rekor-v1.example - ",
        "rekor-v1.example - x",
        "rekor-v1.example - 1 ",
        "rekor-v1.example -1",
        "other.example - 1",
        "a.rekor-v1.example - 1",
        "rekor-v1.example.a - 1",
    ] {
        assert_eq!(with(v1.checkpoint(origin, &hashes)), Err("checkpoint_origin_mismatch"), "{origin}");
    }
    // By another log of the same root, in its own name, in this log's name, and with this log's name and hint.
    let invalid = Err("checkpoint_signature_invalid");
    assert_eq!(with(other.checkpoint(&other.origin(), &hashes)), invalid);
    let impostor = other.checkpoint(&v1.origin(), &hashes);
    assert_eq!(with(impostor.clone()), invalid);
    let line = impostor.lines().last().unwrap();
    let signature = STANDARD.decode(line.rsplit_once(' ').unwrap().1).unwrap().split_off(4);
    let hinted = STANDARD.encode([&v1.note_key().hint(), signature.as_slice()].concat());
    let collision = impostor.replace(line, &format!("\u{2014} rekor-v1.example {hinted}"));
    assert_eq!(with(collision), invalid);
}

#[test]
fn a_port_is_part_of_the_name_under_which_a_log_signs() {
    let instance = Instance::new();
    let log = Log::v1("rekor.example:3000");
    let mut signing = instance.unlogged(KeyType::EcdsaP256);
    signing = signing.in_v1(&log, EntryKind::HashedRekordV1);
    let root = |base_url: &str| {
        let mut trust = instance.trust();
        let (id, key) = (log.note_key().id(), log.key.public());
        trust.logs = vec![TransparencyLog::new(base_url.into(), id, key, log.key.scheme(), window())];
        trust.root()
    };
    assert_eq!(code(&signing, &root("http://rekor.example:3000"), &policy()), Ok(()));
    assert_eq!(code(&signing, &root("http://rekor.example"), &policy()), Err("checkpoint_signature_invalid"));
}

/// The signing, with this body instead of its own in the log: promised, in the tree, under a checkpoint.
fn logged_as(instance: &Instance, signing: &Signing, kind: EntryKind, body: Vec<u8>) -> Signing {
    Signing { entries: vec![instance.rekor_v1.promised(kind, body)], ..signing.clone() }
}

#[test]
fn a_body_is_of_the_kind_that_its_entry_names() {
    let instance = Instance::new();
    let kinds = [EntryKind::HashedRekordV1, EntryKind::DsseV1, EntryKind::IntotoV2];
    for signing in [instance.sign_v1(), instance.attested()] {
        for (named, stored) in kinds.iter().flat_map(|named| kinds.iter().map(move |stored| (*named, *stored))) {
            let made = |kind| matches!(signing.content, Content::Envelope(_)) || kind == EntryKind::HashedRekordV1;
            if !made(stored) {
                continue;
            }
            let logged = logged_as(&instance, &signing, named, signing.body_v1(stored));
            let envelope = matches!(signing.content, Content::Envelope(_));
            let expect = match (named == stored, named) {
                (false, _) => Err("log_entry_malformed"),
                // Of an envelope Rekor v1 keeps no digest of what is signed.
                (true, EntryKind::HashedRekordV1) if envelope => Err("log_entry_mismatch"),
                (true, _) => Ok(()),
            };
            assert_eq!(code(&logged, &instance.root(), &policy()), expect, "{named} holds {stored}");
        }
    }
}

#[test]
fn an_entry_of_another_kind_of_content_is_refused() {
    let instance = Instance::new();
    let (file, envelope) = (instance.sign_v1(), instance.attested());
    // The entry of an envelope, with the signature and the certificate of a file.
    for kind in [EntryKind::DsseV1, EntryKind::IntotoV2] {
        let material = file.material.clone();
        let Content::Envelope(inner) = &envelope.content else { unreachable!() };
        let mut inner = inner.clone();
        inner.signature = file.signature().to_vec();
        let disguise = Signing { material, content: Content::Envelope(inner), ..envelope.clone() };
        let logged = logged_as(&instance, &file, kind, disguise.body_v1(kind));
        assert_eq!(code(&logged, &instance.root(), &policy()), Err("log_entry_mismatch"), "{kind}");
    }
}

#[test]
fn each_part_of_a_body_is_that_of_the_bundle() {
    let instance = Instance::new();
    let key = Key::new(KeyType::EcdsaP256);
    let material = instance.of_alice(&key);
    let sha256 = |bytes: &[u8]| digest(HashAlgorithm::Sha256, bytes);
    let other = instance.certificate(&alice(), &key, &[Promise::of(&instance.ct)]);
    let others = |signing: &Signing| {
        let good = SignatureV1 { signature: signing.signature().to_vec(), verifier: signing.verifier() };
        [
            SignatureV1 { signature: key.sign(ARTIFACT), ..good.clone() },
            SignatureV1 { verifier: Verifier::Certificate { der: other.der().to_vec() }, ..good.clone() },
            SignatureV1 { verifier: Verifier::PublicKey { spki_der: key.public().spki_der().to_vec() }, ..good },
        ]
    };
    let refused = |signing: &Signing, kind, body: Vec<u8>, expect: &'static str| {
        let logged = logged_as(&instance, signing, kind, body);
        assert_eq!(code(&logged, &instance.root(), &policy()), Err(expect));
    };
    let file = Signing::of_artifact(key.public(), material.clone(), key.sign(ARTIFACT));
    let good = SignatureV1 { signature: file.signature().to_vec(), verifier: file.verifier() };
    for other in others(&file) {
        refused(&file, EntryKind::HashedRekordV1, render_hashedrekord(&sha256(ARTIFACT), &other), "log_entry_mismatch");
    }
    let body = render_hashedrekord(&sha256(b"another artifact"), &good);
    refused(&file, EntryKind::HashedRekordV1, body, "log_entry_mismatch");
    // The right file under a hash with which the key does not sign.
    let body = render_hashedrekord(&digest(HashAlgorithm::Sha512, ARTIFACT), &good);
    refused(&file, EntryKind::HashedRekordV1, body, "signature_scheme_ambiguous");

    let payload = crate::verify::private::statement(ARTIFACT);
    let envelope = Signing::of_envelope(&key, material, crate::dsse::IN_TOTO_PAYLOAD_TYPE, &payload);
    let good = SignatureV1 { signature: envelope.signature().to_vec(), verifier: envelope.verifier() };
    let dsse = |payload: &[u8], signatures: &[SignatureV1]| {
        refused(
            &envelope,
            EntryKind::DsseV1,
            render_dsse(&sha256(b"x"), &sha256(payload), signatures),
            "log_entry_mismatch",
        );
    };
    for other in others(&envelope) {
        dsse(&payload, std::slice::from_ref(&other));
        // Which of two signatures is meant cannot be known.
        dsse(&payload, &[good.clone(), other]);
    }
    dsse(&payload, &[good.clone(), good.clone()]);
    dsse(b"another payload", &[good]);
}

/// A log that stores anything and promises it: only what cannot be computed again may differ.
#[test]
fn no_twin_of_a_body_is_accepted_though_the_log_signs_it() {
    let instance = Instance::new();
    let root = instance.root();
    let stranger = |kind| -> Value {
        let signing = if kind == EntryKind::HashedRekordV1 { instance.sign_v1() } else { instance.attested() };
        serde_json::from_slice(&signing.body_v1(kind)).unwrap()
    };
    for (kind, free) in [
        (EntryKind::HashedRekordV1, vec![]),
        (EntryKind::DsseV1, vec!["/spec/envelopeHash/"]),
        (
            EntryKind::IntotoV2,
            vec![
                "/spec/content/hash/",
                "/spec/content/envelope/signatures/0/keyid",
                "/spec/content/envelope/payloadType",
            ],
        ),
    ] {
        let signing = if kind == EntryKind::HashedRekordV1 { instance.sign_v1() } else { instance.attested() };
        let body: Value = serde_json::from_slice(&signing.body_v1(kind)).unwrap();
        let (mut made, mut harmful) = (0, Vec::new());
        for twin in twins::of_document(&body, &[stranger(kind), stranger(kind)], kind.name()) {
            made += 1;
            let logged = logged_as(&instance, &signing, kind, twin.value.to_string().into_bytes());
            if code(&logged, &root, &policy()).is_err() {
                continue;
            }
            let mut places = twins::differing_places(&body, &twin.value);
            places.retain(|place| !has_same_signer(&body, &twin.value, place));
            if !places.iter().all(|place| free.iter().any(|free| place.starts_with(free))) {
                harmful.push((twin.name, places));
            }
        }
        assert!(made > 200, "only {made} twins of {kind}");
        assert!(harmful.is_empty(), "{kind}: {harmful:#?}");
    }
}

/// PEM holds the same first certificate, whatever stands behind it.
fn has_same_signer(body: &Value, twin: &Value, place: &str) -> bool {
    let first = |value: &Value| {
        let pem = STANDARD.decode(value.pointer(place)?.as_str()?).ok()?;
        Some(String::from_utf8(pem).ok()?.split_once("-----END CERTIFICATE-----")?.0.to_owned())
    };
    first(body).is_some() && first(body) == first(twin)
}

/// Two parsers would read two entries.
#[test]
fn a_body_with_a_member_twice_is_refused_though_the_log_signs_it() {
    let instance = Instance::new();
    for (signing, kind) in [
        (instance.sign_v1(), EntryKind::HashedRekordV1),
        (instance.attested(), EntryKind::DsseV1),
        (instance.attested(), EntryKind::IntotoV2),
    ] {
        let body = String::from_utf8(signing.body_v1(kind)).unwrap();
        let spec = &body[body.find(r#""spec":"#).unwrap()..body.len() - 1];
        for twice in [
            body.replacen('{', &format!("{{{spec},"), 1),
            body.replacen('{', r#"{"kind":"hashedrekord","#, 1),
            body.replacen(r#""algorithm":"sha256","#, r#""algorithm":"sha512","algorithm":"sha256","#, 1),
        ] {
            let logged = logged_as(&instance, &signing, kind, twice.into_bytes());
            assert_eq!(code(&logged, &instance.root(), &policy()), Err("log_entry_malformed"), "{kind}");
        }
    }
}

#[test]
fn an_unknown_log_gives_neither_entry_nor_time() {
    let instance = Instance::new();
    let stranger = Log::v1("rekor-v1.example");
    let root: TrustedRoot = instance.root();
    let body = |signing: &Signing| signing.body_v1(EntryKind::HashedRekordV1);
    let mut signing = instance.sign_v1();
    signing.entries.insert(0, stranger.promised(EntryKind::HashedRekordV1, body(&signing)));
    let verified = judge(&signing, &root, &policy()).unwrap();
    assert_eq!((verified.times().len(), verified.entries().len()), (1, 1));
    signing.entries.pop();
    assert_eq!(code(&signing, &root, &policy()), Err("promise_log_unknown"));
    // With a time of its own, the signature is still in no log of the root.
    let signing = signing.timestamped(&instance.tsa, minutes(1));
    assert_eq!(code(&signing, &root, &policy()), Err("log_unknown"));
}

#[test]
fn promises_of_rekor_v2_are_refused() {
    let instance = Instance::new();
    let mut bundle = instance.sign().json();
    let entry = bundle.pointer_mut("/verificationMaterial/tlogEntries/0").unwrap();
    entry["integratedTime"] = json!(minutes(1).as_second().to_string());
    assert_eq!(code_of(&bundle, &instance.root(), &policy()), Ok(()));
    bundle["verificationMaterial"]["timestampVerificationData"] = Value::Null;
    assert_eq!(code_of(&bundle, &instance.root(), &policy()), Err("time_missing"));
    bundle["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"] = json!({"signedEntryTimestamp": "AAAA"});
    assert_eq!(code_of(&bundle, &instance.root(), &policy()), Err("bundle_log_entry"));
}
