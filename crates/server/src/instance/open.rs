// SPDX-License-Identifier: Apache-2.0
//! Opening what a role needs: keys, chains, logs.
//!
//! In scope: files to values, with errors that name the file. Out of scope: making any of them ([`super::create`]).
//! Invariant: a log is opened only in a directory that exists and that this process alone holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use touchmark_keys::{KeyFamily, KeyType, PublicKey};
use touchmark_outbound::{TimeProtocol, TimeRoots};
use touchmark_sequencer::{CheckpointSigner, Clock, EntryTiles, FjallLedger, FsObjects, Log, LogConfig};
use touchmark_signers::{FileSigner, Signer, SignerError, SignerReference};
use touchmark_sigstore::x509::{Certificate, chain_from_pem};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};

use super::Passphrase;
use super::error::StartError;
use super::layout::KeyFile;
use crate::config::{FulcioRole, LogPlace, TlsPlace, TsaRole};
use crate::ctlog::MAXIMUM_MERGE_DELAY_S;
use crate::durable::{self, DirectoryLock};
use crate::fulcio::{CertificateAuthority, DEFAULT_ALGORITHMS, FulcioConfig, FulcioStartError};
use crate::http::tls::credentials::Credentials;
use crate::tsa::{Authority, ClockPlace, TimeServers};

/// Runs work that blocks, such as decrypting a key, away from the threads that answer requests.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SignerError> + Send + 'static,
) -> Result<T, StartError> {
    let done = tokio::task::spawn_blocking(work).await.expect("opening a key does not panic and is never aborted");
    Ok(done?)
}

/// Opens a private key, wherever it is; the passphrase is for files.
pub(super) async fn signer(key: &SignerReference, passphrase: &Passphrase) -> Result<Arc<dyn Signer>, StartError> {
    Ok(key.clone().open(passphrase.clone()).await?)
}

/// Opens a private key in a file.
pub(super) async fn key(path: &Path, passphrase: &Passphrase) -> Result<Arc<dyn Signer>, StartError> {
    signer(&SignerReference::File(path.to_owned()), passphrase).await
}

/// Reads a chain of certificates.
pub(super) fn chain(path: &Path) -> Result<Vec<Certificate>, StartError> {
    let unreadable = || StartError::Certificates { path: path.to_owned() };
    let text = String::from_utf8(durable::read(path)?).map_err(|_| unreadable())?;
    chain_from_pem(&text).map_err(|_| unreadable())
}

/// Reads whose certificates name the time servers that authenticate their answers.
pub(super) fn time_servers(place: ClockPlace) -> Result<TimeServers, StartError> {
    let authenticated = place.servers.iter().any(|server| server.protocol() == TimeProtocol::Nts);
    let roots = match &place.ca_file {
        Some(path) => {
            let unreadable = |_| StartError::Certificates { path: path.clone() };
            TimeRoots::of_pem(&durable::read(path)?).map_err(unreadable)?
        }
        None if authenticated => TimeRoots::system().map_err(StartError::role("tsa.clock"))?,
        None => TimeRoots::none(),
    };
    Ok(TimeServers { place, roots })
}

/// Opens the key of a certificate authority and reads its chains.
pub(super) async fn certificate_authority(
    role: &FulcioRole,
    passphrase: &Passphrase,
) -> Result<CertificateAuthority, StartError> {
    let (signer, current) = (signer(&role.key, passphrase).await?, chain(&role.chain)?);
    let previous = role.previous_chains.iter().map(|path| chain(path)).collect::<Result<_, _>>()?;
    let key = signer.public_key().clone();
    let authority = CertificateAuthority::new(signer, current.clone());
    let authority = authority.map_err(|error| unfit_chain(&role.chain, &current, &key, error))?;
    authority.with_previous(previous).map_err(StartError::role("fulcio"))
}

/// Says what a person would see in the file.
fn unfit_chain(path: &Path, chain: &[Certificate], key: &PublicKey, error: FulcioStartError) -> StartError {
    let path = path.to_owned();
    let holds_key = |certificate: &Certificate| certificate.spki_der() == key.spki_der();
    let is_root = |certificate: &Certificate| certificate.issuer_text() == certificate.subject_text();
    match error {
        FulcioStartError::ChainKey => match chain.iter().position(holds_key) {
            Some(position) => StartError::AuthorityOrder { path, position: position + 1 },
            None => StartError::AuthorityKey { path },
        },
        FulcioStartError::ChainLink { position } if position + 1 == chain.len() && !is_root(&chain[position]) => {
            StartError::AuthorityRootMissing { path }
        }
        error => StartError::role("fulcio")(error),
    }
}

/// Opens the key of a timestamp authority and reads its chains.
pub(super) async fn timestamp_authority(
    role: &TsaRole,
    passphrase: &Passphrase,
    now: Timestamp,
) -> Result<Authority, StartError> {
    let (signer, current) = (signer(&role.key, passphrase).await?, chain(&role.chain)?);
    let previous = role.previous_chains.iter().map(|path| chain(path)).collect::<Result<_, _>>()?;
    let authority = Authority::new(signer, current, now).and_then(|authority| authority.with_previous(previous));
    authority.map_err(StartError::role("tsa"))
}

