// SPDX-License-Identifier: Apache-2.0
//! Attacks by what is served: too old, too new, too much, of another time, of another kind, or not at all.

use serde_json::{Value, json};
use sigstore_tuf::Error as TufError;
use touchmark_client::trust::{Freshness, TrustError, Unseen};
use touchmark_outbound::OutboundError;

use super::{expired, is_below_threshold, is_mismatch, is_rollback, refusal};
use crate::hostile::{Answer, Client, Holder, LATER, PAST, Repository, TARGET, entry, now, signed, targets};

#[tokio::test]
async fn honest_an_honest_repository_is_walked_and_kept_byte_for_byte() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    assert_eq!(client.target(TARGET).await.unwrap(), b"one");
    repository.add_target(TARGET, b"two");
    repository.publish().await;
    assert_eq!(client.target(TARGET).await.unwrap(), b"two");
    for (kept, file) in [
        ("root.json", "1.root.json"),
        ("timestamp.json", "timestamp.json"),
        ("snapshot.json", "2.snapshot.json"),
        ("targets.json", "2.targets.json"),
    ] {
        let bytes = std::fs::read(client.store().metadata_dir(&repository.url).join(kept)).unwrap();
        assert_eq!(bytes, repository.file(file), "{kept}");
    }
}

#[tokio::test]
async fn arbitrary_installation_metadata_that_its_role_has_not_signed_is_refused() {
    let stranger = Holder::new("stranger");
    for by in [&[][..], &[&stranger][..]] {
        for name in ["timestamp", "snapshot", "targets", "root"] {
            let mut repository = Repository::start().await;
            let client = Client::of(&repository).await;
            repository.publish().await;
            repository.root["version"] = json!(2);
            let (file, value) = match name {
                "timestamp" => ("timestamp.json", &repository.timestamp),
                "snapshot" => ("2.snapshot.json", &repository.snapshot),
                "targets" => ("2.targets.json", &repository.targets),
                _ => ("2.root.json", &repository.root),
            };
            repository.put(file, value, by).await;
            is_below_threshold(client.refresh().await, name);
        }
    }
}

#[tokio::test]
async fn arbitrary_installation_a_target_of_another_content_is_refused() {
    let repository = Repository::start().await;
    let client = Client::of(&repository).await;
    for other in [&b"ONE"[..], b"on", b""] {
        repository.serve_target(TARGET, b"one", Answer::Bytes(other.to_vec()));
        is_mismatch(client.target(TARGET).await);
    }
    // A longer one is not read to its end.
    repository.serve_target(TARGET, b"one", Answer::Bytes(b"one ".to_vec()));
    assert!(is_too_large(&client.target(TARGET).await.unwrap_err()));
    repository.serve_target(TARGET, b"one", Answer::Bytes(b"one".to_vec()));
    client.target(TARGET).await.unwrap();
}

#[tokio::test]
async fn arbitrary_installation_a_target_whose_hash_nobody_can_check_is_refused() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.targets["targets"]["odd"] = json!({ "length": 3, "hashes": { "md5": "00" } });
    repository.serve("targets/00.odd", Answer::Bytes(b"odd".to_vec()));
    repository.publish().await;
    is_mismatch(client.target("odd").await);
}

/// The library's limits for each file: root 512 kB, timestamp 16 kB, snapshot 2 MB, targets 5 MB.
#[tokio::test]
async fn endless_data_is_cut_off_whichever_file_it_pretends_to_be() {
    for file in ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let repository = Repository::start().await;
        repository.serve(file, Answer::Endless);
        let refused = Client::new().initialize(&repository).await.err().unwrap();
        assert!(is_too_large(&refused), "{file}: {refused:?}");
    }
    let repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.serve_target(TARGET, b"one", Answer::Endless);
    assert!(is_too_large(&client.target(TARGET).await.unwrap_err()));
}

