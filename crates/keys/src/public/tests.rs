// SPDX-License-Identifier: Apache-2.0
//! Tests of public keys and of verification, against signatures of OpenSSL, RFC 8032, and our own.

mod strictness;

use proptest::prelude::*;

use super::*;
use crate::secret::SecretKey;
use crate::{Standing, digest};

const MESSAGE: &[u8] = include_bytes!("../../testdata/signed/message.txt");

macro_rules! signed {
    ($name:literal, $scheme:ident) => {
        (
            Scheme::$scheme,
            include_str!(concat!("../../testdata/signed/", $name, ".pub.pem")),
            &include_bytes!(concat!("../../testdata/signed/", $name, ".sig"))[..],
        )
    };
}

/// What OpenSSL signed: scheme, public key, signature over [`MESSAGE`].
fn signed_by_openssl() -> [(Scheme, &'static str, &'static [u8]); 7] {
    [
        signed!("ecdsa-p256", EcdsaP256Sha256),
        signed!("ecdsa-p384", EcdsaP384Sha384),
        signed!("ecdsa-p521", EcdsaP521Sha512),
        signed!("ed25519", Ed25519),
        signed!("rsa-2048", RsaPkcs1v15Sha256_2048),
        signed!("rsa-3072", RsaPkcs1v15Sha256_3072),
        signed!("rsa-4096", RsaPkcs1v15Sha256_4096),
    ]
}

/// A key of this type: a fresh one, except that the larger RSA keys take too long to find.
fn generate(key_type: KeyType) -> SecretKey {
    match key_type {
        KeyType::Rsa3072 => SecretKey::from_pem(include_str!("../../testdata/secret/rsa-3072.pem"), None).unwrap(),
        KeyType::Rsa4096 => SecretKey::from_pem(include_str!("../../testdata/secret/rsa-4096.pem"), None).unwrap(),
        key_type => SecretKey::generate(key_type).unwrap(),
    }
}

