// SPDX-License-Identifier: Apache-2.0
//! Rekor v2 over HTTP: entries, refusals in the public words, checkpoint and tiles.

use touchmark_keys::{HashAlgorithm, KeyType, Scheme, digest};
use touchmark_outbound::{Limits, OutboundError, Response};
use touchmark_signers::{EphemeralSigner, Signer};
use touchmark_sigstore::rekor::{HashedRekord, LogEntry, Verifier};
use touchmark_sigstore::verify::logged;
use touchmark_sigstore::wire::rekor::TransparencyLogEntry;
use touchmark_tlog::tile::decode_entry_bundle;

use crate::stack::{Stack, json, outbound, text};

const ENTRIES: &str = "/api/v2/log/entries";

pub(crate) async fn record(message: &[u8], key_type: KeyType, scheme: Scheme) -> HashedRekord {
    let signer = EphemeralSigner::generate(key_type).unwrap();
    let digest = digest(scheme.hash().unwrap_or(HashAlgorithm::Sha256), message);
    let signature = signer.sign_digest(&digest).await.unwrap();
    let verifier = Verifier::PublicKey { spki_der: signer.public_key().spki_der().to_vec() };
    HashedRekord::new(digest, signature, verifier, scheme).unwrap()
}

pub(crate) async fn p256_record(message: &[u8]) -> HashedRekord {
    record(message, KeyType::EcdsaP256, Scheme::EcdsaP256Sha256).await
}

pub(crate) async fn append(stack: &Stack, record: &HashedRekord) -> Response {
    stack.post(ENTRIES, "application/json", record.to_request().to_json()).await
}

