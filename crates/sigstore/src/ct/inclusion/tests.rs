// SPDX-License-Identifier: Apache-2.0
//! Inclusion under the tree heads of a log of our own, and what is refused: every claim of the log is bent in turn.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use touchmark_keys::KeyType;
use touchmark_tlog::Frontier;
use touchmark_tlog::note::NoteError;
use touchmark_tlog::tile::TileError;

use super::*;
use crate::ct::{digitally_signed, leaf_index_extension, parse_sct_list};
use crate::issue::authority::CaProfile;
use crate::trust::ValidFor;
use crate::workshop::{self, Key, alice, below, days, leaf_template, noon, root};

const ORIGIN: &str = "ct2026-1.0123abcd.touchmark.localhost";

/// A log in memory: its key, and the nodes of its tree.
struct Log {
    key: Key,
    trusted: TransparencyLog,
    tree: Frontier,
    nodes: BTreeMap<NodeId, Hash>,
}

impl Log {
    /// A log of `size` leaves. The leaf `n` is the number, but for those that are given.
    fn with_leaves(key_type: KeyType, size: u64, leaves: &[(u64, Hash)]) -> Self {
        let key = Key::new(key_type);
        let public = key.public();
        let trusted = TransparencyLog::new(
            format!("http://{ORIGIN}"),
            public.spki_sha256(),
            public,
            key.scheme(),
            ValidFor::since(noon() - days(1)),
        );
        let (mut tree, mut nodes) = (Frontier::new(), BTreeMap::new());
        for number in 0..size {
            let given = leaves.iter().find(|(index, _)| *index == number).map(|(_, hash)| *hash);
            let hash = given.unwrap_or_else(|| leaf_hash(&number.to_be_bytes()));
            tree.append(&hash, |node, hash| {
                nodes.insert(node, hash);
            });
        }
        Self { key, trusted, tree, nodes }
    }

    fn promised(&self, index: Option<u64>) -> PromisedLeaf<'_> {
        let index = index.map(LeafIndex);
        PromisedLeaf { log: &self.trusted, hash: leaf_hash(b"the certificate"), promised_at: noon(), index }
    }

    fn checkpoint(&self, time: Timestamp) -> Vec<u8> {
        self.checkpoint_of(ORIGIN, self.tree.root(), time)
    }

    fn checkpoint_of(&self, origin: &str, root: Hash, time: Timestamp) -> Vec<u8> {
        let checkpoint = Checkpoint { origin: origin.into(), size: self.tree.size(), root, extensions: Vec::new() };
        let key = NoteKey::new(origin, NoteAlgorithm::Rfc6962, self.key.public()).unwrap();
        let time_ms = Some(u64::try_from(time.as_millisecond()).unwrap());
        let text = checkpoint.to_text();
        let signature = self.key.sign(&key.signed_message(&text, time_ms).unwrap());
        SignedNote::new(text, vec![key.wrap(signature, time_ms).unwrap()]).unwrap().to_bytes()
    }

    fn tree_head(&self, time: Timestamp) -> SignedTreeHead {
        let (size, root) = (self.tree.size(), self.tree.root());
        let timestamp = u64::try_from(time.as_millisecond()).unwrap();
        let signature = self.key.sign(&tree_head_signed_bytes(timestamp, size, &root));
        let scheme = SctScheme::of_key(&self.key.public()).unwrap();
        SignedTreeHead {
            tree_size: size.0,
            timestamp,
            sha256_root_hash: root.0.to_vec(),
            tree_head_signature: digitally_signed(scheme, &signature),
        }
    }

    fn proof_by_hash(&self, index: u64) -> ProofByHash {
        let plan = inclusion_plan(LeafIndex(index), self.tree.size()).unwrap();
        let hashes: Vec<Hash> = plan.nodes().iter().map(|node| self.nodes[node]).collect();
        let audit_path = plan.assemble(&hashes).iter().map(|hash| hash.0.to_vec()).collect();
        ProofByHash { leaf_index: index, audit_path }
    }

    fn tile(&self, tile: &Tile) -> Vec<u8> {
        tile.nodes().flat_map(|node| self.nodes[&node].0).collect()
    }

    fn tiles(&self, sought: &SoughtInTiles<'_>) -> Vec<Vec<u8>> {
        sought.tiles().iter().map(|tile| self.tile(tile)).collect()
    }
}

