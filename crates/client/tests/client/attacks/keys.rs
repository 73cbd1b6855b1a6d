// SPDX-License-Identifier: Apache-2.0
//! Attacks with keys: some of them stolen, counted twice, or of another role; and the way out of a theft.

use serde_json::{Value, json};
use sigstore_tuf::Error as TufError;
use touchmark_client::trust::{Freshness, TrustError};

use super::{is_below_threshold, is_rollback, refusal};
use crate::hostile::{Answer, Client, Holder, Repository, TARGET, entry, keys, now, role, signed};

#[tokio::test]
async fn key_compromise_below_the_threshold_makes_no_root() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.root["version"] = json!(2);
    let [ann, _, _] = &repository.holders;
    let stranger = Holder::new("stranger");
    for by in [&[ann][..], &[ann, &stranger]] {
        repository.put("2.root.json", &repository.root, by).await;
        is_below_threshold(client.refresh().await, "root");
    }
    repository.put_root().await;
    assert_eq!(client.refresh().await.unwrap().root_version(), 2);
}

/// The next root of other people, and who of which has to sign it.
#[tokio::test]
async fn key_compromise_a_root_that_only_the_old_or_only_the_new_keys_signed_is_refused() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let [ann, bob, _] = &repository.holders;
    let (dan, eve) = (Holder::new("dan"), Holder::new("eve"));
    repository.root["version"] = json!(2);
    repository.root["keys"] = keys(&[&dan, &eve, &repository.online, &repository.packager]);
    repository.root["roles"]["root"] = role(&[&dan, &eve], 2);
    for by in [&[&dan, &eve][..], &[ann, bob], &[ann, &dan], &[ann, &dan, &eve], &[ann, bob, &dan]] {
        repository.put("2.root.json", &repository.root, by).await;
        is_below_threshold(client.refresh().await, "root");
    }
    repository.put("2.root.json", &repository.root, &[ann, bob, &dan, &eve]).await;
    assert_eq!(client.refresh().await.unwrap().root_version(), 2);
}

#[tokio::test]
async fn key_compromise_a_lower_threshold_is_for_the_next_root_to_use() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let [ann, bob, _] = &repository.holders;
    repository.root["version"] = json!(2);
    repository.root["roles"]["root"]["threshold"] = json!(1);
    repository.put("2.root.json", &repository.root, &[ann]).await;
    is_below_threshold(client.refresh().await, "root");
    repository.put("2.root.json", &repository.root, &[ann, bob]).await;
    repository.root["version"] = json!(3);
    repository.put("3.root.json", &repository.root, &[ann]).await;
    assert_eq!(client.refresh().await.unwrap().root_version(), 3);
    // Up again: as many as the new root wants.
    let [ann, bob, cyd] = &repository.holders;
    repository.root["version"] = json!(4);
    repository.root["roles"]["root"]["threshold"] = json!(3);
    repository.put("4.root.json", &repository.root, &[ann, bob]).await;
    is_below_threshold(client.refresh().await, "root");
    repository.put("4.root.json", &repository.root, &[ann, bob, cyd]).await;
    assert_eq!(client.refresh().await.unwrap().root_version(), 4);
}

#[tokio::test]
async fn rollback_of_the_root_and_a_root_that_skips_a_version_are_refused() {
    let mut repository = Repository::start().await;
    repository.root["version"] = json!(2);
    repository.put_root().await;
    let client = Client::of(&repository).await;
    let [ann, bob, _] = &repository.holders;
    for version in [1, 2, 4] {
        repository.root["version"] = json!(version);
        repository.put("3.root.json", &repository.root, &[ann, bob]).await;
        let found = refusal(client.refresh().await);
        assert!(matches!(found, TufError::BadRootVersion { trusted: 2, new } if new == version), "{found:?}");
    }
    // Nobody looks behind a version that is not there, and what is pinned is no way back.
    repository.withdraw("3.root.json");
    repository.put("4.root.json", &repository.root, &[ann, bob]).await;
    assert_eq!(client.refresh().await.unwrap().root_version(), 2);
    repository.withdraw("2.root.json");
    assert_eq!(client.initialize(&repository).await.unwrap().root_version(), 2);
}

#[tokio::test]
async fn key_compromise_the_key_of_one_role_signs_for_no_other() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.publish().await;
    repository.put("2.targets.json", &repository.targets, &[&repository.online]).await;
    is_below_threshold(client.refresh().await, "targets");
    repository.put_targets().await;
    repository.put("timestamp.json", &repository.timestamp, &[&repository.packager]).await;
    is_below_threshold(client.refresh().await, "timestamp");
    let [ann, bob, _] = &repository.holders;
    repository.put("timestamp.json", &repository.timestamp, &[ann, bob]).await;
    is_below_threshold(client.refresh().await, "timestamp");
}

#[tokio::test]
async fn key_compromise_a_revoked_key_signs_nothing_any_more_also_not_in_the_cache() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let thief = std::mem::replace(&mut repository.online, Holder::new("online again"));
    rotate_online(&mut repository);
    repository.put_root().await;
    repository.set_versions(2);
    repository.put("timestamp.json", &repository.timestamp, &[&thief]).await;
    is_below_threshold(client.refresh().await, "timestamp");
    is_below_threshold(client.store().open(Freshness::Offline, now()).await, "timestamp");
    repository.put_all().await;
    client.refresh().await.unwrap();
}

