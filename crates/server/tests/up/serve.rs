// SPDX-License-Identifier: Apache-2.0
//! `touchmark serve` over the files of a data directory: all roles in one process, or some.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use touchmark_keys::KeyType;
use touchmark_outbound::Limits;
use touchmark_server::{Config, Running, StartError, UpOptions, serve, try_out_token, up};
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_sigstore::trust::TrustedRoot;
use touchmark_sigstore::verify::{chain, sct};
use touchmark_sigstore::x509::{Certificate, chain_from_pem};
use url::Url;
use zeroize::Zeroizing;

use crate::stack::{Stack, json, options, outbound, refusal, text};

/// Ports below the range of outgoing connections, so that no client of a test that runs beside takes them.
pub(crate) fn free_ports() -> [u16; 2] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 10_240 + u16::try_from(std::process::id() % 8_000).unwrap();
    let mut free = std::iter::repeat_with(|| begin + NEXT.fetch_add(1, Ordering::Relaxed))
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    [(); 2].map(|()| free.next().unwrap())
}

async fn get(running: &Running, path: &str) -> touchmark_outbound::Response {
    outbound().get(&Url::parse(&format!("{}{path}", running.url())).unwrap(), &Limits::SERVICE).await.unwrap()
}

pub(crate) fn config(data: &Path, text: &str) -> Config {
    Config::parse(text, data).unwrap()
}

