// SPDX-License-Identifier: Apache-2.0
//! Rotations of the public instance's documents, with the keys of others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::ToSpan as _;
use serde_json::json;
use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer as _};

use super::*;
use crate::ceremony::Change;
use crate::ceremony::tests::{NOW, Party};

fn public(name: &str) -> Vec<u8> {
    let targets = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository/targets");
    std::fs::read(format!("{targets}/{name}")).unwrap()
}

fn published() -> Documents {
    let config = public("signing_config_rekor_v2.v0.2.json");
    Documents::from([(TRUSTED_ROOT.to_owned(), public(TRUSTED_ROOT)), (SIGNING_CONFIG.to_owned(), config)])
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// What the services say of themselves: the same, but the newest of a list has another key, or chain, and another address.
fn new_service(trust: &str, service: &str) -> (Vec<u8>, Vec<u8>) {
    let mut root = value(&public(TRUSTED_ROOT));
    let entry = root[trust].as_array_mut().unwrap().last_mut().unwrap();
    if entry.get("publicKey").is_some() {
        let key = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let spki = key.public_key().spki_der();
        entry["logId"]["keyId"] = json!(STANDARD.encode(sha256(spki)));
        entry["publicKey"]["rawBytes"] = json!(STANDARD.encode(spki));
        entry["publicKey"]["keyDetails"] = json!("PKIX_ECDSA_P256_SHA_256");
        entry["publicKey"]["validFor"] = json!({ "start": "2026-11-01T00:00:00Z" });
    } else {
        // Only a chain that is new to the list is needed, not a good one.
        let certificates = entry["certChain"]["certificates"].as_array_mut().unwrap();
        certificates.remove(0);
    }
    let mut config = value(&public("signing_config_rekor_v2.v0.2.json"));
    config[service][0]["url"] = json!("https://log2027-1.example.com");
    (root.to_string().into_bytes(), config.to_string().into_bytes())
}

fn new_log() -> (Vec<u8>, Vec<u8>) {
    new_service("tlogs", "rekorTlogUrls")
}

#[test]
fn a_new_key_is_trusted_at_once_and_used_later_and_nothing_is_lost() {
    let (root, config) = new_log();
    let sign_from = at("2026-12-10T00:00:00Z");
    let next = rotate(&published(), &root, Some(&config), sign_from).unwrap();
    let (before, after) = (value(&published()[TRUSTED_ROOT]), value(&next[TRUSTED_ROOT]));
    let (old, new) = (before["tlogs"].as_array().unwrap(), after["tlogs"].as_array().unwrap());
    assert_eq!(new.len(), old.len() + 1);
    assert_eq!(new[old.len() - 1]["publicKey"]["rawBytes"], old[old.len() - 1]["publicKey"]["rawBytes"]);
    let mut ended = old[old.len() - 1].clone();
    ended["publicKey"]["validFor"]["end"] = json!("2026-12-11T00:00:00Z");
    assert_eq!(new[old.len() - 1], ended);
    for list in ["certificateAuthorities", "ctlogs", "timestampAuthorities", "mediaType"] {
        assert_eq!(after[list], before[list]);
    }
    let services = value(&next[SIGNING_CONFIG]);
    assert_eq!(services["rekorTlogUrls"][0]["url"], "https://log2027-1.example.com");
    assert_eq!(services["rekorTlogUrls"][0]["validFor"]["start"], sign_from.to_string());
    assert_eq!(services["rekorTlogUrls"][1]["validFor"]["end"], sign_from.to_string());
    assert_eq!(services["caUrls"], value(&published()[SIGNING_CONFIG])["caUrls"]);
    assert!(
        TrustedRoot::from_json(&next[TRUSTED_ROOT]).is_ok() && SigningConfig::from_json(&next[SIGNING_CONFIG]).is_ok()
    );
}

#[test]
fn services_that_say_what_is_published_change_nothing() {
    let same = rotate(
        &published(),
        &published()[TRUSTED_ROOT],
        Some(&published()[SIGNING_CONFIG]),
        at("2026-12-10T00:00:00Z"),
    );
    assert!(matches!(same, Err(CeremonyError::NothingChanges)));
    let nonsense = rotate(&published(), b"{}", None, at("2026-12-10T00:00:00Z"));
    assert!(matches!(nonsense, Err(CeremonyError::Unreadable { .. })));
}

#[test]
fn an_entry_that_takes_another_with_it_is_refused() {
    let (root, config) = new_log();
    let mut twin = value(&root);
    twin["tlogs"][1]["logId"] = value(&public(TRUSTED_ROOT))["tlogs"][1]["logId"].clone();
    let twin = twin.to_string().into_bytes();
    let refused = rotate(&published(), &twin, Some(&config), at("2026-12-10T00:00:00Z"));
    let Err(CeremonyError::Unreadable { problem, .. }) = refused else { panic!("{refused:?}") };
    assert!(problem.contains("the same id and another key"), "{problem}");
}

fn take_back(
    published: &Documents,
    key: [u8; 32],
    urls: &[String],
    since: Timestamp,
) -> Result<Documents, CeremonyError> {
    revoke(published, key, (urls, Addresses::Left), since, NOW)
}

#[test]
fn trust_is_not_taken_back_while_clients_are_sent_there() {
    let published = published();
    let root = TrustedRoot::from_json(&published[TRUSTED_ROOT]).unwrap();
    let config = value(&published[SIGNING_CONFIG]);
    let url = config["rekorTlogUrls"][0]["url"].as_str().unwrap().to_owned();
    let log = root.tlogs().iter().find(|log| log.base_url() == url).unwrap().public_key().spki_sha256();
    let revoke =
        |urls: &[String], addresses| revoke(&published, log, (urls, addresses), at("2026-11-20T00:00:00Z"), NOW);
    let refused = revoke(&[], Addresses::Checked);
    assert!(matches!(&refused, Err(CeremonyError::StillNamed { urls }) if *urls == [url.clone()]), "{refused:?}");
    assert!(revoke(&[], Addresses::Left).is_ok());
    assert_eq!(revoke(std::slice::from_ref(&url), Addresses::Checked).unwrap().len(), 2);
}

#[test]
fn trust_is_taken_back_by_key_or_certificate_and_the_address_goes() {
    let published = published();
    let root = TrustedRoot::from_json(&published[TRUSTED_ROOT]).unwrap();
    let since = at("2026-11-20T00:00:00Z");
    let log = root.tlogs()[0].public_key().spki_sha256();
    let authority = root.certificate_authorities()[1].chain()[0].clone();
    for (key, list, index) in [
        (log, "tlogs", 0),
        (sha256(authority.der()), "certificateAuthorities", 1),
        (sha256(authority.spki_der()), "certificateAuthorities", 1),
    ] {
        let next = take_back(&published, key, &[], since).unwrap();
        let (after, before) = (value(&next[TRUSTED_ROOT]), value(&published[TRUSTED_ROOT]));
        let entry = &after[list][index];
        assert_eq!(entry.get("publicKey").unwrap_or(entry)["validFor"]["end"], since.to_string());
        assert_eq!(after[list].as_array().unwrap().len(), before[list].as_array().unwrap().len());
        assert!(!next.contains_key(SIGNING_CONFIG));
    }
    let url = value(&published[SIGNING_CONFIG])["rekorTlogUrls"][0]["url"].as_str().unwrap().to_owned();
    let next = take_back(&published, log, std::slice::from_ref(&url), since).unwrap();
    assert!(!String::from_utf8_lossy(&next[SIGNING_CONFIG]).contains(&url));
    assert!(matches!(take_back(&published, [0; 32], &[], since), Err(CeremonyError::NothingTrusted { .. })));
    let unknown = take_back(&published, log, &["https://nowhere.example.com".to_owned()], since);
    assert!(matches!(unknown, Err(CeremonyError::NothingTrusted { .. })));
}

#[test]
fn taking_trust_back_never_gives_more_of_it() {
    let published = published();
    let root = TrustedRoot::from_json(&published[TRUSTED_ROOT]).unwrap();
    // The first CT log of the public instance ended in 2022.
    let log = root.ctlogs()[0].public_key().spki_sha256();
    let end =
        |documents: &Documents| value(&documents[TRUSTED_ROOT])["ctlogs"][0]["publicKey"]["validFor"]["end"].clone();
    let ended = end(&published);
    assert!(ended.as_str().unwrap().starts_with("2022-10-31"));
    assert!(matches!(take_back(&published, log, &[], at("2026-11-20T00:00:00Z")), Err(CeremonyError::NothingChanges)));
    let earlier = take_back(&published, log, &[], at("2022-01-01T00:00:00Z")).unwrap();
    assert_eq!(end(&earlier), "2022-01-01T00:00:00Z");
    // An entry that would end before it begins is one that no client can read.
    let refused = take_back(&published, log, &[], at("2001-01-01T00:00:00Z"));
    assert!(matches!(refused, Err(CeremonyError::Unreadable { .. })), "{refused:?}");
}

/// Publishes documents at a time, and puts the event away where that is refused.
async fn publish(party: &Party, documents: Documents, now: Timestamp) -> Result<(), CeremonyError> {
    let change = Change { set_targets: documents.keys().cloned().collect(), ..Change::none(String::new()) };
    let event = party.ceremony().begin(change, documents, now).unwrap();
    party.signed_by(&event, &["ann", "bob"]).await;
    let published = party.publish(now).await;
    if published.is_err() {
        party.ceremony().abort(now).unwrap();
    }
    published.map(drop)
}

fn present(party: &Party) -> Documents {
    party.ceremony().published().unwrap().unwrap().1.files
}

fn days(days: i64) -> Timestamp {
    NOW.checked_add((days * 24).hours()).unwrap()
}

#[tokio::test]
async fn no_service_of_any_kind_is_signed_with_before_verifiers_know_its_key() {
    for (trust, service) in [
        ("tlogs", "rekorTlogUrls"),
        ("certificateAuthorities", "caUrls"),
        // The certificate authority is where a CT log is used.
        ("ctlogs", "caUrls"),
        ("timestampAuthorities", "tsaUrls"),
    ] {
        let party = Party::published(&["ann", "bob"], 2, NOW).await;
        publish(&party, published(), NOW).await.unwrap();
        let (root, config) = new_service(trust, service);
        for lead in [0, 6] {
            let next = rotate(&published(), &root, Some(&config), days(lead)).unwrap();
            let refused = publish(&party, next, NOW).await;
            let Err(CeremonyError::SignsTooEarly { url, earliest, .. }) = refused else { panic!("{trust} {lead}") };
            assert_eq!((url.as_str(), earliest), ("https://log2027-1.example.com", days(7)), "{trust}");
        }
        publish(&party, rotate(&published(), &root, Some(&config), days(7)).unwrap(), NOW).await.unwrap();
    }
}

#[tokio::test]
async fn a_second_event_does_not_pull_forward_what_the_first_has_put_off() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    publish(&party, published(), NOW).await.unwrap();
    let (root, config) = new_log();
    // Published ten days after the beginning, whenever it was made.
    publish(&party, rotate(&published(), &root, Some(&config), days(24)).unwrap(), days(10)).await.unwrap();
    let pulled = |party: &Party, start: i64| {
        let mut config = value(&present(party)[SIGNING_CONFIG]);
        config["rekorTlogUrls"][0]["validFor"]["start"] = json!(days(start).to_string());
        Documents::from([(SIGNING_CONFIG.to_owned(), config.to_string().into_bytes())])
    };
    for (day, start) in [(10, 10), (11, 11), (16, 16), (11, 16)] {
        let refused = publish(&party, pulled(&party, start), days(day)).await;
        let Err(CeremonyError::SignsTooEarly { earliest, .. }) = refused else { panic!("{day} {start}") };
        assert_eq!(earliest, days(17));
    }
    // Everybody knows the key by then.
    publish(&party, pulled(&party, 17), days(11)).await.unwrap();
    publish(&party, pulled(&party, 18), days(18)).await.unwrap();
}

