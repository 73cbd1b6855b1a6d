// SPDX-License-Identifier: Apache-2.0
//! Other shapes made into bundles: what comes out is a bundle that is read again, from one input or from several files.
//!
//! The first byte says which: one input whose shape is detected, an old bundle of cosign with a reply of the log, or the files
//! of a detached signature. Parts are separated by a zero byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use touchmark_sigstore::bundle::Bundle;
use touchmark_sigstore::bundle::convert::{
    Converted, Detached, InputFormat, bundles, detect, from_cosign_bundle, from_detached,
};
use touchmark_sigstore::x509::Certificate;

use crate::vectors::{self, Case, decoded};

const ONE: u8 = 0;
const COSIGN: u8 = 1;
const DETACHED: u8 = 2;

pub fn check(data: &[u8]) {
    let Some((kind, input)) = data.split_first() else { return };
    let parts: Vec<&[u8]> = input.split(|byte| *byte == 0).collect();
    match kind % 3 {
        ONE => {
            let format = detect(input);
            let Ok(converted) = bundles(input) else { return };
            assert!(!matches!(format, InputFormat::Envelope | InputFormat::LogEntry | InputFormat::Other));
            converted.iter().flatten().for_each(readable);
        }
        COSIGN => {
            let converted = from_cosign_bundle(parts[0], parts.get(1).copied());
            converted.iter().for_each(readable);
        }
        _ => {
            let given = |index: usize| parts.get(index).copied().filter(|part| !part.is_empty());
            let files = Detached {
                signature: parts[0],
                verifier: given(1),
                timestamps: parts.get(3..).unwrap_or_default(),
                entry: given(2),
                digest: None,
            };
            from_detached(&files).iter().for_each(readable);
        }
    }
}

fn readable(converted: &Converted) {
    assert_eq!(Bundle::parse(converted.json()).as_ref(), Ok(converted.bundle()));
}

/// Each shape, made of public bundles.
pub fn seeds() -> Vec<Vec<u8>> {
    let of_a_file = vectors::case("happy-path-v0.3");
    let of_a_key = vectors::case("managed-key-happy-path");
    let envelope = vectors::case("happy-path-intoto-in-dsse-v3");
    let v2 = vectors::case("rekor2-happy-path");
    let one = |value: &Value| seed(ONE, &[value.to_string().as_bytes()]);
    let mut seeds = vec![
        one(&envelope.json()),
        one(&json!([1])),
        one(&envelope.json()["dsseEnvelope"]),
        one(&pep740(&envelope)),
        one(&json!({"version": 1, "attestation_bundles": [{"publisher": {}, "attestations": [pep740(&envelope)]}]})),
        one(&json!({"attestations": [{"bundle": envelope.json()}, {"predicateType": "x", "bundle": v2.json()}]})),
        seed(ONE, &[&[of_a_file.bundle.as_slice(), b"\n", v2.bundle.as_slice()].concat()]),
    ];
    for case in [&of_a_file, &of_a_key] {
        let (cosign, reply) = (cosign(case).to_string(), reply(case).to_string());
        seeds.push(one(&serde_json::from_str(&cosign).unwrap_or_default()));
        seeds.push(one(&serde_json::from_str(&reply).unwrap_or_default()));
        seeds.push(seed(COSIGN, &[cosign.as_bytes()]));
        seeds.push(seed(COSIGN, &[cosign.as_bytes(), reply.as_bytes()]));
        let signature = STANDARD.encode(case.signature());
        seeds.push(seed(DETACHED, &[signature.as_bytes(), pem(case).as_bytes(), reply.as_bytes()]));
        seeds.push(seed(DETACHED, &[signature.as_bytes(), pem(case).as_bytes()]));
    }
    let token = STANDARD.encode(v2.timestamps().concat());
    let token = json!({"SignedRFC3161Timestamp": token}).to_string();
    let signature = STANDARD.encode(v2.signature());
    seeds.push(seed(DETACHED, &[signature.as_bytes(), pem(&v2).as_bytes(), b"", token.as_bytes()]));
    let statement = envelope.json()["dsseEnvelope"].to_string();
    seeds.push(seed(
        DETACHED,
        &[statement.as_bytes(), pem(&envelope).as_bytes(), reply(&envelope).to_string().as_bytes()],
    ));
    seeds
}

fn seed(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[kind], parts.join(&0).as_slice()].concat()
}

fn entry(case: &Case) -> Value {
    case.json()["verificationMaterial"]["tlogEntries"][0].take()
}

fn pem(case: &Case) -> String {
    let certificate = decoded(&case.json()["verificationMaterial"]["certificate"]["rawBytes"]);
    let certificate = certificate.and_then(|der| Certificate::from_der(&der).ok());
    certificate.map_or_else(|| case.key.clone().unwrap_or_default(), |certificate| certificate.to_pem())
}

fn integer(value: &Value) -> Value {
    value.as_str().and_then(|text| text.parse::<i64>().ok()).into()
}

fn hex(value: &Value) -> String {
    decoded(value).unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What cosign 2 would have written.
fn cosign(case: &Case) -> Value {
    let entry = entry(case);
    let payload = json!({
        "body": entry["canonicalizedBody"],
        "integratedTime": integer(&entry["integratedTime"]),
        "logIndex": integer(&entry["logIndex"]),
        "logID": hex(&entry["logId"]["keyId"]),
    });
    json!({
        "base64Signature": STANDARD.encode(case.signature()),
        "cert": STANDARD.encode(pem(case)),
        "rekorBundle": {
            "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
            "Payload": payload,
        },
    })
}

/// What a log of version 1 would have replied.
fn reply(case: &Case) -> Value {
    let entry = entry(case);
    let proof = &entry["inclusionProof"];
    json!({ format!("24296fb24b8ad77a{}", "ab".repeat(32)): {
        "body": entry["canonicalizedBody"],
        "integratedTime": integer(&entry["integratedTime"]),
        "logID": hex(&entry["logId"]["keyId"]),
        "logIndex": integer(&entry["logIndex"]),
        "verification": {
            "inclusionProof": {
                "checkpoint": proof["checkpoint"]["envelope"],
                "hashes": proof["hashes"].as_array().into_iter().flatten().map(hex).collect::<Vec<_>>(),
                "logIndex": integer(&proof["logIndex"]),
                "rootHash": hex(&proof["rootHash"]),
                "treeSize": integer(&proof["treeSize"]),
            },
            "signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
        },
    }})
}

/// As PyPI hands it out.
fn pep740(case: &Case) -> Value {
    let json = case.json();
    let envelope = &json["dsseEnvelope"];
    json!({
        "version": 1,
        "verification_material": {
            "certificate": json["verificationMaterial"]["certificate"]["rawBytes"],
            "transparency_entries": [entry(case)],
        },
        "envelope": {"statement": envelope["payload"], "signature": envelope["signatures"][0]["sig"]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_seeds_become_bundles() {
        let becomes = |seed: &Vec<u8>| {
            let parts: Vec<&[u8]> = seed[1..].split(|byte| *byte == 0).collect();
            match seed[0] {
                ONE => bundles(&seed[1..]).is_ok_and(|bundles| bundles.iter().any(Result::is_ok)),
                COSIGN => from_cosign_bundle(parts[0], parts.get(1).copied()).is_ok(),
                _ => true,
            }
        };
        let (all, read) = (seeds().len(), seeds().iter().filter(|seed| becomes(seed)).count());
        assert!(read + 4 >= all, "{read} of {all}");
    }
}
