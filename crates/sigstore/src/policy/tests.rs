// SPDX-License-Identifier: Apache-2.0
//! Which identities a policy accepts.

use super::*;
use crate::principal::SubjectAltName;

const ISSUER: &str = "https://issuer.example";

fn email(text: &str) -> SubjectAltName {
    SubjectAltName::Email(text.into())
}

fn uri(text: &str) -> SubjectAltName {
    SubjectAltName::Uri(text.into())
}

fn policy(identity: IdentityMatcher) -> Policy {
    Policy::keyless(identity, Matcher::exact(ISSUER).unwrap())
}

fn claimed(san: &SubjectAltName, issuer: &str) -> Claimed {
    Claimed { san: san.clone(), issuer: issuer.into(), extensions: Vec::new() }
}

fn accepts(identity: &IdentityMatcher, san: &SubjectAltName) -> bool {
    policy(identity.clone()).judge(claimed(san, ISSUER)).is_ok()
}

#[test]
fn an_exact_identity_is_that_text_alone() {
    let alice = IdentityMatcher::exact("alice@example.com").unwrap();
    assert!(accepts(&alice, &email("alice@example.com")));
    for other in ["Alice@example.com", "alice@example.com ", "alice@example.co", "xalice@example.com", ""] {
        assert!(!accepts(&alice, &email(other)), "{other}");
    }
}

#[test]
fn the_same_text_in_another_type_is_another_identity() {
    let alice = IdentityMatcher::exact("alice@example.com").unwrap();
    assert!(!accepts(&alice, &uri("alice@example.com")));
    assert!(!accepts(&alice, &SubjectAltName::Username("alice@example.com".into())));
    let any = IdentityMatcher::of_any_type(Matcher::exact("alice@example.com").unwrap());
    assert!(accepts(&any, &uri("alice@example.com")));
}

#[test]
fn the_type_of_a_text_is_told_from_its_form() {
    for (text, expect) in [
        ("https://github.com/a/b/.github/workflows/c.yml@refs/heads/main", SanType::Uri),
        ("spiffe://example.org/a", SanType::Uri),
        ("alice@example.com", SanType::Email),
        ("alice!example.com", SanType::Username),
        ("example.com", SanType::Dns),
    ] {
        assert_eq!(SanType::of_text(text), expect, "{text}");
    }
}

#[test]
fn a_pattern_has_to_match_the_whole_text() {
    let pattern = IdentityMatcher::of_type(SanType::Uri, Matcher::pattern("https://example.com/[a-z]+").unwrap());
    assert!(accepts(&pattern, &uri("https://example.com/abc")));
    for other in ["https://example.com/abc1", "x https://example.com/abc", "https://example.com/abc\n", "https://evil/"]
    {
        assert!(!accepts(&pattern, &uri(other)), "{other}");
    }
}

fn refusal(policy: &Policy, san: &SubjectAltName, issuer: &str) -> (&'static str, String, String) {
    let refused = policy.judge(claimed(san, issuer)).unwrap_err();
    (refused.code(), refused.expected(), refused.found())
}

#[test]
fn the_issuer_is_part_of_the_policy() {
    let policy = policy(IdentityMatcher::exact("alice@example.com").unwrap());
    let (code, expected, found) = refusal(&policy, &email("alice@example.com"), "https://issuer.example/");
    assert_eq!(code, "issuer_mismatch");
    assert_eq!(expected, "a certificate issued by https://issuer.example");
    assert_eq!(found, "issued by https://issuer.example/");
    let accepted = policy.judge(claimed(&email("alice@example.com"), ISSUER)).unwrap();
    assert_eq!((accepted.san(), accepted.issuer()), (&email("alice@example.com"), ISSUER));
}

#[test]
fn a_refusal_names_expected_and_found() {
    let policy = policy(IdentityMatcher::exact("alice@example.com").unwrap());
    let (code, expected, found) = refusal(&policy, &uri("https://bob"), ISSUER);
    assert_eq!(code, "identity_mismatch");
    assert_eq!(expected, "a certificate of email alice@example.com");
    assert_eq!(found, "URI https://bob");
}
