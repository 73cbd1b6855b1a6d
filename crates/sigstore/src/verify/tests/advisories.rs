// SPDX-License-Identifier: Apache-2.0
//! What went wrong in other verifiers, one test for each: its name begins with the name of the advisory or of the issue.
//!
//! Tests whose check lives elsewhere stand there, named likewise:
//!
//! | id | where |
//! | --- | --- |
//! | GHSA-52v5-jr5w-gjxr (names of options) | `policy::extension::tests` |
//! | GHSA-fx35-mq7g-6g98, GHSA-whqx-f9j3-ch6m (cosign's old bundles) | `bundle::convert::tests` |
//! | GHSA-xm5m-wgh2-rrg3, rfc3161-client 1.0.3 | `tsp::tests` |
//! | GHSA-frqx-jfcm-6jjr (bodies of entries) | `rekor::v1::tests` |
//! | GHSA-fcv2-xgw5-pqxf (names of TUF targets) | `touchmark-client`, `trust::tests` |
//!
//! These rows do not concern a verifier of bundles:
//!
//! | id | why |
//! | --- | --- |
//! | GHSA-vfp6-jrw2-99g9, GHSA-88jx-383q-w4qc, GHSA-95pr-fxf5-86gv | Data of a registry without end: nothing here fetches. What is read has its limits (GHSA-cq38-jh5f-37mq). |
//! | GHSA-hm8f-75xx-w2vr | The state of an OAuth login: the client that signs. |
//! | GHSA-2h5h-59f5-c5x9, GHSA-273p-m2cw-6833, GHSA-4c4x-jm2x-pf9j, GHSA-47q9-m4ww-924m | The server of Rekor v1: archives, COSE, addresses of keys, contents of entries. |
//! | GHSA-f83f-xpx7-ffpw, GHSA-59jp-pj84-45mr, GHSA-f5mr-q85p-6hh6, GHSA-4qg8-fj49-pxjh, GHSA-9c54-x2g4-v92j | The servers Fulcio and timestamp authority. |

use jiff::SignedDuration;
use serde_json::{Value, json};
use touchmark_keys::{HashAlgorithm, KeyType, digest};
use touchmark_tlog::leaf_hash;

use super::{code, code_of, judge, signings};
use crate::bundle::{Bundle, Content, ENTRIES_MAX, KeyMaterial, TIMESTAMPS_MAX};
use crate::ct::{LogEntry, sct_signed_bytes};
use crate::dsse::IN_TOTO_PAYLOAD_TYPE;
use crate::intoto::{SUBJECT_DIGESTS_MAX, SUBJECTS_MAX};
use crate::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use crate::policy::{FulcioExtension, IdentityMatcher, IdentityRule, KeyRule, Matcher, Policy};
use crate::rekor::EntryKind;
use crate::trust::{CertificateAuthority, Subject, TrustedRoot, ValidFor};
use crate::verify::private::{
    ARTIFACT, Authority, Instance, Log, PREDICATE, Promise, Signing, demanding, key_policy, managed, minutes, policy,
    statement, window,
};
use crate::verify::{Artifact, verify};
use crate::workshop::{Key, alice, days, leaf_template, noon, serial, sign};

/// Refused by this code, though each part of it is genuine.
#[track_caller]
fn refused(signing: &Signing, root: &TrustedRoot, policy: &Policy, expect: &'static str) {
    assert_eq!(code(signing, root, policy), Err(expect));
}

fn asking_for(predicate_type: &str) -> Policy {
    demanding(&policy(), |demands| demands.predicate_type = Some(Matcher::exact(predicate_type).unwrap()))
}

/// CVE-2022-23649, cosign: the promise of any entry was taken for the promise of this one.
#[test]
fn ghsa_ccxc_vr6p_4858_a_foreign_set_is_not_accepted() {
    let instance = Instance::new();
    let (ours, theirs) = (instance.sign_v1(), instance.sign_v1());
    let whole = Signing { entries: theirs.entries.clone(), ..ours.clone() };
    refused(&whole, &instance.root(), &policy(), "log_entry_mismatch");
    let mut promise = ours;
    promise.entries[0].inclusion_promise = theirs.entries[0].inclusion_promise.clone();
    promise.entries[0].integrated_time = theirs.entries[0].integrated_time;
    refused(&promise, &instance.root(), &policy(), "promise_invalid");
}

