// SPDX-License-Identifier: Apache-2.0
//! A private instance: what is accepted, and each way in which one of its services, or a thief of one of its keys, can lie.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use touchmark_keys::{Digest, HashAlgorithm, KeyType, digest};
use touchmark_tlog::leaf_hash;

use super::signings;
use super::twins::Original;
use crate::bundle::{Content, KeyMaterial};
use crate::policy::{IdentityMatcher, Matcher, Policy};
use crate::rekor::{HashedRekord, Verifier, scheme_for};
use crate::trust::{TransparencyLog, TrustedRoot, ValidFor};
use crate::verify::private::{ARTIFACT, Instance, Log, Promise, Signing, minutes, policy, window};
use crate::verify::{Artifact, Check, VerifyError, digest_algorithms, verify};
use crate::workshop::{Key, alice, noon};

fn now() -> Timestamp {
    minutes(24 * 60)
}

fn refusal(signing: &Signing, root: &TrustedRoot) -> Result<(), &'static str> {
    let artifact = Artifact::of_bytes(ARTIFACT);
    verify(&artifact, &signing.bundle(), root, &policy(), now()).map(|_| ()).map_err(|error| error.code())
}

#[test]
fn the_first_signature_of_an_instance_is_accepted() {
    let instance = Instance::new();
    assert_eq!(refusal(&instance.sign(), &instance.root()), Ok(()));
}

#[test]
fn signers_of_every_curve_are_accepted() {
    let instance = Instance::new();
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521] {
        let signing = instance.logged(instance.unlogged(key_type));
        assert_eq!(refusal(&signing, &instance.root()), Ok(()), "{key_type}");
        // The digest of the signer's algorithm is enough, and no other will do.
        let bundle = signing.bundle();
        let [algorithm] = digest_algorithms(&bundle, &policy())[..] else { panic!("one digest is enough") };
        let verdict = |digest: Digest| verify(&digest.into(), &bundle, &instance.root(), &policy(), now());
        assert!(verdict(digest(algorithm, ARTIFACT)).is_ok());
        let other = HashAlgorithm::ALL.into_iter().find(|other| *other != algorithm).unwrap();
        assert_eq!(verdict(digest(other, ARTIFACT)).unwrap_err().code(), "artifact_digest_missing");
    }
}

#[test]
fn no_tampered_twin_is_accepted_even_with_parts_of_the_same_instance() {
    let instance = Instance::new();
    let signings: Vec<Signing> = (0..5).map(|_| instance.unlogged(KeyType::EcdsaP256)).collect();
    let leaves: Vec<Vec<u8>> = signings.iter().map(Signing::leaf).collect();
    let bundles: Vec<Value> = signings
        .into_iter()
        .enumerate()
        .map(|(index, mut signing)| {
            signing.entries = vec![instance.rekor.entry(&leaves, index)];
            serde_json::from_slice(&signing.bundle().to_json()).unwrap()
        })
        .collect();
    let original = Original {
        name: "private instance",
        bundle: bundles[2].clone(),
        strangers: vec![bundles[0].clone(), bundles[4].clone()],
        root: instance.root(),
        policy: policy(),
        artifact: Artifact::of_bytes(ARTIFACT),
        now: now(),
    };
    original.check_twins();
}

#[test]
fn no_tampered_twin_is_accepted_whatever_was_signed_and_wherever_it_is_logged() {
    let instance = Instance::new();
    let strangers: Vec<Value> = signings(&instance).into_iter().map(|(_, signing)| signing.json()).collect();
    for (name, signing) in signings(&instance).into_iter().skip(1) {
        let original = Original {
            name,
            bundle: signing.json(),
            strangers: strangers.clone(),
            root: instance.root(),
            policy: policy(),
            artifact: Artifact::of_bytes(ARTIFACT),
            now: now(),
        };
        original.check_twins();
    }
}

