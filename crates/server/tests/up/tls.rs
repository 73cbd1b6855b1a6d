// SPDX-License-Identifier: Apache-2.0
//! `touchmark serve` with `[tls]`: HTTP and gRPC over it, its certificate exchanged under load, and what is refused.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_server::{Config, ReloadError, Running, StartError, serve};
use touchmark_sigstore::x509::chain_from_pem;
use url::Url;

use crate::serve::free_ports;
use crate::stack::{Stack, outbound, refusal, text};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that are made between two exchanges, at least.
const BETWEEN_EXCHANGES: u64 = 20;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tls").join(file)
}

/// The data of an instance with a configuration file and the files of its listener beside them.
struct Instance {
    stack: tempfile::TempDir,
    rekor: String,
    address: SocketAddr,
}

impl Instance {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let rekor = stack.rekor_log();
        let stack = stack.stop().await;
        let [port, _] = free_ports();
        let instance = Self { stack, rekor, address: ([127, 0, 0, 1], port).into() };
        instance.show("one.pem", "one-key.pem");
        instance.configure("[tls]\nchain = \"tls.pem\"\nkey = \"tls-key.pem\"\n");
        instance
    }

    fn path(&self, file: &str) -> PathBuf {
        self.stack.path().join("data").join(file)
    }

    fn show(&self, chain: &str, key: &str) {
        std::fs::copy(data(chain), self.path("tls.pem")).unwrap();
        std::fs::copy(data(key), self.path("tls-key.pem")).unwrap();
        self.protect_key(0o600);
    }

    fn protect_key(&self, mode: u32) {
        std::fs::set_permissions(self.path("tls-key.pem"), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn configure(&self, tls: &str) {
        let Self { rekor, address, .. } = self;
        let role = format!("[[rekor]]\nname = \"{rekor}\"\nkey = \"keys/rekor.pem\"\ndata = \"logs/{rekor}\"\n");
        std::fs::write(self.config_file(), format!("listen = \"{address}\"\n{tls}{role}")).unwrap();
    }

    fn config_file(&self) -> PathBuf {
        self.path("touchmark.toml")
    }

    fn config(&self) -> Config {
        Config::load(&self.config_file()).unwrap()
    }

    fn url(&self, scheme: &str, path: &str) -> Url {
        Url::parse(&format!("{scheme}://localhost:{}{path}", self.address.port())).unwrap()
    }
}

/// A handshake on a connection of its own.
async fn connect(address: SocketAddr, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data("ca.pem")).unwrap()).unwrap();
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpSocket::new_v4()?.connect(address).await?;
    TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The certificate that a new connection is shown.
