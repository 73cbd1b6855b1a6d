// SPDX-License-Identifier: Apache-2.0
//! Another key, chain and identities take over while requests are answered.

use async_trait::async_trait;
use axum::http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use touchmark_keys::{Digest, KeyError, KeyType, PublicKey, Scheme};
use touchmark_signers::{EphemeralSigner, Signer, SignerError};
use touchmark_sigstore::ct::Sct;
use touchmark_sigstore::issue::authority::CaProfile;
use touchmark_sigstore::x509::Certificate;
use touchmark_sigstore::x509::path::PathError;

use super::super::config::TokenLimits;
use super::super::*;
use super::harness::{Harness, TestCa, authority, chain_of, challenge, reconfigure};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A log that is as slow as the test wants.
struct GatedLog {
    log: Arc<dyn CtSubmit>,
    arrived: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl CtSubmit for GatedLog {
    fn public_key(&self) -> &PublicKey {
        self.log.public_key()
    }

    async fn submit(&self, precertificate: &Certificate, chain: &[Certificate]) -> Result<Sct, CtError> {
        self.arrived.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        self.log.submit(precertificate, chain).await
    }
}

async fn ask(harness: &Harness) -> (u16, Value) {
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    harness.post(&challenge(&harness.token().await, &signer, "alice@example.com").await).await
}

async fn hand_over(harness: &Harness, ca: CertificateAuthority) {
    let config = harness.serving.current().config.clone();
    let successor = harness.serving.prepare(config, ca).await.unwrap();
    harness.serving.hand_over(successor);
}

async fn trust_bundle(harness: &Harness) -> Vec<Vec<Certificate>> {
    let request = Request::get("/api/v2/trustBundle").body(axum::body::Body::empty()).unwrap();
    let (status, reply) = harness.send(request).await;
    assert_eq!(status, 200);
    let chains = reply["chains"].as_array().unwrap().iter();
    chains
        .map(|chain| {
            let certificates = chain["certificates"].as_array().unwrap().iter();
            certificates.map(|pem| Certificate::from_pem(pem.as_str().unwrap()).unwrap()).collect()
        })
        .collect()
}

#[tokio::test]
async fn a_request_ends_with_the_authority_that_it_began_with() {
    let (arrived, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (to_arrive, to_pass) = (Arc::clone(&arrived), Arc::clone(&gate));
    let harness = Harness::with(|fulcio| {
        let log = fulcio.ct.first();
        fulcio.ct = CtLogs::only(Arc::new(GatedLog { log, arrived: to_arrive, gate: to_pass }));
    })
    .await;
    let next = harness.ca.renewed(DAY).await;
    let begun = ask(&harness);
    let change = async {
        // The precertificate is signed, the certificate is not.
        arrived.acquire().await.unwrap().forget();
        hand_over(&harness, next.authority().with_previous(vec![harness.ca.chain.clone()]).unwrap()).await;
        gate.add_permits(1);
    };
    let ((status, reply), ()) = tokio::join!(begun, change);
    assert_eq!(status, 200, "{reply}");
    assert_eq!(chain_of(&reply)[1..], harness.ca.chain);
    gate.add_permits(1);
    let (status, reply) = ask(&harness).await;
    assert_eq!(status, 200, "{reply}");
    let chain = chain_of(&reply);
    assert_eq!(chain[1..], next.chain);
    chain[0].verify_issued_by(&next.chain[0]).unwrap();
    assert_eq!(trust_bundle(&harness).await, [next.chain, harness.ca.chain.clone()]);
}

#[tokio::test]
async fn a_previous_chain_is_published_until_a_certificate_of_it_has_ended() {
    let harness = Harness::new().await;
    let next = harness.ca.renewed(DAY + DAY / 2).await;
    let (stranger, old) = (TestCa::new().await, harness.ca.chain.clone());
    let previous = vec![old.clone(), next.chain.clone(), old.clone(), stranger.chain.clone()];
    hand_over(&harness, next.authority().with_previous(previous).unwrap()).await;
    assert_eq!(trust_bundle(&harness).await, [next.chain.clone(), old, stranger.chain.clone()]);
    harness.clock.advance_ms(24 * 3600 * 1000 + 1000);
    assert_eq!(trust_bundle(&harness).await, std::slice::from_ref(&next.chain));
    let (mixed, leaf) = (vec![stranger.chain[0].clone(), next.root()], stranger.chain[..1].to_vec());
    for (chains, expect) in [
        (vec![mixed], FulcioStartError::PreviousChainLink { number: 0, position: 0 }),
        (vec![stranger.chain.clone(), leaf], FulcioStartError::PreviousChainLink { number: 1, position: 0 }),
    ] {
        assert_eq!(next.authority().with_previous(chains).err(), Some(expect));
    }
}

/// Away, or wrong.
struct Faulty {
    public_key: PublicKey,
    other: Option<EphemeralSigner>,
}

const AWAY: SignerError = SignerError::Key(KeyError::Backend);

#[async_trait]
impl Signer for Faulty {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn scheme(&self) -> Scheme {
        Scheme::EcdsaP256Sha256
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match &self.other {
            Some(other) => other.sign(message).await,
            None => Err(AWAY),
        }
    }

    async fn sign_digest(&self, _: &Digest) -> Result<Vec<u8>, SignerError> {
        Err(AWAY)
    }
}

#[tokio::test]
async fn what_could_not_issue_does_not_take_over() {
    let harness = Harness::new().await;
    let next = harness.ca.renewed(DAY).await;
    let signed_by = |other| {
        let faulty = Faulty { public_key: next.signer.public_key().clone(), other };
        CertificateAuthority::new(Arc::new(faulty), next.chain.clone()).unwrap()
    };
    let ended = harness.ca.renewed(SignedDuration::from_secs(-30)).await;
    let config = || harness.serving.current().config.clone();
    let no_issuer = FulcioConfig { issuers: Vec::new(), ..config() };
    let stranger = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    for (config, authority, expect) in [
        (config(), signed_by(None), FulcioStartError::Trial(AWAY)),
        (config(), signed_by(Some(stranger)), FulcioStartError::TrialSignature),
        (config(), ended.authority(), FulcioStartError::ChainNotValid),
        (no_issuer, next.authority(), FulcioStartError::NoIssuer),
    ] {
        assert_eq!(harness.serving.prepare(config, authority).await.err(), Some(expect));
    }
    let (status, reply) = ask(&harness).await;
    assert_eq!((status, &chain_of(&reply)[1..]), (200, harness.ca.chain.as_slice()));
}

#[tokio::test]
async fn an_authority_for_something_else_is_refused() {
    let ca = TestCa::new().await;
    let root = ca.root();
    let profile = CaProfile::TimeStampingIntermediate { issuer: &root };
    let intermediate = authority(&ca.signer, &ca.root_signer, "time", profile, DAY).await;
    let signer = Arc::clone(&ca.signer) as Arc<dyn Signer>;
    let refused = CertificateAuthority::new(signer, vec![intermediate, root]).err();
    let Some(FulcioStartError::ChainUnfit(PathError::AuthorityExtendedKeyUsage { position: 1, .. })) = refused else {
        panic!("{refused:?}")
    };
}

#[tokio::test]
async fn a_token_that_was_used_up_stays_so_and_an_entry_that_is_the_same_keeps_its_keys() {
    let once = TokenLimits { reuse: Reuse::Refused, ..TokenLimits::default() };
    let harness = Harness::with(|fulcio| reconfigure(fulcio, |issuer| issuer.limits = once)).await;
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let request = challenge(&harness.token().await, &signer, "alice@example.com").await;
    assert_eq!(harness.post(&request).await.0, 200);
    let before = harness.serving.current().issuers.find(&harness.issuer.url).unwrap();
    hand_over(&harness, harness.ca.authority()).await;
    let same = harness.serving.current().issuers.find(&harness.issuer.url).unwrap();
    assert!(Arc::ptr_eq(&before, &same));
    let replayed = |(status, reply): (u16, Value)| (status, reply["details"][0]["reason"].clone());
    let replay = (400, json!("TOKEN_REPLAYED"));
    assert_eq!(replayed(harness.post(&request).await), replay);
    // Another entry for the same issuer.
    let mut config = harness.serving.current().config.clone();
    Arc::make_mut(&mut config.issuers[0]).limits.age_max = Some(std::time::Duration::from_secs(3000));
    let successor = harness.serving.prepare(config, harness.ca.authority()).await.unwrap();
    harness.serving.hand_over(successor);
    let other = harness.serving.current().issuers.find(&harness.issuer.url).unwrap();
    assert!(!Arc::ptr_eq(&before, &other));
    assert_eq!(replayed(harness.post(&request).await), replay);
    // The entry serves who comes with another token.
    let mut claims = harness.issuer.claims(harness.now_s());
    claims["jti"] = json!("another");
    let another = harness.issuer.token(&claims).await;
    assert_eq!(harness.post(&challenge(&another, &signer, "alice@example.com").await).await.0, 200);
}

#[test]
fn what_was_used_up_at_an_issuer_of_a_pattern_stays_so() {
    let clock: Arc<dyn touchmark_sequencer::Clock> = super::harness::TestClock::new();
    let ways_out = crate::deps::WaysOut::new("test");
    let url = "https://oidc.example.com/id/a";
    let entry = |url: IssuerUrl, client_id: &str| {
        let limits = TokenLimits { reuse: Reuse::Refused, ..TokenLimits::default() };
        Arc::new(IssuerConfig { url, client_id: client_id.to_owned(), limits, ..IssuerConfig::email("") })
    };
    let pattern = pattern::IssuerPattern::parse("https://oidc.example.com/id/*").unwrap();
    let wide = |client_id| entry(IssuerUrl::Pattern(pattern.clone()), client_id);
    let first = Issuers::new(&[wide("one")], &ways_out, &clock);
    let met = first.find(url).unwrap();
    for (next, same) in [
        (vec![wide("one")], true),
        (vec![wide("other")], false),
        (vec![entry(IssuerUrl::Exact(url.to_owned()), "one")], false),
        (vec![wide("other"), entry(IssuerUrl::Exact(url.to_owned()), "one")], false),
    ] {
        let next = first.succeeded_by(&next, &ways_out, &clock);
        assert_eq!(Arc::ptr_eq(&met, &next.find(url).unwrap()), same);
        assert!(Arc::ptr_eq(&first.used, &next.used));
    }
    // Also where no entry was about it for a while.
    let gone = first.succeeded_by(&[], &ways_out, &clock);
    let back = gone.succeeded_by(&[wide("one")], &ways_out, &clock);
    assert!(Arc::ptr_eq(&first.used, &back.used));
}