fn later() -> Timestamp {
    noon() + SignedDuration::from_secs(2)
}

fn a_log(size: u64, index: u64) -> Log {
    Log::with_leaves(KeyType::EcdsaP256, size, &[(index, leaf_hash(b"the certificate"))])
}

fn in_tiles(log: &Log, index: u64) -> SoughtInTiles<'_> {
    let sought = log.promised(Some(index)).under_checkpoint(&log.checkpoint(later()), later()).unwrap();
    sought.into_tiles().unwrap()
}

#[test]
fn leaves_are_proved_by_tiles_and_by_hash_at_every_place_of_trees_of_all_shapes() {
    for size in [1, 2, 3, 255, 256, 257, 512, 513, 700, 65_536, 65_537, 66_049] {
        for index in [0, 1, 255, 256, 511, size / 2, size - 1].into_iter().filter(|index| *index < size) {
            let log = a_log(size, index);
            let sought = in_tiles(&log, index);
            let proved = sought.proved_by(&log.tiles(&sought)).unwrap();
            assert_eq!((proved.log_id(), proved.origin()), (log.trusted.log_id(), ORIGIN));
            assert_eq!((proved.index(), proved.tree_size()), (LeafIndex(index), TreeSize(size)));
            assert_eq!(proved.tree_head_time(), later());
            for promised in [log.promised(None), log.promised(Some(index))] {
                let sought = promised.under_tree_head(&log.tree_head(later()).to_json(), later()).unwrap();
                assert_eq!(
                    sought.proved_by(&log.proof_by_hash(index).to_json()),
                    Ok(proved.clone()),
                    "{index} of {size}"
                );
            }
        }
    }
}

#[test]
fn a_full_tile_stands_for_a_partial_one() {
    let log = a_log(300, 299);
    let sought = in_tiles(&log, 299);
    let padded: Vec<Vec<u8>> = log
        .tiles(&sought)
        .into_iter()
        .map(|mut tile| {
            tile.resize(TILE_BYTES_MAX, 7);
            tile
        })
        .collect();
    assert!(sought.tiles().iter().any(Tile::is_partial));
    assert!(sought.proved_by(&padded).is_ok());
}

#[test]
fn no_proof_needs_more_tiles_than_the_limit() {
    for size in [1, 1 << 32, (1 << 40) - 1, u64::MAX >> 1, u64::MAX] {
        for index in [0, size / 2, size / 3, size - 1] {
            let log = a_log(1, 0);
            let leaf = PromisedLeaf { index: Some(LeafIndex(index)), ..log.promised(None) };
            let sought = SoughtLeaf { leaf, size: TreeSize(size), root: log.tree.root(), time: noon() };
            let tiles = sought.into_tiles().unwrap().tiles().len();
            assert!(tiles <= TILES_MAX, "{tiles} tiles for {index} of {size}");
        }
    }
}

