// SPDX-License-Identifier: Apache-2.0
//! Cosignatures count by key, and the policy file means what its specification says.

use proptest::prelude::*;
use touchmark_keys::KeyType;
use touchmark_tlog::note::NoteSignature;

use super::super::witness_file::{TlogPolicyError, TlogPolicyProblem as Problem};
use super::*;
use crate::workshop::Key;

const TEXT: &str = "log.example\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
const TIME_MS: u64 = 1_780_000_000_000;

struct Signer {
    key: Key,
    note_key: NoteKey,
}

impl Signer {
    fn new(name: &str, algorithm: NoteAlgorithm) -> Self {
        let key = Key::new(KeyType::Ed25519);
        let note_key = NoteKey::new(name, algorithm, key.public()).unwrap();
        Self { key, note_key }
    }

    fn witness(name: &str) -> Self {
        Self::new(name, NoteAlgorithm::CosignatureV1)
    }

    fn vkey(&self) -> String {
        self.note_key.to_vkey().unwrap()
    }

    fn sign(&self, text: &str, time_ms: u64) -> NoteSignature {
        let message = self.note_key.signed_message(text, Some(time_ms)).unwrap();
        self.note_key.wrap(self.key.sign(&message), Some(time_ms)).unwrap()
    }
}

fn note(signatures: Vec<NoteSignature>) -> SignedNote {
    SignedNote::new(TEXT.to_owned(), signatures).unwrap()
}

fn witnesses(names: [&str; 3]) -> [Signer; 3] {
    names.map(Signer::witness)
}

fn two_of(signers: &[Signer; 3]) -> WitnessPolicy {
    WitnessPolicy::new(signers.iter().map(|signer| signer.note_key.clone()).collect(), 2).unwrap()
}

#[test]
fn distinct_witnesses_count_with_their_times() {
    let log = Signer::new("log.example", NoteAlgorithm::Ed25519);
    let signers = witnesses(["w1", "w2", "w3"]);
    let [one, two, three] = &signers;
    let policy = two_of(&signers);
    let cosigned =
        policy.cosigned(&note(vec![log.sign(TEXT, 0), two.sign(TEXT, TIME_MS), one.sign(TEXT, TIME_MS + 999)]));
    let time = Timestamp::from_millisecond(TIME_MS.try_into().unwrap()).unwrap();
    let expect = ["w1", "w2"].map(|name| Cosignature { name: name.into(), time });
    assert_eq!(cosigned.unwrap(), expect);

    let stranger = Signer::witness("stranger");
    for (found, signatures) in [
        (vec![], vec![log.sign(TEXT, 0)]),
        (vec!["w3"], vec![three.sign(TEXT, TIME_MS)]),
        // The same witness at two times is one witness, and a stranger is none.
        (vec!["w3"], vec![three.sign(TEXT, TIME_MS), three.sign(TEXT, TIME_MS + 1000), stranger.sign(TEXT, TIME_MS)]),
    ] {
        let error = policy.cosigned(&note(signatures)).unwrap_err();
        let found = found.into_iter().map(ToOwned::to_owned).collect();
        assert_eq!(error, WitnessError::Quorum { expected: "2 of (w1, w2, w3)".into(), found });
    }
}

#[test]
fn a_wrong_line_of_a_witness_fails_the_whole() {
    let signers = witnesses(["w1", "w2", "w3"]);
    let [one, two, three] = &signers;
    let of_another_text = three.sign(&TEXT.replace('7', "8"), TIME_MS);
    let error = two_of(&signers)
        .cosigned(&note(vec![one.sign(TEXT, TIME_MS), two.sign(TEXT, TIME_MS), of_another_text]))
        .unwrap_err();
    let invalid = NoteError::SignatureInvalid { name: "w3".into() };
    assert_eq!(error, WitnessError::Wrong { name: "w3".into(), error: invalid });
}

#[test]
fn a_stranger_under_the_name_of_a_witness_does_not_count() {
    let signers = witnesses(["w1", "w2", "w3"]);
    let namesake = Signer::witness("w2");
    let error = two_of(&signers)
        .cosigned(&note(vec![signers[0].sign(TEXT, TIME_MS), namesake.sign(TEXT, TIME_MS)]))
        .unwrap_err();
    assert_eq!(error, WitnessError::Quorum { expected: "2 of (w1, w2, w3)".into(), found: vec!["w1".into()] });
    assert_eq!(error.to_string(), "expected a checkpoint cosigned by 2 of (w1, w2, w3), found cosignatures of w1");
}

