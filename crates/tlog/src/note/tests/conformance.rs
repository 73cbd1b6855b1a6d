// SPDX-License-Identifier: Apache-2.0
//! The checkpoints inside the bundles of the Sigstore conformance suite, with the logs of the trust roots beside them: those of
//! the public Rekor v1 and of Rekor v2, with and without witnesses, and the broken ones that no verifier may accept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::checkpoint::CheckpointError;
use crate::hash::{Hash, LeafIndex, leaf_hash};
use crate::proof::{ProofError, verify_inclusion};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");

/// One log entry of a bundle.
struct Case {
    key: NoteKey,
    envelope: String,
    leaf: Hash,
    index: LeafIndex,
    proof: Vec<Hash>,
}

#[derive(Debug, PartialEq)]
enum Refused {
    Note(NoteError),
    Checkpoint(CheckpointError),
    Proof(ProofError),
}

impl Case {
    /// The entries of the case's bundle.
    fn all_of(name: &str) -> Vec<Case> {
        let directory = Path::new(VECTORS).join("sigstore-conformance/bundle-verify").join(name);
        let trusted_root = json(&directory.join("trusted_root.json"))
            .or_else(|| json(&Path::new(VECTORS).join("sigstore-tuf-repository/targets/trusted_root.json")))
            .unwrap();
        let bundle = json(&directory.join("bundle.sigstore.json")).unwrap();
        let entries = bundle["verificationMaterial"]["tlogEntries"].as_array().unwrap();
        entries.iter().map(|entry| Case::of(entry, &trusted_root)).collect()
    }

    fn of(entry: &Value, trusted_root: &Value) -> Case {
        let log_id = &entry["logId"]["keyId"];
        let logs = trusted_root["tlogs"].as_array().unwrap();
        let log = logs.iter().find(|log| log["logId"]["keyId"] == *log_id).unwrap();
        let base_url = log["baseUrl"].as_str().unwrap();
        let name = base_url.split_once("://").unwrap().1;
        let public_key = PublicKey::from_spki_der(&bytes(&log["publicKey"]["rawBytes"])).unwrap();
        let proof = &entry["inclusionProof"];
        Case {
            key: NoteKey::of_log(name, &public_key, &bytes(log_id)).unwrap(),
            envelope: proof["checkpoint"]["envelope"].as_str().unwrap().to_owned(),
            leaf: leaf_hash(&bytes(&entry["canonicalizedBody"])),
            index: LeafIndex(proof["logIndex"].as_str().unwrap().parse().unwrap()),
            proof: proof["hashes"].as_array().unwrap().iter().map(|h| Hash::from_slice(&bytes(h)).unwrap()).collect(),
        }
    }

    /// What a verifier does with a checkpoint and a proof.
    fn verify(&self) -> Result<(SignedNote, Checkpoint), Refused> {
        let note = SignedNote::parse(self.envelope.as_bytes()).map_err(Refused::Note)?;
        self.key.verify(&note).map_err(Refused::Note)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(Refused::Checkpoint)?;
        verify_inclusion(&self.leaf, self.index, checkpoint.size, &self.proof, &checkpoint.root)
            .map_err(Refused::Proof)?;
        Ok((note, checkpoint))
    }
}

