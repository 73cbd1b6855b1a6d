// SPDX-License-Identifier: Apache-2.0
//! The timestamp authority over HTTP: DER and JSON requests, the chain, refusals; its conditions in `/readyz`; restarts, another key, time servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tokio::net::UdpSocket;
use touchmark_keys::{HashAlgorithm, digest, sha256};
use touchmark_outbound::{Limits, Response};
use touchmark_server::{AuditKind, Config, ReloadError, Running, serve, verify_audit_log};
use touchmark_sigstore::tsp::{TimestampRequest, TimestampResponse, verify_reply, verify_token};
use touchmark_sigstore::x509::{Certificate, chain_from_pem};
use url::Url;

use crate::serve::free_ports;
use crate::stack::{Stack, json, outbound, refusal, text};

const PATH: &str = "/api/v1/timestamp";

#[tokio::test]
async fn a_der_request_gets_a_token_that_verifies_with_the_trusted_root() {
    let stack = Stack::start().await;
    let root = stack.trusted_root();
    let chain = root.timestamp_authorities()[0].chain();
    for (algorithm, nonce, cert_req) in [
        (HashAlgorithm::Sha256, Some(vec![1, 2, 3, 4, 5, 6, 7, 8]), true),
        (HashAlgorithm::Sha384, None, false),
        (HashAlgorithm::Sha512, Some(vec![0x80]), false),
    ] {
        let request = TimestampRequest { imprint: digest(algorithm, b"signature"), nonce, cert_req, policy: None };
        let before = jiff::Timestamp::now().as_second();
        let reply = stack.post(PATH, "application/timestamp-query", request.to_der().unwrap()).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/timestamp-reply")));
        let signed_at = verify_reply(&reply.body, &request, b"signature", chain).unwrap();
        assert!((before..=before + 5).contains(&signed_at.time().as_second()));
        verify_token(&reply.body, b"another", chain).unwrap_err();
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_json_request_gets_a_der_reply() {
    let stack = Stack::start().await;
    let root = stack.trusted_root();
    let hash = STANDARD.encode(sha256(b"signature"));
    let body = serde_json::json!({"artifactHash": hash, "hashAlgorithm": "sha256"}).to_string();
    let reply = stack.post(PATH, "application/json", body).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    verify_token(&reply.body, b"signature", root.timestamp_authorities()[0].chain()).unwrap();
    stack.stop().await;
}

#[tokio::test]
async fn the_chain_is_that_of_the_trusted_root() {
    let stack = Stack::start().await;
    let reply = stack.get("/api/v1/timestamp/certchain").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/pem-certificate-chain")));
    let chain = chain_from_pem(text(&reply)).unwrap();
    let trusted = stack.trusted_root();
    let expect: Vec<_> =
        trusted.timestamp_authorities()[0].chain().iter().map(|certificate| certificate.der().to_vec()).collect();
    assert_eq!(chain.iter().map(|certificate| certificate.der().to_vec()).collect::<Vec<_>>(), expect);
    stack.stop().await;
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_public_words() {
    let stack = Stack::start().await;
    let failed = "Error generating timestamp response";
    let query = "application/timestamp-query";
    let sha1 = "302c0201013021300906052b0e03021a050004140000000000000000000000000000000000000000\
                0201010101ff";
    let foreign_policy = TimestampRequest {
        imprint: digest(HashAlgorithm::Sha256, b""),
        nonce: None,
        cert_req: false,
        policy: Some("1.2.3".to_owned()),
    };
    for (content_type, body, status, message) in [
        ("text/plain", vec![], 415, failed),
        ("application/xml", vec![], 400, failed),
        (query, vec![], 400, failed),
        (query, b"garbage".to_vec(), 400, failed),
        (query, vec![b'0'; 1 << 20], 400, failed),
        (query, vec![b'0'; (1 << 20) + 1], 400, failed),
        (query, hex::decode(sha1).unwrap(), 400, "Weak hash algorithm in timestamp request"),
        (
            query,
            foreign_policy.to_der().unwrap(),
            400,
            "unaccepted policy: requested TSA policy is not supported by the TSA",
        ),
        ("application/json", vec![b' '; 1025], 400, "timestamp request is too large"),
    ] {
        let length = body.len();
        let reply = stack.post(PATH, content_type, body).await;
        assert_eq!(reply.status, status, "{content_type} {length}");
        assert_eq!(json(&reply), serde_json::json!({"code": status, "message": message}), "{content_type} {length}");
    }
    let wrong = stack.get(PATH).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    stack.stop().await;
}

fn query() -> TimestampRequest {
    let imprint = digest(HashAlgorithm::Sha256, b"signature");
    TimestampRequest { imprint, nonce: Some(vec![1, 2, 3]), cert_req: true, policy: None }
}

async fn post(url: &str, accept: &str) -> Response {
    let url = Url::parse(&format!("{url}{PATH}")).unwrap();
    let headers = [("content-type", "application/timestamp-query"), ("accept", accept)];
    outbound().post(&url, &headers, query().to_der().unwrap(), &Limits::SERVICE).await.unwrap()
}

async fn get(running: &Running, path: &str) -> Response {
    let url = Url::parse(&format!("{}{path}", running.url())).unwrap();
    outbound().get(&url, &Limits::SERVICE).await.unwrap()
}

/// The data directory of an instance that ran once, for its key and chain.
async fn data() -> (tempfile::TempDir, PathBuf) {
    let stack = Stack::start().await;
    let data = stack.data();
    (stack.stop().await, data)
}

fn chain(data: &Path) -> Vec<Certificate> {
    chain_from_pem(&std::fs::read_to_string(data.join("tsa/chain.pem")).unwrap()).unwrap()
}

#[tokio::test]
async fn readiness_names_what_every_timestamp_needs() {
    let stack = Stack::start().await;
    let ready = stack.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", text(&ready));
    for condition in ["tsa", "tsa clock", "tsa audit log", "tsa token"] {
        assert_eq!(json(&ready)["roles"][condition], "up", "{}", text(&ready));
    }
    stack.stop().await;
}

#[tokio::test]
async fn times_go_on_over_a_restart_and_a_file_of_the_future_keeps_the_authority_silent() {
    let stack = Stack::start().await;
    let reply = stack.post(PATH, "application/timestamp-query", query().to_der().unwrap()).await;
    let (data, signed_at) = (stack.data(), verify_token(&reply.body, b"signature", &chain(&stack.data())).unwrap());
    let directory = stack.stop().await;
    let file = data.join("tsa/last-time");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains(&signed_at.time().to_string()), "{kept}");
    std::fs::write(&file, kept.replace(&signed_at.time().to_string()[..4], "2999")).unwrap();
    let stack = Stack::start_in(directory).await;
    let reply = post(&stack.running.url(), "*/*").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    let ready = stack.get("/readyz").await;
    assert_eq!((ready.status, &json(&ready)["roles"]["tsa token"]), (503, &"stopped".into()));
    let directory = stack.stop().await;
    std::fs::write(&file, "2999").unwrap();
    let options = crate::stack::options(&data);
    let error = refusal(touchmark_server::up(options).await).to_string();
    assert!(error.contains("does not say how late the last timestamp was"), "{error}");
    drop(directory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_takes_over_while_timestamps_are_wanted_and_no_request_fails() {
    let ((_one, one), (_two, two)) = (data().await, data().await);
    let [port, _] = free_ports();
    let file = one.join("serve.toml");
    let write = |data: &Path, more: &str| {
        let (key, chain) = (data.join("keys/tsa.pem"), data.join("tsa/chain.pem"));
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\n[tsa]\nkey = \"{}\"\nchain = \"{}\"\naudit_log = \"tsa.jsonl\"\n{more}\n",
            key.display(),
            chain.display()
        );
        std::fs::write(&file, text).unwrap();
    };
    write(&one, "");
    let running = serve(Config::load(&file).unwrap()).await.unwrap();
    let (url, done) = (running.url(), Arc::new(AtomicBool::new(false)));
    let chains = [chain(&one), chain(&two)];
    let load = tokio::spawn({
        let (url, done, chains) = (url.clone(), Arc::clone(&done), chains.clone());
        async move {
            let (mut by, mut last) = ([0; 2], Timestamp::MIN);
            while !done.load(Ordering::SeqCst) {
                let reply = post(&url, "*/*").await;
                let verified = chains.each_ref().map(|chain| verify_reply(&reply.body, &query(), b"signature", chain));
                let which = verified.iter().position(Result::is_ok).expect("one of the two keys made it");
                let time = verified[which].as_ref().unwrap().time();
                assert!(last <= time);
                (by[which], last) = (by[which] + 1, time);
            }
            by
        }
    });
    for (more, expect) in [("policies = [\"1.2.3\"]", "`tsa` differs"), ("time_file = \"other\"", "`tsa` differs")] {
        write(&two, more);
        let error = running.reload(&file).await.unwrap_err();
        assert!(matches!(error, ReloadError::NeedsRestart { .. }) && error.to_string().contains(expect), "{error}");
    }
    // The key of one, the chain of the other.
    write(&two, "");
    let mixed = std::fs::read_to_string(&file)
        .unwrap()
        .replace(&two.join("tsa").display().to_string(), &one.join("tsa").display().to_string());
    std::fs::write(&file, mixed).unwrap();
    assert!(matches!(running.reload(&file).await, Err(ReloadError::Unfit(_))));
    verify_token(&post(&url, "*/*").await.body, b"signature", &chains[0]).unwrap();

    write(&two, &format!("previous_chains = [\"{}\"]", one.join("tsa/chain.pem").display()));
    let reloaded = running.reload(&file).await.unwrap();
    assert_eq!(reloaded.stamping.unwrap().1, chains[1][0].not_after());
    verify_token(&post(&url, "*/*").await.body, b"signature", &chains[1]).unwrap();
    assert_eq!(chain_from_pem(text(&get(&running, "/api/v1/timestamp/certchain").await)).unwrap(), chains[1]);
    let bundle = json(&get(&running, "/api/v1/timestamp/trustBundle").await);
    assert_eq!(bundle["chains"].as_array().unwrap().len(), 2);
    done.store(true, Ordering::SeqCst);
    let by = load.await.unwrap();
    assert!(by[0] > 0, "{by:?}");
    running.shutdown().await;
    let lines = verify_audit_log(&one.join("tsa.jsonl"), AuditKind::Timestamps, None).unwrap().lines();
    assert_eq!(lines, by[0] + by[1] + 2);
}

/// A time server that is off by so much, and counts who asks.
async fn time_server(off_s: i64, asked: &Arc<AtomicUsize>) -> String {
    let asked = Arc::clone(asked);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let mut packet = [0; 48];
            let (_, from) = socket.recv_from(&mut packet).await.unwrap();
            packet.copy_within(40..48, 24);
            packet[..2].copy_from_slice(&[4 << 3 | 4, 1]);
            let now = Timestamp::now();
            let seconds = u32::try_from(now.as_second() + off_s + 2_208_988_800).unwrap();
            let fraction = (u64::from(now.subsec_nanosecond().unsigned_abs()) << 32) / 1_000_000_000;
            let stamp = [seconds.to_be_bytes(), u32::try_from(fraction).unwrap().to_be_bytes()].concat();
            packet[32..40].copy_from_slice(&stamp);
            packet[40..48].copy_from_slice(&stamp);
            socket.send_to(&packet, from).await.unwrap();
            asked.fetch_add(1, Ordering::SeqCst);
        }
    });
    address
}

