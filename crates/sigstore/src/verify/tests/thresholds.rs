// SPDX-License-Identifier: Apache-2.0
//! Thresholds count distinct logs, operators, authorities and witnesses, never entries, timestamps or lines.

use jiff::SignedDuration;
use touchmark_keys::KeyType;
use touchmark_tlog::leaf_hash;
use touchmark_tlog::note::{NoteAlgorithm, NoteKey, NoteSignature, SignedNote};

use super::{code, code_of, judge};
use crate::bundle::KeyMaterial;
use crate::policy::{Demands, Policy, WitnessPolicy};
use crate::rekor::EntryKind;
use crate::trust::TransparencyLog;
use crate::verify::private::{
    Authority, Instance, Log, Promise, Signing, demanding, minutes, policy, trusted_ct, window,
};
use crate::workshop::{Key, alice, noon};

fn needing(edit: impl FnOnce(&mut Demands)) -> Policy {
    demanding(&policy(), edit)
}

#[test]
fn entries_count_by_their_log() {
    let instance = Instance::new();
    let second = Log::new("second.example");
    let mut trust = instance.trust();
    trust.logs.push(second.trusted());
    let root = trust.root();
    let two = needing(|demands| demands.log_entries = 2);
    let one = instance.unlogged(KeyType::EcdsaP256).in_v2(&instance.rekor);
    assert_eq!(code(&one, &root, &two), Err("log_threshold"));
    assert_eq!(code(&one.clone().in_v2(&second), &root, &two), Ok(()));
    assert_eq!(code(&one.clone().in_v1(&instance.rekor_v1, EntryKind::HashedRekordV1), &root, &two), Ok(()));
    // The same signature once more in the same log, at another place.
    let mut twice = one.clone();
    twice.entries.push(instance.rekor.entry(&[b"another".to_vec(), one.leaf()], 1));
    assert_eq!(code(&twice, &root, &two), Err("log_threshold"));
    assert_eq!(code(&twice, &root, &policy()), Ok(()));
    // An entry of a log outside the root counts for nothing.
    let foreign = one.clone().in_v2(&Log::new("foreign.example"));
    assert_eq!(code(&foreign, &root, &two), Err("log_threshold"));
    // One place stands once.
    let mut bundle = one.json();
    let entries = bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap();
    entries.push(entries[0].clone());
    assert_eq!(code_of(&bundle, &root, &policy()), Err("bundle_log_entry"));
}

/// A root that names one key under two ids names one log.
#[test]
fn a_log_counts_once_whatever_ids_it_has() {
    let instance = Instance::new();
    let log = instance.rekor.trusted();
    let again = TransparencyLog::new(
        log.base_url().into(),
        log.public_key().spki_sha256(),
        log.public_key().clone(),
        log.scheme(),
        window(),
    );
    let mut trust = instance.trust();
    trust.logs.push(again);
    let root = trust.root();
    let mut signing = instance.unlogged(KeyType::EcdsaP256).in_v2(&instance.rekor);
    let mut twin = signing.entries[0].clone();
    twin.log_id.as_mut().unwrap().key_id = log.public_key().spki_sha256().to_vec();
    // The hint of the signature line follows the id; the signature is the same.
    let checkpoint = twin.inclusion_proof.0.as_mut().unwrap().checkpoint.as_mut().unwrap();
    let key = NoteKey::new(&instance.rekor.name, NoteAlgorithm::RekorV1, log.public_key().clone()).unwrap();
    let note = SignedNote::parse(checkpoint.envelope.as_bytes()).unwrap();
    let line = key.wrap(note.signatures()[0].signature().to_vec(), None).unwrap();
    let note = SignedNote::new(note.text().to_owned(), vec![line]).unwrap();
    checkpoint.envelope = String::from_utf8(note.to_bytes()).unwrap();
    signing.entries.push(twin);
    assert_eq!(code(&signing, &root, &policy()), Ok(()));
    assert_eq!(code(&signing, &root, &needing(|demands| demands.log_entries = 2)), Err("log_threshold"));
}

