// SPDX-License-Identifier: Apache-2.0
//! Several instances side by side in one directory of trust: their names, which one is the default, adding, choosing and removing.
//!
//! ```text
//! DIR/instance.json          version 2: the name of the default; version 1, of older programs: the one instance
//! DIR/<name>/instance.json   where the instance's mirror is and when it was last asked
//! DIR/<name>/…               what is known of it: see `cache`
//! ```
//!
//! Invariants: what is known of an instance belongs to its name and to one line of roots; no two names share a file, also not those of
//! one mirror, so nobody who can sign for the one can say anything about the other. A name never passes to another line of roots (`line`).
//! Removing a name keeps what is known, so that it cannot be rolled back by removing and adding. An unknown name is an error and never
//! another instance.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use touchmark_keys::sha256;
use touchmark_outbound::Outbound;
use url::Url;

use super::cache::{Cache, VersionedRoot};
use super::line::find_root;
use super::lock::{self, JOIN_WAIT_MAX, Sharing};
use super::walk::Source;
use super::{INSTANCE_FILE, Instance, TrustError, TrustStore, VerifiedRepository, read, write};

/// A name is a directory's name, and file systems have this limit.
const NAME_BYTES_MAX: usize = 255;
/// Directories that are looked at when instances are listed; nobody trusts a tenth as many.
pub(super) const INSTANCES_MAX: usize = 256;
/// The built-in instance, where it is chosen by name.
const BUILT_IN_NAME: &str = "public-good";
/// The version of `DIR/instance.json` that names the default.
const DEFAULT_VERSION: u32 = 2;

/// The name of an instance: lower-case letters, digits, `.`, `_` and `-`, not beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceName(String);

/// An instance that is known by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownInstance {
    pub name: InstanceName,
    pub mirror: Url,
    /// When its mirror was last asked; `None` if it never was, because it came in a file.
    pub refreshed_at: Option<Timestamp>,
    pub is_default: bool,
}

/// What becomes of the memory of an instance that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Roots and versions stay, and count when the name is added again.
    Kept,
    /// Everything is deleted: afterwards, older metadata than were seen are accepted under this name.
    ForgottenUnsafe,
}

/// Whether an instance that is added becomes the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsDefault {
    /// Where nothing is.
    IfNone,
    Always,
}

/// What was there of an instance before it was added.
pub(super) struct Before {
    pub(super) instance: Option<Instance>,
    is_pinned: bool,
    has_metadata: bool,
}

/// The root that a user names when an instance is added.
#[derive(Debug, Clone)]
pub enum NamedRoot {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// Its SHA-256; it is looked for in the repository.
    Sha256([u8; 32]),
}

/// Which instance is meant.
pub(super) enum Resolved {
    Instance(InstanceName, Instance),
    BuiltIn(Choice),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Somebody named it.
    ByName,
    /// Nothing was ever initialised.
    ForWantOfAnother,
}

/// What `DIR/instance.json` says.
enum Default {
    Nothing,
    Legacy(InstanceName, Instance),
    Name(InstanceName),
}

/// `DIR/instance.json` of version 2.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultFile {
    version: u32,
    default: Option<String>,
}

