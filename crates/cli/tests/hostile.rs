// SPDX-License-Identifier: Apache-2.0
//! Files that are not what they seem, names that steer a terminal, and a signer with another curve than ours.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tempfile::TempDir;
use touchmark_keys::{Digest, HashAlgorithm, KeyType, digest};
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_signers::{EphemeralSigner, Signer as _};
use touchmark_sigstore::bundle::{Bundle, Content, KeyMaterial};
use touchmark_sigstore::rekor::{HashedRekord, Verifier};
use touchmark_sigstore::trust::{Services, SigningConfig};
use touchmark_sigstore::tsp::TimestampRequest;
use touchmark_sigstore::wire::EnumName;
use touchmark_sigstore::wire::fulcio::{
    CreateSigningCertificateRequest, Credentials, PublicKey, PublicKeyRequest, SigningCertificate,
};
use touchmark_sigstore::wire::rekor::TransparencyLogEntry;
use touchmark_sigstore::x509::Certificate;
use touchmark_testing::process::{ServerProcess, free_port};
use url::Url;

const ALICE: &str = "alice@example.com";
/// A command that needs longer is waiting for something that never comes.
const COMMAND_MAX: Duration = Duration::from_secs(30);

/// Working directory and home of the commands; an instance runs in `data` below it.
struct Shell {
    home: TempDir,
    token: Option<String>,
}

