// SPDX-License-Identifier: Apache-2.0
//! SIGKILL at random moments under load, again and again; then an audit of everything that was ever acknowledged.
//!
//! Held here: an acknowledged entry is in the log at its index with a valid proof under the final checkpoint; every checkpoint that was ever returned is consistent with
//! the final one; no certificate was issued that the CT log does not hold; no entry stands twice. `TOUCHMARK_CRASH_ROUNDS` sets the number of
//! kills (default 20), `TOUCHMARK_CRASH_SEED` repeats a run's delays.

#![expect(clippy::print_stderr, reason = "a run says its seed, so that it can be repeated")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use touchmark_keys::PublicKey;
use touchmark_outbound::{Outbound, Reach};
use touchmark_testing::audit::{Leaves, LogCopy};
use touchmark_testing::load;
use touchmark_testing::process::{ServerProcess, free_port};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};
use url::Url;

const EMAIL: &str = "crash@example.com";
const ENTRY_WRITERS: usize = 12;
const CERTIFICATE_WRITERS: usize = 3;
/// Load runs at least and at most this long before a kill.
const KILL_AFTER_MS: std::ops::Range<u64> = 5..400;

/// What the server said yes to.
#[derive(Default)]
struct Acknowledged {
    entries: Vec<Value>,
    certificates: Vec<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives_sigkill() {
    let rounds = setting("TOUCHMARK_CRASH_ROUNDS").unwrap_or(20);
    let seed = setting("TOUCHMARK_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("TOUCHMARK_CRASH_SEED={seed} TOUCHMARK_CRASH_ROUNDS={rounds}");
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data_dir = dir.path().join("data");
    let port = free_port().expect("a free port");
    let serial = Arc::new(AtomicU64::new(0));
    let mut acknowledged = Acknowledged::default();

    for _ in 0..rounds {
        let server = ServerProcess::start(binary, &data_dir, port).await.expect("the server starts after a kill");
        let token = touchmark_server::try_out_token(&data_dir, EMAIL, None).await.expect("a token");
        let load = Load::begin(server.url(), &token, &serial);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let span = KILL_AFTER_MS.end - KILL_AFTER_MS.start;
        tokio::time::sleep(Duration::from_millis(KILL_AFTER_MS.start + (random >> 33) % span)).await;
        server.kill().expect("the server can be killed");
        load.end(&mut acknowledged).await;
    }

    let server = ServerProcess::start(binary, &data_dir, port).await.expect("the server starts after the last kill");
    audit(server.url(), &data_dir, &acknowledged).await;
    assert!(server.stop().await.expect("the server stops").success());
}

async fn audit(url: &Url, data_dir: &Path, acknowledged: &Acknowledged) {
    let root = std::fs::read(data_dir.join("client/trusted_root.json")).expect("a trusted root");
    let root: Value = serde_json::from_slice(&root).expect("a trusted root");
    let outbound = Outbound::new("touchmark-testing", Reach::Private, None);

    let (base, key) = log_of(&root, "/tlogs/0", NoteAlgorithm::Ed25519, url);
    let rekor =
        LogCopy::read(&outbound, &base, key, Leaves::EntryBundles).await.expect("the log has its checkpoint's root");
    for entry in &acknowledged.entries {
        rekor.holds_entry(entry).expect("an acknowledged entry is in the log");
    }
    assert_eq!(rekor.duplicates(), 0, "no entry stands twice");

    let (base, key) = log_of(&root, "/ctlogs/0", NoteAlgorithm::Rfc6962, url);
    let ct =
        LogCopy::read(&outbound, &base, key, Leaves::GetEntries).await.expect("the CT log has its checkpoint's root");
    for chain in &acknowledged.certificates {
        ct.holds_certificate(chain).expect("an issued certificate is in the CT log");
    }
    assert_eq!(ct.duplicates(), 0, "no certificate stands twice");
    eprintln!(
        "audited {} acknowledged entries in a log of {}, {} certificates in a log of {}",
        acknowledged.entries.len(),
        rekor.size(),
        acknowledged.certificates.len(),
        ct.size()
    );
    assert!(!acknowledged.entries.is_empty() && !acknowledged.certificates.is_empty(), "the load wrote something");
}

/// A log's address and key, from the trusted root alone.
fn log_of(root: &Value, pointer: &str, algorithm: NoteAlgorithm, url: &Url) -> (Url, NoteKey) {
    use base64::Engine as _;
    let log = root.pointer(pointer).expect("the trusted root names the log");
    let base_url = log.pointer("/baseUrl").and_then(Value::as_str).expect("a base URL");
    let name = Url::parse(base_url).expect("a base URL").host_str().expect("a host").to_owned();
    let spki = log.pointer("/publicKey/rawBytes").and_then(Value::as_str).expect("a key");
    let spki = base64::engine::general_purpose::STANDARD.decode(spki).expect("base64");
    let key = PublicKey::from_spki_der(&spki).expect("a key");
    let base = url.join(&format!("log/{name}/")).expect("a log address");
    (base, NoteKey::new(&name, algorithm, key).expect("a note key"))
}

/// Writers that go on until the server is gone.
struct Load {
    stop: Arc<AtomicBool>,
    entries: Vec<tokio::task::JoinHandle<Vec<Value>>>,
    certificates: Vec<tokio::task::JoinHandle<Vec<Vec<String>>>>,
}

impl Load {
    fn begin(url: &Url, token: &str, serial: &Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
        let key = Arc::new(load::LoadKey::generate());
        let entries = (0..ENTRY_WRITERS).map(|_| {
            let (outbound, stop, serial, key) = (outbound.clone(), stop.clone(), serial.clone(), key.clone());
            let url = url.join("api/v2/log/entries").expect("a path");
            tokio::spawn(async move { write_entries(&outbound, &url, &key, &stop, &serial).await })
        });
        let certificates = (0..CERTIFICATE_WRITERS).map(|_| {
            let (outbound, stop, token) = (outbound.clone(), stop.clone(), token.to_owned());
            let url = url.join("api/v2/signingCert").expect("a path");
            tokio::spawn(async move { request_certificates(&outbound, &url, &token, &stop).await })
        });
        Self { entries: entries.collect(), certificates: certificates.collect(), stop }
    }

    async fn end(self, acknowledged: &mut Acknowledged) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.entries {
            acknowledged.entries.extend(task.await.expect("a writer does not panic"));
        }
        for task in self.certificates {
            acknowledged.certificates.extend(task.await.expect("a writer does not panic"));
        }
    }
}

async fn write_entries(
    outbound: &Outbound,
    url: &Url,
    key: &load::LoadKey,
    stop: &AtomicBool,
    serial: &AtomicU64,
) -> Vec<Value> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let artifact = serial.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let Ok(reply) = load::post_json(outbound, url, load::entry_request(key, &artifact).body).await else { break };
        // Anything but 201 under a kill is a refusal; a good reply cut short does not parse.
        if reply.status == 201
            && let Some(entry) = load::json_of(&reply)
        {
            acknowledged.push(entry);
        }
    }
    acknowledged
}

async fn request_certificates(outbound: &Outbound, url: &Url, token: &str, stop: &AtomicBool) -> Vec<Vec<String>> {
    let mut issued = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(reply) = load::post_json(outbound, url, load::certificate_request(token, EMAIL)).await else { break };
        let chain = load::json_of(&reply).and_then(|reply| {
            let chain = reply.pointer("/signedCertificateEmbeddedSct/chain/certificates")?.as_array()?.clone();
            chain.iter().map(|pem| pem.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if let (200, Some(chain)) = (reply.status, chain) {
            issued.push(chain);
        }
    }
    issued
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
