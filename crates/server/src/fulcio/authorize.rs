// SPDX-License-Identifier: Apache-2.0
//! Whether this principal may have a certificate for this key here.
//!
//! The public service certifies everybody whom an issuer vouches for; a private one asks for less (fulcio#1989).
//!
//! In scope: the rules of one issuer, the list of key and hash pairs. Out of scope: reading tokens (`token`), key strength
//! (`touchmark_keys`), the configuration (`config`).
//! Invariants: a certificate is only asked for with a [`Permit`], and a [`Permit`] is only made here; what is denied stays denied,
//! whatever else allows it; a claim that is missing or is no text fits no pattern of `allow`.

use serde_json::Value;
use touchmark_keys::Scheme;
use touchmark_sigstore::principal::{Principal, SubjectAltName};

use super::claims::{ClaimPath, Claims, scalar_text};
use super::error::IssueError;
use super::possession::ProvenKey;

/// Which subjects of an issuer are served: first `deny`, then `allow`, then everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorizationRules {
    /// E-mail addresses at exactly these domains, compared without regard to case.
    pub(crate) email_domains: Option<Vec<String>>,
    pub(crate) deny: Vec<ClaimRule>,
    pub(crate) allow: Vec<ClaimRule>,
    pub(crate) otherwise: Otherwise,
    pub(crate) mode: RuleMode,
    /// What becomes of everybody where the rule is not there: what a dry run leaves standing.
    pub(crate) without_rule: Otherwise,
}

/// What becomes of whom no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    Everybody,
    Nobody,
    /// Nobody has said who is served, and anybody can have an account there.
    NobodyOfASharedIssuer,
}

/// Whether a refusal by rule refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleMode {
    Enforced,
    /// A refusal by an entry of the rule, or for want of one, is written to the log, and refuses only whom the issuer's entry alone would refuse.
    DryRun,
}

/// Claims that all have to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimRule(Vec<(ClaimPath, Vec<String>)>);

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Allow,
    Deny,
}

/// What the rules say about a token, and which of them said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// The entry of `allow`, counted from 1; `None` if no entry was needed.
    Admitted {
        by: Option<usize>,
    },
    /// The entry of `deny`, counted from 1.
    Denied {
        by: usize,
    },
    NotAllowed,
    SharedIssuerWithoutRules,
    EmailDomain,
}

impl std::fmt::Display for Ruling {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Admitted { by: None } => formatter.write_str("admitted: no rule is against it"),
            Self::Admitted { by: Some(position) } => write!(formatter, "admitted by entry {position} of `allow`"),
            Self::Denied { by } => write!(formatter, "denied by entry {by} of `deny`"),
            Self::NotAllowed => formatter.write_str("no entry of `allow` fits"),
            Self::SharedIssuerWithoutRules => {
                formatter.write_str("anybody can have an account at this issuer, and no rule says who is served")
            }
            Self::EmailDomain => formatter.write_str("the address is not at one of `email_domains`"),
        }
    }
}

impl AuthorizationRules {
    /// Everybody whom the issuer vouches for.
    pub(crate) fn everybody() -> Self {
        Self {
            email_domains: None,
            deny: Vec::new(),
            allow: Vec::new(),
            otherwise: Otherwise::Everybody,
            mode: RuleMode::Enforced,
            without_rule: Otherwise::Everybody,
        }
    }

    /// What they say of a principal, dry run or not.
    pub(super) fn ruling(&self, claims: &Claims, name: &SubjectAltName) -> Ruling {
        let fits = |rules: &[ClaimRule], side| {
            rules.iter().position(|rule| rule.fits(claims, side)).map(|position| position + 1)
        };
        if self.email_domains.as_ref().is_some_and(|domains| !is_at_one_of(domains, name)) {
            return Ruling::EmailDomain;
        }
        if let Some(by) = fits(&self.deny, Side::Deny) {
            return Ruling::Denied { by };
        }
        match (fits(&self.allow, Side::Allow), self.otherwise) {
            (Some(by), _) => Ruling::Admitted { by: Some(by) },
            (None, Otherwise::Everybody) => Ruling::Admitted { by: None },
            (None, Otherwise::Nobody) => Ruling::NotAllowed,
            (None, Otherwise::NobodyOfASharedIssuer) => Ruling::SharedIssuerWithoutRules,
        }
    }
}

