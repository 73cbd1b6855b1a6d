// SPDX-License-Identifier: Apache-2.0
//! Opening what a role needs: keys, chains, logs.
//!
//! In scope: files to values, with errors that name the file. Out of scope: making any of them ([`super::create`]).
//! Invariant: a log is opened only in a directory that exists and that this process alone holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use touchmark_keys::{KeyFamily, KeyType, PublicKey};
use touchmark_sequencer::{CheckpointSigner, Clock, EntryTiles, FjallLedger, FsObjects, Log, LogConfig};
use touchmark_signers::{FileSigner, Signer, SignerError};
use touchmark_sigstore::x509::{Certificate, chain_from_pem};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};

use super::Passphrase;
use super::error::StartError;
use crate::config::LogPlace;
use crate::durable::{self, DirectoryLock};

/// Runs work that blocks, such as decrypting a key, away from the threads that answer requests.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SignerError> + Send + 'static,
) -> Result<T, StartError> {
    let done = tokio::task::spawn_blocking(work).await.expect("opening a key does not panic and is never aborted");
    Ok(done?)
}

/// Opens a private key.
pub(super) async fn key(path: &Path, passphrase: &Passphrase) -> Result<Arc<dyn Signer>, StartError> {
    let (path, passphrase) = (path.to_owned(), passphrase.clone());
    let signer = blocking(move || FileSigner::open(&path, passphrase.as_ref().map(|bytes| bytes.as_slice()))).await?;
    Ok(Arc::new(signer))
}

/// Reads a chain of certificates.
pub(super) fn chain(path: &Path) -> Result<Vec<Certificate>, StartError> {
    let unreadable = || StartError::Certificates { path: path.to_owned() };
    let text = String::from_utf8(durable::read(path)?).map_err(|_| unreadable())?;
    chain_from_pem(&text).map_err(|_| unreadable())
}

/// Reads a public key.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, StartError> {
    let text = String::from_utf8_lossy(&durable::read(path)?).into_owned();
    PublicKey::from_pem(&text).map_err(|_| StartError::PublicKey { path: path.to_owned() })
}

/// What a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// Signatures.
    Rekor,
    /// Certificates.
    Ct,
}

impl LogKind {
    /// The name of the role that serves it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LogKind::Rekor => "rekor",
            LogKind::Ct => "ctlog",
        }
    }

    fn note_algorithm(self, key_type: KeyType) -> NoteAlgorithm {
        match (self, key_type.family()) {
            (LogKind::Ct, _) => NoteAlgorithm::Rfc6962,
            (LogKind::Rekor, KeyFamily::Ed25519) => NoteAlgorithm::Ed25519,
            (LogKind::Rekor, KeyFamily::Rsa) => NoteAlgorithm::RsaRekor,
            // The note key refuses ML-DSA, which no note signature has.
            (LogKind::Rekor, KeyFamily::Ecdsa | KeyFamily::MlDsa) => NoteAlgorithm::EcdsaRekor,
        }
    }

    fn entry_tiles(self) -> EntryTiles {
        match self {
            LogKind::Rekor => EntryTiles::Entries,
            LogKind::Ct => EntryTiles::Data,
        }
    }
}

/// A log that is open, with the key that signs its checkpoints.
pub(super) struct OpenLog {
    pub(super) log: Log,
    pub(super) note_key: NoteKey,
    pub(super) signer: Arc<dyn Signer>,
    /// Held as long as the log may be written.
    pub(super) lock: DirectoryLock,
}

/// Opens a log; what an earlier process left unfinished is finished here.
pub(super) async fn log(
    place: &LogPlace,
    kind: LogKind,
    passphrase: &Passphrase,
    clock: Arc<dyn Clock>,
) -> Result<OpenLog, StartError> {
    if !place.data.is_dir() {
        return Err(StartError::LogMissing { name: place.name.clone(), directory: place.data.clone() });
    }
    let lock = DirectoryLock::acquire(&place.data)?;
    let signer = key(&place.key, passphrase).await?;
    let role = || format!("{} {}", kind.name(), place.name);
    let public_key = signer.public_key();
    let algorithm = kind.note_algorithm(public_key.key_type());
    let note_key = NoteKey::new(&place.name, algorithm, public_key.clone()).map_err(StartError::role(role()))?;
    let checkpoint_signer = CheckpointSigner { note_key: note_key.clone(), signer: Arc::clone(&signer) };
    let mut config = LogConfig::new(place.name.clone(), vec![checkpoint_signer], kind.entry_tiles());
    config.anchor.clone_from(&place.anchor);
    let (ledger, objects) = stores(place.data.clone(), role()).await?;
    let log = Log::open(config, Arc::new(ledger), Arc::new(objects), clock).await.map_err(StartError::role(role()))?;
    Ok(OpenLog { log, note_key, signer, lock })
}

/// Opening the ledger may read back much of what the last process wrote.
async fn stores(data: PathBuf, role: String) -> Result<(FjallLedger, FsObjects), StartError> {
    let open = move || {
        let ledger = FjallLedger::open(data.join("ledger")).map_err(StartError::role(role.clone()))?;
        let objects = FsObjects::open(data.join("objects")).map_err(StartError::role(role))?;
        Ok((ledger, objects))
    };
    tokio::task::spawn_blocking(open).await.expect("opening a store does not panic and is never aborted")
}
