// SPDX-License-Identifier: Apache-2.0
//! Verifies one input: reads its bundles, its artifact and the trust root, and asks the library.
//!
//! With `--trusted-root` or `--offline` nothing but files is read: no run time is started and no HTTP client made. The trust root is
//! read when it is first needed: a file without bundle is "not signed" whatever the network does.
//!
//! Invariants: an artifact is hashed as a stream, under exactly the algorithms that its bundles need, or read up to
//! [`WHOLE_BYTES_MAX`] where a signature is over the file itself; of several bundles, and of several policies, one has to be
//! accepted whole.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::OnceLock;

use jiff::Timestamp;
use touchmark_client::ct_inclusion::{self, CtInclusionCheck, CtLogAddresses};
use touchmark_keys::{Digest, HashAlgorithm, PublicKey};
use touchmark_sigstore::bundle::{Bundle, Content};
use touchmark_sigstore::ct::inclusion::CtIncluded;
use touchmark_sigstore::intoto::Statement;
use touchmark_sigstore::policy::Policy;
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_sigstore::verify::{Artifact, Verified, VerifiedSigner, checks, digest_algorithms, verify};

use super::candidates::{Unreadable, bundle_path, candidates};
use super::inputs::{ArtifactAt, Input};
use super::verdict::{Accepted, CtDemanded, Outcome, Refusal, SignedAs, Subject, Verdict};
use crate::failure::Failure;
use crate::hashing::{ReadArtifact, artifact_digests, whole_artifact};
use crate::printer::Printer;
use crate::trust::TrustArgs;

/// The largest artifact that is read whole, for signatures over files themselves (pure Ed25519, ML-DSA).
const WHOLE_BYTES_MAX: u64 = 128 << 20;

/// What a check says of evidence of a log that the trusted root does not have.
const UNKNOWN_LOG: [&str; 2] = ["log_unknown", "sct_log_unknown"];

/// All that is the same for every input of a call.
pub(super) struct Judge<'a> {
    signed_as: SignedAs,
    policies: Vec<Policy>,
    trust: &'a TrustArgs,
    trusted_root: OnceLock<Result<TrustedRoot, Failure>>,
    /// Asked for at most once, when a log turned out to be unknown.
    newer_root: OnceLock<Option<TrustedRoot>>,
    ct_logs: Option<CtLogAddresses>,
    scale: Scale,
    printer: Printer,
}

