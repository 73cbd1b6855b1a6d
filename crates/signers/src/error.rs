// SPDX-License-Identifier: Apache-2.0
//! Why there is no signature, or no signer.
//!
//! In scope: one error for every kind of signer; it is for the operator's log and names files, tokens and programs. Out of scope: what a
//! client is told, which is never more than that the service is unavailable.
//! Invariant: no private key, PIN or credential is in an error.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use touchmark_keys::KeyError;

use crate::{AwsKmsProblem, Pkcs11Problem, PluginError};

/// Why there is no signature, or no signer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignerError {
    #[error("{0}")]
    Key(KeyError),
    #[error("key file {}: {error}", path.display())]
    KeyFile { path: PathBuf, error: KeyError },
    #[error("file {}: {}", path.display(), InWords(*kind))]
    Io { path: PathBuf, kind: io::ErrorKind },
    #[error(
        "file {} may be read by others than its owner (mode {mode:03o}): chmod 600 it, and replace what is in it if others could read it",
        path.display()
    )]
    LoosePermissions { path: PathBuf, mode: u32 },
    #[error("{} is no regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("file {} is longer than {bytes_max} bytes", path.display())]
    TooLong { path: PathBuf, bytes_max: u64 },
    #[error("passphrase file {} holds no passphrase", path.display())]
    PassphraseMissing { path: PathBuf },
    #[error(
        "passphrase file {} has {lines} lines: a passphrase is one line, whose line end does not belong to it",
        path.display()
    )]
    PassphraseLines { path: PathBuf, lines: usize },
    #[error("key {key}: {problem}")]
    Pkcs11 { key: String, problem: Pkcs11Problem },
    #[error("key {key}: AWS KMS: {problem}")]
    AwsKms { key: String, problem: AwsKmsProblem },
    #[error(transparent)]
    Plugin(PluginError),
    #[error("the signer did not answer within {} ms", deadline.as_millis())]
    Deadline { deadline: Duration },
}

/// What the system said of a file, for people: its own word for a file that is not there is about entities.
#[derive(Debug, Clone, Copy)]
pub struct InWords(pub io::ErrorKind);

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            io::ErrorKind::NotFound => f.write_str("there is no such file or directory"),
            kind => kind.fmt(f),
        }
    }
}

impl From<KeyError> for SignerError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}