#[test]
fn keys_and_names_stand_once_and_the_threshold_can_be_met() {
    let (one, two) = (Signer::witness("w1"), Signer::witness("w2"));
    let again = NoteKey::new("w3", NoteAlgorithm::CosignatureV1, one.key.public()).unwrap();
    let log = Signer::new("log", NoteAlgorithm::Ed25519).note_key;
    let (one, two) = (one.note_key, two.note_key);
    let namesake = Signer::witness("w1").note_key;
    let error = |keys: Vec<&NoteKey>, threshold| {
        WitnessPolicy::new(keys.into_iter().cloned().collect(), threshold).unwrap_err()
    };
    assert_eq!(error(vec![&one, &again], 1), WitnessPolicyError::DuplicateKey { name: "w3".into() });
    assert_eq!(error(vec![&one, &namesake], 1), WitnessPolicyError::DuplicateName { name: "w1".into() });
    assert_eq!(error(vec![&one, &log], 1), WitnessPolicyError::NotAWitnessKey { name: "log".into() });
    assert_eq!(error(vec![&one, &two], 0), WitnessPolicyError::Threshold { threshold: 0, witnesses: 2 });
    assert_eq!(error(vec![&one, &two], 3), WitnessPolicyError::Threshold { threshold: 3, witnesses: 2 });
    assert_eq!(error(vec![], 0), WitnessPolicyError::Empty);
    assert_eq!(WitnessPolicy::from_vkeys(["no key"], 1).unwrap_err(), WitnessPolicyError::Key(VkeyError::Malformed));
    let many: Vec<NoteKey> = (0..=WITNESSES_MAX).map(|n| Signer::witness(&format!("w{n}")).note_key).collect();
    let found = many.len();
    assert_eq!(WitnessPolicy::new(many, 1).unwrap_err(), WitnessPolicyError::TooMany { found });
}

/// The example of the specification: two of three of one organisation, and any of two of another.
#[test]
fn groups_of_groups() {
    let log = Signer::new("log.example", NoteAlgorithm::Ed25519);
    let [x1, x2, x3] = witnesses(["x1", "x2", "x3"]);
    let (y1, y2) = (Signer::witness("y1"), Signer::witness("y2"));
    let text = format!(
        "# comment\n\nlog {}\twith-url\nwitness X1 {}\nwitness  X2 {} https://w.example\n\twitness X3 {}\nwitness Y1 {}\nwitness Y2 {}\n\
         group X 2 X1 X2 X3\ngroup Y any Y1 Y2\ngroup both all X Y\nquorum both\n",
        log.vkey(),
        x1.vkey(),
        x2.vkey(),
        x3.vkey(),
        y1.vkey(),
        y2.vkey(),
    );
    let policy = WitnessPolicy::from_tlog_policy(&text).unwrap();
    assert_eq!(policy.describe(), "2 of (2 of (X1, X2, X3), 1 of (Y1, Y2))");
    let urls: Vec<_> = policy.witnesses().map(|(name, _, url)| (name, url)).collect();
    assert_eq!(urls[..2], [("X1", None), ("X2", Some("https://w.example"))]);
    assert_eq!(policy.logs(), std::slice::from_ref(&log.note_key));
    let judge = |signers: &[&Signer]| {
        let signatures = signers.iter().map(|signer| signer.sign(TEXT, TIME_MS)).collect();
        policy.cosigned(&note(signatures))
    };
    let names = |cosignatures: Vec<Cosignature>| cosignatures.into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names(judge(&[&log, &x1, &x3, &y2]).unwrap()), ["X1", "X3", "Y2"]);
    for too_few in [vec![&log, &x1, &x2, &x3], vec![&log, &x1, &y1, &y2], vec![&log]] {
        assert!(matches!(judge(&too_few), Err(WitnessError::Quorum { .. })));
    }
    // A log that is listed must have signed.
    assert_eq!(judge(&[&x1, &x2, &y1]).unwrap_err(), WitnessError::Log { expected: "log.example".into() });
}