/// CVE-2022-35929, cosign: with `--type`, any attestation satisfied.
#[test]
fn ghsa_vjxv_45g9_9296_an_attestation_of_another_type_does_not_satisfy() {
    let instance = Instance::new();
    for (name, signing) in signings(&instance) {
        let expect = if name.contains("envelope") { "predicate_type_mismatch" } else { "statement_missing" };
        refused(&signing, &instance.root(), &asking_for("https://cyclonedx.org/bom"), expect);
    }
}

/// CVE-2022-35930, policy-controller: an attestation satisfied a policy that none of its statements was asked by.
#[test]
fn ghsa_739f_hw6h_7wq8_an_attestation_is_judged_by_the_type_that_was_asked_for() {
    let instance = Instance::new();
    let signing = instance.attested().in_v1(&instance.rekor_v1, EntryKind::DsseV1);
    assert_eq!(code(&signing, &instance.root(), &asking_for(PREDICATE)), Ok(()));
    for other in ["x", "https://example.com/predicate/v1 ", "https://example.com/predicate/v1/"] {
        refused(&signing, &instance.root(), &asking_for(other), "predicate_type_mismatch");
    }
}

/// CVE-2022-36056, cosign: four faults of one command.
#[test]
fn ghsa_8gw7_4j42_w388_an_entry_is_bound_and_nothing_malformed_is_success() {
    let instance = Instance::new();
    let root = instance.root();
    for signing in [instance.sign(), instance.sign_v1()] {
        // The entry was not bound to the signature.
        let other = if signing.timestamps.is_empty() { instance.sign_v1() } else { instance.sign() };
        refused(&Signing { entries: other.entries, ..signing.clone() }, &root, &policy(), "log_entry_mismatch");
        // The identity was not enforced where there was a bundle.
        let issuer = || Matcher::exact("https://issuer.example").unwrap();
        let bob = Policy::keyless(IdentityMatcher::exact("bob@example.com").unwrap(), issuer());
        refused(&signing, &root, &bob, "identity_mismatch");
        // A malformed bundle was success, and so was a malformed entry.
        for text in ["", "{}", "null", "{\"mediaType\":\"\"}"] {
            assert!(Bundle::parse(text.as_bytes()).is_err(), "{text}");
        }
        let mut bundle = signing.json();
        bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"] = json!("e30=");
        assert!(code_of(&bundle, &root, &policy()).is_err());
        bundle["verificationMaterial"]["tlogEntries"] = json!([]);
        assert!(code_of(&bundle, &root, &policy()).is_err());
    }
}

/// CVE-2026-22703, cosign: digest and key in the entry were not compared.
#[test]
fn ghsa_whqx_f9j3_ch6m_digest_signature_and_key_of_an_entry_are_compared() {
    let instance = Instance::new();
    let root = instance.root();
    let (key, other) = (Key::new(KeyType::EcdsaP256), Key::new(KeyType::EcdsaP256));
    let good = Signing::of_artifact(key.public(), managed(), key.sign(ARTIFACT));
    let entries = [
        Signing::of_artifact(other.public(), managed(), good.signature().to_vec()),
        Signing::of_artifact(key.public(), managed(), key.sign(ARTIFACT)),
    ];
    for entry in entries {
        for logged in [entry.clone().in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1), entry.in_v2(&instance.rekor)]
        {
            let bundle = Signing { entries: logged.entries, ..good.clone() };
            refused(&bundle, &root, &key_policy(&key.public()), "log_entry_mismatch");
        }
    }
    // The digest: the entry is of this signature, and the file is another.
    for logged in [good.clone().in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1), good.in_v2(&instance.rekor)] {
        let content = Content::Message { digest: None, signature: logged.signature().to_vec() };
        let bundle = Signing { content, ..logged }.bundle();
        let artifact = Artifact::of_bytes(b"another artifact");
        let error = verify(&artifact, &bundle, &root, &key_policy(&key.public()), minutes(60)).unwrap_err();
        assert_eq!(error.code(), "log_entry_mismatch");
    }
}

