// SPDX-License-Identifier: Apache-2.0
//! Every attack on a TUF client that we know of, made on ours by a repository that is hostile in exactly that way.
//!
//! Spec: TUF 1.0.34 §1.5.2 (attacks) and §5 (the client's workflow). Each test is named after the attack and begins with a client that an
//! honest repository satisfied. Slow retrieval of a single file is in `trust::mirror::tests`.

mod delegations;
mod keys;
mod metadata;
mod slow;

use sigstore_tuf::Error as TufError;
use touchmark_client::trust::{TrustError, VerifiedRepository};

/// What the walk said against it.
#[track_caller]
fn refusal<T>(outcome: Result<T, TrustError>) -> TufError {
    match outcome.err().expect("the attack succeeded") {
        TrustError::Tuf { source } => *source,
        other => panic!("refused for another reason: {other:?}"),
    }
}

/// Which role was refused as expired.
#[track_caller]
fn expired(outcome: Result<VerifiedRepository, TrustError>) -> String {
    match outcome.err().expect("the attack succeeded") {
        TrustError::Expired { role, .. } => role,
        other => panic!("refused for another reason: {other:?}"),
    }
}

#[track_caller]
fn is_rollback<T>(outcome: Result<T, TrustError>, of: &str) {
    let found = refusal(outcome);
    assert!(matches!(&found, TufError::Rollback { role, .. } if role.starts_with(of)), "{found:?}");
}

#[track_caller]
fn is_below_threshold<T>(outcome: Result<T, TrustError>, of: &str) {
    let found = refusal(outcome);
    assert!(matches!(&found, TufError::ThresholdNotMet { role, .. } if role == of), "{found:?}");
}

#[track_caller]
fn is_mismatch<T>(outcome: Result<T, TrustError>) {
    let found = refusal(outcome);
    assert!(matches!(found, TufError::IntegrityMismatch(_)), "{found:?}");
}
