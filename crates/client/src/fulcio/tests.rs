// SPDX-License-Identifier: Apache-2.0
//! Whether a certificate names who the token names, for each type of name.

use jiff::{SignedDuration, Timestamp};
use touchmark_keys::KeyType;
use touchmark_signers::EphemeralSigner;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use touchmark_sigstore::issue::{LeafTemplate, assemble};
use touchmark_sigstore::principal::Principal;

use super::*;

const ISSUER: &str = "https://issuer.example";

fn claims() -> TokenClaims {
    TokenClaims {
        issuer: ISSUER.to_owned(),
        subject: "subject".to_owned(),
        email: None,
        email_verified: false,
        federated_issuer: None,
        audience: Vec::new(),
        expires: Timestamp::MAX,
        nonce: None,
    }
}

/// A certificate of this identity; an empty subject is left out of it, as authorities before Fulcio 1.8.6 do.
async fn leaf(issuer: &str, subject: &str, san: SubjectAltName) -> Certificate {
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let not_before = Timestamp::from_second(1_800_000_000).unwrap();
    let not_after = not_before + SignedDuration::from_mins(10);
    let root = CaTemplate {
        serial: [1; 20],
        not_before,
        not_after,
        name: AuthorityName { organization: "o".to_owned(), common_name: "c".to_owned() },
        public_key: signer.public_key().clone(),
        profile: CaProfile::Root,
        signature_scheme: signer.scheme(),
    };
    let root = signed(&signer, &root.tbs().unwrap()).await;
    let principal = Principal {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        san,
        proof_subject: String::new(),
        extensions: Vec::new(),
    };
    let leaf = LeafTemplate {
        serial: [2; 20],
        not_before,
        not_after,
        public_key: signer.public_key().clone(),
        principal: &principal,
        issuer: &root,
        signature_scheme: signer.scheme(),
    };
    signed(&signer, &leaf.ct_tbs().unwrap()).await
}

async fn signed(signer: &EphemeralSigner, tbs: &[u8]) -> Certificate {
    let signature = signer.sign(tbs).await.unwrap();
    Certificate::from_der(&assemble(tbs, signer.scheme(), &signature).unwrap()).unwrap()
}

/// Whether the certificate is taken for that of the claims.
async fn accepts(claims: &TokenClaims, subject: &str, san: SubjectAltName) -> bool {
    check_identity(claims, &leaf(ISSUER, subject, san).await).is_ok()
}

#[tokio::test]
async fn an_email_is_the_tokens_email() {
    let email = |text: &str| SubjectAltName::Email(text.to_owned());
    let alice = TokenClaims { email: Some("alice@example.com".to_owned()), ..claims() };
    assert!(accepts(&alice, "subject", email("alice@example.com")).await);
    assert!(accepts(&alice, "", email("alice@example.com")).await);
    assert!(!accepts(&alice, "subject", email("Alice@example.com")).await);
    assert!(!accepts(&alice, "subject", email("mallory@example.com")).await);
    assert!(!accepts(&alice, "other", email("alice@example.com")).await);
    assert!(!accepts(&claims(), "subject", email("alice@example.com")).await);
}

#[tokio::test]
async fn a_uri_is_the_subject_or_stands_beside_it() {
    let uri = |text: &str| SubjectAltName::Uri(text.to_owned());
    let subject = TokenClaims { subject: "https://a.example/x".to_owned(), ..claims() };
    assert!(accepts(&subject, "", uri("https://a.example/x")).await);
    assert!(accepts(&claims(), "subject", uri("https://github.com/a/b/.github/workflows/c.yml@refs/heads/main")).await);
    assert!(!accepts(&claims(), "other", uri("https://github.com/a/b")).await);
    let person = TokenClaims { email: Some("alice@example.com".to_owned()), ..claims() };
    assert!(!accepts(&person, "", uri("https://github.com/a/b")).await);
}

#[tokio::test]
async fn a_username_begins_with_the_subject_and_a_dns_name_is_nobodys() {
    let username = |text: &str| SubjectAltName::Username(text.to_owned());
    assert!(accepts(&claims(), "subject", username("subject!a.example")).await);
    assert!(!accepts(&claims(), "subject", username("subjects!a.example")).await);
    assert!(!accepts(&claims(), "subject", SubjectAltName::Dns("a.example".to_owned())).await);
}

#[tokio::test]
async fn the_issuer_is_the_tokens_or_the_one_that_it_federates() {
    let san = SubjectAltName::Uri("subject".to_owned());
    let github = leaf("https://github.com/login/oauth", "subject", san).await;
    assert!(check_identity(&claims(), &github).is_err());
    let federated = TokenClaims { federated_issuer: Some("https://github.com/login/oauth".to_owned()), ..claims() };
    assert_eq!(check_identity(&federated, &github).unwrap().issuer, "https://github.com/login/oauth");
}
