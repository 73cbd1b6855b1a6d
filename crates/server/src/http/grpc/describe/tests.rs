// SPDX-License-Identifier: Apache-2.0
//! A description against the messages: each message is written with all its fields and read again by what the description says of it.

use std::collections::{BTreeMap, BTreeSet};

use prost::encoding::{WireType, decode_key, decode_varint};

use super::*;

/// What a field of each type holds in a message that is checked, so that none can be taken for another.
pub(crate) const TEXT: &str = "text";
pub(crate) const BYTES: [u8; 1] = [0xff];
pub(crate) const INT64: i64 = -1;
pub(crate) const UINT32: u32 = u32::MAX;
pub(crate) const ENUM: i32 = 2;

/// Every message that a method takes or gives, with all its fields, and the whole of the description.
pub(crate) fn check_described(files: &[File], messages: &BTreeMap<&'static str, Vec<u8>>) {
    let of = |one: &File| {
        let package = one.package;
        file(one).message_type.into_iter().map(move |message| (format!(".{package}.{}", message.name()), message))
    };
    let described = files.iter().flat_map(of).collect();
    for (name, bytes) in messages {
        check(&described, name, bytes);
    }
    for (method, request, reply) in files.iter().flat_map(|file| file.services).flat_map(|(_, methods)| *methods) {
        assert!(messages.contains_key(request) && messages.contains_key(reply), "{method}");
    }
    check_imports(files);
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
                Type::Bool => 1,
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

/// Every file stands after what it imports, and imports what it names.
fn check_imports(files: &[File]) {
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().map(file) {
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
