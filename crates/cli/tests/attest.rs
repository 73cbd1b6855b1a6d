// SPDX-License-Identifier: Apache-2.0
//! `attest-blob` against a running instance: what is attested is what `verify-blob-attestation` finds, and what cannot be verified is
//! refused before anything is signed.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use touchmark_testing::process::{ServerProcess, free_port};

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

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    #[track_caller]
    fn run(&self, code: i32, args: &[&str]) -> String {
        self.run_with(code, args, "")
    }

    #[track_caller]
    fn run_with(&self, code: i32, args: &[&str], stdin: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchmark"));
        command.args(args).current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        command.env("SIGSTORE_ID_TOKEN", &self.token);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        // A process that does not read its stdin may have ended by now.
        let _ = process.stdin.take().unwrap().write_all(stdin.as_bytes());
        let Output { status, stdout, stderr } = process.wait_with_output().unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(code), "{command:?}\n{said}");
        assert!(self.token.is_empty() || !said.contains(&self.token), "a token is never printed");
        said
    }

    /// The payload of a bundle.
    fn payload(&self, bundle: &str) -> Vec<u8> {
        let bundle: Value = serde_json::from_slice(&std::fs::read(self.path(bundle)).unwrap()).unwrap();
        STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap()
    }
}

fn statement_about(file: &[u8]) -> String {
    let digest = hex::encode(touchmark_keys::sha256(file));
    let subject = json!([{"name": "a.txt", "digest": {"sha256": digest}}]);
    // Not as a writer of ours would order or space it.
    format!(
        "{{ \"predicateType\":\"https://example.com/review\", \"subject\":{subject},\n \"_type\":\"https://in-toto.io/Statement/v1\", \"predicate\": {{\"passed\": 1.0}} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_attested_verifies_and_nothing_else_does() {
    let mut shell = Shell { home: tempfile::tempdir().unwrap(), token: String::new() };
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    let server = ServerProcess::start(binary, &shell.path("data"), free_port().unwrap()).await.unwrap();
    let mirror = server.url().join("tuf").unwrap();
    shell.run(0, &["initialize", "--mirror", mirror.as_str(), "--root", "data/client/root.json"]);
    shell.token = shell.run(0, &["token", "--data-dir", "data", "--email", ALICE]).trim().to_owned();
    shell.write("a.txt", "the artifact");
    shell.write("other.txt", "another one");
    shell.write("predicate.json", r#"{"buildType": "https://example.com/build"}"#);
    shell.write("statement.json", statement_about(b"the artifact"));
    let packages = vec![json!({"name": "package", "version": "1"}); 50_000];
    shell.write("bom.json", json!({"components": packages}).to_string());

    let provenance = ["attest-blob", "a.txt", "--predicate", "predicate.json", "--type", "slsaprovenance1"];
    let said = shell.run(0, &provenance);
    assert!(said.contains("Attested a.txt as alice@example.com: https://slsa.dev/provenance/v1"), "{said}");
    assert!(said.contains("touchmark verify-blob-attestation a.txt --bundle a.txt.sigstore.json"), "{said}");
    assert!(shell.run(2, &provenance).contains("already there"));
    shell.run(0, &[&provenance[..], &["--overwrite"]].concat());
    shell.run(0, &["attest-blob", "--statement", "statement.json", "a.txt", "--bundle", "review.json"]);
    shell.run(0, &["attest-blob", "--statement", "statement.json"]);
    let bom = ["attest-blob", "a.txt", "--predicate", "-", "--type", "cyclonedx", "--bundle", "bom.sigstore.json"];
    shell.run_with(0, &bom, &std::fs::read_to_string(shell.path("bom.json")).unwrap());
    let digest = hex::encode(touchmark_keys::sha256(b"the artifact"));
    shell.run(0, &["attest-blob", "--hash", &digest, "--predicate", "predicate.json", "--bundle", "hash.json", "-y"]);
    server.stop().await.unwrap();

    assert_eq!(shell.payload("review.json"), statement_about(b"the artifact").as_bytes(), "signed as it stands");
    let written: Value = serde_json::from_slice(&shell.payload("a.txt.sigstore.json")).unwrap();
    assert_eq!(written["subject"], json!([{"name": "a.txt", "digest": {"sha256": digest}}]));

    let config: Value =
        serde_json::from_slice(&std::fs::read(shell.path("data/client/signing_config.json")).unwrap()).unwrap();
    let issuer = config["oidcUrls"][0]["url"].as_str().unwrap();
    let verify = |code: i32, file: &str, bundle: &str, predicate_type: &str, identity: &str| {
        let who = ["--certificate-identity", identity, "--certificate-oidc-issuer", issuer];
        let what = ["verify-blob-attestation", file, "--bundle", bundle, "--type", predicate_type, "--offline"];
        shell.run(code, &[&what[..], &who].concat())
    };
    verify(0, "a.txt", "a.txt.sigstore.json", "slsaprovenance1", ALICE);
    verify(0, "a.txt", "review.json", "https://example.com/review", ALICE);
    verify(0, "a.txt", "statement.json.sigstore.json", "https://example.com/review", ALICE);
    verify(0, "a.txt", "bom.sigstore.json", "cyclonedx", ALICE);
    verify(0, "a.txt", "hash.json", "custom", ALICE);
    verify(12, "a.txt", "a.txt.sigstore.json", "slsaprovenance1", "mallory@example.com");
    verify(14, "other.txt", "a.txt.sigstore.json", "slsaprovenance1", ALICE);
    verify(12, "a.txt", "a.txt.sigstore.json", "spdx", ALICE);
}

/// All of these are found before anyone logs in: there is no instance here, and the token is none.
#[test]
fn what_could_not_be_verified_is_not_signed() {
    let shell = Shell { home: tempfile::tempdir().unwrap(), token: String::new() };
    shell.write("a.txt", "the artifact");
    shell.write("predicate.json", "{}");
    shell.write("broken.json", "{},");
    shell.write("statement.json", statement_about(b"another one"));
    let check = |code: i32, args: &[&str], text: &str| {
        let said = shell.run(code, &[&["attest-blob"], args].concat());
        assert!(said.contains(text), "no {text:?} in: {said}");
    };
    check(2, &["a.txt"], "--predicate");
    check(2, &["--predicate", "predicate.json"], "FILE");
    check(2, &["a.txt", "--predicate", "predicate.json", "--statement", "statement.json"], "--statement");
    check(2, &["a.txt", "--predicate", "predicate.json", "--type", "no-such"], "slsaprovenance1");
    check(2, &["--hash", "ab", "--predicate", "predicate.json", "--bundle", "b"], "--hash");
    check(2, &["--hash", "ab", "--predicate", "predicate.json"], "--bundle");
    check(2, &["-", "--predicate", "-", "--bundle", "b"], "stdin");
    check(2, &["a.txt", "--predicate", "predicate.json", "--offline"], "--offline");
    check(
        2,
        &["a.txt", "--predicate", "predicate.json", "--bundle", "predicate.json"],
        "replace predicate.json itself",
    );
    check(2, &["a.txt", "--statement", "statement.json"], "not about a.txt");
    check(3, &["a.txt", "--predicate", "broken.json"], "no JSON, at line 1, column 3");
    check(3, &["a.txt", "--predicate", "missing.json"], "missing.json could not be read");
    check(3, &["--statement", "predicate.json"], "predicate.json cannot be used");
    check(16, &["a.txt", "--predicate", "predicate.json"], "touchmark initialize");
    assert!(!shell.path("a.txt.sigstore.json").exists());
}
