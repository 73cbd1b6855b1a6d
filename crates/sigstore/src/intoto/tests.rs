// SPDX-License-Identifier: Apache-2.0
//! Statements: those of public attestations, which of them speak of a file, and what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};
use touchmark_keys::digest;

use super::*;
use crate::vectors;

const FILE: &[u8] = b"the file";

fn digests(file: &[u8]) -> Vec<Digest> {
    HashAlgorithm::ALL.into_iter().map(|algorithm| digest(algorithm, file)).collect()
}

fn hex_of(algorithm: HashAlgorithm, file: &[u8]) -> String {
    hex::encode(digest(algorithm, file).as_bytes())
}

fn statement() -> Value {
    json!({
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "file", "digest": {"sha256": hex_of(HashAlgorithm::Sha256, FILE)}}],
        "predicateType": "https://example.com/predicate/v1",
        "predicate": {"said": [1, {"deep": null}]},
    })
}

fn parse(statement: &Value) -> Result<Statement, StatementError> {
    Statement::parse(&serde_json::to_vec(statement).unwrap())
}

#[test]
fn public_statements_are_read_and_bind_their_file() {
    let mut read = 0;
    for (name, bundle) in vectors::bundles() {
        let Some(payload) = bundle.pointer("/dsseEnvelope/payload").and_then(vectors::base64) else { continue };
        let statement = Statement::parse(&payload).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(statement.subjects().len(), 1, "{name}");
        assert!(statement.predicate_type().starts_with("https://"), "{name}");
        let whole: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(statement.predicate().unwrap(), whole["predicate"], "{name}");
        let own = statement.subjects()[0].digests().to_vec();
        assert_eq!(statement.bind(&own), Ok(&statement.subjects()[0]), "{name}");
        assert!(statement.bind(&digests(FILE)).is_err(), "{name}");
        read += 1;
    }
    assert!(read >= 10, "the suite has shrunk to {read} attestations");
}

#[test]
fn both_versions_are_read_and_no_other() {
    let check = |found: &str, expect: bool| {
        let mut statement = statement();
        statement["_type"] = json!(found);
        assert_eq!(parse(&statement).is_ok(), expect, "{found}");
    };
    check("https://in-toto.io/Statement/v1", true);
    check("https://in-toto.io/Statement/v0.1", true);
    for other in ["", "https://in-toto.io/Statement/v2", "https://in-toto.io/Statement/v1 ", "Statement/v1"] {
        check(other, false);
    }
}

/// GHSA-w6c6-c85g-mmv6: a malformed payload was called verified.
#[test]
fn ghsa_w6c6_c85g_mmv6_each_thing_that_a_statement_must_have_is_demanded() {
    let check = |pointer: &str, value: Value, expect: StatementError| {
        let mut statement = statement();
        *statement.pointer_mut(pointer).unwrap() = value;
        assert_eq!(parse(&statement), Err(expect), "{pointer}");
    };
    check("/_type", Value::Null, StatementError::Type { found: String::new() });
    check("/subject", Value::Null, StatementError::NoSubject);
    check("/subject", json!([]), StatementError::NoSubject);
    check("/subject/0/digest", Value::Null, StatementError::NoDigest { index: 0 });
    check("/subject/0/digest", json!({}), StatementError::NoDigest { index: 0 });
    check("/predicateType", json!(""), StatementError::NoPredicateType);
    check("/predicateType", Value::Null, StatementError::NoPredicateType);
    let algorithm = HashAlgorithm::Sha256;
    check("/subject/0/digest/sha256", json!("zz"), StatementError::DigestText { index: 0, algorithm });
    let error = Digest::new(algorithm, vec![0xab]).unwrap_err();
    check("/subject/0/digest/sha256", json!("ab"), StatementError::Digest { index: 0, error });
    for pointer in [
        "/_type",
        "/subject",
        "/subject/0",
        "/subject/0/name",
        "/subject/0/digest",
        "/subject/0/digest/sha256",
        "/predicateType",
    ] {
        let mut statement = statement();
        *statement.pointer_mut(pointer).unwrap() = json!(7);
        assert!(matches!(parse(&statement), Err(StatementError::Wire(WireError::InvalidValue { .. }))), "{pointer}");
    }
    for text in ["", "[]", "7", "null", "\"x\"", "{}x"] {
        assert!(matches!(Statement::parse(text.as_bytes()), Err(StatementError::Wire(_))), "{text}");
    }
}

