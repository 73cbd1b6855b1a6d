// SPDX-License-Identifier: Apache-2.0
//! What an operator sets and sees: the audit log, rate limits, metrics, readiness.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use touchmark_keys::{KeyType, sha256};
use touchmark_sequencer::Clock;
use touchmark_signers::EphemeralSigner;
use tower::ServiceExt;

use super::super::*;
use super::harness::{Harness, TestClock, chain_of, challenge, csr_request};
use crate::audit::AuditKind;
use crate::audit::tests::broken_log;
use crate::audit::verify::verify_audit_log;
use crate::http::listener::PeerAddress;
use crate::http::site::RoleState;
use crate::metrics::Metrics;

fn p256() -> EphemeralSigner {
    EphemeralSigner::generate(KeyType::EcdsaP256).unwrap()
}

/// A service that writes its decisions down, and where.
async fn audited() -> (Harness, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let harness = Harness::with(|fulcio| {
        fulcio.audit = Some(AuditLog::open(&path, TestClock::new().as_ref()).unwrap());
    })
    .await;
    (harness, directory)
}

fn lines(directory: &TempDir) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.path().join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_issued_certificate_is_in_the_audit_log_before_anybody_has_it() {
    let (harness, directory) = audited().await;
    let token = harness.token().await;
    let (status, reply) = harness.post(&csr_request(&token, &p256()).await).await;
    assert_eq!(status, 200, "{reply}");
    let [line] = lines(&directory).try_into().unwrap();
    let leaf = &chain_of(&reply)[0];
    assert_eq!(line["outcome"], "issued");
    assert_eq!(line["serial"], hex::encode(leaf.serial()));
    assert_eq!(line["certificate_sha256"], hex::encode(sha256(leaf.der())));
    let log_id = hex::encode(harness.ct_key.spki_sha256());
    assert_eq!(line["scts"], json!([{ "log_id": log_id, "leaf_index": 0 }]));
    assert_eq!(line["issuer"], harness.issuer.url);
    assert_eq!(line["subject"], "subject-1");
    assert_eq!(line["san"], json!({ "type": "email", "value": "alice@example.com" }));
    assert_eq!(line["rule"], "admitted: no rule is against it");
    assert_eq!(line["time"], "2027-01-15T08:00:00Z");
}

#[tokio::test]
async fn a_refusal_is_written_down_with_what_was_known_then_and_no_secret() {
    let (harness, directory) = audited().await;
    let token = harness.token().await;
    let sent = [
        harness.post(&csr_request("a.b.c", &p256()).await).await,
        harness.post(&challenge(&token, &p256(), "bob@example.com").await).await,
        harness.send(Request::post("/api/v2/signingCert").body(Body::from("{")).unwrap()).await,
        // The last one is durable when it is answered, and with it all before it.
        harness.post(&csr_request(&token, &p256()).await).await,
    ];
    assert_eq!(sent.map(|(status, _)| status), [400, 400, 400, 200]);
    let lines = lines(&directory);
    let reasons: Vec<_> = lines.iter().map(|line| line["reason"].as_str().unwrap_or("issued")).collect();
    assert_eq!(reasons, ["TOKEN_MALFORMED", "POSSESSION_NOT_PROVEN", "REQUEST_MALFORMED", "issued"]);
    assert_eq!((&lines[0]["issuer"], &lines[0]["subject"]), (&Value::Null, &Value::Null));
    assert_eq!((&lines[1]["issuer"], &lines[1]["subject"]), (&json!(harness.issuer.url), &json!("subject-1")));
    let path = directory.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!token.split('.').any(|part| text.contains(part)), "{text}");
    assert_eq!(verify_audit_log(&path, AuditKind::Certificates, None).unwrap().lines(), 4);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_leaves_a_line_with_what_was_known() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let log = AuditLog::open(&path, TestClock::new().as_ref()).unwrap();
    let (audit, metrics) = (log.clone(), Metrics::new());
    let harness = Harness::with(|fulcio| {
        fulcio.audit = Some(audit);
        fulcio.metrics = metrics.fulcio();
        fulcio.ct = CtLogs::only(Arc::new(SilentLog(touchmark_signers::Signer::public_key(&p256()).clone())));
    })
    .await;
    let body = csr_request(&harness.token().await, &p256()).await;
    let patience = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(patience, harness.post(&body)).await.is_err());
    log.close().await;
    let [line] = lines(&directory).try_into().unwrap();
    assert_eq!((&line["reason"], &line["subject"]), (&json!("ABANDONED"), &json!("subject-1")));
}

