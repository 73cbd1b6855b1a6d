// SPDX-License-Identifier: Apache-2.0
//! The files of a ceremony: all of them in the end, or none.
//!
//! In scope: refusing to overwrite, taking back what was written when a later step fails. Out of scope: what is in the files.
//! Invariants: no file is ever replaced; private keys are files of mode 0600 (`touchmark_signers`). A crash leaves some of the files, which the next
//! ceremony refuses to overwrite.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use touchmark_keys::KeyType;
use touchmark_signers::{FileSigner, Signer};
use touchmark_sigstore::x509::Certificate;

use super::{CeremonyError, Passphrase};
use crate::durable::{self, Access};

/// What a ceremony has written so far; dropped, it is removed again.
#[derive(Default)]
pub(super) struct Output {
    written: Vec<PathBuf>,
}

impl Output {
    /// Into a directory that is made if need be, where none of these files is.
    pub(super) fn in_directory(directory: &Path, names: &[&str]) -> Result<Self, CeremonyError> {
        for name in names {
            expect_absent(&directory.join(name))?;
        }
        durable::create_private_directory(directory)?;
        Ok(Self::default())
    }

    pub(super) async fn key(
        &mut self,
        path: PathBuf,
        key_type: KeyType,
        passphrase: &Passphrase,
    ) -> Result<Arc<dyn Signer>, CeremonyError> {
        expect_absent(&path)?;
        let (place, passphrase) = (path.clone(), passphrase.clone());
        // Encrypting a key takes its time.
        let create = move || FileSigner::create(&place, key_type, passphrase.as_ref().map(|bytes| bytes.as_slice()));
        let created = tokio::task::spawn_blocking(create).await;
        let signer = created.expect("making a key does not panic and is never aborted")?;
        self.written.push(path);
        Ok(Arc::new(signer))
    }

    pub(super) fn chain(&mut self, path: PathBuf, chain: &[Certificate]) -> Result<(), CeremonyError> {
        let pem: String = chain.iter().map(Certificate::to_pem).collect();
        self.text(path, &pem)
    }

    pub(super) fn text(&mut self, path: PathBuf, text: &str) -> Result<(), CeremonyError> {
        expect_absent(&path)?;
        durable::write(&path, text.as_bytes(), Access::Public)?;
        self.written.push(path);
        Ok(())
    }

    /// Nothing is taken back any more.
    pub(super) fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.written)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        for path in &self.written {
            // What cannot be removed is refused by the next ceremony, by name.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn expect_absent(path: &Path) -> Result<(), CeremonyError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(durable::failed("cannot look at", path)(error).into()),
        Ok(_) => Err(CeremonyError::Exists { path: path.to_owned() }),
    }
}
