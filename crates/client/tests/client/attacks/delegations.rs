// SPDX-License-Identifier: Apache-2.0
//! Attacks by roles that somebody was given a part of the targets: more than their part, without end, or in another's name.

use serde_json::json;
use sigstore_tuf::Error as TufError;
use touchmark_client::trust::TrustError;

use super::{is_below_threshold, refusal};
use crate::hostile::{Answer, Client, Holder, Repository, TARGET, delegation, entry, keys, targets};

/// Targets metadata that state one file.
fn stating(path: &str, bytes: &[u8]) -> serde_json::Value {
    let mut metadata = targets(1);
    metadata["targets"][path] = entry(bytes);
    metadata
}

fn is_missing<T>(outcome: &Result<T, TrustError>) -> bool {
    matches!(outcome, Err(TrustError::TargetMissing { .. }))
}

#[tokio::test]
async fn delegation_abuse_a_path_outside_the_delegation_is_not_found() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let team = Holder::new("team");
    let mut metadata = stating("team/tool", b"tool");
    for outside in ["other/tool", "team/deep/tool", "team", TARGET] {
        metadata["targets"][outside] = entry(b"evil");
    }
    for (path, bytes) in
        [("team/tool", &b"tool"[..]), ("other/tool", b"evil"), ("team/deep/tool", b"evil"), (TARGET, b"evil")]
    {
        repository.serve_target(path, bytes, Answer::Bytes(bytes.to_vec()));
    }
    repository.delegate(&[(delegation("team", &team, &["team/*"]), &team, metadata)]).await;
    assert_eq!(client.target("team/tool").await.unwrap(), b"tool");
    for outside in ["other/tool", "team/deep/tool", "team"] {
        assert!(is_missing(&client.target(outside).await), "{outside}");
    }
    assert_eq!(client.target(TARGET).await.unwrap(), b"one");
}

#[tokio::test]
async fn delegation_abuse_a_hash_prefix_of_another_bin_is_not_found() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let team = Holder::new("team");
    let first = hex::encode(touchmark_keys::sha256(b"tool"))[..2].to_owned();
    for (prefix, is_found) in [(first.as_str(), true), ("zz", false)] {
        let mut to_bin = delegation("bin", &team, &[]);
        to_bin.as_object_mut().unwrap().remove("paths");
        to_bin["path_hash_prefixes"] = json!([prefix]);
        repository.serve_target("tool", b"tool", Answer::Bytes(b"tool".to_vec()));
        repository.delegate(&[(to_bin, &team, stating("tool", b"tool"))]).await;
        assert_eq!(client.target("tool").await.is_ok(), is_found, "{prefix}");
    }
}

#[tokio::test]
async fn delegation_abuse_a_circle_of_roles_has_an_end() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let (one, two) = (Holder::new("one"), Holder::new("two"));
    let leading_to = |name: &str, holder: &Holder| {
        let mut metadata = targets(1);
        metadata["delegations"] = json!({ "keys": keys(&[holder]), "roles": [delegation(name, holder, &["*"])] });
        metadata
    };
    repository.put_delegated("two", &leading_to("one", &one), &two).await;
    repository.delegate(&[(delegation("one", &one, &["*"]), &one, leading_to("two", &two))]).await;
    repository.asked();
    assert!(is_missing(&client.target("nowhere").await));
    let asked = repository.asked();
    for file in ["1.one.json", "1.two.json"] {
        assert_eq!(asked.iter().filter(|name| *name == file).count(), 1, "{asked:?}");
    }
}

/// The search gives up after 32 roles, as python-tuf's does.
#[tokio::test]
async fn delegation_abuse_too_many_roles_are_not_asked() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let team = Holder::new("team");
    let crowd: Vec<_> = (0..64)
        .map(|number| {
            let name = format!("role{number}");
            let metadata = if number == 63 { stating("tool", b"tool") } else { targets(1) };
            (delegation(&name, &team, &["*"]), &team, metadata)
        })
        .collect();
    repository.delegate(&crowd).await;
    repository.asked();
    assert!(is_missing(&client.target("tool").await));
    let asked = repository.asked().into_iter().filter(|name| name.starts_with("1.role")).count();
    assert_eq!(asked, 31, "and the targets role itself");
}

