// SPDX-License-Identifier: Apache-2.0
//! The process that is measured: `touchmark up`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use touchmark_bench::loader::{self, Load};
use touchmark_bench::processes::{Cost, Trace, Watched};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_testing::audit;
use touchmark_testing::process::ServerProcess;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};

use crate::requests;

const ENTRIES: &str = "/api/v2/log/entries";

/// A server that is loaded, and whose replies are looked at.
pub(crate) struct Measured {
    process: ServerProcess,
    port: u16,
    key: NoteKey,
}

impl Measured {
    pub(crate) async fn start(binary: &Path, dir: &Path, port: u16) -> Result<Self> {
        let data_dir = dir.join("data");
        let process = ServerProcess::start(binary, &data_dir, port).await?;
        let root = std::fs::read(data_dir.join("client/trusted_root.json")).context("no trusted root")?;
        let root = TrustedRoot::from_json(&root).context("the trusted root")?;
        let log = root.tlogs().last().context("the trusted root has no log")?;
        let key = NoteKey::new(
            log.hostname().context("a log without name")?,
            NoteAlgorithm::Ed25519,
            log.public_key().clone(),
        )
        .context("the log's key")?;
        Ok(Self { process, port, key })
    }

    pub(crate) async fn closed(&self, clients: usize, span: Duration, per_second: usize) -> Result<Cost> {
        let requests = requests::of_entries(self.port, ENTRIES, span.as_secs_f64(), per_second)?;
        let before = self.watched().cpu()?;
        let load = loader::closed(self.port, 201, clients, span, &requests).await?;
        self.cost(load, before)
    }

    pub(crate) async fn open(&self, per_second: u32, span: Duration) -> Result<Cost> {
        let requests = requests::of_entries(self.port, ENTRIES, span.as_secs_f64(), per_second as usize)?;
        let before = self.watched().cpu()?;
        let load = loader::open(self.port, 201, per_second, span, &requests).await?;
        self.cost(load, before)
    }

    fn watched(&self) -> Watched {
        Watched::process(self.process.id())
    }

    fn cost(&self, load: Load, before: Duration) -> Result<Cost> {
        for reply in &load.samples {
            let reply: Value = serde_json::from_slice(reply).context("a reply that is no JSON")?;
            audit::proves_itself(&self.key, &reply).context("a reply that does not prove its entry")?;
        }
        ensure!(!load.samples.is_empty(), "no reply was looked at");
        self.watched().cost(load, before)
    }

    /// Counts syncs by file with strace, which slows the server down: alone, where each entry is a batch of its own, and under load.
    pub(crate) async fn syncs(&self, per_second: usize) -> Result<String> {
        const ALONE: Duration = Duration::from_secs(3);
        let mut text = String::from(
            "\nSyncs as strace saw them:\n\n| load | entries | journal, per 1000 | other files, per 1000 |\n| --- | --- | --- | --- |\n",
        );
        for clients in [1, crate::CLIENTS] {
            let trace = Trace::attach(self.process.id())?;
            let load = self.closed(clients, ALONE, per_second).await?.load;
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
