// SPDX-License-Identifier: Apache-2.0
//! Why a policy does not accept a signer: the nearest rule that would have, and each part of it that did not match.
//!
//! In scope: the error and its texts. Out of scope: exit codes and hints (command line).

use std::fmt;

use super::extension::FulcioExtension;
use crate::x509::CertificateError;

/// Why a policy does not accept a signer or a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// The certificate does not hold exactly one identity of one issuer.
    Certificate(CertificateError),
    /// The policy is of a key.
    KeyExpected,
    /// The policy would accept everybody, and so accepts nobody.
    AcceptsAnything,
    /// No rule matches.
    Refused(Box<Refusal>),
    /// The statement is of another kind.
    PredicateType { expected: String, found: String },
}

/// The nearest rule, and what it did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name, if it has one.
    pub rule: Option<String>,
    /// Which rule of the policy it is, counted from 0.
    pub rule_index: usize,
    /// How many rules the policy has.
    pub rules: usize,
    /// At least one.
    pub mismatches: Vec<Mismatch>,
}

/// A part of a rule that did not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub part: Part,
    pub expected: String,
    /// `None` if the certificate has no such part.
    pub found: Option<String>,
}

/// The parts of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Identity,
    Issuer,
    Extension(FulcioExtension),
}

impl PolicyError {
    /// A code that does not change between versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "identity_malformed",
            Self::KeyExpected => "key_expected",
            Self::AcceptsAnything => "policy_accepts_anything",
            Self::PredicateType { .. } => "predicate_type_mismatch",
            Self::Refused(refusal) => match refusal.mismatches.first().map(|mismatch| mismatch.part) {
                None | Some(Part::Identity) => "identity_mismatch",
                Some(Part::Issuer) => "issuer_mismatch",
                Some(Part::Extension(_)) => "extension_mismatch",
            },
        }
    }

    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Certificate(_) => "a certificate with one identity and its issuer".to_owned(),
            Self::KeyExpected => "a signature by the key of the policy".to_owned(),
            Self::AcceptsAnything => "a policy that says who may sign".to_owned(),
            Self::PredicateType { expected, .. } => format!("a statement of the type {expected}"),
            Self::Refused(refusal) => refusal.expected(),
        }
    }

    #[must_use]
    pub fn found(&self) -> String {
        match self {
            Self::Certificate(error) => error.to_string(),
            Self::KeyExpected => "a certificate".to_owned(),
            Self::AcceptsAnything => "one that accepts everybody".to_owned(),
            Self::PredicateType { found, .. } => found.clone(),
            Self::Refused(refusal) => refusal.found(),
        }
    }

    /// The nearest rule, if the signer is one whom no rule accepts.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected(), self.found())
    }
}

impl std::error::Error for PolicyError {}

impl Refusal {
    fn expected(&self) -> String {
        let parts: Vec<String> = self.mismatches.iter().map(Mismatch::expected_phrase).collect();
        let which = match (&self.rule, self.rules) {
            (None, 0 | 1) => String::new(),
            (None, rules) => format!(" (rule {}, the nearest of {rules})", self.rule_index + 1),
            (Some(name), 0 | 1) => format!(" (rule {name})"),
            (Some(name), rules) => format!(" (rule {name}, the nearest of {rules})"),
        };
        format!("a certificate {}{which}", parts.join(", "))
    }

    fn found(&self) -> String {
        let parts: Vec<String> = self.mismatches.iter().map(Mismatch::found_phrase).collect();
        parts.join(", ")
    }
}

impl Mismatch {
    fn expected_phrase(&self) -> String {
        match self.part {
            Part::Identity => format!("of {}", self.expected),
            Part::Issuer => format!("issued by {}", self.expected),
            Part::Extension(extension) => format!("with {extension} {}", self.expected),
        }
    }

    fn found_phrase(&self) -> String {
        match (self.part, &self.found) {
            (Part::Identity, Some(found)) => found.clone(),
            (Part::Issuer, Some(found)) => format!("issued by {found}"),
            (Part::Extension(extension), Some(found)) => format!("{extension} {found}"),
            (part, None) => format!("no {part}"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Issuer => f.write_str("issuer"),
            Self::Extension(extension) => write!(f, "{extension}"),
        }
    }
}