#[test]
fn another_artifact_is_refused_by_its_digest() {
    let instance = Instance::new();
    let artifact = Artifact::of_bytes(b"another artifact");
    let signing = instance.sign();
    let error = verify(&artifact, &signing.bundle(), &instance.root(), &policy(), now()).unwrap_err();
    assert_eq!((error.check(), error.code()), (Check::Artifact, "artifact_mismatch"));
    let named = format!("{}", digest(HashAlgorithm::Sha256, ARTIFACT));
    let given = format!("{}", digest(HashAlgorithm::Sha256, b"another artifact"));
    assert_eq!(error.to_string(), format!("artifact: expected the artifact that was signed, {named}, found {given}"));
    // A bundle that names the digest of the other artifact, or none, does not fit its log entry.
    let named = Some(digest(HashAlgorithm::Sha256, b"another artifact"));
    let content = Content::Message { digest: named, signature: signing.signature().to_vec() };
    let renamed = Signing { content, ..signing };
    let error = verify(&artifact, &renamed.bundle(), &instance.root(), &policy(), now()).unwrap_err();
    assert_eq!(error.code(), "log_entry_mismatch");
}

#[test]
fn another_identity_or_issuer_is_refused() {
    let instance = Instance::new();
    let bundle = instance.sign().bundle();
    let code = |identity: &str, issuer: &str| {
        let policy = Policy::keyless(IdentityMatcher::exact(identity).unwrap(), Matcher::exact(issuer).unwrap());
        let artifact = Artifact::of_bytes(ARTIFACT);
        verify(&artifact, &bundle, &instance.root(), &policy, now()).unwrap_err().code()
    };
    assert_eq!(code("bob@example.com", "https://issuer.example"), "identity_mismatch");
    assert_eq!(code("alice@example.com", "https://other.example"), "issuer_mismatch");
}

#[test]
fn every_time_has_to_lie_in_the_validity_of_the_certificate() {
    let instance = Instance::new();
    let with_times = |times: &[i64]| {
        let mut signing = instance.sign();
        let signature = signing.signature().to_vec();
        signing.timestamps = times.iter().map(|time| instance.timestamp(&signature, minutes(*time))).collect();
        refusal(&signing, &instance.root())
    };
    assert_eq!(with_times(&[0, 10]), Ok(()));
    assert_eq!(with_times(&[11]), Err("chain_outside_validity"));
    assert_eq!(with_times(&[-1]), Err("chain_outside_validity"));
    assert_eq!(with_times(&[1, 11]), Err("chain_outside_validity"));
    assert_eq!(with_times(&[11, 1]), Err("chain_outside_validity"));
    assert_eq!(with_times(&[]), Err("time_missing"));
}

#[test]
fn one_bad_timestamp_is_not_outweighed_by_a_good_one() {
    let (instance, stranger) = (Instance::new(), Instance::new());
    let mut signing = instance.sign();
    let foreign = stranger.timestamp(signing.signature(), minutes(1));
    signing.timestamps.push(foreign);
    assert_eq!(refusal(&signing, &instance.root()), Err("timestamp_invalid"));
    let mut signing = instance.sign();
    signing.timestamps.push(instance.timestamp(b"another signature", minutes(1)));
    assert_eq!(refusal(&signing, &instance.root()), Err("timestamp_invalid"));
}

