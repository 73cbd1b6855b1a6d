// SPDX-License-Identifier: Apache-2.0
//! What goes wrong with holders, keys and time.

use serde_json::json;
use touchmark_keys::KeyType;
use touchmark_signers::EphemeralSigner;

use super::harness::{NOW, Party, days_later, trusted_root};
use crate::MetadataError;
use crate::ceremony::{CeremonyError, Change, Event, ONLINE, collect};
use crate::document::{Document, RoleType};
use crate::role::Root;
use crate::walk::{Memory, WalkError};

fn exchange(party: &Party, holder: &str) -> Change {
    Change {
        remove_holders: vec![holder.to_owned()],
        add_holders: vec![party.ceremony().enrolment(holder).unwrap()],
        ..Change::none(format!("{holder} has a new key"))
    }
}

#[tokio::test]
async fn a_lost_key_is_exchanged_by_the_others() {
    let party = Party::published(&["ann", "bob", "cy"], 2, NOW).await;
    let old = party.walk(NOW, Memory::default()).unwrap();
    party.enrol("ann").await;
    let event = party.begin(exchange(&party, "ann"), NOW);
    // The new key counts for the new root, and for nothing in the old one.
    party.sign(&event, "ann").await;
    party.sign(&event, "bob").await;
    assert!(matches!(
        party.plan(NOW).await,
        Err(CeremonyError::BelowThreshold(MetadataError::Threshold { needed: 2, .. }))
    ));
    let standing = collect(&event, &party.ceremony().signatures().unwrap()).standing(&event).unwrap();
    let by_old = standing.iter().find(|standing| standing.role == "root" && standing.by_root == 1).unwrap();
    assert_eq!((by_old.signed.as_slice(), by_old.is_met()), (&["bob".to_owned()][..], false));
    party.sign(&event, "cy").await;
    party.publish(NOW).await.unwrap();
    let walked = party.walk(NOW, old.memory()).unwrap();
    let keys: Vec<_> = walked.root.view().keys_of(RoleType::Root).filter_map(|(_, key)| key.fingerprint()).collect();
    assert!(keys.contains(&party.fingerprint("ann")) && keys.len() == 3);
}

#[tokio::test]
async fn thresholds_go_up_and_down_under_the_old_and_the_new_one() {
    let party = Party::published(&["ann", "bob", "cy"], 2, NOW).await;
    for (threshold, signers, enough) in [
        (3, &["ann", "bob"][..], false),
        (3, &["ann", "bob", "cy"], true),
        (2, &["ann", "cy"], false),
        (2, &["ann", "bob", "cy"], true),
    ] {
        if party.ceremony().event().unwrap().is_some() {
            party.ceremony().abort(NOW).unwrap();
        }
        let event = party.begin(Change { threshold: Some(threshold), ..Change::none(String::new()) }, NOW);
        party.signed_by(&event, signers).await;
        let planned = party.plan(NOW).await;
        assert_eq!(planned.is_ok(), enough, "{threshold} {signers:?}");
        match planned {
            Ok(publication) => drop(party.ceremony().publish(&publication, NOW).unwrap()),
            Err(error) => assert!(matches!(error, CeremonyError::BelowThreshold(_)), "{error}"),
        }
    }
    assert_eq!(party.walk(NOW, Memory::default()).unwrap().root.version(), 3);
    let refused = party.try_begin(Change { threshold: Some(1), ..Change::none(String::new()) }, NOW);
    assert!(matches!(refused, Err(CeremonyError::ThresholdOne)));
    let refused = party.try_begin(Change { threshold: Some(4), ..Change::none(String::new()) }, NOW);
    assert!(matches!(refused, Err(CeremonyError::Threshold { threshold: 4, holders: 3 })));
}

#[tokio::test]
async fn signatures_made_before_an_artifact_changed_do_not_count() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let first = party.begin(party.change_targets("two"), NOW);
    let early = party.signature(&first, "ann").await.unwrap();
    party.ceremony().abort(NOW).unwrap();
    let event = party.begin(party.change_targets("three"), NOW);
    crate::ceremony::write_file(&party.path("event/signatures/ann.json"), &early.to_json()).unwrap();
    party.sign(&event, "bob").await;
    assert!(matches!(party.plan(NOW).await, Err(CeremonyError::BelowThreshold(_))));
    let collected = collect(&event, &party.ceremony().signatures().unwrap());
    let (name, reason) = &collected.refused[0];
    assert_eq!(name, "ann.json");
    assert!(reason.contains(&first.id()) && reason.contains(&event.id()) && reason.contains("ask ann"), "{reason}");
    party.sign(&event, "ann").await;
    party.publish(NOW).await.unwrap();
}

