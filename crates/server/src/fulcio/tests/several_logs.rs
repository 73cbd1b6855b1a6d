// SPDX-License-Identifier: Apache-2.0
//! Certificates that go to several logs: how many promises are enough, and what one log that fails costs.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use touchmark_keys::KeyType;
use touchmark_sequencer::Clock;
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_sigstore::ct::{LogEntry, Sct, embedded_scts, verify_sct};
use tower::ServiceExt;

use super::super::*;
use super::harness::{Harness, TestCa, TestClock, chain_of, challenge, ct_log};
use super::operations::FrozenLog;
use super::refusals::{HonestSignatureLog, Lie, LyingLog};
use crate::fulcio::AuditLog;
use crate::fulcio::ct::CtLogsError;
use crate::http::site::RoleState;
use crate::metrics::Metrics;

/// Above the time that is given to logs whose promise is not needed, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

fn member(name: &str, log: Arc<dyn CtSubmit>, need: Need) -> CtMember {
    CtMember { name: name.to_owned(), target: CtTarget::new(log), need }
}

fn logs(members: Vec<CtMember>, scts_min: usize) -> Arc<CtLogs> {
    Arc::new(CtLogs::new(members, scts_min, PATIENCE).unwrap())
}

async fn ask(harness: &Harness) -> (u16, serde_json::Value) {
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    harness.post(&challenge(&harness.token().await, &signer, "alice@example.com").await).await
}

fn log_ids(scts: &[Sct]) -> Vec<[u8; 32]> {
    scts.iter().map(|sct| sct.log_id).collect()
}

#[tokio::test]
async fn a_certificate_carries_the_promises_of_all_logs_in_their_order_and_the_audit_log_names_them() {
    let (directory, ca) = (tempfile::tempdir().unwrap(), TestCa::new().await);
    let path = directory.path().join("audit.jsonl");
    let audit = AuditLog::open(&path, TestClock::new().as_ref()).unwrap();
    let clock = || TestClock::new() as Arc<dyn Clock>;
    let (one, _one_directory) = ct_log(vec![ca.root()], clock()).await;
    let (other, _other_directory) = ct_log(vec![ca.root()], clock()).await;
    let keys = [CtSubmit::public_key(&other).clone(), CtSubmit::public_key(&one).clone()];
    let (authority, log_of_lines) = (ca.authority(), audit.clone());
    let harness = Harness::with(|fulcio| {
        let other = member("other", Arc::new(other), Need::Welcome);
        fulcio.ca = authority;
        fulcio.ct = logs(vec![other, member("one", Arc::new(one), Need::Welcome)], 2);
        fulcio.audit = Some(audit);
    })
    .await;
    let (status, reply) = ask(&harness).await;
    assert_eq!(status, 200, "{reply}");
    let chain = chain_of(&reply);
    let scts = embedded_scts(&chain[0]).unwrap();
    assert_eq!(log_ids(&scts), keys.clone().map(|key| key.spki_sha256()));
    let entry = LogEntry::from_certificate_with_scts(&chain[0], &chain[1]).unwrap();
    for (sct, key) in scts.iter().zip(&keys) {
        verify_sct(sct, &entry, key).unwrap();
    }
    log_of_lines.close().await;
    let line: serde_json::Value = serde_json::from_str(std::fs::read_to_string(&path).unwrap().trim()).unwrap();
    let places = keys.map(|key| json!({ "log_id": hex::encode(key.spki_sha256()), "leaf_index": 0 }));
    assert_eq!(line["scts"], json!(places));
}

/// What the rule makes of two logs, of which the first is our own and honest.
#[tokio::test]
async fn the_rule_says_which_failures_of_a_log_stop_certificates() {
    let (unavailable, failed) = ((503, "CT_LOG_UNAVAILABLE"), (500, "CT_LOG_FAILED"));
    for (lie, need, scts_min, expect) in [
        (Lie::Busy, Need::Welcome, 1, Ok(1)),
        (Lie::Failure, Need::Welcome, 1, Ok(1)),
        (Lie::OtherKey, Need::Welcome, 1, Ok(1)),
        (Lie::OtherEntry, Need::Welcome, 1, Ok(1)),
        (Lie::Silence, Need::Welcome, 1, Ok(1)),
        (Lie::Busy, Need::Welcome, 2, Err(unavailable)),
        (Lie::Failure, Need::Welcome, 2, Err(failed)),
        (Lie::OtherKey, Need::Welcome, 2, Err(failed)),
        (Lie::Busy, Need::Required, 1, Err(unavailable)),
        (Lie::OtherTime, Need::Required, 1, Err(failed)),
    ] {
        let harness = Harness::with(|fulcio| {
            let own = fulcio.ct.first();
            let members = vec![member("own", own, Need::Welcome), member("other", LyingLog::new(lie), need)];
            fulcio.ct = logs(members, scts_min);
        })
        .await;
        let (status, reply) = ask(&harness).await;
        match expect {
            Ok(count) => {
                assert_eq!(status, 200, "{lie:?} {need:?} {scts_min}: {reply}");
                let scts = embedded_scts(&chain_of(&reply)[0]).unwrap();
                assert_eq!(scts.len(), count);
                assert_eq!(log_ids(&scts), [harness.ct_key.spki_sha256()], "only who promised is named");
            }
            Err((expect, reason)) => {
                assert_eq!(status, expect, "{lie:?} {need:?} {scts_min}: {reply}");
                assert_eq!(reply["details"][0]["reason"], reason);
            }
        }
    }
}

