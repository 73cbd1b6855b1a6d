// SPDX-License-Identifier: Apache-2.0
//! The real binary, as a shell runs it: what it prints, what it writes, and the exit code of every class.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use touchmark_testing::process::{ServerProcess, free_port};

const ALICE: &str = "alice@example.com";

/// A directory of its own for each test: home, data and working directory.
struct Shell {
    home: TempDir,
    token: Option<String>,
}

impl Shell {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), token: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs `touchmark` with an environment that holds nothing of ours.
    fn run<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchmark"));
        command.args(args).current_dir(self.home.path()).env_clear().env("HOME", self.home.path()).stdin(Stdio::null());
        if let Some(token) = &self.token {
            command.env("SIGSTORE_ID_TOKEN", token);
        }
        Finished { called: format!("{command:?}"), output: command.output().unwrap() }
    }
}

struct Finished {
    called: String,
    output: Output,
}

impl Finished {
    fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.output.status.code(),
            Some(code),
            "{}\nstdout: {}\nstderr: {}",
            self.called,
            self.stdout(),
            self.stderr()
        );
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        let all = self.stdout() + &self.stderr();
        assert!(all.contains(text), "{}\nno {text:?} in: {all}", self.called);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout()))
    }
}

#[test]
fn the_demo_signs_and_verifies_and_refuses_forgeries() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let demo = Shell::new().run(["demo", readme]).exits(0);
    let demo = demo.says("alice@example.com signs").says("signature").says("identity").says("both forgeries refused");
    assert!(!demo.stderr().contains("\u{1b}["), "no colour where there is no terminal");
}

#[test]
fn the_help_of_every_command_is_there() {
    let shell = Shell::new();
    let help = shell.run(["--help"]).exits(0).says("Exit codes:").stdout();
    for command in [
        "up",
        "serve",
        "demo",
        "sign-blob",
        "attest-blob",
        "verify-blob",
        "verify-blob-attestation",
        "bundle",
        "policy",
        "fulcio",
        "tsa",
        "initialize",
        "token",
        "completion",
        "version",
    ] {
        assert!(help.contains(&format!("  {command} ")), "{command} is not in the help");
        shell.run([command, "--help"]).exits(0);
    }
    shell.run(["version"]).exits(0).says("touchmark ");
    assert!(shell.run(["version", "--output", "json"]).exits(0).json()["version"].is_string());
}

#[test]
fn completions_and_man_pages_are_made() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        shell.run(["completion", name]).exits(0).says("sign-blob");
    }
    shell.run(["man", "pages"]).exits(0);
    for page in ["touchmark.1", "touchmark-sign-blob.1", "touchmark-verify-blob.1"] {
        assert!(std::fs::read_to_string(shell.path("pages").join(page)).unwrap().contains(".TH"));
    }
    let page = std::fs::read_to_string(shell.path("pages/touchmark-up.1")).unwrap();
    assert!(page.contains("\\fBtouchmark up\\fR") && page.contains("\\-\\-quiet"), "{page}");
    let page = std::fs::read_to_string(shell.path("pages/touchmark.1")).unwrap();
    assert!(!page.contains("touchmark\\-help(1)"), "a page is named that is not there");
}

