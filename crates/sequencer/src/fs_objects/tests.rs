// SPDX-License-Identifier: Apache-2.0
//! Claims of the file system driver.

use super::*;

fn objects() -> (tempfile::TempDir, FsObjects) {
    let dir = tempfile::tempdir().unwrap();
    let objects = FsObjects::open(dir.path()).unwrap();
    (dir, objects)
}

#[tokio::test]
async fn an_object_is_created_once_and_never_changed() {
    let (_dir, objects) = objects();
    assert_eq!(objects.read("tile/0/x001/234").await, Ok(None));
    objects.create("tile/0/x001/234", b"one").await.unwrap();
    objects.create("tile/0/x001/234", b"one").await.unwrap();
    let name = "tile/0/x001/234".to_owned();
    assert_eq!(objects.create(&name, b"two").await, Err(ObjectError::Differs { name: name.clone() }));
    assert_eq!(objects.read(&name).await, Ok(Some(b"one".to_vec())));
}

#[tokio::test]
async fn the_checkpoint_can_be_replaced() {
    let (_dir, objects) = objects();
    objects.replace("checkpoint", b"one").await.unwrap();
    objects.replace("checkpoint", b"two").await.unwrap();
    assert_eq!(objects.read("checkpoint").await, Ok(Some(b"two".to_vec())));
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let (_dir, objects) = objects();
    for name in ["", "/etc/passwd", "../lock", "tile//0", "tile/../0", ".hidden", "tile/.p", "a\0b", "a b", "tile/"] {
        let expected = ObjectError::Name { name: name.to_owned() };
        assert_eq!(objects.create(name, b"").await, Err(expected.clone()), "{name:?}");
        assert_eq!(objects.read(name).await, Err(expected), "{name:?}");
    }
}

#[tokio::test]
async fn temporary_files_lie_outside_the_tree_and_are_removed_at_the_start() {
    let (dir, objects) = objects();
    objects.create("issuer/00", b"x").await.unwrap();
    std::fs::write(dir.path().join("tmp/7"), b"left over").unwrap();
    drop(objects);
    let objects = FsObjects::open(dir.path()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(objects.read("issuer/00").await, Ok(Some(b"x".to_vec())));
}

#[tokio::test]
async fn of_two_writers_of_one_name_the_first_wins() {
    let (_dir, objects) = objects();
    let (one, two) = tokio::join!(objects.create("a", b"one"), objects.create("a", b"two"));
    assert!(one.is_ok() != two.is_ok());
    let kept = objects.read("a").await.unwrap().unwrap();
    assert_eq!(kept, if one.is_ok() { b"one" } else { b"two" });
}

#[tokio::test]
async fn many_objects_are_created_in_one_step() {
    let (dir, objects) = objects();
    let object = |name: &str, bytes: &[u8]| Arc::new(Blob { name: name.to_owned(), bytes: bytes.to_vec() });
    objects.create("tile/0/001", b"there").await.unwrap();
    let many = ["tile/0/000", "tile/0/001", "tile/entries/000", "tile/0/000"];
    let many: Vec<_> =
        many.iter().map(|name| object(name, if *name == "tile/0/001" { b"there" } else { b"new" })).collect();
    objects.create_all(&many).await.unwrap();
    for object in &many {
        assert_eq!(objects.read(&object.name).await, Ok(Some(object.bytes.clone())));
    }
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);

    // One that is there with other bytes stays as it was, and is named.
    let again = [object("tile/0/002", b"new"), object("tile/0/001", b"other")];
    let refused = objects.create_all(&again).await;
    assert_eq!(refused, Err(ObjectError::Differs { name: "tile/0/001".to_owned() }));
    assert_eq!(objects.read("tile/0/001").await, Ok(Some(b"there".to_vec())));
    assert_eq!(objects.create_all(&[]).await, Ok(()));
}
