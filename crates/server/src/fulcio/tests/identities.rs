// SPDX-License-Identifier: Apache-2.0
//! Every type of issuer from a signed token to a certificate, extension by extension; patterns; rules; limits on tokens.

use std::sync::Arc;

use serde_json::{Value, json};
use touchmark_keys::KeyType;
use touchmark_signers::EphemeralSigner;
use touchmark_sigstore::principal::SubjectAltName;

use super::super::authorize::Otherwise;
use super::super::claims::ClaimPath;
use super::super::config::{KeySource, TokenLimits};
use super::super::issuers::{NEW_ISSUERS_MAX, NEW_ISSUERS_WINDOW_MS};
use super::super::pattern::IssuerPattern;
use super::super::provider::{CiProvider, builtin};
use super::super::*;
use super::harness::{EMAIL, Harness, chain_of, challenge, reconfigure};
use super::issuer::{FakeIssuer, jwk};

const ARC: &str = "1.3.6.1.4.1.57264.1";

/// What a certificate says: its name, and its extensions in their order.
type Says = (SubjectAltName, Vec<(String, String)>);

/// Asks with the claims of an ordinary token, changed, and a proof over the subject.
async fn ask(harness: &Harness, changes: &Value, proof_subject: &str) -> Result<Says, (u16, Value)> {
    let mut claims = harness.issuer.claims(harness.now_s());
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let token = harness.issuer.token(&claims).await;
    let (status, reply) = harness.post(&challenge(&token, &signer, proof_subject).await).await;
    if status != 200 {
        return Err((status, reply));
    }
    let leaf = chain_of(&reply).remove(0);
    let extensions = leaf.fulcio_extensions().into_iter().map(|(oid, text)| (oid.to_string(), text));
    Ok((leaf.san().unwrap(), extensions.collect()))
}

async fn of_kind(kind: IssuerKind) -> Harness {
    Harness::for_issuer(FakeIssuer::start().await, kind, |_| {}).await
}

/// The reason of a refusal.
fn reason(outcome: Result<Says, (u16, Value)>) -> (u16, String) {
    let (status, reply) = outcome.unwrap_err();
    (status, reply["details"][0]["reason"].as_str().unwrap_or_default().to_owned())
}

fn numbered(extensions: &[(u32, &str)]) -> Vec<(String, String)> {
    extensions.iter().map(|(arc, text)| (format!("{ARC}.{arc}"), (*text).to_owned())).collect()
}

#[tokio::test]
async fn each_type_makes_its_name_and_nothing_but_issuer_and_subject_beside_it() {
    let uri = |text: &str| SubjectAltName::Uri(text.to_owned());
    let kubernetes = json!({
        "sub": "system:serviceaccount:prod:builder",
        "kubernetes.io": { "namespace": "prod", "serviceaccount": { "name": "builder", "uid": "1" } },
    });
    for (kind, claims, proof, name) in [
        (EMAIL, json!({ "sub": "110" }), "alice@example.com", SubjectAltName::Email("alice@example.com".to_owned())),
        (
            IssuerKind::Uri { subject_domain: "https://ci.example.com".to_owned() },
            json!({ "sub": "https://ci.example.com/job/1" }),
            "https://ci.example.com/job/1",
            uri("https://ci.example.com/job/1"),
        ),
        (
            IssuerKind::Username { subject_domain: "example.com".to_owned() },
            json!({ "sub": "alice" }),
            "alice",
            SubjectAltName::Username("alice!example.com".to_owned()),
        ),
        (
            IssuerKind::Spiffe { trust_domain: "example.org".to_owned() },
            json!({ "sub": "spiffe://example.org/ns/prod/sa/web" }),
            "spiffe://example.org/ns/prod/sa/web",
            uri("spiffe://example.org/ns/prod/sa/web"),
        ),
        (
            IssuerKind::Kubernetes,
            kubernetes,
            "system:serviceaccount:prod:builder",
            uri("https://kubernetes.io/namespaces/prod/serviceaccounts/builder"),
        ),
    ] {
        let harness = of_kind(kind).await;
        let url = &harness.issuer.url;
        let subject = claims["sub"].as_str().unwrap();
        let (san, extensions) = ask(&harness, &claims, proof).await.unwrap();
        assert_eq!(san, name);
        assert_eq!(extensions, numbered(&[(1, url), (8, url), (24, subject)]), "{name}");
    }
}

