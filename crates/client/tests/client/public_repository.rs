// SPDX-License-Identifier: Apache-2.0
//! What the public-good instance publishes, served on loopback: its roots from the fifth on, its trusted root and its signing configs.

use touchmark_client::trust::{TrustError, public_good_root};
use touchmark_sigstore::trust::SigningConfig;

use crate::hostile::{Answer, Client, Repository};

/// Roots 1 to 4 have hexadecimal keys and times of another form.
const FIRST: u64 = 5;
const LAST: u64 = 15;

fn vector(name: &str) -> Vec<u8> {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository");
    std::fs::read(format!("{repository}/{name}")).unwrap()
}

fn public_root(version: u64) -> Vec<u8> {
    vector(&format!("metadata/root_history/{version}.root.json"))
}

/// The timestamp of that day is not among the vectors: the walk is at its end when it asks for it.
#[tokio::test]
async fn the_public_roots_are_walked_from_each_to_the_newest() {
    let repository = Repository::start().await;
    repository.withdraw("timestamp.json");
    for version in FIRST..=LAST {
        repository.serve(&format!("{version}.root.json"), Answer::Bytes(public_root(version)));
    }
    let now = "2026-08-26T00:00:00Z".parse().unwrap();
    for start in FIRST..=LAST {
        let client = Client::new();
        repository.asked();
        let ended = client.store().initialize(&repository.url, &public_root(start), &client.outbound, now).await;
        assert!(matches!(ended.err(), Some(TrustError::MirrorUnreachable { .. })));
        let roots = (start + 1..=LAST + 1).map(|version| format!("{version}.root.json"));
        assert_eq!(repository.asked(), roots.chain(["timestamp.json".to_owned()]).collect::<Vec<_>>());
    }
    // A year later the newest root has expired, and that is what is said.
    let later = "2027-08-26T00:00:00Z".parse().unwrap();
    let client = Client::new();
    let ended = client.store().initialize(&repository.url, &public_root(FIRST), &client.outbound, later).await;
    assert!(matches!(ended.err(), Some(TrustError::Expired { role, .. }) if role == "root"));
}

#[tokio::test]
async fn a_public_root_that_was_left_out_or_changed_ends_the_walk() {
    let now = "2026-08-26T00:00:00Z".parse().unwrap();
    for version in FIRST + 1..=LAST {
        let repository = Repository::start().await;
        for other in FIRST..=LAST {
            repository.serve(&format!("{other}.root.json"), Answer::Bytes(public_root(other)));
        }
        let mut twin = public_root(version);
        let signed = twin.windows(10).position(|window| window == b"\"expires\":").unwrap();
        let year = signed + twin[signed..].iter().position(|byte| *byte == b'2').unwrap();
        twin[year] ^= 1;
        repository.serve(&format!("{version}.root.json"), Answer::Bytes(twin));
        let client = Client::new();
        let refused = client.store().initialize(&repository.url, &public_root(FIRST), &client.outbound, now).await;
        assert!(matches!(refused.err(), Some(TrustError::Tuf { .. })), "root {version}");
        repository.withdraw(&format!("{version}.root.json"));
        repository.asked();
        let ended = client.store().initialize(&repository.url, &public_root(FIRST), &client.outbound, now).await;
        assert!(ended.is_err() && !repository.asked().contains(&format!("{}.root.json", version + 1)));
    }
}

#[tokio::test]
async fn the_public_trusted_root_and_signing_configs_are_read() {
    let mut repository = Repository::start().await;
    let names = ["trusted_root.json", "signing_config.v0.2.json", "signing_config_rekor_v2.v0.2.json"];
    for name in names {
        repository.add_target(name, &vector(&format!("targets/{name}")));
    }
    repository.publish().await;
    let client = Client::new();
    let mut walked = client.initialize(&repository).await.unwrap();
    let trusted_root = walked.trusted_root().await.unwrap();
    assert_eq!(trusted_root.tlogs().len(), public_good_root().tlogs().len());
    assert_eq!((trusted_root.certificate_authorities().len(), trusted_root.timestamp_authorities().len()), (2, 1));
    let now = "2026-08-26T00:00:00Z".parse().unwrap();
    // The one that clients take names a log of the first generation alone; the other one is for those who sign as we do.
    walked.signing_config().await.unwrap();
    let second = walked.target(names[2]).await.unwrap();
    assert_eq!(second, vector(&format!("targets/{}", names[2])));
    SigningConfig::from_json(&second).unwrap().select(now).unwrap();
}
