// SPDX-License-Identifier: Apache-2.0
//! Key generation and signing with aws-lc-rs.
//!
//! Invariant: secret material is held by aws-lc, which wipes it when it is freed; what leaves it as bytes (PKCS#8, the
//! Ed25519 seed) is in a buffer that wipes itself.

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, PqdsaKeyPair, PqdsaSigningAlgorithm,
    RsaKeyPair, RsaSignatureEncoding,
};
use zeroize::Zeroizing;

use crate::backend::{self, Failed, ed25519};
use crate::{HashAlgorithm, KeyType, SchemeFamily};

pub(crate) enum SigningKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    MlDsa(PqdsaKeyPair),
}

impl SigningKey {
    pub(crate) fn generate(key_type: KeyType) -> Result<Self, Failed> {
        Ok(match key_type {
            KeyType::EcdsaP256 | KeyType::EcdsaP384 | KeyType::EcdsaP521 => {
                Self::Ecdsa(EcdsaKeyPair::generate(ecdsa_algorithm(key_type))?)
            }
            KeyType::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate()?),
            KeyType::Rsa2048 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?),
            KeyType::Rsa3072 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa3072)?),
            KeyType::Rsa4096 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa4096)?),
            KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => {
                Self::MlDsa(PqdsaKeyPair::generate(ml_dsa_algorithm(key_type))?)
            }
        })
    }

    /// For RSA the size is whatever the key has; the caller looks at the public key.
    pub(crate) fn from_pkcs8(key_type: KeyType, pkcs8_der: &[u8]) -> Result<Self, Failed> {
        Ok(match key_type {
            KeyType::EcdsaP256 | KeyType::EcdsaP384 | KeyType::EcdsaP521 => {
                Self::Ecdsa(EcdsaKeyPair::from_pkcs8(ecdsa_algorithm(key_type), pkcs8_der)?)
            }
            KeyType::Ed25519 => Self::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8_der)?),
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => Self::Rsa(RsaKeyPair::from_pkcs8(pkcs8_der)?),
            KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => {
                Self::MlDsa(PqdsaKeyPair::from_pkcs8(ml_dsa_algorithm(key_type), pkcs8_der)?)
            }
        })
    }

    /// PKCS#8 version 1: OpenSSL before 3.0 does not read version 2 of Ed25519 keys.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Failed> {
        Ok(match self {
            Self::Ecdsa(key) => Zeroizing::new(key.to_pkcs8v1()?.as_ref().to_vec()),
            Self::Ed25519(key) => Zeroizing::new(key.to_pkcs8v1()?.as_ref().to_vec()),
            Self::Rsa(key) => {
                let der: Pkcs8V1Der<'_> = key.as_der()?;
                Zeroizing::new(der.as_ref().to_vec())
            }
            Self::MlDsa(key) => Zeroizing::new(key.to_pkcs8v1()?.as_ref().to_vec()),
        })
    }

    pub(crate) fn public_spki(&self) -> Result<Vec<u8>, Failed> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ecdsa(key) => key.public_key().as_der()?,
            Self::Ed25519(key) => key.public_key().as_der()?,
            Self::Rsa(key) => key.public_key().as_der()?,
            Self::MlDsa(key) => key.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    /// Signs `message` with the hash of the key type's default scheme.
    pub(crate) fn sign(&self, family: SchemeFamily, message: &[u8]) -> Result<Vec<u8>, Failed> {
        match self {
            Self::Ecdsa(key) => Ok(key.sign(&SystemRandom::new(), message)?.as_ref().to_vec()),
            Self::Ed25519(key) => Ok(key.try_sign(message)?.as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(rsa_encoding(family), &SystemRandom::new(), message, &mut signature)?;
                Ok(signature)
            }
            Self::MlDsa(key) => {
                let mut signature = vec![0; key.algorithm().signature_len()];
                key.sign(message, &mut signature)?;
                Ok(signature)
            }
        }
    }

    /// Signs a digest made with the hash of the key type's default scheme; for Ed25519 a SHA-512, as Ed25519ph.
    pub(crate) fn sign_digest(
        &self,
        family: SchemeFamily,
        hash: HashAlgorithm,
        digest: &[u8],
    ) -> Result<Vec<u8>, Failed> {
        match self {
            Self::Ecdsa(key) => Ok(key.sign_digest(&import(hash, digest)?)?.as_ref().to_vec()),
            Self::Ed25519(key) => {
                let seed: Curve25519SeedBin<'_> = key.seed()?.as_be_bytes()?;
                let mut bytes = Zeroizing::new([0; 32]);
                bytes.copy_from_slice(seed.as_ref());
                ed25519::sign(&bytes, digest)
            }
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(rsa_encoding(family), &import(hash, digest)?, &mut signature)?;
                Ok(signature)
            }
            Self::MlDsa(_) => Err(Failed),
        }
    }
}

fn import(hash: HashAlgorithm, digest: &[u8]) -> Result<Digest, Failed> {
    Ok(Digest::import_less_safe(digest, backend::algorithm(hash))?)
}

fn ecdsa_algorithm(key_type: KeyType) -> &'static EcdsaSigningAlgorithm {
    match key_type {
        KeyType::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyType::EcdsaP521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        _ => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    }
}

fn ml_dsa_algorithm(key_type: KeyType) -> &'static PqdsaSigningAlgorithm {
    match key_type {
        KeyType::MlDsa44 => &signature::ML_DSA_44_SIGNING,
        KeyType::MlDsa87 => &signature::ML_DSA_87_SIGNING,
        _ => &signature::ML_DSA_65_SIGNING,
    }
}

/// The salt of PSS is as long as the digest unless one says otherwise.
fn rsa_encoding(family: SchemeFamily) -> &'static RsaSignatureEncoding {
    if family == SchemeFamily::RsaPss { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 }
}
