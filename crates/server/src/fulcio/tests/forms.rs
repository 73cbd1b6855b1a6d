// SPDX-License-Identifier: Apache-2.0
//! One request in each of its forms (v2 over HTTP, gRPC, v1 over HTTP): the same decision in the same words.
//!
//! The messages of gRPC are written a second time here, from the public schema, so that a wrong number in the server is seen.

use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_sigstore::x509::Certificate;
use tower::ServiceExt;

use super::harness::{Harness, challenge, csr_pem, csr_request, csr_text_request};
use crate::http::grpc::about;
use crate::http::layers::{CrossOrigin, around};
use crate::http::listener::{self, Stop};

#[derive(Clone, PartialEq, Message)]
struct SigningRequest {
    #[prost(message, optional, tag = "1")]
    credentials: Option<Text>,
    #[prost(message, optional, tag = "2")]
    public_key_request: Option<PublicKeyRequest>,
    #[prost(bytes = "vec", tag = "3")]
    csr: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PublicKeyRequest {
    #[prost(message, optional, tag = "1")]
    public_key: Option<PublicKey>,
    #[prost(bytes = "vec", tag = "2")]
    proof: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PublicKey {
    #[prost(int32, tag = "1")]
    algorithm: i32,
    #[prost(string, tag = "2")]
    content: String,
}

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
}

/// A chain in a message of its own: a trust bundle of one chain, and at number 2 a certificate with its SCT inside.
#[derive(Clone, PartialEq, Message)]
struct Signed {
    #[prost(message, optional, tag = "2")]
    embedded: Option<OneChain>,
}

#[derive(Clone, PartialEq, Message)]
struct OneChain {
    #[prost(message, required, tag = "1")]
    chain: Texts,
}

#[derive(Clone, PartialEq, Message)]
struct OneIssuer {
    #[prost(message, required, tag = "1")]
    issuer: OidcIssuer,
}

#[derive(Clone, PartialEq, Message)]
struct OidcIssuer {
    #[prost(string, tag = "1")]
    issuer_url: String,
    #[prost(string, tag = "3")]
    audience: String,
    #[prost(string, tag = "4")]
    challenge_claim: String,
    #[prost(string, tag = "6")]
    issuer_type: String,
}

/// `google.rpc.Status`, for its first reason.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

/// The service of a harness behind a real listener, until this is dropped.
struct Served {
    channel: Channel,
    _switch: watch::Sender<bool>,
}

impl Served {
    async fn new(harness: &Harness) -> Self {
        let (listener, address) = listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (switch, stop) = Stop::pair();
        let about = about::router(&[crate::fulcio::grpc::about(harness.health.clone())], &stop);
        let router = harness.router.clone().merge(about).fallback(crate::http::unknown_path);
        tokio::spawn(listener::serve(listener, listener::Transport::Plain, around(router, CrossOrigin::Any), stop));
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { channel, _switch: switch }
    }

    async fn call<Q, A>(&self, method: &str, request: impl tonic::IntoRequest<Q>) -> Result<tonic::Response<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/dev.sigstore.fulcio.v2.CA/{method}")).unwrap();
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        client.unary(request.into_request(), path, ProstCodec::default()).await
    }

    async fn sign(&self, request: impl tonic::IntoRequest<SigningRequest>) -> Result<tonic::Response<Signed>, Status> {
        self.call("CreateSigningCertificate", request).await
    }
}

/// A request of JSON as one of gRPC.
fn to_message(body: &Value) -> SigningRequest {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bytes = |value: &Value| STANDARD.decode(text(value)).unwrap();
    let public_key_request = |request: &Value| PublicKeyRequest {
        public_key: request.get("publicKey").map(|key| PublicKey { algorithm: 2, content: text(&key["content"]) }),
        proof: bytes(&request["proofOfPossession"]),
    };
    SigningRequest {
        credentials: body.get("credentials").map(|credentials| Text { text: text(&credentials["oidcIdentityToken"]) }),
        public_key_request: body.get("publicKeyRequest").map(public_key_request),
        csr: bytes(&body["certificateSigningRequest"]),
    }
}

