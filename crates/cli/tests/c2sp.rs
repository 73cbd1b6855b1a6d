// SPDX-License-Identifier: Apache-2.0
//! A generic C2SP client reads and verifies the log of signatures of a real process: the crates `tlog_tiles` and `signed_note`, which know nothing of Sigstore.
//!
//! Held here: the checkpoint is a note that the log's Ed25519 key signed; the tiles have its root; it is consistent with an earlier one; every entry bundle
//! parses, and each of its leaves stands in the tree at its index; every acknowledged entry is among them. A flipped bit of a tile, another key and another
//! leaf are noticed. Out of scope: the certificate transparency log, whose leaves need a client of their own (`tests/static-ct-client`).
//! Nothing of `touchmark_tlog` is used.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record,
    prove_tree, record_hash, stored_hash_index, tree_hash,
};
use touchmark_outbound::{Limits, Outbound, Reach};
use touchmark_testing::load;
use touchmark_testing::process::{ServerProcess, free_port};
use url::Url;

/// Entries before the first checkpoint that is kept, and in all: more than a full tile, so that both kinds of tile are read.
const EARLY: usize = 5;
const ENTRIES: usize = 270;
/// c2sp.org/tlog-tiles: the height of every tile.
const HEIGHT: u8 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generic_client_verifies_the_whole_log() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data_dir = dir.path().join("data");
    let binary = Path::new(env!("CARGO_BIN_EXE_touchmark"));
    let port = free_port().expect("a free port");
    let server = ServerProcess::start(binary, &data_dir, port).await.expect("the server starts");
    let (name, vkey) = log_of(&data_dir);
    let reader = Reader::new(server.url().join(&format!("log/{name}/")).expect("a log address"));

    let mut acknowledged = append(server.url(), 0..EARLY).await;
    let early = open(&name, &vkey, &reader.get("checkpoint").expect("a checkpoint")).expect("an early checkpoint");
    acknowledged.extend(append(server.url(), EARLY..ENTRIES).await);
    let note = reader.get("checkpoint").expect("a checkpoint");
    let late = open(&name, &vkey, &note).expect("a checkpoint of the log");
    assert_eq!((early.size(), late.size()), (EARLY as u64, ENTRIES as u64));

    let hashes = TileHashReader::new(late.size(), *late.hash(), &reader);
    assert_eq!(tree_hash(late.size(), &hashes).expect("tiles under the root"), *late.hash());
    let proof = prove_tree(late.size(), early.size(), &hashes).expect("a consistency proof out of tiles");
    check_tree(&proof, late.size(), *late.hash(), early.size(), *early.hash()).expect("the log extends itself");

    let leaves = reader.leaves(late.size());
    for (index, leaf) in (0u64..).zip(&leaves) {
        let proof = prove_record(late.size(), index, &hashes).expect("an inclusion proof out of tiles");
        check_record(&proof, late.size(), *late.hash(), index, record_hash(leaf)).expect("the leaf is in the tree");
        let other = record_hash(&[leaf.as_slice(), b" "].concat());
        check_record(&proof, late.size(), *late.hash(), index, other).expect_err("another leaf is not");
    }
    for (index, leaf) in acknowledged {
        assert_eq!(leaves.get(index), Some(&leaf), "the acknowledged entry {index}");
    }

    other_bits_and_keys_are_noticed(&reader, &name, &note, &late);
    assert!(server.stop().await.expect("the server stops").success());
}

/// What the client above would also accept is worth nothing.
fn other_bits_and_keys_are_noticed(reader: &Reader, name: &str, note: &[u8], late: &Checkpoint) {
    let lying = TileHashReader::new(late.size(), *late.hash(), reader);
    let indexes = [stored_hash_index(0, 7)];
    lying.read_hashes(&indexes).expect("an honest tile");
    reader.tampered.set(true);
    assert!(matches!(lying.read_hashes(&indexes), Err(Error::InconsistentTile)), "a tile with a flipped bit");
    // RFC 8032 §5.1: the base point, a key as good as any.
    let mut key = [&[1u8][..], &[0x66; 32]].concat();
    key[1] = 0x58;
    open(name, &vkey(name, &key), note).map(|_| ()).expect_err("a stranger's key");
}

