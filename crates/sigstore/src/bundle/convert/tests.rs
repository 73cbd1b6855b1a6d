// SPDX-License-Identifier: Apache-2.0
//! Every shape, made out of public bundles and converted back: the result verifies as the bundle did, and no part can be
//! another's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use touchmark_keys::{HashAlgorithm, PublicKey, digest};

use super::detached::{content_of, verifier_of};
use super::*;
use crate::bundle::{Content, KeyMaterial, Version};
use crate::policy::{Demands, Policy};
use crate::rekor::Verifier;
use crate::verify::vectors::{Case, case};
use crate::verify::{VerifyError, verify};
use crate::x509::{Certificate, pem};

const FILE_CASES: [&str; 4] =
    ["happy-path-v0.1", "happy-path-v0.2", "happy-path-v0.3", "happy-path-v0.3-new-mediaType"];
const ENVELOPE_CASE: &str = "happy-path-intoto-in-dsse-v3";
/// What the attestation of that case says it is.
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
const KEY_CASE: &str = "managed-key-happy-path";

/// A public bundle taken apart.
struct Parts {
    case: Case,
    bundle: Bundle,
    json: Value,
}

impl Parts {
    fn of(name: &str) -> Self {
        let case = case(name);
        let bundle = Bundle::parse(&case.bundle).unwrap();
        let json = serde_json::from_slice(&case.bundle).unwrap();
        Self { case, bundle, json }
    }

    fn entry(&self) -> &Value {
        &self.json["verificationMaterial"]["tlogEntries"][0]
    }

    fn integer(&self, pointer: &str) -> i64 {
        self.entry().pointer(pointer).unwrap().as_str().unwrap().parse().unwrap()
    }

    fn hex(&self, pointer: &str) -> String {
        hex_of(self.entry().pointer(pointer).unwrap())
    }

    fn pem(&self) -> String {
        self.bundle.certificate().unwrap().to_pem()
    }

    /// What cosign would have written.
    fn cosign(&self) -> Value {
        json!({
            "base64Signature": STANDARD.encode(self.bundle.signature()),
            "cert": STANDARD.encode(self.pem()),
            "rekorBundle": {
                "SignedEntryTimestamp": self.entry()["inclusionPromise"]["signedEntryTimestamp"],
                "Payload": {
                    "body": self.entry()["canonicalizedBody"],
                    "integratedTime": self.integer("/integratedTime"),
                    "logIndex": self.integer("/logIndex"),
                    "logID": self.hex("/logId/keyId"),
                },
            },
        })
    }

    /// What the log would reply.
    fn reply(&self) -> Value {
        let hashes =
            self.entry()["inclusionProof"]["hashes"].as_array().unwrap().iter().map(hex_of).collect::<Vec<_>>();
        json!({ format!("24296fb24b8ad77a{}", "ab".repeat(32)): {
            "attestation": {"data": "AA=="},
            "body": self.entry()["canonicalizedBody"],
            "integratedTime": self.integer("/integratedTime"),
            "logID": self.hex("/logId/keyId"),
            "logIndex": self.integer("/logIndex"),
            "verification": {
                "inclusionProof": {
                    "checkpoint": self.entry()["inclusionProof"]["checkpoint"]["envelope"],
                    "hashes": hashes,
                    "logIndex": self.integer("/inclusionProof/logIndex"),
                    "rootHash": self.hex("/inclusionProof/rootHash"),
                    "treeSize": self.integer("/inclusionProof/treeSize"),
                },
                "signedEntryTimestamp": self.entry()["inclusionPromise"]["signedEntryTimestamp"],
            },
        }})
    }

    fn pep740(&self) -> Value {
        let envelope = &self.json["dsseEnvelope"];
        json!({
            "version": 1,
            "verification_material": {
                "certificate": STANDARD.encode(self.bundle.certificate().unwrap().der()),
                "transparency_entries": [self.entry()],
            },
            "envelope": {"statement": envelope["payload"], "signature": envelope["signatures"][0]["sig"]},
        })
    }

    /// The converted bundle holds what the public one does, and verifies.
    fn expect_same(&self, converted: &Bundle) {
        assert_eq!(converted.version(), Version::V0_3);
        assert_eq!(converted.key_material(), self.bundle.key_material());
        assert_eq!(converted.content(), self.bundle.content());
        assert_eq!(converted.entries(), self.bundle.entries());
        assert_eq!(converted.timestamps(), self.bundle.timestamps());
        self.verdict(converted, &self.case.policy()).unwrap();
    }

