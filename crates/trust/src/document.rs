// SPDX-License-Identifier: Apache-2.0
//! Metadata files: the bytes as they came, and a typed look at what is in them.
//!
//! Spec: TUF 1.0.34 §4.2 (file form), §4.3 to §4.7 (common members).
//! In scope: the envelope, the four types of role, version, expiry, signatures; making a file from a `signed` part. Out of scope: what the
//! roles say (`role`), whether signatures hold (`verify`).
//! Invariants: the bytes are never rewritten by reading; what is edited is the JSON that was read, so that members that this version does not
//! know stay. Signatures cover the canonical form of the `signed` part as it was read.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use touchmark_keys::sha256;

use crate::key::KeyId;
use crate::{MetadataError, canonical, json};

/// Longest metadata file of any role: python-tuf's limit of targets.
pub const DOCUMENT_BYTES_MAX: usize = 5_000_000;
/// Most signatures of one file: a hundred times the holders of the public instance.
const SIGNATURES_MAX: usize = 512;

/// A type of role. Delegated roles are of type [`RoleType::Targets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleType {
    Root,
    Targets,
    Snapshot,
    Timestamp,
}

impl RoleType {
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// The value of `_type`, and the name of the top-level role.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    /// Longest file of the role that public clients read (python-tuf, tuf-js, sigstore-tuf).
    #[must_use]
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Root => 512_000,
            Self::Targets => DOCUMENT_BYTES_MAX,
            Self::Snapshot => 2_000_000,
            Self::Timestamp => 16_384,
        }
    }
}

impl fmt::Display for RoleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One signature. An empty one stands for a holder who has not signed; one that is no hexadecimal text never holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureEntry {
    pub key_id: KeyId,
    pub signature: Vec<u8>,
}

/// A metadata file; nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    bytes: Vec<u8>,
    role_type: RoleType,
    signed: Map<String, Value>,
    canonical: Vec<u8>,
    version: u64,
    expires: Timestamp,
    signatures: Vec<SignatureEntry>,
}

impl Document {
    /// Reads a file of that role.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(role_type: RoleType, bytes: Vec<u8>) -> Result<Self, MetadataError> {
        if bytes.len() > role_type.bytes_max() {
            return Err(MetadataError::TooLong { max: role_type.bytes_max(), found: bytes.len() });
        }
        let envelope = json::read(&bytes)?;
        let member = |member, expected| MetadataError::Member { member, expected };
        let signed = envelope.get("signed").ok_or(member("signed", "an object"))?;
        let canonical = canonical(signed)?;
        let signed = signed.as_object().ok_or(member("signed", "an object"))?.clone();
        let found = signed.get("_type").and_then(Value::as_str).ok_or(member("_type", "a text"))?;
        if found != role_type.name() {
            return Err(MetadataError::Type { expected: role_type.name(), found: found.to_owned() });
        }
        let version = signed.get("version").and_then(Value::as_u64).filter(|version| *version > 0);
        let expires = signed.get("expires").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let spec = signed.get("spec_version").and_then(Value::as_str);
        if !spec.is_some_and(|version| version.starts_with("1.")) {
            return Err(member("spec_version", "one of TUF 1"));
        }
        Ok(Self {
            version: version.ok_or(member("version", "a number above 0"))?,
            expires: expires.ok_or(member("expires", "a time such as 2026-11-22T10:00:00Z"))?,
            signatures: signatures(envelope.get("signatures"))?,
            bytes,
            role_type,
            signed,
            canonical,
        })
    }

    /// The file of a `signed` part with these signatures.
    ///
    /// # Errors
    /// If it is not metadata of that role.
    pub fn write(
        role_type: RoleType,
        signed: &Map<String, Value>,
        signatures: &[SignatureEntry],
    ) -> Result<Self, MetadataError> {
        let entry = |entry: &SignatureEntry| json!({ "keyid": entry.key_id, "sig": hex::encode(&entry.signature) });
        let envelope = json!({ "signatures": signatures.iter().map(entry).collect::<Vec<_>>(), "signed": signed });
        let mut bytes = serde_json::to_vec_pretty(&envelope).expect("a JSON value always serialises");
        bytes.push(b'\n');
        Self::parse(role_type, bytes)
    }

    /// The same `signed` part with these signatures instead.
    ///
    /// # Errors
    /// If they are too many.
    pub fn with_signatures(&self, signatures: &[SignatureEntry]) -> Result<Self, MetadataError> {
        Self::write(self.role_type, &self.signed, signatures)
    }

    /// The file as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[must_use]
    pub fn role_type(&self) -> RoleType {
        self.role_type
    }

    /// The `signed` part, as JSON.
    #[must_use]
    pub fn signed(&self) -> &Map<String, Value> {
        &self.signed
    }

    /// What signatures cover.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// SHA-256 of what signatures cover: which content it is, whoever has signed it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.canonical)
    }

    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    #[must_use]
    pub fn signatures(&self) -> &[SignatureEntry] {
        &self.signatures
    }

    /// The document is good at that time: until its expiry, not at it.
    ///
    /// # Errors
    /// If it has expired.
    pub(crate) fn fresh_at(&self, now: Timestamp) -> Result<&Self, MetadataError> {
        if self.expires > now { Ok(self) } else { Err(MetadataError::expired(self.role_type, self.expires)) }
    }
}

