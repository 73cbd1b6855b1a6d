// SPDX-License-Identifier: Apache-2.0
//! The rules of an issuer, one by one and in their order.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn claims() -> Claims {
    let Value::Object(members) = json!({
        "sub": "repo:acme/app:ref:refs/heads/main",
        "repository_owner": "acme",
        "repository": "acme/app",
        "repository_id": 123_456_789,
        "ref": "refs/heads/main",
        "ref_protected": true,
        "groups": ["dev", "release"],
        "environment": null,
        "nested": { "team": "core" },
        "object": { "a": "b" },
    }) else {
        unreachable!()
    };
    Claims::new(members)
}

fn rule(claims: &[(&str, &[&str])]) -> ClaimRule {
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    ClaimRule::new(
        claims.iter().map(|(claim, values)| (ClaimPath::from_name_or_pointer(claim).unwrap(), owned(values))).collect(),
    )
}

fn workflow() -> SubjectAltName {
    SubjectAltName::Uri("https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main".to_owned())
}

#[test]
fn a_rule_fits_if_each_claim_has_one_of_its_values() {
    for (claims_of_rule, expect) in [
        (&[("repository_owner", &["acme"][..])][..], true),
        (&[("repository_owner", &["other", "acme"])], true),
        (&[("repository_owner", &["acme"]), ("ref", &["refs/heads/*", "refs/tags/v*"])], true),
        (&[("repository_owner", &["acme"]), ("ref", &["refs/tags/*"])], false),
        (&[("repository_owner", &["ACME"])], false),
        (&[("repository_owner", &["acm"])], false),
        (&[("repository_owner", &["acme2"])], false),
        (&[("repository", &["acme/*"])], true),
        (&[("repository", &["*/app"])], true),
        (&[("repository", &["acme"])], false),
        (&[("repository_id", &["123456789"])], true),
        (&[("ref_protected", &["true"])], true),
        (&[("groups", &["release"])], true),
        (&[("groups", &["admin"])], false),
        (&[("/nested/team", &["core"])], true),
        (&[("environment", &["*"])], false),
        (&[("missing", &["*"])], false),
        (&[("object", &["*"])], false),
        (&[("groups", &["*"])], true),
    ] {
        assert_eq!(rule(claims_of_rule).fits(&claims(), Side::Allow), expect, "{claims_of_rule:?}");
    }
}

#[test]
fn deny_goes_before_allow_and_allow_before_the_rest() {
    let of = |deny: &[ClaimRule], allow: &[ClaimRule], otherwise| AuthorizationRules {
        deny: deny.to_vec(),
        allow: allow.to_vec(),
        otherwise,
        ..AuthorizationRules::everybody()
    };
    let (acme, other) = (rule(&[("repository_owner", &["acme"])]), rule(&[("repository_owner", &["other"])]));
    let just = std::slice::from_ref;
    for (rules, expect) in [
        (of(&[], &[], Otherwise::Everybody), Ruling::Admitted { by: None }),
        (of(&[], &[], Otherwise::Nobody), Ruling::NotAllowed),
        (of(&[], &[], Otherwise::NobodyOfASharedIssuer), Ruling::SharedIssuerWithoutRules),
        (of(&[], &[other.clone(), acme.clone()], Otherwise::Nobody), Ruling::Admitted { by: Some(2) }),
        (of(&[], just(&other), Otherwise::Nobody), Ruling::NotAllowed),
        (of(&[], just(&acme), Otherwise::NobodyOfASharedIssuer), Ruling::Admitted { by: Some(1) }),
        (of(just(&acme), just(&acme), Otherwise::Everybody), Ruling::Denied { by: 1 }),
        (of(just(&other), &[], Otherwise::Everybody), Ruling::Admitted { by: None }),
    ] {
        assert_eq!(rules.ruling(&claims(), &workflow()), expect, "{rules:?}");
    }
}

#[test]
fn a_domain_rule_admits_that_domain_alone() {
    let rules =
        AuthorizationRules { email_domains: Some(vec!["example.com".to_owned()]), ..AuthorizationRules::everybody() };
    let of = |name: SubjectAltName| rules.ruling(&claims(), &name);
    let email = |address: &str| SubjectAltName::Email(address.to_owned());
    for address in ["alice@example.com", "alice@Example.COM"] {
        assert_eq!(of(email(address)), Ruling::Admitted { by: None }, "{address}");
    }
    for address in ["alice@sub.example.com", "alice@notexample.com", "alice@example.com.evil.org", "example.com"] {
        assert_eq!(of(email(address)), Ruling::EmailDomain, "{address}");
    }
    assert_eq!(of(workflow()), Ruling::EmailDomain);
}

