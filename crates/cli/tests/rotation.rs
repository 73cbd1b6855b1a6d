// SPDX-License-Identifier: Apache-2.0
//! Rotation under load, on a real server process that is never restarted: entries flow before, during and after; old bundles still verify;
//! clients that were initialised before follow through TUF; both logs are audited afterwards.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use touchmark_client::trust::{Freshness, TrustStore};
use touchmark_outbound::{Outbound, Reach};
use touchmark_sigstore::trust::{TransparencyLog, TrustedRoot};
use touchmark_testing::audit::{Leaves, LogCopy};
use touchmark_testing::load::{self, LoadKey};
use touchmark_testing::process::{ServerProcess, free_port};
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};
use url::Url;

const EMAIL: &str = "alice@example.com";
const FROZEN: &str = "This log has been frozen, please switch to the latest log.";
/// Rotations that are killed, each a little later than the one before.
const KILLED_ROTATIONS: u64 = 16;
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home with an initialised client, beside a running server.
struct Shell {
    dir: tempfile::TempDir,
}

impl Shell {
    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn cache(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn touchmark(&self, cache: &str, args: &[&str]) -> Output {
        let token = touchmark_server::try_out_token(&self.data_dir(), EMAIL, None).await.unwrap();
        let mut command = std::process::Command::new(binary());
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("TUF_ROOT", self.cache(cache)).env("SIGSTORE_ID_TOKEN", token);
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    }

    async fn succeeds(&self, cache: &str, args: &[&str]) -> String {
        let output = self.touchmark(cache, args).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn initialize(&self, cache: &str, server: &ServerProcess) {
        let (mirror, root) = (server.url().join("tuf").unwrap(), self.data_dir().join("client/root.json"));
        self.succeeds(cache, &["initialize", "--mirror", mirror.as_str(), "--root", root.to_str().unwrap()]).await;
    }

    async fn sign(&self, cache: &str, file: &str) {
        std::fs::write(self.dir.path().join(file), file).unwrap();
        self.succeeds(cache, &["sign-blob", file]).await;
    }

    async fn verifies(&self, cache: &str, file: &str) {
        let issuer = "--certificate-oidc-issuer-regexp=.*";
        self.succeeds(cache, &["verify-blob", file, "--certificate-identity", EMAIL, issuer]).await;
    }

    /// A `touchmark log` command. It needs nothing but the data directory.
    async fn log(&self, args: &[&str]) -> String {
        let data_dir = self.data_dir();
        let all: Vec<&str> =
            ["log"].iter().chain(args).copied().chain(["--data-dir", data_dir.to_str().unwrap()]).collect();
        self.succeeds("nothing", &all).await
    }

    /// The state of each log, by name.
    async fn states(&self) -> BTreeMap<String, String> {
        let listed: Value = serde_json::from_str(&self.log(&["list", "--output", "json"]).await).unwrap();
        let text = |log: &Value, member: &str| log[member].as_str().unwrap().to_owned();
        listed["logs"].as_array().unwrap().iter().map(|log| (text(log, "name"), text(log, "state"))).collect()
    }

    fn store(&self, cache: &str) -> TrustStore {
        TrustStore::at(self.cache(cache))
    }
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_touchmark"))
}

fn outbound() -> Outbound {
    Outbound::new("touchmark-testing", Reach::Private, None)
}

async fn trusted_root(store: &TrustStore) -> TrustedRoot {
    let outbound = outbound();
    let mut repository = store.open(Freshness::Refresh(&outbound), Timestamp::now()).await.unwrap();
    repository.trusted_root().await.unwrap()
}

/// What writers share.
struct Load {
    stop: AtomicBool,
    serial: AtomicU64,
    key: LoadKey,
    outbound: Outbound,
    base: Url,
    store: TrustStore,
    /// Logs of which a client that asks TUF now would know.
    known: Mutex<BTreeSet<Vec<u8>>>,
    entries: Mutex<Vec<Value>>,
    certificates: Mutex<Vec<Vec<String>>>,
    frozen_replies: AtomicU64,
}

impl Load {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn entry(&self, url: &Url) -> u16 {
        let artifact = self.serial.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let request = load::entry_request(&self.key, &artifact).body;
        let reply = load::post_json(&self.outbound, url, request).await.unwrap();
        match reply.status {
            201 => {
                let entry = load::json_of(&reply).unwrap();
                self.is_known(&entry).await;
                self.entries.lock().unwrap().push(entry);
            }
            405 => {
                let body = load::json_of(&reply).unwrap();
                assert_eq!((&body["message"], &body["code"]), (&FROZEN.into(), &12.into()));
                self.frozen_replies.fetch_add(1, Ordering::Relaxed);
            }
            other => assert_eq!(other, 503, "{url}: {}", String::from_utf8_lossy(&reply.body)),
        }
        reply.status
    }

    /// Nothing comes from a log whose key verifiers cannot have: whoever asks TUF after the reply finds the log there.
    async fn is_known(&self, entry: &Value) {
        let id = STANDARD.decode(entry["logId"]["keyId"].as_str().unwrap()).unwrap();
        if !self.known.lock().unwrap().contains(&id) {
            let root = trusted_root(&self.store).await;
            let ids: BTreeSet<Vec<u8>> = root.tlogs().iter().map(|log| log.log_id().to_vec()).collect();
            assert!(ids.contains(&id), "an entry of a log that the trusted root did not know yet");
            *self.known.lock().unwrap() = ids;
        }
    }

    /// Writes to one address for ever, as who has a fixed address does.
    async fn fixed(self: Arc<Self>, url: Url, may_end: bool) {
        while !self.stopped() {
            if self.entry(&url).await == 405 {
                assert!(may_end, "{url} is the address of the active log");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Writes to where the signing config says, and looks it up again when it is told to.
    async fn follower(self: Arc<Self>) -> BTreeSet<String> {
        let mut addresses = BTreeSet::new();
        while !self.stopped() {
            let mut repository = self.store.open(Freshness::Refresh(&self.outbound), Timestamp::now()).await.unwrap();
            let config = repository.signing_config().await.unwrap();
            let services = config.select(Timestamp::now()).unwrap();
            let url = services.rekor[0].url().to_owned();
            let url = Url::parse(&format!("{url}/api/v2/log/entries")).unwrap();
            addresses.insert(url.path().to_owned());
            // A signing config is good for a while: that is what the overlap is for.
            for _ in 0..20 {
                assert_ne!(self.entry(&url).await, 405, "within the overlap no client meets a frozen log");
            }
        }
        addresses
    }

    async fn certificates(self: Arc<Self>, data_dir: PathBuf) {
        let url = self.base.join("api/v2/signingCert").unwrap();
        while !self.stopped() {
            let token = touchmark_server::try_out_token(&data_dir, EMAIL, None).await.unwrap();
            let reply = load::post_json(&self.outbound, &url, load::certificate_request(&token, EMAIL)).await.unwrap();
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
            let reply = load::json_of(&reply).unwrap();
            let chain = reply.pointer("/signedCertificateEmbeddedSct/chain/certificates").unwrap().as_array().unwrap();
            let chain = chain.iter().map(|pem| pem.as_str().unwrap().to_owned()).collect();
            self.certificates.lock().unwrap().push(chain);
        }
    }

    /// Until as many entries more were acknowledged.
    async fn flows(&self, more: usize) {
        let (entries, certificates) = (self.entries.lock().unwrap().len(), self.certificates.lock().unwrap().len());
        let begun = Instant::now();
        while self.entries.lock().unwrap().len() < entries + more
            || self.certificates.lock().unwrap().len() < certificates + 3
        {
            assert!(begun.elapsed() < PATIENCE, "entries do not flow");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_flow_through_a_rotation_and_every_client_follows() {
    let shell = Shell { dir: tempfile::tempdir().unwrap() };
    let server = ServerProcess::start(binary(), &shell.data_dir(), free_port().unwrap()).await.unwrap();
    for cache in ["signer", "verifier", "load"] {
        shell.initialize(cache, &server).await;
    }
    shell.sign("signer", "before").await;
    let before = trusted_root(&shell.store("load")).await;
    let old = before.tlogs()[0].hostname().unwrap().to_owned();
    let old_url = server.url().join(&format!("log/{old}/api/v2/log/entries")).unwrap();
    let load = Arc::new(Load {
        stop: AtomicBool::new(false),
        serial: AtomicU64::new(0),
        key: LoadKey::generate(),
        outbound: outbound(),
        base: server.url().clone(),
        store: shell.store("load"),
        known: Mutex::new(BTreeSet::new()),
        entries: Mutex::new(Vec::new()),
        certificates: Mutex::new(Vec::new()),
        frozen_replies: AtomicU64::new(0),
    });
    let bare = server.url().join("api/v2/log/entries").unwrap();
    let fixed = [(bare.clone(), false), (bare.clone(), false), (old_url.clone(), true), (old_url.clone(), true)];
    let fixed: Vec<_> = fixed.map(|(url, may_end)| tokio::spawn(Arc::clone(&load).fixed(url, may_end))).into();
    let follower = tokio::spawn(Arc::clone(&load).follower());
    let certificates = tokio::spawn(Arc::clone(&load).certificates(shell.data_dir()));

    load.flows(50).await;
    let new = shell.log(&["rotate", "--kind", "rekor", "--overlap", "4s"]).await.trim().to_owned();
    shell.log(&["rotate", "--kind", "ct", "--overlap", "4s"]).await;
    let states = shell.states().await;
    assert_eq!((states[&old].as_str(), states[&new].as_str()), ("retired", "active"), "{states:?}");
    load.flows(50).await;
    shell.sign("signer", "during").await;
    wait_until_frozen(&shell, 2).await;
    load.flows(50).await;

    load.stop.store(true, Ordering::Relaxed);
    for task in fixed {
        task.await.unwrap();
    }
    let addresses = follower.await.unwrap();
    let address = |name: &str| format!("/log/{name}/api/v2/log/entries");
    assert_eq!(addresses, BTreeSet::from([address(&old), address(&new)]), "the follower wrote to both logs");
    certificates.await.unwrap();
    assert!(load.frozen_replies.load(Ordering::Relaxed) > 0, "who still came to the old log was told so");

    shell.sign("signer", "after").await;
    // The verifier has not looked at TUF since before the rotation.
    for cache in ["verifier", "signer"] {
        for file in ["before", "during", "after"] {
            shell.verifies(cache, file).await;
        }
    }
    audit(&shell, &load, server.url()).await;
    stays_after_a_restart(&shell, server, &old, &old_url).await;
}

async fn wait_until_frozen(shell: &Shell, count: usize) {
    let begun = Instant::now();
    while shell.states().await.values().filter(|state| *state == "frozen").count() < count {
        assert!(begun.elapsed() < PATIENCE, "the retired logs are not frozen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Each acknowledged entry is in the log that acknowledged it, with a proof that verifies; so is each certificate; no log has anything twice.
async fn audit(shell: &Shell, load: &Load, url: &Url) {
    let root = trusted_root(&shell.store("load")).await;
    assert_eq!((root.tlogs().len(), root.ctlogs().len()), (2, 2));
    let (old, new) = (root.tlogs()[0].valid_for(), root.tlogs()[1].valid_for());
    assert!(old.end().is_some_and(|end| end > new.start()) && new.end().is_none(), "{old} and {new} overlap");
    let outbound = outbound();
    let entries = load.entries.lock().unwrap().clone();
    for log in root.tlogs() {
        let (base, key) = address_and_key(log, NoteAlgorithm::Ed25519, url);
        let copy = LogCopy::read(&outbound, &base, key, Leaves::EntryBundles).await.unwrap();
        let id = STANDARD.encode(log.log_id());
        let of_this: Vec<&Value> = entries.iter().filter(|entry| entry["logId"]["keyId"] == id.as_str()).collect();
        assert!(of_this.len() > 20, "{} of {} entries are in {base}", of_this.len(), entries.len());
        for entry in of_this {
            copy.holds_entry(entry).unwrap();
        }
        assert_eq!(copy.duplicates(), 0);
    }
    let mut copies = Vec::new();
    for log in root.ctlogs() {
        let (base, key) = address_and_key(log, NoteAlgorithm::Rfc6962, url);
        copies.push(LogCopy::read(&outbound, &base, key, Leaves::GetEntries).await.unwrap());
    }
    let mut found = [0, 0];
    for chain in load.certificates.lock().unwrap().iter() {
        let at = copies.iter().position(|copy| copy.holds_certificate(chain).is_ok());
        found[at.expect("an issued certificate is in a log")] += 1;
    }
    assert!(found.iter().all(|count| *count > 0), "certificates are in both logs: {found:?}");
}

fn address_and_key(log: &TransparencyLog, algorithm: NoteAlgorithm, url: &Url) -> (Url, NoteKey) {
    let name = log.hostname().unwrap();
    (url.join(&format!("log/{name}/")).unwrap(), NoteKey::new(name, algorithm, log.public_key().clone()).unwrap())
}

/// The frozen log has one final checkpoint, now and after a restart.
async fn stays_after_a_restart(shell: &Shell, server: ServerProcess, old: &str, old_url: &Url) {
    let checkpoint = old_url.join("../../../checkpoint").unwrap();
    let get = async |url: &Url| {
        let reply = outbound().get(url, &touchmark_outbound::Limits::SERVICE).await.unwrap();
        String::from_utf8(reply.body).unwrap()
    };
    let last = get(&checkpoint).await;
    assert!(last.starts_with(&format!("{old}\n")), "{last}");
    assert!(last.lines().nth(3).unwrap().starts_with("Log frozen — "), "{last}");
    let port = server.url().port().unwrap();
    assert!(server.stop().await.unwrap().success());

    let server = ServerProcess::start(binary(), &shell.data_dir(), port).await.unwrap();
    assert_eq!(get(&checkpoint).await, last, "nothing was signed");
    let key = LoadKey::generate();
    let reply = load::post_json(&outbound(), old_url, load::entry_request(&key, b"late").body).await.unwrap();
    assert_eq!((reply.status, &load::json_of(&reply).unwrap()["message"]), (405, &FROZEN.into()));
    shell.sign("signer", "later").await;
    for file in ["before", "later"] {
        shell.verifies("signer", file).await;
    }
    assert!(server.stop().await.unwrap().success());
    shell.log(&["fsck"]).await;
}

/// An instance under which "before" was signed, and whose server was stopped; and its port.
async fn signed_and_stopped() -> (Shell, u16) {
    let shell = Shell { dir: tempfile::tempdir().unwrap() };
    let port = free_port().unwrap();
    let server = ServerProcess::start(binary(), &shell.data_dir(), port).await.unwrap();
    shell.initialize("signer", &server).await;
    shell.sign("signer", "before").await;
    assert!(server.stop().await.unwrap().success());
    (shell, port)
}

/// The same with nobody running; and what is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_changed_at_rest_too_and_only_forward() {
    let (shell, port) = signed_and_stopped().await;

    let old = trusted_root_file(&shell).tlogs()[0].hostname().unwrap().to_owned();
    let data_dir = shell.data_dir();
    let refused = async |args: &[&str], code: i32, says: &str| {
        let args: Vec<&str> =
            ["log"].iter().chain(args).copied().chain(["--data-dir", data_dir.to_str().unwrap()]).collect();
        let output = shell.touchmark("nothing", &args).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && text.contains(says), "{args:?}: {:?}: {text}", output.status);
    };
    refused(&["freeze", &old], 2, "touchmark log rotate").await;
    refused(&["freeze", "rekor1999-1.example"], 2, &old).await;
    let next = shell.log(&["create", "--kind", "rekor"]).await.trim().to_owned();
    refused(&["create", "--kind", "rekor"], 2, "announced already").await;
    assert_eq!(trusted_root_file(&shell).tlogs().len(), 2, "verifiers know the next log");
    assert_eq!(shell.states().await[&next], "next");
    assert_eq!(shell.log(&["rotate", "--kind", "rekor", "--overlap", "0s"]).await.trim(), next);

    let server = ServerProcess::start(binary(), &shell.data_dir(), port).await.unwrap();
    let states = shell.states().await;
    assert_eq!((states[&old].as_str(), states[&next].as_str()), ("frozen", "active"), "its time came while nobody ran");
    shell.sign("signer", "after").await;
    for file in ["before", "after"] {
        shell.verifies("signer", file).await;
    }
    // A command that finds a running server asks it; nobody else may.
    use std::os::unix::fs::PermissionsExt as _;
    let socket = shell.data_dir().join("admin.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(shell.log(&["freeze", &next, "--even-if-active"]).await.contains("is frozen"));
    let key = LoadKey::generate();
    let bare = server.url().join("api/v2/log/entries").unwrap();
    let reply = load::post_json(&outbound(), &bare, load::entry_request(&key, b"late").body).await.unwrap();
    assert_eq!(reply.status, 405, "without a successor nothing is logged");
    shell.log(&["rotate", "--kind", "rekor"]).await;
    shell.sign("signer", "again").await;
    for file in ["before", "after", "again"] {
        shell.verifies("signer", file).await;
    }
    assert!(server.stop().await.unwrap().success());
    assert!(!socket.exists());
}

/// A rotation that is killed, alone or with the server that it asks, leaves logs that start, one of them for new entries, that clients follow, and
/// that can be rotated again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_leaves_logs_that_work() {
    let shell = Shell { dir: tempfile::tempdir().unwrap() };
    let port = free_port().unwrap();
    let start = async || ServerProcess::start(binary(), &shell.data_dir(), port).await.unwrap();
    let server = start().await;
    shell.initialize("signer", &server).await;
    shell.sign("signer", "before").await;
    let mut server = Some(server);
    for round in 0..KILLED_ROTATIONS {
        let is_alone = round % 2 == 0;
        if let (true, Some(server)) = (is_alone, server.take()) {
            assert!(server.stop().await.unwrap().success());
        }
        let mut rotate = std::process::Command::new(binary())
            .args(["log", "rotate", "--kind", "rekor", "--data-dir"])
            .arg(shell.data_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Over the time that a rotation takes, from nothing of it to all.
        tokio::time::sleep(Duration::from_millis(6 * round)).await;
        if let Some(server) = server.take() {
            server.kill().unwrap();
        }
        rotate.kill().unwrap();
        rotate.wait().unwrap();

        server = Some(start().await);
        let states = shell.states().await;
        let active = states.iter().filter(|(name, state)| name.starts_with("rekor") && *state == "active");
        assert_eq!(active.count(), 1, "round {round}: {states:?}");
        let file = format!("after{round}");
        shell.sign("signer", &file).await;
        for file in ["before", &file] {
            shell.verifies("signer", file).await;
        }
    }
    let logs = shell.states().await.len();
    shell.log(&["rotate", "--kind", "rekor"]).await;
    shell.sign("signer", "last").await;
    shell.verifies("signer", "last").await;
    assert!(shell.states().await.len() >= logs, "a log that was prepared before is taken");
    assert!(server.unwrap().stop().await.unwrap().success());
    shell.log(&["fsck"]).await;
}

/// A log that is lost for good has ended: the next one takes its place, and what the lost one signed verifies as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_is_followed_by_another() {
    let (shell, port) = signed_and_stopped().await;
    let lost = trusted_root_file(&shell).tlogs()[0].hostname().unwrap().to_owned();
    std::fs::remove_dir_all(shell.data_dir().join("logs").join(&lost)).unwrap();
    assert!(ServerProcess::start(binary(), &shell.data_dir(), port).await.is_err(), "the log that signs must be there");

    for overlap in ["0s", "1h"] {
        shell.log(&["rotate", "--kind", "rekor", "--overlap", overlap]).await;
        let server = ServerProcess::start(binary(), &shell.data_dir(), port).await.unwrap();
        shell.sign("signer", overlap).await;
        for file in ["before", overlap] {
            shell.verifies("signer", file).await;
        }
        assert!(server.stop().await.unwrap().success());
    }
    assert!(!shell.data_dir().join("logs").join(&lost).exists(), "an empty log of that name would be a fork");
}

fn trusted_root_file(shell: &Shell) -> TrustedRoot {
    TrustedRoot::from_json(&std::fs::read(shell.data_dir().join("client/trusted_root.json")).unwrap()).unwrap()
}