#[tokio::test]
async fn a_chainguard_identity_is_a_path_under_its_issuer() {
    let harness = of_kind(IssuerKind::Chainguard).await;
    let url = harness.issuer.url.clone();
    let subject = "d0a1b2/c3d4";
    // With a verified address the proof is over that, as the public clients make it; without, over the subject.
    for (changes, proof) in [
        (json!({ "sub": subject }), "alice@example.com"),
        (json!({ "sub": subject, "email_verified": false }), subject),
        (json!({ "sub": subject, "email": null, "email_verified": null }), subject),
    ] {
        let (san, extensions) = ask(&harness, &changes, proof).await.unwrap();
        assert_eq!(san, SubjectAltName::Uri(format!("{url}/{subject}")));
        assert_eq!(extensions, numbered(&[(1, &url), (8, &url), (24, subject)]));
    }
    let refused = ask(&harness, &json!({ "sub": "../x" }), "alice@example.com").await;
    assert_eq!(reason(refused), (400, "TOKEN_SUBJECT_REFUSED".to_owned()));
}

#[tokio::test]
async fn a_workflow_has_its_extensions_between_issuer_and_subject() {
    let provider = CiProvider::new("github-workflow", builtin("github-workflow", "").unwrap()).unwrap();
    let harness = of_kind(IssuerKind::CiProvider(Arc::new(provider))).await;
    let url = harness.issuer.url.clone();
    let claims = json!({
        "sub": "repo:acme/app:ref:refs/heads/main", "job_workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main",
        "job_workflow_sha": "aa", "workflow_ref": "acme/app/.github/workflows/c.yml@refs/heads/main", "workflow_sha": "bb",
        "sha": "cc", "event_name": "push", "repository": "acme/app", "repository_id": 123_456_789_012_u64,
        "repository_owner": "acme", "repository_owner_id": "42", "repository_visibility": "public", "workflow": "A & <B>",
        "ref": "refs/heads/main", "runner_environment": "github-hosted", "run_id": "9", "run_attempt": "1",
    });
    let (san, extensions) = ask(&harness, &claims, "repo:acme/app:ref:refs/heads/main").await.unwrap();
    let workflow = "https://github.com/acme/app/.github/workflows/r.yml@refs/heads/main";
    assert_eq!(san, SubjectAltName::Uri(workflow.to_owned()));
    let expect = numbered(&[
        (1, &url),
        (2, "push"),
        (3, "cc"),
        (4, "A & <B>"),
        (5, "acme/app"),
        (6, "refs/heads/main"),
        (8, &url),
        (9, workflow),
        (10, "aa"),
        (11, "github-hosted"),
        (12, "https://github.com/acme/app"),
        (13, "cc"),
        (14, "refs/heads/main"),
        (15, "123456789012"),
        (16, "https://github.com/acme"),
        (17, "42"),
        (18, "https://github.com/acme/app/.github/workflows/c.yml@refs/heads/main"),
        (19, "bb"),
        (20, "push"),
        (21, "https://github.com/acme/app/actions/runs/9/attempts/1"),
        (22, "public"),
        (24, "repo:acme/app:ref:refs/heads/main"),
    ]);
    assert_eq!(extensions, expect);

    let mut without = claims.clone();
    without["job_workflow_sha"] = Value::Null;
    let (status, reply) = ask(&harness, &without, "x").await.unwrap_err();
    assert_eq!((status, &reply["details"][0]["reason"]), (400, &json!("TOKEN_CLAIMS_UNFIT")));
    assert!(reply["message"].as_str().unwrap().contains("job_workflow_sha"), "{reply}");
    // A token that lacks the claim, rather than having null in it.
    let mut token = harness.issuer.claims(harness.now_s());
    for (name, value) in claims.as_object().unwrap().iter().filter(|(name, _)| *name != "job_workflow_sha") {
        token[name] = value.clone();
    }
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let body = challenge(&harness.issuer.token(&token).await, &signer, "repo:acme/app:ref:refs/heads/main").await;
    let (_, reply) = harness.post(&body).await;
    let expect = "value <job_workflow_sha> not present in either claims or defaults. ";
    assert!(reply["message"].as_str().unwrap().starts_with(expect), "{reply}");
}

