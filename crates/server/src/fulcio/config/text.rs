// SPDX-License-Identifier: Apache-2.0
//! Issuers, CI providers and rules as an operator writes them, in whichever file, to what is served.
//!
//! In scope: what belongs to which type, names of providers, rules and the issuers that they are about. Out of scope: the files
//! (`crate::config`, `fulcio_yaml`), what can only be said about all issuers together (`super::check`).
//! Invariants: a setting that means nothing for its issuer's type is refused; an issuer at which anybody in the world has an account serves
//! nobody until a rule says whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::{EmailVerification, IssuerConfig, IssuerKind, IssuerTransport, IssuerUrl, KeySource, Reuse, TokenLimits};
use crate::fulcio::authorize::{AuthorizationRules, Otherwise, RuleMode};
use crate::fulcio::claims::ClaimPath;
use crate::fulcio::pattern::IssuerPattern;
use crate::fulcio::provider::{BUILTIN_PROVIDERS, CiProvider, ProviderError, ProviderText, builtin};

/// Issuers at which anybody can make an account and have tokens. So are all that a pattern names: anybody can rent a cluster.
const SHARED_ISSUERS: [&str; 18] = [
    "https://accounts.google.com",
    "https://agent.buildkite.com",
    "https://asia-oidc.buddyusercontent.com",
    "https://dev-oidc.buddyusercontent.com",
    "https://eu-oidc.buddyusercontent.com",
    "https://gitlab.com",
    "https://issuer.enforce.dev",
    "https://issuer.hello.coop",
    "https://oauth2.sigstage.dev/auth",
    "https://oauth2.sigstore.dev/auth",
    "https://oidc.buddyusercontent.com",
    "https://oidc.circleci.com",
    "https://oidc.codefresh.io",
    "https://psd-oidc.buddyusercontent.com",
    "https://sigstore.verify.ibm.com/oauth2",
    "https://stage-oidc.buddyusercontent.com",
    "https://token.actions.githubusercontent.com",
    "https://www.kaggle.com/api/v1/models/signing",
];

/// The types of Fulcio's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IdentityType {
    #[default]
    Email,
    Uri,
    Username,
    Spiffe,
    Kubernetes,
    ChainguardIdentity,
    CiProvider,
    // The deprecated ones: each is the provider of its name.
    GithubWorkflow,
    GitlabPipeline,
    BuildkiteJob,
    CodefreshWorkflow,
}

/// An issuer as it is written.
#[derive(Clone, Debug)]
pub(crate) struct IssuerText {
    /// With a `*` in it: a pattern.
    pub(crate) url: String,
    pub(crate) client_id: String,
    pub(crate) identity: IdentityType,
    pub(crate) subject_domain: Option<String>,
    pub(crate) trust_domain: Option<String>,
    pub(crate) ci_provider: Option<String>,
    /// Put over the provider's.
    pub(crate) ci_constants: BTreeMap<String, String>,
    pub(crate) issuer_claim: Option<String>,
    /// As the public service publishes it; the type decides.
    pub(crate) challenge_claim: Option<String>,
    pub(crate) verification: EmailVerification,
    pub(crate) email_domains: Option<Vec<String>>,
    pub(crate) transport: IssuerTransport,
    pub(crate) ca_pem: Option<Vec<u8>>,
    pub(crate) bearer_token: Option<PathBuf>,
    pub(crate) pinned_keys: Option<Vec<u8>>,
    pub(crate) age_max: Option<Duration>,
    pub(crate) reuse: Reuse,
}

impl IssuerText {
    /// Everything but address and type as it is where nothing is said.
    pub(crate) fn new(url: String, identity: IdentityType) -> Self {
        Self {
            url,
            client_id: super::CLIENT_ID.to_owned(),
            identity,
            subject_domain: None,
            trust_domain: None,
            ci_provider: None,
            ci_constants: BTreeMap::new(),
            issuer_claim: None,
            challenge_claim: None,
            verification: EmailVerification::Demanded,
            email_domains: None,
            transport: IssuerTransport::HttpsOnly,
            ca_pem: None,
            bearer_token: None,
            pinned_keys: None,
            age_max: None,
            reuse: Reuse::Allowed,
        }
    }
}

/// The values that claims may have, by the claim's name or pointer. Each of the claims has to fit, and one of its values is enough.
pub(crate) type ClaimPatterns = BTreeMap<String, Vec<String>>;

/// Who of an issuer is served, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleText {
    /// As in the issuer's own entry.
    pub(crate) issuer: String,
    pub(crate) deny: Vec<ClaimPatterns>,
    pub(crate) allow: Vec<ClaimPatterns>,
    pub(crate) otherwise: Option<Effect>,
    pub(crate) mode: RuleMode,
}

