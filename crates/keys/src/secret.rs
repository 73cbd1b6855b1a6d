// SPDX-License-Identifier: Apache-2.0
//! Secret keys. Only the crate `signers` (and the test crate) may name this module; `cargo xtask tidy` checks it.
//!
//! Spec: PKCS#8 (RFC 5958) at rest, encrypted with PBES2 (RFC 8018): scrypt (RFC 7914) and AES-256-CBC, as OpenSSL 3 writes
//! and reads it.
//! In scope: making, reading, writing and using a secret key. Out of scope: files, hardware and deadlines (crate `signers`).
//! Invariants: [`SecretKey`] implements neither `Debug` nor `Display` nor `Clone`; every buffer that holds secret bytes wipes
//! itself; decryption has a cost limit.

use der::asn1::OctetStringRef;
use der::{Decode, Encode, Sequence};
use pkcs8::pkcs5::{self, pbes2};
use pkcs8::{AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::backend::{self, SigningKey};
use crate::public::{OID_EC, OID_ED25519, OID_RSA, curve, ml_dsa};
use crate::{Digest, KeyError, KeyType, PublicKey, Scheme, Standing, digest, pem};

/// A secret key in memory. It cannot be printed or copied:
/// ```compile_fail
/// let key = touchmark_keys::secret::SecretKey::generate(touchmark_keys::KeyType::Ed25519).unwrap();
/// println!("{key:?}");
/// ```
/// ```compile_fail
/// let key = touchmark_keys::secret::SecretKey::generate(touchmark_keys::KeyType::Ed25519).unwrap();
/// let twin = key.clone();
/// ```
pub struct SecretKey {
    signing: SigningKey,
    public: PublicKey,
}

impl SecretKey {
    pub fn generate(key_type: KeyType) -> Result<Self, KeyError> {
        Self::new(SigningKey::generate(key_type).map_err(|_| KeyError::Backend)?)
    }

    /// Reads PEM of label `PRIVATE KEY`, or `ENCRYPTED PRIVATE KEY` with its passphrase.
    ///
    /// A passphrase for a key that is not encrypted is refused: whoever gives one believes that the file is protected.
    pub fn from_pem(text: &str, passphrase: Option<&[u8]>) -> Result<Self, KeyError> {
        let (label, content) = pem::decode(text)?;
        match (label, passphrase) {
            ("PRIVATE KEY", None) => Self::from_pkcs8_der(&content),
            ("PRIVATE KEY", Some(_)) => Err(KeyError::NotEncrypted),
            ("ENCRYPTED PRIVATE KEY", Some(passphrase)) => {
                // CBC has no authentication: one wrong passphrase of 256 leaves sound padding around garbage.
                Self::from_pkcs8_der(&decrypt(&content, passphrase)?).map_err(|error| match error {
                    KeyError::Malformed => KeyError::WrongPassphrase,
                    error => error,
                })
            }
            ("ENCRYPTED PRIVATE KEY", None) => Err(KeyError::PassphraseRequired),
            _ => Err(KeyError::PemLabel),
        }
    }

    /// Writes PEM that [`SecretKey::from_pem`] reads, encrypted if there is a passphrase.
    pub fn to_pem(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>, KeyError> {
        let plain = self.signing.to_pkcs8().map_err(|_| KeyError::Backend)?;
        match passphrase {
            None => Ok(pem::encode("PRIVATE KEY", &plain)),
            Some(passphrase) => Ok(pem::encode("ENCRYPTED PRIVATE KEY", &encrypt(&plain, passphrase)?)),
        }
    }

    /// The PKCS#8 DER, unencrypted.
    #[must_use]
    pub fn pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.signing.to_pkcs8().expect("a key that was made or read can be encoded")
    }

    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`. ECDSA signatures are ASN.1 DER.
    pub fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.expect_scheme(scheme)?;
        match (scheme, scheme.hash()) {
            (Scheme::Ed25519ph, Some(hash)) => self.sign_digest(scheme, &digest(hash, message)),
            _ => self.signing.sign(scheme.family(), message).map_err(|_| KeyError::Backend),
        }
    }

    /// Signs the message that has this digest; impossible for pure Ed25519.
    pub fn sign_digest(&self, scheme: Scheme, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        self.expect_scheme(scheme)?;
        let expected = scheme.hash().ok_or(KeyError::NeedsMessage { scheme })?;
        if digest.algorithm() != expected {
            return Err(KeyError::WrongHash { expected, found: digest.algorithm() });
        }
        self.signing.sign_digest(scheme.family(), expected, digest.as_bytes()).map_err(|_| KeyError::Backend)
    }

    fn from_pkcs8_der(pkcs8_der: &[u8]) -> Result<Self, KeyError> {
        let info = PrivateKeyInfoRef::from_der(pkcs8_der).map_err(|_| KeyError::Malformed)?;
        let key_type = match info.algorithm.oid {
            OID_EC => curve(info.algorithm.parameters)?,
            OID_ED25519 => KeyType::Ed25519,
            OID_RSA => KeyType::Rsa2048,
            oid => ml_dsa(oid).ok_or(KeyError::UnsupportedAlgorithm { oid })?,
        };
        Self::new(SigningKey::from_pkcs8(key_type, pkcs8_der).map_err(|_| KeyError::Malformed)?)
    }

    fn new(signing: SigningKey) -> Result<Self, KeyError> {
        let spki = signing.public_spki().map_err(|_| KeyError::Backend)?;
        Ok(Self { public: PublicKey::from_spki_der(&spki)?, signing })
    }

    fn expect_scheme(&self, scheme: Scheme) -> Result<(), KeyError> {
        let key = self.public.key_type();
        match scheme.standing() {
            _ if scheme.key_type() != key => Err(KeyError::WrongScheme { key, scheme }),
            Standing::Deprecated => Err(KeyError::VerifyOnly { scheme }),
            Standing::Current => Ok(()),
        }
    }
}

/// scrypt N, r and p. N·r is the most that OpenSSL 3 reads with its default memory limit of 32 MiB; p makes up for it, as
/// OWASP's password storage advice does (N=2^14, r=8, p=5).
const SCRYPT_COST: u64 = 1 << 14;
const SCRYPT_BLOCK: u16 = 8;
const SCRYPT_PARALLEL: u16 = 5;

/// What a key file may ask for: scrypt memory of 128·N·r bytes, scrypt work in blocks, PBKDF2 rounds. Sixteen times and more
/// above what OpenSSL and this module write; refuses a file made to exhaust the machine.
const SCRYPT_MEMORY_BYTES_MAX: u64 = 512 << 20;
const SCRYPT_WORK_MAX: u64 = 1 << 26;
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

fn encrypt(plain: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut salt = [0; 16];
    let mut iv = [0; 16];
    backend::random(&mut salt);
    backend::random(&mut iv);
    let scrypt = pbes2::ScryptParams {
        salt: salt.as_slice().try_into().map_err(|_| KeyError::Backend)?,
        cost_parameter: SCRYPT_COST,
        block_size: SCRYPT_BLOCK,
        parallelization: SCRYPT_PARALLEL,
        key_length: None,
    };
    let parameters =
        pbes2::Parameters { kdf: pbes2::Kdf::Scrypt(scrypt), encryption: pbes2::EncryptionScheme::Aes256Cbc { iv } };
    let encrypted = parameters.encrypt(passphrase, plain).map_err(|_| KeyError::Backend)?;
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: pkcs5::EncryptionScheme::Pbes2(parameters),
        encrypted_data: OctetStringRef::new(&encrypted).map_err(|_| KeyError::Backend)?,
    };
    info.to_der().map_err(|_| KeyError::Backend)
}

fn decrypt(encrypted_der: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let info = EncryptedPrivateKeyInfoRef::from_der(encrypted_der).map_err(|_| {
        // The library reads PBES1 and PBES2 with known parameters; what else has this shape is some other encryption.
        match AnyEncryption::from_der(encrypted_der) {
            Ok(_) => KeyError::UnsupportedEncryption,
            Err(_) => KeyError::Malformed,
        }
    })?;
    let pkcs5::EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(KeyError::UnsupportedEncryption);
    };
    expect_affordable(&parameters.kdf)?;
    let plain = parameters.decrypt(passphrase, info.encrypted_data.as_bytes());
    plain.map(Zeroizing::new).map_err(|error| match error {
        pkcs5::Error::DecryptFailed => KeyError::WrongPassphrase,
        _ => KeyError::UnsupportedEncryption,
    })
}

/// `EncryptedPrivateKeyInfo` (RFC 5958 §3) with any algorithm.
#[derive(Sequence)]
struct AnyEncryption<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    data: &'a OctetStringRef,
}

fn expect_affordable(kdf: &pbes2::Kdf) -> Result<(), KeyError> {
    let affordable = match kdf {
        pbes2::Kdf::Scrypt(scrypt) => {
            let blocks = scrypt.cost_parameter.saturating_mul(u64::from(scrypt.block_size));
            let work = blocks.saturating_mul(u64::from(scrypt.parallelization));
            blocks.saturating_mul(128) <= SCRYPT_MEMORY_BYTES_MAX && work <= SCRYPT_WORK_MAX
        }
        pbes2::Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= PBKDF2_ROUNDS_MAX,
        _ => return Err(KeyError::UnsupportedEncryption),
    };
    if affordable { Ok(()) } else { Err(KeyError::EncryptionTooCostly) }
}

#[cfg(test)]
mod tests;
