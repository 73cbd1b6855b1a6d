// SPDX-License-Identifier: Apache-2.0
//! A repository that is not what the ceremony log says, and targets that are not what their names say.

use super::harness::{NOW, Party, days_later};
use crate::ceremony::{CeremonyError, Change, ONLINE, TRUSTED_ROOT, write_file};
use crate::document::{Document, RoleType, SignatureEntry};
use crate::walk::Memory;

/// Two roots and two targets are published.
async fn twice_published() -> Party {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let event = party.begin(Change { renew: true, ..party.change_targets("two") }, NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    party.publish(NOW).await.unwrap();
    party
}

fn refused(party: &Party) -> CeremonyError {
    let refused = party.ceremony().published_as_recorded().unwrap_err();
    // Nothing is built on it.
    assert_eq!(party.try_begin(party.change_targets("three"), NOW).unwrap_err().to_string(), refused.to_string());
    refused
}

#[tokio::test]
async fn no_file_that_was_published_may_be_missing_or_another() {
    let party = twice_published().await;
    let targets = std::fs::read_dir(party.path("repository/targets")).unwrap();
    let mut names: Vec<String> =
        targets.map(|file| format!("targets/{}", file.unwrap().file_name().display())).collect();
    names.extend(
        ["1.root.json", "2.root.json", "1.targets.json", "2.targets.json", "1.snapshot.json"].map(String::from),
    );
    assert_eq!(names.len(), 7);
    for name in names {
        let path = party.path("repository").join(&name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(party.ceremony().published_as_recorded().is_err(), "{name}");
        assert!(party.refresh(NOW).await.is_err(), "{name}");
        std::fs::write(&path, [&bytes[..], b" "].concat()).unwrap();
        assert!(party.ceremony().published_as_recorded().is_err(), "{name}");
        std::fs::write(&path, bytes).unwrap();
        party.ceremony().published_as_recorded().unwrap();
    }
}

#[tokio::test]
async fn a_repository_without_its_newest_root_verifies_and_is_refused() {
    let party = twice_published().await;
    std::fs::remove_file(party.path("repository/2.root.json")).unwrap();
    assert!(party.walk(NOW, Memory::default()).is_ok());
    assert!(matches!(refused(&party), CeremonyError::Lost { name } if name == "2.root.json"));
    // Nor does the server sign over it, beside whose directory the log lies.
    let signed = party.refresh_as_a_server_does(days_later(2)).await;
    assert!(matches!(signed, Err(CeremonyError::Lost { name }) if name == "2.root.json"));
}

#[tokio::test]
async fn what_no_line_knows_is_built_on_only_after_somebody_recorded_it() {
    let party = twice_published().await;
    let log = std::fs::read_to_string(party.path("log.jsonl")).unwrap();
    // The log of a moment before the second publication.
    let earlier: String = log.split_inclusive('\n').take_while(|line| !line.contains("2.root.json")).collect();
    for (log, missing) in [(earlier, "2.root.json"), (String::new(), "1.root.json")] {
        write_file(&party.path("log.jsonl"), log.as_bytes()).unwrap();
        assert!(matches!(refused(&party), CeremonyError::Unrecorded { name } if name == missing));
        // The server goes on meanwhile.
        party.refresh_as_a_server_does(NOW).await.unwrap();
        let recorded = party.ceremony().record_what_is_published(NOW).unwrap();
        assert!(recorded.contains(&"2.root.json".to_owned()) && recorded.contains(&"2.targets.json".to_owned()));
        party.ceremony().published_as_recorded().unwrap();
    }
    // It does not hide what is lost.
    std::fs::remove_file(party.path("repository/2.root.json")).unwrap();
    assert!(matches!(party.ceremony().record_what_is_published(NOW), Err(CeremonyError::Lost { .. })));
}

#[tokio::test]
async fn a_target_is_what_its_name_says_or_nothing_is_made_of_it() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let empty = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
    for (name, content, problem) in [
        (TRUSTED_ROOT, "one", "invalid character"),
        (TRUSTED_ROOT, "{}", "media type"),
        (TRUSTED_ROOT, empty, "it trusts no log and no authority"),
        (crate::ceremony::SIGNING_CONFIG, empty, "media type"),
    ] {
        let change = Change { set_targets: vec![name.to_owned()], ..Change::none(String::new()) };
        let files = [(name.to_owned(), content.as_bytes().to_vec())].into();
        let refused = party.ceremony().begin(change, files, NOW).unwrap_err();
        assert!(matches!(refused, CeremonyError::UnusableTarget { .. }), "{refused}");
        assert!(refused.to_string().contains(problem), "{refused}");
    }
    let change = Change { remove_targets: vec![TRUSTED_ROOT.to_owned()], ..Change::none(String::new()) };
    assert!(matches!(party.try_begin(change, NOW), Err(CeremonyError::Needed { .. })));
}

/// Whoever had the online key may have used up its numbers.
#[tokio::test]
async fn after_the_last_number_there_is_an_exchanged_key_begins_anew() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let before = party.walk(NOW, Memory::default()).unwrap();
    let thief = party.key(ONLINE);
    let key_id = before.root.view().keys_of(RoleType::Timestamp).next().unwrap().0.clone();
    let mut signed = before.timestamp.signed().clone();
    signed.insert("version".to_owned(), u64::MAX.into());
    let stolen = Document::write(RoleType::Timestamp, &signed, &[]).unwrap();
    let signature = touchmark_signers::Signer::sign(&*thief, stolen.canonical()).await.unwrap();
    let stolen = stolen.with_signatures(&[SignatureEntry { key_id, signature }]).unwrap();
    std::fs::write(party.path("repository/timestamp.json"), stolen.bytes()).unwrap();
    let fooled = party.walk(NOW, before.memory()).unwrap();
    assert_eq!(fooled.timestamp.version(), u64::MAX);
    party.enrol(ONLINE).await;
    let online_key = Some(party.ceremony().enrolment(ONLINE).unwrap());
    let event = party.begin(Change { online_key, ..Change::none(String::new()) }, NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    party.publish(NOW).await.unwrap();
    for memory in [Memory::default(), before.memory(), fooled.memory()] {
        assert_eq!(party.walk(NOW, memory).unwrap().timestamp.version(), 1);
    }
}

/// The thief's numbers were recorded before anybody noticed.
#[tokio::test]
async fn numbers_that_were_used_up_and_recorded_stop_nothing_once_the_key_is_exchanged() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let walked = party.walk(NOW, Memory::default()).unwrap();
    let thief = party.key(ONLINE);
    let key_id = walked.root.view().keys_of(RoleType::Timestamp).next().unwrap().0.clone();
    let high = 1_u64 << 33;
    for (role_type, document, name) in [
        (RoleType::Snapshot, &walked.snapshot, format!("{high}.snapshot.json")),
        (RoleType::Timestamp, &walked.timestamp, "timestamp.json".to_owned()),
    ] {
        let mut signed = document.signed().clone();
        signed.insert("version".to_owned(), high.into());
        if role_type == RoleType::Timestamp {
            signed["meta"] = serde_json::json!({ "snapshot.json": { "version": high } });
        }
        let stolen = Document::write(role_type, &signed, &[]).unwrap();
        let signature = touchmark_signers::Signer::sign(&*thief, stolen.canonical()).await.unwrap();
        let stolen = stolen.with_signatures(&[SignatureEntry { key_id: key_id.clone(), signature }]).unwrap();
        std::fs::write(party.path("repository").join(name), stolen.bytes()).unwrap();
    }
    let publish = async |change: Change| {
        let event = party.begin(change, NOW);
        party.signed_by(&event, &["ann", "bob"]).await;
        party.publish(NOW).await.unwrap();
    };
    publish(party.change_targets("two")).await;
    assert_eq!(party.walk(NOW, Memory::default()).unwrap().snapshot.version(), high + 1);
    let bucket = crate::ceremony::Repository::at(party.path("bucket"));
    party.ceremony().repository().push(&bucket, NOW).await.unwrap();
    party.enrol(ONLINE).await;
    let online_key = Some(party.ceremony().enrolment(ONLINE).unwrap());
    publish(Change { online_key, ..Change::none(String::new()) }).await;
    publish(party.change_targets("three")).await;
    assert!(party.walk(NOW, Memory::default()).unwrap().snapshot.version() < high);
    party.ceremony().published_as_recorded().unwrap();
    party.ceremony().repository().push(&bucket, NOW).await.unwrap();
    bucket.walk(party.root(), Memory::default(), NOW).unwrap();
}
