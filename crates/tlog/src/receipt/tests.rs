// SPDX-License-Identifier: Apache-2.0
//! Receipts are read to the letter, and prove one leaf of one log.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer as _};

use super::*;
use crate::hash::{TreeSize, leaf_hash};
use crate::note::NoteAlgorithm;
use crate::proof::inclusion_plan;
use crate::{Frontier, node_hash};

const LOG: &str = "log.example";

struct World {
    key: NoteKey,
    signer: EphemeralSigner,
    tree: Frontier,
    nodes: BTreeMap<crate::proof::NodeId, Hash>,
}

impl World {
    fn new(leaves: u8) -> Self {
        let signer = EphemeralSigner::generate(KeyType::Ed25519).unwrap();
        let key = NoteKey::new(LOG, NoteAlgorithm::Ed25519, signer.public_key().clone()).unwrap();
        let (mut tree, mut nodes) = (Frontier::new(), BTreeMap::new());
        for leaf in 0..leaves {
            tree.append(&leaf_hash(&[leaf]), |node, hash| {
                nodes.insert(node, hash);
            });
        }
        Self { key, signer, tree, nodes }
    }

    fn sign(&self, text: String) -> SignedNote {
        let message = self.key.signed_message(&text, None).unwrap();
        let mut signing = pin!(self.signer.sign(&message));
        let Poll::Ready(signature) = signing.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            unreachable!("a key in memory signs at once")
        };
        let signature = signature.unwrap();
        SignedNote::new(text, vec![self.key.wrap(signature, None).unwrap()]).unwrap()
    }

    fn receipt(&self, index: u64, extra: Option<&[u8]>) -> Receipt {
        let plan = inclusion_plan(LeafIndex(index), self.tree.size()).unwrap();
        let hashes: Vec<Hash> = plan.nodes().iter().map(|node| self.nodes[node]).collect();
        let checkpoint = Checkpoint {
            origin: LOG.to_owned(),
            size: self.tree.size(),
            root: self.tree.root(),
            extensions: Vec::new(),
        };
        let note = self.sign(checkpoint.to_text());
        Receipt { extra: extra.map(<[u8]>::to_vec), index: LeafIndex(index), proof: plan.assemble(&hashes), note }
    }
}

#[test]
fn every_leaf_is_proved_by_what_is_written_and_read_again() {
    let world = World::new(7);
    for index in 0..7u8 {
        let receipt = world.receipt(index.into(), Some(&[index]));
        let read = Receipt::parse(receipt.to_text().as_bytes()).unwrap();
        assert_eq!(read, receipt);
        let proven = read.verify(&leaf_hash(&[index]), &world.key).unwrap();
        assert_eq!((proven.origin(), proven.included().index().0), (LOG, u64::from(index)));
        assert_eq!(proven.included().size(), TreeSize(7));
        let other = leaf_hash(&[index + 1]);
        assert!(matches!(read.verify(&other, &world.key), Err(ReceiptFailure::Inclusion(_))));
    }
    // A tree of one leaf has a proof without hashes, and a receipt needs no extra data.
    let text = World::new(1).receipt(0, None).to_text();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nlog.example\n1\n"), "{text}");
}

fn check_twin(from: &str, to: &str, expect: &ReceiptError) {
    let text = World::new(7).receipt(5, Some(b"extra")).to_text();
    let twin = text.replacen(from, to, 1);
    assert_ne!(twin, text, "{from}");
    assert_eq!(&Receipt::parse(twin.as_bytes()).unwrap_err(), expect, "{from} → {to}");
}

#[test]
fn each_malformed_twin_is_refused_with_its_place() {
    check_twin("@v1", "@v2", &ReceiptError::FirstLine);
    check_twin("extra ", "extra  ", &ReceiptError::Extra);
    check_twin("extra ZXh0cmE=", "extra ", &ReceiptError::Extra);
    check_twin("extra ZXh0cmE=", "extra ZXh0cmE", &ReceiptError::Extra);
    check_twin("extra ZXh0cmE=\n", "extra ZXh0cmE=\nextra ZXh0cmE=\n", &ReceiptError::Index { line: 3 });
    check_twin("index 5", "index 05", &ReceiptError::Index { line: 3 });
    check_twin("index 5", "index +5", &ReceiptError::Index { line: 3 });
    check_twin("index 5\n", "", &ReceiptError::Index { line: 3 });
    check_twin("index 5\n", "index 5\nAAAA\n", &ReceiptError::ProofLine { line: 4 });
    check_twin("\n\nlog.example", "\nlog.example", &ReceiptError::ProofLine { line: 7 });
    check_twin("\u{2014} ", "- ", &ReceiptError::Note(NoteError::SignatureLine { line: 1 }));
    let line = format!("{}\n", STANDARD.encode([0; 32]));
    check_twin("index 5\n", &format!("index 5\n{}", line.repeat(64)), &ReceiptError::TooManyHashes);
    assert_eq!(Receipt::parse(b"c2sp.org/tlog-proof@v1\n").unwrap_err(), ReceiptError::Form);
}

#[test]
fn a_receipt_of_another_log_or_tree_proves_nothing() {
    let (world, leaf) = (World::new(7), leaf_hash(&[5]));
    let receipt = world.receipt(5, None);
    let stranger = World::new(7);
    assert!(matches!(receipt.verify(&leaf, &stranger.key), Err(ReceiptFailure::Note(_))));
    for (twin, what) in [
        (Receipt { index: LeafIndex(4), ..receipt.clone() }, "another index"),
        (Receipt { index: LeafIndex(7), ..receipt.clone() }, "an index beyond the tree"),
        (Receipt { proof: receipt.proof[1..].to_vec(), ..receipt.clone() }, "a hash less"),
        (Receipt { proof: [&receipt.proof[..], &[leaf]].concat(), ..receipt.clone() }, "a hash more"),
        (
            Receipt {
                note: World { tree: World::new(6).tree, ..World::new(7) }.receipt(5, None).note,
                ..receipt.clone()
            },
            "a foreign tree",
        ),
    ] {
        assert!(twin.verify(&leaf, &world.key).is_err(), "{what}");
    }
    // A node is no leaf.
    let node = node_hash(&leaf_hash(&[4]), &leaf);
    assert!(receipt.verify(&node, &world.key).is_err());
    let other_origin = world.sign(receipt.note.text().replacen(LOG, "other.example", 1));
    let expect = ReceiptFailure::Origin { expected: LOG.into(), found: "other.example".into() };
    assert_eq!(Receipt { note: other_origin, ..receipt }.verify(&leaf, &world.key).unwrap_err(), expect);
}

proptest! {
    #[test]
    fn any_text_is_a_receipt_or_an_error(text in "(c2sp.org/tlog-proof@v1|extra |index |[0-9]|AAAA|=|\n|\u{2014} | |.){0,30}") {
        if let Ok(receipt) = Receipt::parse(text.as_bytes()) {
            prop_assert_eq!(receipt.to_text(), text);
        }
    }
}
