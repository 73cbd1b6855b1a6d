// SPDX-License-Identifier: Apache-2.0
//! The public conformance suite: every case by its file and by its digest, each refusal for what is wrong with it.

use jiff::Timestamp;

use crate::bundle::Bundle;
use crate::rekor::EntryKind;
use crate::verify::vectors::{Case, case, cases};
use crate::verify::{Artifact, TimeSource, Verified, verify};

/// As of this day the vectors were taken.
pub(super) fn now() -> Timestamp {
    "2026-08-26T00:00:00Z".parse().unwrap()
}

/// The code of the refusal, or the word for acceptance.
fn verdict(case: &Case, artifact: &Artifact<'_>) -> &'static str {
    let bundle = match Bundle::parse(&case.bundle) {
        Ok(bundle) => bundle,
        Err(error) => return error.code(),
    };
    let Ok(policy) = case.checked_policy() else { return "key_malformed" };
    verify(artifact, &bundle, &case.root(), &policy, now()).map_or_else(|error| error.code(), |_| "accepted")
}

/// What is wrong with each case that must be refused, by the code that says so.
const REFUSALS: [(&str, &str); 49] = [
    ("bundle-empty-certificate-chain_fail", "bundle_incomplete"),
    ("bundle-from-wrong-instance_fail", "promise_log_unknown"),
    ("bundle-invalid-base64-signature_fail", "bundle_malformed"),
    ("bundle-malformed-json_fail", "bundle_malformed"),
    ("bundle-negative-log-index_fail", "bundle_log_entry"),
    ("bundle-unknown-version_fail", "bundle_media_type"),
    ("bundle-with-root-cert_fail", "bundle_certificate"),
    ("checkpoint-bad-keyhint_fail", "checkpoint_signature_invalid"),
    ("checkpoint-wrong-roothash_fail", "log_entry_inconsistent"),
    ("dsse-invalid-sig_fail", "log_entry_mismatch"),
    ("dsse-mismatch-envelope_fail", "log_entry_mismatch"),
    ("dsse-mismatch-sig_fail", "log_entry_mismatch"),
    ("inclusion-proof-corrupted-hash_fail", "inclusion_proof_invalid"),
    ("incorrect-public-key_fail", "promise_invalid"),
    ("integrated-time-in-future_fail", "chain_outside_validity"),
    ("intoto-expired-certificate_fail", "chain_outside_validity"),
    ("intoto-log-entry-mismatch_fail", "log_entry_malformed"),
    ("intoto-missing-inclusion-proof_fail", "bundle_log_entry"),
    ("intoto-set-outside-signing-cert-validity_fail", "chain_outside_validity"),
    ("intoto-tsa-timestamp-outside-cert-validity_fail", "chain_outside_validity"),
    ("invalid-checkpoint-signature_fail", "checkpoint_signature_invalid"),
    ("invalid-ct-key_fail", "sct_log_unknown"),
    ("invalid-inclusion-proof_fail", "bundle_log_entry"),
    ("managed-key-no-key_fail", "identity_missing"),
    ("managed-key-wrong-key_fail", "key_malformed"),
    ("message-digest-mismatch_fail", "artifact_mismatch"),
    ("rekor2-checkpoint-missing-log-signature_fail", "checkpoint_signature_invalid"),
    ("rekor2-checkpoint-missing-origin_fail", "checkpoint_signature_invalid"),
    ("rekor2-checkpoint-missing-root-hash_fail", "checkpoint_signature_invalid"),
    ("rekor2-checkpoint-missing-size_fail", "checkpoint_signature_invalid"),
    ("rekor2-checkpoint-no-matching-signature_fail", "checkpoint_signature_invalid"),
    ("rekor2-dsse-invalid-sig_fail", "log_entry_mismatch"),
    ("rekor2-dsse-mismatch-envelope_fail", "log_entry_mismatch"),
    ("rekor2-dsse-mismatch-sig_fail", "log_entry_mismatch"),
    ("rekor2-no-inclusion-proof_fail", "bundle_log_entry"),
    ("rekor2-no-timestamp_fail", "time_missing"),
    ("rekor2-timestamp-outside-trust-root-tsa-validity_fail", "timestamp_outside_authority_window"),
    ("rekor2-timestamp-outside-tsa-cert-validity_fail", "timestamp_invalid"),
    ("rekor2-timestamp-payload-mismatch_fail", "timestamp_invalid"),
    ("rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail", "timestamp_invalid"),
    ("rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail", "timestamp_invalid"),
    ("rekor2-timestamp-with-incorrect-time_fail", "bundle_malformed"),
    ("set-invalid-signature_fail", "promise_invalid"),
    ("signature-mismatch_fail", "log_entry_mismatch"),
    ("trust-root-tlog-missing-validity-start_fail", "log_unknown"),
    ("wrong-hashedrekord-artifact_fail", "log_entry_mismatch"),
    ("wrong-hashedrekord-cert-and-sig_fail", "log_entry_mismatch"),
    ("wrong-hashedrekord-entry_fail", "log_entry_mismatch"),
    ("wrong-material_fail", "artifact_mismatch"),
];

#[test]
fn every_case_has_its_verdict_by_file_and_by_digest() {
    let (mut verdicts, mut wrong) = (0, Vec::new());
    for case in cases() {
        let expect = REFUSALS.iter().find(|(name, _)| *name == case.name).map_or("accepted", |(_, code)| *code);
        assert_eq!(case.must_fail(), expect != "accepted", "{}", case.name);
        for (input, artifact) in [("file", case.artifact()), ("digest", case.sha256())] {
            verdicts += 1;
            let found = verdict(&case, &artifact);
            if found != expect {
                wrong.push((case.name.clone(), input, expect, found));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(verdicts, 140);
}

#[test]
fn a_timestamp_of_another_time_than_the_certificates_is_refused() {
    // The timestamp of the case has line ends in its base64, for which it is refused first.
    let mut case = case("rekor2-timestamp-with-incorrect-time_fail");
    let mut bundle: serde_json::Value = serde_json::from_slice(&case.bundle).unwrap();
    let place = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
    let timestamp = bundle.pointer_mut(place).unwrap();
    *timestamp = timestamp.as_str().unwrap().replace('\n', "").into();
    case.bundle = bundle.to_string().into_bytes();
    assert_eq!(verdict(&case, &case.artifact()), "chain_outside_validity");
}

fn verified(name: &str) -> Verified {
    let case = case(name);
    verify(&case.artifact(), &Bundle::parse(&case.bundle).unwrap(), &case.root(), &case.policy(), now()).unwrap()
}

#[test]
fn accepted_cases_prove_who_when_and_where() {
    let verified = verified("rekor2-happy-path");
    let certified = verified.certified().unwrap();
    assert_eq!(verified.times()[0].time(), "2025-06-12T12:02:20Z".parse().unwrap());
    assert_eq!(certified.identity().issuer(), "https://token.actions.githubusercontent.com");
    let entry = &verified.entries()[0];
    assert_eq!(entry.origin(), "log2025-alpha1.rekor.sigstage.dev");
    assert_eq!((entry.index().0, entry.inclusion().unwrap().tree_size().0), (735, 736));
    assert_eq!(certified.sct().promises().len(), 1);
    assert_eq!(certified.chain().certificates().len(), 3);
    assert_eq!(certified.chain().authority(), "https://fulcio.sigstage.dev");
}

#[test]
fn an_entry_of_rekor_v1_proves_time_and_both_of_its_indices() {
    let verified = verified("happy-path-v0.1");
    assert!(matches!(verified.times()[0].source(), TimeSource::Promise(_)));
    assert_eq!(verified.times()[0].time().as_second(), 1_689_177_396);
    let entry = &verified.entries()[0];
    assert_eq!((entry.kind(), entry.index().0), (EntryKind::HashedRekordV1, 27_246_492));
    assert_eq!(entry.inclusion().unwrap().origin(), "rekor.sigstore.dev - 2605736670972794746");
}

#[test]
fn a_managed_key_signs_without_identity_and_an_attestation_states_something() {
    let managed = verified("managed-key-happy-path");
    assert!(managed.certified().is_none());
    let attestation = verified("happy-path-intoto-in-dsse-v3");
    assert_eq!(attestation.statement().unwrap().predicate_type(), "https://slsa.dev/provenance/v1");
}
