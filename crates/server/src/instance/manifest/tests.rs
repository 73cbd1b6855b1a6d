// SPDX-License-Identifier: Apache-2.0
//! What a manifest may say, how an older one is read, and that logs only go forward.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn manifest() -> Manifest {
    let issuer = "http://127.0.0.1:7701/oidc".parse().unwrap();
    Manifest::new(at("2026-11-22T10:00:00Z"), issuer, false)
}

fn name(manifest: &Manifest, label: &str) -> String {
    format!("{label}.{}", manifest.domain())
}

/// A manifest whose Rekor log was rotated.
fn rotated() -> Manifest {
    let mut manifest = manifest();
    let (created, until) = (at("2026-12-01T10:00:00Z"), at("2026-12-01T11:00:00Z"));
    let next = manifest.next_name(LogKind::Rekor, created);
    manifest.logs[0].state = ShardState::Retired { since: manifest.created, until };
    let key = key_path(&next);
    let state = ShardState::Active { since: created };
    manifest.logs.push(Shard { kind: LogKind::Rekor, name: next, key, created, state });
    manifest
}

#[test]
fn names_carry_kind_year_number_and_instance() {
    let manifest = rotated();
    assert_eq!(manifest.instance.len(), 8);
    let names: Vec<_> = manifest.logs.iter().map(|shard| shard.name.clone()).collect();
    assert_eq!(names, ["rekor2026-1", "ct2026-1", "rekor2026-2"].map(|label| name(&manifest, label)));
    assert_eq!(
        manifest.logs.iter().map(|shard| shard.key.as_str()).collect::<Vec<_>>(),
        ["keys/rekor.pem", "keys/ct.pem", "keys/rekor2026-2.pem"]
    );
    let next = |kind, time| manifest.next_name(kind, at(time));
    assert_eq!(next(LogKind::Rekor, "2026-12-31T23:59:59Z"), name(&manifest, "rekor2026-3"));
    assert_eq!(next(LogKind::Rekor, "2027-01-01T00:00:00Z"), name(&manifest, "rekor2027-1"));
    assert_eq!(next(LogKind::Ct, "2026-12-31T00:00:00Z"), name(&manifest, "ct2026-2"));
}

#[test]
fn the_current_log_is_the_active_one_or_the_last_that_was() {
    let mut manifest = rotated();
    let current = |manifest: &Manifest| manifest.current(LogKind::Rekor).unwrap().name.clone();
    assert_eq!(current(&manifest), name(&manifest, "rekor2026-2"));
    let frozen =
        |since| ShardState::Frozen { since, until: at("2026-12-02T00:00:00Z"), size: 1, root: "00".to_owned() };
    manifest.logs[0].state = frozen(Some(manifest.created));
    manifest.logs[2].state = frozen(Some(at("2026-12-01T10:00:00Z")));
    assert_eq!(current(&manifest), name(&manifest, "rekor2026-2"));
    // One that was frozen before anybody was sent to it is nobody's.
    manifest.logs[2].state = frozen(None);
    assert_eq!(current(&manifest), name(&manifest, "rekor2026-1"));
}

#[test]
fn what_is_stored_is_loaded_and_another_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path());
    assert!(Manifest::load(&layout).unwrap().is_none());
    rotated().store(&layout).unwrap();
    let stored = std::fs::read_to_string(layout.manifest()).unwrap();
    assert!(stored.contains("oidc_issuer = \"http://127.0.0.1:7701/oidc\""), "{stored}");
    let loaded = Manifest::load(&layout).unwrap().unwrap();
    assert_eq!(loaded.to_text(), stored);
    std::fs::write(layout.manifest(), stored.replace("schema = 2", "schema = 3\nnews = true")).unwrap();
    assert!(matches!(Manifest::load(&layout), Err(StartError::Schema { found: 3, known: 2, .. })));
    for wrong in [("schema = 2", "schema = 2\nnews = true"), ("is = \"active\"", "is = \"thawed\"")] {
        std::fs::write(layout.manifest(), stored.replace(wrong.0, wrong.1)).unwrap();
        assert!(matches!(Manifest::load(&layout), Err(StartError::Manifest { .. })), "{wrong:?}");
    }
}