/// The log's name and its key as c2sp.org/signed-note writes it, from the trusted root alone.
fn log_of(data_dir: &Path) -> (String, String) {
    let root = std::fs::read(data_dir.join("client/trusted_root.json")).expect("a trusted root");
    let root: Value = serde_json::from_slice(&root).expect("a trusted root");
    let text = |pointer| root.pointer(pointer).and_then(Value::as_str).expect("a member of the log");
    let name = text("/tlogs/0/baseUrl").trim_start_matches("http://").to_owned();
    let spki = STANDARD.decode(text("/tlogs/0/publicKey/rawBytes")).expect("base64");
    // RFC 8410 §4: the key is the last 32 bytes.
    let (_, key) = spki.split_last_chunk::<32>().expect("an Ed25519 key");
    let vkey = vkey(&name, &[&[1u8][..], key].concat());
    (name, vkey)
}

fn vkey(name: &str, key: &[u8]) -> String {
    format!("{name}+{:08x}+{}", signed_note::key_id(name, key), STANDARD.encode(key))
}

/// A checkpoint of this log that this key signed.
fn open(name: &str, vkey: &str, note: &[u8]) -> Result<Checkpoint, String> {
    let verifier = StandardVerifier::new(vkey).map_err(|error| error.to_string())?;
    let note = Note::from_bytes(note).map_err(|error| error.to_string())?;
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin() == name { Ok(checkpoint) } else { Err(format!("origin {}", checkpoint.origin())) }
}

/// Appends entries one after the other; each with its index and leaf, as the reply said.
async fn append(url: &Url, serials: std::ops::Range<usize>) -> Vec<(usize, Vec<u8>)> {
    let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
    let url = url.join("api/v2/log/entries").expect("a path");
    let key = load::LoadKey::generate();
    let mut appended = Vec::new();
    for serial in serials {
        let request = load::entry_request(&key, &serial.to_be_bytes());
        let reply = load::post_json(&outbound, &url, request.body).await.expect("a reply");
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        let entry = load::json_of(&reply).expect("JSON");
        let index = entry.pointer("/logIndex").and_then(Value::as_str).expect("an index").parse().expect("a number");
        let leaf = entry.pointer("/canonicalizedBody").and_then(Value::as_str).expect("a leaf");
        appended.push((index, STANDARD.decode(leaf).expect("base64")));
    }
    appended
}

/// Tiles over HTTP, each fetched once.
struct Reader {
    base: Url,
    outbound: Outbound,
    fetched: RefCell<HashMap<String, Vec<u8>>>,
    /// Flips a bit in every tile.
    tampered: Cell<bool>,
}

impl Reader {
    fn new(base: Url) -> Self {
        let outbound = Outbound::new("touchmark-testing", Reach::Private, None);
        Self { base, outbound, fetched: RefCell::default(), tampered: Cell::new(false) }
    }

    fn get(&self, path: &str) -> Option<Vec<u8>> {
        let url = self.base.join(path).expect("a path joins");
        let fetch = self.outbound.get(&url, &Limits::SERVICE);
        let reply = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(fetch));
        reply.ok().filter(|reply| reply.status == 200).map(|reply| reply.body)
    }

    /// c2sp.org/tlog-tiles "Log entries": each entry after its length in two bytes.
    fn leaves(&self, size: u64) -> Vec<Vec<u8>> {
        let mut leaves = Vec::new();
        for first in (0..size).step_by(256) {
            let tile = Tile::from_index(HEIGHT, stored_hash_index(0, first)).parent(0, size).expect("a tile");
            let path = path(&tile).replacen("tile/0/", "tile/entries/", 1);
            let bundle = self.get(&path).expect("an entry bundle");
            let mut rest = bundle.as_slice();
            for _ in 0..tile.width() {
                let (length, after) = rest.split_first_chunk::<2>().expect("a length");
                let (leaf, after) = after.split_at(u16::from_be_bytes(*length).into());
                leaves.push(leaf.to_vec());
                rest = after;
            }
            assert!(rest.is_empty(), "{path} has more bytes than entries");
        }
        leaves
    }
}

/// The crate's paths name the height, which tlog-tiles leaves out.
fn path(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1)
}

impl TileReader for Reader {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            let path = path(tile);
            let known = self.fetched.borrow().get(&path).cloned();
            let mut bytes = match known {
                Some(bytes) => bytes,
                None => self.get(&path).ok_or(Error::BadMath)?,
            };
            self.fetched.borrow_mut().insert(path, bytes.clone());
            if self.tampered.get() {
                bytes[0] ^= 1;
            }
            Ok(bytes)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}
