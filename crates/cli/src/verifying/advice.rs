// SPDX-License-Identifier: Apache-2.0
//! What to do next when a check failed.
//!
//! In scope: one or two sentences for each class and for the codes that people meet. Out of scope: exit codes, checks.
//! Invariant: advice never makes a verdict look better: what may be an attack is called so first.

use touchmark_sigstore::bundle::Bundle;
use touchmark_sigstore::bundle::Content;
use touchmark_sigstore::intoto::Statement;
use touchmark_sigstore::verify::{FailureClass, IdentityFailure, StatementFailure, VerifyError};

use super::inputs::{ArtifactAt, Input};
use crate::paths::shell_word;

const OTHER_INSTANCE: &str = "was it signed with another Sigstore instance than the one whose trust root was used? --in NAME names one \
                              of those in `touchmark trust list`, --trusted-root a file, and `touchmark trust add` takes up another; \
                              where none was ever added, the public-good instance is used";

/// Advice for the failure of a check.
pub(super) fn of_check(error: &VerifyError, bundle: &Bundle, input: &Input) -> Vec<String> {
    let of_class = match error.class() {
        FailureClass::WrongSigner => "do not trust the file, unless what was found is what you should have asked for",
        FailureClass::Tampered => {
            "do not use the file: it is not the one that was signed, or the bundle belongs to another file"
        }
        FailureClass::Untrusted => "do not trust the file: the evidence is not that of the trust root",
        FailureClass::Incomplete => return vec![incomplete(error, input)],
    };
    let mut advice = vec![of_class.to_owned()];
    advice.extend(of_code(error).map(ToOwned::to_owned));
    advice.extend(flags_of_found(error, bundle));
    advice
}

fn of_code(error: &VerifyError) -> Option<&'static str> {
    match error.code() {
        "chain_authority_missing"
        | "chain_invalid"
        | "sct_log_unknown"
        | "log_unknown"
        | "promise_log_unknown"
        | "timestamp_authority_missing" => Some(OTHER_INSTANCE),
        "time_missing" => Some(
            "a bundle for Rekor v2 needs a timestamp: sign again with a timestamp authority, or see `touchmark bundle upgrade --rfc3161-timestamp`",
        ),
        "inclusion_proof_missing" => Some(
            "old bundles may hold a promise alone: `touchmark bundle upgrade --rekor-entry` adds the proof; \
             --insecure-accept-unproven-entries does without",
        ),
        "log_entry_missing" => {
            Some("signatures that are in no log on purpose need --insecure-ignore-tlog, or a policy file that says so")
        }
        "sct_missing" => Some("a private authority without CT log needs --insecure-ignore-sct"),
        "key_expected" => Some("leave out --key and say whose certificate it must be: --certificate-identity"),
        "identity_missing" => Some("the signer's public key is needed: --key FILE"),
        "chain_outside_validity" => {
            Some("the certificate was not valid when it was signed: certificates of Fulcio are good for minutes")
        }
        _ => None,
    }
}

/// The flags that would have asked for what was found: only the reader knows whether that is right.
fn flags_of_found(error: &VerifyError, bundle: &Bundle) -> Option<String> {
    match error {
        VerifyError::Identity(IdentityFailure::Policy(policy)) if policy.refusal().is_some() => {
            let leaf = bundle.certificate()?;
            let (san, issuer) = (leaf.san().ok()?, leaf.issuer_claim().ok()?);
            Some(format!(
                "if it is right, ask for it: --certificate-identity {} --certificate-oidc-issuer {}",
                shell_word(san.value()),
                shell_word(&issuer)
            ))
        }
        VerifyError::Statement(StatementFailure::Policy(_)) => {
            let Content::Envelope(envelope) = bundle.content() else { return None };
            let statement = Statement::parse(&envelope.payload).ok()?;
            Some(format!("if it is right, ask for it: --type {}", shell_word(statement.predicate_type())))
        }
        _ => None,
    }
}

fn incomplete(error: &VerifyError, input: &Input) -> String {
    match (&input.artifact, error.code()) {
        (ArtifactAt::Digest(_), _) => "name the file itself: the digest does not fit the signature".to_owned(),
        (_, "signature_needs_artifact") => {
            "the key signs whole files, and this one is too large to be read at once".to_owned()
        }
        _ => "nothing that is known of the artifact can be compared with what was signed".to_owned(),
    }
}