#[tokio::test]
async fn the_issuer_claim_names_who_knows_the_person() {
    let issuer_claim = ClaimPath::from_json_path("$.federated_claims.connector_id");
    let kind = IssuerKind::Email { issuer_claim, verification: EmailVerification::Demanded };
    let harness = of_kind(kind).await;
    let connector = "https://github.com/login/oauth";
    let claims = json!({ "federated_claims": { "connector_id": connector, "user_id": "7" } });
    let (_, extensions) = ask(&harness, &claims, "alice@example.com").await.unwrap();
    assert_eq!(extensions, numbered(&[(1, connector), (8, connector), (24, "subject-1")]));
    for (claims, expect) in [
        (json!({}), "TOKEN_CLAIM_MISSING"),
        (json!({ "federated_claims": { "connector_id": "" } }), "TOKEN_CLAIM_MISSING"),
        (json!({ "federated_claims": { "connector_id": 7 } }), "TOKEN_CLAIM_MISSING"),
        (json!({ "federated_claims": { "connector_id": "https://a b" } }), "TOKEN_SUBJECT_REFUSED"),
    ] {
        assert_eq!(reason(ask(&harness, &claims, "alice@example.com").await), (400, expect.to_owned()), "{claims}");
    }
}

#[tokio::test]
async fn an_unverified_address_needs_an_issuer_that_is_trusted_without() {
    let trusting = IssuerKind::Email { issuer_claim: None, verification: EmailVerification::TrustedWithout };
    for claims in [json!({ "email_verified": null }), json!({ "email_verified": false })] {
        let refused = ask(&of_kind(EMAIL).await, &claims, "alice@example.com").await;
        assert_eq!(reason(refused), (400, "TOKEN_EMAIL_UNVERIFIED".to_owned()));
        assert!(ask(&of_kind(trusting.clone()).await, &claims, "alice@example.com").await.is_ok());
    }
}

/// A SPIFFE trust domain that ends in the configured one was once accepted (fulcio#588).
#[tokio::test]
async fn spiffe_588_a_sub_domain_of_the_trust_domain_is_another_one() {
    let harness = of_kind(IssuerKind::Spiffe { trust_domain: "example.org".to_owned() }).await;
    for subject in [
        "spiffe://sub.example.org/a",
        "spiffe://evilexample.org/a",
        "spiffe://Example.org/a",
        "spiffe://example.org:443/a",
        "spiffe://example.org/a?b=c",
        "https://example.org/a",
    ] {
        let refused = ask(&harness, &json!({ "sub": subject }), subject).await;
        assert_eq!(reason(refused), (400, "TOKEN_SUBJECT_REFUSED".to_owned()), "{subject}");
    }
}

/// Text in a certificate is what the claim says, without HTML's escapes (fulcio v1.7.1).
#[tokio::test]
async fn extension_values_are_not_escaped() {
    let text = ProviderText {
        subject_alternative_name: "https://ci.example.com/{{.job}}".to_owned(),
        extensions: [("build-trigger".to_owned(), "by {{.trigger}}".to_owned())].into(),
        ..ProviderText::default()
    };
    let harness = of_kind(IssuerKind::CiProvider(Arc::new(CiProvider::new("mine", text).unwrap()))).await;
    let claims = json!({ "job": "1", "trigger": "&<>\"'{{.job}}" });
    let (_, extensions) = ask(&harness, &claims, "subject-1").await.unwrap();
    assert!(extensions.contains(&(format!("{ARC}.20"), "by &<>\"'{{.job}}".to_owned())), "{extensions:?}");
}

/// Numbers of eight digits and more became powers of ten (fulcio#2406).
#[tokio::test]
async fn fulcio_2406_numbers_keep_every_digit() {
    let text = ProviderText {
        subject_alternative_name: "https://ci.example.com/{{.id}}".to_owned(),
        ..ProviderText::default()
    };
    let harness = of_kind(IssuerKind::CiProvider(Arc::new(CiProvider::new("mine", text).unwrap()))).await;
    for id in [12_345_678_u64, 1_234_567_890, 9_007_199_254_740_993, 12_345_678_901_234_567_890] {
        let (san, _) = ask(&harness, &json!({ "id": id }), "subject-1").await.unwrap();
        assert_eq!(san, SubjectAltName::Uri(format!("https://ci.example.com/{id}")));
    }
}

