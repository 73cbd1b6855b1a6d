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

const PUBLIC: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon";
const SIGNER: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";

fn public_leaf() -> Certificate {
    Certificate::from_der(&crate::vectors::case("rekor2-happy-path").unwrap().leaf.unwrap()).unwrap()
}

fn exact(text: &str) -> Matcher {
    Matcher::exact(text).unwrap()
}

fn beacon() -> IdentityRule {
    Github::of("sigstore-conformance/extremely-dangerous-public-oidc-beacon").rule().unwrap()
}

#[test]
fn a_public_certificate_is_accepted_by_the_short_form_of_its_repository() {
    let policy = Policy::any_of(vec![alice_rule(), beacon().named("beacon")]).unwrap();
    let accepted = policy.accepts(&public_leaf()).unwrap();
    assert_eq!((accepted.rule(), accepted.rule_index()), (Some("beacon"), 1));
    assert_eq!((accepted.san(), accepted.issuer()), (&uri(SIGNER), GITHUB_ISSUER));
    assert_eq!(accepted.extension(FulcioExtension::SourceRepositoryUri), Some(PUBLIC));
    assert_eq!(accepted.extension(FulcioExtension::TokenSubject), None);
    assert!(accepted.extensions().len() > 20, "{:?}", accepted.extensions());
}

fn alice_rule() -> IdentityRule {
    IdentityRule::new(IdentityMatcher::exact("alice@example.com").unwrap(), exact(ISSUER))
}

/// What is said to whom nobody accepts: the rule that was meant, and each of its parts that is not so.
#[test]
fn a_refusal_names_the_nearest_rule_with_each_part_that_does_not_match() {
    let release = Github {
        git_ref: Some("refs/tags/v*".into()),
        environment: Some("production".into()),
        ..Github::of("sigstore-conformance/extremely-dangerous-public-oidc-beacon")
    };
    let near = Github::of("sigstore-conformance/extremely-secret").rule().unwrap();
    let rules = vec![alice_rule(), near.named("near"), release.rule().unwrap().named("release")];
    let policy = Policy::any_of(rules).unwrap();
    let error = policy.accepts(&public_leaf()).unwrap_err();
    assert_eq!(error.code(), "identity_mismatch");
    assert_eq!(
        error.to_string(),
        "expected a certificate of URI like https://github.com/sigstore-conformance/\
         extremely-dangerous-public-oidc-beacon/.github/workflows/*@refs/tags/v*, with source-repository-ref like \
         refs/tags/v*, with deployment-environment production (rule release, the nearest of 3), found URI \
         https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/\
         extremely-dangerous-oidc-beacon.yml@refs/heads/main, source-repository-ref refs/heads/main, no \
         deployment-environment"
    );
    let refusal = error.refusal().unwrap();
    assert_eq!((refusal.rule.as_deref(), refusal.rule_index, refusal.rules), (Some("release"), 2, 3));
    let parts: Vec<Part> = refusal.mismatches.iter().map(|mismatch| mismatch.part).collect();
    let extension = Part::Extension;
    let expect = [
        Part::Identity,
        extension(FulcioExtension::SourceRepositoryRef),
        extension(FulcioExtension::DeploymentEnvironment),
    ];
    assert_eq!(parts, expect);
}

#[test]
fn of_rules_that_match_equally_the_one_with_the_most_alike_name_is_nearest() {
    let of = |name: &str| IdentityRule::new(IdentityMatcher::exact(name).unwrap(), exact(ISSUER));
    let rules = vec![of("bob@example.com"), of("alicia@example.com"), of("al@example.com")];
    let policy = Policy::any_of(rules).unwrap();
    let (_, expected, found) = refusal(&policy, &email("alice@example.com"), ISSUER);
    assert_eq!(expected, "a certificate of email alicia@example.com (rule 2, the nearest of 3)");
    assert_eq!(found, "email alice@example.com");
}

