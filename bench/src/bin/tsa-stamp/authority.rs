// SPDX-License-Identifier: Apache-2.0
//! What a server with a timestamp authority of a chosen key starts from: key file, chain, a configuration file.
//!
//! In scope: making these once in a directory of the measurement. Out of scope: starting the server (`server`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::{Timestamp, ToSpan as _};
use touchmark_keys::KeyType;
use touchmark_signers::{FileSigner, Signer};
use touchmark_sigstore::issue::assemble;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use touchmark_sigstore::x509::Certificate;
use touchmark_testing::process::free_port;

const VALID_HOURS: i64 = 365 * 24;

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

async fn certificate(
    common_name: &str,
    profile: CaProfile<'_>,
    subject_key: &FileSigner,
    issuer_key: &FileSigner,
) -> Result<Certificate> {
    let mut serial = [0; 20];
    touchmark_keys::random(&mut serial);
    let now = Timestamp::now();
    let tbs = CaTemplate {
        serial,
        not_before: Timestamp::from_second(now.checked_sub(1.hour())?.as_second())?,
        not_after: Timestamp::from_second(now.checked_add(VALID_HOURS.hours())?.as_second())?,
        name: AuthorityName { organization: "bench".to_owned(), common_name: common_name.to_owned() },
        public_key: subject_key.public_key().clone(),
        profile,
        signature_scheme: issuer_key.scheme(),
    }
    .tbs()
    .context("a certificate of the authority")?;
    let signature = issuer_key.sign(&tbs).await.context("no signature")?;
    let der = assemble(&tbs, issuer_key.scheme(), &signature).context("a certificate of the authority")?;
    Certificate::from_der(&der).context("a certificate of the authority")
}
