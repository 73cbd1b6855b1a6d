// SPDX-License-Identifier: Apache-2.0
//! `bundle upgrade`: what older clients left becomes a bundle that verifies, and what is missing is said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::{Shell, artifact_of, of_case};

/// The parts of a bundle with the promise and the proof of a Rekor v1 log, as older clients wrote them into files.
fn parts(shell: &Shell, case: &str) -> Value {
    let bundle: Value = serde_json::from_slice(&of_case(case, "bundle.sigstore.json").unwrap()).unwrap();
    let material = &bundle["verificationMaterial"];
    let certificate = material
        .pointer("/certificate/rawBytes")
        .or_else(|| material.pointer("/x509CertificateChain/certificates/0/rawBytes"))
        .unwrap()
        .as_str()
        .unwrap();
    let entry = &material["tlogEntries"][0];
    let signature = bundle["messageSignature"]["signature"].as_str().unwrap();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
    shell.write("a", artifact_of(case));
    shell.write("a.sig", signature);
    shell.write("a.pem", &pem);
    shell.write("entry.json", entry.to_string());
    let number = |value: &Value| value.as_str().unwrap().parse::<i64>().unwrap();
    let log_id = hex::encode(STANDARD.decode(entry["logId"]["keyId"].as_str().unwrap()).unwrap());
    json!({
        "base64Signature": signature,
        "cert": STANDARD.encode(pem),
        "rekorBundle": {
            "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
            "Payload": {
                "body": entry["canonicalizedBody"],
                "integratedTime": number(&entry["integratedTime"]),
                "logIndex": number(&entry["logIndex"]),
                "logID": log_id,
            },
        },
    })
}

#[test]
fn a_detached_signature_becomes_a_bundle() {
    let shell = Shell::new();
    parts(&shell, "happy-path-v0.3");
    let detached = ["bundle", "upgrade", "--signature", "a.sig", "--certificate", "a.pem"];
    let whole = [&detached[..], &["--rekor-entry", "entry.json", "--output-file", "a.sigstore.json"]].concat();
    let upgraded = shell.run(&whole).exits(0);
    assert_eq!((upgraded.stdout(), upgraded.stderr()), (String::new(), String::new()));
    shell.verify(&["a"]).exits(0);

    let lacking = shell.run(&[&detached[..], &["--artifact", "a"]].concat()).exits(0);
    let bundle = lacking.json();
    assert_eq!(bundle["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
    assert!(bundle["messageSignature"]["messageDigest"]["digest"].is_string());
    lacking.says("--rekor-entry").says("--rfc3161-timestamp");

    shell.run(&["bundle", "upgrade", "--signature", "a.sig"]).exits(3).says("--certificate or --key");
    shell.run(&["bundle", "upgrade"]).exits(2);
    shell.run(&["bundle", "upgrade", "--signature", "missing", "--certificate", "a.pem"]).exits(3);
    shell.run(&["bundle", "upgrade", "--signature", "a.sig", "--certificate", "a.sig"]).exits(3);
}

#[test]
fn an_old_bundle_of_cosign_becomes_one_of_today() {
    let shell = Shell::new();
    let old = parts(&shell, "happy-path-v0.3");
    shell.write("old.json", old.to_string());
    let promised = shell.run(&["bundle", "upgrade", "old.json", "--output-file", "a.sigstore.json"]).exits(0);
    promised.says("did not prove it");
    shell.verify(&["a"]).exits(15).says("--rekor-entry").says("--insecure-accept-unproven-entries");
    let unproven = shell.verify(&["a", "--insecure-accept-unproven-entries", "-o", "json"]).exits(0).json();
    assert_eq!(unproven["log"][0]["proved"], false);
    // The verifier reads the old form itself, with the same result.
    shell.verify(&["a", "--bundle", "old.json"]).exits(15);
    shell.verify(&["a", "--bundle", "old.json", "--insecure-accept-unproven-entries"]).exits(0);
}

#[test]
fn bundles_of_older_versions_become_new_ones() {
    let shell = Shell::new();
    for case in ["happy-path-v0.1", "happy-path-v0.2"] {
        shell.write("a", artifact_of(case));
        shell.write("old.json", of_case(case, "bundle.sigstore.json").unwrap());
        let upgraded = shell.run(&["bundle", "upgrade", "old.json"]).exits(0);
        assert_eq!(upgraded.json()["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json", "{case}");
        shell.write("a.sigstore.json", upgraded.stdout());
        shell.verify(&["a"]).exits(0);
    }
}

#[test]
fn bundles_of_a_registry_become_lines() {
    let shell = Shell::new();
    let bundle: Value =
        serde_json::from_slice(&of_case("happy-path-intoto-in-dsse-v3", "bundle.sigstore.json").unwrap()).unwrap();
    let attestation = json!({ "predicateType": super::support::SLSA, "bundle": bundle });
    shell.write("npm.json", json!({ "attestations": [attestation, attestation] }).to_string());
    shell.write("a", artifact_of("happy-path-intoto-in-dsse-v3"));
    assert_eq!(shell.run(&["bundle", "upgrade", "npm.json"]).exits(0).json_lines().len(), 2);
    let args = ["a", "--bundle", "npm.json", "--type", "slsaprovenance1"];
    shell.verify_attestation(&args).exits(0).says("bundle 1 of 2");
}