#[tokio::test]
async fn rules_decide_who_of_an_issuer_is_served() {
    let harness_with = async |rule: RuleText| {
        Harness::with(move |fulcio| {
            let url = fulcio.config.issuers[0].url.to_string();
            let text = IssuerText {
                transport: IssuerTransport::LoopbackHttpAllowed,
                ..IssuerText::new(url.clone(), IdentityType::Email)
            };
            let rule = RuleText { issuer: url, ..rule };
            let made = super::super::config::issuers(&[text], &Default::default(), &[rule]).unwrap();
            fulcio.config.issuers = made;
            reconfigure(fulcio, |_| {});
        })
        .await
    };
    let patterns = |claim: &str, value: &str| ClaimPatterns::from([(claim.to_owned(), vec![value.to_owned()])]);
    let rule = |allow: Vec<ClaimPatterns>, deny: Vec<ClaimPatterns>| RuleText {
        issuer: String::new(),
        deny,
        allow,
        otherwise: None,
        mode: RuleMode::Enforced,
    };
    let refused = (400, "SUBJECT_NOT_ALLOWED".to_owned());

    let harness =
        harness_with(rule(vec![patterns("groups", "release")], vec![patterns("email", "*@evil.example")])).await;
    let release = json!({ "groups": ["dev", "release"] });
    assert!(ask(&harness, &release, "alice@example.com").await.is_ok());
    assert_eq!(reason(ask(&harness, &json!({ "groups": ["dev"] }), "alice@example.com").await), refused);
    assert_eq!(reason(ask(&harness, &json!({}), "alice@example.com").await), refused);
    let evil = json!({ "groups": ["release"], "email": "eve@evil.example" });
    assert_eq!(reason(ask(&harness, &evil, "eve@evil.example").await), refused);

    // A dry run lets everybody in and says what it would have done.
    let dry = RuleText { mode: RuleMode::DryRun, ..rule(vec![patterns("groups", "release")], vec![]) };
    assert!(ask(&harness_with(dry).await, &json!({}), "alice@example.com").await.is_ok());
}

#[tokio::test]
async fn an_issuer_where_anybody_has_an_account_serves_nobody_until_a_rule_says_whom() {
    let harness = Harness::with(|fulcio| {
        reconfigure(fulcio, |issuer| issuer.rules.otherwise = Otherwise::NobodyOfASharedIssuer);
    })
    .await;
    let refused = ask(&harness, &json!({}), "alice@example.com").await;
    assert_eq!(reason(refused), (400, "SUBJECT_NOT_ALLOWED".to_owned()));
}

#[tokio::test]
async fn a_token_that_may_be_used_once_is_used_up_by_a_certificate_alone() {
    let once = TokenLimits { reuse: Reuse::Refused, ..TokenLimits::default() };
    let harness = Harness::with(|fulcio| reconfigure(fulcio, |issuer| issuer.limits = once)).await;
    let token = harness.token().await;
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    // A proof over something else costs the token nothing.
    let (status, _) = harness.post(&challenge(&token, &signer, "somebody else").await).await;
    assert_eq!(status, 400);
    let body = challenge(&token, &signer, "alice@example.com").await;
    assert_eq!(harness.post(&body).await.0, 200);
    let (status, reply) = harness.post(&body).await;
    assert_eq!((status, &reply["details"][0]["reason"]), (400, &json!("TOKEN_REPLAYED")));
    // The same claims in another token are another token only if the issuer signed other bytes.
    let mut claims = harness.issuer.claims(harness.now_s());
    claims["jti"] = json!("another");
    let other = harness.issuer.token(&claims).await;
    assert_eq!(harness.post(&challenge(&other, &signer, "alice@example.com").await).await.0, 200);
}

#[tokio::test]
async fn two_requests_at_once_with_a_token_that_may_be_used_once_give_one_certificate() {
    let once = TokenLimits { reuse: Reuse::Refused, ..TokenLimits::default() };
    let harness = Harness::with(|fulcio| reconfigure(fulcio, |issuer| issuer.limits = once)).await;
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let body = challenge(&harness.token().await, &signer, "alice@example.com").await;
    let (one, other) = tokio::join!(harness.post(&body), harness.post(&body));
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}

#[tokio::test]
async fn a_token_older_than_its_issuer_allows_is_refused() {
    let young = TokenLimits { age_max: Some(std::time::Duration::from_secs(30)), ..TokenLimits::default() };
    let harness = Harness::with(|fulcio| reconfigure(fulcio, |issuer| issuer.limits = young)).await;
    let made = |age: u64| json!({ "iat": harness.now_s() - age });
    assert!(ask(&harness, &made(30), "alice@example.com").await.is_ok());
    assert_eq!(reason(ask(&harness, &made(31), "alice@example.com").await), (400, "TOKEN_TOO_OLD".to_owned()));
}

