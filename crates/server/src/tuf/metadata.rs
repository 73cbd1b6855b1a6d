// SPDX-License-Identifier: Apache-2.0
//! Signed metadata: making it and reading our own back (TUF specification, section 4).
//!
//! In scope: the four top-level roles, P-256 keys in PEM, one key and threshold 1 for each role, which is what one machine
//! can offer. Out of scope: delegations, other key types (public clients break on them), several holders.
//! Invariants: a key id is the SHA-256 of the canonical key object; a document is changed only by signing a new one.

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use touchmark_keys::{PublicKey, Scheme, sha256};
use touchmark_signers::{SIGN_DEADLINE, Signer, sign_within};
use touchmark_trust::canonical;

use super::TufError;

/// Version of the specification that the metadata follows. Clients compare the first part only.
const SPEC_VERSION: &str = "1.0.31";

/// A top-level role, with the life of its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Root,
    Targets,
    Snapshot,
    Timestamp,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Targets => "targets",
            Role::Snapshot => "snapshot",
            Role::Timestamp => "timestamp",
        }
    }

    /// How long new metadata is valid, in days.
    ///
    /// Root and targets are renewed at a start of `up` in the second half of their life. Seven days for the timestamp is what
    /// the public repository has: a client that sees no newer one for so long must stop.
    fn valid_days(self) -> i64 {
        match self {
            Role::Root | Role::Targets => 730,
            Role::Snapshot => 90,
            Role::Timestamp => 7,
        }
    }

    /// With how many days left metadata is signed anew.
    fn renew_days(self) -> i64 {
        match self {
            Role::Root | Role::Targets => 365,
            Role::Snapshot => 45,
            Role::Timestamp => 6,
        }
    }

    pub(super) fn expires(self, now: Timestamp) -> Timestamp {
        let whole_seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
        whole_seconds.checked_add((self.valid_days() * 24).hours()).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn is_due(self, expires: Timestamp, now: Timestamp) -> bool {
        now.checked_add((self.renew_days() * 24).hours()).is_ok_and(|renewal| renewal >= expires)
    }
}

/// The key id and key object of a P-256 key.
pub(super) fn key_object(key: &PublicKey) -> Result<(String, Value), TufError> {
    let object = json!({
        "keytype": "ecdsa",
        "scheme": "ecdsa-sha2-nistp256",
        "keyval": {"public": key.to_pem()},
    });
    Ok((hex::encode(sha256(&canonical(&object)?)), object))
}

/// The keys of the four roles.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RoleKeys {
    pub(super) root: PublicKey,
    pub(super) targets: PublicKey,
    /// Signs snapshot and timestamp.
    pub(super) online: PublicKey,
}

impl RoleKeys {
    pub(super) fn of(&self, role: Role) -> &PublicKey {
        match role {
            Role::Root => &self.root,
            Role::Targets => &self.targets,
            Role::Snapshot | Role::Timestamp => &self.online,
        }
    }

    /// Reads the keys out of the `signed` part of a root; `None` if a role has not exactly one known key.
    pub(super) fn from_root(signed: &Value) -> Option<Self> {
        let key = |role: &str| {
            let binding = signed.get("roles")?.get(role)?;
            let [id] = binding.get("keyids")?.as_array()?.as_slice() else { return None };
            if binding.get("threshold")?.as_u64()? != 1 {
                return None;
            }
            let pem = signed.get("keys")?.get(id.as_str()?)?.get("keyval")?.get("public")?.as_str()?;
            PublicKey::from_pem(pem).ok()
        };
        let (snapshot, timestamp) = (key("snapshot")?, key("timestamp")?);
        (snapshot == timestamp).then_some(())?;
        Some(RoleKeys { root: key("root")?, targets: key("targets")?, online: timestamp })
    }
}

/// Whether a root is one of those that `up` makes: one key for each of root, targets and the online roles, three of them, and the root says nothing
/// else of keys and roles. One that a single holder made in a ceremony is not: his key signs root and targets.
pub(super) fn is_of_one_machine(root: &Document) -> bool {
    let Some(keys) = RoleKeys::from_root(&root.signed) else { return false };
    let are_three = keys.root != keys.targets && keys.root != keys.online && keys.targets != keys.online;
    let ours = self::root(root.version, &keys, root.expires);
    are_three && ours.is_ok_and(|ours| ["keys", "roles"].iter().all(|member| ours[*member] == root.signed[*member]))
}

/// The `signed` part of a root.
pub(super) fn root(version: u64, keys: &RoleKeys, now: Timestamp) -> Result<Value, TufError> {
    let mut objects = serde_json::Map::new();
    let mut roles = serde_json::Map::new();
    for role in [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp] {
        let (id, object) = key_object(keys.of(role))?;
        roles.insert(role.name().to_owned(), json!({"keyids": [id], "threshold": 1}));
        objects.insert(id, object);
    }
    let mut signed = header(Role::Root, version, Role::Root.expires(now));
    signed["consistent_snapshot"] = true.into();
    signed["keys"] = objects.into();
    signed["roles"] = roles.into();
    Ok(signed)
}

