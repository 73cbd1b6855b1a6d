// SPDX-License-Identifier: Apache-2.0
//! One identity that may have signed: the subject alternative name with its type, the OIDC issuer, and further extensions.
//!
//! In scope: a rule and what it says of a certificate's identity. Out of scope: several rules (`mod`), reading a certificate (`x509`).
//! Invariants: all parts of a rule must match; a name matches only in the type that was asked for; an extension that is absent or
//! malformed matches nothing.

use std::fmt;

use super::extension::FulcioExtension;
use super::matcher::{Matcher, MatcherError};
use super::refusal::{Mismatch, Part};
use crate::principal::SubjectAltName;

/// The types of a subject alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SanType {
    Email,
    Uri,
    Username,
    Dns,
}

impl SanType {
    pub(super) const ALL: [Self; 4] = [Self::Email, Self::Uri, Self::Username, Self::Dns];

    pub(super) fn of(name: &SubjectAltName) -> Self {
        match name {
            SubjectAltName::Email(_) => Self::Email,
            SubjectAltName::Uri(_) => Self::Uri,
            SubjectAltName::Username(_) => Self::Username,
            SubjectAltName::Dns(_) => Self::Dns,
        }
    }

    /// The type of which a text must be: a URI has a scheme, an e-mail address an at sign, a username an exclamation mark.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        if text.contains("://") {
            Self::Uri
        } else if text.contains('@') {
            Self::Email
        } else if text.contains('!') {
            Self::Username
        } else {
            Self::Dns
        }
    }
}

impl fmt::Display for SanType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Email => "email",
            Self::Uri => "URI",
            Self::Username => "username",
            Self::Dns => "DNS name",
        })
    }
}

/// What the subject alternative name has to be.
#[derive(Debug, Clone)]
pub struct IdentityMatcher {
    /// `None` only where the caller spelled out that any type will do.
    san_type: Option<SanType>,
    matcher: Matcher,
}

impl IdentityMatcher {
    /// This name, in the type that its text has.
    ///
    /// # Errors
    /// If the text is empty.
    pub fn exact(text: &str) -> Result<Self, MatcherError> {
        Ok(Self::of_type(SanType::of_text(text), Matcher::exact(text)?))
    }

    #[must_use]
    pub fn of_type(san_type: SanType, matcher: Matcher) -> Self {
        Self { san_type: Some(san_type), matcher }
    }

    /// A name of any type: for patterns, from whose text no type can be told.
    #[must_use]
    pub fn of_any_type(matcher: Matcher) -> Self {
        Self { san_type: None, matcher }
    }

    /// An e-mail address at this domain.
    ///
    /// # Errors
    /// If it is not a domain.
    pub fn email_domain(domain: &str) -> Result<Self, MatcherError> {
        Ok(Self::of_type(SanType::Email, Matcher::email_domain(domain)?))
    }

    #[must_use]
    pub fn san_type(&self) -> Option<SanType> {
        self.san_type
    }

    #[must_use]
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    fn matches(&self, name: &SubjectAltName) -> bool {
        self.san_type.is_none_or(|san_type| san_type == SanType::of(name)) && self.matcher.matches(name.value())
    }

    /// Whether all names of one type match: told by names that nobody has in mind.
    fn accepts_anything(&self) -> bool {
        let types = SanType::ALL.into_iter().filter(|one| self.san_type.is_none_or(|san_type| san_type == *one));
        let strangers = |san_type| match san_type {
            SanType::Email => ["x7@q.example", "K_9+z@w8.test"],
            SanType::Uri => ["https://q.example/x7", "https://w8.test/K_9/z"],
            SanType::Username => ["x7!q.example", "K_9!w8.test"],
            SanType::Dns => ["x7.q.example", "w8.test"],
        };
        types.into_iter().any(|san_type| matches_all(&self.matcher, strangers(san_type)))
    }
}

impl fmt::Display for IdentityMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.san_type {
            Some(san_type) => write!(f, "{san_type} {}", self.matcher),
            None => write!(f, "{}", self.matcher),
        }
    }
}

/// One identity that may have signed. All its parts must match.
#[derive(Debug, Clone)]
pub struct IdentityRule {
    /// How a verdict calls the rule.
    pub name: Option<String>,
    pub san: IdentityMatcher,
    pub issuer: Matcher,
    pub extensions: Vec<(FulcioExtension, Matcher)>,
}

