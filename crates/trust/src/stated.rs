// SPDX-License-Identifier: Apache-2.0
//! What metadata states of other files: versions of metadata, lengths and hashes of targets.
//!
//! Spec: TUF 1.0.34 §4.4 (`meta`), §4.5 (`targets`).
//! In scope: reading it, comparing a file with it, the name under which a file is served. Out of scope: whether the metadata is believed.
//! Invariants: a target has a length and at least one hash that this version knows; every known hash must match.

use serde_json::{Map, Value, json};
use touchmark_keys::{Digest, HashAlgorithm, digest};

use crate::MetadataError;
use crate::document::Document;

/// What snapshot or timestamp state of a metadata file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) version: u64,
    content: Content,
}

impl Pin {
    /// What `document` states of the file of that name.
    pub(crate) fn read(document: &Document, name: &str) -> Result<Self, MetadataError> {
        let by = document.role_type().name();
        let not_named = || MetadataError::NotNamed { by, name: name.to_owned() };
        let entry = document.signed().get("meta").and_then(|meta| meta.get(name)).ok_or_else(not_named)?;
        let version = entry.get("version").and_then(Value::as_u64).filter(|version| *version > 0);
        let version =
            version.ok_or(MetadataError::Member { member: "meta", expected: "an object of files with versions" })?;
        Ok(Self { version, content: Content::read(entry)? })
    }

    /// The bytes have the stated length and hashes, where any are stated.
    pub(crate) fn expect(&self, bytes: &[u8], by: &str) -> Result<(), MetadataError> {
        self.content.expect(bytes, by)
    }
}

/// All files that `meta` names, with their versions.
pub(crate) fn versions(document: &Document) -> impl Iterator<Item = (&String, u64)> {
    let meta = document.signed().get("meta").and_then(Value::as_object);
    meta.into_iter().flatten().filter_map(|(name, entry)| Some((name, entry.get("version")?.as_u64()?)))
}

/// A target, as a targets role states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    path: String,
    length: u64,
    content: Content,
}

impl TargetFile {
    /// Every target of a role.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn all(targets: &Document) -> Result<Vec<Self>, MetadataError> {
        let files = targets.signed().get("targets").and_then(Value::as_object);
        let files = files.ok_or(MetadataError::Member { member: "targets", expected: "an object" })?;
        files.iter().map(|(path, entry)| Self::read(path, entry)).collect()
    }

    fn read(path: &str, entry: &Value) -> Result<Self, MetadataError> {
        if !is_plain(path) {
            return Err(MetadataError::Member { member: "targets", expected: "files in plain directories" });
        }
        let content = Content::read(entry)?;
        let length = content.length.ok_or(MetadataError::Member { member: "length", expected: "a number" })?;
        if content.hashes.is_empty() {
            return Err(MetadataError::Member { member: "hashes", expected: "an object with sha256 or sha512" });
        }
        Ok(Self { path: path.to_owned(), length, content })
    }

    /// What a targets role states of these bytes: as the public repository, length and SHA-256.
    #[must_use]
    pub fn entry(bytes: &[u8]) -> Value {
        let hash = digest(HashAlgorithm::Sha256, bytes);
        json!({ "length": bytes.len(), "hashes": { "sha256": hex::encode(hash.as_bytes()) } })
    }

    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The first of the stated hashes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.content.hashes[0]
    }

    /// Where it is served, with consistent snapshots: the hash is before the name in its directory (§6.2).
    #[must_use]
    pub fn served_as(&self) -> String {
        let hash = hex::encode(self.digest().as_bytes());
        match self.path.rsplit_once('/') {
            Some((directory, name)) => format!("targets/{directory}/{hash}.{name}"),
            None => format!("targets/{hash}.{}", self.path),
        }
    }

    /// The bytes are those of the target.
    ///
    /// # Errors
    /// If length or a hash differs.
    pub fn expect(&self, bytes: &[u8]) -> Result<(), MetadataError> {
        self.content.expect(bytes, "the targets role")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    length: Option<u64>,
    /// Of those that this version knows.
    hashes: Vec<Digest>,
}

impl Content {
    fn read(entry: &Value) -> Result<Self, MetadataError> {
        let length = match entry.get("length") {
            None => None,
            Some(length) => {
                Some(length.as_u64().ok_or(MetadataError::Member { member: "length", expected: "a number" })?)
            }
        };
        let empty = Map::new();
        let stated = match entry.get("hashes") {
            None => &empty,
            Some(hashes) => {
                hashes.as_object().ok_or(MetadataError::Member { member: "hashes", expected: "an object" })?
            }
        };
        let mut hashes = Vec::new();
        for (name, hash) in stated {
            let Some(algorithm) = HashAlgorithm::from_prefix(name) else { continue };
            let bytes = hash.as_str().and_then(|text| hex::decode(text).ok());
            let hash = bytes.and_then(|bytes| Digest::new(algorithm, bytes).ok());
            hashes.push(hash.ok_or(MetadataError::Member { member: "hashes", expected: "hexadecimal" })?);
        }
        // A file whose only hashes are unknown is not to pass unhashed.
        if hashes.is_empty() && !stated.is_empty() {
            return Err(MetadataError::Member { member: "hashes", expected: "an object with sha256 or sha512" });
        }
        Ok(Self { length, hashes })
    }

    fn expect(&self, bytes: &[u8], by: &str) -> Result<(), MetadataError> {
        let is_length = self.length.is_none_or(|length| u64::try_from(bytes.len()) == Ok(length));
        if is_length && self.hashes.iter().all(|hash| digest(hash.algorithm(), bytes) == *hash) {
            return Ok(());
        }
        Err(MetadataError::Content { by: by.to_owned() })
    }
}

/// A path that stays below its directory wherever it is put: on disk, in a bucket or in a URL.
fn is_plain(path: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    path.split('/').all(is_plain) && !path.contains(['\\', '?', '#']) && !path.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_its_length_and_every_known_hash() {
        let mut entry = TargetFile::entry(b"content");
        entry["hashes"]["md5"] = json!("00");
        let read = |entry: &Value| TargetFile::read("a/b.json", entry);
        let file = read(&entry).unwrap();
        assert!(file.expect(b"content").is_ok());
        assert!(file.expect(b"contend").is_err() && file.expect(b"content ").is_err());
        let hash = hex::encode(touchmark_keys::sha256(b"content"));
        assert_eq!(file.served_as(), format!("targets/a/{hash}.b.json"));
        entry["hashes"]["sha512"] = json!("00".repeat(64));
        assert!(read(&entry).unwrap().expect(b"content").is_err());
        entry["hashes"] = json!({ "md5": "00" });
        assert!(read(&entry).is_err());
        entry["hashes"] = json!({ "sha256": "0" });
        assert!(read(&entry).is_err());
        assert!(read(&json!({ "length": 1 })).is_err() && read(&json!({ "hashes": {} })).is_err());
    }
}
