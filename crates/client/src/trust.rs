// SPDX-License-Identifier: Apache-2.0
//! The trust root of a client: a TUF repository, initialised once from a pinned root file; for verifying without one, the
//! public-good instance, whose root the program carries (`built_in`).
//!
//! The walk itself (TUF specification 1.0.34, section 5) is crate `sigstore-tuf`: root chain, thresholds, rollback
//! floors, expiry, lengths and hashes. Here are its transport over `touchmark_outbound`, the directory it keeps its memory in,
//! and which targets a Sigstore client takes from it.
//!
//! ```text
//! DIR/instance.json               which instance is the default (`instances`)
//! DIR/built-in.json               when the mirror of the built-in instance was last asked
//! DIR/<name>/instance.json        where an instance's mirror is, and when it was last asked
//! DIR/<name>/pinned.root.json     the root that the user named; nothing else is trusted without a chain from it
//! DIR/<name>/metadata/…           verified metadata and targets; verified again on every read (`cache`)
//! ```
//!
//! Invariants: bytes in the directory are never believed, also offline: the whole walk is run again over them. A repeated
//! `initialize` keeps the rollback memory of its instance. A mirror that cannot be reached leads to the cached metadata, and to
//! a warning, until they expire; anything that does not verify is an error. Where an instance was ever initialised, the built-in
//! one is never used in its place, unless somebody chooses it by name.

mod built_in;
mod cache;
mod documents;
mod export;
mod floor;
mod for_clients;
mod fresh;
mod instances;
mod line;
mod lock;
mod mirror;
mod one_vote;
mod public;
mod target_name;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_tuf::{Error as TufError, Repository, Updater};
use touchmark_keys::{HashAlgorithm, digest};
use touchmark_outbound::Outbound;
use touchmark_sigstore::trust::{SigningConfig, TrustedRoot};
use url::Url;

pub use built_in::{BuiltIn, Origin, TrustedRootOf, public_good_root, public_good_root_json};
pub use documents::{read_signing_config, read_trusted_root};
pub use export::{EXPORT_BYTES_MAX, ExportError, TrustExport};
pub use for_clients::{ClientFiles, SigningFiles};
pub use fresh::{Current, FreshRoot, FreshTrust};
pub use instances::{AsDefault, InstanceName, KnownInstance, Memory, NamedRoot};
pub use line::Unseen;
pub use mirror::Patience;
pub use one_vote::KeyTwice;
pub use public::PublicInstance;
pub use target_name::UnsafeName;

use cache::Staged;
use documents::{SIGNING_CONFIG_TARGET, TRUSTED_ROOT_TARGET, parse_signing_config, parse_trusted_root};
use floor::Floor;
use instances::{Choice, Resolved};
use one_vote::OneVote;
use target_name::TargetName;