/// Verifies in every way that the scheme has; they must agree.
fn check(key: &PublicKey, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<SignatureValid, SignatureError> {
    let verified = key.verify(scheme, message, signature);
    if let Some(hash) = scheme.hash() {
        assert_eq!(key.verify_digest(scheme, &digest(hash, message), signature), verified, "{scheme}");
        match scheme.family() {
            SchemeFamily::Ecdsa => assert_eq!(key.verify_ecdsa(hash, message, signature), verified, "{scheme}"),
            SchemeFamily::RsaPkcs1 => assert_eq!(key.verify_rsa_pkcs1(hash, message, signature), verified, "{scheme}"),
            SchemeFamily::RsaPss => assert_eq!(key.verify_rsa_pss(hash, message, signature), verified, "{scheme}"),
            SchemeFamily::Ed25519 | SchemeFamily::Ed25519ph | SchemeFamily::MlDsa => {}
        }
    }
    verified
}

#[test]
fn signatures_of_openssl_verify_and_tampered_ones_do_not() {
    for (scheme, pem, signature) in signed_by_openssl() {
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!(key.key_type(), scheme.key_type());
        check(&key, scheme, MESSAGE, signature).unwrap();
        let invalid = Err(SignatureError::Invalid);
        assert_eq!(check(&key, scheme, b"another message", signature), invalid);
        assert_eq!(check(&key, scheme, b"", signature), invalid);
        assert_eq!(check(&key, scheme, MESSAGE, b""), invalid);
        assert_eq!(check(&key, scheme, MESSAGE, &signature[1..]), invalid);
        assert_eq!(check(&key, scheme, MESSAGE, &[signature, b"\0"].concat()), invalid);
        for position in 0..signature.len() {
            let mut tampered = signature.to_vec();
            tampered[position] ^= 0x40;
            assert_eq!(check(&key, scheme, MESSAGE, &tampered), invalid, "{scheme}, byte {position}");
        }
    }
}

#[test]
fn pem_and_der_go_there_and_back() {
    for (_, pem, _) in signed_by_openssl() {
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!(key.to_pem(), pem);
        assert_eq!(PublicKey::from_spki_der(key.spki_der()).unwrap(), key);
        assert!(key.spki_der().ends_with(key.raw()));
        assert_eq!(key.spki_sha256(), sha256(key.spki_der()));
    }
}

#[test]
fn raw_is_the_content_of_the_bit_string() {
    let key = generate(KeyType::Ed25519);
    assert_eq!((key.public_key().raw().len(), key.public_key().spki_der().len()), (32, 44));
    let key = generate(KeyType::EcdsaP384);
    assert_eq!((key.public_key().raw().len(), key.public_key().raw()[0]), (97, 4));
}

#[test]
fn pkcs1_pem_is_the_same_key() {
    let pkcs1 = PublicKey::from_pem(include_str!("../../testdata/signed/rsa-2048.pkcs1.pem")).unwrap();
    let spki = PublicKey::from_pem(include_str!("../../testdata/signed/rsa-2048.pub.pem")).unwrap();
    assert_eq!(pkcs1, spki);
}

#[test]
fn every_scheme_signs_and_verifies_messages_and_digests() {
    for scheme in Scheme::ALL.into_iter().filter(|scheme| scheme.standing() == Standing::Current) {
        let key = generate(scheme.key_type());
        let public = key.public_key();
        let signature = key.sign(scheme, MESSAGE).unwrap();
        check(public, scheme, MESSAGE, &signature).unwrap();
        assert_eq!(check(public, scheme, b"another", &signature), Err(SignatureError::Invalid));
        let other = generate(scheme.key_type());
        if other.public_key() != public {
            assert_eq!(check(other.public_key(), scheme, MESSAGE, &signature), Err(SignatureError::Invalid));
        }
        if let Some(hash) = scheme.hash() {
            let signature = key.sign_digest(scheme, &digest(hash, MESSAGE)).unwrap();
            check(public, scheme, MESSAGE, &signature).unwrap();
        }
    }
}

#[test]
fn scheme_of_another_key_type_is_refused() {
    for key_type in KeyType::ALL {
        let key = generate(key_type);
        for scheme in Scheme::ALL.into_iter().filter(|scheme| scheme.key_type() != key_type) {
            let digest = digest(scheme.hash().unwrap_or(HashAlgorithm::Sha256), MESSAGE);
            let refused = Err(SignatureError::WrongScheme { key: key_type, scheme });
            assert_eq!(key.public_key().verify(scheme, MESSAGE, b"x"), refused);
            assert_eq!(key.public_key().verify_digest(scheme, &digest, b"x"), refused);
            let refused = Err(KeyError::WrongScheme { key: key_type, scheme });
            assert_eq!(key.sign(scheme, MESSAGE), refused);
            assert_eq!(key.sign_digest(scheme, &digest), refused);
        }
    }
}

#[test]
fn digest_of_another_hash_is_refused() {
    for scheme in Scheme::ALL {
        let key = generate(scheme.key_type());
        for found in HashAlgorithm::ALL.into_iter().filter(|hash| Some(*hash) != scheme.hash()) {
            let digest = digest(found, MESSAGE);
            let (verify, sign) = match scheme.hash() {
                Some(expected) => {
                    (SignatureError::WrongHash { expected, found }, KeyError::WrongHash { expected, found })
                }
                None => (SignatureError::NeedsMessage { scheme }, KeyError::NeedsMessage { scheme }),
            };
            assert_eq!(key.public_key().verify_digest(scheme, &digest, b"x"), Err(verify));
            if scheme.standing() == Standing::Current {
                assert_eq!(key.sign_digest(scheme, &digest), Err(sign));
            }
        }
    }
}

#[test]
fn deprecated_schemes_are_verified_and_never_signed_with() {
    macro_rules! deprecated {
        ($name:literal, $scheme:ident) => {
            (
                Scheme::$scheme,
                include_str!(concat!("../../testdata/signed/", $name, ".pub.pem")),
                include_str!(concat!("../../testdata/secret/", $name, ".pem")),
                &include_bytes!(concat!("../../testdata/signed/", $name, ".sha256.sig"))[..],
            )
        };
    }
    for (scheme, public, secret, signature) in
        [deprecated!("ecdsa-p384", EcdsaP384Sha256), deprecated!("ecdsa-p521", EcdsaP521Sha256)]
    {
        let key = PublicKey::from_pem(public).unwrap();
        check(&key, scheme, MESSAGE, signature).unwrap();
        assert_eq!(check(&key, scheme, b"another message", signature), Err(SignatureError::Invalid));
        assert_eq!(check(&key, key.default_scheme(), MESSAGE, signature), Err(SignatureError::Invalid));
        let secret = SecretKey::from_pem(secret, None).unwrap();
        assert_eq!(secret.sign(scheme, MESSAGE), Err(KeyError::VerifyOnly { scheme }));
        let digest = digest(HashAlgorithm::Sha256, MESSAGE);
        assert_eq!(secret.sign_digest(scheme, &digest), Err(KeyError::VerifyOnly { scheme }));
    }
}

#[test]
fn keys_of_trusted_roots_are_read_in_the_encoding_that_their_details_name() {
    let rsa = PublicKey::from_pem(include_str!("../../testdata/signed/rsa-2048.pub.pem")).unwrap();
    let p256 = PublicKey::from_pem(include_str!("../../testdata/signed/ecdsa-p256.pub.pem")).unwrap();
    let (pkcs1, pss) = (Scheme::RsaPkcs1v15Sha256_2048, Scheme::RsaPssSha256_2048);
    let another = |key| Err(KeyError::KeyDetailsOfAnotherType { key });
    for (details, raw, expected) in [
        ("PKIX_RSA_PKCS1V15_2048_SHA256", rsa.spki_der(), Ok((rsa.clone(), pkcs1))),
        ("PKIX_RSA_PSS_2048_SHA256", rsa.spki_der(), Ok((rsa.clone(), pss))),
        ("PKIX_RSA_PKCS1V5", rsa.spki_der(), Ok((rsa.clone(), pkcs1))),
        ("PKIX_RSA_PSS", rsa.spki_der(), Ok((rsa.clone(), pss))),
        ("PKCS1_RSA_PKCS1V5", rsa.raw(), Ok((rsa.clone(), pkcs1))),
        ("PKCS1_RSA_PSS", rsa.raw(), Ok((rsa.clone(), pss))),
        ("PKIX_ECDSA_P256_SHA_256", p256.spki_der(), Ok((p256.clone(), Scheme::EcdsaP256Sha256))),
        ("PKIX_ECDSA_P256_HMAC_SHA_256", p256.spki_der(), Ok((p256.clone(), Scheme::EcdsaP256Sha256))),
        ("PKIX_RSA_PKCS1V5", rsa.raw(), Err(KeyError::Malformed)),
        ("PKIX_RSA_PKCS1V15_2048_SHA256", rsa.raw(), Err(KeyError::Malformed)),
        ("PKCS1_RSA_PKCS1V5", rsa.spki_der(), Err(KeyError::Malformed)),
        ("PKCS1_RSA_PKCS1V5", p256.spki_der(), Err(KeyError::Malformed)),
        ("PKIX_RSA_PKCS1V15_3072_SHA256", rsa.spki_der(), another(KeyType::Rsa2048)),
        ("PKIX_RSA_PKCS1V5", p256.spki_der(), another(KeyType::EcdsaP256)),
        ("PKIX_ECDSA_P384_SHA_384", p256.spki_der(), another(KeyType::EcdsaP256)),
        ("LMS_SHA256", p256.spki_der(), Err(KeyError::UnknownKeyDetails)),
        ("", p256.spki_der(), Err(KeyError::UnknownKeyDetails)),
    ] {
        assert_eq!(PublicKey::from_key_details(details, raw), expected, "{details}");
    }
    for scheme in Scheme::ALL {
        let key = generate(scheme.key_type()).public_key().clone();
        assert_eq!(PublicKey::from_key_details(scheme.key_details(), key.spki_der()), Ok((key, scheme)));
    }
}

#[test]
fn pure_and_prehashed_ed25519_are_not_exchangeable() {
    let key = generate(KeyType::Ed25519);
    let invalid = Err(SignatureError::Invalid);
    let pure = key.sign(Scheme::Ed25519, MESSAGE).unwrap();
    let prehashed = key.sign(Scheme::Ed25519ph, MESSAGE).unwrap();
    assert_eq!(check(key.public_key(), Scheme::Ed25519ph, MESSAGE, &pure), invalid);
    assert_eq!(check(key.public_key(), Scheme::Ed25519, MESSAGE, &prehashed), invalid);
    let over_digest = key.sign(Scheme::Ed25519, digest(HashAlgorithm::Sha512, MESSAGE).as_bytes()).unwrap();
    assert_eq!(check(key.public_key(), Scheme::Ed25519ph, MESSAGE, &over_digest), invalid);
}

#[test]
fn rfc_8032_vector_of_ed25519ph_is_made_and_verified() {
    // RFC 8032 §7.3.
    let raw = hex::decode("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf").unwrap();
    let spki = [&hex::decode("302a300506032b6570032100").unwrap()[..], &raw].concat();
    let signature = hex::decode(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41\
         31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
    );
    let key = PublicKey::from_spki_der(&spki).unwrap();
    let signature = signature.unwrap();
    check(&key, Scheme::Ed25519ph, b"abc", &signature).unwrap();
    let pkcs8 = "302e020100300506032b657004220420\
                 833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42";
    let pem = pem::encode("PRIVATE KEY", &hex::decode(pkcs8).unwrap());
    let secret = SecretKey::from_pem(&pem, None).unwrap();
    assert_eq!(secret.public_key(), &key);
    assert_eq!(secret.sign(Scheme::Ed25519ph, b"abc").unwrap(), signature);
}

#[test]
fn certificates_may_combine_curve_and_hash_freely() {
    macro_rules! combined {
        ($key:literal, $hash:literal, $algorithm:ident) => {
            (
                include_str!(concat!("../../testdata/signed/", $key, ".pub.pem")),
                HashAlgorithm::$algorithm,
                &include_bytes!(concat!("../../testdata/signed/", $key, ".", $hash, ".sig"))[..],
            )
        };
    }
    for (pem, hash, signature) in [
        combined!("ecdsa-p256", "sha384", Sha384),
        combined!("ecdsa-p256", "sha512", Sha512),
        combined!("ecdsa-p384", "sha256", Sha256),
        combined!("ecdsa-p384", "sha512", Sha512),
        combined!("ecdsa-p521", "sha256", Sha256),
        combined!("ecdsa-p521", "sha384", Sha384),
        combined!("rsa-2048", "sha384", Sha384),
        combined!("rsa-2048", "sha512", Sha512),
    ] {
        let key = PublicKey::from_pem(pem).unwrap();
        for tried in HashAlgorithm::ALL {
            let verified = match key.key_type() {
                KeyType::Rsa2048 => key.verify_rsa_pkcs1(tried, MESSAGE, signature),
                _ => key.verify_ecdsa(tried, MESSAGE, signature),
            };
            assert_eq!(verified.is_ok(), tried == hash, "{} {tried:?}", key.key_type());
        }
        // No scheme of the registry covers the combination.
        assert_eq!(key.verify(key.default_scheme(), MESSAGE, signature), Err(SignatureError::Invalid));
    }
}

#[test]
fn key_types_without_such_signatures_are_refused() {
    let [ecdsa, ed25519, rsa] = [KeyType::EcdsaP256, KeyType::Ed25519, KeyType::Rsa2048].map(generate);
    for (key, verified) in [
        (KeyType::Ed25519, ed25519.public_key().verify_ecdsa(HashAlgorithm::Sha256, MESSAGE, b"x")),
        (KeyType::Rsa2048, rsa.public_key().verify_ecdsa(HashAlgorithm::Sha256, MESSAGE, b"x")),
        (KeyType::Ed25519, ed25519.public_key().verify_rsa_pkcs1(HashAlgorithm::Sha256, MESSAGE, b"x")),
        (KeyType::EcdsaP256, ecdsa.public_key().verify_rsa_pkcs1(HashAlgorithm::Sha256, MESSAGE, b"x")),
    ] {
        assert_eq!(verified, Err(SignatureError::WrongKeyType { key }));
    }
}

#[test]
fn every_webpki_algorithm_is_of_a_supported_kind_and_none_is_listed_twice() {
    let mut ids: Vec<_> = crate::webpki_algorithms()
        .iter()
        .map(|a| (a.public_key_alg_id().to_vec(), a.signature_alg_id().to_vec()))
        .collect();
    let listed = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), listed), (19, 19));
}

