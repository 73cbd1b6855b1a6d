// SPDX-License-Identifier: Apache-2.0
//! Rekor v2 over HTTP: entries, refusals in the public words, checkpoint and tiles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::{HashAlgorithm, Scheme, digest};
use touchmark_outbound::{Limits, OutboundError, Response};
use touchmark_sigstore::issue::assemble;
use touchmark_sigstore::issue::authority::{AuthorityName, CaProfile, CaTemplate};
use touchmark_sigstore::rekor::{HashedRekord, LogEntry, Verifier};
use touchmark_sigstore::verify::logged;
use touchmark_sigstore::wire::rekor::TransparencyLogEntry;
use touchmark_sigstore::x509::Certificate;
use touchmark_testing::keys::SchemeKey;
use touchmark_tlog::tile::decode_entry_bundle;

use crate::stack::{Stack, json, outbound, text};

const ENTRIES: &str = "/api/v2/log/entries";

fn record(message: &[u8], scheme: Scheme) -> HashedRekord {
    let key = SchemeKey::generate(scheme);
    let digest = digest(scheme.hash().unwrap(), message);
    let signature = key.sign_digest(&digest);
    let verifier = Verifier::PublicKey { spki_der: key.public_key().spki_der().to_vec() };
    HashedRekord::new(digest, signature, verifier, scheme).unwrap()
}

pub(crate) fn p256_record(message: &[u8]) -> HashedRekord {
    record(message, Scheme::EcdsaP256Sha256)
}

pub(crate) async fn append(stack: &Stack, record: &HashedRekord) -> Response {
    stack.post(ENTRIES, "application/json", record.to_request().to_json()).await
}