#[tokio::test]
async fn endless_data_a_chain_of_roots_has_an_end() {
    let mut repository = Repository::start().await;
    for version in 2..=257 {
        repository.root["version"] = json!(version);
        repository.put_root().await;
    }
    let refused = Client::new().initialize(&repository).await.err().unwrap();
    assert!(
        matches!(&refused, TrustError::MirrorUnreachable { source, .. } if source.to_string().contains("256 root")),
        "{refused:?}"
    );
    repository.withdraw("257.root.json");
    assert_eq!(Client::new().initialize(&repository).await.unwrap().root_version(), 256);
}

fn is_too_large(error: &TrustError) -> bool {
    let TrustError::MirrorUnreachable { source, .. } = error else { return false };
    let TufError::Transport { source: Some(cause), .. } = source.as_ref() else { return false };
    matches!(cause.downcast_ref(), Some(OutboundError::BodyTooLarge { .. }))
}

#[tokio::test]
async fn rollback_of_the_timestamp_is_refused() {
    let mut repository = Repository::start().await;
    let old = repository.file("timestamp.json");
    repository.publish().await;
    let client = Client::of(&repository).await;
    repository.serve("timestamp.json", Answer::Bytes(old));
    is_rollback(client.refresh().await, "timestamp");
}

#[tokio::test]
async fn rollback_of_the_snapshot_that_a_newer_timestamp_names_is_refused() {
    let mut repository = Repository::start().await;
    repository.publish().await;
    let client = Client::of(&repository).await;
    repository.timestamp["version"] = json!(3);
    repository.timestamp["meta"]["snapshot.json"]["version"] = json!(1);
    repository.put_timestamp().await;
    is_rollback(client.refresh().await, "snapshot");
}

#[tokio::test]
async fn rollback_of_targets_that_a_newer_snapshot_names_is_refused_and_so_is_their_disappearance() {
    let mut repository = Repository::start().await;
    let team = Holder::new("team");
    repository.delegate(&[(crate::hostile::delegation("team", &team, &["team/*"]), &team, targets(7))]).await;
    let client = Client::of(&repository).await;
    for (version, role, back) in [(3, "targets.json", 1), (4, "team.json", 6)] {
        let mut snapshot = repository.snapshot.clone();
        snapshot["version"] = json!(version);
        snapshot["meta"][role]["version"] = json!(back);
        let file = format!("{version}.snapshot.json");
        repository.put(&file, &snapshot, &[&repository.online]).await;
        let mut timestamp = repository.timestamp.clone();
        timestamp["version"] = json!(version);
        timestamp["meta"]["snapshot.json"]["version"] = json!(version);
        repository.put("timestamp.json", &timestamp, &[&repository.online]).await;
        is_rollback(client.refresh().await, role);
        snapshot["meta"].as_object_mut().unwrap().remove(role);
        repository.put(&file, &snapshot, &[&repository.online]).await;
        is_mismatch(client.refresh().await);
    }
}

/// The mirror gives the new timestamp and withholds its snapshot once: what was seen before is the floor all the same.
#[tokio::test]
async fn rollback_of_targets_after_a_refresh_that_was_cut_off_is_refused() {
    let mut repository = Repository::start().await;
    repository.publish().await;
    let client = Client::of(&repository).await;
    repository.timestamp["version"] = json!(3);
    repository.timestamp["meta"]["snapshot.json"]["version"] = json!(3);
    repository.put_timestamp().await;
    assert!(client.refresh().await.ok().is_none_or(|walked| walked.stale().is_some()));
    repository.snapshot["version"] = json!(3);
    repository.snapshot["meta"]["targets.json"]["version"] = json!(1);
    repository.put_snapshot().await;
    is_rollback(client.refresh().await, "targets.json");
    repository.snapshot["meta"]["targets.json"]["version"] = json!(2);
    repository.put_snapshot().await;
    client.refresh().await.unwrap();
}