#[tokio::test]
async fn pinned_keys_serve_an_issuer_that_is_never_asked() {
    let harness = Harness::with(|fulcio| {
        reconfigure(fulcio, |issuer| issuer.keys = KeySource::Pinned(br#"{"keys":[]}"#.to_vec()));
    })
    .await;
    let empty = config::check(&harness_config(&harness, br#"{"keys":[]}"#));
    assert!(matches!(empty, Err(FulcioStartError::PinnedKeys { .. })), "{empty:?}");
    let pinned = json!({ "keys": [jwk(&harness.issuer.rsa, "rsa")] }).to_string();
    assert_eq!(config::check(&harness_config(&harness, pinned.as_bytes())), Ok(()));

    let issuer = FakeIssuer::start().await;
    let keys = json!({ "keys": [jwk(&issuer.rsa, "rsa")] }).to_string().into_bytes();
    let harness = Harness::for_issuer(issuer, EMAIL, |fulcio| {
        reconfigure(fulcio, |issuer| issuer.keys = KeySource::Pinned(keys));
    })
    .await;
    assert!(ask(&harness, &json!({}), "alice@example.com").await.is_ok());
    // A key that is not pinned is unknown, and nobody goes and asks.
    let token = super::issuer::sign(
        &harness.issuer.p256,
        &json!({ "alg": "ES256", "kid": "p256" }),
        &harness.issuer.claims(harness.now_s()),
    )
    .await;
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let (status, reply) = harness.post(&challenge(&token, &signer, "alice@example.com").await).await;
    assert_eq!((status, &reply["details"][0]["reason"]), (400, &json!("TOKEN_KEY_UNKNOWN")));
    assert_eq!(harness.issuer.requests(), (0, 0));
}

fn harness_config(harness: &Harness, keys: &[u8]) -> FulcioConfig {
    let issuer = IssuerConfig {
        transport: IssuerTransport::LoopbackHttpAllowed,
        keys: KeySource::Pinned(keys.to_vec()),
        ..IssuerConfig::email(&harness.issuer.url)
    };
    FulcioConfig { issuers: vec![Arc::new(issuer)], algorithms: DEFAULT_ALGORITHMS.to_vec() }
}

/// GHSA-f5mr-q85p-6hh6: the workload's own token went to hosts that were not the issuer's.
#[tokio::test]
async fn ghsa_f5mr_q85p_6hh6_a_bearer_token_goes_to_the_issuers_origin_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "workload-token\n").unwrap();
    let with_token = |fulcio: &mut issue::Fulcio| {
        let keys = KeySource::Issuer { ca_pem: None, bearer_token: Some(file.clone()) };
        reconfigure(fulcio, |issuer| issuer.keys = keys);
    };
    let harness = Harness::with(with_token).await;
    assert!(ask(&harness, &json!({}), "alice@example.com").await.is_ok());
    assert_eq!(harness.issuer.authorizations(), ["Bearer workload-token", "Bearer workload-token"]);

    let other = FakeIssuer::start().await;
    let harness = Harness::with(with_token).await;
    let mut document = harness.issuer.document();
    document["jwks_uri"] = json!(format!("{}/keys", other.url));
    harness.issuer.discovery(super::issuer::Answer::Json(document));
    let refused = ask(&harness, &json!({}), "alice@example.com").await;
    assert_eq!(reason(refused), (400, "ISSUER_MISCONFIGURED".to_owned()));
    assert_eq!(other.requests(), (0, 0));

    // A token that cannot be read is nobody's permission to ask without it.
    std::fs::remove_file(&file).unwrap();
    let harness = Harness::with(with_token).await;
    let refused = ask(&harness, &json!({}), "alice@example.com").await;
    assert_eq!(reason(refused), (503, "ISSUER_UNREACHABLE".to_owned()));
    assert_eq!(harness.issuer.requests(), (0, 0));
}

/// GHSA-59jp-pj84-45mr: a pattern without anchors let a token choose the host that was asked.
#[tokio::test]
async fn ghsa_59jp_pj84_45mr_a_token_cannot_choose_the_host_of_a_pattern() {
    let harness = Harness::with(|fulcio| {
        reconfigure(fulcio, |issuer| {
            issuer.url = IssuerUrl::Pattern(IssuerPattern::parse("https://oidc.eks.*.amazonaws.com/id/*").unwrap());
            issuer.transport = IssuerTransport::LoopbackHttpAllowed;
        });
    })
    .await;
    let own = harness.issuer.url.clone();
    for iss in [
        format!("{own}?x=https://oidc.eks.r.amazonaws.com/id/A"),
        format!("{own}/https://oidc.eks.r.amazonaws.com/id/A"),
        format!("{own}#https://oidc.eks.r.amazonaws.com/id/A"),
        format!("https://oidc.eks.r.amazonaws.com@{}/id/A", own.trim_start_matches("http://")),
        format!("https://oidc.eks.{}/.amazonaws.com/id/A", own.trim_start_matches("http://")),
        "https://oidc.eks.r.amazonaws.com/id/A\n".to_owned(),
        "https://oidc.eks.r.amazonaws.com/id/A/../../x".to_owned(),
        "http://oidc.eks.r.amazonaws.com/id/A".to_owned(),
    ] {
        let refused = ask(&harness, &json!({ "iss": iss }), "alice@example.com").await;
        assert_eq!(reason(refused), (400, "TOKEN_ISSUER_UNKNOWN".to_owned()), "{iss}");
    }
    assert_eq!(harness.issuer.requests(), (0, 0));
}

#[tokio::test]
async fn made_up_issuers_of_a_pattern_are_met_a_few_at_a_time() {
    let harness = Harness::new().await;
    let clock = Arc::clone(&harness.clock) as Arc<dyn touchmark_sequencer::Clock>;
    let config = IssuerConfig {
        url: IssuerUrl::Pattern(IssuerPattern::parse("https://token.example.com/*").unwrap()),
        ..IssuerConfig::email("")
    };
    let exact = IssuerConfig::email("https://token.example.com/acme");
    let issuers = Issuers::new(&[Arc::new(config), Arc::new(exact)], &crate::deps::WaysOut::new("test"), &clock);
    let find =
        |name: &str| issuers.find(&format!("https://token.example.com/{name}")).map(|issuer| issuer.config.url.clone());
    let pattern = Ok("https://token.example.com/*".to_owned());
    for count in 0..NEW_ISSUERS_MAX {
        assert_eq!(find(&format!("org{count}")).map(|url| url.to_string()), pattern);
    }
    assert_eq!(find("one-more").map(|url| url.to_string()), Err(token::TokenError::IssuerUnreachable));
    // Who is known is served on, and an exact entry goes first and costs nothing.
    assert_eq!(find("org0").map(|url| url.to_string()), pattern);
    assert_eq!(find("acme"), Ok(IssuerUrl::Exact("https://token.example.com/acme".to_owned())));
    harness.clock.advance_ms(NEW_ISSUERS_WINDOW_MS);
    assert_eq!(find("one-more").map(|url| url.to_string()), pattern);
}

#[tokio::test]
async fn the_configuration_that_is_published_names_types_patterns_and_domains() {
    let harness = Harness::with(|fulcio| {
        let kinds = [
            (
                IssuerUrl::Exact("https://spire.example.org".to_owned()),
                IssuerKind::Spiffe { trust_domain: "example.org".to_owned() },
            ),
            (IssuerUrl::Pattern(IssuerPattern::parse("https://k8s.example.com/*").unwrap()), IssuerKind::Kubernetes),
            (
                IssuerUrl::Exact("https://idp.example.com".to_owned()),
                IssuerKind::Email { issuer_claim: None, verification: EmailVerification::TrustedWithout },
            ),
        ];
        fulcio.config.issuers =
            kinds.map(|(url, kind)| Arc::new(IssuerConfig { url, kind, ..IssuerConfig::email("") })).to_vec();
    })
    .await;
    let request = axum::http::Request::get("/api/v2/configuration").body(axum::body::Body::empty()).unwrap();
    let (_, reply) = harness.send(request).await;
    let plain = |url: Value, wildcard: Value, kind: &str, claim: &str, trust: &str, skip: bool| {
        json!({
            "issuerUrl": url, "wildcardIssuerUrl": wildcard, "audience": "sigstore", "challengeClaim": claim,
            "spiffeTrustDomain": trust, "issuerType": kind, "subjectDomain": "", "skipEmailVerification": skip,
        })
    };
    let mut expect = vec![
        plain(json!("https://spire.example.org"), Value::Null, "spiffe", "sub", "example.org", false),
        plain(Value::Null, json!("https://k8s.example.com/*"), "kubernetes", "sub", "", false),
        plain(json!("https://idp.example.com"), Value::Null, "email", "email", "", true),
    ];
    // Of the two addresses the one that is not there is not written.
    for issuer in &mut expect {
        issuer.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }
    assert_eq!(reply["issuers"], json!(expect));
}
