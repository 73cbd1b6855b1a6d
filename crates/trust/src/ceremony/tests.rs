// SPDX-License-Identifier: Apache-2.0
//! Ceremonies from nothing to a published root, and each way in which they go wrong.

mod delegations;
mod harness;
mod interrupted;
mod recorded;
mod trouble;

pub(in crate::ceremony) use harness::{NOW, Party, trusted_root};

use proptest::prelude::*;

use super::*;
use crate::document::RoleType;
use crate::walk::Memory;

#[tokio::test]
async fn three_holders_of_five_publish_a_root_that_a_client_walks() {
    let party = Party::of(&["ann", "bob", "cy", "dee", "eve"], 3).await;
    let event = party.begin(party.first(), NOW);
    assert_eq!((event.root_after().document().version(), event.targets_after().version()), (1, 1));
    for (holders, enough) in [(&["ann", "bob"][..], false), (&["ann", "bob", "eve"], true)] {
        for holder in holders {
            party.sign(&event, holder).await;
        }
        assert_eq!(party.plan(NOW).await.is_ok(), enough);
    }
    let published = party.publish(NOW).await.unwrap();
    assert_eq!(published.files.last().map(String::as_str), Some("timestamp.json"));
    let walked = party.walk(NOW, Memory::default()).unwrap();
    assert!(walked.files["trusted_root.json"] == trusted_root("one"));
    assert_eq!(walked.root.view().role(RoleType::Root).threshold(), 3);
    assert!(party.ceremony().event().unwrap().is_none());
    // Five enrolments and the online key, the beginning, the event and the publication.
    assert_eq!(party.ceremony().check_log().unwrap().0, 9);
}

#[tokio::test]
async fn targets_change_without_a_new_root_and_what_is_unknown_stays() {
    let party = Party::published(&["ann", "bob", "cy"], 2, NOW).await;
    let before = party.walk(NOW, Memory::default()).unwrap();
    let event = party.begin(party.change_targets("two"), NOW);
    assert!(event.root().is_none());
    party.signed_by(&event, &["bob", "cy"]).await;
    party.publish(NOW).await.unwrap();
    let after = party.walk(NOW, before.memory()).unwrap();
    assert_eq!((after.root.version(), after.targets.version(), after.snapshot.version()), (1, 2, 2));
    assert!(after.files["trusted_root.json"] == trusted_root("two"));
    assert_eq!(after.targets.signed()["x-tuf-on-ci-expiry-period"], 365);
}

#[tokio::test]
async fn an_event_is_read_back_as_it_was_made_and_no_byte_of_it_can_be_changed() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(party.change_targets("two"), NOW);
    let text = String::from_utf8(event.to_json()).unwrap();
    assert_eq!(Event::from_json(text.as_bytes()).unwrap().id(), event.id());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let other = party.base64(&trusted_root("other"));
    for (pointer, twin, expect) in [
        ("/files/trusted_root.json", other.as_str(), "targets metadata of the event is not what its inputs give"),
        ("/created", "2026-11-24T10:00:00Z", "is not what its inputs give"),
        ("/targets", other.as_str(), "is not what its inputs give"),
        ("/base/files/trusted_root.json", other.as_str(), "does not hold the file of target"),
        ("/base/targets", other.as_str(), "targets of the event's base"),
        ("/base/roots/0", other.as_str(), "root 1 of the event's base"),
        ("/ceremony", "another", ""),
    ] {
        let mut changed = value.clone();
        *changed.pointer_mut(pointer).unwrap() = twin.into();
        let read = Event::from_json(changed.to_string().as_bytes());
        if pointer == "/ceremony" {
            // Nothing in this event depends on it; whoever opens the ceremony compares it.
            std::fs::write(party.ceremony().event_path(), changed.to_string()).unwrap();
            assert!(matches!(party.ceremony().event(), Err(CeremonyError::OtherCeremony { .. })));
            continue;
        }
        let error = read.unwrap_err().to_string();
        assert!(error.contains(expect), "{pointer}: {error}");
    }
}

#[tokio::test]
async fn a_holder_signs_only_what_continues_a_root_that_he_knows() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let stranger = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(party.change_targets("two"), NOW);
    let known = |party: &Party| KnownRoot(touchmark_keys::sha256(party.root().document().bytes()));
    assert!(event.known_to(Some(known(&party))).is_ok());
    assert!(matches!(event.known_to(Some(known(&stranger))), Err(CeremonyError::UnknownBase { .. })));
    assert!(matches!(event.known_to(None), Err(CeremonyError::NoKnownRoot)));
}

