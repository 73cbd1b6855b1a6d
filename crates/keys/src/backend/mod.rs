// SPDX-License-Identifier: Apache-2.0
//! The cryptographic library behind this crate: aws-lc-rs.
//!
//! In scope: SHA-2, random bytes, verifying and signing with each key type, the algorithms that path validation may use.
//! Out of scope: formats and policy, which the rest of the crate holds. Ed25519ph is the one scheme that aws-lc-rs
//! lacks; it comes from ed25519-dalek (`ed25519`).
//! Invariant: no type of a cryptographic library appears in a signature outside this module. Another backend (for browsers)
//! would stand beside this one with the same items.

mod ed25519;
mod signing;
pub(crate) mod siv;
mod verifying;

use aws_lc_rs::digest as lc;
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::hmac as lc_hmac;
use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::HashAlgorithm;

pub(crate) use ed25519::{check_encoding as check_ed25519_encoding, check_point as check_ed25519_point};
pub(crate) use signing::SigningKey;
pub(crate) use verifying::VerifyingKey;

/// Fills `bytes` from the system's cryptographic random number generator.
///
/// # Panics
/// If the system has no randomness to give; nothing safe can be done without it.
pub fn random(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system's random number generator works");
}

/// The signature algorithms that certificate path validation accepts.
#[must_use]
pub fn webpki_algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    WEBPKI_ALGORITHMS
}

static WEBPKI_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P256_SHA384,
    webpki::aws_lc_rs::ECDSA_P256_SHA512,
    webpki::aws_lc_rs::ECDSA_P384_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
    webpki::aws_lc_rs::ECDSA_P384_SHA512,
    webpki::aws_lc_rs::ECDSA_P521_SHA256,
    webpki::aws_lc_rs::ECDSA_P521_SHA384,
    webpki::aws_lc_rs::ECDSA_P521_SHA512,
    webpki::aws_lc_rs::ED25519,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
    // "Legacy" is the key, whose identifier is that of any RSA key, as RFC 4055 §1.2 allows and everybody does.
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    webpki::aws_lc_rs::ML_DSA_44,
    webpki::aws_lc_rs::ML_DSA_65,
    webpki::aws_lc_rs::ML_DSA_87,
];

/// The library refused or failed; it never says why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

impl From<Unspecified> for Failed {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl From<KeyRejected> for Failed {
    fn from(_: KeyRejected) -> Self {
        Self
    }
}

fn algorithm(hash: HashAlgorithm) -> &'static lc::Algorithm {
    match hash {
        HashAlgorithm::Sha256 => &lc::SHA256,
        HashAlgorithm::Sha384 => &lc::SHA384,
        HashAlgorithm::Sha512 => &lc::SHA512,
    }
}

pub(crate) fn hash(hash: HashAlgorithm, message: &[u8]) -> Box<[u8]> {
    lc::digest(algorithm(hash), message).as_ref().into()
}

/// HMAC-SHA-256 (RFC 2104), with which requests to key management services are authenticated.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let key = lc_hmac::Key::new(lc_hmac::HMAC_SHA256, key);
    lc_hmac::sign(&key, message).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

/// Parts that are together no longer than this are joined before they are hashed: a context costs more than the hash of a tree's node.
const JOINED_BYTES_MAX: usize = 1024;

pub(crate) fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let digest = match parts {
        [message] => lc::digest(&lc::SHA256, message),
        _ if parts.iter().map(|part| part.len()).sum::<usize>() <= JOINED_BYTES_MAX => {
            let mut joined = [0; JOINED_BYTES_MAX];
            let mut length = 0;
            for part in parts {
                joined[length..length + part.len()].copy_from_slice(part);
                length += part.len();
            }
            lc::digest(&lc::SHA256, &joined[..length])
        }
        _ => {
            let mut context = lc::Context::new(&lc::SHA256);
            parts.iter().for_each(|part| context.update(part));
            context.finish()
        }
    };
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[derive(Clone)]
pub(crate) struct HashState(lc::Context);

impl HashState {
    pub(crate) fn new(hash: HashAlgorithm) -> Self {
        Self(lc::Context::new(algorithm(hash)))
    }

    pub(crate) fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(crate) fn finish(self) -> Box<[u8]> {
        self.0.finish().as_ref().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
    #[test]
    fn hmac_gives_the_published_values() {
        for (key, message, expect) in [
            ([0x0b; 20].as_slice(), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex::encode(hmac_sha256(key, message.as_bytes())), expect);
        }
    }
}
