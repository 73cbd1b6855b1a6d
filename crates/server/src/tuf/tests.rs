// SPDX-License-Identifier: Apache-2.0
//! Repositories that are left alone with their server: what clients see in the following years, at a made-up clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use touchmark_keys::KeyType;
use touchmark_sequencer::Clock;
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_trust::MetadataError;
use touchmark_trust::ceremony::{CeremonyError, Repository as Mirror};
use touchmark_trust::walk::{Memory, WalkError};

use super::held::tests::Held;
use super::overview::Shown;
use super::{HeldRepository, Kept, OfflineKeys, Repository, Target, create, keep_fresh};
use crate::http::listener::Stop;
use crate::metrics::Metrics;

const DAY: SignedDuration = SignedDuration::from_hours(24);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn start() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.as_millisecond()).unwrap()
    }
}

/// One look of the keeper.
async fn look<K: Kept + 'static>(repository: K, online: &Arc<EphemeralSigner>, now: Timestamp) {
    let (switch, stop) = Stop::pair();
    switch.send(true).unwrap();
    let online = Arc::clone(online) as Arc<dyn Signer>;
    let shown = Shown::new(repository.overview());
    keep_fresh(Arc::new(Mutex::new(repository)), online, Arc::new(Fixed(now)), Metrics::new(), shown, stop).await;
}

/// A client that pinned the first root and comes with what it remembers; `Ok` is what it remembers then.
fn client(directory: &Path, memory: Memory, now: Timestamp) -> Result<Memory, MetadataError> {
    let mirror = Mirror::at(directory);
    let first = mirror.roots().unwrap().remove(0);
    match mirror.walk(first, memory, now) {
        Ok(walked) => Ok(walked.memory()),
        Err(CeremonyError::Walk(WalkError { problem, .. })) => Err(problem),
        Err(error) => panic!("{error}"),
    }
}

/// Nobody but the keeper does anything; the root ends after `root_days`. Clients come at each look and right before the next.
async fn left_alone<K: Kept + 'static>(
    open: impl Fn() -> K,
    directory: PathBuf,
    online: Arc<EphemeralSigner>,
    days: u32,
    root_days: u32,
) {
    let (mut memory, end) = (Memory::default(), start() + DAY * i32::try_from(root_days).unwrap());
    for day in 0..days {
        let now = start() + DAY * i32::try_from(day).unwrap();
        look(open(), &online, now).await;
        for moment in [now, now + DAY - SECOND] {
            for known in [Memory::default(), memory.clone()] {
                match client(&directory, known, moment) {
                    Ok(remembered) => {
                        assert!(moment < end, "day {day}");
                        memory = remembered;
                    }
                    // Never what the server could have renewed.
                    Err(MetadataError::Expired { role, .. }) => {
                        assert_eq!((role.as_str(), moment >= end), ("root", true), "day {day}");
                    }
                    Err(other) => panic!("day {day}: {other}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn what_several_hold_is_never_refused_for_an_online_role_in_four_hundred_days() {
    let held = Held::new().await;
    let path = held.path();
    let open = || HeldRepository::open(&path).unwrap().unwrap();
    left_alone(open, path.clone(), held.online_key(), 400, 365).await;
}

#[tokio::test]
async fn nor_is_what_one_machine_holds_in_its_two_years_and_after() {
    let directory = tempfile::tempdir().unwrap();
    let key = || EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let (root, targets, online) = (key(), key(), Arc::new(key()));
    let offline = OfflineKeys { root: &root, targets: &targets };
    let target = [Target { name: "trusted_root.json", bytes: b"{}".to_vec() }];
    create(directory.path(), &offline, online.as_ref(), &target, start()).await.unwrap();
    let open = || Repository::open(directory.path()).unwrap();
    left_alone(open, directory.path().to_owned(), Arc::clone(&online), 760, 730).await;
}
