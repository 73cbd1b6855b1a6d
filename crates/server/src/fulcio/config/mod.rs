// SPDX-License-Identifier: Apache-2.0
//! What an operator says about the certificate authority: which issuers, what kind of identity each speaks for, which keys
//! may be certified.
//!
//! In scope: the configuration types and the checks that need no network.
//! Out of scope: the configuration file (`crate::config`), fetching an issuer's keys (`issuer_keys`).
//! Invariants: no issuer is accepted that is not listed, letter for letter; plain http is an issuer's own, spelled-out exception
//! and then only for loopback; so is the way to addresses that are not public, and no issuer's exception serves another.

mod file;
mod fulcio_yaml;
mod text;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use touchmark_keys::Scheme;
use touchmark_outbound::Reach;
use touchmark_signers::SignerError;
use touchmark_sigstore::x509::path::PathError;
use url::{Host, Url};

use super::authorize::AuthorizationRules;
use super::claims::ClaimPath;
use super::identity::is_trust_domain;
use super::issuer_keys::KeySet;
use super::pattern::IssuerPattern;
use super::provider::CiProvider;

pub(crate) use file::{FulcioConfigPlace, Identities, IssuerPlace};
#[cfg(test)]
pub(super) use text::issuers;
pub(crate) use text::{ClaimPatterns, Effect, IdentityType, IssuerText, RuleText};

/// The audience that every Sigstore client asks its tokens for.
pub(crate) const CLIENT_ID: &str = "sigstore";

/// The key and hash pairs that are certified by default; the same list as the public instance's.
pub(crate) const DEFAULT_ALGORITHMS: [Scheme; 7] = [
    Scheme::EcdsaP256Sha256,
    Scheme::EcdsaP384Sha384,
    Scheme::EcdsaP521Sha512,
    Scheme::RsaPkcs1v15Sha256_2048,
    Scheme::RsaPkcs1v15Sha256_3072,
    Scheme::RsaPkcs1v15Sha256_4096,
    Scheme::Ed25519,
];

#[derive(Clone, Debug)]
pub(crate) struct FulcioConfig {
    pub(crate) issuers: Vec<Arc<IssuerConfig>>,
    /// Pairs outside this list are refused even where the key is strong and the signature good.
    pub(crate) algorithms: Vec<Scheme>,
}

/// One OpenID Connect issuer whose tokens are accepted, or all that fit a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerConfig {
    pub(crate) url: IssuerUrl,
    /// Must be among the token's audiences.
    pub(crate) client_id: String,
    pub(crate) kind: IssuerKind,
    pub(crate) transport: IssuerTransport,
    pub(crate) keys: KeySource,
    pub(crate) limits: TokenLimits,
    pub(crate) rules: AuthorizationRules,
}

#[cfg(test)]
impl IssuerConfig {
    /// An issuer of e-mail identities on the open internet.
    pub(crate) fn email(url: &str) -> Self {
        Self {
            url: IssuerUrl::Exact(url.to_owned()),
            client_id: CLIENT_ID.to_owned(),
            kind: IssuerKind::Email { issuer_claim: None, verification: EmailVerification::Demanded },
            transport: IssuerTransport::HttpsOnly,
            keys: KeySource::Issuer { ca_pem: None, bearer_token: None },
            limits: TokenLimits::default(),
            rules: AuthorizationRules::everybody(),
        }
    }
}

/// Which tokens an entry of the configuration is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuerUrl {
    /// Compared byte for byte with the token's `iss` and with the discovery document's `issuer`; a final slash matters.
    Exact(String),
    /// Asked only if no exact entry is the token's.
    Pattern(IssuerPattern),
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(url) => formatter.write_str(url),
            Self::Pattern(pattern) => pattern.fmt(formatter),
        }
    }
}

/// Which claim names the subject, and what name in the certificate it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuerKind {
    /// `email`; an rfc822Name. The issuer in the certificate is the one that `issuer_claim` names, where the token's only passes people on.
    Email { issuer_claim: Option<ClaimPath>, verification: EmailVerification },
    /// `sub` is a URI under this scheme and host, such as `https://ci.example.com`; a URI.
    Uri { subject_domain: String },
    /// `sub` is an account name; an otherName `sub!subject_domain`.
    Username { subject_domain: String },
    /// `sub` is a SPIFFE ID of exactly this trust domain; a URI.
    Spiffe { trust_domain: String },
    /// A service account; a URI.
    Kubernetes,
    /// `sub` under the issuer's address; a URI.
    Chainguard,
    /// The claims of a workflow; a URI and extensions.
    CiProvider(Arc<CiProvider>),
}

