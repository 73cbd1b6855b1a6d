// SPDX-License-Identifier: Apache-2.0
//! A generic client reads and verifies the certificate transparency log of a running instance, with the crates `static_ct_api`, `tlog_tiles` and
//! `signed_note`, which know nothing of Sigstore, and with no line of the product.
//!
//! `static-ct-client <service URL> <trusted_root.json> <token> <email>`: asks for more certificates than a tile holds, so that the log has entries; submits some of
//! them; then reads the whole log. Held here: the checkpoint has an RFC 6962 note signature of the log's key; the tiles have its root; it is consistent with an
//! earlier one; every leaf of every data tile parses, names its own index and stands in the tree; every issuer that a leaf names is served; the SCT of a submission has
//! the leaf index extension, is signed over the leaf at that index, and a second submission gets the same. A flipped bit of a tile and another key are noticed.

mod http;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use signed_note::{Note, VerifierList};
use static_ct_api::{Extensions, LogEntry, RFC6962Verifier, TileIterator, log_id_from_key, tile_path};
use tlog_tiles::{
    Checkpoint, HashReader as _, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
    record_hash, stored_hash_index, tree_hash,
};

/// More than a tile is wide, so that full and partial tiles are read.
const CERTIFICATES: usize = 262;
/// How many of them are submitted once more, as certificates with a chain.
const SUBMISSIONS: usize = 3;
const HEIGHT: u8 = 8;
/// The checkpoint follows the SCT; this is far more than it takes.
const CHECKPOINT_TRIES: usize = 500;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, root, token, email] = arguments.as_slice() else {
        return Err("usage: static-ct-client <service URL> <trusted_root.json> <token> <email>".into());
    };
    let root: Value = serde_json::from_slice(&std::fs::read(root)?)?;
    let log = Log::new(url, &root)?;

    let chains = (0..CERTIFICATES).map(|_| certificate(url, token, email)).collect::<Outcome<Vec<_>>>()?;
    let early = log.checkpoint_after(0)?;
    let submitted = chains.iter().take(SUBMISSIONS).map(|chain| log.submit(chain)).collect::<Outcome<Vec<_>>>()?;
    let last = submitted.iter().map(|entry| entry.leaf_index).max().ok_or("nothing was submitted")?;
    let late = log.checkpoint_after(last)?;
    demand(early.size() < late.size(), "the log did not grow")?;

    let hashes = TileHashReader::new(late.size(), *late.hash(), &log);
    demand(tree_hash(late.size(), &hashes)? == *late.hash(), "the tiles have another root")?;
    let proof = prove_tree(late.size(), early.size(), &hashes)?;
    check_tree(&proof, late.size(), *late.hash(), early.size(), *early.hash())?;

    let entries = log.entries(late.size())?;
    let mut issuers = BTreeSet::new();
    for (index, entry) in (0..).zip(&entries) {
        demand(entry.leaf_index == index, "a leaf names another index than its own")?;
        let proof = prove_record(late.size(), index, &hashes)?;
        check_record(&proof, late.size(), *late.hash(), index, record_hash(&entry.merkle_tree_leaf()))?;
        let other = LogEntry { timestamp: entry.timestamp + 1, ..entry.clone() };
        let refused = check_record(&proof, late.size(), *late.hash(), index, record_hash(&other.merkle_tree_leaf()));
        demand(refused.is_err(), "a leaf with another time is accepted")?;
        issuers.extend(entry.chain_fingerprints.iter().copied());
    }
    demand(entries.iter().filter(|entry| entry.is_precert).count() >= CERTIFICATES, "a precertificate is missing")?;
    for entry in &submitted {
        demand(entries.get(usize::try_from(entry.leaf_index)?) == Some(entry), "a submission is not what was logged")?;
    }
    for fingerprint in &issuers {
        let der = log.get(&format!("issuer/{}", hex::encode(fingerprint)))?;
        demand(Sha256::digest(&der)[..] == fingerprint[..], "an issuer is served under another name")?;
    }
    log.notices_lies(&late)?;
    println!(
        "static-ct-client: {} leaves, {} issuers, {} submissions: ok",
        entries.len(),
        issuers.len(),
        submitted.len()
    );
    Ok(())
}

