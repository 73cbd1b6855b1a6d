// SPDX-License-Identifier: Apache-2.0
//! The digest of an artifact, read as a stream.
//!
//! Invariant: memory does not grow with the artifact. A signature covers the digest, so nothing else is needed of it.

use std::io::{self, Read};

use touchmark_keys::{Digest, HashAlgorithm, Hasher};

/// One read: large enough that hashing, not system calls, is the work.
const READ_BYTES: usize = 256 * 1024;

/// Hashes all that `reader` gives. `on_progress` hears the number of bytes of each read.
pub fn digest(algorithm: HashAlgorithm, reader: impl Read, on_progress: impl FnMut(u64)) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    read_all(reader, READ_BYTES, |part| hasher.update(part), on_progress)?;
    Ok(hasher.finish())
}

/// The same under several algorithms, in one pass. A reader that is known to be short needs no large buffer.
pub fn digests(
    algorithms: &[HashAlgorithm],
    reader: impl Read,
    bytes_expected: Option<u64>,
    on_progress: impl FnMut(u64),
) -> io::Result<Vec<Digest>> {
    let mut hashers: Vec<Hasher> = algorithms.iter().copied().map(Hasher::new).collect();
    let enough = bytes_expected.and_then(|bytes| usize::try_from(bytes.saturating_add(1)).ok());
    let buffer_bytes = enough.unwrap_or(READ_BYTES).min(READ_BYTES);
    read_all(reader, buffer_bytes, |part| hashers.iter_mut().for_each(|hasher| hasher.update(part)), on_progress)?;
    Ok(hashers.into_iter().map(Hasher::finish).collect())
}

fn read_all(
    mut reader: impl Read,
    buffer_bytes: usize,
    mut take: impl FnMut(&[u8]),
    mut on_progress: impl FnMut(u64),
) -> io::Result<()> {
    let mut buffer = vec![0_u8; buffer_bytes.max(1)];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                take(buffer.get(..count).unwrap_or_default());
                on_progress(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time and is interrupted before each.
    struct Trickle<'a> {
        rest: &'a [u8],
        interrupted: bool,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let Some((first, rest)) = self.rest.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.rest = rest;
            Ok(1)
        }
    }

    #[test]
    fn a_stream_in_pieces_has_the_digest_of_the_whole() {
        let mut seen = 0;
        let piecewise =
            digest(HashAlgorithm::Sha256, Trickle { rest: b"touch plate", interrupted: false }, |bytes| seen += bytes)
                .unwrap();
        assert_eq!(piecewise.as_bytes(), touchmark_keys::sha256(b"touch plate"));
        assert_eq!(seen, 11);
    }

    #[test]
    fn several_digests_are_made_in_one_pass() {
        let algorithms = [HashAlgorithm::Sha256, HashAlgorithm::Sha512];
        for expected in [None, Some(0), Some(11), Some(u64::MAX)] {
            let found = digests(&algorithms, &b"touch plate"[..], expected, |_| {}).unwrap();
            assert_eq!(found, algorithms.map(|algorithm| touchmark_keys::digest(algorithm, b"touch plate")));
        }
    }

    #[test]
    fn an_empty_artifact_has_a_digest() {
        let empty = digest(HashAlgorithm::Sha256, io::empty(), |_| {}).unwrap();
        assert_eq!(empty.as_bytes(), touchmark_keys::sha256(b""));
    }
}