#[tokio::test]
async fn the_roles_of_a_file_run_and_no_other() {
    let stack = Stack::start().await;
    let (data, rekor, ct) = (stack.data(), stack.rekor_log(), stack.ct_log());
    let _directory = stack.stop().await;
    let [services, own] = free_ports();
    let toml = format!(
        r#"
listen = "127.0.0.1:{services}"
[fulcio]
key = "keys/ca.pem"
chain = "ca/chain.pem"
ct_log = {{ name = "{ct}" }}
[[fulcio.issuer]]
url = "https://accounts.example.com"
[[ctlog]]
name = "{ct}"
key = "keys/ct.pem"
data = "logs/{ct}"
accepted_roots = "ca/chain.pem"
[[rekor]]
listen = "127.0.0.1:{own}"
name = "{rekor}"
key = "keys/rekor.pem"
data = "logs/{rekor}"
"#
    );
    let running = serve(config(&data, &toml)).await.unwrap();
    let ready = get(&running, "/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(json(&ready)["roles"]["tsa"], serde_json::Value::Null);
    assert!(running.oidc_issuer().is_none());
    assert_eq!(get(&running, "/api/v2/trustBundle").await.status, 200);
    // Rekor has a listener of its own, with its own front.
    assert_eq!(get(&running, "/api/v2/checkpoint").await.status, 404);
    let url = Url::parse(&format!("http://127.0.0.1:{own}/api/v2/checkpoint")).unwrap();
    let checkpoint = outbound().get(&url, &Limits::SERVICE).await.unwrap();
    assert!(text(&checkpoint).starts_with(&rekor));
    assert_eq!(get(&running, "/tuf/timestamp.json").await.status, 404);

    // A log that is open here is open nowhere else.
    let [other, _] = free_ports();
    let second = format!(
        "listen = \"127.0.0.1:{other}\"\n[[rekor]]\nname = \"{rekor}\"\nkey = \"keys/rekor.pem\"\ndata = \"logs/{rekor}\"\n"
    );
    let error = refusal(serve(config(&data, &second)).await);
    assert!(matches!(error, StartError::InUse { .. }), "{error}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_or_the_roots_is_refused() {
    let stack = Stack::start().await;
    let data = stack.data();
    let _directory = stack.stop().await;
    for (toml, expect) in [
        ("[tsa]\nkey = \"keys/ca.pem\"\nchain = \"tsa/chain.pem\"\n", "tsa cannot start"),
        ("[tsa]\nkey = \"keys/ca.pem\"\nchain = \"ca/chain.pem\"\n", "tsa cannot start"),
        ("[tuf]\ndirectory = \"tuf\"\nonline_key = \"keys/tsa.pem\"\n", "`online_key` is not the key that the root"),
        ("[tsa]\nkey = \"keys/none.pem\"\nchain = \"tsa/chain.pem\"\n", "keys/none.pem"),
        ("[tsa]\nkey = \"keys/tsa.pem\"\nchain = \"keys/tsa.pem\"\n", "is not a chain of certificates"),
    ] {
        let [port, _] = free_ports();
        let error = refusal(serve(config(&data, &format!("listen = \"127.0.0.1:{port}\"\n{toml}"))).await).to_string();
        assert!(error.contains(expect), "{toml}: {error}");
    }
}

#[tokio::test]
async fn an_authority_whose_chain_does_not_fit_its_key_its_root_or_its_log_is_refused() {
    let stack = Stack::start().await;
    let (data, ct) = (stack.data(), stack.ct_log());
    let _directory = stack.stop().await;
    let read = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    let chain = chain_from_pem(&read("ca/chain.pem")).unwrap();
    let [issuing, root] = [0, 1].map(|position| chain[position].to_pem());
    std::fs::write(data.join("turned.pem"), format!("{root}{issuing}")).unwrap();
    std::fs::write(data.join("short.pem"), issuing).unwrap();
    let refused = "would not accept the chain";
    for (chain, roots, expect) in [
        (
            "turned.pem",
            "ca/chain.pem",
            ["turned.pem does not hold", "certificate 2 does: is the chain in the wrong order?"],
        ),
        ("tsa/chain.pem", "ca/chain.pem", ["tsa/chain.pem does not hold", "the signer's public key"]),
        ("short.pem", "ca/chain.pem", ["short.pem", "the chain ends without a root"]),
        ("ca/chain.pem", "tsa/chain.pem", [&ct, refused]),
    ] {
        let [port, _] = free_ports();
        let toml = format!(
            r#"
listen = "127.0.0.1:{port}"
[fulcio]
key = "keys/ca.pem"
chain = "{chain}"
ct_log = {{ name = "{ct}" }}
[[fulcio.issuer]]
url = "https://accounts.example.com"
[[ctlog]]
name = "{ct}"
key = "keys/ct.pem"
data = "logs/{ct}"
accepted_roots = "{roots}"
"#
        );
        let error = refusal(serve(config(&data, &toml)).await).to_string();
        assert!(expect.iter().all(|text| error.contains(text)), "{chain} {roots}: {error}");
        assert!(!error.ends_with("the signer's public key") || chain == "tsa/chain.pem", "{error}");
    }
}

pub(crate) async fn certificate(services: &str, token: &str, email: &str) -> Certificate {
    let reply = ask(services, token, email).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    let json = json(&reply);
    let leaf = json.pointer("/signedCertificateEmbeddedSct/chain/certificates/0").unwrap();
    Certificate::from_pem(leaf.as_str().unwrap()).unwrap()
}

/// Asks for a certificate as sigstore-js does.
async fn ask(services: &str, token: &str, email: &str) -> touchmark_outbound::Response {
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let proof = signer.sign(email.as_bytes()).await.unwrap();
    let body = serde_json::json!({
        "credentials": {"oidcIdentityToken": token},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": signer.public_key().to_pem()},
            "proofOfPossession": STANDARD.encode(proof),
        },
    });
    let url = Url::parse(&format!("{services}/api/v2/signingCert")).unwrap();
    let headers = [("content-type", "application/json")];
    outbound().post(&url, &headers, body.to_string().into_bytes(), &Limits::SERVICE).await.unwrap()
}

#[tokio::test]
async fn authority_and_log_run_apart_and_meet_over_http() {
    let stack = Stack::start().await;
    let (data, ct) = (stack.data(), stack.ct_log());
    let root: TrustedRoot = stack.trusted_root();
    let issuer = stack.running.oidc_issuer().unwrap();
    let _directory = stack.stop().await;
    let log_key = root.ctlogs()[0].public_key().to_pem();
    std::fs::write(data.join("ct.pub.pem"), log_key).unwrap();
    let [log_port, fulcio_port] = free_ports();
    let log = format!(
        r#"
[[ctlog]]
listen = "127.0.0.1:{log_port}"
name = "{ct}"
key = "keys/ct.pem"
data = "logs/{ct}"
accepted_roots = "ca/chain.pem"
"#
    );
    let oidc_listen = issuer.trim_start_matches("http://").trim_end_matches("/oidc").to_owned();
    let authority = format!(
        r#"
[fulcio]
listen = "127.0.0.1:{fulcio_port}"
key = "keys/ca.pem"
chain = "ca/chain.pem"
ct_log = {{ url = "http://127.0.0.1:{log_port}/log/{ct}", public_key = "ct.pub.pem" }}
[[fulcio.issuer]]
url = "{issuer}"
transport = "loopback-http"
[oidc]
listen = "{oidc_listen}"
issuer = "{issuer}"
key = "keys/oidc.pem"
gives_any_identity_to_anyone = true
"#
    );
    let log = serve(config(&data, &log)).await.unwrap();
    let authority = serve(config(&data, &authority)).await.unwrap();
    let token = try_out_token(&data, "alice@example.com", None).await.unwrap();
    let leaf = certificate(&authority.url(), &token, "alice@example.com").await;
    let chain = chain(&leaf, &root, &[jiff::Timestamp::now()]).unwrap();
    sct(&chain, &root).unwrap();
    // The SCT promises inclusion; the tree head with it follows within moments.
    let mut heads = 0;
    while json(&get(&log, &format!("/log/{ct}/ct/v1/get-sth")).await)["tree_size"] != 1 {
        heads += 1;
        assert!(heads < 1000, "the certificate is not in the log");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    authority.shutdown().await;
    log.shutdown().await;
}

#[tokio::test]
async fn an_issuer_is_not_asked_at_a_private_address_because_another_one_is() {
    let stack = Stack::start().await;
    let (data, log_key) = (stack.data(), stack.trusted_root().ctlogs()[0].public_key().to_pem());
    let _directory = stack.stop().await;
    std::fs::write(data.join("ct.pub.pem"), log_key).unwrap();
    let [port, _] = free_ports();
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let inside_url = format!("https://{}", inside.local_addr().unwrap());
    let toml = format!(
        r#"
listen = "127.0.0.1:{port}"
[fulcio]
key = "keys/ca.pem"
chain = "ca/chain.pem"
ct_log = {{ url = "http://127.0.0.1:1/", public_key = "ct.pub.pem" }}
[[fulcio.issuer]]
url = "http://127.0.0.1:1/oidc"
transport = "loopback-http"
[[fulcio.issuer]]
url = "{inside_url}"
"#
    );
    let running = serve(config(&data, &toml)).await.unwrap();
    let reply = ask(&running.url(), &unsigned_token(&inside_url), "alice@example.com").await;
    assert_eq!(reply.status, 503, "{}", text(&reply));
    assert_eq!(json(&reply)["details"][0]["reason"], "ISSUER_UNREACHABLE");
    let asked = inside.accept().map_err(|error| error.kind());
    assert!(matches!(asked, Err(std::io::ErrorKind::WouldBlock)), "{asked:?}");
    running.shutdown().await;
}

/// A token of this issuer whose signature is nonsense: before it is looked at, the issuer's keys are fetched.
fn unsigned_token(issuer: &str) -> String {
    let header = serde_json::json!({"alg": "RS256", "kid": "any"});
    let claims = serde_json::json!({"iss": issuer, "aud": "sigstore", "exp": u32::MAX, "iat": 0, "sub": "alice"});
    [header.to_string().as_str(), claims.to_string().as_str(), "signature"]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
}

#[tokio::test]
async fn an_anchor_notices_a_log_that_was_put_back() {
    let stack = Stack::start().await;
    let (data, ct) = (stack.data(), stack.ct_log());
    let listen = stack.running.url().trim_start_matches("http://").parse().unwrap();
    let directory = stack.stop().await;
    let [port, _] = free_ports();
    let anchored = format!(
        r#"
[[ctlog]]
listen = "127.0.0.1:{port}"
name = "{ct}"
key = "keys/ct.pem"
data = "logs/{ct}"
accepted_roots = "ca/chain.pem"
anchor = "ct.anchor"
"#
    );
    let old = data.join("old");
    copy(&data.join("logs").join(&ct), &old);
    // Grow by one certificate, then anchor.
    let running = up(UpOptions { listen, ..options(&data) }).await.unwrap();
    let token = try_out_token(&data, "alice@example.com", None).await.unwrap();
    certificate(&running.url(), &token, "alice@example.com").await;
    running.shutdown().await;
    std::fs::write(data.join("ct.anchor"), "").unwrap();
    serve(config(&data, &anchored)).await.unwrap().shutdown().await;
    assert!(std::fs::read_to_string(data.join("ct.anchor")).unwrap().starts_with(&format!("{ct}\n1\n")));

    std::fs::remove_dir_all(data.join("logs").join(&ct)).unwrap();
    std::fs::rename(&old, data.join("logs").join(&ct)).unwrap();
    let error = refusal(serve(config(&data, &anchored)).await).to_string();
    assert!(error.contains("rolled back"), "{error}");
    drop(directory);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_passphrase_file_opens_encrypted_keys() {
    let directory = tempfile::tempdir().unwrap();
    let passphrase = Some(Zeroizing::new(b"correct horse".to_vec()));
    up(UpOptions { passphrase, ..options(directory.path()) }).await.unwrap().shutdown().await;
    let [port, _] = free_ports();
    let tsa = |passphrase_file: &str| {
        let toml = format!(
            "{passphrase_file}\n[tsa]\nlisten = \"127.0.0.1:{port}\"\nkey = \"keys/tsa.pem\"\nchain = \"tsa/chain.pem\"\n"
        );
        config(directory.path(), &toml)
    };
    for (name, content, mode) in [
        ("passphrase", "correct horse\n", 0o600),
        ("wrong", "horse\n", 0o600),
        ("loose", "correct horse\n", 0o640),
        ("lines", "correct horse\n\n", 0o600),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    assert!(matches!(refusal(serve(tsa("")).await), StartError::Signer(_)));
    assert!(matches!(refusal(serve(tsa("passphrase_file = \"wrong\"")).await), StartError::Signer(_)));
    for (name, says) in [("loose", "may be read by others than its owner (mode 640)"), ("lines", "has 2 lines")] {
        let error = refusal(serve(tsa(&format!("passphrase_file = \"{name}\""))).await).to_string();
        assert!(error.contains(says), "{error}");
    }
    serve(tsa("passphrase_file = \"passphrase\"")).await.unwrap().shutdown().await;
}
