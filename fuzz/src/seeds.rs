// SPDX-License-Identifier: Apache-2.0
//! Where each target begins: what the public vectors and the project's own test data hold of its format.
//!
//! Invariant: seeds are made anew from the vectors and never kept in the repository.

use serde_json::Value;
use touchmark_sigstore::ct;
use touchmark_sigstore::rekor::EntryKind;
use touchmark_sigstore::tsp::TimestampRequest;
use touchmark_sigstore::wire;
use touchmark_sigstore::x509::Certificate;

use crate::vectors::{self, Case, decoded};
use crate::{convert, policy_file, verify_bundle};

/// The seeds of a target, each once.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let cases = vectors::cases();
    let mut seeds = match target {
        "bundle" => cases.iter().map(|case| case.bundle.clone()).collect(),
        "trusted_root" => cases.iter().map(|case| case.root.clone()).chain(vectors::tuf_targets()).collect(),
        "checkpoint" => checkpoints(&cases),
        "certificate" => certificates(&cases),
        "sct_list" => scts(&cases),
        "timestamp_token" => timestamps(&cases),
        "entry_body" => bodies(&cases),
        "dsse_statement" => payloads(&cases),
        "policy_file" => policy_file::seeds(),
        "convert" => convert::seeds(),
        "public_key" => keys(&cases),
        "verify_bundle" => verify_bundle::seeds(),
        "metadata" => [vectors::tuf_roots(), vectors::own_files("trust/testdata/repository")].concat(),
        "ceremony_file" => vectors::own_files("trust/testdata/ceremony"),
        "trust_export" => exports(),
        "timestamp_request" => timestamp_requests(),
        _ => Vec::new(),
    };
    seeds.sort();
    seeds.dedup();
    seeds
}

/// Words that stand in the JSON of the seeds: names of members and short texts.
pub fn dictionary(seeds: &[Vec<u8>]) -> Vec<String> {
    let mut words = Vec::new();
    for value in seeds.iter().filter_map(|seed| serde_json::from_slice::<Value>(seed).ok()) {
        collect_words(&value, &mut words);
    }
    words.retain(|word| (2..=48).contains(&word.len()) && word.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    words.sort();
    words.dedup();
    words.truncate(400);
    words
}

fn collect_words(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::String(text) => words.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect_words(item, words)),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            words.push(name.clone());
            collect_words(member, words);
        }),
        _ => {}
    }
}

fn entries(case: &Case) -> Vec<Value> {
    let entries = case.json()["verificationMaterial"]["tlogEntries"].take();
    if let Value::Array(entries) = entries { entries } else { Vec::new() }
}

fn checkpoints(cases: &[Case]) -> Vec<Vec<u8>> {
    let entries = cases.iter().flat_map(entries);
    let envelope = |entry: Value| Some(entry.pointer("/inclusionProof/checkpoint/envelope")?.as_str()?.into());
    let notes: Vec<Vec<u8>> = entries.filter_map(envelope).collect();
    // A checkpoint alone is the text of its note.
    let text = |note: &Vec<u8>| {
        let end = note.windows(2).position(|pair| pair == b"\n\n")?;
        Some(note[..=end].to_vec())
    };
    let texts: Vec<Vec<u8>> = notes.iter().filter_map(text).collect();
    [notes, texts, vectors::own_files("tlog/testdata/notes")].concat()
}

fn certificates(cases: &[Case]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for case in cases {
        collect_bytes(&case.json(), "rawBytes", &mut found);
        let root = serde_json::from_slice(&case.root).unwrap_or_default();
        collect_bytes(&root, "rawBytes", &mut found);
    }
    let requests = vectors::own_files("sigstore/testdata/csr");
    let requests = requests.iter().filter_map(|pem| pem_content(pem));
    found.extend(requests);
    found.retain(|bytes| bytes.len() > 300);
    found
}

fn keys(cases: &[Case]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for case in cases {
        let root = serde_json::from_slice(&case.root).unwrap_or_default();
        collect_bytes(&root, "rawBytes", &mut found);
    }
    found.retain(|bytes| bytes.len() <= 600);
    let own = [vectors::own_files("keys/testdata/weak"), vectors::own_files("keys/testdata/signed")].concat();
    found.extend(own.iter().filter_map(|pem| pem_content(pem)));
    found.extend(own.into_iter().filter(|pem| pem.starts_with(b"-----")));
    found
}