proptest! {
    #[test]
    fn a_pattern_fits_what_a_regular_expression_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
        let expression = format!("^{}$", pattern.replace('*', ".*"));
        let expected = regex_lite(&expression, &text);
        prop_assert_eq!(text_fits(&pattern, &text), expected);
    }
}

/// The slow and obvious reading: a star is nothing, or one more character and a star.
fn regex_lite(expression: &str, text: &str) -> bool {
    fn fits(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'.', b'*', rest @ ..] => fits(rest, text) || (!text.is_empty() && fits(pattern, &text[1..])),
            [byte, rest @ ..] => text.first() == Some(byte) && fits(rest, &text[1..]),
        }
    }
    fits(expression.trim_start_matches('^').trim_end_matches('$').as_bytes(), text.as_bytes())
}

#[test]
fn in_doubt_an_entry_of_deny_refuses() {
    let Value::Object(members) = json!({
        "email": "eve@EVIL.com",
        "actor": "mallory\n",
        "groups": [["contractors"]],
        "team": { "contractors": true },
        "none": null,
        "long": "m".repeat(4096),
    }) else {
        unreachable!()
    };
    let claims = Claims::new(members);
    for (claims_of_rule, expect) in [
        (&[("email", &["*@evil.com"][..])][..], true),
        (&[("email", &["EVE@*"])], true),
        (&[("email", &["*@good.com"])], false),
        (&[("actor", &["mallory*"])], true),
        (&[("groups", &["contractors"])], true),
        (&[("team", &["contractors"])], true),
        (&[("none", &["x"])], true),
        (&[("long", &["x"])], true),
        (&[("missing", &["*"])], false),
        (&[("email", &["*@evil.com"]), ("missing", &["*"])], false),
    ] {
        assert_eq!(rule(claims_of_rule).fits(&claims, Side::Deny), expect, "{claims_of_rule:?}");
        assert!(!rule(claims_of_rule).fits(&claims, Side::Allow), "{claims_of_rule:?}");
    }
}

#[test]
fn a_dry_run_waives_the_rules_own_refusals_and_nothing_that_holds_without_it() {
    let rules = |without_rule, mode| AuthorizationRules { mode, without_rule, ..AuthorizationRules::everybody() };
    let (denied, not_allowed) = (Ruling::Denied { by: 1 }, Ruling::NotAllowed);
    let shared = Ruling::SharedIssuerWithoutRules;
    for (ruling, without_rule, expect) in [
        (Ruling::Admitted { by: None }, Otherwise::NobodyOfASharedIssuer, None),
        (denied.clone(), Otherwise::Everybody, None),
        (not_allowed.clone(), Otherwise::Everybody, None),
        (denied.clone(), Otherwise::NobodyOfASharedIssuer, Some(shared.clone())),
        (not_allowed.clone(), Otherwise::NobodyOfASharedIssuer, Some(shared.clone())),
        (Ruling::EmailDomain, Otherwise::Everybody, Some(Ruling::EmailDomain)),
        (shared.clone(), Otherwise::NobodyOfASharedIssuer, Some(shared)),
    ] {
        let admitted = matches!(ruling, Ruling::Admitted { .. });
        assert_eq!(rules(without_rule, RuleMode::DryRun).refusal(&ruling), expect, "{ruling:?}");
        let enforced = rules(without_rule, RuleMode::Enforced).refusal(&ruling);
        assert_eq!(enforced, (!admitted).then_some(ruling));
    }
}

#[test]
fn who_is_denied_in_a_dry_run_is_still_judged_by_his_domain() {
    let rules = AuthorizationRules {
        email_domains: Some(vec!["corp.example".to_owned()]),
        deny: vec![rule(&[("groups", &["dev"])])],
        mode: RuleMode::DryRun,
        ..AuthorizationRules::everybody()
    };
    let ruling = rules.ruling(&claims(), &SubjectAltName::Email("alice@elsewhere.example".to_owned()));
    assert_eq!(rules.refusal(&ruling), Some(Ruling::EmailDomain));
}
