// SPDX-License-Identifier: Apache-2.0
//! For tests: the codes of failures are an interface. docs/verify.md lists all of them, with the check and the exit code of each.

use std::collections::{BTreeMap, BTreeSet};

use touchmark_keys::{HashAlgorithm, Scheme, digest};
use touchmark_sigstore::intoto::StatementError;
use touchmark_sigstore::policy::PolicyError;
use touchmark_sigstore::verify::{
    ArtifactFailure, ChainFailure, IdentityFailure, KeyFailure, LogFailure, PromiseFailure, SctFailure,
    SignatureFailure, StatementFailure, TimeFailure, TimestampFailure, VerifyError,
};

use super::verdict::exit_of;

const DOCUMENT: &str = include_str!("../../../../docs/verify.md");

/// Where codes are made.
const SOURCES: [&str; 15] = [
    include_str!("../../../sigstore/src/verify/artifact.rs"),
    include_str!("../../../sigstore/src/verify/chain.rs"),
    include_str!("../../../sigstore/src/verify/claim.rs"),
    include_str!("../../../sigstore/src/verify/log.rs"),
    include_str!("../../../sigstore/src/verify/promise.rs"),
    include_str!("../../../sigstore/src/verify/sct.rs"),
    include_str!("../../../sigstore/src/verify/signer.rs"),
    include_str!("../../../sigstore/src/verify/statement.rs"),
    include_str!("../../../sigstore/src/verify/time.rs"),
    include_str!("../../../sigstore/src/verify/timestamp.rs"),
    include_str!("../../../sigstore/src/policy/refusal.rs"),
    include_str!("../../../sigstore/src/bundle/mod.rs"),
    include_str!("../../../sigstore/src/ct/inclusion/failure.rs"),
    include_str!("../../../client/src/ct_inclusion.rs"),
    "fn code() {\"bundle_content\" \"bundle_form\" \"bundle_conversion\" \"bundle_missing\" \"bundle_unreadable\" \
     \"artifact_unreadable\" \"ct_without_certificate\"\n    }",
];

/// The codes in the bodies of the functions called `code`.
fn codes_of(source: &str) -> BTreeSet<&str> {
    let bodies = source.split("fn code(").skip(1).filter_map(|rest| rest.split("\n    }").next());
    bodies.flat_map(|body| body.split('"').skip(1).step_by(2)).collect()
}

/// Check and exit code of every code in the table of the document.
fn documented() -> BTreeMap<&'static str, (&'static str, u8)> {
    let rows = DOCUMENT.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [code, check, exit, _] = cells.as_slice() else { return None };
        Some((code.strip_prefix('`')?.strip_suffix('`')?, (*check, exit.parse().ok()?)))
    });
    rows.collect()
}

#[test]
fn every_code_is_documented_and_none_that_is_not() {
    let made: BTreeSet<&str> = SOURCES.into_iter().flat_map(codes_of).collect();
    let documented: BTreeSet<&str> = documented().into_keys().collect();
    assert_eq!(documented.difference(&made).collect::<Vec<_>>(), Vec::<&&str>::new(), "documented, and nowhere made");
    assert_eq!(made.difference(&documented).collect::<Vec<_>>(), Vec::<&&str>::new(), "made, and not documented");
}

#[test]
fn exit_codes_and_checks_are_as_documented() {
    let documented = documented();
    for error in samples() {
        let (check, exit) = documented[error.code()];
        assert_eq!(exit_of(error.class()).number(), exit, "{error:?}");
        // A digest of another algorithm can be missed by three checks.
        if !error.code().ends_with("digest_missing") {
            assert_eq!(error.check().name(), check, "{error:?}");
        }
    }
}

#[test]
fn exit_codes_are_documented_in_their_table() {
    for status in crate::exit::ExitStatus::ALL {
        let row = format!("| {} | `{}` |", status.number(), status.code());
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}

/// A failure of each code that can be made from its parts.
fn samples() -> Vec<VerifyError> {
    let (sha256, log_id) = (digest(HashAlgorithm::Sha256, b""), [0; 32]);
    let (expected, found) = (2, 1);
    vec![
        TimeFailure::Missing.into(),
        TimeFailure::TooFew { expected, found }.into(),
        TimeFailure::TooFewTimestamps { expected, found }.into(),
        TimestampFailure::NoAuthority.into(),
        PromiseFailure::UnknownLog { log_id }.into(),
        PromiseFailure::Time { seconds: 0 }.into(),
        ChainFailure::NoTime.into(),
        ChainFailure::NoAuthority { times: Vec::new() }.into(),
        SctFailure::TooFew { expected, found }.into(),
        SctFailure::UnknownLog { log_id }.into(),
        SctFailure::Time { timestamp_ms: 0 }.into(),
        IdentityFailure::BareKey.into(),
        IdentityFailure::Policy(PolicyError::AcceptsAnything).into(),
        KeyFailure::Certified.into(),
        ArtifactFailure::NoDigest { algorithm: HashAlgorithm::Sha512 }.into(),
        ArtifactFailure::OtherArtifact { expected: sha256.clone(), found: sha256 }.into(),
        LogFailure::Missing.into(),
        LogFailure::UnknownLog { log_id }.into(),
        LogFailure::TooFew { of: "logs", expected, found }.into(),
        LogFailure::NoInclusionProof.into(),
        LogFailure::OtherPart { part: "digest" }.into(),
        LogFailure::NoName { base_url: String::new() }.into(),
        LogFailure::Origin { expected: String::new(), found: String::new() }.into(),
        SignatureFailure::NoDigest { algorithm: HashAlgorithm::Sha512 }.into(),
        SignatureFailure::NeedsMessage { scheme: Scheme::Ed25519 }.into(),
        SignatureFailure::NoCommonScheme.into(),
        StatementFailure::PayloadType { found: String::new() }.into(),
        StatementFailure::Statement(StatementError::NoSubject).into(),
        StatementFailure::Statement(StatementError::NoCommonAlgorithm).into(),
        StatementFailure::Statement(StatementError::Contradicts {
            name: String::new(),
            algorithm: HashAlgorithm::Sha256,
        })
        .into(),
        StatementFailure::Policy(PolicyError::PredicateType { expected: String::new(), found: String::new() }).into(),
        StatementFailure::NoStatement { expected: String::new() }.into(),
    ]
}
