// SPDX-License-Identifier: Apache-2.0
//! The one table of key types and signature schemes.
//!
//! Spec: `PublicKeyDetails` of the Sigstore protobuf specs and the algorithm registry of the Sigstore client specification.
//! In scope: every scheme of the registry that may still be met, also the deprecated ones; what each log, authority or
//! client of ours accepts beyond a sound signature is its own list. Out of scope: LMS and LM-OTS (withdrawn from the
//! registry); combinations of curve or padding and hash outside the registry, which certificates and certificate requests
//! may use (`PublicKey::verify_ecdsa` and its neighbours).
//! Invariants: every property of a scheme is read from [`Scheme::row`], every property of a key type from [`KeyType::row`].

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
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

/// What kind of key it is, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyFamily {
    Ecdsa,
    Ed25519,
    Rsa,
    MlDsa,
}

struct KeyRow {
    name: &'static str,
    family: KeyFamily,
    /// The default first, the deprecated last.
    schemes: &'static [Scheme],
}

impl KeyType {
    pub const ALL: [Self; 10] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    #[must_use]
    pub const fn family(self) -> KeyFamily {
        self.row().family
    }

    /// Every scheme of the registry for such a key, the default first.
    #[must_use]
    pub const fn schemes(self) -> &'static [Scheme] {
        self.row().schemes
    }

    /// The scheme that Sigstore uses with such a key unless told otherwise.
    #[must_use]
    pub const fn default_scheme(self) -> Scheme {
        self.schemes()[0]
    }

    const fn row(self) -> KeyRow {
        use KeyFamily::{Ecdsa, Ed25519, MlDsa, Rsa};
        let (name, family, schemes): (_, _, &'static [Scheme]) = match self {
            Self::EcdsaP256 => ("ECDSA P-256", Ecdsa, &[Scheme::EcdsaP256Sha256]),
            Self::EcdsaP384 => ("ECDSA P-384", Ecdsa, &[Scheme::EcdsaP384Sha384, Scheme::EcdsaP384Sha256]),
            Self::EcdsaP521 => ("ECDSA P-521", Ecdsa, &[Scheme::EcdsaP521Sha512, Scheme::EcdsaP521Sha256]),
            Self::Ed25519 => ("Ed25519", Ed25519, &[Scheme::Ed25519, Scheme::Ed25519ph]),
            Self::Rsa2048 => ("RSA 2048", Rsa, &[Scheme::RsaPkcs1v15Sha256_2048, Scheme::RsaPssSha256_2048]),
            Self::Rsa3072 => ("RSA 3072", Rsa, &[Scheme::RsaPkcs1v15Sha256_3072, Scheme::RsaPssSha256_3072]),
            Self::Rsa4096 => ("RSA 4096", Rsa, &[Scheme::RsaPkcs1v15Sha256_4096, Scheme::RsaPssSha256_4096]),
            Self::MlDsa44 => ("ML-DSA-44", MlDsa, &[Scheme::MlDsa44]),
            Self::MlDsa65 => ("ML-DSA-65", MlDsa, &[Scheme::MlDsa65]),
            Self::MlDsa87 => ("ML-DSA-87", MlDsa, &[Scheme::MlDsa87]),
        };
        KeyRow { name, family, schemes }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// A signature scheme: a key type, a hash function and a padding or encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    EcdsaP256Sha256,
    EcdsaP384Sha384,
    EcdsaP521Sha512,
    /// Deprecated: what clients signed before they took the hash of the curve.
    EcdsaP384Sha256,
    /// Deprecated: what clients signed before they took the hash of the curve.
    EcdsaP521Sha256,
    /// PureEdDSA: signs the message, never a digest.
    Ed25519,
    /// Ed25519ph (RFC 8032 §5.1) over SHA-512, with the empty context.
    Ed25519ph,
    RsaPkcs1v15Sha256_2048,
    RsaPkcs1v15Sha256_3072,
    RsaPkcs1v15Sha256_4096,
    /// RSASSA-PSS (RFC 8017 §8.1) with MGF1 over the same hash and a salt as long as the digest.
    RsaPssSha256_2048,
    RsaPssSha256_3072,
    RsaPssSha256_4096,
    /// Pure ML-DSA (FIPS 204) with the empty context: signs the message, never a digest.
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

/// The algorithm of a scheme, without sizes and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemeFamily {
    Ecdsa,
    Ed25519,
    Ed25519ph,
    RsaPkcs1,
    RsaPss,
    MlDsa,
}