#[test]
fn rsa_keys_sign_tree_heads_too_and_others_do_not() {
    let log = Log::with_leaves(KeyType::Rsa2048, 3, &[(2, leaf_hash(b"the certificate"))]);
    let promised = log.promised(Some(2));
    assert!(promised.under_checkpoint(&log.checkpoint(later()), later()).is_ok());
    assert!(promised.under_tree_head(&log.tree_head(later()).to_json(), later()).is_ok());
    let ecdsa = a_log(3, 2);
    let foreign = SignedTreeHead {
        tree_head_signature: digitally_signed(SctScheme::EcdsaSha256, &[1; 70]),
        ..log.tree_head(later())
    };
    let refused = promised.under_tree_head(&foreign.to_json(), later()).unwrap_err();
    assert_eq!(refused, CtInclusionFailure::TreeHeadScheme { found: SctScheme::EcdsaSha256 });
    let ed25519 = Key::new(KeyType::Ed25519).public();
    let trusted = TransparencyLog::new(
        "http://x".into(),
        ed25519.spki_sha256(),
        ed25519.clone(),
        ed25519.default_scheme(),
        log.trusted.valid_for(),
    );
    let promised = PromisedLeaf { log: &trusted, ..ecdsa.promised(None) };
    let misconfigured = promised.under_checkpoint(&ecdsa.checkpoint(later()), later()).unwrap_err();
    assert_eq!(misconfigured.code(), "ct_log_misconfigured");
    let refused = promised.under_tree_head(&ecdsa.tree_head(later()).to_json(), later()).unwrap_err();
    assert_eq!(refused.code(), "ct_tree_head_signature_invalid");
}

#[test]
fn a_tree_head_of_another_key_name_or_root_is_refused() {
    let (log, stranger) = (a_log(5, 2), a_log(5, 2));
    let promised = log.promised(Some(2));
    let checkpoint = |note: &[u8]| promised.under_checkpoint(note, later()).unwrap_err();
    let other_key = checkpoint(&stranger.checkpoint(later()));
    assert!(matches!(other_key, CtInclusionFailure::Note(NoteError::NotSignedBy { .. })), "{other_key}");
    let other_name = checkpoint(&log.checkpoint_of("ct.example", log.tree.root(), later()));
    assert_eq!(other_name, CtInclusionFailure::Origin { expected: ORIGIN.into(), found: "ct.example".into() });
    let forged = String::from_utf8(log.checkpoint(later())).unwrap().replace("\n5\n", "\n6\n");
    assert_eq!(checkpoint(forged.as_bytes()).code(), "ct_tree_head_signature_invalid");
    let extended = String::from_utf8(log.checkpoint(later())).unwrap().replacen("\n\n", "\nmore\n\n", 1);
    assert_eq!(checkpoint(extended.as_bytes()), CtInclusionFailure::Note(NoteError::NotATreeHead));

    let head = log.tree_head(later());
    let twins: [(&str, SignedTreeHead); 5] = [
        ("ct_tree_head_signature_invalid", SignedTreeHead { tree_size: 6, ..head.clone() }),
        ("ct_tree_head_signature_invalid", SignedTreeHead { timestamp: head.timestamp + 1, ..head.clone() }),
        ("ct_tree_head_signature_invalid", SignedTreeHead { sha256_root_hash: vec![0; 32], ..head.clone() }),
        ("ct_proof_malformed", SignedTreeHead { sha256_root_hash: vec![0; 31], ..head.clone() }),
        ("ct_tree_head_malformed", SignedTreeHead { tree_head_signature: Vec::new(), ..head.clone() }),
    ];
    for (code, twin) in twins {
        assert_eq!(promised.under_tree_head(&twin.to_json(), later()).unwrap_err().code(), code, "{twin:?}");
    }
    let foreign = promised.under_tree_head(&stranger.tree_head(later()).to_json(), later()).unwrap_err();
    assert_eq!(foreign.code(), "ct_tree_head_signature_invalid");
}