/// cosign#5040: a public key in the place of the certificate let chain and identity be skipped, and was preferred to `--key`.
#[test]
fn ghsa_fx35_mq7g_6g98_the_policy_decides_who_signs_and_not_the_bundle() {
    let (instance, key, attacker) = (Instance::new(), Key::new(KeyType::EcdsaP256), Key::new(KeyType::EcdsaP256));
    let root = instance.root();
    let bare = Signing::of_artifact(attacker.public(), managed(), attacker.sign(ARTIFACT));
    let bare = bare.timestamped(&instance.tsa, minutes(1)).in_v2(&instance.rekor);
    refused(&bare, &root, &policy(), "identity_missing");
    refused(&bare, &root, &key_policy(&key.public()), "log_entry_mismatch");
    let certified = instance.logged(instance.signed(&key, instance.of_alice(&key)));
    refused(&certified, &root, &key_policy(&key.public()), "key_expected");
    // Both at once, and a key where a certificate belongs.
    let mut bundle = certified.json();
    bundle["verificationMaterial"]["publicKey"] = json!({"hint": ""});
    assert_eq!(code_of(&bundle, &root, &policy()), Err("bundle_incomplete"));
    let mut bundle = certified.json();
    bundle["verificationMaterial"]["certificate"]["rawBytes"] = {
        use base64::Engine as _;
        json!(base64::engine::general_purpose::STANDARD.encode(key.public().spki_der()))
    };
    assert_eq!(code_of(&bundle, &root, &policy()), Err("bundle_certificate"));
}

/// CVE-2026-39395, cosign: a malformed payload, or one of another type, was "Verified OK".
#[test]
fn ghsa_w6c6_c85g_mmv6_a_malformed_payload_is_never_verified() {
    let instance = Instance::new();
    let key = Key::new(KeyType::EcdsaP256);
    for (payload_type, payload, expect) in [
        (IN_TOTO_PAYLOAD_TYPE, "", "statement_malformed"),
        (IN_TOTO_PAYLOAD_TYPE, "{}", "statement_malformed"),
        (IN_TOTO_PAYLOAD_TYPE, "hello", "statement_malformed"),
        ("text/plain", "hello", "statement_payload_type"),
    ] {
        let signing = || Signing::of_envelope(&key, instance.of_alice(&key), payload_type, payload.as_bytes());
        refused(&signing().in_v1(&instance.rekor_v1, EntryKind::DsseV1), &instance.root(), &policy(), expect);
        let v2 = signing().timestamped(&instance.tsa, minutes(1)).in_v2(&instance.rekor);
        refused(&v2, &instance.root(), &policy(), expect);
    }
    for (_, signing) in signings(&instance).into_iter().filter(|(name, _)| name.contains("envelope")) {
        refused(&signing, &instance.root(), &asking_for("https://slsa.dev/provenance/v1"), "predicate_type_mismatch");
    }
}

/// cosign: an authority that had expired when the signature was made was accepted, as long as the leaf had not.
#[test]
fn cve_2026_24122_an_authority_that_had_expired_at_signing_is_refused() {
    let instance = Instance::new();
    let (issuing, root) = (&instance.ca.issuing, &instance.ca.root);
    // The same authority by name and key, with a certificate that ended a day before the signature.
    let again = |not_after| {
        let name = AuthorityName { organization: "touchmark test".into(), common_name: "ca".into() };
        let profile = CaProfile::CodeSigningIntermediate { issuer: &root.certificate };
        let template = CaTemplate {
            serial: serial(),
            not_before: noon() - days(30),
            not_after,
            name,
            public_key: issuing.key.public(),
            profile,
            signature_scheme: root.key.scheme(),
        };
        let certificate = sign(&template.tbs().unwrap(), &root.key);
        let mut trust = instance.trust();
        let chain = vec![certificate, root.certificate.clone()];
        trust.cas = vec![
            CertificateAuthority::new(
                Subject::default(),
                "https://ca.example".into(),
                chain,
                ValidFor::since(noon() - days(30)),
            )
            .unwrap(),
        ];
        trust.root()
    };
    for (_, signing) in signings(&instance) {
        assert_eq!(code(&signing, &again(minutes(1)), &policy()), Ok(()));
        for root in [again(minutes(1) - SignedDuration::from_secs(1)), again(noon() - days(1))] {
            refused(&signing, &root, &policy(), "chain_outside_validity");
            refused(&signing, &root.prepared(), &policy(), "chain_outside_validity");
        }
    }
}

