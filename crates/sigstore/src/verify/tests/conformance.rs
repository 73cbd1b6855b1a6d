// SPDX-License-Identifier: Apache-2.0
//! The cases of the public suite that this version reads, each with its verdict; the others must be refused by name.

use jiff::Timestamp;

use crate::bundle::{Bundle, BundleError, Unsupported};
use crate::verify::vectors::{Case, cases};
use crate::verify::verify;

/// As of this day the vectors were taken.
pub(super) fn now() -> Timestamp {
    "2026-08-26T00:00:00Z".parse().unwrap()
}

/// The code of the refusal, or the word for acceptance.
fn verdict(case: &Case, bundle: &Bundle) -> &'static str {
    let verdicts = [case.artifact(), case.sha256()].map(|artifact| {
        verify(&artifact, bundle, &case.root(), &case.policy(), now()).map_or_else(|error| error.code(), |_| "accepted")
    });
    assert_eq!(verdicts[0], verdicts[1], "{}: by file and by digest", case.name);
    verdicts[0]
}

/// What is wrong with each case that must be refused, by the code that says so.
const REFUSALS: [(&str, &str); 13] = [
    ("rekor2-checkpoint-missing-log-signature_fail", "checkpoint_signature_invalid"),
    ("rekor2-checkpoint-missing-origin_fail", "checkpoint_signature_invalid"),
    ("rekor2-checkpoint-missing-root-hash_fail", "checkpoint_signature_invalid"),
    ("rekor2-checkpoint-missing-size_fail", "checkpoint_signature_invalid"),
    ("rekor2-checkpoint-no-matching-signature_fail", "checkpoint_signature_invalid"),
    ("rekor2-no-inclusion-proof_fail", "bundle_log_entry"),
    ("rekor2-no-timestamp_fail", "timestamp_missing"),
    ("rekor2-timestamp-outside-trust-root-tsa-validity_fail", "timestamp_outside_authority_window"),
    ("rekor2-timestamp-outside-tsa-cert-validity_fail", "timestamp_invalid"),
    ("rekor2-timestamp-payload-mismatch_fail", "timestamp_invalid"),
    ("rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail", "timestamp_invalid"),
    ("rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail", "timestamp_invalid"),
    ("trust-root-tlog-missing-validity-start_fail", "log_unknown"),
];

/// The cases that must be accepted and that this version reads.
const ACCEPTED: [&str; 11] = [
    "bundle-with-sct-with-extensions",
    "rekor2-checkpoint-cosigned",
    "rekor2-checkpoint-multiple-cosigs",
    "rekor2-checkpoint-origin-not-first",
    "rekor2-checkpoint-two-sigs-cosigned",
    "rekor2-checkpoint-two-sigs-from-origin",
    "rekor2-happy-path",
    "rekor2-timestamp-with-embedded-cert",
    "rekor2-timestamp-with-expired-cert-chain",
    "rekor2-timestamp-without-embedded-cert",
    "trust-root-tsa-validity-end-inclusive",
];

/// The other cases that must be accepted one day: bundles of kinds that are not supported yet.
fn is_named_as_unsupported(error: &BundleError) -> bool {
    matches!(error, BundleError::Unsupported(_))
}

#[test]
fn every_case_has_its_verdict() {
    let mut seen = (Vec::new(), Vec::new());
    for case in cases() {
        let bundle = match Bundle::parse(&case.bundle) {
            Ok(bundle) => bundle,
            Err(error) if !case.must_fail() => {
                assert!(is_named_as_unsupported(&error), "{}: {error}", case.name);
                continue;
            }
            Err(error) => {
                if !is_named_as_unsupported(&error) {
                    seen.1.push((case.name, error.code()));
                }
                continue;
            }
        };
        match verdict(&case, &bundle) {
            "accepted" => {
                assert!(!case.must_fail(), "{} is accepted", case.name);
                seen.0.push(case.name);
            }
            code => {
                assert!(case.must_fail(), "{} is refused: {code}", case.name);
                seen.1.push((case.name, code));
            }
        }
    }
    assert_eq!(seen.0, ACCEPTED);
    seen.1.retain(|(name, _)| !MALFORMED.iter().any(|(malformed, _)| malformed == name));
    let refusals: Vec<(&str, &str)> = seen.1.iter().map(|(name, code)| (name.as_str(), *code)).collect();
    assert_eq!(refusals, REFUSALS);
}

