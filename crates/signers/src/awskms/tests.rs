// SPDX-License-Identifier: Apache-2.0
//! Tests against a service on loopback that signs with keys in memory, and lies when told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use touchmark_keys::HashAlgorithm;

use super::*;
use crate::EphemeralSigner;

const ALIAS: &str = "alias/ca";

/// How the service answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Faithful,
    /// Signs with another key, as after an alias was pointed at one.
    AnotherKey,
    AnotherMessage,
    Usage,
    Algorithms,
    Refusing,
    Garbage,
    Long,
    Redirecting,
}

struct Kms {
    key: EphemeralSigner,
    other: EphemeralSigner,
    manner: Mutex<Manner>,
    /// Bodies of requests to sign.
    seen: Mutex<Vec<Value>>,
}

struct Running {
    kms: Arc<Kms>,
    uri: AwsKmsUri,
}

impl Running {
    async fn new(key_type: KeyType) -> Self {
        let generate = || EphemeralSigner::generate(key_type).unwrap();
        let (manner, seen) = (Mutex::new(Manner::Faithful), Mutex::default());
        let kms = Arc::new(Kms { key: generate(), other: generate(), manner, seen });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&kms));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // It ends with the run time of the test.
        tokio::spawn(async move { axum::serve(listener, router).await });
        let uri = AwsKmsUri::parse(&format!("awskms://{address}/{ALIAS}?transport=loopback-http")).unwrap();
        Self { kms, uri }
    }

    fn behaves(&self, manner: Manner) {
        *self.kms.manner.lock().unwrap() = manner;
    }

    async fn open(&self) -> Result<AwsKmsSigner, SignerError> {
        AwsKmsSigner::open(self.uri.clone(), environment).await
    }

    fn problem(&self, problem: AwsKmsProblem) -> SignerError {
        SignerError::AwsKms { key: self.uri.to_string(), problem }
    }
}