impl IssuerKind {
    /// The type as the public service names it, and the claim that a proof of possession signs.
    pub(crate) fn published(&self) -> (&'static str, &'static str) {
        match self {
            Self::Email { .. } => ("email", "email"),
            Self::Uri { .. } => ("uri", "sub"),
            Self::Username { .. } => ("username", "sub"),
            Self::Spiffe { .. } => ("spiffe", "sub"),
            Self::Kubernetes => ("kubernetes", "sub"),
            Self::Chainguard => ("chainguard-identity", "sub"),
            Self::CiProvider(_) => ("ci-provider", "sub"),
        }
    }
}

/// Whether an e-mail address must be verified by its issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmailVerification {
    Demanded,
    /// For an issuer inside an organisation that never says `email_verified`, and gives its people their addresses itself.
    TrustedWithout,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// Its discovery document. The CA certificates are trusted besides the system's; the file's content is sent as a bearer token, and only
    /// to the issuer's own host.
    Issuer { ca_pem: Option<Vec<u8>>, bearer_token: Option<PathBuf> },
    /// A key set that the operator put there: the issuer is never asked.
    Pinned(Vec<u8>),
}

/// What is asked of a token beyond its own `exp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenLimits {
    /// The greatest age, from `iat`.
    pub(crate) age_max: Option<Duration>,
    pub(crate) reuse: Reuse,
}

/// Whether one token may be used for several certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// As the public service has it: a build that signs ten files asks ten times with one token.
    #[default]
    Allowed,
    Refused,
}

/// How an issuer's discovery document and keys may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssuerTransport {
    HttpsOnly,
    /// Https, also to private networks: an issuer inside an organisation.
    HttpsPrivate,
    /// Plain http too, but only to a loopback address: a try-out issuer on this machine.
    LoopbackHttpAllowed,
}

impl IssuerTransport {
    /// Whether this URL may be fetched on behalf of the issuer.
    pub(super) fn permits(self, url: &Url) -> bool {
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        plain
            && match (url.scheme(), self) {
                ("https", _) => url.has_host(),
                ("http", Self::LoopbackHttpAllowed) => is_loopback(url),
                _ => false,
            }
    }

    /// The addresses at which the issuer may be asked.
    pub(super) fn reach(self) -> Reach {
        match self {
            Self::HttpsOnly => Reach::PublicOnly,
            Self::HttpsPrivate | Self::LoopbackHttpAllowed => Reach::Private,
        }
    }
}

/// Loopback by its very name, so that no resolver has a say.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Why a certificate authority does not start. Each names what the operator has to change.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FulcioStartError {
    #[error("no issuer is configured: no token could ever be accepted")]
    NoIssuer,
    #[error(
        "issuer {url}: not a URL that may be fetched (https, or http to loopback where that is allowed; no query, user or fragment)"
    )]
    IssuerUrl { url: String },
    #[error("issuer {url} is configured twice")]
    IssuerTwice { url: String },
    #[error("issuers {url} and {other}: a URL can fit both patterns, and which one spoke for it would be chance")]
    PatternsOverlap { url: String, other: String },
    #[error("issuer {url}: a pattern is asked over https at public addresses alone")]
    PatternTransport { url: String },
    #[error("issuer {url}: a pattern cannot be of a type whose subjects lie under one domain (uri, username, spiffe)")]
    PatternOfOneDomain { url: String },
    #[error("issuer {url}: the pinned keys are no JSON Web Key Set with a key that can be used")]
    PinnedKeys { url: String },
    #[error("issuer {url}: the client id is empty")]
    ClientId { url: String },
    #[error("issuer {url}: subject domain {subject_domain:?} does not fit the issuer's type")]
    SubjectDomain { url: String, subject_domain: String },
    #[error("no signing algorithm is allowed: no key could ever be certified")]
    NoAlgorithm,
    #[error("the chain of the certificate authority is empty")]
    ChainEmpty,
    #[error("the first certificate of the chain does not hold the signer's public key")]
    ChainKey,
    #[error("certificate {position} of the chain is not issued by the next, or is not a certificate authority")]
    ChainLink { position: usize },
    #[error("the issuing certificate's key is too weak to certify others")]
    ChainKeyWeak,
    #[error(
        "certificate {position} of the previous chain {number} is not issued by the next, or is not a certificate authority"
    )]
    PreviousChainLink { number: usize, position: usize },
    #[error("the chain of the certificate authority: {0}")]
    ChainUnfit(PathError),
    #[error("a certificate of the chain is not valid now: no certificate could be issued")]
    ChainNotValid,
    #[error("the trial signature: {0}")]
    Trial(SignerError),
    #[error("the trial signature does not verify with the key of the first certificate of the chain")]
    TrialSignature,
    #[error("the signer's key is of a kind that cannot sign certificates")]
    SignerScheme,
}

