// SPDX-License-Identifier: Apache-2.0
//! What signers outside this process have in common: what they are asked to sign, and that nothing they say is believed unverified.

use touchmark_keys::{Digest, HashAlgorithm, KeyError, PublicKey, Scheme, SignatureError};

/// What is to be signed.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    Message(&'a [u8]),
    Digest(&'a Digest),
}

/// The hash of a scheme that signs digests.
pub(crate) fn hash_of(scheme: Scheme) -> Result<HashAlgorithm, KeyError> {
    scheme.hash().ok_or(KeyError::NeedsMessage { scheme })
}

/// Refuses a digest that the scheme does not sign, before anybody is asked.
pub(crate) fn expect_digest(scheme: Scheme, digest: &Digest) -> Result<(), KeyError> {
    let expected = hash_of(scheme)?;
    if digest.algorithm() == expected {
        Ok(())
    } else {
        Err(KeyError::WrongHash { expected, found: digest.algorithm() })
    }
}

/// The signature, if `key` verifies it over `input`.
pub(crate) fn verified(
    key: &PublicKey,
    scheme: Scheme,
    input: Input<'_>,
    signature: Vec<u8>,
) -> Result<Vec<u8>, SignatureError> {
    match input {
        Input::Message(message) => key.verify(scheme, message, &signature),
        Input::Digest(digest) => key.verify_digest(scheme, digest, &signature),
    }?;
    Ok(signature)
}