/// A log that never answers.
struct SilentLog(touchmark_keys::PublicKey);

#[async_trait::async_trait]
impl CtSubmit for SilentLog {
    fn public_key(&self) -> &touchmark_keys::PublicKey {
        &self.0
    }

    async fn submit(&self, _: &Certificate, _: &[Certificate]) -> Result<touchmark_sigstore::ct::Sct, CtError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn without_its_line_no_certificate_leaves_and_later_none_is_begun() {
    let directory = tempfile::tempdir().unwrap();
    let log = broken_log(directory.path());
    let watched = log.clone();
    let harness = Harness::with(|fulcio| fulcio.audit = Some(log)).await;
    let (status, reply) = harness.post(&csr_request(&harness.token().await, &p256()).await).await;
    let found = (status, reply["code"].as_u64(), reply["details"][0]["reason"].as_str());
    assert_eq!(found, (503, Some(14), Some("AUDIT_LOG_UNAVAILABLE")));
    assert!(reply.get("signedCertificateEmbeddedSct").is_none(), "{reply}");
    while watched.works() {
        tokio::task::yield_now().await;
    }
    assert_eq!(harness.health.of(Condition::AuditLog), RoleState::Stopped);
    let before = harness.issuer.requests();
    let (status, _) = harness.post(&csr_request("anything", &p256()).await).await;
    assert_eq!((status, harness.issuer.requests()), (503, before));
}

fn limited(change: impl FnOnce(&mut RateLimitConfig)) -> Arc<RateLimits> {
    let mut config = RateLimitConfig::default();
    change(&mut config);
    Arc::new(RateLimits::new(&config))
}

/// Status, code, reason and when to come back.
async fn from_address(harness: &Harness, address: &str, body: &Value) -> (u16, u64, String, Option<String>) {
    let mut request = Request::post("/api/v2/signingCert").body(Body::from(body.to_string())).unwrap();
    request.extensions_mut().insert(PeerAddress(address.parse::<IpAddr>().unwrap()));
    let response = harness.router.clone().oneshot(request).await.unwrap();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let reply: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    let reason = reply["details"][0]["reason"].as_str().unwrap_or_default().to_owned();
    (status, reply["code"].as_u64().unwrap_or_default(), reason, retry_after)
}

#[tokio::test]
async fn an_address_over_its_limit_is_told_when_to_come_back_and_others_are_served() {
    let harness =
        Harness::with(|fulcio| fulcio.limits = limited(|config| config.address.per_minute = NonZeroU32::new(2))).await;
    let body = csr_request(&harness.token().await, &p256()).await;
    for _ in 0..2 {
        assert_eq!(from_address(&harness, "192.0.2.1", &body).await.0, 200);
    }
    let refused = (429, 8, "RATE_LIMITED_ADDRESS".to_owned(), Some("30".to_owned()));
    assert_eq!(from_address(&harness, "192.0.2.1", &body).await, refused);
    assert_eq!(from_address(&harness, "192.0.2.1", &json!({})).await, refused);
    assert_eq!(from_address(&harness, "192.0.2.2", &body).await.0, 200);
    harness.clock.advance_ms(30_000);
    assert_eq!(from_address(&harness, "192.0.2.1", &body).await.0, 200);
}

#[tokio::test]
async fn a_subject_over_its_limit_leaves_the_others_of_its_issuer_alone_and_an_issuer_does_not() {
    for (scope, others) in [("SUBJECT", 200), ("ISSUER", 429)] {
        let harness = Harness::with(|fulcio| {
            fulcio.limits = limited(|config| match scope {
                "SUBJECT" => config.subject_per_minute = NonZeroU32::new(1),
                _ => config.issuer_per_minute = NonZeroU32::new(1),
            });
        })
        .await;
        let token_of = async |subject: &str| {
            let mut claims = harness.issuer.claims(harness.now_s());
            claims["sub"] = json!(subject);
            harness.issuer.token(&claims).await
        };
        let (first, second) = (token_of("one").await, token_of("two").await);
        // A token that nobody signed takes nothing from anybody.
        assert_eq!(harness.post(&csr_request(&format!("{first}x"), &p256()).await).await.0, 400);
        assert_eq!(harness.post(&csr_request(&first, &p256()).await).await.0, 200);
        let (status, reply) = harness.post(&csr_request(&first, &p256()).await).await;
        let reason = format!("RATE_LIMITED_{scope}");
        assert_eq!((status, reply["details"][0]["reason"].as_str()), (429, Some(reason.as_str())));
        assert_eq!(harness.post(&csr_request(&second, &p256()).await).await.0, others);
    }
}

#[tokio::test]
async fn decisions_are_counted_by_outcome_and_configured_issuer_and_the_chain_has_an_end() {
    let metrics = Metrics::new();
    let harness = Harness::with(|fulcio| {
        fulcio.metrics = metrics.fulcio();
        let ends = fulcio.ca.chain().iter().map(Certificate::not_after).collect();
        fulcio.metrics.watch(ends, Arc::clone(&fulcio.clock));
    })
    .await;
    let token = harness.token().await;
    harness.post(&csr_request(&token, &p256()).await).await;
    harness.post(&challenge(&token, &p256(), "bob@example.com").await).await;
    harness.post(&csr_request("secret-of-a-client", &p256()).await).await;
    let page = Request::get("/metrics").body(Body::empty()).unwrap();
    let page = metrics.router().oneshot(page).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(page.to_vec()).unwrap();
    let issuer = &harness.issuer.url;
    for line in [
        format!("touchmark_fulcio_decisions_total{{issuer=\"{issuer}\",outcome=\"ISSUED\"}} 1"),
        format!("touchmark_fulcio_decisions_total{{issuer=\"{issuer}\",outcome=\"POSSESSION_NOT_PROVEN\"}} 1"),
        "touchmark_fulcio_decisions_total{issuer=\"none\",outcome=\"TOKEN_MALFORMED\"} 1".to_owned(),
        "touchmark_fulcio_step_seconds_count{step=\"sign\"} 2".to_owned(),
        "touchmark_fulcio_step_seconds_count{step=\"ct_submit\"} 1".to_owned(),
        "touchmark_fulcio_step_seconds_count{step=\"authenticate\"} 3".to_owned(),
        "touchmark_fulcio_ca_certificate_expires_in_seconds{position=\"0\"} 86400".to_owned(),
        "touchmark_fulcio_ca_certificate_expires_in_seconds{position=\"1\"} 172800".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert!(!page.contains("secret-of-a-client") && !page.contains("alice"), "{page}");
}

/// A log that has ended.
pub(super) struct FrozenLog(pub(super) touchmark_keys::PublicKey);

#[async_trait::async_trait]
impl CtSubmit for FrozenLog {
    fn public_key(&self) -> &touchmark_keys::PublicKey {
        &self.0
    }

    fn ended(&self) -> Option<CtError> {
        Some(CtError::Frozen)
    }

    async fn submit(&self, _: &Certificate, _: &[Certificate]) -> Result<touchmark_sigstore::ct::Sct, CtError> {
        Err(CtError::Frozen)
    }
}

#[tokio::test]
async fn readiness_knows_an_authority_that_has_ended_and_a_log_that_is_frozen() {
    let harness = Harness::new().await;
    for condition in Condition::ALL {
        assert_eq!(harness.health.of(condition), RoleState::Up, "{condition:?}");
    }
    harness.clock.advance_ms(25 * 60 * 60 * 1000);
    assert!(harness.clock.now_ms() > 0);
    assert_eq!(harness.health.of(Condition::Chain), RoleState::Stopped);
    assert_eq!(harness.health.of(Condition::CtLog), RoleState::Up);

    let log = Arc::new(FrozenLog(touchmark_signers::Signer::public_key(&p256()).clone()));
    let harness = Harness::with(|fulcio| fulcio.ct = CtLogs::only(log)).await;
    assert_eq!(harness.health.of(Condition::CtLog), RoleState::Stopped);
    let (status, reply) = harness.post(&csr_request(&harness.token().await, &p256()).await).await;
    assert_eq!((status, reply["details"][0]["reason"].as_str()), (500, Some("CT_LOG_FAILED")));
}
