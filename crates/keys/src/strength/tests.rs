// SPDX-License-Identifier: Apache-2.0
//! Weak and unsupported keys, each a file whose name is the reason.

use pkcs8::ObjectIdentifier;
use proptest::prelude::*;

use super::*;
use crate::KeyType;
use crate::secret::SecretKey;

fn check(pem: &str) -> Result<StrongKey, KeyError> {
    PublicKey::from_pem(pem).and_then(|key| key.check_strength())
}

macro_rules! weak {
    ($name:literal, $expected:expr) => {
        (concat!($name, ".pem"), include_str!(concat!("../../testdata/weak/", $name, ".pem")), $expected)
    };
}

fn curve(oid: &str) -> KeyError {
    KeyError::UnsupportedCurve { oid: ObjectIdentifier::new_unwrap(oid) }
}

fn algorithm(oid: &str) -> KeyError {
    KeyError::UnsupportedAlgorithm { oid: ObjectIdentifier::new_unwrap(oid) }
}

#[test]
fn weak_keys_are_refused_by_name() {
    use Weakness::*;
    for (file, pem, expected) in [
        weak!("rsa-1024", KeyError::UnsupportedRsaSize { bits: 1024 }),
        weak!("rsa-2056", KeyError::UnsupportedRsaSize { bits: 2056 }),
        weak!("rsa-exponent-3", KeyError::Weak(RsaExponent)),
        weak!("rsa-exponent-65539", KeyError::Weak(RsaExponent)),
        weak!("rsa-divisible-by-751", KeyError::Weak(RsaSmallFactor { prime: 751 })),
        weak!("rsa-roca", KeyError::Weak(RsaRoca)),
        weak!("rsa-close-primes", KeyError::Weak(RsaCloseFactors)),
        weak!("rsa-fermat-within-100-rounds", KeyError::Weak(RsaCloseFactors)),
        weak!("rsa-without-null-parameters", KeyError::Malformed),
        weak!("rsa-pss", algorithm("1.2.840.113549.1.1.10")),
        weak!("ec-p192", curve("1.2.840.10045.3.1.1")),
        weak!("ec-p224", curve("1.3.132.0.33")),
        weak!("ec-secp256k1", curve("1.3.132.0.10")),
        weak!("ec-p256-explicit-parameters", KeyError::Malformed),
        weak!("ec-p256-compressed", KeyError::Malformed),
        weak!("ec-p256-infinity", KeyError::Malformed),
        weak!("ec-p256-zero-point", KeyError::NotOnCurve),
        weak!("ec-p256-off-curve", KeyError::NotOnCurve),
        weak!("ec-p256-coordinate-above-field", KeyError::NotOnCurve),
        weak!("ed25519-small-order", KeyError::Weak(Ed25519SmallOrder)),
        weak!("ed25519-identity", KeyError::Weak(Ed25519SmallOrder)),
        weak!("ed25519-off-curve", KeyError::NotOnCurve),
        weak!("ed25519-31-bytes", KeyError::Malformed),
        weak!("x25519", algorithm("1.3.101.110")),
        weak!("ed448", algorithm("1.3.101.113")),
    ] {
        assert_eq!(check(pem).err(), Some(expected), "{file}");
    }
}

#[test]
fn even_modulus_is_refused() {
    // The library below refuses it before the policy sees it.
    let error = check(include_str!("../../testdata/weak/rsa-even.pem")).err();
    assert_eq!(error, Some(KeyError::Malformed));
}

#[test]
fn generated_keys_are_strong() {
    for key_type in KeyType::ALL {
        let key = SecretKey::generate(key_type).unwrap();
        assert_eq!(key.public_key().check_strength().unwrap().public_key(), key.public_key());
    }
}

#[test]
fn small_primes_end_at_751() {
    let primes: Vec<u32> = small_primes().collect();
    assert_eq!((primes.len(), primes[0], primes[132]), (133, 2, 751));
}

#[test]
fn roca_primes_are_those_where_the_powers_of_65537_are_few() {
    for prime in small_primes().take_while(|prime| *prime <= 167) {
        let mut power = 1;
        let order = (1..=prime).take_while(|_| {
            power = power * (65_537 % prime) % prime;
            power > 1
        });
        let few = prime > 2 && order.count() + 1 < (prime as usize - 1);
        assert_eq!(few, ROCA_PRIMES.contains(&prime), "{prime}");
    }
}

proptest! {
    #[test]
    fn squares_and_only_squares_are_square(root in 1u128..1 << 60, add in 1u32..1000) {
        let root = BigUint::from(root);
        let square = &root * &root;
        prop_assert!(is_square(&square));
        // The next square is 2·root + 1 away.
        if BigUint::from(add) <= &root * 2u32 {
            prop_assert!(!is_square(&(&square + add)));
        }
    }

    #[test]
    fn any_product_of_close_numbers_has_close_factors(low in 1u128 << 100.., gap in 0u128..1 << 40) {
        let low = low | 1;
        let high = BigUint::from(low) + (gap & !1);
        prop_assert!(has_close_factors(&(high * low)));
    }
}
