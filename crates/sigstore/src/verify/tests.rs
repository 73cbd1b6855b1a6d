// SPDX-License-Identifier: Apache-2.0
//! Verification as a whole: the public conformance suite, tampered twins of accepted bundles, private instances whose services lie, and
//! what went wrong in other verifiers.

mod advisories;
mod algorithms;
mod attestations;
mod conformance;
mod instance;
mod managed_keys;
mod rekor_v1;
mod thresholds;
mod twins;
mod versions;

use serde_json::Value;

use super::private::{ARTIFACT, Signing, minutes};
use super::{Artifact, Verified, VerifyError, verify};
use crate::bundle::Bundle;
use crate::policy::Policy;
use crate::trust::TrustedRoot;

/// What is proved of a signature over the artifact, or why nothing.
fn judge(signing: &Signing, root: &TrustedRoot, policy: &Policy) -> Result<Verified, VerifyError> {
    verify(&Artifact::of_bytes(ARTIFACT), &signing.bundle(), root, policy, minutes(24 * 60))
}

/// The same in codes.
fn code(signing: &Signing, root: &TrustedRoot, policy: &Policy) -> Result<(), &'static str> {
    judge(signing, root, policy).map(|_| ()).map_err(|error| error.code())
}

/// The same of a document.
fn code_of(bundle: &Value, root: &TrustedRoot, policy: &Policy) -> Result<(), &'static str> {
    let bundle = Bundle::parse(bundle.to_string().as_bytes()).map_err(|error| error.code())?;
    let verdict = verify(&Artifact::of_bytes(ARTIFACT), &bundle, root, policy, minutes(24 * 60));
    verdict.map(|_| ()).map_err(|error| error.code())
}

/// Rekor v1 and v2, of files and of envelopes: every way in which a private instance signs.
fn signings(instance: &super::private::Instance) -> Vec<(&'static str, Signing)> {
    use crate::rekor::EntryKind::{DsseV1, IntotoV2};
    let attested = |kind| instance.attested().in_v1(&instance.rekor_v1, kind);
    vec![
        ("a file in Rekor v2", instance.sign()),
        ("a file in Rekor v1", instance.sign_v1()),
        ("an envelope in Rekor v2", instance.attested().timestamped(&instance.tsa, minutes(1)).in_v2(&instance.rekor)),
        ("an envelope in Rekor v1", attested(DsseV1)),
        ("an envelope in Rekor v1 as it was logged first", attested(IntotoV2)),
    ]
}
