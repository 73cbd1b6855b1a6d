// SPDX-License-Identifier: Apache-2.0
//! Roles that are delegated to: begun by the holders of the root, published by their own, kept by the online machine.

use std::collections::BTreeMap;

use touchmark_signers::Signer as _;

use super::harness::{NOW, Party, days_later, trusted_root};
use crate::MetadataError;
use crate::ceremony::{
    CeremonyError, Change, DelegatedVersion, DelegationWish, Event, ONLINE, Publication, Published, RoleWish,
    ScopeWish, Search, TRUSTED_ROOT, write_file,
};
use crate::document::{Document, SignatureEntry};
use crate::lint::{Finding, lint};
use crate::stated::{Pin, TargetFile};
use crate::walk::{Memory, Walked};

fn paths(pattern: &str) -> ScopeWish {
    ScopeWish::Paths { patterns: vec![pattern.to_owned()], search: Search::Terminates }
}

fn wish(party: &Party, role: &str, holders: &[&str], threshold: u32, scope: ScopeWish) -> DelegationWish {
    let holders = holders.iter().map(|holder| party.ceremony().enrolment(holder).unwrap()).collect();
    DelegationWish { role: role.to_owned(), holders, keys: Vec::new(), threshold, scope }
}

fn delegation(wish: DelegationWish) -> Change {
    Change { set_delegations: vec![wish], ..Change::none(String::new()) }
}

/// A team whose targets delegate `team/*` to tess and tom, of whom one is enough.
async fn delegating(threshold: u32) -> Party {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    party.enrol("tess").await;
    party.enrol("tom").await;
    begun(&party, delegation(wish(&party, "team", &["tess", "tom"], threshold, paths("team/*")))).await;
    party
}

async fn begun(party: &Party, change: Change) -> Event {
    let event = party.begin(change, NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    party.publish(NOW).await.unwrap();
    event
}

fn published(party: &Party) -> Walked {
    party.ceremony().published().unwrap().unwrap().1
}

fn file(path: &str, content: &str) -> RoleWish {
    RoleWish { set_targets: BTreeMap::from([(path.to_owned(), content.as_bytes().to_vec())]), ..RoleWish::default() }
}

fn made(party: &Party, role: &str, wish: RoleWish) -> Result<DelegatedVersion, CeremonyError> {
    let version = DelegatedVersion::make(&published(party), None, role, wish, NOW)?;
    // As it is carried.
    DelegatedVersion::from_json(&version.to_json())
}

async fn signed(party: &Party, version: DelegatedVersion, holder: &str) -> Result<DelegatedVersion, CeremonyError> {
    version.sign(&published(party), None, &*party.key(holder)).await
}

async fn plan(party: &Party, version: &DelegatedVersion) -> Result<Publication, CeremonyError> {
    party.ceremony().plan_delegated(version, &*party.key(ONLINE), NOW).await
}

async fn publishes(party: &Party, version: &DelegatedVersion) -> Result<Published, CeremonyError> {
    let publication = plan(party, version).await?;
    // What is noted down before the first file is written is read back by whoever finishes it.
    assert_eq!(Publication::from_json(&publication.to_json()).unwrap(), publication);
    party.ceremony().publish_delegated(version, &publication, NOW)
}

/// The role has targets, signed by tess.
async fn with_targets(party: &Party, content: &str) {
    let version = made(party, "team", file("team/tool", content)).unwrap();
    publishes(party, &signed(party, version, "tess").await.unwrap()).await.unwrap();
}

fn pinned(snapshot: &Document, role: &str) -> u64 {
    Pin::read(snapshot, &format!("{role}.json")).unwrap().version
}

#[tokio::test]
async fn a_role_publishes_by_itself_and_its_targets_are_kept() {
    let party = delegating(1).await;
    let before = party.walk(NOW, Memory::default()).unwrap();
    let unpublished = Finding::DelegationUnpublished { role: "team".to_owned() };
    assert!(lint(&before, NOW).contains(&unpublished));
    with_targets(&party, "one").await;
    let first = party.walk(NOW, before.memory()).unwrap();
    assert_eq!(first.delegated["team"].files["team/tool"], b"one");
    assert!(!lint(&first, NOW).contains(&unpublished));
    with_targets(&party, "two").await;
    let second = party.walk(NOW, first.memory()).unwrap();
    assert_eq!(second.delegated["team"].files["team/tool"], b"two");
    // Root and targets are as they were; the online machine signs on, and the role stays in the snapshot.
    assert_eq!((second.root.version(), second.targets.version()), (1, 2));
    party.refresh(days_later(50)).await.unwrap().unwrap();
    let later = party.walk(days_later(50), second.memory()).unwrap();
    assert_eq!((pinned(&later.snapshot, "team"), later.snapshot.version()), (2, second.snapshot.version() + 1));
    // And so it does through an event about something else.
    begun(&party, party.change_targets("new")).await;
    let after = party.walk(NOW, Memory::default()).unwrap();
    assert!(after.files["trusted_root.json"] == trusted_root("new"));
    assert_eq!(pinned(&after.snapshot, "team"), 2);
    assert_eq!(after.delegated["team"].files["team/tool"], b"two");
}

#[tokio::test]
async fn the_event_tells_who_may_state_what() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    party.enrol("tess").await;
    let event = begun(&party, delegation(wish(&party, "team", &["tess"], 1, paths("team/*")))).await;
    let told = crate::diff::differences(&event);
    let find = |subject: &str| told.iter().find(|difference| difference.subject == subject).unwrap().after.clone();
    let scope = find("targets: delegation team").unwrap();
    assert_eq!(scope, "number 1, 1 of 1, paths team/*, nobody is asked after it");
    let tess = party.fingerprint("tess").to_string();
    assert!(find("targets: delegation team signer tess").unwrap().contains(&tess));
    party.enrol("tess").await;
    let exchange = party.begin(delegation(wish(&party, "team", &["tess"], 1, paths("team/?"))), NOW);
    let told = crate::diff::differences(&exchange);
    let signer = told.iter().find(|difference| difference.subject == "targets: delegation team signer tess").unwrap();
    assert!(signer.before.as_ref().unwrap().contains(&tess) && signer.after.is_some());
}

