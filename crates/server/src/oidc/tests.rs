// SPDX-License-Identifier: Apache-2.0
//! The issuer over its router: the whole code flow, and what it refuses.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use touchmark_keys::KeyType;
use touchmark_keys::sha256;
use touchmark_signers::EphemeralSigner;
use tower::ServiceExt;

use super::*;
use crate::fulcio::tests::harness::{NOW_S, TestClock};

const URL: &str = "http://127.0.0.1:7701/oidc";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn issuer() -> OidcIssuer {
    let signer = Arc::new(EphemeralSigner::generate(KeyType::Rsa2048).unwrap());
    OidcIssuer::new(Url::parse(URL).unwrap(), signer, TestClock::new()).unwrap()
}

struct Reply {
    status: u16,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn location(&self) -> Url {
        Url::parse(self.headers["location"].to_str().unwrap()).unwrap()
    }
}

async fn send(issuer: &OidcIssuer, request: axum::http::request::Builder, body: String) -> Reply {
    let request = request.body(Body::from(body)).unwrap();
    let response = router(issuer.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Reply { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
}

async fn get_path(issuer: &OidcIssuer, path: &str) -> Reply {
    send(issuer, Request::get(path).header("host", "127.0.0.1:7701"), String::new()).await
}

async fn post_form(issuer: &OidcIssuer, path: &str, fields: &[(&str, &str)]) -> Reply {
    let request = Request::post(path)
        .header("host", "localhost:7701")
        .header("content-type", "application/x-www-form-urlencoded");
    send(issuer, request, form(fields)).await
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

const REQUEST: [(&str, &str); 8] = [
    ("response_type", "code"),
    ("client_id", "sigstore"),
    ("redirect_uri", "http://localhost:4321/auth/callback"),
    ("scope", "openid email"),
    ("state", "st&te"),
    ("nonce", "n0nce"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

fn changed<'a>(name: &str, value: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    let replaced = REQUEST.into_iter().map(|(field, old)| (field, if field == name { value } else { Some(old) }));
    replaced.filter_map(|(field, value)| value.map(|value| (field, value))).collect()
}

async fn log_in(issuer: &OidcIssuer, email: &str) -> Reply {
    let mut fields = REQUEST.to_vec();
    fields.push(("email", email));
    post_form(issuer, "/oidc/auth", &fields).await
}

fn code_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 303, "{}", reply.body);
    let location = reply.location();
    location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned()
}

fn exchange_fields<'a>(code: &'a str, verifier: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "http://localhost:4321/auth/callback"),
        ("client_id", "sigstore"),
        ("code_verifier", verifier),
    ]
}

/// Verifies with the published key, and gives header and claims.
async fn read(issuer: &OidcIssuer, token: &str) -> (Value, Value) {
    let keys = get_path(issuer, "/oidc/keys").await.json();
    let jwk = serde_json::from_value(keys["keys"][0].clone()).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    assert!(jsonwebtoken::crypto::verify(signature, input.as_bytes(), &key, Algorithm::RS256).unwrap());
    let (header, claims) = input.split_once('.').unwrap();
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let header: Value = part(header);
    assert_eq!(header["kid"], keys["keys"][0]["kid"]);
    (header, part(claims))
}

#[tokio::test]
async fn discovery_names_the_issuer_exactly_and_warns() {
    let issuer = issuer();
    let document = get_path(&issuer, "/oidc/.well-known/openid-configuration").await.json();
    assert_eq!(document["issuer"], URL);
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        assert!(document[name].as_str().unwrap().starts_with(&format!("{URL}/")), "{name}");
    }
    assert_eq!(document["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert!(document["touchmark_notice"].as_str().unwrap().contains("TRY-OUT"));
    let key = &get_path(&issuer, "/oidc/keys").await.json()["keys"][0];
    assert_eq!(
        (key["kty"].as_str(), key["alg"].as_str(), key["use"].as_str()),
        (Some("RSA"), Some("RS256"), Some("sig"))
    );
    assert!(key.get("d").is_none());
}

#[tokio::test]
async fn a_local_token_has_the_claims_that_clients_read() {
    let issuer = issuer();
    let (header, claims) = read(&issuer, &issuer.token("alice@example.com").await.unwrap()).await;
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("RS256"), Some("JWT")));
    assert_eq!(claims["iss"], URL);
    assert_eq!(claims["aud"], "sigstore");
    assert_eq!(claims["email"], "alice@example.com");
    assert_eq!(claims["email_verified"], true);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
    assert_eq!(claims["iat"], NOW_S);
    assert_ne!(claims["sub"], "alice@example.com");
    for email in ["", "alice", "a b@c.d", "alice@example.com\n"] {
        assert_eq!(issuer.token(email).await, Err(TokenError::Email), "{email:?}");
    }
}