#[test]
fn wrong_command_lines_exit_with_2() {
    let shell = Shell::new();
    shell.write("a", "a");
    shell.write("b", "b");
    shell.run(["no-such-command"]).exits(2);
    shell.run(["verify-blob", "a"]).exits(2).says("--certificate-identity");
    shell.run(["verify-blob", "a", "--certificate-identity", "x"]).exits(2).says("--certificate-oidc-issuer");
    let both = ["verify-blob", "a", "--certificate-identity", "x", "--certificate-identity-regexp", "x"];
    shell.run(both).exits(2);
    shell.run(["sign-blob", "a", "b", "--bundle", "c"]).exits(2).says("FILE.sigstore.json");
    shell.run(["sign-blob", "-"]).exits(2).says("--bundle");
    shell.run(["sign-blob", "a", "--tlog-upload=false"]).exits(2);
    shell.run(["sign-blob", "a", "--offline"]).exits(2);
    shell.write("a.sigstore.json", "{}");
    shell.run(["sign-blob", "a"]).exits(2).says("--overwrite");
    let expression = ["verify-blob", "a", "--certificate-identity-regexp", "(", "--certificate-oidc-issuer", "x"];
    shell.run(expression).exits(2);
    let url = ["initialize", "--mirror", "http://127.0.0.1:9", "--root", "http://127.0.0.1:9/root.json"];
    shell.run(url).exits(2).says("--root-checksum");
    shell.run(["initialize", "--mirror", "127.0.0.1:9/tuf", "--root", "a"]).exits(2).says("http://");
    shell.run(["initialize", "--mirror", "localhost:9/tuf", "--root", "a"]).exits(2).says("http://");
    for address in ["7700", "localhost:7700", "127.0.0.1", "127.0.0.1:77000"] {
        shell.run(["up", "--data-dir", "d", "--listen", address]).exits(2).says("127.0.0.1:7700");
    }
}

#[test]
fn files_that_are_not_there_and_not_bundles_have_their_codes() {
    let shell = Shell::new();
    shell.write("a", "a");
    shell.write("junk.json", "{\"mediaType\":\"nonsense\"}");
    let verify = |file: &str, more: &[&str]| {
        let mut args = vec!["verify-blob", file, "--certificate-identity", ALICE, "--certificate-oidc-issuer", "x"];
        args.extend_from_slice(more);
        shell.run(args)
    };
    verify("a", &[]).exits(10).says("there is no bundle").says("--bundle");
    verify("a", &["--bundle", "junk.json"]).exits(3);
    let verdict = verify("a", &["--output", "json"]).exits(10).json();
    assert_eq!(verdict["verified"], false);
    assert_eq!(verdict["failure"]["class"], "not-signed");
    verify("missing", &[]).exits(3).says("missing could not be read");
    verify("junk.json", &[]).exits(10);
    shell.write("a.sigstore.json", "{}");
    verify("a.sigstore.json", &[]).exits(10).says("FILE is what was signed, not its bundle");
    std::fs::remove_file(shell.path("a.sigstore.json")).unwrap();
    shell.run(["initialize", "--mirror", "http://127.0.0.1:9", "--root", "missing"]).exits(3).says("client/root.json");
    shell.run(["sign-blob", "missing"]).exits(3).says("missing could not be read");
    shell.run(["sign-blob", "a"]).exits(16).says("touchmark initialize");
    shell.run(["token", "--data-dir", "nowhere", "--email", ALICE]).exits(3).says("--data-dir");
}

#[test]
fn up_refuses_an_address_that_others_can_reach() {
    let shell = Shell::new();
    shell.run(["up", "--data-dir", "d", "--listen", "0.0.0.0:0"]).exits(2).says("loopback");
}

