// SPDX-License-Identifier: Apache-2.0
//! Tests of the HTTP client against servers that answer with fixed bytes.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LIMITS: Limits = Limits { response_bytes_max: 16, timeout: Duration::from_secs(20) };

/// A server that reads a request, answers with `answer` and closes (or, if `answer` is empty, never answers).
struct Server {
    url: Url,
    connections: Arc<AtomicUsize>,
    requests: Arc<std::sync::Mutex<Vec<String>>>,
}

async fn server(answer: &'static str) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://127.0.0.1:{}/path", listener.local_addr().unwrap().port());
    let connections = Arc::new(AtomicUsize::new(0));
    let requests = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (counter, log) = (Arc::clone(&connections), Arc::clone(&requests));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                log.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Server { url: url.parse().unwrap(), connections, requests }
}

fn private() -> Outbound {
    Outbound::new("touchmark-test/1", Reach::Private, None)
}

fn public() -> Outbound {
    Outbound::new("touchmark-test/1", Reach::PublicOnly, None)
}

#[tokio::test]
async fn answer_comes_with_status_headers_and_body() {
    let server = server("HTTP/1.1 418 Odd\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\nhello").await;
    let response = private().get(&server.url, &LIMITS).await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (418, b"hello".as_slice()));
    assert_eq!((response.header("etag"), response.header("ETAG")), (Some("\"x\""), Some("\"x\"")));
    assert_eq!(response.header("absent"), None);
}

