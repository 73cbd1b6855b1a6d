// SPDX-License-Identifier: Apache-2.0
//! The logs of a data directory or of a configuration as files, for whoever works on them while no server does.
//!
//! In scope: which logs there are, where their files lie, holding them, the keys of their checkpoints. Out of scope: what is in the files
//! (`touchmark_sequencer`), starting anything.
//! Invariant: no private key is opened here; the keys of checkpoints come from a trusted root.

use std::path::{Path, PathBuf};

use touchmark_sequencer::EntryFormat;
use touchmark_sigstore::trust::{TransparencyLog, TrustedRoot};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};

use super::error::StartError;
use super::layout::Layout;
use super::manifest::{Manifest, Shard, ShardState};
use super::open::LogKind;
use super::trust::TRUSTED_ROOT;
use crate::config::{Config, LogPlace};
use crate::ctlog::CtEntries;
use crate::durable::DirectoryLock;
use crate::rekor::RekorEntries;

/// The logs of a data directory or of a configuration.
#[derive(Debug, Clone)]
pub struct Inventory {
    logs: Vec<LogFiles>,
    /// Only for a data directory.
    layout: Option<Layout>,
}

/// A log as files.
#[derive(Debug, Clone)]
pub struct LogFiles {
    /// The origin of its checkpoints.
    pub name: String,
    /// What it is for.
    pub kind: LogKind,
    /// Where its ledger and its objects lie.
    pub directory: PathBuf,
    /// The file outside that holds the last signed checkpoint.
    pub anchor: Option<PathBuf>,
    /// Whether it takes entries.
    pub state: LogState,
}

/// Whether a log takes entries, as far as is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// Verifiers know its key; no client is sent to it.
    Next,
    /// It does.
    Active,
    /// Clients are sent to another one; who still comes is served until it is frozen.
    Retired,
    /// It has ended, and is read.
    Frozen,
}

/// Files that no other process may open until this is dropped.
#[derive(Debug)]
pub struct Held {
    _locks: Vec<DirectoryLock>,
}

impl Inventory {
    /// The logs of a data directory.
    ///
    /// # Errors
    /// There is no instance, or its manifest cannot be read.
    pub fn of_instance(data_directory: &Path) -> Result<Self, StartError> {
        let layout = Layout::new(data_directory);
        let no_instance = || StartError::NoInstance { directory: data_directory.to_owned() };
        let manifest = Manifest::load(&layout)?.ok_or_else(no_instance)?;
        let log = |shard: &Shard| LogFiles {
            name: shard.name.clone(),
            kind: shard.kind,
            directory: layout.log(&shard.name),
            anchor: None,
            state: match shard.state {
                ShardState::Next => LogState::Next,
                ShardState::Active { .. } => LogState::Active,
                ShardState::Retired { .. } => LogState::Retired,
                ShardState::Frozen { .. } => LogState::Frozen,
            },
        };
        let logs = manifest.of_kind(LogKind::Rekor).chain(manifest.of_kind(LogKind::Ct)).map(log).collect();
        Ok(Inventory { logs, layout: Some(layout) })
    }

    /// The logs of a configuration file.
    #[must_use]
    pub fn of_config(config: &Config) -> Self {
        let log = |place: &LogPlace, kind| LogFiles {
            name: place.name.clone(),
            kind,
            directory: place.data.clone(),
            anchor: place.anchor.clone(),
            state: LogState::Active,
        };
        let rekors = config.rekors.iter().map(|role| log(&role.log, LogKind::Rekor));
        let ctlogs = config.ctlogs.iter().map(|role| log(&role.log, LogKind::Ct));
        Inventory { logs: rekors.chain(ctlogs).collect(), layout: None }
    }

    /// Every log, Rekor's first.
    #[must_use]
    pub fn logs(&self) -> &[LogFiles] {
        &self.logs
    }

    /// The trusted root that a data directory hands out.
    #[must_use]
    pub fn trusted_root(&self) -> Option<PathBuf> {
        self.layout.as_ref().map(|layout| layout.client().join(TRUSTED_ROOT))
    }

    /// The signing config that a data directory hands out: where its services were when they last started.
    #[must_use]
    pub fn signing_config(&self) -> Option<PathBuf> {
        self.layout.as_ref().map(|layout| layout.client().join("signing_config.json"))
    }

    /// Keeps every other process away from these logs.
    ///
    /// # Errors
    /// A server runs on one of them.
    pub fn hold(&self, logs: &[&LogFiles]) -> Result<Held, StartError> {
        let mut locks = Vec::new();
        if let Some(layout) = &self.layout {
            locks.push(DirectoryLock::acquire(layout.directory())?);
        }
        for log in logs.iter().filter(|log| log.directory.is_dir()) {
            locks.push(DirectoryLock::acquire(&log.directory)?);
        }
        Ok(Held { _locks: locks })
    }
}

impl LogKind {
    /// What its entries look like.
    #[must_use]
    pub fn entry_format(self) -> &'static dyn EntryFormat {
        match self {
            LogKind::Rekor => &RekorEntries,
            LogKind::Ct => &CtEntries,
        }
    }

    /// The keys that sign the checkpoints of the log with this origin, as a trusted root has them; none if it does not know the log.
    #[must_use]
    pub fn note_keys(self, origin: &str, trusted_root: &TrustedRoot) -> Vec<NoteKey> {
        let key = |log: &TransparencyLog| match self {
            LogKind::Rekor => NoteKey::of_log(origin, log.public_key(), log.log_id()),
            LogKind::Ct => NoteKey::new(origin, NoteAlgorithm::Rfc6962, log.public_key().clone()),
        };
        let logs = match self {
            LogKind::Rekor => trusted_root.tlogs(),
            LogKind::Ct => trusted_root.ctlogs(),
        };
        logs.iter().filter(|log| log.hostname() == Some(origin)).filter_map(|log| key(log).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_manifest_has_no_logs() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Inventory::of_instance(directory.path()), Err(StartError::NoInstance { .. })));
    }

    #[test]
    fn held_logs_are_held_against_a_server_and_against_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path());
        let issuer = "http://127.0.0.1:7701/oidc".parse().unwrap();
        Manifest::new("2026-11-22T10:00:00Z".parse().unwrap(), issuer, false).store(&layout).unwrap();
        let inventory = Inventory::of_instance(directory.path()).unwrap();
        let [rekor, ct] = inventory.logs() else { panic!("{:?}", inventory.logs()) };
        assert_eq!((rekor.kind, ct.kind), (LogKind::Rekor, LogKind::Ct));
        std::fs::create_dir_all(&rekor.directory).unwrap();
        let held = inventory.hold(&[rekor, ct]).unwrap();
        assert!(matches!(inventory.hold(&[]), Err(StartError::InUse { .. })));
        assert!(DirectoryLock::acquire(&rekor.directory).is_err());
        drop(held);
        inventory.hold(&[rekor]).unwrap();
    }
}