#[tokio::test]
async fn an_entry_comes_back_with_a_proof_that_a_verifier_accepts() {
    let stack = Stack::start().await;
    let root = stack.trusted_root();
    for (index, (key_type, scheme)) in [
        (KeyType::EcdsaP256, Scheme::EcdsaP256Sha256),
        (KeyType::EcdsaP384, Scheme::EcdsaP384Sha384),
        (KeyType::EcdsaP521, Scheme::EcdsaP521Sha512),
        (KeyType::Rsa2048, Scheme::RsaPkcs1v15Sha256_2048),
        (KeyType::Rsa3072, Scheme::RsaPkcs1v15Sha256_3072),
        (KeyType::Rsa4096, Scheme::RsaPkcs1v15Sha256_4096),
    ]
    .into_iter()
    .enumerate()
    {
        let record = record(b"artifact", key_type, scheme).await;
        let reply = append(&stack, &record).await;
        assert_eq!(reply.status, 201, "{}", text(&reply));
        let entry = TransparencyLogEntry::from_json(&reply.body).unwrap();
        assert_eq!(entry.log_index, i64::try_from(index).unwrap());
        assert_eq!(entry.canonicalized_body, record.leaf_bytes());
        logged(&LogEntry::from_wire(entry).unwrap(), &record, &root, &[jiff::Timestamp::now()]).unwrap();
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_reply_has_the_members_of_the_public_one() {
    let stack = Stack::start().await;
    let reply = json(&append(&stack, &p256_record(b"x").await).await);
    assert_eq!(reply["logIndex"], "0");
    assert_eq!(reply["integratedTime"], "0");
    assert!(reply["inclusionPromise"].is_null() && reply.get("inclusionPromise").is_some());
    assert_eq!(reply["kindVersion"], serde_json::json!({"kind": "hashedrekord", "version": "0.0.2"}));
    assert_eq!(reply["inclusionProof"]["hashes"], serde_json::json!([]));
    assert_eq!(reply["inclusionProof"]["treeSize"], "1");
    stack.stop().await;
}

#[tokio::test]
async fn the_same_entry_again_is_a_conflict_that_names_its_index() {
    let stack = Stack::start().await;
    append(&stack, &p256_record(b"first").await).await;
    let record = p256_record(b"second").await;
    assert_eq!(append(&stack, &record).await.status, 201);
    let again = append(&stack, &record).await;
    assert_eq!((again.status, again.header("X-Log-Index")), (409, Some("1")));
    let message = "an equivalent entry already exists in the transparency log with index 1";
    assert_eq!(json(&again), serde_json::json!({"code": 6, "message": message, "details": []}));

    let directory = stack.stop().await;
    let stack = Stack::start_in(directory).await;
    assert_eq!(append(&stack, &record).await.header("x-log-index"), Some("1"));
    stack.stop().await;
}

#[tokio::test]
async fn who_prefers_the_original_gets_it_with_a_proof_of_now() {
    let stack = Stack::start().await;
    let root = stack.trusted_root();
    let record = p256_record(b"once").await;
    let prefer = [("content-type", "application/json"), ("prefer", "return=representation")];
    let (outbound, url) = (outbound(), stack.url(ENTRIES));
    let ask = || outbound.post(&url, &prefer, record.to_request().to_json(), &Limits::SERVICE);
    let first = ask().await.unwrap();
    assert_eq!((first.status, first.header("x-log-index")), (201, None), "{}", text(&first));
    append(&stack, &p256_record(b"another").await).await;
    let again = ask().await.unwrap();
    assert_eq!((again.status, again.header("x-log-index")), (200, Some("0")), "{}", text(&again));
    assert_eq!(again.header("preference-applied"), Some("return=representation"));
    let entry = TransparencyLogEntry::from_json(&again.body).unwrap();
    assert_eq!((entry.log_index, json(&again)["inclusionProof"]["treeSize"].as_str()), (0, Some("2")));
    logged(&LogEntry::from_wire(entry).unwrap(), &record, &root, &[jiff::Timestamp::now()]).unwrap();
    // Who does not ask hears what the public log says.
    assert_eq!(append(&stack, &record).await.status, 409);
    stack.stop().await;
}

async fn check_refused(stack: &Stack, body: &str, message: &str) {
    let reply = stack.post(ENTRIES, "application/json", body.as_bytes()).await;
    assert_eq!(reply.status, 400, "{body}: {}", text(&reply));
    assert_eq!(json(&reply)["code"], 3, "{body}");
    let found = json(&reply)["message"].as_str().unwrap().to_owned();
    assert!(found.contains(message), "{body}\nexpected {message}\nfound    {found}");
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_public_words_and_leave_nothing_behind() {
    let stack = Stack::start().await;
    let good = String::from_utf8(p256_record(b"x").await.to_request().to_json()).unwrap();
    let request: serde_json::Value = serde_json::from_str(&good).unwrap();
    let invalid = "invalid hashedrekord request";
    check_refused(&stack, "{}", "invalid type, must be hashedrekord").await;
    check_refused(&stack, r#"{"dsseRequestV002":{}}"#, "invalid type, must be hashedrekord").await;
    check_refused(&stack, &good[..good.len() / 2], "unexpected EOF").await;
    // The gateway takes no body for an empty message.
    check_refused(&stack, "", "invalid type, must be hashedrekord").await;
    check_refused(&stack, &good.replacen('{', r#"{"x":1,"#, 1), r#"unknown field "x""#).await;
    check_refused(
        &stack,
        &good.replace("PKIX_ECDSA_P256_SHA_256", "NONSENSE"),
        "invalid value for enum field keyDetails",
    )
    .await;
    check_refused(&stack, &good.replace("PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_384"), invalid).await;
    check_refused(&stack, &good.replace("PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519"), invalid).await;
    let body = "hashedRekordRequestV002";
    for (pointer, value) in [
        ("/signature/content", serde_json::json!("")),
        ("/signature/content", serde_json::json!("AAAA")),
        ("/digest", serde_json::json!("")),
        ("/digest", serde_json::json!("AAAA")),
        ("/digest", serde_json::json!("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")),
        ("/signature/verifier/publicKey/rawBytes", serde_json::json!("")),
        ("/signature/verifier/publicKey/rawBytes", serde_json::json!("AAAA")),
        ("/signature/verifier", serde_json::json!(null)),
        ("/signature", serde_json::json!(null)),
    ] {
        let mut request = request.clone();
        *request[body].pointer_mut(pointer).unwrap() = value;
        check_refused(&stack, &request.to_string(), invalid).await;
    }
    let checkpoint = stack.get("/api/v2/checkpoint").await;
    assert!(text(&checkpoint).starts_with(&format!("{}\n0\n", stack.rekor_log())), "{}", text(&checkpoint));
    // Names as protobuf declares them are taken too.
    let snake =
        good.replace("hashedRekordRequestV002", "hashed_rekord_request_v002").replace("keyDetails", "key_details");
    assert_eq!(stack.post(ENTRIES, "application/json", snake).await.status, 201);
    stack.stop().await;
}

#[tokio::test]
async fn a_body_over_four_mebibytes_is_refused_and_the_connection_closed() {
    let stack = Stack::start().await;
    for bytes in [(4 << 20) + 1, 9 << 20] {
        let reply = stack.post(ENTRIES, "application/json", vec![b' '; bytes]).await;
        assert_eq!((reply.status, reply.header("connection")), (400, Some("close")));
        assert_eq!(json(&reply)["message"], "http: request body too large");
    }
    stack.stop().await;
}

#[tokio::test]
async fn checkpoint_tiles_and_entries_are_served_with_their_cache_rules() {
    let stack = Stack::start().await;
    let mut leaves = Vec::new();
    for number in 0..3u8 {
        let record = p256_record(&[number]).await;
        assert_eq!(append(&stack, &record).await.status, 201);
        leaves.push(record.leaf_bytes());
    }
    let checkpoint = stack.get("/api/v2/checkpoint").await;
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    assert!(checkpoint.header("content-type").unwrap().starts_with("text/plain"));
    assert!(text(&checkpoint).starts_with(&format!("{}\n3\n", stack.rekor_log())));

    let base = format!("/log/{}", stack.rekor_log());
    for prefix in ["/api/v2", base.as_str()] {
        let hashes = stack.get(&format!("{prefix}/tile/0/000.p/3")).await;
        let expect: Vec<u8> = leaves.iter().flat_map(|leaf| touchmark_tlog::leaf_hash(leaf).0).collect();
        assert_eq!((hashes.status, &hashes.body), (200, &expect));
        assert_eq!(hashes.header("content-type"), Some("application/octet-stream"));
        let tag = hashes.header("etag").unwrap().to_owned();
        let url = stack.url(&format!("{prefix}/tile/0/000.p/3"));
        let known = outbound().get_with(&url, &[("if-none-match", &tag)], &Limits::SERVICE).await;
        // The client follows no redirects, and takes this for one.
        assert!(matches!(known, Err(OutboundError::Redirect { status: 304 })), "{known:?}");
        let entries = stack.get(&format!("{prefix}/tile/entries/000.p/3")).await;
        assert_eq!(decode_entry_bundle(&entries.body, 3).unwrap(), leaves);
        for missing in
            ["tile/0/000", "tile/0/000.p/4", "tile/0/000.p/0", "tile/entries/001.p/1", "tile/64/000", "tile/x"]
        {
            assert_eq!(stack.get(&format!("{prefix}/{missing}")).await.status, 404, "{missing}");
        }
    }
    stack.stop().await;
}
