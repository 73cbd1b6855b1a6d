// SPDX-License-Identifier: Apache-2.0
//! Who may have signed, and what a bundle must hold to prove it.
//!
//! In scope: identities in certificates (`identity`, with what their texts must be in `matcher`, Fulcio's extensions in `extension`, short
//! forms in `shorthand`), a key (below), thresholds (`demands`), witnesses (`witness`, their file in `witness_file`), why a signer is
//! refused (`refusal`), the policy file (`file`), what in a policy is suspicious (`lint`) and what it means (`explain`).
//! Out of scope: reading a certificate (`x509`), counting and verifying (`verify`).
//! Invariants: there is no default policy and none that accepts everybody; an option that is accepted is enforced; a policy of
//! identities accepts no key, and a policy of a key no certificate.

mod demands;
mod explain;
mod extension;
pub mod file;
mod identity;
mod lint;
mod matcher;
mod refusal;
mod shorthand;
mod witness;
mod witness_file;

use std::collections::HashSet;

use touchmark_keys::PublicKey;

use crate::trust::ValidFor;
use crate::x509::Certificate;

pub use demands::{Demands, DemandsError, THRESHOLD_MAX};
pub use extension::{FulcioExtension, UnknownExtension};
pub use identity::{AcceptedIdentity, IdentityMatcher, IdentityRule, SanType};
pub use lint::{Finding, Severity};
pub use matcher::{ALTERNATIVES_MAX, Matcher, MatcherError, PATTERN_BYTES_MAX};
pub use refusal::{Mismatch, Part, PolicyError, Refusal};
pub use shorthand::{GITHUB_ISSUER, Github, Gitlab, ShorthandError};
pub use witness::{Cosignature, WITNESSES_MAX, WitnessError, WitnessPolicy, WitnessPolicyError};
pub use witness_file::{TLOG_POLICY_BYTES_MAX, TlogPolicyError, TlogPolicyProblem};

use demands::SignerKind;
use identity::Claimed;

/// The most identities of one policy.
pub const RULES_MAX: usize = 256;

/// Who may have signed, and what a bundle must hold. There is no policy that accepts everybody, and none that is meant by saying
/// nothing:
/// ```compile_fail
/// let policy = touchmark_sigstore::policy::Policy::default();
/// ```
#[derive(Debug, Clone)]
pub struct Policy {
    signers: Signers,
    demands: Demands,
}

#[derive(Debug, Clone)]
enum Signers {
    /// Any of these; at least one.
    AnyOf(Vec<IdentityRule>),
    Key(Box<KeyRule>),
}

/// A key that may have signed.
#[derive(Debug, Clone)]
pub struct KeyRule {
    pub key: PublicKey,
    /// When it may have signed; `None` is always.
    pub valid_for: Option<ValidFor>,
}

/// Why rules make no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    #[error("there is no identity that may have signed")]
    Empty,
    #[error("{found} identities, the limit is {RULES_MAX}")]
    TooMany { found: usize },
    #[error("identity {} accepts everybody", .rule + 1)]
    AcceptsAnything { rule: usize },
    #[error("two identities have the name {name:?}")]
    DuplicateName { name: String },
}

impl Policy {
    /// A certificate of this identity, from this OIDC issuer. One that accepts everybody refuses everybody.
    #[must_use]
    pub fn keyless(identity: IdentityMatcher, issuer: Matcher) -> Self {
        Self { signers: Signers::AnyOf(vec![IdentityRule::new(identity, issuer)]), demands: Demands::keyless() }
    }

    /// A certificate that one of these rules accepts.
    ///
    /// # Errors
    /// If there are none or too many, if one accepts everybody, or if two have the same name.
    pub fn any_of(rules: Vec<IdentityRule>) -> Result<Self, RulesError> {
        if rules.is_empty() {
            return Err(RulesError::Empty);
        }
        if rules.len() > RULES_MAX {
            return Err(RulesError::TooMany { found: rules.len() });
        }
        if let Some(rule) = rules.iter().position(IdentityRule::accepts_anything) {
            return Err(RulesError::AcceptsAnything { rule });
        }
        let mut names = HashSet::new();
        if let Some(name) = rules.iter().filter_map(|rule| rule.name.as_ref()).find(|name| !names.insert(*name)) {
            return Err(RulesError::DuplicateName { name: name.clone() });
        }
        Ok(Self { signers: Signers::AnyOf(rules), demands: Demands::keyless() })
    }

