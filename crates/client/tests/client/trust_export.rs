// SPDX-License-Identifier: Apache-2.0
//! Trust that is carried in a file: to a machine without a network, tampered with on the way, older than what is known, expired.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use touchmark_client::trust::{AsDefault, NamedRoot, TrustError, TrustExport, TrustStore};
use touchmark_keys::sha256;

use crate::instances::{add, name, root};
use crate::support::Instance;

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> TrustStore {
        TrustStore::at(self.0.path())
    }
}

/// What a machine with a network knows of the instance, in a file.
async fn exported(machine: &Machine, instance: &Instance) -> Vec<u8> {
    add(&machine.store(), "lab", instance).await.unwrap();
    machine.store().within(name("lab")).export(Timestamp::now()).unwrap().to_json()
}

#[tokio::test]
async fn an_export_makes_an_instance_on_a_machine_without_a_network() {
    let (instance, online) = (Instance::start().await, Machine::new());
    let file = exported(&online, &instance).await;
    let export = TrustExport::from_json(&file).unwrap();
    assert!(
        export.names().any(|name| name == "1.root.json") && export.names().any(|name| name.starts_with("targets/"))
    );
    let (now, expected) = (Timestamp::now(), instance.trusted_root.to_json());
    let known = root(&instance);
    drop(instance);
    let named = [NamedRoot::Bytes(known.clone()), NamedRoot::Sha256(sha256(&known))];
    for root in &named {
        let offline = Machine::new();
        let store = offline.store();
        assert!(matches!(
            store.import(&export, None, AsDefault::IfNone, now).await.err(),
            Some(TrustError::RootNeeded { .. })
        ));
        let repository =
            store.clone().within(name("lab")).import(&export, Some(root), AsDefault::IfNone, now).await.unwrap();
        assert_eq!(repository.name(), &name("lab"));
        assert_eq!(store.trusted_root_offline(now).unwrap().trusted_root.to_json(), expected);
        let known = store.instances().unwrap().remove(0);
        assert!(known.is_default && known.refreshed_at.is_none());
        // Known by now: no root is needed, and what it holds can be carried on.
        store.import(&export, None, AsDefault::IfNone, now).await.unwrap();
        assert_eq!(store.export(now).unwrap().to_json(), file);
    }
    let stranger = NamedRoot::Sha256([1; 32]);
    assert!(matches!(
        Machine::new().store().import(&export, Some(&stranger), AsDefault::IfNone, now).await.err(),
        Some(TrustError::RootNotFound { .. })
    ));
}

#[tokio::test]
async fn no_file_of_an_export_can_be_changed_or_left_out() {
    let (instance, online) = (Instance::start().await, Machine::new());
    let export: Value = serde_json::from_slice(&exported(&online, &instance).await).unwrap();
    let files = export["files"].as_array().unwrap();
    let (now, root) = (Timestamp::now(), NamedRoot::Bytes(root(&instance)));
    assert_eq!(files.len(), 6, "root, timestamp, snapshot, targets and two targets");
    for (position, file) in files.iter().enumerate() {
        let name = file["name"].as_str().unwrap();
        let mut content = STANDARD.decode(file["content"].as_str().unwrap()).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        let mut changed = export.clone();
        changed["files"][position]["content"] = STANDARD.encode(content).into();
        let mut shorter = export.clone();
        shorter["files"].as_array_mut().unwrap().remove(position);
        for tampered in [changed, shorter] {
            let carried = TrustExport::from_json(tampered.to_string().as_bytes()).unwrap();
            let machine = Machine::new();
            let refused = machine.store().import(&carried, Some(&root), AsDefault::IfNone, now).await.err();
            // The pinned root is the importer's: the export's copy of it is not even read.
            if name == "1.root.json" {
                assert!(refused.is_none(), "{refused:?}");
                let NamedRoot::Bytes(bytes) = &root else { unreachable!() };
                let by_hash = NamedRoot::Sha256(sha256(bytes));
                let refused =
                    Machine::new().store().import(&carried, Some(&by_hash), AsDefault::IfNone, now).await.err();
                assert!(matches!(refused, Some(TrustError::RootNotFound { .. })), "{refused:?}");
                continue;
            }
            assert!(
                matches!(refused, Some(TrustError::Tuf { .. } | TrustError::ExportIncomplete { .. })),
                "{name}: {refused:?}"
            );
            assert!(machine.store().instances().unwrap().is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn an_older_export_is_refused_after_a_newer_one() {
    let (instance, online, offline) = (Instance::start().await, Machine::new(), Machine::new());
    let old = TrustExport::from_json(&exported(&online, &instance).await).unwrap();
    let instance = instance.restart().await;
    let new = TrustExport::from_json(&exported(&online, &instance).await).unwrap();
    let (now, root) = (Timestamp::now(), NamedRoot::Bytes(root(&instance)));
    let store = offline.store().within(name("lab"));
    store.import(&old, Some(&root), AsDefault::IfNone, now).await.unwrap();
    store.import(&new, None, AsDefault::IfNone, now).await.unwrap();
    let refused = store.import(&old, None, AsDefault::IfNone, now).await.err();
    assert!(matches!(refused, Some(TrustError::Tuf { .. })), "{refused:?}");
    // The metadata are the newer ones; the address is the one that was known.
    let files = |export: &TrustExport| serde_json::from_slice::<Value>(&export.to_json()).unwrap()["files"].clone();
    let exported = store.export(now).unwrap();
    assert_eq!(files(&exported), files(&new));
    assert_eq!(exported.mirror(), old.mirror());
}

#[tokio::test]
async fn what_has_expired_is_refused_unless_a_time_is_stated() {
    let (instance, online, offline) = (Instance::start().await, Machine::new(), Machine::new());
    let export = TrustExport::from_json(&exported(&online, &instance).await).unwrap();
    let (then, root) = (Timestamp::now(), NamedRoot::Bytes(root(&instance)));
    let later = then + SignedDuration::from_hours(24 * 365 * 100);
    let store = offline.store();
    assert!(matches!(
        store.import(&export, Some(&root), AsDefault::IfNone, later).await.err(),
        Some(TrustError::Expired { .. })
    ));
    store.import(&export, Some(&root), AsDefault::IfNone, then).await.unwrap();
    assert!(matches!(store.trusted_root_offline(later), Err(TrustError::Expired { .. })));
    assert!(matches!(store.export(later), Err(TrustError::Expired { .. })));
    assert_eq!(store.trusted_root_offline(then).unwrap().trusted_root.to_json(), instance.trusted_root.to_json());
}

#[tokio::test]
async fn other_clients_get_documents_that_say_the_same() {
    let (instance, online) = (Instance::start().await, Machine::new());
    let mut repository = add(&online.store(), "lab", &instance).await.unwrap();
    let files = repository.client_files().await.unwrap();
    let handed_out = |name: &str| std::fs::read(instance.data("client").join(name)).unwrap();
    let signing = files.signing.unwrap();
    assert_eq!(files.root, handed_out("root.json"));
    assert_eq!(files.trusted_root, handed_out("trusted_root.json"));
    assert_eq!(signing.signing_config, handed_out("signing_config.json"));
    assert_eq!(signing.client_trust_config, handed_out("client_trust_config.json"));
}