impl Shell {
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchmark"));
        command.args(args).current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        command.envs(self.token.iter().map(|token| ("SIGSTORE_ID_TOKEN", token)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> Output {
        let mut child = self.command(args).spawn().unwrap();
        let begin = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begin.elapsed() > COMMAND_MAX {
                child.kill().unwrap();
                panic!("{args:?} hangs");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn services(&self) -> Services {
        let config = std::fs::read(self.path("data/client/signing_config.json")).unwrap();
        SigningConfig::from_json(&config).unwrap().select(Timestamp::now()).unwrap()
    }

    #[track_caller]
    fn verify(&self, file: &str, more: &[&str], code: i32) -> Output {
        let issuer = self.services().oidc.unwrap().url().to_owned();
        let root = ["--trusted-root", "data/client/trusted_root.json"];
        let identity = ["--certificate-identity", ALICE, "--certificate-oidc-issuer", &issuer];
        self.run(&[&["verify-blob", file], &root[..], &identity, more].concat(), code)
    }
}

async fn shell_with_instance() -> (Shell, ServerProcess) {
    let mut shell = Shell { home: tempfile::tempdir().unwrap(), token: None };
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    let server = ServerProcess::start(binary, &shell.path("data"), free_port().unwrap()).await.unwrap();
    let mirror = server.url().join("tuf").unwrap();
    shell.run(&["initialize", "--mirror", mirror.as_str(), "--root", "data/client/root.json"], 0);
    let token = shell.run(&["token", "--data-dir", "data", "--email", ALICE], 0).stdout;
    shell.token = Some(String::from_utf8(token).unwrap().trim().to_owned());
    (shell, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_what_they_are_called_and_names_steer_nothing() {
    let (shell, server) = shell_with_instance().await;
    std::fs::write(shell.path("a"), "an artifact").unwrap();

    // A link that the user names is written through: /dev/stdout is one.
    std::fs::write(shell.path("target"), "").unwrap();
    std::os::unix::fs::symlink("target", shell.path("link")).unwrap();
    shell.run(&["sign-blob", "a", "--bundle", "link"], 0);
    assert!(shell.path("link").is_symlink());
    shell.verify("a", &["--bundle", "target"], 0);
    // A link at the default place was named by nobody: it is replaced, not followed.
    std::fs::write(shell.path("target"), "precious").unwrap();
    std::os::unix::fs::symlink("target", shell.path("a.sigstore.json")).unwrap();
    shell.run(&["sign-blob", "a"], 2);
    shell.run(&["sign-blob", "a", "--overwrite"], 0);
    assert_eq!(std::fs::read_to_string(shell.path("target")).unwrap(), "precious");
    shell.verify("a", &[], 0);

    shell.run(&["sign-blob", "a", "--bundle", "./a"], 2);
    shell.run(&["sign-blob", "a", "./a", "--overwrite"], 2);
    assert_eq!(std::fs::read_to_string(shell.path("a")).unwrap(), "an artifact");

    let name = "x\u{1b}[2Kx\nVerified OK: y";
    std::fs::write(shell.path(name), "an artifact").unwrap();
    let signed = shell.run(&["sign-blob", name], 0).stderr;
    let verified = shell.verify(name, &[], 0).stdout;
    for text in [signed, verified] {
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains(r"x\u{1b}[2Kx") && !text.contains('\u{1b}') && !text.contains("\nVerified OK: y"),
            "{text}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_beside_a_file_is_no_bundle() {
    let (shell, server) = shell_with_instance().await;
    std::fs::write(shell.path("a"), "an artifact").unwrap();
    assert!(Command::new("mkfifo").arg(shell.path("a.sigstore.json")).status().unwrap().success());
    shell.verify("a", &[], 3);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_hashed_as_its_signer_hashed_it() {
    let (shell, server) = shell_with_instance().await;
    for (file, key_type) in [("p384", KeyType::EcdsaP384), ("p521", KeyType::EcdsaP521)] {
        std::fs::write(shell.path(file), file).unwrap();
        let signed = sign(&shell, &EphemeralSigner::generate(key_type).unwrap(), file.as_bytes()).await;
        std::fs::write(shell.path(&format!("{file}.sigstore.json")), signed.to_json()).unwrap();
        shell.verify(file, &[], 0);
        let bundle = format!("{file}.sigstore.json");
        let name = if key_type == KeyType::EcdsaP384 { "sha384" } else { "sha512" };
        let Content::Message { digest: Some(digest), .. } = signed.content() else { panic!("a file was signed") };
        let hex = hex::encode(digest.as_bytes());
        shell.verify(&format!("{name}:{hex}"), &["--bundle", &bundle], 0);
        let of_another_kind = format!("sha256:{}", "0".repeat(64));
        shell.verify(&of_another_kind, &["--bundle", &bundle], 2);
        std::fs::write(shell.path(file), "another artifact").unwrap();
        shell.verify(file, &[], 14);
    }
    server.stop().await.unwrap();
}

/// What a client with a key of another type makes.
async fn sign(shell: &Shell, key: &EphemeralSigner, artifact: &[u8]) -> Bundle {
    let services = shell.services();
    let leaf = certificate(shell, key, services.ca.url()).await;
    let scheme = key.scheme();
    let artifact: Digest = digest(scheme.hash().unwrap(), artifact);
    let signature = key.sign_digest(&artifact).await.unwrap();
    let verifier = Verifier::Certificate { der: leaf.der().to_vec() };
    let record = HashedRekord::new(artifact.clone(), signature.clone(), verifier, scheme).unwrap();
    let url = format!("{}/api/v2/log/entries", services.rekor[0].url().trim_end_matches('/'));
    let entry = post(&url, "application/json", record.to_request().to_json()).await;
    let imprint = digest(HashAlgorithm::Sha256, &signature);
    let request = TimestampRequest { imprint, nonce: None, cert_req: true, policy: None };
    let stamp = post(services.tsa[0].url(), "application/timestamp-query", request.to_der().unwrap()).await;
    let entry = TransparencyLogEntry::from_json(&entry).unwrap();
    let content = Content::Message { digest: Some(artifact), signature };
    Bundle::new(KeyMaterial::Certificate(leaf), content, vec![stamp], vec![entry]).unwrap()
}

async fn certificate(shell: &Shell, key: &EphemeralSigner, ca: &str) -> Certificate {
    let proof = key.sign(ALICE.as_bytes()).await.unwrap();
    let content = key.public_key().to_pem();
    let request = CreateSigningCertificateRequest {
        credentials: Some(Credentials { oidc_identity_token: shell.token.clone().unwrap() }),
        public_key_request: Some(PublicKeyRequest {
            public_key: Some(PublicKey { algorithm: EnumName::default(), content }),
            proof_of_possession: proof,
        }),
        ..Default::default()
    };
    let url = format!("{}/api/v2/signingCert", ca.trim_end_matches('/'));
    let reply = SigningCertificate::from_json(&post(&url, "application/json", request.to_json()).await).unwrap();
    let chain = reply.signed_certificate_embedded_sct.unwrap().chain.unwrap();
    Certificate::from_pem(&chain.certificates[0]).unwrap()
}

async fn post(url: &str, content_type: &str, body: Vec<u8>) -> Vec<u8> {
    let outbound = Outbound::new("touchmark-test", Reach::Private, None);
    let headers = [("content-type", content_type)];
    let reply = outbound.post(&Url::parse(url).unwrap(), &headers, body, &Limits::SERVICE).await.unwrap();
    assert!((200..300).contains(&reply.status), "{url}: {}", String::from_utf8_lossy(&reply.body));
    reply.body
}
