// SPDX-License-Identifier: Apache-2.0
//! The CT log of a real instance, asked in both ways, and in front of it a proxy that lies: nothing but the promised leaf under a tree
//! head of the log passes, and what is wrong is told from what is not known.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_client::ct_inclusion::{
    self, Class, CtInclusionCheck, CtInclusionError, CtLogAddressError, CtLogAddresses,
};
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_sigstore::ct::inclusion::CtIncluded;
use touchmark_sigstore::verify::{self, VerifiedChain, VerifiedSct};
use touchmark_tlog::tile::TILE_WIDTH;
use url::Url;

use crate::support::Instance;

/// What a log, or a proxy before it, answers.
type Reply = (u16, Vec<u8>);

/// Changes the log's reply to a request for this path.
type Bend = dyn Fn(&str, Reply) -> Reply + Send + Sync;

/// A certificate whose path and SCT are verified.
struct Certified {
    chain: VerifiedChain,
    sct: VerifiedSct,
}

async fn certify(instance: &Instance) -> Certified {
    let credential = instance.certify_with(&instance.services).await.unwrap();
    let leaf = credential.issued().leaf();
    let chain = verify::chain(leaf, &instance.trusted_root, &[leaf.not_before()]).unwrap();
    let sct = verify::sct(&chain, &instance.trusted_root).unwrap();
    Certified { chain, sct }
}

fn origin(instance: &Instance) -> String {
    let [log] = instance.trusted_root.ctlogs() else { panic!("an instance has one CT log") };
    log.hostname().unwrap().to_owned()
}

/// Where the log of the instance really is.
fn address(instance: &Instance) -> String {
    format!("{}/log/{}", instance.url(), origin(instance))
}

async fn require_at(
    instance: &Instance,
    certified: &Certified,
    ct_log_url: &[String],
    demanded: usize,
) -> Result<Vec<CtIncluded>, CtInclusionError> {
    let addresses = CtLogAddresses::parse(ct_log_url).unwrap();
    let check = CtInclusionCheck {
        outbound: &instance.outbound,
        trusted_root: &instance.trusted_root,
        addresses: &addresses,
        demanded: NonZeroUsize::new(demanded).unwrap(),
    };
    ct_inclusion::require(&check, &certified.chain, &certified.sct, Timestamp::now()).await
}

