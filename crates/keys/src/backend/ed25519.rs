// SPDX-License-Identifier: Apache-2.0
//! Ed25519ph with ed25519-dalek, because aws-lc-rs offers only pure Ed25519; and what either library leaves to its caller.
//!
//! Spec: RFC 8032 §5.1, prehash SHA-512, empty context (as Go's `crypto/ed25519` with `Hash: crypto.SHA512`); the strictness that
//! Chalkias and others ask for ("Taming the Many EdDSAs", 2020), so that a signature binds its key and its message.
//! Invariant: pure and prehashed signatures are verified equally strictly: unreduced scalars, points in another form than the
//! canonical one, and keys and nonces of small order are refused.

use ed25519_dalek::ed25519::signature::digest::typenum::U64;
use ed25519_dalek::ed25519::signature::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use crate::backend::Failed;
use crate::{KeyError, Weakness};

pub(crate) fn verify(raw: &[u8; 32], sha512: &[u8], signature: &[u8]) -> Result<(), Failed> {
    let key = VerifyingKey::from_bytes(raw).map_err(|_| Failed)?;
    let signature = Signature::from_slice(signature).map_err(|_| Failed)?;
    key.verify_prehashed_strict(Prehashed::new(sha512)?, None, &signature).map_err(|_| Failed)
}

pub(crate) fn sign(seed: &[u8; 32], sha512: &[u8]) -> Result<Vec<u8>, Failed> {
    let signature = SigningKey::from_bytes(seed).sign_prehashed(Prehashed::new(sha512)?, None).map_err(|_| Failed)?;
    Ok(signature.to_vec())
}

/// Refuses keys that no honest generator makes: of small order, or in a form that RFC 8032 §5.1.3 does not decode.
pub(crate) fn check_encoding(raw: &[u8; 32]) -> Result<(), KeyError> {
    if is_small_order(raw) {
        Err(KeyError::Weak(Weakness::Ed25519SmallOrder))
    } else if is_canonical(raw) {
        Ok(())
    } else {
        Err(KeyError::Malformed)
    }
}

/// Refuses a signature whose nonce has small order: aws-lc verifies it, dalek does not.
pub(crate) fn expect_large_order_nonce(signature: &[u8]) -> Result<(), Failed> {
    let nonce = signature.first_chunk().ok_or(Failed)?;
    if is_small_order(nonce) { Err(Failed) } else { Ok(()) }
}

/// The y coordinates of the points whose order divides 8, in every form that fits into 255 bits: 0 and p, 1 and p + 1, p - 1,
/// and the two of order 8. All other bytes of the first five are equal, so they are told apart by the two ends.
fn is_small_order(point: &[u8; 32]) -> bool {
    const OF_ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *point;
    y[31] &= 0x7f; // The sign of x.
    match (y[0], &y[1..31], y[31]) {
        (0 | 1, middle, 0) => middle.iter().all(|byte| *byte == 0),
        (0xec..=0xee, middle, 0x7f) => middle.iter().all(|byte| *byte == 0xff),
        _ => OF_ORDER_8.contains(&y),
    }
}

/// Whether y is below p = 2^255 - 19.
fn is_canonical(point: &[u8; 32]) -> bool {
    point[0] < 0xed || point[31] & 0x7f != 0x7f || point[1..31].iter().any(|byte| *byte != 0xff)
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