#[test]
fn refuses_pem_of_another_kind() {
    let private = include_str!("../../testdata/secret/ed25519.pem");
    assert_eq!(PublicKey::from_pem(private).err(), Some(KeyError::PemLabel));
    assert_eq!(PublicKey::from_pem("ssh-ed25519 AAAA").err(), Some(KeyError::Pem));
}

#[test]
fn debug_names_the_key_by_its_digest() {
    let key = generate(KeyType::EcdsaP256);
    let expected = format!("PublicKey(ECDSA P-256, SHA-256 of SPKI {})", hex::encode(key.public_key().spki_sha256()));
    assert_eq!(format!("{:?}", key.public_key()), expected);
}

#[test]
fn every_truncation_and_extension_of_a_key_is_refused() {
    for (_, pem, _) in signed_by_openssl() {
        let key = PublicKey::from_pem(pem).unwrap();
        let der = key.spki_der();
        for length in 0..der.len() {
            assert!(PublicKey::from_spki_der(&der[..length]).is_err());
        }
        assert_eq!(PublicKey::from_spki_der(&[der, b"\0"].concat()).err(), Some(KeyError::Malformed));
    }
}

proptest! {
    #[test]
    fn damaged_keys_never_panic(which in 0usize..7, position: prop::sample::Index, byte: u8) {
        let (scheme, pem, signature) = signed_by_openssl()[which];
        let mut der = PublicKey::from_pem(pem).unwrap().spki_der().to_vec();
        let position = position.index(der.len());
        let changed = der[position] != byte;
        der[position] = byte;
        if let Ok(key) = PublicKey::from_spki_der(&der) {
            prop_assert_eq!(key.spki_der(), &der);
            let _ = key.check_strength();
            prop_assert_eq!(key.verify(scheme, MESSAGE, signature).is_ok(), !changed);
        }
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        prop_assert!(PublicKey::from_spki_der(&bytes).is_err());
        let _ = PublicKey::from_pem(&crate::pem::encode("RSA PUBLIC KEY", &bytes));
    }
}
