// SPDX-License-Identifier: Apache-2.0
//! Who may have signed: the subject alternative name with its type, and the OIDC issuer.
//!
//! In scope: exact texts and patterns that must match the whole text. Out of scope: reading the identity from a certificate
//! (`x509`); Fulcio's other extensions.
//! Invariants: there is no default policy and no empty matcher; a name matches only in the type that was asked for; a pattern
//! is anchored at both ends, and matching is linear in the text (crate `regex`).

use regex::{Regex, RegexBuilder};

use crate::principal::SubjectAltName;

/// The longest pattern.
pub const PATTERN_BYTES_MAX: usize = 4096;
/// The largest compiled pattern.
const PATTERN_COMPILED_BYTES_MAX: usize = 1 << 20;

/// What a text has to be.
#[derive(Debug, Clone)]
pub struct Matcher(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Exact(String),
    Pattern { text: String, regex: Regex },
}

/// Why a matcher cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MatcherError {
    #[error("an empty text or pattern matches nothing that a certificate holds")]
    Empty,
    #[error("the pattern has {bytes} bytes, the limit is {PATTERN_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("malformed pattern: {0}")]
    Malformed(regex::Error),
}

impl Matcher {
    /// This text and no other, in the case in which it is written.
    ///
    /// # Errors
    /// If the text is empty.
    pub fn exact(text: &str) -> Result<Self, MatcherError> {
        if text.is_empty() {
            return Err(MatcherError::Empty);
        }
        Ok(Self(Kind::Exact(text.to_owned())))
    }

    /// A regular expression that has to match the whole text.
    ///
    /// # Errors
    /// If it is empty, too large or malformed.
    pub fn pattern(pattern: &str) -> Result<Self, MatcherError> {
        if pattern.is_empty() {
            return Err(MatcherError::Empty);
        }
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(MatcherError::TooLong { bytes: pattern.len() });
        }
        // On its own first: what closes our group or comments out our anchor is not a pattern.
        compile(pattern)?;
        let regex = compile(&format!(r"\A(?:{pattern})\z"))?;
        Ok(Self(Kind::Pattern { text: pattern.to_owned(), regex }))
    }

    fn matches(&self, found: &str) -> bool {
        match &self.0 {
            Kind::Exact(text) => text == found,
            Kind::Pattern { regex, .. } => regex.is_match(found),
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, MatcherError> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(PATTERN_COMPILED_BYTES_MAX).build().map_err(MatcherError::Malformed)
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Exact(text) => f.write_str(text),
            Kind::Pattern { text, .. } => write!(f, "a match of {text}"),
        }
    }
}

/// The types of a subject alternative name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SanType {
    Email,
    Uri,
    Username,
    Dns,
}

impl SanType {
    fn of(name: &SubjectAltName) -> Self {
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

impl std::fmt::Display for SanType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
}

impl std::fmt::Display for IdentityMatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.san_type {
            Some(san_type) => write!(f, "{san_type} {}", self.matcher),
            None => write!(f, "{}", self.matcher),
        }
    }
}

/// Who may have signed. There is no policy that accepts everybody, and none that is meant by saying nothing:
/// ```compile_fail
/// let policy = touchmark_sigstore::policy::Policy::default();
/// ```
#[derive(Debug, Clone)]
pub struct Policy {
    identity: IdentityMatcher,
    issuer: Matcher,
}

/// An identity that a policy accepted; only [`Policy::accepts`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedIdentity {
    san: SubjectAltName,
    issuer: String,
}

impl AcceptedIdentity {
    #[must_use]
    pub fn san(&self) -> &SubjectAltName {
        &self.san
    }

    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// Why a policy does not accept an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("the certificate is of {found}, expected {expected}")]
    Identity { expected: String, found: String },
    #[error("the identity was issued by {found}, expected {expected}")]
    Issuer { expected: String, found: String },
}

impl Policy {
    /// A certificate of this identity, from this OIDC issuer.
    #[must_use]
    pub fn keyless(identity: IdentityMatcher, issuer: Matcher) -> Self {
        Self { identity, issuer }
    }

    /// Whether this identity may have signed.
    ///
    /// # Errors
    /// If the name, its type or the issuer is another than the policy's.
    pub fn accepts(&self, san: &SubjectAltName, issuer: &str) -> Result<AcceptedIdentity, PolicyError> {
        let right_type = self.identity.san_type.is_none_or(|san_type| san_type == SanType::of(san));
        if !right_type || !self.identity.matcher.matches(san.value()) {
            let found = format!("{} {}", SanType::of(san), san.value());
            return Err(PolicyError::Identity { expected: self.identity.to_string(), found });
        }
        if !self.issuer.matches(issuer) {
            return Err(PolicyError::Issuer { expected: self.issuer.to_string(), found: issuer.to_owned() });
        }
        Ok(AcceptedIdentity { san: san.clone(), issuer: issuer.to_owned() })
    }
}

#[cfg(test)]
mod tests;