#[test]
fn the_time_of_a_tree_head_must_fit_promise_and_clock() {
    let log = a_log(5, 2);
    let promised = log.promised(Some(2));
    let at = |head: Timestamp, now: Timestamp| {
        let checkpoint = promised.under_checkpoint(&log.checkpoint(head), now).err();
        assert_eq!(promised.under_tree_head(&log.tree_head(head).to_json(), now).err(), checkpoint);
        checkpoint.map(|failure| failure.code())
    };
    let second = SignedDuration::from_secs(1);
    let early = noon() - CLOCK_TOLERANCE;
    assert_eq!(at(early, noon()), None);
    assert_eq!(at(early - second, noon()), Some("ct_not_merged_yet"));
    assert_eq!(at(early - second, noon() + MERGE_DELAY_MAX), Some("ct_not_merged_yet"));
    assert_eq!(at(early - second, noon() + MERGE_DELAY_MAX + second), Some("ct_tree_head_stale"));
    assert_eq!(at(noon() + CLOCK_TOLERANCE, noon()), None);
    assert_eq!(at(noon() + CLOCK_TOLERANCE + second, noon()), Some("ct_tree_head_in_future"));
    // A tree head of long ago, but after the promise, says all that is asked.
    assert_eq!(at(later(), noon() + days(900)), None);
    let no_time = SignedTreeHead { timestamp: u64::MAX, ..log.tree_head(later()) };
    assert_eq!(
        promised.under_tree_head(&no_time.to_json(), later()).unwrap_err().code(),
        "ct_tree_head_signature_invalid"
    );
}

#[test]
fn a_leaf_beyond_the_tree_is_not_merged() {
    let log = a_log(5, 2);
    let promised = log.promised(Some(5));
    let refused = promised.under_checkpoint(&log.checkpoint(later()), later()).unwrap_err();
    assert_eq!(refused.code(), "ct_not_merged_yet");
    assert_eq!(
        refused.to_string(),
        "expected the certificate that was promised at 2026-06-15T12:00:00Z for index 5, \
         found a tree of 5 entries, signed at 2026-06-15T12:00:02Z, without it"
    );
    let overdue = promised.under_checkpoint(&log.checkpoint(later()), noon() + days(2)).unwrap_err();
    assert_eq!(overdue.code(), "ct_promise_broken");
    let empty = Log::with_leaves(KeyType::EcdsaP256, 0, &[]);
    let refused = empty.promised(None).under_tree_head(&empty.tree_head(later()).to_json(), later()).unwrap_err();
    assert_eq!(refused.code(), "ct_not_merged_yet");
    let sought = log.promised(None).under_tree_head(&log.tree_head(later()).to_json(), later()).unwrap();
    assert_eq!(sought.not_merged(noon() + days(2)).code(), "ct_promise_broken");
}

#[test]
fn tiles_of_another_tree_or_length_are_refused() {
    for (size, index) in [(300, 2), (300, 299), (700, 256), (1, 0)] {
        let log = a_log(size, index);
        let sought = in_tiles(&log, index);
        let tiles = log.tiles(&sought);
        for position in 0..tiles.len() {
            let mut short = tiles.clone();
            short[position].pop();
            let truncated = sought.proved_by(&short);
            let mut none = tiles.clone();
            none.truncate(position);
            for refused in [truncated, sought.proved_by(&none)] {
                // The tile of the leaf alone is no part of the proof where its sibling is higher up.
                let Err(refused) = refused else {
                    assert_eq!(sought.tiles()[position].level, 0);
                    continue;
                };
                assert!(
                    matches!(refused, CtInclusionFailure::Tile { error: TileError::WrongLength { .. }, .. }),
                    "{refused}"
                );
            }
        }
        for node in sought.plan.nodes() {
            let tile = covering(*node, TreeSize(size));
            let position = sought.tiles().iter().position(|planned| *planned == tile).unwrap();
            let first = usize::try_from((node.index << (node.level % 8)) % 256).unwrap();
            let mut flipped = tiles.clone();
            flipped[position][first * HASH_BYTES] ^= 1;
            let refused = sought.proved_by(&flipped).unwrap_err();
            assert!(matches!(refused, CtInclusionFailure::Inclusion(ProofError::RootMismatch { .. })), "{refused}");
        }
    }
}