#[tokio::test]
async fn only_what_the_role_may_say_is_published() {
    let party = delegating(2).await;
    let one = signed(&party, made(&party, "team", file("team/tool", "one")).unwrap(), "tess").await.unwrap();
    let below = plan(&party, &one).await;
    assert!(matches!(below, Err(CeremonyError::DelegatedBelowThreshold(MetadataError::Threshold { needed: 2, .. }))));
    // The same key twice is one vote; one of the root's holders has none.
    let twice = signed(&party, one.clone(), "tess").await.unwrap();
    assert_eq!(twice.votes(&published(&party), None).unwrap(), (1, 2));
    assert!(matches!(signed(&party, one.clone(), "ann").await, Err(CeremonyError::NoSay { .. })));
    let both = signed(&party, one, "tom").await.unwrap();
    publishes(&party, &both).await.unwrap();
    assert!(matches!(plan(&party, &both).await, Err(CeremonyError::DelegatedOvertaken { expected: 2, found: 1, .. })));
    let public = String::from_utf8(trusted_root("")).unwrap();
    for (path, content) in [("trusted_root.json", public.as_str()), ("team/deep/tool", "x"), ("other", "x")] {
        assert!(matches!(made(&party, "team", file(path, content)), Err(CeremonyError::OutOfScope { .. })), "{path}");
    }
    for path in ["team/../tool", "/team", "team/.hidden", "team//tool"] {
        assert!(matches!(made(&party, "team", file(path, "x")), Err(CeremonyError::TargetPath { .. })), "{path}");
    }
    assert!(matches!(made(&party, "nobody", file("team/x", "x")), Err(CeremonyError::NoDelegation { .. })));
    let short = RoleWish { expiry_days: Some(6), ..file("team/tool", "two") };
    let short = signed(&party, made(&party, "team", short).unwrap(), "tess").await.unwrap();
    let short = signed(&party, short, "tom").await.unwrap();
    assert!(matches!(plan(&party, &short).await, Err(CeremonyError::DelegatedEndsSoon { .. })));
}