#[test]
fn a_directory_of_the_first_schema_keeps_its_logs() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::new(directory.path());
    let old = "# Made by `touchmark up`.\nschema = 1\ninstance = \"3f9c21ab\"\ncreated = \"2026-11-22T10:00:00Z\"\nencrypted = true\n\
               rekor_log = \"rekor2026-1.3f9c21ab.touchmark.localhost\"\nct_log = \"ct2026-1.3f9c21ab.touchmark.localhost\"\n\
               oidc_issuer = \"http://127.0.0.1:7701/oidc\"\n";
    std::fs::write(layout.manifest(), old).unwrap();
    let manifest = Manifest::load(&layout).unwrap().unwrap();
    let expected = Manifest { instance: "3f9c21ab".to_owned(), encrypted: true, ..self::manifest() };
    let logs = expected.logs.into_iter().zip(["rekor2026-1", "ct2026-1"]);
    let logs = logs.map(|(shard, label)| Shard { name: name(&manifest, label), ..shard }).collect();
    assert_eq!(manifest, Manifest { logs, instance: "3f9c21ab".to_owned(), ..expected_head(&manifest) });
    manifest.store(&layout).unwrap();
    assert!(std::fs::read_to_string(layout.manifest()).unwrap().contains("schema = 2"));
    assert_eq!(Manifest::load(&layout).unwrap(), Some(manifest));
    std::fs::write(layout.manifest(), old.replace("encrypted", "encrypted_")).unwrap();
    assert!(matches!(Manifest::load(&layout), Err(StartError::Manifest { .. })));
}

fn expected_head(found: &Manifest) -> Manifest {
    assert_eq!((found.created, found.encrypted), (at("2026-11-22T10:00:00Z"), true));
    Manifest { logs: Vec::new(), ..found.clone() }
}

#[test]
fn a_manifest_goes_forward_only() {
    let (before, after) = (manifest_of(&rotated()), rotated_of);
    let check = |change: &dyn Fn(&mut Manifest), expect: Result<(), &'static str>| {
        let mut new = after(&before);
        change(&mut new);
        assert_eq!(new.check_follows(&before), expect);
    };
    check(&|_| {}, Ok(()));
    check(&|new| new.encrypted = true, Err("it changes more than the logs"));
    check(&|new| drop(new.logs.remove(0)), Err("a log is another one, or its state goes back"));
    check(&|new| new.logs.truncate(1), Err("it drops a log, or has too many"));
    check(&|new| new.logs[0].key.push('x'), Err("a log is another one, or its state goes back"));
    check(&|new| new.logs[0].state = ShardState::Next, Err("a log is another one, or its state goes back"));
    check(&|new| new.logs[0].state = ShardState::Active { since: new.created }, Err("two logs of a kind are active"));
    for name in ["../evil", "rekor2026-1", "REKOR2026-9", ""] {
        let taken = Err("the name of a log is taken, or not one of this instance");
        check(&|new| new.logs[2].name = format!("{name}.{}", new.domain()), taken);
    }
    check(
        &|new| new.logs[2].key = "offline/tuf-root.pem".to_owned(),
        Err("the name of a log is taken, or not one of this instance"),
    );
    let claimed = ShardState::Frozen { since: None, until: before.created, size: 9, root: String::new() };
    check(&|new| new.logs[0].state = claimed.clone(), Err("a log ends by being frozen, not by being called so"));
    let frozen = ShardState::Frozen { since: None, until: before.created, size: 0, root: String::new() };
    let mut ended = before.clone();
    ended.logs[0].state = frozen;
    assert_eq!(before.check_follows(&ended), Err("a log is another one, or its state goes back"));
}

/// The manifest before the rotation that made this one.
fn manifest_of(rotated: &Manifest) -> Manifest {
    let mut before = rotated.clone();
    before.logs.truncate(2);
    before.logs[0].state = ShardState::Active { since: before.created };
    before
}

fn rotated_of(before: &Manifest) -> Manifest {
    let mut new = rotated();
    new.instance.clone_from(&before.instance);
    for (shard, label) in new.logs.iter_mut().zip(["rekor2026-1", "ct2026-1", "rekor2026-2"]) {
        shard.name = name(before, label);
    }
    new
}
