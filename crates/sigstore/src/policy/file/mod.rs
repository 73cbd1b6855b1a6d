// SPDX-License-Identifier: Apache-2.0
//! The policy file: who may sign and what a bundle must hold, in TOML (docs/policy.md documents every key).
//!
//! In scope: reading it, checking it (`lint`), saying in sentences what it would accept (`explain`). Out of scope: files that it
//! names, whose contents the caller brings.
//! Invariants: total; a key that is not known is refused, with its line and column; what cannot be enforced is an error.

mod reader;
mod sections;

use touchmark_keys::{KeyError, PublicKey};

use super::demands::DemandsError;
use super::extension::UnknownExtension;
use super::identity::IdentityRule;
use super::lint::Finding;
use super::matcher::MatcherError;
use super::shorthand::ShorthandError;
use super::witness::{WitnessPolicy, WitnessPolicyError};
use super::witness_file::TlogPolicyError;
use super::{KeyRule, Policy, RULES_MAX, RulesError};
use crate::trust::{TrustedRoot, ValidFor, WindowError};

use reader::Place;
use sections::{Figures, Witnesses};

/// The longest policy file.
pub const POLICY_FILE_BYTES_MAX: usize = 256 * 1024;
/// The most keys of one policy file.
pub const KEYS_MAX: usize = 32;
/// The version of the format.
const VERSION: usize = 1;

/// A policy file that was read.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    identities: Vec<(IdentityRule, Place)>,
    keys: Vec<FileKey>,
    figures: Figures,
    witnesses: Witnesses,
}

/// A key of the file.
#[derive(Debug, Clone)]
struct FileKey {
    name: Option<String>,
    key: Pending<PublicKey>,
    valid_for: Option<ValidFor>,
}

/// Something that stands in the file, or in another that the file names.
#[derive(Debug, Clone)]
enum Pending<T> {
    Read(T),
    File { path: String, place: Place },
}

/// Why a text is not a policy file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct PolicyFileError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    pub problem: PolicyFileProblem,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyFileProblem {
    #[error("the file has {bytes} bytes, the limit is {POLICY_FILE_BYTES_MAX}")]
    TooLarge { bytes: usize },
    #[error("{0}")]
    Toml(String),
    #[error("unknown key {key:?}; there may be {}", .allowed.join(", "))]
    UnknownKey { key: String, allowed: &'static [&'static str] },
    #[error("{key:?} is missing")]
    Missing { key: &'static str },
    #[error("{key:?} is {found}, expected {expected}")]
    Type { key: String, expected: &'static str, found: &'static str },
    #[error("this is version {found} of the format, this program reads version {VERSION}")]
    Version { found: usize },
    #[error("{first:?} and {second:?} cannot stand together")]
    Conflict { first: String, second: String },
    #[error("{found:?} is no type of identity; there are email, uri, username, dns and any")]
    SanType { found: String },
    #[error("a glob, a pattern or a list needs \"type\" beside it: email, uri, username, dns or any")]
    TypeNeeded,
    #[error("{0}")]
    Matcher(MatcherError),
    #[error("{0}")]
    Extension(UnknownExtension),
    #[error("{0}")]
    Shorthand(ShorthandError),
    #[error("{0}")]
    Rules(RulesError),
    #[error("{0}")]
    Demands(DemandsError),
    #[error("{0}")]
    Witnesses(WitnessPolicyError),
    #[error("{0}")]
    TlogPolicy(TlogPolicyError),
    #[error("the public key is not usable: {0}")]
    Key(KeyError),
    #[error("{0}")]
    Window(WindowError),
    #[error("the path is empty")]
    EmptyPath,
    #[error("{key:?} stands {found} times or has {found} values, the limit is {max}")]
    TooMany { key: String, found: usize, max: usize },
    #[error("the file names nobody who may sign: there is neither [[identity]] nor [[key]]")]
    Nobody,
    #[error("the file {path:?} has not been read")]
    Unread { path: String },
    #[error("{found} kinds of signers are accepted, expected one: identities or one key")]
    SeveralPolicies { found: usize },
}