#[tokio::test]
async fn an_entry_comes_back_with_a_proof_that_a_verifier_accepts() {
    let stack = Stack::start().await;
    let root = stack.trusted_root();
    for (index, scheme) in [
        Scheme::EcdsaP256Sha256,
        Scheme::EcdsaP384Sha384,
        Scheme::EcdsaP521Sha512,
        Scheme::Ed25519ph,
        Scheme::RsaPkcs1v15Sha256_2048,
        Scheme::RsaPkcs1v15Sha256_3072,
        Scheme::RsaPkcs1v15Sha256_4096,
    ]
    .into_iter()
    .enumerate()
    {
        let record = record(b"artifact", scheme);
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
    let reply = json(&append(&stack, &p256_record(b"x")).await);
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
    append(&stack, &p256_record(b"first")).await;
    let record = p256_record(b"second");
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
    let record = p256_record(b"once");
    let prefer = [("content-type", "application/json"), ("prefer", "return=representation")];
    let (outbound, url) = (outbound(), stack.url(ENTRIES));
    let ask = || outbound.post(&url, &prefer, record.to_request().to_json(), &Limits::SERVICE);
    let first = ask().await.unwrap();
    assert_eq!((first.status, first.header("x-log-index")), (201, None), "{}", text(&first));
    append(&stack, &p256_record(b"another")).await;
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
    let good = String::from_utf8(p256_record(b"x").to_request().to_json()).unwrap();
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

/// A request as a client writes it who knows no rules: a key, a signature, a digest and the name of an algorithm.
fn request(key: &SchemeKey, signature: &[u8], digest: &[u8], key_details: &str) -> serde_json::Value {
    let public_key = serde_json::json!({ "rawBytes": STANDARD.encode(key.public_key().spki_der()) });
    serde_json::json!({ "hashedRekordRequestV002": {
        "digest": STANDARD.encode(digest),
        "signature": {
            "content": STANDARD.encode(signature),
            "verifier": { "keyDetails": key_details, "publicKey": public_key },
        },
    }})
}

/// Each signature is right under the algorithm that it names, so that nothing but the algorithm can be the reason.
#[tokio::test]
async fn a_right_signature_of_an_algorithm_that_the_log_does_not_take_is_refused() {
    let stack = Stack::start().await;
    let invalid = "invalid hashedrekord request";
    for (scheme, hash) in [
        (Scheme::RsaPssSha256_2048, HashAlgorithm::Sha256),
        (Scheme::RsaPssSha256_3072, HashAlgorithm::Sha256),
        (Scheme::Ed25519, HashAlgorithm::Sha512),
        (Scheme::MlDsa44, HashAlgorithm::Sha512),
        (Scheme::MlDsa65, HashAlgorithm::Sha512),
    ] {
        let key = SchemeKey::generate(scheme);
        let digest = digest(hash, b"artifact");
        let signature = key.sign_digest(&digest);
        let body = request(&key, &signature, digest.as_bytes(), scheme.key_details());
        check_refused(&stack, &body.to_string(), invalid).await;
    }
    // A right signature under the name of another algorithm for the same key, of no algorithm, and by a number of the enum.
    let (ed25519ph, p256) = (Scheme::Ed25519ph, Scheme::EcdsaP256Sha256);
    let key = SchemeKey::generate(ed25519ph);
    let long = digest(HashAlgorithm::Sha512, b"artifact");
    let signature = key.sign_digest(&long);
    for name in ["PKIX_ED25519", "PUBLIC_KEY_DETAILS_UNSPECIFIED", "", "PKIX_ECDSA_P256_SHA_256"] {
        let body = request(&key, &signature, long.as_bytes(), name);
        check_refused(&stack, &body.to_string(), invalid).await;
    }
    let body = request(&key, &signature, long.as_bytes(), ed25519ph.key_details());
    assert_eq!(stack.post(ENTRIES, "application/json", body.to_string()).await.status, 201);
    let short = digest(HashAlgorithm::Sha256, b"artifact");
    let key = SchemeKey::generate(Scheme::RsaPkcs1v15Sha256_2048);
    let body = request(&key, &key.sign_digest(&short), short.as_bytes(), "PKIX_RSA_PKCS1V15_3072_SHA256");
    check_refused(&stack, &body.to_string(), invalid).await;
    let key = SchemeKey::generate(p256);
    let mut body = request(&key, &key.sign_digest(&short), short.as_bytes(), p256.key_details());
    *body.pointer_mut("/hashedRekordRequestV002/signature/verifier/keyDetails").unwrap() = serde_json::json!(5);
    assert_eq!(stack.post(ENTRIES, "application/json", body.to_string()).await.status, 201);
    stack.stop().await;
}

/// The certificate is only where the key is: no chain, no validity, no authority is asked for.
#[tokio::test]
async fn a_certificate_is_taken_for_its_key_alone_and_not_beside_a_key() {
    let stack = Stack::start().await;
    let key = SchemeKey::generate(Scheme::EcdsaP256Sha256);
    let certificate = self_signed(&key);
    let digest = digest(HashAlgorithm::Sha256, b"artifact");
    let signature = key.sign_digest(&digest);
    let mut body = request(&key, &signature, digest.as_bytes(), "PKIX_ECDSA_P256_SHA_256");
    let verifier = body.pointer_mut("/hashedRekordRequestV002/signature/verifier").unwrap();
    verifier["x509Certificate"] = serde_json::json!({ "rawBytes": STANDARD.encode(certificate.der()) });
    check_refused(&stack, &body.to_string(), "invalid hashedrekord request").await;
    let verifier = body.pointer_mut("/hashedRekordRequestV002/signature/verifier").unwrap();
    verifier.as_object_mut().unwrap().remove("publicKey");
    let reply = stack.post(ENTRIES, "application/json", body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", text(&reply));
    let leaf = TransparencyLogEntry::from_json(&reply.body).unwrap().canonicalized_body;
    let leaf: serde_json::Value = serde_json::from_slice(&leaf).unwrap();
    let logged = leaf.pointer("/spec/hashedRekordV002/signature/verifier/x509Certificate/rawBytes").unwrap();
    assert_eq!(*logged, STANDARD.encode(certificate.der()));
    // The same certificate with the signature of another key.
    let other = SchemeKey::generate(Scheme::EcdsaP256Sha256);
    let signature = other.sign_digest(&digest);
    *body.pointer_mut("/hashedRekordRequestV002/signature/content").unwrap() =
        serde_json::json!(STANDARD.encode(signature));
    check_refused(&stack, &body.to_string(), "invalid hashedrekord request").await;
    stack.stop().await;
}

/// An authority's certificate, long expired.
fn self_signed(key: &SchemeKey) -> Certificate {
    let template = CaTemplate {
        serial: [1; 20],
        not_before: "2001-01-01T00:00:00Z".parse().unwrap(),
        not_after: "2001-01-02T00:00:00Z".parse().unwrap(),
        name: AuthorityName { organization: "test".to_owned(), common_name: "expired".to_owned() },
        public_key: key.public_key().clone(),
        profile: CaProfile::Root,
        signature_scheme: Scheme::EcdsaP256Sha256,
    };
    let tbs = template.tbs().unwrap();
    let signature = key.sign(&tbs);
    Certificate::from_der(&assemble(&tbs, Scheme::EcdsaP256Sha256, &signature).unwrap()).unwrap()
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
        let record = p256_record(&[number]);
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