#[tokio::test]
async fn rollback_memory_survives_a_repeated_initialize_and_many_at_once() {
    let mut repository = Repository::start().await;
    let old = repository.file("timestamp.json");
    repository.publish().await;
    let new = repository.file("timestamp.json");
    let client = Client::of(&repository).await;
    let many = (0..8).map(|_| client.initialize(&repository));
    for outcome in futures_util::future::join_all(many).await {
        outcome.unwrap();
    }
    repository.serve("timestamp.json", Answer::Bytes(old));
    is_rollback(client.initialize(&repository).await, "timestamp");
    is_rollback(client.refresh().await, "timestamp");
    // Nor has the refused one become what offline use believes.
    let kept = std::fs::read(client.store().metadata_dir(&repository.url).join("timestamp.json")).unwrap();
    assert_eq!(kept, new);
    client.store().open(Freshness::Offline, now()).await.unwrap();
}

/// Expired metadata are no reason to forget which versions were seen.
#[tokio::test]
async fn rollback_is_refused_also_when_what_was_seen_has_expired() {
    let mut repository = Repository::start().await;
    repository.timestamp["expires"] = json!("2026-11-24T10:00:00Z");
    repository.publish().await;
    let client = Client::of(&repository).await;
    let later = "2026-12-01T00:00:00Z".parse().unwrap();
    repository.timestamp["expires"] = json!(LATER);
    repository.timestamp["version"] = json!(1);
    repository.put_timestamp().await;
    is_rollback(client.refresh_at(later).await, "timestamp");
}

#[tokio::test]
async fn freeze_each_role_is_refused_once_it_has_expired() {
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let mut repository = Repository::start().await;
        let client = Client::of(&repository).await;
        repository.root["version"] = json!(2);
        match role {
            "root" => repository.root["expires"] = json!(PAST),
            "timestamp" => repository.timestamp["expires"] = json!(PAST),
            "snapshot" => repository.snapshot["expires"] = json!(PAST),
            _ => repository.targets["expires"] = json!(PAST),
        }
        repository.put_root().await;
        repository.publish().await;
        assert_eq!(expired(client.refresh().await), role);
    }
}

/// The mirror goes on saying what it said: the client believes it for as long as it is good, and no longer.
#[tokio::test]
async fn freeze_the_same_answer_for_ever_is_refused_when_it_expires_online_and_offline() {
    let mut repository = Repository::start().await;
    repository.timestamp["expires"] = json!("2026-11-24T10:00:00Z");
    repository.publish().await;
    let client = Client::of(&repository).await;
    client.refresh_at("2026-11-24T09:59:59Z".parse().unwrap()).await.unwrap();
    let after = "2026-11-24T10:00:01Z".parse().unwrap();
    assert_eq!(expired(client.refresh_at(after).await), "timestamp");
    assert_eq!(expired(client.store().open(Freshness::Offline, after).await), "timestamp");
    // Neither does a mirror that says nothing more lead to what has expired.
    repository.serve("timestamp.json", Answer::Status(503));
    assert!(matches!(client.refresh_at(after).await.err(), Some(TrustError::MirrorUnreachable { .. })));
}

#[tokio::test]
async fn freeze_a_root_on_the_way_may_have_expired() {
    let mut repository = Repository::start().await;
    for (version, expires) in [(2, PAST), (3, LATER)] {
        repository.root["version"] = json!(version);
        repository.root["expires"] = json!(expires);
        repository.put_root().await;
    }
    assert_eq!(Client::new().initialize(&repository).await.unwrap().root_version(), 3);
}

/// A mirror that could hide a root behind an error could hide the revocation of a key.
#[tokio::test]
async fn freeze_a_next_root_that_cannot_be_fetched_is_not_a_root_that_is_not_there() {
    let repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.serve("2.root.json", Answer::Status(500));
    assert!(client.refresh().await.unwrap().stale().is_some());
    assert!(matches!(Client::new().initialize(&repository).await.err(), Some(TrustError::MirrorUnreachable { .. })));
}

#[tokio::test]
async fn mix_and_match_metadata_of_other_times_do_not_fit_together() {
    for file in ["2.snapshot.json", "2.targets.json"] {
        let mut repository = Repository::start().await;
        let client = Client::of(&repository).await;
        repository.publish().await;
        repository.serve(file, Answer::Bytes(repository.file(&file.replacen('2', "1", 1))));
        is_mismatch(client.refresh().await);
    }
}

