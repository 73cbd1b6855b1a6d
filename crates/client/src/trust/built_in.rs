// SPDX-License-Identifier: Apache-2.0
//! The trusted root to verify with: that of the initialised instance, or of the public-good instance, which the program carries.
//!
//! In scope: the embedded documents (crate `sigstore-trust-root`), and the choice between what the mirror says, what it said last and
//! what is embedded. Out of scope: signing, which never goes to an instance that nobody named.
//! Invariants: the embedded TUF root is the pinned one, whatever lies in the directory. The embedded trusted root is used only while
//! nothing newer was ever verified here. What was fetched and does not verify is an error and never a reason to use the embedded one.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde::Deserialize;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, SigstoreInstance};
use touchmark_outbound::Outbound;
use touchmark_sigstore::trust::TrustedRoot;
use url::Url;

use super::documents::parse_trusted_root;
use super::instances::{Choice, InstanceName, Resolved};
use super::lock::REFRESH_WAIT_MAX;
use super::{Freshness, Instance, PINNED_ROOT_FILE, Stale, TrustError, TrustStore, read};

/// When the built-in instance's mirror was last asked, and everything of it verified and kept.
const BUILT_IN_FILE: &str = "built-in.json";

/// The trusted root of the public-good instance, as this program carries it. Reading it touches no file and no network.
#[must_use]
pub fn public_good_root() -> TrustedRoot {
    TrustedRoot::from_json(public_good_root_json()).expect("a test reads the embedded trusted root")
}

/// The document that [`public_good_root`] reads.
#[must_use]
pub fn public_good_root_json() -> &'static [u8] {
    SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes()
}

/// An instance that a program carries.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    mirror: Cow<'static, str>,
    tuf_root: Cow<'static, [u8]>,
    trusted_root: Cow<'static, [u8]>,
}

impl BuiltIn {
    /// The public-good instance of Sigstore.
    #[must_use]
    pub fn public_good() -> Self {
        Self {
            mirror: SigstoreInstance::PublicGood.tuf_url().into(),
            tuf_root: SigstoreInstance::PublicGood.tuf_root().into(),
            trusted_root: public_good_root_json().into(),
        }
    }

    /// Another instance: the address of its TUF repository, a root file of it, and its trusted root.
    #[must_use]
    pub fn new(mirror: &Url, tuf_root: Vec<u8>, trusted_root: Vec<u8>) -> Self {
        Self { mirror: mirror.to_string().into(), tuf_root: tuf_root.into(), trusted_root: trusted_root.into() }
    }

    /// The root that is carried here, under the name of its mirror.
    pub(super) fn is_line_of(&self, name: &InstanceName, root: &[u8]) -> bool {
        *root == *self.tuf_root && self.mirror().is_ok_and(|mirror| InstanceName::of_mirror(&mirror) == *name)
    }

    pub(super) fn mirror(&self) -> Result<Url, TrustError> {
        Url::parse(&self.mirror).map_err(|_| TrustError::MirrorUnusable { url: self.mirror.to_string() })
    }

    fn embedded(&self) -> Result<TrustedRootOf, TrustError> {
        let trusted_root = parse_trusted_root("the embedded trusted root", &self.trusted_root)?;
        Ok(TrustedRootOf { trusted_root, origin: Origin::Embedded, expires: None, stale: None })
    }
}

/// A trusted root to verify with.
#[derive(Debug)]
pub struct TrustedRootOf {
    pub trusted_root: TrustedRoot,
    pub origin: Origin,
    /// When the first of the metadata that prove it expire; `None` for what the program carries, and for what is used as of a former time.
    pub expires: Option<Timestamp>,
    /// Set when the mirror was to be asked and could not be reached: the caller warns.
    pub stale: Option<Stale>,
}

/// Where a trusted root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The instance that the user initialised.
    Initialised { mirror: Url },
    /// The built-in instance, as its mirror says, or said when it was last asked.
    BuiltIn { mirror: Url },
    /// The same, when the metadata have expired since: verified as of the last time the mirror was asked. The caller warns.
    BuiltInAsOf { mirror: Url, at: Timestamp },
    /// The built-in instance, as the program carries it; its mirror was never reached from here.
    Embedded,
}

impl TrustStore {
    /// The trusted root to verify with: of the instance that was set or is the default or, where none ever was initialised, of the built-in
    /// one.
    pub async fn trusted_root(&self, freshness: Freshness<'_>, now: Timestamp) -> Result<TrustedRootOf, TrustError> {
        if let Resolved::BuiltIn(choice) = self.resolve()? {
            return self.built_in_root(choice, freshness, now).await;
        }
        let mut repository = self.open(freshness, now).await?;
        Ok(TrustedRootOf {
            trusted_root: repository.trusted_root().await?,
            expires: Some(repository.expires()),
            origin: Origin::Initialised { mirror: repository.mirror },
            stale: repository.stale,
        })
    }

    /// What [`TrustStore::trusted_root`] gives with [`Freshness::Offline`]; needs no run time and opens no socket.
    pub fn trusted_root_offline(&self, now: Timestamp) -> Result<TrustedRootOf, TrustError> {
        self.trusted_root(Freshness::Offline, now).now_or_never().expect("files are read without waiting")
    }

    /// The mirror of the built-in instance, and the root that every walk through it begins with.
    pub(super) fn built_in_line(&self, choice: Choice) -> Result<(Url, Vec<u8>), TrustError> {
        if choice == Choice::ForWantOfAnother {
            self.expect_never_initialised()?;
        }
        Ok((self.built_in.mirror()?, self.built_in.tuf_root.to_vec()))
    }

