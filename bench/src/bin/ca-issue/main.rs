// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask bench ca`: the certificate authority under load, beside its ceiling from the same run; what a certificate costs.
//!
//! A real `touchmark serve` process has the authority, the CT log and the try-out issuer; this process is the load, on the same cores. Every request
//! has a token and a key of its own, made and signed before the load begins. Every load is bounded in requests and in time and stays on loopback.
//! Output is the Markdown that docs/benchmarks.md holds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints a report")]

mod authority;
mod ceiling;
mod operations;
mod requests;
mod server;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use touchmark_bench::authority::Curve;
use touchmark_bench::disk;
use touchmark_bench::loader::{self, Load, Supply};
use touchmark_bench::processes::{Ceiling, Cost};

use authority::Authority;
use operations::Operations;
use requests::Tokens;
use server::Measured;

/// Clients of the closed loops: as many as fill the log's batches.
const CLIENTS: usize = 256;
/// Certificates a second of the open loop.
const STEADY_PER_SECOND: u32 = 100;
/// What a lone client cannot reach, on any disk: requests that are prepared for each of its seconds.
const LONE_PER_SECOND: f64 = 4_000.0;
/// Requests that the ceiling, which tells no two apart, is sent in turns.
const CEILING_REQUESTS: usize = 2_000;
/// Room above the ceiling for requests that are prepared: a machine may be faster a minute later.
const HEADROOM: f64 = 1.25;

/// Measures the certificate authority under `touchmark serve`, beside its ceiling.
#[derive(Parser)]
struct Arguments {
    /// How long the sustained load runs; the ceiling runs a quarter of that, before and after
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    seconds: u64,
    /// The keys of root and issuing authority; both, one after the other, if left out
    #[arg(long, value_enum)]
    curve: Option<Curve>,
    /// The binary to measure
    #[arg(long, default_value = "target/release/touchmark")]
    binary: PathBuf,
    /// Where the data goes: a directory on the disk to measure [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only the ceiling and the sustained load, without counting syncs: to compare two binaries in turns
    #[arg(long)]
    brief: bool,
    /// Only serve the ceiling on this port, durable in this file: how this program starts it
    #[arg(long, hide = true, num_args = 2, value_names = ["PORT", "FILE"])]
    ceiling: Option<Vec<String>>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some([port, path]) = arguments.ceiling.as_deref() {
        let curve = arguments.curve.context("the curve")?;
        return ceiling::serve(port.parse().context("the port")?, path.as_ref(), curve.key_type()).await;
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
    println!("\n## {} keys of the authority\n", curve.name());
    if !arguments.brief {
        Operations::new(curve.key_type())?.print_costs().await?;
    }
    let authority = Authority::create(dir, curve.key_type()).await?;
    let tokens = Tokens::of(&authority)?;
    println!("| load | clients | per second | p50 | p99 | worst |\n| --- | --- | --- | --- | --- | --- |");
    // What waits for single syncs comes first: a disk that is shared gives a share after much was written, and holds it back then.
    if !arguments.brief {
        let bound = ceiling(curve, dir, &tokens, Beat::Steady(span)).await?;
        row(&format!("the ceiling, {STEADY_PER_SECOND} a second"), &bound.load);
    }
    let server = Measured::start(&arguments.binary, &authority).await?;
    let lone = if arguments.brief {
        None
    } else {
        let steady = server.open(STEADY_PER_SECOND, span, &tokens).await?;
        row(&format!("certificate, {STEADY_PER_SECOND} a second"), &steady.load);
        let lone_span = Duration::from_secs(5).min(span);
        let lone = server.closed(1, lone_span, tokens.requests(server.port(), lone_span, LONE_PER_SECOND)?).await?;
        row("certificate, 1 client", &lone.load);
        Some(lone)
    };
    let before = ceiling(curve, dir, &tokens, Beat::Full(span / 4)).await?;
    row("ceiling: echo + public key operations + fdatasync of the batch", &before.load);
    let enough = HEADROOM * before.load.per_second();
    let full = server.closed(CLIENTS, span, tokens.requests(server.port(), span, enough)?).await?;
    row(&format!("certificate, {CLIENTS} clients, {} s", arguments.seconds), &full.load);
    let syncs = if arguments.brief { Ok(String::new()) } else { server.syncs(&tokens, enough).await };
    server.stop().await?;
    let after = ceiling(curve, dir, &tokens, Beat::Full(span / 4)).await?;
    row("ceiling again", &after.load);

    let bound = f64::midpoint(before.load.per_second(), after.load.per_second());
    println!(
        "\n{:.0} certificates a second are {:.2} of the ceiling.",
        full.load.per_second(),
        full.load.per_second() / bound
    );
    println!(
        "One certificate costs the server {:.0} µs of processor time, and the ceiling {:.0} and {:.0} µs.",
        full.cpu_micros_each(),
        before.cpu_micros_each(),
        after.cpu_micros_each()
    );
    if let Some(lone) = lone {
        println!("For a lone client it is {:.0} µs.", lone.cpu_micros_each());
    }
    println!("Resident memory at the end: {:.0} MiB.", full.resident_mib);
    match syncs {
        Ok(syncs) => print!("{syncs}"),
        Err(error) => eprintln!("syncs were not counted: {error:#}"),
    }
    Ok(())
}

/// How requests come, and for how long.
#[derive(Clone, Copy)]
enum Beat {
    /// Each client sends the next when it has its reply.
    Full(Duration),
    /// [`STEADY_PER_SECOND`], whether there is a reply or not.
    Steady(Duration),
}

async fn ceiling(curve: Curve, dir: &Path, tokens: &Tokens, beat: Beat) -> Result<Cost> {
    let file = dir.join("ceiling");
    let process = Ceiling::start(&[file.as_os_str(), OsStr::new("--curve"), OsStr::new(curve.argument())])?;
    let requests = tokens.make(process.port, "/echo", CEILING_REQUESTS, Supply::Again)?;
    process.await_ready(&requests).await?;
    let used = process.watched().cpu()?;
    let load = match beat {
        Beat::Full(span) => loader::closed(process.port, 200, CLIENTS, span, &requests).await?,
        Beat::Steady(span) => loader::open(process.port, 200, STEADY_PER_SECOND, span, &requests).await?,
    };
    process.watched().cost(load, used)
}

fn row(what: &str, load: &Load) {
    println!("{}", load.row(what));
}
