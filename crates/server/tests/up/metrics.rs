// SPDX-License-Identifier: Apache-2.0
//! The page of metrics, on its own listener.

use touchmark_outbound::Limits;
use touchmark_server::{UpOptions, up};
use url::Url;

use crate::stack::{Stack, options, outbound, text};

/// A port that was free a moment ago.
fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn metrics_count_what_happens_and_name_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let with = UpOptions { metrics_listen: Some(address), ..options(&directory.path().join("data")) };
    let stack = Stack { running: up(with).await.unwrap(), directory };
    let record = crate::rekor::p256_record(b"counted");
    for status in [201, 409] {
        assert_eq!(crate::rekor::append(&stack, &record).await.status, status);
    }
    let refused = stack.post("/api/v2/log/entries", "application/json", r#"{"secret-of-a-client":1}"#).await;
    assert_eq!(refused.status, 400);
    // The same over gRPC, where every reply has the status 200 of HTTP.
    let channel = crate::grpc::channel(&stack).await;
    crate::grpc::create(&channel, &crate::rekor::p256_record(b"over gRPC")).await.unwrap();
    crate::grpc::create(&channel, &record).await.unwrap_err();
    let create = "/dev.sigstore.rekor.v2.Rekor/CreateEntry";
    stack.post(create, "application/grpc", &b"\0\0\0\0\x02\xff\xff"[..]).await;
    stack.get("/made/up/by/a/client").await;

    let page =
        outbound().get(&Url::parse(&format!("http://{address}/metrics")).unwrap(), &Limits::SERVICE).await.unwrap();
    assert!(page.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let page = text(&page);
    let log = stack.rekor_log();
    let holds = |line: String| assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    for outcome in ["new", "duplicate", "malformed"] {
        holds(format!("touchmark_log_submissions_total{{log=\"{log}\",outcome=\"{outcome}\"}} 2"));
    }
    holds(format!("touchmark_log_entries{{log=\"{log}\"}} 2.0"));
    holds(format!("touchmark_log_pool_entries{{log=\"{log}\"}} 0.0"));
    holds(format!("touchmark_log_stopped{{log=\"{log}\"}} 0"));
    holds(format!("touchmark_log_batch_entries_bucket{{le=\"1.0\",log=\"{log}\"}} 2"));
    holds(format!("touchmark_log_commit_seconds_count{{log=\"{log}\"}} 2"));
    holds("touchmark_http_requests_total{method=\"POST\",route=\"/api/v2/log/entries\",status=\"409\"} 1".to_owned());
    for status in [200, 400, 409] {
        holds(format!("touchmark_http_requests_total{{method=\"POST\",route=\"{create}\",status=\"{status}\"}} 1"));
    }
    holds("touchmark_http_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1".to_owned());
    assert!(!page.contains("made/up") && !page.contains("secret-of-a-client"), "{page}");
    // On the listener of the services there are none.
    assert_eq!(stack.get("/metrics").await.status, 404);
    stack.stop().await;
}

#[tokio::test]
async fn metrics_for_everybody_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let with = UpOptions { metrics_listen: Some("0.0.0.0:0".parse().unwrap()), ..options(directory.path()) };
    assert!(matches!(up(with).await, Err(touchmark_server::StartError::NotLoopback { .. })));
}