/// Malformed attestations, bodies and payloads that are signed and logged: each is a verdict, none a crash.
#[test]
fn cosign_4648_to_4653_malformed_parts_are_refused_and_crash_nothing() {
    let instance = Instance::new();
    let root = instance.root();
    let key = Key::new(KeyType::EcdsaP256);
    let (file, envelope) = (instance.sign_v1(), instance.attested());
    for text in
        ["", "null", "[]", "{}", "\"\"", "1", "{\"kind\":null}", "{\"spec\":[]}", "\u{0}", "{\"subject\":[null]}"]
    {
        for kind in [EntryKind::HashedRekordV1, EntryKind::DsseV1, EntryKind::IntotoV2] {
            let signing = if kind == EntryKind::HashedRekordV1 { &file } else { &envelope };
            if !text.is_empty() {
                let entries = vec![instance.rekor_v1.promised(kind, text.as_bytes().to_vec())];
                refused(&Signing { entries, ..signing.clone() }, &root, &policy(), "log_entry_malformed");
            }
            let payload = Signing::of_envelope(&key, instance.of_alice(&key), IN_TOTO_PAYLOAD_TYPE, text.as_bytes());
            if kind != EntryKind::HashedRekordV1 {
                refused(&payload.in_v1(&instance.rekor_v1, kind), &root, &policy(), "statement_malformed");
            }
        }
    }
    for content in [json!({}), json!(null), json!([]), json!({"payload": null}), json!({"signatures": [null]})] {
        let mut bundle = envelope.clone().in_v1(&instance.rekor_v1, EntryKind::DsseV1).json();
        bundle["dsseEnvelope"] = content;
        assert!(code_of(&bundle, &root, &policy()).is_err());
    }
}

/// CVE-2024-45395, sigstore-go: any number of entries, timestamps and subjects, each of which costs a verification.
#[test]
fn ghsa_cq38_jh5f_37mq_there_are_limits_on_everything_that_costs() {
    let instance = Instance::new();
    let root = instance.root();
    let with = |place: &str, item: &dyn Fn(usize) -> Value, count: usize| {
        let mut bundle = instance.sign().json();
        *bundle.pointer_mut(place).unwrap() = (0..count).map(item).collect();
        code_of(&bundle, &root, &policy())
    };
    let entry = instance.sign().json().pointer("/verificationMaterial/tlogEntries/0").unwrap().clone();
    let other = |index: usize| {
        let mut entry = entry.clone();
        entry["logIndex"] = json!(index.to_string());
        entry
    };
    let (entries, tokens) =
        ("/verificationMaterial/tlogEntries", "/verificationMaterial/timestampVerificationData/rfc3161Timestamps");
    assert_eq!(with(entries, &other, ENTRIES_MAX + 1), Err("bundle_too_large"));
    let token = |index: usize| json!({"signedTimestamp": hex::encode([u8::try_from(index).unwrap(); 2])});
    assert_eq!(with(tokens, &token, TIMESTAMPS_MAX + 1), Err("bundle_too_large"));

    let key = Key::new(KeyType::EcdsaP256);
    let about = |subjects: usize, digests: usize| {
        let digest = |index: usize| (format!("own{index}"), json!("00"));
        let mut digests: serde_json::Map<String, Value> = (1..digests).map(digest).collect();
        digests.insert("sha256".into(), json!(hex::encode(touchmark_keys::sha256(ARTIFACT))));
        let subjects = vec![json!({"name": "artifact", "digest": digests}); subjects];
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": PREDICATE, "predicate": {},
        });
        let payload = payload.to_string();
        let signing = Signing::of_envelope(&key, instance.of_alice(&key), IN_TOTO_PAYLOAD_TYPE, payload.as_bytes());
        code(&signing.in_v1(&instance.rekor_v1, EntryKind::DsseV1), &root, &policy())
    };
    assert_eq!(about(SUBJECTS_MAX, 1), Ok(()));
    assert_eq!(about(SUBJECTS_MAX + 1, 1), Err("statement_malformed"));
    assert_eq!(about(1, SUBJECT_DIGESTS_MAX), Ok(()));
    assert_eq!(about(1, SUBJECT_DIGESTS_MAX + 1), Err("statement_malformed"));
}

/// CVE-2026-49834, sigstore-go: entries and SCTs of one log satisfied any threshold.
#[test]
fn ghsa_9vcr_p3rj_q5q6_one_log_counts_once() {
    let instance = Instance::new();
    let root = instance.root();
    let mut signing = instance.sign();
    signing.entries.push(instance.rekor.entry(&[b"another".to_vec(), signing.leaf()], 1));
    refused(&signing, &root, &demanding(&policy(), |demands| demands.log_entries = 2), "log_threshold");
    let key = Key::new(KeyType::EcdsaP256);
    let later = Promise { time: noon() + SignedDuration::from_secs(1), ..Promise::of(&instance.ct) };
    let twice = instance.certificate(&alice(), &key, &[Promise::of(&instance.ct), later]);
    let signing = instance.logged(instance.signed(&key, KeyMaterial::Certificate(twice)));
    assert_eq!(code(&signing, &root, &policy()), Ok(()));
    refused(&signing, &root, &demanding(&policy(), |demands| demands.scts = 2), "sct_threshold");
}