impl IdentityRule {
    #[must_use]
    pub fn new(san: IdentityMatcher, issuer: Matcher) -> Self {
        Self { name: None, san, issuer, extensions: Vec::new() }
    }

    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Demands an extension too.
    #[must_use]
    pub fn with(mut self, extension: FulcioExtension, value: Matcher) -> Self {
        self.extensions.push((extension, value));
        self
    }

    /// Each part that does not match.
    pub(super) fn mismatches(&self, claimed: &Claimed) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        if !self.san.matches(&claimed.san) {
            mismatches.push(Mismatch {
                part: Part::Identity,
                expected: self.san.to_string(),
                found: Some(format!("{} {}", SanType::of(&claimed.san), claimed.san.value())),
            });
        }
        if !self.issuer.matches(&claimed.issuer) {
            mismatches.push(Mismatch {
                part: Part::Issuer,
                expected: self.issuer.to_string(),
                found: Some(claimed.issuer.clone()),
            });
        }
        for (extension, expected) in &self.extensions {
            let found = claimed.extension(*extension);
            if !found.is_some_and(|found| expected.matches(found)) {
                mismatches.push(Mismatch {
                    part: Part::Extension(*extension),
                    expected: expected.to_string(),
                    found: found.map(ToOwned::to_owned),
                });
            }
        }
        mismatches
    }

    /// Out of how many parts the rule consists.
    pub(super) fn parts(&self) -> usize {
        2 + self.extensions.len()
    }

    /// How much of the beginnings of the parts that do not match is as expected, in bytes.
    pub(super) fn closeness(&self, claimed: &Claimed) -> usize {
        let part = |matcher: &Matcher, found: &str| if matcher.matches(found) { 0 } else { matcher.closeness(found) };
        let extensions = self
            .extensions
            .iter()
            .filter_map(|(extension, matcher)| Some(part(matcher, claimed.extension(*extension)?)));
        part(&self.san.matcher, claimed.san.value()) + part(&self.issuer, &claimed.issuer) + extensions.sum::<usize>()
    }

    /// Whether everybody of everywhere matches.
    pub(super) fn accepts_anything(&self) -> bool {
        let any_extension = |(_, matcher): &(_, Matcher)| matches_all(matcher, ["x7", "https://w8.test/K_9/z"]);
        self.accepts_any_name() && self.issuer_is_anybody() && self.extensions.iter().all(any_extension)
    }

    /// Whether the name may be any.
    pub(super) fn accepts_any_name(&self) -> bool {
        self.san.accepts_anything()
    }

    /// Whether anybody may have issued the identity.
    pub(super) fn issuer_is_anybody(&self) -> bool {
        matches_all(&self.issuer, ["https://q.example", "https://w8.test/K_9/z"])
    }
}

/// Whether texts match that nobody has in mind.
fn matches_all(matcher: &Matcher, strangers: [&str; 2]) -> bool {
    strangers.iter().all(|stranger| matcher.matches(stranger))
}

/// What a certificate says of who holds its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) san: SubjectAltName,
    pub(super) issuer: String,
    pub(super) extensions: Vec<(FulcioExtension, String)>,
}

impl Claimed {
    fn extension(&self, extension: FulcioExtension) -> Option<&str> {
        self.extensions.iter().find(|(found, _)| *found == extension).map(|(_, value)| value.as_str())
    }
}

/// An identity that a policy accepted; only [`Policy::accepts`](super::Policy::accepts) makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedIdentity {
    pub(super) claimed: Claimed,
    pub(super) rule: Option<String>,
    pub(super) rule_index: usize,
}

impl AcceptedIdentity {
    #[must_use]
    pub fn san(&self) -> &SubjectAltName {
        &self.claimed.san
    }

    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.claimed.issuer
    }

    /// Every extension of Fulcio in the certificate, demanded or not.
    #[must_use]
    pub fn extensions(&self) -> &[(FulcioExtension, String)] {
        &self.claimed.extensions
    }

    #[must_use]
    pub fn extension(&self, extension: FulcioExtension) -> Option<&str> {
        self.claimed.extension(extension)
    }

    /// The name of the rule that accepted it, if it has one.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// Which rule of the policy accepted it, counted from 0.
    #[must_use]
    pub fn rule_index(&self) -> usize {
        self.rule_index
    }
}