/// Room for most trusted roots and bundles: they are read in one call.
const READ_AT_FIRST_BYTES: usize = 16 * 1024;
/// A repository's root file is some kilobytes; python-tuf's limit.
pub const ROOT_BYTES_MAX: u64 = 512_000;

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("no trust root is initialised in {}", dir.display())]
    NotInitialised { dir: PathBuf },
    /// Something was initialised here once; guessing what would be trusting something else.
    #[error("{} holds the trust of an instance, but no instance file that names it", dir.display())]
    InstanceForgotten { dir: PathBuf },
    #[error("{} could not be {doing}", path.display())]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("{} is not an instance file of this version", path.display())]
    InstanceUnreadable { path: PathBuf },
    #[error("{text:?} is not a checksum: expected 64 hex digits of SHA-256, or sha512: and 128")]
    ChecksumUnreadable { text: String },
    #[error("the root file has checksum {found}; expected {expected}")]
    ChecksumMismatch { expected: String, found: String },
    #[error("{url} is not an http or https address of a TUF repository")]
    MirrorUnusable { url: String },
    #[error("the TUF repository at {mirror} could not be read")]
    MirrorUnreachable { mirror: Url, source: Box<TufError> },
    /// Without the network there is no more than what was fetched before.
    #[error("what is cached of {mirror} is not whole")]
    CacheIncomplete { mirror: Url, source: Box<TufError> },
    #[error("the TUF metadata {role:?} expired at {at}")]
    Expired { role: String, at: Timestamp },
    #[error("the TUF repository does not verify")]
    Tuf { source: Box<TufError> },
    #[error("the TUF repository has no target {name:?}")]
    TargetMissing { name: String },
    /// Its signatures and its hash are good; what was fetched before it is kept.
    #[error("the TUF repository publishes a {name} that cannot be used")]
    TargetUnusable { name: String, source: touchmark_sigstore::trust::TrustError },
    #[error("no target is asked for by such a name")]
    TargetName(#[from] UnsafeName),
    #[error("the TUF repository counts a key twice")]
    KeyTwice(#[from] KeyTwice),
    #[error(
        "{text:?} is not a name of an instance: lower-case letters, digits, '.', '_' and '-', not beginning with a dot nor ending in .json or .lock, and not that of the built-in one"
    )]
    InstanceNameUnusable { text: String },
    #[error("there is no instance {name}; there {}", listed(known))]
    InstanceUnknown { name: InstanceName, known: Vec<InstanceName> },
    #[error("no instance is chosen; there {}", listed(known))]
    NoneChosen { known: Vec<InstanceName> },
    #[error("the built-in instance serves to verify alone")]
    VerifiesOnly,
    #[error("what the program carries does not expire: it serves a single verification, and no process that runs long")]
    VerifiesOnce,
    #[error("the directory has more than {count_max} instances")]
    TooManyInstances { count_max: usize },
    /// The name belongs to another line of roots.
    #[error(
        "instance {name} is pinned to the root sha256:{}; the root sha256:{} does not lead to it, nor it to that",
        hex::encode(pinned),
        hex::encode(given)
    )]
    OtherRoot { name: InstanceName, pinned: [u8; 32], given: [u8; 32] },
    /// Neither that it is nor that it is not: guessing the second would forget what was seen.
    #[error(
        "whether root {given} is of instance {name}, of which roots up to {newest} are known, cannot be told: root {version} of its mirror {why}"
    )]
    LineUnknown { name: InstanceName, given: u64, newest: u64, version: u64, why: Unseen },
    /// Its holders have signed two.
    #[error(
        "root {version} of instance {name} is another one than was given, and both are signed by the holders of the one before"
    )]
    LineForked { name: InstanceName, version: u64 },
    #[error("of the repository's roots, up to version {last}, none has the hash sha256:{}", hex::encode(sha256))]
    RootNotFound { sha256: [u8; 32], last: u32 },
    #[error("nothing is known of instance {name} from which its export could be verified")]
    RootNeeded { name: InstanceName },
    #[error("a file of the export is missing or too large")]
    ExportIncomplete { source: Box<TufError> },
    #[error("{} is in use: another process has been refreshing or initialising for {} seconds", path.display(), waited.as_secs())]
    Busy { path: PathBuf, waited: Duration },
    #[error("{what} cannot be used")]
    Unusable { what: String, source: touchmark_sigstore::trust::TrustError },
}

/// Where trust comes from on this call.
#[derive(Clone, Copy)]
pub enum Freshness<'a> {
    /// Ask the mirror; fall back to the verified cache when it cannot be reached.
    Refresh(&'a Outbound),
    /// The verified cache if the mirror was asked within `max_age`, else as [`Freshness::Refresh`].
    CachedWithin { max_age: Duration, outbound: &'a Outbound },
    /// The verified cache and no network at all.
    Offline,
}

/// The directory of a client's trust.
#[derive(Debug, Clone)]
pub struct TrustStore {
    dir: PathBuf,
    built_in: BuiltIn,
    /// In place of the default.
    chosen: Option<InstanceName>,
    /// In place of `<mirror>/targets`.
    targets: Option<Url>,
    /// What a refresh fetches and keeps.
    kept: Vec<String>,
    patience: Patience,
}

/// A walked TUF repository: every target it gives is verified up to the pinned root.
pub struct VerifiedRepository {
    name: InstanceName,
    updater: Updater,
    now: Timestamp,
    mirror: Url,
    stale: Option<Stale>,
}

/// The mirror could not be reached and the cache was used instead.
#[derive(Debug)]
pub struct Stale {
    pub mirror: Url,
    pub cause: Box<TufError>,
}

struct Instance {
    mirror: Url,
    refreshed_at: Timestamp,
}

/// `instance.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InstanceFile {
    version: u32,
    mirror: String,
    refreshed_at: Timestamp,
}

/// The version of `instance.json`; another one is refused.
const INSTANCE_VERSION: u32 = 1;
const INSTANCE_FILE: &str = "instance.json";
const PINNED_ROOT_FILE: &str = "pinned.root.json";