/// Whether a scheme is for new signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Current,
    /// Verified where it is met, never signed with.
    Deprecated,
}

struct Row {
    key_details: &'static str,
    key_type: KeyType,
    family: SchemeFamily,
    hash: Option<HashAlgorithm>,
    standing: Standing,
}

impl Scheme {
    pub const ALL: [Self; 16] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP521Sha512,
        Self::EcdsaP384Sha256,
        Self::EcdsaP521Sha256,
        Self::Ed25519,
        Self::Ed25519ph,
        Self::RsaPkcs1v15Sha256_2048,
        Self::RsaPkcs1v15Sha256_3072,
        Self::RsaPkcs1v15Sha256_4096,
        Self::RsaPssSha256_2048,
        Self::RsaPssSha256_3072,
        Self::RsaPssSha256_4096,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// The name in Sigstore's JSON, `PKIX_ECDSA_P256_SHA_256` and so on.
    #[must_use]
    pub const fn key_details(self) -> &'static str {
        self.row().key_details
    }

    /// The scheme of that name. The deprecated names that leave a size open are read with a key:
    /// [`PublicKey::from_key_details`](crate::PublicKey::from_key_details).
    #[must_use]
    pub fn from_key_details(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.key_details() == name)
    }

    #[must_use]
    pub const fn key_type(self) -> KeyType {
        self.row().key_type
    }

    #[must_use]
    pub const fn family(self) -> SchemeFamily {
        self.row().family
    }

    /// The hash over which the scheme signs; none for pure Ed25519 and ML-DSA, which sign messages, never digests.
    #[must_use]
    pub const fn hash(self) -> Option<HashAlgorithm> {
        self.row().hash
    }

    #[must_use]
    pub const fn standing(self) -> Standing {
        self.row().standing
    }

    const fn row(self) -> Row {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        use KeyType::{EcdsaP256, EcdsaP384, EcdsaP521, Rsa2048, Rsa3072, Rsa4096};
        use SchemeFamily::{Ecdsa, MlDsa, RsaPkcs1, RsaPss};
        let (key_details, key_type, family, hash) = match self {
            Self::EcdsaP256Sha256 => ("PKIX_ECDSA_P256_SHA_256", EcdsaP256, Ecdsa, Some(Sha256)),
            Self::EcdsaP384Sha384 => ("PKIX_ECDSA_P384_SHA_384", EcdsaP384, Ecdsa, Some(Sha384)),
            Self::EcdsaP521Sha512 => ("PKIX_ECDSA_P521_SHA_512", EcdsaP521, Ecdsa, Some(Sha512)),
            Self::EcdsaP384Sha256 => ("PKIX_ECDSA_P384_SHA_256", EcdsaP384, Ecdsa, Some(Sha256)),
            Self::EcdsaP521Sha256 => ("PKIX_ECDSA_P521_SHA_256", EcdsaP521, Ecdsa, Some(Sha256)),
            Self::Ed25519 => ("PKIX_ED25519", KeyType::Ed25519, SchemeFamily::Ed25519, None),
            Self::Ed25519ph => ("PKIX_ED25519_PH", KeyType::Ed25519, SchemeFamily::Ed25519ph, Some(Sha512)),
            Self::RsaPkcs1v15Sha256_2048 => ("PKIX_RSA_PKCS1V15_2048_SHA256", Rsa2048, RsaPkcs1, Some(Sha256)),
            Self::RsaPkcs1v15Sha256_3072 => ("PKIX_RSA_PKCS1V15_3072_SHA256", Rsa3072, RsaPkcs1, Some(Sha256)),
            Self::RsaPkcs1v15Sha256_4096 => ("PKIX_RSA_PKCS1V15_4096_SHA256", Rsa4096, RsaPkcs1, Some(Sha256)),
            Self::RsaPssSha256_2048 => ("PKIX_RSA_PSS_2048_SHA256", Rsa2048, RsaPss, Some(Sha256)),
            Self::RsaPssSha256_3072 => ("PKIX_RSA_PSS_3072_SHA256", Rsa3072, RsaPss, Some(Sha256)),
            Self::RsaPssSha256_4096 => ("PKIX_RSA_PSS_4096_SHA256", Rsa4096, RsaPss, Some(Sha256)),
            Self::MlDsa44 => ("ML_DSA_44", KeyType::MlDsa44, MlDsa, None),
            Self::MlDsa65 => ("ML_DSA_65", KeyType::MlDsa65, MlDsa, None),
            Self::MlDsa87 => ("ML_DSA_87", KeyType::MlDsa87, MlDsa, None),
        };
        let standing = match self {
            Self::EcdsaP384Sha256 | Self::EcdsaP521Sha256 => Standing::Deprecated,
            _ => Standing::Current,
        };
        Row { key_details, key_type, family, hash, standing }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key_details())
    }
}

