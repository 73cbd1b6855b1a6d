// SPDX-License-Identifier: Apache-2.0
//! What a server with a timestamp authority of a chosen key starts from: key file, chain, a configuration file.
//!
//! In scope: making these once in a directory of the measurement. Out of scope: starting the server (`server`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use touchmark_bench::authority::certificate;
use touchmark_keys::KeyType;
use touchmark_signers::FileSigner;
use touchmark_sigstore::issue::authority::CaProfile;
use touchmark_sigstore::x509::Certificate;
use touchmark_testing::process::free_port;

/// Whether every timestamp is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audit {
    On,
    Off,
}

/// An authority that nobody serves yet.
pub(crate) struct Authority {
    pub(crate) config: PathBuf,
    pub(crate) port: u16,
    /// Signing certificate, root.
    pub(crate) chain: Vec<Certificate>,
}

impl Authority {
    pub(crate) async fn create(dir: &Path, key_type: KeyType, audit: Audit) -> Result<Self> {
        let create = |name: &str| FileSigner::create(&dir.join(name), key_type, None).context("a key");
        let (root_key, key) = (create("root.pem")?, create("tsa.pem")?);
        let root = certificate("root", CaProfile::Root, &root_key, &root_key).await?;
        let leaf = certificate("timestamping", CaProfile::TimeStampingLeaf { issuer: &root }, &key, &root_key).await?;
        let chain = vec![leaf, root];
        let pem: String = chain.iter().map(Certificate::to_pem).collect();
        std::fs::write(dir.join("chain.pem"), pem).context("the chain")?;
        let port = free_port()?;
        let config = dir.join("touchmark.toml");
        let audit = match audit {
            Audit::On => "audit_log = \"tsa.jsonl\"\n",
            Audit::Off => "",
        };
        let text = format!("[tsa]\nlisten = \"127.0.0.1:{port}\"\nkey = \"tsa.pem\"\nchain = \"chain.pem\"\n{audit}");
        std::fs::write(&config, text).context("the configuration")?;
        Ok(Self { config, port, chain })
    }
}
