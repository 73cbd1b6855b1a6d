// SPDX-License-Identifier: Apache-2.0
//! The digest of an artifact, read as a stream.
//!
//! Invariant: memory does not grow with the artifact. A signature covers the digest, so nothing else is needed of it.

use std::io::{self, Read};
use std::sync::mpsc::sync_channel;

use touchmark_keys::{Digest, HashAlgorithm, Hasher};

/// One read: large enough that hashing, not system calls, is the work.
const READ_BYTES: usize = 256 * 1024;
/// Below this a thread costs more than it saves.
const AHEAD_BYTES_MIN: u64 = 8 << 20;
/// How many reads are held at most: one is hashed, one is made, one waits.
const BUFFERS: usize = 3;

/// Hashes all that `reader` gives. `on_progress` hears the number of bytes of each read.
pub fn digest(algorithm: HashAlgorithm, reader: impl Read, on_progress: impl FnMut(u64)) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    read_all(reader, READ_BYTES, |part| hasher.update(part), on_progress)?;
    Ok(hasher.finish())
}

/// The same under several algorithms, in one pass. What is long, or of unknown length, is read on a thread of its own, so that hashing
/// never waits for a read; what is short needs no large buffer.
pub fn digests(
    algorithms: &[HashAlgorithm],
    reader: impl Read + Send,
    bytes_expected: Option<u64>,
    on_progress: impl FnMut(u64),
) -> io::Result<Vec<Digest>> {
    let mut hashers: Vec<Hasher> = algorithms.iter().copied().map(Hasher::new).collect();
    let take = |part: &[u8]| hashers.iter_mut().for_each(|hasher| hasher.update(part));
    match bytes_expected.filter(|bytes| *bytes < AHEAD_BYTES_MIN).and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(bytes) => read_all(reader, READ_BYTES.min(bytes + 1), take, on_progress)?,
        None => read_ahead(reader, take, on_progress)?,
    }
    Ok(hashers.into_iter().map(Hasher::finish).collect())
}

/// Reads on a thread of its own, at most [`BUFFERS`] reads ahead.
fn read_ahead(
    mut reader: impl Read + Send,
    mut take: impl FnMut(&[u8]),
    mut on_progress: impl FnMut(u64),
) -> io::Result<()> {
    let (to_reader, empty) = sync_channel::<Vec<u8>>(BUFFERS);
    let (to_hasher, filled) = sync_channel::<io::Result<Vec<u8>>>(BUFFERS);
    for _ in 0..BUFFERS {
        to_reader.send(Vec::with_capacity(READ_BYTES)).expect("the receiver is below");
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Either side ends when the other has hung up.
            for mut buffer in empty {
                buffer.clear();
                let read = reader.by_ref().take(READ_BYTES as u64).read_to_end(&mut buffer);
                let sent = match read {
                    Ok(0) => return,
                    Ok(_) => to_hasher.send(Ok(buffer)),
                    Err(error) => to_hasher.send(Err(error)),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        // Moved in, so that the reader hears of an early end.
        let (filled, to_reader) = (filled, to_reader);
        for part in filled {
            let part = part?;
            take(&part);
            on_progress(part.len() as u64);
            // At the end of the file the reader has gone.
            let _ = to_reader.send(part);
        }
        Ok(())
    })
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
        for expected in [None, Some(0), Some(11), Some(AHEAD_BYTES_MIN), Some(u64::MAX)] {
            let found = digests(&algorithms, &b"touch plate"[..], expected, |_| {}).unwrap();
            assert_eq!(found, algorithms.map(|algorithm| touchmark_keys::digest(algorithm, b"touch plate")));
        }
    }

    #[test]
    fn what_is_read_ahead_has_the_same_digest() {
        let algorithms = [HashAlgorithm::Sha256];
        for bytes in [0, 1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 9 * READ_BYTES + 5] {
            let artifact: Vec<u8> = (0..=250_u8).cycle().take(bytes).collect();
            let mut seen = 0;
            let found = digests(&algorithms, artifact.as_slice(), None, |bytes| seen += bytes).unwrap();
            assert_eq!(found, [touchmark_keys::digest(HashAlgorithm::Sha256, &artifact)], "{bytes}");
            assert_eq!(seen, bytes as u64);
        }
    }

    #[test]
    fn a_reader_that_fails_is_heard_of() {
        /// Gives zeros, then fails.
        struct Failing(usize);

        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::ConnectionReset)?;
                buffer.fill(0);
                Ok(buffer.len())
            }
        }

        for reads in [0, 1, 20] {
            let failed = digests(&[HashAlgorithm::Sha256], Failing(reads), None, |_| {});
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn an_empty_artifact_has_a_digest() {
        let empty = digest(HashAlgorithm::Sha256, io::empty(), |_| {}).unwrap();
        assert_eq!(empty.as_bytes(), touchmark_keys::sha256(b""));
    }
}