/// The same as a request of v1: its body and its header.
fn to_v1(body: &Value) -> (Value, String) {
    let token = body["credentials"]["oidcIdentityToken"].as_str().unwrap_or_default().to_owned();
    let mut v1 = json!({});
    if let Some(request) = body.get("publicKeyRequest") {
        let content = STANDARD.encode(request["publicKey"]["content"].as_str().unwrap_or_default());
        v1["publicKey"] = json!({ "content": content, "algorithm": "ecdsa" });
        v1["signedEmailAddress"] = request["proofOfPossession"].clone();
    }
    if let Some(csr) = body.get("certificateSigningRequest") {
        v1["certificateSigningRequest"] = csr.clone();
    }
    (v1, format!("Bearer {token}"))
}

async fn send_v1(harness: &Harness, body: &Value, authorization: &str) -> (u16, HeaderMap, String) {
    let request = Request::post("/api/v1/signingCert").header("authorization", authorization);
    let response = harness.router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// A refusal of JSON: code, message, reason.
fn told(reply: &Value) -> (i32, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let code = i32::try_from(reply["code"].as_i64().unwrap_or_default()).unwrap();
    (code, text(&reply["message"]), text(&reply["details"][0]["reason"]))
}

fn told_over_grpc(status: &Status) -> (i32, String, String) {
    let details = RpcStatus::decode(status.details()).unwrap();
    assert_eq!((details.code, details.message.as_str()), (status.code().into(), status.message()));
    let [detail] = details.details.as_slice() else { panic!("{details:?}") };
    assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.ErrorInfo");
    let info = ErrorInfo::decode(detail.value.as_slice()).unwrap();
    assert_eq!(info.domain, "fulcio.touchmark");
    (status.code().into(), status.message().to_owned(), info.reason)
}

fn p256() -> EphemeralSigner {
    EphemeralSigner::generate(KeyType::EcdsaP256).unwrap()
}

const TOKEN: &str = "There was an error processing the identity token";
const KEY_UNREADABLE: &str = "The public key supplied in the request could not be parsed";
const KEY_INSECURE: &str = "The public key supplied in the request is insecure";
const SIGNATURE: &str = "The signature supplied in the request could not be verified";
const CSR_UNREADABLE: &str = "The certificate signing request could not be parsed";

/// Every text that a client can be to blame for: a request, the text, the reason.
async fn refusals(harness: &Harness) -> Vec<(Value, &'static str, &'static str)> {
    let token = harness.token().await;
    let alice = "alice@example.com";
    let with_key = |pem: &str| {
        json!({
            "credentials": { "oidcIdentityToken": token },
            "publicKeyRequest": { "publicKey": { "content": pem }, "proofOfPossession": "AQI=" },
        })
    };
    let csr = |pem: &str| csr_text_request(&token, pem);
    let of_another_key = csr_pem(&p256(), &p256()).await;
    let pss = "unrecognized signature algorithm: SHA256-RSAPSS";
    let p384 = "signing algorithm not permitted: *ecdsa.PublicKey, SHA-256";
    let sha512 = "signing algorithm not permitted: *rsa.PublicKey, SHA-512";
    vec![
        (challenge("", &p256(), alice).await, TOKEN, "TOKEN_MISSING"),
        (challenge("a.b.c", &p256(), alice).await, TOKEN, "TOKEN_MALFORMED"),
        (challenge(&format!("{token}x"), &p256(), alice).await, TOKEN, "TOKEN_SIGNATURE_INVALID"),
        (with_key(""), KEY_UNREADABLE, "KEY_UNREADABLE"),
        (with_key("garbage"), KEY_UNREADABLE, "KEY_UNREADABLE"),
        (with_key(include_str!("data/rsa1024.pem")), KEY_INSECURE, "KEY_INSECURE"),
        (with_key(include_str!("data/rsa-e3.pem")), KEY_INSECURE, "KEY_INSECURE"),
        (with_key(include_str!("data/p224.pem")), KEY_INSECURE, "KEY_INSECURE"),
        (with_key(&p256().public_key().to_pem()), SIGNATURE, "POSSESSION_NOT_PROVEN"),
        (challenge(&token, &p256(), "subject-1").await, SIGNATURE, "POSSESSION_NOT_PROVEN"),
        (csr("garbage"), CSR_UNREADABLE, "CSR_UNREADABLE"),
        (csr(&of_another_key), SIGNATURE, "POSSESSION_NOT_PROVEN"),
        (csr(include_str!("data/dsa.csr.pem")), KEY_INSECURE, "KEY_INSECURE"),
        (csr(include_str!("data/rsa-sha1.csr.pem")), SIGNATURE, "POSSESSION_NOT_PROVEN"),
        (csr(include_str!("data/rsa-pss-sha256.csr.pem")), pss, "CSR_ALGORITHM_REFUSED"),
        (csr(include_str!("data/p384-signed-with-sha256.csr.pem")), p384, "ALGORITHM_NOT_ALLOWED"),
        (csr(include_str!("data/rsa-sha512-other-name.csr.pem")), sha512, "ALGORITHM_NOT_ALLOWED"),
    ]
}

#[tokio::test]
async fn a_refusal_has_the_public_text_and_a_reason_in_every_form() {
    let harness = Harness::new().await;
    let served = Served::new(&harness).await;
    for (body, message, reason) in refusals(&harness).await {
        let expect = (3, message.to_owned(), reason.to_owned());
        let (status, reply) = harness.post(&body).await;
        assert_eq!((status, told(&reply)), (400, expect.clone()), "{body}");
        let refused = served.sign(to_message(&body)).await.unwrap_err();
        assert_eq!(told_over_grpc(&refused), expect, "{body}");
        assert_eq!(refused.metadata().get("x-request-id").unwrap().len(), 32);
        let (v1, authorization) = to_v1(&body);
        let (status, headers, reply) = send_v1(&harness, &v1, &authorization).await;
        assert_eq!((status, told(&serde_json::from_str(&reply).unwrap())), (400, expect), "{v1}");
        assert_eq!(headers["x-request-id"].len(), 32);
    }
}

#[tokio::test]
async fn without_any_key_v1_says_so_before_it_looks_at_the_token() {
    let harness = Harness::new().await;
    let served = Served::new(&harness).await;
    let token = harness.token().await;
    for authorization in ["", "Bearer nonsense", &format!("Bearer {token}")] {
        let (status, _, reply) = send_v1(&harness, &json!({}), authorization).await;
        let expect = (3, KEY_UNREADABLE.to_owned(), "KEY_UNREADABLE".to_owned());
        assert_eq!((status, told(&serde_json::from_str(&reply).unwrap())), (400, expect));
    }
    // v2 looks at the token first.
    let refused = served.sign(SigningRequest::default()).await.unwrap_err();
    assert_eq!(told_over_grpc(&refused), (3, TOKEN.to_owned(), "TOKEN_MISSING".to_owned()));
    let with_token = SigningRequest { credentials: Some(Text { text: token }), ..SigningRequest::default() };
    let refused = served.sign(with_token).await.unwrap_err();
    assert_eq!(told_over_grpc(&refused), (3, KEY_UNREADABLE.to_owned(), "KEY_UNREADABLE".to_owned()));
}

#[tokio::test]
async fn v1_gives_a_pem_chain_for_a_key_in_der_or_pem_and_for_a_csr() {
    let harness = Harness::new().await;
    let authorization = format!("Bearer {}", harness.token().await);
    let signer = p256();
    let proof = STANDARD.encode(signer.sign(b"alice@example.com").await.unwrap());
    let key =
        |content: &[u8]| json!({ "publicKey": { "content": STANDARD.encode(content) }, "signedEmailAddress": proof });
    let csr = csr_request("", &signer).await["certificateSigningRequest"].clone();
    for body in [
        key(signer.public_key().spki_der()),
        key(signer.public_key().to_pem().as_bytes()),
        json!({ "certificateSigningRequest": csr }),
    ] {
        let (status, headers, pem) = send_v1(&harness, &body, &authorization).await;
        assert_eq!(
            (status, &headers["content-type"]),
            (201, &"application/pem-certificate-chain".parse().unwrap()),
            "{pem}"
        );
        assert_eq!(headers["x-request-id"].len(), 32);
        assert!(!headers.contains_key("sct"), "the SCT is in the certificate");
        let parts: Vec<&str> = pem.split_inclusive("-----END CERTIFICATE-----").collect();
        let chain: Vec<_> = parts.iter().map(|pem| Certificate::from_pem(pem.trim()).unwrap()).collect();
        assert_eq!(chain[0].public_key().unwrap(), *signer.public_key());
        assert_eq!(chain[1..], harness.ca.chain);
    }
    // The token is nowhere but in the header.
    let mut body = key(signer.public_key().spki_der());
    body["credentials"] = json!({ "oidcIdentityToken": harness.token().await });
    let (status, _, reply) = send_v1(&harness, &body, "").await;
    assert_eq!((status, told(&serde_json::from_str(&reply).unwrap()).2.as_str()), (400, "TOKEN_MISSING"));
}

fn with_metadata(request: SigningRequest, tokens: &[&str]) -> tonic::Request<SigningRequest> {
    let mut request = tonic::Request::new(request);
    for token in tokens {
        request.metadata_mut().append("oidcidentitytoken", token.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_call_gives_a_chain_and_its_token_is_in_the_message_or_once_in_the_metadata() {
    let harness = Harness::new().await;
    let served = Served::new(&harness).await;
    let (token, signer) = (harness.token().await, p256());
    let with_token = to_message(&challenge(&token, &signer, "alice@example.com").await);
    let without = SigningRequest { credentials: None, ..with_token.clone() };
    let csr = to_message(&csr_request("", &signer).await);
    for request in [
        with_metadata(with_token.clone(), &[]),
        // The message wins.
        with_metadata(with_token.clone(), &["nonsense"]),
        with_metadata(without.clone(), &[&token]),
        with_metadata(csr, &[&token]),
    ] {
        let reply = served.sign(request).await.unwrap();
        assert_eq!(reply.metadata().get("x-request-id").unwrap().len(), 32);
        let chain = reply.into_inner().embedded.unwrap().chain.texts;
        assert!(chain.iter().all(|pem| pem.trim() == pem));
        let chain: Vec<_> = chain.iter().map(|pem| Certificate::from_pem(pem).unwrap()).collect();
        assert_eq!(chain[0].public_key().unwrap(), *signer.public_key());
        assert_eq!(chain[1..], harness.ca.chain);
    }
    let good = token.as_str();
    for tokens in [&[][..], &[good, good], &["nonsense", good], &["Bearer x"]] {
        let refused = served.sign(with_metadata(without.clone(), tokens)).await.unwrap_err();
        assert_eq!(refused.message(), TOKEN, "{tokens:?}");
    }
    // An Authorization header is for HTTP.
    let mut request = tonic::Request::new(without);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let refused = served.sign(request).await.unwrap_err();
    assert_eq!(told_over_grpc(&refused).2, "TOKEN_MISSING");
}

#[tokio::test]
async fn bundle_configuration_and_health_are_those_of_http() {
    let harness = Harness::new().await;
    let served = Served::new(&harness).await;
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let bundle: OneChain = served.call("GetTrustBundle", ()).await.unwrap().into_inner();
    let (_, over_http) = harness.send(get("/api/v2/trustBundle")).await;
    assert_eq!(json!({ "chains": [{ "certificates": bundle.chain.texts }] }), over_http);
    let OneIssuer { issuer } = served.call("GetConfiguration", ()).await.unwrap().into_inner();
    let (_, over_http) = harness.send(get("/api/v2/configuration")).await;
    let of_http = |name: &str| over_http["issuers"][0][name].as_str().unwrap().to_owned();
    assert_eq!(issuer.issuer_url, of_http("issuerUrl"));
    assert_eq!(issuer.audience, of_http("audience"));
    assert_eq!(issuer.challenge_claim, of_http("challengeClaim"));
    assert_eq!(issuer.issuer_type, of_http("issuerType"));

    let mut client = HealthClient::new(served.channel.clone());
    for service in ["", "dev.sigstore.fulcio.v2.CA"] {
        let status =
            client.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving);
    }
    // When the authority's certificate has ended, nothing could be issued.
    harness.clock.advance_ms(25 * 60 * 60 * 1000);
    let status = client.check(HealthCheckRequest::default()).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::NotServing);
    let unknown = served.call::<(), ()>("Other", ()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
}

#[tokio::test]
async fn what_is_no_message_and_what_is_no_call_is_refused_in_words() {
    let harness = Harness::new().await;
    let path = "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
    let request = |media_type: &str, body: &'static [u8]| {
        Request::post(path).header("content-type", media_type).body(Body::from(body)).unwrap()
    };
    let (status, reply) = harness.send(request("application/grpc", b"\0\0\0\0\x02\xff\xff")).await;
    let expect = (3, "proto: cannot parse invalid wire-format data".to_owned(), "REQUEST_MALFORMED".to_owned());
    assert_eq!((status, told(&reply)), (400, expect), "before the listener puts it into the words of gRPC");
    let (status, _) = harness.send(request("application/json", b"{}")).await;
    assert_eq!(status, 415);
}