/// One timestamp authority satisfied any threshold.
#[test]
fn sigstore_go_472_one_timestamp_authority_counts_once() {
    let instance = Instance::new();
    let signing = instance.sign().timestamped(&instance.tsa, minutes(2)).timestamped(&instance.tsa, minutes(3));
    refused(&signing, &instance.root(), &demanding(&policy(), |demands| demands.timestamps = 2), "timestamp_threshold");
    refused(&signing, &instance.root(), &demanding(&policy(), |demands| demands.times = 2), "time_threshold");
}

/// An entry that stood twice counted twice.
#[test]
fn sigstore_js_1702_an_entry_that_stands_twice_is_refused() {
    let instance = Instance::new();
    for (_, signing) in signings(&instance) {
        let mut bundle = signing.json();
        let entries = bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap();
        let mut again = entries[0].clone();
        again["inclusionPromise"] = Value::Null;
        entries.push(again);
        assert_eq!(code_of(&bundle, &instance.root(), &policy()), Err("bundle_log_entry"));
    }
}

/// sigstore-go: the window of a managed key was not looked at.
#[test]
fn ghsa_wqqc_jjcq_vfxm_the_window_of_a_managed_key_holds() {
    let (instance, key) = (Instance::new(), Key::new(KeyType::EcdsaP256));
    let ended = ValidFor::new(noon() - days(1), Some(noon())).unwrap();
    let policy = Policy::managed_key(KeyRule { key: key.public(), valid_for: Some(ended) });
    let signing = || Signing::of_artifact(key.public(), managed(), key.sign(ARTIFACT));
    let promised = signing().in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1);
    let stamped = signing().timestamped(&instance.tsa, minutes(1)).in_v2(&instance.rekor);
    for signing in [promised, stamped] {
        assert_eq!(code(&signing, &instance.root(), &key_policy(&key.public())), Ok(()));
        refused(&signing, &instance.root(), &policy, "key_outside_window");
    }
}

/// CVE-2026-48815, sigstore-js: an option of the policy was taken and not enforced.
#[test]
fn ghsa_52v5_jr5w_gjxr_every_extension_that_is_asked_for_is_enforced() {
    let instance = Instance::new();
    let key = Key::new(KeyType::EcdsaP256);
    let mut principal = alice();
    principal.extensions = vec![(12, "https://github.com/example/project".into())];
    let certificate = instance.certificate(&principal, &key, &[Promise::of(&instance.ct)]);
    let signing = instance.logged(instance.signed(&key, KeyMaterial::Certificate(certificate)));
    let asking = |extension: FulcioExtension, value: &str| {
        let issuer = Matcher::exact("https://issuer.example").unwrap();
        let rule = IdentityRule::new(IdentityMatcher::exact("alice@example.com").unwrap(), issuer);
        let policy = Policy::any_of(vec![rule.with(extension, Matcher::exact(value).unwrap())]).unwrap();
        code(&signing, &instance.root(), &policy)
    };
    assert_eq!(asking(FulcioExtension::SourceRepositoryUri, "https://github.com/example/project"), Ok(()));
    assert_eq!(
        asking(FulcioExtension::SourceRepositoryUri, "https://github.com/example/other"),
        Err("extension_mismatch")
    );
    // One that the certificate does not have matches nothing.
    for absent in FulcioExtension::all().filter(|extension| ![1, 8, 12, 24].contains(&extension.arc())) {
        assert_eq!(asking(absent, "x"), Err("extension_mismatch"), "{absent}");
    }
}

/// The name in a checkpoint was used as a regular expression.
#[test]
fn sigstore_js_1722_names_are_compared_and_never_a_pattern() {
    let instance = Instance::new();
    let root = instance.root();
    let good = instance.sign();
    let hashes = [leaf_hash(&good.leaf())];
    let with = |checkpoint: String| {
        let mut signing = good.clone();
        let proof = signing.entries[0].inclusion_proof.0.as_mut().unwrap();
        proof.checkpoint.as_mut().unwrap().envelope = checkpoint;
        code(&signing, &root, &policy())
    };
    for origin in ["rekorXexample", ".*", "rekor.example|x", "^rekor", "(", "[a-z.]+", "(a+)+$"] {
        assert_eq!(with(instance.rekor.checkpoint(origin, &hashes)), Err("checkpoint_origin_mismatch"), "{origin}");
        let line = instance.rekor.checkpoint("rekor.example", &hashes);
        let renamed = line.replace("\u{2014} rekor.example ", &format!("\u{2014} {origin} "));
        assert_eq!(with(renamed), Err("checkpoint_signature_invalid"), "{origin}");
    }
    // Nor is a body that is no JSON an error of another kind than a refusal.
    for kind in [EntryKind::HashedRekordV1, EntryKind::DsseV1] {
        let entries = vec![instance.rekor_v1.promised(kind, b"{".to_vec())];
        refused(&Signing { entries, ..instance.sign_v1() }, &root, &policy(), "log_entry_malformed");
    }
}

