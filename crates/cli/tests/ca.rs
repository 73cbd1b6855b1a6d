// SPDX-License-Identifier: Apache-2.0
//! A certificate authority over its life, on real processes: made by `ca init`, renewed and signed by its root, served, and exchanged under load while
//! the server answers.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use touchmark_keys::KeyType;
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_signers::{FileSigner, Signer as _};
use touchmark_sigstore::ct::embedded_scts;
use touchmark_sigstore::x509::{Certificate, chain_from_pem};
use touchmark_testing::load;
use touchmark_testing::process::{ServerProcess, free_port, log_path};
use url::Url;

const BINARY: &str = env!("CARGO_BIN_EXE_touchmark");
const ALICE: &str = "alice@example.com";
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Certificates that are asked for at the same time.
const CLIENTS: usize = 4;
/// Certificates that are issued between two reloads, at least.
const BETWEEN_RELOADS: u64 = 20;

/// A working directory, and calls of the binary there.
struct Shell(TempDir);

impl Shell {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn run(&self, code: i32, line: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_touchmark"));
        command.args(line.split(' ')).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(code), "{line}\n{said}");
        said
    }

    fn write_private(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
        self.set_mode(name, 0o600);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn chain(&self, file: &str) -> Vec<Certificate> {
        chain_from_pem(&std::fs::read_to_string(self.path(file)).unwrap()).unwrap()
    }
}

const INIT: &str = "ca init --organization Example --key-type p256 --dir";

#[test]
fn an_authority_is_made_shown_renewed_and_signed_for() {
    let shell = Shell::new();
    shell.write_private("root.pass", "in a drawer\n");
    shell.write_private("online.pass", "on a server\n");
    let protected = "--passphrase-file online.pass --root-passphrase-file root.pass";
    assert!(shell.run(2, &format!("{INIT} ca")).contains("--unencrypted-keys"));
    let made: Value = serde_json::from_str(
        shell.run(0, &format!("--quiet {INIT} ca {protected} --output json")).lines().next().unwrap(),
    )
    .unwrap();
    assert_eq!(made["chain"][0]["subject"], "CN=Example intermediate,O=Example");
    assert_eq!(made["chain"][0]["issuer"], made["chain"][1]["subject"]);
    assert_eq!((&made["chain"][0]["daysLeft"], &made["chain"][1]["daysLeft"]), (&json!(1095), &json!(3652)));
    assert!(shell.run(2, &format!("{INIT} ca {protected}")).contains("root.key.pem exists"));
    for key in ["ca/root.key.pem", "ca/intermediate.key.pem"] {
        assert!(std::fs::read_to_string(shell.path(key)).unwrap().contains("ENCRYPTED PRIVATE KEY"));
    }

    let shown = shell.run(0, "ca show ca/chain.pem ca/root.pem");
    for text in ["days left  1095", "issued by the next", "root"] {
        assert!(shown.contains(text), "{shown}");
    }
    shell.run(0, "ca show ca/chain.pem --fail-within 1095");
    assert!(shell.run(16, "ca show ca/chain.pem --fail-within 1096").contains("1 certificates end within 1096 days"));

    // The root cannot be opened without its passphrase, and nothing comes of that.
    let renew = "ca renew ca/chain.pem --root-dir ca --out-dir renewed --days 1097";
    assert!(shell.run(3, renew).contains("--root-passphrase-file"));
    let renew = format!("{renew} --root-passphrase-file root.pass");
    shell.run(0, &renew);
    let [old, new] = ["ca/chain.pem", "renewed/chain.pem"].map(|file| shell.chain(file));
    assert!(new[0].spki_der() == old[0].spki_der() && new[0].serial() != old[0].serial() && new[1] == old[1]);
    shell.run(2, &renew);

    let request = "ca csr --organization Example --common-name elsewhere --out r.pem --new-key r.key.pem";
    shell.run(0, &format!("{request} --passphrase-file online.pass"));
    let sign = "ca sign r.pem --root-dir ca --root-passphrase-file root.pass --out signed.pem";
    let proposed = shell.run(0, sign);
    assert!(proposed.contains("elsewhere") && proposed.contains("nothing was signed"), "{proposed}");
    assert!(!shell.path("signed.pem").exists());
    shell.run(0, &format!("{sign} --yes"));
    let signed = shell.chain("signed.pem");
    assert_eq!(signed[0].subject_text(), "CN=elsewhere,O=Example");
    assert_eq!(signed[1], old[1]);
}