/// Names the present online key in the next root.
fn rotate_online(repository: &mut Repository) {
    let [ann, bob, cyd] = &repository.holders;
    repository.root["version"] = json!(repository.root["version"].as_u64().unwrap() + 1);
    repository.root["keys"] = keys(&[ann, bob, cyd, &repository.online, &repository.packager]);
    for name in ["timestamp", "snapshot"] {
        repository.root["roles"][name] = role(&[&repository.online], 1);
    }
}

/// Whoever has the online key for an hour says a version that nobody can follow.
#[tokio::test]
async fn fast_forward_is_recovered_from_by_a_new_online_key_and_by_nothing_else() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.set_versions(2);
    repository.timestamp["version"] = json!(u32::MAX);
    repository.snapshot["version"] = json!(u32::MAX);
    repository.timestamp["meta"]["snapshot.json"]["version"] = json!(u32::MAX);
    repository.put_all().await;
    client.refresh().await.unwrap();
    repository.set_versions(3);
    repository.put_all().await;
    is_rollback(client.refresh().await, "timestamp");
    repository.online = Holder::new("online again");
    rotate_online(&mut repository);
    repository.put_root().await;
    repository.put_all().await;
    repository.add_target(TARGET, b"recovered");
    repository.publish().await;
    assert_eq!(client.target(TARGET).await.unwrap(), b"recovered");
}

#[tokio::test]
async fn duplicate_signatures_of_one_key_are_refused() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.root["version"] = json!(2);
    let [ann, _, _] = &repository.holders;
    repository.put("2.root.json", &repository.root, &[ann, ann]).await;
    let found = refusal(client.refresh().await);
    assert!(matches!(&found, TufError::DuplicateSignature { role, .. } if role == "root"), "{found:?}");
    repository.withdraw("2.root.json");
    repository.publish().await;
    repository.put("timestamp.json", &repository.timestamp, &[&repository.online, &repository.online]).await;
    assert!(matches!(refusal(client.refresh().await), TufError::DuplicateSignature { .. }));
}

/// The id is what the metadata call the key; who holds it under two would be two.
#[tokio::test]
async fn one_key_twice_a_root_that_lists_one_key_under_two_ids_is_refused_pinned_and_walked() {
    for listed in ["root", "targets", "snapshot", "timestamp"] {
        let mut repository = Repository::start().await;
        let client = Client::of(&repository).await;
        let [ann, bob, cyd] = &repository.holders;
        let twin = ann.alias("somebody else");
        repository.root["version"] = json!(2);
        repository.root["keys"] = keys(&[ann, bob, cyd, &twin, &repository.online, &repository.packager]);
        repository.root["roles"][listed] = role(&[ann, &twin], 2);
        let bytes = signed(&repository.root, &[ann, bob, &twin]).await;
        repository.serve("2.root.json", Answer::Bytes(bytes.clone()));
        let pinned = Client::new().store().initialize(&repository.url, &bytes, &client.outbound, now()).await;
        for refused in [client.refresh().await.err(), Client::new().initialize(&repository).await.err(), pinned.err()] {
            let Some(TrustError::KeyTwice(twice)) = refused else { panic!("{refused:?}") };
            assert_eq!((twice.role.as_str(), twice.by.as_str()), (listed, "root 2"));
            let mut ids = [twice.one.as_str(), twice.other.as_str()];
            let mut expected = [ann.id.as_str(), twin.id.as_str()];
            ids.sort_unstable();
            expected.sort_unstable();
            assert_eq!(ids, expected);
        }
    }
}

/// However it is written: the other encoding of its point, another line length, another name of its type.
#[tokio::test]
async fn one_key_twice_is_seen_through_other_ways_to_write_the_key() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let [ann, bob, cyd] = &repository.holders;
    let object = |change: fn(&mut Value)| {
        let mut object = ann.object.clone();
        change(&mut object);
        object
    };
    let twins: [Value; 3] = [
        object(|object| object["keytype"] = json!("ecdsa-sha2-nistp256")),
        object(|object| object["keyval"]["public"] = json!(compressed(object["keyval"]["public"].as_str().unwrap()))),
        object(|object| {
            object["keyval"]["public"] = json!(object["keyval"]["public"].as_str().unwrap().replace('\n', "\r\n"))
        }),
    ];
    for twin in twins {
        repository.root["version"] = json!(2);
        repository.root["keys"] = keys(&[ann, bob, cyd, &repository.online, &repository.packager]);
        repository.root["keys"]["twin"] = twin;
        repository.root["roles"]["root"]["keyids"] = json!([ann.id, bob.id, "twin"]);
        repository.put_root().await;
        assert!(matches!(client.refresh().await.err(), Some(TrustError::KeyTwice(_))));
    }
}

