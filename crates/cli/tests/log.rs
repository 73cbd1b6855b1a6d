// SPDX-License-Identifier: Apache-2.0
//! `touchmark log …` on the logs of a real server process.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]
#![expect(clippy::print_stderr, reason = "what a command said is shown when a test fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
