// SPDX-License-Identifier: Apache-2.0
//! Tests of key files.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use touchmark_keys::KeyError;

use super::*;

const PASSPHRASE: Option<&[u8]> = Some(b"correct horse");

fn with_directory(check: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    check(directory.path());
}

#[tokio::test]
async fn created_key_signs_after_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    for (name, passphrase) in [("plain.pem", None), ("encrypted.pem", PASSPHRASE)] {
        let path = directory.path().join(name);
        let created = FileSigner::create(&path, KeyType::EcdsaP384, passphrase).unwrap();
        let opened = FileSigner::open(&path, passphrase).unwrap();
        assert_eq!(opened.public_key(), created.public_key());
        assert_eq!(opened.scheme(), Scheme::EcdsaP384Sha384);
        let signature = opened.sign(b"message").await.unwrap();
        created.public_key().verify(created.scheme(), b"message", &signature).unwrap();
    }
}

#[tokio::test]
async fn a_key_signs_under_another_of_its_schemes_and_no_stranger_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rsa.pem");
    FileSigner::create(&path, KeyType::Rsa2048, None).unwrap();
    let signer = FileSigner::open(&path, None).unwrap().under(Scheme::RsaPssSha256_2048).unwrap();
    assert_eq!(signer.scheme(), Scheme::RsaPssSha256_2048);
    for signature in [signer.sign(b"message").await.unwrap(), signer.sign_at_once(b"message").unwrap()] {
        signer.public_key().verify(Scheme::RsaPssSha256_2048, b"message", &signature).unwrap();
        assert!(signer.public_key().verify(Scheme::RsaPkcs1v15Sha256_2048, b"message", &signature).is_err());
    }
    for scheme in [Scheme::RsaPssSha256_3072, Scheme::EcdsaP256Sha256] {
        let expect = SignerError::Key(KeyError::WrongScheme { key: KeyType::Rsa2048, scheme });
        assert_eq!(FileSigner::open(&path, None).unwrap().under(scheme).err(), Some(expect));
    }
}

#[test]
fn key_file_is_private_and_alone() {
    with_directory(|directory| {
        let path = directory.join("key.pem");
        FileSigner::create(&path, KeyType::Ed25519, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["key.pem"]);
    });
}

#[test]
fn refuses_file_that_others_may_touch() {
    with_directory(|directory| {
        let path = directory.join("key.pem");
        FileSigner::create(&path, KeyType::Ed25519, None).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o644, 0o660, 0o666, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = SignerError::LoosePermissions { path: path.clone(), mode };
            assert_eq!(FileSigner::open(&path, None).err(), Some(error));
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            FileSigner::open(&path, None).unwrap();
        }
    });
}

#[test]
fn never_overwrites_a_file() {
    with_directory(|directory| {
        let path = directory.join("key.pem");
        fs::write(&path, "precious").unwrap();
        let error = SignerError::Io { path: path.clone(), kind: ErrorKind::AlreadyExists };
        assert_eq!(FileSigner::create(&path, KeyType::Ed25519, None).err(), Some(error));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 1);
    });
}

#[test]
fn wrong_or_missing_passphrase_is_named() {
    with_directory(|directory| {
        let encrypted = directory.join("encrypted.pem");
        let plain = directory.join("plain.pem");
        FileSigner::create(&encrypted, KeyType::EcdsaP256, PASSPHRASE).unwrap();
        FileSigner::create(&plain, KeyType::EcdsaP256, None).unwrap();
        let wrong: Option<&[u8]> = Some(b"wrong");
        for (path, passphrase, error) in [
            (&encrypted, wrong, KeyError::WrongPassphrase),
            (&encrypted, None, KeyError::PassphraseRequired),
            (&plain, PASSPHRASE, KeyError::NotEncrypted),
        ] {
            let expected = SignerError::KeyFile { path: path.clone(), error };
            assert_eq!(FileSigner::open(path, passphrase).err(), Some(expected));
        }
    });
}

#[test]
fn encrypted_file_holds_no_plain_key() {
    with_directory(|directory| {
        let path = directory.join("key.pem");
        FileSigner::create(&path, KeyType::EcdsaP256, PASSPHRASE).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{text}");
    });
}

#[test]
fn refuses_what_is_no_key_file() {
    with_directory(|directory| {
        let missing = directory.join("missing.pem");
        let error = SignerError::Io { path: missing.clone(), kind: ErrorKind::NotFound };
        assert_eq!(FileSigner::open(&missing, None).err(), Some(error));

        let error = SignerError::NotAFile { path: directory.into() };
        assert_eq!(FileSigner::open(directory, None).err(), Some(error));

        let path = directory.join("other.pem");
        let long = "A".repeat(usize::try_from(KEY_FILE_BYTES_MAX).unwrap() + 1);
        let no_pem = SignerError::KeyFile { path: path.clone(), error: KeyError::Pem };
        let too_long = SignerError::TooLong { path: path.clone(), bytes_max: KEY_FILE_BYTES_MAX };
        for (text, error) in [
            ("", no_pem.clone()),
            ("no PEM", no_pem.clone()),
            ("-----BEGIN PRIVATE KEY-----\nAAEC\n", no_pem),
            (&long, too_long),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(FileSigner::open(&path, None).err(), Some(error), "{text:.20}");
        }
    });
}

#[test]
fn creates_in_a_missing_directory_only_an_error() {
    with_directory(|directory| {
        let path = directory.join("missing/key.pem");
        let error = SignerError::Io { path: path.clone(), kind: ErrorKind::NotFound };
        assert_eq!(FileSigner::create(&path, KeyType::Ed25519, None).err(), Some(error));
    });
}