impl AuthorizationRules {
    /// What refuses, of what the rules say: in a dry run the rule's own refusals only where nobody is served without it.
    pub(super) fn refusal(&self, ruling: &Ruling) -> Option<Ruling> {
        match (self.mode, ruling) {
            (_, Ruling::Admitted { .. }) => None,
            (RuleMode::DryRun, Ruling::Denied { .. } | Ruling::NotAllowed) => match self.without_rule {
                Otherwise::Everybody => None,
                Otherwise::Nobody => Some(ruling.clone()),
                Otherwise::NobodyOfASharedIssuer => Some(Ruling::SharedIssuerWithoutRules),
            },
            _ => Some(ruling.clone()),
        }
    }
}

fn is_at_one_of(domains: &[String], name: &SubjectAltName) -> bool {
    let SubjectAltName::Email(address) = name else { return false };
    let at = address.rsplit_once('@').map(|(_, domain)| domain);
    at.is_some_and(|domain| domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)))
}

impl ClaimRule {
    pub(crate) fn new(claims: Vec<(ClaimPath, Vec<String>)>) -> Self {
        Self(claims)
    }

    /// Every claim is there, and one of its texts fits one of the patterns. In doubt for the refusal: to `deny`, case means nothing, and a claim that
    /// is there and is no text fits every pattern.
    fn fits(&self, claims: &Claims, side: Side) -> bool {
        self.0.iter().all(|(path, patterns)| {
            let fits = |value: &Value| match (scalar_text(value), side) {
                (Some(text), Side::Allow) => patterns.iter().any(|pattern| text_fits(pattern, &text)),
                (Some(text), Side::Deny) => {
                    let text = text.to_lowercase();
                    patterns.iter().any(|pattern| text_fits(&pattern.to_lowercase(), &text))
                }
                (None, side) => side == Side::Deny,
            };
            match claims.at(path) {
                // Groups and roles come as lists.
                Some(Value::Array(values)) => values.iter().any(fits),
                Some(value) => fits(value),
                None => false,
            }
        })
    }
}

/// A text, or one with `*` for any run of characters. Linear in the product of the lengths, whatever the pattern.
fn text_fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut place, mut read) = (0, 0);
    // The last star, and how far the text had been read when it was met.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(place) == Some(&b'*') {
            star = Some((place, read));
            place += 1;
        } else if pattern.get(place) == text.get(read) {
            place += 1;
            read += 1;
        } else if let Some((at, from)) = star {
            place = at + 1;
            read = from + 1;
            star = Some((at, read));
        } else {
            return false;
        }
    }
    pattern.get(place..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// A principal and a key that may be bound to each other.
pub(super) struct Permit {
    principal: Principal,
    key: ProvenKey,
    ruling: Ruling,
}

impl Permit {
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    pub(super) fn key(&self) -> &ProvenKey {
        &self.key
    }

    /// What the rules said; in a dry run perhaps a refusal.
    pub(super) fn ruling(&self) -> &Ruling {
        &self.ruling
    }
}

/// The last question before a certificate is made.
pub(super) fn authorize(
    rules: &AuthorizationRules,
    claims: &Claims,
    algorithms: &[Scheme],
    principal: Principal,
    key: ProvenKey,
) -> Result<Permit, IssueError> {
    if !algorithms.contains(&key.scheme()) {
        return Err(IssueError::AlgorithmNotAllowed(key.scheme()));
    }
    let ruling = rules.ruling(claims, &principal.san);
    if let Some(refusal) = rules.refusal(&ruling) {
        return Err(IssueError::SubjectNotAllowed(refusal));
    }
    if !matches!(ruling, Ruling::Admitted { .. }) {
        tracing::warn!(issuer = %principal.issuer, subject = %principal.san, %ruling, "a rule would refuse this subject");
    }
    Ok(Permit { principal, key, ruling })
}

#[cfg(test)]
mod tests;