/// The `signed` part of targets; `targets` are names with contents.
pub(super) fn targets<'a>(
    version: u64,
    targets: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    now: Timestamp,
) -> Value {
    let files: serde_json::Map<_, _> = targets
        .into_iter()
        .map(|(name, bytes)| {
            (name.to_owned(), json!({"length": bytes.len(), "hashes": {"sha256": hex::encode(sha256(bytes))}}))
        })
        .collect();
    let mut signed = header(Role::Targets, version, Role::Targets.expires(now));
    signed["targets"] = files.into();
    signed
}

/// The `signed` part of a snapshot that pins one targets file.
pub(super) fn snapshot(version: u64, targets_version: u64, targets: &[u8], now: Timestamp) -> Value {
    let mut signed = header(Role::Snapshot, version, Role::Snapshot.expires(now));
    signed["meta"] = json!({"targets.json": pin(targets_version, targets)});
    signed
}

/// The `signed` part of a timestamp that pins one snapshot and ends at `end`.
pub(super) fn timestamp(version: u64, snapshot_version: u64, snapshot: &[u8], end: Timestamp) -> Value {
    let mut signed = header(Role::Timestamp, version, end);
    signed["meta"] = json!({"snapshot.json": pin(snapshot_version, snapshot)});
    signed
}

fn header(role: Role, version: u64, end: Timestamp) -> Value {
    json!({
        "_type": role.name(),
        "spec_version": SPEC_VERSION,
        "version": version,
        "expires": end.to_string(),
    })
}

fn pin(version: u64, bytes: &[u8]) -> Value {
    json!({"version": version, "length": bytes.len(), "hashes": {"sha256": hex::encode(sha256(bytes))}})
}

/// Signs with the one key of a role and gives the bytes of the file.
pub(super) async fn sign(signed: &Value, signer: &dyn Signer) -> Result<Vec<u8>, TufError> {
    let (keyid, _) = key_object(signer.public_key())?;
    let signature = sign_within(signer, &canonical(signed)?, SIGN_DEADLINE).await?;
    let document = json!({"signatures": [{"keyid": keyid, "sig": hex::encode(signature)}], "signed": signed});
    let mut bytes = serde_json::to_vec_pretty(&document).expect("a JSON value always serialises");
    bytes.push(b'\n');
    Ok(bytes)
}

/// A metadata file that was read back; nothing is verified yet.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) signed: Value,
    pub(super) version: u64,
    pub(super) expires: Timestamp,
    signatures: Vec<(String, Vec<u8>)>,
}

impl Document {
    /// Reads metadata of the role; `None` if it is anything else.
    pub(super) fn parse(role: Role, bytes: Vec<u8>) -> Option<Self> {
        let mut document: Value = serde_json::from_slice(&bytes).ok()?;
        let signatures = document.get("signatures")?.as_array()?.iter().map(signature).collect::<Option<_>>()?;
        let signed = document.get_mut("signed")?.take();
        if signed.get("_type")?.as_str()? != role.name() {
            return None;
        }
        let version = signed.get("version")?.as_u64()?;
        let expires = signed.get("expires")?.as_str()?.parse().ok()?;
        Some(Document { bytes, signed, version, expires, signatures })
    }

    /// Proof that `key` has signed this, under its own key id.
    pub(super) fn signed_by(&self, key: &PublicKey) -> Option<SignedByRole> {
        let (id, _) = key_object(key).ok()?;
        let (_, signature) = self.signatures.iter().find(|(signer, _)| *signer == id)?;
        let message = canonical(&self.signed).ok()?;
        key.verify(Scheme::EcdsaP256Sha256, &message, signature).ok()?;
        Some(SignedByRole(()))
    }

    /// The pin of another file: version, length and SHA-256.
    pub(super) fn pins(&self, name: &str, version: u64, bytes: &[u8]) -> bool {
        self.signed.get("meta").and_then(|meta| meta.get(name)) == Some(&pin(version, bytes))
    }

    /// Version of a file that this one pins.
    pub(super) fn pinned_version(&self, name: &str) -> Option<u64> {
        self.signed.get("meta")?.get(name)?.get("version")?.as_u64()
    }
}

fn signature(entry: &Value) -> Option<(String, Vec<u8>)> {
    let id = entry.get("keyid")?.as_str()?.to_owned();
    Some((id, hex::decode(entry.get("sig")?.as_str()?).ok()?))
}

/// The key of a role has signed the document.
#[derive(Debug)]
pub(super) struct SignedByRole(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_in_whole_seconds() {
        let now: Timestamp = "2026-11-22T10:00:00.5Z".parse().unwrap();
        assert_eq!(Role::Timestamp.expires(now).to_string(), "2026-11-29T10:00:00Z");
    }

    #[test]
    fn a_timestamp_is_due_for_renewal_after_a_day() {
        let signed_at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let expires = Role::Timestamp.expires(signed_at);
        assert!(!Role::Timestamp.is_due(expires, signed_at));
        assert!(!Role::Timestamp.is_due(expires, "2026-11-23T09:59:59Z".parse().unwrap()));
        assert!(Role::Timestamp.is_due(expires, "2026-11-23T10:00:00Z".parse().unwrap()));
    }

    #[test]
    fn foreign_json_is_not_metadata() {
        for bytes in [&b"{}"[..], b"[]", b"", br#"{"signed":{"_type":"root"},"signatures":[]}"#] {
            assert!(Document::parse(Role::Root, bytes.to_vec()).is_none());
        }
    }
}
