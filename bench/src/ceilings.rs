// SPDX-License-Identifier: Apache-2.0
//! What this machine can do at most: a signature verification, a durable append, an HTTP echo by the same client. Measured in the run that quotes them.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use touchmark_keys::{HashAlgorithm, Scheme, digest};
use touchmark_testing::load;
use url::Url;

use crate::CLIENTS;
use crate::drive::{Measured, Target, drive};

/// Bytes of one append in the durability ceiling: about a batch of a few entries.
const APPEND_BYTES: usize = 4096;

pub(crate) struct Ceilings {
    verify_per_second: f64,
    append_per_second: f64,
    append_p50_ms: f64,
    append_p99_ms: f64,
    echo: Vec<(usize, Measured)>,
}

/// Measures all ceilings, each for about `span`, bounded.
pub(crate) async fn measure(dir: &Path, span: Duration) -> Result<Ceilings> {
    let span = span.min(Duration::from_secs(5));
    let (append_per_second, append_p50_ms, append_p99_ms) = append(dir, span)?;
    let mut echo = Vec::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no port for the echo")?;
    let url = Url::parse(&format!("http://{}/echo", listener.local_addr()?))?;
    // The echo runs in a process of its own, as the services do.
    drop(listener);
    let server = EchoProcess::start(&url)?;
    server.await_ready(&url).await?;
    let key = load::LoadKey::generate();
    let body = load::entry_request(&key, b"echo").body;
    for clients in CLIENTS {
        let target = Target { url: url.clone(), good: 200, content_type: "application/json" };
        echo.push((clients, drive(&target, clients, span, || body.clone()).await?));
    }
    drop(server);
    Ok(Ceilings { verify_per_second: verify(span)?, append_per_second, append_p50_ms, append_p99_ms, echo })
}

impl Ceilings {
    pub(crate) fn print(&self) {
        println!("\n## Ceilings\n\n| | per second | p50 | p99 |\n| --- | --- | --- | --- |");
        println!("| verify a P-256 signature, one core | {:.0} | | |", self.verify_per_second);
        println!(
            "| append {APPEND_BYTES} bytes + fdatasync | {:.0} | {:.2} ms | {:.2} ms |",
            self.append_per_second, self.append_p50_ms, self.append_p99_ms
        );
        for (clients, measured) in &self.echo {
            println!(
                "| HTTP echo of a log entry request, {clients} clients | {:.0} | {:.1} ms | {:.1} ms |",
                measured.per_second(),
                measured.quantile_ms(0.5),
                measured.quantile_ms(0.99)
            );
        }
    }

    /// A log entry costs at least an echo and a verification; one alone also waits for a durable append.
    pub(crate) fn beside_entries(&self, clients: usize, measured: &Measured) -> String {
        let Some(echo) = self.echo_of(clients) else { return String::new() };
        let bound = if clients == 1 {
            // One client waits for each in turn.
            1.0 / (1.0 / echo.per_second() + 1.0 / self.verify_per_second + 1.0 / self.append_per_second)
        } else {
            1.0 / (1.0 / echo.per_second() + 1.0 / (2.0 * self.verify_per_second))
        };
        format!("{:.2} of echo + verify{}", measured.per_second() / bound, if clients == 1 { " + append" } else { "" })
    }

    pub(crate) fn beside_echo(&self, clients: usize, measured: &Measured) -> String {
        self.echo_of(clients)
            .map_or_else(String::new, |echo| format!("{:.2} of echo", measured.per_second() / echo.per_second()))
    }

    fn echo_of(&self, clients: usize) -> Option<&Measured> {
        self.echo.iter().find(|(count, _)| *count == clients).map(|(_, measured)| measured)
    }
}

fn verify(span: Duration) -> Result<f64> {
    let (public_key, digest, signature) = load::signed_digest(b"ceiling");
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < span {
        for _ in 0..100 {
            public_key
                .verify_digest(Scheme::EcdsaP256Sha256, &digest, &signature)
                .context("the ceiling's own signature")?;
        }
        count += 100;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

fn append(dir: &Path, span: Duration) -> Result<(f64, f64, f64)> {
    let mut file = File::create(dir.join("append")).context("cannot create the file to append to")?;
    let block = digest(HashAlgorithm::Sha256, b"block").as_bytes().repeat(APPEND_BYTES / 32);
    let begun = Instant::now();
    let mut latencies = Vec::new();
    while begun.elapsed() < span {
        let one = Instant::now();
        file.write_all(&block).context("cannot append")?;
        file.sync_data().context("cannot sync")?;
        latencies.push(one.elapsed().as_secs_f64() * 1e3);
    }
    let per_second = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let p50 = latencies.get(latencies.len() / 2).copied().unwrap_or_default();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    Ok((per_second, p50, p99))
}

/// The echo server, in a process of its own so that it shares the machine with the load just as the services do.
struct EchoProcess(std::process::Child);

impl EchoProcess {
    fn start(url: &Url) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let port = url.port().context("the echo has a port")?;
        let child = std::process::Command::new(program).args(["--echo", &port.to_string()]).spawn();
        Ok(Self(child.context("cannot start the echo")?))
    }

    async fn await_ready(&self, url: &Url) -> Result<()> {
        let outbound = touchmark_outbound::Outbound::new("touchmark-bench", touchmark_outbound::Reach::Private, None);
        for _ in 0..500 {
            if outbound.post(url, &[], b"ready".to_vec(), &touchmark_outbound::Limits::SERVICE).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the echo does not answer")
    }
}

impl Drop for EchoProcess {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves the echo until it is killed by the process that started it.
pub(crate) async fn serve_echo(port: u16) -> Result<()> {
    let router = axum::Router::new().route("/echo", axum::routing::post(|body: axum::body::Bytes| async move { body }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.context("no port for the echo")?;
    axum::serve(listener, router).await.context("the echo ended")
}
