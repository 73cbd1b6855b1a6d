// SPDX-License-Identifier: Apache-2.0
//! Walks through repositories made to be refused: every rule of the client that is not a matter of one document.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer as _};

use super::*;
use crate::document::SignatureEntry;
use crate::key::Key;

const LATER: &str = "2030-01-01T00:00:00Z";

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

/// A repository in memory, with one key for everything but a delegated role.
struct Shelf {
    signer: EphemeralSigner,
    delegate: EphemeralSigner,
    files: BTreeMap<String, Vec<u8>>,
}

impl Shelf {
    async fn new() -> Self {
        let make = || EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let mut shelf = Self { signer: make(), delegate: make(), files: BTreeMap::new() };
        let key = Key::of_owner(shelf.signer.public_key(), "all").unwrap();
        let role = json!({ "keyids": [id(&key)], "threshold": 1 });
        let keys = json!({ id(&key): key.object() });
        let roles = json!({ "root": role, "targets": role, "snapshot": role, "timestamp": role });
        shelf
            .put(
                "1.root.json",
                json!({ "_type": "root", "version": 1, "consistent_snapshot": true, "keys": keys, "roles": roles }),
            )
            .await;
        shelf.put("1.targets.json", shelf.targets(1)).await;
        shelf
            .put(
                "1.team.json",
                json!({ "_type": "targets", "version": 1, "targets": { "team/tool": TargetFile::entry(b"tool") } }),
            )
            .await;
        shelf.put("1.snapshot.json", snapshot(1, 1)).await;
        shelf.put("timestamp.json", timestamp(1, 1)).await;
        for (path, bytes) in [("a.json", b"a".as_slice()), ("team/tool", b"tool")] {
            let entry = TargetFile::entry(bytes);
            let hash = entry["hashes"]["sha256"].as_str().unwrap();
            let (directory, name) = path.rsplit_once('/').map_or(("", path), |(directory, name)| (directory, name));
            let slash = if directory.is_empty() { "" } else { "/" };
            shelf.files.insert(format!("targets/{directory}{slash}{hash}.{name}"), bytes.to_vec());
        }
        shelf
    }

    fn targets(&self, version: u64) -> Value {
        let key = Key::of_owner(self.delegate.public_key(), "team").unwrap();
        let role = json!({ "name": "team", "keyids": [id(&key)], "threshold": 1, "terminating": true, "paths": ["team/*"], "x-kept": 1 });
        json!({
            "_type": "targets", "version": version, "targets": { "a.json": TargetFile::entry(b"a") },
            "delegations": { "keys": { id(&key): key.object() }, "roles": [role] },
        })
    }

    /// Signs and shelves; the delegated role by its own key.
    async fn put(&mut self, name: &str, mut signed: Value) {
        let by = if name.ends_with(".team.json") { &self.delegate } else { &self.signer };
        let owner = if name.ends_with(".team.json") { "team" } else { "all" };
        signed["spec_version"] = json!("1.0.31");
        if signed.get("expires").is_none() {
            signed["expires"] = json!(LATER);
        }
        let role_type = RoleType::ALL.into_iter().find(|role| signed["_type"] == role.name()).unwrap();
        let document = Document::write(role_type, signed.as_object().unwrap(), &[]).unwrap();
        let key_id = Key::of_owner(by.public_key(), owner).unwrap().computed_id().unwrap();
        let signature = by.sign(document.canonical()).await.unwrap();
        let signed = document.with_signatures(&[SignatureEntry { key_id, signature }]).unwrap();
        self.files.insert(name.to_owned(), signed.bytes().to_vec());
    }

    fn walk(&self, memory: Memory) -> Result<Walked, WalkError> {
        let root = Root::pinned(self.files["1.root.json"].clone()).unwrap();
        walk(root, memory, now(), |wanted| Ok(self.files.get(&wanted.name).cloned()))
    }

