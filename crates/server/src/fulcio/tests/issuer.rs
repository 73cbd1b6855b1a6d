// SPDX-License-Identifier: Apache-2.0
//! An OpenID Connect issuer on loopback that says whatever a test wants it to say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use touchmark_keys::{KeyType, Scheme};
use touchmark_signers::{EphemeralSigner, Signer};

/// What an address of the issuer answers.
#[derive(Clone)]
pub(super) enum Answer {
    Json(Value),
    Redirect(String),
    Status(u16),
    Bytes(usize),
}

pub(super) struct FakeIssuer {
    pub(super) url: String,
    /// RSA, P-256 and Ed25519, all published.
    pub(super) rsa: EphemeralSigner,
    pub(super) p256: EphemeralSigner,
    pub(super) ed25519: EphemeralSigner,
    site: Arc<Site>,
}

struct Site {
    discovery: Mutex<Answer>,
    keys: Mutex<Answer>,
    discovery_requests: AtomicUsize,
    keys_requests: AtomicUsize,
    /// The `Authorization` of each request that had one.
    authorizations: Mutex<Vec<String>>,
    /// Taken for the time of an answer: a test that holds it makes the issuer slow.
    answering: Arc<tokio::sync::Mutex<()>>,
}

impl FakeIssuer {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let generate = |key_type| EphemeralSigner::generate(key_type).unwrap();
        let site = Arc::new(Site {
            discovery: Mutex::new(Answer::Status(500)),
            keys: Mutex::new(Answer::Status(500)),
            discovery_requests: AtomicUsize::new(0),
            keys_requests: AtomicUsize::new(0),
            authorizations: Mutex::default(),
            answering: Arc::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(Arc::clone(&site));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let issuer = Self {
            url,
            rsa: generate(KeyType::Rsa2048),
            p256: generate(KeyType::EcdsaP256),
            ed25519: generate(KeyType::Ed25519),
            site,
        };
        issuer.discovery(Answer::Json(issuer.document()));
        issuer.keys(Answer::Json(json!({ "keys": issuer.jwks() })));
        issuer
    }

    /// A truthful discovery document.
    pub(super) fn document(&self) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": format!("{}/keys", self.url),
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA", "HS256", "none"],
        })
    }

    pub(super) fn jwks(&self) -> Vec<Value> {
        vec![
            jwk(&self.rsa, "rsa"),
            jwk(&self.p256, "p256"),
            jwk(&self.ed25519, "ed25519"),
            json!({ "kty": "oct", "kid": "hmac", "k": "c2VjcmV0" }),
            json!({ "kty": "future", "kid": "unknown" }),
        ]
    }

    pub(super) fn discovery(&self, answer: Answer) {
        *self.site.discovery.lock().unwrap() = answer;
    }

    pub(super) fn keys(&self, answer: Answer) {
        *self.site.keys.lock().unwrap() = answer;
    }

    /// Answers nothing until the guard is dropped.
    pub(super) async fn silence(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.site.answering).lock_owned().await
    }

    /// Requests so far: of the discovery document, of the keys.
    pub(super) fn requests(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.site.discovery_requests), count(&self.site.keys_requests))
    }

    pub(super) fn authorizations(&self) -> Vec<String> {
        self.site.authorizations.lock().unwrap().clone()
    }

    /// What a token of an e-mail identity says.
    pub(super) fn claims(&self, now_s: u64) -> Value {
        json!({
            "iss": self.url, "sub": "subject-1", "aud": "sigstore", "iat": now_s, "exp": now_s + 60,
            "email": "alice@example.com", "email_verified": true,
        })
    }

    pub(super) async fn token(&self, claims: &Value) -> String {
        sign(&self.rsa, &json!({ "alg": "RS256", "kid": "rsa" }), claims).await
    }
}

impl Site {
    fn note(&self, headers: &HeaderMap) {
        let value = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        self.authorizations.lock().unwrap().extend(value);
    }
}

async fn discovery(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    site.note(&headers);
    site.discovery_requests.fetch_add(1, Ordering::SeqCst);
    let _turn = site.answering.lock().await;
    let answer = site.discovery.lock().unwrap().clone();
    respond(answer)
}

async fn keys(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    site.note(&headers);
    site.keys_requests.fetch_add(1, Ordering::SeqCst);
    let _turn = site.answering.lock().await;
    let answer = site.keys.lock().unwrap().clone();
    respond(answer)
}

fn respond(answer: Answer) -> Response {
    let builder = Response::builder();
    match answer {
        Answer::Json(value) => builder.body(value.to_string().into()),
        Answer::Redirect(to) => builder.status(302).header("location", to).body(axum::body::Body::empty()),
        Answer::Status(status) => builder.status(status).body(axum::body::Body::empty()),
        Answer::Bytes(length) => builder.body(vec![b' '; length].into()),
    }
    .unwrap()
}

/// The public key as a JWK, made here with nothing of the code under test.
pub(super) fn jwk(signer: &EphemeralSigner, kid: &str) -> Value {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let raw = signer.public_key().raw();
    match signer.public_key().key_type() {
        KeyType::EcdsaP256 => {
            json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": encode(&raw[1..33]), "y": encode(&raw[33..65]) })
        }
        KeyType::Ed25519 => json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(raw) }),
        // SEQUENCE { INTEGER of 257 bytes with its sign octet, INTEGER 65537 } of a 2048 bit key.
        _ => json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": encode(&raw[9..265]), "e": "AQAB" }),
    }
}

pub(super) async fn sign(signer: &EphemeralSigner, header: &Value, claims: &Value) -> String {
    sign_text(signer, &header.to_string(), &claims.to_string()).await
}

pub(super) async fn sign_text(signer: &EphemeralSigner, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = signer.sign(input.as_bytes()).await.unwrap();
    let signature = if signer.scheme() == Scheme::EcdsaP256Sha256 { fixed(&signature) } else { signature };
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// RFC 7518 §3.4: r and s side by side, 32 bytes each.
fn fixed(der: &[u8]) -> Vec<u8> {
    let r_length = usize::from(der[3]);
    let r = &der[4..4 + r_length];
    let s = &der[6 + r_length..];
    let mut out = Vec::new();
    for integer in [r, s] {
        let digits = &integer[integer.iter().take_while(|byte| **byte == 0).count()..];
        out.extend(std::iter::repeat_n(0, 32 - digits.len()));
        out.extend(digits);
    }
    out
}
