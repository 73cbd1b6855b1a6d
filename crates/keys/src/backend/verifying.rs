// SPDX-License-Identifier: Apache-2.0
//! Verification with aws-lc-rs.
//!
//! Invariants: the key is parsed once, for its default scheme, which nearly every signature uses; another hash or padding costs
//! parsing it again. The bytes of the key are kept once, by the library.

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};

use crate::backend::{self, Failed, ed25519};
use crate::{HashAlgorithm, KeyType, SchemeFamily};

pub(crate) struct VerifyingKey {
    key_type: KeyType,
    parsed: ParsedPublicKey,
}

impl VerifyingKey {
    /// Fails if the key is malformed or not on its curve. The caller has read the SPKI and knows its type.
    pub(crate) fn new(key_type: KeyType, spki_der: &[u8]) -> Result<Self, Failed> {
        let scheme = key_type.default_scheme();
        let algorithm = algorithm(key_type, scheme.family(), scheme.hash())?;
        Ok(Self { key_type, parsed: ParsedPublicKey::new(algorithm, spki_der)? })
    }

    pub(crate) fn spki_der(&self) -> &[u8] {
        self.parsed.as_ref()
    }

    /// `hash` is none where the family signs messages.
    pub(crate) fn verify(
        &self,
        family: SchemeFamily,
        hash: Option<HashAlgorithm>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Failed> {
        match family {
            SchemeFamily::Ed25519ph => self.verify_ed25519ph(&backend::hash(HashAlgorithm::Sha512, message), signature),
            SchemeFamily::Ed25519 => {
                ed25519::expect_large_order_nonce(signature)?;
                Ok(self.parsed.verify_sig(message, signature)?)
            }
            _ if self.is_parsed_for(family, hash) => Ok(self.parsed.verify_sig(message, signature)?),
            _ => Ok(self.unparsed(family, hash)?.verify(message, signature)?),
        }
    }

    /// Fails where the family signs messages.
    pub(crate) fn verify_digest(
        &self,
        family: SchemeFamily,
        hash: HashAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), Failed> {
        if family == SchemeFamily::Ed25519ph {
            return self.verify_ed25519ph(digest, signature);
        }
        let digest = Digest::import_less_safe(digest, backend::algorithm(hash))?;
        if self.is_parsed_for(family, Some(hash)) {
            Ok(self.parsed.verify_digest_sig(&digest, signature)?)
        } else {
            Ok(self.unparsed(family, Some(hash))?.verify_digest(&digest, signature)?)
        }
    }

    fn verify_ed25519ph(&self, sha512: &[u8], signature: &[u8]) -> Result<(), Failed> {
        // The key is the content of the bit string, which ends the SPKI.
        let raw = self.spki_der().last_chunk::<32>().ok_or(Failed)?;
        ed25519::verify(raw, sha512, signature)
    }

    fn is_parsed_for(&self, family: SchemeFamily, hash: Option<HashAlgorithm>) -> bool {
        let parsed_for = self.key_type.default_scheme();
        (family, hash) == (parsed_for.family(), parsed_for.hash())
    }

    fn unparsed(&self, family: SchemeFamily, hash: Option<HashAlgorithm>) -> Result<UnparsedPublicKey<&[u8]>, Failed> {
        Ok(UnparsedPublicKey::new(algorithm(self.key_type, family, hash)?, self.spki_der()))
    }
}

fn algorithm(
    key_type: KeyType,
    family: SchemeFamily,
    hash: Option<HashAlgorithm>,
) -> Result<&'static dyn VerificationAlgorithm, Failed> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    Ok(match (key_type, family, hash) {
        (KeyType::EcdsaP256, SchemeFamily::Ecdsa, Some(Sha256)) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyType::EcdsaP256, SchemeFamily::Ecdsa, Some(Sha384)) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyType::EcdsaP256, SchemeFamily::Ecdsa, Some(Sha512)) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyType::EcdsaP384, SchemeFamily::Ecdsa, Some(Sha256)) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyType::EcdsaP384, SchemeFamily::Ecdsa, Some(Sha384)) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyType::EcdsaP384, SchemeFamily::Ecdsa, Some(Sha512)) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyType::EcdsaP521, SchemeFamily::Ecdsa, Some(Sha256)) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyType::EcdsaP521, SchemeFamily::Ecdsa, Some(Sha384)) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyType::EcdsaP521, SchemeFamily::Ecdsa, Some(Sha512)) => &signature::ECDSA_P521_SHA512_ASN1,
        (KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096, family, Some(hash)) => rsa(family, hash)?,
        (KeyType::Ed25519, SchemeFamily::Ed25519, None) => &signature::ED25519,
        (KeyType::MlDsa44, SchemeFamily::MlDsa, None) => &signature::ML_DSA_44,
        (KeyType::MlDsa65, SchemeFamily::MlDsa, None) => &signature::ML_DSA_65,
        (KeyType::MlDsa87, SchemeFamily::MlDsa, None) => &signature::ML_DSA_87,
        _ => return Err(Failed),
    })
}

/// For PSS the library demands a salt as long as the digest.
fn rsa(family: SchemeFamily, hash: HashAlgorithm) -> Result<&'static dyn VerificationAlgorithm, Failed> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    Ok(match (family, hash) {
        (SchemeFamily::RsaPkcs1, Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (SchemeFamily::RsaPkcs1, Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (SchemeFamily::RsaPkcs1, Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (SchemeFamily::RsaPss, Sha256) => &signature::RSA_PSS_2048_8192_SHA256,
        (SchemeFamily::RsaPss, Sha384) => &signature::RSA_PSS_2048_8192_SHA384,
        (SchemeFamily::RsaPss, Sha512) => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return Err(Failed),
    })
}