    fn verdict(&self, bundle: &Bundle, policy: &Policy) -> Result<(), VerifyError> {
        let now = "2026-08-26T00:00:00Z".parse().unwrap();
        verify(&self.case.artifact(), bundle, &self.case.root(), policy, now).map(|_| ())
    }
}

fn hex_of(base64: &Value) -> String {
    hex::encode(STANDARD.decode(base64.as_str().unwrap()).unwrap())
}

fn text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn set(value: &mut Value, pointer: &str, new: Value) {
    *value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = new;
}

#[test]
fn an_old_bundle_of_cosign_is_completed_by_the_reply_of_the_log() {
    for name in FILE_CASES {
        let parts = Parts::of(name);
        let converted = from_cosign_bundle(&text(&parts.cosign()), Some(&text(&parts.reply()))).unwrap();
        parts.expect_same(converted.bundle());
        assert_eq!(Bundle::parse(converted.json()).as_ref(), Ok(converted.bundle()));
        // Cosign has written certificates as PEM too.
        let mut plain = parts.cosign();
        plain["cert"] = json!(parts.pem());
        assert_eq!(from_cosign_bundle(&text(&plain), Some(&text(&parts.reply()))), Ok(converted));
    }
}

#[test]
fn an_old_bundle_of_cosign_alone_has_a_promise_that_no_policy_takes_by_itself() {
    let parts = Parts::of("happy-path-v0.3");
    let converted = from_cosign_bundle(&text(&parts.cosign()), None).unwrap().into_bundle();
    assert_eq!((converted.version(), converted.entries().len()), (Version::V0_1, 1));
    assert_eq!(parts.verdict(&converted, &parts.case.policy()).unwrap_err().check().name(), "log");
    let legacy = Demands { legacy_entries_without_proof: true, ..Demands::keyless() };
    parts.verdict(&converted, &parts.case.policy().with_demands(legacy).unwrap()).unwrap();
}

#[test]
fn an_old_bundle_of_cosign_may_hold_an_envelope_or_be_of_a_key() {
    let parts = Parts::of(ENVELOPE_CASE);
    let mut cosign = parts.cosign();
    cosign["base64Signature"] = json!(STANDARD.encode(text(&parts.json["dsseEnvelope"])));
    let converted = from_cosign_bundle(&text(&cosign), Some(&text(&parts.reply()))).unwrap();
    parts.expect_same(converted.bundle());

    let parts = Parts::of(KEY_CASE);
    let cosign = json!({"base64Signature": STANDARD.encode(parts.bundle.signature())});
    let converted = from_cosign_bundle(&text(&cosign), Some(&text(&parts.reply()))).unwrap().into_bundle();
    assert_eq!(
        converted.key_material(),
        parts.bundle.key_material(),
        "the hint is the one that the public clients write"
    );
    parts.verdict(&converted, &parts.case.policy()).unwrap();
}

/// GHSA-fx35-mq7g-6g98: a public key in the place of the certificate let chain and identity be skipped.
#[test]
fn ghsa_fx35_mq7g_6g98_a_key_in_the_place_of_a_certificate_is_a_managed_key() {
    let parts = Parts::of("happy-path-v0.3");
    let key = parts.bundle.certificate().unwrap().public_key().unwrap().to_pem();
    for cert in [STANDARD.encode(&key), key] {
        let mut cosign = parts.cosign();
        cosign["cert"] = json!(cert);
        // The entry names the certificate: the key is another verifier, though the signature is the key's.
        let refused = from_cosign_bundle(&text(&cosign), Some(&text(&parts.reply())));
        assert_eq!(refused, Err(ConvertError::OtherEntry { member: "verifier" }));
        cosign.as_object_mut().unwrap().remove("rekorBundle");
        let converted = from_cosign_bundle(&text(&cosign), None).unwrap().into_bundle();
        assert!(matches!(converted.key_material(), KeyMaterial::PublicKey { .. }), "{:?}", converted.key_material());
        assert_eq!(parts.verdict(&converted, &parts.case.policy()).unwrap_err().check().name(), "identity");
    }
}

