// SPDX-License-Identifier: Apache-2.0
//! What is refused, in the public words, and that nothing is logged or issued then.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use touchmark_keys::{Digest, KeyType, PublicKey, Scheme};
use touchmark_signers::{EphemeralSigner, Signer, SignerError};
use touchmark_sigstore::ct::{LogEntry, Sct, SctScheme, sct_signed_bytes};

use super::super::*;
use super::harness::{Harness, NOW_S, challenge, csr_pem, csr_request, csr_text_request, reconfigure};
use super::issuer::{sign, sign_text};

const TOKEN: &str = "There was an error processing the identity token";
const KEY_UNREADABLE: &str = "The public key supplied in the request could not be parsed";
const KEY_INSECURE: &str = "The public key supplied in the request is insecure";
const SIGNATURE: &str = "The signature supplied in the request could not be verified";
const CSR_UNREADABLE: &str = "The certificate signing request could not be parsed";
const CTL: &str = "Error entering certificate in CTL";
/// The time of every clock here.
const NOW_MS: u64 = NOW_S * 1000;
const CA: &str = "error communicating with CA backend";

fn p256() -> EphemeralSigner {
    EphemeralSigner::generate(KeyType::EcdsaP256).unwrap()
}

/// Status, gRPC code, text and machine-readable reason (empty if there is none).
fn summary((status, reply): (u16, Value)) -> (u16, u64, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (status, reply["code"].as_u64().unwrap_or_default(), text(&reply["message"]), text(&reply["details"][0]["reason"]))
}

/// The reason that goes with a text of the public service.
fn reason_of(message: &str) -> &'static str {
    match message {
        KEY_UNREADABLE => "KEY_UNREADABLE",
        KEY_INSECURE => "KEY_INSECURE",
        SIGNATURE => "POSSESSION_NOT_PROVEN",
        CSR_UNREADABLE => "CSR_UNREADABLE",
        _ if message.starts_with("unrecognized signature algorithm") => "CSR_ALGORITHM_REFUSED",
        _ if message.starts_with("signing algorithm not permitted") => "ALGORITHM_NOT_ALLOWED",
        _ => panic!("{message}"),
    }
}

fn refusal(status: u16, code: u64, message: &str, reason: &str) -> (u16, u64, String, String) {
    (status, code, message.to_owned(), reason.to_owned())
}

async fn with_token(harness: &Harness, token: &str) -> (u16, u64, String, String) {
    summary(harness.post(&challenge(token, &p256(), "alice@example.com").await).await)
}

#[tokio::test]
async fn bad_tokens_have_one_public_text_and_a_reason_each() {
    let harness = Harness::new().await;
    let good = harness.issuer.claims(NOW_S);
    let cases: [(&str, Value, &str); 12] = [
        ("iss", json!("https://stranger.example"), "TOKEN_ISSUER_UNKNOWN"),
        ("iss", json!(format!("{}/", harness.issuer.url)), "TOKEN_ISSUER_UNKNOWN"),
        ("iss", Value::Null, "TOKEN_CLAIM_MISSING"),
        ("aud", json!("sigstore2"), "TOKEN_AUDIENCE_MISMATCH"),
        ("exp", json!(NOW_S), "TOKEN_EXPIRED"),
        ("nbf", json!(NOW_S + 301), "TOKEN_NOT_YET_VALID"),
        ("iat", Value::Null, "TOKEN_CLAIM_MISSING"),
        ("email", Value::Null, "TOKEN_CLAIM_MISSING"),
        ("email_verified", json!(false), "TOKEN_EMAIL_UNVERIFIED"),
        ("email", json!("alice@example.com\u{0}@eve.org"), "TOKEN_SUBJECT_REFUSED"),
        ("email", json!("al\u{ed}ce@example.com"), "TOKEN_SUBJECT_REFUSED"),
        ("sub", json!("a\nb"), "TOKEN_SUBJECT_REFUSED"),
    ];
    for (claim, value, reason) in cases {
        let mut claims = good.clone();
        claims[claim] = value.clone();
        let token = harness.issuer.token(&claims).await;
        assert_eq!(with_token(&harness, &token).await, refusal(400, 3, TOKEN, reason), "{claim} = {value}");
    }
    assert_eq!(with_token(&harness, "").await, refusal(400, 3, TOKEN, "TOKEN_MISSING"));
    assert_eq!(with_token(&harness, "a.b").await, refusal(400, 3, TOKEN, "TOKEN_MALFORMED"));
}