fn environment(name: &str) -> Option<String> {
    let variables = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-west-1")];
    variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

async fn answer(State(kms): State<Arc<Kms>>, headers: HeaderMap, body: String) -> (StatusCode, HeaderMap, String) {
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/x-amz-json-1.1");
    let authorization = header("authorization");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=id/"), "{authorization}");
    let names = "/eu-west-1/kms/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=";
    assert!(authorization.contains(names), "{authorization}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["KeyId"], ALIAS);
    let manner = *kms.manner.lock().unwrap();
    let target = header("x-amz-target");
    let mut answer_headers = HeaderMap::new();
    let (status, text) = match (target.as_str(), manner) {
        (_, Manner::Refusing) => (400, json!({ "__type": "NotFoundException", "message": "no\nsuch key" }).to_string()),
        (_, Manner::Garbage) => (200, "<html>".to_owned()),
        (_, Manner::Long) => (200, "x".repeat(LIMITS.response_bytes_max + 1)),
        (_, Manner::Redirecting) => {
            answer_headers.insert("location", "http://127.0.0.1:1/".parse().unwrap());
            (307, String::new())
        }
        ("TrentService.GetPublicKey", manner) => (200, public_key(&kms, manner).to_string()),
        ("TrentService.Sign", manner) => (200, sign(&kms, manner, &body).await.to_string()),
        _ => (500, String::new()),
    };
    (StatusCode::from_u16(status).unwrap(), answer_headers, text)
}

fn public_key(kms: &Kms, manner: Manner) -> Value {
    let algorithms = if manner == Manner::Algorithms {
        vec!["RSASSA_PSS_SHA_512"]
    } else {
        algorithm(kms.key.public_key().key_type()).into_iter().collect()
    };
    json!({
        "KeyId": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "PublicKey": STANDARD.encode(kms.key.public_key().spki_der()),
        "KeyUsage": if manner == Manner::Usage { "ENCRYPT_DECRYPT" } else { "SIGN_VERIFY" },
        "SigningAlgorithms": algorithms,
    })
}

async fn sign(kms: &Kms, manner: Manner, body: &Value) -> Value {
    kms.seen.lock().unwrap().push(body.clone());
    let key = if manner == Manner::AnotherKey { &kms.other } else { &kms.key };
    let mut message = STANDARD.decode(body["Message"].as_str().unwrap()).unwrap();
    assert_eq!(body["SigningAlgorithm"], algorithm(key.public_key().key_type()).unwrap());
    if manner == Manner::AnotherMessage {
        message[0] ^= 1;
    }
    let signature = match body["MessageType"].as_str().unwrap() {
        "RAW" => {
            assert!(message.len() <= 4096);
            key.sign(&message).await.unwrap()
        }
        _ => key.sign_digest(&Digest::new(key.scheme().hash().unwrap(), message).unwrap()).await.unwrap(),
    };
    json!({ "Signature": STANDARD.encode(signature), "KeyId": body["KeyId"] })
}

#[tokio::test]
async fn every_key_type_signs_messages_of_any_length_and_digests() {
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521, KeyType::Rsa2048] {
        let running = Running::new(key_type).await;
        let signer = running.open().await.unwrap();
        assert_eq!(signer.public_key(), running.kms.key.public_key());
        let verify = |message: &[u8], signature: &[u8]| signer.public_key().verify(signer.scheme(), message, signature);
        for length in [0, 1, 4096, 4097, 100_000] {
            let message = vec![7; length];
            verify(&message, &signer.sign(&message).await.unwrap()).unwrap();
        }
        let digest = digest(signer.scheme().hash().unwrap(), b"message");
        verify(b"message", &signer.sign_digest(&digest).await.unwrap()).unwrap();
        let types: Vec<Value> =
            running.kms.seen.lock().unwrap().iter().map(|body| body["MessageType"].clone()).collect();
        assert_eq!(types, ["RAW", "RAW", "RAW", "DIGEST", "DIGEST", "DIGEST"]);
    }
}

#[tokio::test]
async fn what_the_service_does_wrong_is_an_error() {
    let running = Running::new(KeyType::EcdsaP256).await;
    let signer = running.open().await.unwrap();
    let refused =
        || AwsKmsProblem::Refused { status: 400, code: "NotFoundException".to_owned(), said: "no such key".to_owned() };
    let too_long = || AwsKmsProblem::Outbound(OutboundError::BodyTooLarge { limit: LIMITS.response_bytes_max });
    let redirect = || AwsKmsProblem::Outbound(OutboundError::Redirect { status: 307 });
    for (manner, expect) in [
        (Manner::AnotherKey, AwsKmsProblem::WrongSignature),
        (Manner::AnotherMessage, AwsKmsProblem::WrongSignature),
        (Manner::Refusing, refused()),
        (Manner::Garbage, AwsKmsProblem::Answer),
        (Manner::Long, too_long()),
        (Manner::Redirecting, redirect()),
    ] {
        running.behaves(manner);
        assert_eq!(signer.sign(b"message").await, Err(running.problem(expect.clone())));
        assert_eq!(signer.sign(&[7; 5000]).await, Err(running.problem(expect)));
    }
    running.behaves(Manner::Faithful);
    signer.sign(b"message").await.unwrap();
    let usage = AwsKmsProblem::Usage { algorithm: "ECDSA_SHA_256" };
    for (manner, expect) in [
        (Manner::Usage, usage.clone()),
        (Manner::Algorithms, usage),
        (Manner::Refusing, refused()),
        (Manner::Garbage, AwsKmsProblem::Answer),
    ] {
        running.behaves(manner);
        assert_eq!(running.open().await.err(), Some(running.problem(expect)));
    }
}

#[tokio::test]
async fn digests_of_another_hash_are_not_sent() {
    let running = Running::new(KeyType::EcdsaP256).await;
    let signer = running.open().await.unwrap();
    let digest = digest(HashAlgorithm::Sha384, b"message");
    let error = KeyError::WrongHash { expected: HashAlgorithm::Sha256, found: HashAlgorithm::Sha384 };
    assert_eq!(signer.sign_digest(&digest).await, Err(SignerError::Key(error)));
    assert!(running.kms.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_kind_of_key_that_the_services_have_not_is_refused() {
    let running = Running::new(KeyType::Ed25519).await;
    let expect = AwsKmsProblem::KeyKind { key_type: KeyType::Ed25519 };
    assert_eq!(running.open().await.err(), Some(running.problem(expect)));
}

#[tokio::test]
async fn an_address_of_this_machine_is_asked_only_if_the_reference_says_so() {
    let running = Running::new(KeyType::EcdsaP256).await;
    let endpoint = running.uri.endpoint.clone().unwrap();
    let uri = AwsKmsUri::parse(&format!("awskms://{endpoint}/{ALIAS}")).unwrap();
    let expect = AwsKmsProblem::Outbound(OutboundError::AddressRefused { address: "127.0.0.1".parse().unwrap() });
    let opened = AwsKmsSigner::open(uri.clone(), environment).await;
    assert_eq!(opened.err(), Some(SignerError::AwsKms { key: uri.to_string(), problem: expect }));
}