/// The same point with its first coordinate alone (RFC 5480 §2.2), as PEM.
fn compressed(pem: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).unwrap();
    // The last 65 bytes are the point; the lengths of both strings before it shrink by 32.
    let (head, point) = der.split_at(der.len() - 65);
    let mut head = head.to_vec();
    head[1] -= 32;
    let bit_string = head.len() - 2;
    head[bit_string] -= 32;
    let sign = if point[64] % 2 == 0 { 2 } else { 3 };
    let der = [&head[..], &[sign], &point[1..33]].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn one_key_twice_in_a_delegation_is_refused_and_hides_no_other_target() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let team = Holder::new("team");
    let twin = team.alias("the other of the team");
    let mut metadata = crate::hostile::targets(1);
    metadata["targets"]["team/tool"] = entry(b"tool");
    repository.serve_target("team/tool", b"tool", Answer::Bytes(b"tool".to_vec()));
    let delegation = json!({ "name": "a/team", "keyids": [team.id, twin.id], "threshold": 2, "terminating": false, "paths": ["team/*"] });
    repository.targets["delegations"] = json!({ "keys": keys(&[&team, &twin]), "roles": [delegation] });
    repository.snapshot["meta"]["a/team.json"]["version"] = json!(1);
    repository.put("1.a%2Fteam.json", &metadata, &[&team, &twin]).await;
    repository.publish().await;
    for client in [&client, &Client::new()] {
        let mut walked = match client.refresh().await {
            Ok(walked) => walked,
            Err(_) => client.initialize(&repository).await.unwrap(),
        };
        let Err(TrustError::KeyTwice(twice)) = walked.target("team/tool").await else {
            panic!("the key was counted twice")
        };
        assert_eq!((twice.role.as_str(), twice.by.contains("targets.json")), ("a/team", true));
        assert_eq!(walked.target(TARGET).await.unwrap(), b"one");
    }
    // With what was cached before, too.
    let refused = client.target("team/tool").await;
    assert!(matches!(refused, Err(TrustError::KeyTwice(_))), "{refused:?}");
}

/// What one says of a role's keys is nothing to another who delegates to the same name, whichever of the two is asked for first.
#[tokio::test]
async fn one_key_twice_is_judged_for_each_who_delegates() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let [left, right, evil, honest] = ["left", "right", "evil", "honest"].map(Holder::new);
    let twin = evil.alias("another");
    let leading_to = |delegation: Value, holders: &[&Holder]| {
        let mut metadata = crate::hostile::targets(1);
        metadata["delegations"] = json!({ "keys": keys(holders), "roles": [delegation] });
        metadata
    };
    let doubled = json!({ "name": "shared", "keyids": [evil.id, twin.id], "threshold": 2, "terminating": false, "paths": ["left/*"] });
    let to_shared = crate::hostile::delegation("shared", &honest, &["right/*"]);
    let mut shared = crate::hostile::targets(1);
    for path in ["left/tool", "right/tool"] {
        shared["targets"][path] = entry(b"tool");
        repository.serve_target(path, b"tool", Answer::Bytes(b"tool".to_vec()));
    }
    repository.put_delegated("shared", &shared, &honest).await;
    repository.put("1.shared.json", &shared, &[&honest, &evil, &twin]).await;
    repository
        .delegate(&[
            (crate::hostile::delegation("left", &left, &["left/*"]), &left, leading_to(doubled, &[&evil, &twin])),
            (crate::hostile::delegation("right", &right, &["right/*"]), &right, leading_to(to_shared, &[&honest])),
        ])
        .await;
    for order in [["left/tool", "right/tool"], ["right/tool", "left/tool"]] {
        let mut walked = client.refresh().await.unwrap();
        for path in order {
            match (path, walked.target(path).await) {
                ("right/tool", found) => assert_eq!(found.unwrap(), b"tool"),
                (_, Err(TrustError::KeyTwice(twice))) => {
                    assert_eq!((twice.by.as_str(), twice.role.as_str()), ("left.json", "shared"));
                }
                (_, other) => panic!("the key was counted twice: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn threshold_zero_is_never_met() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.root["version"] = json!(2);
    repository.root["roles"]["targets"]["threshold"] = json!(0);
    repository.put_root().await;
    repository.publish().await;
    repository.put("2.targets.json", &repository.targets, &[]).await;
    assert!(matches!(refusal(client.refresh().await), TufError::Malformed(_)));
}

/// What does not count does no harm either: an invalid, an empty and a stranger's signature beside enough good ones.
#[tokio::test]
async fn key_compromise_signatures_that_do_not_count_do_not_lock_anybody_out() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    repository.root["version"] = json!(2);
    let [ann, bob, cyd] = &repository.holders;
    let mut envelope: Value = serde_json::from_slice(&signed(&repository.root, &[ann, bob]).await).unwrap();
    let signatures = envelope["signatures"].as_array_mut().unwrap();
    signatures.insert(0, json!({ "keyid": cyd.id, "sig": "" }));
    signatures.insert(0, json!({ "keyid": "nobody", "sig": "00" }));
    repository.serve("2.root.json", Answer::Bytes(serde_json::to_vec(&envelope).unwrap()));
    assert_eq!(client.refresh().await.unwrap().root_version(), 2);
}