#[test]
fn logs_count_by_their_operator() {
    let instance = Instance::new();
    let (second, third) = (Log::new("second.example"), Log::new("third.example"));
    let operated = |operators: [&str; 3]| {
        let mut trust = instance.trust();
        let logs = [&instance.rekor, &second, &third];
        trust.logs = logs.iter().zip(operators).map(|(log, name)| log.trusted().with_operator(name.into())).collect();
        trust.root()
    };
    let signing = instance.unlogged(KeyType::EcdsaP256).in_v2(&instance.rekor).in_v2(&second).in_v2(&third);
    let of = |operators: [&str; 3], count| {
        let demands = |demands: &mut Demands| (demands.log_entries, demands.log_operators) = (3, count);
        code(&signing, &operated(operators), &needing(demands))
    };
    assert_eq!(of(["a", "b", "c"], 3), Ok(()));
    assert_eq!(of(["a", "a", "c"], 2), Ok(()));
    assert_eq!(of(["a", "a", "c"], 3), Err("log_threshold"));
    assert_eq!(of(["a", "a", "a"], 2), Err("log_threshold"));
    // Whom the root does not name may be anybody of the others: of those nobody counts but the named, and one at least.
    assert_eq!(of(["", "", ""], 1), Ok(()));
    assert_eq!(of(["", "", ""], 2), Err("log_threshold"));
    assert_eq!(of(["a", "", ""], 2), Err("log_threshold"));
    assert_eq!(of(["a", "b", ""], 2), Ok(()));
}

#[test]
fn timestamps_count_by_their_authority() {
    let instance = Instance::new();
    let second = Authority::tsa("second");
    let root = |operators: [&str; 2]| {
        let mut trust = instance.trust();
        let authorities = [&instance.tsa, &second];
        let named = authorities.iter().zip(operators);
        trust.tsas = named.map(|(tsa, name)| tsa.trusted(window()).with_operator(name.into())).collect();
        trust.root()
    };
    let two = needing(|demands| demands.timestamps = 2);
    let once = instance.sign();
    let (same, both) =
        (once.clone().timestamped(&instance.tsa, minutes(2)), once.clone().timestamped(&second, minutes(2)));
    assert_eq!(code(&once, &root(["", ""]), &two), Err("timestamp_threshold"));
    assert_eq!(code(&same, &root(["", ""]), &two), Err("timestamp_threshold"));
    assert_eq!(code(&both, &root(["", ""]), &two), Ok(()));
    assert_eq!(code(&both, &root(["a", "b"]), &two), Ok(()));
    assert_eq!(code(&both, &root(["a", "a"]), &two), Err("timestamp_threshold"));
    // The same token once more is refused at once.
    let mut bundle = once.json();
    let tokens = bundle.pointer_mut("/verificationMaterial/timestampVerificationData/rfc3161Timestamps").unwrap();
    let tokens = tokens.as_array_mut().unwrap();
    tokens.push(tokens[0].clone());
    assert_eq!(code_of(&bundle, &root(["", ""]), &policy()), Err("bundle_timestamp"));
}

#[test]
fn times_count_by_their_source() {
    let instance = Instance::new();
    let root = instance.root();
    let two = needing(|demands| demands.times = 2);
    let promised = instance.sign_v1();
    assert_eq!(code(&promised, &root, &two), Err("time_threshold"));
    assert_eq!(code(&promised.clone().timestamped(&instance.tsa, minutes(2)), &root, &two), Ok(()));
    // A promise is no timestamp.
    let stamped = needing(|demands| demands.timestamps = 1);
    assert_eq!(code(&promised, &root, &stamped), Err("timestamp_threshold"));
    // Every time is held to the certificate, needed or not.
    let late = promised.timestamped(&instance.tsa, minutes(11));
    assert_eq!(code(&late, &root, &policy()), Err("chain_outside_validity"));
}

