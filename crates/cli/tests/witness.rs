// SPDX-License-Identifier: Apache-2.0
//! A real `up` with two witnesses and a quorum of both: what is signed carries their cosignatures, and `verify-blob` demands them.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_testing::process::{ServerProcess, free_port};
use touchmark_testing::witness::TestWitness;
use url::Url;

const ALICE: &str = "alice@example.com";

/// A working directory, and what every call of the binary there has in common.
struct Shell {
    home: TempDir,
    token: String,
}

impl Shell {
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    #[track_caller]
    fn run(&self, code: i32, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchmark"));
        command.args(args).current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        command.env("SIGSTORE_ID_TOKEN", &self.token);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}\n{said}");
        said
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_of_two_witnesses_reaches_the_verifier() {
    let (one, two) = (TestWitness::start("w1.example").await, TestWitness::start("w2.example").await);
    let stranger = TestWitness::start("w3.example").await;
    let mut shell = Shell { home: tempfile::tempdir().unwrap(), token: String::new() };
    let policy = |members: [&TestWitness; 2], names: &str| {
        let lines: String = members.iter().map(|witness| witness.policy_line()).collect();
        format!("{lines}group both all {names}\nquorum both\n")
    };
    std::fs::write(shell.path("witnesses.policy"), policy([&one, &two], "w1.example w2.example")).unwrap();
    std::fs::write(shell.path("others.policy"), policy([&one, &stranger], "w1.example w3.example")).unwrap();
    let (binary, policy) = (Path::new(env!("CARGO_BIN_EXE_touchmark")), shell.path("witnesses.policy"));
    let arguments = [
        OsStr::new("--witness-policy"),
        policy.as_os_str(),
        OsStr::new("--witness-mode"),
        OsStr::new("fail-closed"),
        OsStr::new("--evidence-interval"),
        OsStr::new("1"),
    ];
    let server =
        ServerProcess::start_with(binary, &shell.path("data"), free_port().unwrap(), &arguments).await.unwrap();
    let mirror = server.url().join("tuf").unwrap();
    shell.run(0, &["initialize", "--mirror", mirror.as_str(), "--root", "data/client/root.json"]);
    shell.token = shell.run(0, &["token", "--data-dir", "data", "--email", ALICE]).trim().to_owned();
    std::fs::write(shell.path("a.txt"), "the artifact").unwrap();
    shell.run(0, &["sign-blob", "a.txt"]);
    assert!(one.requests() > 0 && two.requests() > 0 && stranger.requests() == 0);

    let verify = ["verify-blob", "a.txt", "--bundle", "a.txt.sigstore.json", "--certificate-identity", ALICE];
    let issuer = std::fs::read_to_string(shell.path("data/instance.toml")).unwrap();
    let issuer = issuer.lines().find_map(|line| line.strip_prefix("oidc_issuer = ")).unwrap().trim_matches('"');
    let verify = [&verify[..], &["--certificate-oidc-issuer", issuer]].concat();
    shell.run(0, &verify);
    shell.run(0, &[&verify[..], &["--witness-policy", "witnesses.policy"]].concat());
    let refused = shell.run(15, &[&verify[..], &["--witness-policy", "others.policy"]].concat());
    assert!(refused.contains("2 of (w1.example, w3.example)"), "{refused}");

    // Receipts: of the bundle as it is, and of the log as it is now.
    shell.run(0, &["log", "proof", "create", "--bundle", "a.txt.sigstore.json", "--receipt", "a.tlog-proof"]);
    std::fs::write(shell.path("b.txt"), "another one").unwrap();
    shell.run(0, &["sign-blob", "b.txt"]);
    let root: serde_json::Value =
        serde_json::from_slice(&std::fs::read(shell.path("data/client/trusted_root.json")).unwrap()).unwrap();
    let log = root["tlogs"][0]["baseUrl"].as_str().unwrap().strip_prefix("http://").unwrap();
    let url = server.url().join(&format!("log/{log}")).unwrap();
    let of_log = ["log", "proof", "create", "--url", url.as_str()];
    let newer = [&of_log[..], &["--bundle", "a.txt.sigstore.json", "--receipt", "newer.tlog-proof"]].concat();
    shell.run(0, &newer);
    let by_index = [&of_log[..], &["--index", "1", "--receipt", "b.tlog-proof"]].concat();
    shell.run(0, &by_index);
    assert!(shell.run(2, &[&of_log[..], &["--index", "2"]].concat()).contains("is not in the tree of 2 entries"));
    let newest = evidence_of_two_entries(server.url(), log).await;
    assert!(newest.contains("w2.example"), "what is stamped is cosigned: {newest}");
    assert!(server.stop().await.unwrap().success());
    // Offline from here: nobody listens any more.
    check_evidence(&shell, log, &newest);
    check_receipts(&shell);
}

/// The newest piece of evidence over HTTP, once it is of a tree of two entries.
async fn evidence_of_two_entries(server: &Url, log: &str) -> String {
    let address = server.join(&format!("log/{log}/evidence/latest")).unwrap();
    let begun = std::time::Instant::now();
    loop {
        let answer = Outbound::new("test", Reach::Private, None).get(&address, &Limits::SERVICE).await.unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        if answer.status == 200 && text.contains(&format!("\n\n{log}\n2\n")) {
            break text;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "no evidence of the tree of 2 entries");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn check_evidence(shell: &Shell, log: &str, newest: &str) {
    let archive = shell.path("data/logs").join(log).join("evidence");
    let archive = archive.to_str().unwrap();
    let evidence = |code, path: &str| shell.run(code, &["log", "evidence", "verify", path, "--offline"]);
    let said = evidence(0, archive);
    assert!(said.contains(&format!("{log} had a tree of 2 entries")), "{said}");
    std::fs::write(shell.path("newest"), newest).unwrap();
    evidence(0, "newest");
    std::fs::write(shell.path("twin"), newest.replace(&format!("\n{log}\n2\n"), &format!("\n{log}\n3\n"))).unwrap();
    assert!(evidence(15, "twin").contains("expected a checkpoint signed by the log"));
    let cosignature = newest.lines().last().unwrap();
    std::fs::write(shell.path("twin"), newest.replace(&format!("{cosignature}\n"), "")).unwrap();
    assert!(evidence(15, "twin").contains("the timestamp of own is not good"));
    std::fs::write(shell.path("twin"), newest.replacen("timestamp own", "timestamp", 1)).unwrap();
    assert!(evidence(3, "twin").contains("line 2"));
}

fn check_receipts(shell: &Shell) {
    let policy = ["--witness-policy", "witnesses.policy"];
    let verify = |code, file: &str, more: &[&str]| {
        shell.run(code, &[&["log", "proof", "verify", file, "--offline"], more].concat())
    };
    assert!(verify(0, "a.tlog-proof", &policy).contains("entry 0 is in the tree of 1 entries of rekor"));
    let said = verify(0, "newer.tlog-proof", &[&policy[..], &["--bundle", "a.txt.sigstore.json"]].concat());
    assert!(said.contains("entry 0 is in the tree of 2 entries") && said.contains("cosigned by w2.example"), "{said}");
    verify(0, "b.tlog-proof", &["--bundle", "b.txt.sigstore.json"]);
    assert!(verify(14, "b.tlog-proof", &["--bundle", "a.txt.sigstore.json"]).contains("the leaf is not proved"));
    assert!(verify(14, "b.tlog-proof", &["--leaf", "b.txt"]).contains("the leaf is not proved"));
    assert!(verify(15, "b.tlog-proof", &["--witness-policy", "others.policy"]).contains("not cosigned as demanded"));
    let foreign = "other.example+2c52b2dd+AaNTHQ/b1lLsGoSv04M5NJkVJ4T1pnsCI1KbBXAcCzGe";
    assert_ne!(
        verify(
            15,
            "b.tlog-proof",
            &["--trusted-root", "data/client/trusted_root.json", "--witness-policy", "others.policy"]
        ),
        ""
    );
    assert!(verify(2, "b.tlog-proof", &["--vkey", foreign]).contains("--vkey"));
    let receipt = std::fs::read_to_string(shell.path("b.tlog-proof")).unwrap();
    std::fs::write(shell.path("twin.tlog-proof"), receipt.replace("index 1", "index 0")).unwrap();
    verify(14, "twin.tlog-proof", &[]);
    std::fs::write(shell.path("twin.tlog-proof"), receipt.replace("@v1", "@v2")).unwrap();
    assert!(verify(3, "twin.tlog-proof", &[]).contains("line 1: expected c2sp.org/tlog-proof@v1"));
}
