// SPDX-License-Identifier: Apache-2.0
//! Handshakes against a listener of ours, with clients of rustls that trust the test root.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use touchmark_keys::KeyType;
use touchmark_sequencer::SystemClock;
use touchmark_signers::FileSigner;
use touchmark_sigstore::x509::chain_from_pem;
use touchmark_sigstore::x509::path::PathError;

use super::credentials::CredentialsError;
use super::*;
use crate::http::listener::{Patience, Stop, Transport, bind, serve_patiently};
use crate::http::preface::PREFACE;
use crate::metrics::Metrics;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// Short, for peers that use all of it.
const SHORT: Duration = Duration::from_millis(300);
/// How long what is to happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tls").join(file)
}

/// Key files of the sources can be read by everybody.
fn key(name: &str) -> FileSigner {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::copy(data(&format!("{name}-key.pem")), &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    FileSigner::open(&path, None).unwrap()
}

fn chain(name: &str) -> Vec<Certificate> {
    chain_from_pem(&std::fs::read_to_string(data(&format!("{name}.pem"))).unwrap()).unwrap()
}

fn credentials(name: &str) -> Credentials {
    Credentials::new(key(name), chain(name), Timestamp::now()).unwrap()
}

struct Server {
    address: SocketAddr,
    terminator: Terminator,
    metrics: Metrics,
    switch: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(name: &str, patience: Patience) -> Self {
        let (listener, address) = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (switch, stop) = Stop::pair();
        let metrics = Metrics::new();
        let terminator = Terminator::new(credentials(name), Arc::new(SystemClock), metrics.tls());
        let router = Router::new().route("/", get(|| async { "ok" }));
        let transport = Transport::Tls(terminator.clone());
        let task = tokio::spawn(serve_patiently(listener, transport, router, stop, patience));
        Self { address, terminator, metrics, switch, task }
    }

    async fn plain(&self) -> TcpStream {
        tokio::net::TcpSocket::new_v4().unwrap().connect(self.address).await.unwrap()
    }

    async fn tls(&self, client: ClientConfig) -> io::Result<ClientStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, self.plain().await).await
    }

    /// A request of HTTP/1.1 on a connection of its own: the certificate that it was shown.
    async fn ask(&self) -> Vec<u8> {
        let mut stream = self.tls(client(&[&TLS13], &[])).await.unwrap();
        let shown = shown(&stream);
        assert!(reply(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
        shown
    }

    async fn counts(&self, outcome: &str, expect: u64) {
        let line = format!("touchmark_tls_handshakes_total{{outcome=\"{outcome}\"}} {expect}");
        let begun = Instant::now();
        while !page(&self.metrics).await.lines().any(|found| found == line) {
            assert!(begun.elapsed() < SOON, "{line}\n{}", page(&self.metrics).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn page(metrics: &Metrics) -> String {
    use tower::ServiceExt;
    let request = axum::extract::Request::get("/metrics").body(axum::body::Body::empty()).unwrap();
    let response = metrics.clone().router().oneshot(request).await.unwrap();
    String::from_utf8(axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

fn client(versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data("ca.pem")).unwrap()).unwrap();
    let mut config =
        ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

fn shown(stream: &ClientStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn reply(stream: &mut ClientStream<TcpStream>) -> String {
    stream.write_all(GET).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

/// Reads until the listener closes the connection, which it has to do soon.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut read = Vec::new();
    // Reset or closed in order: which of them it is, is a matter of what lies unread in the socket.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut read)).await.expect("the listener closes it");
    read
}

#[test]
fn what_does_not_fit_is_refused_with_what_is_wrong() {
    let now = Timestamp::now();
    let subject = || "CN=one".to_owned();
    let [leaf, intermediate] = <[Certificate; 2]>::try_from(chain("one")).unwrap();
    let mismatch = |subject: &str| CredentialsError::KeyMismatch { subject: subject.to_owned() };
    let not_valid = |now| CredentialsError::NotValid {
        subject: subject(),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        now,
    };
    let second = jiff::SignedDuration::from_secs(1);
    let (early, late) = (leaf.not_before() - second, leaf.not_after() + second);
    let link = |position, problem| CredentialsError::Link { position, problem };
    let root = chain("ca").remove(0);
    for (chain, now, expect) in [
        (vec![], now, CredentialsError::Empty),
        (chain("two"), now, mismatch("CN=two")),
        (vec![intermediate.clone(), leaf.clone()], now, mismatch("CN=touchmark TLS test intermediate")),
        (chain("one"), early, not_valid(early)),
        (chain("one"), late, not_valid(late)),
        (chain("one-for-code"), now, CredentialsError::Purpose { subject: subject() }),
        (vec![leaf.clone(), root], now, link(1, PathError::IssuerName)),
        (vec![leaf.clone(), intermediate.clone(), leaf.clone()], now, link(2, PathError::IssuerName)),
    ] {
        assert_eq!(Credentials::new(key("one"), chain, now).err(), Some(expect));
    }
    for at in [leaf.not_before(), leaf.not_after()] {
        assert!(Credentials::new(key("one"), vec![leaf.clone(), intermediate.clone()], at).is_ok());
    }
    assert!(Credentials::new(key("one"), vec![leaf.clone()], now).is_ok(), "clients may have the intermediate");
}

#[test]
fn every_type_of_key_but_ml_dsa_has_a_scheme_of_its_own_in_tls() {
    for key_type in KeyType::ALL {
        let scheme = credentials::scheme_of(key_type).map(|(ours, ..)| ours.key_type());
        let is_ml_dsa = matches!(key_type, KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87);
        assert_eq!(scheme, (!is_ml_dsa).then_some(key_type));
    }
}

#[tokio::test]
async fn both_versions_of_tls_answer_with_every_kind_of_key() {
    for name in ["one", "two", "rsa", "ed25519"] {
        let server = Server::start(name, Patience::USUAL).await;
        for version in [&TLS12, &TLS13] {
            let mut stream = server.tls(client(&[version], &[b"http/1.1"])).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN_HTTP1));
            assert_eq!(shown(&stream), chain(name)[0].der());
            let reply = reply(&mut stream).await;
            assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{name}: {reply}");
        }
        server.counts("done", 2).await;
    }
}

#[tokio::test]
async fn the_handshake_decides_between_http1_and_http2() {
    let server = Server::start("one", Patience::USUAL).await;
    let stream = server.tls(client(&[&TLS13], &[b"http/1.1", b"h2"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN_HTTP2), "the listener prefers it");
    let (mut client_of_h2, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = axum::http::Request::get("https://localhost/").body(()).unwrap();
    let reply = client_of_h2.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.version()), (200, axum::http::Version::HTTP_2));
    assert_eq!(reply.into_body().data().await.unwrap().unwrap(), "ok");
    // Who names no protocol speaks HTTP/1.1, and who names others is told so in the handshake.
    server.ask().await;
    let error = server.tls(client(&[&TLS13], &[b"spdy/3"])).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    // HTTP/2 where HTTP/1.1 was agreed is no request.
    let mut stream = server.tls(client(&[&TLS13], &[b"http/1.1"])).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    assert!(!String::from_utf8_lossy(&until_closed(&mut stream).await).contains(" 200 "));
}

#[tokio::test]
async fn plain_http_gets_nothing_and_the_next_client_is_served() {
    let server = Server::start("one", Patience::USUAL).await;
    for bytes in [GET, PREFACE, b"\x16\x03\x01\xff\xff\x01", b"\x80\x2e\x01\x03\x00", &[0x16; 70_000]] {
        let mut stream = server.plain().await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let reply = until_closed(&mut stream).await;
        // At most an alert of TLS (content type 21).
        assert!(reply.is_empty() || reply[0] == 21 && reply.len() < 16, "{reply:?}");
    }
    server.counts("failed", 5).await;
    assert_eq!(server.ask().await, chain("one")[0].der());
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_cut_off_at_the_limit() {
    let server = Server::start("one", Patience { handshake: SHORT, ..Patience::USUAL }).await;
    for begin in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"] {
        let begun = Instant::now();
        let mut stream = server.plain().await;
        stream.write_all(begin).await.unwrap();
        until_closed(&mut stream).await;
        assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    }
    server.counts("timed_out", 3).await;
    server.ask().await;
}

#[tokio::test]
async fn who_asks_nothing_after_the_handshake_is_cut_off_at_the_limit() {
    let server = Server::start("one", Patience { head: SHORT, ..Patience::USUAL }).await;
    let half = &PREFACE[..PREFACE.len() - 1];
    for (alpn, begin) in [("http/1.1", &b""[..]), ("http/1.1", b"GET / HT"), ("h2", b""), ("h2", half)] {
        let mut stream = server.tls(client(&[&TLS13], &[alpn.as_bytes()])).await.unwrap();
        let begun = Instant::now();
        stream.write_all(begin).await.unwrap();
        stream.flush().await.unwrap();
        until_closed(&mut stream).await;
        assert!(begun.elapsed() >= SHORT / 2, "{alpn} {begin:?}: {:?}", begun.elapsed());
    }
    server.ask().await;
}

#[tokio::test]
async fn an_open_connection_outlives_the_exchange_and_new_ones_see_the_other_certificate() {
    let server = Server::start("one", Patience::USUAL).await;
    let mut resuming = client(&[&TLS13], &[]);
    resuming.resumption = tokio_rustls::rustls::client::Resumption::in_memory_sessions(8);
    let mut open = server.tls(resuming.clone()).await.unwrap();
    server.terminator.exchange(credentials("two"));
    assert_eq!(server.ask().await, chain("two")[0].der());
    assert!(reply(&mut open).await.starts_with("HTTP/1.1 200 OK\r\n"));
    // The session of the old certificate is not resumed.
    let again = server.tls(resuming).await.unwrap();
    assert_eq!(shown(&again), chain("two")[0].der());
    let page = page(&server.metrics).await;
    assert!(page.contains("touchmark_tls_certificate_expires_in_seconds{position=\"1\"}"), "{page}");
}

#[tokio::test]
async fn neither_a_silent_handshake_nor_a_silent_connection_holds_up_the_shutdown() {
    let server = Server::start("one", Patience::USUAL).await;
    let _silent = server.plain().await;
    let _idle = [server.tls(client(&[&TLS13], &[])).await, server.tls(client(&[&TLS13], &[b"h2"])).await];
    server.counts("done", 2).await;
    server.switch.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.expect("stops at once").unwrap();
}
