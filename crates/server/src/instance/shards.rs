// SPDX-License-Identifier: Apache-2.0
//! `touchmark log create|rotate|freeze`: the life of the logs of a data directory, whether `up` runs on it or not.
//!
//! ```text
//! create   next ─▶ rotate  active ─▶ retired ─▶ (its time comes) frozen
//!          the trusted root has it   the signing config has it    it has its final checkpoint
//! ```
//!
//! This half runs in the command's process and holds the keys that the server does not: it makes the key of a new log, and signs the
//! changed trusted root and signing config with the offline key of TUF's targets. A server that runs is then asked to publish and to act
//! ([`super::admin`]); otherwise it is done here.
//!
//! In scope: what changes, and the windows of validity. Out of scope: the documents (`trust`), the end of a log in the engine.
//! Invariants: a log is published to verifiers, in a publication of its own, before clients are sent to it; what is asked for twice is
//! done once or refused.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use touchmark_sequencer::{Frozen, SystemClock};
use touchmark_signers::FileSigner;
use touchmark_sigstore::trust::SigningConfig;

use super::admin::{self, AdminRequest, Change};
use super::error::StartError;
use super::layout::{KeyFile, Layout};
use super::manifest::{LOGS_MAX, Manifest, Shard, ShardState, key_path};
use super::open::{self, LogKind, blocking};
use super::serve::USER_AGENT;
use super::up::{check_passphrase, is_lost, keys_unknown_to, log_place, publish_changes, whole_second};
use super::{Passphrase, trust};
use crate::deps::{Deps, WaysOut};
use crate::durable::{self, DirectoryLock, LockError};
use crate::tuf::Repository;

/// The longest overlap that makes sense: a year.
const OVERLAP_MAX: SignedDuration = SignedDuration::from_hours(366 * 24);

/// On what a command works.
pub struct LogOptions {
    /// The data directory of an `up`.
    pub data_dir: PathBuf,
    /// What its keys are encrypted with.
    pub passphrase: Passphrase,
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The log that new entries go to.
    pub active: String,
    /// The one before it, and when it ends.
    pub retired: Option<(String, Timestamp)>,
}

/// A log that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenLog {
    /// The log.
    pub name: String,
    /// The size of its final tree.
    pub size: u64,
    /// The root of its final tree, in hex.
    pub root: String,
}

/// Whether a log may be ended that new entries go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// No: rotate first.
    NotIfActive,
    /// Yes; nothing of its kind can be logged afterwards, and so nothing signed, until `rotate`.
    EvenIfActive,
}

/// Makes the next log of a kind and tells verifiers of its key. No client is sent to it before [`log_rotate`].
///
/// # Errors
/// What is wrong, and what to do. Nothing was changed, or asking again goes on.
pub async fn log_create(options: LogOptions, kind: LogKind) -> Result<String, StartError> {
    let mut editor = Editor::open(options).await?;
    if let Some(next) = editor.manifest.next(kind) {
        let problem = format!("{} is announced already; `touchmark log rotate` makes it the active one", next.name);
        return Err(StartError::LogChange { problem });
    }
    editor.create(kind).await
}

/// Sends new entries of a kind to its next log, which is made if none was announced; the present one is frozen when `overlap` is over.
///
/// # Errors
/// What is wrong, and what to do. Nothing was changed, or asking again goes on.
pub async fn log_rotate(options: LogOptions, kind: LogKind, overlap: SignedDuration) -> Result<Rotation, StartError> {
    if overlap.is_negative() || overlap > OVERLAP_MAX {
        return Err(StartError::LogChange { problem: "the overlap must lie between nothing and a year".to_owned() });
    }
    let mut editor = Editor::open(options).await?;
    let next = match editor.manifest.next(kind) {
        Some(next) => next.name.clone(),
        None => editor.create(kind).await?,
    };
    let since = editor.now();
    let until = since.saturating_add(overlap).unwrap_or(since);
    let mut manifest = editor.manifest.clone();
    let mut retired = None;
    for shard in manifest.logs.iter_mut().filter(|shard| shard.kind == kind) {
        if let ShardState::Active { since } = shard.state {
            shard.state = ShardState::Retired { since, until };
            retired = Some((shard.name.clone(), until));
        } else if shard.name == next {
            shard.state = ShardState::Active { since };
        }
    }
    editor.publish(manifest).await?;
    Ok(Rotation { active: next, retired })
}

