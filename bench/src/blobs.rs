// SPDX-License-Identifier: Apache-2.0
//! Whole processes: `touchmark sign-blob` and `touchmark verify-blob`, wall time and peak memory as the kernel counted it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use touchmark_testing::process::ServerProcess;

use crate::EMAIL;

/// Size of the artifact: large enough to be a real file, small enough that hashing does not hide the rest.
const ARTIFACT_BYTES: usize = 1 << 20;

pub(crate) async fn measure(
    binary: &Path,
    server: &ServerProcess,
    data_dir: &Path,
    dir: &Path,
    runs: usize,
) -> Result<()> {
    let token = touchmark_server::try_out_token(data_dir, EMAIL, None).await.context("no token")?;
    let issuer = issuer_of(data_dir)?;
    let file = dir.join("artifact");
    std::fs::write(&file, vec![0x61; ARTIFACT_BYTES]).context("cannot write the artifact")?;
    let bundle = dir.join("artifact.sigstore.json");
    let trusted_root = data_dir.join("client/trusted_root.json");
    let signing_config = data_dir.join("client/signing_config.json");

    let sign = || {
        let mut command = Command::new(binary);
        command
            .args(["sign-blob", "-y", "--overwrite", "--identity-token", &token, "--trusted-root"])
            .arg(&trusted_root);
        command.arg("--signing-config").arg(&signing_config).arg("--bundle").arg(&bundle).arg(&file);
        command
    };
    let verify = || {
        let mut command = Command::new(binary);
        command.args([
            "verify-blob",
            "--certificate-identity",
            EMAIL,
            "--certificate-oidc-issuer",
            &issuer,
            "--trusted-root",
        ]);
        command.arg(&trusted_root).arg("--bundle").arg(&bundle).arg(&file);
        command
    };
    let version = || {
        let mut command = Command::new(binary);
        command.arg("version");
        command
    };
    println!(
        "\n## Whole processes\n\nArtifact of 1 MiB, {runs} runs each, server at {}.\n",
        server.url().host_str().unwrap_or("loopback")
    );
    println!("| command | wall, median | wall, worst | peak memory |\n| --- | --- | --- | --- |");
    for (what, make) in [
        ("`touchmark version` (process start)", &version as &dyn Fn() -> Command),
        ("`touchmark sign-blob`", &sign),
        ("`touchmark verify-blob`, offline", &verify),
    ] {
        let mut walls = Vec::new();
        let mut peak_kib = 0;
        for _ in 0..runs {
            let (wall_ms, kib) = timed(make())?;
            walls.push(wall_ms);
            peak_kib = peak_kib.max(kib);
        }
        walls.sort_by(f64::total_cmp);
        let (median, worst) = (walls[walls.len() / 2], walls[walls.len() - 1]);
        println!("| {what} | {median:.1} ms | {worst:.1} ms | {:.1} MiB |", f64::from(peak_kib) / 1024.0);
    }
    Ok(())
}

/// Runs a command and returns its wall time and its peak resident memory in KiB.
fn timed(mut command: Command) -> Result<(f64, u32)> {
    let begun = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start")?;
    let mut peak_kib = 0;
    let status_path = format!("/proc/{}/status", child.id());
    let status = loop {
        if let Ok(text) = std::fs::read_to_string(&status_path)
            && let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            peak_kib = line.trim().trim_end_matches(" kB").trim().parse().unwrap_or(peak_kib).max(peak_kib);
        }
        if let Some(status) = child.try_wait().context("cannot wait")? {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    };
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        std::io::Read::read_to_string(&mut stderr, &mut said).context("cannot read what it said")?;
    }
    ensure!(status.success(), "{command:?} failed: {status}\n{said}");
    Ok((wall, peak_kib))
}

fn issuer_of(data_dir: &Path) -> Result<String> {
    let text = std::fs::read(data_dir.join("client/signing_config.json")).context("no signing config")?;
    let config: serde_json::Value = serde_json::from_slice(&text).context("no signing config")?;
    let url = config.pointer("/oidcUrls/0/url").and_then(serde_json::Value::as_str);
    Ok(url.context("the signing config names no issuer")?.to_owned())
}
