// SPDX-License-Identifier: Apache-2.0
//! The verdict on one artifact: which check refused it and which were passed, or what all of them proved.
//!
//! In scope: values. Out of scope: text and JSON (`report`), advice (`advice`).
//! Invariant: a check counts as passed only if it was made: a failure that comes before all checks leaves none passed.

use std::path::PathBuf;

use touchmark_client::ct_inclusion::CtInclusionError;
use touchmark_keys::Digest;
use touchmark_sigstore::bundle::{Bundle, Content};
use touchmark_sigstore::ct::inclusion::CtIncluded;
use touchmark_sigstore::policy::{self, Policy};
use touchmark_sigstore::verify::{Check, FailureClass, IdentityFailure, KeyFailure, Verified, VerifyError, checks};

use super::advice;
use super::candidates::Unreadable;
use super::inputs::{ArtifactAt, Input};
use crate::exit::ExitStatus;
use crate::failure::Failure;

/// Reading the bundle comes before all checks of the verifier and has a name like them.
pub(super) const BUNDLE: &str = "bundle";
/// Asking the CT logs comes after them, where it is asked for.
pub(super) const CT_INCLUSION: &str = "ct-inclusion";

/// What the signature has to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignedAs {
    /// The file itself.
    File,
    /// A statement about it.
    Statement,
}

impl SignedAs {
    pub(super) fn fits(self, bundle: &Bundle) -> bool {
        match (self, bundle.content()) {
            (Self::File, Content::Message { .. }) | (Self::Statement, Content::Envelope(_)) => true,
            (Self::File, Content::Envelope(_)) | (Self::Statement, Content::Message { .. }) => false,
        }
    }
}

/// What was verified, as far as it is known.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The argument, or the file that a glob found; none where there is no artifact.
    pub(super) file: Option<PathBuf>,
    pub(super) digests: Vec<Digest>,
    pub(super) bundle: Option<PathBuf>,
    /// Which bundle of the file the verdict is about, counted from 1, and how many there are.
    pub(super) candidate: Option<(usize, usize)>,
}

impl Subject {
    pub(super) fn of(input: &Input) -> Self {
        let file = (input.artifact != ArtifactAt::Anything).then(|| input.name.clone());
        Self { file, digests: Vec::new(), bundle: None, candidate: None }
    }

    /// The subject of a call that failed before there was one.
    pub(super) fn none() -> Self {
        Self { file: None, digests: Vec::new(), bundle: None, candidate: None }
    }
}

pub(crate) struct Verdict {
    pub(super) subject: Subject,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    Verified(Box<Accepted>),
    Refused(Box<Refusal>),
    /// Something else failed before there was anything to check.
    NotReached(Failure),
}

/// What all checks proved.
pub(super) struct Accepted {
    pub(super) verified: Verified,
    pub(super) checks: Vec<Check>,
    /// The proofs of the CT logs, if they were asked for.
    pub(super) ct_included: Option<Vec<CtIncluded>>,
}

/// The check that failed.
#[derive(Clone)]
pub(super) struct Refusal {
    pub(super) check: &'static str,
    pub(super) code: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
    /// The rule of the policy that came nearest, if no rule accepts the signer.
    pub(super) nearest: Option<policy::Refusal>,
    pub(super) passed: Vec<&'static str>,
    pub(super) not_reached: Vec<&'static str>,
    pub(super) failure: Failure,
}

impl Refusal {
    /// The bundle cannot be read.
    pub(super) fn of_unreadable(error: &Unreadable) -> Self {
        let (expected, found) = ("a Sigstore bundle".to_owned(), error.found.clone());
        Self::before_all_checks(ExitStatus::Unreadable, error.code, expected, found).with_hint(error.hint)
    }

    /// The bundle holds the other kind of signature (GHSA-w6c6-c85g-mmv6).
    pub(super) fn of_content(signed_as: SignedAs) -> Self {
        let (file, statement) = ("the signature of a file", "an envelope with a statement about files");
        let (expected, found, hint) = match signed_as {
            SignedAs::File => {
                (file, statement, "a statement is no signature of the file: see `touchmark verify-blob-attestation`")
            }
            SignedAs::Statement => {
                (statement, file, "the signature of a file states nothing about it: see `touchmark verify-blob`")
            }
        };
        let (expected, found) = (expected.to_owned(), found.to_owned());
        Self::before_all_checks(ExitStatus::NotSigned, "bundle_content", expected, found).with_hint(hint)
    }

