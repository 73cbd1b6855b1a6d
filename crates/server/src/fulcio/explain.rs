// SPDX-License-Identifier: Apache-2.0
//! What a configuration would do, without doing it: every issuer with what its tokens need, and one token with the certificate that it would get.
//!
//! In scope: reading a configuration of either form, reports as data. Out of scope: printing (the command line); signatures: an explained token
//! may be anybody's.
//! Invariants: nothing is issued, logged or fetched; what is reported comes from the functions that issue.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::authorize::{AuthorizationRules, Otherwise, RuleMode};
use super::config::{
    DEFAULT_ALGORITHMS, EmailVerification, FulcioConfig, FulcioConfigPlace, Identities, IssuerConfig, IssuerKind,
    IssuerTransport, IssuerUrl, KeySource, check,
};
use super::provider::extension_name;
use super::token::Token;
use super::{authenticate, identity};
use crate::config::{Config, ConfigError};

/// The issuers of a configuration.
pub struct IdentityConfig(Vec<Arc<IssuerConfig>>);

/// Why there is nothing to report or to explain.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// A configuration of `touchmark serve` that cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// It starts no certificate authority.
    #[error("the configuration has no [fulcio] section")]
    NoFulcio,
    /// An issuer, a CI provider, a rule, or a file that one of them names.
    #[error("{problem}")]
    Identities {
        /// Which, and what is wrong with it.
        problem: String,
    },
    /// The token cannot be read.
    #[error("the token: {problem} [{code}]")]
    Token {
        /// What is wrong with it.
        problem: String,
        /// The reason that the service would give.
        code: &'static str,
    },
    /// No entry is about the token's issuer.
    #[error("no issuer of the configuration is {issuer:?}; it has {}", known.join(", "))]
    IssuerUnknown {
        /// The token's `iss`.
        issuer: String,
        /// The entries that there are.
        known: Vec<String>,
    },
}

/// What one entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerReport {
    /// Its URL or pattern.
    pub issuer: String,
    /// Its type.
    pub identity: &'static str,
    /// Its CI provider.
    pub ci_provider: Option<String>,
    /// The `aud` that a token must have.
    pub audience: String,
    /// The claims that a token must have, beside the registered ones.
    pub required_claims: Vec<String>,
    /// The claims that it may have.
    pub optional_claims: Vec<String>,
    /// Who is served, in a sentence.
    pub serves: String,
    /// What is probably not meant, or weakens something.
    pub warnings: Vec<String>,
}

/// What would become of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The entry that is about it.
    pub issuer: String,
    /// The type of that entry.
    pub identity: &'static str,
    /// Whether a certificate would be issued, if the signature is the issuer's.
    pub issued: bool,
    /// What is wrong with audience and times; empty if nothing is.
    pub problems: Vec<String>,
    /// What the rules say.
    pub ruling: String,
    /// Kind and text of the name.
    pub subject_alternative_name: (&'static str, String),
    /// OID, name and text of each extension.
    pub extensions: Vec<(String, &'static str, String)>,
    /// The text that a proof of possession by challenge signs.
    pub proof_over: String,
}

impl IdentityConfig {
    /// Reads a configuration of `touchmark serve` (its name ends in `.toml`) or one of the public Fulcio server (YAML or JSON), and proves it
    /// total: every template is understood.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(path: &Path) -> Result<Self, ExplainError> {
        let identities = if path.extension().is_some_and(|extension| extension == "toml") {
            Config::load(path)?.fulcio.ok_or(ExplainError::NoFulcio)?.identities
        } else {
            // Whether such an issuer is inside the organisation only the other form can say; here nobody is asked.
            let place = FulcioConfigPlace { path: path.to_owned(), transport: IssuerTransport::HttpsPrivate };
            Identities { fulcio_config: Some(place), ..Identities::default() }
        };
        let unusable = |error: &dyn std::error::Error| ExplainError::Identities { problem: error.to_string() };
        let issuers = identities.load().map_err(|error| unusable(&error))?;
        let config = FulcioConfig { issuers, algorithms: DEFAULT_ALGORITHMS.to_vec() };
        check(&config).map_err(|error| unusable(&error))?;
        Ok(Self(config.issuers))
    }

    /// What each entry says, in the order of the configuration.
    #[must_use]
    pub fn report(&self) -> Vec<IssuerReport> {
        self.0.iter().map(|issuer| report(issuer)).collect()
    }

    /// What would become of a token at this time. Its signature is not looked at.
    ///
    /// # Errors
    /// Why the service would not even come to its rules.
    pub fn explain(&self, token: &str, now: Timestamp) -> Result<Explanation, ExplainError> {
        let refused =
            |error: super::token::TokenError| ExplainError::Token { code: error.reason(), problem: error.to_string() };
        let token = Token::parse(token.trim()).map_err(refused)?;
        let iss = token.claims.text("iss").map_err(refused)?;
        let config = self.find(iss).ok_or_else(|| ExplainError::IssuerUnknown {
            issuer: iss.to_owned(),
            known: self.0.iter().map(|issuer| issuer.url.to_string()).collect(),
        })?;
        let now_s = authenticate::seconds(u64::try_from(now.as_millisecond()).unwrap_or_default());
        let principal = identity::principal(config, iss, &token.claims).map_err(refused)?;
        let mut problems = Vec::new();
        problems.extend(token.claims.check_audience_and_time(&config.client_id, now_s).err());
        problems.extend(config.limits.age_max.and_then(|age_max| token.claims.check_age(age_max, now_s).err()));
        let ruling = config.rules.ruling(&token.claims, &principal.san);
        let admitted = config.rules.refusal(&ruling).is_none();
        let own = [(1, principal.issuer.clone()), (8, principal.issuer.clone()), (24, principal.subject.clone())];
        let mut extensions: Vec<_> =
            own.into_iter().chain(principal.extensions).filter(|(_, text)| !text.is_empty()).collect();
        extensions.sort_by_key(|(arc, _)| *arc);
        Ok(Explanation {
            issuer: config.url.to_string(),
            identity: config.kind.published().0,
            issued: admitted && problems.is_empty(),
            problems: problems.iter().map(|error| format!("{error} [{}]", error.reason())).collect(),
            ruling: ruling.to_string(),
            subject_alternative_name: (principal.san.kind(), principal.san.value().to_owned()),
            extensions: extensions
                .into_iter()
                .map(|(arc, text)| (format!("1.3.6.1.4.1.57264.1.{arc}"), extension_name(arc), text))
                .collect(),
            proof_over: principal.proof_subject,
        })
    }

    /// The entry for a token's issuer: the exact one, or the one whose pattern it fits.
    fn find(&self, iss: &str) -> Option<&IssuerConfig> {
        let exact = self.0.iter().find(|issuer| matches!(&issuer.url, IssuerUrl::Exact(url) if url == iss));
        let fits =
            |issuer: &&Arc<IssuerConfig>| matches!(&issuer.url, IssuerUrl::Pattern(pattern) if pattern.fits(iss));
        exact.or_else(|| self.0.iter().find(fits)).map(|issuer| &**issuer)
    }
}

