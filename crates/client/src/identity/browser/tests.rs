// SPDX-License-Identifier: Apache-2.0
//! The browser flow against a small issuer on loopback, and what its listener refuses.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Form, State};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::HashMap;
use touchmark_outbound::Reach;

use super::*;

const STATE: &str = "the-state";

#[test]
fn only_the_own_state_makes_a_callback() {
    let check = |target: &str, expected: Callback| assert_eq!(read_callback(target, STATE), expected, "{target}");
    check("/auth/callback?state=the-state&code=c%201", Callback::Code("c 1".to_owned()));
    check("/auth/callback?code=c&state=another", Callback::Foreign);
    check("/auth/callback?code=c", Callback::Foreign);
    check("/auth/callback?state=the-state", Callback::Foreign);
    check("/auth/callback?state=the-state&code=", Callback::Foreign);
    check("/auth/callback?state=the-state&state=the-state&code=c", Callback::Foreign);
    check("/auth/callback?state=the-state&code=c&code=d", Callback::Foreign);
    check("/auth/callback?state=another&error=access_denied", Callback::Foreign);
    check("/favicon.ico", Callback::Foreign);
    check("/?state=the-state&code=c", Callback::Foreign);
    check("/auth/callback?state=the-state&error=access_denied&error_description=no", Callback::Denied("no".to_owned()));
}

#[test]
fn addresses_of_a_provider_are_https_or_loopback() {
    for good in ["https://a.example/x", "http://127.0.0.1:5/x", "http://localhost/x", "http://[::1]:9/"] {
        assert!(secure("token", good).is_ok(), "{good}");
    }
    for bad in ["http://a.example/x", "http://localhost.evil.example/", "ftp://127.0.0.1/", "x"] {
        assert!(secure("token", bad).is_err(), "{bad}");
    }
}

#[test]
fn a_provider_without_s256_or_with_another_name_is_refused() {
    let discovery = |issuer: &str, method: &str| Discovery {
        issuer: issuer.to_owned(),
        authorization_endpoint: "https://i.example/auth".to_owned(),
        token_endpoint: "https://i.example/token".to_owned(),
        code_challenge_methods_supported: vec![method.to_owned()],
    };
    let from = |d| Provider::from_discovery(d, "https://i.example").map(|_| ());
    from(discovery("https://i.example", "S256")).unwrap();
    assert!(matches!(from(discovery("https://i.example", "plain")), Err(IdentityError::ProviderWithoutPkce)));
    assert!(matches!(from(discovery("https://i.example/", "S256")), Err(IdentityError::ProviderMismatch { .. })));
}

#[tokio::test]
async fn a_login_brings_the_token() {
    let issuer = TestIssuer::start(Lie::None).await;
    let token = issuer.login(Browser::Honest).await.unwrap();
    assert_eq!(token.claims().subject, "alice");
}

#[tokio::test]
async fn a_forged_state_is_ignored_and_the_real_login_still_works() {
    let issuer = TestIssuer::start(Lie::None).await;
    issuer.login(Browser::ForgeriesFirst(3)).await.unwrap();
}

#[tokio::test]
async fn too_many_forgeries_end_the_login() {
    let issuer = TestIssuer::start(Lie::None).await;
    let error = issuer.login(Browser::ForgeriesFirst(BAD_CALLBACKS_MAX)).await.unwrap_err();
    assert!(matches!(error, IdentityError::LoginDisturbed { .. }), "{error}");
}

#[tokio::test]
async fn a_token_for_another_login_audience_or_issuer_is_refused() {
    for (lie, what) in [(Lie::Nonce, "nonce"), (Lie::Issuer, "issuer"), (Lie::Audience, "audience")] {
        let error = TestIssuer::start(lie).await.login(Browser::Honest).await.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Lie {
    None,
    Nonce,
    Issuer,
    Audience,
}

#[derive(Clone, Copy)]
enum Browser {
    Honest,
    ForgeriesFirst(u32),
}

/// Gives a token for any code whose verifier fits the challenge.
#[derive(Clone)]
struct TestIssuer {
    url: String,
    lie: Lie,
    query: Arc<Mutex<HashMap<String, String>>>,
}

impl TestIssuer {
    async fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/oidc", listener.local_addr().unwrap());
        let issuer = Self { url, lie, query: Arc::default() };
        let router = axum::Router::new()
            .route("/oidc/.well-known/openid-configuration", get(discovery))
            .route("/oidc/token", post(exchange))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    async fn login(&self, browser: Browser) -> Result<IdentityToken, IdentityError> {
        let outbound = Outbound::new("touchmark-test", Reach::Private, None);
        let query = self.query.clone();
        login(&outbound, &self.url, "sigstore", move |url| {
            let pairs: HashMap<String, String> = url.query_pairs().into_owned().collect();
            *query.lock().unwrap() = pairs.clone();
            tokio::spawn(browse(pairs, browser));
        })
        .await
    }
}

async fn discovery(State(issuer): State<TestIssuer>) -> Json<Value> {
    Json(json!({
        "issuer": issuer.url,
        "authorization_endpoint": format!("{}/auth", issuer.url),
        "token_endpoint": format!("{}/token", issuer.url),
        "code_challenge_methods_supported": ["S256"],
    }))
}

async fn exchange(State(issuer): State<TestIssuer>, Form(form): Form<HashMap<String, String>>) -> Json<Value> {
    let query = issuer.query.lock().unwrap().clone();
    let challenge = URL_SAFE_NO_PAD.encode(touchmark_keys::sha256(form["code_verifier"].as_bytes()));
    assert_eq!(query["code_challenge"], challenge);
    assert_eq!(form["redirect_uri"], query["redirect_uri"]);
    assert_eq!(form["code"], "the-code");
    let or = |lie, wrong: &str, right: &str| if issuer.lie == lie { wrong.to_owned() } else { right.to_owned() };
    let claims = json!({
        "iss": or(Lie::Issuer, "https://other.example", &issuer.url),
        "aud": or(Lie::Audience, "other", "sigstore"),
        "nonce": or(Lie::Nonce, "other", &query["nonce"]),
        "sub": "alice", "exp": 2_000_000_000_u64,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.{}", part(&json!({"alg": "RS256"})), part(&claims), "c2ln");
    Json(json!({"id_token": token, "access_token": "opaque", "token_type": "Bearer"}))
}

/// What a browser does with the address, after some requests that an attacker's page makes.
async fn browse(query: HashMap<String, String>, browser: Browser) {
    let redirect = Url::parse(&query["redirect_uri"]).unwrap();
    let port = redirect.port().unwrap();
    if let Browser::ForgeriesFirst(count) = browser {
        for _ in 0..count {
            request(port, "/auth/callback?state=guessed&code=evil").await;
        }
    }
    request(port, &format!("/auth/callback?code=the-code&state={}", query["state"])).await;
}

async fn request(port: u16, target: &str) {
    let outbound = Outbound::new("a browser", Reach::Private, None);
    let url = Url::parse(&format!("http://127.0.0.1:{port}{target}")).unwrap();
    let _ = outbound.get(&url, &Limits::SERVICE).await;
}
