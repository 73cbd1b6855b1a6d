// SPDX-License-Identifier: Apache-2.0
//! The codec on small documents: one claim for each habit of a dialect.

use proptest::prelude::*;

use super::*;
use crate::wire::rekor::{CreateEntryRequest, TransparencyLogEntry};
use crate::wire::{Nullable, bundle, ct, fulcio, trust, tsa};

fn at(line: usize, column: usize) -> Position {
    Position { line, column }
}

#[test]
fn rekor_refuses_an_unknown_member_at_its_place() {
    let error = CreateEntryRequest::from_json(br#"{"hashedRekordRequestV002":{"x":1}}"#).unwrap_err();
    assert_eq!(error, WireError::UnknownMember { at: at(1, 29), name: "x".into() });
    assert_eq!(error.to_string(), r#"proto: (line 1:29): unknown field "x""#);
}

#[test]
fn fulcio_drops_unknown_members_and_unknown_enum_names() {
    let text = br#"{"x":{"y":[1]},"publicKeyRequest":{"publicKey":{"algorithm":"RSA","content":"pem"}}}"#;
    let request = fulcio::CreateSigningCertificateRequest::from_json(text).unwrap();
    assert_eq!(request.public_key_request.unwrap().public_key.unwrap().content, "pem");
}

#[test]
fn snake_case_is_read_where_the_dialect_has_it() {
    let text = br#"{"hashed_rekord_request_v002":{"digest":"AA=="}}"#;
    let request = CreateEntryRequest::from_json(text).unwrap();
    assert_eq!(request.hashed_rekord_request_v002.unwrap().digest, [0]);
    let refused = bundle::Bundle::from_json(br#"{"media_type":"x"}"#).unwrap_err();
    assert_eq!(refused, WireError::UnknownMember { at: at(1, 2), name: "media_type".into() });
}

#[test]
fn both_names_of_one_member_are_a_duplicate() {
    let text = br#"{"publicKeyRequest":{},"public_key_request":{}}"#;
    let error = fulcio::CreateSigningCertificateRequest::from_json(text).unwrap_err();
    assert_eq!(error, WireError::DuplicateMember { at: at(1, 24), name: "public_key_request".into() });
}

#[test]
fn an_empty_body_is_an_empty_message_to_the_services_alone() {
    assert_eq!(CreateEntryRequest::from_json(b""), Ok(CreateEntryRequest::default()));
    assert_eq!(bundle::Bundle::from_json(b""), Err(WireError::UnexpectedEnd));
}

#[test]
fn null_is_absent() {
    let entry = TransparencyLogEntry::from_json(br#"{"logIndex":null,"inclusionPromise":null}"#).unwrap();
    assert_eq!(entry, TransparencyLogEntry::default());
}

#[test]
fn integers_of_64_bits_are_strings_and_read_from_numbers() {
    let entry = TransparencyLogEntry::from_json(br#"{"logIndex":7}"#).unwrap();
    assert_eq!(entry, TransparencyLogEntry::from_json(br#"{"logIndex":"7"}"#).unwrap());
    for bad in ["\"\"", "\"07\"", "\"+7\"", "\"-0\"", "\" 7\"", "\"1.5\"", "1e3", "true", "\"9223372036854775808\""] {
        let error = TransparencyLogEntry::from_json(format!("{{\"logIndex\":{bad}}}").as_bytes()).unwrap_err();
        assert_eq!(error, WireError::InvalidValue { at: at(1, 13), member: "logIndex", expected: Kind::Integer });
    }
}

#[test]
fn a_reply_of_rekor_emits_its_defaults() {
    let text = String::from_utf8(TransparencyLogEntry::default().to_json()).unwrap();
    assert_eq!(
        text,
        r#"{"logIndex":"0","integratedTime":"0","inclusionPromise":null,"inclusionProof":null,"canonicalizedBody":""}"#
    );
}

#[test]
fn plain_numbers_are_numbers_only() {
    let text = String::from_utf8(ct::SignedTreeHead::default().to_json()).unwrap();
    assert_eq!(text, r#"{"tree_size":0,"timestamp":0,"sha256_root_hash":"","tree_head_signature":""}"#);
    assert!(ct::SignedTreeHead::from_json(br#"{"tree_size":"1"}"#).is_err());
}

#[test]
fn base64_is_read_in_the_alphabets_of_the_dialect() {
    let digest = |text: &str| {
        let document = format!(r#"{{"hashedRekordRequestV002":{{"digest":"{text}"}}}}"#);
        CreateEntryRequest::from_json(document.as_bytes())
            .map(|request| request.hashed_rekord_request_v002.unwrap().digest)
    };
    for text in ["+/8=", "+/8", "-_8=", "-_8", "+/\\n8=\\r\\n"] {
        assert_eq!(digest(text).unwrap(), [0xfb, 0xff], "{text}");
    }
    for text in ["+_8=", "+/9=", "+", "+/8=="] {
        assert!(digest(text).is_err(), "{text}");
    }
    let bundle = |text: &str| {
        bundle::Bundle::from_json(format!(r#"{{"messageSignature":{{"signature":"{text}"}}}}"#).as_bytes()).is_ok()
    };
    assert!(bundle("+/8="));
    for text in ["+/8", "-_8=", "+/8=\\n"] {
        assert!(!bundle(text), "{text}");
    }
}

#[test]
fn shown_text_from_outside_is_cut() {
    let error = WireError::UnknownMember { at: at(1, 1), name: "n".repeat(1000) };
    assert!(error.to_string().len() < 120);
}

#[test]
fn a_timestamp_request_is_read_and_written() {
    let text = br#"{"artifactHash":"AAEC","certificates":true,"hashAlgorithm":"sha256","nonce":18446744073709551615}"#;
    let request = tsa::TimestampRequest::from_json(text).unwrap();
    assert_eq!(request.nonce, Some(u64::MAX));
    assert_eq!(request.to_json(), text);
}

proptest! {
    #[test]
    fn every_reader_is_total(text in r#"\{("[a-zA-Z]{1,20}":(\{\}|\[\]|null|"[A-Za-z0-9=]{0,8}"|-?[0-9]{1,20}),?){0,4}\}?"#) {
        let _ = bundle::Bundle::from_json(text.as_bytes());
        let _ = trust::TrustedRoot::from_json(text.as_bytes());
        let _ = trust::SigningConfig::from_json(text.as_bytes());
        let _ = CreateEntryRequest::from_json(text.as_bytes());
        let _ = TransparencyLogEntry::from_json(text.as_bytes());
        let _ = fulcio::CreateSigningCertificateRequest::from_json(text.as_bytes());
        let _ = tsa::TimestampRequest::from_json(text.as_bytes());
        let _ = ct::AddChainRequest::from_json(text.as_bytes());
    }

    #[test]
    fn what_is_written_is_read_back(
        log_index in any::<i64>(), key_id in proptest::collection::vec(any::<u8>(), 0..40), kind in ".{0,8}",
        hashes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..33), 0..4), envelope in ".{0,40}",
    ) {
        use crate::wire::rekor::{Checkpoint, InclusionProof, KindVersion, LogId};
        let entry = TransparencyLogEntry {
            log_index,
            log_id: Some(LogId { key_id: key_id.clone() }),
            kind_version: Some(KindVersion { kind, version: String::new() }),
            inclusion_proof: Nullable(Some(InclusionProof {
                log_index, root_hash: key_id, tree_size: 0, hashes, checkpoint: Some(Checkpoint { envelope }),
            })),
            ..TransparencyLogEntry::default()
        };
        prop_assert_eq!(&TransparencyLogEntry::from_json(&entry.to_json()).unwrap(), &entry);
    }
}