/// Checks what can be checked without the network.
pub(super) fn check(config: &FulcioConfig) -> Result<(), FulcioStartError> {
    if config.issuers.is_empty() {
        return Err(FulcioStartError::NoIssuer);
    }
    if config.algorithms.is_empty() {
        return Err(FulcioStartError::NoAlgorithm);
    }
    for (position, issuer) in config.issuers.iter().enumerate() {
        check_url(issuer)?;
        let earlier = config.issuers.iter().take(position);
        expect_distinct(issuer, earlier.map(|earlier| &earlier.url))?;
        if issuer.client_id.is_empty() {
            return Err(FulcioStartError::ClientId { url: issuer.url.to_string() });
        }
        if matches!(&issuer.keys, KeySource::Pinned(keys) if KeySet::pinned(keys).is_none()) {
            return Err(FulcioStartError::PinnedKeys { url: issuer.url.to_string() });
        }
        check_subject_domain(issuer)?;
    }
    Ok(())
}

fn check_url(issuer: &IssuerConfig) -> Result<(), FulcioStartError> {
    let refused = || FulcioStartError::IssuerUrl { url: issuer.url.to_string() };
    match &issuer.url {
        IssuerUrl::Exact(text) => {
            let url = Url::parse(text).map_err(|_| refused())?;
            if !issuer.transport.permits(&url) || url.query().is_some() {
                return Err(refused());
            }
        }
        // The pattern itself permits https alone; whoever fits it is no neighbour.
        IssuerUrl::Pattern(_) if issuer.transport != IssuerTransport::HttpsOnly => {
            return Err(FulcioStartError::PatternTransport { url: issuer.url.to_string() });
        }
        IssuerUrl::Pattern(_) => {}
    }
    Ok(())
}

fn expect_distinct<'c>(
    issuer: &IssuerConfig,
    mut earlier: impl Iterator<Item = &'c IssuerUrl>,
) -> Result<(), FulcioStartError> {
    let same = earlier.find(|earlier| match (*earlier, &issuer.url) {
        (IssuerUrl::Exact(one), IssuerUrl::Exact(other)) => one == other,
        (IssuerUrl::Pattern(one), IssuerUrl::Pattern(other)) => one.overlaps(other),
        // The exact one goes first.
        _ => false,
    });
    match same {
        None => Ok(()),
        Some(IssuerUrl::Exact(url)) => Err(FulcioStartError::IssuerTwice { url: url.clone() }),
        Some(IssuerUrl::Pattern(other)) => {
            Err(FulcioStartError::PatternsOverlap { url: issuer.url.to_string(), other: other.to_string() })
        }
    }
}

fn check_subject_domain(issuer: &IssuerConfig) -> Result<(), FulcioStartError> {
    let (subject_domain, fits) = match &issuer.kind {
        IssuerKind::Email { .. } | IssuerKind::Kubernetes | IssuerKind::Chainguard | IssuerKind::CiProvider(_) => {
            return Ok(());
        }
        IssuerKind::Uri { subject_domain } => (subject_domain, is_scheme_and_host(subject_domain)),
        IssuerKind::Username { subject_domain } => (subject_domain, is_host_name(subject_domain)),
        IssuerKind::Spiffe { trust_domain } => (trust_domain, is_trust_domain(trust_domain)),
    };
    // One authority of names cannot be many issuers.
    if matches!(issuer.url, IssuerUrl::Pattern(_)) {
        return Err(FulcioStartError::PatternOfOneDomain { url: issuer.url.to_string() });
    }
    if fits {
        return Ok(());
    }
    Err(FulcioStartError::SubjectDomain { url: issuer.url.to_string(), subject_domain: subject_domain.clone() })
}