    async fn built_in_root(
        &self,
        choice: Choice,
        freshness: Freshness<'_>,
        now: Timestamp,
    ) -> Result<TrustedRootOf, TrustError> {
        let (mirror, _) = self.built_in_line(choice)?;
        let last = self.built_in_refreshed(&mirror);
        let outbound = match (freshness, &last) {
            (Freshness::Offline, None) => return self.built_in.embedded(),
            (Freshness::Offline, Some(last)) => return self.built_in_cached(last, now).await,
            (Freshness::CachedWithin { max_age, .. }, Some(last)) if last.is_within(max_age, now) => {
                match self.walk_built_in(&mirror, None, now).await {
                    Ok(cached) => return Ok(cached),
                    Err(_) => freshness.outbound(),
                }
            }
            _ => freshness.outbound(),
        };
        match self.walk_built_in(&mirror, outbound, now).await {
            Ok(fresh) => {
                // A directory that cannot be written to costs the next call a refresh, no more.
                let asked = Instance { mirror, refreshed_at: now };
                if let Err(error) = asked.write(&self.dir.join(BUILT_IN_FILE)) {
                    tracing::debug!(%error, "the refresh is not remembered");
                }
                Ok(fresh)
            }
            Err(TrustError::MirrorUnreachable { mirror, source }) => {
                let known = match &last {
                    Some(last) => self.built_in_cached(last, now).await?,
                    None => self.built_in.embedded()?,
                };
                Ok(TrustedRootOf { stale: Some(Stale { mirror, cause: source }), ..known })
            }
            Err(error) => Err(error),
        }
    }

    /// What the mirror said last. Expired metadata are verified as of that time: the alternative would be the embedded root, which
    /// knows less.
    async fn built_in_cached(&self, last: &Instance, now: Timestamp) -> Result<TrustedRootOf, TrustError> {
        match self.walk_built_in(&last.mirror, None, now).await {
            Err(TrustError::Expired { .. }) if last.refreshed_at <= now => {
                let cached = self.walk_built_in(&last.mirror, None, last.refreshed_at).await?;
                let origin = Origin::BuiltInAsOf { mirror: last.mirror.clone(), at: last.refreshed_at };
                Ok(TrustedRootOf { origin, expires: None, ..cached })
            }
            other => other,
        }
    }

    /// The walk from the embedded TUF root, with the trusted root fetched or read, so that the cache is whole or is not remembered.
    async fn walk_built_in(
        &self,
        mirror: &Url,
        outbound: Option<&Outbound>,
        now: Timestamp,
    ) -> Result<TrustedRootOf, TrustError> {
        let (name, root) = (InstanceName::of_mirror(mirror), &self.built_in.tuf_root);
        let mut repository = match outbound {
            None => self.walk_cached(&name, mirror, root, now).await?,
            Some(outbound) => {
                let waited = self.cache(&name).lock(REFRESH_WAIT_MAX).await?;
                self.ask(&name, mirror, root, outbound, &waited, now).await?
            }
        };
        let trusted_root = repository.trusted_root().await?;
        let (origin, expires) = (Origin::BuiltIn { mirror: mirror.clone() }, Some(repository.expires()));
        Ok(TrustedRootOf { trusted_root, origin, expires, stale: None })
    }

    fn built_in_refreshed(&self, mirror: &Url) -> Option<Instance> {
        let bytes = read(&self.dir.join(BUILT_IN_FILE)).ok()?;
        Instance::parse(&bytes).filter(|instance| instance.mirror == *mirror)
    }

    /// An instance file can be lost, and other clients keep theirs in the same directory (`TUF_ROOT`). Nobody who named a private
    /// instance may get the public one.
    fn expect_never_initialised(&self) -> Result<NeverInitialised, TrustError> {
        let forgotten = || TrustError::InstanceForgotten { dir: self.dir.clone() };
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(NeverInitialised),
            Err(source) => return Err(TrustError::File { path: self.dir.clone(), doing: "read", source }),
        };
        let pinned = |path: PathBuf| path.join(PINNED_ROOT_FILE).exists();
        if entries.flatten().any(|entry| pinned(entry.path())) {
            return Err(forgotten());
        }
        match read(&self.dir.join(COSIGN_FILE)) {
            Err(TrustError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(NeverInitialised),
            Ok(bytes) if self.is_of_built_in(&bytes) => Ok(NeverInitialised),
            Ok(_) => Err(forgotten()),
            Err(error) => Err(error),
        }
    }

    fn is_of_built_in(&self, cosign_file: &[u8]) -> bool {
        let named = serde_json::from_slice(cosign_file).ok().and_then(|file: CosignFile| Url::parse(&file.mirror).ok());
        named.is_some_and(|named| self.built_in.mirror().is_ok_and(|mirror| named == mirror))
    }
}

/// Proof that the directory holds no trace of an instance.
struct NeverInitialised;

/// Where cosign keeps the mirror that it was initialised with.
const COSIGN_FILE: &str = "remote.json";

#[derive(Deserialize)]
struct CosignFile {
    mirror: String,
}

impl<'a> Freshness<'a> {
    fn outbound(self) -> Option<&'a Outbound> {
        match self {
            Self::Refresh(outbound) | Self::CachedWithin { outbound, .. } => Some(outbound),
            Self::Offline => None,
        }
    }
}