#[tokio::test]
async fn mix_and_match_a_file_with_another_hash_or_length_than_is_stated_is_refused() {
    for (pin, member) in [
        (json!({ "hashes": { "sha256": "00".repeat(32) } }), "snapshot"),
        (json!({ "length": 1 }), "snapshot"),
        (json!({ "hashes": { "sha256": "00".repeat(32) } }), "targets"),
        (json!({ "length": 1 }), "targets"),
        (json!({ "hashes": { "sha1": "00".repeat(20) } }), "targets"),
    ] {
        let mut repository = Repository::start().await;
        let client = Client::of(&repository).await;
        repository.set_versions(2);
        let pins = if member == "snapshot" {
            &mut repository.timestamp["meta"]["snapshot.json"]
        } else {
            &mut repository.snapshot["meta"]["targets.json"]
        };
        pins.as_object_mut().unwrap().extend(pin.as_object().unwrap().clone());
        repository.put_all().await;
        is_mismatch(client.refresh().await);
    }
}

/// One key signs snapshot and timestamp: the signature alone does not tell them apart.
#[tokio::test]
async fn type_confusion_metadata_of_another_type_are_refused() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.publish().await;
    let (timestamp, snapshot) = (repository.file("timestamp.json"), repository.file("2.snapshot.json"));
    repository.serve("timestamp.json", Answer::Bytes(snapshot));
    assert!(matches!(refusal(client.refresh().await), TufError::Malformed(_)));
    repository.serve("timestamp.json", Answer::Bytes(timestamp.clone()));
    repository.serve("2.snapshot.json", Answer::Bytes(timestamp));
    assert!(matches!(refusal(client.refresh().await), TufError::Malformed(_)));
}

#[tokio::test]
async fn type_confusion_what_is_no_metadata_is_refused_without_a_panic() {
    for bytes in
        [&b""[..], b"{}", b"[]", b"null", b"\xff\xfe", br#"{"signed":{},"signatures":[]}"#, br#"{"signed":1e400}"#]
    {
        for file in ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"] {
            let repository = Repository::start().await;
            repository.serve(file, Answer::Bytes(bytes.to_vec()));
            assert!(
                matches!(Client::new().initialize(&repository).await.err(), Some(TrustError::Tuf { .. })),
                "{file}"
            );
        }
    }
}

/// A root of the same instance that the client has not seen would get a name of its own, and that name remembers nothing.
#[tokio::test]
async fn rollback_by_roots_that_a_mirror_hides_gives_no_second_name() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let name = client.refresh().await.unwrap().name().clone();
    let stranger = Holder::new("stranger");
    for version in 2..=3 {
        repository.root["version"] = json!(version);
        repository.put_root().await;
    }
    let (second, third) = (repository.file("2.root.json"), repository.file("3.root.json"));
    let initialize =
        async |root: &[u8]| client.store().initialize(&repository.url, root, &client.outbound, now()).await;
    let signed_by_others = signed(&serde_json::from_slice::<Value>(&second).unwrap()["signed"], &[&stranger]).await;
    for (shown, expected) in [(None, Unseen::Withheld), (Some(signed_by_others), Unseen::Unsigned)] {
        match shown {
            None => repository.withdraw("2.root.json"),
            Some(root) => repository.serve("2.root.json", Answer::Bytes(root)),
        }
        let refused = initialize(&third).await.err();
        assert!(
            matches!(refused, Some(TrustError::LineUnknown { version: 2, why, .. }) if why == expected),
            "{refused:?}"
        );
        assert_eq!(client.store().instances().unwrap().len(), 1);
    }
    repository.serve("2.root.json", Answer::Bytes(second));
    assert_eq!(initialize(&third).await.unwrap().name(), &name);
    // What was seen is not asked for again.
    repository.withdraw("2.root.json");
    repository.withdraw("3.root.json");
    let mut fourth = repository.root.clone();
    fourth["version"] = json!(4);
    let [ann, bob, _] = &repository.holders;
    let fourth = signed(&fourth, &[ann, bob]).await;
    repository.serve("4.root.json", Answer::Bytes(fourth.clone()));
    let walked = initialize(&fourth).await.unwrap();
    assert_eq!((walked.name(), walked.root_version()), (&name, 4));
    // Another root of a version that was seen, by the same holders, is neither taken nor an instance of its own.
    let mut fork = repository.root.clone();
    fork["expires"] = json!("2041-01-01T00:00:00Z");
    let refused = initialize(&signed(&fork, &[ann, bob]).await).await.err();
    assert!(matches!(refused, Some(TrustError::LineForked { version: 3, .. })), "{refused:?}");
    assert_eq!(client.store().instances().unwrap().len(), 1);
}