/// Whoever stops it then gets the exit code of a stop, not the death by a signal, and a directory that starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_can_be_stopped_while_it_starts() {
    let shell = Shell::new();
    let (data_dir, port) = (shell.path("data"), free_port().unwrap());
    let mut up = Command::new(env!("CARGO_BIN_EXE_touchmark"))
        .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(&data_dir)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while !data_dir.join("lock").exists() {
        assert!(up.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(begun.elapsed() < touchmark_testing::process::READY_WITHIN, "it did not begin");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(Command::new("kill").args(["-TERM", &up.id().to_string()]).status().unwrap().success());
    assert!(up.wait().unwrap().success());
    let server = ServerProcess::start(Path::new(env!("CARGO_BIN_EXE_touchmark")), &data_dir, port).await.unwrap();
    assert!(server.stop().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_and_verify_through_a_running_instance() {
    let mut shell = Shell::new();
    let data_dir = shell.path("data");
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    let server = ServerProcess::start(binary, &data_dir, free_port().unwrap()).await.unwrap();
    let url = server.url().as_str().trim_end_matches('/').to_owned();
    let issuer = issuer_of(&data_dir);
    shell.write("a.txt", "the artifact");
    shell.write("b.txt", "another one");

    let mirror = format!("{url}/tuf");
    let initialize = |checksum: Option<&str>| {
        let mut args = vec!["initialize", "--mirror", &mirror, "--root", "data/client/root.json"];
        args.extend(checksum.map(|checksum| ["--root-checksum", checksum]).into_iter().flatten());
        shell.run(args)
    };
    initialize(Some(&"0".repeat(64))).exits(16).says("checksum");
    initialize(None).exits(0).says(&mirror);

    shell.run(["sign-blob", "a.txt"]).exits(2).says("no identity token");
    shell.run(["token", "--data-dir", "data", "--email", "alice"]).exits(2).says("e-mail address");
    let token = shell.run(["token", "--data-dir", "data", "--email", ALICE]).exits(0).stdout();
    shell.token = Some(token.trim().to_owned());
    let signed = shell.run(["sign-blob", "a.txt", "b.txt"]).exits(0).says("Signed a.txt as alice@example.com");
    assert!(!(signed.stdout() + &signed.stderr()).contains(token.trim()), "a token is never printed");
    shell.run(["sign-blob", "a.txt"]).exits(2).says("already there");
    shell.run(["sign-blob", "a.txt", "--overwrite"]).exits(0);
    shell.run(["sign-blob", "a.txt", "--bundle", "c.json", "-y"]).exits(0);
    shell
        .run(["sign-blob", "--new-bundle-format", "--use-signing-config=true", "--bundle", "c.json", "a.txt"])
        .exits(0);

    let asked = |more: &[&str]| {
        let args = ["verify-blob", "a.txt", "--certificate-identity", ALICE, "--certificate-oidc-issuer", &issuer];
        shell.run([&args[..], &["--require-ct-inclusion", "-o", "json"], more].concat())
    };
    let at_hand = format!("{url}/log/{{origin}}");
    let included = asked(&["--ct-log-url", &at_hand]).exits(0).json();
    assert_eq!(included["checks"].as_array().unwrap().last().unwrap()["check"], "ct-inclusion");
    assert!(included["ctInclusion"][0]["treeSize"].as_u64().unwrap() > 0, "{included}");
    asked(&["--offline"]).exits(2).says("--offline");
    asked(&["--ct-log-url", "nowhere"]).exits(2).says("nowhere");
    let elsewhere = asked(&["--ct-log-url", "http://127.0.0.1:9/"]).exits(4).json();
    assert_eq!(elsewhere["failure"]["code"], "ct_log_unreachable");

    server.stop().await.unwrap();
    asked(&["--ct-log-url", &at_hand]).exits(4);
    audit_log(&shell, token.trim());
    shell.token = None;
    verdicts(&shell, &issuer);
}

/// What the certificate authority wrote down is a chain, until somebody changes it.
fn audit_log(shell: &Shell, token: &str) {
    let verify = |file: &str, more: &[&str]| shell.run([&["fulcio", "audit", "verify", file], more].concat());
    let file = "data/fulcio-audit.jsonl";
    let whole = verify(file, &["-o", "json"]).exits(0).json();
    assert!(whole["valid"] == true && whole["lines"].as_u64().unwrap() >= 2, "{whole}");
    let last = whole["last_sha256"].as_str().unwrap();
    verify(file, &["--holds", last]).exits(0).says("one chain").says(last);
    verify(file, &["--holds", &"0".repeat(64)]).exits(14).says("no line has");
    verify(file, &["--holds", "abc"]).exits(2);
    verify("nowhere", &[]).exits(3);

    let text = std::fs::read_to_string(shell.path(file)).unwrap();
    assert!(text.contains(ALICE) && !token.split('.').any(|part| text.contains(part)), "{text}");
    shell.write("changed.jsonl", text.replacen(ALICE, "eve@example.com", 1));
    verify("changed.jsonl", &[]).exits(14).says("line 2 does not hold");
    let changed = verify("changed.jsonl", &["-o", "json"]).exits(14).json();
    assert_eq!(changed["valid"], false);
    shell.write("torn.jsonl", &text[..text.len() - 10]);
    verify("torn.jsonl", &[]).exits(3).says("has no end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_signed_before_a_restart_on_another_port_still_verifies() {
    let mut shell = Shell::new();
    let data_dir = shell.path("data");
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    for name in ["first", "second"] {
        let server = ServerProcess::start(binary, &data_dir, free_port().unwrap()).await.unwrap();
        let mirror = server.url().join("tuf").unwrap();
        shell.run(["initialize", "--mirror", mirror.as_str(), "--root", "data/client/root.json"]).exits(0);
        let token = shell.run(["token", "--data-dir", "data", "--email", ALICE]).exits(0).stdout();
        shell.token = Some(token.trim().to_owned());
        shell.write(name, name);
        shell.run(["sign-blob", name]).exits(0);
        server.stop().await.unwrap();
    }
    let issuer = issuer_of(&data_dir);
    for name in ["first", "second"] {
        let identity = ["--certificate-identity", ALICE, "--certificate-oidc-issuer", &issuer];
        shell.run([&["verify-blob", name][..], &identity].concat()).exits(0);
    }
}

/// The server is down by now: whatever verifies, verifies offline.
fn verdicts(shell: &Shell, issuer: &str) {
    let verify = |file: &str, identity: &str, issuer: &str, more: &[&str]| {
        let mut args =
            vec!["verify-blob", file, "--certificate-identity", identity, "--certificate-oidc-issuer", issuer];
        args.extend_from_slice(more);
        shell.run(args)
    };
    verify("a.txt", ALICE, issuer, &[]).exits(0).says("Verified OK");
    verify("a.txt", ALICE, issuer, &["--offline"]).exits(0);
    verify("a.txt", ALICE, issuer, &["--bundle", "c.json"]).exits(0);
    let root = ["--trusted-root", "data/client/trusted_root.json"];
    let verdict = verify("b.txt", ALICE, issuer, &[&root[..], &["--output", "json"]].concat()).exits(0).json();
    assert_eq!(verdict["verified"], true);
    assert_eq!(verdict["signer"]["identity"], ALICE);
    assert_eq!(verdict["signer"]["issuer"], issuer);
    assert!(verdict["checks"].as_array().unwrap().iter().all(|check| check["result"] == "passed"));

    let digest = format!("sha256:{}", hex::encode(touchmark_keys::sha256(b"the artifact")));
    verify(&digest, ALICE, issuer, &["--bundle", "a.txt.sigstore.json"]).exits(0);
    verify("a.txt", "mallory@example.com", issuer, &[]).exits(12).says("mallory@example.com").says(ALICE);
    verify("a.txt", ALICE, "https://other.example", &[]).exits(12).says("https://other.example");
    verify("a.txt", ALICE, issuer, &["--bundle", "b.txt.sigstore.json"]).exits(14);
    shell.write("a.txt", "the artefact");
    let verdict = verify("a.txt", ALICE, issuer, &["--output", "json"]).exits(14).json();
    assert_eq!(verdict["failure"]["check"], "artifact");
    assert_eq!(verdict["failure"]["class"], "tampered");
    let regexp = ["verify-blob", "b.txt", "--certificate-oidc-issuer-regexp", ".*", "--certificate-identity-regexp"];
    shell.run([&regexp[..], &[".*@example\\.com"]].concat()).exits(0);
    shell.run([&regexp[..], &["@example\\.com"]].concat()).exits(12);
}

fn issuer_of(data_dir: &Path) -> String {
    let config: Value =
        serde_json::from_slice(&std::fs::read(data_dir.join("client/signing_config.json")).unwrap()).unwrap();
    config["oidcUrls"][0]["url"].as_str().unwrap().to_owned()
}

/// In a log of digests a signature over the encoding of an envelope is an attestation.
#[test]
fn the_encoding_of_an_envelope_is_not_signed_as_a_file() {
    let shell = Shell::new();
    shell.write("uploaded", "DSSEv1 28 application/vnd.in-toto+json 2 {}");
    shell.run(["sign-blob", "uploaded", "--identity-token", "x.y.z"]).exits(5).says("attest-blob");
}