#[tokio::test]
async fn the_code_flow_gives_both_tokens_once() {
    let issuer = issuer();
    let page = get_path(&issuer, &format!("/oidc/auth?{}", form(&REQUEST))).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("TRY-OUT") && page.body.contains("name=email"));

    let reply = log_in(&issuer, " alice@example.com ").await;
    let location = reply.location();
    assert_eq!(location.origin().ascii_serialization(), "http://localhost:4321");
    assert!(location.query_pairs().any(|(name, value)| name == "state" && value == "st&te"));
    let code = code_of(&reply);

    let tokens = post_form(&issuer, "/oidc/token", &exchange_fields(&code, VERIFIER)).await;
    assert_eq!(
        (tokens.status, tokens.headers["cache-control"].to_str().unwrap()),
        (200, "no-store"),
        "{}",
        tokens.body
    );
    let tokens = tokens.json();
    assert_eq!((tokens["token_type"].as_str(), tokens["expires_in"].as_u64()), (Some("Bearer"), Some(600)));
    let access_token = tokens["access_token"].as_str().unwrap();
    let (_, access) = read(&issuer, access_token).await;
    let (_, identity) = read(&issuer, tokens["id_token"].as_str().unwrap()).await;
    for claim in ["iss", "sub", "aud", "exp", "iat", "email", "email_verified"] {
        assert_eq!(access[claim], identity[claim], "{claim}");
    }
    assert_eq!(identity["nonce"], "n0nce");
    assert_eq!(identity["at_hash"], URL_SAFE_NO_PAD.encode(&sha256(access_token.as_bytes())[..16]));

    let again = post_form(&issuer, "/oidc/token", &exchange_fields(&code, VERIFIER)).await;
    assert_eq!((again.status, again.json()["error"].as_str()), (400, Some("invalid_grant")));
}

#[tokio::test]
async fn codes_are_worth_nothing_without_verifier_client_and_redirect() {
    let issuer = issuer();
    let cases: [(&str, Option<&str>, u16, &str); 7] = [
        ("code_verifier", Some("x"), 400, "invalid_grant"),
        ("code_verifier", None, 400, "invalid_grant"),
        ("redirect_uri", Some("http://localhost:4321/other"), 400, "invalid_grant"),
        ("redirect_uri", None, 400, "invalid_request"),
        ("client_id", Some("other"), 401, "invalid_client"),
        ("client_id", None, 401, "invalid_client"),
        ("grant_type", Some("refresh_token"), 400, "unsupported_grant_type"),
    ];
    for (name, value, status, error) in cases {
        let code = code_of(&log_in(&issuer, "alice@example.com").await);
        let fields = exchange_fields(&code, VERIFIER).into_iter();
        let fields = fields.map(|(field, old)| (field, if field == name { value } else { Some(old) }));
        let fields: Vec<_> = fields.filter_map(|(field, value)| value.map(|value| (field, value))).collect();
        let reply = post_form(&issuer, "/oidc/token", &fields).await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (status, Some(error)), "{name} {value:?}");
    }
    let reply = post_form(&issuer, "/oidc/token", &[("code", "a"), ("code", "b")]).await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_request")));
}

#[tokio::test]
async fn the_client_may_name_itself_by_basic_authentication() {
    let issuer = issuer();
    let code = code_of(&log_in(&issuer, "alice@example.com").await);
    let mut fields = exchange_fields(&code, VERIFIER);
    fields.retain(|(name, _)| *name != "client_id");
    let request = Request::post("/oidc/token")
        .header("host", "127.0.0.1")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Basic {}", STANDARD.encode("sigstore:whatever")));
    assert_eq!(send(&issuer, request, form(&fields)).await.status, 200);
}

#[tokio::test]
async fn nobody_is_redirected_but_to_loopback() {
    let issuer = issuer();
    for redirect_uri in [
        None,
        Some(""),
        Some("https://localhost:4321/cb"),
        Some("http://evil.example/cb"),
        Some("http://localhost.evil.example/cb"),
        Some("http://127.0.0.1.evil.example/cb"),
        Some("http://localhost@evil.example/cb"),
        Some("http://user@localhost/cb"),
        Some("http://localhost:1/cb#fragment"),
        Some("http://10.0.0.1/cb"),
        Some("javascript:alert(1)"),
        Some("urn:ietf:wg:oauth:2.0:oob"),
    ] {
        let fields = changed("redirect_uri", redirect_uri);
        let page = get_path(&issuer, &format!("/oidc/auth?{}", form(&fields))).await;
        assert_eq!((page.status, page.headers.get("location")), (400, None), "{redirect_uri:?}");
        let mut fields = fields;
        fields.push(("email", "alice@example.com"));
        let posted = post_form(&issuer, "/oidc/auth", &fields).await;
        assert_eq!((posted.status, posted.headers.get("location")), (400, None), "{redirect_uri:?}");
    }
    for redirect_uri in ["http://localhost/cb", "http://127.0.0.1:9/cb?x=1", "http://[::1]:9/"] {
        let fields = changed("redirect_uri", Some(redirect_uri));
        assert_eq!(get_path(&issuer, &format!("/oidc/auth?{}", form(&fields))).await.status, 200, "{redirect_uri}");
    }
}

