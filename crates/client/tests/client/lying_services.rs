// SPDX-License-Identifier: Apache-2.0
//! Services that lie: whatever one sends that is not the answer to our request, from the instance that we trust, is refused before
//! it is used, and the refusal names the check.

use std::sync::Mutex;

use crate::support::{ALICE, Instance, Liar, artifact, proxy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use touchmark_client::service::ServiceKind;
use touchmark_client::sign::{ReplyError, SignError, Subject, sign};
use touchmark_keys::{PublicKey, random};
use touchmark_signers::{FileSigner, Signer as _};
use touchmark_sigstore::ct::{Sct, embedded_scts};
use touchmark_sigstore::issue::{LeafTemplate, assemble};
use touchmark_sigstore::principal::{Principal, SubjectAltName};
use touchmark_sigstore::trust::{Services, TrustedRoot};
use touchmark_sigstore::tsp::TimestampRequest;
use touchmark_sigstore::verify::Check;
use touchmark_sigstore::x509::csr::Csr;
use touchmark_sigstore::x509::{Certificate, chain_from_pem};

/// Which service was caught, and by which check.
#[track_caller]
fn caught<T>(result: Result<T, SignError>) -> (ServiceKind, &'static str) {
    let Err(SignError::Reply { service, source, .. }) = result else {
        panic!("not refused as a reply: {:?}", result.err());
    };
    let name = match &source {
        ReplyError::Verify(error) => error.check().name(),
        ReplyError::ForeignKey => "key",
        ReplyError::ForeignIdentity { .. } => "identity",
        ReplyError::Timestamp(_) => "timestamp",
        ReplyError::OwnEntry(_) | ReplyError::Entry(_) => "log",
    };
    assert!(source.to_string().starts_with(&format!("check {name}: ")), "{source}");
    (service, name)
}

/// Gives its first reply for ever: the answer to somebody else's request.
#[derive(Default)]
struct Replays(Mutex<Option<Vec<u8>>>);

impl Liar for Replays {
    fn reply(&self, body: Vec<u8>) -> Vec<u8> {
        self.0.lock().unwrap().get_or_insert(body).clone()
    }
}

type Edit = fn(&mut Value);

/// Edits the JSON of a reply.
struct Edits(Edit);

impl Liar for Edits {
    fn reply(&self, body: Vec<u8>) -> Vec<u8> {
        let mut value = serde_json::from_slice(&body).unwrap();
        (self.0)(&mut value);
        serde_json::to_vec(&value).unwrap()
    }
}

#[tokio::test]
async fn honest_services_lead_to_a_bundle() {
    let instance = Instance::start().await;
    let signed = instance.sign_with(&instance.services, "honest").await.unwrap();
    assert_eq!(signed.verified().certified().unwrap().identity().san(), &SubjectAltName::Email(ALICE.to_owned()));
    assert_eq!(signed.verified().certified().unwrap().identity().issuer(), instance.issuer());
}

#[tokio::test]
async fn one_credential_signs_many_files() {
    let instance = Instance::start().await;
    let credential = instance.certify_with(&instance.services).await.unwrap();
    for text in ["one", "two", "three"] {
        sign(&instance.signing(&instance.services), &credential, Subject::Artifact(&artifact(text))).await.unwrap();
    }
    assert!(credential.is_usable_at(Timestamp::now()));
    assert!(!credential.is_usable_at(Timestamp::now() + SignedDuration::from_mins(10)));
}

// The certificate authority.

#[tokio::test]
async fn a_certificate_for_another_key_is_refused() {
    let instance = Instance::start().await;
    let ca = proxy(&instance.services.ca, Replays::default()).await;
    let services = Services { ca, ..instance.services.clone() };
    instance.certify_with(&services).await.unwrap();
    assert_eq!(caught(instance.certify_with(&services).await), (ServiceKind::CertificateAuthority, "key"));
}

#[tokio::test]
async fn a_certificate_for_another_identity_is_refused() {
    /// Asks for a certificate with a token of its own.
    struct SwapsToken(String);

    impl Liar for SwapsToken {
        fn request(&self, body: Vec<u8>) -> Vec<u8> {
            let mut request: Value = serde_json::from_slice(&body).unwrap();
            request["credentials"]["oidcIdentityToken"] = json!(self.0);
            serde_json::to_vec(&request).unwrap()
        }
    }

    let instance = Instance::start().await;
    let token = instance.raw_token("mallory@example.com").await;
    let ca = proxy(&instance.services.ca, SwapsToken(token)).await;
    let services = Services { ca, ..instance.services.clone() };
    assert_eq!(caught(instance.certify_with(&services).await), (ServiceKind::CertificateAuthority, "identity"));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (instance, stranger) = (Instance::start().await, Instance::start().await);
    let mut ca = ForgingCa::of(&stranger);
    ca.identity_issuer = instance.issuer();
    ca.scts = honest_scts(&instance).await;
    let services = Services { ca: proxy(&instance.services.ca, ca).await, ..instance.services.clone() };
    assert_eq!(caught(instance.certify_with(&services).await), (ServiceKind::CertificateAuthority, "chain"));
}

#[tokio::test]
async fn a_certificate_without_sct_is_refused() {
    let instance = Instance::start().await;
    let services =
        Services { ca: proxy(&instance.services.ca, ForgingCa::of(&instance)).await, ..instance.services.clone() };
    assert_eq!(caught(instance.certify_with(&services).await), (ServiceKind::CertificateAuthority, "sct"));
}

#[tokio::test]
async fn the_sct_of_another_certificate_is_refused() {
    let instance = Instance::start().await;
    let mut ca = ForgingCa::of(&instance);
    ca.scts = honest_scts(&instance).await;
    let services = Services { ca: proxy(&instance.services.ca, ca).await, ..instance.services.clone() };
    assert_eq!(caught(instance.certify_with(&services).await), (ServiceKind::CertificateAuthority, "sct"));
}

#[tokio::test]
async fn the_sct_of_a_log_outside_the_trust_root_is_refused() {
    let (mut instance, stranger) = (Instance::start().await, Instance::start().await);
    let root = &instance.trusted_root;
    instance.trusted_root = TrustedRoot::new(
        root.tlogs().to_vec(),
        root.certificate_authorities().to_vec(),
        stranger.trusted_root.ctlogs().to_vec(),
        root.timestamp_authorities().to_vec(),
    );
    let services = instance.services.clone();
    assert_eq!(caught(instance.certify_with(&services).await), (ServiceKind::CertificateAuthority, "sct"));
}

#[tokio::test]
async fn a_reply_that_is_no_certificate_is_not_understood() {
    let instance = Instance::start().await;
    for edit in [
        (|reply| *reply = json!({})) as Edit,
        |reply| reply["signedCertificateEmbeddedSct"]["chain"]["certificates"] = json!([]),
        |reply| {
            reply["signedCertificateEmbeddedSct"]["chain"]["certificates"][0] = json!("-----BEGIN CERTIFICATE-----")
        },
    ] {
        let services = Services { ca: proxy(&instance.services.ca, Edits(edit)).await, ..instance.services.clone() };
        let refused = instance.certify_with(&services).await.err();
        assert!(matches!(refused, Some(SignError::Service(_))), "{refused:?}");
    }
}

// The transparency log.

async fn sign_with_log(instance: &Instance, liar: impl Liar) -> Result<(), SignError> {
    // A tree of one entry has an empty proof: let there be something to lie about.
    instance.sign_with(&instance.services, "before").await.unwrap();
    let rekor = vec![proxy(&instance.services.rekor[0], liar).await];
    let services = Services { rekor, ..instance.services.clone() };
    instance.sign_with(&services, "first").await?;
    instance.sign_with(&services, "second").await.map(drop)
}

#[tokio::test]
async fn another_entry_is_refused() {
    let instance = Instance::start().await;
    assert_eq!(caught(sign_with_log(&instance, Replays::default()).await), (ServiceKind::TransparencyLog, "log"));
}

#[tokio::test]
async fn an_edited_entry_proof_or_checkpoint_is_refused() {
    let instance = Instance::start().await;
    // What a proof of Rekor v2 says of root and size is said again by the signed checkpoint, which alone counts.
    let edits: [(&str, Edit); 7] = [
        ("index", |entry| entry["logIndex"] = json!("0")),
        ("body", |entry| flip(&mut entry["canonicalizedBody"])),
        ("hash", |entry| flip(&mut entry["inclusionProof"]["hashes"][0])),
        ("no hashes", |entry| entry["inclusionProof"]["hashes"] = json!([])),
        ("log id", |entry| flip(&mut entry["logId"]["keyId"])),
        ("no proof", |entry| entry["inclusionProof"] = json!(null)),
        ("checkpoint", |entry| {
            let envelope = &mut entry["inclusionProof"]["checkpoint"]["envelope"];
            let text = envelope.as_str().unwrap();
            let (body, signature) = text.trim_end().rsplit_once(' ').unwrap();
            let mut bytes = STANDARD.decode(signature).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            *envelope = json!(format!("{body} {}\n", STANDARD.encode(bytes)));
        }),
    ];
    for (what, edit) in edits {
        let result = sign_with_log(&instance, Edits(edit)).await;
        assert!(result.is_err(), "{what} was accepted");
        assert_eq!(caught(result), (ServiceKind::TransparencyLog, "log"), "{what}");
    }
}

/// Another first byte, in base64.
fn flip(text: &mut Value) {
    let mut bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
    bytes[0] ^= 1;
    *text = json!(STANDARD.encode(bytes));
}

#[tokio::test]
async fn an_entry_of_a_log_outside_the_trust_root_is_refused() {
    let (instance, stranger) = (Instance::start().await, Instance::start().await);
    let services = Services { rekor: stranger.services.rekor.clone(), ..instance.services.clone() };
    assert_eq!(caught(instance.sign_with(&services, "x").await), (ServiceKind::TransparencyLog, "log"));
}

// The timestamp authority.

async fn sign_with_tsa(instance: &Instance, liar: impl Liar) -> Result<(), SignError> {
    let services = Services { tsa: vec![proxy(&instance.services.tsa[0], liar).await], ..instance.services.clone() };
    instance.sign_with(&services, "first").await?;
    instance.sign_with(&services, "second").await.map(drop)
}

#[tokio::test]
async fn the_timestamp_of_another_signature_is_refused() {
    let instance = Instance::start().await;
    assert_eq!(caught(sign_with_tsa(&instance, Replays::default()).await), (ServiceKind::TimestampAuthority, "time"));
}

#[tokio::test]
async fn a_timestamp_with_another_or_no_nonce_is_refused() {
    struct EditsNonce(Option<Vec<u8>>);

    impl Liar for EditsNonce {
        fn request(&self, body: Vec<u8>) -> Vec<u8> {
            let request = TimestampRequest { nonce: self.0.clone(), ..TimestampRequest::from_der(&body).unwrap() };
            request.to_der().unwrap()
        }
    }

    let instance = Instance::start().await;
    for nonce in [None, Some(vec![1, 2, 3])] {
        let result = sign_with_tsa(&instance, EditsNonce(nonce)).await;
        assert_eq!(caught(result), (ServiceKind::TimestampAuthority, "timestamp"));
    }
}

#[tokio::test]
async fn an_edited_timestamp_is_refused() {
    struct FlipsByte(fn(&[u8]) -> usize);

    impl Liar for FlipsByte {
        fn reply(&self, mut body: Vec<u8>) -> Vec<u8> {
            let place = (self.0)(&body);
            body[place] ^= 1;
            body
        }
    }

    /// The last digit of genTime, which is the first time in a token.
    fn seconds(reply: &[u8]) -> usize {
        let digits = |bytes: &[u8]| bytes[..14].iter().all(u8::is_ascii_digit) && bytes[14] == b'Z';
        reply.windows(15).position(digits).unwrap() + 13
    }

    let instance = Instance::start().await;
    for place in [|_| 0, seconds, |reply| reply.len() - 1] as [fn(&[u8]) -> usize; 3] {
        let result = sign_with_tsa(&instance, FlipsByte(place)).await;
        assert_eq!(caught(result), (ServiceKind::TimestampAuthority, "time"));
    }
}

#[tokio::test]
async fn a_timestamp_of_an_authority_outside_the_trust_root_is_refused() {
    let (instance, stranger) = (Instance::start().await, Instance::start().await);
    let services = Services { tsa: stranger.services.tsa.clone(), ..instance.services.clone() };
    assert_eq!(caught(instance.sign_with(&services, "x").await), (ServiceKind::TimestampAuthority, "time"));
}

// What the signing config leaves out.

#[tokio::test]
async fn without_a_timestamp_authority_nothing_is_signed() {
    let instance = Instance::start().await;
    let services = Services { tsa: Vec::new(), ..instance.services.clone() };
    assert!(matches!(instance.sign_with(&services, "x").await.err(), Some(SignError::NoTimestampAuthority)));
}

#[tokio::test]
async fn without_a_log_the_bundle_does_not_verify_and_is_not_returned() {
    use touchmark_client::sign::OwnBundleError;

    let instance = Instance::start().await;
    let services = Services { rekor: Vec::new(), ..instance.services.clone() };
    let refused = instance.sign_with(&services, "x").await.err();
    let Some(SignError::OwnBundle(OwnBundleError::Verify(error))) = refused else { panic!("{refused:?}") };
    assert_eq!(error.check(), Check::Log);
}

/// A certificate authority with the real key that answers as it likes.
struct ForgingCa {
    key: FileSigner,
    issuer: Certificate,
    identity_issuer: String,
    scts: Vec<Sct>,
    asked_for: Mutex<Option<PublicKey>>,
}

impl ForgingCa {
    fn of(instance: &Instance) -> Self {
        let chain = std::fs::read_to_string(instance.data("ca/chain.pem")).unwrap();
        Self {
            key: FileSigner::open(&instance.data("keys/ca.pem"), None).unwrap(),
            issuer: chain_from_pem(&chain).unwrap().remove(0),
            identity_issuer: instance.issuer(),
            scts: Vec::new(),
            asked_for: Mutex::default(),
        }
    }

    /// Alice's certificate for this key, with the SCTs that it was given, or none.
    fn forge(&self, public_key: PublicKey) -> Certificate {
        let principal = Principal {
            issuer: self.identity_issuer.clone(),
            subject: ALICE.to_owned(),
            san: SubjectAltName::Email(ALICE.to_owned()),
            proof_subject: ALICE.to_owned(),
            extensions: Vec::new(),
        };
        let mut serial = [0; 20];
        random(&mut serial);
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let template = LeafTemplate {
            serial,
            not_before: now,
            not_after: now + SignedDuration::from_mins(10),
            public_key,
            principal: &principal,
            issuer: &self.issuer,
            signature_scheme: self.key.scheme(),
        };
        let tbs = if self.scts.is_empty() {
            template.ct_tbs()
        } else {
            template.certificate_tbs(&self.scts).map(|tbs| tbs.to_vec())
        }
        .unwrap();
        let signature = std::thread::scope(|scope| {
            let sign = || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(self.key.sign(&tbs)).unwrap()
            };
            scope.spawn(sign).join().unwrap()
        });
        Certificate::from_der(&assemble(&tbs, self.key.scheme(), &signature).unwrap()).unwrap()
    }
}

impl Liar for ForgingCa {
    fn request(&self, body: Vec<u8>) -> Vec<u8> {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let csr = STANDARD.decode(request["certificateSigningRequest"].as_str().unwrap()).unwrap();
        *self.asked_for.lock().unwrap() = Some(Csr::from_pem(&csr).unwrap().public_key().unwrap());
        body
    }

    fn reply(&self, _: Vec<u8>) -> Vec<u8> {
        let public_key = self.asked_for.lock().unwrap().take().unwrap();
        let leaf = self.forge(public_key).to_pem();
        let reply =
            json!({ "signedCertificateEmbeddedSct": { "chain": { "certificates": [leaf, self.issuer.to_pem()] } } });
        serde_json::to_vec(&reply).unwrap()
    }
}

/// Good SCTs, of another certificate of the same instance.
async fn honest_scts(instance: &Instance) -> Vec<Sct> {
    let credential = instance.certify_with(&instance.services).await.unwrap();
    embedded_scts(credential.issued().leaf()).unwrap()
}