#[tokio::test]
async fn a_signature_of_root_is_none_of_targets() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(Change { renew: true, ..Change::none(String::new()) }, NOW);
    let signature = party.signature(&event, "ann").await.unwrap();
    let mut twin: serde_json::Value = serde_json::from_slice(&signature.to_json()).unwrap();
    let root = twin["signatures"][0]["signature"].clone();
    twin["signatures"][1]["signature"] = root;
    let collected = collect(&event, &[("twin.json".to_owned(), twin.to_string().into_bytes())]);
    assert_eq!(collected.refused.len(), 1);
    twin["signatures"][1]["role"] = json!("snapshot");
    assert_eq!(collect(&event, &[("twin.json".to_owned(), twin.to_string().into_bytes())]).refused.len(), 1);
}

#[tokio::test]
async fn of_two_events_the_second_is_refused_and_one_on_an_old_base_must_be_made_anew() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    // Made beside the first on another machine: while it was carried around, the first was published.
    let beside = party.begin(party.change_targets("three"), NOW);
    party.ceremony().abort(NOW).unwrap();
    let first = party.begin(party.change_targets("two"), NOW);
    let refused = party.try_begin(party.change_targets("three"), NOW);
    assert!(matches!(refused, Err(CeremonyError::EventPending { .. })));
    party.signed_by(&first, &["ann", "bob"]).await;
    party.publish(NOW).await.unwrap();
    crate::ceremony::write_file(&party.ceremony().event_path(), &beside.to_json()).unwrap();
    party.signed_by(&beside, &["ann", "bob"]).await;
    let refused = party.plan(NOW).await;
    assert!(matches!(refused, Err(CeremonyError::Overtaken { base: (1, 1), published: (1, 2) })));
}

#[tokio::test]
async fn signing_of_the_online_roles_meanwhile_costs_no_signature() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(party.change_targets("two"), NOW);
    party.sign(&event, "ann").await;
    let before = party.walk(days_later(2), Memory::default()).unwrap();
    assert!(party.refresh(days_later(2)).await.unwrap().is_some());
    assert!(party.refresh(days_later(50)).await.unwrap().unwrap().files.contains(&"2.snapshot.json".to_owned()));
    party.sign(&event, "bob").await;
    party.publish(days_later(50)).await.unwrap();
    let after = party.walk(days_later(50), before.memory()).unwrap();
    assert_eq!((after.timestamp.version(), after.snapshot.version(), after.targets.version()), (4, 3, 2));
}

#[tokio::test]
async fn a_publication_that_was_planned_before_a_newer_timestamp_is_planned_anew() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(party.change_targets("two"), NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    let planned = party.plan(days_later(2)).await.unwrap();
    party.refresh(days_later(2)).await.unwrap().unwrap();
    let refused = party.ceremony().publish(&planned, days_later(2));
    assert!(matches!(refused, Err(CeremonyError::SignedMeanwhile)));
    assert!(party.walk(days_later(2), Memory::default()).unwrap().files["trusted_root.json"] == trusted_root("one"));
    party.publish(days_later(2)).await.unwrap();
    assert!(party.walk(days_later(2), Memory::default()).unwrap().files["trusted_root.json"] == trusted_root("two"));
}

#[tokio::test]
async fn a_snapshot_that_was_left_by_a_crash_is_never_named() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    std::fs::write(party.path("repository/2.snapshot.json"), "left by a crash").unwrap();
    party.refresh(days_later(60)).await.unwrap().unwrap();
    assert_eq!(party.walk(days_later(60), Memory::default()).unwrap().snapshot.version(), 3);
}

#[tokio::test]
async fn the_wrong_key_in_the_slot_is_told_from_the_right_one() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(party.change_targets("two"), NOW);
    let known = event
        .known_to(Some(crate::ceremony::KnownRoot(touchmark_keys::sha256(party.root().document().bytes()))))
        .unwrap();
    let stranger = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    for (holder, signer) in [("ann", &stranger), ("ann", &*party.key("bob"))] {
        let refused = crate::ceremony::sign(known, holder, signer).await;
        let Err(CeremonyError::WrongKey { expected, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(expected, party.fingerprint("ann"));
    }
    let refused = crate::ceremony::sign(known, "mallory", &stranger).await;
    assert!(matches!(refused, Err(CeremonyError::NotAHolder { .. })));
}

#[tokio::test]
async fn nobody_publishes_with_another_online_key() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(party.change_targets("two"), NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    let stranger = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    assert!(matches!(party.ceremony().plan(&stranger, NOW).await, Err(CeremonyError::WrongOnlineKey { .. })));
    assert!(matches!(
        party.ceremony().refresh(&stranger, days_later(3)).await,
        Err(CeremonyError::WrongOnlineKey { .. })
    ));
}

#[tokio::test]
async fn one_key_for_two_names_is_refused() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let ann = party.key("ann");
    let again = crate::ceremony::Enrolment::make("example", "ann2", &*ann).await.unwrap();
    let refused = party.try_begin(Change { add_holders: vec![again], ..Change::none(String::new()) }, NOW);
    assert!(matches!(refused, Err(CeremonyError::SameKey { .. })));
    let online = crate::ceremony::Enrolment::make("example", ONLINE, &*ann).await.unwrap();
    let refused = party.try_begin(Change { online_key: Some(online), ..Change::none(String::new()) }, NOW);
    assert!(matches!(refused, Err(CeremonyError::SameKey { .. })));
}