/// What becomes of whoever no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// Why issuers, providers or rules cannot be used. Each names the entry and its setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error(
        "issuer {url}: this is no pattern that may be used: https, `*` for a part of a host or a path, the host's last two labels literal, no query, user or fragment"
    )]
    Pattern { url: String },
    #[error("issuer {url}: `{setting}` is missing, and its type needs it")]
    Missing { url: String, setting: &'static str },
    #[error("issuer {url}: `{setting}` means nothing for its type")]
    Meaningless { url: String, setting: &'static str },
    #[error("issuer {url}: there is no CI provider {provider:?}; known by name are {}", BUILTIN_PROVIDERS.join(", "))]
    UnknownProvider { url: String, provider: String },
    #[error("issuer {url}: {error}")]
    Provider { url: String, error: ProviderError },
    #[error("issuer {url}: the issuer claim {claim:?} is no path such as $.federated_claims.connector_id")]
    IssuerClaim { url: String, claim: String },
    #[error("issuer {url}: the challenge claim {claim:?} is not what its type signs, {expected}")]
    ChallengeClaim { url: String, claim: String, expected: &'static str },
    #[error("a rule is about {issuer}, which is no issuer of this configuration")]
    RuleIssuer { issuer: String },
    #[error("two rules are about {issuer}: write one with all of its `allow` and `deny`")]
    RuleTwice { issuer: String },
    #[error(
        "the rule about {issuer}: {claim:?} is neither the name of a claim nor a pointer such as /kubernetes.io/namespace"
    )]
    RuleClaim { issuer: String, claim: String },
    #[error("the rule about {issuer}: an entry of `allow` or `deny` is empty, and would fit everybody")]
    RuleEmpty { issuer: String },
}

/// Everything that is written, put together.
pub(crate) fn issuers(
    texts: &[IssuerText],
    providers: &BTreeMap<String, ProviderText>,
    rules: &[RuleText],
) -> Result<Vec<Arc<IssuerConfig>>, IdentityError> {
    let mut ruled = BTreeSet::new();
    for rule in rules {
        let issuer = || rule.issuer.clone();
        if texts.iter().all(|text| text.url != rule.issuer) {
            return Err(IdentityError::RuleIssuer { issuer: issuer() });
        }
        if !ruled.insert(&rule.issuer) {
            return Err(IdentityError::RuleTwice { issuer: issuer() });
        }
    }
    let made = texts.iter().map(|text| {
        let rule = rules.iter().find(|rule| rule.issuer == text.url);
        Ok(Arc::new(issuer(text, providers, rule)?))
    });
    made.collect()
}

fn issuer(
    text: &IssuerText,
    providers: &BTreeMap<String, ProviderText>,
    rule: Option<&RuleText>,
) -> Result<IssuerConfig, IdentityError> {
    let url = if text.url.contains('*') {
        let refused = || IdentityError::Pattern { url: text.url.clone() };
        IssuerUrl::Pattern(IssuerPattern::parse(&text.url).ok_or_else(refused)?)
    } else {
        IssuerUrl::Exact(text.url.clone())
    };
    expect_meaning(text, &url)?;
    let kind = kind(text, providers)?;
    let (_, expected) = kind.published();
    if let Some(claim) = text.challenge_claim.as_ref().filter(|claim| **claim != expected) {
        return Err(IdentityError::ChallengeClaim { url: text.url.clone(), claim: claim.clone(), expected });
    }
    let keys = match &text.pinned_keys {
        Some(keys) => KeySource::Pinned(keys.clone()),
        None => KeySource::Issuer { ca_pem: text.ca_pem.clone(), bearer_token: text.bearer_token.clone() },
    };
    Ok(IssuerConfig {
        rules: rules(text, &url, rule)?,
        url,
        client_id: text.client_id.clone(),
        kind,
        transport: text.transport,
        keys,
        limits: TokenLimits { age_max: text.age_max, reuse: text.reuse },
    })
}

/// A setting that changes nothing would be believed to.
fn expect_meaning(text: &IssuerText, url: &IssuerUrl) -> Result<(), IdentityError> {
    use IdentityType as Type;
    let is_email = text.identity == Type::Email;
    let has_domain = matches!(text.identity, Type::Uri | Type::Username);
    let is_provider = matches!(
        text.identity,
        Type::CiProvider | Type::GithubWorkflow | Type::GitlabPipeline | Type::BuildkiteJob | Type::CodefreshWorkflow
    );
    let pinned = text.pinned_keys.is_some();
    let is_pattern = matches!(url, IssuerUrl::Pattern(_));
    let settings = [
        ("subject_domain", text.subject_domain.is_some(), has_domain),
        ("spiffe_trust_domain", text.trust_domain.is_some(), text.identity == Type::Spiffe),
        ("ci_provider", text.ci_provider.is_some(), text.identity == Type::CiProvider),
        ("ci_constants", !text.ci_constants.is_empty(), is_provider),
        ("issuer_claim", text.issuer_claim.is_some(), is_email),
        ("trusts_unverified_email", text.verification == EmailVerification::TrustedWithout, is_email),
        ("email_domains", text.email_domains.is_some(), is_email),
        ("ca", text.ca_pem.is_some(), !pinned),
        // The token of this workload is for one issuer, never for whoever fits a pattern (GHSA-f5mr-q85p-6hh6).
        ("bearer_token_file", text.bearer_token.is_some(), !pinned && !is_pattern),
        ("jwks", pinned, !is_pattern),
    ];
    match settings.into_iter().find(|(_, is_set, has_meaning)| *is_set && !has_meaning) {
        None => Ok(()),
        Some((setting, ..)) => Err(IdentityError::Meaningless { url: text.url.clone(), setting }),
    }
}