fn signatures(list: Option<&Value>) -> Result<Vec<SignatureEntry>, MetadataError> {
    let list = list.and_then(Value::as_array);
    let list = list.ok_or(MetadataError::Member { member: "signatures", expected: "a list" })?;
    if list.len() > SIGNATURES_MAX {
        return Err(MetadataError::TooMany { member: "signatures", max: SIGNATURES_MAX, found: list.len() });
    }
    let mut signatures: Vec<SignatureEntry> = Vec::with_capacity(list.len());
    for entry in list {
        let text = |member: &'static str| {
            let text = entry.get(member).and_then(Value::as_str);
            text.ok_or(MetadataError::Member { member, expected: "a text" })
        };
        let key_id = KeyId::read(text("keyid")?)?;
        if signatures.iter().any(|other| other.key_id == key_id) {
            return Err(MetadataError::SignedTwice { key_id });
        }
        signatures.push(SignatureEntry { key_id, signature: hex::decode(text("sig")?).unwrap_or_default() });
    }
    Ok(signatures)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_an_error(bytes: Vec<u8>) {
            for role_type in RoleType::ALL {
                let _ = Document::parse(role_type, bytes.clone());
            }
        }

        /// A snapshot with one byte exchanged anywhere: never a panic, and never the content of another under the same bytes.
        #[test]
        fn a_document_with_another_byte_is_read_or_refused(position: prop::sample::Index, byte: u8) {
            let mut bytes = Document::write(RoleType::Snapshot, &signed(), &[]).unwrap().bytes().to_vec();
            let position = position.index(bytes.len());
            bytes[position] = byte;
            if let Ok(read) = Document::parse(RoleType::Snapshot, bytes.clone()) {
                prop_assert_eq!(read.bytes(), bytes);
                let again = canonical(&Value::from(read.signed().clone())).unwrap();
                prop_assert_eq!(read.canonical(), again);
            }
        }
    }

    fn signed() -> Map<String, Value> {
        let signed = json!({
            "_type": "snapshot", "spec_version": "1.0.31", "version": 3, "expires": "2026-11-22T10:00:00Z",
            "meta": {}, "x-ours": [1, {"a": null}],
        });
        signed.as_object().unwrap().clone()
    }

    #[test]
    fn nothing_is_dropped_by_writing_and_reading() {
        let document = Document::write(RoleType::Snapshot, &signed(), &[]).unwrap();
        assert_eq!((document.signed(), document.version()), (&signed(), 3));
        let again = Document::parse(RoleType::Snapshot, document.bytes().to_vec()).unwrap();
        assert_eq!(again, document);
    }

    #[test]
    fn each_wrong_member_is_named() {
        let check = |member: &str, value: Value, expected: &str| {
            let mut signed = signed();
            signed.insert(member.to_owned(), value);
            let error = Document::write(RoleType::Snapshot, &signed, &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("_type", json!("targets"), "`_type` is \"targets\", expected \"snapshot\"");
        check("version", json!(0), "`version`");
        check("version", json!("1"), "`version`");
        check("version", json!(1.5), "integer");
        check("expires", json!("tomorrow"), "`expires`");
        check("spec_version", json!("2.0.0"), "`spec_version`");
    }

    #[test]
    fn envelopes_that_are_none_are_refused() {
        let entry = |sig: &str| format!(r#"{{"keyid":"a","sig":"{sig}"}}"#);
        let signed = serde_json::to_string(&signed()).unwrap();
        let with = |signatures: &str| format!(r#"{{"signatures":[{signatures}],"signed":{signed}}}"#).into_bytes();
        let parse = |bytes| Document::parse(RoleType::Snapshot, bytes);
        assert!(matches!(parse(b"[]".to_vec()), Err(MetadataError::Member { member: "signed", .. })));
        assert!(matches!(parse(with(&format!("{0},{0}", entry("00")))), Err(MetadataError::SignedTwice { .. })));
        assert!(matches!(parse(with("{}")), Err(MetadataError::Member { member: "keyid", .. })));
        assert!(matches!(parse(vec![b' '; 2_000_001]), Err(MetadataError::TooLong { .. })));
        let unsigned = parse(with(&entry(""))).unwrap();
        assert!(unsigned.signatures()[0].signature.is_empty());
        assert!(parse(with(&entry("not hex"))).unwrap().signatures()[0].signature.is_empty());
    }
}