#[test]
fn a_lifetime_that_the_root_cuts_short_is_said_and_a_renewal_for_no_longer_is_refused() {
    let shell = Shell::new();
    let cut = "the lifetime is cut short: the root ends then";
    let made = shell.run(0, &format!("{INIT} ca --unencrypted-keys --root-days 5 --intermediate-days 4"));
    assert!(!made.contains(cut), "{made}");
    let made = shell.run(0, &format!("{INIT} short --unencrypted-keys --root-days 5 --intermediate-days 9"));
    assert!(made.contains(cut), "{made}");
    let renew = |from: &str, to: &str| format!("ca renew {from}/chain.pem --root-dir ca --out-dir {to}");
    let renewed = shell.run(0, &renew("ca", "next"));
    assert!(renewed.contains(cut), "{renewed}");
    let refused = shell.run(2, &renew("next", "again"));
    assert!(refused.contains("no later than the present one"), "{refused}");
    assert!(!shell.path("again/chain.pem").exists());
    shell.run(0, "ca csr --organization Example --new-key k.pem --unencrypted-keys --out r.pem");
    let sign = "ca sign r.pem --root-dir ca --out signed.pem";
    for (more, signed) in [("", false), (" --yes", true)] {
        let said = shell.run(0, &format!("{sign}{more}"));
        assert_eq!((said.matches(cut).count(), shell.path("signed.pem").exists()), (1, signed), "{said}");
    }
}

#[test]
fn a_passphrase_file_that_others_may_read_or_of_several_lines_is_refused() {
    let shell = Shell::new();
    shell.write_private("online.pass", "on a server\n");
    shell.write_private("lines.pass", "on a server\nin a drawer\n");
    shell.write_private("loose.pass", "on a server\n");
    shell.set_mode("loose.pass", 0o644);
    for (file, says) in
        [("lines.pass", "has 2 lines"), ("loose.pass", "may be read by others than its owner (mode 644)")]
    {
        let init = format!("{INIT} ca --passphrase-file online.pass --root-passphrase-file {file}");
        assert!(shell.run(3, &init).contains(says));
        assert!(shell.run(3, &format!("{INIT} ca --passphrase-file {file}")).contains(says));
        assert!(!shell.path("ca").exists());
    }
    shell.run(0, &format!("{INIT} ca --passphrase-file online.pass"));
}

/// A `touchmark serve` with an authority, its log and a try-out issuer.
struct Instance {
    shell: Shell,
    port: u16,
    issuer_key: FileSigner,
    outbound: Outbound,
    tokens: AtomicU64,
}

/// What a configuration says of the authority.
struct Authority<'a> {
    key: &'a str,
    chain: &'a str,
    previous: &'a str,
    roots: &'a str,
}

impl Instance {
    fn new() -> Self {
        let shell = Shell::new();
        let issuer_key = FileSigner::create(&shell.path("oidc.pem"), KeyType::Rsa2048, None).unwrap();
        FileSigner::create(&shell.path("ct.pem"), KeyType::EcdsaP256, None).unwrap();
        std::fs::create_dir(shell.path("log")).unwrap();
        shell.run(0, &format!("{INIT} one --unencrypted-keys"));
        shell.run(0, &format!("{INIT} other --unencrypted-keys"));
        shell
            .run(0, "ca renew one/chain.pem --root-dir one --out-dir two --days 1097 --new-key --key-type p256 --unencrypted-keys");
        let roots = ["one", "other"].map(|ca| std::fs::read_to_string(shell.path(&format!("{ca}/root.pem"))).unwrap());
        std::fs::write(shell.path("roots.pem"), roots.concat()).unwrap();
        let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
        Self { shell, port: free_port().unwrap(), issuer_key, outbound, tokens: AtomicU64::new(0) }
    }

    fn configure(&self, authority: &Authority<'_>) {
        let Authority { key, chain, previous, roots } = authority;
        let (port, issuer) = (self.port, self.issuer());
        let text = format!(
            r#"listen = "127.0.0.1:{port}"
[fulcio]
key = "{key}"
chain = "{chain}"
previous_chains = [{previous}]
ct_log = {{ name = "ct.example.com" }}
[[fulcio.issuer]]
url = "{issuer}"
transport = "loopback-http"
[[ctlog]]
name = "ct.example.com"
key = "ct.pem"
data = "log"
accepted_roots = "{roots}"
[oidc]
listen = "127.0.0.1:{}"
issuer = "{issuer}"
key = "oidc.pem"
gives_any_identity_to_anyone = true
"#,
            port + 1
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.shell.path("touchmark.toml")
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}/oidc", self.port + 1)
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap()
    }

