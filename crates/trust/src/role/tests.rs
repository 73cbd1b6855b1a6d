// SPDX-License-Identifier: Apache-2.0
//! Roots: the chain of the public instance, its tampered twins, and key sets made to be miscounted.

use serde_json::json;
use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer as _};

use super::*;
use crate::document::SignatureEntry;

/// Roots 1 to 4 have hexadecimal keys and times of another form.
const FIRST: u64 = 5;
const LAST: u64 = 15;

fn public_root(version: u64) -> Vec<u8> {
    let history =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository/metadata/root_history");
    std::fs::read(format!("{history}/{version}.root.json")).unwrap()
}

#[test]
fn the_public_chain_is_walked_and_every_byte_of_it_kept() {
    for start in FIRST..=LAST {
        let mut root = Root::pinned(public_root(start)).unwrap();
        for version in start + 1..=LAST {
            root = root.next(public_root(version)).unwrap();
            assert_eq!(root.document().bytes(), public_root(version));
        }
        assert_eq!(root.version(), LAST);
        let (holders, role) = (root.view().keys_of(RoleType::Root), root.view().role(RoleType::Root));
        assert_eq!((holders.filter_map(|(_, key)| key.owner()).count(), role.threshold()), (5, 3));
    }
}

#[test]
fn a_public_root_is_refused_with_any_byte_of_its_signed_part_changed() {
    for version in FIRST + 1..=LAST {
        let (before, bytes) = (Root::pinned(public_root(version - 1)).unwrap(), public_root(version));
        let original = Document::parse(RoleType::Root, bytes.clone()).unwrap();
        for position in 0..bytes.len() {
            let mut twin = bytes.clone();
            twin[position] ^= 1;
            // What carries no meaning: signatures beyond the threshold, and members beside the signed part.
            let Ok(next) = before.next(twin) else { continue };
            assert_eq!(next.document().canonical(), original.canonical(), "root {version}, byte {position}");
        }
    }
}

#[test]
fn a_public_root_without_enough_of_its_signatures_is_refused() {
    for version in FIRST + 1..=LAST {
        let before = Root::pinned(public_root(version - 1)).unwrap();
        let next = Document::parse(RoleType::Root, public_root(version)).unwrap();
        for (role, who) in [(before.view(), "old"), (&RootView::read(next.clone()).unwrap(), "new")] {
            let good = role.role(RoleType::Root).signers(role.keys(), &next).key_ids().to_vec();
            let kept = &good[..2];
            let left: Vec<SignatureEntry> = next
                .signatures()
                .iter()
                .filter(|entry| kept.contains(&entry.key_id) || !good.contains(&entry.key_id))
                .cloned()
                .collect();
            let bytes = next.with_signatures(&left).unwrap().bytes().to_vec();
            assert!(matches!(before.next(bytes), Err(MetadataError::Threshold { .. })), "root {version}, {who} keys");
        }
    }
}

#[test]
fn roots_follow_one_by_one() {
    let root = Root::pinned(public_root(13)).unwrap();
    assert_eq!(root.next(public_root(15)), Err(MetadataError::Version { expected: 14, found: 15 }));
    assert_eq!(root.next(public_root(13)), Err(MetadataError::Version { expected: 14, found: 13 }));
}

fn root_of(keys: &[(&str, &Key)], threshold: u32) -> Document {
    let ids: Vec<_> = keys.iter().map(|(id, _)| *id).collect();
    let objects: serde_json::Map<_, _> =
        keys.iter().map(|(id, key)| ((*id).to_owned(), key.object().clone())).collect();
    let role = json!({ "keyids": ids, "threshold": threshold });
    let signed = json!({
        "_type": "root", "spec_version": "1.0.31", "version": 1, "expires": "2030-01-01T00:00:00Z", "keys": objects,
        "roles": { "root": role, "targets": role, "snapshot": role, "timestamp": role },
    });
    Document::write(RoleType::Root, signed.as_object().unwrap(), &[]).unwrap()
}

async fn sign(document: &Document, signer: &EphemeralSigner, ids: &[&str]) -> Document {
    let signature = signer.sign(document.canonical()).await.unwrap();
    let entry = |id: &&str| SignatureEntry { key_id: KeyId::read(id).unwrap(), signature: signature.clone() };
    document.with_signatures(&ids.iter().map(entry).collect::<Vec<_>>()).unwrap()
}

#[tokio::test]
async fn one_key_under_two_ids_is_one_vote() {
    let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let [one, other] = ["ann", "bob"].map(|owner| Key::of_owner(signer.public_key(), owner).unwrap());
    let document = sign(&root_of(&[("1", &one), ("2", &other)], 2), &signer, &["1", "2"]).await;
    let refused = Root::pinned(document.bytes().to_vec());
    assert!(matches!(refused, Err(MetadataError::Threshold { needed: 2, signed, .. }) if signed.len() == 1));
    let document = sign(&root_of(&[("1", &one), ("2", &other)], 1), &signer, &["1", "2"]).await;
    assert!(Root::pinned(document.bytes().to_vec()).is_ok());
}

#[tokio::test]
async fn a_signature_of_a_key_that_the_role_does_not_list_counts_nothing() {
    let [signer, stranger] = [(); 2].map(|()| EphemeralSigner::generate(KeyType::EcdsaP256).unwrap());
    let key = Key::of_owner(signer.public_key(), "ann").unwrap();
    let document = root_of(&[("1", &key)], 1);
    for ids in [&["2"][..], &["1"]] {
        let signed = sign(&document, &stranger, ids).await;
        assert!(matches!(Root::pinned(signed.bytes().to_vec()), Err(MetadataError::Threshold { .. })));
    }
    assert!(Root::pinned(sign(&document, &signer, &["1"]).await.bytes().to_vec()).is_ok());
}

#[test]
fn key_lists_that_cannot_be_meant_are_refused() {
    let check = |role, expected| assert_eq!(RoleKeys::read("root", &role), Err(expected));
    let role = || "root".to_owned();
    check(json!({ "keyids": ["a"], "threshold": 0 }), MetadataError::ThresholdZero { role: role() });
    let key_id = KeyId::read("a").unwrap();
    check(json!({ "keyids": ["a", "a"], "threshold": 1 }), MetadataError::ListedTwice { role: role(), key_id });
    check(
        json!({ "keyids": [], "threshold": -1 }),
        MetadataError::Member { member: "threshold", expected: "a number" },
    );
    check(json!({ "keyids": {}, "threshold": 1 }), MetadataError::Member { member: "keyids", expected: "a list" });
    assert!(RoleKeys::read("root", &json!({ "keyids": [1], "threshold": 1 })).is_err());
}
