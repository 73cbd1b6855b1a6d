// SPDX-License-Identifier: Apache-2.0
//! A store that fails at each operation in turn, and what clients see of it meanwhile.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::ceremony::tests::{NOW, Party, trusted_root};
use crate::walk::{Wanted, walk};

/// A store in memory; writes fail once `left` is used up.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    left: Mutex<usize>,
}

impl Bucket {
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CeremonyError> {
        let mut left = self.left.lock().unwrap();
        *left =
            left.checked_sub(1).ok_or_else(|| CeremonyError::OtherContent { name: "the store is away".to_owned() })?;
        self.objects.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn allow(&self, writes: usize) {
        *self.left.lock().unwrap() = writes;
    }

    /// What a client finds there: the content of the target, or that there is no repository yet.
    fn seen(&self, party: &Party) -> Option<Vec<u8>> {
        let objects = self.objects.lock().unwrap();
        objects.get(TIMESTAMP)?;
        let root = party.ceremony().repository().roots().unwrap().remove(0);
        let fetch = |wanted: &Wanted| Ok::<_, CeremonyError>(objects.get(&wanted.name).cloned());
        Some(walk(root, Memory::default(), NOW, fetch).unwrap().files["trusted_root.json"].clone())
    }
}

#[async_trait]
impl Objects for Bucket {
    async fn read(&self, name: &str, _: usize) -> Result<Option<Object>, CeremonyError> {
        let bytes = self.objects.lock().unwrap().get(name).cloned();
        Ok(bytes.map(|bytes| Object { bytes, tag: None }))
    }

    async fn create(&self, name: &str, bytes: &[u8]) -> Result<(), CeremonyError> {
        assert!(!self.objects.lock().unwrap().contains_key(name), "{name} is overwritten");
        self.write(name, bytes)
    }

    async fn replace(&self, name: &str, bytes: &[u8], _: Option<&Object>) -> Result<(), CeremonyError> {
        assert_eq!(name, TIMESTAMP);
        self.write(name, bytes)
    }
}

#[tokio::test]
async fn what_was_interrupted_anywhere_is_finished_and_no_client_sees_a_half() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let (repository, bucket) = (party.ceremony().repository(), Bucket::default());
    for (content, before) in [("one", None), ("two", Some(trusted_root("one")))] {
        if before.is_some() {
            let event = party.begin(party.change_targets("two"), NOW);
            party.signed_by(&event, &["ann", "bob"]).await;
            party.publish(NOW).await.unwrap();
        }
        // One write each time, until nothing fails any more.
        let mut writes = 0;
        while {
            bucket.allow(1);
            repository.push(&bucket, NOW).await.is_err()
        } {
            assert!(bucket.seen(&party) == before);
            writes += 1;
        }
        assert_eq!(writes, if before.is_some() { 3 } else { 4 });
        assert!(bucket.seen(&party) == Some(trusted_root(content)));
        assert!(repository.push(&bucket, NOW).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_name_keeps_its_content_and_the_timestamp_never_goes_back() {
    let party = Party::published(&["ann", "bob"], 2, NOW).await;
    let (repository, bucket) = (party.ceremony().repository(), Bucket::default());
    bucket.allow(100);
    repository.push(&bucket, NOW).await.unwrap();
    let old = tempfile::tempdir().unwrap();
    let copy = Repository::at(old.path());
    repository.push(&copy, NOW).await.unwrap();
    let event = party.begin(party.change_targets("two"), NOW);
    party.signed_by(&event, &["ann", "bob"]).await;
    party.publish(NOW).await.unwrap();
    repository.push(&bucket, NOW).await.unwrap();
    let refused = copy.push(&bucket, NOW).await;
    assert!(matches!(refused, Err(CeremonyError::NewerThere { own: 1, found: 2 })), "{refused:?}");
    bucket.objects.lock().unwrap().insert("2.snapshot.json".to_owned(), b"another".to_vec());
    let refused = repository.push(&bucket, NOW).await;
    assert!(matches!(refused, Err(CeremonyError::OtherContent { name }) if name == "2.snapshot.json"));
    assert_eq!(bucket.objects.lock().unwrap()["2.snapshot.json"], b"another");
}
