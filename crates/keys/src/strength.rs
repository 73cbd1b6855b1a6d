// SPDX-License-Identifier: Apache-2.0
//! The strength policy for keys that others bring.
//!
//! Spec: Fulcio's key policy (Boulder's `goodkey`): RSA exponent 65537, no prime factor below 752, no ROCA fingerprint
//! (Nemec and others, "The Return of Coppersmith's Attack", 2017), no factors found in 100 rounds of Fermat's method; points on
//! their curve. Sizes and curves are already refused when a key is read. Beyond it: no Ed25519 key of small order.
//! In scope: public keys of certificate requests and log entries. Out of scope: denylists of known leaked keys.
//! Invariant: a [`StrongKey`] exists only after all checks of its type passed.

use num_bigint::BigUint;
use thiserror::Error;

use crate::public::RsaPublicKey;
use crate::{KeyError, KeyFamily, PublicKey, backend};

/// What makes a key weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Weakness {
    #[error("the RSA public exponent is not 65537")]
    RsaExponent,
    #[error("the RSA modulus is divisible by {prime}")]
    RsaSmallFactor { prime: u32 },
    #[error("the RSA modulus has the fingerprint of a vulnerable generator (ROCA, CVE-2017-15361)")]
    RsaRoca,
    #[error("the factors of the RSA modulus are too close to each other")]
    RsaCloseFactors,
    #[error("the Ed25519 key has small order")]
    Ed25519SmallOrder,
}

/// Proof that a key passed the strength policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrongKey(PublicKey);

impl StrongKey {
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0
    }
}

impl PublicKey {
    /// Checks the key against the strength policy. For RSA this costs about 0.1 to 0.2 ms, else a few microseconds.
    pub fn check_strength(&self) -> Result<StrongKey, KeyError> {
        match self.key_type().family() {
            KeyFamily::Rsa => check_rsa(self.raw())?,
            KeyFamily::Ed25519 => backend::check_ed25519_point(self.raw())?,
            // The point was proven to be on the curve when the key was read; the curves have cofactor 1, so n·Q = O.
            KeyFamily::Ecdsa => {}
            // Any bytes of the right length are a key.
            KeyFamily::MlDsa => {}
        }
        Ok(StrongKey(self.clone()))
    }
}

const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
const SMALL_PRIMES_BELOW: u32 = 752;
const FERMAT_ROUNDS: u32 = 100;

fn check_rsa(pkcs1_der: &[u8]) -> Result<(), KeyError> {
    let key = RsaPublicKey::parse(pkcs1_der)?;
    if key.exponent.as_bytes() != RSA_EXPONENT {
        return Err(KeyError::Weak(Weakness::RsaExponent));
    }
    let modulus = BigUint::from_bytes_be(key.modulus.as_bytes());
    if let Some(prime) = small_primes().find(|prime| remainder(&modulus, *prime) == 0) {
        return Err(KeyError::Weak(Weakness::RsaSmallFactor { prime }));
    }
    if has_roca_fingerprint(&modulus) {
        return Err(KeyError::Weak(Weakness::RsaRoca));
    }
    if has_close_factors(&modulus) {
        return Err(KeyError::Weak(Weakness::RsaCloseFactors));
    }
    Ok(())
}

fn small_primes() -> impl Iterator<Item = u32> {
    (2..SMALL_PRIMES_BELOW).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
}

/// Primes of the published fingerprint: those up to 167 modulo which the powers of 65537 are few.
const ROCA_PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// The vulnerable generator makes primes `k·M + (65537^a mod M)`, so the modulus is a power of 65537 modulo each small prime.
fn has_roca_fingerprint(modulus: &BigUint) -> bool {
    ROCA_PRIMES.into_iter().all(|prime| {
        let wanted = remainder(modulus, prime);
        let mut power = 1;
        (1..prime).any(|_| {
            power = power * (65_537 % prime) % prime;
            power == wanted
        })
    })
}

/// Fermat: if `n = a² - b²` for an `a` just above the root of `n`, then `(a + b)(a - b)` are its factors.
fn has_close_factors(modulus: &BigUint) -> bool {
    let root = modulus.sqrt();
    // Factors as close as can be: the modulus is a square.
    &root * &root == *modulus
        || (1..=FERMAT_ROUNDS).any(|step| {
            let a = &root + step;
            is_square(&(&a * &a - modulus))
        })
}

fn is_square(n: &BigUint) -> bool {
    // Squares leave few remainders; these moduli turn away 99 of 100 numbers before the root is taken.
    for modulus in [64, 63, 65, 11] {
        let found = remainder(n, modulus);
        if !(0..modulus).any(|root| root * root % modulus == found) {
            return false;
        }
    }
    let root = n.sqrt();
    &root * &root == *n
}

fn remainder(n: &BigUint, modulus: u32) -> u32 {
    u32::try_from(n % modulus).expect("a remainder is below its modulus")
}

#[cfg(test)]
mod tests;