#[tokio::test]
async fn without_time_servers_that_agree_nothing_is_stamped_and_readiness_says_so() {
    let (_directory, data) = data().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let right = [time_server(0, &asked).await, time_server(0, &asked).await];
    let wrong = [time_server(10, &asked).await, time_server(-10, &asked).await];
    let start = async |servers: [&String; 3]| {
        let [port, _] = free_ports();
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\n[tsa]\nkey = \"keys/tsa.pem\"\nchain = \"tsa/chain.pem\"\nclock = {{ servers = {servers:?} }}\n"
        );
        serve(Config::parse(&text, &data).unwrap()).await.unwrap()
    };
    let running = start([&right[0], &wrong[0], &right[1]]).await;
    let begun = Instant::now();
    while get(&running, "/readyz").await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    verify_token(&post(&running.url(), "*/*").await.body, b"signature", &chain(&data)).unwrap();
    running.shutdown().await;

    let running = start([&right[0], &wrong[0], &wrong[1]]).await;
    while asked.load(Ordering::SeqCst) < 6 {
        tokio::task::yield_now().await;
    }
    let ready = get(&running, "/readyz").await;
    assert_eq!((ready.status, &json(&ready)["roles"]["tsa clock"]), (503, &"stopped".into()), "{}", text(&ready));
    assert_eq!(post(&running.url(), "*/*").await.status, 503);
    let reply = post(&running.url(), "application/timestamp-reply").await;
    assert_eq!((reply.status, reply.header("content-type")), (503, Some("application/timestamp-reply")));
    let rejected = TimestampResponse::from_der(&reply.body).unwrap();
    assert!(matches!(rejected, TimestampResponse::Rejected { status: 2, failure: Some(_) }), "{rejected:?}");
    running.shutdown().await;
}
