// SPDX-License-Identifier: Apache-2.0
//! What a text has to be: exactly this one, a match of a glob or a regular expression, an address at a domain, or one of several.
//!
//! In scope: texts alone. Out of scope: what the text is of (`identity`, `extension`, `demands`).
//! Invariants: there is no empty matcher; every kind is anchored at both ends; matching is linear in the text (crate `regex`).

use std::fmt;

use regex::{Regex, RegexBuilder};

/// The longest pattern or glob.
pub const PATTERN_BYTES_MAX: usize = 4096;
/// The most alternatives of one matcher.
pub const ALTERNATIVES_MAX: usize = 256;
/// The largest compiled pattern.
const PATTERN_COMPILED_BYTES_MAX: usize = 1 << 20;

/// What a text has to be.
#[derive(Debug, Clone)]
pub struct Matcher(Kind);

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Exact(String),
    Glob { text: String, regex: Regex },
    Pattern { text: String, regex: Regex },
    EmailDomain(String),
    AnyOf(Vec<Matcher>),
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
    #[error("a glob has `*` and `**`, and no longer row of stars")]
    Stars,
    #[error("{0:?} is not the domain of an e-mail address")]
    Domain(String),
    #[error("{found} alternatives, the limit is {ALTERNATIVES_MAX}")]
    TooManyAlternatives { found: usize },
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

    /// A regular expression that has to match the whole text, whether or not it says so with `^` and `$`.
    ///
    /// # Errors
    /// If it is empty, too large or malformed.
    pub fn pattern(pattern: &str) -> Result<Self, MatcherError> {
        check_length(pattern)?;
        // On its own first: what closes our group or comments out our anchor is not a pattern.
        compile(pattern)?;
        let regex = compile(&format!(r"\A(?:{pattern})\z"))?;
        Ok(Self(Kind::Pattern { text: pattern.to_owned(), regex }))
    }

    /// A glob that has to match the whole text: `*` is any text without `/`, `**` any text; every other character is itself.
    ///
    /// # Errors
    /// If it is empty or too large, or has more than two stars in a row.
    pub fn glob(glob: &str) -> Result<Self, MatcherError> {
        check_length(glob)?;
        if glob.contains("***") {
            return Err(MatcherError::Stars);
        }
        // (?s): the dot is any character at all.
        let pieces = glob.split("**").map(|piece| {
            let literals: Vec<String> = piece.split('*').map(regex::escape).collect();
            literals.join("[^/]*")
        });
        let body = pieces.collect::<Vec<String>>().join(".*");
        let regex = compile(&format!(r"(?s)\A{body}\z"))?;
        Ok(Self(Kind::Glob { text: glob.to_owned(), regex }))
    }

    /// An e-mail address at this domain, not at one below it: one `@`, something before it, the domain after it.
    ///
    /// # Errors
    /// If the domain is empty or has characters that no domain has.
    pub fn email_domain(domain: &str) -> Result<Self, MatcherError> {
        if domain.is_empty() {
            return Err(MatcherError::Empty);
        }
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "@*/\\!".contains(c);
        if domain.contains(forbidden) || domain.starts_with('.') {
            return Err(MatcherError::Domain(domain.to_owned()));
        }
        Ok(Self(Kind::EmailDomain(domain.to_owned())))
    }

    /// What at least one of these matches.
    ///
    /// # Errors
    /// If there are none or too many.
    pub fn any_of(mut alternatives: Vec<Self>) -> Result<Self, MatcherError> {
        if alternatives.len() > ALTERNATIVES_MAX {
            return Err(MatcherError::TooManyAlternatives { found: alternatives.len() });
        }
        match (alternatives.pop(), alternatives.is_empty()) {
            (None, _) => Err(MatcherError::Empty),
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                alternatives.push(last);
                Ok(Self(Kind::AnyOf(alternatives)))
            }
        }
    }

    /// Whether the text is what it has to be.
    #[must_use]
    pub fn matches(&self, found: &str) -> bool {
        match &self.0 {
            Kind::Exact(text) => text == found,
            Kind::Glob { regex, .. } | Kind::Pattern { regex, .. } => regex.is_match(found),
            // What stands behind the first `@` is the domain, in which there is no other.
            Kind::EmailDomain(domain) => {
                found.split_once('@').is_some_and(|(local, found)| !local.is_empty() && found == domain)
            }
            Kind::AnyOf(alternatives) => alternatives.iter().any(|alternative| alternative.matches(found)),
        }
    }

    /// The text, if no other matches.
    #[must_use]
    pub fn as_exact(&self) -> Option<&str> {
        match &self.0 {
            Kind::Exact(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }

    /// How much of the beginning of `found` is as it was expected, in bytes: to tell which of several rules was meant.
    pub(super) fn closeness(&self, found: &str) -> usize {
        match &self.0 {
            Kind::Exact(text) => common_prefix(text.chars(), found),
            Kind::Glob { text, .. } => common_prefix(text.chars(), found),
            // Of an expression the escapes are left out, and its anchor: what is left begins as what it matches, mostly.
            Kind::Pattern { text, .. } => {
                common_prefix(text.trim_start_matches('^').chars().filter(|c| *c != '\\'), found)
            }
            Kind::EmailDomain(domain) => {
                let expected = domain.chars().rev();
                let found: String = found.chars().rev().collect();
                common_prefix(expected, &found)
            }
            Kind::AnyOf(alternatives) => alternatives.iter().map(|one| one.closeness(found)).max().unwrap_or(0),
        }
    }
}

fn common_prefix(expected: impl Iterator<Item = char>, found: &str) -> usize {
    expected.zip(found.chars()).take_while(|(expected, found)| expected == found).map(|(c, _)| c.len_utf8()).sum()
}

fn check_length(pattern: &str) -> Result<(), MatcherError> {
    match pattern.len() {
        0 => Err(MatcherError::Empty),
        bytes if bytes > PATTERN_BYTES_MAX => Err(MatcherError::TooLong { bytes }),
        _ => Ok(()),
    }
}

fn compile(pattern: &str) -> Result<Regex, MatcherError> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(PATTERN_COMPILED_BYTES_MAX).build().map_err(MatcherError::Malformed)
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exact(text) => f.write_str(text),
            Kind::Glob { text, .. } => write!(f, "like {text}"),
            Kind::Pattern { text, .. } => write!(f, "a match of {text}"),
            Kind::EmailDomain(domain) => write!(f, "any address at {domain}"),
            Kind::AnyOf(alternatives) => {
                for (position, alternative) in alternatives.iter().enumerate() {
                    let between = if position == 0 { "" } else { " or " };
                    write!(f, "{between}{alternative}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