fn demand(holds: bool, otherwise: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// A log as its trusted root describes it.
struct Log {
    name: String,
    base: String,
    key: VerifyingKey,
    fetched: RefCell<HashMap<String, Vec<u8>>>,
    /// Flips a bit in every tile.
    tampered: Cell<bool>,
}

impl Log {
    fn new(url: &str, root: &Value) -> Outcome<Self> {
        let text = |pointer| root.pointer(pointer).and_then(Value::as_str).ok_or("the trusted root names no CT log");
        let name = text("/ctlogs/0/baseUrl")?.trim_start_matches("http://").to_owned();
        let key = VerifyingKey::from_public_key_der(&STANDARD.decode(text("/ctlogs/0/publicKey/rawBytes")?)?)?;
        let base = format!("{url}/log/{name}");
        Ok(Self { name, base, key, fetched: RefCell::default(), tampered: Cell::new(false) })
    }

    fn get(&self, path: &str) -> Outcome<Vec<u8>> {
        match http::get(&format!("{}/{path}", self.base))? {
            (200, body) => Ok(body),
            (status, _) => Err(format!("GET {path}: {status}").into()),
        }
    }

    fn open(&self, note: &[u8], key: &VerifyingKey) -> Outcome<Checkpoint> {
        let note = Note::from_bytes(note)?;
        note.verify(&VerifierList::new(vec![Box::new(RFC6962Verifier::new(&self.name, key)?)]))?;
        let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
        demand(checkpoint.origin() == self.name, "another origin")?;
        demand(checkpoint.extension().is_empty(), "a checkpoint of a CT log has no extension lines")?;
        Ok(checkpoint)
    }

    /// A checkpoint whose tree has the entry at this index.
    fn checkpoint_after(&self, index: u64) -> Outcome<Checkpoint> {
        for _ in 0..CHECKPOINT_TRIES {
            let checkpoint = self.open(&self.get("checkpoint")?, &self.key)?;
            if checkpoint.size() > index {
                return Ok(checkpoint);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Err(format!("no checkpoint covers the entry {index}").into())
    }

    /// Submits a chain twice, checks the SCTs, and returns the entry that they promise.
    fn submit(&self, chain: &[Vec<u8>]) -> Outcome<LogEntry> {
        let body = json!({ "chain": chain.iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>() }).to_string();
        let url = format!("{}/ct/v1/add-chain", self.base);
        let first = self.promised(chain, &http::post(&url, body.as_bytes())?)?;
        let again = self.promised(chain, &http::post(&url, body.as_bytes())?)?;
        demand(first == again, "a duplicate got another SCT")?;
        Ok(first)
    }

    fn promised(&self, chain: &[Vec<u8>], (status, body): &(u16, Vec<u8>)) -> Outcome<LogEntry> {
        demand(*status == 200, &format!("add-chain: {status} {}", String::from_utf8_lossy(body)))?;
        let reply: Value = serde_json::from_slice(body)?;
        let bytes = |member| STANDARD.decode(reply.get(member).and_then(Value::as_str).unwrap_or_default());
        demand(reply["sct_version"] == 0, "an SCT of another version")?;
        demand(bytes("id")? == log_id_from_key(&self.key)?, "an SCT of another log")?;
        let (leaf, issuers) = chain.split_first().ok_or("an empty chain")?;
        let entry = LogEntry {
            certificate: leaf.clone(),
            chain_fingerprints: issuers.iter().map(|der| Sha256::digest(der).into()).collect(),
            leaf_index: Extensions::from_bytes(&bytes("extensions")?)?.leaf_index,
            timestamp: reply["timestamp"].as_u64().ok_or("an SCT without a time")?,
            ..LogEntry::default()
        };
        demand(bytes("extensions")?.len() == 8, "another extension than the leaf index")?;
        // RFC 6962 §3.2: SHA-256, ECDSA, the length, the signature. What is signed begins with version and type, which are 0 as those of the leaf.
        let signature = bytes("signature")?;
        let signature = signature.strip_prefix(&[4, 3]).and_then(|rest| rest.get(2..)).ok_or("another algorithm")?;
        self.key.verify(&entry.merkle_tree_leaf(), &Signature::from_der(signature)?)?;
        Ok(entry)
    }

    fn entries(&self, size: u64) -> Outcome<Vec<LogEntry>> {
        let mut entries = Vec::new();
        for first in (0..size).step_by(256) {
            let mut tile = Tile::from_index(HEIGHT, stored_hash_index(0, first)).parent(0, size).ok_or("no tile")?;
            tile.set_is_data();
            let width = usize::try_from(tile.width())?;
            let tile_bytes = self.get(&tile_path(&tile))?;
            let read = TileIterator::new(tile_bytes.clone(), width).collect::<Result<Vec<_>, _>>()?;
            let written: Vec<u8> = read.iter().flat_map(LogEntry::tile_leaf).collect();
            demand(written == tile_bytes, "a data tile has other bytes than its leaves")?;
            entries.extend(read);
        }
        Ok(entries)
    }

    /// What this client would also accept is worth nothing.
    fn notices_lies(&self, late: &Checkpoint) -> Outcome<()> {
        let reader = TileHashReader::new(late.size(), *late.hash(), self);
        reader.read_hashes(&[stored_hash_index(0, 1)])?;
        self.tampered.set(true);
        let read = reader.read_hashes(&[stored_hash_index(0, 1)]);
        demand(matches!(read, Err(tlog_tiles::Error::InconsistentTile)), "a tile with a flipped bit is accepted")?;
        let stranger = SigningKey::random(&mut rand::rngs::OsRng);
        let opened = self.open(&self.get("checkpoint")?, stranger.verifying_key());
        demand(opened.is_err(), "a checkpoint is accepted under a stranger's key")
    }
}

impl TileReader for Log {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let path = tile_path(tile);
            let known = self.fetched.borrow().get(&path).cloned();
            let mut bytes = match known {
                Some(bytes) => bytes,
                None => self.get(&path).map_err(|_| tlog_tiles::Error::BadMath)?,
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

/// Asks the authority for a certificate of a fresh key: the chain in DER, leaf first.
fn certificate(url: &str, token: &str, email: &str) -> Outcome<Vec<Vec<u8>>> {
    let key = SigningKey::random(&mut rand::rngs::OsRng);
    let proof: Signature = key.sign(email.as_bytes());
    let body = json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": key.verifying_key().to_public_key_pem(LineEnding::LF)? },
            "proofOfPossession": STANDARD.encode(proof.to_der()),
        },
    });
    let (status, reply) = http::post(&format!("{url}/api/v2/signingCert"), body.to_string().as_bytes())?;
    demand(status == 200, &format!("signingCert: {status} {}", String::from_utf8_lossy(&reply)))?;
    let reply: Value = serde_json::from_slice(&reply)?;
    let chain = reply.pointer("/signedCertificateEmbeddedSct/chain/certificates").and_then(Value::as_array);
    let chain = chain.ok_or("the authority returned no chain")?;
    chain.iter().map(|pem| der(pem.as_str().unwrap_or_default())).collect()
}

fn der(pem: &str) -> Outcome<Vec<u8>> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(STANDARD.decode(base64)?)
}
