// SPDX-License-Identifier: Apache-2.0
//! A signer whose key is in a PEM file, encrypted if a passphrase is given.
//!
//! Spec: PKCS#8 PEM (RFC 5958, RFC 7468), as OpenSSL reads and writes it.
//! In scope: making the file so that a crash leaves a whole key or none, and reading it only if nobody else can.
//! Out of scope: where passphrases come from (the command line).
//! Invariants: a file is never overwritten; it is mode 0600 from its first byte on; the text read from it is wiped.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use touchmark_keys::secret::SecretKey;
use touchmark_keys::{Digest, KeyError, KeyType, PublicKey, Scheme};
use zeroize::Zeroizing;

use crate::{Signer, SignerError};

/// Longest key file: twenty times an encrypted RSA-4096 key.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A key from a file. The private key cannot be printed or exported:
/// ```compile_fail
/// let signer = touchmark_signers::FileSigner::open(std::path::Path::new("key.pem"), None).unwrap();
/// println!("{signer:?}");
/// ```
pub struct FileSigner {
    key: SecretKey,
    scheme: Scheme,
}

impl FileSigner {
    /// Reads a key file. Refuses one that group or others have any permission on.
    pub fn open(path: &Path, passphrase: Option<&[u8]>) -> Result<Self, SignerError> {
        let text = read_private(path, KEY_FILE_BYTES_MAX)?;
        let key = SecretKey::from_pem(&text, passphrase)
            .map_err(|error| SignerError::KeyFile { path: path.into(), error })?;
        Ok(Self::of(key))
    }

    /// Makes a key and its file; refuses a path that exists.
    pub fn create(path: &Path, key_type: KeyType, passphrase: Option<&[u8]>) -> Result<Self, SignerError> {
        let key = SecretKey::generate(key_type)?;
        let text = key.to_pem(passphrase)?;
        write_new(path, text.as_bytes())?;
        Ok(Self::of(key))
    }

    /// The same key under another of its schemes, such as RSASSA-PSS, which TLS 1.3 demands of RSA keys.
    ///
    /// # Errors
    /// The scheme is not one of this type of key.
    pub fn under(self, scheme: Scheme) -> Result<Self, SignerError> {
        let key = self.key.public_key().key_type();
        if scheme.key_type() != key {
            return Err(SignerError::Key(KeyError::WrongScheme { key, scheme }));
        }
        Ok(Self { scheme, ..self })
    }

    /// What [`Signer::sign`] does, for callers that cannot wait: a key in memory never has to.
    pub fn sign_at_once(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.key.sign(self.scheme, message)?)
    }

    fn of(key: SecretKey) -> Self {
        Self { scheme: key.public_key().default_scheme(), key }
    }
}

#[async_trait]
impl Signer for FileSigner {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.sign_at_once(message)
    }

    async fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignerError> {
        Ok(self.key.sign_digest(self.scheme, digest)?)
    }
}

/// Reads a file of at most `bytes_max` bytes. Refuses one that group or others have any permission on.
pub(crate) fn read_private(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, SignerError> {
    let mut bytes = read_private_bytes(path, bytes_max)?;
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
        let _wiped = Zeroizing::new(error.into_bytes());
        SignerError::Io { path: path.into(), kind: std::io::ErrorKind::InvalidData }
    })?;
    Ok(Zeroizing::new(text))
}

/// As [`read_private`], of a file that is not text.
pub(crate) fn read_private_bytes(path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, SignerError> {
    let file = File::open(path).map_err(io_error(path))?;
    expect_private(path, &file)?;
    // Sized up front: a buffer that grows leaves copies of the secret behind.
    let length = file.metadata().map_err(io_error(path))?.len();
    let too_long = || SignerError::TooLong { path: path.into(), bytes_max };
    let capacity = usize::try_from(length).map_err(|_| too_long())?;
    if length > bytes_max {
        return Err(too_long());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity + 1));
    file.take(length).read_to_end(&mut bytes).map_err(io_error(path))?;
    Ok(bytes)
}

/// Writes a new file of mode 0600, durably.
///
/// A crash before the link leaves at most a stray temporary file, which holds a key that nothing has used; a crash after it
/// leaves the whole key, perhaps beside the temporary name. The link, unlike a rename, never replaces a file.
fn write_new(path: &Path, content: &[u8]) -> Result<(), SignerError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = temporary_beside(path);
    let written =
        write_private(&temporary, content).and_then(|()| fs::hard_link(&temporary, path)).map_err(io_error(path));
    // The temporary name goes in either case; a failure to remove it harms nobody.
    let _ = fs::remove_file(&temporary);
    written?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io_error(directory))
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut random = [0; 8];
    touchmark_keys::random(&mut random);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}", u64::from_be_bytes(random)));
    path.with_file_name(name)
}

fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Looks at the open file, not at the path, so that nobody can exchange it in between.
fn expect_private(path: &Path, file: &File) -> Result<(), SignerError> {
    let metadata = file.metadata().map_err(io_error(path))?;
    if !metadata.is_file() {
        return Err(SignerError::NotAFile { path: path.into() });
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777;
        if mode & 0o077 != 0 {
            return Err(SignerError::LoosePermissions { path: path.into(), mode });
        }
    }
    Ok(())
}

fn io_error(path: &Path) -> impl Fn(std::io::Error) -> SignerError + '_ {
    |error| SignerError::Io { path: path.into(), kind: error.kind() }
}

#[cfg(test)]
mod tests;
