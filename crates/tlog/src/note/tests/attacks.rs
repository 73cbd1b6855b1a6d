// SPDX-License-Identifier: Apache-2.0
//! What an attacker can make of notes that a log really signed: edits of every kind, lines moved between notes, lines that look like
//! the log's, notes inside notes. None may say anything that the log did not sign.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use touchmark_keys::KeyType;
use touchmark_signers::{EphemeralSigner, Signer as _};

use super::*;

const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

fn text(size: u64) -> String {
    format!("log.example\n{size}\n{ROOT}\n")
}

/// A log or witness that signs what it is given.
struct Signs {
    signer: EphemeralSigner,
    key: NoteKey,
}

impl Signs {
    fn new(name: &str, algorithm: NoteAlgorithm) -> Self {
        let key_type = match algorithm {
            NoteAlgorithm::Ed25519 | NoteAlgorithm::CosignatureV1 => KeyType::Ed25519,
            NoteAlgorithm::RsaRekor => KeyType::Rsa2048,
            NoteAlgorithm::EcdsaRekor | NoteAlgorithm::RekorV1 | NoteAlgorithm::Rfc6962 => KeyType::EcdsaP256,
        };
        let signer = EphemeralSigner::generate(key_type).unwrap();
        let key = NoteKey::new(name, algorithm, signer.public_key().clone()).unwrap();
        Self { signer, key }
    }

    fn line(&self, text: &str, time_ms: u64) -> NoteSignature {
        let message = self.key.signed_message(text, Some(time_ms)).unwrap();
        let mut future = pin!(self.signer.sign(&message));
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(signature) => self.key.wrap(signature.unwrap(), Some(time_ms)).unwrap(),
            Poll::Pending => unreachable!("a key in memory signs at once"),
        }
    }
}

fn note_of(text: &str, lines: &[&NoteSignature]) -> SignedNote {
    SignedNote::new(text.to_owned(), lines.iter().map(|line| (*line).clone()).collect()).unwrap()
}

const EVERY_ALGORITHM: [NoteAlgorithm; 6] = [
    NoteAlgorithm::Ed25519,
    NoteAlgorithm::EcdsaRekor,
    NoteAlgorithm::RsaRekor,
    NoteAlgorithm::RekorV1,
    NoteAlgorithm::CosignatureV1,
    NoteAlgorithm::Rfc6962,
];

/// What a key vouches for: the text, or for a tree head what is in it besides the origin; and the time.
fn said(key: &NoteKey, note: &SignedNote) -> Option<(String, Option<u64>)> {
    let time_ms = key.verify(note).ok()?.timestamp_ms();
    let text = match key.algorithm() {
        NoteAlgorithm::Rfc6962 => note.text().split_once('\n').unwrap().1,
        _ => note.text(),
    };
    Some((text.to_owned(), time_ms))
}

#[test]
fn an_edit_never_makes_a_note_say_anything_else() {
    let pieces =
        ["\n", "\n\n", " ", "x", "0", "— ", "\u{a0}", "=", "\n— n AAAAAAA=\n", "— n AAAAAAA=\n", "\nx\n", "\r"];
    for (name, key, note) in notes() {
        let original = note.to_string();
        let meant = said(&key, &note).unwrap();
        let mut harmless = 0;
        let mut check = |edited: &str, what: &str| {
            let Ok(edited) = SignedNote::parse(edited.as_bytes()) else { return };
            if let Some(said) = said(&key, &edited) {
                assert_eq!(said, meant, "{name}: {what}");
                harmless += usize::from(edited != note);
            }
        };
        let places: Vec<usize> = original.char_indices().map(|(place, _)| place).chain([original.len()]).collect();
        for window in places.windows(2) {
            let (before, after) = (&original[..window[0]], &original[window[1]..]);
            check(&format!("{before}{after}"), "a character dropped");
        }
        for place in places {
            let (before, after) = original.split_at(place);
            check(before, "cut");
            check(after, "beheaded");
            for piece in pieces {
                check(&format!("{before}{piece}{after}"), "a piece put in");
            }
        }
        let lines: Vec<&str> = original.split_inclusive('\n').collect();
        for first in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(first);
            check(&without.concat(), "a line dropped");
            for second in 0..lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(first, second);
                check(&swapped.concat(), "two lines swapped");
                let mut copied = lines.clone();
                copied.insert(second, lines[first]);
                check(&copied.concat(), "a line copied");
            }
        }
        // A line of a stranger and a second copy of the log's own.
        assert!(harmless >= 2, "{name}: {harmless} edits did no harm");
    }
}

