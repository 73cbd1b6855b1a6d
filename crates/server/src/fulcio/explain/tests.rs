// SPDX-License-Identifier: Apache-2.0
//! Reports and explanations, and what is said of a configuration that cannot be used.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const YAML: &str = r#"
oidc-issuers:
  https://token.actions.githubusercontent.com:
    client-id: sigstore
    type: ci-provider
    ci-provider: github-workflow
  https://accounts.example.com:
    client-id: other
    type: email
    skip-email-verification: true
meta-issuers:
  https://oidc.eks.*.amazonaws.com/id/*:
    client-id: sigstore
    type: kubernetes
"#;

fn load(name: &str, text: &str) -> Result<IdentityConfig, ExplainError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    IdentityConfig::load(&path)
}

fn token(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln\n", part(&json!({ "alg": "RS256" })), part(claims))
}

fn toml(rest: &str) -> String {
    format!(
        "listen = \"127.0.0.1:1\"\n[fulcio]\nkey = \"k\"\nchain = \"c\"\nct_log = {{ url = \"https://ct.example.com\", public_key = \"p\" }}\n{rest}"
    )
}

#[test]
fn each_entry_says_what_its_tokens_need_and_who_is_served() {
    let report = load("fulcio.yaml", YAML).unwrap().report();
    let [github, people, cluster] = report.as_slice() else { panic!("{report:?}") };
    assert_eq!((github.identity, github.ci_provider.as_deref()), ("ci-provider", Some("github-workflow")));
    assert!(github.required_claims.contains(&"job_workflow_ref".to_owned()), "{github:?}");
    assert_eq!(github.optional_claims, ["environment"]);
    assert_eq!(github.serves, "nobody");
    assert!(github.warnings[0].contains("[[fulcio.authorize]]"), "{github:?}");
    assert_eq!((people.audience.as_str(), people.serves.as_str()), ("other", "everybody whom the issuer vouches for"));
    assert_eq!(people.required_claims, ["email"]);
    assert!(people.warnings[0].contains("email_verified"), "{people:?}");
    assert_eq!(cluster.required_claims, ["/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name"]);
    assert!(cluster.warnings.iter().any(|warning| warning.contains("pin the issuer")), "{cluster:?}");
}

#[test]
fn a_token_is_explained_with_its_entry_its_rule_and_its_certificate() {
    let config = load(
        "touchmark.toml",
        &toml(
            "[[fulcio.issuer]]\nurl = \"https://gitlab.com\"\nidentity = \"ci-provider\"\nci_provider = \"mine\"\n\
             [fulcio.ci_provider.mine]\nsubject_alternative_name = \"https://gitlab.com/{{.project_path}}\"\n\
             extensions = { build-trigger = \"pipeline_source\", source-repository-ref = \"{{index . \\\"ref\\\"}}\" }\n\
             [[fulcio.authorize]]\nissuer = \"https://gitlab.com\"\nallow = [{ namespace_path = [\"other\", \"acme*\"] }]\n\
             deny = [{ pipeline_source = \"external_pull_request\" }]\n",
        ),
    )
    .unwrap();
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let claims = json!({
        "iss": "https://gitlab.com", "sub": "project_path:acme/app", "aud": "sigstore", "iat": 1_799_999_990, "exp": 1_800_000_100,
        "project_path": "acme/app", "namespace_path": "acme", "pipeline_source": "push",
    });
    let explained = config.explain(&token(&claims), now).unwrap();
    assert_eq!(
        explained,
        Explanation {
            issuer: "https://gitlab.com".to_owned(),
            identity: "ci-provider",
            issued: true,
            problems: vec![],
            ruling: "admitted by entry 1 of `allow`".to_owned(),
            subject_alternative_name: ("URI", "https://gitlab.com/acme/app".to_owned()),
            extensions: [
                (1, "issuer", "https://gitlab.com"),
                (8, "issuer-v2", "https://gitlab.com"),
                (20, "build-trigger", "push"),
                (24, "token-subject", "project_path:acme/app"),
            ]
            .map(|(arc, name, text)| (format!("1.3.6.1.4.1.57264.1.{arc}"), name, text.to_owned()))
            .to_vec(),
            proof_over: "project_path:acme/app".to_owned(),
        }
    );
    let changed = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        config.explain(&token(&claims), now)
    };
    let denied = changed("pipeline_source", json!("external_pull_request")).unwrap();
    assert_eq!((denied.issued, denied.ruling.as_str()), (false, "denied by entry 1 of `deny`"));
    let late = changed("exp", json!(1_799_999_999)).unwrap();
    assert_eq!((late.issued, late.problems), (false, vec!["the token has expired [TOKEN_EXPIRED]".to_owned()]));
    let elsewhere = changed("iss", json!("https://evil.example")).unwrap_err().to_string();
    assert_eq!(elsewhere, "no issuer of the configuration is \"https://evil.example\"; it has https://gitlab.com");
    let unfit = changed("project_path", json!(null)).unwrap_err().to_string();
    assert!(unfit.contains("project_path") && unfit.ends_with("[TOKEN_CLAIMS_UNFIT]"), "{unfit}");
    let no_token = config.explain("x", now).unwrap_err().to_string();
    assert!(no_token.ends_with("[TOKEN_MALFORMED]"), "{no_token}");
}