/// Opens the key of the listeners and reads its certificates, which are to be fit for now.
pub(super) async fn tls(place: &TlsPlace, passphrase: &Passphrase, now: Timestamp) -> Result<Credentials, StartError> {
    let (path, passphrase) = (place.key.clone(), passphrase.clone());
    let opening = move || FileSigner::open(&path, passphrase.as_ref().map(|passphrase| passphrase.as_slice()));
    let key = blocking(opening).await?;
    Credentials::new(key, chain(&place.chain)?, now).map_err(StartError::role("TLS"))
}

/// Reads whose tokens become certificates.
pub(super) fn fulcio_config(role: &FulcioRole) -> Result<FulcioConfig, StartError> {
    let issuers = role.identities.load().map_err(StartError::role("fulcio"))?;
    Ok(FulcioConfig { issuers, algorithms: DEFAULT_ALGORITHMS.to_vec() })
}

/// Reads a public key.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, StartError> {
    let text = String::from_utf8_lossy(&durable::read(path)?).into_owned();
    PublicKey::from_pem(&text).map_err(|_| StartError::PublicKey { path: path.to_owned() })
}

/// What a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// Signatures.
    Rekor,
    /// Certificates.
    Ct,
}

impl LogKind {
    /// How the names of its logs begin.
    pub(super) fn in_names(self) -> &'static str {
        match self {
            LogKind::Rekor => "rekor",
            LogKind::Ct => "ct",
        }
    }

    /// The type of its logs' keys.
    pub(super) fn key_type(self) -> KeyType {
        match self {
            LogKind::Rekor => KeyFile::Rekor.key_type(),
            LogKind::Ct => KeyFile::Ct.key_type(),
        }
    }

    /// The name of the role that serves it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LogKind::Rekor => "rekor",
            LogKind::Ct => "ctlog",
        }
    }

    /// The line by which the final checkpoint of a Rekor log says that it is one, in the words of the public log's tools; checkpoints of a
    /// CT log have no such lines (C2SP static-ct-api).
    fn final_line(self) -> Option<fn(u64) -> String> {
        match self {
            LogKind::Rekor => Some(frozen_line),
            LogKind::Ct => None,
        }
    }

    pub(super) fn note_algorithm(self, key_type: KeyType) -> NoteAlgorithm {
        match (self, key_type.family()) {
            (LogKind::Ct, _) => NoteAlgorithm::Rfc6962,
            (LogKind::Rekor, KeyFamily::Ed25519) => NoteAlgorithm::Ed25519,
            (LogKind::Rekor, KeyFamily::Rsa) => NoteAlgorithm::RsaRekor,
            // The note key refuses ML-DSA, which no note signature has.
            (LogKind::Rekor, KeyFamily::Ecdsa | KeyFamily::MlDsa) => NoteAlgorithm::EcdsaRekor,
        }
    }

    /// When an idle log signs its tree again. The tree heads of a CT log may not be older than its maximum merge delay (RFC 6962 §3.5): it signs
    /// at half of that, so that a signer may be slow.
    fn resign_after_ms(self) -> Option<u64> {
        match self {
            LogKind::Rekor => None,
            LogKind::Ct => Some(u64::from(MAXIMUM_MERGE_DELAY_S) * 1000 / 2),
        }
    }

    fn entry_tiles(self) -> EntryTiles {
        match self {
            LogKind::Rekor => EntryTiles::Entries,
            LogKind::Ct => EntryTiles::Data,
        }
    }
}

/// The date in the format of Unix `date` in the C locale.
fn frozen_line(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    let date = at.unwrap_or(Timestamp::MAX).strftime("%a %b %e %H:%M:%S UTC %Y");
    format!("Log frozen — {date}")
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
    config.final_line = kind.final_line();
    config.resign_after_ms = kind.resign_after_ms().unwrap_or(config.resign_after_ms);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_head_of_a_ct_log_is_signed_again_before_it_is_too_old() {
        let resign_after_ms = LogKind::Ct.resign_after_ms().unwrap();
        let slowest_ms = u64::try_from(touchmark_signers::SIGN_DEADLINE.as_millis()).unwrap();
        assert!(resign_after_ms + slowest_ms < u64::from(MAXIMUM_MERGE_DELAY_S) * 1000);
    }

    #[test]
    fn the_final_line_is_that_of_the_public_logs_tool() {
        // As Go's time.UnixDate writes it: the day has two places.
        for (at_ms, expect) in [
            (1_795_341_600_999, "Log frozen — Sun Nov 22 10:00:00 UTC 2026"),
            (1_793_494_921_000, "Log frozen — Sun Nov  1 01:02:01 UTC 2026"),
        ] {
            assert_eq!(frozen_line(at_ms), expect);
        }
    }
}
