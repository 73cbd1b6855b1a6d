// SPDX-License-Identifier: Apache-2.0
//! Who certified the key: a path from the leaf to a certificate authority of the trusted root.

use jiff::Timestamp;

use crate::trust::{CertificateAuthority, TrustedRoot};
use crate::x509::Certificate;
use crate::x509::path::{ExtendedKeyUsage, PathError, VerifiedPath, verify_path_at_all};

/// A leaf for code signing under a CA of the trusted root. Made by [`chain`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedChain {
    path: VerifiedPath,
    times: Vec<Timestamp>,
    authority: String,
}

impl VerifiedChain {
    #[must_use]
    pub fn leaf(&self) -> &Certificate {
        self.path.leaf()
    }

    /// The certificate whose key signed the leaf.
    #[must_use]
    pub fn issuer(&self) -> &Certificate {
        self.path.issuer()
    }

    /// The path, the leaf first.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        self.path.certificates()
    }

    /// The times at which every certificate of the path was valid.
    #[must_use]
    pub fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// The URI under which the trusted root knows the authority.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// Why there is no such path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainFailure {
    /// There is no time at which to verify the path.
    NoTime,
    /// No CA of the trusted root has a window that holds every time.
    NoAuthority {
        times: Vec<Timestamp>,
    },
    Path(PathError),
}

impl ChainFailure {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoTime => "chain_without_time",
            Self::NoAuthority { .. } => "chain_authority_missing",
            Self::Path(PathError::Expired { .. } | PathError::NotYetValid { .. }) => "chain_outside_validity",
            Self::Path(_) => "chain_invalid",
        }
    }

    pub(super) fn expected(&self) -> String {
        match self {
            Self::NoTime => "a verified time".to_owned(),
            Self::NoAuthority { times } => {
                let times: Vec<String> = times.iter().map(Timestamp::to_string).collect();
                format!("a certificate authority that the trusted root trusts at {}", times.join(" and "))
            }
            Self::Path(_) => "a certificate under an authority of the trusted root".to_owned(),
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::NoTime | Self::NoAuthority { .. } => "none".to_owned(),
            Self::Path(error) => error.to_string(),
        }
    }
}

/// The path from `leaf` to a CA of the root whose window holds all `times`, each certificate valid at each of them.
///
/// # Errors
/// If there is none.
pub fn chain(leaf: &Certificate, root: &TrustedRoot, times: &[Timestamp]) -> Result<VerifiedChain, ChainFailure> {
    if times.is_empty() {
        return Err(ChainFailure::NoTime);
    }
    let mut failure = ChainFailure::NoAuthority { times: times.to_vec() };
    for authority in root.certificate_authorities() {
        if !times.iter().all(|time| authority.valid_for().contains(*time)) {
            continue;
        }
        match verify_path_at_all(leaf, authority.trusted_chain(), ExtendedKeyUsage::CodeSigning, times) {
            Ok(path) => {
                return Ok(VerifiedChain { path, times: times.to_vec(), authority: authority.uri().to_owned() });
            }
            Err(error) => failure = more_telling(failure, error, leaf, authority),
        }
    }
    Err(failure)
}

/// Several authorities may be tried; the error of the one that the leaf names as its issuer says most.
fn more_telling(
    failure: ChainFailure,
    error: PathError,
    leaf: &Certificate,
    authority: &CertificateAuthority,
) -> ChainFailure {
    let named = authority.chain().iter().any(|certificate| certificate.subject_der() == leaf.issuer_der());
    if named || matches!(failure, ChainFailure::NoAuthority { .. }) { ChainFailure::Path(error) } else { failure }
}
