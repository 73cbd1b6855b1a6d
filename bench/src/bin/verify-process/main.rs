// SPDX-License-Identifier: Apache-2.0
//! What one process costs that verifies one bundle and goes: wall time, peak memory, and how fast a large file goes through it.
//!
//! Processes of each kind take turns, so that whatever else the machine does meets all of them. Peak memory is the kernel's
//! count over all children so far (`getrusage`); it holds what this program had at the fork, so it is an upper bound, and
//! this program keeps itself small.
//!
//! With `--write-link-order` it measures nothing, and writes the list by which the binary is linked.
#![expect(clippy::print_stdout, reason = "prints a report")]

mod order;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{self, SHA256};
use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use touchmark_bench::case::{Case, IDENTITY, ISSUER};
use touchmark_bench::statistics::{median, quantile};

/// What is verified: file and statement, each of Rekor v1 and v2.
const BUNDLES: [&str; 2] = ["rekor2-happy-path", "happy-path-v0.3"];
/// One read of the ceiling.
const READ_BYTES: usize = 1 << 20;
/// How often the large file is hashed and verified.
const LARGE_RUNS: usize = 3;
/// The exit code of a signature over something else.
const TAMPERED: i32 = 14;

/// Wall time and peak memory of `touchmark verify-blob --offline`, and its speed over a large file.
#[derive(Parser)]
struct Arguments {
    /// The binary to measure.
    #[arg(long, default_value = "target/release/touchmark")]
    binary: PathBuf,
    /// How often each bundle is verified.
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    runs: usize,
    /// Size of the large file, in MiB; it is sparse and takes no room.
    #[arg(long, default_value_t = 4096, value_name = "MIB")]
    large_mib: u64,
    /// Measure nothing, and write which functions these processes run, for the linker; needs valgrind.
    #[arg(long, value_name = "FILE")]
    write_link_order: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.runs > 0, "nothing to measure");
    let cases = BUNDLES.iter().map(|name| Case::read(name)).collect::<Result<Vec<_>>>()?;
    let binary = &arguments.binary;
    if let Some(file) = &arguments.write_link_order {
        let verifying = cases.iter().map(|case| verify(binary, case, &case.artifact_path));
        return order::write(file, binary, std::iter::once(version(binary)).chain(verifying).collect());
    }
    let mut kinds: Vec<(String, Box<dyn Fn() -> Command>)> =
        vec![("process start (`touchmark version`)".to_owned(), Box::new(|| version(binary)))];
    for case in &cases {
        kinds.push((
            format!("`touchmark verify-blob --offline`, {}", case.name),
            Box::new(move || verify(binary, case, &case.artifact_path)),
        ));
    }
    let mut walls = vec![Vec::with_capacity(arguments.runs); kinds.len()];
    for _ in 0..arguments.runs {
        for ((_, make), walls) in kinds.iter().zip(&mut walls) {
            walls.push(timed(&mut make())?);
        }
    }
    println!("| process | runs | wall, median | 95 of 100 |\n| --- | --- | --- | --- |");
    for ((what, _), walls) in kinds.iter().zip(&walls) {
        let p95 = quantile(walls, 0.95);
        println!("| {what} | {} | {:.2} ms | {p95:.2} ms |", arguments.runs, median(walls));
    }
    println!("\nPeak memory of any of them: {:.1} MiB.", peak_mib()?);
    large(&arguments, &cases[0])
}

fn version(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("version");
    command
}

fn verify(binary: &Path, case: &Case, artifact: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args(["verify-blob", "--offline", "--output", "json", "--trusted-root"]).arg(&case.root_path);
    command.args(["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER]);
    command.arg("--bundle").arg(&case.bundle_path).arg(artifact);
    command
}

/// Runs a command that must succeed; its wall time in milliseconds.
fn timed(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().context("cannot start it")?;
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(wall)
}

/// A file that nobody signed: it is read to its end, and the verdict names the digest that shows it.
fn large(arguments: &Arguments, case: &Case) -> Result<()> {
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let path = dir.path().join("large");
    let bytes = arguments.large_mib << 20;
    File::create(&path).and_then(|file| file.set_len(bytes)).context("cannot make the large file")?;
    let mb_per_second = |begun: Instant| bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..LARGE_RUNS {
        let begun = Instant::now();
        let digest = hash(&path).context("cannot hash the large file")?;
        bare.push(mb_per_second(begun));
        let begun = Instant::now();
        let output = verify(&arguments.binary, case, &path).stdin(Stdio::null()).output().context("cannot start it")?;
        ours.push(mb_per_second(begun));
        ensure!(output.status.code() == Some(TAMPERED), "expected exit code {TAMPERED}, found {}", output.status);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(said.contains(&digest), "the verdict does not name the digest {digest}:\n{said}");
    }
    println!("\n| a file of {} MiB | MB/s |\n| --- | --- |", arguments.large_mib);
    println!("| read and hashed with the bare SHA-256 of the library | {:.0} |", median(&bare));
    println!("| `touchmark verify-blob` | {:.0} |", median(&ours));
    println!("\nRatio {:.3}; peak memory of any process: {:.1} MiB.", median(&ours) / median(&bare), peak_mib()?);
    Ok(())
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&SHA256);
    let mut buffer = vec![0_u8; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => context.update(&buffer[..count]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The largest resident memory of any child that has ended.
fn peak_mib() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("the kernel does not say")?;
    Ok(usage.max_rss() as f64 / 1024.0)
}