/// A malformed checkpoint was an error of the program instead of a verdict.
#[test]
fn sigstore_python_1826_a_malformed_checkpoint_is_a_verdict() {
    let instance = Instance::new();
    let root = instance.root();
    let good = instance.sign();
    let proof = |signing: &mut Signing, envelope: String| {
        let proof = signing.entries[0].inclusion_proof.0.as_mut().unwrap();
        proof.checkpoint.as_mut().unwrap().envelope = envelope;
    };
    let signed = |text: &str| {
        let line = instance.rekor.note_signature(text);
        touchmark_tlog::note::SignedNote::new(text.into(), vec![line]).unwrap().to_string()
    };
    let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for text in [
        "rekor.example\n".to_owned(),
        "rekor.example\nx\n".into(),
        format!("rekor.example\n-1\n{hash}\n"),
        format!("rekor.example\n01\n{hash}\n"),
        format!("rekor.example\n99999999999999999999999\n{hash}\n"),
        "rekor.example\n1\nAAAA\n".into(),
        "rekor.example\n1\n\u{fc}\n".into(),
        format!("\n1\n{hash}\n"),
    ] {
        let mut signing = good.clone();
        proof(&mut signing, signed(&text));
        refused(&signing, &root, &policy(), "checkpoint_malformed");
    }
    for envelope in
        ["x", "\n\n", "a\n\n\u{2014} ", "a\n\n\u{2014} rekor.example AAAA\n", "a\n\n\u{2014} rekor.example ====\n"]
    {
        let mut signing = good.clone();
        proof(&mut signing, envelope.into());
        refused(&signing, &root, &policy(), "checkpoint_signature_invalid");
    }
}

/// CVE-2026-39984, the verifier of timestamp-authority: a token with a stranger's certificate first. The constraints of the one that
/// signed are in `tsp::tests`.
#[test]
fn ghsa_xm5m_wgh2_rrg3_a_timestamp_is_by_the_authority_of_the_root() {
    let (instance, stranger) = (Instance::new(), Authority::tsa("tsa"));
    let mut signing = instance.sign();
    signing.timestamps = vec![stranger.timestamp(signing.signature(), minutes(1))];
    refused(&signing, &instance.root(), &policy(), "timestamp_invalid");
}

/// CVE-2024-51746, gitsign: a search gave entries of the key or of the payload, and any of them was taken.
#[test]
fn ghsa_8pmp_678w_c8xx_an_entry_of_the_same_key_or_of_the_same_payload_is_not_enough() {
    let instance = Instance::new();
    let key = Key::new(KeyType::EcdsaP256);
    let material = instance.of_alice(&key);
    let of = |payload: &[u8]| Signing::of_envelope(&key, material.clone(), IN_TOTO_PAYLOAD_TYPE, payload);
    let ours = of(&statement(ARTIFACT));
    for kind in [EntryKind::DsseV1, EntryKind::IntotoV2] {
        let same_key = of(&statement(b"another artifact")).in_v1(&instance.rekor_v1, kind);
        let same_payload = instance.attested().in_v1(&instance.rekor_v1, kind);
        for entries in [same_key.entries, same_payload.entries] {
            refused(&Signing { entries, ..ours.clone() }, &instance.root(), &policy(), "log_entry_mismatch");
        }
    }
}

/// CVE-2023-47122, gitsign: the key of the log came from the log.
#[test]
fn ghsa_xvrc_2wvh_49vc_the_keys_of_logs_come_from_the_trusted_root() {
    let instance = Instance::new();
    let impostor = Log::v1("rekor-v1.example");
    let signing = instance.sign_v1();
    let mut entry = impostor.promised(EntryKind::HashedRekordV1, signing.body_v1(EntryKind::HashedRekordV1));
    let foreign = Signing { entries: vec![entry.clone()], ..signing.clone() };
    refused(&foreign, &instance.root(), &policy(), "promise_log_unknown");
    // In the name of the true log.
    entry.log_id.as_mut().unwrap().key_id = instance.rekor_v1.note_key().id().to_vec();
    impostor.promise(&mut entry, minutes(1));
    let foreign = Signing { entries: vec![entry.clone()], ..signing.clone() };
    refused(&foreign, &instance.root(), &policy(), "promise_invalid");
    instance.rekor_v1.promise(&mut entry, minutes(1));
    refused(&Signing { entries: vec![entry], ..signing }, &instance.root(), &policy(), "checkpoint_signature_invalid");
}

