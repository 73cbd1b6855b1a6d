// SPDX-License-Identifier: Apache-2.0
//! Who of those that proved who they are may have a certificate, and for which kind of key.
//!
//! Authentication says that a token is an issuer's; this says whether this instance wants that subject. The public service
//! certifies everybody; a private one asks for less (fulcio#1989).
//!
//! In scope: the rule of one issuer, the list of key and hash pairs.
//! Out of scope: reading tokens (`token`), key strength (`touchmark_keys`).
//! Invariant: a certificate is only asked for with a [`Permit`], and a [`Permit`] is only made here.

use touchmark_keys::Scheme;
use touchmark_sigstore::principal::{Principal, SubjectAltName};

use super::error::IssueError;
use super::possession::ProvenKey;

/// Which subjects of an issuer are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthorizationRule {
    /// Everybody whom the issuer vouches for.
    AnySubject,
    /// E-mail addresses at exactly these domains, compared without regard to case.
    EmailDomains(Vec<String>),
}

/// A principal and a key that may be bound to each other.
pub(super) struct Permit {
    principal: Principal,
    key: ProvenKey,
}

impl Permit {
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    pub(super) fn key(&self) -> &ProvenKey {
        &self.key
    }
}

/// The last question before a certificate is made.
pub(super) fn authorize(
    rule: &AuthorizationRule,
    algorithms: &[Scheme],
    principal: Principal,
    key: ProvenKey,
) -> Result<Permit, IssueError> {
    if !algorithms.contains(&key.scheme()) {
        return Err(IssueError::AlgorithmNotAllowed(key.scheme()));
    }
    if !rule_admits(rule, &principal.san) {
        return Err(IssueError::SubjectNotAllowed);
    }
    Ok(Permit { principal, key })
}

fn rule_admits(rule: &AuthorizationRule, name: &SubjectAltName) -> bool {
    match (rule, name) {
        (AuthorizationRule::AnySubject, _) => true,
        (AuthorizationRule::EmailDomains(domains), SubjectAltName::Email(address)) => {
            let at = address.rsplit_once('@').map(|(_, domain)| domain);
            at.is_some_and(|domain| domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)))
        }
        (AuthorizationRule::EmailDomains(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_rule_admits_that_domain_alone() {
        let rule = AuthorizationRule::EmailDomains(vec!["example.com".to_owned()]);
        let email = |address: &str| SubjectAltName::Email(address.to_owned());
        assert!(rule_admits(&rule, &email("alice@example.com")));
        assert!(rule_admits(&rule, &email("alice@Example.COM")));
        for address in ["alice@sub.example.com", "alice@notexample.com", "alice@example.com.evil.org", "example.com"] {
            assert!(!rule_admits(&rule, &email(address)), "{address}");
        }
        assert!(!rule_admits(&rule, &SubjectAltName::Uri("https://example.com".to_owned())));
        assert!(rule_admits(&AuthorizationRule::AnySubject, &email("bob@anywhere.org")));
    }
}
