// SPDX-License-Identifier: Apache-2.0
//! What is found in a policy, and what is not.

use super::*;
use crate::policy::{Demands, KeyRule, WitnessPolicy};
use crate::trust::ValidFor;
use crate::workshop::{Key, noon};
use touchmark_keys::KeyType;

const ISSUER: &str = "https://issuer.example";

fn exact(text: &str) -> Matcher {
    Matcher::exact(text).unwrap()
}

fn pattern(text: &str) -> Matcher {
    Matcher::pattern(text).unwrap()
}

fn uri(matcher: Matcher) -> IdentityMatcher {
    IdentityMatcher::of_type(SanType::Uri, matcher)
}

fn rule(san: IdentityMatcher) -> IdentityRule {
    IdentityRule::new(san, exact(ISSUER))
}

fn lint(rules: Vec<IdentityRule>) -> Vec<(Severity, &'static str)> {
    let demands = Demands { predicate_type: Some(exact("https://slsa.dev/provenance/v1")), ..Demands::keyless() };
    let policy = Policy::any_of(rules).unwrap().with_demands(demands).unwrap();
    policy.lint().into_iter().map(|finding| (finding.severity, finding.code)).collect()
}

#[test]
fn rules() {
    use Severity::{Danger, Note, Warning};
    let alice = || IdentityMatcher::exact("alice@example.com").unwrap();
    let workflow = "https://github.com/owner/repo/.github/workflows/release.yml@refs/heads/main";
    let source = |matcher| (FulcioExtension::SourceRepositoryUri, matcher);
    let cases: Vec<(IdentityRule, &[(Severity, &str)])> = vec![
        (rule(alice()), &[]),
        (rule(IdentityMatcher::email_domain("example.com").unwrap()), &[]),
        (rule(uri(Matcher::glob("https://example.com/*").unwrap())), &[]),
        (rule(uri(pattern(r"^https://example\.com/v[0-9.]+$"))), &[]),
        (rule(uri(pattern(r"https://example\.com/v1"))), &[(Note, "unanchored_pattern")]),
        (rule(uri(pattern(r"^https://example.com/v1$"))), &[(Warning, "unescaped_dot")]),
        (rule(uri(pattern(r"^https://example[.]com/.*$"))), &[]),
        (rule(uri(pattern(r"^.*/release$"))), &[(Warning, "open_beginning")]),
        (rule(uri(exact("https://example.com/.*"))), &[(Warning, "exact_looks_like_pattern")]),
        (rule(uri(exact("https://example.com/a "))), &[(Warning, "white_space")]),
        (rule(uri(pattern("^https://.*$"))), &[(Danger, "any_identity")]),
        (rule(uri(Matcher::glob("**").unwrap())), &[(Danger, "any_identity")]),
        (
            rule(uri(Matcher::glob("**").unwrap()))
                .with(FulcioExtension::SourceRepositoryUri, exact("https://github.com/a/b")),
            &[],
        ),
        (rule(IdentityMatcher::of_type(SanType::Email, exact("https://a"))), &[(Danger, "impossible_type")]),
        (rule(IdentityMatcher::of_type(SanType::Uri, exact("alice@example.com"))), &[(Danger, "impossible_type")]),
        (rule(IdentityMatcher::of_type(SanType::Username, exact("alice"))), &[(Danger, "impossible_type")]),
        (rule(IdentityMatcher::of_type(SanType::Dns, exact("a@b"))), &[(Danger, "impossible_type")]),
        (rule(uri(exact(workflow))), &[(Note, "source_not_demanded")]),
        (
            IdentityRule {
                extensions: vec![source(exact("https://github.com/owner/repo"))],
                ..rule(uri(exact(workflow)))
            },
            &[],
        ),
        (IdentityRule::new(alice(), pattern("^.*$")), &[(Danger, "any_issuer")]),
        (IdentityRule::new(alice(), Matcher::glob("https://**").unwrap()), &[(Danger, "any_issuer")]),
        (IdentityRule::new(alice(), exact("accounts.google.com")), &[(Warning, "issuer_not_https")]),
        (
            IdentityRule::new(alice(), Matcher::any_of(vec![exact(ISSUER), pattern(r"^https://a.b/$")]).unwrap()),
            &[(Warning, "unescaped_dot")],
        ),
    ];
    for (rule, expect) in cases {
        assert_eq!(lint(vec![rule.clone()]), expect, "{rule:?}");
    }
}

#[test]
fn rules_behind_one_that_accepts_as_much() {
    let alice = || rule(IdentityMatcher::exact("alice@example.com").unwrap());
    let domain = || rule(IdentityMatcher::email_domain("example.com").unwrap());
    let push = |rule: IdentityRule| rule.with(FulcioExtension::BuildTrigger, exact("push"));
    let other = || IdentityRule::new(IdentityMatcher::exact("alice@example.com").unwrap(), exact("https://other"));
    for (rules, expect) in [
        (vec![alice(), alice()], Some("duplicate_rule")),
        (vec![domain(), alice()], Some("shadowed_rule")),
        (vec![alice(), push(alice())], Some("shadowed_rule")),
        (vec![alice(), domain()], None),
        (vec![push(alice()), alice()], None),
        (vec![alice(), other()], None),
        (vec![push(alice()), push(alice())], Some("duplicate_rule")),
    ] {
        let found: Vec<&str> = lint(rules.clone()).into_iter().map(|(_, code)| code).collect();
        assert_eq!(found, expect.into_iter().collect::<Vec<_>>(), "{rules:?}");
    }
    let policy = Policy::any_of(vec![domain().named("staff"), alice().named("alice")]).unwrap();
    assert_eq!(
        policy.lint()[0].to_string(),
        "warning: identity 2 (alice): whoever it accepts is accepted by identity 1 (staff) already"
    );
}