/// A certificate that the log has merged: an SCT comes before the tree head that keeps its promise.
async fn merged(instance: &Instance) -> Certified {
    let certified = certify(instance).await;
    let begun = Instant::now();
    loop {
        match require_at(instance, &certified, &[address(instance)], 1).await {
            Ok(_) => return certified,
            Err(error) if error.class() == Class::NotYet => {
                assert!(begun.elapsed() < Duration::from_secs(20), "not merged: {error:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Starts a proxy before the log and returns its address.
async fn bent(instance: &Instance, bend: impl Fn(&str, Reply) -> Reply + Send + Sync + 'static) -> String {
    let upstream = address(instance);
    let bend: Arc<Bend> = Arc::new(bend);
    let outbound = Outbound::new("touchmark-test-proxy", Reach::Private, None);
    let router = axum::Router::new().fallback(move |uri: Uri| {
        let (bend, outbound, upstream) = (bend.clone(), outbound.clone(), upstream.clone());
        async move {
            let url = Url::parse(&format!("{upstream}{uri}")).unwrap();
            let reply = outbound.get(&url, &Limits::SERVICE).await.unwrap();
            let (status, body) = bend(uri.path(), (reply.status, reply.body));
            (StatusCode::from_u16(status).unwrap(), body)
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

const NOT_FOUND: Reply = (404, Vec::new());

/// A log that has no tiles: RFC 6962 alone, with replies changed by `bend`.
async fn rfc6962(instance: &Instance, bend: impl Fn(&str, Reply) -> Reply + Send + Sync + 'static) -> String {
    let only = move |path: &str, reply: Reply| if path.starts_with("/ct/v1/") { bend(path, reply) } else { NOT_FOUND };
    bent(instance, only).await
}

/// Class and code of the refusal.
async fn refusal(instance: &Instance, certified: &Certified, url: String) -> (Class, &'static str) {
    let error = require_at(instance, certified, &[url], 1).await.unwrap_err();
    assert!(!error.expected().is_empty() && !error.found().is_empty() && !error.to_string().is_empty());
    (error.class(), error.code())
}

/// An instance whose log has some leaves, and the last one's certificate.
async fn with_some_leaves() -> (Instance, Certified) {
    let instance = Instance::start().await;
    for _ in 0..4 {
        certify(&instance).await;
    }
    let certified = merged(&instance).await;
    (instance, certified)
}

#[tokio::test]
async fn a_certificate_is_proved_in_tiles_and_by_hash_alike() {
    let (instance, certified) = with_some_leaves().await;
    let (origin, address) = (origin(&instance), address(&instance));
    let by_hash = rfc6962(&instance, |_, reply| reply).await;
    for url in [address.clone(), format!("{address}/"), format!("{origin}={address}"), by_hash] {
        let proved = require_at(&instance, &certified, std::slice::from_ref(&url), 1).await.unwrap();
        let [proved] = proved.as_slice() else { panic!("one log") };
        assert_eq!(proved.log_id(), instance.trusted_root.ctlogs()[0].log_id());
        assert_eq!((proved.origin(), proved.index().0), (origin.as_str(), 4), "{url}");
        assert!(proved.tree_size().0 >= 5 && proved.tree_head_time() <= Timestamp::now());
    }
    let anywhere = format!("{}/log/{{origin}}", instance.url());
    let elsewhere = "other.example=http://127.0.0.1:1".to_owned();
    assert!(require_at(&instance, &certified, &[elsewhere, anywhere], 1).await.is_ok());
}

#[tokio::test]
async fn logs_are_counted_once_each() {
    let (instance, certified) = with_some_leaves().await;
    let error = require_at(&instance, &certified, &[address(&instance)], 2).await.unwrap_err();
    assert!(matches!(error, CtInclusionError::TooFewLogs { demanded: 2, promised: 1 }), "{error}");
    assert_eq!((error.class(), error.code()), (Class::Wrong, "ct_too_few_logs"));
}

#[tokio::test]
async fn a_log_that_cannot_be_asked_leaves_the_answer_open_and_says_what_helps() {
    let (instance, certified) = with_some_leaves().await;
    // The base URL in the trusted root is a name, no address.
    let error = require_at(&instance, &certified, &[], 1).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (Class::Network, "ct_log_unreachable"));
    let next = error.next_step().unwrap();
    assert!(next.contains(&format!("--ct-log-url {}=URL", origin(&instance))), "{next}");
    let unreachable = (Class::Network, "ct_log_unreachable");
    for status in [403, 404, 429, 500, 503] {
        let url = bent(&instance, move |_, _| (status, b"no".to_vec())).await;
        assert_eq!(refusal(&instance, &certified, url).await, unreachable, "{status}");
    }
    for what in ["/checkpoint", "/tile/", "/ct/v1/get-sth", "/ct/v1/get-proof-by-hash"] {
        let flood = move |path: &str, reply: Reply| {
            if path.starts_with(what) { (200, vec![b'x'; 70_000]) } else { reply }
        };
        let url = if what.starts_with("/ct") { rfc6962(&instance, flood).await } else { bent(&instance, flood).await };
        assert_eq!(refusal(&instance, &certified, url).await, unreachable, "{what}");
    }
}

#[test]
fn addresses_that_cannot_be_used_are_refused() {
    for bad in ["ftp://ct.example", "ct.example", "a=", "a=b", "http://", "", "=", "http://ct.example?a=b"] {
        let refused = CtLogAddresses::parse(&[bad]).unwrap_err();
        assert_eq!(refused, CtLogAddressError::NoAddress { text: bad.to_owned() });
    }
    for twice in [["http://a", "http://b"], ["a=http://a", "a=http://b"]] {
        let refused = CtLogAddresses::parse(&twice).unwrap_err();
        assert_eq!(refused, CtLogAddressError::Twice { text: twice[1].to_owned() });
    }
    assert!(CtLogAddresses::parse(&["http://a", "b=http://b", "c.example/d=https://e:8080/{origin}"]).is_ok());
    assert_eq!(CtLogAddresses::parse::<&str>(&[]), Ok(CtLogAddresses::of_trusted_root()));
}

#[tokio::test]
async fn a_log_that_shows_an_older_tree_has_not_merged_the_certificate_yet() {
    let (instance, certified) = with_some_leaves().await;
    let (checkpoint, head) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let replays = |kept: &Arc<Mutex<Option<Reply>>>, what: &'static str| {
        let kept = kept.clone();
        move |path: &str, reply: Reply| {
            if path == what { kept.lock().unwrap().get_or_insert(reply).clone() } else { reply }
        }
    };
    let tiles = bent(&instance, replays(&checkpoint, "/checkpoint")).await;
    let by_hash = rfc6962(&instance, replays(&head, "/ct/v1/get-sth")).await;
    for url in [&tiles, &by_hash] {
        require_at(&instance, &certified, std::slice::from_ref(url), 1).await.unwrap();
    }
    let newer = merged(&instance).await;
    for url in [tiles, by_hash] {
        let error = require_at(&instance, &newer, std::slice::from_ref(&url), 1).await.unwrap_err();
        assert_eq!((error.class(), error.code()), (Class::NotYet, "ct_not_merged_yet"), "{url}");
        assert!(error.next_step().unwrap().contains("maximum merge delay"));
        // What the older tree has, it still proves.
        require_at(&instance, &certified, &[url], 1).await.unwrap();
    }
}

#[tokio::test]
async fn another_tree_head_is_refused() {
    let (instance, certified) = with_some_leaves().await;
    let stranger = Instance::start().await;
    merged(&stranger).await;
    // Another log at the address: the trusted root says who signs, not the address.
    let (class, code) = refusal(&instance, &certified, address(&stranger)).await;
    assert_eq!((class, code), (Class::Wrong, "ct_origin_mismatch"));
    let foreign = rfc6962(&stranger, |_, reply| reply).await;
    let invalid = (Class::Wrong, "ct_tree_head_signature_invalid");
    assert_eq!(refusal(&instance, &certified, foreign).await, invalid);

    let bends: [fn(String) -> String; 3] = [
        |note| note.replacen('\n', "\n1", 1),
        |note| {
            let mut lines: Vec<&str> = note.lines().collect();
            let root = STANDARD.encode([7; 32]);
            lines[2] = &root;
            lines.join("\n") + "\n"
        },
        |note| {
            let (text, signature) = note.trim_end().rsplit_once(' ').unwrap();
            let mut bytes = STANDARD.decode(signature).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            format!("{text} {}\n", STANDARD.encode(bytes))
        },
    ];
    for bend in bends {
        let url = bent(&instance, move |path, (status, body)| match path {
            "/checkpoint" => (status, bend(String::from_utf8(body).unwrap()).into_bytes()),
            _ => (status, body),
        });
        assert_eq!(refusal(&instance, &certified, url.await).await, invalid);
    }
    let edits: [fn(&mut Value); 3] = [
        |head| head["tree_size"] = json!(head["tree_size"].as_u64().unwrap() + 1),
        |head| head["timestamp"] = json!(head["timestamp"].as_u64().unwrap() + 1),
        |head| head["sha256_root_hash"] = json!(STANDARD.encode([7; 32])),
    ];
    for edit in edits {
        let url = rfc6962(&instance, edits_json("/ct/v1/get-sth", edit)).await;
        assert_eq!(refusal(&instance, &certified, url).await, invalid);
    }
    for url in [bent(&instance, |_, _| (200, Vec::new())).await, rfc6962(&instance, |_, _| (200, b"{}".to_vec())).await]
    {
        assert_eq!(refusal(&instance, &certified, url).await.0, Class::Wrong);
    }
}

fn edits_json(what: &'static str, edit: fn(&mut Value)) -> impl Fn(&str, Reply) -> Reply {
    move |path, (status, body)| {
        if path != what {
            return (status, body);
        }
        let mut value = serde_json::from_slice(&body).unwrap();
        edit(&mut value);
        (status, serde_json::to_vec(&value).unwrap())
    }
}

#[tokio::test]
async fn tiles_and_proofs_of_another_tree_are_refused() {
    let (instance, certified) = with_some_leaves().await;
    type Cut = fn(Vec<u8>) -> Vec<u8>;
    type Edit = fn(&mut Value);
    let bends: [(&str, Cut); 5] = [
        ("ct_proof_malformed", |tile| tile[..tile.len() - 1].to_vec()),
        ("ct_proof_malformed", |_| Vec::new()),
        ("ct_proof_malformed", |tile| [tile, vec![0; 32]].concat()),
        ("ct_inclusion_invalid", |tile| [vec![tile[0] ^ 1], tile[1..].to_vec()].concat()),
        ("ct_inclusion_invalid", |tile| vec![0; tile.len()]),
    ];
    for (code, cut) in bends {
        let url = bent(
            &instance,
            move |path, (status, body)| {
                if path.starts_with("/tile/") { (status, cut(body)) } else { (status, body) }
            },
        );
        assert_eq!(refusal(&instance, &certified, url.await).await, (Class::Wrong, code));
    }
    let edits: [(&str, Edit); 5] = [
        ("ct_inclusion_invalid", |proof| proof["audit_path"] = json!([])),
        ("ct_inclusion_invalid", |proof| proof["audit_path"][0] = json!(STANDARD.encode([7; 32]))),
        ("ct_proof_malformed", |proof| proof["audit_path"][0] = json!("AAAA")),
        ("ct_proof_malformed", |proof| proof["audit_path"] = json!(vec![STANDARD.encode([7; 32]); 65])),
        ("ct_index_mismatch", |proof| proof["leaf_index"] = json!(0)),
    ];
    for (code, edit) in edits {
        let url = rfc6962(&instance, edits_json("/ct/v1/get-proof-by-hash", edit)).await;
        assert_eq!(refusal(&instance, &certified, url).await, (Class::Wrong, code));
    }
    // A log that does not find the hash has not merged it.
    let url = rfc6962(&instance, |path, reply| if path.ends_with("hash") { NOT_FOUND } else { reply }).await;
    assert_eq!(refusal(&instance, &certified, url).await, (Class::NotYet, "ct_not_merged_yet"));
}

/// The log has the leaf, but the certificate that is asked about is another one of the same authority.
#[tokio::test]
async fn the_promise_of_another_certificate_proves_nothing() {
    let (instance, certified) = with_some_leaves().await;
    let other = merged(&instance).await;
    let swapped = Certified { chain: certified.chain, sct: other.sct };
    let (class, code) = refusal(&instance, &swapped, address(&instance)).await;
    assert_eq!((class, code), (Class::Wrong, "ct_promise_broken"));
    let by_hash = rfc6962(&instance, |_, reply| reply).await;
    assert_eq!(refusal(&instance, &swapped, by_hash).await, (Class::NotYet, "ct_not_merged_yet"));
}

#[tokio::test]
async fn a_log_that_keeps_no_partial_tiles_is_asked_for_the_full_one() {
    let (instance, certified) = with_some_leaves().await;
    let partial = Arc::new(Mutex::new(None));
    let url = bent(&instance, move |path, reply| {
        if !path.starts_with("/tile/") {
            return reply;
        }
        let mut partial = partial.lock().unwrap();
        if path.contains(".p/") {
            *partial = Some(reply.1);
            return NOT_FOUND;
        }
        let mut tile: Vec<u8> = partial.take().unwrap();
        tile.resize(usize::from(TILE_WIDTH) * 32, 7);
        (200, tile)
    });
    require_at(&instance, &certified, &[url.await], 1).await.unwrap();
}