#[test]
fn the_log_of_the_policy_is_the_origin_of_the_checkpoint() {
    let other = Signer::new("other.example", NoteAlgorithm::Ed25519);
    let policy = WitnessPolicy::from_tlog_policy(&format!("log {}\nquorum none", other.vkey())).unwrap();
    assert!(policy.is_without_witnesses());
    let error = policy.cosigned(&note(vec![other.sign(TEXT, 0)])).unwrap_err();
    assert_eq!(error, WitnessError::Log { expected: "other.example".into() });
    let log = Signer::new("log.example", NoteAlgorithm::Ed25519);
    let policy = WitnessPolicy::from_tlog_policy(&format!("quorum none\nlog {}", log.vkey())).unwrap();
    assert_eq!(policy.cosigned(&note(vec![log.sign(TEXT, 0)])), Ok(Vec::new()));
}

#[test]
fn policy_files_are_read_to_the_letter() {
    let (a, b, log) = (Signer::witness("a"), Signer::witness("b"), Signer::new("log", NoteAlgorithm::Ed25519));
    let (va, vb, vlog) = (a.vkey(), b.vkey(), log.vkey());
    let two = format!("witness a {va}\nwitness b {vb}\n");
    let cases: [(String, usize, Problem); 19] = [
        (String::new(), 1, Problem::NoQuorum),
        (format!("{two}quorum a\nquorum b"), 4, Problem::SecondQuorum),
        ("quorum none\n".into(), 2, Problem::DemandsNothing),
        ("quorum a".into(), 1, Problem::UndefinedName("a".into())),
        (format!("quorum a\n{two}"), 1, Problem::UndefinedName("a".into())),
        (format!("{two}group g 1 a a"), 3, Problem::MemberTwice("a".into())),
        (format!("{two}group g any a\ngroup h any a"), 4, Problem::MemberTwice("a".into())),
        (format!("{two}group g any g"), 3, Problem::UndefinedName("g".into())),
        (format!("{two}group g any none"), 3, Problem::UndefinedName("none".into())),
        (format!("{two}group g 0 a b"), 3, Problem::Threshold { found: "0".into(), members: 2 }),
        (format!("{two}group g 3 a b"), 3, Problem::Threshold { found: "3".into(), members: 2 }),
        (format!("{two}group g +1 a b"), 3, Problem::Threshold { found: "+1".into(), members: 2 }),
        (format!("{two}group a any b"), 3, Problem::DuplicateName("a".into())),
        (format!("witness none {va}"), 1, Problem::DuplicateName("none".into())),
        (format!("{two}witness c {va}"), 3, Problem::DuplicateKey("witness")),
        (format!("log {vlog}\nlog {vlog}"), 2, Problem::DuplicateKey("log")),
        (format!("log {va}"), 1, Problem::KeyType("log")),
        (format!("witness l {vlog}"), 1, Problem::KeyType("witness")),
        (format!("{two}quorum a\r\n"), 3, Problem::ControlCharacter),
    ];
    for (text, line, problem) in cases {
        assert_eq!(WitnessPolicy::from_tlog_policy(&text), Err(TlogPolicyError { line, problem }), "{text}");
    }
    for (line, form) in [
        ("log", "log <vkey> [<url>]"),
        ("log a b c", "log <vkey> [<url>]"),
        ("witness a", "witness <name> <vkey> [<url>]"),
        ("group g any", "group <name> all|any|<k> <name>..."),
        ("quorum", "quorum <name>|none"),
        ("quorum a b", "quorum <name>|none"),
    ] {
        let problem = Problem::Form { form };
        assert_eq!(WitnessPolicy::from_tlog_policy(line), Err(TlogPolicyError { line: 1, problem }), "{line}");
    }
    let keyword = Problem::Keyword { word: "Witness".into() };
    assert_eq!(WitnessPolicy::from_tlog_policy("Witness a b"), Err(TlogPolicyError { line: 1, problem: keyword }));
    // A member of a group may be the quorum all the same.
    assert!(WitnessPolicy::from_tlog_policy(&format!("{two}group g any a b\nquorum a")).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_a_policy_or_an_error(text in "((log|witness|group|quorum|any|all|none|a|b|1|#| |\n|.)[ \n]?){0,30}") {
        let _ = WitnessPolicy::from_tlog_policy(&text);
    }
}
