// SPDX-License-Identifier: Apache-2.0
//! RFC 6962 §4.3 to §4.8 and static-ct-api, endpoint by endpoint: every proof of a small tree, the limits of a large one, and questions without an answer.

use axum::http::HeaderMap;
use futures_util::future::join_all;
use serde_json::Number;

use super::*;

/// RFC 6962 §2.1, as it is written there.
fn tree_hash(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash(touchmark_keys::sha256(b"")),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash(touchmark_keys::sha256_parts(&[&[1], &tree_hash(left).0, &tree_hash(right).0]))
        }
    }
}

fn escaped(hash: &Hash) -> String {
    STANDARD.encode(hash.0).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

impl World {
    async fn filled(self, entries: u8) -> Self {
        for serial in 1..=entries {
            self.add_pre_chain(&leaf(&self.ca, serial, Form::Precertificate).await).await;
        }
        self.until_size(u64::from(entries)).await;
        self
    }

    async fn leaf_hashes(&self) -> Vec<Hash> {
        let entries = self.get_json("/ct/v1/get-entries?start=0&end=999").await;
        let hash = |entry: &Value| leaf_hash(&decode(&entry["leaf_input"]));
        entries["entries"].as_array().unwrap().iter().map(hash).collect()
    }

    async fn fetch(&self, path: &str, headers: &[(&'static str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router(self.log.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn check_status(&self, queries: &[&str], status: u16) {
        for query in queries {
            let (found, body) = self.get(&format!("/ct/v1/{query}")).await;
            assert_eq!(found, status, "{query}: {}", String::from_utf8_lossy(&body));
        }
    }
}

/// §4.3: the tree head of this log, and its time.
fn tree_head(world: &World, sth: &Value) -> (TreeSize, Hash, u64) {
    let (size, time_ms) = (TreeSize(sth["tree_size"].as_u64().unwrap()), sth["timestamp"].as_u64().unwrap());
    let root = Hash::from_slice(&decode(&sth["sha256_root_hash"])).unwrap();
    let signature = touchmark_sigstore::ct::parse_digitally_signed(&decode(&sth["tree_head_signature"])).unwrap().1;
    let key = world.log.public_key();
    key.verify(key.default_scheme(), &tree_head_signed_bytes(time_ms, size, &root), &signature).unwrap();
    (size, root, time_ms)
}

#[tokio::test]
async fn an_empty_log_has_a_tree_head_and_nothing_else() {
    let world = World::new().await;
    let (size, root, _) = tree_head(&world, &world.get_json("/ct/v1/get-sth").await);
    assert_eq!((size, root), (TreeSize(0), tree_hash(&[])));
    let (status, note) = world.get("/checkpoint").await;
    let note = SignedNote::parse(&note).unwrap();
    world.log.0.note_key.verify(&note).unwrap();
    assert_eq!((status, Checkpoint::parse(note.text()).unwrap().size), (200, TreeSize(0)));
    let none = world.get_json("/ct/v1/get-sth-consistency?first=0&second=0").await;
    assert_eq!(none, json!({ "consistency": [] }));
    let hash = escaped(&tree_hash(&[]));
    world
        .check_status(
            &[
                "get-sth-consistency?first=0&second=1",
                "get-sth-consistency?first=1&second=1",
                "get-entries?start=0&end=0",
                "get-entry-and-proof?leaf_index=0&tree_size=0",
                "get-entry-and-proof?leaf_index=0&tree_size=1",
                &format!("get-proof-by-hash?hash={hash}&tree_size=0"),
                &format!("get-proof-by-hash?hash={hash}&tree_size=1"),
            ],
            400,
        )
        .await;
    // static-ct-api: "Empty tiles MUST NOT be served".
    for tile in ["/tile/0/000", "/tile/0/000.p/0", "/tile/0/000.p/1", "/tile/data/000", "/tile/data/000.p/0"] {
        assert_eq!(world.get(tile).await.0, 404, "{tile}");
    }
    assert_eq!(world.get_json("/ct/v1/get-roots").await["certificates"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_proof_of_a_small_tree_holds() {
    let world = World::new().await.filled(7).await;
    let leaves = world.leaf_hashes().await;
    let root = |size: usize| tree_hash(&leaves[..size]);
    let (size, head, _) = tree_head(&world, &world.get_json("/ct/v1/get-sth").await);
    assert_eq!((size, head), (TreeSize(7), root(7)));
    for second in 1..=7_usize {
        let (new, signed) = (TreeSize(second as u64), root(second));
        for first in 0..=second {
            let path = format!("/ct/v1/get-sth-consistency?first={first}&second={second}");
            let proof = hashes(&world.get_json(&path).await["consistency"]);
            if first == 0 || first == second {
                assert!(proof.is_empty(), "{path}");
            } else {
                verify_consistency(TreeSize(first as u64), &root(first), new, &signed, &proof).unwrap();
            }
        }
        for (index, leaf) in leaves.iter().enumerate().take(second) {
            let by_hash = format!("/ct/v1/get-proof-by-hash?hash={}&tree_size={second}", escaped(leaf));
            let by_hash = world.get_json(&by_hash).await;
            let path = format!("/ct/v1/get-entry-and-proof?leaf_index={index}&tree_size={second}");
            let by_index = world.get_json(&path).await;
            assert_eq!(by_hash["leaf_index"], index, "{path}");
            assert_eq!(by_hash["audit_path"], by_index["audit_path"], "{path}");
            assert_eq!(leaf_hash(&decode(&by_index["leaf_input"])), *leaf, "{path}");
            let proof = hashes(&by_index["audit_path"]);
            verify_inclusion(leaf, LeafIndex(index as u64), new, &proof, &signed).unwrap();
        }
    }
    // §4.6: what is there of the range that was asked for, in order.
    let all = world.get_json("/ct/v1/get-entries?start=0&end=6").await["entries"].clone();
    for (start, end) in [(0, 0), (2, 4), (6, 6), (5, 7), (0, u64::MAX), (6, u64::MAX)] {
        let path = format!("/ct/v1/get-entries?start={start}&end={end}");
        let entries = world.get_json(&path).await["entries"].clone();
        let expect = &all.as_array().unwrap()[start..=usize::try_from(end.min(6)).unwrap()];
        assert_eq!(entries.as_array().unwrap(), expect, "{path}");
    }
}

/// §3.5: the time of a tree head is no earlier than that of any SCT in it, and later than that of the head before.
#[tokio::test]
async fn the_time_of_a_tree_head_only_grows() {
    let world = World::new().await;
    let mut before = tree_head(&world, &world.get_json("/ct/v1/get-sth").await).2;
    for (serial, moved) in (1..=4).zip([0, 1, -5, 3_600_000_i64]) {
        match u64::try_from(moved) {
            Ok(forward) => world.clock.advance_ms(forward),
            Err(_) => world.clock.set_back_ms(moved.unsigned_abs()),
        }
        let sct = world.add_pre_chain(&leaf(&world.ca, serial, Form::Precertificate).await).await;
        world.until_size(u64::from(serial)).await;
        let (_, _, time_ms) = tree_head(&world, &world.get_json("/ct/v1/get-sth").await);
        assert!(time_ms >= sct.timestamp_ms, "{serial}: a head of {time_ms} over an SCT of {}", sct.timestamp_ms);
        assert!(time_ms > before, "{serial}: {time_ms} after {before}");
        before = time_ms;
    }
}

#[tokio::test]
async fn questions_without_an_answer_are_refused() {
    let world = World::new().await.filled(3).await;
    let leaves = world.leaf_hashes().await;
    let hash = escaped(&leaves[2]);
    let (short, long) = (STANDARD.encode([0; 31]).replace('=', "%3D"), STANDARD.encode([0; 33]));
    let url_safe = STANDARD.encode([0xff; 32]).replace('/', "_").replace('=', "%3D");
    let unpadded = hash.trim_end_matches("%3D");
    let max = u64::MAX;
    world
        .check_status(
            &[
                "get-entries?end=1",
                "get-entries?start=2&end=1",
                "get-entries?start=3&end=3",
                &format!("get-entries?start={max}&end={max}"),
                "get-entries?start=0&end=18446744073709551616",
                "get-entries?start=0&end=",
                "get-entries?start=0x0&end=1",
                "get-entries?start=1e0&end=1",
                "get-entries?start=0&end=1&start=0",
                "get-sth-consistency?second=2",
                "get-sth-consistency?first=1&second=2&second=3",
                "get-sth-consistency?first=0&second=4",
                &format!("get-sth-consistency?first={max}&second={max}"),
                &format!("get-sth-consistency?first=1&second={max}"),
                &format!("get-proof-by-hash?hash={hash}"),
                &format!("get-proof-by-hash?hash={hash}&tree_size=0"),
                &format!("get-proof-by-hash?hash={hash}&tree_size=4"),
                &format!("get-proof-by-hash?hash={hash}&tree_size={max}"),
                &format!("get-proof-by-hash?hash={hash}&hash={hash}&tree_size=3"),
                &format!("get-proof-by-hash?hash={short}&tree_size=3"),
                &format!("get-proof-by-hash?hash={long}&tree_size=3"),
                &format!("get-proof-by-hash?hash={url_safe}&tree_size=3"),
                &format!("get-proof-by-hash?hash={unpadded}&tree_size=3"),
                "get-proof-by-hash?hash=&tree_size=3",
                "get-proof-by-hash?hash=%FF&tree_size=3",
                "get-entry-and-proof?tree_size=3",
                "get-entry-and-proof?leaf_index=0",
                "get-entry-and-proof?leaf_index=3&tree_size=3",
                "get-entry-and-proof?leaf_index=2&tree_size=2",
                "get-entry-and-proof?leaf_index=0&tree_size=4",
                &format!("get-entry-and-proof?leaf_index={max}&tree_size=3"),
            ],
            400,
        )
        .await;
    // A hash of no leaf, of an inner node, and of a leaf that this tree does not hold yet.
    let inner = escaped(&tree_hash(&leaves[..2]));
    let absent = escaped(&Hash([0xfb; 32]));
    for (hash, size) in [(&absent, 3), (&inner, 3), (&hash, 2)] {
        world.check_status(&[&format!("get-proof-by-hash?hash={hash}&tree_size={size}")], 404).await;
    }
    // A plus sign that came unescaped is one all the same.
    let unescaped = STANDARD.encode([0xfb; 32]);
    assert!(unescaped.contains('+'));
    world.check_status(&[&format!("get-proof-by-hash?hash={unescaped}&tree_size=3")], 404).await;
    for (method, path) in [("GET", "/ct/v1/add-chain"), ("GET", "/ct/v1/add-pre-chain"), ("POST", "/ct/v1/get-sth")] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.0, 405, "{method} {path}");
    }
}

/// Numbers are numbers and byte strings standard base64 with padding, as clients in strict languages read them.
#[tokio::test]
async fn replies_have_the_members_and_types_of_the_rfc() {
    let world = World::new().await.filled(1).await;
    let precertificate = leaf(&world.ca, 9, Form::Precertificate).await;
    let chain = [precertificate.der(), world.ca.chain[0].der()];
    let (_, sct) = world.add("/ct/v1/add-pre-chain", &chain).await;
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(members(&sct), "extensions id sct_version signature timestamp");
    assert_eq!(sct["sct_version"], Value::Number(Number::from(0)));
    assert_eq!(decode(&sct["id"]), world.log.public_key().spki_sha256());
    world.until_size(2).await;
    for (path, expect) in [
        ("get-sth", "sha256_root_hash timestamp tree_head_signature tree_size"),
        ("get-sth-consistency?first=1&second=2", "consistency"),
        ("get-entries?start=0&end=0", "entries"),
        ("get-roots", "certificates"),
        ("get-entry-and-proof?leaf_index=0&tree_size=2", "audit_path extra_data leaf_input"),
    ] {
        let (status, headers, body) = world.fetch(&format!("/ct/v1/{path}"), &[]).await;
        assert_eq!((status, &headers["content-type"]), (200, &"application/json".parse().unwrap()), "{path}");
        assert_eq!(members(&serde_json::from_slice(&body).unwrap()), expect, "{path}");
    }
}

/// The limits of a reply, and what is different once a tile is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_tile_is_kept_for_ever_and_a_reply_has_no_more_than_a_tile() {
    const ENTRIES: u16 = 260;
    let world = World::new().await;
    let submit = async |number: u16| {
        let precertificate = leaf(&world.ca, u8::try_from(number % 250).unwrap() + 1, Form::Precertificate).await;
        world.add_pre_chain(&precertificate).await
    };
    join_all((0..ENTRIES).map(submit)).await;
    world.until_size(u64::from(ENTRIES)).await;
    for (start, end, count) in [(0, 259, 256), (0, u64::MAX, 256), (100, 300, 160), (256, 259, 4), (3, 5, 3)] {
        let entries = world.get_json(&format!("/ct/v1/get-entries?start={start}&end={end}")).await;
        let first = decode(&entries["entries"][0]["leaf_input"]);
        let path = format!("/ct/v1/get-entry-and-proof?leaf_index={start}&tree_size={ENTRIES}");
        assert_eq!(first, decode(&world.get_json(&path).await["leaf_input"]), "{start}");
        assert_eq!(entries["entries"].as_array().unwrap().len(), count, "{start} to {end}");
    }

    let (tile, issuer) = ("application/octet-stream", "application/pkix-cert");
    let (_, data) = world.get("/tile/data/000").await;
    let logged = parse_data_tile(&data).unwrap();
    assert_eq!(logged.len(), 256);
    let (for_ever, minutes) = ("public, max-age=604800, immutable", "public, max-age=300");
    let fingerprint = format!("/issuer/{}", hex::encode(logged[0].fingerprints[0]));
    for (path, content_type, caching) in [
        ("/checkpoint", "text/plain; charset=utf-8", "no-store"),
        ("/tile/0/000", tile, for_ever),
        ("/tile/data/000", tile, for_ever),
        ("/tile/0/001.p/4", tile, minutes),
        ("/tile/data/001.p/4", tile, minutes),
        ("/tile/1/000.p/1", tile, minutes),
        (&fingerprint, issuer, for_ever),
    ] {
        let (status, headers, body) = world.fetch(path, &[]).await;
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!((status, header("content-type").as_str()), (200, content_type), "{path}");
        assert_eq!((header("cache-control").as_str(), body.is_empty()), (caching, false), "{path}");
        let known = headers["etag"].to_str().unwrap();
        assert_eq!(world.fetch(path, &[("if-none-match", known)]).await.0, 304, "{path}");
        // "Data tiles SHOULD be compressed at the HTTP layer"; who does not ask gets them plain.
        let (_, zipped, _) = world.fetch(path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(zipped.contains_key("content-encoding"), path.starts_with("/tile/data/"), "{path}");
    }
    // The tree that the tiles show is the one that is signed.
    let mut leaves: Vec<Hash> = Vec::new();
    for path in ["/tile/0/000", "/tile/0/001.p/4"] {
        leaves.extend(world.get(path).await.1.chunks(32).map(|hash| Hash::from_slice(hash).unwrap()));
    }
    assert_eq!(tree_head(&world, &world.get_json("/ct/v1/get-sth").await).1, tree_hash(&leaves));
    assert_eq!(world.get("/tile/1/000.p/1").await.1, tree_hash(&leaves[..256]).0);
    for absent in
        ["/tile/1/000", "/tile/0/001", "/tile/0/001.p/5", "/tile/data/001.p/5", "/tile/0/002.p/1", "/tile/2/000.p/1"]
    {
        assert_eq!(world.get(absent).await.0, 404, "{absent}");
    }
}

/// Each entry brings its whole chain along: long ones would make a reply of a tile's width larger than any client reads.
#[tokio::test]
async fn a_reply_of_long_entries_is_cut_short_between_them() {
    let ca = TestCa::named(&"x".repeat(15_000), SignedDuration::from_hours(24)).await;
    let world = World::of(ca, Validity::ANY).await.filled(100).await;
    let mut entries = Vec::new();
    let mut replies = 0;
    while entries.len() < 100 {
        let (_, body) = world.get(&format!("/ct/v1/get-entries?start={}&end=99", entries.len())).await;
        assert!(body.len() < 6 << 20, "{} bytes", body.len());
        let reply: Value = serde_json::from_slice(&body).unwrap();
        let got = reply["entries"].as_array().unwrap();
        assert!(!got.is_empty());
        entries.extend(got.iter().map(|entry| leaf_hash(&decode(&entry["leaf_input"]))));
        replies += 1;
    }
    assert!(replies > 1);
    assert_eq!(tree_head(&world, &world.get_json("/ct/v1/get-sth").await).1, tree_hash(&entries));
}
