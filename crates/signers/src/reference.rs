// SPDX-License-Identifier: Apache-2.0
//! Which key a configuration means.
//!
//! Spec: RFC 7512 (`pkcs11:`); the key references of Sigstore's tools (`<scheme>://…`).
//! In scope: one text to one kind of signer, and opening it. Out of scope: what each kind's text may hold (its own module).
//! Invariant: a text that looks like a URI is never taken for a path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    AwsKmsSigner, AwsKmsUri, AwsKmsUriError, FileSigner, Pkcs11Signer, Pkcs11Uri, Pkcs11UriError, PluginSigner,
    PluginUri, PluginUriError, Signer, SignerError,
};

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerReference {
    /// A PEM file.
    File(PathBuf),
    /// A token: `pkcs11:token=…;object=…?module-path=…&pin-source=…`.
    Pkcs11(Pkcs11Uri),
    /// AWS KMS: `awskms://[ENDPOINT]/KEY`.
    AwsKms(AwsKmsUri),
    /// A program `sigstore-kms-<scheme>`: `<scheme>://…`.
    Plugin(PluginUri),
}

/// Why a text means no key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    #[error("is empty; it must be the path of a key file, a `pkcs11:` URI, `awskms://…` or `<scheme>://…`")]
    Empty,
    #[error("the path of a key file is written without `file:`")]
    FileUrl,
    #[error("`pkcs11:` URI: {0}")]
    Pkcs11(#[from] Pkcs11UriError),
    #[error("`awskms:` URI: {0}")]
    AwsKms(#[from] AwsKmsUriError),
    #[error("{0}")]
    Plugin(#[from] PluginUriError),
}

impl SignerReference {
    /// Reads a path or a URI; relative paths start at `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.starts_with(Pkcs11Uri::SCHEME) {
            return Ok(Self::Pkcs11(Pkcs11Uri::parse(text, directory)?));
        }
        if text.starts_with(AwsKmsUri::SCHEME) {
            return Ok(Self::AwsKms(AwsKmsUri::parse(text)?));
        }
        if text.starts_with("file:") {
            return Err(ReferenceError::FileUrl);
        }
        match text.contains("://") {
            true => Ok(Self::Plugin(PluginUri::parse(text)?)),
            false => Ok(Self::File(directory.join(text))),
        }
    }

    /// Opens the key; `passphrase` is for files.
    pub async fn open(self, passphrase: Option<Zeroizing<Vec<u8>>>) -> Result<Arc<dyn Signer>, SignerError> {
        match self {
            Self::File(path) => {
                // Decrypting a key takes its time.
                let open = move || FileSigner::open(&path, passphrase.as_ref().map(|bytes| bytes.as_slice()));
                let opened = tokio::task::spawn_blocking(open).await;
                Ok(Arc::new(opened.expect("opening a key does not panic and is never aborted")?))
            }
            Self::Pkcs11(uri) => Ok(Arc::new(Pkcs11Signer::open(uri).await?)),
            Self::AwsKms(uri) => {
                let environment = |name: &str| std::env::var(name).ok();
                Ok(Arc::new(AwsKmsSigner::open(uri, environment).await?))
            }
            Self::Plugin(uri) => {
                let search_path: OsString = std::env::var_os("PATH").unwrap_or_default();
                Ok(Arc::new(PluginSigner::open(uri, &search_path).await?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_sorted_by_their_form() {
        let directory = Path::new("/etc/touchmark");
        let parse = |text| SignerReference::parse(text, directory);
        for (text, expect) in [
            ("keys/ca.pem", Ok(SignerReference::File("/etc/touchmark/keys/ca.pem".into()))),
            ("/keys/ca.pem", Ok(SignerReference::File("/keys/ca.pem".into()))),
            ("a:b.pem", Ok(SignerReference::File("/etc/touchmark/a:b.pem".into()))),
            ("my-hsm://key", Ok(SignerReference::Plugin(PluginUri::parse("my-hsm://key").unwrap()))),
            ("", Err(ReferenceError::Empty)),
            ("file:///keys/ca.pem", Err(ReferenceError::FileUrl)),
            ("file:ca.pem", Err(ReferenceError::FileUrl)),
            ("My://key", Err(ReferenceError::Plugin(PluginUriError::Scheme))),
            ("keys/://ca.pem", Err(ReferenceError::Plugin(PluginUriError::Scheme))),
            ("awskms:///key", Err(ReferenceError::AwsKms(AwsKmsUriError::Form))),
            ("pkcs11:object=o", Err(ReferenceError::Pkcs11(Pkcs11UriError::NoToken))),
        ] {
            assert_eq!(parse(text), expect, "{text}");
        }
        let uri = "awskms:///alias/ca";
        assert_eq!(parse(uri), Ok(SignerReference::AwsKms(AwsKmsUri::parse(uri).unwrap())));
        let uri = "pkcs11:token=t;object=o?module-path=/m";
        assert_eq!(parse(uri), Ok(SignerReference::Pkcs11(Pkcs11Uri::parse(uri, directory).unwrap())));
    }
}