#[tokio::test]
async fn delegation_abuse_after_a_terminating_role_nobody_is_asked() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let (first, second) = (Holder::new("first"), Holder::new("second"));
    let mut ending = delegation("first", &first, &["*"]);
    ending["terminating"] = json!(true);
    let second_role = delegation("second", &second, &["*"]);
    repository.delegate(&[(ending, &first, targets(1)), (second_role, &second, stating("tool", b"tool"))]).await;
    repository.asked();
    assert!(is_missing(&client.target("tool").await));
    assert!(!repository.asked().contains(&"1.second.json".to_owned()));
}

/// Two roles delegate to one name, with other keys: what one's keys signed is nothing to the other (CVE-2024-47534).
#[tokio::test]
async fn delegation_abuse_a_role_is_verified_for_each_who_delegates_to_it() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let [left, right, honest, other] = ["left", "right", "honest", "other"].map(Holder::new);
    let leading_to = |holder: &Holder, path: &str| {
        let mut metadata = targets(1);
        metadata["delegations"] = json!({ "keys": keys(&[holder]), "roles": [delegation("shared", holder, &[path])] });
        metadata
    };
    let mut shared = stating("left/tool", b"tool");
    shared["targets"]["right/tool"] = entry(b"evil");
    repository.put_delegated("shared", &shared, &honest).await;
    for (path, bytes) in [("left/tool", &b"tool"[..]), ("right/tool", b"evil")] {
        repository.serve_target(path, bytes, Answer::Bytes(bytes.to_vec()));
    }
    repository
        .delegate(&[
            (delegation("left", &left, &["left/*"]), &left, leading_to(&honest, "left/*")),
            (delegation("right", &right, &["right/*"]), &right, leading_to(&other, "right/*")),
        ])
        .await;
    let mut walked = client.refresh().await.unwrap();
    assert_eq!(walked.target("left/tool").await.unwrap(), b"tool");
    // Known by now, and still not what the right one's key signed.
    is_below_threshold(walked.target("right/tool").await, "shared");
}

#[tokio::test]
async fn delegation_abuse_a_role_that_is_named_like_a_top_level_one_is_ignored() {
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let mut repository = Repository::start().await;
        let client = Client::of(&repository).await;
        let team = Holder::new("team");
        repository.targets["delegations"] =
            json!({ "keys": keys(&[&team]), "roles": [delegation(name, &team, &["*"])] });
        repository.snapshot["meta"]["root.json"]["version"] = json!(1);
        repository.publish().await;
        let before = std::fs::read(client.store().metadata_dir(&repository.url).join("root.json")).unwrap();
        assert!(is_missing(&client.target("tool").await), "{name}");
        assert_eq!(std::fs::read(client.store().metadata_dir(&repository.url).join("root.json")).unwrap(), before);
    }
}

#[tokio::test]
async fn delegation_abuse_what_the_snapshot_does_not_pin_is_not_fetched() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let team = Holder::new("team");
    repository.targets["delegations"] = json!({ "keys": keys(&[&team]), "roles": [delegation("team", &team, &["*"])] });
    repository.put("1.team.json", &stating("tool", b"tool"), &[&team]).await;
    repository.publish().await;
    repository.asked();
    assert!(is_missing(&client.target("tool").await));
    assert!(!repository.asked().contains(&"1.team.json".to_owned()));
}

#[tokio::test]
async fn delegation_abuse_one_bad_delegate_hides_nothing_that_is_not_his() {
    let mut repository = Repository::start().await;
    let client = Client::of(&repository).await;
    let [bad, good] = ["bad", "good"].map(Holder::new);
    repository.serve_target("good/tool", b"tool", Answer::Bytes(b"tool".to_vec()));
    repository
        .delegate(&[
            (delegation("bad", &bad, &["bad/*"]), &bad, stating("bad/tool", b"x")),
            (delegation("good", &good, &["good/*"]), &good, stating("good/tool", b"tool")),
        ])
        .await;
    repository.serve("1.bad.json", Answer::Bytes(b"{}".to_vec()));
    let mut walked = client.refresh().await.unwrap();
    assert!(matches!(refusal(walked.target("bad/tool").await), TufError::Malformed(_)));
    assert_eq!(walked.target("good/tool").await.unwrap(), b"tool");
    assert_eq!(walked.target(TARGET).await.unwrap(), b"one");
}
