// SPDX-License-Identifier: Apache-2.0
//! What is issued, to whom, and what it looks like.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use jiff::SignedDuration;
use serde_json::{Value, json};
use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_sigstore::ct::{LogEntry, embedded_scts, parse_leaf_index_extension, verify_sct};
use touchmark_sigstore::principal::SubjectAltName;
use touchmark_sigstore::x509::path::{ExtendedKeyUsage, verify_path};
use touchmark_tlog::LeafIndex;
use tower::ServiceExt;

use super::super::*;
use super::harness::{Harness, NOW_S, TestCa, chain_of, challenge, csr_request, csr_text_request};
use super::issuer::FakeIssuer;

fn key(key_type: KeyType) -> EphemeralSigner {
    EphemeralSigner::generate(key_type).unwrap()
}

#[tokio::test]
async fn a_challenge_gives_a_chain_that_a_strict_client_accepts() {
    let harness = Harness::new().await;
    let signer = key(KeyType::EcdsaP256);
    let body = challenge(&harness.token().await, &signer, "alice@example.com").await;
    let (status, reply) = harness.post(&body).await;
    assert_eq!(status, 200, "{reply}");

    let chain = chain_of(&reply);
    assert_eq!(chain[1..], harness.ca.chain);
    let leaf = &chain[0];
    let now = timestamp_s(NOW_S);
    let path = verify_path(leaf, &chain[1..], ExtendedKeyUsage::CodeSigning, now).unwrap();
    assert_eq!(path.issuer(), &harness.ca.chain[0]);
    assert_eq!(leaf.san().unwrap(), SubjectAltName::Email("alice@example.com".to_owned()));
    assert_eq!(leaf.issuer_claim().unwrap(), harness.issuer.url);
    assert_eq!(leaf.public_key().unwrap(), *signer.public_key());
    assert_eq!((leaf.not_before(), leaf.not_after()), (now, now + SignedDuration::from_mins(10)));
    assert_eq!(leaf.serial().len(), 20);
    let extensions: Vec<String> =
        leaf.fulcio_extensions().into_iter().map(|(oid, text)| format!("{oid} {text}")).collect();
    let url = &harness.issuer.url;
    let arc = "1.3.6.1.4.1.57264.1";
    assert_eq!(extensions, [format!("{arc}.1 {url}"), format!("{arc}.8 {url}"), format!("{arc}.24 subject-1")]);

    let scts = embedded_scts(leaf).unwrap();
    assert_eq!(scts.len(), 1);
    let entry = LogEntry::from_certificate_with_scts(leaf, &chain[1]).unwrap();
    verify_sct(&scts[0], &entry, &harness.ct_key).unwrap();
    assert_eq!(parse_leaf_index_extension(&scts[0].extensions).unwrap(), LeafIndex(0));
}

#[tokio::test]
async fn certificates_are_trimmed_pem_and_nothing_else_is_in_the_reply() {
    let harness = Harness::new().await;
    let body = challenge(&harness.token().await, &key(KeyType::EcdsaP256), "alice@example.com").await;
    let (_, reply) = harness.post(&body).await;
    for pem in reply["signedCertificateEmbeddedSct"]["chain"]["certificates"].as_array().unwrap() {
        let pem = pem.as_str().unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n") && pem.ends_with("-----END CERTIFICATE-----"));
    }
    assert!(reply.get("signedCertificateDetachedSct").is_none_or(Value::is_null), "{reply}");
}

#[tokio::test]
async fn a_csr_with_an_empty_subject_and_the_token_in_the_header_is_served() {
    let harness = Harness::new().await;
    let signer = key(KeyType::EcdsaP256);
    let mut body = csr_request("", &signer).await;
    body.as_object_mut().unwrap().remove("credentials");
    let request = Request::post("/api/v2/signingCert")
        .header("authorization", format!("Bearer {}", harness.token().await))
        .header("accept", "application/pem-certificate-chain")
        .header("content-type", "text/whatever")
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, reply) = harness.send(request).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(chain_of(&reply)[0].public_key().unwrap(), *signer.public_key());
}

#[tokio::test]
async fn every_allowed_key_type_is_certified() {
    let harness = Harness::new().await;
    let types = [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::EcdsaP521,
        KeyType::Ed25519,
        KeyType::Rsa2048,
        KeyType::Rsa3072,
    ];
    for key_type in types {
        let body = challenge(&harness.token().await, &key(key_type), "alice@example.com").await;
        let (status, reply) = harness.post(&body).await;
        assert_eq!(status, 200, "{key_type:?}: {reply}");
    }
}

#[tokio::test]
async fn tokens_of_every_accepted_algorithm_are_accepted() {
    let harness = Harness::new().await;
    let claims = harness.issuer.claims(NOW_S);
    for (signer, header) in [
        (&harness.issuer.rsa, json!({ "alg": "RS256", "kid": "rsa" })),
        (&harness.issuer.rsa, json!({ "alg": "RS256" })),
        (&harness.issuer.p256, json!({ "alg": "ES256", "kid": "p256" })),
        (&harness.issuer.ed25519, json!({ "alg": "EdDSA", "kid": "ed25519" })),
    ] {
        let token = super::issuer::sign(signer, &header, &claims).await;
        let (status, reply) =
            harness.post(&challenge(&token, &key(KeyType::EcdsaP256), "alice@example.com").await).await;
        assert_eq!(status, 200, "{header}: {reply}");
    }
}

