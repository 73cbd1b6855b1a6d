// SPDX-License-Identifier: Apache-2.0
//! Where everything lies in a data directory.
//!
//! ```text
//! lock                         held by the running process
//! admin.sock                   where the running process takes requests of `touchmark log`
//! instance.toml                the manifest; written last
//! offline/*.pem                keys that the running server never opens
//! keys/*.pem                   keys of the services
//! fulcio-audit.jsonl           decisions about requests for certificates, chained
//! ca/chain.pem tsa/chain.pem   issuing certificate first, root last
//! logs/<name>/                 entries of a log: ledger, objects
//! tuf/                         the repository that is served
//! client/*.json                what clients are given by hand
//! staging/                     a first start that has not finished
//! ```
//!
//! In scope: names. Out of scope: contents.

use std::path::{Path, PathBuf};

use touchmark_keys::KeyType;

use super::manifest::Shard;

/// A data directory, or one in the making.
#[derive(Debug, Clone)]
pub(super) struct Layout(PathBuf);

/// Everything at the top of a directory that a first start makes, the manifest last.
pub(super) const ENTRIES: [&str; 8] = ["offline", "keys", "ca", "tsa", "logs", "tuf", "client", MANIFEST];

/// `instance.toml`, without which nothing else counts.
pub(super) const MANIFEST: &str = "instance.toml";

impl Layout {
    pub(super) fn new(directory: &Path) -> Self {
        Layout(directory.to_owned())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn entry(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.0.join(MANIFEST)
    }

    /// Where a first start builds.
    pub(super) fn staging(&self) -> Layout {
        Layout(self.0.join("staging"))
    }

    pub(super) fn key(&self, key: KeyFile) -> PathBuf {
        self.0.join(key.path())
    }

    /// The private key of a log.
    pub(super) fn log_key(&self, shard: &Shard) -> PathBuf {
        self.0.join(&shard.key)
    }

    /// Where a running `up` takes requests of the `touchmark log` commands.
    pub(super) fn admin_socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    pub(super) fn ca_chain(&self) -> PathBuf {
        self.0.join("ca/chain.pem")
    }

    /// What was decided about requests for certificates.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.0.join("fulcio-audit.jsonl")
    }

    pub(super) fn tsa_chain(&self) -> PathBuf {
        self.0.join("tsa/chain.pem")
    }

    /// How late the newest timestamp may be.
    pub(super) fn tsa_time(&self) -> PathBuf {
        self.0.join("tsa/last-time")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(name)
    }

    pub(super) fn tuf(&self) -> PathBuf {
        self.0.join("tuf")
    }

    pub(super) fn client(&self) -> PathBuf {
        self.0.join("client")
    }
}

/// A private key of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFile {
    OfflineTufRoot,
    OfflineTufTargets,
    OfflineCaRoot,
    OfflineTsaRoot,
    Ca,
    Tsa,
    Ct,
    Rekor,
    TufOnline,
    Oidc,
}

impl KeyFile {
    pub(super) fn path(self) -> &'static str {
        match self {
            KeyFile::OfflineTufRoot => "offline/tuf-root.pem",
            KeyFile::OfflineTufTargets => "offline/tuf-targets.pem",
            KeyFile::OfflineCaRoot => "offline/ca-root.pem",
            KeyFile::OfflineTsaRoot => "offline/tsa-root.pem",
            KeyFile::Ca => "keys/ca.pem",
            KeyFile::Tsa => "keys/tsa.pem",
            KeyFile::Ct => "keys/ct.pem",
            KeyFile::Rekor => "keys/rekor.pem",
            KeyFile::TufOnline => "keys/tuf-online.pem",
            KeyFile::Oidc => "keys/oidc.pem",
        }
    }

    /// Ed25519 for Rekor v2 and RSA for tokens, as public clients expect; P-256 for the rest, which every one of them knows.
    pub(super) fn key_type(self) -> KeyType {
        match self {
            KeyFile::Rekor => KeyType::Ed25519,
            KeyFile::Oidc => KeyType::Rsa2048,
            _ => KeyType::EcdsaP256,
        }
    }
}