#[tokio::test]
async fn an_expired_token_of_the_issuer_is_refused_when_the_clock_passes_it() {
    let harness = Harness::new().await;
    let token = harness.token().await;
    harness.clock.advance_ms(59_000);
    assert_eq!(with_token(&harness, &token).await.0, 200);
    harness.clock.advance_ms(1_000);
    assert_eq!(with_token(&harness, &token).await, refusal(400, 3, TOKEN, "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn no_confusion_of_algorithms_or_keys_passes() {
    let harness = Harness::new().await;
    let issuer = &harness.issuer;
    let claims = issuer.claims(NOW_S);
    let stranger = EphemeralSigner::generate(KeyType::Rsa2048).unwrap();
    for (signer, header, reason) in [
        (&issuer.rsa, json!({ "alg": "none" }), "TOKEN_ALGORITHM_REFUSED"),
        (&issuer.rsa, json!({ "alg": "HS256", "kid": "rsa" }), "TOKEN_ALGORITHM_REFUSED"),
        (&issuer.rsa, json!({ "alg": "HS256", "kid": "hmac" }), "TOKEN_ALGORITHM_REFUSED"),
        (&issuer.rsa, json!({ "alg": "RS384", "kid": "rsa" }), "TOKEN_ALGORITHM_REFUSED"),
        (&issuer.rsa, json!({ "alg": "ES256", "kid": "rsa" }), "TOKEN_KEY_UNKNOWN"),
        (&issuer.p256, json!({ "alg": "RS256", "kid": "p256" }), "TOKEN_KEY_UNKNOWN"),
        (&issuer.p256, json!({ "alg": "EdDSA", "kid": "p256" }), "TOKEN_KEY_UNKNOWN"),
        (&issuer.rsa, json!({ "alg": "PS256", "kid": "rsa" }), "TOKEN_SIGNATURE_INVALID"),
        (&stranger, json!({ "alg": "RS256", "kid": "rsa" }), "TOKEN_SIGNATURE_INVALID"),
        (&stranger, json!({ "alg": "RS256" }), "TOKEN_SIGNATURE_INVALID"),
        (&issuer.rsa, json!({ "alg": "RS256", "kid": "other" }), "TOKEN_KEY_UNKNOWN"),
        (&issuer.rsa, json!({ "alg": "RS256", "kid": "rsa", "crit": ["x"] }), "TOKEN_HEADER_REFUSED"),
    ] {
        let token = sign(signer, &header, &claims).await;
        assert_eq!(with_token(&harness, &token).await, refusal(400, 3, TOKEN, reason), "{header}");
    }
    // A key that the token brings along is not looked at.
    let header = json!({ "alg": "RS256", "kid": "rsa", "jwk": super::issuer::jwk(&stranger, "rsa"), "jku": "http://127.0.0.1:1/" });
    let token = sign(&stranger, &header, &claims).await;
    assert_eq!(with_token(&harness, &token).await, refusal(400, 3, TOKEN, "TOKEN_SIGNATURE_INVALID"));
    // The unsigned twin of a good token.
    let good = harness.token().await;
    let unsigned = good.rsplit_once('.').unwrap().0.to_owned() + ".";
    assert_eq!(with_token(&harness, &unsigned).await, refusal(400, 3, TOKEN, "TOKEN_MALFORMED"));
}

#[tokio::test]
async fn a_signed_token_that_names_its_issuer_twice_is_refused() {
    let harness = Harness::new().await;
    let claims = harness.issuer.claims(NOW_S).to_string();
    let twice = claims.replacen('{', r#"{"email":"eve@example.com","#, 1);
    let token = sign_text(&harness.issuer.rsa, r#"{"alg":"RS256","kid":"rsa"}"#, &twice).await;
    assert_eq!(with_token(&harness, &token).await, refusal(400, 3, TOKEN, "TOKEN_MALFORMED"));
}

#[tokio::test]
async fn four_mebibytes_of_dots_are_refused_in_body_and_header_without_a_fetch() {
    let harness = Harness::new().await;
    let dots = ".".repeat((4 << 20) - 4096);
    let body = json!({ "credentials": { "oidcIdentityToken": dots } });
    assert_eq!(summary(harness.post(&body).await), refusal(400, 3, TOKEN, "TOKEN_TOO_LONG"));
    let request = Request::post("/api/v2/signingCert").header("authorization", format!("Bearer {dots}"));
    let reply = harness.send(request.body(Body::from("{}")).unwrap()).await;
    assert_eq!(summary(reply), refusal(400, 3, TOKEN, "TOKEN_TOO_LONG"));
    assert_eq!(harness.issuer.requests(), (0, 0));
}

#[tokio::test]
async fn bodies_that_are_too_large_or_no_request_are_refused() {
    let harness = Harness::new().await;
    let send = async |body: Vec<u8>| {
        summary(harness.send(Request::post("/api/v2/signingCert").body(Body::from(body)).unwrap()).await)
    };
    let large = send(vec![b' '; (4 << 20) + 1]).await;
    assert_eq!(large, refusal(400, 3, "http: request body too large", ""));
    for body in ["{", "[]", "\"x\"", "{\"credentials\":5}", "\u{0}"] {
        let (status, code, message, reason) = send(body.as_bytes().to_vec()).await;
        assert_eq!((status, code, reason.as_str()), (400, 3, "REQUEST_MALFORMED"), "{body}");
        assert_ne!(message, TOKEN);
    }
    for body in ["", "{}", r#"{"credentials":null,"publicKeyRequest":null}"#] {
        assert_eq!(send(body.as_bytes().to_vec()).await, refusal(400, 3, TOKEN, "TOKEN_MISSING"), "{body}");
    }
}

#[tokio::test]
async fn wrong_methods_are_not_implemented() {
    let harness = Harness::new().await;
    for (method, path) in [
        ("GET", "/api/v2/signingCert"),
        ("PUT", "/api/v2/signingCert"),
        ("GET", "/api/v1/signingCert"),
        ("POST", "/api/v1/rootCert"),
        ("POST", "/api/v2/trustBundle"),
        ("DELETE", "/api/v2/configuration"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(summary(harness.send(request).await), refusal(501, 12, "Method Not Allowed", ""), "{method} {path}");
    }
}

#[tokio::test]
async fn the_token_is_judged_before_the_key_and_the_key_before_the_proof() {
    let harness = Harness::new().await;
    let nothing = json!({ "publicKeyRequest": { "publicKey": { "content": "garbage" } } });
    assert_eq!(summary(harness.post(&nothing).await), refusal(400, 3, TOKEN, "TOKEN_MISSING"));
    let token = harness.token().await;
    let with_key = |pem: &str, proof: &[u8]| {
        json!({
            "credentials": { "oidcIdentityToken": token },
            "publicKeyRequest": { "publicKey": { "content": pem }, "proofOfPossession": STANDARD.encode(proof) },
        })
    };
    let pem = p256().public_key().to_pem();
    for (body, message) in [
        (json!({ "credentials": { "oidcIdentityToken": token } }), KEY_UNREADABLE),
        (with_key("", b""), KEY_UNREADABLE),
        (with_key("garbage", b""), KEY_UNREADABLE),
        (with_key(&pem.replace("PUBLIC KEY", "CERTIFICATE"), b""), KEY_UNREADABLE),
        (with_key(include_str!("data/rsa1024.pem"), b""), KEY_INSECURE),
        (with_key(include_str!("data/rsa-e3.pem"), b""), KEY_INSECURE),
        (with_key(include_str!("data/p224.pem"), b""), KEY_INSECURE),
        (with_key(include_str!("data/secp256k1.pem"), b""), KEY_INSECURE),
        (with_key(&pem, b""), SIGNATURE),
        (with_key(&pem, b"garbage"), SIGNATURE),
    ] {
        assert_eq!(summary(harness.post(&body).await), refusal(400, 3, message, reason_of(message)), "{body}");
    }
}

#[tokio::test]
async fn proofs_over_anything_but_the_subject_or_by_another_key_are_refused() {
    let harness = Harness::new().await;
    let token = harness.token().await;
    for subject in ["", "subject-1", "Alice@example.com", "alice@example.com ", "bob@example.com"] {
        let body = challenge(&token, &p256(), subject).await;
        assert_eq!(summary(harness.post(&body).await), refusal(400, 3, SIGNATURE, reason_of(SIGNATURE)), "{subject}");
    }
    let mut body = challenge(&token, &p256(), "alice@example.com").await;
    body["publicKeyRequest"]["publicKey"]["content"] = json!(p256().public_key().to_pem());
    assert_eq!(summary(harness.post(&body).await), refusal(400, 3, SIGNATURE, reason_of(SIGNATURE)));
}

#[tokio::test]
async fn certificate_requests_that_are_no_proof_are_refused() {
    let harness = Harness::new().await;
    let token = harness.token().await;
    let good = csr_pem(&p256(), &p256()).await;
    for (csr, message) in [
        ("garbage", CSR_UNREADABLE),
        ("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", CSR_UNREADABLE),
        (&good.replace("CERTIFICATE REQUEST", "CERTIFICATE"), CSR_UNREADABLE),
        // Signed by another key than the one inside.
        (&good, SIGNATURE),
        (include_str!("data/dsa.csr.pem"), KEY_INSECURE),
        (include_str!("data/rsa-sha1.csr.pem"), SIGNATURE),
        (include_str!("data/rsa-pss-sha256.csr.pem"), "unrecognized signature algorithm: SHA256-RSAPSS"),
        (
            include_str!("data/p384-signed-with-sha256.csr.pem"),
            "signing algorithm not permitted: *ecdsa.PublicKey, SHA-256",
        ),
        (
            include_str!("data/rsa-sha512-other-name.csr.pem"),
            "signing algorithm not permitted: *rsa.PublicKey, SHA-512",
        ),
    ] {
        assert_eq!(
            summary(harness.post(&csr_text_request(&token, csr)).await),
            refusal(400, 3, message, reason_of(message)),
            "{csr}"
        );
    }
}

#[tokio::test]
async fn keys_outside_the_allow_list_are_refused_with_gos_names() {
    let only_ed25519 = Harness::with(|fulcio| fulcio.config.algorithms = vec![Scheme::Ed25519]).await;
    let refused = "signing algorithm not permitted: *ecdsa.PublicKey, SHA-256";
    let by_csr = csr_request(&only_ed25519.token().await, &p256()).await;
    assert_eq!(summary(only_ed25519.post(&by_csr).await), refusal(400, 3, refused, reason_of(refused)));
    assert_eq!(
        with_token(&only_ed25519, &only_ed25519.token().await).await,
        refusal(400, 3, refused, reason_of(refused))
    );

    let only_p256 = Harness::with(|fulcio| fulcio.config.algorithms = vec![Scheme::EcdsaP256Sha256]).await;
    let ed25519 = EphemeralSigner::generate(KeyType::Ed25519).unwrap();
    let body = challenge(&only_p256.token().await, &ed25519, "alice@example.com").await;
    let refused = "signing algorithm not permitted: ed25519.PublicKey, unknown hash value 0";
    assert_eq!(summary(only_p256.post(&body).await), refusal(400, 3, refused, reason_of(refused)));
}

#[tokio::test]
async fn subjects_outside_the_issuers_rule_are_refused() {
    let harness = Harness::new().await;
    let strict = Harness::with(|fulcio| {
        reconfigure(fulcio, |issuer| issuer.rules.email_domains = Some(vec!["example.org".to_owned()]));
    })
    .await;
    assert_eq!(with_token(&harness, &harness.token().await).await.0, 200);
    let refused = with_token(&strict, &strict.token().await).await;
    assert_eq!(refused, refusal(400, 3, TOKEN, "SUBJECT_NOT_ALLOWED"));
}

/// A log that answers as the test says, with a key of its own.
pub(super) struct LyingLog {
    signer: EphemeralSigner,
    published: PublicKey,
    lie: Lie,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    OtherKey,
    OtherEntry,
    OtherTime,
    /// Six minutes, as are the next.
    Ahead,
    Behind,
    Epoch,
    EndOfTime,
    /// In its extensions.
    Long,
    Silence,
    Failure,
    Busy,
}

impl LyingLog {
    pub(super) fn new(lie: Lie) -> Arc<Self> {
        let signer = p256();
        let published = match lie {
            Lie::OtherKey => p256().public_key().clone(),
            _ => signer.public_key().clone(),
        };
        Arc::new(Self { signer, published, lie })
    }
}

#[async_trait]
impl CtSubmit for LyingLog {
    fn public_key(&self) -> &PublicKey {
        &self.published
    }

    async fn submit(&self, precertificate: &Certificate, chain: &[Certificate]) -> Result<Sct, CtError> {
        match self.lie {
            Lie::Silence => return std::future::pending().await,
            Lie::Failure => return Err(CtError::Refused { status: 400 }),
            Lie::Busy => return Err(CtError::Unavailable),
            _ => {}
        }
        let mut entry = LogEntry::from_precertificate(precertificate, &chain[0]).unwrap();
        if let (Lie::OtherEntry, LogEntry::Precert { tbs, .. }) = (self.lie, &mut entry) {
            tbs.push(0);
        }
        let made_ms = match self.lie {
            Lie::Ahead => NOW_MS + 6 * 60 * 1000,
            Lie::Behind => NOW_MS - 6 * 60 * 1000,
            Lie::Epoch => 0,
            Lie::EndOfTime => u64::MAX,
            _ => NOW_MS,
        };
        let extensions = if matches!(self.lie, Lie::Long) { vec![0; 257] } else { Vec::new() };
        let signature = self.signer.sign(&sct_signed_bytes(&entry, made_ms, &extensions)).await.unwrap();
        let timestamp_ms = if matches!(self.lie, Lie::OtherTime) { made_ms + 1 } else { made_ms };
        let log_id = self.published.spki_sha256();
        Ok(Sct { log_id, timestamp_ms, extensions, scheme: SctScheme::EcdsaSha256, signature })
    }
}

#[tokio::test]
async fn no_certificate_leaves_without_a_good_sct() {
    for (lie, expected) in [
        (Lie::OtherKey, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::OtherEntry, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::OtherTime, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::Ahead, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::Behind, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::Epoch, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::EndOfTime, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::Long, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::Failure, refusal(500, 13, CTL, "CT_LOG_FAILED")),
        (Lie::Busy, refusal(503, 14, CTL, "CT_LOG_UNAVAILABLE")),
        (Lie::Silence, refusal(503, 14, CTL, "CT_LOG_UNAVAILABLE")),
    ] {
        let harness = Harness::with(|fulcio| {
            fulcio.ct = CtLogs::only_within(LyingLog::new(lie), std::time::Duration::from_millis(50));
        })
        .await;
        assert_eq!(with_token(&harness, &harness.token().await).await, expected);
    }
}

/// A signer that signs something else, or nothing.
struct BrokenSigner(EphemeralSigner, PublicKey);

#[async_trait]
impl Signer for BrokenSigner {
    fn public_key(&self) -> &PublicKey {
        &self.1
    }

    fn scheme(&self) -> Scheme {
        self.0.scheme()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign(message).await
    }

    async fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SignerError> {
        self.0.sign_digest(digest).await
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_not_let_out() {
    let ca = super::harness::TestCa::new().await;
    let broken = Arc::new(BrokenSigner(p256(), ca.signer.public_key().clone()));
    let authority = CertificateAuthority::new(broken, ca.chain.clone()).unwrap();
    // A log that signs whatever it is given, so that only the self-check can notice.
    let harness = Harness::with(|fulcio| {
        fulcio.ca = authority;
        fulcio.ct = CtLogs::only(HonestSignatureLog::new());
    })
    .await;
    assert_eq!(with_token(&harness, &harness.token().await).await, refusal(500, 13, CA, "CA_FAILED"));
}

pub(super) struct HonestSignatureLog(EphemeralSigner);

impl HonestSignatureLog {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(p256()))
    }
}

#[async_trait]
impl CtSubmit for HonestSignatureLog {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    async fn submit(&self, precertificate: &Certificate, chain: &[Certificate]) -> Result<Sct, CtError> {
        let entry = LogEntry::from_precertificate(precertificate, &chain[0]).unwrap();
        let signature = self.0.sign(&sct_signed_bytes(&entry, NOW_MS, &[])).await.unwrap();
        let log_id = self.0.public_key().spki_sha256();
        Ok(Sct { log_id, timestamp_ms: NOW_MS, extensions: Vec::new(), scheme: SctScheme::EcdsaSha256, signature })
    }
}

#[tokio::test]
async fn an_authority_whose_parts_do_not_belong_together_does_not_start() {
    let ca = super::harness::TestCa::new().await;
    let other = super::harness::TestCa::new().await;
    let start = |signer: &Arc<EphemeralSigner>, chain: Vec<Certificate>| {
        CertificateAuthority::new(Arc::clone(signer) as Arc<dyn Signer>, chain).err()
    };
    assert_eq!(start(&ca.signer, Vec::new()), Some(FulcioStartError::ChainEmpty));
    assert_eq!(start(&other.signer, ca.chain.clone()), Some(FulcioStartError::ChainKey));
    let mixed = vec![ca.chain[0].clone(), other.root()];
    assert_eq!(start(&ca.signer, mixed), Some(FulcioStartError::ChainLink { position: 0 }));
    assert_eq!(start(&ca.signer, vec![ca.chain[0].clone()]), Some(FulcioStartError::ChainLink { position: 0 }));
    assert_eq!(start(&ca.signer, ca.chain.clone()), None);
}

#[tokio::test]
async fn no_reply_shows_the_inside() {
    let harness = Harness::with(|fulcio| fulcio.ct = CtLogs::only(LyingLog::new(Lie::Failure))).await;
    let (_, reply) = harness.post(&csr_request(&harness.token().await, &p256()).await).await;
    let reason = "CT_LOG_FAILED";
    let info =
        json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "fulcio.touchmark" });
    assert_eq!(reply, json!({ "code": 13, "message": CTL, "details": [info] }));
}