    #[track_caller]
    fn refused(&self, memory: Memory, file: &str, problem: fn(&MetadataError) -> bool) {
        let error = self.walk(memory).unwrap_err();
        assert!(error.file == file && problem(&error.problem), "{error}");
    }
}

fn id(key: &Key) -> String {
    key.computed_id().unwrap().as_str().to_owned()
}

fn snapshot(version: u64, targets: u64) -> Value {
    json!({ "_type": "snapshot", "version": version, "meta": { "targets.json": { "version": targets }, "team.json": { "version": 1 } } })
}

fn timestamp(version: u64, snapshot: u64) -> Value {
    json!({ "_type": "timestamp", "version": version, "meta": { "snapshot.json": { "version": snapshot } } })
}

#[tokio::test]
async fn a_repository_is_known_as_a_whole() {
    let walked = Shelf::new().await.walk(Memory::default()).unwrap();
    assert_eq!(walked.files.keys().collect::<Vec<_>>(), ["a.json"]);
    let team = &walked.delegated["team"];
    assert_eq!((team.document.version(), team.delegator.as_str()), (1, "targets"));
    assert_eq!(team.files.keys().collect::<Vec<_>>(), ["team/tool"]);
    assert!(walked.unsound.is_empty());
    assert_eq!(walked.targets.signed()["delegations"]["roles"][0]["x-kept"], 1);
}

#[tokio::test]
async fn a_client_that_was_here_before_is_never_led_back() {
    let mut shelf = Shelf::new().await;
    shelf.put("2.targets.json", shelf.targets(2)).await;
    shelf.put("2.snapshot.json", snapshot(2, 2)).await;
    shelf.put("timestamp.json", timestamp(2, 2)).await;
    let memory = shelf.walk(Memory::default()).unwrap().memory();
    let is_rollback = |problem: &MetadataError| matches!(problem, MetadataError::RolledBack { .. });
    shelf.put("timestamp.json", timestamp(1, 1)).await;
    shelf.refused(memory.clone(), "timestamp.json", is_rollback);
    shelf.put("timestamp.json", timestamp(3, 1)).await;
    shelf.refused(memory.clone(), "timestamp.json", is_rollback);
    shelf.put("3.snapshot.json", snapshot(3, 1)).await;
    shelf.put("timestamp.json", timestamp(3, 3)).await;
    shelf.refused(memory.clone(), "3.snapshot.json", is_rollback);
    let mut without = snapshot(3, 2);
    without["meta"].as_object_mut().unwrap().remove("team.json");
    shelf.put("3.snapshot.json", without).await;
    shelf.refused(memory.clone(), "3.snapshot.json", |problem| matches!(problem, MetadataError::NotNamed { .. }));
    // The same number with another content is nothing new.
    shelf.put("timestamp.json", timestamp(2, 9)).await;
    assert_eq!(shelf.walk(memory).unwrap().snapshot.version(), 2);
}

#[tokio::test]
async fn what_is_pinned_must_be_what_is_there() {
    let mut shelf = Shelf::new().await;
    let is_version = |problem: &MetadataError| matches!(problem, MetadataError::Version { expected: 1, found: 2 });
    let is_content = |problem: &MetadataError| matches!(problem, MetadataError::Content { .. });
    let (one, two) = (snapshot(1, 1), snapshot(2, 1));
    shelf.put("1.snapshot.json", two).await;
    shelf.refused(Memory::default(), "1.snapshot.json", is_version);
    shelf.put("1.snapshot.json", one).await;
    shelf.put("1.targets.json", shelf.targets(2)).await;
    shelf.refused(Memory::default(), "1.targets.json", is_version);
    shelf.put("1.targets.json", shelf.targets(1)).await;
    let mut pinned = timestamp(1, 1);
    pinned["meta"]["snapshot.json"]["hashes"] = json!({ "sha256": "00".repeat(32) });
    shelf.put("timestamp.json", pinned).await;
    shelf.refused(Memory::default(), "1.snapshot.json", is_content);
    shelf.put("timestamp.json", timestamp(1, 1)).await;
    shelf.walk(Memory::default()).unwrap();
    shelf.files.remove("1.snapshot.json");
    shelf.refused(Memory::default(), "1.snapshot.json", |problem| *problem == MetadataError::Missing);
}

