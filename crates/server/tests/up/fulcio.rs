// SPDX-License-Identifier: Apache-2.0
//! The certificate authority of `touchmark up`: its conditions in `/readyz`, and its audit log over restarts and tampering.

use touchmark_server::{AuditKind, AuditProblem, try_out_token, up, verify_audit_log};

use crate::serve::certificate;
use crate::stack::{Stack, json, options, refusal};

async fn issue(stack: &Stack) {
    let token = try_out_token(&stack.data(), "alice@example.com", None).await.unwrap();
    certificate(&stack.running.url(), &token, "alice@example.com").await;
}

#[tokio::test]
async fn readiness_names_what_every_certificate_needs() {
    let stack = Stack::start().await;
    let ready = stack.get("/readyz").await;
    assert_eq!(ready.status, 200);
    let roles = &json(&ready)["roles"];
    for condition in ["fulcio", "fulcio chain", "fulcio ct log", "fulcio audit log"] {
        assert_eq!(roles[condition], "up", "{roles}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_audit_log_goes_on_over_restarts_and_a_changed_one_stops_the_next_start() {
    let stack = Stack::start().await;
    let file = stack.data().join("fulcio-audit.jsonl");
    issue(&stack).await;
    assert_eq!(verify_audit_log(&file, AuditKind::Certificates, None).unwrap().lines(), 1);
    stack.post("/api/v2/signingCert", "application/json", "{}").await;
    let directory = stack.stop().await;
    let first = verify_audit_log(&file, AuditKind::Certificates, None).unwrap();
    assert_eq!(first.lines(), 2, "what was answered before the stop is there after it");

    let stack = Stack::start_in(directory).await;
    issue(&stack).await;
    let chain = verify_audit_log(&file, AuditKind::Certificates, Some(first.last_hash())).unwrap();
    assert_eq!(chain.lines(), 3);
    let directory = stack.stop().await;

    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("TOKEN_MISSING", "TOKEN_EXPIRED", 1)).unwrap();
    assert_eq!(verify_audit_log(&file, AuditKind::Certificates, None), Err(AuditProblem::Link { line: 3 }));
    let refused = refusal(up(options(&directory.path().join("data"))).await).to_string();
    assert!(refused.contains("fulcio-audit.jsonl") && refused.contains("line 3"), "{refused}");
    std::fs::write(&file, text).unwrap();
    Stack::start_in(directory).await.stop().await;
}