#[tokio::test]
async fn request_carries_method_headers_and_body() {
    let server = server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    let headers = [("content-type", "application/json"), ("accept", "x/y")];
    let response = private().post(&server.url, &headers, b"{\"a\":1}".to_vec(), &LIMITS).await.unwrap();
    assert_eq!(response.status, 201);
    let request = server.requests.lock().unwrap()[0].to_lowercase();
    for part in [
        "post /path http/1.1\r\n",
        "content-type: application/json\r\n",
        "accept: x/y\r\n",
        "user-agent: touchmark-test/1\r\n",
        "content-length: 7\r\n",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

#[tokio::test]
async fn redirects_are_errors() {
    for (status, answer) in [
        (301, "HTTP/1.1 301 M\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"),
        (302, "HTTP/1.1 302 F\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"),
        (307, "HTTP/1.1 307 T\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"),
        (308, "HTTP/1.1 308 P\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let server = server(answer).await;
        let error = private().get(&server.url, &LIMITS).await.err();
        assert_eq!(error, Some(OutboundError::Redirect { status }));
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn body_at_the_limit_passes_and_one_byte_more_is_refused() {
    let expected = Some(OutboundError::BodyTooLarge { limit: 16 });
    let at_limit = server("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n0123456789abcdef").await;
    assert_eq!(private().get(&at_limit.url, &LIMITS).await.unwrap().body, b"0123456789abcdef");
    let announced = server("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n").await;
    assert_eq!(private().get(&announced.url, &LIMITS).await.err(), expected);
    let until_close = server("HTTP/1.0 200 OK\r\n\r\n0123456789abcdefg").await;
    assert_eq!(private().get(&until_close.url, &LIMITS).await.err(), expected);
    let chunked =
        server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n8\r\n01234567\r\n0\r\n\r\n")
            .await;
    assert_eq!(private().get(&chunked.url, &LIMITS).await.err(), expected);
}

#[tokio::test]
async fn silent_and_stalling_servers_time_out() {
    let after = Duration::from_millis(50);
    let limits = Limits { timeout: after, ..LIMITS };
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"] {
        let server = server(answer).await;
        let error = private().get(&server.url, &limits).await.err();
        // A server that closes early is told apart from one that is silent.
        let expected = if answer.is_empty() { OutboundError::Timeout { after } } else { OutboundError::Protocol };
        assert_eq!(error, Some(expected));
    }
}

#[tokio::test]
async fn public_reach_opens_no_connection_to_special_addresses() {
    let server = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let port = server.url.port().unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "[::]",
        "localhost",
        "LOCALHOST",
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "[fe80::1]",
        "[fd00::1]",
    ] {
        for scheme in ["http", "https"] {
            let url: Url = format!("{scheme}://{host}:{port}/").parse().unwrap();
            let error = public().get(&url, &LIMITS).await.err();
            // A machine without CA certificates does not get as far as resolving a name for https.
            let no_ca = scheme == "https" && error == Some(OutboundError::Setup);
            let refused = matches!(error, Some(OutboundError::AddressRefused { .. }));
            assert!(refused || no_ca, "{url}: {error:?}");
        }
    }
    // Whether the system resolves these differs; none may be reached.
    for host in ["localhost.", "touchmark.localhost", "localhost.localdomain"] {
        let url: Url = format!("http://{host}:{port}/").parse().unwrap();
        let error = public().get(&url, &LIMITS).await.err();
        let refused = matches!(error, Some(OutboundError::AddressRefused { .. } | OutboundError::Resolve));
        assert!(refused, "{url}: {error:?}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn private_reach_resolves_localhost() {
    let server = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let url: Url = format!("http://localhost:{}/", server.url.port().unwrap()).parse().unwrap();
    assert_eq!(private().get(&url, &LIMITS).await.unwrap().status, 200);
}

#[tokio::test]
async fn user_information_and_other_schemes_are_refused() {
    for (url, expected) in [
        ("http://user@127.0.0.1/", OutboundError::UserInfo),
        ("http://user:pass@127.0.0.1/", OutboundError::UserInfo),
        ("http://:pass@127.0.0.1/", OutboundError::UserInfo),
        ("https://oidc.example@127.0.0.1/", OutboundError::UserInfo),
        ("file:///etc/passwd", OutboundError::UnsupportedUrl),
        ("ftp://127.0.0.1/", OutboundError::UnsupportedUrl),
        ("data:text/plain,x", OutboundError::UnsupportedUrl),
    ] {
        for outbound in [private(), public()] {
            let error = outbound.get(&url.parse().unwrap(), &LIMITS).await.err();
            assert_eq!(error.as_ref(), Some(&expected), "{url}");
        }
    }
}

#[tokio::test]
async fn failures_to_connect_are_sorted() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let refused = OutboundError::Connect { kind: Some(std::io::ErrorKind::ConnectionRefused) };
    assert_eq!(private().get(&url, &LIMITS).await.err(), Some(refused));

    let unknown: Url = "http://no-such-host.invalid/".parse().unwrap();
    for outbound in [private(), public()] {
        assert_eq!(outbound.get(&unknown, &LIMITS).await.err(), Some(OutboundError::Resolve));
    }

    let garbage = server("SSH-2.0-OpenSSH_9.2\r\n").await;
    assert_eq!(private().get(&garbage.url, &LIMITS).await.err(), Some(OutboundError::Protocol));
    let mut no_tls = garbage.url.clone();
    no_tls.set_scheme("https").unwrap();
    let error = private().get(&no_tls, &LIMITS).await.err();
    assert!(matches!(error, Some(OutboundError::Connect { .. } | OutboundError::Setup)), "{error:?}");
}

/// An https server for `localhost`, with the certificate of the test CA.
async fn tls_server() -> Url {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::ServerConfig;

    let certificate = CertificateDer::from_pem_slice(include_bytes!("../../testdata/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../testdata/server-key.pem")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await;
        }
    });
    url.parse().unwrap()
}

#[tokio::test]
async fn https_needs_a_trusted_certificate_for_the_host() {
    let url = tls_server().await;
    let ca = include_bytes!("../../testdata/ca.pem").to_vec();
    let trusting = Outbound::new("touchmark-test/1", Reach::Private, Some(ca));
    assert_eq!(trusting.get(&url, &LIMITS).await.unwrap().body, b"secret");

    let mut other_name = url.clone();
    other_name.set_host(Some("127.0.0.1")).unwrap();
    let error = trusting.get(&other_name, &LIMITS).await.err();
    assert!(matches!(error, Some(OutboundError::Connect { .. })), "{error:?}");
    let error = private().get(&url, &LIMITS).await.err();
    assert!(matches!(error, Some(OutboundError::Connect { .. } | OutboundError::Setup)), "{error:?}");
}

#[tokio::test]
async fn malformed_header_is_refused() {
    let url: Url = "http://127.0.0.1:1/".parse().unwrap();
    for header in [("na me", "x"), ("name", "x\r\ninjected: y"), ("", "x")] {
        let error = private().get_with(&url, &[header], &LIMITS).await.err();
        assert_eq!(error, Some(OutboundError::Header), "{header:?}");
    }
}

#[tokio::test]
async fn malformed_ca_certificates_are_refused_on_first_use_of_https() {
    for pem in [&b""[..], b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n"] {
        let outbound = Outbound::new("touchmark-test/1", Reach::Private, Some(pem.to_vec()));
        let url: Url = "https://127.0.0.1:1/".parse().unwrap();
        assert_eq!(outbound.get(&url, &LIMITS).await.err(), Some(OutboundError::Setup));
    }
}
