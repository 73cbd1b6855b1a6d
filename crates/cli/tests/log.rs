// SPDX-License-Identifier: Apache-2.0
//! `touchmark log …` on the logs of a real server process.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]
#![expect(clippy::print_stderr, reason = "what a command said is shown when a test fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use touchmark_outbound::{Outbound, Reach};
use touchmark_testing::load::{self, LoadKey};
use touchmark_testing::process::{ServerProcess, free_port};

const EMAIL: &str = "operator@example.com";

/// An instance with a server that runs or does not.
struct Instance {
    dir: tempfile::TempDir,
    port: u16,
}

impl Instance {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), port: free_port().unwrap() }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    async fn start(&self) -> ServerProcess {
        ServerProcess::start(binary(), &self.data_dir(), self.port).await.unwrap()
    }

    fn command(&self, args: &[&str]) -> Output {
        let data_dir = self.data_dir();
        let output = Command::new(binary()).arg("log").args(args).arg("--data-dir").arg(&data_dir).output().unwrap();
        eprintln!("{args:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The directory of the log of this kind.
    fn log(&self, kind: &str) -> (String, PathBuf) {
        let listed = json(&self.command(&["list", "--output", "json"]));
        let logs = listed["logs"].as_array().unwrap();
        let log = logs.iter().find(|log| log["kind"] == kind).unwrap();
        (log["name"].as_str().unwrap().to_owned(), log["directory"].as_str().unwrap().into())
    }
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_touchmark"))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Adds entries, from many writers at a time so that batches form, and two certificates.
async fn fill(server: &ServerProcess, data_dir: &Path, entries: std::ops::Range<u32>) {
    let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
    let key = LoadKey::generate();
    let url = server.url().join("api/v2/log/entries").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in entries {
        let (outbound, url, body) =
            (outbound.clone(), url.clone(), load::entry_request(&key, &number.to_be_bytes()).body);
        tasks.spawn(async move { load::post_json(&outbound, &url, body).await.unwrap().status });
        if tasks.len() == 64 {
            assert_eq!(tasks.join_next().await.unwrap().unwrap(), 201);
        }
    }
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.unwrap(), 201);
    }
    let token = touchmark_server::try_out_token(data_dir, EMAIL, None).await.unwrap();
    let url = server.url().join("api/v2/signingCert").unwrap();
    for _ in 0..2 {
        let reply = load::post_json(&outbound, &url, load::certificate_request(&token, EMAIL)).await.unwrap();
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_listed_and_checked_while_they_run_and_when_they_do_not() {
    let instance = Instance::new();
    let data_dir = instance.data_dir();
    let server = instance.start().await;
    fill(&server, &data_dir, 0..700).await;
    let root = data_dir.join("client/trusted_root.json");
    let root = root.to_str().unwrap();

    // Beside the server: by its address.
    let refused = instance.command(&["fsck"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--url"), "the way to check a running log is named");
    for (kind, size) in [("rekor", 700), ("ctlog", 2)] {
        let (name, _) = instance.log(kind);
        let url = server.url().join(&format!("log/{name}")).unwrap();
        let run = |args: &[&str]| {
            let output =
                Command::new(binary()).args(["log", "fsck", "--url", url.as_str()]).args(args).output().unwrap();
            eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            output
        };
        let checked = run(&["--trusted-root", root, "--output", "json"]);
        assert!(checked.status.success());
        let verdict = json(&checked);
        assert_eq!((verdict["good"].as_bool(), verdict["logs"][0]["size"].as_u64()), (Some(true), Some(size)));
        // Another key of the same name.
        let vkey = stranger(&name, kind);
        let checked = run(&["--vkey", &vkey, "--output", "json"]);
        assert_eq!(checked.status.code(), Some(14));
        assert_eq!(json(&checked)["logs"][0]["findings"][0]["code"], "checkpoint-signature");
    }
    assert!(server.stop().await.unwrap().success());

    // After it: the files.
    let listed = json(&instance.command(&["list", "--output", "json"]));
    let rekor = &listed["logs"][0];
    assert_eq!((rekor["size"].as_u64(), rekor["state"].as_str()), (Some(700), Some("active")));
    assert!(rekor["checkpointTime"].is_string() && rekor["root"].is_string());
    let text = String::from_utf8(instance.command(&["list"]).stdout).unwrap();
    assert!(text.contains("size 700"), "{text}");
    let good = instance.command(&["fsck", "--output", "json"]);
    assert!(good.status.success());
    assert_eq!(json(&good)["logs"].as_array().unwrap().len(), 2);
    assert!(instance.start().await.stop().await.unwrap().success(), "a checked log starts again");
}

/// A key that the log does not have, as its verifier key.
fn stranger(name: &str, kind: &str) -> String {
    use touchmark_signers::Signer as _;
    use touchmark_tlog::note::{NoteAlgorithm, NoteKey};
    let (key_type, algorithm) = match kind {
        "rekor" => (touchmark_keys::KeyType::Ed25519, NoteAlgorithm::Ed25519),
        _ => (touchmark_keys::KeyType::EcdsaP256, NoteAlgorithm::Rfc6962),
    };
    let signer = touchmark_signers::EphemeralSigner::generate(key_type).unwrap();
    NoteKey::new(name, algorithm, signer.public_key().clone()).unwrap().to_vkey().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_tampered_with_is_named_and_the_exit_code_says_so() {
    let instance = Instance::new();
    let data_dir = instance.data_dir();
    let server = instance.start().await;
    fill(&server, &data_dir, 0..300).await;
    assert!(server.stop().await.unwrap().success());
    let (rekor, rekor_dir) = instance.log("rekor");
    let (ct, ct_dir) = instance.log("ctlog");

    let check = |log: &str, code: &str, object: &str| {
        let output = instance.command(&["fsck", "--log", log, "--output", "json"]);
        assert_eq!(output.status.code(), Some(14), "{code}");
        let findings = json(&output)["logs"][0]["findings"].as_array().unwrap().clone();
        let found = findings
            .iter()
            .any(|finding| finding["code"] == code && finding["object"].as_str().unwrap().contains(object));
        assert!(found, "{code} {object}: {findings:?}");
        assert!(findings.iter().all(|finding| !finding["advice"].as_str().unwrap().is_empty()));
    };
    let tile = rekor_dir.join("objects/tree/tile/0/000");
    let good = std::fs::read(&tile).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    std::fs::write(&tile, &bad).unwrap();
    check(&rekor, "object-differs", "tile/0/000");
    std::fs::remove_file(&tile).unwrap();
    check(&rekor, "object-missing", "tile/0/000");
    std::fs::write(&tile, good).unwrap();
    assert!(instance.command(&["fsck", "--log", &rekor]).status.success());

    let issuers = ct_dir.join("objects/tree/issuer");
    let issuer = std::fs::read_dir(issuers).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&issuer).unwrap();
    std::fs::write(&issuer, &good[1..]).unwrap();
    check(&ct, "object-differs", "issuer/");
    std::fs::write(&issuer, good).unwrap();

    // The checkpoint of the one log among the files of the other.
    std::fs::copy(ct_dir.join("objects/tree/checkpoint"), rekor_dir.join("objects/tree/checkpoint")).unwrap();
    check(&rekor, "checkpoint-signature", "checkpoint");

    // A ledger that is gone is not made anew.
    std::fs::remove_dir_all(ct_dir.join("ledger")).unwrap();
    check(&ct, "ledger-unreadable", "ledger");
    assert!(!ct_dir.join("ledger").exists());
    let text = instance.command(&["fsck"]);
    assert_eq!(text.status.code(), Some(14));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("expected") && text.contains("[checkpoint-signature]"), "{text}");

    let unknown = instance.command(&["fsck", "--log", "another.example"]);
    assert_eq!(unknown.status.code(), Some(2));
}

/// Writes entries until it is told to stop; how many were acknowledged.
fn write_on(server: &ServerProcess, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u32> {
    let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
    let (url, stop) = (server.url().join("api/v2/log/entries").unwrap(), Arc::clone(stop));
    tokio::spawn(async move {
        let key = LoadKey::generate();
        let mut acknowledged = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            let body = load::entry_request(&key, &acknowledged.to_be_bytes()).body;
            assert_eq!(load::post_json(&outbound, &url, body).await.unwrap().status, 201);
            acknowledged += 1;
        }
        acknowledged
    })
}

async fn run_beside(instance: &Instance, args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let data_dir = instance.data_dir();
    let run = move || Command::new(binary()).arg("log").args(args).arg("--data-dir").arg(data_dir).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_verifies_and_is_brought_up_to_date() {
    let instance = Instance::new();
    let data_dir = instance.data_dir();
    let backup = instance.dir.path().join("backup");
    let (to, root) = (backup.to_str().unwrap(), data_dir.join("client/trusted_root.json"));
    let server = instance.start().await;
    fill(&server, &data_dir, 0..600).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4).map(|_| write_on(&server, &stop)).collect();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let output = run_beside(&instance, &["backup", "--to", to, "--output", "json"]).await;
        assert!(output.status.success());
        let made = json(&output);
        assert_eq!(made["logs"][0]["source"], "monitoring-prefix");
        sizes.push(made["logs"][0]["size"].as_u64().unwrap());
        let copy = made["logs"][0]["directory"].as_str().unwrap().to_owned();
        let checked = Command::new(binary())
            .args(["log", "fsck", "--copy", &copy, "--trusted-root", root.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = 600;
    for writer in writers {
        written += u64::from(writer.await.unwrap());
    }
    assert!(sizes[0] >= 600 && sizes.is_sorted() && sizes[2] > sizes[0], "{sizes:?} of {written}");
    assert!(server.stop().await.unwrap().success());
    let output = instance.command(&["backup", "--to", to, "--output", "json"]);
    let made = json(&output);
    assert_eq!((made["logs"][0]["source"].as_str(), made["logs"][0]["size"].as_u64()), (Some("ledger"), Some(written)));

    // A damaged backup is not brought up to date as if it were good, and not restored.
    let (name, directory) = instance.log("rekor");
    let tile = backup.join(&name).join("tile/entries/001");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    let output = instance.command(&["backup", "--to", to]);
    assert!(matches!(output.status.code(), Some(3 | 14)), "{:?}", output.status);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--to"), "what to do is said");
    let newest = instance.dir.path().join("newest");
    std::fs::rename(&directory, instance.dir.path().join("lost")).unwrap();
    std::fs::copy(backup.join(&name).join("checkpoint"), &newest).unwrap();
    let from = backup.join(&name);
    let args = ["restore", "--from", from.to_str().unwrap(), "--newest-checkpoint", newest.to_str().unwrap()];
    let output = instance.command(&args);
    assert!(matches!(output.status.code(), Some(3 | 14)), "{:?}", output.status);
    assert!(!directory.exists(), "nothing was put in place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_goes_on_from_a_backup_only_where_nothing_newer_was_signed() {
    let instance = Instance::new();
    let data_dir = instance.data_dir();
    let (old, new) = (instance.dir.path().join("old"), instance.dir.path().join("new"));
    let server = instance.start().await;
    fill(&server, &data_dir, 0..300).await;
    assert!(server.stop().await.unwrap().success());
    assert!(instance.command(&["backup", "--to", old.to_str().unwrap()]).status.success());
    let server = instance.start().await;
    fill(&server, &data_dir, 300..600).await;
    assert!(server.stop().await.unwrap().success());
    assert!(instance.command(&["backup", "--to", new.to_str().unwrap()]).status.success());

    for kind in ["rekor", "ctlog"] {
        let (name, directory) = instance.log(kind);
        let restore = |from: &Path, args: &[&str]| {
            let from = from.join(&name);
            instance.command(&[&["restore", "--from", from.to_str().unwrap()], args].concat())
        };
        assert_eq!(restore(&new, &[]).status.code(), Some(2), "nothing is written over a log");
        let lost = instance.dir.path().join(format!("lost-{kind}"));
        std::fs::rename(&directory, &lost).unwrap();
        let newest = lost.join("objects/tree/checkpoint");
        let newest = ["--newest-checkpoint", newest.to_str().unwrap()];

        // The old backup: without a proof not at all, against a newer checkpoint not even with the flag.
        let refused = restore(&old, &[]);
        assert_eq!(refused.status.code(), Some(5));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("--newest-checkpoint"));
        for args in [&newest[..], &[&newest[..], &["--risk-forking-the-log"]].concat()] {
            let refused = restore(&old, args);
            assert_eq!(refused.status.code(), Some(5));
            assert!(String::from_utf8_lossy(&refused.stderr).contains("were signed"));
        }
        // A checkpoint of another log proves nothing.
        let copies = std::fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().path());
        let checkpoint =
            copies.filter(|path| !path.ends_with(&name)).map(|path| path.join("checkpoint")).next().unwrap();
        assert_eq!(restore(&new, &["--newest-checkpoint", checkpoint.to_str().unwrap()]).status.code(), Some(14));
        // Nor does the backup's own.
        let own = old.join(&name).join("checkpoint");
        let refused = restore(&old, &["--newest-checkpoint", own.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("the backup's own checkpoint"));
        assert!(!directory.exists(), "nothing was put in place so far");

        let restored = restore(&new, &newest);
        assert!(restored.status.success());
        assert!(instance.command(&["fsck", "--log", &name]).status.success());
    }

    // Where a log is, no backup is made.
    assert!(instance.command(&["backup", "--to", data_dir.join("logs").to_str().unwrap()]).status.code() == Some(2));

    // It goes on, admits no duplicate, and extends what it has signed.
    let before = json(&instance.command(&["list", "--output", "json"]));
    let server = instance.start().await;
    fill(&server, &data_dir, 600..700).await;
    assert!(server.stop().await.unwrap().success());
    assert!(instance.command(&["fsck"]).status.success());
    let after = json(&instance.command(&["list", "--output", "json"]));
    for (before, after) in before["logs"].as_array().unwrap().iter().zip(after["logs"].as_array().unwrap()) {
        assert!(after["size"].as_u64() > before["size"].as_u64());
    }
}

/// A log that is put back signs another history; the backup of the first one is not written over, however small both are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_another_history_does_not_replace_the_first() {
    let instance = Instance::new();
    let data_dir = instance.data_dir();
    let (old, new) = (instance.dir.path().join("old"), instance.dir.path().join("new"));
    for (entries, backup) in [(0..2, &old), (2..4, &new)] {
        let server = instance.start().await;
        fill(&server, &data_dir, entries).await;
        assert!(server.stop().await.unwrap().success());
        assert!(instance.command(&["backup", "--to", backup.to_str().unwrap()]).status.success());
    }
    let (name, directory) = instance.log("rekor");
    std::fs::remove_dir_all(&directory).unwrap();
    let from = old.join(&name);
    assert!(
        instance.command(&["restore", "--from", from.to_str().unwrap(), "--risk-forking-the-log"]).status.success()
    );
    let server = instance.start().await;
    fill(&server, &data_dir, 10..15).await;
    assert!(server.stop().await.unwrap().success());

    let seal = |backup: &Path| std::fs::read(backup.join(&name).join("backup.json")).unwrap();
    let first = seal(&new);
    let refused = instance.command(&["backup", "--log", &name, "--to", new.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(14));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the tree of 4 entries that was shown before"));
    assert_eq!(seal(&new), first);
}