impl InstanceName {
    /// # Errors
    /// If the text is empty, too long, begins with a dot, ends as the files of the directory do, or has other characters.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        // The directory has files of its own beside those of the instances.
        let is_file = [".json", ".lock"].iter().any(|ending| text.ends_with(ending));
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.starts_with('.') || is_file || !text.chars().all(fits)
        {
            return Err(TrustError::InstanceNameUnusable { text: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of an instance that got none: a readable part, and a hash so that no two mirrors share one.
    pub(super) fn of_mirror(mirror: &Url) -> Self {
        let readable: String = mirror
            .host_str()
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        let hash = sha256(mirror.as_str().as_bytes());
        Self(format!("{readable}-{}", hex::encode(hash.first_chunk::<8>().expect("32 bytes"))))
    }

    /// The same mirror with another line of roots.
    pub(super) fn numbered(&self, number: usize) -> Self {
        if number == 1 { self.clone() } else { Self(format!("{}-{number}", self.0)) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_built_in(&self) -> bool {
        self.0 == BUILT_IN_NAME
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TrustStore {
    /// The same directory, with this instance in place of the default.
    #[must_use]
    pub fn within(self, name: InstanceName) -> Self {
        Self { chosen: Some(name), ..self }
    }

    /// The name that [`TrustStore::within`] set.
    #[must_use]
    pub fn chosen(&self) -> Option<&InstanceName> {
        self.chosen.as_ref()
    }

    /// Pins `root` for `mirror`, walks the repository, and remembers it under its name, which is made of the mirror's if none was set.
    /// What is known under the name stays, if `root` is of the same line.
    ///
    /// # Errors
    /// If the walk fails, if no root of the repository has the hash, if the name belongs to another line of roots, or if not all of it can be
    /// written. Then the default is what it was, and what was not known before is not known.
    pub async fn add(
        &self,
        mirror: &Url,
        root: &NamedRoot,
        as_default: AsDefault,
        outbound: &Outbound,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        if !matches!(mirror.scheme(), "http" | "https") {
            return Err(TrustError::MirrorUnusable { url: mirror.to_string() });
        }
        let source = Source::Mirror(outbound);
        let root = match root {
            NamedRoot::Bytes(bytes) => bytes.clone(),
            NamedRoot::Sha256(hash) => find_root(&self.mirror(outbound, mirror)?, *hash, mirror).await?,
        };
        self.join(mirror, &root, as_default, source, now).await
    }

    /// Pins `root` for `mirror` and asks nobody: the instance is known, and nothing of it is trusted before a walk. It becomes the default
    /// where nothing is.
    ///
    /// # Errors
    /// If the file is no root, or if the name belongs to another one.
    pub async fn pin(&self, mirror: &Url, root: &[u8]) -> Result<(), TrustError> {
        let root = VersionedRoot::parse(root)?;
        let name = self.name_of(mirror);
        let cache = self.cache(&name);
        let _held = cache.lock(JOIN_WAIT_MAX).await?.expect_held(&self.dir.join(name.as_str()), JOIN_WAIT_MAX)?;
        if let Some(pinned) = read_if_there(&cache.pinned_path())?.filter(|pinned| pinned != root.bytes) {
            return Err(TrustError::OtherRoot { name, pinned: sha256(&pinned), given: sha256(root.bytes) });
        }
        cache.pin(root.bytes)?;
        if self.read_instance(&name)?.is_none() {
            let (mirror, refreshed_at) = (mirror.clone(), Timestamp::UNIX_EPOCH);
            self.remember(&name, &Instance { mirror, refreshed_at })?;
        }
        self.make_default(&name, AsDefault::IfNone)
    }

    /// Where the verified metadata of an instance lie that got its name of `mirror`, or the one that was set: `<role>.json`, as they were received.
    #[must_use]
    pub fn metadata_dir(&self, mirror: &Url) -> PathBuf {
        self.dir.join(self.name_of(mirror).as_str()).join("metadata")
    }

    fn name_of(&self, mirror: &Url) -> InstanceName {
        self.chosen.clone().unwrap_or_else(|| InstanceName::of_mirror(mirror))
    }

    /// Every instance that can be named, in the order of their names.
    pub fn instances(&self) -> Result<Vec<KnownInstance>, TrustError> {
        let default = self.default_instance()?;
        let mut known = Vec::new();
        for name in self.names()? {
            let Some(instance) = self.read_instance(&name)? else { continue };
            let is_default = match &default {
                Default::Name(chosen) | Default::Legacy(chosen, _) => *chosen == name,
                Default::Nothing => false,
            };
            let refreshed_at = (instance.refreshed_at != Timestamp::UNIX_EPOCH).then_some(instance.refreshed_at);
            known.push(KnownInstance { name, mirror: instance.mirror, refreshed_at, is_default });
        }
        Ok(known)
    }

    /// Makes `name` the default; `public-good` is the built-in instance.
    pub fn choose(&self, name: &InstanceName) -> Result<(), TrustError> {
        if !name.is_built_in() {
            self.expect_known(name)?;
        }
        let _held = self.lock_default()?;
        self.migrate()?;
        self.write_default(Some(name))
    }

    /// Forgets where an instance is, and its memory only where that is said.
    pub async fn remove(&self, name: &InstanceName, memory: Memory) -> Result<(), TrustError> {
        let cache = self.cache(name);
        let _refreshing = cache.lock(JOIN_WAIT_MAX).await?.expect_held(&self.dir.join(name.as_str()), JOIN_WAIT_MAX)?;
        let _held = self.lock_default()?;
        self.migrate()?;
        let path = self.instance_path(name);
        // What was removed before may still be forgotten.
        if !(memory == Memory::ForgottenUnsafe && cache.pinned_path().exists()) {
            self.expect_known(name)?;
        }
        if matches!(self.default_instance()?, Default::Name(default) if default == *name) {
            self.write_default(None)?;
        }
        remove_if_there(&path)?;
        match memory {
            Memory::Kept => Ok(()),
            Memory::ForgottenUnsafe => cache.forget_unsafe(),
        }
    }

    /// The instance that was set, or else the default, or else the built-in one.
    pub(super) fn resolve(&self) -> Result<Resolved, TrustError> {
        let named = |name: InstanceName| match self.read_instance(&name)? {
            Some(instance) => Ok(Resolved::Instance(name, instance)),
            None if name.is_built_in() => Ok(Resolved::BuiltIn(Choice::ByName)),
            None => Err(TrustError::InstanceUnknown { name, known: self.known_names()? }),
        };
        if let Some(name) = &self.chosen {
            return named(name.clone());
        }
        match self.default_instance()? {
            Default::Legacy(name, instance) => Ok(Resolved::Instance(name, instance)),
            Default::Name(name) => named(name),
            Default::Nothing => match self.known_names()? {
                known if known.is_empty() => Ok(Resolved::BuiltIn(Choice::ForWantOfAnother)),
                known => Err(TrustError::NoneChosen { known }),
            },
        }
    }

    /// The instance of this name, as its file says.
    pub(super) fn read_instance(&self, name: &InstanceName) -> Result<Option<Instance>, TrustError> {
        let path = self.instance_path(name);
        if let Some(bytes) = read_if_there(&path)? {
            return Instance::parse(&bytes).map(Some).ok_or(TrustError::InstanceUnreadable { path });
        }
        Ok(match self.default_instance()? {
            Default::Legacy(legacy, instance) if legacy == *name => Some(instance),
            _ => None,
        })
    }

    /// Called by who holds the instance's lock.
    pub(super) fn remember(&self, name: &InstanceName, instance: &Instance) -> Result<(), TrustError> {
        instance.write(&self.instance_path(name))?;
        if matches!(self.default_instance(), Ok(Default::Legacy(..))) {
            let _held = self.lock_default()?;
            self.migrate()?;
        }
        Ok(())
    }

    /// Called by who holds the instance's lock.
    pub(super) fn make_default(&self, name: &InstanceName, as_default: AsDefault) -> Result<(), TrustError> {
        let _held = self.lock_default()?;
        self.migrate()?;
        match (as_default, self.default_instance()?) {
            (AsDefault::Always, _) | (AsDefault::IfNone, Default::Nothing) => self.write_default(Some(name)),
            (AsDefault::IfNone, _) => Ok(()),
        }
    }

    /// What is there before an instance is added, if one more may be. Called by who holds its lock.
    pub(super) fn before(&self, name: &InstanceName) -> Result<Before, TrustError> {
        let instance = self.read_instance(name)?;
        if instance.is_none() && self.names()?.len() >= INSTANCES_MAX {
            return Err(TrustError::TooManyInstances { count_max: INSTANCES_MAX });
        }
        let cache = self.cache(name);
        let (is_pinned, has_metadata) = (cache.pinned_path().exists(), cache.has_metadata());
        Ok(Before { instance, is_pinned, has_metadata })
    }

    /// After an instance could not be added. What was seen of one that was known stays, and so do empty files of locks. A crash before this
    /// leaves an instance that was verified, and is perhaps not the default: adding it again does the rest.
    pub(super) fn put_back(&self, name: &InstanceName, before: Before) {
        let (path, cache) = (self.instance_path(name), self.cache(name));
        let file = match before.instance {
            Some(instance) => instance.write(&path),
            None => remove_if_there(&path),
        };
        let memory = match (before.is_pinned, before.has_metadata) {
            (true, _) => Ok(()),
            (false, true) => remove_if_there(&cache.pinned_path()),
            // Nothing was ever seen of it, but for what just failed.
            (false, false) => cache.forget_unsafe(),
        };
        for error in [file, memory].into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "what could not be added is not put away");
        }
    }

    pub(super) fn cache(&self, name: &InstanceName) -> Cache {
        Cache::at(self.dir.join(name.as_str()))
    }

    fn expect_known(&self, name: &InstanceName) -> Result<Instance, TrustError> {
        match self.read_instance(name)? {
            Some(instance) => Ok(instance),
            None => Err(TrustError::InstanceUnknown { name: name.clone(), known: self.known_names()? }),
        }
    }

    fn known_names(&self) -> Result<Vec<InstanceName>, TrustError> {
        Ok(self.instances()?.into_iter().map(|instance| instance.name).collect())
    }

    /// Directories that may be those of instances, and the one that only `DIR/instance.json` names.
    fn names(&self) -> Result<Vec<InstanceName>, TrustError> {
        let mut names = Vec::new();
        match std::fs::read_dir(&self.dir) {
            Ok(entries) => {
                let found = entries.flatten().filter(|entry| entry.path().join(INSTANCE_FILE).exists());
                names.extend(found.filter_map(|entry| InstanceName::parse(entry.file_name().to_str()?).ok()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(TrustError::File { path: self.dir.clone(), doing: "read", source }),
        }
        if let Default::Legacy(name, _) = self.default_instance()? {
            names.push(name);
        }
        names.sort();
        names.dedup();
        if names.len() > INSTANCES_MAX {
            return Err(TrustError::TooManyInstances { count_max: INSTANCES_MAX });
        }
        Ok(names)
    }

    fn default_instance(&self) -> Result<Default, TrustError> {
        let path = self.dir.join(INSTANCE_FILE);
        let Some(bytes) = read_if_there(&path)? else { return Ok(Default::Nothing) };
        if let Some(instance) = Instance::parse(&bytes) {
            return Ok(Default::Legacy(InstanceName::of_mirror(&instance.mirror), instance));
        }
        let file: Option<DefaultFile> = serde_json::from_slice(&bytes).ok();
        match file.filter(|file| file.version == DEFAULT_VERSION) {
            None => Err(TrustError::InstanceUnreadable { path }),
            Some(DefaultFile { default: None, .. }) => Ok(Default::Nothing),
            Some(DefaultFile { default: Some(name), .. }) => match InstanceName::parse(&name) {
                Ok(name) => Ok(Default::Name(name)),
                Err(_) => Err(TrustError::InstanceUnreadable { path }),
            },
        }
    }

    /// Gives what an older program left the form of today. Called by who holds the lock of the default.
    fn migrate(&self) -> Result<(), TrustError> {
        if let Default::Legacy(name, instance) = self.default_instance()? {
            let path = self.instance_path(&name);
            if !path.exists() {
                instance.write(&path)?;
            }
            self.write_default(Some(&name))?;
        }
        Ok(())
    }

    fn write_default(&self, name: Option<&InstanceName>) -> Result<(), TrustError> {
        let file = DefaultFile { version: DEFAULT_VERSION, default: name.map(|name| name.0.clone()) };
        let json = serde_json::to_vec_pretty(&file).expect("a name encodes");
        write(&self.dir.join(INSTANCE_FILE), &json)
    }

    fn lock_default(&self) -> Result<Option<lock::Held>, TrustError> {
        lock::briefly(&self.dir.join("instances.lock"), Sharing::Alone)
    }

    fn instance_path(&self, name: &InstanceName) -> PathBuf {
        self.dir.join(name.as_str()).join(INSTANCE_FILE)
    }
}

fn remove_if_there(path: &Path) -> Result<(), TrustError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(TrustError::File { path: path.to_owned(), doing: "removed", source })
        }
        _ => Ok(()),
    }
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TrustError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
