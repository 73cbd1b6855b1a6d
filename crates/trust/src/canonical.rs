// SPDX-License-Identifier: Apache-2.0
//! OLPC canonical JSON as securesystemslib writes it: the bytes that TUF signatures cover.
//!
//! Spec: TUF 1.0.34 §4.2, http://wiki.laptop.org/go/Canonical_JSON.
//! In scope: writing. Out of scope: RFC 8785, which escapes control characters and so gives other bytes for a PEM key.
//! Invariants: members are sorted by code point; of a string only `\` and `"` are escaped; numbers are integers.

use serde_json::Value;

use crate::MetadataError;

/// The canonical bytes of a value.
///
/// # Errors
/// If a number in it is not an integer of 64 bits.
pub fn canonical(value: &Value) -> Result<Vec<u8>, MetadataError> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), MetadataError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes())
        }
        Value::Number(_) => return Err(MetadataError::NotAnInteger),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (position, (name, member)) in members.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn escapes_only_quote_and_backslash_and_sorts_members() {
        let value = json!({"b": ["a\n\"\\\u{1}é", true, null], "a": {"z": -1, "y": 18_446_744_073_709_551_615_u64}});
        let expected = "{\"a\":{\"y\":18446744073709551615,\"z\":-1},\"b\":[\"a\n\\\"\\\\\u{1}é\",true,null]}";
        assert_eq!(canonical(&value).unwrap(), expected.as_bytes());
    }

    #[test]
    fn refuses_a_fraction() {
        assert!(matches!(canonical(&json!({"a": 1.5})), Err(MetadataError::NotAnInteger)));
    }

    #[test]
    fn agrees_with_an_independent_writer_on_the_public_roots() {
        let history = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../shared/vectors/sigstore-tuf-repository/metadata/root_history"
        );
        let mut seen = 0;
        for entry in std::fs::read_dir(history).unwrap() {
            let root: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
            let ours = canonical(&root["signed"]).unwrap();
            assert_eq!(ours, sigstore_tuf::canonical_json::to_canonical_bytes(&root["signed"]).unwrap());
            seen += 1;
        }
        assert!(seen >= 15);
    }

    /// JSON as metadata may hold it, some levels deep.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::from(members.into_iter().collect::<serde_json::Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_an_independent_writer_on_any_value(value in any_value()) {
            let theirs = sigstore_tuf::canonical_json::to_canonical_bytes(&value).unwrap();
            prop_assert_eq!(canonical(&value).unwrap(), theirs);
        }
    }
}
