// SPDX-License-Identifier: Apache-2.0
//! `instance.toml`: what was decided at the first start and holds for good, the issuer's address, and the logs with where each is in its
//! life.
//!
//! In scope: reading and writing it, reading the schema before this one, the order of a log's states. Out of scope: acting on it.
//! Invariants: it is there only when everything else of the directory is; of each kind at most one log is active; a log's state never
//! goes back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::StartError;
use super::layout::{KeyFile, Layout};
use super::open::LogKind;
use crate::durable::{self, Access};

/// The schema of this version.
const SCHEMA: u32 = 2;

const HEADER: &str = "# Made by `touchmark up`. The names of the logs are part of their identity: do not edit.\n";

/// Logs of a data directory; a log a week for ten years is fewer.
pub(super) const LOGS_MAX: usize = 1024;

/// The manifest of a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    schema: u32,
    /// Eight hex digits that make the names of this instance its own.
    pub(super) instance: String,
    pub(super) created: Timestamp,
    /// Whether the key files are encrypted with a passphrase.
    pub(super) encrypted: bool,
    /// The issuer that certificates name. It keeps its port whatever the services listen on.
    pub(super) oidc_issuer: Url,
    /// Every log that ever was, the oldest first.
    #[serde(rename = "log")]
    pub(super) logs: Vec<Shard>,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shard {
    pub(super) kind: LogKind,
    /// The origin of its checkpoints.
    pub(super) name: String,
    /// Its private key, relative to the directory.
    pub(super) key: String,
    /// From when on verifiers trust its key.
    pub(super) created: Timestamp,
    pub(super) state: ShardState,
}

/// Where a log is in its life. The states follow one another in this order; some may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum ShardState {
    /// Verifiers know its key; no client is sent to it.
    Next,
    /// Clients are sent to it.
    Active { since: Timestamp },
    /// Another log is active. Who still comes is served until this one is frozen at `until`.
    Retired { since: Timestamp, until: Timestamp },
    /// It has ended with a tree of this size and root.
    Frozen { since: Option<Timestamp>, until: Timestamp, size: u64, root: String },
}

impl ShardState {
    /// From when and until when clients are sent to the log; `None` if they never were.
    pub(super) fn service(&self) -> Option<(Timestamp, Option<Timestamp>)> {
        match self {
            ShardState::Next => None,
            ShardState::Active { since } => Some((*since, None)),
            ShardState::Retired { since, until } => Some((*since, Some(*until))),
            ShardState::Frozen { since, until, .. } => Some(((*since)?, Some(*until))),
        }
    }

    /// When the log ends or has ended, if that is known.
    pub(super) fn until(&self) -> Option<Timestamp> {
        match self {
            ShardState::Next | ShardState::Active { .. } => None,
            ShardState::Retired { until, .. } | ShardState::Frozen { until, .. } => Some(*until),
        }
    }

    pub(super) fn is_frozen(&self) -> bool {
        matches!(self, ShardState::Frozen { .. })
    }

    /// Whether a log may be in `self` after it was in `before`.
    fn may_follow(&self, before: &ShardState) -> bool {
        let rank = |state: &ShardState| match state {
            ShardState::Next => 0,
            ShardState::Active { .. } => 1,
            ShardState::Retired { .. } => 2,
            ShardState::Frozen { .. } => 3,
        };
        self == before || rank(self) > rank(before)
    }
}

impl Manifest {
    /// A new instance with a name of its own and a log of each kind.
    pub(super) fn new(created: Timestamp, oidc_issuer: Url, encrypted: bool) -> Self {
        let mut random = [0u8; 4];
        touchmark_keys::random(&mut random);
        let instance = hex::encode(random);
        let mut manifest = Manifest { schema: SCHEMA, instance, created, encrypted, oidc_issuer, logs: Vec::new() };
        for (kind, key) in [(LogKind::Rekor, KeyFile::Rekor), (LogKind::Ct, KeyFile::Ct)] {
            let name = manifest.next_name(kind, created);
            manifest.logs.push(first_shard(kind, name, key, created));
        }
        manifest
    }

    /// The name that this instance has in its trust root: the operator of its services.
    pub(super) fn domain(&self) -> String {
        domain(&self.instance)
    }

    /// The name of the next log of a kind, by the year in which it is made.
    pub(super) fn next_name(&self, kind: LogKind, now: Timestamp) -> String {
        let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
        let prefix = format!("{}{year}-", kind.in_names());
        let number = |shard: &Shard| {
            let (label, _) = shard.name.split_once('.')?;
            label.strip_prefix(&prefix)?.parse::<u32>().ok()
        };
        let last = self.logs.iter().filter_map(number).max().unwrap_or(0);
        format!("{prefix}{}.{}", last + 1, self.domain())
    }

    /// The logs of a kind, the oldest first.
    pub(super) fn of_kind(&self, kind: LogKind) -> impl DoubleEndedIterator<Item = &Shard> {
        self.logs.iter().filter(move |shard| shard.kind == kind)
    }

    pub(super) fn shard(&self, name: &str) -> Option<&Shard> {
        self.logs.iter().find(|shard| shard.name == name)
    }

    pub(super) fn shard_mut(&mut self, name: &str) -> Option<&mut Shard> {
        self.logs.iter_mut().find(|shard| shard.name == name)
    }

