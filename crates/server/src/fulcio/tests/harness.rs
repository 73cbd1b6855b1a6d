// SPDX-License-Identifier: Apache-2.0
//! A certificate authority, a log and a clock for tests, and the requests of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use touchmark_keys::KeyType;
use touchmark_sequencer::{CheckpointSigner, Clock, EntryTiles, FjallLedger, FsObjects, Ledger, Log, LogConfig};
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_sigstore::issue::assemble;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use touchmark_sigstore::x509::Certificate;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey};
use tower::ServiceExt;

use super::super::*;
use super::issuer::FakeIssuer;
use crate::ctlog::{Acceptance, CtLog, Validity};
use crate::deps::WaysOut;
use crate::metrics::Metrics;

/// 2027-01-15T08:00:00Z.
pub(crate) const NOW_S: u64 = 1_800_000_000;

pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW_S * 1000)))
    }
}

impl TestClock {
    pub(crate) fn advance_ms(&self, by_ms: u64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }

    pub(crate) fn set_back_ms(&self, by_ms: u64) {
        self.0.fetch_sub(by_ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// An authority of a root and an intermediate, or of a root alone.
pub(crate) struct TestCa {
    pub(crate) chain: Vec<Certificate>,
    pub(crate) signer: Arc<EphemeralSigner>,
    pub(crate) root_signer: Arc<EphemeralSigner>,
}

impl TestCa {
    pub(crate) async fn new() -> Self {
        Self::ending_in(SignedDuration::from_hours(24)).await
    }

    pub(super) async fn ending_in(lifetime: SignedDuration) -> Self {
        Self::named("intermediate", lifetime).await
    }

    /// With this common name in every certificate that it issues.
    pub(crate) async fn named(name: &str, lifetime: SignedDuration) -> Self {
        let root_key = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let root = authority(&root_key, &root_key, "root", CaProfile::Root, lifetime * 2).await;
        let profile = CaProfile::CodeSigningIntermediate { issuer: &root };
        let intermediate = authority(&signer, &root_key, name, profile, lifetime).await;
        Self { chain: vec![intermediate, root], signer: Arc::new(signer), root_signer: Arc::new(root_key) }
    }

    /// Another intermediate under the same root, of this lifetime.
    pub(crate) async fn renewed(&self, lifetime: SignedDuration) -> Self {
        let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let root = self.root();
        let profile = CaProfile::CodeSigningIntermediate { issuer: &root };
        let intermediate = authority(&signer, &self.root_signer, "renewed", profile, lifetime).await;
        Self { chain: vec![intermediate, root], signer: Arc::new(signer), root_signer: Arc::clone(&self.root_signer) }
    }

    pub(crate) fn authority(&self) -> CertificateAuthority {
        CertificateAuthority::new(Arc::clone(&self.signer) as Arc<dyn Signer>, self.chain.clone()).unwrap()
    }

    pub(crate) fn root(&self) -> Certificate {
        self.chain.last().unwrap().clone()
    }
}

pub(crate) async fn authority(
    key: &EphemeralSigner,
    issuer_key: &EphemeralSigner,
    name: &str,
    profile: CaProfile<'_>,
    lifetime: SignedDuration,
) -> Certificate {
    let now = Timestamp::from_second(i64::try_from(NOW_S).unwrap()).unwrap();
    let template = CaTemplate {
        serial: [7; 20],
        not_before: now - SignedDuration::from_mins(1),
        not_after: now + lifetime,
        name: AuthorityName { organization: "test".to_owned(), common_name: name.to_owned() },
        public_key: key.public_key().clone(),
        profile,
        signature_scheme: issuer_key.scheme(),
    };
    let tbs = template.tbs().unwrap();
    let signature = issuer_key.sign(&tbs).await.unwrap();
    Certificate::from_der(&assemble(&tbs, issuer_key.scheme(), &signature).unwrap()).unwrap()
}

/// A real log in a directory of its own.
pub(crate) async fn ct_log(roots: Vec<Certificate>, clock: Arc<dyn Clock>) -> (CtLog, TempDir) {
    ct_log_for(Acceptance { roots, validity: Validity::ANY, clock }).await
}

pub(crate) async fn ct_log_for(acceptance: Acceptance) -> (CtLog, TempDir) {
    ct_log_in(acceptance, |ledger| Arc::new(ledger)).await
}

/// A log in a ledger around the real one.
pub(crate) async fn ct_log_in(
    acceptance: Acceptance,
    around: impl FnOnce(FjallLedger) -> Arc<dyn Ledger>,
) -> (CtLog, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let signer: Arc<dyn Signer> = Arc::new(EphemeralSigner::generate(KeyType::EcdsaP256).unwrap());
    let origin = "ct2027-1.test.touchmark.localhost";
    let note_key = NoteKey::new(origin, NoteAlgorithm::Rfc6962, signer.public_key().clone()).unwrap();
    let checkpoint_signer = CheckpointSigner { note_key, signer: Arc::clone(&signer) };
    let config = LogConfig::new(origin, vec![checkpoint_signer], EntryTiles::Data);
    let ledger = FjallLedger::open(directory.path().join("ledger")).unwrap();
    let objects = FsObjects::open(directory.path().join("objects")).unwrap();
    let log = Log::open(config, around(ledger), Arc::new(objects), Arc::clone(&acceptance.clock)).await.unwrap();
    let submissions = Metrics::new().submissions(&log);
    (CtLog::new(log, None, signer, acceptance, submissions).unwrap(), directory)
}

/// The type of an issuer of e-mail addresses.
pub(super) const EMAIL: IssuerKind =
    IssuerKind::Email { issuer_claim: None, verification: EmailVerification::Demanded };

/// A whole service with one e-mail issuer on loopback.
pub(super) struct Harness {
    pub(super) issuer: FakeIssuer,
    pub(super) ca: TestCa,
    pub(super) ct_key: touchmark_keys::PublicKey,
    pub(super) clock: Arc<TestClock>,
    pub(super) router: Router,
    pub(super) health: Health,
    pub(super) serving: Serving,
    /// Held so that the log's directory outlives the test.
    _directory: TempDir,
}

impl Harness {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The service after `change` to what it is made of.
    pub(super) async fn with(change: impl FnOnce(&mut Fulcio)) -> Self {
        let issuer = FakeIssuer::start().await;
        Self::for_issuer(issuer, EMAIL, change).await
    }

    pub(super) async fn for_issuer(issuer: FakeIssuer, kind: IssuerKind, change: impl FnOnce(&mut Fulcio)) -> Self {
        let clock = TestClock::new();
        let ca = TestCa::new().await;
        let (log, directory) = ct_log(vec![ca.root()], Arc::clone(&clock) as Arc<dyn Clock>).await;
        let ct_key = log.public_key().clone();
        let config = FulcioConfig {
            issuers: vec![Arc::new(IssuerConfig {
                kind,
                transport: IssuerTransport::LoopbackHttpAllowed,
                ..IssuerConfig::email(&issuer.url)
            })],
            algorithms: DEFAULT_ALGORITHMS.to_vec(),
        };
        config::check(&config).unwrap();
        let ways_out = WaysOut::new("touchmark-test");
        let clock_of_service: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let mut fulcio = Fulcio {
            issuers: Issuers::new(&config.issuers, &ways_out, &clock_of_service),
            config,
            ca: ca.authority(),
            ct: CtLogs::only(Arc::new(log)),
            clock: clock_of_service,
            limits: Arc::new(RateLimits::new(&RateLimitConfig::default())),
            audit: None,
            metrics: Metrics::new().fulcio(),
        };
        change(&mut fulcio);
        let Service { router, health, serving, .. } = Service::of(Serving::of(fulcio, ways_out));
        Self { issuer, ca, ct_key, clock, router, health, serving, _directory: directory }
    }

    pub(super) fn now_s(&self) -> u64 {
        self.clock.now_ms() / 1000
    }

    /// A token that is good now.
    pub(super) async fn token(&self) -> String {
        self.issuer.token(&self.issuer.claims(self.now_s())).await
    }

    pub(super) async fn post(&self, body: &Value) -> (u16, Value) {
        self.send(Request::post("/api/v2/signingCert").body(Body::from(body.to_string())).unwrap()).await
    }

    pub(super) async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

/// Changes what the first issuer's entry says.
pub(super) fn reconfigure(fulcio: &mut Fulcio, change: impl FnOnce(&mut IssuerConfig)) {
    change(Arc::make_mut(&mut fulcio.config.issuers[0]));
    fulcio.issuers = Issuers::new(&fulcio.config.issuers, &WaysOut::new("touchmark-test"), &fulcio.clock);
}

/// The request of sigstore-js, sigstore-rust and sigstore-go: token in the body, key and signature over the subject.
pub(super) async fn challenge(token: &str, signer: &EphemeralSigner, subject: &str) -> Value {
    let proof = signer.sign(subject.as_bytes()).await.unwrap();
    json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": signer.public_key().to_pem() },
            "proofOfPossession": STANDARD.encode(proof),
        },
    })
}

/// The request of sigstore-python: a CSR with an empty subject.
pub(super) async fn csr_request(token: &str, signer: &EphemeralSigner) -> Value {
    csr_text_request(token, &csr_pem(signer, signer).await)
}

pub(super) fn csr_text_request(token: &str, pem: &str) -> Value {
    json!({
        "credentials": { "oidcIdentityToken": token },
        "certificateSigningRequest": STANDARD.encode(pem),
    })
}

/// A PKCS#10 request for `key`, signed by `signer` with ECDSA and SHA-256.
pub(super) async fn csr_pem(key: &EphemeralSigner, signer: &EphemeralSigner) -> String {
    const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let information = der(0x30, &[&[2, 1, 0], &[0x30, 0], key.public_key().spki_der(), &[0xa0, 0]]);
    let signature = signer.sign(&information).await.unwrap();
    let request = der(0x30, &[&information, &ECDSA_WITH_SHA256, &der(3, &[&[0], &signature])]);
    let body: Vec<String> =
        STANDARD.encode(request).as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", body.join("\n"))
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => out.push(length),
        Ok(length) => out.extend([0x81, length]),
        Err(_) => {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            out.extend([0x82, length[0], length[1]]);
        }
    }
    out.extend(content);
    out
}

/// The certificates of a reply, leaf first.
pub(super) fn chain_of(reply: &Value) -> Vec<Certificate> {
    let certificates = reply["signedCertificateEmbeddedSct"]["chain"]["certificates"].as_array().unwrap();
    certificates.iter().map(|pem| Certificate::from_pem(pem.as_str().unwrap()).unwrap()).collect()
}

/// What a service with this one issuer answers to a request with the token and a proof over the subject.
pub(crate) async fn certificate_for(issuer_url: &str, token: &str, subject: &str) -> (u16, Value) {
    let harness = Harness::with(|fulcio| {
        reconfigure(fulcio, |issuer| issuer.url = IssuerUrl::Exact(issuer_url.to_owned()));
    })
    .await;
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    harness.post(&challenge(token, &signer, subject).await).await
}
