// SPDX-License-Identifier: Apache-2.0
//! The verification of a bundle: start reading here.
//!
//! Spec: the Sigstore client specification, "Verification"; each check is a function in a file of its own, which returns what
//! it proved. The steps below are those of the specification, in its order. Everything is checked against a trusted root that
//! the caller authenticated, a policy without default, and `now`; no service is asked.
//!
//! In scope: signatures of files and of DSSE envelopes, by certified and by managed keys, logged in Rekor v1, v2 or, where the
//! policy says so, nowhere.
//! Out of scope: fetching and authenticating the trusted root; whether a CT log kept its promise (an online question).
//! Invariants: a `Verified` is made here alone, after every check; its times come from timestamp authorities and promises of
//! logs of the trusted root and never from a clock or an unsigned member; a check that has nothing to check fails; what a bundle
//! says wrongly of a known authority or log is never outweighed by something right; thresholds count distinct logs, authorities
//! and operators.

mod artifact;
mod chain;
mod claim;
mod error;
mod log;
mod promise;
mod sct;
mod signer;
mod statement;
mod time;
mod timestamp;

use jiff::Timestamp;

use crate::bundle::{Bundle, Content};
use crate::intoto::Statement;
use crate::policy::Policy;
use crate::trust::TrustedRoot;

pub use artifact::{Artifact, ArtifactFailure, digest_algorithms};
pub use chain::{ChainFailure, VerifiedChain, chain};
pub use claim::{SignatureFailure, VerifiedSignature};
pub use error::{Check, FailureClass, VerifyError};
pub use log::{LogFailure, LoggedEntry, VerifiedInclusion, logged};
pub use promise::{PromiseFailure, PromisedEntry, promised};
pub use sct::{SctFailure, VerifiedSct, sct};
pub use signer::{CertifiedSigner, IdentityFailure, KeyFailure, VerifiedKey, VerifiedSigner};
pub use statement::StatementFailure;
pub use time::{TimeFailure, TimeSource, VerifiedTime};
pub use timestamp::{CLOCK_TOLERANCE, TimestampFailure, VerifiedTimestamp, signed_at};

/// Verifies that `bundle` is a signature over `artifact`, or over a statement about it, made by a signer whom `policy` accepts,
/// while the signer's key was good, and recorded in the logs of `root`.
///
/// # Errors
/// The first check that fails, with what it expected and what it found.
pub fn verify(
    artifact: &Artifact<'_>,
    bundle: &Bundle,
    root: &TrustedRoot,
    policy: &Policy,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let demands = policy.demands();
    // A key is asked for a key's signature, an identity for a certificate's: neither is taken for the other.
    let expected = signer::expected(bundle, policy)?;
    // 1. When was it signed? Timestamp authorities of the root say so over the signature, logs of Rekor v1 over their entry.
    let times = time::times(bundle, root, demands, now)?;
    // 2. to 4. Whose is the key? A CA of the root certified it, and each certificate was valid at each of these times; CT logs
    // promised to publish the certificate; and it is of an identity that the policy accepts.
    let signer = signer::signer(expected, root, policy, &times, now)?;
    // 5. Is it about this artifact, as far as the bundle says so itself?
    let claim = claim::Claim::new(artifact, bundle, signer.public_key())?;
    // 6. Is the signature public? The entries are those of this signature, and are in logs of the root.
    let logged = log::logged_all(bundle.entries(), &claim, root, demands, &times, now)?;
    // 7. Does the key sign it?
    let signature = claim.verify(logged.schemes())?;
    // 8. Does what was signed speak of this artifact, and of the kind that was asked for?
    let statement = statement::statement(bundle.content(), artifact, policy)?;
    Ok(Verified { times, signer, entries: logged.into_entries(), signature, statement })
}

/// The checks that [`verify`] makes of a bundle under a policy, in their order. One that has nothing to check, because the policy
/// demands nothing and the bundle holds nothing, is not made, and nobody shall be told that it was passed.
#[must_use]
pub fn checks(bundle: &Bundle, policy: &Policy) -> Vec<Check> {
    let (keyless, demands) = (policy.key().is_none(), policy.demands());
    let timed = || !bundle.timestamps().is_empty() || bundle.entries().iter().any(|entry| entry.promise().is_some());
    let made = |check: &Check| match (check, bundle.content()) {
        (Check::Signature, _) => true,
        (Check::Time, _) => demands.times.max(demands.timestamps) > 0 || timed(),
        (Check::Log, _) => demands.log_entries.max(demands.log_operators) > 0 || !bundle.entries().is_empty(),
        (Check::Chain | Check::Identity, _) => keyless,
        (Check::Sct, _) => keyless && demands.scts > 0,
        (Check::Key, _) => !keyless,
        (Check::Artifact, Content::Message { digest, .. }) => digest.is_some(),
        (Check::Artifact, Content::Envelope(_)) => false,
        (Check::Statement, Content::Message { .. }) => demands.predicate_type.is_some(),
        (Check::Statement, Content::Envelope(_)) => true,
    };
    Check::ALL.into_iter().filter(made).collect()
}

/// What was proved of a bundle. Made by [`verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    times: Vec<VerifiedTime>,
    signer: VerifiedSigner,
    entries: Vec<LoggedEntry>,
    signature: VerifiedSignature,
    statement: Option<Statement>,
}

impl Verified {
    /// When it was signed, as each source says. As many sources as the policy demands.
    #[must_use]
    pub fn times(&self) -> &[VerifiedTime] {
        &self.times
    }

    /// Who signed.
    #[must_use]
    pub fn signer(&self) -> &VerifiedSigner {
        &self.signer
    }

    /// The certified signer, unless a managed key signed.
    #[must_use]
    pub fn certified(&self) -> Option<&CertifiedSigner> {
        match &self.signer {
            VerifiedSigner::Certificate(certified) => Some(certified),
            VerifiedSigner::Key(_) => None,
        }
    }

    /// Where it is logged. At least one, unless the policy asks for none.
    #[must_use]
    pub fn entries(&self) -> &[LoggedEntry] {
        &self.entries
    }

    #[must_use]
    pub fn signature(&self) -> &VerifiedSignature {
        &self.signature
    }

    /// The statement about the artifact, if that is what was signed.
    #[must_use]
    pub fn statement(&self) -> Option<&Statement> {
        self.statement.as_ref()
    }
}

#[cfg(test)]
pub(crate) mod private;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod vectors;