fn report(issuer: &IssuerConfig) -> IssuerReport {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (required, optional) = match &issuer.kind {
        IssuerKind::Email { issuer_claim, verification } => {
            let mut required = owned(&["email"]);
            required.extend((*verification == EmailVerification::Demanded).then(|| "email_verified".to_owned()));
            required.extend(issuer_claim.as_ref().map(ToString::to_string));
            (required, Vec::new())
        }
        IssuerKind::Uri { .. } | IssuerKind::Username { .. } | IssuerKind::Spiffe { .. } => (Vec::new(), Vec::new()),
        IssuerKind::Kubernetes => {
            (owned(&["/kubernetes.io/namespace", "/kubernetes.io/serviceaccount/name"]), Vec::new())
        }
        IssuerKind::Chainguard => (Vec::new(), owned(&["email", "email_verified"])),
        IssuerKind::CiProvider(provider) => {
            let (required, optional) = provider.claims();
            (owned(&required), owned(&optional))
        }
    };
    IssuerReport {
        issuer: issuer.url.to_string(),
        identity: issuer.kind.published().0,
        ci_provider: match &issuer.kind {
            IssuerKind::CiProvider(provider) => Some(provider.name().to_owned()),
            _ => None,
        },
        audience: issuer.client_id.clone(),
        required_claims: required,
        optional_claims: optional,
        serves: serves(&issuer.rules),
        warnings: warnings(issuer),
    }
}

fn serves(rules: &AuthorizationRules) -> String {
    let mut sentence = match (rules.allow.len(), rules.otherwise) {
        (0, Otherwise::Everybody) => "everybody whom the issuer vouches for".to_owned(),
        (0, Otherwise::Nobody | Otherwise::NobodyOfASharedIssuer) => "nobody".to_owned(),
        (count, Otherwise::Everybody) => format!("everybody; {count} entries of `allow` change nothing"),
        (count, _) => format!("whom one of {count} entries of `allow` fits"),
    };
    if let Some(domains) = &rules.email_domains {
        sentence.push_str(&format!(", with an address at {}", domains.join(" or ")));
    }
    if !rules.deny.is_empty() {
        sentence.push_str(&format!(", and nobody whom one of {} entries of `deny` fits", rules.deny.len()));
    }
    sentence
}

fn warnings(issuer: &IssuerConfig) -> Vec<String> {
    let rules = &issuer.rules;
    let is_pattern = matches!(issuer.url, IssuerUrl::Pattern(_));
    let findings = [
        (
            rules.allow.is_empty() && rules.otherwise == Otherwise::NobodyOfASharedIssuer,
            "anybody can have an account at this issuer, and no rule says who is served: nobody is. Write a [[fulcio.authorize]] for it, with \
             `allow`, or with otherwise = \"allow\" to serve the whole world",
        ),
        (
            !rules.allow.is_empty() && rules.otherwise == Otherwise::Everybody,
            "`allow` changes nothing beside otherwise = \"allow\"",
        ),
        (rules.mode == RuleMode::DryRun, "dry_run: the rule refuses nobody whom the issuer's entry alone would serve"),
        (
            matches!(issuer.kind, IssuerKind::Email { verification: EmailVerification::TrustedWithout, .. }),
            "an address needs no email_verified: whoever can set his address there is whom he says",
        ),
        (
            matches!(issuer.keys, KeySource::Pinned(_)),
            "its keys are pinned: a key that it withdraws is trusted until you take it out of the file",
        ),
        (
            is_pattern && matches!(issuer.kind, IssuerKind::Kubernetes),
            "the name is the same in every cluster that fits the pattern: verifiers have to pin the issuer",
        ),
    ];
    findings.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned()).collect()
}

#[cfg(test)]
mod tests;
