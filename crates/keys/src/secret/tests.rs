// SPDX-License-Identifier: Apache-2.0
//! Tests of secret keys: reading what OpenSSL wrote, writing what it reads, refusing the rest.

use pkcs8::ObjectIdentifier;

use super::*;

const PASSPHRASE: &[u8] = b"correct horse";

macro_rules! secret {
    ($name:literal) => {
        include_str!(concat!("../../testdata/secret/", $name, ".pem"))
    };
}

macro_rules! public {
    ($name:literal) => {
        include_str!(concat!("../../testdata/signed/", $name, ".pub.pem"))
    };
}

#[test]
fn keys_of_openssl_are_read_and_sign() {
    for (secret, public) in [
        (secret!("ecdsa-p256"), public!("ecdsa-p256")),
        (secret!("ecdsa-p384"), public!("ecdsa-p384")),
        (secret!("ecdsa-p521"), public!("ecdsa-p521")),
        (secret!("ed25519"), public!("ed25519")),
        (secret!("rsa-2048"), public!("rsa-2048")),
        (secret!("rsa-3072"), public!("rsa-3072")),
        (secret!("rsa-4096"), public!("rsa-4096")),
    ] {
        let key = SecretKey::from_pem(secret, None).unwrap();
        assert_eq!(key.public_key().to_pem(), public);
        // OpenSSL writes the very same bytes.
        assert_eq!(*key.to_pem(None).unwrap(), secret);
        let scheme = key.public_key().default_scheme();
        let signature = key.sign(scheme, b"message").unwrap();
        key.public_key().verify(scheme, b"message", &signature).unwrap();
    }
}

#[test]
fn encrypted_keys_of_openssl_are_read() {
    for encrypted in [
        secret!("ecdsa-p256.encrypted-by-openssl-scrypt"),
        secret!("ecdsa-p256.encrypted-by-openssl-pbkdf2"),
        secret!("ecdsa-p256.encrypted-by-touchmark"),
    ] {
        let key = SecretKey::from_pem(encrypted, Some(PASSPHRASE)).unwrap();
        assert_eq!(*key.to_pem(None).unwrap(), secret!("ecdsa-p256"));
        assert_eq!(SecretKey::from_pem(encrypted, Some(b"wrong")).err(), Some(KeyError::WrongPassphrase));
        assert_eq!(SecretKey::from_pem(encrypted, Some(b"")).err(), Some(KeyError::WrongPassphrase));
        assert_eq!(SecretKey::from_pem(encrypted, None).err(), Some(KeyError::PassphraseRequired));
    }
}

#[test]
fn every_key_type_goes_there_and_back_plain_and_encrypted() {
    for key_type in KeyType::ALL {
        let key = SecretKey::generate(key_type).unwrap();
        assert_eq!(key.public_key().key_type(), key_type);
        for passphrase in [None, Some(PASSPHRASE)] {
            let read = SecretKey::from_pem(&key.to_pem(passphrase).unwrap(), passphrase).unwrap();
            assert_eq!(read.public_key(), key.public_key());
            assert_eq!(*read.pkcs8_der(), *key.pkcs8_der());
        }
    }
}

#[test]
fn encryption_is_salted_and_within_the_limits_of_openssl() {
    let key = SecretKey::generate(KeyType::Ed25519).unwrap();
    let [one, other] = [(); 2].map(|()| key.to_pem(Some(PASSPHRASE)).unwrap());
    assert_ne!(*one, *other);
    let (label, der) = pem::decode(&one).unwrap();
    assert_eq!(label, "ENCRYPTED PRIVATE KEY");
    let info = EncryptedPrivateKeyInfoRef::from_der(&der).unwrap();
    let parameters = info.encryption_algorithm.pbes2().unwrap();
    let scrypt = parameters.kdf.scrypt().unwrap();
    assert!(128 * scrypt.cost_parameter * u64::from(scrypt.block_size) < 32 << 20);
    assert!(matches!(parameters.encryption, pbes2::EncryptionScheme::Aes256Cbc { .. }));
}

#[test]
fn passphrase_for_a_plain_key_is_refused() {
    let error = SecretKey::from_pem(secret!("ed25519"), Some(PASSPHRASE)).err();
    assert_eq!(error, Some(KeyError::NotEncrypted));
}

#[test]
fn other_keys_are_refused_by_name() {
    let curve = KeyError::UnsupportedCurve { oid: ObjectIdentifier::new_unwrap("1.3.132.0.10") };
    let algorithm = KeyError::UnsupportedAlgorithm { oid: ObjectIdentifier::new_unwrap("1.3.101.110") };
    for (pem, passphrase, expected) in [
        (secret!("refused/secp256k1"), None, curve),
        (secret!("refused/x25519"), None, algorithm),
        (secret!("refused/public-key-of-another"), None, KeyError::Malformed),
        (secret!("refused/ec-sec1"), None, KeyError::PemLabel),
        (secret!("refused/traditional-encryption"), Some(PASSPHRASE), KeyError::Pem),
        (secret!("refused/pbes1"), Some(PASSPHRASE), KeyError::UnsupportedEncryption),
        (secret!("refused/scrypt-of-16-GiB"), Some(PASSPHRASE), KeyError::EncryptionTooCostly),
        (secret!("refused/scrypt-of-hours"), Some(PASSPHRASE), KeyError::EncryptionTooCostly),
        (secret!("refused/pbkdf2-of-hours"), Some(PASSPHRASE), KeyError::EncryptionTooCostly),
        (public!("ed25519"), None, KeyError::PemLabel),
        ("", None, KeyError::Pem),
    ] {
        assert_eq!(SecretKey::from_pem(pem, passphrase).err(), Some(expected), "{pem}");
    }
}

#[test]
fn short_rsa_key_is_refused() {
    let error = SecretKey::from_pem(secret!("refused/rsa-1024"), None).err();
    assert!(matches!(error, Some(KeyError::UnsupportedRsaSize { bits: 1024 } | KeyError::Malformed)), "{error:?}");
}

#[test]
fn truncated_private_keys_are_refused() {
    for pem in [secret!("ecdsa-p256"), secret!("ed25519"), secret!("rsa-2048")] {
        let (label, der) = pem::decode(pem).unwrap();
        for length in (1..der.len()).step_by(7) {
            let pem = pem::encode(label, &der[..length]);
            assert_eq!(SecretKey::from_pem(&pem, None).err(), Some(KeyError::Malformed), "{length}");
        }
    }
}
