// SPDX-License-Identifier: Apache-2.0
//! Evidence is read to the letter and proves a time only by an authority of the trusted root.

use proptest::prelude::*;
use touchmark_keys::KeyType;
use touchmark_tlog::note::NoteAlgorithm;

use super::*;
use crate::verify::private::{Authority, minutes, window};
use crate::workshop::{Key, noon};

const TEXT: &str = "log.example\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

struct World {
    key: Key,
    log: NoteKey,
    tsa: Authority,
    foreign: Authority,
}

impl World {
    fn new() -> Self {
        let key = Key::new(KeyType::Ed25519);
        let log = NoteKey::new("log.example", NoteAlgorithm::Ed25519, key.public()).unwrap();
        Self { key, log, tsa: Authority::tsa("own"), foreign: Authority::tsa("foreign") }
    }

    /// Knows its own authority alone.
    fn root(&self) -> TrustedRoot {
        TrustedRoot::new(Vec::new(), Vec::new(), Vec::new(), vec![self.tsa.trusted(window())])
    }

    fn note(&self, text: &str) -> SignedNote {
        let message = self.log.signed_message(text, None).unwrap();
        SignedNote::new(text.to_owned(), vec![self.log.wrap(self.key.sign(&message), None).unwrap()]).unwrap()
    }

    fn stamp(authority: &Authority, name: &str, note: &SignedNote, time: Timestamp) -> Stamp {
        let reply = authority.timestamp(&Evidence::stamped_bytes(note), time);
        Stamp { authority: name.to_owned(), reply }
    }

    fn evidence(&self) -> Evidence {
        let note = self.note(TEXT);
        let stamps = vec![
            Self::stamp(&self.tsa, "own", &note, noon()),
            Self::stamp(&self.foreign, "https://foreign.example", &note, minutes(1)),
        ];
        Evidence::new(note, stamps).unwrap()
    }

    fn judge(&self, evidence: &Evidence) -> Result<VerifiedEvidence, EvidenceFailure> {
        evidence.verify(&self.log, &self.root(), minutes(10))
    }
}

#[test]
fn a_stamped_checkpoint_proves_its_time() {
    let world = World::new();
    let evidence = world.evidence();
    assert_eq!(Evidence::parse(evidence.to_text().as_bytes()), Ok(evidence.clone()));
    let verified = world.judge(&evidence).unwrap();
    assert_eq!((verified.time(), verified.checkpoint().size.0), (noon(), 7));
    assert_eq!(verified.unknown(), ["https://foreign.example"]);
}

#[test]
fn each_tampered_twin_proves_nothing() {
    let world = World::new();
    let Evidence { stamps, note } = world.evidence();
    let with = |stamps: Vec<Stamp>, note: &SignedNote| world.judge(&Evidence::new(note.clone(), stamps).unwrap());

    let unknown = vec![stamps[1].clone()];
    let found = vec!["https://foreign.example".to_owned()];
    assert_eq!(with(unknown, &note).unwrap_err(), EvidenceFailure::NoAuthority { found });
    // Another text, and the same text with one signature line more: the token is over neither.
    let stranger = World::new();
    for twin in
        [world.note(&TEXT.replace("\n7\n", "\n8\n")), note.with_signatures(stranger.note(TEXT).signatures()).unwrap()]
    {
        assert!(matches!(with(stamps.clone(), &twin), Err(EvidenceFailure::Stamp { .. })), "{twin}");
    }
    assert!(matches!(with(stamps.clone(), &stranger.note(TEXT)), Err(EvidenceFailure::Note(_))));
    let other = world.note(&TEXT.replace("log.example", "other.example"));
    assert!(matches!(with(stamps.clone(), &other), Err(EvidenceFailure::Origin { .. })));
    let mut broken = stamps[0].clone();
    *broken.reply.last_mut().unwrap() ^= 1;
    assert!(with(vec![broken, stamps[0].clone()], &note).is_err(), "a good one does not outweigh a bad one");
    let early = World::stamp(&world.tsa, "own", &note, minutes(-60 * 48));
    assert!(matches!(with(vec![early], &note), Err(EvidenceFailure::Stamp { .. })));
}

#[test]
fn a_log_that_forks_contradicts_itself() {
    let world = World::new();
    let at = |text: &str, time| {
        let note = world.note(text);
        let stamp = World::stamp(&world.tsa, "own", &note, time);
        world.judge(&Evidence::new(note, vec![stamp]).unwrap()).unwrap()
    };
    let (seven, eight) = (at(TEXT, noon()), at(&TEXT.replace("\n7\n", "\n8\n"), minutes(1)));
    assert_eq!(agree(&seven, &eight), Ok(&eight));
    assert_eq!(agree(&eight, &seven), Ok(&seven), "an old tree may be stamped late by anybody");
    let forked = at(&TEXT.replace("47DE", "57DE"), minutes(1));
    assert_eq!(agree(&seven, &forked), Err(Forked { size: 7 }));
}

#[test]
fn malformed_texts_are_refused_with_their_place() {
    let text = World::new().evidence().to_text();
    for (from, to, expect) in [
        ("@v1", "@v2", EvidenceError::FirstLine),
        ("timestamp own ", "timestamp own", EvidenceError::Stamp { line: 2 }),
        ("timestamp https", "timestamp  https", EvidenceError::Stamp { line: 3 }),
        ("timestamp own ", "stamp own ", EvidenceError::Stamp { line: 2 }),
        ("\n\nlog.example", "\nlog.example", EvidenceError::Stamp { line: 4 }),
    ] {
        let twin = text.replacen(from, to, 1);
        assert_ne!(twin, text);
        assert_eq!(Evidence::parse(twin.as_bytes()), Err(expect), "{from}");
    }
    let (_, note) = text.split_once("\n\n").unwrap();
    let none = format!("{FIRST_LINE}\n\n{note}");
    assert_eq!(Evidence::parse(none.as_bytes()), Err(EvidenceError::Count { found: 0 }));
}

proptest! {
    #[test]
    fn any_text_is_evidence_or_an_error(text in "(touchmark.dev/log-evidence@v1|timestamp |own |AAAA|=|\n|\u{2014} | |.){0,30}") {
        let _ = Evidence::parse(text.as_bytes());
    }
}
