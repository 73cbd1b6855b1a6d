// SPDX-License-Identifier: Apache-2.0
//! Keys as metadata holds them.
//!
//! Spec: TUF 1.0.34 §4.2 and the key types of §4.2 "KEYTYPE": `ecdsa` (P-256 and P-384, PEM), `ed25519` (hex), `rsa` (PEM, RSASSA-PSS).
//! In scope: the key object with every field of it, its id, and the public key that it holds, if this version knows its kind.
//! Out of scope: hexadecimal ECDSA keys, which the public repository gave up with root 5.
//! Invariants: a key object is kept as it was read. Two objects that hold one public key have one [`Fingerprint`], whatever they are called.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use touchmark_keys::{HashAlgorithm, KeyFamily, KeyType, PublicKey, sha256};

use crate::{MetadataError, canonical};

/// Longest key id: four times the hexadecimal SHA-256 that one should be.
const KEY_ID_BYTES_MAX: usize = 256;
/// Whose key it is; the field that tuf-on-ci writes, so that either tool reads the other's roots.
pub const OWNER_FIELD: &str = "x-tuf-on-ci-keyowner";

/// What a key is called in metadata. Ours are the SHA-256 of the canonical key object; those of others may be any text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    pub(crate) fn read(text: &str) -> Result<Self, MetadataError> {
        match text.is_empty() || text.len() > KEY_ID_BYTES_MAX {
            true => Err(MetadataError::Member { member: "keyid", expected: "a text of 1 to 256 bytes" }),
            false => Ok(Self(text.to_owned())),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its beginning, to tell keys of one ceremony apart in messages.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.char_indices().nth(12).map_or(&self.0, |(end, _)| &self.0[..end])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of the DER `SubjectPublicKeyInfo`: which key it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self(key.spki_sha256())
    }
}

/// Sixteen groups of four digits, to be read aloud.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, pair) in self.0.chunks_exact(2).enumerate() {
            let space = if position == 0 { "" } else { " " };
            write!(f, "{space}{}", hex::encode(pair))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A key object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    object: Value,
    known: Option<(PublicKey, TufScheme)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TufScheme {
    EcdsaP256,
    EcdsaP384,
    Ed25519,
    RsaPssSha256,
}

impl TufScheme {
    const ALL: [Self; 4] = [Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519, Self::RsaPssSha256];

    fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::Ed25519 => "ed25519",
            Self::RsaPssSha256 => "rsassa-pss-sha256",
        }
    }

    /// The second name of ECDSA keys is the one from before 2023.
    fn is_keytype(self, keytype: &str) -> bool {
        match self {
            Self::EcdsaP256 | Self::EcdsaP384 => keytype == "ecdsa" || keytype == self.name(),
            Self::Ed25519 => keytype == "ed25519",
            Self::RsaPssSha256 => keytype == "rsa",
        }
    }

    fn read(self, public: &str) -> Option<PublicKey> {
        match self {
            Self::Ed25519 => {
                let raw: [u8; 32] = hex::decode(public).ok()?.try_into().ok()?;
                PublicKey::from_spki_der(&[&ED25519_SPKI_PREFIX[..], &raw].concat()).ok()
            }
            _ => PublicKey::from_pem(public).ok().filter(|key| self.is_of(key.key_type())),
        }
    }

    fn is_of(self, key_type: KeyType) -> bool {
        match self {
            Self::EcdsaP256 => key_type == KeyType::EcdsaP256,
            Self::EcdsaP384 => key_type == KeyType::EcdsaP384,
            Self::Ed25519 => key_type == KeyType::Ed25519,
            Self::RsaPssSha256 => key_type.family() == KeyFamily::Rsa,
        }
    }
}

