// SPDX-License-Identifier: Apache-2.0
//! Discovery and keys: what is fetched, how often, and what is believed.

use std::time::Duration;

use serde_json::json;
use touchmark_keys::KeyType;
use touchmark_signers::EphemeralSigner;

use super::super::issuer_keys::{KEYS_FRESH_MS, KEYS_STALE_MS, REFETCH_MS};
use super::super::*;
use super::harness::{Harness, challenge};
use super::issuer::{Answer, FakeIssuer, jwk, sign};

fn p256() -> EphemeralSigner {
    EphemeralSigner::generate(KeyType::EcdsaP256).unwrap()
}

/// Status, and the reason if there is one.
async fn ask(harness: &Harness, token: &str) -> (u16, String) {
    let (status, reply) = harness.post(&challenge(token, &p256(), "alice@example.com").await).await;
    (status, reply["details"][0]["reason"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

fn served() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn nothing_is_fetched_before_the_first_token_and_then_once() {
    let harness = Harness::new().await;
    assert_eq!(harness.issuer.requests(), (0, 0));
    for _ in 0..3 {
        assert_eq!(ask(&harness, &harness.token().await).await, served());
    }
    assert_eq!(harness.issuer.requests(), (1, 1));
}

#[tokio::test]
async fn issuers_that_are_not_configured_are_never_asked() {
    let stranger = FakeIssuer::start().await;
    let harness = Harness::new().await;
    for url in [
        stranger.url.clone(),
        format!("{}?x={}", stranger.url, harness.issuer.url),
        format!("{}#{}", stranger.url, harness.issuer.url),
        format!("{}\n", harness.issuer.url),
        harness.issuer.url.replace("http://", "http://user@"),
        harness.issuer.url.to_uppercase(),
        format!("{}/", harness.issuer.url),
    ] {
        let mut claims = harness.issuer.claims(harness.now_s());
        claims["iss"] = json!(url);
        let token = harness.issuer.token(&claims).await;
        assert_eq!(ask(&harness, &token).await, refused(400, "TOKEN_ISSUER_UNKNOWN"), "{url}");
    }
    assert_eq!((stranger.requests(), harness.issuer.requests()), ((0, 0), (0, 0)));
}

#[tokio::test]
async fn redirects_of_discovery_and_of_keys_are_not_followed() {
    let elsewhere = FakeIssuer::start().await;
    let harness = Harness::new().await;
    harness.issuer.discovery(Answer::Redirect(format!("{}/.well-known/openid-configuration", elsewhere.url)));
    assert_eq!(ask(&harness, &harness.token().await).await, refused(503, "ISSUER_UNREACHABLE"));

    harness.clock.advance_ms(REFETCH_MS);
    harness.issuer.discovery(Answer::Json(harness.issuer.document()));
    harness.issuer.keys(Answer::Redirect(format!("{}/keys", elsewhere.url)));
    assert_eq!(ask(&harness, &harness.token().await).await, refused(503, "ISSUER_UNREACHABLE"));
    assert_eq!(elsewhere.requests(), (0, 0));
}

#[tokio::test]
async fn a_document_that_names_another_issuer_or_an_unfit_key_address_is_not_believed() {
    for change in [
        json!({ "issuer": "https://other.example" }),
        json!({ "issuer": null }),
        json!({ "jwks_uri": "http://keys.example.com/" }),
        json!({ "jwks_uri": "file:///etc/passwd" }),
        json!({ "jwks_uri": "http://169.254.169.254/" }),
        json!({ "jwks_uri": "not a url" }),
        json!({ "jwks_uri": null }),
    ] {
        let harness = Harness::new().await;
        let mut document = harness.issuer.document();
        for (name, value) in change.as_object().unwrap() {
            document[name] = value.clone();
        }
        harness.issuer.discovery(Answer::Json(document));
        assert_eq!(ask(&harness, &harness.token().await).await, refused(400, "ISSUER_MISCONFIGURED"), "{change}");
        assert_eq!(harness.issuer.requests().1, 0);
    }
    // The issuer with a final slash is another issuer.
    let harness = Harness::new().await;
    let mut document = harness.issuer.document();
    document["issuer"] = json!(format!("{}/", harness.issuer.url));
    harness.issuer.discovery(Answer::Json(document));
    assert_eq!(ask(&harness, &harness.token().await).await, refused(400, "ISSUER_MISCONFIGURED"));
}

#[tokio::test]
async fn oversize_failing_and_malformed_answers_are_refused() {
    for answer in [Answer::Bytes(8 << 20), Answer::Status(500), Answer::Status(404)] {
        let harness = Harness::new().await;
        harness.issuer.keys(answer);
        assert_eq!(ask(&harness, &harness.token().await).await, refused(503, "ISSUER_UNREACHABLE"));
    }
    for answer in [Answer::Bytes(10), Answer::Json(json!([])), Answer::Json(json!({ "keys": 5 }))] {
        let harness = Harness::new().await;
        harness.issuer.keys(answer);
        assert_eq!(ask(&harness, &harness.token().await).await, refused(400, "ISSUER_MISCONFIGURED"));
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_is_asked_again_only_after_a_while() {
    let harness = Harness::new().await;
    harness.issuer.discovery(Answer::Status(500));
    for _ in 0..5 {
        assert_eq!(ask(&harness, &harness.token().await).await, refused(503, "ISSUER_UNREACHABLE"));
    }
    assert_eq!(harness.issuer.requests(), (1, 0));
    harness.issuer.discovery(Answer::Json(harness.issuer.document()));
    harness.clock.advance_ms(REFETCH_MS);
    assert_eq!(ask(&harness, &harness.token().await).await, served());
}

#[tokio::test]
async fn a_new_key_is_found_and_junk_key_ids_do_not_make_requests() {
    let harness = Harness::new().await;
    assert_eq!(ask(&harness, &harness.token().await).await, served());
    let junk = async |kid: &str| {
        let claims = harness.issuer.claims(harness.now_s());
        let token = sign(&harness.issuer.rsa, &json!({ "alg": "RS256", "kid": kid }), &claims).await;
        ask(&harness, &token).await
    };
    for number in 0..20 {
        assert_eq!(junk(&format!("junk-{number}")).await, refused(400, "TOKEN_KEY_UNKNOWN"));
    }
    assert_eq!(harness.issuer.requests(), (1, 1), "too soon after the first fetch");

    harness.clock.advance_ms(REFETCH_MS);
    assert_eq!(junk("junk").await, refused(400, "TOKEN_KEY_UNKNOWN"));
    assert_eq!(harness.issuer.requests(), (2, 2));
    harness.clock.advance_ms(REFETCH_MS);
    assert_eq!(junk("junk").await, refused(400, "TOKEN_KEY_UNKNOWN"));
    assert_eq!(harness.issuer.requests(), (2, 2), "that id is known to be unknown");

    // Rotation: the id that the issuer has now is asked for, and found.
    let fresh = EphemeralSigner::generate(KeyType::Rsa2048).unwrap();
    harness.issuer.keys(Answer::Json(json!({ "keys": [jwk(&fresh, "fresh")] })));
    let claims = harness.issuer.claims(harness.now_s());
    let token = sign(&fresh, &json!({ "alg": "RS256", "kid": "fresh" }), &claims).await;
    assert_eq!(ask(&harness, &token).await, served());
    assert_eq!(harness.issuer.requests(), (3, 3));
    assert_eq!(
        ask(&harness, &harness.token().await).await,
        refused(400, "TOKEN_KEY_UNKNOWN"),
        "the old key is withdrawn"
    );
}

#[tokio::test]
async fn a_withdrawn_key_is_believed_no_longer_than_the_keys_are_fresh() {
    let harness = Harness::new().await;
    assert_eq!(ask(&harness, &harness.token().await).await, served());
    harness.issuer.keys(Answer::Json(json!({ "keys": [] })));
    assert_eq!(ask(&harness, &harness.token().await).await, served());
    harness.clock.advance_ms(KEYS_FRESH_MS);
    assert_eq!(ask(&harness, &harness.token().await).await, refused(400, "TOKEN_KEY_UNKNOWN"));
}

#[tokio::test]
async fn an_outage_of_the_issuer_is_bridged_for_an_hour_and_no_longer() {
    let harness = Harness::new().await;
    assert_eq!(ask(&harness, &harness.token().await).await, served());
    harness.issuer.discovery(Answer::Status(500));
    harness.clock.advance_ms(KEYS_FRESH_MS);
    assert_eq!(ask(&harness, &harness.token().await).await, served());
    harness.clock.advance_ms(KEYS_STALE_MS);
    assert_eq!(ask(&harness, &harness.token().await).await, refused(503, "ISSUER_UNREACHABLE"));
}

#[tokio::test]
async fn an_issuer_that_hangs_keeps_nobody_waiting_whose_key_is_known() {
    let harness = Harness::new().await;
    assert_eq!(ask(&harness, &harness.token().await).await, served());
    harness.clock.advance_ms(KEYS_FRESH_MS);
    let silence = harness.issuer.silence().await;
    let token = harness.token().await;
    let all = futures_util::future::join_all((0..8).map(|_| ask(&harness, &token)));
    // A fetch would wait ten seconds for the issuer.
    let outcomes = tokio::time::timeout(Duration::from_secs(8), all).await.expect("nobody waits for the issuer");
    assert!(outcomes.iter().all(|outcome| *outcome == served()), "{outcomes:?}");
    assert_eq!(harness.issuer.requests(), (2, 1));
    drop(silence);
}

#[tokio::test]
async fn all_who_wait_for_an_issuer_that_hangs_are_answered_when_the_fetch_ends() {
    let harness = Harness::new().await;
    let silence = harness.issuer.silence().await;
    let token = harness.token().await;
    // The clock of the service runs on while the fetch does.
    let outcomes = async {
        let all = futures_util::future::join_all((0..8).map(|_| ask(&harness, &token)));
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            harness.clock.advance_ms(REFETCH_MS + 1);
        };
        tokio::join!(all, later).0
    };
    let outcomes = tokio::time::timeout(Duration::from_secs(18), outcomes).await.expect("one fetch is waited for");
    assert!(outcomes.iter().all(|outcome| *outcome == refused(503, "ISSUER_UNREACHABLE")), "{outcomes:?}");
    assert_eq!(harness.issuer.requests(), (1, 0));
    drop(silence);
}

#[tokio::test]
async fn many_callers_share_one_fetch() {
    let harness = Harness::new().await;
    let token = harness.token().await;
    let bodies = futures_util::future::join_all((0..16).map(|_| ask(&harness, &token))).await;
    assert!(bodies.iter().all(|outcome| *outcome == served()), "{bodies:?}");
    assert_eq!(harness.issuer.requests(), (1, 1));
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_take_the_fetch_with_it() {
    let harness = Harness::new().await;
    let token = harness.token().await;
    let silence = harness.issuer.silence().await;
    let reached = async {
        while harness.issuer.requests() == (0, 0) {
            tokio::task::yield_now().await;
        }
    };
    // The server drops the handler of a connection that its client has closed.
    tokio::select! {
        _ = ask(&harness, &token) => unreachable!("the issuer is silent"),
        () = reached => {}
    }
    drop(silence);
    assert_eq!(ask(&harness, &token).await, served());
    assert_eq!(harness.issuer.requests(), (1, 1));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_key_younger() {
    let harness = Harness::new().await;
    assert_eq!(ask(&harness, &harness.token().await).await, served());
    harness.issuer.keys(Answer::Json(json!({ "keys": [] })));
    harness.clock.set_back_ms(KEYS_FRESH_MS);
    assert_eq!(ask(&harness, &harness.token().await).await, refused(400, "TOKEN_KEY_UNKNOWN"));
    assert_eq!(harness.issuer.requests(), (2, 2));
}

#[tokio::test]
async fn a_key_id_of_two_issuers_means_the_token_issuers_key() {
    let other = FakeIssuer::start().await;
    let other_url = other.url.clone();
    let harness = Harness::with(|fulcio| {
        let second = IssuerConfig { url: IssuerUrl::Exact(other_url), ..(*fulcio.config.issuers[0]).clone() };
        fulcio.config.issuers.push(Arc::new(second));
        let ways_out = crate::deps::WaysOut::new("test");
        fulcio.issuers = Issuers::new(&fulcio.config.issuers, &ways_out, &fulcio.clock);
    })
    .await;
    let now_s = harness.now_s();
    assert_eq!(ask(&harness, &other.token(&other.claims(now_s)).await).await, served());
    // The other issuer's key, with the same id, under this issuer's name.
    let token = other.token(&harness.issuer.claims(now_s)).await;
    assert_eq!(ask(&harness, &token).await, refused(400, "TOKEN_SIGNATURE_INVALID"));
}

#[tokio::test]
async fn keys_for_other_uses_and_other_algorithms_are_not_used() {
    for member in [
        json!({ "use": "enc" }),
        json!({ "key_ops": ["encrypt"] }),
        json!({ "alg": "RS512" }),
        json!({ "alg": "RSA-OAEP" }),
    ] {
        let harness = Harness::new().await;
        let mut key = jwk(&harness.issuer.rsa, "rsa");
        for (name, value) in member.as_object().unwrap() {
            key[name] = value.clone();
        }
        harness.issuer.keys(Answer::Json(json!({ "keys": [key] })));
        assert_eq!(ask(&harness, &harness.token().await).await, refused(400, "TOKEN_KEY_UNKNOWN"), "{member}");
    }
}

#[tokio::test]
async fn without_a_list_of_algorithms_only_rs256_is_believed() {
    let harness = Harness::new().await;
    let mut document = harness.issuer.document();
    document.as_object_mut().unwrap().remove("id_token_signing_alg_values_supported");
    harness.issuer.discovery(Answer::Json(document));
    assert_eq!(ask(&harness, &harness.token().await).await, served());
    let claims = harness.issuer.claims(harness.now_s());
    let token = sign(&harness.issuer.p256, &json!({ "alg": "ES256", "kid": "p256" }), &claims).await;
    assert_eq!(ask(&harness, &token).await, refused(400, "TOKEN_ALGORITHM_REFUSED"));
}