#[tokio::test]
async fn each_role_is_refused_when_it_has_expired_and_the_message_names_it() {
    let expired = |mut signed: Value| {
        signed["expires"] = json!("2026-11-23T10:00:00Z");
        signed
    };
    for (file, role) in
        [("1.targets.json", "targets"), ("1.snapshot.json", "snapshot"), ("timestamp.json", "timestamp")]
    {
        let mut shelf = Shelf::new().await;
        let signed = match role {
            "targets" => shelf.targets(1),
            "snapshot" => snapshot(1, 1),
            _ => timestamp(1, 1),
        };
        shelf.put(file, expired(signed)).await;
        let error = shelf.walk(Memory::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("{file}: {role} expired at 2026-11-23T10:00:00Z"));
    }
}

#[tokio::test]
async fn files_without_end_are_refused_by_their_limits() {
    let mut shelf = Shelf::new().await;
    shelf.files.insert("timestamp.json".to_owned(), vec![b' '; RoleType::Timestamp.bytes_max() + 1]);
    shelf.refused(Memory::default(), "timestamp.json", |problem| matches!(problem, MetadataError::TooLong { .. }));
}

#[tokio::test]
async fn a_bad_delegate_or_target_is_told_and_hides_nothing_else() {
    let mut shelf = Shelf::new().await;
    shelf.files.insert("1.team.json".to_owned(), b"{}".to_vec());
    let walked = shelf.walk(Memory::default()).unwrap();
    assert_eq!((walked.unsound.len(), walked.files.len()), (1, 1));
    let mut shelf = Shelf::new().await;
    shelf.files.retain(|name, _| !name.ends_with("a.json"));
    let walked = shelf.walk(Memory::default()).unwrap();
    assert_eq!((walked.unsound[0].problem.clone(), walked.files.len()), (MetadataError::Missing, 0));
    assert_eq!(walked.delegated["team"].files.len(), 1);
    // The top-level key has no say in the delegated role.
    let mut shelf = Shelf::new().await;
    std::mem::swap(&mut shelf.signer, &mut shelf.delegate);
    let team = json!({ "_type": "targets", "version": 1, "targets": {} });
    shelf.put("1.team.json", team).await;
    let walked = shelf.walk(Memory::default()).unwrap();
    assert!(matches!(walked.unsound[0].problem, MetadataError::Threshold { .. }));
}

#[tokio::test]
async fn a_delegate_has_a_say_in_what_was_delegated_to_it_alone() {
    let mut shelf = Shelf::new().await;
    let stated = json!({ "team/tool": TargetFile::entry(b"tool"), "a.json": TargetFile::entry(b"evil"), "other": TargetFile::entry(b"evil") });
    shelf.put("1.team.json", json!({ "_type": "targets", "version": 1, "targets": stated })).await;
    let hash = hex::encode(touchmark_keys::sha256(b"evil"));
    for name in ["a.json", "other"] {
        shelf.files.insert(format!("targets/{hash}.{name}"), b"evil".to_vec());
    }
    let walked = shelf.walk(Memory::default()).unwrap();
    assert_eq!((walked.files["a.json"].as_slice(), walked.files.len()), (b"a".as_slice(), 1));
    assert_eq!(walked.delegated["team"].files.keys().collect::<Vec<_>>(), ["team/tool"]);
}

#[test]
fn a_role_name_never_leaves_its_directory() {
    assert_eq!(quoted("../a?b/é"), "..%2Fa%3Fb%2F%C3%A9");
}
