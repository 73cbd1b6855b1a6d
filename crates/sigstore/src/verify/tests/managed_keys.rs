// SPDX-License-Identifier: Apache-2.0
//! Managed keys: the policy names the key, and the bundle's hint names nothing.

use jiff::SignedDuration;
use serde_json::json;
use touchmark_keys::KeyType;

use super::{code, code_of, judge};
use crate::bundle::{Content, KeyMaterial};
use crate::dsse::IN_TOTO_PAYLOAD_TYPE;
use crate::policy::{KeyRule, Policy};
use crate::rekor::EntryKind;
use crate::trust::ValidFor;
use crate::verify::private::{
    ARTIFACT, Authority, Instance, Log, Signing, demanding, key_policy, managed, minutes, policy, statement,
};
use crate::workshop::{Key, noon};

fn signed(key: &Key) -> Signing {
    Signing::of_artifact(key.public(), managed(), key.sign(ARTIFACT))
}

fn attested(key: &Key) -> Signing {
    Signing::of_envelope(key, managed(), IN_TOTO_PAYLOAD_TYPE, &statement(ARTIFACT))
}

fn in_window(key: &Key, window: ValidFor) -> Policy {
    Policy::managed_key(KeyRule { key: key.public(), valid_for: Some(window) })
}

#[test]
fn a_key_signs_files_and_envelopes_in_every_log() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    for (signing, times) in [
        (signed(&key).in_v2(&instance.rekor), 0),
        (signed(&key).in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1), 1),
        (attested(&key).in_v2(&instance.rekor), 0),
        (attested(&key).in_v1(&instance.rekor_v1, EntryKind::DsseV1), 1),
        (attested(&key).in_v1(&instance.rekor_v1, EntryKind::IntotoV2), 1),
        (signed(&key).in_v2(&instance.rekor).timestamped(&instance.tsa, minutes(1)), 1),
    ] {
        let verified = judge(&signing, &instance.root(), &key_policy(&key.public())).unwrap();
        assert_eq!((verified.times().len(), verified.entries().len()), (times, 1));
        assert!(verified.certified().is_none());
        let other = key_policy(&Key::new(KeyType::EcdsaP256).public());
        assert_eq!(code(&signing, &instance.root(), &other), Err("log_entry_mismatch"));
    }
}

#[test]
fn a_hint_is_not_a_key() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    let mut bundle = signed(&key).in_v2(&instance.rekor).json();
    for hint in ["", "another", "../../etc/passwd"] {
        bundle["verificationMaterial"]["publicKey"]["hint"] = json!(hint);
        assert_eq!(code_of(&bundle, &instance.root(), &key_policy(&key.public())), Ok(()), "{hint}");
    }
}

#[test]
fn a_policy_of_a_key_refuses_certificates_and_a_policy_of_identities_keys() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    let root = instance.root();
    let certified = instance.logged(instance.signed(&key, instance.of_alice(&key)));
    // The certificate is of the very key that the policy names.
    assert_eq!(code(&certified, &root, &key_policy(&key.public())), Err("key_expected"));
    let bare = signed(&key).timestamped(&instance.tsa, minutes(1)).in_v2(&instance.rekor);
    assert_eq!(code(&bare, &root, &policy()), Err("identity_missing"));
    // And with the other's log entry, which names the signer in its way.
    let swapped = Signing { material: managed(), ..certified.clone() };
    assert_eq!(code(&swapped, &root, &key_policy(&key.public())), Err("log_entry_mismatch"));
    let swapped = Signing { material: certified.material, ..bare };
    assert_eq!(code(&swapped, &root, &policy()), Err("log_entry_mismatch"));
}

#[test]
fn every_time_lies_in_the_window_of_the_key() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    let root = instance.root();
    let until = |end| ValidFor::new(noon() - SignedDuration::from_hours(1), Some(end)).unwrap();
    let v1 = || signed(&key).in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1);
    let v2 = || signed(&key).in_v2(&instance.rekor);
    let outside = Err("key_outside_window");
    assert_eq!(code(&v1(), &root, &in_window(&key, until(minutes(1)))), Ok(()));
    assert_eq!(code(&v1(), &root, &in_window(&key, until(minutes(0)))), outside);
    assert_eq!(code(&v1(), &root, &in_window(&key, ValidFor::since(minutes(2)))), outside);
    assert_eq!(code(&v1().timestamped(&instance.tsa, minutes(5)), &root, &in_window(&key, until(minutes(4)))), outside);
    assert_eq!(code(&v2().timestamped(&instance.tsa, minutes(5)), &root, &in_window(&key, until(minutes(4)))), outside);
    assert_eq!(code(&v2().timestamped(&instance.tsa, minutes(4)), &root, &in_window(&key, until(minutes(4)))), Ok(()));
    // Nobody says when this was signed, perhaps on purpose: the window has to hold the present, which is a day later.
    assert_eq!(code(&v2(), &root, &in_window(&key, until(minutes(0)))), outside);
    assert_eq!(code(&v2(), &root, &in_window(&key, until(minutes(24 * 60)))), Ok(()));
    let timed = demanding(&in_window(&key, until(minutes(24 * 60))), |demands| demands.times = 1);
    assert_eq!(code(&v2(), &root, &timed), Err("time_missing"));
}