#[test]
fn a_signature_with_bytes_before_or_after_it_is_refused() {
    for (name, key, note) in notes() {
        let line = &note.signatures()[0];
        for byte in [0, 1, 0x30, 0xff] {
            let longer = NoteSignature { signature: [&line.signature[..], &[byte]].concat(), ..line.clone() };
            let shifted = NoteSignature { signature: [&[byte], &line.signature[..]].concat(), ..line.clone() };
            for twin in [longer, shifted] {
                assert!(key.verify(&note_of(note.text(), &[&twin])).is_err(), "{name}: {byte}");
            }
        }
    }
}

#[test]
fn the_line_under_one_text_is_worth_nothing_under_another() {
    for algorithm in EVERY_ALGORITHM {
        let log = Signs::new("log.example", algorithm);
        let (old, new) = (text(7), text(8));
        let (old_line, new_line) = (log.line(&old, 5_000), log.line(&new, 6_000));
        assert!(log.key.verify(&note_of(&old, &[&old_line])).is_ok(), "{algorithm:?}");
        let invalid = Err(NoteError::SignatureInvalid { name: "log.example".to_owned() });
        assert_eq!(log.key.verify(&note_of(&new, &[&old_line])), invalid, "{algorithm:?}");
        // Not even beside the right one.
        for lines in [[&old_line, &new_line], [&new_line, &old_line]] {
            assert_eq!(log.key.verify(&note_of(&new, &lines)), invalid, "{algorithm:?}");
        }
    }
}

#[test]
fn extension_lines_are_signed_as_they_stand() {
    for algorithm in EVERY_ALGORITHM.into_iter().filter(|algorithm| *algorithm != NoteAlgorithm::Rfc6962) {
        let log = Signs::new("log.example", algorithm);
        let extended = format!("{}Timestamp: 1\nLog frozen — 2\n", text(7));
        let line = log.line(&extended, 5_000);
        assert!(log.key.verify(&note_of(&extended, &[&line])).is_ok());
        let twins = [
            text(7),
            format!("{}Timestamp: 1\n", text(7)),
            format!("{}Log frozen — 2\nTimestamp: 1\n", text(7)),
            format!("{extended}more\n"),
            extended.replace("Timestamp: 1", "Timestamp: 2"),
        ];
        for twin in twins {
            assert!(log.key.verify(&note_of(&twin, &[&line])).is_err(), "{algorithm:?}: {twin}");
        }
    }
    let ct = Signs::new("log.example", NoteAlgorithm::Rfc6962);
    let line = ct.line(&text(7), 5_000);
    let extended = note_of(&format!("{}x\n", text(7)), &[&line]);
    assert_eq!(ct.key.verify(&extended), Err(NoteError::NotATreeHead));
}

#[test]
fn of_several_times_the_latest_counts_in_any_order() {
    for algorithm in [NoteAlgorithm::CosignatureV1, NoteAlgorithm::Rfc6962] {
        let witness = Signs::new("w.example", algorithm);
        let lines = [7_000, 9_000, 8_000].map(|time_ms| witness.line(&text(7), time_ms));
        let [a, b, c] = &lines;
        for order in [[a, b, c], [b, c, a], [c, a, b]] {
            let verified = witness.key.verify(&note_of(&text(7), &order)).unwrap();
            assert_eq!(verified.timestamp_ms(), Some(9_000), "{algorithm:?}");
        }
        // The time stands before the signature and is part of what it is over.
        let mut later = b.clone();
        later.signature[..8].copy_from_slice(&u64::from(u16::MAX).to_be_bytes());
        for order in [[a, &later], [&later, a]] {
            let refused = witness.key.verify(&note_of(&text(7), &order)).unwrap_err();
            assert_eq!(refused, NoteError::SignatureInvalid { name: "w.example".to_owned() }, "{algorithm:?}");
        }
    }
}

#[test]
fn a_line_that_is_repeated_as_often_as_a_note_allows_is_the_line() {
    for algorithm in EVERY_ALGORITHM {
        let log = Signs::new("log.example", algorithm);
        let line = log.line(&text(7), 5_000);
        let repeated = note_of(&text(7), &[&line; SIGNATURE_LINES_MAX]);
        assert_eq!(log.key.verify(&repeated), log.key.verify(&note_of(&text(7), &[&line])), "{algorithm:?}");
        let mut wrong = line.clone();
        *wrong.signature.last_mut().unwrap() ^= 1;
        let mut lines = [&line; SIGNATURE_LINES_MAX];
        lines[SIGNATURE_LINES_MAX - 1] = &wrong;
        assert!(log.key.verify(&note_of(&text(7), &lines)).is_err(), "{algorithm:?}");
        assert!(log.key.verify(&note_of(&text(7), &[&wrong; SIGNATURE_LINES_MAX])).is_err(), "{algorithm:?}");
    }
}

