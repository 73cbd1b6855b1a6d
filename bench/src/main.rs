// SPDX-License-Identifier: Apache-2.0
//! The load driver of `cargo xtask bench`: each figure beside the ceiling that was measured in the same run, on the same machine.
//!
//! A real `touchmark up` process serves; this process is the load, on the same cores. Every load is bounded in requests and in time and stays on loopback.
//! Output is the Markdown that docs/benchmarks.md holds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints a report")]

mod blobs;
mod ceilings;
mod drive;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use touchmark_testing::load;
use touchmark_testing::process::{ServerProcess, free_port};

use drive::{Measured, Target, drive};

const EMAIL: &str = "bench@example.com";
const CLIENTS: [usize; 3] = [1, 16, 256];

/// Measures the services and the client beside their ceilings.
#[derive(Parser)]
struct Arguments {
    /// How long each load runs.
    #[arg(long, default_value_t = 8, value_name = "SECONDS")]
    seconds: u64,
    /// The binary to measure.
    #[arg(long, default_value = "target/release/touchmark")]
    binary: PathBuf,
    /// How often sign-blob and verify-blob are run.
    #[arg(long, default_value_t = 30, value_name = "COUNT")]
    blob_runs: usize,
    /// Only serve the HTTP echo on this port: how this program starts its own ceiling.
    #[arg(long, hide = true)]
    echo: Option<u16>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(port) = arguments.echo {
        return ceilings::serve_echo(port).await;
    }
    let span = Duration::from_secs(arguments.seconds);
    let dir = tempfile::tempdir().context("no temporary directory")?;
    machine();
    let ceilings = ceilings::measure(dir.path(), span).await?;
    ceilings.print();

    let data_dir = dir.path().join("data");
    let server = ServerProcess::start(&arguments.binary, &data_dir, free_port()?).await?;
    let first_start = server.ready_after();
    services(&server, &data_dir, span, &ceilings).await?;
    blobs::measure(&arguments.binary, &server, &data_dir, dir.path(), arguments.blob_runs).await?;
    anyhow::ensure!(server.stop().await?.success(), "the server did not stop cleanly");
    let server = ServerProcess::start(&arguments.binary, &data_dir, free_port()?).await?;
    println!("\n## Start\n\n| | to `/readyz` |\n| --- | --- |");
    println!("| first start (keys, chains, TUF repository) | {:.0?} |", first_start);
    println!("| second start, with the logs of this run | {:.0?} |", server.ready_after());
    anyhow::ensure!(server.stop().await?.success(), "the server did not stop cleanly");
    Ok(())
}

fn machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("\t: unknown")
        .trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("Machine: {model}, {cores} cores; load average before the run: {}", load.split(' ').next().unwrap_or("?"));
}

async fn services(
    server: &ServerProcess,
    data_dir: &Path,
    span: Duration,
    ceilings: &ceilings::Ceilings,
) -> Result<()> {
    println!("\n## Services\n\nLoad and server share the cores.\n");
    println!("| load | clients | per second | p50 | p99 | beside |\n| --- | --- | --- | --- | --- | --- |");
    let key = load::LoadKey::generate();
    let serial = std::sync::atomic::AtomicU64::new(0);
    let entries = Target { url: server.url().join("api/v2/log/entries")?, good: 201, content_type: "application/json" };
    for clients in CLIENTS {
        let make = || {
            let number = serial.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes();
            load::entry_request(&key, &number).body
        };
        let measured = drive(&entries, clients, span, make).await?;
        row("log entry, accept to proof", clients, &measured, &ceilings.beside_entries(clients, &measured));
    }
    let token = touchmark_server::try_out_token(data_dir, EMAIL, None).await.context("no token")?;
    let certificates =
        Target { url: server.url().join("api/v2/signingCert")?, good: 200, content_type: "application/json" };
    for clients in CLIENTS {
        let measured = drive(&certificates, clients, span, || load::certificate_request(&token, EMAIL)).await?;
        row("certificate with SCT", clients, &measured, &ceilings.beside_echo(clients, &measured));
    }
    let stamps = Target { url: server.url().join("api/v1/timestamp")?, good: 200, content_type: "application/json" };
    for clients in CLIENTS {
        let make = || load::timestamp_request(&serial.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes());
        let measured = drive(&stamps, clients, span, make).await?;
        row("timestamp", clients, &measured, &ceilings.beside_echo(clients, &measured));
    }
    Ok(())
}

fn row(what: &str, clients: usize, measured: &Measured, beside: &str) {
    println!(
        "| {what} | {clients} | {:.0} | {:.1} ms | {:.1} ms | {beside} |",
        measured.per_second(),
        measured.quantile_ms(0.5),
        measured.quantile_ms(0.99)
    );
    if measured.refused > 0 {
        eprintln!("{what}, {clients} clients: {} requests were refused", measured.refused);
    }
}
