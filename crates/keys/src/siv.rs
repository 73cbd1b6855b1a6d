// SPDX-License-Identifier: Apache-2.0
//! AEAD_AES_SIV_CMAC_256 (RFC 5297 §6): the encryption that every time server with NTS has to know (RFC 8915 §5.1).
//!
//! In scope: sealing and opening with a key of this process. Out of scope: how both ends came to the key; keys that are kept.
//! Invariants: a key cannot be printed, and leaves no copy in memory; what was opened was sealed by the key, with exactly this associated data.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::backend;

/// Length of a key: one half authenticates, the other encrypts.
pub const SIV_KEY_BYTES: usize = 32;
/// By how much what is sealed is longer than the plaintext: the synthetic initialisation vector, which stands first.
pub const SIV_OVERHEAD_BYTES: usize = 16;
/// Parts of associated data, the nonce included: RFC 5297 §2.6 has vectors of at most 127 components, the plaintext included.
const ASSOCIATED_PARTS_MAX: usize = 126;

/// Why nothing was sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SivError {
    /// Sealed by another key, with other associated data, or changed since.
    #[error("it was not sealed by this key with this associated data, or changed since")]
    NotAuthentic,
    #[error("more than {ASSOCIATED_PARTS_MAX} parts of associated data")]
    TooManyParts,
}

/// A key of AEAD_AES_SIV_CMAC_256.
pub struct SivKey(Zeroizing<[u8; SIV_KEY_BYTES]>);

impl SivKey {
    #[must_use]
    pub fn new(key: Zeroizing<[u8; SIV_KEY_BYTES]>) -> Self {
        Self(key)
    }

    /// Encrypts and authenticates `plaintext`, and authenticates the parts of `associated` with it; a nonce is the last of them.
    ///
    /// # Errors
    /// There are more parts than the scheme takes.
    pub fn seal(&self, associated: &[&[u8]], plaintext: &[u8]) -> Result<Vec<u8>, SivError> {
        backend::siv::seal(&self.0, associated, plaintext).map_err(|_| SivError::TooManyParts)
    }

    /// The plaintext of what was sealed with the same associated data, part by part.
    ///
    /// # Errors
    /// It was not.
    pub fn open(&self, associated: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, SivError> {
        if associated.len() > ASSOCIATED_PARTS_MAX {
            return Err(SivError::TooManyParts);
        }
        backend::siv::open(&self.0, associated, sealed).map_err(|_| SivError::NotAuthentic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        key: &'static str,
        associated: &'static [&'static str],
        plaintext: &'static str,
        sealed: &'static str,
    }

    /// RFC 5297, appendix A.
    const VECTORS: [Vector; 2] = [
        Vector {
            key: "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            associated: &["101112131415161718191a1b1c1d1e1f2021222324252627"],
            plaintext: "112233445566778899aabbccddee",
            sealed: "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
        },
        Vector {
            key: "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
            associated: &[
                "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
                "102030405060708090a0",
                "09f911029d74e35bd84156c5635688c0",
            ],
            plaintext: "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
            sealed: "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
        },
    ];

    fn key(text: &str) -> SivKey {
        SivKey::new(Zeroizing::new(hex::decode(text).unwrap().try_into().unwrap()))
    }

    #[test]
    fn the_vectors_of_rfc_5297_are_sealed_and_opened() {
        for vector in VECTORS {
            let key = key(vector.key);
            let parts: Vec<Vec<u8>> = vector.associated.iter().map(|part| hex::decode(part).unwrap()).collect();
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let (plaintext, sealed) = (hex::decode(vector.plaintext).unwrap(), hex::decode(vector.sealed).unwrap());
            assert_eq!(key.seal(&parts, &plaintext), Ok(sealed.clone()));
            assert_eq!(key.open(&parts, &sealed), Ok(plaintext));
        }
    }

    #[test]
    fn nothing_that_was_changed_is_opened() {
        let key = key(VECTORS[0].key);
        let sealed = key.seal(&[b"header", b"nonce"], b"cookie").unwrap();
        assert_eq!(sealed.len(), b"cookie".len() + SIV_OVERHEAD_BYTES);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(&[b"header", b"nonce"], &changed), Err(SivError::NotAuthentic), "{at}");
        }
        let others: [&[&[u8]]; 5] =
            [&[], &[b"header"], &[b"nonce", b"header"], &[b"headernonce"], &[b"header", b"nonce", b""]];
        for associated in others {
            assert_eq!(key.open(associated, &sealed), Err(SivError::NotAuthentic), "{associated:?}");
        }
        for length in 0..sealed.len() {
            assert_eq!(key.open(&[b"header", b"nonce"], &sealed[..length]), Err(SivError::NotAuthentic), "{length}");
        }
        assert_eq!(
            super::tests::key(VECTORS[1].key).open(&[b"header", b"nonce"], &sealed),
            Err(SivError::NotAuthentic)
        );
    }

    #[test]
    fn more_parts_than_the_scheme_takes_are_refused() {
        let key = key(VECTORS[0].key);
        let parts = vec![b"part".as_slice(); ASSOCIATED_PARTS_MAX];
        let sealed = key.seal(&parts, b"").unwrap();
        assert_eq!(key.open(&parts, &sealed), Ok(Vec::new()));
        let parts = vec![b"part".as_slice(); ASSOCIATED_PARTS_MAX + 1];
        assert_eq!(key.seal(&parts, b""), Err(SivError::TooManyParts));
        assert_eq!(key.open(&parts, &sealed), Err(SivError::TooManyParts));
    }
}