#[test]
fn a_time_ahead_of_the_clock_is_refused() {
    let instance = Instance::new();
    let signing = instance.sign();
    let code = |now: Timestamp| {
        let artifact = Artifact::of_bytes(ARTIFACT);
        verify(&artifact, &signing.bundle(), &instance.root(), &policy(), now).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(code(minutes(-4)), Ok(()));
    assert_eq!(code(minutes(-5)), Err("timestamp_in_future"));
}

#[test]
fn windows_of_the_trusted_root_hold_at_their_ends() {
    let instance = Instance::new();
    let signing = instance.sign();
    let signed = minutes(1);
    let ms = SignedDuration::from_millis(1);
    let until = |end: Timestamp| ValidFor::new(noon() - SignedDuration::from_hours(1), Some(end)).unwrap();
    let log = |window| {
        let log = instance.rekor.trusted();
        let (key, scheme) = (log.public_key().clone(), log.scheme());
        TransparencyLog::new(log.base_url().into(), *log.log_id(), key, scheme, window)
    };
    let root = |tlog, ca, ct, tsa| instance.root_with(vec![log(tlog)], ca, ct, tsa);
    let good = window();
    for (root, expect) in [
        (root(until(signed), until(signed), until(noon()), until(signed)), Ok(())),
        (root(until(signed - ms), good, good, good), Err("log_outside_window")),
        (root(good, until(signed - ms), good, good), Err("chain_authority_missing")),
        (root(good, good, until(noon() - ms), good), Err("sct_outside_log_window")),
        (root(good, good, good, until(signed - ms)), Err("timestamp_outside_authority_window")),
    ] {
        assert_eq!(refusal(&signing, &root), expect);
    }
}

#[test]
fn certificates_of_another_instance_are_refused() {
    let (instance, stranger) = (Instance::new(), Instance::new());
    let key = Key::new(KeyType::EcdsaP256);
    let foreign = stranger.certificate(&alice(), &key, &[Promise::of(&instance.ct)]);
    let signing = instance.logged(instance.signed(&key, KeyMaterial::Certificate(foreign)));
    assert_eq!(refusal(&signing, &instance.root()), Err("chain_invalid"));
}

#[test]
fn a_certificate_is_public_or_refused() {
    let (instance, stranger) = (Instance::new(), Instance::new());
    let code = |promise: Option<&Promise<'_>>| {
        let key = Key::new(KeyType::EcdsaP256);
        let material = KeyMaterial::Certificate(instance.certificate(&alice(), &key, promise));
        refusal(&instance.logged(instance.signed(&key, material)), &instance.root())
    };
    let good = || Promise::of(&instance.ct);
    assert_eq!(code(Some(&good())), Ok(()));
    assert_eq!(code(None), Err("sct_missing"));
    assert_eq!(code(Some(&Promise::of(&stranger.ct))), Err("sct_log_unknown"));
    assert_eq!(code(Some(&Promise { signer: &stranger.ct, ..good() })), Err("sct_invalid"));
    let before_the_log = noon() - SignedDuration::from_hours(48);
    assert_eq!(code(Some(&Promise { time: before_the_log, ..good() })), Err("sct_outside_log_window"));
}

#[test]
fn an_entry_for_something_else_is_refused() {
    let instance = Instance::new();
    let key = Key::new(KeyType::EcdsaP256);
    let mut signing = instance.signed(&key, instance.of_alice(&key));
    let (scheme, digest_of) = (scheme_for(&key.public()), |text: &[u8]| digest(HashAlgorithm::Sha256, text));
    let bare = Verifier::PublicKey { spki_der: key.public().spki_der().to_vec() };
    let other_certificate = instance.certificate(&alice(), &key, &[Promise::of(&instance.ct)]);
    let certificate = |certificate: &crate::x509::Certificate| Verifier::Certificate { der: certificate.der().into() };
    let other_signature = key.sign(ARTIFACT);
    assert_ne!(other_signature, signing.signature());
    let record = |digest, signature: &[u8], verifier| HashedRekord::new(digest, signature.into(), verifier, scheme);
    let good = || certificate(signing.certificate());
    let others = [
        record(digest_of(ARTIFACT), signing.signature(), bare),
        record(digest_of(ARTIFACT), signing.signature(), certificate(&other_certificate)),
        record(digest_of(ARTIFACT), &other_signature, good()),
        record(digest_of(b"another artifact"), signing.signature(), good()),
    ];
    let leaves: Vec<Vec<u8>> = others.map(|record| record.unwrap().leaf_bytes()).into();
    for index in 0..leaves.len() {
        signing.entries = vec![instance.rekor.entry(&leaves, index)];
        assert_eq!(refusal(&signing, &instance.root()), Err("log_entry_mismatch"), "{index}");
        // The right body does not help: it is not in the tree.
        signing.entries[0].canonicalized_body = signing.leaf();
        assert_eq!(refusal(&signing, &instance.root()), Err("inclusion_proof_invalid"), "{index}");
    }
}

#[test]
fn a_log_that_records_a_bad_signature_does_not_make_it_good() {
    let instance = Instance::new();
    let mut signing = instance.unlogged(KeyType::EcdsaP256);
    let signature = Key::new(KeyType::EcdsaP256).sign(ARTIFACT);
    signing.timestamps = vec![instance.timestamp(&signature, minutes(1))];
    signing.content = Content::Message { digest: Some(signing.digest()), signature };
    assert_eq!(refusal(&instance.logged(signing), &instance.root()), Err("signature_invalid"));
}