#[test]
fn a_bad_time_is_refused_though_none_is_needed() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    let of_key = key_policy(&key.public());
    let foreign = signed(&key).in_v2(&instance.rekor).timestamped(&Authority::tsa("tsa"), minutes(1));
    assert_eq!(code(&foreign, &instance.root(), &of_key), Err("timestamp_invalid"));
    let mut promised = signed(&key).in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1);
    promised.entries[0].integrated_time.0 += 1;
    assert_eq!(code(&promised, &instance.root(), &of_key), Err("promise_invalid"));
}

/// Where nobody says when, the log has to be trusted now.
#[test]
fn without_a_time_a_log_must_be_trusted_at_the_time_of_verification() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    let signing = signed(&key).in_v2(&instance.rekor);
    let mut trust = instance.trust();
    let ended = ValidFor::new(noon() - SignedDuration::from_hours(1), Some(minutes(60))).unwrap();
    trust.logs = vec![instance.rekor.trusted_in(ended)];
    let root = trust.root();
    assert_eq!(code(&signing, &root, &key_policy(&key.public())), Err("log_outside_window"));
    let signing = signing.timestamped(&instance.tsa, minutes(1));
    assert_eq!(code(&signing, &root, &key_policy(&key.public())), Ok(()));
}

#[test]
fn a_log_that_records_a_bad_signature_of_the_key_does_not_make_it_good() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    let forged = Signing::of_artifact(key.public(), managed(), Key::new(KeyType::EcdsaP256).sign(ARTIFACT));
    for logged in [forged.clone().in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1), forged.in_v2(&instance.rekor)] {
        assert_eq!(code(&logged, &instance.root(), &key_policy(&key.public())), Err("signature_invalid"));
    }
}

#[test]
fn a_signature_in_no_log_is_refused_unless_the_policy_says_otherwise() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    let root = instance.root();
    let secret = |policy: Policy| {
        demanding(&policy, |demands| {
            demands.log_entries = 0;
            demands.signatures_without_log = true;
        })
    };
    assert_eq!(code(&signed(&key), &root, &key_policy(&key.public())), Err("log_entry_missing"));
    assert_eq!(code(&signed(&key), &root, &secret(key_policy(&key.public()))), Ok(()));
    // Of a private instance with a timestamp authority and no log: who, what and when are still proved.
    let certified = instance.unlogged(KeyType::EcdsaP256);
    assert_eq!(code(&certified, &root, &policy()), Err("log_entry_missing"));
    assert_eq!(code(&certified, &root, &secret(policy())), Ok(()));
    let untimed = Signing { timestamps: Vec::new(), ..certified.clone() };
    assert_eq!(code(&untimed, &root, &secret(policy())), Err("time_missing"));
    let mut forged = certified.clone();
    let signature = Key::new(KeyType::EcdsaP256).sign(ARTIFACT);
    forged.timestamps = vec![instance.timestamp(&signature, minutes(1))];
    forged.content = Content::Message { digest: None, signature };
    assert_eq!(code(&forged, &root, &secret(policy())), Err("signature_invalid"));
    // No entry is needed; one that is there must be right.
    let wrong = Signing { entries: instance.sign().entries, ..certified.clone() };
    assert_eq!(code(&wrong, &root, &secret(policy())), Err("log_entry_mismatch"));
    let foreign = certified.in_v2(&Log::new("rekor.example"));
    assert_eq!(code(&foreign, &root, &secret(policy())), Ok(()));
    let attested = instance.attested().timestamped(&instance.tsa, minutes(1));
    assert_eq!(code(&attested, &root, &secret(policy())), Ok(()));
    let material = KeyMaterial::PublicKey { hint: String::new() };
    assert_eq!(code(&Signing { material, ..attested }, &root, &secret(policy())), Err("identity_missing"));
}