/// GHSA-whqx-f9j3-ch6m: the entry of an old bundle was not compared with the signature, the certificate and the file.
#[test]
fn ghsa_whqx_f9j3_ch6m_an_entry_of_another_signature_is_refused() {
    let (ours, theirs) = (Parts::of("happy-path-v0.3"), Parts::of("happy-path-v0.2"));
    let check = |pointer: &str, member: &'static str| {
        let mut cosign = ours.cosign();
        set(&mut cosign, pointer, theirs.cosign().pointer(pointer).unwrap().clone());
        assert_eq!(from_cosign_bundle(&text(&cosign), None), Err(ConvertError::OtherEntry { member }), "{pointer}");
    };
    check("/base64Signature", "signature");
    check("/cert", "verifier");
    check("/rekorBundle", "signature");
    check("/rekorBundle/Payload/body", "signature");
    // A file with another signature in the envelope's entry, and the other way round.
    let mut cosign = ours.cosign();
    cosign["rekorBundle"] = Parts::of(ENVELOPE_CASE).cosign()["rekorBundle"].clone();
    assert_eq!(from_cosign_bundle(&text(&cosign), None), Err(ConvertError::OtherEntry { member: "signature" }));
    // Another payload under the signature of the envelope, and another signature over its payload.
    let (attestation, mut cosign) = (Parts::of(ENVELOPE_CASE), Parts::of(ENVELOPE_CASE).cosign());
    for (pointer, member) in [("/payload", "payload"), ("/signatures/0/sig", "signature")] {
        let mut envelope = attestation.json["dsseEnvelope"].clone();
        set(&mut envelope, pointer, json!("AA=="));
        cosign["base64Signature"] = json!(STANDARD.encode(text(&envelope)));
        assert_eq!(from_cosign_bundle(&text(&cosign), None), Err(ConvertError::OtherEntry { member }));
    }
    // Another file under the same signature: the digest that the entry names comes along, and the verifier compares it.
    let other = digest(HashAlgorithm::Sha256, b"another file");
    let reply = text(&ours.reply());
    let files = Detached { digest: Some(&other), ..detached(ours.bundle.signature(), None, &reply) };
    assert_eq!(from_detached(&files), Err(ConvertError::OtherEntry { member: "file" }));
}

#[test]
fn a_reply_about_another_entry_completes_nothing() {
    let (ours, theirs) = (Parts::of("happy-path-v0.3"), Parts::of("happy-path-v0.2"));
    for member in ["body", "integratedTime", "logID", "logIndex"] {
        let mut reply = ours.reply();
        let entry = reply.as_object_mut().unwrap().values_mut().next().unwrap();
        entry[member] = match member {
            "logID" => json!("00".repeat(32)),
            member => theirs.reply().as_object().unwrap().values().next().unwrap()[member].clone(),
        };
        let refused = from_cosign_bundle(&text(&ours.cosign()), Some(&text(&reply)));
        assert_eq!(refused, Err(ConvertError::EntryDisagrees { member }));
    }
    let (mut two, more) = (ours.reply(), theirs.reply());
    two[format!("24296fb24b8ad77a{}", "cd".repeat(32))] = more.as_object().unwrap().values().next().unwrap().clone();
    for (reply, found) in [(two, 2), (json!({}), 0)] {
        let refused = from_cosign_bundle(&text(&ours.cosign()), Some(&text(&reply)));
        assert_eq!(refused, Err(ConvertError::EntryCount { found }));
    }
}

#[test]
fn an_entry_needs_a_signature_of_its_log() {
    let parts = Parts::of("happy-path-v0.3");
    let convert = |edit: fn(&mut Value)| {
        let mut reply = parts.reply();
        edit(&mut reply.as_object_mut().unwrap().values_mut().next().unwrap()["verification"]);
        from_detached(&detached(parts.bundle.signature(), None, &text(&reply)))
    };
    let version = |converted: Result<Converted, ConvertError>| converted.map(|converted| converted.bundle().version());
    assert_eq!(version(convert(|_| {})), Ok(Version::V0_3));
    assert_eq!(version(convert(|signed| signed["signedEntryTimestamp"] = Value::Null)), Ok(Version::V0_3));
    // A proof without a checkpoint leads to nothing that is signed.
    assert_eq!(version(convert(|signed| signed["inclusionProof"]["checkpoint"] = Value::Null)), Ok(Version::V0_1));
    assert_eq!(convert(|signed| *signed = Value::Null), Err(ConvertError::EntryUnsigned));
}

fn detached<'a>(signature: &'a [u8], verifier: Option<&'a [u8]>, entry: &'a [u8]) -> Detached<'a> {
    Detached { signature, verifier, timestamps: &[], entry: Some(entry), digest: None }
}