    /// The log of a kind that answers at the bare paths: the active one, or when that was frozen without a successor the last one that
    /// clients were sent to.
    pub(super) fn current(&self, kind: LogKind) -> Option<&Shard> {
        let active = self.of_kind(kind).find(|shard| matches!(shard.state, ShardState::Active { .. }));
        active.or_else(|| self.of_kind(kind).max_by_key(|shard| shard.state.service()))
    }

    /// The log of a kind that was announced and awaits its turn.
    pub(super) fn next(&self, kind: LogKind) -> Option<&Shard> {
        self.of_kind(kind).find(|shard| shard.state == ShardState::Next)
    }

    /// Whether this manifest may take the place of `before`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check_follows(&self, before: &Manifest) -> Result<(), &'static str> {
        let same = |manifest: &Manifest| Manifest { logs: Vec::new(), ..manifest.clone() };
        if same(self) != same(before) {
            return Err("it changes more than the logs");
        }
        if self.logs.len() < before.logs.len() || self.logs.len() > LOGS_MAX {
            return Err("it drops a log, or has too many");
        }
        for (shard, old) in self.logs.iter().zip(&before.logs) {
            let place = |shard: &Shard| (shard.kind, shard.name.clone(), shard.key.clone(), shard.created);
            if shard.state.is_frozen() && !old.state.is_frozen() {
                return Err("a log ends by being frozen, not by being called so");
            }
            if place(shard) != place(old) || !shard.state.may_follow(&old.state) {
                return Err("a log is another one, or its state goes back");
            }
        }
        for kind in [LogKind::Rekor, LogKind::Ct] {
            let active = self.of_kind(kind).filter(|shard| matches!(shard.state, ShardState::Active { .. }));
            if active.count() > 1 {
                return Err("two logs of a kind are active");
            }
        }
        let is_plain = |shard: &Shard| {
            let label = shard.name.strip_suffix(&format!(".{}", self.domain())).unwrap_or_default();
            let plain = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            plain && !label.is_empty() && (shard.key == key_path(&shard.name) || before.shard(&shard.name).is_some())
        };
        let unique = self.logs.iter().map(|shard| &shard.name).collect::<std::collections::BTreeSet<_>>();
        if unique.len() != self.logs.len() || !self.logs.iter().all(is_plain) {
            return Err("the name of a log is taken, or not one of this instance");
        }
        Ok(())
    }

    /// Reads the manifest; `None` if there is none. One of an earlier schema is read as this one; the next [`Manifest::store`] rewrites it.
    pub(super) fn load(layout: &Layout) -> Result<Option<Self>, StartError> {
        let path = layout.manifest();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = durable::read(&path)?;
        let text = String::from_utf8_lossy(&bytes);
        Self::parse(&text, layout).map(Some)
    }

    /// Reads the text of a manifest.
    pub(super) fn parse(text: &str, layout: &Layout) -> Result<Self, StartError> {
        let schema: Schema = toml::from_str(text).map_err(|error| malformed(layout, &error))?;
        match schema.schema {
            1 => toml::from_str::<ManifestV1>(text).map(Manifest::from).map_err(|error| malformed(layout, &error)),
            SCHEMA => toml::from_str(text).map_err(|error| malformed(layout, &error)),
            found => Err(StartError::Schema { path: layout.manifest(), found, known: SCHEMA }),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let text = toml::to_string(self).expect("a manifest of plain values is always TOML");
        format!("{HEADER}{text}")
    }

    /// Effect: the file, replaced as a whole, if it says something else. A crash before it leaves the old one.
    pub(super) fn store(&self, layout: &Layout) -> Result<(), StartError> {
        let (path, text) = (layout.manifest(), self.to_text());
        if path.exists() && durable::read(&path)? == text.as_bytes() {
            return Ok(());
        }
        Ok(durable::write(&path, text.as_bytes(), Access::Owner)?)
    }
}

/// Where the key of a log lies that is not one of the first two.
pub(super) fn key_path(name: &str) -> String {
    let label = name.split_once('.').map_or(name, |(label, _)| label);
    format!("keys/{label}.pem")
}

fn first_shard(kind: LogKind, name: String, key: KeyFile, created: Timestamp) -> Shard {
    Shard { kind, name, key: key.path().to_owned(), created, state: ShardState::Active { since: created } }
}

/// The one key that every schema has.
#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

/// Schema 1: one log of each kind, for good.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestV1 {
    #[serde(rename = "schema")]
    _schema: u32,
    instance: String,
    created: Timestamp,
    encrypted: bool,
    rekor_log: String,
    ct_log: String,
    oidc_issuer: Url,
}

impl From<ManifestV1> for Manifest {
    fn from(old: ManifestV1) -> Self {
        let ManifestV1 { _schema: _, instance, created, encrypted, rekor_log, ct_log, oidc_issuer } = old;
        let logs = vec![
            first_shard(LogKind::Rekor, rekor_log, KeyFile::Rekor, created),
            first_shard(LogKind::Ct, ct_log, KeyFile::Ct, created),
        ];
        Manifest { schema: SCHEMA, instance, created, encrypted, oidc_issuer, logs }
    }
}

fn domain(instance: &str) -> String {
    format!("{instance}.touchmark.localhost")
}

fn malformed(layout: &Layout, error: &toml::de::Error) -> StartError {
    StartError::Manifest { path: layout.manifest(), problem: error.to_string().trim_end().to_owned() }
}

#[cfg(test)]
mod tests;