#[tokio::test]
async fn a_stolen_online_key_is_exchanged_and_its_fast_forwarded_versions_are_forgotten() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    // The thief shows a client a timestamp far ahead.
    let walked = party.walk(NOW, Memory::default()).unwrap();
    let mut signed = walked.timestamp.signed().clone();
    signed.insert("version".to_owned(), 4_000_000_000_u64.into());
    let forged = Document::write(RoleType::Timestamp, &signed, &[]).unwrap();
    let signature = touchmark_signers::Signer::sign(&*party.key(ONLINE), forged.canonical()).await.unwrap();
    let key_id = walked.root.view().role(RoleType::Timestamp).key_ids()[0].clone();
    let forged = forged.with_signatures(&[crate::document::SignatureEntry { key_id, signature }]).unwrap();
    let memory = Memory { timestamp: Some(forged.bytes().to_vec()), ..walked.memory() };
    let stuck = party.walk(NOW, memory.clone());
    assert!(matches!(stuck, Err(CeremonyError::Walk(WalkError { problem: MetadataError::RolledBack { .. }, .. }))));

    party.enrol(ONLINE).await;
    let online_key = Some(party.ceremony().enrolment(ONLINE).unwrap());
    let event = party.begin(Change { online_key, ..Change::none("the online key was stolen".to_owned()) }, NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    party.publish(NOW).await.unwrap();
    let walked = party.walk(NOW, memory).unwrap();
    assert_eq!((walked.root.version(), walked.snapshot.version()), (2, 2));
}

#[tokio::test]
async fn an_expired_root_or_timestamp_is_refused_and_mended_by_those_who_can() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let expired = |role: &str, at| match party.walk(at, Memory::default()) {
        Err(CeremonyError::Walk(WalkError { problem: MetadataError::Expired { role: found, .. }, .. })) => {
            found == role
        }
        _ => false,
    };
    assert!(expired("timestamp", days_later(7)) && expired("root", days_later(365)));
    party.refresh(days_later(7)).await.unwrap().unwrap();
    party.walk(days_later(7), Memory::default()).unwrap();
    // Nothing online helps against the end of what holders sign.
    for day in [365, 400] {
        let refused = party.refresh(days_later(day)).await;
        assert!(matches!(refused, Err(CeremonyError::Ended { role: "root", .. })), "{day}");
    }
    let event = party.begin(Change { renew: true, ..Change::none("renewal".to_owned()) }, days_later(400));
    party.signed_by(&event, &["ann", "bob"]).await;
    party.publish(days_later(400)).await.unwrap();
    let walked = party.walk(days_later(400), Memory::default()).unwrap();
    assert_eq!((walked.root.version(), walked.targets.version()), (2, 2));
}

#[tokio::test]
async fn a_repository_that_was_rolled_back_is_seen_by_whoever_saw_it_before() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let old = party.walk(NOW, Memory::default()).unwrap();
    let event = party.begin(party.change_targets("two"), NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    party.publish(NOW).await.unwrap();
    let new = party.walk(NOW, old.memory()).unwrap();
    std::fs::write(party.path("repository/timestamp.json"), old.timestamp.bytes()).unwrap();
    assert!(party.walk(NOW, Memory::default()).is_ok());
    let refused = party.walk(NOW, new.memory());
    assert!(matches!(refused, Err(CeremonyError::Walk(WalkError { problem: MetadataError::RolledBack { .. }, .. }))));
    // And whoever would publish on top of it is stopped: version 2 of the targets exists with another content.
    let refused = party.try_begin(party.change_targets("three"), NOW);
    assert!(matches!(refused, Err(CeremonyError::RolledBack { role: "targets", recorded: 2, found: 1 })));
}