#[test]
fn names_that_look_alike_are_others() {
    for algorithm in EVERY_ALGORITHM {
        let log = Signs::new("log.example", algorithm);
        let line = log.line(&text(7), 5_000);
        for name in
            ["LOG.EXAMPLE", "log.example.", "log.example\u{200b}", "lоg.example", "log.exampl", ".", "log\u{7f}"]
        {
            let twin = note_of(&text(7), &[&NoteSignature { name: name.to_owned(), ..line.clone() }]);
            let refused = log.key.verify(&twin).unwrap_err();
            assert!(matches!(refused, NoteError::NotSignedBy { .. }), "{name}");
            // Neither does the key under that name take the line for its own: also where its id leaves out the name.
            let other = NoteKey::new(name, algorithm, log.key.public_key().clone()).unwrap();
            let refused = other.verify(&note_of(&text(7), &[&line])).unwrap_err();
            assert!(matches!(refused, NoteError::NotSignedBy { .. }), "{name}");
        }
    }
}

/// Four bytes of a hash can be met by another key: the hint only chooses, the key decides.
#[test]
fn a_stranger_with_the_name_and_the_hint_of_the_log_is_refused() {
    for algorithm in EVERY_ALGORITHM {
        let (log, stranger) = (Signs::new("log.example", algorithm), Signs::new("log.example", algorithm));
        let forged = NoteSignature { key_hint: log.key.hint(), ..stranger.line(&text(7), 5_000) };
        let refused = log.key.verify(&note_of(&text(7), &[&forged])).unwrap_err();
        assert_eq!(refused, NoteError::SignatureInvalid { name: "log.example".to_owned() }, "{algorithm:?}");
    }
}

#[test]
fn a_note_inside_a_note_is_text() {
    let (log, stranger) = (Signs::new("log.example", NoteAlgorithm::Ed25519), Signs::new("x", NoteAlgorithm::Ed25519));
    let inner = note_of(&text(7), &[&log.line(&text(7), 0)]).to_string();
    let outer_text = format!("{}\n{inner}", text(8));
    let outer = note_of(&outer_text, &[&stranger.line(&outer_text, 0)]);
    assert_eq!(SignedNote::parse(&outer.to_bytes()).unwrap().text(), outer_text);
    assert!(matches!(log.key.verify(&outer), Err(NoteError::NotSignedBy { .. })));
    assert!(stranger.key.verify(&outer).is_ok());
    assert!(Checkpoint::parse(outer.text()).is_err());
}

/// One key in two ways of signing: what it wrote in one way is nothing in the other.
#[test]
fn a_line_of_one_algorithm_is_none_of_another() {
    for algorithm in EVERY_ALGORITHM {
        let log = Signs::new("log.example", algorithm);
        let line = log.line(&text(7), 5_000);
        for other in EVERY_ALGORITHM.into_iter().filter(|other| *other != algorithm) {
            let Ok(key) = NoteKey::new("log.example", other, log.key.public_key().clone()) else { continue };
            // On P-256 both ways of Rekor sign alike, and their ids coincide.
            let alike =
                [algorithm, other].iter().all(|one| matches!(one, NoteAlgorithm::EcdsaRekor | NoteAlgorithm::RekorV1));
            let relabelled = NoteSignature { key_hint: key.hint(), ..line.clone() };
            let verified = key.verify(&note_of(&text(7), &[&relabelled]));
            assert_eq!(verified.is_ok(), alike || signs_alike(algorithm, other), "{algorithm:?} as {other:?}");
            if !alike {
                assert!(matches!(key.verify(&note_of(&text(7), &[&line])), Err(NoteError::NotSignedBy { .. })));
            }
        }
    }
}

/// The same bytes are signed in the same way: only the hint tells these apart.
fn signs_alike(one: NoteAlgorithm, other: NoteAlgorithm) -> bool {
    let plain = |algorithm| matches!(algorithm, NoteAlgorithm::Ed25519 | NoteAlgorithm::RsaRekor);
    (plain(one) && other == NoteAlgorithm::RekorV1) || (one == NoteAlgorithm::RekorV1 && plain(other))
}

proptest! {
    #[test]
    fn whatever_is_written_as_a_note_is_read_the_same(
        text in prop_oneof!["([^\\x00-\\x1f]|\n){0,40}\n", "(— |n| |AAAAAAA=|\n){0,9}\n"],
        lines in vec(("[^\\x00-\\x1f\\s+]{1,9}", any::<[u8; 4]>(), vec(any::<u8>(), 1..40)), 1..5),
    ) {
        let signatures: Vec<NoteSignature> = lines
            .into_iter()
            .map(|(name, key_hint, signature)| NoteSignature { name, key_hint, signature })
            .collect();
        let note = SignedNote::new(text.clone(), signatures.clone()).unwrap();
        prop_assert_eq!(note.text(), text);
        prop_assert_eq!(note.signatures(), signatures);
        prop_assert_eq!(SignedNote::parse(&note.to_bytes()), Ok(note));
    }
}
