// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench tsa`: the timestamp authority under load, beside its ceiling from the same run; what a timestamp costs.
//!
//! A real `touchmark serve` process has the authority; this process is the load, on the same cores. Every request has a digest and a nonce of its own.
//! Every load is bounded in requests and in time and stays on loopback. Output is the Markdown that docs/benchmarks.md holds.
#![expect(clippy::print_stdout, reason = "prints a report")]

mod authority;
mod ceiling;
mod requests;
mod server;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use touchmark_bench::authority::Curve;
use touchmark_bench::disk;
use touchmark_bench::loader::{self, Load};
use touchmark_bench::processes::{Ceiling, Cost};

use authority::{Audit, Authority};
use server::Measured;

/// Clients of the closed loops.
const CLIENTS: usize = 128;
/// Timestamps a second of the open loop.
const STEADY_PER_SECOND: u32 = 500;

/// Measures the timestamp authority under `touchmark serve`, beside its ceiling.
#[derive(Parser)]
struct Arguments {
    /// How long the sustained load runs; the ceiling runs a quarter of that, before and after
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    seconds: u64,
    /// The key of the authority; both, one after the other, if left out
    #[arg(long, value_enum)]
    curve: Option<Curve>,
    /// Clients of the sustained load and of the ceiling
    #[arg(long, default_value_t = CLIENTS, value_name = "NUMBER")]
    clients: usize,
    /// The binary to measure
    #[arg(long, default_value = "target/release/touchmark")]
    binary: PathBuf,
    /// Where the data goes: a directory on the disk to measure [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only the ceiling and the sustained load without an audit log: to compare two binaries in turns
    #[arg(long)]
    brief: bool,
    /// Only serve the ceiling on this port: how this program starts it
    #[arg(long, hide = true, value_name = "PORT")]
    ceiling: Option<u16>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(port) = arguments.ceiling {
        return ceiling::serve(port, arguments.curve.context("the curve")?.key_type()).await;
    }
    let dir = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.context("no directory for the data")?;
    let sync = disk::sync(dir.path()).context("the disk")?;
    println!("4 KiB appended and fdatasync'ed: {:.2} ms (p50), {:.2} ms (p99).", sync.p50_ms, sync.p99_ms);
    for curve in arguments.curve.map_or_else(|| vec![Curve::P256, Curve::P384], |curve| vec![curve]) {
        let dir = dir.path().join(curve.argument());
        std::fs::create_dir(&dir).context("no directory for the data")?;
        measure(&arguments, curve, &dir).await?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, curve: Curve, dir: &Path) -> Result<()> {
    let span = Duration::from_secs(arguments.seconds);
    println!("\n## A {} key of the authority\n", curve.name());
    println!("| load | clients | per second | p50 | p99 | worst |\n| --- | --- | --- | --- | --- | --- |");
    let before = ceiling(arguments, curve, span / 4).await?;
    row("ceiling: echo + one signature", &before.load);
    let plain = Authority::create(dir, curve.key_type(), Audit::Off).await?;
    let server = Measured::start(&arguments.binary, &plain).await?;
    let lone = if arguments.brief {
        None
    } else {
        let lone = server.closed(1, Duration::from_secs(5).min(span)).await?;
        row("timestamp, 1 client", &lone.load);
        let steady = server.open(STEADY_PER_SECOND, span).await?;
        row(&format!("timestamp, {STEADY_PER_SECOND} a second"), &steady.load);
        Some(lone)
    };
    let full = server.closed(arguments.clients, span).await?;
    row(&format!("timestamp, {} clients, {} s", arguments.clients, arguments.seconds), &full.load);
    server.stop().await?;
    let after = ceiling(arguments, curve, span / 4).await?;
    row("ceiling again", &after.load);
    if !arguments.brief {
        audited(arguments, curve, dir, span).await?;
    }

    let bound = f64::midpoint(before.load.per_second(), after.load.per_second());
    println!(
        "\n{:.0} timestamps a second are {:.2} of the ceiling.",
        full.load.per_second(),
        full.load.per_second() / bound
    );
    println!(
        "One timestamp costs the server {:.0} µs of processor time, and the ceiling {:.0} and {:.0} µs.",
        full.cpu_micros_each(),
        before.cpu_micros_each(),
        after.cpu_micros_each()
    );
    if let Some(lone) = lone {
        println!("For a lone client it is {:.0} µs.", lone.cpu_micros_each());
    }
    println!("Resident memory at the end: {:.0} MiB.", full.resident_mib);
    Ok(())
}

/// The same with an audit log: each timestamp waits for its line on the disk.
async fn audited(arguments: &Arguments, curve: Curve, dir: &Path, span: Duration) -> Result<()> {
    let dir = dir.join("audited");
    std::fs::create_dir(&dir).context("no directory for the data")?;
    let authority = Authority::create(&dir, curve.key_type(), Audit::On).await?;
    let server = Measured::start(&arguments.binary, &authority).await?;
    let lone = server.closed(1, Duration::from_secs(5).min(span / 2)).await?;
    row("with an audit log, 1 client", &lone.load);
    let full = server.closed(arguments.clients, span / 2).await?;
    row(&format!("with an audit log, {} clients", arguments.clients), &full.load);
    server.stop().await
}

async fn ceiling(arguments: &Arguments, curve: Curve, span: Duration) -> Result<Cost> {
    let process = Ceiling::start(&[OsStr::new("--curve"), OsStr::new(curve.argument())])?;
    let requests = requests::prepared(process.port, "/echo")?;
    process.await_ready(&requests).await?;
    let used = process.watched().cpu()?;
    let load = loader::closed(process.port, 200, arguments.clients, span, &requests).await?;
    process.watched().cost(load, used)
}

fn row(what: &str, load: &Load) {
    println!("{}", load.row(what));
}
