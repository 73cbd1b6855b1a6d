// SPDX-License-Identifier: Apache-2.0
//! What a server with an authority of chosen keys starts from: key files, chain, an empty CT log, the try-out issuer, a configuration file.
//!
//! In scope: making these once in a directory of the measurement. Out of scope: starting the server (`server`), tokens (`requests`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use touchmark_bench::authority::certificate;
use touchmark_keys::{KeyType, PublicKey};
use touchmark_signers::{FileSigner, Signer};
use touchmark_sigstore::issue::authority::CaProfile;
use touchmark_sigstore::x509::Certificate;
use touchmark_testing::process::free_port;

const LOG_NAME: &str = "ct2026-1.bench.touchmark.localhost";

/// An authority that nobody serves yet.
pub(crate) struct Authority {
    pub(crate) config: PathBuf,
    pub(crate) port: u16,
    pub(crate) issuer_url: String,
    /// What signs tokens.
    pub(crate) issuer_key: PathBuf,
    /// Issuing certificate, root.
    pub(crate) chain: Vec<Certificate>,
    pub(crate) ct_key: PublicKey,
}

impl Authority {
    pub(crate) async fn create(dir: &Path, key_type: KeyType) -> Result<Self> {
        let create = |name: &str, key_type| FileSigner::create(&dir.join(name), key_type, None).context("a key");
        let (root_key, issuing_key) = (create("ca-root.pem", key_type)?, create("ca.pem", key_type)?);
        let ct_key = create("ct.pem", KeyType::EcdsaP256)?.public_key().clone();
        create("oidc.pem", KeyType::Rsa2048)?;
        let root = certificate("root", CaProfile::Root, &root_key, &root_key).await?;
        let profile = CaProfile::CodeSigningIntermediate { issuer: &root };
        let chain = vec![certificate("intermediate", profile, &issuing_key, &root_key).await?, root];
        let pem: String = chain.iter().map(Certificate::to_pem).collect();
        std::fs::write(dir.join("chain.pem"), pem).context("the chain")?;
        std::fs::create_dir(dir.join("ct")).context("the directory of the CT log")?;
        // The port after it is free, too.
        let port = free_port()?;
        let issuer_url = format!("http://127.0.0.1:{}/oidc", port + 1);
        let config = dir.join("touchmark.toml");
        std::fs::write(&config, configuration(port, &issuer_url)).context("the configuration")?;
        Ok(Self { config, port, issuer_url, issuer_key: dir.join("oidc.pem"), chain, ct_key })
    }
}

fn configuration(port: u16, issuer_url: &str) -> String {
    format!(
        r#"listen = "127.0.0.1:{port}"
[fulcio]
key = "ca.pem"
chain = "chain.pem"
ct_log = {{ name = "{LOG_NAME}" }}
[[fulcio.issuer]]
url = "{issuer_url}"
transport = "loopback-http"
[[ctlog]]
name = "{LOG_NAME}"
key = "ct.pem"
data = "ct"
accepted_roots = "chain.pem"
[oidc]
listen = "127.0.0.1:{}"
issuer = "{issuer_url}"
key = "oidc.pem"
gives_any_identity_to_anyone = true
"#,
        port + 1
    )
}