/// How many inputs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    One,
    Many,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        signed_as: SignedAs,
        policies: Vec<Policy>,
        trust: &'a TrustArgs,
        ct_logs: Option<CtLogAddresses>,
        scale: Scale,
        printer: Printer,
    ) -> Self {
        let (trusted_root, newer_root) = (OnceLock::new(), OnceLock::new());
        Self { signed_as, policies, trust, trusted_root, newer_root, ct_logs, scale, printer }
    }

    /// The verdict on an input.
    pub(super) fn judge(&self, input: &Input) -> Verdict {
        let mut subject = Subject::of(input);
        let outcome = self.outcome(input, &mut subject).unwrap_or_else(Outcome::NotReached);
        Verdict { subject, outcome }
    }

    fn outcome(&self, input: &Input, subject: &mut Subject) -> Result<Outcome, Failure> {
        let path = bundle_path(input);
        subject.bundle = Some(path.clone());
        let candidates = candidates(input, &path)?;
        let fitting: Vec<&Bundle> = candidates.iter().flatten().filter(|bundle| self.signed_as.fits(bundle)).collect();
        let read = if fitting.is_empty() { ReadArtifact::Digests(Vec::new()) } else { self.read(input, &fitting)? };
        let mut nearest: Option<(usize, Refusal)> = None;
        for (position, candidate) in candidates.iter().enumerate() {
            match self.candidate(candidate, input, &read, subject)? {
                Ok(accepted) => {
                    subject.candidate = Some((position + 1, candidates.len()));
                    return Ok(Outcome::Verified(Box::new(accepted)));
                }
                Err(refusal) => {
                    if nearest.as_ref().is_none_or(|(_, nearest)| refusal.nearness() > nearest.nearness()) {
                        nearest = Some((position + 1, refusal));
                    }
                }
            }
        }
        let (position, refusal) = nearest.expect("there is a candidate");
        subject.candidate = Some((position, candidates.len()));
        Ok(Outcome::Refused(Box::new(refusal)))
    }

    /// One bundle, under each policy that is of its kind of signer.
    fn candidate(
        &self,
        candidate: &Result<Bundle, Unreadable>,
        input: &Input,
        read: &ReadArtifact,
        subject: &mut Subject,
    ) -> Result<Result<Accepted, Refusal>, Failure> {
        let bundle = match candidate {
            Ok(bundle) if self.signed_as.fits(bundle) => bundle,
            Ok(_) => return Ok(Err(Refusal::of_content(self.signed_as))),
            Err(error) => return Ok(Err(Refusal::of_unreadable(error))),
        };
        let artifact = match (&input.artifact, read) {
            (ArtifactAt::Anything, _) => Artifact::of_digests(stated_digests(bundle)),
            (_, ReadArtifact::Whole(bytes)) => Artifact::of_bytes(bytes),
            (_, ReadArtifact::Digests(digests)) => Artifact::of_digests(digests.clone()),
        };
        // What a statement says of itself is nobody's artifact.
        if input.artifact != ArtifactAt::Anything {
            subject.digests = artifact.digests().to_vec();
        }
        let trusted_root = self.trusted_root()?;
        let now = Timestamp::now();
        let mut nearest: Option<Refusal> = None;
        for policy in self.policies_for(bundle) {
            let mut trusted_root = trusted_root;
            let mut verdict = verify(&artifact, bundle, trusted_root, policy, now);
            if matches!(&verdict, Err(error) if UNKNOWN_LOG.contains(&error.code()))
                && let Some(newer) = self.newer_root()
            {
                trusted_root = newer;
                verdict = verify(&artifact, bundle, trusted_root, policy, now);
            }
            let refusal = match verdict {
                Ok(verified) => match self.ct_included(&verified, bundle, policy, trusted_root, now)? {
                    Ok(ct_included) => {
                        return Ok(Ok(Accepted { verified, checks: checks(bundle, policy), ct_included }));
                    }
                    Err(refusal) => refusal,
                },
                Err(error) => Refusal::of_check(&error, bundle, policy, input, self.ct_demanded()),
            };
            if nearest.as_ref().is_none_or(|nearest| refusal.nearness() > nearest.nearness()) {
                nearest = Some(refusal);
            }
        }
        Ok(Err(nearest.expect("there is a policy")))
    }

    /// The policies of this kind of signer; if there are none, the first, which says why it refuses.
    fn policies_for(&self, bundle: &Bundle) -> impl Iterator<Item = &Policy> {
        let certified = bundle.certificate().is_some();
        let is_for = move |policy: &&Policy| policy.key().is_none() == certified;
        let none = !self.policies.iter().any(|policy| is_for(&policy));
        self.policies.iter().filter(is_for).chain(self.policies.first().filter(|_| none))
    }

    /// The artifact, as the bundles need it.
    fn read(&self, input: &Input, bundles: &[&Bundle]) -> Result<ReadArtifact, Failure> {
        let path = match &input.artifact {
            ArtifactAt::Anything => return Ok(ReadArtifact::Digests(Vec::new())),
            ArtifactAt::Digest(digest) => return Ok(ReadArtifact::Digests(vec![digest.clone()])),
            ArtifactAt::File(file) => file.as_path(),
            ArtifactAt::Stdin => Path::new("-"),
        };
        let pairs = || bundles.iter().flat_map(|bundle| self.policies_for(bundle).map(move |policy| (*bundle, policy)));
        let mut algorithms: Vec<HashAlgorithm> =
            pairs().flat_map(|(bundle, policy)| digest_algorithms(bundle, policy)).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        if algorithms.is_empty() {
            algorithms.push(HashAlgorithm::Sha256);
        }
        // Bars of several files at once would overwrite each other.
        let printer = (self.scale == Scale::One).then_some(self.printer);
        if pairs().any(|(bundle, policy)| signs_whole(bundle, policy)) {
            return whole_artifact(path, WHOLE_BYTES_MAX, &algorithms, printer);
        }
        artifact_digests(path, &algorithms, printer).map(ReadArtifact::Digests)
    }

    /// The trusted root: read once, when it is first needed.
    fn trusted_root(&self) -> Result<&TrustedRoot, Failure> {
        let read = || {
            let root = self.trust.for_verifying(self.printer)?;
            // For a single verification it costs more than it saves.
            Ok(if self.scale == Scale::Many { root.prepared() } else { root })
        };
        self.trusted_root.get_or_init(read).as_ref().map_err(Failure::clone)
    }

    fn newer_root(&self) -> Option<&TrustedRoot> {
        self.newer_root.get_or_init(|| self.trust.asked_again()).as_ref()
    }

    fn ct_demanded(&self) -> CtDemanded {
        if self.ct_logs.is_some() { CtDemanded::Yes } else { CtDemanded::No }
    }

    /// Asks the CT logs, if that is demanded.
    fn ct_included(
        &self,
        verified: &Verified,
        bundle: &Bundle,
        policy: &Policy,
        trusted_root: &TrustedRoot,
        now: Timestamp,
    ) -> Result<Result<Option<Vec<CtIncluded>>, Refusal>, Failure> {
        let Some(addresses) = &self.ct_logs else { return Ok(Ok(None)) };
        let checks = checks(bundle, policy);
        let VerifiedSigner::Certificate(certified) = verified.signer() else {
            return Ok(Err(Refusal::without_certificate(&checks)));
        };
        let outbound = self.trust.store.outbound()?;
        let demanded = NonZeroUsize::new(policy.demands().scts).unwrap_or(NonZeroUsize::MIN);
        let check = CtInclusionCheck { outbound: &outbound, trusted_root, addresses, demanded };
        let asked = async { Ok(ct_inclusion::require(&check, certified.chain(), certified.sct(), now).await) };
        let answer = crate::commands::block_on(asked)?;
        Ok(answer.map(Some).map_err(|error| Refusal::of_ct(&error, &checks)))
    }
}

/// Whether the key may have signed the file itself and no digest of it.
fn signs_whole(bundle: &Bundle, policy: &Policy) -> bool {
    let key: Option<PublicKey> = match bundle.certificate() {
        Some(certificate) => certificate.public_key().ok(),
        None => policy.key().map(|rule| rule.key.clone()),
    };
    let whole = key.is_some_and(|key| key.schemes().iter().any(|scheme| scheme.hash().is_none()));
    whole && matches!(bundle.content(), Content::Message { .. })
}

/// What a statement says that it is about: for callers who do not care.
fn stated_digests(bundle: &Bundle) -> Vec<Digest> {
    let Content::Envelope(envelope) = bundle.content() else { return Vec::new() };
    let statement = Statement::parse(&envelope.payload);
    let digests = |statement: &Statement| {
        statement.subjects().iter().map(|subject| subject.digests().to_vec()).find(|digests| !digests.is_empty())
    };
    statement.ok().as_ref().and_then(digests).unwrap_or_default()
}
