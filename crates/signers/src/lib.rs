// SPDX-License-Identifier: Apache-2.0
//! The signer seam: the only way to a private key.
//!
//! In scope: what a signer is ([`Signer`]), signers whose key lives in memory for one signature ([`EphemeralSigner`]) or in a
//! file ([`FileSigner`]), and a deadline for signers that may hang ([`sign_within`]).
//! Out of scope: the algorithms (crate `keys`); PKCS#11, key management services and plugins, which will implement the
//! same trait.
//!
//! Invariants: no signer gives its private key away, prints it or can be cloned; an ephemeral key has no way to disk; a key
//! file is readable by its owner alone, and one that is not is refused.

mod ephemeral;
mod file;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use touchmark_keys::{Digest, KeyError, PublicKey, Scheme};

pub use ephemeral::EphemeralSigner;
pub use file::FileSigner;

/// Makes signatures with one key under one scheme.
///
/// An implementer owes: [`Signer::public_key`] and [`Signer::scheme`] never change and cost nothing; a signature that is
/// returned verifies under them; ECDSA signatures are ASN.1 DER; a call that is dropped has no effect that another call sees;
/// nothing about the private key appears in an error.
#[async_trait]
pub trait Signer: Send + Sync {
    fn public_key(&self) -> &PublicKey;

    fn scheme(&self) -> Scheme;

    /// Signs `message` under [`Signer::scheme`].
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;

    /// Signs the message that has this digest. Pure Ed25519 cannot, and answers [`KeyError::NeedsMessage`].
    async fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignerError>;
}

/// Why there is no signature, or no signer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignerError {
    #[error("{0}")]
    Key(KeyError),
    #[error("key file {}: {error}", path.display())]
    KeyFile { path: PathBuf, error: KeyError },
    #[error("key file {}: {kind}", path.display())]
    Io { path: PathBuf, kind: io::ErrorKind },
    #[error(
        "key file {} may be read by others than its owner (mode {mode:03o}): chmod 600 it, and replace the key if others could read it",
        path.display()
    )]
    LoosePermissions { path: PathBuf, mode: u32 },
    #[error("key file {} is no regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("the signer did not answer within {} ms", deadline.as_millis())]
    Deadline { deadline: Duration },
}

impl From<KeyError> for SignerError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// How long a service waits for a signer before it answers that it is unavailable.
pub const SIGN_DEADLINE: Duration = Duration::from_secs(10);

/// Signs `message`, or gives up at the deadline; the signer's call is dropped then.
pub async fn sign_within(signer: &dyn Signer, message: &[u8], deadline: Duration) -> Result<Vec<u8>, SignerError> {
    let signed = tokio::time::timeout(deadline, signer.sign(message)).await;
    signed.unwrap_or(Err(SignerError::Deadline { deadline }))
}

#[cfg(test)]
mod tests {
    use touchmark_keys::KeyType;

    use super::*;

    struct Hanging(EphemeralSigner);

    #[async_trait]
    impl Signer for Hanging {
        fn public_key(&self) -> &PublicKey {
            self.0.public_key()
        }

        fn scheme(&self) -> Scheme {
            self.0.scheme()
        }

        async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
            std::future::pending().await
        }

        async fn sign_digest(&self, _: &Digest) -> Result<Vec<u8>, SignerError> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn hanging_signer_meets_its_deadline() {
        let signer = Hanging(EphemeralSigner::generate(KeyType::EcdsaP256).unwrap());
        let deadline = Duration::from_millis(1);
        let signed = sign_within(&signer, b"message", deadline).await;
        assert_eq!(signed, Err(SignerError::Deadline { deadline }));
    }

    #[tokio::test]
    async fn prompt_signer_answers_within_its_deadline() {
        let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let signature = sign_within(&signer, b"message", SIGN_DEADLINE).await.unwrap();
        signer.public_key().verify(signer.scheme(), b"message", &signature).unwrap();
    }
}