impl TrustStore {
    /// Without an initialised instance, the public-good one serves for verifying.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        let kept = [TRUSTED_ROOT_TARGET, SIGNING_CONFIG_TARGET].map(str::to_owned).to_vec();
        Self {
            dir: dir.into(),
            built_in: BuiltIn::public_good(),
            chosen: None,
            targets: None,
            kept,
            patience: Patience::MAX,
        }
    }

    /// The same directory, for who cannot wait for a mirror as long as [`Patience::MAX`]; nobody waits longer.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        let (file, walk) = (patience.file.min(Patience::MAX.file), patience.walk.min(Patience::MAX.walk));
        Self { patience: Patience { file, walk }, ..self }
    }

    /// The same directory with another instance built in.
    #[must_use]
    pub fn with_built_in(self, built_in: BuiltIn) -> Self {
        Self { built_in, ..self }
    }

    /// The same directory, for a repository that keeps its targets at another address than `<mirror>/targets`. Where they come from
    /// is no matter of trust: the metadata state their hashes.
    #[must_use]
    pub fn with_targets_at(self, targets: Url) -> Self {
        Self { targets: Some(targets), ..self }
    }

    /// The same directory, with other targets than those of Sigstore that a refresh fetches and keeps.
    #[must_use]
    pub fn keeping(self, targets: Vec<String>) -> Self {
        Self { kept: targets, ..self }
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Pins `root` for `mirror`, walks the repository, and remembers it as the instance to use, as [`TrustStore::add`] does.
    /// Where that fails, the default is what it was, and what was not known before is not known.
    pub async fn initialize(
        &self,
        mirror: &Url,
        root: &[u8],
        outbound: &Outbound,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        self.add(mirror, &NamedRoot::Bytes(root.to_vec()), AsDefault::Always, outbound, now).await
    }

    /// The instance that was set or is the default, verified as `freshness` says.
    pub async fn open(&self, freshness: Freshness<'_>, now: Timestamp) -> Result<VerifiedRepository, TrustError> {
        let (name, instance) = match self.resolve()? {
            Resolved::Instance(name, instance) => (name, instance),
            Resolved::BuiltIn(Choice::ByName) => return Err(TrustError::VerifiesOnly),
            Resolved::BuiltIn(Choice::ForWantOfAnother) => {
                return Err(TrustError::NotInitialised { dir: self.dir.clone() });
            }
        };
        let root = self.cache(&name).pinned()?;
        let outbound = match freshness {
            Freshness::Offline => return self.walk_cached(&name, &instance.mirror, &root, now).await,
            Freshness::Refresh(outbound) => outbound,
            Freshness::CachedWithin { max_age, outbound } => {
                if instance.is_within(max_age, now)
                    && let Ok(cached) = self.walk_cached(&name, &instance.mirror, &root, now).await
                {
                    return Ok(cached);
                }
                outbound
            }
        };
        self.refresh(&name, &instance, &root, outbound, now).await
    }

    /// The whole client workflow over a repository. With `memory` nothing older than what that holds is accepted, and it takes up what is
    /// verified.
    async fn walk(
        &self,
        name: &InstanceName,
        mirror: &Url,
        root: &[u8],
        repository: Box<dyn Repository>,
        memory: Option<Arc<Staged>>,
        now: Timestamp,
    ) -> Result<VerifiedRepository, TrustError> {
        one_vote::expect_of_root(root)?;
        let repository = OneVote(repository);
        let failed = |source| TrustError::Tuf { source: Box::new(source) };
        let mut updater = match memory {
            Some(memory) => {
                let memory = Floor::of(OneVote(memory));
                let updater = Updater::new(memory.below(repository), root).map_err(failed)?;
                updater.with_config(walk::limits()).with_store(memory)
            }
            None => Updater::new(repository, root).map_err(failed)?.with_config(walk::limits()),
        };
        updater.refresh(now).await.map_err(|source| TrustError::from_tuf(source, mirror))?;
        Ok(VerifiedRepository { name: name.clone(), updater, now, mirror: mirror.clone(), stale: None })
    }
}

impl Instance {
    fn parse(json: &[u8]) -> Option<Self> {
        let file: InstanceFile = serde_json::from_slice(json).ok()?;
        let mirror = Url::parse(&file.mirror).ok()?;
        (file.version == INSTANCE_VERSION).then_some(Self { mirror, refreshed_at: file.refreshed_at })
    }

    fn write(&self, path: &Path) -> Result<(), TrustError> {
        let (mirror, refreshed_at) = (self.mirror.to_string(), self.refreshed_at);
        let file = InstanceFile { version: INSTANCE_VERSION, mirror, refreshed_at };
        write(path, &serde_json::to_vec_pretty(&file).expect("an instance file encodes"))
    }

    fn is_within(&self, max_age: Duration, now: Timestamp) -> bool {
        let age = now.duration_since(self.refreshed_at);
        !age.is_negative() && age.unsigned_abs() <= max_age
    }
}

impl VerifiedRepository {
    #[must_use]
    pub fn mirror(&self) -> &Url {
        &self.mirror
    }

    #[must_use]
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    #[must_use]
    pub fn root_version(&self) -> u64 {
        self.updater.trusted().root().version
    }

