// SPDX-License-Identifier: Apache-2.0
//! A publication that stops before, between and after its files, and the clients that come meanwhile.

use serde_json::json;

use super::harness::{NOW, Party, days_later, trusted_root};
use crate::ceremony::{CeremonyError, Change, ONLINE, files};
use crate::walk::Memory;

#[tokio::test]
async fn a_publication_that_is_interrupted_anywhere_is_finished_and_no_client_sees_a_half() {
    let steps = 1 + publication_files(false).await;
    for written in 0..steps {
        let party = with_pending_event(false).await;
        let publication = party.plan(NOW).await.unwrap();
        interrupt(&party, &publication, written);
        let seen = party.walk(NOW, Memory::default()).unwrap();
        let expect = if written == steps - 1 { "two" } else { "one" };
        assert!(seen.files["trusted_root.json"] == trusted_root(expect), "after {written} files");
        // Nothing else is done before it is finished.
        assert!(matches!(party.plan(NOW).await, Err(CeremonyError::PublicationPending)));
        assert!(matches!(party.ceremony().abort(NOW), Err(CeremonyError::PublicationPending)));
        finish(&party, &seen.memory());
    }
}

#[tokio::test]
async fn a_server_that_signs_the_timestamp_finishes_it_and_the_event_is_put_away_later() {
    let party = with_pending_event(false).await;
    interrupt(&party, &party.plan(NOW).await.unwrap(), 2);
    party.refresh_as_a_server_does(NOW).await.unwrap();
    assert!(party.walk(NOW, Memory::default()).unwrap().files["trusted_root.json"] == trusted_root("two"));
    assert!(matches!(party.plan(NOW).await, Err(CeremonyError::PublicationPending)));
    finish(&party, &Memory::default());
}

#[tokio::test]
async fn so_is_one_that_exchanges_the_online_key() {
    let steps = 1 + publication_files(true).await;
    for written in 0..steps {
        let party = with_pending_event(true).await;
        let memory = party.walk(NOW, Memory::default()).unwrap().memory();
        interrupt(&party, &party.plan(NOW).await.unwrap(), written);
        finish(&party, &memory);
        assert_eq!(party.walk(NOW, memory).unwrap().root.version(), 2);
    }
}

async fn publication_files(with_new_key: bool) -> usize {
    with_pending_event(with_new_key).await.plan(NOW).await.unwrap().files().len()
}

async fn with_pending_event(with_new_key: bool) -> Party {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let mut change = party.change_targets("two");
    if with_new_key {
        party.enrol(ONLINE).await;
        let online_key = Some(party.ceremony().enrolment(ONLINE).unwrap());
        change = Change { online_key, ..Change::none(String::new()) };
    } else {
        change.renew = true;
    }
    let event = party.begin(change, NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    party
}

/// As a process leaves it that was killed after the note and so many files.
fn interrupt(party: &Party, publication: &crate::ceremony::Publication, written: usize) {
    files::write(&party.path("repository/publication.json"), &publication.to_json()).unwrap();
    for (name, bytes) in &publication.files()[..written] {
        party.ceremony().repository().put(name, bytes).unwrap();
    }
}

fn finish(party: &Party, memory: &Memory) {
    assert!(party.ceremony().resume(NOW).unwrap().is_some());
    assert!(party.ceremony().resume(NOW).unwrap().is_none());
    assert!(party.ceremony().event().unwrap().is_none());
    party.walk(NOW, memory.clone()).unwrap();
    party.ceremony().published_as_recorded().unwrap();
}

/// The directory may have been in hands that write what they like.
#[tokio::test]
async fn a_note_that_is_no_publication_writes_nothing() {
    let party = with_pending_event(false).await;
    let old = party.walk(NOW, Memory::default()).unwrap().timestamp;
    party.refresh(days_later(2)).await.unwrap().unwrap();
    let newest = std::fs::read(party.path("repository/timestamp.json")).unwrap();
    let stranger = party.path("stranger").display().to_string();
    let timestamp = ("timestamp.json", old.bytes());
    for (files, problem) in [
        (vec![(stranger.as_str(), &b"x"[..]), timestamp], "no file of a repository"),
        (vec![("../stranger", b"x"), timestamp], "no file of a repository"),
        (vec![("targets/../../stranger", b"x"), timestamp], "no file of a repository"),
        (vec![("9.targets.json", b"x")], "its last file is not timestamp.json"),
        // One that was published long ago leads nobody back.
        (vec![timestamp], "the online roles were signed"),
    ] {
        let files: Vec<_> =
            files.iter().map(|(name, bytes)| json!({ "name": name, "content": party.base64(bytes) })).collect();
        let note = serde_json::to_vec(&json!({ "version": 1, "files": files })).unwrap();
        std::fs::write(party.path("repository/publication.json"), note).unwrap();
        let refused = party.ceremony().resume(NOW).unwrap_err().to_string();
        assert!(refused.contains(problem), "{refused}");
        assert!(party.refresh_as_a_server_does(NOW).await.is_err());
        assert!(!party.path("stranger").exists());
        assert_eq!(std::fs::read(party.path("repository/timestamp.json")).unwrap(), newest);
        assert!(party.ceremony().event().unwrap().is_some());
    }
}
