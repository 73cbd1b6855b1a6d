// SPDX-License-Identifier: Apache-2.0
//! The authority behind its router: policies, chains, refusals in both dialects, another key taking over, what is written down.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request as HttpRequest;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use touchmark_keys::{Digest, HashAlgorithm, KeyError, KeyType, PublicKey, Scheme, digest};
use touchmark_sequencer::Clock;
use touchmark_signers::{EphemeralSigner, Signer, SignerError};
use touchmark_sigstore::issue::authority::CaProfile;
use touchmark_sigstore::tsp::{FailureInfo, POLICY, TimestampRequest, TimestampResponse, verify_reply, verify_token};
use touchmark_sigstore::x509::path::PathError;
use tower::ServiceExt;

use super::*;
use crate::audit::AuditKind;
use crate::audit::tests::broken_log;
use crate::audit::verify::verify_audit_log;
use crate::fulcio::tests::harness::{NOW_S, TestClock, authority};
use crate::http::listener::PeerAddress;
use crate::http::site::RoleState;
use crate::metrics::Metrics;
use crate::rate::AddressLimitConfig;

const DAY: SignedDuration = SignedDuration::from_hours(24);
const OTHER_POLICY: &str = "1.3.6.1.4.1.99999.1";
const MESSAGE: &[u8] = b"the signature bytes";
const QUERY: &str = "application/timestamp-query";

fn now() -> Timestamp {
    Timestamp::from_second(i64::try_from(NOW_S).unwrap()).unwrap()
}

/// A key that can be taken away.
struct Removable {
    key: EphemeralSigner,
    away: AtomicBool,
}

#[async_trait]
impl Signer for Removable {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn scheme(&self) -> Scheme {
        self.key.scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        if self.away.load(Ordering::SeqCst) { Err(AWAY) } else { self.key.sign(message).await }
    }

    async fn sign_digest(&self, _: &Digest) -> Result<Vec<u8>, SignerError> {
        Err(AWAY)
    }
}

const AWAY: SignerError = SignerError::Key(KeyError::Backend);

/// A key and its chain: leaf, intermediate, root.
struct Key {
    signer: Arc<Removable>,
    chain: Vec<Certificate>,
}

impl Key {
    async fn new() -> Self {
        Self::ending_in(DAY).await
    }

    async fn ending_in(lifetime: SignedDuration) -> Self {
        let [root_key, middle_key, key] = [(); 3].map(|()| EphemeralSigner::generate(KeyType::EcdsaP256).unwrap());
        let root = authority(&root_key, &root_key, "root", CaProfile::Root, DAY * 9).await;
        let profile = CaProfile::TimeStampingIntermediate { issuer: &root };
        let middle = authority(&middle_key, &root_key, "intermediate", profile, DAY * 8).await;
        let profile = CaProfile::TimeStampingLeaf { issuer: &middle };
        let leaf = authority(&key, &middle_key, "leaf", profile, lifetime).await;
        let signer = Arc::new(Removable { key, away: AtomicBool::new(false) });
        Self { signer, chain: vec![leaf, middle, root] }
    }

    fn authority(&self) -> Authority {
        Authority::new(Arc::clone(&self.signer) as Arc<dyn Signer>, self.chain.clone(), now()).unwrap()
    }
}

struct Harness {
    key: Key,
    tsa: Arc<Tsa>,
    clock: Arc<TestClock>,
    metrics: Metrics,
    directory: TempDir,
}

impl Harness {
    async fn new() -> Self {
        Self::with(Embedded::Leaf, |_| None).await
    }

    async fn with(embedded: Embedded, audit: impl FnOnce(&std::path::Path) -> Option<AuditLog>) -> Self {
        Self::limited(AddressLimitConfig::default(), embedded, audit).await
    }

