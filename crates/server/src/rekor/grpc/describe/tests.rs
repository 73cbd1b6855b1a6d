// SPDX-License-Identifier: Apache-2.0
//! The description against the messages: each message is written with all its fields and read again by what the description says of it.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::super::messages::{
    Checkpoint, CreateEntryRequest, Empty, EntryBundleRequest, HashedRekordRequest, HttpBody, InclusionProof,
    KindVersion, RawBytes, Signature, TileRequest, TransparencyLogEntry, Verifier,
};
use super::*;

/// What a field of each type holds below, so that none can be taken for another.
const TEXT: &str = "text";
const BYTES: [u8; 1] = [0xff];
const INT64: i64 = -1;
const UINT32: u32 = u32::MAX;
const ENUM: i32 = 5;

fn raw_bytes() -> RawBytes {
    RawBytes { raw_bytes: BYTES.to_vec() }
}

fn request() -> CreateEntryRequest {
    let verifier = Verifier { public_key: Some(raw_bytes()), x509_certificate: Some(raw_bytes()), key_details: ENUM };
    let signature = Signature { content: BYTES.to_vec(), verifier: Some(verifier) };
    CreateEntryRequest {
        hashed_rekord_request_v002: Some(HashedRekordRequest { digest: BYTES.to_vec(), signature: Some(signature) }),
        dsse_request_v002: None,
    }
}

fn entry() -> TransparencyLogEntry {
    TransparencyLogEntry {
        log_index: INT64,
        log_id: Some(raw_bytes()),
        kind_version: Some(KindVersion { kind: TEXT.to_owned(), version: TEXT.to_owned() }),
        integrated_time: INT64,
        inclusion_proof: Some(InclusionProof {
            log_index: INT64,
            root_hash: BYTES.to_vec(),
            tree_size: INT64,
            hashes: vec![BYTES.to_vec(), BYTES.to_vec()],
            checkpoint: Some(Checkpoint { envelope: TEXT.to_owned() }),
        }),
        canonicalized_body: BYTES.to_vec(),
    }
}

/// Every message of a method, with all its fields.
fn messages() -> BTreeMap<&'static str, Vec<u8>> {
    BTreeMap::from([
        (".dev.sigstore.rekor.v2.CreateEntryRequest", request().encode_to_vec()),
        (".dev.sigstore.rekor.v1.TransparencyLogEntry", entry().encode_to_vec()),
        (".dev.sigstore.rekor.v2.TileRequest", TileRequest { level: UINT32, index: TEXT.to_owned() }.encode_to_vec()),
        (".dev.sigstore.rekor.v2.EntryBundleRequest", EntryBundleRequest { index: TEXT.to_owned() }.encode_to_vec()),
        (".google.api.HttpBody", HttpBody { content_type: TEXT.to_owned(), data: BYTES.to_vec() }.encode_to_vec()),
        (".google.protobuf.Empty", Empty {}.encode_to_vec()),
    ])
}

fn described() -> BTreeMap<String, DescriptorProto> {
    let of = |file: &File| {
        let package = file.package;
        super::file(file)
            .message_type
            .into_iter()
            .map(move |message| (format!(".{package}.{}", message.name()), message))
    };
    FILES.iter().flat_map(of).collect()
}

/// Reads a message by its description alone.
fn check(described: &BTreeMap<String, DescriptorProto>, name: &str, mut bytes: &[u8]) {
    let message = described.get(name).unwrap_or_else(|| panic!("{name} is not described"));
    let mut seen = BTreeSet::new();
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).unwrap();
        let field = message.field.iter().find(|field| field.number() == i32::try_from(number).unwrap());
        let field = field.unwrap_or_else(|| panic!("{name}: number {number} is not described"));
        let first = seen.insert(number);
        assert!(first || field.label() == Label::Repeated, "{name}.{} is there twice", field.name());
        let value = decode_varint(&mut bytes).unwrap();
        if wire_type == WireType::Varint {
            let expect = match field.r#type() {
                Type::Int64 => INT64.cast_unsigned(),
                Type::Uint32 => u64::from(UINT32),
                Type::Enum => u64::from(ENUM.cast_unsigned()),
                other => panic!("{name}.{} is described as {other:?} and is a number", field.name()),
            };
            assert_eq!(value, expect, "{name}.{}", field.name());
            continue;
        }
        assert_eq!(wire_type, WireType::LengthDelimited, "{name}.{}", field.name());
        let held;
        (held, bytes) = bytes.split_at(usize::try_from(value).unwrap());
        match field.r#type() {
            Type::String => assert_eq!(held, TEXT.as_bytes(), "{name}.{}", field.name()),
            Type::Bytes => assert_eq!(held, BYTES, "{name}.{}", field.name()),
            Type::Message => check(described, field.type_name(), held),
            other => panic!("{name}.{} is described as {other:?} and has a length", field.name()),
        }
    }
    let expect: BTreeSet<u32> = message.field.iter().map(|field| u32::try_from(field.number()).unwrap()).collect();
    assert_eq!(seen, expect, "{name} has these and is described with those");
}

#[test]
fn the_description_is_that_of_the_messages() {
    let described = described();
    for (name, bytes) in messages() {
        check(&described, name, &bytes);
    }
}

#[test]
fn every_method_has_messages_that_are_compared() {
    let compared = messages();
    for (method, request, reply) in METHODS {
        assert!(compared.contains_key(request) && compared.contains_key(reply), "{method}");
    }
}

#[test]
fn names_in_json_are_those_of_http() {
    for (name, expect) in [
        ("hashed_rekord_request_v002", "hashedRekordRequestV002"),
        ("x509_certificate", "x509Certificate"),
        ("digest", "digest"),
        ("L", "L"),
    ] {
        assert_eq!(json_name(name), expect);
    }
}

#[test]
fn every_file_stands_after_what_it_imports_and_imports_what_it_names() {
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in FILES.iter().map(super::file) {
        let own = |name: &str| format!(".{}.{name}", file.package());
        let messages = file.message_type.iter().map(|message| own(message.name()));
        let types: BTreeSet<String> = messages.chain(file.enum_type.iter().map(|of| own(of.name()))).collect();
        let fields = file.message_type.iter().flat_map(|message| &message.field);
        let mut named: Vec<&str> = fields.filter_map(|field| field.type_name.as_deref()).collect();
        for method in file.service.iter().flat_map(|service| &service.method) {
            named.extend([method.input_type(), method.output_type()]);
        }
        for name in named {
            let imported = || file.dependency.iter().any(|import| before[import].contains(name));
            assert!(types.contains(name) || imported(), "{}: {name}", file.name());
        }
        assert!(file.dependency.iter().all(|import| before.contains_key(import)), "{}", file.name());
        before.insert(file.name().to_owned(), types);
    }
    super::reflection().build_v1().unwrap();
}
