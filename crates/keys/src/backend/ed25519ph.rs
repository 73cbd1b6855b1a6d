// SPDX-License-Identifier: Apache-2.0
//! Ed25519ph with ed25519-dalek, because aws-lc-rs offers only pure Ed25519.
//!
//! Spec: RFC 8032 §5.1, prehash SHA-512, empty context (as Go's `crypto/ed25519` with `Hash: crypto.SHA512`).
//! Invariant: verification is strict: it refuses keys and nonces of small order and unreduced scalars.

use ed25519_dalek::ed25519::signature::digest::typenum::U64;
use ed25519_dalek::ed25519::signature::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use crate::backend::Failed;
use crate::{KeyError, Weakness};

pub(crate) fn verify(raw: &[u8], sha512: &[u8], signature: &[u8]) -> Result<(), Failed> {
    let key = VerifyingKey::try_from(raw).map_err(|_| Failed)?;
    let signature = Signature::from_slice(signature).map_err(|_| Failed)?;
    key.verify_prehashed_strict(Prehashed::new(sha512)?, None, &signature).map_err(|_| Failed)
}

pub(crate) fn sign(seed: &[u8; 32], sha512: &[u8]) -> Result<Vec<u8>, Failed> {
    let signature = SigningKey::from_bytes(seed).sign_prehashed(Prehashed::new(sha512)?, None).map_err(|_| Failed)?;
    Ok(signature.to_vec())
}

/// Refuses what is no point of the curve, and points of small order.
pub(crate) fn check_point(raw: &[u8]) -> Result<(), KeyError> {
    let key = VerifyingKey::try_from(raw).map_err(|_| KeyError::NotOnCurve)?;
    if key.is_weak() { Err(KeyError::Weak(Weakness::Ed25519SmallOrder)) } else { Ok(()) }
}

/// A SHA-512 that was computed elsewhere, in the shape that dalek takes: a hasher about to be finalized.
struct Prehashed([u8; 64]);

impl Prehashed {
    fn new(sha512: &[u8]) -> Result<Self, Failed> {
        sha512.try_into().map(Self).map_err(|_| Failed)
    }
}

impl Default for Prehashed {
    fn default() -> Self {
        unreachable!("dalek finalizes the value that it is given and makes none")
    }
}

impl Update for Prehashed {
    fn update(&mut self, _: &[u8]) {
        unreachable!("dalek finalizes the value that it is given and adds nothing")
    }
}

impl OutputSizeUser for Prehashed {
    type OutputSize = U64;
}

impl FixedOutput for Prehashed {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}

impl HashMarker for Prehashed {}
