// SPDX-License-Identifier: Apache-2.0
//! Rotations of the public instance's documents, with the keys of others.

use jiff::ToSpan as _;
use serde_json::json;

use super::*;

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

/// What the services say of themselves: the same, but their newest log has another key and another address.
fn new_log() -> (Vec<u8>, Vec<u8>) {
    let mut root = value(&public(TRUSTED_ROOT));
    let logs = root["tlogs"].as_array_mut().unwrap();
    let mut log = logs.pop().unwrap();
    log["publicKey"]["rawBytes"] = value(&public(TRUSTED_ROOT))["ctlogs"][1]["publicKey"]["rawBytes"].clone();
    log["publicKey"]["keyDetails"] = json!("PKIX_ECDSA_P256_SHA_256");
    log["publicKey"]["validFor"] = json!({ "start": "2026-11-01T00:00:00Z" });
    logs.push(log);
    let mut config = value(&public("signing_config_rekor_v2.v0.2.json"));
    config["rekorTlogUrls"][0]["url"] = json!("https://log2027-1.example.com");
    (root.to_string().into_bytes(), config.to_string().into_bytes())
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
        let next = revoke(&published, key, &[], since).unwrap();
        let (after, before) = (value(&next[TRUSTED_ROOT]), value(&published[TRUSTED_ROOT]));
        let entry = &after[list][index];
        assert_eq!(entry.get("publicKey").unwrap_or(entry)["validFor"]["end"], since.to_string());
        assert_eq!(after[list].as_array().unwrap().len(), before[list].as_array().unwrap().len());
        assert!(!next.contains_key(SIGNING_CONFIG));
    }
    let url = value(&published[SIGNING_CONFIG])["rekorTlogUrls"][0]["url"].as_str().unwrap().to_owned();
    let next = revoke(&published, log, std::slice::from_ref(&url), since).unwrap();
    assert!(!String::from_utf8_lossy(&next[SIGNING_CONFIG]).contains(&url));
    assert!(matches!(revoke(&published, [0; 32], &[], since), Err(CeremonyError::NothingTrusted { .. })));
    let unknown = revoke(&published, log, &["https://nowhere.example.com".to_owned()], since);
    assert!(matches!(unknown, Err(CeremonyError::NothingTrusted { .. })));
}

#[tokio::test]
async fn no_service_is_signed_with_before_verifiers_know_its_key() {
    use crate::ceremony::tests::{NOW, Party};
    use crate::ceremony::{Change, Event};
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let publish = async |documents: Documents, change: Change| {
        let change = Change { set_targets: documents.keys().cloned().collect(), ..change };
        let event: Event = party.ceremony().begin(change, documents, NOW).unwrap();
        party.signed_by(&event, &["ann", "bob"]).await;
        let published = party.publish(NOW).await;
        if published.is_err() {
            party.ceremony().abort(NOW).unwrap();
        }
        published
    };
    publish(published(), Change::none(String::new())).await.unwrap();
    let (root, config) = new_log();
    let lead = |days: i64| NOW.checked_add((days * 24).hours()).unwrap();
    let next = |days| rotate(&published(), &root, Some(&config), lead(days)).unwrap();
    for days in [0, 6] {
        let refused = publish(next(days), Change::none(String::new())).await;
        assert!(matches!(refused, Err(CeremonyError::SignsTooEarly { .. })), "{days}");
    }
    publish(next(7), Change::none(String::new())).await.unwrap();
}

#[tokio::test]
async fn in_an_emergency_the_order_is_broken_only_where_that_was_said() {
    use crate::ceremony::Change;
    use crate::ceremony::tests::{NOW, Party};
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
