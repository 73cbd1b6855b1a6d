// SPDX-License-Identifier: Apache-2.0
//! The process that is measured: `touchmark serve` with authority, CT log and try-out issuer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use touchmark_bench::loader::{self, Load, Requests};
use touchmark_bench::processes::{Cost, Trace, Watched};
use touchmark_keys::PublicKey;
use touchmark_sigstore::ct::{LogEntry, embedded_scts, verify_sct};
use touchmark_sigstore::x509::Certificate;
use touchmark_sigstore::x509::path::{ExtendedKeyUsage, verify_path};
use touchmark_testing::process::ServerProcess;

use crate::CLIENTS;
use crate::authority::Authority;
use crate::requests::Tokens;

pub(crate) const SIGNING_CERT: &str = "/api/v2/signingCert";

/// A server that is loaded, and whose certificates are looked at.
pub(crate) struct Measured {
    process: ServerProcess,
    port: u16,
    chain: Vec<Certificate>,
    ct_key: PublicKey,
}

impl Measured {
    pub(crate) async fn start(binary: &Path, authority: &Authority) -> Result<Self> {
        let process = ServerProcess::serve(binary, &authority.config, authority.port).await?;
        Ok(Self { process, port: authority.port, chain: authority.chain.clone(), ct_key: authority.ct_key.clone() })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn closed(&self, clients: usize, span: Duration, requests: Arc<Requests>) -> Result<Cost> {
        let before = self.watched().cpu()?;
        let load = loader::closed(self.port, 200, clients, span, &requests).await?;
        self.cost(load, before)
    }

    pub(crate) async fn open(&self, per_second: u32, span: Duration, tokens: &Tokens) -> Result<Cost> {
        let requests = tokens.requests(self.port, span, f64::from(per_second))?;
        let before = self.watched().cpu()?;
        let load = loader::open(self.port, 200, per_second, span, &requests).await?;
        self.cost(load, before)
    }

    fn watched(&self) -> Watched {
        Watched::process(self.process.id())
    }

    fn cost(&self, load: Load, before: Duration) -> Result<Cost> {
        for reply in &load.samples {
            self.check(reply).context("a reply whose certificate is not good")?;
        }
        ensure!(!load.samples.is_empty(), "no reply was looked at");
        self.watched().cost(load, before)
    }

    /// As a client verifies it: the path to the root, and the log's promise over the certificate.
    fn check(&self, reply: &[u8]) -> Result<()> {
        let reply: Value = serde_json::from_slice(reply).context("a reply that is no JSON")?;
        let chain = reply.pointer("/signedCertificateEmbeddedSct/chain/certificates").context("no chain")?;
        let leaf = chain.get(0).and_then(Value::as_str).context("no leaf")?;
        let leaf = Certificate::from_pem(leaf).context("a leaf that is no certificate")?;
        let path = verify_path(&leaf, &self.chain, ExtendedKeyUsage::CodeSigning, leaf.not_before())?;
        let scts = embedded_scts(&leaf).context("no SCT")?;
        let sct = scts.first().context("no SCT")?;
        verify_sct(sct, &LogEntry::from_certificate_with_scts(&leaf, path.issuer())?, &self.ct_key)?;
        Ok(())
    }

    /// Counts syncs by file with strace, which slows the server down: alone, where each entry is a batch of its own, and under load.
    pub(crate) async fn syncs(&self, tokens: &Tokens, per_second: f64) -> Result<String> {
        const TRACED: Duration = Duration::from_secs(3);
        let mut text = String::from(
            "\nSyncs as strace saw them:\n\n| load | certificates | journal, per 1000 | other files, per 1000 |\n| --- | --- | --- | --- |\n",
        );
        for clients in [1, CLIENTS] {
            let requests = tokens.requests(self.port, TRACED, per_second)?;
            let trace = Trace::attach(self.process.id())?;
            let load = self.closed(clients, TRACED, requests).await?.load;
            let (journal, others) = trace.end()?;
            let per_1000 = |count: usize| 1000.0 * count as f64 / load.count() as f64;
            text += &format!(
                "| {clients} clients | {} | {:.1} | {:.1} |\n",
                load.count(),
                per_1000(journal),
                per_1000(others)
            );
        }
        Ok(text)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        ensure!(self.process.stop().await?.success(), "the server did not stop cleanly");
        Ok(())
    }
}