    /// A signature by this key, without a certificate.
    #[must_use]
    pub fn managed_key(key: KeyRule) -> Self {
        Self { signers: Signers::Key(Box::new(key)), demands: Demands::managed_key() }
    }

    /// With other demands.
    ///
    /// # Errors
    /// If a figure is too large, or is zero without the switch that allows it, or makes no sense for the signer.
    pub fn with_demands(self, demands: Demands) -> Result<Self, DemandsError> {
        let signer = match self.signers {
            Signers::AnyOf(_) => SignerKind::Certificate,
            Signers::Key(_) => SignerKind::Key,
        };
        demands.check(signer)?;
        Ok(Self { demands, ..self })
    }

    #[must_use]
    pub fn demands(&self) -> &Demands {
        &self.demands
    }

    /// The key that may have signed, if the policy is of a key.
    #[must_use]
    pub fn key(&self) -> Option<&KeyRule> {
        match &self.signers {
            Signers::Key(key) => Some(key),
            Signers::AnyOf(_) => None,
        }
    }

    /// The identities that may have signed; none if the policy is of a key.
    #[must_use]
    pub fn rules(&self) -> &[IdentityRule] {
        match &self.signers {
            Signers::Key(_) => &[],
            Signers::AnyOf(rules) => rules,
        }
    }

    /// Whether the holder of this certificate may have signed. The certificate itself must have been verified.
    ///
    /// # Errors
    /// If the certificate holds no single identity, or one that no rule accepts.
    pub fn accepts(&self, leaf: &Certificate) -> Result<AcceptedIdentity, PolicyError> {
        self.judge(Claimed {
            san: leaf.san().map_err(PolicyError::Certificate)?,
            issuer: leaf.issuer_claim().map_err(PolicyError::Certificate)?,
            extensions: FulcioExtension::values_in(leaf),
        })
    }

    /// Whether a statement of this type is what was asked for.
    ///
    /// # Errors
    /// If the policy demands another.
    pub fn accepts_predicate(&self, predicate_type: &str) -> Result<AcceptedPredicate, PolicyError> {
        match &self.demands.predicate_type {
            Some(expected) if !expected.matches(predicate_type) => {
                Err(PolicyError::PredicateType { expected: expected.to_string(), found: predicate_type.to_owned() })
            }
            demanded => {
                Ok(AcceptedPredicate { predicate_type: predicate_type.to_owned(), demanded: demanded.is_some() })
            }
        }
    }

    fn judge(&self, claimed: Claimed) -> Result<AcceptedIdentity, PolicyError> {
        let Signers::AnyOf(rules) = &self.signers else {
            return Err(PolicyError::KeyExpected);
        };
        let mut nearest = None;
        for (rule_index, rule) in rules.iter().enumerate() {
            let mismatches = rule.mismatches(&claimed);
            if mismatches.is_empty() {
                if rule.accepts_anything() {
                    return Err(PolicyError::AcceptsAnything);
                }
                return Ok(AcceptedIdentity { claimed, rule: rule.name.clone(), rule_index });
            }
            let matching = rule.parts() - mismatches.len();
            let nearness = (matching, rule.closeness(&claimed));
            if nearest.as_ref().is_none_or(|(best, _)| nearness > *best) {
                let rule = rule.name.clone();
                nearest = Some((nearness, Refusal { rule, rule_index, rules: rules.len(), mismatches }));
            }
        }
        let (_, refusal) = nearest.expect("a policy of identities has at least one");
        Err(PolicyError::Refused(Box::new(refusal)))
    }
}

/// A type of statement that a policy accepted; only [`Policy::accepts_predicate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedPredicate {
    predicate_type: String,
    demanded: bool,
}

impl AcceptedPredicate {
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Whether the policy asked for a type: if not, any is accepted.
    #[must_use]
    pub fn is_demanded(&self) -> bool {
        self.demanded
    }
}

#[cfg(test)]
mod tests;