/// CVE-2026-44309, gitsign: what was verified was written anew and not what had been signed, so that two readers saw two texts.
#[test]
fn ghsa_7rmh_48mx_2vwc_the_bytes_that_were_signed_are_the_bytes_that_are_read() {
    let instance = Instance::new();
    let key = Key::new(KeyType::EcdsaP256);
    let value: Value = serde_json::from_slice(&statement(ARTIFACT)).unwrap();
    let spaced = serde_json::to_string_pretty(&value).unwrap();
    let signing = Signing::of_envelope(&key, instance.of_alice(&key), IN_TOTO_PAYLOAD_TYPE, spaced.as_bytes())
        .timestamped(&instance.tsa, minutes(1))
        .in_v2(&instance.rekor);
    assert_eq!(code(&signing, &instance.root(), &policy()), Ok(()));
    let Content::Envelope(mut envelope) = signing.content.clone() else { unreachable!() };
    envelope.payload = statement(ARTIFACT);
    let rewritten = Signing { content: Content::Envelope(envelope), ..signing };
    refused(&rewritten, &instance.root(), &policy(), "log_entry_mismatch");
    // A member that stands twice is read by nobody.
    let twice = String::from_utf8(statement(ARTIFACT)).unwrap().replacen('{', "{\"subject\":[],", 1);
    let signing = Signing::of_envelope(&key, instance.of_alice(&key), IN_TOTO_PAYLOAD_TYPE, twice.as_bytes());
    refused(&signing.in_v1(&instance.rekor_v1, EntryKind::DsseV1), &instance.root(), &policy(), "statement_malformed");
}

/// Checkpoint, proof and promise were read and not verified.
#[test]
fn sigstore_java_654_checkpoint_proof_and_promise_are_verified() {
    let instance = Instance::new();
    let root = instance.root();
    let good = instance.sign_v1();
    let proof = |signing: &mut Signing, edit: &dyn Fn(&mut crate::wire::rekor::InclusionProof)| {
        edit(signing.entries[0].inclusion_proof.0.as_mut().unwrap());
    };
    let mut checkpoint = good.clone();
    let foreign = Log::v1("rekor-v1.example");
    let hashes = [b"one".to_vec(), b"two".to_vec(), good.entries[0].canonicalized_body.clone()];
    let hashes = hashes.map(|leaf| leaf_hash(&leaf));
    let forged = foreign.checkpoint(&foreign.origin(), &hashes);
    proof(&mut checkpoint, &|proof| proof.checkpoint.as_mut().unwrap().envelope.clone_from(&forged));
    refused(&checkpoint, &root, &policy(), "checkpoint_signature_invalid");
    let mut path = good.clone();
    proof(&mut path, &|proof| proof.hashes[0][31] ^= 1);
    refused(&path, &root, &policy(), "inclusion_proof_invalid");
    let mut promise = good;
    foreign.promise(&mut promise.entries[0], minutes(1));
    refused(&promise, &root, &policy(), "promise_invalid");
}

/// A time that nobody signed decided whether the certificate was valid.
#[test]
fn sigstore_rust_160_a_time_without_promise_is_no_time() {
    let instance = Instance::new();
    for mut signing in [instance.sign_v1(), instance.sign()] {
        signing.timestamps.clear();
        signing.entries[0].inclusion_promise.0 = None;
        signing.entries[0].integrated_time.0 = minutes(1).as_second();
        refused(&signing, &instance.root(), &policy(), "time_missing");
    }
    // And it does not stand beside one that was signed.
    let mut signing = instance.sign();
    signing.entries[0].integrated_time.0 = minutes(11).as_second();
    let verified = judge(&signing, &instance.root(), &policy()).unwrap();
    assert_eq!(verified.times().iter().map(super::super::VerifiedTime::time).collect::<Vec<_>>(), [minutes(1)]);
}

