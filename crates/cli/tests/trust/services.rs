// SPDX-License-Identifier: Apache-2.0
//! Keys and addresses of services, exchanged and taken back by a team: verify first, sign later.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use touchmark_keys::sha256;

use super::machines::{Team, says};

const THREE: [&str; 3] = ["ann", "bob", "cy"];
const NEW_LOG: &str = "https://log2027-1.example.com";

/// A team whose clients trust the public instance's services.
fn team() -> Team {
    let team = Team::of(&THREE, 2);
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/sigstore-tuf-repository/targets");
    for (from, to) in [("trusted_root.json", "root.json"), ("signing_config_rekor_v2.v0.2.json", "config.json")] {
        std::fs::copy(format!("{public}/{from}"), team.coordinator.path(to)).unwrap();
    }
    let targets = "--target trusted_root.json=root.json --target signing_config.v0.2.json=config.json";
    team.step(0, &format!("event new {targets}"));
    signed_and_published(&team);
    // What the services say when their log has got another key, at another address.
    let mut root: Value = serde_json::from_str(&team.coordinator.read("root.json")).unwrap();
    root["tlogs"][1]["publicKey"]["rawBytes"] = root["ctlogs"][1]["publicKey"]["rawBytes"].clone();
    root["tlogs"][1]["logId"] = root["ctlogs"][1]["logId"].clone();
    root["tlogs"][1]["publicKey"]["keyDetails"] = json!("PKIX_ECDSA_P256_SHA_256");
    root["tlogs"][1]["publicKey"]["validFor"] = json!({ "start": "2026-01-01T00:00:00Z" });
    team.coordinator.write("new-root.json", &root.to_string());
    let mut config: Value = serde_json::from_str(&team.coordinator.read("config.json")).unwrap();
    config["rekorTlogUrls"][0]["url"] = json!(NEW_LOG);
    team.coordinator.write("new-config.json", &config.to_string());
    team
}

fn signed_and_published(team: &Team) {
    team.signs("ann");
    team.signs("cy");
    team.publishes();
}

/// A target as it is served now.
fn target(team: &Team, name: &str) -> Value {
    let targets = team.coordinator.path("stick/repository/targets");
    let files = std::fs::read_dir(targets).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> =
        files.filter(|file| file.file_name().to_str().unwrap().ends_with(&format!(".{name}"))).collect();
    files.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
    serde_json::from_slice(&std::fs::read(files.pop().unwrap().path()).unwrap()).unwrap()
}

#[test]
fn a_shard_is_verified_by_everybody_before_anybody_signs_with_it() {
    let team = team();
    let shard = "shard --trusted-root new-root.json --signing-config new-config.json";
    // Too early, at any of these: clients that came six days ago know nothing of the key.
    for days in [0, 6] {
        team.step(0, &format!("{shard} --sign-after {days}"));
        team.signs("ann");
        team.signs("cy");
        let said = team.step(2, "publish --key online.pem");
        says(&said, &[NEW_LOG, "not every verifier knows its key before 2026-01-08T00:00:00Z", "--sign-after"]);
        team.step(0, "event abort");
    }
    let said = team.step(0, shard);
    says(&said, &["+ trusted_root.json: signature log ", NEW_LOG, "2026-01-15T00:00:00Z"]);
    let old = "sign with the new key from 2026-01-15T00:00:00Z on, and not with the old one after 2026-01-16T00:00:00Z";
    says(&said, &["signature log https://", old]);
    team.step(0, "event abort");
    let said = team.step(0, &format!("{shard} --output json"));
    says(&said, &[r#""signFrom":"2026-01-15T00:00:00Z""#, r#""notAfter":"2026-01-16T00:00:00Z""#]);
    signed_and_published(&team);
    let config = target(&team, "signing_config.v0.2.json");
    assert_eq!(config["rekorTlogUrls"][0]["url"], NEW_LOG);
    assert_eq!(config["rekorTlogUrls"][0]["validFor"]["start"], "2026-01-15T00:00:00Z");
    assert_eq!(config["rekorTlogUrls"][1]["validFor"]["end"], "2026-01-15T00:00:00Z");
    assert_eq!(target(&team, "trusted_root.json")["tlogs"].as_array().unwrap().len(), 3);

    // A second event, made the next day, does not pull it forward.
    team.days_pass(1);
    says(&team.doctor(0, ""), &["signature log https://", old]);
    let mut early = config;
    early["rekorTlogUrls"][0]["validFor"]["start"] = json!("2026-01-02T00:00:00Z");
    team.coordinator.write("early.json", &early.to_string());
    let event = "event new --target signing_config.v0.2.json=early.json";
    team.step(0, event);
    team.signs("ann");
    team.signs("cy");
    says(&team.step(2, "publish --key online.pem"), &[NEW_LOG, "before 2026-01-08T00:00:00Z"]);
    team.step(0, "event abort");
    // Unless that is said.
    team.step(0, &format!("{event} --sign-before-verifiers-know"));
    signed_and_published(&team);
    says(&team.step(2, "shard --trusted-root new-root.json"), &["the event changes nothing"]);
}

#[test]
fn trust_in_a_stolen_key_of_a_service_is_taken_back() {
    let team = team();
    let root: Value = serde_json::from_str(&team.coordinator.read("root.json")).unwrap();
    let log = STANDARD.decode(root["tlogs"][1]["publicKey"]["rawBytes"].as_str().unwrap()).unwrap();
    let revoke = "revoke --since 2025-12-31T00:00:00Z --note stolen --key";
    says(&team.step(2, &format!("{revoke} {}", "00".repeat(32))), &["nothing that is published is 0000"]);
    let config: Value = serde_json::from_str(&team.coordinator.read("config.json")).unwrap();
    let url = config["rekorTlogUrls"][0]["url"].as_str().unwrap();
    let key = hex::encode(sha256(&log));
    says(
        &team.step(2, &format!("{revoke} {key}")),
        &["still sends clients to", url, &format!("--url {url}"), "--keep-url"],
    );
    team.step(0, &format!("{revoke} {key} --url {url}"));
    signed_and_published(&team);
    let trusted = target(&team, "trusted_root.json");
    assert_eq!(trusted["tlogs"][1]["publicKey"]["validFor"]["end"], "2025-12-31T00:00:00Z");
    assert!(!target(&team, "signing_config.v0.2.json").to_string().contains(url));
    team.client(0);
    team.doctor(0, "");
}