#[test]
fn scts_count_by_their_log() {
    let instance = Instance::new();
    let (second, foreign) = (Key::new(KeyType::EcdsaP256), Key::new(KeyType::EcdsaP256));
    let mut trust = instance.trust();
    trust.ct_logs.push(trusted_ct(&second, window()));
    let root = trust.root();
    let two = needing(|demands| demands.scts = 2);
    let with = |promises: &[Promise<'_>], policy: &Policy| {
        let key = Key::new(KeyType::EcdsaP256);
        let material = KeyMaterial::Certificate(instance.certificate(&alice(), &key, promises));
        code(&instance.logged(instance.signed(&key, material)), &root, policy)
    };
    let of = Promise::of;
    let later = Promise { time: noon() + SignedDuration::from_secs(1), ..of(&instance.ct) };
    assert_eq!(with(&[of(&instance.ct)], &two), Err("sct_threshold"));
    assert_eq!(with(&[of(&instance.ct), later], &two), Err("sct_threshold"));
    assert_eq!(with(&[of(&instance.ct), of(&foreign)], &two), Err("sct_threshold"));
    assert_eq!(with(&[of(&instance.ct), of(&second)], &two), Ok(()));
    // A stranger's promise is passed over; a wrong one of a known log never is.
    assert_eq!(with(&[of(&foreign), of(&instance.ct)], &policy()), Ok(()));
    let wrong = Promise { signer: &foreign, ..of(&second) };
    assert_eq!(with(&[of(&instance.ct), wrong], &policy()), Err("sct_invalid"));
    let unneeded = needing(|demands| (demands.scts, demands.certificates_without_sct) = (0, true));
    assert_eq!(with(&[], &unneeded), Ok(()));
}

struct Witness {
    key: Key,
    note_key: NoteKey,
}

impl Witness {
    fn new(name: &str) -> Self {
        let key = Key::new(KeyType::Ed25519);
        Self { note_key: NoteKey::new(name, NoteAlgorithm::CosignatureV1, key.public()).unwrap(), key }
    }

    fn cosign(&self, text: &str) -> NoteSignature {
        let time_ms = Some(minutes(3).as_millisecond().try_into().unwrap());
        let message = self.note_key.signed_message(text, time_ms).unwrap();
        self.note_key.wrap(self.key.sign(&message), time_ms).unwrap()
    }
}

#[test]
fn witnesses_must_have_seen_the_tree() {
    let instance = Instance::new();
    let root = instance.root();
    let witnesses = ["w1", "w2", "w3"].map(Witness::new);
    let [one, two, three] = &witnesses;
    let keys = || witnesses.iter().map(|witness| witness.note_key.clone()).collect();
    let seen_by_two = needing(|demands| demands.witnesses = Some(WitnessPolicy::new(keys(), 2).unwrap()));
    let impostor = Witness { key: Key::new(KeyType::Ed25519), note_key: three.note_key.clone() };
    for v1 in [false, true] {
        let signing = if v1 { instance.sign_v1() } else { instance.sign() };
        let log = if v1 { &instance.rekor_v1 } else { &instance.rekor };
        let body = signing.entries[0].canonicalized_body.clone();
        let leaves = if v1 { vec![b"one".to_vec(), b"two".to_vec(), body] } else { vec![body] };
        let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let cosigned = |lines: &dyn Fn(&str) -> Vec<NoteSignature>| -> Signing {
            let mut signing = signing.clone();
            let proof = signing.entries[0].inclusion_proof.0.as_mut().unwrap();
            proof.checkpoint.as_mut().unwrap().envelope = log.cosigned(&log.origin(), &hashes, lines);
            signing
        };
        let too_few = Err("checkpoint_cosignatures");
        let by = |lines: &dyn Fn(&str) -> Vec<NoteSignature>| code(&cosigned(lines), &root, &seen_by_two);
        assert_eq!(by(&|_| vec![]), too_few);
        assert_eq!(by(&|text| vec![one.cosign(text)]), too_few);
        assert_eq!(by(&|text| vec![one.cosign(text), one.cosign(text)]), too_few);
        assert_eq!(by(&|text| vec![one.cosign(text), Witness::new("w4").cosign(text)]), too_few);
        assert_eq!(by(&|text| vec![one.cosign(text), two.cosign(text)]), Ok(()));
        assert_eq!(by(&|text| vec![one.cosign(text), two.cosign(text), impostor.cosign(text)]), too_few);
        assert_eq!(by(&|text| vec![one.cosign(text), two.cosign(&text.replace('1', "2"))]), too_few);
        // Nobody asked: their lines are of no matter.
        assert_eq!(code(&cosigned(&|text| vec![impostor.cosign(text)]), &root, &policy()), Ok(()));
        let verified =
            judge(&cosigned(&|text| vec![two.cosign(text), three.cosign(text)]), &root, &seen_by_two).unwrap();
        let seen = verified.entries()[0].inclusion().unwrap().cosignatures();
        assert_eq!(
            seen.iter().map(|seen| (seen.name.as_str(), seen.time)).collect::<Vec<_>>(),
            [("w2", minutes(3)), ("w3", minutes(3))]
        );
    }
}