#[tokio::test]
async fn a_holder_signs_nothing_on_top_of_older_targets_than_he_knows() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let targets = || party.walk(NOW, Memory::default()).unwrap().targets;
    let hash = |document: &crate::document::Document| touchmark_keys::sha256(document.bytes());
    let first = targets();
    let event = party.begin(party.change_targets("two"), NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    party.publish(NOW).await.unwrap();
    let second = targets();
    // The coordinator has older targets, and signs them as the newest.
    let stale = event;
    for (known, is_continued) in [
        (KnownTargets::From(first.clone()), true),
        (KnownTargets::Exactly(hash(&first)), true),
        (KnownTargets::From(second.clone()), false),
        (KnownTargets::Exactly(hash(&second)), false),
    ] {
        let continues = stale.continues(&known);
        assert_eq!(continues.is_ok(), is_continued, "{known:?}");
        assert!(is_continued || matches!(continues, Err(CeremonyError::UnknownTargets { found: 1 })));
    }
    // Later ones than known continue them; others of the same number do not.
    let event = party.begin(party.change_targets("three"), NOW);
    assert!(event.continues(&KnownTargets::From(first)).is_ok());
    let stranger = Party::published(&["ann", "bob"], 2, harness::days_later(1)).await;
    let other = stranger.walk(NOW, Memory::default()).unwrap().targets;
    assert!(stale.continues(&KnownTargets::From(other)).is_err());
}

#[tokio::test]
async fn a_change_is_told_by_what_it_means() {
    let party = Party::published(&["ann", "bob", "cy"], 2, NOW).await;
    let mut change = party.change_targets("two");
    change.remove_holders = vec!["cy".to_owned()];
    party.enrol("dee").await;
    change.add_holders = vec![party.ceremony().enrolment("dee").unwrap()];
    let event = party.begin(change, NOW);
    let told = crate::diff::differences(&event);
    let find = |subject: &str| told.iter().find(|difference| difference.subject == subject).unwrap();
    let dee = party.fingerprint("dee").to_string();
    assert!(find("root: root signer dee").after.as_ref().unwrap().contains(&dee));
    assert_eq!(find("root: root signer cy").after, None);
    assert_eq!(find("root: version").after.as_deref(), Some("2"));
    assert!(find("targets: file trusted_root.json").before.as_ref().unwrap().contains(" bytes"));
    assert!(
        told.iter().all(|difference| !difference.subject.contains("ann") && !difference.subject.contains("threshold"))
    );
}

#[tokio::test]
async fn one_holder_alone_is_refused_unless_it_was_said() {
    assert!(matches!(Policy::new("example", &["ann".to_owned()], 1, Solo::Refused), Err(CeremonyError::ThresholdOne)));
    let party = Party::published(&["ann"], 1, NOW).await;
    let event = party.begin(Change { renew: true, ..Change::none(String::new()) }, NOW);
    party.signed_by(&event, &["ann"]).await;
    party.publish(NOW).await.unwrap();
    assert_eq!(party.walk(NOW, Memory::default()).unwrap().root.version(), 2);
}

#[tokio::test]
async fn unknown_members_survive_every_edit() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let (roots, walked) = party.ceremony().published().unwrap().unwrap();
    let mut signed = walked.targets.signed().clone();
    signed.insert("x-of-another".to_owned(), json!({ "deep": [1, null] }));
    signed["targets"]["trusted_root.json"]["custom"] = json!({ "sigstore": { "status": "Active" } });
    let targets = crate::document::Document::write(RoleType::Targets, &signed, &[]).unwrap();
    let base = Base { roots, targets, files: walked.files };
    let change = party.change_targets("two");
    let made = change::propose("example", Some(&base), &change, &party.files("two"), NOW).unwrap();
    let made = made.targets.unwrap();
    assert_eq!(made.signed()["x-of-another"], signed["x-of-another"]);
    assert_eq!(made.signed()["targets"]["trusted_root.json"]["custom"]["sigstore"]["status"], "Active");
    assert_eq!(made.version(), 2);
}

/// Files that were written when the formats were new, one of each.
#[test]
fn files_of_the_first_version_are_read() {
    let event = Event::from_json(include_bytes!("../../testdata/ceremony/event.json")).unwrap();
    assert_eq!((event.ceremony(), event.files().len()), ("example", 1));
    let enrolment = Enrolment::from_json(include_bytes!("../../testdata/ceremony/enrolment.json")).unwrap();
    assert_eq!(enrolment.verified("example").unwrap().holder(), "tess");
    let signature = SignatureFile::from_json(include_bytes!("../../testdata/ceremony/signature.json")).unwrap();
    assert_eq!(signature.holder(), "ann");
    let version = DelegatedVersion::from_json(include_bytes!("../../testdata/ceremony/delegated.json")).unwrap();
    assert_eq!((version.role(), version.document().version()), ("tools", 1));
}

proptest! {
    #[test]
    fn any_bytes_are_a_file_of_a_ceremony_or_an_error(bytes: Vec<u8>) {
        prop_assert!(Event::from_json(&bytes).is_err());
        prop_assert!(SignatureFile::from_json(&bytes).is_err());
        prop_assert!(Enrolment::from_json(&bytes).is_err());
        prop_assert!(Publication::from_json(&bytes).is_err());
        prop_assert!(DelegatedVersion::from_json(&bytes).is_err());
        prop_assert!(Policy::from_json(&bytes).is_err());
    }
}
