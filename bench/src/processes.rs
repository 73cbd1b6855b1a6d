// SPDX-License-Identifier: Apache-2.0
//! The processes of a measurement that runs a server: what one costs, which syncs it makes, and the ceiling beside it.
//!
//! In scope: processor time and memory as the kernel counts them, strace, this program once more as the ceiling. Out of scope: starting what is
//! measured (`touchmark_testing::process`), the load (`loader`).

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use touchmark_testing::process::free_port;

use crate::loader::{self, Load, Requests};

/// A running process that is looked at from outside.
#[derive(Clone, Copy, Debug)]
pub struct Watched(u32);

/// A load, and what it cost the server.
pub struct Cost {
    pub load: Load,
    cpu: Duration,
    pub resident_mib: f64,
}

impl Cost {
    /// Processor time of the server for each request.
    #[must_use]
    pub fn cpu_micros_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.load.count() as f64
    }
}

impl Watched {
    #[must_use]
    pub fn process(id: u32) -> Self {
        Self(id)
    }

    /// What a load cost that began when the process had used `before`.
    ///
    /// # Errors
    /// The process has ended.
    pub fn cost(self, load: Load, before: Duration) -> Result<Cost> {
        Ok(Cost { load, cpu: self.cpu()?.saturating_sub(before), resident_mib: self.resident_mib()? })
    }

    /// Processor time of all threads so far, in the kernel's ticks of 10 ms.
    ///
    /// # Errors
    /// The process has ended.
    pub fn cpu(self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // After the name in parentheses, which may hold anything: utime and stime are fields 14 and 15 of all.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    fn resident_mib(self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS")?;
        Ok(kib / 1024.0)
    }

    fn proc(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }
}

/// strace on a running process.
pub struct Trace {
    process: Child,
    output: tempfile::NamedTempFile,
}

impl Trace {
    /// # Errors
    /// strace is not there.
    pub fn attach(id: u32) -> Result<Self> {
        let output = tempfile::NamedTempFile::new().context("no temporary file")?;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-p", &id.to_string(), "-o"]);
        let process = strace.arg(output.path()).stderr(Stdio::null()).spawn().context("strace is not there")?;
        std::thread::sleep(Duration::from_millis(500));
        Ok(Self { process, output })
    }

    /// Syncs of the ledger's journal, and all others.
    ///
    /// # Errors
    /// strace ended before, or saw nothing that can be read.
    pub fn end(mut self) -> Result<(usize, usize)> {
        let status = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        ensure!(status.is_ok_and(|status| status.success()), "strace had ended: may it trace processes here?");
        self.process.wait().context("strace")?;
        let seen = std::fs::read_to_string(self.output.path()).context("what strace wrote")?;
        let begun = seen.lines().filter(|line| line.contains("sync") && line.contains('<'));
        let (journal, others): (Vec<&str>, Vec<&str>) = begun.partition(|line| line.contains(".jnl>"));
        Ok((journal.len(), others.len()))
    }
}

/// This program once more, as the ceiling: told so by `--ceiling PORT` and further arguments. It dies with this value.
pub struct Ceiling {
    process: Child,
    pub port: u16,
}

impl Ceiling {
    /// # Errors
    /// No port is free, or the process cannot be started.
    pub fn start(arguments: &[&OsStr]) -> Result<Self> {
        let program: PathBuf = std::env::current_exe().context("cannot find this program")?;
        let port = free_port()?;
        let mut command = Command::new(program);
        let process = command.arg("--ceiling").arg(port.to_string()).args(arguments).spawn();
        Ok(Self { process: process.context("cannot start the ceiling")?, port })
    }

    #[must_use]
    pub fn watched(&self) -> Watched {
        Watched::process(self.process.id())
    }

    /// # Errors
    /// It does not answer for five seconds.
    pub async fn await_ready(&self, requests: &Arc<Requests>) -> Result<()> {
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