/// Ends a log: what waits is logged, the final checkpoint is signed, and nothing comes after it.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn log_freeze(options: LogOptions, name: &str, demand: Demand) -> Result<FrozenLog, StartError> {
    let mut editor = Editor::open(options).await?;
    if !is_ended_by(&editor.manifest, name, demand)? {
        match &editor.reach {
            Reach::Running { .. } => {
                let request = AdminRequest::Freeze { name: name.to_owned(), demand };
                let status = admin::ask(&editor.layout.admin_socket(), &request).await?;
                editor.manifest = Manifest::parse(&status.manifest, &editor.layout)?;
            }
            Reach::Stopped { .. } => {
                freeze_at_rest(&editor.layout, &mut editor.manifest, name, &editor.passphrase, &editor.deps).await?;
            }
        }
    }
    match editor.manifest.shard(name).map(|shard| &shard.state) {
        Some(ShardState::Frozen { size, root, .. }) => {
            Ok(FrozenLog { name: name.to_owned(), size: *size, root: root.clone() })
        }
        _ => Err(StartError::AdminRefused { problem: format!("it did not freeze {name}") }),
    }
}

/// How the instance is reached.
enum Reach {
    /// Nobody runs on it, and nobody can start meanwhile.
    Stopped {
        _lock: DirectoryLock,
    },
    Running {
        service_url: String,
    },
}

/// A data directory whose logs are being changed.
struct Editor {
    layout: Layout,
    passphrase: Passphrase,
    deps: Deps,
    reach: Reach,
    manifest: Manifest,
}

impl Editor {
    async fn open(options: LogOptions) -> Result<Self, StartError> {
        let layout = Layout::new(&options.data_dir);
        let no_instance = || StartError::NoInstance { directory: options.data_dir.clone() };
        let found = Manifest::load(&layout)?.ok_or_else(no_instance)?;
        check_passphrase(&found, &options.passphrase)?;
        let (reach, manifest) = match DirectoryLock::acquire(layout.directory()) {
            Ok(lock) => {
                // Nobody changes it from here on.
                let manifest = Manifest::load(&layout)?.ok_or_else(no_instance)?;
                manifest.store(&layout)?;
                (Reach::Stopped { _lock: lock }, manifest)
            }
            Err(LockError::Held(_)) => {
                let status = admin::ask(&layout.admin_socket(), &AdminRequest::Status).await?;
                let manifest = Manifest::parse(&status.manifest, &layout)?;
                (Reach::Running { service_url: status.service_url }, manifest)
            }
            Err(error) => return Err(error.into()),
        };
        let deps = Deps { clock: Arc::new(SystemClock), ways_out: WaysOut::new(USER_AGENT) };
        Ok(Editor { layout, passphrase: options.passphrase, deps, reach, manifest })
    }

    fn now(&self) -> Timestamp {
        whole_second(&self.deps)
    }

    /// Makes a log and tells verifiers.
    ///
    /// Effects: key file, directory, publication. A crash in between leaves a key that has signed nothing; the next try takes it.
    async fn create(&mut self, kind: LogKind) -> Result<String, StartError> {
        if self.manifest.logs.len() >= LOGS_MAX {
            return Err(StartError::LogChange { problem: format!("an instance has at most {LOGS_MAX} logs") });
        }
        let created = self.now();
        let name = self.manifest.next_name(kind, created);
        let key = key_path(&name);
        let (path, passphrase) = (self.layout.entry(&key), self.passphrase.clone());
        blocking(move || {
            let passphrase = passphrase.as_ref().map(|bytes| bytes.as_slice());
            if path.exists() {
                return FileSigner::open(&path, passphrase);
            }
            FileSigner::create(&path, kind.key_type(), passphrase)
        })
        .await?;
        durable::create_private_directory(&self.layout.log(&name))?;
        let mut manifest = self.manifest.clone();
        manifest.logs.push(Shard { kind, name: name.clone(), key, created, state: ShardState::Next });
        self.publish(manifest).await?;
        Ok(name)
    }

    /// Brings instance, trusted root and signing config to what a new manifest says.
    async fn publish(&mut self, manifest: Manifest) -> Result<(), StartError> {
        match &self.reach {
            Reach::Running { service_url } => self.ask_to_publish(&manifest, service_url).await?,
            Reach::Stopped { .. } => {
                // A crash between the two is repaired by the next start, which publishes what the manifest says.
                let service_url = published_address(&self.layout)?;
                publish_changes(&self.layout, &manifest, &service_url, &self.passphrase, self.deps.now()).await?;
                manifest.store(&self.layout)?;
            }
        }
        self.manifest = manifest;
        Ok(())
    }

