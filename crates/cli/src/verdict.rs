// SPDX-License-Identifier: Apache-2.0
//! The verdict of `verify-blob`: each check by name, and for a failed one what was expected, what was found and what to do.
//!
//! The JSON form is an interface (`"version": 1`; members are added, never renamed):
//!
//! ```json
//! { "version": 1, "verified": false,
//!   "artifact": { "file": "README.md", "digest": "sha256:…" }, "bundle": "README.md.sigstore.json",
//!   "checks": [ { "check": "bundle", "result": "passed" }, { "check": "identity", "result": "failed" },
//!               { "check": "log", "result": "not-reached" } ],
//!   "failure": { "class": "wrong-signer", "exitCode": 12, "check": "identity", "code": "…",
//!                "message": "…", "expected": "…", "found": "…", "hints": ["…"] } }
//! ```
//!
//! A verified artifact has `signer`, `signedAt` and `log` instead of `failure`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use touchmark_keys::Digest;
use touchmark_sigstore::bundle::BundleError;
use touchmark_sigstore::verify::{Check, FailureClass, Verified, VerifyError};

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::{Printer, printable};

/// What was verified, as far as it is known.
pub(crate) struct Subject {
    pub(crate) file: PathBuf,
    pub(crate) digest: Option<Digest>,
    pub(crate) bundle: Option<PathBuf>,
}

impl Subject {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), digest: None, bundle: None }
    }
}

/// Reading the bundle comes before all checks of the verifier and has a name like them.
const BUNDLE: &str = "bundle";

/// The names of all checks, in the order in which they are made.
fn check_names() -> impl Iterator<Item = &'static str> {
    std::iter::once(BUNDLE).chain(Check::ALL.into_iter().map(Check::name))
}

/// The outcome.
pub(crate) struct Verdict(Outcome);

enum Outcome {
    Verified(Box<Verified>),
    Refused(Refusal),
    /// Something else failed before there was anything to check.
    NotReached(Failure),
}

struct Refusal {
    check: &'static str,
    code: &'static str,
    expected: String,
    found: String,
    failure: Failure,
}

impl From<Result<Verified, VerifyError>> for Verdict {
    fn from(result: Result<Verified, VerifyError>) -> Self {
        match result {
            Ok(verified) => Self(Outcome::Verified(Box::new(verified))),
            Err(error) => Self(Outcome::Refused(Refusal {
                check: error.check().name(),
                code: error.code(),
                expected: error.expected(),
                found: error.found(),
                failure: failure(&error),
            })),
        }
    }
}

impl Verdict {
    pub(crate) fn not_reached(failure: Failure) -> Self {
        Self(Outcome::NotReached(failure))
    }

    pub(crate) fn unreadable_bundle(path: &Path, error: &BundleError) -> Self {
        let message = format!("{} is not a bundle that can be verified", path.display());
        Self(Outcome::Refused(Refusal {
            check: BUNDLE,
            code: error.code(),
            expected: "a Sigstore bundle v0.3 with the signature of a file".to_owned(),
            found: error.to_string(),
            failure: Failure::new(ExitStatus::Unreadable, message).because(error).hint(
                "is this the right file? A bundle is JSON of media type application/vnd.dev.sigstore.bundle.v0.3+json",
            ),
        }))
    }

    pub(crate) fn into_failure(self) -> Option<Failure> {
        match self.0 {
            Outcome::Verified(_) => None,
            Outcome::Refused(refusal) => Some(refusal.failure),
            Outcome::NotReached(failure) => Some(failure),
        }
    }

    pub(crate) fn print_text(&self, subject: &Subject, printer: Printer) {
        match &self.0 {
            Outcome::Verified(verified) => {
                for (check, detail) in details(verified) {
                    printer.passed(check, detail);
                }
                printer.result(format_args!("Verified OK: {}", printable(subject.file.display())));
            }
            Outcome::Refused(refusal) => {
                for check in before(refusal.check) {
                    printer.passed(check, "");
                }
                printer.refused(refusal.check);
            }
            Outcome::NotReached(_) => {}
        }
    }