fn kind(text: &IssuerText, providers: &BTreeMap<String, ProviderText>) -> Result<IssuerKind, IdentityError> {
    let needed = |setting: &'static str, value: &Option<String>| {
        value.clone().ok_or_else(|| IdentityError::Missing { url: text.url.clone(), setting })
    };
    let provider = |name: &str| provider(text, name, providers).map(IssuerKind::CiProvider);
    match text.identity {
        IdentityType::Email => {
            let issuer_claim = text.issuer_claim.as_ref().map(|claim| {
                let refused = || IdentityError::IssuerClaim { url: text.url.clone(), claim: claim.clone() };
                ClaimPath::from_json_path(claim).ok_or_else(refused)
            });
            Ok(IssuerKind::Email { issuer_claim: issuer_claim.transpose()?, verification: text.verification })
        }
        IdentityType::Uri => Ok(IssuerKind::Uri { subject_domain: needed("subject_domain", &text.subject_domain)? }),
        IdentityType::Username => {
            Ok(IssuerKind::Username { subject_domain: needed("subject_domain", &text.subject_domain)? })
        }
        IdentityType::Spiffe => {
            Ok(IssuerKind::Spiffe { trust_domain: needed("spiffe_trust_domain", &text.trust_domain)? })
        }
        IdentityType::Kubernetes => Ok(IssuerKind::Kubernetes),
        IdentityType::ChainguardIdentity => Ok(IssuerKind::Chainguard),
        IdentityType::CiProvider => provider(&needed("ci_provider", &text.ci_provider)?),
        IdentityType::GithubWorkflow => provider("github-workflow"),
        IdentityType::GitlabPipeline => provider("gitlab-pipeline"),
        IdentityType::BuildkiteJob => provider("buildkite-job"),
        IdentityType::CodefreshWorkflow => provider("codefresh-workflow"),
    }
}

/// The configuration's own provider goes before the one that is known by name.
fn provider(
    text: &IssuerText,
    name: &str,
    providers: &BTreeMap<String, ProviderText>,
) -> Result<Arc<CiProvider>, IdentityError> {
    let url = || text.url.clone();
    let known = providers.get(name).cloned().or_else(|| builtin(name, &text.url));
    let mut known = known.ok_or_else(|| IdentityError::UnknownProvider { url: url(), provider: name.to_owned() })?;
    known.constants.extend(text.ci_constants.clone());
    // What is made of the issuer's URL would be made of the pattern.
    if text.url.contains('*') && known.constants.values().any(|value| value.contains('*')) {
        return Err(IdentityError::Missing { url: url(), setting: "ci_constants.url" });
    }
    let provider = CiProvider::new(name, known).map_err(|error| IdentityError::Provider { url: url(), error })?;
    Ok(Arc::new(provider))
}

fn rules(text: &IssuerText, url: &IssuerUrl, rule: Option<&RuleText>) -> Result<AuthorizationRules, IdentityError> {
    let is_shared = matches!(url, IssuerUrl::Pattern(_)) || SHARED_ISSUERS.contains(&&*text.url);
    let mut rules = AuthorizationRules::everybody();
    rules.email_domains.clone_from(&text.email_domains);
    // Who names domains has said who is served.
    if is_shared && text.email_domains.is_none() {
        rules.otherwise = Otherwise::NobodyOfASharedIssuer;
        rules.without_rule = rules.otherwise;
    }
    let Some(rule) = rule else { return Ok(rules) };
    rules.deny = claim_rules(rule, &rule.deny)?;
    rules.allow = claim_rules(rule, &rule.allow)?;
    rules.mode = rule.mode;
    if rule.otherwise == Some(Effect::Allow) {
        rules.without_rule = Otherwise::Everybody;
    }
    rules.otherwise = match rule.otherwise {
        Some(Effect::Allow) => Otherwise::Everybody,
        Some(Effect::Deny) => Otherwise::Nobody,
        // Whoever lists those that are let in means that the others are not.
        None if !rule.allow.is_empty() => Otherwise::Nobody,
        None => rules.otherwise,
    };
    Ok(rules)
}

fn claim_rules(
    rule: &RuleText,
    entries: &[ClaimPatterns],
) -> Result<Vec<crate::fulcio::authorize::ClaimRule>, IdentityError> {
    let issuer = || rule.issuer.clone();
    let made = entries.iter().map(|entry| {
        if entry.is_empty() || entry.values().any(Vec::is_empty) {
            return Err(IdentityError::RuleEmpty { issuer: issuer() });
        }
        let claims = entry.iter().map(|(claim, values)| {
            let refused = || IdentityError::RuleClaim { issuer: issuer(), claim: claim.clone() };
            Ok((ClaimPath::from_name_or_pointer(claim).ok_or_else(refused)?, values.clone()))
        });
        Ok(crate::fulcio::authorize::ClaimRule::new(claims.collect::<Result<_, _>>()?))
    });
    made.collect()
}