#[test]
fn another_leaf_in_the_promised_place_is_told_from_wrong_tiles() {
    for (size, index) in [(1, 0), (5, 2), (257, 256), (700, 256)] {
        let log = a_log(size, u64::MAX);
        let sought = in_tiles(&log, index);
        let refused = sought.proved_by(&log.tiles(&sought)).unwrap_err();
        let other = leaf_hash(&index.to_be_bytes());
        let expected = leaf_hash(b"the certificate");
        assert_eq!(refused, CtInclusionFailure::OtherLeaf { index: LeafIndex(index), expected, found: other });
        assert_eq!(refused.code(), "ct_promise_broken");
    }
}

#[test]
fn a_bent_proof_by_hash_is_refused() {
    let log = a_log(11, 6);
    let honest = log.proof_by_hash(6);
    let sought = |index| log.promised(index).under_tree_head(&log.tree_head(later()).to_json(), later()).unwrap();
    let refused = |reply: ProofByHash| sought(None).proved_by(&reply.to_json()).unwrap_err().code();
    let path = &honest.audit_path;
    for (code, audit_path) in [
        ("ct_inclusion_invalid", Vec::new()),
        ("ct_inclusion_invalid", path[1..].to_vec()),
        ("ct_inclusion_invalid", [path.clone(), vec![vec![0; 32]]].concat()),
        ("ct_inclusion_invalid", path.iter().rev().cloned().collect()),
        ("ct_proof_malformed", vec![vec![0; 31]; path.len()]),
        ("ct_proof_malformed", vec![vec![0; 32]; PROOF_HASHES_MAX + 1]),
    ] {
        assert_eq!(refused(ProofByHash { leaf_index: 6, audit_path }), code);
    }
    for leaf_index in [0, 7, 10, 11, u64::MAX] {
        assert_eq!(refused(ProofByHash { leaf_index, ..honest.clone() }), "ct_inclusion_invalid");
    }
    assert_eq!(refused(log.proof_by_hash(5)), "ct_inclusion_invalid");
    let index = sought(Some(7)).proved_by(&honest.to_json()).unwrap_err();
    assert_eq!(index, CtInclusionFailure::Index { expected: LeafIndex(7), found: LeafIndex(6) });
}

/// A certificate with an SCT of each log, and what verifies of them.
#[test]
fn the_promised_leaf_is_that_of_the_certificate_the_sct_and_its_issuer() {
    let logs = [a_log(1, 0), a_log(1, 0)];
    let ca = root(KeyType::EcdsaP256, "root");
    let issuer = below(&ca, KeyType::EcdsaP256, "issuer", |issuer| CaProfile::CodeSigningIntermediate { issuer });
    let (key, principal) = (Key::new(KeyType::EcdsaP256), alice());
    let template = leaf_template(&issuer, &key, &principal);
    let precertificate = workshop::sign(&template.precertificate_tbs().unwrap(), &issuer.key);
    let entry = LogEntry::from_precertificate(&precertificate, &issuer.certificate).unwrap();
    let timestamp_ms = u64::try_from(noon().as_millisecond()).unwrap();
    let sct = |log: &Log, extensions: Vec<u8>| {
        let signature = log.key.sign(&super::super::sct_signed_bytes(&entry, timestamp_ms, &extensions));
        super::super::Sct {
            log_id: *log.trusted.log_id(),
            timestamp_ms,
            extensions,
            scheme: SctScheme::EcdsaSha256,
            signature,
        }
    };
    let with_index = leaf_index_extension(LeafIndex(7)).unwrap();
    let scts = [sct(&logs[0], with_index.clone()), sct(&logs[1], vec![9])];
    let list = super::super::encode_sct_list(&scts);
    assert_eq!(parse_sct_list(&list).unwrap(), scts);
    let certificate = workshop::sign(&template.certificate_tbs(&scts).unwrap(), &issuer.key);

    let trusted =
        TrustedRoot::new(Vec::new(), Vec::new(), logs.iter().map(|log| log.trusted.clone()).collect(), Vec::new());
    let verify =
        |position: usize| super::super::verify_sct(&scts[position], &entry, &logs[position].key.public()).unwrap();
    let promises = [verify(0), verify(1), verify(0)];
    let leaves = promised_leaves(&certificate, &issuer.certificate, &promises, &trusted).unwrap();
    let [first, second] = leaves.as_slice() else { panic!("one leaf for each log") };
    assert_eq!((first.index(), second.index()), (Some(LeafIndex(7)), None));
    assert_eq!(*first.hash(), leaf_hash(&merkle_tree_leaf(&entry, timestamp_ms, &with_index)));
    assert_eq!(*second.hash(), leaf_hash(&merkle_tree_leaf(&entry, timestamp_ms, &[9])));
    assert_eq!((first.origin(), first.promised_at), (ORIGIN, noon()));

    // Logs of another root, or whose window is over, promised nothing that counts.
    let none = TrustedRoot::new(Vec::new(), Vec::new(), Vec::new(), Vec::new());
    assert_eq!(promised_leaves(&certificate, &issuer.certificate, &promises, &none), Ok(Vec::new()));
    let past = ValidFor::new(noon() - days(9), Some(noon() - days(1))).unwrap();
    let retired = TransparencyLog::new(
        ORIGIN.into(),
        *logs[0].trusted.log_id(),
        logs[0].key.public(),
        logs[0].key.scheme(),
        past,
    );
    let retired = TrustedRoot::new(Vec::new(), Vec::new(), vec![retired], Vec::new());
    assert_eq!(promised_leaves(&certificate, &issuer.certificate, &promises, &retired), Ok(Vec::new()));
    let wrong_issuer = promised_leaves(&certificate, &ca.certificate, &promises, &trusted);
    assert_eq!(wrong_issuer, Err(CtError::WrongIssuer));
}