#[test]
fn what_cannot_be_used_is_named_with_its_entry_and_setting() {
    let issuer = |rest: &str| toml(&format!("[[fulcio.issuer]]\nurl = \"https://a.example.com\"\n{rest}"));
    for (text, expect) in [
        (issuer("identity = \"spiffe\""), "issuer https://a.example.com: `spiffe_trust_domain` is missing"),
        (issuer("identity = \"spiffe\"\nspiffe_trust_domain = \"A\""), "subject domain \"A\" does not fit"),
        (issuer("identity = \"ci-provider\""), "`ci_provider` is missing"),
        (issuer("identity = \"ci-provider\"\nci_provider = \"githob\""), "known by name are github-workflow, "),
        (issuer("identity = \"kubernetes\"\nemail_domains = [\"a\"]"), "`email_domains` means nothing for its type"),
        (issuer("issuer_claim = \"connector\""), "is no path such as"),
        (issuer("jwks = \"k\"\nbearer_token_file = \"t\""), "`bearer_token_file` means nothing"),
        (issuer("token_age_max_s = 0"), "`fulcio.issuer.token_age_max_s`"),
        (issuer("").replace("a.example", "*"), "this is no pattern that may be used"),
        (issuer("jwks = \"k\"").replace("a.example", "*.a.example"), "`jwks` means nothing"),
        (
            issuer("bearer_token_file = \"t\"").replace("a.example", "*.a.example"),
            "`bearer_token_file` means nothing",
        ),
        (issuer("[[fulcio.authorize]]\nissuer = \"https://b.example\""), "a rule is about https://b.example, which is no issuer"),
        (issuer("[[fulcio.authorize]]\nissuer = \"https://a.example.com\"\nallow = [{}]"), "is empty, and would fit everybody"),
        (issuer("[[fulcio.authorize]]\nissuer = \"https://a.example.com\"\nallow = [{ x = [] }]"), "is empty, and would fit everybody"),
        (issuer("[[fulcio.authorize]]\nissuer = \"https://a.example.com\"\nallow = [{ \"/a//b\" = \"x\" }]"), "nor a pointer such as"),
        (
            issuer("[[fulcio.authorize]]\nissuer = \"https://a.example.com\"\n[[fulcio.authorize]]\nissuer = \"https://a.example.com\""),
            "two rules are about",
        ),
        (issuer("ca = \"no-such-file\""), "cannot read"),
        ("listen = \"127.0.0.1:1\"\n[oidc]\nlisten = \"127.0.0.1:2\"\nissuer = \"http://127.0.0.1:2/oidc\"\nkey = \"k\"\ngives_any_identity_to_anyone = true".to_owned(), "no [fulcio] section"),
    ] {
        let error = load("touchmark.toml", &text).err().unwrap_or_else(|| panic!("{text}")).to_string();
        assert!(error.contains(expect), "{text}\n{error}");
    }
    let twice = format!("{YAML}  https://*.eks.x.amazonaws.com/id/*:\n    client-id: sigstore\n    type: kubernetes\n");
    let error = load("fulcio.yaml", &twice).err().unwrap().to_string();
    assert!(error.contains("a URL can fit both patterns"), "{error}");
}
