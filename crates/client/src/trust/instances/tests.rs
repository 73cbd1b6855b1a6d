// SPDX-License-Identifier: Apache-2.0
//! Names, and the file of the default. Instances of served repositories are in `tests/client/instances.rs`.

use super::*;

fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

/// A directory as the program left it that knew one instance alone.
fn old_directory(mirror: &str) -> (tempfile::TempDir, TrustStore) {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(r#"{{"version":1,"mirror":"{mirror}","refreshedAt":"2026-01-01T00:00:00Z"}}"#);
    std::fs::write(dir.path().join("instance.json"), text).unwrap();
    let store = TrustStore::at(dir.path());
    (dir, store)
}

#[test]
fn names_are_names_of_directories_and_nothing_else() {
    for good in ["prod", "a", "127.0.0.1-0123", "x_y-z.9", &"n".repeat(NAME_BYTES_MAX)] {
        assert_eq!(name(good).as_str(), good);
    }
    for bad in [
        "instance.json",
        "refresh.lock",
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "Prod",
        "a b",
        "ä",
        "a\n",
        &"n".repeat(NAME_BYTES_MAX + 1),
    ] {
        let refused = InstanceName::parse(bad);
        assert!(matches!(refused, Err(TrustError::InstanceNameUnusable { .. })), "{bad:?}");
    }
    let of_mirror = InstanceName::of_mirror(&Url::parse("https://[::1]:5/x").unwrap());
    assert_eq!(name(of_mirror.as_str()), of_mirror);
    assert_eq!(name("a").numbered(1), name("a"));
    assert_eq!(name("a").numbered(3), name("a-3"));
}

#[test]
fn an_old_directory_is_read_as_one_instance_and_rewritten_when_another_is_chosen() {
    let mirror = "https://a.example/tuf";
    let (dir, store) = old_directory(mirror);
    let old = InstanceName::of_mirror(&Url::parse(mirror).unwrap());
    let check = |expected: &str| {
        let known = store.instances().unwrap();
        assert_eq!(known.len(), 1, "{expected}");
        assert_eq!((&known[0].name, known[0].mirror.as_str(), known[0].is_default), (&old, mirror, true), "{expected}");
        assert!(matches!(store.resolve().unwrap(), Resolved::Instance(name, _) if name == old), "{expected}");
    };
    check("as it was");
    store.choose(&old).unwrap();
    let file = std::fs::read_to_string(dir.path().join("instance.json")).unwrap();
    assert!(file.contains("\"version\": 2"), "{file}");
    check("rewritten");
}

#[tokio::test]
async fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
    let (_dir, store) = old_directory("https://a.example/tuf");
    let nobody = name("nobody");
    let refused = store.clone().within(nobody.clone()).resolve().err().unwrap();
    assert!(refused.to_string().starts_with("there is no instance nobody; there is a.example-"), "{refused}");
    assert!(matches!(store.choose(&nobody), Err(TrustError::InstanceUnknown { .. })));
    assert!(matches!(store.remove(&nobody, Memory::Kept).await, Err(TrustError::InstanceUnknown { .. })));
    let forgotten = store.remove(&nobody, Memory::ForgottenUnsafe).await;
    assert!(matches!(forgotten, Err(TrustError::InstanceUnknown { .. })));
}

#[tokio::test]
async fn a_removed_default_leaves_nothing_chosen_and_never_the_built_in_instance() {
    let (dir, store) = old_directory("https://a.example/tuf");
    let old = store.instances().unwrap().remove(0).name;
    let other = Instance { mirror: Url::parse("https://b.example/").unwrap(), refreshed_at: Timestamp::now() };
    store.remember(&name("b"), &other).unwrap();
    store.cache(&name("b")).pin(b"root").unwrap();
    store.remove(&old, Memory::Kept).await.unwrap();
    assert!(matches!(store.resolve(), Err(TrustError::NoneChosen { known }) if known == [name("b")]));
    store.remove(&name("b"), Memory::Kept).await.unwrap();
    // What is left of it says that there was one; only its own name leads to the public-good instance.
    assert!(dir.path().join("b/pinned.root.json").exists());
    assert!(matches!(store.trusted_root_offline(Timestamp::now()), Err(TrustError::InstanceForgotten { .. })));
    store.choose(&name(BUILT_IN_NAME)).unwrap();
    let found = store.trusted_root_offline(Timestamp::now()).unwrap();
    assert_eq!(found.origin, crate::trust::Origin::Embedded);
    store.remove(&name("b"), Memory::ForgottenUnsafe).await.unwrap();
    assert!(!dir.path().join("b/pinned.root.json").exists());
}