#[tokio::test]
async fn nor_does_one_that_adds_the_service_to_a_key_that_an_earlier_one_has_added() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    publish(&party, published(), NOW).await.unwrap();
    let (root, config) = new_log();
    publish(&party, rotate(&present(&party), &root, None, days(10)).unwrap(), days(10)).await.unwrap();
    // Something else meanwhile does not make the key any older.
    let other = Documents::from([("other.txt".to_owned(), b"other".to_vec())]);
    publish(&party, other, days(12)).await.unwrap();
    let next = |party: &Party, start| rotate(&present(party), &root, Some(&config), days(start)).unwrap();
    assert!(matches!(publish(&party, next(&party, 13), days(13)).await, Err(CeremonyError::SignsTooEarly { .. })));
    publish(&party, next(&party, 20), days(20)).await.unwrap();
}

#[tokio::test]
async fn in_an_emergency_the_order_is_broken_only_where_that_was_said() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let (root, config) = new_log();
    for (documents, sign_before_verifiers_know) in
        [(published(), false), (rotate(&published(), &root, Some(&config), NOW).unwrap(), true)]
    {
        let set_targets = documents.keys().cloned().collect();
        let change = Change { set_targets, sign_before_verifiers_know, ..Change::none("stolen".to_owned()) };
        let event = party.ceremony().begin(change, documents, NOW).unwrap();
        party.signed_by(&event, &["ann", "bob"]).await;
        party.publish(NOW).await.unwrap();
    }
}