fn json(path: &Path) -> Option<Value> {
    Some(serde_json::from_slice(&read(path)?).unwrap())
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn good_checkpoints_and_proofs_verify() {
    let cases = [
        ("happy-path-v0.2", "rekor.sigstore.dev - 2605736670972794746", 1),
        ("happy-path-v0.3", "rekor.sigstore.dev - 2605736670972794746", 1),
        ("happy-path-v0.3-new-mediaType", "rekor.sigstore.dev - 2605736670972794746", 1),
        ("bundle-with-sct-with-extensions", "rekor-local", 1),
        ("rekor2-happy-path", "log2025-alpha1.rekor.sigstage.dev", 1),
        ("rekor2-dsse-happy-path", "log2025-alpha3.rekor.sigstage.dev", 4),
        ("rekor2-checkpoint-cosigned", "log2025-alpha1.rekor.sigstage.dev", 2),
        ("rekor2-checkpoint-multiple-cosigs", "log2025-alpha1.rekor.sigstage.dev", 3),
        ("rekor2-checkpoint-origin-not-first", "log2025-alpha1.rekor.sigstage.dev", 2),
        ("rekor2-checkpoint-two-sigs-from-origin", "log2025-alpha1.rekor.sigstage.dev", 2),
        ("rekor2-checkpoint-two-sigs-cosigned", "log2025-alpha1.rekor.sigstage.dev", 3),
    ];
    for (name, origin, signatures) in cases {
        let entries = Case::all_of(name);
        assert!(!entries.is_empty(), "{name}");
        for entry in entries {
            let (note, checkpoint) = entry.verify().unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
            assert_eq!(checkpoint.origin, origin, "{name}");
            assert_eq!(note.signatures().len(), signatures, "{name}");
            assert_eq!(note.to_string(), entry.envelope, "{name}");
        }
    }
}

#[test]
fn broken_checkpoints_and_proofs_are_refused() {
    let v1 = || "rekor.sigstore.dev".to_owned();
    let v2 = || "log2025-alpha1.rekor.sigstage.dev".to_owned();
    let v1_unsigned = || NoteError::NotSignedBy { name: v1(), hint: [0xc0, 0xd2, 0x3d, 0x6a] };
    let v2_unsigned = || NoteError::NotSignedBy { name: v2(), hint: [0xf3, 0x0d, 0x5a, 0x99] };
    // Whatever is left out of the text, the signature is no longer valid; that the text is also malformed is never asked.
    let cases = [
        ("checkpoint-bad-keyhint_fail", v1_unsigned()),
        ("invalid-checkpoint-signature_fail", NoteError::SignatureInvalid { name: v1() }),
        ("rekor2-checkpoint-missing-log-signature_fail", NoteError::NoSignatures),
        ("rekor2-checkpoint-missing-origin_fail", NoteError::SignatureInvalid { name: v2() }),
        ("rekor2-checkpoint-missing-root-hash_fail", NoteError::SignatureInvalid { name: v2() }),
        ("rekor2-checkpoint-missing-size_fail", NoteError::SignatureInvalid { name: v2() }),
        ("rekor2-checkpoint-no-matching-signature_fail", v2_unsigned()),
    ];
    for (name, error) in cases {
        let [entry] = &Case::all_of(name)[..] else { panic!("{name} has one entry") };
        assert_eq!(entry.verify().unwrap_err(), Refused::Note(error), "{name}");
    }
    for name in ["checkpoint-wrong-roothash_fail", "inclusion-proof-corrupted-hash_fail"] {
        let [entry] = &Case::all_of(name)[..] else { panic!("{name} has one entry") };
        assert!(matches!(entry.verify(), Err(Refused::Proof(_))), "{name}: {:?}", entry.verify());
    }
}

#[test]
fn malformed_checkpoint_texts_are_refused_without_a_key() {
    let cases = [
        ("rekor2-checkpoint-missing-origin_fail", CheckpointError::Size),
        ("rekor2-checkpoint-missing-root-hash_fail", CheckpointError::Root),
        ("rekor2-checkpoint-missing-size_fail", CheckpointError::Size),
    ];
    for (name, error) in cases {
        let [entry] = &Case::all_of(name)[..] else { panic!("{name} has one entry") };
        let note = SignedNote::parse(entry.envelope.as_bytes()).unwrap();
        assert_eq!(Checkpoint::parse(note.text()), Err(error), "{name}");
    }
}

#[test]
fn real_checkpoints_with_any_byte_changed_are_refused() {
    for name in ["happy-path-v0.3", "rekor2-happy-path"] {
        for mut entry in Case::all_of(name) {
            let original = entry.envelope.clone().into_bytes();
            for position in 0..original.len() {
                let mut envelope = original.clone();
                envelope[position] ^= 1;
                let Ok(envelope) = String::from_utf8(envelope) else { continue };
                entry.envelope = envelope;
                assert!(entry.verify().is_err(), "{name}: byte {position}");
            }
        }
    }
}

/// Public keys of the three witnesses, as their operators publish them.
#[test]
fn public_witnesses_cosigned_a_checkpoint_of_rekor() {
    let vkeys = [
        "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
        "staging.witness.transparency.goog/ring-any-bells+2e1a8dc9+BG5JTpLc3FJtwzgh1Uv+Qelz9qeOH2bfWjS1s0s+y4rL",
        "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G",
    ];
    let [entry] = &Case::all_of("rekor2-dsse-happy-path")[..] else { panic!("one entry") };
    let (note, _) = entry.verify().unwrap();
    for vkey in vkeys {
        let witness = NoteKey::parse_vkey(vkey).unwrap();
        assert_eq!(witness.verify(&note).unwrap().timestamp_ms(), Some(0x6a04_cfb6 * 1000), "{vkey}");
        let other_text = note.text().replace("4026479", "4026480");
        let twin = SignedNote::new(other_text, note.signatures().to_vec()).unwrap();
        assert!(witness.verify(&twin).is_err(), "{vkey}");
    }
}