/// Whoever has a key of the role can sign what `make` refuses.
#[tokio::test]
async fn a_role_that_says_more_than_was_delegated_is_not_published() {
    let party = delegating(1).await;
    let version = signed(&party, made(&party, "team", file("team/tool", "one")).unwrap(), "tess").await.unwrap();
    let mut stated = version.document().signed().clone();
    stated["targets"]["trusted_root.json"] = TargetFile::entry(b"evil");
    let document = Document::write(version.document().role_type(), &stated, &[]).unwrap();
    let key_id = version.document().signatures()[0].key_id.clone();
    let signature = party.key("tess").sign(document.canonical()).await.unwrap();
    let document = document.with_signatures(&[SignatureEntry { key_id, signature }]).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&version.to_json()).unwrap();
    file["metadata"] = party.base64(document.bytes()).into();
    file["files"]["trusted_root.json"] = party.base64(b"evil").into();
    let evil = DelegatedVersion::from_json(file.to_string().as_bytes()).unwrap();
    assert_eq!(evil.votes(&published(&party), None).unwrap(), (1, 1));
    assert!(matches!(plan(&party, &evil).await, Err(CeremonyError::Reserved { path, .. }) if path == TRUSTED_ROOT));
}

#[tokio::test]
async fn a_file_that_is_changed_on_its_way_is_refused() {
    let party = delegating(1).await;
    let version = signed(&party, made(&party, "team", file("team/tool", "one")).unwrap(), "tess").await.unwrap();
    let value: serde_json::Value = serde_json::from_slice(&version.to_json()).unwrap();
    for (pointer, twin) in [("/files/team~1tool", party.base64(b"two")), ("/metadata", party.base64(b"{}"))] {
        let mut changed = value.clone();
        *changed.pointer_mut(pointer).unwrap() = twin.into();
        assert!(DelegatedVersion::from_json(changed.to_string().as_bytes()).is_err(), "{pointer}");
    }
    // What was signed for another role, or changed after it was signed, has no signature that counts.
    let mut document = version.document().signed().clone();
    document["expires"] = "2030-01-01T00:00:00Z".into();
    let forged = Document::write(version.document().role_type(), &document, version.document().signatures()).unwrap();
    let mut changed = value;
    changed["metadata"] = party.base64(forged.bytes()).into();
    let forged = DelegatedVersion::from_json(changed.to_string().as_bytes()).unwrap();
    assert!(matches!(plan(&party, &forged).await, Err(CeremonyError::DelegatedBelowThreshold(_))));
}