async fn shown(address: SocketAddr) -> Vec<u8> {
    let stream = connect(address, &[b"http/1.1"]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn leaf(chain: &str) -> Vec<u8> {
    chain_from_pem(&std::fs::read_to_string(data(chain)).unwrap()).unwrap()[0].der().to_vec()
}

fn trusting() -> Outbound {
    Outbound::new("test", Reach::Private, Some(std::fs::read(data("ca.pem")).unwrap()))
}

#[tokio::test]
async fn services_answer_over_tls_and_nothing_without_it() {
    let instance = Instance::new().await;
    let running = serve(instance.config()).await.unwrap();
    assert_eq!(running.url(), format!("https://{}", instance.address));
    let get = async |path| trusting().get(&instance.url("https", path), &Limits::SERVICE).await.unwrap();
    assert_eq!(get("/readyz").await.status, 200);
    assert!(text(&get("/api/v2/checkpoint").await).starts_with(&instance.rekor));
    outbound().get(&instance.url("http", "/readyz"), &Limits::SERVICE).await.unwrap_err();
    outbound().get(&instance.url("https", "/readyz"), &Limits::SERVICE).await.unwrap_err();

    let address = instance.address;
    let connector = tower::service_fn(move |_: Uri| async move { connect(address, &[b"h2"]).await.map(TokioIo::new) });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    let question = HealthCheckRequest { service: crate::grpc::SERVICE.to_owned() };
    let health = HealthClient::new(channel).check(question).await.unwrap().into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_is_exchanged_under_load_and_no_connection_fails() {
    let instance = Instance::new().await;
    let running = serve(instance.config()).await.unwrap();
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let known = [leaf("one.pem"), leaf("two.pem"), leaf("rsa.pem")];
    let kept_open = trusting();
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (stop, made, known, kept_open) =
                (Arc::clone(&stop), Arc::clone(&made), known.clone(), kept_open.clone());
            let (address, url) = (instance.address, instance.url("https", "/readyz"));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    assert!(known.contains(&shown(address).await));
                    assert_eq!(kept_open.get(&url, &Limits::SERVICE).await.unwrap().status, 200);
                    made.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for name in ["two", "rsa", "one", "two"] {
        let (before, begun) = (made.load(Ordering::Relaxed), Instant::now());
        while made.load(Ordering::Relaxed) < before + BETWEEN_EXCHANGES {
            assert!(begun.elapsed() < PATIENCE && clients.iter().all(|client| !client.is_finished()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (chain, key) = (format!("{name}.pem"), format!("{name}-key.pem"));
        instance.show(&chain, &key);
        let reloaded = running.reload(&instance.config_file()).await.unwrap();
        assert_eq!(reloaded.shown.unwrap().0, format!("CN={name}"));
        assert_eq!(shown(instance.address).await, leaf(&chain));
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    running.shutdown().await;
}

#[tokio::test]
async fn what_does_not_fit_is_not_taken_up_and_the_old_certificate_goes_on() {
    let instance = Instance::new().await;
    let running = serve(instance.config()).await.unwrap();
    let reload = async |running: &Running| running.reload(&instance.config_file()).await.unwrap_err().to_string();
    for (chain, key, mode, expect) in [
        ("two.pem", "one-key.pem", 0o600, "is not the key of the first certificate"),
        ("one.pem", "two-key.pem", 0o600, "is not the key of the first certificate"),
        ("two.pem", "two-key.pem", 0o644, "may be read by others than its owner (mode 644)"),
        ("one-ended.pem", "one-key.pem", 0o600, "renew it"),
        ("one-for-code.pem", "one-key.pem", 0o600, "serverAuth"),
        ("two-key.pem", "two-key.pem", 0o600, "is not a chain of certificates"),
        ("two.pem", "two.pem", 0o600, "key file"),
        ("one.pem", "one-key-encrypted.pem", 0o600, "passphrase"),
    ] {
        instance.show(chain, key);
        instance.protect_key(mode);
        let error = reload(&running).await;
        assert!(error.contains(expect), "{chain} {key}: {error}");
        assert_eq!(shown(instance.address).await, leaf("one.pem"), "{chain} {key}");
    }
    instance.show("two.pem", "two-key.pem");
    instance.configure("");
    let error = running.reload(&instance.config_file()).await.unwrap_err();
    assert!(matches!(&error, ReloadError::NeedsRestart { key } if key == "tls"), "{error}");
    assert_eq!(shown(instance.address).await, leaf("one.pem"));
    running.shutdown().await;
}

#[tokio::test]
async fn a_start_refuses_what_a_reload_does_and_frees_the_address() {
    let instance = Instance::new().await;
    instance.protect_key(0o644);
    let error = refusal(serve(instance.config()).await);
    assert!(matches!(error, StartError::Signer(_)) && error.to_string().contains("mode 644"), "{error}");
    instance.show("two.pem", "one-key.pem");
    let error = refusal(serve(instance.config()).await).to_string();
    assert!(error.contains("TLS cannot start: `key` is not the key of"), "{error}");
    instance.show("one.pem", "one-key.pem");
    serve(instance.config()).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn the_passphrase_file_is_for_the_key_of_the_listeners_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = |file: &str| directory.path().join(file);
    std::fs::create_dir(path("log")).unwrap();
    let passphrase = b"correct horse";
    touchmark_signers::FileSigner::create(&path("log.pem"), touchmark_keys::KeyType::Ed25519, Some(passphrase))
        .unwrap();
    std::fs::copy(data("one.pem"), path("tls.pem")).unwrap();
    std::fs::copy(data("one-key-encrypted.pem"), path("tls-key.pem")).unwrap();
    std::fs::write(path("passphrase"), "correct horse\n").unwrap();
    for private in ["tls-key.pem", "passphrase"] {
        std::fs::set_permissions(path(private), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let [port, _] = free_ports();
    let toml = format!(
        "listen = \"127.0.0.1:{port}\"\npassphrase_file = \"passphrase\"\n[tls]\nchain = \"tls.pem\"\nkey = \"tls-key.pem\"\n[[rekor]]\nname = \"rekor.example.com\"\nkey = \"log.pem\"\ndata = \"log\"\n"
    );
    let running = serve(crate::serve::config(directory.path(), &toml)).await.unwrap();
    assert_eq!(shown(([127, 0, 0, 1], port).into()).await, leaf("one.pem"));
    running.shutdown().await;
}
