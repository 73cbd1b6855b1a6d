// SPDX-License-Identifier: Apache-2.0
//! The directory of trust. Walks of a served repository are in `tests/trust.rs`.

use sigstore_tuf::{FileStore, StoreRepository};
use touchmark_outbound::Reach;

use super::*;

#[test]
fn checksums_of_both_algorithms_are_compared() {
    let root = b"root";
    let sha256 = hex::encode(digest(HashAlgorithm::Sha256, root).as_bytes());
    let sha512 = hex::encode(digest(HashAlgorithm::Sha512, root).as_bytes());
    for good in [sha256.clone(), sha256.to_uppercase(), format!("sha256:{sha256}"), format!("sha512:{sha512}\n")] {
        check_root_checksum(root, &good).unwrap();
    }
    for bad in ["", "sha1:00", "sha256:zz", &sha256[2..], &format!("sha512:{sha256}")] {
        assert!(matches!(check_root_checksum(root, bad), Err(TrustError::ChecksumUnreadable { .. })), "{bad}");
    }
    assert!(matches!(check_root_checksum(b"other", &sha256), Err(TrustError::ChecksumMismatch { .. })));
}

#[tokio::test]
async fn without_initialize_there_is_no_trust() {
    let dir = tempfile::tempdir().unwrap();
    let store = TrustStore::at(dir.path().join("none"));
    let opened = store.open(Freshness::Offline, Timestamp::now()).await;
    assert!(matches!(opened.err(), Some(TrustError::NotInitialised { .. })));
}

#[tokio::test]
async fn a_foreign_instance_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = TrustStore::at(dir.path());
    for text in ["", "{}", r#"{"version":2,"mirror":"http://a/","refreshedAt":"2026-01-01T00:00:00Z"}"#] {
        std::fs::write(dir.path().join("instance.json"), text).unwrap();
        let opened = store.open(Freshness::Offline, Timestamp::now()).await;
        assert!(matches!(opened.err(), Some(TrustError::InstanceUnreadable { .. })), "{text}");
    }
}

#[tokio::test]
async fn a_mirror_that_cannot_be_reached_leaves_nothing_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let store = TrustStore::at(dir.path());
    let root = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/sigstore-tuf-repository/metadata/root.json"
    ));
    let outbound = Outbound::new("touchmark-test", Reach::Private, None);
    let nobody = Url::parse("http://127.0.0.1:1/tuf").unwrap();
    let failed = store.initialize(&nobody, root, &outbound, Timestamp::now()).await;
    assert!(matches!(failed.err(), Some(TrustError::MirrorUnreachable { .. })));
    assert!(!dir.path().join("instance.json").exists());
    let file = store.initialize(&Url::parse("file:///tmp/tuf").unwrap(), root, &outbound, Timestamp::now()).await;
    assert!(matches!(file.err(), Some(TrustError::MirrorUnusable { .. })));
    let junk = store.initialize(&nobody, b"{}", &outbound, Timestamp::now()).await;
    assert!(matches!(junk.err(), Some(TrustError::Tuf { .. })));
}

#[test]
fn two_mirrors_never_share_a_directory() {
    let store = TrustStore::at("d");
    let name = |url: &str| InstanceName::of_mirror(&Url::parse(url).unwrap());
    assert_ne!(name("http://127.0.0.1:1/tuf"), name("http://127.0.0.1:2/tuf"));
    assert_ne!(name("https://a.example/x/y"), name("https://a.example/x-y"));
    let pinned = store.cache(&name("https://[::1]:5/../../x")).pinned_path();
    assert_eq!(pinned.parent().and_then(Path::parent), Some(Path::new("d")));
}

/// GHSA-fcv2-xgw5-pqxf: a name of a target that a repository chose led out of the cache.
#[test]
fn ghsa_fcv2_xgw5_pqxf_no_name_of_a_target_leads_out_of_the_cache() {
    // The names are the program's own, and each is one file name.
    for name in [TRUSTED_ROOT_TARGET, SIGNING_CONFIG_TARGET] {
        assert_eq!(Path::new(name).file_name(), Some(name.as_ref()));
    }
    // And the cache takes no other.
    use sigstore_tuf::MetadataStore as _;
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::new(dir.path().join("cache"));
    for name in ["../outside", "a/../../outside", "/outside"] {
        assert!(store.store(name, b"x").is_err(), "{name}");
        assert!(store.load(name).is_err(), "{name}");
    }
    assert!(!dir.path().join("outside").exists());
}

#[test]
fn the_embedded_public_good_instance_is_whole() {
    let root = public_good_root();
    assert_eq!(root.unusable(), []);
    assert!(!root.tlogs().is_empty() && !root.ctlogs().is_empty());
    assert!(!root.certificate_authorities().is_empty() && !root.timestamp_authorities().is_empty());
    let dir = tempfile::tempdir().unwrap();
    let found = TrustStore::at(dir.path()).trusted_root_offline(Timestamp::now()).unwrap();
    assert_eq!((found.origin, found.trusted_root.to_json()), (Origin::Embedded, root.to_json()));
    // The pinned root is one that the walk starts from.
    let tuf_root = sigstore_trust_root::SigstoreInstance::PublicGood.tuf_root();
    Updater::new(StoreRepository::new(FileStore::new(dir.path())), tuf_root).unwrap();
    let mirror = sigstore_trust_root::SigstoreInstance::PublicGood.tuf_url();
    assert_eq!(Url::parse(mirror).unwrap().host_str(), Some("tuf-repo-cdn.sigstore.dev"));
}

#[test]
fn several_writers_of_one_file_leave_it_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("instance.json");
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..200 {
                    write(path, &[b'a' + writer; 40_000]).unwrap();
                    let found = read(path).unwrap();
                    assert!(found.len() == 40_000 && found.iter().all(|byte| *byte == found[0]));
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
}