/// RFC 8410 §4: the `SubjectPublicKeyInfo` of an Ed25519 key up to the key itself.
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl Key {
    /// Reads a key object. One of a kind that this version does not know is a key that never signs.
    ///
    /// # Errors
    /// If it is no object with `keytype`, `scheme` and `keyval`.
    pub fn from_object(object: Value) -> Result<Self, MetadataError> {
        let text = |member: &'static str| {
            let text = object.get(member).and_then(Value::as_str);
            text.ok_or(MetadataError::Member { member, expected: "a text" })
        };
        let (keytype, scheme) = (text("keytype")?, text("scheme")?);
        let keyval = object.get("keyval").filter(|keyval| keyval.is_object());
        let keyval = keyval.ok_or(MetadataError::Member { member: "keyval", expected: "an object" })?;
        let known = TufScheme::ALL.into_iter().find(|known| known.name() == scheme && known.is_keytype(keytype));
        let public = keyval.get("public").and_then(Value::as_str);
        let known = known.zip(public).and_then(|(scheme, public)| Some((scheme.read(public)?, scheme)));
        Ok(Self { object, known })
    }

    /// The key object of a public key that `owner` holds; `None` if public clients cannot all verify with such a key: they know P-256 and Ed25519.
    #[must_use]
    pub fn of_owner(public_key: &PublicKey, owner: &str) -> Option<Self> {
        let (keytype, scheme, public) = match public_key.key_type() {
            KeyType::EcdsaP256 => ("ecdsa", TufScheme::EcdsaP256, public_key.to_pem()),
            KeyType::Ed25519 => ("ed25519", TufScheme::Ed25519, hex::encode(public_key.raw())),
            _ => return None,
        };
        let mut object = json!({ "keytype": keytype, "scheme": scheme.name(), "keyval": { "public": public } });
        object[OWNER_FIELD] = owner.into();
        Some(Self { object, known: Some((public_key.clone(), scheme)) })
    }

    /// The object with every field that it was read with.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// The id that the object should have.
    ///
    /// # Errors
    /// If the object holds a number that has no canonical form.
    pub fn computed_id(&self) -> Result<KeyId, MetadataError> {
        Ok(KeyId(hex::encode(sha256(&canonical(&self.object)?))))
    }

    /// The public key, if this version knows its kind.
    #[must_use]
    pub fn public_key(&self) -> Option<&PublicKey> {
        self.known.as_ref().map(|(key, _)| key)
    }

    /// Which key it is, if this version knows its kind.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.public_key().map(Fingerprint::of)
    }

    /// Whose it is, where the object says it.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.object.get(OWNER_FIELD)?.as_str()
    }

    /// Its kind in words.
    #[must_use]
    pub fn kind(&self) -> String {
        match &self.known {
            Some((key, _)) => key.key_type().to_string(),
            None => format!("unknown ({})", self.object.get("scheme").and_then(Value::as_str).unwrap_or("no scheme")),
        }
    }

    /// The key has signed `message`.
    #[must_use]
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> Option<Fingerprint> {
        let (key, scheme) = self.known.as_ref()?;
        let verified = match scheme {
            TufScheme::RsaPssSha256 => key.verify_rsa_pss(HashAlgorithm::Sha256, message, signature),
            _ => key.verify(key.default_scheme(), message, signature),
        };
        verified.ok().map(|_| Fingerprint::of(key))
    }
}

#[cfg(test)]
mod tests {
    use touchmark_signers::{EphemeralSigner, Signer as _};

    use super::*;

    const RSA_PEM: &str = include_str!("../testdata/rsa2048.pub.pem");

    #[tokio::test]
    async fn keys_of_both_kinds_that_holders_use_verify_after_a_round_trip() {
        for key_type in [KeyType::EcdsaP256, KeyType::Ed25519] {
            let signer = EphemeralSigner::generate(key_type).unwrap();
            let key = Key::of_owner(signer.public_key(), "ann").unwrap();
            let read = Key::from_object(key.object().clone()).unwrap();
            assert_eq!(read, key);
            assert_eq!(read.owner(), Some("ann"));
            let signature = signer.sign(b"message").await.unwrap();
            assert_eq!(read.signed(b"message", &signature), Some(Fingerprint::of(signer.public_key())));
            assert_eq!(read.signed(b"massage", &signature), None);
        }
        assert!(Key::of_owner(EphemeralSigner::generate(KeyType::EcdsaP384).unwrap().public_key(), "ann").is_none());
    }

    #[tokio::test]
    async fn a_p384_key_of_others_verifies() {
        let signer = EphemeralSigner::generate(KeyType::EcdsaP384).unwrap();
        let object = json!({ "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp384", "keyval": { "public": signer.public_key().to_pem() } });
        let signature = signer.sign(b"message").await.unwrap();
        assert!(Key::from_object(object).unwrap().signed(b"message", &signature).is_some());
    }

    #[test]
    fn an_rsa_key_is_for_pss_alone() {
        let object = |scheme: &str| json!({ "keytype": "rsa", "scheme": scheme, "keyval": { "public": RSA_PEM } });
        assert!(Key::from_object(object("rsassa-pss-sha256")).unwrap().public_key().is_some());
        assert!(Key::from_object(object("rsa-pkcs1v15-sha256")).unwrap().public_key().is_none());
        assert!(Key::from_object(object("ecdsa-sha2-nistp256")).unwrap().public_key().is_none());
    }

    #[test]
    fn a_key_of_tomorrow_is_kept_and_never_signs() {
        let object = json!({ "keytype": "ml-dsa", "scheme": "ml-dsa-44/1", "keyval": { "public": "x", "more": [1] }, "field": {} });
        let key = Key::from_object(object.clone()).unwrap();
        assert_eq!(key.object(), &object);
        assert_eq!((key.fingerprint(), key.signed(b"", b"")), (None, None));
    }

    #[test]
    fn what_is_no_key_object_is_refused() {
        for object in [
            json!(null),
            json!({}),
            json!({"keytype": 1, "scheme": "", "keyval": {}}),
            json!({"keytype": "", "scheme": "", "keyval": ""}),
        ] {
            assert!(matches!(Key::from_object(object), Err(MetadataError::Member { .. })));
        }
    }

    #[test]
    fn one_key_has_one_fingerprint_under_any_name() {
        let signer = EphemeralSigner::generate(KeyType::EcdsaP256).unwrap();
        let [ann, bob] = ["ann", "bob"].map(|owner| Key::of_owner(signer.public_key(), owner).unwrap());
        assert_ne!(ann.computed_id().unwrap(), bob.computed_id().unwrap());
        assert_eq!(ann.fingerprint(), bob.fingerprint());
        assert_eq!(ann.fingerprint().unwrap().to_string().split(' ').count(), 16);
    }
}