#[tokio::test]
async fn left_alone_for_four_hundred_days_clients_see_no_end_but_the_announced_one_of_the_root() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let mut memory = Memory::default();
    for day in 0..400 {
        let signed = party.refresh(days_later(day)).await;
        match party.walk(days_later(day), memory.clone()) {
            Ok(walked) => {
                signed.unwrap();
                assert!(day < 365);
                let findings = crate::lint::lint(&walked, days_later(day));
                let announced = findings.iter().any(|finding| matches!(finding, crate::lint::Finding::EndsSoon { .. }));
                assert_eq!(announced, day >= 365 - crate::lint::WARN_DAYS, "day {day}");
                memory = walked.memory();
            }
            Err(CeremonyError::Walk(WalkError { problem: MetadataError::Expired { role, .. }, .. })) => {
                assert_eq!((role.as_str(), day >= 365), ("root", true), "day {day}");
                assert!(matches!(signed, Err(CeremonyError::Ended { role: "root", .. })), "day {day}");
            }
            Err(error) => panic!("day {day}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_timestamp_ends_with_what_it_stands_on_and_is_not_signed_again_and_again_then() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let signed: Vec<i64> = {
        let mut days = Vec::new();
        for day in 355..365 {
            if party.refresh(days_later(day)).await.unwrap().is_some() {
                days.push(day);
            }
        }
        days
    };
    assert_eq!(signed, [355, 356, 357, 358]);
    let walked = party.walk(days_later(364), Memory::default()).unwrap();
    assert_eq!(walked.timestamp.expires(), walked.root.document().expires());
}

#[tokio::test]
async fn a_new_root_brings_new_targets_so_that_these_never_end_first() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    party.enrol(ONLINE).await;
    let online_key = Some(party.ceremony().enrolment(ONLINE).unwrap());
    for (change, days) in [
        (Change { online_key, ..Change::none(String::new()) }, 100),
        (party.change_targets("two"), 200),
        (Change { renew: true, ..Change::none(String::new()) }, 300),
    ] {
        party.refresh(days_later(days)).await.ok();
        let event = party.begin(change, days_later(days));
        party.signed_by(&event, &["ann", "bob"]).await;
        party.publish(days_later(days)).await.unwrap();
        let walked = party.walk(days_later(days), Memory::default()).unwrap();
        assert!(walked.targets.expires() >= walked.root.document().expires());
    }
}

#[tokio::test]
async fn a_root_is_refused_with_any_signature_of_a_stranger_in_place_of_a_holders() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let root = party.root();
    let stranger = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let forged = touchmark_signers::Signer::sign(&stranger, root.document().canonical()).await.unwrap();
    for position in 0..2 {
        let mut entries = root.document().signatures().to_vec();
        entries[position].signature = forged.clone();
        let twin = root.document().with_signatures(&entries).unwrap();
        assert!(matches!(Root::pinned(twin.bytes().to_vec()), Err(MetadataError::Threshold { .. })));
    }
}

#[tokio::test]
async fn an_enrolment_that_was_put_in_the_place_of_the_accepted_one_is_refused() {
    let party = Party::of(&["ann", "bob"], 2).await;
    let mallory = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let forged = crate::ceremony::Enrolment::make("example", "bob", &mallory).await.unwrap();
    std::fs::write(party.path("holders/bob.json"), forged.to_json()).unwrap();
    let refused = party.ceremony().first_change(String::new());
    assert!(matches!(refused, Err(CeremonyError::NotAccepted { holder, .. }) if holder == "bob"));
}

#[tokio::test]
async fn a_key_is_exchanged_for_another_one_or_not_at_all() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    for holder in ["bob", ONLINE] {
        let same = party.ceremony().enrolment(holder).unwrap();
        let mut change = Change::none(String::new());
        match holder {
            ONLINE => change.online_key = Some(same),
            _ => (change.remove_holders, change.add_holders) = (vec![holder.to_owned()], vec![same]),
        }
        let refused = party.try_begin(change, NOW);
        assert!(matches!(refused, Err(CeremonyError::NotExchanged { holder: named }) if named == holder));
    }
}

/// The name of a ceremony is in nothing that is signed: it must not be able to say anything else to who reads it.
#[tokio::test]
async fn an_event_whose_ceremony_has_no_name_is_refused() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(party.change_targets("two"), NOW);
    let mut json: serde_json::Value = serde_json::from_slice(&event.to_json()).unwrap();
    json["ceremony"] = "example\n  nothing changes\u{1b}[8m".into();
    let refused = Event::from_json(&serde_json::to_vec(&json).unwrap());
    assert!(matches!(refused, Err(CeremonyError::Name { .. })), "{refused:?}");
}
