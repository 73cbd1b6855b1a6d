// SPDX-License-Identifier: Apache-2.0
//! The one table of key types and signature schemes.
//!
//! Spec: `PublicKeyDetails` of the Sigstore protobuf specs and the algorithm registry of the Sigstore client specification.
//! In scope: the schemes that a service or a client of ours makes or accepts. Out of scope: RSA-PSS and ML-DSA, which the
//! registry knows and no service of ours accepts yet; combinations of curve and hash outside the registry, which
//! certificate requests may use (`PublicKey::verify_ecdsa`).
//! Invariant: every property of a scheme is read from [`Scheme::row`].

use std::fmt;

use crate::HashAlgorithm;

/// What kind of key it is, with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Ed25519,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

impl KeyType {
    pub const ALL: [Self; 7] =
        [Self::EcdsaP256, Self::EcdsaP384, Self::EcdsaP521, Self::Ed25519, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// The scheme that Sigstore uses with such a key unless told otherwise.
    #[must_use]
    pub const fn default_scheme(self) -> Scheme {
        match self {
            Self::EcdsaP256 => Scheme::EcdsaP256Sha256,
            Self::EcdsaP384 => Scheme::EcdsaP384Sha384,
            Self::EcdsaP521 => Scheme::EcdsaP521Sha512,
            Self::Ed25519 => Scheme::Ed25519,
            Self::Rsa2048 => Scheme::RsaPkcs1v15Sha256_2048,
            Self::Rsa3072 => Scheme::RsaPkcs1v15Sha256_3072,
            Self::Rsa4096 => Scheme::RsaPkcs1v15Sha256_4096,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::EcdsaP521 => "ECDSA P-521",
            Self::Ed25519 => "Ed25519",
            Self::Rsa2048 => "RSA 2048",
            Self::Rsa3072 => "RSA 3072",
            Self::Rsa4096 => "RSA 4096",
        })
    }
}

/// A signature scheme: a key type, a hash function and a padding or encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    EcdsaP256Sha256,
    EcdsaP384Sha384,
    EcdsaP521Sha512,
    /// PureEdDSA: signs the message, never a digest.
    Ed25519,
    /// Ed25519ph (RFC 8032 §5.1) over SHA-512, with the empty context.
    Ed25519ph,
    RsaPkcs1v15Sha256_2048,
    RsaPkcs1v15Sha256_3072,
    RsaPkcs1v15Sha256_4096,
}

struct Row {
    key_details: &'static str,
    key_type: KeyType,
    hash: Option<HashAlgorithm>,
}

impl Scheme {
    pub const ALL: [Self; 8] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP521Sha512,
        Self::Ed25519,
        Self::Ed25519ph,
        Self::RsaPkcs1v15Sha256_2048,
        Self::RsaPkcs1v15Sha256_3072,
        Self::RsaPkcs1v15Sha256_4096,
    ];

    /// The name in Sigstore's JSON, `PKIX_ECDSA_P256_SHA_256` and so on.
    #[must_use]
    pub const fn key_details(self) -> &'static str {
        self.row().key_details
    }

    #[must_use]
    pub fn from_key_details(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.key_details() == name)
    }

    #[must_use]
    pub const fn key_type(self) -> KeyType {
        self.row().key_type
    }

    /// The hash over which the scheme signs; none for pure Ed25519, which cannot sign a digest.
    #[must_use]
    pub const fn hash(self) -> Option<HashAlgorithm> {
        self.row().hash
    }

    const fn row(self) -> Row {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        let (key_details, key_type, hash) = match self {
            Self::EcdsaP256Sha256 => ("PKIX_ECDSA_P256_SHA_256", KeyType::EcdsaP256, Some(Sha256)),
            Self::EcdsaP384Sha384 => ("PKIX_ECDSA_P384_SHA_384", KeyType::EcdsaP384, Some(Sha384)),
            Self::EcdsaP521Sha512 => ("PKIX_ECDSA_P521_SHA_512", KeyType::EcdsaP521, Some(Sha512)),
            Self::Ed25519 => ("PKIX_ED25519", KeyType::Ed25519, None),
            Self::Ed25519ph => ("PKIX_ED25519_PH", KeyType::Ed25519, Some(Sha512)),
            Self::RsaPkcs1v15Sha256_2048 => ("PKIX_RSA_PKCS1V15_2048_SHA256", KeyType::Rsa2048, Some(Sha256)),
            Self::RsaPkcs1v15Sha256_3072 => ("PKIX_RSA_PKCS1V15_3072_SHA256", KeyType::Rsa3072, Some(Sha256)),
            Self::RsaPkcs1v15Sha256_4096 => ("PKIX_RSA_PKCS1V15_4096_SHA256", KeyType::Rsa4096, Some(Sha256)),
        };
        Row { key_details, key_type, hash }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key_details())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::from_key_details(scheme.key_details()), Some(scheme));
        }
        assert_eq!(Scheme::from_key_details("PKIX_RSA_PSS_2048_SHA256"), None);
    }

    #[test]
    fn default_scheme_of_a_key_type_is_for_that_key_type() {
        for key_type in KeyType::ALL {
            assert_eq!(key_type.default_scheme().key_type(), key_type);
        }
    }
}