#[test]
fn a_detached_signature_is_taken_raw_or_in_base64_with_a_chain_or_without() {
    let parts = Parts::of("happy-path-v0.3");
    let reply = text(&parts.reply());
    let pem = parts.pem();
    let chain = format!("{pem}{}", parts.case.root().certificate_authorities()[0].chain()[0].to_pem());
    let base64 = STANDARD.encode(parts.bundle.signature());
    let wrapped = format!("{}\n{}\n", &base64[..40], &base64[40..]);
    let pem_base64 = STANDARD.encode(&pem);
    for signature in [parts.bundle.signature(), base64.as_bytes(), wrapped.as_bytes()] {
        for verifier in [Some(&pem), Some(&chain), Some(&pem_base64), None] {
            let files = detached(signature, verifier.map(String::as_bytes), &reply);
            parts.expect_same(from_detached(&files).unwrap().bundle());
        }
    }
}

#[test]
fn a_detached_signature_takes_timestamps_and_entries_of_both_rekors() {
    for name in ["rekor2-happy-path", "rekor2-dsse-happy-path"] {
        let parts = Parts::of(name);
        let (entry, pem) = (text(parts.entry()), parts.pem());
        let envelope = text(&parts.json["dsseEnvelope"]);
        let signature = match parts.bundle.content() {
            Content::Message { signature, .. } => signature.as_slice(),
            Content::Envelope(_) => &envelope,
        };
        let digest = digest(HashAlgorithm::Sha256, &parts.case.artifact);
        let cosign = text(&json!({"SignedRFC3161Timestamp": STANDARD.encode(&parts.bundle.timestamps()[0])}));
        for timestamp in [parts.bundle.timestamps()[0].as_slice(), &cosign] {
            let files = Detached {
                timestamps: &[timestamp],
                digest: Some(&digest),
                ..detached(signature, Some(pem.as_bytes()), &entry)
            };
            parts.expect_same(from_detached(&files).unwrap().bundle());
        }
        let refused = from_detached(&detached(signature, None, &entry));
        assert_eq!(refused, Err(ConvertError::Missing { member: "certificate or public key" }));
    }
}

#[test]
fn a_verifier_is_a_key_or_a_certificate_by_label_and_content() {
    let parts = Parts::of("happy-path-v0.3");
    let certificate = parts.bundle.certificate().unwrap();
    let key = certificate.public_key().unwrap();
    let block = |label: &'static str, der: &[u8]| pem::encode(label, der);
    assert_eq!(verifier_of(parts.pem().as_bytes()), Ok(Verifier::Certificate { der: certificate.der().to_vec() }));
    assert_eq!(verifier_of(key.to_pem().as_bytes()), Ok(Verifier::PublicKey { spki_der: key.spki_der().to_vec() }));
    let refused =
        |input: String, expect: ConvertError| assert_eq!(verifier_of(input.as_bytes()), Err(expect), "{input}");
    let no_certificate = Certificate::from_der(key.spki_der()).unwrap_err();
    refused(block("CERTIFICATE", key.spki_der()), ConvertError::Certificate(no_certificate));
    let no_key = PublicKey::from_spki_der(certificate.der()).unwrap_err();
    refused(block("PUBLIC KEY", certificate.der()), ConvertError::Key(no_key));
    refused(block("PRIVATE KEY", key.spki_der()), ConvertError::Verifier);
    refused(parts.pem() + &key.to_pem(), ConvertError::Verifier);
    refused(key.to_pem() + &key.to_pem(), ConvertError::Verifier);
    refused(String::new(), ConvertError::Verifier);
    refused(parts.pem().repeat(9), ConvertError::Verifier);
    refused("x".repeat(300 << 10), ConvertError::TooLarge { member: "the verifier", limit: 256 << 10 });
}