    async fn limited(
        rate_limit: AddressLimitConfig,
        embedded: Embedded,
        audit: impl FnOnce(&std::path::Path) -> Option<AuditLog>,
    ) -> Self {
        let (key, clock, directory) = (Key::new().await, TestClock::new(), tempfile::tempdir().unwrap());
        let metrics = Metrics::new();
        let operations = Operations {
            policies: Policies::new(vec![POLICY.to_owned(), OTHER_POLICY.to_owned()]).unwrap(),
            embedded,
            time_file: &directory.path().join("last-time"),
            rate_limit,
            clock: None,
            audit: audit(directory.path()),
            metrics: metrics.tsa(),
        };
        let tsa = Tsa::new(key.authority(), operations, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self { key, tsa: Arc::new(tsa), clock, metrics, directory }
    }

    async fn send(&self, request: HttpRequest<Body>) -> (u16, String, Vec<u8>) {
        let response = router(Arc::clone(&self.tsa)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let media_type = parts.headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (parts.status.as_u16(), media_type.unwrap_or_default(), body)
    }

    async fn post(&self, accept: &str, body: Vec<u8>) -> (u16, String, Vec<u8>) {
        let request = HttpRequest::post("/api/v1/timestamp").header("content-type", QUERY).header("accept", accept);
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn stamp(&self, request: &TimestampRequest) -> Vec<u8> {
        let (status, media_type, reply) = self.post("*/*", request.to_der().unwrap()).await;
        assert_eq!((status, media_type.as_str()), (200, REPLY), "{}", String::from_utf8_lossy(&reply));
        reply
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let (status, _, body) = self.send(HttpRequest::get(path).body(Body::empty()).unwrap()).await;
        (status, body)
    }

    async fn hand_over(&self, authority: Authority) {
        let successor = self.tsa.prepare(authority).await.unwrap();
        self.tsa.hand_over(successor);
    }

    async fn health(&self, condition: Condition) -> RoleState {
        Arc::clone(&self.tsa).health(condition).await
    }
}

fn request(policy: Option<&str>) -> TimestampRequest {
    TimestampRequest {
        imprint: digest(HashAlgorithm::Sha256, MESSAGE),
        nonce: Some(vec![0x80, 1, 2, 3, 4, 5, 6, 7, 8]),
        cert_req: true,
        policy: policy.map(str::to_owned),
    }
}

#[tokio::test]
async fn tokens_state_the_policy_that_was_asked_for_and_else_the_first() {
    let harness = Harness::new().await;
    for (asked, expect) in [(None, POLICY), (Some(POLICY), POLICY), (Some(OTHER_POLICY), OTHER_POLICY)] {
        let request = request(asked);
        let reply = harness.stamp(&request).await;
        let signed_at = verify_reply(&reply, &request, MESSAGE, &harness.key.chain).unwrap();
        assert_eq!((signed_at.policy().to_string().as_str(), signed_at.time()), (expect, now()));
    }
    let (status, _, _) = harness.post("*/*", request(Some("1.2.3")).to_der().unwrap()).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_token_carries_the_leaf_or_the_whole_chain_and_only_for_who_asks() {
    let holds = |reply: &[u8], certificate: &Certificate| {
        reply.windows(certificate.der().len()).any(|window| window == certificate.der())
    };
    for (embedded, expect) in [(Embedded::Leaf, [true, false, false]), (Embedded::Chain, [true; 3])] {
        let harness = Harness::with(embedded, |_| None).await;
        let asking = request(None);
        let reply = harness.stamp(&asking).await;
        let found: Vec<_> = harness.key.chain.iter().map(|certificate| holds(&reply, certificate)).collect();
        assert_eq!(found, expect, "{embedded:?}");
        verify_reply(&reply, &asking, MESSAGE, &harness.key.chain).unwrap();
        let reply = harness.stamp(&TimestampRequest { cert_req: false, ..asking }).await;
        assert!(!harness.key.chain.iter().any(|certificate| holds(&reply, certificate)));
        verify_token(&reply, MESSAGE, &harness.key.chain).unwrap();
    }
}

#[tokio::test]
async fn what_becomes_of_requests_is_counted_and_the_end_of_the_chain_is_shown() {
    let harness = Harness::new().await;
    harness.stamp(&request(None)).await;
    harness.stamp(&request(None)).await;
    for (body, _, _) in bad_requests() {
        harness.post("*/*", body).await;
    }
    harness.key.signer.away.store(true, Ordering::SeqCst);
    harness.post("*/*", request(None).to_der().unwrap()).await;
    // Nobody waits for it to the end.
    drop(harness.tsa.counted());
    let page = HttpRequest::get("/metrics").body(Body::empty()).unwrap();
    let page = harness.metrics.clone().router().oneshot(page).await.unwrap();
    let page = page.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(page.to_vec()).unwrap();
    for (outcome, count) in [
        ("ISSUED", 2),
        ("REQUEST_UNREADABLE", 1),
        ("HASH_REFUSED", 1),
        ("POLICY_REFUSED", 1),
        ("EXTENSION_REFUSED", 1),
        ("DIGEST_LENGTH", 1),
        ("SIGNER_UNAVAILABLE", 1),
        ("ABANDONED", 1),
    ] {
        let line = format!("touchmark_tsa_requests_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(page.contains(&line), "{line}{page}");
    }
    let end = |position| format!("touchmark_tsa_certificate_expires_in_seconds{{position=\"{position}\"}} ");
    assert!(page.contains(&format!("{}86400\n", end(0))) && page.contains(&end(2)), "{page}");
    assert!(page.contains("touchmark_tsa_sign_seconds_count 3\n"), "{page}");
    assert!(!page.contains("tsa_clock_trusted 1"), "nobody says so: {page}");
}

/// A request as it must not be.
fn bad_requests() -> [(Vec<u8>, FailureInfo, &'static str); 5] {
    let sha1 = "302c0201013021300906052b0e03021a050004140000000000000000000000000000000000000000\
                0201010101ff";
    let good = request(None).to_der().unwrap();
    // One extension, of version 1 of the structure and nobody's.
    let extension = [0xa0, 0x09, 0x30, 0x07, 0x06, 0x02, 0x2a, 0x03, 0x04, 0x01, 0x00];
    let mut extended = [&good[..], &extension[..]].concat();
    extended[1] += u8::try_from(extension.len()).unwrap();
    let mut short = good.clone();
    let digest_at = short.windows(32).position(|window| window == request(None).imprint.as_bytes()).unwrap();
    short.remove(digest_at);
    for length_at in [1, 6, digest_at - 1] {
        short[length_at] -= 1;
    }
    [
        (b"garbage".to_vec(), FailureInfo::BadRequest, FAILED_TEXT),
        (hex::decode(sha1).unwrap(), FailureInfo::BadAlgorithm, "Weak hash algorithm in timestamp request"),
        (
            request(Some("1.2.3")).to_der().unwrap(),
            FailureInfo::UnacceptedPolicy,
            "unaccepted policy: requested TSA policy is not supported by the TSA",
        ),
        (
            extended,
            FailureInfo::UnacceptedExtension,
            "unaccepted extension: requested extensions are not supported by the TSA",
        ),
        (short, FailureInfo::BadDataFormat, "Message digest has incorrect length for specified algorithm"),
    ]
}

const FAILED_TEXT: &str = "Error generating timestamp response";

#[tokio::test]
async fn a_refusal_is_json_or_for_who_asks_a_rejection_of_rfc_3161() {
    let harness = Harness::new().await;
    for (body, failure, text) in bad_requests() {
        let (status, media_type, json) = harness.post("*/*", body.clone()).await;
        assert_eq!((status, media_type.as_str()), (400, "application/json"), "{text}");
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json, serde_json::json!({"code": 400, "message": text}));
        let (status, media_type, reply) = harness.post(REPLY, body).await;
        assert_eq!((status, media_type.as_str()), (200, REPLY), "{text}");
        let expect = TimestampResponse::Rejected { status: 2, failure: Some(failure) };
        assert_eq!(TimestampResponse::from_der(&reply), Ok(expect), "{text}");
        assert!(reply.windows(text.len()).any(|window| window == text.as_bytes()));
    }
    // Who sends something else than a request is answered by HTTP, whatever he accepts.
    let foreign = HttpRequest::post("/api/v1/timestamp").header("content-type", "text/plain").header("accept", REPLY);
    let (status, media_type, _) = harness.send(foreign.body(Body::empty()).unwrap()).await;
    assert_eq!((status, media_type.as_str()), (415, "application/json"));
    assert_eq!(harness.get("/ping").await, (200, b".".to_vec()));
}

#[tokio::test]
async fn another_key_takes_over_and_both_chains_are_published_until_the_old_one_ends() {
    let harness = Harness::new().await;
    let before = harness.stamp(&request(None)).await;
    let next = Key::ending_in(DAY * 3).await;
    let old = harness.key.chain.clone();
    harness.hand_over(next.authority().with_previous(vec![old.clone(), next.chain.clone()]).unwrap()).await;
    harness.clock.advance_ms(1000);
    let after = harness.stamp(&request(None)).await;
    verify_reply(&after, &request(None), MESSAGE, &next.chain).unwrap();
    verify_reply(&after, &request(None), MESSAGE, &old).unwrap_err();
    verify_reply(&before, &request(None), MESSAGE, &old).unwrap();
    let pem: String = next.chain.iter().map(Certificate::to_pem).collect();
    assert_eq!(harness.get("/api/v1/timestamp/certchain").await, (200, pem.into_bytes()));
    assert_eq!(published(&harness).await, [next.chain.clone(), old]);
    harness.clock.advance_ms(25 * 3600 * 1000);
    assert_eq!(published(&harness).await, [next.chain]);
}

async fn published(harness: &Harness) -> Vec<Vec<Certificate>> {
    let (status, body) = harness.get("/api/v1/timestamp/trustBundle").await;
    assert_eq!(status, 200);
    let bundle: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let pems = |chain: &serde_json::Value| -> Vec<Certificate> {
        let pems = chain["certificates"].as_array().unwrap().iter();
        pems.map(|pem| Certificate::from_pem(pem.as_str().unwrap()).unwrap()).collect()
    };
    bundle["chains"].as_array().unwrap().iter().map(pems).collect()
}

#[tokio::test]
async fn what_could_not_stamp_does_not_take_over() {
    let harness = Harness::new().await;
    let away = Key::new().await;
    away.signer.away.store(true, Ordering::SeqCst);
    let refused = harness.tsa.prepare(away.authority()).await.err();
    assert_eq!(refused, Some(AuthorityError::Trial(AWAY)));
    let stranger = Key::new().await;
    let signer = Arc::clone(&stranger.signer) as Arc<dyn Signer>;
    let foreign = Authority::new(Arc::clone(&signer), harness.key.chain.clone(), now()).err();
    assert_eq!(foreign, Some(AuthorityError::ForeignKey));
    let short = Authority::new(Arc::clone(&signer), stranger.chain[..1].to_vec(), now()).err();
    assert_eq!(short, Some(AuthorityError::ChainTooShort));
    let ended = Authority::new(signer, stranger.chain.clone(), now() + DAY * 2).err();
    assert!(matches!(ended, Some(AuthorityError::Path(PathError::Expired { .. }))), "{ended:?}");
    let mixed = vec![harness.key.chain[0].clone(), stranger.chain[2].clone()];
    for (chains, expect) in [
        (vec![stranger.chain.clone(), mixed], "`previous_chains`, number 1: it is no chain"),
        (vec![stranger.chain[..1].to_vec()], "`previous_chains`, number 0: it must hold"),
    ] {
        let error = stranger.authority().with_previous(chains).err().unwrap().to_string();
        assert!(error.starts_with(expect), "{error}");
    }
    verify_reply(&harness.stamp(&request(None)).await, &request(None), MESSAGE, &harness.key.chain).unwrap();
}

#[tokio::test]
async fn a_chain_that_has_ended_stamps_nothing() {
    let harness = Harness::new().await;
    harness.clock.advance_ms(24 * 3600 * 1000);
    harness.stamp(&request(None)).await;
    harness.clock.advance_ms(1000);
    let (status, _, body) = harness.post("*/*", request(None).to_der().unwrap()).await;
    assert_eq!((status, String::from_utf8(body).unwrap().contains(FAILED_TEXT)), (500, true));
    assert_eq!(harness.health(Condition::Token).await, RoleState::Stopped);
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_and_goes_on_by_itself() {
    let harness = Harness::new().await;
    harness.stamp(&request(None)).await;
    harness.clock.set_back_ms(60_000);
    let (status, media_type, body) = harness.post(REPLY, request(None).to_der().unwrap()).await;
    assert_eq!((status, media_type.as_str()), (503, REPLY));
    let expect = TimestampResponse::Rejected { status: 2, failure: Some(FailureInfo::TimeNotAvailable) };
    assert_eq!(TimestampResponse::from_der(&body), Ok(expect));
    harness.clock.advance_ms(60_000);
    harness.stamp(&request(None)).await;
}

#[tokio::test]
async fn health_stamps_and_verifies_and_does_so_seldom() {
    let harness = Harness::new().await;
    for condition in Condition::ALL {
        assert_eq!(harness.health(condition).await, RoleState::Up, "{condition:?}");
    }
    harness.key.signer.away.store(true, Ordering::SeqCst);
    assert_eq!(harness.health(Condition::Token).await, RoleState::Up, "it is what was found a moment ago");
    harness.tsa.probe.forget();
    assert_eq!(harness.health(Condition::Token).await, RoleState::Stopped);
    harness.key.signer.away.store(false, Ordering::SeqCst);
    // With another key what was found of the one before says nothing.
    harness.hand_over(Key::new().await.authority()).await;
    assert_eq!(harness.health(Condition::Token).await, RoleState::Up);
}

#[tokio::test]
async fn every_token_has_its_line_and_a_token_for_health_has_none() {
    let open =
        |directory: &std::path::Path| AuditLog::open(&directory.join("audit.jsonl"), TestClock::new().as_ref()).ok();
    let harness = Harness::with(Embedded::Leaf, open).await;
    assert_eq!(harness.health(Condition::Token).await, RoleState::Up);
    let asking = request(Some(OTHER_POLICY));
    let reply = harness.stamp(&asking).await;
    let signed_at = verify_reply(&reply, &asking, MESSAGE, &harness.key.chain).unwrap();
    let path = harness.directory.path().join("audit.jsonl");
    let line: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(line["serial"], hex::encode(signed_at.serial()));
    assert_eq!(line["message_digest"], hex::encode(asking.imprint.as_bytes()));
    assert_eq!((&line["hash_algorithm"], &line["policy"]), (&"sha256".into(), &OTHER_POLICY.into()));
    assert_eq!(line["gen_time"], signed_at.time().to_string());
    assert_eq!(line["certificate_sha256"], hex::encode(touchmark_keys::sha256(harness.key.chain[0].der())));
    let many = (0..100).map(|_| harness.stamp(&asking));
    futures_util::future::join_all(many).await;
    harness.tsa.close().await;
    assert_eq!(verify_audit_log(&path, AuditKind::Timestamps, None).map(|chain| chain.lines()), Ok(101));
}

#[tokio::test]
async fn without_its_line_no_token_leaves_and_later_none_is_begun() {
    let harness = Harness::with(Embedded::Leaf, |directory| Some(broken_log(directory))).await;
    assert_eq!(harness.health(Condition::AuditLog).await, RoleState::Up);
    let (status, _, body) = harness.post("*/*", request(None).to_der().unwrap()).await;
    assert_eq!((status, String::from_utf8(body).unwrap().contains(FAILED_TEXT)), (503, true));
    while harness.tsa.expect_audit().is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(harness.health(Condition::AuditLog).await, RoleState::Stopped);
    // The key would answer this in another way.
    harness.key.signer.away.store(true, Ordering::SeqCst);
    let error = harness.tsa.issue(&request(None)).await.err();
    assert_eq!(error, Some(TsaError::Audit));
}

#[tokio::test]
async fn who_asks_too_often_is_refused_in_his_words_before_anything_is_read() {
    let proxy: IpAddr = "10.0.0.1".parse().unwrap();
    let rate_limit = AddressLimitConfig { per_minute: NonZeroU32::new(2), trusted_proxies: vec![proxy] };
    let harness = Harness::limited(rate_limit, Embedded::Leaf, |_| None).await;
    let ask = async |peer: IpAddr, forwarded: Option<&str>, accept: &str, body: Vec<u8>| {
        let mut request = HttpRequest::post("/api/v1/timestamp").header("content-type", QUERY).header("accept", accept);
        if let Some(client) = forwarded {
            request = request.header("x-forwarded-for", client);
        }
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(PeerAddress(peer));
        let response = router(Arc::clone(&harness.tsa)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let again = parts.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (parts.status.as_u16(), again, body.collect().await.unwrap().to_bytes().to_vec())
    };
    let (client, good) = ("192.0.2.7".parse().unwrap(), request(None).to_der().unwrap());
    // What cannot be read counts as well.
    assert_eq!(ask(client, None, "*/*", b"garbage".to_vec()).await.0, 400);
    assert_eq!(ask(client, None, "*/*", good.clone()).await.0, 200);
    for body in [good.clone(), b"garbage".to_vec()] {
        let (status, again, reply) = ask(client, Some("192.0.2.8"), REPLY, body).await;
        assert_eq!((status, again.as_deref()), (429, Some("30")));
        let refused = TimestampResponse::Rejected { status: 2, failure: Some(FailureInfo::SystemFailure) };
        assert_eq!(TimestampResponse::from_der(&reply), Ok(refused));
    }
    let (status, _, reply) = ask(client, None, "*/*", good.clone()).await;
    let shown: serde_json::Value = serde_json::from_slice(&reply).unwrap();
    assert_eq!((status, shown["code"].as_u64()), (429, Some(429)));
    // Others, and those behind the proxy, have buckets of their own.
    assert_eq!(ask("192.0.2.9".parse().unwrap(), None, "*/*", good.clone()).await.0, 200);
    assert_eq!(ask(proxy, Some("192.0.2.10"), "*/*", good.clone()).await.0, 200);
    assert_eq!(ask(proxy, Some("192.0.2.7"), "*/*", good).await.0, 429);
    let page = HttpRequest::get("/metrics").body(Body::empty()).unwrap();
    let page = harness.metrics.clone().router().oneshot(page).await.unwrap();
    let page = page.into_body().collect().await.unwrap().to_bytes();
    let counted = "touchmark_tsa_requests_total{outcome=\"RATE_LIMITED_ADDRESS\"} 4";
    assert!(String::from_utf8_lossy(&page).contains(counted));
}