#[test]
fn each_part_alone_refuses_with_its_own_code() {
    let rule = |change: fn(&mut IdentityRule)| {
        let mut rule = beacon();
        change(&mut rule);
        Policy::any_of(vec![rule]).unwrap().accepts(&public_leaf()).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(rule(|_| {}), Ok(()));
    assert_eq!(rule(|rule| rule.san = IdentityMatcher::exact("https://a").unwrap()), Err("identity_mismatch"));
    assert_eq!(rule(|rule| rule.issuer = exact("https://a")), Err("issuer_mismatch"));
    // Of every extension: another value is refused, and so is one that the certificate does not have.
    for extension in FulcioExtension::all() {
        let demanding = |value: Matcher| {
            let policy = Policy::any_of(vec![beacon().with(extension, value)]).unwrap();
            policy.accepts(&public_leaf()).map(|_| ()).map_err(|error| error.code())
        };
        assert_eq!(demanding(exact("another")), Err("extension_mismatch"), "{extension}");
        let values = FulcioExtension::values_in(&public_leaf());
        let present = values.iter().find(|(found, _)| *found == extension);
        match present {
            Some((_, value)) => assert_eq!(demanding(exact(value)), Ok(()), "{extension}"),
            None => assert_eq!(demanding(Matcher::glob("**").unwrap()), Err("extension_mismatch"), "{extension}"),
        }
    }
}

#[test]
fn a_policy_that_accepts_everybody_is_none() {
    let glob = |text: &str| Matcher::glob(text).unwrap();
    let pattern = |text: &str| Matcher::pattern(text).unwrap();
    let any = |san: Matcher| IdentityMatcher::of_any_type(san);
    for (rule, accepts_anything) in [
        (IdentityRule::new(any(pattern(".*")), pattern(".*")), true),
        (IdentityRule::new(any(glob("**")), glob("https://**")), true),
        (IdentityRule::new(any(pattern("https://.+")), pattern(".+")), true),
        (IdentityRule::new(IdentityMatcher::of_type(SanType::Email, pattern(".+@.+")), pattern(".+")), true),
        (IdentityRule::new(any(pattern(".*")), pattern(".*")).with(FulcioExtension::BuildTrigger, pattern(".*")), true),
        (
            IdentityRule::new(any(pattern(".*")), pattern(".*")).with(FulcioExtension::BuildTrigger, exact("push")),
            false,
        ),
        (IdentityRule::new(any(pattern(".*")), exact(ISSUER)), false),
        (IdentityRule::new(any(exact("alice@example.com")), pattern(".*")), false),
        (IdentityRule::new(IdentityMatcher::email_domain("example.com").unwrap(), pattern(".*")), false),
    ] {
        let made = Policy::any_of(vec![alice_rule(), rule.clone()]).map(|_| ());
        let expect = if accepts_anything { Err(RulesError::AcceptsAnything { rule: 1 }) } else { Ok(()) };
        assert_eq!(made, expect, "{rule:?}");
        if rule.extensions.is_empty() && accepts_anything && rule.san.san_type().is_none() {
            let error = Policy::keyless(rule.san, rule.issuer).accepts(&public_leaf()).unwrap_err();
            assert_eq!(error, PolicyError::AcceptsAnything);
        }
    }
}

#[test]
fn rules_that_make_no_policy() {
    assert_eq!(Policy::any_of(Vec::new()).unwrap_err(), RulesError::Empty);
    let found = RULES_MAX + 1;
    assert_eq!(Policy::any_of(vec![alice_rule(); found]).unwrap_err(), RulesError::TooMany { found });
    let twice = vec![alice_rule().named("a"), beacon().named("a")];
    assert_eq!(Policy::any_of(twice).unwrap_err(), RulesError::DuplicateName { name: "a".into() });
}

fn key_policy() -> Policy {
    let key = crate::workshop::Key::new(touchmark_keys::KeyType::EcdsaP256).public();
    Policy::managed_key(KeyRule { key, valid_for: None })
}

#[test]
fn a_policy_of_a_key_accepts_no_certificate() {
    let policy = key_policy();
    assert!(policy.key().is_some() && policy.rules().is_empty());
    assert_eq!(policy.accepts(&public_leaf()), Err(PolicyError::KeyExpected));
    assert!(Policy::any_of(vec![beacon()]).unwrap().key().is_none());
}

/// A figure, or several, of demands.
type Change = fn(&mut Demands);

#[test]
fn a_zero_needs_the_switch_that_says_what_is_lost() {
    let certificate = |change: Change| {
        let mut demands = Demands::keyless();
        change(&mut demands);
        Policy::any_of(vec![alice_rule()]).unwrap().with_demands(demands).map(|_| ())
    };
    let key = |change: Change| {
        let mut demands = Demands::managed_key();
        change(&mut demands);
        key_policy().with_demands(demands).map(|_| ())
    };
    let weakened = |demand, switch| Err(DemandsError::Weakened { demand, switch });
    let cases: [(Change, Change, _); 3] = [
        (
            |demands| demands.scts = 0,
            |demands| demands.certificates_without_sct = true,
            ("scts", "certificates-without-sct"),
        ),
        (
            |demands| demands.log_entries = 0,
            |demands| demands.signatures_without_log = true,
            ("log-entries", "signatures-without-log"),
        ),
        (
            |demands| demands.times = 0,
            |demands| demands.certificates_without_time = true,
            ("times", "certificates-without-time"),
        ),
    ];
    for (zero, switch, (demand, name)) in cases {
        assert_eq!(certificate(zero), weakened(demand, name));
        let mut demands = Demands::keyless();
        zero(&mut demands);
        switch(&mut demands);
        assert!(Policy::any_of(vec![alice_rule()]).unwrap().with_demands(demands).is_ok(), "{name}");
    }
    assert_eq!(certificate(|demands| (demands.times, demands.timestamps) = (0, 1)), Ok(()));
    assert_eq!(key(|_| {}), Ok(()));
    assert_eq!(key(|demands| demands.scts = 1), Err(DemandsError::NeedsCertificate { demand: "scts" }));
    assert_eq!(key(|demands| demands.log_entries = 0), weakened("log-entries", "signatures-without-log"));
    assert_eq!(certificate(|demands| demands.scts = THRESHOLD_MAX), Ok(()));
    let found = THRESHOLD_MAX + 1;
    assert_eq!(
        certificate(|demands| demands.log_operators = THRESHOLD_MAX + 1),
        Err(DemandsError::TooLarge { demand: "log-operators", found })
    );
    let unlogged: Change =
        |demands| (demands.log_entries, demands.signatures_without_log, demands.log_operators) = (0, true, 1);
    assert_eq!(certificate(unlogged), Err(DemandsError::NeedsLog { demand: "log-operators" }));
}

#[test]
fn a_statement_is_of_the_type_that_was_asked_for() {
    let policy = |predicate_type: Option<Matcher>| {
        let demands = Demands { predicate_type, ..Demands::keyless() };
        Policy::any_of(vec![alice_rule()]).unwrap().with_demands(demands).unwrap()
    };
    let any = policy(None).accepts_predicate("https://a/v1").unwrap();
    assert_eq!((any.predicate_type(), any.is_demanded()), ("https://a/v1", false));
    let asked = policy(Some(exact("https://a/v1")));
    assert!(asked.accepts_predicate("https://a/v1").unwrap().is_demanded());
    let refused = asked.accepts_predicate("https://a/v10").unwrap_err();
    assert_eq!(refused.to_string(), "expected a statement of the type https://a/v1, found https://a/v10");
}