    async fn token(&self) -> String {
        let now_s = Timestamp::now().as_second();
        let header =
            json!({ "alg": "RS256", "kid": URL_SAFE_NO_PAD.encode(self.issuer_key.public_key().spki_sha256()) });
        let claims = json!({
            "iss": self.issuer(), "sub": "alice", "aud": "sigstore", "iat": now_s, "exp": now_s + 300,
            "jti": self.tokens.fetch_add(1, Ordering::Relaxed), "email": ALICE, "email_verified": true,
        });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.issuer_key.sign(signed.as_bytes()).await.unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A certificate and the chain that it came with.
    async fn issue(&self) -> Vec<Certificate> {
        let body = load::certificate_request(&self.token().await, ALICE);
        let reply = load::post_json(&self.outbound, &self.url("/api/v2/signingCert"), body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        let reply = load::json_of(&reply).unwrap();
        let chain = certificates(&reply["signedCertificateEmbeddedSct"]["chain"]);
        chain[0].verify_issued_by(&chain[1]).unwrap();
        chain
    }

    async fn trust_bundle(&self) -> Vec<Vec<Certificate>> {
        let reply = self.outbound.get(&self.url("/api/v2/trustBundle"), &Limits::SERVICE).await.unwrap();
        load::json_of(&reply).unwrap()["chains"].as_array().unwrap().iter().map(certificates).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_path(&self.config())).unwrap()
    }

    /// Asks for a reload, and waits until the log says what came of it.
    async fn reload(&self, server: &ServerProcess, said: &str) {
        let before = self.log().len();
        server.hang_up().unwrap();
        let begun = Instant::now();
        loop {
            let log = self.log();
            let new = &log[before..];
            if new.contains("reloaded") {
                assert!(new.contains(said), "{new}");
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{new}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn certificates(chain: &Value) -> Vec<Certificate> {
    let pems = chain["certificates"].as_array().unwrap().iter();
    pems.map(|pem| Certificate::from_pem(pem.as_str().unwrap()).unwrap()).collect()
}

const ONE: Authority<'static> =
    Authority { key: "one/intermediate.key.pem", chain: "one/chain.pem", previous: "", roots: "one/root.pem" };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_is_exchanged_under_load_and_no_request_fails() {
    let instance = Arc::new(Instance::new());
    instance.configure(&ONE);
    let server = ServerProcess::serve(Path::new(env!("CARGO_BIN_EXE_touchmark")), &instance.config(), instance.port)
        .await
        .unwrap();
    let [one, two, other] = ["one", "two", "other"].map(|ca| instance.shell.chain(&format!("{ca}/chain.pem")));
    assert_eq!(instance.issue().await[1..], one);
    assert_eq!(instance.trust_bundle().await, std::slice::from_ref(&one));

    let (stop, issued) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (instance, stop, issued) = (Arc::clone(&instance), Arc::clone(&stop), Arc::clone(&issued));
            let known = [one.clone(), two.clone(), other.clone()];
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let chain = instance.issue().await;
                    assert!(known.iter().any(|known| chain[1..] == *known));
                    issued.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let next = Authority {
        key: "two/intermediate.key.pem",
        chain: "two/chain.pem",
        previous: "\"one/chain.pem\"",
        roots: "one/root.pem",
    };
    // Another root: the log accepts both for as long as requests of both are under way.
    let both = Authority { previous: "\"one/chain.pem\", \"two/chain.pem\"", roots: "roots.pem", ..next };
    let elsewhere = Authority { key: "other/intermediate.key.pem", chain: "other/chain.pem", ..both };
    for (authority, expect) in [
        (&next, [two.clone(), one.clone()].as_slice()),
        (&ONE, std::slice::from_ref(&one)),
        (&both, &[two.clone(), one.clone()]),
        (&elsewhere, &[other.clone(), one.clone(), two.clone()]),
        (&both, &[two.clone(), one.clone()]),
    ] {
        let (before, begun) = (issued.load(Ordering::Relaxed), Instant::now());
        while issued.load(Ordering::Relaxed) < before + BETWEEN_RELOADS {
            assert!(begun.elapsed() < PATIENCE && clients.iter().all(|client| !client.is_finished()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        instance.configure(authority);
        instance.reload(&server, "these certificates issue and stamp now").await;
        assert_eq!(instance.issue().await[1..], expect[0]);
        assert_eq!(instance.trust_bundle().await, expect);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(server.stop().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_changes_nothing_and_the_log_says_why() {
    let instance = Instance::new();
    instance.configure(&ONE);
    let server = ServerProcess::serve(Path::new(env!("CARGO_BIN_EXE_touchmark")), &instance.config(), instance.port)
        .await
        .unwrap();
    let one = instance.shell.chain("one/chain.pem");
    let (other_key, other_chain) = ("other/intermediate.key.pem", "other/chain.pem");
    for (authority, expect) in [
        (Authority { chain: "two/chain.pem", ..ONE }, "does not hold the signer's public key"),
        (Authority { key: "none.pem", ..ONE }, "none.pem"),
        (Authority { key: other_key, chain: other_chain, ..ONE }, "add the new root to its `accepted_roots`"),
        (
            Authority { key: other_key, chain: other_chain, previous: "", roots: "other/root.pem" },
            "leave its root in `accepted_roots`",
        ),
        (Authority { previous: "\"none.pem\"", ..ONE }, "none.pem"),
        (Authority { roots: "none.pem", ..ONE }, "none.pem"),
    ] {
        instance.configure(&authority);
        instance.reload(&server, expect).await;
        assert_eq!(instance.issue().await[1..], one, "{expect}");
        assert_eq!(instance.trust_bundle().await, std::slice::from_ref(&one), "{expect}");
    }
    for (from, to, expect) in [
        ("listen =", "metrics_listen = \"127.0.0.1:1\"\nlisten =", "`metrics_listen` differs"),
        ("[fulcio]", "[fulcio]\nunknown = 1", "unknown field `unknown`"),
        ("url = \"http", "identity = \"uri\"\nurl = \"http", "`subject_domain` is missing"),
        ("url = \"http", "jwks = \"ct.pem\"\nurl = \"http", "JSON Web Key Set"),
    ] {
        instance.configure(&ONE);
        let text = std::fs::read_to_string(instance.config()).unwrap();
        assert!(text.contains(from));
        std::fs::write(instance.config(), text.replacen(from, to, 1)).unwrap();
        instance.reload(&server, expect).await;
        assert_eq!(instance.issue().await[1..], one, "{expect}");
    }
    assert!(server.stop().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_go_to_a_log_of_the_process_and_to_one_elsewhere_and_the_rule_says_who_may_be_missing() {
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    let instance = Instance::new();
    let (elsewhere, key) = (instance.shell.path("elsewhere.toml"), instance.shell.path("elsewhere.pem"));
    let key = FileSigner::create(&key, KeyType::EcdsaP256, None).unwrap();
    std::fs::write(instance.shell.path("elsewhere.pub.pem"), key.public_key().to_pem()).unwrap();
    std::fs::create_dir(instance.shell.path("elsewhere")).unwrap();
    let port = free_port().unwrap();
    let text = format!(
        "listen = \"127.0.0.1:{port}\"\n[[ctlog]]\nname = \"elsewhere.example.com\"\nkey = \"elsewhere.pem\"\ndata = \"elsewhere\"\naccepted_roots = \"one/root.pem\"\n"
    );
    std::fs::write(&elsewhere, text).unwrap();
    let log = ServerProcess::serve(binary, &elsewhere, port).await.unwrap();

    let own = "{ name = \"ct.example.com\" }";
    let other = format!(
        "{{ url = \"http://127.0.0.1:{port}/log/elsewhere.example.com\", public_key = \"elsewhere.pub.pem\" }}"
    );
    let rule = |more: &str| {
        instance.configure(&ONE);
        let text = std::fs::read_to_string(instance.config()).unwrap();
        let several = format!("ct_log = [{own}, {other}]\n{more}");
        std::fs::write(instance.config(), text.replacen(&format!("ct_log = {own}"), &several, 1)).unwrap();
    };
    rule("");
    let server = ServerProcess::serve(binary, &instance.config(), instance.port).await.unwrap();
    let scts = |chain: &[Certificate]| embedded_scts(&chain[0]).unwrap();
    let both = scts(&instance.issue().await);
    assert_eq!(both.len(), 2);
    assert_eq!(both[1].log_id, key.public_key().spki_sha256());

    assert!(log.stop().await.unwrap().success());
    let body = load::certificate_request(&instance.token().await, ALICE);
    let refused = load::post_json(&instance.outbound, &instance.url("/api/v2/signingCert"), body).await.unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(load::json_of(&refused).unwrap()["details"][0]["reason"], "CT_LOG_UNAVAILABLE");
    // The rule is no part of a reload.
    rule("ct_scts = 1");
    instance.reload(&server, "`fulcio` differs").await;
    assert!(server.stop().await.unwrap().success());
    let server = ServerProcess::serve(binary, &instance.config(), instance.port).await.unwrap();
    let one = scts(&instance.issue().await);
    assert_eq!((one.len(), one[0].log_id), (1, both[0].log_id));
    assert!(server.stop().await.unwrap().success());

    // The same log twice, once by name and once by address.
    let ct = FileSigner::open(&instance.shell.path("ct.pem"), None).unwrap();
    std::fs::write(instance.shell.path("elsewhere.pub.pem"), ct.public_key().to_pem()).unwrap();
    let said = instance.shell.run(3, "serve --config touchmark.toml");
    assert!(said.contains("have one key: they are the same log"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timestamp_authority_is_made_and_gets_its_next_key_under_the_same_root() {
    let shell = Shell::new();
    let make = "ca timestamping --organization Example --unencrypted-keys --key-type p256";
    shell.run(0, &format!("{make} --dir one"));
    shell.run(0, &format!("{make} --dir two --root-dir one"));
    assert!(shell.run(2, &format!("{make} --dir one")).contains("root.key.pem"), "nothing is overwritten");
    assert!(shell.run(2, "ca timestamping --organization Example --dir three").contains("--unencrypted-keys"));
    let chains = ["one", "two"].map(|name| {
        let chain = chain_from_pem(&std::fs::read_to_string(shell.path(name).join("chain.pem")).unwrap()).unwrap();
        assert_eq!(chain.len(), 2);
        chain
    });
    assert_eq!(chains[0][1], chains[1][1], "one root");
    assert_ne!(chains[0][0].spki_der(), chains[1][0].spki_der());
    assert!(!shell.path("two").join("root.key.pem").exists());
    // The root of another key certifies nothing.
    shell.run(0, &format!("{make} --dir other"));
    std::fs::copy(shell.path("other").join("root.pem"), shell.path("two").join("root.pem")).unwrap();
    shell.run(3, &format!("{make} --dir three --root-dir two --root-key one/root.key.pem"));
    assert!(!shell.path("three").join("tsa.key.pem").exists(), "what was begun is taken back");

    let port = free_port().unwrap();
    let write = |of: &str| {
        let text =
            format!("listen = \"127.0.0.1:{port}\"\n[tsa]\nkey = \"{of}/tsa.key.pem\"\nchain = \"{of}/chain.pem\"\n");
        std::fs::write(shell.path("touchmark.toml"), text).unwrap();
    };
    write("one");
    let server = ServerProcess::serve(BINARY.as_ref(), &shell.path("touchmark.toml"), port).await.unwrap();
    write("two");
    server.hang_up().unwrap();
    let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
    let url = server.url().join("api/v1/timestamp/certchain").unwrap();
    let begun = Instant::now();
    while outbound.get(&url, &Limits::SERVICE).await.unwrap().body
        != std::fs::read(shell.path("two").join("chain.pem")).unwrap()
    {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.stop().await.unwrap().success());
    let said = std::fs::read_to_string(log_path(&shell.path("touchmark.toml"))).unwrap();
    assert!(said.contains(&format!("tsa listens at http://127.0.0.1:{port}")), "{said}");
}

#[test]
fn a_timestamp_authority_behind_its_last_time_says_at_the_start_until_when_it_is_silent() {
    let shell = Shell::new();
    shell.run(0, "ca timestamping --organization Example --unencrypted-keys --dir tsa");
    let text = format!(
        "listen = \"127.0.0.1:{}\"\n[tsa]\nkey = \"tsa/tsa.key.pem\"\nchain = \"tsa/chain.pem\"\n",
        free_port().unwrap()
    );
    std::fs::write(shell.path("touchmark.toml"), text).unwrap();
    let kept = "touchmark: no timestamp was issued after 2099-01-01T00:00:01Z\n";
    std::fs::write(shell.path("tsa-last-time"), kept).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["serve", "--config", "touchmark.toml"]).current_dir(shell.path("")).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let said =
        lines.find(|line| line.contains("the clock is behind the newest timestamp") || line.contains("serving at"));
    server.kill().unwrap();
    server.wait().unwrap();
    let said = said.unwrap();
    assert!(said.contains("until=2099-01-01T00:00:00Z") && said.contains("WARN"), "{said}");
}