#[test]
fn attestations_of_pypi_become_bundles() {
    let parts = Parts::of(ENVELOPE_CASE);
    let mut attestation = parts.pep740();
    // Signers may add members of their own.
    attestation["extra"] = json!({"x": 1});
    let provenance = json!({
        "version": 1,
        "attestation_bundles": [
            {"publisher": {"kind": "GitHub", "repository": "a/b"}, "attestations": [attestation.clone(), attestation.clone()]},
            {"publisher": {"kind": "GitLab"}, "attestations": [attestation.clone()]},
        ],
    });
    for (input, count) in [(&attestation, 1), (&provenance, 3)] {
        let converted = from_pep740(&text(input)).unwrap();
        assert_eq!(converted.len(), count);
        assert_eq!(bundles(&text(input)).as_ref(), Ok(&converted));
        for bundle in converted {
            parts.expect_same(bundle.unwrap().bundle());
        }
    }
    for pointer in [
        "/verification_material",
        "/verification_material/certificate",
        "/verification_material/transparency_entries",
        "/envelope/statement",
        "/envelope/signature",
    ] {
        let mut broken = parts.pep740();
        set(&mut broken, pointer, json!(7));
        assert!(from_pep740(&text(&broken)).unwrap()[0].is_err(), "{pointer}");
    }
    for version in [json!(2), json!("1"), json!(null), json!(1.0)] {
        let mut other = parts.pep740();
        other["version"] = version;
        assert!(matches!(from_pep740(&text(&other)), Err(ConvertError::Version { .. })));
    }
    // An entry is read as strictly as in a bundle.
    let mut unknown = parts.pep740();
    set(&mut unknown, "/verification_material/transparency_entries/0/logIndex", json!("-1"));
    assert!(matches!(from_pep740(&text(&unknown)).unwrap()[0], Err(ConvertError::Bundle(_))));
}

#[test]
fn replies_of_npm_and_github_become_bundles() {
    let parts = Parts::of(ENVELOPE_CASE);
    let reply = json!({"attestations": [
        {"predicateType": PREDICATE_TYPE, "bundle": parts.json},
        {"bundle": parts.json, "repository_id": 7, "bundle_url": "https://example.com"},
        {"bundle": null, "bundle_url": "https://example.com"},
        7,
    ]});
    let converted = bundles(&text(&reply)).unwrap();
    assert_eq!(converted.len(), 4);
    parts.expect_same(converted[0].as_ref().unwrap().bundle());
    parts.expect_same(converted[1].as_ref().unwrap().bundle());
    assert_eq!(converted[2], Err(ConvertError::Missing { member: "bundle" }));
    assert_eq!(converted[3], Err(ConvertError::Missing { member: "bundle" }));
    let found = ATTESTATIONS_MAX + 1;
    let many = text(&json!({"attestations": vec![json!({}); found]}));
    let limit = ATTESTATIONS_MAX;
    assert_eq!(from_npm(&many), Err(ConvertError::TooMany { member: "attestations", limit, found }));
}

/// GHSA-w6c6-c85g-mmv6, CVE-2022-35929: what an attestation was asked for and what it says were not compared.
#[test]
fn ghsa_w6c6_c85g_mmv6_a_label_on_another_statement_is_refused() {
    let (attestation, file) = (Parts::of(ENVELOPE_CASE).json, Parts::of("happy-path-v0.3").json);
    let check = |label: Value, bundle: &Value, shown: &str, statement: &str| {
        let reply = text(&json!({"attestations": [{"predicateType": label, "bundle": bundle}]}));
        let (label, statement) = (shown.to_owned(), statement.to_owned());
        assert_eq!(from_npm(&reply).unwrap()[0], Err(ConvertError::PredicateDisagrees { label, statement }));
    };
    check(json!("https://example.com/other"), &attestation, "https://example.com/other", PREDICATE_TYPE);
    check(json!(""), &attestation, "", PREDICATE_TYPE);
    check(json!(7), &attestation, "", PREDICATE_TYPE);
    check(json!(PREDICATE_TYPE), &file, PREDICATE_TYPE, "");
}

#[test]
fn each_shape_is_told_by_its_members() {
    let file = Parts::of("happy-path-v0.3");
    let attestation = Parts::of(ENVELOPE_CASE);
    let check = |input: &[u8], expect: InputFormat| assert_eq!(detect(input), expect);
    let line = text(&file.json);
    check(&line, InputFormat::Bundle);
    check(&[b"\n ", line.as_slice(), b"\n"].concat(), InputFormat::Bundle);
    check(&[line.as_slice(), b"\n\n", &line, b"\n"].concat(), InputFormat::BundleLines);
    check(&text(&file.cosign()), InputFormat::CosignBundle);
    check(&text(&attestation.pep740()), InputFormat::Pep740Attestation);
    check(&text(&json!({"version": 1, "attestation_bundles": []})), InputFormat::Pep740Provenance);
    check(&text(&json!({"attestations": []})), InputFormat::Attestations);
    check(&text(&attestation.json["dsseEnvelope"]), InputFormat::Envelope);
    check(&text(&file.reply()), InputFormat::LogEntry);
    check(&text(Parts::of("rekor2-happy-path").entry()), InputFormat::LogEntry);
    for other in ["", "{}", "[]", "7", "MEUCIQ==", "{\"mediaType\":1,\"mediaType\":2}", "{\"base64Signature\":1} x"] {
        check(other.as_bytes(), InputFormat::Other);
        assert_eq!(bundles(other.as_bytes()), Err(ConvertError::Format { found: InputFormat::Other }));
    }
    assert_eq!(bundles(&text(&file.reply())), Err(ConvertError::Format { found: InputFormat::LogEntry }));
}

