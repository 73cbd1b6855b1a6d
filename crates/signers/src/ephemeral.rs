// SPDX-License-Identifier: Apache-2.0
//! A signer whose key is made for one signing and forgotten after it.
//!
//! Spec: Sigstore's security model: ephemeral keys never touch a disk.
//! In scope: the key of a keyless signature. Out of scope: keys that outlive the process (`file`).
//! Invariants: no function here gives the private key away or takes one in; it lives in aws-lc's memory, which is wiped
//! when the signer is dropped.

use async_trait::async_trait;
use touchmark_keys::secret::SecretKey;
use touchmark_keys::{Digest, KeyType, PublicKey, Scheme};

use crate::{Signer, SignerError};

/// A fresh key in memory.
///
/// It cannot be printed, copied or exported:
/// ```compile_fail
/// let signer = touchmark_signers::EphemeralSigner::generate(touchmark_keys::KeyType::EcdsaP256).unwrap();
/// println!("{signer:?}");
/// ```
/// ```compile_fail
/// let signer = touchmark_signers::EphemeralSigner::generate(touchmark_keys::KeyType::EcdsaP256).unwrap();
/// let twin = signer.clone();
/// ```
pub struct EphemeralSigner {
    key: SecretKey,
}

impl EphemeralSigner {
    pub fn generate(key_type: KeyType) -> Result<Self, SignerError> {
        Ok(Self { key: SecretKey::generate(key_type)? })
    }
}

#[async_trait]
impl Signer for EphemeralSigner {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn scheme(&self) -> Scheme {
        self.key.public_key().default_scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.key.sign(self.scheme(), message)?)
    }

    async fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignerError> {
        Ok(self.key.sign_digest(self.scheme(), digest)?)
    }
}

#[cfg(test)]
mod tests {
    use touchmark_keys::{KeyError, digest};

    use super::*;

    #[tokio::test]
    async fn every_key_type_signs_messages_and_digests() {
        for key_type in KeyType::ALL {
            let signer = EphemeralSigner::generate(key_type).unwrap();
            let (public, scheme) = (signer.public_key().clone(), signer.scheme());
            let signature = signer.sign(b"message").await.unwrap();
            public.verify(scheme, b"message", &signature).unwrap();
            let Some(hash) = scheme.hash() else {
                let digest = digest(touchmark_keys::HashAlgorithm::Sha512, b"message");
                let error = SignerError::Key(KeyError::NeedsMessage { scheme });
                assert_eq!(signer.sign_digest(&digest).await, Err(error));
                continue;
            };
            let signature = signer.sign_digest(&digest(hash, b"message")).await.unwrap();
            public.verify(scheme, b"message", &signature).unwrap();
        }
    }

    #[test]
    fn two_signers_have_different_keys() {
        let [one, other] = [(); 2].map(|()| EphemeralSigner::generate(KeyType::Ed25519).unwrap());
        assert_ne!(one.public_key(), other.public_key());
    }
}