/// `scheme://host` and nothing else, in the one spelling that a subject is compared with.
fn is_scheme_and_host(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let scheme_is_plain = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
    scheme_is_plain && is_host_name(host)
}

fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(issuer: IssuerConfig) -> FulcioConfig {
        FulcioConfig { issuers: vec![Arc::new(issuer)], algorithms: DEFAULT_ALGORITHMS.to_vec() }
    }

    #[test]
    fn issuer_urls_that_may_not_be_fetched_do_not_start() {
        for url in [
            "http://issuer.example.com",
            "http://127.0.0.1:1/oidc",
            "ftp://issuer.example.com",
            "https://user@issuer.example.com",
            "https://issuer.example.com/?x=1",
            "https://issuer.example.com/#x",
            "issuer.example.com",
            "",
        ] {
            let refused = FulcioStartError::IssuerUrl { url: url.to_owned() };
            assert_eq!(check(&config(IssuerConfig::email(url))), Err(refused), "{url}");
        }
        assert_eq!(check(&config(IssuerConfig::email("https://issuer.example.com/"))), Ok(()));
    }

    #[test]
    fn plain_http_is_for_loopback_and_only_where_it_is_allowed() {
        let on =
            |url: &str| IssuerConfig { transport: IssuerTransport::LoopbackHttpAllowed, ..IssuerConfig::email(url) };
        for url in
            ["http://127.0.0.1:7701/oidc", "http://localhost/oidc", "http://[::1]:1/", "https://issuer.example.com"]
        {
            assert_eq!(check(&config(on(url))), Ok(()), "{url}");
        }
        for url in [
            "http://issuer.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
        ] {
            assert!(check(&config(on(url))).is_err(), "{url}");
        }
    }

    #[test]
    fn a_private_issuer_speaks_https_alone() {
        let at = |url: &str| IssuerConfig { transport: IssuerTransport::HttpsPrivate, ..IssuerConfig::email(url) };
        for url in ["https://idp.corp.example", "https://10.0.0.1/realm", "https://127.0.0.1:1"] {
            assert_eq!(check(&config(at(url))), Ok(()), "{url}");
        }
        for url in ["http://idp.corp.example", "http://10.0.0.1/realm", "http://127.0.0.1:1", "http://localhost"] {
            assert!(check(&config(at(url))).is_err(), "{url}");
        }
    }

    #[test]
    fn only_a_transport_that_says_so_reaches_private_addresses() {
        for (transport, expect) in [
            (IssuerTransport::HttpsOnly, Reach::PublicOnly),
            (IssuerTransport::HttpsPrivate, Reach::Private),
            (IssuerTransport::LoopbackHttpAllowed, Reach::Private),
        ] {
            assert_eq!(transport.reach(), expect, "{transport:?}");
        }
        assert_eq!(IssuerConfig::email("https://a.example").transport, IssuerTransport::HttpsOnly);
    }

    #[test]
    fn the_same_issuer_twice_does_not_start() {
        let mut twice = config(IssuerConfig::email("https://a.example"));
        twice.issuers.push(Arc::new(IssuerConfig::email("https://a.example")));
        assert_eq!(check(&twice), Err(FulcioStartError::IssuerTwice { url: "https://a.example".to_owned() }));
        twice.issuers.clear();
        assert_eq!(check(&twice), Err(FulcioStartError::NoIssuer));
    }

    #[test]
    fn subject_domains_have_the_form_of_their_type() {
        let uri = |domain: &str| IssuerConfig {
            kind: IssuerKind::Uri { subject_domain: domain.to_owned() },
            ..IssuerConfig::email("https://a.example")
        };
        assert_eq!(check(&config(uri("https://ci.example.com"))), Ok(()));
        for domain in
            ["", "ci.example.com", "https://", "https://ci.example.com/", "https://CI.example.com", "https://a@b"]
        {
            assert!(check(&config(uri(domain))).is_err(), "{domain}");
        }
    }
}