    fn before_all_checks(status: ExitStatus, code: &'static str, expected: String, found: String) -> Self {
        Self {
            check: BUNDLE,
            code,
            failure: failed(status, BUNDLE, code, &expected, &found),
            expected,
            found,
            nearest: None,
            passed: Vec::new(),
            not_reached: Vec::new(),
        }
    }

    /// A check of the verifier failed.
    pub(super) fn of_check(
        error: &VerifyError,
        bundle: &Bundle,
        policy: &Policy,
        input: &Input,
        ct: CtDemanded,
    ) -> Self {
        let check = error.check();
        // Who may have signed at all is asked before everything else.
        let before_all =
            matches!(error, VerifyError::Key(KeyFailure::Certified) | VerifyError::Identity(IdentityFailure::BareKey));
        let made = checks(bundle, policy);
        let is_before = |made: &Check| !before_all && *made < check;
        let passed = made.iter().copied().filter(is_before).map(Check::name);
        let not_reached = made.iter().copied().filter(|made| *made != check && !is_before(made)).map(Check::name);
        let nearest = match error {
            VerifyError::Identity(IdentityFailure::Policy(error)) => error.refusal().cloned(),
            _ => None,
        };
        let failure = failed(exit_of(error.class()), check.name(), error.code(), &error.expected(), &error.found());
        let failure = advice::of_check(error, bundle, input).into_iter().fold(failure, Failure::hint);
        Self {
            check: check.name(),
            code: error.code(),
            expected: error.expected(),
            found: error.found(),
            nearest,
            passed: std::iter::once(BUNDLE).chain(passed).collect(),
            not_reached: not_reached.chain(ct.name()).collect(),
            failure,
        }
    }

    /// A CT log did not prove that it holds the certificate.
    pub(super) fn of_ct(error: &CtInclusionError, checks: &[Check]) -> Self {
        use touchmark_client::ct_inclusion::Class;
        let status = match error.class() {
            Class::Usage => ExitStatus::Usage,
            Class::Network | Class::NotYet => ExitStatus::Network,
            Class::Wrong => ExitStatus::Untrusted,
        };
        let refusal = Self::of_ct_demand(status, error.code(), error.expected(), error.found(), checks);
        match error.next_step() {
            Some(step) => refusal.with_hint(&step),
            None => refusal,
        }
    }

    /// A managed key signed, and a CT log was to hold its certificate.
    pub(super) fn without_certificate(checks: &[Check]) -> Self {
        let (expected, found) = ("a certificate, which a CT log can hold", "the signature of a managed key");
        let code = "ct_without_certificate";
        Self::of_ct_demand(ExitStatus::Untrusted, code, expected.to_owned(), found.to_owned(), checks)
            .with_hint("leave out --require-ct-inclusion for keys")
    }

    fn of_ct_demand(status: ExitStatus, code: &'static str, expected: String, found: String, checks: &[Check]) -> Self {
        Self {
            check: CT_INCLUSION,
            code,
            failure: failed(status, CT_INCLUSION, code, &expected, &found),
            expected,
            found,
            nearest: None,
            passed: std::iter::once(BUNDLE).chain(checks.iter().copied().map(Check::name)).collect(),
            not_reached: Vec::new(),
        }
    }

    fn with_hint(self, hint: &str) -> Self {
        Self { failure: self.failure.hint(hint), ..self }
    }

    /// How near the bundle came to be accepted: the failure of the nearest of several is told.
    pub(super) fn nearness(&self) -> usize {
        let readable = usize::from(self.check != BUNDLE || self.code == "bundle_content");
        self.passed.len() + readable
    }
}

/// The exit code of a class of the verifier.
pub(super) fn exit_of(class: FailureClass) -> ExitStatus {
    match class {
        FailureClass::WrongSigner => ExitStatus::WrongSigner,
        FailureClass::Tampered => ExitStatus::Tampered,
        FailureClass::Untrusted => ExitStatus::Untrusted,
        FailureClass::Incomplete => ExitStatus::Usage,
    }
}

/// Whether the CT logs are to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CtDemanded {
    Yes,
    No,
}

impl CtDemanded {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Yes => Some(CT_INCLUSION),
            Self::No => None,
        }
    }
}

fn failed(status: ExitStatus, check: &str, code: &'static str, expected: &str, found: &str) -> Failure {
    Failure::new(status, format!("check {check} failed")).code(code).detail("expected", expected).detail("found", found)
}
