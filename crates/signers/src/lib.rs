// SPDX-License-Identifier: Apache-2.0
//! The signer seam: the only way to a private key.
//!
//! In scope: what a signer is ([`Signer`]), signers whose key lives in memory for one signature ([`EphemeralSigner`]), in a
//! file ([`FileSigner`]), in a token ([`Pkcs11Signer`]), in AWS KMS ([`AwsKmsSigner`]), or behind a program ([`PluginSigner`]); which of them a text means
//! ([`SignerReference`]); and a deadline for signers that may hang ([`sign_within`]).
//! Out of scope: the algorithms (crate `keys`).
//!
//! Invariants: no signer gives its private key away, prints it or can be cloned; an ephemeral key has no way to disk; a key
//! file is readable by its owner alone, and one that is not is refused; what a signer outside this process signed is verified with its
//! public key before it is returned.

mod awskms;
mod ephemeral;
mod error;
mod file;
mod passphrase;
mod pkcs11;
mod plugin;
mod proof;
mod reference;

use std::time::Duration;

use async_trait::async_trait;
use touchmark_keys::{Digest, PublicKey, Scheme};

pub use awskms::{AwsAccess, AwsKmsProblem, AwsKmsSigner, AwsKmsTransport, AwsKmsUri, AwsKmsUriError};
pub use ephemeral::EphemeralSigner;
pub use error::{InWords, SignerError};
pub use file::FileSigner;
pub use passphrase::read_passphrase;
pub use pkcs11::{Pkcs11Problem, Pkcs11Signer, Pkcs11Uri, Pkcs11UriError, TriesLeft};
pub use plugin::{PluginError, PluginProblem, PluginSigner, PluginUri, PluginUriError};
pub use reference::{ReferenceError, SignerReference};

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
