// SPDX-License-Identifier: Apache-2.0
//! Verifier keys as text (vkeys, C2SP signed-note and golang.org/x/mod/sumdb/note): `<name>+<hint, hex>+base64(<type> ‖ <key>)`.
//!
//! In scope: types 01, 02, 04, 05 and Rekor's RSA under ff. Type 02, 05 and ff carry the key as SubjectPublicKeyInfo, as
//! transparency-dev/formats writes them; 01 and 04 carry the 32 bytes of the key.
//! Out of scope: lists of keys and policies.
//! Invariants: the hint in the text must be the key's; Rekor v1 keys other than ECDSA have no vkey.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use touchmark_keys::{KeyError, PublicKey};

use super::key::RSA_KEY_FORMAT;
use super::{KEY_HINT_BYTES, NoteAlgorithm, NoteKey, NoteKeyError};

/// Longest vkey that is accepted: a name of 255 bytes and an RSA-4096 key have room.
pub const VKEY_BYTES_MAX: usize = 4096;

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 §4), up to the 32 bytes of the key.
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a text is not a vkey, or a key has none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VkeyError {
    /// Longer than [`VKEY_BYTES_MAX`].
    #[error("the verifier key has {found} bytes, at most {VKEY_BYTES_MAX} are accepted")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// Not `<name>+<hint>+<key>`.
    #[error("a verifier key has the form <name>+<key hint>+<base64 of type and key>")]
    Malformed,
    /// A type that is not known, or that has no vkey.
    #[error("verifier keys of this type are not supported")]
    UnsupportedType,
    /// The key inside cannot be read.
    #[error("the key inside the verifier key cannot be read")]
    Key(#[source] KeyError),
    /// The key inside cannot sign notes.
    #[error(transparent)]
    NoteKey(#[from] NoteKeyError),
    /// The hint is another key's.
    #[error("the verifier key says key hint {}, its key has {}", hex::encode(.stated), hex::encode(.computed))]
    HintMismatch {
        /// The hint in the text.
        stated: [u8; KEY_HINT_BYTES],
        /// The hint of the key.
        computed: [u8; KEY_HINT_BYTES],
    },
}

impl NoteKey {
    /// Reads a vkey.
    pub fn parse_vkey(vkey: &str) -> Result<NoteKey, VkeyError> {
        if vkey.len() > VKEY_BYTES_MAX {
            return Err(VkeyError::TooLong { found: vkey.len() });
        }
        let (name, rest) = vkey.split_once('+').ok_or(VkeyError::Malformed)?;
        let (hint, material) = rest.split_once('+').ok_or(VkeyError::Malformed)?;
        let stated = parse_hint(hint).ok_or(VkeyError::Malformed)?;
        let material = STANDARD.decode(material).map_err(|_| VkeyError::Malformed)?;
        let (kind, key) = material.split_first().ok_or(VkeyError::Malformed)?;
        let (algorithm, public_key) = parse_material(*kind, key)?;
        let key = NoteKey::new(name, algorithm, public_key)?;
        let computed = key.hint();
        if stated == computed { Ok(key) } else { Err(VkeyError::HintMismatch { stated, computed }) }
    }

    /// Writes the vkey.
    pub fn to_vkey(&self) -> Result<String, VkeyError> {
        let key = self.public_key();
        let material = match self.algorithm() {
            NoteAlgorithm::Ed25519 => [&[0x01], key.raw()].concat(),
            NoteAlgorithm::EcdsaRekor => [&[0x02], key.spki_der()].concat(),
            NoteAlgorithm::CosignatureV1 => [&[0x04], key.raw()].concat(),
            NoteAlgorithm::Rfc6962 => [&[0x05], key.spki_der()].concat(),
            NoteAlgorithm::RsaRekor => [&[0xff], RSA_KEY_FORMAT, key.spki_der()].concat(),
            NoteAlgorithm::RekorV1 => return Err(VkeyError::UnsupportedType),
        };
        Ok(format!("{}+{}+{}", self.name(), hex::encode(self.hint()), STANDARD.encode(material)))
    }
}

/// Eight hex digits of either case, as Go reads them.
fn parse_hint(text: &str) -> Option<[u8; KEY_HINT_BYTES]> {
    let mut hint = [0; KEY_HINT_BYTES];
    hex::decode_to_slice(text, &mut hint).ok()?;
    Some(hint)
}

fn parse_material(kind: u8, key: &[u8]) -> Result<(NoteAlgorithm, PublicKey), VkeyError> {
    match kind {
        0x01 => Ok((NoteAlgorithm::Ed25519, ed25519(key)?)),
        0x02 => Ok((NoteAlgorithm::EcdsaRekor, spki(key)?)),
        0x04 => Ok((NoteAlgorithm::CosignatureV1, ed25519(key)?)),
        0x05 => Ok((NoteAlgorithm::Rfc6962, spki(key)?)),
        0xff => {
            let key = key.strip_prefix(RSA_KEY_FORMAT).ok_or(VkeyError::UnsupportedType)?;
            Ok((NoteAlgorithm::RsaRekor, spki(key)?))
        }
        _ => Err(VkeyError::UnsupportedType),
    }
}

fn ed25519(raw: &[u8]) -> Result<PublicKey, VkeyError> {
    spki(&[&ED25519_SPKI_PREFIX, raw].concat())
}

fn spki(der: &[u8]) -> Result<PublicKey, VkeyError> {
    PublicKey::from_spki_der(der).map_err(VkeyError::Key)
}
