// SPDX-License-Identifier: Apache-2.0
//! The verification of a bundle: start reading here.
//!
//! Spec: the Sigstore client specification, "Verification"; each check is a function in a file of its own, which returns what
//! it proved. The steps below are those of the specification, in its order. Everything is checked against a trusted root that
//! the caller authenticated, a policy without default, and `now`; no service is asked.
//!
//! In scope: bundles of version 0.3 with the signature of a file, certified by a CA, logged in Rekor v2.
//! Out of scope: fetching and authenticating the trusted root; what is not supported yet, which `bundle` refuses by name.
//! Invariants: a `Verified` is made here alone, after every check; its times come from timestamp authorities of the trusted
//! root and never from a log or a clock; a check that has nothing to check fails.

mod artifact;
mod chain;
mod error;
mod log;
mod sct;
mod timestamp;

use jiff::Timestamp;

use crate::bundle::Bundle;
use crate::policy::{AcceptedIdentity, Policy};
use crate::trust::TrustedRoot;

pub use artifact::{ArtifactDigests, ArtifactFailure, VerifiedSignature, record, signature};
pub use chain::{ChainFailure, VerifiedChain, chain};
pub use error::{Check, IdentityFailure, VerifyError};
pub use log::{LogFailure, LoggedEntry, logged};
pub use sct::{SctFailure, VerifiedSct, sct};
pub use timestamp::{CLOCK_TOLERANCE, TimestampFailure, VerifiedTimestamp, signed_at};

/// Verifies that `bundle` is a signature over `artifact`, made by an identity that `policy` accepts while its certificate was
/// valid, and recorded in the logs of `root`.
///
/// # Errors
/// The first check that fails, with what it expected and what it found.
pub fn verify(
    artifact: &ArtifactDigests,
    bundle: &Bundle,
    root: &TrustedRoot,
    policy: &Policy,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    // 1. When was it signed? Timestamp authorities of the root say so, over the bytes of the signature.
    let timestamps = timestamp::signed_at_all(bundle.timestamps(), bundle.signature(), root, now)?;
    let times: Vec<Timestamp> = timestamps.iter().map(VerifiedTimestamp::time).collect();
    // 2. Who certified the key? A CA of the root, and each certificate was valid at each of these times.
    let chain = chain(bundle.certificate(), root, &times)?;
    // 3. Is the certificate public? A CT log of the root promised to publish it.
    let sct = sct(&chain, root)?;
    // 4. Whose certificate is it? One that the policy accepts.
    let identity = identity(&chain, policy)?;
    // 5. Is the signature public? The entry that the log would have made of this artifact and bundle is in a log of the root.
    let record = record(artifact, bundle)?;
    let entries = log::logged_all(bundle.entries(), &record, root, &times)?;
    // 6. Does the certified key sign this artifact?
    let signature = signature(&record)?;
    Ok(Verified { timestamps, chain, sct, identity, entries, signature })
}

/// The identity in the certificate of a verified chain, if the policy accepts it.
///
/// # Errors
/// If the certificate holds no single identity, or another than the policy's.
pub fn identity(chain: &VerifiedChain, policy: &Policy) -> Result<AcceptedIdentity, IdentityFailure> {
    policy.accepts(chain.leaf()).map_err(IdentityFailure)
}

/// What was proved of a bundle. Made by [`verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    timestamps: Vec<VerifiedTimestamp>,
    chain: VerifiedChain,
    sct: VerifiedSct,
    identity: AcceptedIdentity,
    entries: Vec<LoggedEntry>,
    signature: VerifiedSignature,
}

impl Verified {
    /// When it was signed; at least one.
    #[must_use]
    pub fn timestamps(&self) -> &[VerifiedTimestamp] {
        &self.timestamps
    }

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

    /// Where it is logged; at least one.
    #[must_use]
    pub fn entries(&self) -> &[LoggedEntry] {
        &self.entries
    }

    #[must_use]
    pub fn signature(&self) -> &VerifiedSignature {
        &self.signature
    }
}

#[cfg(test)]
mod private;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod vectors;