fn pem_content(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    decoded(&Value::from(body))
}

fn scts(cases: &[Case]) -> Vec<Vec<u8>> {
    let certificates: Vec<Certificate> =
        certificates(cases).iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let mut found = Vec::new();
    for certificate in &certificates {
        let Ok(scts) = ct::embedded_scts(certificate) else { continue };
        found.push(ct::encode_sct_list(&scts));
        found.extend(scts.iter().map(ct::Sct::to_tls));
        let issuer = certificates.iter().find(|issuer| issuer.subject_der() == certificate.issuer_der());
        let entry = issuer.and_then(|issuer| ct::LogEntry::from_certificate_with_scts(certificate, issuer).ok());
        let leaf = entry.map(|entry| ct::merkle_tree_leaf(&entry, scts[0].timestamp_ms, &scts[0].extensions));
        found.extend(leaf);
    }
    found.extend(ct::leaf_index_extension(touchmark_tlog::LeafIndex(7)));
    found
}

fn timestamps(cases: &[Case]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = cases.iter().flat_map(Case::timestamps).collect();
    found.extend(timestamp_requests().into_iter().filter(|request| !request.starts_with(b"{")));
    found
}

fn timestamp_requests() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let imprint = touchmark_keys::digest(touchmark_keys::HashAlgorithm::Sha256, b"message");
    for (nonce, policy) in [(None, None), (Some(vec![0x80, 1]), Some("1.3.6.1.4.1.57264.2".to_owned()))] {
        let request = TimestampRequest { imprint: imprint.clone(), nonce, cert_req: policy.is_some(), policy };
        found.extend(request.to_der());
        let json = wire::tsa::TimestampRequest {
            artifact_hash: imprint.as_bytes().to_vec(),
            certificates: request.cert_req,
            hash_algorithm: "sha256".to_owned(),
            nonce: request.nonce.map(|_| 7),
            tsa_policy_oid: request.policy.unwrap_or_default(),
        };
        found.push(json.to_json());
    }
    found
}

fn exports() -> Vec<Vec<u8>> {
    let file = |files: &str| {
        format!(r#"{{"format":"touchmark-trust-export","version":1,"mirror":"https://lab.example/tuf","files":[{files}]}}"#)
    };
    let timestamp = r#"{"name":"timestamp.json","content":"e30="}"#;
    let two = format!(r#"{timestamp},{{"name":"targets/00.trusted_root.json","content":""}}"#);
    ["", timestamp, &two].map(|files| file(files).into_bytes()).to_vec()
}

fn bodies(cases: &[Case]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in cases.iter().flat_map(entries) {
        let Some(body) = decoded(&entry["canonicalizedBody"]) else { continue };
        let text = |member: &str| entry["kindVersion"][member].as_str().unwrap_or_default().to_owned();
        let kind = EntryKind::from_wire(&text("kind"), &text("version"));
        let index = EntryKind::ALL.iter().position(|known| Some(*known) == kind).unwrap_or_default();
        found.push([&[u8::try_from(index).unwrap_or_default()], body.as_slice()].concat());
    }
    found
}

fn payloads(cases: &[Case]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    cases.iter().for_each(|case| collect_bytes(&case.json(), "payload", &mut found));
    // The older type, several subjects, a digest that cannot be computed.
    found.push(
        br#"{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"a","digest":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},{"name":"b","digest":{"gitCommit":"00"}}],"predicateType":"https://example.com/p","predicate":{"a":[1,2.5,"x",null,true]}}"#
            .to_vec(),
    );
    found
}

/// The base64 of every member of this name.
fn collect_bytes(value: &Value, name: &str, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_bytes(item, name, found)),
        Value::Object(members) => members.iter().for_each(|(member, value)| {
            if member == name {
                found.extend(decoded(value));
            }
            collect_bytes(value, name, found);
        }),
        _ => {}
    }
}