    pub(crate) fn to_json(&self, subject: &Subject) -> Value {
        let mut verdict = json!({
            "version": 1,
            "verified": matches!(self.0, Outcome::Verified(_)),
            "artifact": {
                "file": subject.file.to_string_lossy(),
                "digest": subject.digest.as_ref().map(ToString::to_string),
            },
            "bundle": subject.bundle.as_ref().map(|path| path.to_string_lossy()),
            "checks": self.checks(),
        });
        match &self.0 {
            Outcome::Verified(verified) => {
                if let Some(certified) = verified.certified() {
                    let identity = certified.identity();
                    verdict["signer"] = json!({
                        "identity": identity.san().value(),
                        "type": identity.san().kind(),
                        "issuer": identity.issuer(),
                    });
                }
                verdict["signedAt"] =
                    json!(verified.times().iter().map(|time| time.time().to_string()).collect::<Vec<_>>());
                verdict["log"] = json!(
                    verified
                        .entries()
                        .iter()
                        .map(|entry| json!({ "origin": entry.origin(), "index": entry.index().0 }))
                        .collect::<Vec<_>>()
                );
            }
            Outcome::Refused(refusal) => {
                let mut failure = failure_json(&refusal.failure);
                failure["check"] = json!(refusal.check);
                failure["code"] = json!(refusal.code);
                failure["expected"] = json!(refusal.expected);
                failure["found"] = json!(refusal.found);
                verdict["failure"] = failure;
            }
            Outcome::NotReached(failure) => verdict["failure"] = failure_json(failure),
        }
        verdict
    }

    fn checks(&self) -> Vec<Value> {
        let result_of = |check: &'static str| match &self.0 {
            Outcome::Verified(_) => "passed",
            Outcome::NotReached(_) => "not-reached",
            Outcome::Refused(refusal) if refusal.check == check => "failed",
            Outcome::Refused(refusal) if before(refusal.check).any(|earlier| earlier == check) => "passed",
            Outcome::Refused(_) => "not-reached",
        };
        check_names().map(|check| json!({ "check": check, "result": result_of(check) })).collect()
    }
}

/// What each check proved, for people.
pub(crate) fn details(verified: &Verified) -> Vec<(&'static str, String)> {
    let join = |texts: Vec<String>| texts.join(", ");
    let times = verified.times().iter();
    let entries = verified.entries().iter();
    let mut details = vec![(
        Check::Time.name(),
        join(times.map(|at| format!("signed at {} ({})", at.time(), at.authority())).collect()),
    )];
    if let Some(certified) = verified.certified() {
        let (leaf, identity) = (certified.chain().leaf(), certified.identity());
        details.extend([
            (
                Check::Chain.name(),
                format!(
                    "valid from {} to {}, certified by {}",
                    leaf.not_before(),
                    leaf.not_after(),
                    leaf.issuer_text()
                ),
            ),
            (
                Check::Sct.name(),
                format!("promised by {} CT log(s) of the trust root", certified.sct().promises().len()),
            ),
            (Check::Identity.name(), format!("{}, says {}", identity.san(), identity.issuer())),
        ]);
    }
    details.extend([
        (
            Check::Log.name(),
            join(entries.map(|entry| format!("entry {} of {}", entry.index(), entry.origin())).collect()),
        ),
        (
            Check::Signature.name(),
            verified.signature().digest().map(|digest| format!("of {digest}")).unwrap_or_default(),
        ),
    ]);
    details
}

fn failure_json(failure: &Failure) -> Value {
    json!({
        "class": failure.status().code(),
        "exitCode": failure.status().number(),
        "message": failure.message(),
        "causes": failure.details().iter().map(|(label, text)| format!("{label}: {text}")).collect::<Vec<_>>(),
        "hints": failure.hints(),
    })
}

/// The checks that were passed when this one failed.
fn before(failed: &'static str) -> impl Iterator<Item = &'static str> {
    check_names().take_while(move |check| *check != failed)
}

/// The class and the advice. An entry for something else says that the artifact, the signature or the certificate was swapped.
fn failure(error: &VerifyError) -> Failure {
    let (class, hint) = match error.class() {
        FailureClass::WrongSigner => (
            ExitStatus::WrongSigner,
            "do not trust the file, unless the identity that was found is the one you should have asked for",
        ),
        FailureClass::Tampered => (
            ExitStatus::Tampered,
            "do not use the file: it is not the one that was signed, or the bundle belongs to another file",
        ),
        FailureClass::Untrusted => (
            ExitStatus::Untrusted,
            "do not trust the file; or was it signed with another Sigstore instance? See `touchmark initialize` and --trusted-root",
        ),
        FailureClass::Incomplete => (ExitStatus::Usage, "name the file itself: the digest does not fit the signature"),
    };
    Failure::new(class, format!("not verified: check {} failed", error.check()))
        .detail("expected", error.expected())
        .detail("found", error.found())
        .hint(hint)
}
