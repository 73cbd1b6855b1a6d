// SPDX-License-Identifier: Apache-2.0
//! SHA-2 digests that carry their algorithm.
//!
//! Spec: FIPS 180-4; names as in `HashAlgorithm` of the Sigstore protobuf specs.
//! In scope: SHA-256, SHA-384, SHA-512. Out of scope: tree hashing (crate `tlog`).
//! Invariants: a [`Digest`] always has the length of its algorithm; its text is `sha256:` and lower-case hex, and so on, as
//! people and container registries write it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::backend;

/// A hash function of the SHA-2 family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl HashAlgorithm {
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in Sigstore's JSON, `SHA2_256` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA2_256",
            Self::Sha384 => "SHA2_384",
            Self::Sha512 => "SHA2_512",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The name before the colon in the text of a digest, `sha256` and so on.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    #[must_use]
    pub fn from_prefix(prefix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.prefix() == prefix)
    }

    #[must_use]
    pub const fn output_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A digest and the algorithm that made it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: HashAlgorithm,
    /// On the heap, so that an error that names two digests stays small.
    bytes: Box<[u8]>,
}

impl Digest {
    /// Takes digest bytes that somebody else computed; their length must be the algorithm's.
    pub fn new(algorithm: HashAlgorithm, bytes: impl AsRef<[u8]>) -> Result<Self, DigestError> {
        let bytes = bytes.as_ref();
        if bytes.len() == algorithm.output_bytes() {
            Ok(Self { algorithm, bytes: bytes.into() })
        } else {
            Err(DigestError { algorithm, found_bytes: bytes.len() })
        }
    }

    #[must_use]
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm.prefix())?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads what [`Display`](fmt::Display) writes; capital hexadecimal digits too, which some tools print.
impl FromStr for Digest {
    type Err = DigestTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, digits) = text.split_once(':').ok_or(DigestTextError::NoAlgorithm)?;
        let algorithm = HashAlgorithm::from_prefix(prefix).ok_or(DigestTextError::UnknownAlgorithm)?;
        let bytes = hex::decode(digits).map_err(|_| DigestTextError::NotHex)?;
        Ok(Self::new(algorithm, bytes)?)
    }
}

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DigestTextError {
    #[error("a digest is an algorithm, a colon and hexadecimal digits, such as sha256:…")]
    NoAlgorithm,
    #[error("the digest's algorithm is not sha256, sha384 or sha512")]
    UnknownAlgorithm,
    #[error("the digest is not an even number of hexadecimal digits")]
    NotHex,
    #[error(transparent)]
    Length(#[from] DigestError),
}

/// Digest bytes of a length that does not belong to the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a {} digest has {} bytes, found {found_bytes}", algorithm.prefix(), algorithm.output_bytes())]
pub struct DigestError {
    pub algorithm: HashAlgorithm,
    pub found_bytes: usize,
}

/// Hashes `message` at once.
#[must_use]
pub fn digest(algorithm: HashAlgorithm, message: &[u8]) -> Digest {
    Digest { algorithm, bytes: backend::hash(algorithm, message) }
}

/// SHA-256 of `message`.
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    backend::sha256_parts(&[message])
}

/// SHA-256 of the concatenation of `parts`, without joining them in memory.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    backend::sha256_parts(parts)
}

/// Hashes a message that arrives in pieces.
#[derive(Clone)]
pub struct Hasher {
    algorithm: HashAlgorithm,
    state: backend::HashState,
}

impl Hasher {
    #[must_use]
    pub fn new(algorithm: HashAlgorithm) -> Self {
        Self { algorithm, state: backend::HashState::new(algorithm) }
    }

    pub fn update(&mut self, part: &[u8]) {
        self.state.update(part);
    }

    #[must_use]
    pub fn finish(self) -> Digest {
        Digest { algorithm: self.algorithm, bytes: self.state.finish() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_the_vectors_of_fips_180() {
        let hex = |algorithm| hex::encode(digest(algorithm, b"abc").as_bytes());
        assert_eq!(hex(HashAlgorithm::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(
            hex(HashAlgorithm::Sha384),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
        );
        assert_eq!(
            hex(HashAlgorithm::Sha512),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
        assert_eq!(sha256(b"abc").as_slice(), digest(HashAlgorithm::Sha256, b"abc").as_bytes());
    }

    #[test]
    fn names_go_there_and_back() {
        for algorithm in HashAlgorithm::ALL {
            assert_eq!(HashAlgorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(HashAlgorithm::from_prefix(algorithm.prefix()), Some(algorithm));
        }
        assert_eq!(HashAlgorithm::from_name("SHA3_256"), None);
        assert_eq!(HashAlgorithm::from_prefix("SHA256"), None);
    }

    #[test]
    fn the_text_of_a_digest_is_its_algorithm_and_lower_case_hex() {
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let abc = digest(HashAlgorithm::Sha256, b"abc");
        assert_eq!((abc.to_string(), format!("{abc:?}")), (text.to_owned(), text.to_owned()));
        let capitals = format!("sha256:{}", text["sha256:".len()..].to_uppercase());
        assert_eq!(capitals.parse(), Ok(abc));
        for algorithm in HashAlgorithm::ALL {
            let digest = digest(algorithm, b"touch plate");
            assert_eq!(digest.to_string().parse(), Ok(digest));
        }
    }

    #[test]
    fn refuses_text_that_is_no_digest() {
        let length =
            |found_bytes| DigestTextError::Length(DigestError { algorithm: HashAlgorithm::Sha256, found_bytes });
        for (text, expected) in [
            ("", DigestTextError::NoAlgorithm),
            ("ba7816bf", DigestTextError::NoAlgorithm),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", DigestTextError::UnknownAlgorithm),
            ("SHA256:00", DigestTextError::UnknownAlgorithm),
            (":00", DigestTextError::UnknownAlgorithm),
            ("sha256:0", DigestTextError::NotHex),
            ("sha256:zz", DigestTextError::NotHex),
            ("sha256: 00", DigestTextError::NotHex),
            ("sha256:", length(0)),
            ("sha256:00", length(1)),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn refuses_digest_of_another_length() {
        for (algorithm, length) in
            [(HashAlgorithm::Sha256, 31), (HashAlgorithm::Sha256, 48), (HashAlgorithm::Sha512, 0)]
        {
            assert_eq!(Digest::new(algorithm, vec![0; length]), Err(DigestError { algorithm, found_bytes: length }));
        }
    }

    proptest! {
        #[test]
        fn pieces_hash_like_the_whole(message: Vec<u8>, cut: prop::sample::Index) {
            let (head, tail) = message.split_at(cut.index(message.len() + 1));
            for algorithm in HashAlgorithm::ALL {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(head);
                hasher.update(tail);
                prop_assert_eq!(hasher.finish(), digest(algorithm, &message));
            }
            prop_assert_eq!(sha256_parts(&[head, tail]), sha256(&message));
        }
    }
}
