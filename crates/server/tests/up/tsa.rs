// SPDX-License-Identifier: Apache-2.0
//! The timestamp authority over HTTP: DER and JSON requests, the chain, refusals.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::{HashAlgorithm, digest, sha256};
use touchmark_sigstore::tsp::{TimestampRequest, verify_reply, verify_token};
use touchmark_sigstore::x509::chain_from_pem;

use crate::stack::{Stack, json, text};

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