#[tokio::test]
async fn requests_without_pkce_or_with_other_flows_are_sent_back_with_an_error() {
    let issuer = issuer();
    for (name, value, error) in [
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", Some("id_token"), "unsupported_response_type"),
        ("scope", Some("email"), "invalid_scope"),
        ("scope", None, "invalid_scope"),
    ] {
        let reply = get_path(&issuer, &format!("/oidc/auth?{}", form(&changed(name, value)))).await;
        assert_eq!(reply.status, 303, "{name} {value:?}");
        let location = reply.location();
        let parameters: Vec<(String, String)> = location.query_pairs().into_owned().collect();
        assert!(parameters.contains(&("error".to_owned(), error.to_owned())), "{name} {value:?}: {location}");
        assert!(parameters.contains(&("state".to_owned(), "st&te".to_owned())));
    }
    let other_client = get_path(&issuer, &format!("/oidc/auth?{}", form(&changed("client_id", Some("x"))))).await;
    assert_eq!(other_client.status, 400);
}

#[tokio::test]
async fn the_page_escapes_what_it_is_given_and_cannot_be_framed_or_scripted() {
    let issuer = issuer();
    let nasty = "\"><script>alert('x')</script>&";
    for name in ["state", "nonce", "scope"] {
        let value = if name == "scope" { format!("openid {nasty}") } else { nasty.to_owned() };
        let page = get_path(&issuer, &format!("/oidc/auth?{}", form(&changed(name, Some(&value))))).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("<script") && page.body.contains("&lt;script"), "{name}");
    }
    let page = get_path(&issuer, &format!("/oidc/auth?{}", form(&REQUEST))).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self' http://localhost:4321"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    assert_eq!(page.headers["x-frame-options"], "DENY");
    assert_eq!(page.headers["cache-control"], "no-store");
    let wrong = log_in(&issuer, "<script>@x").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("name=email") && !wrong.body.contains("<script"));
}

#[tokio::test]
async fn foreign_names_and_foreign_pages_get_nothing() {
    let issuer = issuer();
    for host in ["evil.example", "127.0.0.1.evil.example:7701", "localhost.evil.example", "10.0.0.1:7701"] {
        for path in ["/oidc/.well-known/openid-configuration", "/oidc/keys", "/oidc/auth"] {
            let reply = send(&issuer, Request::get(path).header("host", host), String::new()).await;
            assert_eq!(reply.status, 421, "{host} {path}");
        }
    }
    assert_eq!(send(&issuer, Request::get("/oidc/keys"), String::new()).await.status, 421);
    assert_eq!(send(&issuer, Request::get("/oidc/keys").header("host", "[::1]:7701"), String::new()).await.status, 200);

    let mut fields = REQUEST.to_vec();
    fields.push(("email", "alice@example.com"));
    for site in ["cross-site", "same-site"] {
        let request = Request::post("/oidc/auth")
            .header("host", "127.0.0.1:7701")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", site);
        let reply = send(&issuer, request, form(&fields)).await;
        assert_eq!((reply.status, reply.headers.get("location")), (400, None), "{site}");
    }
}

#[tokio::test]
async fn oversize_forms_and_other_methods_are_refused() {
    let issuer = issuer();
    let large = "a".repeat(FORM_BYTES_MAX + 1);
    assert_eq!(post_form(&issuer, "/oidc/auth", &[("email", &large)]).await.status, 400);
    assert_eq!(post_form(&issuer, "/oidc/token", &[("code", &large)]).await.status, 400);
    assert_eq!(get_path(&issuer, "/oidc/token").await.status, 405);
}

#[test]
fn an_issuer_that_is_not_on_loopback_or_has_no_rsa_key_does_not_start() {
    let signer = |key_type| Arc::new(EphemeralSigner::generate(key_type).unwrap()) as Arc<dyn Signer>;
    let start =
        |url: &str, key_type| OidcIssuer::new(Url::parse(url).unwrap(), signer(key_type), TestClock::new()).err();
    for url in [
        "https://127.0.0.1/oidc",
        "http://example.com/oidc",
        "http://10.0.0.1/oidc",
        "http://127.0.0.1:1/",
        "http://127.0.0.1/oidc?x",
    ] {
        assert!(matches!(start(url, KeyType::Rsa2048), Some(OidcStartError::NotLoopback { .. })), "{url}");
    }
    assert_eq!(start(URL, KeyType::EcdsaP256), Some(OidcStartError::KeyType));
    assert_eq!(start("http://127.0.0.1:7701/oidc/", KeyType::Rsa2048), None);
}

#[tokio::test]
async fn fulcio_accepts_its_tokens_over_discovery_like_any_issuers() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/oidc", listener.local_addr().unwrap());
    let signer = Arc::new(EphemeralSigner::generate(KeyType::Rsa2048).unwrap());
    let issuer = OidcIssuer::new(Url::parse(&url).unwrap(), signer, TestClock::new()).unwrap();
    let routes = router(issuer.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let token = issuer.token("alice@example.com").await.unwrap();
    let (status, reply) = crate::fulcio::tests::harness::certificate_for(&url, &token, "alice@example.com").await;
    assert_eq!(status, 200, "{reply}");
}