    /// When the first of the metadata expire: until then what this gives may be used.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        let trusted = self.updater.trusted();
        let roles = [
            trusted.timestamp().map(|timestamp| timestamp.expires),
            trusted.snapshot().map(|snapshot| snapshot.expires),
            trusted.targets_role("targets").map(|targets| targets.expires),
        ];
        roles.into_iter().flatten().fold(trusted.root().expires, Timestamp::min)
    }

    /// Set when the mirror could not be reached: the caller warns.
    #[must_use]
    pub fn stale(&self) -> Option<&Stale> {
        self.stale.as_ref()
    }

    pub async fn trusted_root(&mut self) -> Result<TrustedRoot, TrustError> {
        let bytes = self.target(TRUSTED_ROOT_TARGET).await?;
        parse_trusted_root(TRUSTED_ROOT_TARGET, &bytes)
    }

    pub async fn signing_config(&mut self) -> Result<SigningConfig, TrustError> {
        let bytes = self.target(SIGNING_CONFIG_TARGET).await?;
        parse_signing_config(SIGNING_CONFIG_TARGET, &bytes)
    }

    /// The bytes of a target, from the cache if it holds them, else from the mirror; their length and hash are what the metadata state.
    ///
    /// # Errors
    /// If `name` is no name for a file, if no role that is trusted with it states such a target, or if what comes is not it.
    pub async fn target(&mut self, name: &str) -> Result<Vec<u8>, TrustError> {
        let name = TargetName::parse(name)?;
        let found = self.updater.get_target(name.as_str(), self.now).await;
        one_vote::expect_of_delegations(self.updater.trusted(), name.as_str())?;
        match found {
            Ok(bytes) => Ok(bytes),
            Err(TufError::TargetNotFound(name)) => Err(TrustError::TargetMissing { name }),
            Err(source) => Err(TrustError::from_tuf(source, &self.mirror)),
        }
    }
}

impl TrustError {
    /// Whether something was shown that is older than what was seen before.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        matches!(self, Self::Tuf { source } if matches!(**source, TufError::Rollback { .. }))
    }

    fn from_tuf(source: TufError, mirror: &Url) -> Self {
        if let Some(twice) = KeyTwice::within(&source) {
            return Self::KeyTwice(twice.clone());
        }
        match source {
            TufError::Expired { role, expires } => Self::Expired { role, at: expires },
            TufError::Transport { .. } => Self::MirrorUnreachable { mirror: mirror.clone(), source: Box::new(source) },
            source => Self::Tuf { source: Box::new(source) },
        }
    }
}

/// "is a, b", for people.
fn listed(names: &[InstanceName]) -> String {
    let names: Vec<&str> = names.iter().map(InstanceName::as_str).collect();
    if names.is_empty() { "is none".to_owned() } else { format!("is {}", names.join(", ")) }
}

/// Compares the root file with what the user was told about it: hex of SHA-256, or `sha256:…`, `sha512:…`.
pub fn check_root_checksum(root: &[u8], checksum: &str) -> Result<(), TrustError> {
    let (algorithm, expected) = match checksum.trim().split_once(':') {
        None => (HashAlgorithm::Sha256, checksum.trim()),
        Some(("sha256", hex)) => (HashAlgorithm::Sha256, hex),
        Some(("sha512", hex)) => (HashAlgorithm::Sha512, hex),
        Some(_) => return Err(TrustError::ChecksumUnreadable { text: checksum.to_owned() }),
    };
    let bytes = hex::decode(expected)
        .ok()
        .filter(|bytes| bytes.len() == algorithm.output_bytes())
        .ok_or_else(|| TrustError::ChecksumUnreadable { text: checksum.to_owned() })?;
    let found = digest(algorithm, root);
    if found.as_bytes() != bytes {
        return Err(TrustError::ChecksumMismatch {
            expected: expected.to_ascii_lowercase(),
            found: hex::encode(found.as_bytes()),
        });
    }
    Ok(())
}

/// Reads a file of trust material, which is small; 16 MiB is far above any real one.
fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    use io::Read as _;
    const BYTES_MAX: u64 = 16 * 1024 * 1024;
    let mut bytes = Vec::with_capacity(READ_AT_FIRST_BYTES);
    std::fs::File::open(path)
        .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| TrustError::File { path: path.to_owned(), doing: "read", source })?;
    Ok(bytes)
}

/// Tells apart what several tasks of this process write at once.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Replaces a file as a whole: a crash leaves the old one or the new one, and of several writers the last wins.
fn write(path: &Path, bytes: &[u8]) -> Result<(), TrustError> {
    let failed = |source| TrustError::File { path: path.to_owned(), doing: "written", source };
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed)?;
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("tmp{}-{number}", std::process::id()));
    std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path)).map_err(failed)
}

#[cfg(test)]
mod public_chain;
#[cfg(test)]
mod tests;