    async fn ask_to_publish(&self, manifest: &Manifest, service_url: &str) -> Result<(), StartError> {
        let repository = Repository::open(&self.layout.tuf()).map_err(StartError::role("tuf"))?;
        let published = repository.target(trust::TRUSTED_ROOT).map_err(StartError::role("tuf"))?;
        let new_keys = keys_unknown_to(&published, &self.layout, manifest, &self.passphrase).await?;
        let trusted_root = trust::with_logs(&published, manifest, &new_keys)?;
        let targets = trust::targets(trusted_root, &trust::signing_config(manifest, service_url));
        let targets_key = open::key(&self.layout.key(KeyFile::OfflineTufTargets), &self.passphrase).await?;
        let prepared = repository.prepare(targets_key.as_ref(), targets, self.deps.now()).await;
        let prepared = prepared.map_err(StartError::role("tuf"))?;
        drop(targets_key);
        let change = Change::new(&self.manifest, manifest, &prepared, &self.passphrase);
        admin::ask(&self.layout.admin_socket(), &AdminRequest::Apply(change)).await?;
        Ok(())
    }
}

/// Where clients are sent while nobody runs: where they were sent last.
fn published_address(layout: &Layout) -> Result<String, StartError> {
    let repository = Repository::open(&layout.tuf()).map_err(StartError::role("tuf"))?;
    let bytes = repository.target(trust::SIGNING_CONFIG).map_err(StartError::role("tuf"))?;
    let config = SigningConfig::from_json(&bytes).map_err(StartError::role("signing config"))?;
    Ok(config.lists().ca.first().map(|service| service.url().to_owned()).unwrap_or_default())
}

/// Whether a log has ended already; if not, whether it may.
pub(super) fn is_ended_by(manifest: &Manifest, name: &str, demand: Demand) -> Result<bool, StartError> {
    match manifest.shard(name).map(|shard| &shard.state) {
        None => Err(ended(manifest, name)),
        Some(ShardState::Frozen { .. }) => Ok(true),
        Some(ShardState::Active { .. }) if demand == Demand::NotIfActive => Err(StartError::LogChange {
            problem: format!(
                "{name} is the log that new entries go to: `touchmark log rotate` gives it a successor and freezes it in time"
            ),
        }),
        Some(_) => Ok(false),
    }
}

/// No log of that name is open.
pub(super) fn ended(manifest: &Manifest, name: &str) -> StartError {
    let known = manifest.logs.iter().map(|shard| shard.name.clone()).collect();
    StartError::LogUnknown { name: name.to_owned(), known }
}

/// Writes the end of a log into the manifest.
pub(super) fn record_end(manifest: &mut Manifest, name: &str, frozen: &Frozen) {
    let Some(shard) = manifest.shard_mut(name) else { return };
    // The next whole second: the last entry is not after it.
    let at = i64::try_from(frozen.at_ms.div_ceil(1000)).ok().and_then(|second| Timestamp::from_second(second).ok());
    let at = at.unwrap_or(shard.created);
    shard.state = ShardState::Frozen {
        since: shard.state.service().map(|(since, _)| since),
        until: shard.state.until().unwrap_or(at),
        size: frozen.checkpoint.size.0,
        root: frozen.checkpoint.root.to_string(),
    };
}

/// Ends a log that no process has open.
async fn freeze_at_rest(
    layout: &Layout,
    manifest: &mut Manifest,
    name: &str,
    passphrase: &Passphrase,
    deps: &Deps,
) -> Result<(), StartError> {
    let shard = manifest.shard(name).ok_or_else(|| ended(manifest, name))?;
    let opened = open::log(&log_place(layout, shard, None), shard.kind, passphrase, Arc::clone(&deps.clock)).await?;
    let frozen = opened.log.freeze().await;
    opened.log.shutdown().await;
    record_end(manifest, name, &frozen.map_err(StartError::role(format!("log {name}")))?);
    manifest.store(layout)
}

/// Ends the retired logs whose time came while nobody ran, before anybody can write to them.
pub(super) async fn freeze_ended(
    layout: &Layout,
    mut manifest: Manifest,
    passphrase: &Passphrase,
    deps: &Deps,
) -> Result<Manifest, StartError> {
    for name in admin::due(&manifest, deps.now()) {
        if manifest.shard(&name).is_some_and(|shard| is_lost(layout, shard)) {
            continue;
        }
        freeze_at_rest(layout, &mut manifest, &name, passphrase, deps).await?;
    }
    Ok(manifest)
}
