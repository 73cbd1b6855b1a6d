// SPDX-License-Identifier: Apache-2.0
//! What went wrong in the public Fulcio once, each under the id of its advisory or issue. Those about names and patterns stand in `identities`; all are listed
//! in docs/security-model.md.

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::harness::Harness;
use super::issuer::{Answer, FakeIssuer};

async fn ask(harness: &Harness, body: &Value) -> (u16, String) {
    let (status, reply) = harness.post(body).await;
    (status, reply["details"][0]["reason"].as_str().unwrap_or_default().to_owned())
}

fn with_key(token: &str, pem: &str) -> Value {
    json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": { "publicKey": { "content": pem }, "proofOfPossession": STANDARD.encode([1, 2, 3]) },
    })
}

/// Splitting a token at its dots took memory for each (CVE-2025-66506).
#[tokio::test]
async fn ghsa_f83f_xpx7_ffpw_a_token_of_dots_is_refused_by_its_length() {
    let harness = Harness::new().await;
    for dots in [40_000, (4 << 20) - 100] {
        let body = json!({ "credentials": { "oidcIdentityToken": ".".repeat(dots) } });
        assert_eq!(ask(&harness, &body).await, (400, "TOKEN_TOO_LONG".to_owned()));
    }
    assert_eq!(harness.issuer.requests(), (0, 0));
}

/// Discovery followed redirects to other hosts, and believed what it found there.
#[tokio::test]
async fn ghsa_f5mr_q85p_6hh6_keys_are_not_fetched_where_a_redirect_leads() {
    let elsewhere = FakeIssuer::start().await;
    let harness = Harness::new().await;
    let leads = |path: &str| Answer::Redirect(format!("{}{path}", elsewhere.url));
    harness.issuer.discovery(leads("/.well-known/openid-configuration"));
    let body = with_key(&harness.token().await, "");
    assert_eq!(ask(&harness, &body).await, (503, "ISSUER_UNREACHABLE".to_owned()));

    let harness = Harness::new().await;
    harness.issuer.keys(leads("/keys"));
    let body = with_key(&harness.token().await, "");
    assert_eq!(ask(&harness, &body).await, (503, "ISSUER_UNREACHABLE".to_owned()));
    assert_eq!(elsewhere.requests(), (0, 0));
}

/// Keys that nobody should use were certified.
#[tokio::test]
async fn fulcio_490_weak_keys_are_not_certified() {
    let harness = Harness::new().await;
    let token = harness.token().await;
    for pem in [
        include_str!("data/rsa1024.pem"),
        include_str!("data/rsa-e3.pem"),
        include_str!("data/p224.pem"),
        include_str!("data/secp256k1.pem"),
        include_str!("../../../../keys/testdata/weak/rsa-roca.pem"),
        include_str!("../../../../keys/testdata/weak/rsa-fermat-within-100-rounds.pem"),
    ] {
        assert_eq!(ask(&harness, &with_key(&token, pem)).await, (400, "KEY_INSECURE".to_owned()), "{pem}");
    }
}

/// A request without its parts took the server down.
#[tokio::test]
async fn fulcio_526_a_request_without_its_parts_is_refused() {
    let harness = Harness::new().await;
    for body in [
        "",
        "{}",
        "null",
        "[]",
        "0",
        r#"{"credentials":null}"#,
        r#"{"credentials":{},"publicKeyRequest":{}}"#,
        r#"{"credentials":{"oidcIdentityToken":null},"publicKeyRequest":{"publicKey":null,"proofOfPossession":null}}"#,
        r#"{"certificateSigningRequest":null}"#,
    ] {
        for path in ["/api/v2/signingCert", "/api/v1/signingCert"] {
            let (status, reply) = harness.send(Request::post(path).body(Body::from(body)).unwrap()).await;
            assert_eq!(status, 400, "{path} {body}: {reply}");
        }
    }
    // It still serves.
    let (status, _) = harness.send(Request::get("/api/v2/configuration").body(Body::empty()).unwrap()).await;
    assert_eq!(status, 200);
}
