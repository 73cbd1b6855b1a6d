// SPDX-License-Identifier: Apache-2.0
//! The digest of an artifact, read as a stream.
//!
//! Invariant: memory does not grow with the artifact. A signature covers the digest, so nothing else is needed of it.

use std::io::{self, Read};

use touchmark_keys::{Digest, HashAlgorithm, Hasher};

/// One read: large enough that hashing, not system calls, is the work.
const READ_BYTES: usize = 256 * 1024;

/// Hashes all that `reader` gives. `on_progress` hears the number of bytes of each read.
pub fn digest(algorithm: HashAlgorithm, mut reader: impl Read, mut on_progress: impl FnMut(u64)) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0_u8; READ_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
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
    fn an_empty_artifact_has_a_digest() {
        let empty = digest(HashAlgorithm::Sha256, io::empty(), |_| {}).unwrap();
        assert_eq!(empty.as_bytes(), touchmark_keys::sha256(b""));
    }
}