#[test]
fn checkpoints_are_of_the_log_that_the_entry_names() {
    let instance = Instance::new();
    let other = Log::new("other.example");
    let root = instance.root_with(vec![instance.rekor.trusted(), other.trusted()], window(), window(), window());
    let code_with = |checkpoint: &dyn Fn(&[touchmark_tlog::Hash]) -> String| {
        let mut signing = instance.sign();
        let hashes = [leaf_hash(&signing.leaf())];
        let proof = signing.entries[0].inclusion_proof.0.as_mut().unwrap();
        proof.checkpoint.as_mut().unwrap().envelope = checkpoint(&hashes);
        refusal(&signing, &root)
    };
    assert_eq!(code_with(&|hashes| instance.rekor.checkpoint("rekor.example", hashes)), Ok(()));
    // Another log of the same root, under its own name and under the name of this log.
    let invalid = Err("checkpoint_signature_invalid");
    assert_eq!(code_with(&|hashes| other.checkpoint("other.example", hashes)), invalid);
    assert_eq!(code_with(&|hashes| other.checkpoint("rekor.example", hashes)), invalid);
    let impostor = Log::new("rekor.example");
    assert_eq!(code_with(&|hashes| impostor.checkpoint("rekor.example", hashes)), invalid);
    // The right key over the checkpoint of another log, or over another tree.
    let origin = code_with(&|hashes| instance.rekor.checkpoint("other.example", hashes));
    assert_eq!(origin, Err("checkpoint_origin_mismatch"));
    let tree = code_with(&|_| instance.rekor.checkpoint("rekor.example", &[leaf_hash(b"x")]));
    assert_eq!(tree, Err("inclusion_proof_invalid"));
}

#[test]
fn entries_of_unknown_logs_are_passed_over_and_do_not_count() {
    let instance = Instance::new();
    let stranger = Log::new("rekor.example");
    let mut signing = instance.sign();
    let foreign = stranger.entry(&[signing.leaf()], 0);
    signing.entries.insert(0, foreign);
    assert_eq!(refusal(&signing, &instance.root()), Ok(()));
    signing.entries.pop();
    assert_eq!(refusal(&signing, &instance.root()), Err("log_unknown"));
    signing.entries.pop();
    assert_eq!(refusal(&signing, &instance.root()), Err("log_entry_missing"));
}

#[test]
fn a_wrong_entry_of_a_known_log_is_not_outweighed_by_a_right_one() {
    let instance = Instance::new();
    let mut signing = instance.sign();
    let leaves = [signing.leaf(), b"another leaf".to_vec()];
    signing.entries.push(instance.rekor.entry(&leaves, 1));
    assert_eq!(refusal(&signing, &instance.root()), Err("log_entry_mismatch"));
}

#[test]
fn a_log_is_bound_to_its_name_and_key() {
    let instance = Instance::new();
    let signing = instance.sign();
    let code = |base_url: &str| {
        let log = instance.rekor.trusted();
        let (key, scheme) = (log.public_key().clone(), log.scheme());
        let log = TransparencyLog::new(base_url.into(), *log.log_id(), key, scheme, window());
        refusal(&signing, &instance.root_with(vec![log], window(), window(), window()))
    };
    assert_eq!(code("http://rekor.example:7700/log/x"), Ok(()));
    assert_eq!(code("https://other.example"), Err("log_misconfigured"));
    assert_eq!(code("rekor.example"), Err("log_misconfigured"));
}

#[test]
fn a_root_without_services_accepts_nothing() {
    let signing = Instance::new().sign();
    let empty = TrustedRoot::new(Vec::new(), Vec::new(), Vec::new(), Vec::new());
    assert_eq!(refusal(&signing, &empty), Err("timestamp_authority_missing"));
}

#[test]
fn each_check_has_its_name() {
    let names = Check::ALL.map(Check::name);
    assert_eq!(names, ["time", "chain", "sct", "identity", "key", "artifact", "log", "signature", "statement"]);
    let missing = VerifyError::Time(crate::verify::TimeFailure::Missing);
    let text = "time: expected a timestamp over the signature, or a promise of a Rekor v1 log, found none";
    assert_eq!(missing.to_string(), text);
}
