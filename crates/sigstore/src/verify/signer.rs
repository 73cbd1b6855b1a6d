// SPDX-License-Identifier: Apache-2.0
//! Whose key it is: one that a certificate binds to an identity which the policy accepts, or the key that the policy names.

use jiff::Timestamp;
use touchmark_keys::PublicKey;

use super::time::VerifiedTime;
use super::{VerifiedChain, VerifiedSct, VerifyError, chain, sct};
use crate::bundle::{Bundle, KeyMaterial};
use crate::policy::{AcceptedIdentity, KeyRule, Policy, PolicyError};
use crate::trust::{TrustedRoot, ValidFor};
use crate::x509::{Certificate, CertificateError};

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedSigner {
    Certificate(Box<CertifiedSigner>),
    Key(VerifiedKey),
}

impl VerifiedSigner {
    /// The key whose signature it has to be.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        match self {
            Self::Certificate(certified) => &certified.key,
            Self::Key(key) => &key.key,
        }
    }
}

/// An ephemeral key, certified for an identity that the policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedSigner {
    key: PublicKey,
    chain: VerifiedChain,
    sct: VerifiedSct,
    identity: AcceptedIdentity,
}

impl CertifiedSigner {
    #[must_use]
    pub fn chain(&self) -> &VerifiedChain {
        &self.chain
    }

    #[must_use]
    pub fn sct(&self) -> &VerifiedSct {
        &self.sct
    }

    #[must_use]
    pub fn identity(&self) -> &AcceptedIdentity {
        &self.identity
    }
}

/// The key that the policy names, inside its window. Made by [`signer`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedKey {
    key: PublicKey,
}

impl VerifiedKey {
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }
}

/// Why the signer is not one whom the policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFailure {
    /// The policy names identities, and a bare key signed.
    BareKey,
    /// The certificate does not hold exactly one identity of one issuer.
    Certificate(CertificateError),
    Policy(PolicyError),
}

impl IdentityFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::BareKey => "identity_missing",
            Self::Certificate(_) => "identity_malformed",
            Self::Policy(error) => error.code(),
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::BareKey => "a certificate with an identity".to_owned(),
            Self::Certificate(_) => "a certificate with one identity and its issuer".to_owned(),
            Self::Policy(error) => error.expected(),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::BareKey => "the signature of a managed key, of which only its owner says whose it is".to_owned(),
            Self::Certificate(error) => error.to_string(),
            Self::Policy(error) => error.found(),
        }
    }
}

/// Why the key of the policy did not sign as the policy demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFailure {
    /// The policy names a key, and the bundle has a certificate.
    Certified,
    OutsideWindow {
        time: Timestamp,
        window: ValidFor,
    },
}

impl KeyFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Certified => "key_expected",
            Self::OutsideWindow { .. } => "key_outside_window",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::Certified => "a signature of the given key, without certificate".to_owned(),
            Self::OutsideWindow { window, .. } => format!("a time in the key's window, {window}"),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::Certified => "a signature that a certificate vouches for".to_owned(),
            Self::OutsideWindow { time, .. } => time.to_string(),
        }
    }
}

/// The kind of signer that bundle and policy agree on.
pub(super) enum Expected<'a> {
    Certificate(&'a Certificate),
    Key(&'a KeyRule),
}

/// A key policy refuses certificates and an identity policy refuses keys: which of the two a bundle has is the bundle's say alone
/// (GHSA-fx35-mq7g-6g98).
pub(super) fn expected<'a>(bundle: &'a Bundle, policy: &'a Policy) -> Result<Expected<'a>, VerifyError> {
    match (bundle.key_material(), policy.key()) {
        (KeyMaterial::Certificate(certificate), None) => Ok(Expected::Certificate(certificate)),
        (KeyMaterial::PublicKey { .. }, Some(rule)) => Ok(Expected::Key(rule)),
        (KeyMaterial::Certificate(_), Some(_)) => Err(KeyFailure::Certified.into()),
        (KeyMaterial::PublicKey { .. }, None) => Err(IdentityFailure::BareKey.into()),
    }
}

/// The signer, at the verified times.
pub(super) fn signer(
    expected: Expected<'_>,
    root: &TrustedRoot,
    policy: &Policy,
    times: &[VerifiedTime],
    now: Timestamp,
) -> Result<VerifiedSigner, VerifyError> {
    match expected {
        Expected::Certificate(leaf) => {
            let mut times: Vec<Timestamp> = times.iter().map(VerifiedTime::time).collect();
            // Only where the policy says aloud that it needs no time: then the certificate has to be good now.
            if times.is_empty() {
                times.push(now);
            }
            let chain = chain(leaf, root, &times)?;
            let sct = sct::promised_by(&chain, root, policy.demands().scts)?;
            let identity = policy.accepts(leaf).map_err(IdentityFailure::Policy)?;
            let key = leaf.public_key().map_err(IdentityFailure::Certificate)?;
            Ok(VerifiedSigner::Certificate(Box::new(CertifiedSigner { key, chain, sct, identity })))
        }
        Expected::Key(rule) => Ok(VerifiedSigner::Key(key(rule, times, now)?)),
    }
}

/// A managed key needs no time, but where there are times they must lie in its window (GHSA-wqqc-jjcq-vfxm). Where there are none,
/// the present must: who signs too late could leave the times out.
fn key(rule: &KeyRule, times: &[VerifiedTime], now: Timestamp) -> Result<VerifiedKey, KeyFailure> {
    let Some(window) = rule.valid_for else { return Ok(VerifiedKey { key: rule.key.clone() }) };
    let outside = match times {
        [] => Some(now).filter(|now| !window.contains(*now)),
        times => times.iter().map(VerifiedTime::time).find(|time| !window.contains(*time)),
    };
    match outside {
        Some(time) => Err(KeyFailure::OutsideWindow { time, window }),
        None => Ok(VerifiedKey { key: rule.key.clone() }),
    }
}