#[test]
fn the_origin_is_the_base_url_without_its_scheme() {
    let log = a_log(1, 0);
    for (base_url, origin) in [
        ("https://ct.example", "ct.example"),
        ("https://ct.example/2026/", "ct.example/2026"),
        ("http://localhost:8080/a", "localhost:8080/a"),
        ("ct.example", "ct.example"),
    ] {
        let key = log.key.public();
        let trusted =
            TransparencyLog::new(base_url.into(), key.spki_sha256(), key, log.key.scheme(), log.trusted.valid_for());
        let promised = PromisedLeaf { log: &trusted, ..log.promised(None) };
        assert_eq!(promised.origin(), origin);
    }
}

proptest! {
    #[test]
    fn arbitrary_replies_prove_nothing_and_do_not_panic(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..300),
            "\\{\"tree_size\":[0-9]{1,20},\"timestamp\":[0-9]{1,20},\"sha256_root_hash\":\"[A-Za-z0-9+/]{42}A=\",\"tree_head_signature\":\"BAMAAg==\"\\}".prop_map(String::into_bytes),
            "\\{\"leaf_index\":[0-9]{1,20},\"audit_path\":\\[(\"[A-Za-z0-9+/]{42}A=\"){0,1}\\]\\}".prop_map(String::into_bytes),
            "ct2026-1.0123abcd.touchmark.localhost\n[0-9]{1,3}\n[A-Za-z0-9+/]{42}A=\n\n— n [A-Za-z0-9+/]{8}\n".prop_map(String::into_bytes),
        ],
        tiles in vec(vec(any::<u8>(), 0..100), 0..4),
    ) {
        let log = a_log(300, 2);
        let promised = log.promised(Some(2));
        prop_assert!(promised.under_checkpoint(&bytes, later()).is_err());
        prop_assert!(promised.under_tree_head(&bytes, later()).is_err());
        let sought = promised.under_tree_head(&log.tree_head(later()).to_json(), later()).unwrap();
        let refused = sought.proved_by(&bytes).unwrap_err();
        prop_assert!(!refused.to_string().is_empty());
        prop_assert!(sought.into_tiles().unwrap().proved_by(&tiles).is_err());
    }
}
