// SPDX-License-Identifier: Apache-2.0
//! The processes that are measured: `touchmark up`, and the ceiling.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_testing::audit;
use touchmark_testing::process::{ServerProcess, free_port};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};

use crate::loader::{self, Load, Requests};
use crate::requests;

const ENTRIES: &str = "/api/v2/log/entries";

/// A server that is loaded, and whose replies are looked at.
pub(crate) struct Measured {
    process: ServerProcess,
    port: u16,
    key: NoteKey,
}

/// A load, and what it cost the server.
pub(crate) struct Cost {
    pub(crate) load: Load,
    cpu: Duration,
    pub(crate) resident_mib: f64,
}

impl Cost {
    pub(crate) fn cpu_micros_per_entry(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.load.count() as f64
    }
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
        let before = self.cpu()?;
        let load = loader::closed(self.port, 201, clients, span, &requests).await?;
        self.cost(load, before)
    }

    pub(crate) async fn open(&self, per_second: u32, span: Duration) -> Result<Cost> {
        let requests = requests::of_entries(self.port, ENTRIES, span.as_secs_f64(), per_second as usize)?;
        let before = self.cpu()?;
        let load = loader::open(self.port, 201, per_second, span, &requests).await?;
        self.cost(load, before)
    }

    fn cost(&self, load: Load, before: Duration) -> Result<Cost> {
        for reply in &load.samples {
            let reply: Value = serde_json::from_slice(reply).context("a reply that is no JSON")?;
            audit::proves_itself(&self.key, &reply).context("a reply that does not prove its entry")?;
        }
        ensure!(!load.samples.is_empty(), "no reply was looked at");
        Ok(Cost { load, cpu: self.cpu()?.saturating_sub(before), resident_mib: self.resident_mib()? })
    }

    /// Processor time of all threads so far, in the kernel's ticks of 10 ms.
    fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // After the name in parentheses, which may hold anything: utime and stime are fields 14 and 15 of all.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    fn resident_mib(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS")?;
        Ok(kib / 1024.0)
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.process.id());
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
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

/// strace on a running process.
struct Trace {
    process: Child,
    output: tempfile::NamedTempFile,
}

impl Trace {
    fn attach(id: u32) -> Result<Self> {
        let output = tempfile::NamedTempFile::new().context("no temporary file")?;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-p", &id.to_string(), "-o"]);
        let process = strace.arg(output.path()).stderr(Stdio::null()).spawn().context("strace is not there")?;
        std::thread::sleep(Duration::from_millis(500));
        Ok(Self { process, output })
    }

    /// Syncs of the ledger's journal, and all others.
    fn end(mut self) -> Result<(usize, usize)> {
        let status = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        ensure!(status.is_ok_and(|status| status.success()), "strace had ended: may it trace processes here?");
        self.process.wait().context("strace")?;
        let seen = std::fs::read_to_string(self.output.path()).context("what strace wrote")?;
        let begun = seen.lines().filter(|line| line.contains("sync") && line.contains('<'));
        let (journal, others): (Vec<&str>, Vec<&str>) = begun.partition(|line| line.contains(".jnl>"));
        Ok((journal.len(), others.len()))
    }
}

/// The ceiling in a process of its own; it dies with this value.
pub(crate) struct Ceiling {
    process: Child,
    pub(crate) port: u16,
}

impl Ceiling {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let program: PathBuf = std::env::current_exe().context("cannot find this program")?;
        let port = free_port()?;
        let mut command = Command::new(program);
        let process = command.arg("--ceiling").arg(port.to_string()).arg(dir.join("ceiling")).spawn();
        Ok(Self { process: process.context("cannot start the ceiling")?, port })
    }

    pub(crate) async fn await_ready(&self, requests: &std::sync::Arc<Requests>) -> Result<()> {
        for _ in 0..500 {
            if loader::closed(self.port, 200, 1, Duration::ZERO, requests).await.is_ok()
                || tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the ceiling does not answer")
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
