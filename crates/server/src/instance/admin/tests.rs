// SPDX-License-Identifier: Apache-2.0
//! What is a request, and what is not.

use super::*;

fn manifest() -> Manifest {
    let issuer = "http://127.0.0.1:7701/oidc".parse().unwrap();
    Manifest::new("2026-11-22T10:00:00Z".parse().unwrap(), issuer, false)
}

fn prepared_of(name: &'static str) -> PreparedTargets {
    PreparedTargets { targets: vec![Target { name, bytes: b"{}".to_vec() }], metadata: b"signed".to_vec() }
}

#[test]
fn a_change_survives_the_way_with_its_passphrase() {
    let manifest = manifest();
    for passphrase in [None, Some(Zeroizing::new(b"open \xff sesame".to_vec()))] {
        let change = Change::new(&manifest, &manifest, &prepared_of(trust::TRUSTED_ROOT), &passphrase);
        let line = serde_json::to_vec(&AdminRequest::Apply(change)).unwrap();
        assert!(!String::from_utf8_lossy(&line).contains("sesame"));
        let Ok(AdminRequest::Apply(change)) = serde_json::from_slice(&line) else { panic!("no change") };
        assert_eq!(change.passphrase, passphrase);
        assert_eq!((change.manifest, change.made_from), (manifest.to_text(), manifest.to_text()));
        let prepared = prepared(change.targets, &change.metadata).unwrap();
        assert_eq!(
            (prepared.targets, prepared.metadata),
            (prepared_of(trust::TRUSTED_ROOT).targets, b"signed".to_vec())
        );
    }
}

#[test]
fn what_is_no_request_is_refused() {
    for line in [
        "",
        "{}",
        r#"{"do":"thaw"}"#,
        r#"{"do":"freeze","name":"x"}"#,
        r#"{"do":"freeze","name":"x","demand":"please"}"#,
        r#"{"do":"apply","manifest":"","made_from":"","targets":[],"metadata":"","passphrase":"%"}"#,
    ] {
        assert!(serde_json::from_str::<AdminRequest>(line).is_err(), "{line}");
    }
    for (name, bytes) in [("../root.json", "e30="), ("trusted_root.json", "%")] {
        assert!(prepared(vec![(name.to_owned(), bytes.to_owned())], "").is_err(), "{name}");
    }
}

#[test]
fn a_retired_log_is_due_when_its_time_has_come_and_once() {
    let mut manifest = manifest();
    let (since, until) = (manifest.created, "2026-12-01T10:00:00Z".parse().unwrap());
    manifest.logs[0].state = super::super::manifest::ShardState::Retired { since, until };
    let name = manifest.logs[0].name.clone();
    let early = until.checked_sub(jiff::SignedDuration::from_millis(1)).unwrap();
    assert_eq!(due(&manifest, early), [""; 0]);
    assert_eq!(due(&manifest, until), [name]);
    let root = String::new();
    manifest.logs[0].state = super::super::manifest::ShardState::Frozen { since: Some(since), until, size: 0, root };
    assert_eq!(due(&manifest, until), [""; 0]);
}
