// SPDX-License-Identifier: Apache-2.0
//! Signed notes: the format, notes made by other implementations (`testdata/notes`), and the checkpoints of the Sigstore
//! conformance suite.

use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use touchmark_keys::PublicKey;

use super::*;
use crate::checkpoint::Checkpoint;

mod attacks;
mod conformance;

/// The time in the notes with an RFC 6962 signature that were made for these tests.
const TREE_HEAD_TIME_MS: u64 = 1_711_642_477_482;

#[expect(clippy::disallowed_methods, reason = "tests read their vectors from files")]
fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

fn testdata(file: &str) -> Option<Vec<u8>> {
    read(&PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/notes")).join(file))
}

fn text_of(file: &str) -> String {
    String::from_utf8(testdata(file).unwrap_or_else(|| panic!("{file} is missing"))).unwrap()
}

/// All notes in `testdata/notes` and how their keys sign.
const NOTES: [(&str, NoteAlgorithm); 14] = [
    ("cosignature-v1", NoteAlgorithm::CosignatureV1),
    ("ed25519", NoteAlgorithm::Ed25519),
    ("rekor-v1-ecdsa-p256", NoteAlgorithm::RekorV1),
    ("rekor-v1-ecdsa-p384", NoteAlgorithm::RekorV1),
    ("rekor-v1-ed25519", NoteAlgorithm::RekorV1),
    ("rekor-v1-rsa-2048", NoteAlgorithm::RekorV1),
    ("rekor-v2-ecdsa-p256", NoteAlgorithm::EcdsaRekor),
    ("rekor-v2-ecdsa-p384", NoteAlgorithm::EcdsaRekor),
    ("rekor-v2-ecdsa-p521", NoteAlgorithm::EcdsaRekor),
    ("rekor-v2-ed25519", NoteAlgorithm::Ed25519),
    ("rekor-v2-rsa-2048", NoteAlgorithm::RsaRekor),
    ("rekor-v2-rsa-4096", NoteAlgorithm::RsaRekor),
    ("rfc6962-ecdsa-p256", NoteAlgorithm::Rfc6962),
    ("rfc6962-rsa-2048", NoteAlgorithm::Rfc6962),
];

fn key_of(name: &str, algorithm: NoteAlgorithm) -> NoteKey {
    if testdata(&format!("{name}.vkey")).is_some() {
        return NoteKey::parse_vkey(text_of(&format!("{name}.vkey")).trim_end()).unwrap();
    }
    let public_key = PublicKey::from_pem(&text_of(&format!("{name}.pem"))).unwrap();
    NoteKey::new("log.example", algorithm, public_key).unwrap()
}

fn notes() -> impl Iterator<Item = (&'static str, NoteKey, SignedNote)> {
    NOTES.into_iter().map(|(name, algorithm)| {
        let note = SignedNote::parse(text_of(&format!("{name}.note")).as_bytes()).unwrap();
        (name, key_of(name, algorithm), note)
    })
}

#[test]
fn notes_of_other_implementations_verify() {
    for ((name, algorithm), (_, key, note)) in NOTES.into_iter().zip(notes()) {
        assert_eq!(key.algorithm(), algorithm, "{name}");
        let verified = key.verify(&note).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = match name {
            "cosignature-v1" => verified.timestamp_ms().filter(|time_ms| time_ms % 1000 == 0),
            _ if algorithm == NoteAlgorithm::Rfc6962 => Some(TREE_HEAD_TIME_MS),
            _ => None,
        };
        assert_eq!(verified.timestamp_ms(), expected, "{name}");
        assert_eq!(expected.is_some(), matches!(algorithm, NoteAlgorithm::Rfc6962 | NoteAlgorithm::CosignatureV1));
    }
}

#[test]
fn key_ids_are_those_of_other_implementations() {
    for (name, algorithm) in NOTES.into_iter().filter(|(name, _)| name.starts_with("rekor-v2")) {
        let id = text_of(&format!("{name}.id"));
        let key = key_of(name, algorithm);
        assert_eq!(hex::encode(key.id()), id.trim_end(), "{name}");
        assert_eq!(key.id()[..KEY_HINT_BYTES], key.hint());
    }
}

#[test]
fn the_key_of_a_log_is_found_by_the_id_of_the_log() {
    for (name, key, note) in notes().filter(|(name, ..)| name.starts_with("rekor-v")) {
        let found = NoteKey::of_log(key.name(), key.public_key(), &key.id()).unwrap();
        assert_eq!(found.id(), key.id(), "{name}");
        if name == "rekor-v1-ecdsa-p384" {
            // The id does not tell the two ways apart in which a P-384 key signs; no public log has such a key.
            assert_eq!(found.algorithm(), NoteAlgorithm::EcdsaRekor);
        } else {
            assert!(found.verify(&note).is_ok(), "{name}");
        }
        let other = NoteKey::of_log(key.name(), key.public_key(), &key.id()[..4]);
        assert_eq!(other, Err(NoteKeyError::LogId));
        let bad_name = NoteKey::of_log("a b", key.public_key(), &key.id());
        assert_eq!(bad_name, Err(NoteKeyError::Name));
    }
}

#[test]
fn notes_are_written_as_they_were_read() {
    for (name, key, note) in notes() {
        assert_eq!(note.to_string(), text_of(&format!("{name}.note")), "{name}");
        let again = SignedNote::new(note.text().to_owned(), note.signatures().to_vec()).unwrap();
        assert_eq!(again, note, "{name}");
        let [signature] = note.signatures() else { panic!("{name} has one signature") };
        assert_eq!(signature.name(), key.name(), "{name}");
        assert_eq!(signature.key_hint(), key.hint(), "{name}");
    }
}

#[test]
fn a_wrapped_signature_is_the_line_that_was_read() {
    for (name, key, note) in notes() {
        let time_ms = key.verify(&note).unwrap().timestamp_ms();
        let blob = note.signatures()[0].signature();
        let raw = match key.algorithm() {
            NoteAlgorithm::CosignatureV1 => &blob[8..],
            NoteAlgorithm::Rfc6962 => &blob[12..],
            _ => blob,
        };
        assert_eq!(key.wrap(raw.to_vec(), time_ms).as_ref(), Ok(&note.signatures()[0]), "{name}");
        assert!(key.wrap(Vec::new(), time_ms).is_err(), "{name}");
    }
}

/// Every character of the text and every bit of the signature's blob counts.
#[test]
fn tampered_notes_are_refused() {
    for (name, key, note) in notes() {
        for position in 0..note.text().len() - 1 {
            let mut text = note.text().as_bytes().to_vec();
            text[position] ^= 1;
            let Ok(text) = String::from_utf8(text) else { continue };
            let Ok(twin) = SignedNote::new(text, note.signatures().to_vec()) else { continue };
            let outside_tree_head =
                key.algorithm() == NoteAlgorithm::Rfc6962 && position < note.text().find('\n').unwrap();
            if outside_tree_head {
                // static-ct-api: "a TreeHeadSignature does not cover the log's identity, so the origin line is unauthenticated".
                assert!(key.verify(&twin).is_ok(), "{name}: origin byte {position}");
            } else {
                assert!(key.verify(&twin).is_err(), "{name}: text byte {position}");
            }
        }
        let original = &note.signatures()[0];
        for bit in 0..original.signature.len() * 8 {
            let mut signature = original.clone();
            signature.signature[bit / 8] ^= 1 << (bit % 8);
            let twin = SignedNote { text: note.text.clone(), signatures: vec![signature] };
            assert!(key.verify(&twin).is_err(), "{name}: signature bit {bit}");
        }
        for length in 0..original.signature.len() {
            let mut signature = original.clone();
            signature.signature.truncate(length);
            let twin = SignedNote { text: note.text.clone(), signatures: vec![signature] };
            assert!(key.verify(&twin).is_err(), "{name}: signature cut to {length}");
        }
    }
}

#[test]
fn a_note_is_verified_by_its_own_key_alone() {
    for (name, key, note) in notes() {
        for (other_name, other, _) in notes() {
            let same_key = (other.name(), other.algorithm(), other.public_key())
                == (key.name(), key.algorithm(), key.public_key());
            // Rekor v1 and v2 sign alike on P-256.
            let alike = name.contains("ecdsa-p256")
                && other_name.contains("ecdsa-p256")
                && name.starts_with("rekor-v")
                && other_name.starts_with("rekor-v");
            assert_eq!(other.verify(&note).is_ok(), same_key || alike, "{name} by the key of {other_name}");
        }
    }
}

fn with_signatures(note: &SignedNote, signatures: &[&NoteSignature]) -> SignedNote {
    SignedNote::new(note.text.clone(), signatures.iter().map(|line| (*line).clone()).collect()).unwrap()
}

#[test]
fn signatures_of_strangers_are_tolerated_and_forged_ones_of_the_key_are_not() {
    let (_, key, note) = notes().find(|(name, ..)| *name == "rekor-v2-ed25519").unwrap();
    let ours = &note.signatures()[0];
    let stranger = NoteSignature { name: "a.stranger".to_owned(), ..ours.clone() };
    let same_name = NoteSignature { key_hint: [1, 2, 3, 4], ..ours.clone() };
    let forged = NoteSignature { signature: vec![0; 64], ..ours.clone() };
    assert!(key.verify(&with_signatures(&note, &[&stranger, ours, &same_name])).is_ok());
    assert!(key.verify(&with_signatures(&note, &[ours, ours])).is_ok());
    let invalid = Err(NoteError::SignatureInvalid { name: "log.example".to_owned() });
    assert_eq!(key.verify(&with_signatures(&note, &[ours, &forged])), invalid);
    assert_eq!(key.verify(&with_signatures(&note, &[&forged, ours])), invalid);
    let not_signed = Err(NoteError::NotSignedBy { name: "log.example".to_owned(), hint: key.hint() });
    assert_eq!(key.verify(&with_signatures(&note, &[&stranger])), not_signed);
    assert_eq!(key.verify(&with_signatures(&note, &[&same_name])), not_signed);
}

#[test]
fn times_are_part_of_what_is_signed() {
    let key = |wanted: &str| notes().find(|(name, ..)| *name == wanted).unwrap().1;
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let cosigner = key("cosignature-v1");
    // The example of tlog-cosignature.
    let message = cosigner.signed_message(text, Some(1_679_315_147_999)).unwrap();
    assert_eq!(String::from_utf8(message).unwrap(), format!("cosignature/v1\ntime 1679315147\n{text}"));
    assert_eq!(cosigner.signed_message(text, None), Err(NoteError::TimeMissing));
    assert_eq!(cosigner.wrap(vec![1], None), Err(NoteError::TimeMissing));

    let ct = key("rfc6962-ecdsa-p256");
    assert_eq!(ct.signed_message(text, Some(1)).unwrap().len(), 50);
    assert_eq!(ct.signed_message(text, None), Err(NoteError::TimeMissing));
    assert_eq!(ct.wrap(vec![1], None), Err(NoteError::TimeMissing));
    assert!(ct.wrap(vec![1; 65_536], Some(1)).is_err());
    assert_eq!(ct.signed_message("no checkpoint\n", Some(1)), Err(NoteError::NotATreeHead));
    assert_eq!(ct.signed_message(&format!("{text}extension\n"), Some(1)), Err(NoteError::NotATreeHead));

    let plain = key("rekor-v2-ed25519");
    assert_eq!(plain.signed_message(text, Some(1)), Ok(text.as_bytes().to_vec()));
    assert_eq!(plain.wrap(Vec::new(), None), Err(NoteError::SignatureMalformed { name: "log.example".to_owned() }));
}

#[test]
fn cosignature_times_that_are_out_of_range_are_malformed() {
    let (_, key, note) = notes().find(|(name, ..)| *name == "cosignature-v1").unwrap();
    for time_s in [u64::MAX, 1 << 63, u64::MAX / 1000 + 1] {
        let mut line = note.signatures()[0].clone();
        line.signature[..8].copy_from_slice(&time_s.to_be_bytes());
        let malformed = NoteError::SignatureMalformed { name: key.name().to_owned() };
        assert_eq!(key.verify(&with_signatures(&note, &[&line])), Err(malformed));
    }
}

#[test]
fn keys_are_refused_for_algorithms_and_names_that_are_not_theirs() {
    let pem = |name: &str| PublicKey::from_pem(&text_of(&format!("{name}.pem"))).unwrap();
    let keys =
        [pem("rekor-v2-ed25519"), pem("rekor-v2-ecdsa-p256"), pem("rekor-v2-ecdsa-p384"), pem("rekor-v2-rsa-2048")];
    let table = [
        (NoteAlgorithm::Ed25519, [true, false, false, false]),
        (NoteAlgorithm::EcdsaRekor, [false, true, true, false]),
        (NoteAlgorithm::RsaRekor, [false, false, false, true]),
        (NoteAlgorithm::RekorV1, [true, true, true, true]),
        (NoteAlgorithm::CosignatureV1, [true, false, false, false]),
        (NoteAlgorithm::Rfc6962, [false, true, false, true]),
    ];
    for (algorithm, allowed) in table {
        for (key, allowed) in keys.iter().zip(allowed) {
            let made = NoteKey::new("log.example", algorithm, key.clone());
            assert_eq!(made.is_ok(), allowed, "{algorithm:?} with {:?}", key.key_type());
        }
    }
    for name in ["", " ", "a b", "a+b", "a\u{a0}b", "a\u{2003}b", "a\nb", "a\0b"] {
        let made = NoteKey::new(name, NoteAlgorithm::RekorV1, keys[0].clone());
        assert_eq!(made, Err(NoteKeyError::Name), "{name:?}");
    }
}

#[test]
fn vkeys_are_written_as_they_were_read() {
    for (name, key, _) in notes() {
        if let Some(vkey) = testdata(&format!("{name}.vkey")) {
            assert_eq!(key.to_vkey().unwrap().as_bytes(), vkey.trim_ascii_end(), "{name}");
        }
        match key.to_vkey() {
            Ok(vkey) => assert_eq!(NoteKey::parse_vkey(&vkey), Ok(key), "{name}"),
            Err(error) => assert_eq!((error, key.algorithm()), (VkeyError::UnsupportedType, NoteAlgorithm::RekorV1)),
        }
    }
}

#[test]
fn malformed_vkeys_are_refused() {
    let good = text_of("ed25519.vkey").trim_end().to_owned();
    assert!(NoteKey::parse_vkey(&good).is_ok());
    let with_key = |material: &[u8]| format!("n+00000000+{}", STANDARD.encode(material));
    let cases = [
        (String::new(), VkeyError::Malformed),
        ("witness.example/w1".to_owned(), VkeyError::Malformed),
        ("witness.example/w1+8da69b9f".to_owned(), VkeyError::Malformed),
        (good.replace("8da69b9f", "8da69b9"), VkeyError::Malformed),
        (good.replace("8da69b9f", "8da69b9g"), VkeyError::Malformed),
        (good.replace("8da69b9f", ""), VkeyError::Malformed),
        (format!("{good}\n"), VkeyError::Malformed),
        (good.replace("+Abpu", "+Abp"), VkeyError::Malformed),
        ("n+00000000+".to_owned(), VkeyError::Malformed),
        (with_key(&[0x06; 33]), VkeyError::UnsupportedType),
        (with_key(&[0x00; 33]), VkeyError::UnsupportedType),
        (with_key(b"\xffPKIX-RSA-PSS"), VkeyError::UnsupportedType),
        (good.replace("witness.example/w1", ""), VkeyError::NoteKey(NoteKeyError::Name)),
        (good.replace("witness.example/w1", "wit ness.example/w1"), VkeyError::NoteKey(NoteKeyError::Name)),
        (
            good.replace("8da69b9f", "8da69b9e"),
            VkeyError::HintMismatch { stated: [0x8d, 0xa6, 0x9b, 0x9e], computed: [0x8d, 0xa6, 0x9b, 0x9f] },
        ),
        ("x".repeat(VKEY_BYTES_MAX + 1), VkeyError::TooLong { found: VKEY_BYTES_MAX + 1 }),
    ];
    for (vkey, error) in cases {
        assert_eq!(NoteKey::parse_vkey(&vkey), Err(error), "{vkey}");
    }
    for material in [&[0x01; 32][..], &[0x01; 34], &[0x04], &[0x02, 0x30], &[0x05]] {
        let parsed = NoteKey::parse_vkey(&with_key(material));
        assert!(matches!(parsed, Err(VkeyError::Key(_))), "{material:?}");
    }
}

#[test]
fn the_text_goes_to_the_last_empty_line() {
    let note = SignedNote::parse("a\n\nb\n\n\n— n AAAAAAA=\n— o AQIDBAU=\n".as_bytes()).unwrap();
    assert_eq!(note.text(), "a\n\nb\n\n");
    let signatures: Vec<_> =
        note.signatures().iter().map(|line| (line.name(), line.key_hint(), line.signature())).collect();
    assert_eq!(signatures, [("n", [0; 4], [0].as_slice()), ("o", [1, 2, 3, 4], &[5])]);
    let only_newline = SignedNote::parse("\n\n— n AAAAAAA=\n".as_bytes()).unwrap();
    assert_eq!(only_newline.text(), "\n");
}

#[test]
fn malformed_notes_are_refused() {
    use NoteError::{ControlCharacter, NoSignatures, NotUtf8, SignatureLine};
    let line = |number| SignatureLine { line: number };
    let cases: [(&[u8], NoteError); 27] = [
        (b"", NoSignatures),
        (b"\n", NoSignatures),
        (b"a\n", NoSignatures),
        (b"a\n\n", NoSignatures),
        (b"\n\n", NoSignatures),
        ("a\n— n AAAAAAA=\n".as_bytes(), NoSignatures),
        ("— n AAAAAAA=\n".as_bytes(), NoSignatures),
        ("a\n\n— n AAAAAAA=".as_bytes(), NoSignatures),
        ("a\n\n— n AAAAAAA=\n\n".as_bytes(), NoSignatures),
        ("a\n\n— n AAAAAAA=\nx\n".as_bytes(), line(2)),
        ("a\n\n- n AAAAAAA=\n".as_bytes(), line(1)),
        ("a\n\n—n AAAAAAA=\n".as_bytes(), line(1)),
        ("a\n\n—  AAAAAAA=\n".as_bytes(), line(1)),
        ("a\n\n— n\n".as_bytes(), line(1)),
        ("a\n\n— n \n".as_bytes(), line(1)),
        ("a\n\n— n+m AAAAAAA=\n".as_bytes(), line(1)),
        ("a\n\n— n\u{a0}m AAAAAAA=\n".as_bytes(), line(1)),
        ("a\n\n— n AAAAAAA= \n".as_bytes(), line(1)),
        ("a\n\n— n  AAAAAAA=\n".as_bytes(), line(1)),
        ("a\n\n— n AAAAAAA=\n— n\n".as_bytes(), line(2)),
        // Only a hint, less than a hint, no padding, bits left over.
        ("a\n\n— n AAAAAA==\n".as_bytes(), line(1)),
        ("a\n\n— n AAAA\n".as_bytes(), line(1)),
        ("a\n\n— n AAAAAAA\n".as_bytes(), line(1)),
        ("a\n\n— n AAAAAAB=\n".as_bytes(), line(1)),
        ("a\r\n\n— n AAAAAAA=\n".as_bytes(), ControlCharacter),
        ("a\n\n— n AAAAAAA=\n\0".as_bytes(), ControlCharacter),
        (b"\xff\n\n", NotUtf8),
    ];
    for (bytes, error) in cases {
        assert_eq!(SignedNote::parse(bytes), Err(error), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn notes_have_limits() {
    let lines = |count: usize| format!("a\n\n{}", "— n AAAAAAA=\n".repeat(count)).into_bytes();
    assert!(SignedNote::parse(&lines(SIGNATURE_LINES_MAX)).is_ok());
    assert_eq!(SignedNote::parse(&lines(SIGNATURE_LINES_MAX + 1)), Err(NoteError::TooManySignatures));
    let sized = |bytes: usize| {
        let end = "\n\n— n AAAAAAA=\n";
        format!("{}{end}", "x".repeat(bytes - end.len())).into_bytes()
    };
    assert!(SignedNote::parse(&sized(NOTE_BYTES_MAX)).is_ok());
    let found = NOTE_BYTES_MAX + 1;
    assert_eq!(SignedNote::parse(&sized(found)), Err(NoteError::TooLong { found }));
}

#[test]
fn no_note_is_made_that_would_not_be_read() {
    let signature = NoteSignature { name: "n".to_owned(), key_hint: [0; 4], signature: vec![0] };
    let make = |text: &str, count| SignedNote::new(text.to_owned(), vec![signature.clone(); count]);
    assert!(make("a\n", 1).is_ok());
    assert_eq!(make("a", 1), Err(NoteError::TextWithoutNewline));
    assert_eq!(make("", 1), Err(NoteError::TextWithoutNewline));
    assert_eq!(make("a\n", 0), Err(NoteError::NoSignatures));
    assert_eq!(make("a\n", SIGNATURE_LINES_MAX + 1), Err(NoteError::TooManySignatures));
    assert_eq!(make("a\t\n", 1), Err(NoteError::ControlCharacter));
    // A text that looks like the end of a note stays a text.
    let inner = "a\n\n— n AAAAAAA=\n";
    assert_eq!(make(inner, 1).unwrap().text(), inner);
}

/// Strings that come near to notes.
fn near_notes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\n"),
        Just("\n\n"),
        Just("— "),
        Just("n"),
        Just(" "),
        Just("AAAAAAA="),
        Just("AAAAAAAA"),
        Just("— n AAAAAAA=\n"),
        Just("\u{85}"),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn whatever_is_read_as_a_note_is_written_the_same(bytes in prop_oneof![vec(any::<u8>(), 0..200), near_notes()]) {
        if let Ok(note) = SignedNote::parse(&bytes) {
            prop_assert_eq!(note.to_bytes(), bytes);
        }
    }

    #[test]
    fn arbitrary_signatures_never_verify_or_panic(blob in vec(any::<u8>(), 1..120), text in "[a-z]{1,4}\n(1\n)?") {
        for (_, key, note) in notes() {
            for text in [text.as_str(), note.text()] {
                let signature = NoteSignature { name: key.name().to_owned(), key_hint: key.hint(), signature: blob.clone() };
                let note = SignedNote::new(text.to_owned(), vec![signature]).unwrap();
                prop_assert!(key.verify(&note).is_err());
            }
        }
    }

    #[test]
    fn arbitrary_vkeys_do_not_panic(
        text in prop_oneof![any::<String>(), "[a-z]{0,2}\\+[0-9a-f]{7,9}\\+[A-Za-z0-9+/]{0,48}={0,2}"],
        kind: u8, key in vec(any::<u8>(), 0..64),
    ) {
        prop_assert!(NoteKey::parse_vkey(&text).is_err());
        let material = STANDARD.encode([[kind].as_slice(), &key].concat());
        let _: Result<NoteKey, VkeyError> = NoteKey::parse_vkey(&format!("n+00000000+{material}"));
    }
}