#[test]
fn demands() {
    let lint = |change: fn(&mut Demands)| {
        let mut demands = Demands { predicate_type: Some(exact("https://a/v1")), ..Demands::keyless() };
        change(&mut demands);
        let policy = Policy::keyless(IdentityMatcher::exact("alice@example.com").unwrap(), exact(ISSUER));
        let findings = policy.with_demands(demands).unwrap().lint();
        findings.into_iter().map(|finding| format!("{} {}", finding.code, finding.subject)).collect::<Vec<_>>()
    };
    assert_eq!(lint(|_| {}), [] as [&str; 0]);
    assert_eq!(lint(|demands| demands.predicate_type = None), ["any_predicate_type predicate-type"]);
    assert_eq!(lint(|demands| demands.legacy_entries_without_proof = true), ["weakened legacy-entries-without-proof"]);
    assert_eq!(lint(|demands| demands.certificates_without_sct = true), ["unused_weakening certificates-without-sct"]);
    assert_eq!(
        lint(|demands| (demands.certificates_without_sct, demands.scts) = (true, 0)),
        ["weakened certificates-without-sct"]
    );
    assert_eq!(
        lint(|demands| (demands.signatures_without_log, demands.log_entries) = (true, 0)),
        ["weakened signatures-without-log"]
    );
    assert_eq!(
        lint(|demands| (demands.certificates_without_time, demands.times) = (true, 0)),
        ["weakened certificates-without-time"]
    );
    assert_eq!(lint(|demands| demands.log_operators = 2), ["more_operators log-operators"]);
    assert_eq!(lint(|demands| demands.timestamps = 2), ["more_timestamps times"]);
    let without_witnesses = |demands: &mut Demands| {
        let log = "witness.example+82bca4dd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
        let log = touchmark_tlog::note::NoteKey::parse_vkey(log).unwrap();
        let key = log.public_key().clone();
        let log = touchmark_tlog::note::NoteKey::new("log", touchmark_tlog::note::NoteAlgorithm::Ed25519, key).unwrap();
        let text = format!("log {}\nquorum none\n", log.to_vkey().unwrap());
        demands.witnesses = Some(WitnessPolicy::from_tlog_policy(&text).unwrap());
    };
    assert_eq!(lint(without_witnesses), ["no_witness witnesses"]);
}

#[test]
fn the_window_of_a_key_needs_a_time() {
    let key = Key::new(KeyType::EcdsaP256).public();
    let policy = Policy::managed_key(KeyRule { key, valid_for: Some(ValidFor::since(noon())) });
    let codes = |policy: &Policy| policy.lint().iter().map(|finding| finding.code).collect::<Vec<_>>();
    assert_eq!(codes(&policy), ["any_predicate_type", "window_without_time"]);
    let demands = Demands { times: 1, ..Demands::managed_key() };
    assert_eq!(codes(&policy.with_demands(demands).unwrap()), ["any_predicate_type"]);
}

#[test]
fn thresholds_that_a_trusted_root_cannot_meet() {
    let root = crate::verify::vectors::case("rekor2-happy-path").root();
    let lint = |change: fn(&mut Demands)| {
        let mut demands = Demands::keyless();
        change(&mut demands);
        let policy = Policy::keyless(IdentityMatcher::exact("alice@example.com").unwrap(), exact(ISSUER));
        let findings = policy.with_demands(demands).unwrap().lint_against(&root);
        findings.into_iter().map(|finding| (finding.code, finding.subject)).collect::<Vec<_>>()
    };
    assert_eq!(lint(|_| {}), []);
    let unreachable = |demand: &str| vec![("unreachable_threshold", demand.to_owned())];
    assert_eq!(lint(|demands| demands.log_entries = 32), unreachable("log-entries"));
    assert_eq!(lint(|demands| demands.log_operators = 32), unreachable("log-operators"));
    assert_eq!(lint(|demands| demands.scts = 32), unreachable("scts"));
    assert_eq!(lint(|demands| demands.timestamps = 32), unreachable("timestamps"));
    assert_eq!(lint(|demands| demands.times = 32), unreachable("times"));
}

/// The documentation has a row for each finding.
#[test]
#[expect(clippy::disallowed_methods, reason = "tests read the documentation from a file")]
fn every_finding_is_documented() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy.md")).unwrap();
    let source = include_str!("../lint.rs");
    let codes: Vec<&str> = source
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.contains('_') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect();
    assert!(codes.len() > 15, "{codes:?}");
    for code in codes {
        assert!(text.contains(&format!("`{code}`")), "{code}");
    }
}