#[tokio::test]
async fn a_leaf_never_outlives_the_authority() {
    let short = TestCa::ending_in(SignedDuration::from_mins(3)).await;
    let authority = short.authority();
    let root = short.root();
    let harness = Harness::with(|fulcio| fulcio.ca = authority).await;
    // Its own log does not accept that root: logging fails, so nothing is issued at all.
    let body = challenge(&harness.token().await, &key(KeyType::EcdsaP256), "alice@example.com").await;
    let (status, reply) = harness.post(&body).await;
    assert_eq!((status, reply["message"].as_str()), (500, Some("Error entering certificate in CTL")));

    let clock = std::sync::Arc::clone(&harness.clock) as std::sync::Arc<dyn touchmark_sequencer::Clock>;
    let (log, _directory) = super::harness::ct_log(vec![root], clock).await;
    let authority = short.authority();
    let harness = Harness::with(|fulcio| {
        fulcio.ca = authority;
        fulcio.ct = CtLogs::only(std::sync::Arc::new(log));
    })
    .await;
    let body = challenge(&harness.token().await, &key(KeyType::EcdsaP256), "alice@example.com").await;
    let (status, reply) = harness.post(&body).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(chain_of(&reply)[0].not_after(), timestamp_s(NOW_S) + SignedDuration::from_mins(3));

    harness.clock.advance_ms(4 * 60 * 1000);
    let body = challenge(&harness.token().await, &key(KeyType::EcdsaP256), "alice@example.com").await;
    let (status, reply) = harness.post(&body).await;
    assert_eq!((status, reply["message"].as_str()), (500, Some("error communicating with CA backend")));
}

#[tokio::test]
async fn uri_and_username_identities_come_from_sub_and_prove_over_it() {
    let issuer = FakeIssuer::start().await;
    let kind = IssuerKind::Uri { subject_domain: "https://ci.example.com".to_owned() };
    let harness = Harness::for_issuer(issuer, kind, |_| {}).await;
    let mut claims = harness.issuer.claims(NOW_S);
    claims["sub"] = json!("https://ci.example.com/org/repo");
    let token = harness.issuer.token(&claims).await;
    let body = challenge(&token, &key(KeyType::EcdsaP256), "https://ci.example.com/org/repo").await;
    let (status, reply) = harness.post(&body).await;
    assert_eq!(status, 200, "{reply}");
    let uri = SubjectAltName::Uri("https://ci.example.com/org/repo".to_owned());
    assert_eq!(chain_of(&reply)[0].san().unwrap(), uri);
    // The token's e-mail address is not what a URI issuer's subject proves over.
    let (status, _) = harness.post(&challenge(&token, &key(KeyType::EcdsaP256), "alice@example.com").await).await;
    assert_eq!(status, 400);

    let issuer = FakeIssuer::start().await;
    let kind = IssuerKind::Username { subject_domain: "example.com".to_owned() };
    let harness = Harness::for_issuer(issuer, kind, |_| {}).await;
    let body = challenge(&harness.token().await, &key(KeyType::EcdsaP256), "subject-1").await;
    let (status, reply) = harness.post(&body).await;
    assert_eq!(status, 200, "{reply}");
    let username = SubjectAltName::Username("subject-1!example.com".to_owned());
    assert_eq!(chain_of(&reply)[0].san().unwrap(), username);
}

#[tokio::test]
async fn names_inside_a_csr_are_not_looked_at() {
    let harness = Harness::new().await;
    let csr = include_str!("data/rsa-sha256-other-name.csr.pem");
    let body = csr_text_request(&harness.token().await, csr);
    let (status, reply) = harness.post(&body).await;
    assert_eq!(status, 200, "{reply}");
    let alice = SubjectAltName::Email("alice@example.com".to_owned());
    assert_eq!(chain_of(&reply)[0].san().unwrap(), alice);
    assert_eq!(chain_of(&reply)[0].subject_text(), "");
}

#[tokio::test]
async fn trust_bundle_root_cert_and_configuration_say_what_is_served() {
    let harness = Harness::new().await;
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let (status, bundle) = harness.send(get("/api/v2/trustBundle")).await;
    assert_eq!(status, 200);
    let pem: Vec<String> = harness.ca.chain.iter().map(Certificate::to_pem).collect();
    assert_eq!(bundle, json!({ "chains": [{ "certificates": pem }] }));

    let (_, configuration) = harness.send(get("/api/v2/configuration")).await;
    let issuer = &configuration["issuers"][0];
    assert_eq!(issuer["issuerUrl"], harness.issuer.url);
    assert_eq!(issuer["audience"], "sigstore");
    assert_eq!(issuer["challengeClaim"], "email");
    assert_eq!(issuer["issuerType"], "email");

    let response = harness.router.clone().oneshot(get("/api/v1/rootCert")).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(String::from_utf8(body.to_vec()).unwrap(), pem.concat());
}

fn timestamp_s(seconds: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap()
}