#[test]
fn lines_have_a_result_each() {
    let file = text(&Parts::of("happy-path-v0.3").json);
    let lines = [file.as_slice(), b"\r\n\n", b"{\"mediaType\":\"x\"}\n", &file].concat();
    let read: Vec<bool> = bundles(&lines).unwrap().iter().map(Result::is_ok).collect();
    assert_eq!(read, [true, false, true]);
}

#[test]
fn members_that_stand_twice_are_refused_in_every_shape() {
    let file = Parts::of("happy-path-v0.3");
    let twice = |value: &Value, member: &str| {
        let text = serde_json::to_string(value).unwrap();
        let name = format!("\"{member}\":");
        assert!(text.contains(&name), "{member}");
        text.replacen(&name, &format!("{name}\"AA==\",{name}"), 1).into_bytes()
    };
    let duplicate = |error: Option<ConvertError>| {
        let wire = matches!(error, Some(ConvertError::Wire(WireError::DuplicateMember { .. })));
        assert!(wire, "{error:?}");
    };
    for member in ["base64Signature", "cert", "body", "SignedEntryTimestamp"] {
        duplicate(from_cosign_bundle(&twice(&file.cosign(), member), None).err());
    }
    for member in ["body", "signedEntryTimestamp", "checkpoint", "data"] {
        let reply = twice(&file.reply(), member);
        duplicate(from_cosign_bundle(&text(&file.cosign()), Some(&reply)).err());
        duplicate(from_detached(&detached(b"MEUCIQ==", None, &reply)).err());
    }
    let pep740 = Parts::of(ENVELOPE_CASE).pep740();
    for member in ["statement", "certificate", "canonicalizedBody"] {
        duplicate(from_pep740(&twice(&pep740, member)).err());
    }
    duplicate(from_npm(&twice(&json!({"attestations": [{"bundle": {"x": 1}}]}), "x")).err());
}

#[test]
fn each_input_has_a_size_limit() {
    let large = vec![b' '; INPUT_BYTES_MAX + 1];
    let over = |member| ConvertError::TooLarge { member, limit: INPUT_BYTES_MAX };
    assert_eq!(bundles(&large), Err(over("the input")));
    assert_eq!(from_cosign_bundle(&large, None), Err(over("the input")));
    assert_eq!(from_pep740(&large), Err(over("the input")));
    assert_eq!(from_npm(&large), Err(over("the input")));
    assert_eq!(content_of(&large), Err(over("the signature")));
    let file = Parts::of("happy-path-v0.3");
    let entry = from_cosign_bundle(&text(&file.cosign()), Some(&large)).unwrap_err();
    assert!(matches!(entry, ConvertError::TooLarge { member: "the log entry", .. }), "{entry}");
    let timestamp = [[0x30; 70_000].as_slice()];
    let files = Detached { timestamps: &timestamp, ..detached(b"MEUCIQ==", None, b"{}") };
    assert!(matches!(from_detached(&files), Err(ConvertError::TooLarge { member: "the timestamp", .. })));
}

#[test]
fn no_input_makes_a_reader_fall() {
    let file = Parts::of("happy-path-v0.3");
    let attestation = Parts::of(ENVELOPE_CASE);
    let samples = [
        text(&file.json),
        text(&file.cosign()),
        text(&attestation.pep740()),
        text(&json!({"attestations": [{"bundle": attestation.json}]})),
        text(&file.reply()),
    ];
    let reply = text(&file.reply());
    let read = |input: &[u8]| {
        let _ = bundles(input);
        let _ = from_cosign_bundle(input, Some(&reply));
        let _ = from_cosign_bundle(&samples[1], Some(input));
        let _ = from_pep740(input);
        let _ = from_npm(input);
        let _ = from_detached(&Detached { timestamps: &[input], ..detached(input, Some(input), input) });
    };
    proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..64))| read(&bytes));
    proptest!(|(at: prop::sample::Index, byte: u8, cut: bool, sample in 0_usize..5)| {
        let mut input = samples[sample].clone();
        let at = at.index(input.len());
        if cut { input.truncate(at) } else { input[at] = byte }
        read(&input);
    });
}