/// The cases that no version reads.
const MALFORMED: [(&str, &str); 4] = [
    ("bundle-invalid-base64-signature_fail", "bundle_malformed"),
    ("bundle-malformed-json_fail", "bundle_malformed"),
    ("bundle-unknown-version_fail", "bundle_media_type"),
    // Its timestamp has line ends in its base64; what it is about is in the test below.
    ("rekor2-timestamp-with-incorrect-time_fail", "bundle_malformed"),
];

#[test]
fn malformed_cases_are_refused_for_what_they_are() {
    for (name, code) in MALFORMED {
        let case = crate::verify::vectors::case(name);
        assert_eq!(Bundle::parse(&case.bundle).unwrap_err().code(), code, "{name}");
    }
}

#[test]
fn a_timestamp_of_another_time_than_the_certificates_is_refused() {
    let mut case = crate::verify::vectors::case("rekor2-timestamp-with-incorrect-time_fail");
    let mut bundle: serde_json::Value = serde_json::from_slice(&case.bundle).unwrap();
    let place = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
    let timestamp = bundle.pointer_mut(place).unwrap();
    *timestamp = timestamp.as_str().unwrap().replace('\n', "").into();
    case.bundle = bundle.to_string().into_bytes();
    assert_eq!(verdict(&case, &Bundle::parse(&case.bundle).unwrap()), "chain_outside_validity");
}

#[test]
fn what_is_not_supported_yet_is_said_by_kind() {
    let unsupported = |name: &str| match Bundle::parse(&crate::verify::vectors::case(name).bundle) {
        Err(BundleError::Unsupported(what)) => what,
        other => panic!("{name}: {other:?}"),
    };
    let media_type = |version: &str| Unsupported::MediaType {
        found: format!("application/vnd.dev.sigstore.bundle+json;version={version}"),
    };
    let v1 = Unsupported::LogEntry { kind: "hashedrekord".into(), version: "0.0.1".into() };
    assert_eq!(unsupported("happy-path-v0.1"), media_type("0.1"));
    assert_eq!(unsupported("happy-path-v0.2"), v1);
    assert_eq!(unsupported("happy-path-v0.3"), v1);
    assert_eq!(unsupported("happy-path-v0.3-new-mediaType"), v1);
    assert_eq!(unsupported("happy-path-intoto-in-dsse-v3"), Unsupported::DsseEnvelope);
    assert_eq!(unsupported("rekor2-dsse-happy-path"), Unsupported::DsseEnvelope);
    assert_eq!(unsupported("managed-key-happy-path"), Unsupported::ManagedKey);
}

#[test]
fn accepted_cases_prove_who_when_and_where() {
    let case = crate::verify::vectors::case("rekor2-happy-path");
    let bundle = Bundle::parse(&case.bundle).unwrap();
    let verified = verify(&case.artifact(), &bundle, &case.root(), &case.policy(), now()).unwrap();
    assert_eq!(verified.timestamps()[0].time(), "2025-06-12T12:02:20Z".parse().unwrap());
    assert_eq!(verified.identity().issuer(), "https://token.actions.githubusercontent.com");
    assert_eq!(verified.entries()[0].origin(), "log2025-alpha1.rekor.sigstage.dev");
    assert_eq!((verified.entries()[0].index().0, verified.entries()[0].tree_size().0), (735, 736));
    assert_eq!(verified.sct().promises().len(), 1);
    assert_eq!(verified.chain().certificates().len(), 3);
    assert_eq!(verified.chain().authority(), "https://fulcio.sigstage.dev");
}