#[tokio::test]
async fn nothing_is_signed_over_a_delegated_role_that_is_missing_or_does_not_verify() {
    let party = delegating(1).await;
    with_targets(&party, "one").await;
    let path = party.path("repository/1.team.json");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    for damage in [None, Some(&bad)] {
        match damage {
            None => std::fs::remove_file(&path).unwrap(),
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
        }
        assert!(
            matches!(party.refresh(days_later(2)).await, Err(CeremonyError::Walk(error)) if error.file == "1.team.json")
        );
    }
    std::fs::write(&path, good).unwrap();
    assert!(party.refresh(days_later(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_role_that_ends_takes_nothing_with_it_and_can_come_back() {
    let party = delegating(1).await;
    let wish = RoleWish { expiry_days: Some(30), ..file("team/tool", "one") };
    let version = signed(&party, made(&party, "team", wish).unwrap(), "tess").await.unwrap();
    publishes(&party, &version).await.unwrap();
    let told = |day| {
        lint(&published(&party), days_later(day))
            .iter()
            .any(|finding| matches!(finding, Finding::DelegationEndsSoon { .. }))
    };
    assert!(!told(26) && told(28) && told(40));
    // Its end is within the life of the timestamp, and then behind.
    for day in [26, 40] {
        party.refresh(days_later(day)).await.unwrap().unwrap();
    }
    let walked = party.walk(days_later(40), Memory::default()).unwrap();
    assert!(walked.files["trusted_root.json"] == trusted_root("one"));
    assert!(matches!(walked.unsound[0].problem, MetadataError::Expired { .. }));
    // Its targets are not forgotten: they are in the next version.
    let renewed =
        DelegatedVersion::make(&published(&party), None, "team", RoleWish::default(), days_later(40)).unwrap();
    let renewed = signed(&party, renewed, "tess").await.unwrap();
    let planned = party.ceremony().plan_delegated(&renewed, &*party.key(ONLINE), days_later(40)).await.unwrap();
    party.ceremony().publish_delegated(&renewed, &planned, days_later(40)).unwrap();
    let walked = party.walk(days_later(40), walked.memory()).unwrap();
    assert_eq!((walked.delegated["team"].files["team/tool"].as_slice(), walked.unsound.len()), (b"one".as_slice(), 0));
}

#[tokio::test]
async fn keys_of_a_role_are_exchanged_together_with_what_they_signed() {
    let party = delegating(1).await;
    with_targets(&party, "one").await;
    let before = party.walk(NOW, Memory::default()).unwrap();
    party.enrol("tom").await;
    let event = party.begin(delegation(wish(&party, "team", &["tom"], 1, paths("team/*"))), NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    // Clients would refuse what tess has signed.
    assert!(matches!(party.plan(NOW).await, Err(CeremonyError::Unwalkable { .. })));
    let version = DelegatedVersion::make(&before, Some(&event), "team", RoleWish::default(), NOW).unwrap();
    let old_say = version.clone().sign(&before, Some(&event), &*party.key("tess")).await;
    assert!(matches!(old_say, Err(CeremonyError::NoSay { .. })));
    let version = version.sign(&before, Some(&event), &*party.key("tom")).await.unwrap();
    write_file(&party.path("event/delegated/team.json"), &version.to_json()).unwrap();
    party.publish(NOW).await.unwrap();
    let after = party.walk(NOW, before.memory()).unwrap();
    assert_eq!((after.delegated["team"].document.version(), after.targets.version()), (2, 3));
    assert_eq!(after.delegated["team"].files["team/tool"], b"one");
}

#[tokio::test]
async fn a_role_that_goes_is_asked_by_nobody_and_stays_in_the_snapshot() {
    let party = delegating(1).await;
    with_targets(&party, "one").await;
    let before = party.walk(NOW, Memory::default()).unwrap();
    begun(&party, Change { remove_delegations: vec!["team".to_owned()], ..Change::none(String::new()) }).await;
    let after = party.walk(NOW, before.memory()).unwrap();
    assert!(after.delegated.is_empty() && !after.targets.signed().contains_key("delegations"));
    // A role that disappears from the snapshot is a rollback.
    assert_eq!(pinned(&after.snapshot, "team"), 1);
    // One of the same name goes on with the next number.
    let again = party.begin(delegation(wish(&party, "team", &["tess"], 1, paths("team/*"))), NOW);
    party.signed_by(&again, &["ann", "bob"]).await;
    let version = DelegatedVersion::make(&after, Some(&again), "team", file("team/new", "new"), NOW).unwrap();
    assert_eq!(version.document().version(), 2);
    let version = version.sign(&after, Some(&again), &*party.key("tess")).await.unwrap();
    write_file(&party.path("event/delegated/team.json"), &version.to_json()).unwrap();
    party.publish(NOW).await.unwrap();
    assert_eq!(party.walk(NOW, before.memory()).unwrap().delegated["team"].files.len(), 1);
}

#[tokio::test]
async fn every_way_to_delegate_is_published_and_walked() {
    let prefix = hex::encode(&touchmark_keys::sha256(b"any/where")[..1]);
    let hashes = ScopeWish::HashPrefixes { prefixes: vec![prefix], search: Search::GoesOn };
    for (role, scope, path) in [
        ("team", paths("any/*"), "any/where"),
        ("hashed", hashes, "any/where"),
        ("bin", ScopeWish::Bins { bits: 1 }, "any/where"),
    ] {
        let party = Party::published(&["ann", "bob"], 2, NOW).await;
        party.enrol("tess").await;
        begun(&party, delegation(wish(&party, role, &["tess"], 1, scope.clone()))).await;
        let bins = ["bin-0", "bin-1"];
        let roles: &[&str] = if matches!(scope, ScopeWish::Bins { .. }) { &bins } else { &[role] };
        let mut stated = 0;
        for role in roles {
            let version = match made(&party, role, file(path, "content")) {
                Ok(version) => version,
                // Of the bins one is for the path.
                Err(CeremonyError::OutOfScope { .. }) => made(&party, role, RoleWish::default()).unwrap(),
                Err(error) => panic!("{error}"),
            };
            publishes(&party, &signed(&party, version, "tess").await.unwrap()).await.unwrap();
        }
        let walked = party.walk(NOW, Memory::default()).unwrap();
        stated += walked.delegated.values().map(|role| role.files.len()).sum::<usize>();
        assert_eq!((walked.delegated.len(), stated, walked.unsound.len()), (roles.len(), 1, 0), "{role}");
        assert_eq!(
            lint(&walked, NOW)
                .iter()
                .filter(|finding| matches!(finding, Finding::DelegationUnpublished { .. }))
                .count(),
            0
        );
        party.refresh(days_later(50)).await.unwrap().unwrap();
        assert_eq!(party.walk(days_later(50), walked.memory()).unwrap().delegated.len(), roles.len());
    }
}

/// What cannot be written as a whole would stand in the way of everything else.
#[tokio::test]
async fn what_could_never_be_finished_is_refused_before_it_is_noted_down() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    party.enrol("tess").await;
    let patterns = ["p/*", "p/*/*"].map(str::to_owned).to_vec();
    let scope = ScopeWish::Paths { patterns, search: Search::Terminates };
    begun(&party, delegation(wish(&party, "team", &["tess"], 1, scope))).await;
    // The file of one target is where another one needs a directory.
    let hash = hex::encode(touchmark_keys::sha256(b"x"));
    let mut colliding = file("p/a", "x");
    colliding.set_targets.insert(format!("p/{hash}.a/b"), b"x".to_vec());
    let colliding = signed(&party, made(&party, "team", colliding).unwrap(), "tess").await.unwrap();
    let planned = plan(&party, &colliding).await.unwrap();
    let refused = party.ceremony().publish_delegated(&colliding, &planned, NOW);
    assert!(matches!(refused, Err(CeremonyError::Unwritable { .. })));
    // Nothing was noted down, and what was staged for one file is never another.
    let mut both = file("p/tool.new", "x");
    both.set_targets.insert("p/tool".to_owned(), b"x".to_vec());
    let both = signed(&party, made(&party, "team", both).unwrap(), "tess").await.unwrap();
    publishes(&party, &both).await.unwrap();
    assert_eq!(published(&party).delegated["team"].files.len(), 2);
    party.ceremony().published_as_recorded().unwrap();
}

#[tokio::test]
async fn a_role_states_nothing_that_clients_go_by_and_delegates_no_further() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    party.enrol("tess").await;
    begun(&party, delegation(wish(&party, "team", &["tess"], 1, paths("*")))).await;
    let config = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/sigstore-tuf-repository/targets/signing_config.v0.2.json"
    ))
    .unwrap();
    for (name, content) in
        [(TRUSTED_ROOT, String::from_utf8(trusted_root("evil")).unwrap()), (crate::content::SIGNING_CONFIG, config)]
    {
        let version = signed(&party, made(&party, "team", file(name, &content)).unwrap(), "tess").await.unwrap();
        assert!(matches!(plan(&party, &version).await, Err(CeremonyError::Reserved { .. })), "{name}");
    }
    // Others' tools may make what ours do not.
    let version = made(&party, "team", file("tool", "x")).unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&version.to_json()).unwrap();
    let mut members = version.document().signed().clone();
    members.insert("delegations".to_owned(), serde_json::json!({ "keys": {}, "roles": [] }));
    let document = Document::write(crate::document::RoleType::Targets, &members, &[]).unwrap();
    value["metadata"] = party.base64(document.bytes()).into();
    let version = DelegatedVersion::from_json(value.to_string().as_bytes()).unwrap();
    let version = signed(&party, version, "tess").await.unwrap();
    assert!(matches!(plan(&party, &version).await, Err(CeremonyError::DelegatesFurther { .. })));
}

/// A crash, or a server that finished the publication, leaves targets that no line of the log knows.
#[tokio::test]
async fn delegated_targets_that_no_line_knows_are_recorded_before_anything_follows() {
    let party = delegating(1).await;
    let log = std::fs::read(party.path("log.jsonl")).unwrap();
    with_targets(&party, "one").await;
    std::fs::write(party.path("log.jsonl"), log).unwrap();
    let refused = party.try_begin(party.change_targets("two"), NOW);
    assert!(matches!(refused, Err(CeremonyError::Unrecorded { name }) if name == "1.team.json"));
    assert!(party.ceremony().record_what_is_published(NOW).unwrap().contains(&"1.team.json".to_owned()));
    party.ceremony().published_as_recorded().unwrap();
}
