// SPDX-License-Identifier: Apache-2.0
//! Keys that sign under a scheme of the caller's choice: the signers of the services sign under each key's own, and a log must be shown the others too.
//!
//! In scope: making a key, signing a message or a digest. Out of scope: keeping keys.

use touchmark_keys::secret::SecretKey;
use touchmark_keys::{Digest, PublicKey, Scheme};

/// A fresh key with one scheme.
pub struct SchemeKey {
    key: SecretKey,
    scheme: Scheme,
}

impl SchemeKey {
    /// # Panics
    /// If the key cannot be made.
    #[must_use]
    pub fn generate(scheme: Scheme) -> Self {
        let key = SecretKey::generate(scheme.key_type()).expect("every key type can be generated");
        Self { key, scheme }
    }

    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// Signs a message.
    ///
    /// # Panics
    /// If the scheme is only for verifying.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(self.scheme, message).expect("the key was made for the scheme")
    }

    /// Signs the message that has this digest; a scheme that signs messages alone signs the digest as one.
    ///
    /// # Panics
    /// If the scheme is only for verifying, or signs digests of another hash.
    #[must_use]
    pub fn sign_digest(&self, digest: &Digest) -> Vec<u8> {
        match self.scheme.hash() {
            Some(_) => self.key.sign_digest(self.scheme, digest).expect("the digest is of the scheme's hash"),
            None => self.sign(digest.as_bytes()),
        }
    }
}
