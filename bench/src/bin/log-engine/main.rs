// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench log`: the log of signatures under load, beside its ceiling from the same run; what an entry costs; growth.
//!
//! A real `touchmark up` process serves; this process is the load, on the same cores. Every load is bounded in requests and in time and stays
//! on loopback. Output is the Markdown that docs/benchmarks.md holds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints a report")]

mod ceiling;
mod growth;
mod requests;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use touchmark_bench::disk;
use touchmark_bench::loader::{self, Load};
use touchmark_bench::processes::Ceiling;
use touchmark_testing::process::free_port;

/// Clients of the closed loops: as many as fill the server's batches.
const CLIENTS: usize = 256;
/// Entries a second of the open loop.
const STEADY_PER_SECOND: u32 = 200;

/// Measures the log engine under `touchmark up`, beside its ceiling.
#[derive(Parser)]
struct Arguments {
    /// How long the sustained load runs; the ceiling runs a quarter of that, before and after
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Requests that are prepared for each second of load
    #[arg(long, default_value_t = 20_000, value_name = "COUNT")]
    prepare: usize,
    /// The binary to measure
    #[arg(long, default_value = "target/release/touchmark")]
    binary: PathBuf,
    /// Where the data goes: a directory on the disk to measure [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only append so many entries in process, without HTTP, and look at speed, memory, restart and size
    #[arg(long, value_name = "COUNT")]
    growth: Option<u64>,
    /// Only serve the ceiling on this port, durable in this file: how this program starts it
    #[arg(long, hide = true, num_args = 2, value_names = ["PORT", "FILE"])]
    ceiling: Option<Vec<String>>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some([port, path]) = arguments.ceiling.as_deref() {
        return ceiling::serve(port.parse().context("the port")?, path.as_ref()).await;
    }
    let dir = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.context("no directory for the data")?;
    if let Some(entries) = arguments.growth {
        return growth::measure(dir.path(), entries).await;
    }
    let sync = disk::sync(dir.path()).context("the disk")?;
    println!("4 KiB appended and fdatasync'ed: {:.2} ms (p50), {:.2} ms (p99).\n", sync.p50_ms, sync.p99_ms);
    let span = Duration::from_secs(arguments.seconds);
    let quarter = span / 4;

    println!("| load | clients | per second | p50 | p99 | worst |\n| --- | --- | --- | --- | --- | --- |");
    let before = ceiling(&arguments, dir.path(), quarter).await?;
    row("ceiling: echo + P-256 check + fdatasync of the batch", &before);
    let server = server::Measured::start(&arguments.binary, dir.path(), free_port()?).await?;
    let lone = server.closed(1, Duration::from_secs(10).min(span), arguments.prepare).await?;
    row("log entry, 1 client", &lone.load);
    let steady = server.open(STEADY_PER_SECOND, Duration::from_secs(20).min(span)).await?;
    row(&format!("log entry, {STEADY_PER_SECOND} a second"), &steady.load);
    let full = server.closed(CLIENTS, span, arguments.prepare).await?;
    row(&format!("log entry, {CLIENTS} clients, {} s", arguments.seconds), &full.load);
    let syncs = server.syncs(arguments.prepare).await;
    server.stop().await?;
    let after = ceiling(&arguments, dir.path(), quarter).await?;
    row("ceiling again", &after);

    let bound = f64::midpoint(before.per_second(), after.per_second());
    println!(
        "\n{:.0} entries a second are {:.2} of the ceiling.",
        full.load.per_second(),
        full.load.per_second() / bound
    );
    println!(
        "A lone client waits {:.2} ms (p50) for its proof; 2 ms and two fdatasyncs are {:.2} ms.",
        lone.load.within_ms(500),
        2.0 + 2.0 * sync.p50_ms
    );
    println!("At {STEADY_PER_SECOND} entries a second p99 is {:.1} ms.", steady.load.within_ms(990));
    println!(
        "One entry costs the server {:.0} µs of processor time ({:.0} µs alone); resident memory at the end {:.0} MiB.",
        full.cpu_micros_each(),
        lone.cpu_micros_each(),
        full.resident_mib
    );
    match syncs {
        Ok(syncs) => print!("{syncs}"),
        Err(error) => eprintln!("syncs were not counted: {error:#}"),
    }
    Ok(())
}

async fn ceiling(arguments: &Arguments, dir: &std::path::Path, span: Duration) -> Result<Load> {
    let process = Ceiling::start(&[dir.join("ceiling").as_os_str()])?;
    let requests = requests::of_entries(process.port, "/echo", span.as_secs_f64(), 2 * arguments.prepare)?;
    process.await_ready(&requests).await?;
    loader::closed(process.port, 200, CLIENTS, span, &requests).await
}

fn row(what: &str, load: &Load) {
    println!("{}", load.row(what));
}