#[tokio::test]
async fn path_traversal_no_name_of_a_target_leads_elsewhere() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let names = ["../../escaped", "a/../../escaped", "/escaped", "..", "a//b", "..\\escaped", "a\0b"];
    for name in names {
        repository.targets["targets"][name] = entry(b"x");
    }
    repository.publish().await;
    let mut walked = client.refresh().await.unwrap();
    repository.asked();
    for name in names {
        assert!(matches!(walked.target(name).await, Err(TrustError::TargetName(_))), "{name}");
    }
    assert_eq!(repository.asked(), Vec::<String>::new());
}

/// A character of a name must not become a part of the address that means something.
#[tokio::test]
async fn path_traversal_a_name_of_a_target_is_quoted_in_the_address() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let name = "a b/c?d#e%2e%2e";
    repository.targets["targets"][name] = entry(b"x");
    repository.publish().await;
    let mut walked = client.refresh().await.unwrap();
    repository.asked();
    walked.target(name).await.unwrap_err();
    let hash = hex::encode(touchmark_keys::sha256(b"x"));
    assert_eq!(repository.asked(), [format!("targets/a%20b/{hash}.c%3Fd%23e%252e%252e")]);
}

#[tokio::test]
async fn path_traversal_the_name_of_a_role_is_quoted_in_the_address_and_on_the_disk() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let team = Holder::new("team");
    let name = "../../../escaped";
    let mut metadata = targets(1);
    metadata["targets"]["t"] = entry(b"x");
    repository.delegate(&[(crate::hostile::delegation(name, &team, &["t"]), &team, metadata)]).await;
    repository.serve_target("t", b"x", Answer::Bytes(b"x".to_vec()));
    assert_eq!(client.target("t").await.unwrap(), b"x");
    assert!(repository.asked().contains(&"1...%2F..%2F..%2Fescaped.json".to_owned()));
    let kept = client.store().keeping(vec!["t".to_owned()]);
    kept.open(Freshness::Refresh(&client.outbound), now()).await.unwrap();
    let kept = kept.metadata_dir(&repository.url);
    assert!(kept.join("..%2F..%2F..%2Fescaped.json").exists());
    assert!(!kept.join(name).with_extension("json").exists());
}

/// A cache is bytes that anybody may have written.
#[tokio::test]
async fn arbitrary_installation_by_a_cache_that_somebody_wrote_is_refused() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    assert_eq!(client.target(TARGET).await.unwrap(), b"one");
    let stranger = Holder::new("stranger");
    repository.targets["targets"][TARGET] = entry(b"two");
    let forged = signed(&repository.targets, &[&stranger]).await;
    let kept = client.store().metadata_dir(&repository.url);
    std::fs::write(kept.join("targets.json"), forged).unwrap();
    std::fs::create_dir_all(kept.join("targets")).unwrap();
    std::fs::write(kept.join("targets").join(TARGET), b"two").unwrap();
    assert!(client.store().open(Freshness::Offline, now()).await.is_err());
    // Asked, the repository puts it right.
    assert_eq!(client.target(TARGET).await.unwrap(), b"one");
}
