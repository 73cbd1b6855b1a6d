// SPDX-License-Identifier: Apache-2.0
//! The log over its router and over HTTP, with a real engine in a temporary directory.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use touchmark_keys::KeyType;
use touchmark_outbound::{Outbound, Reach};
use touchmark_sequencer::{Clock, FjallLedger, Ledger};
use touchmark_signers::EphemeralSigner;
use touchmark_sigstore::ct::{
    DataTileEntry, LogEntry, Sct, leaf_index_extension, parse_data_tile, parse_leaf_index_extension, verify_sct,
};
use touchmark_sigstore::issue::{LeafTemplate, assemble};
use touchmark_sigstore::principal::{Principal, SubjectAltName};
use touchmark_tlog::checkpoint::{Checkpoint, tree_head_signed_bytes};
use touchmark_tlog::note::SignedNote;
use touchmark_tlog::proof::{verify_consistency, verify_inclusion};
use touchmark_tlog::{Hash, LeafIndex, TreeSize, leaf_hash};
use tower::ServiceExt;
use url::Url;

use super::*;
use crate::fulcio::HttpCtLog;
use crate::fulcio::tests::harness::{NOW_S, TestCa, TestClock, ct_log_in};

mod acceptance;
mod reading;

struct World {
    ca: TestCa,
    log: CtLog,
    clock: Arc<TestClock>,
    _directory: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::of(TestCa::new().await, Validity::ANY).await
    }

    /// A log that accepts the chains of one authority.
    async fn of(ca: TestCa, validity: Validity) -> Self {
        Self::accepting(vec![ca.root()], ca, validity, |ledger| Arc::new(ledger)).await
    }

    async fn accepting(
        roots: Vec<Certificate>,
        ca: TestCa,
        validity: Validity,
        around: impl FnOnce(FjallLedger) -> Arc<dyn Ledger>,
    ) -> Self {
        let clock = TestClock::new();
        let acceptance = Acceptance { roots, validity, clock: Arc::clone(&clock) as Arc<dyn Clock> };
        let (log, directory) = ct_log_in(acceptance, around).await;
        Self { ca, log, clock, _directory: directory }
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn get_json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    async fn add(&self, path: &str, chain: &[&[u8]]) -> (u16, Value) {
        let chain: Vec<String> = chain.iter().map(|der| STANDARD.encode(der)).collect();
        let (status, body) = self.send(post(path, json!({ "chain": chain }).to_string())).await;
        let text = String::from_utf8(body).unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A precertificate with the chain above it.
    async fn add_pre_chain(&self, precertificate: &Certificate) -> Sct {
        let chain = [precertificate.der(), self.ca.chain[0].der(), self.ca.chain[1].der()];
        let (status, reply) = self.add("/ct/v1/add-pre-chain", &chain).await;
        assert_eq!(status, 200, "{reply}");
        sct_of(&reply)
    }

    async fn send(&self, request: Request<Body>) -> (u16, Vec<u8>) {
        let response = router(self.log.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    /// Waits until the latest signed tree has this size: the checkpoint follows the SCT.
    async fn until_size(&self, size: u64) {
        for _ in 0..2000 {
            if self.log.0.log.checkpoint().size.0 >= size {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("the log did not reach size {size}");
    }
}

fn post(path: &str, body: String) -> Request<Body> {
    Request::post(path).body(Body::from(body)).unwrap()
}

fn decode(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn sct_of(reply: &Value) -> Sct {
    let extensions = decode(&reply["extensions"]);
    let mut tls = vec![0];
    tls.extend(decode(&reply["id"]));
    tls.extend(reply["timestamp"].as_u64().unwrap().to_be_bytes());
    tls.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    tls.extend(extensions);
    tls.extend(decode(&reply["signature"]));
    Sct::from_tls(&tls).unwrap()
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(|hash| Hash::from_slice(&decode(hash)).unwrap()).collect()
}

enum Form {
    Precertificate,
    Certificate,
}

async fn leaf(ca: &TestCa, serial: u8, form: Form) -> Certificate {
    let now = Timestamp::from_second(i64::try_from(NOW_S).unwrap()).unwrap();
    let principal = Principal {
        issuer: "https://issuer.example".to_owned(),
        subject: "subject".to_owned(),
        san: SubjectAltName::Email("alice@example.com".to_owned()),
        proof_subject: "alice@example.com".to_owned(),
        extensions: Vec::new(),
    };
    let template = LeafTemplate {
        serial: [serial; 20],
        not_before: now,
        not_after: now + SignedDuration::from_mins(10),
        public_key: EphemeralSigner::generate(KeyType::EcdsaP256).unwrap().public_key().clone(),
        principal: &principal,
        issuer: &ca.chain[0],
        signature_scheme: ca.signer.scheme(),
    };
    let tbs = match form {
        Form::Precertificate => template.precertificate_tbs().map(|tbs| tbs.to_vec()),
        // Without SCT list: what a CA submits that wants a detached SCT.
        Form::Certificate => template.ct_tbs(),
    }
    .unwrap();
    let signature = ca.signer.sign(&tbs).await.unwrap();
    Certificate::from_der(&assemble(&tbs, ca.signer.scheme(), &signature).unwrap()).unwrap()
}

#[tokio::test]
async fn an_sct_names_index_and_time_and_is_signed_over_the_entry() {
    let world = World::new().await;
    for index in 0..3 {
        let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
        let sct = world.add_pre_chain(&precertificate).await;
        let entry = LogEntry::from_precertificate(&precertificate, &world.ca.chain[0]).unwrap();
        verify_sct(&sct, &entry, world.log.public_key()).unwrap();
        assert_eq!(parse_leaf_index_extension(&sct.extensions).unwrap(), LeafIndex(index));
        assert_eq!(sct.extensions, leaf_index_extension(LeafIndex(index)).unwrap());
        assert!(sct.timestamp_ms >= NOW_S * 1000);
    }
}

#[tokio::test]
async fn certificates_are_logged_too_and_the_root_may_be_left_out() {
    let world = World::new().await;
    let certificate = leaf(&world.ca, 1, Form::Certificate).await;
    let (status, reply) = world.add("/ct/v1/add-chain", &[certificate.der(), world.ca.chain[0].der()]).await;
    assert_eq!(status, 200, "{reply}");
    let entry = LogEntry::from_certificate(&certificate).unwrap();
    verify_sct(&sct_of(&reply), &entry, world.log.public_key()).unwrap();
}

#[tokio::test]
async fn the_same_submission_later_gets_the_first_time_and_index() {
    let world = World::new().await;
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    let first = world.add_pre_chain(&precertificate).await;
    world.add_pre_chain(&leaf(&world.ca, 2, Form::Precertificate).await).await;
    world.clock.advance_ms(3_600_000);
    let again = world.add_pre_chain(&precertificate).await;
    assert_eq!((again.timestamp_ms, &again.extensions), (first.timestamp_ms, &first.extensions));
    let entry = LogEntry::from_precertificate(&precertificate, &world.ca.chain[0]).unwrap();
    verify_sct(&again, &entry, world.log.public_key()).unwrap();
    world.until_size(2).await;
    assert_eq!(world.get_json("/ct/v1/get-sth").await["tree_size"], 2);
}

#[tokio::test]
async fn the_reading_half_of_rfc_6962_proves_every_entry() {
    let world = World::new().await;
    let mut leaves = Vec::new();
    for serial in 1..=5 {
        let precertificate = leaf(&world.ca, serial, Form::Precertificate).await;
        let sct = world.add_pre_chain(&precertificate).await;
        let entry = LogEntry::from_precertificate(&precertificate, &world.ca.chain[0]).unwrap();
        let input = touchmark_sigstore::ct::merkle_tree_leaf(&entry, sct.timestamp_ms, &sct.extensions);
        leaves.push((precertificate, input));
    }
    world.until_size(5).await;

    let sth = world.get_json("/ct/v1/get-sth").await;
    let root = Hash::from_slice(&decode(&sth["sha256_root_hash"])).unwrap();
    let signed = tree_head_signed_bytes(sth["timestamp"].as_u64().unwrap(), TreeSize(5), &root);
    let signature = touchmark_sigstore::ct::parse_digitally_signed(&decode(&sth["tree_head_signature"])).unwrap().1;
    let key = world.log.public_key();
    key.verify(key.default_scheme(), &signed, &signature).unwrap();

    let entries = world.get_json("/ct/v1/get-entries?start=0&end=99").await;
    assert_eq!(entries["entries"].as_array().unwrap().len(), 5);
    for (index, (precertificate, input)) in leaves.iter().enumerate() {
        let index = u64::try_from(index).unwrap();
        let entry = &entries["entries"][usize::try_from(index).unwrap()];
        assert_eq!(decode(&entry["leaf_input"]), *input);
        let chain: Vec<&[u8]> = world.ca.chain.iter().map(Certificate::der).collect();
        let extra = touchmark_sigstore::ct::extra_data_precert(precertificate.der(), &chain);
        assert_eq!(decode(&entry["extra_data"]), extra);

        let hash = leaf_hash(input);
        let escaped = STANDARD.encode(hash.0).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let proof = world.get_json(&format!("/ct/v1/get-proof-by-hash?hash={escaped}&tree_size=5")).await;
        assert_eq!(proof["leaf_index"], index);
        verify_inclusion(&hash, LeafIndex(index), TreeSize(5), &hashes(&proof["audit_path"]), &root).unwrap();
        let both = world.get_json(&format!("/ct/v1/get-entry-and-proof?leaf_index={index}&tree_size=5")).await;
        assert_eq!(both["leaf_input"], entry["leaf_input"]);
        assert_eq!(both["audit_path"], proof["audit_path"]);
    }
    let roots = world.get_json("/ct/v1/get-roots").await;
    assert_eq!(decode(&roots["certificates"][0]), world.ca.root().der());
}

#[tokio::test]
async fn later_tree_heads_are_consistent_with_earlier_ones() {
    let world = World::new().await;
    world.add_pre_chain(&leaf(&world.ca, 1, Form::Precertificate).await).await;
    world.until_size(1).await;
    let root = |sth: &Value| Hash::from_slice(&decode(&sth["sha256_root_hash"])).unwrap();
    let size = |sth: &Value| sth["tree_size"].as_u64().unwrap();
    let old = world.get_json("/ct/v1/get-sth").await;
    for serial in 2..=4 {
        world.add_pre_chain(&leaf(&world.ca, serial, Form::Precertificate).await).await;
    }
    world.until_size(4).await;
    let new = world.get_json("/ct/v1/get-sth").await;
    let path = format!("/ct/v1/get-sth-consistency?first={}&second={}", size(&old), size(&new));
    let proof = hashes(&world.get_json(&path).await["consistency"]);
    verify_consistency(TreeSize(size(&old)), &root(&old), TreeSize(size(&new)), &root(&new), &proof).unwrap();
    for same in ["first=0&second=4", "first=4&second=4"] {
        let reply = world.get_json(&format!("/ct/v1/get-sth-consistency?{same}")).await;
        assert_eq!(reply, json!({ "consistency": [] }));
    }
}

#[tokio::test]
async fn static_reads_show_the_same_tree() {
    let world = World::new().await;
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    let sct = world.add_pre_chain(&precertificate).await;
    world.until_size(1).await;

    let (_, note) = world.get("/checkpoint").await;
    let note = SignedNote::parse(&note).unwrap();
    world.log.0.note_key.verify(&note).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), (world.log.0.log.origin(), TreeSize(1)));

    let (status, tile) = world.get("/tile/data/000.p/1").await;
    assert_eq!(status, 200);
    let entries: Vec<DataTileEntry> = parse_data_tile(&tile).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].timestamp_ms, sct.timestamp_ms);
    assert_eq!(entries[0].pre_certificate, precertificate.der());
    let (_, hash) = world.get("/tile/0/000.p/1").await;
    assert_eq!(hash, leaf_hash(&entries[0].merkle_tree_leaf()).0);
    assert_eq!(hash, checkpoint.root.0);
    for (fingerprint, issuer) in entries[0].fingerprints.iter().zip(&world.ca.chain) {
        let (status, der) = world.get(&format!("/issuer/{}", hex::encode(fingerprint))).await;
        assert_eq!((status, der.as_slice()), (200, issuer.der()));
    }
    let unknown = "00".repeat(32);
    for path in [
        "/tile/data/000".to_owned(),
        "/tile/0/000".to_owned(),
        "/tile/0/000.p/2".to_owned(),
        "/tile/entries/000.p/1".to_owned(),
        "/tile/0/../../checkpoint".to_owned(),
        "/tile/x".to_owned(),
        format!("/issuer/{unknown}"),
        "/issuer/abc".to_owned(),
        format!("/issuer/{}", hex::encode(entries[0].fingerprints[0]).to_uppercase()),
    ] {
        assert_eq!(world.get(&path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn chains_that_do_not_belong_into_this_log_are_refused() {
    let world = World::new().await;
    let stranger = TestCa::new().await;
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    let certificate = leaf(&world.ca, 2, Form::Certificate).await;
    let foreign = leaf(&stranger, 1, Form::Precertificate).await;
    let [intermediate, root] = [world.ca.chain[0].der(), world.ca.chain[1].der()];
    let (pre, cert) = (precertificate.der(), certificate.der());
    let mut forged = pre.to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let cases: [(&str, &str, Vec<&[u8]>); 11] = [
        ("empty", "add-pre-chain", vec![]),
        ("garbage", "add-pre-chain", vec![b"garbage"]),
        ("foreign root", "add-pre-chain", vec![foreign.der(), stranger.chain[0].der(), stranger.chain[1].der()]),
        ("no way to the root", "add-pre-chain", vec![pre]),
        ("chain out of order", "add-pre-chain", vec![pre, root, intermediate]),
        ("foreign intermediate", "add-pre-chain", vec![pre, stranger.chain[0].der(), root]),
        ("precertificate as certificate", "add-chain", vec![pre, intermediate, root]),
        ("certificate as precertificate", "add-pre-chain", vec![cert, intermediate, root]),
        ("authority as leaf", "add-chain", vec![intermediate, root]),
        ("root alone", "add-chain", vec![root]),
        ("forged signature", "add-pre-chain", vec![&forged, intermediate, root]),
    ];
    for (what, path, chain) in cases {
        let (status, reply) = world.add(&format!("/ct/v1/{path}"), &chain).await;
        assert_eq!(status, 400, "{what}: {reply}");
    }
    assert_eq!(world.log.0.log.checkpoint().size, TreeSize(0));
}

#[tokio::test]
async fn requests_beyond_the_limits_or_without_sense_are_refused() {
    let world = World::new().await;
    let (status, _) = world.send(post("/ct/v1/add-chain", " ".repeat(1 << 20))).await;
    assert_eq!(status, 400);
    let eleven = vec![world.ca.chain[1].der(); 11];
    assert_eq!(world.add("/ct/v1/add-chain", &eleven).await.0, 400);
    for body in ["", "{", "[]", "{\"chain\":5}", "{\"chain\":[\"*\"]}"] {
        assert_eq!(world.send(post("/ct/v1/add-chain", body.to_owned())).await.0, 400, "{body}");
    }
    world.add_pre_chain(&leaf(&world.ca, 1, Form::Precertificate).await).await;
    world.until_size(1).await;
    for query in [
        "get-entries",
        "get-entries?start=0",
        "get-entries?start=1&end=1",
        "get-entries?start=1&end=0",
        "get-entries?start=-1&end=0",
        "get-entries?start=%2B0&end=0",
        "get-entries?start=99999999999999999999&end=0",
        "get-sth-consistency?first=2&second=1",
        "get-sth-consistency?first=1&second=2",
        "get-sth-consistency?first=1",
        "get-proof-by-hash?hash=AAAA&tree_size=1",
        "get-proof-by-hash?tree_size=1",
        "get-proof-by-hash?hash=AAAA&tree_size=0",
        "get-proof-by-hash?hash=AAAA&tree_size=2",
        "get-entry-and-proof?leaf_index=1&tree_size=1",
        "get-entry-and-proof?leaf_index=0&tree_size=2",
    ] {
        assert_eq!(world.get(&format!("/ct/v1/{query}")).await.0, 400, "{query}");
    }
    let absent = STANDARD.encode([0; 32]).replace('=', "%3D");
    assert_eq!(world.get(&format!("/ct/v1/get-proof-by-hash?hash={absent}&tree_size=1")).await.0, 404);
    let end = u64::MAX;
    assert_eq!(world.get(&format!("/ct/v1/get-entries?start=0&end={end}")).await.0, 200);
}

#[tokio::test]
async fn a_log_over_http_serves_as_well_as_one_in_process() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().nest("/log/name", router(world.log.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = |key: &PublicKey, path: &str| {
        let base = Url::parse(&format!("http://{address}{path}")).unwrap();
        HttpCtLog::new(base, key.clone(), Outbound::new("test", Reach::Private, None))
    };
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    let entry = LogEntry::from_precertificate(&precertificate, &world.ca.chain[0]).unwrap();
    for base in ["/log/name", "/log/name/"] {
        let sct = client(world.log.public_key(), base).submit(&precertificate, &world.ca.chain).await.unwrap();
        verify_sct(&sct, &entry, world.log.public_key()).unwrap();
    }
    let in_process = world.log.submit(&precertificate, &world.ca.chain).await.unwrap();
    assert_eq!(parse_leaf_index_extension(&in_process.extensions).unwrap(), LeafIndex(0));

    let stranger = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
    let refused = client(stranger.public_key(), "/log/name").submit(&precertificate, &world.ca.chain).await;
    assert_eq!(refused, Err(CtError::Unreadable));
    let absent = client(world.log.public_key(), "/nowhere").submit(&precertificate, &world.ca.chain).await;
    assert_eq!(absent, Err(CtError::Refused { status: 404 }));
}

#[tokio::test]
async fn a_busy_log_is_asked_again_and_a_redirecting_one_is_not_followed() {
    let world = World::new().await;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let busy_once = {
        let (asked, log) = (Arc::clone(&asked), world.log.clone());
        move |request: axum::extract::Request| async move {
            match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => Refusal::busy().into_response(),
                _ => router(log).oneshot(request).await.unwrap(),
            }
        }
    };
    let elsewhere = axum::response::Redirect::temporary("http://127.0.0.1:1/");
    let routes = Router::new()
        .route("/ct/v1/add-pre-chain", axum::routing::post(busy_once))
        .route("/moved/ct/v1/add-pre-chain", axum::routing::post(move || async move { elsewhere }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let client = |path: &str| {
        let base = Url::parse(&format!("http://{address}{path}")).unwrap();
        HttpCtLog::new(base, world.log.public_key().clone(), Outbound::new("test", Reach::Private, None))
    };
    let precertificate = leaf(&world.ca, 1, Form::Precertificate).await;
    assert!(client("").submit(&precertificate, &world.ca.chain).await.is_ok());
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
    let moved = client("/moved").submit(&precertificate, &world.ca.chain).await;
    assert_eq!(moved, Err(CtError::Refused { status: 307 }));
}

#[tokio::test]
async fn the_log_describes_itself_as_a_member_of_a_log_list() {
    let world = World::new().await;
    let metadata = world.get_json("/log.v3.json").await;
    let key = world.log.public_key();
    assert_eq!(decode(&metadata["log_id"]), key.spki_sha256());
    assert_eq!(decode(&metadata["key"]), key.spki_der());
    assert_eq!(metadata["mmd"], 60);
    let origin = world.log.0.log.origin();
    assert_eq!(metadata["monitoring_url"], format!("http://{origin}/"));
    assert_eq!(metadata["submission_url"], metadata["monitoring_url"]);
}