/// How the key beside a registry name is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyEncoding {
    Spki,
    /// A bare `RSAPublicKey` (RFC 8017 §A.1.1).
    Pkcs1,
}

/// What a registry name says: how the key is encoded and which schemes it may mean; the key decides among them.
pub(crate) fn key_details(name: &str) -> Option<(KeyEncoding, &'static [Scheme])> {
    // The names that the registry deprecated in favour of names with a size or without the way to find a nonce.
    const RSA_PKCS1: &[Scheme] =
        &[Scheme::RsaPkcs1v15Sha256_2048, Scheme::RsaPkcs1v15Sha256_3072, Scheme::RsaPkcs1v15Sha256_4096];
    const RSA_PSS: &[Scheme] = &[Scheme::RsaPssSha256_2048, Scheme::RsaPssSha256_3072, Scheme::RsaPssSha256_4096];
    match name {
        "PKCS1_RSA_PKCS1V5" => Some((KeyEncoding::Pkcs1, RSA_PKCS1)),
        "PKCS1_RSA_PSS" => Some((KeyEncoding::Pkcs1, RSA_PSS)),
        "PKIX_RSA_PKCS1V5" => Some((KeyEncoding::Spki, RSA_PKCS1)),
        "PKIX_RSA_PSS" => Some((KeyEncoding::Spki, RSA_PSS)),
        "PKIX_ECDSA_P256_HMAC_SHA_256" => Some((KeyEncoding::Spki, &[Scheme::EcdsaP256Sha256])),
        name => {
            let scheme = Scheme::from_key_details(name)?;
            let all = scheme.key_type().schemes();
            let at = all.iter().position(|listed| *listed == scheme)?;
            Some((KeyEncoding::Spki, &all[at..=at]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::from_key_details(scheme.key_details()), Some(scheme));
            assert_eq!(key_details(scheme.key_details()), Some((KeyEncoding::Spki, &[scheme][..])));
        }
        for name in ["", "PUBLIC_KEY_DETAILS_UNSPECIFIED", "LMS_SHA256", "pkix_ed25519", "PKCS1_RSA_PKCS1V5"] {
            assert_eq!(Scheme::from_key_details(name), None, "{name}");
        }
    }

    #[test]
    fn the_schemes_of_a_key_type_are_those_that_name_it_and_the_default_is_current() {
        for key_type in KeyType::ALL {
            let mut listed = key_type.schemes().to_vec();
            assert_eq!(key_type.default_scheme().standing(), Standing::Current);
            listed.sort();
            let naming: Vec<_> = Scheme::ALL.into_iter().filter(|scheme| scheme.key_type() == key_type).collect();
            assert_eq!(listed, naming, "{key_type}");
        }
    }

    #[test]
    fn a_scheme_without_hash_signs_messages() {
        for scheme in Scheme::ALL {
            let messages = matches!(scheme.family(), SchemeFamily::Ed25519 | SchemeFamily::MlDsa);
            assert_eq!(scheme.hash().is_none(), messages, "{scheme}");
        }
    }
}