/// The window of another timestamp authority of the root was taken for that of the one which signed.
#[test]
fn sigstore_rust_166_a_timestamp_is_held_to_the_window_of_its_own_authority() {
    let instance = Instance::new();
    let other = Authority::tsa("tsa");
    let ended = ValidFor::new(noon() - days(1), Some(noon())).unwrap();
    for order in [false, true] {
        let mut trust = instance.trust();
        trust.tsas = vec![instance.tsa.trusted(ended), other.trusted(window())];
        if order {
            trust.tsas.reverse();
        }
        refused(&instance.sign(), &trust.root(), &policy(), "timestamp_outside_authority_window");
    }
}

/// Of several signatures in an envelope one was verified, and which it was nobody knew.
#[test]
fn sigstore_rust_170_an_envelope_has_one_signature() {
    let instance = Instance::new();
    let mut bundle = instance.attested().in_v1(&instance.rekor_v1, EntryKind::DsseV1).json();
    let good = bundle["dsseEnvelope"]["signatures"][0].clone();
    let foreign = instance.attested().json()["dsseEnvelope"]["signatures"][0].clone();
    for signatures in [json!([good, foreign]), json!([foreign, good])] {
        bundle["dsseEnvelope"]["signatures"] = signatures;
        assert_eq!(code_of(&bundle, &instance.root(), &policy()), Err("bundle_envelope"));
    }
}

/// The SCT was verified under the first authority of the name that the leaf gives as its issuer, and not under the one that issued it.
#[test]
fn sigstore_rust_154_an_sct_is_over_the_certificate_of_the_authority_that_issued_it() {
    let instance = Instance::new();
    let namesake = Authority::ca("ca");
    assert_eq!(namesake.issuing.certificate.subject_der(), instance.ca.issuing.certificate.subject_der());
    let mut trust = instance.trust();
    trust.cas.insert(0, namesake.trusted(window()));
    let root = trust.root();
    assert_eq!(code(&instance.sign(), &root, &policy()), Ok(()));
    // A promise for the namesake's certificate with the same contents.
    let (key, issuing) = (Key::new(KeyType::EcdsaP256), &instance.ca.issuing);
    let principal = alice();
    let template = leaf_template(issuing, &key, &principal);
    let precertificate = sign(&template.precertificate_tbs().unwrap(), &issuing.key);
    let entry = LogEntry::from_precertificate(&precertificate, &issuing.certificate).unwrap();
    let LogEntry::Precert { tbs, .. } = entry.clone() else { panic!("a precertificate") };
    let issuer_key_hash = namesake.issuing.key.public().spki_sha256();
    let confused = LogEntry::Precert { issuer_key_hash, tbs };
    let with = |entry: &LogEntry| {
        let mut sct = Promise::of(&instance.ct).sct(entry);
        sct.signature = instance.ct.sign(&sct_signed_bytes(entry, sct.timestamp_ms, &[]));
        let certificate = sign(&template.certificate_tbs(&[sct]).unwrap(), &issuing.key);
        let signing = instance.signed(&key, KeyMaterial::Certificate(certificate));
        code(&instance.logged(signing), &root, &policy())
    };
    assert_eq!(with(&entry), Ok(()));
    assert_eq!(with(&confused), Err("sct_invalid"));
}

/// A bundle that was labelled as version 0.1 needed no inclusion proof.
#[test]
fn jans_14636_an_older_label_does_not_take_the_inclusion_proof_away() {
    let instance = Instance::new();
    for (name, signing) in signings(&instance) {
        let mut bundle = signing.json();
        bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let certificate = material.remove("certificate").unwrap();
        material.insert("x509CertificateChain".into(), json!({"certificates": [certificate]}));
        for left_out in [json!(null), json!({}), json!({"logIndex": "2", "treeSize": "3"})] {
            bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"] = left_out;
            let found = code_of(&bundle, &instance.root(), &policy());
            assert!(matches!(found, Err("inclusion_proof_missing" | "bundle_log_entry")), "{name}: {found:?}");
        }
    }
}

/// The digest in a bundle is a hint: a bundle about another file that names this one's digest is still about the other.
#[test]
fn a_digest_that_a_bundle_names_proves_nothing() {
    let instance = Instance::new();
    let other = b"another artifact";
    for signing in [instance.sign(), instance.sign_v1()] {
        let content = Content::Message {
            digest: Some(digest(HashAlgorithm::Sha256, other)),
            signature: signing.signature().to_vec(),
        };
        let bundle = Signing { content, ..signing }.bundle();
        let error = verify(&Artifact::of_bytes(other), &bundle, &instance.root(), &policy(), minutes(60)).unwrap_err();
        assert_eq!(error.code(), "log_entry_mismatch");
    }
}