/// GHSA-cq38-jh5f-37mq: a statement with endless subjects kept a verifier busy.
#[test]
fn ghsa_cq38_jh5f_37mq_subjects_and_their_digests_are_limited() {
    let check = |pointer: &str, value: Value, expect: StatementError| {
        let mut statement = statement();
        *statement.pointer_mut(pointer).unwrap() = value;
        assert_eq!(parse(&statement), Err(expect), "{pointer}");
    };
    let subject = statement()["subject"][0].clone();
    let found = SUBJECTS_MAX + 1;
    check("/subject", json!(vec![subject; found]), StatementError::TooManySubjects { found });
    let found = SUBJECT_DIGESTS_MAX + 1;
    let many: Value =
        (0..found).map(|number| (format!("own{number}"), json!("00"))).collect::<serde_json::Map<_, _>>().into();
    check("/subject/0/digest", many, StatementError::TooManyDigests { index: 0, found });
}

#[test]
fn members_that_stand_twice_are_refused_at_any_depth() {
    let whole = serde_json::to_string(&statement()).unwrap();
    let check = |one: &str, twice: &str| {
        assert!(whole.contains(one), "{one}");
        let error = Statement::parse(whole.replace(one, twice).as_bytes()).unwrap_err();
        assert!(matches!(error, StatementError::Wire(WireError::DuplicateMember { .. })), "{twice}: {error}");
    };
    check(r#""_type":"#, r#""_type":"x","_type":"#);
    check(r#""predicate":"#, r#""predicate":{},"predicate":"#);
    check(r#""name":"#, r#""name":"x","name":"#);
    check(r#""sha256":"#, r#""sha256":"x","sha256":"#);
    check(r#""deep":"#, r#""deep":1,"\u0064eep":"#);
}

#[test]
fn unknown_members_are_ignored_and_lookalikes_refused() {
    let mut unknown = statement();
    unknown["x"] = json!({"y": 1});
    unknown["subject"][0]["annotations"] = json!({"z": 1});
    assert_eq!(parse(&unknown), parse(&statement()));
    for name in ["Subject", "_Type", "type", "predicate_type", "PREDICATETYPE", "Predicate"] {
        let mut lookalike = statement();
        lookalike[name] = json!("x");
        let error = parse(&lookalike).unwrap_err();
        assert!(matches!(error, StatementError::Wire(WireError::UnknownMember { .. })), "{name}: {error}");
    }
}

#[test]
fn a_file_is_bound_by_every_digest_of_one_subject() {
    let other = b"another file";
    let (sha256, sha384, sha512) = (HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512);
    let check = |subjects: Value, artifact: &[Digest], expect: Result<&str, &str>| {
        let mut statement = statement();
        statement["subject"] = subjects.clone();
        let statement = parse(&statement).unwrap();
        let bound = statement.bind(artifact).map(Subject::name).map_err(|error| match error {
            StatementError::NoCommonAlgorithm => "nothing in common",
            StatementError::OtherArtifact(_) => "other",
            StatementError::Contradicts { .. } => "contradicts",
            error => panic!("{error}"),
        });
        assert_eq!(bound, expect, "{subjects}");
    };
    let all = digests(FILE);
    let own = |algorithm| hex_of(algorithm, FILE);
    let foreign = |algorithm| hex_of(algorithm, other);
    check(json!([{"name": "a", "digest": {"sha256": own(sha256)}}]), &all, Ok("a"));
    check(json!([{"name": "a", "digest": {"sha256": own(sha256).to_uppercase()}}]), &all, Ok("a"));
    check(json!([{"name": "a", "digest": {"sha512": own(sha512), "sha384": own(sha384)}}]), &all, Ok("a"));
    check(json!([{"digest": {"sha256": own(sha256), "gitCommit": "00"}}]), &all, Ok(""));
    check(json!([{"name": "a", "digest": {"sha256": foreign(sha256)}}]), &all, Err("other"));
    check(json!([{"name": "a", "digest": {"gitCommit": own(sha256)}}]), &all, Err("nothing in common"));
    check(json!([{"name": "a", "digest": {"SHA256": own(sha256)}}]), &all, Err("nothing in common"));
    // One digest of the file beside one of another file: which of both is meant cannot be known.
    let mixed = json!({"sha256": own(sha256), "sha512": foreign(sha512)});
    check(json!([{"name": "a", "digest": mixed}]), &all, Err("contradicts"));
    // Who knows one digest alone sees no contradiction.
    check(json!([{"name": "a", "digest": mixed}]), &all[..1], Ok("a"));
    check(json!([{"name": "a", "digest": mixed}]), &[digest(sha512, FILE)], Err("other"));
    // The digests of two subjects do not add up.
    let split = json!([
        {"name": "a", "digest": {"sha256": own(sha256), "sha512": foreign(sha512)}},
        {"name": "b", "digest": {"sha256": foreign(sha256), "sha512": own(sha512)}},
    ]);
    check(split, &all, Err("contradicts"));
    let second =
        json!([{"name": "a", "digest": {"sha256": foreign(sha256)}}, {"name": "b", "digest": {"sha256": own(sha256)}}]);
    check(second, &all, Ok("b"));
    check(json!([{"name": "a", "digest": {"sha256": own(sha256)}}]), &[], Err("nothing in common"));
}

#[test]
fn what_is_written_is_read_again() {
    let predicate = json!({"b": 1, "a": ["x", null]});
    for digest in digests(FILE) {
        let text = format!("{predicate}\n");
        let payload = statement_of("dir/file \"1\"", &digest, "https://example.com/p", &text).unwrap();
        let read = Statement::parse(&payload).unwrap();
        assert_eq!(read.bind(&digests(FILE)).map(Subject::name), Ok("dir/file \"1\""));
        assert_eq!(read.predicate_type(), "https://example.com/p");
        assert_eq!(read.predicate().unwrap(), predicate);
    }
    let digest = digest(HashAlgorithm::Sha256, FILE);
    assert_eq!(statement_of("x", &digest, "", "{}"), Err(StatementError::NoPredicateType));
    for no_json in ["", "{", "{},\"subject\":[]", "{}}", "\u{feff}{}"] {
        let refused = statement_of("x", &digest, "https://example.com/p", no_json);
        assert!(matches!(refused, Err(StatementError::Predicate { .. })), "{no_json:?}");
    }
    let exact = statement_of("x", &digest, "https://example.com/p", "[1.00, 123456789012345678901234567890]").unwrap();
    let predicate = Statement::parse(&exact).unwrap().predicate_json().map(str::to_owned);
    assert_eq!(predicate.as_deref(), Some("[1.00, 123456789012345678901234567890]"));
}

#[test]
fn a_statement_without_predicate_says_nothing() {
    let mut bare = statement();
    bare.as_object_mut().unwrap().remove("predicate");
    let read = parse(&bare).unwrap();
    assert_eq!((read.predicate_json(), read.predicate()), (None, Ok(Value::Null)));
}

#[test]
fn a_predicate_may_be_large_and_is_not_endlessly_deep() {
    let mut large = statement();
    large["predicate"] = json!(vec![json!({"package": "name"}); 100_000]);
    assert!(parse(&large).is_ok());
    let deep = |levels: usize| {
        let text = serde_json::to_string(&statement()).unwrap();
        let predicate = format!(r#""predicate":{}{},"x":"#, "[".repeat(levels), "]".repeat(levels));
        Statement::parse(text.replace(r#""predicate":"#, &predicate).as_bytes())
    };
    assert!(deep(90).is_ok());
    assert!(matches!(deep(100_000), Err(StatementError::Wire(WireError::TooDeep { .. }))));
}

proptest! {
    #[test]
    fn is_total(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Statement::parse(&bytes);
    }

    #[test]
    fn is_total_on_damaged_statements(at: prop::sample::Index, byte: u8, cut: bool) {
        let mut text = serde_json::to_vec(&statement()).unwrap();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        if let Ok(read) = Statement::parse(&text) {
            let _ = read.bind(&digests(FILE));
            let _ = read.predicate();
        }
    }

    /// The reader that keeps the text of a predicate accepts what the reader of whole documents accepts.
    #[test]
    fn a_predicate_is_checked_like_a_document(predicate in r#"[\[\]{}:,"0-9a-u\\\-+.eE \n]{0,24}"#) {
        let text = format!(r#"{{"predicate":{predicate}}}"#);
        let whole = parse_value(text.as_bytes(), 1 << 20);
        let number_without_value = matches!(whole, Err(WireError::Syntax { place: "in exponent of numeric literal", .. }));
        let kept = wire::Statement::from_json(text.as_bytes());
        // A predicate that closes the statement and goes on with members of its own.
        prop_assume!(!matches!(kept, Err(WireError::UnknownMember { .. } | WireError::InvalidValue { .. })));
        prop_assert_eq!(kept.is_ok(), whole.is_ok() || number_without_value, "{}", text);
    }
}
