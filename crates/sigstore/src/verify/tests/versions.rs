// SPDX-License-Identifier: Apache-2.0
//! Versions of the bundle: nobody signs the label, so no label takes a demand away.

use serde_json::{Value, json};

use super::{code, code_of, signings};
use crate::policy::WitnessPolicy;
use crate::rekor::EntryKind;
use crate::verify::private::{Instance, Log, Signing, demanding, key_policy, managed, minutes, policy};
use crate::workshop::Key;
use touchmark_keys::KeyType;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};

const ENTRY: &str = "/verificationMaterial/tlogEntries/0";

/// The bundle under the label of another version, in that version's shape.
fn labelled(bundle: &Value, version: &str) -> Value {
    let mut bundle = bundle.clone();
    bundle["mediaType"] = json!(format!("application/vnd.dev.sigstore.bundle+json;version={version}"));
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    if let Some(certificate) = material.remove("certificate") {
        material.insert("x509CertificateChain".into(), json!({ "certificates": [certificate] }));
    }
    bundle
}

fn without(bundle: &Value, member: &str) -> Value {
    let mut bundle = bundle.clone();
    bundle.pointer_mut(ENTRY).unwrap()[member] = Value::Null;
    bundle
}

#[test]
fn a_label_takes_no_demand_away() {
    let instance = Instance::new();
    let root = instance.root();
    for (name, signing) in signings(&instance) {
        let bundle = signing.timestamped(&instance.tsa, minutes(2)).json();
        let v1 = !bundle.pointer(ENTRY).unwrap()["inclusionPromise"].is_null();
        // Version 0.1 has the promise, and the proof is demanded of it as of the others.
        let of_0_1 = labelled(&bundle, "0.1");
        let expect = if v1 { Ok(()) } else { Err("bundle_log_entry") };
        assert_eq!(code_of(&of_0_1, &root, &policy()), expect, "{name}");
        let proof = if v1 { "inclusion_proof_missing" } else { "bundle_log_entry" };
        assert_eq!(code_of(&without(&of_0_1, "inclusionProof"), &root, &policy()), Err(proof), "{name}");
        for bundle in [labelled(&bundle, "0.2"), bundle] {
            assert_eq!(code_of(&bundle, &root, &policy()), Ok(()), "{name}");
            assert_eq!(
                code_of(&without(&bundle, "inclusionProof"), &root, &policy()),
                Err("bundle_log_entry"),
                "{name}"
            );
        }
    }
}

#[test]
fn a_proof_without_checkpoint_is_none() {
    let instance = Instance::new();
    let mut bundle = instance.sign_v1().json();
    bundle.pointer_mut(ENTRY).unwrap()["inclusionProof"]["checkpoint"] = Value::Null;
    assert_eq!(code_of(&bundle, &instance.root(), &policy()), Err("bundle_log_entry"));
    assert_eq!(code_of(&labelled(&bundle, "0.1"), &instance.root(), &policy()), Err("inclusion_proof_missing"));
}

#[test]
fn a_promise_alone_counts_only_where_the_policy_says_so() {
    let instance = Instance::new();
    let root = instance.root();
    let legacy = demanding(&policy(), |demands| demands.legacy_entries_without_proof = true);
    let bundle = without(&labelled(&instance.sign_v1().json(), "0.1"), "inclusionProof");
    assert_eq!(code_of(&bundle, &root, &policy()), Err("inclusion_proof_missing"));
    assert_eq!(code_of(&bundle, &root, &legacy), Ok(()));
    // The promise is verified, and so is the entry.
    let mut broken = bundle.clone();
    broken.pointer_mut(ENTRY).unwrap()["integratedTime"] = json!(minutes(2).as_second().to_string());
    assert_eq!(code_of(&broken, &root, &legacy), Err("promise_invalid"));
    let mut foreign = bundle.clone();
    *foreign.pointer_mut(ENTRY).unwrap() =
        without(&labelled(&instance.sign_v1().json(), "0.1"), "inclusionProof").pointer(ENTRY).unwrap().clone();
    assert_eq!(code_of(&foreign, &root, &legacy), Err("log_entry_mismatch"));
    // A proof that is there is not passed over, and what witnesses must have seen cannot lack one.
    let mut wrong = labelled(&instance.sign_v1().json(), "0.1");
    wrong.pointer_mut(ENTRY).unwrap()["inclusionProof"]["hashes"] = json!([]);
    assert_eq!(code_of(&wrong, &root, &legacy), Err("inclusion_proof_invalid"));
    let witness = NoteKey::new("w", NoteAlgorithm::CosignatureV1, Key::new(KeyType::Ed25519).public()).unwrap();
    let witnesses = WitnessPolicy::new(vec![witness], 1).unwrap();
    let seen = demanding(&legacy, |demands| demands.witnesses = Some(witnesses));
    assert_eq!(code_of(&bundle, &root, &seen), Err("inclusion_proof_missing"));
}

#[test]
fn a_promise_of_an_unknown_log_never_counts() {
    let instance = Instance::new();
    let legacy = demanding(&policy(), |demands| demands.legacy_entries_without_proof = true);
    let stranger = Log::v1("rekor-v1.example");
    let mut signing = instance.sign_v1().timestamped(&instance.tsa, minutes(1));
    signing.entries = vec![stranger.promised(EntryKind::HashedRekordV1, signing.body_v1(EntryKind::HashedRekordV1))];
    let bundle = without(&labelled(&signing.json(), "0.1"), "inclusionProof");
    assert_eq!(code_of(&bundle, &instance.root(), &legacy), Err("log_unknown"));
}

#[test]
fn a_managed_key_is_in_every_version() {
    let instance = Instance::new();
    let key = Key::new(KeyType::EcdsaP256);
    let signing = Signing::of_artifact(key.public(), managed(), key.sign(super::ARTIFACT));
    let signing = signing.in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1);
    assert_eq!(code(&signing, &instance.root(), &key_policy(&key.public())), Ok(()));
    for version in ["0.1", "0.2", "0.3"] {
        let bundle = labelled(&signing.json(), version);
        assert_eq!(code_of(&bundle, &instance.root(), &key_policy(&key.public())), Ok(()), "{version}");
    }
}
