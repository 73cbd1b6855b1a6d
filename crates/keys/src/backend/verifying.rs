// SPDX-License-Identifier: Apache-2.0
//! Verification with aws-lc-rs.
//!
//! Invariant: the key is parsed once for the hash of its default scheme, which nearly every signature uses; another hash
//! costs parsing it again.

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};

use crate::backend::{self, Failed, ed25519ph};
use crate::{HashAlgorithm, KeyType};

pub(crate) struct VerifyingKey {
    key_type: KeyType,
    raw: Box<[u8]>,
    parsed: ParsedPublicKey,
}

impl VerifyingKey {
    /// `raw` is the content of the SPKI's bit string. Fails if it is malformed or not on its curve.
    pub(crate) fn new(key_type: KeyType, raw: &[u8]) -> Result<Self, Failed> {
        let algorithm =
            key_type.default_scheme().hash().map_or(Ok(&signature::ED25519 as _), |hash| algorithm(key_type, hash))?;
        let parsed = ParsedPublicKey::new(algorithm, raw)?;
        Ok(Self { key_type, raw: raw.into(), parsed })
    }

    pub(crate) fn verify(&self, hash: HashAlgorithm, message: &[u8], signature: &[u8]) -> Result<(), Failed> {
        if self.key_type.default_scheme().hash() == Some(hash) {
            Ok(self.parsed.verify_sig(message, signature)?)
        } else {
            let key = UnparsedPublicKey::new(algorithm(self.key_type, hash)?, &self.raw);
            Ok(key.verify(message, signature)?)
        }
    }

    /// `hash` is the one of the key's default scheme; the library refuses another.
    pub(crate) fn verify_digest(&self, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> Result<(), Failed> {
        let digest = Digest::import_less_safe(digest, backend::algorithm(hash))?;
        Ok(self.parsed.verify_digest_sig(&digest, signature)?)
    }

    pub(crate) fn verify_ed25519(&self, message: &[u8], signature: &[u8]) -> Result<(), Failed> {
        Ok(self.parsed.verify_sig(message, signature)?)
    }

    pub(crate) fn verify_ed25519ph(&self, sha512: &[u8], signature: &[u8]) -> Result<(), Failed> {
        ed25519ph::verify(&self.raw, sha512, signature)
    }
}

fn algorithm(key_type: KeyType, hash: HashAlgorithm) -> Result<&'static dyn VerificationAlgorithm, Failed> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    Ok(match (key_type, hash) {
        (KeyType::EcdsaP256, Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyType::EcdsaP256, Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyType::EcdsaP256, Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyType::EcdsaP384, Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyType::EcdsaP384, Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyType::EcdsaP384, Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyType::EcdsaP521, Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyType::EcdsaP521, Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyType::EcdsaP521, Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        (KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096, Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096, Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096, Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (KeyType::Ed25519, _) => return Err(Failed),
    })
}