#[tokio::test]
async fn a_required_log_that_is_silent_stops_certificates_at_the_deadline() {
    let harness = Harness::with(|fulcio| {
        let own = fulcio.ct.first();
        let silent = member("silent", LyingLog::new(Lie::Silence), Need::Required);
        let members = vec![member("own", own, Need::Welcome), silent];
        fulcio.ct = Arc::new(CtLogs::new(members, 1, Duration::from_millis(200)).unwrap());
    })
    .await;
    let (status, reply) = ask(&harness).await;
    assert_eq!((status, reply["details"][0]["reason"].as_str()), (503, Some("CT_LOG_UNAVAILABLE")));
}

#[tokio::test]
async fn where_another_try_could_be_enough_the_reply_says_so() {
    // Two of three are demanded: one refuses for good, but the other two could do.
    let harness = Harness::with(|fulcio| {
        let own = fulcio.ct.first();
        let members = vec![
            member("refuses", LyingLog::new(Lie::Failure), Need::Welcome),
            member("busy", LyingLog::new(Lie::Busy), Need::Welcome),
            member("own", own, Need::Welcome),
        ];
        fulcio.ct = logs(members, 2);
    })
    .await;
    assert_eq!(ask(&harness).await.0, 503);
}

#[tokio::test]
async fn one_log_under_two_names_is_one_log() {
    let log: Arc<dyn CtSubmit> = HonestSignatureLog::new();
    let both = || vec![member("a", Arc::clone(&log), Need::Welcome), member("b", Arc::clone(&log), Need::Welcome)];
    let same = CtLogsError::Same { first: "a".to_owned(), second: "b".to_owned() };
    assert_eq!(CtLogs::new(both(), 2, PATIENCE).err(), Some(same));
    let one = || vec![member("a", Arc::clone(&log), Need::Welcome)];
    assert_eq!(CtLogs::new(Vec::new(), 1, PATIENCE).err(), Some(CtLogsError::None));
    assert_eq!(CtLogs::new(one(), 0, PATIENCE).err(), Some(CtLogsError::None));
    assert_eq!(CtLogs::new(one(), 2, PATIENCE).err(), Some(CtLogsError::TooFew { scts_min: 2, logs: 1 }));

    // A log that takes another's place later does not count for two either.
    let harness = Harness::with(|fulcio| {
        let target = CtTarget::new(LyingLog::new(Lie::Busy));
        let moved = CtMember { name: "b".to_owned(), target: target.clone(), need: Need::Welcome };
        fulcio.ct = logs(vec![member("a", Arc::clone(&log), Need::Welcome), moved], 2);
        target.switch(Arc::clone(&log));
    })
    .await;
    let (status, _) = ask(&harness).await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn readiness_goes_by_the_rule() {
    let frozen = || Arc::new(FrozenLog(EphemeralSigner::generate(KeyType::EcdsaP256).unwrap().public_key().clone()));
    for (need, scts_min, expect) in [
        (Need::Welcome, 1, RoleState::Up),
        (Need::Welcome, 2, RoleState::Stopped),
        (Need::Required, 1, RoleState::Stopped),
    ] {
        let harness = Harness::with(|fulcio| {
            let own = fulcio.ct.first();
            fulcio.ct = logs(vec![member("own", own, Need::Welcome), member("frozen", frozen(), need)], scts_min);
        })
        .await;
        assert_eq!(harness.health.of(Condition::CtLog), expect, "{need:?} {scts_min}");
        assert_eq!(ask(&harness).await.0 == 200, expect == RoleState::Up, "{need:?} {scts_min}");
    }
}

#[tokio::test]
async fn a_log_that_fails_unneeded_is_seen_in_the_metrics() {
    let metrics = Metrics::new();
    let harness = Harness::with(|fulcio| {
        let own = fulcio.ct.first();
        let members = vec![
            member("own", own, Need::Required),
            member("busy", LyingLog::new(Lie::Busy), Need::Welcome),
            member("silent", LyingLog::new(Lie::Silence), Need::Welcome),
        ];
        fulcio.ct = logs(members, 1);
        fulcio.metrics = metrics.fulcio();
    })
    .await;
    assert_eq!(ask(&harness).await.0, 200);
    let page = Request::get("/metrics").body(Body::empty()).unwrap();
    let page = metrics.router().oneshot(page).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(page.to_vec()).unwrap();
    for (log, outcome) in [("own", "sct"), ("busy", "unavailable"), ("silent", "late")] {
        let line = format!("touchmark_fulcio_ct_submissions_total{{log=\"{log}\",outcome=\"{outcome}\"}} 1");
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}