use PolicyFileProblem as Problem;

impl PolicyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn from_toml(text: &str) -> Result<Self, PolicyFileError> {
        if text.len() > POLICY_FILE_BYTES_MAX {
            return Err(Place::START.error(Problem::TooLarge { bytes: text.len() }));
        }
        reader::parse(text, |document| {
            let version = document.require("version")?;
            match version.count()? {
                VERSION => {}
                found => return Err(version.error(Problem::Version { found })),
            }
            let document = document.only(&["version", "identity", "key", "demand", "weaken"])?;
            let identities: Vec<(IdentityRule, Place)> = document
                .sections("identity", RULES_MAX)?
                .into_iter()
                .map(sections::identity)
                .collect::<Result<_, _>>()?;
            let keys: Vec<FileKey> =
                document.sections("key", KEYS_MAX)?.into_iter().map(sections::key).collect::<Result<_, _>>()?;
            let (figures, witnesses) = sections::demands(document)?;
            let file = Self { identities, keys, figures, witnesses };
            // What is wrong is said now, and not when the files that it names have been read.
            let witnesses = file.witnesses.as_ref().and_then(|(witnesses, _)| witnesses.read().ok());
            file.assemble(witnesses, &mut file.keys.iter().filter(|key| key.key.path().is_none()))?;
            Ok(file)
        })
    }

    /// The paths of the files that it names and that have not been read, as they are written.
    #[must_use]
    pub fn unread_files(&self) -> Vec<&str> {
        let witnesses = self.witnesses.iter().filter_map(|(witnesses, _)| witnesses.path());
        self.keys.iter().filter_map(|key| key.key.path()).chain(witnesses).collect()
    }

    /// With the contents of a file that it names.
    ///
    /// # Errors
    /// If the contents are not what the place of the name needs: a public key as PEM, or a log policy.
    pub fn with_file(mut self, path: &str, contents: &str) -> Result<Self, PolicyFileError> {
        for key in &mut self.keys {
            key.key.fill(path, |place| sections::public_key(contents, place))?;
        }
        if let Some((witnesses, _)) = &mut self.witnesses {
            witnesses.fill(path, |place| sections::tlog_policy(contents, place))?;
        }
        Ok(self)
    }

    /// The policies, of which one must accept a bundle: one of all identities, and one of each key.
    ///
    /// # Errors
    /// If a file that it names has not been read, or the rules or demands make no sense.
    pub fn policies(&self) -> Result<Vec<Policy>, PolicyFileError> {
        let witnesses = self.witnesses.as_ref().map(|(witnesses, _)| witnesses.read()).transpose()?;
        self.assemble(witnesses, &mut self.keys.iter())
    }

    fn assemble(
        &self,
        witnesses: Option<&WitnessPolicy>,
        keys: &mut dyn Iterator<Item = &FileKey>,
    ) -> Result<Vec<Policy>, PolicyFileError> {
        if self.identities.is_empty() && self.keys.is_empty() {
            return Err(Place::START.error(Problem::Nobody));
        }
        let with_demands =
            |policy: Policy, demands| policy.with_demands(demands).map_err(|error| self.demands_error(error));
        let mut policies = Vec::new();
        if !self.identities.is_empty() {
            let rules = self.identities.iter().map(|(rule, _)| rule.clone()).collect();
            let policy = Policy::any_of(rules).map_err(|error| self.rules_error(error))?;
            policies.push(with_demands(policy, self.figures.of_certificates(witnesses.cloned()))?);
        }
        for key in keys {
            let rule = KeyRule { key: key.key.read()?.clone(), valid_for: key.valid_for };
            let demands = match self.identities.is_empty() {
                true => self.figures.of_keys(witnesses.cloned()),
                false => self.figures.of_keys_beside_identities(witnesses.cloned()),
            };
            policies.push(with_demands(Policy::managed_key(rule), demands)?);
        }
        Ok(policies)
    }

    /// The policy, if the file is of identities alone or of one key alone.
    ///
    /// # Errors
    /// As [`PolicyFile::policies`], and if there are several.
    pub fn policy(&self) -> Result<Policy, PolicyFileError> {
        let mut policies = self.policies()?;
        match (policies.pop(), policies.len()) {
            (Some(policy), 0) => Ok(policy),
            (_, others) => Err(Place::START.error(Problem::SeveralPolicies { found: others + 1 })),
        }
    }

    /// What is allowed but probably not meant.
    ///
    /// # Errors
    /// As [`PolicyFile::policies`].
    pub fn lint(&self) -> Result<Vec<Finding>, PolicyFileError> {
        self.findings(Policy::lint)
    }

    /// Which thresholds no bundle can meet under this trusted root.
    ///
    /// # Errors
    /// As [`PolicyFile::policies`].
    pub fn lint_against(&self, root: &TrustedRoot) -> Result<Vec<Finding>, PolicyFileError> {
        self.findings(|policy| policy.lint_against(root))
    }

    /// Of all policies, each finding once.
    fn findings(&self, of: impl Fn(&Policy) -> Vec<Finding>) -> Result<Vec<Finding>, PolicyFileError> {
        let mut findings: Vec<Finding> = Vec::new();
        for finding in self.policies()?.iter().flat_map(of) {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        Ok(findings)
    }

    /// The line of what a finding of this file is about, counted from 1; the first line where it is about the whole.
    #[must_use]
    pub fn line_of(&self, finding: &Finding) -> usize {
        let number =
            finding.subject.strip_prefix("identity ").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        let identity = number.and_then(|number| self.identities.get(number.checked_sub(1)?));
        identity.map_or_else(|| self.figures.place(&finding.subject), |(_, place)| *place).line
    }

    /// What it would accept, in sentences.
    ///
    /// # Errors
    /// As [`PolicyFile::policies`].
    pub fn explain(&self) -> Result<Vec<String>, PolicyFileError> {
        let policies = self.policies()?;
        let mut lines = Vec::new();
        for (position, policy) in policies.iter().enumerate() {
            if position > 0 {
                lines.push("Or else:".to_owned());
            }
            lines.extend(policy.explain());
        }
        Ok(lines)
    }

    /// The names of the keys, in the order of their policies.
    #[must_use]
    pub fn key_names(&self) -> Vec<Option<&str>> {
        self.keys.iter().map(|key| key.name.as_deref()).collect()
    }

    fn rules_error(&self, error: RulesError) -> PolicyFileError {
        let named = |name: &str| self.identities.iter().rposition(|(rule, _)| rule.name.as_deref() == Some(name));
        let index = match &error {
            RulesError::AcceptsAnything { rule } => Some(*rule),
            RulesError::DuplicateName { name } => named(name),
            RulesError::Empty | RulesError::TooMany { .. } => None,
        };
        let place = index.and_then(|index| self.identities.get(index)).map_or(Place::START, |(_, place)| *place);
        place.error(Problem::Rules(error))
    }

    fn demands_error(&self, error: DemandsError) -> PolicyFileError {
        let (DemandsError::TooLarge { demand, .. }
        | DemandsError::Weakened { demand, .. }
        | DemandsError::NeedsCertificate { demand }
        | DemandsError::NeedsLog { demand }) = error;
        self.figures.place(demand).error(Problem::Demands(error))
    }
}

impl<T> Pending<T> {
    fn path(&self) -> Option<&str> {
        match self {
            Self::Read(_) => None,
            Self::File { path, .. } => Some(path),
        }
    }

    fn read(&self) -> Result<&T, PolicyFileError> {
        match self {
            Self::Read(value) => Ok(value),
            Self::File { path, place } => Err(place.error(Problem::Unread { path: path.clone() })),
        }
    }

    fn fill(
        &mut self,
        given: &str,
        parse: impl FnOnce(Place) -> Result<T, PolicyFileError>,
    ) -> Result<(), PolicyFileError> {
        if let Self::File { path, place } = self
            && path == given
        {
            *self = Self::Read(parse(*place)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
